//! The index: sled, for asking. A pure function of the ledger, so it may be thrown away at any time.
//!
//! One tree, because sled makes one tree's batch atomic: each ledger batch becomes one sled batch that also moves the
//! meta row, so a row is applied exactly once however the process ends. Rows (numbers big-endian):
//!
//! ```text
//! m                                     meta: version 2 · epoch 8 · batch 8 · last seq 8 · rows 8 · sum 8 · sightings 8 · hits 8
//! s ‖ id 16                             sighting: kind ‖ day ‖ class ‖ sealed body
//! h ‖ id 16 ‖ cause 7                   hit: the same
//! j ‖ id 16 ‖ cause 7                   handling of a hit: the same
//! l ‖ number 4                          hold: the same
//! t ‖ month 4                           tally of verdicts: the same
//! a ‖ id 16 ‖ which 1                   clip or view: the same
//! o ‖ rank 1 ‖ seq 8 ‖ stored at 8      outbox entry: the same
//! g ‖ first seq 8                       alerts that were shed, as a gone record tells it: the same, not sealed
//! p ‖ day 4 ‖ class 1 ‖ mac 16 ‖ id 16  plate index: empty
//! c ‖ …                                 block of the plate column: drawn in `column`
//! ```
//! Ids are UUIDv7, so `s` and `h` are the time index as well. `rows` and `sum` (wrapping sum of each row's CRC-32)
//! are checked against the whole tree at every opening: sled may lose rows without a word when a byte flips.
//!
//! sled panics where others return errors, so every call runs under `catch_unwind`, and an opening that took the whole
//! process down twice is known by a mark left beside the folder. Whatever goes wrong makes the index *untrusted*; the store
//! then sets it aside and rebuilds it. sled's `flush` does not sync: [`Index::checkpoint`] does.

mod bounded;
mod columns;
mod forget;
pub(super) mod shelf;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::columns::Additions;
use self::shelf::Shelves;
use super::column::Directory;
use super::daykeys::DayKeys;
use super::error::Error;
use super::record::{Bytes, Kind, OutboxName, Record};
use super::seal::{class_byte, class_of};
use super::segment::Batch;
use crate::domain::{Epoch, RetentionClass};

/// Longest that sled may take for a flush: it waits for ever for a write that got lost.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
/// 1 had no plate column; such an index is made anew.
const META_VERSION: u8 = 2;

/// What the meta row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) epoch: [u8; 8],
    /// Newest ledger batch that is in.
    pub(super) batch: u64,
    pub(super) last_seq: u64,
    rows: u64,
    sum: u64,
    pub(super) sightings: u64,
    pub(super) hits: u64,
}

/// The sled database of a store.
pub(super) struct Index {
    dir: PathBuf,
    db: Option<sled::Db>,
    /// sled has panicked: it may hold locks for ever, so it is not called again.
    broken: AtomicBool,
    meta: Mutex<Meta>,
    keys: Arc<DayKeys>,
    column: Mutex<Directory>,
    shelves: Shelves,
    /// Tells this opening from others: what a search knows of blocks holds for one.
    opening: [u8; 8],
}

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Runs `op`, turning a panic of sled into an error and a mark in `broken`.
fn guard<T>(broken: &AtomicBool, op: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(op)).unwrap_or_else(|panic| {
        broken.store(true, Ordering::SeqCst);
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Index { what: format!("panic: {}", text.unwrap_or("without words")) })
    })
}

fn failed(error: &sled::Error) -> Error {
    Error::Index { what: error.to_string() }
}

impl Index {
    /// Opens or makes the database in `dir` and checks every row of it, and that it is of `epoch`, if one is given.
    ///
    /// # Errors
    /// [`Error::Index`] when it can't be trusted: set it aside and open anew.
    pub(super) fn open(dir: &Path, cache_bytes: u64, epoch: Option<Epoch>, keys: Arc<DayKeys>) -> Result<Self, Error> {
        // Twice, because the first death may have been a kill or a power cut at that moment.
        let mark = dir.with_extension("opening");
        let deaths = fs::metadata(&mark).map_or(0, |found| 1 + found.len());
        if deaths >= 2 && dir.exists() {
            fs::remove_file(&mark).map_err(Error::io("remove", &mark))?;
            return Err(Error::Index { what: "the process died twice while opening it".to_owned() });
        }
        let tally = if deaths == 0 { "" } else { "x" };
        fs::write(&mark, tally).map_err(Error::io("write", &mark))?;
        let opened = Self::open_checked(dir, cache_bytes, epoch, keys);
        fs::remove_file(&mark).map_err(Error::io("remove", &mark))?;
        opened
    }

