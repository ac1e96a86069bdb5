//! Decodes YOLOv8, v9 and v11: planes of `x, y, w, h, class scores…`, one column a place, no objectness.
//!
//! `[1, 4 + classes, places]`, boxes by middle and sides in pixels of the input, scores after their sigmoid. (Ultralytics
//! `Detect` head, one-to-many output `(N, nc + 4, 8400)`; the export of YOLOv9's own repository is the same.)

use super::super::Error;
use super::super::model::{Manifest, Spec, View};
use super::boxes::{Offers, as_size, centred};
use crate::domain::{Class, Detection};

/// The output: how many places it has depends on the strides and is left free.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Spec> {
    vec![Spec::new(manifest.output.grid.as_deref(), "output0", &[1, as_size(4 + manifest.classes.len()), -1])]
}

/// Detections in input pixels, in no order.
pub(super) fn decode(
    outputs: &[View<'_>],
    manifest: &Manifest,
    classes: &[Option<Class>],
) -> Result<Vec<Detection>, Error> {
    let mut offers = Offers::new(manifest, classes);
    let [grid] = outputs else { return offers.done() };
    let places = grid.data.len() / (4 + offers.classes());
    if places == 0 {
        return offers.done();
    }
    let mut planes = grid.data.chunks_exact(places);
    let (Some(xs), Some(ys), Some(ws), Some(hs)) = (planes.next(), planes.next(), planes.next(), planes.next()) else {
        return offers.done();
    };
    // Plane by plane, as the memory lies.
    let mut best = vec![(0_usize, f32::NEG_INFINITY); places];
    for (class, plane) in planes.enumerate() {
        for (best, score) in best.iter_mut().zip(plane) {
            if *score > best.1 {
                *best = (class, *score);
            }
        }
    }
    for ((((class, score), x), y), (w, h)) in best.into_iter().zip(xs).zip(ys).zip(ws.iter().zip(hs)) {
        offers.take(class, score, centred(*x, *y, *w, *h));
    }
    offers.done()
}
