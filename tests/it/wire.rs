//! The bytes and the JSON of every message, pinned by golden files; and what is refused.
//!
//! A changed golden file is a change of the format: it needs a new version or a line in the changelog. After such a
//! decision `WATCHPOST_BLESS=1 cargo test --test it wire` writes them anew.

mod commands;
mod samples;

use std::path::PathBuf;

use proptest::prelude::*;
use watchpost::centre::keyring::{Entry, Keyring, Role};
use watchpost::centre::keys::{SigningKey, hex};
use watchpost::centre::topics::DEFAULT_ROOT;
use watchpost::centre::wire::{self, Error, MainGauge, Message, Part, StateDigests, Wire};
use watchpost::centre::{boxes, cose};
use watchpost::domain::alert::{CandidateMark, VehicleMark};
use watchpost::domain::{
    Ack, Alert, BoxId, CameraId, Class, EventId, How, MatchMark, PlateText, Severity, Shed, SiteId, Stage, TimeMs,
};

use self::samples::{
    EPOCH, NOON, ack, alert, alert_of_rule, camera, key, keys, list, plate, report, shed, status, topics,
};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden").join(name)
}

/// The text must be that of the golden file `name`.
fn hold(name: &str, text: &str) {
    if std::env::var_os("WATCHPOST_BLESS").is_some() {
        std::fs::write(file(name), text).unwrap();
    }
    let golden = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert!(golden == text, "{name} is another now, which changes the format:\n{text}");
}

fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|chunk| hex(chunk) + "\n").collect()
}

/// Bytes and JSON are those of the golden files, and the message comes back from its bytes.
fn golden<M: Wire + PartialEq + std::fmt::Debug>(name: &str, topic: &str, message: &M) -> Vec<u8> {
    let bytes = wire::sign(message, topic, &key()).unwrap();
    hold(&format!("{name}.hex"), &hex_lines(&bytes));
    let json = serde_json::to_string_pretty(&message.to_json()).unwrap() + "\n";
    hold(&format!("{name}.json"), &json);
    let (back, kid) = wire::verify::<M>(&bytes, topic, &keys()).unwrap();
    assert_eq!((&back, kid), (message, key().kid()));
    let (address, opened, _) = wire::open(&bytes, DEFAULT_ROOT, topic, |_| Some(keys())).unwrap();
    assert_eq!((address.site.as_str(), address.box_id.as_str()), ("north", "box-1"));
    assert_eq!(opened.to_json(), message.to_json());
    assert_eq!(wire::guess(&wire::encode(message)).unwrap(), opened, "found by its content as well");
    bytes
}

#[test]
fn alert_is_pinned_and_has_at_most_256_bytes_with_a_match_and_three_candidates() {
    let bytes = golden("alert", &topics().alert(Severity::Serious), &alert());
    assert!(bytes.len() <= 256, "{} bytes", bytes.len());
    assert!(alert().to_json().to_string().contains("possible match"));
}

#[test]
fn an_alert_of_a_rule_is_pinned_and_names_it_by_its_number() {
    let bytes = golden("alert-rule", &topics().alert(Severity::Critical), &alert_of_rule());
    assert!(bytes.len() <= 200, "{} bytes", bytes.len());
    let json = alert_of_rule().to_json();
    assert!(json["rule"] == 7 && json["vehicle"]["class"] == "person" && json.get("withdrawn").is_none());
}

#[test]
fn an_alert_of_a_stale_list_says_so_and_still_fits() {
    let stale = Alert { stale: Some(true), ..alert() };
    let bytes = wire::sign(&stale, &topics().alert(Severity::Serious), &key()).unwrap();
    assert!(bytes.len() <= 256, "{} bytes", bytes.len());
    assert_eq!(stale.to_json()["match"]["stale"], true);
    assert!(alert().to_json()["match"].get("stale").is_none());
    let said = Alert { stale: Some(false), ..alert() };
    assert!(wire::sign(&said, &topics().alert(Severity::Serious), &key()).is_err(), "one meaning has one encoding");
}

#[test]
fn an_update_without_match_and_rule_says_withdrawn() {
    let update = Alert { stage: Stage::Update, ..alert() };
    assert!(update.to_json().get("withdrawn").is_none());
    let withdrawn = Alert { matched: None, ..update };
    assert_eq!(withdrawn.to_json()["withdrawn"], true);
    assert!(!withdrawn.to_json().to_string().contains("possible match"));
    assert!(!Alert { rule: Some(4), ..withdrawn }.is_withdrawn());
}

