//! The verbs of `watchpostctl` as a program, over a real broker, with real boxes: each does what it says, and is refused
//! where it must be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use watchpost::clock::{Clock, SimClock};
use watchpost::domain::{
    CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::store::Entry;

use crate::kit::raw::Raw;
use crate::kit::said::Said;
use crate::kit::site::Site;

const FOR: [&str; 4] = ["--purpose", "crime-investigation", "--case", "K-17"];

/// A plate that was read `n` seconds before `now`, with pictures; as a hit of a list where `is_hit`.
fn read(n: u64, now: TimeMs, plate: &str, is_hit: bool) -> Entry {
    let at = TimeMs(now.0 - n * 1_000);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    let sighting = Sighting {
        id: EventId::from_parts(at.0, random),
        camera: CameraId::new("gate").unwrap(),
        camera_number: 1,
        track: n as u32,
        begin: at,
        end: TimeMs(at.0 + 500),
        clock: ClockState::Synced,
        class: Class::Car,
        vehicle: None,
        read: Some(PlateRead {
            text: PlateText::from_raw(plate).unwrap(),
            confidence: 0.95,
            char_confidences: vec![0.99; plate.len()],
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 9,
        }),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: None,
    };
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted").unwrap(),
        list_number: 1,
        list_serial: 1,
        entry: 4,
        how: How::Exact,
        confidence: 0.95,
        expiry_day: None,
        stale: false,
        severity: Severity::Serious,
        owner: None,
    });
    let hit = || Hit { sighting: sighting.clone(), cause, stage: Stage::End, withdrawn: false };
    let hits = if is_hit { vec![hit()] } else { Vec::new() };
    let pictures = is_hit.then(|| Pictures { crop: b"a crop".to_vec(), scene: b"a scene".to_vec() });
    let at = sighting.end;
    Entry { event: SightingEvent::new(Stage::End, sighting, pictures, at), hits }
}

/// `verb OPTIONS`, for a purpose and a case.
fn asked<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [options, &FOR].concat()
}

