//! Deleting what a key sealed, by destroying the key, and before it keeping what holds cover.
//!
//! 1. Rows of the key are walked through, some thousand at a time, so that between two steps the recorder commits what
//!    waits. What a hold covers (the sighting with its pictures, its hits, what was made of them) is sealed anew under the
//!    hold's key and committed like any batch: it is on the medium before anything goes. A hold that is placed meanwhile
//!    makes the walk begin anew.
//! 2. Copies that the centre does not have yet are shed, and told to it.
//! 3. The key is destroyed. From here on nothing of the day can be read, also by the box.
//! 4. Index rows and pictures are removed to give the space back; when that is on the medium the day is struck from those that
//!    exist, and it is audited with counts.
//!
//! An end at any point costs nothing: the same pair is due again, and each step does nothing twice. (A hold whose release did not come to its end
//! is cleared away when the store opens.) Called by the recorder.

use std::collections::HashSet;
use std::sync::Arc;

use super::Store;
use super::attached::clip_name;
use super::audit::Event;
use super::error::Error;
use super::evidence;
use super::record::{Kind, Record};
use super::row;
use super::writer::{Draft, Writer};
use crate::domain::{EventId, Hold, HoldScope, RetentionClass};

/// Rows that one step looks at.
const VISIT: usize = 4_096;
/// Bytes of pictures that one step seals anew, before it is committed.
const STEP_BYTES: usize = 8 << 20;
/// Records that one step seals anew.
const STEP_RECORDS: usize = 512;

/// A day and class, or a hold.
pub(super) type Pair = (u32, RetentionClass);

/// A deletion under way.
pub(super) struct Purge {
    pub(super) pair: Pair,
    /// Hits first, then sightings.
    kind: Kind,
    after: Option<Vec<u8>>,
    generation: Option<u64>,
    kept: u64,
}

impl Purge {
    pub(super) fn of(pair: Pair) -> Self {
        Self { pair, kind: Kind::Hit, after: None, generation: None, kept: 0 }
    }

    /// The hold that is released by it.
    fn releases(&self) -> Option<u32> {
        (self.pair.1 == RetentionClass::Held).then_some(self.pair.0)
    }
}

impl Writer {
    /// One step of a deletion; the number of rows that went when it was the last.
    ///
    /// # Errors
    /// [`Error::HoldUnreadable`]; I/O errors: begin it again then.
    pub(super) fn purge_step(&mut self, purge: &mut Purge) -> Result<Option<u64>, Error> {
        let store = Arc::clone(&self.store);
        let (generation, idle) = {
            let holds = store.holds();
            if let Some(number) = holds.unreadable.iter().find(|n| Some(**n) != purge.releases()) {
                return Err(Error::HoldUnreadable { number: *number });
            }
            (holds.generation, holds.active.keys().all(|number| Some(*number) == purge.releases()))
        };
        if purge.generation != Some(generation) {
            (purge.kind, purge.after, purge.generation) = (Kind::Hit, None, Some(generation));
        }
        if !idle && self.keep_held(purge)? {
            return Ok(None);
        }
        let rows = self.destroy(purge.pair, purge.kept)?;
        if let Some(number) = purge.releases() {
            self.released(number, rows, purge.kept);
        }
        Ok(Some(rows))
    }

    /// Seals anew what holds cover among the next rows; whether there may be more.
    fn keep_held(&mut self, purge: &mut Purge) -> Result<bool, Error> {
        let store = Arc::clone(&self.store);
        let (rows, next) = store
            .index()
            .of_key(purge.kind, purge.pair, purge.after.as_deref(), VISIT)
            .inspect_err(|error| store.judge_index(error))?;
        let mut draft = self.draft();
        let mut looked_at = HashSet::new();
        let mut stopped_at = None;
        for row in &rows {
            let Some(id) = row.name.get(..16).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(EventId) else {
                continue;
            };
            if !looked_at.insert(id) {
                continue;
            }
            if let Some(hold) = self.hold_of(id, purge.releases())? {
                draft.rewrap(id, purge.pair, &hold)?;
            }
            if draft.weight() > STEP_BYTES || draft.len() > STEP_RECORDS {
                // The rows of this id are all sealed anew: going on behind the name misses none.
                stopped_at = Some(row.name.clone());
                break;
            }
        }
        purge.kept += draft.len() as u64;
        if let Some(mut prepared) = draft.finish(0) {
            self.commit(&mut prepared)?;
        }
        match (stopped_at.or(next), purge.kind) {
            (Some(after), _) => purge.after = Some(after),
            (None, Kind::Hit) => (purge.kind, purge.after) = (Kind::Sighting, None),
            (None, _) => return Ok(false),
        }
        Ok(true)
    }

    /// The hold that keeps this sighting.
    fn hold_of(&self, id: EventId, except: Option<u32>) -> Result<Option<Hold>, Error> {
        {
            let holds = self.store.holds();
            if holds.by_id_alone() && !holds.names(id) {
                return Ok(None);
            }
        }
        let facts = self.facts(id)?;
        Ok(self.store.holds().keeping(&facts, except).cloned())
    }

