//! How probable each shape of plates is under a reader's steps: the sum over all texts of the shape, exactly.
//!
//! The forward algorithm over beginnings of shapes instead of over one text: a state for each character that a beginning
//! may end in, since a doubled character needs a blank between. Beginnings that nothing reaches cost nothing, so a plate
//! that is read clearly is summed along its own shape alone. Called once a read, by [`super::decode`].

// bounds: state vectors have an item a node, and each node's characters lie at `from[node]..from[node + 1]`, as many as its kind has.
#![allow(clippy::indexing_slicing, reason = "offsets are made here alone")]

use super::Probs;
use crate::vision::prior::{Kind, Shapes};

/// Probability below which a beginning counts as not reached.
const REACHED: f32 = 1e-7;

/// Probability of each beginning of `shapes` as the whole text; `alphabet` holds the characters of classes 1 and up.
pub(super) fn masses(probs: Probs<'_>, alphabet: &[char], shapes: &Shapes) -> Vec<f32> {
    let of = |kind| -> Vec<usize> {
        (1..).zip(alphabet).filter(|(_, c)| Kind::of(**c) == Some(kind)).map(|(class, _)| class).collect()
    };
    let (letters, digits) = (of(Kind::Letter), of(Kind::Digit));
    let nodes = shapes.nodes();
    // Where each node's characters lie; the empty beginning has none.
    let mut from = vec![0, 0];
    for node in nodes.iter().skip(1) {
        let len = if node.kind == Kind::Letter { letters.len() } else { digits.len() };
        from.push(from[from.len() - 1] + len);
    }
    let mut characters = vec![0.0_f32; from[nodes.len()]];
    // Of each node: ending in a blank, and in any of its characters.
    let (mut blanks, mut sums) = (vec![0.0_f32; nodes.len()], vec![0.0_f32; nodes.len()]);
    blanks[0] = 1.0;
    let (mut p_letters, mut p_digits) = (Vec::new(), Vec::new());
    for step in probs.steps() {
        let value = |class: &usize| step.get(*class).copied().unwrap_or(0.0);
        p_letters.clear();
        p_letters.extend(letters.iter().map(value));
        p_digits.clear();
        p_digits.extend(digits.iter().map(value));
        let blank = value(&0);
        // Parents have lower numbers: from the end each still finds its parent's values of the step before.
        for at in (1..nodes.len()).rev() {
            let (parent, kind) = (nodes[at].parent, nodes[at].kind);
            let inflow = blanks[parent] + sums[parent];
            if inflow < REACHED && blanks[at] + sums[at] < REACHED {
                continue;
            }
            blanks[at] = blank * (blanks[at] + sums[at]);
            let p = if kind == Kind::Letter { &p_letters } else { &p_digits };
            let (before, own) = characters.split_at_mut(from[at]);
            let own = &mut own[..p.len()];
            if parent > 0 && nodes[parent].kind == kind {
                let same = &before[from[parent]..from[parent + 1]];
                for ((own, p), same) in own.iter_mut().zip(p).zip(same) {
                    *own = p * (*own + (inflow - same));
                }
            } else {
                for (own, p) in own.iter_mut().zip(p) {
                    *own = p * (*own + inflow);
                }
            }
            sums[at] = own.iter().sum();
        }
        blanks[0] *= blank;
    }
    blanks.iter().zip(&sums).map(|(b, s)| b + s).collect()
}
