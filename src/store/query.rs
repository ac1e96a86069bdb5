//! Asking the store: sightings by id and plate, hits newest first, counts. Reads only; any thread.
//!
//! A row whose key was destroyed is not there. When the index fails, the call that met it says so and the recorder
//! rebuilds it from the ledger. A row that does not open is an error of the call.

use super::accounting::Salt;
use super::error::Error;
use super::record::Record;
use super::row;
use super::seal::class_of;
use super::{Store, evidence, record};
use crate::domain::hit::HitCauseKey;
use crate::domain::{
    Alert, EventId, Handling, HitState, ListId, Ownership, Pictures, PlateRead, PlateText, RetentionClass, RuleId,
    Sighting, TimeMs,
};

/// A hit as it is kept: its newest alert, and what an alert leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHit {
    /// The newest alert of this hit; epoch and seq are those it was given, also after a salvage.
    pub alert: Alert,
    /// What tells it from the other hits of its sighting.
    pub cause: HitCauseKey,
    /// The list that matched.
    pub list: Option<ListId>,
    /// The rule that matched.
    pub rule: Option<RuleId>,
    /// Probability that the plate is the entry's, ‰.
    pub match_permille: Option<u16>,
    /// The list was past its freshness.
    pub stale: bool,
    /// Whose the list was, and who else sees its hits; `None`: everybody's.
    pub owner: Option<Ownership>,
    /// When it was stored first.
    pub first_at: TimeMs,
    /// When it was stored last.
    pub stored_at: TimeMs,
    /// Opens the commitment to its alert in the audit log; hits from before commitments have none.
    pub salt: Option<Salt>,
    /// What people made of it.
    pub handling: Handling,
    /// How far it has come.
    pub state: HitState,
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Hits (sighting and cause).
    pub hits: u64,
    /// Sightings.
    pub sightings: u64,
}

impl Store {
    /// The sighting of an id.
    ///
    /// # Errors
    /// When the index fails or the row does not open.
    pub fn sighting(&self, id: EventId) -> Result<Option<Sighting>, Error> {
        let found = self.0.index().get(record::Kind::Sighting, &id.0);
        self.opened(found)?.map(|(_, plain)| row::sighting(&plain)).transpose()
    }

    /// The sighting of an id, for who knows its plate: a read that is kept as a hash of `plate` is told with that text and
    /// the confidence 0.
    ///
    /// # Errors
    /// When the index fails or the row does not open.
    pub(super) fn sighting_as(&self, id: EventId, plate: &PlateText) -> Result<Option<Sighting>, Error> {
        let found = self.0.index().get(record::Kind::Sighting, &id.0);
        let Some((record, plain)) = self.opened(found)? else { return Ok(None) };
        let mut sighting = row::sighting(&plain)?;
        if let Some(mac) = row::hash_of(&plain)? {
            let key = self.0.keys.for_reading(record.day, record.class)?;
            let same = key.is_some_and(|key| key.plate_mac(plate.as_str()) == mac);
            sighting.read = same.then(|| PlateRead::of_text(plate.clone()));
        }
        Ok(Some(sighting))
    }

