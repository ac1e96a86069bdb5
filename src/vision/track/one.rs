//! One thing that is followed: where it is thought to be, how it may have moved, and what it costs to join a detection.
//!
//! A constant-velocity Kalman filter (white noise of acceleration, so that the time between frames may vary) for the
//! centre and for the logarithms of width and height. The cost of a join is minus the logarithm of a likelihood with
//! heavy tails (Student's t: detectors and cameras jump more than a Gaussian allows), plus what overlap is missing and
//! how long the track was hidden. Called by the tracker alone. After a gap there is one step over the whole of it, whose
//! update spreads what was off over the speed as well: what OC-SORT (Cao et al. 2023) does by updating again along a
//! line.

use std::time::Duration;

use crate::domain::{Class, Detection, Point, Rect};
use crate::vision::axis::Axis;

/// What tracks of one sort never join with another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A licence plate.
    Plate,
    /// A car, bus, truck or motorbike: detectors waver between these for one vehicle.
    Vehicle,
    /// A person.
    Person,
}

impl Kind {
    /// The sort that `class` belongs to.
    #[must_use]
    pub fn of(class: Class) -> Self {
        match class {
            Class::Plate => Self::Plate,
            Class::Car | Class::Bus | Class::Truck | Class::Motorbike => Self::Vehicle,
            Class::Person => Self::Person,
        }
    }

    /// A plate is small and crosses some 30 of its widths in a second, a vehicle a few of its own; the boxes of walkers
    /// waver with their legs. Vehicles' numbers were chosen on KITTI 0000–0004, with detections left out, boxes shaken
    /// and every other frame as well; they may be halved or doubled at little loss.
    fn motion(self) -> Motion {
        match self {
            Self::Plate => Motion {
                place_sd: 0.08,
                size_sd: 0.15,
                speed_sd: (16.0, 16.0),
                push: 12.0,
                vagueness: 0.5,
                farthest: 20.0,
            },
            Self::Vehicle => {
                Motion { place_sd: 0.08, size_sd: 0.1, speed_sd: (5.0, 3.0), push: 0.5, vagueness: 1.5, farthest: 2.5 }
            }
            Self::Person => {
                Motion { place_sd: 0.1, size_sd: 0.3, speed_sd: (3.0, 1.0), push: 0.5, vagueness: 1.5, farthest: 1.0 }
            }
        }
    }
}

/// How a kind moves and how well it is seen. Lengths are in sizes of the box, the mean of its width and height.
#[derive(Debug, Clone, Copy)]
struct Motion {
    /// Standard deviation of a detected centre, beside [`PIXELS`].
    place_sd: f32,
    /// Standard deviation of a detected width or height, in logarithms.
    size_sd: f32,
    /// Standard deviation of the first speed, across and down, a second.
    speed_sd: (f32, f32),
    /// Spectral density of the acceleration's noise.
    push: f32,
    /// Weight of a vague prediction's doubt: a sharp one goes first.
    vagueness: f32,
    /// How far from the prediction anything is joined that does not overlap it.
    farthest: f32,
}

/// Standard deviation of a detected edge beside the share of the size, pixels.
const PIXELS: f32 = 1.0;

/// Share of its own speed squared by which a thing's acceleration is noisier the faster it goes.
const PUSH_BY_SPEED: f32 = 0.5;

/// Standard deviation of the first speed of a logarithm of a size, density of its noise, and its largest: a second.
const SIZE_SPEED_SD: f32 = 0.5;
const SIZE_PUSH: f32 = 0.3;
const SIZE_SPEED: f32 = 2.0;

/// Share of its speed that what is hidden loses in a second, after this long: what is not seen does not go on for ever.
const BRAKE: f32 = 0.3;
const BRAKE_AFTER: f32 = 0.3;

/// Degrees of freedom of Student's t, for place and for size.
const TAILS: f32 = 2.0;

/// Weights of the size, of missing overlap and of a second without a detection.
const BY_SIZE: f32 = 0.6;
const BY_OVERLAP: f32 = 2.0;
const BY_SECOND: f32 = 1.0;

/// Cost of having turned back while hidden, where both ways are longer than a size (OC-SORT's consistency of direction).
const BY_WAY: f32 = 3.0;

/// Product of the deviations across and down, in sizes squared, up to which a prediction is sharp.
const SHARP: f32 = 0.05;

