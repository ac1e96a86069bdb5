//! A list as a package: what the centre signs and sends, and what lies sealed on the box.
//!
//! ```text
//! "WPLIST\0\1" 8 ‖ length of the envelope 4 ‖ envelope ‖ body           the length is big-endian
//! envelope:  COSE_Sign1 of a key of the `lists` role, external_aad "watchpost hotlist 1", ≤ 60 KiB, around the header
//! header:    CBOR map, docs/wire.cddl, `hotlist-header`: whose list, which serial, how it matches, what is in the body
//! body:      the entries ([`super::body`]); of a delta what changes ([`super::delta`])
//! ```
//! The signature covers the header, the header names the SHA-256 of the whole list's body and, of a delta, also that
//! of the list that it builds on and of what follows. So a box that patches its list ends with the bytes that a whole
//! package would have brought, or refuses. On the box the file holds the envelope of the newest package or delta and
//! the whole list's body, sealed (`command::lists`).
//!
//! Here is everything but the signature: this room knows no keys. What is refused is named by entry, without plates.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use minicbor::{Decode, Encode};

use super::body::{Broken, MAX_DAY, Packer, Row, Rows, sha256};
use super::index::Entry;
use super::list::{Facts, List, ListSettings};
use super::lists::{Faults, MAX_NAME, parse_lines};
use super::{Error, list};
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity, TimeMs};

/// `external_aad` of the envelope.
pub const AAD: &str = "watchpost hotlist 1";
/// Most entries of a list.
pub const MAX_ENTRIES: u32 = 2_000_000;
/// Most bytes of a package.
pub const MAX_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"WPLIST\0\x01";
const VERSION: u8 = 1;

/// What a list must be for a delta to build on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Base {
    /// Its serial.
    #[n(0)]
    pub serial: u32,
    /// SHA-256 of its body.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// SHA-256 of the delta that follows the header.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub delta: [u8; 32],
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// Version of the format.
    #[n(0)]
    pub version: u8,
    /// Name of the list.
    #[n(1)]
    pub list: ListId,
    /// Its number in alerts.
    #[n(2)]
    pub number: u16,
    /// Greater for a newer one.
    #[n(3)]
    pub serial: u32,
    /// When it was made.
    #[n(4)]
    pub issued: TimeMs,
    /// Whose it is, and who else sees its hits.
    #[n(5)]
    pub owner: Ownership,
    /// Severity of its hits.
    #[n(6)]
    pub severity: Severity,
    /// Severity by category, ascending by name, each once.
    #[n(7)]
    pub categories: Vec<(String, Severity)>,
    /// How plates match.
    #[n(8)]
    pub policy: MatchPolicy,
    /// What an entry's state demands.
    #[n(9)]
    pub region: RegionPolicy,
    /// Age from which it is stale, in seconds.
    #[n(10)]
    pub fresh_s: Option<u32>,
    /// States that entries name, ascending, each once.
    #[n(11)]
    pub states: Vec<String>,
    /// How many entries the whole list has.
    #[n(12)]
    pub entries: u32,
    /// SHA-256 of the whole list's body.
    #[cbor(n(13), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// What it builds on, when it is a delta.
    #[n(14)]
    pub base: Option<Base>,
}

impl Header {
    /// The CBOR that is signed.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a vector cannot fail.
        let _ = minicbor::encode(self, &mut bytes);
        bytes
    }

    /// Takes the signed CBOR back.
    ///
    /// # Errors
    /// [`Error::Package`] when it is another version, not in its one encoding, or holds what a list can't have.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let wrong = |why: String| Error::Package { list: None, why };
        let header: Self = minicbor::decode(payload).map_err(|e| wrong(format!("header: {e}")))?;
        if header.version != VERSION {
            let got = header.version;
            return Err(wrong(format!("format version {got}, this program knows {VERSION}: update it")));
        }
        if header.payload() != payload {
            return Err(wrong("header is not in deterministic encoding, or has keys that are not known".to_owned()));
        }
        header.check().map_err(|why| Error::Package { list: Some(header.list.clone()), why })?;
        Ok(header)
    }

    fn check(&self) -> Result<(), String> {
        if ListId::new(self.list.as_str()).is_err() || self.number == 0 || self.serial == 0 {
            return Err("names no list, or number or serial 0".to_owned());
        }
        crate::domain::hotlist::check_org(&self.owner.org)?;
        if self.entries > MAX_ENTRIES {
            return Err(format!("{} entries, at most {MAX_ENTRIES}", self.entries));
        }
        let names: Vec<&str> = self.categories.iter().map(|(name, _)| name.as_str()).collect();
        let states: Vec<&str> = self.states.iter().map(String::as_str).collect();
        for (what, names, most) in [("categories", &names, 255), ("states", &states, 4096)] {
            let good = |n: &&str| (1..=MAX_NAME).contains(&n.len()) && !n.chars().any(char::is_control);
            if names.len() > most || !names.iter().all(good) || !names.is_sorted_by(|a, b| a < b) {
                return Err(format!("{what} are not up to {most} ascending names of 1 to {MAX_NAME} bytes"));
            }
        }
        match self.base {
            Some(base) if base.serial >= self.serial => {
                Err(format!("serial {} does not follow {}, which it builds on", self.serial, base.serial))
            }
            _ => Ok(()),
        }
    }

    /// What the list's owner decided.
    #[must_use]
    pub fn settings(&self) -> ListSettings {
        ListSettings {
            id: self.list.clone(),
            number: self.number,
            severity: self.severity,
            category_severity: self.categories.clone(),
            owner: Some(self.owner.clone()),
            policy: self.policy,
            region: self.region,
            freshness: self.fresh_s.map(|s| Duration::from_secs(u64::from(s))),
        }
    }
}

