//! Files as cameras: every frame counts, the end is told once, and what is wrong with a file is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use watchpost::camera::testkit::Clip;
use watchpost::camera::{self, Camera, CameraEvent, Error, Next, Settings, SourceUri};
use watchpost::clock::{Clock, SimClock};
use watchpost::domain::{CameraId, Frame, PixelFormat, TimeMs};
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

/// A temporary folder with clips in it.
struct Clips(tempfile::TempDir);

impl Clips {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, name: &str, clip: Clip<'_>) -> PathBuf {
        let path = self.path(name);
        clip.make(&path).unwrap();
        path
    }
}

fn settings(path: &Path) -> Settings {
    Settings::new(CameraId::new("file").unwrap(), 1, SourceUri::from(path))
}

/// All frames of a file and how it ended; `on` sees each one.
fn play(settings: &Settings, mut on: impl FnMut(&Frame)) -> (Result<(), Error>, Arc<CameraCounters>) {
    let counters = Arc::new(CameraCounters::default());
    let clock = Clock::of(SimClock::at(TimeMs(1_000_000)));
    let mut source = match camera::open(settings, &clock, Arc::clone(&counters)) {
        Ok(source) => source,
        Err(error) => return (Err(error), counters),
    };
    let how = loop {
        match source.next(Duration::from_mins(1)) {
            Ok(Next::Frame(frame)) => on(&frame),
            Ok(Next::End) => break Ok(()),
            Ok(Next::Idle) => panic!("no frame for a minute"),
            Err(error) => break Err(error),
        }
    };
    (how, counters)
}

fn error_of(path: &Path) -> String {
    play(&settings(path), |_| ()).0.unwrap_err().to_string()
}

#[test]
fn a_file_plays_however_often_it_is_opened_and_however_busy_the_machine_is() {
    let clips = Clips::new();
    let raw = "video/x-h264,stream-format=byte-stream";
    let paths = [
        clips.make("a.mp4", Clip { frames: 3, ..Clip::H264 }),
        clips.make("b.h264", Clip { frames: 3, muxer: raw, ..Clip::H264 }),
    ];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &paths[thread % 2];
            scope.spawn(move || {
                for n in 0..60 {
                    let counters = Arc::new(CameraCounters::default());
                    let mut source = camera::open(&settings(path), &Clock::system(), counters).unwrap();
                    let next = source.next(Duration::from_secs(20));
                    assert!(matches!(next, Ok(Next::Frame(_))), "{} at opening {n}: {next:?}", path.display());
                }
            });
        }
    });
}

#[test]
fn every_frame_of_every_container_and_codec_is_given_in_order() {
    let clips = Clips::new();
    for (name, clip, muxer) in [
        ("a.mp4", Clip::H264, "mp4mux"),
        ("b.mp4", Clip::H265, "mp4mux"),
        ("c.mkv", Clip::H264, "matroskamux"),
        ("d.mkv", Clip::H265, "matroskamux"),
        ("e.ts", Clip::H264, "h264parse ! mpegtsmux"),
        ("f.h264", Clip::H264, "video/x-h264,stream-format=byte-stream"),
        ("g.h265", Clip::H265, "video/x-h265,stream-format=byte-stream"),
    ] {
        let path = clips.make(name, Clip { muxer, ..clip });
        let mut pts = Vec::new();
        let (how, counters) = play(&settings(&path), |frame| {
            assert_eq!((frame.format.width, frame.format.height), (320, 180), "{name}");
            assert_eq!((frame.format.pixels, frame.format.full_range), (PixelFormat::I420, false), "{name}");
            assert_eq!(frame.index, pts.len() as u64, "{name}");
            let since = u64::try_from(frame.pts.as_millis()).unwrap();
            assert_eq!(frame.at, TimeMs(1_000_000 + since), "{name}: a file's time is its opening and its place");
            assert!(frame.luma().row(179).is_some() && frame.chroma(2).row(89).is_some(), "{name}");
            pts.push(frame.pts);
        });
        how.unwrap();
        assert_eq!(pts.len(), 50, "{name}");
        assert!(pts.windows(2).all(|w| w[0] < w[1]), "{name}: B-frames come in the order they are shown: {pts:?}");
        assert_eq!(pts[0], Duration::ZERO, "{name}");
        assert!((1_900..=2_000).contains(&pts[49].as_millis()), "{name}: {pts:?}");
        assert_eq!((counters.received.get(), counters.dropped.get()), (50, 0), "{name}");
    }
}

