//! Decodes centre heat maps: a peak is a thing, box and corners stand in its cell (CenterNet, arXiv:1904.07850).
//!
//! A pass may have several heads, each with classes, outputs, thresholds and a stride of its own. How many pixels a cell
//! has is never said by a manifest: it follows from the heat map's size, and must divide the input.

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{as_f32, check_score};
use super::{MAX_DETECTIONS, nms};
use crate::domain::{Class, Detection, Point, Quad, Rect};

/// One head: what its outputs mean.
#[derive(Debug, Clone)]
pub(in crate::vision) struct Head {
    classes: Vec<Option<Class>>,
    /// Heat, box and, for some, corners.
    outputs: Vec<String>,
    score: f32,
    nms: f32,
}

/// The heads of a model of this family, the first as `[output]` names it.
pub(super) fn heads(manifest: &Manifest) -> Vec<Head> {
    let names = &manifest.output;
    let named = |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
    let first = Head {
        classes: manifest.known_classes(),
        outputs: [Some(named(&names.heat, "heat")), Some(named(&names.boxes, "box")), names.corners.clone()]
            .into_iter()
            .flatten()
            .collect(),
        score: manifest.thresholds.score,
        nms: manifest.thresholds.nms,
    };
    let more = manifest.heads.iter().map(|head| Head {
        classes: head.known_classes(),
        outputs: vec![head.heat.clone(), head.boxes.clone()],
        score: head.score,
        nms: head.nms,
    });
    std::iter::once(first).chain(more).collect()
}

impl Head {
    /// The outputs that it needs; how many cells they have is left free.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Spec> + '_ {
        let count = i64::try_from(self.classes.len()).unwrap_or(i64::MAX);
        let planes = [count, 4, 8];
        self.outputs.iter().zip(planes).map(|(name, planes)| Spec::new(Some(name), name, &[1, planes, -1, -1]))
    }

    /// Input pixels a cell; `None` when a shape leaves it open.
    ///
    /// # Errors
    /// [`Error::Stride`] when the cells do not divide the input into squares, [`Error::Shape`] when box or corners have
    /// other cells than the heat.
    fn stride(&self, (manifest, size): (&Manifest, [u32; 2]), shapes: &[&[i64]]) -> Result<Option<i64>, Error> {
        let [[_, _, rows, columns], rest @ ..] = shapes else { return Ok(None) };
        for (name, shape) in self.outputs.iter().skip(1).zip(rest) {
            let [n, planes, r, c] = **shape else { continue };
            let differs = |got: i64, want: i64| got >= 0 && want >= 0 && got != want;
            if differs(r, *rows) || differs(c, *columns) {
                let (model, name, want) = (manifest.name.clone(), name.clone(), vec![n, planes, *rows, *columns]);
                return Err(Error::Shape { model, what: "output", name, got: shape.to_vec(), want });
            }
        }
        if *rows < 0 || *columns < 0 {
            return Ok(None);
        }
        let [width, height] = size.map(i64::from);
        let stride = width.checked_div(*columns).filter(|s| s * columns == width && s * rows == height && *s > 0);
        if stride.is_none() {
            let name = self.outputs.first().cloned().unwrap_or_default();
            let (rows, columns) = (*rows, *columns);
            return Err(Error::Stride { model: manifest.name.clone(), name, columns, rows, width, height });
        }
        Ok(stride)
    }
}

/// Checks what the graph tells of the outputs' sizes, so that a model that does not fit is refused when it is loaded.
///
/// # Errors
/// [`Error::Stride`] and [`Error::Shape`].
pub(super) fn check(heads: &[Head], manifest: &Manifest, shapes: &[Vec<i64>]) -> Result<(), Error> {
    let mut rest: Vec<&[i64]> = shapes.iter().map(Vec::as_slice).collect();
    for head in heads {
        let later = rest.split_off(head.outputs.len().min(rest.len()));
        head.stride((manifest, manifest.input.size), &rest)?;
        rest = later;
    }
    Ok(())
}

