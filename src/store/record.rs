//! A record: what one row of the ledger and of the index is, sealed or not.
//!
//! ```text
//! kind  1   1 sighting · 2 hit · 3 alert copy · 4 shed notice · 5 gone · 6 handling of a hit · 7 hold · 8 tally of verdicts · 9 clip or view
//! day   4   of the key that seals it
//! class 1   of the key that seals it
//! n     1   length of the name
//! name  n   which one: what it is found by, in the order that it is asked for
//! len   4   length of what follows
//! body  len sealed (nonce ‖ ciphertext ‖ tag); AAD = "watchpost record 1" ‖ kind ‖ day ‖ class ‖ n ‖ name
//! ```
//! Numbers are big-endian. Names: a sighting's is its id (16 bytes, UUIDv7: sorts by time); a hit's is the id, then 0,
//! list number (2), entry (4) or 1, rule number (2), 0 (4); an outbox entry's (kinds 3 and 4) is rank (1: 0 critical …
//! 3 info), seq (8), stored at (8, ms UTC). A *gone* record says which seqs left the outbox; it knows nothing of plates
//! and is not sealed (the batch's MAC covers it), day and class are 0: `reason (1: 1 acked, 2 shed, 3 alerts that were shed, one by one)`, then `from (8),
//! to (8)` a closed range. A handling has its hit's name, and lies under the key of its hit. A hold's name is its number (4),
//! and it lies under its own key. A clip's or view's is the id, then the byte of its file (`evidence`). A tally's name is the month (4: year · 12 + month); it knows nothing of plates,
//! outlives every day, and is sealed under the store key's "standing" subkey, day and class are 0.
//!
//! The same bytes lie in ledger and index: the index is made from the ledger by copying, and a record opens only under
//! its own kind, day, class and name.

use super::daykeys::DayKeys;
use super::error::Error;
use super::seal::{DataKey, class_byte, class_of};
use crate::domain::hit::HitCauseKey;
use crate::domain::{EventId, RetentionClass, Severity, TimeMs};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Sighting,
    Hit,
    Alert,
    Shed,
    Gone,
    Handling,
    Hold,
    Tally,
    Attached,
}

impl Kind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Sighting => 1,
            Self::Hit => 2,
            Self::Alert => 3,
            Self::Shed => 4,
            Self::Gone => 5,
            Self::Handling => 6,
            Self::Hold => 7,
            Self::Tally => 8,
            Self::Attached => 9,
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Sighting,
            2 => Self::Hit,
            3 => Self::Alert,
            4 => Self::Shed,
            5 => Self::Gone,
            6 => Self::Handling,
            7 => Self::Hold,
            8 => Self::Tally,
            9 => Self::Attached,
            _ => return None,
        })
    }
}

/// Why copies left the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Acked,
    Shed,
    /// Alerts alone that were shed, each of them: a shed range spans acknowledged ones as well.
    Withheld,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) day: u32,
    pub(super) class: RetentionClass,
    pub(super) name: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// What an outbox entry's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboxName {
    pub(super) rank: u8,
    pub(super) seq: u64,
    pub(super) stored_at: TimeMs,
}

impl Record {
    /// Seals `plain` under the key of (day, class), which is made when there is none yet.
    pub(super) fn seal(
        keys: &DayKeys,
        kind: Kind,
        (day, class): (u32, RetentionClass),
        name: Vec<u8>,
        plain: &[u8],
    ) -> Result<Self, Error> {
        let aad = aad(kind, day, class, &name);
        let body = if kind == Kind::Tally {
            keys.standing.seal(&keys.random, &aad, plain)?
        } else {
            cipher(&*keys.for_writing(day, class)?, kind).seal(&keys.random, &aad, plain)?
        };
        Ok(Self { kind, day, class, name, body })
    }

    /// What was sealed; `None` when its key was destroyed.
    pub(super) fn open(&self, keys: &DayKeys) -> Result<Option<Vec<u8>>, Error> {
        let aad = aad(self.kind, self.day, self.class, &self.name);
        let opened = if self.kind == Kind::Tally {
            keys.standing.open(&aad, &self.body)
        } else {
            let Some(key) = keys.for_reading(self.day, self.class)? else { return Ok(None) };
            cipher(&key, self.kind).open(&aad, &self.body)
        };
        opened.map(Some).ok_or_else(|| Error::Unsealed {
            what: format!("{:?} record of day {} class {:?}", self.kind, self.day, self.class),
        })
    }

    /// Says that the seqs in `ranges` left the outbox.
    pub(super) fn gone(reason: Reason, ranges: &[(u64, u64)]) -> Self {
        let mut body = vec![match reason {
            Reason::Acked => 1,
            Reason::Shed => 2,
            Reason::Withheld => 3,
        }];
        for (from, to) in ranges {
            body.extend(from.to_be_bytes());
            body.extend(to.to_be_bytes());
        }
        Self { kind: Kind::Gone, day: 0, class: RetentionClass::Read, name: Vec::new(), body }
    }

