//! What health says of hits that wait for somebody to look at them, of verdicts, holds and retention.
//!
//! Made when health is told. That hits have waited too long, or that holds are due for review, is also said once in the
//! log, and again when it was over in between.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::centre::wire::keeping::{KeepingGauge, MAX_HOLDS, MAX_UNSEEN, PrecisionGauge, UnseenGauge, UnseenHit};
use crate::domain::tally::Tally;
use crate::domain::{Severity, TimeMs};
use crate::store::{Error, Store};

/// Months whose verdicts are told.
const MONTHS: usize = 12;

/// Looks at the store.
pub struct Keeper {
    store: Store,
    /// `None`: nobody is reminded.
    after_ms: Option<u64>,
    severity: Severity,
    unseen: AtomicBool,
    overdue: AtomicBool,
}

impl Keeper {
    /// Of this store; whether anybody is reminded, and of what, is configured.
    #[must_use]
    pub fn new(store: Store, config: &crate::config::Store) -> Self {
        Self {
            store,
            after_ms: (config.remind_minutes > 0).then(|| config.remind_minutes.saturating_mul(60_000)),
            severity: config.remind_severity,
            unseen: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
        }
    }

    /// What is to be told; `None` while the store can't be asked, as when its index is made anew.
    pub fn gauge(&self, now: TimeMs) -> Option<KeepingGauge> {
        self.look(now).inspect_err(|error| tracing::debug!(%error, "holds and verdicts not told")).ok()
    }

    fn look(&self, now: TimeMs) -> Result<KeepingGauge, Error> {
        let holds = self.store.holds();
        let overdue: Vec<u32> = holds.iter().filter(|h| h.is_overdue(now)).map(|h| h.number).collect();
        if changed(&self.overdue, !overdue.is_empty()) {
            tracing::warn!(holds = overdue.len(), "holds are due for review: release what is not needed any more");
        }
        let unseen = self.unseen(now)?;
        let mut tally = Tally::default();
        let months = self.store.tallies()?;
        months.iter().rev().take(MONTHS).for_each(|(_, month)| tally.merge(month));
        let mut unreadable = self.store.unreadable_holds();
        unreadable.truncate(MAX_HOLDS);
        Ok(KeepingGauge {
            unseen,
            holds: u32::try_from(holds.len()).unwrap_or(u32::MAX),
            overdue: overdue.into_iter().take(MAX_HOLDS).collect(),
            unreadable,
            retention: self.store.retention().ok(),
            set: self.store.retention_order().is_some(),
            precision: PrecisionGauge::of(&tally),
        })
    }

    fn unseen(&self, now: TimeMs) -> Result<Option<UnseenGauge>, Error> {
        let Some(after_ms) = self.after_ms else { return Ok(None) };
        let before = TimeMs(now.0.saturating_sub(after_ms));
        let waiting = self.store.unseen(self.severity, before, MAX_UNSEEN)?;
        if changed(&self.unseen, waiting.hits > 0) {
            tracing::warn!(hits = waiting.hits, "hits wait for somebody to look at them");
        }
        let hit = |(id, severity, since)| UnseenHit { id, severity, since };
        let oldest = waiting.oldest.into_iter().map(hit).collect();
        Ok((waiting.hits > 0).then_some(UnseenGauge { hits: waiting.hits, oldest }))
    }
}

/// Notes `is`; whether it has become true.
fn changed(before: &AtomicBool, is: bool) -> bool {
    !before.swap(is, Ordering::Relaxed) && is
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, SimClock};
    use crate::domain::{HoldScope, HoldWish, Mark, Verdict};
    use crate::health::Health;
    use crate::store::testkit::{START, folder, hit_entry, id, settings};
    use crate::store::{HandlingWish, Recorder, StoreKey};

    #[test]
    fn hits_that_nobody_looks_at_and_holds_that_are_due_are_told_until_somebody_does() {
        let dir = folder();
        let sim = SimClock::at(START);
        let store = Store::open(dir.path(), StoreKey::from_bytes([9; 32]), settings(), Clock::of(sim.clone())).unwrap();
        let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
        let patience = Duration::from_secs(20);
        for (n, severity) in [(1, Severity::Info), (2, Severity::Serious), (3, Severity::Critical)] {
            recorder.handle().send(hit_entry(n, severity)).unwrap();
        }
        recorder.handle().flush(patience).unwrap();
        let mark = Mark { at: START, by: "operator".to_owned(), org: "north".to_owned() };
        let review = TimeMs(START.0 + 3_600_000);
        let (case, reason) = ("K-1".to_owned(), "court".to_owned());
        let wish = HoldWish { scope: HoldScope::Hit(id(2)), case, reason, review, placed: mark.clone() };
        recorder.handle().place_hold(wish, patience).unwrap();

        let text = "[box]\nsite = \"north\"\nid = \"box-1\"\n[store]\nremind_minutes = 30\n";
        let path = dir.path().join("watchpost.toml");
        std::fs::write(&path, text).unwrap();
        let config = crate::config::load(&path).unwrap();
        let keeper = Keeper::new(store.clone(), &config.store);
        let told = |minutes: u64| keeper.gauge(TimeMs(START.0 + minutes * 60_000)).unwrap();
        assert_eq!((told(29).unseen, told(29).overdue), (None, Vec::new()));
        let late = told(61);
        let unseen = late.unseen.clone().unwrap();
        assert_eq!((unseen.hits, unseen.oldest[0].id, late.overdue.as_slice()), (2, id(2), [1].as_slice()));
        assert!(late.troubles(TimeMs(START.0 + 61 * 60_000))[0].contains("2 hits that nobody has looked at"));

        for n in [2, 3] {
            let verdict = (n == 3).then_some((Verdict::Confirmed, None));
            let wish = HandlingWish { id: id(n), cause: None, verdict, close: false, mark: mark.clone() };
            recorder.handle().handle(wish, patience).unwrap();
        }
        let after = told(62);
        assert_eq!((after.unseen, after.precision.cameras[0].judged), (None, 1));
    }
}
