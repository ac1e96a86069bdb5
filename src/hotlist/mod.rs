//! Hotlists: load, normalise, match.
//!
//! [`lists::load_csv`] checks a file and makes a [`List`]; [`Hotlists`] holds those in force and swaps them whole;
//! [`Matcher::matches`] asks them about a read. A list that is refused changes nothing: the one before it stays in
//! force. Every camera's analysis thread asks a [`Matcher`] of its own handle, so a swap waits for nobody.
//!
//! A list also comes as a [`package`], or as a [`delta`] to one; whose signature it needs is `command::lists`' matter.
//! [`preview`] says what a list would match before it does.
//!
//! Left out on purpose: wildcards (a partial plate on a hotlist stops the innocent), and whether a hit is announced
//! (that is the supervisor's).

mod body;
pub mod delta;
mod ignored;
mod index;
mod list;
pub mod lists;
mod matcher;
pub mod normalise;
pub mod package;
pub mod preview;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

pub use list::{List, ListSettings};
pub use lists::load_csv;
pub use matcher::Matcher;

use crate::domain::{ListId, PlateText};

/// Why a list is not taken. The list in force stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("hotlist {list}: can't read {path:?}: {source}")]
    Unreadable {
        /// The list.
        list: ListId,
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is larger than any list.
    #[error("hotlist {list}: {path:?} is larger than {limit} bytes")]
    TooLarge {
        /// The list.
        list: ListId,
        /// Its file.
        path: PathBuf,
        /// Most bytes.
        limit: u64,
    },
    /// The first line does not name the columns.
    #[error(
        "hotlist {list}: {path:?}: {why}; the first line must be \
         PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate and may name more columns"
    )]
    Header {
        /// The list.
        list: ListId,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Lines are wrong.
    #[error("hotlist {list}: {path:?}: {} bad line(s), the list is not taken: {}", faults.count, faults.named("line"))]
    BadLines {
        /// The list.
        list: ListId,
        /// Its file.
        path: PathBuf,
        /// Which, and why.
        faults: lists::Faults,
    },
    /// It is no package, or one that can't be.
    #[error("hotlist {}: package: {why}", list.as_ref().map_or("(unknown)", ListId::as_str))]
    Package {
        /// The list, as far as it is known.
        list: Option<ListId>,
        /// What is wrong.
        why: String,
    },
    /// Entries of a package are wrong.
    #[error("hotlist {list}: {} bad entries, the list is not taken: {}", faults.count, faults.named("entry"))]
    BadEntries {
        /// The list.
        list: ListId,
        /// Which, and why.
        faults: lists::Faults,
    },
    /// What came is not what was signed.
    #[error("hotlist {list}: the digest of what came is not the one that was signed: it was altered or cut on its way")]
    Digest {
        /// The list.
        list: ListId,
    },
    /// A delta builds on another list than the one in force.
    #[error(
        "hotlist {list}: the delta builds on serial {want}, in force is {have}; make one from {have}, or put the whole list"
    )]
    OtherBase {
        /// The list.
        list: ListId,
        /// Serial in force.
        have: u32,
        /// Serial that it builds on.
        want: u32,
    },
    /// It would grow or shrink more than a list does by itself.
    #[error(
        "hotlist {list}: from {have} to {got} entries is more than a list grows or shrinks by itself; say force if it is meant"
    )]
    Growth {
        /// The list.
        list: ListId,
        /// Entries in force.
        have: usize,
        /// Entries of the one refused.
        got: usize,
    },
    /// A list that is older than the one in force.
    #[error("hotlist {list}: serial {got} is older than {have}, which is in force; touch the file if it is meant")]
    OlderSerial {
        /// The list.
        list: ListId,
        /// Serial in force.
        have: u32,
        /// Serial of the one refused.
        got: u32,
    },
    /// Two lists would have one number.
    #[error("hotlist {list}: number {number} is that of list {by}; give it another")]
    NumberTaken {
        /// The list.
        list: ListId,
        /// The number.
        number: u16,
        /// Who has it.
        by: ListId,
    },
}

