//! What may be inside a stream: formats, ranges, fields, key frames, sizes and rates, with real files and servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::{self, Camera, CameraEvent, Error, Next, Settings, SourceUri};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame, PixelFormat};
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

use super::kit::pauses::Pauses;

const PATIENCE: Duration = Duration::from_secs(20);

/// Raw H.264 with parameter sets in it.
const RAW_H264: Clip<'_> = Clip { muxer: "video/x-h264,stream-format=byte-stream", ..Clip::H264 };
/// The same of H.265.
const RAW_H265: Clip<'_> = Clip { muxer: "video/x-h265,stream-format=byte-stream", ..Clip::H265 };

struct Clips(tempfile::TempDir);

impl Clips {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn make(&self, name: &str, clip: Clip<'_>) -> PathBuf {
        let path = self.0.path().join(name);
        clip.make(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        path
    }

    fn join(&self, name: &str, parts: &[Vec<u8>]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, parts.concat()).unwrap();
        path
    }
}

fn settings(uri: SourceUri) -> Settings {
    let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, uri);
    settings.back_off_first = Duration::from_millis(50);
    settings.back_off_most = Duration::from_millis(200);
    settings
}

/// Plays a file to its end; `on` sees each frame.
fn play(path: &Path, on: impl FnMut(&Frame)) -> (Result<(), Error>, Arc<CameraCounters>) {
    play_by(&settings(path.into()), on)
}

fn play_by(settings: &Settings, mut on: impl FnMut(&Frame)) -> (Result<(), Error>, Arc<CameraCounters>) {
    let counters = Arc::new(CameraCounters::default());
    let mut source = match camera::open(settings, &Clock::system(), Arc::clone(&counters)) {
        Ok(source) => source,
        Err(error) => return (Err(error), counters),
    };
    let how = loop {
        match source.next(PATIENCE) {
            Ok(Next::Frame(frame)) => on(&frame),
            Ok(Next::End) => break Ok(()),
            Ok(Next::Idle) => panic!("no frame for {PATIENCE:?}"),
            Err(error) => break Err(error),
        }
    };
    (how, counters)
}

/// Luma in the middle as a full-range grey.
fn grey_of(frame: &Frame) -> f32 {
    let row = frame.luma().row(frame.format.height as usize / 2).unwrap();
    let y = f32::from(row[row.len() / 2]);
    if frame.format.full_range { y } else { (y - 16.0) * 255.0 / 219.0 }
}

#[test]
fn a_grey_card_has_its_grey_in_every_format_and_range() {
    let clips = Clips::new();
    let x264 = "x264enc speed-preset=ultrafast threads=1";
    let x265 = "x265enc speed-preset=ultrafast log-level=none option-string=pools=none:frame-threads=1 ! h265parse";
    for (format, coder) in [
        ("I420", x264),
        ("Y42B", x264),
        ("Y444", x264),
        ("I420_10LE", x264),
        ("I422_10LE", x264),
        ("Y444_10LE", x264),
        ("I420", x265),
        ("Y42B", x265),
        ("Y444", x265),
        ("I420_10LE", x265),
        ("I422_10LE", x265),
        ("Y444_12LE", x265),
    ] {
        for (range, full) in [("2:4:7:1", false), ("1:4:7:1", true)] {
            for grey in [0x20_u32, 0xb4] {
                let pattern = format!("solid-color foreground-color=0xff{:06x}", grey * 0x1_0101);
                let encoder =
                    format!("videoconvert ! video/x-raw,format={format},colorimetry=(string){range} ! {coder}");
                let clip = Clip {
                    pattern: &pattern,
                    raw: "format=RGB",
                    encoder: &encoder,
                    muxer: "matroskamux",
                    frames: 3,
                    ..Clip::H264
                };
                let name = format!("{format} {} {range} {grey:x}", &coder[..4]);
                let path = clips.make("grey.mkv", clip);
                let mut n = 0;
                let (how, _) = play(&path, |frame| {
                    n += 1;
                    assert_eq!((frame.format.pixels, frame.format.full_range), (PixelFormat::I420, full), "{name}");
                    let got = grey_of(frame);
                    assert!((got - grey as f32).abs() <= 2.0, "{name}: {got}");
                    for plane in [frame.chroma(1), frame.chroma(2)] {
                        assert_eq!((plane.width, plane.height), (160, 90), "{name}");
                        assert!(plane.row(89).unwrap().iter().all(|c| c.abs_diff(128) <= 2), "{name}");
                    }
                });
                how.unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(n, 3, "{name}");
            }
        }
    }
}