#[test]
fn shed_is_pinned() {
    golden("shed", &topics().shed(), &shed());
}

#[test]
fn ack_is_pinned() {
    golden("ack", &topics().ack(), &ack());
}

#[test]
fn status_is_pinned() {
    golden("status", &topics().status(), &status());
}

#[test]
fn camera_status_is_pinned() {
    golden("camera", &topics().camera_status(&CameraId::new("gate").unwrap()), &camera());
}

#[test]
fn health_is_pinned_and_resolves_the_state_of_alerts() {
    golden("health", &topics().health(), &report());
    let other = StateDigests::new([0x0d; 32], []);
    assert_ne!(report().digests.state(), other.state());
    assert_eq!(report().to_json()["state"].as_str().unwrap().len(), 8);
}

#[test]
fn keyring_is_pinned() {
    let role = |seed, role: Role| Entry {
        key: SigningKey::from_seed(&[seed; 32]).unwrap().public().clone(),
        name: role.as_str().to_owned(),
        role,
        org: "north".to_owned(),
        not_before: NOON,
        not_after: (seed == 2).then_some(TimeMs(NOON.0 + 1)),
        revoked: (seed == 3).then_some(NOON),
        supervisor: seed == 2,
    };
    let entries = vec![role(1, Role::Delivery), role(2, Role::Custodian), role(3, Role::Auditor)];
    let keyring = Keyring { serial: 7, issued: NOON, entries };
    let bytes = keyring.sign(&key()).unwrap();
    hold("keyring.hex", &hex_lines(&bytes));
    hold("keyring.json", &(serde_json::to_string_pretty(&keyring.to_json()).unwrap() + "\n"));
    assert_eq!(Keyring::verify(&bytes, &file("keyring.hex"), key().public()).unwrap(), keyring);
}

/// The longest that every field can be.
fn longest() -> Alert {
    let long = || plate("WWWWWWWWWWWWWWWW");
    Alert {
        seq: u64::MAX,
        stage: Stage::End,
        severity: Severity::Critical,
        time: TimeMs(u64::MAX),
        camera: u16::MAX,
        track: u32::MAX,
        plate: Some(long()),
        confidence: Some(1000),
        candidates: Some(vec![CandidateMark { text: long(), permille: 1000 }; 3]),
        region: Some("x".repeat(Alert::MAX_REGION)),
        matched: Some(MatchMark {
            list: u16::MAX,
            serial: u32::MAX,
            entry: u32::MAX,
            how: How::Near,
            expiry_day: Some(u32::MAX),
        }),
        rule: Some(u16::MAX),
        vehicle: Some(VehicleMark { class: Class::Person, colour: Some(u8::MAX), permille: 1000 }),
        direction: Some(359),
        rect: Some([u16::MAX; 4]),
        frames: Some(u16::MAX),
        stale: Some(true),
        ..alert()
    }
}

#[test]
fn the_longest_alert_has_at_most_384_bytes() {
    let bytes = wire::sign(&longest(), &topics().alert(Severity::Critical), &key()).unwrap();
    assert_eq!(bytes.len(), 329);
}

