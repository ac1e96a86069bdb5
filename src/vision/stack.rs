//! Pictures of one plate laid over each other, so that many poor ones make a good one.
//!
//! A plate 50 pixels wide, smeared by the exposure and coded coarsely, is read right in one frame of twenty or in none, and
//! fusing reads can't bring back what none of them saw. The frames' noise and their codec's residuals differ, the plate does
//! not: registered and averaged, what the reader's model is shown of it loses the noise and keeps the strokes. Registration
//! is by Lucas and Kanade's method with an affine warp, inverse compositional (Baker and Matthews 2004), on pictures of half
//! the size that are freed of brightness and contrast; a picture that does not correlate with a stack begins another, so
//! that a sign that hides the plate does not blur it. Two blurred plates of one layout do correlate: whoever follows the vehicle
//! clears its stacks when it may have become another one.
//!
//! Called by the analyser with what [`super::plate::Reader`] cut out. Left out: plates of two lines, whose lines are read one
//! by one; undoing the smear, which is left to the model. What it gives: docs/models.md; what it costs was not measured yet.

use std::ops::ControlFlow;

/// What a reader's model was shown of a plate: planes row by row, values as they go in.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// The planes, one after the other.
    pub values: Vec<f32>,
}

/// Least correlation of a picture with the stack that it joins.
const LEAST_ALIKE: f32 = 0.8;

/// Stacks of one track: the plate, and what passes before it.
const MOST: usize = 3;

/// Fewest pictures of a stack that is read.
pub const LEAST: u16 = 3;

/// A stack is read again when it has grown by this share.
const GROWN: f32 = 1.3;

/// Most pictures that count: beyond, older ones fade.
const FULL: u16 = 48;

/// Steps of a registration, and how small one is that ends it (pixels of the half picture at its edge).
const STEPS: usize = 12;
const SMALL_STEP: f32 = 0.02;

/// The stacks of one track.
#[derive(Debug, Clone, Default)]
pub struct Stacks(Vec<Stack>);

#[derive(Debug, Clone)]
struct Stack {
    mean: Cut,
    count: u16,
    /// How many there were when it was read last.
    read_at: u16,
}

impl Stacks {
    /// Lays a picture over those that it is like.
    pub fn add(&mut self, cut: &Cut) {
        let Some(new) = Half::of(cut) else { return };
        let mut best: Option<(usize, Warp, f32)> = None;
        for (place, stack) in self.0.iter().enumerate() {
            if let Some((warp, alike)) = registered(&stack.mean, &new)
                && alike >= best.map_or(LEAST_ALIKE, |b| b.2)
            {
                best = Some((place, warp, alike));
            }
        }
        if let Some((stack, (_, warp, _))) = best.and_then(|b| Some((self.0.get_mut(b.0)?, b))) {
            stack.lay(cut, &warp);
            return;
        }
        if self.0.len() >= MOST
            && let Some(least) = (0..self.0.len()).min_by_key(|n| self.0.get(*n).map_or(0, |s| s.count))
        {
            self.0.remove(least);
        }
        self.0.push(Stack { mean: cut.clone(), count: 1, read_at: 0 });
    }

    /// The largest stack when it is worth reading: it has enough pictures, and grew since it was last given out.
    pub fn due(&mut self) -> Option<(&Cut, u16)> {
        let stack = self.0.iter_mut().max_by_key(|s| s.count)?;
        let is_due = stack.count >= LEAST && f32::from(stack.count) >= GROWN * f32::from(stack.read_at);
        if !is_due {
            return None;
        }
        stack.read_at = stack.count;
        Some((&stack.mean, stack.count))
    }

    /// Forgets all: another vehicle, or nothing is to be read any more.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl Stack {
    /// Takes a picture into the mean, warped to its place.
    fn lay(&mut self, cut: &Cut, warp: &Warp) {
        self.count = (self.count + 1).min(FULL);
        let share = 1.0 / f32::from(self.count);
        let (w, h) = (cut.width, cut.height);
        if (w, h, cut.values.len()) != (self.mean.width, self.mean.height, self.mean.values.len()) || w * h == 0 {
            return;
        }
        for (mean, plane) in self.mean.values.chunks_exact_mut(w * h).zip(cut.values.chunks_exact(w * h)) {
            let sampler = Sampler { plane, width: w, height: h };
            for (y, row) in mean.chunks_exact_mut(w).enumerate() {
                for (x, value) in row.iter_mut().enumerate() {
                    // Half pixels of the warp: centre of pixel n is at n + 0.5 in both sizes.
                    let (u, v) = warp.at(x as f32 * 0.5 - 0.25, y as f32 * 0.5 - 0.25);
                    *value += share * (sampler.at(2.0 * u + 0.5, 2.0 * v + 0.5) - *value);
                }
            }
        }
    }
}

/// An affine map between two pictures of half size: `x' = x + a0 + a1·x + a2·y`, `y'` likewise, about the top left pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Warp([f32; 6]);

