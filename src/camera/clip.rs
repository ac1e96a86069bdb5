//! Clips: coded pictures of a [`Span`] as a file that any player plays, in memory.
//!
//! Without a mask nothing is coded again: what the camera sent goes into the file, byte for byte, from a key frame on.
//! With masks every picture is decoded, given to `hide`, and coded again as H.264: what is hidden never gets into the
//! file. There is no way from a masked camera to an unmasked clip: where no encoder is installed there is none at all.
//!
//! Called by `supervise`, on a thread of its own. Left out: sound; it is not recorded.

use std::ops::ControlFlow;
use std::time::Duration;

use gstreamer as gst;

use super::decode::{Bench, Decoder, codec_of, shown, stamped};
use super::mp4::{self, Coding, Sample, Track};
use super::pipeline::Text;
use super::ring::Span;
use super::{Error, Rotation};
use crate::domain::{Frame, PixelFormat, Plane, TimeMs};

/// Gives what may be seen of a frame to the closure; an error when it can't be hidden.
pub type Hide<'a> = &'a dyn Fn(&Frame, &mut dyn FnMut(&Frame)) -> Result<(), String>;

/// A clip.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    /// An MP4 file.
    pub bytes: Vec<u8>,
    /// Time of its first picture.
    pub from: TimeMs,
    /// Time of its last picture.
    pub to: TimeMs,
    /// Its pictures.
    pub pictures: usize,
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({} bytes, {} pictures, {} to {})", self.bytes.len(), self.pictures, self.from, self.to)
    }
}

/// Encoders for clips with masks, the better one first: name and text. One picture goes in and comes out at once, in the
/// caller's thread; a key frame every two seconds or so.
const ENCODERS: [(&str, &str); 2] = [
    (
        "x264enc",
        "x264enc tune=zerolatency speed-preset=veryfast threads=1 pass=qual quantizer=24 key-int-max=50 byte-stream=false",
    ),
    ("openh264enc", "openh264enc complexity=low multi-thread=1 gop-size=50 rate-control=bitrate bitrate=4000000"),
];
const SINK: &str = "appsink name=frames sync=false max-buffers=1 drop=true qos=false enable-last-sample=false";

/// The clip of a span as the camera sent it. `rotation` is what players are told to turn it by.
///
/// # Errors
/// A span without pictures, pictures that are not coded, parameter sets that never came.
pub fn remuxed(span: &Span, rotation: Rotation) -> Result<Clip, Error> {
    let span = decodable(span)?;
    let ready = packed(&span)?;
    let caps = ready.caps.structure(0).ok_or_else(|| faulty("have no form"))?;
    let number = |field: &str| caps.get::<i32>(field).ok().and_then(|n| u16::try_from(n).ok());
    let (width, height) = number("width").zip(number("height")).ok_or_else(|| faulty("do not say their size"))?;
    let pixel = caps.get::<gst::Fraction>("pixel-aspect-ratio").ok();
    let pixel = pixel.and_then(|p| Some((u32::try_from(p.numer()).ok()?, u32::try_from(p.denom()).ok()?)));
    let made_ms = span.pictures.first().map_or(0, |c| c.at.0);
    let track =
        Track { coding: coding(&ready.caps)?, width, height, pixel: pixel.unwrap_or((1, 1)), rotation, made_ms };
    write(&span, &track, &ready.units)
}

