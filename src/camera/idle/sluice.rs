//! Which coded pictures go to the decoder: all of them, or key frames alone.
//!
//! Decides picture by picture, in the order of decoding; pure, so that it can be tried with made-up streams. At rest it
//! keeps the pictures behind the key frame that was decoded last, and gives them out when it wakes: a group of pictures
//! is decoded from its key frame on or not at all. Bounded by [`LONGEST`] and [`MOST_BYTES`]; a stream whose key frames
//! are further apart, or that has none, never rests.

use std::collections::VecDeque;
use std::time::Duration;

use super::sizes::Sizes;
use super::{STILL_FOR, Word};

/// Key frames further apart than this: the stream is decoded whole. What is kept must be decoded at once, and what the
/// sizes do not tell waits for the next key frame.
pub(in crate::camera) const LONGEST: Duration = Duration::from_secs(5);

/// Bytes that are kept at most.
const MOST_BYTES: usize = 24 << 20;

/// At rest a key frame is decoded after so long, should they come faster: some streams have nothing else.
const EVERY: Duration = Duration::from_millis(300);

/// Distances of key frames that are remembered.
const DISTANCES: usize = 4;

/// Of so many wakings, so many that the sizes did not tell of: they tell nothing. Tried again after a time.
const WAKINGS: usize = 8;
const UNTOLD: usize = 5;
const AGAIN_AFTER: Duration = Duration::from_mins(10);

/// What is to become of a picture.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::camera) enum Turn<T> {
    /// It is decoded, as those before.
    Decode,
    /// A key frame that is decoded; from here on only such are.
    Rest,
    /// Not decoded, for now. So many that were kept before are given up.
    Skip(usize),
    /// A key frame that is decoded at rest. So many that were kept are given up.
    Glance(usize),
    /// These are decoded first, then it and all that come.
    Wake(Vec<T>),
    /// A key frame, decoded, and all that come; so many that were kept are given up.
    WakeHere(usize),
}

/// A coded picture.
#[derive(Debug, Clone, Copy)]
pub(in crate::camera) struct About {
    pub(in crate::camera) is_key: bool,
    pub(in crate::camera) bytes: usize,
    /// Place in running time.
    pub(in crate::camera) stamp: Duration,
}

/// Why everything is decoded although nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::camera) enum Unable {
    /// Key frames are so far apart, or have not come for so long.
    Keys(Duration),
    /// What moved was not told by the sizes, or is hidden by noise.
    Sizes,
}

/// Decides for one stream.
#[derive(Debug)]
pub(in crate::camera) struct Sluice<T> {
    sizes: Sizes,
    keys: Keys,
    rest: Option<Rest<T>>,
    /// What was said when it woke by the sizes: still to be confirmed.
    suspected: Option<Word>,
    /// Of the last wakings whether the sizes told.
    told: VecDeque<bool>,
    /// No rest before this place.
    not_before: Duration,
    unable: Option<Unable>,
}

/// Key frames so far.
#[derive(Debug, Default)]
struct Keys {
    last: Option<Duration>,
    distances: VecDeque<Duration>,
}

impl Keys {
    fn came(&mut self, stamp: Duration) {
        if let Some(distance) = self.last.replace(stamp).and_then(|last| stamp.checked_sub(last)) {
            if self.distances.len() >= DISTANCES {
                self.distances.pop_front();
            }
            self.distances.push_back(distance);
        }
    }

    /// The longest distance, of those behind and the one that goes on; `None` before two are known.
    fn longest(&self, now: Duration) -> Option<Duration> {
        let open = self.last.and_then(|last| now.checked_sub(last)).unwrap_or_default();
        let known = self.distances.iter().copied().max().filter(|_| self.distances.len() >= 2);
        if open > LONGEST { Some(known.unwrap_or_default().max(open)) } else { known }
    }
}

/// What is kept at rest.
#[derive(Debug)]
struct Rest<T> {
    /// The key frame that was decoded last, and all since.
    kept: Vec<T>,
    bytes: usize,
    began: Duration,
    woken: u32,
}

impl<T> Rest<T> {
    fn at(key: T, about: About, woken: u32) -> Self {
        Self { kept: vec![key], bytes: about.bytes, began: about.stamp, woken }
    }

    /// Pictures that were never decoded.
    fn skipped(&self) -> usize {
        self.kept.len().saturating_sub(1)
    }
}

impl<T: Clone> Default for Sluice<T> {
    fn default() -> Self {
        Self {
            sizes: Sizes::default(),
            keys: Keys::default(),
            rest: None,
            suspected: None,
            told: VecDeque::new(),
            not_before: Duration::ZERO,
            unable: None,
        }
    }
}

