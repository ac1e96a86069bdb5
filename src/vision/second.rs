//! A second, slower look at a pass that was read with doubt: which reads want it, how it is done, what of it counts.
//!
//! The first look has to keep up with the camera: frames are left out, a plate is read until it seems certain, and then
//! now and then. The second has all coded pictures of the pass and the time that a quiet street gives: every frame is
//! looked at, every plate in it read that tells something new, and the evidence fused as ever. What it finds replaces a read
//! only where it is of the same vehicle and surer; one that says something else, only where the first was little more than a
//! guess and it is not.
//!
//! Called by `supervise`, on a thread of its own. Left out: where the frames come from, and when there is time.

use std::sync::Arc;
use std::time::Duration;

use super::analyser::{Settings, is_same_plate};
use super::{Analyser, Error, Models};
use crate::domain::{Frame, Plan, PlateRead, Sighting, SightingEvent, Stage, TimeMs};

/// A read at least so sure is not doubted.
pub const SURE: f32 = 0.9;
/// A first read of this confidence or more keeps its text: at the limit of what can be read, where most doubts are, what many
/// frames show alike is as often wrong.
const STANDS: f32 = 0.4;
/// How sure another text must be: below this one guess is as good as another.
const ENOUGH: f32 = 0.7;
/// A first read below this may be of a piece of the plate, or of something else on the vehicle.
const FAINT: f32 = 0.5;
/// How near each other two places of one plate are at most, in widths of it.
const NEAR: f32 = 1.5;
/// Characters in which two reads of one plate may differ.
const EDITS: usize = 2;
/// What is looked at before and after the pass, so that a track begins and ends well.
const AROUND_MS: u64 = 400;

/// Whether a sighting that is over wants a second look: read with doubt, or not at all although its plate was wide enough
/// (`width`: of the picture, pixels).
#[must_use]
pub fn is_doubtful(sighting: &Sighting, settings: &Settings, width: f32) -> bool {
    let [left, _, right, _] = sighting.rect;
    match &sighting.read {
        Some(read) => read.confidence < SURE,
        None => (right - left) * width >= settings.min_plate_width,
    }
}

/// First and last moment of what is looked at again.
#[must_use]
pub fn around(first: &Sighting) -> (TimeMs, TimeMs) {
    (TimeMs(first.begin.0.saturating_sub(AROUND_MS)), TimeMs(first.end.0.saturating_add(AROUND_MS)))
}

/// How the second look is done: every frame, every plate, as often as it is seen.
fn slower(settings: &Settings) -> Settings {
    Settings {
        motion_gate: false,
        look_every: Duration::ZERO,
        glances: false,
        reads_per_frame: settings.reads_per_frame.max(16),
        reread_moving: Duration::ZERO,
        reread_parked: Duration::ZERO,
        reads_per_track: f32::MAX,
        // Nothing is ever readable enough to be read no more.
        rest_quality: f32::MAX,
        plan: Plan::default(),
        ..settings.clone()
    }
}

/// A second look under way.
pub struct Again {
    first: Sighting,
    analyser: Analyser,
    seen: Vec<Sighting>,
}

impl Again {
    /// At what was told as `first`, by a camera of these settings: what they hide stays hidden.
    #[must_use]
    pub fn new(first: Sighting, models: &Models, settings: &Settings) -> Self {
        let finder = Box::new(Arc::clone(&models.detector));
        let reader = Box::new(models.reader.expecting(settings.patterns.clone()));
        let analyser = Analyser::with(finder, reader, slower(settings), first.camera.clone(), first.camera_number);
        Self { first, analyser, seen: Vec::new() }
    }

    /// Looks at the next frame; those that are not of the pass are left out.
    ///
    /// # Errors
    /// What the models say.
    pub fn look(&mut self, frame: &Frame) -> Result<(), Error> {
        let (from, to) = around(&self.first);
        if frame.at < from || frame.at > to {
            return Ok(());
        }
        let events = self.analyser.step(frame)?;
        self.keep(events);
        Ok(())
    }

