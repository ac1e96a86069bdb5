//! Where a picture has edges, and whether a block of it is found in another: what lasts of a view when its light changes.
//!
//! An edge counts by its contrast, whichever side is the lighter, and strong ones are cut off, so that a lamp weighs no
//! more than a kerb. Blocks are compared by their normalised cross-correlation (Lewis, *Fast Normalized
//! Cross-Correlation*, 1995). Integers throughout: such sums become vector instructions.

// bounds: blocks lie within the picture when they are made, and places are checked before they are compared.
#![expect(clippy::indexing_slicing, reason = "kernel loops over vectors of one length")]
#![expect(clippy::cast_possible_truncation, reason = "likenesses between -1 and 1; levels are clamped to a byte")]

/// Samples along a side of a block.
pub(super) const BLOCK: usize = 20;

/// Parts of a level that an edge counts, and the most that it may.
const FINE: f32 = 4.0;
const MOST: f32 = 255.0;

/// What the faint edges of a soft picture are enlarged by.
const ENLARGED: f32 = 3.0;

/// Least spread of a block's edges to be texture, in parts of a level.
const TEXTURE: i64 = 10;

/// Correlation from which two blocks show the same.
pub(super) const SAME: f32 = 0.62;

/// The edges of a small picture.
#[derive(Debug, Clone, Default)]
pub(super) struct Edges {
    pub width: usize,
    pub height: usize,
    strength: Vec<u8>,
}

/// A block with texture: its left and top, and sums over its edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub x: usize,
    pub y: usize,
    sum: i64,
    /// Its spread, squared, times the square of its samples.
    pub spread: i64,
}

const COUNT: i64 = 400;
const _: () = assert!(BLOCK * BLOCK == 400);

impl Edges {
    /// Of levels, row by row; what may not be seen has none, nor what is beside it.
    pub(super) fn of(levels: &[f32], open: &[bool], width: usize) -> Self {
        let height = levels.len() / width.max(1);
        let mut strength = vec![0; levels.len()];
        for y in 1..height.saturating_sub(1) {
            let at = y * width;
            for x in at + 1..at + width.saturating_sub(1) {
                let seen = open[x - 1] && open[x] && open[x + 1] && open[x - width] && open[x + width];
                let edge = (levels[x + 1] - levels[x - 1]).abs() + (levels[x + width] - levels[x - width]).abs();
                strength[x] = if seen { part(edge) } else { 0 };
            }
        }
        Self { width, height, strength }
    }

    /// The edges that stay when a picture is out of focus: of the means of 7 × 7 samples, enlarged.
    pub(super) fn soft(levels: &[f32], open: &[bool], width: usize) -> Self {
        const REACH: usize = 3;
        let height = levels.len() / width.max(1);
        let mut across = vec![0.0; levels.len()];
        for (to, from) in across.chunks_exact_mut(width.max(1)).zip(levels.chunks_exact(width.max(1))) {
            for (x, mean) in to.iter_mut().enumerate() {
                let near = &from[x.saturating_sub(REACH)..(x + REACH + 1).min(width)];
                *mean = near.iter().sum::<f32>() / near.len() as f32;
            }
        }
        let mut soft = vec![0.0; levels.len()];
        for y in 0..height {
            let near = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
            let share = ENLARGED / near.len() as f32;
            for row in near {
                let from = &across[row * width..(row + 1) * width];
                soft[y * width..(y + 1) * width].iter_mut().zip(from).for_each(|(to, from)| *to += share * from);
            }
        }
        Self::of(&soft, open, width)
    }

