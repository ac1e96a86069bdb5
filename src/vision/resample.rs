//! One plane of bytes to another size: every source pixel counts when it shrinks, bilinear when it grows.
//!
//! Shrinking averages over the area that an output pixel covers (OpenCV's `INTER_AREA`): taking two of six pixels aliases
//! and breaks the thin strokes of far plates. Rows are mixed first, in 16-bit fixed point that even plain SSE2 does eight
//! at a time, then columns; weights are 1/256. Tables are made once per size.

// bounds: `taps` yields windows inside `source` sizes; `mix` and `shrink` cut both sides to equal length before a loop.

use wide::i16x8;

/// Fixed point: weights of one output pixel sum to this.
const ONE: u16 = 256;

/// Source pixels and weights of one output pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taps {
    start: usize,
    /// Each at most [`ONE`], in sum [`ONE`].
    weights: Vec<u16>,
}

/// Turns the fixed-point sum into a tensor value: `(sum * gain + offset)` held within `low..=high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Transfer {
    /// Per unit of a pixel.
    pub gain: f32,
    /// Added.
    pub offset: f32,
    /// Least value.
    pub low: f32,
    /// Greatest value.
    pub high: f32,
}

impl Transfer {
    /// The pixel as it is.
    pub(crate) const PLAIN: Self = Self { gain: 1.0, offset: 0.0, low: 0.0, high: 255.0 };
}

/// What a row is made of: tensor values, or bytes of 0..255.
pub(crate) trait Value: Copy {
    /// The nearest one, of 0..255 for a byte.
    fn of(value: f32) -> Self;
}

impl Value for f32 {
    fn of(value: f32) -> Self {
        value
    }
}

impl Value for u8 {
    #[expect(clippy::cast_possible_truncation, reason = "the last byte is what is wanted")]
    fn of(value: f32) -> Self {
        // From 2^23 on a number's last bits are whole ones: rounds as many at a time as a processor adds, which a cast does not.
        (value + 8_388_608.0).to_bits() as Self
    }
}

/// Tables and row memory for one pair of sizes.
#[derive(Debug, Default)]
pub(crate) struct Resampler {
    source: (usize, usize),
    target: (usize, usize),
    rows: Vec<Taps>,
    columns: Columns,
    mixed: Vec<u16>,
    /// `mixed` by half, which a signed number holds.
    halves: Vec<i16>,
    sums: Vec<i32>,
}

/// Resamplers of the sizes that were asked for lately: those of parts of a picture come again and again.
#[derive(Debug, Default)]
pub(crate) struct Resamplers {
    /// The one that was asked for last comes first.
    kept: Vec<Resampler>,
}

impl Resamplers {
    /// Most that are kept; each has some 40 KB.
    const MOST: usize = 24;

    /// The one for `source` to `target` (width, height).
    pub(crate) fn of(&mut self, source: (usize, usize), target: (usize, usize)) -> &mut Resampler {
        let known = self.kept.iter().position(|r| (r.source, r.target) == (source, target));
        let at = known.unwrap_or_else(|| {
            self.kept.truncate(Self::MOST - 1);
            self.kept.push(Resampler::default());
            self.kept.len() - 1
        });
        let (front, _) = self.kept.split_at_mut(at + 1);
        front.rotate_right(1);
        #[expect(clippy::indexing_slicing, reason = "found or made above")]
        let first = &mut front[0];
        first.prepare(source, target);
        first
    }
}

#[derive(Debug)]
enum Columns {
    /// Every output pixel is the mean of the same whole number of pixels.
    Whole(usize),
    /// Of four output pixels each the first pixel and at most four weights, absent ones 0. Signed, since processors multiply and
    /// add those in one step.
    Short(Vec<([usize; 4], [i16x8; 2])>),
    Any(Vec<Taps>),
}

impl Default for Columns {
    fn default() -> Self {
        Self::Any(Vec::new())
    }
}

/// Where the rows of a plane come from: `None` when the plane is too short.
pub(crate) trait Rows {
    /// The samples of row `y`.
    fn row(&self, y: usize) -> Option<&[u8]>;
}

