//! Plates and the vehicles around them, from a script.

use super::*;
use crate::domain::{Sighting, Vehicle};

pub(super) type Cast = Vec<(Class, f32, Rect)>;

/// Finds the vehicles of a script, fails where it says so, and counts how often it was asked.
struct Beside {
    script: Box<dyn Fn(u64) -> Option<Cast> + Send + Sync>,
    looks: Arc<Mutex<Vec<u64>>>,
}

impl FindPlates for Beside {
    fn find(&self, frame: &Seen<'_>, _: Area) -> Result<Vec<Detection>, Error> {
        self.looks.lock().unwrap().push(frame.index);
        let cast = (self.script)(frame.index).ok_or(Error::NoInference)?;
        Ok(cast.into_iter().map(|(class, score, rect)| Detection { class, score, rect, corners: None }).collect())
    }
}

/// One finder for both, as a model with two heads is.
struct Both(Arc<Actor>, Beside);

impl FindPlates for Both {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        Ok([self.0.find(frame, area)?, self.1.find(frame, area)?].concat())
    }
}

pub(super) struct Passed {
    pub(super) events: Vec<SightingEvent>,
    looks: Vec<u64>,
    counted: Vec<Class>,
    pub(super) crossings: Vec<(PlaceId, Way, Class)>,
    fault: Option<String>,
}

impl Passed {
    fn stages(&self) -> Vec<(Stage, Option<Class>)> {
        self.events.iter().map(|e| (e.stage, e.sighting.vehicle.map(|v| v.class))).collect()
    }

    fn end(&self, text: &str) -> &Sighting {
        let ends = self.events.iter().filter(|e| e.stage == Stage::End);
        let named = |e: &&SightingEvent| e.sighting.read.as_ref().is_some_and(|r| r.text.as_str() == text);
        &ends.rev().find(named).unwrap().sighting
    }
}

/// Plays plates and vehicles at 25 frames a second and then the end of the stream; `together`: in one pass.
fn play(
    frames: u64,
    together: bool,
    plates: impl Fn(u64) -> Vec<Shown> + Send + Sync + 'static,
    vehicles: impl Fn(u64) -> Option<Cast> + Send + Sync + 'static,
) -> Passed {
    play_by(Settings::default(), (frames, together), plates, vehicles)
}

/// The same by other settings.
pub(super) fn play_by(
    settings: Settings,
    (frames, together): (u64, bool),
    plates: impl Fn(u64) -> Vec<Shown> + Send + Sync + 'static,
    vehicles: impl Fn(u64) -> Option<Cast> + Send + Sync + 'static,
) -> Passed {
    let actor = Arc::new(Actor { script: Box::new(plates), read: Arc::default() });
    let looks = Arc::new(Mutex::new(Vec::new()));
    let beside = Beside { script: Box::new(vehicles), looks: Arc::clone(&looks) };
    let camera = CameraId::new("gate").unwrap();
    let analyser = |finder| Analyser::with(finder, Box::new(Arc::clone(&actor)), settings, camera, 7);
    let mut analyser = if together {
        analyser(Box::new(Both(Arc::clone(&actor), beside))).with_vehicles(VehicleSource::SamePass)
    } else {
        analyser(Box::new(Arc::clone(&actor))).with_vehicles(VehicleSource::Own(Box::new(beside)))
    };
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut events = Vec::new();
    for n in 0..frames {
        events.extend(analyser.step(&frame(n, n * 40, &pixels)).unwrap());
    }
    events.extend(analyser.finish(TimeMs(START + frames * 40)));
    let (looks, counted) = (looks.lock().unwrap().clone(), analyser.take_passed());
    let crossings = analyser.take_crossings();
    Passed { events, looks, counted, crossings, fault: analyser.vehicle_fault().map(Into::into) }
}

/// A plate of 40 × 10 whose left edge is at `x`, and the box of a vehicle around it.
fn plate(x: f32, y: f32, text: &str) -> Shown {
    shown(x, y, 40.0, Some(read(text, 0.99)))
}

fn around(x: f32, y: f32) -> Rect {
    Rect::new(x - 40.0, y - 60.0, x + 80.0, y + 20.0)
}

#[test]
fn the_first_that_is_told_names_the_vehicle_and_the_end_has_the_vote() {
    let class = |n: u64| if n % 15 == 5 { Class::Truck } else { Class::Car };
    let played = play(
        150,
        false,
        |n| if n < 50 { vec![plate(60.0 + n as f32, 100.0, "ABC1234")] } else { vec![] },
        move |n| Some(vec![(class(n), 0.8, around(60.0 + n as f32, 100.0))]),
    );
    assert_eq!(played.stages(), [(Stage::New, Some(Class::Car)), (Stage::End, Some(Class::Car))]);
    let end = &played.events[1].sighting;
    assert_eq!(end.class, Class::Car);
    assert_eq!((played.counted, played.fault), (vec![Class::Car], None), "one car passed");
    let Vehicle { confidence, rect, .. } = end.vehicle.unwrap();
    assert!((0.5..0.95).contains(&confidence), "{confidence}");
    // As large in the picture as the vehicle is, and it holds the plate.
    assert!((rect[2] - rect[0] - 120.0 / 320.0).abs() < 1e-3 && rect[0] < end.rect[0] && end.rect[3] < rect[3]);
}

