//! Who looks whether anything still happens: feeds systemd's watchdog, ends a daemon of no use, and one that does not stop.
//!
//! A thread of its own, `watchdog`, that touches neither disk nor network nor another room. Every 200 ms it counts the time
//! against all signs of life ([`crate::health::pulse`]); only such time counts in which it ran itself, so that a machine that
//! slept, or a process that was stopped for a while, makes nobody silent.
//!
//! * **Fed**: `WATCHDOG=1`, three times in the interval that systemd asks for, until the daemon is found to be of no use.
//! * **Of no use**: a vital part is silent, or the watch over the cameras says that none of them makes progress ([`hangs`](super::hangs)).
//!   It is not fed any more, the daemon stops with a fault, and whoever started it starts it anew; without systemd, too.
//! * **Two stages of a stop**: the wiring stops everything in good order, each step within its bound ([`Steps`]); what has
//!   not ended [`STOP_WITHIN`] after the stop was asked for ends with the process, by [`EXIT_CODE`], after an entry in the audit log
//!   where that can be written. Commits are durable one by one, so nothing that was said to be done is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::LOOK_EVERY;
use super::last::{EXIT_CODE, end_at_once};
use crate::clock::Clock;
use crate::health::Health;
use crate::health::pulse::{Found, Part, Pulse, Silence};
use crate::shutdown::{Shutdown, waited};
use crate::store::Store;
use crate::store::audit::Event;

/// How long a stop may take in all, the last words not counted.
const STOP_WITHIN: Duration = Duration::from_millis(8_500);
/// What stage one takes of that at most, as far as its steps are bounded.
const IN_ORDER_WITHIN: Duration = Duration::from_secs(8);
/// What of that is kept for the last commit and the end of the recorder, whatever the steps before them take.
const RECORDERS: Duration = Duration::from_millis(2_500);
/// How long the last entry of the audit log may take.
const LAST_WORDS: Duration = Duration::from_millis(700);
/// Name of the recorder's sign of life.
const RECORDER: &str = "recorder";
/// How long the wiring's own round may take.
const ROUND_WITHIN: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    main: Pulse,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    health: Arc<Health>,
    clock: Clock,
    /// What ends the run.
    stop: Shutdown,
    /// The run is over.
    over: Shutdown,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: Option<String>,
    /// It is the recorder's.
    of_recorder: bool,
    ending: bool,
    /// For the last words.
    store: Option<Store>,
    /// Threads that did not stop in time, and what knows whether they have since.
    left: Vec<(String, IsOver)>,
    /// Of those that are missed and nothing else, who is silent, and whether it was said.
    aside: Vec<(Silence, bool)>,
}

/// Whether a thread that was left behind has ended since.
type IsOver = Box<dyn FnMut() -> bool + Send>;

impl Watchdog {
    /// Starts the thread. `stop` is what ends the run.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(health: &Arc<Health>, stop: &Shutdown, clock: &Clock) -> std::io::Result<Self> {
        let main = health.pulses.of("main", Part::Vital, ROUND_WITHIN);
        let shared = Arc::new(Shared {
            health: Arc::clone(health),
            clock: clock.clone(),
            stop: stop.clone(),
            over: Shutdown::new(),
            state: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || own.run())?;
        Ok(Self { shared, main, thread: Some(thread) })
    }

    /// The sign of life of the thread that wires and watches.
    pub(super) fn main(&self) -> &Pulse {
        &self.main
    }

    /// Why the daemon can't go on, once it can't.
    pub(super) fn fault(&self) -> Option<String> {
        self.shared.state().fault.clone()
    }

    /// Whether that is the recorder's fault alone.
    pub(super) fn is_recorders_fault(&self) -> bool {
        self.shared.state().of_recorder
    }

    /// The daemon can't go on, for this reason: it ends, and is not fed any more.
    pub(super) fn give_up(&self, fault: &str) {
        if !self.shared.is_ending() {
            self.shared.give_up(fault, false);
        }
    }

