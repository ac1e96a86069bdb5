//! How many frames a second are looked at, by how fast vehicles go past.
//!
//! On a slow road a plate is in sight for seconds, and looking for it in every frame tells nothing that every third does
//! not. So where the road's speed is known, plates are looked for as often as one needs to be seen some times on its
//! way; as soon as there is one that is not certain yet, every frame counts until it is. The motion gate sees every frame
//! all the same.
//!
//! Where nobody told the speed, a camera with a motion gate learns it from what goes past: once a few plates have, the
//! quickest but one of those of the last minutes says how often a look is enough for one like it to be seen ten times; until
//! then it looks twelve times a second. What goes past too quickly to be seen some times says that traffic flows faster by now:
//! all else is forgotten. While a plate is under way that is not certain, looks keep to its own speed: in each of its first frames,
//! and then whenever it has gone a part of its width ([`super::follow`]). Without a gate every frame is looked at.

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

/// How long after it was seen a plate is still under way.
const LINGER_MS: u64 = 200;

/// How many passes are remembered, and how many it takes to go by them.
const PASSES: usize = 16;
const ENOUGH: usize = 3;

/// Time between two looks before anything was learnt, while none is under way: what comes is seen so late at most.
const FIRST: Duration = Duration::from_millis(80);

/// How long a pass counts: a jam dissolves.
const COUNTS_FOR_MS: u64 = 5 * 60_000;

/// How often a pass like the quickest but one of them is looked at. The very quickest may be a track that broke off.
const LOOKS_A_PASS: u32 = 10;

/// Longest time between two looks.
const LONGEST: Duration = Duration::from_millis(160);

/// How a plate went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It was in sight for so long.
    Within(Duration),
    /// It went far between two looks, and few of them saw it; those did for so long.
    TooQuick(Duration),
}