/// A package of its parts.
#[must_use]
pub fn join(envelope: &[u8], body: &[u8]) -> Vec<u8> {
    [&prefix(envelope), envelope, body].concat()
}

/// What stands before the envelope.
#[must_use]
pub fn prefix(envelope: &[u8]) -> [u8; 12] {
    let mut prefix = [0; 12];
    let length = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_be_bytes();
    prefix.iter_mut().zip(MAGIC.iter().chain(&length)).for_each(|(to, from)| *to = *from);
    prefix
}

/// The length of the envelope, by what stands before it.
///
/// # Errors
/// [`Error::Package`] when it is no package.
pub fn envelope_length(prefix: [u8; 12]) -> Result<usize, Error> {
    let wrong = |why: &str| Error::Package { list: None, why: why.to_owned() };
    let length = prefix.strip_prefix(MAGIC).and_then(|rest| <[u8; 4]>::try_from(rest).ok());
    let length = length.ok_or_else(|| wrong("no package of a hotlist: `watchpostctl hotlist pack` makes one"))?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > 60 << 10 { Err(wrong("its envelope is longer than any")) } else { Ok(length) }
}

/// Envelope and body of a package.
///
/// # Errors
/// [`Error::Package`] when it is none.
pub fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let wrong = |why: &str| Error::Package { list: None, why: why.to_owned() };
    if bytes.len() > MAX_BYTES {
        return Err(wrong("more than 64 MiB"));
    }
    let (prefix, rest) = bytes.split_first_chunk::<12>().ok_or_else(|| wrong("too short for a package"))?;
    rest.split_at_checked(envelope_length(*prefix)?).ok_or_else(|| wrong("it ends within its envelope"))
}

/// Entries of a whole list on their way from a package into force: checked one by one, up to 20 faults kept.
pub(super) struct Builder<'a> {
    header: &'a Header,
    entries: Vec<Entry>,
    faults: Faults,
    severities: Vec<Severity>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(header: &'a Header) -> Self {
        let severities = std::iter::once(header.severity).chain(header.categories.iter().map(|(_, s)| *s)).collect();
        let entries = Vec::with_capacity(usize::try_from(header.entries).unwrap_or(0));
        Self { header, entries, faults: Faults::default(), severities }
    }

    pub(super) fn list(&self) -> &ListId {
        &self.header.list
    }

    pub(super) fn push(&mut self, row: &Row) {
        let number = self.entries.len() + self.faults.count + 1;
        if let Some(why) = row.fault(self.header.states.len(), self.header.categories.len()) {
            self.faults.add(number as u64, why);
            return;
        }
        let severity = self.severities.get(usize::from(row.category)).copied().unwrap_or(self.header.severity);
        self.entries.push(Entry::of_row(row, u32::try_from(number).unwrap_or(u32::MAX), severity));
    }

    /// The list, when nothing was wrong and `digest` is the header's.
    pub(super) fn finish(self, digest: [u8; 32]) -> Result<List, Error> {
        let list = self.header.list.clone();
        if self.faults.count > 0 {
            return Err(Error::BadEntries { list, faults: self.faults });
        }
        if digest != self.header.digest {
            return Err(Error::Digest { list });
        }
        let facts = Facts { serial: self.header.serial, digest, issued: self.header.issued };
        let states = self.header.states.iter().map(|s| s.as_str().into()).collect();
        Ok(list::List::packaged(self.header.settings(), &facts, states, self.entries))
    }
}

/// The list of a header and of the whole list's body.
///
/// # Errors
/// [`Error::Digest`], [`Error::BadEntries`], [`Error::Package`] when the entries can't be told apart; I/O errors.
pub fn load(header: &Header, body: impl Read) -> Result<List, Error> {
    let mut rows = Rows::new(body, u64::from(header.entries));
    let mut builder = Builder::new(header);
    let broken = |e: Broken| Error::of_rows(&header.list, &e);
    while let Some(row) = rows.next().map_err(broken)? {
        builder.push(&row);
    }
    builder.finish(rows.finish().map_err(broken)?)
}