#[test]
fn a_slow_reader_of_a_file_gets_every_frame_and_a_fast_end() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", Clip { frames: 20, ..Clip::H264 });
    let mut n = 0;
    let (how, counters) = play(&settings(&path), |_| {
        n += 1;
        std::thread::sleep(Duration::from_millis(5));
    });
    how.unwrap();
    assert_eq!((n, counters.dropped.get()), (20, 0));
}

#[test]
fn a_source_may_be_dropped_while_its_decoder_waits() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", Clip::H264);
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(&settings(&path), &Clock::system(), counters).unwrap();
    let Ok(Next::Frame(kept)) = source.next(Duration::from_mins(1)) else { panic!("no frame") };
    drop(source);
    // Its pixels live as long as the frame does.
    assert!(kept.luma().row(0).is_some());
}

#[test]
fn odd_sizes_full_range_and_the_largest_picture_pass() {
    let clips = Clips::new();
    let odd = Clip { size: (322, 178), frames: 3, ..Clip::H264 };
    // This multiplexer writes limited range whatever the stream says; the stream is to be believed.
    let full = Clip { raw: "format=I420,colorimetry=(string)1:4:0:0", frames: 3, ..Clip::H264 };
    let large = Clip { size: (4096, 2304), frames: 1, ..Clip::H264 };
    for (name, clip, range) in [("odd.mp4", odd, false), ("full.mp4", full, true), ("large.mp4", large, false)] {
        let path = clips.make(name, clip);
        let mut n = 0;
        let (how, _) = play(&settings(&path), |frame| {
            n += 1;
            assert_eq!((frame.format.width, frame.format.height), clip.size, "{name}");
            assert_eq!(frame.format.full_range, range, "{name}");
            assert!(frame.luma().row(clip.size.1 as usize - 1).is_some(), "{name}");
        });
        how.unwrap();
        assert_eq!(n, clip.frames, "{name}");
    }
}

#[test]
fn a_stream_may_change_its_size_and_each_frame_says_its_own() {
    let clips = Clips::new();
    let raw = Clip { muxer: "video/x-h264,stream-format=byte-stream", frames: 5, ..Clip::H264 };
    let small = std::fs::read(clips.make("a.h264", raw)).unwrap();
    let large = std::fs::read(clips.make("b.h264", Clip { size: (640, 360), ..raw })).unwrap();
    let both = clips.path("both.h264");
    std::fs::write(&both, [small, large].concat()).unwrap();
    let mut widths = Vec::new();
    let (how, _) = play(&settings(&both), |frame| {
        let width = frame.format.width;
        assert_eq!(frame.luma().row(0).unwrap().len(), width as usize);
        widths.push(width);
    });
    how.unwrap();
    assert_eq!(widths, [320, 320, 320, 320, 320, 640, 640, 640, 640, 640]);
}

#[test]
fn what_cannot_be_decoded_is_refused_with_what_came_and_what_is_supported() {
    let clips = Clips::new();
    let vp8 = clips.make("vp8.webm", Clip { encoder: "vp8enc deadline=1", muxer: "webmmux", frames: 5, ..Clip::H264 });
    let error = error_of(&vp8);
    assert!(error.contains("vp8.webm: sends VP8; H.264, H.265 and Motion JPEG are supported"), "{error}");

    let mpeg4 = clips.make("m.mp4", Clip { encoder: "avenc_mpeg4", frames: 5, ..Clip::H264 });
    let error = error_of(&mpeg4);
    assert!(error.contains("m.mp4: sends MPEG-4 video"), "{error}");

    let large = clips.make("large.mp4", Clip { size: (4200, 64), frames: 2, ..Clip::H264 });
    let error = error_of(&large);
    assert!(error.contains("4200×64, at most 4096×2304"), "{error}");

    let sound = clips.path("sound.mp4");
    let tone = Clip { encoder: "fakesink audiotestsrc num-buffers=20 ! avenc_aac", frames: 1, ..Clip::H264 };
    tone.make(&sound).unwrap();
    let error = error_of(&sound);
    assert!(error.contains("has no video stream (audio/mpeg)"), "{error}");
}

