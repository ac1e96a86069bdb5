//! Configurations that people write, good and bad.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::domain::{MatchPolicy, Transport};

fn load_text(text: &str) -> Result<Config, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watchpost.toml");
    std::fs::write(&path, text).unwrap();
    load(&path)
}

const GOOD: &str = r#"
[box]
site = "north"
id = "box-1"
data_dir = "data"
[[camera]]
id = "gate"
number = 1
uri = "rtsp://192.0.2.7/stream"
credential = "gate"
[[hotlist.list]]
id = "stolen"
number = 3
file = "stolen.csv"
categories = { Stolen = "critical" }
"#;

#[test]
fn a_small_configuration_gets_the_documented_defaults() {
    let config = load_text(GOOD).unwrap();
    assert_eq!(config.store.commit_interval_ms, 50);
    assert_eq!(config.store.retention.reads_hours, 24);
    assert_eq!(config.hotlists[0].policy, MatchPolicy::Confusable);
    assert!(config.hotlists[0].file.is_absolute() || config.hotlists[0].file.ends_with("stolen.csv"));
    assert!(config.centre.is_none());
    assert_ne!(config.digest, [0; 32]);
}

#[test]
fn five_mistakes_are_told_at_once_with_lines_and_suggestions() {
    let text = GOOD
        .replace("id = \"box-1\"", "id = \"Box 1\"")
        .replace("number = 1", "number = \"one\"")
        .replace("credential", "credentail")
        .replace("rtsp://", "rtsp://admin:secret@")
        .replace("critical", "urgent");
    let faults = load_text(&text).unwrap_err();
    let all = faults.to_string();
    assert_eq!(faults.0.len(), 5, "{all}");
    for part in [
        "watchpost.toml:4: box.id: \"Box 1\" is no box id",
        "watchpost.toml:8: camera[1].number: is a text, wanted a whole number",
        "watchpost.toml:9: camera[1].uri: holds a user or password",
        "camera[1].credentail: is no key that watchpost knows; did you mean `credential`?",
        "hotlist.list[1].categories: Stolen: \"urgent\" is no severity",
    ] {
        assert!(all.contains(part), "{part:?} not in:\n{all}");
    }
    assert!(!all.contains("secret"), "a password must not be repeated");
}

