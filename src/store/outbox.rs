//! The outbox: alerts on their way to the centre, until the centre has them.
//!
//! An entry is in the ledger before it is here, and leaves only when an [`Ack`] covers it or when it is shed, so an
//! alert may be sent twice and is never lost while the disk survives. Which entries there are is held in memory
//! (about 100 bytes each) and what they say in the index; [`Outbox::depth`] costs nothing.
//!
//! **Order of sending**: fresh alerts (stored within [`super::Settings::fresh_ms`]) by severity, then the backlog by
//! severity, within each by seq. **Ack**: takes effect at once and is written to the ledger with the recorder's next
//! batch; a crash in between means that some are sent again. **Full**: copies of the lowest severity go first, oldest
//! first, critical ones never; a run of shed numbers becomes a [`Shed`] entry, which is sent and acknowledged like an
//! alert and is never shed itself, though it is merged into a wider one once nothing older is left. The hits stay.
//!
//! Called by `centre::publish` (any thread; reads disk, so not from a frame's thread).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::Inner;
use super::error::Error;
use super::record::{Kind, OutboxName, Record, rank, severity_of};
use super::row;
use super::segment::Batch;
use crate::domain::{Ack, Alert, Epoch, Severity, Shed, TimeMs};

/// The rank of the least severe entries.
const LEAST: u8 = 3;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An alert.
    Alert(Box<Alert>),
    /// Copies were shed.
    Shed(Shed),
}

/// An entry as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its number.
    pub seq: u64,
    /// Its severity: the topic, and the order.
    pub severity: Severity,
    /// When it was stored.
    pub stored_at: TimeMs,
    /// What it says.
    pub body: Body,
}

impl OutboxItem {
    /// The CBOR that is signed and sent.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        match &self.body {
            Body::Alert(alert) => row::encode(alert.as_ref()),
            Body::Shed(shed) => row::encode(shed),
        }
    }
}

/// How full the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Entries.
    pub entries: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// When the oldest was stored.
    pub oldest: Option<TimeMs>,
    /// Alerts by severity, the least severe first; notices of what was shed are none.
    pub by_severity: [u64; 4],
}

/// The door to a store's outbox; cheap to clone.
#[derive(Clone)]
pub struct Outbox(pub(super) Arc<Inner>);

impl Outbox {
    /// The store's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// The newest number that was given out; 0 when there was none yet.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.order().last_seq
    }

    /// Up to `limit` entries in sending order, without those in `in_flight`.
    ///
    /// # Errors
    /// When the index fails; it is then rebuilt by the recorder, and the call works again.
    pub fn next(&self, in_flight: &BTreeSet<u64>, limit: usize) -> Result<Vec<OutboxItem>, Error> {
        self.next_of(in_flight, limit, Severity::Info)
    }

    /// The same of alerts that are at least as severe as `least`, and of every notice of what was shed.
    ///
    /// # Errors
    /// As [`Outbox::next`].
    pub fn next_of(&self, in_flight: &BTreeSet<u64>, limit: usize, least: Severity) -> Result<Vec<OutboxItem>, Error> {
        let wanted = Wanted { now: self.0.clock.utc(), fresh_ms: self.0.settings.fresh_ms, limit, last: rank(least) };
        let picked = self.order().next(&wanted, in_flight);
        let mut items = Vec::with_capacity(picked.len());
        for (name, kind) in picked {
            match self.load(name, kind) {
                Ok(Some(item)) => items.push(item),
                // Acknowledged in the meantime, or deleted with its day.
                Ok(None) => {}
                Err(error @ (Error::Unsealed { .. } | Error::Decode { .. })) => {
                    // One copy must not hold up the others: the centre is told that it will not come.
                    tracing::error!(%error, seq = name.seq, "alert copy does not open, told as shed");
                    self.order().condemn(name);
                }
                Err(error) => {
                    self.0.judge_index(&error);
                    return Err(error);
                }
            }
        }
        Ok(items)
    }

    fn load(&self, name: OutboxName, kind: Kind) -> Result<Option<OutboxItem>, Error> {
        let index = self.0.index();
        let Some(record) = index.get(kind, &name.bytes())? else {
            return if self.order().contains(name.seq) {
                Err(Error::Index { what: "an outbox row is missing".to_owned() })
            } else {
                Ok(None)
            };
        };
        let Some(plain) = record.open(&self.0.keys)? else { return Ok(None) };
        let body = match kind {
            Kind::Shed => Body::Shed(row::decode("shed notice", &plain)?),
            _ => Body::Alert(Box::new(row::decode("alert copy", &plain)?)),
        };
        Ok(Some(OutboxItem { seq: name.seq, severity: severity_of(name.rank), stored_at: name.stored_at, body }))
    }

    /// Removes what the centre has; returns how many entries that were. An ack of another epoch changes nothing.
    ///
    /// # Errors
    /// [`Error::AckBeyond`] when it names a seq that was never given out, [`Error::AckShape`] when it is malformed;
    /// nothing is removed then.
    pub fn ack(&self, ack: &Ack) -> Result<usize, Error> {
        if ack.epoch != self.0.epoch {
            tracing::debug!(epoch = %ack.epoch, "ack of another epoch ignored");
            return Ok(0);
        }
        self.order().ack(ack)
    }

    /// How full it is.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.order().depth()
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    rank: u8,
    stored_at: TimeMs,
    bytes: u64,
    kind: Kind,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) now: TimeMs,
    pub(super) fresh_ms: u64,
    /// Most of them.
    pub(super) limit: usize,
    /// The rank of the least severe alerts; notices are asked for whatever their rank.
    pub(super) last: u8,
}

