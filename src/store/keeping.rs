//! How long things are kept now: as configured, or as the centre set it; the plates that never make a hit; and, beside
//! these, the count of what went over the link.
//!
//! What the centre set stands over the configuration until it is taken back. Both are read at opening and changed by the
//! executor's thread alone. An order that does not open stops deletion: nobody knows then what may go.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use minicbor::{Decode, Encode};

use super::daykeys::DayKeys;
use super::error::Error;
use super::{Store, row, standing};
use crate::domain::{Mark, PlateText, ReadsAs, Retention};

const RETENTION: &str = "retention";
const IGNORE: &str = "ignore";
const TRAFFIC: &str = "traffic";
const VERSION: u8 = 1;

/// How long things are kept, as the centre set it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RetentionOrder {
    #[n(0)]
    version: u8,
    /// How long.
    #[n(1)]
    pub retention: Retention,
    /// Who set it, and when.
    #[n(2)]
    pub set: Mark,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct IgnoreList {
    #[n(0)]
    version: u8,
    #[n(1)]
    plates: BTreeSet<PlateText>,
}

/// What is in force.
pub(super) struct Keeping(RwLock<Force>);

struct Force {
    order: Option<RetentionOrder>,
    /// An order is there and does not open.
    unknown: bool,
}

impl Keeping {
    /// Reads the order, if there is one.
    pub(super) fn open(dir: &Path, keys: &DayKeys) -> Self {
        let found = standing::read(dir, keys, RETENTION).and_then(|plain| {
            let order = plain.map(|plain| row::decode::<RetentionOrder>("retention in force", &plain)).transpose()?;
            match order {
                Some(order) if order.version != VERSION => {
                    Err(Error::Unsealed { what: format!("retention in force of version {}", order.version) })
                }
                order => Ok(order),
            }
        });
        if let Err(error) = &found {
            tracing::error!(%error, "retention that the centre set does not open: nothing is deleted until it is set anew");
        }
        let unknown = found.is_err();
        Self(RwLock::new(Force { order: found.ok().flatten(), unknown }))
    }

    fn force(&self) -> RwLockReadGuard<'_, Force> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// How long things are kept now.
    ///
    /// # Errors
    /// [`Error::RetentionUnknown`] when the centre set it and that does not open any more: nothing may be deleted then.
    pub fn retention(&self) -> Result<Retention, Error> {
        if self.0.keeping.force().unknown {
            return Err(Error::RetentionUnknown { path: self.0.dir.join("standing").join(RETENTION) });
        }
        Ok(self.0.kept())
    }

    /// How long things are kept by the configuration alone.
    #[must_use]
    pub fn configured_retention(&self) -> Retention {
        self.0.settings.retention
    }

    /// What the centre set, if it stands over the configuration.
    #[must_use]
    pub fn retention_order(&self) -> Option<RetentionOrder> {
        self.0.keeping.force().order.clone()
    }

    /// Sets how long things are kept, from now on and durably; `None`: as configured again.
    ///
    /// # Errors
    /// I/O errors; it is as it was then.
    pub fn set_retention(&self, order: Option<(Retention, Mark)>) -> Result<(), Error> {
        let order = order.map(|(retention, set)| RetentionOrder { version: VERSION, retention, set });
        let (disk, dir) = (&*self.0.disk, &self.0.dir);
        match &order {
            Some(order) => standing::write(disk, dir, &self.0.keys, RETENTION, &row::encode(order))?,
            None => standing::remove(disk, dir, RETENTION)?,
        }
        *self.0.keeping.0.write().unwrap_or_else(PoisonError::into_inner) = Force { order, unknown: false };
        Ok(())
    }

    /// The plates that never make a hit.
    ///
    /// # Errors
    /// When the list is there and does not open.
    pub fn ignored(&self) -> Result<BTreeSet<PlateText>, Error> {
        match standing::read(&self.0.dir, &self.0.keys, IGNORE)? {
            Some(plain) => Ok(row::decode::<IgnoreList>("ignore list", &plain)?.plates),
            None => Ok(BTreeSet::new()),
        }
    }

    /// Puts another ignore list in place, durably. Who matches takes it from here.
    ///
    /// # Errors
    /// I/O errors; it is as it was then.
    pub fn set_ignored(&self, plates: BTreeSet<PlateText>) -> Result<(), Error> {
        if plates.is_empty() {
            return standing::remove(&*self.0.disk, &self.0.dir, IGNORE);
        }
        let list = row::encode(&IgnoreList { version: VERSION, plates });
        standing::write(&*self.0.disk, &self.0.dir, &self.0.keys, IGNORE, &list)
    }

    /// Where the count of what went over the link to the centre is kept.
    #[must_use]
    pub fn traffic(&self) -> TrafficBook {
        TrafficBook(Arc::downgrade(&self.0))
    }
}

/// Keeps the count of the link in a store, as long as that is open; does not keep it open.
#[derive(Clone)]
pub struct TrafficBook(Weak<super::Inner>);

impl TrafficBook {
    /// The count as it was kept last.
    ///
    /// # Errors
    /// When it is there and does not open, or the store is closed.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let store = self.0.upgrade().ok_or(Error::RecorderStopped)?;
        standing::read(&store.dir, &store.keys, TRAFFIC)
    }

    /// Keeps this count instead, durably.
    ///
    /// # Errors
    /// I/O errors, and when the store is closed; it is as it was then.
    pub fn write(&self, count: &[u8]) -> Result<(), Error> {
        let store = self.0.upgrade().ok_or(Error::RecorderStopped)?;
        standing::write(&*store.disk, &store.dir, &store.keys, TRAFFIC, count)
    }
}

impl super::Inner {
    fn kept(&self) -> Retention {
        self.keeping.force().order.as_ref().map_or(self.settings.retention, |order| order.retention)
    }

    /// What is stored of a read without a hit. Where nobody knows, the configuration counts.
    pub(super) fn reads_as(&self) -> ReadsAs {
        self.kept().reads_as()
    }
}
