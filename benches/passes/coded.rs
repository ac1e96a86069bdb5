//! Pictures through a real H.264 encoder and decoder, as a camera with a low rate sends them.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

/// The luma of `pictures` (full range) after coding with this quantiser, in video range.
///
/// # Errors
/// An element that is not installed, a pipeline that stops early.
pub fn through_h264(pictures: &[Vec<u8>], (w, h): (usize, usize), quantiser: usize) -> Result<Vec<Vec<u8>>, String> {
    gst::init().map_err(|e| e.to_string())?;
    let text = format!(
        "appsrc name=in format=time caps=video/x-raw,format=I420,width={w},height={h},framerate=25/1 \
         ! x264enc pass=quant quantizer={quantiser} tune=zerolatency speed-preset=veryfast key-int-max=50 threads=1 \
         ! avdec_h264 max-threads=1 ! video/x-raw,format=I420 ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&text).map_err(|e| e.to_string())?;
    let bin = pipeline.downcast_ref::<gst::Bin>().ok_or("no pipeline")?;
    let source = bin.by_name("in").and_then(|e| e.downcast::<app::AppSrc>().ok()).ok_or("no appsrc")?;
    let sink = bin.by_name("out").and_then(|e| e.downcast::<app::AppSink>().ok()).ok_or("no appsink")?;
    let _ended = Ended(pipeline.clone());
    pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    for (n, picture) in (0_u64..).zip(pictures) {
        let mut bytes: Vec<u8> = picture.iter().map(|v| in_video_range(*v)).collect();
        bytes.resize(w * h * 3 / 2, 128);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_mseconds(40 * n));
            buffer.set_duration(gst::ClockTime::from_mseconds(40));
        }
        source.push_buffer(buffer).map_err(|e| e.to_string())?;
    }
    source.end_of_stream().map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let map = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or("no picture")?;
        out.push(map.get(..w * h).ok_or("a short picture")?.to_vec());
    }
    if out.len() == pictures.len() {
        Ok(out)
    } else {
        Err(format!("{} of {} pictures came back", out.len(), pictures.len()))
    }
}

/// Stops the pipeline when it is dropped.
struct Ended(gst::Element);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn in_video_range(v: u8) -> u8 {
    u8::try_from(16 + (u32::from(v) * 219 + 127) / 255).unwrap_or(235)
}
