//! What of a ring becomes a clip, and what is said where it does not: with coded pictures made by hand.

use gstreamer as gst;

use super::*;
use crate::camera::ring::{Bounds, Coded};

fn ring() -> Arc<Ring> {
    gst::init().unwrap();
    let ring = Ring::new(Bounds::default());
    ring.begin(gst::Caps::builder("image/jpeg").build());
    Arc::new(ring)
}

/// Pictures at 10 a second, a key frame every second.
fn push(ring: &Ring, seconds: std::ops::Range<u64>) {
    for n in seconds.start * 10..seconds.end * 10 {
        ring.push(Coded {
            at: TimeMs(n * 100),
            pts: Duration::from_millis(n * 100),
            is_key: n.is_multiple_of(10),
            unit: gst::Buffer::from_slice([0_u8; 1000]),
        });
    }
}

fn settings() -> Settings {
    let (before, after) = (Duration::from_secs(5), Duration::from_secs(5));
    Settings { before, after, bytes: 1 << 20, severity: Severity::Info }
}

fn clips(settings: Settings) -> Clips {
    let (clock, health) = (Clock::system(), Health::new());
    Clips(Arc::new(Shared { settings, clock, health, state: Mutex::default(), changed: Condvar::new() }))
}

fn view(ring: Option<Arc<Ring>>) -> View {
    View { camera: CameraId::new("gate").unwrap(), ring, masks: Vec::new(), decoder: Decoder::default(), is_file: true }
}

fn wish(n: u8, at: u64) -> Wish {
    let (begin, at) = (TimeMs(at - 1_000), TimeMs(at));
    Wish {
        id: EventId([n; 16]),
        severity: Severity::Minor,
        begin,
        at,
        is_person: false,
        unmaskable: None,
        size: (640, 360),
        whereabouts: None,
    }
}

/// A frame of `at` ms; nothing is followed, and nobody watches the view.
fn frame(at: u64) -> Look<'static> {
    Look { at: TimeMs(at), may_wait: true, whereabouts: None, seen: &|_| None }
}

/// First and last picture, and what is missing, of what waits to be made.
fn ready(clips: &Clips) -> Vec<(u64, u64, Option<String>)> {
    let ready = std::mem::take(&mut clips.state().ready);
    let told = |ready: Ready| {
        if ready.instead.is_some() {
            return (0, 0, ready.instead);
        }
        let (span, lacks) = ready.wanted.into_span();
        let times: Vec<u64> = span.iter().flat_map(|s| s.pictures.iter().map(|c| c.at.0)).collect();
        (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0), lacks)
    };
    ready.into_iter().map(told).collect()
}

#[test]
fn a_clip_reaches_from_before_the_hit_to_after_it_although_the_ring_forgets() {
    let (clips, ring) = (clips(settings()), ring());
    let view = view(Some(Arc::clone(&ring)));
    push(&ring, 0..20);
    clips.ask(&view, wish(1, 19_000));
    clips.ask(&view, wish(1, 19_100));
    for second in 20..40 {
        push(&ring, second..second + 1);
        clips.look(&view.camera, &frame(second * 1_000 + 900));
    }
    assert_eq!(ready(&clips), [(14_000, 24_000, None)], "one clip a sighting, whole");
}

#[test]
fn a_pass_that_began_long_before_its_hit_is_covered() {
    let (clips, ring) = (clips(settings()), ring());
    let view = view(Some(Arc::clone(&ring)));
    push(&ring, 0..20);
    let early = Wish { begin: TimeMs(11_200), ..wish(1, 19_000) };
    clips.ask(&view, early);
    clips.over(&view.camera, true);
    let found = ready(&clips);
    assert_eq!((found[0].0, found[0].1), (10_000, 19_900));
    assert!(found[0].2.as_ref().unwrap().contains("ends 4.1 s early"), "{found:?}");
}

