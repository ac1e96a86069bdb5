//! Idle cameras over real RTSP: key frames alone are decoded while nothing moves, and every frame of what moves is seen.
//!
//! The short test shows squares that cross a still, noisy picture. The bars, with drawn vehicles and the shipped models, are
//! in [`bars`] and take minutes: `WATCHPOST_IDLE=1`.

#[cfg(feature = "onnx")]
mod bars;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use watchpost::camera::idle::{Calm, Idle};
use watchpost::camera::testkit::{RtspServer, Serving, rescale};
use watchpost::camera::{Camera, CameraEvent, MainStream, Settings};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Detection, Frame, PlateRead};
use watchpost::health::{CameraCounters, CameraState, Decoding};
use watchpost::shutdown::Shutdown;
use watchpost::vision::analyser::{FindPlates, ReadPlates};
use watchpost::vision::area::Area;
use watchpost::vision::mask::Seen;
use watchpost::vision::{self, Analyser};

use super::kit::camera::{PATIENCE, looped, settings};
use super::kit::pauses::Pauses;

const SIZE: (usize, usize) = (320, 180);
const FPS: u64 = 25;
/// The pictures in which squares come, and how many they take to cross. Every 50th is a key frame.
const PASSES: [u64; 2] = [322, 557];
const CROSSES: usize = 30;
const SECONDS: u64 = 26;
/// Brightness of a square; nothing else is as bright.
const BRIGHT: u8 = 230;

/// A picture of the scene: a slope of grey with noise, and a square while one passes.
fn picture(n: u64, noise: &mut u64) -> Vec<u8> {
    let (w, h) = SIZE;
    let mut planes = vec![128; w * h * 3 / 2];
    for (i, luma) in planes[..w * h].iter_mut().enumerate() {
        *noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *luma = u8::try_from(60 + (i % w) / 8 + (*noise >> 33) as usize % 4).unwrap();
    }
    if let Some(along) = along(n) {
        let x = along * (w - 40) / CROSSES;
        for (y, row) in planes[..w * h].chunks_exact_mut(w).skip(90).take(30).enumerate() {
            // Something is on it, as on a vehicle.
            for (i, luma) in row[x..x + 40].iter_mut().enumerate() {
                let grain = u8::try_from((i * 7 + y * 13 + n as usize * 5) % 16).unwrap();
                *luma = BRIGHT - grain - 36 * u8::from((i / 4 + y / 5).is_multiple_of(3));
            }
        }
    }
    planes
}

/// How many pictures of its way the square has behind it in picture `n`.
fn along(n: u64) -> Option<usize> {
    let begun = PASSES.iter().filter_map(|from| usize::try_from(n.checked_sub(*from)?).ok());
    begun.into_iter().find(|pictures| *pictures < CROSSES)
}

fn has_square(frame: &Frame) -> bool {
    let luma = frame.luma();
    let (width, height) = (luma.width, luma.height);
    luma.row(height * 105 / 180).unwrap().iter().filter(|v| **v > 165).count() > width / 16
}

