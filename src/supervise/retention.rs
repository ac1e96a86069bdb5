//! Deletes what has been kept long enough: destroys the keys of days and classes whose time is over.
//!
//! Looked at when the daemon starts, every ten minutes, and at once when the centre set another time; one key at a time, so that between two the recorder commits what
//! waits. The recorder does it, audited with counts; the centre is told of copies that it will not get. A day's key goes
//! when the whole day is old enough: things are kept as long as configured and up to a day longer.
//!
//! **Whose clock.** Deleting cannot be undone, so a clock that was never set deletes nothing, and one that no time service
//! keeps only after it has run steadily for a day. A restart begins that day anew. What was stored by a clock that was
//! wrong is kept from the first day on which one that is believed has seen it (`store::undated`).
//!
//! What holds cover the recorder keeps when a key is destroyed (`store::purge`). Called by the watching thread.

use std::time::Duration;

use crate::clock::Clock;
use crate::domain::{ClockState, Retention, RetentionClass, TimeMs};
use crate::memory;
use crate::store::{RecorderHandle, Store};

/// How often days are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// How long a clock that nobody keeps must have run steadily.
const STEADY_FOR: Duration = Duration::from_hours(24);
/// What counts as steady: so much drift between wall clock and monotonic time.
const DRIFT: Duration = Duration::from_mins(10);
/// How long a deletion is waited for; it is done again when it took longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn look_every() -> Duration {
    #[cfg(feature = "testkit")]
    if let Some(every) = super::testkit::sweep_every() {
        return every;
    }
    LOOK_EVERY
}

/// What the watching thread remembers.
pub(super) struct Sweeper {
    /// What the last look went by.
    keep: Option<Retention>,
    next: Duration,
    /// Since when wall clock and monotonic time have gone together.
    steady: (TimeMs, Duration),
    due: Vec<(u32, RetentionClass)>,
}

impl Sweeper {
    /// Looks at the next [`Sweeper::step`].
    pub(super) fn new(clock: &Clock) -> Self {
        let now = (clock.utc(), clock.monotonic());
        Self { keep: None, next: now.1, steady: now, due: Vec::new() }
    }

