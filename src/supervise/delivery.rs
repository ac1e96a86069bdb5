//! Wires the outbox to the centre: keys, TLS files, topics, the session's task on a tokio runtime of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::base::Trust;
use super::mirrors;
use crate::centre::budget::{Budget, Meter};
use crate::centre::carry::Carrier;
use crate::centre::keyring::{KeyBook, book};
use crate::centre::keys::PublicKey;
use crate::centre::link::LinkSettings;
use crate::centre::mirror::Mirrors;
use crate::centre::publish::News;
use crate::centre::report::Reporter;
use crate::centre::session::{self, Downward, Identity, SessionHandle, Settings};
use crate::centre::status::{CameraFacts, StatusBoard};
use crate::centre::tls::TlsFiles;
use crate::centre::topics::Topics;
use crate::centre::wire::{Place, RuleName};
use crate::clock::Clock;
use crate::command::secrets::{UNITS_CREDENTIALS, UNITS_DATA};
use crate::config::{self, Centre, Config};
use crate::domain::Rule;
use crate::health::Health;
use crate::shutdown::{Shutdown, waited};
use crate::store::StoreKey;
use crate::store::outbox::Outbox;

/// How long a stop waits for calls of the session to the store that are under way.
const CALLS_WITHIN: Duration = Duration::from_secs(1);

/// Where it is noted what brokers keep of the mirrors.
const MIRRORS_NOTE: &str = "mirrors.json";

/// What delivery is made of.
pub(super) struct Parts<'a> {
    pub config: &'a Config,
    pub centre: &'a Centre,
    pub trust: Trust,
    pub outbox: Outbox,
    pub news: News,
    pub carrier: Carrier,
    pub budget: Budget,
    pub downward: Option<Arc<dyn Downward>>,
    pub reporter: Reporter,
    pub health: Arc<Health>,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

/// The running delivery.
pub(super) struct Delivery {
    runtime: tokio::runtime::Runtime,
    handle: SessionHandle,
}

impl Delivery {
    /// Reads keys and keyring, starts runtime and session. The broker need not be there.
    pub(super) fn start(parts: Parts<'_>) -> anyhow::Result<Self> {
        let (config, centre) = (parts.config, parts.centre);
        let identity = Identity {
            topics: Topics::new(&centre.topic_root, &config.site.site, &config.site.id)?,
            key: parts.trust.key,
            keyring: parts.trust.keyring,
        };
        let tls = centre.broker.tls.then(|| tls_files(centre)).flatten();
        let mut link = LinkSettings::new(centre.broker.clone(), tls, config.site.id.to_string());
        link.meter = Some(Meter { budget: parts.budget, topics: identity.topics.clone() });
        let of = (identity.topics.clone(), config.site.id.clone());
        let note = config.site.data_dir.join(MIRRORS_NOTE);
        let settings = mirrors::settings(config, &centre.mirrors)?;
        let mirrors = Mirrors::new(settings, of, &note, Arc::clone(&parts.health), parts.clock.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("centre")
            .enable_all()
            .build()
            .context("cannot start the tokio runtime")?;
        let session = session::Parts {
            settings: Settings {
                link,
                topic_root: centre.topic_root.clone(),
                ack: centre.ack,
                health_every: session::HEALTH_EVERY,
            },
            identity,
            outbox: Arc::new(parts.outbox),
            news: parts.news,
            carrier: parts.carrier,
            downward: parts.downward,
            board: StatusBoard::new(cameras(config), parts.reporter, parts.clock.clone()),
            mirrors,
            health: parts.health,
            clock: parts.clock,
            shutdown: parts.shutdown,
        };
        let handle = {
            let _inside = runtime.enter();
            session::start(session)
        };
        Ok(Self { runtime, handle })
    }

    /// Whether the session's task still runs.
    pub(super) fn is_running(&self) -> bool {
        self.handle.is_running()
    }

    /// Waits until the outbox is empty; false when `within` was too short.
    pub(super) fn drained(&self, within: Duration) -> bool {
        self.runtime.block_on(self.handle.drained(within))
    }

    /// Waits for the session's farewell, `at_most` so long; the shutdown must have been triggered. False: it was left behind.
    #[must_use]
    pub(super) fn end(self, at_most: Duration) -> bool {
        // Not by the runtime's own timer: a task that hangs holds up the only thread that drives it.
        let ended = waited(at_most, || !self.handle.is_running());
        if ended {
            self.runtime.block_on(self.handle.ended());
        }
        self.runtime.shutdown_timeout(if ended { at_most.min(CALLS_WITHIN) } else { Duration::ZERO });
        ended
    }
}

/// Where the box's signing key lies.
pub fn box_key_path(config: &Config) -> PathBuf {
    config.site.data_dir.join("keys/box.key")
}

/// Where the store's key lies.
pub fn store_key_path(config: &Config) -> PathBuf {
    store_key_credential(config).unwrap_or_else(|| config.site.data_dir.join("keys/store.key"))
}

/// Reads the store's key from there.
///
/// # Errors
/// As [`StoreKey::load`].
pub fn read_store_key(config: &Config) -> Result<StoreKey, crate::store::Error> {
    match store_key_credential(config) {
        Some(path) => StoreKey::load_credential(&path),
        None => StoreKey::load(&store_key_path(config)),
    }
}

/// A systemd credential (sealed to the TPM where there is one) goes before the file on the same disk. A verb that is given by
/// hand has the daemon's, while that runs.
fn store_key_credential(config: &Config) -> Option<PathBuf> {
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let units = (config.site.data_dir == Path::new(UNITS_DATA)).then(|| PathBuf::from(UNITS_CREDENTIALS));
    own.into_iter().chain(units).map(|dir| dir.join("store.key")).find(|path| path.exists())
}

/// The greatest serial of a keyring that this box has seen; 0 when it has seen none.
///
/// # Errors
/// When the file that remembers it cannot be read.
pub fn newest_keyring_seen(config: &Config) -> anyhow::Result<u64> {
    Ok(book::newest_seen(&keys_dir(config))?)
}

/// The keyring in force: the newest that the box was given, never older than one that it has seen.
///
/// # Errors
/// As [`KeyBook::open`].
pub fn open_keyring(config: &Config, centre: &Centre) -> anyhow::Result<KeyBook> {
    let root = PublicKey::read(&centre.root_key).context("the root's public key; the centre gives it")?;
    Ok(KeyBook::open(&keys_dir(config), &centre.keyring, &root)?)
}

fn keys_dir(config: &Config) -> PathBuf {
    config.site.data_dir.join("keys")
}

fn tls_files(centre: &Centre) -> Option<TlsFiles> {
    Some(TlsFiles {
        ca: centre.ca.clone()?,
        certificate: centre.certificate.clone()?,
        private_key: centre.private_key.clone()?,
    })
}

fn cameras(config: &Config) -> Vec<CameraFacts> {
    let place = |camera: &config::Camera| Place {
        location: camera.location.or(config.site.location).map(|(lat, lon)| [lat, lon]),
        heading: camera.heading,
        road: camera.road.clone(),
    };
    let rules = |camera: &config::Camera| {
        let named = |rule: &Arc<Rule>| RuleName { number: rule.number, id: rule.id.clone() };
        config.plan(camera).rules.iter().map(named).collect()
    };
    let facts =
        |c: &config::Camera| CameraFacts { id: c.id.clone(), number: c.number, place: place(c), rules: rules(c) };
    config.cameras.iter().map(facts).collect()
}
