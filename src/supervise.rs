//! The wiring: every room is started here, watched, and stopped in reverse order.
//!
//! | thread | made by | ends | panics | hangs |
//! |---|---|---|---|---|
//! | `cam-<id>`, one a camera | [`crew`] | its file is over, or the stop | another one is started after 1 s, 2 s … 32 s; a file is given up | after 30 s (60 s in its source) left behind, said in the camera's status, and another one started; three times in an hour: the camera is given up until it is opened anew. All cameras, or three times the only one: the daemon ends ([`hangs`]) |
//! | `main-<id>`, one a camera with a substream | its `cam-<id>` | with that | plates are read on the substream, which is said | the same |
//! | `clips` | [`clips`] | after the cameras: the clips of their last hits are stored | of one clip: that is lost, counted; else hits go without | after 15 min said; hits go without clips, counted |
//! | `second-look` | [`second`] | after the cameras: no end waits for it any more | of one look: that is given up | after 5 min said; ends are told as they were read first |
//! | `views` | [`views`] | after the cameras: what they showed is kept | pictures of worries are lost, counted | after 1 min said; the same |
//! | `model-watch`, one a set of models | `vision::model` | with the models | runs are not ended any more | the same |
//! | `decode-worker`, one a worker process | `camera::worker` | its process is gone | its cameras are opened again | the same, by the stall of their frames |
//! | `recorder` | `store::Recorder::start` | after the cameras: what they sent is stored | the daemon ends | after 60 s the daemon ends |
//! | `command` | `command::Executor::start` | after the cameras: the command under way is done | of one operation: it has failed; else the daemon ends | after 60 s, a command after 6 min: the daemon ends |
//! | `console`, where one is asked for, and four for what waits | [`console`] | after the cameras | nobody is served there any more | the same |
//! | `local`, and two a connection | `command::local` | with `command` | nobody is served there any more | the same |
//! | `centre` (tokio, one worker) | [`delivery`] | last: what is stored is told, as far as the stop allows | the daemon ends | after 60 s the daemon ends |
//! | `signals` | `cli::run` | with the process | the process's own way with signals | a second signal is not heard; the stop is bounded |
//! | `watchdog` | [`watchdog`] | with the run | systemd is not told any more, and ends the daemon | the same; a fault ends the process by `last-resort` |
//!
//! The caller's thread (`main` among the signs of life) watches the others, looks at the hotlist files, restarts a camera's
//! thread that panicked or hangs, and has deleted what was kept long enough; when it hangs for 60 s the daemon ends. "The daemon ends"
//! means with a fault and within 10 s, by itself and not fed any more to systemd's watchdog, so that whoever started it
//! starts it anew ([`watchdog`]). Time in which the process does not run counts for nobody.
//!
//! Channels: analysis threads → `clips`, bounded wishes, where a live camera's hit goes without a clip and a file waits
//! (`clips`); analysis threads → recorder, bounded at 64 entries, where the sender waits (`store::recorder`); recorder →
//! session, a notification without content (`centre::publish::News`), which cannot fill up; session and unix socket →
//! executor, bounded at 16 commands, where `busy` is answered (`command::executor`); executor → session, letters bounded in
//! number and bytes, where the hand-over is refused (`centre::carry`); executor → a connection of the socket, 16 answers,
//! where the connection is ended (`command::local`); analysis threads →
//! `views`, 16 things, where the newest is left out, counted and said (`views`); analysis threads → `second-look`, 2 passes,
//! where a pass ends as it was read first (`second`).

mod accounts;
mod afterwards;
mod alone;
mod analysis;
mod base;
mod certificates;
#[cfg(feature = "gst")]
mod clips;
#[cfg(not(feature = "gst"))]
#[path = "supervise/clips/off.rs"]
mod clips;
pub mod commands;
mod console;
mod contact;
mod controls;
mod crew;
mod delivery;
mod desk;
mod hangs;
pub mod keeping;
mod last;
mod lists;
pub mod machine;
mod mirrors;
pub mod models;
#[cfg(test)]
mod no_time_server;
#[allow(dead_code, reason = "wired with the commands")]
pub mod probation;
pub mod reload;
mod retention;
#[cfg(feature = "gst")]
mod second;
#[cfg(not(feature = "gst"))]
#[path = "supervise/second/off.rs"]
mod second;
mod settings;
mod talk;
mod tap;
#[cfg(feature = "testkit")]
pub mod testkit;
mod told;
mod verdict;
#[allow(dead_code, reason = "asked by the controls of the command room")]
mod verify;
mod views;
mod watchdog;
#[cfg(test)]
mod weeks;
mod wipe;
#[cfg_attr(not(feature = "gst"), path = "supervise/workers_off.rs")]
mod workers;

