//! What a file is served from: its coded pictures, read into memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::spoil::{Manner, Spoil};
use super::{Failed, failed};

/// The coded pictures of a file in decoding order.
pub(super) struct Units {
    pub(super) codec: &'static str,
    caps: gst::Caps,
    buffers: Vec<gst::Buffer>,
    length: gst::ClockTime,
}

/// How the pictures are pushed.
#[derive(Clone)]
pub(super) struct Play {
    pub(super) looped: bool,
    /// Since when the server runs, where it runs before anyone looks.
    pub(super) since: Option<Instant>,
    pub(super) spoil: Option<Spoil>,
    /// What [`Manner::Others`] takes.
    pub(super) other: Option<Arc<Units>>,
}

impl Units {
    pub(super) fn read(file: &Path) -> Result<Self, Failed> {
        let h264 = Self::read_as("h264", file);
        h264.or_else(|_| Self::read_as("h265", file))
    }

    fn read_as(codec: &'static str, file: &Path) -> Result<Self, Failed> {
        let why = failed("clip to serve");
        let text = format!(
            "filesrc name=file ! qtdemux ! video/x-{codec} ! {codec}parse config-interval=-1 \
             ! video/x-{codec},stream-format=byte-stream,alignment=au ! appsink name=units sync=false"
        );
        let reader = gst::parse::launch(&text).map_err(|e| why(&e))?;
        let reader = reader.downcast::<gst::Pipeline>().map_err(|_| why(&"no pipeline"))?;
        reader.by_name("file").ok_or_else(|| why(&"no source"))?.set_property("location", file);
        let sink = reader.by_name("units").and_then(|e| e.downcast::<app::AppSink>().ok());
        let sink = sink.ok_or_else(|| why(&"no sink"))?;
        reader.set_state(gst::State::Playing).map_err(|e| why(&e))?;
        let mut caps = None;
        let mut buffers = Vec::new();
        // A file of another codec leaves the sink without a word: the bus has the error.
        let bus = reader.bus();
        let has_failed = || bus.as_ref().is_some_and(|b| b.pop_filtered(&[gst::MessageType::Error]).is_some());
        while !sink.is_eos() && !has_failed() {
            if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                caps = sample.caps_owned().or(caps);
                buffers.extend(sample.buffer_owned());
            }
        }
        reader.set_state(gst::State::Null).map_err(|e| why(&e))?;
        let caps = caps.ok_or_else(|| why(&format!("{} has no {codec} video", file.display())))?;
        let first = buffers.iter().filter_map(|b| b.dts_or_pts()).min().unwrap_or_default();
        let end = buffers.iter().filter_map(|b| Some(b.pts()? + b.duration().unwrap_or_default())).max();
        let length = end.unwrap_or_default().saturating_sub(first);
        for buffer in &mut buffers {
            let buffer = buffer.make_mut();
            buffer.set_pts(buffer.pts().map(|t| t.saturating_sub(first)));
            buffer.set_dts(buffer.dts().map(|t| t.saturating_sub(first)));
        }
        Ok(Self { codec, caps, buffers, length })
    }

    /// Where in the clip a server is that runs since then.
    pub(super) fn place_at(&self, since: Instant) -> gst::ClockTime {
        let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        gst::ClockTime::from_nseconds(elapsed.checked_rem(self.length.nseconds()).unwrap_or(0))
    }

    /// Pushes the pictures, from the first key frame on that is due, which is the stream's time zero.
    pub(super) fn feed(&self, feed: &app::AppSrc, play: &Play) {
        feed.set_caps(Some(&self.offered(play.spoil.is_some())));
        let begin = play.since.map_or(gst::ClockTime::ZERO, |since| self.place_at(since));
        let mut base = gst::ClockTime::ZERO;
        let (mut waits, mut others) = (true, false);
        loop {
            for (n, buffer) in self.buffers.iter().enumerate() {
                let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                waits &= !is_key || buffer.dts_or_pts().is_none_or(|t| t < begin);
                if waits {
                    continue;
                }
                if let Some(spoil) = play.spoil.as_ref().filter(|_| is_key) {
                    others = spoil.manner() == Manner::Others;
                }
                let other = play.other.as_ref().filter(|_| others).and_then(|other| other.buffers.get(n));
                let mut sent = spoilt(other.unwrap_or(buffer), play.spoil.as_ref());
                if let Some(b) = sent.get_mut() {
                    b.set_pts(buffer.pts().map(|t| (t + base).saturating_sub(begin)));
                    b.set_dts(buffer.dts().map(|t| (t + base).saturating_sub(begin)));
                }
                if feed.push_buffer(sent).is_err() {
                    return;
                }
            }
            base += self.length;
            // Nothing after `begin` in this round: the next one starts with a key frame.
            waits = false;
            if !play.looped {
                // It fails when the media is gone already, which is as well.
                let _ = feed.end_of_stream();
                return;
            }
        }
    }

    /// What the pictures are said to be. Of a stream that may be spoilt no more than its coding: the rest is in it.
    fn offered(&self, may_be_spoilt: bool) -> gst::Caps {
        if !may_be_spoilt {
            return self.caps.clone();
        }
        let coding = gst::Caps::builder(format!("video/x-{}", self.codec));
        coding.field("stream-format", "byte-stream").field("alignment", "au").build()
    }
}

/// A buffer of its own: the memory is shared where nothing is done to it, the times are not.
fn spoilt(buffer: &gst::Buffer, spoil: Option<&Spoil>) -> gst::Buffer {
    let done = spoil.and_then(|spoil| spoil.spoilt(&buffer.map_readable().ok()?));
    let Some(bytes) = done else { return buffer.copy() };
    let mut sent = gst::Buffer::from_mut_slice(bytes);
    if let Some(b) = sent.get_mut() {
        b.set_flags(buffer.flags() & gst::BufferFlags::DELTA_UNIT);
        b.set_duration(buffer.duration());
    }
    sent
}