/// How many samples stand out from the lines above and below, as the teeth of a comb do.
fn teeth(frame: &Frame) -> usize {
    let luma = frame.luma();
    let row = |y| luma.row(y).unwrap();
    let sticks_out = |(a, m, b): (u8, u8, u8)| (m > a.max(b).saturating_add(40)) || (m < a.min(b).saturating_sub(40));
    let mut teeth = 0;
    for y in (1..luma.height - 1).step_by(2) {
        let three = row(y - 1).iter().zip(row(y)).zip(row(y + 1)).map(|((a, m), b)| (*a, *m, *b));
        teeth += three.filter(|t| sticks_out(*t)).count();
    }
    teeth
}

#[test]
fn interlaced_pictures_come_without_a_comb_and_in_full_height() {
    let clips = Clips::new();
    // 50 pictures a second woven to 25 frames of two fields.
    let clip = Clip {
        pattern: "ball motion=sweep",
        raw: "format=I420",
        encoder: "capssetter caps=video/x-raw,framerate=50/1 ! interlace field-pattern=1:1 \
                  ! x264enc interlaced=true speed-preset=ultrafast threads=1 quantizer=10 pass=qual",
        frames: 40,
        ..Clip::H264
    };
    let path = clips.make("woven.mp4", clip);
    // What the decoder gives when nobody knows of the fields.
    let own = clips.0.path().join("own.txt");
    let text = "h264parse ! avdec_h264 ! capssetter caps=video/x-raw,interlace-mode=progressive ! appsink name=frames";
    std::fs::write(&own, text).unwrap();
    let mut plain = settings(path.as_path().into());
    plain.pipeline = Some(own.to_str().unwrap().to_owned());
    let (mut woven, mut smooth, mut frames) = (0, 0, 0);
    play_by(&plain, |frame| woven += teeth(frame)).0.unwrap();
    play(&path, |frame| {
        assert_eq!((frame.format.width, frame.format.height), (320, 180));
        frames += 1;
        smooth += teeth(frame);
    })
    .0
    .unwrap();
    assert_eq!(frames, 20);
    assert!(woven > 1_000 && smooth == 0, "{woven} teeth before, {smooth} after");
}

#[test]
fn fields_as_pictures_of_their_own_are_refused_by_name() {
    let clips = Clips::new();
    let encoder = "x265enc speed-preset=ultrafast log-level=none option-string=interlace=tff:pools=none ! h265parse";
    let path = clips.make("fields.mkv", Clip { encoder, muxer: "matroskamux", frames: 10, ..Clip::H264 });
    let error = play(&path, |_| ()).0.unwrap_err();
    assert!(error.is_lasting());
    let error = error.to_string();
    assert!(
        error.contains("fields.mkv: sends interlaced (each field a picture of its own)")
            && error.contains("not interlaced"),
        "{error}"
    );
}

/// The units of an Annex B stream, each with its start code.
fn units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    starts.push(stream.len());
    starts.windows(2).map(|w| [&[0], &stream[w[0]..w[1]]].concat()).collect()
}

/// The stream without its first key picture (its parameter sets stay), as one that is joined in the middle.
fn headless(stream: &[u8], is_key: impl Fn(u8) -> bool) -> Vec<u8> {
    let all = units(stream);
    // A key picture may have several slices.
    let first = all.iter().position(|u| is_key(u[4])).unwrap();
    let last = all[first..].iter().position(|u| !is_key(u[4])).unwrap() + first;
    [&all[..first], &all[last..]].concat().concat()
}

#[test]
fn what_comes_before_the_first_key_frame_is_dropped_and_counted() {
    let clips = Clips::new();
    let h264 = std::fs::read(clips.make("a.h264", RAW_H264)).unwrap();
    let h265 = std::fs::read(clips.make("a.h265", RAW_H265)).unwrap();
    let files = [
        clips.join("b.h264", &[headless(&h264, |unit| unit & 0x1f == 5)]),
        clips.join("b.h265", &[headless(&h265, |unit| (16..=23).contains(&(unit >> 1)))]),
    ];
    for path in files {
        let name = path.display();
        let mut n = 0_u64;
        let (how, counters) = play(&path, |frame| {
            n += 1;
            // The ball is white on black: what was never decoded whole is grey.
            let luma = frame.luma();
            let (dark, bright) = (luma.row(0).unwrap()[0], luma.data.iter().max().copied().unwrap());
            assert!(dark < 30 && bright > 200, "{name}: {dark} to {bright} in frame {}", frame.index);
        });
        how.unwrap();
        assert!((30..=40).contains(&n) && counters.damaged.get() >= 9, "{name}: {n} and {}", counters.damaged.get());
        assert_eq!(counters.received.get(), n, "{name}");
    }
}

