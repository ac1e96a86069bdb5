//! What changes between two packages of a list: made at the centre, applied on the box.
//!
//! ```text
//! body of a delta:  removed 4 ‖ added 4 ‖ one varint a removed entry ‖ added entries, packed as in a list
//! ```
//! A varint (LEB128) is how much further on in the list that it builds on the next removed entry stands, from 1; so a
//! delta names no plate that leaves a list. A changed entry is removed and added. States and categories of added
//! entries are numbers in the delta's own header; entries that stay keep theirs by name.
//!
//! [`apply`] reads the old list once, in order, and writes the new one as it goes: neither is in memory whole but for the
//! index that comes into force. What it wrote counts only when the digest of it is the one that was signed.

use std::cmp::Ordering;
use std::io::{Read, Write};

use super::Error;
use super::body::{Broken, Digest, Packer, Row, Rows, sha256};
use super::list::List;
use super::package::{Base, Builder, Header, pack_rows};

/// How much a delta changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Entries that were not there, changed ones included.
    pub added: u32,
    /// Entries that are there no more, changed ones included.
    pub removed: u32,
    /// Plates among both.
    pub changed: u32,
}

/// Numbers of states and categories of one header in another.
struct Renumber {
    states: Vec<Option<u16>>,
    categories: Vec<Option<u8>>,
}

impl Renumber {
    fn new(from: &Header, to: &Header) -> Self {
        let state = |name: &String| to.states.binary_search(name).ok().and_then(|n| u16::try_from(n + 1).ok());
        let category = |(name, _): &(String, _)| {
            to.categories.iter().position(|(other, _)| other == name).and_then(|n| u8::try_from(n + 1).ok())
        };
        Self {
            states: std::iter::once(Some(0)).chain(from.states.iter().map(state)).collect(),
            categories: std::iter::once(Some(0)).chain(from.categories.iter().map(category)).collect(),
        }
    }

    /// The row in the other's numbers; `None` when the other does not know its state or category.
    fn row(&self, row: &Row) -> Option<Row> {
        let state = self.states.get(usize::from(row.state)).copied().flatten()?;
        let category = self.categories.get(usize::from(row.category)).copied().flatten()?;
        Some(Row { state, category, ..*row })
    }
}

/// The delta that makes the list of `new` of that of `old`: the header to sign, the body that follows, and how much
/// it changes. Both are a header and a whole list's body, already verified.
///
/// # Errors
/// [`Error::Package`] when they are not two packages of one list with growing serials; what [`super::package::load`] has
/// of bodies.
pub fn between(old: (&Header, &[u8]), new: (&Header, &[u8])) -> Result<(Header, Vec<u8>, Change), Error> {
    let wrong = |why: &str| Error::Package { list: Some(new.0.list.clone()), why: why.to_owned() };
    if old.0.list != new.0.list {
        return Err(wrong(&format!("the other package is of list {}", old.0.list)));
    }
    if new.0.serial <= old.0.serial {
        return Err(wrong(&format!("serial {} does not follow {}", new.0.serial, old.0.serial)));
    }
    let renumber = Renumber::new(old.0, new.0);
    let (of_old, of_new) = (|e: Broken| Error::of_rows(&old.0.list, &e), |e: Broken| Error::of_rows(&new.0.list, &e));
    let mut before = Rows::new(old.1, u64::from(old.0.entries));
    let mut after = Rows::new(new.1, u64::from(new.0.entries));
    let (mut gaps, mut added) = (Vec::new(), Vec::new());
    let (mut at, mut last, mut removed) = (0_u32, 0_u32, 0_u32);
    let mut plates = Pairs::default();
    let (mut a, mut b) = (before.next().map_err(of_old)?, after.next().map_err(of_new)?);
    loop {
        let order = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => match renumber.row(a) {
                Some(row) => row.cmp(b),
                // It can't stay: it goes when the merge has come to its text.
                None if a.text <= b.text => Ordering::Less,
                None => Ordering::Greater,
            },
        };
        if order.is_le() {
            at += 1;
            if let (Ordering::Less, Some(gone)) = (order, a) {
                varint(&mut gaps, at - last);
                (last, removed) = (at, removed + 1);
                plates.removed(&gone);
            }
            a = before.next().map_err(of_old)?;
        }
        if order.is_ge() {
            if let (Ordering::Greater, Some(row)) = (order, b) {
                plates.added(&row);
                added.push(row);
            }
            b = after.next().map_err(of_new)?;
        }
    }
    let count = u32::try_from(added.len()).unwrap_or(u32::MAX);
    let packed = pack_rows(&added).map_err(&wrong)?;
    let body = [&removed.to_be_bytes()[..], &count.to_be_bytes(), &gaps, &packed].concat();
    let base = Base { serial: old.0.serial, digest: old.0.digest, delta: sha256(&body) };
    let header = Header { base: Some(base), ..new.0.clone() };
    Ok((header, body, Change { added: count, removed, changed: plates.both }))
}

