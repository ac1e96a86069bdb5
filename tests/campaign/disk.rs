//! A disk that is full, or fails at one call: no panic, nothing said to be durable that is not, and it goes on.
//!
//! `disk-full` fills a loop image of 24 MiB by what the store writes and then by what somebody else writes, kills the store's
//! process there, starts it again on the full disk, and makes room. `disk-call` makes the N-th call that concerns the
//! ledger, the sealed pictures, sled's own files or any file of the store fail, by a library loaded before the C library
//! (`faulty.c`, built here with `cc`): ENOSPC, EIO, a short write, a failed sync; once, and from there on for ever. Not
//! reached by it are `syncfs` and `statvfs`, which the store asks of the kernel itself: unit tests make those fail
//! (`src/store/tests/faults.rs`).

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fault::{Ask, Chance, Fault, Outcome};
use crate::medium;
use crate::parents::{self, Ended, Writer};
use crate::shadow;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "disk-full",
        what: "24 MiB loop image filled while writing: no panic, no false ack; first pictures, then reads are left out, hits last; restart on the full disk comes up and says so; goes on when there is room",
        small: 1,
        full: 10,
        run: full,
    },
    Fault {
        name: "disk-call",
        what: "ENOSPC, EIO, short write, failed sync at the N-th call on ledger, pictures, index, any file, N = 1..60, once and for ever: no panic, no false ack",
        small: 32,
        full: 4 * 4 * 60 * 2,
        run: calls,
    },
];

const PATIENCE: Duration = Duration::from_mins(1);
const BYTES: u64 = 2_000;
const MOST: u64 = 200_000;
/// Nothing below 256 KiB, no reads below 2 MiB, no pictures below 4 MiB.
const FULL_OPTIONS: [&str; 6] =
    ["bytes=2000", "ballast=9437184", "reserve=262144", "reads=2097152", "pictures=4194304", "rate=2000"];
/// As it is written on: it must not fill the disk before it is looked at.
const SLOWLY: [&str; 6] =
    ["bytes=2000", "ballast=9437184", "reserve=262144", "reads=2097152", "pictures=4194304", "rate=400"];

fn full(ask: &Ask) -> Outcome {
    if let Some(why) = medium::no_loop(&ask.dir) {
        return Outcome::skipped(why);
    }
    let mut outcome = Outcome::default();
    let (mut committed, mut slowest) = (0, Duration::ZERO);
    while outcome.done < ask.count {
        match fill(&ask.dir.join("full"), &mut outcome) {
            Ok((entries, back)) => (committed, slowest) = (committed + entries, slowest.max(back)),
            Err(why) => outcome.fault(why),
        }
        outcome.done += 1;
    }
    outcome.figure("committed", committed);
    outcome.figure("goes on after room came back", format!("within {} ms", slowest.as_millis()));
    outcome
}

/// Writes until no room is left on the file system.
fn fill_rest(path: &Path) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0xAA; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

