//! Decodes maps of text (DB, arXiv:1911.08947): what hangs together above a level is one line of text.
//!
//! `[1, 1, rows, columns]` of probabilities, as PP-OCR's detectors give them; the map may be smaller than the input. A
//! region becomes an upright rectangle along its own main axis, its four edges moved outwards by
//! `area × unclip / perimeter`, since the network is trained on shrunk regions. Its score is the mean of its cells. Text that
//! runs steeper than 45 degrees is given by its box alone. Contours and polygons are left out on purpose: a plate is a
//! rectangle.

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_f32};
use crate::domain::{Class, Detection, Point, Quad};

/// Regions narrower than this, in cells, are noise.
const MIN_SIDE: f32 = 3.0;

/// A main axis counts when the region's variance along it is that many times the one across.
const MIN_ELONGATION: f64 = 2.0;

/// The output; its cells are left free.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    vec![Spec::new(manifest.output.map.as_deref(), "map", &[1, 1, -1, -1])]
}

/// Detections of the first class in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [map] = outputs else { return offers.done() };
    let [_, _, rows, columns] = *map.shape else { return offers.done() };
    let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else { return offers.done() };
    if rows == 0 || columns == 0 {
        return offers.done();
    }
    let (width, height) = manifest.input_size();
    let scale = (as_f32(width) / as_f32(columns), as_f32(height) / as_f32(rows));
    let mut regions =
        Regions { map: map.data, columns, level: manifest.decode.level(), seen: vec![false; map.data.len()] };
    let mut cells = Vec::new();
    for start in 0..map.data.len() {
        let Some(sum) = regions.grow(start, &mut cells) else { continue };
        if let Some((quad, slanted)) = outline(&cells, columns, manifest.decode.unclip()) {
            let quad = Quad { points: quad.points.map(|p| Point { x: p.x * scale.0, y: p.y * scale.1 }) };
            offers.take_with(0, sum / as_f32(cells.len()), quad.bounds(), slanted.then_some(quad));
        }
    }
    offers.done()
}

/// Cells that hang together by their sides.
struct Regions<'a> {
    map: &'a [f32],
    columns: usize,
    level: f32,
    seen: Vec<bool>,
}

impl Regions<'_> {
    /// Gathers the region of `start` in `cells`; the sum of its values, `None` when it has been seen or is too low.
    fn grow(&mut self, start: usize, cells: &mut Vec<usize>) -> Option<f32> {
        cells.clear();
        self.enter(start, cells);
        let (mut at, mut sum) = (0, 0.0);
        while let Some(cell) = cells.get(at).copied() {
            at += 1;
            sum += self.map.get(cell).copied().unwrap_or_default();
            let column = cell % self.columns;
            if column > 0 {
                self.enter(cell - 1, cells);
            }
            if column + 1 < self.columns {
                self.enter(cell + 1, cells);
            }
            if let Some(above) = cell.checked_sub(self.columns) {
                self.enter(above, cells);
            }
            self.enter(cell + self.columns, cells);
        }
        (!cells.is_empty()).then_some(sum)
    }

    fn enter(&mut self, cell: usize, cells: &mut Vec<usize>) {
        let high = self.map.get(cell).is_some_and(|v| *v >= self.level);
        if let Some(seen) = self.seen.get_mut(cell).filter(|seen| high && !**seen) {
            *seen = true;
            cells.push(cell);
        }
    }
}

/// The widened rectangle around a region, in cells, and whether it follows the region's own axis.
fn outline(cells: &[usize], columns: usize, unclip: f32) -> Option<(Quad, bool)> {
    let middles = || cells.iter().map(|cell| (as_f32(cell % columns) + 0.5, as_f32(cell / columns) + 0.5));
    let (angle, slanted) = main_axis(middles());
    let (sin, cos) = angle.sin_cos();
    let mut along = (f32::MAX, f32::MIN);
    let mut across = (f32::MAX, f32::MIN);
    for (x, y) in middles() {
        let (u, v) = (x * cos + y * sin, y * cos - x * sin);
        along = (along.0.min(u), along.1.max(u));
        across = (across.0.min(v), across.1.max(v));
    }
    // From the middles of the outermost cells to their edges.
    let (length, breadth) = (along.1 - along.0 + 1.0, across.1 - across.0 + 1.0);
    if length.min(breadth) < MIN_SIDE {
        return None;
    }
    let out = 0.5 + length * breadth * unclip / (2.0 * (length + breadth));
    let (u1, u2, v1, v2) = (along.0 - out, along.1 + out, across.0 - out, across.1 + out);
    let corner = |u: f32, v: f32| Point { x: u * cos - v * sin, y: u * sin + v * cos };
    let quad = Quad { points: [corner(u1, v1), corner(u2, v1), corner(u2, v2), corner(u1, v2)] };
    Some((quad, slanted))
}

