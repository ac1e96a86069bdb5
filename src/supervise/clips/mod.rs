//! Clips of hits: which seconds of a camera are wanted, until they are on the disk.
//!
//! An analysis thread that has a new hit says so ([`Clips::ask`]) and goes on. What is wanted is gathered out of the
//! camera's ring as it comes: by the analysis thread with its frames, which costs microseconds, and by the thread `clips`, since a
//! camera may fall silent. Once it is complete, or nothing more comes, that thread makes the file and has it stored; it is the least
//! urgent of the box. Live cameras never wait for it: when it is behind, a hit goes without a clip, which is counted and
//! said in the clip's place. A file's analysis waits: of a file everything counts.
//!
//! A sighting gets one clip, with its first hit: from [`Settings::before`] it to [`Settings::after`] it, and longer where the pass
//! goes on, within bounds. Of a camera with masks nothing is given of a time in which the camera may have looked elsewhere:
//! its clip waits until its view is found in its place, and ends where it was found so last, whatever ends it. Left out: sound.

mod gather;
mod make;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::camera;
use crate::camera::decode::Decoder;
use crate::camera::ring::Ring;
use crate::clock::Clock;
use crate::domain::{CameraId, EventId, Polygon, Severity, TimeMs};
use crate::health::Health;
use crate::health::pulse::Part;
use crate::store::RecorderHandle;
use crate::vision::view::Whereabouts;

use super::watchdog::ended;
use gather::Gathered;
pub(super) use make::least_urgent;

/// How often cameras are looked at that give no frames.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So much later than its last picture should have come a clip is taken as it is.
const PATIENCE_MS: u64 = 3_000;
/// The pass is covered from so long before its first frame.
const LEAD_MS: u64 = 500;
/// So long before the hit at most, where no more is configured: what a ring keeps in any case.
const LONGEST_LEAD_MS: u64 = 10_000;
/// A pass that goes on is covered until so long after it was seen last, and so long after its hit at most.
const TRAIL_MS: u64 = 1_000;
const LONGEST_TRAIL_MS: u64 = 15_000;
/// By so much later than its end a view that was moved in it has been found so, where it can be compared at all.
const SURE_WITHIN_MS: u64 = 15_000;
/// Clips that are wanted at a time.
const MOST_WANTED: usize = 64;
/// Clips that wait to be made.
const MOST_READY: usize = 8;
/// Hits whose clip is not made, with the reason, that wait to be told.
const MOST_TOLD: usize = 256;
/// How long one clip may take: coded anew with its masks, by the least urgent thread of a busy box.
const CLIP_WITHIN: Duration = Duration::from_mins(15);
/// How long the thread may take to end once nothing is left.
const ENDS_WITHIN: Duration = Duration::from_millis(500);
/// Sightings that are known to have been asked for.
const REMEMBERED: usize = 256;

/// What clips are made of and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    /// So long before a hit.
    pub before: Duration,
    /// So long after it.
    pub after: Duration,
    /// Largest clip.
    pub bytes: usize,
    /// The least severity of hits that get one.
    pub severity: Severity,
}

impl Settings {
    fn is_on(&self) -> bool {
        !(self.before + self.after).is_zero()
    }
}

/// What of a camera does not change from clip to clip.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub camera: CameraId,
    /// Where its pictures are kept.
    pub ring: Option<Arc<Ring>>,
    /// What is hidden.
    pub masks: Vec<Polygon>,
    /// Where they are decoded.
    pub decoder: Decoder,
    /// It may be waited for.
    pub is_file: bool,
}

impl View {
    /// Of a camera and what is hidden of it.
    pub(super) fn of(camera: &camera::Settings, masks: &[Polygon]) -> Self {
        let is_file = !camera.is_newest_first();
        let (ring, decoder) = (camera.ring.clone(), Decoder::of(camera));
        Self { camera: camera.id.clone(), ring, masks: masks.to_vec(), decoder, is_file }
    }
}

/// A hit that wants a clip.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub id: EventId,
    pub severity: Severity,
    /// First frame of the pass.
    pub begin: TimeMs,
    /// The frame that made the hit.
    pub at: TimeMs,
    /// It is of a person: nobody is made recognisable.
    pub is_person: bool,
    /// Why it could not be masked, where there are masks.
    pub unmaskable: Option<String>,
    /// Width and height of the frames that masks were laid on: only pictures of that shape show the same view.
    pub size: (u32, u32),
    /// Whether masks lay where they were drawn; `None`: that is not watched.
    pub whereabouts: Option<Whereabouts>,
}

/// What a camera's analysis knows with each frame.
pub(super) struct Look<'a> {
    /// Of the frame.
    pub at: TimeMs,
    /// The camera is a file: there is time to make its clips.
    pub may_wait: bool,
    /// Whether masks lie where they were drawn; `None`: that is not watched.
    pub whereabouts: Option<Whereabouts>,
    /// When what a sighting is of was seen last.
    pub seen: &'a dyn Fn(EventId) -> Option<TimeMs>,
}

