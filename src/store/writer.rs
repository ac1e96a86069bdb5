//! One commit: from entries to a ledger batch, its pictures, index rows and outbox entries.
//!
//! [`Writer::prepare`] draws up everything and changes nothing; [`Writer::commit`] makes it durable in this order:
//! pictures (one sync), ledger (one sync), then the index and the outbox, which follow from the ledger. When it returns
//! `Ok`, the batch survives a power cut; when it returns an error, nothing of it counts and the same `Prepared` may be
//! tried again, with the same numbers. Only the recorder's thread owns a writer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::accounting::Account;
use super::alerting::{self, OpenTrack, OpenTracks, Stamp};
use super::audit::Event;
use super::error::Error;
use super::evidence::{self, Sealed};
use super::ledger::Ledger;
use super::outbox::ShedPlan;
use super::record::{Kind, OutboxName, Reason, Record, hit_name, rank, severity_of};
use super::room::{LeftOut, Room};
use super::row::{self, HitRow, SightingRow};
use super::segment::Batch;
use super::{Entry, Inner, Store};
use crate::domain::alert::SHED_VERSION;
use crate::domain::{Alert, EventId, Hit, HitCause, Pictures, ReadsAs, RetentionClass, Shed, Sighting, Stage, TimeMs};
use crate::health::pulse::Pulse;

/// The index is made durable after this much ledger, or after this much time, whichever comes first.
const CHECKPOINT_BYTES: u64 = 4 << 20;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// How long acks wait for a batch to go with before they are written alone: a crash before has their alerts sent once more.
const ACKS_WAIT: Duration = Duration::from_mins(1);
/// A rebuild of the index reads the whole ledger: one that failed is not tried again at once.
const REPAIR_EVERY: Duration = Duration::from_secs(30);
/// How long an index may take to be rebuilt: ten seconds a million rows, on a slow disk many times that.
const REBUILD_WITHIN: Duration = Duration::from_mins(30);
/// How long nothing with pictures is tried where the disk takes none.
const PICTURES_AGAIN: Duration = Duration::from_mins(5);

/// What a durable commit was, for whoever listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Commit {
    /// Entries handed to the recorder that this commit made durable.
    pub entries: usize,
    /// Alerts among what was written (shed notices included).
    pub alerts: u64,
    /// Newest seq given out so far.
    pub last_seq: u64,
}

/// The writing half of a store.
pub(super) struct Writer {
    pub(super) store: Arc<Inner>,
    ledger: Ledger,
    open: OpenTracks,
    bytes_since: u64,
    checkpoint_at: Duration,
    dirty: bool,
    repair_not_before: Option<Duration>,
    /// Since when acks wait to be written.
    acks_since: Option<Duration>,
    /// What the disk has room for.
    pub(super) room: Room,
    /// Until then nothing with pictures is drawn up: the disk took none although bytes are free.
    pub(super) no_pictures_until: Option<Duration>,
    /// What was left out for want of room, until it is counted.
    left_out: std::cell::RefCell<LeftOut>,
    /// Of the thread that writes.
    pulse: Option<Pulse>,
}

/// A commit that is drawn up and not done.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) batch: Batch,
    files: Vec<Sealed>,
    open: HashMap<EventId, Option<OpenTrack>>,
    commit: Commit,
    now: TimeMs,
    account: Account,
    left_out: LeftOut,
    /// Its pictures could not be written, so nothing of it is in the ledger: it may be drawn up anew.
    untouched: bool,
}

/// A batch while it is drawn up.
pub(super) struct Draft<'a> {
    pub(super) writer: &'a Writer,
    pub(super) now: TimeMs,
    seq: u64,
    records: Vec<Record>,
    pub(super) files: Vec<Sealed>,
    open: HashMap<EventId, Option<OpenTrack>>,
    /// Pictures among `files`, in the clear, by sighting.
    fresh: HashMap<EventId, Arc<Pictures>>,
    /// What the audit log will say of its hits.
    account: Account,
    left_out: LeftOut,
}

