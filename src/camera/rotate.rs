//! Pictures that lie on their side are stood up: for cameras that are mounted so, and files that say so.
//!
//! The decoder's planes are copied once, turned; only cameras that need it pay for it (`docs/cameras.md` has the cost),
//! and what comes after never knows. Mirrored pictures are not turned back: a plate in a mirror is no plate of ours.

// bounds: tiles are cut to width and height, whose last row was looked at before; the output has exactly as many samples.
#![expect(clippy::indexing_slicing, reason = "a kernel over pixels; see the bounds above")]

use super::planes::{Planes, Pool};
use crate::domain::{Frame, FrameFormat, PixelFormat, Plane};

/// By how much a picture is turned, clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// 90 degrees: its left side comes up.
    Right,
    /// 180 degrees.
    Half,
    /// 270 degrees: its right side comes up.
    Left,
}

impl Rotation {
    /// Of 0, 90, 180 or 270 degrees clockwise.
    #[must_use]
    pub fn of_degrees(degrees: u16) -> Option<Self> {
        match degrees {
            0 => Some(Self::None),
            90 => Some(Self::Right),
            180 => Some(Self::Half),
            270 => Some(Self::Left),
            _ => None,
        }
    }

    /// What GStreamer's tag `image-orientation` says; mirrored ones give `None`.
    #[must_use]
    pub fn of_tag(orientation: &str) -> Option<Self> {
        orientation.strip_prefix("rotate-")?.parse().ok().and_then(Self::of_degrees)
    }

    /// Clockwise, 0, 90, 180 or 270.
    #[must_use]
    pub fn degrees(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Right => 90,
            Self::Half => 180,
            Self::Left => 270,
        }
    }
}

/// The frame turned; `None` when its planes are shorter than its format says. Without a turn it is still copied.
#[must_use]
pub fn turned(frame: &Frame, by: Rotation, pool: &Pool) -> Option<Frame> {
    let FrameFormat { width, height, pixels, .. } = frame.format;
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    turn::<1>(&frame.luma(), by, out.first_mut()?, pool)?;
    for index in 1..=2 {
        match (pixels, index) {
            (PixelFormat::I420, _) => turn::<1>(&frame.chroma(index), by, out.get_mut(index)?, pool)?,
            (PixelFormat::Nv12, 1) => turn::<2>(&frame.chroma(index), by, out.get_mut(index)?, pool)?,
            (PixelFormat::Nv12, _) => {}
        }
    }
    let (width, height) = match by {
        Rotation::None | Rotation::Half => (width, height),
        Rotation::Right | Rotation::Left => (height, width),
    };
    let (luma, half) = (width as usize, width.div_ceil(2) as usize);
    let strides = if pixels == PixelFormat::I420 { [luma, half, half] } else { [luma, half * 2, 0] };
    let format = FrameFormat { width, height, strides, ..frame.format };
    Some(Frame::new(format, frame.at, frame.pts, frame.index, Box::new(Planes::new(out, pool))))
}

/// Rows and columns that are turned at a time: both their sources and targets stay in the first cache.
const TILE: usize = 32;

