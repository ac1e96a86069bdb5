//! Decodes RT-DETR: each of some hundred queries is one box, nothing is suppressed (arXiv:2304.08069).
//!
//! Three forms, told apart by the outputs that the manifest names:
//! * `box` and `scores`: `[1, queries, 4]` with middle and sides as shares of the input, and `[1, queries, classes]`, as
//!   logits or after a sigmoid (`decode.scores`). PyTorch's `pred_boxes` and `pred_logits`.
//! * `box`, `scores` and `labels`: lyuwenyu/RT-DETR `tools/export_onnx.py`: `[1, queries, 4]` with edges in the pixels of
//!   the size that goes into a second input, `[1, queries]` scores, `[1, queries]` class numbers of 64-bit integers. The
//!   second input, `input.size_tensor`, is given the size of the first.
//! * `grid`: `[1, queries, 4 + classes]`, both in one row, as Ultralytics exports it.

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_f32, as_size, best, centred, class_number, probability};
use crate::domain::{Class, Detection, Rect};

/// The outputs.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    let names = &manifest.output;
    let count = as_size(manifest.classes.len());
    if names.grid.is_some() {
        return vec![Spec::new(names.grid.as_deref(), "output0", &[1, -1, 4 + count])];
    }
    let boxes = Spec::new(names.boxes.as_deref(), "boxes", &[1, -1, 4]);
    if let Some(labels) = &names.labels {
        let scores = Spec::new(names.scores.as_deref(), "scores", &[1, -1]);
        return vec![boxes, scores, Spec::new(Some(labels), "labels", &[1, -1]).of_integers()];
    }
    vec![boxes, Spec::new(names.scores.as_deref(), "scores", &[1, -1, count])]
}

/// Detections in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let scores = manifest.decode.scores(manifest.family);
    let (width, height) = manifest.input_size();
    let (width, height) = (as_f32(width), as_f32(height));
    let shares = |[x, y, w, h]: [f32; 4]| centred(x * width, y * height, w * width, h * height);
    match outputs {
        [grid] => {
            for row in grid.data.chunks_exact(4 + offers.classes()) {
                let Some((sides, row)) = row.split_first_chunk::<4>() else { continue };
                if let Some((class, score)) = best(row) {
                    offers.take(class, probability(score, scores), shares(*sides));
                }
            }
        }
        [boxes, of_classes] => {
            let rows = of_classes.data.chunks_exact(offers.classes().max(1));
            for (sides, row) in boxes.data.as_chunks::<4>().0.iter().zip(rows) {
                if let Some((class, score)) = best(row) {
                    offers.take(class, probability(score, scores), shares(*sides));
                }
            }
        }
        [boxes, of_rows, labels] => {
            for ((edges, score), label) in boxes.data.as_chunks::<4>().0.iter().zip(of_rows.data).zip(labels.data) {
                let [x1, y1, x2, y2] = *edges;
                offers.take(class_number(*label), probability(*score, scores), Rect::new(x1, y1, x2, y2));
            }
        }
        _ => {}
    }
    offers.done()
}
