//! The parts of a health message: what is counted and measured, each a short array.

use std::sync::atomic::Ordering;

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::camera::Link;
use super::keeping::KeepingGauge;
use super::traffic::LinkGauge;
use super::{check_text, cut};
use crate::domain::{CameraId, Class, ListId, PlaceId, TimeMs, TreeHead};
use crate::health::{CameraCounters, CentreCounters, ConfigState, Crossings, ListCounters};

/// Longest reason of a list's refusal, in bytes.
const MAX_REASON: usize = 96;
/// Longest reason of a rollback, in bytes.
const MAX_WHY: usize = 160;
/// Most lines and zones of a camera that are told.
pub(super) const MAX_PLACES: usize = 16;
/// Longest name or version of a part, in bytes.
const MAX_PART: usize = 32;

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

/// The machine's memory; 0 where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Memory {
    /// Bytes that may be used without swapping.
    #[n(0)]
    pub available: u64,
    /// All bytes.
    #[n(1)]
    pub total: u64,
}

/// The daemon's process; 0 where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Process {
    /// Bytes in memory, shared ones included.
    #[n(0)]
    pub resident: u64,
    /// The most that it ever had.
    #[n(1)]
    pub peak: u64,
    /// Processor time since the start, milliseconds, all threads.
    #[n(2)]
    pub cpu_ms: u64,
    /// Threads.
    #[n(3)]
    pub threads: u32,
    /// Open files and sockets.
    #[n(4)]
    pub files: u32,
}

/// Something that the daemon works with, and its version; both at most 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// What it is: `gstreamer`, `onnxruntime`, `linux`.
    #[n(0)]
    pub name: String,
    /// Its version, as it says it.
    #[n(1)]
    pub version: String,
}

impl Part {
    /// Both cut to what fits.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: cut(name, MAX_PART), version: cut(version, MAX_PART) }
    }
}

/// A configured hotlist.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ListGauge {
    /// Its id.
    #[n(0)]
    pub id: ListId,
    /// Its number in alerts.
    #[n(1)]
    pub number: u16,
    /// Serial of the one in force; 0 when none is.
    #[n(2)]
    pub serial: u32,
    /// Entries in force.
    #[n(3)]
    pub entries: u64,
    /// When the one in force was made; 0 when none is.
    #[n(4)]
    pub issued: TimeMs,
    /// Whether it is past its freshness.
    #[n(5)]
    pub stale: bool,
    /// Times that a file was refused since the start.
    #[n(6)]
    pub refused: u64,
    /// Why the newest file was refused, when it was; at most 96 bytes, names no plate.
    #[n(7)]
    pub fault: Option<String>,
}

impl ListGauge {
    /// A list that is configured; nothing of it is in force yet.
    #[must_use]
    pub fn new(id: ListId, number: u16, counters: &ListCounters) -> Self {
        Self {
            id,
            number,
            serial: 0,
            entries: 0,
            issued: TimeMs(0),
            stale: false,
            refused: counters.refused.get(),
            fault: counters.fault().map(|why| cut(&why, MAX_REASON)),
        }
    }
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
    /// Health messages that found no room in the link.
    #[n(5)]
    pub unsaid: u64,
    /// Mirrored messages that were dropped; absent while none was.
    #[n(6)]
    pub mirrors_dropped: Option<u64>,
}

impl Delivery {
    pub(super) fn of(centre: &CentreCounters) -> Self {
        Self {
            connects: centre.connects.get(),
            sent: centre.sent.get(),
            resent: centre.resent.get(),
            acked: centre.acked.get(),
            refused: centre.refused.get(),
            unsaid: centre.unsaid.get(),
            mirrors_dropped: Some(centre.mirrors_dropped.get()).filter(|n| *n > 0),
        }
    }

    pub(super) fn to_json(self) -> Value {
        let mut told = json!({
            "connects": self.connects, "sent": self.sent, "resent": self.resent, "acked": self.acked,
            "refused": self.refused, "unsaid": self.unsaid,
        });
        if let (Some(dropped), Some(map)) = (self.mirrors_dropped, told.as_object_mut()) {
            map.insert("mirrors_dropped".to_owned(), json!(dropped));
        }
        told
    }
}

/// When and why there was no session with the broker.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Loss {
    /// When.
    #[n(0)]
    pub at: TimeMs,
    /// Why; at most 160 bytes.
    #[n(1)]
    pub why: String,
}

/// Decode workers that were lost.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WorkersLost {
    /// How many since the start.
    #[n(0)]
    pub count: u64,
    /// When, the last time.
    #[n(1)]
    pub at: TimeMs,
    /// Why; at most 160 bytes.
    #[n(2)]
    pub why: String,
}

