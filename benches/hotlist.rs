//! What lists of a million entries cost: loading the sealed package, matching (exact, confusable, near), memory, and what
//! readers notice while such lists are swapped.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use watchpost::centre::keys::{Keys, SigningKey};
use watchpost::command::lists::{Draft, Package, Shelf, sign};
use watchpost::domain::{
    Candidate, Lattice, ListId, MatchPolicy, Ownership, PlateRead, PlateText, Position, Severity, Share, TimeMs,
};
use watchpost::hotlist::{Hotlists, List, ListSettings, Matcher, package};
use watchpost::store::{StoreKey, Vault};

const ENTRIES: u32 = 1_000_000;
const NOW: TimeMs = TimeMs(1_772_366_400_000);

/// Plate number `n`: three letters and four digits in a scattered order.
fn plate(n: u32) -> String {
    let mut left = n.wrapping_mul(2_654_435_761) % 175_760_000;
    let digits = left % 10_000;
    left /= 10_000;
    let letter = |k: u32| char::from(b'A' + u8::try_from(k % 26).unwrap_or(0));
    format!("{}{}{}{digits:04}", letter(left), letter(left / 26), letter(left / 676))
}

fn read(text: &str) -> PlateRead {
    let positions = text.chars().map(|c| Position { options: vec![(c, 0.95), ('0', 0.02), ('8', 0.01)] }).collect();
    let text = PlateText::from_raw(text).unwrap_or_else(|| unreachable!("plates of this bench are plates"));
    PlateRead {
        candidates: vec![Candidate { text: text.clone(), confidence: 0.9 }],
        text,
        confidence: 0.9,
        char_confidences: vec![0.95; 7],
        lattice: Lattice { positions },
        region: None,
        regions: Vec::new(),
        frames: 5,
    }
}

/// Half of them are on the list.
fn reads() -> Vec<PlateRead> {
    (0..4096).map(|n| read(&plate(n * 487 + n % 2 * ENTRIES))).collect()
}

fn csv() -> String {
    let mut csv = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n".to_owned();
    for n in 0..ENTRIES {
        // Some entries differ in state and days from those beside them, as in lists that grow day by day.
        let (state, day) = (if n % 3 == 0 { "NV" } else { "CA" }, 1 + n % 28);
        // Writing into a text can't fail.
        let _ = writeln!(csv, "{},{state},STOLEN,202501{day:02},20301231", plate(n));
    }
    csv
}

fn settings(policy: MatchPolicy) -> ListSettings {
    let id = ListId::new("bench").unwrap_or_else(|_| unreachable!("a good id"));
    let owner = Some(Ownership { org: "north".to_owned(), share: Share::None });
    ListSettings { policy, owner, ..ListSettings::new(id, 1, Severity::Minor) }
}

fn matching(c: &mut Criterion) {
    let csv = csv();
    for (name, policy) in
        [("exact", MatchPolicy::Exact), ("confusable", MatchPolicy::Confusable), ("near", MatchPolicy::Near)]
    {
        let Ok(list) = List::parse(Path::new("bench.csv"), csv.as_bytes(), NOW, &settings(policy)) else { return };
        let bytes = list.bytes();
        let matcher = Matcher::new(vec![Arc::new(list)]);
        let reads = reads();
        let mut times: Vec<Duration> = (0..100_000)
            .zip(reads.iter().cycle())
            .map(|(_, read)| {
                let begin = Instant::now();
                black_box(matcher.matches(read, NOW));
                begin.elapsed()
            })
            .collect();
        times.sort_unstable();
        let at = |permille: usize| times.get(times.len() * permille / 1000).copied().unwrap_or_default();
        println!("{name}: p50 {:?}, p99 {:?}, p99.9 {:?} of 100,000 reads", at(500), at(990), at(999));
        let mut next = reads.iter().cycle();
        c.bench_function(&format!("{name}, {ENTRIES} entries of {bytes} bytes"), |b| {
            b.iter(|| black_box(matcher.matches(next.next().unwrap_or_else(|| unreachable!("cycles")), NOW)));
        });
    }
}

