//! Sources of frames: network cameras, devices, files, folders of pictures, test patterns. Opens, decodes, watches for stalls, backs off and reopens.
//!
//! [`open`] gives a [`Source`]; [`Camera::run`] is the loop around it that keeps a camera going. A live source hands out
//! the newest frame and counts those it replaced; a file hands out every frame and then ends. What a camera's failure
//! costs is that camera's frames and nothing else: each one has its own pipeline and its own analysis thread, which
//! calls [`Source::next`] and blocks there.
//!
//! Frames keep the decoder's own pixel format and lie in its buffers ([`crate::domain::Frame`] is a handle): nothing is
//! copied or converted here, but for what is rare (other formats, interlaced pictures, tilted cameras). Pipelines are texts (`pipelines/`), put together by the container and codec that were
//! found; nothing is plugged in by guessing, since the bytes come from a network.
//!
//! Called by `supervise` (cameras) and `cli` (`read`, `check`). Left out: motion, masks and zones, which are vision's.

pub mod error;
mod folder;
pub mod idle;
pub mod pair;
pub mod planes;
pub mod probe;
pub mod replay;
pub mod rotate;
pub mod run;
pub mod still;

#[cfg(feature = "gst")]
pub mod clip;
#[cfg(feature = "gst")]
mod coded;
#[cfg(feature = "gst")]
mod container;
#[cfg(feature = "gst")]
pub mod convert;
#[cfg(feature = "gst")]
pub mod decode;
#[cfg(feature = "gst")]
pub mod elements;
#[cfg(feature = "gst")]
pub mod fields;
#[cfg_attr(not(feature = "gst"), path = "film_not_built.rs")]
pub mod film;
#[cfg(feature = "gst")]
mod frame;
#[cfg(feature = "gst")]
mod gst;
#[cfg(feature = "gst")]
mod guard;
#[cfg(feature = "gst")]
pub mod hardware;
#[cfg(feature = "gst")]
mod link;
#[cfg(feature = "gst")]
mod mp4;
#[cfg(feature = "gst")]
mod orientation;
#[cfg(feature = "gst")]
mod pace;
#[cfg(feature = "gst")]
pub mod pipeline;
#[cfg(feature = "gst")]
pub mod ring;
#[cfg(feature = "gst")]
mod slot;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(feature = "gst")]
mod times;
#[cfg(feature = "gst")]
mod toil;
#[cfg(feature = "gst")]
pub mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use error::Error;
pub use pair::MainStream;
pub use rotate::Rotation;
pub use run::{Camera, CameraEvent};

pub use crate::domain::frame::{MAX_SIDES, fits};
pub use crate::domain::source::{Credential, SourceUri};
pub use crate::domain::wish::Wish;

use crate::clock::Clock;
use crate::domain::{CameraId, Frame, Transport};
use crate::health::CameraCounters;

/// A camera of which nothing at all comes is given up after this time.
pub const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(10);
/// One whose packets come is given so long until its first key frame.
pub const KEY_FRAME_WITHIN: Duration = Duration::from_secs(30);

/// Longest time from one opening of a camera that fails to the next: one that works again is back within ten seconds.
pub const BACK_OFF_MOST: Duration = Duration::from_secs(6);

