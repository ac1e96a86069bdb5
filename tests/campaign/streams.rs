//! Cameras fail in eight ways at once, again and again, beside two that do not.
//!
//! Each bad camera has a thread that strikes, waits until the camera's state says why, leaves it so for a while, mends it, and
//! waits until frames come again and go on coming. The two good ones are held against the time: what they sent is what the
//! daemon has to have counted. A hit is fed now and then beside all that, and the judge judges. What the daemon costs is
//! looked at after a fifth of the cycles and at the end, while all cameras are well.
//!
//! `CAMPAIGN_CAMERAS=codec,size` strikes these alone, to find out which of them leaves something behind.

use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use super::broker::settle;
use super::cost::{Cost, median};
use super::fault::{Ask, Chance, Fault, Outcome};
use super::kit::one_box::camera;
use super::kit::pauses::Pauses;
use super::rig::{PATIENCE, Rig, bar, percentile};
use super::servers::{self, Bad, Clips, FPS, Process};
use super::watch::{Eye, Watch, longest_still};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "rtsp-daemon",
        what: "cameras killed, stopped, half open, with another codec, another size, lost packets, 16384×16384, flipped bits, decoded in \
               the daemon: others lose nothing, back within 10 s, the reason told, memory, threads and descriptors flat",
        small: 8,
        full: 500,
        run: |ask| run(ask, "none"),
    },
    Fault {
        name: "rtsp-worker",
        what: "the same, decoded in a worker process that all share",
        small: 8,
        full: 500,
        run: |ask| run(ask, "shared"),
    },
];

const ENOUGH: u32 = 1_000_000;
/// Hits a second that are fed meanwhile.
const HITS: u32 = 2;
/// A camera is back within this time of a fault's end.
const BACK: Duration = Duration::from_secs(10);
/// The reason is told within this time of its beginning.
const TOLD: Duration = Duration::from_secs(10);
/// Frames that make a camera one that is back.
const FRAMES: u64 = FPS;
/// It has to go on for so long: more than its silence is borne.
const STEADY: Duration = Duration::from_secs(2);
/// What may be between the frames that a camera sent by its clock and those that were counted: two at each end, which the
/// looking adds.
const SLACK: u64 = 4;
/// What memory may grow by, KiB; threads and descriptors by the number.
const MORE_KIB: u64 = 4 << 10;
const MORE: u64 = 2;
/// Looks at what the daemon costs, while all cameras are well, where that is judged.
const LOOKS: usize = 5;
/// Names of the cameras that are struck; all without.
const ONLY: &str = "CAMPAIGN_CAMERAS";
/// Fewer cycles say nothing of what is left behind.
const ENOUGH_CYCLES: u64 = 200;

/// A kind of fault: the camera's name, further lines of its section, and how it is made.
type Kind = (&'static str, &'static str, fn(&Clips) -> Box<dyn Bad>);

const KINDS: [Kind; 8] = [
    ("killed", "", servers::killed),
    ("stopped", "", servers::stopped),
    ("half-open", "", servers::half_open),
    ("codec", "", servers::other_codec),
    ("size", "", servers::other_size),
    ("lossy", "transport = \"udp\"", servers::lossy),
    ("oversized", "", servers::oversized),
    ("flipped", "", servers::flipped),
];
const GOOD: [&str; 2] = ["good-1", "good-2"];

/// A part of what a daemon costs.
type Part = fn(&Cost) -> u64;

/// What came of one camera's cycles.
#[derive(Default)]
struct Report {
    done: u64,
    told: Vec<Duration>,
    back: Vec<Duration>,
    /// Times it failed, and frames that were not whole.
    failed: u64,
    damaged: u64,
    faults: Vec<String>,
}

