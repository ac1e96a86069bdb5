//! One sighting while it lasts: what was read, what was told, when to read again.
//!
//! Holds no frame and decides nothing about other sightings; [`super::memory`] does that. Times are those of frames.

use std::time::Duration;

use super::ReadPlates;
use super::insight::{Refusal, Standing};
use super::pace::Pass;
use super::settings::Settings;
use super::vehicles::Carrier;
use super::way::{Way, direction};
use crate::domain::{
    CameraId, Class, ClockState, Detection, EventId, Pictures, PlateRead, PlateText, Sighting, TimeMs,
};
use crate::vision::Error;
use crate::vision::fuse::{Fusion, disagreement, is_part_of, readability};
use crate::vision::stack::{Cut, Stacks};

/// How much better a plate must be than the best that was read for a sure sighting to be read again.
const WORTH_READING: f32 = 1.2;

/// A doubtful plate is looked at in other ways again when it is by so much better than it was then: frames that are alike
/// would say the same again.
const WORTH_LOOKING: f32 = 1.15;

/// How much better it must be than the one that was last shown for another picture.
const WORTH_SHOWING: f32 = 1.4;

/// How much surer a read must have become to be told again: a confidence grows with every frame that agrees.
const SURER: f32 = 0.2;

/// Reads that contradict what was told and bear each other out, until it is another vehicle; their least confidence, and
/// how many are kept.
const CONTRADICTIONS: usize = 3;
const CONTRADICTION: f32 = 0.15;
const CONTRADICTIONS_KEPT: usize = 8;

/// Reads of one that may be someone else, before it is believed that it is not.
const VERIFY: u32 = 4;

/// How far a read may disagree with all before it after a jump ([`disagreement`]).
const AFTER_A_JUMP: f32 = 2.0;

/// What goes by so many of its widths in fewer looks went past too quickly for them.
const FEW: u32 = 5;
const QUICK: f32 = 6.0;

/// Times that a plate is seen in every frame, and what it goes from then on until it is seen again: in widths of it, and for how
/// long at most. Before anything was told of it, and after that.
const HASTY: u32 = 3;
const UNTOLD: (f32, Duration) = (0.25, Duration::from_millis(80));
const TOLD: (f32, Duration) = (0.5, Duration::from_millis(160));

/// A plate of this share of the least width will soon be read.
const NEARLY: f32 = 0.7;

/// Vehicles that are remembered to have been beside one.
const BESIDE_KEPT: usize = 8;

/// A parked vehicle is read again after this share of the time that it has stood, and after this long at the latest.
const REREAD_SHARE: u32 = 10;
const REREAD_LATEST: Duration = Duration::from_mins(1);

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
    /// Where it was seen, pixels.
    pub way: Way,
    /// Sightings that were seen with it in one frame, at other places: other vehicles.
    beside: Vec<EventId>,
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
    /// Of the best frame in which it was to be looked at in all ways.
    looked_quality: f32,
    reads: u32,
    /// Reads that gave little: counts reads, and falls with the square of what the plate grows in quality.
    effort: f32,
    last_read: Option<TimeMs>,
    /// Reads that are wanted although it is certain: it came back, and may be someone else.
    verify: u32,
    came_back: bool,
    /// Its track went where it can't have gone: maybe to the next vehicle, whose plate may be nearly the same.
    jumped: bool,
    contradicting: Vec<(PlateRead, f32)>,
    /// Its pictures laid over each other, while it is not certain.
    stacks: Stacks,
}

