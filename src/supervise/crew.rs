//! The cameras' analysis threads: started, watched, restarted after a panic, stopped.
//!
//! Runs on the daemon's main thread, which also looks at the hotlist files and has deleted what was kept long enough.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::analysis::{Analysis, Ending};
use super::settings::{camera_settings, vision_settings};
use super::{LOOK_EVERY, Options, STOP_WITHIN, lists, retention, verdict};
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
}

impl Maker<'_> {
    fn start(&self, camera: camera::Settings, stop: &Shutdown) -> anyhow::Result<CameraThread> {
        let analysis = Analysis {
            vision: vision_settings(&self.config.vision, self.config.cameras.iter().find(|c| c.id == camera.id)),
            models: self.models.clone(),
            hotlists: Arc::clone(&self.hotlists),
            recorder: self.recorder.clone(),
            counters: self.health.camera(&camera.id),
            clock: self.clock.clone(),
            shutdown: stop.clone(),
            camera: camera.clone(),
        };
        let name = format!("cam-{}", camera.id);
        let handle =
            std::thread::Builder::new().name(name).spawn(move || analysis.run()).context("cannot start a thread")?;
        Ok(CameraThread { camera, handle })
    }
}

pub(super) struct CameraThread {
    camera: camera::Settings,
    handle: JoinHandle<Ending>,
}

/// The analysis threads that run.
pub(super) struct Crew<'a> {
    pub(super) threads: Vec<CameraThread>,
    failed: Vec<(CameraId, String)>,
    /// Cameras whose thread panicked, and when it is started again.
    resting: Vec<(Duration, camera::Settings)>,
    /// How often each camera's thread has panicked.
    panics: HashMap<CameraId, u32>,
    maker: Maker<'a>,
    stop: Shutdown,
}

impl<'a> Crew<'a> {
    pub(super) fn new(maker: Maker<'a>, stop: Shutdown) -> Self {
        Self { threads: Vec::new(), failed: Vec::new(), resting: Vec::new(), panics: HashMap::new(), maker, stop }
    }

    /// Starts every configured camera; one that can't be is said, and costs the others nothing.
    pub(super) fn start_all(&mut self) {
        for configured in self.maker.config.cameras.iter().filter(|c| c.enabled) {
            match camera_settings(configured, self.maker.config) {
                Ok(settings) => self.start(settings),
                Err(error) => self.fail(configured.id.clone(), causes::line(&error)),
            }
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

    /// Looks after the threads until the stop, or until no file is left to play. False: the daemon can't go on, since
    /// what `alive` asks about has ended.
    pub(super) fn watch(
        &mut self,
        options: Options,
        shutdown: &Shutdown,
        lists: &mut lists::Watch,
        alive: &dyn Fn() -> bool,
    ) -> bool {
        let mut verdicts = verdict::Verdicts::default();
        let mut sweeper = retention::Sweeper::new(self.maker.config.store.retention.clone(), &self.maker.clock);
        let mut next_look = self.maker.clock.monotonic() + lists::LOOK_EVERY;
        while !shutdown.wait(LOOK_EVERY) {
            if !alive() {
                return false;
            }
            self.collect(true);
            self.wake();
            sweeper.step(&self.maker.store, &self.maker.recorder, &self.maker.clock);
            verdicts.look(&self.maker.health, self.maker.clock.monotonic());
            if options.until_eos && self.threads.iter().all(|t| t.camera.uri.is_live()) {
                return true;
            }
            if self.maker.clock.monotonic() >= next_look {
                lists.look(&self.maker.hotlists, &self.maker.health, self.maker.clock.utc());
                next_look = self.maker.clock.monotonic() + lists::LOOK_EVERY;
            }
        }
        true
    }

    /// Takes the threads that ended; one that panicked is started again when `restart` says so.
    fn collect(&mut self, restart: bool) {
        let threads = std::mem::take(&mut self.threads);
        for thread in threads {
            if !thread.handle.is_finished() {
                self.threads.push(thread);
                continue;
            }
            let camera = thread.camera;
            match thread.handle.join() {
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
