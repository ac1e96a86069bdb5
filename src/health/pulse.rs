//! Signs of life: what each thread and task does now, and for how long it has done nothing else.
//!
//! Whoever must make progress has a [`Pulse`] and beats where something is really done: a frame analysed, a batch
//! committed, a command answered, a wait that ended. Nobody beats for anybody else. `supervise` counts time against all of
//! them ([`Pulses::look`]), and only such time in which it ran itself: a machine that slept, or a process that was stopped,
//! makes nobody silent. A part that waits for another one says so ([`Pulse::rests`]) and is not to blame meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::domain::CameraId;

/// How much hangs on a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Without it the daemon does nothing for anybody.
    Vital,
    /// The analysis of this camera: the others go on.
    Camera(CameraId),
    /// What it does is missed, and nothing else.
    Aside,
}

/// The sign of life of one thread or task; a clone is the same. It is forgotten when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    part: Part,
    /// What it does usually takes no longer.
    within: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    doing: &'static str,
    /// What it does now takes no longer; `None`: it waits for others.
    within: Option<Duration>,
    /// Since its last beat, as far as it was watched.
    silent: Duration,
    /// It was left behind: nobody waits for it any more.
    left: bool,
}

/// A part that did nothing for longer than it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Name of its thread or task.
    pub name: String,
    /// How much hangs on it.
    pub part: Part,
    /// What it did last.
    pub doing: &'static str,
    /// For how long.
    pub lasts: Duration,
}

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, doing: &'static str, within: Option<Duration>) {
        let mut state = self.state();
        (state.doing, state.within, state.silent) = (doing, within, Duration::ZERO);
    }

    /// Something was done; what comes now takes no longer than usual.
    pub fn beats(&self, doing: &'static str) {
        self.set(doing, Some(self.0.within));
    }

    /// Something was done; what comes now may take so long.
    pub fn takes(&self, doing: &'static str, within: Duration) {
        self.set(doing, Some(within));
    }

    /// It waits for another part, or for work, as long as that takes.
    pub fn rests(&self, on: &'static str) {
        self.set(on, None);
    }

    /// Whether it waits for another part now.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.state().within.is_none()
    }

    /// Nobody waits for it any more, whatever it does.
    pub fn leave(&self) {
        self.state().left = true;
    }

    /// It did nothing for longer than it may.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        let state = self.state();
        state.within.filter(|within| !state.left && state.silent > *within).map(|_| Silence {
            name: self.0.name.clone(),
            part: self.0.part.clone(),
            doing: state.doing,
            lasts: state.silent,
        })
    }
}

/// All signs of life of the process.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Vec<Weak<Inner>>>);

/// What was found at a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Who is silent.
    pub silent: Vec<Silence>,
}

impl Found {
    /// A vital part that is silent: the daemon is of no use.
    #[must_use]
    pub fn fatal(&self) -> Option<&Silence> {
        self.silent.iter().find(|silence| silence.part == Part::Vital)
    }
}

impl Pulses {
    fn known(&self) -> MutexGuard<'_, Vec<Weak<Inner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sign of life of a part that begins, which does each thing within `within`.
    #[must_use]
    pub fn of(&self, name: impl Into<String>, part: Part, within: Duration) -> Pulse {
        let state = State { doing: "its start", within: Some(within), silent: Duration::ZERO, left: false };
        let pulse = Pulse(Arc::new(Inner { name: name.into(), part, within, state: Mutex::new(state) }));
        self.known().push(Arc::downgrade(&pulse.0));
        pulse
    }

    /// So much time passed since the last look, in which whoever looks ran.
    pub fn look(&self, passed: Duration) -> Found {
        let mut known = self.known();
        known.retain(|pulse| pulse.strong_count() > 0);
        let all: Vec<Pulse> = known.iter().filter_map(Weak::upgrade).map(Pulse).collect();
        drop(known);
        let mut found = Found::default();
        for pulse in &all {
            pulse.state().silent += passed;
            found.silent.extend(pulse.silence());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn camera(id: &str) -> Part {
        Part::Camera(CameraId::new(id).unwrap())
    }

    #[test]
    fn who_beats_is_not_silent_and_who_does_not_is_named_with_what_it_did_last() {
        let pulses = Pulses::default();
        let (recorder, clips) = (pulses.of("recorder", Part::Vital, SECOND), pulses.of("clips", Part::Aside, SECOND));
        for _ in 0..10 {
            assert_eq!(pulses.look(SECOND).silent, []);
            recorder.beats("a commit");
            clips.beats("a clip");
        }
        clips.takes("a long clip", SECOND * 5);
        recorder.beats("a commit");
        let found = [pulses.look(SECOND), pulses.look(SECOND)];
        assert_eq!(found[0].silent, []);
        let silent = Silence { name: "recorder".into(), part: Part::Vital, doing: "a commit", lasts: SECOND * 2 };
        assert_eq!(found[1].silent, std::slice::from_ref(&silent));
        assert_eq!(found[1].fatal(), Some(&silent));
        recorder.beats("a commit");
        assert_eq!(pulses.look(SECOND * 3).silent.len(), 1);
        drop(recorder);
        clips.beats("a clip");
        assert_eq!(pulses.look(SECOND).silent, [], "who is gone is not waited for");
        assert!(pulses.look(SECOND).fatal().is_none() && clips.silence().is_some());
    }

    #[test]
    fn who_waits_for_others_is_not_silent_and_cameras_are_judged_elsewhere() {
        let pulses = Pulses::default();
        let both = ["one", "two"].map(|id| pulses.of(format!("cam-{id}"), camera(id), SECOND));
        both[0].beats("a frame");
        both[1].rests("the recorder");
        assert_eq!(both.each_ref().map(Pulse::is_resting), [false, true]);
        let found = pulses.look(SECOND * 2);
        assert_eq!((found.silent.len(), found.fatal()), (1, None));
        both[1].beats("a frame");
        let found = pulses.look(SECOND * 2);
        assert_eq!((found.silent.len(), found.fatal()), (2, None));
        // A new thread in the place of one that is left behind is asked in its place.
        both[1].leave();
        let new = pulses.of("cam-two", camera("two"), SECOND);
        assert_eq!((pulses.look(SECOND).silent.len(), new.silence()), (1, None));
    }
}
