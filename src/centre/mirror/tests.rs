//! What mirrors say, held by golden files; what they must not say; and that they stay within their bounds.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::centre::link::{self, LinkSettings};
use crate::centre::topics::{DEFAULT_ROOT, HomeAssistantTopics};
use crate::centre::wire::{BootId, Gauges, HealthFacts, OutboxGauge, Place, StateDigests};
use crate::domain::alert::{ALERT_VERSION, CandidateMark, MatchMark, VehicleMark};
use crate::domain::{
    Broker, Class, ClockState, Epoch, EventId, How, ObjectEvent, PlateText, RuleId, SiteId, Stage, TimeMs, Way,
};
use crate::health::{CameraCounters, CameraState};

const NOON: TimeMs = TimeMs(1_767_268_800_123);

fn place(name: &str) -> PlaceId {
    PlaceId::new(name).unwrap()
}

fn names() -> Names {
    let minute = Duration::from_mins(1);
    let rule = |number: u16, id: &str, event| {
        let rule = Rule {
            id: RuleId::new(id).unwrap(),
            number,
            severity: Severity::Minor,
            event,
            classes: Vec::new(),
            lists: Vec::new(),
            regions: Vec::new(),
            schedule: None,
            cooldown: Duration::ZERO,
        };
        (number, Arc::new(rule))
    };
    Names {
        cameras: [(3, CameraId::new("gate").unwrap())].into(),
        rules: [
            rule(1, "exit", ObjectEvent::Cross(place("exit"), Some(Way::Forward))),
            rule(2, "yard", ObjectEvent::Enter(place("yard"))),
            rule(3, "left", ObjectEvent::Leave(place("yard"))),
            rule(4, "loiter", ObjectEvent::Dwell(place("yard"), minute)),
            rule(5, "stands", ObjectEvent::Stopped(None, minute)),
            rule(6, "wrong-way", ObjectEvent::WrongWay(place("exit"))),
            rule(7, "wrong-yard", ObjectEvent::WrongWay(place("yard"))),
            rule(8, "seen", ObjectEvent::Seen),
        ]
        .into(),
        lists: [(2, ListId::new("stolen").unwrap())].into(),
        lines: [(3, place("exit"))].into(),
    }
}

fn alert() -> Alert {
    let plate = |text: &str| PlateText::from_raw(text).unwrap();
    Alert {
        version: ALERT_VERSION,
        id: EventId::from_parts(NOON.0, [0xa5; 10]),
        epoch: Epoch([0xe0; 8]),
        seq: 4711,
        stage: Stage::New,
        severity: Severity::Serious,
        time: NOON,
        clock: ClockState::Synced,
        camera: 3,
        track: 1042,
        plate: Some(plate("ABC1Z34")),
        confidence: Some(873),
        candidates: Some(vec![CandidateMark { text: plate("A8C1Z34"), permille: 22 }]),
        region: Some("us-ca".to_owned()),
        matched: Some(MatchMark { list: 2, serial: 57, entry: 1204, how: How::Confusable, expiry_day: Some(20_513) }),
        rule: None,
        vehicle: Some(VehicleMark { class: Class::Car, colour: Some(4), permille: 960 }),
        direction: Some(172),
        rect: Some([31_210, 40_020, 36_500, 42_300]),
        frames: Some(14),
        crop: Some([0xc0; 16]),
        state: Some([0x51, 0x52, 0x53, 0x54]),
        stale: None,
    }
}

fn of_rule(rule: u16, class: Class) -> Alert {
    let vehicle = (class != Class::Plate).then_some(VehicleMark { class, colour: None, permille: 912 });
    Alert { matched: None, plate: None, confidence: None, candidates: None, rule: Some(rule), vehicle, ..alert() }
}

fn mirrors(dir: &Path, plates: bool) -> Mirrors {
    let box_id = BoxId::new("box-1").unwrap();
    let settings = Settings {
        json: true,
        onvif: true,
        home_assistant: Some(HomeAssistant {
            topics: HomeAssistantTopics::new("homeassistant", &box_id).unwrap(),
            plates,
        }),
        severity: Severity::Minor,
        names: names(),
    };
    let topics = Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &box_id).unwrap();
    Mirrors::new(settings, (topics, box_id), &dir.join("mirrors.json"), Health::new(), Clock::system())
}

