//! `watchpostctl boxes` as a program, over TLS, with boxes in every state.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::centre::boxes::KnownBox;
use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::{self, LinkEvent, Token};
use watchpost::centre::topics::{DEFAULT_ROOT, Topics};
use watchpost::centre::wire::{self, BootId, BoxState, CameraStatus, Place, Status};
use watchpost::domain::{BoxId, CameraId, ClockState, SiteId, TimeMs};
use watchpost::health::{CameraCounters, CameraState};

use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::{Running, Site, TestBox};

const LONG: Duration = Duration::from_secs(90);

async fn boxes(centre: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
    command.arg("--centre").arg(centre).arg("boxes").args(options).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The row of a box and what is said under it.
fn row(table: &str, id: &str) -> String {
    let mut lines = table.lines().skip_while(|l| !l.starts_with(&format!("{id} ")));
    let first = lines.next().unwrap_or_else(|| panic!("no {id} in:\n{table}"));
    let more: Vec<&str> = lines.take_while(|l| l.starts_with(' ')).collect();
    format!("{first}\n{}", more.join("\n"))
}

/// A box's session with the broker, which tells its health often.
async fn start(mut test_box: TestBox) -> Running {
    test_box.health_every = Duration::from_millis(300);
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox);
    let gate = running.health.camera(&CameraId::new("gate").unwrap());
    gate.received.add(100);
    gate.set_state(CameraState::Online);
    assert!(running.session.connected(LONG).await);
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boxes_in_every_state_are_shown_and_what_is_forged_is_named_and_not_believed() {
    let mut site = Site::new();
    let [good, bad_camera, dies, stops, mut forger] = [1, 2, 3, 4, 5].map(|n| site.add_box(&format!("box-{n}")));
    site.add_box("box-6");
    let folder = site.centre_folder();
    // Known to the broker, and not to the centre's registry.
    let stranger = site.add_box("box-7");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    forger.identity.key = SigningKey::from_seed(&[9; 32]).unwrap().into();

    let dies = start(dies).await;
    centre.until("the camera of the box that dies", |log| log.cameras == 1).await;
    dies.die();
    let good = start(good).await;
    let bad_camera = start(bad_camera).await;
    bad_camera.health.camera(&CameraId::new("gate").unwrap()).set_state(CameraState::Offline("no route".to_owned()));
    start(stops).await.stop().await;
    let forger = start(forger).await;
    let stranger = start(stranger).await;
    centre
        .until("every state", |log| {
            let has = |word| log.statuses.contains(&word);
            let online = log.statuses.iter().filter(|s| **s == "online").count() >= 4;
            let offline = log.camera_statuses.iter().any(|c| c.reason.as_deref() == Some("no route"));
            has("offline") && has("stopped") && online && offline && !log.refused.is_empty()
        })
        .await;

    let output = boxes(&folder, &["--wait", "20"]).await;
    let table = text(&output);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let said = row(&table, "box-1");
    assert!(said.contains("north  online") && said.contains("1/1") && !said.contains('!'), "{table}");
    let said = row(&table, "box-2");
    assert!(said.contains("0/1") && said.contains("camera 1 gate offline: no route"), "{table}");
    let said = row(&table, "box-3");
    assert!(said.contains("offline") && said.contains("–/1") && said.contains("connection broke"), "{table}");
    assert!(row(&table, "box-4").contains("stopped in order"), "{table}");
    let said = row(&table, "box-5");
    assert!(said.contains("unheard") && said.contains("its status is not believed"), "{table}");
    assert!(row(&table, "box-6").contains("no status of it that can be believed"), "{table}");
    assert!(!table.contains("\nbox-7"), "{table}");
    assert!(table.contains("not believed: north/box-7\n"), "{table}");
    assert!(table.contains("6 boxes: 2 online, 1 offline, 1 stopped, 2 unheard;"), "{table}");
    assert!(table.contains("no answer from: box-3, box-5, box-6\n"), "{table}");

    let one = boxes(&folder, &["--box", "box-1", "--json"]).await;
    assert!(one.status.success(), "{one:?}");
    let told = objects(&one);
    assert_eq!((told.len(), told[0]["id"].as_str(), told[0]["state"].as_str()), (2, Some("box-1"), Some("online")));
    assert_eq!(told[0]["health"]["cameras"][0]["received"], 100);
    assert_eq!(told[1]["states"]["online"], 1);
    let cameras = text(&boxes(&folder, &["--box", "box-1", "--cameras", "--wait", "0"]).await);
    assert!(row(&cameras, "box-1").contains("        1 gate              online"), "{cameras}");
    good.health.alert_made(site.clock.utc());
    let again = text(&boxes(&folder, &["--box", "box-1"]).await);
    assert!(again.contains("LAST ALERT") && row(&again, "box-1").contains("no. 0, "), "{again}");
    let wrong = objects(&boxes(&folder, &["--wrong", "--json", "--site", "north"]).await);
    assert!(wrong.iter().all(|o| o["id"] != "box-1") && wrong.len() == 6, "{wrong:?}");
    let stopped = objects(&boxes(&folder, &["--state", "stopped", "--json"]).await);
    assert_eq!((stopped.len(), stopped[0]["id"].as_str()), (2, Some("box-4")));
    let none = boxes(&folder, &["--site", "south"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("names no such box"));
    for running in [good, bad_camera, forger, stranger] {
        running.stop().await;
    }
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_boxes_does_not_end_a_tail_and_takes_no_alert() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let folder = site.centre_folder();
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox.clone());
    assert!(running.session.connected(LONG).await);
    let centre = site.start_centre().await;
    outbox.put(watchpost::domain::Severity::Minor, site.clock.utc());
    centre.until("the alert", |log| log.alerts.len() == 1).await;
    let _ = boxes(&folder, &["--wait", "0"]).await;
    outbox.put(watchpost::domain::Severity::Minor, site.clock.utc());
    centre.until("the next alert", |log| log.alerts.len() == 2).await;
    assert_eq!(centre.look(|log| (log.connected, log.lost.len())), (1, 0));
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_says_so_and_ends_with_1() {
    let mut site = Site::new();
    site.add_box("box-1");
    let output = boxes(&site.centre_folder(), &[]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("mqtts://127.0.0.1:{}", site.port)) && said.contains("refused"), "{said}");
}

/// Publishes retained messages as somebody whom the broker lets write everywhere.
async fn seed(site: &Site, mut messages: VecDeque<(String, Vec<u8>)>) {
    let settings = site.link("seeder", site.authority.issue("seeder"));
    let (mut sender, mut events) = link::open(&settings, &site.clock, None).unwrap();
    let (mut connected, mut taken, all) = (false, 0, messages.len());
    while taken < all {
        let event = events.next().await.unwrap();
        match sender.understand(event) {
            LinkEvent::Connected { .. } => connected = true,
            LinkEvent::Published { taken: how, .. } => {
                assert_ne!(how, link::Taken::Refused);
                taken += 1;
            }
            _ => {}
        }
        while connected && sender.room() > 0 {
            let Some((topic, payload)) = messages.pop_front() else { break };
            assert!(sender.publish(&topic, payload, true, Token::Other));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_boxes_with_four_cameras_each_are_all_shown() {
    let mut site = Site::new();
    let mut acl = std::fs::OpenOptions::new().append(true).open(site.dir.path().join("acl")).unwrap();
    acl.write_all(b"\nuser seeder\ntopic readwrite watchpost/#\n").unwrap();
    let _broker = site.start_broker();
    let north = SiteId::new("north").unwrap();
    let now = site.clock.utc();
    let mut messages = VecDeque::new();
    for n in 0..500_u16 {
        let id = BoxId::new(&format!("box-{n:03}")).unwrap();
        let key = SigningKey::from_seed(&[(n % 250) as u8 + 1; 32]).unwrap();
        let topics = Topics::new(DEFAULT_ROOT, &north, &id).unwrap();
        site.boxes.add(id, KnownBox::new(north.clone(), key.public().clone()));
        let state = if n == 77 { BoxState::Offline } else { BoxState::Online };
        let status = Status::new(state, BootId([1; 8]), 1, now, ClockState::Synced);
        messages.push_back((topics.status(), wire::sign(&status, &topics.status(), &key).unwrap()));
        for camera in 1..=4_u16 {
            let counters = CameraCounters::default();
            counters.set_state(CameraState::Online);
            // Camera 4 of box 42 was taken out of the configuration before this session.
            let time = if (n, camera) == (42, 4) { TimeMs(now.0 - 60_000) } else { now };
            let told = CameraStatus::of(camera, &counters, time).at(&Place::default());
            let topic = topics.camera_status(&CameraId::new(&format!("cam-{camera}")).unwrap());
            messages.push_back((topic.clone(), wire::sign(&told, &topic, &key).unwrap()));
        }
    }
    seed(&site, messages).await;
    let began = Instant::now();
    let output = boxes(&site.centre_folder(), &["--wait", "0"]).await;
    let (table, took) = (text(&output), began.elapsed());
    assert!(table.contains("500 boxes: 499 online, 1 offline; 1995 of their 1995 cameras online"), "{table}");
    assert!(row(&table, "box-042").contains("3/3") && row(&table, "box-043").contains("4/4"), "{table}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    let silent = boxes(&site.centre_folder(), &["--box", "box-001", "--wait", "1"]).await;
    assert!(text(&silent).contains("no health within 1 s") && !silent.status.success(), "{silent:?}");
}