impl<T: Clone> Sluice<T> {
    /// Whether key frames alone are decoded.
    pub(in crate::camera) fn is_resting(&self) -> bool {
        self.rest.is_some()
    }

    /// Why it does not rest, once it could have.
    pub(in crate::camera) fn unable(&self) -> Option<Unable> {
        self.unable
    }

    /// Everything is decoded from here on, since the stream goes on in another form; what was kept, its key frame first.
    pub(in crate::camera) fn reset(&mut self) -> Vec<T> {
        let kept = self.rest.take().map(|rest| rest.kept).unwrap_or_default();
        *self = Self { told: std::mem::take(&mut self.told), not_before: self.not_before, ..Self::default() };
        kept
    }

    /// Decides what becomes of `unit`; `word` is what was heard from the analysis last.
    pub(in crate::camera) fn take(&mut self, unit: &T, about: About, word: Word) -> Turn<T> {
        if about.is_key {
            self.keys.came(about.stamp);
            self.sizes.key(about.stamp, about.bytes);
        }
        match self.rest.take() {
            None => self.awake(unit, about, word),
            Some(rest) => self.resting(rest, unit, about, word),
        }
    }

    fn awake(&mut self, unit: &T, about: About, word: Word) -> Turn<T> {
        if self.suspected.is_some_and(|then| then.moved != word.moved) {
            self.suspected = None;
            self.sizes.told(true);
            self.woke(about.stamp, true);
        }
        if !about.is_key {
            self.sizes.hold(about.stamp, about.bytes);
            if word.still && self.unable.is_none() {
                self.unable = self.hindered(about.stamp);
            }
            return Turn::Decode;
        }
        if !word.still {
            return Turn::Decode;
        }
        self.unable = self.hindered(about.stamp);
        let has_deltas = self.keys.distances.back().is_some_and(|d| *d > EVERY);
        let known = self.sizes.learn(about.stamp.saturating_sub(STILL_FOR));
        if has_deltas && known && self.sizes.is_masked() {
            self.unable = self.unable.or(Some(Unable::Sizes));
        }
        if self.unable.is_some() || self.keys.longest(about.stamp).is_none() || (has_deltas && !known) {
            return Turn::Decode;
        }
        if self.suspected.take().is_some() {
            // It woke, and nothing moved.
            self.sizes.told(false);
        }
        self.rest = Some(Rest::at(unit.clone(), about, word.woken));
        Turn::Rest
    }

    fn hindered(&self, now: Duration) -> Option<Unable> {
        let far = self.keys.longest(now).filter(|longest| *longest > LONGEST).map(Unable::Keys);
        far.or_else(|| (now < self.not_before).then_some(Unable::Sizes))
    }

    fn resting(&mut self, mut rest: Rest<T>, unit: &T, about: About, word: Word) -> Turn<T> {
        let by_another = rest.woken != word.woken;
        if by_another || !word.still {
            if !by_another {
                // The gate woke on a key frame, and the sizes had told nothing.
                self.woke(about.stamp, false);
            }
            // What woke it may lie in what was kept, also when the next picture can be decoded by itself.
            let kept_none = rest.skipped() == 0;
            return if about.is_key && kept_none { Turn::WakeHere(0) } else { Turn::Wake(rest.kept) };
        }
        let since = about.stamp.saturating_sub(rest.began);
        if about.is_key && since >= EVERY {
            self.sizes.rested();
            let skipped = rest.skipped();
            if self.sizes.is_masked() {
                // Night has come.
                self.unable = Some(Unable::Sizes);
                return Turn::WakeHere(skipped);
            }
            self.rest = Some(Rest::at(unit.clone(), about, rest.woken));
            return Turn::Glance(skipped);
        }
        let moves = !about.is_key && self.sizes.moves(about.stamp, about.bytes);
        if moves {
            self.suspected = Some(word);
        }
        if moves || since > LONGEST || rest.bytes.saturating_add(about.bytes) > MOST_BYTES {
            return Turn::Wake(rest.kept);
        }
        rest.bytes += about.bytes;
        rest.kept.push(unit.clone());
        self.rest = Some(rest);
        Turn::Skip(0)
    }

    /// Something moved: whether the sizes told of it.
    fn woke(&mut self, now: Duration, told: bool) {
        if self.told.len() >= WAKINGS {
            self.told.pop_front();
        }
        self.told.push_back(told);
        if self.told.iter().filter(|told| !**told).count() >= UNTOLD {
            self.told.clear();
            self.not_before = now + AGAIN_AFTER;
        }
    }
}

#[cfg(test)]
mod tests;
