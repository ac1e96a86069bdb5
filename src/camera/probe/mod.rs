//! Looks at what a source sends: streams, codec, size, rate, key frames, delay, and what a frame costs here.
//!
//! The source is opened as [`super::open`] opens it, with a `Tap` between parser and decoder: what is found is what a
//! camera of the configuration would get. A live source is looked at for some seconds of its own time, a file for as many
//! seconds of its stream. Blocks its thread; called by `watchpost probe`. Left out: whether plates can be read (`read`).

mod measure;
#[cfg(feature = "gst")]
mod quantiser;
pub mod reach;
#[cfg(feature = "gst")]
mod tap;

use std::sync::Arc;
use std::time::Duration;

pub use measure::{KeyFrames, Measured, Picture};
#[cfg(feature = "gst")]
pub use tap::Tap;

use super::run::check_silence;
use super::{Error, Next, Settings, Source};
use crate::clock::Clock;
use crate::domain::PixelFormat;
use crate::health::CameraCounters;

/// How long one wait for a frame lasts, between looks at the time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without a second key frame the look goes on, to so many times the time that was asked for.
const PATIENCE: u32 = 3;
/// Decoding is measured over at least so many frames.
const FRAMES_FOR_COST: u64 = 10;

/// A stream that the source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// `video`, `audio`, or what else the source calls it.
    pub media: String,
    /// Its codec, in the words of the source.
    pub codec: String,
    /// Whether it is the one that is decoded.
    pub used: bool,
}

/// What the parser says of the coded stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Coded {
    /// `H.264`, `H.265`, `Motion JPEG` or the name of its caps.
    pub codec: String,
    /// Profile, e.g. `high`.
    pub profile: Option<String>,
    /// Level, e.g. `4.1`.
    pub level: Option<String>,
    /// Pixels across and down.
    pub size: Option<(u32, u32)>,
    /// Frames a second that the stream declares.
    pub fps: Option<f64>,
    /// Chroma format, e.g. `4:2:0`.
    pub chroma: Option<String>,
    /// Bits a sample.
    pub bits: Option<u32>,
    /// Luma 0–255 instead of 16–235; `None` when the stream does not say.
    pub full_range: Option<bool>,
    /// Two half pictures in each.
    pub interlaced: bool,
    /// Width to height of a pixel, when not square.
    pub pixel_aspect: Option<(i32, i32)>,
}

/// What was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Pixels across and down, upright.
    pub size: (u32, u32),
    /// Layout of the planes.
    pub pixels: PixelFormat,
    /// Luma 0–255 instead of 16–235.
    pub full_range: bool,
}

/// What a source sends.
#[derive(Debug)]
pub struct Probed {
    /// Its address as it may be shown.
    pub origin: String,
    /// Whether it comes at its own pace.
    pub live: bool,
    /// Everything it offers.
    pub streams: Vec<Stream>,
    /// How network pictures travelled: `TCP` or `UDP`.
    pub transport: Option<&'static str>,
    /// The stream that is decoded.
    pub coded: Option<Coded>,
    /// Degrees clockwise that the stream asks to be turned by, and whether it is mirrored.
    pub turned: Option<(u16, bool)>,
    /// By its coded pictures; of a source without a parser by its decoded ones.
    pub measured: Measured,
    /// The first frame that was decoded.
    pub decoded: Option<Decoded>,
    /// Frames that were decoded.
    pub frames: u64,
    /// From opening to the first decoded frame.
    pub first_frame: Option<Duration>,
    /// CPU time of this process for one frame: receiving, parsing, decoding; ms.
    pub cost_ms: Option<f64>,
    /// Why it ended before it should have.
    pub error: Option<Error>,
}

impl Coded {
    /// Whether pictures build on others, so that key frames matter.
    #[must_use]
    pub fn has_key_frames(&self) -> bool {
        self.codec != "Motion JPEG"
    }
}

impl Probed {
    /// Nothing is known yet.
    #[must_use]
    pub fn nothing(settings: &Settings) -> Self {
        Self {
            origin: settings.uri.to_string(),
            live: settings.uri.is_live(),
            streams: Vec::new(),
            transport: None,
            coded: None,
            turned: None,
            measured: Measured::default(),
            decoded: None,
            frames: 0,
            first_frame: None,
            cost_ms: None,
            error: None,
        }
    }
}

