//! Refusals in the audit log, without letting anybody fill the disk with them.
//!
//! Each has a record of its own, with what is known of who sent it, up to a number a minute; from there on they are counted,
//! and the minute ends with one record that has the counts by reason. Signed and unsigned ones are counted apart, so that
//! noise without a key does not hide what somebody with one tried. What is not recorded singly is not answered either.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Reason;

/// A minute, for the bounds.
const WINDOW: Duration = Duration::from_mins(1);

/// See the module: one kind of refusals.
#[derive(Debug)]
pub(super) struct Bound {
    most: u32,
    since: Option<Duration>,
    told: u32,
    counted: BTreeMap<Reason, u64>,
}

/// How many of each reason were counted without a record of their own.
pub(super) type Counts = BTreeMap<Reason, u64>;

impl Bound {
    /// So many a minute one by one.
    pub(super) fn new(most: u32) -> Self {
        Self { most, since: None, told: 0, counted: Counts::new() }
    }

    /// Whether this one is told by itself; it is counted when not.
    pub(super) fn tells(&mut self, reason: Reason, now: Duration) -> bool {
        self.since.get_or_insert(now);
        if self.told < self.most {
            self.told += 1;
            return true;
        }
        self.count(reason, now);
        false
    }

    /// Counts one without telling it.
    pub(super) fn count(&mut self, reason: Reason, now: Duration) {
        self.since.get_or_insert(now);
        *self.counted.entry(reason).or_default() += 1;
    }

    /// What was only counted, when the minute is over, or at `now` in any case when `at_once`; a new minute begins then.
    pub(super) fn over(&mut self, now: Duration, at_once: bool) -> Option<Counts> {
        let begun = self.since?;
        if !at_once && now.saturating_sub(begun) < WINDOW {
            return None;
        }
        (self.since, self.told) = (None, 0);
        Some(std::mem::take(&mut self.counted)).filter(|counts| !counts.is_empty())
    }
}

/// The counts as a record has them: `malformed 3, signature 120`.
pub(super) fn line(counts: &Counts) -> String {
    let words: Vec<String> = counts.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_minute_are_told_and_the_others_counted() {
        let mut bound = Bound::new(2);
        let at = Duration::from_secs;
        assert!(bound.tells(Reason::Signature, at(10)) && bound.tells(Reason::Malformed, at(11)));
        assert!(!bound.tells(Reason::Signature, at(12)) && !bound.tells(Reason::Signature, at(13)));
        assert!(!bound.tells(Reason::Malformed, at(14)));
        assert_eq!(bound.over(at(69), false), None);
        assert_eq!(line(&bound.over(at(70), false).unwrap()), "malformed 1, signature 2");
        assert_eq!(bound.over(at(500), true), None, "nothing since");
        assert!(bound.tells(Reason::Signature, at(500)));
        assert_eq!(bound.over(at(501), true), None, "all of it was told");
    }
}