/// What the centre laid over the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Overlay {
    /// Its number; 0: nothing of the centre.
    #[n(0)]
    pub serial: u64,
    /// It is on probation.
    #[n(1)]
    pub probation: bool,
    /// The last one was rolled back.
    #[n(2)]
    pub rolled_back: Option<RolledBack>,
}

/// A configuration that did not do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RolledBack {
    /// Its number.
    #[n(0)]
    pub serial: u64,
    /// When it was rolled back.
    #[n(1)]
    pub at: TimeMs,
    /// Why; at most 160 bytes.
    #[n(2)]
    pub why: String,
}

impl Overlay {
    /// Of what the counters know.
    #[must_use]
    pub fn of(state: &ConfigState) -> Self {
        let rolled_back = state.rolled_back.clone();
        let told = |(serial, at, why): (u64, TimeMs, String)| RolledBack { serial, at, why: cut(&why, MAX_WHY) };
        Self { serial: state.serial, probation: state.probation, rolled_back: rolled_back.map(told) }
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        self.rolled_back.as_ref().map_or(Ok(()), |r| check_text("overlay", &r.why, MAX_WHY))
    }

    pub(super) fn to_json(&self) -> Value {
        let rolled_back = self.rolled_back.as_ref();
        json!({
            "serial": self.serial,
            "probation": self.probation,
            "rolled_back": rolled_back.map(|r| json!({ "serial": r.serial, "at": r.at.to_string(), "why": r.why })),
        })
    }
}

/// What was counted of one camera since the start.
///
/// Every frame received is analysed, dropped, thinned, rested on or unanalysed; one may be under way.
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
    /// Frames left out to keep the configured `fps`.
    #[n(10)]
    pub thinned: u64,
    /// Frames on which the motion gate rested.
    #[n(11)]
    pub rested: u64,
    /// Frames that could not be analysed.
    #[n(12)]
    pub unanalysed: u64,
    /// Sightings that nobody could record.
    #[n(13)]
    pub lost: u64,
    /// Pictures that were not whole, lost before they were frames.
    #[n(14)]
    pub damaged: u64,
    /// Age of its newest frame in milliseconds, when there was one.
    #[n(15)]
    pub frame_age_ms: Option<u64>,
    /// Vehicles and persons that passed, in the order of [`Class::OBJECTS`]; absent before the first.
    #[n(16)]
    pub passed: Option<[u64; 5]>,
    /// Pictures of a folder that could not be read; absent while there is none.
    #[n(17)]
    pub unreadable: Option<u64>,
    /// The main stream of a camera whose substream the other numbers are of.
    #[n(18)]
    pub main: Option<MainGauge>,
    /// What was counted at lines and zones, at most 16; absent before the first.
    #[n(19)]
    pub crossings: Option<Vec<CrossingGauge>>,
}

/// What was counted at a line or zone since the start: `[name, zone, forward or in, backward or out]`, each six counts as
/// [`Crossings`] has them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CrossingGauge {
    /// Its name.
    #[n(0)]
    pub place: PlaceId,
    /// It is a zone.
    #[n(1)]
    pub is_zone: bool,
    /// Forward; in.
    #[n(2)]
    pub forward: [u64; 6],
    /// Backward; out.
    #[n(3)]
    pub backward: [u64; 6],
}

impl CrossingGauge {
    fn of(crossings: Crossings) -> Self {
        let Crossings { place, is_zone, forward, backward } = crossings;
        Self { place, is_zone, forward, backward }
    }

    fn to_json(&self) -> Value {
        let counts = |counts: &[u64; 6]| -> Value {
            let told = Crossings::classes().zip(counts).filter(|(_, n)| **n > 0);
            told.map(|(class, n)| (class.as_str().to_owned(), json!(n))).collect()
        };
        let kind = if self.is_zone { "zone" } else { "line" };
        let [forward, backward] = if self.is_zone { ["in", "out"] } else { ["forward", "backward"] };
        json!({ kind: self.place.as_str(), forward: counts(&self.forward), backward: counts(&self.backward) })
    }
}

/// What was counted of the main stream beside a substream since the start. Frames are taken by time, the others go unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct MainGauge {
    /// Frames that the decoder gave.
    #[n(0)]
    pub received: u64,
    /// Frames replaced before they were taken up, and pictures above the bound of rate.
    #[n(1)]
    pub dropped: u64,
    /// Times the stream was opened.
    #[n(2)]
    pub opened: u64,
    /// Times the stream failed or stalled, or its thread panicked.
    #[n(3)]
    pub failed: u64,
    /// Pictures that were not whole.
    #[n(4)]
    pub damaged: u64,
}

