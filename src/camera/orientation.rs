//! What a stream says about how its pictures lie: the display matrix of mp4 and mov files, as GStreamer tells it.
//!
//! Tags travel with the stream, so the word is known before the first picture that it is about. H.264 and H.265 can say
//! it too (an SEI message), as far as GStreamer's parsers tell it. Over RTSP nobody says it: that is what `rotate` is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Rotation;

/// The word of the stream, or one that stands above it. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Orientation {
    /// By config: the stream is not asked.
    fixed: Option<Rotation>,
    degrees: Arc<AtomicU16>,
}

impl Orientation {
    pub(super) fn new(fixed: Option<Rotation>) -> Self {
        Self { fixed, degrees: Arc::default() }
    }

    /// How far pictures are to be turned now.
    pub(super) fn rotation(&self) -> Rotation {
        let said = || Rotation::of_degrees(self.degrees.load(Ordering::Relaxed)).unwrap_or_default();
        self.fixed.unwrap_or_else(said)
    }

    /// The stream says, as another process heard it, that its pictures lie so.
    pub(super) fn said(&self, rotation: Rotation) {
        self.degrees.store(rotation.degrees(), Ordering::Relaxed);
    }

    /// What the stream itself says, whatever stands above it.
    pub(super) fn own_word(&self) -> u16 {
        self.degrees.load(Ordering::Relaxed)
    }

    /// Listens to the tags that pass `pad`, those that have passed included.
    pub(super) fn watch(&self, pad: &gst::Pad) {
        if self.fixed.is_some() {
            return;
        }
        let mut index = 0;
        while let Some(event) = pad.sticky_event::<gst::event::Tag>(index) {
            self.hear(event.tag());
            index += 1;
        }
        let own = self.clone();
        let probe = pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Tag(event)) = info.event().map(|e| e.view()) {
                own.hear(event.tag());
            }
            gst::PadProbeReturn::Ok
        });
        debug_assert!(probe.is_some(), "a probe that is not for idle pads is always added");
    }

    fn hear(&self, tags: &gst::TagListRef) {
        let Some(orientation) = tags.get::<gst::tags::ImageOrientation>() else { return };
        if let Some(rotation) = Rotation::of_tag(orientation.get()) {
            self.degrees.store(rotation.degrees(), Ordering::Relaxed);
        } else {
            tracing::warn!(orientation = orientation.get(), "mirrored pictures are not turned back");
        }
    }
}
