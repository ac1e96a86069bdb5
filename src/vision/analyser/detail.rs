//! Plates of a small picture found again in the large one of the same moment.
//!
//! Where a camera has a substream, plates are found and tracked in its small frames; what there is to read lies in the
//! main stream's frame. The two are not of exactly one moment and a small box is coarse, so each plate is looked for
//! again by the detector in the large frame, around its place there: corners of the large frame are what a reader needs.

use super::FindPlates;
use crate::domain::{Class, Detection, Point, Quad, Rect};
use crate::vision::Error;
use crate::vision::area::Area;
use crate::vision::mask::Seen;

/// How far around a plate it is looked for, in widths of the plate: what a fast vehicle covers between two frames.
const AROUND: f32 = 3.0;

/// It is looked for in an area no smaller than this, pixels across: a model shown less than its input gains nothing.
const LEAST: f32 = 320.0;

/// Width to height of the area: the shape of most models' inputs.
const SHAPE: f32 = 0.6;

/// Pixels of a picture of the second size a pixel of one of the first, across and down.
pub(super) fn scale((fw, fh): (f32, f32), (dw, dh): (f32, f32)) -> (f32, f32) {
    (dw / fw.max(1.0), dh / fh.max(1.0))
}

/// The detection in pixels of another picture of the same view.
pub(super) fn scaled(found: &Detection, (x, y): (f32, f32)) -> Detection {
    let r = found.rect;
    let corners = found.corners.map(|q| Quad { points: q.points.map(|p| Point { x: p.x * x, y: p.y * y }) });
    Detection { rect: Rect::new(r.x1 * x, r.y1 * y, r.x2 * x, r.y2 * y), corners, ..found.clone() }
}

/// The plates (in pixels of `detail` already) as they are found there; one that is not found stays where it was told.
///
/// # Errors
/// What the model says.
pub(super) fn found_again(
    finder: &dyn FindPlates,
    detail: &Seen<'_>,
    plates: &[Detection],
) -> Result<Vec<Detection>, Error> {
    plates.iter().map(|plate| Ok(find_one(finder, detail, plate)?.unwrap_or_else(|| plate.clone()))).collect()
}

fn find_one(finder: &dyn FindPlates, detail: &Seen<'_>, plate: &Detection) -> Result<Option<Detection>, Error> {
    let centre = plate.rect.centre();
    let half = (plate.rect.width() * (0.5 + AROUND)).max(LEAST / 2.0);
    let around = Rect::new(centre.x - half, centre.y - half * SHAPE, centre.x + half, centre.y + half * SHAPE);
    let Some(area) = Area::around(&around, detail) else { return Ok(None) };
    let found = finder.find(detail, area)?;
    let like = |d: &Detection| {
        let ratio = d.rect.width() / plate.rect.width().max(1.0);
        d.class == Class::Plate && (0.5..2.0).contains(&ratio)
    };
    let away = |d: &Detection| (d.rect.centre().x - centre.x).hypot(d.rect.centre().y - centre.y);
    Ok(found.into_iter().filter(like).min_by(|a, b| away(a).total_cmp(&away(b))))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{Frame, TimeMs};

    /// Finds what it is told, notes where it was asked.
    struct Told(Vec<Detection>, Mutex<Vec<Rect>>);

    impl FindPlates for Told {
        fn find(&self, _: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
            self.1.lock().unwrap().push(area.rect());
            Ok(self.0.clone())
        }
    }

    fn plate(x: f32, y: f32, width: f32) -> Detection {
        let rect = Rect::new(x, y, x + width, y + width / 4.0);
        Detection { class: Class::Plate, score: 0.9, rect, corners: Some(Quad::from_rect(&rect)) }
    }

    fn frame(width: u32, height: u32) -> Frame {
        let (format, pixels) = OwnedI420::from_rgb(&[], width, height);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    #[test]
    fn the_nearest_plate_of_its_size_is_taken_and_looked_for_around_its_place_only() {
        let (small, large) = (frame(320, 180), frame(1280, 720));
        let told = scaled(&plate(100.0, 90.0, 20.0), scale(small.size(), large.size()));
        assert_eq!(told, plate(400.0, 360.0, 80.0));
        let near = plate(430.0, 366.0, 76.0);
        let finder = Told(vec![plate(500.0, 360.0, 80.0), plate(401.0, 360.0, 20.0), near.clone()], Mutex::default());
        let got = found_again(&finder, &Seen::unmasked(&large), std::slice::from_ref(&told)).unwrap();
        assert_eq!(got, [near]);
        let asked = finder.1.lock().unwrap()[0];
        assert!(asked.width() < 600.0 && asked.contains(told.rect.centre()), "{asked:?}");

        let nothing = Told(vec![], Mutex::default());
        assert_eq!(found_again(&nothing, &Seen::unmasked(&large), std::slice::from_ref(&told)).unwrap(), [told]);
    }
}