/// The entry of this number for people: plate, state, category, days. `None` when there is none.
///
/// # Errors
/// As [`load`].
pub fn entry(header: &Header, body: &[u8], number: u32) -> Result<Option<String>, Error> {
    let mut rows = Rows::new(body, u64::from(header.entries));
    for _ in 1..number {
        if rows.next().map_err(|e| Error::of_rows(&header.list, &e))?.is_none() {
            return Ok(None);
        }
    }
    let row = rows.next().map_err(|e| Error::of_rows(&header.list, &e))?;
    Ok(row.filter(|_| number > 0).map(|row| {
        let nth = |n: usize, what: &str, names: &mut dyn Iterator<Item = &String>| {
            n.checked_sub(1).and_then(|n| names.nth(n)).map(|name| format!(", {what} {name}")).unwrap_or_default()
        };
        let state = nth(usize::from(row.state), "state", &mut header.states.iter());
        let category = nth(usize::from(row.category), "category", &mut header.categories.iter().map(|(n, _)| n));
        let day = |day: u32| TimeMs(u64::from(day) * 86_400_000).to_string().chars().take(10).collect::<String>();
        let from = if row.from_day == 0 { String::new() } else { format!(", from {}", day(row.from_day)) };
        let until = if row.until_day == u32::MAX { String::new() } else { format!(", until {}", day(row.until_day)) };
        format!("{}{state}{category}{from}{until}", String::from_utf8_lossy(row.characters()))
    }))
}

/// What a CSV became.
#[derive(Debug)]
pub struct Packed {
    /// To be signed.
    pub header: Header,
    /// What follows the envelope.
    pub body: Vec<u8>,
    /// Lines that said exactly what another had said.
    pub duplicates: u32,
}

/// Packs the bytes of a CSV file under `settings`, which must name an owner.
///
/// # Errors
/// As [`List::parse`]; [`Error::Package`] for settings that no package can have.
pub fn pack(path: &Path, csv: &[u8], settings: &ListSettings, serial: u32, issued: TimeMs) -> Result<Packed, Error> {
    let wrong = |why: String| Error::Package { list: Some(settings.id.clone()), why };
    let owner = settings.owner.clone().ok_or_else(|| wrong("a package names the organisation that owns it".into()))?;
    // By name without case, as lines are compared: the last of two that are one counts, as in a table of TOML.
    let categories: BTreeMap<String, Severity> =
        settings.category_severity.iter().map(|(name, s)| (name.trim().to_lowercase(), *s)).collect();
    let settings = ListSettings { category_severity: categories.into_iter().collect(), ..settings.clone() };
    let mut rows = Vec::new();
    let states = parse_lines(path, csv, &settings, &mut |entry, category| rows.push(entry.as_row(category)))?;
    let mut sorted: Vec<String> = states.iter().map(|s| s.to_uppercase()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let numbers: Vec<u16> = std::iter::once(0)
        .chain(states.iter().map(|s| {
            let place = sorted.binary_search(&s.to_uppercase()).unwrap_or(usize::MAX - 1);
            u16::try_from(place + 1).unwrap_or(0)
        }))
        .collect();
    for row in &mut rows {
        row.state = numbers.get(usize::from(row.state)).copied().unwrap_or(0);
        if row.from_day > MAX_DAY || (row.until_day > MAX_DAY && row.until_day != u32::MAX) {
            return Err(wrong("a date is further off than any list needs".to_owned()));
        }
    }
    rows.sort_unstable();
    let lines = rows.len();
    rows.dedup();
    let body = pack_rows(&rows).map_err(|why| wrong(why.to_owned()))?;
    let header = Header {
        version: VERSION,
        list: settings.id.clone(),
        number: settings.number,
        serial,
        issued,
        owner,
        severity: settings.severity,
        categories: settings.category_severity.clone(),
        policy: settings.policy,
        region: settings.region,
        fresh_s: settings.freshness.map(|f| u32::try_from(f.as_secs()).unwrap_or(u32::MAX)),
        states: sorted,
        entries: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        digest: sha256(&body),
        base: None,
    };
    header.check().map_err(|why| Error::Package { list: Some(header.list.clone()), why })?;
    Ok(Packed { header, body, duplicates: u32::try_from(lines - rows.len()).unwrap_or(u32::MAX) })
}

/// The bytes of rows in ascending order.
pub(super) fn pack_rows(rows: &[Row]) -> Result<Vec<u8>, &'static str> {
    let mut packer = Packer::default();
    let mut body = Vec::new();
    for row in rows {
        body.extend(packer.pack(row)?);
    }
    Ok(body)
}
