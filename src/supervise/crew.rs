//! The analysis threads, one a camera: starts them, watches them, stops and starts single ones when asked to.
//!
//! A thread that panicked is started again after a rest; one that does nothing any more is left behind and another one
//! takes its place, a few times ([`hangs`](super::hangs)); a camera that can't be started is said and costs the others nothing. What is
//! asked of single cameras from outside (a pause, opening anew) comes by the [`Desk`], which is looked
//! at on every round of the watching thread. Called by `supervise` alone, on that thread.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::accounts::Accounts;
use super::afterwards::After;
use super::analysis::{Analysis, Ending};
use super::clips::Clips;
use super::desk::Desk;
use super::hangs::{Hangs, MOST_HANGS, Seen};
use super::models::Managed;
use super::models::swap::InUse;
use super::probation::Probation;
use super::second::Looks;
use super::settings::{camera_settings, vision_settings};
use super::views::Keeper;
use super::watchdog::{Steps, Watchdog};
use super::workers::Workers;
use super::{LOOK_EVERY, STOP_WITHIN, lists, retention, verdict};
use crate::camera;
use crate::causes;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::CameraId;
use crate::health::pulse::{Part, Pulse, Silence};
use crate::health::{CameraState, Counter, Health};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{RecorderHandle, Store};
use crate::vision::Models;

/// How long an analysis thread may be without a sign of life: opening a source and waiting for the turn of a model take longest.
const SILENT_WITHIN: Duration = Duration::from_secs(30);
/// So many threads that hang are put up with, of three cameras at least; with one more the daemon is better started anew.
const MOST_LEFT: usize = 8;
/// How long other models may take to be loaded.
const LOAD_WITHIN: Duration = Duration::from_mins(3);

/// Makes the analysis threads.
pub(super) struct Maker<'a> {
    pub(super) config: &'a Config,
    pub(super) models: InUse,
    /// Told of models that take over.
    pub(super) on_models: &'a dyn Fn(&Models),
    /// What commands have asked for.
    pub(super) after: After,
    pub(super) hotlists: Arc<Hotlists>,
    pub(super) recorder: RecorderHandle,
    pub(super) store: Store,
    pub(super) health: Arc<Health>,
    pub(super) clock: Clock,
    pub(super) desk: Arc<Desk>,
    pub(super) managed: Managed,
    pub(super) probation: Option<Arc<Probation>>,
    pub(super) clips: Clips,
    pub(super) looks: Looks,
    pub(super) views: &'a Keeper,
    pub(super) dog: &'a Watchdog,
}

impl Maker<'_> {
    fn start(&self, camera: camera::Settings, stop: &Shutdown) -> anyhow::Result<CameraThread> {
        // A thread that is started again keeps what its camera has sent: its source clears it.
        let camera = camera.with_ring();
        let stop = stop.child();
        let configured = self.config.cameras.iter().find(|c| c.id == camera.id);
        let name = format!("cam-{}", camera.id);
        let pulse = self.health.pulses.of(name.as_str(), Part::Camera(camera.id.clone()), SILENT_WITHIN);
        let analysis = Analysis {
            pulse: pulse.clone(),
            vision: vision_settings(self.config, configured),
            views: configured.and_then(|configured| self.views.door(configured)),
            models: self.models.clone(),
            hotlists: Arc::clone(&self.hotlists),
            recorder: self.recorder.clone(),
            counters: self.health.camera(&camera.id),
            clock: self.clock.clone(),
            shutdown: stop.clone(),
            camera: camera.clone(),
            tap: self.desk.begun(&camera.id),
            clips: self.clips.clone(),
            looks: self.looks.clone(),
            health: Arc::clone(&self.health),
        };
        let handle = std::thread::Builder::new().name(name).spawn(move || analysis.run());
        match handle.context("cannot start a thread") {
            Ok(handle) => Ok(CameraThread { camera, handle, stop, pulse }),
            Err(error) => {
                self.desk.ended(&camera.id);
                Err(error)
            }
        }
    }
}