/// Waits until nothing was committed for a second.
fn stalled(writer: &mut Writer) -> bool {
    let begun = Instant::now();
    let (mut last, mut since) = (writer.durable(), Instant::now());
    while begun.elapsed() < PATIENCE && writer.is_running() {
        if writer.durable() != last {
            (last, since) = (writer.durable(), Instant::now());
        }
        if since.elapsed() > Duration::from_secs(1) && writer.faults() > 0 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn fill(dir: &Path, outcome: &mut Outcome) -> Result<(u64, Duration), String> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let image = dir.join("disk.img");
    medium::make_image(&image, 24 << 20)?;
    let mounted = medium::mount(&image, &dir.join("disk"))?;
    let (store, filler) = (mounted.0.join("store"), mounted.0.join("filler"));
    // By its own writing, down to the reserve; then by somebody else, to the last byte.
    let mut writer = Writer::start(&store, (0, MOST), &FULL_OPTIONS, &dir.join("first.log"), &[]);
    let own = stalled(&mut writer);
    outcome.expect(own, || format!("the store never met a full disk: {}", writer.log()));
    outcome.expect(store.join("ballast").exists(), || "no ballast was laid in".to_owned());
    fill_rest(&filler);
    std::thread::sleep(Duration::from_millis(1_500));
    outcome.expect(writer.is_running(), || format!("the writer ended on a full disk: {}", writer.log()));
    let first = writer.kill();
    check_log(&first, "first", outcome);
    outcome.expect(first.log.contains("no space") || first.log.contains("No space"), || {
        format!("a full disk is not said: {}", first.log)
    });

    // It starts again on the full disk, says so, commits nothing it cannot keep, and goes on when there is room.
    let begin = 1_000_000;
    let mut writer = Writer::start(&store, (begin, MOST), &SLOWLY, &dir.join("second.log"), &[]);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && writer.is_running() && writer.faults() == 0 && writer.durable() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    outcome.expect(writer.is_running(), || format!("no start on the full disk: {}", writer.log()));
    outcome.expect(writer.log().contains("disk full: ballast given up"), || {
        format!("the restart does not say that the disk is full: {}", writer.log())
    });
    fill_rest(&filler);
    let stuck = stalled(&mut writer);
    outcome.expect(stuck, || format!("the second start never met the full disk: {}", writer.log()));
    let at = writer.durable();
    fs::remove_file(&filler).unwrap();
    let room = Instant::now();
    let goes_on = writer.until(Duration::from_secs(30), |w| w.durable() > at + 100);
    let back = room.elapsed();
    outcome.expect(goes_on, || format!("it does not go on when there is room: {}", writer.log()));
    let second = writer.finish(PATIENCE);
    outcome.expect(second.lost.is_some(), || format!("the second start came to no end: {second:?}"));
    check_log(&second, "second", outcome);

    // Where there is room: with the ballast given up and a reserve below what a start needs, it would be refused here.
    let store = {
        let roomy = dir.join("roomy");
        parents::copy(&store, &roomy);
        roomy
    };
    for (from, durable) in [(0, first.durable), (begin, second.durable)] {
        let numbers = from..from + durable;
        let seen = parents::look(&store, from..from + durable + 512, &dir.join("look.log"));
        outcome.expect(seen.refused.is_none() && seen.done, || {
            format!("it does not open: {:?} {}", seen.refused, seen.log)
        });
        let judged = shadow::judge(&seen.rows, numbers, from + durable..from + durable + 512, BYTES as usize);
        outcome.faults.extend(judged.wrong);
        left_out(&judged.missing, from == 0, outcome);
        outcome.expect(seen.audit.contains_key("disk.room"), || "what was left out is not in the audit log".to_owned());
    }
    Ok((first.durable + second.durable, back))
}

/// Pictures go first, then reads without a hit, and of hits nothing else.
fn left_out(missing: &BTreeMap<u64, Vec<&'static str>>, filled: bool, outcome: &mut Outcome) {
    let pictures = missing.iter().find(|(_, what)| what.contains(&"pictures")).map(|(n, _)| *n);
    let read = missing.iter().find(|(_, what)| what.contains(&"sighting")).map(|(n, _)| *n);
    if filled {
        let in_order = pictures.is_some() && read.is_some() && pictures < read;
        outcome.expect(in_order, || format!("left out from: pictures {pictures:?}, reads {read:?}"));
    }
    let hits: Vec<_> = missing
        .iter()
        .filter(|(n, what)| shadow::has_hit(**n) && what.iter().any(|what| *what != "pictures"))
        .collect();
    outcome.expect(hits.is_empty(), || format!("acknowledged and not there: {hits:?}"));
}

fn check_log(ended: &Ended, which: &str, outcome: &mut Outcome) {
    for panic in parents::panics(&ended.log) {
        outcome.fault(format!("{which} start: {panic}"));
    }
}

/// Builds the library; its path.
fn faulty(dir: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/campaign/faulty.c");
    let library = dir.join("faulty.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").output();
    match built {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cc: {error}")),
    }
}

const KINDS: [&str; 4] = ["full", "io", "short", "sync"];
/// Where, by a part of the path.
const PLACES: [(&str, &str); 4] =
    [("ledger", "/store/ledger"), ("pictures", "/store/evidence"), ("index", "/store/index"), ("any file", "/store")];
const CALLS: u64 = 60;
/// Runs at a time.
const AT_ONCE: usize = 6;

/// One way to fail.
#[derive(Debug, Clone, Copy)]
struct Plan {
    kind: &'static str,
    place: (&'static str, &'static str),
    at: u64,
    for_ever: bool,
}

impl Plan {
    /// All of them, by number.
    fn of(number: u64) -> Self {
        let kind = KINDS[(number % 4) as usize];
        let place = PLACES[(number / 4 % 4) as usize];
        Self { kind, place, at: number / 32 % CALLS + 1, for_ever: number / 16 % 2 == 1 }
    }
}

fn calls(ask: &Ask) -> Outcome {
    let library = match faulty(&ask.dir) {
        Ok(library) => library,
        Err(why) => return Outcome::skipped(why),
    };
    let mut outcome = Outcome::default();
    let (mut chance, mut struck, mut acked, mut refused) = (Chance(ask.seed), 0, 0, 0);
    let plans: Vec<Plan> = (0..ask.count)
        .map(|i| {
            let plan = Plan::of(i);
            if ask.full { plan } else { Plan { at: chance.below(CALLS / 2) + 1, ..plan } }
        })
        .collect();
    // They wait for the disk most of the time.
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (dir, library) = (ask.dir.join(format!("call-{worker}")), &library);
            let (plans, next, results) = (&plans, &next, &results);
            scope.spawn(move || {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let called = call(&dir, library, *plan);
                    results.lock().unwrap().push((*plan, called));
                }
            });
        }
    });
    for (plan, called) in results.into_inner().unwrap() {
        match called {
            Ok(done) => {
                struck += u64::from(done.struck);
                acked += done.acked;
                refused += u64::from(done.refused);
            }
            Err(why) => outcome.fault(format!("{plan:?}: {why}")),
        }
        outcome.done += 1;
    }
    outcome.figure("calls that failed", struck);
    outcome.figure("acknowledged meanwhile and there", acked);
    outcome.figure("starts refused with a reason", refused);
    let done = outcome.done;
    outcome.expect(struck * 2 > done, || format!("only {struck} of {done} plans reached their call"));
    outcome
}

