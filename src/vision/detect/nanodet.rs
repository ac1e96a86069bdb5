//! Decodes NanoDet: each cell gives class scores and, for each side, a distribution over distances.
//!
//! `[1, cells, classes + 4 × (reg_max + 1)]`, cells stride by stride and row by row, a stride's grid rounded up. Scores are
//! after their sigmoid, as the export makes them; the distance to a side is the mean of the softmax over `0..=reg_max`,
//! times the stride (generalized focal loss, arXiv:2006.04388; RangiLyu/nanodet `nanodet_plus_head.py`). NanoDet-Plus puts
//! a cell's middle at its corner (`offset` 0), the older heads at its middle (0.5).

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_f32, as_size, best};
use crate::domain::{Class, Detection, Rect};

/// The output; the strides tell how many cells it has.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    let (width, height) = manifest.input_size();
    let cells = manifest.decode.strides().iter().map(|s| width.div_ceil(*s) * height.div_ceil(*s)).sum();
    let columns = manifest.classes.len() + 4 * (manifest.decode.reg_max() + 1);
    vec![Spec::new(manifest.output.grid.as_deref(), "output", &[1, as_size(cells), as_size(columns)])]
}

/// Detections in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [grid] = outputs else { return offers.done() };
    let (width, height) = manifest.input_size();
    let (bins, offset) = (manifest.decode.reg_max() + 1, manifest.decode.offset());
    let mut cells = grid.data.chunks_exact(offers.classes() + 4 * bins);
    for stride in manifest.decode.strides() {
        for row in 0..height.div_ceil(stride) {
            for (column, cell) in (0..width.div_ceil(stride)).zip(cells.by_ref()) {
                let Some((scores, sides)) = cell.split_at_checked(offers.classes()) else { continue };
                let Some((class, score)) = best(scores).filter(|(_, score)| *score >= offers.threshold()) else {
                    continue;
                };
                let stride = as_f32(stride);
                let (x, y) = ((as_f32(column) + offset) * stride, (as_f32(row) + offset) * stride);
                let mut sides = sides.chunks_exact(bins).map(|side| expected(side) * stride);
                if let (Some(l), Some(t), Some(r), Some(b)) = (sides.next(), sides.next(), sides.next(), sides.next()) {
                    offers.take(class, score, Rect::new(x - l, y - t, x + r, y + b));
                }
            }
        }
    }
    offers.done()
}

/// Mean of the softmax of `bins` over 0, 1, 2…
fn expected(bins: &[f32]) -> f32 {
    let top = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (at, value) in bins.iter().enumerate() {
        let share = (value - top).exp();
        sum += share;
        weighted += share * as_f32(at);
    }
    weighted / sum
}
