//! Opening a store: check, replay, and where that does not work, rebuild or salvage.
//!
//! 1. Lock, format, key, room: these refuse, and nothing is touched.
//! 2. The two newest segments are read and checked, a torn end is cut.
//! 3. The index is opened and all its rows are counted; one that fails is set aside and made anew from the whole ledger.
//! 4. Batches that it lacks are applied.
//!
//! A ledger that is damaged, or that ends before the index does, is salvaged, once; then it is opened like any other.
//! Everything that was not in order is in the audit log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ring::hmac;

use super::accounting::{self, Account};
use super::audit::{Audit, Event};
use super::counted::Counted;
use super::daykeys::DayKeys;
use super::disk::{Disk, RealDisk};
use super::error::Error;
use super::holds::Holds;
use super::index::Index;
use super::keeping::Keeping;
use super::ledger::{End, Ledger};
use super::outbox::Order;
use super::salvage::{self, Salvage};
use super::seal::{Random, StoreKey};
use super::sealed::Vault;
use super::unseen::Unseen;
use super::walk::{self, Torn};
use super::{Inner, Settings, Store, folder};
use crate::clock::{Clock, PLAUSIBLE_FROM};
use crate::domain::{Epoch, TimeMs};
use crate::health::Counter;

/// Why a store did not open, and its index, if that is sound.
type Refused = (Error, Option<Index>);

