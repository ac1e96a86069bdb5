//! The power goes while a store is written at load: what was announced as durable is there when the disk is mounted elsewhere.
//!
//! A writer works on ext4 on a loop device on a drive whose write cache this process keeps ([`crate::medium`]). At any
//! moment, and without stopping it, what a power cut would leave is taken. That image is mounted at another place (the
//! journal is replayed), the store in it is opened by another process, and everything is held against what was written; then it
//! is written on, and looked at again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::fault::{Ask, Chance, Fault, Outcome};
use crate::medium::{self, Medium};
use crate::parents::{self, Seen, Writer};
use crate::shadow::{self, Judged};

pub const FAULTS: &[Fault] = &[Fault {
    name: "power-cut",
    what: "power cut at load, a write cache lost with it; image mounted elsewhere: 0 committed lost, 0 stores that don't open",
    small: 4,
    full: 100,
    run,
}];

const IMAGE_BYTES: u64 = 64 << 20;
const BYTES: u64 = 1_000;
/// Cuts of one writer.
const CUTS: u64 = 5;
/// Entries that a writer may send: the image has room for them, however slow the machine.
const MOST: u64 = 8_000;
/// Entries written after a cut.
const MORE: u64 = 24;
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Sums {
    committed: u64,
    done: u64,
    sectors: u64,
    opened: u64,
    salvaged: u64,
    rebuilt: u64,
    slowest: Duration,
}

fn run(ask: &Ask) -> Outcome {
    if let Some(why) = medium::no_loop(&ask.dir) {
        return Outcome::skipped(why);
    }
    let mut outcome = Outcome::default();
    let (mut sums, mut chance) = (Sums::default(), Chance(ask.seed));
    match a_lying_drive_is_found(&ask.dir.join("control"), &mut chance) {
        Ok(true) => {}
        Ok(false) => outcome.fault("a drive that keeps nothing loses nothing: this fault can't fail"),
        Err(why) if !Path::new("/dev/fuse").exists() => return Outcome::skipped(why),
        Err(why) => outcome.fault(why),
    }
    while sums.done < ask.count && outcome.faults.is_empty() {
        let dir = ask.dir.join(format!("from-{}", sums.done));
        fs::create_dir_all(&dir).unwrap();
        let cuts = CUTS.min(ask.count - sums.done);
        if let Err(why) = session(&dir, cuts, &mut chance, &mut sums, &mut outcome) {
            outcome.fault(why);
        }
        let _ = fs::remove_dir_all(&dir);
    }
    outcome.done = sums.done;
    outcome.figure("committed before a cut", sums.committed);
    outcome.figure("sectors lost with the cache", sums.sectors);
    outcome.figure("stores opened", sums.opened);
    outcome.figure("indexes rebuilt", sums.rebuilt);
    outcome.figure("salvaged", sums.salvaged);
    outcome.figure("slowest opening", format!("{} ms", sums.slowest.as_millis()));
    outcome
}

fn drive(dir: &Path, lies: bool) -> Result<Medium, String> {
    let image = dir.join("new.img");
    medium::make_image(&image, IMAGE_BYTES)?;
    Medium::mount(fs::read(&image).map_err(|e| e.to_string())?, dir, lies)
}

/// A cut of a drive that ignores flushes: whether what was committed is missed.
fn a_lying_drive_is_found(dir: &Path, chance: &mut Chance) -> Result<bool, String> {
    fs::create_dir_all(dir).unwrap();
    let drive = drive(dir, true)?;
    let mut writer = Writer::start(&drive.path().join("store"), (0, MOST), &[], &dir.join("writer.log"), &[]);
    writer.until(PATIENCE, |w| w.durable() > 0);
    let durable = writer.durable();
    fs::write(dir.join("cut.img"), drive.cut(chance)).map_err(|e| e.to_string())?;
    drop(writer.kill());
    let mut outcome = Outcome::default();
    let found = elsewhere(dir, durable, &mut Sums::default(), &mut outcome);
    Ok(durable > 0 && (found.is_err() || !outcome.faults.is_empty()))
}

