//! Models from the centre as people send them: packed, put, activated and taken back by `watchpostctl`, over a real broker,
//! on a daemon that goes on meanwhile.

use std::path::{Path, PathBuf};

use serde_json::Value;

use watchpost::clock::Clock;
use watchpost::domain::{PlateText, TimeMs};

use crate::kit::one_box::{OneBox, Said, camera, fixture};
use crate::model_packages::{TEXT, manifest_of, model, pictures, signed_by_its_author};

/// A folder as `models/reader-1`, of another version and with canary pictures.
fn folder(made: &OneBox, name: &str, version: &str, text: &str) -> (PathBuf, String) {
    let (manifest, onnx) = model("models/reader-1");
    let onnx = signed_by_its_author(&onnx);
    let manifest = manifest_of(&manifest, version, &onnx);
    let sha256 = manifest.lines().find_map(|l| l.strip_prefix("sha256 = \"")?.split('"').next()).unwrap().to_owned();
    made.file(&format!("{name}/manifest.toml"), &manifest);
    made.file(&format!("{name}/model.onnx"), &onnx);
    made.file(&format!("{name}/README.md"), "# The card\n");
    for (path, picture) in pictures() {
        made.file(&format!("{name}/{path}"), picture);
    }
    made.file(
        &format!("{name}/canary/canaries.toml"),
        format!(
            "least = 1.0\n[[canary]]\npicture = \"street.jpg\"\n\
             plates = [{{ text = \"{text}\", box = [0.243, 0.701, 0.330, 0.737] }}]\n\
             [[canary]]\npicture = \"plate.png\"\ncrop = true\nplates = [{{ text = \"{text}\" }}]\n\
             [[canary]]\npicture = \"empty.png\"\nmust = false\n"
        ),
    );
    (made.path(name), sha256)
}

fn pack(made: &OneBox, folder: &Path, file: &str) -> (Said, PathBuf) {
    let path = made.path(file);
    (made.ctl(&["model", "pack", folder.to_str().unwrap(), "-o", path.to_str().unwrap()]), path)
}

fn listed(made: &OneBox) -> Value {
    let said = made.ctl(&["model", "list", "--json"]);
    said.expect(0, &[]);
    serde_json::from_str::<Value>(said.out.lines().next().unwrap()).unwrap()["answer"].clone()
}

#[test]
fn a_model_is_packed_sent_put_in_force_and_taken_back() {
    let made = OneBox::new();
    let _broker = made.broker();
    made.configure(&[camera("gate", 1, "test://ball", "")]);
    let mut daemon = made.daemon();
    daemon.until("session with the broker");

    let (good, sha256) = folder(&made, "good", "9.0", TEXT);
    let (said, package) = pack(&made, &good, "good.wpm");
    said.expect(0, &["reader-1-9.0, reader", "3 canary pictures"]);
    pack(&made, &good, "good.wpm").0.expect(1, &["not overwritten"]);
    let (bad, _) = folder(&made, "bad", "9.1", "AB123CD");
    let (said, wrong) = pack(&made, &bad, "bad.wpm");
    said.expect(0, &[]);

    made.ctl(&["model", "put", wrong.to_str().unwrap()])
        .expect(1, &["failed, verification: canary street.jpg", "WRONG  street.jpg", "right  empty.png"]);
    made.ctl(&["model", "activate", "reader-1-9.0"]).expect(1, &["not-found", "no model reader-1-9.0 came"]);
    made.ctl(&["model", "put", package.to_str().unwrap()])
        .expect(0, &["reader-1-9.0 (reader) is there, signed by fleet; score 1000"]);
    assert_eq!(listed(&made)["set"], Value::Array(Vec::new()), "what came is not yet in force");

    made.ctl(&["model", "activate", "reader-1-9.0"])
        .expect(0, &["takes over between two frames: reader reader-1-9.0", "on probation"]);
    daemon.until("other models take over");
    let list = listed(&made);
    let loaded = |list: &Value| {
        let of_reader = list["loaded"].as_array().unwrap().iter().find(|m| m["task"] == "reader").unwrap();
        (of_reader["version"].as_str().unwrap().to_owned(), of_reader["from_centre"].as_bool().unwrap())
    };
    assert_eq!((loaded(&list), &list["probation"]["starts"]), (("9.0".to_owned(), true), &Value::from(1)));
    made.ctl(&["box", "status", "--json"]).expect(0, &[&sha256]);
    made.ctl(&["model", "list"]).expect(0, &["on probation since", "came     reader-1-9.0", "shipped  plates-1-"]);

    made.ctl(&["model", "rollback"]).expect(0, &["takes over between two frames: all as configured"]);
    daemon.until("other models take over");
    let list = listed(&made);
    assert!(!loaded(&list).1 && list["probation"].is_null(), "{list}");
    made.ctl(&["model", "rollback"]).expect(1, &["not-found", "no other models were in force before"]);
}

/// Plates of a clip, as they were drawn.
fn drawn(clip: &str) -> Vec<String> {
    let labels = std::fs::read_to_string(fixture("labels.jsonl")).unwrap();
    let mut clips = labels.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = clips.find(|labels| labels["file"] == clip).unwrap();
    found["plates"].as_array().unwrap().iter().map(|plate| plate["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn vehicles_that_pass_while_models_are_swapped_are_told_once_each() {
    let made = OneBox::new();
    let _broker = made.broker();
    made.configure(&[camera("gate", 1, "test://ball", "")]);
    let mut daemon = made.daemon();
    daemon.until("session with the broker");
    let (good, _) = folder(&made, "good", "9.0", TEXT);
    let package = pack(&made, &good, "good.wpm").1;
    made.ctl(&["model", "put", package.to_str().unwrap()]).expect(0, &["reader-1-9.0 (reader) is there"]);
    daemon.stop();

    let clip = |name: &str| fixture(name).display().to_string();
    made.configure(&[camera("one", 1, &clip("street-b.mp4"), "")]);
    let mut daemon = made.daemon();
    daemon.until("session with the broker");
    made.ctl(&["model", "activate", "reader-1-9.0"]).expect(0, &["takes over"]);
    daemon.until("other models take over");
    assert!(!daemon.said().iter().any(|line| line.contains("file ended")), "models were swapped too late");
    daemon.until("file ended");
    daemon.stop();
    let runs = daemon.said().iter().filter(|line| line.contains("watchpost runs")).count();
    assert_eq!(runs, 1, "nothing started anew");

    let (store, day) = (made.store(), 86_400_000);
    let now = Clock::system().utc().0;
    for plate in drawn("street-b.mp4") {
        let found =
            store.by_plate(&PlateText::from_raw(&plate).unwrap(), TimeMs(now - day), TimeMs(now + day), 10).unwrap();
        assert_eq!(found.len(), 1, "{plate}: {found:?}");
    }
}
