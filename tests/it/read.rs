//! `watchpost read` as a program: what it prints, what it does with what it can't read, its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with the tiny models under the names that the program looks for, and pictures.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (from, to) in [("spot", "plates-1"), ("scribe", "reader-1"), ("both", "both")] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(from);
            let target = dir.path().join("models").join(to);
            std::fs::create_dir_all(&target).unwrap();
            for entry in std::fs::read_dir(source).unwrap().map(Result::unwrap) {
                std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
            }
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A picture of 64x32 whose plate at 6,8 to 22,16 says ABC to the tiny models, two pixels a stroke.
    fn plate(&self, name: &str) -> PathBuf {
        let columns = [1, 1, 0, 2, 0, 3, 3, 0];
        let picture = image::RgbImage::from_fn(64, 32, |x, y| {
            let inside = (6..22).contains(&x) && (8..16).contains(&y);
            let lit = inside && columns[(x as usize - 6) / 2] == (y as usize - 8) / 2;
            image::Rgb([if lit { 255 } else { 0 }; 3])
        });
        self.save(name, &picture)
    }

    fn save(&self, name: &str, picture: &image::RgbImage) -> PathBuf {
        let path = self.path(name);
        picture.save(&path).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.arg("read").arg("--models").arg(self.path("models"));
        command
    }
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_picture_is_one_json_line_with_relative_boxes() {
    let bench = Bench::new();
    let black = bench.save("black.png", &image::RgbImage::new(40, 40));
    let output = bench.command().arg("--json").arg(bench.plate("a.png")).arg(&black).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [plate, nothing] = &lines(&output)[..] else { panic!("{output:?}") };
    assert_eq!((plate["width"].as_u64(), plate["height"].as_u64()), (Some(64), Some(32)));
    let read = &plate["reads"][0];
    assert_eq!(read["plate"], "ABC");
    let rect: Vec<f64> = read["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    for (got, want) in rect.iter().zip([6.0 / 64.0, 8.0 / 32.0, 22.0 / 64.0, 16.0 / 32.0]) {
        assert!((got - want).abs() < 1e-4, "{rect:?}");
    }
    assert_eq!(read["candidates"][0][0], "ABC");
    assert_eq!(read["char_confidences"].as_array().unwrap().len(), 3);
    assert_eq!(nothing["file"].as_str(), black.to_str());
    assert_eq!(nothing["reads"], Value::Array(Vec::new()));
}

#[test]
fn with_vehicles_each_read_names_the_one_that_carries_it() {
    let bench = Bench::new();
    let plate = bench.plate("a.png");
    // The tiny model sees a bus of 24x24 pixels around a bright pixel at 24,8, and a person where it is dark.
    let mut lit = image::open(&plate).unwrap().to_rgb8();
    lit.put_pixel(24, 8, image::Rgb([255; 3]));
    let lit = bench.save("b.png", &lit);
    let read = |extra: &[&str]| {
        let output = bench.command().arg("--json").args(extra).arg(&lit).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        lines(&output).remove(0)
    };
    let plain = read(&[]);
    assert!(plain.get("vehicles").is_none() && plain["reads"][0].get("vehicle").is_none(), "{plain}");
    let told = read(&["--vehicles", "both"]);
    let bus = &told["reads"][0]["vehicle"];
    assert_eq!((&told["reads"][0]["plate"], &bus["class"]), (&plain["reads"][0]["plate"], &Value::from("bus")));
    for (got, want) in bus["box"].as_array().unwrap().iter().zip([0.1875, 0.0, 0.5625, 0.625]) {
        assert!((got.as_f64().unwrap() - want).abs() < 1e-4, "{bus}");
    }
    let all: Vec<&str> = told["vehicles"].as_array().unwrap().iter().filter_map(|v| v["class"].as_str()).collect();
    assert!(all.contains(&"bus") && all.contains(&"person") && !all.contains(&"plate"), "{told}");
    let drawn = bench.path("drawn");
    let output = bench.command().args(["--vehicles", "both", "--draw"]).args([&drawn, &lit]).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("VEHICLE") && table.contains("bus 1.00"), "{table}");
    assert!(drawn.join("b.jpg").exists());
    let none = bench.command().args(["--vehicles", "plates-1"]).arg(&lit).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("tells of no vehicles"), "{}", stderr(&none));
}

