//! How many pixels an edge takes from dark to bright, by direction.
//!
//! The contrast divided by the steepest slopes: a picture that is sharp to the pixel has about 2 (slopes are taken over two
//! pixels), one that is out of focus more in all directions, and one in which the plate moved while the shutter was open
//! more along its way alone: a smear of n pixels makes a ramp of n pixels of every edge that it crosses. The idea is that of
//! edge widths as a measure of blur (Marziliano et al., "A no-reference perceptual blur metric", ICIP 2002), here by slopes,
//! which plates of five pixels a letter still have.

use super::{Part, percentile, real};

/// Directions in which edges are looked at, over half a turn.
pub const DIRECTIONS: usize = 12;

/// Contrast below which there is nothing to measure.
const FLAT: f32 = 12.0;

/// Fewest slopes.
const FEW: usize = 40;

/// Share of the slopes that are less steep than those that count: edges are few pixels of a plate.
const STEEP: f32 = 0.97;

/// What counts as contrast: from the darkest letters to the brightest ground, specks left out.
const ENDS: (f32, f32) = (0.04, 0.96);

/// Widths of edges, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// In directions from right (0°) clockwise over down (90°).
    widths: [f32; DIRECTIONS],
}

/// A ramp in one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smear {
    /// Its length, pixels; 0 where edges are as wide all around.
    pub pixels: f32,
    /// Its direction, degrees clockwise from right, 0..180.
    pub degrees: f32,
}

/// How much wider edges must be along a direction than across it to be smeared: letters have more upright edges than level ones.
const UNEVEN: f32 = 1.45;

impl Edges {
    /// Measures what lies inside; `None` where there is hardly any contrast or hardly a pixel.
    #[must_use]
    pub fn of(part: &Part) -> Option<Self> {
        let sorted = part.sorted();
        let contrast = percentile(&sorted, ENDS.1) - percentile(&sorted, ENDS.0);
        if contrast < FLAT {
            return None;
        }
        let slopes = slopes(part);
        if slopes.len() < FEW {
            return None;
        }
        let mut widths = [0.0; DIRECTIONS];
        let mut along = Vec::with_capacity(slopes.len());
        for (width, (x, y)) in widths.iter_mut().zip(directions()) {
            along.clear();
            along.extend(slopes.iter().map(|(gx, gy)| (gx * x + gy * y).abs()));
            let at = super::floor(real(along.len() - 1) * STEEP);
            let (_, steepest, _) = along.select_nth_unstable_by(at, f32::total_cmp);
            *width = contrast / steepest.max(0.5) * part.step;
        }
        Some(Self { widths })
    }

    /// The width of edges that are crossed in a direction (any length but 0), pixels.
    #[must_use]
    pub fn along(&self, (x, y): (f32, f32)) -> f32 {
        let turn = y.atan2(x).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI * real(DIRECTIONS);
        let at = super::floor(turn.round()) % DIRECTIONS;
        self.widths.get(at).copied().unwrap_or(0.0)
    }

    /// The width where edges are sharpest: what defocus leaves.
    #[must_use]
    pub fn sharpest(&self) -> f32 {
        self.widths.iter().copied().fold(f32::INFINITY, f32::min)
    }

    /// The smear, told from the widths alone.
    #[must_use]
    pub fn smear(&self) -> Smear {
        let widest = self.widths.iter().zip(directions()).max_by(|a, b| a.0.total_cmp(b.0));
        widest.map_or(Smear { pixels: 0.0, degrees: 0.0 }, |(_, direction)| self.smear_along(direction))
    }

    /// The smear along a direction, in which the plate is known to move.
    #[must_use]
    pub fn smear_along(&self, (x, y): (f32, f32)) -> Smear {
        let (along, across) = (self.along((x, y)), self.along((-y, x)));
        let degrees = y.atan2(x).to_degrees().rem_euclid(180.0);
        // A ramp over another: squares of widths add up as variances do.
        let pixels = if along > UNEVEN * across { (along * along - across * across).sqrt() } else { 0.0 };
        Smear { pixels, degrees }
    }
}

