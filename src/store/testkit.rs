//! What the unit tests of this room share: a store in a temporary folder, events and hits made by hand.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, RealDisk};
use super::{Entry, Error, Settings, Store, StoreKey};
use crate::clock::{Clock, SimClock};
use crate::domain::{
    CameraId, Candidate, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Ownership,
    Pictures, PlateRead, PlateText, Severity, Share, Sighting, SightingEvent, Stage, TimeMs,
};

/// 2026-01-01.
pub const START: TimeMs = TimeMs(1_767_225_600_000);

pub fn id(n: u64) -> EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventId::from_parts(START.0 + n, random)
}

fn read(text: &str) -> PlateRead {
    let plate = |text: &str| PlateText::from_raw(text).unwrap();
    let candidate = |text: &str, confidence| Candidate { text: plate(text), confidence };
    PlateRead {
        text: plate(text),
        confidence: 0.91,
        char_confidences: vec![0.99; text.len()],
        candidates: vec![
            candidate(text, 0.91),
            candidate("A8123CD", 0.05),
            candidate("AB1Z3CD", 0.02),
            candidate("AB123C0", 0.01),
            candidate("AB123CO", 0.005),
        ],
        lattice: Lattice::default(),
        region: Some("eu".to_owned()),
        regions: Vec::new(),
        frames: 12,
    }
}

pub fn event(n: u64, stage: Stage, plate: Option<&str>) -> SightingEvent {
    let sighting = Sighting {
        id: id(n),
        camera: CameraId::new("gate").unwrap(),
        camera_number: 3,
        track: 41,
        begin: TimeMs(START.0 + n),
        end: TimeMs(START.0 + n + 900),
        clock: ClockState::Synced,
        class: Class::Car,
        vehicle: None,
        read: plate.map(read),
        rect: [0.1, 0.2, 0.3, 0.4],
        direction: Some(90),
    };
    let at = sighting.end;
    SightingEvent::new(stage, sighting, None, at)
}

pub fn list_hit(event: &SightingEvent, entry: u32, severity: Severity) -> Hit {
    let cause = ListMatch {
        list: ListId::new("wanted").unwrap(),
        list_number: 2,
        list_serial: 7,
        entry,
        how: How::Exact,
        confidence: 0.9,
        expiry_day: Some(20_999),
        stale: false,
        severity,
        owner: Some(Ownership { org: "north".to_owned(), share: Share::None }),
    };
    Hit { sighting: event.sighting.clone(), cause: HitCause::List(cause), stage: event.stage, withdrawn: false }
}

/// A first read with one hit on list entry `n`.
pub fn hit_entry(n: u64, severity: Severity) -> Entry {
    let event = event(n, Stage::New, Some("AB123CD"));
    let hits = vec![list_hit(&event, u32::try_from(n).unwrap(), severity)];
    Entry { event, hits }
}

pub fn with_pictures(mut entry: Entry, bytes: usize) -> Entry {
    entry.event.pictures = Some(Pictures { crop: vec![0xC0; bytes], scene: vec![0x5C; bytes * 4] });
    entry
}

/// A temporary folder, in memory where the system has such a place: these tests sync a great deal.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn settings() -> Settings {
    Settings {
        commit_interval_ms: 1,
        ballast_bytes: 0,
        reserve_bytes: 0,
        read_free_bytes: 0,
        picture_free_bytes: 0,
        clip_free_bytes: 0,
        cache_bytes: 1 << 20,
        ..Settings::default()
    }
}

pub fn clock() -> (Arc<SimClock>, Clock) {
    let sim = SimClock::at(START);
    (Arc::clone(&sim), Clock::of(sim))
}

pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, settings: Settings) -> Result<Store, Error> {
    Store::open_on(disk, dir, &StoreKey::from_bytes([9; 32]), settings, clock().1)
}

pub fn open(dir: &Path) -> Store {
    open_on(Arc::new(RealDisk), dir, settings()).unwrap()
}
