//! One sighting while it lasts: what was read, what was told, when to read again.
//!
//! Holds no frame and decides nothing about other sightings; [`super::memory`] does that. Times are those of frames.

use std::time::Duration;

use super::settings::Settings;
use super::vehicles::Carrier;
use crate::domain::{
    CameraId, Class, ClockState, Detection, EventId, Pictures, PlateRead, PlateText, Point, Rect, Sighting, TimeMs,
};
use crate::vision::fuse::{Fusion, readability};

/// How much better a plate must be than the best that was read for a sure sighting to be read again.
const WORTH_READING: f32 = 1.2;

/// How much better it must be than the one that was last shown for another picture.
const WORTH_SHOWING: f32 = 1.4;

/// How much surer a read must have become to be told again: a confidence grows with every frame that agrees.
const SURER: f32 = 0.2;

/// Reads that contradict what was told and bear each other out, until it is another vehicle; their least confidence, and
/// how many are kept.
const CONTRADICTIONS: usize = 3;
const CONTRADICTION: f32 = 0.15;
const CONTRADICTIONS_KEPT: usize = 8;

/// What a frame's read did to a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was added, or there was none.
    Added,
    /// It contradicts all before; it waits for others that say so.
    Doubted,
    /// So many contradict that this is another vehicle; [`Followed::take_contradicting`] has its reads.
    AnotherVehicle,
}

/// Where a sighting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// A track carries it.
    Live(u32),
    /// Its track broke off; it may come back.
    Lost,
    /// Its end was told; it is kept to know the same plate again.
    Ended,
}

/// What was told of a sighting last.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub text: PlateText,
    pub confidence: f32,
    /// How readable the best plate was by then.
    pub quality: f32,
    pub at: TimeMs,
    /// The vehicle's class.
    pub vehicle: Option<Class>,
}

/// One sighting.
#[derive(Debug)]
pub(super) struct Followed {
    pub id: EventId,
    /// Number of the track that began it.
    pub track: u32,
    pub life: Life,
    pub class: Class,
    pub confirmed: bool,
    /// Another sighting that lives has the same plate: nothing is told of this one.
    pub duplicate: bool,
    /// It came back after its end was told: nothing is told but what changed.
    pub reopened: bool,
    pub begin: TimeMs,
    pub last: TimeMs,
    pub told: Option<Told>,
    pub pictures: Option<Pictures>,
    pub fusion: Fusion,
    pub read: Option<PlateRead>,
    /// Where it was seen last, pixels.
    pub rect: Rect,
    /// The vehicle that carries it.
    pub carrier: Carrier,
    /// The vehicle was put right once: a class that wavers is not told again.
    vehicle_corrected: bool,
    hits: u32,
    best_score: f32,
    best_rect: [f32; 4],
    best_quality: f32,
    picture_quality: f32,
    read_quality: f32,
    first: Rect,
    reads: u32,
    /// Reads that gave little: counts reads, and falls with the square of what the plate grows in quality.
    effort: f32,
    last_read: Option<TimeMs>,
    /// Reads that are wanted although it is certain: it came back, and may be someone else.
    verify: u32,
    came_back: bool,
    contradicting: Vec<(PlateRead, f32)>,
    /// Where it stands, and since when.
    stand: (Point, TimeMs),
}

impl Followed {
    pub(super) fn new(id: EventId, track: u32, at: TimeMs, detection: &Detection, settings: &Settings) -> Self {
        let centre = detection.rect.centre();
        Self {
            id,
            track,
            life: Life::Live(track),
            class: detection.class,
            confirmed: false,
            duplicate: false,
            reopened: false,
            begin: at,
            last: at,
            told: None,
            pictures: None,
            fusion: Fusion::by(settings.patterns.clone()),
            read: None,
            rect: detection.rect,
            carrier: Carrier::default(),
            vehicle_corrected: false,
            hits: 0,
            best_score: 0.0,
            best_rect: [0.0; 4],
            best_quality: -1.0,
            picture_quality: 0.0,
            read_quality: 0.0,
            first: detection.rect,
            reads: 0,
            effort: 0.0,
            last_read: None,
            verify: 0,
            came_back: false,
            contradicting: Vec::new(),
            stand: (centre, at),
        }
    }