    fn keep(&mut self, events: Vec<SightingEvent>) {
        let ends = events.into_iter().filter(|event| event.stage == Stage::End && !event.object);
        self.seen.extend(ends.map(|event| event.sighting));
    }

    /// The read that takes the place of the first; `None`: the first stands.
    #[must_use]
    pub fn better(self) -> Option<PlateRead> {
        let (first, seen) = self.all();
        better(&first, &seen)
    }

    /// The surest read of the vehicle, whether it counts or not: for benches.
    #[must_use]
    pub fn read(self) -> Option<PlateRead> {
        let (first, seen) = self.all();
        surest(&first, &seen)
    }

    /// The first sighting, and those of the second look.
    fn all(mut self) -> (Sighting, Vec<Sighting>) {
        let events = self.analyser.finish(self.first.end);
        self.keep(events);
        (self.first, self.seen)
    }
}

/// The read that takes the place of `first`'s, of what a second look `again` found.
fn better(first: &Sighting, again: &[Sighting]) -> Option<PlateRead> {
    let read = surest(first, again).filter(|read| is_better(first.read.as_ref(), read))?;
    Some(match &first.read {
        Some(first) if first.text == read.text => tempered(first.confidence, read),
        _ => read,
    })
}

/// A read that says what the first one said is told half way between the two: both have seen the same pictures, and make
/// the same mistakes.
fn tempered(first: f32, mut read: PlateRead) -> PlateRead {
    read.confidence = f32::midpoint(first, read.confidence);
    for candidate in read.candidates.iter_mut().filter(|candidate| candidate.text == read.text) {
        candidate.confidence = read.confidence;
    }
    read
}

/// The surest read of the vehicle of `first`, of what a second look `again` found.
fn surest(first: &Sighting, again: &[Sighting]) -> Option<PlateRead> {
    let then: Vec<&Sighting> = again.iter().filter(|s| s.end >= first.begin && s.begin <= first.end).collect();
    let same = then.iter().filter(|seen| is_same(first, seen, then.len() == 1)).filter_map(|seen| seen.read.as_ref());
    same.max_by(|a, b| a.confidence.total_cmp(&b.confidence)).cloned()
}

/// Whether a read of the second look takes the place of the `first`.
#[must_use]
pub fn is_better(first: Option<&PlateRead>, again: &PlateRead) -> bool {
    let wanted = match first {
        Some(first) if first.text == again.text => first.confidence,
        Some(first) if first.confidence >= STANDS => return false,
        Some(_) => ENOUGH,
        None => SURE,
    };
    again.confidence >= wanted
}

