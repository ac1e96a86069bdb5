//! Models from the centre with real parts: packages of the shipped models, canary pictures run by the program itself, what
//! is put in force and what is gone back from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use watchpost::centre::keyring::{KeyBook, Role};
use watchpost::centre::keys::{BoxKey, PublicKey, SigningKey};
use watchpost::clock::Clock;
use watchpost::command::authorise::{Verified, authorise};
use watchpost::command::blobs::{BlobRef, Blobs, CHUNK};
use watchpost::command::models::canary::{Canary, Object, Plate, Score, place};
use watchpost::command::models::package::{self, Table};
use watchpost::command::models::{Here, Plan, Seen, Shelf, Task, force};
use watchpost::command::ops::model::{activate, list, put, rollback};
use watchpost::command::ops::{self, decode};
use watchpost::command::{Afterwards, Caller, Controls, Done, Person, Refusal, Rooms};
use watchpost::config::Config;
use watchpost::domain::{CameraId, Class, Op, Reason, TimeMs};
use watchpost::health::Health;
use watchpost::hotlist::Hotlists;
use watchpost::log::LogRing;
use watchpost::store::{Recorder, audit};
use watchpost::supervise::models::trial;

use crate::kit::one_box::{OneBox, Said, camera, fixture};

/// Tries models as the daemon does, by the real program.
struct Wiring {
    config: Arc<Config>,
    program: PathBuf,
    plans: Mutex<usize>,
}

impl Controls for Wiring {
    fn pause(&self, _: &CameraId, _: Option<TimeMs>) -> Result<(), Refusal> {
        Err(Refusal::new(Reason::NotFound, "no cameras here"))
    }

    fn resume(&self, _: &CameraId) -> Result<(), Refusal> {
        Err(Refusal::new(Reason::NotFound, "no cameras here"))
    }

    fn snapshot(&self, _: &CameraId) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::new(Reason::NotFound, "no cameras here"))
    }

    fn health(&self) -> Vec<u8> {
        Vec::new()
    }

    fn try_models(&self, plan: &Plan) -> Result<Vec<Seen>, Refusal> {
        *self.plans.lock().unwrap() += 1;
        trial::try_models(&self.config.vision, &self.program, plan)
    }

    fn models(&self) -> Here {
        Here::default()
    }
}

/// A box with its rooms open, no daemon.
struct Desk {
    rooms: Rooms,
    wiring: Arc<Wiring>,
    caller: Caller,
    _recorder: Recorder,
}

fn fleet_key(made: &OneBox) -> SigningKey {
    SigningKey::read(&made.path("centre/keys/fleet.key")).unwrap()
}

impl Desk {
    fn of(made: &OneBox) -> Self {
        Self::with_program(made, Path::new(env!("CARGO_BIN_EXE_watchpost")))
    }

    fn with_program(made: &OneBox, program: &Path) -> Self {
        let (config, clock) = (Arc::new(made.config()), Clock::system());
        let store = made.store();
        let health = Health::new();
        let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(|_| ())).unwrap();
        let wiring =
            Arc::new(Wiring { config: Arc::clone(&config), program: program.to_owned(), plans: Mutex::default() });
        let keys = config.site.data_dir.join("keys");
        let root = PublicKey::read(&made.path("root.pub")).unwrap();
        let keyring = KeyBook::open(&keys, &made.path("keyring.cbor"), &root).unwrap();
        let person = keyring.current().entries.iter().find(|e| e.role == Role::Fleet).unwrap().clone();
        let person = Person {
            kid: person.key.kid(),
            name: person.name,
            org: person.org,
            role: person.role,
            supervisor: person.supervisor,
        };
        let rooms = Rooms {
            config_path: made.path("watchpost.toml"),
            recorder: recorder.handle(),
            hotlists: Arc::new(Hotlists::new()),
            health,
            blobs: Blobs::open(config.site.data_dir.join("blobs"), clock.clone()).unwrap(),
            log: LogRing::default(),
            keyring,
            box_key: BoxKey::read(&keys.join("box.key")).unwrap(),
            controls: Arc::clone(&wiring) as Arc<dyn Controls>,
            config,
            store,
            clock,
        };
        let caller = Caller { person, second: None, purpose: None, case: None };
        Self { rooms, wiring, caller, _recorder: recorder }
    }

    fn ask(&self, op: Op, args: &impl minicbor::Encode<()>) -> Result<Done, Refusal> {
        let command = Verified { op, id: [9; 16], caller: self.caller.clone(), args: ops::encode(args) };
        ops::execute(&self.rooms, &authorise(command).unwrap())
    }

    /// Sends the package's chunks as they are asked for, and has it tried.
    fn put(&self, package: &[u8]) -> Result<put::Answer, Refusal> {
        let args = put::Args { package: BlobRef::of(package) };
        let missing = self.ask(Op::ModelPut, &args).unwrap_err();
        assert_eq!(missing.reason, Reason::BlobMissing, "{missing}");
        for (n, chunk) in (0..).zip(package.chunks(CHUNK)) {
            assert!(self.rooms.blobs.take(&args.package.sha256, n, chunk));
        }
        self.ask(Op::ModelPut, &args).map(|done| decode(&done.result).unwrap())
    }

    fn activate(&self, name: &str, version: &str) -> Result<(activate::Answer, Done), Refusal> {
        let args = activate::Args { models: vec![(name.to_owned(), version.to_owned())], ..activate::Args::default() };
        self.ask(Op::ModelActivate, &args).map(|done| (decode(&done.result).unwrap(), done))
    }

    fn list(&self) -> list::Answer {
        decode(&self.ask(Op::ModelList, &list::Args {}).unwrap().result).unwrap()
    }

    /// What the audit log says of models, one line a record.
    fn audit(&self) -> Vec<String> {
        changes(&self.rooms.config)
    }
}

