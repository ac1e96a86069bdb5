//! What the families of the disk write into a store, number by number: whatever comes out is held against it.
//!
//! Entry `n` follows from `n` alone, so the judge needs no record of what a child wrote, only up to which number it said
//! that it was durable. The store's own word is never taken for it.

use std::collections::BTreeMap;

use watchpost::domain::{
    CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::store::{Entry, evidence};

/// 2026-01-01.
pub const START: u64 = 1_767_225_600_000;
const DAY: u64 = 86_400_000;
/// Nothing there.
pub const NONE: &str = "-";
/// Begins what the store says instead of an answer.
pub const ERROR: &str = "!";

pub fn id(n: u64) -> EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventId::from_parts(START + n, random)
}

/// The number of an id that [`id`] made.
pub fn number(id: EventId) -> u64 {
    let mut low = [0; 8];
    low.copy_from_slice(&id.0[8..]);
    low[0] &= 0x3F;
    u64::from_be_bytes(low)
}

pub fn plate(n: u64) -> PlateText {
    PlateText::from_raw(&format!("W{n}X")).unwrap()
}

/// Every eighth is a read that nothing matches.
pub fn has_hit(n: u64) -> bool {
    n % 8 != 5
}

pub fn has_pictures(n: u64) -> bool {
    n.is_multiple_of(4)
}

fn severity(n: u64) -> Severity {
    [Severity::Info, Severity::Minor, Severity::Serious, Severity::Critical][(n / 2 % 4) as usize]
}

/// Name of the key that seals `n`: its day and class.
pub fn key(n: u64) -> String {
    let class = if has_hit(n) { severity(n) as u64 + 1 } else { 0 };
    format!("{}-{class}", TimeMs(START + n % 2 * DAY).day())
}

/// Bytes that no other number has.
fn picture(n: u64, which: u64, bytes: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ which ^ 0xD1B5_4A32_D192_ED03;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// What was seen under number `n`; the crop of its pictures has `bytes`, the scene three times as many.
pub fn entry(n: u64, bytes: usize) -> Entry {
    let read = PlateRead {
        text: plate(n),
        confidence: 0.9,
        char_confidences: vec![0.99; 6],
        candidates: Vec::new(),
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 9,
    };
    let begin = START + n + n % 2 * DAY;
    let sighting = Sighting {
        id: id(n),
        camera: CameraId::new(if n.is_multiple_of(3) { "gate" } else { "yard" }).unwrap(),
        camera_number: 1,
        track: u32::try_from(n).unwrap(),
        begin: TimeMs(begin),
        end: TimeMs(begin + 500),
        clock: ClockState::Synced,
        class: Class::Plate,
        vehicle: None,
        read: Some(read),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: None,
    };
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted").unwrap(),
        list_number: 1,
        list_serial: 1,
        entry: u32::try_from(n).unwrap(),
        how: How::Exact,
        confidence: 0.9,
        expiry_day: None,
        stale: false,
        severity: severity(n),
        owner: None,
    });
    let hit = Hit { sighting: sighting.clone(), cause, stage: Stage::New, withdrawn: false };
    let pictures = has_pictures(n).then(|| Pictures { crop: picture(n, 1, bytes), scene: picture(n, 2, 3 * bytes) });
    let (at, stage) = (sighting.end, if has_hit(n) { Stage::New } else { Stage::End });
    let hits = if has_hit(n) { vec![hit] } else { Vec::new() };
    Entry { event: SightingEvent::new(stage, sighting, pictures, at), hits }
}

/// What is to be read back of one number, each as one word; [`NONE`] where nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    pub sighting: String,
    pub hit: String,
    pub pictures: String,
    /// Found by its plate.
    pub found: String,
    /// What goes to the centre.
    pub alert: String,
}

/// Names of the words, in their order.
pub const WORDS: [&str; 5] = ["sighting", "hit", "pictures", "plate index", "alert"];