impl Followed {
    pub(super) fn new(id: EventId, track: u32, at: TimeMs, detection: &Detection, settings: &Settings) -> Self {
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
            way: Way::new(at, detection.rect),
            beside: Vec::new(),
            carrier: Carrier::default(),
            vehicle_corrected: false,
            hits: 0,
            best_score: 0.0,
            best_rect: [0.0; 4],
            best_quality: -1.0,
            picture_quality: 0.0,
            read_quality: 0.0,
            looked_quality: 0.0,
            reads: 0,
            effort: 0.0,
            last_read: None,
            verify: 0,
            came_back: false,
            jumped: false,
            contradicting: Vec::new(),
            stacks: Stacks::default(),
        }
    }

    /// Takes in that it was seen, in a frame of this size.
    pub(super) fn seen(&mut self, at: TimeMs, detection: &Detection, size: (f32, f32)) {
        self.last = self.last.max(at);
        self.hits = self.hits.saturating_add(1);
        self.best_score = self.best_score.max(detection.score);
        if self.way.jumps_to(&detection.rect, at) {
            (self.jumped, self.verify) = (true, VERIFY);
            self.stacks.clear();
            self.looked_quality = 0.0;
        }
        self.way.seen(at, detection.rect);
        let quality = readability(detection);
        if quality > self.best_quality {
            self.best_quality = quality;
            self.best_rect = detection.rect.relative(size.0.max(1.0), size.1.max(1.0));
        }
    }

    /// How it went past on `track`, which is over: followed for some looks, and for more than its own width. `None` for what did
    /// not, and for what has more than this track, which says nothing of how long one is in sight.
    pub(super) fn passed_on(&self, track: u32) -> Option<Pass> {
        let (from, to, width) = (self.way.first.centre(), self.way.last.centre(), self.way.last.width());
        let went = (to.x - from.x).hypot(to.y - from.y);
        if !self.confirmed || self.track != track || went <= width {
            return None;
        }
        let time = Duration::from_millis(self.last.since(self.begin));
        if self.hits < FEW && went > QUICK * width {
            return Some(Pass::TooQuick(time));
        }
        (self.hits >= 3).then_some(Pass::Within(time))
    }

    /// Whether it has stayed in its place for long.
    pub(super) fn is_parked(&self, settings: &Settings) -> bool {
        self.way.stood() >= settings.parked_after
    }

    /// Takes in that `other` was seen in the same frame, at another place.
    pub(super) fn saw_beside(&mut self, other: EventId) {
        if !self.beside.contains(&other) {
            let extra = (self.beside.len() + 1).saturating_sub(BESIDE_KEPT);
            self.beside.drain(..extra);
            self.beside.push(other);
        }
    }

    /// Whether it and `other` were in one frame, at different places.
    pub(super) fn was_beside(&self, other: &Self) -> bool {
        self.beside.contains(&other.id) || other.beside.contains(&self.id)
    }

    /// It was found again on `track` (at its place, or by its plate).
    pub(super) fn resume(&mut self, track: u32) {
        self.reopened |= self.life == Life::Ended;
        self.life = Life::Live(track);
        self.confirmed = true;
        self.came_back = true;
        self.verify = VERIFY;
        // It may be someone else.
        self.stacks.clear();
        self.looked_quality = 0.0;
    }

    /// Takes over the identity of `other`, whose plate this one has: it goes on as that sighting.
    pub(super) fn become_same_as(&mut self, other: Self) {
        self.id = other.id;
        self.track = other.track;
        self.begin = self.begin.min(other.begin);
        self.reopened = other.life == Life::Ended;
        self.told = other.told;
        self.way.begin_as(&other.way);
        other.beside.iter().for_each(|id| self.saw_beside(*id));
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
        let again = if self.is_parked(settings) {
            settings.reread_parked.max((self.way.stood() / REREAD_SHARE).min(REREAD_LATEST))
        } else {
            settings.reread_moving
        };
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

    /// Whether a glance is enough in this frame, which counts as looked at otherwise.
    pub(super) fn wants_glance(&mut self, detection: &Detection, settings: &Settings) -> bool {
        if !settings.glances {
            return false;
        }
        let quality = readability(detection).max(1e-3);
        let better = quality > WORTH_LOOKING * self.looked_quality;
        if better {
            self.looked_quality = quality;
        }
        !better
    }

    /// Whether its track may carry another vehicle by now.
    fn may_be_another(&self) -> bool {
        self.verify > 0 || !self.contradicting.is_empty()
    }

    /// Whether it is to be seen on: there is something to read, and it is not certain yet or may be another.
    pub(super) fn wants_more(&self, settings: &Settings) -> bool {
        let certain = self.is_certain(settings) && self.read_quality >= settings.rest_quality;
        let rests = certain && !self.may_be_another();
        let readable = self.way.last.width() >= NEARLY * settings.min_plate_width;
        readable && !self.duplicate && !rests && self.effort < settings.reads_per_track
    }

    /// How soon it wants to be seen again: in the next frame at first, and later when it has gone a part of its width, since what
    /// is alike would say the same again. Nobody waits any more for what was told.
    pub(super) fn haste(&self) -> Duration {
        let (step, longest) = if self.told.is_some() { TOLD } else { UNTOLD };
        if self.hits < HASTY || self.may_be_another() {
            Duration::ZERO
        } else {
            self.way.time_for(step * self.way.last.width()).min(longest)
        }
    }

    fn is_certain(&self, settings: &Settings) -> bool {
        let agreed = |text: &PlateText| self.fusion.agreeing(text) >= 3 && self.fusion.is_of_a_frame(text);
        self.told.is_some()
            && self.read.as_ref().is_some_and(|r| r.confidence >= settings.rest_confidence && agreed(&r.text))
    }

    /// Its pictures are needed no more, or are of another model's input.
    pub(super) fn forget_stacks(&mut self) {
        self.stacks.clear();
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

    /// Its end is told with `read`, which a second look gave, in the place of what was read of it.
    pub(super) fn put_right(&mut self, read: &PlateRead, settings: &Settings) {
        self.fusion = Fusion::by(settings.patterns.clone());
        self.stacks.clear();
        self.fusion.add(read, 1.0);
        let (at, quality) = (self.last, self.read_quality);
        let vehicle = self.carrier.vehicle().map(|v| v.class);
        self.told = Some(Told { text: read.text.clone(), confidence: read.confidence, quality, at, vehicle });
        self.read = Some(read.clone());
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
        let other = |own: &PlateRead| disagreement(own, read) > AFTER_A_JUMP;
        let is_next = self.jumped && self.read.as_ref().is_some_and(other);
        if told.is_none_or(|t| is_same_plate(t, read.text.as_str(), 2) && !is_next) {
            self.contradicting.clear();
            self.jumped &= self.verify > 0;
            self.add(read, quality);
            return Taken::Added;
        }
        // A plate that is hidden in part is read in part, and surely so: that is no other one.
        let shorter = |t: &str| read.text.as_str().len() < t.len() && is_part_of(t, read.text.as_str());
        if sureness < CONTRADICTION || told.is_some_and(shorter) {
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
        // A plate that has grown much since it was told may put right a mistake of the first, small pictures: all reads are
        // fused, which group of them weighs more decides, and an update tells it. Otherwise what was certain does not
        // become wrong by itself.
        let grown = self.told.as_ref().is_some_and(|t| quality > WORTH_SHOWING * t.quality);
        if self.came_back || self.jumped || (self.is_certain(settings) && !grown) {
            return Taken::AnotherVehicle;
        }
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

    /// Lays what was cut out over what was before, and has it read when enough has come together. What frames can't be read
    /// for, being small, smeared and coded coarsely, all of them together often can.
    pub(super) fn stack(
        &mut self,
        cut: &Cut,
        detection: &Detection,
        reader: &dyn ReadPlates,
        settings: &Settings,
    ) -> Result<(), Error> {
        if self.duplicate || self.is_certain(settings) || !self.contradicting.is_empty() {
            self.stacks.clear();
            return Ok(());
        }
        self.stacks.add(cut);
        let Some((together, count)) = self.stacks.due() else { return Ok(()) };
        let Some(read) = reader.read_cut(together)? else { return Ok(()) };
        if self.told.as_ref().is_none_or(|told| is_same_plate(told.text.as_str(), read.text.as_str(), 2)) {
            self.fusion.put_stack(&read, readability(detection).max(0.005), count);
            self.read = self.fusion.fused();
        }
        Ok(())
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

    /// Where it stands, and what keeps its read from being told: the rules of [`Followed::trusted`], one by one.
    pub(super) fn standing(&self, settings: &Settings) -> Standing {
        let refusal = match &self.read {
            _ if self.duplicate => Some(Refusal::Double),
            _ if self.told.is_some() => None,
            None if self.reads == 0 => Some(Refusal::NeverRead),
            None => Some(Refusal::NoText),
            Some(read) if read.text.as_str().len() < settings.min_characters => Some(Refusal::TooFewCharacters),
            _ if !self.confirmed => Some(Refusal::NotConfirmed),
            Some(read) if read.confidence < settings.tell_confidence => Some(Refusal::Unsure),
            Some(_) => Some(Refusal::NotAgreed),
        };
        Standing {
            hits: self.hits,
            best_score: self.best_score,
            reads: self.reads,
            confidence: self.read.as_ref().map(|read| read.confidence),
            characters: self.read.as_ref().map_or(0, |read| read.text.as_str().len()),
            refusal,
        }
    }

    /// Where it went: by the plate, and where that was seen too shortly, by the vehicle.
    fn direction(&self) -> Option<u16> {
        self.way.direction().or_else(|| {
            let (first, last) = self.carrier.path()?;
            direction(&first, &last, 0.3 * first.width().max(last.width()).max(40.0))
        })
    }
}

/// Whether two texts are one plate read twice: the same but for look-alikes, or within `edits` changed characters.
pub(in crate::vision) fn is_same_plate(a: &str, b: &str, edits: usize) -> bool {
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
}
