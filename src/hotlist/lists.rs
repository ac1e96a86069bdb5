//! A list from CSV: checked whole, then taken.
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

use super::Error;
use super::index::Entry;
use super::list::{List, ListSettings};
use super::normalise::normalise;
use crate::domain::TimeMs;

/// Most bytes of a list's file.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Fewest letters and digits of an entry.
pub const MIN_SIGNIFICANT: usize = 4;

/// What is wrong with one line of a file, or with one entry of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1, the header being the first; or number of the entry, from 1.
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

    /// Adds the fault of line or entry `line`.
    pub(super) fn add(&mut self, line: u64, why: String) {
        self.count += 1;
        if self.first.len() < Self::LISTED {
            self.first.push(Fault { line, why });
        }
    }

    /// Adds the fault of the record of `body` that begins at `byte` or behind empty lines from there.
    fn add_at(&mut self, body: &[u8], byte: u64, why: String) {
        if self.first.len() >= Self::LISTED {
            self.count += 1;
            return;
        }
        let (before, rest) = body.split_at(usize::try_from(byte).unwrap_or(usize::MAX).min(body.len()));
        let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        let newlines = before.iter().chain(empty).filter(|b| **b == b'\n').count();
        self.add(newlines as u64 + 1, why);
    }
}

impl Faults {
    /// Names each by `what` and its number.
    pub(super) fn named(&self, what: &str) -> String {
        let each = self.first.iter().map(|fault| format!("{what} {}: {}", fault.line, fault.why));
        let more = self.count.saturating_sub(self.first.len());
        let more = (more > 0).then(|| format!("and {more} more"));
        each.chain(more).collect::<Vec<_>>().join("; ")
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

/// Reads the lines of a CSV in order: `take` gets each as an entry, with the number of its category in the settings
/// (from 1; 0 for none of them). Gives the states that entries name by number.
///
/// # Errors
/// [`Error::Header`] and [`Error::BadLines`]; what was taken before counts for nothing then.
pub(super) fn parse_lines(
    path: &Path,
    bytes: &[u8],
    settings: &ListSettings,
    take: &mut dyn FnMut(Entry, u8),
) -> Result<Vec<Box<str>>, Error> {
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
    let (mut states, mut faults) = (Vec::new(), Faults::default());
    let mut record = csv::ByteRecord::new();
    for row in 1_u32.. {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) if record.iter().all(<[u8]>::is_empty) => {}
            Ok(true) => match parse_entry(&record, row, &columns, settings, &mut states) {
                Ok((entry, category)) => take(entry, category),
                Err(why) => faults.add_at(body, record.position().map_or(0, csv::Position::byte), why),
            },
            // In memory and flexible, nothing of the format can fail; should it, the list is not whole.
            Err(error) => {
                faults.add_at(body, reader.position().byte(), error.to_string());
                break;
            }
        }
    }
    if faults.count > 0 {
        return Err(Error::BadLines { list: settings.id.clone(), path: path.to_owned(), faults });
    }
    Ok(states)
}

/// One line as an entry; the error is why not.
fn parse_entry(
    record: &csv::ByteRecord,
    row: u32,
    columns: &Columns,
    settings: &ListSettings,
    states: &mut Vec<Box<str>>,
) -> Result<(Entry, u8), String> {
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
    let known = (1_u8..).zip(&settings.category_severity);
    let (category, severity) = known
        .map(|(number, (name, severity))| (number, name, *severity))
        .find(|(_, name, _)| name.trim().to_lowercase() == category.to_lowercase())
        .map_or((0, settings.severity), |(number, _, severity)| (number, severity));
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
    Ok((entry, category))
}

/// Longest name of a state or category, in bytes.
pub(super) const MAX_NAME: usize = 48;

/// The number of a state in the table, 0 for none.
fn state_number(state: &str, states: &mut Vec<Box<str>>) -> Result<u16, String> {
    if state.is_empty() {
        return Ok(0);
    }
    if state.len() > MAX_NAME || state.chars().any(char::is_control) {
        return Err(format!("PlateState is no name of at most {MAX_NAME} bytes: is it another column?"));
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
