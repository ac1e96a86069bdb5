//! Can the hotlists be loaded, are they fresh, and is there anything in them?

use super::Finding;
use crate::clock::Clock;
use crate::config::{Config, HotlistFile};
use crate::domain::TimeMs;
use crate::hotlist::load_csv;
use crate::supervise::list_settings;

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    config.hotlists.iter().map(|file| one(file, clock.utc())).collect()
}

fn one(file: &HotlistFile, now: TimeMs) -> Finding {
    let id = &file.id;
    let list = match load_csv(&file.file, &list_settings(file)) {
        Ok(list) => list,
        Err(error) => {
            let todo = "mend the file; until then `run` goes on with the list it has, or without one";
            return Finding::failure("lists", error.to_string(), todo);
        }
    };
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
            "set the clock, or `touch` the file",
        );
    }
    match file.freshness_hours {
        Some(_) => Finding::ok("lists", format!("{id}: {entries} entries, {hours} hours old, fresh")),
        None => Finding::ok("lists", format!("{id}: {entries} entries, {hours} hours old; no freshness_hours is set")),
    }
}