fn changes(config: &Config) -> Vec<String> {
    let records = audit::read(&config.site.data_dir.join("store")).unwrap();
    let line = |details: Vec<(String, String)>| {
        details.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    };
    records.into_iter().filter(|r| r.event == "model.changed").map(|r| line(r.details)).collect()
}

/// The shipped model, or one of the tiny ones, as a package would hold it.
pub fn model(folder: &str) -> (String, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let manifest = std::fs::read_to_string(folder.join("manifest.toml")).unwrap();
    let file = manifest.lines().find_map(|l| l.strip_prefix("file = \"")?.split('"').next()).unwrap().to_owned();
    (manifest, std::fs::read(folder.join(file)).unwrap())
}

/// Other bytes of the same model: a word of its author at its end (`doc_string`, field 6 of ModelProto).
pub fn signed_by_its_author(onnx: &[u8]) -> Vec<u8> {
    [onnx, &[0x32, 5], b"later"].concat()
}

/// `manifest` for another version and other bytes.
pub fn manifest_of(manifest: &str, version: &str, onnx: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, onnx);
    let hex = digest.as_ref().iter().fold(String::new(), |text, b| text + &format!("{b:02x}"));
    let line = |line: &str| {
        if line.starts_with("version = ") {
            format!("version = \"{version}\"")
        } else if line.starts_with("sha256 = ") {
            format!("sha256 = \"{hex}\"")
        } else {
            line.to_owned()
        }
    };
    manifest.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// One plate in a street, where it is, and the plate alone; and a street without any.
pub fn pictures() -> Vec<(String, Vec<u8>)> {
    let street = std::fs::read(fixture("one-plate.jpg")).unwrap();
    let whole = image::load_from_memory(&street).unwrap();
    let png = |picture: image::DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    vec![
        ("canary/street.jpg".to_owned(), street),
        ("canary/plate.png".to_owned(), png(whole.crop_imm(308, 504, 119, 28))),
        ("canary/empty.png".to_owned(), png(whole.crop_imm(0, 0, 640, 360))),
    ]
}

fn canaries(text: &str) -> Vec<Canary> {
    let plate = Plate { text: Some(text.to_owned()), place: Some(place([0.243, 0.701, 0.330, 0.737])) };
    let scene = |picture: &str, plates| Canary {
        picture: picture.to_owned(),
        must: true,
        crop: false,
        plates,
        objects: Vec::new(),
    };
    vec![scene("street.jpg", vec![plate]), Canary::of_plate("plate.png", text), scene("empty.png", Vec::new())]
}

pub const TEXT: &str = "CJ270FS";

/// What a package is made of, to be spoilt.
struct Parts {
    table: Table,
    files: Vec<(String, Vec<u8>)>,
}

/// A later version of a shipped model that is as good.
fn later(name: &str, task: Task, version: &str) -> Parts {
    let (manifest, onnx) = model(&format!("models/{name}"));
    let onnx = signed_by_its_author(&onnx);
    let manifest = manifest_of(&manifest, version, &onnx);
    let table = Table {
        version: package::VERSION,
        name: name.to_owned(),
        model_version: version.to_owned(),
        task,
        issued: TimeMs(1_700_000_000_000),
        files: Vec::new(),
        canaries: canaries(TEXT),
        least: 1000,
    };
    let mut files = vec![
        (package::MANIFEST.to_owned(), manifest.into_bytes()),
        ("model.onnx".to_owned(), onnx),
        ("README.md".to_owned(), b"# The card\n".to_vec()),
    ];
    files.extend(pictures());
    Parts { table, files }
}

