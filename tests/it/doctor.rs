//! `watchpost doctor` as a program, on drawn clips that are made bad on purpose: it names the right cause first, says that
//! a clean one is healthy, and writes a page that needs nothing else.
//!
//! `WATCHPOST_DOCTOR_CLIPS=DIR` keeps the clips there, to be looked at; `WATCHPOST_DOCTOR_ONLY=NAME` takes those of a name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::passes::drawn::street::spoil::{Sensor, spoilt};
use crate::passes::drawn::street::{self, Clip, Film, Pass, Picture420, Spoil};

/// A car comes near, large and clean, in a small picture: two seconds, and a few frames of the road.
fn clean() -> Clip {
    let pass =
        Pass { seed: 81, from_s: 0.2, lasts_s: 1.4, plate_px: (54.0, 92.0), region: Some("eu"), ..Pass::default() };
    Clip {
        size: (640, 360),
        fps: 12,
        seconds: 1.9,
        seed: 7,
        passes: vec![pass],
        spoil: Spoil { noise: 0.0, ..Spoil::default() },
        crf: 21,
        key_every_s: 0.5,
        ..Clip::default()
    }
}

/// Pictures of one drawing: drawn once, made worse often.
struct Drawing {
    clip: Clip,
    pictures: Vec<Picture420>,
}

impl Drawing {
    fn of(change: impl FnOnce(&mut Clip)) -> Self {
        let mut clip = clean();
        change(&mut clip);
        let film = Film::new(&clip);
        let pictures = (0..clip.count()).map(|n| film.picture(n)).collect();
        Self { clip, pictures }
    }

    /// Writes it, spoilt, at a coarseness, of every so many pictures one.
    fn write(&self, spoil: Spoil, crf: u32, every: usize, path: &Path) {
        let fps = self.clip.fps / u32::try_from(every).unwrap();
        let clip = Clip { fps, spoil, crf, ..self.clip.clone() };
        let sensor = Sensor::new(clip.seed, clip.spoil.noise);
        let pictures = self.pictures.iter().step_by(every).enumerate().map(|(n, picture)| {
            let mut picture = picture.clone();
            spoilt(&clip, &sensor, n, &mut picture);
            picture
        });
        street::encode_pictures(&clip, pictures, path).unwrap();
    }
}

/// What is wrong, and what is to be named first (nothing: healthy).
struct Case {
    name: &'static str,
    spoil: Spoil,
    crf: u32,
    every: usize,
    /// Keys of the camera, and of `[vision]`.
    camera: &'static str,
    vision: &'static str,
    want: &'static str,
}

impl Case {
    const fn new(name: &'static str, want: &'static str, spoil: Spoil) -> Self {
        Self { name, spoil, crf: 21, every: 1, camera: "", vision: "", want }
    }
}

/// The sensor's noise of a good camera.
fn usual() -> Spoil {
    Spoil::default()
}

/// A folder with a clip and a configuration that names it `gate`.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new(drawing: &Drawing, case: &Case) -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        let path = site.clip();
        drawing.write(case.spoil.clone(), case.crf, case.every, &path);
        if let Some(kept) = std::env::var_os("WATCHPOST_DOCTOR_CLIPS") {
            std::fs::copy(&path, PathBuf::from(kept).join(format!("{}.mp4", case.name))).unwrap();
        }
        let (models, data) = (site.models(), site.dir.path().join("data"));
        let config = format!(
            "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"{}\"\n[vision]\nmodels = \"{}\"\n{}\n\
             [[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"{}\"\n{}\n",
            data.display(),
            models.display(),
            case.vision,
            path.display(),
            case.camera,
        );
        std::fs::write(site.config(), config).unwrap();
        site
    }

    /// The shipped models without the one for vehicles, which these clips don't need.
    fn models(&self) -> PathBuf {
        let folder = self.dir.path().join("models");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["plates-1", "corners-1", "reader-1"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
            std::os::unix::fs::symlink(from, folder.join(name)).unwrap();
        }
        folder
    }

    fn clip(&self) -> PathBuf {
        self.dir.path().join("clip.mp4")
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("watchpost.toml")
    }

    fn doctor(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.arg("doctor").args(args).arg("--config").arg(self.config()).env_remove("RUST_LOG");
        command.output().unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

/// What is wrong with what the doctor says of these cases.
fn wrong(drawing: &Drawing, cases: &[Case]) -> Vec<String> {
    let only = std::env::var("WATCHPOST_DOCTOR_ONLY").unwrap_or_default();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|c| c.name.contains(&only)) {
        let site = Site::new(drawing, case);
        let output = site.doctor(&["gate", "--json"]);
        let told = json(&output);
        let first = told["causes"][0]["kind"].as_str().unwrap_or("");
        let healthy = told["verdict"] == "healthy";
        if std::env::var_os("WATCHPOST_DOCTOR_CLIPS").is_some() {
            eprintln!(
                "== {} {}\n{}",
                case.name,
                told["passes"],
                String::from_utf8_lossy(&site.doctor(&["gate"]).stdout)
            );
        }
        if first != case.want || healthy != case.want.is_empty() || output.status.code() != Some(i32::from(!healthy)) {
            wrong.push(format!("{}: wanted {:?}, got {:#}", case.name, case.want, told["causes"]));
        }
    }
    wrong
}

