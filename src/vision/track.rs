//! Follows plates, vehicles and persons from frame to frame.
//!
//! Detections are joined to tracks by predicted place and size ([`one`]) and not by overlap alone: a plate of 60 pixels
//! moves by more than itself between two frames. Good detections go first, to whatever tracks they fit best; then weak
//! ones to sure tracks that were seen a moment ago (`ByteTrack`, Zhang et al. 2022); then what is left to sure tracks where
//! they were seen last, for what stood still while it was hidden (OC-SORT, Cao et al. 2023). Each round is the
//! assignment of least cost, in which a bad pair costs more than none. A jump of the whole picture is found first and
//! taken out ([`shake`]).
//!
//! A detection's own box is where a thing is: the filter's place is for joining, and a guess while the thing is hidden.
//! Times come with the frames; a time that goes back ends all tracks. At most 128 tracks live. Called by the analyser,
//! once a frame; takes microseconds.

use std::time::Duration;

pub use self::one::{Kind, Track};
use self::one::{LIMIT, Seen};
use super::assign::{MAX, assign};
use crate::domain::{Detection, Rect};

mod one;
mod shake;

/// How tracks begin, go on and end.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Score from which a detection may begin a track; weaker ones only continue sure tracks.
    pub high_score: f32,
    /// Score below which a detection is left out.
    pub low_score: f32,
    /// Detections that make a track sure.
    pub confirm_hits: u32,
    /// How long a plate's sure track lives without a detection (at least three frames).
    pub max_age: Duration,
    /// The same of a vehicle's or a person's: they are hidden for longer, and are not mistaken for another as easily.
    pub max_hidden: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            high_score: 0.35,
            low_score: 0.15,
            confirm_hits: 2,
            max_age: Duration::from_millis(1200),
            max_hidden: Duration::from_secs(3),
        }
    }
}

/// How long a track lives that is not yet sure (at least two frames).
const TENTATIVE_AGE: f32 = 0.2;

/// How long a track that is not seen is worth waiting for with every frame.
const RESTLESS: Duration = Duration::from_millis(1200);

/// Limit of the cost for a weak detection, and how long ago its track was seen at most (at least three frames).
const WEAK_LIMIT: f32 = 6.0;
const WEAK_AGE: f32 = 0.5;

/// Overlap with the last detection that is still the same thing, once the prediction has failed.
const AT_REST_IOU: f32 = 0.4;

/// A detection that overlaps one that was joined by this much begins no track of its own.
const DOUBLE_IOU: f32 = 0.7;

/// A detection that continues or begins a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackUpdate {
    /// The track's number, from 1, never used again.
    pub track: u32,
    /// Which of the frame's detections it is.
    pub detection: usize,
    /// Whether the track is sure.
    pub confirmed: bool,
}

/// A track that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedTrack {
    /// Its number.
    pub track: u32,
    /// Whether it ever was sure.
    pub confirmed: bool,
}

/// What one frame did to the tracks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Tracks seen in this frame, by detection.
    pub seen: Vec<TrackUpdate>,
    /// Tracks that ended before it.
    pub ended: Vec<EndedTrack>,
}

/// Follows everything in the pictures of one camera.
#[derive(Debug)]
pub struct Tracker {
    settings: Settings,
    tracks: Vec<Track>,
    last: u32,
    at: Duration,
    /// Smoothed time between frames, seconds.
    interval: f32,
}

