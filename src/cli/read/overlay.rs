//! What is written over each frame of an annotated video: plates that are followed, what was read of them, where they came
//! from, and the last reads told.
//!
//! The analyser tells events, not places; what it follows in each frame comes from its observer's hook. Where its gate
//! rests nothing has moved, and what was drawn last stays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image::RgbImage;

use crate::cli::draw::{self, Mark, Places, Thing};
use crate::domain::{Detection, Frame, PlateRead, Quad, SightingEvent, Vehicle};
use crate::vision::analyser::insight::{Insight, Note};

use super::vehicles;

/// How long the way that a plate came is seen.
const TRAIL: Duration = Duration::from_millis(1500);

/// Reads that stand in the corner.
const TOLD: usize = 4;

/// What was noticed in one frame.
#[derive(Default)]
struct Noticed {
    rested: bool,
    seen: Vec<(u32, Detection)>,
    reads: Vec<(u32, PlateRead)>,
}

/// The analyser's end of it.
struct Observer(Arc<Mutex<Noticed>>);

impl Insight for Observer {
    fn note(&mut self, _: Duration, note: &Note<'_>) {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            Note::Rested => noticed.rested = true,
            Note::Followed { track, plate, .. } => noticed.seen.push((*track, (*plate).clone())),
            Note::Read { track, read: Some(read), .. } => noticed.reads.push((*track, (*read).clone())),
            _ => {}
        }
    }
}

/// A track as it is drawn.
#[derive(Default)]
struct Track {
    /// Middles of its plate and their times, the oldest first.
    way: VecDeque<(Duration, (f32, f32))>,
    /// What was told of it.
    label: Option<Label>,
}

#[derive(Clone)]
struct Label {
    text: String,
    confidence: f32,
    vehicle: Option<Vehicle>,
}

/// A read that was told.
struct Told {
    id: [u8; 16],
    begin: Duration,
    text: String,
    confidence: f32,
}

/// What is drawn over the frames of one video.
pub(super) struct Overlay {
    noticed: Arc<Mutex<Noticed>>,
    tracks: BTreeMap<u32, Track>,
    /// Plates of the newest frame that was looked at.
    seen: Vec<(u32, Detection)>,
    told: VecDeque<Told>,
}

impl Overlay {
    /// With nothing seen yet, and what the analyser is to tell it by.
    pub(super) fn new() -> (Self, Box<dyn Insight>) {
        let noticed = Arc::new(Mutex::new(Noticed::default()));
        let observer = Box::new(Observer(Arc::clone(&noticed)));
        (Self { noticed, tracks: BTreeMap::new(), seen: Vec::new(), told: VecDeque::new() }, observer)
    }

    /// Takes in what a step told; `since` gives the place in the video of a time.
    pub(super) fn step(&mut self, pts: Duration, events: &[SightingEvent]) {
        let noticed = std::mem::take(&mut *self.noticed.lock().unwrap_or_else(PoisonError::into_inner));
        if !noticed.rested {
            self.seen = noticed.seen;
        }
        for (track, plate) in &self.seen {
            let centre = plate.rect.centre();
            let way = &mut self.tracks.entry(*track).or_default().way;
            way.push_back((pts, (centre.x, centre.y)));
            while way.front().is_some_and(|(at, _)| pts.saturating_sub(*at) > TRAIL) {
                way.pop_front();
            }
        }
        for event in events {
            let Some(read) = &event.sighting.read else { continue };
            let text = read.text.to_string();
            let label = Label { text: text.clone(), confidence: read.confidence, vehicle: event.sighting.vehicle };
            self.tracks.entry(event.sighting.track).or_default().label = Some(label);
            let told = Told { id: event.sighting.id.0, begin: pts, text, confidence: read.confidence };
            match self.told.iter_mut().find(|other| other.id == told.id) {
                Some(other) => *other = Told { begin: other.begin, ..told },
                None => self.told.push_back(told),
            }
            while self.told.len() > TOLD {
                self.told.pop_front();
            }
        }
        // A vehicle that was hidden goes on under another track: known by what is read of it.
        for (track, read) in noticed.reads {
            let known = self.tracks.values().filter_map(|t| t.label.clone()).find(|l| l.text == read.text.as_str());
            let track = self.tracks.entry(track).or_default();
            if track.label.is_none() {
                track.label = known;
            }
        }
        let seen = &self.seen;
        self.tracks.retain(|track, t| {
            t.label.is_some() && self.told.iter().any(|told| t.label.as_ref().is_some_and(|l| l.text == told.text))
                || seen.iter().any(|(s, _)| s == track)
        });
    }

    /// The frame with all that.
    pub(super) fn over(&self, frame: &Frame, places: &mut Places) -> RgbImage {
        let (mut marks, mut things): (Vec<Mark>, Vec<Thing>) = (Vec::new(), Vec::new());
        for (track, plate) in &self.seen {
            let followed = self.tracks.get(track);
            let label = followed.and_then(|t| t.label.as_ref());
            marks.push(Mark {
                outline: plate.corners.unwrap_or_else(|| Quad::from_rect(&plate.rect)),
                text: label.map(|l| l.text.clone()),
                confidence: label.map_or(plate.score, |l| l.confidence),
                way: followed.map(|t| t.way.iter().map(|(_, at)| *at).collect()).unwrap_or_default(),
            });
            things.extend(label.and_then(|l| l.vehicle).map(|v| vehicles::carrier(&v, frame.size())).filter(|thing| {
                // Where the vehicle was when it was told: drawn while the plate is still within.
                let (a, b) = (plate.rect.centre(), thing.rect);
                a.x > b.x1 && a.x < b.x2 && a.y > b.y1 && a.y < b.y2
            }));
        }
        let mut picture = draw::annotated(frame, places, &marks, &things);
        let rows: Vec<(String, f32)> = self
            .told
            .iter()
            .map(|told| (format!("{}  {}", clock_of(told.begin), told.text), told.confidence))
            .collect();
        draw::list(&mut picture, &clock_of(frame.pts), &rows);
        picture
    }
}

/// Minutes, seconds and tenths.
pub(super) fn clock_of(pts: Duration) -> String {
    let tenths = pts.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}