impl MainGauge {
    fn of(main: &CameraCounters) -> Self {
        Self {
            received: main.received.get(),
            dropped: main.dropped.get(),
            opened: main.opened.get(),
            failed: main.failed.get(),
            damaged: main.damaged.get(),
        }
    }
}

impl CameraGauge {
    pub(super) fn of(id: &CameraId, counters: &CameraCounters, now: TimeMs) -> Self {
        let newest = counters.last_frame_ms.load(Ordering::Relaxed);
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
            thinned: counters.thinned.get(),
            rested: counters.rested.get(),
            unanalysed: counters.unanalysed.get(),
            lost: counters.lost.get(),
            damaged: counters.damaged.get(),
            frame_age_ms: (newest > 0).then(|| now.since(TimeMs(newest))),
            passed: Some(counters.passed()).filter(|counts| counts.iter().any(|n| *n > 0)),
            unreadable: Some(counters.unreadable.get()).filter(|n| *n > 0),
            main: counters.main().map(MainGauge::of),
            crossings: Some(
                counters.crossings().into_iter().take(MAX_PLACES).map(CrossingGauge::of).collect::<Vec<_>>(),
            )
            .filter(|all| !all.is_empty()),
        }
    }

    /// Bounds and names of the lines and zones.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let crossings = self.crossings.as_deref().unwrap_or_default();
        if crossings.len() > MAX_PLACES {
            return Err(("crossings", format!("{}, at most {MAX_PLACES}", crossings.len())));
        }
        crossings.iter().try_for_each(|c| match PlaceId::new(c.place.as_str()) {
            Ok(_) => Ok(()),
            Err(error) => Err(("crossings", error.to_string())),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let mut told = json!({
            "id": self.id.as_str(), "state": self.state.as_str(), "received": self.received,
            "analysed": self.analysed, "dropped": self.dropped, "thinned": self.thinned, "rested": self.rested,
            "unanalysed": self.unanalysed, "opened": self.opened, "failed": self.failed, "reads": self.reads,
            "unread": self.unread, "hits": self.hits, "lost": self.lost, "damaged": self.damaged,
            "frame_age_ms": self.frame_age_ms,
        });
        if let (Some(passed), Some(map)) = (self.passed, told.as_object_mut()) {
            let by_class = Class::OBJECTS.iter().zip(passed).map(|(class, n)| (class.as_str().to_owned(), json!(n)));
            map.insert("passed".to_owned(), by_class.collect());
        }
        if let (Some(unreadable), Some(map)) = (self.unreadable, told.as_object_mut()) {
            map.insert("unreadable".to_owned(), json!(unreadable));
        }
        if let (Some(main), Some(map)) = (self.main, told.as_object_mut()) {
            let MainGauge { received, dropped, opened, failed, damaged } = main;
            let counts = json!({
                "received": received, "dropped": dropped, "opened": opened, "failed": failed, "damaged": damaged,
            });
            map.insert("main".to_owned(), counts);
        }
        if let (Some(crossings), Some(map)) = (&self.crossings, told.as_object_mut()) {
            map.insert("crossings".to_owned(), crossings.iter().map(CrossingGauge::to_json).collect());
        }
        told
    }
}

impl ListGauge {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id.as_str(), "number": self.number, "serial": self.serial, "entries": self.entries,
            "issued": (self.serial > 0).then(|| self.issued.to_string()), "stale": self.stale,
            "refused": self.refused, "fault": self.fault,
        })
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        // The decoder takes any text for an id.
        ListId::new(self.id.as_str()).map_err(|error| ("lists", error.to_string()))?;
        self.fault.as_ref().map_or(Ok(()), |why| check_text("lists", why, MAX_REASON))
    }
}

impl Part {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        check_text("parts", &self.name, MAX_PART)?;
        check_text("parts", &self.version, MAX_PART)
    }
}

/// What the machine and the other rooms tell when they are asked for a health message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gauges {
    /// The store's file system.
    pub disk: Disk,
    /// The machine's memory.
    pub memory: Memory,
    /// The daemon's process.
    pub process: Process,
    /// Size and root of the audit log.
    pub audit: TreeHead,
    /// Pictures that could not be read back when their sighting became a hit.
    pub pictures_lost: u64,
    /// The configured hotlists; at most 32 are told.
    pub lists: Vec<ListGauge>,
    /// What the daemon works with; at most 8 are told.
    pub parts: Vec<Part>,
    /// Hits that nobody has seen, verdicts, holds, retention.
    pub keeping: Option<KeepingGauge>,
    /// What went over the link today; absent without a centre.
    pub link: Option<LinkGauge>,
}
