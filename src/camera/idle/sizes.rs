//! What the sizes of coded pictures tell of motion.
//!
//! An encoder spends few bytes on what stays as it was: of a still scene it codes the sensor's noise, and how much that
//! is, is learnt from pictures that the motion gate found still. A picture is held against those of its own kind
//! ([`Kind`]): behind a key frame they are larger, B-frames smaller. What is above the kind's usual, in units of its usual spread,
//! is summed up over pictures (a CUSUM test, Page 1954), so that one large step or a small lasting one counts and a
//! single odd picture does not. An encoder with a constant bitrate shows what moves for the moment until its rate
//! control has answered; the spread of its sizes is small by then. Noise so strong that a picture costs [`MASKED`] of a
//! key frame hides what moves: a vehicle costs no more than what it stands before. Whether sizes tell anything besides is
//! for those to judge who see what woke the camera.

use std::collections::VecDeque;
use std::time::Duration;

/// Sizes of one kind that are remembered.
const REMEMBERED: usize = 160;
/// Fewer say nothing.
const ENOUGH: usize = 12;
/// Of the pictures of a still scene that are not decoded so many are looked at for each that is learnt.
const ONE_IN: u32 = 4;
/// Of these the last so many say what is usual: it follows the light.
const NEWEST: usize = 40;
/// Least spread: share of the usual size, and bytes.
const LEAST_SHARE: f32 = 0.01;
const LEAST_BYTES: f32 = 8.0;
/// A picture counts at most so much, and less by so much.
const MOST: f32 = 5.0;
const DRIFT: f32 = 1.25;
/// A sum of so much is motion, when nothing is doubted.
const MOTION: f32 = 7.0;
/// What false alarms make of that at most, and what each does.
const MOST_DOUBT: f32 = 4.0;
const DOUBT: f32 = 1.5;
/// Share of a key frame's size above which sizes tell nothing.
const MASKED: f32 = 0.3;
/// Pictures of the last seconds that are held until they are known to be of a still scene.
const HELD: usize = 600;

/// Which pictures are alike: the second behind a key frame, the third B-frame in a row.
type Kind = usize;
const KINDS: usize = 8;

/// Watches one stream.
#[derive(Debug, Default)]
pub(in crate::camera) struct Sizes {
    place: Place,
    /// Size of a key frame, about.
    key: f32,
    usual: [Usual; KINDS],
    held: VecDeque<(Duration, Kind, f32)>,
    sum: f32,
    /// Above one by false alarms, less one.
    doubt: f32,
    looked: u32,
}

/// Where in its group a picture is.
#[derive(Debug, Default)]
struct Place {
    /// Pictures since the key frame, and B-frames since the last other one.
    behind_key: usize,
    row: usize,
    /// The latest that was shown.
    latest: Duration,
}

impl Place {
    fn key(&mut self, stamp: Duration) {
        *self = Self { behind_key: 0, row: 0, latest: stamp };
    }

    /// The kind of a picture that refers to others. B-frames are shown before the one that came before them.
    fn kind(&mut self, stamp: Duration) -> Kind {
        self.behind_key += 1;
        if stamp < self.latest {
            self.row = (self.row + 1).min(4);
            return 3 + self.row;
        }
        (self.row, self.latest) = (0, stamp);
        match self.behind_key {
            1 => 0,
            2..=4 => 1,
            _ => {
                if self.behind_key.is_multiple_of(2) {
                    2
                } else {
                    3
                }
            }
        }
    }
}

/// Sizes of one kind.
#[derive(Debug, Default)]
struct Usual {
    sizes: VecDeque<f32>,
    middle: f32,
    spread: f32,
}

impl Usual {
    fn learn(&mut self, size: f32) {
        if self.sizes.len() >= REMEMBERED {
            self.sizes.pop_front();
        }
        self.sizes.push_back(size);
    }

    /// The median of the newest; the spread by the steps from one to the next, which a slow change does not widen, and by
    /// the largest.
    fn settle(&mut self) {
        self.middle = share_of(self.sizes.iter().rev().take(NEWEST).copied(), 50);
        // Of a normal distribution the 98th percentile is 2.05 standard deviations above the middle, and 90 of 100 steps
        // are smaller than 2.33.
        let steps = self.sizes.iter().zip(self.sizes.iter().skip(1)).map(|(a, b)| (a - b).abs());
        let largest = share_of(self.sizes.iter().copied(), 98) - share_of(self.sizes.iter().copied(), 50);
        let spread = (share_of(steps, 90) / 2.33).max(largest / 2.05);
        self.spread = spread.max(LEAST_SHARE * self.middle).max(LEAST_BYTES);
    }

    /// By how many spreads a size is above what is usual; `None` where too little is known.
    fn above(&self, size: f32) -> Option<f32> {
        (self.sizes.len() >= ENOUGH && self.spread > 0.0).then(|| (size - self.middle) / self.spread)
    }
}

