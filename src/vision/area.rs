//! A rectangle of a frame in whole pixels, as far as chroma has them: what a detector is shown instead of the whole.
//!
//! Left and top are even, so that a cut through the planes begins at a chroma sample in every format that is decoded
//! here; right and bottom are even or the frame's own edge. Nothing is copied for an area. Made by whoever knows where to
//! look: the analyser for a region of interest, and for the place in the main stream that the substream told.

use crate::domain::{Frame, Point, Rect};

/// A part of a frame, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Area {
    /// All of `frame`.
    #[must_use]
    pub fn whole(frame: &Frame) -> Self {
        Self { x: 0, y: 0, width: frame.format.width, height: frame.format.height }
    }

    /// The smallest area that covers `rect` (pixels of `frame`) as far as it lies inside the frame; `None` where it lies
    /// outside, is empty, or is no rectangle of finite numbers.
    #[must_use]
    pub fn around(rect: &Rect, frame: &Frame) -> Option<Self> {
        let (width, height) = (frame.format.width, frame.format.height);
        let (x1, x2) = side(rect.x1, rect.x2, width)?;
        let (y1, y2) = side(rect.y1, rect.y2, height)?;
        Some(Self { x: x1, y: y1, width: x2 - x1, height: y2 - y1 })
    }

    /// Its place, pixels from the left and from the top: even numbers.
    #[must_use]
    pub fn origin(&self) -> (u32, u32) {
        (self.x, self.y)
    }

    /// Pixels across and down.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Its edges.
    #[must_use]
    pub fn rect(&self) -> Rect {
        let far = |at: u32, size: u32| at.saturating_add(size) as f32;
        Rect::new(self.x as f32, self.y as f32, far(self.x, self.width), far(self.y, self.height))
    }

    /// A point of the area, counted from its own corner, as a point of the frame.
    #[must_use]
    pub fn to_frame(&self, p: Point) -> Point {
        Point { x: p.x + self.x as f32, y: p.y + self.y as f32 }
    }

    /// The part of it that `frame` has: an area made for another frame may reach over the edge of this one.
    #[must_use]
    pub fn within(&self, frame: &Frame) -> Option<Self> {
        Self::around(&self.rect(), frame)
    }
}

/// The whole even pixels from `from` to `to` on a side of `length` pixels.
fn side(from: f32, to: f32, length: u32) -> Option<(u32, u32)> {
    if !from.is_finite() || !to.is_finite() {
        return None;
    }
    let (from, to) = (from.max(0.0), to.min(length as f32));
    if from >= to {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the side of a frame")]
    let (first, end) = (from.floor() as u32 & !1, to.ceil() as u32);
    Some((first, end.next_multiple_of(2).min(length)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::TimeMs;
    use crate::domain::frame::OwnedI420;

    fn frame(width: u32, height: u32) -> Frame {
        let (format, pixels) = OwnedI420::from_rgb(&[], width, height);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    #[test]
    fn what_lies_outside_or_is_no_rectangle_has_no_area() {
        let frame = frame(33, 17);
        for (x1, y1, x2, y2) in
            [(40.0, 0.0, 50.0, 9.0), (-9.0, -9.0, 0.0, 5.0), (5.0, 5.0, 5.0, 9.0), (f32::NAN, 0.0, 9.0, 9.0)]
        {
            assert_eq!(Area::around(&Rect::new(x1, y1, x2, y2), &frame), None, "{x1} {y1} {x2} {y2}");
        }
        assert_eq!(Area::around(&Rect::new(-9.0, -9.0, 99.0, 99.0), &frame), Some(Area::whole(&frame)));
        let area = Area::around(&Rect::new(3.2, 4.9, 7.1, 8.0), &frame).unwrap();
        assert_eq!((area.origin(), area.size()), ((2, 4), (6, 4)));
    }

    proptest! {
        #[test]
        fn an_area_covers_its_rectangle_begins_at_a_chroma_sample_and_stays_inside(
            w in 1_u32..70, h in 1_u32..70, x in -20.0_f32..80.0, y in -20.0_f32..80.0, dx in 0.1_f32..60.0, dy in 0.1_f32..60.0,
        ) {
            let frame = frame(w, h);
            let rect = Rect::new(x, y, x + dx, y + dy);
            let inside = rect.clamped(w as f32, h as f32);
            if let Some(area) = Area::around(&rect, &frame) {
                let (a, (ax, ay)) = (area.rect(), area.origin());
                prop_assert!(ax % 2 == 0 && ay % 2 == 0 && a.x2 <= w as f32 && a.y2 <= h as f32);
                prop_assert!(a.x1 <= inside.x1 && a.y1 <= inside.y1 && a.x2 >= inside.x2 && a.y2 >= inside.y2);
                prop_assert!(a.x1 > inside.x1 - 2.0 && a.x2 < inside.x2 + 2.0);
                prop_assert_eq!(area.within(&frame), Some(area));
            } else {
                prop_assert!(inside.width() <= 0.0 || inside.height() <= 0.0);
            }
        }
    }
}
