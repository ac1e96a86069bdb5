//! Models that the centre puts in force by the way it always does, that pass the trial on their canary picture, and then do
//! not do before the camera: one loops for ever, one ends the process, one gives no numbers. The box has good ones of before.
//!
//! They are the tiny ones `hang`, `abort` and `dazed` of `tests/fixtures/models`: as good as `spot` on pictures that are
//! dark on the whole, as their canary is, and bad on what the camera shows. Beside it the box is fed with numbered hits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use watchpost::centre::keys::SigningKey;
use watchpost::command::models::canary::{Canary, Plate, place};
use watchpost::command::models::package::{self, Table};
use watchpost::command::models::{Shelf, Task, force};
use watchpost::domain::TimeMs;

use super::broker::settle;
use super::fault::{Ask, Fault, Outcome};
use super::kit::one_box::camera;
use super::rig::{PATIENCE, Rig, bar, percentile};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "model-hang",
        what: "a model of the centre that loops for ever before the camera: its run ended, the model of before back within 5 s, 0 hits lost",
        small: 1,
        full: 20,
        run: |ask| in_one_life(ask, "hang", "did not come back"),
    },
    Fault {
        name: "model-nan",
        what: "a model of the centre that gives no numbers before the camera: the model of before back within 5 s, 0 hits lost",
        small: 1,
        full: 20,
        run: |ask| in_one_life(ask, "dazed", "failed on"),
    },
    Fault {
        name: "model-aborts",
        what: "a model of the centre that ends the process before the camera: after three crashes the model of before, and frames analysed within 5 s, 0 hits lost",
        small: 1,
        full: 20,
        run: aborts,
    },
];

const PER_SECOND: u32 = 20;
const ENOUGH: u32 = 1_000_000;
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Starts that models on probation have.
const CRASHES: usize = 3;
const TAKEN: &str = "other models take over between two frames";
const FELL_BACK: &str = "models did not do, those before are in force again";

/// Packs a tiny model as version `version`, with a canary picture that it is right on.
fn pack(rig: &Rig, name: &str, version: u64) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
    let manifest = std::fs::read_to_string(folder.join("manifest.toml")).unwrap();
    let manifest = manifest.replace("version = \"1\"", &format!("version = \"{version}\""));
    let file = format!("{name}.onnx");
    let onnx = std::fs::read(folder.join(&file)).unwrap();
    // One plate: its pixel is lit, and all else is dark.
    let plate = image::GrayImage::from_fn(64, 32, |x, y| image::Luma([if (x, y) == (36, 12) { 230 } else { 0 }]));
    let mut picture = std::io::Cursor::new(Vec::new());
    plate.write_to(&mut picture, image::ImageFormat::Png).unwrap();
    let found = Plate { text: None, place: Some(place([30.0 / 64.0, 8.0 / 32.0, 46.0 / 64.0, 17.0 / 32.0])) };
    let canary =
        Canary { picture: "dark.png".to_owned(), must: true, crop: false, plates: vec![found], objects: Vec::new() };
    let table = Table {
        version: package::VERSION,
        name: name.to_owned(),
        model_version: version.to_string(),
        task: Task::Detector,
        issued: TimeMs(1_700_000_000_000),
        files: Vec::new(),
        canaries: vec![canary],
        least: 1_000,
    };
    let files = [
        (package::MANIFEST.to_owned(), manifest.into_bytes()),
        (file, onnx),
        ("canary/dark.png".to_owned(), picture.into_inner()),
    ];
    let key = SigningKey::read(&rig.made.path("centre/keys/fleet.key")).unwrap();
    rig.made.file(&format!("{name}-{version}.wpm"), package::seal(table, &files, &key).unwrap())
}

/// A box that is fed, and whose camera shows a bright picture that moves nothing and is looked at all the same.
fn begin() -> Rig {
    let rig = Rig::new();
    let bars = camera("gate", 1, "test://smpte?width=320&height=240&fps=5", "motion_gate = false");
    rig.made.file("conf.d/cameras.toml", bars);
    rig
}

fn start(rig: &mut Rig) {
    let online = rig.said("camera online");
    rig.start(PER_SECOND, ENOUGH);
    assert!(rig.until_said("camera online", online, PATIENCE).is_some(), "no camera: {}", rig.last_words());
}

