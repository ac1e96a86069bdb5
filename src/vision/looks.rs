//! The ways in which one plate is cut out of its frame, whole or as the two lines of a plate that has two.
//!
//! Corners are never exact, and a crop that cuts a character off is read wrong, often surely: a doubtful plate is looked at
//! again, cut out otherwise. A plate of two lines is cut into its upper and its lower half, each a little beyond the middle,
//! along the plate's own edges. Pure geometry; called by [`super::plate`].

use super::rectify::{square_to_quad, widened};
use crate::domain::{Point, Quad};

/// How many other ways there are to cut a doubtful plate out.
pub(super) const OTHERS: usize = 3;

/// How far a half of a plate goes beyond its middle, as a share of the plate's height.
const BEYOND: f32 = 0.06;

/// One way to cut a plate out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Where the plate is.
    outline: Quad,
    /// Share of the plate's width and height that is added on each side; less than 0 takes off.
    margin: [f32; 2],
}

impl Look {
    /// The plate in one piece.
    pub(super) fn whole(&self) -> Quad {
        widened(&self.outline, self.margin)
    }

    /// Its upper and its lower half: outwards with the margin, inwards a little beyond the middle.
    pub(super) fn halves(&self) -> [Quad; 2] {
        let [a, b, c, d, e, f, g, h] = square_to_quad(&self.outline);
        let at = |u: f32, v: f32| {
            let w = g * u + h * v + 1.0;
            Point { x: (a * u + b * v + c) / w, y: (d * u + e * v + f) / w }
        };
        let [x, y] = self.margin;
        let band = |from: f32, to: f32| Quad { points: [at(-x, from), at(1.0 + x, from), at(1.0 + x, to), at(-x, to)] };
        [band(-y, 0.5 + BEYOND), band(0.5 - BEYOND, 1.0 + y)]
    }
}

/// The ways in which one plate is cut out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    pub(super) first: Look,
    /// Taken when the first leaves doubt.
    pub(super) others: [Look; OTHERS],
}

impl Looks {
    /// A found plate by its corners with the reader's margin; with more around it, by its box, and with hardly anything
    /// around it.
    ///
    /// What the other looks bring stands in `docs/models.md`.
    pub(super) fn at_plate(outline: &Quad, boxed: &Quad, [x, y]: [f32; 2]) -> Self {
        let by = |share: f32| Look { outline: *outline, margin: [x * share, y * share] };
        Self { first: by(1.0), others: [by(1.6), Look { outline: *boxed, margin: [x, y] }, by(0.3)] }
    }

    /// A plate whose corners are known in a picture that is a crop already: by them; the whole picture as it is; by the corners
    /// with more around, and with hardly anything around it.
    pub(super) fn within(outline: &Quad, whole: &Quad, [x, y]: [f32; 2]) -> Self {
        let by = |share: f32| Look { outline: *outline, margin: [x * share, y * share] };
        Self { first: by(1.0), others: [Look { outline: *whole, margin: [0.0; 2] }, by(1.6), by(0.3)] }
    }

    /// A picture that is a crop already: as it is; and, since who cut it left more or less around the plate, without its rim,
    /// without twice as much, and with a little of its border repeated. `tilted` is the outline of a plate that does not
    /// lie level in it.
    pub(super) fn at_crop(whole: &Quad, tilted: Option<Quad>, [x, y]: [f32; 2]) -> Self {
        let of = |outline: Quad, share: f32| Look { outline, margin: [x * share, y * share] };
        match tilted {
            None => Self { first: of(*whole, 0.0), others: [of(*whole, -0.5), of(*whole, -0.9), of(*whole, 0.5)] },
            Some(level) => Self { first: of(level, 0.5), others: [of(*whole, 0.0), of(level, 0.0), of(level, 1.0)] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rect;

    #[test]
    fn halves_meet_a_little_beyond_the_middle_and_keep_the_margin_outwards() {
        let plate = Quad::from_rect(&Rect::new(10.0, 20.0, 110.0, 70.0));
        let look = Look { outline: plate, margin: [0.06, 0.1] };
        let [top, bottom] = look.halves().map(|q| q.bounds());
        for (got, want) in [(top, [4.0, 15.0, 116.0, 48.0]), (bottom, [4.0, 42.0, 116.0, 75.0])] {
            for (got, want) in [got.x1, got.y1, got.x2, got.y2].into_iter().zip(want) {
                assert!((got - want).abs() < 1e-3, "{got} {want}");
            }
        }
        let whole = look.whole().bounds();
        assert!((whole.y1 - top.y1).abs() < 1e-3 && (whole.y2 - bottom.y2).abs() < 1e-3);
    }

    #[test]
    fn halves_of_a_tilted_plate_follow_its_own_edges() {
        let outline =
            Quad { points: [(12.0, 5.0), (48.0, 11.0), (45.0, 30.0), (10.0, 22.0)].map(|(x, y)| Point { x, y }) };
        let [top, bottom] = Look { outline, margin: [0.0, 0.0] }.halves();
        for (got, want) in top.points.iter().zip(outline.points).take(2) {
            assert!((got.x - want.x).hypot(got.y - want.y) < 1e-3);
        }
        for (got, want) in bottom.points.iter().zip(outline.points).skip(2) {
            assert!((got.x - want.x).hypot(got.y - want.y) < 1e-3);
        }
        assert!(top.is_convex() && bottom.is_convex());
    }
}
