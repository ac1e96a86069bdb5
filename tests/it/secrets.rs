//! What is secret stands nowhere: a box that knows 1,000 plates, two passwords and its own keys is run, fed, asked, made to
//! dump core and taken apart; then log, GStreamer's own log, health, command lines and every file of its state are searched.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, Proof, RtspServer, Serving};
use watchpost::centre::keys::hex;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::tls::TlsFiles;
use watchpost::domain::Broker;
use watchpost::supervise::testkit::{ORDER, Order, PLATES, plate};

use crate::kit::one_box::{OneBox, camera, hotlist};
use crate::kit::raw::Raw;

const PATIENCE: Duration = Duration::from_mins(2);
/// One comes as a systemd credential, one sealed from the centre.
const PASSWORDS: [&str; 2] = ["Xq7-first-of-two", "Zr9-other-of-two"];

/// What must not be found, in the forms in which it could be written down.
fn secrets(made: &OneBox) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for password in PASSWORDS {
        all.push((format!("password {password}"), password.as_bytes().to_vec()));
        all.push((format!("password {password}, hexadecimal"), hex(password.as_bytes()).into_bytes()));
        // As `Authorization: Basic` has it, from the first letter that no longer depends on the user.
        let basic = data_encoding::BASE64.encode(format!("admin:{password}").as_bytes());
        all.push((format!("password {password}, base64"), basic.as_bytes()[8..basic.len() - 4].to_vec()));
    }
    let store_key = std::fs::read(made.path("data/keys/store.key")).unwrap();
    // PKCS #8 of Ed25519: what is secret are the last 32 bytes of those that stand before the public key, if it is there.
    let pem = std::fs::read_to_string(made.path("data/keys/box.key")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let at = der.windows(4).position(|window| window == [0x04, 0x22, 0x04, 0x20]).unwrap() + 4;
    for (name, key) in [("store key", &store_key[..]), ("box key", &der[at..at + 32])] {
        all.push((name.to_owned(), key.to_vec()));
        all.push((format!("{name}, hexadecimal"), hex(key).into_bytes()));
        all.push((format!("{name}, base64"), data_encoding::BASE64_NOPAD.encode(key).into_bytes()));
    }
    all.push(("box key, as its file has it".to_owned(), body.into_bytes()));
    all
}

/// What of it stands in these bytes. The known plates all begin alike, which makes a thousand of them one search.
fn found_in(bytes: &[u8], secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut found: Vec<String> = secrets
        .iter()
        .filter(|(_, secret)| bytes.windows(secret.len()).any(|window| window == secret))
        .map(|(name, _)| name.clone())
        .collect();
    let shape = plate(0).len();
    let known = |window: &[u8]| {
        window[..4].eq_ignore_ascii_case(&plate(0).as_bytes()[..4]) && window[4..].iter().all(u8::is_ascii_digit)
    };
    found.extend(bytes.windows(shape).filter(|w| known(w)).map(|w| String::from_utf8_lossy(w).into_owned()).take(3));
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(files(&entry.path())),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all
}

/// A process and its children, whichever of its threads made them.
fn family(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children: Vec<u32> = children
        .flat_map(|text| text.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>())
        .collect();
    std::iter::once(pid).chain(children.into_iter().flat_map(family)).collect()
}

/// Addresses on which a process of these listens, of every kind of network socket; `None` where their sockets can't be seen.
fn listening(pids: &[u32]) -> Option<Vec<String>> {
    let mut inodes = Vec::new();
    for pid in pids {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
            inodes.extend(target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')).map(str::to_owned));
        }
    }
    if inodes.is_empty() {
        return None;
    }
    let mut all = Vec::new();
    // 0A: a TCP socket that listens; 07: a UDP socket that is bound and not connected.
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let text = std::fs::read_to_string(format!("/proc/{}/net/{table}", pids[0])).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == state && inodes.iter().any(|inode| inode == fields[9]) {
                all.push(format!("{table} {}", fields[1]));
            }
        }
    }
    Some(all)
}

/// The box's answers, health and camera states, as JSON and as bytes: everything but alerts.
async fn heard(raw: &mut Raw, at_least: usize) -> Vec<u8> {
    let (mut all, mut health, begun) = (Vec::new(), 0, Instant::now());
    while health < at_least && begun.elapsed() < PATIENCE {
        let heard = raw.until("a message that is no alert", |heard| !heard.topic.contains("/alert/")).await;
        health += usize::from(heard.topic.ends_with("/health"));
        all.extend(heard.topic.as_bytes());
        all.extend(&heard.payload);
    }
    assert!(health >= at_least, "the box tells its health");
    all
}

/// The daemon's process; ends with this value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two cameras, the list of all plates, and the folder of credentials: what the box is configured with.
fn prepared(made: &OneBox, workers: &str) -> ([RtspServer; 2], PathBuf, PathBuf) {
    let clip = made.path("clip.mp4");
    Clip::H264.make(&clip).unwrap();
    let serve = |proof, password: &str| {
        let credential = Some(("admin".to_owned(), password.to_owned()));
        RtspServer::start(&clip, &Serving { credential, proof, looped: true, ..Serving::default() }).unwrap()
    };
    let (one, two) = (serve(Proof::Digest, PASSWORDS[0]), serve(Proof::Basic, PASSWORDS[1]));
    let credentials = made.path("credentials");
    made.file("credentials/first", format!("admin:{}\n", PASSWORDS[0]));
    let rows: Vec<String> = (0..PLATES).map(|number| format!("{},,,,", plate(number))).collect();
    let header = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n";
    let csv = made.file("all.csv", header.to_owned() + &rows.join("\n"));
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    made.configure(&[
        format!("[vision]\nmodels = '{}'\n\n[decode]\nworkers = \"{workers}\"\n\n", models.display()),
        camera("first", 1, &one.url(), "credential = \"first\""),
        camera("second", 2, &two.url(), "credential = \"second\""),
        hotlist("all", 1, &csv, "serious") + "policy = \"exact\"\n",
    ]);
    ([one, two], csv, credentials)
}