impl Writer {
    /// Takes the ledger out of the store: there is one writer.
    pub(super) fn new(store: Arc<Inner>) -> Result<Self, Error> {
        let ledger = store.ledger.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ledger = ledger.ok_or(Error::RecorderRunning)?;
        let checkpoint_at = store.clock.monotonic() + CHECKPOINT_EVERY;
        Ok(Self {
            store,
            ledger,
            open: OpenTracks::default(),
            bytes_since: 0,
            checkpoint_at,
            dirty: false,
            repair_not_before: None,
            acks_since: None,
            room: Room::default(),
            no_pictures_until: None,
            left_out: std::cell::RefCell::default(),
            pulse: None,
        })
    }

    pub(super) fn draft(&self) -> Draft<'_> {
        Draft {
            writer: self,
            now: self.store.clock.utc(),
            seq: self.ledger.end().last_seq,
            records: Vec::new(),
            files: Vec::new(),
            open: HashMap::new(),
            fresh: HashMap::new(),
            account: Account::default(),
            left_out: LeftOut::default(),
        }
    }

    /// Draws up the commit of `entries`, with whatever acks wait to be written; `None` when there is nothing to write.
    ///
    /// # Errors
    /// When a key file cannot be made or a picture cannot be read back; nothing has changed then.
    pub(super) fn prepare(&self, entries: &[Entry]) -> Result<Option<Prepared>, Error> {
        let mut draft = self.draft();
        for entry in entries {
            draft.entry(entry)?;
        }
        let acked = self.store.order().take_acked();
        if !acked.is_empty() {
            draft.records.push(Record::gone(Reason::Acked, &acked));
        }
        Ok(draft.finish(entries.len()))
    }

    /// Draws up what keeps the outbox within its bounds.
    ///
    /// # Errors
    /// As [`Writer::prepare`].
    pub(super) fn prepare_shed(&self) -> Result<Option<(Prepared, u64)>, Error> {
        let settings = &self.store.settings;
        let plan = self.store.order().plan_shed(settings.outbox_max_entries, settings.outbox_max_bytes);
        let Some(plan) = plan else { return Ok(None) };
        let mut draft = self.draft();
        draft.shed(&plan)?;
        Ok(draft.finish(0).map(|prepared| (prepared, plan.alerts)))
    }

    /// Makes a prepared batch durable.
    ///
    /// # Errors
    /// I/O errors and a full disk: nothing of the batch counts, and it may be tried again.
    pub(super) fn commit(&mut self, prepared: &mut Prepared) -> Result<Commit, Error> {
        let store = Arc::clone(&self.store);
        evidence::write(&*store.disk, &store.evidence_dir(), &prepared.files)?;
        let written = self.ledger.append(&prepared.batch, prepared.now).inspect_err(|error| {
            // What an append left when it failed must not meet another batch of this number; room is asked for before it.
            prepared.untouched &= matches!(error, Error::NoSpace { .. });
        })?;
        // From here on the batch is committed: nothing below may make it look as if it were not.
        self.dirty = true;
        self.bytes_since += written;
        for details in prepared.account.details(store.epoch, prepared.batch.number) {
            store.audit.later(prepared.now, Event::Committed, &details);
        }
        self.open.update(std::mem::take(&mut prepared.open));
        self.left_out.get_mut().add(std::mem::take(&mut prepared.left_out));
        let applied = store.index().apply(&prepared.batch);
        store.order().follow(&prepared.batch);
        store.unseen().follow(&prepared.batch);
        if let Err(error) = applied {
            tracing::error!(%error, "index failed after a commit");
            store.distrust_index();
        }
        self.repair_index();
        Ok(prepared.commit)
    }

    /// Gives up a commit whose pictures the disk does not take, so that it is drawn up without them; gives it back where a
    /// part of it may be in the ledger.
    pub(super) fn go_without_pictures(&mut self, prepared: Prepared) -> Option<Prepared> {
        if !prepared.untouched || prepared.files.is_empty() {
            return Some(prepared);
        }
        let acked = prepared.batch.records.iter().filter(|record| record.is_acked());
        let acked: Vec<_> = acked.flat_map(Record::gone_ranges).collect();
        self.store.order().give_back_acked(acked);
        self.no_pictures_until = Some(self.store.clock.monotonic() + PICTURES_AGAIN);
        None
    }

    /// What was left out since the last call.
    pub(super) fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(self.left_out.get_mut())
    }

    /// Rebuilds the index when it is not trusted any more; a failure is told and tried again later.
    pub(super) fn repair_index(&mut self) {
        let now = self.store.clock.monotonic();
        if !self.store.index_is_distrusted() || self.repair_not_before.is_some_and(|at| now < at) {
            return;
        }
        self.repair_not_before = None;
        // Wherever it is done, in a commit or in a deletion, it may take many times as long as that.
        self.pulse.iter().for_each(|pulse| pulse.takes("the rebuilding of the index", REBUILD_WITHIN));
        if let Err(error) = self.store.rebuild_index("it failed while running") {
            tracing::error!(%error, "index cannot be rebuilt yet");
            self.repair_not_before = Some(now + REPAIR_EVERY);
        }
        self.pulse.iter().for_each(|pulse| pulse.beats("what was held up by the index"));
    }

    /// The sign of life of the thread that writes.
    pub(super) fn lives_by(&mut self, pulse: Pulse) {
        self.pulse = Some(pulse);
    }

    /// Whether acks wait to be written.
    pub(super) fn has_acked(&self) -> bool {
        self.store.order().has_acked()
    }

    /// Whether they have waited long enough to be written alone.
    pub(super) fn acks_due(&mut self) -> bool {
        let now = self.store.clock.monotonic();
        self.acks_since = self.has_acked().then(|| self.acks_since.unwrap_or(now));
        self.acks_since.is_some_and(|since| now.saturating_sub(since) >= ACKS_WAIT)
    }

    /// Whether a copy that does not open waits to be told as shed.
    pub(super) fn has_condemned(&self) -> bool {
        self.store.order().has_condemned()
    }

    /// Makes the index durable when it is time; a failure costs a longer replay and nothing else.
    pub(super) fn checkpoint_if_due(&mut self) {
        let now = self.store.clock.monotonic();
        if self.dirty && (self.bytes_since >= CHECKPOINT_BYTES || now >= self.checkpoint_at) {
            self.checkpoint();
        }
    }

    /// Makes durable what the audit log says of committed hits, and the index; whether the index is.
    pub(super) fn checkpoint(&mut self) -> bool {
        self.checkpoint_at = self.store.clock.monotonic() + CHECKPOINT_EVERY;
        self.bytes_since = 0;
        self.dirty = false;
        if let Err(error) = self.store.audit.flush() {
            tracing::error!(%error, "audit records of hits not written, tried again");
        }
        let durable = self.store.index().checkpoint();
        if let Err(error) = &durable {
            tracing::error!(%error, "index cannot be made durable");
            self.store.distrust_index();
        }
        durable.is_ok()
    }

    /// The store that it writes to.
    pub(super) fn as_store(&self) -> Store {
        Store(Arc::clone(&self.store))
    }

    /// Whether there is such a hold, also one that does not open.
    pub(super) fn has_hold(&self, number: u32) -> bool {
        let holds = self.store.holds();
        holds.active.contains_key(&number) || holds.unreadable.contains(&number)
    }

    /// The index was changed beside a commit: it is made durable at the next checkpoint.
    pub(super) fn dirty(&mut self) {
        self.dirty = true;
    }

    /// Gives the ledger back, in good order.
    pub(super) fn close(mut self) {
        self.checkpoint();
        self.store.say(Event::Stopped, &[]);
        let Self { store, ledger, .. } = self;
        *store.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
    }
}