    /// Whether a gone record tells of alerts that the centre does not have.
    pub(super) fn is_withheld(&self) -> bool {
        self.kind == Kind::Gone && self.body.first() == Some(&3)
    }

    /// Whether a gone record tells of alerts that the centre has acknowledged.
    pub(super) fn is_acked(&self) -> bool {
        self.kind == Kind::Gone && self.body.first() == Some(&1)
    }

    /// The ranges of a gone record.
    pub(super) fn gone_ranges(&self) -> Vec<(u64, u64)> {
        let mut input = Bytes(self.body.get(1..).unwrap_or_default());
        std::iter::from_fn(|| Some((input.u64()?, input.u64()?))).collect()
    }

    /// Appends the encoding.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind.byte());
        out.extend(self.day.to_be_bytes());
        out.push(class_byte(self.class));
        // Names are 0, 4, 16, 17 or 23 bytes: made in this file only.
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend(&self.name);
        out.extend(u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(&self.body);
    }

    /// Takes one record off the front of `input`.
    pub(super) fn decode(input: &mut Bytes<'_>) -> Option<Self> {
        let kind = Kind::of(input.u8()?)?;
        let day = input.u32()?;
        let class = class_of(input.u8()?)?;
        let n = usize::from(input.u8()?);
        let name = input.take(n)?.to_vec();
        let len = usize::try_from(input.u32()?).ok()?;
        let body = input.take(len)?.to_vec();
        Some(Self { kind, day, class, name, body })
    }
}

fn cipher(key: &DataKey, kind: Kind) -> &super::seal::Cipher {
    match kind {
        Kind::Sighting | Kind::Hit | Kind::Handling | Kind::Hold | Kind::Tally | Kind::Attached => &key.value,
        Kind::Alert | Kind::Shed | Kind::Gone => &key.outbox,
    }
}

pub(super) fn aad(kind: Kind, day: u32, class: RetentionClass, name: &[u8]) -> Vec<u8> {
    let mut aad = b"watchpost record 1".to_vec();
    aad.push(kind.byte());
    aad.extend(day.to_be_bytes());
    aad.push(class_byte(class));
    aad.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    aad.extend(name);
    aad
}

/// Name of a hit.
pub(super) fn hit_name(id: EventId, cause: HitCauseKey) -> Vec<u8> {
    let mut name = id.0.to_vec();
    match cause {
        HitCauseKey::List(list, entry) => {
            name.push(0);
            name.extend(list.to_be_bytes());
            name.extend(entry.to_be_bytes());
        }
        HitCauseKey::Rule(number) => {
            name.push(1);
            name.extend(number.to_be_bytes());
            name.extend([0; 4]);
        }
    }
    name
}

/// What a hit's name says beside the id.
pub(super) fn hit_cause(name: &[u8]) -> Option<HitCauseKey> {
    let mut input = Bytes(name.get(16..)?);
    let (kind, number, entry) = (input.u8()?, input.array().map(u16::from_be_bytes)?, input.u32()?);
    match kind {
        0 => Some(HitCauseKey::List(number, entry)),
        1 => Some(HitCauseKey::Rule(number)),
        _ => None,
    }
}

/// Critical first: the order of sending.
pub(super) fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::Serious => 1,
        Severity::Minor => 2,
        Severity::Info => 3,
    }
}

/// The severity of a rank.
pub(super) fn severity_of(rank: u8) -> Severity {
    match rank {
        0 => Severity::Critical,
        1 => Severity::Serious,
        2 => Severity::Minor,
        _ => Severity::Info,
    }
}

impl OutboxName {
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut name = vec![self.rank];
        name.extend(self.seq.to_be_bytes());
        name.extend(self.stored_at.0.to_be_bytes());
        name
    }

    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut input = Bytes(name);
        let parsed = Self { rank: input.u8()?, seq: input.u64()?, stored_at: TimeMs(input.u64()?) };
        (input.0.is_empty() && parsed.rank <= 3).then_some(parsed)
    }
}

/// Reads numbers off the front of a slice; `None` at its end.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outbox_names_sort_by_severity_then_seq() {
        let name = |s, seq| OutboxName { rank: rank(s), seq, stored_at: TimeMs(9) }.bytes();
        let mut names = vec![name(Severity::Info, 1), name(Severity::Critical, 300), name(Severity::Critical, 2)];
        names.sort();
        assert_eq!(names, [name(Severity::Critical, 2), name(Severity::Critical, 300), name(Severity::Info, 1)]);
        assert!(Severity::ALL.into_iter().all(|s| severity_of(rank(s)) == s));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_a_record_or_to_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut input = Bytes(&bytes);
            if let Some(record) = Record::decode(&mut input) {
                let mut again = Vec::new();
                record.encode(&mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - input.0.len()]);
            }
        }

        #[test]
        fn gone_ranges_come_back(ranges in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..9)) {
            prop_assert_eq!(Record::gone(Reason::Acked, &ranges).gone_ranges(), ranges);
        }
    }
}
