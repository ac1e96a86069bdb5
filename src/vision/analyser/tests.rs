//! Whole passes from a script: what is detected and read in each frame is given, what is said of it is judged.

use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{Candidate, FrameFormat, Lattice, PixelFormat, Pixels, PlateRead, PlateText, Position, Rect};

mod insight;
mod joins;
mod looks;
mod objects;
mod vehicles;

/// A plate as the script has it in one frame: where, and what a reader makes of it.
#[derive(Debug, Clone)]
struct Shown {
    rect: Rect,
    score: f32,
    read: Option<PlateRead>,
}

type Script = Box<dyn Fn(u64) -> Vec<Shown> + Send + Sync>;

/// Finds and reads what the script says; counts what it was asked to read.
struct Actor {
    script: Script,
    read: Arc<Mutex<Vec<u64>>>,
}

impl FindPlates for Actor {
    fn find(&self, frame: &Seen<'_>, _: Area) -> Result<Vec<Detection>, Error> {
        let shown = (self.script)(frame.index).into_iter();
        Ok(shown.map(|s| Detection { class: Class::Plate, score: s.score, rect: s.rect, corners: None }).collect())
    }
}

impl ReadPlates for Actor {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        self.read.lock().unwrap().push(frame.index);
        let shown = (self.script)(frame.index);
        Ok(plates.iter().map(|p| shown.iter().find(|s| s.rect == p.rect).and_then(|s| s.read.clone())).collect())
    }
}

struct Grey(Arc<Vec<u8>>);

impl Pixels for Grey {
    fn plane(&self, _: usize) -> &[u8] {
        &self.0
    }
}

const START: u64 = 1_772_366_400_000;

fn frame(index: u64, at_ms: u64, pixels: &Arc<Vec<u8>>) -> Frame {
    let format =
        FrameFormat { width: 320, height: 180, pixels: PixelFormat::I420, strides: [320, 160, 160], full_range: true };
    Frame::new(format, TimeMs(START + at_ms), Duration::from_millis(at_ms), index, Box::new(Grey(Arc::clone(pixels))))
}

struct Played {
    events: Vec<(u64, SightingEvent)>,
    reads: Vec<u64>,
}

/// Plays `frames` frames at `fps` and then the end of the stream. Scripts speak of a picture of 320 × 180 in units of
/// four pixels of a larger one, so a plate of 120 is as readable as 120 pixels are.
fn play(fps: u64, frames: u64, script: impl Fn(u64) -> Vec<Shown> + Send + Sync + 'static) -> Played {
    let reads = Arc::new(Mutex::new(Vec::new()));
    let actor = Arc::new(Actor { script: Box::new(script), read: Arc::clone(&reads) });
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), Settings::default(), camera, 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut events = Vec::new();
    for n in 0..frames {
        events.extend(analyser.step(&frame(n, n * 1000 / fps, &pixels)).unwrap().into_iter().map(|e| (n, e)));
    }
    events.extend(analyser.finish(TimeMs(START + frames * 1000 / fps)).into_iter().map(|e| (frames, e)));
    let reads = reads.lock().unwrap().clone();
    Played { events, reads }
}

impl Played {
    /// Stage and text of each event.
    fn told(&self) -> Vec<(Stage, &str)> {
        let text = |e: &SightingEvent| e.sighting.read.as_ref().map(|r| r.text.as_str().to_owned());
        self.events.iter().map(|(_, e)| (e.stage, text(e).map_or("", |t| Box::leak(t.into_boxed_str())))).collect()
    }

