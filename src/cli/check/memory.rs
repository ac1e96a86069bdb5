//! Is there memory for what is configured?
//!
//! What it needs is reckoned from `docs/performance.md`: 152 MiB with one 1080p camera and the default cache, 257 MiB
//! with four (whole process, models included). Lists come on top, by their files.

use super::Finding;
use crate::centre::wire::Memory;
use crate::clock::Clock;
use crate::config::Config;
use crate::store;
use crate::supervise::{machine, store_dir};

/// The process without cameras, with the default cache.
const BASE_MIB: u64 = 117;
/// Each camera: decoder, frames, its share of the models.
const CAMERA_MIB: u64 = 35;
/// The cache that is in the base.
const BASE_CACHE_MIB: u64 = 16;
/// A list takes at most about twice its file.
const LIST_FACTOR: u64 = 2;

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    // A daemon that runs has its memory already.
    let runs = store::holder(&store_dir(config)).is_ok_and(|holder| holder.is_some());
    vec![judge(machine::memory(), needed_mib(config), runs)]
}

fn needed_mib(config: &Config) -> u64 {
    let cameras = u64::try_from(config.cameras.iter().filter(|c| c.enabled).count()).unwrap_or(u64::MAX);
    let files = config.hotlists.iter().filter_map(|list| std::fs::metadata(&list.file).ok());
    let lists = files.map(|m| m.len()).sum::<u64>() >> 20;
    (BASE_MIB + config.store.cache_mib.saturating_sub(BASE_CACHE_MIB))
        .saturating_add(cameras.saturating_mul(CAMERA_MIB))
        .saturating_add(lists.saturating_mul(LIST_FACTOR))
}

fn judge(memory: Memory, needed: u64, runs: bool) -> Finding {
    let (available, total) = (memory.available >> 20, memory.total >> 20);
    if total == 0 {
        return Finding::ok("memory", format!("about {needed} MiB are needed; the system does not tell what it has"));
    }
    if needed > total {
        return Finding::failure(
            "memory",
            format!("about {needed} MiB are needed, the machine has {total}"),
            "configure fewer cameras, lower [store] cache_mib, or use a larger machine",
        );
    }
    if needed > available && !runs {
        return Finding::warning(
            "memory",
            format!("about {needed} MiB are needed, {available} of {total} are available"),
            "see what else runs on this machine (`ps aux --sort=-rss`)",
        );
    }
    Finding::ok("memory", format!("about {needed} MiB are needed, {available} of {total} are available"))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_is_needed_is_held_against_what_there_is() {
        let memory = Memory { available: 300 << 20, total: 1000 << 20 };
        assert_eq!(judge(memory, 200, false).level, Level::Ok);
        assert_eq!(judge(memory, 400, false).level, Level::Warning);
        assert_eq!(judge(memory, 400, true).level, Level::Ok);
        assert_eq!(judge(memory, 1001, true).level, Level::Failure);
    }
}
