//! One timeline of what many boxes saw of a plate: sightings with the hits that they are, oldest first, and as GeoJSON.
//!
//! A read and the hits of one sighting are one entry. Sightings of one camera that begin within [`SAME_PASS_MS`] of the one
//! before are told as probably the same pass, and kept. A time that a box told without a time service is marked: its place
//! in the order is not sure. Which boxes are missing stands in both forms; a timeline with holes looks like one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gather::{Gathered, Row};
use super::show::{clock_word, read_json, row_json};
use crate::command::ops::query::hits::HitRow;
use crate::command::ops::query::{CameraPlace, ReadRow};
use crate::domain::{BoxId, CameraId, ClockState, EventId, TimeMs};

/// Sightings of one camera closer than this are probably one pass.
const SAME_PASS_MS: u64 = 10_000;

/// One sighting.
#[derive(Debug, Clone)]
pub struct Seen {
    /// By which box.
    pub box_id: BoxId,
    /// What was read.
    pub read: ReadRow,
    /// The hits that it is.
    pub hits: Vec<HitRow>,
    /// Where the camera stands, where that is known.
    pub place: Option<CameraPlace>,
    /// The camera saw the plate a moment before: probably the same pass.
    pub again: bool,
}

/// All of it.
#[derive(Debug)]
pub struct Timeline {
    /// Oldest first.
    pub seen: Vec<Seen>,
    /// Boxes of which something is missing, with why.
    pub missing: BTreeMap<BoxId, String>,
    /// Boxes whose clock is not kept by a time service now.
    pub clocks: BTreeMap<BoxId, ClockState>,
    /// How many boxes were asked.
    pub asked: usize,
}

impl Timeline {
    /// Merges answers about reads and about hits.
    #[must_use]
    pub fn of(gathered: &[Gathered]) -> Self {
        let mut all: BTreeMap<(BoxId, EventId), Seen> = BTreeMap::new();
        let mut places: BTreeMap<(BoxId, CameraId), CameraPlace> = BTreeMap::new();
        let (mut missing, mut clocks) = (BTreeMap::new(), BTreeMap::new());
        for (box_id, one) in gathered.iter().flat_map(|gathered| &gathered.boxes) {
            for (camera, place) in &one.cameras {
                places.insert((box_id.clone(), camera.clone()), place.clone());
            }
            if let Some(page) = one.page.as_ref().filter(|page| page.clock != ClockState::Synced) {
                clocks.insert(box_id.clone(), page.clock);
            }
            if let Some(why) = super::show::why(&one.outcome) {
                missing.insert(box_id.clone(), why);
            } else if one.has_more() {
                missing.insert(box_id.clone(), "it has more rows than were asked for".to_owned());
            }
            for row in &one.rows {
                let read = row.read();
                let entry = all.entry((box_id.clone(), read.id)).or_insert_with(|| Seen {
                    box_id: box_id.clone(),
                    read: read.clone(),
                    hits: Vec::new(),
                    place: None,
                    again: false,
                });
                match row {
                    Row::Read(read) => entry.read = read.clone(),
                    Row::Hit(hit) => entry.hits.push((**hit).clone()),
                }
            }
        }
        let mut seen: Vec<Seen> = all.into_values().collect();
        seen.sort_by_key(|seen| (seen.read.begin, seen.read.id));
        let mut last: BTreeMap<(BoxId, CameraId), TimeMs> = BTreeMap::new();
        for one in &mut seen {
            let camera = (one.box_id.clone(), one.read.camera.clone());
            one.place = places.get(&camera).cloned();
            let before = last.insert(camera, one.read.end);
            one.again = before.is_some_and(|end| one.read.begin.since(end) < SAME_PASS_MS);
        }
        let asked = gathered.iter().map(|gathered| gathered.boxes.len()).max().unwrap_or(0);
        Self { seen, missing, clocks, asked }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The first line of every form: how complete it is.
    #[must_use]
    pub fn headline(&self) -> String {
        let names: Vec<&str> = self.missing.keys().map(BoxId::as_str).collect();
        let missing =
            if names.is_empty() { String::new() } else { format!("; missing or not whole: {}", names.join(", ")) };
        format!("{} of {} boxes told all{missing}", self.asked.saturating_sub(names.len()), self.asked)
    }

    /// What is said beside the entries.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "kind": "summary",
            "asked": self.asked,
            "complete": self.is_complete(),
            "sightings": self.seen.len(),
            "same_pass": self.seen.iter().filter(|seen| seen.again).count(),
            "clock_unsure": self.seen.iter().filter(|seen| seen.is_unsure()).count(),
            "without_place": self.seen.iter().filter(|seen| seen.degrees().is_none()).count(),
            "missing": self.missing.iter().map(|(id, why)| json!({"box": id.as_str(), "why": why})).collect::<Vec<_>>(),
            "clocks": self.clocks.iter().map(|(id, state)| json!({"box": id.as_str(), "clock": clock_word(*state)}))
                .collect::<Vec<_>>(),
        })
    }

    /// A GeoJSON `FeatureCollection` (RFC 7946): a point a sighting whose camera's place is known, and the way between
    /// them in the order of time. What is said beside them stands in the foreign member `watchpost`.
    #[must_use]
    pub fn geojson(&self) -> Value {
        let point = |seen: &Seen| {
            let [lat, lon] = seen.degrees()?;
            Some(json!({
                "type": "Feature",
                "geometry": { "type": "Point", "coordinates": [lon, lat] },
                "properties": seen.json(),
            }))
        };
        let mut features: Vec<Value> = self.seen.iter().filter_map(point).collect();
        let way: Vec<[f64; 2]> = self.seen.iter().filter_map(Seen::degrees).map(|[lat, lon]| [lon, lat]).collect();
        if way.len() > 1 {
            features.push(json!({
                "type": "Feature",
                "geometry": { "type": "LineString", "coordinates": way },
                "properties": { "kind": "order of sightings, not the road taken" },
            }));
        }
        json!({ "type": "FeatureCollection", "features": features, "watchpost": self.summary() })
    }
}