#[test]
fn what_is_missing_is_said() {
    let small = Settings { bytes: 80_000, ..settings() };
    let (clips, ring) = (clips(small), ring());
    let view = view(Some(Arc::clone(&ring)));
    // Just opened; then opened again in the middle; then larger than may be.
    push(&ring, 18..20);
    clips.ask(&view, wish(1, 19_000));
    ring.clear();
    ring.begin(gst::Caps::builder("image/jpeg").build());
    push(&ring, 30..31);
    clips.look(&view.camera, &frame(30_900));
    let found = ready(&clips);
    let why = found[0].2.as_ref().unwrap();
    assert!(why.contains("begins 4.0 s later") && why.contains("opened again"), "{why}");
    assert_eq!(found[0].1, 19_900, "nothing of another opening is in it");
    push(&ring, 31..41);
    clips.ask(&view, wish(2, 40_000));
    push(&ring, 41..46);
    clips.look(&view.camera, &frame(45_900));
    assert!(ready(&clips)[0].2.as_ref().unwrap().contains("clip_mib"));
}

#[test]
fn a_hit_that_can_have_no_clip_is_told_why() {
    let (clips, ring) = (clips(settings()), ring());
    clips.ask(&view(None), wish(1, 5_000));
    let masked = View { masks: vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])], ..view(Some(ring)) };
    clips.ask(&masked, Wish { unmaskable: Some("another view".to_owned()), ..wish(2, 5_000) });
    clips.ask(&view(Some(Arc::clone(&masked.ring.clone().unwrap()))), Wish { is_person: true, ..wish(3, 5_000) });
    let found = ready(&clips);
    assert!(found[2].2.as_ref().unwrap().contains("persons"), "{found:?}");
    assert!(found[0].2.as_ref().unwrap().contains("no coded pictures"), "{found:?}");
    assert!(found[1].2.as_ref().unwrap().contains("cannot be masked: another view"), "{found:?}");
}

#[test]
fn hits_below_the_least_severity_and_all_where_clips_are_off_get_none() {
    for settings in [
        Settings { severity: Severity::Serious, ..settings() },
        Settings { before: Duration::ZERO, after: Duration::ZERO, ..settings() },
    ] {
        let clips = clips(settings);
        clips.ask(&view(Some(ring())), wish(1, 5_000));
        assert!(clips.state().wanted.is_empty() && ready(&clips).is_empty());
    }
}

#[test]
fn a_live_camera_never_waits_and_its_hits_above_what_can_be_made_are_told() {
    let (clips, ring) = (clips(settings()), ring());
    let view = View { is_file: false, ..view(Some(Arc::clone(&ring))) };
    push(&ring, 0..10);
    for n in 1..=20 {
        clips.ask(&view, wish(n, 5_000));
    }
    clips.over(&view.camera, false);
    let found = ready(&clips);
    let told = found.iter().filter(|(_, last, _)| *last == 0).count();
    assert_eq!((found.len(), told), (20, 20 - MOST_READY));
    assert_eq!(clips.close(Duration::ZERO), 0);
}

#[test]
fn clips_that_cost_little_go_before_those_that_are_coded_anew() {
    let (clips, ring) = (clips(settings()), ring());
    let plain = view(Some(Arc::clone(&ring)));
    let masked = View { masks: vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])], ..plain.clone() };
    push(&ring, 0..10);
    for (n, view) in [(1, &masked), (2, &plain), (3, &masked)] {
        clips.ask(view, wish(n, 5_000));
    }
    clips.over(&plain.camera, true);
    let order: Vec<u8> = std::iter::from_fn(|| clips.state().next()).map(|ready| ready.wanted.wish.id.0[0]).collect();
    assert_eq!(order[0], 2);
    assert_eq!(order.len(), 3);
}

#[test]
fn a_pass_that_goes_on_is_covered_to_its_end_and_one_without_end_for_some_seconds() {
    for (last, ends) in [(27_300, 28_300), (60_000, 34_000), (20_000, 24_000)] {
        let (clips, ring) = (clips(settings()), ring());
        let view = view(Some(Arc::clone(&ring)));
        push(&ring, 0..20);
        clips.ask(&view, wish(1, 19_000));
        for second in 20..40 {
            push(&ring, second..second + 1);
            let at = second * 1_000 + 900;
            let seen = |_| Some(TimeMs(at.min(last)));
            clips.look(&view.camera, &Look { seen: &seen, ..frame(at) });
        }
        assert_eq!(ready(&clips), [(14_000, ends, None)], "seen last at {last}");
    }
}

