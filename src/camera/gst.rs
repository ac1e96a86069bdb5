//! The source that GStreamer decodes: network cameras, devices, video files and test patterns. What each kind needs is in
//! a file of its own below `gst/`.
//!
//! GStreamer's threads decode and put frames into a [`Slot`] of one; [`Source::next`] takes them out on the analysis
//! thread. Live, a newer frame replaces an older one, which is counted; a file's decoder waits. Errors and the end of
//! the stream come through the same slot, after the frames before them. Dropping the source stops its threads first.

mod close;
mod explain;
mod file;
mod intake;
mod local;
mod rtsp;
mod tls;
mod transport;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::coded::{Arrivals, Keeper};
use super::frame::{self, Arrived, Treatment};
use super::guard::Guard;
use super::idle::flow::{Behind, Flow};
use super::link::{Linker, Streams};
use super::orientation::Orientation;
use super::slot::{Slot, Taken};
use super::toil::Toil;
use super::{Error, Next, Settings, Source, SourceUri, pipeline};
use crate::clock::Clock;
use crate::health::CameraCounters;
use explain::Words;
use file::PlayedFile;
use intake::Intake;
use rtsp::Manners;
pub(super) use rtsp::{names_host, port};
pub(super) use transport::open;

pub(super) struct GstSource {
    pipeline: gst::Pipeline,
    slot: Arc<Slot<Arrived>>,
    origin: String,
    file: Option<PlayedFile>,
    orientation: Orientation,
    treatment: Treatment,
    heard_ms: Arc<AtomicU64>,
    counters: Arc<CameraCounters>,
    toil: Option<Arc<Toil>>,
    /// Frames handed out.
    given: u64,
}

/// How a source is put together.
struct Plan {
    /// Its source text.
    text: &'static str,
    /// What the names of its decode texts begin with.
    family: &'static str,
    /// Its coding, where that is known without looking at the stream.
    codec: Option<&'static str>,
    file: Option<PlayedFile>,
}

impl Plan {
    fn of(uri: &SourceUri) -> Result<Self, Error> {
        let plan = |text, codec| Self { text, family: text, codec, file: None };
        match uri {
            SourceUri::Rtsp { .. } => Ok(plan("rtsp", None)),
            SourceUri::V4l2 { .. } => Ok(plan("v4l2", None)),
            SourceUri::Test { .. } => Ok(plan("test", Some("raw"))),
            SourceUri::File(path) | SourceUri::Folder { path, .. } => file::plan(path),
        }
    }
}

impl GstSource {
    pub(super) fn open(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>) -> Result<Self, Error> {
        pipeline::init()?;
        let origin = settings.uri.to_string();
        close::check(&origin, &counters)?;
        let slot = Arc::new(Slot::new());
        let plan = Plan::of(&settings.uri)?;
        let heard_ms = Arc::new(AtomicU64::new(0));
        let arrivals = Arc::new(Arrivals::default());
        let opened = settings.opened.unwrap_or_else(|| clock.utc());
        let ring = settings.own_ring().cloned();
        let orientation = Orientation::new(settings.rotate);
        if let Some(ring) = &ring {
            // What comes now has other times.
            ring.clear();
            ring.lie(orientation.clone());
        }
        let is_live = settings.is_newest_first();
        let behind = Arc::new(Behind::default());
        let idle = settings.idle.as_ref().filter(|_| is_live);
        let flow = idle.map(|idle| Flow::new(idle, &behind, &counters, clock, &origin));
        let paced = flow.is_some() && !settings.uri.is_live();
        let keeper = Keeper {
            counters: Arc::clone(&counters),
            flow,
            ring,
            arrivals: Arc::clone(&arrivals),
            clock: clock.clone(),
            opened,
            live: is_live,
        };
        let guard = Guard {
            origin: origin.clone(),
            live: settings.uri.is_live(),
            slot: Arc::clone(&slot),
            clock: clock.clone(),
            counters: Arc::clone(&counters),
            heard_ms: Arc::clone(&heard_ms),
            toil: settings.toil.clone(),
            keeper,
        };
        let intake = Intake::new(settings, clock, (opened, arrivals, behind), Arc::clone(&counters), Arc::clone(&slot));
        let linker = Arc::new(Linker {
            origin: origin.clone(),
            choice: settings.pipeline.clone(),
            decoders: settings.decoders.clone(),
            hardware: OnceLock::new(),
            family: plan.family,
            slot: Arc::clone(&slot),
            on_sink: Box::new(move |sink| intake.attach(sink)),
            guard: Arc::new(guard),
            orientation: orientation.clone(),
            streams: Mutex::new(Streams::default()),
            tap: settings.tap.clone(),
            paced,
        });
        let pipeline = gst::Pipeline::new();
        if let Some(tap) = &settings.tap {
            tap.watch(&pipeline);
        }
        // Made first: from here on an early return tears down what was built.
        let file = plan.file;
        let treatment = Treatment::default();
        let toil = settings.toil.clone();
        let source = Self { pipeline, slot, origin, file, orientation, treatment, heard_ms, counters, toil, given: 0 };
        let manners = Manners::of(settings, &source.slot);
        source.watch_bus(&linker, Words::of(settings), manners.clone());
        source.build(settings, (plan.text, plan.codec), &linker, manners.as_ref())?;
        // The reason of a failure is on the bus, so that the slot has it.
        let started = source.pipeline.set_state(gst::State::Playing);
        if started.is_err() {
            source.slot.finish(Err(source.failed("does not start")));
        }
        Ok(source)
    }