/// The clip of a span with what `hide` hides burnt in, upright.
///
/// # Errors
/// [`Error::MissingElement`] when there is no encoder; pictures that cannot be decoded, hidden or coded.
pub fn masked(span: &Span, rotation: Rotation, decoder: &Decoder, hide: Hide<'_>) -> Result<Clip, Error> {
    let span = decodable(span)?;
    let mut encoder: Option<Encoder> = None;
    let mut failed = None;
    decoder.pictures(&span, rotation, &mut |frame| {
        let done = encode(&frame, hide, &mut encoder);
        done.map_or_else(
            |error| {
                failed = Some(error);
                ControlFlow::Break(())
            },
            ControlFlow::Continue,
        )
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    encoder.ok_or_else(|| faulty("hold none that can be decoded"))?.finish()
}

/// The span from its first key frame on, without pictures that refer to what was before it.
fn decodable(span: &Span) -> Result<Span, Error> {
    let begin = span.pictures.iter().position(|c| c.is_key).ok_or_else(|| faulty("hold no key frame"))?;
    let pictures = span.pictures.get(begin..).unwrap_or_default();
    // Behind an open group's key frame come pictures that are shown before it and need the group before.
    let shown = shown(pictures);
    let first = shown.first().copied().unwrap_or_default();
    let pictures = pictures.iter().zip(shown).filter(|(_, at)| *at >= first).map(|(c, _)| c.clone()).collect();
    Ok(Span { caps: span.caps.clone(), pictures })
}

/// Units as files have them: NAL units behind their lengths, parameter sets in the caps.
struct Packed {
    caps: gst::Caps,
    units: Vec<gst::Buffer>,
}

fn packed(span: &Span) -> Result<Packed, Error> {
    let codec = codec_of(&span.caps)?;
    let said = |field: &str| span.caps.structure(0).and_then(|s| s.get::<String>(field).ok());
    let is_packed = matches!(said("stream-format").as_deref(), Some("avc" | "avc3" | "hvc1" | "hev1"))
        && span.caps.structure(0).is_some_and(|s| s.has_field("codec_data"))
        && said("alignment").as_deref() == Some("au");
    if codec == "mjpeg" || is_packed {
        let units = span.pictures.iter().map(|c| c.unit.clone()).collect();
        return Ok(Packed { caps: span.caps.clone(), units });
    }
    let form = if codec == "h264" { "avc" } else { "hvc1" };
    let parse = format!("{codec}parse ! video/x-{codec},stream-format={form},alignment=au ! {SINK}");
    let bench = Bench::new(&Text { name: "clip".to_owned(), text: parse }, &span.caps)?;
    for (picture, shown) in span.pictures.iter().zip(shown(&span.pictures)) {
        bench.push(stamped(picture, shown))?;
    }
    bench.finish();
    let mut packed: Option<Packed> = None;
    while let Some(sample) = bench.take() {
        let (Some(unit), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else { continue };
        packed.get_or_insert_with(|| Packed { caps, units: Vec::new() }).units.push(unit);
    }
    let packed = packed.ok_or_else(|| faulty("come without the parameter sets that decoders need"))?;
    if packed.units.len() != span.pictures.len() {
        let (found, wanted) = (packed.units.len(), span.pictures.len());
        return Err(faulty(&format!("are {wanted} and became {found} when they were packed")));
    }
    Ok(packed)
}

fn coding(caps: &gst::CapsRef) -> Result<Coding, Error> {
    let setup = || -> Result<Vec<u8>, Error> {
        let data = caps.structure(0).and_then(|s| s.get::<gst::Buffer>("codec_data").ok());
        let mapped = data.and_then(|data| data.map_readable().ok().map(|map| map.to_vec()));
        mapped.ok_or_else(|| faulty("come without the parameter sets that decoders need"))
    };
    let form = caps.structure(0).and_then(|s| s.get::<String>("stream-format").ok());
    let inband = matches!(form.as_deref(), Some("avc3" | "hev1"));
    Ok(match codec_of(caps)? {
        "h264" => Coding::H264 { setup: setup()?, inband },
        "h265" => Coding::H265 { setup: setup()?, inband },
        _ => Coding::Jpeg,
    })
}

/// The file of `units`, which are the pictures of `span`.
fn write(span: &Span, track: &Track, units: &[gst::Buffer]) -> Result<Clip, Error> {
    let unreadable = |_| faulty("cannot be mapped");
    let maps: Vec<_> = units.iter().map(|unit| unit.map_readable()).collect::<Result<_, _>>().map_err(unreadable)?;
    let shown = shown(&span.pictures);
    let samples: Vec<Sample<'_>> = maps
        .iter()
        .zip(&span.pictures)
        .zip(shown)
        .map(|((map, picture), pts)| Sample { pts, is_key: picture.is_key, bytes: map.as_slice() })
        .collect();
    let times = || span.pictures.iter().map(|c| c.at);
    let (from, to) = times().min().zip(times().max()).ok_or_else(|| faulty("are none"))?;
    Ok(Clip { bytes: mp4::file(track, &samples), from, to, pictures: samples.len() })
}

/// Codes pictures again.
struct Encoder {
    bench: Bench,
    format: (u32, u32, bool),
    /// Times of the pictures that went in, and where each is shown.
    times: Vec<(TimeMs, Duration)>,
    out: Vec<gst::Sample>,
}

fn encode(frame: &Frame, hide: Hide<'_>, encoder: &mut Option<Encoder>) -> Result<(), Error> {
    let mut coded = Err(faulty("were not given back by the mask"));
    hide(frame, &mut |seen| coded = Encoder::take(encoder, seen, frame)).map_err(|why| faulty(&why))?;
    coded
}

impl Encoder {
    fn take(encoder: &mut Option<Self>, seen: &Frame, frame: &Frame) -> Result<(), Error> {
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert(Self::new(seen)?),
        };
        encoder.push(seen, frame)
    }

    fn new(frame: &Frame) -> Result<Self, Error> {
        let (width, height) = (frame.format.width, frame.format.height);
        let full = frame.format.full_range;
        // Encoders for 4:2:0 take even sizes alone: the last column or row goes.
        let (w, h) = (width & !1, height & !1);
        let chosen = ENCODERS.iter().find(|(name, _)| gst::ElementFactory::find(name).is_some());
        let (name, encode) = chosen.unwrap_or(&ENCODERS[0]);
        let text = format!("{encode} ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! {SINK}");
        let range = if full { "1:3:5:1" } else { "bt709" };
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", i32::try_from(w).unwrap_or(0))
            .field("height", i32::try_from(h).unwrap_or(0))
            .field("framerate", gst::Fraction::new(25, 1))
            .field("colorimetry", range)
            .build();
        let bench = Bench::new(&Text { name: format!("clip with {name}"), text }, &caps)?;
        Ok(Self { bench, format: (width, height, full), times: Vec::new(), out: Vec::new() })
    }

    fn push(&mut self, seen: &Frame, frame: &Frame) -> Result<(), Error> {
        if self.format != (seen.format.width, seen.format.height, seen.format.full_range) {
            return Err(faulty("change their size in the middle"));
        }
        let bytes = planar(seen).ok_or_else(|| faulty("are shorter than they say"))?;
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        // Encoders want times that go on; the real ones, of a live camera as uneven as they came, go into the file.
        let count = u64::try_from(self.times.len()).unwrap_or(u64::MAX);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_mseconds(count.saturating_mul(40)));
        }
        self.times.push((frame.at, frame.pts));
        self.bench.push(buffer)?;
        self.out.extend(std::iter::from_fn(|| self.bench.take()));
        Ok(())
    }

    fn finish(mut self) -> Result<Clip, Error> {
        self.bench.finish();
        self.out.extend(std::iter::from_fn(|| self.bench.take()));
        let caps = self.out.first().and_then(|sample| sample.caps_owned()).ok_or_else(|| faulty("were not coded"))?;
        let mut pictures = Vec::with_capacity(self.out.len());
        let (first, last) = self.times.first().zip(self.times.last()).ok_or_else(|| faulty("are none"))?;
        if self.out.len() != self.times.len() {
            return Err(faulty("were not all coded"));
        }
        for (sample, (at, pts)) in self.out.iter().zip(&self.times) {
            let mut unit = sample.buffer_owned().ok_or_else(|| faulty("were coded into nothing"))?;
            unit.make_mut().set_pts(None);
            let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
            pictures.push(super::ring::Coded { at: *at, pts: *pts, is_key, unit });
        }
        let units: Vec<gst::Buffer> = pictures.iter().map(|c| c.unit.clone()).collect();
        let size = |n: u32| u16::try_from(n & !1).unwrap_or(u16::MAX);
        let track = Track {
            coding: coding(&caps)?,
            width: size(self.format.0),
            height: size(self.format.1),
            pixel: (1, 1),
            rotation: Rotation::None,
            made_ms: first.0.0,
        };
        let (from, to) = (first.0, last.0);
        let clip = write(&Span { caps, pictures }, &track, &units)?;
        Ok(Clip { from, to, ..clip })
    }
}

