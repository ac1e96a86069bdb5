//! What several families share when they turn a model's numbers into boxes.
//!
//! Called by the file of each family. Coordinates are pixels of the model's input; [`Offers`] keeps what counts and
//! notices values that can't be what the manifest says they are.

use super::super::Error;
use super::super::model::{Manifest, Scores};
use crate::domain::{Class, Detection, Quad, Rect};

/// Scores this far above 1 are taken for rounding.
const ROUNDING: f32 = 0.001;

/// What a model offers, as far as it counts.
#[derive(Debug)]
pub(super) struct Offers<'a> {
    manifest: &'a Manifest,
    classes: &'a [Option<Class>],
    threshold: f32,
    found: Vec<Detection>,
    /// The first value that can't be right: what came, what the manifest says.
    wrong: Option<(String, String)>,
}

impl<'a> Offers<'a> {
    /// Nothing yet.
    pub(super) fn new(manifest: &'a Manifest, classes: &'a [Option<Class>]) -> Self {
        Self { manifest, classes, threshold: manifest.thresholds.score, found: Vec::new(), wrong: None }
    }

    /// How many classes a row has.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The score from which a detection counts.
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Takes one box when its score counts and its class is reported.
    pub(super) fn take(&mut self, class: usize, score: f32, rect: Rect) {
        self.take_with(class, score, rect, None);
    }

    /// As [`Offers::take`], with corners.
    pub(super) fn take_with(&mut self, class: usize, score: f32, rect: Rect, corners: Option<Quad>) {
        if score < self.threshold {
            return;
        }
        if let Err(wrong) = check_score(score) {
            self.wrong.get_or_insert(wrong);
            return;
        }
        let Some(class) = self.classes.get(class) else {
            let want = format!("there are {} classes, numbered from 0", self.classes.len());
            self.wrong.get_or_insert_with(|| (format!("class number {class}"), want));
            return;
        };
        let rightful = rect.x2 > rect.x1 && rect.y2 > rect.y1;
        if let Some(class) = class.filter(|_| rightful) {
            self.found.push(Detection { class, score: score.min(1.0), rect, corners });
        }
    }

    /// What was taken, in no order, in pixels of the input.
    ///
    /// # Errors
    /// [`Error::Values`] when a value can't be what the manifest says.
    pub(super) fn done(self) -> Result<Vec<Detection>, Error> {
        match self.wrong {
            None => Ok(self.found),
            Some((got, want)) => Err(Error::Values { model: self.manifest.name.clone(), got, want }),
        }
    }
}

/// Whether a score that counts can be one.
///
/// # Errors
/// What came and what is wanted.
pub(super) fn check_score(score: f32) -> Result<(), (String, String)> {
    if score > 1.0 + ROUNDING {
        let want = "scores are probabilities of 0 to 1 (decode.scores)";
        return Err((format!("a score of {score}"), want.to_owned()));
    }
    Ok(())
}

/// The highest of a row's scores and its place; of equal ones the last.
pub(super) fn best(scores: &[f32]) -> Option<(usize, f32)> {
    scores.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}

/// A box by its middle and sides.
pub(super) fn centred(x: f32, y: f32, width: f32, height: f32) -> Rect {
    Rect::new(x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
}

/// A value as a probability.
pub(super) fn probability(value: f32, scores: Scores) -> f32 {
    match scores {
        Scores::Probabilities => value,
        Scores::Logits => 1.0 / (1.0 + (-value).exp()),
    }
}

/// A class number that came as a float; what is no whole number from 0 on is a class that nobody has.
pub(super) fn class_number(value: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 or above and below 2^24")]
    if (0.0..16_777_216.0).contains(&value) { value as usize } else { usize::MAX }
}

/// A number of cells, a stride or a side as a float.
#[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
pub(super) fn as_f32(v: usize) -> f32 {
    v as f32
}

/// A count as a tensor's size.
pub(super) fn as_size(v: usize) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}
