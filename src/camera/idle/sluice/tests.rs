//! Made-up streams through the sluice: still ones, moving ones, odd ones.

use proptest::prelude::*;

use super::super::{Calm, Idle};
use super::*;
use std::sync::Arc;

/// A camera of 25 pictures a second whose stream goes through a sluice.
struct Camera {
    sluice: Sluice<u64>,
    idle: Arc<Idle>,
    gop: u64,
    n: u64,
    /// What the decoder got, in this order.
    decoded: Vec<u64>,
    skipped: usize,
}

impl Camera {
    fn new(gop: u64) -> Self {
        Self { sluice: Sluice::default(), idle: Arc::default(), gop, n: 0, decoded: Vec::new(), skipped: 0 }
    }

    fn about(&self, bytes: usize) -> About {
        let is_key = self.n.is_multiple_of(self.gop);
        // Noise of a few per cent, without a pattern.
        let noise = (self.n.wrapping_mul(2_654_435_761) >> 7) % 60;
        let bytes = if is_key { 60_000 } else { bytes + noise as usize };
        About { is_key, bytes, stamp: Duration::from_millis(self.n * 40) }
    }

    fn send(&mut self, bytes: usize) {
        let about = self.about(bytes);
        let was_resting = self.sluice.is_resting();
        let turn = self.sluice.take(&self.n, about, self.idle.heard());
        match turn {
            Turn::Decode | Turn::Rest => self.decoded.push(self.n),
            Turn::Skip(gone) => self.skipped += gone,
            Turn::Glance(gone) | Turn::WakeHere(gone) => {
                self.skipped += gone;
                self.decoded.push(self.n);
            }
            Turn::Wake(kept) => {
                // The key frame is decoded again: its decoder has forgotten it.
                assert_eq!(self.decoded.last(), kept.first(), "what is kept goes on from what was decoded last");
                self.decoded.extend(&kept[1..]);
                self.decoded.push(self.n);
                self.idle.wake();
            }
        }
        assert!(self.sluice.is_resting() || !was_resting || self.decoded.last() == Some(&self.n));
        self.n += 1;
    }

    /// Still pictures of so many seconds, of which the analysis says so.
    fn still(&mut self, seconds: u64) {
        let mut calm = Calm::new(Arc::clone(&self.idle));
        for _ in 0..seconds * 25 {
            self.send(1_000);
            calm.note(Duration::from_millis(self.n * 40), true);
        }
    }
}

#[test]
fn at_rest_key_frames_alone_are_decoded_and_the_rest_is_counted() {
    let mut camera = Camera::new(50);
    camera.still(60);
    assert!(camera.sluice.is_resting());
    let (decoded, all) = (camera.decoded.len(), usize::try_from(camera.n).unwrap());
    assert!(decoded <= 200 + 28, "{decoded} of {all}");
    let kept = camera.sluice.rest.as_ref().unwrap().skipped();
    assert_eq!(decoded + camera.skipped + kept, all, "every picture is decoded, skipped or kept");
}

#[test]
fn at_the_first_signs_of_motion_what_was_kept_is_decoded_whole() {
    let mut camera = Camera::new(50);
    camera.still(20);
    camera.still(1);
    while camera.n % 50 != 30 {
        camera.send(1_000);
    }
    let (before, key) = (camera.n, camera.n - 30);
    (0..5).for_each(|_| camera.send(4_000));
    assert!(!camera.sluice.is_resting());
    let from: Vec<u64> = camera.decoded.iter().copied().filter(|n| *n >= key).collect();
    assert_eq!(from, (key..before + 5).collect::<Vec<_>>(), "no picture of the group is missing");
}

#[test]
fn a_gate_that_wakes_on_a_key_frame_has_its_group_decoded() {
    let mut camera = Camera::new(50);
    camera.still(20);
    while camera.n % 50 != 3 {
        camera.send(1_000);
    }
    let key = camera.n - 3;
    Calm::new(Arc::clone(&camera.idle)).note(Duration::ZERO, false);
    camera.send(1_000);
    assert_eq!(camera.decoded[camera.decoded.len() - 4..], [key, key + 1, key + 2, key + 3]);
    assert!(!camera.sluice.is_resting());
}

