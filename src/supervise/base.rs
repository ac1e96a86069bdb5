//! What lies under everything else: the store with its writer, the lists, the reporter. A daemon stands on it, and so does
//! a question that is put to a box whose daemon does not run.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::{delivery, lists, machine, open_store};
use crate::centre::budget::{self, Budget};
use crate::centre::keyring::KeyBook;
use crate::centre::keys::BoxKey;
use crate::centre::publish::News;
use crate::centre::report::{self, Reporter};
use crate::centre::wire::{Gauges, Part, StateDigests};
use crate::clock::{Challenges, Clock};
use crate::command::blobs::Blobs;
use crate::command::{Controls, Rooms};
use crate::config::{Centre, Config};
use crate::health::Health;
use crate::hotlist::Hotlists;
use crate::log::LogRing;
use crate::store::{Commit, Recorder, Store, TrafficBook};

/// See the module.
pub(super) struct Base {
    pub(super) health: Arc<Health>,
    pub(super) store: Store,
    pub(super) recorder: Recorder,
    pub(super) hotlists: Arc<Hotlists>,
    pub(super) watch: lists::Watch,
    pub(super) news: News,
    pub(super) challenges: Challenges,
    pub(super) reporter: Reporter,
    pub(super) budget: Budget,
    clock: Clock,
    #[cfg(feature = "testkit")]
    feed: Option<super::testkit::Feed>,
}

/// Who the box is, and whom it believes; shared by the session and the executor.
pub(super) struct Trust {
    pub(super) key: BoxKey,
    pub(super) keyring: KeyBook,
}

/// Where the configuration came from, and where the log's newest lines are.
pub(super) struct Origin {
    pub(super) config_path: PathBuf,
    pub(super) log: LogRing,
}

impl Base {
    /// Opens the store, loads the lists. `parts` are what the box works with, for health.
    pub(super) fn open(
        config: &Config,
        health: Arc<Health>,
        digests: StateDigests,
        parts: Vec<Part>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let store = open_store(config, digests.state(), clock)?;
        let news = News::default();
        let (told, counted, now) = (news.clone(), Arc::clone(&health), clock.clone());
        #[cfg(feature = "testkit")]
        let feed = super::testkit::Feed::asked(store.epoch())?;
        #[cfg(feature = "testkit")]
        let announcer = feed.as_ref().map(super::testkit::Feed::announcer);
        let on_commit = move |commit: &Commit| {
            #[cfg(feature = "testkit")]
            if let Some(announcer) = &announcer {
                announcer.committed(commit);
            }
            #[cfg(feature = "testkit")]
            super::testkit::wedge("recorder");
            if commit.alerts > 0 {
                counted.alert_made(now.utc());
            }
            told.tell();
        };
        let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(on_commit))?;
        let (hotlists, watch) = lists::start(config, &store, &health, clock.utc());
        let challenges = Challenges::new(clock.clone());
        let bytes = config.centre.as_ref().map(|centre| centre.budget_mib_a_day << 20).filter(|bytes| *bytes > 0);
        let budget = Budget::new(bytes, Some(Box::new(Kept(store.traffic()))), clock.clone());
        let told = config.centre.as_ref().map(|_| budget.clone());
        let reporter = Reporter::new(report::Parts {
            digests,
            gauges: gauges(config, parts, (&store, told), &hotlists, &health),
            outbox: Arc::new(store.outbox()),
            health: Arc::clone(&health),
            challenges: challenges.clone(),
            clock: clock.clone(),
        });
        let clock = clock.clone();
        Ok(Self {
            health,
            store,
            recorder,
            hotlists,
            watch,
            news,
            challenges,
            reporter,
            budget,
            clock,
            #[cfg(feature = "testkit")]
            feed,
        })
    }

    /// Starts the feed, where one is asked for.
    #[cfg(feature = "testkit")]
    pub(super) fn feed(&mut self, clock: &Clock) -> std::io::Result<Option<super::testkit::Feed>> {
        let Some(feed) = self.feed.take() else { return Ok(None) };
        feed.start(self.recorder.handle(), Arc::clone(&self.hotlists), clock.clone())?;
        Ok(Some(feed))
    }

    /// What operations work with.
    pub(super) fn rooms(
        &self,
        config: &Arc<Config>,
        origin: &Origin,
        trust: &Trust,
        controls: Arc<dyn Controls>,
    ) -> anyhow::Result<Rooms> {
        let blobs = config.site.data_dir.join("blobs");
        Ok(Rooms {
            clock: self.clock.clone(),
            config: Arc::clone(config),
            config_path: origin.config_path.clone(),
            store: self.store.clone(),
            recorder: self.recorder.handle(),
            hotlists: Arc::clone(&self.hotlists),
            health: Arc::clone(&self.health),
            blobs: Blobs::open(blobs.clone(), self.clock.clone()).with_context(|| blobs.display().to_string())?,
            log: origin.log.clone(),
            keyring: trust.keyring.clone(),
            box_key: trust.key.clone(),
            controls,
        })
    }
}

/// The store keeps the count of the link, and is not kept open by it: a wipe wants it closed.
struct Kept(TrafficBook);

impl budget::Keeper for Kept {
    fn read(&self) -> Result<Option<Vec<u8>>, String> {
        self.0.read().map_err(|e| e.to_string())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.write(bytes).map_err(|e| e.to_string())
    }
}

impl Trust {
    pub(super) fn read(config: &Config, centre: &Centre) -> anyhow::Result<Self> {
        let key = BoxKey::read(&delivery::box_key_path(config));
        let key = key.context("the box's signing key; `watchpost init` makes it")?;
        Ok(Self { key, keyring: delivery::open_keyring(config, centre)? })
    }
}

/// What health says of the machine and of the rooms that count nothing themselves.
fn gauges(
    config: &Config,
    parts: Vec<Part>,
    (store, budget): (&Store, Option<Budget>),
    hotlists: &Arc<Hotlists>,
    health: &Arc<Health>,
) -> report::Ask {
    let (dir, files) = (config.site.data_dir.clone(), config.hotlists.clone());
    let (store, hotlists, health) = (store.clone(), Arc::clone(hotlists), Arc::clone(health));
    let keeper = super::keeping::Keeper::new(store.clone(), &config.store);
    Box::new(move |now| {
        #[cfg(feature = "testkit")]
        if std::thread::current().name() == Some("centre") {
            super::testkit::wedge("centre");
        }
        Gauges {
            disk: machine::disk(&dir),
            memory: machine::memory(),
            process: machine::process(),
            audit: store.audit_head(),
            pictures_lost: store.pictures_lost() + health.views_lost.get(),
            lists: lists::gauges(&files, &hotlists, &health, now),
            parts: parts.clone(),
            keeping: keeper.gauge(now),
            link: budget.as_ref().map(|budget| budget.gauge(store.outbox().depth().by_severity)),
        }
    })
}