/// The angle of a region's main axis, within 45 degrees of level; 0 and `false` for what has none.
#[expect(clippy::cast_possible_truncation, reason = "an angle: only precision is lost")]
fn main_axis(middles: impl Iterator<Item = (f32, f32)>) -> (f32, bool) {
    let (mut n, mut sx, mut sy, mut sxx, mut syy, mut sxy) = (0.0_f64, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in middles.map(|(x, y)| (f64::from(x), f64::from(y))) {
        n += 1.0;
        sx += x;
        sy += y;
        sxx += x * x;
        syy += y * y;
        sxy += x * y;
    }
    let (xx, yy, xy) = (sxx / n - (sx / n).powi(2), syy / n - (sy / n).powi(2), sxy / n - sx * sy / (n * n));
    let (middle, half) = (f64::midpoint(xx, yy), (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt());
    let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
    if angle.abs() <= std::f64::consts::FRAC_PI_4 && middle + half >= MIN_ELONGATION * (middle - half) {
        (angle as f32, true)
    } else {
        (0.0, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of a bar of 60 by 12 around the middle of a map of 100 by 100, turned by `angle`.
    fn bar(angle: f32) -> Vec<usize> {
        let (sin, cos) = angle.sin_cos();
        (0..10_000)
            .filter(|cell| {
                let (x, y) = (as_f32(cell % 100) + 0.5 - 50.0, as_f32(cell / 100) + 0.5 - 50.0);
                (x * cos + y * sin).abs() <= 30.0 && (y * cos - x * sin).abs() <= 6.0
            })
            .collect()
    }

    #[test]
    fn a_slanted_bar_is_outlined_along_its_own_axis() {
        for angle in [-0.6_f32, -0.2, 0.0, 0.3, 0.7] {
            let (quad, slanted) = outline(&bar(angle), 100, 0.0).unwrap();
            assert!(slanted && quad.is_convex());
            let [tl, tr, _, bl] = quad.points;
            let side = |a: Point, b: Point| (a.x - b.x).hypot(a.y - b.y);
            assert!((side(tl, tr) - 60.0).abs() < 2.5 && (side(tl, bl) - 12.0).abs() < 2.5, "{angle}: {quad:?}");
            assert!(((tr.y - tl.y).atan2(tr.x - tl.x) - angle).abs() < 0.05, "{angle}: {quad:?}");
        }
    }

    #[test]
    fn edges_move_outwards_by_area_times_ratio_over_perimeter() {
        let (tight, wide) = (outline(&bar(0.0), 100, 0.0).unwrap().0, outline(&bar(0.0), 100, 1.5).unwrap().0);
        let out = 60.0 * 12.0 * 1.5 / 144.0;
        assert!((tight.points[0].x - wide.points[0].x - out).abs() < 0.1);
        assert!((wide.points[2].y - tight.points[2].y - out).abs() < 0.1);
    }

    #[test]
    fn what_stands_upright_is_a_plain_box() {
        let (quad, slanted) = outline(&bar(std::f32::consts::FRAC_PI_2), 100, 0.0).unwrap();
        assert!(!slanted);
        let bounds = quad.bounds();
        assert!((bounds.width() - 12.0).abs() < 1.1 && (bounds.height() - 60.0).abs() < 1.1);
    }

    #[test]
    fn specks_are_no_text() {
        assert!(outline(&[5, 6, 7, 8], 100, 1.5).is_none());
    }
}
