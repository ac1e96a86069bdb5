//! What a list would match, before it does: the misreads that its policy accepts, and how often plates of the last day
//! would make a hit. Counts alone, never a plate.
//!
//! A policy that forgives misreads also takes plates of others for the entry. How many there may be shows in three
//! ways: the texts that count as the entry (by look-alikes; one plain edit away), those of them that are shaped like
//! plates that are about here (letters and digits in the same places as in at least one in a hundred entries or reads),
//! and how many entries would be taken for another entry of the same list. Of a large list 2,000 entries, evenly spread, are looked at.
//!
//! Reads are counted by distinct plates and rounded down to fives: a list made to ask whether one car was here learns
//! nothing. Regions are left aside, so real hits may be fewer. Takes some tenths of a second for a million entries.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::index::{Entry, Key, key};
use super::list::List;
use super::matcher::{NEAR_MIN_LEN, closest};
use crate::domain::confusable::alike;
use crate::domain::{How, MatchPolicy, PlateText, TimeMs};

/// Most entries that are looked at.
const SAMPLE: usize = 2_000;
/// A shape counts as that of plates here when one in so many has it.
const RARE: usize = 100;
/// Counts of reads are multiples of this.
pub const STEP: u32 = 5;

/// Letters (`A`) and digits (`9`) of a plate, zero-padded.
type Shape = Key;

/// The misreads that entries accept, summed over the entries that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Misreads {
    /// Texts that look alike.
    pub alike: u64,
    /// Of them, those shaped like plates here.
    pub alike_plausible: u64,
    /// Texts one plain edit away that do not look alike; none for entries too short for it.
    pub near: u64,
    /// Of them, those shaped like plates here.
    pub near_plausible: u64,
}

/// How many distinct plates of those asked about would match, by the closest way; in steps of [`STEP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plates {
    /// The same text.
    pub exact: u32,
    /// Only by look-alikes.
    pub alike: u32,
    /// Only by one edit.
    pub near: u32,
    /// By the policy, and not by the list in force.
    pub new: u32,
}

/// What [`preview`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preview {
    /// Entries that were looked at.
    pub looked: u32,
    /// What they accept.
    pub misreads: Misreads,
    /// Of them, those that look like another entry.
    pub others_alike: u32,
    /// Of them, those that are one edit from another entry and do not look like it.
    pub others_near: u32,
    /// Distinct plates that were asked about.
    pub plates: u32,
    /// How many of them would match.
    pub matching: Plates,
}

/// Looks at `list` as if its policy were `policy`, beside `in_force`, the list that it would replace, over the texts of
/// `reads`.
#[must_use]
pub fn preview(
    list: &List,
    policy: MatchPolicy,
    in_force: Option<&List>,
    reads: &BTreeSet<PlateText>,
    now: TimeMs,
) -> Preview {
    let sample = sample(list);
    let shapes = Shapes::of(sample.iter().map(|e| e.text()).chain(reads.iter().map(|r| r.as_str().as_bytes())));
    let mut found = Preview {
        looked: count(sample.len()),
        plates: rounded(count(reads.len())),
        matching: plates(list, policy, in_force, reads, now),
        ..Preview::default()
    };
    for entry in sample {
        add(&mut found.misreads, misreads(entry.text(), &shapes));
        let other = |e: &&Entry| e.text() != entry.text();
        let looks = |e: &&Entry| super::matcher::all_alike(e.text(), entry.text());
        if list.index().alike(entry.text()).filter(other).any(|e| looks(&e)) {
            found.others_alike += 1;
        } else if entry.text().len() >= NEAR_MIN_LEN
            && list.index().near(entry.text()).any(|e| super::matcher::one_edit_apart(e.text(), entry.text()))
        {
            found.others_near += 1;
        }
    }
    found
}

/// What one plate as an entry of `list` would accept: no reads are looked at.
#[must_use]
pub fn preview_plate(list: &List, plate: &PlateText) -> Preview {
    let shapes = Shapes::of(sample(list).iter().map(|e| e.text()));
    let text = plate.as_str().as_bytes();
    let others: Vec<&Entry> = list.index().alike(text).filter(|e| e.text() != text).collect();
    let (alike, rest): (Vec<&Entry>, Vec<&Entry>) =
        others.into_iter().partition(|e| super::matcher::all_alike(e.text(), text));
    let long = text.len() >= NEAR_MIN_LEN;
    let near = list.index().near(text).chain(rest).filter(|e| long && super::matcher::one_edit_apart(e.text(), text));
    Preview {
        looked: 1,
        misreads: misreads(text, &shapes),
        others_alike: count(alike.len()),
        others_near: count(near.count()),
        ..Preview::default()
    }
}

