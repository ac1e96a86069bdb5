//! What is asked of single cameras from outside their threads: a pause, opening anew, a picture of now.
//!
//! Pauses are on disk (`data_dir/managed/paused.json`) before they are granted, so that they outlive a restart; one with
//! an end is over by itself. A clock that is not set ends no pause: nobody knows the time. The [`Crew`](super::crew)
//! looks here on every round and does what is asked; the asking thread waits until it is done, some seconds at most.
//!
//! A picture is taken by a [`Tap`] at the camera's own thread, from the next frame that comes, behind the privacy masks.
//! As long as nobody asks, a tap costs a frame the reading of one flag.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::camera::idle::Idle;
use crate::clock::Clock;
use crate::command::Refusal;
use crate::config::{Config, managed};
use crate::console::{Live, Mark};
use crate::domain::{CameraId, Class, ClockState, Frame, Polygon, Reason, Rect, TimeMs};
use crate::health::{CameraState, Health};
use crate::vision::analyser::Marked;
use crate::vision::mask::{Mask, Seen};
use crate::vision::pictures;

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

/// What was made of a frame, or why nothing.
pub(super) type Made<T> = Result<T, String>;

/// What the console has to know of a frame; asked for when somebody looks.
pub(super) struct Sight<'a> {
    /// What is followed in it.
    pub(super) marks: &'a dyn Fn() -> Vec<Marked>,
    /// What covers every person in it, followed or not.
    pub(super) persons: &'a dyn Fn(&Seen<'_>) -> Made<Vec<Rect>>,
}

/// Most who wait for a picture of one camera; the oldest of more has given up.
const MOST_WAITING: usize = 8;
/// A JPEG.
type Picture = Made<Vec<u8>>;

/// Where a camera's thread hands out a picture when somebody wants one.
#[derive(Debug, Default)]
pub(super) struct Tap {
    wanted: AtomicBool,
    asked: Mutex<Vec<SyncSender<Picture>>>,
    watching: Mutex<Vec<SyncSender<Made<Live>>>>,
    /// What wakes the camera, where it may be idle: a picture of now is not to wait for its next key frame.
    idle: Mutex<Option<Arc<Idle>>>,
}

impl Tap {
    /// Asks for the next frame. The answer fits into the channel: nobody waits for whoever asked.
    fn ask(&self) -> Receiver<Picture> {
        self.want(&self.asked)
    }

    /// The same, for the console.
    fn watch(&self) -> Receiver<Made<Live>> {
        self.want(&self.watching)
    }

    fn want<T>(&self, asked: &Mutex<Vec<SyncSender<T>>>) -> Receiver<T> {
        let (to, from) = sync_channel(1);
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Who gave up is still here while the camera gives nothing.
        if asked.len() >= MOST_WAITING {
            asked.remove(0);
        }
        asked.push(to);
        drop(asked);
        self.wanted.store(true, Ordering::Release);
        if let Some(idle) = &*self.idle.lock().unwrap_or_else(PoisonError::into_inner) {
            idle.wake();
        }
        from
    }

    /// Whoever asks wakes `idle`.
    pub(super) fn rouses(&self, idle: Option<Arc<Idle>>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = idle;
    }

    /// Called with every frame; hands it out, as it may be seen, to all who asked. `elsewhere`: the camera was moved, so that masks
    /// lie wrong and a camera that has some gives no picture.
    pub(super) fn serve(&self, frame: &Frame, masks: &[Polygon], elsewhere: bool, sight: &Sight<'_>) {
        if !self.wanted.load(Ordering::Relaxed) || !self.wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let watching = std::mem::take(&mut *self.watching.lock().unwrap_or_else(PoisonError::into_inner));
        let may_be_seen = if elsewhere && !masks.is_empty() {
            Err("it was moved or its view changed, so that its privacy masks lie wrong: no picture is given".to_owned())
        } else {
            Ok(())
        };
        give(&asked, || may_be_seen.clone().and_then(|()| picture(frame, masks)));
        give(&watching, || may_be_seen.clone().and_then(|()| live(frame, masks, sight)));
    }
}

/// Gives what is made once to all who asked for it.
fn give<T: Clone>(asked: &[SyncSender<T>], make: impl FnOnce() -> T) {
    if asked.is_empty() {
        return;
    }
    let made = make();
    for to in asked {
        // Whoever does not wait any more is gone.
        let _ = to.try_send(made.clone());
    }
}

/// A frame as the console shows it.
fn live(frame: &Frame, masks: &[Polygon], sight: &Sight<'_>) -> Made<Live> {
    let mask = Mask::new(masks.to_vec());
    let seen = mask.apply(frame).map_err(|e| e.to_string())?;
    let marks = (sight.marks)();
    let found =
        (sight.persons)(&seen).map_err(|e| format!("persons can't be looked for, so no picture is given: {e}"))?;
    let followed = marks.iter().filter(|m| m.class == Class::Person).map(|m| m.cover);
    let persons: Vec<_> = followed.chain(found).collect();
    let pictures = pictures::of_object(&seen, None, &persons).ok_or("its picture cannot be encoded")?;
    let (width, height) = seen.size();
    // The larger picture of its moment is what a plate is read on.
    let format = frame.detail().unwrap_or(frame).format;
    let size = (format.width, format.height);
    // What the masks hide is not followed; a box that reaches into one tells only where something went.
    let mark = |m: &Marked| Mark { class: m.class, rect: m.rect.relative(width, height), confirmed: m.confirmed };
    Ok(Live { jpeg: pictures.scene, size, marks: marks.iter().map(mark).collect() })
}

