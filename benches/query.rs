//! What a search in a million stored reads costs: time to the first page, memory, and what keeping the column costs a commit.
//!
//! Fills a store under the target folder by the recorder, as the daemon does (batches of 64), unless one is left from the
//! run before with `WATCHPOST_BENCH_KEEP=1`. `WATCHPOST_BENCH_READS` sets another number of reads. Plain figures instead
//! of criterion's: percentiles over many different questions say more here than the mean of one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use watchpost::clock::Clock;
use watchpost::domain::{
    CameraId, Class, ClockState, EventId, How, Lattice, PlatePattern, PlateRead, PlateText, Sighting, SightingEvent,
    Stage, TimeMs,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder, Settings, Sought, Store, StoreKey, Visit};

const BEGIN: u64 = 1_767_225_600_000;
const DAYS: u64 = 30;
const PAGE: usize = 500;

/// Numbers that are the same in each run (SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The plate of read `n`: three letters, four digits; half of them come again.
fn plate(n: u64) -> Option<PlateText> {
    let m = mixed(n % 600_000);
    let letter = |shift: u32| char::from(b'A' + u8::try_from((m >> shift) % 26).unwrap_or(0));
    PlateText::from_raw(&format!("{}{}{}{:04}", letter(0), letter(8), letter(16), (m >> 24) % 10_000))
}

fn read(n: u64, of: u64) -> Option<Entry> {
    let at = BEGIN + n * (DAYS * 86_400_000 / of);
    let mut random = [0; 10];
    random.iter_mut().rev().zip(mixed(n).to_le_bytes()).for_each(|(r, b)| *r = b);
    let text = plate(n)?;
    let sighting = Sighting {
        id: EventId::from_parts(at, random),
        camera: CameraId::new(if n.is_multiple_of(3) { "gate" } else { "yard" }).ok()?,
        camera_number: 1,
        track: 1,
        begin: TimeMs(at),
        end: TimeMs(at + 900),
        clock: ClockState::Synced,
        class: Class::Car,
        vehicle: None,
        read: Some(PlateRead {
            text,
            confidence: 0.9,
            char_confidences: vec![0.99; 7],
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: Some("eu".to_owned()),
            regions: Vec::new(),
            frames: 9,
        }),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: Some(90),
    };
    let at = sighting.end;
    let event = SightingEvent::new(Stage::End, sighting, None, at);
    Some(Entry { event, hits: Vec::new() })
}

fn open(dir: &Path) -> Option<Store> {
    let settings = Settings { ballast_bytes: 0, ..Settings::default() };
    Store::open(dir, StoreKey::from_bytes([7; 32]), settings, Clock::system()).ok()
}

fn fill(dir: &Path, reads: u64) -> Option<()> {
    let store = open(dir)?;
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).ok()?;
    let begin = Instant::now();
    for n in 0..reads {
        recorder.handle().send(read(n, reads)?).ok()?;
    }
    recorder.handle().flush(Duration::from_mins(5)).ok()?;
    let took = begin.elapsed();
    let (used, rate) = (cpu(), f64::from(u32::try_from(reads).ok()?) / took.as_secs_f64());
    say(&format!("fill: {reads} reads in {took:.1?}, {rate:.0} a second, {used} ms of CPU"));
    (recorder.stop() == 0).then_some(())
}

/// Milliseconds of CPU time that this process has used.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

/// Kibibytes of a row of `/proc/self/status`.
fn memory(row: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(row));
    line.and_then(|l| l.trim_start_matches(':').trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => bytes_below(&entry.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
fn say(line: &str) {
    println!("{line}");
}

/// Time to the first page of each question: (p50, p99, most), and rows found in all.
fn ask(store: &Store, questions: &[Sought]) -> Option<()> {
    let mut times = Vec::new();
    let used = cpu();
    let mut rows = 0;
    for sought in questions {
        let begin = Instant::now();
        let mut found = 0;
        let page = store.search_reads(sought, None, &mut |_| {
            if found == PAGE {
                return Visit::Full;
            }
            found += 1;
            Visit::On
        });
        page.ok()?;
        times.push(begin.elapsed());
        rows += found;
    }
    times.sort_unstable();
    let at =
        |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let used = (cpu() - used) * 1_000 / questions.len().max(1) as u64;
    say(&format!(
        "  {} questions, {rows} rows: {used} µs of CPU each; p50 {:.2?}, p99 {:.2?}, most {:.2?}",
        questions.len(),
        at(50),
        at(99),
        at(100)
    ));
    Some(())
}

fn sought(text: &str, how: How) -> Sought {
    Sought { plate: PlatePattern::new(text, how).ok(), ..Sought::default() }
}

fn questions(kind: &str, count: u64, reads: u64) -> Vec<Sought> {
    let each = (0..count).filter_map(|i| {
        let text = plate(mixed(i + 77) % reads)?;
        let text = text.as_str();
        Some(match kind {
            "exact" => sought(text, How::Exact),
            "not there" => sought(&format!("{text}9"), How::Exact),
            "confusable" => sought(text, How::Confusable),
            "near" => sought(text, How::Near),
            "3 known, ABC????" => sought(&format!("{}????", text.get(..3)?), How::Exact),
            "3 known, *1?C*9*" => {
                sought(&format!("*{}?{}*{}*", text.get(..1)?, text.get(2..3)?, text.get(6..7)?), How::Exact)
            }
            "3 known, ????123" => sought(&format!("????{}", text.get(4..)?), How::Exact),
            "3 known, nowhere" => sought(&format!("{}0000*0{i}", "QQQ"), How::Exact),
            _ => Sought::default(),
        })
    });
    each.collect()
}

fn run() -> Option<()> {
    let reads = std::env::var("WATCHPOST_BENCH_READS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("query-bench");
    let keep = std::env::var_os("WATCHPOST_BENCH_KEEP").is_some();
    if !keep {
        let _ = std::fs::remove_dir_all(&dir);
    }
    if !dir.exists() {
        fill(&dir, reads)?;
    }
    let (ledger, index) = (bytes_below(&dir.join("ledger")), bytes_below(&dir.join("index")));
    say(&format!("ledger {} MiB, index {} MiB", ledger >> 20, index >> 20));
    let begin = Instant::now();
    let store = open(&dir)?;
    say(&format!("opened in {:.1?}: {} sightings", begin.elapsed(), store.counts().sightings));
    // From here on the peak counts anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS");
    for (kind, count) in [
        ("exact", 2_000),
        ("not there", 500),
        ("3 known, ABC????", 100),
        ("3 known, *1?C*9*", 100),
        ("3 known, ????123", 100),
        ("3 known, nowhere", 100),
        ("confusable", 50),
        ("near", 50),
        ("all", 20),
    ] {
        say(&format!("{kind}:"));
        ask(&store, &questions(kind, count, reads))?;
    }
    let (after, peak) = (memory("VmRSS"), memory("VmHWM"));
    say(&format!(
        "memory: {before} KiB before, {after} KiB after, peak {peak} KiB: + {} KiB",
        peak.saturating_sub(before)
    ));
    drop(store);
    if !keep {
        let _ = std::fs::remove_dir_all(&dir);
    }
    Some(())
}

fn main() -> std::process::ExitCode {
    if run().is_some() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
