//! What each cell looks like when nothing moves, and by how much it may differ from that.
//!
//! A cell's background follows slowly (a minute), so what creeps falls behind it and is seen; what has come to stay is
//! taken over after a second without change. A cell may differ by a few levels in any case, by several times
//! its own noise (the running median of its change from frame to frame while nothing moves there), by several times what
//! the whole picture differs now (it was coded anew), and by what it has learnt of things that move there for nothing.
//! What all cells have in common (exposure, clouds: an offset and a gain) is taken out first.

// bounds: every vector has as many items as there are cells, cut to one length before a loop; neighbours go by `get`.
#![expect(clippy::indexing_slicing, reason = "kernel loops over vectors of one length")]

use super::weather::Weather;

/// Least difference that counts, levels of luma.
const LEAST: f32 = 4.5;

/// Times its noise that a cell may differ.
const NOISE: f32 = 5.5;

/// Bounds of a cell's noise, and what is believed at first.
const NOISE_BOUNDS: (f32, f32) = (0.05, 6.0);
const NOISE_FIRST: f32 = 1.0;

/// Times the mean difference of the picture's cells that one of them may differ.
const UNREST: f32 = 4.0;

/// Seconds in which a new background is averaged and noise is learnt fast.
const YOUNG: f64 = 2.0;

/// Seconds in which the background follows what does not count.
const FOLLOW: f32 = 60.0;

/// Seconds without change after which what has come to stay is background, and what counts as no change: levels, and
/// times the cell's noise. Less than what counts as motion, lest what creeps is taken over step by step.
const SETTLED: f32 = 1.0;
const STEADY: (f32, f32) = (1.5, 5.0);

/// A picture tells of no more seconds than these, however long ago the one before was: an idle camera's are seconds apart.
const TELLS_OF: f32 = 0.5;

/// Seconds of moving for nothing after which a cell learns to overlook it, what each time counts that it begins to, the
/// share of them that it is forgiven in a second of stillness, what it overlooks at most (levels), and the seconds in which
/// it unlearns. A vehicle begins once, what flickers again and again.
const IDLE: f32 = 4.0;
const BEGUN: f32 = 0.25;
const FORGIVEN: f32 = 0.03;
const OVERLOOKED: f32 = 90.0;
const UNLEARN: f32 = 180.0;

/// Share of the cells above which the whole picture changed, and the common change (levels) above which it was the light.
/// The background begins anew; a vehicle that fills so much of the picture goes on changing it.
const EVERYWHERE: f32 = 0.5;
const LIGHT: f32 = 10.0;

/// Common change (levels) from which it is asked whether it is stronger in bright cells.
const STRONG: f32 = 2.0;

/// A picture in which so many of the cells changed by more than these levels, and so many times more than is usual, was
/// coded anew, as key frames are: plain surfaces jump with it and stay so until the next. A cell may differ by several
/// times what it jumped lately, up to a bound in levels, and forgets it in so many seconds.
const RECODED: (f32, f32) = (0.15, 1.0);
const UNUSUAL: f32 = 3.0;
const USUAL: f32 = 4.0;
const JUMPS: f32 = 1.6;
const JUMPS_MOST: f32 = 12.0;
const JUMPS_KEPT: f32 = 120.0;
/// Share of the cells that may differ more than they may in a picture that jumps are learnt from.
const FEW: f32 = 0.005;

/// Share of what a flickering light changes a cell by that it may differ beside: what is white already gets no lighter, and
/// a camera's curve is no line. Between two beats it counts in full.
const UNEVEN: f32 = 0.5;

/// Cells that the common change is measured on.
const SAMPLE: usize = 1024;

/// The background of one camera.
#[derive(Debug, Default)]
pub(super) struct Scene {
    columns: usize,
    watched: usize,
    base: Vec<f32>,
    noise: Vec<f32>,
    last: Vec<f32>,
    /// By how much a cell jumped lately when the picture was coded anew.
    jumps: Vec<f32>,
    /// The same of the last picture that was.
    leaps: Vec<f32>,
    /// Share of the cells that change from frame to frame.
    usual: f32,
    /// Levels that are overlooked; infinite for cells that are not watched.
    learnt: Vec<f32>,
    /// By how much a cell differs more than it may.
    excess: Vec<f32>,
    odd: Vec<Odd>,
    fired: Vec<usize>,
    sample: Vec<(f32, f32)>,
    /// Seconds since the start, and when learnt levels fell last.
    now: f64,
    unlearnt: f64,
    /// Since when this background is kept.
    since: f64,
    /// What a cell may differ in this picture, whatever its noise.
    least: f32,
    weather: Weather,
}

