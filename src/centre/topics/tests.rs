//! Topics are built and taken apart alike, and nothing else is taken.

use proptest::prelude::*;

use super::*;

fn topics() -> Topics {
    Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &BoxId::new("box-1").unwrap()).unwrap()
}

#[test]
fn topics_are_those_of_the_docs() {
    let t = topics();
    assert_eq!(t.status(), "watchpost/v1/north/box-1/status");
    assert_eq!(t.alert(Severity::Critical), "watchpost/v1/north/box-1/alert/critical");
    assert_eq!(t.camera_status(&CameraId::new("gate").unwrap()), "watchpost/v1/north/box-1/camera/gate/status");
    assert_eq!(t.ack(), "watchpost/v1/north/box-1/ack");
    assert_eq!(t.box_filters()[1], "watchpost/v1/north/box-1/cmd/+/+");
    let north = SiteId::new("north").unwrap();
    assert_eq!(board_filters(DEFAULT_ROOT, Some(&north), None).unwrap()[2], "watchpost/v1/north/+/health");
    assert!(centre_filters(DEFAULT_ROOT).unwrap().contains(&"watchpost/v1/+/+/alert/#".to_owned()));
}

#[test]
fn what_a_message_counts_as_is_told_by_its_topic() {
    let (t, gate) = (topics(), CameraId::new("gate").unwrap());
    for severity in Severity::ALL {
        assert_eq!(t.traffic(&t.alert(severity)), Traffic::Alert(severity));
    }
    let chunk = Kind::Evidence { id: EventId::from_parts(1, [7; 10]), chunk: 3 };
    for (topic, what) in [
        (t.shed(), Traffic::Shed),
        (t.of(&chunk), Traffic::Evidence),
        (t.of(&Kind::Audit), Traffic::Audit),
        (t.health(), Traffic::Health),
        (t.status(), Traffic::Status),
        (t.camera_status(&gate), Traffic::Status),
        (t.reply(Op::BoxStatus, &[1; 16]), Traffic::Reply),
        (format!("{}/reply/console-7", t.base), Traffic::Reply),
        (t.json_alert(Severity::Critical), Traffic::Mirror),
        (t.onvif(OnvifEvent::LineCrossed, &["gate", "exit"]), Traffic::Mirror),
        (HomeAssistantTopics::new("homeassistant", &BoxId::new("box-1").unwrap()).unwrap().config(), Traffic::Mirror),
    ] {
        assert_eq!(t.traffic(&topic), what, "{topic}");
    }
}

#[test]
fn mirrors_lie_below_the_box_and_home_assistants_below_its_prefix() {
    let (t, gate) = (topics(), CameraId::new("gate").unwrap());
    assert_eq!(t.json_alert(Severity::Minor), "watchpost/v1/north/box-1/json/alert/minor");
    assert_eq!(t.json_camera(&gate), "watchpost/v1/north/box-1/json/camera/gate/status");
    assert_eq!(t.json_health(), "watchpost/v1/north/box-1/json/health");
    let plate = t.onvif(OnvifEvent::LicensePlate, &["gate", "stolen"]);
    assert_eq!(plate, "watchpost/v1/north/box-1/onvif-ej/RuleEngine/Recognition/LicensePlate/&gate/stolen");
    let ha = HomeAssistantTopics::new("homeassistant", &BoxId::new("box-1").unwrap()).unwrap();
    assert_eq!(ha.config(), "homeassistant/device/box-1/watchpost/config");
    assert_eq!(ha.camera(&gate), "homeassistant/device/box-1/watchpost/camera/gate");
    assert_eq!(home_assistant_acl("homeassistant").unwrap(), "pattern write homeassistant/device/%u/#\n");
    assert!(home_assistant_acl("home assistant/#").is_err());
    assert!(!mosquitto_acl(DEFAULT_ROOT, "centre").unwrap().contains("homeassistant"), "only where it was asked for");
}

#[test]
fn answers_go_below_the_own_replies_alone() {
    let good = ["reply/box.status/01", "reply/console-7", "reply/a/b/c/d"];
    let bad =
        ["reply", "reply/", "reply/a//b", "reply/a/b/c/d/e", "reply/+", "reply/#", "replyx/a", "status", "reply/A"];
    let takes = |rest: &&str| topics().takes_response(&format!("watchpost/v1/north/box-1/{rest}"));
    assert!(good.iter().all(takes) && !bad.iter().any(takes));
    assert!(!topics().takes_response("watchpost/v1/north/box-2/reply/a"));
    assert!(!topics().takes_response("elsewhere/reply/a"));
}

#[test]
fn every_kind_comes_back_from_its_topic() {
    let id = EventId::from_parts(1_767_225_600_000, [7; 10]);
    let kinds = [
        Kind::Status,
        Kind::CameraStatus(CameraId::new("gate").unwrap()),
        Kind::Alert(Severity::Info),
        Kind::Shed,
        Kind::Ack,
        Kind::Command { op: "camera.set".into(), id: "01hx".into() },
        Kind::Reply { op: "camera.set".into(), id: "01hx".into() },
        Kind::Blob { sha256: [0xab; 32], chunk: 12 },
        Kind::Evidence { id, chunk: 0 },
        Kind::Audit,
        Kind::Health,
    ];
    for kind in kinds {
        let address = parse(DEFAULT_ROOT, &topics().of(&kind)).unwrap();
        assert_eq!(address.kind, kind);
        assert_eq!((address.site.as_str(), address.box_id.as_str()), ("north", "box-1"));
    }
}

#[test]
fn what_would_not_be_built_is_refused() {
    for bad in [
        "",
        "other/v1/north/box-1/status",
        "watchpost/v1north/box-1/status",
        "watchpost/v1/north/box-1",
        "watchpost/v1/north/box-1/",
        "watchpost/v1/North/box-1/status",
        "watchpost/v1/north/box-1/status/",
        "watchpost/v1/north/box-1/alert/urgent",
        "watchpost/v1/north/box-1/alert/INFO",
        "watchpost/v1/north/box-1/alert/+",
        "watchpost/v1/north/box-1/camera/a b/status",
        "watchpost/v1/north/box-1/blob/00/1",
        "watchpost/v1/north/box-1/cmd//1",
        "watchpost/v1/north/box-1/evidence/0191B2C3-0000-7000-8000-000000000000/1",
    ] {
        assert!(parse(DEFAULT_ROOT, bad).is_err(), "{bad}");
    }
    let blob = topics().of(&Kind::Blob { sha256: [0; 32], chunk: 7 });
    assert!(parse(DEFAULT_ROOT, &blob.replace("/7", "/07")).is_err());
    assert!(parse(DEFAULT_ROOT, &blob.replace("/7", "/+7")).is_err());
}

#[test]
fn roots_with_wildcards_or_empty_levels_are_refused() {
    let (site, box_id) = (SiteId::new("s").unwrap(), BoxId::new("b").unwrap());
    for bad in ["", "/", "a//b", "a/+", "#", "a/", "$SYS", "a b"] {
        assert!(matches!(Topics::new(bad, &site, &box_id), Err(Error::Root { .. })), "{bad}");
        assert!(centre_filters(bad).is_err() && mosquitto_acl(bad, "centre").is_err());
    }
}

proptest! {
    #[test]
    fn parsing_any_text_does_not_panic_and_gives_back_what_it_took(rest in "[ -~é/]{0,80}") {
        let topic = format!("{DEFAULT_ROOT}/north/box-1/{rest}");
        if let Ok(address) = parse(DEFAULT_ROOT, &topic) {
            prop_assert_eq!(topics().of(&address.kind), topic);
        }
    }
}
