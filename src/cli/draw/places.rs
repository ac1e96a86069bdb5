//! A camera's zones and lines over its pictures: whether they lie where somebody meant them to.
//!
//! A zone is tinted and has its name inside, and an arrow where its traffic has a heading. A line has its ends A and B,
//! its name, and an arrow over its middle: forward, or the one way that is allowed. What is drawn is worked out once for
//! each size of picture, since videos are thousands of pictures of one size. Called by `watchpost read`.

use image::{Rgb, RgbImage};

use super::{DARK, LIGHT, blend, plaque_ink};
use crate::cli::strokes;
use crate::domain::{Line, Point, Polygon, Way, Zone};

/// Zones.
const VIOLET: Rgb<u8> = Rgb([176, 132, 255]);

/// Lines.
const ROSE: Rgb<u8> = Rgb([255, 112, 200]);

/// What a zone's tint covers of the picture.
const TINT: f32 = 0.12;

/// Half the angle of an arrow's head, as its sine and cosine (30°).
const HEAD: (f32, f32) = (0.5, 0.866);

type Spot = (f32, f32);

/// The zones and lines of one camera.
#[derive(Debug, Default)]
pub struct Places {
    zones: Vec<Zone>,
    lines: Vec<Line>,
    /// Size of the picture that `ink` is for.
    size: (u32, u32),
    ink: Ink,
}

/// Pixels, what colour goes over them, and how much of it.
#[derive(Debug, Default)]
struct Ink(Vec<(i32, i32, Rgb<u8>, f32)>);

impl Ink {
    fn stroke(&mut self, sides: &[(Spot, Spot)], thick: f32, colour: Rgb<u8>) {
        strokes::lines(sides, thick + 2.0, &mut |x, y, share| self.0.push((x, y, DARK, share * 0.45)));
        strokes::lines(sides, thick, &mut |x, y, share| self.0.push((x, y, colour, share)));
    }

    /// From `tail` to `head`.
    fn arrow(&mut self, tail: Spot, head: Spot, thick: f32, colour: Rgb<u8>) {
        let (x, y) = ((tail.0 - head.0) * 0.45, (tail.1 - head.1) * 0.45);
        let (sin, cos) = HEAD;
        let one = (head.0 + x * cos - y * sin, head.1 + x * sin + y * cos);
        let other = (head.0 + x * cos + y * sin, head.1 - x * sin + y * cos);
        self.stroke(&[(tail, head), (head, one), (head, other)], thick, colour);
    }

    /// A name on a dark plate whose middle is at `at`, as far as it stays in the picture.
    fn name(&mut self, text: &str, at: Spot, (height, size): (f32, Spot), colour: Rgb<u8>) {
        let pad = height * 0.35;
        let (wide, high) = (strokes::width(text, height) + 2.0 * pad, height + 2.0 * pad);
        let left = (at.0 - wide / 2.0).min(size.0 - wide).max(0.0);
        let top = (at.1 - high / 2.0).min(size.1 - high).max(0.0);
        plaque_ink((left, top), (wide, high), height * 0.3, &mut |x, y, share| {
            self.0.push((x, y, DARK, share * 0.75));
        });
        strokes::text(text, (left + pad, top + pad), height, &mut |x, y, share| self.0.push((x, y, colour, share)));
    }

    fn zone(&mut self, zone: &Zone, size: Spot, unit: f32) {
        self.tint(&zone.polygon, size);
        let sides: Vec<_> = zone.polygon.edges().map(|(a, b)| (in_picture(a, size), in_picture(b, size))).collect();
        self.stroke(&sides, thick(unit), VIOLET);
        let Some(bounds) = zone.polygon.bounds(size.0, size.1) else { return };
        let (middle, height) = (bounds.centre(), letters(unit));
        self.name(zone.name.as_str(), (middle.x, middle.y), (height, size), VIOLET);
        if let Some(heading) = zone.heading {
            let (sin, cos) = f32::from(heading).to_radians().sin_cos();
            let (near, far) = (height * 1.4, height * 4.0);
            // Beside the name, and longer than it is wide where the arrow lies along it.
            let near = near + sin.abs() * strokes::width(zone.name.as_str(), height) / 2.0;
            let tail = (middle.x + sin * near, middle.y - cos * near);
            self.arrow(tail, (tail.0 + sin * far, tail.1 - cos * far), thick(unit), VIOLET);
        }
    }

    fn tint(&mut self, polygon: &Polygon, size: Spot) {
        let Some(bounds) = polygon.bounds(size.0, size.1) else { return };
        let whole = |v: f32, most: f32| {
            #[expect(clippy::cast_possible_truncation, reason = "held to the picture's size")]
            let v = v.clamp(0.0, most) as i32;
            v
        };
        for y in whole(bounds.y1, size.1)..whole(bounds.y2.ceil(), size.1) {
            for x in whole(bounds.x1, size.0)..whole(bounds.x2.ceil(), size.0) {
                #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
                let middle = Point { x: x as f32 + 0.5, y: y as f32 + 0.5 };
                if polygon.contains(middle, size.0, size.1) {
                    self.0.push((x, y, VIOLET, TINT));
                }
            }
        }
    }