#[test]
fn a_list_has_an_owner_who_says_with_whom_its_hits_are_shared() {
    let owner = |lines: &str| {
        let config = load_text(&format!("{GOOD}{lines}")).map_err(|faults| faults.to_string())?;
        Ok::<_, String>(config.hotlists[0].owner.clone())
    };
    assert_eq!(owner(""), Ok(None));
    let shared = owner("owner = \"north\"\nshare = [\"south\", \"east\"]\n").unwrap().unwrap();
    assert!(shared.shows_to("south") && !shared.shows_to("west"));
    assert!(!owner("owner = \"north\"\n").unwrap().unwrap().shows_to("south"));
    assert!(owner("owner = \"north\"\nshare = \"all\"\n").unwrap().unwrap().shows_to("south"));
    for (lines, why) in [
        ("share = \"all\"\n", "hotlist.list[1].share: says with whom `owner` shares"),
        ("owner = \"\"\n", "hotlist.list[1].owner: \"\" names no organisation"),
        ("owner = \"north\"\nshare = 3\n", "hotlist.list[1].share: is a whole number, wanted \"none\""),
        ("owner = \"north\"\nshare = []\n", "names 0 organisations"),
    ] {
        let error = owner(lines).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_preset_is_the_most_and_what_stands_beside_it_can_only_shorten() {
    let with = |keys: &str| load_text(&format!("{GOOD}[store.retention]\npreset = \"us-me\"\n{keys}"));
    let kept = with("info_days = 3\n").unwrap().store.retention;
    assert_eq!((kept.reads_hours, kept.info_days, kept.critical_days), (479, 3, 19));
    let faults = with("reads_hours = 480\nserious_days = 90\n").unwrap_err().to_string();
    assert!(faults.contains("allows at most 479") && faults.contains("allows at most 19"), "{faults}");
    let none = load_text(&format!("{GOOD}[store.retention]\npreset = \"de-stpo\"\nreads = \"hashed\"\n"));
    assert!(none.unwrap_err().to_string().contains("allows off"));
}

#[test]
fn a_file_that_is_not_there_is_one_clear_fault() {
    let faults = load(Path::new("/nonexistent/watchpost.toml")).unwrap_err();
    assert!(faults.to_string().contains("cannot read /nonexistent/watchpost.toml"), "{faults}");
    assert_eq!(faults.0.len(), 1, "{faults}");
    let faults = load_text("[box\nsite = \"north\"\n").unwrap_err();
    assert!(faults.0.iter().all(|fault| fault.what.starts_with("not TOML: ")), "{faults}");
}

#[test]
fn addresses_that_cannot_be_opened_are_told_with_the_other_faults() {
    let at = |uri: &str, more: &str| {
        let text = GOOD.replace("rtsp://192.0.2.7/stream\"\ncredential = \"gate\"", &format!("{uri}\"\n{more}"));
        load_text(&text).map_err(|faults| faults.to_string())
    };
    for (uri, why) in [
        ("http://192.0.2.7/", "http:// is not supported"),
        ("test://nosuch", "\"nosuch\" is no test pattern"),
        ("v4l2:///dev/video0?foo=1", "\"foo\" is not known"),
    ] {
        let told = at(uri, "").unwrap_err();
        assert!(told.contains("toml:9: camera[1].uri: ") && told.contains(why), "{told}");
        let told = at("rtsp://192.0.2.7/1", &format!("substream = \"{uri}\"")).unwrap_err();
        assert!(told.contains("toml:10: camera[1].substream: ") && told.contains(why), "{told}");
    }
    for (uri, substream) in [
        ("clip.mp4", "rtsp://192.0.2.7/2"),
        ("rtsp://192.0.2.7/1", "folder:///srv/pictures"),
        ("test://ball", "rtsp://192.0.2.7/2"),
        ("rtsp://192.0.2.7/1", "v4l2:///dev/video0"),
    ] {
        let told = at(uri, &format!("substream = \"{substream}\"")).unwrap_err();
        assert!(told.contains("camera[1].substream: is for network cameras"), "{told}");
    }
    assert!(at("rtsp://192.0.2.7/1", "substream = \"rtsp://192.0.2.7/2\"").is_ok());
    assert!(at("folder:///srv/pictures?fps=2", "").is_ok() && at("file:///srv/a%20b.mp4", "").is_ok());
}

#[test]
fn keys_of_later_versions_are_named_as_such() {
    let faults = load_text(&format!("{GOOD}\n[store]\nsize_gib = 4\n")).unwrap_err();
    assert!(faults.to_string().contains("size_gib: is not supported by this version"), "{faults}");
}

#[test]
fn two_cameras_with_one_number_are_a_fault() {
    let faults = load_text(&format!("{GOOD}\n[[camera]]\nid = \"b\"\nnumber = 1\nuri = \"x.mp4\"\n")).unwrap_err();
    assert!(faults.to_string().contains("camera[2].number: is 1, as camera[1] already"), "{faults}");
}

#[test]
fn plaintext_to_another_machine_must_be_written_out() {
    let centre = "\n[centre]\nbroker = \"mqtt://192.0.2.1:1883\"\nkeyring = \"k\"\nroot_key = \"r\"\n";
    let faults = load_text(&format!("{GOOD}{centre}")).unwrap_err();
    assert!(faults.to_string().contains("allow_plaintext"), "{faults}");
    assert!(load_text(&format!("{GOOD}{centre}allow_plaintext = true\n")).is_ok());
    assert!(load_text(&format!("{GOOD}{}", centre.replace("192.0.2.1", "127.0.0.1"))).is_ok());
}

/// `BLESS=1 cargo test` writes the table anew.
#[test]
fn the_documentation_lists_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let doc = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = doc.split_once("<!-- keys -->\n").expect("docs/config.md has the marker <!-- keys -->");
    let (_, tail) = tail.split_once("<!-- /keys -->").expect("docs/config.md has the marker <!-- /keys -->");
    let mut table = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in keys() {
        let default = if key.default.is_empty() { "must be given" } else { &key.default };
        writeln!(table, "| `{}` | {default} | {} |", key.key, key.doc).unwrap();
    }
    let wanted = format!("{head}<!-- keys -->\n{table}<!-- /keys -->{tail}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted, "run `BLESS=1 cargo test --lib config`");
}

#[test]
fn a_camera_says_where_it_stands_and_what_may_be_seen() {
    let more = r#"
location = [48.2, 16.37]
heading = 270
road = "North bridge, inbound"
rotate = 90
transport = "udp"
roi = [[0, 0.5], [1, 0.5], [1, 1.0], [0, 1.0], [0, 0.5]]
privacy_mask = [[[0.0, 0.0], [0.2, 0.0], [0.2, 0.3]], [[0.9, 0.9], [1.0, 0.9], [1.0, 1.0]]]
motion_gate = false
credential = "gate"
"#;
    let config = load_text(&GOOD.replace("credential = \"gate\"\n", more)).unwrap();
    let camera = &config.cameras[0];
    assert_eq!((camera.location, camera.heading, camera.rotate), (Some((48.2, 16.37)), Some(270.0), Some(90)));
    assert_eq!(camera.roi, [vec![[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]]]);
    assert_eq!((camera.privacy_mask.len(), camera.motion_gate), (2, Some(false)));
    assert_eq!(camera.transport, Transport::Udp);
    assert_eq!(camera.road.as_deref(), Some("North bridge, inbound"));
}

#[test]
fn polygons_and_places_that_cannot_be_meant_are_told() {
    for (line, what) in [
        ("roi = [[0, 0], [1, 1]]", "has 2 points, wanted 3 to 32"),
        ("roi = [[0, 0], [0.5, 0.5], [1, 1]]", "covers nothing"),
        ("roi = [[0, 0], [1920, 0], [1920, 1080]]", "divide pixels by its width and height"),
        ("privacy_mask = [[[0, 0], [1, 0], [1]]]", "its polygon 1 has no [x, y] at point 3"),
        ("roi = [[0, 0], [1, 1], [1, 0], [0, 1]]", "its polygon crosses or touches itself"),
        ("privacy_mask = \"all\"", "is a text, wanted a list of polygons"),
        ("privacy_mask = [[[0, 0], [1, 0], [1, 1]], 3]", "its polygon 2 is a whole number"),
        ("rotate = 45", "is 45, wanted 0, 90, 180 or 270"),
        ("location = [116.4, 39.9]", "latitude comes first"),
        ("transport = \"http\"", "wanted auto, tcp or udp"),
        ("substream = \"rtsp://a:b@192.0.2.7/2\"", "holds a user or password"),
    ] {
        let text = GOOD.replace("credential = \"gate\"", line);
        let faults = load_text(&text).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{line}: {faults}");
        assert!(faults.to_string().contains(what), "{line}: {faults}");
    }
}

const PLACES: &str = r#"
[[camera.zone]]
name = "yard"
points = [[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0]]
direction = 90
inertia = 3
[[camera.line]]
name = "exit"
points = [[0.0, 0.6], [1.0, 0.6]]
direction = "forward"
[vision]
vehicles = "objects-1"
"#;

fn with_rules(rules: &str) -> Result<Vec<Rule>, String> {
    let text = GOOD.replace("[[hotlist.list]]", &format!("{PLACES}{rules}\n[[hotlist.list]]"));
    let text = text.replace("data_dir = \"data\"", "data_dir = \"data\"\ntimezone = \"Europe/Berlin\"");
    load_text(&text).map(|config| config.rules).map_err(|faults| faults.to_string())
}

#[test]
fn rules_say_what_has_to_happen_where_and_when() {
    use crate::domain::{Class, ObjectEvent, PlaceId, Severity, Way};
    let rules = with_rules(
        r#"
[[rule]]
id = "wrong-way"
number = 7
event = "wrong-way"
line = "exit"
severity = "serious"
cooldown_s = 10
[[rule]]
id = "loiter"
number = 8
zone = "yard"
dwell_s = 90
classes = "person"
schedule = ["mon-fri 22:00-06:00", "sat,sun"]
[[rule]]
id = "trucks"
number = 9
cameras = ["gate"]
line = "exit"
direction = "backward"
classes = ["truck", "bus"]
[[rule]]
id = "known"
number = 10
lists = ["stolen"]
regions = ["eu-sk", "us"]
enabled = false
"#,
    )
    .unwrap();
    let name = |text: &str| PlaceId::new(text).unwrap();
    let events: Vec<_> = rules.iter().map(|r| r.rule.event.clone()).collect();
    assert_eq!(
        events,
        [
            ObjectEvent::WrongWay(name("exit")),
            ObjectEvent::Dwell(name("yard"), std::time::Duration::from_secs(90)),
            ObjectEvent::Cross(name("exit"), Some(Way::Backward)),
            ObjectEvent::Seen,
        ]
    );
    assert!(rules.iter().all(|r| r.cameras.len() == 1));
    assert_eq!((rules[0].rule.severity, rules[0].rule.cooldown.as_secs()), (Severity::Serious, 10));
    assert!(rules[1].rule.schedule.is_some() && rules[1].rule.classes == [Class::Person]);
    assert!(!rules[3].enabled && rules[3].rule.regions.len() == 2);
}

#[test]
fn a_camera_has_the_plan_of_its_places_and_of_the_rules_that_hold_there() {
    let text = GOOD.replace("[[hotlist.list]]", &format!(
        "{PLACES}[[rule]]\nid = \"a\"\nnumber = 1\nzone = \"yard\"\n[[rule]]\nid = \"b\"\nnumber = 2\nzone = \"yard\"\nenabled = false\n\
         [[camera]]\nid = \"b\"\nnumber = 2\nuri = \"x.mp4\"\n[[hotlist.list]]"
    ));
    let config = load_text(&text).unwrap();
    let [gate, other] = &config.cameras[..] else { panic!("two cameras") };
    let plan = config.plan(gate);
    assert_eq!((plan.zones.len(), plan.lines.len(), plan.rules.len()), (1, 1, 1));
    assert_eq!((plan.zones[0].heading, plan.zones[0].inertia.0), (Some(90), 3));
    assert!(config.plan(other).is_empty());
}

#[test]
fn rules_that_cannot_be_meant_are_told() {
    let rule = |lines: &str| with_rules(&format!("[[rule]]\nid = \"a\"\nnumber = 1\n{lines}\n"));
    for (lines, what) in [
        ("zone = \"yrad\"", "rule[1].zone: is yrad, and no camera has a zone of this name"),
        ("zone = \"exit\"", "is exit, and no camera has a zone"),
        ("line = \"exit\"\ncameras = \"gaet\"", "names gaet, and there is no such camera; known are gate"),
        ("event = \"cross\"", "rule[1].line: is missing: `event = \"cross\"` happens there"),
        ("event = \"stopped\"\nzone = \"yard\"", "rule[1].dwell_s: is missing"),
        ("event = \"jump\"", "is \"jump\", wanted one of seen, enter"),
        ("zone = \"yard\"\ndirection = \"forward\"", "direction: has no meaning for `event = \"enter\"`"),
        ("line = \"exit\"\ndirection = \"up\"", "is \"up\", wanted \"forward\" or \"backward\""),
        ("event = \"wrong-way\"\nzone = \"yard\"\nline = \"exit\"", "stands beside `zone`"),
        ("zone = \"yard\"\nclasses = [\"lorry\"]", "has \"lorry\", wanted car, bus"),
        ("zone = \"yard\"\nschedule = \"at night\"", "\"at night\" is no span of time"),
        ("zone = \"yard\"\nregions = [\"xx\"]", "is \"xx\", wanted one of us"),
        ("severity = \"info\"", "is \"seen\", and everything is"),
        ("zone = \"yard\"\nlists = []", "is an empty list"),
    ] {
        let told = rule(lines).unwrap_err();
        assert!(told.contains(what), "{lines}: {told}");
    }
    let twice = with_rules(
        "[[rule]]\nid = \"a\"\nnumber = 1\nzone = \"yard\"\n[[rule]]\nid = \"b\"\nnumber = 1\nline = \"exit\"\n",
    );
    assert!(twice.unwrap_err().contains("rule[2].number: is 1, as rule[1] already"));
    let many = with_rules("[[rule]]\nid = \"A b\"\nnumber = 0\nzone = \"x\"\nspeed = 3\n").unwrap_err();
    assert!(many.contains("has 4 faults"), "{many}");
}

#[test]
fn what_a_rule_needs_is_told_where_it_is_not_there() {
    let rule = |lines: &str| {
        let places = PLACES.replace("[vision]\nvehicles = \"objects-1\"\n", "").replace("direction = 90\n", "");
        let rule = format!("{places}[[rule]]\nid = \"a\"\nnumber = 1\n{lines}\n[[hotlist.list]]");
        load_text(&GOOD.replace("[[hotlist.list]]", &rule)).map_err(|faults| faults.to_string())
    };
    assert!(rule("zone = \"yard\"").is_ok() && rule("zone = \"yard\"\nclasses = \"plate\"").is_ok());
    for (lines, what) in [
        ("zone = \"yard\"\nclasses = \"vehicle\"", "only when `[vision] vehicles` names a model"),
        ("zone = \"yard\"\nschedule = \"22:00-06:00\"", "set `timezone` under [box]"),
        ("zone = \"yard\"\nevent = \"wrong-way\"", "has no `direction` on camera gate"),
    ] {
        let told = rule(lines).unwrap_err();
        assert!(told.contains(what), "{lines}: {told}");
    }
}

#[test]
fn zones_and_lines_that_cannot_be_meant_are_told() {
    for (lines, what) in [
        (
            "[[camera.zone]]\nname = \"a\"\npoints = [[0, 0], [1, 1], [1, 0], [0, 1]]",
            "camera[1].zone[1].points: its polygon crosses",
        ),
        ("[[camera.zone]]\npoints = [[0, 0], [1, 1], [1, 0]]", "camera[1].zone[1].name: is missing"),
        ("[[camera.zone]]\nname = \"a\"", "camera[1].zone[1].points: is missing"),
        ("[[camera.line]]\nname = \"a\"\npoints = [[0, 0], [1, 1], [1, 0]]", "is no line: wanted its two ends"),
        ("[[camera.line]]\nname = \"a\"\npoints = [[0, 0], [640, 1]]", "divide pixels by its width and height"),
        ("[[camera.line]]\nname = \"a\"\npoints = [[0.5, 0.5], [0.5, 0.5]]", "has both ends in one place"),
        (
            "[[camera.line]]\nname = \"a\"\npoints = [[0, 0], [1, 1]]\ndirection = \"left\"",
            "is \"left\", wanted \"forward\"",
        ),
        ("[[camera.line]]\nname = \"a\"\npoints = [[0, 0], [1, 1]]\ncolour = 1", "camera[1].line[1].colour: is no key"),
        ("zone = \"all\"", "write it as [[camera.zone]]"),
        (
            "[[camera.zone]]\nname = \"a\"\npoints = [[0, 0], [1, 1], [1, 0]]\n[[camera.line]]\nname = \"a\"\npoints = [[0, 0], [1, 1]]",
            "a names two zones or lines",
        ),
    ] {
        let text = GOOD.replace("credential = \"gate\"", lines);
        let faults = load_text(&text).unwrap_err();
        assert!(faults.0.len() == 1 && faults.to_string().contains(what), "{lines}: {faults}");
    }
    let text = GOOD.replace("data_dir = \"data\"", "timezone = \"Mars\"");
    assert!(load_text(&text).unwrap_err().to_string().contains("box.timezone: is \"Mars\", wanted an IANA name"));
}
