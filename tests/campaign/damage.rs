//! Bytes that change on the medium while nobody looks: flips, cuts and pages of zeros over all files of a store.
//!
//! One closed store is made; each trial damages a copy of it at one place (every fifth at three), opens it in another
//! process and holds what comes out against what was written. **Found** means: the store says so in its audit log or log, or
//! answers with an error where the damage is; a damage after which every record, picture, index entry and alert
//! is there and right was to bytes that nobody reads, and is counted as such. What is missing and not said, or wrong, is a fault.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::{Ask, Chance, Fault, Outcome};
use crate::parents::{self, Seen, Writer};
use crate::shadow::{self, ERROR, Judged};

pub const FAULTS: &[Fault] = &[Fault {
    name: "store-damage",
    what: "flips, truncations and zeroed pages over all files of a store: all found, back within 10 s, >= 99 % kept",
    small: 40,
    full: 1_000,
    run,
}];

/// Entries, and how many of them a commit has.
const ENTRIES: u64 = 240;
const BATCH: u64 = 8;
const BYTES: u64 = 300;
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Page of a file system.
const PAGE: u64 = 4096;
/// What a store writes down when it finds something.
const EVENTS: [&str; 7] = [
    "ledger.torn-end",
    "index.rebuilt",
    "store.salvaged",
    "store.mended",
    "audit.repaired",
    "audit.begun",
    "record.lost",
];

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip { at: u64, bit: u8 },
    Cut { to: u64 },
    Zeros { from: u64, to: u64 },
}

impl Harm {
    fn of(dice: &mut Chance, len: u64) -> Self {
        match dice.below(3) {
            0 => Self::Flip { at: dice.below(len), bit: 1 << dice.below(8) },
            1 => Self::Cut { to: dice.below(len) },
            _ => {
                let from = dice.below(len) / PAGE * PAGE;
                Self::Zeros { from, to: (from + PAGE).min(len) }
            }
        }
    }

    /// Does it; false when it changed no byte.
    fn to(self, path: &Path) -> bool {
        let old = fs::read(path).unwrap();
        let mut bytes = old.clone();
        match self {
            Self::Flip { at, bit } => bytes[at as usize] ^= bit,
            Self::Cut { to } => bytes.truncate(to as usize),
            Self::Zeros { from, to } => bytes[from as usize..to as usize].fill(0),
        }
        fs::write(path, &bytes).unwrap();
        bytes != old
    }

    fn touches(self, place: &Range<u64>) -> bool {
        match self {
            Self::Flip { at, .. } => place.contains(&at),
            Self::Cut { to } => to < place.end,
            Self::Zeros { from, to } => from < place.end && place.start < to,
        }
    }
}

/// The store that is damaged, and where each commit lies in its ledger.
struct Whole {
    dir: PathBuf,
    /// Places of commits in the one segment, in order.
    commits: Vec<Range<u64>>,
    files: Vec<PathBuf>,
}

impl Whole {
    fn make(root: &Path) -> Result<Self, String> {
        let dir = root.join("whole");
        let (rows, bytes) = (format!("rows={BATCH}"), format!("bytes={BYTES}"));
        // Long enough that every commit has its full number.
        let options = [rows.as_str(), bytes.as_str(), "interval=1000"];
        let mut writer = Writer::start(&dir, (0, ENTRIES), &options, &root.join("writer.log"), &[]);
        writer.until(Duration::from_mins(1), |w| w.durable() == ENTRIES);
        let ended = writer.finish(Duration::from_secs(10));
        if ended.durable != ENTRIES || ended.lost != Some(0) {
            return Err(format!("the store to be damaged was not made: {ended:?}"));
        }
        let segment = fs::read(dir.join("ledger/0000000001.seg")).map_err(|e| e.to_string())?;
        let starts: Vec<u64> =
            (0..segment.len()).filter(|at| segment[*at..].starts_with(b"WPB1")).map(|at| at as u64).collect();
        let ends = starts.iter().skip(1).copied().chain([segment.len() as u64]);
        let commits: Vec<_> = starts.iter().zip(ends).map(|(from, to)| *from..to).collect();
        if commits.len() as u64 != ENTRIES / BATCH {
            return Err(format!("{} commits, wanted {}", commits.len(), ENTRIES / BATCH));
        }
        let files = parents::files(&dir).into_iter().filter(|path| fs::metadata(path).unwrap().len() > 0);
        Ok(Self { files: files.map(|path| path.strip_prefix(&dir).unwrap().to_owned()).collect(), dir, commits })
    }

    /// Numbers whose own bytes are damaged: those of a commit in the ledger, of a picture, of a day's key if its copy is
    /// damaged too.
    fn damaged(&self, file: &Path, harm: Harm, keys: &mut Vec<String>) -> Vec<u64> {
        let name = file.display().to_string();
        if let Some(stem) = name.strip_prefix("keys/").and_then(|name| name.split('.').next()) {
            keys.push(name.clone());
            let both = [".key", ".copy"].iter().all(|end| keys.contains(&format!("keys/{stem}{end}")));
            return (0..ENTRIES).filter(|n| both && shadow::key(*n) == stem).collect();
        }
        if name.starts_with("ledger/") {
            let hit = self.commits.iter().enumerate().filter(|(_, place)| harm.touches(place));
            return hit.flat_map(|(i, _)| (i as u64 * BATCH)..((i as u64 + 1) * BATCH)).collect();
        }
        if name.starts_with("evidence/") {
            return (0..ENTRIES).filter(|n| name.contains(&shadow::id(*n).to_string())).collect();
        }
        Vec::new()
    }
}