fn run(ask: &Ask, workers: &str) -> Outcome {
    let (mut outcome, pauses, clips) = (Outcome::default(), Pauses::watch(), Clips::make(&ask.dir));
    let only = std::env::var(ONLY).ok();
    let is_wanted = |kind: &&Kind| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == kind.0));
    let kinds: Vec<Kind> = KINDS.iter().filter(is_wanted).copied().collect();
    let mut bad: Vec<(Kind, Box<dyn Bad>)> = kinds.iter().map(|kind| (*kind, (kind.2)(&clips))).collect();
    let good = GOOD.map(|_| Process::start(&clips.usual, 0));
    // Everything is decoded, and little of it looked at: it is the streams that are tried here. Flipped bits look like plates at times, and who
    // announces hits can't tell another's sighting.
    let nowhere = "roi = [[[0.0, 0.0], [0.02, 0.0], [0.02, 0.02]]]";
    let own = format!("idle_decoding = false\nview_watch = false\nfps = 1\n{nowhere}\n");
    // A cache that fills up in the meantime would look like something left behind.
    let mut sections = format!("[decode]\nworkers = \"{workers}\"\n\n[store]\ncache_mib = 4\n\n");
    let sources = GOOD.iter().zip(&good).map(|(id, server)| (*id, server.url(), String::new()));
    let others = bad.iter().map(|((id, more, _), bad)| (*id, bad.url(), format!("stall_s = 1\n{more}\n")));
    for (n, (id, url, more)) in sources.chain(others).enumerate() {
        sections += &camera(id, n as u16 + 1, &url, &format!("{own}{more}"));
    }
    let mut rig = Rig::seeing(sections);
    let watch = Watch::start(rig.counts());
    rig.start(HITS, ENOUGH);
    let all = GOOD.iter().copied().chain(kinds.iter().map(|kind| kind.0));
    for id in all {
        let up = watch.wait(id, PATIENCE, |eye| eye.is_up() && eye.received >= 2 * FRAMES);
        assert!(up, "{id} does not begin: {:?}; {}", watch.eye(id), rig.last_words());
    }
    let begun = GOOD.map(|id| watch.eye(id).ms);
    let looks = if ask.full { LOOKS } else { 1 };
    let rest = Rest { barrier: Barrier::new(kinds.len()), pid: rig.pid(), looks, warm: Mutex::default() };
    let (each, left) = (ask.count / kinds.len() as u64, ask.count % kinds.len() as u64);
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let mut drivers = Vec::new();
        for (n, (kind, bad)) in bad.iter_mut().enumerate() {
            let (id, cycles, chance) = (kind.0, each + u64::from((n as u64) < left), Chance(ask.seed + n as u64));
            let (watch, rest, full) = (&watch, &rest, ask.full);
            drivers.push(scope.spawn(move || drive((id, bad.as_mut()), cycles, watch, rest, (chance, full))));
        }
        drivers.into_iter().map(|driver| driver.join().unwrap()).collect()
    });
    let last = rest.look();
    judge_good(&watch, begun, &pauses, &mut outcome);
    for (n, (kind, report)) in kinds.iter().zip(reports).enumerate() {
        note((kind.0, n + GOOD.len() + 1), report, &rig, &mut outcome);
    }
    judge_cost(&rest.warm.into_inner().unwrap(), &last, outcome.done, &mut outcome);
    outcome.expect(rig.said("a decode worker was lost") == 0, || "a decode worker was lost".to_owned());
    settle(&mut rig, &mut outcome);
    outcome
}

/// Where all wait for each other, once, while their cameras are well.
struct Rest {
    barrier: Barrier,
    pid: u32,
    looks: usize,
    warm: Mutex<Vec<Cost>>,
}

impl Rest {
    fn wait(&self) {
        if self.barrier.wait().is_leader() {
            *self.warm.lock().unwrap() = self.look();
        }
        self.barrier.wait();
    }

    /// What the daemon costs, some times.
    fn look(&self) -> Vec<Cost> {
        let one = |_| {
            std::thread::sleep(Duration::from_secs(1));
            Cost::of(self.pid)
        };
        (0..self.looks).map(one).collect()
    }
}

/// Strikes a camera so many times.
fn drive(
    (id, bad): (&str, &mut dyn Bad),
    cycles: u64,
    watch: &Watch,
    rest: &Rest,
    (mut chance, full): (Chance, bool),
) -> Report {
    let (mut report, first) = (Report::default(), watch.eye(id));
    for n in 0..cycles {
        if n == cycles / 5 {
            rest.wait();
        }
        std::thread::sleep(Duration::from_millis(chance.below(500)));
        let (begun, words) = (Instant::now(), bad.strike(n));
        let says = |eye: &Eye| !eye.is_up() && words.iter().any(|word| eye.reason.contains(word));
        if !words.is_empty() {
            if watch.wait(id, bar(TOLD), says) {
                report.told.push(begun.elapsed());
            } else {
                report.faults.push(format!("{id}, cycle {n}: not told within {TOLD:?}: {:?}", watch.eye(id)));
            }
        }
        std::thread::sleep(lasts(&mut chance, full, words.is_empty()));
        bad.mend();
        match back(id, watch) {
            Some(took) => report.back.push(took),
            None => report.faults.push(format!("{id}, cycle {n}: not back within {BACK:?}: {:?}", watch.eye(id))),
        }
        bad.tidy();
        report.done += 1;
    }
    let last = watch.eye(id);
    (report.failed, report.damaged) = (last.failed - first.failed, last.damaged - first.damaged);
    report
}

/// How long a fault lasts from the time on at which it is told: mostly a moment, at times longer than any wait between two
/// openings.
fn lasts(chance: &mut Chance, full: bool, is_quiet: bool) -> Duration {
    let ms = match chance.below(10) {
        0 if full => 8_000 + chance.below(8_000),
        1..=3 if full => 1_000 + chance.below(4_000),
        _ => chance.below(800),
    };
    // One that may change nothing needs time to do so.
    Duration::from_millis(if is_quiet { ms + 1_000 } else { ms })
}