#[test]
fn a_model_of_their_own_looks_five_times_a_second_and_once_more_for_a_new_plate() {
    let empty = play(100, false, |_| vec![], |_| Some(vec![]));
    assert_eq!(empty.looks, (0..20).map(|n| n * 5).collect::<Vec<_>>());
    let one = play(100, false, |n| if n >= 7 { vec![plate(60.0, 100.0, "ABC1234")] } else { vec![] }, |_| Some(vec![]));
    // The plate is sure in its second frame, the eighth; looks go on from there.
    assert!(one.looks.starts_with(&[0, 5, 8, 13, 18]) && one.looks.len() <= 21, "{:?}", one.looks);
}

#[test]
fn one_pass_for_both_ties_as_well() {
    let played = play(
        100,
        true,
        |n| if n < 20 { vec![plate(60.0, 100.0 - n as f32, "ABC1234")] } else { vec![] },
        |n| if n < 20 { Some(vec![(Class::Bus, 0.9, around(60.0, 100.0 - n as f32))]) } else { Some(vec![]) },
    );
    assert_eq!(played.stages(), [(Stage::New, Some(Class::Bus)), (Stage::End, Some(Class::Bus))]);
    assert!(played.events[1].sighting.vehicle.unwrap().confidence > 0.89);
}

#[test]
fn a_plate_outside_of_every_vehicle_is_read_and_told_without_one() {
    let played = play(
        60,
        false,
        |_| vec![plate(200.0, 150.0, "ABC1234")],
        |_| Some(vec![(Class::Car, 0.9, around(60.0, 100.0)), (Class::Person, 0.9, around(200.0, 150.0))]),
    );
    assert_eq!(played.stages(), [(Stage::New, None), (Stage::End, None)]);
    assert_eq!(played.events[1].sighting.class, Class::Plate);
}

#[test]
fn vehicles_that_pass_each_other_keep_their_plates() {
    // The bus is behind: where they meet, the car's plate lies in both boxes.
    let (left, right) = (|n: u64| 20.0 + 4.0 * n as f32, |n: u64| 260.0 - 4.0 * n as f32);
    let played = play(
        130,
        false,
        move |n| {
            if n < 50 { vec![plate(left(n), 130.0, "ABC1234"), plate(right(n), 100.0, "XYZ9876")] } else { vec![] }
        },
        move |n| {
            let bus = Rect::new(right(n) - 60.0, 0.0, right(n) + 100.0, 150.0);
            Some(if n < 50 { vec![(Class::Car, 0.8, around(left(n), 130.0)), (Class::Bus, 0.9, bus)] } else { vec![] })
        },
    );
    let class = |text| played.end(text).vehicle.map(|v| v.class);
    assert_eq!((class("ABC1234"), class("XYZ9876")), (Some(Class::Car), Some(Class::Bus)));
}

