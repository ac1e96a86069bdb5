//! Pictures into a video file: H.264 in MP4, that any player plays.
//!
//! For people, of what was drawn over frames; called by `watchpost read --draw`. [`Film::add`] waits while the encoder is
//! behind, and gives up when that takes nothing for [`STALL`] or the disk is full; the file is whole once [`Film::finish`] was called, and removed when that fails or never happens. Times are the
//! frames' own, so a file of uneven frame rate stays one. Left out: sound, and the clips of cameras, which are made by [`clip`](super::clip), coded anew only where masks are burnt in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::{Error, pipeline};

/// The encoders that will do, the best first, each with its parameters.
const ENCODERS: [(&str, &str); 2] = [
    ("x264enc", "x264enc pass=qual quantizer=21 speed-preset=veryfast key-int-max=50 bframes=0"),
    ("openh264enc", "openh264enc rate-control=quality bitrate=6000000 gop-size=50"),
];

/// What else is needed.
const ELEMENTS: [&str; 5] = ["appsrc", "videoconvert", "h264parse", "mp4mux", "filesink"];

/// Bytes of pictures that may wait for the encoder.
const WAITING: u64 = 32 << 20;

/// An encoder or a disk that takes nothing for so long will not go on.
const STALL: Duration = Duration::from_secs(30);
/// How often it is looked whether there is room.
const LOOK_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(10);

/// How long the encoder may take for what waits, at the end.
const FLUSH: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A file that is being written.
pub struct Film {
    path: PathBuf,
    size: (u32, u32),
    pipeline: gst::Element,
    source: app::AppSrc,
    bus: gst::Bus,
    /// Time of the newest picture.
    last: Option<Duration>,
    whole: bool,
}