/// One writer, and some cuts while it works.
fn session(dir: &Path, cuts: u64, chance: &mut Chance, sums: &mut Sums, outcome: &mut Outcome) -> Result<(), String> {
    let drive = drive(dir, false)?;
    let bytes = format!("bytes={BYTES}");
    let options = [bytes.as_str(), "rate=400"];
    let mut writer = Writer::start(&drive.path().join("store"), (0, MOST), &options, &dir.join("writer.log"), &[]);
    // Every fourth writer is cut while it makes its store.
    if chance.below(4) > 0 && !writer.until(PATIENCE, |w| w.durable() > 0) {
        return Err(format!("the writer commits nothing: {}", writer.log()));
    }
    for _ in 0..cuts {
        std::thread::sleep(Duration::from_millis(chance.below(700)));
        // First what was announced, then the cut: it cannot have less.
        let durable = writer.durable();
        let left = drive.cut(chance);
        fs::write(dir.join("cut.img"), left).map_err(|e| e.to_string())?;
        sums.done += 1;
        sums.committed += durable;
        let number = sums.done;
        if let Err(why) = elsewhere(dir, durable, sums, outcome) {
            outcome.fault(format!("cut {number}: {why}"));
        }
        if !writer.is_running() {
            outcome.fault(format!("the writer ended by itself: {}", writer.log()));
            break;
        }
    }
    let (writes, flushes, lost) = drive.traffic();
    sums.sectors += lost;
    outcome
        .expect(flushes > 0 && writes > flushes, || format!("{writes} writes, {flushes} flushes: no drive was below"));
    let ended = writer.kill();
    outcome.faults.extend(parents::panics(&ended.log));
    Ok(())
}

/// Mounts what the cut left, opens the store there, judges, writes on, and judges again.
fn elsewhere(dir: &Path, durable: u64, sums: &mut Sums, outcome: &mut Outcome) -> Result<(), String> {
    let mounted = medium::mount(&dir.join("cut.img"), &dir.join("elsewhere"))?;
    let store = mounted.0.join("store");
    if !store.exists() {
        outcome.expect(durable == 0, || format!("{durable} committed and there is no store"));
        return Ok(());
    }
    // What was on its way may be there too: a batch is not announced before it is durable.
    let ahead = durable + 512;
    let first = parents::look(&store, 0..ahead, &dir.join("look.log"));
    sums.slowest = sums.slowest.max(first.took);
    sums.opened += u64::from(first.done);
    sums.rebuilt += u64::from(first.audit.contains_key("index.rebuilt"));
    sums.salvaged += u64::from(first.audit.contains_key("store.salvaged"));
    let judged = shadow::judge(&first.rows, 0..durable, durable..ahead, BYTES as usize);
    faults(&first, &judged).into_iter().try_for_each(Err)?;
    // And it works on, beside what is there.
    let bytes = format!("bytes={BYTES}");
    let begin = 1_000_000;
    let mut writer = Writer::start(&store, (begin, MORE), &[&bytes], &dir.join("on.log"), &[]);
    writer.until(PATIENCE, |w| w.durable() == MORE);
    let ended = writer.finish(PATIENCE);
    if ended.durable != MORE || ended.lost != Some(0) {
        return Err(format!("it does not work on: {ended:?}"));
    }
    let more = parents::look(&store, begin..begin + MORE, &dir.join("look.log"));
    let judged = shadow::judge(&more.rows, begin..begin + MORE, 0..0, BYTES as usize);
    faults(&Seen { extra: Vec::new(), ..more }, &judged).into_iter().try_for_each(Err)
}

fn faults(seen: &Seen, judged: &Judged) -> Vec<String> {
    let mut faults = parents::panics(&seen.log);
    if let Some(why) = &seen.refused {
        faults.push(format!("the store does not open: {why}"));
    } else if !seen.done {
        faults.push(format!("opening and reading came to no end: {}", seen.log.lines().last().unwrap_or("no word")));
    }
    faults.extend(judged.missing.iter().map(|(n, what)| format!("{n} was committed and has no {}", what.join(", "))));
    faults.extend(judged.wrong.iter().cloned());
    faults.extend(seen.extra.iter().map(|extra| format!("never written: {extra}")));
    faults
}
