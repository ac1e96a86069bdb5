//! Which tracks are one sighting: the same vehicle seen again, and the next one that only looks like it.

use super::*;

/// An analyser by a script, in these settings.
fn analyser(settings: Settings, script: impl Fn(u64) -> Vec<Shown> + Send + Sync + 'static) -> Analyser {
    let actor = Arc::new(Actor { script: Box::new(script), read: Arc::default() });
    Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), settings, CameraId::new("gate").unwrap(), 7)
}

/// Texts of what was told as new, and how many sightings there were in all.
fn new_ones(played: &Played) -> (Vec<&str>, usize) {
    let told = played.told().into_iter().filter(|t| t.0 == Stage::New).map(|t| t.1).collect();
    (told, played.ids().len())
}

/// A plate that crosses the picture in 30 frames, from frame `from` on.
fn crossing(n: u64, from: u64, text: &str, p: f32) -> Option<Shown> {
    let along = n.checked_sub(from).filter(|n| *n < 30)? as f32;
    Some(shown(10.0 + 8.0 * along, 60.0, 60.0, Some(read(text, p))))
}

#[test]
fn the_next_of_a_fleet_whose_plate_differs_in_one_character_is_a_sighting_of_its_own() {
    // One second and a half apart, on the same way.
    let played = play(25, 200, |n| {
        [crossing(n, 0, "KLM4821", 0.97), crossing(n, 38, "KLM4831", 0.97)].into_iter().flatten().collect()
    });
    assert_eq!(new_ones(&played), (vec!["KLM4821", "KLM4831"], 2));
}

#[test]
fn two_of_a_fleet_in_one_picture_are_two_even_where_the_second_is_doubtful() {
    // The second follows at 100 pixels; its read never gets sure enough to be told before its end.
    let played = play(25, 200, |n| {
        let doubtful = ["KLM4831", "KLM4881", "KLM4834"];
        let second = crossing(n, 12, &one_of(&doubtful, n), 0.86);
        [crossing(n, 0, "KLM4821", 0.97), second].into_iter().flatten().collect()
    });
    let (_, sightings) = new_ones(&played);
    assert_eq!(sightings, 2, "{:?}", played.told());
}

#[test]
fn a_vehicle_that_is_read_a_little_differently_behind_a_post_is_one_sighting() {
    // Hidden for 1.6 s, longer than its track lives; the character that changes was in doubt.
    let played = play(25, 250, |n| {
        let text = if n < 40 { one_of(&["KLM4821", "KLM4821", "KLM48Z7"], n) } else { "KLM4827".to_owned() };
        let seen = n < 30 || (70..110).contains(&n);
        if seen { vec![shown(10.0 + 2.4 * n as f32, 60.0, 60.0, Some(read(&text, 0.95)))] } else { vec![] }
    });
    assert_eq!(played.ids().len(), 1, "{:?}", played.told());
}

#[test]
fn pieces_of_a_pass_that_could_not_be_read_go_with_the_one_that_could() {
    // Too small at first, then behind a passer-by for 1.6 s, then readable.
    let played = play(25, 250, |n| {
        let seen = n < 30 || (70..110).contains(&n);
        let plate = (n >= 70).then(|| read("KLM4821", 0.97));
        if seen { vec![shown(10.0 + 2.4 * n as f32, 60.0, 50.0 + 0.2 * n as f32, plate)] } else { vec![] }
    });
    assert_eq!(played.told(), [(Stage::New, "KLM4821"), (Stage::End, "KLM4821")]);
    assert_eq!(played.events[1].1.sighting.begin, TimeMs(START), "it is told from its first frame on");
}

#[test]
fn the_next_vehicle_on_the_same_way_does_not_inherit_what_the_first_could_not_tell() {
    let played = play(25, 250, |n| {
        let first = crossing(n, 0, "XXXX", 0.1).map(|s| Shown { read: None, ..s });
        [first, crossing(n, 50, "KLM4821", 0.97)].into_iter().flatten().collect()
    });
    let (told, sightings) = new_ones(&played);
    assert_eq!((told, sightings), (vec!["KLM4821"], 2), "one unread, one read");
}

