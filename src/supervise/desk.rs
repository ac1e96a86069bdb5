//! What is asked of single cameras from outside their threads: a pause, opening anew, a picture of now.
//!
//! Pauses are on disk (`data_dir/managed/paused.json`) before they are granted, so that they outlive a restart; one with
//! an end is over by itself. A clock that is not set ends no pause: nobody knows the time. The [`Crew`](super::crew)
//! looks here on every round and does what is asked; the asking thread waits until it is done, some seconds at most.
//!
//! A picture is taken by a [`Tap`] at the camera's own thread, from the next frame that comes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tap::{Made, Tap};
use crate::clock::Clock;
use crate::command::Refusal;
use crate::config::{Config, managed};
use crate::console::Live;
use crate::domain::{CameraId, ClockState, Reason, TimeMs};
use crate::health::{CameraState, Health};

/// How long a pause waits for the camera's thread to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// How long a picture is waited for: a camera that gives frames gives one in that time.
const PICTURE_WITHIN: Duration = Duration::from_secs(5);
/// Version of the file.
const VERSION: u32 = 1;

/// See the module.
pub(super) struct Desk {
    file: PathBuf,
    /// The configured cameras, and whether each is enabled.
    cameras: BTreeMap<CameraId, bool>,
    health: Arc<Health>,
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    paused: BTreeMap<String, Pause>,
    reopen: BTreeSet<CameraId>,
    running: BTreeMap<CameraId, Arc<Tap>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// UTC milliseconds; without it until somebody resumes.
    until_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    paused: BTreeMap<String, Pause>,
}

impl Pause {
    fn is_over(self, clock: &Clock) -> bool {
        clock.state() != ClockState::Unset && self.until_ms.is_some_and(|until| until <= clock.utc().0)
    }

    fn reason(self) -> String {
        match self.until_ms {
            Some(until) => format!("paused until {}", TimeMs(until - until % 1000)),
            None => "paused until somebody resumes it".to_owned(),
        }
    }
}

