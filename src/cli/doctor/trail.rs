//! One plate's way through the picture: where it was, how it looked, what was read and what became of it.
//!
//! Bounded: so many places and looks of each plate are kept, those in which it was largest. Plain data; called by
//! [`super::notes`], told by [`super::pass`].

use std::time::Duration;

use crate::domain::{Detection, Pictures, Point, Rect};
use crate::vision::analyser::insight::Standing;
use crate::vision::quality::PlateLook;

/// Looks that are kept of a plate.
const MOST_LOOKS: usize = 24;

/// Places that are kept; of a longer way every second one goes.
const MOST_PLACES: usize = 256;

/// How much larger a plate must be than in its last picture for another.
const WORTH_SHOWING: f32 = 1.15;

/// Where a plate was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub at: Duration,
    pub centre: Point,
    pub width: f32,
}

/// How it looked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub at: Duration,
    pub look: PlateLook,
    /// Its corners were corrected: angles can be told.
    pub exact: bool,
}

/// A plate's way.
#[derive(Debug)]
pub(super) struct Trail {
    pub track: u32,
    pub begin: Duration,
    pub end: Duration,
    pub confirmed: bool,
    pub hits: u32,
    pub best_score: f32,
    pub places: Vec<Place>,
    /// A place is kept of so many.
    every: u32,
    pub looks: Vec<Looked>,
    pub first: Rect,
    pub last: Rect,
    /// Frames that the reader was shown, and of these with a text.
    pub shown: u32,
    pub texts: u32,
    /// Best confidence of one frame.
    pub best_read: Option<f32>,
    pub standing: Option<Standing>,
    pub pictures: Option<(f32, Pictures)>,
}

impl Trail {
    pub(super) fn new(track: u32, at: Duration, plate: &Detection) -> Self {
        Self {
            track,
            begin: at,
            end: at,
            confirmed: false,
            hits: 0,
            best_score: 0.0,
            places: Vec::new(),
            every: 1,
            looks: Vec::new(),
            first: plate.rect,
            last: plate.rect,
            shown: 0,
            texts: 0,
            best_read: None,
            standing: None,
            pictures: None,
        }
    }

    /// It was found in another frame.
    pub(super) fn seen(&mut self, at: Duration, plate: &Detection, confirmed: bool) {
        self.end = at;
        self.confirmed |= confirmed;
        self.best_score = self.best_score.max(plate.score);
        self.last = plate.rect;
        if self.hits.is_multiple_of(self.every) {
            self.places.push(Place { at, centre: plate.rect.centre(), width: plate.rect.width() });
        }
        if self.places.len() > MOST_PLACES {
            let mut n = 0_u32;
            self.places.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.every *= 2;
        }
        self.hits = self.hits.saturating_add(1);
    }

    /// Width in the picture in which it was largest.
    pub(super) fn widest(&self) -> f32 {
        self.looks.iter().map(|l| l.look.width).fold(0.0, f32::max)
    }

    /// It was measured; a look at the same frame is replaced by one that knows its corners.
    pub(super) fn looked(&mut self, looked: Looked) {
        if let Some(same) = self.looks.iter_mut().find(|l| l.at == looked.at) {
            *same = looked;
            return;
        }
        self.looks.push(looked);
        if self.looks.len() > MOST_LOOKS {
            let narrowest = (0..self.looks.len())
                .filter_map(|n| self.looks.get(n).map(|l| (n, l.look.width)))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((n, _)) = narrowest {
                self.looks.swap_remove(n);
            }
        }
    }

    /// Whether it is so much larger than in its last picture that another is worth taking.
    pub(super) fn wants_picture(&self, width: f32) -> bool {
        self.pictures.as_ref().is_none_or(|(was, _)| width > was * WORTH_SHOWING)
    }

    /// Pixels a second to the right and down around a time; `None` of a plate that was seen once.
    pub(super) fn velocity(&self, around: Duration) -> Option<Point> {
        let near = |p: &&Place| p.at.abs_diff(around) <= Duration::from_millis(400);
        let near: Vec<&Place> = self.places.iter().filter(near).collect();
        let all: Vec<&Place> = self.places.iter().collect();
        slope(if near.len() >= 2 { &near } else { &all })
    }

    /// The way from its first place to the farthest from it, in widths of the plate.
    pub(super) fn way(&self) -> f32 {
        let Some(first) = self.places.first() else { return 0.0 };
        let far = |p: &Place| {
            (p.centre.x - first.centre.x).hypot(p.centre.y - first.centre.y) / first.width.max(p.width).max(1.0)
        };
        self.places.iter().map(far).fold(0.0, f32::max)
    }
}

/// Least-squares slope of places over time.
fn slope(places: &[&Place]) -> Option<Point> {
    let first = places.first()?;
    let count = places.iter().map(|_| 1.0_f32).sum::<f32>();
    let seconds = |p: &&Place| p.at.abs_diff(first.at).as_secs_f32();
    let mean = |of: &dyn Fn(&&Place) -> f32| places.iter().map(of).sum::<f32>() / count;
    let (t, x, y) = (mean(&seconds), mean(&|p| p.centre.x), mean(&|p| p.centre.y));
    let spread: f32 = places.iter().map(|p| (seconds(p) - t).powi(2)).sum();
    let along = |of: &dyn Fn(&Place) -> f32, mean: f32| {
        places.iter().map(|p| (seconds(p) - t) * (of(p) - mean)).sum::<f32>() / spread
    };
    (spread > 1e-4).then(|| Point { x: along(&|p| p.centre.x, x), y: along(&|p| p.centre.y, y) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Class;

    fn plate(x: f32) -> Detection {
        let rect = Rect::new(x, 50.0, x + 60.0, 65.0);
        Detection { class: Class::Plate, score: 0.8, rect, corners: None }
    }

    #[test]
    fn speed_is_told_in_pixels_a_second_and_long_ways_stay_bounded() {
        let mut trail = Trail::new(1, Duration::ZERO, &plate(0.0));
        for n in 0..2_000_u16 {
            trail.seen(Duration::from_millis(u64::from(n) * 40), &plate(f32::from(n) * 4.0), n > 1);
        }
        assert!(trail.places.len() <= MOST_PLACES && trail.hits == 2_000 && trail.confirmed);
        let speed = trail.velocity(Duration::from_secs(40)).unwrap();
        assert!((speed.x - 100.0).abs() < 1.0 && speed.y.abs() < 0.1, "{speed:?}");
        assert!(trail.way() > 100.0);
    }

    #[test]
    fn a_plate_that_was_seen_once_has_no_speed() {
        let mut trail = Trail::new(1, Duration::ZERO, &plate(0.0));
        trail.seen(Duration::ZERO, &plate(0.0), false);
        assert!(trail.velocity(Duration::ZERO).is_none() && trail.way().abs() < 1e-6);
    }
}
