//! Text out of a reader's probabilities: best text, candidates, lattice (CTC, Graves et al. 2006).
//!
//! A reader gives, for each of its time steps, the probability of "nothing" (class 0, the blank) and of every character.
//! A text's probability is the sum over all ways to write it along the steps, runs merged and blanks dropped. Candidates
//! come from a prefix beam search (Hannun et al. 2014) and are then weighed exactly by the forward algorithm, so that a
//! confidence is the probability of the whole text under the model. The lattice says for each character what else could
//! stand there, all others held: that is what fusing by position and confusable matching need.
//!
//! Where shapes of plates weigh in ([`super::prior`]), they do so in the search, so that several characters may give way at
//! once, and in what texts are worth; the sum that makes confidences of it is exact (`mass`). Characters and texts that
//! the reader itself holds for next to impossible stay out whatever they would weigh, and the lattice stays as it was seen.

mod mass;

use super::prior::{Place, Weights, region_of};
use crate::domain::{Candidate, Lattice, PlateRead, PlateText, Position};

/// Prefixes kept from step to step.
const BEAMS: usize = 16;

/// Prefixes kept beside them for how they were seen, where shapes weigh in.
const SEEN_BEAMS: usize = 6;

/// Most candidates of a read.
pub const MAX_CANDIDATES: usize = 10;

/// Characters less probable than this are not tried at a step.
const STEP_FLOOR: f32 = 0.002;

/// A text this many times less probable than the best as it was seen is none, whatever it weighs.
const SEEN_FLOOR: f64 = 1e-4;

/// Alternatives below this share are left out of the lattice.
const LATTICE_FLOOR: f64 = 0.002;

/// Most alternatives of a position.
const MAX_OPTIONS: usize = 6;

/// Probabilities of one plate: `steps` rows of `1 + alphabet` values, each row summing to 1.
#[derive(Debug, Clone, Copy)]
pub struct Probs<'a> {
    /// Row-major values.
    pub data: &'a [f32],
    /// Values a row.
    pub classes: usize,
}

impl Probs<'_> {
    fn steps(&self) -> impl DoubleEndedIterator<Item = &[f32]> {
        self.data.chunks_exact(self.classes.max(1))
    }
}

/// Class numbers of a text's characters; no plate has more than [`PlateText::MAX_LEN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Labels {
    len: u8,
    classes: [u8; PlateText::MAX_LEN],
}

impl Labels {
    fn as_slice(&self) -> &[u8] {
        self.classes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn last(&self) -> Option<u8> {
        self.as_slice().last().copied()
    }

    /// One longer; `None` when it would be too long for a plate.
    fn with(mut self, class: u8) -> Option<Self> {
        *self.classes.get_mut(usize::from(self.len))? = class;
        self.len += 1;
        Some(self)
    }

    fn text(&self, alphabet: &[char]) -> Option<String> {
        self.as_slice().iter().map(|c| alphabet.get(usize::from(*c) - 1).copied()).collect()
    }
}

/// What one decoding goes by.
#[derive(Debug, Clone, Copy)]
struct Decoding<'a> {
    probs: Probs<'a>,
    alphabet: &'a [char],
    weights: Option<&'a Weights>,
}

impl Decoding<'_> {
    fn character(&self, class: u8) -> Option<char> {
        self.alphabet.get(usize::from(class).checked_sub(1)?).copied()
    }

    /// Where a text stands among the shapes.
    fn place(&self, weights: &Weights, labels: &[u8]) -> Place {
        weights.place(labels.iter().map(|class| self.character(*class).unwrap_or('\0')))
    }

    /// What a text weighs.
    fn here(&self, labels: &[u8]) -> f64 {
        self.weights.map_or(1.0, |weights| weights.here(self.place(weights, labels)))
    }

    /// Where a text stands that goes on with a character.
    fn next(&self, place: Place, class: u8) -> Place {
        self.weights.map_or(place, |weights| weights.next(place, self.character(class).unwrap_or('\0')))
    }
}

