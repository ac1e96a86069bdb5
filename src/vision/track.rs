//! Follows plates, vehicles and persons from frame to frame.
//!
//! Detections are joined to tracks by predicted place and size: a constant-velocity Kalman filter (white noise of
//! acceleration, so the time between frames may vary) for the centre and for the logarithms of width and height. What
//! may be joined is decided by the distance in units of the filter's own doubt, not by overlap alone: a plate of 60
//! pixels moves by more than itself between two frames. Sure tracks choose first among good detections, then among
//! weak ones (ByteTrack, Zhang et al. 2022), then tentative tracks; each round is the assignment of least cost.
//!
//! Times come with the frames; a time that goes back ends all tracks. At most 128 tracks live. Called by the analyser,
//! once a frame; takes microseconds.

use std::time::Duration;

use super::assign::{MAX, assign};
use super::axis::Axis;
use crate::domain::{Class, Detection, Point, Rect};

/// How tracks begin, go on and end.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Score from which a detection may begin a track; weaker ones only continue sure tracks.
    pub high_score: f32,
    /// Score below which a detection is left out.
    pub low_score: f32,
    /// Detections that make a track sure.
    pub confirm_hits: u32,
    /// How long a sure track lives without a detection (at least three frames).
    pub max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { high_score: 0.35, low_score: 0.15, confirm_hits: 2, max_age: Duration::from_millis(1200) }
    }
}

/// Share of `max_age` that a track which is not yet sure lives.
const TENTATIVE_AGE: f32 = 0.15;

/// Squared distance, in units of the filter's doubt, beyond which nothing is joined (two dimensions, 99.9 %).
const GATE: f32 = 14.0;

/// Overlap that joins whatever the filter says of the centre: boxes jitter more than it believes.
const GATE_IOU: f32 = 0.3;

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

/// What tracks of one sort never join with another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plate,
    Vehicle,
    Person,
}

impl Kind {
    fn of(class: Class) -> Self {
        match class {
            Class::Plate => Self::Plate,
            // Detectors waver between these for one vehicle.
            Class::Car | Class::Bus | Class::Truck | Class::Motorbike => Self::Vehicle,
            Class::Person => Self::Person,
        }
    }

    /// Standard deviation of the first speed, and density of the acceleration's noise, in sizes and seconds: a plate
    /// is small and crosses some 30 of its widths in a second, a vehicle a few of its own.
    fn motion(self) -> (f32, f32) {
        match self {
            Self::Plate => (16.0, 12.0),
            Self::Vehicle => (5.0, 2.0),
            Self::Person => (3.0, 2.0),
        }
    }
}

/// A box that can be followed: centre, size and their logarithms, all finite.
#[derive(Debug, Clone, Copy)]
struct Seen {
    centre: Point,
    /// What distances are measured by: the mean of width and height, in pixels.
    scale: f32,
    log_width: f32,
    log_height: f32,
    rect: Rect,
}

impl Seen {
    fn of(detection: &Detection) -> Option<Self> {
        let r = detection.rect;
        let bounded = [r.x1, r.y1, r.x2, r.y2].iter().all(|v| v.is_finite() && v.abs() < 1e6);
        let good = bounded && detection.score.is_finite() && r.width() >= 1.0 && r.height() >= 1.0;
        good.then(|| Self {
            centre: r.centre(),
            scale: r.width().midpoint(r.height()),
            log_width: r.width().ln(),
            log_height: r.height().ln(),
            rect: r,
        })
    }

    /// Standard deviation of a detected centre, pixels.
    fn place_sd(&self) -> f32 {
        0.08 * self.scale + 1.0
    }
}

/// Standard deviation of a detected width or height, in logarithms.
const SIZE_SD: f32 = 0.15;

/// One track.
#[derive(Debug, Clone)]
pub struct Track {
    id: u32,
    class: Class,
    hits: u32,
    confirmed: bool,
    seen_at: Duration,
    /// The time the filter stands at.
    at: Duration,
    x: Axis,
    y: Axis,
    log_width: Axis,
    log_height: Axis,
}