impl Draft<'_> {
    pub(super) fn finish(self, entries: usize) -> Option<Prepared> {
        if self.records.is_empty() {
            self.writer.left_out.borrow_mut().add(self.left_out);
            return None;
        }
        let end = self.writer.ledger.end();
        Some(Prepared {
            commit: Commit { entries, alerts: self.seq - end.last_seq, last_seq: self.seq },
            batch: Batch { number: end.batch + 1, last_seq: self.seq, records: self.records },
            files: self.files,
            open: self.open,
            now: self.now,
            account: self.account,
            left_out: self.left_out,
            untouched: true,
        })
    }

    /// Records so far.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of pictures so far.
    pub(super) fn weight(&self) -> usize {
        self.files.iter().map(Sealed::len).sum()
    }

    fn track(&self, id: EventId) -> OpenTrack {
        match self.open.get(&id) {
            Some(track) => track.clone().unwrap_or_default(),
            None => self.writer.open.get(id).cloned().unwrap_or_default(),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let event = &entry.event;
        let sighting = &event.sighting;
        let mut track = self.track(sighting.id);
        track.crop = alerting::crop_digest(event, &track);
        track.note(&entry.hits);
        let over = event.stage == Stage::End;
        let reads_as = self.writer.store.reads_as();
        let is_hit = track.hit_class.is_some();
        let no_room = over && !is_hit && reads_as != ReadsAs::Off && self.writer.room >= Room::NoReads;
        if no_room {
            *self.left_out.reads.entry(sighting.camera.clone()).or_default() += 1;
        }
        let hashed = reads_as == ReadsAs::Hashed && !is_hit && !no_room;
        let kept = is_hit || (over && reads_as == ReadsAs::Plain && !no_room);
        let mut pictures = event.pictures.clone().map(Arc::new).or_else(|| track.pending.take());
        if kept {
            if self.writer.room >= Room::NoPictures && pictures.take().is_some() {
                self.left_out.pictures += 1;
            }
            let class = track.class();
            let key = self.key_for(sighting.begin.day(), class)?;
            self.pictures(sighting.id, key, pictures, &mut track)?;
            if entry.hits.iter().any(|hit| hit.stage == Stage::New) {
                self.move_clip_if_indexed(sighting.id, key)?;
            }
            let plain = row::encode(&SightingRow::of(sighting));
            self.seal(Kind::Sighting, key, sighting.id.0.to_vec(), &plain)?;
        } else {
            track.pending = pictures;
        }
        if over && hashed {
            self.hashed(sighting)?;
        }
        for hit in &entry.hits {
            let first_at = *track.first_at.get_or_insert(self.now);
            self.alert(entry, hit, track.crop, first_at)?;
        }
        self.open.insert(sighting.id, (!over).then_some(track));
        Ok(())
    }

    /// Camera, time and the HMAC of the plate: what is kept of a read where reads are hashed. Without a read there is nothing.
    fn hashed(&mut self, sighting: &Sighting) -> Result<(), Error> {
        let Some(read) = &sighting.read else { return Ok(()) };
        let key = self.key_for(sighting.begin.day(), RetentionClass::Read)?;
        let mac = self.writer.store.keys.for_writing(key.0, key.1)?.plate_mac(read.text.as_str());
        let plain = row::encode(&SightingRow::hashed(sighting, mac));
        self.seal(Kind::Sighting, key, sighting.id.0.to_vec(), &plain)
    }

    /// Day and class to seal with: the day of the sighting, or today or later when that day has been deleted already (as a day
    /// told by a clock that was not set may have been).
    pub(super) fn key_for(&self, day: u32, class: RetentionClass) -> Result<(u32, RetentionClass), Error> {
        Ok((self.writer.store.keys.day_for_writing(day, self.now.day(), class)?, class))
    }

    /// Pictures of a sighting that is stored; a hit keeps the scene too, a mere read its crop alone.
    fn pictures(
        &mut self,
        id: EventId,
        key: (u32, RetentionClass),
        pictures: Option<Arc<Pictures>>,
        track: &mut OpenTrack,
    ) -> Result<(), Error> {
        let store = &self.writer.store;
        let risen = track.pictures_class.is_some_and(|class| class != key.1);
        let pictures = match (pictures, self.fresh.get(&id)) {
            (Some(pictures), _) => pictures,
            // No file can be made: they stay under that key until there is room, when there is a next time.
            (None, _) if risen && self.writer.room >= Room::NoPictures => return Ok(()),
            // They lie under the key of a class that is deleted earlier: seal them anew.
            (None, Some(fresh)) if risen => Arc::clone(fresh),
            (None, None) if risen => {
                let sound = evidence::read_sound(&store.evidence_dir(), &store.keys, id, key, &store.pictures_lost)?;
                Arc::new(sound)
            }
            (None, _) => return Ok(()),
        };
        self.fresh.insert(id, Arc::clone(&pictures));
        let mut pictures = pictures.as_ref().clone();
        if key.1 == RetentionClass::Read {
            pictures.scene.clear();
        }
        self.files.extend(evidence::seal(&store.evidence_dir(), &store.keys, id, key, &pictures)?);
        track.pictures_class = Some(key.1);
        Ok(())
    }

    fn alert(&mut self, entry: &Entry, hit: &Hit, crop: Option<[u8; 16]>, first_at: TimeMs) -> Result<(), Error> {
        let store = &self.writer.store;
        let sighting = &entry.event.sighting;
        let severity = hit.cause.severity();
        let key = self.key_for(sighting.begin.day(), severity.into())?;
        self.seq += 1;
        let stamp = Stamp { epoch: store.epoch, state: *store.state.lock().unwrap_or_else(PoisonError::into_inner) };
        let alert = alerting::alert(stamp, self.seq, hit, sighting, entry.event.cause_at, crop);
        let name = OutboxName { rank: rank(severity), seq: self.seq, stored_at: self.now }.bytes();
        self.seal(Kind::Alert, key, name, &row::encode(&alert))?;
        let mut row = self.hit_row(hit, alert, first_at);
        row.salt = Some(self.account.add(&row.alert)?);
        let plain = row::encode(&row);
        self.seal(Kind::Hit, key, hit_name(sighting.id, hit.cause.key()), &plain)
    }

    fn hit_row(&self, hit: &Hit, alert: Alert, first_at: TimeMs) -> HitRow {
        let mut row = HitRow {
            version: HitRow::VERSION,
            alert,
            list: None,
            rule: None,
            match_permille: None,
            stale: None,
            first_at,
            stored_at: self.now,
            owner: None,
            salt: None,
        };
        match &hit.cause {
            HitCause::List(m) => {
                row.list = Some(m.list.clone());
                row.match_permille = Some(row::permille(m.confidence));
                row.stale = Some(m.stale);
                row.owner.clone_from(&m.owner);
            }
            HitCause::Rule { rule, .. } => row.rule = Some(rule.clone()),
        }
        row
    }

    fn shed(&mut self, plan: &ShedPlan) -> Result<(), Error> {
        let alerts = self.writer.store.order().alerts_within(&plan.gone);
        if !alerts.is_empty() {
            self.records.push(Record::gone(Reason::Withheld, &alerts));
        }
        self.records.push(Record::gone(Reason::Shed, &plan.gone));
        for (first, last, rank) in &plan.runs {
            let severity = severity_of(*rank);
            self.seq += 1;
            let shed = Shed {
                version: SHED_VERSION,
                epoch: self.writer.store.epoch,
                seq: self.seq,
                first: *first,
                last: *last,
                severity,
                time: self.now,
            };
            let key = self.key_for(self.now.day(), severity.into())?;
            let name = OutboxName { rank: *rank, seq: self.seq, stored_at: self.now }.bytes();
            self.seal(Kind::Shed, key, name, &row::encode(&shed))?;
        }
        Ok(())
    }

    pub(super) fn seal(
        &mut self,
        kind: Kind,
        key: (u32, RetentionClass),
        name: Vec<u8>,
        plain: &[u8],
    ) -> Result<(), Error> {
        self.records.push(Record::seal(&self.writer.store.keys, kind, key, name, plain)?);
        Ok(())
    }
}