impl Parts {
    fn seal(self, key: &SigningKey) -> Vec<u8> {
        package::seal(self.table, &self.files, key).unwrap()
    }

    fn manifest(&mut self, change: impl FnOnce(String) -> String) {
        let text = String::from_utf8(std::mem::take(&mut self.files[0].1)).unwrap();
        self.files[0].1 = change(text).into_bytes();
    }
}

#[test]
fn a_good_reader_is_tried_kept_and_put_in_force() {
    let made = OneBox::new();
    let desk = Desk::of(&made);
    let answer = desk.put(&later("reader-1", Task::Reader, "9.0").seal(&fleet_key(&made))).unwrap();
    assert_eq!((answer.score.permille(), answer.signer.as_str(), &answer.gone[..]), (1000, "fleet", &[][..]));
    for row in &answer.score.rows {
        assert!(row.right == 1 && row.of == 1 && row.micros > 0, "{row:?}");
    }
    let listed = desk.list();
    assert_eq!((listed.came.len(), listed.came[0].score, listed.came[0].pictures), (1, 1000, 3));
    assert!(listed.set.is_empty() && listed.probation.is_none());

    let (activated, done) = desk.activate("reader-1", "9.0").unwrap();
    assert_eq!((done.then, activated.scores.len()), (Some(Afterwards::Models), 1));
    assert_eq!(desk.list().probation.unwrap().by, "fleet");
    assert_eq!(*desk.wiring.plans.lock().unwrap(), 2, "tried when it came and when it was activated");
    let (again, nothing) = desk.activate("reader-1", "9.0").unwrap();
    assert_eq!((nothing.then, again.steady_s), (None, 0), "it is in force already");

    let back: rollback::Answer = decode(&desk.ask(Op::ModelRollback, &rollback::Args {}).unwrap().result).unwrap();
    assert!(back.set.is_empty());
    let none = desk.ask(Op::ModelRollback, &rollback::Args {}).unwrap_err();
    assert_eq!(none.reason, Reason::NotFound, "{none}");
    assert_eq!(
        desk.audit(),
        [
            "action=activated from=as configured to=reader: reader-1-9.0 by=fleet",
            "action=rolled-back from=reader: reader-1-9.0 to=as configured by=fleet"
        ]
    );
}

#[test]
fn a_model_that_does_not_do_is_refused_and_leaves_nothing() {
    let made = OneBox::new();
    let desk = Desk::of(&made);
    let key = fleet_key(&made);
    let reader = || later("reader-1", Task::Reader, "9.1");
    let refused = |spoilt: Vec<u8>| {
        let refusal = desk.put(&spoilt).unwrap_err();
        assert!(desk.list().came.is_empty());
        let left = std::fs::read_dir(Shelf::of(&desk.rooms.config.site.data_dir).folder());
        assert_eq!(left.into_iter().flatten().count(), 0, "{refusal}");
        assert!(!refusal.text.contains(TEXT), "{refusal}");
        refusal
    };

    // Its classes are in another order: every letter is another one.
    let mut turned = reader();
    turned.manifest(|text| text.replace("0123456789ABC", "CBA9876543210"));
    let refusal = refused(turned.seal(&key));
    assert_eq!(refusal.reason, Reason::Verification);
    assert!(refusal.text.contains("canary street.jpg: 0 of 2"), "{refusal}");
    let score: Score = decode(&refusal.result.unwrap()).unwrap();
    assert_eq!((score.rows.len(), score.rows[2].right), (3, 1), "each picture is told: {score:?}");

    // What its canary says is not in the picture.
    let mut other = reader();
    other.table.canaries = canaries("AB123CD");
    assert!(refused(other.seal(&key)).text.contains("canary street.jpg"));

    // The model's file is cut off, and the manifest knows.
    let mut cut = reader();
    let half = cut.files[1].1.len() / 2;
    cut.files[1].1.truncate(half);
    let onnx = cut.files[1].1.clone();
    cut.manifest(|text| manifest_of(&text, "9.1", &onnx));
    let refusal = refused(cut.seal(&key));
    assert!(refusal.reason == Reason::Verification && refusal.text.contains("model.onnx"), "{refusal}");

    // The manifest was written for other bytes.
    let mut digest = reader();
    digest.manifest(|text| manifest_of(&text, "9.1", b"other"));
    let refusal = refused(digest.seal(&key));
    assert!(refusal.reason == Reason::Verification && refusal.text.contains("sha256"), "{refusal}");

    // It is called otherwise than its manifest says.
    let mut name = reader();
    name.table.name = "reader-2".to_owned();
    assert!(refused(name.seal(&key)).text.contains("the manifest in it says reader-1 9.1"));

    // It does something else than was signed.
    let mut task = reader();
    task.table.task = Task::Detector;
    assert_eq!(refused(task.seal(&key)).reason, Reason::Verification);

    // Vehicles are off on this box.
    let vehicles = later("objects-1", Task::Vehicles, "9.1");
    let refusal = refused(vehicles.seal(&key));
    assert!(refusal.reason == Reason::Conflict && refusal.text.contains("vehicles is off"), "{refusal}");

    // Another role signed it, and bytes changed on the way.
    let lists = SigningKey::read(&made.path("centre/keys/lists.key")).unwrap();
    assert_eq!(refused(reader().seal(&lists)).reason, Reason::UnknownKey);
    let mut flipped = reader().seal(&key);
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refused(flipped).reason, Reason::Digest);
    assert!(desk.audit().is_empty(), "what is in force did not change");
}