/// What was said, a JSON object a line.
#[track_caller]
fn objects(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {said:#?}"))).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_hits_are_found_over_pages_up_to_what_one_person_may_have() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let now = site.clock.utc();
    let some = (1..=12).map(|n| read(n, now, &format!("QX{n:03}"), n == 3));
    let many = (13..=512).map(|n| read(n, now, &format!("ZZ{n}"), false));
    blind.kept(&site.clock, some.chain(many));
    let _broker = site.start_broker();
    let life = blind.online().await;

    let said = site.ctl(&asked(&["query", "reads", "qx-0*", "--limit", "5", "--pages", "3", "--json"])).await;
    said.expect(0, &[]);
    let told = objects(&said);
    let (summary, rows) = told.split_last().unwrap();
    let plates: Vec<&str> = rows.iter().map(|row| row["plate"].as_str().unwrap()).collect();
    assert_eq!(plates, (1..=12).map(|n| format!("QX{n:03}")).collect::<Vec<_>>(), "newest first, each once");
    assert_eq!((&summary["complete"], &summary["boxes"][0]["counted"]), (&true.into(), &12.into()));
    let said = site.ctl(&asked(&["query", "reads", "QX0*", "--limit", "5"])).await;
    said.expect(0, &["5 rows", "there is more at box-1", "--pages"]);
    let said = site.ctl(&asked(&["query", "hits", "QX00?"])).await;
    said.expect(0, &["1 row ", "QX003", "possible match: exact, list wanted entry 4"]);

    let said = site.ctl(&["query", "reads", "--case", "K-17"]).await;
    said.expect(1, &["refused: box-1", "denied, purpose", "--purpose"]);
    let said = site.ctl(&["query", "hits", "--purpose", "traffic"]).await;
    said.expect(1, &["denied, case", "--case"]);
    let said = site.ctl(&asked(&["query", "reads", "--as", "auditor"])).await;
    said.expect(1, &["denied, role: reads.query is for the role investigator"]);

    // A case of its own: 500 rows for one person, the rest with a supervisor, and with nobody else.
    let of = |more: &[&'static str]| {
        [&["query", "reads", "--purpose", "traffic", "--case", "K-18", "--pages", "9"], more].concat()
    };
    let said = site.ctl(&of(&[])).await;
    said.expect(1, &["500 rows", "denied, supervisor", "500 is the most", "refused: box-1"]);
    site.ctl(&of(&["--second", "fleet"])).await.expect(1, &["denied, role", "does not count"]);
    site.ctl(&of(&["--second", "supervisor"])).await.expect(0, &["512 rows"]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_names_the_box_that_is_silent_and_writes_what_the_others_saw() {
    let mut site = Site::new();
    let (mut blind, silent) = (site.add_blind("box-1"), site.add_box("box-2"));
    blind
        .configure("[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://127.0.0.1:9/x\"\nlocation = [48.2, 16.37]\n");
    let now = site.clock.utc();
    blind.kept(
        &site.clock,
        [read(600, now, "AB123CD", true), read(60, now, "AB123CD", false), read(30, now, "XY9", false)],
    );
    let _broker = site.start_broker();
    let life = blind.online().await;
    // It hears what it is asked, and says nothing.
    let mut hears = Raw::connect(&silent.link, &["watchpost/v1/north/box-2/cmd/+/+"]).await;
    let file = site.dir.path().join("way.geojson");
    let path = file.to_str().unwrap();
    let said = site.ctl(&asked(&["trace", "ab 123 cd", "--all", "--wait", "15", "--geojson", path])).await;
    said.expect(1, &["1 of 2 boxes told all; missing or not whole: box-2", "box-2: no answer in time", "2 sightings"]);
    said.expect(1, &["48.20000,16.37000", "possible match: exact, list wanted entry 4"]);
    assert!(!said.out.contains("XY9"), "{said:#?}");
    hears.until("the question", |heard| heard.topic.contains("/cmd/")).await;
    let told: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let kinds: Vec<&str> = (0..3).map(|n| told["features"][n]["geometry"]["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Point", "Point", "LineString"]);
    assert_eq!(told["features"][0]["geometry"]["coordinates"], serde_json::json!([16.37, 48.2]), "longitude first");
    assert_eq!(
        (&told["watchpost"]["complete"], &told["watchpost"]["missing"][0]["box"]),
        (&false.into(), &"box-2".into())
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    site.ctl(&["trace", "AB123CD", "--box", "box-1"]).await.expect(1, &["denied, purpose"]);
    site.ctl(&asked(&["trace", "AB123CD", "--box", "box-1"])).await.expect(0, &["2 sightings"]);
    life.stop().await;
}

/// The state of the only hit, as a query tells it.
async fn state(site: &Site) -> (String, String) {
    let said = site.ctl(&asked(&["query", "hits", "--json"])).await;
    let hit = &objects(&said)[0];
    (hit["state"].as_str().unwrap().to_owned(), hit["verdict"].as_str().unwrap_or("none").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_is_looked_at_judged_and_closed_and_health_knows_how_often_the_box_is_right() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let hit = read(60, site.clock.utc(), "AB123CD", true);
    let id = hit.event.sighting.id.to_string();
    blind.kept(&site.clock, [hit]);
    let _broker = site.start_broker();
    let life = blind.online().await;
    let folder = site.dir.path().join("pictures");
    let path = folder.to_str().unwrap();

    site.ctl(&["verdict", "seen", &id, "--as", "fleet"]).await.expect(1, &["denied, role"]);
    let unknown = EventId([7; 16]).to_string();
    site.ctl(&["verdict", "seen", &unknown]).await.expect(1, &["not-found"]);
    let said = site.ctl(&["verdict", "seen", &id, "--pictures", path]).await;
    said.expect(0, &["list 1 entry 4: seen", "seen first by operator", "-crop.jpg", "-scene.jpg"]);
    for (name, content) in [("crop", "a crop"), ("scene", "a scene")] {
        let file = folder.join(format!("{id}-{name}.jpg"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "for its owner alone");
    }
    assert_eq!(state(&site).await, ("seen".to_owned(), "none".to_owned()));
    site.ctl(&["verdict", "close", &id]).await.expect(1, &["box-1: "]);
    site.ctl(&["verdict", "give", &id, "confirmed"]).await.expect(0, &["list 1 entry 4: judged: confirmed"]);
    assert_eq!(state(&site).await, ("judged".to_owned(), "confirmed".to_owned()));
    site.ctl(&["verdict", "close", &id]).await.expect(0, &["closed: confirmed"]);
    assert_eq!(state(&site).await, ("closed".to_owned(), "confirmed".to_owned()));
    site.ctl(&["verdict", "give", &id, "misread", "--plate", "AB124CD"]).await.expect(1, &["conflict"]);

    let said = site.ctl(&["box", "status", "--json"]).await;
    said.expect(0, &[]);
    let precision = &objects(&said)[0]["answer"]["keeping"]["precision"];
    let row = serde_json::json!([{ "of": 1, "right": 1, "judged": 1 }]);
    assert_eq!((&precision["cameras"], &precision["lists"]), (&row, &row), "{said:#?}");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_ends_and_less_is_kept_by_two_people_alone() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    blind.kept(&site.clock, [read(60, site.clock.utc(), "AB123CD", true)]);
    let _broker = site.start_broker();
    let life = blind.online().await;

    let place = ["hold", "place", "--plate", "ab 123 cd", "--reason", "court"];
    site.ctl(&place).await.expect(1, &["denied", "--case"]);
    site.ctl(&[&place[..], &["--case", "K-17"]].concat()).await.expect(0, &["box-1: hold 1 is placed"]);
    let said = site.ctl(&["hold", "list"]).await;
    said.expect(0, &["hold 1: plate AB123CD; case K-17", "investigator of test: court", "as configured"]);
    let said = site.ctl(&["hold", "release", "1"]).await;
    said.expect(1, &["denied, second-person", "--second"]);
    site.ctl(&["hold", "release", "1", "--second", "custodian"]).await.expect(1, &["denied, same-person"]);
    site.ctl(&["hold", "release", "1", "--second", "operator"]).await.expect(1, &["denied, role", "does not count"]);
    let released = ["hold", "release", "1", "--second", "custodian-2"];
    site.ctl(&released).await.expect(0, &["box-1: hold 1 is released, rows deleted: "]);
    site.ctl(&released).await.expect(1, &["not-found", "there is no hold 1"]);
    let said = site.ctl(&["hold", "list", "--json"]).await;
    assert_eq!(objects(&said)[0]["answer"]["holds"], serde_json::json!([]), "{said:#?}");

    let shorter = ["retention", "set", "--serious-days", "5"];
    site.ctl(&shorter).await.expect(1, &["denied, second-person", "deleting can't be undone"]);
    let both = [&shorter[..], &["--second", "custodian-2"]].concat();
    site.ctl(&both).await.expect(0, &["box-1: kept from now on:", "serious 5 d", "box-1: before:"]);
    site.ctl(&["retention", "show"]).await.expect(0, &["serious 5 d", "set by custodian"]);
    // Longer again is for one; nothing at all is no order.
    site.ctl(&["retention", "set", "--serious-days", "6"]).await.expect(0, &["serious 6 d"]);
    site.ctl(&["retention", "set"]).await.expect(1, &["arguments", "nothing is to be changed"]);

    site.ctl(&["ignore", "add", "POL 1", "POL-2"])
        .await
        .expect(0, &["plates that are ignored: 2 (2 added, 0 removed)"]);
    site.ctl(&["ignore", "add", "POL1"]).await.expect(0, &["plates that are ignored: 2 (0 added, 0 removed)"]);
    site.ctl(&["ignore", "add"]).await.expect(1, &["name plates"]);
    site.ctl(&["ignore", "add", "POL3", "--as", "operator"]).await.expect(1, &["denied, role"]);

    let said = site.ctl(&["key", "show"]).await;
    said.expect(0, &["serial 1", "custodian-2", "investigator", "supervisor", "COUNTS"]);
    site.ctl(&["log", "-n", "5", "--as", "operator"])
        .await
        .expect(1, &["denied, role: log.tail is for the role fleet"]);
    site.ctl(&["log", "-n", "5", "--level", "error"]).await.expect(0, &[]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_log_is_read_proven_kept_and_verified_without_the_box() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let broker = site.start_broker();
    let life = blind.online().await;
    site.ctl(&["audit", "verify"]).await.expect(0, &["nothing was kept of it, from now on this is"]);
    site.ctl(&["audit", "show"]).await.expect(0, &["records 1 to ", "verified", "audit.begun", "op=audit.proof"]);
    let said = site.ctl(&["audit", "show", "--newest", "5", "--event", "command.", "--json"]).await;
    said.expect(0, &["\"command.done\""]);
    assert!(!said.out.contains("store.started"), "{said:#?}");
    site.ctl(&["audit", "show", "--as", "operator"]).await.expect(1, &["denied, role"]);
    site.ctl(&["audit", "proof", "--record", "1"]).await.expect(0, &["in the log of", "signed by the box: size"]);
    site.ctl(&["audit", "proof", "--old", "2"]).await.expect(0, &["begins with the 2 records of root"]);
    site.ctl(&["audit", "proof", "--record", "99999"]).await.expect(1, &["refused: box-1"]);
    let dir = site.dir.path().to_owned();
    let file = |name: &str| dir.join(name).display().to_string();
    let (all, one) = (file("all.audit"), file("one.audit"));
    site.ctl(&["audit", "export", "--out", &all]).await.expect(0, &["box-1: records 1 to ", "verified"]);
    let said = site.ctl(&["audit", "export", "--first", "2", "--last", "3", "--json", "--out", &one]).await;
    let told = &objects(&said)[0];
    assert_eq!((&told["ok"], &told["first"], &told["last"]), (&true.into(), &2.into(), &3.into()), "{said:#?}");
    site.ctl(&["audit", "proof", "--record", "2", "--out", &one]).await.expect(0, &["box-1: records 2 to 2"]);
    site.ctl(&["audit", "verify"]).await.expect(0, &["records, beginning with the"]);
    life.stop().await;
    drop(broker);

    // From here on there is neither box nor broker.
    let said = site.ctl(&["audit", "verify", "--file", &all]).await;
    said.expect(0, &["box-1: records 1 to ", "as the box signed them"]);
    site.ctl(&["audit", "verify", "--file", &one]).await.expect(0, &["records 2 to 2 of", "1 in all"]);
    let mut bytes = std::fs::read(&all).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = file("bad.audit");
    std::fs::write(&bad, bytes).unwrap();
    let said = site.ctl(&["audit", "verify", "--file", &bad]).await;
    said.expect(1, &["bad.audit"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_rolled_back_to_a_copy_is_found_by_audit_verify() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let _broker = site.start_broker();
    let life = blind.online().await;
    site.ctl(&["audit", "verify"]).await.expect(0, &["from now on this is"]);
    life.stop().await;
    let (store, old) = (blind.data("store"), blind.data("old"));
    copy(&store, &old);
    let life = blind.online().await;
    for _ in 0..4 {
        site.ctl(&["log", "-n", "1"]).await.expect(0, &[]);
    }
    site.ctl(&["audit", "verify"]).await.expect(0, &["records, beginning with the"]);
    life.stop().await;

    std::fs::remove_dir_all(&store).unwrap();
    copy(&old, &store);
    let life = blind.online().await;
    let said = site.ctl(&["audit", "verify"]).await;
    said.expect(1, &["box-1: ALARM: rolled back or cut"]);
    // It stands until somebody has looked into it.
    site.ctl(&["audit", "verify"]).await.expect(1, &["ALARM", "audit verify --accept"]);
    site.ctl(&["audit", "verify", "--accept"]).await.expect(0, &["from now on this is"]);
    site.ctl(&["audit", "verify"]).await.expect(0, &[]);
    life.stop().await;
}

/// A day of the month before this one, and that month.
fn last_month(clock: &Clock) -> (TimeMs, String) {
    let now = clock.utc();
    let day: u64 = now.to_string()[8..10].parse().unwrap();
    let at = TimeMs(now.0 - (day + 1) * 86_400_000);
    (at, at.to_string()[..7].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_counts_a_month_that_is_over_and_names_no_plate() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let (then, month) = last_month(&site.clock);
    let clock = Clock::of(SimClock::at(then));
    blind.kept(&clock, (1..=20).map(|n| read(n, then, &format!("QX{n:03}"), true)));
    let _broker = site.start_broker();
    let life = blind.online().await;
    let said = site.ctl(&["report", &month, "--json"]).await;
    said.expect(0, &[]);
    let told = &objects(&said)[0]["answer"];
    assert_eq!(told["month"], month.as_str());
    let hits = told["tables"].as_array().unwrap().iter().find(|t| t["name"] == "alerts").unwrap();
    assert_eq!((&hits["counts"]["serious"], &hits["total"]), (&20.into(), &20.into()), "{said:#?}");
    for format in ["text", "csv", "html"] {
        let said = site.ctl(&["report", &month, "--format", format]).await;
        said.expect(0, &[&month, "box-1"]);
        assert!(!said.out.contains("QX0"), "{said:#?}");
    }
    assert!(!said.out.contains("QX0"), "{said:#?}");
    let running = site.clock.utc().to_string()[..7].to_owned();
    site.ctl(&["report", &running]).await.expect(1, &["refused: box-1", "the month is not over"]);
    site.ctl(&["report", "2026-13"]).await.expect(2, &["is no month"]);
    life.stop().await;
}