/// A wish under way.
#[derive(Debug)]
struct Wanted {
    wish: Wish,
    view: View,
    from: TimeMs,
    to: TimeMs,
    /// What was there before is not shown, and how long that was, ms.
    stood: Option<u64>,
    gathered: Gathered,
    /// Until when its masks lie right for certain; 0: never compared; `None`: nobody watches that, or there are none.
    sure: Option<TimeMs>,
    /// Of the camera's newest frame.
    newest: TimeMs,
    /// Monotonic, of a live camera: it is taken as it is some time later. Of a file: when its frames end.
    asked: Option<Duration>,
}

/// What is to be made, or why not.
#[derive(Debug)]
struct Ready {
    wanted: Wanted,
    /// Nothing is made: said in the clip's place.
    instead: Option<String>,
}

#[derive(Default)]
struct State {
    wanted: Vec<Wanted>,
    ready: VecDeque<Ready>,
    asked: VecDeque<EventId>,
    /// One is being made.
    busy: bool,
    closed: bool,
}

impl State {
    /// What is made next: what costs little goes before clips that have to be coded anew.
    fn next(&mut self) -> Option<Ready> {
        let cheap = |ready: &Ready| ready.instead.is_some() || ready.wanted.view.masks.is_empty();
        let place = self.ready.iter().position(cheap).unwrap_or(0);
        self.ready.remove(place)
    }
}

struct Shared {
    settings: Settings,
    clock: Clock,
    health: Arc<Health>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Where analysis threads ask; cheap to clone.
#[derive(Clone)]
pub(super) struct Clips(Arc<Shared>);

/// The thread that makes them.
pub(super) struct Maker {
    clips: Clips,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    /// Starts the thread `clips`; none where clips are off.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        settings: Settings,
        recorder: RecorderHandle,
        health: Arc<Health>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let shared = Shared { settings, clock, health, state: Mutex::default(), changed: Condvar::new() };
        let clips = Clips(Arc::new(shared));
        let mut thread = None;
        if settings.is_on() {
            let own = clips.clone();
            let run = move || {
                least_urgent();
                own.run(&mut |ready| make::make_and_store(ready, &own.0.settings, &recorder, &own.0.health));
            };
            thread = Some(std::thread::Builder::new().name("clips".to_owned()).spawn(run)?);
        }
        Ok(Self { clips, thread })
    }

    pub(super) fn clips(&self) -> Clips {
        self.clips.clone()
    }

    /// Takes what is there of every clip that is wanted and returns when all are stored, or after `at_most`. What is
    /// left then is counted and goes without a clip.
    ///
    /// # Errors
    /// The thread, which has not ended yet.
    pub(super) fn finish(mut self, at_most: Duration) -> Result<(), JoinHandle<()>> {
        let left = self.clips.close(at_most);
        if left > 0 {
            tracing::warn!(clips = left, "clips of the last hits not made before the stop");
        }
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if !ended(&thread, if left == 0 { ENDS_WITHIN } else { Duration::ZERO }) {
            return Err(thread);
        }
        if thread.join().is_err() {
            tracing::error!("the thread that makes clips panicked");
        }
        Ok(())
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.clips.close(Duration::ZERO);
    }
}

impl Clips {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new hit: its clip is made, once a sighting. Waits for room only for a file.
    pub(super) fn ask(&self, view: &View, wish: Wish) {
        let shared = &self.0;
        if !shared.settings.is_on() || wish.severity < shared.settings.severity {
            return;
        }
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let (before, after) = (millis(shared.settings.before), millis(shared.settings.after));
        let begin = wish.begin.0.saturating_sub(LEAD_MS);
        let earliest = wish.at.0.saturating_sub(before.max(LONGEST_LEAD_MS));
        let from = TimeMs(wish.at.0.saturating_sub(before).min(begin).max(earliest));
        let stood = (begin < earliest).then(|| wish.at.since(wish.begin));
        let to = TimeMs(wish.at.0.saturating_add(after));
        let asked = (!view.is_file).then(|| shared.clock.monotonic());
        let mut state = self.state();
        if state.closed || state.asked.contains(&wish.id) {
            return;
        }
        state.asked.push_back(wish.id);
        if state.asked.len() > REMEMBERED {
            state.asked.pop_front();
        }
        let (gathered, newest) = (Gathered::default(), wish.at);
        let watched = wish.whereabouts.filter(|_| !view.masks.is_empty());
        let sure = watched.map(|whereabouts| whereabouts.in_place.unwrap_or_default());
        let mut wanted = Wanted { wish, view: view.clone(), from, to, stood, gathered, sure, newest, asked };
        let why_not = wanted.why_not(state.wanted.len());
        if let Some(why) = why_not {
            self.tell(&mut state, Ready { wanted, instead: Some(why) });
        } else {
            wanted.gather(shared.settings.bytes);
            state.wanted.push(wanted);
        }
        drop(state);
        shared.changed.notify_all();
    }