#[test]
fn size_and_range_may_change_in_mid_stream_and_too_large_a_size_ends_it() {
    let clips = Clips::new();
    let part = |name, clip: Clip<'_>| std::fs::read(clips.make(name, Clip { frames: 5, ..clip })).unwrap();
    let small = part("a.h264", RAW_H264);
    let full = part("b.h264", Clip { raw: "format=I420,colorimetry=(string)1:4:0:0", ..RAW_H264 });
    let fine = part("c.h264", Clip { raw: "format=Y42B", size: (640, 360), ..RAW_H264 });
    let mut seen = Vec::new();
    let path = clips.join("many.h264", &[small.clone(), full, fine, small.clone()]);
    let (how, _) = play(&path, |frame| seen.push((frame.format.width, frame.format.full_range)));
    how.unwrap();
    let want = [[(320, false); 5], [(320, true); 5], [(640, false); 5], [(320, false); 5]].concat();
    assert_eq!(seen, want);

    let huge = part("d.h264", Clip { size: (4112, 64), ..RAW_H264 });
    let path = clips.join("grows.h264", &[small.clone(), huge, small]);
    let mut n = 0;
    let (how, _) = play(&path, |_| n += 1);
    let error = how.unwrap_err().to_string();
    assert!(error.contains("4112×64, at most 4096×2304"), "{error}");
    assert!(n <= 5, "{n} frames");
}

#[test]
fn a_network_camera_may_change_its_size() {
    let text = "concat name=c ! clocksync ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=10 threads=1 \
                ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 \
                videotestsrc num-buffers=50 ! video/x-raw,width=320,height=180,framerate=25/1 ! c. \
                videotestsrc num-buffers=500 ! video/x-raw,width=480,height=272,framerate=25/1 ! c.";
    let server = RtspServer::start_text(text, &Serving::default()).unwrap();
    let mut source = camera::open(&settings(server.url().parse().unwrap()), &Clock::system(), Arc::default()).unwrap();
    let mut sizes = Vec::new();
    while sizes.last() != Some(&(480, 272)) {
        let Next::Frame(frame) = source.next(PATIENCE).unwrap() else { panic!("no frame after {sizes:?}") };
        let size = (frame.format.width, frame.format.height);
        assert!(frame.luma().row(size.1 as usize - 1).is_some());
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    }
    assert_eq!(sizes, [(320, 180), (480, 272)]);
}

#[test]
fn the_largest_picture_may_stand_and_larger_ones_are_refused_before_anything_is_decoded() {
    let clips = Clips::new();
    let tall = clips.make("tall.mp4", Clip { size: (2304, 4096), frames: 1, ..Clip::H264 });
    let mut n = 0;
    play(&tall, |frame| {
        n += 1;
        assert_eq!((frame.format.width, frame.format.height), (2304, 4096));
    })
    .0
    .unwrap();
    assert_eq!(n, 1);
    for (size, name) in [((2320, 2320), "square.mp4"), ((64, 4112), "column.mp4")] {
        let path = clips.make(name, Clip { size, frames: 2, ..Clip::H264 });
        let (how, counters) = play(&path, |_| panic!("a frame of {name}"));
        assert!(matches!(how, Err(Error::TooLarge { width, height, .. }) if (width, height) == size), "{how:?}");
        assert_eq!(counters.received.get(), 0);
    }
}

/// A clip whose key frames are `seconds` apart, served for ever to whoever comes, and its first client.
fn far_apart(clips: &Clips, coder: Clip<'_>, encoder: &str) -> (RtspServer, Box<dyn camera::Source>) {
    let path = clips.make("far.mp4", Clip { encoder, frames: 150, ..coder });
    let server = RtspServer::start(&path, &Serving { looped: true, ..Serving::default() }).unwrap();
    let first = settings(server.url().parse().unwrap());
    let mut first = camera::open(&first, &Clock::system(), Arc::default()).unwrap();
    // It keeps the server's media going, so that who comes next joins in the middle.
    assert!(matches!(first.next(PATIENCE), Ok(Next::Frame(_))));
    (server, first)
}

