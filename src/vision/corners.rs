//! Moves a found plate's corners to where they are.
//!
//! A detector sees the whole frame in a small picture: a plate of sixty pixels is thirty wide there, and its corners are off by
//! as much as a tenth of it. A reader whose crop cuts a character off is wrong, and often sure. This model (family `corners`) is
//! shown each plate with its surroundings out of the full-size frame, as the detector's corners rectify it, and tells the
//! four corners within that picture. What folds or runs away is not believed: then the detector's stay.
//! Called by [`super::plate`]; waits only for a free session.

use super::Error;
use super::crop;
use super::model::{Family, Manifest, Net, Runtime, Spec, View};
use super::rectify::{sides, square_to_quad, widened};
use crate::domain::{Frame, Point, Quad};

/// Values a plate: x and y of top left, top right, bottom right, bottom left.
const VALUES: usize = 8;

/// A corrected plate whose sides are shorter or longer than the found one's by more is not believed.
const BELIEVED: std::ops::RangeInclusive<f32> = 0.4..=2.5;

/// A model that corrects corners.
#[derive(Debug)]
pub struct Corners {
    net: Net,
}

impl Corners {
    /// Loads the model of `manifest` with `workers` sessions.
    ///
    /// # Errors
    /// [`Error::WrongFamily`] for a detector or a reader, and what [`Net::load`] says.
    pub fn load(runtime: &Runtime, manifest: Manifest, workers: usize) -> Result<Self, Error> {
        if manifest.family != Family::Corners {
            let family = manifest.family.as_str();
            return Err(Error::WrongFamily { model: manifest.name, family, role: "corners" });
        }
        let wanted = Spec::new(manifest.output.corners.as_deref(), "corners", &[Spec::PICTURES, 8]);
        Ok(Self { net: Net::load(runtime, manifest, vec![wanted], workers)? })
    }

    /// The model behind it.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The plates' corners, corrected, in pixels of the frame; those that can't be are as they were.
    ///
    /// # Errors
    /// [`Error::Rectify`], and what [`Net::run`] says.
    pub fn correct(&self, frame: &Frame, found: &[Quad]) -> Result<Vec<Quad>, Error> {
        let manifest = self.net.manifest();
        let mut corrected = found.to_vec();
        let mut shown = Vec::with_capacity(found.len());
        for slot in &mut corrected {
            let around = widened(slot, manifest.margin);
            if let Some(values) = crop::of_plate(frame, &around, &manifest.input)? {
                shown.push((slot, around, values));
            }
        }
        for plates in shown.chunks_mut(self.net.batch().max(1)) {
            let values: Vec<f32> = plates.iter().flat_map(|(_, _, values)| values.iter().copied()).collect();
            let told = self.net.run(plates.len(), &values, |outputs| {
                outputs.first().map(|view: &View<'_>| view.data.to_vec()).unwrap_or_default()
            })?;
            for ((slot, around, _), told) in plates.iter_mut().zip(told.chunks_exact(VALUES)) {
                let quad = within(around, told);
                if is_believed(slot, &quad) {
                    **slot = quad;
                }
            }
        }
        Ok(corrected)
    }
}

/// Corners told from -1 to 1 across `around`, in its pixels.
fn within(around: &Quad, told: &[f32]) -> Quad {
    let [a, b, c, d, e, f, g, h] = square_to_quad(around);
    let mut quad = *around;
    for (point, pair) in quad.points.iter_mut().zip(told.chunks_exact(2)) {
        let &[x, y] = pair else { continue };
        let (u, v) = (f32::midpoint(x, 1.0), f32::midpoint(y, 1.0));
        let w = g * u + h * v + 1.0;
        *point = Point { x: (a * u + b * v + c) / w, y: (d * u + e * v + f) / w };
    }
    quad
}

/// Whether the corrected corners may be of the plate that was found.
fn is_believed(found: &Quad, quad: &Quad) -> bool {
    let finite = quad.points.iter().all(|p| p.x.is_finite() && p.y.is_finite());
    let ((across, down), (was_across, was_down)) = (sides(quad), sides(found));
    finite
        && quad.is_convex()
        && BELIEVED.contains(&(across / was_across.max(1.0)))
        && BELIEVED.contains(&(down / was_down.max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rect;

    #[test]
    fn told_corners_lie_in_the_shown_part_as_its_own_corners_do() {
        let around =
            Quad { points: [(12.0, 5.0), (48.0, 11.0), (45.0, 30.0), (10.0, 22.0)].map(|(x, y)| Point { x, y }) };
        let same = within(&around, &[-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0]);
        for (got, want) in same.points.iter().zip(around.points) {
            assert!((got.x - want.x).hypot(got.y - want.y) < 1e-3);
        }
        let upright = Quad::from_rect(&Rect::new(10.0, 20.0, 110.0, 70.0));
        let inner = within(&upright, &[-0.5, -0.5, 0.5, -0.5, 0.5, 0.5, -0.5, 0.5]);
        for (got, want) in inner.points.iter().zip(Quad::from_rect(&Rect::new(35.0, 32.5, 85.0, 57.5)).points) {
            assert!((got.x - want.x).hypot(got.y - want.y) < 1e-3);
        }
    }

    #[test]
    fn what_folds_runs_away_or_is_no_number_is_not_believed() {
        let found = Quad::from_rect(&Rect::new(10.0, 20.0, 110.0, 70.0));
        let with = |points: [(f32, f32); 4]| Quad { points: points.map(|(x, y)| Point { x, y }) };
        assert!(is_believed(&found, &with([(14.0, 22.0), (105.0, 25.0), (104.0, 66.0), (12.0, 64.0)])));
        assert!(!is_believed(&found, &with([(14.0, 22.0), (105.0, 25.0), (12.0, 64.0), (104.0, 66.0)])));
        assert!(!is_believed(&found, &with([(14.0, 22.0), (30.0, 22.0), (30.0, 66.0), (14.0, 66.0)])));
        assert!(!is_believed(&found, &with([(f32::NAN, 22.0), (105.0, 25.0), (104.0, 66.0), (12.0, 64.0)])));
    }
}