struct Called {
    struck: bool,
    acked: u64,
    refused: bool,
}

fn call(dir: &Path, library: &Path, plan: Plan) -> Result<Called, String> {
    const ENTRIES: u64 = 24;
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let (store, mark) = (dir.join("store"), dir.join("mark"));
    let env = [
        ("LD_PRELOAD", library.display().to_string()),
        ("WATCHPOST_FAULT_KIND", plan.kind.to_owned()),
        ("WATCHPOST_FAULT_IN", plan.place.1.to_owned()),
        ("WATCHPOST_FAULT_AT", plan.at.to_string()),
        ("WATCHPOST_FAULT_FOR", if plan.for_ever { u64::from(u32::MAX) } else { 1 }.to_string()),
        ("WATCHPOST_FAULT_MARK", mark.display().to_string()),
    ];
    // Each entry is a commit, and each commit makes the index durable.
    let options = ["rows=1", "interval=1", "bytes=200", "checkpoints=1"];
    let mut writer = Writer::start(&store, (0, ENTRIES), &options, &dir.join("writer.log"), &env);
    // What fails for ever keeps it from coming to the end.
    let patience = Duration::from_secs(if plan.for_ever { 1 } else { 30 });
    writer.until(patience, |w| w.durable() == ENTRIES);
    // sled may hang where a sync fails: its flush is given up after 10 s, and that of the index made in its place once more.
    let ended = writer.finish(Duration::from_mins(1));
    let struck = mark.exists();
    let panics = parents::panics(&ended.log);
    if !panics.is_empty() {
        return Err(panics.join("; "));
    }
    if ended.refused.is_none() && ended.lost.is_none() {
        return Err(format!("it came to no end: {ended:?}"));
    }
    if ended.refused.is_none() && !ended.status.is_some_and(|status| status.success()) {
        return Err(format!("the recorder died: {ended:?}"));
    }
    if ended.opened && !plan.for_ever && ended.durable < ENTRIES {
        return Err(format!("one fault, and {} of {ENTRIES} are durable: {}", ended.durable, ended.log));
    }
    let seen = parents::look(&store, 0..ENTRIES, &dir.join("look.log"));
    let panics = parents::panics(&seen.log);
    if seen.refused.is_some() || !seen.done || !panics.is_empty() {
        return Err(format!("it does not open again: {:?} {panics:?} {}", seen.refused, seen.log));
    }
    let judged = shadow::judge(&seen.rows, 0..ended.durable, ended.durable..ENTRIES, 200);
    // On a disk that goes on saying that it is full, a hit is stored without its pictures, and that is said.
    let gives_way = plan.for_ever && ["full", "short"].contains(&plan.kind) && seen.audit.contains_key("disk.room");
    let may_lack = |what: &[&str]| gives_way && what.iter().all(|what| *what == "pictures");
    if let Some((n, what)) = judged.missing.iter().find(|(_, what)| !may_lack(what)) {
        return Err(format!("{n} was acknowledged and has no {}", what.join(", ")));
    }
    if let Some(wrong) = judged.wrong.first() {
        return Err(wrong.clone());
    }
    if let Some(extra) = seen.extra.first() {
        return Err(format!("never written: {extra}"));
    }
    Ok(Called { struck, acked: ended.durable, refused: ended.refused.is_some() })
}
