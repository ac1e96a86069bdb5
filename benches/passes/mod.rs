//! Passes of vehicles that are drawn, frame by frame, with what the plate says: for `benches/fuse.rs` and a test.
//!
//! One plate a pass: letters of an alphabet of strokes ([`letters`]), on a plate of some country's layout ([`plates`]), seen
//! by a camera that it comes near to ([`camera`]), with one kind of damage. Everything follows from a seed: the same seed
//! draws the same pictures on every machine (but for H.264, which the installed encoder makes, [`coded`]). No plate is
//! anybody's; the letters are no font's.
//! Only the part of the picture around the plate is drawn. A detector is not asked: its corners are the true ones with an
//! error, its score is drawn.

pub mod camera;
pub mod coded;
pub mod judge;
pub mod kept;
pub mod letters;
pub mod plates;
#[cfg(all(feature = "gst", feature = "onnx"))]
pub mod sightings;
pub mod street;

/// Random numbers that are the same on every machine (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// From a seed and what it is for: neighbouring seeds have nothing in common.
    pub fn new(seed: u64, of: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.wrapping_mul(0xd1b5_4a32_d192_ed03));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    pub fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Between two values.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.share()
    }

    /// True in this share of cases.
    pub fn chance(&mut self, share: f32) -> bool {
        self.share() < share
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).unwrap_or(0)
    }

    /// Distributed like a bell, mean 0 and deviation 1, never beyond 3.5: the sum of four even ones.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: f32 = [0, 16, 32, 48].map(|shift| (bits >> shift & 0xffff) as f32).iter().sum();
        (sum / 65_536.0 - 2.0) * 3.0_f32.sqrt()
    }

    /// One of them; `None` of none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// A grey picture, 0 to 255, row by row.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// The values.
    pub values: Vec<f32>,
}

impl Picture {
    /// One value everywhere.
    pub fn flat(width: usize, height: usize, value: f32) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    /// The value at whole coordinates, the border repeated.
    pub fn at(&self, x: i32, y: i32) -> f32 {
        let inside = |v: i32, most: usize| usize::try_from(v).unwrap_or(0).min(most.saturating_sub(1));
        self.values.get(inside(y, self.height) * self.width + inside(x, self.width)).copied().unwrap_or(0.0)
    }

    /// The bilinear value at pixel coordinates (a pixel's middle is at a half).
    #[allow(clippy::cast_possible_truncation, reason = "a place in a small picture")]
    pub fn sample(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i32, top as i32);
        let upper = self.at(left, top) * (1.0 - fx) + self.at(left + 1, top) * fx;
        let lower = self.at(left, top + 1) * (1.0 - fx) + self.at(left + 1, top + 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    /// Moves a pixel towards `value`; what lies outside is left out.
    pub fn blend(&mut self, x: i32, y: i32, value: f32, share: f32) {
        let (Ok(column), Ok(row)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if column < self.width
            && let Some(own) = self.values.get_mut(row * self.width + column)
        {
            *own += (value - *own) * share.clamp(0.0, 1.0);
        }
    }

    /// Calls for each pixel with its middle and lets the value be changed.
    pub fn each(&mut self, mut change: impl FnMut(f32, f32, &mut f32)) {
        let width = self.width.max(1);
        for (row, line) in self.values.chunks_mut(width).enumerate() {
            for (column, value) in line.iter_mut().enumerate() {
                change(column as f32 + 0.5, row as f32 + 0.5, value);
            }
        }
    }

    /// Half the size, means of four.
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut half = Self::flat(width, height, 0.0);
        half.each(|x, y, value| *value = self.sample(2.0 * x, 2.0 * y));
        half
    }

    /// Convolved along a line of this length and direction (pixels).
    pub fn smeared(&self, dx: f32, dy: f32) -> Self {
        let length = dx.hypot(dy);
        if length < 0.3 {
            return self.clone();
        }
        let steps = (2.0 * length).ceil().max(2.0);
        let mut out = Self::flat(self.width, self.height, 0.0);
        out.each(|x, y, value| {
            let mut step = 0.5;
            while step < steps {
                let at = step / steps - 0.5;
                *value += self.sample(x + at * dx, y + at * dy) / steps;
                step += 1.0;
            }
        });
        out
    }

    /// Blurred by a bell of this deviation (pixels), across and then down.
    pub fn blurred(&self, sigma: f32) -> Self {
        if sigma < 0.25 {
            return self.clone();
        }
        let reach = (3.0 * sigma).ceil();
        let along = |picture: &Self, (sx, sy): (f32, f32)| {
            let mut out = Self::flat(picture.width, picture.height, 0.0);
            out.each(|x, y, value| {
                let (mut sum, mut at) = (0.0, -reach);
                while at <= reach {
                    let weight = (-0.5 * (at / sigma).powi(2)).exp();
                    sum += weight;
                    *value += weight * picture.sample(x + at * sx, y + at * sy);
                    at += 1.0;
                }
                *value /= sum;
            });
            out
        };
        along(&along(self, (1.0, 0.0)), (0.0, 1.0))
    }
}
