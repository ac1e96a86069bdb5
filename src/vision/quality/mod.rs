//! How good a picture is for reading plates, in numbers that an installer can act on.
//!
//! | file | what it measures |
//! |---|---|
//! | [`edges`] | how many pixels an edge takes, by direction: defocus and smear |
//! | [`light`] | exposure of a plate and contrast of its letters |
//! | [`lean`] | how far a plate is turned in the picture, by its corners |
//! | [`scene`] | light, sharpness, noise and colour of a whole picture |
//! | [`blocks`] | steps at the borders of the coding's blocks |
//!
//! Pure functions of pixels, made for `watchpost doctor`: nothing here decides whether a plate is read. Luma is taken as
//! 0 to 255 whatever range the video has.

pub mod blocks;
pub mod edges;
pub mod lean;
pub mod light;
pub mod scene;
#[cfg(test)]
mod testing;

pub use edges::Edges;
pub use lean::Lean;
pub use light::Light;
pub use scene::Scene;

use super::preprocess::luma_range;
use crate::domain::{Detection, Frame, Point, Quad};

/// Most pixels around a plate that are looked at: larger ones are taken at every second pixel, and so on.
const MOST: usize = 64 * 1024;

/// What is looked at around a plate, a share of its height: its rim, whose edges count.
const RIM: f32 = 0.12;

/// One plate in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateLook {
    /// Length of the plate along its own sides, pixels of the frame.
    pub width: f32,
    /// The same across.
    pub height: f32,
    /// How it is turned.
    pub lean: Lean,
    /// Its light; `None` where the frame holds too little of it.
    pub light: Option<Light>,
    /// Its edges; `None` where it has hardly any contrast.
    pub edges: Option<Edges>,
}

/// Measures a plate by its corners, or its box where it has none.
#[must_use]
pub fn plate(frame: &Frame, plate: &Detection) -> PlateLook {
    let outline = plate.corners.filter(Quad::is_convex).unwrap_or_else(|| Quad::from_rect(&plate.rect));
    let (width, height) = super::rectify::sides(&outline);
    let part = Part::around(frame, &grown(&outline, RIM * height));
    PlateLook {
        width,
        height,
        lean: Lean::of(&outline),
        light: part.as_ref().and_then(Light::of),
        edges: part.as_ref().and_then(Edges::of),
    }
}

/// The quadrilateral with its corners moved away from its middle by some pixels each way.
fn grown(quad: &Quad, by: f32) -> Quad {
    let middle = quad.points.iter().fold(Point::default(), |m, p| Point { x: m.x + p.x / 4.0, y: m.y + p.y / 4.0 });
    let away = |from: f32, to: f32| if to >= from { to + by } else { to - by };
    Quad { points: quad.points.map(|p| Point { x: away(middle.x, p.x), y: away(middle.y, p.y) }) }
}

/// Luma of the part of a picture around a quadrilateral, and which of its pixels lie inside.
#[derive(Debug, Clone)]
pub struct Part {
    /// Row by row, full range.
    values: Vec<f32>,
    width: usize,
    /// First and last pixel of each row that lie inside; empty rows hold an empty range.
    inside: Vec<std::ops::Range<usize>>,
    /// Pixels of the frame a value stands for, each way.
    step: f32,
}

impl Part {
    /// Cuts it out of the frame; `None` where fewer than 6 × 4 pixels of it lie inside the picture.
    #[must_use]
    pub fn around(frame: &Frame, quad: &Quad) -> Option<Self> {
        let luma = frame.luma();
        let (gain, offset) = luma_range(frame.format.full_range);
        let (wide, high) = frame.size();
        let bounds = quad.bounds().clamped(wide, high);
        let (left, top) = (floor(bounds.x1), floor(bounds.y1));
        let (right, bottom) = (floor(bounds.x2.ceil()).min(luma.width), floor(bounds.y2.ceil()).min(luma.height));
        let (w, h) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
        if w < 6 || h < 4 {
            return None;
        }
        let step = (1..=16).find(|s| (w / s) * (h / s) <= MOST)?;
        let (mut values, mut inside) = (Vec::new(), Vec::new());
        for y in (top..bottom).step_by(step) {
            let row = luma.row(y)?.get(left..right)?;
            values.extend(row.iter().step_by(step).map(|v| (f32::from(*v) * gain + offset).clamp(0.0, 255.0)));
            inside.push(span(quad, real(y) + 0.5, left, right, step));
        }
        Some(Self { values, width: w.div_ceil(step), inside, step: real(step) })
    }