impl Seen {
    /// Latitude and longitude of its camera.
    #[must_use]
    pub fn degrees(&self) -> Option<[f64; 2]> {
        self.place.as_ref()?.location.map(|[lat, lon]| [f64::from(lat) / 1e7, f64::from(lon) / 1e7])
    }

    /// Whether the time is one that no time service kept.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.read.clock != ClockState::Synced
    }

    /// As JSON: the read, with its hits and the camera's place.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut told = read_json(&self.box_id, &self.read);
        let hits: Vec<Value> =
            self.hits.iter().map(|hit| row_json(&self.box_id, &Row::Hit(Box::new(hit.clone())))).collect();
        let more = json!({
            "kind": "sighting",
            "hits": hits,
            "location": self.degrees(),
            "heading": self.place.as_ref().and_then(|place| place.heading),
            "road": self.place.as_ref().and_then(|place| place.road.clone()),
            "same_pass": self.again,
        });
        if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
            told.extend(more);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::ask::{Answer, Outcome};
    use crate::centre::wire::Reply;
    use crate::cli::plates::gather::Sought;
    use crate::command::ops;
    use crate::command::ops::query::{Page, reads};
    use crate::domain::{Class, CommandStatus, PlateText};

    fn read(n: u8, at: u64, camera: &str, clock: ClockState) -> ReadRow {
        ReadRow {
            id: EventId([n; 16]),
            begin: TimeMs(at),
            end: TimeMs(at + 900),
            clock,
            camera: CameraId::new(camera).unwrap(),
            class: Class::Car,
            plate: PlateText::from_raw("AB123CD"),
            permille: Some(950),
            candidates: None,
            region: None,
            colour: None,
            direction: None,
            frames: None,
        }
    }

    fn answered(rows: Vec<ReadRow>, cursor: Option<Vec<u8>>, clock: ClockState) -> Outcome {
        let cameras = vec![CameraPlace {
            camera: CameraId::new("gate").unwrap(),
            location: Some([525_000_000, 134_000_000]),
            heading: Some(90),
            road: None,
        }];
        let page = Page { cursor, counted: 1, from: TimeMs(0), to: TimeMs(9), cameras, clock };
        let mut reply = Reply::new([1; 16], CommandStatus::Successful, TimeMs(0), ClockState::Synced);
        reply.result = Some(ops::encode(&reads::Answer { rows, page }));
        Outcome::Answered(Answer {
            reply,
            attachments: BTreeMap::new(),
            missing: Vec::new(),
            signed: crate::centre::ask::Signed::default(),
        })
    }

    #[test]
    fn boxes_are_merged_by_time_and_what_is_missing_is_named() {
        let id = |name: &str| BoxId::new(name).unwrap();
        let synced = ClockState::Synced;
        let mut gathered = Gathered::new(Sought::Reads(reads::Args::default()));
        gathered
            .take(vec![
                (
                    id("box-1"),
                    answered(
                        vec![
                            read(3, 60_000, "yard", synced),
                            read(2, 9_000, "gate", synced),
                            read(1, 2_000, "gate", synced),
                        ],
                        None,
                        synced,
                    ),
                ),
                (
                    id("box-2"),
                    answered(vec![read(4, 5_000, "gate", ClockState::Unset)], Some(vec![1]), ClockState::Unset),
                ),
                (id("box-3"), Outcome::Silent),
            ])
            .unwrap();
        let timeline = Timeline::of(&[gathered]);
        let order: Vec<u8> = timeline.seen.iter().map(|seen| seen.read.id.0[0]).collect();
        assert_eq!(order, [1, 4, 2, 3]);
        assert_eq!(timeline.seen.iter().map(|seen| seen.again).collect::<Vec<_>>(), [false, false, true, false]);
        assert!(timeline.seen[1].is_unsure());
        assert_eq!(timeline.headline(), "1 of 3 boxes told all; missing or not whole: box-2, box-3");
        let told = timeline.geojson();
        assert_eq!(told["features"].as_array().unwrap().len(), 4, "three places and the way");
        assert_eq!(told["features"][0]["geometry"]["coordinates"], json!([13.4, 52.5]));
        assert_eq!(told["watchpost"]["without_place"], 1);
        assert_eq!(told["watchpost"]["missing"][1]["box"], "box-3");
        assert_eq!(told["watchpost"]["clocks"][0]["clock"], "unset");
    }
}