    fn ids(&self) -> Vec<EventId> {
        let mut ids: Vec<EventId> = self.events.iter().map(|(_, e)| e.sighting.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// A read of `text` whose characters have probability `p`.
fn read(text: &str, p: f32) -> PlateRead {
    let typed = PlateText::from_raw(text).unwrap();
    let confidence = p.powi(i32::try_from(text.len()).unwrap());
    PlateRead {
        text: typed.clone(),
        confidence,
        char_confidences: vec![p; text.len()],
        candidates: vec![Candidate { text: typed, confidence }],
        lattice: Lattice { positions: text.chars().map(|c| Position { options: vec![(c, p)] }).collect() },
        region: None,
        regions: Vec::new(),
        frames: 1,
    }
}

fn shown(x: f32, y: f32, width: f32, read: Option<PlateRead>) -> Shown {
    Shown { rect: Rect::new(x, y, x + width, y + width / 4.0), score: 0.8, read }
}

/// Texts of which one is read in each frame, cyclically.
fn one_of(texts: &[&str], n: u64) -> String {
    texts[usize::try_from(n).unwrap() % texts.len()].to_owned()
}

#[test]
fn a_growing_plate_is_told_once_and_right_and_ended() {
    let played = play(25, 125, |n| {
        let width = 26.0 * (0.03 * n as f32).exp();
        let text = if n < 25 { one_of(&["A8C1234", "ABC1Z34", "ABC1234"], n) } else { "ABC1234".to_owned() };
        let p = (0.75 + n as f32 / 300.0).min(0.99);
        if n < 60 { vec![shown(100.0, 20.0 + 1.5 * n as f32, width, Some(read(&text, p)))] } else { vec![] }
    });
    let told = played.told();
    assert_eq!(played.ids().len(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|t| t.0 == Stage::New).count(), 1);
    assert_eq!(told.last(), Some(&(Stage::End, "ABC1234")));
    assert_eq!(told.iter().filter(|t| t.0 == Stage::End).count(), 1);
    assert!(told.len() <= 6, "{told:?}");
    let (at, new) = &played.events[0];
    assert!(*at < 40 && new.pictures.is_some() && new.sighting.camera_number == 7);
    let (_, end) = played.events.last().unwrap();
    assert_eq!((end.sighting.begin, end.sighting.end), (TimeMs(START), TimeMs(START + 59 * 40)));
    assert_eq!(end.sighting.direction, Some(149));
}

/// What is told of one plate whose pictures have 320 × 180 pixels and from frame 30 on `size`, at the same share of them.
fn resized(size: (u32, u32)) -> Vec<(u64, Stage, EventId)> {
    let shows = move |n: u64| {
        let by = if n < 30 { 1.0 } else { size.0 as f32 / 320.0 };
        vec![shown(by * (50.0 + n as f32), by * 50.0, by * 120.0, Some(read("ABC1234", 0.995)))]
    };
    let actor = Arc::new(Actor { script: Box::new(shows), read: Arc::default() });
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), Settings::default(), camera, 7);
    let pixels = Arc::new(vec![128; 640 * 480]);
    let mut told = Vec::new();
    for n in 0..60 {
        let mut frame = frame(n, n * 40, &pixels);
        if n >= 30 {
            let half = size.0 as usize / 2;
            (frame.format.width, frame.format.height, frame.format.strides) = (size.0, size.1, [2 * half, half, half]);
        }
        told.extend(analyser.step(&frame).unwrap().into_iter().map(|e| (n, e.stage, e.sighting.id)));
    }
    told
}

#[test]
fn tracks_end_when_pictures_show_another_view_and_begin_anew() {
    let told = resized((640, 480));
    let (first, end) = (told[0], told[1]);
    assert_eq!((first.0, first.1, end.0, end.1, end.2), (1, Stage::New, 30, Stage::End, first.2), "{told:?}");
    assert_eq!((told.len(), told[2].0, told[2].1), (3, 31, Stage::New), "{told:?}");
}

#[test]
fn a_sighting_goes_on_in_larger_pictures_of_the_same_view() {
    let told = resized((640, 360));
    assert!(matches!(told[..], [(1, Stage::New, _)]), "{told:?}");
}

/// Reads what the script says and fails from a frame on.
struct Failing(Arc<Actor>, u64);

impl ReadPlates for Failing {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        if frame.index >= self.1 { Err(Error::NoInference) } else { self.0.read(frame, plates) }
    }
}