/// The size that `percent` of all are below.
fn share_of(sizes: impl Iterator<Item = f32>, percent: usize) -> f32 {
    let mut sizes: Vec<f32> = sizes.collect();
    sizes.sort_by(f32::total_cmp);
    sizes.get(sizes.len() * percent / 100).copied().unwrap_or_default()
}

impl Sizes {
    /// A key frame: the pictures behind it are counted from here.
    pub(in crate::camera) fn key(&mut self, stamp: Duration, bytes: usize) {
        self.place.key(stamp);
        let bytes = size(bytes);
        self.key = if self.key > 0.0 { self.key + 0.3 * (bytes - self.key) } else { bytes };
    }

    /// Whether the pictures of a still scene are so large that those of what moves are no larger.
    pub(in crate::camera) fn is_masked(&self) -> bool {
        self.usual.iter().filter(|u| u.sizes.len() >= ENOUGH).any(|usual| usual.middle > MASKED * self.key)
    }

    /// Holds a picture until it is known whether the scene was still.
    pub(in crate::camera) fn hold(&mut self, stamp: Duration, bytes: usize) {
        let kind = self.place.kind(stamp);
        if self.held.len() >= HELD {
            self.held.pop_front();
        }
        self.held.push_back((stamp, kind, size(bytes)));
    }

    /// The scene was still from `since` on: what was held is what is usual. Whether enough is known now.
    pub(in crate::camera) fn learn(&mut self, since: Duration) -> bool {
        let learnt: Vec<_> = self.held.drain(..).filter(|(stamp, ..)| *stamp >= since).collect();
        for (_, kind, size) in &learnt {
            if let Some(usual) = self.usual.get_mut(*kind) {
                usual.learn(*size);
            }
        }
        self.sum = 0.0;
        self.settle();
        // Kinds that are rare go unjudged; most pictures must be of one that is known.
        let known = |kind: Kind| self.usual.get(kind).is_some_and(|u| u.sizes.len() >= ENOUGH);
        let judged = learnt.iter().filter(|(_, kind, _)| known(*kind)).count();
        judged * 4 >= learnt.len() * 3
    }

    /// What was learnt since counts from now on.
    fn settle(&mut self) {
        self.usual.iter_mut().for_each(Usual::settle);
    }

    /// A group of pictures was still: what was learnt of it counts, and a little doubt goes.
    pub(in crate::camera) fn rested(&mut self) {
        self.settle();
        self.doubt *= 0.98;
    }

    /// Looks at a picture of a scene that is thought to be still; true when it is not.
    pub(in crate::camera) fn moves(&mut self, stamp: Duration, bytes: usize) -> bool {
        let (kind, size) = (self.place.kind(stamp), size(bytes));
        let Some(usual) = self.usual.get_mut(kind) else { return false };
        let Some(above) = usual.above(size) else {
            usual.learn(size);
            return false;
        };
        self.sum = (self.sum + above.min(MOST) - DRIFT).max(0.0);
        self.looked = self.looked.wrapping_add(1);
        if self.looked.is_multiple_of(ONE_IN) {
            usual.learn(size);
        }
        self.sum >= MOTION * (1.0 + self.doubt)
    }

    /// What it said was so, or was not. Doubt goes with time besides.
    pub(in crate::camera) fn told(&mut self, was_right: bool) {
        let doubt = 1.0 + self.doubt;
        self.doubt = if was_right { doubt / DOUBT } else { doubt * DOUBT }.clamp(1.0, MOST_DOUBT) - 1.0;
    }
}

