//! Pictures of other formats as those that vision knows: I420 and NV12 with 8 bits.
//!
//! | decoder's format | becomes | cost |
//! |---|---|---|
//! | I420, NV12 | itself | nothing |
//! | 4:2:2 with 8 bits | I420: every second row of chroma, by twice the stride | nothing |
//! | grey | I420 with colourless chroma | one small plane |
//! | 4:4:4 with 8 bits | I420: every second sample of chroma | two small planes |
//! | 10 and 12 bits | 8 bits, rounded | a copy of everything |
//!
//! Chroma is picked and not averaged: the models look at luma, pictures for people are scaled down anyway.

use gstreamer_video as video;
use gstreamer_video::VideoFormat;
use gstreamer_video::prelude::*;

use super::planes::{Planes, Pool};
use crate::domain::{PixelFormat, Pixels};

/// What a decoder may give; the list that the pipelines' appsinks ask for.
pub(super) const KNOWN: [VideoFormat; 12] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Gray8,
    VideoFormat::I42010le,
    VideoFormat::I42012le,
    VideoFormat::I42210le,
    VideoFormat::I42212le,
    VideoFormat::Y44410le,
    VideoFormat::Y44412le,
    VideoFormat::P01010le,
];

/// A decoded picture as vision sees it.
pub struct Picture {
    /// Its format.
    pub pixels: PixelFormat,
    /// Bytes from one row of each plane to the next.
    pub strides: [usize; 3],
    /// Its planes.
    pub planes: Box<dyn Pixels>,
}

/// The decoder's own memory, with chroma of our own where its chroma has another size.
struct Mapped {
    frame: video::VideoFrame<video::video_frame::Readable>,
    chroma: Option<Planes>,
}

impl Pixels for Mapped {
    fn plane(&self, index: usize) -> &[u8] {
        match &self.chroma {
            Some(chroma) if index > 0 => chroma.plane(index),
            _ => plane_of(&self.frame, index),
        }
    }
}

fn plane_of(frame: &video::VideoFrame<video::video_frame::Readable>, index: usize) -> &[u8] {
    let index = u32::try_from(index).ok().filter(|i| *i < frame.n_planes());
    index.map_or(&[], |i| frame.plane_data(i).unwrap_or(&[]))
}

/// How samples of a plane become ours.
#[derive(Debug, Clone, Copy)]
struct Pick {
    /// Every so many-th sample and row.
    step: (usize, usize),
    /// Samples of a row and rows that come out.
    size: (usize, usize),
    /// Bits above the lowest eight that are kept; 0 for samples of one byte.
    shift: u32,
    /// Samples of two bytes.
    wide: bool,
}

/// The picture, or `None` when its format is not among [`KNOWN`], its memory is shorter than it says, or it lies upside
/// down in memory.
#[must_use]
pub fn picture(frame: video::VideoFrame<video::video_frame::Readable>, pool: &Pool) -> Option<Picture> {
    let format = frame.format();
    let mut strides = [0; 3];
    // Of the buffer (its VideoMeta), which may differ from those of the caps.
    for (to, from) in strides.iter_mut().zip(frame.plane_stride()) {
        *to = usize::try_from(*from).ok()?;
    }
    let (width, height) = (usize::try_from(frame.width()).ok()?, usize::try_from(frame.height()).ok()?);
    let half = (width.div_ceil(2), height.div_ceil(2));
    let mapped = |frame, chroma| Box::new(Mapped { frame, chroma });
    match format {
        VideoFormat::I420 => Some(Picture { pixels: PixelFormat::I420, strides, planes: mapped(frame, None) }),
        VideoFormat::Nv12 => Some(Picture { pixels: PixelFormat::Nv12, strides, planes: mapped(frame, None) }),
        VideoFormat::Y42b => {
            let strides = [strides[0], strides[1] * 2, strides[2] * 2];
            Some(Picture { pixels: PixelFormat::I420, strides, planes: mapped(frame, None) })
        }
        VideoFormat::Gray8 | VideoFormat::Y444 => {
            let mut planes = [Vec::new(), Vec::new(), Vec::new()];
            for (index, out) in planes.iter_mut().enumerate().skip(1) {
                *out = pool.take(half.0 * half.1);
                if format == VideoFormat::Gray8 {
                    out.resize(half.0 * half.1, 128);
                } else {
                    let pick = Pick { step: (2, 2), size: half, shift: 0, wide: false };
                    pick.from(plane_of(&frame, index), *strides.get(index)?, out)?;
                }
            }
            let strides = [strides[0], half.0, half.0];
            let chroma = Planes::new(planes, pool);
            Some(Picture { pixels: PixelFormat::I420, strides, planes: mapped(frame, Some(chroma)) })
        }
        _ if KNOWN.contains(&format) => narrowed(&frame, strides, (width, height), pool),
        _ => None,
    }
}