/// Turns a plane whose samples have `N` bytes.
fn turn<const N: usize>(plane: &Plane<'_>, by: Rotation, out: &mut Vec<u8>, pool: &Pool) -> Option<()> {
    let (width, height) = (plane.width / N, plane.height);
    // All rows are as long as they should be: the last one is, and the stride is no shorter than a row.
    plane.row(height.checked_sub(1)?)?;
    *out = pool.take(width * height * N);
    if matches!(by, Rotation::None | Rotation::Half) {
        for n in 0..height {
            let row = plane.row(if by == Rotation::Half { height - 1 - n } else { n })?;
            match by {
                Rotation::Half if N == 1 => out.extend(row.iter().rev()),
                Rotation::Half => out.extend(row.as_chunks::<N>().0.iter().rev().flatten()),
                _ => out.extend_from_slice(row),
            }
        }
        return Some(());
    }
    out.resize(width * height * N, 0);
    let (samples, _) = out.as_chunks_mut::<N>();
    for top in (0..height).step_by(TILE) {
        let bottom = (top + TILE).min(height);
        for left in (0..width).step_by(TILE) {
            for x in left..(left + TILE).min(width) {
                // A column of the source is a row of the target.
                let (row, reversed) = if by == Rotation::Right { (x, true) } else { (width - 1 - x, false) };
                let from = if reversed { height - bottom } else { top };
                let target = &mut samples[row * height + from..][..bottom - top];
                let column = |y: usize| {
                    let at = y * plane.stride + x * N;
                    let mut sample = [0; N];
                    sample.copy_from_slice(&plane.data[at..at + N]);
                    sample
                };
                // Written forwards either way: turned left, a column is read downwards, turned right, upwards.
                if reversed {
                    target.iter_mut().zip((top..bottom).rev()).for_each(|(t, y)| *t = column(y));
                } else {
                    target.iter_mut().zip(top..bottom).for_each(|(t, y)| *t = column(y));
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Pixels, TimeMs};

    struct Raw([Vec<u8>; 3]);
    impl Pixels for Raw {
        fn plane(&self, index: usize) -> &[u8] {
            self.0.get(index).map_or(&[], Vec::as_slice)
        }
    }

    /// A picture whose samples all differ as far as bytes can, with gaps between the rows.
    fn frame(pixels: PixelFormat, width: u32, height: u32, gap: usize) -> Frame {
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let plane = |stride: usize, rows: usize, seed: usize| -> Vec<u8> {
            (0..stride * rows).map(|i| (i * 7 + i / stride * 13 + seed) as u8).collect()
        };
        let (strides, planes) = match pixels {
            PixelFormat::I420 => {
                ([w + gap, cw + gap, cw + gap], [plane(w + gap, h, 0), plane(cw + gap, ch, 1), plane(cw + gap, ch, 2)])
            }
            PixelFormat::Nv12 => {
                ([w + gap, cw * 2 + gap, 0], [plane(w + gap, h, 0), plane(cw * 2 + gap, ch, 1), Vec::new()])
            }
        };
        let format = FrameFormat { width, height, pixels, strides, full_range: true };
        Frame::new(format, TimeMs(3), Duration::from_millis(4), 5, Box::new(Raw(planes)))
    }

    fn rows(plane: &Plane<'_>) -> Vec<Vec<u8>> {
        (0..plane.height).map(|y| plane.row(y).unwrap().to_vec()).collect()
    }

    /// Sample by sample, as the definition says.
    fn slowly(rows: &[Vec<u8>], by: Rotation, n: usize) -> Vec<Vec<u8>> {
        let (h, w) = (rows.len(), rows[0].len() / n);
        let at = |x: usize, y: usize| rows[y][x * n..(x + 1) * n].to_vec();
        let (tw, th) = if matches!(by, Rotation::Right | Rotation::Left) { (h, w) } else { (w, h) };
        let source = |x: usize, y: usize| match by {
            Rotation::None => at(x, y),
            Rotation::Right => at(y, h - 1 - x),
            Rotation::Half => at(w - 1 - x, h - 1 - y),
            Rotation::Left => at(w - 1 - y, x),
        };
        (0..th).map(|y| (0..tw).flat_map(|x| source(x, y)).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_size_and_turn_agrees_with_the_slow_way(
            width in 1_u32..90, height in 1_u32..90, gap in 0_usize..9, turn in 0_u16..4, nv12 in any::<bool>(),
        ) {
            let by = Rotation::of_degrees(turn * 90).unwrap();
            let pixels = if nv12 { PixelFormat::Nv12 } else { PixelFormat::I420 };
            let from = frame(pixels, width, height, gap);
            let to = turned(&from, by, &Pool::default()).unwrap();
            prop_assert_eq!(rows(&to.luma()), slowly(&rows(&from.luma()), by, 1));
            let n = if nv12 { 2 } else { 1 };
            for index in 1..=if nv12 { 1 } else { 2 } {
                prop_assert_eq!(rows(&to.chroma(index)), slowly(&rows(&from.chroma(index)), by, n));
            }
            prop_assert_eq!((to.at, to.pts, to.index, to.format.full_range), (from.at, from.pts, from.index, true));
        }
    }

    #[test]
    fn degrees_and_tags_name_the_four_turns() {
        for (degrees, tag, rotation) in [
            (0, "rotate-0", Rotation::None),
            (90, "rotate-90", Rotation::Right),
            (180, "rotate-180", Rotation::Half),
            (270, "rotate-270", Rotation::Left),
        ] {
            assert_eq!((Rotation::of_degrees(degrees), Rotation::of_tag(tag)), (Some(rotation), Some(rotation)));
            assert_eq!(rotation.degrees(), degrees);
        }
        assert_eq!((Rotation::of_degrees(45), Rotation::of_tag("flip-rotate-90")), (None, None));
    }

    #[test]
    fn short_planes_are_refused() {
        let mut short = frame(PixelFormat::I420, 40, 30, 0);
        short.format.height = 40;
        assert!(turned(&short, Rotation::Right, &Pool::default()).is_none());
    }
}