    /// Takes in that it was seen, in a frame of this size.
    pub(super) fn seen(&mut self, at: TimeMs, detection: &Detection, size: (f32, f32)) {
        self.last = self.last.max(at);
        self.hits = self.hits.saturating_add(1);
        self.best_score = self.best_score.max(detection.score);
        self.rect = detection.rect;
        let centre = detection.rect.centre();
        let (dx, dy) = (centre.x - self.stand.0.x, centre.y - self.stand.0.y);
        if dx.hypot(dy) > 0.6 * detection.rect.width().max(8.0) {
            self.stand = (centre, at);
        }
        let quality = readability(detection);
        if quality > self.best_quality {
            self.best_quality = quality;
            self.best_rect = detection.rect.relative(size.0.max(1.0), size.1.max(1.0));
        }
    }

    /// Whether it has stayed in its place for long.
    pub(super) fn is_parked(&self, settings: &Settings) -> bool {
        u128::from(self.last.since(self.stand.1)) >= settings.parked_after.as_millis()
    }

    /// Whether `rect` lies where this was seen last and has its size.
    pub(super) fn is_at(&self, rect: &Rect) -> bool {
        let (a, b) = (self.rect.centre(), rect.centre());
        let (w, v) = (self.rect.width().max(1.0), rect.width().max(1.0));
        (a.x - b.x).hypot(a.y - b.y) < 0.6 * w.max(v) && (0.7..1.43).contains(&(w / v))
    }

    /// Whether `rect` touches its place or lies beside it.
    pub(super) fn is_near(&self, rect: &Rect) -> bool {
        let (a, b) = (self.rect.centre(), rect.centre());
        (a.x - b.x).hypot(a.y - b.y) < 1.5 * self.rect.width().max(rect.width())
    }

    /// It was found again on `track` (at its place, or by its plate).
    pub(super) fn resume(&mut self, track: u32) {
        self.reopened |= self.life == Life::Ended;
        self.life = Life::Live(track);
        self.confirmed = true;
        self.came_back = true;
        self.verify = 4;
    }

    /// Takes over the identity of `other`, whose plate this one has: it goes on as that sighting.
    pub(super) fn become_same_as(&mut self, other: Self) {
        self.id = other.id;
        self.track = other.track;
        self.begin = self.begin.min(other.begin);
        self.reopened = other.life == Life::Ended;
        self.told = other.told;
        self.first = other.first;
        self.fusion.merge(other.fusion);
        self.read = self.fusion.fused();
        self.carrier.merge(other.carrier);
        self.vehicle_corrected = other.vehicle_corrected;
        if other.best_quality > self.best_quality {
            self.best_quality = other.best_quality;
            self.best_rect = other.best_rect;
        }
        if other.picture_quality > self.picture_quality {
            self.picture_quality = other.picture_quality;
            self.pictures = other.pictures;
        }
    }

    /// How much it wants to be read in this frame, `None` not at all.
    pub(super) fn wants_read(&self, at: TimeMs, detection: &Detection, settings: &Settings) -> Option<f32> {
        if self.class != Class::Plate || detection.rect.width() < settings.min_plate_width {
            return None;
        }
        let quality = readability(detection);
        let waited = self.last_read.map_or(Duration::MAX, |t| Duration::from_millis(at.since(t)));
        let better = quality > WORTH_READING * self.read_quality;
        // Looked at again now and then, lest another vehicle has taken its place unnoticed.
        let again = if self.is_parked(settings) { settings.reread_parked } else { settings.reread_moving };
        let tired = self.effort >= settings.reads_per_track;
        if self.reads == 0 || self.verify > 0 || (!self.contradicting.is_empty() && !tired) {
            return Some(3.0 + quality);
        }
        if self.duplicate || tired || (self.is_certain(settings) && self.read_quality >= settings.rest_quality) {
            return (better || waited >= again).then_some(quality);
        }
        let adds = quality >= 0.6 * self.read_quality || waited >= Duration::from_millis(400);
        adds.then_some(1.0 + quality)
    }

    fn is_certain(&self, settings: &Settings) -> bool {
        self.told.is_some()
            && self
                .read
                .as_ref()
                .is_some_and(|r| r.confidence >= settings.rest_confidence && self.fusion.agreeing(&r.text) >= 3)
    }

    /// What is told of it now.
    pub(super) fn tell(&mut self, at: TimeMs, settings: &Settings) {
        let Some(read) = self.trusted(settings) else { return };
        let (text, confidence) = (read.text.clone(), read.confidence);
        self.vehicle_corrected |= self.told.is_some() && self.has_other_vehicle();
        let vehicle = self.carrier.vehicle().map(|v| v.class);
        self.told = Some(Told { text, confidence, quality: self.read_quality, at, vehicle });
        self.reopened = false;
    }

