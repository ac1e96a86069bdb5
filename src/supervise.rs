//! The wiring: every room is started here, watched, and stopped in reverse order.
//!
//! | thread | made by | ends |
//! |---|---|---|
//! | `cam-<id>`, one a camera | [`run`] | its file is over, or the stop |
//! | `main-<id>`, one a camera with a substream | its `cam-<id>` | with that |
//! | `recorder` | `store::Recorder::start` | after the cameras: what they sent is stored |
//! | `command` | `command::Executor::start` | after the cameras: the command under way is done |
//! | `local`, and two a connection | `command::local` | with `command` |
//! | `centre` (tokio, one worker) | `delivery` | last: what is stored is told, as far as the stop allows |
//!
//! The caller's thread watches the others, looks at the hotlist files, restarts a camera's thread that panicked, and has
//! deleted what was kept long enough.
//!
//! Channels: analysis threads → recorder, bounded at 64 entries, where the sender waits (`store::recorder`); recorder →
//! session, a notification without content (`centre::publish::News`), which cannot fill up; session and unix socket →
//! executor, bounded at 16 commands, where `busy` is answered (`command::executor`); executor → session, letters bounded in
//! number and bytes, where the hand-over is refused (`centre::carry`); executor → a connection of the socket, 16 answers,
//! where the connection is ended (`command::local`).

mod accounts;
mod afterwards;
mod alone;
mod analysis;
mod base;
pub mod commands;
mod contact;
mod controls;
mod crew;
mod delivery;
mod desk;
pub mod keeping;
mod lists;
pub mod machine;
pub mod models;
#[allow(dead_code, reason = "wired with the commands")]
pub mod probation;
mod retention;
mod settings;
mod told;
mod verdict;
#[allow(dead_code, reason = "asked by the controls of the command room")]
mod verify;
mod wipe;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::centre::carry::Carrier;
use crate::centre::wire::StateDigests;
use crate::clock::Clock;
use crate::command::Afterwards;
use crate::config::Config;
use crate::domain::CameraId;
use crate::health::{CameraState, Health};
use crate::log::LogRing;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::vision::{Models, model};

use accounts::Accounts;
pub use afterwards::After;
pub use alone::Alone;
use base::{Base, Origin, Trust};
pub use commands::socket_path;
use contact::Contact;
use controls::Wiring;
use crew::{Crew, Maker};
pub use delivery::{box_key_path, newest_keyring_seen, open_keyring, read_store_key, store_key_path};
use desk::Desk;
pub use lists::settings_of as list_settings;
use probation::Probation;
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
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Ends when every file camera has ended and everything is stored and delivered.
    pub until_eos: bool,
    /// The file that the configuration came from.
    pub config_path: PathBuf,
    /// Where the newest lines of the daemon's log are.
    pub log: LogRing,
    /// Of a configuration that the centre staged.
    pub probation: Option<Arc<Probation>>,
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

/// Runs the box until `shutdown` is set, a command ends it, or, with [`Options::until_eos`], until its files are over.
///
/// # Errors
/// What cannot be started: store, models, keys, a camera's address. Once everything runs, faults are answered, not
/// returned.
pub fn run(config: &Arc<Config>, options: &Options, clock: &Clock, shutdown: &Shutdown) -> anyhow::Result<Summary> {
    // A command stops this run; whoever stops the process stops it too.
    let after = After::new(shutdown.child(), clock.clone());
    wipe::finish(config)?;
    let lived = live(config, options, clock, &after);
    // Before anything else, also when the daemon did not end well.
    if after.what() == Some(Afterwards::Wipe) {
        wipe::wipe(config)?;
    }
    let mut summary = lived?;
    summary.again = (summary.again || after.what() == Some(Afterwards::Restart)) && !shutdown.is_set();
    Ok(summary)
}

