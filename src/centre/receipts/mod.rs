//! What the centre has received of each box: removes duplicates, makes acks, finds holes; survives restarts in a file.
//!
//! Numbers count from 1 in an epoch and arrive in any order (fresh alerts overtake the backlog), so each epoch keeps a
//! received prefix and ranges above it. [`Receipts::save`] is durable when it returns: it is called before an ack
//! leaves, so an ack never promises more than the file knows. Time is an argument. Used by `client`.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

pub use file::StateError;

use crate::domain::{Ack, BoxId, Epoch};
use file::StateFile;

/// Most ranges kept of an epoch above its prefix; with more the lowest hole is taken for lost.
const MAX_RANGES: usize = 16_384;
/// Epochs kept of a box: one a life of its store.
const MAX_EPOCHS: usize = 8;

/// What is known of one epoch of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Everything up to and with this has been received.
    upto: u64,
    /// Closed ranges above `upto`, by their start, neither overlapping nor touching.
    ranges: BTreeMap<u64, u64>,
    /// The first number that was ever received: holes below it may have been taken by someone else before.
    first: u64,
    /// Counts up with use, so that the least recently used epoch goes first.
    used: u64,
    /// The box said that it gave away numbers up to this one and holds none of them any more.
    expected: u64,
    /// Last time that something below the newest number arrived: the box is filling holes.
    filled_at: Duration,
    /// Holes that were said, and since when each other hole is known.
    holes: BTreeMap<u64, Hole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    end: u64,
    since: Duration,
    said: bool,
}

/// A hole in the numbers of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub box_id: BoxId,
    /// In which epoch.
    pub epoch: Epoch,
    /// First missing number.
    pub from: u64,
    /// Last missing number.
    pub to: u64,
    /// The numbers lie before the first that this state has seen of the epoch: another state may have them.
    pub before_first_contact: bool,
}

/// All boxes.
#[derive(Debug)]
pub struct Receipts {
    file: StateFile,
    boxes: BTreeMap<BoxId, BTreeMap<Epoch, Seen>>,
    used: u64,
    dirty: bool,
}

impl Seen {
    fn new(first: u64, used: u64) -> Self {
        Self {
            upto: 0,
            ranges: BTreeMap::new(),
            first,
            used,
            expected: 0,
            filled_at: Duration::ZERO,
            holes: BTreeMap::new(),
        }
    }

    /// Whether all of `from..=to` has been received; ranges never touch, so one of them must hold it.
    fn has_all(&self, from: u64, to: u64) -> bool {
        to <= self.upto
            || self
                .ranges
                .range(..=from.max(self.upto.saturating_add(1)))
                .next_back()
                .is_some_and(|(_, end)| *end >= to)
    }

    fn newest(&self) -> u64 {
        self.ranges.last_key_value().map_or(self.upto, |(_, end)| *end)
    }

    /// Adds `from..=to`, merging what it overlaps or touches.
    fn add(&mut self, from: u64, to: u64) {
        let (mut from, mut to) = (from, to);
        let touching: Vec<u64> = self
            .ranges
            .range(..=to.saturating_add(1))
            .rev()
            .take_while(|(_, end)| end.saturating_add(1) >= from)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            if let Some(end) = self.ranges.remove(&start) {
                from = from.min(start);
                to = to.max(end);
            }
        }
        if from <= self.upto.saturating_add(1) {
            self.upto = self.upto.max(to);
        } else {
            self.ranges.insert(from, to);
        }
        while self.ranges.len() > MAX_RANGES {
            if let Some((_, end)) = self.ranges.pop_first() {
                self.upto = end;
            }
        }
    }

    fn holes_now(&self) -> Vec<(u64, u64)> {
        let mut next = self.upto.saturating_add(1);
        let mut holes = Vec::new();
        for (start, end) in &self.ranges {
            holes.push((next, start - 1));
            next = end.saturating_add(1);
        }
        if self.expected >= next {
            holes.push((next, self.expected));
        }
        holes
    }
}

