//! `watchpost check`: each check passes where all is well and fails by a real fault, and nothing is changed by it.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use serde_json::Value;
use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::centre::keyring::{Entry, Keyring, Role};
use watchpost::centre::keys::SigningKey;
use watchpost::centre::publish::News;
use watchpost::domain::{Severity, TimeMs};

use crate::kit::one_box::{OneBox, Said, camera, fixture, hotlist};
use crate::kit::site::Authority;
use crate::kit::stored::Stored;

/// A box with one file camera that can be played.
fn well() -> OneBox {
    let made = OneBox::new();
    let path = made.path("ball.mp4");
    Clip { frames: 10, ..Clip::H264 }.make(&path).unwrap();
    made.configure(&[camera("ball", 1, path.to_str().unwrap(), "")]);
    made
}

/// The findings of one check, as level and text.
async fn look(made: &OneBox, check: &str) -> Vec<(String, String)> {
    findings(&made.run("check", &[check, "--json"]).await, check)
}

fn findings(said: &Said, check: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found: Vec<_> = lines
        .inspect(|finding| {
            assert_eq!(finding["check"], check, "{said:#?}");
            assert_eq!(finding["todo"].is_string(), finding["level"] != "ok", "{finding}");
        })
        .map(|finding| (text(&finding["level"]), text(&finding["what"])))
        .collect();
    let failed = found.iter().any(|(level, _)| level == "failure");
    assert_eq!(said.code, Some(i32::from(failed)), "{said:#?}");
    found
}

#[track_caller]
fn has(found: &[(String, String)], level: &str, words: &str) {
    assert!(found.iter().any(|(l, what)| l == level && what.contains(words)), "no {level} {words:?} in {found:#?}");
}

#[track_caller]
fn passes(found: &[(String, String)], words: &str) {
    has(found, "ok", words);
    assert!(found.iter().all(|(level, _)| level != "failure"), "{found:#?}");
}

#[tokio::test]
async fn a_check_that_does_not_exist_is_wrong_usage() {
    well().run("check", &["colour"]).await.expect(2, &["colour", "certificates"]);
}

#[tokio::test]
async fn config_counts_what_is_there_and_wants_a_camera() {
    let made = well();
    passes(&look(&made, "config").await, "box box-1 at site north: 1 cameras");
    made.configure(&[]);
    has(&look(&made, "config").await, "warning", "no camera is configured");
}