#[test]
fn the_longest_of_the_others_fit_their_bounds() {
    let ranges = (0..16).map(|i| (u64::MAX - 100 + 4 * i, u64::MAX - 99 + 4 * i)).collect();
    let long_ack = Ack { epoch: EPOCH, upto: u64::MAX - 200, also: ranges };
    wire::sign(&long_ack, &topics().ack(), &key()).unwrap();
    let long_shed = Shed { seq: u64::MAX, first: u64::MAX - 2, last: u64::MAX - 1, time: TimeMs(u64::MAX), ..shed() };
    wire::sign(&long_shed, &topics().shed(), &key()).unwrap();
    let mut long_camera = camera();
    long_camera.reason = Some("r".repeat(160));
    long_camera.received = u64::MAX;
    long_camera.rates = Some([u32::MAX; 3]);
    (long_camera.rested, long_camera.rested_rate) = (Some(u64::MAX), Some(u32::MAX));
    (long_camera.skipped, long_camera.decoding) = (Some(u64::MAX), Some(3));
    long_camera.ring = Some(24 << 20);
    wire::sign(&long_camera, &topics().camera_status(&CameraId::new("gate").unwrap()), &key()).unwrap();
    let mut long_report = report();
    let mut gauge = long_report.cameras.remove(0);
    gauge.id = CameraId::new("camera-of-16-let").unwrap();
    for count in [
        &mut gauge.received,
        &mut gauge.analysed,
        &mut gauge.dropped,
        &mut gauge.opened,
        &mut gauge.failed,
        &mut gauge.reads,
        &mut gauge.unread,
        &mut gauge.hits,
        &mut gauge.thinned,
        &mut gauge.rested,
        &mut gauge.unanalysed,
        &mut gauge.lost,
        &mut gauge.damaged,
    ] {
        *count = u64::from(u32::MAX);
    }
    gauge.frame_age_ms = Some(u64::MAX);
    let most = u64::from(u32::MAX);
    gauge.passed = Some([most; 5]);
    // A folder has no main stream: of these two there is one.
    gauge.unreadable = None;
    gauge.main = Some(MainGauge { received: most, dropped: most, opened: most, failed: most, damaged: most });
    long_report.cameras = vec![gauge; 64];
    let mut long_list = long_report.lists.remove(0);
    (long_list.id, long_list.fault) = (list("list-of-16-bytes"), Some("f".repeat(96)));
    (long_list.entries, long_list.issued, long_list.refused) = (u64::MAX, TimeMs(u64::MAX), u64::MAX);
    long_report.lists = vec![long_list; 32];
    long_report.parts = vec![Part::new(&"n".repeat(40), &"v".repeat(40)); 8];
    long_report.fault = Some("f".repeat(160));
    long_report.digests = StateDigests::new([1; 32], (0..16).map(|i| (format!("{i:032}"), [1; 32])));
    wire::sign(&long_report.fitted(), &topics().health(), &key()).unwrap();
}

/// The signed bytes of a payload, however wrong it is.
fn signed(payload: &[u8], topic: &str) -> Vec<u8> {
    cose::sign(payload, topic, &key()).unwrap()
}

#[test]
fn another_version_is_told_apart_from_garbage() {
    let topic = topics().ack();
    let mut payload = wire::encode(&ack());
    payload[2] = 2;
    let error = wire::verify::<Ack>(&signed(&payload, &topic), &topic, &keys()).unwrap_err();
    assert_eq!(error, Error::Version { message: "ack", got: 2, want: 1 });
    assert!(error.to_string().contains("update"));
    for garbage in [&[][..], &[0x80], &[0xa1, 0x01, 0x01], &[0xa4, 0x00, 0x01, 0x01], &[0xff]] {
        let error = wire::verify::<Ack>(&signed(garbage, &topic), &topic, &keys()).unwrap_err();
        assert!(matches!(error, Error::Malformed { message: "ack", .. }), "{garbage:02x?}: {error}");
    }
}

#[test]
fn unknown_keys_long_integers_and_trailing_bytes_are_refused() {
    let payload = wire::encode(&ack());
    // upto 4711 = 19 1267 in four bytes; a key 9; a byte behind.
    let at = payload.windows(3).position(|w| w == [0x19, 0x12, 0x67]).unwrap();
    let mut long = payload.clone();
    long.splice(at..at + 3, [0x1a, 0x00, 0x00, 0x12, 0x67]);
    let mut unknown = payload.clone();
    unknown[0] = 0xa5;
    unknown.extend([0x09, 0x00]);
    let mut behind = payload.clone();
    behind.push(0x00);
    for bad in [long, unknown, behind] {
        assert_eq!(wire::decode::<Ack>(&bad).unwrap_err(), Error::NotDeterministic { message: "ack", version: 1 });
    }
    assert_eq!(wire::decode::<Ack>(&payload).unwrap(), ack());
}