    fn line(&mut self, line: &Line, size: Spot, unit: f32) {
        let (a, b) = (in_picture(line.from, size), in_picture(line.to, size));
        let (thick, height) = (thick(unit), letters(unit));
        self.stroke(&[(a, b)], thick, ROSE);
        let along = (b.0 - a.0, b.1 - a.1);
        let length = along.0.hypot(along.1).max(1.0);
        // Forward is to the right of who walks from A to B; y is down.
        let right = (-along.1 / length, along.0 / length);
        let (way, sign) = match line.allowed {
            Some(Way::Backward) => (" backward only", -1.0),
            Some(Way::Forward) => (" forward only", 1.0),
            None => (" forward", 1.0),
        };
        let at = |share: f32, aside: f32| {
            (a.0 + along.0 * share + right.0 * aside * sign, a.1 + along.1 * share + right.1 * aside * sign)
        };
        let reach = (height * 3.0).min(length * 0.3);
        self.arrow(at(0.5, -reach * 0.4), at(0.5, reach), thick, ROSE);
        let inwards = (height * 1.1 / length).min(0.4);
        self.name("A", at(inwards, 0.0), (height, size), LIGHT);
        self.name("B", at(1.0 - inwards, 0.0), (height, size), LIGHT);
        let text = format!("{}{way}", line.name);
        self.name(&text, at(0.5, reach + height * 1.4), (height, size), ROSE);
    }
}

fn thick(unit: f32) -> f32 {
    (unit / 9.0).clamp(1.5, 5.0)
}

fn letters(unit: f32) -> f32 {
    (unit * 0.6).clamp(8.0, 28.0)
}

/// Shares of the picture as pixels.
fn in_picture([x, y]: [f64; 2], (wide, high): Spot) -> Spot {
    #[expect(clippy::cast_possible_truncation, reason = "a share of a picture")]
    let (x, y) = (x as f32, y as f32);
    (x * wide, y * high)
}

impl Places {
    /// Those of a camera.
    #[must_use]
    pub fn new(zones: Vec<Zone>, lines: Vec<Line>) -> Self {
        Self { zones, lines, ..Self::default() }
    }

    /// Draws them into `picture`.
    pub fn over(&mut self, picture: &mut RgbImage) {
        if self.size != picture.dimensions() {
            self.size = picture.dimensions();
            self.work_out(super::unit(picture));
        }
        for (x, y, colour, share) in &self.ink.0 {
            blend(picture, *x, *y, *colour, *share);
        }
    }

    fn work_out(&mut self, unit: f32) {
        #[expect(clippy::cast_precision_loss, reason = "sides of a picture")]
        let size = (self.size.0 as f32, self.size.1 as f32);
        self.ink = Ink::default();
        for zone in &self.zones {
            self.ink.zone(zone, size, unit);
        }
        for line in &self.lines {
            self.ink.line(line, size, unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::PlaceId;

    fn line(from: [f64; 2], to: [f64; 2], allowed: Option<Way>) -> Line {
        Line { name: PlaceId::new("exit").unwrap(), from, to, allowed }
    }

    /// How much was drawn above and below the middle of a picture.
    fn halves(places: &mut Places) -> (usize, usize) {
        let mut picture = RgbImage::new(320, 180);
        places.over(&mut picture);
        let drawn = |from: u32, to: u32| {
            (from..to)
                .flat_map(|y| (0..320).map(move |x| (x, y)))
                .filter(|(x, y)| picture.get_pixel(*x, *y).0 != [0; 3])
                .count()
        };
        (drawn(0, 80), drawn(100, 180))
    }

    #[test]
    fn a_lines_arrow_points_the_way_that_counts_as_forward_or_is_allowed() {
        let (left, right) = ([0.1, 0.5], [0.9, 0.5]);
        for (from, to, allowed, down) in [
            (left, right, None, true),
            (left, right, Some(Way::Forward), true),
            (left, right, Some(Way::Backward), false),
            (right, left, None, false),
        ] {
            let (above, below) = halves(&mut Places::new(Vec::new(), vec![line(from, to, allowed)]));
            assert_eq!(below > above, down, "{from:?} {allowed:?}: {above} above, {below} below");
        }
    }

    #[test]
    fn a_zone_is_tinted_inside_and_nothing_is_drawn_far_from_it_in_any_size_of_picture() {
        let polygon = Polygon::new(vec![[0.5, 0.1], [0.95, 0.1], [0.95, 0.9], [0.5, 0.9]]);
        let zone =
            Zone { name: PlaceId::new("yard").unwrap(), polygon, heading: Some(180), inertia: (1, Duration::ZERO) };
        let mut places = Places::new(vec![zone], Vec::new());
        for (wide, high) in [(320, 180), (1280, 720), (160, 90)] {
            let plain = RgbImage::from_pixel(wide, high, Rgb([90; 3]));
            let mut picture = plain.clone();
            places.over(&mut picture);
            let at = |x: u32, y: u32| picture.get_pixel(wide * x / 100, high * y / 100).0;
            assert_ne!(at(60, 20), [90; 3], "{wide}×{high}");
            assert_eq!(at(20, 50), [90; 3], "{wide}×{high}");
        }
    }
}
