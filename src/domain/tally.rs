//! Verdicts counted: how right the box and its lists are, by camera, list, model and confidence. Counts alone, no plate.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::{Decode, Encode};

use super::hit::HitCauseKey;
use super::time::TimeMs;
use super::verdict::Verdict;

/// Most different states of models and configuration that a month tells apart; others are counted under 0.
const MAX_STATES: usize = 32;

/// A calendar month, UTC: year · 12 + month, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Month(#[n(0)] pub u32);

impl Month {
    /// The month of `at`.
    #[must_use]
    pub fn of(at: TimeMs) -> Self {
        let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
        let date = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let year = u32::try_from(date.year()).unwrap_or(0);
        Self(year * 12 + u32::from(u8::from(date.month())) - 1)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

/// How often each verdict was given, in the order of [`Verdict::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct VerdictCounts(#[n(0)] pub [u32; 5]);

impl VerdictCounts {
    /// How often this verdict was given.
    #[must_use]
    pub fn of(&self, verdict: Verdict) -> u32 {
        Verdict::ALL.iter().zip(self.0).find(|(v, _)| **v == verdict).map_or(0, |(_, n)| n)
    }

    /// How many verdicts there are.
    #[must_use]
    pub fn judged(&self) -> u32 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// How many of them speak for box and list.
    #[must_use]
    pub fn right(&self) -> u32 {
        Verdict::ALL.iter().zip(self.0).filter(|(v, _)| v.is_right()).fold(0, |sum, (_, n)| sum.saturating_add(n))
    }

    /// Share of right ones, ‰; `None` where nothing was judged.
    #[must_use]
    pub fn precision_permille(&self) -> Option<u16> {
        let (right, judged) = (u64::from(self.right()), u64::from(self.judged()));
        (right * 1_000 + judged / 2).checked_div(judged).and_then(|share| u16::try_from(share).ok())
    }

    fn step(&mut self, verdict: Verdict, up: bool) {
        if let Some((_, n)) = Verdict::ALL.iter().zip(&mut self.0).find(|(v, _)| **v == verdict) {
            *n = if up { n.saturating_add(1) } else { n.saturating_sub(1) };
        }
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(n, more)| *n = n.saturating_add(more));
    }
}

/// What a verdict is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TallyFacts {
    /// Number of the camera.
    pub camera: u16,
    /// What matched.
    pub cause: HitCauseKey,
    /// Models and configuration, as alerts carry them.
    pub state: [u8; 4],
    /// Probability that the plate is the entry's (of a rule, that the class is right), ‰.
    pub permille: u16,
}

/// Verdicts of a span of time, counted by what they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tally {
    /// By number of the camera.
    #[n(0)]
    pub cameras: BTreeMap<u16, VerdictCounts>,
    /// By number of the list.
    #[n(1)]
    pub lists: BTreeMap<u16, VerdictCounts>,
    /// By number of the rule.
    #[n(2)]
    pub rules: BTreeMap<u16, VerdictCounts>,
    /// By state of models and configuration, as a big-endian number; 0 for those that found no room.
    #[n(3)]
    pub states: BTreeMap<u32, VerdictCounts>,
    /// By confidence in steps of 100 ‰: 0 to 9.
    #[n(4)]
    pub bins: BTreeMap<u8, VerdictCounts>,
}

impl Tally {
    /// Counts a verdict, or takes it back.
    pub fn note(&mut self, facts: &TallyFacts, verdict: Verdict, up: bool) {
        self.cameras.entry(facts.camera).or_default().step(verdict, up);
        match facts.cause {
            HitCauseKey::List(list, _) => self.lists.entry(list).or_default().step(verdict, up),
            HitCauseKey::Rule(rule) => self.rules.entry(rule).or_default().step(verdict, up),
        }
        let state = u32::from_be_bytes(facts.state);
        let room = self.states.len() < MAX_STATES || self.states.contains_key(&state);
        self.states.entry(if room { state } else { 0 }).or_default().step(verdict, up);
        let bin = u8::try_from(facts.permille / 100).unwrap_or(u8::MAX).min(9);
        self.bins.entry(bin).or_default().step(verdict, up);
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        fn add<K: Ord + Copy>(to: &mut BTreeMap<K, VerdictCounts>, from: &BTreeMap<K, VerdictCounts>) {
            for (key, counts) in from {
                to.entry(*key).or_default().merge(counts);
            }
        }
        add(&mut self.cameras, &other.cameras);
        add(&mut self.lists, &other.lists);
        add(&mut self.rules, &other.rules);
        add(&mut self.states, &other.states);
        add(&mut self.bins, &other.bins);
    }

    /// All verdicts.
    #[must_use]
    pub fn total(&self) -> VerdictCounts {
        let mut total = VerdictCounts::default();
        self.cameras.values().for_each(|counts| total.merge(counts));
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(camera: u16, state: u32, permille: u16) -> TallyFacts {
        TallyFacts { camera, cause: HitCauseKey::List(2, 7), state: state.to_be_bytes(), permille }
    }

    #[test]
    fn verdicts_are_counted_under_all_that_they_are_about_and_taken_back() {
        let mut tally = Tally::default();
        tally.note(&facts(1, 5, 999), Verdict::Confirmed, true);
        tally.note(&facts(1, 5, 1_000), Verdict::Misread, true);
        tally.note(&facts(2, 6, 420), Verdict::NotActionable, true);
        assert_eq!(tally.total().precision_permille(), Some(667));
        assert_eq!((tally.bins[&9].judged(), tally.bins[&4].judged(), tally.lists[&2].judged()), (2, 1, 3));
        tally.note(&facts(1, 5, 1_000), Verdict::Misread, false);
        assert_eq!((tally.cameras[&1].right(), tally.cameras[&1].judged()), (1, 1));
        let mut twice = tally.clone();
        twice.merge(&tally);
        assert_eq!((twice.total().judged(), twice.states.len()), (4, 2));
        assert_eq!(VerdictCounts::default().precision_permille(), None);
    }

    #[test]
    fn states_beyond_the_bound_share_a_row() {
        let mut tally = Tally::default();
        (1..=100).for_each(|state| tally.note(&facts(1, state, 900), Verdict::Confirmed, true));
        assert!(tally.states.len() <= MAX_STATES + 1);
        assert_eq!(tally.states.values().map(VerdictCounts::judged).sum::<u32>(), 100);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(Month::of(TimeMs(1_767_225_600_000)).to_string(), "2026-01");
        assert_eq!(Month::of(TimeMs(1_767_225_599_999)).to_string(), "2025-12");
        assert_eq!(Month::of(TimeMs(0)).to_string(), "1970-01");
    }
}