impl Track {
    fn new(id: u32, class: Class, at: Duration, seen: &Seen) -> Self {
        let speed_sd = Kind::of(class).motion().0 * seen.scale;
        Self {
            id,
            class,
            hits: 0,
            confirmed: false,
            seen_at: at,
            at,
            x: Axis::new(seen.centre.x, seen.place_sd(), speed_sd),
            y: Axis::new(seen.centre.y, seen.place_sd(), speed_sd),
            log_width: Axis::new(seen.log_width, SIZE_SD, 1.0),
            log_height: Axis::new(seen.log_height, SIZE_SD, 1.0),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How many detections it has.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Where it is now by the filter, pixels.
    #[must_use]
    pub fn rect(&self) -> Rect {
        let (w, h) = (self.log_width.place.clamp(0.0, 12.0).exp(), self.log_height.place.clamp(0.0, 12.0).exp());
        let (x, y) = (self.x.place, self.y.place);
        Rect::new(x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0)
    }

    /// Pixels a second, to the right and down.
    #[must_use]
    pub fn velocity(&self) -> Point {
        Point { x: self.x.speed, y: self.y.speed }
    }

    fn predict(&mut self, at: Duration) {
        let dt = at.saturating_sub(self.at).as_secs_f32();
        self.at = at;
        let rect = self.rect();
        let scale = rect.width().midpoint(rect.height());
        let speed2 = self.x.speed * self.x.speed + self.y.speed * self.y.speed;
        let noise = Kind::of(self.class).motion().1 * scale * scale + 0.3 * speed2;
        self.x.predict(dt, noise);
        self.y.predict(dt, noise);
        // A size does not go on growing for long without being seen.
        for axis in [&mut self.log_width, &mut self.log_height] {
            axis.speed = axis.speed.clamp(-2.0, 2.0);
            axis.predict(dt.min(0.5), 0.5);
        }
    }

    fn update(&mut self, at: Duration, class: Class, seen: &Seen) {
        self.x.update(seen.centre.x, seen.place_sd());
        self.y.update(seen.centre.y, seen.place_sd());
        self.log_width.update(seen.log_width, SIZE_SD);
        self.log_height.update(seen.log_height, SIZE_SD);
        self.hits = self.hits.saturating_add(1);
        self.seen_at = at;
        self.class = class;
    }

    /// Cost of joining, `None` beyond the gate.
    fn cost(&self, class: Class, seen: &Seen) -> Option<f32> {
        if Kind::of(self.class) != Kind::of(class) {
            return None;
        }
        let sd = seen.place_sd();
        let place = self.x.distance2(seen.centre.x, sd) + self.y.distance2(seen.centre.y, sd);
        let size =
            self.log_width.distance2(seen.log_width, SIZE_SD) + self.log_height.distance2(seen.log_height, SIZE_SD);
        let iou = self.rect().iou(&seen.rect);
        ((place <= GATE && size <= 2.0 * GATE) || iou >= GATE_IOU).then_some(place + 0.5 * size + 6.0 * (1.0 - iou))
    }
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
        self.tracks.iter().find(|t| t.id == id)
    }

    /// Takes the detections of the frame at `at` (time from the stream's start). Detections that are no boxes are left out.
    pub fn step(&mut self, at: Duration, detections: &[Detection]) -> Step {
        let mut step = Step::default();
        if at < self.at {
            step.ended = self.end_all();
        }
        self.keep_time(at);
        self.end_old(&mut step.ended);
        for track in &mut self.tracks {
            track.predict(at);
        }
        let boxes: Vec<Option<Seen>> = detections.iter().take(MAX).map(Seen::of).collect();
        let seen: Vec<(usize, Class, f32, Seen)> = boxes
            .iter()
            .zip(detections)
            .enumerate()
            .filter_map(|(i, (s, d))| s.map(|s| (i, d.class, d.score, s)))
            .collect();
        let high = self.settings.high_score;
        let mut free: Vec<&(usize, Class, f32, Seen)> = seen.iter().filter(|d| d.2 >= high).collect();
        let mut weak: Vec<_> = seen.iter().filter(|d| d.2 < high && d.2 >= self.settings.low_score).collect();
        let mut open: Vec<usize> = (0..self.tracks.len()).collect();
        self.join(at, &mut open, &mut free, |t| t.confirmed, &mut step.seen);
        self.join(at, &mut open, &mut weak, |t| t.confirmed, &mut step.seen);
        self.join(at, &mut open, &mut free, |t| !t.confirmed, &mut step.seen);
        for (detection, class, _, seen) in free {
            if self.tracks.len() >= MAX {
                break;
            }
            self.last = self.last.saturating_add(1);
            let mut track = Track::new(self.last, *class, at, seen);
            track.hits = 1;
            track.confirmed = self.settings.confirm_hits <= 1;
            step.seen.push(TrackUpdate { track: self.last, detection: *detection, confirmed: track.confirmed });
            self.tracks.push(track);
        }
        step.seen.sort_unstable_by_key(|u| u.detection);
        step
    }

    /// Whether a track waits for the next frame: not yet sure, or not seen in the last one.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        self.tracks.iter().any(|t| !t.confirmed || t.seen_at != self.at)
    }