#[test]
fn what_left_ends_in_time_although_the_reader_fails_ever_since() {
    // The first leaves at 50; from 90 on another is there that can't be read.
    let shows = |n: u64| match n {
        0..50 => vec![shown(4.0 * n as f32, 50.0, 100.0, Some(read("ABC1234", 0.995)))],
        90.. => vec![shown(120.0, 150.0, 100.0, None)],
        _ => vec![],
    };
    let actor = Arc::new(Actor { script: Box::new(shows), read: Arc::default() });
    let camera = CameraId::new("gate").unwrap();
    let reader = Box::new(Failing(Arc::clone(&actor), 90));
    let mut analyser = Analyser::with(Box::new(actor), reader, Settings::default(), camera, 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let (mut told, mut failed) = (Vec::new(), 0);
    for n in 0..400 {
        let events = analyser.step(&frame(n, n * 40, &pixels)).unwrap_or_else(|_| {
            failed += 1;
            analyser.take_untold()
        });
        told.extend(events.into_iter().map(|e| (n, e.stage)));
    }
    assert!(failed > 100, "{failed}");
    assert!(matches!(told[..], [(1, Stage::New), (91..200, Stage::End)]), "{told:?}");
    // Who does not ask after an error gets it with the next step or the end.
    assert!(analyser.take_untold().is_empty());
}

/// Notes size and first grey of each frame that is read.
struct Looker(Arc<Mutex<Vec<(u32, u8, Rect)>>>);

impl ReadPlates for Looker {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        let first = frame.luma().row(0).unwrap()[0];
        self.0.lock().unwrap().push((frame.format.width, first, plates[0].rect));
        Ok(vec![None; plates.len()])
    }
}

#[test]
fn plates_are_read_on_the_larger_picture_of_the_moment_and_masks_hold_there_too() {
    // Too small to be read where it is found.
    let actor = Actor { script: Box::new(|_| vec![shown(80.0, 40.0, 12.0, None)]), read: Arc::default() };
    let corner = crate::domain::Polygon::new(vec![[0.0, 0.0], [0.2, 0.0], [0.2, 0.2], [0.0, 0.2]]);
    let settings = Settings { privacy_mask: vec![corner], ..Settings::default() };
    let looked = Arc::new(Mutex::new(Vec::new()));
    let looker = Box::new(Looker(Arc::clone(&looked)));
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::new(actor)), looker, settings, camera, 7);
    let pixels = Arc::new(vec![128; 1280 * 720]);
    for n in 0..4 {
        let mut small = frame(n, n * 40, &pixels);
        if n >= 2 {
            let mut large = frame(n, n * 40, &pixels);
            (large.format.width, large.format.height, large.format.strides) = (1280, 720, [1280, 640, 640]);
            small.set_detail(Arc::new(large));
        }
        analyser.step(&small).unwrap();
    }
    let looked = looked.lock().unwrap();
    assert_eq!(looked.len(), 2, "only where the plate is large enough: {looked:?}");
    // The script finds nothing of that size there, so it is read where the small frame told.
    let place = Rect::new(320.0, 160.0, 368.0, 172.0);
    assert!(looked.iter().all(|l| *l == (1280, 16, place)), "{looked:?}");
}

#[test]
fn a_sure_read_is_told_at_the_second_frame_and_not_read_for_ever() {
    let played = play(25, 100, |n| vec![shown(50.0 + n as f32, 50.0, 120.0, Some(read("ABC1234", 0.995)))]);
    assert_eq!(played.told(), [(Stage::New, "ABC1234"), (Stage::End, "ABC1234")]);
    assert_eq!(played.events[0].0, 1);
    assert!(played.reads.len() <= 12, "{:?}", played.reads);
}

