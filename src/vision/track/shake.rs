//! Finds how far the whole picture jumped: wind on the pole, a lorry that passes, a camera that turns.
//!
//! A vote: every way from a track to a detection of about its size is a guess, and the guess under which most tracks meet
//! a detection wins, when it explains clearly more than standing still does. Fewer than three tracks that the last
//! frame showed are no whole picture. Costs nothing while the predictions hold; bounded work otherwise. Called by the
//! tracker before anything is joined.

use super::one::{Kind, Seen, Track};
use crate::domain::Point;

/// Fewest and most tracks that vote.
const VOTERS: (usize, usize) = (3, 16);

/// Most tracks that guesses are taken from, and guesses of each.
const GUESSERS: usize = 4;
const GUESSES: usize = 6;

/// Most detections that are looked at.
const MOST_SEEN: usize = 48;

/// Farthest jump, in sizes of the thing that it is guessed from.
const FARTHEST: f32 = 3.0;

/// How near, in sizes and pixels, and how alike in the logarithm of its size, a detection is met by a track.
const NEAR: (f32, f32) = (0.28, 5.7);
const ALIKE: f32 = 0.3;

/// Share of the tracks that must be met where they are expected, for the picture to stand still; and the share that a
/// guess must add, and must meet, to be believed.
const STILL: f32 = 0.5;
const GAIN: f32 = 0.35;
const MOST: f32 = 0.5;

/// How far the picture jumped since `tracks` were predicted, pixels; `None` when it did not, or when too little is seen
/// to tell.
pub(super) fn shift<'a>(tracks: impl Iterator<Item = &'a Track>, seen: &[Seen]) -> Option<Point> {
    let mut voters: Vec<&Track> = tracks.collect();
    if voters.len() < VOTERS.0 || seen.is_empty() {
        return None;
    }
    // Large things are placed best for their size; equal ones by number, so that the order of detections is nothing.
    voters.sort_unstable_by(|a, b| b.scale().total_cmp(&a.scale()).then(a.id().cmp(&b.id())));
    voters.truncate(VOTERS.1);
    let seen = seen.get(..MOST_SEEN).unwrap_or(seen);
    let votes = f32::from(u8::try_from(voters.len()).unwrap_or(u8::MAX));
    let base = met(&voters, seen, Point::default()).0;
    if base >= STILL * votes {
        return None;
    }
    let mut best = ((base + GAIN * votes).max(MOST * votes), None);
    for guess in voters.iter().take(GUESSERS).flat_map(|t| guesses(t, seen)) {
        let (score, rest) = met(&voters, seen, guess);
        if score > best.0 {
            best = (score, Some(Point { x: guess.x + rest.x, y: guess.y + rest.y }));
        }
    }
    best.1
}

/// Ways from `track` to detections that may be it, nearest first.
fn guesses(track: &Track, seen: &[Seen]) -> Vec<Point> {
    let (from, reach) = (track.centre(), FARTHEST * track.scale());
    let mut ways: Vec<(f32, Point)> = seen
        .iter()
        .filter(|s| unlike(track, s).is_some_and(|u| u < 1.0))
        .map(|s| Point { x: s.centre.x - from.x, y: s.centre.y - from.y })
        .map(|way| (way.x.hypot(way.y), way))
        .filter(|(far, _)| *far <= reach)
        .collect();
    ways.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.x.total_cmp(&b.1.x)));
    ways.truncate(GUESSES);
    ways.into_iter().map(|(_, way)| way).collect()
}

/// How unlike in size they are, 0 for not at all, 1 for too much; `None` for another sort of thing.
fn unlike(track: &Track, seen: &Seen) -> Option<f32> {
    let of = track.rect();
    let (w, h) = (of.width().max(1.0).ln() - seen.log_width, of.height().max(1.0).ln() - seen.log_height);
    (track.kind() == Kind::of(seen.class)).then_some((w * w + h * h) / (2.0 * ALIKE * ALIKE))
}

/// How many of `voters` meet a detection when the picture moved by `way`, and by how much they miss it on average.
fn met(voters: &[&Track], seen: &[Seen], way: Point) -> (f32, Point) {
    let (mut sum, mut rest) = (0.0, Point::default());
    for track in voters {
        let (from, near) = (track.centre(), NEAR.0 * track.scale() + NEAR.1);
        let mut best = (0.0, Point::default());
        for s in seen {
            let off = Point { x: s.centre.x - from.x - way.x, y: s.centre.y - from.y - way.y };
            let miss = (off.x * off.x + off.y * off.y) / (near * near);
            if miss >= 1.0 {
                continue;
            }
            let vote = 1.0 - miss - unlike(track, s).unwrap_or(1.0);
            if vote > best.0 {
                best = (vote, off);
            }
        }
        sum += best.0;
        rest = Point { x: rest.x + best.0 * best.1.x, y: rest.y + best.0 * best.1.y };
    }
    let total = f32::max(sum, 1e-3);
    (sum, Point { x: rest.x / total, y: rest.y / total })
}