/// Detections of all heads in input pixels, best first, at most [`MAX_DETECTIONS`] a head.
///
/// `outputs` are, head by head, heat `[1, C, rows, columns]`, box `[1, 4, …]` and, where it has them, corners `[1, 8, …]`.
///
/// # Errors
/// As [`check`], where the graph did not tell the sizes before; [`Error::Values`] for a score that can't be one.
pub(super) fn decode(
    heads: &[Head],
    (manifest, size): (&Manifest, [u32; 2]),
    outputs: &[View<'_>],
) -> Result<Vec<Detection>, Error> {
    let mut rest = outputs;
    let mut all = Vec::new();
    for head in heads {
        let (own, later) = rest.split_at_checked(head.outputs.len()).unwrap_or((rest, &[]));
        let shapes: Vec<&[i64]> = own.iter().map(|v| v.shape).collect();
        // Sizes of what was run are known.
        let Some(stride) = head.stride((manifest, size), &shapes)? else { continue };
        let mut found = peaks(own, stride, head.score, &head.classes);
        for one in &mut found {
            let wrong = |(got, want)| Error::Values { model: manifest.name.clone(), got, want };
            check_score(one.score).map_err(wrong)?;
            one.score = one.score.min(1.0);
        }
        nms::best(&mut found, head.nms);
        found.truncate(MAX_DETECTIONS);
        all.append(&mut found);
        rest = later;
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(all)
}

/// What one head found, in no order: cells of at least `threshold` that no neighbour of the same class exceeds.
fn peaks(outputs: &[View<'_>], stride: i64, threshold: f32, classes: &[Option<Class>]) -> Vec<Detection> {
    let [heat, boxes, rest @ ..] = outputs else { return Vec::new() };
    let [_, _, rows, columns] = *heat.shape else { return Vec::new() };
    let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else { return Vec::new() };
    let stride = as_f32(usize::try_from(stride).unwrap_or(0));
    let cells = rows * columns;
    if cells == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (class, map) in classes.iter().zip(heat.data.chunks_exact(cells)) {
        let Some(class) = *class else { continue };
        for (cell, score) in map.iter().enumerate().filter(|(_, score)| **score >= threshold) {
            let (row, column) = (cell / columns, cell % columns);
            if !is_peak(map, (row, column), (rows, columns)) {
                continue;
            }
            let middle = Point { x: (as_f32(column) + 0.5) * stride, y: (as_f32(row) + 0.5) * stride };
            let at = |view: &View<'_>, plane: usize| view.data.get(plane * cells + cell).copied().unwrap_or(f32::NAN);
            let rect = Rect::new(
                middle.x - at(boxes, 0),
                middle.y - at(boxes, 1),
                middle.x + at(boxes, 2),
                middle.y + at(boxes, 3),
            );
            let corners = rest.first().map(|view| Quad {
                points: [0, 1, 2, 3]
                    .map(|i| Point { x: middle.x + at(view, 2 * i), y: middle.y + at(view, 2 * i + 1) }),
            });
            if rect.x2 > rect.x1 && rect.y2 > rect.y1 {
                found.push(Detection { class, score: *score, rect, corners });
            }
        }
    }
    found
}

/// Whether no neighbour is higher; of equal neighbours the first in reading order is the peak.
fn is_peak(map: &[f32], (row, column): (usize, usize), (rows, columns): (usize, usize)) -> bool {
    let own = row * columns + column;
    let Some(value) = map.get(own) else { return false };
    (row.saturating_sub(1)..=(row + 1).min(rows - 1)).all(|r| {
        (column.saturating_sub(1)..=(column + 1).min(columns - 1)).all(|c| {
            let at = r * columns + c;
            map.get(at).is_none_or(|other| other < value || (other <= value && at >= own))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_of_equal_scores_is_one_peak() {
        let (rows, columns) = (4_i64, 5_i64);
        let mut heat = vec![0.0; 20];
        for cell in [6, 7, 11, 12] {
            heat[cell] = 0.8;
        }
        let boxes = vec![10.0; 80];
        let (hs, bs) = ([1, 1, rows, columns], [1, 4, rows, columns]);
        let views = [View { shape: &hs, data: &heat }, View { shape: &bs, data: &boxes }];
        let found = peaks(&views, 8, 0.5, &[Some(Class::Plate)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rect, Rect::new(2.0, 2.0, 22.0, 22.0));
        assert!(found[0].corners.is_none());
        assert_eq!(peaks(&views, 16, 0.5, &[Some(Class::Plate)])[0].rect, Rect::new(14.0, 14.0, 34.0, 34.0));
        assert!(peaks(&views, 8, 0.9, &[Some(Class::Plate)]).is_empty());
        assert!(peaks(&views, 8, 0.5, &[None]).is_empty());
    }
}