#[test]
fn the_clip_of_what_has_stood_there_for_hours_is_of_its_hit_and_lacks_nothing() {
    let (clips, ring) = (clips(settings()), ring());
    let view = view(Some(Arc::clone(&ring)));
    push(&ring, 7_190..7_201);
    clips.ask(&view, Wish { begin: TimeMs(1_000), ..wish(1, 7_200_000) });
    for second in 7_201..7_230 {
        push(&ring, second..second + 1);
        let seen = |_| Some(TimeMs(second * 1_000));
        clips.look(&view.camera, &Look { seen: &seen, ..frame(second * 1_000 + 900) });
    }
    let found = ready(&clips);
    assert_eq!((found[0].0, found[0].1), (7_190_000, 7_205_000));
    let note = found[0].2.as_ref().unwrap();
    assert!(note.contains("there 119 min before the hit") && !note.contains("later than asked"), "{note}");
}

#[test]
fn a_masked_camera_gives_nothing_of_a_time_in_which_it_may_have_looked_elsewhere() {
    type Watch = fn(u64) -> (bool, Option<u64>);
    let watched = |is_elsewhere, in_place: Option<u64>| Whereabouts { is_elsewhere, in_place: in_place.map(TimeMs) };
    // Found in its place throughout; moved after 21 s, which is found out at 27; never comparable; moved all the time;
    // not found after 21 s, and nowhere else either.
    let cases: [(Watch, (u64, u64), u64, &str); 5] = [
        (|at| (false, Some(at)), (14_000, 24_000), 24_900, ""),
        (|at| (at > 27_000, Some(at.min(21_000))), (14_000, 21_000), 27_900, "masks may have lain wrong"),
        (|_| (false, None), (14_000, 24_000), 39_900, ""),
        (|at| (at > 27_000, Some(9_000)), (0, 0), 27_900, "masks may have lain wrong"),
        (|at| (false, Some(at.min(21_000))), (14_000, 21_000), 39_900, "not found in its place (any more)"),
    ];
    for (n, (watch, found, given, why)) in cases.into_iter().enumerate() {
        let (clips, ring) = (clips(settings()), ring());
        let view =
            View { masks: vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])], ..view(Some(ring.clone())) };
        push(&ring, 0..20);
        clips.ask(&view, wish(1, 19_000));
        let mut at = 19_900;
        while clips.state().ready.is_empty() {
            at += 1_000;
            assert!(at < 60_000, "case {n} is never given");
            push(&ring, at / 1_000..at / 1_000 + 1);
            let (is_elsewhere, in_place) = watch(at);
            clips.look(&view.camera, &Look { whereabouts: Some(watched(is_elsewhere, in_place)), ..frame(at) });
        }
        let clip = ready(&clips).remove(0);
        assert_eq!(((clip.0, clip.1), at), (found, given), "case {n}");
        assert_eq!(clip.2.is_some(), !why.is_empty(), "case {n}");
        assert!(clip.2.unwrap_or_default().contains(why), "case {n}");
    }
}

#[test]
fn a_masked_clip_that_is_over_before_its_view_was_found_again_ends_where_it_was_found_last() {
    let whereabouts = |at| Some(Whereabouts { is_elsewhere: false, in_place: Some(TimeMs(at)) });
    for (looked, last) in [(false, 18_500), (true, 21_000)] {
        let (clips, ring) = (clips(settings()), ring());
        let masks = vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])];
        let view = View { masks, ..view(Some(Arc::clone(&ring))) };
        push(&ring, 0..20);
        clips.ask(&view, Wish { whereabouts: whereabouts(18_500), ..wish(1, 19_000) });
        push(&ring, 20..23);
        if looked {
            clips.look(&view.camera, &Look { whereabouts: whereabouts(21_000), ..frame(22_900) });
        }
        clips.over(&view.camera, true);
        let (first, end, lacks) = ready(&clips).remove(0);
        assert_eq!((first, end), (14_000, last), "the stream broke");
        assert!(lacks.unwrap().contains("masks may have lain wrong"));
    }
}
