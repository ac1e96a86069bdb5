//! [`HealthReport`]: every 30 s, QoS 0: counters, clock, outbox, disk, and what an alert's `state` stands for.

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::camera::Link;
use super::status::{BootId, clock_word};
use super::{Wire, check_text, cut};
use crate::centre::keys::hex;
use crate::centre::topics::Kind;
use crate::domain::{CameraId, ClockState, Epoch, TimeMs};
use crate::health::{CameraCounters, Health};

const VERSION: u8 = 1;
const MAX_NAME: usize = 32;
const MAX_MODELS: usize = 16;
const MAX_CAMERAS: usize = 64;

/// A model in use.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ModelDigest {
    /// Its name, at most 32 bytes.
    #[n(0)]
    pub name: String,
    /// SHA-256 of its file.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
}

/// The full digests that the 4 bytes `state` of an alert stand for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StateDigests {
    /// SHA-256 of the config in force.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub config: [u8; 32],
    /// The models in use, by name; at most 16.
    #[n(1)]
    pub models: Vec<ModelDigest>,
}

impl StateDigests {
    /// Digests of a config and of models, given as name and SHA-256.
    #[must_use]
    pub fn new(config: [u8; 32], models: impl IntoIterator<Item = (String, [u8; 32])>) -> Self {
        let mut models: Vec<ModelDigest> =
            models.into_iter().map(|(name, sha256)| ModelDigest { name: cut(&name, MAX_NAME), sha256 }).collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models.truncate(MAX_MODELS);
        Self { config, models }
    }

    /// What alerts carry: the first 4 bytes of the SHA-256 of this map in deterministic CBOR.
    #[must_use]
    pub fn state(&self) -> [u8; 4] {
        let mut bytes = Vec::new();
        // Writing into a vector cannot fail.
        let _ = minicbor::encode(self, &mut bytes);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let mut state = [0; 4];
        state.iter_mut().zip(digest.as_ref()).for_each(|(s, d)| *s = *d);
        state
    }
}

/// What waits for the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct OutboxGauge {
    /// Entries.
    #[n(0)]
    pub entries: u64,
    /// Their bytes.
    #[n(1)]
    pub bytes: u64,
    /// Age of the oldest in milliseconds; 0 when it is empty.
    #[n(2)]
    pub oldest_ms: u64,
}

/// The file system that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Disk {
    /// Bytes that the daemon may still use.
    #[n(0)]
    pub free: u64,
    /// Its size in bytes.
    #[n(1)]
    pub total: u64,
}

/// What was counted of delivery since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Delivery {
    /// Sessions with the broker.
    #[n(0)]
    pub connects: u64,
    /// Alerts handed to the broker, resends included.
    #[n(1)]
    pub sent: u64,
    /// Of these, sent again.
    #[n(2)]
    pub resent: u64,
    /// Alerts that the centre acknowledged.
    #[n(3)]
    pub acked: u64,
    /// Acks and commands that were refused.
    #[n(4)]
    pub refused: u64,
}

/// What was counted of one camera since the start.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CameraGauge {
    /// Its id.
    #[n(0)]
    pub id: CameraId,
    /// What it is doing.
    #[n(1)]
    pub state: Link,
    /// Frames that the decoder gave.
    #[n(2)]
    pub received: u64,
    /// Frames that were analysed.
    #[n(3)]
    pub analysed: u64,
    /// Frames replaced by a newer one before they were analysed.
    #[n(4)]
    pub dropped: u64,
    /// Times the source was opened.
    #[n(5)]
    pub opened: u64,
    /// Times the source failed or stalled.
    #[n(6)]
    pub failed: u64,
    /// Sightings that ended with a read.
    #[n(7)]
    pub reads: u64,
    /// Tracks that ended without a read.
    #[n(8)]
    pub unread: u64,
    /// Hits.
    #[n(9)]
    pub hits: u64,
}

impl CameraGauge {
    fn of(id: &CameraId, counters: &CameraCounters) -> Self {
        Self {
            id: id.clone(),
            state: Link::of(&counters.state()).0,
            received: counters.received.get(),
            analysed: counters.analysed.get(),
            dropped: counters.dropped.get(),
            opened: counters.opened.get(),
            failed: counters.failed.get(),
            reads: counters.reads.get(),
            unread: counters.unread.get(),
            hits: counters.hits.get(),
        }
    }
}

