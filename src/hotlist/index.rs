//! The entries of one list, immutable and compact, found by their folded text.
//!
//! 32 bytes an entry, sorted by the text folded over [`confusable`](crate::domain::confusable) classes, and an open
//! hash table of 4-byte positions of the first entry of each folded text (load at most a half): exact and
//! confusable-aware questions are one look-up each. "Within one edit" has no index of its own: the some 400 folded
//! texts one edit away are looked up one by one, which costs less than the memory of a deletion index would.
//! Who asks decides which of the entries found match: the folded text only brings them together.

use super::body::Row;
use crate::domain::confusable::fold;
use crate::domain::{PlateText, Severity};

/// A text of at most 16 bytes, zero-padded.
pub(super) type Key = [u8; PlateText::MAX_LEN];

/// One line of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    text: Key,
    /// First valid day, from 1970-01-01.
    pub from_day: u32,
    /// Last valid day, `u32::MAX` for always.
    pub until_day: u32,
    /// Row in the file, from 1, header not counted.
    pub row: u32,
    /// Number of its state in the list's table, 0 for none.
    pub state: u16,
    /// Severity of a hit.
    pub severity: Severity,
}

impl Entry {
    /// An entry for `text`, valid always, of no state.
    pub(super) fn new(text: &PlateText, row: u32, severity: Severity) -> Self {
        Self { text: key(text.as_str().as_bytes()), from_day: 0, until_day: u32::MAX, row, state: 0, severity }
    }

    /// Row `number` of a package.
    pub(super) fn of_row(row: &Row, number: u32, severity: Severity) -> Self {
        let Row { text, state, from_day, until_day, .. } = *row;
        Self { text, from_day, until_day, row: number, state, severity }
    }

    /// As a row of a package.
    pub(super) fn as_row(&self, category: u8) -> Row {
        let Self { text, from_day, until_day, state, .. } = *self;
        Row { text, state, category, from_day, until_day }
    }

    /// Its text.
    pub(super) fn text(&self) -> &[u8] {
        let end = self.text.iter().position(|b| *b == 0).unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default()
    }

    /// Whether it is valid on `day`.
    pub(super) fn is_valid_on(&self, day: u32) -> bool {
        (self.from_day..=self.until_day).contains(&day)
    }

    fn folded(&self) -> Key {
        self.text.map(fold)
    }
}

/// The first 16 bytes of `text`, zero-padded.
pub(super) fn key(text: &[u8]) -> Key {
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(text) {
        *to = *from;
    }
    key
}

/// Entries by folded text.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Box<[Entry]>,
    /// Position in `entries` plus one of the first of a folded text; 0 is free. A power of two long.
    slots: Box<[u32]>,
}

impl Index {
    /// Sorts and indexes `entries` (fewer than 2^32 − 1 of them).
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        // In place: a key beside each of a million entries would take as much again as they do.
        entries.sort_unstable_by_key(|e| (u128::from_be_bytes(e.folded()), e.row));
        let entries = entries.into_boxed_slice();
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut index = Self { entries, slots: vec![0; size].into_boxed_slice() };
        let mut last = None;
        for (number, entry) in (1_u32..).zip(&index.entries) {
            let folded = entry.folded();
            if last == Some(folded) {
                continue;
            }
            last = Some(folded);
            let free = probe(&folded, index.slots.len())
                .find(|slot| index.slots.get(*slot) == Some(&0))
                .and_then(|slot| index.slots.get_mut(slot));
            if let Some(slot) = free {
                *slot = number;
            }
        }
        index
    }

    /// All entries, by what they look like.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes it occupies.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.slots)
    }

    /// Entries whose folded text is that of `text`, in the order of the file.
    pub(super) fn alike(&self, text: &[u8]) -> impl Iterator<Item = &Entry> {
        self.group(key(text).map(fold))
    }

    /// Entries whose folded text is one insertion, deletion or substitution from that of `text`.
    pub(super) fn near(&self, text: &[u8]) -> impl Iterator<Item = &Entry> {
        neighbours(text).into_iter().flat_map(|folded| self.group(folded))
    }

    fn group(&self, folded: Key) -> impl Iterator<Item = &Entry> {
        let first = probe(&folded, self.slots.len())
            .map_while(|slot| self.slots.get(slot).and_then(|n| n.checked_sub(1)))
            .filter_map(|n| usize::try_from(n).ok())
            .find(|n| self.entries.get(*n).is_some_and(|e| e.folded() == folded));
        let rest = first.and_then(|n| self.entries.get(n..)).unwrap_or_default();
        rest.iter().take_while(move |e| e.folded() == folded)
    }
}

