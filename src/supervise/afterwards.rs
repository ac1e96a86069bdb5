//! What a command has the daemon do once its answer has left: start anew, or destroy the store's keys. Other models are
//! taken at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::command::Afterwards;
use crate::shutdown::Shutdown;

/// An answer that does not leave in this time is not waited for any longer: the broker is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was asked for, if anything; cheap to clone.
#[derive(Clone)]
pub struct After {
    asked: Arc<Mutex<Option<(Afterwards, Duration)>>>,
    /// Other models are in force than those that run.
    models: Arc<AtomicBool>,
    stop: Shutdown,
    clock: Clock,
}

impl After {
    /// Nothing asked for; `stop` is what ends the run.
    #[must_use]
    pub fn new(stop: Shutdown, clock: Clock) -> Self {
        Self { asked: Arc::default(), models: Arc::default(), stop, clock }
    }

    /// It was asked for, and the answer is on its way. A wipe is not taken back by a restart. False: nothing has to wait for
    /// the answer.
    pub(super) fn ask(&self, then: Afterwards) -> bool {
        if then == Afterwards::Models {
            self.models.store(true, Ordering::Release);
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_none_or(|(before, _)| before != Afterwards::Wipe) {
            *asked = Some((then, self.clock.monotonic()));
        }
        true
    }

    /// Whether other models are to be loaded; once.
    pub(super) fn take_models(&self) -> bool {
        self.models.swap(false, Ordering::AcqRel)
    }

    /// The answer has left, or will not: it is done now.
    pub(super) fn answered(&self) {
        self.stop.trigger();
    }

    /// Nobody waits for an answer: the run ends now, and starts anew.
    pub(super) fn restart(&self) {
        self.ask(Afterwards::Restart);
        self.stop.trigger();
    }

    /// Looks whether an answer takes too long to leave.
    pub(super) fn look(&self) {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|(_, since)| self.clock.monotonic() >= since + PATIENCE) {
            self.stop.trigger();
        }
    }

    /// What ends the run.
    #[must_use]
    pub fn stop(&self) -> &Shutdown {
        &self.stop
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is to be done.
    #[must_use]
    pub fn what(&self) -> Option<Afterwards> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).map(|(then, _)| then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;

    #[test]
    fn a_reload_ends_the_run_at_once_and_does_not_take_back_a_wipe() {
        let stop = Shutdown::new();
        let after = After::new(stop.clone(), Clock::system());
        after.ask(Afterwards::Wipe);
        after.restart();
        assert!(stop.is_set() && after.what() == Some(Afterwards::Wipe));
    }

    #[test]
    fn a_wipe_stays_a_wipe_and_an_answer_that_never_leaves_is_not_waited_for() {
        let time = SimClock::at(TimeMs(0));
        let stop = Shutdown::new();
        let after = After::new(stop.clone(), Clock::of(time.clone()));
        after.look();
        assert!(!stop.is_set() && after.what().is_none());
        after.ask(Afterwards::Wipe);
        after.ask(Afterwards::Restart);
        assert_eq!(after.what(), Some(Afterwards::Wipe));
        after.look();
        assert!(!stop.is_set());
        time.advance(PATIENCE);
        after.look();
        assert!(stop.is_set());
    }
}