/// Unit vectors over half a turn.
fn directions() -> impl Iterator<Item = (f32, f32)> {
    (0..DIRECTIONS).map(|n| (real(n) * std::f32::consts::PI / real(DIRECTIONS)).sin_cos()).map(|(sin, cos)| (cos, sin))
}

/// Slopes across and down at the pixels inside, over two pixels.
fn slopes(part: &Part) -> Vec<(f32, f32)> {
    let width = part.width;
    let mut slopes = Vec::new();
    for ((above, (_, row, inside)), below) in
        part.values.chunks_exact(width).zip(part.rows().skip(1)).zip(part.values.chunks_exact(width).skip(2))
    {
        let (from, to) = (inside.start.max(1), inside.end.min(width - 1));
        for x in from..to {
            let at = |values: &[f32], x: usize| values.get(x).copied().unwrap_or(0.0);
            let across = at(row, x + 1) - at(row, x - 1);
            slopes.push((across / 2.0, (at(below, x) - at(above, x)) / 2.0));
        }
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Drawn, framed};
    use super::super::{grown, plate};
    use super::*;
    use crate::domain::{Class, Detection, Quad};

    fn edges(drawn: &Drawn) -> Edges {
        let (frame, rect) = framed(drawn, 360, 160);
        let found = Detection { class: Class::Plate, score: 0.9, rect, corners: None };
        let around = grown(&Quad::from_rect(&rect), 2.0);
        assert!(Part::around(&frame, &around).is_some());
        plate(&frame, &found).edges.unwrap()
    }

    #[test]
    fn a_sharp_plate_has_edges_of_two_pixels_at_any_size() {
        for width in [40.0, 60.0, 100.0, 180.0] {
            let edges = edges(&Drawn { width, ..Drawn::default() });
            assert!((1.5..2.8).contains(&edges.sharpest()), "{width}: {edges:?}");
            assert!(edges.smear().pixels < 2.5, "{width}: {:?}", edges.smear());
        }
    }

    #[test]
    fn defocus_widens_edges_in_all_directions_and_is_no_smear() {
        let mut last = 0.0;
        for sd in [0.0, 1.0, 2.0, 3.0] {
            let edges = edges(&Drawn { width: 120.0, defocus: sd, ..Drawn::default() });
            assert!(edges.sharpest() > last, "{sd}: {edges:?}");
            last = edges.sharpest();
            assert!(edges.smear().pixels < last, "{sd}: {:?}", edges.smear());
        }
        assert!(last > 5.0, "{last}");
    }

    #[test]
    fn a_smear_is_measured_in_pixels_along_its_way() {
        for degrees in [0.0_f32, 35.0, 90.0] {
            for pixels in [5.0, 9.0] {
                let way = (degrees.to_radians().cos(), degrees.to_radians().sin());
                let drawn = Drawn { width: 130.0, smear: (way.0 * pixels, way.1 * pixels), ..Drawn::default() };
                let edges = edges(&drawn);
                let told = edges.smear_along(way);
                assert!((0.5..1.7).contains(&(told.pixels / pixels)), "{degrees}° {pixels}: {told:?} {edges:?}");
                assert!(edges.sharpest() < 4.0, "{degrees}° {pixels}: {edges:?}");
                let off = (edges.smear().degrees - degrees + 90.0).rem_euclid(180.0) - 90.0;
                assert!(off.abs() < 32.0, "{degrees}°: {:?}", edges.smear());
            }
        }
    }

    #[test]
    fn a_flat_plate_has_no_edges_to_measure() {
        let (frame, rect) = framed(&Drawn { ground: 90.0, letters: 88.0, around: 90.0, ..Drawn::default() }, 360, 160);
        assert_eq!(plate(&frame, &Detection { class: Class::Plate, score: 0.9, rect, corners: None }).edges, None);
    }
}
