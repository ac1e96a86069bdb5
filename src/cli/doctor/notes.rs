//! What the doctor writes down while a camera's frames go through the analyser.
//!
//! [`Sieve`] stands before the detector, which is asked for weaker plates than usual: those above the camera's threshold go
//! on, the others are noted. [`Watcher`] is the analyser's observer. Both write into one [`Notes`]. Besides they look where
//! the analyser does not: now and then at the whole picture where there is a region of interest, and for vehicles. Frames are seen masked, as all models
//! see them: what lies under a privacy mask stays unseen here, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::trail::{Looked, Trail};
use crate::domain::{Class, Detection, PlateRead, Quad, Rect};
use crate::vision::analyser::FindPlates;
use crate::vision::analyser::insight::{Insight, Note};
use crate::vision::detect::Detector;
use crate::vision::plate::Reader;
use crate::vision::quality::{self, PlateLook, Scene};
use crate::vision::track::{self, Tracker};
use crate::vision::{Area, Error, Seen, pictures};

/// Plates that are followed at most; a look of an hour has fewer.
const MOST_TRAILS: usize = 512;

/// How often vehicles are looked for, the whole picture is searched, the scene measured.
const EVERY: Duration = Duration::from_millis(400);

/// Most scenes that are kept.
const MOST_SCENES: usize = 256;

/// What moves is followed with these: everything counts, few detections make a track.
fn followed(least: f32) -> Tracker {
    let settings =
        track::Settings { high_score: least, low_score: least, confirm_hits: 3, ..track::Settings::default() };
    Tracker::new(settings)
}

/// Things that passed although nothing was made of them.
#[derive(Debug)]
pub(super) struct Shadow {
    tracker: Tracker,
    paths: BTreeMap<u32, Path>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub hits: u32,
    pub best_score: f32,
    pub widest: f32,
    pub begin: Duration,
    pub end: Duration,
    first: Rect,
    way: f32,
}

impl Shadow {
    fn new(least: f32) -> Self {
        Self { tracker: followed(least), paths: BTreeMap::new() }
    }

    pub(super) fn step(&mut self, at: Duration, found: &[Detection]) {
        for update in self.tracker.step(at, found).seen {
            let Some(d) = found.get(update.detection) else { continue };
            if self.paths.len() >= MOST_TRAILS && !self.paths.contains_key(&update.track) {
                continue;
            }
            let path = self.paths.entry(update.track).or_insert(Path {
                hits: 0,
                best_score: 0.0,
                widest: 0.0,
                begin: at,
                end: at,
                first: d.rect,
                way: 0.0,
            });
            let (a, b) = (path.first.centre(), d.rect.centre());
            path.hits += 1;
            path.end = at;
            path.best_score = path.best_score.max(d.score);
            path.widest = path.widest.max(d.rect.width());
            let size = path.first.width().max(d.rect.width()).max(1.0);
            path.way = path.way.max((a.x - b.x).hypot(a.y - b.y) / size);
        }
    }

    /// Those that were seen more than once or twice and moved by more than their own width.
    pub(super) fn passed(&self) -> impl Iterator<Item = &Path> {
        self.paths.values().filter(|p| p.hits >= 3 && p.way >= 1.0)
    }
}

/// All that was noted of one camera.
#[derive(Debug)]
pub(super) struct Notes {
    pub trails: Vec<Trail>,
    pub scenes: Vec<Scene>,
    /// The scene in which the most telling plate was, and before there is one, some scene: JPEG.
    pub picture: Option<Vec<u8>>,
    /// Frames that were looked at, and that the gate rested on.
    pub looked: u64,
    pub rested: u64,
    /// Plates below the threshold of the detector.
    pub weak: Shadow,
    /// Plates that privacy masks cut.
    pub masked: Shadow,
    /// Plates outside of the region of interest.
    pub outside: Shadow,
    /// Vehicles.
    pub vehicles: Shadow,
    /// Plates in frames that the gate rested on.
    pub asleep: Shadow,
    /// What the sieve held back in this frame.
    held: Vec<Detection>,
    /// Plates of this frame with their measures.
    measured: Vec<(Rect, PlateLook)>,
    /// Size of the pictures that plates are looked for in, and that they are read in.
    pub size: (f32, f32),
    pub read_size: (f32, f32),
    due: Duration,
    picture_width: f32,
}

impl Notes {
    pub(super) fn new(least: f32) -> Self {
        Self {
            trails: Vec::new(),
            scenes: Vec::new(),
            picture: None,
            looked: 0,
            rested: 0,
            weak: Shadow::new(least),
            masked: Shadow::new(least),
            outside: Shadow::new(least),
            vehicles: Shadow::new(0.3),
            asleep: Shadow::new(least),
            held: Vec::new(),
            measured: Vec::new(),
            size: (0.0, 0.0),
            read_size: (0.0, 0.0),
            due: Duration::ZERO,
            picture_width: 0.0,
        }
    }

    fn trail(&mut self, track: u32) -> Option<&mut Trail> {
        self.trails.iter_mut().rev().find(|t| t.track == track)
    }
}

/// The notes, shared by who writes and who reads them.
pub(super) type Shared = Arc<Mutex<Notes>>;

pub(super) fn lock(notes: &Shared) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A detector that tells of weaker plates than it passes on.
pub(super) struct Sieve {
    pub detector: Arc<Detector>,
    /// Score from which a plate is passed on.
    pub threshold: f32,
    pub notes: Shared,
}