    /// A whole plane's worth of values, all inside; for tiles of a picture.
    fn whole(values: Vec<f32>, width: usize) -> Self {
        let inside = vec![0..width; values.len() / width.max(1)];
        Self { values, width, inside, step: 1.0 }
    }

    /// Rows with the pixels of them that lie inside.
    fn rows(&self) -> impl Iterator<Item = (usize, &[f32], std::ops::Range<usize>)> {
        let rows = self.values.chunks_exact(self.width.max(1)).zip(&self.inside).enumerate();
        rows.map(|(y, (row, inside))| (y, row, inside.clone()))
    }

    /// The values inside, in ascending order.
    fn sorted(&self) -> Vec<f32> {
        let mut values: Vec<f32> =
            self.rows().flat_map(|(_, row, inside)| row.get(inside).unwrap_or_default().to_vec()).collect();
        values.sort_unstable_by(f32::total_cmp);
        values
    }
}

/// The pixels of a row, at `y`, whose middles lie inside a convex quadrilateral: indexes from `left` on.
fn span(quad: &Quad, y: f32, left: usize, right: usize, step: usize) -> std::ops::Range<usize> {
    let [a, b, c, d] = quad.points;
    let (mut from, mut to) = (f32::INFINITY, f32::NEG_INFINITY);
    for (p, q) in [(a, b), (b, c), (c, d), (d, a)] {
        if (p.y - y) * (q.y - y) <= 0.0 && (p.y - q.y).abs() > f32::EPSILON {
            let x = p.x + (q.x - p.x) * (y - p.y) / (q.y - p.y);
            (from, to) = (from.min(x), to.max(x));
        }
    }
    if from > to {
        return 0..0;
    }
    let index = |x: f32| floor((x - 0.5).ceil()).clamp(left, right).saturating_sub(left).div_ceil(step);
    index(from)..index(to)
}

/// The value below which a share of the sorted values lies; 0 of none.
fn percentile(sorted: &[f32], share: f32) -> f32 {
    let at = floor(real(sorted.len().saturating_sub(1)) * share);
    sorted.get(at).copied().unwrap_or(0.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places in a frame; a cast saturates")]
fn floor(v: f32) -> usize {
    v.max(0.0) as usize
}

#[expect(clippy::cast_precision_loss, reason = "sides of a frame, counts of its pixels")]
fn real(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::testing::{Drawn, framed};
    use super::*;
    use crate::domain::{Class, Rect};

    fn detection(rect: Rect) -> Detection {
        Detection { class: Class::Plate, score: 0.9, rect, corners: None }
    }

    #[test]
    fn a_plate_is_as_wide_as_its_sides_and_has_the_light_it_was_drawn_with() {
        let drawn = Drawn { width: 90.0, ..Drawn::default() };
        let (frame, rect) = framed(&drawn, 320, 120);
        let look = plate(&frame, &detection(rect));
        assert!((look.width - 90.0).abs() < 1.0 && (look.height - 20.0).abs() < 1.0, "{look:?}");
        let light = look.light.unwrap();
        assert!((light.ground - drawn.ground).abs() < 6.0 && light.letters < drawn.letters + 12.0, "{light:?}");
        assert!(look.lean.roll.abs() < 0.1 && look.lean.shear.abs() < 0.1);
    }

    #[test]
    fn a_plate_outside_the_picture_or_a_speck_is_no_reason_to_panic() {
        let (frame, _) = framed(&Drawn::default(), 320, 120);
        for rect in [
            Rect::new(-90.0, -40.0, -10.0, -5.0),
            Rect::new(400.0, 20.0, 480.0, 40.0),
            Rect::new(10.0, 10.0, 12.0, 11.0),
            Rect::new(300.0, 110.0, 400.0, 150.0),
            Rect::new(f32::NAN, 0.0, 10.0, 10.0),
        ] {
            let _ = plate(&frame, &detection(rect));
        }
    }

    #[test]
    fn pixels_inside_a_tilted_quadrilateral_are_those_whose_middles_are() {
        let quad = Quad { points: [(2.0, 0.0), (8.0, 2.0), (8.0, 6.0), (2.0, 4.0)].map(|(x, y)| Point { x, y }) };
        assert_eq!(span(&quad, 3.0, 0, 10, 1), 2..8);
        assert_eq!(span(&quad, 0.5, 0, 10, 1), 2..3);
        assert_eq!(span(&quad, 9.0, 0, 10, 1), 0..0);
    }
}
