//! Can the store be opened?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::store;
use crate::supervise::{open_store, store_dir};

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let dir = store_dir(config);
    if !dir.exists() {
        return vec![Finding::ok("store", format!("{} is not there yet; `run` makes it", dir.display()))];
    }
    vec![match open_store(config, [0; 4], clock) {
        Ok(store) => {
            let (counts, depth) = (store.counts(), store.outbox().depth());
            Finding::ok(
                "store",
                format!(
                    "{} sightings, {} hits, {} alerts wait for the centre",
                    counts.sightings, counts.hits, depth.entries
                ),
            )
        }
        Err(error) if matches!(error.downcast_ref(), Some(store::Error::Locked { .. })) => {
            Finding::ok("store", format!("{} is in use by a running daemon", dir.display()))
        }
        Err(error) => Finding::failure("store", format!("{error:#}"), "docs/store.md, «When it does not open»"),
    }]
}
