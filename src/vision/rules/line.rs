//! Crossing a line: which way, and once.
//!
//! An object's path is that of the middle of its box's lower edge. Its crossing counts when the path has gone through the
//! line, between its ends, and is a margin away on the other side: what trembles on the line crosses nothing. Whether the
//! path went through is the parity of its steps through the line since it was last surely on a side, so one that went
//! around an end has not crossed. Lengths are shares of the picture's height.

use super::Place;
use crate::domain::Way;

/// Margin as a share of the object's size, its least and its most.
const MARGIN: (f32, f32, f32) = (0.06, 0.008, 0.05);

/// A line in the units of paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    from: Place,
    along: Place,
    length: f32,
}

impl Segment {
    pub(super) fn new(from: Place, to: Place) -> Self {
        let along = to.minus(from);
        Self { from, along, length: along.length().max(f32::MIN_POSITIVE) }
    }

    /// How far to the right of the line `p` lies, for who walks along it (y is down).
    fn right(&self, p: Place) -> f32 {
        let to = p.minus(self.from);
        (self.along.x * to.y - self.along.y * to.x) / self.length
    }

    /// Where along the line the way from `a` to `b`, which lie on different sides, meets it: 0 at its first point, 1 at
    /// its last.
    fn met_at(&self, a: Place, b: Place) -> f32 {
        let (from, to) = (self.right(a), self.right(b));
        let share = from / (from - to);
        let met = Place { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y) };
        let along = met.minus(self.from);
        (along.x * self.along.x + along.y * self.along.y) / (self.length * self.length)
    }
}

/// One object and one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Crossing {
    /// Where the path is, and whether that is on the right.
    at: Option<(Place, bool)>,
    /// The side that it was surely on last.
    side: Option<bool>,
    /// Steps through the line since then: an odd number.
    odd: bool,
    /// Crossings, backward and forward, that were told of a part of it, and are not told again.
    counted: [bool; 2],
    /// The last crossing that was told.
    told: Option<Way>,
}

impl Crossing {
    /// Takes the next place of an object of this size; tells when it has crossed.
    pub(super) fn step(&mut self, line: &Segment, place: Place, size: f32) -> Option<Way> {
        let distance = line.right(place);
        let right = distance > 0.0;
        if let Some((before, was_right)) = self.at
            && was_right != right
            && (0.0..=1.0).contains(&line.met_at(before, place))
        {
            self.odd = !self.odd;
        }
        self.at = Some((place, right));
        let (share, least, most) = MARGIN;
        if distance.abs() < (share * size).clamp(least, most) {
            return None;
        }
        let crossed = self.side != Some(right) && self.odd;
        (self.side, self.odd) = (Some(right), false);
        let way = if right { Way::Forward } else { Way::Backward };
        let counted = crossed && self.counted.get_mut(usize::from(right)).is_some_and(std::mem::take);
        if !crossed || counted {
            return None;
        }
        self.told = Some(way);
        Some(way)
    }

    /// The crossing that was told last.
    pub(super) fn last(&self) -> Option<Way> {
        self.told
    }

    /// It was counted as another object.
    pub(super) fn was_counted(&mut self, way: Way) {
        if let Some(counted) = self.counted.get_mut(usize::from(way == Way::Forward)) {
            *counted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(x: f32, y: f32) -> Place {
        Place { x, y }
    }

    /// From left to right through the middle: its right side is below.
    fn line() -> Segment {
        Segment::new(at(0.4, 0.5), at(1.4, 0.5))
    }

    fn ways(path: &[Place], size: f32) -> Vec<Way> {
        let mut crossing = Crossing::default();
        path.iter().filter_map(|p| crossing.step(&line(), *p, size)).collect()
    }

    #[test]
    fn forward_is_to_the_right_of_who_walks_along_the_line() {
        assert_eq!(ways(&[at(0.9, 0.3), at(0.9, 0.7)], 0.2), [Way::Forward]);
        assert_eq!(ways(&[at(0.9, 0.7), at(0.9, 0.3), at(0.9, 0.8)], 0.2), [Way::Backward, Way::Forward]);
    }

    #[test]
    fn what_goes_around_an_end_has_not_crossed() {
        assert_eq!(ways(&[at(0.2, 0.3), at(0.2, 0.7)], 0.2), []);
        // Through the line and back around its end: on the same side as before, and then through it again.
        assert_eq!(
            ways(&[at(0.5, 0.4), at(0.5, 0.51), at(0.3, 0.505), at(0.3, 0.4), at(0.5, 0.4), at(0.5, 0.6)], 0.3),
            [Way::Forward]
        );
    }

    #[test]
    fn one_that_is_first_seen_at_the_line_and_goes_over_it_counts() {
        assert_eq!(ways(&[at(0.9, 0.495), at(0.9, 0.6)], 0.2), [Way::Forward]);
        assert_eq!(ways(&[at(0.9, 0.505), at(0.9, 0.6)], 0.2), []);
    }

    #[test]
    fn what_was_counted_as_another_object_is_not_counted_again() {
        let mut crossing = Crossing::default();
        crossing.was_counted(Way::Forward);
        let told: Vec<_> = [at(0.9, 0.3), at(0.9, 0.7), at(0.9, 0.3), at(0.9, 0.7)]
            .iter()
            .filter_map(|p| crossing.step(&line(), *p, 0.2))
            .collect();
        assert_eq!(told, [Way::Backward, Way::Forward]);
    }

    proptest! {
        #[test]
        fn what_trembles_on_the_line_crosses_nothing(offsets in proptest::collection::vec(-1.0_f32..1.0, 1..60), size in 0.05_f32..0.6) {
            let margin = (0.06 * size).clamp(0.008, 0.05) * 0.99;
            let path: Vec<Place> = offsets.iter().map(|d| at(0.9, 0.5 + d * margin)).collect();
            prop_assert_eq!(ways(&path, size), []);
        }

        #[test]
        fn crossings_take_turns_and_end_on_the_side_where_the_path_ends(ys in proptest::collection::vec(0.0_f32..1.0, 2..60), xs in proptest::collection::vec(0.45_f32..1.35, 60)) {
            let path: Vec<Place> = ys.iter().zip(&xs).map(|(y, x)| at(*x, *y)).collect();
            let told = ways(&path, 0.3);
            prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]));
            if let Some(last) = told.last() {
                let sure = path.iter().rev().find(|p| (p.y - 0.5).abs() >= 0.018).unwrap();
                prop_assert_eq!(*last == Way::Forward, sure.y > 0.5);
            }
        }

        #[test]
        fn what_passes_beside_the_line_never_crosses(ys in proptest::collection::vec(0.0_f32..1.0, 2..60), xs in proptest::collection::vec(0.0_f32..0.39, 60)) {
            let path: Vec<Place> = ys.iter().zip(&xs).map(|(y, x)| at(*x, *y)).collect();
            prop_assert_eq!(ways(&path, 0.3), []);
        }
    }
}