#[test]
fn a_plate_that_is_read_in_part_while_it_is_hidden_in_part_is_no_other_vehicle() {
    let played = play(25, 120, |n| {
        let text = if (20..30).contains(&n) { "4821" } else { "KLM4821" };
        if n < 60 { vec![shown(10.0 + 2.0 * n as f32, 60.0, 80.0, Some(read(text, 0.98)))] } else { vec![] }
    });
    assert_eq!(played.told(), [(Stage::New, "KLM4821"), (Stage::End, "KLM4821")]);
}

/// Two frames a second of one that stands there, hidden from the second to the `hidden`th minute, then at `back`.
fn parked(hidden: u64, back: f32) -> Played {
    play(2, (hidden + 4) * 120, move |n| {
        let minute = n / 120;
        match minute {
            0 | 1 => vec![shown(80.0, 60.0, 70.0, Some(read("KLM4821", 0.97)))],
            _ if minute <= hidden => vec![],
            _ => vec![shown(back, 60.0, 70.0, Some(read("KLM4821", 0.97)))],
        }
    })
}

#[test]
fn a_parked_vehicle_that_was_hidden_for_half_an_hour_is_the_same_sighting() {
    let played = parked(30, 84.0);
    let (told, sightings) = new_ones(&played);
    assert_eq!((told.len(), sightings), (1, 1));
}

#[test]
fn one_that_left_and_stands_elsewhere_after_the_cooldown_is_a_new_sighting() {
    for minutes in [3, 30] {
        let played = parked(minutes, 200.0);
        assert_eq!(new_ones(&played).1, 2, "{:?}", played.told());
    }
}

#[test]
fn one_that_drove_off_and_came_back_to_its_place_after_the_cooldown_is_a_new_sighting() {
    let played = play(5, 1500, |n| {
        let plate = || Some(read("KLM4821", 0.97));
        match n {
            0..300 | 1030.. => vec![shown(80.0, 60.0, 70.0, plate())],
            300..330 => vec![shown(80.0 + 6.0 * (n - 300) as f32, 60.0, 70.0, plate())],
            1000..1030 => vec![shown(254.0 - 6.0 * (n - 1000) as f32, 60.0, 70.0, plate())],
            _ => vec![],
        }
    });
    assert_eq!(new_ones(&played), (vec!["KLM4821", "KLM4821"], 2));
}

#[test]
fn an_interrupted_stream_does_not_double_what_stands_or_goes_on() {
    let shows = |n: u64| {
        let stands = shown(80.0, 60.0, 70.0, Some(read("KLM4821", 0.97)));
        vec![stands, shown(250.0 - 2.0 * n as f32, 120.0, 60.0, Some(read("ABC123", 0.97)))]
    };
    let mut analyser = analyser(Settings::default(), shows);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut events = Vec::new();
    for n in 0..120 {
        if n == 60 {
            analyser.interrupt();
        }
        // Its times begin anew, the clock goes on: the camera was away for two seconds.
        let away = if n < 60 { 0 } else { 2000 };
        let mut frame = frame(n, n * 40 + away, &pixels);
        frame.pts = Duration::from_millis((n % 60) * 40);
        events.extend(analyser.step(&frame).unwrap());
    }
    let new = events.iter().filter(|e| e.stage == Stage::New).count();
    let told: Vec<_> = events.iter().map(|e| (e.stage, e.sighting.read.as_ref().map(|r| r.text.to_string()))).collect();
    assert_eq!((new, told.len()), (2, 2), "{told:?}");
}

#[test]
fn the_cooldown_is_as_long_as_it_is_set() {
    for (cooldown_s, want) in [(10, 2), (60, 1)] {
        let settings = Settings { same_within: Duration::from_secs(cooldown_s), ..Settings::default() };
        let shows = |n: u64| crossing(n % 500, 0, "KLM4821", 0.97).into_iter().collect();
        let mut analyser = analyser(settings, shows);
        let pixels = Arc::new(vec![128; 320 * 180]);
        let mut new = 0;
        for n in 0..1000 {
            let events = analyser.step(&frame(n, n * 40, &pixels)).unwrap();
            new += events.iter().filter(|e| e.stage == Stage::New).count();
        }
        assert_eq!(new, want, "cooldown of {cooldown_s} s, 20 s between two passes");
    }
}

/// Counts in how many frames it was asked.
struct Asked(Arc<Actor>, Arc<Mutex<u32>>);

impl FindPlates for Asked {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        *self.1.lock().unwrap() += 1;
        self.0.find(frame, area)
    }
}