/// Started where a core file would fall, and with as large a one as it likes.
fn start(made: &OneBox, here: &Path, announce: &Path, spoken: &Path, credentials: &Path) -> Daemon {
    std::fs::create_dir(here).unwrap();
    let order = Order::hits(1, PLATES, 200, announce.to_owned());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" run --config \"$1\"", env!("CARGO_BIN_EXE_watchpost")]);
    command.arg(made.path("watchpost.toml")).current_dir(here).env_remove("RUST_LOG");
    command.env(ORDER, serde_json::to_string(&order).unwrap()).env("CREDENTIALS_DIRECTORY", credentials);
    command.env("GST_DEBUG", "6,rtsp*:7").env("GST_DEBUG_FILE", spoken);
    command.stdout(Stdio::null()).stderr(File::create(made.path("daemon.log")).unwrap());
    Daemon(command.spawn().unwrap())
}

/// Decoding in the daemon itself, where GStreamer's own log can be had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plates_and_passwords_stand_in_no_log_no_health_no_core_and_no_file() {
    search("none", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_with_a_decode_worker_says_nothing_secret_either() {
    search("shared", 2).await;
}

async fn search(workers: &str, processes: usize) {
    let made = OneBox::new();
    let _broker = made.broker();
    let (_cameras, csv, credentials) = prepared(&made, workers);
    let tls = TlsFiles {
        ca: made.path("centre/tls/ca.pem"),
        certificate: made.path("centre/tls/centre.pem"),
        private_key: made.path("centre/tls/centre-key.pem"),
    };
    let address = Broker::parse(&format!("mqtts://127.0.0.1:{}", made.port())).unwrap();
    let mut raw = Raw::connect(&LinkSettings::new(address, Some(tls), "listener"), &["watchpost/v1/#"]).await;

    let (here, announce, spoken) = (made.path("cores"), made.path("announced"), made.path("gst.log"));
    let mut daemon = start(&made, &here, &announce, &spoken, &credentials);
    let credential = made.file("second.credential", format!("admin:{}\n", PASSWORDS[1]));
    let log = || std::fs::read_to_string(made.path("daemon.log")).unwrap();
    let begun = Instant::now();
    let set = ["secret", "set", "second", "--file", credential.to_str().unwrap(), "--box", "box-1"];
    while made.ctl(&set).code != Some(0) {
        let ended = daemon.0.try_wait().unwrap();
        assert!(begun.elapsed() < PATIENCE && ended.is_none(), "no answer: {}", log());
    }
    std::fs::remove_file(&credential).unwrap();
    let all_stored = || std::fs::read_to_string(&announce).unwrap_or_default().matches("committed").count();
    while all_stored() < PLATES as usize || log().matches("camera online").count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{} stored: {}", all_stored(), log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut told = heard(&mut raw, 1).await;
    for question in [&["box", "status", "--json"][..], &["log"]] {
        let said = made.ctl(&[question, &["--box", "box-1"]].concat());
        said.expect(0, &["box-1"]);
        told.extend(said.out.bytes());
    }

    let (secrets, pids) = (secrets(&made), family(daemon.0.id()));
    let clean = |what: &str, bytes: &[u8]| {
        let found = found_in(bytes, &secrets);
        assert!(found.is_empty(), "{what} ({} bytes) holds {found:?}", bytes.len());
    };
    assert!(pids.len() >= processes, "{pids:?}");
    // The search finds what is there.
    assert_eq!(found_in(&std::fs::read(&csv).unwrap(), &secrets).len(), 3);
    assert_eq!(found_in(&std::fs::read(credentials.join("first")).unwrap(), &secrets).len(), 1);
    for key in ["store.key", "box.key"] {
        assert!(!found_in(&std::fs::read(made.path("data/keys").join(key)).unwrap(), &secrets).is_empty(), "{key}");
    }

    clean("health and states", &told);
    for pid in &pids {
        for file in ["cmdline", "comm"] {
            clean(file, &std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default());
        }
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    }
    match listening(&pids) {
        Some(all) => assert_eq!(all, Vec::<String>::new(), "nothing listens on a network"),
        // Whoever is no root may not look.
        None => eprintln!("skipped: whether the box listens, its sockets can't be seen by this user"),
    }

    // As a fault of a library ends it.
    assert!(Command::new("kill").args(["-ABRT", &daemon.0.id().to_string()]).status().unwrap().success());
    let status = daemon.0.wait().unwrap();
    assert!(!status.success(), "{status}");
    assert!(std::os::unix::process::ExitStatusExt::signal(&status) == Some(6), "{status}");
    assert!(!std::os::unix::process::ExitStatusExt::core_dumped(&status), "a core was dumped");
    assert_eq!(files(&here), Vec::<PathBuf>::new(), "no core file");

    clean("the daemon's log", log().as_bytes());
    let spoken = std::fs::read(spoken).unwrap();
    let talks = |words: &[u8]| spoken.windows(words.len()).any(|window| window == words);
    assert!(workers == "shared" || talks(b"rtspsrc"), "GStreamer said something: {} bytes", spoken.len());
    clean("GStreamer's log", &spoken);
    let state = files(&made.path("data"));
    assert!(state.len() > 10, "{state:?}");
    for file in state.iter().filter(|file| !file.starts_with(made.path("data/keys"))) {
        clean(&file.display().to_string(), &std::fs::read(file).unwrap());
    }
}