/// The slots of a table of `size` (a power of two) where `folded` may be, once around.
fn probe(folded: &Key, size: usize) -> impl Iterator<Item = usize> + use<> {
    let mask = size.wrapping_sub(1);
    let start = usize::try_from(hash(folded) >> 16).unwrap_or(0);
    (0..size).map(move |step| start.wrapping_add(step) & mask)
}

/// Two multiplications and a fold; keys are plates, not an attacker's choice of millions (and then only slow).
fn hash(folded: &Key) -> u64 {
    let n = u128::from_le_bytes(*folded);
    let mixed = (n ^ (n >> 61)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mixed = (mixed ^ (mixed >> 67)).wrapping_mul(0xD6E8_FEB8_6659_FD93_A5A3_564E_27F8_8625);
    u64::try_from(mixed >> 64).unwrap_or_default()
}

/// The folded texts one edit from the folded `text`, each once, `text` itself left out.
fn neighbours(text: &[u8]) -> Vec<Key> {
    let folded: Vec<u8> = text.iter().take(PlateText::MAX_LEN).map(|c| fold(*c)).collect();
    let alphabet: Vec<u8> = (b'0'..=b'9').chain(b'A'..=b'Z').filter(|c| fold(*c) == *c).collect();
    let mut all = Vec::with_capacity((folded.len() * 2 + 1) * (alphabet.len() + 1));
    for at in 0..=folded.len() {
        let (head, tail) = folded.split_at(at);
        if let Some((_, rest)) = tail.split_first() {
            all.push(key(&[head, rest].concat()));
            all.extend(alphabet.iter().map(|c| key(&[head, &[*c], rest].concat())));
        }
        if folded.len() < PlateText::MAX_LEN {
            all.extend(alphabet.iter().map(|c| key(&[head, &[*c], tail].concat())));
        }
    }
    let itself = key(&folded);
    all.retain(|k| *k != itself);
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(texts: &[&str]) -> Index {
        let entries =
            (1..).zip(texts).map(|(row, t)| Entry::new(&PlateText::from_raw(t).unwrap(), row, Severity::Info));
        Index::new(entries.collect())
    }

    fn rows<'a>(found: impl Iterator<Item = &'a Entry>) -> Vec<u32> {
        let mut rows: Vec<u32> = found.map(|e| e.row).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn entries_are_found_by_what_they_look_like() {
        let index = index(&["ABC123", "A8C1Z3", "ABC124", "ABC123"]);
        assert_eq!(rows(index.alike(b"ABC123")), [1, 2, 4]);
        assert_eq!(rows(index.alike(b"ABC12")), [] as [u32; 0]);
        assert_eq!(rows(index.near(b"ABC12")), [1, 2, 3, 4]);
        assert_eq!(rows(index.near(b"XABC124")), [3]);
        assert_eq!(rows(Index::default().alike(b"ABC123")), [] as [u32; 0]);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_through_all_finds(
            texts in proptest::collection::vec("[ABO01]{4,6}", 0..60),
            asked in "[ABO01]{4,6}",
        ) {
            let index = index(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let fold_all = |t: &str| t.bytes().map(fold).collect::<Vec<u8>>();
            let want: Vec<u32> = (1..).zip(&texts).filter(|(_, t)| fold_all(t) == fold_all(&asked)).map(|(r, _)| r).collect();
            prop_assert_eq!(rows(index.alike(asked.as_bytes())), want);
            let near: Vec<u32> = (1..).zip(&texts).filter(|(_, t)| edits(&fold_all(t), &fold_all(&asked)) == 1).map(|(r, _)| r).collect();
            prop_assert_eq!(rows(index.near(asked.as_bytes())), near);
        }
    }

    /// Levenshtein distance, the plain way.
    fn edits(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a2 @ ..], [y, b2 @ ..]) if x == y => edits(a2, b2),
            ([_, a2 @ ..], [_, b2 @ ..]) => 1 + edits(a2, b2).min(edits(a, b2)).min(edits(a2, b)),
        }
    }
}