impl Row {
    /// What was written under `n`.
    pub fn written(n: u64, bytes: usize) -> Self {
        let entry = entry(n, bytes);
        let seen = &entry.event.sighting;
        let none = || NONE.to_owned();
        let hit = entry.hits.first();
        Self {
            sighting: sighting_word(seen),
            hit: hit.map_or_else(none, |hit| hit_word(hit.cause.severity(), "wanted", &plate(n), n)),
            pictures: entry.event.pictures.map_or_else(none, |p| {
                pictures_word(&Pictures { scene: if hit.is_some() { p.scene } else { Vec::new() }, crop: p.crop })
            }),
            found: "yes".to_owned(),
            alert: hit.map_or_else(none, |hit| alert_word(hit.cause.severity(), &plate(n), n)),
        }
    }

    pub fn words(&self) -> [&str; 5] {
        [&self.sighting, &self.hit, &self.pictures, &self.found, &self.alert]
    }

    pub fn parse(words: &[&str]) -> Option<Self> {
        let [sighting, hit, pictures, found, alert] = words else { return None };
        let own = |word: &&str| (*word).to_owned();
        Some(Self {
            sighting: own(sighting),
            hit: own(hit),
            pictures: own(pictures),
            found: own(found),
            alert: own(alert),
        })
    }
}

pub fn sighting_word(seen: &Sighting) -> String {
    let plate = seen.read.as_ref().map_or("", |read| read.text.as_str());
    format!("{plate}:{}:{}:{}:{}", seen.camera, seen.begin.0, seen.end.0, seen.track)
}

pub fn hit_word(severity: Severity, list: &str, plate: &PlateText, entry: u64) -> String {
    format!("{severity:?}:{list}:{}:{entry}", plate.as_str())
}

pub fn alert_word(severity: Severity, plate: &PlateText, entry: u64) -> String {
    format!("{severity:?}:{}:{entry}", plate.as_str())
}

pub fn pictures_word(pictures: &Pictures) -> String {
    if pictures.crop.is_empty() && pictures.scene.is_empty() {
        return NONE.to_owned();
    }
    let hex = |bytes: &[u8]| {
        let digest = evidence::digest(bytes);
        format!("{}.{}", bytes.len(), data_encoding::HEXLOWER.encode(&digest))
    };
    format!("{}:{}", hex(&pictures.crop), hex(&pictures.scene))
}

/// What came out, held against what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Numbers of which all is there and right.
    pub whole: u64,
    /// What is not there, or said not to be readable, by number.
    pub missing: BTreeMap<u64, Vec<&'static str>>,
    /// What is there and is not what was written.
    pub wrong: Vec<String>,
}

/// Holds the rows `seen` against what was written under `numbers`. A row of another number is wrong whatever it says;
/// of `may` numbers (sent and never said to be durable) a row may be there, and has to be right then.
pub fn judge(
    seen: &BTreeMap<u64, Row>,
    numbers: std::ops::Range<u64>,
    may: std::ops::Range<u64>,
    bytes: usize,
) -> Judged {
    let mut judged = Judged::default();
    for (n, row) in seen {
        let empty = row.words().iter().all(|word| *word == NONE);
        if !numbers.contains(n) && !may.contains(n) && !empty {
            judged.wrong.push(format!("{n} was never sent"));
            continue;
        }
        let written = Row::written(*n, bytes);
        for ((name, found), wanted) in WORDS.iter().zip(row.words()).zip(written.words()) {
            let absent = found == NONE || found.starts_with(ERROR);
            if found != wanted && !absent {
                judged.wrong.push(format!("{name} of {n}: wrote {wanted}, read {found}"));
            }
            if found != wanted && absent && numbers.contains(n) {
                judged.missing.entry(*n).or_default().push(name);
            }
        }
        judged.whole += u64::from(row == &written);
    }
    for n in numbers.filter(|n| !seen.contains_key(n)) {
        judged.missing.insert(n, WORDS.to_vec());
    }
    judged
}
