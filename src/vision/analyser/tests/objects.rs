//! Sightings that rules make, and rules on the sightings of plates.

use super::vehicles::{Cast, Passed, play_by};
use super::*;
use crate::domain::{Line, ObjectEvent, Plan, Polygon, Rule, RuleId, Severity, Zone};

fn rule(number: u16, event: ObjectEvent, classes: &[Class]) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId::new("r").unwrap(),
        number,
        severity: Severity::Minor,
        event,
        classes: classes.to_vec(),
        lists: Vec::new(),
        regions: Vec::new(),
        schedule: None,
        cooldown: Duration::ZERO,
    })
}

fn name(text: &str) -> PlaceId {
    PlaceId::new(text).unwrap()
}

/// A line down the middle of the picture (forward is to the left), a zone on its right half, and these rules.
fn by(rules: Vec<Arc<Rule>>) -> Settings {
    let right = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
    let plan = Plan {
        zones: vec![Zone { name: name("right"), polygon: right, heading: None, inertia: (2, Duration::ZERO) }],
        lines: vec![Line { name: name("middle"), from: [0.5, 0.0], to: [0.5, 1.0], allowed: None }],
        rules,
    };
    Settings { plan, ..Settings::default() }
}

fn cross(number: u16) -> Arc<Rule> {
    rule(number, ObjectEvent::Cross(name("middle"), None), &[])
}

/// One that walks or drives to the right, 2 pixels a frame, for 60 frames, and is gone then.
fn walker(class: Class) -> impl Fn(u64) -> Option<Cast> {
    move |n| {
        let x = 60.0 + 2.0 * n as f32;
        Some(if n < 60 { vec![(class, 0.9, Rect::new(x, 60.0, x + 40.0, 140.0))] } else { vec![] })
    }
}

fn told(passed: &Passed) -> Vec<(Stage, bool, Vec<u16>)> {
    let rules = |e: &SightingEvent| e.rules.iter().map(|m| m.rule.number).collect();
    passed.events.iter().map(|e| (e.stage, e.object, rules(e))).collect()
}

#[test]
fn a_person_has_a_sighting_only_where_a_rule_speaks_of_it_and_no_crop() {
    let silent =
        play_by(by(vec![rule(1, ObjectEvent::Seen, &[Class::Bus])]), (200, false), |_| vec![], walker(Class::Person));
    assert_eq!(told(&silent), []);
    assert_eq!(silent.crossings.len(), 2, "counted all the same: {:?}", silent.crossings);
    let rules = vec![cross(1), rule(2, ObjectEvent::Enter(name("right")), &[Class::Person])];
    let passed = play_by(by(rules), (200, false), |_| vec![], walker(Class::Person));
    let stages: Vec<Stage> = passed.events.iter().map(|e| e.stage).collect();
    assert!(stages.first() == Some(&Stage::New) && stages.last() == Some(&Stage::End), "{stages:?}");
    assert!(stages.len() <= 3 && passed.events.iter().all(|e| e.object), "{stages:?}");
    let end = passed.events.last().unwrap();
    assert_eq!(end.rules.len(), 2);
    let sighting = &end.sighting;
    assert_eq!((sighting.class, sighting.read.as_ref(), sighting.direction), (Class::Person, None, Some(90)));
    assert_eq!(sighting.begin, TimeMs(START));
    assert!(sighting.end < TimeMs(START + 60 * 40));
    let pictures = passed.events[0].pictures.as_ref().unwrap();
    assert!(pictures.crop.is_empty() && !pictures.scene.is_empty());
    assert!(passed.events.iter().all(|e| e.sighting.id == sighting.id));
}

