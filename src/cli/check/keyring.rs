//! Is the centre's keyring signed by its root, as new as the one seen last, and does it hold a key that may acknowledge?

use std::time::Duration;

use super::Finding;
use crate::causes;
use crate::centre::keyring::{Keyring, Role, book};
use crate::centre::keys::PublicKey;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::TimeMs;
use crate::supervise::newest_keyring_seen;

/// So long before its end somebody should look.
const SOON: Duration = Duration::from_hours(30 * 24);

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let Some(centre) = &config.centre else { return Vec::new() };
    let todo = "get both files from the centre; `watchpost init --centre DIR` makes them for a centre of one box";
    let ring = match newest(config, centre) {
        Ok(ring) => ring,
        Err(error) => return vec![Finding::failure("keyring", error, todo)],
    };
    vec![match newest_keyring_seen(config) {
        Ok(seen) => judge(&ring, centre, seen, clock.utc()),
        Err(error) => Finding::failure("keyring", causes::line(&error), "put the number of the newest keyring into it"),
    }]
}

/// Of the file that the configuration names and of what the centre has put.
pub(super) fn newest(config: &Config, centre: &config::Centre) -> Result<Keyring, String> {
    let root = PublicKey::read(&centre.root_key).map_err(|e| e.to_string())?;
    let newest = book::newest(&config.site.data_dir.join("keys"), &centre.keyring, &root);
    newest.map(|(ring, _)| ring).map_err(|e| e.to_string())
}

fn judge(ring: &Keyring, centre: &config::Centre, seen: u64, now: TimeMs) -> Finding {
    let (path, serial) = (centre.keyring.display(), ring.serial);
    if serial < seen {
        return Finding::failure(
            "keyring",
            format!("{path} has serial {serial}, this box has seen {seen}: an older one is not taken"),
            "get the newest keyring from the centre",
        );
    }
    if ring.keys_of(Role::Delivery, now).is_empty() {
        return Finding::failure(
            "keyring",
            format!("{path}: no delivery key is valid now: no alert could ever be acknowledged"),
            "get a newer keyring from the centre, or set the clock",
        );
    }
    let later = TimeMs(now.0.saturating_add(u64::try_from(SOON.as_millis()).unwrap_or(u64::MAX)));
    if ring.keys_of(Role::Delivery, later).is_empty() {
        return Finding::warning(
            "keyring",
            format!("{path}: in 30 days no delivery key will be valid any more"),
            "get a newer keyring from the centre in time",
        );
    }
    Finding::ok("keyring", format!("serial {serial}, signed by the root"))
}
