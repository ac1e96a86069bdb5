//! A clip as a file: H.264 or H.265 in MP4 or Matroska.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::{Clip, Codec, Film, Picture420};

/// Writes a clip to `path`; its ending says the container: `mp4`, or `mkv`, `h264` and `h265` (bare streams).
///
/// # Errors
/// An element that is not installed, a file that can't be written.
pub fn encode(clip: &Clip, path: &Path) -> Result<(), String> {
    encode_film(&Film::new(clip), path)
}

/// The same of a film that is there already.
///
/// # Errors
/// As [`encode`].
pub fn encode_film(film: &Film, path: &Path) -> Result<(), String> {
    encode_pictures(film.clip(), (0..film.clip().count()).map(|n| film.picture(n)), path)
}

/// The same of pictures that are there already, coded as `clip` says: drawing costs more than coding.
///
/// # Errors
/// As [`encode`].
pub fn encode_pictures(clip: &Clip, pictures: impl Iterator<Item = Picture420>, path: &Path) -> Result<(), String> {
    gst::init().map_err(|e| e.to_string())?;
    let (w, h) = (clip.size.0 / 2 * 2, clip.size.1 / 2 * 2);
    let key = ((clip.key_every_s * clip.fps as f32).round() as u32).max(1);
    let crf = clip.crf.clamp(1, 50);
    let coder = match clip.codec {
        Codec::H264 => format!(
            "x264enc pass=qual quantizer={crf} tune=zerolatency speed-preset=veryfast key-int-max={key} \
             option-string=scenecut=0 threads=1 ! video/x-h264,profile=main ! h264parse"
        ),
        Codec::H265 => format!(
            "x265enc tune=zerolatency speed-preset=superfast key-int-max={key} \
             option-string=crf={crf}:scenecut=0:pools=1:frame-threads=1 ! h265parse"
        ),
    };
    let mux = match path.extension().and_then(|e| e.to_str()) {
        Some("mkv") => "! matroskamux",
        Some("h264" | "h265") => "! identity",
        _ => "! mp4mux",
    };
    let text = format!(
        "appsrc name=in format=time block=true max-bytes=8000000 caps=video/x-raw,format=I420,width={w},height={h},\
         framerate={}/1,colorimetry=bt709 ! {coder} {mux} ! filesink name=out",
        clip.fps
    );
    let pipeline = gst::parse::launch(&text).map_err(|e| e.to_string())?;
    let bin = pipeline.downcast_ref::<gst::Bin>().ok_or("no pipeline")?;
    let source = bin.by_name("in").and_then(|e| e.downcast::<app::AppSrc>().ok()).ok_or("no appsrc")?;
    bin.by_name("out").ok_or("no filesink")?.set_property("location", path.to_str().ok_or("a strange path")?);
    let bus = pipeline.bus().ok_or("no bus")?;
    let _ended = Ended(pipeline.clone());
    pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    for (n, picture) in pictures.enumerate() {
        let mut buffer = gst::Buffer::from_mut_slice(picture.bytes());
        let time = |n: usize| gst::ClockTime::from_nseconds(n as u64 * 1_000_000_000 / u64::from(clip.fps.max(1)));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(n));
            buffer.set_duration(time(n + 1) - time(n));
        }
        if source.push_buffer(buffer).is_err() {
            break;
        }
    }
    source.end_of_stream().map_err(|e| e.to_string())?;
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &kinds);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(e)) => Err(format!("{}: {} {:?}", path.display(), e.error(), e.debug())),
        _ => Err(format!("{}: the encoder did not end", path.display())),
    }
}

/// Stops the pipeline when it is dropped.
struct Ended(gst::Element);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}