#[test]
fn damaged_files_give_what_they_have_and_then_say_it() {
    let clips = Clips::new();
    // Its index before its pictures, so that a cut takes pictures away.
    let whole = clips.make("whole.mp4", Clip { muxer: "mp4mux faststart=true", ..Clip::H264 });
    let bytes = std::fs::read(&whole).unwrap();
    let cut = clips.path("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let mut n = 0;
    let (how, _) = play(&settings(&cut), |_| n += 1);
    let error = how.unwrap_err().to_string();
    assert!(error.contains("cut.mp4: is cut off") && error.contains("copy it again"), "{error}");
    assert!((10..50).contains(&n), "{n} frames");

    let late = clips.make("late.mp4", Clip::H264);
    let bytes = std::fs::read(&late).unwrap();
    std::fs::write(&late, &bytes[..bytes.len() / 2]).unwrap();
    let error = error_of(&late);
    assert!(error.contains("late.mp4: is cut off"), "{error}");

    let noise = clips.path("noise.h264");
    std::fs::write(&noise, [&[0, 0, 0, 1, 0x67][..], &[0x5a; 3000]].concat()).unwrap();
    let error = error_of(&noise);
    assert!(error.contains("noise.h264"), "{error}");

    let text = clips.path("notes.mp4");
    std::fs::write(&text, "no video").unwrap();
    assert!(error_of(&text).contains("notes.mp4: is no video file that is known"));
    assert!(error_of(&clips.path("none.mp4")).contains("none.mp4: cannot be read: No such file"));
}

#[test]
fn an_own_pipeline_is_taken_and_a_missing_element_is_named_with_its_package() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", Clip { frames: 5, ..Clip::H264 });
    let own = clips.path("own.txt");
    let mut settings = settings(&path);
    settings.pipeline = Some(own.to_str().unwrap().to_owned());

    let text = "# mine\nh264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=NV12 ! appsink name=frames\n";
    std::fs::write(&own, text).unwrap();
    let mut n = 0;
    let (how, _) = play(&settings, |frame| {
        n += 1;
        assert_eq!(frame.format.pixels, PixelFormat::Nv12);
    });
    how.unwrap();
    assert_eq!(n, 5);

    std::fs::write(&own, "h264parse ! nosuchdec ! appsink name=frames").unwrap();
    let error = play(&settings, |_| ()).0.unwrap_err().to_string();
    assert!(error.contains("own.txt") && error.contains("\"nosuchdec\", which is not installed"), "{error}");

    settings.pipeline = Some("file-h265".to_owned());
    let error = play(&settings, |_| ()).0.unwrap_err().to_string();
    assert!(error.contains("\"file-h265\": does not take the h264 stream"), "{error}");
}

#[test]
fn fewer_frames_a_second_are_given_when_asked() {
    let clips = Clips::new();
    let mut settings = settings(&clips.make("a.mp4", Clip::H264));
    settings.fps = Some(5.0);
    let mut indices = Vec::new();
    let (how, counters) = play(&settings, |frame| indices.push(frame.index));
    how.unwrap();
    assert_eq!(indices, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]);
    assert_eq!((counters.received.get(), counters.dropped.get()), (50, 0));
}

#[test]
fn in_real_time_a_file_is_like_a_camera_and_a_slow_reader_loses_counted_frames() {
    let clips = Clips::new();
    let mut settings = settings(&clips.make("a.mp4", Clip { frames: 25, ..Clip::H264 }));
    settings.realtime = true;
    let began = std::time::Instant::now();
    let mut indices = Vec::new();
    let (how, counters) = play(&settings, |frame| {
        indices.push(frame.index);
        std::thread::sleep(Duration::from_millis(150));
    });
    how.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(indices.len() < 15, "{indices:?}");
    assert_eq!(indices.last(), Some(&24), "the newest frame wins, so the last is seen");
    assert_eq!(counters.received.get(), 25);
    assert_eq!(counters.dropped.get(), 25 - indices.len() as u64);
}

#[test]
fn the_run_loop_plays_a_file_once_and_ends() {
    let clips = Clips::new();
    let path = clips.make("a.mp4", Clip { frames: 10, ..Clip::H265 });
    let counters = Arc::new(CameraCounters::default());
    let camera = Camera::new(settings(&path), Clock::system(), Arc::clone(&counters));
    let (mut frames, mut ends) = (0, 0);
    let on = &mut |event| match event {
        CameraEvent::Frame(_) => frames += 1,
        CameraEvent::Ended => ends += 1,
        CameraEvent::Reopened => panic!("a file is not opened again"),
        CameraEvent::Quiet => {}
    };
    camera.run(&Shutdown::new(), on).unwrap();
    assert_eq!((frames, ends, counters.opened.get(), counters.state()), (10, 1, 1, CameraState::Ended));
    assert!(counters.last_frame_ms.load(std::sync::atomic::Ordering::Relaxed) > 0);

    std::fs::remove_file(&path).unwrap();
    let error = camera.run(&Shutdown::new(), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("a.mp4"), "{error}");
    assert_eq!(counters.state(), CameraState::Offline(error));
}
