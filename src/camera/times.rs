//! The place of a picture in its stream, by stamps that may be absurd.
//!
//! Stamps come from a network or a file. What comes after the camera relies on places that never go back and do not
//! leap: tracks are aged by them, and a live stream is thinned by them. Where a stamp cannot be believed, the time that
//! has passed since the picture before takes its place.

use std::time::Duration;

/// A live picture may come so much earlier than its stamp says: cameras send what they have kept in one go, and the
/// jitter buffer lets packets wait.
const AHEAD: Duration = Duration::from_secs(15);

/// A file may have a gap of so long.
const GAP: Duration = Duration::from_hours(24);

/// Step of a file whose stamps say nothing, until it has said something.
const USUAL: Duration = Duration::from_millis(40);

/// Makes places of stamps.
#[derive(Debug, Clone)]
pub(super) struct Times {
    live: bool,
    /// Stamp and arrival of the picture before.
    last: Option<(Option<Duration>, Duration)>,
    place: Duration,
    step: Duration,
}

impl Times {
    pub(super) fn new(live: bool) -> Self {
        Self { live, last: None, place: Duration::ZERO, step: USUAL }
    }

    /// The place of a picture with this stamp that arrived at `now` (monotonic), the first one's being zero; false when
    /// the stamp was not believed.
    pub(super) fn place(&mut self, stamp: Option<Duration>, now: Duration) -> (Duration, bool) {
        let Some((before, arrived)) = self.last.replace((stamp, now)) else {
            return (Duration::ZERO, stamp.is_some());
        };
        let waited = now.saturating_sub(arrived);
        let most = if self.live { waited + AHEAD } else { GAP };
        let step = stamp.zip(before).and_then(|(stamp, before)| stamp.checked_sub(before));
        // Two pictures of one moment are none: a stamp that stands still tells nothing.
        let step = step.filter(|s| !s.is_zero() && *s <= most);
        self.place += match step {
            Some(step) => {
                self.step = step;
                step
            }
            None if self.live => waited,
            None => self.step,
        };
        (self.place, step.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn good_stamps_are_kept_however_uneven_they_are() {
        let mut times = Times::new(true);
        // The last three came in one go after a second of nothing.
        for (stamp, now, place) in
            [(500, 0, 0), (540, 47, 40), (640, 130, 140), (680, 1130, 180), (720, 1130, 220), (900, 1131, 400)]
        {
            assert_eq!(times.place(Some(ms(stamp)), ms(now)), (ms(place), true), "{stamp}");
        }
    }

    #[test]
    fn live_stamps_that_leap_stand_still_or_go_back_give_way_to_the_arrival() {
        let mut times = Times::new(true);
        times.place(Some(ms(1_000)), ms(0));
        assert_eq!(times.place(Some(ms(9_000_000)), ms(40)), (ms(40), false));
        assert_eq!(times.place(Some(ms(9_000_040)), ms(80)), (ms(80), true), "from there on it is right again");
        assert_eq!(times.place(Some(ms(9_000_040)), ms(120)), (ms(120), false));
        assert_eq!(times.place(Some(ms(10)), ms(160)), (ms(160), false));
        assert_eq!(times.place(None, ms(200)), (ms(200), false));
        assert_eq!(times.place(Some(ms(50)), ms(240)), (ms(240), false));
    }

    #[test]
    fn a_file_without_stamps_goes_on_at_its_own_pace() {
        let mut times = Times::new(false);
        times.place(Some(ms(0)), ms(0));
        assert_eq!(times.place(Some(ms(100)), ms(0)), (ms(100), true));
        assert_eq!(times.place(Some(ms(30)), ms(0)), (ms(200), false));
        assert_eq!(times.place(None, ms(1)), (ms(300), false));
        assert_eq!(times.place(Some(Duration::from_hours(1_000_000)), ms(1)), (ms(400), false));
        let mut times = Times::new(false);
        times.place(None, ms(0));
        assert_eq!(times.place(None, ms(0)), (USUAL, false));
    }

    proptest! {
        #[test]
        fn places_never_go_back_and_never_leap(
            live in any::<bool>(),
            pictures in proptest::collection::vec((proptest::option::of(any::<u64>()), 0_u64..100_000), 1..50),
        ) {
            let mut times = Times::new(live);
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            for (stamp, waited) in pictures {
                now += ms(waited);
                let (place, _) = times.place(stamp.map(Duration::from_nanos), now);
                let most = if live { ms(waited) + AHEAD } else { GAP };
                prop_assert!(place >= last && place <= last + most);
                last = place;
            }
        }
    }
}
