//! Plates and pictures made by code, for the tests of this folder.

use std::time::Duration;

use crate::domain::{Frame, FrameFormat, PixelFormat, Pixels, Rect, TimeMs};

/// A plate with strokes like those of seven-segment digits.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    /// Pixels across; it is 4.5 times as wide as high.
    pub width: f32,
    pub ground: f32,
    pub letters: f32,
    pub around: f32,
    /// Standard deviation of the lens, pixels.
    pub defocus: f32,
    /// Way that it moved while the shutter was open, pixels.
    pub smear: (f32, f32),
}

impl Default for Drawn {
    fn default() -> Self {
        Self { width: 100.0, ground: 210.0, letters: 30.0, around: 80.0, defocus: 0.0, smear: (0.0, 0.0) }
    }
}

/// Segments of seven digits, from the top clockwise, the middle last.
const DIGITS: [u8; 7] = [0b111_0111, 0b101_1011, 0b111_1111, 0b010_0101, 0b111_1011, 0b110_1111, 0b101_1101];

impl Drawn {
    /// Light at a place of the plate, 0..4.5 across and 0..1 down.
    fn at(&self, u: f32, v: f32) -> f32 {
        if !(0.0..4.5).contains(&u) || !(0.0..1.0).contains(&v) {
            return self.around;
        }
        let (cell, x, y) = (((u - 0.15) / 0.6).floor(), ((u - 0.15) % 0.6 - 0.08) / 0.44, (v - 0.15) / 0.7);
        if !(0.0..7.0).contains(&cell) || !(0.0..1.0).contains(&x) || !(0.0..1.0).contains(&y) {
            return self.ground;
        }
        let (thick, half) = (0.22, y * 2.0);
        let on = |bit: u32| DIGITS[cell as usize] >> bit & 1 == 1;
        let stroke = (on(0) && y < 0.13)
            || (on(3) && y > 0.87)
            || (on(6) && (y - 0.5).abs() < 0.065)
            || (x > 1.0 - thick && if half < 1.0 { on(1) } else { on(2) })
            || (x < thick && if half < 1.0 { on(5) } else { on(4) });
        if stroke { self.letters } else { self.ground }
    }
}

/// The plate in the middle of a grey frame, every pixel the mean over its square, the shutter's time and the lens.
pub(super) fn framed(drawn: &Drawn, width: usize, height: usize) -> (Frame, Rect) {
    let high = drawn.width / 4.5;
    // Beside the grid of the pixels, as plates are.
    let (left, top) = ((width as f32 - drawn.width) / 2.0 + 0.3, (height as f32 - high) / 2.0 + 0.2);
    let moved = drawn.smear.0.hypot(drawn.smear.1);
    let steps = if moved > 0.0 { (moved * 2.0) as usize + 1 } else { 1 };
    let mut values = vec![0.0; width * height];
    for step in 0..steps {
        let share = (step as f32 + 0.5) / steps as f32 - 0.5;
        for (n, value) in values.iter_mut().enumerate() {
            let (x, y) = ((n % width) as f32 - drawn.smear.0 * share, (n / width) as f32 - drawn.smear.1 * share);
            let mut sum = 0.0;
            for (i, j) in (0..9).map(|k| (k % 3, k / 3)) {
                let (x, y) = (x + (i as f32 + 0.5) / 3.0, y + (j as f32 + 0.5) / 3.0);
                sum += drawn.at((x - left) / high, (y - top) / high);
            }
            *value += sum / 9.0 / steps as f32;
        }
    }
    if drawn.defocus > 0.0 {
        values = blurred(&values, width, drawn.defocus);
        let turned = transposed(&values, width);
        values = transposed(&blurred(&turned, height, drawn.defocus), height);
    }
    (grey(&values, width, height), Rect::new(left, top, left + drawn.width, top + high))
}

fn blurred(values: &[f32], width: usize, sd: f32) -> Vec<f32> {
    let reach = (sd * 3.0).ceil() as usize;
    let weights: Vec<f32> = (0..=2 * reach).map(|d| (-0.5 * ((d as f32 - reach as f32) / sd).powi(2)).exp()).collect();
    let all: f32 = weights.iter().sum();
    let rows = values.chunks_exact(width).flat_map(|row| {
        let at = |x: usize| row[x.saturating_sub(reach).min(width - 1)];
        let weights = &weights;
        let mean = move |x: usize| weights.iter().enumerate().map(|(d, w)| w * at(x + d)).sum::<f32>() / all;
        (0..width).map(mean).collect::<Vec<_>>()
    });
    rows.collect()
}

fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    (0..values.len()).map(|n| values[n % height * width + n / height]).collect()
}

/// A grey frame of these values.
pub(super) fn grey(values: &[f32], width: usize, height: usize) -> Frame {
    let luma: Vec<u8> = values.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
    let chroma = vec![128; width.div_ceil(2) * height.div_ceil(2)];
    let (w, h) = (u32::try_from(width).unwrap(), u32::try_from(height).unwrap());
    let strides = [width, width.div_ceil(2), width.div_ceil(2)];
    let format = FrameFormat { width: w, height: h, pixels: PixelFormat::I420, strides, full_range: true };
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(Planes([luma, chroma.clone(), chroma])))
}

struct Planes([Vec<u8>; 3]);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        &self.0[index]
    }
}

/// Random numbers that are the same everywhere (a linear congruential generator).
pub(super) struct Noise(pub u32);

impl Noise {
    fn share(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 16_777_216.0
    }

    /// Mean 0, deviation 1: the sum of twelve even ones.
    pub(super) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.share()).sum::<f32>() - 6.0
    }
}
