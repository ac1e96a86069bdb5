//! The tracker on drawn paths, and on anything at all.

use proptest::prelude::*;

use super::*;
use crate::domain::Class;

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

#[test]
fn where_nobody_looked_tracks_stay_and_where_somebody_did_they_age() {
    let left = Rect::new(0.0, 0.0, 80.0, 20.0);
    let (stays, leaves) = (detection(Class::Plate, left, 0.9), plate(500.0, 200.0, 80.0));
    let mut tracker = Tracker::new(Settings::default());
    for n in 0..3 {
        tracker.step(at(n, 25), &[stays.clone(), leaves.clone()]);
    }
    // Two seconds of looks at the right half alone, which shows nothing any more.
    let looked = |rect: &Rect| rect.x1 > 300.0;
    let mut ended = Vec::new();
    for n in 3..53 {
        ended.extend(tracker.step_where(at(n, 25), &[], looked).ended);
        assert!(tracker.track(1).is_some_and(|track| track.hidden_for().is_zero()), "frame {n}");
    }
    assert_eq!(ended, [EndedTrack { track: 2, confirmed: true }]);
    // Missed by a look at its place, it ages although nobody looks there again.
    tracker.step(at(53, 25), &[]);
    assert!(!tracker.track(1).unwrap().hidden_for().is_zero());
    let ended: Vec<_> = (54..94).flat_map(|n| tracker.step_where(at(n, 25), &[], looked).ended).collect();
    assert_eq!(ended, [EndedTrack { track: 1, confirmed: true }]);
}

fn car(x: f32, y: f32, w: f32) -> Detection {
    detection(Class::Car, Rect::new(x - w / 2.0, y - w / 3.0, x + w / 2.0, y + w / 3.0), 0.9)
}

/// As [`run`], by what is in each frame: the detection's place in the list stands for the thing, `None` is hidden.
fn run_hidden(fps: u64, frames: &[Vec<Option<Detection>>]) -> Vec<Vec<Option<u32>>> {
    let mut tracker = Tracker::new(Settings::default());
    let mut one = |(n, frame): (u64, &Vec<Option<Detection>>)| {
        let shown: Vec<Detection> = frame.iter().flatten().cloned().collect();
        let step = tracker.step(at(n, fps), &shown);
        let mut of = (0..shown.len()).map(|i| step.seen.iter().find(|u| u.detection == i).map(|u| u.track));
        frame.iter().map(|d| d.as_ref().and_then(|_| of.next().flatten())).collect()
    };
    (0..).zip(frames).map(&mut one).collect()
}

#[test]
fn a_car_that_is_hidden_for_seconds_is_the_same_when_it_comes_out() {
    // Behind a lorry while it drives on, brakes a little, or stands.
    for (speed, after) in [(120.0, 120.0), (120.0, 80.0), (0.0, 0.0)] {
        for hidden in [5_u16, 15, 25] {
            let frames: Vec<_> = (0_u16..60)
                .map(|n| {
                    let (before, since) = (f32::from(n.min(20)), f32::from(n.saturating_sub(20)));
                    let x = 100.0 + (speed * before + after * since) / 10.0;
                    vec![
                        (!(20..20 + hidden).contains(&n)).then(|| car(x, 300.0, 120.0)),
                        Some(car(900.0, 600.0, 150.0)),
                    ]
                })
                .collect();
            let tracks = run_hidden(10, &frames);
            assert!(tracks.iter().all(|t| t[0].is_none_or(|t| t == 1) && t[1] == Some(2)), "{speed} {after} {hidden}");
        }
    }
}

#[test]
fn a_car_that_stops_while_it_is_hidden_is_found_where_it_was_last() {
    let frames: Vec<_> = (0_u16..50)
        .map(|n| vec![(!(20..40).contains(&n)).then(|| car(100.0 + 25.0 * f32::from(n.min(21)), 300.0, 120.0))])
        .collect();
    assert!(run_hidden(10, &frames).iter().flatten().flatten().all(|t| *t == 1));
}

#[test]
fn another_car_does_not_take_the_number_of_one_that_left() {
    let frames: Vec<_> = (0_u16..40)
        .map(|n| match n {
            0..15 => vec![Some(car(100.0, 300.0, 120.0)), None],
            18.. => vec![None, Some(car(700.0 - 20.0 * f32::from(n), 420.0, 120.0))],
            _ => vec![None, None],
        })
        .collect();
    let tracks = run_hidden(10, &frames);
    assert!(tracks[..15].iter().all(|t| t[0] == Some(1)) && tracks[18..].iter().all(|t| t[1] == Some(2)), "{tracks:?}");
}

#[test]
fn two_boxes_of_one_car_are_one_track() {
    let frames: Vec<_> = (0_u16..10)
        .map(|n| {
            let x = 100.0 + 5.0 * f32::from(n);
            vec![car(x, 300.0, 120.0), detection(Class::Truck, car(x + 4.0, 302.0, 122.0).rect, 0.6)]
        })
        .collect();
    assert!(run(10, &frames).iter().all(|t| *t == [1]));
}

