//! The ring of a camera's coded pictures: what is in it has the times of the frames, of files and of live cameras.

use std::sync::Arc;
use std::time::Duration;

use watchpost::camera::Settings;
use watchpost::camera::ring::Ring;
use watchpost::camera::testkit::{Clip, RtspServer};
use watchpost::domain::TimeMs;

use super::kit::camera::{PATIENCE, clip, error_of, frames, looped, settings};
use super::kit::pauses::Pauses;

/// The camera with a ring, and the ring.
fn kept(uri: &str) -> (Settings, Arc<Ring>) {
    let settings = settings(uri).with_ring();
    let ring = settings.ring.clone().unwrap();
    (settings, ring)
}

/// Time and place of the kept pictures, as they are shown.
fn shown(ring: &Ring) -> Vec<(Duration, TimeMs)> {
    let span = ring.span(Duration::ZERO, Duration::MAX).unwrap();
    assert!(span.pictures[0].is_key, "a span begins with a key frame");
    let mut times: Vec<_> = span.pictures.iter().map(|c| (c.pts, c.at)).collect();
    times.sort();
    times
}

#[test]
fn the_kept_pictures_of_a_file_have_the_times_of_its_frames_with_b_frames_too() {
    let dir = tempfile::tempdir().unwrap();
    for codec in [Clip::H264, Clip::H265] {
        let (settings, ring) = kept(clip(dir.path(), codec).to_str().unwrap());
        let given: Vec<_> = frames(&settings, 50).iter().map(|f| (f.pts, f.at)).collect();
        assert_eq!(shown(&ring), given, "{}", codec.encoder);
        assert!(ring.bytes() > 0);
    }
}

#[test]
fn the_kept_pictures_of_a_live_camera_have_the_times_of_its_frames_and_go_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = RtspServer::start(&clip(dir.path(), Clip { frames: 100, ..Clip::H264 }), &looped()).unwrap();
    let (settings, ring) = kept(&server.url());
    let pauses = Pauses::watch();
    let given = frames(&settings, 30);
    let kept = shown(&ring);
    let mut latest = 0;
    for frame in &given {
        let (_, at) = kept.iter().find(|(pts, _)| *pts == frame.pts).expect("a picture of the frame's place");
        // A B-frame arrives after the picture that is shown after it; two pictures are the most that wait for it.
        latest = latest.max(frame.at.0.abs_diff(at.0));
    }
    let newest = ring.newest().unwrap();
    frames(&settings, 2);
    let anew = ring.newest().unwrap();
    // What a camera sent while the machine stood still comes at once.
    if !pauses.spoil("when kept pictures came") {
        assert!(latest <= 300, "{latest} ms between a frame and its coded picture");
        assert!(anew < newest, "times began anew");
    }
    drop(server);
    assert!(!error_of(&settings).to_string().is_empty());
    assert!(ring.newest().is_none(), "nothing came of the last opening, in {PATIENCE:?}");
}

#[test]
fn of_two_streams_the_large_one_is_kept() {
    let (mut settings, ring) = kept("rtsp://127.0.0.1:1/sub");
    settings.main = Some("rtsp://127.0.0.1:1/main".parse().unwrap());
    assert!(Arc::ptr_eq(settings.of_main().unwrap().ring.as_ref().unwrap(), &ring));
    let folder = tempfile::tempdir().unwrap();
    for none in ["test://smpte", &format!("folder://{}", folder.path().display())] {
        assert!(super::kit::camera::settings(none).with_ring().ring.is_none(), "{none} has no coded pictures");
    }
}