/// A text of the search.
#[derive(Debug, Clone, Copy)]
struct Found {
    labels: Labels,
    /// Its probability as it was seen.
    seen: f64,
    /// The same with what it weighs.
    weighed: f64,
}

/// The read of one plate; `None` when its best text has fewer than `min_length` characters.
///
/// `alphabet` holds the characters of classes 1 and up; classes beyond 255 are not read. With `weights`, shapes of plates
/// weigh in; the lattice is that of the text, as it was seen. Regions are left to the caller but for the name that the
/// weights give.
#[must_use]
pub(super) fn decode(
    probs: Probs<'_>,
    alphabet: &[char],
    min_length: usize,
    weights: Option<&Weights>,
) -> Option<PlateRead> {
    let decoding = Decoding { probs, alphabet, weights };
    let masses = weights.map(|w| mass::masses(probs, alphabet, w.shapes()));
    let total = weights.zip(masses.as_ref()).map_or(1.0, |(w, masses)| w.total(masses));
    let found = texts(&decoding, total.max(f64::MIN_POSITIVE));
    let best = found.first()?;
    if best.labels.as_slice().len() < min_length.max(1) {
        return None;
    }
    let (positions, char_confidences) = lattice(&decoding, best);
    let text = |found: &Found| PlateText::from_raw(&found.labels.text(alphabet)?);
    let candidates: Vec<Candidate> = found
        .iter()
        .filter_map(|found| Some(Candidate { text: text(found)?, confidence: as_f32(found.weighed) }))
        .take(MAX_CANDIDATES)
        .collect();
    Some(PlateRead {
        text: text(best)?,
        confidence: as_f32(best.weighed),
        char_confidences,
        candidates,
        lattice: Lattice { positions },
        region: weights.zip(masses).and_then(|(w, masses)| region_of(&w.regions(&masses))),
        regions: Vec::new(),
        frames: 1,
    })
}

/// The texts that the search finds, best first; `total` is the sum of what all texts are worth.
fn texts(decoding: &Decoding<'_>, total: f64) -> Vec<Found> {
    let found = beams(decoding).into_iter().map(|labels| {
        let seen = probability(decoding.probs, labels.as_slice());
        Found { labels, seen, weighed: seen * decoding.here(labels.as_slice()) / total }
    });
    let mut found: Vec<Found> = found.collect();
    let most = found.iter().map(|f| f.seen).fold(0.0, f64::max);
    found.retain(|f| f.seen >= SEEN_FLOOR * most);
    found.sort_by(|a, b| b.weighed.total_cmp(&a.weighed));
    found
}

/// The most probable class of each step, runs merged and blanks dropped.
#[must_use]
pub fn best_path(probs: Probs<'_>, alphabet: &[char]) -> String {
    let mut text = String::new();
    let mut before = 0;
    for step in probs.steps() {
        let best = step.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
        if best != before && best > 0 {
            text.extend(alphabet.get(best - 1));
        }
        before = best;
    }
    text
}

/// Probability that a prefix was written: ending in a blank, ending in its last character.
#[derive(Debug, Clone, Copy, Default)]
struct Ending {
    blank: f64,
    character: f64,
}

/// A prefix of the search.
#[derive(Debug, Clone, Copy)]
struct Beam {
    labels: Labels,
    /// Where it stands among the shapes.
    place: Place,
    ending: Ending,
    /// By which it is kept.
    worth: f64,
}

impl Beam {
    /// Its probability as it was seen.
    fn seen(&self) -> f64 {
        self.ending.blank + self.ending.character
    }
}

