//! A configuration of the centre on probation: confirmed when the centre's session stands, else rolled back by itself.
//!
//! ```text
//! begin (before the configuration is read) ─► the daemon runs ─► look, every 200 ms ─► confirmed
//!    │ third start without a good end            │ can't start        └─ no session in time ─► rolled back, starts anew
//!    └────────────► rolled back ◄────────────────┘
//! ```
//! What was staged while no session stood, or on a box without a centre, is confirmed once the daemon has run that long: a
//! broker that was gone before says nothing about the configuration. What is decided is on disk first
//! ([`crate::config::managed::trial`]), then told to the audit log and in health; what ended before there was a store is
//! told at the next start. Called by `cli::run`'s loop and by the watching thread.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::managed::trial::{Book, Ended, Trial};
use crate::config::{Layers, Overlay, managed};
use crate::domain::TimeMs;
use crate::health::{ConfigState, Health};
use crate::store::Store;
use crate::store::audit::Event;

/// See the module. One start of the daemon's.
#[derive(Debug)]
pub struct Probation {
    folder: PathBuf,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    /// When the daemon began with it.
    began: Duration,
    /// Since when the session stands.
    since: Option<Duration>,
}

impl Probation {
    /// A start begins with the configuration at `path`: counts it on disk, and rolls back what has crashed too often.
    ///
    /// `None` when the box's own files can't be read, which whoever loads them says.
    #[must_use]
    pub fn begin(path: &Path, clock: &Clock) -> Option<Arc<Self>> {
        let layers = Layers::read(path, &Overlay::Off).ok()?;
        let folder = managed::folder(layers.data_dir());
        let mut book = match Book::read(&folder) {
            Ok(book) => book,
            Err(why) => {
                tracing::error!(
                    why,
                    "what is on probation cannot be read: the configuration is taken as it lies there"
                );
                Book::default()
            }
        };
        if let Err(error) = book.begin(&folder, clock.utc().0) {
            tracing::error!(%error, "a start on probation cannot be counted on disk");
        }
        let state = Mutex::new(State { book, began: clock.monotonic(), since: None });
        let probation = Self { folder, clock: clock.clone(), state };
        if !layers.is_managed {
            probation.failed("the box's own files switch the centre's overlay off");
        }
        Some(Arc::new(probation))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon could not start, or ended with an error: true when that was on probation and is rolled back, so that a
    /// new start is worth while.
    pub fn failed(&self, why: &str) -> bool {
        let mut state = self.state();
        self.roll_back(&mut state, why)
    }

    /// Takes what was in force before. On a disk that refuses, the next look tries again.
    fn roll_back(&self, state: &mut State, why: &str) -> bool {
        let Some(serial) = state.book.trial.as_ref().map(|t| t.serial) else { return false };
        match state.book.roll_back(&self.folder, self.clock.utc().0, why) {
            Ok(()) => {
                tracing::error!(serial, why, "configuration of the centre rolled back");
                true
            }
            Err(error) => {
                tracing::error!(%error, serial, why, "configuration of the centre is not rolled back yet");
                // On disk it is, where only the overlay's file could not be written: the next start does that.
                state.book.trial.is_none()
            }
        }
    }

    /// The daemon runs: tells the audit log and health what ended since, and what is on probation now.
    pub(super) fn tell(&self, store: &Store, health: &Health) {
        let mut state = self.state();
        state.began = self.clock.monotonic();
        self.tell_ends(&mut state, store);
        if let Some(trial) = &state.book.trial {
            tracing::warn!(serial = trial.serial, by = trial.by, "a configuration of the centre is on probation");
            audit(store, "probation", trial.serial, &trial.digest, &[("by", trial.by.clone())]);
        }
        show(&state.book, health);
    }

    fn tell_ends(&self, state: &mut State, store: &Store) {
        for Ended { serial, digest, confirmed, why, by, .. } in &state.book.untold {
            let step = if *confirmed { "confirmed" } else { "rolled-back" };
            audit(store, step, *serial, digest, &[("by", by.clone()), ("why", why.clone())]);
        }
        if let Err(error) = state.book.told(&self.folder) {
            tracing::warn!(%error, "what became of a configuration will be told again");
        }
    }

    /// Looks whether it is time to decide; true: it is rolled back, and the daemon has to start anew.
    pub(super) fn look(&self, store: &Store, health: &Health, has_centre: bool) -> bool {
        let mut state = self.state();
        let Some(trial) = state.book.trial.clone() else { return false };
        let now = self.clock.monotonic();
        let needed = trial.needs_session && has_centre;
        let stands = !needed || health.centre.connected.load(Ordering::Relaxed) > 0;
        state.since = if stands { Some(state.since.unwrap_or(now)) } else { None };
        let stood = state.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if stood >= Duration::from_secs(u64::from(trial.stand_s)) {
            self.confirm(&mut state, &trial, needed);
        } else if now.saturating_sub(state.began) >= Duration::from_secs(u64::from(trial.within_s)) {
            let last = health.centre.fault().unwrap_or_else(|| "it comes and goes".to_owned());
            let why =
                format!("no session with the centre stood for {} s within {} s: {last}", trial.stand_s, trial.within_s);
            if !self.roll_back(&mut state, &why) {
                return false;
            }
        } else {
            return false;
        }
        self.tell_ends(&mut state, store);
        show(&state.book, health);
        state.book.trial.is_none() && state.book.last.as_ref().is_some_and(|last| !last.confirmed)
    }

    fn confirm(&self, state: &mut State, trial: &Trial, needed: bool) {
        let what = if needed { "the session with the centre stood" } else { "the daemon ran" };
        let why = format!("{what} for {} s", trial.stand_s);
        match state.book.confirm(&self.folder, self.clock.utc().0, &why) {
            Ok(()) => tracing::info!(serial = trial.serial, why, "configuration of the centre confirmed"),
            Err(error) => {
                tracing::error!(%error, serial = trial.serial, "a good configuration cannot be confirmed yet");
            }
        }
    }

    /// The daemon stopped in good order: that was no crash.
    pub fn stopped(&self) {
        if let Err(error) = self.state().book.stopped(&self.folder) {
            tracing::warn!(%error, "this stop counts as a crash on probation");
        }
    }
}

fn audit(store: &Store, step: &str, serial: u64, digest: &str, more: &[(&str, String)]) {
    let mut details = vec![("step", step.to_owned()), ("serial", serial.to_string()), ("digest", digest.to_owned())];
    details.extend_from_slice(more);
    if let Err(error) = store.audit(Event::ConfigChanged, &details) {
        tracing::error!(%error, step, serial, "audit record not written");
    }
}

/// What health says of it.
fn show(book: &Book, health: &Health) {
    let rolled_back = book.last.as_ref().filter(|last| !last.confirmed);
    health.set_config(ConfigState {
        serial: book.in_force,
        probation: book.trial.is_some(),
        rolled_back: rolled_back.map(|last| (last.serial, TimeMs(last.at_ms), last.why.clone())),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::config::managed::trial::Staged;
    use crate::store::testkit;

    struct Yard {
        dir: tempfile::TempDir,
        sim: Arc<SimClock>,
        store: Store,
        health: Arc<Health>,
    }

    impl Yard {
        fn new(needs_session: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let text = "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n";
            std::fs::write(dir.path().join("watchpost.toml"), text).unwrap();
            let (sim, clock) = testkit::clock();
            let key = crate::store::StoreKey::from_bytes([9; 32]);
            let store = Store::open(&dir.path().join("data/store"), key, testkit::settings(), clock).unwrap();
            let yard = Self { dir, sim, store, health: Health::new() };
            let staged = Staged {
                overlay: "[store]\ncache_mib = 20\n".to_owned(),
                digest: "0".repeat(64),
                by: "fleet".to_owned(),
                command: "1".repeat(32),
                at_ms: 1,
                stand_s: 30,
                within_s: 300,
                needs_session,
            };
            Book::default().stage(&yard.folder(), staged).unwrap();
            yard
        }

        fn folder(&self) -> PathBuf {
            managed::folder(&self.dir.path().join("data"))
        }

        fn start(&self) -> Arc<Probation> {
            let path = self.dir.path().join("watchpost.toml");
            let probation = Probation::begin(&path, &Clock::of(self.sim.clone())).unwrap();
            probation.tell(&self.store, &self.health);
            probation
        }

        /// Lets time pass, with a look every second; true as soon as it is rolled back.
        fn pass(&self, probation: &Probation, seconds: u64) -> bool {
            (0..seconds).any(|_| {
                self.sim.advance(Duration::from_secs(1));
                probation.look(&self.store, &self.health, true)
            })
        }

        fn is_in_force(&self) -> bool {
            managed::overlay_path(&self.folder()).exists()
        }

        fn steps(&self) -> Vec<String> {
            let records = crate::store::audit::read(self.store.dir()).unwrap();
            let steps = records.into_iter().filter(|r| r.event == "config.changed");
            steps.filter_map(|r| r.details.into_iter().find(|(k, _)| k == "step").map(|(_, v)| v)).collect()
        }
    }

    #[test]
    fn it_is_confirmed_when_the_session_has_stood_in_one_piece() {
        let yard = Yard::new(true);
        let probation = yard.start();
        for _ in 0..5 {
            yard.health.centre.set_connected(true);
            assert!(!yard.pass(&probation, 20));
            yard.health.centre.set_connected(false);
            assert!(!yard.pass(&probation, 1));
        }
        assert!(yard.health.config().unwrap().probation, "twenty seconds again and again are not thirty");
        yard.health.centre.set_connected(true);
        assert!(!yard.pass(&probation, 31));
        let told = yard.health.config().unwrap();
        assert_eq!((told.serial, told.probation, told.rolled_back), (1, false, None));
        assert!(!yard.pass(&probation, 1000) && yard.is_in_force());
        assert_eq!(yard.steps(), ["probation", "confirmed"]);
    }

    #[test]
    fn without_the_centre_it_is_rolled_back_with_the_reason_and_told() {
        let yard = Yard::new(true);
        let probation = yard.start();
        yard.health.centre.set_fault(Some("connection refused".to_owned()));
        assert!(!yard.pass(&probation, 299));
        assert!(yard.pass(&probation, 2) && !yard.is_in_force());
        let (serial, _, why) = yard.health.config().unwrap().rolled_back.unwrap();
        assert!(serial == 1 && why.contains("within 300 s: connection refused"), "{why}");
        assert_eq!(yard.steps(), ["probation", "rolled-back"]);
        let after = yard.start();
        assert!(!yard.pass(&after, 1000) && yard.steps().len() == 2, "told once");
    }

    #[test]
    fn what_was_staged_without_a_session_needs_none() {
        let yard = Yard::new(false);
        let probation = yard.start();
        assert!(!yard.pass(&probation, 31) && yard.is_in_force());
        assert_eq!(yard.steps(), ["probation", "confirmed"]);
    }

    #[test]
    fn a_daemon_that_cannot_start_is_rolled_back_at_once_and_told_by_the_next_start() {
        let yard = Yard::new(true);
        let path = yard.dir.path().join("watchpost.toml");
        let clock = Clock::of(yard.sim.clone());
        assert!(Probation::begin(&path, &clock).unwrap().failed("no such model") && !yard.is_in_force());
        assert!(!Probation::begin(&path, &clock).unwrap().failed("no such model"), "once");
        yard.start();
        assert_eq!(yard.steps(), ["rolled-back"]);
    }

    #[test]
    fn power_cuts_are_survived_and_a_crash_loop_is_rolled_back() {
        let yard = Yard::new(true);
        let first = yard.start();
        assert!(!yard.pass(&first, 100));
        let second = yard.start();
        assert!(!yard.pass(&second, 250) && yard.is_in_force(), "the time begins anew with a start");
        yard.start();
        assert!(!yard.is_in_force());
        assert!(yard.health.config().unwrap().rolled_back.unwrap().2.contains("2 times"));
    }

    #[test]
    fn the_local_admins_switch_ends_a_probation() {
        let yard = Yard::new(true);
        std::fs::create_dir_all(yard.dir.path().join("conf.d")).unwrap();
        std::fs::write(yard.dir.path().join("conf.d/own.toml"), "[box]\nmanaged = false\n").unwrap();
        yard.start();
        assert!(!yard.is_in_force());
        assert_eq!(yard.steps(), ["rolled-back"]);
    }
}
