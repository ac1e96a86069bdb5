//! Rules on object events, on our own drawn street: through the program, over a real broker, to the centre.

use std::collections::BTreeMap;

use watchpost::domain::{Alert, Class, HitCause, RetentionClass, Severity, Stage};
use watchpost::health::Crossings;
use watchpost::store::audit::{self, Event};

use crate::kit::one_box::{OneBox, camera, fixture, hotlist};

/// A line across the street, forward is towards the camera; the place of the parked car; the model that sees vehicles.
const PLACES: &str = r#"
[[camera.line]]
name = "street"
points = [[0.0, 0.6], [1.0, 0.6]]
direction = "forward"
[[camera.zone]]
name = "parking"
points = [[0.75, 0.35], [1.0, 0.35], [1.0, 0.55], [0.75, 0.55]]
"#;

const RULES: &str = r#"
[[rule]]
id = "wrong-way"
number = 7
event = "wrong-way"
line = "street"
severity = "serious"
[[rule]]
id = "parked"
number = 8
zone = "parking"
event = "stopped"
dwell_s = 6
classes = "vehicle"
severity = "minor"
[[rule]]
id = "nobody"
number = 9
zone = "parking"
classes = "person"
[[rule]]
id = "known-in"
number = 10
line = "street"
direction = "forward"
lists = ["stolen", "watched"]
"#;

fn street(file: &str, (more, vision): (&str, &str), rules: &str) -> [String; 3] {
    let places = camera("street", 3, fixture(file).to_str().unwrap(), &format!("{more}{PLACES}"));
    [places, format!("[vision]\nvehicles = \"objects-1\"\n{vision}\n"), rules.to_owned()]
}

fn plates<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Vec<&'a str> {
    let mut plates: Vec<&str> = alerts.map(|a| a.plate.as_ref().map_or("–", |p| p.as_str())).collect();
    plates.sort_unstable();
    plates
}