impl Warp {
    const NONE: Self = Self([0.0; 6]);

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let [a0, a1, a2, b0, b1, b2] = self.0;
        (x + a0 + a1 * x + a2 * y, y + b0 + b1 * x + b2 * y)
    }

    /// This one after the inverse of `step`.
    fn less(&self, step: &Self) -> Option<Self> {
        let [s0, s1, s2, t0, t1, t2] = step.0;
        let det = (1.0 + s1) * (1.0 + t2) - s2 * t1;
        if !(det.is_finite() && det.abs() > 0.2) {
            return None;
        }
        // The inverse of step.
        let (i11, i12, i21, i22) = ((1.0 + t2) / det, -s2 / det, -t1 / det, (1.0 + s1) / det);
        let (i10, i20) = (-(i11 * s0 + i12 * t0), -(i21 * s0 + i22 * t0));
        let [a0, a1, a2, b0, b1, b2] = self.0;
        let (m11, m12, m21, m22) = (1.0 + a1, a2, b1, 1.0 + b2);
        let out = [
            m11 * i10 + m12 * i20 + a0,
            m11 * i11 + m12 * i21 - 1.0,
            m11 * i12 + m12 * i22,
            m21 * i10 + m22 * i20 + b0,
            m21 * i11 + m22 * i21,
            m21 * i12 + m22 * i22 - 1.0,
        ];
        out.iter().all(|v| v.is_finite()).then_some(Self(out))
    }

    /// Whether it is one that corners of a plate found twice can differ by: a seventh of the picture, a quarter in size.
    fn is_small(&self, width: f32, height: f32) -> bool {
        let [a0, a1, a2, b0, b1, b2] = self.0;
        let moved = self.at(width / 2.0, height / 2.0);
        (moved.0 - width / 2.0).abs() <= width / 7.0
            && (moved.1 - height / 2.0).abs() <= height / 4.0
            && [a1, b2].iter().all(|v| v.abs() < 0.25)
            && [a2, b1].iter().all(|v| v.abs() < 0.35)
            && a0.is_finite()
            && b0.is_finite()
    }
}

/// A picture at half the size, softened, freed of its brightness and contrast.
struct Half {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Half {
    /// `None` for a picture without contrast, or too small.
    fn of(cut: &Cut) -> Option<Self> {
        let (w, h) = (cut.width / 2, cut.height / 2);
        let plane = cut.values.get(..cut.width * cut.height)?;
        if w < 8 || h < 8 {
            return None;
        }
        let mut values = Vec::with_capacity(w * h);
        for rows in plane.chunks_exact(2 * cut.width).take(h) {
            let (upper, lower) = rows.split_at(cut.width);
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            values.extend(pairs.map(|(a, b)| (a.iter().sum::<f32>() + b.iter().sum::<f32>()) / 4.0));
        }
        let mut values = soft(&values, w);
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        for v in &mut values {
            *v -= mean;
        }
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / count).sqrt();
        if !(deviation.is_finite() && deviation > 1e-4) {
            return None;
        }
        for v in &mut values {
            *v /= deviation;
        }
        Some(Self { width: w, height: h, values })
    }

    fn sampler(&self) -> Sampler<'_> {
        Sampler { plane: &self.values, width: self.width, height: self.height }
    }
}

/// One, two, one in both directions.
fn soft(values: &[f32], width: usize) -> Vec<f32> {
    let mut across = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let at = |x: usize| row.get(x.min(width - 1)).copied().unwrap_or(0.0);
        across.extend((0..width).map(|x| (at(x.saturating_sub(1)) + 2.0 * at(x) + at(x + 1)) / 4.0));
    }
    let height = across.len() / width;
    let row = |y: usize| across.chunks_exact(width).nth(y.min(height - 1)).unwrap_or_default();
    let mut down = Vec::with_capacity(across.len());
    for y in 0..height {
        let (above, here, below) = (row(y.saturating_sub(1)), row(y), row(y + 1));
        down.extend(above.iter().zip(here).zip(below).map(|((a, b), c)| (a + 2.0 * b + c) / 4.0));
    }
    down
}

/// Values between pixels, by the four around; beyond the edge the edge's.
#[derive(Clone, Copy)]
struct Sampler<'a> {
    plane: &'a [f32],
    width: usize,
    height: usize,
}

impl Sampler<'_> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the picture before")]
    fn at(&self, x: f32, y: f32) -> f32 {
        let (right, bottom) = (self.width - 1, self.height - 1);
        let (x, y) = (x.clamp(0.0, right as f32), y.clamp(0.0, bottom as f32));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(right), (y0 + 1).min(bottom));
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let value = |x: usize, y: usize| self.plane.get(y * self.width + x).copied().unwrap_or(0.0);
        let upper = value(x0, y0) + fx * (value(x1, y0) - value(x0, y0));
        let lower = value(x0, y1) + fx * (value(x1, y1) - value(x0, y1));
        upper + fy * (lower - upper)
    }
}

