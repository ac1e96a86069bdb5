//! Decodes outputs that are detections already: YOLOv10, YOLO26, and exports with suppression in the graph.
//!
//! Two orders are common. `box-score-class`: `[1, rows, 6]` of `x1, y1, x2, y2, score, class`, the rest filled with rows
//! of score 0 (Ultralytics YOLOv10, YOLO26 and `nms=True`: `(N, 300, 6)`). `picture-box-class-score`: `[rows, 7]` of
//! `picture, x1, y1, x2, y2, class, score`, as many rows as things (YOLOv7 and YOLOv9 `--end2end` for ONNX Runtime, which
//! fast-alpr's open-image-models uses). Boxes are in pixels of the input. What the model kept is kept: nothing is
//! suppressed after it.

use super::super::Error;
use super::super::model::{Manifest, Rows, Spec, View};
use super::boxes::{Offers, class_number};
use crate::domain::{Class, Detection, Rect};

/// The output.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    let name = manifest.output.grid.as_deref();
    vec![match manifest.decode.rows() {
        Rows::BoxScoreClass => Spec::new(name, "output0", &[1, -1, 6]),
        Rows::PictureBoxClassScore => Spec::new(name, "output", &[-1, 7]),
    }]
}

/// Detections in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [grid] = outputs else { return offers.done() };
    match manifest.decode.rows() {
        Rows::BoxScoreClass => {
            for row in grid.data.as_chunks::<6>().0 {
                let [x1, y1, x2, y2, score, class] = *row;
                offers.take(class_number(class), score, Rect::new(x1, y1, x2, y2));
            }
        }
        Rows::PictureBoxClassScore => {
            for row in grid.data.as_chunks::<7>().0 {
                let [_, x1, y1, x2, y2, class, score] = *row;
                offers.take(class_number(class), score, Rect::new(x1, y1, x2, y2));
            }
        }
    }
    offers.done()
}
