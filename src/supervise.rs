//! The wiring: every room is started here, watched, and stopped in reverse order.
//!
//! | thread | made by | ends |
//! |---|---|---|
//! | `cam-<id>`, one a camera | [`run`] | its file is over, or the stop |
//! | `main-<id>`, one a camera with a substream | its `cam-<id>` | with that |
//! | `recorder` | `store::Recorder::start` | after the cameras: what they sent is stored |
//! | `centre` (tokio, one worker) | `delivery` | last: what is stored is told, as far as the stop allows |
//!
//! The caller's thread watches the others, looks at the hotlist files, restarts a camera's thread that panicked, and has
//! deleted what was kept long enough.
//!
//! Channels: analysis threads → recorder, bounded at 64 entries, where the sender waits (`store::recorder`); recorder →
//! session, a notification without content (`centre::publish::News`), which cannot fill up.

mod analysis;
mod delivery;
mod lists;
pub mod machine;
mod retention;
mod told;
mod verdict;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use crate::camera::{self, Credential, SourceUri};
use crate::causes;
use crate::centre::keys::refuse_exposed;
use crate::centre::publish::News;
use crate::centre::wire::{AuditHead, Gauges, StateDigests};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::{CameraId, Polygon};
use crate::health::{CameraState, Health};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Commit, Recorder, RecorderHandle, Store};
use crate::vision::{self, Models, Patterns, model};

use analysis::{Analysis, Ending};
use delivery::Delivery;
pub use delivery::{box_key_path, newest_keyring_seen, read_store_key, store_key_path};
pub use lists::settings_of as list_settings;

/// How often the watching thread looks around.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a stop waits for the analysis threads.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop waits for what is stored to become durable.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long `--until-eos` waits for the centre's last ack.
const DRAIN_WITHIN: Duration = Duration::from_mins(1);

/// How the daemon is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ends when every file camera has ended and everything is stored and delivered.
    pub until_eos: bool,
}

/// What a run did.
#[derive(Debug)]
pub struct Summary {
    /// The counters of every camera.
    pub health: Arc<Health>,
    /// Alerts that the centre had not acknowledged at the end.
    pub undelivered: u64,
    /// File cameras that could not be played, with the reason.
    pub failed: Vec<(CameraId, String)>,
    /// Entries that could not be stored.
    pub lost: usize,
}

/// Runs the box until `shutdown` is set, or, with [`Options::until_eos`], until its files are over.
///
/// # Errors
/// What cannot be started: store, models, keys, a camera's address. Once everything runs, faults are answered, not
/// returned.
pub fn run(config: &Config, options: Options, clock: &Clock, shutdown: &Shutdown) -> anyhow::Result<Summary> {
    let health = Health::new();
    for camera in config.cameras.iter().filter(|c| !c.enabled) {
        health.camera(&camera.id).set_state(CameraState::Disabled);
    }
    let models = Models::load(&model_settings(&config.vision)?)?;
    let digests = digests(config, &models);
    let store = open_store(config, digests.state(), clock)?;
    let news = News::default();
    let (told, counted, now) = (news.clone(), Arc::clone(&health), clock.clone());
    let on_commit = move |commit: &Commit| {
        if commit.alerts > 0 {
            counted.alert_made(now.utc());
        }
        told.tell();
    };
    let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(on_commit))?;
    let hotlists = Arc::new(Hotlists::new());
    let mut watch = lists::Watch::new(&config.hotlists);
    watch.look(&hotlists, &health, clock.utc());
    // The session stops after everybody else: it has a flag of its own.
    let hang_up = Shutdown::new();
    let delivery = match &config.centre {
        None => None,
        Some(centre) => Some(Delivery::start(delivery::Parts {
            config,
            centre,
            outbox: store.outbox(),
            news,
            digests,
            gauges: gauges(config, &models, &store, &hotlists, &health),
            health: Arc::clone(&health),
            clock: clock.clone(),
            shutdown: hang_up.clone(),
        })?),
    };
    let maker = Maker {
        config,
        models,
        hotlists,
        recorder: recorder.handle(),
        store: store.clone(),
        health: Arc::clone(&health),
        clock: clock.clone(),
    };
    let cameras = Shutdown::new();
    let mut crew = Crew::new(maker, cameras);
    crew.start_all();
    tracing::info!(cameras = crew.threads.len(), version = env!("CARGO_PKG_VERSION"), "watchpost runs");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut fault = None;
    let alive = || recorder.is_running() && delivery.as_ref().is_none_or(Delivery::is_running);
    if !crew.watch(options, shutdown, &mut watch, &alive) {
        // Nothing can be stored or told any more: whoever started the daemon starts it anew.
        fault = Some("the recorder's thread or the centre's session has ended by itself; see the log above");
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let failed = crew.stop();
    if let Err(error) = recorder.handle().flush(FLUSH_WITHIN) {
        tracing::error!(%error, "not everything became durable before the stop");
    }
    if let (Some(delivery), true) = (&delivery, options.until_eos)
        && !drained(delivery, clock, shutdown)
    {
        tracing::warn!(waiting = store.outbox().depth().entries, "the centre has not acknowledged everything");
    }
    hang_up.trigger();
    if let Some(delivery) = delivery {
        delivery.end();
    }
    let lost = recorder.stop();
    tracing::info!(undelivered = store.outbox().depth().entries, lost, "watchpost stopped");
    if let Some(fault) = fault {
        anyhow::bail!(fault);
    }
    // Without a centre hits stay here on purpose: nothing waits for anybody.
    let undelivered = config.centre.as_ref().map_or(0, |_| store.outbox().depth().entries);
    Ok(Summary { health, undelivered, failed, lost })
}

