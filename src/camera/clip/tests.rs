//! Clips of real coded pictures: they play, begin with a key frame, and hold what they should and nothing else.

use std::path::Path;
use std::sync::Arc;

use gstreamer::prelude::*;

use super::*;
use crate::camera::ring::Coded;
use crate::camera::{self, Settings, SourceUri, pipeline};
use crate::clock::Clock;
use crate::domain::CameraId;
use crate::domain::frame::OwnedI420;

const STREET_A: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/street-a.mp4");
const STREET_B: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/street-b.mp4");

/// What comes out of `text` within `ms`, as a ring would keep it.
fn span_of(text: &str, ms: std::ops::Range<u64>) -> Span {
    pipeline::init().unwrap();
    let text = format!("{text} ! appsink name=frames sync=false");
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("frames").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut pictures, mut caps) = (Vec::new(), None);
    while let Ok(sample) = sink.pull_sample() {
        let unit = sample.buffer_owned().unwrap();
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let pts = Duration::from_nanos(segment.to_running_time(unit.pts()).unwrap().nseconds());
        caps = sample.caps_owned();
        let at = TimeMs(1_000_000 + u64::try_from(pts.as_millis()).unwrap());
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        pictures.push(Coded { at, pts, is_key, unit });
    }
    // In the order of decoding, as a ring cuts: what is shown later may be needed by what is shown before it.
    let within = |c: &Coded| ms.contains(&u64::try_from(c.pts.as_millis()).unwrap());
    let begin = pictures.iter().position(within).unwrap();
    let end = pictures.iter().rposition(within).unwrap();
    let pictures = pictures[begin..=end].to_vec();
    pipeline.set_state(gst::State::Null).unwrap();
    Span { caps: caps.unwrap(), pictures }
}

fn mp4(path: &str, parse: &str) -> String {
    format!("filesrc location={path} ! qtdemux ! {parse}")
}

fn bytes(span: &Span) -> Vec<Vec<u8>> {
    span.pictures.iter().map(|c| c.unit.map_readable().unwrap().to_vec()).collect()
}

/// The frames of a file as any camera gives them: size, place in milliseconds and luma of the middle and of a corner.
fn played(path: &Path) -> Vec<((u32, u32), u64, [u8; 2])> {
    played_to(path, usize::MAX)
}

/// The first `most` of them.
fn played_to(path: &Path, most: usize) -> Vec<((u32, u32), u64, [u8; 2])> {
    let settings = Settings::new(CameraId::new("clip").unwrap(), 1, SourceUri::File(path.to_owned()));
    let mut source = camera::open(&settings, &Clock::system(), Arc::default()).unwrap();
    let mut out = Vec::new();
    while out.len() < most {
        match source.next(Duration::from_secs(5)).unwrap() {
            camera::Next::Frame(frame) => {
                let (w, h) = (frame.format.width, frame.format.height);
                let luma = |x: u32, y: u32| frame.luma().row(y as usize).unwrap()[x as usize];
                let place = u64::try_from(frame.pts.as_millis()).unwrap();
                out.push(((w, h), place, [luma(w / 2, h / 2), luma(w / 16, h / 16)]));
            }
            camera::Next::Idle => panic!("it stopped"),
            camera::Next::End => break,
        }
    }
    out
}

fn saved(clip: &Clip) -> tempfile::TempPath {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(file.path(), &clip.bytes).unwrap();
    if let Some(dir) = std::env::var_os("WATCHPOST_KEEP_CLIPS") {
        let name = format!("{}-{}.mp4", clip.pictures, clip.bytes.len());
        std::fs::write(Path::new(&dir).join(name), &clip.bytes).unwrap();
    }
    file.into_temp_path()
}

#[test]
fn a_clip_holds_the_very_coded_pictures_from_a_key_frame_on_and_plays() {
    // From the middle of a group: what is before the next key frame can't be decoded.
    let span = span_of(&mp4(STREET_A, "h264parse"), 1_000..5_000);
    let clip = remuxed(&span, Rotation::None).unwrap();
    assert_eq!((clip.pictures, clip.from, clip.to), (75, TimeMs(1_002_000), TimeMs(1_004_960)));
    let path = saved(&clip);
    let again = span_of(&mp4(path.to_str().unwrap(), "identity"), 0..u64::MAX);
    assert!(again.pictures[0].is_key);
    assert_eq!(bytes(&again), bytes(&span)[25..]);
    let frames = played(&path);
    let places: Vec<u64> = frames.iter().map(|(_, place, _)| *place).collect();
    assert_eq!(places, (0..75).map(|n| n * 40).collect::<Vec<_>>());
    assert_eq!(frames[0].0, (1280, 720));
    assert_eq!(remuxed(&span, Rotation::None).unwrap(), clip, "the same pictures give the same bytes");
}

#[test]
fn network_framing_and_pictures_in_another_order_become_a_file_that_plays_in_order() {
    for (path, parse, from) in [
        (STREET_A, "h264parse ! video/x-h264,stream-format=byte-stream,alignment=au", 0),
        (STREET_B, "h265parse", 900),
        (STREET_B, "h265parse ! video/x-h265,stream-format=byte-stream,alignment=au", 0),
    ] {
        let span = span_of(&mp4(path, parse), from..4_000);
        let clip = remuxed(&span, Rotation::None).unwrap();
        let whole = played_to(Path::new(path), 110);
        let frames = played(&saved(&clip));
        let begin = usize::try_from((clip.from.0 - 1_000_000) / 40).unwrap();
        assert_eq!(frames.len(), clip.pictures, "{parse}: every picture can be decoded");
        for (n, (frame, of)) in frames.iter().zip(&whole[begin..]).enumerate() {
            assert_eq!((frame.1, frame.2), (n as u64 * 40, of.2), "{parse}: picture {n}");
        }
        assert!((72..=104).contains(&clip.pictures), "{parse}: {clip:?}");
    }
}