/// Which entries there are and in what order they go: no I/O, so that a model can be held against it.
#[derive(Debug, Default)]
pub(super) struct Order {
    entries: BTreeMap<u64, Held>,
    by_rank: BTreeSet<(u8, u64)>,
    /// The notices among them: where alerts of their rank wait they go all the same, or the centre would see a hole.
    shed_by_rank: BTreeSet<(u8, u64)>,
    /// How many alerts of each rank.
    ranks: [u64; 4],
    bytes: u64,
    last_seq: u64,
    fresh_from: u64,
    acked: Vec<(u64, u64)>,
    /// Alerts that the centre will not get: first and last of unbroken runs.
    withheld: BTreeMap<u64, u64>,
    /// Copies that do not open: to be shed whatever their severity.
    condemned: BTreeMap<u64, u8>,
}

/// What is to be shed: numbers that go, and the unbroken runs that are told, with the most severe rank in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShedPlan {
    pub(super) alerts: u64,
    pub(super) gone: Vec<(u64, u64)>,
    pub(super) runs: Vec<(u64, u64, u8)>,
}

impl Order {
    pub(super) fn add(&mut self, name: OutboxName, kind: Kind, bytes: u64) {
        let held = Held { rank: name.rank, stored_at: name.stored_at, bytes, kind };
        self.remove(name.seq);
        self.entries.insert(name.seq, held);
        self.by_rank.insert((name.rank, name.seq));
        if kind == Kind::Shed {
            self.shed_by_rank.insert((name.rank, name.seq));
        } else {
            self.count(name.rank, 1);
        }
        self.bytes += bytes;
        self.last_seq = self.last_seq.max(name.seq);
    }