impl Film {
    /// Begins the file at `path` for pictures of this size; a last odd column or row is left out.
    ///
    /// # Errors
    /// [`Error::MissingElement`] with what to install, [`Error::Stream`] when the file can't be written.
    pub fn create(path: &Path, (width, height): (u32, u32)) -> Result<Self, Error> {
        pipeline::init()?;
        let encoder = encoder()?;
        let size = (width & !1, height & !1);
        let text = format!(
            "appsrc name=pictures format=time block=false max-bytes={WAITING} \
             caps=video/x-raw,format=RGB,width={},height={},framerate=25/1 ! videoconvert \
             ! video/x-raw,format=I420,colorimetry=bt709 ! {encoder} ! h264parse ! mp4mux ! filesink name=file",
            size.0, size.1
        );
        let failed = |why: String| Error::Stream { origin: path.display().to_string(), why, hint: None };
        let pipeline = gst::parse::launch(&text).map_err(|e| failed(e.to_string()))?;
        let part = |name: &str| pipeline.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name(name));
        let source = part("pictures").and_then(|e| e.downcast().ok()).ok_or_else(|| failed("has no source".into()))?;
        let file = part("file").ok_or_else(|| failed("has no sink".into()))?;
        file.set_property("location", path);
        let bus = pipeline.bus().ok_or_else(|| failed("has no bus".into()))?;
        let film = Self { path: path.to_owned(), size, pipeline, source, bus, last: None, whole: false };
        if film.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(film.fault().unwrap_or_else(|| failed("does not start".into())));
        }
        Ok(film)
    }

    /// Whether pictures of this size can be added.
    #[must_use]
    pub fn fits(&self, (width, height): (u32, u32)) -> bool {
        (width & !1, height & !1) == self.size
    }

    /// Adds a picture: packed RGB rows of `width` pixels (that of [`Film::create`], or one more).
    ///
    /// # Errors
    /// [`Error::Stream`] when the file can't be written on.
    pub fn add(&mut self, rgb: &[u8], width: u32, pts: Duration) -> Result<(), Error> {
        let row = |pixels: u32| usize::try_from(pixels).unwrap_or(0) * 3;
        // GStreamer's rows of RGB are multiples of four bytes.
        let stride = row(self.size.0).next_multiple_of(4);
        let mut bytes = Vec::with_capacity(stride * usize::try_from(self.size.1).unwrap_or(0));
        for line in rgb.chunks_exact(row(width).max(1)).take(usize::try_from(self.size.1).unwrap_or(0)) {
            bytes.extend(line.iter().take(row(self.size.0)));
            bytes.resize(bytes.len().next_multiple_of(stride.max(1)), 0);
        }
        // A time that stands still or goes back would stop the file.
        let pts = self.last.map_or(pts, |last| pts.max(last + Duration::from_millis(1)));
        self.last = Some(pts);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(u64::try_from(pts.as_nanos()).unwrap_or(0)));
        }
        self.wait_for_room()?;
        if self.source.push_buffer(buffer).is_ok()
            && let None = self.fault()
        {
            return Ok(());
        }
        Err(self.fault().unwrap_or_else(|| self.failed("takes no more pictures")))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::Stream`] when what waited can't be written; the file is then removed.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.source.end_of_stream().is_err() {
            return Err(self.fault().unwrap_or_else(|| self.failed("takes no end")));
        }
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        match self.bus.timed_pop_filtered(FLUSH, &kinds) {
            Some(message) if message.type_() == gst::MessageType::Eos => {
                self.whole = true;
                Ok(())
            }
            Some(message) => Err(self.explained(&message)),
            None => Err(self.failed("the encoder does not end")),
        }
    }

    /// Waits until the encoder took some of what waits. GStreamer's own waiting would not end with an error behind it.
    fn wait_for_room(&self) -> Result<(), Error> {
        let (mut before, mut since) = (u64::MAX, Instant::now());
        loop {
            let waiting = self.source.current_level_bytes();
            if waiting < WAITING {
                return Ok(());
            }
            if waiting < before {
                (before, since) = (waiting, Instant::now());
            }
            if since.elapsed() >= STALL {
                return Err(self.failed("the encoder or the disk takes no more pictures"));
            }
            if let Some(message) = self.bus.timed_pop_filtered(LOOK_EVERY, &[gst::MessageType::Error]) {
                return Err(self.explained(&message));
            }
        }
    }

    fn failed(&self, why: &str) -> Error {
        Error::Stream { origin: self.path.display().to_string(), why: why.to_owned(), hint: None }
    }

    /// What stopped it, where something did.
    fn fault(&self) -> Option<Error> {
        self.bus.pop_filtered(&[gst::MessageType::Error]).map(|message| self.explained(&message))
    }

    fn explained(&self, message: &gst::MessageRef) -> Error {
        match message.view() {
            gst::MessageView::Error(error) => self.failed(&super::error::told(&error.error().to_string())),
            _ => self.failed("was stopped"),
        }
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        // Nothing can be done about a pipeline that does not stop.
        let _ = self.pipeline.set_state(gst::State::Null);
        if !self.whole {
            // A part of a file that nothing plays; it may not even be there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The text of the encoder that is installed.
fn encoder() -> Result<&'static str, Error> {
    let has = |name: &str| gst::ElementFactory::find(name).is_some();
    let missing = |element: &str| pipeline::missing("annotated video", element.to_owned());
    if let Some(element) = ELEMENTS.iter().find(|element| !has(element)) {
        return Err(missing(element));
    }
    let found = ENCODERS.iter().find(|(name, _)| has(name));
    found.map(|(_, text)| *text).ok_or_else(|| missing(ENCODERS[0].0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::camera::{Next, Settings, SourceUri};
    use crate::clock::Clock;
    use crate::domain::CameraId;

    fn play(path: &Path) -> Vec<(Duration, u32, u32)> {
        let id = CameraId::new("file").unwrap();
        let settings = Settings::new(id, 0, SourceUri::File(path.to_owned()));
        let mut source = crate::camera::open(&settings, &Clock::system(), Arc::default()).unwrap();
        let mut seen = Vec::new();
        loop {
            match source.next(Duration::from_secs(5)).unwrap() {
                Next::Frame(frame) => seen.push((frame.pts, frame.format.width, frame.format.height)),
                Next::End => return seen,
                Next::Idle => {}
            }
        }
    }

    #[test]
    fn pictures_of_odd_size_and_uneven_times_become_a_file_that_plays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        let mut film = Film::create(&path, (99, 63)).unwrap();
        for (n, ms) in [0_u64, 40, 200, 200, 1000].into_iter().enumerate() {
            let rgb = vec![u8::try_from(40 * n).unwrap(); 99 * 63 * 3];
            film.add(&rgb, 99, Duration::from_millis(ms)).unwrap();
        }
        film.finish().unwrap();
        let seen = play(&path);
        assert_eq!(seen.len(), 5, "{seen:?}");
        assert!(seen.iter().all(|s| (s.1, s.2) == (98, 62)), "{seen:?}");
        assert!(seen[4].0.saturating_sub(seen[0].0) > Duration::from_millis(900), "{seen:?}");
    }

    #[test]
    fn a_disk_that_is_full_ends_it_with_an_error_and_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.mp4");
        // Opens as any file, and has no room for a byte.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let own = path.clone();
        std::thread::spawn(move || {
            let mut film = Film::create(&own, (640, 360)).unwrap();
            let (mut noise, mut seed) = (vec![0_u8; 640 * 360 * 3], 1_u32);
            let failed = (0..400).find_map(|n| {
                for byte in &mut noise {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *byte = u8::try_from(seed >> 24).unwrap();
                }
                film.add(&noise, 640, Duration::from_millis(n * 40)).err()
            });
            tell.send(failed.or_else(|| film.finish().err()).map(|error| error.to_string())).unwrap();
        });
        let error = told.recv_timeout(Duration::from_mins(2)).expect("it must not hang").expect("it must not pass");
        assert!(error.contains("full.mp4"), "{error}");
        assert!(std::fs::symlink_metadata(&path).is_err(), "nothing half made is left");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_and_nothing_half_made_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let error = Film::create(&dir.path().join("no/film.mp4"), (64, 48)).err().unwrap();
        assert!(error.to_string().contains("no/film.mp4"), "{error}");
        let path = dir.path().join("half.mp4");
        let mut film = Film::create(&path, (64, 48)).unwrap();
        film.add(&[0; 64 * 48 * 3], 64, Duration::ZERO).unwrap();
        drop(film);
        assert!(!path.exists());
    }
}
