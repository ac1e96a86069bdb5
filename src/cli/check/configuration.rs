//! Is the configuration valid, and is it what was probably meant?

use std::path::Path;

use super::Finding;
use crate::clock::Clock;
use crate::config::managed::{self, trial};
use crate::config::{Config, Fault, Layers, Overlay};

/// A fault of the configuration as a finding.
pub(super) fn fault(fault: &Fault) -> Finding {
    Finding::failure("config", fault.to_string(), "mend the line; docs/config.md lists every key")
}

/// What the centre lays over the box's own files, and what is on probation.
pub(super) fn overlay(path: &Path) -> Vec<Finding> {
    let Ok(layers) = Layers::read(path, &Overlay::OnDisk) else { return Vec::new() };
    let folder = managed::folder(layers.data_dir());
    let there = managed::overlay_path(&folder).exists();
    if !layers.is_managed {
        let what = "what the centre laid over the configuration does not count (box.managed = false)";
        let todo = "nothing, when that is meant; take the line out and the centre has a say again";
        return if there { vec![Finding::warning("config", what, todo)] } else { Vec::new() };
    }
    let book = match trial::Book::read(&folder) {
        Ok(book) => book,
        Err(why) => {
            let todo = "see the reason; without the file nothing is on probation, and what lies there is in force";
            return vec![Finding::failure(
                "config",
                format!("the centre's changes cannot be accounted for: {why}"),
                todo,
            )];
        }
    };
    let mut findings = Vec::new();
    for (file, _) in &layers.overlays {
        findings.push(Finding::ok("config", format!("the centre lays over it: {}", file.display())));
    }
    if let Some(trial) = &book.trial {
        let what = format!("configuration {} of the centre is on probation, staged by {}", trial.serial, trial.by);
        let todo = "wait: it is confirmed when the session with the centre stands, and taken back otherwise";
        findings.push(Finding::warning("config", what, todo));
    }
    if let Some(last) = book.last.as_ref().filter(|last| !last.confirmed) {
        let what = format!("configuration {} of the centre was taken back: {}", last.serial, last.why);
        let todo = "see the reason; the centre may send another";
        findings.push(Finding::warning("config", what, todo));
    }
    findings
}

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "config",
        format!(
            "box {} at site {}: {} cameras, {} hotlists",
            config.site.id,
            config.site.site,
            config.cameras.iter().filter(|c| c.enabled).count(),
            config.hotlists.len()
        ),
    )];
    if config.cameras.iter().all(|c| !c.enabled) {
        let todo = "add a [[camera]] with id, number and uri; `watchpost probe URI` writes one";
        findings.push(Finding::warning("config", "no camera is configured: nothing is watched", todo));
    }
    if config.centre.is_none() {
        let todo = "add [centre], or run `watchpost init --centre DIR` for a centre on this machine";
        findings.push(Finding::warning("config", "no centre is configured: hits stay on this box", todo));
    }
    if config.hotlists.is_empty() {
        let todo = "add a [[hotlist.list]]";
        findings.push(Finding::warning("config", "no hotlist is configured: reads make no hits", todo));
    }
    findings
}
