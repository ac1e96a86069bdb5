//! Does each camera send pictures, and are the elements for its pipeline installed?

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

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = pipelines();
    for camera in config.cameras.iter().filter(|c| c.enabled) {
        findings.push(match first_frame(camera, config, clock) {
            Ok(frame) => Finding::ok(
                "camera",
                format!("{}: {}×{} {:?}", camera.id, frame.format.width, frame.format.height, frame.format.pixels),
            ),
            Err(what) => Finding::failure("camera", format!("{}: {what}", camera.id), "docs/install.md, «A camera»"),
        });
    }
    findings
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

#[cfg(feature = "gst")]
fn pipelines() -> Vec<Finding> {
    let names = camera::pipeline::EMBEDDED.iter().map(|(name, _)| *name);
    let wrong: Vec<Finding> = names
        .filter_map(|name| camera::pipeline::check(name).err().map(|e| (name, e)))
        .map(|(name, error)| {
            Finding::failure("pipeline", format!("{name}: {error}"), "install the package that it names")
        })
        .collect();
    if wrong.is_empty() { vec![Finding::ok("pipeline", "all elements of the pipelines are installed")] } else { wrong }
}

#[cfg(not(feature = "gst"))]
fn pipelines() -> Vec<Finding> {
    vec![Finding::failure("pipeline", "this build has no GStreamer", "build with the default features")]
}
