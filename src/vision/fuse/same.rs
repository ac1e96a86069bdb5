//! Whether two reads are of one plate, by all that they say and not by their best texts alone.
//!
//! The lattices are laid over each other as when fusing; what counts is where they say something else, and how surely.
//! A character that one of them doubts costs little, two that are sure of different ones cost much. So one vehicle that
//! was read a little differently after a post is known again, and the next one of the same fleet, whose plate differs in
//! a digit that both reads are sure of, is not.

use super::{Column, Meet, align, character, columns};
use crate::domain::{PlateRead, confusable};

/// The most that a place may cost where both see a character, and where they look alike: readers mix those up surely.
const MOST: f32 = 5.0;
const MOST_ALIKE: f32 = 0.4;

/// What a character costs that one of them lacks, and at an end, where crops and posts cut off.
const LACKS: f32 = 2.5;
const LACKS_AT_END: f32 = 1.2;

/// By how much two reads speak against being of one plate: 0 when they say the same, below 1 when what differs is in
/// doubt, 4 and more when both are sure of a different character. Natural logarithms of likenesses (cosines), added up.
#[must_use]
pub fn disagreement(a: &PlateRead, b: &PlateRead) -> f32 {
    let (a, b) = (columns(a), columns(b));
    let meets = align(&a, &b);
    let (mut left, mut right) = (a.iter(), b.iter());
    let last = meets.len().saturating_sub(1);
    let costs = meets.iter().enumerate().map(|(at, meet)| {
        let lacks = if at == 0 || at == last { LACKS_AT_END } else { LACKS };
        match meet {
            Meet::Both => left.next().zip(right.next()).map_or(0.0, |(x, y)| unlike(x, y)),
            Meet::OnlyConsensus => left.next().map_or(0.0, |x| lacks * sure(x)),
            Meet::OnlyRead => right.next().map_or(0.0, |y| lacks * sure(y)),
        }
    });
    costs.sum()
}

fn unlike(x: &Column, y: &Column) -> f32 {
    let dot = |a: &Column, b: &Column| a.iter().zip(b).map(|(p, q)| p * q).sum::<f32>();
    let cosine = dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(1e-9);
    let most = if are_alike(x, y) { MOST_ALIKE } else { MOST };
    (-cosine.max(1e-6).ln()).clamp(0.0, most)
}

fn are_alike(x: &Column, y: &Column) -> bool {
    let byte = |c: &Column| best(c).and_then(character).and_then(|c| u8::try_from(c).ok());
    byte(x).zip(byte(y)).is_some_and(|(x, y)| confusable::alike(x, y))
}

fn best(column: &Column) -> Option<usize> {
    (0..column.len()).max_by(|i, j| {
        let p = |i: &usize| column.get(*i).copied().unwrap_or(0.0);
        p(i).total_cmp(&p(j))
    })
}

/// How surely there is a character at all.
fn sure(column: &Column) -> f32 {
    1.0 - column.last().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Lattice, PlateText, Position};

    /// A read whose characters have these probabilities, with what else each may be.
    fn read(text: &str, doubts: &[(usize, char, f32)]) -> PlateRead {
        let position = |(at, c): (usize, char)| {
            let other = doubts.iter().find(|d| d.0 == at);
            let options = other.map_or_else(|| vec![(c, 0.97)], |(_, d, p)| vec![(c, 0.98 - p), (*d, *p)]);
            Position { options }
        };
        PlateRead {
            text: PlateText::from_raw(text).unwrap(),
            confidence: 0.9,
            char_confidences: Vec::new(),
            candidates: Vec::new(),
            lattice: Lattice { positions: text.chars().enumerate().map(position).collect() },
            region: None,
            regions: Vec::new(),
            frames: 5,
        }
    }

    #[test]
    fn what_is_doubted_speaks_little_against_one_plate_and_what_is_sure_speaks_much() {
        let plate = read("KLM4821", &[]);
        assert!(disagreement(&plate, &plate) < 0.01);
        let doubted = disagreement(&plate, &read("KLM4831", &[(5, '2', 0.4)]));
        assert!((0.1..1.0).contains(&doubted), "{doubted}");
        assert!(disagreement(&plate, &read("KLM4831", &[])) > 4.0, "the next of the fleet");
        assert!(disagreement(&plate, &read("KLM4B2I", &[])) < 1.0, "look-alikes");
        let cut = disagreement(&plate, &read("LM4821", &[]));
        assert!((0.8..2.0).contains(&cut), "{cut}");
        assert!(disagreement(&plate, &read("XYZ9876", &[])) > 12.0);
    }

    proptest! {
        #[test]
        fn sure_reads_of_two_plates_that_differ_never_pass_for_one(
            text in "[A-Z]{3}[0-9]{4}",
            at in 0_usize..7,
            other in "[A-Z0-9]",
        ) {
            let (was, now) = (text.as_bytes()[at], other.as_bytes()[0]);
            prop_assume!(!confusable::alike(was, now));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other);
            let (a, b) = (read(&text, &[]), read(&changed, &[]));
            prop_assert!(disagreement(&a, &b) > 2.3, "{text} {changed} {}", disagreement(&a, &b));
            // And one of them that doubts just that character may be the other.
            let doubts = read(&changed, &[(at, char::from(was), 0.45)]);
            prop_assert!(disagreement(&a, &doubts) < 1.0, "{text} {changed} {}", disagreement(&a, &doubts));
            prop_assert!((disagreement(&a, &b) - disagreement(&b, &a)).abs() < 0.2);
        }
    }
}
