//! When a store can't be trusted: what is intact goes into a new ledger with a new epoch, the old one is set aside.
//!
//! Sources are the index, when it is sound (it has every living row up to some batch), and every ledger batch after that
//! one whose checksums are right, wherever it stands. Sealed sightings and hits are copied as they are: keys and pictures stay where they were.
//! Alerts that were not acknowledged get new numbers in the new epoch and are sent again. Without a sound index an ack
//! that was lost with the damage means that an alert goes out twice; none is lost that can still be read. Shed notices
//! are not carried over: they speak of numbers of the old epoch, which is over.
//!
//! The new ledger is written whole and synced as `ledger.new` before anything is moved; then ledger and index go to
//! `aside/<ms>/` and the new ledger takes its place. A crash in between is finished, or begun anew, at the next opening.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;

use super::daykeys::DayKeys;
use super::disk::Disk;
use super::error::Error;
use super::index::Index;
use super::ledger::Ledger;
use super::record::{Kind, OutboxName, Record};
use super::row;
use super::segment::Batch;
use super::walk;
use crate::domain::{Alert, Epoch, TimeMs};

/// Rows a batch of the new ledger.
const ROWS: usize = 256;

/// What a salvage brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// Sighting and hit rows (a row that was written more than once may count more than once).
    pub(super) rows: u64,
    /// Alerts that go out again.
    pub(super) undelivered: u64,
    /// Alert copies that no longer open.
    pub(super) unreadable: u64,
    /// Bytes of the old ledger that were not sound.
    pub(super) skipped_bytes: u64,
}

/// What a salvage works with.
pub(super) struct Salvage<'a> {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: &'a Path,
    pub(super) mac: hmac::Key,
    pub(super) keys: &'a DayKeys,
    pub(super) now: TimeMs,
}

struct Target {
    ledger: Ledger,
    waiting: Vec<Record>,
    now: TimeMs,
    report: Report,
}

impl Target {
    fn put(&mut self, record: Record, last_seq: u64) -> Result<(), Error> {
        self.waiting.push(record);
        if self.waiting.len() >= ROWS { self.flush(last_seq) } else { Ok(()) }
    }

    fn flush(&mut self, last_seq: u64) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.waiting);
        let batch = Batch { number: self.ledger.end().batch + 1, last_seq, records };
        self.ledger.append(&batch, self.now).map(drop)
    }
}

/// The folder of a salvage under way.
fn new_dir(dir: &Path) -> PathBuf {
    dir.join("ledger.new")
}

/// Puts a finished salvage in place, or clears an unfinished one away; call before the ledger is opened.
pub(super) fn finish_interrupted(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let (new, ledger) = (new_dir(dir), dir.join("ledger"));
    if !new.exists() {
        return Ok(());
    }
    if ledger.exists() {
        return fs::remove_dir_all(&new).map_err(Error::io("remove", &new));
    }
    disk.rename(&new, &ledger).map_err(Error::io("rename", &new))?;
    disk.sync_dir(dir).map_err(Error::io("sync", dir))
}

/// Moves `name` of the store folder to `aside/<ms>/`, if it is there.
pub(super) fn set_aside(disk: &dyn Disk, dir: &Path, name: &str, now: TimeMs) -> Result<Option<PathBuf>, Error> {
    let from = dir.join(name);
    if !from.exists() {
        return Ok(None);
    }
    let mut number = now.0;
    let mut aside = dir.join("aside").join(number.to_string());
    while aside.join(name).exists() {
        number += 1;
        aside = dir.join("aside").join(number.to_string());
    }
    disk.make_dir(&aside).map_err(Error::io("make", &aside))?;
    disk.rename(&from, &aside.join(name)).map_err(Error::io("set aside", &from))?;
    disk.sync_dir(dir).map_err(Error::io("sync", dir))?;
    Ok(Some(aside))
}

impl Salvage<'_> {
    /// Makes the new ledger under `epoch` and puts it in place. The index is gone afterwards and has to be rebuilt.
    ///
    /// # Errors
    /// I/O errors and a full disk: the old store is still in place then.
    pub(super) fn run(&self, epoch: Epoch, index: Option<Index>) -> Result<Report, Error> {
        let new = new_dir(self.dir);
        if new.exists() {
            fs::remove_dir_all(&new).map_err(Error::io("remove", &new))?;
        }
        let ledger = Ledger::create(Arc::clone(&self.disk), &new, self.mac.clone(), epoch, self.now)?;
        let mut target = Target { ledger, waiting: Vec::new(), now: self.now, report: Report::default() };
        let mut pending = BTreeMap::new();
        let known = index.as_ref().map_or(0, |index| index.meta().batch);
        if let Some(index) = &index {
            index.each(&mut |record| Self::take(record, &mut target, &mut pending))?;
        }
        self.rescue(known, &mut target, &mut pending)?;
        target.flush(0)?;
        self.send_again(epoch, &pending, &mut target)?;
        self.disk.sync_dir(&new).map_err(Error::io("sync", &new))?;
        drop(index);
        set_aside(&*self.disk, self.dir, "ledger", self.now)?;
        set_aside(&*self.disk, self.dir, "index", self.now)?;
        finish_interrupted(&*self.disk, self.dir)?;
        Ok(target.report)
    }

    /// Takes the batches that the index does not have.
    fn rescue(&self, known: u64, target: &mut Target, pending: &mut BTreeMap<u64, Record>) -> Result<(), Error> {
        let old = self.dir.join("ledger");
        if !old.exists() {
            return Ok(());
        }
        target.report.skipped_bytes = walk::rescue(&old, &mut |batch| {
            let mut records = batch.records.iter().filter(|_| batch.number > known);
            records.try_for_each(|record| Self::take(record.clone(), target, pending))
        })?;
        Ok(())
    }

    fn take(record: Record, target: &mut Target, pending: &mut BTreeMap<u64, Record>) -> Result<(), Error> {
        match record.kind {
            Kind::Sighting | Kind::Hit | Kind::Handling | Kind::Hold | Kind::Tally | Kind::Attached => {
                target.report.rows += 1;
                target.put(record, 0)?;
            }
            Kind::Alert => {
                if let Some(name) = OutboxName::parse(&record.name) {
                    pending.insert(name.seq, record);
                }
            }
            Kind::Shed => {}
            Kind::Gone => {
                for (from, to) in record.gone_ranges() {
                    pending.retain(|seq, _| *seq < from || *seq > to);
                }
            }
        }
        Ok(())
    }

    /// Undelivered alerts under new numbers, in their old order.
    fn send_again(&self, epoch: Epoch, pending: &BTreeMap<u64, Record>, target: &mut Target) -> Result<(), Error> {
        let mut seq = 0;
        for record in pending.values() {
            let alert = record.open(self.keys).ok().flatten().and_then(|plain| minicbor::decode::<Alert>(&plain).ok());
            let (Some(mut alert), Some(mut name)) = (alert, OutboxName::parse(&record.name)) else {
                target.report.unreadable += 1;
                continue;
            };
            seq += 1;
            (alert.epoch, alert.seq, name.seq) = (epoch, seq, seq);
            let key = (record.day, record.class);
            let again = Record::seal(self.keys, Kind::Alert, key, name.bytes(), &row::encode(&alert))?;
            target.put(again, seq)?;
            target.report.undelivered += 1;
        }
        target.flush(seq)
    }
}