impl Rows for crate::domain::Plane<'_> {
    fn row(&self, y: usize) -> Option<&[u8]> {
        crate::domain::Plane::row(self, y)
    }
}

impl Resampler {
    /// Makes the tables for `source` to `target` (width, height) unless they are there.
    pub(crate) fn prepare(&mut self, source: (usize, usize), target: (usize, usize)) {
        if self.source == source && self.target == target {
            return;
        }
        self.rows = taps(source.1, target.1);
        let columns = taps(source.0, target.0);
        self.columns = if target.0 > 0 && source.0 == target.0 * 1.max(source.0 / target.0) {
            Columns::Whole(source.0 / target.0)
        } else if columns.iter().all(|t| t.weights.len() <= 4) && source.0 >= 4 {
            Columns::Short(columns.chunks(4).map(|four| short(four, source.0)).collect())
        } else {
            Columns::Any(columns)
        };
        self.mixed = vec![0; source.0];
        self.source = source;
        self.target = target;
    }

    /// Writes row `y` of the target into `out` (as many values as the target is wide).
    ///
    /// `None` when the source has fewer rows or samples than it was said to have.
    pub(crate) fn row<T: Value>(
        &mut self,
        plane: &impl Rows,
        y: usize,
        transfer: Transfer,
        out: &mut [T],
    ) -> Option<()> {
        mix(plane, self.rows.get(y)?, &mut self.mixed)?;
        self.sums.resize(self.target.0.next_multiple_of(4), 0);
        let (sums, mixed) = (self.sums.as_mut_slice(), self.mixed.as_slice());
        let parts = match &self.columns {
            Columns::Whole(1) => shrink::<1>(mixed, sums),
            Columns::Whole(2) => shrink::<2>(mixed, sums),
            Columns::Whole(3) => shrink::<3>(mixed, sums),
            Columns::Whole(n) => {
                for (sum, m) in sums.iter_mut().zip(mixed.chunks_exact(*n)) {
                    *sum = m.iter().map(|v| i32::from(*v)).sum();
                }
                i32::try_from(*n).ok()?
            }
            Columns::Short(columns) => {
                self.halves.clear();
                self.halves.extend(mixed.iter().map(|m| i16::try_from(m / 2).unwrap_or(i16::MAX)));
                for (sums, (starts, weights)) in sums.as_chunks_mut::<4>().0.iter_mut().zip(columns) {
                    let ([a, b, c, d], [left, right]) = (starts.map(|start| window(&self.halves, start)), weights);
                    let (left, right) = (pair(a?, b?).dot(*left).to_array(), pair(c?, d?).dot(*right).to_array());
                    *sums = [left[0] + left[1], left[2] + left[3], right[0] + right[1], right[2] + right[3]];
                }
                i32::from(ONE) / 2
            }
            Columns::Any(columns) => {
                for (sum, taps) in sums.iter_mut().zip(columns) {
                    let window = mixed.get(taps.start..taps.start + taps.weights.len())?;
                    *sum = window.iter().zip(&taps.weights).map(|(v, w)| i32::from(*v) * i32::from(*w)).sum();
                }
                i32::from(ONE)
            }
        };
        let unit = transfer.gain / f32::from(ONE) / as_f32(parts);
        // No numbers here that are none: plain comparisons are one step of a processor.
        let (low, high) = (transfer.low, transfer.high);
        for (out, sum) in out.iter_mut().zip(sums) {
            let value = as_f32(*sum) * unit + transfer.offset;
            let value = if value > low { value } else { low };
            *out = T::of(if value < high { value } else { high });
        }
        Some(())
    }
}

/// Sums are below 2^24, where every whole number is an `f32`.
#[expect(clippy::cast_precision_loss, reason = "below 2^24")]
fn as_f32(sum: i32) -> f32 {
    sum as f32
}