/// The map from `mean`'s pixels to those of `new`, and how alike the two are then (normalised correlation); `None` when no
/// small map is found.
fn registered(mean: &Cut, new: &Half) -> Option<(Warp, f32)> {
    let fixed = Half::of(mean)?;
    if (fixed.width, fixed.height) != (new.width, new.height) {
        return None;
    }
    let (width, height) = (fixed.width as f32, fixed.height as f32);
    let steepest = steepest(&fixed);
    let inverse = inverted(&hessian(&steepest))?;
    let moving = new.sampler();
    let mut warp = Warp::NONE;
    let improve = |warp: &Warp| {
        let mut sum = [0.0_f32; 6];
        each(&fixed, |n, x, y, value| {
            let (u, v) = warp.at(x, y);
            let error = moving.at(u, v) - value;
            if let Some(steep) = steepest.get(n) {
                sum.iter_mut().zip(steep).for_each(|(s, g)| *s += g * error);
            }
        });
        let mut step = [0.0; 6];
        for (s, row) in step.iter_mut().zip(&inverse) {
            *s = row.iter().zip(&sum).map(|(a, b)| a * b).sum();
        }
        Warp(step)
    };
    let found = (0..STEPS).try_for_each(|_| {
        let step = improve(&warp);
        let Some(next) = warp.less(&step).filter(|next| next.is_small(width, height)) else {
            return ControlFlow::Break(false);
        };
        warp = next;
        let (dx, dy) = step.at(width, height);
        if (dx - width).abs().max((dy - height).abs()) < SMALL_STEP {
            ControlFlow::Break(true)
        } else {
            ControlFlow::Continue(())
        }
    });
    if found == ControlFlow::Break(false) {
        return None;
    }
    Some((warp, alike(&fixed, &moving, &warp)))
}

/// Calls `on` with each pixel: its number, its place, its value.
fn each(half: &Half, mut on: impl FnMut(usize, f32, f32, f32)) {
    for (y, row) in half.values.chunks_exact(half.width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            on(y * half.width + x, x as f32, y as f32, *value);
        }
    }
}

/// Gradients times how each parameter moves a pixel.
fn steepest(fixed: &Half) -> Vec<[f32; 6]> {
    let sampler = fixed.sampler();
    let mut out = Vec::with_capacity(fixed.values.len());
    each(fixed, |_, x, y, _| {
        let gx = (sampler.at(x + 1.0, y) - sampler.at(x - 1.0, y)) / 2.0;
        let gy = (sampler.at(x, y + 1.0) - sampler.at(x, y - 1.0)) / 2.0;
        out.push([gx, gx * x, gx * y, gy, gy * x, gy * y]);
    });
    out
}

fn hessian(steepest: &[[f32; 6]]) -> [[f32; 6]; 6] {
    let mut sum = [[0.0_f32; 6]; 6];
    for steep in steepest {
        for (row, a) in sum.iter_mut().zip(steep) {
            row.iter_mut().zip(steep).for_each(|(s, b)| *s += a * b);
        }
    }
    sum
}

/// The inverse by Gauss and Jordan; `None` for a picture that does not hold a warp in all its ways.
fn inverted(matrix: &[[f32; 6]; 6]) -> Option<[[f32; 6]; 6]> {
    let mut left = matrix.map(|row| row.map(f64::from));
    let mut right = [[0.0_f64; 6]; 6];
    for (n, row) in right.iter_mut().enumerate() {
        *row.get_mut(n)? = 1.0;
    }
    for n in 0..6 {
        let size = |row: &[f64; 6]| row.get(n).map_or(0.0, |v| v.abs());
        let pivot = (n..6).max_by(|a, b| {
            let of = |k: &usize| left.get(*k).map_or(0.0, size);
            of(a).total_cmp(&of(b))
        })?;
        left.swap(n, pivot);
        right.swap(n, pivot);
        let by = *left.get(n)?.get(n)?;
        if !(by.is_finite() && by.abs() > 1e-9) {
            return None;
        }
        let scale = |row: &[f64; 6]| row.map(|v| v / by);
        let (own, own_right) = (scale(left.get(n)?), scale(right.get(n)?));
        *left.get_mut(n)? = own;
        *right.get_mut(n)? = own_right;
        for k in (0..6).filter(|k| *k != n) {
            let factor = *left.get(k)?.get(n)?;
            left.get_mut(k)?.iter_mut().zip(&own).for_each(|(v, o)| *v -= factor * o);
            right.get_mut(k)?.iter_mut().zip(&own_right).for_each(|(v, o)| *v -= factor * o);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "only precision is lost")]
    Some(right.map(|row| row.map(|v| v as f32)))
}

/// Normalised correlation of a picture with another seen through a warp.
fn alike(fixed: &Half, moving: &Sampler<'_>, warp: &Warp) -> f32 {
    let (mut sum, mut squares, mut product, mut own) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
    each(fixed, |_, x, y, value| {
        let (u, v) = warp.at(x, y);
        let seen = moving.at(u, v);
        sum += seen;
        squares += seen * seen;
        product += seen * value;
        own += value * value;
    });
    let count = fixed.values.len() as f32;
    // `fixed` has no mean.
    let spread = squares - sum * sum / count;
    if spread > 0.0 && own > 0.0 { product / (spread * own).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests;