/// The texts of the most probable prefixes after the last step.
fn beams(decoding: &Decoding<'_>) -> Vec<Labels> {
    let ending = Ending { blank: 1.0, character: 0.0 };
    let mut beams = vec![Beam { labels: Labels::default(), place: Weights::start(), ending, worth: 0.0 }];
    let mut next = Vec::new();
    for step in decoding.probs.steps() {
        let blank = step.first().map_or(0.0, |p| f64::from(*p));
        next.clear();
        // Each prefix as it stays comes first, in the order of the beams: what is longer than one is another, or new.
        next.extend(beams.iter().map(|beam| {
            let own = beam.labels.last().and_then(|class| step.get(usize::from(class))).filter(|p| **p >= STEP_FLOOR);
            let character = beam.ending.character * own.map_or(0.0, |p| f64::from(*p));
            Beam { ending: Ending { blank: beam.seen() * blank, character }, ..*beam }
        }));
        for (class, p) in (0_u8..).zip(step).skip(1).filter(|(_, p)| **p >= STEP_FLOOR) {
            for beam in &beams {
                let Some(labels) = beam.labels.with(class) else { continue };
                // A doubled character needs a blank between.
                let before = if beam.labels.last() == Some(class) { beam.ending.blank } else { beam.seen() };
                let more = before * f64::from(*p);
                if let Some(other) = next.iter_mut().take(beams.len()).find(|other| other.labels == labels) {
                    other.ending.character += more;
                } else {
                    let place = decoding.next(beam.place, class);
                    next.push(Beam { labels, place, ending: Ending { blank: 0.0, character: more }, worth: 0.0 });
                }
            }
        }
        best_of(&mut next, |beam| beam.seen() * decoding.weights.map_or(1.0, |weights| weights.ahead(beam.place)));
        std::mem::swap(&mut beams, &mut next);
    }
    beams.into_iter().map(|beam| beam.labels).collect()
}

/// Leaves the [`BEAMS`] that are worth most, and of the others those that were seen best: a text that fits no shape is not
/// lost on its way when it is seen clearly.
fn best_of(beams: &mut Vec<Beam>, worth: impl Fn(&Beam) -> f64) {
    if beams.len() > 1 {
        for beam in beams.iter_mut() {
            beam.worth = worth(beam);
        }
        beams.sort_by(|a, b| b.worth.total_cmp(&a.worth));
    }
    if let Some((_, rest)) = beams.split_at_mut_checked(BEAMS) {
        rest.sort_by(|a, b| b.seen().total_cmp(&a.seen()));
    }
    beams.truncate(BEAMS + SEEN_BEAMS);
}

/// Probability of exactly this text: the forward algorithm over the text with blanks between (Graves 2006, eq. 5–8).
fn probability(probs: Probs<'_>, labels: &[u8]) -> f64 {
    // Of label i: the sum over the ways that end in the blank before it, and in the label itself.
    let mut blanks = vec![0.0_f64; labels.len() + 1];
    let mut characters = vec![0.0_f64; labels.len()];
    if let Some(first) = blanks.first_mut() {
        *first = 1.0;
    }
    for step in probs.steps() {
        let of = |class: u8| step.get(usize::from(class)).map_or(0.0, |p| f64::from(*p));
        let blank = of(0);
        // Values of the step before, of the label to the left.
        let (mut left_character, mut left_label) = (0.0, None);
        for ((label, character), before) in labels.iter().zip(&mut characters).zip(&mut blanks) {
            let skipping = if left_label == Some(*label) { 0.0 } else { left_character };
            let now = (*character + *before + skipping) * of(*label);
            *before = (*before + left_character) * blank;
            left_character = std::mem::replace(character, now);
            left_label = Some(*label);
        }
        if let Some(last) = blanks.last_mut() {
            *last = (*last + left_character) * blank;
        }
    }
    blanks.last().copied().unwrap_or(0.0) + characters.last().copied().unwrap_or(0.0)
}

