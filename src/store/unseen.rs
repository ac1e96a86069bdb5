//! Hits that nobody has looked at yet: which, and since when.
//!
//! Held in memory (about 100 bytes each, at most [`MOST`]), read from the index at opening and kept up with every commit.
//! A hit counts from the time in its id. Withdrawn ones need no look: they are found when they are told of, by opening them.

use std::collections::BTreeMap;

use super::Store;
use super::error::Error;
use super::index::Index;
use super::record::{Kind, Record};
use super::segment::Batch;
use crate::domain::{EventId, RetentionClass, Severity, TimeMs};

/// Most hits that are remembered; beyond it the oldest is forgotten.
const MOST: usize = 50_000;
/// Hits that one call opens to see whether they were withdrawn.
const OPENED: usize = 256;

/// Hits that wait for somebody to look at them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many.
    pub hits: u64,
    /// The oldest of them: which sighting, how severe, since when.
    pub oldest: Vec<(EventId, Severity, TimeMs)>,
}

struct Entry {
    key: (u32, RetentionClass),
    /// It was opened and is no withdrawn one.
    sound: bool,
}

/// By name: ids sort by time.
#[derive(Default)]
pub(super) struct Unseen(BTreeMap<Vec<u8>, Entry>);

fn severity(class: RetentionClass) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| RetentionClass::from(*severity) == class)
}

fn id_of(name: &[u8]) -> Option<EventId> {
    name.get(..16).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(EventId)
}

impl Unseen {
    pub(super) fn load(index: &Index) -> Result<Self, Error> {
        let mut unseen = Self::default();
        for (name, day, class) in index.unhandled()? {
            unseen.add(name, (day, class));
        }
        Ok(unseen)
    }

    fn add(&mut self, name: Vec<u8>, key: (u32, RetentionClass)) {
        self.0.insert(name, Entry { key, sound: false });
        while self.0.len() > MOST {
            self.0.pop_first();
        }
    }

    /// Does what a committed batch says.
    pub(super) fn follow(&mut self, batch: &Batch) {
        for Record { kind, day, class, name, .. } in &batch.records {
            match kind {
                // A later row of it may be the one that withdraws it: looked at again.
                Kind::Hit if *class != RetentionClass::Held => self.add(name.clone(), (*day, *class)),
                Kind::Hit | Kind::Handling => drop(self.0.remove(name)),
                _ => {}
            }
        }
    }

    /// The key of (day, class) is gone.
    pub(super) fn forget(&mut self, key: (u32, RetentionClass)) {
        self.0.retain(|_, entry| entry.key != key);
    }
}

impl Store {
    /// Hits of at least this severity that nobody has looked at, of before `before`; the `most` oldest by name.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn unseen(&self, at_least: Severity, before: TimeMs, most: usize) -> Result<Waiting, Error> {
        let overdue = |name: &[u8], key: (u32, RetentionClass)| {
            let (id, severity) = (id_of(name)?, severity(key.1)?);
            (severity >= at_least && id.time() <= before).then_some((id, severity, id.time()))
        };
        let doubtful: Vec<Vec<u8>> = {
            let unseen = self.0.unseen();
            let doubtful = unseen.0.iter().filter(|(name, e)| !e.sound && overdue(name, e.key).is_some());
            doubtful.map(|(name, _)| name.clone()).take(OPENED).collect()
        };
        for name in doubtful {
            let found = self.opened(self.0.index().get(Kind::Hit, &name))?;
            let hit = found.map(|(record, plain)| self.stored_hit(&record, &plain)).transpose()?;
            // A track that went on after somebody had looked comes back here, and so does one that was withdrawn.
            let waits = hit.is_some_and(|hit| !hit.alert.is_withdrawn() && hit.handling.seen.is_none());
            let mut unseen = self.0.unseen();
            if !waits {
                unseen.0.remove(&name);
            } else if let Some(entry) = unseen.0.get_mut(&name) {
                entry.sound = true;
            }
        }
        let unseen = self.0.unseen();
        let mut waiting = Waiting::default();
        for found in unseen.0.iter().filter(|(_, e)| e.sound).filter_map(|(name, e)| overdue(name, e.key)) {
            waiting.hits += 1;
            if waiting.oldest.len() < most {
                waiting.oldest.push(found);
            }
        }
        Ok(waiting)
    }
}
