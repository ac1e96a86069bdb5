//! Decodes centre heat maps: a peak is a thing, box and corners stand in its cell (CenterNet, arXiv:1904.07850).

use super::super::model::View;
use crate::domain::{Class, Detection, Point, Quad, Rect};

/// Input pixels a cell.
const STRIDE: f32 = 8.0;

/// Detections in input pixels, in no order: cells of at least `threshold` that no neighbour of the same class exceeds.
///
/// `outputs` are heat `[1, C, rows, columns]`, box `[1, 4, …]` and, where the model has them, corners `[1, 8, …]`.
pub(super) fn decode(outputs: &[View<'_>], threshold: f32, classes: &[Option<Class>]) -> Vec<Detection> {
    let [heat, boxes, rest @ ..] = outputs else { return Vec::new() };
    let [_, _, rows, columns] = *heat.shape else { return Vec::new() };
    let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else { return Vec::new() };
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
            let middle = Point { x: (as_f32(column) + 0.5) * STRIDE, y: (as_f32(row) + 0.5) * STRIDE };
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

#[expect(clippy::cast_precision_loss, reason = "a cell number, far below 2^24")]
fn as_f32(v: usize) -> f32 {
    v as f32
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
        let found = decode(&views, 0.5, &[Some(Class::Plate)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rect, Rect::new(2.0, 2.0, 22.0, 22.0));
        assert!(found[0].corners.is_none());
        assert!(decode(&views, 0.9, &[Some(Class::Plate)]).is_empty());
        assert!(decode(&views, 0.5, &[None]).is_empty());
    }
}