    /// Means of `by` × `by` samples.
    pub(super) fn coarse(&self, by: usize) -> Self {
        let (width, height) = (self.width / by, self.height / by);
        let mean = |x: usize, y: usize| {
            let rows = (y * by..(y + 1) * by).map(|row| &self.strength[row * self.width + x * by..][..by]);
            let sum: usize = rows.flatten().map(|s| usize::from(*s)).sum();
            u8::try_from(sum / (by * by)).unwrap_or(u8::MAX)
        };
        let strength = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| mean(x, y)).collect();
        Self { width, height, strength }
    }

    /// The picture in which what was at `from(x, y)` is at (x, y).
    pub(super) fn warped(&self, from: impl Fn(f32, f32) -> (f32, f32)) -> Self {
        let place = |x: usize, y: usize| {
            let (x, y) = from(x as f32, y as f32);
            let (x, y) = (whole(x)?, whole(y)?);
            (x < self.width && y < self.height).then(|| self.strength[y * self.width + x])
        };
        let cells = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let strength = cells.map(|(x, y)| place(x, y).unwrap_or(0)).collect();
        Self { width: self.width, height: self.height, strength }
    }

    /// Its blocks that have texture, row by row.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let (across, down) = (self.width / BLOCK, self.height / BLOCK);
        // The same room at both ends: the outermost blocks do not lie at the very edge.
        let (left, top) = ((self.width - across * BLOCK) / 2, (self.height - down * BLOCK) / 2);
        let places = (0..down).flat_map(|y| (0..across).map(move |x| (left + x * BLOCK, top + y * BLOCK)));
        places
            .map(|(x, y)| self.block(x, y))
            .filter(|block| block.spread >= COUNT * COUNT * TEXTURE * TEXTURE)
            .collect()
    }

    fn block(&self, x: usize, y: usize) -> Block {
        let (mut sum, mut squares) = (0_u32, 0_u32);
        for row in y..y + BLOCK {
            for s in &self.strength[row * self.width + x..][..BLOCK] {
                sum += u32::from(*s);
                squares += u32::from(*s) * u32::from(*s);
            }
        }
        let (sum, squares) = (i64::from(sum), i64::from(squares));
        Block { x, y, sum, spread: COUNT * squares - sum * sum }
    }

    /// How well `block` of `self` is found in `other`, `right` and `down` of its place: −1..1; `None` outside of it.
    pub(super) fn likeness(&self, block: &Block, other: &Self, right: i32, down: i32) -> Option<f32> {
        let place = |at: usize, by: i32, size: usize| {
            let to = i32::try_from(at).ok()?.checked_add(by).and_then(|to| usize::try_from(to).ok())?;
            (to + BLOCK <= size).then_some(to)
        };
        let (x, y) = (place(block.x, right, other.width)?, place(block.y, down, other.height)?);
        let (mut sum, mut squares, mut products) = (0_u32, 0_u32, 0_u32);
        for row in 0..BLOCK {
            let ours = &self.strength[(block.y + row) * self.width + block.x..][..BLOCK];
            let theirs = &other.strength[(y + row) * other.width + x..][..BLOCK];
            for (a, b) in ours.iter().zip(theirs) {
                let (a, b) = (u32::from(*a), u32::from(*b));
                sum += b;
                squares += b * b;
                products += a * b;
            }
        }
        let (sum, squares, products) = (i64::from(sum), i64::from(squares), i64::from(products));
        let spread = COUNT * squares - sum * sum;
        // A block without texture is like nothing, whatever its noise.
        if spread < COUNT * COUNT * 16 {
            return Some(0.0);
        }
        let together = COUNT * products - block.sum * sum;
        Some((together as f64 / (block.spread as f64 * spread as f64).sqrt()) as f32)
    }

    /// The place within `reach` of its own at which `block` is found best, and how well.
    pub(super) fn found(&self, block: &Block, other: &Self, reach: i32) -> (i32, i32, f32) {
        let mut best = (0, 0, -1.0);
        for down in -reach..=reach {
            for right in -reach..=reach {
                match self.likeness(block, other, right, down) {
                    Some(likeness) if likeness > best.2 => best = (right, down, likeness),
                    _ => {}
                }
            }
        }
        best
    }

    /// How alike the whole pictures are with `self` moved `right` and `down`, −1..1; 0 where too little of them overlaps.
    pub(super) fn alike(&self, other: &Self, right: i32, down: i32) -> f32 {
        let span = |by: i32, size: usize| {
            let away = usize::try_from(by.unsigned_abs()).unwrap_or(size).min(size);
            let (ours, theirs) = if by >= 0 { (0, away) } else { (away, 0) };
            (ours, theirs, size - away)
        };
        let ((x, to_x, w), (y, to_y, h)) = (span(right, self.width), span(down, self.height));
        if w * h * 5 < self.width * self.height * 2 {
            return 0.0;
        }
        let mut sums = [0_u64; 5];
        for row in 0..h {
            let ours = &self.strength[(y + row) * self.width + x..][..w];
            let theirs = &other.strength[(to_y + row) * other.width + to_x..][..w];
            let mut of_row = [0_u32; 5];
            for (a, b) in ours.iter().zip(theirs) {
                let (a, b) = (u32::from(*a), u32::from(*b));
                of_row[0] += a;
                of_row[1] += b;
                of_row[2] += a * a;
                of_row[3] += b * b;
                of_row[4] += a * b;
            }
            sums.iter_mut().zip(of_row).for_each(|(sum, row)| *sum += u64::from(row));
        }
        let [a, b, aa, bb, ab] = sums.map(|s| s as f64);
        let n = (w * h) as f64;
        let spread = (n * aa - a * a) * (n * bb - b * b);
        if spread <= 0.0 { 0.0 } else { ((n * ab - a * b) / spread.sqrt()) as f32 }
    }
}

/// An edge of so many levels as it is kept: what noise gives is none.
#[expect(clippy::cast_sign_loss, reason = "clamped to 0..255")]
fn part(levels: f32) -> u8 {
    ((levels - 2.0) * FINE).clamp(0.0, MOST) as u8
}

#[expect(clippy::cast_sign_loss, reason = "at least 0 and far below 2^24")]
fn whole(place: f32) -> Option<usize> {
    (place >= -0.5).then_some((place + 0.5) as usize)
}
