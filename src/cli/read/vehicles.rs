//! Vehicles and persons of single pictures and frames: no tracks and no votes, what the model says of this one.

use super::{Reading, Stage};
use crate::cli::draw::Thing;
use crate::domain::{Class, Detection, Frame, Vehicle};
use crate::vision::model::Vehicles;
use crate::vision::{self, tie};

impl Reading<'_> {
    /// Those of `frame`, the surest first; `passed` is what the plates' model told beside plates.
    pub(super) fn vehicles(&mut self, frame: &Frame, passed: Vec<Detection>) -> Result<Vec<Detection>, vision::Error> {
        let mut found = match &self.models.vehicles {
            Vehicles::Off => return Ok(Vec::new()),
            Vehicles::SamePass => passed,
            Vehicles::Own(detector) => self.timing.of(Stage::Vehicles, || detector.detect(frame))?,
        };
        found.retain(|d| d.class != Class::Plate);
        tie::one_of_each(&mut found);
        Ok(found)
    }
}

/// As it is drawn.
pub(super) fn thing(found: &Detection) -> Thing {
    Thing { rect: found.rect, class: found.class, confidence: found.score }
}

/// The vehicle of a sighting as it is drawn into a frame of `width` × `height` pixels.
pub(super) fn carrier(vehicle: &Vehicle, (width, height): (f32, f32)) -> Thing {
    let [x1, y1, x2, y2] = vehicle.rect;
    let rect = crate::domain::Rect::new(x1 * width, y1 * height, x2 * width, y2 * height);
    Thing { rect, class: vehicle.class, confidence: vehicle.confidence }
}
