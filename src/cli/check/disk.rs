//! Is there room for the store?

use std::path::Path;

use super::Finding;
use crate::config::Config;

/// Below this the store does not start.
const NEEDED_MIB: u64 = 64;
/// Below this a busy box fills the disk in days.
const ADVISED_MIB: u64 = 2_048;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let dir = &config.site.data_dir;
    // The folder is made by `init` or `run`; until then the nearest one above it tells.
    let there = dir.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let path = dir.display();
    let retention = Finding::warning(
        "disk",
        "this version deletes nothing by schedule: [store.retention] is not acted on yet",
        "watch the free space; `reads_hours = 0` keeps hits alone",
    );
    let room = match rustix::fs::statvfs(there) {
        Err(error) => Finding::failure("disk", format!("{path}: {error}"), "see that data_dir is on a mounted disk"),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            let what = format!("{free} MiB free at {path}");
            if free < NEEDED_MIB {
                Finding::failure("disk", what, format!("free at least {NEEDED_MIB} MiB; better {ADVISED_MIB}"))
            } else if free < ADVISED_MIB {
                Finding::warning("disk", what, format!("{ADVISED_MIB} MiB or more are advised"))
            } else {
                Finding::ok("disk", what)
            }
        }
    };
    vec![room, retention]
}