impl FindPlates for Sieve {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        let found = self.detector.detect_in(frame, area)?;
        let (held, passed): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|d| d.class == Class::Plate && d.score < self.threshold);
        lock(&self.notes).held = held;
        Ok(passed)
    }
}

/// The analyser's observer.
pub(super) struct Watcher {
    pub notes: Shared,
    pub detector: Arc<Detector>,
    pub threshold: f32,
    pub reader: Arc<Reader>,
    /// Who finds vehicles, where somebody does.
    pub vehicles: Option<Arc<Detector>>,
    pub has_roi: bool,
}

impl Insight for Watcher {
    fn note(&mut self, pts: Duration, note: &Note<'_>) {
        match note {
            Note::Rested => lock(&self.notes).rested += 1,
            Note::Found { frame, all, kept } => self.found(pts, frame, all, kept),
            Note::Followed { track, plate, confirmed } => self.followed(pts, *track, plate, *confirmed),
            Note::Read { track, frame, plate, read } => self.read(pts, *track, (frame, plate), *read),
            Note::Over { track, standing } => {
                if let Some(trail) = lock(&self.notes).trail(*track) {
                    trail.standing = Some(*standing);
                }
            }
        }
    }
}

impl Watcher {
    fn found(&self, pts: Duration, frame: &Seen<'_>, all: &[Detection], kept: &[Detection]) {
        let mut notes = lock(&self.notes);
        notes.looked += 1;
        notes.size = frame.size();
        let held = std::mem::take(&mut notes.held);
        let dropped: Vec<Detection> = all.iter().filter(|d| !kept.contains(d)).cloned().collect();
        let cut = frame
            .hidden()
            .map(|hidden| dropped.iter().filter(|d| hidden.meets_rect(&d.rect)).cloned().collect::<Vec<Detection>>());
        notes.masked.step(pts, cut.as_deref().unwrap_or_default());
        // A plate that wavers around the threshold is one track: all of it is followed, its best score tells.
        let everything: Vec<Detection> = held.iter().chain(kept).cloned().collect();
        notes.weak.step(pts, &everything);
        notes.measured = kept.iter().map(|d| (d.rect, quality::plate(frame, d))).collect();
        if notes.looked > 1 && pts < notes.due {
            return;
        }
        notes.due = pts + EVERY;
        if notes.scenes.len() < MOST_SCENES {
            notes.scenes.extend(Scene::of(frame));
        }
        if notes.picture.is_none() {
            notes.picture = pictures::whole(frame);
        }
        drop(notes);
        self.look_around(pts, frame);
    }

    /// Vehicles, and plates outside of the region of interest. A model that fails here fails in the analyser as well, and is
    /// told there.
    fn look_around(&self, pts: Duration, frame: &Seen<'_>) {
        let whole = Area::whole(frame);
        let vehicles = self.vehicles.as_ref().and_then(|model| model.detect_in(frame, whole).ok());
        let outside = self.has_roi.then(|| self.detector.detect_in(frame, whole).ok()).flatten();
        let mut notes = lock(&self.notes);
        if let Some(mut found) = vehicles {
            found.retain(|d| d.class.is_vehicle());
            notes.vehicles.step(pts, &found);
        }
        if let Some(mut found) = outside {
            found.retain(|d| d.class == Class::Plate && d.score >= self.threshold);
            notes.outside.step(pts, &found);
        }
    }

    fn followed(&self, pts: Duration, track: u32, plate: &Detection, confirmed: bool) {
        let mut notes = lock(&self.notes);
        let look = notes.measured.iter().find(|(rect, _)| *rect == plate.rect).map(|(_, look)| *look);
        if notes.trail(track).is_none() {
            if notes.trails.len() >= MOST_TRAILS {
                return;
            }
            notes.trails.push(Trail::new(track, pts, plate));
        }
        let Some(trail) = notes.trail(track) else { return };
        trail.seen(pts, plate, confirmed);
        if let Some(look) = look {
            trail.looked(Looked { at: pts, look, exact: false });
        }
    }

    fn read(&self, pts: Duration, track: u32, (frame, plate): (&Seen<'_>, &Detection), read: Option<&PlateRead>) {
        let outline = plate.corners.unwrap_or_else(|| Quad::from_rect(&plate.rect));
        let corrected = self.reader.corners().and_then(|model| model.correct(frame, &[outline]).ok()?.pop());
        let exact = Detection { corners: corrected.or(plate.corners), ..plate.clone() };
        let look = quality::plate(frame, &exact);
        let mut notes = lock(&self.notes);
        notes.read_size = frame.size();
        let widest = notes.picture_width;
        let Some(trail) = notes.trail(track) else { return };
        trail.shown += 1;
        trail.texts += u32::from(read.is_some());
        if let Some(read) = read {
            trail.best_read = Some(trail.best_read.unwrap_or(0.0).max(read.confidence));
        }
        trail.looked(Looked { at: pts, look, exact: corrected.is_some() });
        let width = look.width;
        if trail.wants_picture(width)
            && let Some(taken) = pictures::take(frame, &plate.rect)
        {
            trail.pictures = Some((width, taken));
        }
        // One scene of the whole look, the best plate in it; taken anew only for a clearly larger one.
        if width > widest * 1.3 {
            notes.picture_width = width;
            notes.picture = pictures::whole(frame).or(notes.picture.take());
        }
    }
}
