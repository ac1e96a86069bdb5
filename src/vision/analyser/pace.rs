//! How many frames a second are looked at, by how fast vehicles go past.
//!
//! On a slow road a plate is in sight for seconds, and looking for it in every frame tells nothing that every third does
//! not. So where the road's speed is known, plates are looked for as often as one needs to be seen some times on its
//! way; as soon as there is one that is not certain yet, every frame counts until it is. The motion gate sees every frame
//! all the same.
//!
//! Where nobody told the speed, a camera with a motion gate learns it from what goes past: once a few plates have, the
//! quickest but one of those of the last minutes says how often a look is enough for one like it to be seen ten times. Until
//! then, and without a gate, every frame is looked at. What goes past too quickly to be seen some times says that traffic
//! flows faster by now: all is forgotten, and learnt anew with every frame.

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

/// How long a pass counts: a jam dissolves.
const COUNTS_FOR: Duration = Duration::from_mins(5);

/// How often a pass like the quickest but one of them is looked at, and how often while its plate is not certain. The very
/// quickest may be a track that broke off.
const LEARNT: (u32, u32) = (10, 20);

/// Longest time between two looks that was learnt, and while a plate is not certain.
const LONGEST: (Duration, Duration) = (Duration::from_millis(160), Duration::from_millis(80));

/// How a plate went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It was in sight for so long.
    Within(Duration),
    /// It went far between two looks, and few of them saw it.
    TooQuick,
}

/// Which frames are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    every: Duration,
    /// The plates that went past last, when and how long each was in sight; `None`: nothing is learnt of them.
    passes: Option<VecDeque<(Duration, Duration)>>,
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

    /// By the frame at `pts` a plate had gone past.
    pub(super) fn passed(&mut self, pts: Duration, pass: Pass) {
        let Some(passes) = &mut self.passes else { return };
        match pass {
            Pass::Within(time) => {
                passes.truncate(PASSES - 1);
                passes.push_front((pts, time));
            }
            Pass::TooQuick => passes.clear(),
        }
    }

    /// Time between two looks.
    fn interval(&self, pts: Duration, busy: bool) -> Duration {
        let quick = self.passes.as_ref().and_then(|passes| {
            let counts = passes.iter().filter(|(then, _)| pts.saturating_sub(*then) <= COUNTS_FOR);
            let mut sorted: Vec<Duration> = counts.map(|(_, within)| *within).collect();
            sorted.sort_unstable();
            sorted.get(1).copied().filter(|_| sorted.len() >= ENOUGH)
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
        if anew && let Some(passes) = &mut self.passes {
            passes.clear();
        }
        let every = self.interval(pts, busy);
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
        assert_eq!(looks(&mut pace, false), 50);
        let passed = |pace: &mut Pace, ms: u64| {
            let now = pace.last.unwrap();
            pace.passed(now, Pass::Within(Duration::from_millis(ms)));
        };
        passed(&mut pace, 900);
        passed(&mut pace, 4000);
        assert_eq!(looks(&mut pace, false), 50);
        passed(&mut pace, 1000);
        // One second of the quickest but one: ten looks, and twice as many while one is read.
        let taken = (looks(&mut pace, false), looks(&mut pace, true));
        assert!((19..=21).contains(&taken.0) && (39..=41).contains(&taken.1), "{taken:?} in two seconds");
        passed(&mut pace, 300);
        passed(&mut pace, 300);
        assert_eq!((looks(&mut pace, false), looks(&mut pace, true)), (50, 50));
        (0..PASSES).for_each(|_| passed(&mut pace, 60_000));
        let taken = looks(&mut pace, false);
        assert!((12..=14).contains(&taken), "never more seldom than each 160 ms: {taken}");
        let mut steady = Pace::new(Duration::ZERO, false);
        assert_eq!(looks(&mut steady, false), 50);
        (0..9).for_each(|_| passed(&mut steady, 9000));
        assert_eq!(looks(&mut steady, false), 50);
    }

    #[test]
    fn what_was_learnt_is_forgotten_with_time_and_by_what_goes_past_too_quickly() {
        let slow = |at: u64| {
            let mut pace = Pace::new(Duration::ZERO, true);
            assert!(pace.is_due(Duration::from_secs(at), TimeMs(0), false));
            (0..4).for_each(|_| pace.passed(Duration::from_secs(at), Pass::Within(Duration::from_secs(9))));
            pace
        };
        let all = |pace: &mut Pace, from: u64| {
            (1..=50).filter(|n| pace.is_due(Duration::from_millis(from + n * 40), TimeMs(0), false)).count()
        };
        assert!(all(&mut slow(100), 100_000) < 15);
        assert_eq!(all(&mut slow(100), 401_000), 50, "five minutes later");
        let mut pace = slow(100);
        pace.passed(Duration::from_secs(100), Pass::TooQuick);
        assert_eq!(all(&mut pace, 100_000), 50);
        let mut pace = slow(100);
        assert_eq!(all(&mut pace, 0), 50, "the stream began anew");
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
