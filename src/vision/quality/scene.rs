//! Light, sharpness, noise and colour of a whole picture: what can be said when no plate was found in it.
//!
//! Looks at some hundred tiles, a pixel in some. Noise is that of J. Immerkær ("Fast noise variance estimation", 1996), by
//! the median instead of the mean, so that texture in less than half of the picture does not count.

use super::edges::Edges;
use super::{Part, floor, percentile, real};
use crate::domain::{Frame, Plane};
use crate::vision::preprocess::luma_range;

/// Side of a tile, pixels.
const TILE: usize = 32;

/// Tiles across and down, at most.
const TILES: (usize, usize) = (20, 11);

/// A tile has an edge from this contrast on; so many such tiles there must be.
const EDGE: f32 = 36.0;
const FEW: usize = 6;

/// One picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scene {
    /// Mean luma, 0 to 255 of full range.
    pub mean: f32,
    /// One pixel in a hundred is darker.
    pub dark: f32,
    /// One in a hundred is brighter.
    pub bright: f32,
    /// Share of pixels that are burnt out.
    pub burnt: f32,
    /// Width of its edges, pixels; `None` where there are hardly any.
    pub edge: Option<f32>,
    /// Standard deviation of its noise.
    pub noise: f32,
    /// Mean distance of its colours from grey; near 0 of a camera at night.
    pub colour: f32,
}

impl Scene {
    /// Measures a picture; `None` of one smaller than a tile, or shorter than it says.
    #[must_use]
    pub fn of(frame: &Frame) -> Option<Self> {
        let luma = frame.luma();
        let (gain, offset) = luma_range(frame.format.full_range);
        let places = |side: usize, most: usize| {
            let count = (side / TILE).min(most);
            (0..count).map(move |n| (n * side / count.max(1)).min(side - TILE))
        };
        let (mut values, mut widths, mut rough) = (Vec::new(), Vec::new(), Vec::new());
        for top in places(luma.height, TILES.1) {
            for left in places(luma.width, TILES.0) {
                let tile = tile(&luma, left, top, (gain, offset))?;
                roughness(&tile, &mut rough);
                let part = Part::whole(tile, TILE);
                let sorted = part.sorted();
                if percentile(&sorted, 0.96) - percentile(&sorted, 0.04) >= EDGE {
                    widths.extend(Edges::of(&part).map(|edges| edges.sharpest()));
                }
                values.extend(sorted.iter().step_by(7));
            }
        }
        if values.is_empty() {
            return None;
        }
        for sorted in [&mut values, &mut widths, &mut rough] {
            sorted.sort_unstable_by(f32::total_cmp);
        }
        Some(Self {
            mean: values.iter().sum::<f32>() / real(values.len()),
            dark: percentile(&values, 0.01),
            bright: percentile(&values, 0.99),
            burnt: real(values.len() - values.partition_point(|v| *v < 251.0)) / real(values.len()),
            // Edges that a tile cuts look sharper than they are, what is soft by itself less so.
            edge: (widths.len() >= FEW).then(|| percentile(&widths, 0.5)),
            // Of normal noise the median of magnitudes is 0.6745 deviations, and the mask's gain is 6.
            noise: percentile(&rough, 0.5) / (0.6745 * 6.0),
            colour: colour(frame),
        })
    }
}

fn tile(luma: &Plane<'_>, left: usize, top: usize, (gain, offset): (f32, f32)) -> Option<Vec<f32>> {
    let mut values = Vec::with_capacity(TILE * TILE);
    for y in top..top + TILE {
        let row = luma.row(y)?.get(left..left + TILE)?;
        values.extend(row.iter().map(|v| (f32::from(*v) * gain + offset).clamp(0.0, 255.0)));
    }
    Some(values)
}

/// Magnitudes of what is left of a tile when all that is even, slanted or an edge is taken off: the difference of two
/// Laplacians.
fn roughness(tile: &[f32], rough: &mut Vec<f32>) {
    let row = |y: usize| tile.get(y * TILE..(y + 1) * TILE).unwrap_or_default();
    for y in (1..TILE - 1).step_by(2) {
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        for ((a, h), b) in above.windows(3).zip(here.windows(3)).zip(below.windows(3)) {
            let (&[a0, a1, a2], &[h0, h1, h2], &[b0, b1, b2]) = (a, h, b) else { continue };
            // What is burnt out or drowned has no noise, and says nothing of the rest.
            if h1 > 2.0 && h1 < 253.0 {
                rough.push((a0 + a2 + b0 + b2 - 2.0 * (a1 + b1 + h0 + h2) + 4.0 * h1).abs());
            }
        }
    }
}

fn colour(frame: &Frame) -> f32 {
    let pairs = frame.format.pixels.chroma_step() == 2;
    let (mut sum, mut count) = (0.0, 0.0_f32);
    for index in if pairs { 1..2 } else { 1..3 } {
        let plane = frame.chroma(index);
        for y in (0..plane.height).step_by(floor(real(plane.height) / 40.0).max(1)) {
            for v in plane.row(y).unwrap_or_default().iter().step_by(9) {
                sum += (f32::from(*v) - 128.0).abs();
                count += 1.0;
            }
        }
    }
    sum / count.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Noise, grey};
    use super::*;

    /// Squares of some sizes, blurred by `soft` pixels, with noise.
    fn street(soft: f32, noise: f32) -> Frame {
        let mut random = Noise(7);
        let values: Vec<f32> = (0..640 * 360)
            .map(|n| {
                let (x, y) = ((n % 640) as f32, (n / 640) as f32);
                let ramp = |v: f32, at: f32| ((v - at) / soft.max(1.0) + 0.5).clamp(0.0, 1.0);
                let square = ramp(x % 80.0, 20.0) * (1.0 - ramp(x % 80.0, 60.0));
                60.0 + 120.0 * square * ramp(y % 60.0, 15.0) + noise * random.normal()
            })
            .collect();
        grey(&values, 640, 360)
    }

    #[test]
    fn soft_pictures_have_wide_edges_and_noise_is_told_in_its_own_units() {
        let (sharp, soft) = (Scene::of(&street(1.0, 0.0)).unwrap(), Scene::of(&street(10.0, 0.0)).unwrap());
        assert!(sharp.edge.unwrap() < 2.6 && soft.edge.unwrap() > 6.0, "{sharp:?} {soft:?}");
        assert!(sharp.noise < 0.3 && sharp.colour < 1.0);
        let noisy = Scene::of(&street(1.0, 8.0)).unwrap();
        assert!((6.0..10.0).contains(&noisy.noise), "{noisy:?}");
    }

    #[test]
    fn a_black_picture_is_dark_and_has_no_edges_and_a_speck_is_nothing() {
        let black = Scene::of(&grey(&vec![3.0; 640 * 360], 640, 360)).unwrap();
        assert!(black.mean < 5.0 && black.bright < 5.0 && black.edge.is_none(), "{black:?}");
        assert_eq!(Scene::of(&grey(&[0.0; 100], 10, 10)), None);
    }
}