#[test]
fn two_streams_of_a_camera_wake_together() {
    let (mut one, mut other) = (Camera::new(50), Camera::new(50));
    other.idle = Arc::clone(&one.idle);
    let mut calm = Calm::new(Arc::clone(&one.idle));
    for _ in 0..500 {
        one.send(1_000);
        other.send(8_000);
        calm.note(Duration::from_millis(one.n * 40), true);
    }
    assert!(one.sluice.is_resting() && other.sluice.is_resting());
    while one.sluice.is_resting() {
        one.send(9_000);
    }
    other.send(8_000);
    assert!(!other.sluice.is_resting());
}

#[test]
fn key_frames_far_apart_or_none_are_never_rested_on_and_it_is_said_why() {
    for gop in [130, 250, u64::MAX] {
        let mut camera = Camera::new(gop);
        camera.still(60);
        assert_eq!(camera.decoded.len() as u64, camera.n, "{gop}");
        assert!(matches!(camera.sluice.unable(), Some(Unable::Keys(far)) if far > LONGEST), "{gop}");
    }
}

#[test]
fn a_camera_that_stretches_its_groups_when_nothing_moves_wakes_and_stays_awake() {
    let mut camera = Camera::new(50);
    camera.still(20);
    assert!(camera.sluice.is_resting());
    camera.gop = u64::MAX;
    camera.still(30);
    assert!(!camera.sluice.is_resting());
    assert!(matches!(camera.sluice.unable(), Some(Unable::Keys(_))));
    camera.gop = 50;
    camera.still(30);
    assert!(camera.sluice.is_resting() && camera.sluice.unable().is_none());
}

#[test]
fn of_a_stream_of_key_frames_a_few_a_second_are_decoded() {
    let mut camera = Camera::new(1);
    camera.still(30);
    let decoded = camera.decoded.len();
    assert!(camera.sluice.is_resting() && (27 * 3..100 + 27 * 4).contains(&decoded), "{decoded}");
}

#[test]
fn sizes_that_never_tell_of_what_moves_end_the_rest_for_a_while() {
    let mut camera = Camera::new(50);
    for _ in 0..UNTOLD {
        camera.still(20);
        assert!(camera.sluice.is_resting());
        Calm::new(Arc::clone(&camera.idle)).note(Duration::ZERO, false);
        camera.send(1_000);
    }
    camera.still(30);
    assert!(!camera.sluice.is_resting());
    assert_eq!(camera.sluice.unable(), Some(Unable::Sizes));
    camera.still(600);
    assert!(camera.sluice.is_resting(), "tried again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever comes: the decoder gets each picture at most once, in order, whole groups from their key frame on, and
    /// none is lost from the counts.
    #[test]
    fn the_decoder_never_gets_a_picture_without_those_before_it(
        gop in 1_u64..200,
        steps in proptest::collection::vec((1_u64..40, prop_oneof![Just(1_000_usize), 0_usize..50_000], any::<bool>()), 1..40),
    ) {
        let mut camera = Camera::new(gop);
        camera.still(9);
        let mut calm = Calm::new(Arc::clone(&camera.idle));
        for (pictures, bytes, is_still) in steps {
            for _ in 0..pictures {
                camera.send(bytes);
                calm.note(Duration::from_millis(camera.n * 40), is_still);
            }
        }
        for pair in camera.decoded.windows(2) {
            let [before, next] = pair else { continue };
            prop_assert!(next > before);
            prop_assert!(*next == before + 1 || next.is_multiple_of(gop), "{next} after {before}");
        }
        let kept = camera.sluice.rest.as_ref().map_or(0, Rest::skipped);
        prop_assert_eq!(camera.decoded.len() + camera.skipped + kept, usize::try_from(camera.n).unwrap());
    }
}
