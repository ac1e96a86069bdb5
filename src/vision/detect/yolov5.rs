//! Decodes YOLOv5, and YOLOX exported with its decoding: rows of `x, y, w, h, objectness, class scores…`.
//!
//! `[1, rows, 5 + classes]`, boxes by middle and sides in pixels of the input, all scores after their sigmoid; a box counts
//! by objectness times class score. (ultralytics/yolov5 `export.py`, `models/yolo.py` at v7.0; YOLOX
//! `tools/export_onnx.py --decode_in_inference`.)

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_size, best, centred};
use crate::domain::{Class, Detection};

/// The output: how many rows it has depends on anchors and strides and is left free.
pub(super) fn wanted(manifest: &Manifest, usual: &str) -> Vec<Spec> {
    let columns = as_size(5 + manifest.classes.len());
    vec![Spec::new(manifest.output.grid.as_deref(), usual, &[1, -1, columns])]
}

/// Detections in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [grid] = outputs else { return offers.done() };
    for row in grid.data.chunks_exact(5 + offers.classes()) {
        let [x, y, w, h, objectness, scores @ ..] = row else { continue };
        if *objectness < offers.threshold() {
            continue;
        }
        if let Some((class, score)) = best(scores) {
            offers.take(class, objectness * score, centred(*x, *y, *w, *h));
        }
    }
    offers.done()
}
