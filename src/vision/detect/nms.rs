//! Of boxes of one class that overlap, the best stays (greedy non-maximum suppression).

use crate::domain::Detection;

/// Sorts by falling score and suppresses; how many are looked at is bounded, whatever a model says.
pub(super) fn best(found: &mut Vec<Detection>, limit: f32) {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(super::MAX_DETECTIONS * 4);
    suppress(found, limit);
}

/// Removes detections that overlap a better one of their class by more than `limit` (intersection over union).
///
/// `found` is sorted by falling score and stays so.
pub(super) fn suppress(found: &mut Vec<Detection>, limit: f32) {
    let mut kept: Vec<Detection> = Vec::with_capacity(found.len().min(super::MAX_DETECTIONS));
    for one in found.drain(..) {
        if !kept.iter().any(|k| k.class == one.class && k.rect.iou(&one.rect) > limit) {
            kept.push(one);
        }
    }
    *found = kept;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Class, Rect};

    fn boxes() -> impl Strategy<Value = Vec<Detection>> {
        let one = (0.0_f32..90.0, 0.0_f32..90.0, 1.0_f32..40.0, 1.0_f32..40.0, 0.0_f32..1.0, any::<bool>());
        prop::collection::vec(one, 0..40).prop_map(|raw| {
            let mut found: Vec<Detection> = raw
                .into_iter()
                .map(|(x, y, w, h, score, car)| Detection {
                    class: if car { Class::Car } else { Class::Plate },
                    score,
                    rect: Rect::new(x, y, x + w, y + h),
                    corners: None,
                })
                .collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found
        })
    }

    proptest! {
        #[test]
        fn what_stays_does_not_overlap_and_what_goes_overlaps_a_better(all in boxes(), limit in 0.0_f32..1.0) {
            let mut kept = all.clone();
            suppress(&mut kept, limit);
            for (at, a) in kept.iter().enumerate() {
                for b in &kept[..at] {
                    prop_assert!(a.class != b.class || a.rect.iou(&b.rect) <= limit);
                }
            }
            for gone in all.iter().filter(|d| !kept.contains(d)) {
                let better = |k: &Detection| k.class == gone.class && k.score >= gone.score;
                let covered = kept.iter().any(|k| better(k) && k.rect.iou(&gone.rect) > limit);
                prop_assert!(covered);
            }
        }
    }
}
