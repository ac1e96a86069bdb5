//! Half an hour at twenty-four times the events of a busy site: nothing grows.
//!
//! Busy is one hit a minute and 25 reads besides; so a sighting every tenth of a second is fed, every 25th of them a hit with a clip, beside
//! two cameras, one of which sees motion. The broker is away for a moment every 100 s. The wall clock leaps to the next day every 5 minutes
//! (which a box in the field never sees), so that reads, kept for three days, are deleted as the days pass; hits stay for the judge.
//!
//! Before that half hour 24 days of as many reads pass in 72 s: a box that has just been started fills the index's cache, and the gaps in its heap,
//! for days, which is no growth without end, and half an hour could not tell it from one. What that takes is told, and bounded.

use std::time::{Duration, Instant};

use watchpost::camera::testkit::Clip;
use watchpost::supervise;
use watchpost::supervise::testkit::{AHEAD_PER_SECOND, SWEEP};

use super::broker::settle;
use super::cost::{Cost, median};
use super::fault::{Ask, Chance, Fault, Outcome};
use super::kit::one_box::camera;
use super::rig::{PATIENCE, Rig};
use super::servers::{self, Process};
use super::watch::Watch;

pub const FAULTS: &[Fault] = &[Fault {
    name: "soak",
    what: "so many seconds at 24 times the events of a busy site, with broker flaps and days that pass: memory slope ≤ 1 MiB/h, threads and \
           descriptors flat, the store bounded",
    small: 12,
    full: 1_800,
    run,
}];

const ENOUGH: u32 = 1_000_000;
/// Sightings a second, and reads between two hits: 24 hits a minute.
const PER_SECOND: u32 = 10;
const READS_BETWEEN: u32 = 24;
const CLIP_BYTES: usize = 256 << 10;
/// What is left out of the slope: caches fill.
const WARM: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_secs(2);
const FLAP_EVERY: Duration = Duration::from_secs(100);
const DAY_EVERY: Duration = Duration::from_mins(5);
const DAY_MS: u64 = 86_400_000;
/// MiB an hour.
const SLOPE: f64 = 1.0;
const MORE: u64 = 4;
/// Days that pass before, and how long each of them takes.
const DAYS_AHEAD: u32 = 24;
const DAY_AHEAD: Duration = Duration::from_secs(3);
/// What they may take, KiB.
const AHEAD_KIB: u64 = 16 << 10;

fn run(ask: &Ask) -> Outcome {
    let (mut outcome, mut chance) = (Outcome::default(), Chance(ask.seed));
    let usual = Clip { fps: 10, ..Clip::H264 };
    let clip =
        |name: &str, pattern| Process::start(&servers::clip(ask.dir.join(name), 4, &Clip { pattern, ..usual }), 0);
    let (still, moving) = (clip("still.mp4", "smpte"), clip("moving.mp4", "ball"));
    let mut sections = "[decode]\nworkers = \"shared\"\n\n[store.retention]\nreads_hours = 72\n\n".to_owned();
    sections += &camera("still", 1, &still.url(), "");
    sections += &camera("moving", 2, &moving.url(), "fps = 2");
    let mut rig = Rig::seeing(sections);
    rig.set_clock("0 synced");
    rig.environment.push((SWEEP, "1".to_owned()));
    let quick = if ask.full { 1 } else { 30 };
    let (day_ahead, days_ahead) = if ask.full { (DAY_AHEAD, DAYS_AHEAD) } else { (DAY_AHEAD / 3, 5) };
    rig.start_as(|order| {
        (order.per_second, order.count) = (PER_SECOND, ENOUGH);
        (order.reads_between, order.clip_bytes) = (READS_BETWEEN, CLIP_BYTES);
        order.ahead = AHEAD_PER_SECOND * (day_ahead * days_ahead).as_secs() as u32;
    });
    let watch = Watch::start(rig.counts());
    for id in ["still", "moving"] {
        assert!(watch.wait(id, PATIENCE, |eye| eye.is_up() && eye.looked_at > 0), "{id}: {:?}", watch.eye(id));
    }
    drop(watch);
    let before = Cost::of(rig.pid()).own_kib;
    for day in 1..=days_ahead {
        std::thread::sleep(day_ahead);
        rig.set_clock(&format!("{} synced", u64::from(day) * DAY_MS));
    }
    let after = Cost::of(rig.pid()).own_kib;
    outcome.figure("before the days ahead and after", format!("{} and {} MiB", before >> 10, after >> 10));
    outcome.expect(after <= before + AHEAD_KIB || !ask.full, || format!("the days ahead took {} KiB", after - before));
    let (begun, mut samples, mut sizes) = (Instant::now(), Vec::new(), Vec::new());
    let (mut flaps, mut days) = (0, 0);
    while begun.elapsed() < Duration::from_secs(ask.count) {
        samples.push((begun.elapsed().as_secs_f64(), Cost::of(rig.pid())));
        sizes.push(size_of(&supervise::store_dir(&rig.made.config())));
        std::thread::sleep(LOOK_EVERY);
        // The small one has a flap and a day as well.
        if begun.elapsed() > FLAP_EVERY / quick * (flaps + 1) {
            flaps += 1;
            rig.broker.kill();
            std::thread::sleep(Duration::from_millis(chance.below(3_000)));
            rig.broker.restart();
        }
        if begun.elapsed() > DAY_EVERY / quick * (days + 1) {
            days += 1;
            rig.set_clock(&format!("{} synced", u64::from(days_ahead + days) * DAY_MS));
        }
        if rig.has_died() {
            break;
        }
    }
    outcome.done = begun.elapsed().as_secs().min(ask.count);
    let deleted = rig.said("kept long enough: deleted");
    outcome.figure("broker flaps", flaps);
    outcome.figure("days", format!("{days_ahead} before and {days}, of which {deleted} were deleted"));
    // Today and three days before stay, and what is due may not be done.
    let due = (days_ahead + days).saturating_sub(5) as usize;
    outcome.expect(deleted >= due || !ask.full, || format!("{deleted} days of reads were deleted, {due} were due"));
    judge(&samples, &sizes, ask.full, &mut outcome);
    settle(&mut rig, &mut outcome);
    outcome
}