/// Waits until the outbox is empty, at most [`DRAIN_WITHIN`], or until the stop is asked for.
fn drained(delivery: &Delivery, clock: &Clock, shutdown: &Shutdown) -> bool {
    let end = clock.monotonic() + DRAIN_WITHIN;
    while clock.monotonic() < end && !shutdown.is_set() {
        if delivery.drained(LOOK_EVERY) {
            return true;
        }
    }
    false
}

/// Makes the analysis threads.
struct Maker<'a> {
    config: &'a Config,
    models: Models,
    hotlists: Arc<Hotlists>,
    recorder: RecorderHandle,
    store: Store,
    health: Arc<Health>,
    clock: Clock,
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

struct CameraThread {
    camera: camera::Settings,
    handle: JoinHandle<Ending>,
}

/// The analysis threads that run.
struct Crew<'a> {
    threads: Vec<CameraThread>,
    failed: Vec<(CameraId, String)>,
    /// Cameras whose thread panicked, and when it is started again.
    resting: Vec<(Duration, camera::Settings)>,
    /// How often each camera's thread has panicked.
    panics: HashMap<CameraId, u32>,
    maker: Maker<'a>,
    stop: Shutdown,
}

impl<'a> Crew<'a> {
    fn new(maker: Maker<'a>, stop: Shutdown) -> Self {
        Self { threads: Vec::new(), failed: Vec::new(), resting: Vec::new(), panics: HashMap::new(), maker, stop }
    }

