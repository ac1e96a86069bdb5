//! Decodes the raw grid of YOLOX (arXiv:2107.08430): every cell of three strides offers one box.
//!
//! A row is `x, y, w, h, objectness, class scores…`: the middle is `(x + column) * stride`, the width
//! `exp(w) * stride`; scores are probabilities already. An export with `--decode_in_inference` is decoded by `yolov5.rs`.

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_f32, as_size, best, centred};
use crate::domain::{Class, Detection};

/// Input pixels a cell, in the order of the rows.
const STRIDES: [usize; 3] = [8, 16, 32];

/// Largest exponent that is taken: `exp(10) * 8` is far wider than any input.
const MAX_LOG_SIDE: f32 = 10.0;

/// The output; the strides tell how many cells it has.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    let (width, height) = manifest.input_size();
    let cells = STRIDES.iter().map(|s| (height / s) * (width / s)).sum();
    let columns = as_size(5 + manifest.classes.len());
    vec![Spec::new(manifest.output.grid.as_deref(), "output", &[1, as_size(cells), columns])]
}

/// Detections in input pixels, in no order, whose objectness times class score reaches the manifest's threshold.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [grid] = outputs else { return offers.done() };
    let (width, height) = manifest.input_size();
    let mut rows = grid.data.chunks_exact(5 + offers.classes());
    for stride in STRIDES {
        for row in 0..height / stride {
            for (column, cell) in (0..width / stride).zip(rows.by_ref()) {
                let [x, y, w, h, objectness, scores @ ..] = cell else { continue };
                if *objectness < offers.threshold() {
                    continue;
                }
                let Some((class, score)) = best(scores) else { continue };
                let stride = as_f32(stride);
                let side = |log: f32| log.min(MAX_LOG_SIDE).exp() * stride;
                let (x, y) = ((x + as_f32(column)) * stride, (y + as_f32(row)) * stride);
                offers.take(class, objectness * score, centred(x, y, side(*w), side(*h)));
            }
        }
    }
    offers.done()
}