/// Makes the list of `header` of the list of `base` and the delta's `body`; the whole new body goes to `out`.
///
/// # Errors
/// [`Error::OtherBase`] when it builds on another list than `base`; [`Error::Digest`] when it or what it makes is not
/// what was signed; [`Error::BadEntries`], [`Error::Package`]; I/O errors. What went to `out` counts for nothing then.
pub fn apply(
    header: &Header,
    body: &[u8],
    base: (&Header, impl Read),
    out: &mut dyn Write,
) -> Result<(List, Change), Error> {
    let list = || header.list.clone();
    let wrong = |why: String| Error::Package { list: Some(list()), why };
    let on = header.base.ok_or_else(|| wrong("it is a whole list and no delta".to_owned()))?;
    if (on.serial, on.digest) != (base.0.serial, base.0.digest) || base.0.list != header.list {
        return Err(Error::OtherBase { list: list(), have: base.0.serial, want: on.serial });
    }
    if sha256(body) != on.delta {
        return Err(Error::Digest { list: list() });
    }
    let short = || wrong("the delta ends too early".to_owned());
    let (count, rest) = body.split_first_chunk::<4>().ok_or_else(short)?;
    let (added, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let removed = u32::from_be_bytes(*count);
    let mut change = Change { added: u32::from_be_bytes(*added), removed, changed: 0 };
    let mut places = Vec::new();
    for number in 1..=removed {
        let gap = unvarint(&mut rest).filter(|gap| *gap > 0);
        let place = gap.and_then(|gap| places.last().unwrap_or(&0_u32).checked_add(gap));
        places.push(place.ok_or_else(|| wrong(format!("removed entry {number} is not told")))?);
    }
    if let Some(beyond) = places.last().filter(|last| **last > base.0.entries) {
        return Err(wrong(format!("it removes entry {beyond} of {}", base.0.entries)));
    }
    let mut merge =
        Merge { builder: Builder::new(header), packer: Packer::default(), digest: Digest::new(), out, number: 0 };
    let mut added = Rows::new(rest, u64::from(change.added));
    let mut old = Rows::new(base.1, u64::from(base.0.entries));
    let (of_old, of_new) = (|e: Broken| Error::of_rows(&header.list, &e), |e: Broken| Error::of_rows(&header.list, &e));
    let renumber = Renumber::new(base.0, header);
    let mut plates = Pairs::default();
    let mut next = added.next().map_err(of_new)?;
    let mut gone = places.into_iter().peekable();
    let mut place = 0_u32;
    while let Some(row) = old.next().map_err(of_old)? {
        place += 1;
        let stays = gone.next_if_eq(&place).is_none();
        while let Some(more) = next.filter(|more| more.text < row.text) {
            plates.added(&more);
            merge.push(&more)?;
            next = added.next().map_err(of_new)?;
        }
        if !stays {
            plates.removed(&row);
            continue;
        }
        let unknown = || wrong(format!("entry {place} stays, and its state or category is not in the header's table"));
        let row = renumber.row(&row).ok_or_else(unknown)?;
        while let Some(more) = next.filter(|more| *more <= row) {
            plates.added(&more);
            merge.push(&more)?;
            next = added.next().map_err(of_new)?;
        }
        merge.push(&row)?;
    }
    while let Some(more) = next {
        plates.added(&more);
        merge.push(&more)?;
        next = added.next().map_err(of_new)?;
    }
    added.finish().map_err(of_new)?;
    if old.finish().map_err(of_old)? != base.0.digest {
        return Err(Error::Digest { list: list() });
    }
    change.changed = plates.both;
    Ok((merge.finish()?, change))
}

/// The new list while it is written.
struct Merge<'a> {
    builder: Builder<'a>,
    packer: Packer,
    digest: Digest,
    out: &'a mut dyn Write,
    number: u64,
}

impl Merge<'_> {
    fn push(&mut self, row: &Row) -> Result<(), Error> {
        self.number += 1;
        let number = self.number;
        let list = || self.builder.list().clone();
        let bytes =
            self.packer.pack(row).map_err(|why| Error::of_rows(&list(), &Broken::Entry { entry: number, why }))?;
        self.digest.update(&bytes);
        self.out.write_all(&bytes).map_err(|e| Error::of_rows(&list(), &Broken::Read(e)))?;
        self.builder.push(row);
        Ok(())
    }

    fn finish(self) -> Result<List, Error> {
        self.builder.finish(self.digest.finish())
    }
}

/// Counts the plates that are removed and added; both come in the order of their texts.
#[derive(Default)]
struct Pairs {
    removed: Option<[u8; 16]>,
    added: Option<[u8; 16]>,
    counted: Option<[u8; 16]>,
    both: u32,
}

impl Pairs {
    fn removed(&mut self, row: &Row) {
        self.removed = Some(row.text);
        self.count(row);
    }

