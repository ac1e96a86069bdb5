//! The source that GStreamer decodes: network cameras and video files.
//!
//! GStreamer's threads decode and put frames into a [`Slot`] of one; [`Source::next`] takes them out on the analysis
//! thread. Live, a newer frame replaces an older one, which is counted; a file's decoder waits. Errors and the end of
//! the stream come through the same slot, after the frames before them. Dropping the source stops its threads first.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::container::{self, Container};
use super::frame::{self, Arrived};
use super::link::{Linker, Streams};
use super::pace::Thinner;
use super::slot::{Slot, Taken};
use super::{Error, Next, Settings, Source, SourceUri, pipeline, uri};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;

pub(super) struct GstSource {
    pipeline: gst::Pipeline,
    slot: Arc<Slot<Arrived>>,
    origin: String,
    file: Option<PlayedFile>,
    /// Frames handed out.
    given: u64,
}

struct PlayedFile {
    path: PathBuf,
    missing_bytes: Option<u64>,
}

impl GstSource {
    pub(super) fn open(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>) -> Result<Self, Error> {
        pipeline::init()?;
        let origin = settings.uri.to_string();
        let slot = Arc::new(Slot::new());
        let (source_text, raw_codec, file) = match &settings.uri {
            SourceUri::Rtsp { .. } => ("rtsp", None, None),
            SourceUri::File(path) => {
                let container = container::sniff(path)?;
                let missing_bytes = container::missing_bytes(path, container);
                let (text, raw) = match container {
                    Container::Mp4 => ("file-mp4", None),
                    Container::Matroska => ("file-matroska", None),
                    Container::Ts => ("file-ts", None),
                    Container::RawH264 => ("file-raw", Some("h264")),
                    Container::RawH265 => ("file-raw", Some("h265")),
                };
                (text, raw, Some(PlayedFile { path: path.clone(), missing_bytes }))
            }
        };
        let intake = Intake::new(settings, clock, counters, Arc::clone(&slot));
        let linker = Arc::new(Linker {
            origin: origin.clone(),
            choice: settings.pipeline.clone(),
            family: if settings.uri.is_live() { "rtsp" } else { "file" },
            slot: Arc::clone(&slot),
            on_sink: Box::new(move |sink| intake.attach(sink)),
            streams: Mutex::new(Streams::default()),
        });
        let pipeline = gst::Pipeline::new();
        // Made first: from here on an early return tears down what was built.
        let source = Self { pipeline, slot, origin, file, given: 0 };
        source.build(settings, source_text, raw_codec, &linker)?;
        source.watch_bus(&linker, secrets(settings));
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
        source_text: &str,
        raw_codec: Option<&str>,
        linker: &Arc<Linker>,
    ) -> Result<(), Error> {
        let text = pipeline::load(source_text)?;
        let bin = pipeline::build(&text, false)?;
        let faulty = |why: &str| Error::Pipeline { pipeline: text.name.clone(), why: why.to_owned() };
        self.pipeline.add(&bin).map_err(|_| faulty("cannot be added"))?;
        let source = bin.by_name("source").ok_or_else(|| faulty("has no element named \"source\""))?;
        match &settings.uri {
            SourceUri::Rtsp { url, credential } => {
                source.set_property("location", url);
                if let Some(credential) = settings.credential.as_ref().or(credential.as_ref()) {
                    source.set_property("user-id", &credential.user);
                    source.set_property("user-pw", credential.password.as_str());
                }
                let selecting = Arc::clone(linker);
                source.connect("select-stream", false, move |values| {
                    let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
                    Some(caps.is_some_and(|caps| selecting.select(&caps)).to_value())
                });
            }
            SourceUri::File(path) => source.set_property("location", path),
        }
        if let Some(codec) = raw_codec {
            let pad = source.static_pad("src").ok_or_else(|| faulty("its source has no pad"))?;
            return linker.link(&self.pipeline, &pad, codec);
        }
        let demux = bin.by_name("demux").unwrap_or(source);
        let (weak, linking) = (self.pipeline.downgrade(), Arc::clone(linker));
        demux.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade() {
                linking.on_pad(&pipeline, pad);
            }
        });
        let linking = Arc::clone(linker);
        demux.connect_no_more_pads(move |_| linking.on_no_more_pads());
        Ok(())
    }

    /// Turns messages into the end of the slot, in the thread that posts them; none is kept.
    fn watch_bus(&self, linker: &Arc<Linker>, secrets: Vec<(String, String)>) {
        let Some(bus) = self.pipeline.bus() else { return };
        let (slot, origin, linker) = (Arc::clone(&self.slot), self.origin.clone(), Arc::clone(linker));
        let path = self.file.as_ref().map(|f| f.path.clone());
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Error(error) => {
                    // "Not linked" and the like follow from streams that cannot be used: those are the news.
                    let unusable = linker.nothing_usable();
                    slot.finish(Err(unusable.unwrap_or_else(|| explain(error, &origin, &secrets))));
                }
                gst::MessageView::Eos(_) => slot.finish(match &path {
                    Some(path) if !linker.is_linked() => Err(Error::NoFrames { path: path.clone() }),
                    Some(_) => Ok(()),
                    None => Err(Error::Closed { origin: origin.clone() }),
                }),
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
                let frame = frame::map(&arrived, &self.origin)?;
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
}

