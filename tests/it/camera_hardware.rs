//! Hardware decoders: one that fails costs a camera nothing but its processor time, here and in a worker.
//!
//! No such hardware was at hand: the texts `…-broken` of the testkit decode by software and fail on the first picture, as a
//! driver may, and elements of hardware are missing on a machine without it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use watchpost::camera::hardware::{AUTO, Survey, choices};
use watchpost::camera::testkit::{Clip, RtspServer};
use watchpost::camera::worker::{Share, Workers};
use watchpost::camera::{self, Camera, CameraEvent, Error, Next, Settings};
use watchpost::clock::Clock;
use watchpost::health::{CameraCounters, CameraState, Health, Worry};
use watchpost::shutdown::Shutdown;

use crate::kit::camera::{PATIENCE, clip, error_of, looped, settings};

/// How many frames a file gives, and what is wrong with its decoder.
fn played(settings: &Settings) -> (u64, Option<String>) {
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(settings, &Clock::system(), Arc::clone(&counters)).unwrap();
    let (mut frames, began) = (0, Instant::now());
    loop {
        assert!(began.elapsed() < PATIENCE, "{frames} frames");
        match source.next(PATIENCE).unwrap() {
            Next::Frame(frame) => {
                assert_eq!(frame.index, frames, "each once");
                frames += 1;
            }
            Next::Idle => {}
            Next::End => return (frames, counters.worry(Worry::Decoder)),
        }
    }
}

fn with(settings: &Settings, pipeline: &str) -> Settings {
    // A camera of its own: what is known of the other one's decoder is not shared.
    Settings { pipeline: Some(pipeline.to_owned()), given_up: camera::hardware::GivenUp::default(), ..settings.clone() }
}

fn workers() -> Workers {
    Workers::new(PathBuf::from(env!("CARGO_BIN_EXE_watchpost")), Share::All, Clock::system(), Health::new())
}

#[test]
fn a_file_whose_hardware_decoder_fails_is_decoded_whole_by_software_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 30, ..Clip::H264 });
    let usual = settings(path.to_str().unwrap());
    let there = Settings { workers: Some(workers()), ..usual.clone() };
    for settings in [&usual, &there] {
        assert_eq!(played(settings), (30, None));
        let broken = with(settings, "file-h264-broken");
        let (frames, why) = played(&broken);
        let why = why.unwrap();
        assert_eq!(frames, 30, "{why}");
        for words in ["decoded by software", "file-h264-broken", "as requested"] {
            assert!(why.to_lowercase().contains(words), "{words}: {why}");
        }
        // The next opening does not try it again, and still says why.
        assert_eq!(played(&broken), (30, Some(why)));
    }
}

#[test]
fn a_decoder_that_is_not_there_is_one_that_fails() {
    let survey = Survey::now();
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 10, ..Clip::H264 });
    let usual = settings(path.to_str().unwrap());
    for settings in [usual.clone(), Settings { workers: Some(workers()), ..usual }] {
        if survey.elements.contains("vah264dec") {
            eprintln!("this machine decodes by VA-API: its absence is not tried");
            return;
        }
        let (frames, why) = played(&with(&settings, "file-h264-va"));
        let why = why.unwrap();
        assert!(frames == 10 && why.contains("vah264dec") && why.contains("no device here"), "{frames} {why}");
    }
}

#[test]
fn auto_is_software_where_there_is_no_hardware() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 10, ..Clip::H264 });
    let usual = settings(path.to_str().unwrap());
    let is_software = choices(&usual.uri, &Survey::now()).iter().all(|(_, choice)| choice.api.is_none());
    for settings in [usual.clone(), Settings { workers: Some(workers()), ..usual }] {
        let (frames, worry) = played(&with(&settings, AUTO));
        assert_eq!(frames, 10);
        assert!(worry.is_none() || !is_software, "{worry:?}");
    }
}

#[test]
fn a_live_camera_goes_on_by_software_and_is_degraded_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = RtspServer::start(&clip(dir.path(), Clip::H264), &looped()).unwrap();
    let usual = settings(&server.url());
    for settings in [usual.clone(), Settings { workers: Some(workers()), ..usual }] {
        let counters = Arc::new(CameraCounters::default());
        let camera = Camera::new(with(&settings, "rtsp-h264-broken"), Clock::system(), Arc::clone(&counters));
        let (shutdown, mut frames, began) = (Shutdown::new(), 0, Instant::now());
        camera
            .run(&shutdown, &mut |event| {
                frames += u32::from(matches!(event, CameraEvent::Frame(_)));
                if frames == 20 || began.elapsed() > PATIENCE {
                    shutdown.trigger();
                }
            })
            .unwrap();
        let CameraState::Degraded(why) = counters.state() else { panic!("{:?}", counters.state()) };
        assert!(frames >= 20 && why.contains("rtsp-h264-broken") && why.contains("software"), "{frames} {why}");
        // Within the opening that it failed in: the camera was never away.
        assert_eq!((counters.opened.get(), counters.failed.get()), (1, 0));
    }
}

#[test]
fn a_camera_that_is_not_reached_says_nothing_of_its_decoder() {
    let counters = Arc::new(CameraCounters::default());
    let settings = with(&settings("rtsp://127.0.0.1:1/x"), "rtsp-h264-broken");
    let error = error_of(&settings);
    assert!(matches!(error, Error::Stream { .. }), "{error}");
    assert!(settings.given_up.why().is_none() && counters.worry(Worry::Decoder).is_none());
}

#[test]
fn a_pipeline_of_ones_own_is_done_as_it_says_and_its_failure_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 10, ..Clip::H264 });
    let own = dir.path().join("own.txt");
    let text = "h264parse name=coded ! avdec_h264 ! identity error-after=1 ! appsink name=frames";
    std::fs::write(&own, text).unwrap();
    let error = error_of(&with(&settings(path.to_str().unwrap()), own.to_str().unwrap()));
    assert!(matches!(error, Error::Stream { .. }), "{error}");
}