#[test]
fn joining_between_far_key_frames_waits_for_one_and_shows_no_grey() {
    let clips = Clips::new();
    let h264 = "x264enc speed-preset=ultrafast key-int-max=150 threads=1";
    let h265 = "x265enc speed-preset=ultrafast key-int-max=150 log-level=none option-string=pools=none:frame-threads=1:scenecut=0 ! h265parse";
    for (coder, encoder) in [(Clip::H264, h264), (Clip::H265, h265)] {
        let (server, _first) = far_apart(&clips, coder, encoder);
        let pauses = Pauses::watch();
        let mut settings = settings(server.url().parse().unwrap());
        // Shorter than the way to the next key frame: what counts is that packets come.
        settings.first_frame_within = Duration::from_secs(4);
        settings.key_frame_within = PATIENCE;
        let counters = Arc::new(CameraCounters::default());
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let shutdown = Shutdown::new();
        let mut n = 0;
        let began = Instant::now();
        camera
            .run(&shutdown, &mut |event| {
                let frame = match event {
                    CameraEvent::Frame(frame) => frame,
                    CameraEvent::Quiet => return,
                    event => panic!("{event:?}"),
                };
                let luma = frame.luma();
                let (dark, bright) = (luma.row(0).unwrap()[0], luma.data.iter().max().copied().unwrap());
                assert!(dark < 30 && bright > 200, "{dark} to {bright} in frame {}", frame.index);
                n += 1;
                if n == 10 {
                    shutdown.trigger();
                }
            })
            .unwrap();
        assert_eq!((counters.opened.get(), counters.failed.get()), (1, 0));
        // After a rest of the machine it may join shortly before the next key frame.
        if !pauses.spoil("where the stream was joined") {
            assert!(began.elapsed() < PATIENCE);
            assert!(counters.damaged.get() > 20, "{} dropped before the key frame", counters.damaged.get());
        }
    }
}

#[test]
fn a_stream_that_renews_itself_in_stripes_is_shown_from_its_beginning() {
    let clips = Clips::new();
    // A stripe a picture, around in 20 of them; after the first there is no key frame.
    let encoder = "x264enc speed-preset=ultrafast intra-refresh=true key-int-max=20 bframes=0 threads=1";
    for (name, muxer) in [("stripes.mp4", "mp4mux"), ("stripes.mkv", "matroskamux")] {
        let path = clips.make(name, Clip { encoder, muxer, frames: 75, ..Clip::H264 });
        let mut n = 0;
        let (how, counters) = play(&path, |frame| {
            let luma = frame.luma();
            let (dark, bright) = (luma.row(0).unwrap()[0], luma.data.iter().max().copied().unwrap());
            assert!(dark < 30 && bright > 200, "{dark} to {bright} in frame {}", frame.index);
            n += 1;
        });
        how.unwrap();
        assert_eq!((n, counters.received.get(), counters.damaged.get()), (75, 75, 0), "{name}");
    }
}

