//! Decodes the raw grid of YOLOX (arXiv:2107.08430): every cell of three strides offers one box.

use super::super::model::{Manifest, View};
use crate::domain::{Class, Detection, Rect};

/// Input pixels a cell, in the order of the rows.
pub(super) const STRIDES: [i64; 3] = [8, 16, 32];

/// Largest exponent that is taken: `exp(10) * 8` is far wider than any input.
const MAX_LOG_SIDE: f32 = 10.0;

/// Detections in input pixels, in no order, whose objectness times class score reaches the manifest's threshold.
///
/// A row is `x, y, w, h, objectness, class scores…`: the middle is `(x + column) * stride`, the width
/// `exp(w) * stride`; scores are probabilities already.
pub(super) fn decode(outputs: &[View<'_>], manifest: &Manifest, classes: &[Option<Class>]) -> Vec<Detection> {
    let [grid] = outputs else { return Vec::new() };
    let (width, height) = manifest.input_size();
    let mut rows = grid.data.chunks_exact(5 + classes.len());
    let mut found = Vec::new();
    for stride in STRIDES.map(|s| usize::try_from(s).unwrap_or(8)) {
        for row in 0..height / stride {
            for (column, cell) in (0..width / stride).zip(rows.by_ref()) {
                found.extend(one(cell, (column, row), stride, manifest.thresholds.score, classes));
            }
        }
    }
    found
}

fn one(
    cell: &[f32],
    (column, row): (usize, usize),
    stride: usize,
    threshold: f32,
    classes: &[Option<Class>],
) -> Option<Detection> {
    let [x, y, w, h, objectness, scores @ ..] = cell else { return None };
    if *objectness < threshold {
        return None;
    }
    let (best, score) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let score = objectness * score;
    let class = classes.get(best).copied().flatten().filter(|_| score >= threshold)?;
    #[expect(clippy::cast_precision_loss, reason = "cell numbers, far below 2^24")]
    let (column, row, stride) = (column as f32, row as f32, stride as f32);
    let (mx, my) = ((x + column) * stride, (y + row) * stride);
    let half = |log: f32| log.min(MAX_LOG_SIDE).exp() * stride / 2.0;
    let (hw, hh) = (half(*w), half(*h));
    Some(Detection { class, score: score.min(1.0), rect: Rect::new(mx - hw, my - hh, mx + hw, my + hh), corners: None })
}