    /// Says once which parts are silent without which the others go on.
    pub(super) fn tell(&self) {
        let mut state = self.shared.state();
        let new: Vec<Silence> = state
            .aside
            .iter_mut()
            .filter(|(_, told)| !told)
            .map(|(silence, told)| (*told = true, silence.clone()).1)
            .collect();
        drop(state);
        for Silence { name, doing, lasts, .. } in new {
            let seconds = lasts.as_secs();
            tracing::error!(
                thread = name,
                doing,
                seconds,
                "a thread does nothing any more: its work is missed until the next start"
            );
        }
    }

    /// The stop begins now; the steps of its first stage. One that is `patient` has time for what is under way until
    /// somebody asks for the stop.
    pub(super) fn ends(&self, patient: bool) -> Steps {
        let mut state = self.shared.state();
        state.ending = state.ending || !patient;
        drop(state);
        let clock = self.shared.clock.clone();
        let until = if patient { Duration::MAX } else { clock.monotonic() + IN_ORDER_WITHIN };
        Steps { main: self.main.clone(), until, clock }
    }

    /// Where the last words go; `None` once the end was told.
    pub(super) fn tells(&self, store: Option<&Store>) {
        self.shared.state().store = store.cloned();
    }

    /// This thread did not stop.
    pub(super) fn leaves(&self, name: impl Into<String>) {
        self.leaves_until(name, || false);
    }

    /// This thread did not stop, and may yet: then `is_over`.
    pub(super) fn leaves_until(&self, name: impl Into<String>, is_over: impl FnMut() -> bool + Send + 'static) {
        self.shared.state().left.push((name.into(), Box::new(is_over)));
    }

    /// Threads that have not stopped by now.
    pub(super) fn left(&self) -> Vec<String> {
        self.shared.left()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.over.trigger();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the watchdog's thread panicked");
        }
    }
}

/// Steps of a stop in good order, which share one bound.
pub(super) struct Steps {
    main: Pulse,
    clock: Clock,
    until: Duration,
}

impl Steps {
    /// The next one, and how long it may take: `own`, or what is left. The recorder's time is not for others: what was taken
    /// is stored or counted, whatever hangs beside it.
    pub(super) fn next(&self, doing: &'static str, own: Duration) -> Duration {
        self.begin(doing, own, RECORDERS)
    }

    /// The same for the recorder's own steps, the last but `keep`, and for what comes behind them.
    pub(super) fn last(&self, doing: &'static str, own: Duration, keep: Duration) -> Duration {
        self.begin(doing, own, keep)
    }

    fn begin(&self, doing: &'static str, own: Duration, keep: Duration) -> Duration {
        self.main.takes(doing, own + ROUND_WITHIN);
        own.min(self.until.saturating_sub(keep).saturating_sub(self.clock.monotonic()))
    }
}