#[test]
fn files_that_cannot_be_read_are_told_and_the_others_are_still_read() {
    let bench = Bench::new();
    let good = bench.plate("good.png");
    let cut = bench.path("cut.png");
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let text = bench.path("text.jpg");
    std::fs::write(&text, "no picture, whatever its name says").unwrap();
    let missing = bench.path("missing.jpg");
    let output = bench.command().arg("--json").args([&missing, &cut, &text, &good]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).len(), 1);
    assert_eq!(lines(&output)[0]["reads"][0]["plate"], "ABC");
    let told = stderr(&output);
    assert_eq!(told.lines().count(), 3, "{told}");
    for name in ["missing.jpg", "cut.png", "text.jpg"] {
        assert!(told.lines().any(|l| l.contains(name)), "{name} is missing in {told}");
    }
}

#[test]
fn the_table_is_for_people_and_draw_leaves_marked_pictures() {
    let bench = Bench::new();
    let plate = bench.plate("a.png");
    let drawn = bench.path("drawn");
    // Two pictures of one name do not overwrite each other.
    let output = bench.command().arg("--draw").arg(&drawn).args([&plate, &plate]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.starts_with("PLATE") && table.lines().count() == 3, "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("ABC"), "{table}");
    for name in ["a.jpg", "a-2.jpg"] {
        let picture = image::open(drawn.join(name)).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (64, 32));
        let coloured = |p: &image::Rgb<u8>| p.0.iter().max().unwrap() - p.0.iter().min().unwrap() > 60;
        assert!(picture.pixels().any(coloured), "{name} has no coloured outline");
    }
}

#[test]
fn with_crops_the_whole_picture_is_the_plate() {
    let bench = Bench::new();
    let columns = [1, 1, 0, 2, 2, 0, 3, 0];
    let crop = image::RgbImage::from_fn(160, 80, |x, y| {
        image::Rgb([if columns[x as usize / 20] == y as usize / 20 { 255 } else { 0 }; 3])
    });
    let crop = bench.save("crop.png", &crop);
    let output = bench.command().args(["--json", "--crops"]).arg(&crop).output().unwrap();
    assert_eq!(lines(&output)[0]["reads"][0]["plate"], "ABC", "{output:?}");
    assert_eq!(lines(&output)[0]["reads"][0]["box"], serde_json::json!([0.0, 0.0, 1.0, 1.0]));
}

#[test]
fn faults_of_library_and_models_are_one_line_that_says_what_to_do() {
    let bench = Bench::new();
    let plate = bench.plate("a.png");
    let told = |command: &mut Command| {
        let output = command.arg(&plate).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        stderr(&output)
    };
    let missing = told(bench.command().env("ORT_DYLIB_PATH", bench.path("nowhere.so")));
    assert!(missing.contains("nowhere.so") && missing.contains("make setup"), "{missing}");
    let garbage = bench.path("garbage.so");
    std::fs::write(&garbage, "no library").unwrap();
    let unfit = told(bench.command().env("ORT_DYLIB_PATH", &garbage));
    assert!(unfit.contains("garbage.so") && unfit.contains("can't be used as ONNX Runtime"), "{unfit}");
    let manifest = bench.path("models/reader-1/manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replace("alphabet = \"ABC\"", "alphabet = \"A\"").replace("\"1\"", "\"1\"\nodd = 1"),
    )
    .unwrap();
    let faulty = told(&mut bench.command());
    assert!(faulty.contains("reader-1") && faulty.contains("odd"), "{faulty}");
    let none = told(Command::new(env!("CARGO_BIN_EXE_watchpost")).args(["read", "--models"]).arg(bench.path("none")));
    assert!(none.contains("none/plates-1"), "{none}");
}

