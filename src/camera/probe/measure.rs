//! What a row of coded pictures tells: rate, bits, key-frame distance, reordering, pauses.

use std::time::Duration;

/// At most so many pictures are kept: minutes of them.
pub(super) const MOST: usize = 50_000;

/// One picture, in the order in which it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// When it came, by the monotonic clock.
    pub at: Duration,
    /// When it is to be shown, by the stream.
    pub pts: Option<Duration>,
    /// It can be decoded by itself.
    pub key: bool,
    /// Its coded size.
    pub bytes: usize,
}

/// Distances from one key frame to the next.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct KeyFrames {
    /// Key frames that were seen.
    pub seen: usize,
    /// Shortest and longest distance in pictures; `None` before the second key frame.
    pub pictures: Option<(usize, usize)>,
    /// The longest distance in time.
    pub longest: Option<Duration>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Pictures that came.
    pub pictures: usize,
    /// The time they span, from the first to the last, and the last's own.
    pub span: Duration,
    /// Pictures a second.
    pub fps: Option<f64>,
    /// Bits a second.
    pub bits_a_second: Option<f64>,
    /// Key frames.
    pub keys: KeyFrames,
    /// How many pictures a picture waits for at most, until those to be shown before it have come: 0 without B-frames.
    pub reordered: usize,
    /// The longest time in which no picture came.
    pub longest_pause: Duration,
    /// What key frames were quantised by, 0 (fine) to 51 (coarse), in the middle; `None` where the stream was not read.
    pub quantiser: Option<f32>,
}

impl Measured {
    /// Measures `pictures`; times are those of the stream where it has them, otherwise those of arrival.
    #[must_use]
    pub fn of(pictures: &[Picture]) -> Self {
        let times = times(pictures);
        let reordered = reordered(pictures);
        let mut shown = times.clone();
        shown.sort_unstable();
        // At the end those are missing that are shown before the last ones and come after them.
        shown.truncate(shown.len().saturating_sub(reordered).max(1));
        let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return Self::default() };
        let between = last.saturating_sub(*first);
        let gaps = u32::try_from(shown.len().saturating_sub(1)).unwrap_or(u32::MAX);
        // n pictures lie n - 1 intervals apart, and the last one is shown for one more.
        let span = if gaps == 0 { between } else { between + between / gaps };
        let rate = |count: f64| (!between.is_zero()).then(|| count / span.as_secs_f64());
        let fps = rate(shown.len() as f64).map(|mean| steady(&shown).filter(|own| near(*own, mean)).unwrap_or(mean));
        let bytes: usize = pictures.iter().map(|p| p.bytes).sum();
        Self {
            pictures: pictures.len(),
            span,
            fps,
            bits_a_second: rate(bytes as f64 * 8.0).filter(|bits| *bits > 0.0),
            keys: keys(pictures, &times, fps),
            reordered,
            longest_pause: pictures
                .iter()
                .zip(pictures.iter().skip(1))
                .map(|(a, b)| b.at.saturating_sub(a.at))
                .max()
                .unwrap_or_default(),
            quantiser: None,
        }
    }
}

/// The stream's own times when every picture has one and they move, otherwise those of arrival.
fn times(pictures: &[Picture]) -> Vec<Duration> {
    let own: Option<Vec<Duration>> = pictures.iter().map(|p| p.pts).collect();
    let moves = |times: &Vec<Duration>| times.first() != times.last() || times.len() < 2;
    own.filter(moves).unwrap_or_else(|| pictures.iter().map(|p| p.at).collect())
}

/// A receiver that finds the sender's clock bends the times of the first seconds by some per cent.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.06 * a.max(b)
}

/// Pictures a second by the interval in the middle of all: what the camera means, where none are missing.
fn steady(shown: &[Duration]) -> Option<f64> {
    let mut intervals: Vec<Duration> =
        shown.iter().zip(shown.iter().skip(1)).map(|(a, b)| b.saturating_sub(*a)).collect();
    intervals.sort_unstable();
    intervals
        .get(intervals.len() / 2)
        .filter(|interval| !interval.is_zero())
        .map(|interval| 1.0 / interval.as_secs_f64())
}

fn keys(pictures: &[Picture], times: &[Duration], fps: Option<f64>) -> KeyFrames {
    let at: Vec<(usize, Duration)> =
        pictures.iter().zip(times).enumerate().filter(|(_, (p, _))| p.key).map(|(i, (_, t))| (i, *t)).collect();
    let pairs = || at.iter().zip(at.iter().skip(1));
    let distances = || pairs().map(|((a, _), (b, _))| b - a);
    let longest = pairs().map(|((_, a), (_, b))| b.saturating_sub(*a)).max();
    let counted = fps.zip(distances().max()).map(|(fps, pictures)| pictures as f64 / fps);
    let close = |own: &f64| longest.is_some_and(|longest| near(*own, longest.as_secs_f64()));
    KeyFrames {
        seen: at.len(),
        pictures: distances().min().zip(distances().max()),
        longest: counted.filter(close).map(Duration::from_secs_f64).or(longest),
    }
}