    /// Seqs up to this one have been given out.
    pub(super) fn assigned(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// Takes over what was shed before this start.
    pub(super) fn withhold(&mut self, ranges: Vec<(u64, u64)>) {
        self.withheld.extend(ranges);
    }

    /// Whether the centre has the alert of this number: it was given out, waits no more and was not shed.
    pub(super) fn was_acked(&self, seq: u64) -> bool {
        let shed = self.withheld.range(..=seq).next_back().is_some_and(|(_, last)| seq <= *last);
        (1..=self.last_seq).contains(&seq) && !self.contains(seq) && !shed
    }

    /// The alerts, and no notices, that wait within `ranges`, as unbroken runs.
    pub(super) fn alerts_within(&self, ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let sound = ranges.iter().filter(|(from, to)| from <= to);
        let waiting = sound.flat_map(|(from, to)| self.entries.range(from..=to));
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (seq, _) in waiting.filter(|(_, held)| held.kind == Kind::Alert) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *seq => *last = *seq,
                _ => runs.push((*seq, *seq)),
            }
        }
        runs
    }

    /// The shed notices that wait for the centre.
    pub(super) fn notices(&self) -> Vec<OutboxName> {
        let notices = self.entries.iter().filter(|(_, held)| held.kind == Kind::Shed);
        notices.map(|(seq, held)| OutboxName { rank: held.rank, seq: *seq, stored_at: held.stored_at }).collect()
    }

    /// Marks the copy of this name, if it is still here.
    pub(super) fn condemn_name(&mut self, name: &[u8]) {
        if let Some(name) = OutboxName::parse(name) {
            self.condemn(name);
        }
    }

    /// Does what a committed batch says.
    pub(super) fn follow(&mut self, batch: &Batch) {
        for record in &batch.records {
            match record.kind {
                Kind::Alert | Kind::Shed => {
                    if let Some(name) = OutboxName::parse(&record.name) {
                        self.add(name, record.kind, row_bytes(record));
                    }
                }
                Kind::Gone => {
                    if record.is_withheld() {
                        self.withheld.extend(record.gone_ranges());
                    }
                    for (from, to) in record.gone_ranges() {
                        self.remove_range(from, to);
                    }
                }
                Kind::Sighting | Kind::Hit | Kind::Handling | Kind::Hold | Kind::Tally | Kind::Attached => {}
            }
        }
        self.last_seq = self.last_seq.max(batch.last_seq);
    }

    /// Marks a copy that does not open, unless it was acknowledged in the meantime.
    fn condemn(&mut self, name: OutboxName) {
        if self.contains(name.seq) {
            self.condemned.insert(name.seq, name.rank);
        }
    }

    pub(super) fn has_condemned(&self) -> bool {
        !self.condemned.is_empty()
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }

    fn remove(&mut self, seq: u64) -> bool {
        let Some(held) = self.entries.remove(&seq) else { return false };
        self.by_rank.remove(&(held.rank, seq));
        if !self.shed_by_rank.remove(&(held.rank, seq)) {
            self.count(held.rank, -1);
        }
        self.condemned.remove(&seq);
        self.bytes = self.bytes.saturating_sub(held.bytes);
        true
    }

    fn count(&mut self, rank: u8, by: i64) {
        if let Some(count) = self.ranks.get_mut(usize::from(rank)) {
            *count = count.saturating_add_signed(by);
        }
    }

    pub(super) fn remove_range(&mut self, from: u64, to: u64) -> usize {
        if from > to {
            return 0;
        }
        let seqs: Vec<u64> = self.entries.range(from..=to).map(|(seq, _)| *seq).collect();
        seqs.into_iter().filter(|seq| self.remove(*seq)).count()
    }

    pub(super) fn next(&mut self, wanted: &Wanted, in_flight: &BTreeSet<u64>) -> Vec<(OutboxName, Kind)> {
        let Wanted { now, fresh_ms, limit, last } = *wanted;
        // Numbers grow with time, so "fresh" is everything from one number on; it only moves forward.
        let first = self.entries.range(self.fresh_from..).find(|(_, held)| now.since(held.stored_at) <= fresh_ms);
        self.fresh_from = first.map_or(self.last_seq + 1, |(seq, _)| *seq);
        let fresh = (0..=LEAST).map(|rank| (rank, self.fresh_from, u64::MAX));
        let backlog = (0..=LEAST).map(|rank| (rank, 0, self.fresh_from.saturating_sub(1)));
        let of = |rank: u8| if rank <= last { &self.by_rank } else { &self.shed_by_rank };
        fresh
            .chain(backlog)
            .filter(|(_, from, to)| from <= to)
            .flat_map(|(rank, from, to)| of(rank).range((rank, from)..=(rank, to)))
            .filter(|(_, seq)| !in_flight.contains(seq) && !self.condemned.contains_key(seq))
            .filter_map(|(rank, seq)| {
                let held = self.entries.get(seq)?;
                Some((OutboxName { rank: *rank, seq: *seq, stored_at: held.stored_at }, held.kind))
            })
            .take(limit)
            .collect()
    }

    pub(super) fn ack(&mut self, ack: &Ack) -> Result<usize, Error> {
        if ack.also.len() > Ack::MAX_RANGES {
            return Err(Error::AckShape("more than 16 ranges"));
        }
        if ack.also.iter().any(|(a, b)| a > b) {
            return Err(Error::AckShape("a range ends before it begins"));
        }
        let highest = ack.also.iter().map(|(_, b)| *b).max().unwrap_or(0).max(ack.upto);
        if highest > self.last_seq {
            return Err(Error::AckBeyond { acked: highest, assigned: self.last_seq, epoch: ack.epoch });
        }
        let mut removed = 0;
        for (from, to) in std::iter::once((1, ack.upto)).chain(ack.also.iter().copied()) {
            let count = self.remove_range(from, to);
            if count > 0 {
                // A later prefix covers an earlier one: the list stays short while nobody drains it.
                self.acked.retain(|(a, b)| !(from <= *a && *b <= to));
                self.acked.push((from, to));
                removed += count;
            }
        }
        Ok(removed)
    }

    /// Ranges that were acknowledged and are not in the ledger yet; the caller writes them.
    pub(super) fn take_acked(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.acked)
    }

    /// Puts back what [`Order::take_acked`] gave and what was not written after all.
    pub(super) fn give_back_acked(&mut self, ranges: Vec<(u64, u64)>) {
        self.acked.extend(ranges);
    }

    pub(super) fn has_acked(&self) -> bool {
        !self.acked.is_empty()
    }

    pub(super) fn depth(&self) -> Depth {
        Depth {
            entries: self.entries.len() as u64,
            bytes: self.bytes,
            oldest: self.entries.first_key_value().map(|(_, held)| held.stored_at),
            by_severity: Severity::ALL
                .map(|severity| self.ranks.get(usize::from(rank(severity))).copied().unwrap_or(0)),
        }
    }

    /// What must go so that the outbox fits again with a sixteenth to spare; `None` when it fits, or nothing may go.
    pub(super) fn plan_shed(&self, max_entries: u64, max_bytes: u64) -> Option<ShedPlan> {
        let (mut entries, mut bytes) = (self.entries.len() as u64, self.bytes);
        let fits = entries <= max_entries && bytes <= max_bytes;
        if fits && self.condemned.is_empty() {
            return None;
        }
        let (goal_entries, goal_bytes) = (max_entries - max_entries / 16, max_bytes - max_bytes / 16);
        let mut gone = self.condemned.clone();
        for (rank, seq) in (1..=LEAST).rev().flat_map(|rank| self.by_rank.range((rank, 0)..=(rank, u64::MAX))) {
            if fits || entries <= goal_entries && bytes <= goal_bytes {
                break;
            }
            if let Some(held) = self.entries.get(seq).filter(|held| held.kind == Kind::Alert && !gone.contains_key(seq))
            {
                entries -= 1;
                bytes = bytes.saturating_sub(held.bytes);
                gone.insert(*seq, *rank);
            }
        }
        if gone.is_empty() {
            return None;
        }
        Some(self.plan_of(gone))
    }

    /// The plan that takes away the alerts `gone` (seq to rank).
    fn plan_of(&self, mut gone: BTreeMap<u64, u8>) -> ShedPlan {
        let alerts = gone.len() as u64;
        // Notices older than every alert that is left are merged into the new one: everything there is over.
        let oldest = self.entries.iter().find(|(seq, held)| held.kind == Kind::Alert && !gone.contains_key(seq));
        let over = oldest.map_or(u64::MAX, |(seq, _)| *seq);
        let notices: Vec<_> = self.entries.range(..over).filter(|(_, held)| held.kind == Kind::Shed).collect();
        let merge = notices.len() > 1;
        gone.extend(notices.into_iter().filter(|_| merge).map(|(seq, held)| (*seq, held.rank)));
        let mut runs: Vec<(u64, u64, u8)> = Vec::new();
        for (seq, rank) in &gone {
            match runs.last_mut() {
                Some((_, last, most)) if !self.alive_between(*last, *seq, &gone) => {
                    *last = *seq;
                    *most = (*most).min(*rank);
                }
                _ => runs.push((*seq, *seq, *rank)),
            }
        }
        if let Some(first) = runs.first_mut().filter(|_| merge) {
            // What the merged notices told began before them; nothing alive is below.
            first.0 = 1;
        }
        let gone = runs.iter().map(|(from, to, _)| (*from, *to)).collect();
        ShedPlan { alerts, gone, runs }
    }

    fn alive_between(&self, last: u64, seq: u64, gone: &BTreeMap<u64, u8>) -> bool {
        self.entries.range(last + 1..seq).any(|(seq, _)| !gone.contains_key(seq))
    }
}

/// Bytes that an entry counts for: its index row.
pub(super) fn row_bytes(record: &Record) -> u64 {
    // Letter before the name; kind, day and class before the body.
    (1 + record.name.len() + 6 + record.body.len()) as u64
}
