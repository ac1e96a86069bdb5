//! How far a plate is turned in the picture, by its four corners.
//!
//! Two angles that an installer can act on: the roll of its long sides against the picture's rows (the camera hangs askew),
//! and the shear of its short sides against them (the camera looks from far aside or far above). How far it is turned away
//! beyond that can't be told from corners of a small plate: what is lost of its width is lost in pixels, and counts there.

use crate::domain::{Point, Quad};

/// Angles, degrees.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lean {
    /// Long sides against level, clockwise, -90..90.
    pub roll: f32,
    /// Short sides against upright to the long ones, -90..90.
    pub shear: f32,
}

impl Lean {
    /// By the mean directions of opposite sides.
    #[must_use]
    pub fn of(outline: &Quad) -> Self {
        let [tl, tr, br, bl] = outline.points;
        let sum = |a: Point, b: Point, c: Point, d: Point| ((b.x - a.x) + (d.x - c.x), (b.y - a.y) + (d.y - c.y));
        let (across, down) = (sum(tl, tr, bl, br), sum(tl, bl, tr, br));
        let roll = across.1.atan2(across.0).to_degrees();
        let upright = down.1.atan2(down.0).to_degrees() - 90.0;
        let half = |angle: f32| (angle + 90.0).rem_euclid(180.0) - 90.0;
        if roll.is_finite() && upright.is_finite() {
            Self { roll: half(roll), shear: half(upright - roll) }
        } else {
            Self::default()
        }
    }

    /// The larger of the two.
    #[must_use]
    pub fn most(&self) -> f32 {
        self.roll.abs().max(self.shear.abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Rect;

    fn turned(degrees: f32) -> Quad {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let Quad { points } = Quad::from_rect(&Rect::new(-52.0, -11.0, 52.0, 11.0));
        Quad { points: points.map(|p| Point { x: p.x * cos - p.y * sin + 200.0, y: p.x * sin + p.y * cos + 100.0 }) }
    }

    proptest! {
        #[test]
        fn a_plate_turned_in_the_picture_rolls_by_that_and_has_no_shear(degrees in -80.0_f32..80.0) {
            let lean = Lean::of(&turned(degrees));
            prop_assert!((lean.roll - degrees).abs() < 0.1 && lean.shear.abs() < 0.1, "{:?}", lean);
        }
    }

    #[test]
    fn a_plate_seen_from_aside_is_sheared_and_no_numbers_lean_nowhere() {
        let aside = Quad { points: [(0.0, 0.0), (80.0, 20.0), (80.0, 45.0), (0.0, 25.0)].map(|(x, y)| Point { x, y }) };
        let lean = Lean::of(&aside);
        assert!((lean.roll - 14.0).abs() < 0.1 && (lean.shear + 14.0).abs() < 0.1 && lean.most() > 14.0, "{lean:?}");
        let none = Quad { points: [Point { x: f32::NAN, y: 0.0 }; 4] };
        assert_eq!(Lean::of(&none), Lean::default());
    }
}
