//! Being in a zone: in and out with inertia, since when, and against its heading.
//!
//! An object is in or out once it has been so for some looks in a row and some time (Frigate's *inertia*): a box that
//! trembles at the zone's edge neither enters nor leaves. The time in it counts from the first of those looks.

use super::Place;
use crate::domain::{TimeMs, Zone};

/// How far an object must have come before its heading is judged: least share of the picture's height, and of its size.
const FAR: (f32, f32) = (0.03, 0.5);

/// Degrees off a zone's heading from which it is the wrong way.
const WRONG: f32 = 120.0;

/// One object and one zone.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence {
    inside: bool,
    /// Since when it has been otherwise, and for how many looks.
    other: Option<(TimeMs, u32)>,
    entered: TimeMs,
    /// From where on its heading is judged.
    anchor: Option<Place>,
}

/// What a look told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Entered,
    Left,
}

impl Presence {
    pub(super) fn step(&mut self, zone: &Zone, is_in: bool, at: TimeMs) -> Option<Change> {
        if is_in == self.inside {
            self.other = None;
            return None;
        }
        let (since, looks) = self.other.unwrap_or((at, 0));
        let (least, time) = zone.inertia;
        if looks + 1 < least || u128::from(at.since(since)) < time.as_millis() {
            self.other = Some((since, looks + 1));
            return None;
        }
        (self.inside, self.other, self.anchor) = (is_in, None, None);
        if is_in {
            self.entered = since;
        }
        Some(if is_in { Change::Entered } else { Change::Left })
    }

    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Since when it is in.
    pub(super) fn since(&self) -> Option<TimeMs> {
        self.inside.then_some(self.entered)
    }

    /// Whether it drives against the zone's heading.
    pub(super) fn is_wrong_way(&mut self, zone: &Zone, place: Place, size: f32) -> bool {
        let Some(wanted) = zone.heading.filter(|_| self.inside) else { return false };
        let way = place.minus(*self.anchor.get_or_insert(place));
        if way.length() < (FAR.1 * size).max(FAR.0) {
            return false;
        }
        self.anchor = Some(place);
        let off = (way.heading() - f32::from(wanted)).rem_euclid(360.0);
        off.min(360.0 - off) > WRONG
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{PlaceId, Polygon};

    fn zone(inertia: (u32, u64)) -> Zone {
        Zone {
            name: PlaceId::new("yard").unwrap(),
            polygon: Polygon::default(),
            heading: Some(90),
            inertia: (inertia.0, Duration::from_millis(inertia.1)),
        }
    }

    #[test]
    fn in_and_out_need_looks_in_a_row_and_time() {
        let zone = zone((2, 200));
        let mut presence = Presence::default();
        let mut step = |is_in, ms| presence.step(&zone, is_in, TimeMs(ms));
        assert_eq!([step(true, 0), step(true, 100), step(false, 150), step(true, 200)], [None; 4]);
        assert_eq!([step(true, 350), step(true, 400)], [None, Some(Change::Entered)]);
        assert_eq!([step(false, 600), step(true, 800), step(false, 1_000)], [None; 3]);
        assert_eq!(step(false, 1_200), Some(Change::Left));
        assert_eq!((presence.since(), presence.is_inside()), (None, false));
    }

    #[test]
    fn the_time_in_a_zone_counts_from_the_first_look() {
        let mut presence = Presence::default();
        let last = (5..8).map(|n| presence.step(&zone((3, 0)), true, TimeMs(n * 100))).last().flatten();
        assert_eq!(last, Some(Change::Entered));
        assert_eq!(presence.since(), Some(TimeMs(500)));
    }

    #[test]
    fn against_the_heading_is_the_wrong_way_and_across_is_not() {
        let zone = zone((1, 0));
        for (dx, dy, wrong) in
            [(-0.2, 0.0, true), (-0.2, 0.05, true), (0.2, 0.0, false), (0.0, 0.2, false), (-0.02, 0.0, false)]
        {
            let mut presence = Presence::default();
            presence.step(&zone, true, TimeMs(0));
            assert!(!presence.is_wrong_way(&zone, Place { x: 0.5, y: 0.5 }, 0.2));
            assert_eq!(presence.is_wrong_way(&zone, Place { x: 0.5 + dx, y: 0.5 + dy }, 0.2), wrong, "{dx} {dy}");
        }
    }

    proptest! {
        #[test]
        fn changes_take_turns_and_none_comes_sooner_than_the_inertia(looks in proptest::collection::vec((any::<bool>(), 1_u64..300), 1..100), least in 1_u32..5, ms in 0_u64..500) {
            let zone = zone((least, ms));
            let (mut presence, mut now, mut run, mut last) = (Presence::default(), 0, (false, 0_u32, 0_u64), None);
            for (is_in, wait) in looks {
                now += wait;
                run = if run.0 == is_in { (is_in, run.1 + 1, run.2) } else { (is_in, 1, now) };
                if let Some(change) = presence.step(&zone, is_in, TimeMs(now)) {
                    prop_assert!(run.1 >= least && now - run.2 >= ms);
                    prop_assert_eq!(change == Change::Entered, is_in);
                    prop_assert_ne!(last.replace(change), Some(change));
                }
            }
        }
    }
}
