//! What a file is served from: its coded pictures, read into memory.

use std::path::Path;
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::{Failed, failed};

/// The coded pictures of a file in decoding order.
pub(super) struct Units {
    pub(super) codec: &'static str,
    caps: gst::Caps,
    buffers: Vec<gst::Buffer>,
    length: gst::ClockTime,
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

    /// Pushes the pictures from the first key frame at or after `begin` on, which is the stream's time zero.
    pub(super) fn feed(&self, feed: &app::AppSrc, looped: bool, begin: gst::ClockTime) {
        feed.set_caps(Some(&self.caps));
        let mut base = gst::ClockTime::ZERO;
        let mut waits = true;
        loop {
            for buffer in &self.buffers {
                let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                waits &= !is_key || buffer.dts_or_pts().is_none_or(|t| t < begin);
                if waits {
                    continue;
                }
                // The memory is shared, the times are not.
                let mut buffer = buffer.copy();
                if let Some(b) = buffer.get_mut() {
                    b.set_pts(b.pts().map(|t| (t + base).saturating_sub(begin)));
                    b.set_dts(b.dts().map(|t| (t + base).saturating_sub(begin)));
                }
                if feed.push_buffer(buffer).is_err() {
                    return;
                }
            }
            base += self.length;
            // Nothing after `begin` in this round: the next one starts with a key frame.
            waits = false;
            if !looped {
                // It fails when the media is gone already, which is as well.
                let _ = feed.end_of_stream();
                return;
            }
        }
    }
}
