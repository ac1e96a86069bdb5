//! Coded pictures of a [`Span`] decoded by hand, in the caller's thread, as fast as it goes.
//!
//! The same elements as a live source, but no pipeline around them: what is pushed in is worked on before the push
//! returns, so there is no thread to wait for and none of GStreamer's streaming threads takes part. For what has passed:
//! clips with a mask.
//!
//! Called by [`clip`](super::clip) and by `supervise`, through a [`Decoder`], which does it in the camera's decode worker where there is one. Left out:
//! hardware decoders; what a live camera needs stays its own.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::frame::{self, Arrived, Treatment};
use super::pipeline::{self, Text};
use super::ring::{Coded, Span};
use super::worker::Workers;
use super::{Error, Rotation, Settings};
use crate::domain::{CameraId, Frame};

/// What stands for the ring in errors.
pub(super) const ORIGIN: &str = "pictures kept of the camera";

/// Elements without a pipeline: what goes in comes out in the same thread.
pub(super) struct Bench {
    bin: gst::Bin,
    feed: gst::Pad,
    done: Arc<Mutex<VecDeque<gst::Sample>>>,
    bus: gst::Bus,
}

impl Bench {
    /// Sets up the elements of `text`, which end in the appsink `frames`, for pictures of `caps`.
    pub(super) fn new(text: &Text, caps: &gst::Caps) -> Result<Self, Error> {
        let (bin, entry, sink) = pipeline::build_decoder(text)?;
        let done: Arc<Mutex<VecDeque<gst::Sample>>> = Arc::default();
        let into = Arc::clone(&done);
        let on_sample = move |sink: &app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            into.lock().unwrap_or_else(PoisonError::into_inner).push_back(sample);
            Ok(gst::FlowSuccess::Ok)
        };
        // It would wait for a first buffer, and for another thread to say that it may go on.
        sink.set_property("async", false);
        sink.set_callbacks(app::AppSinkCallbacks::builder().new_sample(on_sample).build());
        let (feed, bus) = (gst::Pad::builder(gst::PadDirection::Src).name("feed").build(), gst::Bus::new());
        bin.set_bus(Some(&bus));
        // Made first: from here on an early return tears down what was built.
        let bench = Self { bin, feed, done, bus };
        let broken = |why: &str| bench.failed(why);
        bench.bin.set_state(gst::State::Playing).map_err(|_| broken("do not start"))?;
        bench.feed.set_active(true).map_err(|_| broken("cannot be fed"))?;
        bench.feed.link(&entry).map_err(|_| broken("are not of this kind"))?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        bench.feed.push_event(gst::event::StreamStart::new("ring"));
        if !bench.feed.push_event(gst::event::Caps::new(caps)) {
            return Err(broken("are not of this kind"));
        }
        bench.feed.push_event(gst::event::Segment::new(&segment));
        Ok(bench)
    }

    /// Works on one buffer.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<(), Error> {
        self.feed.push(buffer).map(drop).map_err(|flow| self.failed(&format!("stopped ({flow})")))
    }

    /// Has what is still inside come out.
    pub(super) fn finish(&self) {
        self.feed.push_event(gst::event::Eos::new());
    }

    /// What has come out.
    pub(super) fn take(&self) -> Option<gst::Sample> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn failed(&self, why: &str) -> Error {
        let said = self.bus.pop_filtered(&[gst::MessageType::Error]);
        let said = said.and_then(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        });
        let why = said.map_or_else(|| why.to_owned(), |said| format!("{why}: {}", super::error::told(&said)));
        Error::Stream { origin: ORIGIN.to_owned(), why, hint: None }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.bin.set_state(gst::State::Null);
        let _ = self.feed.set_active(false);
    }
}

/// The name that pipelines have for the coding of `caps`.
///
/// # Errors
/// [`Error::Codec`] for pictures that are not coded, or in a way that is not known.
pub(super) fn codec_of(caps: &gst::CapsRef) -> Result<&'static str, Error> {
    let name = caps.structure(0).map_or("", |s| s.name().as_str());
    match name {
        "video/x-h264" => Ok("h264"),
        "video/x-h265" => Ok("h265"),
        "image/jpeg" => Ok("mjpeg"),
        other => Err(Error::Codec { origin: ORIGIN.to_owned(), found: other.to_owned() }),
    }
}

