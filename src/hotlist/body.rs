//! The entries of a package, packed: what lies behind its signed header.
//!
//! ```text
//! entry:  a 1 ‖ b 1 ‖ characters ‖ [state 2] ‖ [category 1] ‖ [first day 3] ‖ [last day 3]       numbers big-endian
//! a:  bits 0–4  how many characters the text shares with the one before (0 for the first)
//!     bit 5     a state follows: its number in the header's table, from 1
//!     bit 6     a category follows: likewise
//!     bit 7     state, category and days are those of the entry before: none of them follows
//! b:  bits 0–4  how many characters follow: the rest of the text, A–Z and 0–9, at most 16 in all
//!     bit 5     the first valid day follows, from 1970-01-01; else it was always valid
//!     bit 6     the last valid day follows; else it stays valid
//!     bit 7     0
//! ```
//! Entries stand in strictly ascending order of (text, state, category, first day, last day), so none is there twice,
//! and there is exactly one encoding of a list: its SHA-256 is the list's digest, wherever the list was put together.
//! An entry's number, as alerts name it, is its place, from 1. A million plates take 4 to 14 MB.
//!
//! Reading streams through a buffer of 64 KiB and hashes what goes through. Nothing here trusts its input.

use std::io::Read;

use super::index::Key;
use super::lists::MIN_SIGNIFICANT;
use crate::domain::PlateText;

/// Bytes of the buffer that is read through.
const BUFFER: usize = 64 << 10;
/// Most bytes of one entry.
const MAX_ENTRY: usize = 2 + PlateText::MAX_LEN + 2 + 1 + 3 + 3;
/// Days that fit into three bytes.
pub(super) const MAX_DAY: u32 = (1 << 24) - 1;

const STATE: u8 = 1 << 5;
const CATEGORY: u8 = 1 << 6;
const AS_BEFORE: u8 = 1 << 7;
const FROM: u8 = 1 << 5;
const UNTIL: u8 = 1 << 6;
const LENGTH: u8 = 0x1f;

/// One entry of a package. Its order is the order in the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Row {
    /// Its text, zero-padded.
    pub text: Key,
    /// Number of its state in the table, from 1; 0 for none.
    pub state: u16,
    /// Number of its category in the table, from 1; 0 for none of them.
    pub category: u8,
    /// First valid day; 0 for always.
    pub from_day: u32,
    /// Last valid day; `u32::MAX` for always.
    pub until_day: u32,
}

impl Row {
    /// The characters of its text.
    pub(super) fn characters(&self) -> &[u8] {
        let end = self.text.iter().position(|b| *b == 0).unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default()
    }

    fn attributes(&self) -> (u16, u8, u32, u32) {
        (self.state, self.category, self.from_day, self.until_day)
    }

    /// Why it can be no entry of a list with so many states and categories; names no plate.
    pub(super) fn fault(&self, states: usize, categories: usize) -> Option<String> {
        let text = self.characters();
        if text.iter().any(|c| matches!(c, b'*' | b'?' | b'%')) {
            return Some("it holds a wildcard; give the whole plate".to_owned());
        }
        if !text.iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            return Some("it holds characters other than A-Z and 0-9".to_owned());
        }
        if text.len() < MIN_SIGNIFICANT {
            let count = text.len();
            return Some(format!("it has {count} letters and digits, at least {MIN_SIGNIFICANT} are needed"));
        }
        if usize::from(self.state) > states || usize::from(self.category) > categories {
            return Some("its state or category is not in the header's table".to_owned());
        }
        (self.until_day < self.from_day).then(|| "its last day is before its first".to_owned())
    }
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// SHA-256 of what passes.
pub(super) struct Digest(ring::digest::Context);

impl Digest {
    pub(super) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        <[u8; 32]>::try_from(self.0.finish().as_ref()).unwrap_or_default()
    }
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Digest::new();
    digest.update(bytes);
    digest.finish()
}

/// Packs rows, one after the other.
#[derive(Default)]
pub(super) struct Packer {
    last: Option<Row>,
}