/// A field of `/proc/self/status`, in MiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Lets the peak count from now on.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn packaged(c: &mut Criterion) {
    let (Ok(dir), Ok(key)) = (tempfile::tempdir(), SigningKey::from_seed(&[7; 32])) else { return };
    let shelf = Shelf::new(dir.path(), Vault::new(&StoreKey::from_bytes([9; 32])));
    let keys = Keys::from(key.public().clone());
    let files = [dir.path().join("1.wpl"), dir.path().join("2.wpl")];
    {
        let csv = csv();
        for (serial, file) in (1..).zip(&files) {
            let settings = settings(MatchPolicy::Near);
            let packed = package::pack(Path::new("bench.csv"), csv.as_bytes(), &settings, serial, NOW);
            let Ok(packed) = packed else { return };
            let Ok(bytes) = sign(&packed.header, &packed.body, &key) else { return };
            println!("package of {ENTRIES} entries: {} bytes", bytes.len());
            if std::fs::write(file, bytes).is_err() {
                return;
            }
        }
    }
    let before = memory("VmRSS");
    let lists = Hotlists::new();
    // As `hotlist.put` does it: the package in memory, verified, sealed on the disk, in force.
    let put = |file: &Path| -> Option<()> {
        let bytes = std::fs::read(file).ok()?;
        let draft = shelf.draft(&Package::open(&bytes, &keys).ok()?).ok()?;
        lists.put(draft.keep().ok()?).ok()
    };
    for (what, file) in [("the first", &files[0]), ("the second in its place", &files[1])] {
        forget_peak();
        let begin = Instant::now();
        if put(file).is_none() {
            println!("{what} was refused");
            return;
        }
        let (took, peak, after) = (begin.elapsed(), memory("VmHWM"), memory("VmRSS"));
        println!(
            "{what} put: {took:?}; memory at most {} MiB more than without lists, then {}",
            peak - before,
            after.saturating_sub(before)
        );
    }
    let id = settings(MatchPolicy::Near).id;
    c.bench_function("load of the sealed package", |b| b.iter(|| black_box(shelf.load(&id).ok())));
    swaps_under_reads(&lists, &shelf, &files, &keys);
}

/// A thousand reads a second while lists of a million are swapped: what a read takes, the list included.
fn swaps_under_reads(lists: &Hotlists, shelf: &Shelf, files: &[std::path::PathBuf; 2], keys: &Keys) {
    let (over, reads) = (AtomicBool::new(false), reads());
    let (times, swaps) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut times = Vec::new();
            for read in reads.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let begin = Instant::now();
                let matcher = lists.matcher();
                let asked = begin.elapsed();
                black_box(matcher.matches(read, NOW));
                times.push((asked, begin.elapsed()));
                std::thread::sleep(Duration::from_millis(1).saturating_sub(begin.elapsed()));
            }
            times
        });
        let mut swaps = 0;
        for file in files.iter().cycle().take(6) {
            let Ok(bytes) = std::fs::read(file) else { break };
            let Ok(package) = Package::open(&bytes, keys) else { break };
            let list = shelf.draft(&package).and_then(Draft::keep);
            lists.remove(&package.header.list);
            swaps += u32::from(list.is_ok_and(|list| lists.put(list).is_ok()));
        }
        over.store(true, Ordering::Relaxed);
        (reader.join().unwrap_or_default(), swaps)
    });
    let mut waits: Vec<Duration> = times.iter().map(|(wait, _)| *wait).collect();
    let mut whole: Vec<Duration> = times.iter().map(|(_, whole)| *whole).collect();
    waits.sort_unstable();
    whole.sort_unstable();
    let at = |t: &[Duration], permille: usize| {
        t.get((t.len() * permille / 1000).min(t.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "{} reads during {swaps} swaps: getting the lists p99 {:?}, longest {:?}; the whole read p99 {:?}, longest {:?}",
        times.len(),
        at(&waits, 990),
        at(&waits, 1000),
        at(&whole, 990),
        at(&whole, 1000)
    );
}

criterion_group! { name = benches; config = Criterion::default().sample_size(10); targets = packaged, matching }
criterion_main!(benches);