#[test]
fn vehicles_corners_and_detector_come_in_packages_too() {
    let made = OneBox::new();
    made.configure(&["[vision]\nvehicles = \"objects-1\"\n".to_owned()]);
    let desk = Desk::of(&made);
    let key = fleet_key(&made);
    let mut vehicles = later("objects-1", Task::Vehicles, "9.0");
    vehicles.table.canaries[0].objects = vec![Object { class: Class::Car, place: place([0.162, 0.328, 0.434, 0.752]) }];
    let answer = desk.put(&vehicles.seal(&key)).unwrap();
    assert_eq!(answer.score.answers(), (4, 4));
    for (name, task) in [("plates-1", Task::Detector), ("corners-1", Task::Corners)] {
        desk.put(&later(name, task, "9.0").seal(&key)).unwrap();
    }
    let named = |name: &str| (name.to_owned(), "9.0".to_owned());
    let args =
        activate::Args { models: ["objects-1", "plates-1", "corners-1"].map(named).to_vec(), configured: Vec::new() };
    let answer: activate::Answer = decode(&desk.ask(Op::ModelActivate, &args).unwrap().result).unwrap();
    assert_eq!((answer.set.len(), answer.scores.len()), (3, 3));
    let twice = activate::Args { models: vec![named("objects-1"), named("objects-1")], configured: Vec::new() };
    assert_eq!(desk.ask(Op::ModelActivate, &twice).unwrap_err().reason, Reason::Arguments);
    let configured = activate::Args { models: Vec::new(), configured: vec![Task::Corners] };
    let answer: activate::Answer = decode(&desk.ask(Op::ModelActivate, &configured).unwrap().result).unwrap();
    assert_eq!(answer.set.len(), 2);
}

#[test]
fn a_trial_that_dies_or_says_nonsense_is_a_refusal() {
    let made = OneBox::new();
    let key = fleet_key(&made);
    for (script, told) in [
        ("#!/bin/sh\necho 'free(): invalid pointer' >&2\nkill -SEGV $$\n", "free(): invalid pointer"),
        ("#!/bin/sh\nhead -c 3000000 /dev/zero\nexit 0\n", "it said nothing"),
        ("#!/bin/sh\nexit 3\n", "exit status: 3"),
    ] {
        let program = made.file("dies.sh", script);
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let desk = Desk::with_program(&made, &program);
        let refusal = desk.put(&later("reader-1", Task::Reader, "9.2").seal(&key)).unwrap_err();
        assert_eq!(refusal.reason, Reason::Verification);
        assert!(refusal.text.contains(told) && desk.list().came.is_empty(), "{refusal}");
    }
}

/// A box whose reader of the centre is activated.
fn activated() -> OneBox {
    let made = OneBox::new();
    made.configure(&[camera("gate", 1, fixture("street-a.mp4").to_str().unwrap(), "realtime = true")]);
    let desk = Desk::of(&made);
    desk.put(&later("reader-1", Task::Reader, "9.0").seal(&fleet_key(&made))).unwrap();
    desk.activate("reader-1", "9.0").unwrap();
    made
}

fn in_force(made: &OneBox) -> force::Force {
    force::read(Shelf::of(&made.config().site.data_dir).folder()).unwrap()
}