#[tokio::test]
async fn disk_is_measured_and_a_place_that_cannot_be_written_fails() {
    let made = well();
    passes(&look(&made, "disk").await, "a durable write at");
    // Nobody makes a file there, root neither.
    let text = std::fs::read_to_string(made.path("watchpost.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("data_dir")).unwrap();
    made.file("watchpost.toml", text.replace(line, "data_dir = \"/proc/self/fdinfo\""));
    has(&look(&made, "disk").await, "failure", "/proc/self/fdinfo cannot be written");
}

#[tokio::test]
async fn memory_suffices_for_one_camera_and_not_for_five_thousand() {
    let made = well();
    let found = look(&made, "memory").await;
    assert!(found.iter().all(|(level, _)| level != "failure"), "{found:#?}");
    made.configure(&(1..=5_000).map(|n| camera(&format!("c{n}"), n, "none.mp4", "")).collect::<Vec<_>>());
    has(&look(&made, "memory").await, "failure", "MiB are needed, the machine has");
}

#[tokio::test]
async fn store_is_read_without_a_change_and_damage_is_told() {
    let made = well();
    passes(&look(&made, "store").await, "is not there yet");
    let store = made.store();
    passes(&look(&made, "store").await, "is in use by process");
    let stored = Stored::of(store, News::default());
    (1..=3).for_each(|n| {
        stored.hit(n, Severity::Minor);
        stored.flush();
    });
    stored.close();
    let newest = std::fs::read_dir(made.path("data/store/ledger")).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    passes(&look(&made, "store").await, "sound to its end");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    has(&look(&made, "store").await, "failure", "is damaged at byte");
    assert_eq!(std::fs::read(&newest).unwrap(), bytes, "nothing was salvaged by a look");
    assert!(!made.path("data/store/aside").exists());
}

#[tokio::test]
async fn keys_are_there_for_their_owner_alone() {
    let made = well();
    let found = look(&made, "keys").await;
    passes(&found, "box key");
    has(&found, "warning", "who steals the disk can read it");
    let key = made.path("data/keys/box.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    has(&look(&made, "keys").await, "failure", "box.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // As root alone a file can be given away.
    if chown(&key, Some(12_345), None).is_ok() {
        has(&look(&made, "keys").await, "failure", "belongs to user 12345");
    }
    std::fs::remove_file(made.path("data/keys/store.key")).unwrap();
    has(&look(&made, "keys").await, "failure", "store.key");
}

#[tokio::test]
async fn certificates_have_days_left_the_box_s_name_and_their_own_key() {
    let made = well();
    passes(&look(&made, "certificates").await, "days left");
    let config = made.config().centre.unwrap();
    let (certificate, key) = (config.certificate.unwrap(), config.private_key.unwrap());
    let (own, own_key) = (std::fs::read(&certificate).unwrap(), std::fs::read(&key).unwrap());
    let other = Authority::new(&made.path("other")).issue("box-2");
    std::fs::copy(&other.certificate, &certificate).unwrap();
    let found = look(&made, "certificates").await;
    has(&found, "failure", "is for \"box-2\", this box is \"box-1\"");
    has(&found, "failure", "is not the key of");
    std::fs::copy(&other.private_key, &key).unwrap();
    has(&look(&made, "certificates").await, "warning", "is not signed by an authority in");
    std::fs::write(&certificate, own).unwrap();
    std::fs::write(&key, own_key).unwrap();
    let ca = made.file("camera-ca.pem", "no certificate");
    made.configure(&[camera("gate", 1, "rtsps://192.0.2.1/1", &format!("ca = '{}'", ca.display()))]);
    has(&look(&made, "certificates").await, "failure", "camera-ca.pem");
    std::fs::copy(&other.ca, &ca).unwrap();
    passes(&look(&made, "certificates").await, "camera-ca.pem: camera");
}

#[tokio::test]
async fn keyring_is_the_newest_and_has_a_delivery_key_that_lasts() {
    let made = well();
    passes(&look(&made, "keyring").await, "signed by the root");
    let config = made.config().centre.unwrap();
    let root = SigningKey::read(&made.path("centre/keys/root.key")).unwrap();
    let now = watchpost::clock::Clock::system().utc();
    let put = |serial, not_after: Option<TimeMs>| {
        let key = SigningKey::read(&made.path("centre/keys/delivery.key")).unwrap().public().clone();
        let entry = Entry {
            key,
            name: "delivery".into(),
            role: Role::Delivery,
            org: "north".into(),
            not_before: TimeMs(1),
            not_after,
            revoked: None,
            supervisor: false,
        };
        let ring = Keyring { serial, issued: now, entries: vec![entry] };
        std::fs::write(&config.keyring, ring.sign(&root).unwrap()).unwrap();
    };
    put(7, Some(TimeMs(now.0 + 86_400_000)));
    has(&look(&made, "keyring").await, "warning", "in 30 days no delivery key will be valid any more");
    put(7, Some(TimeMs(2)));
    has(&look(&made, "keyring").await, "failure", "no delivery key is valid now");
    made.file("data/keys/keyring.serial", "9\n");
    put(7, None);
    has(&look(&made, "keyring").await, "failure", "has serial 7, this box has seen 9");
    made.file("data/keys/keyring.serial", "7\n");
    passes(&look(&made, "keyring").await, "serial 7");
}

#[tokio::test]
async fn lists_are_loaded_and_their_age_is_held_against_their_freshness() {
    let made = well();
    let list = made.file("list.csv", std::fs::read(fixture("hotlist.csv")).unwrap());
    let section = |more: &str| hotlist("watched", 1, &list, "info") + more;
    made.configure(&[section("freshness_hours = 24.0\n")]);
    passes(&look(&made, "lists").await, "0 hours old, fresh");
    let file = std::fs::File::options().append(true).open(&list).unwrap();
    let hours = |n: u64| std::time::Duration::from_secs(n * 3_600);
    let now = file.metadata().unwrap().modified().unwrap();
    file.set_modified(now - hours(30)).unwrap();
    has(&look(&made, "lists").await, "warning", "past its freshness");
    file.set_modified(now + hours(30)).unwrap();
    has(&look(&made, "lists").await, "warning", "yet to come");
    made.file("list.csv", "PlateNumber\n");
    has(&look(&made, "lists").await, "warning", "no entry at all");
    made.file("list.csv", "PlateNumber\nA1\n");
    has(&look(&made, "lists").await, "failure", "the list is not taken: line 2");
}

#[tokio::test]
async fn models_are_loaded_and_run_once() {
    let made = well();
    let found = look(&made, "models").await;
    passes(&found, "plates-1, reader-1");
    has(&found, "ok", "ms a frame, ");
    let folder = fixture("models");
    let models = format!("[vision]\nmodels = '{}'\ndetector = \"nan\"\nreader = \"scribe\"\n", folder.display());
    made.configure(&[models]);
    // It loads; that it gives no numbers is seen by running it.
    has(&look(&made, "models").await, "failure", "weights are damaged or do not fit its input");
}

#[tokio::test]
async fn each_kind_of_fault_of_a_model_says_what_to_do_about_it() {
    let made = well();
    let told = async |file: &str, from: &str, to: &str, library: Option<&Path>| {
        // The tiny detector, with one of its files changed.
        for name in ["manifest.toml", "spot.onnx"] {
            let mut bytes = std::fs::read(fixture("models/spot").join(name)).unwrap();
            if name == file {
                bytes = match std::str::from_utf8(&bytes) {
                    Ok(text) if !from.is_empty() => {
                        assert!(text.contains(from), "{text}");
                        text.replace(from, to).into_bytes()
                    }
                    _ => to.as_bytes().to_vec(),
                };
            }
            made.file(&format!("models/spot/{name}"), bytes);
        }
        for name in ["manifest.toml", "scribe.onnx"] {
            made.file(&format!("models/scribe/{name}"), std::fs::read(fixture("models/scribe").join(name)).unwrap());
        }
        let mut command = made.command("check");
        command.args(["models", "--json"]).envs(library.map(|path| ("ORT_DYLIB_PATH", path)));
        let said = tokio::task::spawn_blocking(move || Said::of(command.output().unwrap())).await.unwrap();
        let finding: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
        (finding["what"].as_str().unwrap().to_owned(), finding["todo"].as_str().unwrap_or_default().to_owned())
    };
    let vision = |detector: &str| {
        let folder = made.path("models");
        format!("[vision]\nmodels = '{}'\ndetector = \"{detector}\"\nreader = \"scribe\"\n", folder.display())
    };
    made.configure(&[vision("spot")]);
    let fine = told("", "", "", None).await;
    assert!(fine.0.contains("spot, scribe") && fine.1.is_empty(), "{fine:?}");
    let nowhere = made.path("nowhere.so");
    let pointer = "version https://git-lfs.github.com/spec/v1\n";
    let faults = [
        (told("", "", "", Some(&nowhere)).await, "ONNX Runtime is missing", "The inference library"),
        (
            told("manifest.toml", "sha256 = \"9a", "sha256 = \"00", None).await,
            "its manifest says",
            "copy the model's folder anew",
        ),
        (told("spot.onnx", "", pointer, None).await, "is refused", "When a model is refused"),
        (told("manifest.toml", "[64, 32]", "[32, 32]", None).await, "has shape", "The manifest"),
        (told("manifest.toml", "\"spot.onnx\"", "\"gone.onnx\"", None).await, "gone.onnx", "may read it"),
    ];
    for ((what, todo), seen, remedy) in faults {
        assert!(what.contains(seen) && todo.contains(remedy), "{what}: {todo}");
    }
    made.configure(&[vision("elsewhere")]);
    let (what, todo) = told("", "", "", None).await;
    assert!(what.contains("elsewhere") && todo.contains("a folder of that name"), "{what}: {todo}");
    let folder = fixture("models");
    made.configure(&[format!("[vision]\nmodels = '{}'\ndetector = \"nan\"\nreader = \"scribe\"\n", folder.display())]);
    let (what, todo) = told("", "", "", None).await;
    assert!(what.contains("holds NaN") && todo.contains("take other weights"), "{what}: {todo}");
}

#[tokio::test]
async fn pipelines_of_one_s_own_must_end_where_frames_are_taken() {
    let made = well();
    passes(&look(&made, "pipelines").await, "all in order");
    let own = made.file("own.txt", "h264parse name=coded ! avdec_h264 ! fakesink\n");
    made.configure(&[camera("gate", 1, "rtsp://192.0.2.1/1", &format!("pipeline = '{}'", own.display()))]);
    has(&look(&made, "pipelines").await, "failure", "it must end in \"appsink name=frames\"");
}

#[tokio::test]
async fn elements_that_are_not_installed_are_named_with_their_package() {
    let made = well();
    passes(&look(&made, "elements").await, "is installed");
    let mut command = made.command("check");
    // A GStreamer without plugins, as on a machine where nobody installed them.
    command.args(["elements", "--json"]).env("GST_PLUGIN_SYSTEM_PATH_1_0", made.path("none"));
    command.env("GST_REGISTRY_1_0", made.path("registry")).env("GIO_MODULE_DIR", made.path("none"));
    made.configure(&[camera("gate", 1, "rtsps://192.0.2.1/1", "")]);
    let said = tokio::task::spawn_blocking(move || Said::of(command.output().unwrap())).await.unwrap();
    let found = findings(&said, "elements");
    has(&found, "failure", "rtspsrc is not installed: pipeline rtsp needs it");
    has(&found, "warning", "avdec_h265 is not installed");
    has(&found, "failure", "no TLS for rtsps:// cameras is installed");
    said.expect(1, &["apt-get install gstreamer1.0-plugins-good", "apt-get install glib-networking"]);
}

#[tokio::test]
async fn what_auto_takes_is_said_with_the_reason_and_a_decoder_that_fails_is_a_warning() {
    let made = well();
    let path = made.path("ball.mp4");
    let with = |pipeline: &str| [camera("ball", 1, path.to_str().unwrap(), &format!("pipeline = \"{pipeline}\""))];
    made.configure(&with("auto"));
    let found = look(&made, "decoding").await;
    passes(&found, "ball: pipeline = \"auto\" takes for h264 file-h264");
    if !Path::new("/dev/dri").exists() {
        has(&found, "ok", "file-h264, by software (VA-API: no /dev/dri/renderD*, V4L2 (stateful): no /dev/video*");
    }
    passes(&look(&made, "elements").await, "is installed");
    passes(&look(&made, "cameras").await, "first frame after");
    if !Path::new("/dev/nvidia0").exists() {
        made.configure(&with("file-h264-nv"));
        has(&look(&made, "elements").await, "warning", "there is no nvh264dec: cameras with pipeline file-h264-nv");
    }
    made.configure(&with("file-h264-broken"));
    let found = look(&made, "cameras").await;
    has(&found, "warning", "but its hardware decoder failed, the camera is decoded by software");
    has(&found, "warning", "file-h264-broken");
}

#[tokio::test]
async fn what_the_library_has_and_what_runs_the_models_is_said() {
    let made = well();
    has(&look(&made, "models").await, "ok", "run by cpu; with ");
    made.configure(&["[vision]\nproviders = [\"qnn\", \"cpu\"]\n".to_owned()]);
    has(&look(&made, "models").await, "warning", "qnn of [vision] providers is not used: models are run by cpu");
    made.configure(&["[vision]\nproviders = [\"qnn\"]\n".to_owned()]);
    has(&look(&made, "models").await, "failure", "is to be run by qnn");
}

#[tokio::test]
async fn broker_gives_a_session_also_beside_a_daemon() {
    let made = well();
    has(&look(&made, "broker").await, "failure", "mqtts://127.0.0.1");
    let broker = made.broker();
    passes(&look(&made, "broker").await, "session as box-1, acks can be heard");
    let store = made.store();
    passes(&look(&made, "broker").await, "session as box-1-check, acks can be heard");
    drop(store);
    drop(broker);
    let _strange = made.strange_broker();
    has(&look(&made, "broker").await, "failure", "UnknownIssuer");
}

#[tokio::test]
async fn cameras_are_opened_together_and_each_is_told() {
    let made = well();
    let good = made.path("ball.mp4");
    let none = made.path("none.mp4");
    let both = [("good", 1, &good), ("none", 2, &none)];
    made.configure(&both.map(|(id, n, path): (&str, u16, &std::path::PathBuf)| camera(id, n, text(path), "")));
    let found = look(&made, "cameras").await;
    has(&found, "ok", "good: 320×180 I420, first frame after");
    has(&found, "failure", "none: ");
}

#[tokio::test]
async fn both_streams_of_a_camera_are_opened_and_a_dead_main_stream_fails() {
    let made = well();
    let clip = made.path("ball.mp4");
    let server = RtspServer::start(&clip, &Serving { looped: true, ..Serving::default() }).unwrap();
    let substream = |main: &str| camera("gate", 1, main, &format!("substream = '{}'", server.url()));
    made.configure(&[substream(&server.url())]);
    let found = look(&made, "cameras").await;
    passes(&found, "gate (substream): 320×180");
    has(&found, "ok", "gate (main stream): 320×180");
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    made.configure(&[substream(&format!("rtsp://127.0.0.1:{port}/main"))]);
    let found = look(&made, "cameras").await;
    has(&found, "ok", "gate (substream): 320×180");
    has(&found, "failure", "gate (main stream): ");
}

#[tokio::test]
async fn a_credential_that_is_not_there_is_told_once_with_what_to_do() {
    let made = well();
    let with = |name: &str| camera("gate", 1, "rtsp://192.0.2.1/1", &format!("credential = '{name}'"));
    made.configure(&[with("nothere")]);
    let path = made.path("data/credentials/nothere").display().to_string();
    let told = format!("credential \"nothere\": no file {path}; put user:password there, mode 0600");
    let said = made.run("check", &["cameras"]).await;
    said.expect(1, &[&format!("gate: {told}"), "correct its credential"]);
    assert!(!said.out.contains("camera gate") && !said.out.contains("No such file"), "{said:#?}");
    // What cannot be read is told with the system's reason, once.
    std::fs::create_dir_all(made.path("data/credentials/folder")).unwrap();
    std::fs::set_permissions(made.path("data/credentials/folder"), std::fs::Permissions::from_mode(0o700)).unwrap();
    made.configure(&[with("folder")]);
    let said = made.run("check", &["cameras"]).await;
    said.expect(1, &["gate: credential \"folder\": cannot read "]);
    assert_eq!(said.out.matches("os error").count(), 1, "{said:#?}");
    made.file("data/credentials/empty", "admin");
    std::fs::set_permissions(made.path("data/credentials/empty"), std::fs::Permissions::from_mode(0o600)).unwrap();
    made.configure(&[with("empty")]);
    made.run("check", &["cameras"]).await.expect(1, &["empty holds no user:password"]);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn clock_is_told_and_does_not_fail_on_a_machine_whose_clock_was_set() {
    let found = look(&well(), "clock").await;
    assert_eq!(found.len(), 1);
    assert_ne!(found[0].0, "failure", "{found:#?}");
}

#[tokio::test]
async fn console_tells_whether_its_key_opens_reads() {
    let made = well();
    let data = made.config().site.data_dir;
    let put = |name: &str, bytes: &[u8]| {
        let path = made.file(data.join("credentials").join(name).to_str().unwrap(), bytes);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("console", b"5c0d8a6e1f4b47d2a9e3");
    let camera = camera("ball", 1, made.path("ball.mp4").to_str().unwrap(), "");
    made.configure(&[camera, "[console]\nkey = \"reader\"\n".to_owned()]);
    has(&look(&made, "console").await, "failure", "the console's key, in whose name it asks for reads");
    for (of, level, words) in [
        ("investigator", "ok", "it asks for reads as"),
        ("custodian", "warning", "the console's key has the role custodian, wanted investigator"),
    ] {
        put("reader", &std::fs::read(made.path(&format!("centre/keys/{of}.key"))).unwrap());
        has(&look(&made, "console").await, level, words);
    }
    put("reader", SigningKey::generate().unwrap().1.as_bytes());
    has(&look(&made, "console").await, "warning", "the keyring does not know the console's key");
}
