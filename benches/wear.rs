//! What a hit costs the medium: bytes written, syncs and room, at steady rates and in bulk, by the recorder as the daemon runs it.
//!
//! Hours pass in seconds: time is simulated, and who sends asks for each commit that the recorder would have made by itself.
//! What the process wrote is read from `/proc/self/io` (pages, as they go to the medium; without the file system's journal); what
//! the block device wrote meanwhile, the journal included, from `/sys`, and is this process's alone where the machine does
//! nothing else. Syncs are counted from outside: `strace -f -c -e trace=fsync,fdatasync,syncfs,sync_file_range`.
//!
//! ```sh
//! cargo bench --no-default-features --bench wear                    # all rows
//! cargo bench --no-default-features --bench wear -- --hits 100 --only "1 a second"    # fewer hits, and rows of this name alone
//! ```
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::clock::{Clock, SimClock};
use watchpost::domain::{
    Ack, CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder, Settings, Store, StoreKey};

const BEGIN: u64 = 1_767_225_600_000;
const LONG: Duration = Duration::from_mins(5);
/// Bytes that a 64 GB eMMC of cells with 3,000 cycles takes, if its controller writes each four times: what is synced is small,
/// and a flash page is 16 KiB.
const ENDURANCE: f64 = 64e9 * 3_000.0 / 4.0;

/// One row of the table.
struct Case {
    name: &'static str,
    hits: u64,
    /// Hits a simulated second; `None`: as fast as it goes, in full batches.
    rate: Option<f64>,
    pictures: bool,
    /// The sighting is no hit: a read that is kept for a day.
    read: bool,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    written: u64,
    device: u64,
}

impl Counts {
    fn now(dir: &Path) -> Self {
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0);
        Self { written: of("write_bytes:"), device: device_bytes(dir).unwrap_or(0) }
    }
}

/// Bytes that the block device of `dir` has written, all of the machine together.
fn device_bytes(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let dev = fs::metadata(dir).ok()?.dev();
    let (major, minor) = ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors * 512)
}

/// Bytes of the files below `dir`, by the name of its first level.
fn sizes(dir: &Path) -> BTreeMap<String, u64> {
    fn all(path: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).map_or(0, |m| m.len()) };
        entries.flatten().map(|entry| all(&entry.path())).sum()
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), all(&entry.path()))).collect()
}

fn entry(n: u64, at: TimeMs, case: &Case) -> Option<Entry> {
    // Plates come again and again, as on a road.
    let text = PlateText::from_raw(&format!("K{}", n % 5_000))?;
    let mut random = [0; 10];
    random.iter_mut().rev().zip(n.to_le_bytes()).for_each(|(r, b)| *r = b);
    let sighting = Sighting {
        id: EventId::from_parts(at.0, random),
        camera: CameraId::new("gate").ok()?,
        camera_number: 1,
        track: u32::try_from(n).ok()?,
        begin: at,
        end: at,
        clock: ClockState::Synced,
        class: Class::Plate,
        vehicle: None,
        read: Some(PlateRead {
            text,
            confidence: 0.9,
            char_confidences: vec![0.99; 7],
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 9,
        }),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: None,
    };
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted").ok()?,
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
    // Bytes that no layer can make smaller.
    let noise = |len: usize, seed: u64| -> Vec<u8> {
        let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed | 1;
        let step = |x: &mut u64| {
            *x ^= *x << 13;
            *x ^= *x >> 7;
            *x ^= *x << 17;
            x.to_le_bytes()[0]
        };
        (0..len).map(|_| step(&mut x)).collect()
    };
    // A crop and a scene of the sizes that a 1080p camera gives.
    let pictures = case.pictures.then(|| Pictures { crop: noise(4 << 10, 1), scene: noise(40 << 10, 2) });
    let (stage, hits) = if case.read {
        (Stage::End, Vec::new())
    } else {
        (Stage::New, vec![Hit { sighting: sighting.clone(), cause, stage: Stage::New, withdrawn: false }])
    };
    Some(Entry { event: SightingEvent::new(stage, sighting, pictures, at), hits })
}