    /// Sightings, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn recent_sightings(&self, limit: usize) -> Result<Vec<Sighting>, Error> {
        let rows = self.0.index().newest(record::Kind::Sighting, &[], limit);
        self.opened_all(rows)?.iter().map(|plain| row::sighting(plain)).collect()
    }

    /// Hits, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn recent_hits(&self, limit: usize) -> Result<Vec<StoredHit>, Error> {
        self.hits_with(&[], limit)
    }

    /// The hits of one sighting.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn hits_of(&self, id: EventId) -> Result<Vec<StoredHit>, Error> {
        self.hits_with(&id.0, usize::MAX)
    }

    fn hits_with(&self, prefix: &[u8], limit: usize) -> Result<Vec<StoredHit>, Error> {
        let rows = self.0.index().newest(record::Kind::Hit, prefix, limit);
        let rows = rows.inspect_err(|error| self.0.judge_index(error))?;
        let opened = rows.into_iter().filter_map(|row| self.opened(Ok(Some(row))).transpose());
        opened.map(|row| row.and_then(|(record, plain)| self.stored_hit(&record, &plain))).collect()
    }

    /// Sightings with exactly this plate whose day lies within `from..=to`, newest first, at most `limit`.
    ///
    /// Each day and class has a plate index of its own: the cost grows with the days asked for, not with the rows.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn by_plate(&self, plate: &PlateText, from: TimeMs, to: TimeMs, limit: usize) -> Result<Vec<Sighting>, Error> {
        let mut ids = Vec::new();
        for (day, class) in self.0.keys.existing(from.day(), to.day())? {
            if let Some(key) = self.0.keys.for_reading(day, class)? {
                ids.extend(self.0.index().by_plate((day, class), &key.plate_mac(plate.as_str()), None, limit)?);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        // What holds keep lies under no day.
        let of_days = |s: &Sighting| (from.day()..=to.day()).contains(&s.begin.day());
        let newest = ids.into_iter().rev().filter_map(|id| self.sighting_as(id, plate).transpose());
        newest.filter(|found| found.as_ref().map_or(true, of_days)).take(limit).collect()
    }

    /// The pictures of a sighting, verified; empty ones where none are kept.
    ///
    /// # Errors
    /// [`Error::Unsealed`] when a file is damaged; I/O errors; when the index fails.
    pub fn pictures(&self, id: EventId) -> Result<Option<Pictures>, Error> {
        let found = self.0.index().get(record::Kind::Sighting, &id.0);
        let Some((row, _)) = self.opened(found)? else { return Ok(None) };
        evidence::read(&self.0.evidence_dir(), &self.0.keys, id, (row.day, row.class)).map(Some)
    }

    /// How much there is; costs nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let meta = self.0.index().meta();
        Counts { hits: meta.hits, sightings: meta.sightings }
    }

    pub(super) fn opened(&self, found: Result<Option<Record>, Error>) -> Result<Option<(Record, Vec<u8>)>, Error> {
        let opened = found.and_then(|record| {
            let Some(record) = record else { return Ok(None) };
            Ok(record.open(&self.0.keys)?.map(|plain| (record, plain)))
        });
        opened.inspect_err(|error| self.0.judge_index(error))
    }

    fn opened_all(&self, rows: Result<Vec<Record>, Error>) -> Result<Vec<Vec<u8>>, Error> {
        let opened = rows.and_then(|rows| rows.iter().filter_map(|r| r.open(&self.0.keys).transpose()).collect());
        opened.inspect_err(|error| self.0.judge_index(error))
    }
}

impl super::daykeys::DayKeys {
    /// Days and classes within `from..=to` that have a key, and every hold that has one, of whatever days it holds things.
    pub(super) fn existing(&self, from: u32, to: u32) -> Result<Vec<(u32, RetentionClass)>, Error> {
        self.all(|day| (from..=to).contains(&day), &[".key"])
    }

    /// Days that are `wanted` and classes, and holds, of which there is a file that ends in one of `ends`.
    pub(super) fn all(&self, wanted: impl Fn(u32) -> bool, ends: &[&str]) -> Result<Vec<(u32, RetentionClass)>, Error> {
        let dir = self.dir();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let name = entry.map_err(Error::io("list", dir))?.file_name();
            let stem = name.to_str().and_then(|n| ends.iter().find_map(|end| n.strip_suffix(end)));
            let parts = stem.and_then(|n| n.split_once('-'));
            let pair = parts.and_then(|(day, class)| Some((day.parse().ok()?, class_of(class.parse().ok()?)?)));
            found.extend(pair.filter(|(day, class)| *class == RetentionClass::Held || wanted(*day)));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