use std::path::PathBuf;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;

use crate::centre::carry::Carrier;
use crate::centre::report::Reporter;
use crate::centre::wire::StateDigests;
use crate::clock::Clock;
use crate::command::Afterwards;
use crate::config::Config;
use crate::console::Console;
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
pub use console::{name_of_key as console_key_name, read_key as console_key, read_token as console_token};
use contact::Contact;
use controls::Wiring;
use crew::{Crew, Failed, Maker, Stopped};
pub use delivery::{box_key_path, newest_keyring_seen, open_keyring, read_store_key, store_key_path};
use desk::Desk;
pub use lists::settings_of as list_settings;
use models::swap::InUse;
use probation::Probation;
pub use reload::Reload;
use settings::clip_settings;
pub use settings::{RUN_WITHIN, camera_settings, model_settings, vision_settings};
pub use talk::converse;
use watchdog::{Steps, Watchdog};
pub use wipe::{Wiped, refuse_wiped};

/// How often the watching thread looks around.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a stop waits for the analysis threads.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop waits for what is stored to become durable.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for the clips of the last hits.
const CLIPS_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop waits for the thread of second looks, which gives up between two frames.
const LOOKS_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for the console's answers.
const CONSOLE_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for pictures of what is wrong with cameras.
const VIEWS_WITHIN: Duration = Duration::from_millis(1_500);
/// How long a stop waits for the command under way.
const COMMAND_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for the farewell to the centre, which is bounded itself.
const FAREWELL_WITHIN: Duration = Duration::from_millis(3_500);
/// How long a stop waits for the recorder, which gives up a disk that fails earlier.
const RECORDER_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop waits for threads that the end of the recorder lets go.
const LATE_WITHIN: Duration = Duration::from_secs(1);
/// Why a run ends whose threads do.
const ENDED: &str = "the recorder's, the commands' or the session's thread has ended by itself; see the log above";
/// How long the opening may take: an index may have to be rebuilt.
const OPEN_WITHIN: Duration = Duration::from_mins(30);
/// How long `--until-eos` waits for the centre's last ack.
const DRAIN_WITHIN: Duration = Duration::from_mins(1);
/// How long it waits for the last clips: those with a mask are decoded behind everything else, and coded anew.
const CLIPS_DRAIN_WITHIN: Duration = Duration::from_mins(5);

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
    /// Whether somebody at the box wants the configuration to be read again.
    pub reload: Reload,
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
    let health = Health::new();
    let dog = Watchdog::start(&health, after.stop(), clock).context("cannot start a thread")?;
    let lived = live(config, options, &health, &after, &dog);
    let left = dog.left();
    // The stop is over. What comes takes as long as it takes: nobody ends the process in the middle of a wipe.
    drop(dog);
    // Before anything else, also when the daemon did not end well.
    let wiped = if after.what() == Some(Afterwards::Wipe) { wipe::wipe(config) } else { Ok(()) };
    if !left.is_empty() {
        if let Err(error) = &wiped {
            tracing::error!(error = crate::causes::line(error), "not wiped yet: the next start does it");
        }
        // They hold the store and the models, and an exit in order would run into them.
        tracing::error!(threads = left.join(", "), "threads did not stop: the daemon ends without them");
        last::end_at_once(last::EXIT_CODE);
    }
    wiped?;
    let mut summary = lived?;
    summary.again = (summary.again || after.what() == Some(Afterwards::Restart)) && !shutdown.is_set();
    Ok(summary)
}

