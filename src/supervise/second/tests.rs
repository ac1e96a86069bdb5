//! Who may look when, and what of a ring is looked at: without models, with coded pictures made by hand.

use gstreamer as gst;

use super::*;
use crate::camera::ring::{Bounds, Coded};
use crate::domain::{CameraId, SourceUri};

/// Ten pictures a second, each tenth a key frame.
fn span(seconds: u64) -> Span {
    gst::init().unwrap();
    let ring = Ring::new(Bounds::default());
    ring.begin(gst::Caps::builder("video/x-h264").field("width", 1280).field("height", 720).build());
    for n in 0..seconds * 10 {
        let (at, pts) = (TimeMs(5_000 + n * 100), Duration::from_millis(n * 100));
        ring.push(Coded { at, pts, is_key: n.is_multiple_of(10), unit: gst::Buffer::from_slice([0_u8; 10]) });
    }
    ring.span(Duration::ZERO, Duration::MAX).unwrap()
}

fn looks() -> (Looks, Receiver<Doubt>) {
    let most = Duration::from_secs(5);
    let (queue, inbox) = sync_channel(QUEUE);
    (Looks { most, queue: Some(queue), calm: Arc::default(), clock: Clock::system() }, inbox)
}

fn held(looks: &Looks) -> Held {
    looks.of(&camera::Settings::new(CameraId::new("gate").unwrap(), 1, "rtsp://127.0.0.1/a".parse().unwrap()))
}

#[test]
fn a_pass_is_looked_at_from_the_key_frame_before_it_and_not_at_all_where_that_is_gone() {
    let of = |from, to| {
        let span = within(span(6), TimeMs(from), TimeMs(to))?;
        Some((span.pictures.first()?.at.0, span.pictures.last()?.at.0))
    };
    assert_eq!(of(7_650, 8_320), Some((7_000, 8_300)));
    assert_eq!(of(5_000, 99_000), Some((5_000, 10_900)));
    assert_eq!(of(4_900, 8_320), None, "the ring forgot its beginning");
}

#[test]
fn pictures_are_as_wide_as_they_stand() {
    let span = span(1);
    assert_eq!(width(&span, Rotation::None), Some(1280.0));
    assert_eq!(width(&span, Rotation::Left), Some(720.0));
}

#[test]
fn nobody_looks_while_one_of_many_cameras_stirs_nor_when_it_is_too_late_or_over() {
    let (looks, _inbox) = looks();
    let (mut gate, mut yard) = (held(&looks), held(&looks));
    let clock = Clock::system();
    let soon = || clock.monotonic() + Duration::from_millis(30);
    assert!(looks.calm.wait(&clock, soon()));
    gate.stir(true);
    yard.stir(true);
    gate.stir(false);
    gate.stir(false);
    assert!(!looks.calm.wait(&clock, soon()), "the yard stirs");
    for _ in 0..QUIET {
        yard.rest();
    }
    assert!(looks.calm.wait(&clock, soon()), "nothing has come of it for a second");
    yard.stir(true);
    drop(yard);
    assert!(looks.calm.wait(&clock, soon()), "it is gone");
    assert!(!looks.calm.wait(&clock, clock.monotonic()), "too late");
    looks.calm.state().closed = true;
    assert!(!looks.calm.wait(&clock, soon()));
}

#[test]
fn who_waits_goes_on_as_soon_as_the_last_camera_is_still() {
    let (looks, _inbox) = looks();
    let mut gate = held(&looks);
    gate.stir(true);
    let (calm, clock) = (Arc::clone(&looks.calm), Clock::system());
    let long = clock.monotonic() + Duration::from_mins(5);
    let waiting = std::thread::spawn(move || calm.wait(&clock, long));
    gate.stir(false);
    assert!(waiting.join().unwrap());
}

#[test]
fn a_files_ends_do_not_wait_but_those_of_a_camera_do() {
    let (looks, _inbox) = looks();
    let of = |uri: &str, realtime| {
        let uri: SourceUri = uri.parse().unwrap();
        let settings = camera::Settings::new(CameraId::new("gate").unwrap(), 1, uri);
        looks.of(&camera::Settings { realtime, ..settings }.with_ring()).ring.is_some()
    };
    assert!(of("rtsp://127.0.0.1/a", false) && of("/clip.mp4", true) && !of("/clip.mp4", false));
}