impl Error {
    /// Of rows that can't be read or written.
    fn of_rows(list: &ListId, broken: &body::Broken) -> Self {
        Self::Package { list: Some(list.clone()), why: broken.to_string() }
    }
}

/// A list that grows, or shrinks, to more than three times what it was is checked by a person first…
const GROWTH_TIMES: usize = 3;
/// …unless it is by no more than this many entries; and by more than this many entries it always is.
const GROWTH_FREE: usize = 1_000;
const GROWTH_MOST: usize = 250_000;

/// Whether a list of `have` entries may become one of `got` without anybody saying that it is meant.
///
/// # Errors
/// [`Error::Growth`].
pub fn check_growth(list: &ListId, have: usize, got: usize) -> Result<(), Error> {
    let (small, large) = (have.min(got), have.max(got));
    let by = large - small;
    if by > GROWTH_MOST || (by > GROWTH_FREE && large / GROWTH_TIMES > small) {
        return Err(Error::Growth { list: list.clone(), have, got });
    }
    Ok(())
}

/// The lists in force. Readers hold the lock for the copy of a pointer.
#[derive(Debug, Default)]
pub struct Hotlists {
    matcher: RwLock<Arc<Matcher>>,
    ignored: RwLock<Arc<BTreeSet<PlateText>>>,
}

impl Hotlists {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The matcher over the lists in force now; it stays as it is when lists are swapped.
    #[must_use]
    pub fn matcher(&self) -> Arc<Matcher> {
        Arc::clone(&self.matcher.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The list of this id, if it is in force.
    #[must_use]
    pub fn get(&self, id: &ListId) -> Option<Arc<List>> {
        self.matcher().lists().iter().find(|l| l.settings().id == *id).map(Arc::clone)
    }

    /// Whether [`Hotlists::put`] would take a list of these settings and this serial.
    ///
    /// # Errors
    /// As that.
    pub fn would_take(&self, settings: &ListSettings, serial: u32) -> Result<(), Error> {
        would_take(&self.matcher(), settings, serial)
    }

    /// Puts `list` in force, in the place of the one with its id.
    ///
    /// # Errors
    /// [`Error::OlderSerial`] when a newer one is in force, [`Error::NumberTaken`] when another list has its number.
    pub fn put(&self, list: List) -> Result<(), Error> {
        let mut guard = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        would_take(&guard, list.settings(), list.serial())?;
        let id = list.settings().id.clone();
        let mut lists: Vec<Arc<List>> =
            guard.lists().iter().filter(|l| l.settings().id != id).map(Arc::clone).collect();
        lists.push(Arc::new(list));
        lists.sort_by_key(|l| l.settings().number);
        let old = std::mem::replace(&mut *guard, Arc::new(Matcher::new(lists)));
        // Giving up a large list takes a while, and nobody is to wait for it.
        drop(guard);
        drop(old);
        Ok(())
    }

    /// Takes the list out of force; whether there was one.
    pub fn remove(&self, id: &ListId) -> bool {
        let mut guard = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        let rest: Vec<Arc<List>> = guard.lists().iter().filter(|l| l.settings().id != *id).map(Arc::clone).collect();
        let found = rest.len() < guard.lists().len();
        let old = std::mem::replace(&mut *guard, Arc::new(Matcher::new(rest)));
        drop(guard);
        drop(old);
        found
    }
}

fn would_take(matcher: &Matcher, settings: &ListSettings, serial: u32) -> Result<(), Error> {
    for other in matcher.lists() {
        let (by, have) = (&other.settings().id, other.serial());
        if *by == settings.id && have > serial {
            return Err(Error::OlderSerial { list: settings.id.clone(), have, got: serial });
        }
        if *by != settings.id && other.settings().number == settings.number {
            return Err(Error::NumberTaken { list: settings.id.clone(), number: settings.number, by: by.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
