//! What the verbs that ask for plates share: filters, times and patterns as people write them, pages of many boxes put
//! together, tables and JSON, pictures as files.
//!
//! Plates are written as people write them (`ab-12 3x`, `АВ123`, `AB*`) and sent in the spelling of readers. Nothing here
//! connects to anything: `watchpostctl query` and `trace` ask by the broker, `watchpost query` by the unix socket.

pub mod gather;
pub mod pictures;
pub mod show;
pub mod timeline;

use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::command::ops::query::{Asked, hits, reads};
use crate::domain::{CameraId, Class, HitState, How, ListId, PlatePattern, RuleId, Severity, TimeMs, Verdict};
use crate::hotlist::normalise::{Unfit, normalise};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Every vehicle whose plate was read
    Reads,
    /// What a list's entry or a rule matched
    Hits,
}

/// Options of every verb that looks for plates.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// How the plate is compared: exact, confusable (0 and O, 8 and B … are the same), near (and one character more, less
    /// or other)
    #[arg(long, value_name = "HOW", help_heading = "Filters")]
    pub like: Option<How>,
    /// Seen at this time or later: 2026-01-31, 2026-01-31T08:30, with a zone as in RFC 3339 or UTC, or 90m, 36h, 7d ago
    /// [default: 30 days ago]
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub from: Option<When>,
    /// Seen at this time or earlier
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub to: Option<When>,
    /// By one of these cameras
    #[arg(long = "camera", value_name = "CAMERA", value_delimiter = ',', help_heading = "Filters")]
    pub cameras: Vec<CameraId>,
    /// Of one of these classes: plate (only that was seen), car, bus, truck, motorbike, person
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = class, help_heading = "Filters")]
    pub classes: Vec<Class>,
}

/// Options that only hits know.
#[derive(Debug, Clone, Default, Args)]
pub struct HitFilters {
    /// Hits of one of these severities
    #[arg(long = "severity", value_name = "SEVERITY", value_delimiter = ',', help_heading = "Filters")]
    pub severities: Vec<Severity>,
    /// Hits of one of these lists
    #[arg(long = "list", value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    pub lists: Vec<ListId>,
    /// Hits of one of these rules
    #[arg(long = "rule", value_name = "RULE", value_delimiter = ',', help_heading = "Filters")]
    pub rules: Vec<RuleId>,
    /// Hits in one of these states: new, delivered, seen, judged, closed
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', help_heading = "Filters")]
    pub states: Vec<HitState>,
    /// Hits with one of these verdicts: confirmed, misread, wrong-vehicle, stale-entry, not-actionable
    #[arg(long = "verdict", value_name = "VERDICT", value_delimiter = ',', help_heading = "Filters")]
    pub verdicts: Vec<Verdict>,
    /// Hits of lists of one of these organisations
    #[arg(long = "owner", value_name = "ORG", value_delimiter = ',', help_heading = "Filters")]
    pub owners: Vec<String>,
}

fn class(text: &str) -> Result<Class, String> {
    let all = || std::iter::once(Class::Plate).chain(Class::OBJECTS);
    let known = || all().map(Class::as_str).collect::<Vec<_>>().join(", ");
    all().find(|class| class.as_str() == text).ok_or_else(|| format!("is {text:?}, wanted one of {}", known()))
}

/// A time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds ago.
    Ago(u64),
    /// This moment.
    At(TimeMs),
    /// This UTC day, by its first millisecond.
    Day(TimeMs),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no time: 2026-01-31, 2026-01-31T08:30, 2026-01-31T08:30:00+01:00, or 90m, 36h, 7d ago")
        };
        if let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1))
            && let Ok(number) = number.parse::<u64>()
        {
            let ms = match unit {
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            return Ok(Self::Ago(number.saturating_mul(ms)));
        }
        // A date; a time without a zone is UTC; seconds may be left out.
        let shapes = [
            (text.to_owned(), false),
            (format!("{text}Z"), false),
            (format!("{text}:00Z"), false),
            (format!("{text}T00:00:00Z"), true),
        ];
        let found = shapes.into_iter().find_map(|(shape, day)| {
            let parsed = OffsetDateTime::parse(&shape.replacen(' ', "T", 1), &Rfc3339).ok()?;
            let ms = u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()?;
            Some(if day { Self::Day(TimeMs(ms)) } else { Self::At(TimeMs(ms)) })
        });
        found.ok_or_else(wrong)
    }
}

impl When {
    /// As the beginning of a span.
    #[must_use]
    pub fn begin(self, now: TimeMs) -> TimeMs {
        match self {
            Self::Ago(ms) => TimeMs(now.0.saturating_sub(ms)),
            Self::At(at) | Self::Day(at) => at,
        }
    }

    /// As the end of a span, the day included.
    #[must_use]
    pub fn end(self, now: TimeMs) -> TimeMs {
        match self {
            Self::Day(at) => TimeMs(at.0 + 86_399_999),
            other => other.begin(now),
        }
    }
}