/// Opens the source of `settings` and looks at it for `time` of its stream.
///
/// What goes wrong is in [`Probed::error`], beside what was seen before.
#[must_use]
pub fn probe(settings: &Settings, clock: &Clock, time: Duration) -> Probed {
    let counters = Arc::new(CameraCounters::default());
    let mut look = Look::new(settings, clock, time);
    #[cfg(feature = "gst")]
    let (settings, tap) = {
        let tap = Arc::new(Tap::new(clock.clone()));
        let settings = Settings { tap: Some(Arc::clone(&tap)), ..settings.clone() };
        (settings, tap)
    };
    #[cfg(feature = "gst")]
    let settings = &settings;
    match super::open(settings, clock, Arc::clone(&counters)) {
        Ok(mut source) => {
            #[cfg(feature = "gst")]
            let keys = || tap.key_frames();
            #[cfg(not(feature = "gst"))]
            let keys = || None;
            look.at(source.as_mut(), &counters, &keys);
            #[cfg(feature = "gst")]
            tap.finish(&mut look.found);
        }
        Err(error) => look.found.error = Some(error),
    }
    look.found.frames = counters.received.get();
    if look.found.measured.pictures == 0 {
        look.found.measured = Measured::of(&look.pictures);
    }
    look.found
}

/// One look at one source.
struct Look<'a> {
    settings: &'a Settings,
    clock: &'a Clock,
    time: Duration,
    /// Decoded frames, as pictures without size.
    pictures: Vec<Picture>,
    found: Probed,
}

impl<'a> Look<'a> {
    fn new(settings: &'a Settings, clock: &'a Clock, time: Duration) -> Self {
        Self { settings, clock, time, pictures: Vec::new(), found: Probed::nothing(settings) }
    }

    /// Reads frames until enough was seen; `keys`: how many key frames were, where that is known.
    fn at(&mut self, source: &mut dyn Source, counters: &CameraCounters, keys: &dyn Fn() -> Option<usize>) {
        let began = self.clock.monotonic();
        let mut newest = began;
        let mut cost = None;
        loop {
            match source.next(LOOK_EVERY) {
                Ok(Next::Frame(frame)) => {
                    newest = self.clock.monotonic();
                    if self.found.first_frame.is_none() {
                        self.found.first_frame = Some(newest.saturating_sub(began));
                        self.found.decoded = Some(Decoded {
                            size: (frame.format.width, frame.format.height),
                            pixels: frame.format.pixels,
                            full_range: frame.format.full_range,
                        });
                        cost = Some((cpu_time(), counters.received.get()));
                    }
                    if self.pictures.len() < measure::MOST {
                        self.pictures.push(Picture { at: newest, pts: Some(frame.pts), key: false, bytes: 0 });
                    }
                    if self.is_enough(newest, frame.pts, keys()) {
                        break;
                    }
                }
                Ok(Next::Idle) => {
                    let (now, online) = (self.clock.monotonic(), self.found.first_frame.is_some());
                    if let Err(error) = check_silence(self.settings, source, now, (newest, online)) {
                        self.found.error = Some(error);
                        break;
                    }
                }
                Ok(Next::End) => break,
                Err(error) => {
                    self.found.error = Some(error);
                    break;
                }
            }
        }
        if let Some((cpu, frames)) = cost {
            let frames = counters.received.get().saturating_sub(frames);
            let spent = cpu_time().saturating_sub(cpu);
            self.found.cost_ms = (frames >= FRAMES_FOR_COST).then(|| spent.as_secs_f64() * 1e3 / frames as f64);
        }
    }

    fn is_enough(&self, now: Duration, pts: Duration, keys: Option<usize>) -> bool {
        let seen = match self.pictures.first() {
            Some(first) if self.found.live => now.saturating_sub(first.at),
            _ => pts,
        };
        seen >= self.time && (keys.is_none_or(|keys| keys >= 2) || seen >= self.time * PATIENCE)
    }
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