#[test]
fn models_that_the_daemon_dies_with_three_times_are_gone_back_from() {
    let made = activated();
    for start_number in 1..=3 {
        let mut daemon = made.daemon();
        daemon.until("watchpost runs");
        assert!(!daemon.said().iter().any(|line| line.contains("did not do")), "{:#?}", daemon.said());
        daemon.kill();
        assert_eq!(in_force(&made).probation.unwrap().starts, start_number);
    }
    let mut daemon = made.daemon();
    daemon.until("models did not do");
    daemon.until("watchpost runs");
    let force = in_force(&made);
    assert!(force.now.is_empty() && force.probation.is_none(), "{force:?}");
    assert!(force.fallbacks[0].why.contains("3 times"), "{force:?}");
    daemon.kill();
    let told = changes(&made.config());
    assert!(told[1].starts_with("action=fell-back from=reader: reader-1-9.0 to=as configured"), "{told:#?}");
}

#[tokio::test]
async fn a_start_that_ends_in_good_order_does_not_count_against_models() {
    let made = activated();
    made.configure(&[camera("gate", 1, fixture("one-plate.jpg").to_str().unwrap(), "")]);
    let _broker = made.broker();
    let _centre = made.centre().await;
    for _ in 0..2 {
        let said: Said = made.run("run", &["--until-eos"]).await;
        assert!(!said.err.contains("did not do"), "{said:#?}");
        assert_eq!(in_force(&made).probation.unwrap().starts, 0);
    }
    assert_eq!(in_force(&made).now.describe(), "reader: reader-1-9.0");
}

#[test]
fn a_model_whose_file_changed_on_the_disk_is_gone_back_from_at_the_start() {
    let made = activated();
    let shelf = Shelf::of(&made.config().site.data_dir);
    let path = shelf.folder().join("reader-1-9.0/model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut daemon = made.daemon();
    daemon.until("model.onnx is not what was signed");
    daemon.until("watchpost runs");
    daemon.kill();
    assert!(in_force(&made).now.is_empty());
}

/// A tiny detector in a package: its dark canary is right, and what a bright camera shows makes it give no numbers.
fn dazzled() -> Parts {
    let (manifest, onnx) = model("tests/fixtures/models/dazed");
    let manifest = manifest_of(&manifest, "2", &onnx);
    let plate = image::GrayImage::from_fn(64, 32, |x, y| image::Luma([if (x, y) == (36, 12) { 230 } else { 0 }]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    plate.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let found = Plate { text: None, place: Some(place([30.0 / 64.0, 8.0 / 32.0, 46.0 / 64.0, 17.0 / 32.0])) };
    let canary =
        Canary { picture: "dark.png".to_owned(), must: true, crop: false, plates: vec![found], objects: Vec::new() };
    let mut parts = later("plates-1", Task::Detector, "2");
    "dazed".clone_into(&mut parts.table.name);
    parts.table.canaries = vec![canary];
    parts.files = vec![
        (package::MANIFEST.to_owned(), manifest.into_bytes()),
        ("dazed.onnx".to_owned(), onnx),
        ("canary/dark.png".to_owned(), bytes.into_inner()),
    ];
    parts
}

#[test]
fn models_that_fail_on_frames_are_gone_back_from_while_the_daemon_runs() {
    let made = OneBox::new();
    made.configure(&[camera("gate", 1, "test://snow", "")]);
    {
        let desk = Desk::of(&made);
        desk.put(&dazzled().seal(&fleet_key(&made))).unwrap();
        desk.activate("dazed", "2").unwrap();
    }
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    daemon.until("models did not do");
    daemon.until("other models take over between two frames");
    daemon.kill();
    let force = in_force(&made);
    assert!(force.now.is_empty() && force.fallbacks[0].why.contains("failed on"), "{force:?}");
    assert!(changes(&made.config())[1].contains("action=fell-back from=detector: dazed-2"));
}

#[test]
fn a_box_whose_admin_keeps_it_to_themselves_takes_no_models_and_runs_none_of_the_centre() {
    let made = activated();
    let vision = ["[box]\nmanaged = false\n".to_owned(), camera("gate", 1, "test://ball", "")];
    made.configure(&vision);
    {
        let desk = Desk::of(&made);
        let refusal = desk.activate("reader-1", "9.0").unwrap_err();
        assert!(refusal.reason == Reason::Conflict && refusal.text.contains("managed = false"), "{refusal}");
    }
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    daemon.kill();
    assert_eq!(in_force(&made).probation.unwrap().starts, 0, "no start of the centre's models");
}