#[test]
fn fields_out_of_range_are_neither_sent_nor_taken() {
    let field = |message: &Alert| match wire::sign(message, "t", &key()) {
        Err(Error::Field { field, .. }) => {
            let again = wire::decode::<Alert>(&wire::encode(message)).unwrap_err();
            assert!(matches!(again, Error::Field { .. } | Error::Version { .. }), "{again}");
            field
        }
        other => panic!("{other:?}"),
    };
    let mark = CandidateMark { text: plate("A"), permille: 1 };
    assert_eq!(field(&Alert { version: 2, ..alert() }), "version");
    assert_eq!(field(&Alert { seq: 0, ..alert() }), "seq");
    assert_eq!(field(&Alert { confidence: Some(1001), ..alert() }), "confidence");
    assert_eq!(field(&Alert { candidates: Some(vec![mark; 4]), ..alert() }), "candidates");
    assert_eq!(field(&Alert { candidates: Some(vec![]), ..alert() }), "candidates");
    assert_eq!(field(&Alert { region: Some("nine-long".into()), ..alert() }), "region");
    assert_eq!(field(&Alert { direction: Some(360), ..alert() }), "direction");
    let acks = |also| wire::sign(&Ack { also, ..ack() }, "t", &key()).unwrap_err().to_string();
    for (also, says) in [
        (vec![(4712, 4713)], "touches"),
        (vec![(4720, 4719)], "empty"),
        (vec![(4800, 4801), (4790, 4791)], "out of order"),
        ((0..17).map(|i| (5000 + 2 * i, 5000 + 2 * i)).collect(), "17 ranges"),
    ] {
        let error = acks(also);
        assert!(error.contains(says), "{says}: {error}");
    }
    assert!(wire::sign(&Shed { first: 9, last: 8, ..shed() }, "t", &key()).is_err());
    assert!(wire::sign(&Shed { seq: 8191, ..shed() }, "t", &key()).is_err());
}

/// A plate that no reader would make: text in lower case comes through the decoder, not through the check.
#[test]
fn a_plate_of_other_characters_is_refused_and_not_told() {
    let mut payload = wire::encode(&alert());
    let at = payload.windows(7).position(|w| w == b"ABC1Z34").unwrap();
    payload[at] = b'a';
    let error = wire::decode::<Alert>(&payload).unwrap_err();
    assert!(matches!(&error, Error::Field { field: "plate", .. }));
    assert!(!error.to_string().contains("BC1Z34"), "{error}");
}

#[test]
fn an_alert_under_the_topic_of_another_severity_is_misplaced() {
    let topic = topics().alert(Severity::Info);
    let bytes = wire::sign(&alert(), &topic, &key()).unwrap();
    let error = wire::open(&bytes, DEFAULT_ROOT, &topic, |_| Some(keys())).unwrap_err();
    assert_eq!(error, Error::Misplaced { message: "alert", topic });
}

#[test]
fn every_wrong_way_to_arrive_has_its_own_error() {
    let topic = topics().alert(Severity::Serious);
    let bytes = wire::sign(&alert(), &topic, &key()).unwrap();
    let open = |bytes: &[u8], topic: &str| wire::open(bytes, DEFAULT_ROOT, topic, |_| Some(keys())).unwrap_err();
    let envelope = |error: Error| match error {
        Error::Envelope { message: "alert", source } => source,
        other => panic!("{other}"),
    };
    // Moved to another box, severity, kind; altered; by another key; of an unknown box; under no topic; too large.
    let moved = topic.replace("box-1", "box-2");
    assert!(matches!(envelope(open(&bytes, &moved)), cose::Error::Signature { .. }));
    assert!(matches!(envelope(open(&bytes, &topics().alert(Severity::Info))), cose::Error::Signature { .. }));
    assert!(matches!(open(&bytes, &topics().status()), Error::Envelope { message: "status", .. }));
    let mut altered = bytes.clone();
    altered[100] ^= 1;
    assert!(matches!(envelope(open(&altered, &topic)), cose::Error::Signature { .. }));
    let other = wire::sign(&alert(), &topic, &SigningKey::from_seed(&[1; 32]).unwrap()).unwrap();
    assert!(matches!(envelope(open(&other, &topic)), cose::Error::UnknownKey { .. }));
    let unknown = wire::open(&bytes, DEFAULT_ROOT, &topic, |_| None).unwrap_err();
    assert!(matches!(unknown, Error::UnknownBox { .. }));
    assert!(matches!(open(&bytes, "elsewhere"), Error::Topic(_)));
    assert!(matches!(envelope(open(&[0x84; 385], &topic)), cose::Error::TooLarge { bytes: 385, max: 384 }));
    assert!(matches!(open(&bytes, &topics().of(&watchpost::centre::topics::Kind::Audit)), Error::Unread { .. }));
}