/// For each character of the best text, what may stand there when all others are right, as it was seen; and how probable
/// the character is with what the texts weigh.
fn lattice(decoding: &Decoding<'_>, best: &Found) -> (Vec<Position>, Vec<f32>) {
    let (probs, own) = (decoding.probs, best.labels.as_slice());
    let tried: Vec<u8> = (0_u8..)
        .zip(decoding.alphabet)
        .map(|(at, _)| at.saturating_add(1))
        .filter(|class| probs.steps().any(|s| s.get(usize::from(*class)).is_some_and(|p| *p >= STEP_FLOOR)))
        .collect();
    let weight = decoding.here(own);
    let mut other = own.to_vec();
    let mut positions = Vec::with_capacity(own.len());
    let mut confidences = Vec::with_capacity(own.len());
    for (at, own) in own.iter().enumerate() {
        // Class, probability as seen, and what it is worth.
        let mut options = vec![(*own, best.seen, best.seen * weight)];
        let mut add = |class: u8, other: &[u8]| {
            let seen = probability(probs, other);
            options.push((class, seen, seen * decoding.here(other)));
        };
        for class in tried.iter().filter(|c| *c != own) {
            if let Some(slot) = other.get_mut(at) {
                *slot = *class;
            }
            add(*class, &other);
        }
        other.remove(at);
        add(0, &other);
        other.insert(at, *own);
        let sum: f64 = options.iter().map(|(_, p, _)| p).sum();
        let worth: f64 = options.iter().map(|(_, _, w)| w).sum();
        confidences.push(if worth > 0.0 { as_f32(best.seen * weight / worth) } else { 0.0 });
        options.sort_by(|a, b| b.1.total_cmp(&a.1));
        let named = options.into_iter().filter_map(|(class, p, _)| {
            let character = if class == 0 { '\0' } else { decoding.character(class)? };
            (sum > 0.0 && p / sum >= LATTICE_FLOOR).then(|| (character, as_f32(p / sum)))
        });
        positions.push(Position { options: named.take(MAX_OPTIONS).collect() });
    }
    (positions, confidences)
}

