//! Is the store whole? A look that writes nothing and takes nothing from a daemon that runs.

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, Look};
use crate::supervise::{read_store_key, store_dir};

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    let dir = store_dir(config);
    let shown = dir.display();
    if !dir.exists() {
        return vec![Finding::ok("store", format!("{shown} is not there yet: `run` makes it"))];
    }
    let look = read_store_key(config).and_then(|key| store::inspect(&dir, &key));
    match look {
        Ok(look) => findings(&look, &shown.to_string()),
        Err(error @ store::Error::Damaged { .. }) => vec![Finding::failure(
            "store",
            format!("{shown}: {error}"),
            "`run` sets it aside and salvages what can be read; copy the folder first if it matters (docs/store.md)",
        )],
        Err(error) => {
            vec![Finding::failure("store", format!("{shown}: {error}"), "docs/store.md, «When it does not open»")]
        }
    }
}

fn findings(look: &Look, shown: &str) -> Vec<Finding> {
    let mut findings = vec![match &look.holder {
        Some(holder) => Finding::ok("store", format!("{shown} is in use by {holder}, the daemon that runs")),
        None if look.batches == 0 => Finding::ok("store", format!("{shown} is empty")),
        None => Finding::ok(
            "store",
            format!(
                "{shown}: ledger of {} MiB sound to its end{}, {} commits, {} alerts ever made",
                look.bytes >> 20,
                if look.whole { "" } else { " (its newest two segments were read)" },
                look.batches,
                look.last_seq
            ),
        ),
    }];
    if look.torn_bytes > 0 {
        findings.push(Finding::ok(
            "store",
            format!(
                "{shown}: an unfinished commit of {} bytes, as a power cut leaves it, is cut at the next start",
                look.torn_bytes
            ),
        ));
    }
    if look.aside > 0 {
        findings.push(Finding::warning(
            "store",
            format!("{shown}/aside holds {} stores that could not be trusted and were salvaged", look.aside),
            "copy them away for whoever looks into it, then delete them",
        ));
    }
    if look.unopened_keys > 0 {
        findings.push(Finding::warning(
            "store",
            format!("{shown}/keys holds {} key files that do not open: what they sealed is lost", look.unopened_keys),
            "nothing brings them back (keys have no copies): test the disk (`smartctl -a`), replace it where it is worn",
        ));
    }
    findings
}
