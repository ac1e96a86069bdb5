//! Is there memory for what is configured?
//!
//! What it needs is reckoned from what `docs/performance.md` measured for whole processes (152 MiB with one 1080p camera
//! and a cache of 16 MiB, 257 MiB with four and a second session of each model) and from what a stream and a session cost:
//! 17 MB a 1080p H.264 stream, 15 MB a session. A size that the configuration does not tell is taken as 1080p; streams in
//! H.265 take 13 MiB more each, which nobody knows before they come. Lists come on top, by their files.

use super::Finding;
use crate::camera::SourceUri;
use crate::centre::wire::Memory;
use crate::clock::Clock;
use crate::config::{self, Config, DecodeWorkers};
use crate::store;
use crate::supervise::{machine, model_settings, store_dir};

/// The process without models and cameras, with the cache that is in the base.
const BASE_MIB: u64 = 97;
/// A session of a model; each model has one a worker.
const SESSION_MIB: u64 = 15;
/// Pixels of the frames that the numbers below were measured with.
const MEASURED_PIXELS: u64 = 1920 * 1080;
/// A stream that is analysed: decoder (17), frames, pictures.
const CAMERA_MIB: u64 = 25;
/// The main stream beside a substream: a second decoder (17) and the three frames that are kept for reading (3 each).
const MAIN_MIB: u64 = 26;
/// What a stream takes at least, however small.
const LEAST_MIB: u64 = 5;
/// A process that decodes, beside what its cameras need there instead of in the daemon.
const WORKER_MIB: u64 = 14;
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
    let files = config.hotlists.iter().filter_map(|list| std::fs::metadata(&list.file).ok());
    let lists = files.map(|m| m.len()).sum::<u64>() >> 20;
    let cameras = config.cameras.iter().filter(|c| c.enabled).map(camera_mib).sum::<u64>();
    let workers = model_settings(&config.vision).map_or(1, |s| u64::try_from(s.workers).unwrap_or(u64::MAX));
    let models = if config.vision.vehicles.is_some() { 3 } else { 2 };
    (BASE_MIB + config.store.cache_mib)
        .saturating_sub(BASE_CACHE_MIB)
        .saturating_add(workers.saturating_mul(models * SESSION_MIB))
        .saturating_add(cameras)
        .saturating_add(decode_workers(config).saturating_mul(WORKER_MIB))
        .saturating_add(lists.saturating_mul(LIST_FACTOR))
}

/// Processes that decode.
fn decode_workers(config: &Config) -> u64 {
    let decoded = config.cameras.iter().filter(|c| c.enabled).count();
    match config.decode.workers {
        DecodeWorkers::None => 0,
        DecodeWorkers::Shared => u64::from(decoded > 0),
        DecodeWorkers::Each => u64::try_from(decoded).unwrap_or(u64::MAX),
    }
}

/// A camera: what is analysed, and the main stream beside it where that is a substream.
fn camera_mib(camera: &config::Camera) -> u64 {
    let stream = |uri: &str, whole: u64| (whole * pixels(uri) / MEASURED_PIXELS).max(LEAST_MIB);
    match &camera.substream {
        Some(substream) => stream(substream, CAMERA_MIB) + stream(&camera.uri, MAIN_MIB),
        None => stream(&camera.uri, CAMERA_MIB),
    }
}

/// Pixels of a frame, where the address asks for a size.
fn pixels(uri: &str) -> u64 {
    let wish = uri.parse::<SourceUri>().map(|uri| uri.wish()).unwrap_or_default();
    wish.width.zip(wish.height).map_or(MEASURED_PIXELS, |(w, h)| u64::from(w) * u64::from(h))
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
            "configure fewer cameras or substreams, lower [vision] workers or [store] cache_mib, or use a larger machine",
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

    fn needed(sections: &str) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        let head = "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"data\"\n";
        std::fs::write(&path, format!("{head}{sections}")).unwrap();
        needed_mib(&config::load(&path).unwrap_or_else(|faults| panic!("{faults:?}")))
    }

    /// `count` cameras, each with the lines of `more`.
    fn cameras(count: u32, more: &str) -> String {
        let one = |n| format!("[[camera]]\nid = \"c{n}\"\nnumber = {n}\n{more}\n");
        (1..=count).map(one).collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_was_measured_is_what_is_reckoned() {
        let rtsp = "uri = \"rtsp://192.0.2.1/1\"";
        let of = |count, workers, decode| {
            needed(&format!(
                "{}[vision]\nworkers = {workers}\n[decode]\nworkers = \"{decode}\"\n[store]\ncache_mib = 16\n",
                cameras(count, rtsp)
            ))
        };
        assert_eq!((of(1, 1, "none"), of(4, 2, "none")), (152, 257));
        assert_eq!((of(4, 2, "shared"), of(4, 2, "each")), (257 + WORKER_MIB, 257 + 4 * WORKER_MIB));
    }

    #[test]
    fn a_main_stream_vehicles_and_the_size_of_the_picture_count() {
        let vision = "[vision]\nworkers = 2\n";
        let plain = needed(&format!("{}{vision}", cameras(1, "uri = \"rtsp://192.0.2.1/1\"")));
        let both = "uri = \"rtsp://192.0.2.1/1\"\nsubstream = \"rtsp://192.0.2.1/2\"";
        assert_eq!(needed(&format!("{}{vision}", cameras(1, both))), plain + MAIN_MIB);
        let off = format!("{both}\nenabled = false");
        assert_eq!(needed(&format!("{}{vision}", cameras(1, &off))), plain - CAMERA_MIB - WORKER_MIB);
        let vehicles = format!("{}{vision}vehicles = \"objects-1\"\n", cameras(1, both));
        assert_eq!(needed(&vehicles), plain + MAIN_MIB + 2 * SESSION_MIB);
        let sized =
            |w, h| needed(&format!("{}{vision}", cameras(1, &format!("uri = \"test://smpte?width={w}&height={h}\""))));
        assert_eq!([sized(1920, 1080), sized(3840, 2160), sized(64, 64)], [plain, plain + 75, plain - 20]);
    }
}