#[test]
fn a_vehicle_that_is_found_late_is_told_by_one_update_and_wavering_by_none() {
    let late = play(
        200,
        false,
        |n| if n < 120 { vec![plate(60.0 + 0.5 * n as f32, 100.0, "ABC1234")] } else { vec![] },
        |n| {
            let class = if n < 70 { Class::Motorbike } else { Class::Car };
            Some(if n < 10 { vec![] } else { vec![(class, 0.9, around(60.0 + 0.5 * n as f32, 100.0))] })
        },
    );
    let told = late.stages();
    assert_eq!(told[..2], [(Stage::New, None), (Stage::Update, Some(Class::Motorbike))], "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[2].0, Stage::End);
}

#[test]
fn a_vehicle_that_is_overlooked_later_stays_the_carrier_and_one_that_only_passed_does_not() {
    let overlooked = play(
        100,
        false,
        |n| if n < 80 { vec![plate(60.0 + n as f32, 100.0, "ABC1234")] } else { vec![] },
        |n| Some(if n < 25 { vec![(Class::Bus, 0.9, around(60.0 + n as f32, 100.0))] } else { vec![] }),
    );
    assert_eq!(overlooked.end("ABC1234").vehicle.map(|v| v.class), Some(Class::Bus));
    let passing = play(
        300,
        false,
        |n| if n < 200 { vec![plate(150.0, 100.0, "ABC1234")] } else { vec![] },
        |n| Some(if (30..42).contains(&n) { vec![(Class::Bus, 0.9, around(4.0 * n as f32, 100.0))] } else { vec![] }),
    );
    assert_eq!(passing.end("ABC1234").vehicle, None);
}

#[test]
fn a_class_that_was_never_sure_is_not_told_however_often_it_was_seen() {
    let doubtful = play(
        60,
        true,
        |n| if n < 50 { vec![plate(60.0 + n as f32, 100.0, "ABC1234")] } else { vec![] },
        |n| Some(vec![(Class::Bus, 0.3, around(60.0 + n as f32, 100.0))]),
    );
    assert_eq!(doubtful.stages(), [(Stage::New, None), (Stage::End, None)]);
}

#[test]
fn a_model_of_vehicles_that_fails_costs_no_read() {
    let played =
        play(100, false, |n| if n < 40 { vec![plate(60.0 + n as f32, 100.0, "ABC1234")] } else { vec![] }, |_| None);
    assert_eq!(played.stages(), [(Stage::New, None), (Stage::End, None)]);
    assert_eq!(played.looks.len(), 20, "asked as often as one that works");
    assert!(played.fault.unwrap().contains("onnx") && played.counted.is_empty());
}

#[test]
fn a_vehicle_whose_track_breaks_off_stays_the_same() {
    let played = play(
        250,
        false,
        |n| if n < 200 { vec![plate(60.0, 100.0, "ABC1234")] } else { vec![] },
        |n| {
            // Two seconds unseen, then elsewhere by half its width: another track.
            let x = if n < 80 { 60.0 } else { 75.0 };
            Some(if (50..110).contains(&n) { vec![] } else { vec![(Class::Truck, 0.9, around(x, 100.0))] })
        },
    );
    assert_eq!(played.stages(), [(Stage::New, Some(Class::Truck)), (Stage::End, Some(Class::Truck))]);
}

#[test]
fn a_plate_that_was_seen_too_shortly_goes_where_its_vehicle_goes() {
    let at = |n: u64| 40.0 + 3.0 * n as f32;
    let played = play(
        150,
        false,
        move |n| if (30..36).contains(&n) { vec![plate(at(n), 100.0, "ABC1234")] } else { vec![] },
        move |n| Some(if n < 40 { vec![(Class::Car, 0.9, around(at(n), 100.0))] } else { vec![] }),
    );
    let end = played.end("ABC1234");
    assert_eq!((end.vehicle.map(|v| v.class), end.direction), (Some(Class::Car), Some(90)));
}

#[test]
fn a_vehicle_without_a_plate_that_passes_again_and_again_for_minutes_still_wakes_it() {
    const EVERY: u64 = 60;
    // It crosses a bright road in two seconds at ten frames a second, and comes again after four more.
    let place = |n: u64| {
        let left = (n % EVERY) as f32 * 16.0 - 60.0;
        (left < 320.0).then(|| Rect::new(left.max(0.0), 70.0, (left + 60.0).min(320.0), 110.0))
    };
    for together in [true, false] {
        let actor = Arc::new(Actor { script: Box::new(|_| vec![]), read: Arc::default() });
        let cast = move |n| Some(place(n).map(|rect| (Class::Car, 0.8, rect)).into_iter().collect());
        let beside = Beside { script: Box::new(cast), looks: Arc::default() };
        let camera = CameraId::new("gate").unwrap();
        let settings = Settings { motion_gate: true, ..Settings::default() };
        let analyser = |finder| Analyser::with(finder, Box::new(Arc::clone(&actor)), settings, camera, 7);
        let mut analyser = if together {
            analyser(Box::new(Both(Arc::clone(&actor), beside))).with_vehicles(VehicleSource::SamePass)
        } else {
            analyser(Box::new(Arc::clone(&actor))).with_vehicles(VehicleSource::Own(Box::new(beside)))
        };
        let (mut rested, mut late) = (0, Vec::new());
        for n in 0..50 * EVERY {
            let mut pixels = vec![150; 320 * 180];
            let car = place(n).filter(|r| r.width() >= 16.0);
            if let Some(rect) = car {
                let (from, to) = (rect.x1 as usize, rect.x2 as usize);
                pixels.chunks_mut(320).skip(70).take(40).for_each(|row| row[from..to].fill(120));
            }
            analyser.step(&frame(n, n * 100, &Arc::new(pixels))).unwrap();
            rested += u64::from(analyser.is_resting());
            if car.is_some() && analyser.is_resting() {
                late.push(n);
            }
        }
        assert!(late.is_empty(), "rested while a car passed (together: {together}): {late:?}");
        assert!(rested > 10 * EVERY, "rested on {rested} frames in between");
    }
}

#[test]
fn a_vehicle_without_a_plate_that_leaves_a_still_scene_passed_soon() {
    // Not a pixel changes, so only the look every five seconds can tell; it came and was sure long before.
    let actor = Arc::new(Actor { script: Box::new(|_| vec![]), read: Arc::default() });
    let cars = |n: u64| Some(if n < 500 { vec![(Class::Car, 0.9, around(100.0, 80.0))] } else { vec![] });
    let beside = Beside { script: Box::new(cars), looks: Arc::default() };
    let settings = Settings { motion_gate: true, ..Settings::default() };
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), settings, camera, 7)
        .with_vehicles(VehicleSource::Own(Box::new(beside)));
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut passed = Vec::new();
    for n in 0..900 {
        analyser.step(&frame(n, n * 40, &pixels)).unwrap();
        passed.extend(analyser.take_passed().into_iter().map(|class| (n, class)));
    }
    // Five seconds until it is looked, 1.2 s in which it might come back, and the next look.
    assert!(matches!(passed[..], [(500..800, Class::Car)]), "{passed:?}");
}