fn judge(samples: &[(f64, Cost)], sizes: &[u64], full: bool, outcome: &mut Outcome) {
    let warm = samples.iter().filter(|(at, _)| *at >= WARM.as_secs_f64()).copied().collect::<Vec<_>>();
    let judged = if full { &warm[..] } else { samples };
    let costs: Vec<Cost> = judged.iter().map(|(_, cost)| *cost).collect();
    if costs.is_empty() || costs.iter().all(|cost| cost.own_kib == 0) {
        outcome.fault("it ended before there was anything to judge, or its memory can't be read (run as root)");
        return;
    }
    let points: Vec<(f64, f64)> = judged.iter().map(|(at, cost)| (*at, cost.own_kib as f64)).collect();
    let slope = slope(&points) * 3_600.0 / 1_024.0;
    outcome.figure("own memory", format!("{:.1} MiB", median(&costs, |cost| cost.own_kib) as f64 / 1_024.0));
    outcome.figure("slope", format!("{slope:.2} MiB/h"));
    outcome.figure("own memory every fifth of the time, MiB", course(samples));
    outcome.expect(slope <= SLOPE || !full, || format!("memory grows by {slope:.2} MiB/h"));
    let fifth = costs.len() / 5;
    for (name, of) in [("threads", (|cost| cost.threads) as fn(&Cost) -> u64), ("descriptors", |cost| cost.files)] {
        let (before, after) = (median(&costs[..fifth.max(1)], of), median(&costs[costs.len() - fifth.max(1)..], of));
        outcome.figure(name, format!("{before}, at the end {after}"));
        outcome.expect(after <= before + MORE || !full, || format!("{name}: {before} at first, {after} at the end"));
    }
    // It holds what was fed: hits with clips, and five days of reads at most.
    let (largest, hits) = (sizes.iter().max().copied().unwrap_or(0), hits_in(samples.len()));
    let bound = (64 << 20) + hits * (CLIP_BYTES as u64 + (64 << 10)) + 5 * reads_of_a_day() * (8 << 10);
    outcome.figure("store", format!("{} MiB at most", largest >> 20));
    outcome.expect(largest <= bound, || format!("the store grew to {largest} bytes, {bound} are enough"));
}

/// What it had in each fifth of the time.
fn course(samples: &[(f64, Cost)]) -> String {
    let costs: Vec<Cost> = samples.iter().map(|(_, cost)| *cost).collect();
    let fifths = costs.chunks(costs.len().div_ceil(5).max(1)).map(|part| median(part, |cost| cost.own_kib) / 1_024);
    fifths.map(|mib| mib.to_string()).collect::<Vec<_>>().join(", ")
}

/// Hits that were fed during so many looks.
fn hits_in(looks: usize) -> u64 {
    // A look takes its time as well.
    2 * looks as u64 * LOOK_EVERY.as_secs() * u64::from(PER_SECOND) / u64::from(READS_BETWEEN + 1) + 1
}

/// Those of a day before, which are more than those of one of the half hour.
fn reads_of_a_day() -> u64 {
    DAY_AHEAD.as_secs() * u64::from(AHEAD_PER_SECOND)
}

/// Bytes of all files of a folder.
fn size_of(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| {
        let about = entry.metadata().ok()?;
        Some(if about.is_dir() { size_of(&entry.path()) } else { about.len() })
    };
    entries.filter_map(|entry| size(entry.ok()?)).sum()
}

/// Least squares: by how much the second grows with the first.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let below: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}