    /// Takes in what a frame's read gave.
    pub(super) fn take_read(
        &mut self,
        at: TimeMs,
        detection: &Detection,
        read: Option<&PlateRead>,
        settings: &Settings,
    ) -> Taken {
        let quality = readability(detection);
        self.reads = self.reads.saturating_add(1);
        self.last_read = Some(at);
        if quality > self.read_quality {
            // Tries at a plate that was too small to read do not count against it when it has grown.
            self.effort *= (self.read_quality / quality).powi(2);
            self.read_quality = quality;
        }
        self.effort += 1.0;
        self.verify = self.verify.saturating_sub(1);
        let Some(read) = read else { return Taken::Added };
        let sureness = if read.confidence.is_finite() { read.confidence.clamp(0.0, 1.0) } else { 0.0 };
        let told = self.told.as_ref().map(|t| t.text.as_str());
        if told.is_none_or(|t| is_same_plate(t, read.text.as_str(), 2)) {
            self.contradicting.clear();
            self.add(read, quality);
            return Taken::Added;
        }
        if sureness < CONTRADICTION {
            return Taken::Doubted;
        }
        self.contradicting.push((read.clone(), quality));
        let like = |r: &PlateRead| is_same_plate(r.text.as_str(), read.text.as_str(), 2);
        if self.contradicting.iter().filter(|(r, _)| like(r)).count() < CONTRADICTIONS {
            let extra = self.contradicting.len().saturating_sub(CONTRADICTIONS_KEPT);
            self.contradicting.drain(..extra);
            return Taken::Doubted;
        }
        self.contradicting.retain(|(r, _)| like(r));
        // A plate that has grown much since it was told puts right a mistake of the first, small pictures: begun anew,
        // told as an update. Otherwise what was certain does not become wrong by itself.
        let grown = self.told.as_ref().is_some_and(|t| quality > WORTH_SHOWING * t.quality);
        if self.came_back || (self.is_certain(settings) && !grown) {
            return Taken::AnotherVehicle;
        }
        self.fusion = Fusion::by(settings.patterns.clone());
        for (read, quality) in self.take_contradicting() {
            self.add(&read, quality);
        }
        Taken::Added
    }

    /// The reads that say it is another vehicle.
    pub(super) fn take_contradicting(&mut self) -> Vec<(PlateRead, f32)> {
        std::mem::take(&mut self.contradicting)
    }

    /// Adds a read and fuses.
    pub(super) fn add(&mut self, read: &PlateRead, quality: f32) {
        self.fusion.add(read, quality.max(0.005));
        self.read = self.fusion.fused();
    }

    /// Whether this frame, whose plate was read, is worth a picture; if so, it counts as taken. Before anything can be
    /// told only clearly better plates are: most of what is small and unread is never asked for.
    pub(super) fn wants_picture(&mut self, detection: &Detection, settings: &Settings) -> bool {
        let quality = readability(detection).max(1e-3);
        let enough = if self.trusted(settings).is_some() { WORTH_SHOWING } else { WORTH_SHOWING * WORTH_SHOWING };
        let wants = quality > enough * self.picture_quality;
        if wants {
            self.picture_quality = quality;
        }
        wants
    }

    /// The read, when it can be told now.
    pub(super) fn trusted(&self, settings: &Settings) -> Option<&PlateRead> {
        let read = self.read.as_ref().filter(|r| r.text.as_str().len() >= settings.min_characters)?;
        let agreed = read.confidence >= settings.tell_confidence && self.fusion.agreeing(&read.text) >= 2;
        (self.confirmed && (agreed || read.confidence >= settings.tell_at_once)).then_some(read)
    }

    /// Whether the trusted read differs enough from what was told to be told again.
    pub(super) fn changed(&self, at: TimeMs, settings: &Settings) -> bool {
        let (Some(told), Some(read)) = (&self.told, self.trusted(settings)) else { return false };
        let debounced = u128::from(at.since(told.at)) >= settings.update_every.as_millis();
        let surer = !self.reopened && read.confidence >= told.confidence + SURER;
        let vehicle = !self.reopened && !self.vehicle_corrected && self.has_other_vehicle();
        debounced && (read.text != told.text || surer || vehicle)
    }

