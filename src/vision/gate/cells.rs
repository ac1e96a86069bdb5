//! The picture as means of small cells: 32 pixels of each, in rows that a plate does not fit between.
//!
//! A cell is smaller than the narrowest plate that can be read, so a thing of that size changes at least one by a good
//! part of its contrast. The pixels of a cell in one row are summed by one vector instruction or two, which a compiler
//! makes of the loop by itself. Pixels right and below of the last whole cell are not looked at (at most 15 and 7 of them).

use crate::domain::{Plane, Rect};

/// Pixels across: of pictures from [`WIDE`] on, and of smaller ones.
const WIDTHS: (usize, usize) = (16, 8);
const WIDE: usize = 1280;

/// Pixels down.
const HEIGHT: usize = 8;

/// The grid of one size of picture, with the means of the last one.
#[derive(Debug, Default)]
pub(super) struct Cells {
    columns: usize,
    rows: usize,
    /// Pixels across.
    width: usize,
    /// Rows of pixels from one that is looked at to the next.
    step: usize,
    sums: Vec<u16>,
    means: Vec<f32>,
}

impl Cells {
    pub(super) fn of(width: usize, height: usize) -> Self {
        let (cell, step) = if width >= WIDE { (WIDTHS.0, 4) } else { (WIDTHS.1, 2) };
        let (columns, rows) = (width / cell, height / HEIGHT);
        let (sums, means) = (vec![0; columns], vec![0.0; columns * rows]);
        Self { columns, rows, width: cell, step, sums, means }
    }

    /// How many there are across.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Pixels across and down of one.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, HEIGHT)
    }

    /// Left and top of each, row by row.
    pub(super) fn corners(&self) -> impl Iterator<Item = (usize, usize)> {
        let (columns, width) = (self.columns, self.width);
        (0..self.rows).flat_map(move |y| (0..columns).map(move |x| (x * width, y * HEIGHT)))
    }

    /// The means, row by row, 0..255.
    pub(super) fn means(&self) -> &[f32] {
        &self.means
    }

    pub(super) fn rect(&self, cell: usize) -> Rect {
        let columns = self.columns.max(1);
        let (x, y) = ((cell % columns * self.width) as f32, (cell / columns * HEIGHT) as f32);
        Rect::new(x, y, x + self.width as f32, y + HEIGHT as f32)
    }

    /// Calls `what` with each cell that `rect` meets.
    pub(super) fn each_in(&self, rect: &Rect, mut what: impl FnMut(usize)) {
        let columns = span(rect.x1, rect.x2, self.width, self.columns);
        for y in span(rect.y1, rect.y2, HEIGHT, self.rows) {
            for x in columns.clone() {
                what(y * self.columns + x);
            }
        }
    }

    /// Takes the means of a picture. `None` when it is shorter or narrower than it was said to be.
    pub(super) fn measure(&mut self, luma: &Plane<'_>) -> Option<()> {
        let (step, width) = (self.step.max(1), self.columns * self.width);
        let share = 1.0 / (HEIGHT / step * self.width.max(1)) as f32;
        for (band, means) in self.means.chunks_exact_mut(self.columns.max(1)).enumerate() {
            self.sums.fill(0);
            for y in (band * HEIGHT..(band + 1) * HEIGHT).step_by(step) {
                let row = luma.row(y)?.get(..width)?;
                match self.width {
                    16 => add::<16>(row, &mut self.sums),
                    _ => add::<8>(row, &mut self.sums),
                }
            }
            for (mean, sum) in means.iter_mut().zip(&self.sums) {
                *mean = f32::from(*sum) * share;
            }
        }
        Some(())
    }
}

/// Adds each `N` pixels of a row to the sum of their cell, which stays below 32 × 255.
fn add<const N: usize>(row: &[u8], sums: &mut [u16]) {
    let (cells, _) = row.as_chunks::<N>();
    for (sum, cell) in sums.iter_mut().zip(cells) {
        *sum += cell.iter().map(|p| u16::from(*p)).sum::<u16>();
    }
}

/// The cells from `from` to `to` on a side of `count` cells of `size` pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of cells")]
fn span(from: f32, to: f32, size: usize, count: usize) -> std::ops::Range<usize> {
    let cell = |v: f32| (v / size.max(1) as f32).clamp(0.0, count as f32);
    cell(from).floor() as usize..cell(to).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_cells_pixels_whatever_the_size() {
        for (width, height, cell, step) in [(1283, 33, 16, 4), (643, 19, 8, 2)] {
            let data: Vec<u8> = (0..width * height).map(|i| (i * 31 % 256) as u8).collect();
            let luma = Plane { data: &data, stride: width, width, height };
            let mut cells = Cells::of(width, height);
            cells.measure(&luma).unwrap();
            assert_eq!(cells.means().len(), (width / cell) * (height / 8));
            for ((x, y), mean) in cells.corners().zip(cells.means()) {
                let rows = (y..y + 8).step_by(step);
                let all: Vec<f32> =
                    rows.flat_map(|y| (x..x + cell).map(move |x| y * width + x)).map(|i| f32::from(data[i])).collect();
                assert!((all.iter().sum::<f32>() / all.len() as f32 - mean).abs() < 1e-3);
            }
            assert!(cells.measure(&Plane { data: &data[..data.len() / 2], ..luma }).is_none());
        }
    }

    #[test]
    fn white_does_not_overflow_and_places_go_to_and_fro() {
        let data = vec![255; 1280 * 16];
        let mut cells = Cells::of(1280, 16);
        cells.measure(&Plane { data: &data, stride: 1280, width: 1280, height: 16 }).unwrap();
        assert!(cells.means().iter().all(|m| (m - 255.0).abs() < 1e-3));
        let mut met = Vec::new();
        cells.each_in(&Rect::new(17.0, 7.0, 33.0, 9.0), |c| met.push(c));
        assert_eq!(met, [1, 2, 81, 82]);
        assert_eq!(cells.rect(81), Rect::new(16.0, 8.0, 32.0, 16.0));
        cells.each_in(&Rect::new(f32::NAN, -5.0, 1e9, -1.0), |_| panic!("nothing is there"));
    }
}
