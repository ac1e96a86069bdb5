//! What the analyser notices on its way, for whoever asks why a camera yields few reads.
//!
//! An observer is told of every frame what the gate, masks and region left of it, which plates were followed and read, and
//! where a track's sighting stood when the track ended. It is called in the analyser's own thread, between the steps, sees
//! frames masked as the models do, and changes nothing. Without one nothing is made for it. Used by `watchpost doctor`.

use std::time::Duration;

use crate::domain::{Detection, PlateRead};
use crate::vision::mask::Seen;

/// Takes notes.
pub trait Insight: Send {
    /// One thing that was noticed in the frame at `pts`, a place in the stream.
    fn note(&mut self, pts: Duration, note: &Note<'_>);
}

/// What was noticed.
#[derive(Debug)]
pub enum Note<'a> {
    /// The gate rested on the frame: nothing was looked for in it.
    Rested,
    /// What the detector found where it looked.
    Found {
        /// The frame as models see it.
        frame: &'a Seen<'a>,
        /// Every plate, pixels of the frame.
        all: &'a [Detection],
        /// Those of them that privacy masks and the region of interest left.
        kept: &'a [Detection],
    },
    /// A plate was joined to a track.
    Followed {
        /// The track.
        track: u32,
        /// The plate, pixels of the frame.
        plate: &'a Detection,
        /// Whether the track is sure.
        confirmed: bool,
    },
    /// A plate was shown to the reader.
    Read {
        /// Its track.
        track: u32,
        /// The picture that it was read in: the frame, or its larger one.
        frame: &'a Seen<'a>,
        /// Where, pixels of that picture.
        plate: &'a Detection,
        /// What the reader said, by itself.
        read: Option<&'a PlateRead>,
    },
    /// A track is over.
    Over {
        /// The track.
        track: u32,
        /// What had become of it by then.
        standing: Standing,
    },
}

/// Where a track's sighting stood when the track ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Frames that it was seen in.
    pub hits: u32,
    /// The detector's best score.
    pub best_score: f32,
    /// Frames that it was read in.
    pub reads: u32,
    /// Confidence of the fused read, 0..1; `None` without one.
    pub confidence: Option<f32>,
    /// Characters of the fused read.
    pub characters: usize,
    /// The first rule that kept its read from being told; `None` when it was told.
    pub refusal: Option<Refusal>,
}

/// The rules by which a read is not told. Those marked with a star still go with the end of the sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The plate was never shown to the reader: too narrow.
    NeverRead,
    /// The reader found no text, or none above its own floor.
    NoText,
    /// Fewer characters than a plate has.
    TooFewCharacters,
    /// The track was not seen often enough to be sure of.
    NotConfirmed,
    /// Below the confidence from which a read is told (*, where it is not far below).
    Unsure,
    /// One frame alone says so (*).
    NotAgreed,
    /// Another track that lives has the same plate.
    Double,
}

/// An observer, where there is one.
#[derive(Default)]
pub(super) struct Notes(Option<Box<dyn Insight>>);

impl Notes {
    pub(super) fn to(insight: Box<dyn Insight>) -> Self {
        Self(Some(insight))
    }

    /// Whether anybody listens: what is costly to tell is made then alone.
    pub(super) fn wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn note(&mut self, pts: Duration, note: &Note<'_>) {
        if let Some(insight) = &mut self.0 {
            insight.note(pts, note);
        }
    }
}
