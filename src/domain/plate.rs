//! A plate as text with what is known of its certainty: candidates and the lattice of characters.

use std::fmt;

use minicbor::{Decode, Encode};

/// A plate's text: 1 to 16 of `A-Z` and `0-9`, in reading order.
///
/// `Debug` hides it, so that a plate does not reach a log by accident; `Display` shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PlateText(#[n(0)] String);

impl PlateText {
    /// Longest text that is taken for a plate.
    pub const MAX_LEN: usize = 16;

    /// The letters and digits of `raw` in upper case; `None` when none or more than 16 are left.
    ///
    /// Only ASCII counts here: scripts and look-alikes are folded by `hotlist::normalise` before.
    #[must_use]
    pub fn from_raw(raw: &str) -> Option<Self> {
        let text: String = raw.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        (1..=Self::MAX_LEN).contains(&text.len()).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PlateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlateText({} characters)", self.0.len())
    }
}

/// What one character may be: `(character, probability)`, most probable first; `'\0'` stands for "no character here".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Position {
    /// Alternatives, probabilities of 0..1 that sum to at most 1.
    pub options: Vec<(char, f32)>,
}

/// The character lattice of a read: one [`Position`] a character, in reading order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lattice {
    /// Characters in reading order.
    pub positions: Vec<Position>,
}

/// A whole text with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The text.
    pub text: PlateText,
    /// Probability that it is the plate, 0..1.
    pub confidence: f32,
}

/// A plate as read from one picture or fused from many.
#[derive(Clone, PartialEq)]
pub struct PlateRead {
    /// The most probable text.
    pub text: PlateText,
    /// Probability that `text` is right, 0..1.
    pub confidence: f32,
    /// Probability of each character of `text`, 0..1.
    pub char_confidences: Vec<f32>,
    /// The most probable texts, best first, `text` itself included; at most 10.
    pub candidates: Vec<Candidate>,
    /// What the characters may be as they were seen, for matching: no pattern of a region weighs in.
    pub lattice: Lattice,
    /// Issuing region or state where the reader tells (`us`, `br`, …).
    pub region: Option<String>,
    /// What was seen of the issuing region: names with probabilities of 0..1, most probable first; empty where the reader
    /// does not tell. Not kept in the store.
    pub regions: Vec<(String, f32)>,
    /// How many pictures it was read from.
    pub frames: u16,
}

impl PlateRead {
    /// A text of which nothing else is known.
    #[must_use]
    pub fn of_text(text: PlateText) -> Self {
        Self {
            text,
            confidence: 0.0,
            char_confidences: Vec::new(),
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 0,
        }
    }
}

impl fmt::Debug for PlateRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlateRead")
            .field("text", &self.text)
            .field("confidence", &self.confidence)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plate_text_keeps_letters_and_digits_and_hides_in_debug() {
        let plate = PlateText::from_raw(" ab-12 3x ").unwrap();
        assert_eq!(plate.as_str(), "AB123X");
        assert!(!format!("{plate:?}").contains("AB1"));
        assert!(PlateText::from_raw("--").is_none());
        assert!(PlateText::from_raw("12345678901234567").is_none());
    }
}