/// Sums of each `N` neighbours; how many they are.
fn shrink<const N: usize>(mixed: &[u16], sums: &mut [i32]) -> i32 {
    let (windows, _) = mixed.as_chunks::<N>();
    for (sum, window) in sums.iter_mut().zip(windows) {
        *sum = window.iter().map(|v| i32::from(*v)).sum();
    }
    i32::try_from(N).unwrap_or(i32::MAX)
}

/// Weighted sum of the source rows, at most 255 * 256.
fn mix(plane: &impl Rows, taps: &Taps, mixed: &mut [u16]) -> Option<()> {
    let mut rest: &[u16] = &taps.weights;
    let mut y = taps.start;
    let mut first = true;
    while !rest.is_empty() {
        if let [a, b, c, tail @ ..] = rest {
            let rows = (plane.row(y)?, plane.row(y + 1)?, plane.row(y + 2)?);
            if rows.0.len() < mixed.len() || rows.1.len() < mixed.len() || rows.2.len() < mixed.len() {
                return None;
            }
            for (((m, p), q), r) in mixed.iter_mut().zip(rows.0).zip(rows.1).zip(rows.2) {
                let sum = a * u16::from(*p) + b * u16::from(*q) + c * u16::from(*r);
                *m = if first { sum } else { *m + sum };
            }
            (rest, y) = (tail, y + 3);
        } else if let [a, tail @ ..] = rest {
            let row = plane.row(y)?;
            if row.len() < mixed.len() {
                return None;
            }
            for (m, p) in mixed.iter_mut().zip(row) {
                let sum = a * u16::from(*p);
                *m = if first { sum } else { *m + sum };
            }
            (rest, y) = (tail, y + 1);
        }
        first = false;
    }
    Some(())
}

/// Four pixels from `start` on.
fn window(pixels: &[i16], start: usize) -> Option<[i16; 4]> {
    pixels.get(start..)?.first_chunk().copied()
}

fn pair([a, b, c, d]: [i16; 4], [e, f, g, h]: [i16; 4]) -> i16x8 {
    i16x8::new([a, b, c, d, e, f, g, h])
}

/// At most four taps, each of at most four pixels, moved left where four would reach over the end.
fn short(taps: &[Taps], width: usize) -> ([usize; 4], [i16x8; 2]) {
    let (mut starts, mut weights) = ([0; 4], [[0; 4]; 4]);
    for ((taps, start), weights) in taps.iter().zip(&mut starts).zip(&mut weights) {
        *start = taps.start.min(width - 4);
        for (slot, w) in weights.iter_mut().skip(taps.start - *start).zip(&taps.weights) {
            *slot = i16::try_from(*w).unwrap_or(i16::MAX);
        }
    }
    let [a, b, c, d] = weights;
    (starts, [pair(a, b), pair(c, d)])
}

/// What each of `target` pixels is made of, along one side of `source` pixels.
fn taps(source: usize, target: usize) -> Vec<Taps> {
    #[expect(clippy::cast_precision_loss, reason = "sides are at most a few thousand pixels")]
    let (last, ratio) = (source.saturating_sub(1), source as f64 / target.max(1) as f64);
    (0..target)
        .map(|i| {
            #[expect(clippy::cast_precision_loss, reason = "sides are at most a few thousand pixels")]
            let i = i as f64;
            if ratio > 1.0 {
                let (from, to) = (i * ratio, (i + 1.0) * ratio);
                let start = whole(from).min(last);
                let end = whole((to - 1e-9).floor()).min(last);
                let share = |k: usize| {
                    #[expect(clippy::cast_precision_loss, reason = "a column number")]
                    let k = k as f64;
                    ((k + 1.0).min(to) - k.max(from)).max(0.0) / ratio
                };
                Taps { start, weights: fixed(&(start..=end).map(share).collect::<Vec<_>>()) }
            } else {
                let middle = ((i + 0.5) * ratio - 0.5).max(0.0);
                let start = whole(middle).min(last);
                let part = if start < last { middle.fract() } else { 0.0 };
                let end = if part > 0.0 { start + 1 } else { start };
                let shares = [1.0 - part, part];
                Taps { start, weights: fixed(shares.get(..=end - start).unwrap_or(&[1.0])) }
            }
        })
        .collect()
}