#[test]
fn wrong_usage_is_exit_2() {
    let bench = Bench::new();
    for args in [&[][..], &["--threshold", "7", "a.png"], &["--no-such-option", "a.png"]] {
        let output = bench.command().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[cfg(feature = "testkit")]
#[test]
fn a_video_is_a_line_a_frame_or_a_line_a_finished_track() {
    use watchpost::camera::testkit::Clip;
    let bench = Bench::new();
    let clip = bench.path("ball.mp4");
    Clip::H264.make(&clip).unwrap();
    let frames = bench.command().args(["--json", "--frames"]).arg(&clip).output().unwrap();
    assert_eq!(frames.status.code(), Some(0), "{}", stderr(&frames));
    let times: Vec<u64> = lines(&frames).iter().map(|l| l["at_ms"].as_u64().unwrap()).collect();
    assert_eq!(times, (0..50).map(|i| i * 40).collect::<Vec<_>>());
    let tracks = bench.command().arg("--json").arg(&clip).output().unwrap();
    assert_eq!(tracks.status.code(), Some(0), "{}", stderr(&tracks));
    let tracks = lines(&tracks);
    assert!(!tracks.is_empty() && tracks.len() < 50, "{tracks:?}");
    assert!(tracks.iter().all(|t| t["width"] == 320 && t["at_ms"].as_u64() <= t["end_ms"].as_u64()), "{tracks:?}");
}

#[cfg(feature = "testkit")]
mod videos {
    use std::time::Duration;

    use watchpost::camera::{self, Next, SourceUri};
    use watchpost::clock::Clock;
    use watchpost::domain::{CameraId, Frame};

    use super::*;
    use crate::passes::drawn::street::{self, Clip, Pass};

    /// Every frame of a video, by a look at each.
    fn each<R>(path: &Path, mut look: impl FnMut(&Frame) -> R) -> Vec<R> {
        let settings = camera::Settings::new(CameraId::new("file").unwrap(), 0, SourceUri::File(path.to_owned()));
        let mut source = camera::open(&settings, &Clock::system(), std::sync::Arc::default()).unwrap();
        let mut seen = Vec::new();
        loop {
            match source.next(Duration::from_secs(10)).unwrap() {
                Next::Frame(frame) => seen.push(look(&frame)),
                Next::End => return seen,
                Next::Idle => panic!("no frame for 10 s"),
            }
        }
    }

    /// Pixels of a green, that of a sure read: the road has none.
    fn green(frame: &Frame) -> usize {
        let (u, v) = (frame.chroma(1), frame.chroma(2));
        let rows = (0..u.height).filter_map(|y| Some(u.row(y)?.iter().zip(v.row(y)?)));
        rows.flatten().filter(|(u, v)| **u < 116 && **v < 100).count()
    }

    /// The luma of the lower left corner, where told reads stand.
    fn corner(frame: &Frame) -> Vec<u8> {
        let part = frame.luma().part(10, frame.luma().height - 16, 100, 10).unwrap();
        (0..10).flat_map(|y| part.row(y).unwrap().to_vec()).collect()
    }

    /// How far two are apart, steps of luma a pixel.
    fn apart(a: &[u8], b: &[u8]) -> f32 {
        a.iter().zip(b).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / a.len() as f32
    }

    #[test]
    fn a_video_is_written_with_what_was_seen_and_each_pass_has_a_tile_on_the_sheet() {
        let dir = tempfile::tempdir().unwrap();
        let clip = Clip {
            size: (640, 360),
            fps: 12,
            seconds: 2.5,
            seed: 3,
            passes: vec![Pass { seed: 3, from_s: 0.3, lasts_s: 1.5, plate_px: (64.0, 96.0), ..Pass::default() }],
            crf: 20,
            ..Clip::default()
        };
        let (truth, source) = (street::truth(&clip).remove(0), dir.path().join("gate.mp4"));
        street::encode(&clip, &source).unwrap();
        let sheet = dir.path().join("sheet.png");
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.args(["read", "--json", "--models"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
        // Into the very folder of the video: it must not be written over.
        command.arg("--draw").arg(dir.path()).arg("--sheet").arg(&sheet).arg(&source);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        let passes: Vec<Value> = lines(&output);
        assert_eq!(passes.len(), 1, "{passes:?}");
        assert_eq!(passes[0]["reads"][0]["plate"].as_str(), Some(truth.text.as_str()));

        let look = |frame: &Frame| (frame.format.width, frame.format.height, green(frame), corner(frame));
        let (plain, drawn) = (each(&source, look), each(&dir.path().join("gate-annotated.mp4"), look));
        assert_eq!((plain.len(), drawn.len()), (clip.count(), clip.count()));
        assert!(drawn.iter().all(|f| (f.0, f.1) == (640, 360)));
        assert!(plain.iter().all(|f| f.2 == 0));
        let green: Vec<usize> = drawn.iter().map(|f| f.2).collect();
        assert!(green.iter().filter(|count| **count > 5).count() >= clip.count() / 3, "{green:?}");
        // The text in the corner stays when the vehicle is gone.
        let apart = [0, clip.count() - 1].map(|n| apart(&plain[n].3, &drawn[n].3));
        assert!(apart[0] < 10.0 && apart[1] > 30.0, "{apart:?}");
        assert!(dir.path().read_dir().unwrap().flatten().any(|e| e.file_name() == "gate-track001.jpg"));

        let sheet = image::open(&sheet).unwrap().to_rgb8();
        assert_eq!(sheet.dimensions(), (340, 348));
        let middle = |y: u32| (100..240).map(|x| sheet.get_pixel(x, y)[0]).collect::<Vec<u8>>();
        // The crop of the plate: dark letters on light ground.
        let plate = 10 + 180 + 42;
        let row = middle(plate);
        assert!(row.iter().max().unwrap() - row.iter().min().unwrap() > 60);
    }

    #[test]
    fn without_an_encoder_the_video_is_read_all_the_same_and_what_to_install_is_told() {
        let bench = Bench::new();
        let clip = bench.path("ball.mp4");
        watchpost::camera::testkit::Clip::H264.make(&clip).unwrap();
        gstreamer::init().unwrap();
        // GStreamer as it is installed, but for two plugins.
        let plugins = bench.path("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for plugin in gstreamer::Registry::get().plugins().iter().filter_map(gstreamer::Plugin::filename) {
            let name = plugin.file_name().unwrap();
            if !["libgstx264.so", "libgstopenh264.so"].iter().any(|without| name == *without) {
                let _ = std::os::unix::fs::symlink(&plugin, plugins.join(name));
            }
        }
        let mut command = bench.command();
        command.env("GST_PLUGIN_SYSTEM_PATH_1_0", &plugins).env("GST_REGISTRY_1_0", bench.path("registry"));
        let output = command.arg("--json").arg("--draw").arg(bench.path("drawn")).arg(&clip).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(!lines(&output).is_empty());
        let told = stderr(&output);
        assert!(told.contains("x264enc") && told.contains("apt-get install gstreamer1.0-plugins-ugly"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }

    #[test]
    fn a_sheet_that_shows_nothing_is_not_written_and_that_is_told() {
        let bench = Bench::new();
        let black = bench.save("black.png", &image::RgbImage::new(40, 40));
        let sheet = bench.path("sheet.jpg");
        let output = bench.command().arg("--sheet").args([&sheet, &black]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(stderr(&output).contains("nothing to show") && !sheet.exists(), "{}", stderr(&output));
        for wrong in [&["--sheet", "sheet.txt"][..], &["--frames", "--sheet", "sheet.jpg"]] {
            let output = bench.command().args(wrong).arg(&black).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        }
        let nowhere = bench.path("no/sheet.jpg");
        let output = bench.command().arg("--sheet").arg(&nowhere).arg(bench.plate("a.png")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("no/sheet.jpg"), "{}", stderr(&output));
    }
}

#[test]
fn a_picture_in_the_folder_for_drawn_ones_is_not_written_over() {
    let bench = Bench::new();
    let picture = bench.path("a.jpg");
    image::RgbImage::new(64, 32).save(&picture).unwrap();
    let before = std::fs::read(&picture).unwrap();
    let output = bench.command().arg("--draw").arg(bench.path(".")).arg(&picture).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read(&picture).unwrap(), before);
    assert!(bench.path("a-2.jpg").exists());
}

#[test]
fn a_cameras_zones_and_lines_are_drawn_where_they_are_asked_for() {
    let bench = Bench::new();
    let picture = bench.save("street.png", &image::RgbImage::from_pixel(320, 180, image::Rgb([90; 3])));
    let config = bench.path("watchpost.toml");
    let line = "[[camera.line]]\nname = \"exit\"\npoints = [[0.1, 0.5], [0.9, 0.5]]\n";
    let cameras = "[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"test://ball\"\n";
    let bare = "[[camera]]\nid = \"bare\"\nnumber = 2\nuri = \"test://ball\"\n";
    std::fs::write(&config, format!("[box]\nsite = \"north\"\nid = \"box-1\"\n{cameras}{line}{bare}")).unwrap();
    let drawn = bench.path("drawn");
    let read = |camera: &str| {
        let mut command = bench.command();
        command.arg("--draw").arg(&drawn).arg("--config").arg(&config).args(["--camera", camera]);
        command.arg(&picture).output().unwrap()
    };
    assert!(read("gate").status.success(), "{}", stderr(&read("gate")));
    let shown = image::open(drawn.join("street.jpg")).unwrap().to_rgb8();
    let away = |x: u32, y: u32| shown.get_pixel(x, y).0.iter().map(|v| v.abs_diff(90)).max().unwrap();
    assert!(away(80, 90) > 30 && away(80, 30) < 12, "on the line {}, off it {}", away(80, 90), away(80, 30));
    for (camera, words) in
        [("yard", "there is no camera yard; its cameras: gate, bare"), ("bare", "no zone and no line")]
    {
        let output = read(camera);
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
    }
}

/// The vendor's build of ONNX Runtime keeps a database below the home of whoever loads it, and sends it to its vendor, where
/// it was not told otherwise before.
#[test]
fn nobody_is_told_of_what_runs_here() {
    let home = tempfile::tempdir().unwrap();
    let mut read = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    read.arg("read").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/one-plate.jpg"));
    read.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("ORT_DISABLE_TELEMETRY").env_remove("XDG_CACHE_HOME");
    let said = read.env("HOME", home.path()).output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("CJ270FS"), "{said:?}");
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