/// One life of the daemon; nothing of it is left when it returns, but for threads that hang, which the watchdog knows.
fn live(
    config: &Arc<Config>,
    options: &Options,
    health: &Arc<Health>,
    after: &After,
    dog: &Watchdog,
) -> anyhow::Result<Summary> {
    dog.main().takes("the opening of the store", OPEN_WITHIN);
    let clock = after.clock();
    say_disabled(config, health);
    let (models, mut managed) = models::load(config, clock)?;
    let parts = machine::parts(models.runtime.library());
    let digests = digests(config, &models);
    let mut base = Base::open(config, Arc::clone(health), digests.clone(), parts, clock)?;
    dog.tells(Some(&base.store));
    managed.tell(&base.store);
    options.probation.iter().for_each(|p| p.tell(&base.store, health));
    let desk = Desk::open(config, health, clock);
    let carrier = Carrier::new(clock.clone());
    let trust = config.centre.as_ref().map(|centre| Trust::read(config, centre)).transpose()?;
    let mut accounts = Accounts::begin(config, &digests, &base, trust.as_ref(), &carrier);
    let (mut contact, mut wiring) = (None, None);
    if let (Some(centre), Some(trust)) = (&config.centre, trust) {
        let origin = Origin { config_path: options.config_path.clone(), log: options.log.clone() };
        let models = Mutex::new(models::here(config, &models));
        let (config_, reporter) = (Arc::clone(config), base.reporter.clone());
        let controls =
            Arc::new(Wiring { config: config_, clock: clock.clone(), desk: Arc::clone(&desk), reporter, models });
        wiring = Some(Arc::clone(&controls));
        let parts = contact::Parts { config, centre, trust, origin: &origin, controls, carrier, after };
        contact = Some(Contact::start(&base, parts)?);
    }
    let aside = Aside::start(config, &mut base, health, clock).context("cannot start a thread")?;
    let views = views::Keeper::start(config, base.store.vault(), &base.recorder.handle(), health)?;
    let console = console::start(console::Rooms::of(config, &base, &desk, contact.as_ref(), clock));
    let on_models = |models: &Models| taken(config, &base.store, &base.reporter, wiring.as_deref(), models);
    let maker = Maker {
        clips: aside.clips.clips(),
        looks: aside.looker.looks(),
        config,
        models: InUse::new(models),
        on_models: &on_models,
        after: after.clone(),
        hotlists: Arc::clone(&base.hotlists),
        recorder: base.recorder.handle(),
        store: base.store.clone(),
        health: Arc::clone(health),
        clock: clock.clone(),
        desk,
        managed,
        probation: options.probation.clone(),
        views: &views,
        dog,
    };
    let mut crew = Crew::new(maker, Shutdown::new());
    crew.start_all();
    tracing::info!(cameras = crew.count(), version = env!("CARGO_PKG_VERSION"), "watchpost runs");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let alive = || {
        after.look();
        options.reload.look(&options.config_path, after);
        dog.fault().is_none() && base.recorder.is_running() && contact.as_ref().is_none_or(Contact::is_running)
    };
    let fault = (!crew.watch(options.until_eos, after.stop(), &mut base.watch, &mut accounts, &alive)).then(|| {
        // Nothing can be stored or told any more, or nothing is seen: whoever started the daemon starts it anew.
        anyhow::Error::msg(dog.fault().unwrap_or_else(|| ENDED.to_owned()))
    });
    let again = crew.again();
    if after.what() != Some(Afterwards::Restart) && !again {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    }
    let steps = dog.ends(options.until_eos && fault.is_none());
    let stopped = crew.stop(&steps);
    let rest = Rest { stopped, aside, views, base, contact, accounts, console };
    rest.end(options.until_eos, after, dog, fault, steps).map(|(undelivered, lost, failed)| {
        // Without a centre hits stay here on purpose: nothing waits for anybody.
        let undelivered = config.centre.as_ref().map_or(0, |_| undelivered);
        Summary { health: Arc::clone(health), undelivered, failed, lost, again }
    })
}

/// What runs when no camera runs any more.
struct Rest {
    stopped: Stopped,
    aside: Aside,
    views: views::Keeper,
    base: Base,
    contact: Option<Contact>,
    accounts: Accounts,
    console: Option<Console>,
}