/// A frame, or the larger picture of its moment, as it may be seen.
fn picture(frame: &Frame, masks: &[Polygon]) -> Picture {
    let mask = Mask::new(masks.to_vec());
    let seen = mask.apply(frame).map_err(|e| e.to_string())?;
    let detail = seen.detail().map_err(|e| e.to_string())?;
    let shown = detail.as_ref().unwrap_or(&seen);
    pictures::whole(shown).ok_or_else(|| "its picture cannot be encoded".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::frame::OwnedI420;

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

    const EMPTY: Sight<'_> = Sight { marks: &Vec::new, persons: &|_| Ok(Vec::new()) };

    #[test]
    fn a_picture_comes_from_the_next_frame_and_is_masked() {
        let yard = Yard::new();
        let desk = yard.desk();
        let tap = desk.begun(&gate());
        yard.health.camera(&gate()).set_state(CameraState::Online);
        let right = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
        let white = || {
            let (format, pixels) = OwnedI420::from_rgb(&vec![255; 64 * 48 * 3], 64, 48);
            Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
        };
        tap.serve(&white(), std::slice::from_ref(&right), false, &EMPTY);
        let asks = Arc::clone(&desk);
        let asking = std::thread::spawn(move || asks.snapshot(&gate()));
        while !tap.wanted.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        tap.serve(&white(), std::slice::from_ref(&right), false, &EMPTY);
        let picture = image::load_from_memory(&asking.join().unwrap().unwrap()).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (64, 48));
        assert!(picture.get_pixel(10, 24).0[0] > 240 && picture.get_pixel(52, 24).0[0] < 20);
        // One that was moved shows what its masks should hide.
        let asks = Arc::clone(&desk);
        let asking = std::thread::spawn(move || asks.snapshot(&gate()));
        while !tap.wanted.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        tap.serve(&white(), std::slice::from_ref(&right), true, &EMPTY);
        let refusal = asking.join().unwrap().unwrap_err();
        assert!(refusal.text.contains("masks lie wrong"), "{refusal}");
        let asked = tap.ask();
        tap.serve(&white(), &[], true, &EMPTY);
        assert!(asked.recv().unwrap().is_ok(), "without masks there is nothing to hide");
    }

    #[test]
    fn what_the_console_shows_has_no_person_to_recognise() {
        let tap = Tap::default();
        // Stripes of two pixels: what is covered loses them.
        let striped = || {
            let rgb: Vec<u8> = (0..640 * 360).flat_map(|at| [if at % 640 / 2 % 2 == 0 { 255 } else { 0 }; 3]).collect();
            let (format, pixels) = OwnedI420::from_rgb(&rgb, 640, 360);
            Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
        };
        let rect = Rect::new(320.0, 90.0, 440.0, 270.0);
        let marks = || vec![Marked { class: Class::Person, rect, cover: rect.grown(20.0), confirmed: false }];
        let wanted = tap.watch();
        let blind = |_: &Seen<'_>| Err("the model gave nothing".to_owned());
        tap.serve(&striped(), &[], false, &Sight { marks: &marks, persons: &blind });
        assert!(wanted.try_recv().unwrap().unwrap_err().contains("so no picture is given: the model gave nothing"));
        // One who is followed by nothing yet, as outside the region that is looked at.
        let wanted = tap.watch();
        let stranger = |_: &Seen<'_>| Ok(vec![Rect::new(20.0, 70.0, 180.0, 290.0)]);
        tap.serve(&striped(), &[], false, &Sight { marks: &Vec::new, persons: &stranger });
        let picture = image::load_from_memory(&wanted.try_recv().unwrap().unwrap().jpeg).unwrap().to_luma8();
        let row = (60..160).map(|x| picture.get_pixel(x, 180).0[0]);
        assert!(row.clone().max().unwrap() - row.min().unwrap() < 60);
        let wanted = tap.watch();
        tap.serve(&striped(), &[], false, &Sight { marks: &marks, ..EMPTY });
        let shown = wanted.try_recv().unwrap().unwrap();
        assert_eq!((shown.size, shown.marks[0].rect), ((640, 360), rect.relative(640.0, 360.0)));
        let picture = image::load_from_memory(&shown.jpeg).unwrap().to_luma8();
        let spread = |left: u32| {
            let row = (left..left + 100).map(|x| picture.get_pixel(x, 180).0[0]);
            row.clone().max().unwrap() - row.min().unwrap()
        };
        assert!(spread(330) < 60 && spread(60) > 180, "{} {}", spread(330), spread(60));
        // Masks are black whatever lies there, and where they may lie wrong there is no picture.
        let left = Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
        let wanted = tap.watch();
        tap.serve(&striped(), std::slice::from_ref(&left), false, &EMPTY);
        let picture = image::load_from_memory(&wanted.try_recv().unwrap().unwrap().jpeg).unwrap().to_luma8();
        assert!((0..300).all(|x| picture.get_pixel(x, 180).0[0] < 24));
        let wanted = tap.watch();
        tap.serve(&striped(), std::slice::from_ref(&left), true, &EMPTY);
        assert!(wanted.try_recv().unwrap().unwrap_err().contains("masks lie wrong"));
    }
}