/// What the audit log says was counted at a place.
fn counted(made: &OneBox, place: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for record in audit::read(&made.config().site.data_dir.join("store")).unwrap() {
        if record.event != Event::Counted.as_str() || record.detail("place") != Some(place) {
            continue;
        }
        for way in ["forward", "backward", "in", "out"] {
            for class in Crossings::classes() {
                let n = record.detail(&format!("{way} {class}")).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                *counts.entry(way.to_owned()).or_default() += n;
            }
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_on_a_street_are_told_with_their_plates_under_one_id() {
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let [street, vision, rules] = street("street-a.mp4", ("", ""), RULES);
    made.configure(&[street, vision, rules, hotlist("watched", 1, &fixture("hotlist.csv"), "info")]);
    let said = made.run("run", &["--until-eos"]).await;
    said.expect(0, &["0 waiting"]);
    let heard = centre.look(|log| log.heard.clone());
    let of = |rule, stage| heard.iter().filter(move |a| a.rule == Some(rule) && a.stage == stage);

    // Two drive away, against the line's way; the car at the edge stands; four come nearer and are on the list.
    assert_eq!(plates(of(7, Stage::End)), ["GZ907TE", "PD531LW"], "{said:#?}");
    assert_eq!(plates(of(8, Stage::End)), ["WX164NR"]);
    assert_eq!(plates(of(9, Stage::New)), [] as [&str; 0]);
    assert_eq!(plates(of(10, Stage::End)), ["FK418XR", "HN7302C", "LT26BMH", "SVB4H37"]);
    for (rule, most) in [(7, 2), (8, 1), (10, 4)] {
        assert_eq!(of(rule, Stage::New).count(), most, "rule {rule}: told once each");
    }
    for alert in heard.iter().filter(|a| a.rule.is_some()) {
        assert!(alert.matched.is_none() && alert.vehicle.as_ref().is_some_and(|v| v.class.is_vehicle()), "{alert:?}");
        // One sighting, both causes.
        let list = heard.iter().filter(|a| a.id == alert.id && a.matched.is_some());
        assert_eq!(list.filter(|a| a.stage == Stage::New).count(), 1, "{alert:?}");
    }
    for alert in of(7, Stage::New) {
        assert!(
            alert.severity == Severity::Serious && alert.direction.is_none_or(|d| !(45..315).contains(&d)),
            "{alert:?}"
        );
    }
    let ways = counted(&made, "street");
    assert_eq!((ways["forward"], ways["backward"]), (4, 2));
    let named = centre.look(|log| {
        log.camera_statuses
            .iter()
            .any(|s| s.rules.iter().flatten().any(|rule| rule.number == 7 && rule.id.as_str() == "wrong-way"))
    });
    assert!(named, "the camera's status names its rules");
    assert!(centre.stop().await.open_gaps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vehicles_without_a_plate_have_sightings_where_a_rule_asks_for_them_and_nowhere_else() {
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let rule =
        "[[rule]]\nid = \"away\"\nnumber = 11\nline = \"street\"\ndirection = \"backward\"\nclasses = \"vehicle\"\n";
    // No plate is sure enough to be found.
    let sections = street("street-b.mp4", ("fps = 10", "detect_threshold = 0.99"), rule);
    made.configure(&sections);
    let said = made.run("run", &["--until-eos"]).await;
    said.expect(0, &["0 waiting"]);
    let heard = centre.look(|log| log.heard.clone());
    let stages = |stage| heard.iter().filter(move |a| a.stage == stage).collect::<Vec<_>>();
    assert_eq!((stages(Stage::New).len(), stages(Stage::End).len()), (2, 2), "{heard:?} {said:#?}");
    let store = made.store();
    assert_eq!(store.counts().sightings, 2, "the four that come nearer leave no trace");
    for alert in stages(Stage::End) {
        assert_eq!((alert.rule, &alert.plate), (Some(11), &None));
        let vehicle = alert.vehicle.as_ref().unwrap();
        assert!(vehicle.class.is_vehicle() && vehicle.class != Class::Person, "{alert:?}");
        assert!(alert.direction.is_some_and(|d| !(60..300).contains(&d)), "away is up: {alert:?}");
        let sighting = store.sighting(alert.id).unwrap().unwrap();
        assert!(sighting.read.is_none() && sighting.class == vehicle.class);
        let [hit] = &store.hits_of(alert.id).unwrap()[..] else { panic!("one hit") };
        assert_eq!(hit.rule.as_ref().map(watchpost::domain::RuleId::as_str), Some("away"));
        let pictures = store.pictures(alert.id).unwrap().unwrap();
        let crop = image::load_from_memory(&pictures.crop).expect("the vehicle");
        assert!(crop.width() > 40 && crop.height() > 40, "{}×{}", crop.width(), crop.height());
        image::load_from_memory(&pictures.scene).expect("the scene");
    }
    let of_rule =
        HitCause::Rule { rule: watchpost::domain::RuleId::new("away").unwrap(), number: 11, severity: Severity::Info };
    assert_eq!(RetentionClass::from(of_rule.severity()), RetentionClass::Info);
    let ways = counted(&made, "street");
    assert_eq!((ways["forward"], ways["backward"]), (4, 2));
    centre.stop().await;
}

/// A street with somebody who stands at its side, where `WATCHPOST_DATA` names a folder that has it.
fn walkers() -> Option<String> {
    let clip = std::path::Path::new(&std::env::var_os("WATCHPOST_DATA")?).join("videos/road70-alizahidraja.mp4");
    clip.exists().then(|| camera("road", 4, clip.to_str().unwrap(), "fps = 5"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_the_centre_sets_take_effect_and_their_hits_are_found_by_rule() {
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let walkers = walkers();
    let mut sections = street("street-b.mp4", ("fps = 5", "detect_threshold = 0.99"), "").to_vec();
    let mut set = vec!["config", "set", "--stand", "1", "--within", "60"];
    set.extend(["rule.away.number=11", "rule.away.line=street", "rule.away.direction=backward"]);
    set.push("rule.away.classes=vehicle");
    if walkers.is_some() {
        set.extend(["rule.walker.number=12", "rule.walker.event=seen", "rule.walker.classes=person"]);
        set.push("rule.walker.severity=minor");
    } else {
        eprintln!("no persons: WATCHPOST_DATA names no folder with the clip");
    }
    sections.extend(walkers.clone());
    made.configure(&sections);
    let _daemon = made.daemon();
    centre.until("the box", |log| log.statuses.contains(&"online")).await;
    assert!(centre.look(|log| log.heard.is_empty()), "no rule, no alert");

    // It starts anew with the rules, and files from their beginnings.
    made.ctl(&set).expect(0, &["configuration 1 confirmed"]);
    let ended = |log: &crate::kit::centre::Log, rule| {
        log.heard.iter().filter(|a| a.stage == Stage::End && a.rule == Some(rule)).count()
    };
    let wanted = |log: &_| ended(log, 11) == 2 && (walkers.is_none() || ended(log, 12) > 0);
    centre.until("the hits of the rules", wanted).await;

    let rows = |rule: &str| -> Vec<serde_json::Value> {
        let by = ["query", "hits", "--rule", rule, "--purpose", "crime-investigation", "--case", "K-17", "--json"];
        let said = made.ctl(&by);
        said.expect(0, &[]);
        let lines = said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|row| row["kind"] != "summary").collect()
    };
    let away = rows("away");
    assert_eq!(away.len(), 2, "{away:#?}");
    assert!(away.iter().all(|row| row["rule"] == "away" && row["camera"] == "street"), "{away:#?}");
    assert_eq!(rows("nobody-has-it").len(), 0);
    if walkers.is_some() {
        let heard = centre.look(|log| log.heard.clone());
        for alert in heard.iter().filter(|a| a.rule == Some(12)) {
            let class = alert.vehicle.as_ref().map(|v| v.class);
            assert_eq!(
                (class, &alert.plate, alert.severity),
                (Some(Class::Person), &None, Severity::Minor),
                "{alert:?}"
            );
        }
        let walker = rows("walker");
        assert!(!walker.is_empty() && walker.iter().all(|row| row["class"] == "person"), "{walker:#?}");
    }
    centre.stop().await;
}