    /// Nothing moved up to `at`: tracks that were seen at the last step stay where they are and do not age. Those that
    /// were not go on ageing: what left does not come back by standing still. A time that goes back is left to the next
    /// step.
    pub fn hold(&mut self, at: Duration) {
        let Some(rested) = at.checked_sub(self.at) else { return };
        let before = std::mem::replace(&mut self.at, at);
        for track in self.tracks.iter_mut().filter(|t| t.seen_at == before) {
            track.at += rested;
            track.seen_at += rested;
        }
    }

    /// Ends every track: the stream is over or began again.
    pub fn end_all(&mut self) -> Vec<EndedTrack> {
        self.at = Duration::ZERO;
        self.tracks.drain(..).map(|t| EndedTrack { track: t.id, confirmed: t.confirmed }).collect()
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
        let sure = self.settings.max_age.as_secs_f32().max(3.5 * self.interval);
        let tentative = (self.settings.max_age.as_secs_f32() * TENTATIVE_AGE).max(2.5 * self.interval);
        let at = self.at;
        self.tracks.retain(|t| {
            let age = at.saturating_sub(t.seen_at).as_secs_f32();
            let lives = age <= if t.confirmed { sure } else { tentative };
            if !lives {
                ended.push(EndedTrack { track: t.id, confirmed: t.confirmed });
            }
            lives
        });
    }

    /// Joins those of the `open` tracks that `which` names with the `free` detections; both lists lose what is joined.
    fn join(
        &mut self,
        at: Duration,
        open: &mut Vec<usize>,
        free: &mut Vec<&(usize, Class, f32, Seen)>,
        which: impl Fn(&Track) -> bool,
        out: &mut Vec<TrackUpdate>,
    ) {
        let rows: Vec<usize> = open.iter().copied().filter(|t| self.tracks.get(*t).is_some_and(&which)).collect();
        let pairs = assign(rows.len(), free.len(), |r, c| {
            let (_, class, _, seen) = free.get(c)?;
            self.tracks.get(*rows.get(r)?)?.cost(*class, seen)
        });
        let mut taken = vec![false; free.len()];
        for (row, column) in pairs {
            let (Some(index), Some((detection, class, _, seen))) = (rows.get(row), free.get(column)) else { continue };
            let Some(track) = self.tracks.get_mut(*index) else { continue };
            track.update(at, *class, seen);
            track.confirmed |= track.hits >= self.settings.confirm_hits;
            out.push(TrackUpdate { track: track.id, detection: *detection, confirmed: track.confirmed });
            open.retain(|t| t != index);
            if let Some(t) = taken.get_mut(column) {
                *t = true;
            }
        }
        let mut taken = taken.into_iter();
        free.retain(|_| taken.next() == Some(false));
    }
}

#[cfg(test)]
mod tests;