#[test]
fn on_a_slow_road_fewer_frames_are_looked_at_but_none_of_a_plate_that_is_not_certain() {
    // A plate for one second in four; certain after three frames.
    let actor = Arc::new(Actor {
        script: Box::new(|n| {
            let along = (n % 100) as f32;
            if n % 100 < 25 {
                vec![shown(
                    10.0 + 9.0 * along,
                    60.0,
                    100.0,
                    Some(read(one_of(&["KLM4821", "ABC123", "XYZ9876"], n / 100).as_str(), 0.999)),
                )]
            } else {
                vec![]
            }
        }),
        read: Arc::default(),
    });
    let settings = Settings { look_every: look_every(20.0), ..Settings::default() };
    let asked = Arc::new(Mutex::new(0));
    let finder = Box::new(Asked(Arc::clone(&actor), Arc::clone(&asked)));
    let mut analyser = Analyser::with(finder, Box::new(actor), settings, CameraId::new("gate").unwrap(), 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let (mut new, mut spared) = (Vec::new(), 0);
    for n in 0..300 {
        let events = analyser.step(&frame(n, n * 40, &pixels)).unwrap();
        new.extend(events.iter().filter(|e| e.stage == Stage::New).map(|_| n % 100));
        spared += u32::from(analyser.is_spared());
    }
    let asked = *asked.lock().unwrap();
    assert!(asked < 150 && asked + spared == 300, "{asked} looks, {spared} spared");
    assert!(new.len() == 3 && new.iter().all(|n| *n <= 6), "told at {new:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Vehicles with different plates follow each other on one lane, some hidden for a while: each is one sighting.
    #[test]
    fn each_of_a_row_of_different_vehicles_is_one_sighting(
        gaps in proptest::collection::vec(34_u64..80, 2..5),
        digits in proptest::collection::vec("[0-9]{4}", 5),
        hidden in proptest::option::of(8_u64..14),
    ) {
        let texts: Vec<String> = digits.iter().map(|d| format!("KLM{d}")).collect();
        let differ = |a: &str, b: &str| a.bytes().zip(b.bytes()).any(|(a, b)| !crate::domain::confusable::alike(a, b));
        prop_assume!((0..gaps.len()).all(|i| (0..i).all(|j| differ(&texts[i], &texts[j]))));
        let starts: Vec<u64> = gaps.iter().scan(0, |at, gap| Some(std::mem::replace(at, *at + gap))).collect();
        let (script, count) = (starts.clone(), starts.len());
        let played = play(25, starts[count - 1] + 120, move |n| {
            let all = script.iter().zip(&texts).filter_map(|(from, text)| {
                let behind = hidden.is_some_and(|at| (at..at + 9).contains(&n.saturating_sub(*from)));
                crossing(n, *from, text, 0.97).filter(|_| !behind)
            });
            all.collect()
        });
        prop_assert_eq!(new_ones(&played).1, count, "{:?}", played.told());
    }
}

#[test]
fn a_read_that_a_second_look_put_right_is_known_again_and_one_of_another_vehicle_is_not_taken() {
    // It comes back ten seconds later, read right; meanwhile another has passed.
    let script = |n: u64| {
        let other = crossing(n, 125, "XYZ9876", 0.99);
        let first = crossing(n, 0, &one_of(&["KLM4831", "KLM4881"], n), 0.88);
        [first, other, crossing(n, 300, "KLM4821", 0.99)].into_iter().flatten().collect()
    };
    let mut analyser = analyser(Settings::default(), script);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let (mut events, mut id) = (Vec::new(), None);
    for n in 0..420 {
        let now = analyser.step(&frame(n, n * 40, &pixels)).unwrap();
        if let Some(end) = now.iter().find(|e| e.stage == Stage::End && id.is_none()) {
            id = Some(end.sighting.id);
            assert!(analyser.put_right(end.sighting.id, &read("KLM4821", 0.99)));
        }
        if n == 290 {
            assert!(!analyser.put_right(id.unwrap(), &read("XYZ9876", 0.99)), "that is the other's");
        }
        events.extend(now);
    }
    events.extend(analyser.finish(TimeMs(START + 420 * 40)));
    let ids: std::collections::BTreeSet<EventId> = events.iter().map(|e| e.sighting.id).collect();
    assert_eq!(ids.len(), 2, "what came back is the sighting that was put right");
}