#[test]
fn a_hidden_vehicle_is_told_as_hidden_and_wanted_for_a_moment_only() {
    let mut tracker = Tracker::new(Settings::default());
    for n in 0..5 {
        tracker.step(at(n, 10), &[car(100.0, 300.0, 120.0)]);
    }
    let track = tracker.track(1).unwrap();
    assert_eq!((track.hidden_for(), track.age(), track.hits()), (Duration::ZERO, at(4, 10), 5));
    assert!(track.is_confirmed() && track.kind() == Kind::Vehicle && tracker.tracks().count() == 1);
    tracker.step(at(10, 10), &[]);
    assert!(tracker.is_restless() && tracker.track(1).unwrap().hidden_for() == at(6, 10));
    assert_eq!(tracker.track(1).unwrap().last_rect(), car(100.0, 300.0, 120.0).rect);
    tracker.step(at(17, 10), &[]);
    assert!(!tracker.is_restless() && tracker.track(1).is_some());
    assert_eq!(tracker.step(at(40, 10), &[]).ended, [EndedTrack { track: 1, confirmed: true }]);
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

    #[test]
    fn numbers_are_never_used_again(
        frames in proptest::collection::vec(proptest::collection::vec(any_detection(), 0..8), 0..40),
        steps in proptest::collection::vec(-500_i64..1_500, 40),
    ) {
        let mut tracker = Tracker::new(Settings::default());
        let (mut now, mut most, mut over) = (2_000_i64, 0, Vec::new());
        for (frame, ms) in frames.iter().zip(steps) {
            now = (now + ms).max(0);
            let step = tracker.step(Duration::from_millis(now.unsigned_abs()), frame);
            over.extend(step.ended.iter().map(|e| e.track));
            let live: Vec<u32> = tracker.tracks().map(Track::id).collect();
            prop_assert!(live.iter().all(|t| !over.contains(t)));
            for update in step.seen {
                prop_assert!(!over.contains(&update.track) && update.track <= most + 8);
                most = most.max(update.track);
            }
        }
    }

    #[test]
    fn the_order_of_detections_is_nothing(
        cars in proptest::collection::vec((100.0_f32..1800.0, 100.0_f32..900.0, -150.0_f32..150.0, 60.0_f32..160.0), 1..9),
        orders in proptest::collection::vec(any::<u32>(), 25),
        gone in proptest::collection::vec(0_u8..10, 225),
    ) {
        let frame = |n: u16| -> Vec<(usize, Detection)> {
            let t = f32::from(n) / 10.0;
            let shown = |i: &usize| gone[(usize::from(n) * 9 + i) % gone.len()] > 0;
            cars.iter().enumerate().filter(|(i, _)| shown(i)).map(|(i, c)| (i, car(c.0 + c.2 * t, c.1, c.3))).collect()
        };
        // Which things share a track, told by the first frame and thing that the track was seen with.
        let told = |shuffle: bool| {
            let mut tracker = Tracker::new(Settings::default());
            let mut first = std::collections::BTreeMap::new();
            let mut all = Vec::new();
            for n in 0_u16..25 {
                let mut things = frame(n);
                if shuffle {
                    let order = orders[usize::from(n)];
                    things.sort_by_key(|(i, _)| order.rotate_left(u32::try_from(*i).unwrap() * 5).wrapping_mul(0x9E37_79B9));
                }
                let shown: Vec<Detection> = things.iter().map(|t| t.1.clone()).collect();
                let step = tracker.step(at(n.into(), 10), &shown);
                let mut seen: Vec<_> = step.seen.iter().map(|u| (things[u.detection].0, u.track)).collect();
                seen.sort_unstable();
                for (thing, track) in &seen {
                    first.entry(*track).or_insert((n, *thing));
                }
                all.push(seen.into_iter().map(|(thing, track)| (thing, first[&track])).collect::<Vec<_>>());
            }
            all
        };
        prop_assert_eq!(told(false), told(true));
    }

    #[test]
    fn a_picture_that_shakes_keeps_its_numbers(
        shakes in proptest::collection::vec((-80.0_f32..80.0, -50.0_f32..50.0), 30),
        speed in -60.0_f32..60.0,
    ) {
        let mut tracker = Tracker::new(Settings::default());
        for (n, (dx, dy)) in (0_u16..).zip(shakes) {
            // Calm at first, as a camera is before the gust.
            let (dx, dy) = if n < 5 { (0.0, 0.0) } else { (dx, dy) };
            let t = f32::from(n) / 10.0;
            let cars = [(200.0, 200.0, speed), (500.0, 340.0, -speed), (900.0, 250.0, 0.0), (1300.0, 420.0, speed / 2.0)];
            let shown: Vec<Detection> =
                cars.iter().map(|(x, y, v)| car(x + v * t + dx, y + dy, 130.0 + y / 20.0)).collect();
            let tracks: Vec<u32> = tracker.step(at(n.into(), 10), &shown).seen.iter().map(|u| u.track).collect();
            prop_assert_eq!(tracks, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn cars_that_pass_each_other_keep_their_numbers(
        speeds in (150.0_f32..500.0, 150.0_f32..500.0),
        apart in 30.0_f32..120.0,
        noise in proptest::collection::vec(-0.03_f32..0.03, 160),
    ) {
        let frames: Vec<_> = (0_u16..40)
            .map(|n| {
                let t = f32::from(n) / 10.0;
                let shake = |k: usize| 130.0 * noise[(usize::from(n) * 4 + k) % noise.len()];
                vec![
                    car(100.0 + speeds.0 * t + shake(0), 300.0 + shake(1), 130.0),
                    car(1500.0 - speeds.1 * t + shake(2), 300.0 + apart + shake(3), 130.0),
                ]
            })
            .collect();
        let tracks = run(10, &frames);
        prop_assert!(tracks.iter().all(|t| *t == [1, 2]), "{:?}", tracks);
    }
}
