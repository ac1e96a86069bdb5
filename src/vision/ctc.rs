//! Text out of a reader's probabilities: best text, candidates, lattice (CTC, Graves et al. 2006).
//!
//! A reader gives, for each of its time steps, the probability of "nothing" (class 0, the blank) and of every character.
//! A text's probability is the sum over all ways to write it along the steps, runs merged and blanks dropped. Candidates
//! come from a prefix beam search (Hannun et al. 2014) and are then weighed exactly by the forward algorithm, so that a
//! confidence is the probability of the whole text under the model. The lattice says for each character what else could
//! stand there, all others held: that is what fusing by position and confusable matching need.

use crate::domain::{Candidate, Lattice, PlateRead, PlateText, Position};

/// Prefixes kept from step to step.
const BEAMS: usize = 16;

/// Most candidates of a read.
pub const MAX_CANDIDATES: usize = 10;

/// Characters less probable than this are not tried at a step.
const STEP_FLOOR: f32 = 0.002;

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
    len: usize,
    classes: [u8; PlateText::MAX_LEN],
}

impl Labels {
    fn as_slice(&self) -> &[u8] {
        self.classes.get(..self.len).unwrap_or_default()
    }

    fn last(&self) -> Option<u8> {
        self.as_slice().last().copied()
    }

    /// One longer; `None` when it would be too long for a plate.
    fn with(mut self, class: u8) -> Option<Self> {
        *self.classes.get_mut(self.len)? = class;
        self.len += 1;
        Some(self)
    }

    fn text(&self, alphabet: &[char]) -> Option<String> {
        self.as_slice().iter().map(|c| alphabet.get(usize::from(*c) - 1).copied()).collect()
    }
}

/// The read of one plate; `None` when its best text has fewer than `min_length` characters.
///
/// `alphabet` holds the characters of classes 1 and up; classes beyond 255 are not read.
#[must_use]
pub fn decode(probs: Probs<'_>, alphabet: &[char], min_length: usize) -> Option<PlateRead> {
    let mut found: Vec<(Labels, f64)> =
        beams(probs).into_iter().map(|labels| (labels, probability(probs, labels.as_slice()))).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (best, weight) = *found.first()?;
    if best.len < min_length.max(1) {
        return None;
    }
    let positions = lattice(probs, best.as_slice(), weight, alphabet);
    let char_confidences = best
        .as_slice()
        .iter()
        .zip(&positions)
        .map(|(class, position)| {
            let own = alphabet.get(usize::from(*class) - 1);
            position.options.iter().find(|(c, _)| Some(c) == own).map_or(0.0, |(_, p)| *p)
        })
        .collect();
    let candidates: Vec<Candidate> = found
        .iter()
        .filter_map(|(labels, p)| {
            let text = PlateText::from_raw(&labels.text(alphabet)?)?;
            Some(Candidate { text, confidence: as_f32(*p) })
        })
        .take(MAX_CANDIDATES)
        .collect();
    Some(PlateRead {
        text: PlateText::from_raw(&best.text(alphabet)?)?,
        confidence: as_f32(weight),
        char_confidences,
        candidates,
        lattice: Lattice { positions },
        region: None,
        regions: Vec::new(),
        frames: 1,
    })
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

/// The texts of the most probable prefixes after the last step.
fn beams(probs: Probs<'_>) -> Vec<Labels> {
    let mut beams = vec![(Labels::default(), Ending { blank: 1.0, character: 0.0 })];
    for step in probs.steps() {
        let mut next: Vec<(Labels, Ending)> = Vec::with_capacity(beams.len() * 4);
        let blank = step.first().map_or(0.0, |p| f64::from(*p));
        for (prefix, ending) in &beams {
            let all = ending.blank + ending.character;
            let stay = entry(&mut next, *prefix);
            stay.blank += all * blank;
            for (class, p) in (0_u8..).zip(step).skip(1).filter(|(_, p)| **p >= STEP_FLOOR) {
                let p = f64::from(*p);
                let repeats = prefix.last() == Some(class);
                if repeats {
                    entry(&mut next, *prefix).character += ending.character * p;
                }
                if let Some(longer) = prefix.with(class) {
                    // A doubled character needs a blank between.
                    entry(&mut next, longer).character += if repeats { ending.blank } else { all } * p;
                }
            }
        }
        next.sort_by(|a, b| (b.1.blank + b.1.character).total_cmp(&(a.1.blank + a.1.character)));
        next.truncate(BEAMS);
        beams = next;
    }
    beams.into_iter().map(|(labels, _)| labels).collect()
}

/// The entry of `labels`, made when it is not there; searched from the end, where the newest are.
fn entry(all: &mut Vec<(Labels, Ending)>, labels: Labels) -> &mut Ending {
    let at = all.iter().rposition(|(l, _)| *l == labels).unwrap_or_else(|| {
        all.push((labels, Ending::default()));
        all.len() - 1
    });
    // bounds: `at` was found or made above.
    #[expect(clippy::indexing_slicing, reason = "found or made above")]
    &mut all[at].1
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

/// For each character of the best text, what may stand there when all others are right.
fn lattice(probs: Probs<'_>, best: &[u8], weight: f64, alphabet: &[char]) -> Vec<Position> {
    let tried: Vec<u8> = (0_u8..)
        .zip(alphabet)
        .map(|(at, _)| at.saturating_add(1))
        .filter(|class| probs.steps().any(|s| s.get(usize::from(*class)).is_some_and(|p| *p >= STEP_FLOOR)))
        .collect();
    let mut other = best.to_vec();
    let mut positions = Vec::with_capacity(best.len());
    for (at, own) in best.iter().enumerate() {
        let mut options = vec![(*own, weight)];
        for class in tried.iter().filter(|c| *c != own) {
            if let Some(slot) = other.get_mut(at) {
                *slot = *class;
            }
            options.push((*class, probability(probs, &other)));
        }
        other.remove(at);
        options.push((0, probability(probs, &other)));
        other.insert(at, *own);
        let sum: f64 = options.iter().map(|(_, p)| p).sum();
        options.sort_by(|a, b| b.1.total_cmp(&a.1));
        let named = options.into_iter().filter_map(|(class, p)| {
            let character = if class == 0 { '\0' } else { *alphabet.get(usize::from(class) - 1)? };
            (sum > 0.0 && p / sum >= LATTICE_FLOOR).then(|| (character, as_f32(p / sum)))
        });
        positions.push(Position { options: named.take(MAX_OPTIONS).collect() });
    }
    positions
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
        fn the_read_is_the_most_probable_text_and_candidates_fall(rows in rows()) {
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let texts = all_texts(&rows);
            let best = texts.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            let read = decode(Probs { data: &flat, classes: 4 }, &ABC, 1);
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
        let read = decode(Probs { data: &flat, classes: 4 }, &ABC, 3).unwrap();
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
        assert_eq!(decode(probs, &ABC, 1).unwrap().text.as_str(), "AA");
        assert!(decode(probs, &ABC, 3).is_none());
    }

    #[test]
    fn a_text_longer_than_any_plate_is_cut_off_and_does_not_panic() {
        let mut flat = Vec::new();
        for i in 0..40 {
            flat.extend([0.0, f32::from(i % 2 == 0), f32::from(i % 2 == 1), 0.0]);
        }
        let probs = Probs { data: &flat, classes: 4 };
        assert_eq!(best_path(probs, &ABC).len(), 40);
        let _ = decode(probs, &ABC, 3);
    }
}
