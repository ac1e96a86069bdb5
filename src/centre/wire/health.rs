//! [`HealthReport`]: every 30 s, QoS 0: clock, counters, gauges, lists, audit head, and what an alert's `state` stands for.
//!
//! About 700 bytes signed with two cameras and two lists, 50 more a camera, 35 more a list; never above 16 KiB.

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::gauge::{
    CameraGauge, Delivery, Disk, Gauges, ListGauge, Loss, Memory, OutboxGauge, Overlay, Part, Process, WorkersLost,
};
use super::keeping::{KeepingGauge, PrecisionGauge};
use super::status::{BootId, clock_word};
use super::traffic::LinkGauge;
use super::{Wire, check_text, cut};
use crate::centre::keys::hex;
use crate::centre::topics::Kind;
use crate::domain::{CameraId, ClockState, Epoch, TimeMs, TreeHead};
use crate::health::Health;

const VERSION: u8 = 1;
const MAX_NAME: usize = 32;
const MAX_MODELS: usize = 16;
const MAX_CAMERAS: usize = 64;
const MAX_LISTS: usize = 32;
const MAX_PARTS: usize = 8;
const MAX_FAULT: usize = 160;
/// Bytes that signing adds, and some to spare.
const ENVELOPE: usize = 128;

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
    /// Size and root of the audit log.
    #[n(16)]
    pub audit: TreeHead,
    /// The configured hotlists, at most 32.
    #[n(17)]
    pub lists: Vec<ListGauge>,
    /// The daemon's process.
    #[n(18)]
    pub process: Process,
    /// The machine's memory.
    #[n(19)]
    pub memory: Memory,
    /// Pictures that could not be read back when their sighting became a hit.
    #[n(20)]
    pub pictures_lost: u64,
    /// What the daemon works with, at most 8.
    #[n(21)]
    pub parts: Vec<Part>,
    /// What is wrong with delivery now, or will be in some days; at most 160 bytes.
    #[n(22)]
    pub fault: Option<String>,
    /// When and why there was no session the last time that there was none.
    #[n(23)]
    pub last_loss: Option<Loss>,
    /// When the newest alert of this start was made.
    #[n(24)]
    pub last_alert: Option<TimeMs>,
    /// What the centre laid over the configuration.
    #[n(25)]
    pub overlay: Option<Overlay>,
    /// Hits that nobody has seen, verdicts, holds, retention.
    #[n(26)]
    pub keeping: Option<KeepingGauge>,
    /// Clips of hits since the start: stored, and missing with the reason in their place; absent while there are none.
    #[n(27)]
    pub clips: Option<[u64; 2]>,
    /// Doubtful passes since the start: looked at again, and told otherwise since; absent while there are none.
    #[n(28)]
    pub second_looks: Option<[u64; 2]>,
    /// Decode workers that were lost since the start; absent while none was.
    #[n(29)]
    pub workers_lost: Option<WorkersLost>,
    /// What went over the link today, and what the budget makes wait.
    #[n(30)]
    pub link: Option<LinkGauge>,
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
    /// What the machine and the other rooms tell.
    pub gauges: Gauges,
    /// Digests of models and config.
    pub digests: StateDigests,
}

impl HealthReport {
    /// A report of the counters as they are now.
    #[must_use]
    pub fn of(counters: &Health, facts: HealthFacts) -> Self {
        let centre = &counters.centre;
        let now = facts.time.0;
        let Gauges { disk, memory, process, audit, pictures_lost, mut lists, mut parts, keeping, link } = facts.gauges;
        lists.truncate(MAX_LISTS);
        parts.truncate(MAX_PARTS);
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
            disk,
            digests: facts.digests,
            delivery: Delivery::of(centre),
            shed: counters.shed.get(),
            store_faults: counters.store_faults.get(),
            cameras: counters.cameras().iter().take(MAX_CAMERAS).map(|(id, c)| CameraGauge::of(id, c, now)).collect(),
            audit,
            lists,
            process,
            memory,
            pictures_lost,
            parts,
            fault: centre.fault().or_else(|| centre.soon()).map(|fault| cut(&fault, MAX_FAULT)),
            last_alert: counters.last_alert(),
            overlay: counters.config().as_ref().map(Overlay::of),
            clips: Some([counters.clips.get(), counters.clips_missing.get()])
                .filter(|clips| clips.iter().any(|n| *n > 0)),
            second_looks: Some([counters.second_looks.get(), counters.second_reads.get()]).filter(|[n, _]| *n > 0),
            keeping,
            link,
            workers_lost: counters.worker_loss().map(|(at, why)| WorkersLost {
                count: counters.workers_lost.get(),
                at,
                why: cut(&why, MAX_FAULT),
            }),
            last_loss: centre.last_loss().map(|(at, why)| Loss { at, why: cut(&why, MAX_FAULT) }),
        }
        .fitted()
    }

    /// As it is, or without what the centre can ask for elsewhere where it would not fit: first what was counted at lines
    /// and zones and what verdicts say, which a report says better, then all of [`HealthReport::keeping`], then why a decode worker was lost,
    /// which the box's log says, and that one was, and what went over the link.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        let too_long = |report: &Self| super::encode(report).len() > <Self as Wire>::MAX_SIGNED - ENVELOPE;
        if too_long(&self) {
            self.cameras.iter_mut().for_each(|camera| camera.crossings = None);
        }
        if too_long(&self)
            && let Some(keeping) = &mut self.keeping
        {
            keeping.precision = PrecisionGauge::default();
        }
        if too_long(&self) {
            self.keeping = None;
        }
        if too_long(&self)
            && let Some(lost) = &mut self.workers_lost
        {
            lost.why.clear();
        }
        if too_long(&self) {
            self.workers_lost = None;
        }
        if too_long(&self) {
            self.link = None;
        }
        self
    }
}