#[test]
fn a_camera_without_key_frames_is_told_what_to_set() {
    let clips = Clips::new();
    let h265 = "x265enc speed-preset=ultrafast key-int-max=150 log-level=none option-string=pools=none:frame-threads=1:scenecut=0 ! h265parse";
    let (server, _first) = far_apart(&clips, Clip::H265, h265);
    let mut settings = settings(server.url().parse().unwrap());
    settings.key_frame_within = Duration::from_secs(1);
    let counters = Arc::new(CameraCounters::default());
    let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let thread = std::thread::spawn(move || camera.run(&stop, &mut |_| ()));
    let began = Instant::now();
    // Its state is told after the failure was counted.
    let why = loop {
        if let CameraState::Offline(why) = counters.state() {
            break why;
        }
        assert!(began.elapsed() < PATIENCE * 3, "{:?}", counters.state());
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(why.contains("no key frame for 1 s: set a key-frame distance"), "{why}");
    shutdown.trigger();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_flood_of_pictures_is_bounded_and_told() {
    let text = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=96,height=64,framerate=1000/1 \
                ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=50 threads=1 ! rtph264pay name=pay0 pt=96";
    let server = RtspServer::start_text(text, &Serving::default()).unwrap();
    let counters = Arc::new(CameraCounters::default());
    let mut source =
        camera::open(&settings(server.url().parse().unwrap()), &Clock::system(), Arc::clone(&counters)).unwrap();
    let Next::Frame(_) = source.next(PATIENCE).unwrap() else { panic!("no frame") };
    counters.set_state(CameraState::Online);
    let began = Instant::now();
    let mut last = 0;
    // At least so long; longer where this machine is slow to make them.
    let is_told =
        |last: u64| counters.received.get() > last + 500 && matches!(counters.state(), CameraState::Degraded(_));
    while began.elapsed() < Duration::from_secs(4) || (!is_told(last) && began.elapsed() < PATIENCE * 3) {
        if let Next::Frame(frame) = source.next(PATIENCE).unwrap() {
            last = frame.index;
        }
    }
    let most = 600.0 + 120.0 * (began.elapsed().as_secs_f64() + 2.0);
    assert!((last as f64) < most, "{last} pictures decoded");
    assert!(counters.received.get() > last + 500, "the others are counted: {}", counters.received.get());
    let CameraState::Degraded(why) = counters.state() else { panic!("{:?}", counters.state()) };
    assert!(why.contains("more than 120 pictures a second") && why.contains("set fewer"), "{why}");
}

#[test]
fn fewer_frames_a_second_are_given_whatever_the_rhythm_and_no_rate_is_needed() {
    let clips = Clips::new();
    // Every second picture is missing, by chance; the caps say no rate.
    let encoder = "identity drop-probability=0.5 ! capssetter caps=video/x-raw,framerate=0/1 \
                   ! x264enc speed-preset=ultrafast threads=1 bframes=2";
    let path = clips.make("uneven.mkv", Clip { encoder, muxer: "matroskamux", frames: 250, ..Clip::H264 });
    let mut settings = settings(path.as_path().into());
    settings.fps = Some(4.0);
    let mut places = Vec::new();
    let (how, counters) = play_by(&settings, |frame| places.push(frame.pts));
    how.unwrap();
    assert!((90..=160).contains(&counters.received.get()), "{}", counters.received.get());
    assert!((34..=41).contains(&places.len()), "{} frames in 10 s", places.len());
    assert!(places.windows(2).all(|w| w[1] >= w[0] + Duration::from_millis(80)), "{places:?}");
}

/// The file with the display matrix of its picture turned clockwise (ISO/IEC 14496-12, 8.3.2: `tkhd`).
fn tilt(path: &Path, degrees: u16) {
    let one = 0x0001_0000_i32;
    let [a, b, c, d] = match degrees {
        90 => [0, one, -one, 0],
        180 => [-one, 0, 0, -one],
        270 => [0, -one, one, 0],
        _ => [one, 0, 0, one],
    };
    let matrix: Vec<u8> = [a, b, 0, c, d, 0, 0, 0, 0x4000_0000].into_iter().flat_map(i32::to_be_bytes).collect();
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 44;
    bytes[at..at + 36].copy_from_slice(&matrix);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn pictures_that_lie_on_their_side_are_stood_up_by_the_files_word_or_by_config() {
    use watchpost::camera::Rotation;
    let clips = Clips::new();
    // Dark above, bright below, before it is turned.
    let clip = Clip { pattern: "gradient", size: (322, 178), frames: 3, ..Clip::H264 };
    for (by_file, by_config) in
        [(0, None), (90, None), (180, None), (270, None), (0, Some(90)), (90, Some(0)), (180, Some(270))]
    {
        let path = clips.make("tilted.mp4", clip);
        tilt(&path, by_file);
        let mut settings = settings(path.as_path().into());
        settings.rotate = by_config.map(|d| Rotation::of_degrees(d).unwrap());
        let mut n = 0;
        let (how, _) = play_by(&settings, |frame| {
            n += 1;
            let luma = frame.luma();
            let at = |x: usize, y: usize| luma.row(y).unwrap()[x];
            let (w, h) = (luma.width, luma.height);
            // Brightness at the middles of the four sides: above, right, below, left.
            let sides = [at(w / 2, 2), at(w - 3, h / 2), at(w / 2, h - 3), at(2, h / 2)];
            let (size, dark) = match by_config.unwrap_or(by_file) {
                90 => ((178, 322), 1),
                180 => ((322, 178), 2),
                270 => ((178, 322), 3),
                _ => ((322, 178), 0),
            };
            assert_eq!((w, h), size, "{by_file} {by_config:?}");
            assert!(sides[dark] < 60 && sides[(dark + 2) % 4] > 180, "{by_file} {by_config:?}: {sides:?}");
            assert_eq!(frame.chroma(1).height, h / 2);
        });
        how.unwrap();
        assert_eq!(n, 3);
    }
}