    fn added(&mut self, row: &Row) {
        self.added = Some(row.text);
        self.count(row);
    }

    fn count(&mut self, row: &Row) {
        if self.removed == self.added && self.counted != Some(row.text) {
            self.counted = Some(row.text);
            self.both += 1;
        }
    }
}

fn varint(out: &mut Vec<u8>, mut n: u32) {
    while let rest @ 1.. = n >> 7 {
        out.push(u8::try_from(n & 0x7f).unwrap_or(0) | 0x80);
        n = rest;
    }
    out.push(u8::try_from(n).unwrap_or(0));
}

/// A number in its shortest form.
fn unvarint(bytes: &mut &[u8]) -> Option<u32> {
    let mut n = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let shortest = *byte != 0 || shift == 0;
            return u32::try_from(n).ok().filter(|_| shortest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::list::ListSettings;
    use super::super::package::{load, pack};
    use super::*;
    use crate::domain::{ListId, Ownership, Severity, Share, TimeMs};

    fn packed(lines: &[String], serial: u32, stolen: bool) -> (Header, Vec<u8>) {
        let mut settings = ListSettings::new(ListId::new("wanted").unwrap(), 1, Severity::Minor);
        settings.owner = Some(Ownership { org: "north".to_owned(), share: Share::None });
        let words = if stolen { vec!["Stolen", "Bolo"] } else { vec!["Bolo"] };
        settings.category_severity = words.into_iter().map(|w| (w.to_owned(), Severity::Serious)).collect();
        let csv = format!("PlateNumber,PlateState,Category,ExpiryDate\n{}", lines.concat());
        let packed = pack("l.csv".as_ref(), csv.as_bytes(), &settings, serial, TimeMs(5)).unwrap();
        (packed.header, packed.body)
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        let line = ("[AB01]{4,5}", "(|CA|NV|TX)", "(|stolen|bolo)", "(|20300101)");
        proptest::collection::vec(line.prop_map(|(p, s, c, d)| format!("{p},{s},{c},{d}\n")), 0..40)
    }

    proptest! {
        #[test]
        fn a_delta_makes_the_new_list_of_the_old_one(old in lines(), new in lines(), had in any::<bool>(), has in any::<bool>()) {
            let (old, new) = (packed(&old, 1, had), packed(&new, 2, has));
            let (header, delta, made) = between((&old.0, &old.1), (&new.0, &new.1)).unwrap();
            let mut out = Vec::new();
            let (list, change) = apply(&header, &delta, (&old.0, &old.1[..]), &mut out).unwrap();
            prop_assert_eq!(&out, &new.1);
            prop_assert_eq!(list.digest(), &new.0.digest);
            prop_assert_eq!(list.len(), load(&new.0, &new.1[..]).unwrap().len());
            prop_assert_eq!(change, made);
        }

        #[test]
        fn a_damaged_delta_is_refused(old in lines(), new in lines(), at in any::<usize>(), bit in 0_u32..8) {
            let (old, new) = (packed(&old, 1, true), packed(&new, 2, true));
            let (header, mut delta, _) = between((&old.0, &old.1), (&new.0, &new.1)).unwrap();
            let at = at % delta.len();
            delta[at] ^= 1_u8 << bit;
            let error = apply(&header, &delta, (&old.0, &old.1[..]), &mut Vec::new()).unwrap_err();
            prop_assert!(matches!(error, Error::Digest { .. }), "{}", error);
            // Also when the signer meant it so: what it makes is not what the header says, or can't be made.
            let base = header.base.map(|b| Base { delta: sha256(&delta), ..b });
            let header = Header { base, ..header };
            prop_assert!(apply(&header, &delta, (&old.0, &old.1[..]), &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn a_delta_builds_on_one_list_only() {
        let one = packed(&["ABC123,,,\n".to_owned(), "ABC124,CA,,\n".to_owned()], 1, true);
        let two = packed(&["ABC123,,,20300101\n".to_owned(), "XYZ999,,,\n".to_owned()], 2, true);
        let other = packed(&["XYZ987,,,\n".to_owned()], 1, true);
        let (header, delta, change) = between((&one.0, &one.1), (&two.0, &two.1)).unwrap();
        assert_eq!(change, Change { added: 2, removed: 2, changed: 1 });
        for base in [&other, &two] {
            let error = apply(&header, &delta, (&base.0, &base.1[..]), &mut Vec::new()).unwrap_err();
            assert!(matches!(error, Error::OtherBase { want: 1, .. }), "{error}");
        }
        assert!(between((&two.0, &two.1), (&one.0, &one.1)).unwrap_err().to_string().contains("does not follow"));
        let whole = apply(&two.0, &two.1, (&one.0, &one.1[..]), &mut Vec::new()).unwrap_err();
        assert!(whole.to_string().contains("no delta"), "{whole}");
    }
}