#[test]
fn a_parked_car_is_one_sighting_in_ten_minutes() {
    // Ten minutes at 5 frames a second; hidden for 20 s of each minute, doubtful now and then.
    let played = play(5, 3000, |n| {
        let text = if n % 7 == 0 { "ABC1Z34" } else { "ABC1234" };
        let hidden = n % 300 > 200;
        if hidden { vec![] } else { vec![shown(80.0 + (n % 3) as f32, 60.0, 70.0, Some(read(text, 0.9)))] }
    });
    let told = played.told();
    assert_eq!(played.ids().len(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|t| t.0 == Stage::New).count(), 1);
    assert_eq!(told.iter().filter(|t| t.0 == Stage::End).count(), 1);
    assert_eq!(told.last(), Some(&(Stage::End, "ABC1234")));
    assert!(told.len() <= 5, "{told:?}");
    assert!(played.reads.len() < 400, "{}", played.reads.len());
}

#[test]
fn a_parked_car_is_held_while_nothing_moves() {
    // Ten minutes at 5 frames a second in which not a pixel changes: it looks every two seconds, later every five.
    let actor = Arc::new(Actor {
        script: Box::new(|_| vec![shown(80.0, 60.0, 70.0, Some(read("ABC1234", 0.97)))]),
        read: Arc::default(),
    });
    let settings = Settings { motion_gate: true, ..Settings::default() };
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(Arc::clone(&actor)), settings, camera, 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let (mut stages, mut rested) = (Vec::new(), 0);
    for n in 0..3000 {
        stages.extend(analyser.step(&frame(n, n * 200, &pixels)).unwrap().into_iter().map(|e| e.stage));
        rested += u32::from(analyser.is_resting());
    }
    assert_eq!(stages, [Stage::New], "no end while it stands there");
    let last = analyser.finish(TimeMs(0)).pop().unwrap();
    assert_eq!((last.stage, last.sighting.end >= TimeMs(START + 597_000)), (Stage::End, true));
    assert!(rested > 2600, "{rested}");
}

#[test]
fn another_car_on_the_same_place_is_another_sighting() {
    let played = play(5, 300, |n| match n {
        0..100 => vec![shown(80.0, 60.0, 90.0, Some(read("ABC1234", 0.97)))],
        120.. => vec![shown(82.0, 61.0, 92.0, Some(read("XYZ9876", 0.97)))],
        _ => vec![],
    });
    let told = played.told();
    assert_eq!(played.ids().len(), 2, "{told:?}");
    let want = [(Stage::New, "ABC1234"), (Stage::End, "ABC1234"), (Stage::New, "XYZ9876"), (Stage::End, "XYZ9876")];
    assert_eq!(told, want);
}

#[test]
fn two_vehicles_that_cross_keep_their_plates() {
    let played = play(25, 100, |n| {
        let t = n as f32;
        if n >= 50 {
            return vec![];
        }
        vec![
            shown(10.0 + 5.0 * t, 60.0, 60.0, Some(read("ABC1234", 0.95))),
            shown(250.0 - 5.0 * t, 80.0, 60.0, Some(read("XYZ9876", 0.95))),
        ]
    });
    assert_eq!(played.ids().len(), 2);
    let mut ends: Vec<_> = played
        .events
        .iter()
        .filter(|e| e.1.stage == Stage::End)
        .map(|(_, e)| (e.sighting.read.clone().unwrap().text.to_string(), e.sighting.direction))
        .collect();
    ends.sort();
    assert_eq!(ends, [("ABC1234".to_owned(), Some(90)), ("XYZ9876".to_owned(), Some(270))]);
}

#[test]
fn a_broken_track_goes_on_as_the_same_sighting() {
    // Not detected for 2.5 s behind a post: the track is over and another begins, the vehicle is the same.
    let played = play(25, 250, |n| {
        let hidden = (50..112).contains(&n) || n > 160;
        if hidden { vec![] } else { vec![shown(10.0 + 1.8 * n as f32, 60.0, 100.0, Some(read("ABC1234", 0.97)))] }
    });
    assert_eq!(played.told(), [(Stage::New, "ABC1234"), (Stage::End, "ABC1234")]);
    assert_eq!(played.events[1].1.sighting.end, TimeMs(START + 160 * 40));
}