/// One life of the daemon; nothing of it is left when it returns.
fn live(config: &Arc<Config>, options: &Options, clock: &Clock, after: &After) -> anyhow::Result<Summary> {
    let health = Health::new();
    for camera in config.cameras.iter().filter(|c| !c.enabled) {
        health.camera(&camera.id).set_state(CameraState::Disabled);
    }
    let (models, mut managed) = models::load(config, clock)?;
    let parts = machine::parts(models.runtime.library());
    let digests = digests(config, &models);
    let mut base = Base::open(config, Arc::clone(&health), digests.clone(), parts, clock)?;
    managed.tell(&base.store);
    options.probation.iter().for_each(|p| p.tell(&base.store, &health));
    let desk = Desk::open(config, &health, clock);
    let carrier = Carrier::new(clock.clone());
    let trust = config.centre.as_ref().map(|centre| Trust::read(config, centre)).transpose()?;
    let mut accounts = Accounts::begin(config, &digests, &base, trust.as_ref(), &carrier);
    let mut contact = None;
    if let (Some(centre), Some(trust)) = (&config.centre, trust) {
        let origin = Origin { config_path: options.config_path.clone(), log: options.log.clone() };
        let models = models::here(config, &models);
        let (config_, reporter) = (Arc::clone(config), base.reporter.clone());
        let controls =
            Arc::new(Wiring { config: config_, clock: clock.clone(), desk: Arc::clone(&desk), reporter, models });
        let parts = contact::Parts { config, centre, trust, origin: &origin, controls, carrier, after };
        contact = Some(Contact::start(&base, parts)?);
    }
    let maker = Maker {
        config,
        models,
        hotlists: Arc::clone(&base.hotlists),
        recorder: base.recorder.handle(),
        store: base.store.clone(),
        health: Arc::clone(&health),
        clock: clock.clone(),
        desk,
        managed,
        probation: options.probation.clone(),
    };
    let mut crew = Crew::new(maker, Shutdown::new());
    crew.start_all();
    tracing::info!(cameras = crew.count(), version = env!("CARGO_PKG_VERSION"), "watchpost runs");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut fault = None;
    let recorder = &base.recorder;
    let alive = || {
        after.look();
        recorder.is_running() && contact.as_ref().is_none_or(Contact::is_running)
    };
    if !crew.watch(options.until_eos, after.stop(), &mut base.watch, &mut accounts, &alive) {
        // Nothing can be stored or told any more: whoever started the daemon starts it anew.
        fault = Some("the recorder's, the commands' or the session's thread has ended by itself; see the log above");
    }
    if after.what() != Some(Afterwards::Restart) && !crew.again() {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    }
    let again = crew.again();
    let failed = crew.stop();
    if let Err(error) = recorder.handle().flush(FLUSH_WITHIN) {
        tracing::error!(%error, "not everything became durable before the stop");
    }
    if let (Some(contact), true) = (&contact, options.until_eos)
        && !drained(contact, clock, after.stop())
    {
        tracing::warn!(waiting = base.store.outbox().depth().entries, "the centre has not acknowledged everything");
    }
    contact.iter_mut().for_each(Contact::stop_commands);
    accounts.end(fault.unwrap_or("asked to"), base.store.outbox().depth().entries);
    if let Some(contact) = contact {
        contact.end();
    }
    let lost = base.recorder.stop();
    tracing::info!(undelivered = base.store.outbox().depth().entries, lost, "watchpost stopped");
    if let Some(fault) = fault {
        anyhow::bail!(fault);
    }
    // Without a centre hits stay here on purpose: nothing waits for anybody.
    let undelivered = config.centre.as_ref().map_or(0, |_| base.store.outbox().depth().entries);
    Ok(Summary { health, undelivered, failed, lost, again })
}

/// Waits until the outbox is empty, at most [`DRAIN_WITHIN`], or until the stop is asked for.
fn drained(contact: &Contact, clock: &Clock, shutdown: &Shutdown) -> bool {
    let end = clock.monotonic() + DRAIN_WITHIN;
    while clock.monotonic() < end && !shutdown.is_set() {
        if contact.drained(LOOK_EVERY) {
            return true;
        }
    }
    false
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
