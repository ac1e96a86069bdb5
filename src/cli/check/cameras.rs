//! Does each camera send pictures? All are opened at the same time, for their first frame.

use std::sync::Arc;
use std::time::Duration;

use super::Finding;
use crate::camera::{self, Next};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::Frame;
use crate::health::CameraCounters;
use crate::supervise::camera_settings;

/// How long a camera may take to its first frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// Cameras that are opened at the same time.
const AT_ONCE: usize = 8;

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let cameras: Vec<&config::Camera> = config.cameras.iter().filter(|c| c.enabled).collect();
    let mut findings = Vec::new();
    for some in cameras.chunks(AT_ONCE) {
        findings.extend(std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|camera| scope.spawn(|| one(camera, config, clock))).collect();
            threads
                .into_iter()
                .zip(some)
                .map(|(thread, camera)| thread.join().unwrap_or_else(|_| panicked(camera)))
                .collect::<Vec<_>>()
        }));
    }
    findings
}

fn one(camera: &config::Camera, config: &Config, clock: &Clock) -> Finding {
    let (id, begun) = (&camera.id, clock.monotonic());
    match first_frame(camera, config, clock) {
        Ok(frame) => {
            let (width, height, pixels) = (frame.format.width, frame.format.height, frame.format.pixels);
            let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
            Finding::ok("cameras", format!("{id}: {width}×{height} {pixels:?}, first frame after {took:.1} s"))
        }
        Err(what) => Finding::failure(
            "cameras",
            format!("{id}: {what}"),
            "`watchpost probe URI` says what it sends; docs/troubleshooting.md, «Cameras»",
        ),
    }
}

fn panicked(camera: &config::Camera) -> Finding {
    let todo = "report it with what `watchpost probe URI` says";
    Finding::failure("cameras", format!("{}: its check broke off", camera.id), todo)
}

fn first_frame(camera: &config::Camera, config: &Config, clock: &Clock) -> Result<Frame, String> {
    let settings = camera_settings(camera, config).map_err(|e| format!("{e:#}"))?;
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(&settings, clock, counters).map_err(|e| e.to_string())?;
    let end = clock.monotonic() + PATIENCE;
    while clock.monotonic() < end {
        match source.next(Duration::from_millis(200)).map_err(|e| e.to_string())? {
            Next::Frame(frame) => return Ok(frame),
            Next::Idle => {}
            Next::End => return Err("the file holds no frame".into()),
        }
    }
    Err(format!("connected, but no frame came within {} s", PATIENCE.as_secs()))
}