/// The planes of a frame one after the other as I420 with the strides that GStreamer takes (multiples of 4), of even size.
fn planar(frame: &Frame) -> Option<Vec<u8>> {
    let (w, h) = ((frame.format.width & !1) as usize, (frame.format.height & !1) as usize);
    let (luma, half) = (w.next_multiple_of(4), (w / 2).next_multiple_of(4));
    let mut out = vec![0; luma * h + 2 * half * (h / 2)];
    let (y, chroma) = out.split_at_mut_checked(luma * h)?;
    let (u, v) = chroma.split_at_mut_checked(half * (h / 2))?;
    copy(&frame.luma(), (w, h), y, luma, (0, 1))?;
    match frame.format.pixels {
        PixelFormat::I420 => {
            copy(&frame.chroma(1), (w / 2, h / 2), u, half, (0, 1))?;
            copy(&frame.chroma(2), (w / 2, h / 2), v, half, (0, 1))?;
        }
        PixelFormat::Nv12 => {
            copy(&frame.chroma(1), (w / 2, h / 2), u, half, (0, 2))?;
            copy(&frame.chroma(1), (w / 2, h / 2), v, half, (1, 2))?;
        }
    }
    Some(out)
}

/// Copies `width` samples of `height` rows, every `step`th from `first` on.
fn copy(
    from: &Plane<'_>,
    (width, height): (usize, usize),
    to: &mut [u8],
    stride: usize,
    (first, step): (usize, usize),
) -> Option<()> {
    for (y, row) in to.chunks_exact_mut(stride.max(1)).enumerate().take(height) {
        let samples = from.row(y)?.iter().skip(first).step_by(step);
        row.iter_mut().take(width).zip(samples).for_each(|(to, from)| *to = *from);
    }
    Some(())
}

fn faulty(why: &str) -> Error {
    Error::Stream { origin: "a clip's pictures".to_owned(), why: why.to_owned(), hint: None }
}

#[cfg(test)]
mod tests;
