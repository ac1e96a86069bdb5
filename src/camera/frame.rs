//! Frames over decoded GStreamer buffers: mapped, and copied only where a picture has to be made fit for vision.
//!
//! libav's own last copy (0.3 ms at 1080p) can be saved by telling it that rows may have any stride; that was measured
//! and gained nothing (at 640×352 it cost 15 %), so it is not done. Buffers with other strides are walked all the same.
//! The buffer goes back to the decoder's pool when the frame is dropped. A pool has no fixed size with libav; with
//! hardware decoders it has, so a frame is not to be kept for long.

use std::time::Duration;

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::prelude::*;

use super::planes::Pool;
use super::{Error, Rotation, convert, fields, fits, rotate};
use crate::domain::{Frame, FrameFormat, TimeMs};

/// A decoded picture on its way from GStreamer's thread to the analysis thread.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) sample: gst::Sample,
    pub(super) index: u64,
    pub(super) at: TimeMs,
    pub(super) pts: Duration,
}

/// What is done to the pictures of a source.
#[derive(Debug, Default)]
pub(super) struct Treatment {
    /// How far they are turned.
    pub(super) rotation: Rotation,
    /// Where copies lie.
    pub(super) pool: Pool,
}

/// Maps the picture and does to it what it needs; `origin` names the source in errors.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Pixels`] for formats that are not known and for fields as pictures of their own,
/// [`Error::Stream`] when a buffer cannot be mapped.
pub(super) fn map(arrived: &Arrived, origin: &str, treatment: &Treatment) -> Result<Frame, Error> {
    let broken = |why: &str| Error::Stream { origin: origin.to_owned(), why: why.to_owned(), hint: None };
    let other = |found: &str| Error::Pixels { origin: origin.to_owned(), found: found.to_owned() };
    let caps = arrived.sample.caps().ok_or_else(|| broken("a picture without a format"))?;
    let info = video::VideoInfo::from_caps(caps).map_err(|_| broken("a picture with a format that is not known"))?;
    let (width, height) = (info.width(), info.height());
    if !fits(width, height) {
        return Err(Error::TooLarge { origin: origin.to_owned(), width, height });
    }
    if !convert::KNOWN.contains(&info.format()) {
        return Err(other(info.format().to_str()));
    }
    if info.interlace_mode() == video::VideoInterlaceMode::Alternate {
        return Err(other("interlaced (each field a picture of its own)"));
    }
    let full_range = info.colorimetry().range() == video::VideoColorRange::Range0_255;
    let buffer = arrived.sample.buffer_owned().ok_or_else(|| broken("a picture without content"))?;
    let mapped = video::VideoFrame::from_buffer_readable(buffer, &info)
        .map_err(|_| broken("the memory of a picture cannot be mapped"))?;
    let interlaced = mapped.is_interlaced();
    let short = || broken("a picture that is shorter than its format says");
    let picture = convert::picture(mapped, &treatment.pool).ok_or_else(short)?;
    let format = FrameFormat { width, height, pixels: picture.pixels, strides: picture.strides, full_range };
    let mut frame = Frame::new(format, arrived.at, arrived.pts, arrived.index, picture.planes);
    // The rows that the format promises must be there; whoever walks the planes relies on it.
    let rows = height as usize;
    if frame.luma().row(rows - 1).is_none() || frame.chroma(1).row(rows.div_ceil(2) - 1).is_none() {
        return Err(short());
    }
    if interlaced {
        frame = fields::without_comb(&frame, &treatment.pool).ok_or_else(short)?;
    }
    if treatment.rotation != Rotation::None {
        frame = rotate::turned(&frame, treatment.rotation, &treatment.pool).ok_or_else(short)?;
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PixelFormat;

    /// A picture whose luma is its column number, with strides of `pad` bytes more than the width.
    fn arrived(format: video::VideoFormat, width: u32, height: u32, pad: i32) -> Arrived {
        super::super::pipeline::init().unwrap();
        let info = video::VideoInfo::builder(format, width, height).build().unwrap();
        let n = info.n_planes() as usize;
        let strides: Vec<i32> = info.stride()[..n].iter().map(|s| s + pad).collect();
        let bytes_a_row: Vec<usize> = strides.iter().map(|s| usize::try_from(*s).unwrap()).collect();
        let mut offsets = vec![0];
        for plane in 0..n {
            let rows = if plane == 0 { height } else { height.div_ceil(2) };
            offsets.push(offsets[plane] + bytes_a_row[plane] * rows as usize);
        }
        let mut bytes = vec![128_u8; offsets[n]];
        for y in 0..height as usize {
            for x in 0..width as usize {
                bytes[y * bytes_a_row[0] + x] = u8::try_from(x % 256).unwrap();
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let flags = video::VideoFrameFlags::empty();
        let writable = buffer.get_mut().unwrap();
        video::VideoMeta::add_full(writable, flags, format, width, height, &offsets[..n], &strides).unwrap();
        let caps = info.to_caps().unwrap();
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        Arrived { sample, index: 7, at: TimeMs(1), pts: Duration::from_millis(40) }
    }

    #[test]
    fn odd_sizes_and_padded_rows_are_walked_by_their_strides() {
        for (format, want) in
            [(video::VideoFormat::I420, PixelFormat::I420), (video::VideoFormat::Nv12, PixelFormat::Nv12)]
        {
            let frame = map(&arrived(format, 35, 17, 12), "test", &Treatment::default()).unwrap();
            assert_eq!((frame.format.width, frame.format.height, frame.format.pixels), (35, 17, want));
            let row: Vec<u8> = (0..35).collect();
            assert_eq!(frame.luma().row(16).unwrap(), row);
            assert!(frame.format.strides[0] >= 35 + 12);
            let pairs = if want == PixelFormat::Nv12 { 36 } else { 18 };
            assert_eq!(frame.chroma(1).row(8).unwrap(), vec![128; pairs]);
            assert_eq!(frame.chroma(2).row(0).is_some(), want == PixelFormat::I420);
            assert!(!frame.format.full_range);
        }
    }

    fn refused(arrived: &Arrived, origin: &str) -> String {
        map(arrived, origin, &Treatment::default()).unwrap_err().to_string()
    }

    #[test]
    fn absurd_sizes_and_other_pixels_are_refused() {
        let error = refused(&arrived(video::VideoFormat::I420, 5000, 16, 0), "rtsp://h/x");
        assert!(error.contains("rtsp://h/x") && error.contains("5000×16") && error.contains("4096×2304"), "{error}");
        let error = refused(&arrived(video::VideoFormat::Rgb, 16, 16, 0), "h");
        assert!(error.contains("RGB") && error.contains("8-bit 4:2:0"), "{error}");
    }
}