struct CameraThread {
    camera: camera::Settings,
    handle: JoinHandle<Ending>,
    stop: Shutdown,
    pulse: Pulse,
}

/// The analysis threads that run.
pub(super) struct Crew<'a> {
    threads: Vec<CameraThread>,
    failed: Vec<(CameraId, String)>,
    /// Cameras whose thread panicked, and when it is started again.
    resting: Vec<(Duration, camera::Settings)>,
    /// Cameras that do not run since they are paused.
    paused: BTreeSet<CameraId>,
    /// Threads that hang, and were left behind.
    left: Vec<(CameraId, JoinHandle<Ending>)>,
    /// How often each camera's thread has panicked, or hung.
    panics: HashMap<CameraId, u32>,
    hangs: Hangs,
    maker: Maker<'a>,
    stop: Shutdown,
    /// Where cameras are decoded.
    workers: Workers,
    /// The daemon has to start anew.
    again: bool,
}

impl<'a> Crew<'a> {
    pub(super) fn new(maker: Maker<'a>, stop: Shutdown) -> Self {
        Self {
            workers: Workers::of(maker.config, &maker.clock, &maker.health),
            threads: Vec::new(),
            failed: Vec::new(),
            resting: Vec::new(),
            paused: BTreeSet::new(),
            left: Vec::new(),
            panics: HashMap::new(),
            hangs: Hangs::default(),
            maker,
            stop,
            again: false,
        }
    }

    /// Whether the watch ended because the daemon has to start anew.
    pub(super) fn again(&self) -> bool {
        self.again
    }

    /// How many threads run.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Starts every configured camera that is not paused; one that can't be is said, and costs the others nothing.
    pub(super) fn start_all(&mut self) {
        for configured in self.maker.config.cameras.iter().filter(|c| c.enabled) {
            match self.maker.desk.pause_of(&configured.id) {
                Some(reason) => self.rest_paused(&configured.id, reason),
                None => self.open(&configured.id),
            }
        }
    }

    /// Looks after the threads until the stop, or until no file is left to play. False: the daemon can't go on, since
    /// what `alive` asks about has ended.
    pub(super) fn watch(
        &mut self,
        until_eos: bool,
        shutdown: &Shutdown,
        lists: &mut lists::Watch,
        accounts: &mut Accounts,
        alive: &dyn Fn() -> bool,
    ) -> bool {
        let mut verdicts = verdict::Verdicts::default();
        let mut sweeper = retention::Sweeper::new(&self.maker.clock);
        let mut next_look = self.maker.clock.monotonic() + lists::LOOK_EVERY;
        let pulse = self.maker.dog.main().clone();
        while !shutdown.wait(LOOK_EVERY) {
            pulse.beats("a look around");
            self.collect(true);
            if !alive() || !self.leave_silent() {
                return false;
            }
            self.maker.dog.tell();
            self.wake();
            self.serve();
            sweeper.step(&self.maker.store, &self.maker.recorder, &self.maker.clock);
            accounts.look();
            verdicts.look(&self.maker.health, self.maker.clock.monotonic());
            if (self.models_changed() && !self.swap_models()) || self.is_rolled_back() {
                self.again = true;
                return true;
            }
            if until_eos && self.threads.iter().all(|t| t.camera.uri.is_live()) {
                return true;
            }
            if self.maker.clock.monotonic() >= next_look {
                lists.look(&self.maker.hotlists, &self.maker.health, self.maker.clock.utc());
                next_look = self.maker.clock.monotonic() + lists::LOOK_EVERY;
            }
        }
        true
    }

    /// Looks after models on probation; true when others are in force on the disk than those that are loaded.
    fn models_changed(&mut self) -> bool {
        let panics = self.panics.values().sum();
        let Maker { managed, store, health, after, models, .. } = &mut self.maker;
        after.take_models() || managed.look(store, health, panics, models.now().hung())
    }