    /// Starts every configured camera; one that can't be is said, and costs the others nothing.
    fn start_all(&mut self) {
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
    fn watch(
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
    fn stop(mut self) -> Vec<(CameraId, String)> {
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

/// What health says of the machine and of the rooms that count nothing themselves.
fn gauges(
    config: &Config,
    models: &Models,
    store: &Store,
    hotlists: &Arc<Hotlists>,
    health: &Arc<Health>,
) -> delivery::Ask {
    let parts = machine::parts(models.runtime.library());
    let (dir, files) = (config.site.data_dir.clone(), config.hotlists.clone());
    let (store, hotlists, health) = (store.clone(), Arc::clone(hotlists), Arc::clone(health));
    Box::new(move |now| {
        let (number, sha256) = store.audit_head();
        Gauges {
            disk: machine::disk(&dir),
            memory: machine::memory(),
            process: machine::process(),
            audit: AuditHead { number, sha256 },
            pictures_lost: store.pictures_lost(),
            lists: lists::gauges(&files, &hotlists, &health, now),
            parts: parts.clone(),
        }
    })
}

/// Where the store lies.
pub fn store_dir(config: &Config) -> PathBuf {
    config.site.data_dir.join("store")
}

/// Opens the store as configured; `state` is what alerts carry of models and config.
///
/// # Errors
/// No key, no room, a store of another version, or one that another process holds.
pub fn open_store(config: &Config, state: [u8; 4], clock: &Clock) -> anyhow::Result<Store> {
    let key = read_store_key(config).context("the store's key; `watchpost init` makes it")?;
    let settings = crate::store::Settings {
        commit_interval_ms: config.store.commit_interval_ms,
        commit_rows: usize::try_from(config.store.commit_rows).unwrap_or(64),
        cache_bytes: config.store.cache_mib << 20,
        outbox_max_bytes: config.store.outbox_mib << 20,
        outbox_max_entries: config.store.outbox_entries,
        reads_kept_hours: u32::try_from(config.store.retention.reads_hours).unwrap_or(u32::MAX),
        state,
        ..crate::store::Settings::default()
    };
    Ok(Store::open(&store_dir(config), key, settings, clock.clone())?)
}

/// What the `state` of alerts stands for.
fn digests(config: &Config, models: &Models) -> StateDigests {
    let of = |manifest: &model::Manifest| (manifest.name.clone(), manifest.digest());
    StateDigests::new(config.digest, models.manifests().map(of))
}

/// What the model room wants to know.
///
/// # Errors
/// When no folder is configured and none is where they usually lie.
pub fn model_settings(vision: &config::Vision) -> Result<model::Settings, vision::Error> {
    let workers = match usize::try_from(vision.workers) {
        Ok(n) if n > 0 => n,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let folder = match &vision.models {
        Some(folder) => folder.clone(),
        None => model::usual_folder()?,
    };
    Ok(model::Settings {
        folder,
        detector: vision.detector.clone(),
        reader: vision.reader.clone(),
        corners: match vision.corners.as_str() {
            "" => model::Corrector::Off,
            model::Corrector::USUAL => model::Corrector::Usual,
            name => model::Corrector::Named(name.to_owned()),
        },
        vehicles: vision.vehicles.clone(),
        library: vision.onnxruntime.clone(),
        score: vision.detect_threshold.map(small),
        workers,
    })
}

/// What the vision room wants to know of a camera.
fn vision_settings(vision: &config::Vision, camera: Option<&config::Camera>) -> vision::Settings {
    let mut settings = vision::Settings { motion_gate: vision.motion_gate, ..vision::Settings::default() };
    if let Some(camera) = camera {
        settings.motion_gate = camera.motion_gate.unwrap_or(vision.motion_gate);
        let polygons = |of: &[config::Polygon]| of.iter().cloned().map(Polygon::new).collect();
        settings.privacy_mask = polygons(&camera.privacy_mask);
        settings.roi = polygons(&camera.roi);
    }
    settings.patterns = match camera.and_then(|c| c.region.as_ref()) {
        _ if !vision.patterns => Patterns::off(),
        Some(region) => Patterns::default().expecting(region.as_str()),
        None => Patterns::default(),
    };
    if let Some(confidence) = vision.read_threshold {
        settings.tell_confidence = small(confidence);
    }
    settings
}

/// A configured number, bounded when it was read, as the rooms take it.
#[expect(clippy::cast_possible_truncation, reason = "at most 120")]
fn small(number: f64) -> f32 {
    number as f32
}

/// What the camera room wants to know, with the credential read.
///
/// # Errors
/// An address that is none, a credential that is not there. Whoever shows it names the camera.
pub fn camera_settings(camera: &config::Camera, config: &Config) -> anyhow::Result<camera::Settings> {
    let uri: SourceUri = camera.uri.parse()?;
    let mut settings = camera::Settings::new(camera.id.clone(), camera.number, uri);
    settings.pipeline.clone_from(&camera.pipeline);
    if let Some(text) = &camera.substream {
        let substream: SourceUri = text.parse()?;
        // The configuration has it for network cameras alone.
        settings.main = Some(std::mem::replace(&mut settings.uri, substream));
    }
    settings.fps = camera.fps.map(small);
    settings.rotate = camera.rotate.and_then(camera::Rotation::of_degrees);
    settings.realtime = camera.realtime;
    settings.stall_after = Duration::from_secs(camera.stall_s);
    settings.transport = camera.transport;
    settings.ca.clone_from(&camera.ca);
    if let Some(name) = &camera.credential {
        settings.credential = Some(credential(name, config)?);
    }
    Ok(settings)
}

/// Reads `user:password` from systemd's credentials directory or from `data_dir/credentials`.
fn credential(name: &str, config: &Config) -> anyhow::Result<Credential> {
    anyhow::ensure!(!name.contains('/') && !name.starts_with('.'), "credential {name:?} is no plain name");
    let own = config.site.data_dir.join("credentials").join(name);
    let systemd = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join(name));
    let path = systemd.filter(|p| p.exists()).unwrap_or(own);
    let is_missing = matches!(path.try_exists(), Ok(false));
    anyhow::ensure!(!is_missing, "credential {name:?}: no file {}; put user:password there, mode 0600", path.display());
    if path.starts_with(&config.site.data_dir) {
        refuse_exposed(&path).with_context(|| format!("credential {name:?}"))?;
    }
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(&path)
            .with_context(|| format!("credential {name:?}: cannot read {}", path.display()))?,
    );
    let line = text.lines().next().unwrap_or_default();
    let (user, password) = line
        .split_once(':')
        .with_context(|| format!("credential {name:?}: {} holds no user:password", path.display()))?;
    Ok(Credential::new(user, password))
}
