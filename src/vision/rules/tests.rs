//! Objects that drive, stand and walk through plans.

use proptest::prelude::*;

use super::*;
use crate::domain::{Line, Polygon, RuleId, Schedule, Severity, TimeZone, Zone};

const SIZE: (f32, f32) = (1280.0, 720.0);

fn name(text: &str) -> PlaceId {
    PlaceId::new(text).unwrap()
}

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

/// A yard on the right half, a line across the middle, and these rules.
fn plan(rules: Vec<Arc<Rule>>) -> Plan {
    let yard = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
    let inertia = (2, Duration::from_millis(200));
    Plan {
        zones: vec![Zone { name: name("yard"), polygon: yard, heading: Some(90), inertia }],
        lines: vec![Line { name: name("gate"), from: [0.0, 0.5], to: [1.0, 0.5], allowed: Some(Way::Forward) }],
        rules,
    }
}

fn look(ms: u64) -> Look {
    Look { at: TimeMs(ms), clock_is_set: true, size: SIZE }
}

/// A box of 100 × 80 pixels whose foot is there.
fn seen(track: u32, class: Class, x: f32, y: f32) -> Seen {
    let rect = Rect::new(x - 50.0, y - 80.0, x + 50.0, y);
    Seen { key: Key::Object(track), class, rect, confirmed: true }
}

/// Rules that spoke while an object went through these places, 200 ms apart.
fn fired(watch: &mut Watch, class: Class, path: &[(f32, f32)]) -> Vec<u16> {
    let told = path.iter().zip(0..).flat_map(|((x, y), n)| watch.step(look(n * 200), &[seen(1, class, *x, *y)]));
    let number = |h: Happened| if let Happened::Rule(_, m) = h { Some(m.rule.number) } else { None };
    told.collect::<Vec<_>>().into_iter().filter_map(number).collect()
}

fn straight(from: (f32, f32), to: (f32, f32), steps: u16) -> Vec<(f32, f32)> {
    let at = |n: u16| f32::from(n) / f32::from(steps);
    (0..=steps).map(|n| (from.0 + at(n) * (to.0 - from.0), from.1 + at(n) * (to.1 - from.1))).collect()
}

#[test]
fn crossing_and_the_wrong_way_over_a_line_are_told_once_and_by_class() {
    let rules = vec![
        rule(1, ObjectEvent::Cross(name("gate"), Some(Way::Forward)), &[]),
        rule(2, ObjectEvent::Cross(name("gate"), None), &[Class::Truck]),
        rule(3, ObjectEvent::WrongWay(name("gate")), &[]),
    ];
    let (down, up) = (straight((300.0, 200.0), (300.0, 600.0), 10), straight((300.0, 600.0), (300.0, 200.0), 10));
    assert_eq!(fired(&mut Watch::new(plan(rules.clone())), Class::Car, &down), [1]);
    assert_eq!(fired(&mut Watch::new(plan(rules.clone())), Class::Truck, &down), [1, 2]);
    assert_eq!(fired(&mut Watch::new(plan(rules.clone())), Class::Car, &up), [3]);
    let there_and_back: Vec<_> = [down.clone(), up, down].concat();
    assert_eq!(fired(&mut Watch::new(plan(rules)), Class::Car, &there_and_back), [1, 3], "once an object");
}

#[test]
fn crossings_and_entries_are_counted_by_class_and_way() {
    let mut watch = Watch::new(plan(Vec::new()));
    let path = [straight((300.0, 200.0), (900.0, 600.0), 10), straight((900.0, 600.0), (300.0, 200.0), 10)].concat();
    let told = path.iter().zip(0..).flat_map(|((x, y), n)| watch.step(look(n * 200), &[seen(1, Class::Bus, *x, *y)]));
    let counts: Vec<_> = told.collect::<Vec<_>>();
    let passed = |place: &str, way| Happened::Passed(name(place), way, Class::Bus);
    assert_eq!(
        counts,
        [
            passed("gate", Way::Forward),
            passed("yard", Way::Forward),
            passed("yard", Way::Backward),
            passed("gate", Way::Backward)
        ]
    );
}

