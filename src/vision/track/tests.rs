//! The tracker on drawn paths, and on anything at all.

use proptest::prelude::*;

use super::*;

fn plate(x: f32, y: f32, w: f32) -> Detection {
    detection(Class::Plate, Rect::new(x - w / 2.0, y - w / 8.0, x + w / 2.0, y + w / 8.0), 0.8)
}

fn detection(class: Class, rect: Rect, score: f32) -> Detection {
    Detection { class, score, rect, corners: None }
}

fn at(frame: u64, fps: u64) -> Duration {
    Duration::from_micros(frame * 1_000_000 / fps)
}

/// The tracks that each detection went to, by frame.
fn run(fps: u64, frames: &[Vec<Detection>]) -> Vec<Vec<u32>> {
    let mut tracker = Tracker::new(Settings::default());
    (0..).zip(frames).map(|(n, d)| tracker.step(at(n, fps), d).seen.iter().map(|u| u.track).collect()).collect()
}

#[test]
fn a_plate_that_moves_by_twice_its_width_a_frame_is_one_track() {
    let frames: Vec<_> = (0_u16..12).map(|n| vec![plate(60.0 + 120.0 * f32::from(n), 300.0, 60.0)]).collect();
    assert!(run(12, &frames).iter().all(|t| *t == [1]), "{:?}", run(12, &frames));
}

#[test]
fn a_growing_plate_is_one_track_at_25_and_at_5_frames_a_second() {
    for fps in [25_u16, 5] {
        let frames: Vec<_> = (0..fps * 3)
            .map(|n| {
                let t = f32::from(n) / f32::from(fps);
                let w = 30.0 * (t * 0.8).exp();
                vec![plate(400.0 + 3.0 * w, 100.0 + 4.0 * w, w)]
            })
            .collect();
        assert!(run(u64::from(fps), &frames).iter().all(|t| *t == [1]));
    }
}

#[test]
fn two_that_cross_keep_their_numbers() {
    let frames: Vec<_> = (0_u16..40)
        .map(|n| {
            let t = f32::from(n);
            vec![plate(100.0 + 20.0 * t, 300.0, 70.0), plate(900.0 - 20.0 * t, 330.0, 70.0)]
        })
        .collect();
    let tracks = run(25, &frames);
    assert!(tracks.iter().skip(1).all(|t| *t == [1, 2]), "{tracks:?}");
}

#[test]
fn half_a_second_without_detections_does_not_break_a_track() {
    let frames: Vec<_> = (0_u16..60)
        .map(|n| if (20..33).contains(&n) { vec![] } else { vec![plate(100.0 + 9.0 * f32::from(n), 300.0, 60.0)] })
        .collect();
    let tracks = run(25, &frames);
    assert!(tracks.iter().flatten().all(|t| *t == 1), "{tracks:?}");
}

#[test]
fn weak_detections_continue_tracks_and_begin_none() {
    let weak = |x| detection(Class::Plate, Rect::new(x, 100.0, x + 60.0, 115.0), 0.2);
    assert!(run(25, &[vec![weak(100.0)], vec![weak(100.0)]]).iter().all(Vec::is_empty));
    let frames = [vec![plate(130.0, 107.0, 60.0)], vec![plate(131.0, 107.0, 60.0)], vec![weak(102.0)]];
    assert_eq!(run(25, &frames), [[1], [1], [1]]);
}

#[test]
fn a_plate_in_a_car_and_a_person_are_three_tracks() {
    let frame = vec![
        plate(200.0, 260.0, 60.0),
        detection(Class::Car, Rect::new(100.0, 100.0, 300.0, 280.0), 0.9),
        detection(Class::Person, Rect::new(100.0, 100.0, 300.0, 280.0), 0.9),
    ];
    let mut other = frame.clone();
    other[1].class = Class::Truck;
    assert_eq!(run(25, &[frame, other]), [[1, 2, 3], [1, 2, 3]]);
}