    /// Deletes at most one day of one class.
    pub(super) fn step(&mut self, store: &Store, recorder: &RecorderHandle, clock: &Clock) {
        let now = clock.monotonic();
        let keep = store.retention();
        // What was set anew takes effect at once.
        let changed = keep.as_ref().is_ok_and(|keep| self.keep.is_some_and(|before| before != *keep));
        if changed || (self.due.is_empty() && now >= self.next) {
            self.next = now + look_every();
            self.due.clear();
            self.keep = keep.as_ref().ok().copied();
            match keep {
                Ok(keep) if self.believes(clock) => self.look(store, &keep, clock.utc()),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "nothing is deleted"),
            }
        }
        let Some((day, class)) = self.due.pop() else { return };
        match recorder.destroy(day, class, PATIENCE) {
            Ok(rows) => {
                tracing::info!(day, ?class, rows, "kept long enough: deleted");
                memory::give_back();
            }
            Err(error) => {
                tracing::error!(%error, day, ?class, "what was kept long enough is not deleted yet");
                self.due.clear();
            }
        }
    }

    fn believes(&mut self, clock: &Clock) -> bool {
        let (utc, monotonic) = (clock.utc(), clock.monotonic());
        let (ran, lasted) = (i128::from(utc.0) - i128::from(self.steady.0.0), monotonic.saturating_sub(self.steady.1));
        let drift = (ran - i128::try_from(lasted.as_millis()).unwrap_or(i128::MAX)).unsigned_abs();
        if drift > DRIFT.as_millis() {
            self.steady = (utc, monotonic);
        }
        match clock.state() {
            ClockState::Synced => true,
            ClockState::Holdover => monotonic.saturating_sub(self.steady.1) >= STEADY_FOR,
            ClockState::Unset => false,
        }
    }

    fn look(&mut self, store: &Store, keep: &Retention, now: TimeMs) {
        match store.aged(now.day()) {
            // The oldest last: it is taken first.
            Ok(days) => {
                let over = days.into_iter().filter(|aged| keep.is_over(aged.since, aged.class, now));
                self.due = over.rev().map(|aged| (aged.day, aged.class)).collect();
            }
            Err(error) => tracing::error!(%error, "what was kept long enough is not deleted yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{SimClock, TimeSource};
    use crate::domain::Severity;
    use crate::health::Health;
    use crate::store::testkit::{START, folder, hit_entry, settings};
    use crate::store::{Recorder, Store, StoreKey};

    const DAY_MS: u64 = 86_400_000;

    /// A clock that runs and that nobody keeps.
    struct Unkept(Arc<SimClock>);

    impl TimeSource for Unkept {
        fn utc(&self) -> TimeMs {
            self.0.utc()
        }
        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
        fn state(&self) -> ClockState {
            ClockState::Holdover
        }
    }

    /// A store with an info and a serious hit of one day, its recorder, and steps on it.
    struct Site {
        store: Store,
        recorder: Recorder,
        _dir: tempfile::TempDir,
    }

    impl Site {
        fn new(clock: &Clock) -> Self {
            let dir = folder();
            let store = Store::open(dir.path(), StoreKey::from_bytes([9; 32]), settings(), clock.clone()).unwrap();
            let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
            recorder.handle().send(hit_entry(1, Severity::Info)).unwrap();
            recorder.handle().send(hit_entry(2, Severity::Serious)).unwrap();
            recorder.handle().flush(Duration::from_secs(20)).unwrap();
            Self { store, recorder, _dir: dir }
        }

        /// What is kept of the first day. (The word that a copy was shed is kept as of the day that it was said.)
        fn classes(&self) -> Vec<RetentionClass> {
            let days = self.store.days().unwrap().into_iter();
            days.filter(|(day, _)| *day == START.day()).map(|(_, class)| class).collect()
        }

        /// So many steps as one look may want.
        fn sweep(&self, sweeper: &mut Sweeper, clock: &Clock) {
            (0..10).for_each(|_| sweeper.step(&self.store, &self.recorder.handle(), clock));
        }
    }

    #[test]
    fn what_is_kept_long_enough_goes_with_its_key_and_the_rest_stays() {
        let sim = SimClock::at(START);
        let clock = Clock::of(sim.clone());
        let site = Site::new(&clock);
        let mut sweeper = Sweeper::new(&clock);
        site.sweep(&mut sweeper, &clock);
        assert_eq!(site.classes(), [RetentionClass::Info, RetentionClass::Serious]);
        assert_eq!(site.store.counts().hits, 2);

        sim.advance(Duration::from_hours(24 * 9));
        site.sweep(&mut sweeper, &clock);
        assert_eq!(site.classes(), [RetentionClass::Serious]);
        assert_eq!(site.store.counts().hits, 1, "the info hit is gone, the serious one stays");
        assert_eq!(site.store.outbox().depth().entries, 2, "the serious alert, and the word that one was shed");

        sim.advance(Duration::from_hours(24 * 90));
        site.sweep(&mut sweeper, &clock);
        assert_eq!((site.classes(), site.store.counts().hits), (Vec::new(), 0));
        // What was acknowledged or not: nothing of it can be sent any more but the words that it was shed.
        let left = site.store.outbox().next(&std::collections::BTreeSet::new(), 10).unwrap();
        assert!(left.iter().all(|item| matches!(item.body, crate::store::Body::Shed(_))), "{left:?}");
    }

    #[test]
    fn what_a_clock_stored_that_was_not_set_is_kept_from_when_it_was_set() {
        let sim = SimClock::at(START);
        let clock = Clock::of(sim.clone());
        let site = Site::new(&clock);
        let stored_at = |n, severity, begin| {
            let mut entry = hit_entry(n, severity);
            entry.event.sighting.begin = begin;
            entry.hits.iter_mut().for_each(|hit| hit.sighting.begin = begin);
            site.recorder.handle().send(entry).unwrap();
        };
        stored_at(3, Severity::Serious, TimeMs(30_000));
        stored_at(4, Severity::Info, TimeMs(START.0 + 5_000 * DAY_MS));
        site.recorder.handle().flush(Duration::from_secs(20)).unwrap();
        site.sweep(&mut Sweeper::new(&clock), &clock);
        assert_eq!(site.store.counts().hits, 4);
        // As after a restart, which does not begin their time anew.
        sim.advance(Duration::from_hours(24 * 9));
        site.sweep(&mut Sweeper::new(&clock), &clock);
        assert_eq!(site.store.counts().hits, 2, "both info hits are gone");
        sim.advance(Duration::from_hours(24 * 90));
        site.sweep(&mut Sweeper::new(&clock), &clock);
        assert_eq!(site.store.counts().hits, 0);
        assert!(site.store.aged(clock.utc().day()).unwrap().iter().all(|aged| aged.since == aged.day));
        // The day that the clock gave too early has come: its key is gone, and what is of it is stored all the same.
        sim.step_to(TimeMs(START.0 + 5_000 * DAY_MS));
        stored_at(5, Severity::Info, clock.utc());
        site.recorder.handle().flush(Duration::from_secs(20)).unwrap();
        assert_eq!(site.store.counts().hits, 1);
    }

    #[test]
    fn a_clock_that_nobody_keeps_deletes_only_after_a_steady_day() {
        let sim = SimClock::at(START);
        let clock = Clock::of(Arc::new(Unkept(sim.clone())));
        let site = Site::new(&clock);
        // Ten years later, says a clock that was set by hand a moment ago.
        sim.step_to(TimeMs(START.0 + 3_650 * DAY_MS));
        let mut sweeper = Sweeper::new(&clock);
        site.sweep(&mut sweeper, &clock);
        sim.advance(Duration::from_hours(23));
        site.sweep(&mut sweeper, &clock);
        assert_eq!(site.classes().len(), 2);
        // It leaps once more: the day begins anew.
        sim.step_to(TimeMs(START.0 + 40 * DAY_MS));
        sim.advance(Duration::from_hours(2));
        site.sweep(&mut sweeper, &clock);
        sim.advance(Duration::from_hours(23));
        site.sweep(&mut sweeper, &clock);
        assert_eq!(site.classes().len(), 2);
        sim.advance(Duration::from_hours(2));
        site.sweep(&mut sweeper, &clock);
        assert_eq!(site.classes(), [RetentionClass::Serious]);
    }
}