/// Sends what comes in one commit, has it committed, and lets the time go on that passes until the next.
fn commit(store: &Store, recorder: &Recorder, sim: &SimClock, case: &Case, range: std::ops::Range<u64>) -> Option<()> {
    let count = range.end - range.start;
    let step = Duration::from_secs_f64(case.rate.map_or(0.0, |rate| count as f64 / rate));
    sim.advance(step);
    let at = store.clock().utc();
    for n in range {
        recorder.handle().send(entry(n, at, case)?).ok()?;
    }
    recorder.handle().flush(LONG).ok()?;
    if !case.read {
        // The centre has it.
        let outbox = store.outbox();
        outbox.ack(&Ack { epoch: outbox.epoch(), upto: outbox.newest(), also: Vec::new() }).ok()?;
    }
    // The recorder wakes every second, and may find an ack alone.
    if case.rate.is_some_and(|rate| rate <= 1.0) {
        recorder.handle().flush(LONG).ok()?;
    }
    Some(())
}

/// Runs a case and prints its row.
fn run(dir: &PathBuf, case: &Case) -> Option<()> {
    let _ = fs::remove_dir_all(dir);
    let settings = Settings { ballast_bytes: 0, ..Settings::default() };
    let sim = SimClock::at(TimeMs(BEGIN));
    let store = Store::open(dir, StoreKey::from_bytes([7; 32]), settings, Clock::of(sim.clone())).ok()?;
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).ok()?;
    // What comes within the 50 ms that a commit waits.
    let batch = case.rate.map_or(64, |rate| if rate >= 100.0 { 5 } else { 1 });
    let (before, empty) = (Counts::now(dir), sizes(dir));
    for first in (0..case.hits).step_by(usize::try_from(batch).ok()?) {
        commit(&store, &recorder, &sim, case, first..(first + batch).min(case.hits))?;
    }
    let _ = recorder.stop();
    drop(store);
    let (after, full) = (Counts::now(dir), sizes(dir));
    report(case, (before, after), (&empty, &full));
    let _ = fs::remove_dir_all(dir);
    Some(())
}

fn report(
    case: &Case,
    (before, after): (Counts, Counts),
    (empty, full): (&BTreeMap<String, u64>, &BTreeMap<String, u64>),
) {
    let grown = |name: &str| full.get(name).copied().unwrap_or(0).saturating_sub(empty.get(name).copied().unwrap_or(0));
    let each = |bytes: u64| bytes as f64 / case.hits as f64;
    let payload = grown("ledger") + grown("evidence");
    let written = after.written - before.written;
    let audit = grown("audit.log") + grown("audit.hashes");
    println!(
        "{:<34} {:>6} {:>9.0} {:>10.0} {:>7.1} {:>10.0} | {:>7.0} {:>7.0} {:>7.0} {:>7.0}",
        case.name,
        case.hits,
        each(payload),
        each(written),
        written as f64 / payload.max(1) as f64,
        each(after.device - before.device),
        each(grown("ledger")),
        each(grown("evidence")),
        each(grown("index")),
        each(audit),
    );
    if let Some(rate) = case.rate.filter(|rate| *rate < 2.0) {
        let year = each(written) * rate * 86_400.0 * 365.0;
        println!(
            "    at that rate {:.3} TB a year: {:.0} years of an eMMC of 64 GB and 3,000 cycles",
            year / 1e12,
            ENDURANCE / year
        );
    }
}

fn main() {
    let option = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let hits: u64 = option("--hits").and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let only = option("--only").unwrap_or_default();
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wear-bench");
    let a_day = |n: f64| Some(n / 86_400.0);
    let case = |name, hits, rate, pictures, read| Case { name, hits, rate, pictures, read };
    let cases = [
        case("reads without a hit, 1,000 a day", hits / 2, a_day(1e3), false, true),
        case("reads without a hit, 10,000 a day", hits, a_day(1e4), false, true),
        case("reads without a hit, 100,000 a day", hits, a_day(1e5), false, true),
        case("hits, 1 a second", hits, Some(1.0), false, false),
        case("hits, 10 a second", hits, Some(10.0), false, false),
        case("hits, 100 a second", hits * 5, Some(100.0), false, false),
        case("hits, in batches of 64", hits * 10, None, false, false),
        case("hits with 44 KiB, 1 a second", hits / 2, Some(1.0), true, false),
        case("hits with 44 KiB, 10 a second", hits, Some(10.0), true, false),
        case("hits with 44 KiB, batches of 64", hits, None, true, false),
    ];
    println!(
        "{:<34} {:>6} {:>9} {:>10} {:>7} {:>10} | {:>7} {:>7} {:>7} {:>7}",
        "bytes a hit or read", "n", "payload", "written", "times", "device", "ledger", "evid.", "index", "audit"
    );
    for case in cases.into_iter().filter(|case| case.name.contains(&only)) {
        if run(&dir, &case).is_none() {
            println!("{}: failed", case.name);
        }
    }
}
