//! What pictures laid over each other were read as, beside the reads of the frames they are of.

use super::Kept;
use crate::domain::{PlateRead, PlateText};

/// Of how many pictures laid over each other the read speaks for two.
const WITNESSES: u16 = 5;

/// A read that says something else takes from the surer one what it is surer than this.
const CONTRADICTED: f32 = 0.5;

/// The read of several pictures laid over each other.
#[derive(Debug, Clone)]
pub(super) struct Stacked {
    pub read: PlateRead,
    pub kept: Kept,
    pub pictures: u16,
}

impl Stacked {
    /// For how many frames it speaks when `text` is asked for.
    pub fn witnesses(&self, text: &PlateText) -> usize {
        match self.kept.text == *text {
            false => 0,
            true if self.pictures < WITNESSES => 1,
            true => 2,
        }
    }

    /// It and what the frames say as one.
    ///
    /// These are the same pictures again, no further evidence: where both say the same they bear each other out and are fused
    /// (`together`); else the surer of the two counts, and less the surer the other one is.
    pub fn beside(&self, frames: Option<PlateRead>, together: impl FnOnce(&Kept) -> Option<PlateRead>) -> PlateRead {
        let Some(frames) = frames else { return self.read.clone() };
        if frames.text == self.read.text {
            return together(&self.kept).filter(|both| both.text == frames.text).unwrap_or(frames);
        }
        let own = self.read.confidence > frames.confidence;
        let (mut surer, other) =
            if own { (self.read.clone(), frames.confidence) } else { (frames, self.read.confidence) };
        let left = 1.0 - (other - CONTRADICTED).max(0.0);
        surer.confidence *= left;
        surer.candidates.iter_mut().for_each(|candidate| candidate.confidence *= left);
        surer
    }
}