#[test]
fn tracks_end_by_time_and_are_told_once() {
    let mut tracker = Tracker::new(Settings::default());
    for n in 0..3 {
        tracker.step(at(n, 25), &[plate(100.0, 100.0, 60.0)]);
    }
    tracker.step(at(3, 25), &[plate(100.0, 100.0, 60.0), plate(500.0, 100.0, 60.0)]);
    let ended: Vec<_> = (4..60).flat_map(|n| tracker.step(at(n, 25), &[]).ended).collect();
    let of = |track, confirmed| EndedTrack { track, confirmed };
    assert_eq!(ended, [of(2, false), of(1, true)]);
}

#[test]
fn one_frame_a_second_is_enough_for_what_stands() {
    let mut tracker = Tracker::new(Settings::default());
    let tracks: Vec<u32> = (0..6)
        .flat_map(|n| tracker.step(Duration::from_secs(n), &[plate(100.0, 100.0, 60.0)]).seen)
        .map(|u| u.track)
        .collect();
    assert_eq!(tracks, [1; 6]);
}

#[test]
fn a_time_that_goes_back_ends_all() {
    let mut tracker = Tracker::new(Settings::default());
    tracker.step(at(50, 25), &[plate(100.0, 100.0, 60.0)]);
    let step = tracker.step(at(0, 25), &[plate(100.0, 100.0, 60.0)]);
    assert_eq!((step.ended.len(), step.seen[0].track), (1, 2));
}

#[test]
fn a_rest_holds_what_was_seen_before_it_and_lets_go_what_was_not() {
    let mut tracker = Tracker::new(Settings::default());
    let (stays, leaves) = (Rect::new(0.0, 0.0, 80.0, 20.0), Rect::new(300.0, 0.0, 380.0, 20.0));
    let both = [detection(Class::Plate, stays, 0.9), detection(Class::Plate, leaves, 0.9)];
    for ms in [0, 40, 80] {
        tracker.step(Duration::from_millis(ms), &both);
    }
    assert!(!tracker.is_restless());
    tracker.step(Duration::from_millis(120), &both[..1]);
    assert!(tracker.is_restless());
    for ms in (160..5_000).step_by(40) {
        tracker.hold(Duration::from_millis(ms));
    }
    let step = tracker.step(Duration::from_secs(5), &both[..1]);
    assert_eq!(step.seen.iter().map(|u| u.track).collect::<Vec<_>>(), [1]);
    assert_eq!(step.ended, [EndedTrack { track: 2, confirmed: true }]);
}

fn any_detection() -> impl Strategy<Value = Detection> {
    let coordinate = || prop_oneof![4 => -50.0_f32..2000.0, 1 => Just(f32::NAN), 1 => any::<f32>()];
    let class = prop_oneof![Just(Class::Plate), Just(Class::Car), Just(Class::Person)];
    (class, coordinate(), coordinate(), coordinate(), coordinate(), prop_oneof![3 => 0.0_f32..1.0, 1 => any::<f32>()])
        .prop_map(|(class, a, b, c, d, score)| detection(class, Rect::new(a, b, c, d), score))
}

proptest! {
    #[test]
    fn any_detections_make_finite_tracks_that_share_nothing(
        frames in proptest::collection::vec(proptest::collection::vec(any_detection(), 0..12), 0..30),
        steps in proptest::collection::vec(0_u64..2_000, 30),
    ) {
        let mut tracker = Tracker::new(Settings::default());
        let mut now = 0;
        for (frame, ms) in frames.iter().zip(steps) {
            now += ms;
            let step = tracker.step(Duration::from_millis(now), frame);
            let mut ids: Vec<u32> = step.seen.iter().map(|u| u.track).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), step.seen.len());
            for update in &step.seen {
                let r = tracker.track(update.track).unwrap().rect();
                prop_assert!([r.x1, r.y1, r.x2, r.y2].iter().all(|v| v.is_finite()));
                prop_assert!(frame[update.detection].score >= 0.15);
            }
        }
    }
}
