//! Listens to a pipeline: what it is offered, what its parser finds, and each coded picture on its way to the decoder.
//!
//! Runs in GStreamer's threads, takes notes and changes nothing. Bounded: [`super::measure::MOST`] pictures.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_video::{VideoColorRange, VideoColorimetry};

use super::measure::{MOST, Measured, Picture};
use super::quantiser::{self, Quantiser};
use super::{Coded, Probed, Stream};
use crate::clock::Clock;

/// Streams that are noted at most.
const MOST_STREAMS: usize = 32;

/// Key frames whose quantiser is noted at most.
const MOST_QUANTISERS: usize = 1_024;

/// Takes notes. See the module.
pub struct Tap {
    clock: Clock,
    notes: std::sync::Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    pipeline: Option<glib::WeakRef<gst::Pipeline>>,
    streams: Vec<Stream>,
    coded: Option<Coded>,
    turned: Option<(u16, bool)>,
    pictures: Vec<Picture>,
    keys: usize,
    /// Reads slice headers, and what it read of key frames.
    quantiser: Option<Quantiser>,
    quantisers: Vec<f32>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

impl Tap {
    /// Nothing noted yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, notes: std::sync::Arc::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    /// The pipeline that the rest is about; what was noted of one before (by another transport) is forgotten.
    pub(in crate::camera) fn watch(&self, pipeline: &gst::Pipeline) {
        *self.notes() = Notes { pipeline: Some(pipeline.downgrade()), ..Notes::default() };
    }

    /// A stream that the source offers.
    pub(in crate::camera) fn offered(&self, caps: &gst::CapsRef, used: bool) {
        let Some(stream) = caps.structure(0).map(|s| stream_of(s, used)) else { return };
        let mut notes = self.notes();
        if notes.streams.len() < MOST_STREAMS {
            notes.streams.push(stream);
        }
    }

    /// The pad from which coded pictures leave the parser.
    pub(in crate::camera) fn coded(&self, out: &gst::Pad) {
        let (notes, clock) = (std::sync::Arc::clone(&self.notes), self.clock.clone());
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        let probe = out.add_probe(mask, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => lock(&notes).picture(buffer, clock.monotonic()),
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(event) => lock(&notes).begin(event.caps()),
                    gst::EventView::Tag(event) => lock(&notes).turn(event.tag()),
                    _ => {}
                },
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        debug_assert!(probe.is_some(), "a probe that is not for idle pads is always added");
    }

    /// How many key frames came; `None` when nothing was parsed.
    pub(super) fn key_frames(&self) -> Option<usize> {
        let notes = self.notes();
        notes.coded.as_ref().map(|_| notes.keys)
    }

    /// Gives what was noted.
    pub fn finish(&self, found: &mut Probed) {
        let notes = self.notes();
        found.streams.clone_from(&notes.streams);
        found.coded.clone_from(&notes.coded);
        found.turned = notes.turned;
        found.measured = Measured::of(&notes.pictures);
        let mut quantisers = notes.quantisers.clone();
        quantisers.sort_unstable_by(f32::total_cmp);
        found.measured.quantiser = quantisers.get(quantisers.len() / 2).copied();
        let pipeline = notes.pipeline.as_ref().and_then(glib::WeakRef::upgrade);
        found.transport = pipeline.as_ref().and_then(transport_of);
    }
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    /// Coded pictures of this form come.
    fn begin(&mut self, caps: &gst::CapsRef) {
        let Some(form) = caps.structure(0) else { return };
        self.coded = Some(coded_of(form));
        self.quantiser = quantiser_of(form);
    }

    fn picture(&mut self, buffer: &gst::Buffer, at: Duration) {
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        self.keys += usize::from(key);
        if let (true, Some(quantiser), Ok(data)) = (key, &mut self.quantiser, buffer.map_readable()) {
            let told = quantiser.picture(&data).filter(|_| self.quantisers.len() < MOST_QUANTISERS);
            self.quantisers.extend(told);
        }
        if self.pictures.len() < MOST {
            let pts = buffer.pts().map(|t| Duration::from_nanos(t.nseconds()));
            self.pictures.push(Picture { at, pts, key, bytes: buffer.size() });
        }
    }