/// A probability in the precision that is handed on.
#[expect(clippy::cast_possible_truncation, reason = "a probability: only precision is lost")]
fn as_f32(p: f64) -> f32 {
    p.clamp(0.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::prior::Patterns;
    use super::*;

    const ABC: [char; 3] = ['A', 'B', '1'];

    /// Every text of every path, by brute force.
    fn all_texts(rows: &[[f32; 4]]) -> BTreeMap<Vec<u8>, f64> {
        let mut texts = BTreeMap::new();
        for code in 0..4_usize.pow(rows.len() as u32) {
            let (mut p, mut text, mut before, mut rest) = (1.0, Vec::new(), 0, code);
            for row in rows {
                let class = rest % 4;
                rest /= 4;
                p *= f64::from(row[class]);
                if class != before && class > 0 {
                    text.push(class as u8);
                }
                before = class;
            }
            *texts.entry(text).or_insert(0.0) += p;
        }
        texts
    }

    fn rows() -> impl Strategy<Value = Vec<[f32; 4]>> {
        prop::collection::vec([0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0], 1..6).prop_map(
            |mut rows| {
                for row in &mut rows {
                    let sum: f32 = row.iter().sum();
                    for v in row {
                        *v /= sum;
                    }
                }
                rows
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn the_forward_sum_is_the_sum_over_all_paths(rows in rows()) {
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let probs = Probs { data: &flat, classes: 4 };
            for (text, p) in all_texts(&rows) {
                prop_assert!((probability(probs, &text) - p).abs() < 1e-9);
            }
        }

        #[test]
        fn what_all_texts_are_worth_is_summed_exactly(
            rows in prop::collection::vec([0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0], 4..7)
        ) {
            let sums = rows.iter().map(|row| row.iter().sum::<f32>());
            let rows: Vec<[f32; 4]> = rows.iter().zip(sums).map(|(row, sum)| row.map(|v| v / sum)).collect();
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let alphabet = ['A', 'I', '1'];
            let weights = Patterns::default().expecting("eu-de").weights(&[]).unwrap();
            let worth = |classes: &[u8]| weights.here(weights.place(classes.iter().map(|c| alphabet[usize::from(*c) - 1])));
            let all: f64 = all_texts(&rows).iter().map(|(text, p)| p * worth(text)).sum();
            let probs = Probs { data: &flat, classes: 4 };
            let total = weights.total(&mass::masses(probs, &alphabet, weights.shapes()));
            prop_assert!((total - all).abs() < 1e-4 * all, "{} {}", total, all);
            // And a confidence is the share of the text in the whole.
            if let Some(read) = decode(probs, &alphabet, 1, Some(&weights)) {
                let class = |c| alphabet.iter().position(|a| *a == c).unwrap() as u8 + 1;
                let texts = all_texts(&rows);
                for candidate in &read.candidates {
                    let classes: Vec<u8> = candidate.text.as_str().chars().map(class).collect();
                    let share = texts[&classes] * worth(&classes) / all;
                    prop_assert!((f64::from(candidate.confidence) - share).abs() < 1e-4);
                }
            }
        }

        #[test]
        fn the_read_is_the_most_probable_text_and_candidates_fall(rows in rows()) {
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let texts = all_texts(&rows);
            let best = texts.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            let read = decode(Probs { data: &flat, classes: 4 }, &ABC, 1, None);
            let second = texts.values().filter(|p| **p < *best.1).fold(0.0_f64, |a, b| a.max(*b));
            if best.0.is_empty() {
                prop_assert!(read.is_none());
            } else if best.1 - second > 1e-6 {
                let read = read.unwrap();
                let want: String = best.0.iter().map(|c| ABC[usize::from(*c) - 1]).collect();
                prop_assert_eq!(read.text.as_str(), want);
                prop_assert!((f64::from(read.confidence) - best.1).abs() < 1e-6);
                prop_assert!(read.candidates.windows(2).all(|w| w[0].confidence >= w[1].confidence));
                prop_assert!(read.candidates.iter().map(|c| c.confidence).sum::<f32>() <= 1.0 + 1e-5);
                prop_assert_eq!(read.lattice.positions.len(), best.0.len());
                for position in &read.lattice.positions {
                    prop_assert!(position.options.iter().map(|o| o.1).sum::<f32>() <= 1.0 + 1e-5);
                }
            }
        }
    }

    #[test]
    fn an_uncertain_character_is_uncertain_in_its_place_alone() {
        // A, then B or 1 (0.7 to 0.3), then A after a blank.
        let rows = [[0.02, 0.98, 0.0, 0.0], [0.0, 0.0, 0.7, 0.3], [1.0, 0.0, 0.0, 0.0], [0.02, 0.98, 0.0, 0.0]];
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        let read = decode(Probs { data: &flat, classes: 4 }, &ABC, 3, None).unwrap();
        assert_eq!(read.text.as_str(), "ABA");
        let [first, second, third] = &read.lattice.positions[..] else { panic!() };
        assert_eq!(first.options[0].0, 'A');
        assert!(first.options[0].1 > 0.97 && third.options[0].1 > 0.97);
        assert_eq!(second.options.iter().map(|o| o.0).collect::<String>(), "B1");
        assert!((second.options[1].1 - 0.3).abs() < 1e-3);
        assert_eq!(read.candidates[1].text.as_str(), "A1A");
        assert!((read.char_confidences[1] - 0.7).abs() < 1e-3);
    }

    #[test]
    fn doubled_characters_need_a_blank_between() {
        let rows = [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        let probs = Probs { data: &flat, classes: 4 };
        assert_eq!(best_path(probs, &ABC), "AA");
        assert_eq!(decode(probs, &ABC, 1, None).unwrap().text.as_str(), "AA");
        assert!(decode(probs, &ABC, 3, None).is_none());
    }

    #[test]
    fn a_text_longer_than_any_plate_is_cut_off_and_does_not_panic() {
        let mut flat = Vec::new();
        for i in 0..40 {
            flat.extend([0.0, f32::from(i % 2 == 0), f32::from(i % 2 == 1), 0.0]);
        }
        let probs = Probs { data: &flat, classes: 4 };
        assert_eq!(best_path(probs, &ABC).len(), 40);
        let _ = decode(probs, &ABC, 3, None);
    }
}