impl Packer {
    /// The bytes of `row`; the error is why it can't follow the one before.
    pub(super) fn pack(&mut self, row: &Row) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(MAX_ENTRY);
        let text = row.characters();
        let (mut a, mut b) = (0, 0);
        if let Some(last) = &self.last {
            if last >= row {
                return Err(if last == row { "it is there already" } else { "it is out of order" });
            }
            a |= low(shared(last.characters(), text));
            if last.attributes() == row.attributes() {
                a |= AS_BEFORE;
            }
        }
        let rest = text.get(usize::from(a & LENGTH)..).unwrap_or_default();
        b |= low(rest.len());
        let told = a & AS_BEFORE == 0;
        a |= if told && row.state != 0 { STATE } else { 0 };
        a |= if told && row.category != 0 { CATEGORY } else { 0 };
        b |= if told && row.from_day != 0 { FROM } else { 0 };
        b |= if told && row.until_day != u32::MAX { UNTIL } else { 0 };
        out.extend([a, b]);
        out.extend(rest);
        if a & STATE != 0 {
            out.extend(row.state.to_be_bytes());
        }
        if a & CATEGORY != 0 {
            out.push(row.category);
        }
        for (flag, day) in [(FROM, row.from_day), (UNTIL, row.until_day)] {
            if b & flag != 0 {
                let [high, bytes @ ..] = day.to_be_bytes();
                if high != 0 {
                    return Err("a day of it is too far off");
                }
                out.extend(bytes);
            }
        }
        self.last = Some(*row);
        Ok(out)
    }
}

/// A length of at most 16.
fn low(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(LENGTH) & LENGTH
}

/// A reader with a buffer, which hashes what goes through.
struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    at: usize,
    digest: Digest,
    read: u64,
}

impl<R: Read> Source<R> {
    /// The next `count` bytes; `None` when there are fewer.
    fn take(&mut self, count: usize) -> std::io::Result<Option<&[u8]>> {
        if self.buffer.len() - self.at < count {
            self.fill(count)?;
        }
        let found = self.buffer.get(self.at..self.at + count);
        if found.is_some() {
            self.at += count;
        }
        Ok(found)
    }

    fn fill(&mut self, count: usize) -> std::io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let mut more = [0; BUFFER / 4];
        while self.buffer.len() < count.max(BUFFER / 2) {
            let n = self.inner.read(&mut more)?;
            let got = more.get(..n).unwrap_or_default();
            if got.is_empty() {
                break;
            }
            self.digest.update(got);
            self.read += got.len() as u64;
            self.buffer.extend_from_slice(got);
        }
        Ok(())
    }
}

/// Why rows can't be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The medium.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// What it gave.
    #[error("entry {entry}: {why}")]
    Entry {
        /// Its number, from 1.
        entry: u64,
        why: &'static str,
    },
}

/// Reads packed rows.
pub(super) struct Rows<R> {
    source: Source<R>,
    last: Row,
    number: u64,
    left: u64,
}

impl<R: Read> Rows<R> {
    /// `count` rows from `inner`.
    pub(super) fn new(inner: R, count: u64) -> Self {
        let source = Source { inner, buffer: Vec::with_capacity(BUFFER), at: 0, digest: Digest::new(), read: 0 };
        Self { source, last: Row::default(), number: 0, left: count }
    }