impl Rest {
    /// Stops it in good order, each step within its bound; alerts that the centre has not acknowledged, entries that were
    /// lost, and cameras that failed.
    fn end(
        mut self,
        until_eos: bool,
        after: &After,
        dog: &Watchdog,
        fault: Option<anyhow::Error>,
        mut steps: Steps,
    ) -> anyhow::Result<(u64, usize, Failed)> {
        if !self.console.take().is_none_or(|console| console.stop(steps.next("the console", CONSOLE_WITHIN))) {
            dog.leaves("console");
        }
        self.aside.finish(if until_eos { CLIPS_DRAIN_WITHIN } else { CLIPS_WITHIN }, dog, &steps);
        if let Err(ended) = self.views.stop(steps.next("the pictures of views", VIEWS_WITHIN)) {
            dog.leaves_until("views", move || !matches!(ended.try_recv(), Err(TryRecvError::Empty)));
        }
        let within = steps.last("the last commit", FLUSH_WITHIN, RECORDER_WITHIN);
        if let Err(error) = self.base.recorder.handle().flush(within) {
            tracing::error!(%error, "not everything became durable before the stop");
        }
        if until_eos {
            dog.main().takes("the last acks", DRAIN_WITHIN * 2);
            if !self.contact.as_ref().is_none_or(|contact| drained(contact, after.clock(), after.stop())) {
                let waiting = self.base.store.outbox().depth().entries;
                tracing::warn!(waiting, "the centre has not acknowledged everything");
            }
            steps = dog.ends(false);
        }
        let within = steps.next("the command under way", COMMAND_WITHIN);
        if !self.contact.iter_mut().all(|contact| contact.stop_commands(within)) {
            tracing::warn!("a command did not end before the stop: it will be told as interrupted");
            dog.leaves("command");
        }
        // Before what may not end: who holds the audit log against the box wants to know.
        let _ = steps.next("the last entry of the audit log", Duration::ZERO);
        let why = fault.as_ref().map_or_else(|| "asked to".to_owned(), ToString::to_string);
        self.accounts.end(&why, self.base.store.outbox().depth().entries);
        dog.tells(None);
        let within = steps.next("the farewell to the centre", FAREWELL_WITHIN);
        if !self.contact.is_none_or(|contact| contact.end(within)) {
            tracing::warn!("the session with the centre did not end before the stop, left behind");
            dog.leaves("centre");
        }
        let within = steps.last("the end of the recorder", RECORDER_WITHIN, Duration::ZERO);
        let stopped = self.base.recorder.stop_within(within);
        let within = steps.last("the end of who waited for the recorder", LATE_WITHIN, Duration::ZERO);
        let failed = self.stopped.end(dog, after.clock(), within);
        let undelivered = self.base.store.outbox().depth().entries;
        let Some(lost) = stopped else {
            tracing::error!(undelivered, "the recorder did not stop, left behind");
            dog.leaves("recorder");
            return Err(fault.unwrap_or_else(|| anyhow::anyhow!("the recorder did not stop")));
        };
        tracing::info!(undelivered, lost, "watchpost stopped");
        fault.map_or(Ok((undelivered, lost, failed)), Err)
    }
}

/// The threads that work beside the cameras, with what those have seen.
struct Aside {
    clips: clips::Maker,
    looker: second::Looker,
    #[cfg(feature = "testkit")]
    _feed: Option<testkit::Feed>,
    #[cfg(feature = "testkit")]
    _counts: Option<testkit::Counts>,
}

impl Aside {
    fn start(config: &Config, base: &mut Base, health: &Arc<Health>, clock: &Clock) -> std::io::Result<Self> {
        let (recorder, most) = (base.recorder.handle(), Duration::from_secs(config.vision.second_look_s));
        let looker = second::Looker::start(most, Arc::clone(health), clock.clone())?;
        let clips = clips::Maker::start(clip_settings(config), recorder, Arc::clone(health), clock.clone())?;
        Ok(Self {
            clips,
            looker,
            #[cfg(feature = "testkit")]
            _feed: base.feed(clock)?,
            #[cfg(feature = "testkit")]
            _counts: testkit::Counts::asked(health, clock)?,
        })
    }

    /// No camera runs any more; clips of the last hits may take so long.
    fn finish(self, clips_within: Duration, dog: &Watchdog, steps: &Steps) {
        if !self.looker.finish(steps.next("the second look under way", LOOKS_WITHIN)) {
            dog.leaves("second-look");
        }
        if let Err(thread) = self.clips.finish(steps.next("the last clips", clips_within)) {
            dog.leaves_until("clips", move || thread.is_finished());
        }
    }
}

/// Cameras that the configuration switches off.
fn say_disabled(config: &Config, health: &Health) {
    for camera in config.cameras.iter().filter(|c| !c.enabled) {
        health.camera(&camera.id).set_state(CameraState::Disabled);
    }
}

/// Other models run from now on: alerts, health and `model.list` say so.
fn taken(config: &Config, store: &Store, reporter: &Reporter, wiring: Option<&Wiring>, models: &Models) {
    let digests = digests(config, models);
    store.set_state(digests.state());
    reporter.set_digests(digests);
    if let Some(wiring) = wiring {
        wiring.set_models(models::here(config, models));
    }
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
        clip_free_bytes: config.store.clip_free_mib << 20,
        picture_free_bytes: config.store.picture_free_mib << 20,
        read_free_bytes: config.store.read_free_mib << 20,
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