/// What a camera needs to be opened and kept going.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The camera's name.
    pub id: CameraId,
    /// Its number in alerts.
    pub number: u16,
    /// Where its pictures come from.
    pub uri: SourceUri,
    /// User and password; goes before one that stood in the address.
    pub credential: Option<Credential>,
    /// How a network camera's pictures travel; `rtsps` always uses its own connection.
    pub transport: Transport,
    /// PEM file of the authorities, or of the very certificate, that a `rtsps` camera must show; otherwise the system's
    /// authorities count.
    pub ca: Option<PathBuf>,
    /// Name of an embedded pipeline (`pipelines/`) or path of a text file, instead of the one chosen by codec; `auto`: by what
    /// the machine has.
    pub pipeline: Option<String>,
    /// Texts of hardware decoders that are taken for the codings that they are for: what `auto` became at this opening.
    #[cfg(feature = "gst")]
    pub decoders: Vec<String>,
    /// Whether the camera's hardware decoder was given up.
    #[cfg(feature = "gst")]
    pub given_up: hardware::GivenUp,
    /// At most so many frames a second are handed out; the others are decoded (they carry the picture on) and skipped.
    pub fps: Option<f32>,
    /// Plays a file at its own pace, newest frame first, as a camera would; without it every frame counts.
    pub realtime: bool,
    /// No frame for so long is a stall: the source is closed and opened again.
    pub stall_after: Duration,
    /// The same for the first frame after opening, when nothing at all comes.
    pub first_frame_within: Duration,
    /// The same when packets come that cannot be decoded yet: key frames may be far apart.
    pub key_frame_within: Duration,
    /// The main stream, when `uri` is a substream: plates are found on the one and read on the other.
    pub main: Option<SourceUri>,
    /// How far pictures are turned; `None`: as the stream says.
    pub rotate: Option<Rotation>,
    /// Shortest wait before a camera is opened again; it doubles with each failure.
    pub back_off_first: Duration,
    /// Longest wait before a camera is opened again, counted from its last opening.
    pub back_off_most: Duration,
    /// The same, shortest and longest, after a refused credential: cameras lock an account after a few.
    pub back_off_denied: (Duration, Duration),
    /// Who takes notes of what comes.
    #[cfg(feature = "gst")]
    pub tap: Option<Arc<probe::Tap>>,
    /// The ports that may be connected to, where a fence says so.
    #[cfg(feature = "gst")]
    pub ports: Option<Vec<u16>>,
    /// Where it is decoded; in this process without.
    #[cfg(feature = "gst")]
    pub workers: Option<worker::Workers>,
    /// When a file was opened, where that is not now: its pictures are of that time and their place.
    #[cfg(feature = "gst")]
    pub opened: Option<crate::domain::TimeMs>,
    /// Where it is noted that a decoder gets on.
    #[cfg(feature = "gst")]
    pub toil: Option<Arc<toil::Toil>>,
    /// What the analysis says of the scene, where key frames alone may be decoded while nothing moves; a live source's.
    pub idle: Option<Arc<idle::Idle>>,
    /// Where the last coded pictures are kept: of `main` where there is one, otherwise of `uri`.
    #[cfg(feature = "gst")]
    pub ring: Option<Arc<ring::Ring>>,
}

impl Settings {
    /// Defaults: pipeline by codec, all frames, stall after 4 s (10 s for the first frame, 30 s for a key frame),
    /// back-off 0.5 s to 6 s, 5 minutes to 1 hour after a refused credential.
    #[must_use]
    pub fn new(id: CameraId, number: u16, uri: SourceUri) -> Self {
        Self {
            id,
            number,
            uri,
            credential: None,
            transport: Transport::Auto,
            ca: None,
            pipeline: None,
            fps: None,
            realtime: false,
            stall_after: Duration::from_secs(4),
            first_frame_within: FIRST_FRAME_WITHIN,
            key_frame_within: KEY_FRAME_WITHIN,
            main: None,
            rotate: None,
            back_off_first: Duration::from_millis(500),
            back_off_most: BACK_OFF_MOST,
            back_off_denied: (Duration::from_mins(5), Duration::from_hours(1)),
            idle: None,
            #[cfg(feature = "gst")]
            decoders: Vec::new(),
            #[cfg(feature = "gst")]
            given_up: hardware::GivenUp::default(),
            #[cfg(feature = "gst")]
            tap: None,
            #[cfg(feature = "gst")]
            ports: None,
            #[cfg(feature = "gst")]
            workers: None,
            #[cfg(feature = "gst")]
            opened: None,
            #[cfg(feature = "gst")]
            toil: None,
            #[cfg(feature = "gst")]
            ring: None,
        }
    }

    /// With a ring for its coded pictures (unless it has one), where it has such: folders and test patterns have none. Of
    /// a camera with a main stream that stream's are kept.
    #[must_use]
    pub fn with_ring(self) -> Self {
        #[cfg(feature = "gst")]
        {
            let has_coded = match &self.uri {
                SourceUri::Rtsp { .. } | SourceUri::V4l2 { .. } => true,
                SourceUri::File(path) => !path.is_dir(),
                SourceUri::Test { .. } | SourceUri::Folder { .. } => false,
            };
            let made = || has_coded.then(|| Arc::new(ring::Ring::new(ring::Bounds::default())));
            let ring = self.ring.clone().or_else(made);
            Self { ring, ..self }
        }
        #[cfg(not(feature = "gst"))]
        self
    }

    /// The ring that this stream's coded pictures go into.
    #[cfg(feature = "gst")]
    fn own_ring(&self) -> Option<&Arc<ring::Ring>> {
        self.ring.as_ref().filter(|_| self.main.is_none())
    }