/// How many pictures that are to be shown before it come after a picture, at most.
fn reordered(pictures: &[Picture]) -> usize {
    let mut most = 0;
    // Later than any real reordering: streams allow 16.
    let window = 32;
    for (i, picture) in pictures.iter().enumerate() {
        let Some(own) = picture.pts else { continue };
        let after = pictures.iter().skip(i + 1).take(window);
        most = most.max(after.filter(|p| p.pts.is_some_and(|pts| pts < own)).count());
    }
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 25 pictures a second of 1,000 bytes, a key frame every `gop`.
    fn stream(count: usize, gop: usize) -> Vec<Picture> {
        (0..count)
            .map(|i| {
                let at = Duration::from_millis(40 * i as u64);
                Picture { at, pts: Some(at), key: i % gop == 0, bytes: 1_000 }
            })
            .collect()
    }

    #[test]
    fn rate_bits_and_key_frames_are_those_of_the_stream() {
        let m = Measured::of(&stream(125, 50));
        assert!((m.fps.unwrap() - 25.0).abs() < 1e-9 && (m.bits_a_second.unwrap() - 200_000.0).abs() < 1e-6);
        assert_eq!((m.pictures, m.span), (125, Duration::from_secs(5)));
        assert_eq!(m.keys.pictures, Some((50, 50)));
        assert_eq!((m.keys.seen, m.keys.longest.unwrap().as_millis()), (3, 2_000));
        assert_eq!((m.reordered, m.longest_pause), (0, Duration::from_millis(40)));
    }

    #[test]
    fn b_frames_are_seen_by_the_order_of_showing() {
        let mut pictures = stream(12, 12);
        // I B B P as it comes: I P B B.
        for three in pictures[1..10].chunks_mut(3) {
            let [a, b, c] = [three[0].pts, three[1].pts, three[2].pts];
            (three[0].pts, three[1].pts, three[2].pts) = (c, a, b);
        }
        let m = Measured::of(&pictures);
        assert_eq!(m.reordered, 2);
        assert!((m.fps.unwrap() - 25.0).abs() < 1e-9, "{m:?}");
    }

    #[test]
    fn the_bent_times_of_the_first_seconds_do_not_count_and_missing_pictures_do() {
        let mut pictures = stream(100, 50);
        // The first second comes 5 % too slow, as a receiver takes it until it has found the sender's clock.
        for picture in &mut pictures[..25] {
            picture.pts = picture.pts.map(|pts| pts.mul_f64(1.05));
        }
        let m = Measured::of(&pictures);
        assert!((m.fps.unwrap() - 25.0).abs() < 0.01 && m.keys.longest.unwrap().as_millis() == 2_000, "{m:?}");
        // Every fifth picture is lost: 20 come.
        let lossy: Vec<Picture> =
            stream(100, 50).into_iter().enumerate().filter(|(i, _)| i % 5 != 3).map(|(_, p)| p).collect();
        assert!((Measured::of(&lossy).fps.unwrap() - 20.0).abs() < 0.3, "{:?}", Measured::of(&lossy));
    }

    #[test]
    fn without_times_of_the_stream_those_of_arrival_count_and_pauses_are_of_arrival() {
        let mut pictures = stream(50, 25);
        for picture in &mut pictures {
            picture.pts = None;
        }
        for late in &mut pictures[30..] {
            late.at += Duration::from_secs(1);
        }
        let m = Measured::of(&pictures);
        assert_eq!(m.longest_pause, Duration::from_millis(1_040));
        assert!((m.fps.unwrap() - 16.5).abs() < 0.5, "{m:?}");
        assert_eq!(Measured::of(&[]), Measured::default());
        assert_eq!(Measured::of(&pictures[..1]).fps, None);
    }

    #[test]
    fn key_frames_at_uneven_distances_show_both_ends() {
        let mut pictures = stream(100, 1_000);
        for key in [10, 30, 90] {
            pictures[key].key = true;
        }
        assert_eq!(Measured::of(&pictures).keys.pictures, Some((10, 60)));
    }

    proptest! {
        #[test]
        fn no_row_of_pictures_panics(rows in proptest::collection::vec((0..10_000_u64, proptest::option::of(0..10_000_u64), any::<bool>(), 0..9_usize), 0..60)) {
            let pictures: Vec<Picture> = rows
                .into_iter()
                .map(|(at, pts, key, bytes)| Picture { at: Duration::from_millis(at), pts: pts.map(Duration::from_millis), key, bytes })
                .collect();
            let m = Measured::of(&pictures);
            prop_assert_eq!(m.pictures, pictures.len());
        }
    }
}