/// Samples of 10 and 12 bits rounded to 8.
fn narrowed(
    frame: &video::VideoFrame<video::video_frame::Readable>,
    strides: [usize; 3],
    (width, height): (usize, usize),
    pool: &Pool,
) -> Option<Picture> {
    let info = frame.format_info();
    let shift = (info.depth().first()? + info.shift().first()?).checked_sub(8)?;
    let half = (width.div_ceil(2), height.div_ceil(2));
    let pairs = info.n_planes() == 2;
    // Chroma of 4:2:2 is half as wide already, that of 4:2:0 half as high too.
    let step =
        (if info.w_sub().get(1) == Some(&0) { 2 } else { 1 }, if info.h_sub().get(1) == Some(&0) { 2 } else { 1 });
    let mut planes = [Vec::new(), Vec::new(), Vec::new()];
    let mut out_strides = [0; 3];
    let n = usize::try_from(info.n_planes()).ok()?;
    for (index, ((out, out_stride), stride)) in planes.iter_mut().zip(&mut out_strides).zip(strides).enumerate().take(n)
    {
        let (step, size) = match (index, pairs) {
            (0, _) => ((1, 1), (width, height)),
            (_, true) => ((1, 1), (half.0 * 2, half.1)),
            (_, false) => (step, half),
        };
        *out = pool.take(size.0 * size.1);
        *out_stride = size.0;
        Pick { step, size, shift, wide: true }.from(plane_of(frame, index), stride, out)?;
    }
    let pixels = if pairs { PixelFormat::Nv12 } else { PixelFormat::I420 };
    Some(Picture { pixels, strides: out_strides, planes: Box::new(Planes::new(planes, pool)) })
}

impl Pick {
    /// Appends what is picked of `data`; `None` when that is shorter than it should be.
    fn from(&self, data: &[u8], stride: usize, out: &mut Vec<u8>) -> Option<()> {
        let bytes = if self.wide { 2 } else { 1 };
        // The last picked sample needs no neighbours.
        let length = ((self.size.0.checked_sub(1)?) * self.step.0 + 1) * bytes;
        let half = (1_u32 << self.shift) >> 1;
        let byte = |low: u8, high: u8| {
            let rounded = (u32::from(u16::from_le_bytes([low, high])) + half) >> self.shift;
            u8::try_from(rounded).unwrap_or(u8::MAX)
        };
        for y in 0..self.size.1 {
            let start = (y * self.step.1).checked_mul(stride)?;
            let row = data.get(start..start.checked_add(length)?)?;
            match (self.wide, self.step.0) {
                (false, step) => out.extend(row.iter().step_by(step)),
                (true, 1) => out.extend(row.as_chunks::<2>().0.iter().map(|[low, high]| byte(*low, *high))),
                (true, step) => {
                    out.extend(row.as_chunks::<2>().0.iter().step_by(step).map(|[low, high]| byte(*low, *high)));
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_bits_are_rounded_and_never_overflow() {
        let samples = [0_u16, 64, 65, 66, 502, 940, 1022, 1023];
        let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut out = Vec::new();
        Pick { step: (1, 1), size: (4, 2), shift: 2, wide: true }.from(&data, 8, &mut out).unwrap();
        assert_eq!(out, [0, 16, 16, 17, 126, 235, 255, 255]);
        out.clear();
        Pick { step: (2, 2), size: (2, 1), shift: 2, wide: true }.from(&data, 8, &mut out).unwrap();
        assert_eq!(out, [0, 16]);
        assert!(Pick { step: (1, 1), size: (5, 2), shift: 2, wide: true }.from(&data, 8, &mut out).is_none());
        assert!(Pick { step: (1, 1), size: (0, 2), shift: 2, wide: true }.from(&data, 8, &mut out).is_none());
    }

    #[test]
    fn the_pipelines_ask_for_exactly_the_known_formats() {
        let (_, text) = crate::camera::pipeline::EMBEDDED.into_iter().find(|(name, _)| *name == "rtsp-h264").unwrap();
        let list = text.split('{').nth(1).and_then(|t| t.split('}').next()).unwrap();
        let names: Vec<&str> = list.split(',').collect();
        assert_eq!(names, KNOWN.map(|f| f.to_str().as_str()));
    }
}