    /// Deletes what the key of (day, class) sealed, by destroying the key; returns how many index rows went.
    ///
    /// Copies that the centre does not have yet are shed first, so that it is told; what tells of shed copies (no plate is
    /// in it) is sealed anew under a later day, or the centre would be left with a hole.
    fn destroy(&mut self, (day, class): Pair, kept: u64) -> Result<u64, Error> {
        let store = Arc::clone(&self.store);
        store.index().each(&mut |record| {
            if record.kind == Kind::Alert && (record.day, record.class) == (day, class) {
                store.order().condemn_name(&record.name);
            }
            Ok(())
        })?;
        if let Some((mut prepared, _)) = self.prepare_shed()? {
            self.commit(&mut prepared)?;
        }
        self.keep_notices(day, class)?;
        let folders = self.folders_of_clips((day, class))?;
        store.keys.destroy(day, class)?;
        let rows = store.index().forget(day, class).inspect_err(|error| store.judge_index(error))?;
        let has_clip = |id| store.index().get(Kind::Attached, &clip_name(id)).map(|row| row.is_some());
        let (root, mut files) = (store.evidence_dir(), 0);
        for of in folders {
            files += evidence::remove((&*store.disk, &root, &store.keys), of, (day, class), &has_clip)?;
        }
        store.unseen().forget((day, class));
        self.dirty();
        if self.checkpoint() {
            store.keys.strike(day, class)?;
        }
        let details = [
            ("day", day.to_string()),
            ("class", format!("{class:?}").to_lowercase()),
            ("rows", rows.to_string()),
            ("files", files.to_string()),
            ("held", kept.to_string()),
        ];
        store.say(Event::KeyDestroyed, &details);
        Ok(rows)
    }

    /// Seals the shed notices that lie under (day, class) and wait for the centre under another day.
    fn keep_notices(&mut self, day: u32, class: RetentionClass) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let names = store.order().notices();
        let mut draft = self.draft();
        let later = draft.now.day().max(day.saturating_add(1));
        for name in names {
            let Some(record) = store.index().get(Kind::Shed, &name.bytes())? else { continue };
            if (record.day, record.class) != (day, class) {
                continue;
            }
            if let Some(plain) = record.open(&store.keys)? {
                let key = draft.key_for(later, class)?;
                draft.seal(Kind::Shed, key, record.name, &plain)?;
            }
        }
        match draft.finish(0) {
            Some(mut prepared) => self.commit(&mut prepared).map(drop),
            None => Ok(()),
        }
    }
}

impl Draft<'_> {
    /// Seals what lies under `pair` of this sighting anew under the key of `hold`. What does not open stays behind.
    fn rewrap(&mut self, id: EventId, pair: Pair, hold: &Hold) -> Result<(), Error> {
        let store = Store(Arc::clone(&self.writer.store));
        let to = (hold.number, RetentionClass::Held);
        let ours = |record: &Record| (record.day, record.class) == pair;
        if let Some(record) = store.0.index().get(Kind::Sighting, &id.0)?.filter(ours)
            && let Some(plain) = self.sound(&record)?
        {
            let plain = self.sighting_for(hold, plain)?;
            let inner = &store.0;
            let pictures = evidence::read_sound(&inner.evidence_dir(), &inner.keys, id, pair, &inner.pictures_lost)?;
            self.files.extend(evidence::seal(&inner.evidence_dir(), &inner.keys, id, to, &pictures)?);
            self.seal(Kind::Sighting, to, record.name, &plain)?;
            self.reseal_clip(id, to, &ours)?;
        }
        let hits = store.0.index().newest(Kind::Hit, &id.0, usize::MAX)?;
        for record in hits.into_iter().filter(ours) {
            let handling = store.0.index().get(Kind::Handling, &record.name)?.filter(ours);
            for record in std::iter::once(record).chain(handling) {
                if let Some(plain) = self.sound(&record)? {
                    self.seal(record.kind, to, record.name, &plain)?;
                }
            }
        }
        Ok(())
    }

    /// A hash is of the key that goes: under a hold on its plate it is made anew, else it says nothing any more.
    fn sighting_for(&self, hold: &Hold, plain: Vec<u8>) -> Result<Vec<u8>, Error> {
        if row::hash_of(&plain)?.is_none() {
            return Ok(plain);
        }
        let mac = match &hold.scope {
            HoldScope::Plate(plate) => {
                let key = self.writer.store.keys.for_writing(hold.number, RetentionClass::Held)?;
                Some(key.plate_mac(plate.as_str()))
            }
            HoldScope::Hit(_) | HoldScope::Span(_) => None,
        };
        row::rehashed(&plain, mac)
    }

    pub(super) fn sound(&self, record: &Record) -> Result<Option<Vec<u8>>, Error> {
        match record.open(&self.writer.store.keys) {
            Err(error @ Error::Unsealed { .. }) => {
                tracing::error!(%error, "what a hold covers does not open and can't be kept");
                Ok(None)
            }
            opened => opened,
        }
    }
}