/// Frames of the camera that were analysed in this life of the daemon, once it can be asked.
fn analysed(rig: &Rig) -> Option<u64> {
    let said = rig.made.ctl(&["camera", "list", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(said.out.lines().next()?).ok()?;
    answer["answer"]["cameras"][0]["analysed"].as_u64()
}

/// Waits until more frames than `before` are analysed.
fn until_analysed(rig: &Rig, before: u64) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if analysed(rig).is_some_and(|now| now > before) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn put(rig: &Rig, name: &str, version: u64) -> bool {
    rig.made
        .ctl(&["model", "put", pack(rig, name, version).to_str().unwrap()])
        .out
        .contains("is there, signed by fleet")
}

/// Why the models before are in force again, if they are.
fn fallback(rig: &Rig) -> Option<String> {
    let force = force::read(Shelf::of(&rig.made.config().site.data_dir).folder()).unwrap();
    let last = force.fallbacks.last().map(|fallback| fallback.why.clone());
    last.filter(|_| force.now.is_empty() && force.probation.is_none())
}

fn in_one_life(ask: &Ask, name: &str, why: &str) -> Outcome {
    let (mut outcome, mut rig, mut times) = (Outcome::default(), begin(), Vec::new());
    start(&mut rig);
    outcome.expect(until_analysed(&rig, 0), || "no frame is analysed".to_owned());
    for round in 1..=ask.count {
        if !put(&rig, name, round) {
            outcome.fault(format!("round {round}: the model was not taken: {}", rig.last_words()));
            break;
        }
        let (taken, back) = (rig.said(TAKEN), rig.said(FELL_BACK));
        let asked = rig.made.ctl(&["model", "activate", &format!("{name}-{round}")]);
        let began = rig.until_said(TAKEN, taken, PATIENCE);
        let begun = Instant::now();
        let again = rig.until_said(FELL_BACK, back, PATIENCE).and_then(|_| rig.until_said(TAKEN, taken + 1, PATIENCE));
        if began.is_none() || again.is_none() {
            outcome.fault(format!(
                "round {round}: no model of before: {} {}; {}",
                asked.out,
                asked.err,
                rig.last_words()
            ));
            break;
        }
        times.push(begun.elapsed());
        let known = analysed(&rig).unwrap_or_default();
        outcome.expect(until_analysed(&rig, known), || format!("round {round}: no frame is analysed afterwards"));
        let told = fallback(&rig);
        let right = told.as_ref().is_some_and(|told| told.contains(why));
        outcome.expect(right, || format!("round {round}: in force are others than before: {told:?}"));
        outcome.expect(!rig.has_died(), || format!("round {round}: the daemon ended: {}", rig.last_words()));
        if !outcome.faults.is_empty() {
            break;
        }
        outcome.done += 1;
    }
    finish(&mut rig, &mut outcome, &mut times);
    outcome
}

fn aborts(ask: &Ask) -> Outcome {
    if !cfg!(target_arch = "x86_64") {
        // The model divides what no number can hold, which other machines answer with something.
        return Outcome::skipped("no x86: the model does not end the process here");
    }
    let (mut outcome, mut rig, mut times) = (Outcome::default(), begin(), Vec::new());
    start(&mut rig);
    for round in 1..=ask.count {
        if !put(&rig, "abort", round) {
            outcome.fault(format!("round {round}: the model was not taken: {}", rig.last_words()));
            break;
        }
        // The daemon may end before its answer is heard.
        let _ = rig.made.ctl(&["model", "activate", &format!("abort-{round}")]);
        for crash in 1..=CRASHES {
            match rig.ended(PATIENCE) {
                Some((_, status)) if status.code().is_none() => {}
                end => {
                    outcome.fault(format!("round {round}: crash {crash} was none ({end:?}): {}", rig.last_words()));
                    return outcome;
                }
            }
            outcome.expect(fallback(&rig).is_none() || round > 1, || format!("went back after {} crashes", crash - 1));
            if crash < CRASHES {
                rig.start(PER_SECOND, ENOUGH);
            }
        }
        let begun = Instant::now();
        start(&mut rig);
        outcome.expect(until_analysed(&rig, 0), || format!("round {round}: no frame is analysed afterwards"));
        times.push(begun.elapsed());
        let told = fallback(&rig);
        let right = told.as_ref().is_some_and(|told| told.contains("3 times without good order"));
        outcome.expect(right, || format!("round {round}: in force are others than before: {told:?}"));
        if !outcome.faults.is_empty() {
            break;
        }
        outcome.done += 1;
    }
    finish(&mut rig, &mut outcome, &mut times);
    outcome
}

fn finish(rig: &mut Rig, outcome: &mut Outcome, times: &mut [Duration]) {
    settle(rig, outcome);
    let (p95, longest) = percentile(times, 95);
    outcome.figure("back p95", format!("{p95:.2?}"));
    outcome.figure("longest", format!("{longest:.2?}"));
    outcome.expect(longest <= bar(BACK_WITHIN), || format!("back after {longest:.2?}"));
}