/// Shares in fixed point: differences of the rounded running sum, so that they sum to [`ONE`] and a flat picture stays
/// what it is.
fn fixed(shares: &[f64]) -> Vec<u16> {
    let all: f64 = shares.iter().sum();
    let (mut running, mut told) = (0.0, 0);
    shares
        .iter()
        .map(|share| {
            running += share / all.max(1e-9);
            let upto = u16::try_from(whole((running * f64::from(ONE)).round())).unwrap_or(ONE).min(ONE);
            upto - std::mem::replace(&mut told, upto)
        })
        .collect()
}

/// The whole part of a number that is not negative and no larger than a picture's side.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below 2^16")]
fn whole(v: f64) -> usize {
    v.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Grid(Vec<Vec<u8>>);
    impl Rows for Grid {
        fn row(&self, y: usize) -> Option<&[u8]> {
            self.0.get(y).map(Vec::as_slice)
        }
    }

    fn run(grid: &Grid, source: (usize, usize), target: (usize, usize)) -> Vec<Vec<f32>> {
        let mut r = Resampler::default();
        r.prepare(source, target);
        (0..target.1)
            .map(|y| {
                let mut out = vec![-1.0; target.0];
                r.row(grid, y, Transfer::PLAIN, &mut out).unwrap();
                out
            })
            .collect()
    }

    /// The mean over the covered area, or bilinear, pixel by pixel in f64.
    fn slow(grid: &Grid, (sw, sh): (usize, usize), (tw, th): (usize, usize)) -> Vec<Vec<f64>> {
        let weight = |s: usize, t: usize, i: usize, k: usize| -> f64 {
            let r = s as f64 / t as f64;
            if r > 1.0 {
                let (a, b) = (i as f64 * r, (i + 1) as f64 * r);
                (b.min(k as f64 + 1.0) - a.max(k as f64)).max(0.0) / r
            } else {
                let c = ((i as f64 + 0.5) * r - 0.5).clamp(0.0, (s - 1) as f64);
                (1.0 - (c - k as f64).abs()).max(0.0)
            }
        };
        let mut out = vec![vec![0.0; tw]; th];
        for (y, row) in out.iter_mut().enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                for sy in 0..sh {
                    for sx in 0..sw {
                        *v += weight(sh, th, y, sy) * weight(sw, tw, x, sx) * f64::from(grid.0[sy][sx]);
                    }
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_size_agrees_with_the_slow_way(
            sw in 1_usize..40, sh in 1_usize..40, tw in 1_usize..40, th in 1_usize..40, seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; (state >> 32) as u8 };
            let grid = Grid((0..sh).map(|_| (0..sw).map(|_| next()).collect()).collect());
            let (fast, slow) = (run(&grid, (sw, sh), (tw, th)), slow(&grid, (sw, sh), (tw, th)));
            for (f, s) in fast.iter().flatten().zip(slow.iter().flatten()) {
                // Weights are rounded to 1/256 twice.
                prop_assert!((f64::from(*f) - s).abs() < 4.0, "{f} instead of {s}");
            }
        }

        #[test]
        fn a_flat_picture_stays_flat(s in 1_usize..300, t in 1_usize..300, v in any::<u8>()) {
            let grid = Grid(vec![vec![v; s]; 5]);
            for got in run(&grid, (s, 5), (t, 3)).iter().flatten() {
                prop_assert!((got - f32::from(v)).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn a_plane_with_too_few_rows_is_refused() {
        let mut r = Resampler::default();
        r.prepare((8, 8), (4, 4));
        let mut out = [0.0; 4];
        assert!(r.row(&Grid(vec![vec![0; 8]; 7]), 3, Transfer::PLAIN, &mut out).is_none());
        assert!(r.row(&Grid(vec![vec![0; 7]; 8]), 0, Transfer::PLAIN, &mut out).is_none());
    }
}
