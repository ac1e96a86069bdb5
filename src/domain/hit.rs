//! A hit: a read that a hotlist entry matches, or an object event that a rule matches.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::alert::Stage;
use super::hotlist::Ownership;
use super::id::{ListId, RuleId};
use super::sighting::Sighting;

/// How much a list, rule or hit matters; the order is that of sending and of what is shed last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, serde::Deserialize, serde::Serialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    #[n(0)]
    Info,
    /// Minor.
    #[n(1)]
    Minor,
    /// Serious.
    #[n(2)]
    Serious,
    /// Critical: never shed.
    #[n(3)]
    Critical,
}

impl Severity {
    /// All, lowest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Minor, Self::Serious, Self::Critical];

    /// The word in topics and config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Serious => "serious",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no severity: info, minor, serious or critical"))
    }
}

/// How long something is kept goes by this: reads without a hit, or hits by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum RetentionClass {
    /// A read or sighting without a hit.
    #[n(0)]
    Read,
    /// A hit of severity `info`.
    #[n(1)]
    Info,
    /// A hit of severity `minor`.
    #[n(2)]
    Minor,
    /// A hit of severity `serious`.
    #[n(3)]
    Serious,
    /// A hit of severity `critical`.
    #[n(4)]
    Critical,
    /// Under a hold: what was due and is kept until the hold is released. Its "day" is the number of the hold.
    #[n(5)]
    Held,
}

impl From<Severity> for RetentionClass {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Minor => Self::Minor,
            Severity::Serious => Self::Serious,
            Severity::Critical => Self::Critical,
        }
    }
}

/// How a plate matched an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum How {
    /// The same text.
    #[n(0)]
    Exact,
    /// The same but for characters that look alike (0/O, 8/B …).
    #[n(1)]
    Confusable,
    /// Within one insertion, deletion or substitution.
    #[n(2)]
    Near,
}

impl How {
    /// The word shown to people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Confusable => "confusable",
            Self::Near => "near",
        }
    }
}

impl FromStr for How {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Exact, Self::Confusable, Self::Near].into_iter().find(|how| how.as_str() == text);
        found.ok_or_else(|| format!("is {text:?}, wanted exact, confusable or near"))
    }
}

/// Which entry of which list matched, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ListMatch {
    /// The list.
    pub list: ListId,
    /// The list's number, as alerts name it.
    pub list_number: u16,
    /// The list's serial when it matched.
    pub list_serial: u32,
    /// The entry's number in the list: its row in the CSV, from 1, header not counted.
    pub entry: u32,
    /// How it matched.
    pub how: How,
    /// Probability that the plate is the entry's, 0..1, from the read's lattice.
    pub confidence: f32,
    /// Last day the entry is valid, counted from 1970-01-01.
    pub expiry_day: Option<u32>,
    /// The list was past its freshness when it matched.
    pub stale: bool,
    /// Severity of the hit (the entry's category or the list's own).
    pub severity: Severity,
    /// Whose the list was, and who else sees its hits; `None`: everybody's.
    pub owner: Option<Ownership>,
}

/// Why it is a hit.
#[derive(Debug, Clone, PartialEq)]
pub enum HitCause {
    /// A hotlist entry matched the plate.
    List(ListMatch),
    /// A rule matched the object event.
    Rule {
        /// The rule.
        rule: RuleId,
        /// Its number, as alerts name it.
        number: u16,
        /// Its severity.
        severity: Severity,
    },
}

impl HitCause {
    /// Severity of the hit.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::List(m) => m.severity,
            Self::Rule { severity, .. } => *severity,
        }
    }
}

/// A sighting with a cause: what becomes an alert.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The sighting that matched.
    pub sighting: Sighting,
    /// Why.
    pub cause: HitCause,
    /// What the centre is told of it now; hits of one event can differ, as when a corrected read matches another list.
    pub stage: Stage,
    /// The read was corrected and no longer matches: the alert is an update without a match.
    pub withdrawn: bool,
}

/// What tells two hits of one sighting apart: (list number, entry) or the rule's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HitCauseKey {
    /// List number and entry.
    List(u16, u32),
    /// Rule number.
    Rule(u16),
}

impl HitCause {
    /// The key of this cause within one sighting.
    #[must_use]
    pub fn key(&self) -> HitCauseKey {
        match self {
            Self::List(m) => HitCauseKey::List(m.list_number, m.entry),
            Self::Rule { number, .. } => HitCauseKey::Rule(*number),
        }
    }
}
