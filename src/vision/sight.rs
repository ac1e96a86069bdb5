//! What of a camera's picture may be seen and where plates are looked for in it: masks, region of interest, gate.
//!
//! The first thing that a frame meets in the analyser, on its thread. What it lets through is a [`Seen`]; what the masks
//! hide is gone for everything after it.

use super::Error;
use super::area::Area;
use super::gate::Gate;
use super::mask::{Mask, Seen};
use crate::domain::{Class, Detection, Frame, Polygon, Rect};

/// How one camera is looked through.
#[derive(Debug, Default)]
pub struct Sight {
    mask: Mask,
    roi: Vec<Polygon>,
    gate: Option<Gate>,
}

/// What is looked at around a region of interest, a share of the picture's width: a plate whose middle lies at the
/// region's edge is shown to the detector as a whole.
const MARGIN: f32 = 1.0 / 32.0;

impl Sight {
    /// Hides what `mask` touches; looks for plates in `roi`, everywhere if that is empty; rests on a still scene if
    /// `motion_gate` says so.
    #[must_use]
    pub fn new(mask: Vec<Polygon>, roi: Vec<Polygon>, motion_gate: bool) -> Self {
        Self { mask: Mask::new(mask), roi, gate: motion_gate.then(Gate::default) }
    }

    /// What is hidden.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Another scene: what was learnt of the one before counts no more.
    pub fn begin(&mut self) {
        if let Some(gate) = &mut self.gate {
            *gate = Gate::default();
        }
    }

    /// The frame as it may be seen; `None` when the scene is still and there is nothing to see. `restless`: what is under
    /// way wants to be seen on.
    ///
    /// # Errors
    /// What [`Mask::apply`] says, and [`Error::ShortFrame`].
    pub fn look<'a>(&mut self, frame: &'a Frame, restless: bool) -> Result<Option<Seen<'a>>, Error> {
        if let Some(gate) = &mut self.gate {
            let (width, height) = (frame.format.width, frame.format.height);
            let masks = self.mask.spans(width, height);
            let awake = gate.is_awake(frame, &masks, &self.roi, restless);
            if !awake.ok_or(Error::ShortFrame { index: frame.index, width, height })? {
                return Ok(None);
            }
        }
        self.mask.apply(frame).map(Some)
    }

    /// Whether the motion gate has seen nothing move for a while; never without one.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.gate.as_ref().is_some_and(Gate::is_calm)
    }

    /// What differs from the background in the last frame, pixels; `None` without a gate.
    pub fn moved(&self) -> Option<impl Iterator<Item = Rect> + '_> {
        self.gate.as_ref().map(Gate::lit)
    }

    /// Says what was found in the frame: what moves there was worth looking at.
    pub fn found<'a>(&mut self, found: impl IntoIterator<Item = &'a Detection>) {
        if let Some(gate) = &mut self.gate {
            gate.found(found);
        }
    }

    /// Where to look for plates: the smallest area around all of the region of interest, and a little more.
    #[must_use]
    pub fn area(&self, frame: &Seen<'_>) -> Area {
        let (width, height) = frame.size();
        let bounds = self.roi.iter().filter_map(|p| p.bounds(width, height));
        let Some(all) = bounds.reduce(|a, b| a.joined(&b)) else { return Area::whole(frame) };
        Area::around(&all.grown(MARGIN * width), frame).unwrap_or_else(|| Area::whole(frame))
    }

    /// Drops what was found outside the region of interest: what counts is its middle. Drops plates that reach under a
    /// privacy mask, too: of those a part would be read as a plate of its own.
    pub fn keep_inside(&self, found: &mut Vec<Detection>, frame: &Seen<'_>) {
        if let Some(hidden) = frame.hidden() {
            found.retain(|d| d.class != Class::Plate || !hidden.meets_rect(&d.rect));
        }
        let (width, height) = frame.size();
        if !self.roi.is_empty() {
            found.retain(|d| self.roi.iter().any(|p| p.contains(d.rect.centre(), width, height)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::TimeMs;
    use crate::domain::frame::OwnedI420;

    fn square(x1: f64, y1: f64, x2: f64, y2: f64) -> Polygon {
        Polygon::new(vec![[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    }

    #[test]
    fn two_regions_are_one_area_and_what_lies_between_them_is_dropped() {
        let (format, pixels) = OwnedI420::from_rgb(&[], 640, 360);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let mut sight = Sight::new(vec![], vec![square(0.25, 0.5, 0.5, 0.75), square(0.75, 0.5, 1.0, 1.0)], false);
        let seen = sight.look(&frame, false).unwrap().unwrap();
        let area = sight.area(&seen);
        assert_eq!((area.origin(), area.size()), ((140, 160), (500, 200)));
        let at = |x: f32, y: f32| Detection {
            class: Class::Plate,
            score: 0.9,
            rect: Rect::new(x - 40.0, y - 10.0, x + 40.0, y + 10.0),
            corners: None,
        };
        let mut found = vec![at(170.0, 200.0), at(400.0, 200.0), at(560.0, 300.0), at(200.0, 330.0), at(10.0, 10.0)];
        sight.keep_inside(&mut found, &seen);
        assert_eq!(found, [at(170.0, 200.0), at(560.0, 300.0)]);
    }

    #[test]
    fn without_a_region_the_whole_picture_is_looked_at_and_nothing_is_dropped() {
        let (format, pixels) = OwnedI420::from_rgb(&[], 64, 36);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let mut sight = Sight::default();
        let seen = sight.look(&frame, false).unwrap().unwrap();
        assert_eq!(sight.area(&seen), Area::whole(&frame));
        let rect = Rect::new(1.0, 1.0, 9.0, 4.0);
        let mut found = vec![Detection { class: Class::Plate, score: 0.9, rect, corners: None }];
        sight.keep_inside(&mut found, &seen);
        assert_eq!(found.len(), 1);
    }
}
