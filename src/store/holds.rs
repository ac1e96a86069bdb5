//! Holds: what a case needs is kept when its time is over, and goes when the hold is released.
//!
//! A hold is a row under a key of its own ((number, `Held`), wrapped by the store key like a day's). When the key of a day
//! is due, what a hold covers is sealed anew under the hold's key, record by record and picture by picture (`purge`); the
//! rest goes with the day's key. Releasing destroys the hold's key, and with it what it kept and the plate it names, but
//! for what another hold covers as well.
//!
//! A hold whose row does not open stops every deletion until it is released by its number: nobody knows what it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use super::audit::Event;
use super::daykeys::DayKeys;
use super::error::Error;
use super::index::Index;
use super::query::StoredHit;
use super::record::Kind;
use super::row;
use super::writer::Writer;
use super::{Inner, Store};
use crate::domain::{CameraSpan, EventId, Hold, HoldScope, HoldWish, RetentionClass, Sighting};

/// The holds in force.
#[derive(Default)]
pub(super) struct Holds {
    pub(super) active: BTreeMap<u32, Hold>,
    /// Those that are there and do not open.
    pub(super) unreadable: BTreeSet<u32>,
    /// Moves with every change: who walks through a day begins anew then.
    pub(super) generation: u64,
}

/// What is known of a sighting whose time is over.
pub(super) struct Facts {
    pub(super) id: EventId,
    pub(super) sighting: Option<Sighting>,
    pub(super) hits: Vec<StoredHit>,
    /// For a sighting that is kept as a hash: its index value, and the key that made it.
    pub(super) hashed: Option<([u8; super::seal::PLATE_MAC_LEN], Arc<super::seal::DataKey>)>,
}

impl Facts {
    fn is_of(&self, scope: &HoldScope) -> bool {
        let by_sighting = self.sighting.as_ref().is_some_and(|sighting| scope.covers(sighting));
        by_sighting
            || match scope {
                HoldScope::Hit(id) => *id == self.id,
                HoldScope::Plate(plate) => {
                    let hashed = self.hashed.as_ref().is_some_and(|(mac, key)| key.plate_mac(plate.as_str()) == *mac);
                    let truly = |hit: &StoredHit| hit.handling.verdict.as_ref().and_then(|v| v.true_plate.clone());
                    hashed
                        || self
                            .hits
                            .iter()
                            .any(|hit| hit.alert.plate.as_ref() == Some(plate) || truly(hit).as_ref() == Some(plate))
                }
                HoldScope::Span(CameraSpan { number, from, to, .. }) => self
                    .hits
                    .iter()
                    .any(|hit| Some(hit.alert.camera) == *number && (*from..=*to).contains(&hit.alert.time)),
            }
    }
}

impl Holds {
    /// The holds of an index, and what is left of a placing that was not finished.
    pub(super) fn load(index: &Index, keys: &DayKeys) -> Result<Self, Error> {
        let mut holds = Self::default();
        for record in index.newest(Kind::Hold, &[], usize::MAX)? {
            let number = record.day;
            match record.open(keys) {
                Ok(Some(plain)) => match row::versioned::<Hold>("hold row", &plain) {
                    Ok(hold) => drop(holds.active.insert(number, hold)),
                    Err(error) => holds.lost(number, &error),
                },
                // Released.
                Ok(None) => {}
                Err(error) => holds.lost(number, &error),
            }
        }
        for number in keys.holds()? {
            if holds.active.contains_key(&number) || holds.unreadable.contains(&number) {
                continue;
            }
            if keys.is_destroyed(number, RetentionClass::Held) {
                // The end came while it was released.
                index.forget(number, RetentionClass::Held)?;
                index.checkpoint()?;
                keys.strike(number, RetentionClass::Held)?;
            } else if index.has_key((number, RetentionClass::Held))? {
                holds.lost(number, &Error::Unsealed { what: "its record is gone".to_owned() });
            } else {
                // It was never said to be placed: the end came between its key and its record.
                tracing::warn!(hold = number, "key of a hold that was never placed removed");
                keys.destroy(number, RetentionClass::Held)?;
                keys.strike(number, RetentionClass::Held)?;
            }
        }
        Ok(holds)
    }

    fn lost(&mut self, number: u32, error: &Error) {
        tracing::error!(hold = number, %error, "hold does not open: nothing is deleted until it is released");
        self.unreadable.insert(number);
    }

    /// The hold of the lowest number that keeps it.
    pub(super) fn keeping(&self, facts: &Facts, except: Option<u32>) -> Option<&Hold> {
        self.active.values().find(|hold| Some(hold.number) != except && facts.is_of(&hold.scope))
    }

    /// Whether a look at ids is enough.
    pub(super) fn by_id_alone(&self) -> bool {
        self.active.values().all(|hold| matches!(hold.scope, HoldScope::Hit(_)))
    }

