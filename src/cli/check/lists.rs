//! Can the hotlists be loaded, and are they fresh?

use super::Finding;
use crate::config::Config;
use crate::domain::TimeMs;
use crate::hotlist::load_csv;
use crate::supervise::list_settings;

pub(super) fn check(config: &Config, now: TimeMs) -> Vec<Finding> {
    config
        .hotlists
        .iter()
        .map(|file| match load_csv(&file.file, &list_settings(file)) {
            Err(error) => Finding::failure(
                "hotlist",
                error.to_string(),
                "mend the file; until then `run` goes on without this list",
            ),
            Ok(list) if list.is_stale(now) => {
                let what = format!("{}: {} entries, of {}, past its freshness", file.id, list.len(), list.issued());
                Finding::warning("hotlist", what, "get a newer list from its owner")
            }
            Ok(list) => Finding::ok("hotlist", format!("{}: {} entries, of {}", file.id, list.len(), list.issued())),
        })
        .collect()
}
