//! Polygons in a picture: regions of interest and privacy masks, in shares of the picture's width and height.
//!
//! Shares hold for every size that a camera's streams have. What lies inside is what the edges wind around (the
//! non-zero rule): a polygon that crosses itself, which the config refuses, still encloses all that it goes around.

use super::geometry::{Point, Rect};

/// A polygon of shares 0–1, x to the right and y down; it closes itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Polygon {
    points: Vec<[f64; 2]>,
}

impl Polygon {
    /// A polygon of these points.
    #[must_use]
    pub fn new(points: Vec<[f64; 2]>) -> Self {
        Self { points }
    }

    /// Its points.
    #[must_use]
    pub fn points(&self) -> &[[f64; 2]] {
        &self.points
    }

    /// Its edges, the closing one last.
    pub fn edges(&self) -> impl Iterator<Item = ([f64; 2], [f64; 2])> {
        self.points.iter().copied().zip(self.points.iter().copied().cycle().skip(1))
    }

    /// The smallest box around it in a picture of `width` × `height` pixels; `None` without points.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "places in a picture")]
    pub fn bounds(&self, width: f32, height: f32) -> Option<Rect> {
        let mut points = self.points.iter().map(|[x, y]| (*x as f32 * width, *y as f32 * height));
        let (x, y) = points.next()?;
        Some(
            points
                .fold(Rect::new(x, y, x, y), |r, (x, y)| Rect::new(r.x1.min(x), r.y1.min(y), r.x2.max(x), r.y2.max(y))),
        )
    }

    /// Whether `point`, pixels of a picture of `width` × `height`, lies inside.
    #[must_use]
    pub fn contains(&self, point: Point, width: f32, height: f32) -> bool {
        let (x, y) = (f64::from(point.x / width.max(1.0)), f64::from(point.y / height.max(1.0)));
        let mut winding = 0;
        for ([x1, y1], [x2, y2]) in self.edges() {
            // Half open: a point at the height of a corner meets one of its two edges.
            if (y1 <= y) != (y2 <= y) && x < x1 + (y - y1) / (y2 - y1) * (x2 - x1) {
                winding += if y1 < y2 { 1 } else { -1 };
            }
        }
        winding != 0
    }

    /// Whether two edges that are no neighbours cross or touch.
    #[must_use]
    pub fn crosses_itself(&self) -> bool {
        let edges: Vec<_> = self.edges().collect();
        let last = edges.len().saturating_sub(1);
        edges.iter().enumerate().any(|(i, a)| {
            let others = edges.iter().enumerate().skip(i + 2);
            others.filter(|(j, _)| i != 0 || *j != last).any(|(_, b)| meet(*a, *b))
        })
    }
}

type Edge = ([f64; 2], [f64; 2]);

/// Whether two edges have a point in common.
fn meet((a, b): Edge, (c, d): Edge) -> bool {
    let side = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| {
        let turn = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
        i8::from(turn > 1e-12) - i8::from(turn < -1e-12)
    };
    let between = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| {
        (p[0].min(q[0])..=p[0].max(q[0])).contains(&r[0]) && (p[1].min(q[1])..=p[1].max(q[1])).contains(&r[1])
    };
    let (s1, s2, s3, s4) = (side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b));
    let on = (s1 == 0 && between(a, b, c))
        || (s2 == 0 && between(a, b, d))
        || (s3 == 0 && between(c, d, a))
        || (s4 == 0 && between(c, d, b));
    on || (s1 * s2 < 0 && s3 * s4 < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(points: &[[f64; 2]]) -> Polygon {
        Polygon::new(points.to_vec())
    }

    #[test]
    fn inside_is_what_the_edges_go_around() {
        let l = polygon(&[[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]]);
        for (x, y, inside) in [(10.0, 10.0, true), (90.0, 40.0, true), (20.0, 45.0, true), (90.0, 60.0, false)] {
            assert_eq!(l.contains(Point { x, y }, 100.0, 100.0), inside, "{x} {y}");
        }
        assert_eq!(l.bounds(200.0, 100.0), Some(Rect::new(0.0, 0.0, 200.0, 100.0)));
        // The heart of a star is gone around twice.
        let star = polygon(&[[0.5, 0.0], [0.8, 1.0], [0.0, 0.4], [1.0, 0.4], [0.2, 1.0]]);
        assert!(star.contains(Point { x: 50.0, y: 55.0 }, 100.0, 100.0));
        assert!(!Polygon::default().contains(Point { x: 0.0, y: 0.0 }, 10.0, 10.0));
    }

    #[test]
    fn crossing_edges_are_found_and_neighbours_do_not_count() {
        assert!(polygon(&[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).crosses_itself());
        assert!(polygon(&[[0.5, 0.0], [0.8, 1.0], [0.0, 0.4], [1.0, 0.4], [0.2, 1.0]]).crosses_itself());
        assert!(!polygon(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]).crosses_itself());
        assert!(!polygon(&[[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]]).crosses_itself());
        assert!(polygon(&[[0.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.5, 1.0]]).crosses_itself(), "goes back on itself");
    }
}
