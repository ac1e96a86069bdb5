//! Can the hotlists be loaded, are they fresh, and is there anything in them?

use super::Finding;
use crate::clock::Clock;
use crate::command::lists::Shelf;
use crate::config::{Config, HotlistFile};
use crate::domain::{ListId, TimeMs};
use crate::hotlist::{List, load_csv};
use crate::store::Vault;
use crate::supervise::{list_settings, read_store_key};

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let files = config.hotlists.iter().map(|file| one(file, clock.utc()));
    files.chain(of_centre(config, clock.utc())).collect()
}

/// The lists that lie sealed on the disk; none where there is no store key, which another finding tells.
fn of_centre(config: &Config, now: TimeMs) -> Vec<Finding> {
    let Ok(key) = read_store_key(config) else { return Vec::new() };
    let shelf = Shelf::new(&config.site.data_dir, Vault::new(&key));
    let ids = match shelf.lists() {
        Ok(ids) => ids,
        Err(error) => return vec![Finding::failure("lists", error.to_string(), UNREADABLE)],
    };
    let look = |id: ListId| match shelf.load(&id) {
        Ok(list) => told(&list, now),
        Err(error) => Finding::failure("lists", format!("{id}: {error}"), UNREADABLE),
    };
    ids.into_iter().map(look).collect()
}

const UNREADABLE: &str = "see the disk; then put the list anew with `watchpostctl hotlist put`";

fn one(file: &HotlistFile, now: TimeMs) -> Finding {
    match load_csv(&file.file, &list_settings(file)) {
        Ok(list) => told(&list, now),
        Err(error) => {
            let todo = "mend the file; until then `run` goes on with the list it has, or without one";
            Finding::failure("lists", error.to_string(), todo)
        }
    }
}

fn told(list: &List, now: TimeMs) -> Finding {
    let id = &list.settings().id;
    let (entries, issued) = (list.len(), list.issued());
    let hours = now.since(issued) / 3_600_000;
    if list.is_stale(now) {
        return Finding::warning(
            "lists",
            format!("{id}: {entries} entries, {hours} hours old ({issued}), past its freshness"),
            "get a newer list from its owner; it goes on matching, and its hits are marked",
        );
    }
    if list.is_empty() {
        return Finding::warning("lists", format!("{id}: no entry at all"), "see whether the right file was put there");
    }
    if issued > now {
        return Finding::warning(
            "lists",
            format!("{id}: is of {issued}, which is yet to come: a newer file would be refused as older"),
            "set the clock, or `touch` the file; pack a list of the centre with a set clock",
        );
    }
    match list.settings().freshness {
        Some(_) => Finding::ok("lists", format!("{id}: {entries} entries, {hours} hours old, fresh")),
        None => Finding::ok("lists", format!("{id}: {entries} entries, {hours} hours old; no freshness_hours is set")),
    }
}
