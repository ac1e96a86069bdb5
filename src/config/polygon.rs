//! Polygons in a picture, as regions of interest and privacy masks are written.
//!
//! A polygon is a list of `[x, y]` points, shares 0–1 of the upright picture from its top left; one that is closed by
//! repeating its first point is taken as well. A key holds one polygon or a list of them. What they do to a picture is
//! vision's.

use super::section::number_of;
use super::tree::{Node, Value};

/// A polygon of 3 to 32 points, shares 0–1 of the picture; it closes itself.
pub type Polygon = Vec<[f64; 2]>;

/// Most polygons of a key, and most points of a polygon.
const MOST: (usize, usize) = (16, 32);

/// Least area, a share of the picture: what is smaller than a few pixels is a slip.
const LEAST_AREA: f64 = 1e-5;

/// Shortest line, a share of the picture.
const LEAST_LINE: f64 = 0.005;

/// Reads one polygon or a list of them.
///
/// # Errors
/// What is wrong, with the polygon and the point.
pub(super) fn read(node: &Node) -> Result<Vec<Polygon>, String> {
    let Value::Array(items) = &node.value else {
        return Err(format!("is {}, wanted a list of polygons, each a list of [x, y] points", node.value.kind()));
    };
    if items.is_empty() {
        return Ok(Vec::new());
    }
    if items.iter().all(|item| point(&item.value).is_some()) {
        return Ok(vec![polygon(items).map_err(|what| format!("its polygon {what}"))?]);
    }
    if items.len() > MOST.0 {
        return Err(format!("has {} polygons, wanted at most {}", items.len(), MOST.0));
    }
    let mut polygons = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let Value::Array(points) = &item.value else {
            return Err(format!("its polygon {} is {}, wanted a list of [x, y] points", n + 1, item.value.kind()));
        };
        polygons.push(polygon(points).map_err(|what| format!("its polygon {} {what}", n + 1))?);
    }
    Ok(polygons)
}

/// Reads two points that differ.
///
/// # Errors
/// What is wrong.
pub(super) fn segment(node: &Node) -> Result<[[f64; 2]; 2], String> {
    let ends = match &node.value {
        Value::Array(items) => match items.as_slice() {
            [from, to] => point(&from.value).zip(point(&to.value)),
            _ => None,
        },
        _ => None,
    };
    let (from, to) = ends.ok_or("is no line: wanted its two ends, [[x, y], [x, y]]")?;
    for end in [from, to] {
        check_shares(end)?;
    }
    if (from[0] - to[0]).hypot(from[1] - to[1]) < LEAST_LINE {
        return Err("has both ends in one place".to_owned());
    }
    Ok([from, to])
}

fn check_shares([x, y]: [f64; 2]) -> Result<(), String> {
    if (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y) {
        return Ok(());
    }
    Err(format!(
        "has the point [{x}, {y}]; wanted shares of the picture, 0 to 1: divide pixels by its width and height"
    ))
}

fn polygon(points: &[Node]) -> Result<Polygon, String> {
    let mut polygon = Polygon::new();
    for (n, node) in points.iter().enumerate() {
        let [x, y] = point(&node.value).ok_or_else(|| format!("has no [x, y] at point {}", n + 1))?;
        check_shares([x, y])?;
        polygon.push([x, y]);
    }
    if polygon.len() > 3 && polygon.first() == polygon.last() {
        polygon.pop();
    }
    if !(3..=MOST.1).contains(&polygon.len()) {
        return Err(format!("has {} points, wanted 3 to {}", polygon.len(), MOST.1));
    }
    if crate::domain::Polygon::new(polygon.clone()).crosses_itself() {
        return Err("crosses or touches itself: name its corners in turn, as one walks around it".to_owned());
    }
    if area(&polygon) < LEAST_AREA {
        return Err("covers nothing: its points lie on one line or in one place".to_owned());
    }
    Ok(polygon)
}

fn point(value: &Value) -> Option<[f64; 2]> {
    let Value::Array(items) = value else { return None };
    match items.as_slice() {
        [x, y] => Some([number_of(&x.value)?, number_of(&y.value)?]),
        _ => None,
    }
}

/// Area by the sum over the edges (shoelace formula).
fn area(polygon: &[[f64; 2]]) -> f64 {
    let next = polygon.iter().cycle().skip(1);
    let twice: f64 = polygon.iter().zip(next).map(|([x1, y1], [x2, y2])| x1 * y2 - x2 * y1).sum();
    twice.abs() / 2.0
}