    /// Whether one of them names this id.
    pub(super) fn names(&self, id: EventId) -> bool {
        self.active.values().any(|hold| hold.scope == HoldScope::Hit(id))
    }
}

impl Inner {
    pub(super) fn holds(&self) -> RwLockReadGuard<'_, Holds> {
        self.holds.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_holds(&self, change: impl FnOnce(&mut Holds)) {
        let mut holds = self.holds.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut holds);
        holds.generation += 1;
    }
}

impl Store {
    /// The holds in force, by number.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        self.0.holds().active.values().cloned().collect()
    }

    /// Numbers of holds that do not open: nothing is deleted until they are released.
    #[must_use]
    pub fn unreadable_holds(&self) -> Vec<u32> {
        self.0.holds().unreadable.iter().copied().collect()
    }
}

impl Writer {
    /// Places a hold: it is on the medium when this returns.
    ///
    /// # Errors
    /// [`Error::TooManyHolds`]; I/O errors, and nothing is held then.
    pub(super) fn place(&mut self, wish: HoldWish) -> Result<Hold, Error> {
        let store = Arc::clone(&self.store);
        if store.holds().active.len() >= Hold::MAX {
            return Err(Error::TooManyHolds { most: Hold::MAX });
        }
        let HoldWish { scope, case, reason, review, placed } = wish;
        let number = store.keys.newest_hold()? + 1;
        let hold = Hold { number, scope, case, reason, review, placed };
        let mut draft = self.draft();
        let key = (number, RetentionClass::Held);
        draft.seal(Kind::Hold, key, number.to_be_bytes().to_vec(), &row::with_version(&hold))?;
        let committed = match draft.finish(0) {
            Some(mut prepared) => self.commit(&mut prepared).map(drop),
            None => Ok(()),
        };
        if let Err(error) = committed {
            // Nobody was told of it: its number is used up, and nothing else.
            let destroyed = store.keys.destroy(number, RetentionClass::Held);
            if let Err(also) = destroyed.and_then(|()| store.keys.strike(number, RetentionClass::Held)) {
                tracing::warn!(hold = number, error = %also, "key of a hold that was not placed stays");
            }
            return Err(error);
        }
        store.change_holds(|holds| drop(holds.active.insert(number, hold.clone())));
        Ok(hold)
    }

    /// Ends a hold whose key is destroyed already.
    pub(super) fn released(&mut self, number: u32, rows: u64, moved: u64) {
        self.store.change_holds(|holds| {
            holds.active.remove(&number);
            holds.unreadable.remove(&number);
        });
        let details = [
            ("action", "destroyed".to_owned()),
            ("hold", number.to_string()),
            ("rows", rows.to_string()),
            ("moved", moved.to_string()),
        ];
        self.store.say(Event::Held, &details);
    }

    /// What is known of a sighting, with what its rows say that still open.
    pub(super) fn facts(&self, id: EventId) -> Result<Facts, Error> {
        let store = self.as_store();
        let opened = sound(store.opened(store.0.index().get(Kind::Sighting, &id.0)))?.flatten();
        let mut facts = Facts { id, sighting: None, hits: Vec::new(), hashed: None };
        if let Some((record, plain)) = opened {
            facts.sighting = row::sighting(&plain).ok();
            if let Ok(Some(mac)) = row::hash_of(&plain) {
                let key = store.0.keys.for_reading(record.day, record.class)?;
                facts.hashed = key.map(|key| (mac, key));
            }
        }
        facts.hits = sound(store.hits_of(id))?.unwrap_or_default();
        Ok(facts)
    }
}

/// What does not open can't be kept for what it says; it goes with its key as ever.
fn sound<T>(opened: Result<T, Error>) -> Result<Option<T>, Error> {
    match opened {
        Err(Error::Unsealed { .. } | Error::Decode { .. }) => Ok(None),
        opened => opened.map(Some),
    }
}

impl DayKeys {
    /// Holds that have a key.
    pub(super) fn holds(&self) -> Result<Vec<u32>, Error> {
        let all = self.existing(0, u32::MAX)?;
        Ok(all.into_iter().filter(|(_, class)| *class == RetentionClass::Held).map(|(number, _)| number).collect())
    }

    /// The greatest number that a hold ever had; 0 when there was none.
    pub(super) fn newest_hold(&self) -> Result<u32, Error> {
        let (dir, mut newest) = (self.dir(), 0);
        for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let name = entry.map_err(Error::io("list", dir))?.file_name();
            let number = name.to_str().and_then(|n| n.split_once("-5.")).and_then(|(number, _)| number.parse().ok());
            newest = newest.max(number.unwrap_or(0));
        }
        Ok(newest)
    }
}