#[test]
fn dwelling_goes_on_while_nothing_moves_and_through_a_lost_track() {
    let rules = vec![
        rule(4, ObjectEvent::Dwell(name("yard"), Duration::from_mins(1)), &[Class::Person]),
        rule(5, ObjectEvent::Stopped(None, Duration::from_secs(90)), &[]),
    ];
    let mut watch = Watch::new(plan(rules));
    assert_eq!(fired(&mut watch, Class::Person, &[(900.0, 400.0); 5]), [0_u16; 0]);
    assert!(watch.waits(Key::Object(1)) && !watch.waits(Key::Object(2)));
    // The gate rests for half a minute; then the track is another one.
    (5..150).for_each(|n| assert!(watch.hold(look(n * 200)).is_empty()));
    let told: Vec<_> =
        (150..=470).flat_map(|n| watch.step(look(n * 200), &[seen(2, Class::Person, 903.0, 401.0)])).collect();
    let times: Vec<_> = told
        .iter()
        .map(|h| if let Happened::Rule(1, m) = h { (m.rule.number, m.at.0) } else { panic!("{h:?}") })
        .collect();
    assert_eq!(times, [(4, 60_000), (5, 90_000)]);
    assert!(!watch.waits(Key::Object(2)));
}

#[test]
fn who_walks_on_does_not_stand_still_and_who_is_lost_for_long_is_gone() {
    let mut watch =
        Watch::new(plan(vec![rule(5, ObjectEvent::Stopped(Some(name("yard")), Duration::from_secs(2)), &[])]));
    assert_eq!(fired(&mut watch, Class::Person, &straight((700.0, 400.0), (1200.0, 400.0), 20)), [0_u16; 0]);
    assert_eq!(watch.step(look(9_000), &[]), [Happened::Gone(1)]);
    assert_eq!(watch.number_of(Key::Object(1)), None);
}

#[test]
fn against_the_heading_of_a_zone_is_the_wrong_way() {
    let rules = vec![rule(6, ObjectEvent::WrongWay(name("yard")), &[])];
    let (right, left) = (straight((700.0, 300.0), (1200.0, 300.0), 15), straight((1200.0, 300.0), (700.0, 300.0), 15));
    assert_eq!(fired(&mut Watch::new(plan(rules.clone())), Class::Car, &right), [0_u16; 0]);
    assert_eq!(fired(&mut Watch::new(plan(rules)), Class::Car, &left), [6]);
}

#[test]
fn a_schedule_keeps_a_rule_silent_until_it_holds_unless_the_clock_was_never_set() {
    // 1970-01-01 is a Thursday.
    let schedule = Schedule::new(["thu 00:01-00:02"], TimeZone::named("UTC").unwrap()).unwrap();
    let quiet = |event| Arc::new(Rule { schedule: Some(schedule.clone()), ..Rule::clone(&rule(7, event, &[])) });
    let mut watch = Watch::new(plan(vec![quiet(ObjectEvent::Stopped(None, Duration::from_secs(10)))]));
    let times: Vec<u64> = (0..400)
        .flat_map(|n| watch.step(look(n * 200), &[seen(1, Class::Car, 900.0, 400.0)]))
        .filter_map(|h| if let Happened::Rule(_, m) = h { Some(m.at.0) } else { None })
        .collect();
    assert_eq!(times, [60_000], "it has long stood there when the hour comes");
    let mut watch = Watch::new(plan(vec![quiet(ObjectEvent::Seen)]));
    let unset = Look { clock_is_set: false, ..look(0) };
    assert_eq!(watch.step(unset, &[seen(1, Class::Car, 900.0, 400.0)]).len(), 1);
}