    /// The camera has a frame; waits for room where it may.
    pub(super) fn look(&self, camera: &CameraId, look: &Look<'_>) {
        let mut state = self.state();
        if !state.wanted.iter().any(|wanted| wanted.view.camera == *camera) {
            return;
        }
        let bytes = self.0.settings.bytes;
        for wanted in state.wanted.iter_mut().filter(|w| w.view.camera == *camera) {
            wanted.follow(look);
            if wanted.is_due(look.at) {
                wanted.gather(bytes);
            }
        }
        self.take(state, look.may_wait, &|wanted| wanted.view.camera == *camera && wanted.is_complete());
    }

    /// The camera is over, or was opened again: what is there of its clips is taken.
    pub(super) fn over(&self, camera: &CameraId, may_wait: bool) {
        let mut state = self.state();
        let bytes = self.0.settings.bytes;
        for wanted in state.wanted.iter_mut().filter(|wanted| wanted.view.camera == *camera) {
            wanted.gather(bytes);
        }
        self.take(state, may_wait, &|wanted| wanted.view.camera == *camera);
    }

    /// Moves what is complete to where it is made; waits for room where it may.
    fn take(&self, mut state: MutexGuard<'_, State>, may_wait: bool, which: &dyn Fn(&Wanted) -> bool) {
        while let Some(place) = state.wanted.iter().position(which) {
            while may_wait && state.ready.len() >= MOST_READY && !state.closed {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // Another thread may have been at it meanwhile.
            let Some(place) = state.wanted.get(place).filter(|w| which(w)).map(|_| place) else { continue };
            let wanted = state.wanted.swap_remove(place);
            let behind = state.ready.iter().filter(|ready| ready.instead.is_none()).count() >= MOST_READY;
            let instead = behind.then(|| "the box had more hits at once than it can make clips of".to_owned());
            self.tell(&mut state, Ready { wanted, instead });
        }
        drop(state);
        self.0.changed.notify_all();
    }

    fn tell(&self, state: &mut State, mut ready: Ready) {
        if ready.instead.is_some() {
            // Its pictures are not held for a sentence.
            ready.wanted.gathered = Gathered::default();
        }
        if state.ready.len() >= MOST_TOLD {
            self.0.health.clips_missing.inc();
            tracing::warn!(camera = %ready.wanted.view.camera, "a hit goes without a clip, and without a word of it");
            return;
        }
        state.ready.push_back(ready);
    }

    /// Looks after what is wanted and makes what is ready until it is closed and nothing is left.
    fn run(&self, make: &mut dyn FnMut(Ready)) {
        let pulse = self.0.health.pulses.of("clips", Part::Aside, CLIP_WITHIN);
        loop {
            pulse.beats("a clip");
            let mut state = self.state();
            let (now, bytes, closed) = (self.0.clock.monotonic(), self.0.settings.bytes, state.closed);
            for wanted in state.wanted.iter_mut().filter(|wanted| wanted.asked.is_some() || closed) {
                wanted.gather(bytes);
            }
            // What is whole by now may yet be asked to go on: that is said with the camera's next frame, which takes it.
            self.take(state, false, &|w| closed || w.deadline().is_some_and(|at| now >= at));
            let mut state = self.state();
            match state.next() {
                Some(ready) => {
                    state.busy = true;
                    drop(state);
                    self.0.changed.notify_all();
                    let made = catch_unwind(AssertUnwindSafe(|| make(ready)));
                    self.state().busy = false;
                    if made.is_err() {
                        self.0.health.clips_missing.inc();
                        tracing::error!("clip lost: making it panicked, the others go on");
                    }
                    self.0.changed.notify_all();
                }
                None if state.closed && state.wanted.is_empty() => return,
                None => drop(self.0.changed.wait_timeout(state, LOOK_EVERY)),
            }
        }
    }

    /// No more is asked for; waits until all is made. How many are left.
    fn close(&self, at_most: Duration) -> usize {
        let mut state = self.state();
        state.closed = true;
        self.0.changed.notify_all();
        if !self.0.settings.is_on() {
            return 0;
        }
        let left = |state: &State| state.wanted.len() + state.ready.len() + usize::from(state.busy);
        let waited = self.0.changed.wait_timeout_while(state, at_most, |state| left(state) > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = left(&state);
        self.0.health.clips_missing.add(left as u64);
        state.wanted.clear();
        state.ready.clear();
        left
    }
}