#[derive(Default)]
struct Sums {
    said: u64,
    unread: u64,
    undamaged: u64,
    kept: u64,
    slowest: Duration,
    faults: Vec<String>,
}

fn run(ask: &Ask) -> Outcome {
    let whole = match Whole::make(&ask.dir) {
        Ok(whole) => whole,
        Err(fault) => return Outcome { faults: vec![fault], ..Outcome::default() },
    };
    // What says nothing of a sound store says something when it speaks.
    let sound = ask.dir.join("sound");
    parents::copy(&whole.dir, &sound);
    let seen = parents::look(&sound, 0..ENTRIES, &ask.dir.join("look.log"));
    let judged = shadow::judge(&seen.rows, 0..ENTRIES, 0..0, BYTES as usize);
    if judged.whole != ENTRIES || is_said(&seen) {
        let fault = format!("a sound store is told as damaged: {judged:?} {:?} {}", seen.audit, seen.log);
        return Outcome { faults: vec![fault], ..Outcome::default() };
    }
    if let Err(fault) = judge_can_fail(seen) {
        return Outcome { faults: vec![fault], ..Outcome::default() };
    }
    let mut dice = Chance(ask.seed);
    let mut sums = Sums::default();
    let mut done = 0;
    while done < ask.count {
        let places = if done % 5 == 4 { 3 } else { 1 };
        done += u64::from(trial(ask, &whole, &mut dice, places, &mut sums));
    }
    let permille = (sums.kept * 1000).checked_div(sums.undamaged).unwrap_or(0);
    if permille < 990 {
        sums.faults.push(format!("{} of {} undamaged records kept", sums.kept, sums.undamaged));
    }
    let figures = vec![
        ("said", sums.said.to_string()),
        ("bytes nobody reads", sums.unread.to_string()),
        ("undamaged records kept", format!("{} of {}", sums.kept, sums.undamaged)),
        ("slowest back", format!("{} ms", sums.slowest.as_millis())),
    ];
    Outcome { done, figures, faults: sums.faults, skipped: None }
}

/// The judge finds one missing and one exchanged record among all others.
fn judge_can_fail(mut seen: Seen) -> Result<(), String> {
    let other = seen.rows[&8].clone();
    seen.rows.insert(0, other);
    seen.rows.remove(&3);
    let judged = shadow::judge(&seen.rows, 0..ENTRIES, 0..0, BYTES as usize);
    let found = !judged.wrong.is_empty() && judged.missing.keys().eq([&3]);
    if found { Ok(()) } else { Err(format!("the judge overlooks a missing and a wrong record: {judged:?}")) }
}

/// Damages a copy, opens it, judges; false when no byte changed.
fn trial(ask: &Ask, whole: &Whole, dice: &mut Chance, places: u64, sums: &mut Sums) -> bool {
    let work = ask.dir.join("work");
    let _ = fs::remove_dir_all(&work);
    parents::copy(&whole.dir, &work);
    let (mut harms, mut damaged, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..places {
        let file = &whole.files[dice.below(whole.files.len() as u64) as usize];
        let len = fs::metadata(work.join(file)).unwrap().len();
        if len == 0 {
            continue;
        }
        let harm = Harm::of(dice, len);
        if harm.to(&work.join(file)) {
            damaged.extend(whole.damaged(file, harm, &mut keys));
            harms.push(format!("{} {harm:?}", file.display()));
        }
    }
    if harms.is_empty() {
        return false;
    }
    damaged.sort_unstable();
    damaged.dedup();
    let seen = parents::look(&work, 0..ENTRIES, &ask.dir.join("look.log"));
    let judged = shadow::judge(&seen.rows, 0..ENTRIES, 0..0, BYTES as usize);
    sums.slowest = sums.slowest.max(seen.took);
    sums.undamaged += ENTRIES - damaged.len() as u64;
    let lost = judged.missing.keys().filter(|n| !damaged.contains(n)).count() as u64;
    sums.kept += ENTRIES - damaged.len() as u64 - lost;
    let said = is_said(&seen);
    sums.said += u64::from(said);
    sums.unread += u64::from(!said);
    for fault in faults(&seen, &judged, said) {
        sums.faults.push(format!("{}: {fault}", harms.join(", ")));
    }
    true
}

/// Whether anybody was told that something is not in order.
fn is_said(seen: &Seen) -> bool {
    // The log begins once; another begin is one that follows a damaged one.
    let events = EVENTS.iter().any(|event| seen.audit.get(*event).is_some_and(|n| *n > 0 && *event != "audit.begun"))
        || seen.log.contains("audit log")
        || seen.log.contains("does not open");
    let errors = seen.rows.values().any(|row| row.words().iter().any(|word| word.starts_with(ERROR)));
    events || errors || seen.log.contains(" ERROR ") || seen.log.contains(" WARN ")
}

fn faults(seen: &Seen, judged: &Judged, said: bool) -> Vec<String> {
    let mut faults = parents::panics(&seen.log);
    if let Some(why) = &seen.refused {
        faults.push(format!("the store does not open: {why}"));
        return faults;
    }
    if !seen.done {
        faults.push(format!("opening and reading came to no end: {}", seen.log.lines().last().unwrap_or("no word")));
        return faults;
    }
    if seen.took > BACK_WITHIN {
        faults.push(format!("back after {} ms", seen.took.as_millis()));
    }
    faults.extend(judged.wrong.iter().map(|wrong| format!("given out and wrong: {wrong}")));
    faults.extend(seen.extra.iter().map(|extra| format!("never written: {extra}")));
    if !judged.missing.is_empty() && !said {
        faults.push(format!("missing and not said: {:?}", judged.missing));
    }
    faults
}
