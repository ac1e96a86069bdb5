//! Points, boxes and quadrilaterals, in pixels of the full-size frame unless a name says relative.

/// A point: x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// An axis-aligned box: `x1 <= x2`, `y1 <= y2`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

impl Rect {
    /// A box by its edges.
    #[must_use]
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// Width, never negative.
    #[must_use]
    pub fn width(&self) -> f32 {
        (self.x2 - self.x1).max(0.0)
    }

    /// Height, never negative.
    #[must_use]
    pub fn height(&self) -> f32 {
        (self.y2 - self.y1).max(0.0)
    }

    /// Area.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Middle.
    #[must_use]
    pub fn centre(&self) -> Point {
        Point { x: self.x1.midpoint(self.x2), y: self.y1.midpoint(self.y2) }
    }

    /// Intersection over union, 0..1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let wide = self.x2.min(other.x2) - self.x1.max(other.x1);
        let high = self.y2.min(other.y2) - self.y1.max(other.y1);
        if wide <= 0.0 || high <= 0.0 {
            return 0.0;
        }
        let both = wide * high;
        both / (self.area() + other.area() - both)
    }

    /// Whether all of it lies inside `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.x1 >= other.x1 && self.y1 >= other.y1 && self.x2 <= other.x2 && self.y2 <= other.y2
    }

    /// Whether `point` lies inside or on the edge.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        (self.x1..=self.x2).contains(&point.x) && (self.y1..=self.y2).contains(&point.y)
    }

    /// The part inside a picture of `width` × `height` pixels.
    #[must_use]
    pub fn clamped(&self, width: f32, height: f32) -> Self {
        Self {
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
            x2: self.x2.clamp(0.0, width),
            y2: self.y2.clamp(0.0, height),
        }
    }

    /// The part inside `other`; without an area where they do not meet.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        Self {
            x1: self.x1.max(other.x1).min(other.x2),
            y1: self.y1.max(other.y1).min(other.y2),
            x2: self.x2.min(other.x2).max(other.x1),
            y2: self.y2.min(other.y2).max(other.y1),
        }
    }

    /// The smallest box around both.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        Self {
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
            x2: self.x2.max(other.x2),
            y2: self.y2.max(other.y2),
        }
    }

    /// `by` pixels more on every side.
    #[must_use]
    pub fn grown(&self, by: f32) -> Self {
        Self { x1: self.x1 - by, y1: self.y1 - by, x2: self.x2 + by, y2: self.y2 + by }
    }

    /// Edges as shares of the picture, 0..1: left, top, right, bottom.
    #[must_use]
    pub fn relative(&self, width: f32, height: f32) -> [f32; 4] {
        let inside = self.clamped(width, height);
        [inside.x1 / width, inside.y1 / height, inside.x2 / width, inside.y2 / height]
    }
}

/// Four corners of a plate as a reader of its text would name them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quad {
    /// Top left, top right, bottom right, bottom left.
    pub points: [Point; 4],
}

impl Quad {
    /// The corners of a box.
    #[must_use]
    pub fn from_rect(r: &Rect) -> Self {
        let p = |x, y| Point { x, y };
        Self { points: [p(r.x1, r.y1), p(r.x2, r.y1), p(r.x2, r.y2), p(r.x1, r.y2)] }
    }

    /// The smallest box around it.
    #[must_use]
    pub fn bounds(&self) -> Rect {
        let mut r = Rect::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN);
        for p in &self.points {
            r = Rect::new(r.x1.min(p.x), r.y1.min(p.y), r.x2.max(p.x), r.y2.max(p.y));
        }
        r
    }

    /// Convex, turning clockwise on the screen, and of an area above zero: fit to be rectified.
    #[must_use]
    pub fn is_convex(&self) -> bool {
        let [a, b, c, d] = self.points;
        let turn = |p: Point, q: Point, r: Point| (q.x - p.x) * (r.y - q.y) - (q.y - p.y) * (r.x - q.x);
        [turn(a, b, c), turn(b, c, d), turn(c, d, a), turn(d, a, b)].iter().all(|t| *t > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_is_one_for_itself_and_zero_for_apart() {
        let a = Rect::new(0.0, 0.0, 10.0, 10.0);
        assert!((a.iou(&a) - 1.0).abs() < 1e-6);
        assert!(a.iou(&Rect::new(20.0, 0.0, 30.0, 10.0)).abs() < 1e-6);
        assert!((a.iou(&Rect::new(5.0, 0.0, 15.0, 10.0)) - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_folded_quad_is_not_convex() {
        let mut q = Quad::from_rect(&Rect::new(0.0, 0.0, 4.0, 2.0));
        assert!(q.is_convex());
        q.points.swap(2, 3);
        assert!(!q.is_convex());
    }
}
