//! How many frames a second are looked at, by how fast vehicles go past.
//!
//! On a slow road a plate is in sight for seconds, and looking for it in every frame tells nothing that every third does
//! not. So where the road's speed is known, plates are looked for as often as one needs to be seen some times on its
//! way; as soon as there is one that is not certain yet, every frame counts until it is. The motion gate sees every frame
//! all the same. Without a speed every frame is looked at.

use std::time::Duration;

use crate::domain::TimeMs;

/// Metres of road on which a plate can be read by the narrowest of the usual lenses, and how often it is to be seen there.
const REACH_M: f64 = 6.0;
const LOOKS: f64 = 8.0;

/// How long between two looks where vehicles go past at `kmh` at most: eight looks over six metres of road.
#[must_use]
pub fn look_every(kmh: f64) -> Duration {
    let metres_a_second = (kmh / 3.6).max(0.5);
    Duration::try_from_secs_f64(REACH_M / LOOKS / metres_a_second).unwrap_or_default()
}

/// How long after it was seen a plate is still waited for with every frame.
const LINGER_MS: u64 = 200;

/// Which frames are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    every: Duration,
    due: Duration,
    last: Option<Duration>,
    /// UTC of the last frame that was looked at.
    looked: TimeMs,
}

impl Pace {
    /// One look each `every`; zero: all frames.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, ..Self::default() }
    }

    /// What was seen since then is waited for with every frame.
    pub(super) fn linger(&self) -> TimeMs {
        TimeMs(self.looked.0.saturating_sub(LINGER_MS))
    }

    /// Whether the frame at this place in the stream is to be looked at; `busy`: something is under way that needs it.
    pub(super) fn is_due(&mut self, pts: Duration, at: TimeMs, busy: bool) -> bool {
        let anew = self.last.is_none_or(|last| pts < last);
        self.last = Some(pts);
        if !anew && !busy && pts < self.due {
            return false;
        }
        // Looks keep their mean distance although frames don't fall on it.
        let kept = self.due.saturating_add(self.every);
        self.due = if anew || busy || kept <= pts { pts.saturating_add(self.every) } else { kept };
        self.looked = at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(every: Duration, busy: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut pace = Pace::new(every);
        (0..50).filter(|n| pace.is_due(Duration::from_millis(n * 40), TimeMs(n * 40), busy(*n))).collect()
    }

    #[test]
    fn the_slower_the_road_the_fewer_frames_are_looked_at_and_all_without_a_speed() {
        assert_eq!(looks(Duration::ZERO, |_| false).len(), 50);
        // Two seconds: eight looks over six metres at 30 km/h are 11 a second.
        let (fast, slow) = (looks(look_every(30.0), |_| false), looks(look_every(10.0), |_| false));
        assert!((21..=23).contains(&fast.len()), "{fast:?}");
        assert!((7..=9).contains(&slow.len()), "{slow:?}");
        assert_eq!(looks(look_every(130.0), |_| false).len(), 50);
    }

    #[test]
    fn every_frame_counts_while_something_is_under_way_and_after_times_begin_anew() {
        let looks = looks(look_every(10.0), |n| (20..30).contains(&n));
        assert!((20..30).all(|n| looks.contains(&n)) && looks.len() < 22, "{looks:?}");
        let mut pace = Pace::new(Duration::from_secs(9));
        let due = [5_u64, 6, 0, 1].map(|s| pace.is_due(Duration::from_secs(s), TimeMs(0), false));
        assert_eq!(due, [true, false, true, false]);
    }
}