/// Waits until frames come again, and go on coming; how long that took.
fn back(id: &str, watch: &Watch) -> Option<Duration> {
    let mended = Instant::now();
    let mut from = watch.eye(id);
    loop {
        let left = bar(BACK).checked_sub(mended.elapsed())?;
        if !watch.wait(id, left, |eye| eye.is_up() && eye.received >= from.received + FRAMES) {
            return None;
        }
        let (took, failed) = (mended.elapsed(), watch.eye(id).failed);
        if !watch.wait(id, STEADY, |eye| eye.failed > failed) {
            return Some(took);
        }
        from = watch.eye(id);
    }
}

/// The good cameras: all that they sent was counted, and nothing was wrong with them.
fn judge_good(watch: &Watch, begun: [u64; 2], pauses: &Pauses, outcome: &mut Outcome) {
    let (mut sent, mut missing, mut replaced, mut still) = (0, 0, 0, 0);
    for (id, ms) in GOOD.iter().zip(begun) {
        let eyes = watch.since(id, ms);
        let (Some(first), Some(last)) = (eyes.first(), eyes.last()) else { continue };
        let due = (last.ms - first.ms) * FPS / 1_000;
        let lost = due.saturating_sub(last.received - first.received);
        (sent, missing) = (sent + due, missing + lost);
        replaced += last.dropped - first.dropped;
        still = longest_still(&eyes, |eye| eye.received).max(still);
        if pauses.spoil("what a good camera lost") {
            continue;
        }
        let is_fine = (last.opened, last.failed, last.damaged) == (1, 0, first.damaged)
            && eyes.iter().all(|eye| eye.link == "online");
        outcome.expect(is_fine, || format!("{id} was disturbed: {last:?}"));
        outcome.expect(due > 0 && lost <= SLACK, || format!("{id} lost {lost} of {due} frames"));
    }
    outcome.figure("good cameras sent", sent);
    outcome.figure("missing", missing);
    outcome.figure("replaced by newer ones", replaced);
    outcome.figure("longest gap", format!("{still} ms"));
}

fn note((id, number): (&'static str, usize), mut report: Report, rig: &Rig, outcome: &mut Outcome) {
    outcome.done += report.done;
    outcome.faults.append(&mut report.faults);
    let ((p95, longest), (told, _)) = (percentile(&mut report.back, 95), percentile(&mut report.told, 95));
    let Report { done, failed, damaged, .. } = report;
    // Of flipped bits a decoder may say nothing, however many there are; that they are seen is a test (`tests/it/spoil.rs`).
    let is_spoiling = id == "lossy" && done >= ENOUGH_CYCLES / 8;
    outcome.expect(!is_spoiling || failed + damaged > 0, || format!("{id}: {done} strikes did nothing"));
    let told = if report.told.is_empty() { String::new() } else { format!(", told p95 {told:.1?}") };
    let spoilt = format!("{failed} failures, {damaged} damaged frames");
    outcome.figure(id, format!("{done} times{told}, back p95 {p95:.1?}, longest {longest:.1?}, {spoilt}"));
    let is_offline = |told: &(u16, String, String)| usize::from(told.0) == number && told.1 == "offline";
    let was_told = rig.look(|seen| seen.cameras.iter().any(|told| is_offline(told) && told.2 != "starting"));
    // Another size, lost packets and flipped bits need not stop a camera; one that is back at once may not be told.
    let may_go_on = ["size", "lossy", "flipped"].contains(&id) || done < 10;
    outcome.expect(was_told || may_go_on, || format!("the centre never heard that {id} was offline"));
}

/// Memory, threads and descriptors at the end, against those after a fifth of the cycles.
fn judge_cost(warm: &[Cost], last: &[Cost], cycles: u64, outcome: &mut Outcome) {
    let of: [(&str, Part, u64); 3] = [
        ("own memory, KiB", |cost| cost.own_kib, MORE_KIB),
        ("threads", |cost| cost.threads, MORE),
        ("descriptors", |cost| cost.files, MORE),
    ];
    for (name, of, more) in of {
        let (before, after) = (median(warm, of), median(last, of));
        if after == 0 {
            outcome.figure(name, "not known without root");
            continue;
        }
        outcome.figure(name, format!("{before}, at the end {after}"));
        let flat = after <= before + more || cycles < ENOUGH_CYCLES;
        outcome.expect(flat, || format!("{name}: {before} after a fifth, {after} at the end"));
    }
    let daemon: Part = |cost| cost.daemon_kib;
    outcome.figure("of it the daemon's", format!("{}, at the end {}", median(warm, daemon), median(last, daemon)));
}
