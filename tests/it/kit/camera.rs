//! What every test of a camera does: open it, take frames, or have its first error.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, Serving};
use watchpost::camera::worker::{Share, Workers};
use watchpost::camera::{self, Error, Next, Settings, Source};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame};
use watchpost::health::{CameraCounters, Health};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Served in a loop, as a camera sends.
pub fn looped() -> Serving {
    Serving { looped: true, ..Serving::default() }
}

/// A clip in a folder.
pub fn clip(dir: &Path, clip: Clip<'_>) -> PathBuf {
    let path = dir.join("clip.mp4");
    clip.make(&path).unwrap();
    path
}

pub fn settings(uri: &str) -> Settings {
    let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, uri.parse().unwrap());
    settings.stall_after = Duration::from_secs(1);
    settings.first_frame_within = Duration::from_secs(3);
    settings.back_off_first = Duration::from_millis(50);
    settings.back_off_most = Duration::from_millis(200);
    settings.back_off_denied = (Duration::from_millis(50), Duration::from_millis(200));
    settings.workers = workers();
    settings
}

/// Everything is decoded in a worker where this is set: all that is tested of cameras has to hold there as well.
fn workers() -> Option<Workers> {
    static ALL: OnceLock<Workers> = OnceLock::new();
    let make = || {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_watchpost"));
        Workers::new(program, Share::Each, Clock::system(), Health::new())
    };
    std::env::var_os("WATCHPOST_TEST_WORKERS").map(|_| ALL.get_or_init(make).clone())
}

pub fn open(settings: &Settings) -> Result<Box<dyn Source>, Error> {
    camera::open(settings, &Clock::system(), Arc::new(CameraCounters::default()))
}

/// The first error, of the opening or of what comes after it.
pub fn error_of(settings: &Settings) -> Error {
    let mut source = match open(settings) {
        Ok(source) => source,
        Err(error) => return error,
    };
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Err(error) = source.next(PATIENCE) {
            return error;
        }
    }
    panic!("no error in {PATIENCE:?}");
}

/// So many frames.
pub fn frames(settings: &Settings, n: usize) -> Vec<Frame> {
    let mut source = open(settings).unwrap();
    let began = Instant::now();
    let mut frames = Vec::new();
    while frames.len() < n {
        assert!(began.elapsed() < PATIENCE, "{} frames of {n} in {PATIENCE:?}", frames.len());
        if let Next::Frame(frame) = source.next(PATIENCE).unwrap() {
            frames.push(frame);
        }
    }
    frames
}