fn entry(alert: &Alert) -> Entry {
    Entry { seq: alert.seq, kind: EntryKind::Alert(alert.severity), payload: minicbor::to_vec(alert).unwrap() }
}

/// What is said of this alert: topics and payloads.
fn said(alert: &Alert, plates: bool) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(dir.path(), plates);
    mirrors.sent(&entry(alert));
    waiting(&mirrors)
}

fn waiting(mirrors: &Mirrors) -> Vec<(String, String)> {
    let on = mirrors.0.as_ref().unwrap();
    on.tray.waiting().map(|post| (post.topic.clone(), String::from_utf8(post.payload.clone()).unwrap())).collect()
}

/// The text must be that of the golden file; `WATCHPOST_BLESS=1` writes it anew. A changed one is a change of an interface.
fn hold(name: &str, said: &[(String, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden").join(name);
    let text: String = said.iter().flat_map(|(topic, payload)| [topic, "\n", payload, "\n"]).collect();
    if std::env::var_os("WATCHPOST_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == text, "{name} is another now:\n{text}");
}

#[test]
fn alerts_are_said_as_the_golden_files_have_them() {
    hold("mirror-list.txt", &said(&alert(), true));
    hold("mirror-person.txt", &said(&of_rule(4, Class::Person), true));
    let withdrawn = Alert { matched: None, stage: Stage::Update, ..alert() };
    hold("mirror-withdrawn.txt", &said(&withdrawn, true));
    let rules = [1, 2, 3, 4, 5, 6, 7, 8].map(|rule| said(&of_rule(rule, Class::Truck), false)).concat();
    let events: Vec<(String, String)> = rules.into_iter().filter(|(topic, _)| topic.contains("onvif-ej")).collect();
    assert_eq!(events.len(), 6, "a wrong way in a zone, and what is only seen, have no event: {events:#?}");
    hold("mirror-rules.txt", &events);
}

#[test]
fn cameras_health_and_the_device_are_said_as_the_golden_files_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(dir.path(), false);
    mirrors.connected();
    let counters = CameraCounters::default();
    counters.set_state(CameraState::Online);
    let place = Place { location: Some([48.2, 16.37]), heading: Some(270.0), road: None };
    let then = CameraStatus::of(3, &counters, NOON);
    counters.analysed.add(50);
    let now = CameraStatus::of(3, &counters, TimeMs(NOON.0 + 10_000)).at(&place).since(&then);
    mirrors.camera(&CameraId::new("gate").unwrap(), &now);
    let facts = HealthFacts {
        time: (NOON, ClockState::Synced),
        challenge: [0xcc; 8],
        boot: BootId([0xb0; 8]),
        uptime_s: 60,
        numbers: (Epoch([0xe0; 8]), 4711),
        outbox: OutboxGauge { entries: 0, bytes: 0, oldest_ms: 0 },
        gauges: Gauges::default(),
        digests: StateDigests::new([0xd0; 32], []),
    };
    let health = Health::new();
    health.camera(&CameraId::new("gate").unwrap()).set_state(CameraState::Online);
    let report = HealthReport::of(&health, facts);
    mirrors.health(&report);
    let all = waiting(&mirrors);
    assert!(!all.iter().any(|(_, text)| text.contains(&"cc".repeat(8))), "the challenge is for who signs answers");
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    let all: Vec<(String, String)> =
        all.into_iter().map(|(topic, text)| (topic, text.replace(&version, "\"VERSION\""))).collect();
    hold("mirror-box.txt", &all);
}

#[test]
fn a_device_of_as_many_cameras_as_are_told_fits_into_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(dir.path(), true);
    let on = mirrors.0.as_mut().unwrap();
    let id = |n: u16| CameraId::new(&format!("camera-number-{n:02}")).unwrap();
    let wanted = on.settings.home_assistant.clone().unwrap();
    let board = Board::new(wanted, BoxId::new("box-of-long-name").unwrap(), (0..99).map(id));
    let text = board.config(&[]).to_string();
    assert_eq!(board.components().len(), 40 * 5);
    assert!(text.len() <= tray::MOST_OF_ONE, "{} bytes", text.len());
    let gone = board.config(&["attic_state".to_owned()]);
    assert_eq!(
        gone["cmps"]["attic_state"],
        serde_json::json!({ "p": "sensor" }),
        "named by its platform alone: taken out"
    );
}

#[test]
fn an_alert_is_mirrored_once_and_below_the_floor_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(dir.path(), false);
    mirrors.sent(&entry(&Alert { severity: Severity::Info, ..alert() }));
    assert!(waiting(&mirrors).is_empty());
    mirrors.sent(&entry(&alert()));
    let first = waiting(&mirrors).len();
    mirrors.sent(&entry(&alert()));
    assert_eq!((first, waiting(&mirrors).len()), (3, 3));
}