/// Cost from which nothing is joined.
pub(super) const LIMIT: f32 = 9.0;

/// A box that can be followed: centre, size and their logarithms, all finite.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Which of the frame's detections it is.
    pub index: usize,
    pub class: Class,
    pub score: f32,
    pub rect: Rect,
    pub centre: Point,
    /// What distances are measured by: the mean of width and height, in pixels.
    pub scale: f32,
    pub log_width: f32,
    pub log_height: f32,
}

impl Seen {
    /// `None` for what is no box.
    pub(super) fn of(index: usize, detection: &Detection) -> Option<Self> {
        let r = detection.rect;
        let bounded = [r.x1, r.y1, r.x2, r.y2].iter().all(|v| v.is_finite() && v.abs() < 1e6);
        let good = bounded && detection.score.is_finite() && r.width() >= 1.0 && r.height() >= 1.0;
        good.then(|| Self {
            index,
            class: detection.class,
            score: detection.score,
            rect: r,
            centre: r.centre(),
            scale: r.width().midpoint(r.height()),
            log_width: r.width().ln(),
            log_height: r.height().ln(),
        })
    }

    fn place_sd(&self, motion: &Motion) -> f32 {
        motion.place_sd * self.scale + PIXELS
    }

    fn size_sd(&self, motion: &Motion) -> f32 {
        motion.size_sd + 0.5 * PIXELS / self.scale
    }
}

/// One track.
#[derive(Debug, Clone)]
pub struct Track {
    id: u32,
    class: Class,
    hits: u32,
    pub(super) confirmed: bool,
    began_at: Duration,
    pub(super) seen_at: Duration,
    /// The time the filter stands at.
    pub(super) at: Duration,
    x: Axis,
    y: Axis,
    log_width: Axis,
    log_height: Axis,
    /// Where it is by the filter.
    place: Rect,
    /// Where it was detected last.
    last: Rect,
}

impl Track {
    pub(super) fn new(id: u32, at: Duration, seen: &Seen) -> Self {
        let motion = Kind::of(seen.class).motion();
        let (place, size) = (seen.place_sd(&motion), seen.size_sd(&motion));
        Self {
            id,
            class: seen.class,
            hits: 1,
            confirmed: false,
            began_at: at,
            seen_at: at,
            at,
            x: Axis::new(seen.centre.x, place, motion.speed_sd.0 * seen.scale),
            y: Axis::new(seen.centre.y, place, motion.speed_sd.1 * seen.scale),
            log_width: Axis::new(seen.log_width, size, SIZE_SPEED_SD),
            log_height: Axis::new(seen.log_height, size, SIZE_SPEED_SD),
            place: seen.rect,
            last: seen.rect,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it was detected as first.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The sort of thing that it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.class)
    }