    fn turn(&mut self, tags: &gst::TagListRef) {
        if let Some(orientation) = tags.get::<gst::tags::ImageOrientation>() {
            self.turned = turned(orientation.get());
        }
    }
}

/// Degrees clockwise and whether mirrored, of a tag such as `rotate-90` or `flip-rotate-0`; `None` for one that is
/// upright or not known.
fn turned(orientation: &str) -> Option<(u16, bool)> {
    let (rest, mirrored) = match orientation.strip_prefix("flip-") {
        Some(rest) => (rest, true),
        None => (orientation, false),
    };
    let degrees = rest.strip_prefix("rotate-")?.parse().ok()?;
    (degrees != 0 || mirrored).then_some((degrees, mirrored))
}

fn stream_of(s: &gst::StructureRef, used: bool) -> Stream {
    let text = |field| s.get::<&str>(field).ok().map(str::to_owned);
    let name = s.name().as_str();
    if name.starts_with("application/x-") {
        let codec = text("encoding-name").unwrap_or_else(|| "unknown".to_owned());
        return Stream {
            media: text("media").unwrap_or_else(|| "unknown".to_owned()),
            codec: codec_name(&codec),
            used,
        };
    }
    let (media, codec) = name.split_once('/').unwrap_or(("unknown", name));
    let version = s.get::<i32>("mpegversion").map_or(String::new(), |v| format!("-{v}"));
    let media = if media == "image" { "video" } else { media };
    Stream { media: media.to_owned(), codec: codec_name(&format!("{}{version}", codec.trim_start_matches("x-"))), used }
}

/// The name that people know.
fn codec_name(name: &str) -> String {
    match name.to_ascii_uppercase().as_str() {
        "H264" => "H.264".to_owned(),
        "H265" => "H.265".to_owned(),
        "JPEG" => "Motion JPEG".to_owned(),
        "VND.ONVIF.METADATA" => "ONVIF metadata".to_owned(),
        "MPEG4-GENERIC" | "MPEG-4" => "MPEG-4".to_owned(),
        upper => upper.to_owned(),
    }
}

/// Who reads the slice headers of this form.
fn quantiser_of(s: &gst::StructureRef) -> Option<Quantiser> {
    let codec = match s.name().as_str() {
        "video/x-h264" => quantiser::Codec::H264,
        "video/x-h265" => quantiser::Codec::H265,
        _ => return None,
    };
    let mut quantiser = Quantiser::new(codec);
    let beside = s.get::<gst::Buffer>("codec_data").ok();
    if let Some(data) = beside.as_ref().and_then(|buffer| buffer.map_readable().ok()) {
        quantiser.beside(&data);
    }
    Some(quantiser)
}

fn coded_of(s: &gst::StructureRef) -> Coded {
    let text = |field| s.get::<&str>(field).ok().map(str::to_owned);
    let number = |field| s.get::<i32>(field).ok().and_then(|n| u32::try_from(n).ok());
    let fps = s.get::<gst::Fraction>("framerate").ok().filter(|f| f.numer() > 0 && f.denom() > 0);
    let range = s.get::<&str>("colorimetry").ok().and_then(|c| c.parse::<VideoColorimetry>().ok()).map(|c| c.range());
    let aspect = s.get::<gst::Fraction>("pixel-aspect-ratio").ok().map(|f| (f.numer(), f.denom()));
    let name = s.name().as_str();
    Coded {
        codec: codec_name(name.rsplit('/').next().unwrap_or(name).trim_start_matches("x-")),
        profile: text("profile"),
        level: text("level"),
        size: number("width").zip(number("height")),
        fps: fps.map(|f| f64::from(f.numer()) / f64::from(f.denom())),
        chroma: text("chroma-format"),
        bits: s.get::<u32>("bit-depth-luma").ok(),
        full_range: match range {
            Some(VideoColorRange::Range0_255) => Some(true),
            Some(VideoColorRange::Range16_235) => Some(false),
            _ => None,
        },
        interlaced: text("interlace-mode").is_some_and(|mode| mode != "progressive"),
        pixel_aspect: aspect.filter(|(w, h)| w != h),
    }
}

/// How a network camera's pictures travel, by the elements that its source has made.
fn transport_of(pipeline: &gst::Pipeline) -> Option<&'static str> {
    let (mut network, mut udp) = (false, false);
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        let factory = element.factory().map(|f| f.name());
        network |= factory.as_deref() == Some("rtspsrc");
        udp |= factory.as_deref() == Some("udpsrc");
    }
    network.then_some(if udp { "UDP" } else { "TCP" })
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn structure(text: &str) -> gst::Caps {
        gst::init().unwrap();
        gst::Caps::from_str(text).unwrap()
    }

    #[test]
    fn streams_have_the_names_that_people_know() {
        for (caps, media, codec) in [
            ("application/x-unknown,media=video,encoding-name=H264", "video", "H.264"),
            ("application/x-rtp,media=application,encoding-name=VND.ONVIF.METADATA", "application", "ONVIF metadata"),
            ("application/x-rtp,media=audio,encoding-name=PCMU", "audio", "PCMU"),
            ("video/x-h265", "video", "H.265"),
            ("audio/mpeg,mpegversion=4", "audio", "MPEG-4"),
            ("image/jpeg", "video", "Motion JPEG"),
        ] {
            let caps = structure(caps);
            let stream = stream_of(caps.structure(0).unwrap(), true);
            assert_eq!((stream.media.as_str(), stream.codec.as_str()), (media, codec));
        }
    }

    #[test]
    fn what_a_parser_says_is_taken_over() {
        let caps = structure(
            "video/x-h264,width=1920,height=1080,framerate=25/1,profile=high,level=(string)4.1,\
             chroma-format=(string)4:2:0,bit-depth-luma=(uint)8,interlace-mode=mixed,colorimetry=(string)1:3:5:1,\
             pixel-aspect-ratio=12/11",
        );
        let coded = coded_of(caps.structure(0).unwrap());
        assert_eq!((coded.codec.as_str(), coded.size, coded.fps), ("H.264", Some((1920, 1080)), Some(25.0)));
        assert_eq!((coded.profile.as_deref(), coded.level.as_deref()), (Some("high"), Some("4.1")));
        assert_eq!((coded.full_range, coded.interlaced, coded.pixel_aspect), (Some(true), true, Some((12, 11))));
    }

    #[test]
    fn orientation_tags_are_turns() {
        assert_eq!(turned("rotate-90"), Some((90, false)));
        assert_eq!(turned("flip-rotate-0"), Some((0, true)));
        assert_eq!(turned("rotate-0"), None);
        assert_eq!(turned("sideways"), None);
    }
}
