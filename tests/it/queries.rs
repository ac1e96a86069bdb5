//! Questions by hand on a box, with the keys that `init` made: found, counted, audited, with pictures, and refused.

use std::time::Duration;

use watchpost::clock::Clock;
use watchpost::domain::{
    CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder};

use crate::kit::one_box::{OneBox, Said};

/// Three reads of this hour, the newest a hit; the plates say their order.
fn fill(one_box: &OneBox) {
    let store = one_box.store();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let now = Clock::system().utc().0;
    for (n, text) in [(3_u64, "AB123CD"), (2, "A8123CD"), (1, "XY99")] {
        let at = now - n * 60_000;
        let sighting = Sighting {
            id: EventId::from_parts(at, [u8::try_from(n).unwrap(); 10]),
            camera: CameraId::new("gate").unwrap(),
            camera_number: 1,
            track: 1,
            begin: TimeMs(at),
            end: TimeMs(at + 900),
            clock: ClockState::Synced,
            class: Class::Car,
            vehicle: None,
            read: Some(PlateRead {
                text: PlateText::from_raw(text).unwrap(),
                confidence: 0.95,
                char_confidences: vec![0.99; text.len()],
                candidates: Vec::new(),
                lattice: Lattice::default(),
                region: None,
                regions: Vec::new(),
                frames: 9,
            }),
            rect: [0.1, 0.1, 0.2, 0.2],
            direction: None,
        };
        let matched = ListMatch {
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
        };
        let hit = |sighting: &Sighting| Hit {
            sighting: sighting.clone(),
            cause: HitCause::List(matched),
            stage: Stage::End,
            withdrawn: false,
        };
        let hits = if n == 1 { vec![hit(&sighting)] } else { Vec::new() };
        let pictures = Some(Pictures { crop: b"a crop".to_vec(), scene: b"a scene".to_vec() });
        let at = sighting.end;
        let event = SightingEvent::new(Stage::End, sighting, pictures, at);
        recorder.handle().send(Entry { event, hits }).unwrap();
    }
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    assert_eq!(recorder.stop(), 0);
}

async fn ask(one_box: &OneBox, options: &[&str]) -> Said {
    let key = one_box.path("centre/keys/investigator.key").display().to_string();
    let all = [options, &["--key", &key]].concat();
    one_box.run("query", &all).await
}

fn by<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [options, &FOR].concat()
}

const FOR: [&str; 4] = ["--purpose", "crime-investigation", "--case", "K-17"];

#[tokio::test]
async fn reads_and_hits_of_a_box_are_found_by_hand_with_their_pictures() {
    let one_box = OneBox::new();
    fill(&one_box);
    let said = ask(&one_box, &by(&["reads"])).await;
    said.expect(0, &["3 rows", "XY99", "AB123CD"]);
    assert!(said.out.find("XY99").unwrap() < said.out.find("AB123CD").unwrap(), "newest first: {said:?}");

    let said = ask(&one_box, &by(&["reads", "ab-123 cd", "--like", "confusable", "--json"])).await;
    said.expect(0, &[]);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    assert_eq!((lines[0]["plate"].as_str(), lines[1]["plate"].as_str()), (Some("A8123CD"), Some("AB123CD")));
    assert_eq!((lines[2]["kind"].as_str(), lines[2]["complete"].as_bool()), (Some("summary"), Some(true)));
    assert_eq!(lines[2]["boxes"][0]["counted"], 5);

    let pictures = one_box.path("pictures").display().to_string();
    let said = ask(&one_box, &by(&["hits", "--severity", "serious", "--pictures", &pictures])).await;
    said.expect(0, &["1 row ", "possible match: exact, list wanted entry 4", "2 pictures of 1 sightings"]);
    let mut files: Vec<_> = std::fs::read_dir(&pictures).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.iter().map(|f| std::fs::read(f).unwrap()).collect::<Vec<_>>(), [&b"a crop"[..], b"a scene"]);

    let said = ask(&one_box, &by(&["reads", "--limit", "1", "--pages", "3"])).await;
    said.expect(0, &["3 rows"]);
    assert!(!said.out.contains("there is more"), "{said:?}");
    ask(&one_box, &by(&["reads", "--limit", "2"])).await.expect(0, &["2 rows", "there is more at box-1"]);

    let records = watchpost::store::audit::read(one_box.store().dir()).unwrap();
    let queried = records.iter().filter(|r| r.event == "queried").count();
    assert_eq!((queried, records.iter().filter(|r| r.event == "picture.viewed").count()), (7, 1));
}

#[tokio::test]
async fn a_question_without_purpose_or_case_or_by_another_role_is_refused() {
    let one_box = OneBox::new();
    fill(&one_box);
    ask(&one_box, &["reads", "--case", "K-17"]).await.expect(1, &["denied, purpose"]);
    ask(&one_box, &["reads", "--purpose", "traffic"]).await.expect(1, &["denied, case"]);
    let key = one_box.path("centre/keys/auditor.key").display().to_string();
    let said = one_box.run("query", &[&["reads", "--key", &key], &FOR[..]].concat()).await;
    said.expect(1, &["denied, role"]);
    assert!(!said.out.contains("XY99"));
    ask(&one_box, &[&["reads", "--from", "60d"], &FOR[..]].concat()).await.expect(1, &["supervisor", "30 days"]);
    ask(&one_box, &[&["reads", "--severity", "serious"], &FOR[..]].concat()).await.expect(1, &["ask for hits"]);
}
