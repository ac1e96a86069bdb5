//! The analysis threads, one a camera: starts them, watches them, stops and starts single ones when asked to.
//!
//! A thread that panicked is started again after a rest; a camera that can't be started is said and costs the others
//! nothing. What is asked of single cameras from outside (a pause, opening anew) comes by the [`Desk`], which is looked
//! at on every round of the watching thread. Called by `supervise` alone, on that thread.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::accounts::Accounts;
use super::analysis::{Analysis, Ending};
use super::desk::Desk;
use super::models::Managed;
use super::probation::Probation;
use super::settings::{camera_settings, vision_settings};
use super::{LOOK_EVERY, STOP_WITHIN, lists, retention, verdict};
use crate::camera;
use crate::causes;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::CameraId;
use crate::health::{CameraState, Health};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{RecorderHandle, Store};
use crate::vision::Models;

/// Makes the analysis threads.
pub(super) struct Maker<'a> {
    pub(super) config: &'a Config,
    pub(super) models: Models,
    pub(super) hotlists: Arc<Hotlists>,
    pub(super) recorder: RecorderHandle,
    pub(super) store: Store,
    pub(super) health: Arc<Health>,
    pub(super) clock: Clock,
    pub(super) desk: Arc<Desk>,
    pub(super) managed: Managed,
    pub(super) probation: Option<Arc<Probation>>,
}

impl Maker<'_> {
    fn start(&self, camera: camera::Settings, stop: &Shutdown) -> anyhow::Result<CameraThread> {
        let stop = stop.child();
        let analysis = Analysis {
            vision: vision_settings(&self.config.vision, self.config.cameras.iter().find(|c| c.id == camera.id)),
            models: self.models.clone(),
            hotlists: Arc::clone(&self.hotlists),
            recorder: self.recorder.clone(),
            counters: self.health.camera(&camera.id),
            clock: self.clock.clone(),
            shutdown: stop.clone(),
            camera: camera.clone(),
            tap: self.desk.begun(&camera.id),
        };
        let name = format!("cam-{}", camera.id);
        let handle = std::thread::Builder::new().name(name).spawn(move || analysis.run());
        match handle.context("cannot start a thread") {
            Ok(handle) => Ok(CameraThread { camera, handle, stop }),
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
}

/// The analysis threads that run.
pub(super) struct Crew<'a> {
    threads: Vec<CameraThread>,
    failed: Vec<(CameraId, String)>,
    /// Cameras whose thread panicked, and when it is started again.
    resting: Vec<(Duration, camera::Settings)>,
    /// Cameras that do not run since they are paused.
    paused: BTreeSet<CameraId>,
    /// How often each camera's thread has panicked.
    panics: HashMap<CameraId, u32>,
    maker: Maker<'a>,
    stop: Shutdown,
    /// The daemon has to start anew.
    again: bool,
}

impl<'a> Crew<'a> {
    pub(super) fn new(maker: Maker<'a>, stop: Shutdown) -> Self {
        Self {
            threads: Vec::new(),
            failed: Vec::new(),
            resting: Vec::new(),
            paused: BTreeSet::new(),
            panics: HashMap::new(),
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
        while !shutdown.wait(LOOK_EVERY) {
            if !alive() {
                return false;
            }
            self.collect(true);
            self.wake();
            self.serve();
            sweeper.step(&self.maker.store, &self.maker.recorder, &self.maker.clock);
            accounts.look();
            verdicts.look(&self.maker.health, self.maker.clock.monotonic());
            if self.models_changed() || self.is_rolled_back() {
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
        let Maker { managed, store, health, .. } = &mut self.maker;
        managed.look(store, health, panics)
    }

    /// Whether a configuration on probation was rolled back.
    fn is_rolled_back(&self) -> bool {
        let Maker { store, health, config, probation, .. } = &self.maker;
        probation.as_ref().is_some_and(|p| p.look(store, health, config.centre.is_some()))
    }

    /// Opens a configured camera with its credential as it is now.
    fn open(&mut self, id: &CameraId) {
        let Some(configured) = self.maker.config.cameras.iter().find(|c| c.id == *id) else { return };
        match camera_settings(configured, self.maker.config) {
            Ok(settings) => self.start(settings),
            Err(error) => self.fail(id.clone(), causes::line(&error)),
        }
    }

    fn start(&mut self, camera: camera::Settings) {
        let id = camera.id.clone();
        match self.maker.start(camera, &self.stop) {
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
                Err(_) if restart && camera.uri.is_live() => self.rest(camera),
                Err(_) => self.fail(camera.id, "its analysis thread panicked".into()),
            }
        }
    }

    /// A thread panicked: it is started again after 1 s, 2 s, 4 s … 32 s.
    fn rest(&mut self, camera: camera::Settings) {
        let panics = self.panics.entry(camera.id.clone()).or_default();
        let wait = Duration::from_secs(1 << (*panics).min(5));
        *panics += 1;
        tracing::error!(camera = %camera.id, ?wait, "analysis thread panicked, will be started again");
        let counters = self.maker.health.camera(&camera.id);
        counters.failed.inc();
        counters.set_state(CameraState::Offline("its analysis thread panicked".into()));
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
    pub(super) fn stop(mut self) -> Vec<(CameraId, String)> {
        self.stop.trigger();
        let patience = self.maker.clock.monotonic() + STOP_WITHIN;
        while !self.threads.is_empty() && self.maker.clock.monotonic() < patience {
            self.collect(false);
            // Short: a thread ends with its frame. `JoinHandle` has no join with a bound.
            std::thread::sleep(Duration::from_millis(5));
        }
        for thread in self.threads {
            tracing::error!(camera = %thread.camera.id, "analysis thread did not stop, left behind");
            self.failed.push((thread.camera.id, "its analysis thread did not stop".into()));
        }
        self.failed
    }
}