/// Makes the clip with an encoder.
fn clip(dir: &Path, name: &str, encoder: &str) -> PathBuf {
    gst::init().unwrap();
    let path = dir.join(format!("{name}.mp4"));
    let (w, h) = SIZE;
    let text = format!(
        "appsrc name=in format=time block=true max-bytes=4000000 caps=video/x-raw,format=I420,width={w},height={h},\
         framerate={FPS}/1 ! {encoder} ! mp4mux ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut noise = 7;
    for n in 0..SECONDS * FPS {
        let mut buffer = gst::Buffer::from_mut_slice(picture(n, &mut noise));
        let b = buffer.get_mut().unwrap();
        b.set_pts(gst::ClockTime::from_mseconds(n * 1_000 / FPS));
        b.set_duration(gst::ClockTime::from_mseconds(1_000 / FPS));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    path
}

/// Finds and reads nothing: the motion gate alone is of use here.
struct Blind;

impl FindPlates for Blind {
    fn find(&self, _: &Seen<'_>, _: Area) -> Result<Vec<Detection>, vision::Error> {
        Ok(Vec::new())
    }
}

impl ReadPlates for Blind {
    fn read(&self, _: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, vision::Error> {
        Ok(vec![None; plates.len()])
    }
}

/// What was seen of a frame: its place, whether a square is in it, how long after its arrival it was given out.
#[derive(Debug, Clone, Copy)]
struct Look {
    pts: Duration,
    square: bool,
    late: u64,
    /// It has a frame of the main stream beside it, with a square in it where it has one.
    paired: bool,
}

/// What became of a camera that was watched.
struct Watched {
    looks: Vec<Look>,
    counters: Arc<CameraCounters>,
    /// How much was decoded, change by change.
    decoding: Vec<Decoding>,
    /// It was so at every frame.
    online: bool,
    pauses: Pauses,
}

/// Watches a camera with a motion gate until `ends` says so.
fn watch(mut settings: Settings, ends: impl Fn(&[Look]) -> bool) -> Watched {
    let (pauses, idle) = (Pauses::watch(), Arc::new(Idle::default()));
    settings.idle = Some(Arc::clone(&idle));
    settings.stall_after = Duration::from_secs(1);
    let (clock, counters) = (Clock::system(), Arc::new(CameraCounters::default()));
    let (stop, began) = (Shutdown::new(), Instant::now());
    let mut main = settings.of_main().map(|main| MainStream::start(main, &clock, counters.of_main(), &stop));
    let camera = Camera::new(settings, clock.clone(), Arc::clone(&counters));
    let vision = vision::Settings { motion_gate: true, ..vision::Settings::default() };
    let mut analyser = Analyser::with(Box::new(Blind), Box::new(Blind), vision, CameraId::new("gate").unwrap(), 1);
    let mut calm = Calm::new(idle);
    let (mut looks, mut decoding, mut online) = (Vec::new(), Vec::new(), true);
    let ran = camera.run(&stop, &mut |event| {
        let CameraEvent::Frame(mut frame) = event else { return };
        if let Some(main) = &mut main {
            main.attach(&mut frame, &counters);
            online &= counters.state() == CameraState::Online;
        }
        let (late, square) = (clock.utc().since(frame.at), has_square(&frame));
        let paired = frame.detail().is_some_and(|detail| has_square(detail) == square);
        looks.push(Look { pts: frame.pts, square, late, paired });
        analyser.step(&frame).unwrap();
        calm.note(frame.pts, analyser.is_still());
        if decoding.last() != Some(&counters.decoding()) {
            decoding.push(counters.decoding());
        }
        if ends(&looks) || began.elapsed() > PATIENCE * 3 {
            stop.trigger();
        }
    });
    if let Err(error) = ran {
        assert!(pauses.spoil("a silence of a camera"), "{error}");
    }
    Watched { looks, counters, decoding, online, pauses }
}

/// The squares were seen in every frame, not long after they came.
fn judge(name: &str, watched: &Watched) {
    let Watched { looks, counters, decoding, online, pauses } = watched;
    let mut squares: Vec<Vec<Look>> = Vec::new();
    for look in looks.iter().filter(|l| l.square) {
        match squares.last_mut() {
            Some(pass) if look.pts < pass.last().unwrap().pts + Duration::from_secs(3) => pass.push(*look),
            _ => squares.push(vec![*look]),
        }
    }
    let seen: Vec<(usize, u64)> = squares.iter().map(|s| (s.len(), s[0].late)).collect();
    let (received, skipped) = (counters.received.get(), counters.skipped.get());
    let opened = counters.opened.get();
    eprintln!(
        "{name}: squares in {seen:?} frames, ms late; {received} decoded, {skipped} not; {decoding:?}; opened {opened}"
    );
    if pauses.spoil(name) {
        return;
    }
    assert!(*online && looks.windows(2).all(|w| w[0].pts < w[1].pts), "{name}: places go on");
    assert!(seen.len() >= PASSES.len(), "{name}: {seen:?}");
    for (count, late) in seen.iter().take(PASSES.len()) {
        // What is decoded as it comes may give way to newer frames on a busy machine; what was kept may not.
        let dropped = usize::try_from(counters.dropped.get()).unwrap();
        assert!(*count + dropped + 1 >= CROSSES, "{name}: {count} of {CROSSES} frames, {dropped} dropped");
        assert!(*late <= 700, "{name}: {late} ms");
    }
    if name == "cbr" {
        // The rate that it must spend is spent on noise, in which what moves does not show.
        assert_eq!((skipped, decoding.last()), (0, Some(&Decoding::AllForSizes)), "{name}: {decoding:?}");
    } else {
        assert!(decoding.iter().filter(|d| **d == Decoding::KeyFrames).count() >= 2, "{name}: {decoding:?}");
        assert!(skipped > 6 * FPS, "{name}: {skipped} skipped");
    }
    let given = looks.len() as u64 + counters.dropped.get();
    assert!(received.abs_diff(given) <= 1, "{name}: {received} received, {given} given or dropped");
}

#[test]
fn what_passes_an_idle_camera_is_seen_frame_by_frame_a_little_later() {
    let dir = tempfile::tempdir().unwrap();
    let x264 = "x264enc speed-preset=veryfast pass=qual quantizer=24 key-int-max=50 threads=1 option-string=scenecut=0";
    let b_frames = format!("{x264}:b-adapt=0 bframes=3 b-pyramid=true ! h264parse");
    let x265 = "x265enc speed-preset=ultrafast key-int-max=50 log-level=none \
                option-string=crf=26:scenecut=0:bframes=3:b-adapt=0:pools=none:frame-threads=1 ! h265parse";
    let constant = format!("{} ! h264parse", x264.replace("pass=qual quantizer=24", "pass=cbr bitrate=600"));
    let clips = [("h264", x264), ("b-frames", b_frames.as_str()), ("h265", x265), ("cbr", constant.as_str())];
    let paths = clips.map(|(name, encoder)| (name, clip(dir.path(), name, encoder)));
    // All at once: they last as long as they show.
    let ends = |looks: &[Look]| {
        let passes = looks.windows(2).filter(|w| w[0].square && !w[1].square).count();
        passes >= PASSES.len() && looks.last().is_some_and(|l| l.pts > Duration::from_secs(24))
    };
    std::thread::scope(|scope| {
        let threads = paths.map(|(name, path)| {
            scope.spawn(move || {
                let server = RtspServer::start(&path, &looped()).unwrap();
                judge(name, &watch(settings(&server.url()), ends));
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn two_streams_of_an_idle_camera_wake_together_and_show_the_same_moments() {
    let dir = tempfile::tempdir().unwrap();
    let encoder =
        "x264enc speed-preset=veryfast pass=qual quantizer=24 key-int-max=50 threads=1 option-string=scenecut=0";
    let (large, small) = (clip(dir.path(), "large", encoder), dir.path().join("small.mp4"));
    rescale(&large, &small, (160, 90)).unwrap();
    let since = Some(Instant::now());
    let serve = |file: &Path| RtspServer::start(file, &Serving { since, ..looped() }).unwrap();
    let (main, sub) = (serve(&large), serve(&small));
    let settings = Settings { main: Some(main.url().parse().unwrap()), ..settings(&sub.url()) };
    let watched = watch(settings, |looks| looks.last().is_some_and(|l| l.pts > Duration::from_secs(24)));
    let main = watched.counters.main().unwrap();
    let (squares, paired) = watched
        .looks
        .iter()
        .filter(|l| l.square)
        .fold((0, 0), |(all, paired), look| (all + 1, paired + usize::from(look.paired)));
    let (skipped, skipped_main) = (watched.counters.skipped.get(), main.skipped.get());
    eprintln!(
        "{squares} frames with squares, {paired} with those of the main stream; skipped {skipped}, {skipped_main}"
    );
    if watched.pauses.spoil("how two streams wake") {
        return;
    }
    assert!(watched.online);
    // At the edges of a pass the streams' frames of nearly the same moment need not agree.
    assert!(squares >= PASSES.len() * CROSSES - 4 && paired * 4 >= squares * 3, "{paired} of {squares}");
    assert!(skipped > 3 * FPS && skipped_main > 3 * FPS, "{skipped} {skipped_main}");
}

#[test]
fn a_file_at_its_own_pace_is_watched_like_a_camera() {
    let dir = tempfile::tempdir().unwrap();
    let encoder =
        "x264enc speed-preset=veryfast pass=qual quantizer=24 key-int-max=50 threads=1 option-string=scenecut=0";
    let path = clip(dir.path(), "file", encoder);
    let settings = Settings { realtime: true, ..settings(path.to_str().unwrap()) };
    judge("file", &watch(settings, |_| false));
}

#[test]
fn a_camera_whose_key_frames_are_far_apart_is_decoded_whole_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let encoder =
        "x264enc speed-preset=veryfast pass=qual quantizer=24 key-int-max=1000 threads=1 option-string=scenecut=0";
    let path = clip(dir.path(), "far", encoder);
    let server = RtspServer::start(&path, &Serving { looped: true, ..Serving::default() }).unwrap();
    let watched = watch(settings(&server.url()), |looks| looks.last().is_some_and(|l| l.pts > Duration::from_secs(11)));
    if watched.pauses.spoil("key frames far apart") {
        return;
    }
    assert_eq!(watched.decoding, [Decoding::All, Decoding::AllForKeys]);
    assert_eq!(watched.counters.skipped.get(), 0);
}
