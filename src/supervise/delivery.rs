//! Wires the outbox to the centre: keys, TLS files, topics, the session's task on a tokio runtime of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::centre::carry::Carrier;
use crate::centre::keyring::Keyring;
use crate::centre::keys::{PublicKey, SigningKey};
use crate::centre::link::LinkSettings;
use crate::centre::publish::News;
use crate::centre::report::Reporter;
use crate::centre::session::{self, Downward, Identity, SessionHandle, Settings};
use crate::centre::status::{CameraFacts, StatusBoard};
use crate::centre::tls::TlsFiles;
use crate::centre::topics::Topics;
use crate::centre::wire::Place;
use crate::clock::Clock;
use crate::config::{self, Centre, Config};
use crate::health::Health;
use crate::shutdown::Shutdown;
use crate::store::StoreKey;
use crate::store::outbox::Outbox;

/// What delivery is made of.
pub(super) struct Parts<'a> {
    pub config: &'a Config,
    pub centre: &'a Centre,
    pub outbox: Outbox,
    pub news: News,
    pub carrier: Carrier,
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
            key: Arc::new(
                SigningKey::read(&box_key_path(config)).context("the box's signing key; `watchpost init` makes it")?,
            ),
            keyring: Arc::new(keyring(&config.site.data_dir.join("keys"), centre)?),
        };
        let tls = centre.broker.tls.then(|| tls_files(centre)).flatten();
        let link = LinkSettings::new(centre.broker.clone(), tls, config.site.id.to_string());
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
    store_key_credential().unwrap_or_else(|| config.site.data_dir.join("keys/store.key"))
}

/// Reads the store's key from there.
///
/// # Errors
/// As [`StoreKey::load`].
pub fn read_store_key(config: &Config) -> Result<StoreKey, crate::store::Error> {
    match store_key_credential() {
        Some(path) => StoreKey::load_credential(&path),
        None => StoreKey::load(&store_key_path(config)),
    }
}

/// A systemd credential (sealed to the TPM where there is one) goes before the file on the same disk.
fn store_key_credential() -> Option<PathBuf> {
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(PathBuf::from(dir).join("store.key")).filter(|path| path.exists())
}

/// The greatest serial of a keyring that this box has seen; 0 when it has seen none.
///
/// # Errors
/// When the file that remembers it cannot be read.
pub fn newest_keyring_seen(config: &Config) -> anyhow::Result<u64> {
    newest_seen(&keyring_serial_path(&config.site.data_dir.join("keys")))
}

fn keyring_serial_path(keys_dir: &Path) -> PathBuf {
    keys_dir.join("keyring.serial")
}

fn newest_seen(path: &Path) -> anyhow::Result<u64> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse::<u64>().with_context(|| format!("{} holds no number", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Reads the keyring and refuses one that is older than the newest seen: a revoked key must not come back with it.
fn keyring(keys_dir: &Path, centre: &Centre) -> anyhow::Result<Keyring> {
    let root = PublicKey::read(&centre.root_key).context("the root's public key; the centre gives it")?;
    let ring = Keyring::read(&centre.keyring, &root)?;
    let path = keyring_serial_path(keys_dir);
    let (serial, seen) = (ring.serial, newest_seen(&path)?);
    anyhow::ensure!(
        serial >= seen,
        "{} has serial {serial}, this box has seen {seen}: get the newest keyring from the centre",
        centre.keyring.display()
    );
    if serial > seen {
        remember(&path, serial).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ring)
}

/// Writes the serial so that a power cut leaves the old or the new one.
fn remember(path: &Path, serial: u64) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = std::fs::File::create(&part)?;
    writeln!(file, "{serial}")?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
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
    config.cameras.iter().map(|c| CameraFacts { id: c.id.clone(), number: c.number, place: place(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TimeMs;

    #[test]
    fn a_keyring_older_than_the_newest_seen_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = SigningKey::from_seed(&[7; 32]).unwrap();
        std::fs::write(dir.path().join("root.pub"), root.public().to_pem()).unwrap();
        let centre = Centre {
            broker: "mqtt://127.0.0.1:1883".parse().unwrap(),
            ca: None,
            certificate: None,
            private_key: None,
            keyring: dir.path().join("keyring.cbor"),
            root_key: dir.path().join("root.pub"),
            topic_root: "watchpost/v1".into(),
            ack: crate::domain::AckMode::Centre,
            allow_plaintext: false,
        };
        let put = |serial| {
            let ring = Keyring { serial, issued: TimeMs(1), entries: Vec::new() };
            std::fs::write(&centre.keyring, ring.sign(&root).unwrap()).unwrap();
            keyring(dir.path(), &centre)
        };
        assert!(put(3).is_ok() && put(3).is_ok() && put(5).is_ok());
        let error = put(4).unwrap_err().to_string();
        assert!(error.contains("serial 4, this box has seen 5"), "{error}");
        assert!(put(5).is_ok());
    }
}
