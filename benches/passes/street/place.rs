//! The street without any vehicle: road, kerbs, pavement, lawn, markings, bollards and what light and wear make of them.

use super::super::Rng;
use super::camera::{Camera, Spot};
use super::film::Picture420;
use super::layer::{Colour, Layer, rgb};

/// Metres from the middle of a lane to the next.
pub const LANE: f32 = 3.3;

/// Half the width between the kerbs.
const ROAD: f32 = 5.2;

/// Draws it; everything but where it is seen from follows from the seed.
pub fn street(seed: u64, camera: &Camera, size: (usize, usize)) -> Picture420 {
    let mut rng = Rng::new(seed, 0x57);
    let Some(mut on) = Layer::new(size, (-9.0, -9.0), (size.0 as f32 + 9.0, size.1 as f32 + 9.0)) else {
        return Picture420::black(size.0, size.1);
    };
    let grey = |v: f32| rgb(v, v, v * 1.02);
    let (w, h) = (size.0 as f32, size.1 as f32);
    let haze = rgb(0.62, 0.66, 0.7);
    on.fill(&[(-1.0, -1.0), (w + 1.0, -1.0), (w + 1.0, h + 1.0), (-1.0, h + 1.0)], haze);
    let tarmac = rng.between(0.3, 0.42);
    let mut ground = Ground { on: &mut on, camera };
    let lawn = rgb(rng.between(0.24, 0.34), rng.between(0.34, 0.42), 0.2);
    let slabs = grey(rng.between(0.48, 0.58));
    ground.strip((-60.0, 60.0), (-30.0, 150.0), lawn);
    ground.strip((-ROAD - 2.4, ROAD + 2.4), (-30.0, 150.0), slabs);
    for joint in -40..100 {
        let y = joint as f32 * 0.9;
        ground.strip((-ROAD - 2.4, -ROAD), (y, y + 0.04), grey(0.42));
        ground.strip((ROAD, ROAD + 2.4), (y, y + 0.04), grey(0.42));
    }
    ground.strip((-ROAD - 0.2, ROAD + 0.2), (-30.0, 150.0), grey(0.66));
    ground.strip((-ROAD, ROAD), (-30.0, 150.0), grey(tarmac));
    ground.strip((-ROAD, -ROAD + 0.3), (-30.0, 150.0), grey(tarmac * 0.8));
    ground.strip((ROAD - 0.3, ROAD), (-30.0, 150.0), grey(tarmac * 0.8));
    for lane in [-LANE, 0.0, LANE] {
        ground.strip((lane - 0.95, lane - 0.5), (-30.0, 150.0), grey(tarmac * 1.06));
        ground.strip((lane + 0.5, lane + 0.95), (-30.0, 150.0), grey(tarmac * 1.06));
        ground.strip((lane - 0.2, lane + 0.2), (-30.0, 150.0), grey(tarmac * 0.94));
    }
    for _ in 0..14 {
        let (x, y) = (rng.between(-ROAD, ROAD - 1.5), rng.between(-6.0, 50.0));
        let shade = tarmac * rng.between(0.72, 1.12);
        ground.strip((x, x + rng.between(0.4, 1.5)), (y, y + rng.between(0.8, 4.0)), grey(shade));
    }
    let offset = rng.between(0.0, 6.0);
    for dash in -4..18 {
        let y = dash as f32 * 7.0 + offset;
        for x in [-LANE / 2.0, LANE / 2.0] {
            ground.strip((x - 0.07, x + 0.07), (y, y + 3.0), grey(0.78));
        }
    }
    for x in [-ROAD + 0.4, ROAD - 0.55] {
        ground.strip((x, x + 0.14), (-30.0, 150.0), grey(0.74));
    }
    if rng.chance(0.5) {
        let y = rng.between(2.0, 9.0);
        for bar in -5..=5 {
            let x = bar as f32 * 0.95;
            ground.strip((x - 0.25, x + 0.25), (y, y + 2.6), grey(0.8));
        }
    }
    upright(&mut rng, &mut ground);
    let mut picture = on.picture();
    weathered(&mut rng, &mut picture);
    picture
}

struct Ground<'a> {
    on: &'a mut Layer,
    camera: &'a Camera,
}