    /// Loads the models that are in force beside those that run, and has each camera take them between two frames. False:
    /// none could be loaded.
    fn swap_models(&mut self) -> bool {
        let panics = self.panics.values().sum();
        let Maker { managed, store, health, config, models, on_models, dog, .. } = &mut self.maker;
        dog.main().takes("the loading of other models", LOAD_WITHIN);
        let before = models.now();
        if before.hung() > 0 {
            // Nobody waits for a turn with what does not come back.
            before.give_up();
        }
        drop(before);
        let loaded = match managed.load_anew(config, health, panics) {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = causes::line(&error);
                tracing::error!(error, "no models can be loaded beside those that run: the daemon starts anew");
                return false;
            }
        };
        managed.tell(store);
        on_models(&loaded);
        models.put(loaded);
        tracing::info!(models = managed.describe(), "other models take over between two frames");
        true
    }

    /// Whether a configuration on probation was rolled back.
    fn is_rolled_back(&self) -> bool {
        let Maker { store, health, config, probation, .. } = &self.maker;
        probation.as_ref().is_some_and(|p| p.look(store, health, config.centre.is_some()))
    }

    /// Opens a configured camera with its credential as it is now.
    fn open(&mut self, id: &CameraId) {
        self.hangs.forget(id);
        let Some(configured) = self.maker.config.cameras.iter().find(|c| c.id == *id) else { return };
        match camera_settings(configured, self.maker.config) {
            Ok(settings) => self.start(settings),
            Err(error) => self.fail(id.clone(), causes::line(&error)),
        }
    }

    fn start(&mut self, camera: camera::Settings) {
        let id = camera.id.clone();
        match self.maker.start(self.workers.given(camera), &self.stop) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.fail(id, causes::line(&error)),
        }
    }

    fn fail(&mut self, camera: CameraId, why: String) {
        tracing::error!(%camera, why, "camera given up");
        self.maker.health.camera(&camera).set_state(CameraState::Offline(why.clone()));
        self.failed.push((camera, why));
    }

    fn rest_paused(&mut self, camera: &CameraId, reason: String) {
        tracing::info!(%camera, reason, "camera paused");
        self.maker.health.camera(camera).set_state(CameraState::Paused(reason));
        self.paused.insert(camera.clone());
        self.hangs.forget(camera);
    }

    /// Pauses, resumes and reopens what was asked for.
    fn serve(&mut self) {
        let desk = Arc::clone(&self.maker.desk);
        desk.end_pauses();
        for thread in &self.threads {
            if desk.pause_of(&thread.camera.id).is_some() || desk.wants_reopening(&thread.camera.id) {
                thread.stop.trigger();
            }
        }
        let (paused, resting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.resting).into_iter().partition(|(_, c)| desk.pause_of(&c.id).is_some());
        self.resting = resting;
        let failed: Vec<CameraId> = self.failed.iter().map(|(id, _)| id.clone()).collect();
        for id in paused.into_iter().map(|(_, camera)| camera.id).chain(failed) {
            if let Some(reason) = desk.pause_of(&id) {
                self.failed.retain(|(f, _)| *f != id);
                self.rest_paused(&id, reason);
            } else if desk.wants_reopening(&id) {
                self.failed.retain(|(f, _)| *f != id);
                desk.reopened(&id);
                self.open(&id);
            }
        }
        for id in self.paused.clone() {
            if let Some(reason) = desk.pause_of(&id) {
                // It may have another end than before.
                self.maker.health.camera(&id).set_state(CameraState::Paused(reason));
            } else {
                tracing::info!(camera = %id, "camera resumed");
                self.paused.remove(&id);
                self.maker.health.camera(&id).set_state(CameraState::Starting);
                self.open(&id);
            }
        }
    }

    /// Takes the threads that ended; one that panicked is started again when `restart` says so, one that was stopped for
    /// itself as the desk says.
    fn collect(&mut self, restart: bool) {
        let desk = Arc::clone(&self.maker.desk);
        for thread in std::mem::take(&mut self.threads) {
            if !thread.handle.is_finished() {
                self.threads.push(thread);
                continue;
            }
            let camera = thread.camera;
            desk.ended(&camera.id);
            let ending = thread.handle.join();
            if restart && ending.is_ok() && thread.stop.is_set() {
                if let Some(reason) = desk.pause_of(&camera.id) {
                    self.rest_paused(&camera.id, reason);
                } else {
                    desk.reopened(&camera.id);
                    self.open(&camera.id);
                }
                continue;
            }
            match ending {
                Ok(Ending::Done) => {}
                Ok(Ending::Failed(why)) => self.failed.push((camera.id, why)),
                Err(_) => {
                    let text = "its analysis thread panicked".to_owned();
                    if restart && camera.uri.is_live() { self.rest(camera, text) } else { self.fail(camera.id, text) }
                }
            }
        }
    }

    /// Leaves threads behind that do nothing any more; another one takes the place of a live camera's. False: no camera makes
    /// progress, or there are too many that hang, and the daemon has to end.
    fn leave_silent(&mut self) -> bool {
        self.left.retain(|(_, thread)| !thread.is_finished());
        // Asked once: all are judged by the same look.
        let silent: Vec<Option<Silence>> = self.threads.iter().map(|thread| thread.pulse.silence()).collect();
        let Some(first) = silent.iter().flatten().next() else { return true };
        let live = self.threads.iter().zip(&silent).filter(|(thread, _)| thread.camera.uri.is_live());
        let live = live.map(|(thread, silence)| self.seen(&thread.camera.id, silence.is_some()));
        let resting = self.resting.iter().map(|(_, camera)| self.seen(&camera.id, false));
        if self.hangs.is_end(&live.chain(resting).collect::<Vec<_>>(), self.maker.clock.monotonic()) {
            let Silence { name, doing, lasts, .. } = first;
            let seconds = lasts.as_secs();
            let text =
                format!("no camera makes progress: {name} does nothing any more, for {seconds} s, last at: {doing}");
            self.maker.dog.give_up(&text);
            return false;
        }
        for (thread, silence) in std::mem::take(&mut self.threads).into_iter().zip(silent) {
            match silence {
                Some(silence) => self.leave(thread, &silence),
                None => self.threads.push(thread),
            }
        }
        if self.left.len() > MOST_LEFT {
            let text = format!("{} analysis threads of several cameras hang, see the log above", self.left.len());
            self.maker.dog.give_up(&text);
            return false;
        }
        true
    }

    fn seen<'b>(&self, camera: &'b CameraId, silent: bool) -> Seen<'b> {
        let counters = self.maker.health.camera(camera);
        let frames = [&counters.analysed, &counters.rested, &counters.unanalysed].map(Counter::get);
        let left = self.left.iter().filter(|(of, _)| of == camera).count();
        Seen { camera, silent, frames: frames.iter().sum(), left: u32::try_from(left).unwrap_or(u32::MAX) }
    }

    fn leave(&mut self, thread: CameraThread, silence: &Silence) {
        let CameraThread { camera, handle, stop, pulse } = thread;
        let (doing, seconds) = (silence.doing, silence.lasts.as_secs());
        tracing::error!(camera = %camera.id, doing, seconds, "analysis thread does nothing any more, left behind");
        pulse.leave();
        stop.trigger();
        self.maker.health.threads_left.inc();
        self.maker.desk.ended(&camera.id);
        let text = format!("its analysis thread hung for {seconds} s, last at: {doing}");
        // A file's second pass would count everything twice.
        let goes_on = camera.uri.is_live().then(|| {
            let seen = self.seen(&camera.id, true);
            self.hangs.note(&seen, self.maker.clock.monotonic())
        });
        self.left.push((camera.id.clone(), handle));
        match goes_on {
            Some(true) => self.rest(camera, text),
            Some(false) => {
                *self.panics.entry(camera.id.clone()).or_default() += 1;
                self.maker.health.camera(&camera.id).failed.inc();
                self.fail(
                    camera.id,
                    format!("{text}; it hung {MOST_HANGS} times, given up: pause and resume it, or restart the daemon"),
                );
            }
            None => self.fail(camera.id, text),
        }
    }

    /// A thread panicked or hung: another one is started after 1 s, 2 s, 4 s … 32 s.
    fn rest(&mut self, camera: camera::Settings, why: String) {
        let panics = self.panics.entry(camera.id.clone()).or_default();
        let wait = Duration::from_secs(1 << (*panics).min(5));
        *panics += 1;
        tracing::error!(camera = %camera.id, ?wait, why, "analysis thread failed, will be started again");
        let counters = self.maker.health.camera(&camera.id);
        counters.failed.inc();
        counters.set_state(CameraState::Offline(why));
        self.resting.push((self.maker.clock.monotonic() + wait, camera));
    }

    /// Starts those whose rest is over.
    fn wake(&mut self) {
        let now = self.maker.clock.monotonic();
        for (_, camera) in self.resting.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.start(camera);
        }
    }

    /// Stops all and waits for them, but not for ever: with a full disk a thread can be stuck at the recorder's queue.
    pub(super) fn stop(mut self, steps: &Steps) -> Stopped {
        self.stop.trigger();
        let patience = self.maker.clock.monotonic() + steps.next("the end of the cameras", STOP_WITHIN);
        while !self.threads.is_empty() && self.maker.clock.monotonic() < patience {
            self.collect(false);
            // Short: a thread ends with its frame. `JoinHandle` has no join with a bound.
            std::thread::sleep(Duration::from_millis(5));
        }
        let hung = self.left.into_iter().map(|(camera, handle)| Late { camera, handle: Arc::new(handle), pulse: None });
        let late = self.threads.into_iter().map(|thread| {
            let CameraThread { camera, handle, pulse, .. } = thread;
            Late { camera: camera.id, handle: Arc::new(handle), pulse: Some(pulse) }
        });
        let late: Vec<Late> = hung.chain(late).collect();
        for Late { handle, .. } in &late {
            let handle = Arc::clone(handle);
            let name = handle.thread().name().unwrap_or("a camera's").to_owned();
            self.maker.dog.leaves_until(name, move || handle.is_finished());
        }
        Stopped { failed: self.failed, late, managed: self.maker.managed }
    }
}

