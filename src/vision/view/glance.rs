//! A glance at every frame: did the picture change at once, or did what moves in it jump? Means of a few hundred pixels a cell, held against those of the
//! frame before by their correlation, which no step of the exposure and no lamp changes. It costs some hundredths of a
//! millisecond and says only that somebody should look; what is under a privacy mask is left out.

// bounds: rows of a plane go by `get`.

use std::collections::VecDeque;

use crate::domain::Plane;
use crate::vision::mask::Spans;

/// Cells across and down.
const CELLS: (usize, usize) = (32, 18);
/// Rows of pixels of a cell that are looked at, and pixels in each.
const ROWS: usize = 3;
const PIXELS: usize = 12;

/// Correlation below which the picture may be another, and the least mean change of a cell, levels.
const ANOTHER: f32 = 0.9;
const CHANGED: f32 = 5.0;

/// Levels by which a cell changes when something moves in it.
const MOVED: f32 = 12.0;
/// Share of the cells that a jump changes at least, and how much more than in any of the frames before it.
const SPIKE: (f32, f32) = (0.15, 2.0);
/// Frames before a jump that it is held against, and what is left of it in the next at most.
const BEFORE: usize = 10;
const AFTER: f32 = 0.5;

/// What a glance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing out of the ordinary.
    Usual,
    /// It may be another picture.
    Another,
    /// What moved in it was all at once elsewhere in the frame before: a recording goes on at another time.
    Jumped,
}

/// The frame before.
#[derive(Debug, Default)]
pub(super) struct Glance {
    open: Vec<bool>,
    means: Vec<f32>,
    before: Vec<f32>,
    /// Shares of the cells that changed, newest last.
    shares: VecDeque<f32>,
}

impl Glance {
    pub(super) fn of((width, height): (u32, u32), masks: &Spans) -> Self {
        let (w, h) = (width as usize, height as usize);
        let cells = (0..CELLS.1).flat_map(|y| (0..CELLS.0).map(move |x| (x, y)));
        let open = cells.map(|(x, y)| {
            let (left, top) = (x * w / CELLS.0, y * h / CELLS.1);
            !masks.meets(left, top, ((x + 1) * w / CELLS.0 - left).max(1), ((y + 1) * h / CELLS.1 - top).max(1))
        });
        Self { open: open.collect(), ..Self::default() }
    }

    /// Nothing is known of the frame before.
    pub(super) fn begin(&mut self) {
        self.before.clear();
        self.shares.clear();
    }

    /// Holds a frame against the one before it.
    pub(super) fn take(&mut self, luma: &Plane<'_>) -> Change {
        self.measure(luma);
        let follows = self.before.len() == self.means.len();
        let another = follows && self.is_another();
        if follows {
            let share = self.moved();
            if self.shares.len() > BEFORE + 1 {
                self.shares.pop_front();
            }
            self.shares.push_back(share);
        }
        std::mem::swap(&mut self.before, &mut self.means);
        match (another, self.has_jumped()) {
            (true, _) => Change::Another,
            (false, true) => Change::Jumped,
            (false, false) => Change::Usual,
        }
    }

    /// The share of the cells that changed, but for what all have in common.
    fn moved(&self) -> f32 {
        let cells = self.means.iter().zip(&self.before).zip(&self.open).filter(|(_, open)| **open);
        let mut changes: Vec<f32> = cells.map(|((now, before), _)| now - before).collect();
        let middle = changes.len() / 2;
        if changes.len() < 16 {
            return 0.0;
        }
        let median = *changes.select_nth_unstable_by(middle, f32::total_cmp).1;
        let moved = changes.iter().filter(|change| (**change - median).abs() > MOVED).count();
        moved as f32 / changes.len() as f32
    }

    /// Whether the frame before this one changed far more than those before it, and this one does not go on with it: what
    /// comes near grows from frame to frame, a flash goes back at once.
    fn has_jumped(&self) -> bool {
        let mut newest = self.shares.iter().rev();
        let (Some(after), Some(share)) = (newest.next(), newest.next()) else { return false };
        let most = newest.copied().fold(0.0, f32::max);
        self.shares.len() > BEFORE + 1 && *share >= SPIKE.0 && *share > SPIKE.1 * most && *after <= AFTER * share
    }

    fn measure(&mut self, luma: &Plane<'_>) {
        self.means.clear();
        for y in 0..CELLS.1 {
            let (top, tall) = (y * luma.height / CELLS.1, luma.height / CELLS.1);
            let mut sums = [0_u32; CELLS.0];
            for row in 0..ROWS {
                let Some(row) = luma.row(top + (2 * row + 1) * tall / (2 * ROWS)) else { continue };
                for (x, sum) in sums.iter_mut().enumerate() {
                    let (left, end) = (x * luma.width / CELLS.0, (x + 1) * luma.width / CELLS.0);
                    let pixels = row.get(left..end).unwrap_or_default();
                    *sum += pixels
                        .iter()
                        .step_by((pixels.len() / PIXELS).max(1))
                        .take(PIXELS)
                        .map(|p| u32::from(*p))
                        .sum::<u32>();
                }
            }
            self.means.extend(sums.iter().map(|sum| *sum as f32 / (ROWS * PIXELS) as f32));
        }
    }

    fn is_another(&self) -> bool {
        let cells = || self.means.iter().zip(&self.before).zip(&self.open).filter(|(_, open)| **open).map(|(c, _)| c);
        let n = cells().count() as f32;
        if n < 16.0 {
            return false;
        }
        let sum = cells().fold([0.0; 6], |[a, b, aa, bb, ab, d], (x, y)| {
            [a + x, b + y, aa + x * x, bb + y * y, ab + x * y, d + (x - y).abs()]
        });
        let [a, b, aa, bb, ab, changed] = sum.map(|s: f32| s / n);
        let spread = (aa - a * a) * (bb - b * b);
        // A picture of one grey has no likeness to anything.
        changed >= CHANGED && spread > 1.0 && (ab - a * b) / spread.sqrt() < ANOTHER
    }
}