#[test]
fn a_registry_of_boxes_comes_back_and_names_its_faults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("boxes.toml");
    let mut known = boxes::Boxes::default();
    let site = SiteId::new("north").unwrap();
    known.add(BoxId::new("box-1").unwrap(), boxes::KnownBox::new(site, key().public().clone()));
    std::fs::write(&path, known.to_toml()).unwrap();
    assert_eq!(boxes::Boxes::read(&path).unwrap(), known);
    let twice = known.to_toml() + known.to_toml().split_once('\n').unwrap().1;
    let weak = known.to_toml().replace(
        &{
            let text = known.to_toml();
            text.split("public_key = \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        },
        "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    for (text, says) in [
        (twice.as_str(), "there twice"),
        (weak.as_str(), "small order"),
        ("[[box]]\nid = \"Box\"\n", "box id"),
        ("[[box]]\nid = \"b\"\nsite = \"s\"\npublic_key = \"?\"\n", "base64"),
        ("[[boxes]]\n", "unknown field"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = boxes::Boxes::read(&path).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("boxes.toml"), "{error}");
    }
}

prop_compose! {
    fn text()(raw in "[A-Z0-9]{1,16}") -> PlateText { plate(&raw) }
}

prop_compose! {
    fn marks()(
        candidates in prop::option::of(prop::collection::vec((text(), any::<u16>()), 0..6)),
        region in prop::option::of(".{0,30}"),
        matched in prop::option::of(any::<(u16, u32, u32, Option<u32>)>()),
        how in prop::sample::select(vec![How::Exact, How::Confusable, How::Near]),
        vehicle in prop::option::of(any::<(Option<u8>, u16)>()),
    ) -> Alert {
        Alert {
            candidates: candidates.map(|list| {
                list.into_iter().map(|(text, permille)| CandidateMark { text, permille }).collect()
            }),
            region,
            matched: matched.map(|(list, serial, entry, expiry_day)| MatchMark { list, serial, entry, how, expiry_day }),
            vehicle: vehicle.map(|(colour, permille)| VehicleMark { class: Class::Truck, colour, permille }),
            ..alert()
        }
    }
}

prop_compose! {
    fn any_alert()(
        base in marks(),
        id: [u8; 16],
        numbers: (u64, u64, u16, u32),
        plate in prop::option::of(text()),
        shares: (Option<u16>, Option<u16>, Option<u16>, Option<u16>),
        rest: (Option<[u16; 4]>, Option<[u8; 16]>, Option<[u8; 4]>),
    ) -> Alert {
        Alert {
            id: EventId(id),
            seq: numbers.0.max(1),
            time: TimeMs(numbers.1),
            camera: numbers.2,
            track: numbers.3,
            plate,
            confidence: shares.0,
            direction: shares.1,
            frames: shares.2,
            rule: shares.3,
            rect: rest.0,
            crop: rest.1,
            state: rest.2,
            ..base
        }
    }
}

proptest! {
    #[test]
    fn any_bounded_alert_is_sent_within_384_bytes_and_comes_back(alert in any_alert()) {
        let alert = alert.bounded();
        let bytes = wire::sign(&alert, "topic", &key()).unwrap();
        prop_assert!(bytes.len() <= 384);
        prop_assert_eq!(wire::verify::<Alert>(&bytes, "topic", &keys()).unwrap().0, alert.clone());
        prop_assert_eq!(alert.clone().bounded(), alert, "bounding twice changes nothing");
    }

    #[test]
    fn no_altered_payload_panics_and_what_decodes_has_one_encoding(at in 0..400_usize, byte: u8, which in 0..6_usize) {
        let mut payload = match which {
            0 => wire::encode(&alert()),
            1 => wire::encode(&shed()),
            2 => wire::encode(&ack()),
            3 => wire::encode(&status()),
            4 => wire::encode(&camera()),
            _ => wire::encode(&report()),
        };
        let at = at % payload.len();
        payload[at] = byte;
        if let Ok(message) = wire::guess(&payload) {
            let again = match &message {
                Message::Alert(m) => wire::encode(m.as_ref()),
                Message::Shed(m) => wire::encode(m),
                Message::Ack(m) => wire::encode(m),
                Message::Status(m) => wire::encode(m),
                Message::Camera(m) => wire::encode(m),
                Message::Health(m) => wire::encode(m.as_ref()),
                Message::Reply(m) => wire::encode(m.as_ref()),
                Message::Command(m) => wire::encode(m.as_ref()),
            };
            prop_assert_eq!(again, payload);
            prop_assert!(message.to_json().is_object());
        }
    }
}