/// A pattern in the spelling of readers: case, separators and other scripts do not matter, wildcards stay.
///
/// # Errors
/// What no plate has, or too much of it.
pub fn pattern(raw: &str, how: How) -> anyhow::Result<String> {
    let mut text = String::new();
    for part in raw.split_inclusive(['*', '?']) {
        let (plain, wildcard) = match part.strip_suffix(['*', '?']) {
            Some(plain) => (plain, part.chars().next_back()),
            None => (part, None),
        };
        match normalise(plain) {
            Ok(plate) => text.push_str(plate.as_str()),
            Err(Unfit::Empty) => {}
            Err(error) => bail!("the plate to look for: {error}"),
        }
        text.extend(wildcard);
    }
    PlatePattern::new(&text, how).with_context(|| "the plate to look for")?;
    Ok(text)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl Filters {
    fn asked(&self, plate: Option<&str>, now: TimeMs) -> anyhow::Result<Asked> {
        if plate.is_none() && self.like.is_some() {
            bail!("--like says how a plate is compared, and there is no plate: give one");
        }
        let how = self.like.unwrap_or(How::Exact);
        Ok(Asked {
            plate: plate.map(|raw| pattern(raw, how)).transpose()?,
            how: plate.and(Some(how)).filter(|how| *how != How::Exact),
            from: self.from.map(|when| when.begin(now)),
            to: self.to.map(|when| when.end(now)),
            cameras: some(self.cameras.clone()),
            classes: some(self.classes.clone()),
        })
    }

    /// Arguments of `reads.query`.
    ///
    /// # Errors
    /// As [`pattern`].
    pub fn reads(&self, plate: Option<&str>, limit: Option<u16>, now: TimeMs) -> anyhow::Result<reads::Args> {
        Ok(reads::Args { asked: self.asked(plate, now)?, limit, cursor: None })
    }

    /// [`Filters::reads`], where nothing may be asked that only hits know.
    ///
    /// # Errors
    /// As [`pattern`]; when something is.
    pub fn only_reads(
        &self,
        more: &HitFilters,
        plate: Option<&str>,
        limit: Option<u16>,
        now: TimeMs,
    ) -> anyhow::Result<reads::Args> {
        if !more.is_empty() {
            bail!("severities, lists, rules, states, verdicts and owners are of hits: ask for hits");
        }
        self.reads(plate, limit, now)
    }

    /// Arguments of `hits.query`.
    ///
    /// # Errors
    /// As [`pattern`].
    pub fn hits(
        &self,
        more: &HitFilters,
        plate: Option<&str>,
        limit: Option<u16>,
        now: TimeMs,
    ) -> anyhow::Result<hits::Args> {
        Ok(hits::Args {
            asked: self.asked(plate, now)?,
            limit,
            cursor: None,
            severities: some(more.severities.clone()),
            lists: some(more.lists.clone()),
            rules: some(more.rules.clone()),
            states: some(more.states.clone()),
            verdicts: some(more.verdicts.clone()),
            owners: some(more.owners.clone()),
        })
    }
}

impl HitFilters {
    /// Whether nothing is asked that only hits know.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.severities.is_empty()
            && self.lists.is_empty()
            && self.rules.is_empty()
            && self.states.is_empty()
            && self.verdicts.is_empty()
            && self.owners.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_767_225_600_000);

    #[test]
    fn times_are_read_as_people_write_them() {
        let begin = |text: &str| text.parse::<When>().unwrap().begin(NOW).to_string();
        assert_eq!(begin("2026-01-31"), "2026-01-31T00:00:00.000Z");
        assert_eq!(begin("2026-01-31T08:30"), "2026-01-31T08:30:00.000Z");
        assert_eq!(begin("2026-01-31 08:30:05"), "2026-01-31T08:30:05.000Z");
        assert_eq!(begin("2026-01-31T08:30:00+01:00"), "2026-01-31T07:30:00.000Z");
        assert_eq!(begin("36h"), "2025-12-30T12:00:00.000Z");
        assert_eq!("2026-01-31".parse::<When>().unwrap().end(NOW).to_string(), "2026-01-31T23:59:59.999Z");
        for wrong in ["", "yesterday", "7w", "2026-13-01", "12"] {
            assert!(wrong.parse::<When>().unwrap_err().contains("is no time"), "{wrong}");
        }
    }

    #[test]
    fn patterns_come_in_the_spelling_of_readers() {
        let of = |raw: &str| pattern(raw, How::Exact).unwrap();
        assert_eq!((of("ab-12 3x"), of("АВ*12?")), ("AB123X".to_owned(), "AB*12?".to_owned()));
        assert_eq!((of("*"), of("mü * 1")), ("*".to_owned(), "MU*1".to_owned()));
        assert!(pattern("--", How::Exact).is_err());
        let error = format!("{:#}", pattern("AB*", How::Near).unwrap_err());
        assert!(error.contains("near"), "{error}");
        assert!(!format!("{:#}", pattern("京A1234", How::Exact).unwrap_err()).contains("1234"));
    }
}
