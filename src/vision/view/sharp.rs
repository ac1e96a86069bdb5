//! How sharp a picture is against what its scene usually is.
//!
//! The measure: contrast between pixels that lie next to each other as a share of the contrast between pixels farther
//! apart, both squared and without the noise that the smoothest blocks have, over the blocks with most texture. Fog and dusk take both
//! contrasts alike; a lens out of focus takes the fine one. What is usual is learnt for each kind of light and followed slowly;
//! a picture is unsharp when the median of twenty seconds is far below.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Plane;
use crate::vision::mask::Spans;

use super::Lighting;
use super::hold::Hold;

/// Columns and rows of blocks.
const BLOCKS: (usize, usize) = (16, 9);
/// Rows of pixels of a block that are looked at.
const ROWS: usize = 8;
/// How much farther apart than neighbours the far pixels are.
const FARTHER: usize = 6;
/// Least contrast of far pixels of the blocks with texture, levels squared.
const TEXTURE: f32 = 60.0;
/// Values that the median is taken of, and how far they are apart.
const VALUES: usize = 16;
const EVERY: Duration = Duration::from_secs(1);
/// Shares of what is usual below which it is unsharp and above which it is sharp again.
const UNSHARP: f32 = 0.45;
const SHARP: f32 = 0.65;
/// How long it must be unsharp, and sharp again.
const WAITS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(10));
/// In which times what is usual follows upwards and downwards, seconds.
const FOLLOW: (f32, f32) = (600.0, 21_600.0);

#[derive(Debug, Default)]
pub(super) struct Sharpness {
    values: VecDeque<f32>,
    light: Lighting,
    measured: Option<Duration>,
    /// What is usual in each kind of light.
    pub usual: [Option<f32>; 4],
    hold: Hold,
}

impl Sharpness {
    /// Places in the stream begin anew.
    pub(super) fn begin(&mut self) {
        self.values.clear();
        self.measured = None;
        self.hold.begin();
    }

    pub(super) fn is_unsharp(&self) -> bool {
        self.hold.is()
    }

    /// How sharp it is now, a share of what is usual.
    pub(super) fn share(&self) -> Option<f32> {
        let usual = self.usual.get(self.light.index()).copied().flatten()?;
        (self.values.len() >= VALUES).then(|| self.median() / usual.max(1e-6))
    }

    /// Whether a value is due.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.measured.is_none_or(|then| at.saturating_sub(then) >= EVERY)
    }

    /// Takes the next value. The news, if it became unsharp or sharp again.
    pub(super) fn step(&mut self, at: Duration, light: Lighting, value: Option<f32>) -> Option<bool> {
        let dt = self.measured.replace(at).map_or(0.0, |then| at.saturating_sub(then).as_secs_f32());
        if self.light != light {
            self.light = light;
            self.values.clear();
        }
        self.values.push_back(value?);
        if self.values.len() > VALUES {
            self.values.pop_front();
        }
        if self.values.len() < VALUES {
            return None;
        }
        let median = self.median();
        let usual = self.usual.get_mut(light.index())?;
        let Some(before) = usual else {
            // Of a light that was never seen before nothing can be said.
            *usual = Some(median);
            return self.hold.step(at, Some(false), (WAITS.0, WAITS.1));
        };
        let share = median / before.max(1e-6);
        if share > SHARP {
            let seconds = if share > 1.0 { FOLLOW.0 } else { FOLLOW.1 };
            *before += (median - *before) * (dt / seconds).min(1.0);
        }
        let limit = if self.hold.is() { SHARP } else { UNSHARP };
        self.hold.step(at, Some(share < limit), WAITS)
    }

    fn median(&self) -> f32 {
        let mut sorted: Vec<f32> = self.values.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }
}

/// How sharp a picture is; `None` when it shows nothing to tell by.
pub(super) fn measure(luma: &Plane<'_>, masks: &Spans) -> Option<f32> {
    let near = (luma.width.max(luma.height) / 640).max(1);
    let far = near * FARTHER;
    let (wide, tall) = (luma.width / BLOCKS.0, luma.height / BLOCKS.1);
    if wide <= far || tall < ROWS {
        return None;
    }
    let mut blocks: Vec<(f32, f32)> = Vec::with_capacity(BLOCKS.0 * BLOCKS.1);
    for (x, y) in (0..BLOCKS.1).flat_map(|y| (0..BLOCKS.0).map(move |x| (x * wide, y * tall))) {
        if masks.meets(x, y, wide, tall) {
            continue;
        }
        let (mut fine, mut coarse, mut count) = (0, 0, 0);
        for n in 0..ROWS {
            let row = luma.row(y + n * tall / ROWS)?.get(x..x + wide)?;
            fine += contrast(row, near);
            coarse += contrast(row, far);
            count += wide - far;
        }
        blocks.push((fine as f32 / count as f32, coarse as f32 / count as f32));
    }
    blocks.sort_by(|one, other| one.1.total_cmp(&other.1));
    let (noise_fine, noise_coarse) = *blocks.get(blocks.len() / 12)?;
    let best = blocks.get(blocks.len() * 3 / 4..)?;
    let sum = |of: fn(&(f32, f32)) -> f32, noise: f32| best.iter().map(|b| (of(b) - noise).max(0.0)).sum::<f32>();
    // The smoothest block has texture of its own: not more of it than of the fine noise is taken off.
    let (fine, coarse) = (sum(|b| b.0, noise_fine), sum(|b| b.1, noise_coarse.min(noise_fine)));
    (coarse >= TEXTURE * best.len().max(1) as f32).then(|| fine / coarse)
}

/// Sum of the squared differences between pixels `apart`.
fn contrast(row: &[u8], apart: usize) -> u32 {
    let pairs = row.iter().zip(row.get(apart..).unwrap_or_default());
    pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).map(|d| d * d).sum()
}
