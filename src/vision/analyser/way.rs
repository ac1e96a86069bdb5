//! The way of a plate through the picture: where it was first and last, how fast it goes, since when it stands.
//!
//! Says whether a plate that is found anew lies where this one stood, beside it, or where this one must have come to
//! behind a post or a passer-by. Pure geometry in pixels of one camera's picture; times are those of frames.

use std::time::Duration;

use crate::domain::{Point, Rect, TimeMs};

/// Share of its width that a plate may stray and still stand.
const STRAY: f32 = 0.6;

/// What a new step counts in the mean speed.
const NEWEST: f32 = 0.3;

/// Longest time between two places that a speed is taken from.
const STEP: Duration = Duration::from_millis(800);

/// How far from where it is expected a plate may come out, as a share of the way that it went unseen, and in widths.
const OFF: (f32, f32) = (0.5, 1.2);

/// Times that its width may have grown or shrunk unseen.
const GROWN: f32 = 1.8;

/// The way of one plate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Where it was seen first.
    pub first: Rect,
    /// Where it was seen last.
    pub last: Rect,
    at: TimeMs,
    /// Where it stands, and since when.
    stand: (Point, TimeMs),
    /// Pixels a second, and how many steps it is the mean of.
    speed: Point,
    steps: u32,
}

impl Way {
    pub(super) fn new(at: TimeMs, rect: Rect) -> Self {
        let nowhere = Point { x: 0.0, y: 0.0 };
        Self { first: rect, last: rect, at, stand: (rect.centre(), at), speed: nowhere, steps: 0 }
    }

    /// Takes in that it was seen at `rect`.
    pub(super) fn seen(&mut self, at: TimeMs, rect: Rect) {
        let (before, now) = (self.last.centre(), rect.centre());
        let millis = at.since(self.at);
        let (dx, dy) = (now.x - before.x, now.y - before.y);
        if millis > 0 && u128::from(millis) <= STEP.as_millis() && dx.is_finite() && dy.is_finite() {
            let seconds = Duration::from_millis(millis).as_secs_f32();
            let share = if self.steps == 0 { 1.0 } else { NEWEST };
            self.speed.x += share * (dx / seconds - self.speed.x);
            self.speed.y += share * (dy / seconds - self.speed.y);
            self.steps = self.steps.saturating_add(1);
        }
        if away(self.stand.0, now) > STRAY * rect.width().max(8.0) {
            self.stand = (now, at);
        }
        (self.last, self.at) = (rect, self.at.max(at));
    }

    /// How long it has stayed in its place, as far as it was seen.
    pub(super) fn stood(&self) -> Duration {
        Duration::from_millis(self.at.since(self.stand.1))
    }

    /// How long it takes for so many pixels; nothing before its speed is known.
    pub(super) fn time_for(&self, pixels: f32) -> Duration {
        let known = if self.steps >= 2 { pixels / self.speed.x.hypot(self.speed.y).max(1.0) } else { 0.0 };
        Duration::try_from_secs_f32(known).unwrap_or_default()
    }

    /// Whether `rect` is within `widths` of where this was seen last and has its size.
    pub(super) fn is_at(&self, rect: &Rect, widths: f32) -> bool {
        let (w, v) = (self.last.width().max(1.0), rect.width().max(1.0));
        away(self.last.centre(), rect.centre()) < widths.max(STRAY) * w.max(v) && (0.7..1.43).contains(&(w / v))
    }

    /// Whether `rect` touches its place or lies beside it.
    pub(super) fn is_near(&self, rect: &Rect) -> bool {
        away(self.last.centre(), rect.centre()) < 1.5 * self.last.width().max(rect.width())
    }

    /// Whether what begins at `rect` at that time goes on where this, unseen since, must have come to in a picture of
    /// `size`. What stands is asked of [`Way::is_at`]; what must have left the picture leads nowhere.
    pub(super) fn leads_to(&self, rect: &Rect, at: TimeMs, size: (f32, f32)) -> bool {
        let unseen = Duration::from_millis(at.since(self.at)).as_secs_f32();
        let (from, to) = (self.last.centre(), rect.centre());
        let (w, v) = (self.last.width().max(1.0), rect.width().max(1.0));
        let pace = self.speed.x.hypot(self.speed.y);
        let way = pace * unseen;
        let expected = Point { x: from.x + self.speed.x * unseen, y: from.y + self.speed.y * unseen };
        let inside = (0.0..size.0).contains(&expected.x) && (0.0..size.1).contains(&expected.y);
        let close = away(expected, to) < OFF.0 * way + OFF.1 * w.max(v);
        // Not behind where it was: there comes the next one.
        let ahead = pace < w || (to.x - from.x) * self.speed.x + (to.y - from.y) * self.speed.y > -0.5 * w * pace;
        self.steps >= 2 && inside && close && ahead && (1.0 / GROWN..GROWN).contains(&(v / w))
    }