#[test]
fn the_same_plate_within_a_minute_is_silent_and_later_it_is_new() {
    let script = |gap: u64| {
        move |n: u64| {
            let back = n >= 20 + gap && n < 40 + gap;
            if n < 20 || back {
                vec![shown(10.0 + 10.0 * (n % 20) as f32, 60.0, 100.0, Some(read("ABC1234", 0.97)))]
            } else {
                vec![]
            }
        }
    };
    let soon = play(5, 400, script(150));
    assert_eq!(soon.told(), [(Stage::New, "ABC1234"), (Stage::End, "ABC1234")]);
    let late = play(5, 700, script(400));
    assert_eq!(late.told().iter().filter(|t| t.0 == Stage::New).count(), 2);
    assert_eq!(late.ids().len(), 2);
}

#[test]
fn a_first_mistake_is_put_right_by_an_update_under_the_same_id() {
    let played = play(25, 80, |n| {
        let width = 26.0 + 6.0 * n.min(20) as f32;
        let text = if n < 6 { "ABC1234" } else { "XYZ1239" };
        if n < 50 { vec![shown(100.0 + n as f32, 60.0, width, Some(read(text, 0.96)))] } else { vec![] }
    });
    let told = played.told();
    assert_eq!(played.ids().len(), 1, "{told:?}");
    assert_eq!(told[0], (Stage::New, "ABC1234"));
    assert_eq!(told[1], (Stage::Update, "XYZ1239"));
    assert_eq!(told.last(), Some(&(Stage::End, "XYZ1239")));
}

#[test]
fn a_track_without_a_read_ends_without_one() {
    let played = play(25, 100, |n| if n < 20 { vec![shown(100.0 + 3.0 * n as f32, 60.0, 60.0, None)] } else { vec![] });
    assert_eq!(played.told(), [(Stage::End, "")]);
    assert!(played.events[0].1.pictures.is_some());
    assert!(played.events[0].0 > 20 + 25 && played.events[0].0 < 20 + 100);
}

#[test]
fn a_doubtful_read_comes_with_the_end() {
    // No two frames agree; fused they are right.
    let played = play(25, 60, |n| {
        let text = one_of(&["ABX1234", "ABC9234", "ABC1274"], n);
        if n < 3 { vec![shown(100.0 + 8.0 * n as f32, 60.0, 60.0, Some(read(&text, 0.85)))] } else { vec![] }
    });
    let told = played.told();
    assert_eq!(told, [(Stage::End, "ABC1234")]);
}

#[test]
fn one_frame_of_something_is_no_sighting() {
    let played = play(25, 60, |n| {
        if n % 20 == 3 { vec![shown(100.0 + n as f32 * 3.0, 60.0, 60.0, Some(read("ABC1234", 0.9)))] } else { vec![] }
    });
    assert!(played.told().is_empty(), "{:?}", played.told());
}

#[test]
fn two_boxes_on_one_plate_are_one_sighting() {
    let played = play(25, 60, |n| {
        let x = 40.0 + 3.0 * n as f32;
        let plate = Some(read("ABC1234", 0.97));
        if n < 40 { vec![shown(x, 60.0, 100.0, plate.clone()), shown(x + 20.0, 95.0, 60.0, plate)] } else { vec![] }
    });
    assert_eq!(played.told(), [(Stage::New, "ABC1234"), (Stage::End, "ABC1234")]);
}

#[test]
fn no_more_plates_are_read_in_a_frame_than_allowed_and_all_are_told_in_the_end() {
    let texts = ["AAA1111", "BBB2222", "CCC3333", "EEE4444", "FFF5555", "HHH6666", "JJJ7777", "KKK8888", "MMM9999"];
    let played = play(25, 60, move |_| {
        (0_u8..).zip(texts).map(|(k, t)| shown(5.0, 15.0 * f32::from(k), 60.0, Some(read(t, 0.97)))).collect()
    });
    assert_eq!(played.told().iter().filter(|t| t.0 == Stage::New).count(), 9);
}