#[test]
fn a_vehicle_whose_plate_is_told_has_one_sighting_that_the_rule_goes_with() {
    let plate = |n: u64| {
        let x = 80.0 + 2.0 * n as f32;
        if n < 60 { vec![shown(x, 120.0, 20.0, Some(read("ABC1234", 0.99)))] } else { vec![] }
    };
    let settings = Settings { min_plate_width: 10.0, ..by(vec![cross(5)]) };
    let passed = play_by(settings, (200, false), plate, walker(Class::Car));
    let ids: std::collections::BTreeSet<_> = passed.events.iter().map(|e| e.sighting.id).collect();
    assert_eq!(ids.len(), 1, "{:?}", told(&passed));
    assert!(passed.events.iter().all(|e| !e.object));
    assert!(passed.events[0].rules.is_empty(), "the plate was told before the line");
    let end = passed.events.last().unwrap();
    assert_eq!((end.stage, end.rules.len()), (Stage::End, 1));
    assert_eq!(end.sighting.read.as_ref().unwrap().text.as_str(), "ABC1234");
    let ends = passed.events.iter().filter(|e| e.stage == Stage::End).count();
    assert_eq!((ends, passed.crossings.iter().filter(|c| c.0 == name("middle")).count()), (1, 1));
}

#[test]
fn a_plate_that_is_found_after_the_rule_spoke_goes_on_under_the_id_of_its_vehicle() {
    let plate = |n: u64| {
        let x = 80.0 + 2.0 * n as f32;
        if (48..60).contains(&n) { vec![shown(x, 120.0, 20.0, Some(read("ABC1234", 0.99)))] } else { vec![] }
    };
    let settings = Settings { min_plate_width: 10.0, ..by(vec![cross(5)]) };
    let passed = play_by(settings, (200, false), plate, walker(Class::Car));
    let ids: std::collections::BTreeSet<_> = passed.events.iter().map(|e| e.sighting.id).collect();
    assert_eq!(ids.len(), 1, "{:?}", told(&passed));
    let (first, last) = (&passed.events[0], passed.events.last().unwrap());
    assert!(first.object && first.sighting.read.is_none() && first.sighting.class == Class::Car);
    assert!(first.pictures.as_ref().is_some_and(|p| !p.crop.is_empty()));
    assert!(!last.object && last.stage == Stage::End && last.sighting.read.is_some() && last.rules.len() == 1);
    assert_eq!(passed.events.iter().filter(|e| e.stage == Stage::End).count(), 1);
}

#[test]
fn without_vehicles_rules_go_by_plates() {
    let reads = Arc::default();
    let script = |n: u64| {
        let x = 100.0 + 2.0 * n as f32;
        if n < 60 { vec![shown(x, 120.0, 40.0, Some(read("ABC1234", 0.99)))] } else { vec![] }
    };
    let actor = Arc::new(Actor { script: Box::new(script), read: reads });
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::with(Box::new(Arc::clone(&actor)), Box::new(actor), by(vec![cross(5)]), camera, 7);
    let pixels = Arc::new(vec![128; 320 * 180]);
    let mut events = Vec::new();
    for n in 0..60 {
        events.extend(analyser.step(&frame(n, n * 40, &pixels)).unwrap());
    }
    events.extend(analyser.finish(TimeMs(START + 60 * 40)));
    let rules: Vec<(Stage, usize)> = events.iter().map(|e| (e.stage, e.rules.len())).collect();
    assert_eq!(rules, [(Stage::New, 0), (Stage::Update, 1), (Stage::End, 1)]);
    assert!(events.iter().all(|e| !e.object && e.sighting.read.is_some()));
    assert_eq!(analyser.take_crossings().first().map(|c| c.2), Some(Class::Plate));
}

#[test]
fn every_sighting_that_a_rule_spoke_of_ends_also_when_the_stream_ends_first() {
    let rules = vec![rule(3, ObjectEvent::Stopped(None, Duration::from_secs(1)), &[])];
    let stands = |_: u64| Some(vec![(Class::Truck, 0.9, Rect::new(60.0, 60.0, 120.0, 140.0))]);
    let passed = play_by(by(rules), (100, false), |_| vec![], stands);
    assert_eq!(told(&passed), [(Stage::New, true, vec![3]), (Stage::End, true, vec![3])]);
    assert_eq!(passed.events[0].cause_at, TimeMs(START + 1_000));
}
