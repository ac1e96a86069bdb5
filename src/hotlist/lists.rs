//! One list: loaded from CSV, checked whole, then immutable.
//!
//! A list is taken as it is meant or not at all: one bad line and [`load_csv`] refuses the file, naming up to 20 faults
//! by line, so that the list that was in force stays in force and nobody trusts a list with silent holes. Messages name
//! lines and reasons and no plates: they go to logs.
//!
//! Columns are found by the header (`PlateNumber`, `PlateState`, `Category`, `EffectiveDate`, `ExpiryDate`; case,
//! spaces, `_` and `-` do not matter); only `PlateNumber` must be there, columns of other names are left alone. `,` or
//! `;` separates, a byte order mark and CRLF do not disturb. Dates are `YYYYMMDD`, `YYYY-MM-DD` or `MM/DD/YYYY`, both
//! ends included, days by UTC. The serial of a CSV is its time of change in seconds: it grows when the file is edited.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::index::{Entry, Index};
use super::normalise::normalise;
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity, TimeMs};

/// Most bytes of a list's file.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Fewest letters and digits of an entry.
pub const MIN_SIGNIFICANT: usize = 4;

/// What the config says of a list.
#[derive(Debug, Clone)]
pub struct ListSettings {
    /// Its id.
    pub id: ListId,
    /// Its number in alerts; no two lists share one.
    pub number: u16,
    /// Severity of its hits.
    pub severity: Severity,
    /// Severities of categories that differ from it; categories compare without case.
    pub category_severity: Vec<(String, Severity)>,
    /// Whose it is, and who else sees its hits.
    pub owner: Option<Ownership>,
    /// How plates match.
    pub policy: MatchPolicy,
    /// What `PlateState` demands.
    pub region: RegionPolicy,
    /// The age from which it is flagged as stale.
    pub freshness: Option<Duration>,
}

impl ListSettings {
    /// Confusable-aware, lenient about regions, never stale.
    #[must_use]
    pub fn new(id: ListId, number: u16, severity: Severity) -> Self {
        Self {
            id,
            number,
            severity,
            category_severity: Vec::new(),
            owner: None,
            policy: MatchPolicy::default(),
            region: RegionPolicy::default(),
            freshness: None,
        }
    }
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1, the header being the first.
    pub line: u64,
    /// Why it is refused; names no plate.
    pub why: String,
}

/// The faults of a list: all are counted, the first [`Faults::LISTED`] kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// How many lines are bad.
    pub count: usize,
    /// The first of them.
    pub first: Vec<Fault>,
}

impl Faults {
    /// How many are kept.
    pub const LISTED: usize = 20;