/// What opening works with.
struct Opening {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    mac: hmac::Key,
    keys: Arc<DayKeys>,
    cache_bytes: u64,
    now: TimeMs,
    /// What was not in order, for the audit log.
    notes: Vec<(Event, Vec<(&'static str, String)>)>,
}

impl Store {
    /// Opens the store in `dir`, or makes one there.
    ///
    /// Blocks while what the index lacks is replayed: about a second for 100,000 rows after a crash.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Newer`], [`Error::Format`], [`Error::WrongKey`], [`Error::NoSpace`] refuse before
    /// anything is touched; otherwise I/O errors that also stop a salvage.
    // By value, so that the caller's copy is wiped when the store has what it needs.
    #[expect(clippy::needless_pass_by_value, reason = "the key is taken out of the caller's hands and wiped here")]
    pub fn open(dir: &Path, key: StoreKey, settings: Settings, clock: Clock) -> Result<Self, Error> {
        Self::open_on(Arc::new(RealDisk), dir, &key, settings, clock)
    }

    /// [`Store::open`] on another disk.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: &StoreKey,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, Error> {
        let lock = folder::lock(&*disk, dir)?;
        let format_mended = folder::check_format(&*disk, dir, key)?;
        folder::make_room(&*disk, dir)?;
        let now = clock.utc();
        let keys = DayKeys::open(&dir.join("keys"), key, Random::system(), Arc::clone(&disk))?;
        let keys_mended = keys.mend()?;
        let mut opening = Opening {
            dir: dir.to_owned(),
            disk: Arc::clone(&disk),
            mac: key.ledger_mac()?,
            keys: Arc::new(keys),
            cache_bytes: settings.cache_bytes,
            now,
            notes: Vec::new(),
        };
        for (what, files) in [("format", u64::from(format_mended)), ("keys", keys_mended)] {
            if files > 0 {
                opening.notes.push((Event::Mended, vec![("what", what.to_owned()), ("files", files.to_string())]));
            }
        }
        let audit = Audit::open(Arc::clone(&disk), &dir.join(folder::AUDIT), now)?;
        let counted = Counted::open(Arc::clone(&disk), dir, key.asking_mac()?, now)?;
        let (index, end) = opening.run()?;
        index.checkpoint()?;
        let mut order = Order::default();
        index.outbox()?.into_iter().for_each(|(name, kind, bytes)| order.add(name, kind, bytes));
        order.assigned(end.last_seq);
        order.withhold(index.withheld()?);
        let ledger =
            Ledger::resume(Arc::clone(&disk), &opening.ledger_dir(), opening.mac.clone(), end, settings.reserve_bytes);
        folder::lay_ballast(&*disk, dir, settings.ballast_bytes, settings.reserve_bytes);
        let evidence = dir.join("evidence");
        disk.make_dir(&evidence).map_err(Error::io("make", &evidence))?;
        let (holds, unseen) = (Holds::load(&index, &opening.keys)?, Unseen::load(&index)?);
        let keeping = Keeping::open(dir, &opening.keys);
        let began_undated = AtomicBool::new(clock.utc() < PLAUSIBLE_FROM);
        let inner = Inner {
            dir: dir.to_owned(),
            state: Mutex::new(settings.state),
            settings,
            clock,
            disk,
            keys: opening.keys,
            mac: opening.mac,
            vault: Vault::on(Arc::clone(&opening.disk), key),
            epoch: end.epoch,
            ledger: Mutex::new(Some(ledger)),
            index: RwLock::new(index),
            distrusted: AtomicBool::new(false),
            began_undated,
            order: Mutex::new(order),
            holds: RwLock::new(holds),
            keeping,
            unseen: Mutex::new(unseen),
            audit,
            counted,
            pictures_lost: Counter::default(),
            _lock: lock,
        };
        for (event, details) in &opening.notes {
            inner.say(*event, details);
        }
        inner.account_for_lost(end)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (epoch, batch) = (end.epoch.to_string(), end.batch.to_string());
        inner.say(Event::Started, &[("version", version), ("epoch", epoch), ("batch", batch)]);
        Ok(Self(Arc::new(inner)))
    }
}

impl Opening {
    fn ledger_dir(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    fn index_dir(&self) -> PathBuf {
        self.dir.join("index")
    }

    fn run(&mut self) -> Result<(Index, End), Error> {
        salvage::finish_interrupted(&*self.disk, &self.dir)?;
        let (why, index) = match self.try_open() {
            Ok(opened) => return Ok(opened),
            Err(failed) => *failed,
        };
        if !matches!(why, Error::Damaged { .. }) {
            return Err(why);
        }
        tracing::error!(dir = %self.dir.display(), %why, "store can't be trusted: set aside and salvaged");
        self.salvage(&why, index)?;
        self.try_open().map_err(|failed| failed.0)
    }

    /// Opens ledger and index as they are; on failure the index comes back, if it is sound.
    fn try_open(&mut self) -> Result<(Index, End), Box<Refused>> {
        let end = match self.end() {
            Ok(end) => end,
            Err(error) => return Err(Box::new((error, self.sound_index()))),
        };
        let index = match self.open_index(end.epoch) {
            Ok(index) => index,
            Err(error) => return Err(Box::new((error, None))),
        };
        if index.meta().batch > end.batch {
            let what = format!("it ends with batch {}, the index has {}", end.batch, index.meta().batch);
            let why = Error::Damaged { segment: end.segment, offset: end.offset.unwrap_or(0), what };
            return Err(Box::new((why, Some(index))));
        }
        match fill(&self.ledger_dir(), &self.mac, &index) {
            Ok(()) => Ok((index, end)),
            Err(Error::Index { what }) => {
                drop(index);
                let again = self.replace_index(end.epoch, &what).map_err(|error| Box::new((error, None)))?;
                match fill(&self.ledger_dir(), &self.mac, &again) {
                    Ok(()) => Ok((again, end)),
                    Err(error) => Err(Box::new((error, Some(again)))),
                }
            }
            Err(error) => Err(Box::new((error, Some(index)))),
        }
    }

    /// Where the ledger ends, its torn end cut; a new ledger when there is nothing at all.
    fn end(&mut self) -> Result<End, Error> {
        let dir = self.ledger_dir();
        let walked = if dir.exists() { walk::walk(&dir, &self.mac, u64::MAX, &mut |_| Ok(()))? } else { None };
        let Some(mut walked) = walked else {
            if self.index_dir().exists() {
                return Err(Error::Damaged { segment: 0, offset: 0, what: "there is no ledger".to_owned() });
            }
            let ledger = Ledger::create(Arc::clone(&self.disk), &dir, self.mac.clone(), new_epoch()?, self.now)?;
            self.disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
            return Ok(*ledger.end());
        };
        for torn in &walked.torn {
            if let Err(error) = self.cut(torn) {
                // It stays, and the next batch goes into a new segment.
                tracing::warn!(%error, "torn end of the ledger cannot be cut");
                walked.end.offset = None;
            }
        }
        Ok(walked.end)
    }

    fn cut(&mut self, torn: &Torn) -> Result<(), Error> {
        tracing::warn!(path = %torn.path.display(), bytes = torn.bytes, "unfinished end of the ledger cut");
        self.notes.push((Event::TornEnd, vec![("bytes", torn.bytes.to_string())]));
        match torn.keep {
            Some(len) => self.disk.truncate(&torn.path, len).map_err(Error::io("cut", &torn.path)),
            None => self.disk.remove(&torn.path).map_err(Error::io("remove", &torn.path)),
        }
    }

    fn open_index(&mut self, epoch: Epoch) -> Result<Index, Error> {
        match Index::open(&self.index_dir(), self.cache_bytes, Some(epoch), Arc::clone(&self.keys)) {
            Err(Error::Index { what }) => self.replace_index(epoch, &what),
            other => other,
        }
    }

    fn replace_index(&mut self, epoch: Epoch, why: &str) -> Result<Index, Error> {
        tracing::error!(why, "index set aside, rebuilt from the ledger");
        self.notes.push((Event::IndexRebuilt, vec![("why", why.to_owned())]));
        put_index_aside(&*self.disk, &self.dir, self.now)?;
        Index::open(&self.index_dir(), self.cache_bytes, Some(epoch), Arc::clone(&self.keys))
    }

    /// The index of whatever epoch, if it can be trusted.
    fn sound_index(&self) -> Option<Index> {
        let dir = self.index_dir();
        if !dir.exists() {
            return None;
        }
        Index::open(&dir, self.cache_bytes, None, Arc::clone(&self.keys)).ok()
    }

    fn salvage(&mut self, why: &Error, index: Option<Index>) -> Result<(), Error> {
        let epoch = new_epoch()?;
        let salvage = Salvage {
            disk: Arc::clone(&self.disk),
            dir: &self.dir,
            mac: self.mac.clone(),
            keys: &self.keys,
            now: self.now,
        };
        let from_index = index.is_some();
        let report = match salvage.run(epoch, index) {
            Err(Error::Index { what }) => {
                tracing::error!(what, "index failed during the salvage, going on without it");
                salvage.run(epoch, None)?
            }
            other => other?,
        };
        tracing::error!(?report, %epoch, "store salvaged into a new epoch");
        self.notes.push((
            Event::Salvaged,
            vec![
                ("why", why.to_string()),
                ("epoch", epoch.to_string()),
                ("from_index", from_index.to_string()),
                ("rows", report.rows.to_string()),
                ("undelivered", report.undelivered.to_string()),
                ("unreadable", report.unreadable.to_string()),
                ("skipped_bytes", report.skipped_bytes.to_string()),
            ],
        ));
        Ok(())
    }
}

fn new_epoch() -> Result<Epoch, Error> {
    let mut epoch = [0; 8];
    Random::system().fill(&mut epoch)?;
    Ok(Epoch(epoch))
}

/// Applies every batch that the index lacks.
fn fill(ledger_dir: &Path, mac: &hmac::Key, index: &Index) -> Result<(), Error> {
    walk::walk(ledger_dir, mac, index.meta().batch + 1, &mut |batch| index.apply(batch)).map(drop)
}

/// Sets the index aside and removes the ones that were set aside before: it can always be made again.
fn put_index_aside(disk: &dyn Disk, dir: &Path, now: TimeMs) -> Result<(), Error> {
    for old in std::fs::read_dir(dir.join("aside")).into_iter().flatten().flatten() {
        let _ = std::fs::remove_dir_all(old.path().join("index"));
        // Goes when it is empty, stays when a ledger lies in it.
        let _ = std::fs::remove_dir(old.path());
    }
    salvage::set_aside(disk, dir, "index", now).map(drop)
}

impl Inner {
    /// Tells the audit log of committed hits that a crash kept from it.
    fn account_for_lost(&self, end: End) -> Result<(), Error> {
        let known = match self.audit.hits() {
            Some((epoch, batch)) if epoch == end.epoch => batch,
            Some(_) => 0,
            // A new log: what was before it is not its to tell.
            None => return Ok(()),
        };
        let from = known.max(end.batch.saturating_sub(accounting::LOST_AT_MOST)) + 1;
        if from > end.batch {
            return Ok(());
        }
        walk::walk(&self.dir.join("ledger"), &self.mac, from, &mut |batch| {
            if batch.number >= from {
                for mut details in Account::of(batch, &self.keys)?.details(end.epoch, batch.number) {
                    details.push(("found", "after a crash".to_owned()));
                    self.audit.later(self.clock.utc(), Event::Committed, &details);
                }
            }
            Ok(())
        })
        .map(drop)
    }

    /// Makes the index anew from the ledger while the store runs; only the recorder calls it, so the ledger stands still.
    ///
    /// That takes as long as the ledger is, so nobody waits for it: who asks meanwhile is told so at once.
    pub(super) fn rebuild_index(&self, why: &str) -> Result<(), Error> {
        tracing::error!(why, "index set aside, rebuilt from the ledger");
        self.index.write().unwrap_or_else(PoisonError::into_inner).close();
        put_index_aside(&*self.disk, &self.dir, self.clock.utc())?;
        let keys = Arc::clone(&self.keys);
        let index = Index::open(&self.dir.join("index"), self.settings.cache_bytes, Some(self.epoch), keys)?;
        fill(&self.dir.join("ledger"), &self.mac, &index)?;
        index.checkpoint()?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.distrusted.store(false, Ordering::SeqCst);
        self.say(Event::IndexRebuilt, &[("why", why.to_owned())]);
        Ok(())
    }
}