fn sample(list: &List) -> Vec<&Entry> {
    let entries = list.index().entries();
    entries.iter().step_by(entries.len().div_ceil(SAMPLE).max(1)).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn rounded(n: u32) -> u32 {
    n / STEP * STEP
}

fn plates(
    list: &List,
    policy: MatchPolicy,
    in_force: Option<&List>,
    reads: &BTreeSet<PlateText>,
    now: TimeMs,
) -> Plates {
    let accepts = |policy: MatchPolicy, how: How| match how {
        How::Exact => true,
        How::Confusable => policy != MatchPolicy::Exact,
        How::Near => policy == MatchPolicy::Near,
    };
    let mut found = Plates::default();
    for read in reads {
        let text = read.as_str().as_bytes();
        let Some(how) = closest(list, text, now.day()) else { continue };
        match how {
            How::Exact => found.exact += 1,
            How::Confusable => found.alike += 1,
            How::Near => found.near += 1,
        }
        let matched = in_force.and_then(|l| closest(l, text, now.day()).map(|how| accepts(l.settings().policy, how)));
        found.new += u32::from(accepts(policy, how) && matched != Some(true));
    }
    let Plates { exact, alike, near, new } = found;
    Plates { exact: rounded(exact), alike: rounded(alike), near: rounded(near), new: rounded(new) }
}

fn add(sum: &mut Misreads, more: Misreads) {
    sum.alike = sum.alike.saturating_add(more.alike);
    sum.alike_plausible = sum.alike_plausible.saturating_add(more.alike_plausible);
    sum.near += more.near;
    sum.near_plausible += more.near_plausible;
}

fn class_of(c: u8) -> u8 {
    if c.is_ascii_digit() { b'9' } else { b'A' }
}

fn shape(text: &[u8]) -> Shape {
    key(text).map(|c| if c == 0 { 0 } else { class_of(c) })
}

/// The shapes of plates here.
struct Shapes(HashSet<Shape>);

impl Shapes {
    fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut counts: BTreeMap<Shape, usize> = BTreeMap::new();
        let mut all = 0;
        for text in texts {
            *counts.entry(shape(text)).or_default() += 1;
            all += 1;
        }
        Self(counts.into_iter().filter(|(_, n)| n * RARE >= all).map(|(shape, _)| shape).collect())
    }

    fn has(&self, text: &[u8]) -> bool {
        self.0.contains(&shape(text))
    }
}

const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn misreads(text: &[u8], shapes: &Shapes) -> Misreads {
    let options = |c: u8, class: Option<u8>| {
        let fits = |o: &&u8| alike(**o, c) && class.is_none_or(|class| class_of(**o) == class);
        ALPHABET.iter().filter(fits).count() as u64
    };
    let all = text.iter().fold(1_u64, |product, c| product.saturating_mul(options(*c, None)));
    let of_shape = |shape: &Shape| {
        let fits = shape.iter().filter(|c| **c != 0).count() == text.len();
        let product = |product: u64, (c, class): (&u8, &u8)| product.saturating_mul(options(*c, Some(*class)));
        if fits { text.iter().zip(shape).fold(1, product) } else { 0 }
    };
    let plausible = shapes.0.iter().map(of_shape).fold(0, u64::saturating_add);
    let near = if text.len() >= NEAR_MIN_LEN { edits(text) } else { HashSet::new() };
    Misreads {
        alike: all.saturating_sub(1),
        alike_plausible: plausible.saturating_sub(u64::from(shapes.has(text))),
        near: near.len() as u64,
        near_plausible: near
            .iter()
            .filter(|k| shapes.0.contains(&k.map(|c| if c == 0 { 0 } else { class_of(c) })))
            .count() as u64,
    }
}