    /// The next row, and `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.number += 1;
        let entry = self.number;
        let broken = |why| Broken::Entry { entry, why };
        let short = || broken("the package ends in the middle of it");
        let [a, b] = self.bytes()?.ok_or_else(short)?;
        let (kept, more) = (usize::from(a & LENGTH), usize::from(b & LENGTH));
        let mut row = Row { text: Key::default(), state: 0, category: 0, from_day: 0, until_day: u32::MAX };
        let before = self.last.characters();
        if kept > before.len() || kept + more > PlateText::MAX_LEN || (entry == 1 && a & AS_BEFORE != 0) {
            return Err(broken("it refers to what is not there"));
        }
        row.text.iter_mut().zip(before.iter().take(kept)).for_each(|(to, from)| *to = *from);
        let rest = self.source.take(more)?.ok_or_else(short)?;
        row.text.iter_mut().skip(kept).zip(rest).for_each(|(to, from)| *to = *from);
        if rest.contains(&0) {
            return Err(broken("it holds characters other than A-Z and 0-9"));
        }
        if a & AS_BEFORE != 0 {
            let (state, category, from_day, until_day) = self.last.attributes();
            row = Row { text: row.text, state, category, from_day, until_day };
        }
        if a & STATE != 0 {
            row.state = u16::from_be_bytes(self.bytes()?.ok_or_else(short)?);
        }
        if a & CATEGORY != 0 {
            [row.category] = self.bytes()?.ok_or_else(short)?;
        }
        for (flag, day) in [(FROM, &mut row.from_day), (UNTIL, &mut row.until_day)] {
            if b & flag != 0 {
                let [x, y, z] = self.bytes()?.ok_or_else(short)?;
                *day = u32::from_be_bytes([0, x, y, z]);
            }
        }
        if entry > 1 && row <= self.last {
            return Err(broken("it is out of order, or there twice"));
        }
        if !self.is_shortest(&row, a, b) {
            return Err(broken("it is not packed in the one way there is"));
        }
        self.last = row;
        Ok(Some(row))
    }

    /// Whether the flags are those that [`Packer`] would write.
    fn is_shortest(&self, row: &Row, a: u8, b: u8) -> bool {
        let first = self.number == 1;
        let most = if first { 0 } else { shared(self.last.characters(), row.characters()) };
        let as_before = !first && self.last.attributes() == row.attributes();
        let told = |set: bool, given: bool| set == (given && !as_before);
        usize::from(a & LENGTH) == most
            && (a & AS_BEFORE != 0) == as_before
            && told(a & STATE != 0, row.state != 0)
            && told(a & CATEGORY != 0, row.category != 0)
            && told(b & FROM != 0, row.from_day != 0)
            && told(b & UNTIL != 0, row.until_day != u32::MAX)
            && b & 0x80 == 0
    }

    fn bytes<const N: usize>(&mut self) -> std::io::Result<Option<[u8; N]>> {
        Ok(self.source.take(N)?.and_then(|bytes| <[u8; N]>::try_from(bytes).ok()))
    }

    /// The digest of all bytes; the error is that there are rows or bytes left.
    pub(super) fn finish(mut self) -> Result<[u8; 32], Broken> {
        let entry = self.number + 1;
        if self.left > 0 || self.source.take(1)?.is_some() {
            return Err(Broken::Entry { entry, why: "the package goes on after its last entry" });
        }
        Ok(self.source.digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::index::key;
    use super::*;

    pub(crate) fn rows() -> impl Strategy<Value = Vec<Row>> {
        let day = prop_oneof![Just(0), 1..=MAX_DAY];
        let row =
            ("[A-C0-2]{4,16}", 0_u16..4, 0_u8..3, day.clone(), day).prop_map(|(text, state, category, a, b)| Row {
                text: key(text.as_bytes()),
                state,
                category,
                from_day: a.min(b),
                until_day: if a.max(b) == 0 { u32::MAX } else { a.max(b) },
            });
        proptest::collection::btree_set(row, 0..60).prop_map(|set| set.into_iter().collect())
    }

    fn pack(rows: &[Row]) -> Vec<u8> {
        let mut packer = Packer::default();
        rows.iter().flat_map(|row| packer.pack(row).unwrap()).collect()
    }

    fn unpack(bytes: &[u8], count: usize) -> Result<(Vec<Row>, [u8; 32]), Broken> {
        let mut rows = Rows::new(bytes, count as u64);
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row);
        }
        Ok((found, rows.finish()?))
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_and_has_one_encoding(rows in rows(), flip in any::<(usize, u8)>()) {
            let bytes = pack(&rows);
            prop_assert_eq!(unpack(&bytes, rows.len()).unwrap(), (rows.clone(), sha256(&bytes)));
            prop_assert!(unpack(&bytes, rows.len() + 1).is_err());
            if !bytes.is_empty() {
                prop_assert!(unpack(&bytes, rows.len() - 1).is_err());
                let mut other = bytes.clone();
                let at = flip.0 % other.len();
                other[at] ^= flip.1;
                // Whatever still is a list is packed in the one way that it can be.
                if let Ok((read, _)) = unpack(&other, rows.len()) {
                    prop_assert_eq!(pack(&read), other);
                }
            }
        }
    }

    #[test]
    fn a_row_that_can_be_no_entry_says_why() {
        let why = |text: &str, state, category, from_day, until_day| {
            Row { text: key(text.as_bytes()), state, category, from_day, until_day }.fault(2, 1).unwrap_or_default()
        };
        assert_eq!(why("AB12", 2, 1, 5, 5), "");
        assert!(why("AB*2", 0, 0, 0, 9).contains("wildcard") && why("*", 0, 0, 0, 9).contains("wildcard"));
        assert!(why("AB1", 0, 0, 0, 9).contains("3 letters and digits"));
        assert!(why("AB-1", 0, 0, 0, 9).contains("other than"));
        assert!(why("AB12", 3, 0, 0, 9).contains("table") && why("AB12", 0, 2, 0, 9).contains("table"));
        assert!(why("AB12", 0, 0, 9, 8).contains("before its first"));
    }
}
