//! How many frames a second are looked at, by how fast vehicles go past.
//!
//! On a slow road a plate is in sight for seconds, and looking for it in every frame tells nothing that every third does
//! not. So where the road's speed is known, plates are looked for as often as one needs to be seen some times on its
//! way; as soon as there is one that is not certain yet, every frame counts until it is. The motion gate sees every frame
//! all the same.
//!
//! Where nobody told the speed, the camera learns it from what goes past: once a few plates have, the quickest but one of the
//! last ones says how often a look is enough for one like it to be seen ten times. Until then, and for cameras that rest on
//! nothing, every frame is looked at.

use std::collections::VecDeque;
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

/// How many passes are remembered, and how many it takes to go by them.
const PASSES: usize = 16;
const ENOUGH: usize = 3;

/// How often a pass like the quickest but one of them is looked at, and how often while its plate is not certain. The very
/// quickest may be a track that broke off.
const LEARNT: (u32, u32) = (10, 20);

/// Longest time between two looks that was learnt, and while a plate is not certain.
const LONGEST: (Duration, Duration) = (Duration::from_millis(160), Duration::from_millis(80));

/// Which frames are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    every: Duration,
    /// How long the plates were in sight that went past last; `None`: nothing is learnt of them.
    passes: Option<VecDeque<Duration>>,
    /// The place in the stream that looks are counted from.
    base: Duration,
    last: Option<Duration>,
    /// UTC of the last frame that was looked at.
    looked: TimeMs,
}

impl Pace {
    /// One look each `every`; zero: all frames, or what is learnt where it `learns`.
    pub(super) fn new(every: Duration, learns: bool) -> Self {
        Self { every, passes: (learns && every.is_zero()).then(VecDeque::new), ..Self::default() }
    }

    /// A plate went past that was in sight for so long.
    pub(super) fn passed(&mut self, within: Duration) {
        if let Some(passes) = &mut self.passes {
            passes.truncate(PASSES - 1);
            passes.push_front(within);
        }
    }

    /// Time between two looks.
    fn interval(&self, busy: bool) -> Duration {
        let learnt = self.passes.as_ref().filter(|passes| passes.len() >= ENOUGH);
        let quick = learnt.and_then(|passes| {
            let mut sorted: Vec<Duration> = passes.iter().copied().collect();
            sorted.sort_unstable();
            sorted.get(1).copied()
        });
        match quick {
            Some(quick) if busy => (quick / LEARNT.1).min(LONGEST.1),
            Some(quick) => (quick / LEARNT.0).min(LONGEST.0),
            None if busy => Duration::ZERO,
            None => self.every,
        }
    }

    /// What was seen since then is waited for with every frame.
    pub(super) fn linger(&self) -> TimeMs {
        TimeMs(self.looked.0.saturating_sub(LINGER_MS))
    }

    /// Whether the frame at this place in the stream is to be looked at; `busy`: something is under way that needs it.
    pub(super) fn is_due(&mut self, pts: Duration, at: TimeMs, busy: bool) -> bool {
        let anew = self.last.is_none_or(|last| pts < last);
        self.last = Some(pts);
        let every = self.interval(busy);
        let due = self.base.saturating_add(every);
        if !anew && pts < due {
            return false;
        }
        // Looks keep their mean distance although frames don't fall on it.
        self.base = if anew || due.saturating_add(every) <= pts { pts } else { due };
        self.looked = at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(every: Duration, busy: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut pace = Pace::new(every, true);
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
    fn what_goes_past_says_how_often_a_look_is_enough() {
        let looks = |pace: &mut Pace, busy: bool| {
            let from = pace.last.map_or(0, |last| u64::try_from(last.as_millis()).unwrap() / 40 + 1);
            (from..from + 50).filter(|n| pace.is_due(Duration::from_millis(n * 40), TimeMs(n * 40), busy)).count()
        };
        let mut pace = Pace::new(Duration::ZERO, true);
        pace.passed(Duration::from_millis(900));
        pace.passed(Duration::from_secs(4));
        assert_eq!(looks(&mut pace, false), 50);
        pace.passed(Duration::from_secs(1));
        // One second of the quickest but one: ten looks, and twice as many while one is read.
        let taken = (looks(&mut pace, false), looks(&mut pace, true));
        assert!((19..=21).contains(&taken.0) && (39..=41).contains(&taken.1), "{taken:?} in two seconds");
        pace.passed(Duration::from_millis(300));
        pace.passed(Duration::from_millis(300));
        assert_eq!((looks(&mut pace, false), looks(&mut pace, true)), (50, 50));
        for _ in 0..PASSES {
            pace.passed(Duration::from_mins(1));
        }
        let taken = looks(&mut pace, false);
        assert!((12..=14).contains(&taken), "never more seldom than each 160 ms: {taken}");
        let mut steady = Pace::new(Duration::ZERO, false);
        (0..9).for_each(|_| steady.passed(Duration::from_secs(9)));
        assert_eq!(looks(&mut steady, false), 50);
    }

    #[test]
    fn every_frame_counts_while_something_is_under_way_and_after_times_begin_anew() {
        let looks = looks(look_every(10.0), |n| (20..30).contains(&n));
        assert!((20..30).all(|n| looks.contains(&n)) && looks.len() < 22, "{looks:?}");
        let mut pace = Pace::new(Duration::from_secs(9), true);
        let due = [5_u64, 6, 0, 1].map(|s| pace.is_due(Duration::from_secs(s), TimeMs(0), false));
        assert_eq!(due, [true, false, true, false]);
    }
}