#[test]
fn motion_jpeg_becomes_a_file_that_plays() {
    let source = "videotestsrc num-buffers=20 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 ! \
                  jpegenc ! jpegparse";
    let clip = remuxed(&span_of(source, 0..u64::MAX), Rotation::None).unwrap();
    let frames = played(&saved(&clip));
    let places: Vec<u64> = frames.iter().map(|(_, place, _)| *place).collect();
    assert_eq!(places, (0..20).map(|n| n * 100).collect::<Vec<_>>());
    assert_eq!(frames[0].0, (320, 240));
}

#[test]
fn players_are_told_to_turn_what_lies_on_its_side() {
    let span = span_of(&mp4(STREET_A, "h264parse"), 0..400);
    let upright = played(&saved(&remuxed(&span, Rotation::None).unwrap()));
    for (rotation, size) in
        [(Rotation::Right, (720, 1280)), (Rotation::Half, (1280, 720)), (Rotation::Left, (720, 1280))]
    {
        let frames = played(&saved(&remuxed(&span, rotation).unwrap()));
        assert_eq!(frames[0].0, size, "{rotation:?}");
        assert_eq!(frames.len(), upright.len());
    }
}

struct Held([Vec<u8>; 3]);

impl crate::domain::Pixels for Held {
    fn plane(&self, index: usize) -> &[u8] {
        &self.0[index]
    }
}

/// Blanks the upper left quarter.
#[expect(clippy::unnecessary_wraps, reason = "as masks are given")]
fn quarter(frame: &Frame, on: &mut dyn FnMut(&Frame)) -> Result<(), String> {
    let (w, h) = (frame.format.width, frame.format.height);
    let (mut format, pixels) = OwnedI420::from_rgb(&vec![255; (w * h * 3) as usize], w, h);
    format.full_range = frame.format.full_range;
    let mut planes: [Vec<u8>; 3] = [0, 1, 2].map(|n| crate::domain::Pixels::plane(&pixels, n).to_vec());
    for y in 0..h as usize {
        let row = frame.luma().row(y).unwrap();
        let to = &mut planes[0][y * format.strides[0]..][..w as usize];
        to.copy_from_slice(row);
        if y < h as usize / 4 {
            to[..w as usize / 4].fill(16);
        }
    }
    on(&Frame::new(format, frame.at, frame.pts, frame.index, Box::new(Held(planes))));
    Ok(())
}

#[test]
fn a_masked_clip_hides_in_every_picture_what_is_to_be_hidden() {
    for (path, parse) in [(STREET_A, "h264parse"), (STREET_B, "h265parse")] {
        let span = span_of(&mp4(path, parse), 0..1_500);
        let clip = masked(&span, Rotation::None, &Decoder::default(), &quarter).unwrap();
        let (frames, whole) = (played(&saved(&clip)), played_to(Path::new(path), 45));
        assert_eq!(frames.len(), clip.pictures);
        assert!(frames.len() >= 36, "{}", frames.len());
        for ((_, place, [middle, corner]), of) in frames.iter().zip(&whole) {
            assert_eq!(place, &of.1);
            assert!(*corner <= 20, "{path} at {place}: {corner}");
            assert!(middle.abs_diff(of.2[0]) < 25, "{path} at {place}: {middle} was {}", of.2[0]);
        }
        assert!(whole.iter().any(|(_, _, [_, corner])| *corner > 40));
    }
}

#[test]
fn what_cannot_be_hidden_makes_no_clip() {
    let span = span_of(&mp4(STREET_A, "h264parse"), 0..400);
    let refuse: Hide<'_> = &|_, _| Err("the frame is short".to_owned());
    let error = masked(&span, Rotation::None, &Decoder::default(), refuse).unwrap_err().to_string();
    assert!(error.contains("the frame is short"), "{error}");
    let silent: Hide<'_> = &|_, _| Ok(());
    assert!(masked(&span, Rotation::None, &Decoder::default(), silent).is_err());
}

#[test]
fn a_masked_clip_of_a_camera_on_its_side_is_upright() {
    let span = span_of(&mp4(STREET_A, "h264parse"), 0..400);
    let frames = played(&saved(&masked(&span, Rotation::Right, &Decoder::default(), &quarter).unwrap()));
    assert_eq!(frames[0].0, (720, 1280));
    assert!(frames.iter().all(|(_, _, [_, corner])| *corner <= 20));
}

#[test]
fn pictures_that_no_clip_can_be_made_of_are_refused_with_the_reason() {
    let empty = Span { caps: span_of(&mp4(STREET_A, "h264parse"), 0..400).caps, pictures: Vec::new() };
    assert!(remuxed(&empty, Rotation::None).unwrap_err().to_string().contains("key frame"));
    // Network framing from a group on that has no parameter sets of its own.
    let bare = span_of(&mp4(STREET_B, "h265parse ! video/x-h265,stream-format=byte-stream,alignment=au"), 1_500..2_500);
    assert!(remuxed(&bare, Rotation::None).unwrap_err().to_string().contains("parameter sets"));
    let raw = span_of("videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=64,height=64", 0..u64::MAX);
    assert!(remuxed(&raw, Rotation::None).is_err());
}