    /// Whether the newest frame goes before one that waits, as of a live camera; of a file every frame counts, unless it
    /// is played at its own pace.
    #[must_use]
    pub fn is_newest_first(&self) -> bool {
        self.uri.is_live() || self.realtime
    }

    /// The time between two frames, where the address asks for one.
    fn slowest(&self) -> Duration {
        self.uri.wish().fps_milli.map_or(Duration::ZERO, |milli| Duration::from_secs(1_000) / milli.max(1))
    }

    /// The time between two frames that are handed out, where the others are thinned.
    fn thinned(&self) -> Duration {
        let seconds = self.fps.filter(|fps| *fps > 0.0).map(|fps| 1.0 / fps);
        seconds.and_then(|seconds| Duration::try_from_secs_f32(seconds).ok()).unwrap_or_default()
    }

    /// The settings of the main stream, when these are a substream's: the same but for the address, and every frame.
    #[must_use]
    pub fn of_main(&self) -> Option<Self> {
        let uri = self.main.clone()?;
        Some(Self { uri, main: None, fps: None, ..self.clone() })
    }
}

/// What a source has next.
#[derive(Debug)]
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// Nothing came in the time that was asked for.
    Idle,
    /// The file is over; asking again gives the same.
    End,
}

/// Something that gives frames.
pub trait Source: Send {
    /// The next frame: live the newest one, of a file the one after the last. Blocks up to `wait`.
    ///
    /// # Errors
    /// The source is broken: it is to be dropped and opened again. Frames that came before are handed out first.
    fn next(&mut self, wait: Duration) -> Result<Next, Error>;

    /// Monotonic time at which anything came from the camera last, also what cannot be decoded yet; `None` before that,
    /// and from sources that do not know.
    fn heard(&self) -> Option<Duration> {
        None
    }

    /// How long it is, of a file that says so.
    fn length(&self) -> Option<Duration> {
        None
    }

    /// Whether no frame for long means that the source is broken; not so where pictures are skipped one by one.
    fn can_stall(&self) -> bool {
        true
    }
}

/// Opens the source of `settings`. Does not wait for a network: what goes wrong there, [`Source::next`] tells.
///
/// `counters` gets `received`, `dropped` and `last_frame_ms` as frames arrive, in a thread of the source.
///
/// # Errors
/// A file or device that cannot be read or played, a folder without pictures, a faulty pipeline, an element that is not
/// installed, an unusable file of authorities; [`Error::NotBuilt`] for all but folders in a build without GStreamer.
pub fn open(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>) -> Result<Box<dyn Source>, Error> {
    match &settings.uri {
        SourceUri::Folder { path, .. } => Ok(Box::new(folder::FolderSource::open(path, settings, clock, counters)?)),
        SourceUri::File(path) if path.is_dir() => {
            Ok(Box::new(folder::FolderSource::open(path, settings, clock, counters)?))
        }
        _ => open_stream(settings, clock, counters),
    }
}

#[cfg(feature = "gst")]
fn open_stream(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>) -> Result<Box<dyn Source>, Error> {
    hardware::open(settings, clock, counters)
}

/// Opens a source whose decoder was chosen, where it is to be decoded.
#[cfg(feature = "gst")]
fn open_decoded(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>) -> Result<Box<dyn Source>, Error> {
    match &settings.workers {
        Some(workers) => workers.open(settings, clock, counters),
        None => gst::open(settings, clock, counters),
    }
}

#[cfg(not(feature = "gst"))]
fn open_stream(settings: &Settings, _clock: &Clock, _counters: Arc<CameraCounters>) -> Result<Box<dyn Source>, Error> {
    Err(Error::NotBuilt { origin: settings.uri.to_string() })
}

/// The version of what decodes, when this build has it.
#[must_use]
pub fn decoder_version() -> Option<String> {
    #[cfg(feature = "gst")]
    {
        let (major, minor, micro, _) = gstreamer::version();
        Some(format!("{major}.{minor}.{micro}"))
    }
    #[cfg(not(feature = "gst"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_accepted_lying_and_standing_up_to_the_bound() {
        assert!(fits(4096, 2304) && fits(2304, 4096) && fits(1, 1) && fits(1919, 1079));
        assert!(!fits(4097, 16) && !fits(2400, 2400) && !fits(0, 10) && !fits(16, 4097));
    }
}