/// A pass with mistakes by chance: the more the smaller the plate.
#[test]
fn noisy_passes_are_read_right_and_told_seldom() {
    for seed in 0..20_u64 {
        let chance = move |n: u64, k: u64| {
            let mut x = (seed * 1_000_003 + n * 97 + k).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            x ^= x >> 29;
            (x.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1_u32 << 24) as f32
        };
        let played = play(12, 60, move |n| {
            if n >= 30 || chance(n, 99) < 0.15 {
                return vec![];
            }
            let width = 25.0 + 3.0 * n as f32;
            let skill = 0.62 + 0.011 * n as f32;
            let text: String = "ABC1234"
                .chars()
                .zip(0..)
                .map(
                    |(c, k)| if chance(n, k) < skill { c } else { char::from(b'A' + (chance(n, k + 20) * 26.0) as u8) },
                )
                .collect();
            vec![shown(20.0 + 6.0 * n as f32, 40.0 + 3.0 * chance(n, 50), width, Some(read(&text, skill.min(0.93))))]
        });
        let told = played.told();
        assert_eq!(told.last(), Some(&(Stage::End, "ABC1234")), "seed {seed}: {told:?}");
        assert_eq!(played.ids().len(), 1, "seed {seed}: {told:?}");
        assert!(told.len() <= 6, "seed {seed}: {told:?}");
    }
}

#[test]
fn a_clock_that_steps_back_and_a_stream_that_begins_again_do_no_harm() {
    let actor = Arc::new(Actor {
        script: Box::new(|n| vec![shown(50.0 + n as f32, 60.0, 100.0, Some(read("ABC1234", 0.98)))]),
        read: Arc::default(),
    });
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), Settings::default(), camera, 1);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut events = Vec::new();
    for (n, at) in [(0, 5000), (1, 5040), (2, 5080), (3, 100), (4, 140), (5, 180)] {
        events.extend(analyser.step(&frame(n, at, &pixels)).unwrap());
    }
    events.extend(analyser.finish(TimeMs(0)));
    let stages: Vec<Stage> = events.iter().map(|e| e.stage).collect();
    assert_eq!(stages, [Stage::New, Stage::End]);
    assert!(events.iter().all(|e| e.sighting.begin <= e.sighting.end));
}

fn any_shown() -> impl Strategy<Value = Shown> {
    let number = || prop_oneof![5 => -50.0_f32..400.0, 1 => Just(f32::NAN), 1 => any::<f32>()];
    let text = proptest::option::of("[AB01]{1,8}");
    (
        number(),
        number(),
        number(),
        number(),
        prop_oneof![0.0_f32..1.0, any::<f32>()],
        text,
        prop_oneof![0.0_f32..1.0, any::<f32>()],
    )
        .prop_map(|(a, b, c, d, score, text, p)| Shown {
            rect: Rect::new(a, b, c, d),
            score,
            read: text.map(|t| read(&t, p)),
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_detected_each_id_is_new_before_it_is_updated_and_ends_once(
        frames in proptest::collection::vec(proptest::collection::vec(any_shown(), 0..5), 0..40),
        fps in 1_u64..30,
    ) {
        let count = frames.len() as u64;
        let played = play(fps, count, move |n| frames[usize::try_from(n).unwrap()].clone());
        for id in played.ids() {
            let of: Vec<&SightingEvent> = played.events.iter().map(|(_, e)| e).filter(|e| e.sighting.id == id).collect();
            prop_assert_eq!(of.iter().filter(|e| e.stage == Stage::New).count() <= 1, true);
            prop_assert!(of.iter().skip(1).all(|e| e.stage != Stage::New));
            prop_assert_eq!(of.last().map(|e| e.stage), Some(Stage::End));
            for e in of {
                prop_assert!(e.sighting.begin <= e.sighting.end);
                prop_assert!(e.sighting.rect.iter().all(|v| (0.0..=1.0).contains(v)), "{:?}", e.sighting.rect);
                prop_assert!(e.sighting.read.as_ref().is_none_or(|r| (0.0..=1.0).contains(&r.confidence)));
            }
        }
    }
}