#[test]
fn what_was_told_to_home_assistant_is_taken_back_when_it_is_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    drop(mirrors(dir.path(), false));
    let note = dir.path().join("mirrors.json");
    assert!(std::fs::read_to_string(&note).unwrap().contains("homeassistant/device/box-1/watchpost/config"));
    let box_id = BoxId::new("box-1").unwrap();
    let off = || {
        let settings = Settings {
            json: false,
            onvif: false,
            home_assistant: None,
            severity: Severity::Info,
            names: Names::default(),
        };
        let topics = Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &box_id).unwrap();
        Mirrors::new(settings, (topics, box_id.clone()), &note, Health::new(), Clock::system())
    };
    let mut mirrors = off();
    mirrors.connected();
    let [(topic, payload)] = &waiting(&mirrors)[..] else { panic!("one message") };
    assert!(topic.ends_with("/config") && payload.is_empty());
    let (mut sender, _events) = sender();
    mirrors.pump(&mut sender);
    mirrors.published(1, Taken::NobodyListens).unwrap().write().unwrap();
    assert!(off().0.is_none(), "nothing is left to take back");
}

fn sender() -> (Sender, link::Events) {
    let broker = Broker::parse("mqtt://127.0.0.1:1").unwrap();
    link::open(&LinkSettings::new(broker, None, "b"), &Clock::system(), None).unwrap()
}

fn post(n: usize) -> Post {
    Post { which: Which::Json, topic: format!("t/{n}"), payload: vec![b'x'; 10], retain: false }
}

#[test]
fn a_full_tray_drops_its_oldest_and_counts_them() {
    let (mut tray, health) = (Tray::default(), Health::new());
    for n in 0..1_000 {
        tray.put(post(n), Duration::ZERO, &health.centre);
    }
    assert_eq!((tray.waiting().count(), health.centre.mirrors_dropped.get()), (256, 744));
    assert_eq!(tray.waiting().next().unwrap().topic, "t/744");
    let large = Post { payload: vec![0; 100_000], ..post(0) };
    tray.put(large, Duration::ZERO, &health.centre);
    assert_eq!(health.centre.mirrors_dropped.get(), 745);
}

#[test]
fn few_are_with_the_broker_at_a_time_and_alerts_keep_their_places() {
    let (mut tray, health, (mut sender, _events)) = (Tray::default(), Health::new(), sender());
    (0..100).for_each(|n| tray.put(post(n), Duration::ZERO, &health.centre));
    let room = sender.room();
    tray.pump(&mut sender, Duration::ZERO, &health.centre);
    tray.pump(&mut sender, Duration::ZERO, &health.centre);
    assert_eq!(room - sender.room(), 4);
    while sender.room() > 8 {
        assert!(sender.publish("alert", vec![], false, link::Token::Entry(1)));
    }
    tray.published(1, Taken::Yes, Duration::ZERO, &health.centre);
    tray.pump(&mut sender, Duration::ZERO, &health.centre);
    assert_eq!((sender.room(), health.centre.mirrored.get()), (8, 1));
}

