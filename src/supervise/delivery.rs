//! Wires the outbox to the centre: keys, TLS files, topics, the session's task on a tokio runtime of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::centre::keyring::Keyring;
use crate::centre::keys::{PublicKey, SigningKey};
use crate::centre::link::{Broker, LinkSettings};
use crate::centre::publish::{AckMode, News};
use crate::centre::session::{self, Identity, SessionHandle, Settings};
use crate::centre::status::{CameraFacts, Facts, StatusBoard};
use crate::centre::tls::TlsFiles;
use crate::centre::topics::Topics;
use crate::centre::wire::{Disk, StateDigests};
use crate::clock::Clock;
use crate::config::{self, Centre, Config};
use crate::health::Health;
use crate::shutdown::Shutdown;
use crate::store::outbox::Outbox;

/// What delivery is made of.
pub(super) struct Parts<'a> {
    pub config: &'a Config,
    pub centre: &'a Centre,
    pub outbox: Outbox,
    pub news: News,
    pub digests: StateDigests,
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
        let broker = Broker::parse(&centre.broker)?;
        broker.check_plaintext(centre.allow_plaintext)?;
        let identity = Identity {
            topics: Topics::new(&centre.topic_root, &config.site.site, &config.site.id)?,
            key: Arc::new(
                SigningKey::read(&box_key_path(config)).context("the box's signing key; `watchpost init` makes it")?,
            ),
            keyring: Arc::new(keyring(centre)?),
        };
        let tls = broker.tls.then(|| tls_files(centre)).flatten();
        let link = LinkSettings::new(broker, tls, config.site.id.to_string());
        let ack = match centre.ack {
            config::AckMode::Centre => AckMode::Centre,
            config::AckMode::Broker => AckMode::Broker,
        };
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
                ack,
                health_every: session::HEALTH_EVERY,
            },
            identity,
            outbox: Arc::new(parts.outbox),
            news: parts.news,
            board: StatusBoard::new(facts(config, parts.digests), parts.clock.clone()),
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

    /// Waits for the session's farewell; the shutdown must have been triggered.
    pub(super) fn end(self) {
        self.runtime.block_on(self.handle.ended());
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// Where the box's signing key lies.
pub fn box_key_path(config: &Config) -> PathBuf {
    config.site.data_dir.join("keys/box.key")
}

/// Where the store's key lies.
pub fn store_key_path(config: &Config) -> PathBuf {
    // A systemd credential (sealed to the TPM where there is one) goes before the file on the same disk.
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|dir| PathBuf::from(dir).join("store.key"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| config.site.data_dir.join("keys/store.key"))
}

fn keyring(centre: &Centre) -> anyhow::Result<Keyring> {
    let root = PublicKey::read(&centre.root_key).context("the root's public key; the centre gives it")?;
    Ok(Keyring::read(&centre.keyring, &root)?)
}

fn tls_files(centre: &Centre) -> Option<TlsFiles> {
    Some(TlsFiles {
        ca: centre.ca.clone()?,
        certificate: centre.certificate.clone()?,
        private_key: centre.private_key.clone()?,
    })
}

fn facts(config: &Config, digests: StateDigests) -> Facts {
    let location = config.site.location.map(|(lat, lon)| [lat, lon]);
    let cameras = config.cameras.iter().filter(|c| c.enabled);
    let dir = config.site.data_dir.clone();
    Facts {
        cameras: cameras.map(|c| CameraFacts { id: c.id.clone(), number: c.number, location }).collect(),
        digests,
        disk: Box::new(move || {
            rustix::fs::statvfs(&dir).map_or(Disk { free: 0, total: 0 }, |s| Disk {
                free: s.f_bavail.saturating_mul(s.f_frsize),
                total: s.f_blocks.saturating_mul(s.f_frsize),
            })
        }),
    }
}