impl Desk {
    /// With the pauses that are on disk.
    pub(super) fn open(config: &Config, health: &Arc<Health>, clock: &Clock) -> Arc<Self> {
        let file = managed::folder(&config.site.data_dir).join("paused.json");
        let paused = read(&file).unwrap_or_else(|why| {
            tracing::error!(path = %file.display(), why, "pauses of cameras cannot be read back: none is paused");
            BTreeMap::new()
        });
        Arc::new(Self {
            file,
            cameras: config.cameras.iter().map(|c| (c.id.clone(), c.enabled)).collect(),
            health: Arc::clone(health),
            clock: clock.clone(),
            state: Mutex::new(State { paused, ..State::default() }),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, camera: &CameraId) -> Result<(), Refusal> {
        match self.cameras.get(camera) {
            Some(true) => Ok(()),
            Some(false) => {
                let text = format!("camera {camera} is switched off by its configuration (enabled = false)");
                Err(Refusal::new(Reason::Conflict, text))
            }
            None => Err(Refusal::new(Reason::NotFound, format!("there is no camera {camera} on this box"))),
        }
    }

    /// Whether there is such a camera to look at.
    pub(super) fn is_there(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.known(camera)
    }

    /// Stops looking at a camera, at once and over restarts; returns when its thread has ended.
    pub(super) fn pause(&self, camera: &CameraId, until: Option<TimeMs>) -> Result<(), Refusal> {
        self.known(camera)?;
        let pause = Pause { until_ms: until.map(|t| t.0) };
        if pause.is_over(&self.clock) {
            let text = format!("the pause of {camera} would be over already: here it is {}", self.clock.utc());
            return Err(Refusal::new(Reason::Arguments, text));
        }
        let mut state = self.state();
        self.write(&mut state, |paused| paused.extend([(camera.to_string(), pause)]))?;
        let still_runs = |s: &mut State| s.running.contains_key(camera);
        let (state, waited) =
            self.changed.wait_timeout_while(state, STOPPED_WITHIN, still_runs).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() {
            let text = format!("camera {camera} is paused from now on, but its thread has not ended yet; look again");
            return Err(Refusal::new(Reason::Internal, text));
        }
        Ok(())
    }

    /// Ends a pause.
    pub(super) fn resume(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.known(camera)?;
        let mut state = self.state();
        if state.paused.contains_key(camera.as_str()) {
            self.write(&mut state, |paused| paused.retain(|id, _| id != camera.as_str()))?;
        }
        Ok(())
    }

    /// Has a camera opened anew, with its credential as it is now; one that is paused stays so.
    pub(super) fn reopen(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.known(camera)?;
        self.state().reopen.insert(camera.clone());
        Ok(())
    }

    /// A JPEG of the camera's next frame, behind its privacy masks.
    pub(super) fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal> {
        self.of_next(camera, Tap::ask)
    }

    /// What is made of the camera's next frame.
    fn of_next<T>(&self, camera: &CameraId, ask: impl Fn(&Tap) -> Receiver<Made<T>>) -> Result<T, Refusal> {
        self.known(camera)?;
        let conflict = |text: String| Refusal::new(Reason::Conflict, text);
        let tap = self.state().running.get(camera).cloned();
        let counters = self.health.camera(camera);
        let state = counters.state();
        let (Some(tap), CameraState::Online | CameraState::Degraded(_)) = (tap, &state) else {
            let why = match state {
                CameraState::Offline(why) | CameraState::Paused(why) => why,
                CameraState::Ended => "its file has ended".to_owned(),
                _ => "it is being opened".to_owned(),
            };
            return Err(conflict(format!("camera {camera} gives no pictures: {why}")));
        };
        let wanted = ask(&tap);
        // Nobody is waited for whose thread ends.
        drop(tap);
        match wanted.recv_timeout(PICTURE_WITHIN) {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(why)) => Err(conflict(format!("camera {camera}: {why}"))),
            Err(_) => {
                let text = format!("camera {camera} gave no picture in {} s", PICTURE_WITHIN.as_secs());
                Err(conflict(text))
            }
        }
    }

    /// What a camera sees now as the console shows it: behind its privacy masks, no wider than a scene, persons a few squares, with
    /// what is followed.
    pub(super) fn live(&self, camera: &CameraId) -> Result<Live, Refusal> {
        self.of_next(camera, Tap::watch)
    }

    /// Why a camera is paused now; `None`: it is not.
    pub(super) fn pause_of(&self, camera: &CameraId) -> Option<String> {
        self.state().paused.get(camera.as_str()).map(|pause| pause.reason())
    }

    /// Forgets the pauses whose time is over.
    pub(super) fn end_pauses(&self) {
        let mut state = self.state();
        if state.paused.values().any(|p| p.is_over(&self.clock))
            && let Err(error) = self.write(&mut state, |paused| paused.retain(|_, p| !p.is_over(&self.clock)))
        {
            tracing::error!(%error, "a pause that is over stays on disk");
            // It is over all the same; the next start ends it again.
            state.paused.retain(|_, p| !p.is_over(&self.clock));
        }
    }

    /// Whether a camera is to be opened anew.
    pub(super) fn wants_reopening(&self, camera: &CameraId) -> bool {
        self.state().reopen.contains(camera)
    }

    /// It is being opened anew.
    pub(super) fn reopened(&self, camera: &CameraId) {
        self.state().reopen.remove(camera);
    }

    /// A thread of this camera begins; what it taps.
    pub(super) fn begun(&self, camera: &CameraId) -> Arc<Tap> {
        let tap = Arc::new(Tap::default());
        self.state().running.insert(camera.clone(), Arc::clone(&tap));
        tap
    }

    /// It has ended.
    pub(super) fn ended(&self, camera: &CameraId) {
        self.state().running.remove(camera);
        self.changed.notify_all();
    }

    /// Changes the pauses, on disk first.
    fn write(&self, state: &mut State, change: impl FnOnce(&mut BTreeMap<String, Pause>)) -> Result<(), Refusal> {
        let mut paused = state.paused.clone();
        change(&mut paused);
        let disk = OnDisk { version: VERSION, paused };
        let written = serde_json::to_vec_pretty(&disk)
            .map_err(std::io::Error::other)
            .and_then(|bytes| managed::replace(&self.file, &bytes));
        written.map_err(|e| Refusal::new(Reason::Internal, format!("cannot write {}: {e}", self.file.display())))?;
        state.paused = disk.paused;
        Ok(())
    }
}

fn read(file: &std::path::Path) -> Result<BTreeMap<String, Pause>, String> {
    match std::fs::read(file) {
        Ok(bytes) => {
            let disk: OnDisk = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
            if disk.version == VERSION {
                Ok(disk.paused)
            } else {
                Err(format!("format version {}, wanted {VERSION}", disk.version))
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::supervise::tap::testkit::{EMPTY, white};

    fn gate() -> CameraId {
        CameraId::new("gate").unwrap()
    }

    struct Yard {
        dir: tempfile::TempDir,
        config: Config,
        health: Arc<Health>,
        clock: Arc<SimClock>,
    }

    impl Yard {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let text = "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[[camera]]\nid = \"gate\"\nnumber = 1\n\
                        uri = \"rtsp://192.0.2.7/a\"\n[[camera]]\nid = \"off\"\nnumber = 2\nuri = \"rtsp://192.0.2.8/a\"\n\
                        enabled = false\n";
            let path = dir.path().join("watchpost.toml");
            std::fs::write(&path, text).unwrap();
            let config = crate::config::load(&path).unwrap();
            Self { dir, config, health: Health::new(), clock: SimClock::at(TimeMs(1_800_000_000_000)) }
        }

        fn desk(&self) -> Arc<Desk> {
            Desk::open(&self.config, &self.health, &Clock::of(self.clock.clone()))
        }
    }

    #[test]
    fn a_pause_outlives_a_restart_and_ends_by_itself() {
        let yard = Yard::new();
        let until = TimeMs(1_800_000_060_000);
        yard.desk().pause(&gate(), Some(until)).unwrap();
        let again = yard.desk();
        assert_eq!(again.pause_of(&gate()).unwrap(), "paused until 2027-01-15T08:01:00.000Z");
        yard.clock.advance(Duration::from_secs(59));
        again.end_pauses();
        assert!(again.pause_of(&gate()).is_some());
        yard.clock.advance(Duration::from_secs(1));
        again.end_pauses();
        assert!(again.pause_of(&gate()).is_none() && yard.desk().pause_of(&gate()).is_none());
        assert_eq!(again.pause(&gate(), Some(until)).unwrap_err().reason, Reason::Arguments);
    }

    #[test]
    fn a_pause_without_an_end_lasts_until_it_is_resumed() {
        let yard = Yard::new();
        let desk = yard.desk();
        desk.pause(&gate(), None).unwrap();
        yard.clock.advance(Duration::from_hours(9_000));
        desk.end_pauses();
        assert!(desk.pause_of(&gate()).unwrap().contains("resumes"));
        desk.resume(&gate()).unwrap();
        assert!(desk.pause_of(&gate()).is_none() && yard.desk().pause_of(&gate()).is_none());
    }

    #[test]
    fn cameras_that_are_not_there_or_switched_off_are_refused_by_name() {
        let yard = Yard::new();
        let (desk, nowhere, off) = (yard.desk(), CameraId::new("nowhere").unwrap(), CameraId::new("off").unwrap());
        for (id, reason) in [(&nowhere, Reason::NotFound), (&off, Reason::Conflict)] {
            for refusal in [desk.pause(id, None), desk.resume(id), desk.snapshot(id).map(drop), desk.reopen(id)] {
                let refusal = refusal.unwrap_err();
                assert_eq!(refusal.reason, reason);
                assert!(refusal.text.contains(id.as_str()), "{refusal}");
            }
        }
        let refusal = desk.snapshot(&gate()).unwrap_err();
        assert!(refusal.reason == Reason::Conflict && refusal.text.contains("being opened"), "{refusal}");
        assert!(!managed::folder(&yard.dir.path().join("data")).join("paused.json").exists());
    }

    #[test]
    fn a_pause_waits_for_the_thread_to_end() {
        let yard = Yard::new();
        let desk = yard.desk();
        let _tap = desk.begun(&gate());
        let asks = Arc::clone(&desk);
        let asking = std::thread::spawn(move || asks.pause(&gate(), None));
        while desk.pause_of(&gate()).is_none() {
            std::thread::yield_now();
        }
        assert!(!asking.is_finished());
        desk.ended(&gate());
        asking.join().unwrap().unwrap();
    }

    #[test]
    fn a_snapshot_is_of_the_next_frame_of_a_camera_that_gives_some() {
        let yard = Yard::new();
        let desk = yard.desk();
        let tap = desk.begun(&gate());
        assert!(desk.snapshot(&gate()).unwrap_err().text.contains("being opened"));
        yard.health.camera(&gate()).set_state(CameraState::Online);
        let asks = Arc::clone(&desk);
        let asking = std::thread::spawn(move || asks.snapshot(&gate()));
        while !asking.is_finished() {
            tap.serve(&white(), &[], false, &EMPTY);
            std::thread::yield_now();
        }
        let picture = image::load_from_memory(&asking.join().unwrap().unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (64, 48));
        yard.health.camera(&gate()).set_state(CameraState::Offline("its cable".to_owned()));
        assert!(desk.snapshot(&gate()).unwrap_err().text.contains("its cable"));
        desk.ended(&gate());
        assert!(desk.live(&gate()).is_err());
    }
}