#[test]
fn an_alert_waits_behind_few_bytes_of_theirs() {
    let (mut tray, health, (mut sender, _events)) = (Tray::default(), Health::new(), sender());
    let of = |n: usize, bytes: usize| Post { payload: vec![b'x'; bytes], ..post(n) };
    for (n, bytes) in [2_000, 2_000, 2_000, 50_000, 10].into_iter().enumerate() {
        tray.put(of(n, bytes), Duration::ZERO, &health.centre);
    }
    let mut step = |taken: Option<u64>| {
        let room = sender.room();
        if let Some(number) = taken {
            tray.published(number, Taken::Yes, Duration::ZERO, &health.centre);
        }
        tray.pump(&mut sender, Duration::ZERO, &health.centre);
        room - sender.room()
    };
    assert_eq!(step(None), 2);
    assert_eq!(step(Some(1)), 1);
    assert_eq!(step(Some(2)), 0, "the long one waits until it is alone");
    assert_eq!(step(Some(3)), 1);
    assert_eq!(step(None), 0, "and nothing goes beside it");
    assert_eq!(step(Some(4)), 1);
}

#[test]
fn a_broker_that_hangs_up_on_mirrors_keeps_its_session_without_them() {
    let (mut tray, health) = (Tray::default(), Health::new());
    for connection in 0..5 {
        let (mut sender, _events) = sender();
        tray.put(post(connection), Duration::ZERO, &health.centre);
        tray.pump(&mut sender, Duration::ZERO, &health.centre);
        assert_eq!(sender.room() < 64, connection < 3, "connection {connection}");
        tray.ended(Duration::ZERO, &health.centre);
    }
    assert_eq!(health.centre.mirrors_dropped.get(), 5);
    tray.put(post(9), Duration::from_mins(11), &health.centre);
    assert_eq!(tray.waiting().count(), 1, "and they are tried again");
}

#[test]
fn a_mirror_that_the_broker_refuses_rests_and_the_others_go_on() {
    let (mut tray, health, (mut sender, _events)) = (Tray::default(), Health::new(), sender());
    tray.put(post(0), Duration::ZERO, &health.centre);
    tray.pump(&mut sender, Duration::ZERO, &health.centre);
    tray.published(1, Taken::Refused, Duration::ZERO, &health.centre);
    tray.put(post(1), Duration::ZERO, &health.centre);
    tray.put(Post { which: Which::Onvif, ..post(2) }, Duration::ZERO, &health.centre);
    assert_eq!(tray.waiting().map(|post| post.topic.as_str()).collect::<Vec<_>>(), ["t/2"]);
    assert_eq!(health.centre.mirrors_dropped.get(), 2);
}

fn any_alert() -> impl Strategy<Value = (Alert, String)> {
    let class = prop::sample::select(vec![Class::Plate, Class::Car, Class::Truck, Class::Person]);
    let stage = prop::sample::select(vec![Stage::New, Stage::Update, Stage::End]);
    ("[A-Z0-9]{4,8}", class, stage, prop::option::of(0_u16..10), any::<bool>(), any::<[u16; 4]>()).prop_map(
        |(plate, class, stage, rule, listed, rect)| {
            let plate = format!("ZQ{plate}");
            let other = CandidateMark { text: PlateText::from_raw(&format!("QX{plate}")).unwrap(), permille: 9 };
            let alert = Alert {
                plate: PlateText::from_raw(&plate),
                candidates: Some(vec![other]),
                matched: alert().matched.filter(|_| listed),
                rule,
                stage,
                rect: Some(rect),
                vehicle: Some(VehicleMark { class, colour: None, permille: 900 }),
                ..alert()
            };
            (alert, plate)
        },
    )
}

proptest! {
    #[test]
    fn no_mirror_says_what_it_must_not((alert, plate) in any_alert(), plates in any::<bool>()) {
        let person = json::is_of_person(&alert);
        for (topic, text) in said(&alert, plates) {
            let whole: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(!text.contains(&format!("QX{plate}")), "another text that it may be: {text}");
            prop_assert!(!text.contains("c0c0") && whole.get("state").is_none_or(|s| topic.contains("homeassistant") || s.is_null()));
            let shown = !person && !alert.is_withdrawn() && (plates || !topic.contains("homeassistant"));
            prop_assert!(shown || !text.contains(&plate), "{topic}: {text}");
            if person {
                for word in ["\"track\"", "\"box\"", "\"direction\"", "ObjectId", "BoundingBox"] {
                    prop_assert!(!text.contains(word), "{word}: {text}");
                }
            }
        }
    }
}