impl Ground<'_> {
    /// A rectangle on the ground, in pieces along the road, so that what is behind the camera can be left out.
    fn strip(&mut self, (x1, x2): (f32, f32), (y1, y2): (f32, f32), colour: Colour) {
        let step = if y2 - y1 > 12.0 { 3.0 } else { y2 - y1 };
        let mut y = y1;
        while y < y2 - 1e-3 {
            let end = (y + step).min(y2);
            self.face(&[[x1, y, 0.0], [x2, y, 0.0], [x2, end, 0.0], [x1, end, 0.0]], colour);
            y = end;
        }
    }

    fn face(&mut self, points: &[Spot], colour: Colour) {
        if let Some(seen) = self.camera.face(points) {
            self.on.fill(&seen, colour);
        }
    }
}

/// Bollards, hedges and walls beside the road, far ones first.
fn upright(rng: &mut Rng, ground: &mut Ground<'_>) {
    let wall = rgb(rng.between(0.45, 0.65), rng.between(0.4, 0.55), rng.between(0.35, 0.5));
    let darker = wall.map(|v| (f32::from(v) * 0.8) as u8);
    for piece in (-2..24).rev() {
        let y = piece as f32 * 5.0;
        for side in [-1.0, 1.0] {
            let x = side * (ROAD + 3.4);
            if rng.chance(0.6) {
                let leaf = rgb(rng.between(0.12, 0.22), rng.between(0.22, 0.34), 0.12);
                for _ in 0..24 {
                    let (dy, dz) = (rng.between(0.0, 5.0), rng.between(0.1, 1.5));
                    let size = rng.between(0.15, 0.5);
                    let light = rng.between(0.6, 1.3);
                    let tone = [(f32::from(leaf[0]) * light) as u8, leaf[1], leaf[2]];
                    let at = |a: f32, b: f32| [x - side * rng_share(a, b), y + dy + a * size, dz + b * size];
                    ground.face(&[at(-1.0, 0.0), at(-0.3, 0.9), at(0.8, 0.5), at(0.9, -0.6), at(-0.2, -0.9)], tone);
                }
            } else {
                let top = rng.between(1.2, 2.6);
                ground.face(&[[x, y, 0.0], [x, y + 4.7, 0.0], [x, y + 4.7, top], [x, y, top]], wall);
                ground.face(&[[x, y, 0.0], [x + side * 0.4, y, 0.0], [x + side * 0.4, y, top], [x, y, top]], darker);
            }
            if piece % 2 == 0 {
                let x = side * (ROAD + 0.6);
                let post =
                    |z1: f32, z2: f32| [[x - 0.06, y, z1], [x + 0.06, y, z1], [x + 0.06, y, z2], [x - 0.06, y, z2]];
                ground.face(&post(0.0, 0.9), rgb(0.2, 0.2, 0.22));
                ground.face(&post(0.7, 0.82), rgb(0.8, 0.8, 0.75));
            }
        }
    }
}

/// How far a leaf stands out of its hedge.
fn rng_share(a: f32, b: f32) -> f32 {
    0.3 * (3.1 * a + 1.7 * b).sin().abs()
}

/// Grain and blotches, the same in every frame.
fn weathered(rng: &mut Rng, picture: &mut Picture420) {
    let grain: Vec<i16> = (0..8192).map(|_| (rng.normal() * 3.5).round() as i16).collect();
    let (across, down) = (picture.width / 64 + 2, picture.height / 32 + 2);
    let blotches: Vec<f32> = (0..across * down).map(|_| rng.normal() * 5.0).collect();
    for (y, row) in picture.luma.chunks_exact_mut(picture.width).enumerate() {
        let begin = rng.below(4096);
        let (by, fy) = (y / 32, (y % 32) as f32 / 32.0);
        for (cell, part) in row.chunks_mut(64).enumerate() {
            let at = |n: usize| blotches[by * across + n] * (1.0 - fy) + blotches[(by + 1) * across + n] * fy;
            let (first, step) = (at(cell) * 16.0, (at(cell + 1) - at(cell)) / 4.0);
            let (mut level, step) = (first as i16, step as i16);
            for (value, grain) in part.iter_mut().zip(&grain[begin.wrapping_add(cell * 64 % 4096) % 8000..]) {
                *value = (i16::from(*value) + grain + level / 16).clamp(16, 235) as u8;
                level += step;
            }
        }
    }
}