/// A cell that differs, and how long and how steadily.
#[derive(Debug, Clone, Copy, Default)]
struct Odd {
    /// The level at which it began to be calm, and its middle since.
    level: f32,
    middle: f32,
    /// Seconds that it has been there.
    calm: f32,
    /// Seconds that it has differed where nothing was found.
    idle: f32,
    /// When it differed last.
    at: f64,
}

impl Scene {
    /// `watched` says which cells count, row by row, `columns` a row.
    pub(super) fn new(watched: Vec<bool>, columns: usize) -> Self {
        let cells = watched.len();
        Self {
            columns,
            watched: watched.iter().filter(|w| **w).count(),
            base: vec![0.0; cells],
            noise: vec![NOISE_FIRST; cells],
            last: vec![0.0; cells],
            jumps: vec![0.0; cells],
            learnt: watched.into_iter().map(|w| if w { 0.0 } else { f32::INFINITY }).collect(),
            excess: vec![f32::NEG_INFINITY; cells],
            odd: vec![Odd::default(); cells],
            weather: Weather::new(cells, columns),
            ..Self::default()
        }
    }

    /// Takes the first picture as background.
    pub(super) fn begin(&mut self, means: &[f32]) {
        self.base.copy_from_slice(means);
        self.last.copy_from_slice(means);
    }

    /// The cells that differed more than they may in the last picture, and not by chance.
    pub(super) fn fired(&self) -> impl Iterator<Item = usize> {
        self.fired.iter().copied().filter(|cell| self.counts(*cell))
    }

    /// What moves in `cell` is worth it.
    pub(super) fn excuse(&mut self, cell: usize) {
        self.weather.excuse(cell);
        if let Some(odd) = self.odd.get_mut(cell) {
            odd.idle = 0.0;
            self.jumps[cell] = 0.0;
            // A plate was found where nothing was expected any more.
            if self.learnt[cell].is_finite() {
                self.learnt[cell] = 0.0;
            }
        }
    }

    /// Holds a picture, `dt` seconds after the last, against the background; true when something moved.
    pub(super) fn update(&mut self, means: &[f32], dt: f32) -> bool {
        self.now += f64::from(dt);
        let (offset, gain) = self.common(means);
        self.least = self.unrest(offset, gain);
        let recoded = self.is_recoded(means, dt, offset, gain) && offset.abs() <= STRONG;
        if recoded {
            self.measure_leaps(means, offset, gain);
        }
        let uneven = if self.weather.flickers(self.now) { UNEVEN } else { 0.0 };
        self.compare(means, dt, (offset, gain), uneven);
        self.collect();
        let share = self.fired.len() as f32 / self.watched.max(1) as f32;
        let light = self.weather.is_light_news(offset.abs() > LIGHT, self.now, dt);
        let everywhere = share > EVERYWHERE || light;
        // Where much differs something drives as well, and is not to be learnt.
        if recoded && share < FEW {
            self.learn_leaps();
        }
        let mut weather = std::mem::take(&mut self.weather);
        let heaped = weather.moves(&self.fired, self.now, dt, |cell| self.counts(cell));
        self.weather = weather;
        let moved = everywhere || heaped;
        if everywhere {
            self.base.copy_from_slice(means);
            self.since = self.now;
        } else {
            self.settle(means, dt);
        }
        if self.now - self.unlearnt > 1.0 {
            let share = (-1.0 / UNLEARN).exp();
            self.learnt.iter_mut().for_each(|l| *l *= share);
            let share = (-seconds(self.now - self.unlearnt) / JUMPS_KEPT).exp();
            self.jumps.iter_mut().for_each(|j| *j *= share);
            self.unlearnt = self.now;
        }
        moved
    }

