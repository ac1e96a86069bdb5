//! Makes small clips of any coding, size and container.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Failed, failed};
use crate::camera::pipeline;

/// What a made clip is like.
#[derive(Debug, Clone, Copy)]
pub struct Clip<'a> {
    /// The encoder and what it is told, e.g. `x264enc bframes=2`.
    pub encoder: &'a str,
    /// The multiplexer: `mp4mux`, `matroskamux`, `mpegtsmux`, or `identity` for none.
    pub muxer: &'a str,
    /// Caps between picture and encoder besides the size, e.g. `format=I420`.
    pub raw: &'a str,
    /// Pixels across and down.
    pub size: (u32, u32),
    /// How many pictures.
    pub frames: u32,
    /// Pictures a second.
    pub fps: u32,
    /// What they show: a pattern of `videotestsrc` and its properties.
    pub pattern: &'a str,
}

impl Clip<'_> {
    /// A small H.264 clip with B-frames and a key frame every 10 pictures, as mp4.
    pub const H264: Self = Self {
        encoder: "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=10 threads=1",
        muxer: "mp4mux",
        raw: "format=I420",
        size: (320, 180),
        frames: 50,
        fps: 25,
        pattern: "ball",
    };

    /// The same in H.265.
    pub const H265: Self = Self {
        encoder: "x265enc speed-preset=ultrafast key-int-max=10 log-level=none \
                  option-string=bframes=2:b-adapt=0:pools=none:frame-threads=1 ! h265parse",
        ..Self::H264
    };

    /// Makes the clip.
    ///
    /// # Errors
    /// An encoder or multiplexer that is not installed, a faulty description, a file that cannot be written.
    pub fn make(&self, to: &Path) -> Result<(), Failed> {
        pipeline::init().map_err(|e| Failed(e.to_string()))?;
        let why = failed("clip");
        let Self { encoder, muxer, raw, size: (width, height), frames, fps, pattern } = self;
        let text = format!(
            "videotestsrc pattern={pattern} num-buffers={frames} ! video/x-raw,{raw},width={width},height={height},framerate={fps}/1 \
             ! {encoder} ! {muxer} ! filesink name=file"
        );
        write(gst::parse::launch(&text).map_err(|e| why(&e))?, to)
    }
}

/// The H.264 video of an mp4 file in another size, as an mp4 file with a key frame every 10 pictures: a substream.
///
/// # Errors
/// A file without such a video, one that cannot be written, an element that is not installed.
pub fn rescale(from: &Path, to: &Path, (width, height): (u32, u32)) -> Result<(), Failed> {
    pipeline::init().map_err(|e| Failed(e.to_string()))?;
    let text = format!(
        "filesrc name=from ! qtdemux ! h264parse ! avdec_h264 ! videoscale ! video/x-raw,width={width},height={height} \
         ! x264enc speed-preset=ultrafast key-int-max=10 threads=1 ! mp4mux ! filesink name=file"
    );
    let writer = gst::parse::launch(&text).map_err(|e| failed("rescale")(&e))?;
    let source = writer.downcast_ref::<gst::Bin>().and_then(|b| b.by_name("from"));
    source.ok_or_else(|| Failed("no source".to_owned()))?.set_property("location", from);
    write(writer, to)
}

/// Runs a pipeline whose sink is named `file` to its end.
fn write(writer: gst::Element, to: &Path) -> Result<(), Failed> {
    let why = failed("clip");
    let writer = writer.downcast::<gst::Pipeline>().map_err(|_| why(&"no pipeline"))?;
    writer.by_name("file").ok_or_else(|| why(&"no sink"))?.set_property("location", to);
    writer.set_state(gst::State::Playing).map_err(|e| why(&e))?;
    let bus = writer.bus().ok_or_else(|| why(&"no bus"))?;
    let ends = [gst::MessageType::Error, gst::MessageType::Eos];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
    writer.set_state(gst::State::Null).map_err(|e| why(&e))?;
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(e)) => Err(why(&e.error())),
        _ => Err(why(&"not done after 60 s")),
    }
}
