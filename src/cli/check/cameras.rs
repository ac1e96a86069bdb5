//! Does each camera send pictures? All are opened at the same time, for their first frame; of a camera with a substream both
//! streams are.

use std::sync::Arc;
use std::time::Duration;

use super::Finding;
use crate::camera::{self, Next, Settings};
use crate::causes;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Frame;
use crate::health::{CameraCounters, Worry};
use crate::supervise::camera_settings;

/// How long a camera may take to its first frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// Streams that are opened at the same time.
const AT_ONCE: usize = 8;

/// A stream to open, and how it is called.
struct Stream {
    name: String,
    settings: Settings,
}

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut streams = Vec::new();
    for camera in config.cameras.iter().filter(|c| c.enabled) {
        match camera_settings(camera, config) {
            Ok(settings) => streams.extend(streams_of(settings)),
            // Its addresses were read with the configuration.
            Err(error) => {
                let todo = "correct its credential: a file with user:password, for the user of watchpost alone";
                findings.push(Finding::failure("cameras", format!("{}: {}", camera.id, causes::line(&error)), todo));
            }
        }
    }
    for some in streams.chunks(AT_ONCE) {
        findings.extend(std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|stream| scope.spawn(|| one(stream, clock))).collect();
            threads
                .into_iter()
                .zip(some)
                .map(|(thread, stream)| thread.join().unwrap_or_else(|_| panicked(&stream.name)))
                .collect::<Vec<_>>()
        }));
    }
    findings
}

/// The stream that is looked at, and the one that is read where there are two.
fn streams_of(settings: Settings) -> Vec<Stream> {
    let id = settings.id.clone();
    match settings.of_main() {
        Some(main) => vec![
            Stream { name: format!("{id} (substream)"), settings },
            Stream { name: format!("{id} (main stream)"), settings: main },
        ],
        None => vec![Stream { name: id.to_string(), settings }],
    }
}

fn one(Stream { name, settings }: &Stream, clock: &Clock) -> Finding {
    let begun = clock.monotonic();
    let counters = Arc::new(CameraCounters::default());
    match first_frame(settings, clock, &counters) {
        Ok(frame) => {
            let (width, height, pixels) = (frame.format.width, frame.format.height, frame.format.pixels);
            let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
            let seen = format!("{width}×{height} {pixels:?}, first frame after {took:.1} s");
            match counters.worry(Worry::Decoder) {
                None => Finding::ok("cameras", format!("{name}: {seen}")),
                Some(why) => Finding::warning(
                    "cameras",
                    format!("{name}: {seen}, but {why}"),
                    "see to the device and its driver, or take `pipeline` out of the camera's block: docs/streams.md, «Decoding by hardware»",
                ),
            }
        }
        Err(what) => failed(name, &what),
    }
}

fn failed(name: &str, what: &str) -> Finding {
    let todo = "`watchpost probe URI` says what it sends; docs/troubleshooting.md, «Cameras»";
    Finding::failure("cameras", format!("{name}: {what}"), todo)
}

fn panicked(name: &str) -> Finding {
    let todo = "report it with what `watchpost probe URI` says";
    Finding::failure("cameras", format!("{name}: its check broke off"), todo)
}

fn first_frame(settings: &Settings, clock: &Clock, counters: &Arc<CameraCounters>) -> Result<Frame, String> {
    let mut source = camera::open(settings, clock, Arc::clone(counters)).map_err(|e| e.to_string())?;
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