    /// The change that all cells have in common: of a cell of 128, and a level more for each level above that.
    fn common(&mut self, means: &[f32]) -> (f32, f32) {
        let step = (means.len() / SAMPLE).max(1);
        let sample = &mut self.sample;
        sample.clear();
        let cells = means.iter().zip(&self.base).zip(&self.learnt).step_by(step);
        sample.extend(cells.filter(|(_, l)| l.is_finite()).map(|((m, b), _)| (m - b, b - 128.0)));
        let middle = sample.len() / 2;
        if sample.len() < 16 {
            return (0.0, 0.0);
        }
        let (_, (median, _), _) = sample.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0));
        let median = *median;
        let (at, slope) = if median.abs() > STRONG { steep(sample, median) } else { (median, 0.0) };
        let near = sample.iter().filter(|(d, x)| (d - at - slope * x).abs() < 4.0);
        let (mut n, mut sx, mut sd, mut sxx, mut sxd) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (d, x) in near {
            (n, sx, sd, sxx, sxd) = (n + 1.0, sx + x, sd + d, sxx + x * x, sxd + x * d);
        }
        let spread = sxx - sx * sx / f32::max(n, 1.0);
        // A picture of one grey says nothing of a gain.
        if n < 16.0 || spread < 100.0 * n {
            return (at, slope);
        }
        let most = if slope == 0.0 { 0.2 } else { 0.6 };
        let gain = ((sxd - sx * sd / n) / spread).clamp(-most, most);
        ((sd - gain * sx) / n, gain)
    }

    /// What a cell may differ at least in a picture whose cells differ so much on the whole.
    fn unrest(&self, offset: f32, gain: f32) -> f32 {
        let near = self.sample.iter().map(|(d, x)| (d - offset - gain * x).abs()).filter(|d| *d < 4.0);
        let (n, sum) = near.fold((0.0, 0.0), |(n, sum), d| (n + 1.0, sum + d));
        LEAST.max(UNREST * sum / f32::max(n, 1.0))
    }

    /// Whether more of the picture than usual is not what it was a frame ago.
    fn is_recoded(&mut self, means: &[f32], dt: f32, offset: f32, gain: f32) -> bool {
        let step = (means.len() / SAMPLE).max(1);
        let cells = means.iter().zip(&self.last).zip(&self.learnt).step_by(step);
        let cells = cells.filter(|(_, learnt)| learnt.is_finite()).map(|(cell, _)| cell);
        let changed = |(mean, last): (&f32, &f32)| (mean - last - offset - gain * (last - 128.0)).abs();
        let (n, more) = cells
            .map(changed)
            .fold((0.0, 0.0), |(n, more), by| (n + 1.0, more + if by > RECODED.1 { 1.0 } else { 0.0 }));
        let share = more / f32::max(n, 16.0);
        // Of an idle camera there are key frames alone.
        let is_unusual = dt >= TELLS_OF || share > UNUSUAL * self.usual;
        if dt < TELLS_OF {
            self.usual += (dt / USUAL).min(1.0) * (share - self.usual);
        }
        share > RECODED.0 && is_unusual && self.now > YOUNG
    }

    /// By how much each cell is not what it was a frame ago.
    fn measure_leaps(&mut self, means: &[f32], offset: f32, gain: f32) {
        let by = |(mean, last): (&f32, &f32)| (mean - last - offset - gain * (last - 128.0)).abs();
        self.leaps.clear();
        self.leaps.extend(means.iter().zip(&self.last).map(by));
    }

    /// Learns by how much cells jump.
    fn learn_leaps(&mut self) {
        for (jump, by) in self.jumps.iter_mut().zip(&self.leaps) {
            *jump = jump.max(by.min(JUMPS_MOST / JUMPS));
        }
    }

    /// The pass over all cells: difference, noise, background. `uneven` is the share of the common change, `offset` and
    /// `gain`, that a cell may differ by.
    fn compare(&mut self, means: &[f32], dt: f32, (offset, gain): (f32, f32), uneven: f32) {
        let n = means.len();
        let (base, noise, last) = (&mut self.base[..n], &mut self.noise[..n], &mut self.last[..n]);
        let (learnt, excess, jumps) = (&self.learnt[..n], &mut self.excess[..n], &self.jumps[..n]);
        let (age, least) = (self.now - self.since, self.least);
        let step = (0.5 * dt).clamp(0.005, 0.08) * if age < YOUNG { 4.0 } else { 1.0 };
        let (up, down) = (1.0 + step, 1.0 / (1.0 + step));
        // A mean at first, so that the noise of the first picture does not stay.
        let follow = if age < YOUNG { (dt / seconds(age + f64::from(dt))).min(1.0) } else { (dt / FOLLOW).min(1.0) };
        for i in 0..n {
            let mean = means[i];
            let common = offset + gain * (base[i] - 128.0);
            let level = base[i] + common;
            let differs = mean - level;
            let changed = (mean - last[i] - offset - gain * (last[i] - 128.0)).abs();
            let own = (noise[i] * if changed > noise[i] { up } else { down }).clamp(NOISE_BOUNDS.0, NOISE_BOUNDS.1);
            let over =
                differs.abs() - (least.max(NOISE * noise[i]).max(JUMPS * jumps[i]) + learnt[i] + uneven * common.abs());
            base[i] = if over > 0.0 { level } else { level + follow * differs };
            noise[i] = if over > 0.0 { noise[i] } else { own };
            last[i] = mean;
            excess[i] = over;
        }
    }

    fn collect(&mut self) {
        self.fired.clear();
        for (chunk, cells) in self.excess.chunks(16).enumerate() {
            if cells.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b)) > 0.0 {
                let fired = cells.iter().enumerate().filter(|(_, e)| **e > 0.0);
                self.fired.extend(fired.map(|(i, _)| chunk * 16 + i));
            }
        }
    }

    /// Whether a cell that differs is no chance: it differs much, or a neighbour does too.
    fn counts(&self, cell: usize) -> bool {
        let differs = |c: Option<usize>| c.and_then(|c| self.excess.get(c)).is_some_and(|e| *e > 0.0);
        let may = self.least.max(NOISE * self.noise[cell]).max(JUMPS * self.jumps[cell]) + self.learnt[cell];
        let column = cell % self.columns.max(1);
        self.excess[cell] > may
            || (column > 0 && differs(cell.checked_sub(1)))
            || (column + 1 < self.columns && differs(Some(cell + 1)))
            || differs(cell.checked_sub(self.columns))
            || differs(Some(cell + self.columns))
    }

    /// Takes over what has come to stay, learns what moves for nothing.
    fn settle(&mut self, means: &[f32], dt: f32) {
        for cell in self.fired.iter().copied() {
            let (odd, mean) = (&mut self.odd[cell], means[cell]);
            let still_for = seconds(self.now - odd.at);
            if still_for > 1.5 * dt {
                *odd = Odd {
                    level: mean,
                    middle: mean,
                    calm: 0.0,
                    idle: (odd.idle - FORGIVEN * still_for).max(0.0) + BEGUN,
                    at: self.now,
                };
            }
            odd.at = self.now;
            odd.idle += dt.min(TELLS_OF);
            if (mean - odd.level).abs() > STEADY.0.max(STEADY.1 * self.noise[cell]) {
                (odd.level, odd.middle, odd.calm) = (mean, mean, 0.0);
            } else {
                odd.middle += 0.2 * (mean - odd.middle);
                odd.calm += dt.min(TELLS_OF);
            }
            if odd.idle > IDLE || self.learnt[cell] > 1.0 {
                let differs = mean - self.base[cell];
                self.learnt[cell] = self.learnt[cell].max(differs.abs().min(OVERLOOKED));
                // The middle of what it does, not where it happened to be at first.
                self.base[cell] += dt.min(1.0) / IDLE * differs;
            }
            if odd.calm >= SETTLED {
                (self.base[cell], odd.calm) = (odd.middle, 0.0);
            }
        }
    }
}

/// The line through the middles of the darker and of the brighter third of a sample: a change of the light that is far
/// stronger in bright cells than in dark ones.
fn steep(sample: &mut [(f32, f32)], median: f32) -> (f32, f32) {
    let third = sample.len() / 3;
    sample.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let middle = |part: &[(f32, f32)]| {
        let mut changes: Vec<f32> = part.iter().map(|s| s.0).collect();
        changes.sort_unstable_by(f32::total_cmp);
        Some((*changes.get(changes.len() / 2)?, part.get(part.len() / 2)?.1))
    };
    let (dark, bright) = (sample.get(..third).and_then(middle), sample.get(sample.len() - third..).and_then(middle));
    let (Some((d1, x1)), Some((d2, x2))) = (dark, bright) else { return (median, 0.0) };
    if x2 - x1 < 10.0 {
        return (median, 0.0);
    }
    let slope = ((d2 - d1) / (x2 - x1)).clamp(-0.6, 0.6);
    (d1 - slope * x1, slope)
}

/// A short time; only such are held as `f32`, whose steps are too coarse for a week.
#[expect(clippy::cast_possible_truncation, reason = "what is lost is below a microsecond, or does not matter")]
fn seconds(time: f64) -> f32 {
    time as f32
}
