//! The process is killed at random times under load: what was announced as committed is there.
//!
//! The child is this test binary again, running [`child_of_the_kill_test`] alone; it prints a line after each commit.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use watchpost::clock::Clock;
use watchpost::domain::{
    Ack, CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder, Settings, Store, StoreKey, audit};

const ROUNDS: u64 = 20;
const ROUND_SIZE: u64 = 1_000_000;
const FOLDER: &str = "WATCHPOST_KILL_TEST_FOLDER";
const FIRST: &str = "WATCHPOST_KILL_TEST_FIRST";

fn open(dir: &Path) -> Store {
    let settings = Settings { ballast_bytes: 0, reserve_bytes: 0, commit_interval_ms: 5, ..Settings::default() };
    Store::open(dir, StoreKey::from_bytes([7; 32]), settings, Clock::system()).expect("the store opens")
}

fn id(n: u64) -> EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventId::from_parts(1_767_225_600_000 + n, random)
}

pub fn entry(n: u64) -> Entry {
    let read = PlateRead {
        text: PlateText::from_raw(&format!("K{n}")).unwrap(),
        confidence: 0.9,
        char_confidences: vec![0.99; 6],
        candidates: Vec::new(),
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 9,
    };
    let sighting = Sighting {
        id: id(n),
        camera: CameraId::new("gate").unwrap(),
        camera_number: 1,
        track: u32::try_from(n).unwrap(),
        begin: TimeMs(1_767_225_600_000 + n),
        end: TimeMs(1_767_225_600_500 + n),
        clock: ClockState::Synced,
        class: Class::Plate,
        vehicle: None,
        read: Some(read),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: None,
    };
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted").unwrap(),
        list_number: 1,
        list_serial: 1,
        entry: 1,
        how: How::Exact,
        confidence: 0.9,
        expiry_day: None,
        stale: false,
        severity: Severity::Minor,
        owner: None,
    });
    let hits = vec![Hit { sighting: sighting.clone(), cause, stage: Stage::New, withdrawn: false }];
    let pictures = n.is_multiple_of(16).then(|| Pictures { crop: vec![1; 600], scene: vec![2; 2_000] });
    let at = sighting.end;
    Entry { event: SightingEvent::new(Stage::New, sighting, pictures, at), hits }
}

#[test]
fn child_of_the_kill_test() {
    let (Ok(dir), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let store = open(Path::new(&dir));
    let done = Arc::new(AtomicU64::new(0));
    let (outbox, epoch) = (store.outbox(), store.epoch());
    let on_commit = Box::new(move |commit: &watchpost::store::Commit| {
        let entries = done.fetch_add(commit.entries as u64, Ordering::SeqCst) + commit.entries as u64;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nCOMMITTED {entries} {}", commit.last_seq).unwrap();
        out.flush().unwrap();
        if commit.last_seq.is_multiple_of(7) {
            outbox.ack(&Ack { epoch, upto: commit.last_seq / 2, also: Vec::new() }).unwrap();
        }
    });
    let recorder = Recorder::start(&store, Health::new(), on_commit).unwrap();
    for n in first..first + ROUND_SIZE {
        recorder.handle().send(entry(n)).unwrap();
    }
}

/// Runs a child until it is killed, some time after it began to commit (or to open, in every fifth round); returns how
/// many entries it announced as committed, and the last seq.
fn killed_child(dir: &Path, round: u64) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store_kill::child_of_the_kill_test", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .env(FIRST, (round * ROUND_SIZE).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, first_commit) = sync_channel(1);
    let reader = std::thread::spawn(move || {
        let mut last = (0, 0);
        for line in lines.map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix("COMMITTED ") {
                let (entries, seq) = rest.split_once(' ').expect("two numbers");
                last = (entries.parse().unwrap(), seq.parse().unwrap());
                let _ = tell.try_send(());
            }
        }
        last
    });
    if !round.is_multiple_of(5) {
        first_commit.recv_timeout(Duration::from_mins(2)).expect("the child commits");
    }
    // What the test is about: any moment will do.
    std::thread::sleep(Duration::from_millis(RandomState::new().hash_one(round) % 300));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn no_committed_hit_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (mut seqs, mut highest, mut epoch, mut total) = (HashSet::new(), 0, None, 0);
    for round in 0..ROUNDS {
        let (committed, last_seq) = killed_child(dir, round);
        let store = open(dir);
        assert_eq!(*epoch.get_or_insert(store.epoch()), store.epoch(), "round {round}: nothing had to be salvaged");
        for n in (0..committed).map(|i| round * ROUND_SIZE + i) {
            let hits = store.hits_of(id(n)).unwrap();
            let hit = hits.first().unwrap_or_else(|| panic!("round {round}: hit {n} was committed and is lost"));
            assert!(seqs.insert(hit.alert.seq), "round {round}: seq {} came twice", hit.alert.seq);
            assert!(committed == 0 || hit.alert.seq > highest, "round {round}: seq {} went back", hit.alert.seq);
            if n.is_multiple_of(16) {
                assert_eq!(store.pictures(id(n)).unwrap().unwrap().scene.len(), 2_000, "round {round}: hit {n}");
            }
        }
        // Entries that were durable and not announced count too: their numbers are taken.
        let newest = store.recent_hits(1).unwrap().first().map_or(0, |hit| hit.alert.seq);
        assert!(newest >= last_seq);
        highest = highest.max(newest);
        total += committed;
    }
    assert!(total > 0);
    let records = audit::read(dir).unwrap();
    let started = records.iter().filter(|r| r.event == "store.started").count() as u64;
    assert!(started >= ROUNDS, "{started}");
    println!("{ROUNDS} kills, {total} hits committed, none lost");
}