    fn failed(&self, why: &str) -> Error {
        Error::Stream { origin: self.origin.clone(), why: why.to_owned(), hint: None }
    }

    fn build(
        &self,
        settings: &Settings,
        (source_text, codec): (&str, Option<&'static str>),
        linker: &Arc<Linker>,
        manners: Option<&Arc<Manners>>,
    ) -> Result<(), Error> {
        let text = pipeline::load(source_text)?;
        let bin = pipeline::build(&text, false)?;
        let faulty = |why: &str| Error::Pipeline { pipeline: text.name.clone(), why: why.to_owned() };
        self.pipeline.add(&bin).map_err(|_| faulty("cannot be added"))?;
        let source = bin.by_name("source").ok_or_else(|| faulty("has no element named \"source\""))?;
        let wished = bin.by_name("wished");
        let codec = match &settings.uri {
            SourceUri::Rtsp { url, credential } => {
                let manners = manners.ok_or_else(|| faulty("is of another source"))?;
                rtsp::configure(&source, settings, (url, credential.as_ref()), linker, manners)?;
                codec
            }
            SourceUri::File(path) | SourceUri::Folder { path, .. } => {
                source.set_property("location", path);
                codec
            }
            SourceUri::V4l2 { path, wish } => {
                let (codec, caps) = local::open_device(&source, path, *wish, &self.slot)?;
                wished.as_ref().ok_or_else(|| faulty("has no element named \"wished\""))?.set_property("caps", caps);
                Some(codec)
            }
            SourceUri::Test { pattern, wish } => {
                source.set_property_from_str("pattern", pattern);
                let wished = wished.as_ref().ok_or_else(|| faulty("has no element named \"wished\""))?;
                wished.set_property("caps", local::test_caps(*wish));
                codec
            }
        };
        if let Some(codec) = codec {
            let last = wished.unwrap_or(source);
            let pad = last.static_pad("src").ok_or_else(|| faulty("its source has no pad"))?;
            return linker.link(&pad, codec);
        }
        let demux = bin.by_name("demux").unwrap_or(source);
        let linking = Arc::clone(linker);
        demux.connect_pad_added(move |_, pad| linking.on_pad(pad));
        let linking = Arc::clone(linker);
        demux.connect_no_more_pads(move |_| linking.on_no_more_pads());
        Ok(())
    }

    /// Turns messages into the end of the slot, in the thread that posts them; none is kept.
    fn watch_bus(&self, linker: &Arc<Linker>, words: Words, manners: Option<Arc<Manners>>) {
        let Some(bus) = self.pipeline.bus() else { return };
        let (slot, linker) = (Arc::clone(&self.slot), Arc::clone(linker));
        let path = self.file.as_ref().map(|f| f.path.clone());
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Error(error) => {
                    // "Not linked" and the like follow from streams that cannot be used: those are the news.
                    let unusable = linker.nothing_usable();
                    let explained = || match linker.failed_decoder(error) {
                        Some(pipeline) => words.of_decoder(error, pipeline),
                        None => words.explain(error),
                    };
                    slot.finish(Err(unusable.unwrap_or_else(explained)));
                }
                gst::MessageView::Eos(_) => slot.finish(match &path {
                    Some(path) if !linker.is_linked() => Err(Error::NoFrames { path: path.clone() }),
                    Some(_) => Ok(()),
                    None => Err(Error::Closed { origin: words.origin().to_owned() }),
                }),
                gst::MessageView::Progress(progress) => {
                    if let Some(manners) = &manners {
                        manners.hear(progress);
                    }
                }
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
    }

    /// The file is over: well, or not.
    fn end_of_file(&self) -> Result<Next, Error> {
        match &self.file {
            Some(PlayedFile { path, missing_bytes: Some(missing) }) => {
                Err(Error::Truncated { path: path.clone(), missing: *missing })
            }
            Some(PlayedFile { path, .. }) if self.given == 0 => Err(Error::NoFrames { path: path.clone() }),
            _ => Ok(Next::End),
        }
    }
}

impl Source for GstSource {
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        match self.slot.take(wait) {
            Taken::Item(arrived) => {
                self.treatment.rotation = self.orientation.rotation();
                let frame = frame::map(&arrived, &self.origin, &self.treatment)?;
                self.given += 1;
                Ok(Next::Frame(frame))
            }
            Taken::Nothing => Ok(Next::Idle),
            Taken::Over(Err(error)) => match &self.file {
                // A file that was cut off fails in many ways; this is the one that says what to do.
                Some(PlayedFile { path, missing_bytes: Some(missing) })
                    if matches!(error, Error::Stream { .. } | Error::NoFrames { .. }) =>
                {
                    Err(Error::Truncated { path: path.clone(), missing: *missing })
                }
                _ => Err(error),
            },
            Taken::Over(Ok(())) => self.end_of_file(),
            Taken::Closed if self.file.is_some() => Ok(Next::End),
            Taken::Closed => Err(Error::Closed { origin: self.origin.clone() }),
        }
    }

    fn length(&self) -> Option<Duration> {
        self.file.as_ref()?;
        self.pipeline.query_duration::<gst::ClockTime>().map(Duration::from)
    }

    fn heard(&self) -> Option<Duration> {
        Some(self.heard_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0).map(Duration::from_millis)
    }
}

impl Drop for GstSource {
    fn drop(&mut self) {
        // A decoder that waits for the slot would never stop.
        self.slot.close();
        close::close(&self.pipeline, &self.origin, &self.counters, self.toil.take());
    }
}