/// Which frames are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    every: Duration,
    /// The plates that went past last, when and how long each was in sight; `None`: nothing is learnt of them.
    passes: Option<VecDeque<(TimeMs, Duration)>>,
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

    /// By that time a plate had gone past.
    pub(super) fn passed(&mut self, at: TimeMs, pass: Pass) {
        let Some(passes) = &mut self.passes else { return };
        match pass {
            Pass::Within(time) => {
                passes.truncate(PASSES - 1);
                passes.push_front((at, time));
            }
            Pass::TooQuick(time) => {
                passes.clear();
                passes.extend([(at, time); ENOUGH]);
            }
        }
    }

    /// Time between two looks, where what is under way wants the next after `haste`.
    fn interval(&self, at: TimeMs, haste: Option<Duration>) -> Duration {
        let Some(passes) = &self.passes else {
            return if haste.is_some() { Duration::ZERO } else { self.every };
        };
        let mut counts: Vec<Duration> =
            passes.iter().filter(|(then, _)| at.since(*then) <= COUNTS_FOR_MS).map(|(_, within)| *within).collect();
        counts.sort_unstable();
        let quick = counts.get(1).copied().filter(|_| counts.len() >= ENOUGH);
        let idle = quick.map_or(FIRST, |quick| (quick / LOOKS_A_PASS).min(LONGEST));
        // What comes beside it is to be seen as soon as on an empty road.
        haste.map_or(idle, |haste| haste.min(idle))
    }

    /// What was seen since then is under way.
    pub(super) fn linger(&self) -> TimeMs {
        TimeMs(self.looked.0.saturating_sub(LINGER_MS))
    }

    /// Whether the frame at this place in the stream is to be looked at; `haste`: how long after the last look what is under way
    /// wants the next.
    pub(super) fn is_due(&mut self, pts: Duration, at: TimeMs, haste: Option<Duration>) -> bool {
        let anew = self.last.is_none_or(|last| pts < last);
        self.last = Some(pts);
        let every = self.interval(at, haste);
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

    fn looks(every: Duration, haste: impl Fn(u64) -> Option<Duration>) -> Vec<u64> {
        let mut pace = Pace::new(every, false);
        (0..50).filter(|n| pace.is_due(Duration::from_millis(n * 40), TimeMs(n * 40), haste(*n))).collect()
    }

    #[test]
    fn the_slower_the_road_the_fewer_frames_are_looked_at_and_all_without_a_speed() {
        assert_eq!(looks(Duration::ZERO, |_| None).len(), 50);
        // Two seconds: eight looks over six metres at 30 km/h are 11 a second.
        let (fast, slow) = (looks(look_every(30.0), |_| None), looks(look_every(10.0), |_| None));
        assert!((21..=23).contains(&fast.len()), "{fast:?}");
        assert!((7..=9).contains(&slow.len()), "{slow:?}");
        assert_eq!(looks(look_every(130.0), |_| None).len(), 50);
    }

    #[test]
    fn what_goes_past_says_how_often_a_look_is_enough() {
        let looks = |pace: &mut Pace, haste: Option<Duration>| {
            let from = pace.last.map_or(0, |last| u64::try_from(last.as_millis()).unwrap() / 40 + 1);
            (from..from + 50).filter(|n| pace.is_due(Duration::from_millis(n * 40), TimeMs(n * 40), haste)).count()
        };
        let mut pace = Pace::new(Duration::ZERO, true);
        assert_eq!((looks(&mut pace, None), looks(&mut pace, Some(Duration::ZERO))), (25, 50), "nothing is known yet");
        let passed = |pace: &mut Pace, ms: u64| {
            let now = u64::try_from(pace.last.unwrap().as_millis()).unwrap();
            pace.passed(TimeMs(now), Pass::Within(Duration::from_millis(ms)));
        };
        passed(&mut pace, 900);
        passed(&mut pace, 4000);
        assert_eq!(looks(&mut pace, None), 25);
        passed(&mut pace, 1000);
        // One second of the quickest but one: ten looks, and as one that is under way wants it.
        let soon = Duration::from_millis(60);
        let taken = [None, Some(soon), Some(Duration::ZERO), Some(8 * soon)].map(|haste| looks(&mut pace, haste));
        assert_eq!(taken[3], taken[0], "what is slow makes nobody else wait");
        assert!((19..=21).contains(&taken[0]) && (32..=34).contains(&taken[1]), "{taken:?} in two seconds");
        assert_eq!(taken[2], 50);
        passed(&mut pace, 300);
        passed(&mut pace, 300);
        assert_eq!((looks(&mut pace, None), looks(&mut pace, Some(Duration::ZERO))), (50, 50));
        (0..PASSES).for_each(|_| passed(&mut pace, 60_000));
        let taken = looks(&mut pace, None);
        assert!((12..=14).contains(&taken), "never more seldom than each 160 ms: {taken}");
        let mut steady = Pace::new(Duration::ZERO, false);
        assert_eq!(looks(&mut steady, None), 50);
        (0..9).for_each(|_| passed(&mut steady, 9000));
        assert_eq!(looks(&mut steady, None), 50);
    }

    #[test]
    fn what_was_learnt_is_forgotten_with_time_and_by_what_goes_past_too_quickly() {
        let slow = || {
            let mut pace = Pace::new(Duration::ZERO, true);
            (0..4).for_each(|_| pace.passed(TimeMs(100_000), Pass::Within(Duration::from_secs(9))));
            pace
        };
        // Two seconds of frames from that place in the stream on, at that time.
        let taken = |pace: &mut Pace, from: u64, at: u64| {
            let due = |n: &u64| pace.is_due(Duration::from_millis(from + n * 40), TimeMs(at + n * 40), None);
            (0..50).filter(due).count()
        };
        assert!(taken(&mut slow(), 100_000, 100_000) < 15);
        assert_eq!(taken(&mut slow(), 401_000, 401_000), 25, "five minutes later");
        let mut pace = slow();
        pace.passed(TimeMs(100_000), Pass::TooQuick(Duration::from_millis(300)));
        assert_eq!(taken(&mut pace, 100_000, 100_000), 50);
        let mut pace = slow();
        assert!(taken(&mut pace, 100_000, 100_000) < 15 && taken(&mut pace, 0, 103_000) < 15, "the stream begins anew");
    }

    #[test]
    fn every_frame_counts_while_something_is_under_way_and_after_times_begin_anew() {
        let looks = looks(look_every(10.0), |n| (20..30).contains(&n).then_some(Duration::from_millis(50)));
        assert!((20..30).all(|n| looks.contains(&n)) && looks.len() < 22, "{looks:?}");
        let mut pace = Pace::new(Duration::from_secs(9), true);
        let due = [5_u64, 6, 0, 1].map(|s| pace.is_due(Duration::from_secs(s), TimeMs(0), None));
        assert_eq!(due, [true, false, true, false]);
    }
}