impl Wire for HealthReport {
    const NAME: &'static str = "health";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = 16 * 1024;

    fn check(&self) -> Result<(), (&'static str, String)> {
        check_text("software", &self.software, MAX_NAME)?;
        if self.digests.models.len() > MAX_MODELS {
            return Err(("models", format!("{}, at most {MAX_MODELS}", self.digests.models.len())));
        }
        self.digests.models.iter().try_for_each(|m| check_text("models", &m.name, MAX_NAME))?;
        for (name, found, most) in [
            ("cameras", self.cameras.len(), MAX_CAMERAS),
            ("lists", self.lists.len(), MAX_LISTS),
            ("parts", self.parts.len(), MAX_PARTS),
        ] {
            if found > most {
                return Err((name, format!("{found}, at most {most}")));
            }
        }
        self.lists.iter().try_for_each(ListGauge::check)?;
        self.keeping.as_ref().map_or(Ok(()), KeepingGauge::check)?;
        self.parts.iter().try_for_each(Part::check)?;
        let losses = self.last_loss.iter().map(|loss| &loss.why);
        self.fault.iter().chain(losses).try_for_each(|text| check_text("fault", text, MAX_FAULT))?;
        if let Some(lost) = &self.workers_lost {
            check_text("workers_lost", &lost.why, MAX_FAULT)?;
        }
        self.overlay.as_ref().map_or(Ok(()), Overlay::check)?;
        // The decoder takes any text for an id.
        self.cameras.iter().try_for_each(|c| match CameraId::new(c.id.as_str()) {
            Ok(_) => c.check(),
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
            "delivery": self.delivery.to_json(),
            "shed": self.shed,
            "store_faults": self.store_faults,
            "pictures_lost": self.pictures_lost,
            "cameras": self.cameras.iter().map(CameraGauge::to_json).collect::<Vec<_>>(),
            "lists": self.lists.iter().map(ListGauge::to_json).collect::<Vec<_>>(),
            "audit": { "size": self.audit.size, "root": self.audit.root.to_string() },
            "process": {
                "resident": self.process.resident, "peak": self.process.peak, "cpu_ms": self.process.cpu_ms,
                "threads": self.process.threads, "files": self.process.files,
            },
            "memory": { "available": self.memory.available, "total": self.memory.total },
            "parts": self.parts.iter().map(|p| json!({ "name": p.name, "version": p.version })).collect::<Vec<_>>(),
            "fault": self.fault,
            "last_alert": self.last_alert.map(|t| t.to_string()),
            "overlay": self.overlay.as_ref().map(Overlay::to_json),
            "clips": self.clips.map(|[stored, missing]| json!({ "stored": stored, "missing": missing })),
            "second_looks": self.second_looks.map(|[looked, changed]| json!({ "looked": looked, "changed": changed })),
            "workers_lost": self.workers_lost.as_ref()
                .map(|lost| json!({ "count": lost.count, "at": lost.at.to_string(), "why": lost.why })),
            "link": self.link.map(LinkGauge::to_json),
            "keeping": self.keeping.as_ref().map(KeepingGauge::to_json),
            "last_loss": self.last_loss.as_ref().map(|l| json!({ "at": l.at.to_string(), "why": l.why })),
        })
    }
}