impl Receipts {
    /// Opens the state in `path`, empty when there is no such file, and holds it against other processes.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read or understood, or is in use.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let file = StateFile::lock(path)?;
        let boxes = file.load()?;
        let used = boxes.values().flat_map(BTreeMap::values).map(|s| s.used).max().unwrap_or(0);
        Ok(Self { file, boxes, used, dirty: false })
    }

    /// Notes the numbers `from..=to` of a box's epoch; true when at least one of them is new.
    pub fn receive(&mut self, box_id: &BoxId, epoch: Epoch, (from, to): (u64, u64), now: Duration) -> bool {
        if from == 0 || to < from {
            return false;
        }
        self.used += 1;
        let used = self.used;
        let epochs = self.boxes.entry(box_id.clone()).or_default();
        let seen = epochs.entry(epoch).or_insert_with(|| Seen::new(from, used));
        seen.used = used;
        let newest = seen.newest();
        let fresh = !seen.has_all(from, to);
        if fresh {
            seen.add(from, to);
            if from < newest {
                seen.filled_at = now;
            }
            self.dirty = true;
        }
        if epochs.len() > MAX_EPOCHS
            && let Some(oldest) = epochs.iter().min_by_key(|(_, s)| s.used).map(|(e, _)| *e)
        {
            epochs.remove(&oldest);
        }
        fresh
    }

    /// Notes that a box holds nothing any more and gave away numbers up to `last`: what is missing then is a hole. Says
    /// nothing of an epoch of which nothing was ever received here.
    pub fn expect(&mut self, box_id: &BoxId, epoch: Epoch, last: u64) {
        if let Some(seen) = self.boxes.get_mut(box_id).and_then(|epochs| epochs.get_mut(&epoch)) {
            seen.expected = seen.expected.max(last);
        }
    }

    /// Acks that cover `seqs` and, as far as it fits, everything else that was received: as few as 16 ranges allow.
    #[must_use]
    pub fn acks(&self, box_id: &BoxId, epoch: Epoch, seqs: &BTreeSet<u64>) -> Vec<Ack> {
        let Some(seen) = self.boxes.get(box_id).and_then(|e| e.get(&epoch)) else { return Vec::new() };
        let mut wanted: BTreeSet<(u64, u64)> = BTreeSet::new();
        for seq in seqs.iter().filter(|s| **s > seen.upto) {
            if let Some((start, end)) = seen.ranges.range(..=*seq).next_back().filter(|(_, end)| *end >= seq) {
                wanted.insert((*start, *end));
            }
        }
        // Room that is left says what else is known, newest first: an earlier ack may have been lost.
        let spare = Ack::MAX_RANGES.saturating_sub(wanted.len());
        wanted.extend(seen.ranges.iter().rev().map(|(a, b)| (*a, *b)).take(spare));
        let all: Vec<(u64, u64)> = wanted.into_iter().collect();
        if all.is_empty() {
            return vec![Ack { epoch, upto: seen.upto, also: Vec::new() }];
        }
        all.chunks(Ack::MAX_RANGES).map(|also| Ack { epoch, upto: seen.upto, also: also.to_vec() }).collect()
    }

    /// The newest epoch of each box: what to greet it with.
    #[must_use]
    pub fn newest_epochs(&self) -> Vec<(BoxId, Epoch)> {
        let newest = |epochs: &BTreeMap<Epoch, Seen>| epochs.iter().max_by_key(|(_, s)| s.used).map(|(e, _)| *e);
        self.boxes.iter().filter_map(|(b, epochs)| Some((b.clone(), newest(epochs)?))).collect()
    }

    /// Holes that have been open for `patience` while the box filled none, each given once; and those given earlier that
    /// have been filled since.
    pub fn gaps(&mut self, now: Duration, patience: Duration) -> (Vec<Gap>, Vec<Gap>) {
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for (box_id, epochs) in &mut self.boxes {
            for (epoch, seen) in epochs {
                let gap = |from, to, first| Gap {
                    box_id: box_id.clone(),
                    epoch: *epoch,
                    from,
                    to,
                    before_first_contact: to < first,
                };
                let first = seen.first;
                let mut holes = BTreeMap::new();
                for (from, end) in seen.holes_now() {
                    // A hole that shrank is still the same hole: what was said of it stays said.
                    let known = seen.holes.values().find(|h| h.end == end).or_else(|| seen.holes.get(&from));
                    let mut hole = known.map_or(Hole { end, since: now, said: false }, |h| Hole { end, ..*h });
                    if !hole.said && now >= hole.since.max(seen.filled_at) + patience {
                        hole.said = true;
                        opened.push(gap(from, end, first));
                    }
                    holes.insert(from, hole);
                }
                for (from, hole) in seen.holes.iter().filter(|(_, h)| h.said) {
                    if seen.has_all(*from, hole.end) {
                        closed.push(gap(*from, hole.end, first));
                    }
                }
                seen.holes = holes;
            }
        }
        (opened, closed)
    }

    /// All holes there are now, for a summary.
    #[must_use]
    pub fn open_gaps(&self) -> Vec<Gap> {
        let mut all = Vec::new();
        for (box_id, epochs) in &self.boxes {
            for (epoch, seen) in epochs {
                all.extend(seen.holes_now().into_iter().map(|(from, to)| Gap {
                    box_id: box_id.clone(),
                    epoch: *epoch,
                    from,
                    to,
                    before_first_contact: to < seen.first,
                }));
            }
        }
        all
    }

    /// Writes what has changed; durable when it returns.
    ///
    /// # Errors
    /// [`StateError::Io`]; nothing may be acknowledged then.
    pub fn save(&mut self) -> Result<(), StateError> {
        if self.dirty {
            self.file.store(&self.boxes)?;
            self.dirty = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const E: Epoch = Epoch([0xE; 8]);

    fn the_box() -> BoxId {
        BoxId::new("box-1").unwrap()
    }

    fn open() -> (tempfile::TempDir, Receipts) {
        let dir = tempfile::tempdir().unwrap();
        let receipts = Receipts::open(&dir.path().join("tail.state")).unwrap();
        (dir, receipts)
    }

    fn take(r: &mut Receipts, seq: u64, at_s: u64) -> bool {
        r.receive(&the_box(), E, (seq, seq), Duration::from_secs(at_s))
    }

    #[test]
    fn a_number_is_new_once_and_after_a_restart_as_well() {
        let (dir, mut r) = open();
        assert!(take(&mut r, 1, 0) && take(&mut r, 3, 0));
        assert!(!take(&mut r, 1, 0) && !take(&mut r, 3, 0));
        r.save().unwrap();
        assert!(matches!(Receipts::open(&dir.path().join("tail.state")), Err(StateError::InUse { .. })));
        drop(r);
        let mut r = Receipts::open(&dir.path().join("tail.state")).unwrap();
        assert!(!take(&mut r, 1, 0) && !take(&mut r, 3, 0));
        assert!(take(&mut r, 2, 0));
        assert!(r.receive(&the_box(), Epoch([1; 8]), (1, 1), Duration::ZERO), "another epoch counts anew");
        assert!(!take(&mut r, 0, 0), "numbers begin at 1");
    }

    #[test]
    fn a_hole_is_said_once_when_it_persists_and_again_when_it_closes() {
        let (_dir, mut r) = open();
        let patience = Duration::from_secs(10);
        let s = Duration::from_secs;
        assert!(take(&mut r, 1, 0) && take(&mut r, 5, 0));
        assert_eq!(r.gaps(s(0), patience), (vec![], vec![]));
        assert!(take(&mut r, 2, 8));
        assert_eq!(r.gaps(s(12), patience), (vec![], vec![]), "the box was filling it at 8 s");
        let (opened, _) = r.gaps(s(18), patience);
        assert_eq!(opened.iter().map(|g| (g.from, g.to)).collect::<Vec<_>>(), [(3, 4)]);
        assert_eq!(r.gaps(s(60), patience), (vec![], vec![]));
        assert_eq!(r.open_gaps().len(), 1);
        assert!(take(&mut r, 3, 61) && take(&mut r, 4, 61));
        let (opened, closed) = r.gaps(s(62), patience);
        assert!(opened.is_empty());
        assert_eq!(closed.iter().map(|g| (g.from, g.to)).collect::<Vec<_>>(), [(3, 4)]);
        assert!(r.open_gaps().is_empty());
    }

    #[test]
    fn acks_cover_what_was_just_received_even_beyond_sixteen_ranges() {
        let (_dir, mut r) = open();
        let odd: BTreeSet<u64> = (0..40).map(|n| 2 * n + 3).collect();
        for seq in &odd {
            take(&mut r, *seq, 0);
        }
        let acks = r.acks(&the_box(), E, &odd);
        assert!(acks.iter().all(|a| a.also.len() <= Ack::MAX_RANGES));
        assert!(odd.iter().all(|seq| acks.iter().any(|a| a.covers(*seq))));
        assert!((1..80).filter(|s| !odd.contains(s)).all(|seq| acks.iter().all(|a| !a.covers(seq))));
    }

    #[test]
    fn a_state_file_that_was_damaged_is_named_with_what_to_do() {
        let (dir, r) = open();
        drop(r);
        let path = dir.path().join("tail.state");
        std::fs::write(&path, b"{\"version\":1,").unwrap();
        let error = Receipts::open(&path).unwrap_err().to_string();
        assert!(error.contains("tail.state") && error.contains("move it away"), "{error}");
    }

    proptest! {
        #[test]
        fn receipts_agree_with_a_plain_set(seqs in prop::collection::vec((1_u64..60, 0_u64..4), 1..80)) {
            let (_dir, mut r) = open();
            let mut model = BTreeSet::new();
            for (from, more) in seqs {
                let news = (from..=from + more).any(|s| !model.contains(&s));
                model.extend(from..=from + more);
                prop_assert_eq!(r.receive(&the_box(), E, (from, from + more), Duration::ZERO), news);
                let acks = r.acks(&the_box(), E, &model);
                for seq in 1..70 {
                    prop_assert_eq!(acks.iter().any(|a| a.covers(seq)), model.contains(&seq), "seq {}", seq);
                }
            }
            let missing: u64 = r.open_gaps().iter().map(|g| g.to - g.from + 1).sum();
            let newest = model.last().copied().unwrap_or(0);
            prop_assert_eq!(missing, newest - model.len() as u64);
        }
    }
}
