//! Interlaced pictures: two fields, half a frame's time apart, woven line by line.
//!
//! What moves is torn into a comb in them, and a plate in a comb is not read. The lines of the first field stay; each of
//! the others becomes the median of itself and its two neighbours (the idea of VT-median deinterlacing, e.g. de Haan and
//! Bellers, Proc. IEEE 86/9, 1998): where nothing moves it mostly stays as it is, so that the full height is kept; where
//! the fields differ it becomes one of the neighbours. One copy of the picture; what it costs stands in
//! `docs/cameras.md`. Only for streams that say that they are interlaced.

use super::planes::{Planes, Pool};
use crate::domain::{Frame, FrameFormat, PixelFormat, Plane};

/// The frame without a comb; `None` when its planes are shorter than its format says.
#[must_use]
pub fn without_comb(frame: &Frame, pool: &Pool) -> Option<Frame> {
    let planes = match frame.format.pixels {
        PixelFormat::I420 => [Some(frame.luma()), Some(frame.chroma(1)), Some(frame.chroma(2))],
        PixelFormat::Nv12 => [Some(frame.luma()), Some(frame.chroma(1)), None],
    };
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    let mut strides = [0; 3];
    for ((out, stride), plane) in out.iter_mut().zip(&mut strides).zip(planes) {
        let Some(plane) = plane else { continue };
        *stride = plane.width;
        *out = pool.take(plane.width * plane.height);
        smooth(&plane, out)?;
    }
    let format = FrameFormat { strides, ..frame.format };
    Some(Frame::new(format, frame.at, frame.pts, frame.index, Box::new(Planes::new(out, pool))))
}

fn smooth(plane: &Plane<'_>, out: &mut Vec<u8>) -> Option<()> {
    for y in 0..plane.height {
        let row = plane.row(y)?;
        let below = plane.row(y + 1);
        match (y % 2, below) {
            (1, Some(below)) => {
                let above = plane.row(y - 1)?;
                out.extend(above.iter().zip(row).zip(below).map(|((a, r), b)| median(*a, *r, *b)));
            }
            _ => out.extend_from_slice(row),
        }
    }
    Some(())
}

fn median(a: u8, b: u8, c: u8) -> u8 {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::TimeMs;

    fn frame(luma: Vec<u8>, width: u32, height: u32) -> Frame {
        let (w, h) = (width as usize, height as usize);
        let chroma = vec![128; w.div_ceil(2) * h.div_ceil(2)];
        let strides = [w, w.div_ceil(2), w.div_ceil(2)];
        let format = FrameFormat { width, height, pixels: PixelFormat::I420, strides, full_range: false };
        let planes = Planes::new([luma, chroma.clone(), chroma], &Pool::default());
        Frame::new(format, TimeMs(3), Duration::from_millis(4), 5, Box::new(planes))
    }

    #[test]
    fn a_comb_is_gone_and_what_stands_still_stays() {
        // A bright block that moved by 6 pixels between the fields.
        let moved: Vec<u8> = (0..32 * 16)
            .map(|i| {
                let (x, y) = (i % 32, i / 32);
                let left = if y % 2 == 0 { 8 } else { 14 };
                if (left..left + 10).contains(&x) { 220 } else { 30 }
            })
            .collect();
        let out = without_comb(&frame(moved, 32, 16), &Pool::default()).unwrap();
        for y in 0..15 {
            let row = out.luma().row(y).unwrap();
            assert_eq!(row[8..18], [220; 10], "row {y} is that of the first field");
            assert_eq!(row[18..], [30; 14], "row {y}");
        }
        // Edges between areas and slopes stay as they are in full height.
        let still: Vec<u8> = (0..32 * 16).map(|i| if i / 32 < 7 { 40 } else { 200 - (i % 32) as u8 }).collect();
        let out = without_comb(&frame(still.clone(), 32, 16), &Pool::default()).unwrap();
        assert_eq!(out.luma().data, still);
        assert_eq!((out.at, out.pts, out.index), (TimeMs(3), Duration::from_millis(4), 5));
    }

    #[test]
    fn short_planes_are_refused() {
        assert!(without_comb(&frame(vec![0; 100], 32, 16), &Pool::default()).is_none());
    }
}