#[test]
fn a_plate_that_turns_out_to_be_on_a_vehicle_is_counted_once() {
    let mut watch = Watch::new(plan(vec![rule(8, ObjectEvent::Cross(name("gate"), None), &[])]));
    let plate = |y: f32| {
        let rect = Rect::new(300.0, y - 20.0, 380.0, y);
        Seen { key: Key::Plate(4), class: Class::Plate, rect, confirmed: true }
    };
    let told: Vec<_> = [300.0, 340.0, 380.0, 420.0]
        .iter()
        .zip(0..)
        .flat_map(|(y, n)| watch.step(look(n * 40), &[plate(*y)]))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    // The vehicle's detection comes late, above the line still.
    assert!(watch.step(look(200), &[seen(1, Class::Car, 340.0, 345.0)]).is_empty());
    watch.join(Key::Plate(4), Key::Object(1));
    assert_eq!(watch.step(look(400), &[seen(1, Class::Car, 340.0, 440.0)]), []);
}

#[test]
fn a_track_that_jumps_to_another_vehicle_takes_nothing_of_the_first_along() {
    let mut watch = Watch::new(plan(vec![rule(1, ObjectEvent::Cross(name("gate"), None), &[])]));
    let down = straight((300.0, 200.0), (250.0, 700.0), 8);
    assert_eq!(fired(&mut watch, Class::Car, &down), [1]);
    // Gone at the lower edge; a second later another comes in beside it and drives up.
    let up = straight((900.0, 700.0), (850.0, 200.0), 8);
    let told = up.iter().zip(14..).flat_map(|((x, y), n)| watch.step(look(n * 200), &[seen(1, Class::Car, *x, *y)]));
    let rules: Vec<u32> = told
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|h| if let Happened::Rule(n, _) = h { Some(n) } else { None })
        .collect();
    assert_eq!(rules, [2], "of the second object, and told of it too");
}

#[test]
fn who_left_before_the_scene_came_to_rest_is_not_held_in_it() {
    let rules = vec![rule(4, ObjectEvent::Dwell(name("yard"), Duration::from_secs(20)), &[])];
    let mut watch = Watch::new(plan(rules));
    assert_eq!(fired(&mut watch, Class::Person, &[(900.0, 400.0); 5]), [0_u16; 0]);
    // Looks go on without it, then nothing moves.
    (5..10).for_each(|n| assert!(watch.step(look(n * 200), &[]).is_empty()));
    let told: Vec<_> = (10..400).flat_map(|n| watch.hold(look(n * 200))).collect();
    assert_eq!(told, [Happened::Gone(1)]);
}

#[test]
fn an_unsure_track_tells_nothing() {
    let mut watch = Watch::new(plan(vec![rule(9, ObjectEvent::Seen, &[])]));
    let unsure = Seen { confirmed: false, ..seen(1, Class::Car, 900.0, 400.0) };
    assert!(watch.step(look(0), &[unsure]).is_empty());
}

proptest! {
    #[test]
    fn whatever_is_seen_each_rule_speaks_once_of_an_object_and_counts_take_turns(
        path in proptest::collection::vec((-100.0_f32..1400.0, -100.0_f32..800.0, 1_u32..3, any::<bool>()), 1..80),
    ) {
        let rules = vec![
            rule(1, ObjectEvent::Cross(name("gate"), None), &[]),
            rule(2, ObjectEvent::Enter(name("yard")), &[]),
            rule(3, ObjectEvent::Leave(name("yard")), &[]),
            rule(4, ObjectEvent::Dwell(name("yard"), Duration::from_millis(900)), &[]),
            rule(5, ObjectEvent::WrongWay(name("yard")), &[]),
            rule(6, ObjectEvent::Seen, &[]),
        ];
        let mut watch = Watch::new(plan(rules));
        let mut spoken = std::collections::BTreeSet::new();
        for ((x, y, track, holds), n) in path.iter().zip(0..) {
            let told = if *holds { watch.hold(look(n * 100)) } else { watch.step(look(n * 100), &[seen(*track, Class::Car, *x, *y)]) };
            for happened in told {
                if let Happened::Rule(number, m) = happened {
                    prop_assert!(spoken.insert((number, m.rule.number)));
                }
            }
        }
        prop_assert!(watch.objects.len() <= MOST);
    }
}