/// The health of a box.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HealthReport {
    #[n(0)]
    version: u8,
    /// When it was signed.
    #[n(1)]
    pub time: TimeMs,
    /// Trust in that time.
    #[n(2)]
    pub clock: ClockState,
    /// Random bytes that a signed answer about the time must name.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub challenge: [u8; 8],
    /// Version of the software.
    #[n(4)]
    pub software: String,
    /// Which start of the daemon.
    #[n(5)]
    pub boot: BootId,
    /// Seconds since that start.
    #[n(6)]
    pub uptime_s: u64,
    /// The store's epoch.
    #[n(7)]
    pub epoch: Epoch,
    /// The last seq that was given away: up to it the centre must have or miss.
    #[n(8)]
    pub last_seq: u64,
    /// What waits for the centre.
    #[n(9)]
    pub outbox: OutboxGauge,
    /// The store's file system.
    #[n(10)]
    pub disk: Disk,
    /// What `state` of the alerts stands for now.
    #[n(11)]
    pub digests: StateDigests,
    /// Delivery since the start.
    #[n(12)]
    pub delivery: Delivery,
    /// Copies shed from a full outbox.
    #[n(13)]
    pub shed: u64,
    /// Faults of the store that were answered.
    #[n(14)]
    pub store_faults: u64,
    /// The cameras, at most 64.
    #[n(15)]
    pub cameras: Vec<CameraGauge>,
}

/// What the counters do not know and a health message says.
#[derive(Debug, Clone)]
pub struct HealthFacts {
    /// Time and trust in it.
    pub time: (TimeMs, ClockState),
    /// Random bytes that a signed answer about the time must name.
    pub challenge: [u8; 8],
    /// Which start of the daemon.
    pub boot: BootId,
    /// Seconds since that start.
    pub uptime_s: u64,
    /// The store's epoch and the last seq that was given away.
    pub numbers: (Epoch, u64),
    /// What waits for the centre.
    pub outbox: OutboxGauge,
    /// The store's file system.
    pub disk: Disk,
    /// Digests of models and config.
    pub digests: StateDigests,
}

impl HealthReport {
    /// A report of the counters as they are now.
    #[must_use]
    pub fn of(counters: &Health, facts: HealthFacts) -> Self {
        let centre = &counters.centre;
        Self {
            version: VERSION,
            time: facts.time.0,
            clock: facts.time.1,
            challenge: facts.challenge,
            software: cut(env!("CARGO_PKG_VERSION"), MAX_NAME),
            boot: facts.boot,
            uptime_s: facts.uptime_s,
            epoch: facts.numbers.0,
            last_seq: facts.numbers.1,
            outbox: facts.outbox,
            disk: facts.disk,
            digests: facts.digests,
            delivery: Delivery {
                connects: centre.connects.get(),
                sent: centre.sent.get(),
                resent: centre.resent.get(),
                acked: centre.acked.get(),
                refused: centre.refused.get(),
            },
            shed: counters.shed.get(),
            store_faults: counters.store_faults.get(),
            cameras: counters.cameras().iter().take(MAX_CAMERAS).map(|(id, c)| CameraGauge::of(id, c)).collect(),
        }
    }
}

impl Wire for HealthReport {
    const NAME: &'static str = "health";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = 12 * 1024;

    fn check(&self) -> Result<(), (&'static str, String)> {
        check_text("software", &self.software, MAX_NAME)?;
        if self.digests.models.len() > MAX_MODELS {
            return Err(("models", format!("{}, at most {MAX_MODELS}", self.digests.models.len())));
        }
        self.digests.models.iter().try_for_each(|m| check_text("models", &m.name, MAX_NAME))?;
        if self.cameras.len() > MAX_CAMERAS {
            return Err(("cameras", format!("{}, at most {MAX_CAMERAS}", self.cameras.len())));
        }
        // The decoder takes any text for an id.
        self.cameras.iter().try_for_each(|c| match CameraId::new(c.id.as_str()) {
            Ok(_) => Ok(()),
            Err(error) => Err(("cameras", error.to_string())),
        })
    }

    fn fits(&self, kind: &Kind) -> bool {
        *kind == Kind::Health
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": Self::NAME,
            "version": self.version,
            "time": self.time.to_string(),
            "time_ms": self.time.0,
            "clock": clock_word(self.clock),
            "challenge": hex(&self.challenge),
            "software": self.software,
            "boot": self.boot.to_string(),
            "uptime_s": self.uptime_s,
            "epoch": self.epoch.to_string(),
            "last_seq": self.last_seq,
            "outbox": {
                "entries": self.outbox.entries, "bytes": self.outbox.bytes, "oldest_ms": self.outbox.oldest_ms,
            },
            "disk": { "free": self.disk.free, "total": self.disk.total },
            "state": hex(&self.digests.state()),
            "config": hex(&self.digests.config),
            "models": self.digests.models.iter()
                .map(|m| json!({ "name": m.name, "sha256": hex(&m.sha256) })).collect::<Vec<_>>(),
            "delivery": {
                "connects": self.delivery.connects, "sent": self.delivery.sent, "resent": self.delivery.resent,
                "acked": self.delivery.acked, "refused": self.delivery.refused,
            },
            "shed": self.shed,
            "store_faults": self.store_faults,
            "cameras": self.cameras.iter().map(|c| json!({
                "id": c.id.as_str(), "state": c.state.as_str(), "received": c.received, "analysed": c.analysed,
                "dropped": c.dropped, "opened": c.opened, "failed": c.failed, "reads": c.reads, "unread": c.unread,
                "hits": c.hits,
            })).collect::<Vec<_>>(),
        })
    }
}