/// The texts one plain edit away that do not look alike.
fn edits(text: &[u8]) -> HashSet<Key> {
    let mut all = HashSet::new();
    for at in 0..=text.len() {
        let (head, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
        if let Some((old, rest)) = tail.split_first() {
            all.insert(key(&[head, rest].concat()));
            all.extend(ALPHABET.iter().filter(|c| !alike(**c, *old)).map(|c| key(&[head, &[*c], rest].concat())));
        }
        if text.len() < PlateText::MAX_LEN {
            all.extend(ALPHABET.iter().map(|c| key(&[head, &[*c], tail].concat())));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::list::ListSettings;
    use super::*;
    use crate::domain::{ListId, Severity};

    fn list(plates: &[&str]) -> List {
        let csv = format!("PlateNumber\n{}\n", plates.join("\n"));
        let settings = ListSettings::new(ListId::new("wanted").unwrap(), 1, Severity::Info);
        List::parse(Path::new("l.csv"), csv.as_bytes(), TimeMs(0), &settings).unwrap()
    }

    fn plate(text: &str) -> PlateText {
        PlateText::from_raw(text).unwrap()
    }

    #[test]
    fn the_misreads_of_an_entry_are_counted_and_those_that_look_like_plates_here() {
        // X and Y look like nothing else; 1 like I and L, 2 like Z.
        let found = preview_plate(&list(&["XYX12"]), &plate("XYX12"));
        assert_eq!(found.misreads.alike, 3 * 2 - 1);
        assert_eq!(found.misreads.alike_plausible, 0, "letters stand where plates here have digits");
        // Deletions: 5. Substitutions: 3 × 35 + 33 + 34. Insertions: 6 × 36, of which 5 come twice.
        assert_eq!(found.misreads.near, 5 + 3 * 35 + 33 + 34 + 6 * 36 - 5);
        // Letters for letters and digits for digits: 3 × 25 + 9 + 9.
        assert_eq!(found.misreads.near_plausible, 3 * 25 + 9 + 9);
        assert_eq!((found.others_alike, found.others_near), (0, 0));
    }

    #[test]
    fn misreads_that_are_counted_are_those_that_would_match() {
        // X looks like nothing else.
        let tail = |n: usize| -> Vec<u8> { (0..3).map(|k| ALPHABET[n / 36_usize.pow(k) % 36]).collect() };
        let looks = |text: &Vec<u8>| super::super::matcher::all_alike(text, b"B12");
        let alike = (0..36_usize.pow(3)).map(tail).filter(looks).count();
        let found = preview_plate(&list(&["XB12"]), &plate("XB12")).misreads;
        assert_eq!((found.alike, found.near), (alike as u64 - 1, 0), "four characters are too few for an edit");
        let l = list(&["AB123"]);
        for text in edits(b"AB123") {
            let text: Vec<u8> = text.into_iter().filter(|c| *c != 0).collect();
            assert_eq!(closest(&l, &text, 0), Some(How::Near));
        }
    }

    #[test]
    fn entries_that_are_taken_for_others_are_counted() {
        let found = preview(
            &list(&["ABC123", "A8C123", "XYX999", "XYX998", "QQQ111"]),
            MatchPolicy::Near,
            None,
            &BTreeSet::new(),
            TimeMs(0),
        );
        assert_eq!((found.looked, found.others_alike, found.others_near), (5, 2, 2));
        let one = preview_plate(&list(&["ABC123", "A8C123", "ABC12"]), &plate("ABC123"));
        assert_eq!((one.others_alike, one.others_near), (1, 1));
    }

    #[test]
    fn plates_of_the_last_day_are_counted_in_fives() {
        let reads: BTreeSet<PlateText> =
            (0..7).map(|n| plate(&format!("XYX77{n}"))).chain((0..9).map(|n| plate(&format!("A8C12{n}")))).collect();
        let entries: Vec<String> =
            (0..7).map(|n| format!("XYX77{n}")).chain((0..9).map(|n| format!("ABC12{n}"))).collect();
        let new = list(&entries.iter().map(String::as_str).collect::<Vec<_>>());
        let old = list(&entries.iter().take(7).map(String::as_str).collect::<Vec<_>>());
        let found = preview(&new, MatchPolicy::Confusable, Some(&old), &reads, TimeMs(0));
        assert_eq!(found.plates, 15);
        assert_eq!(found.matching, Plates { exact: 5, alike: 5, near: 0, new: 5 });
        let exact = preview(&new, MatchPolicy::Exact, Some(&old), &reads, TimeMs(0));
        assert_eq!(exact.matching.new, 0);
        let one = BTreeSet::from([plate("XYX771")]);
        assert_eq!(preview(&new, MatchPolicy::Exact, None, &one, TimeMs(0)).matching, Plates::default());
    }
}
