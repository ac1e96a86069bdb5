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

mod accounts;
mod analysis;
mod crew;
mod delivery;
#[allow(dead_code, reason = "asked by the controls of the command room")]
mod desk;
mod lists;
pub mod machine;
pub mod models;
mod retention;
mod settings;
mod told;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::centre::carry::Carrier;
use crate::centre::publish::News;
use crate::centre::report::{self, Reporter};
use crate::centre::wire::{Gauges, StateDigests};
use crate::clock::{Challenges, Clock};
use crate::config::Config;
use crate::domain::CameraId;
use crate::health::{CameraState, Health};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Commit, Recorder, Store};
use crate::vision::{Models, model};

use accounts::Accounts;
use crew::{Crew, Maker};
use delivery::Delivery;
pub use delivery::{box_key_path, newest_keyring_seen, read_store_key, store_key_path};
use desk::Desk;
pub use lists::settings_of as list_settings;
pub use settings::{camera_settings, model_settings};

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
    /// The daemon has to start anew: what it was started with is not what is in force any more.
    pub again: bool,
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
    let (models, mut managed) = models::load(config, clock)?;
    let digests = digests(config, &models);
    let store = open_store(config, digests.state(), clock)?;
    managed.tell(&store);
    let news = News::default();
    let recorder = Recorder::start(&store, Arc::clone(&health), on_commit(&news, &health, clock))?;
    let hotlists = Arc::new(Hotlists::new());
    match store.ignored() {
        Ok(plates) => hotlists.set_ignored(plates),
        Err(error) => tracing::error!(%error, "ignore list does not open, its plates make hits: put it anew"),
    }
    let mut watch = lists::Watch::new(&config.hotlists);
    watch.look(&hotlists, &health, clock.utc());
    let gauges = gauges(config, &models, &store, &hotlists, &health);
    let carrier = Carrier::new(clock.clone());
    let mut accounts = Accounts::begin(config, &digests, &store, &health, &hotlists, &carrier);
    let reporter = reporter(digests, gauges, &store, &health, clock);
    // The session stops after everybody else: it has a flag of its own.
    let hang_up = Shutdown::new();
    let delivery = match &config.centre {
        None => None,
        Some(centre) => Some(Delivery::start(delivery::Parts {
            config,
            centre,
            outbox: store.outbox(),
            news,
            carrier: carrier.clone(),
            downward: None,
            reporter: reporter.clone(),
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
        desk: Desk::open(config, &health, clock),
        managed,
    };
    let mut crew = Crew::new(maker, Shutdown::new());
    crew.start_all();
    tracing::info!(cameras = crew.count(), version = env!("CARGO_PKG_VERSION"), "watchpost runs");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut fault = None;
    let alive = || recorder.is_running() && delivery.as_ref().is_none_or(Delivery::is_running);
    if !crew.watch(options, shutdown, &mut watch, &mut accounts, &alive) {
        // Nothing can be stored or told any more: whoever started the daemon starts it anew.
        fault = Some("the recorder's thread or the centre's session has ended by itself; see the log above");
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let again = crew.again();
    let failed = crew.stop();
    if let Err(error) = recorder.handle().flush(FLUSH_WITHIN) {
        tracing::error!(%error, "not everything became durable before the stop");
    }
    if let (Some(delivery), true) = (&delivery, options.until_eos)
        && !drained(delivery, clock, shutdown)
    {
        tracing::warn!(waiting = store.outbox().depth().entries, "the centre has not acknowledged everything");
    }
    accounts.end(fault.unwrap_or("asked to"), store.outbox().depth().entries);
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
    Ok(Summary { health, undelivered, failed, lost, again })
}

/// What the recorder does once a batch is on the disk: the session hears of it.
fn on_commit(news: &News, health: &Arc<Health>, clock: &Clock) -> Box<dyn Fn(&Commit) + Send> {
    let (told, counted, now) = (news.clone(), Arc::clone(health), clock.clone());
    Box::new(move |commit| {
        if commit.alerts > 0 {
            counted.alert_made(now.utc());
        }
        told.tell();
    })
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

fn reporter(
    digests: StateDigests,
    gauges: report::Ask,
    store: &Store,
    health: &Arc<Health>,
    clock: &Clock,
) -> Reporter {
    Reporter::new(report::Parts {
        digests,
        gauges,
        outbox: Arc::new(store.outbox()),
        health: Arc::clone(health),
        challenges: Challenges::new(clock.clone()),
        clock: clock.clone(),
    })
}

/// What health says of the machine and of the rooms that count nothing themselves.
fn gauges(
    config: &Config,
    models: &Models,
    store: &Store,
    hotlists: &Arc<Hotlists>,
    health: &Arc<Health>,
) -> report::Ask {
    let parts = machine::parts(models.runtime.library());
    let (dir, files) = (config.site.data_dir.clone(), config.hotlists.clone());
    let (store, hotlists, health) = (store.clone(), Arc::clone(hotlists), Arc::clone(health));
    Box::new(move |now| Gauges {
        disk: machine::disk(&dir),
        memory: machine::memory(),
        process: machine::process(),
        audit: store.audit_head(),
        pictures_lost: store.pictures_lost(),
        lists: lists::gauges(&files, &hotlists, &health, now),
        parts: parts.clone(),
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
        retention: config.store.retention,
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
