//! `watchpostctl tail` as a program: what it prints, what it exits with, what it remembers.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::clock::Clock;
use watchpost::domain::Severity;

use crate::kit::one_box::{OneBox, camera};
use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::Site;

const LONG: Duration = Duration::from_secs(90);

fn tail(centre: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
    command.arg("--centre").arg(centre).arg("tail").args(options).stdin(Stdio::null());
    command
}

async fn run(centre: &Path, options: &[&str]) -> Output {
    let mut command = tail(centre, options);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn alert_seqs(output: &Output) -> Vec<u64> {
    objects(output).iter().filter(|o| o["kind"] == "alert").map(|o| o["seq"].as_u64().unwrap()).collect()
}

fn put(outbox: &MemoryOutbox, count: u64) {
    for _ in 0..count {
        outbox.put(Severity::Minor, Clock::system().utc());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_each_alert_once_over_its_restarts() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.centre_folder();
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox.clone());
    put(&outbox, 20);
    let first = run(&centre, &["--json", "--count", "20"]).await;
    assert!(first.status.success(), "{first:?}");
    assert!(running.session.drained(LONG).await, "the last acks leave before it ends");
    put(&outbox, 10);
    let second = run(&centre, &["--json", "--count", "10"]).await;
    assert!(running.session.drained(LONG).await);
    let third = run(&centre, &["--json", "--until-idle", "8"]).await;
    let mut seqs = alert_seqs(&first);
    seqs.extend(alert_seqs(&second));
    seqs.extend(alert_seqs(&third));
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=30).collect::<Vec<u64>>());
    assert!(second.status.success() && third.status.success());
    let summary = objects(&second).pop().unwrap();
    assert_eq!((summary["kind"].as_str(), summary["alerts"].as_u64()), (Some("summary"), Some(10)));
    assert!(summary["gaps"].as_array().unwrap().is_empty());
    running.stop().await;
}

/// Ends with this value.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_proof_that_tail_asks_for_does_not_end_its_own_session() {
    let made = OneBox::new();
    made.configure(&[camera("gate", 1, "test://ball", "")]);
    let _broker = made.broker();
    let mut listening = tail(&made.path("centre"), &["--json"]);
    let listening = listening.stdout(Stdio::piped()).spawn().unwrap();
    let daemon = Daemon(made.command("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    // A command makes the log grow, so that there is something to prove.
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
    let command = command.arg("--centre").arg(made.path("centre")).args(["box", "status"]);
    assert!((0..20).any(|_| command.output().unwrap().status.success()));
    // How many records the log had that is believed.
    let believed = || -> Option<u64> {
        let kept = std::fs::read(made.path("centre/audit/north.box-1.json")).ok()?;
        let kept: serde_json::Value = serde_json::from_slice(&kept).ok()?;
        kept["believed"].as_str()?.lines().nth(1)?.parse().ok()
    };
    let begun = Instant::now();
    let mut first = None;
    while first.is_none() || believed() <= first {
        first = first.or_else(&believed);
        assert!(begun.elapsed() < LONG, "no proof came: {first:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The session that it asked by is over, and so would its own be.
    std::thread::sleep(Duration::from_secs(2));
    assert!(Command::new("kill").arg(listening.id().to_string()).status().unwrap().success());
    let output = listening.wait_with_output().unwrap();
    drop(daemon);
    let told = objects(&output);
    let sessions: Vec<_> = told.iter().filter(|o| o["kind"] == "session").map(|o| &o["state"]).collect();
    assert_eq!(sessions, ["connected"], "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_prints_a_table_that_names_the_camera_and_a_summary() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.centre_folder();
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox.clone());
    assert!(running.session.connected(LONG).await);
    put(&outbox, 3);
    let output = run(&centre, &["--count", "3"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TIME (UTC)"), "{text}");
    assert!(lines[1].contains("box-1") && lines[1].contains("TST0001") && lines[1].contains("95.0 %"), "{text}");
    assert!(lines[1].contains("1 gate"), "the camera's status came before the alerts: {text}");
    assert!(text.contains("3 alerts (3 minor), 0 duplicates removed, 0 gaps, latency p50"), "{text}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_could_read_is_not_acknowledged() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.centre_folder();
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox.clone());
    assert!(running.session.connected(LONG).await);
    let mut child = tail(&centre, &["--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    put(&outbox, 5);
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(outbox.waiting(), 5);
    let output = run(&centre, &["--json", "--count", "5"]).await;
    assert_eq!(alert_seqs(&output), [1, 2, 3, 4, 5]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_authority_is_named_and_ends_with_1() {
    let mut site = Site::new();
    site.add_box("box-1");
    let _broker = site.start_strange_broker();
    let output = run(&site.centre_folder(), &["--until-idle", "8"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another CA"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_ends_with_2_and_a_missing_folder_with_1() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["--count", "many"]).await.status.code(), Some(2));
    let output = run(folder.path(), &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("watchpostctl.toml") && said.contains("init --centre"), "{said}");
}