    /// Whether the vehicle is certain by now and another than was told, or was not told at all.
    fn has_other_vehicle(&self) -> bool {
        let told = self.told.as_ref().and_then(|t| t.vehicle);
        self.carrier.settled().is_some_and(|class| told != Some(class))
    }

    /// The sighting as it stands, with the read where it is good enough.
    pub(super) fn sighting(&self, camera: &CameraId, number: u16, clock: ClockState, settings: &Settings) -> Sighting {
        let vehicle = self.carrier.vehicle();
        Sighting {
            id: self.id,
            camera: camera.clone(),
            camera_number: number,
            track: self.track,
            begin: self.begin,
            end: self.last,
            clock,
            class: vehicle.map_or(self.class, |v| v.class),
            vehicle,
            read: self.keepable(settings).cloned(),
            rect: self.best_rect,
            direction: self.direction(),
        }
    }

    /// Whether its end is worth telling: it was told before, or there is a read, or it surely was a plate.
    pub(super) fn is_worth_an_end(&self, settings: &Settings) -> bool {
        let seen = self.hits >= settings.unread_hits && self.best_score >= settings.unread_score;
        self.told.is_some() || seen || self.keepable(settings).is_some()
    }

    /// The read, when it may go with the sighting.
    fn keepable(&self, settings: &Settings) -> Option<&PlateRead> {
        let read = self.read.as_ref().filter(|r| r.text.as_str().len() >= settings.min_characters)?;
        (self.told.is_some() || read.confidence >= settings.keep_confidence).then_some(read)
    }

    /// Where it went: by the plate, and where that was seen too shortly, by the vehicle.
    fn direction(&self) -> Option<u16> {
        let far = self.first.width().max(0.4 * self.rect.width()).max(12.0);
        let by_plate = direction(&self.first, &self.rect, far);
        by_plate.or_else(|| {
            let (first, last) = self.carrier.path()?;
            direction(&first, &last, 0.3 * first.width().max(last.width()).max(40.0))
        })
    }
}

/// Degrees clockwise from up of the way from one place to another, where it is `far` or more.
fn direction(first: &Rect, now: &Rect, far: f32) -> Option<u16> {
    let (now, first) = (now.centre(), first.centre());
    let (dx, dy) = (now.x - first.x, now.y - first.y);
    if dx.hypot(dy) < far || !dx.is_finite() || !dy.is_finite() {
        return None;
    }
    let degrees = dx.atan2(-dy).to_degrees().rem_euclid(360.0).round();
    (0_u16..360).find(|d| (f32::from(*d) - degrees).abs() < 0.5).or(Some(0))
}

/// Whether two texts are one plate read twice: the same but for look-alikes, or within `edits` changed characters.
pub(super) fn is_same_plate(a: &str, b: &str, edits: usize) -> bool {
    crate::domain::confusable::texts_alike(a, b) || distance(a.as_bytes(), b.as_bytes()) <= edits
}

/// Levenshtein distance, look-alikes costing nothing.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let swap = corner + usize::from(!crate::domain::confusable::alike(*x, *y));
            corner = *cell;
            left = swap.min(left + 1).min(corner + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_overlooks_look_alikes() {
        for (a, b, want) in [("ABC123", "ABC123", 0), ("ABC123", "A8C1Z3", 0), ("ABC123", "ABX12", 2), ("", "AB", 2)] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), want, "{b} {a}");
        }
        assert!(is_same_plate("ABC123", "AXC123", 1) && !is_same_plate("ABC123", "AXX123", 1));
    }

    #[test]
    fn direction_is_clockwise_from_up() {
        let at = |x: f32, y: f32| Detection {
            class: Class::Plate,
            score: 0.9,
            rect: Rect::new(x, y, x + 40.0, y + 10.0),
            corners: None,
        };
        for (x, y, want) in [
            (500.0, 400.0, None),
            (500.0, 100.0, Some(0)),
            (900.0, 400.0, Some(90)),
            (500.0, 800.0, Some(180)),
            (100.0, 400.0, Some(270)),
        ] {
            let mut followed = Followed::new(EventId([0; 16]), 1, TimeMs(0), &at(500.0, 400.0), &Settings::default());
            followed.seen(TimeMs(100), &at(x, y), (1280.0, 720.0));
            assert_eq!(followed.direction(), want);
        }
    }
}