    /// Adds the fault of the record of `body` that begins at `byte` or behind empty lines from there.
    fn add(&mut self, body: &[u8], byte: u64, why: String) {
        self.count += 1;
        if self.first.len() < Self::LISTED {
            let (before, rest) = body.split_at(usize::try_from(byte).unwrap_or(usize::MAX).min(body.len()));
            let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
            let newlines = before.iter().chain(empty).filter(|b| **b == b'\n').count();
            self.first.push(Fault { line: newlines as u64 + 1, why });
        }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, fault) in self.first.iter().enumerate() {
            write!(f, "{}line {}: {}", if n == 0 { "" } else { "; " }, fault.line, fault.why)?;
        }
        match self.count.saturating_sub(self.first.len()) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A checked list; immutable.
#[derive(Debug)]
pub struct List {
    settings: ListSettings,
    serial: u32,
    digest: [u8; 32],
    issued: TimeMs,
    states: Vec<Box<str>>,
    index: Index,
}

impl List {
    /// Checks and indexes the bytes of a CSV file that was last changed at `issued`; `path` only names it in errors.
    ///
    /// # Errors
    /// [`Error::Header`] without a column `PlateNumber`, [`Error::BadLines`] naming each bad line.
    pub fn parse(path: &Path, bytes: &[u8], issued: TimeMs, settings: &ListSettings) -> Result<Self, Error> {
        let mut states = Vec::new();
        let entries = parse_entries(path, bytes, settings, &mut states)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Ok(Self {
            settings: settings.clone(),
            serial: u32::try_from(issued.0 / 1000).unwrap_or(u32::MAX),
            digest: <[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default(),
            issued,
            states,
            index: Index::new(entries),
        })
    }

    /// What the config says of it.
    #[must_use]
    pub fn settings(&self) -> &ListSettings {
        &self.settings
    }

    /// Its serial: greater for a newer one.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// When it was made: the file's time of change.
    #[must_use]
    pub fn issued(&self) -> TimeMs {
        self.issued
    }

    /// How many entries it holds, valid or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its entries and their index occupy.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Whether it is past its freshness.
    #[must_use]
    pub fn is_stale(&self, now: TimeMs) -> bool {
        self.settings.freshness.is_some_and(|f| u128::from(now.since(self.issued)) > f.as_millis())
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The state that an entry names.
    pub(super) fn state(&self, entry: &Entry) -> Option<&str> {
        self.states.get(usize::from(entry.state).checked_sub(1)?).map(AsRef::as_ref)
    }
}

/// Loads and checks a list.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::TooLarge`], [`Error::Header`] or [`Error::BadLines`]; nothing is loaded then.
pub fn load_csv(path: &Path, settings: &ListSettings) -> Result<List, Error> {
    let unreadable = |source| Error::Unreadable { list: settings.id.clone(), path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let changed = file.metadata().and_then(|m| m.modified()).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > MAX_FILE_BYTES) {
        return Err(Error::TooLarge { list: settings.id.clone(), path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    List::parse(path, &bytes, TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)), settings)
}

/// Where the columns are.
struct Columns {
    plate: usize,
    state: Option<usize>,
    category: Option<usize>,
    effective: Option<usize>,
    expiry: Option<usize>,
}

impl Columns {
    /// Finds the columns; the error is what is wrong with the header.
    fn find(header: &csv::ByteRecord) -> Result<Self, String> {
        let names: Vec<String> = header
            .iter()
            .map(|n| {
                let name = String::from_utf8_lossy(n);
                name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
            })
            .collect();
        let find = |name: &str| {
            let mut at = names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
            match (at.next(), at.next()) {
                (_, Some(_)) => Err(format!("two columns are named {name:?}")),
                (one, None) => Ok(one),
            }
        };
        Ok(Self {
            plate: find("platenumber")?.ok_or("no column is named PlateNumber")?,
            state: find("platestate")?,
            category: find("category")?,
            effective: find("effectivedate")?,
            expiry: find("expirydate")?,
        })
    }
}

fn parse_entries(
    path: &Path,
    bytes: &[u8],
    settings: &ListSettings,
    states: &mut Vec<Box<str>>,
) -> Result<Vec<Entry>, Error> {
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let first_line = body.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = if first_line.contains(&b',') || !first_line.contains(&b';') { b',' } else { b';' };
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).trim(csv::Trim::All).from_reader(body);
    let header_fault = |why| Error::Header { list: settings.id.clone(), path: path.to_owned(), why };
    let columns = match reader.byte_headers() {
        Ok(header) => Columns::find(header).map_err(header_fault)?,
        Err(error) => return Err(header_fault(error.to_string())),
    };
    let (mut entries, mut faults) = (Vec::new(), Faults::default());
    let mut record = csv::ByteRecord::new();
    for row in 1_u32.. {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) if record.iter().all(<[u8]>::is_empty) => {}
            Ok(true) => match parse_entry(&record, row, &columns, settings, states) {
                Ok(entry) => entries.push(entry),
                Err(why) => faults.add(body, record.position().map_or(0, csv::Position::byte), why),
            },
            // In memory and flexible, nothing of the format can fail; should it, the list is not whole.
            Err(error) => {
                faults.add(body, reader.position().byte(), error.to_string());
                break;
            }
        }
    }
    if faults.count > 0 {
        return Err(Error::BadLines { list: settings.id.clone(), path: path.to_owned(), faults });
    }
    Ok(entries)
}

/// One line as an entry; the error is why not.
fn parse_entry(
    record: &csv::ByteRecord,
    row: u32,
    columns: &Columns,
    settings: &ListSettings,
    states: &mut Vec<Box<str>>,
) -> Result<Entry, String> {
    let cell = |at: Option<usize>, name: &str| {
        let bytes = at.and_then(|i| record.get(i)).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))
    };
    let raw = cell(Some(columns.plate), "PlateNumber")?;
    if raw.is_empty() {
        return Err("PlateNumber is empty".to_owned());
    }
    let text = normalise(raw).map_err(|why| format!("PlateNumber: {why}"))?;
    let significant = text.as_str().len();
    if significant < MIN_SIGNIFICANT {
        return Err(format!("PlateNumber has {significant} letters and digits, at least {MIN_SIGNIFICANT} are needed"));
    }
    let category = cell(columns.category, "Category")?;
    let severity = settings
        .category_severity
        .iter()
        .find(|(name, _)| name.trim().to_lowercase() == category.to_lowercase())
        .map_or(settings.severity, |(_, s)| *s);
    let mut entry = Entry::new(&text, row, severity);
    if let Some(day) = parse_day(cell(columns.effective, "EffectiveDate")?, "EffectiveDate")? {
        entry.from_day = day;
    }
    if let Some(day) = parse_day(cell(columns.expiry, "ExpiryDate")?, "ExpiryDate")? {
        entry.until_day = day;
    }
    if entry.until_day < entry.from_day {
        return Err("ExpiryDate is before EffectiveDate".to_owned());
    }
    entry.state = state_number(cell(columns.state, "PlateState")?, states)?;
    Ok(entry)
}

/// The number of a state in the table, 0 for none.
fn state_number(state: &str, states: &mut Vec<Box<str>>) -> Result<u16, String> {
    if state.is_empty() {
        return Ok(0);
    }
    let at = states.iter().position(|s| s.eq_ignore_ascii_case(state)).unwrap_or_else(|| {
        states.push(state.into());
        states.len() - 1
    });
    // Far more than there are states: a wrong column would also make each look-up slow.
    if at >= 4096 {
        return Err("PlateState has more than 4096 different values: is it another column?".to_owned());
    }
    u16::try_from(at + 1).map_err(|e| e.to_string())
}

/// Julian day of 1970-01-01.
const UNIX_EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// Days from 1970-01-01, `None` for an empty cell.
fn parse_day(text: &str, column: &str) -> Result<Option<u32>, String> {
    use time::macros::format_description;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{column} is no date: YYYYMMDD, YYYY-MM-DD or MM/DD/YYYY are read");
    let date = if text.contains('/') {
        time::Date::parse(text, format_description!("[month padding:none]/[day padding:none]/[year]"))
    } else if text.contains('-') {
        time::Date::parse(text, format_description!("[year]-[month]-[day]"))
    } else {
        time::Date::parse(text, format_description!("[year][month][day]"))
    };
    let days = date.map_err(|_| wrong())?.to_julian_day() - UNIX_EPOCH_JULIAN_DAY;
    u32::try_from(days).map(Some).map_err(|_| wrong())
}