impl Tracker {
    /// No tracks.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, tracks: Vec::new(), last: 0, at: Duration::ZERO, interval: 0.0 }
    }

    /// The track of this number, while it lives.
    #[must_use]
    pub fn track(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|t| t.id() == id)
    }

    /// The tracks that live, hidden ones and those that are not yet sure among them.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter()
    }

    /// Takes the detections of the frame at `at` (time from the stream's start). Detections that are no boxes are left
    /// out, and so is a second box of one thing; only the first 128 are looked at.
    pub fn step(&mut self, at: Duration, detections: &[Detection]) -> Step {
        self.step_where(at, detections, |_| true)
    }

    /// The same of a frame that was looked at in part: tracks that were seen in the last one where nobody `looked` now stay
    /// where they are and do not age.
    pub fn step_where(&mut self, at: Duration, detections: &[Detection], looked: impl Fn(&Rect) -> bool) -> Step {
        let mut step = Step::default();
        if at < self.at {
            step.ended = self.end_all();
        }
        let before = self.at;
        for track in self.tracks.iter_mut().filter(|t| t.seen_at == before && !looked(&t.last_rect())) {
            track.rest(at.saturating_sub(before));
        }
        self.keep_time(at);
        self.end_old(&mut step.ended);
        for track in &mut self.tracks {
            track.predict(at);
        }
        let low = self.settings.low_score;
        let seen: Vec<Seen> = detections
            .iter()
            .take(MAX)
            .enumerate()
            .filter_map(|(i, d)| Seen::of(i, d))
            .filter(|s| s.score >= low)
            .collect();
        let steady = self.tracks.iter().filter(|t| t.seen_at == before && t.hits() > 1);
        if let Some(by) = shake::shift(steady, &seen) {
            self.tracks.iter_mut().for_each(|t| t.shift(by));
        }
        let (mut free, mut weak): (Vec<&Seen>, Vec<&Seen>) =
            seen.iter().partition(|s| s.score >= self.settings.high_score);
        let mut open: Vec<usize> = (0..self.tracks.len()).collect();
        let mut joined: Vec<(Kind, Rect)> = Vec::with_capacity(seen.len());
        let mut round = Round { at, open: &mut open, joined: &mut joined, seen: &mut step.seen };
        let recent = WEAK_AGE.max(3.5 * self.interval);
        self.join(&mut round, &mut free, LIMIT, |_| true, Track::cost);
        self.join(
            &mut round,
            &mut weak,
            WEAK_LIMIT,
            |t| t.confirmed && t.hidden_for().as_secs_f32() <= recent,
            Track::cost,
        );
        self.join(&mut round, &mut free, 1.0 - AT_REST_IOU, |t| t.confirmed, Track::cost_at_rest);
        self.begin(at, free, &mut joined, &mut step.seen);
        step.seen.sort_unstable_by_key(|u| u.detection);
        step
    }

    /// Begins tracks with what is left, but for second boxes of what was `joined` or of each other.
    fn begin(
        &mut self,
        at: Duration,
        mut free: Vec<&Seen>,
        joined: &mut Vec<(Kind, Rect)>,
        out: &mut Vec<TrackUpdate>,
    ) {
        // The surer of two boxes stays, in whatever order they come.
        free.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.rect.x1.total_cmp(&b.rect.x1)));
        free.retain(|new| {
            let kind = Kind::of(new.class);
            let double = joined.iter().any(|(k, r)| *k == kind && r.iou(&new.rect) > DOUBLE_IOU);
            joined.extend((!double).then_some((kind, new.rect)));
            !double
        });
        free.truncate(MAX.saturating_sub(self.tracks.len()));
        free.sort_unstable_by_key(|new| new.index);
        for new in free {
            self.last = self.last.saturating_add(1);
            let mut track = Track::new(self.last, at, new);
            track.confirmed = self.settings.confirm_hits <= 1;
            out.push(TrackUpdate { track: self.last, detection: new.index, confirmed: track.confirmed });
            self.tracks.push(track);
        }
    }

    /// Whether a track waits for the next frame: not yet sure, or not seen in the last one and only for a moment.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        let waits = |t: &Track| t.seen_at != self.at && self.at.saturating_sub(t.seen_at) <= RESTLESS;
        self.tracks.iter().any(|t| !t.confirmed || waits(t))
    }

    /// Nothing moved up to `at`: tracks that were seen at the last step stay where they are and do not age. Those that
    /// were not go on ageing: what left does not come back by standing still. A time that goes back is left to the next
    /// step.
    pub fn hold(&mut self, at: Duration) {
        let Some(rested) = at.checked_sub(self.at) else { return };
        let before = std::mem::replace(&mut self.at, at);
        self.tracks.iter_mut().filter(|t| t.seen_at == before).for_each(|t| t.rest(rested));
    }

    /// Ends every track: the stream is over or began again.
    pub fn end_all(&mut self) -> Vec<EndedTrack> {
        self.at = Duration::ZERO;
        self.tracks.drain(..).map(|t| EndedTrack { track: t.id(), confirmed: t.confirmed }).collect()
    }

    fn keep_time(&mut self, at: Duration) {
        let dt = at.saturating_sub(self.at).as_secs_f32();
        self.at = at;
        // A pause is no frame rate.
        if dt > 0.0 && dt < 5.0 {
            self.interval = if self.interval > 0.0 { self.interval + 0.2 * (dt - self.interval) } else { dt };
        }
    }

    fn end_old(&mut self, ended: &mut Vec<EndedTrack>) {
        let at_least = 3.5 * self.interval;
        let plate = self.settings.max_age.as_secs_f32().max(at_least);
        let other = self.settings.max_hidden.as_secs_f32().max(at_least);
        let tentative = TENTATIVE_AGE.max(2.5 * self.interval);
        let at = self.at;
        self.tracks.retain(|t| {
            let age = at.saturating_sub(t.seen_at).as_secs_f32();
            let lives = age
                <= match (t.confirmed, t.kind()) {
                    (false, _) => tentative,
                    (true, Kind::Plate) => plate,
                    (true, Kind::Vehicle | Kind::Person) => other,
                };
            if !lives {
                ended.push(EndedTrack { track: t.id(), confirmed: t.confirmed });
            }
            lives
        });
    }

    /// Joins those of the round's open tracks that `which` names with the `free` detections; both lose what is joined.
    fn join(
        &mut self,
        round: &mut Round<'_>,
        free: &mut Vec<&Seen>,
        limit: f32,
        which: impl Fn(&Track) -> bool,
        cost: impl Fn(&Track, &Seen) -> Option<f32>,
    ) {
        let rows: Vec<usize> = round.open.iter().copied().filter(|t| self.tracks.get(*t).is_some_and(&which)).collect();
        let pairs = assign(rows.len(), free.len(), limit, |r, c| cost(self.tracks.get(*rows.get(r)?)?, free.get(c)?));
        let mut taken = vec![false; free.len()];
        for (row, column) in pairs {
            let (Some(index), Some(seen)) = (rows.get(row), free.get(column)) else { continue };
            let Some(track) = self.tracks.get_mut(*index) else { continue };
            track.update(round.at, seen);
            track.confirmed |= track.hits() >= self.settings.confirm_hits;
            round.seen.push(TrackUpdate { track: track.id(), detection: seen.index, confirmed: track.confirmed });
            round.joined.push((track.kind(), seen.rect));
            round.open.retain(|t| t != index);
            if let Some(t) = taken.get_mut(column) {
                *t = true;
            }
        }
        let mut taken = taken.into_iter();
        free.retain(|_| taken.next() == Some(false));
    }
}

/// What the rounds of one frame hand on: tracks that are still open, and what was joined.
struct Round<'a> {
    at: Duration,
    open: &'a mut Vec<usize>,
    joined: &'a mut Vec<(Kind, Rect)>,
    seen: &'a mut Vec<TrackUpdate>,
}

#[cfg(test)]
mod tests;