/// Cameras that failed, with the reason.
pub(super) type Failed = Vec<(CameraId, String)>;

/// The cameras when they were stopped, some threads of which may not have ended yet.
pub(super) struct Stopped {
    failed: Vec<(CameraId, String)>,
    late: Vec<Late>,
    managed: Managed,
}

struct Late {
    camera: CameraId,
    handle: Arc<JoinHandle<Ending>>,
    /// Of one that was not left behind before the stop.
    pulse: Option<Pulse>,
}

impl Stopped {
    /// The recorder has ended as well, which lets go of who waited at its queue: looks again, for `at_most` so long.
    pub(super) fn end(mut self, dog: &Watchdog, clock: &Clock, at_most: Duration) -> Failed {
        let until = clock.monotonic() + at_most;
        self.late.retain(|late| !late.is_over());
        while !self.late.is_empty() && clock.monotonic() < until {
            std::thread::sleep(Duration::from_millis(5));
            self.late.retain(|late| !late.is_over());
        }
        let mut hang = dog.fault().is_some() && !dog.is_recorders_fault();
        for Late { camera, pulse, .. } in self.late {
            // Who waits for the recorder says nothing of the models.
            hang |= pulse.as_ref().is_none_or(|pulse| !pulse.is_resting());
            if pulse.is_some() {
                tracing::error!(%camera, "analysis thread did not stop, left behind");
                self.failed.push((camera, "its analysis thread did not stop".into()));
            }
        }
        if hang {
            self.managed.spoil_end();
        }
        self.failed
    }
}

impl Late {
    fn is_over(&self) -> bool {
        self.handle.is_finished()
    }
}
