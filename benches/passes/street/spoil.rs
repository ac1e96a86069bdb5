//! What is wrong with a camera or its light, laid over pictures.

use super::super::Rng;
use super::Clip;
use super::film::Picture420;

/// What is wrong; nothing by default but a little sensor noise.
#[derive(Debug, Clone)]
pub struct Spoil {
    /// Deviation of the sensor's noise, steps of luma.
    pub noise: f32,
    /// Streaks of rain and drops.
    pub rain: bool,
    /// Mains light that beats with the shutter: how much brightness swings, 0 to 1 (0.2 is plain to see).
    pub flicker: f32,
    /// How dark it is, 0 day to 1 black; gain makes noise of it.
    pub dark: f32,
    /// How overexposed, 0 to 1: at 0.5 what is light is white.
    pub bright: f32,
    /// Out of focus: radius of the blur, pixels.
    pub defocus_px: f32,
    /// Length of every vehicle's smear where it moves at a usual speed, pixels: a shutter that is too slow.
    pub smear_px: f32,
    /// Turned about its own axis, degrees.
    pub tilt_deg: f32,
    /// Seen from the side, degrees.
    pub yaw_deg: f32,
    /// From here on another camera's picture.
    pub cut_at_s: Option<f32>,
    /// From here on the same picture.
    pub frozen_at_s: Option<f32>,
    /// From here on a black picture.
    pub black_at_s: Option<f32>,
    /// From here on it looks elsewhere: knocked, or turned by somebody.
    pub moved_at_s: Option<f32>,
    /// From here on it is out of focus by five pixels or more.
    pub defocused_at_s: Option<f32>,
}

impl Default for Spoil {
    fn default() -> Self {
        Self {
            noise: 1.5,
            rain: false,
            flicker: 0.0,
            dark: 0.0,
            bright: 0.0,
            defocus_px: 0.0,
            smear_px: 0.0,
            tilt_deg: 0.0,
            yaw_deg: 0.0,
            cut_at_s: None,
            frozen_at_s: None,
            black_at_s: None,
            moved_at_s: None,
            defocused_at_s: None,
        }
    }
}

/// Noise, as a table that every frame begins elsewhere.
pub struct Sensor(Vec<i8>);

impl Sensor {
    /// Of this deviation.
    pub fn new(seed: u64, deviation: f32) -> Self {
        let mut rng = Rng::new(seed, 0x5e);
        let count = if deviation > 0.0 { 1 << 16 } else { 0 };
        Self((0..count).map(|_| (rng.normal() * deviation).round().clamp(-90.0, 90.0) as i8).collect())
    }

    fn lay(&self, rng: &mut Rng, picture: &mut Picture420) {
        if self.0.is_empty() {
            return;
        }
        for row in picture.luma.chunks_exact_mut(picture.width) {
            let begin = rng.below(self.0.len() - row.len().min(self.0.len() - 1));
            for (value, noise) in row.iter_mut().zip(&self.0[begin..]) {
                *value = value.saturating_add_signed(*noise);
            }
        }
    }
}

/// Spoils frame `n` of a clip.
pub fn spoilt(clip: &Clip, sensor: &Sensor, n: usize, picture: &mut Picture420) {
    let (spoil, at) = (&clip.spoil, clip.at(n));
    let since = |time: Option<f32>| time.is_some_and(|time| at >= time);
    let mut rng = Rng::new(clip.seed, 0x1000 + n as u64);
    if since(spoil.black_at_s) {
        picture.luma.fill(16);
        picture.chroma.iter_mut().for_each(|plane| plane.fill(128));
        return;
    }
    if spoil.rain {
        rain(&mut rng, picture);
    }
    let defocus = spoil.defocus_px.max(if since(spoil.defocused_at_s) {
        5.0_f32.max(0.006 * picture.height as f32)
    } else {
        0.0
    });
    if defocus > 0.3 {
        blurred(picture, defocus);
    }
    let beat = (at * std::f32::consts::TAU * 3.7).sin() + 0.35 * rng.between(-1.0, 1.0);
    let gain = (1.0 + spoil.flicker * beat) * (1.0 - spoil.dark) * (1.0 + 2.0 * spoil.bright);
    if (gain - 1.0).abs() > 1e-3 || spoil.bright > 0.0 {
        let lift = 30.0 * spoil.bright;
        let table: Vec<u8> = (0..=255_u8)
            .map(|v| (16.0 + (f32::from(v) - 16.0) * gain + lift).round().clamp(16.0, 235.0) as u8)
            .collect();
        picture.luma.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
        let faded = (1.0 - spoil.dark) * (1.0 - 0.6 * spoil.bright.min(1.0));
        let table: Vec<u8> = (0..=255_u8).map(|v| (128.0 + (f32::from(v) - 128.0) * faded).round() as u8).collect();
        picture.chroma.iter_mut().flatten().for_each(|v| *v = table[usize::from(*v)]);
    }
    sensor.lay(&mut rng, picture);
}

/// Streaks, and a few drops near the lens, elsewhere in every frame.
fn rain(rng: &mut Rng, picture: &mut Picture420) {
    let (w, h) = (picture.width, picture.height);
    let unit = h as f32 / 720.0;
    for _ in 0..170 {
        let near = rng.share();
        let length = (10.0 + 45.0 * near * near) * unit;
        let (x, y) = (rng.between(0.0, w as f32), rng.between(-length, h as f32));
        let (lean, light) = (rng.between(-0.14, -0.06), rng.between(0.12, 0.4));
        let wide = if near > 0.85 { 2 } else { 1 };
        for step in 0..length as i32 {
            let (row, column) = ((y as i32) + step, (x + lean * step as f32) as i32);
            for column in column..column + wide {
                if (0..h as i32).contains(&row) && (0..w as i32).contains(&column) {
                    let value = &mut picture.luma[row as usize * w + column as usize];
                    *value = (f32::from(*value) + (205.0 - f32::from(*value)) * light) as u8;
                }
            }
        }
    }
}

/// Two means of squares: nearly a bell.
fn blurred(picture: &mut Picture420, radius: f32) {
    let reach = (radius * 0.8).round().max(1.0) as usize;
    let (w, h) = (picture.width, picture.height);
    for _ in 0..2 {
        for row in picture.luma.chunks_exact_mut(w) {
            let line: Vec<u8> = row.to_vec();
            let at = |x: usize| u32::from(line[x.min(w - 1)]);
            let mut sum: u32 = (0..=reach).map(at).sum::<u32>() + at(0) * reach as u32;
            for (x, out) in row.iter_mut().enumerate() {
                *out = (sum / (2 * reach as u32 + 1)) as u8;
                sum = sum + at(x + reach + 1) - at(x.saturating_sub(reach));
            }
        }
        let source = picture.luma.clone();
        let row = |y: usize| &source[y.min(h - 1) * w..][..w];
        let mut sums: Vec<u32> = row(0).iter().map(|v| u32::from(*v) * reach as u32).collect();
        for y in 0..=reach {
            sums.iter_mut().zip(row(y)).for_each(|(sum, v)| *sum += u32::from(*v));
        }
        for y in 0..h {
            let out = &mut picture.luma[y * w..][..w];
            let (enters, leaves) = (row(y + reach + 1), row(y.saturating_sub(reach)));
            for (((out, sum), enters), leaves) in out.iter_mut().zip(&mut sums).zip(enters).zip(leaves) {
                *out = (*sum / (2 * reach as u32 + 1)) as u8;
                *sum = *sum + u32::from(*enters) - u32::from(*leaves);
            }
        }
    }
}