/// Bytes as a number to reckon with; what is lost above 16 MB does not matter.
#[expect(clippy::cast_precision_loss, reason = "sizes of coded pictures, compared with each other")]
fn size(bytes: usize) -> f32 {
    bytes as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stream as an encoder makes it: sizes by a rule, B-frames between the others.
    struct Stream {
        sizes: Sizes,
        at: u64,
        bframes: u64,
        noise: Noise,
    }

    /// Uneven numbers from a seed, about normal: the sum of four.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            let mut draw = || {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 40) as f64 / f64::from(1 << 24) - 0.5
            };
            (draw() + draw() + draw() + draw()) * 1.7
        }
    }

    impl Stream {
        fn new(seed: u64, bframes: u64) -> Self {
            Self { sizes: Sizes::default(), at: 100, bframes, noise: Noise(seed) }
        }

        /// A group of `n` pictures of about `bytes` each; the place of the one that told of motion, or `None`.
        fn group(&mut self, n: u64, still: (f64, f64), (from, more): (u64, f64), learn: bool) -> Option<u64> {
            let (bytes, spread) = still;
            self.sizes.key(Duration::from_millis(self.at * 40), 20 * bytes as usize);
            let mut told = None;
            for k in 1..n {
                // Decoded: P(+b), then its B-frames; shown: those before it.
                let (mini, place) = ((k - 1) / (self.bframes + 1), (k - 1) % (self.bframes + 1));
                let shown = mini * (self.bframes + 1) + if place == 0 { self.bframes + 1 } else { place };
                let share = if place == 0 { 1.0 } else { 0.4 } * if k == 1 { 1.5 } else { 1.0 };
                let usual = bytes * share * (1.0 + spread * self.noise.next());
                let size = usual.max(20.0) + if k >= from { more * share } else { 0.0 };
                let stamp = Duration::from_millis((self.at + shown) * 40);
                if learn {
                    self.sizes.hold(stamp, size as usize);
                } else if self.sizes.moves(stamp, size as usize) && told.is_none() {
                    told = Some(k);
                }
            }
            self.at += n;
            told
        }

        fn learnt(mut self, groups: u64, n: u64, bytes: f64, spread: f64) -> Self {
            for _ in 0..groups {
                self.group(n, (bytes, spread), (n, 0.0), true);
            }
            assert!(self.sizes.learn(Duration::ZERO));
            self
        }
    }

    #[test]
    fn motion_is_told_within_a_fifth_of_a_second_whatever_the_noise_and_the_kind_of_coding() {
        for bframes in [0, 1, 3] {
            for (bytes, spread, more) in [(60.0, 0.3, 900.0), (8_000.0, 0.02, 2_500.0), (30_000.0, 0.08, 16_000.0)] {
                let mut stream = Stream::new(7, bframes).learnt(2, 50, bytes, spread);
                assert_eq!(stream.group(50, (bytes, spread), (50, 0.0), false), None, "still: {bframes} {bytes}");
                let told = stream.group(50, (bytes, spread), (20, more), false);
                assert!(told.is_some_and(|k| (20..=25).contains(&k)), "{bframes} {bytes} {spread}: {told:?}");
            }
        }
    }

    #[test]
    fn a_small_lasting_step_counts_as_well() {
        let mut stream = Stream::new(3, 0).learnt(2, 50, 10_000.0, 0.02);
        let told = stream.group(50, (10_000.0, 0.02), (10, 1_000.0), false);
        assert!(told.is_some_and(|k| k < 25), "{told:?}");
    }

    #[test]
    fn noise_that_grows_slowly_is_followed() {
        let mut stream = Stream::new(11, 0).learnt(2, 50, 4_000.0, 0.03);
        let mut bytes = 4_000.0;
        let mut alarms = 0;
        for _ in 0..600 {
            bytes *= 1.002;
            if stream.group(50, (bytes, 0.03), (50, 0.0), false).is_some() {
                // It wakes, and the gate finds the scene still.
                alarms += 1;
                stream.group(50, (bytes, 0.03), (50, 0.0), true);
                stream.sizes.learn(Duration::ZERO);
            }
            stream.sizes.rested();
        }
        assert!(bytes > 12_000.0 && alarms <= 6, "{alarms} in 20 minutes");
    }

    #[test]
    fn false_alarms_make_it_slower_to_believe_and_right_ones_faster_again() {
        let mut sizes = Sizes::default();
        (0..10).for_each(|_| sizes.told(false));
        assert!((1.0 + sizes.doubt - MOST_DOUBT).abs() < 1e-3);
        (0..10).for_each(|_| sizes.told(true));
        assert!(sizes.doubt.abs() < 1e-3);
    }

    #[test]
    fn nothing_is_told_before_anything_is_known() {
        let mut sizes = Sizes::default();
        assert!(!sizes.moves(Duration::from_millis(40), 1_000_000));
        for n in 0..5 {
            sizes.hold(Duration::from_millis(80 + n * 40), 900);
        }
        assert!(!sizes.learn(Duration::ZERO), "five pictures are not enough");
    }

    #[test]
    fn noise_that_costs_nearly_a_key_frame_masks_what_moves() {
        let mut stream = Stream::new(5, 0).learnt(2, 50, 10_000.0, 0.02);
        assert!(!stream.sizes.is_masked());
        (0..20).for_each(|_| stream.sizes.key(Duration::ZERO, 30_000));
        assert!(stream.sizes.is_masked());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_still_scene_seldom_wakes_and_motion_always_does(
            seed in any::<u64>(),
            bframes in 0_u64..4,
            gop in 12_u64..120,
            bytes in 40.0_f64..40_000.0,
            spread in 0.005_f64..0.2,
        ) {
            let mut stream = Stream::new(seed, bframes).learnt(1 + 150 / gop, gop, bytes, spread);
            let groups = 3_000 / gop;
            let alarms = (0..groups).filter(|_| {
                let told = stream.group(gop, (bytes, spread), (gop, 0.0), false).is_some();
                stream.sizes.rested();
                told
            }).count();
            prop_assert!(alarms <= 2, "{alarms} alarms in two minutes of a still scene");
            let more = (bytes * (10.0 * spread).max(0.4)).max(800.0);
            let told = stream.group(gop, (bytes, spread), (3, more), false);
            prop_assert!(told.is_some_and(|k| k <= 11), "{told:?}");
        }
    }
}
