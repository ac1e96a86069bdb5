//! `docs/examples`, for people who write their own centre: `centre.py` verifies an alert of a real box and asks it for reads,
//! `receive.py` stores and acknowledges, with public libraries alone, over a real broker.
//!
//! `scripts/setup.sh --tools` brings its packages into `target/python`. Where neither those nor installed ones are there
//! the tests say so and prove nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::kit::one_box::{OneBox, Said, camera, fixture, hotlist};

fn python() -> Command {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
    // Debian's own Python, whose packages those are.
    let mut command = Command::new("/usr/bin/python3");
    command.env("PYTHONPATH", packages).stdin(Stdio::null());
    command
}

/// Whether the example can run here; says so when it can't.
fn can_run() -> bool {
    let tried = python().args(["-c", "import cbor2, cryptography, tomllib, paho.mqtt.client"]).output();
    let missing = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let last = missing.lines().last().unwrap_or_default();
    eprintln!(
        "SKIPPED, nothing was tested: docs/examples lack their packages ({last}); scripts/setup.sh --tools brings them"
    );
    false
}

fn example(made: &OneBox, args: &[&str]) -> Command {
    program(made, "centre.py", args)
}

fn program(made: &OneBox, name: &str, args: &[&str]) -> Command {
    let mut command = python();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(name));
    command.arg(made.path("centre")).args(args);
    command
}

fn rows(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_example_verifies_an_alert_and_asks_for_reads() {
    if !can_run() {
        return;
    }
    let made = OneBox::new();
    let _broker = made.broker();
    let watched = hotlist("watched", 1, &fixture("hotlist.csv"), "minor");
    made.configure(&[camera("gate", 7, fixture("street-b.mp4").to_str().unwrap(), ""), watched]);
    let listening =
        example(&made, &["alerts", "--count", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut daemon = made.daemon();
    daemon.until("session with the broker");
    let heard = Said::of(listening.wait_with_output().unwrap());
    heard.expect(0, &[]);
    let alert = &rows(&heard)[0];
    let plate = alert["plate"].as_str().unwrap();
    assert_eq!((&alert["box"], &alert["severity"], &alert["camera"]), (&"box-1".into(), &"minor".into(), &7.into()));

    // The read of an alert is in the store: both are one commit.
    let ask = |more: &[&str]| {
        let asked = ["query", "box-1", plate, "--purpose", "crime-investigation"];
        Said::of(example(&made, &[&asked[..], more].concat()).output().unwrap())
    };
    let said = ask(&["--case", "K-17"]);
    said.expect(0, &["1 reads, audit record"]);
    let row = &rows(&said)[0];
    assert_eq!((&row["plate"], &row["camera"], &row["id"]), (&alert["plate"], &"gate".into(), &alert["id"]));

    // Who may not is told why; another box's key signs nothing for this one.
    ask(&["--case", "K-17", "--as", "auditor"]).expect(1, &["box-1: denied"]);
    let other = OneBox::new();
    std::fs::copy(other.path("centre/boxes.toml"), made.path("centre/boxes.toml")).unwrap();
    let said = ask(&["--case", "K-17"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("InvalidSignature") && said.out.is_empty(), "{said:#?}");
}

#[test]
fn what_the_receiving_example_acknowledges_it_has_and_the_box_needs_no_more() {
    if !can_run() {
        return;
    }
    let made = OneBox::new();
    let _broker = made.broker();
    let watched = hotlist("watched", 1, &fixture("hotlist.csv"), "minor");
    made.configure(&[camera("gate", 7, fixture("street-b.mp4").to_str().unwrap(), ""), watched]);
    let db = made.path("alerts.db").display().to_string();
    let mut receiving = program(&made, "receive.py", &["--db", &db]);
    let mut receiving = receiving.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It ends when everything is delivered: only acks that the box believes let it.
    let said = Said::of(made.command("run").arg("--until-eos").output().unwrap());
    said.expect(0, &[]);
    receiving.kill().unwrap();
    let heard = Said::of(receiving.wait_with_output().unwrap());
    let rows = rows(&heard);
    let numbers: Vec<u64> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert!(!heard.err.contains("refused") && numbers.len() > 3, "{heard:#?}");

    // Each number once, and all of them durably; so is the head of the audit log.
    let count = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                 print(*db.execute('select count(*), count(distinct seq), max(seq) from alert').fetchone(), \
                 *db.execute('select count(*) from head where size > 0').fetchone())";
    let counted = Said::of(python().args(["-c", count, &db]).output().unwrap());
    let n = numbers.len();
    assert_eq!(counted.out.trim(), format!("{n} {n} {n} 1"), "{counted:#?}\n{heard:#?}");
}