    /// How many detections it has.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Whether it is sure.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// How long ago it began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.saturating_sub(self.began_at)
    }

    /// How long it was not seen; nothing when the last frame showed it.
    #[must_use]
    pub fn hidden_for(&self) -> Duration {
        self.at.saturating_sub(self.seen_at)
    }

    /// Where it is now by the filter, pixels: a guess while it is hidden.
    #[must_use]
    pub fn rect(&self) -> Rect {
        self.place
    }

    /// Where it was detected last, pixels.
    #[must_use]
    pub fn last_rect(&self) -> Rect {
        self.last
    }

    /// Pixels a second, to the right and down.
    #[must_use]
    pub fn velocity(&self) -> Point {
        Point { x: self.x.speed, y: self.y.speed }
    }

    pub(super) fn centre(&self) -> Point {
        Point { x: self.x.place, y: self.y.place }
    }

    pub(super) fn scale(&self) -> f32 {
        self.place.width().midpoint(self.place.height())
    }

    /// Nobody looked for that long, since nothing moved.
    pub(super) fn rest(&mut self, rested: Duration) {
        self.at += rested;
        self.seen_at += rested;
    }

    pub(super) fn predict(&mut self, at: Duration) {
        let dt = at.saturating_sub(self.at).as_secs_f32();
        self.at = at;
        let hidden = self.hidden_for().as_secs_f32();
        let scale = self.scale();
        let speed2 = self.x.speed * self.x.speed + self.y.speed * self.y.speed;
        let push = Kind::of(self.class).motion().push * scale * scale + PUSH_BY_SPEED * speed2;
        for axis in [&mut self.x, &mut self.y] {
            axis.predict(dt, push);
            if hidden > BRAKE_AFTER {
                axis.speed *= (-BRAKE * dt).exp();
            }
        }
        // A size does not go on growing for long without being seen.
        for axis in [&mut self.log_width, &mut self.log_height] {
            axis.speed = axis.speed.clamp(-SIZE_SPEED, SIZE_SPEED) * (-BRAKE * dt).exp();
            axis.predict(dt.min(0.5), SIZE_PUSH);
        }
        self.settle();
    }

    pub(super) fn update(&mut self, at: Duration, seen: &Seen) {
        let motion = Kind::of(seen.class).motion();
        let (place, size) = (seen.place_sd(&motion), seen.size_sd(&motion));
        self.x.update(seen.centre.x, place);
        self.y.update(seen.centre.y, place);
        self.log_width.update(seen.log_width, size);
        self.log_height.update(seen.log_height, size);
        self.hits = self.hits.saturating_add(1);
        self.seen_at = at;
        self.class = seen.class;
        self.last = seen.rect;
        self.settle();
    }

    /// Moves it as the whole picture moved.
    pub(super) fn shift(&mut self, by: Point) {
        self.x.place += by.x;
        self.y.place += by.y;
        let moved = |r: &Rect| Rect::new(r.x1 + by.x, r.y1 + by.y, r.x2 + by.x, r.y2 + by.y);
        (self.place, self.last) = (moved(&self.place), moved(&self.last));
    }

    fn settle(&mut self) {
        let (w, h) = (self.log_width.place.clamp(0.0, 12.0).exp(), self.log_height.place.clamp(0.0, 12.0).exp());
        let (x, y) = (self.x.place, self.y.place);
        self.place = Rect::new(x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0);
    }

    /// Cost of joining where it is expected, below [`LIMIT`]; `None` where it can't be.
    pub(super) fn cost(&self, seen: &Seen) -> Option<f32> {
        let kind = Kind::of(seen.class);
        if Kind::of(self.class) != kind {
            return None;
        }
        let motion = kind.motion();
        let iou = self.place.iou(&seen.rect);
        if iou <= 0.0 {
            let far = (seen.centre.x - self.x.place).hypot(seen.centre.y - self.y.place);
            if far > motion.farthest * seen.scale.max(self.scale()) {
                return None;
            }
        }
        let (place_sd, size_sd) = (seen.place_sd(&motion), seen.size_sd(&motion));
        let place = self.x.distance2(seen.centre.x, place_sd) + self.y.distance2(seen.centre.y, place_sd);
        let size =
            self.log_width.distance2(seen.log_width, size_sd) + self.log_height.distance2(seen.log_height, size_sd);
        let tail = |distance2: f32| 0.5 * (TAILS + 2.0) * (distance2 / TAILS).ln_1p();
        let doubt = self.x.sd(place_sd) * self.y.sd(place_sd) / (SHARP * seen.scale * seen.scale);
        let cost = tail(place)
            + BY_SIZE * tail(size)
            + BY_OVERLAP * (1.0 - iou)
            + motion.vagueness * 0.5 * doubt.max(1.0).ln()
            + BY_SECOND * self.hidden_for().as_secs_f32()
            + BY_WAY * self.turned(seen);
        (cost < LIMIT).then_some(cost)
    }

    /// How far it would have turned round since it was last detected to be `seen` now: 0 not at all, 1 wholly.
    fn turned(&self, seen: &Seen) -> f32 {
        let (from, size) = (self.last.centre(), self.scale());
        let way = (seen.centre.x - from.x, seen.centre.y - from.y);
        let wanted = (self.x.place - from.x, self.y.place - from.y);
        let (far, wanted_far) = (way.0.hypot(way.1), wanted.0.hypot(wanted.1));
        if far.min(wanted_far) < size {
            return 0.0;
        }
        let cosine = (way.0 * wanted.0 + way.1 * wanted.1) / (far * wanted_far);
        0.5 * (1.0 - cosine)
    }

    /// Cost of joining where it was seen last, 0..1: it stood still while it was hidden.
    pub(super) fn cost_at_rest(&self, seen: &Seen) -> Option<f32> {
        (Kind::of(self.class) == Kind::of(seen.class)).then(|| 1.0 - self.last.iou(&seen.rect))
    }
}