    /// Whether it cannot have come to `rect` by its own way: a track took up another vehicle there.
    pub(super) fn jumps_to(&self, rect: &Rect, at: TimeMs) -> bool {
        let unseen = Duration::from_millis(at.since(self.at)).as_secs_f32();
        let (from, to) = (self.last.centre(), rect.centre());
        let way = self.speed.x.hypot(self.speed.y) * unseen;
        let expected = Point { x: from.x + self.speed.x * unseen, y: from.y + self.speed.y * unseen };
        self.steps >= 2 && away(expected, to) > 2.0 * OFF.0 * way + OFF.1 * self.last.width().max(rect.width())
    }

    /// Goes on from the beginning of `other`, which this is the rest of.
    pub(super) fn begin_as(&mut self, other: &Self) {
        self.first = other.first;
        // Where it stood and stands, it has stood all the time.
        if away(other.stand.0, self.stand.0) <= STRAY * self.last.width().max(8.0) {
            self.stand = other.stand;
        }
    }

    /// The same in a picture that is so many times as wide and high.
    pub(super) fn scale(&mut self, (x, y): (f32, f32)) {
        for rect in [&mut self.first, &mut self.last] {
            *rect = Rect::new(rect.x1 * x, rect.y1 * y, rect.x2 * x, rect.y2 * y);
        }
        for point in [&mut self.stand.0, &mut self.speed] {
            *point = Point { x: point.x * x, y: point.y * y };
        }
    }

    /// The heading of its way, where it went far enough to tell.
    pub(super) fn direction(&self) -> Option<u16> {
        let far = self.first.width().max(0.4 * self.last.width()).max(12.0);
        direction(&self.first, &self.last, far)
    }
}

fn away(a: Point, b: Point) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

/// Degrees clockwise from up of the way from one place to another, where it is `far` or more.
pub(super) fn direction(first: &Rect, now: &Rect, far: f32) -> Option<u16> {
    let (now, first) = (now.centre(), first.centre());
    let (dx, dy) = (now.x - first.x, now.y - first.y);
    if dx.hypot(dy) < far || !dx.is_finite() || !dy.is_finite() {
        return None;
    }
    let degrees = dx.atan2(-dy).to_degrees().rem_euclid(360.0).round();
    (0_u16..360).find(|d| (f32::from(*d) - degrees).abs() < 0.5).or(Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (f32, f32) = (1280.0, 720.0);

    fn plate(x: f32, y: f32, width: f32) -> Rect {
        Rect::new(x, y, x + width, y + width / 4.0)
    }

    /// A plate of 60 that goes 300 pixels a second to the right, last seen at 400.
    fn going() -> Way {
        let mut way = Way::new(TimeMs(0), plate(100.0, 400.0, 60.0));
        (1..=25)
            .for_each(|n: u16| way.seen(TimeMs(u64::from(n) * 40), plate(100.0 + 12.0 * f32::from(n), 400.0, 60.0)));
        way
    }

    #[test]
    fn direction_is_clockwise_from_up() {
        for (x, y, want) in [
            (500.0, 400.0, None),
            (500.0, 100.0, Some(0)),
            (900.0, 400.0, Some(90)),
            (500.0, 800.0, Some(180)),
            (100.0, 400.0, Some(270)),
        ] {
            let mut way = Way::new(TimeMs(0), plate(500.0, 400.0, 40.0));
            way.seen(TimeMs(100), plate(x, y, 40.0));
            assert_eq!(way.direction(), want);
        }
    }

    #[test]
    fn what_comes_out_ahead_is_the_same_and_what_comes_from_behind_is_not() {
        let way = going();
        // A second behind a post: it is 300 further.
        assert!(way.leads_to(&plate(700.0, 405.0, 62.0), TimeMs(2000), SIZE));
        assert!(way.leads_to(&plate(600.0, 405.0, 62.0), TimeMs(2000), SIZE), "it braked");
        assert!(!way.leads_to(&plate(100.0, 400.0, 60.0), TimeMs(2000), SIZE), "the next one");
        assert!(!way.leads_to(&plate(700.0, 100.0, 60.0), TimeMs(2000), SIZE), "on another lane");
        assert!(!way.leads_to(&plate(700.0, 405.0, 150.0), TimeMs(2000), SIZE), "far larger");
        assert!(!way.leads_to(&plate(1240.0, 405.0, 60.0), TimeMs(4500), SIZE), "it has left the picture");
        assert!(way.jumps_to(&plate(100.0, 400.0, 60.0), TimeMs(1200)));
        assert!(!way.jumps_to(&plate(420.0, 410.0, 66.0), TimeMs(1200)));
    }

    #[test]
    fn what_stays_within_its_width_stands_and_what_goes_on_does_not() {
        let mut way = going();
        assert!(way.stood() < Duration::from_millis(200));
        let place = way.last;
        (1..=50).for_each(|n| way.seen(TimeMs(1000 + n * 200), place));
        assert!(way.stood() >= Duration::from_secs(10));
        assert!(way.is_at(&plate(410.0, 402.0, 62.0), 0.6) && !way.is_at(&plate(480.0, 400.0, 60.0), 0.6));
        assert!(way.is_at(&plate(480.0, 400.0, 60.0), 2.0));
        let mut later = Way::new(TimeMs(60_000), place);
        later.seen(TimeMs(60_200), place);
        later.begin_as(&way);
        assert!(later.stood() > Duration::from_secs(58));
    }
}