#[test]
fn the_right_cause_is_named_first_of_a_picture_that_light_lens_or_coding_spoilt_and_a_clean_one_is_healthy() {
    let cases = [
        Case::new("clean", "", usual()),
        Case::new("dark", "dark", Spoil { dark: 0.8, noise: 3.0, ..usual() }),
        Case::new("overexposed", "bright", Spoil { bright: 0.9, ..usual() }),
        Case::new("defocused", "focus", Spoil { defocus_px: 4.5, ..usual() }),
        Case { crf: 46, ..Case::new("squeezed", "compression", usual()) },
        Case { every: 6, ..Case::new("slow", "frame-rate", usual()) },
    ];
    let wrong = wrong(&Drawing::of(|_| {}), &cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_right_cause_is_named_first_of_plates_that_are_small_smeared_or_tilted() {
    let small = Drawing::of(|clip| clip.passes.iter_mut().for_each(|p| p.plate_px = (24.0, 38.0)));
    let smeared = Drawing::of(|clip| clip.spoil.smear_px = 9.0);
    let tilted = Drawing::of(|clip| clip.spoil.tilt_deg = 24.0);
    let mut faults = wrong(&small, &[Case::new("small", "small", usual())]);
    faults.extend(wrong(&smeared, &[Case::new("smeared", "shutter", usual())]));
    faults.extend(wrong(&tilted, &[Case::new("tilted", "angle", usual())]));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_right_setting_is_named_first_where_a_setting_hides_the_plates() {
    let mask = "privacy_mask = [[[0.3, 0.0], [0.7, 0.0], [0.7, 1.0], [0.3, 1.0]]]";
    let roi = "roi = [[[0.0, 0.0], [0.25, 0.0], [0.25, 0.9], [0.0, 0.9]]]";
    let cases = [
        Case { camera: mask, ..Case::new("masked", "mask", usual()) },
        Case { camera: roi, ..Case::new("region", "region", usual()) },
        Case { vision: "detect_threshold = 0.97", ..Case::new("threshold", "find-threshold", usual()) },
    ];
    let wrong = wrong(&Drawing::of(|_| {}), &cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_needs_nothing_else_is_its_owners_and_the_table_is_plain_when_it_is_piped() {
    let site = Site::new(&Drawing::of(|clip| clip.seconds = 1.2), &Case::new("page", "", usual()));
    let page = site.dir.path().join("gate.html");
    let clip = site.clip();
    let output = site.doctor(&[
        clip.to_str().unwrap(),
        "--models",
        site.dir.path().join("models").to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
        "--frames",
        "12",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("plate width") && text.contains("12 frames") && !text.contains('\x1b'), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 110 || l.contains('/')), "{text}");
    assert!(said(&output).contains("shows number plates"));
    let html = std::fs::read_to_string(&page).unwrap();
    let mode = std::fs::metadata(&page).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for word in ["data:image/jpeg;base64,", "<svg", "<polyline", "prefers-color-scheme:dark", "@media print", "<figure"]
    {
        assert!(html.contains(word), "no {word}");
    }
    for word in ["http://", "https://", "<script", "url(", "@import"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn what_names_nothing_and_what_gives_no_picture_is_said() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let models = site.models();
    let config = format!(
        "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = {:?}\n[vision]\nmodels = {models:?}\n\
         [[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://127.0.0.1:9/x\"\n",
        site.dir.path().join("data"),
    );
    std::fs::write(site.config(), config).unwrap();
    for (args, words) in [
        (&["door"][..], &["door: is no file, and no camera of", "its cameras: gate"][..]),
        (&["http://192.0.2.7/"], &["http:// is not supported"]),
        (&["gate"], &["NO PICTURE", "no picture came", "watchpost probe"]),
        (&["gate", "--json"], &["\"verdict\":\"no-picture\"", "\"kind\":\"no-picture\""]),
        (&["missing.mp4", "--models", models.to_str().unwrap()], &["NO PICTURE", "missing.mp4"]),
    ] {
        let output = site.doctor(args);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for word in words {
            assert!(text.contains(word), "{args:?}: no {word:?}: {text}");
        }
    }
    assert_eq!(site.doctor(&["gate", "--seconds", "0"]).status.code(), Some(2));
}