impl Drop for GstSource {
    fn drop(&mut self) {
        // A decoder that waits for the slot would never stop.
        self.slot.close();
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!(uri = %self.origin, "pipeline did not stop cleanly");
        }
    }
}

/// Texts that must not be told, with what is told instead.
fn secrets(settings: &Settings) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    if let SourceUri::Rtsp { url, credential } = &settings.uri {
        secrets.push((url.clone(), uri::redact(url)));
        for credential in settings.credential.iter().chain(credential) {
            if !credential.password.is_empty() {
                secrets.push((credential.password.to_string(), "…".to_owned()));
            }
        }
    }
    secrets
}

/// What an ERROR message says, with what to do about it.
fn explain(message: &gst::message::Error, origin: &str, secrets: &[(String, String)]) -> Error {
    let error = message.error();
    let mut why = error.message().trim_end_matches('.').to_owned();
    // The last line of the debug text is the cause; those before it are places in GStreamer's code.
    let debug = message.debug();
    if let Some(cause) = debug.as_deref().and_then(|d| d.lines().next_back()).filter(|l| !l.contains("../")) {
        why = format!("{why} ({})", cause.trim().trim_end_matches('.'));
    }
    for (secret, shown) in secrets {
        why = why.replace(secret.as_str(), shown);
    }
    let is = |kind: gst::ResourceError| error.matches(kind);
    let hint = if is(gst::ResourceError::NotAuthorized) {
        Some("check the camera's credential")
    } else if is(gst::ResourceError::NotFound) {
        Some("check the path in its address")
    } else if origin.starts_with("rtsps") && is(gst::ResourceError::OpenReadWrite) {
        // GStreamer does not tell a closed port from a certificate that is refused.
        Some(
            "check that it is switched on, its host and port, and that this system trusts its certificate \
             (update-ca-certificates)",
        )
    } else if is(gst::ResourceError::OpenRead) || is(gst::ResourceError::OpenReadWrite) {
        Some("check that it is switched on, and its host and port")
    } else if error.matches(gst::CoreError::MissingPlugin) {
        Some("install gstreamer1.0-plugins-good and gstreamer1.0-plugins-bad")
    } else {
        None
    };
    Error::Stream { origin: origin.to_owned(), why, hint }
}

/// What happens to a decoded picture in GStreamer's thread.
#[derive(Clone)]
struct Intake {
    slot: Arc<Slot<Arrived>>,
    clock: Clock,
    counters: Arc<CameraCounters>,
    opened: TimeMs,
    /// The newest picture wins.
    live: bool,
    /// Played by the clock although it is a file.
    realtime: bool,
    thinner: Thinner,
}

impl Intake {
    fn new(settings: &Settings, clock: &Clock, counters: Arc<CameraCounters>, slot: Arc<Slot<Arrived>>) -> Self {
        let realtime = settings.realtime && !settings.uri.is_live();
        Self {
            slot,
            clock: clock.clone(),
            counters,
            opened: clock.utc(),
            live: settings.uri.is_live() || realtime,
            realtime,
            thinner: Thinner::new(settings.fps),
        }
    }

    /// Takes pictures from `sink` from now on.
    fn attach(&self, sink: &app::AppSink) {
        sink.set_sync(self.realtime);
        let mut intake = self.clone();
        let mut index = 0;
        let mut first = None;
        let mut last = Duration::ZERO;
        let on_sample = move |sink: &app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // Running time: it begins with the stream and goes on over edit lists and new segments.
            let pts = running_time(&sample).unwrap_or(last);
            let pts = pts.saturating_sub(*first.get_or_insert(pts));
            last = pts;
            let arrived = Arrived { sample, index, at: intake.time_of(pts), pts };
            index += 1;
            intake.take_in(arrived)
        };
        sink.set_callbacks(app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    }

    /// Arrival for a camera; for a file its opening and the place in it.
    fn time_of(&self, pts: Duration) -> TimeMs {
        if self.live {
            self.clock.utc()
        } else {
            TimeMs(self.opened.0.saturating_add(u64::try_from(pts.as_millis()).unwrap_or(u64::MAX)))
        }
    }

    fn take_in(&mut self, arrived: Arrived) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.counters.received.inc();
        self.counters.last_frame_ms.store(self.clock.utc().0, Ordering::Relaxed);
        if !self.thinner.wants(arrived.pts) {
            return Ok(gst::FlowSuccess::Ok);
        }
        if self.live {
            if self.slot.offer(arrived) {
                self.counters.dropped.inc();
            }
        } else if !self.slot.put(arrived) {
            return Err(gst::FlowError::Flushing);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

fn running_time(sample: &gst::Sample) -> Option<Duration> {
    let pts = sample.buffer()?.pts()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    Some(Duration::from_nanos(segment.to_running_time(pts)?.nseconds()))
}
