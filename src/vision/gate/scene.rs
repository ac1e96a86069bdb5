//! What each cell looks like when nothing moves, and by how much it may differ from that.
//!
//! A cell's background follows slowly (a minute), so what creeps falls behind it and is seen; what has come to stay is
//! taken over after a second without change. A cell may differ by a few levels in any case, by several times
//! its own noise (the running median of its change from frame to frame while nothing moves there), by several times what
//! the whole picture differs now (it was coded anew), and by what it has learnt of things that move there for nothing.
//! What all cells have in common (exposure, clouds: an offset and a gain) is taken out first.

// bounds: every vector has as many items as there are cells, cut to one length before a loop; neighbours go by `get`.
#![expect(clippy::indexing_slicing, reason = "kernel loops over vectors of one length")]

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

/// Seconds of moving for nothing after which a cell learns to overlook it, the share of them that it is forgiven in a
/// second of stillness, what it overlooks at most (levels), and the seconds in which it unlearns.
const IDLE: f32 = 6.0;
const FORGIVEN: f32 = 0.03;
const OVERLOOKED: f32 = 40.0;
const UNLEARN: f32 = 180.0;

/// Share of the cells above which the whole picture changed, and the common change (levels) above which it was the light.
/// The background begins anew; a vehicle that fills so much of the picture goes on changing it.
const EVERYWHERE: f32 = 0.5;
const LIGHT: f32 = 10.0;

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
            learnt: watched.into_iter().map(|w| if w { 0.0 } else { f32::INFINITY }).collect(),
            excess: vec![f32::NEG_INFINITY; cells],
            odd: vec![Odd::default(); cells],
            ..Self::default()
        }
    }

    /// Takes the first picture as background.
    pub(super) fn begin(&mut self, means: &[f32]) {
        self.base.copy_from_slice(means);
        self.last.copy_from_slice(means);
    }

    /// The cells that differed more than they may in the last picture.
    pub(super) fn fired(&self) -> impl Iterator<Item = usize> {
        self.fired.iter().copied()
    }

    /// What moves in `cell` is worth it.
    pub(super) fn excuse(&mut self, cell: usize) {
        if let Some(odd) = self.odd.get_mut(cell) {
            odd.idle = 0.0;
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
        self.compare(means, dt, offset, gain);
        self.collect();
        let share = self.fired.len() as f32 / self.watched.max(1) as f32;
        let everywhere = share > EVERYWHERE || offset.abs() > LIGHT;
        let moved = everywhere || self.fired.iter().any(|c| self.counts(*c));
        if everywhere {
            self.base.copy_from_slice(means);
            self.since = self.now;
        } else {
            self.settle(means, dt);
        }
        if self.now - self.unlearnt > 1.0 {
            let share = (-1.0 / UNLEARN).exp();
            self.learnt.iter_mut().for_each(|l| *l *= share);
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
        let near = sample.iter().filter(|(d, _)| (d - median).abs() < 4.0);
        let (mut n, mut sx, mut sd, mut sxx, mut sxd) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (d, x) in near {
            (n, sx, sd, sxx, sxd) = (n + 1.0, sx + x, sd + d, sxx + x * x, sxd + x * d);
        }
        let spread = sxx - sx * sx / f32::max(n, 1.0);
        // A picture of one grey says nothing of a gain.
        if n < 16.0 || spread < 100.0 * n {
            return (median, 0.0);
        }
        let gain = ((sxd - sx * sd / n) / spread).clamp(-0.2, 0.2);
        ((sd - gain * sx) / n, gain)
    }

    /// What a cell may differ at least in a picture whose cells differ so much on the whole.
    fn unrest(&self, offset: f32, gain: f32) -> f32 {
        let near = self.sample.iter().map(|(d, x)| (d - offset - gain * x).abs()).filter(|d| *d < 4.0);
        let (n, sum) = near.fold((0.0, 0.0), |(n, sum), d| (n + 1.0, sum + d));
        LEAST.max(UNREST * sum / f32::max(n, 1.0))
    }

    /// The pass over all cells: difference, noise, background.
    fn compare(&mut self, means: &[f32], dt: f32, offset: f32, gain: f32) {
        let n = means.len();
        let (base, noise, last) = (&mut self.base[..n], &mut self.noise[..n], &mut self.last[..n]);
        let (learnt, excess) = (&self.learnt[..n], &mut self.excess[..n]);
        let (age, least) = (self.now - self.since, self.least);
        let step = (0.5 * dt).clamp(0.005, 0.08) * if age < YOUNG { 4.0 } else { 1.0 };
        let (up, down) = (1.0 + step, 1.0 / (1.0 + step));
        // A mean at first, so that the noise of the first picture does not stay.
        let follow = if age < YOUNG { (dt / seconds(age + f64::from(dt))).min(1.0) } else { (dt / FOLLOW).min(1.0) };
        for i in 0..n {
            let mean = means[i];
            let level = base[i] + offset + gain * (base[i] - 128.0);
            let differs = mean - level;
            let changed = (mean - last[i] - offset).abs();
            let own = (noise[i] * if changed > noise[i] { up } else { down }).clamp(NOISE_BOUNDS.0, NOISE_BOUNDS.1);
            let over = differs.abs() - (least.max(NOISE * noise[i]) + learnt[i]);
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
        let may = self.least.max(NOISE * self.noise[cell]) + self.learnt[cell];
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
                    idle: (odd.idle - FORGIVEN * still_for).max(0.0),
                    at: self.now,
                };
            }
            odd.at = self.now;
            odd.idle += dt;
            if (mean - odd.level).abs() > STEADY.0.max(STEADY.1 * self.noise[cell]) {
                (odd.level, odd.middle, odd.calm) = (mean, mean, 0.0);
            } else {
                odd.middle += 0.2 * (mean - odd.middle);
                odd.calm += dt;
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

/// A short time; only such are held as `f32`, whose steps are too coarse for a week.
#[expect(clippy::cast_possible_truncation, reason = "what is lost is below a microsecond, or does not matter")]
fn seconds(time: f64) -> f32 {
    time as f32
}
