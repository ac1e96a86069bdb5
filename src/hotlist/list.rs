//! One list in force: its settings, where it comes from, its entries. Immutable.

use std::path::Path;
use std::time::Duration;

use super::Error;
use super::index::{Entry, Index};
use super::lists::parse_lines;
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity, TimeMs};

/// What the config, or the package, says of a list.
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

/// A checked list; immutable.
#[derive(Debug)]
pub struct List {
    settings: ListSettings,
    serial: u32,
    digest: [u8; 32],
    issued: TimeMs,
    states: Vec<Box<str>>,
    index: Index,
    packaged: bool,
}

/// What a list is beside its settings and entries.
pub(super) struct Facts {
    pub serial: u32,
    pub digest: [u8; 32],
    pub issued: TimeMs,
}

impl List {
    /// A list of the centre, of entries that were checked.
    pub(super) fn packaged(settings: ListSettings, facts: &Facts, states: Vec<Box<str>>, entries: Vec<Entry>) -> Self {
        let Facts { serial, digest, issued } = *facts;
        Self { settings, serial, digest, issued, states, index: Index::new(entries), packaged: true }
    }

    /// Whether it came from the centre as a package, not from a file that the config names.
    #[must_use]
    pub fn is_packaged(&self) -> bool {
        self.packaged
    }

    /// Checks and indexes the bytes of a CSV file that was last changed at `issued`; `path` only names it in errors.
    ///
    /// # Errors
    /// [`Error::Header`] without a column `PlateNumber`, [`Error::BadLines`] naming each bad line.
    pub fn parse(path: &Path, bytes: &[u8], issued: TimeMs, settings: &ListSettings) -> Result<Self, Error> {
        let mut entries = Vec::new();
        let states = parse_lines(path, bytes, settings, &mut |entry, _| entries.push(entry))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Ok(Self {
            settings: settings.clone(),
            serial: u32::try_from(issued.0 / 1000).unwrap_or(u32::MAX),
            digest: <[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default(),
            issued,
            states,
            index: Index::new(entries),
            packaged: false,
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

    /// SHA-256 of the file, or of the package's entries.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// When it was made: the file's time of change, or what the package says.
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
