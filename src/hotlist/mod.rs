//! Hotlists: load, normalise, match.
//!
//! [`lists::load_csv`] checks a file and makes a [`List`]; [`Hotlists`] holds those in force and swaps them whole;
//! [`Matcher::matches`] asks them about a read. A list that is refused changes nothing: the one before it stays in
//! force. Every camera's analysis thread asks a [`Matcher`] of its own handle, so a swap waits for nobody.
//!
//! Left out on purpose: the signed binary package and deltas (they come with the commands that carry them), wildcards
//! (a partial plate on a hotlist stops the innocent), and whether a hit is announced (that is the supervisor's).

mod ignored;
mod index;
pub mod lists;
mod matcher;
pub mod normalise;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

pub use lists::{List, ListSettings, load_csv};
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
    #[error("hotlist {list}: {path:?}: {} bad line(s), the list is not taken: {faults}", faults.count)]
    BadLines {
        /// The list.
        list: ListId,
        /// Its file.
        path: PathBuf,
        /// Which, and why.
        faults: lists::Faults,
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

    /// Puts `list` in force, in the place of the one with its id.
    ///
    /// # Errors
    /// [`Error::OlderSerial`] when a newer one is in force, [`Error::NumberTaken`] when another list has its number.
    pub fn put(&self, list: List) -> Result<(), Error> {
        let mut guard = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        let settings = list.settings();
        let (id, number) = (settings.id.clone(), settings.number);
        for other in guard.lists() {
            let (by, have) = (&other.settings().id, other.serial());
            if *by == id && have > list.serial() {
                return Err(Error::OlderSerial { list: id, have, got: list.serial() });
            }
            if *by != id && other.settings().number == number {
                return Err(Error::NumberTaken { list: id, number, by: by.clone() });
            }
        }
        let mut lists: Vec<Arc<List>> =
            guard.lists().iter().filter(|l| l.settings().id != id).map(Arc::clone).collect();
        lists.push(Arc::new(list));
        lists.sort_by_key(|l| l.settings().number);
        *guard = Arc::new(Matcher::new(lists));
        Ok(())
    }

    /// Takes the list out of force; whether there was one.
    pub fn remove(&self, id: &ListId) -> bool {
        let mut guard = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        let rest: Vec<Arc<List>> = guard.lists().iter().filter(|l| l.settings().id != *id).map(Arc::clone).collect();
        let found = rest.len() < guard.lists().len();
        *guard = Arc::new(Matcher::new(rest));
        found
    }
}

#[cfg(test)]
mod tests;