/// When each picture of a span is shown, the first one shown at zero: by the stamps that it came with where those can be
/// believed, else by its place.
pub(super) fn shown(pictures: &[Coded]) -> Vec<Duration> {
    let stamps: Option<Vec<u64>> = pictures.iter().map(|c| c.unit.pts().map(gst::ClockTime::nseconds)).collect();
    let places: Vec<u64> = pictures.iter().map(|c| u64::try_from(c.pts.as_nanos()).unwrap_or(u64::MAX)).collect();
    let wide = |of: &[u64]| of.iter().max().zip(of.iter().min()).map_or(0, |(max, min)| max - min);
    let apart = |of: &[u64]| {
        let mut sorted = of.to_vec();
        sorted.sort_unstable();
        sorted.iter().zip(sorted.iter().skip(1)).all(|(a, b)| a < b)
    };
    let slack = 2_000_000_000;
    let chosen = match stamps {
        Some(stamps) if apart(&stamps) && wide(&stamps) <= wide(&places).saturating_add(slack) => stamps,
        _ => places,
    };
    let first = chosen.iter().min().copied().unwrap_or(0);
    chosen.iter().map(|at| Duration::from_nanos(at - first)).collect()
}

/// Where the kept pictures of a camera are decoded.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    worker: Option<(Workers, CameraId)>,
}

impl Decoder {
    /// Where the camera itself is decoded.
    #[must_use]
    pub fn of(camera: &Settings) -> Self {
        Self { worker: camera.workers.clone().map(|workers| (workers, camera.id.clone())) }
    }

    /// Decodes the pictures of a span, turned by `rotation`, and hands them to `on` in the order of showing until it breaks.
    /// Frames carry `at` and `pts` of their coded pictures. Damaged ones are left out.
    ///
    /// # Errors
    /// A coding that is not known, elements that are missing, pictures that cannot be decoded, a worker that ends.
    pub fn pictures(
        &self,
        span: &Span,
        rotation: Rotation,
        on: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        match &self.worker {
            Some((workers, camera)) => workers.decode(camera, (span, rotation), on),
            None => here((span, rotation), &mut || {}, on),
        }
    }
}

/// [`Decoder::pictures`] in this process; `gets_on` is called before each coded picture goes in, whether anything good comes out or not.
pub(super) fn here(
    (span, rotation): (&Span, Rotation),
    gets_on: &mut dyn FnMut(),
    on: &mut dyn FnMut(Frame) -> ControlFlow<()>,
) -> Result<(), Error> {
    let codec = codec_of(&span.caps)?;
    let bench = Bench::new(&pipeline::load(&format!("file-{codec}"))?, &span.caps)?;
    let treatment = Treatment { rotation, ..Treatment::default() };
    let shown = shown(&span.pictures);
    // By the stamp that the decoder carries through.
    let coded: HashMap<Duration, &Coded> = shown.iter().copied().zip(&span.pictures).collect();
    let mut index = 0;
    let mut give = |bench: &Bench| -> Result<ControlFlow<()>, Error> {
        while let Some(sample) = bench.take() {
            let Some(buffer) = sample.buffer() else { continue };
            if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
                continue;
            }
            let stamp = buffer.pts().map(|at| Duration::from_nanos(at.nseconds()));
            let Some(found) = stamp.and_then(|stamp| coded.get(&stamp)) else { continue };
            let arrived = Arrived { at: found.at, pts: found.pts, index, sample };
            index += 1;
            if on(frame::map(&arrived, ORIGIN, &treatment)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    for (picture, shown) in span.pictures.iter().zip(&shown) {
        gets_on();
        bench.push(stamped(picture, *shown))?;
        if give(&bench)?.is_break() {
            return Ok(());
        }
    }
    bench.finish();
    give(&bench).map(drop)
}

/// The same bytes with another stamp; the ring's own buffer stays as it is.
pub(super) fn stamped(picture: &Coded, shown: Duration) -> gst::Buffer {
    let mut unit = picture.unit.clone();
    let writable = unit.make_mut();
    writable.set_pts(gst::ClockTime::try_from(shown).ok());
    writable.set_dts(None);
    writable.set_duration(None);
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TimeMs;

    #[test]
    fn pictures_of_which_nothing_good_comes_are_signs_of_getting_on_all_the_same() {
        pipeline::init().unwrap();
        let caps = "image/jpeg,width=64,height=48,framerate=25/1,parsed=true".parse::<gst::Caps>().unwrap();
        let unit = || gst::Buffer::from_slice([0xff, 0xd8, 0xff, 0xc0, 1, 2, 3]);
        let of = |n: u64| Coded { at: TimeMs(n), pts: Duration::from_millis(n * 40), is_key: true, unit: unit() };
        let span = Span { caps, pictures: (0..3).map(of).collect() };
        let (mut signs, mut seen) = (0, 0);
        let decoded = here((&span, Rotation::None), &mut || signs += 1, &mut |_| {
            seen += 1;
            ControlFlow::Continue(())
        });
        assert!(signs == 3 || (decoded.is_err() && signs > 0), "{signs} {decoded:?}");
        assert_eq!(seen, 0);
    }
}