/// Waits for the end of a thread, which has no join with a bound; false: it runs on.
pub(super) fn ended<T>(thread: &JoinHandle<T>, at_most: Duration) -> bool {
    waited(at_most, || thread.is_finished())
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> Vec<String> {
        let mut state = self.state();
        state.left.retain_mut(|(_, is_over)| !is_over());
        state.left.iter().map(|(name, _)| name.clone()).collect()
    }

    fn run(&self) {
        let feed_every = sd_notify::watchdog_enabled().map(|interval| interval / 3);
        let (mut looked, mut fed) = (self.clock.monotonic(), None);
        let mut left = STOP_WITHIN;
        while !self.over.wait(LOOK_EVERY) {
            let now = self.clock.monotonic();
            let passed = now.saturating_sub(std::mem::replace(&mut looked, now));
            // What was longer, this thread was held up, and so was everybody else.
            let found = self.health.pulses.look(hurried(passed.min(LOOK_EVERY * 2)));
            self.note_asides(&found);
            if let Some(silence) = found.fatal().filter(|_| !self.is_ending()) {
                let Silence { name, doing, lasts, .. } = silence;
                let seconds = lasts.as_secs();
                let fault = format!("{name} does nothing any more, for {seconds} s, last at: {doing}");
                self.give_up(&fault, name == RECORDER);
            }
            if self.is_ending() {
                left = left.saturating_sub(passed.min(LOOK_EVERY * 5));
                if left.is_zero() {
                    return self.end(&found);
                }
            }
            let is_due = feed_every.is_some_and(|every| fed.is_none_or(|at| now >= at + every));
            if is_due && self.state().fault.is_none() {
                fed = Some(now);
                // Who does not listen starts the daemon anew.
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
        }
    }

    fn is_ending(&self) -> bool {
        let mut state = self.state();
        state.ending = state.ending || self.stop.is_set();
        state.ending
    }

    fn note_asides(&self, found: &Found) {
        let mut state = self.state();
        let told: Vec<String> = state.aside.iter().filter(|(_, told)| *told).map(|(s, _)| s.name.clone()).collect();
        let now = found.silent.iter().filter(|silence| silence.part == Part::Aside);
        state.aside = now.map(|silence| (silence.clone(), told.contains(&silence.name))).collect();
    }

    /// It is of no use any more.
    fn give_up(&self, fault: &str, of_recorder: bool) {
        let mut state = self.state();
        (state.fault, state.of_recorder, state.ending) = (Some(fault.to_owned()), of_recorder, true);
        drop(state);
        // Behind the decision: a log that nobody takes must not hold it up. The time of the stop runs from here.
        let last_resort = std::thread::Builder::new().name("last-resort".to_owned());
        let over = self.over.clone();
        let end = move || {
            if !over.wait(STOP_WITHIN * 2) {
                end_at_once(EXIT_CODE);
            }
        };
        // Without it this thread ends the process, unless it is held up as well.
        let _ = last_resort.spawn(end);
        tracing::error!(fault, "the daemon is of no use any more: it ends, to be started anew");
    }

    /// The second stage of a stop.
    fn end(&self, found: &Found) {
        let left = self.left();
        let mut state = self.state();
        let (store, fault) = (state.store.take(), state.fault.clone());
        drop(state);
        let names = found.silent.iter().map(|silence| silence.name.clone()).chain(left).collect::<Vec<_>>().join(", ");
        let why = match fault {
            Some(fault) => format!("{fault}; it did not stop in order"),
            None => "asked to; it did not stop in order".to_owned(),
        };
        let told = std::thread::Builder::new().name("last-words".to_owned()).spawn(move || {
            tracing::error!(threads = names, "the daemon did not stop in time: it ends as it is");
            if let Some(store) = store {
                let undelivered = store.outbox().depth().entries;
                let details = [("why", why), ("undelivered", undelivered.to_string())];
                if let Err(error) = store.audit(Event::DaemonStopped, &details) {
                    tracing::error!(%error, "the daemon's end is not in the audit log");
                }
            }
        });
        if let Ok(told) = told {
            ended(&told, LAST_WORDS);
        }
        end_at_once(EXIT_CODE);
    }
}

/// The fault campaign can't wait for minutes: it has silences counted faster, and nothing else.
fn hurried(passed: Duration) -> Duration {
    #[cfg(feature = "testkit")]
    return passed * super::testkit::hurry();
    #[cfg(not(feature = "testkit"))]
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;
    use crate::health::pulse::Pulses;

    #[test]
    fn the_recorder_has_its_time_whatever_the_steps_before_it_take() {
        let sim = SimClock::at(TimeMs(0));
        let clock = Clock::of(Arc::clone(&sim) as Arc<dyn crate::clock::TimeSource>);
        let main = Pulses::default().of("main", Part::Vital, ROUND_WITHIN);
        let steps = Steps { main, until: IN_ORDER_WITHIN, clock };
        // Each takes all that it may.
        for own in [2_000, 1_000, 2_000, 1_500, 1_000, 3_500] {
            sim.advance(steps.next("a step", Duration::from_millis(own)));
        }
        assert_eq!(steps.next("one more", Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(steps.last("the recorder", Duration::from_secs(2), Duration::ZERO), Duration::from_secs(2));
        sim.advance(Duration::from_secs(2));
        let left = steps.last("what waited for it", Duration::from_secs(2), Duration::ZERO);
        assert_eq!(left, Duration::from_millis(500));
    }

    #[test]
    fn a_thread_that_ends_late_was_not_left_behind() {
        let health = Health::new();
        let dog = Watchdog::start(&health, &Shutdown::new(), &Clock::system()).unwrap();
        let over = Shutdown::new();
        let seen = over.clone();
        dog.leaves("one that hangs");
        dog.leaves_until("one that waits for the recorder", move || seen.is_set());
        assert_eq!(dog.left().len(), 2);
        over.trigger();
        assert_eq!(dog.left(), ["one that hangs"]);
    }
}