/// Whether a sighting of the second look, of the same time, is the vehicle of the first: the same plate but for two
/// characters, or about the same place when it was most readable; or the `only` one that there was.
fn is_same(first: &Sighting, seen: &Sighting, only: bool) -> bool {
    if let Some((one, other)) = first.read.as_ref().zip(seen.read.as_ref()) {
        let faint = only && one.confidence < FAINT;
        return faint || is_same_plate(one.text.as_str(), other.text.as_str(), EDITS);
    }
    let centre = |rect: [f32; 4]| (f32::midpoint(rect[0], rect[2]), f32::midpoint(rect[1], rect[3]));
    let ((x1, y1), (x2, y2)) = (centre(first.rect), centre(seen.rect));
    let width = (first.rect[2] - first.rect[0]).max(seen.rect[2] - seen.rect[0]);
    only || (x1 - x2).hypot(y1 - y2) <= NEAR * width
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CameraId, Class, ClockState, EventId, Lattice, PlateText};

    fn sighting(text: Option<&str>, confidence: f32, rect: [f32; 4]) -> Sighting {
        let read = text.map(|text| PlateRead {
            text: PlateText::from_raw(text).unwrap(),
            confidence,
            char_confidences: Vec::new(),
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 3,
        });
        Sighting {
            id: EventId([1; 16]),
            camera: CameraId::new("gate").unwrap(),
            camera_number: 1,
            track: 1,
            begin: TimeMs(1_000),
            end: TimeMs(2_000),
            clock: ClockState::Synced,
            class: Class::Plate,
            vehicle: None,
            read,
            rect,
            direction: None,
        }
    }

    const HERE: [f32; 4] = [0.4, 0.4, 0.44, 0.42];
    const THERE: [f32; 4] = [0.7, 0.7, 0.74, 0.72];

    fn found(first: &Sighting, again: &[Sighting]) -> Option<String> {
        surest(first, again)
            .filter(|read| is_better(first.read.as_ref(), read))
            .map(|read| read.text.as_str().to_owned())
    }

    #[test]
    fn a_surer_read_of_the_same_vehicle_counts_and_another_vehicles_does_not() {
        let first = sighting(Some("AB123CX"), 0.35, HERE);
        let again = [sighting(Some("XY987ZZ"), 0.99, HERE), sighting(Some("AB123CD"), 0.9, THERE)];
        assert_eq!(found(&first, &again), Some("AB123CD".to_owned()));
        assert_eq!(found(&first, &[sighting(Some("AB123CD"), 0.6, HERE)]), None, "another guess");
        assert_eq!(found(&sighting(Some("AB123CX"), 0.5, HERE), &again), None, "it stands");
        let late = Sighting { begin: TimeMs(3_000), end: TimeMs(4_000), ..sighting(Some("AB123CD"), 0.99, HERE) };
        assert_eq!(found(&first, &[late]), None, "another time");
    }

    #[test]
    fn a_read_that_is_borne_out_is_told_half_way_between_the_two_looks() {
        let first = sighting(Some("AB123CX"), 0.6, HERE);
        let confidence = |again| better(&first, &[sighting(Some("AB123CX"), again, HERE)]).map(|read| read.confidence);
        assert!(confidence(0.9).is_some_and(|c| (c - 0.75).abs() < 1e-6));
        assert_eq!(confidence(0.55), None, "no surer");
    }

    #[test]
    fn what_was_not_read_takes_a_sure_read_from_its_place_or_of_the_only_one_there() {
        let first = sighting(None, 0.0, HERE);
        let (here, there) = (sighting(Some("AB123CD"), 0.95, HERE), sighting(Some("XY987ZZ"), 0.99, THERE));
        assert_eq!(found(&first, &[here.clone(), there.clone()]), Some("AB123CD".to_owned()));
        assert_eq!(found(&first, std::slice::from_ref(&there)), Some("XY987ZZ".to_owned()));
        assert_eq!(found(&first, &[sighting(None, 0.0, HERE), there]), None, "it is another's");
        assert_eq!(found(&first, &[sighting(Some("AB123CD"), 0.6, HERE)]), None);
        assert_eq!(found(&first, &[]), None);
    }

    #[test]
    fn a_faint_read_of_the_only_vehicle_may_have_been_of_a_piece_of_its_plate() {
        let whole = sighting(Some("AB123CD"), 0.95, THERE);
        assert_eq!(found(&sighting(Some("B12"), 0.3, HERE), std::slice::from_ref(&whole)), Some("AB123CD".to_owned()));
        assert_eq!(found(&sighting(Some("B12"), 0.7, HERE), std::slice::from_ref(&whole)), None);
        assert_eq!(found(&sighting(Some("B12"), 0.3, HERE), &[sighting(None, 0.0, HERE), whole]), None);
    }

    #[test]
    fn sure_reads_and_plates_too_narrow_are_not_doubted() {
        let settings = Settings::default();
        assert!(is_doubtful(&sighting(Some("AB123CD"), 0.6, HERE), &settings, 1280.0));
        assert!(!is_doubtful(&sighting(Some("AB123CD"), 0.97, HERE), &settings, 1280.0));
        assert!(is_doubtful(&sighting(None, 0.0, HERE), &settings, 1280.0));
        assert!(!is_doubtful(&sighting(None, 0.0, HERE), &settings, 320.0), "13 pixels");
    }
}