    fn open_checked(dir: &Path, cache_bytes: u64, epoch: Option<Epoch>, keys: Arc<DayKeys>) -> Result<Self, Error> {
        let db = guard(&AtomicBool::new(false), || {
            let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
            bounded::open_patiently(&config)
        })?;
        let broken = AtomicBool::new(false);
        let mut opening = [0; 8];
        keys.random.fill(&mut opening)?;
        let index = Self {
            dir: dir.to_owned(),
            db: Some(db),
            broken,
            meta: Mutex::default(),
            keys,
            column: Mutex::default(),
            shelves: Shelves::of(dir),
            opening,
        };
        let meta = guard(&index.broken, || index.verify(epoch))?;
        *index.meta.lock().unwrap_or_else(PoisonError::into_inner) = meta;
        Ok(index)
    }

    fn db(&self) -> Result<&sled::Db, Error> {
        let db = self.db.as_ref().ok_or(Error::IndexRebuilding)?;
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::Index { what: "it panicked before".to_owned() });
        }
        Ok(db)
    }

    pub(super) fn meta(&self) -> Meta {
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads every row and compares count and sum with the meta row.
    fn verify(&self, epoch: Option<Epoch>) -> Result<Meta, Error> {
        let db = self.db()?;
        let Some(found) = db.get(b"m").map_err(|e| failed(&e))? else {
            return match db.iter().next() {
                None => Ok(Meta { epoch: epoch.map_or([0; 8], |e| e.0), ..Meta::default() }),
                Some(_) => Err(Error::Index { what: "it has rows and no meta row".to_owned() }),
            };
        };
        if found.first().is_some_and(|version| *version < META_VERSION) {
            return Err(Error::Index { what: "an older version made it, without the plate column".to_owned() });
        }
        let meta = Meta::decode(&found).ok_or_else(|| Error::Index { what: "its meta row is damaged".to_owned() })?;
        let mut column = Directory::default();
        let (mut rows, mut sum) = (0_u64, 0_u64);
        for row in db.iter() {
            let (key, value) = row.map_err(|e| failed(&e))?;
            if &*key != b"m" {
                rows += 1;
                sum = sum.wrapping_add(row_sum(&key, &value));
            }
            if key.first() == Some(&b'c') && !column.read(&key, &value) {
                return Err(Error::Index { what: "a block of its plate column is damaged".to_owned() });
            }
        }
        if (rows, sum) != (meta.rows, meta.sum) {
            let what = format!("it has {rows} rows with sum {sum:x}, wanted {} with {:x}", meta.rows, meta.sum);
            return Err(Error::Index { what });
        }
        if epoch.is_some_and(|epoch| meta.epoch != epoch.0) {
            return Err(Error::Index { what: "it belongs to another epoch".to_owned() });
        }
        if let Some((group, end)) = column.file_ends().into_iter().find(|(group, end)| self.shelves.len(*group) < *end)
        {
            return Err(Error::Index { what: format!("its plate column of day {} ends before byte {end}", group.day) });
        }
        *self.column() = column;
        Ok(meta)
    }

    /// Applies one ledger batch; one that is in already changes nothing.
    pub(super) fn apply(&self, batch: &Batch) -> Result<(), Error> {
        guard(&self.broken, || {
            let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
            if batch.number <= meta.batch {
                return Ok(());
            }
            let mut changes = Changes::new();
            let mut added = Additions::default();
            for record in &batch.records {
                self.change(record, &mut changes, &mut added)?;
            }
            let groups = self.add_blocks(added, &mut changes)?;
            let mut next = *meta;
            next.batch = batch.number;
            next.last_seq = batch.last_seq;
            self.write(&mut next, changes)?;
            *meta = next;
            groups.into_iter().try_for_each(|group| self.merge_if_due(group, &mut meta))
        })
    }

    /// Writes `changes` and the meta row in one sled batch; counts them into `meta`.
    fn write(&self, meta: &mut Meta, changes: Changes) -> Result<(), Error> {
        let db = self.db()?;
        let mut out = sled::Batch::default();
        let blocks: Vec<_> = changes.range(vec![b'c']..vec![b'd']).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (key, value) in changes {
            if let Some(old) = db.get(&key).map_err(|e| failed(&e))? {
                meta.count(&key, false);
                meta.sum = meta.sum.wrapping_sub(row_sum(&key, &old));
            }
            match value {
                Some(value) => {
                    meta.count(&key, true);
                    meta.sum = meta.sum.wrapping_add(row_sum(&key, &value));
                    out.insert(key, value);
                }
                None => out.remove(key),
            }
        }
        out.insert(b"m", meta.encode());
        db.apply_batch(out).map_err(|e| failed(&e))?;
        let mut column = self.column();
        for (key, value) in &blocks {
            column.follow(key, value.as_deref());
        }
        Ok(())
    }

    /// What `record` changes; later ones of a batch win.
    fn change(&self, record: &Record, changes: &mut Changes, added: &mut Additions) -> Result<(), Error> {
        if !matches!(record.kind, Kind::Gone | Kind::Tally)
            && self.keys.for_reading(record.day, record.class).is_ok_and(|key| key.is_none())
        {
            // Its day was deleted.
            return Ok(());
        }
        match record.kind {
            Kind::Sighting => {
                let key = row_key(record.kind, &record.name);
                let old = match changes.get(&key) {
                    Some(pending) => pending.clone(),
                    None => self.db()?.get(&key).map_err(|e| failed(&e))?.map(|v| v.to_vec()),
                };
                if let Some((_, plate)) =
                    old.and_then(|v| row_record(&key, &v)).map(|r| self.read_of(&r)).transpose()?.flatten()
                {
                    changes.insert(plate, None);
                }
                if let Some((read, plate)) = self.read_of(record)? {
                    changes.insert(plate, Some(Vec::new()));
                    added.sighting(record, read);
                }
                changes.insert(key, Some(row_value(record)));
            }
            Kind::Hit => {
                self.add_hit(record, added)?;
                changes.insert(row_key(record.kind, &record.name), Some(row_value(record)));
            }
            Kind::Alert | Kind::Shed | Kind::Handling | Kind::Hold | Kind::Tally | Kind::Attached => {
                changes.insert(row_key(record.kind, &record.name), Some(row_value(record)));
            }
            Kind::Gone => {
                if record.is_withheld() {
                    let first = record.gone_ranges().first().map_or(0, |(from, _)| *from);
                    changes.insert([b"g", &first.to_be_bytes()[..]].concat(), Some(row_value(record)));
                }
                for (from, to) in record.gone_ranges() {
                    for rank in 0..=3_u8 {
                        self.outbox_range(rank, from, to, changes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn outbox_range(&self, rank: u8, from: u64, to: u64, changes: &mut Changes) -> Result<(), Error> {
        let bound = |seq: u64, fill: u8| {
            let mut key = vec![b'o', rank];
            key.extend(seq.to_be_bytes());
            key.extend([fill; 8]);
            key
        };
        let (low, high) = (bound(from, 0), bound(to, 0xFF));
        if low > high {
            return Ok(());
        }
        for row in self.db()?.range(low.clone()..=high.clone()) {
            let (key, _) = row.map_err(|e| failed(&e))?;
            changes.insert(key.to_vec(), None);
        }
        let pending: Vec<_> = changes.range(low..=high).map(|(key, _)| key.clone()).collect();
        for key in pending {
            changes.insert(key, None);
        }
        Ok(())
    }

    /// One row.
    pub(super) fn get(&self, kind: Kind, name: &[u8]) -> Result<Option<Record>, Error> {
        guard(&self.broken, || {
            let key = row_key(kind, name);
            let found = self.db()?.get(&key).map_err(|e| failed(&e))?;
            found.map(|value| row_record(&key, &value).ok_or_else(|| bad_row(kind))).transpose()
        })
    }

    /// Rows of `kind` whose name begins with `prefix`, newest (greatest name) first, at most `limit`.
    pub(super) fn newest(&self, kind: Kind, prefix: &[u8], limit: usize) -> Result<Vec<Record>, Error> {
        guard(&self.broken, || {
            let rows = self.db()?.scan_prefix(row_key(kind, prefix)).rev().take(limit);
            rows.map(|row| {
                let (key, value) = row.map_err(|e| failed(&e))?;
                row_record(&key, &value).ok_or_else(|| bad_row(kind))
            })
            .collect()
        })
    }

    /// Numbers of alerts that were shed, as closed ranges.
    pub(super) fn withheld(&self) -> Result<Vec<(u64, u64)>, Error> {
        guard(&self.broken, || {
            let mut out = Vec::new();
            for row in self.db()?.scan_prefix(b"g") {
                let (_, value) = row.map_err(|e| failed(&e))?;
                let body = value.get(6..).ok_or_else(|| bad_row(Kind::Gone))?.to_vec();
                let (name, class) = (Vec::new(), RetentionClass::Read);
                out.extend(Record { kind: Kind::Gone, day: 0, class, name, body }.gone_ranges());
            }
            Ok(out)
        })
    }

    /// Names and row sizes of all outbox entries, most severe first, then by seq.
    pub(super) fn outbox(&self) -> Result<Vec<(OutboxName, Kind, u64)>, Error> {
        guard(&self.broken, || {
            let mut out = Vec::new();
            for row in self.db()?.scan_prefix(b"o") {
                let (key, value) = row.map_err(|e| failed(&e))?;
                let name = key.get(1..).and_then(OutboxName::parse);
                let kind = value.first().copied().and_then(Kind::of);
                let (name, kind) = name.zip(kind).ok_or_else(|| bad_row(Kind::Alert))?;
                out.push((name, kind, (key.len() + value.len()) as u64));
            }
            Ok(out)
        })
    }

    /// Visits every row that is not of the plate index or its column, for a salvage.
    pub(super) fn each(&self, visit: &mut dyn FnMut(Record) -> Result<(), Error>) -> Result<(), Error> {
        guard(&self.broken, || {
            for row in self.db()?.iter() {
                let (key, value) = row.map_err(|e| failed(&e))?;
                if matches!(key.first(), Some(b's' | b'h' | b'o' | b'j' | b'l' | b't' | b'a')) {
                    visit(row_record(&key, &value).ok_or_else(|| bad_row(Kind::Sighting))?)?;
                }
            }
            Ok(())
        })
    }

    /// Rows of `kind` sealed under the key of (day, class), by name, behind the name `after`; looks at no more than
    /// `visit` rows, and says where to go on when there may be more.
    pub(super) fn of_key(
        &self,
        kind: Kind,
        (day, class): (u32, RetentionClass),
        after: Option<&[u8]>,
        visit: usize,
    ) -> Result<(Vec<Record>, Option<Vec<u8>>), Error> {
        guard(&self.broken, || {
            let begin = after.map_or_else(|| row_key(kind, &[]), |name| [&row_key(kind, name)[..], &[0]].concat());
            let end = vec![letter(kind) + 1];
            let mut sealed_with = day.to_be_bytes().to_vec();
            sealed_with.push(class_byte(class));
            let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
            for row in self.db()?.range(begin..end).take(visit) {
                let (key, value) = row.map_err(|e| failed(&e))?;
                seen += 1;
                last = key.get(1..).map(<[u8]>::to_vec);
                if value.get(1..6) == Some(&sealed_with[..]) {
                    found.push(row_record(&key, &value).ok_or_else(|| bad_row(kind))?);
                }
            }
            Ok((found, last.filter(|_| seen == visit)))
        })
    }

    /// Whether a row is sealed under this key.
    pub(super) fn has_key(&self, key: (u32, RetentionClass)) -> Result<bool, Error> {
        for kind in [Kind::Sighting, Kind::Hit, Kind::Handling, Kind::Hold, Kind::Attached] {
            if !self.of_key(kind, key, None, usize::MAX)?.0.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Names and keys of the hits that nobody has looked at: those without a handling.
    pub(super) fn unhandled(&self) -> Result<Vec<(Vec<u8>, u32, RetentionClass)>, Error> {
        guard(&self.broken, || {
            let db = self.db()?;
            let mut out = Vec::new();
            for row in db.scan_prefix([letter(Kind::Hit)]) {
                let (key, value) = row.map_err(|e| failed(&e))?;
                let record = row_record(&key, &value).ok_or_else(|| bad_row(Kind::Hit))?;
                if !db.contains_key(row_key(Kind::Handling, &record.name)).map_err(|e| failed(&e))? {
                    out.push((record.name, record.day, record.class));
                }
            }
            Ok(out)
        })
    }

    /// Returns when everything applied so far is on the medium: sled's flush, then our own sync of its file. What is left
    /// in small blocks of days that are over is put together before.
    pub(super) fn checkpoint(&self) -> Result<(), Error> {
        guard(&self.broken, || {
            let untidy = self.column().untidy();
            let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
            untidy.into_iter().try_for_each(|group| self.merge_or_wait(group, &mut meta))?;
            drop(meta);
            self.flush()?;
            let file = self.dir.join("db");
            File::open(&file).and_then(|f| f.sync_data()).map_err(Error::io("sync", &file))
        })
    }
}

impl Index {
    fn flush(&self) -> Result<(), Error> {
        let db = self.db()?.clone();
        // The handle comes back: were the thread to drop the last one, a new opening could meet its lock.
        match bounded::within(FLUSH_WITHIN, move || (db.flush(), db)) {
            Some(Ok((flushed, _))) => flushed.map(drop).map_err(|e| failed(&e)),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {
                self.broken.store(true, Ordering::SeqCst);
                Err(Error::Index { what: format!("its flush takes longer than {} s", FLUSH_WITHIN.as_secs()) })
            }
        }
    }

    /// Lets go of the database; every later call fails with [`Error::IndexRebuilding`].
    pub(super) fn close(&mut self) {
        // Closing a damaged database can panic once more; nothing is lost by it, the ledger has everything.
        let db = self.db.take();
        if self.broken.load(Ordering::SeqCst) {
            // Closing could wait for ever for a lock that the panic left held. A leak, once in a fault.
            std::mem::forget(db);
            return;
        }
        let _ = bounded::within(FLUSH_WITHIN, move || drop(db));
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

impl Meta {
    fn count(&mut self, key: &[u8], added: bool) {
        let step = |n: &mut u64| *n = if added { n.saturating_add(1) } else { n.saturating_sub(1) };
        step(&mut self.rows);
        match key.first() {
            Some(b's') => step(&mut self.sightings),
            Some(b'h') => step(&mut self.hits),
            _ => {}
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![META_VERSION];
        out.extend(self.epoch);
        for n in [self.batch, self.last_seq, self.rows, self.sum, self.sightings, self.hits] {
            out.extend(n.to_be_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Bytes(bytes);
        (input.u8()? == META_VERSION).then_some(())?;
        let meta = Self {
            epoch: input.array()?,
            batch: input.u64()?,
            last_seq: input.u64()?,
            rows: input.u64()?,
            sum: input.u64()?,
            sightings: input.u64()?,
            hits: input.u64()?,
        };
        input.0.is_empty().then_some(meta)
    }
}

fn row_sum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    u64::from(hasher.finalize())
}

fn bad_row(kind: Kind) -> Error {
    Error::Index { what: format!("a {kind:?} row is damaged") }
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::Sighting => b's',
        Kind::Hit => b'h',
        Kind::Alert | Kind::Shed | Kind::Gone => b'o',
        Kind::Handling => b'j',
        Kind::Hold => b'l',
        Kind::Tally => b't',
        Kind::Attached => b'a',
    }
}

fn row_key(kind: Kind, name: &[u8]) -> Vec<u8> {
    let mut key = vec![letter(kind)];
    key.extend(name);
    key
}

fn row_value(record: &Record) -> Vec<u8> {
    let mut value = vec![record.kind.byte()];
    value.extend(record.day.to_be_bytes());
    value.push(class_byte(record.class));
    value.extend(&record.body);
    value
}

fn row_record(key: &[u8], value: &[u8]) -> Option<Record> {
    let mut input = Bytes(value);
    let kind = Kind::of(input.u8()?)?;
    let (first, name) = key.split_first()?;
    (*first == letter(kind)).then_some(())?;
    let day = input.u32()?;
    let class = class_of(input.u8()?)?;
    Some(Record { kind, day, class, name: name.to_vec(), body: input.0.to_vec() })
}

fn plate_prefix(day: u32, class: RetentionClass) -> Vec<u8> {
    let mut key = vec![b'p'];
    key.extend(day.to_be_bytes());
    key.push(class_byte(class));
    key
}
