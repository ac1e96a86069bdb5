//! The picture shrunk to 320 samples along its longer side: all that the checks of a view look at.
//!
//! A sample is the mean of its pixels in sixteenths of a level, so that noise of a single level still shows. Of tall
//! samples four rows of pixels are looked at. What a privacy mask touches, even in part, is no sample: it is black, and
//! whoever looks at the samples leaves it out. Called by [`super::View`] a few times a second.

// bounds: rows and columns are cut to the picture's size when the grid is made; rows of a plane go by `get`.
#![expect(clippy::indexing_slicing, reason = "kernel loops over vectors of one length")]

use crate::domain::Plane;
use crate::vision::mask::Spans;

/// Samples along the longer side.
pub(super) const LONG: usize = 320;

/// Parts of a level of luma that a sample counts.
pub(super) const PARTS: u16 = 16;

/// Rows of pixels that are looked at for a row of samples.
const ROWS: usize = 4;

/// How pictures of one size are shrunk.
#[derive(Debug, Default)]
pub(super) struct Shrink {
    pub size: (u32, u32),
    pub width: usize,
    pub height: usize,
    /// First pixel and the one behind the last, of each column.
    columns: Vec<(usize, usize)>,
    /// Rows of pixels that are looked at, for each row of samples.
    rows: Vec<Vec<usize>>,
    /// Whether a sample may be seen.
    pub open: Vec<bool>,
    sums: Vec<u16>,
}

impl Shrink {
    pub(super) fn of(size: (u32, u32), masks: &Spans) -> Self {
        let (across, down) = (size.0 as usize, size.1 as usize);
        let long = across.max(down).max(1);
        let (width, height) =
            if long > LONG { ((across * LONG / long).max(1), (down * LONG / long).max(1)) } else { (across, down) };
        let cut =
            |n: usize, of: usize, length: usize| (n * length / of, ((n + 1) * length / of).max(n * length / of + 1));
        let columns: Vec<_> = (0..width).map(|x| cut(x, width, across)).collect();
        let bands: Vec<_> = (0..height).map(|y| cut(y, height, down)).collect();
        let rows = bands.iter().map(|(top, end)| {
            let (tall, count) = (end - top, (end - top).min(ROWS));
            (0..count).map(|n| top + n * tall / count.max(1)).collect()
        });
        let rows = rows.collect();
        let open = bands.iter().flat_map(|(top, end)| {
            columns.iter().map(move |(left, right)| !masks.meets(*left, *top, right - left, end - top))
        });
        let open = open.collect();
        Self { size, width, height, columns, rows, open, sums: vec![0; across] }
    }

    /// Shrinks a picture. `None` when it holds less than it was said to.
    pub(super) fn take(&mut self, luma: &Plane<'_>, to: &mut Vec<u16>) -> Option<()> {
        to.clear();
        for (y, rows) in self.rows.iter().enumerate() {
            self.sums.fill(0);
            for row in rows {
                let row = luma.row(*row)?;
                for (sum, pixel) in self.sums.iter_mut().zip(row) {
                    *sum += u16::from(*pixel);
                }
            }
            let open = &self.open[y * self.width..(y + 1) * self.width];
            for ((left, right), open) in self.columns.iter().zip(open) {
                let sum: u32 = self.sums.get(*left..*right)?.iter().map(|s| u32::from(*s)).sum();
                let count = u32::try_from((right - left) * rows.len()).unwrap_or(u32::MAX).max(1);
                let mean = sum * u32::from(PARTS) / count;
                to.push(if *open { u16::try_from(mean).unwrap_or(u16::MAX) } else { 0 });
            }
        }
        Some(())
    }
}

/// How light a picture is, levels above black.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Light {
    pub mean: f32,
    /// Of a hundred samples the darkest, and the brightest but one.
    pub low: f32,
    pub high: f32,
    /// The brightest, where no camera writes its name and the time.
    pub brightest: f32,
    /// The share that is as bright as can be.
    pub clipped: f32,
}

impl Light {
    /// `None` when nothing of the picture may be seen.
    pub(super) fn of(samples: &[u16], grid: &Shrink, full_range: bool) -> Option<Self> {
        let (black, white) = if full_range { (0_u16, 250_u16) } else { (16, 232) };
        let mut counts = [0_u32; 256];
        let (mut sum, mut brightest) = (0_u64, 0_u16);
        let bands = grid.height / 10..grid.height - grid.height / 10;
        let rows = samples.chunks_exact(grid.width.max(1)).zip(grid.open.chunks_exact(grid.width.max(1)));
        for (y, (row, open)) in rows.enumerate() {
            for (sample, _) in row.iter().zip(open).filter(|(_, open)| **open) {
                let level = sample / PARTS;
                counts[usize::from(level.min(255))] += 1;
                sum += u64::from(*sample);
                if bands.contains(&y) {
                    brightest = brightest.max(level);
                }
            }
        }
        let total: u32 = counts.iter().sum();
        if total < 64 {
            return None;
        }
        let level_of = |share: f32| {
            let (wanted, mut met) = (share * total as f32, 0.0);
            let found = counts.iter().position(|count| {
                met += *count as f32;
                met > wanted
            });
            found.unwrap_or(255) as f32 - f32::from(black)
        };
        let clipped: u32 = counts.iter().skip(usize::from(white)).sum();
        Some(Self {
            mean: sum as f32 / f32::from(PARTS) / total as f32 - f32::from(black),
            low: level_of(0.01).max(0.0),
            high: level_of(0.99).max(0.0),
            brightest: (f32::from(brightest) - f32::from(black)).max(0.0),
            clipped: clipped as f32 / total as f32,
        })
    }

    /// Dark, without light and texture.
    pub(super) fn is_black(&self) -> bool {
        self.high < 20.0 && self.brightest < 48.0
    }

    /// Most of it shows nothing but white.
    pub(super) fn is_blinded(&self) -> bool {
        self.clipped > 0.6
    }
}
