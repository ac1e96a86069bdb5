//! Sixty-four small cameras, motion in eight of them: none starves, and what is fed beside them is told.
//!
//! 352×288 at 5 pictures a second, a key frame every 0.8 s, from two servers: on one nothing moves, on the other a ball does. It is
//! what the daemon counts that is judged: frames that it looked at in every 5 s of each camera's time. (Of a camera on which nothing moves the
//! motion gate looks at key frames, and finds them as before.)

use std::time::{Duration, Instant};

use watchpost::camera::testkit::Clip;

use super::broker::settle;
use super::cost::Cost;
use super::fault::{Ask, Fault, Outcome};
use super::kit::one_box::camera;
use super::kit::pauses::Pauses;
use super::rig::{PATIENCE, Rig, percentile};
use super::servers::Process;
use super::watch::{Eye, Watch};

pub const FAULTS: &[Fault] = &[Fault {
    name: "cameras-64",
    what: "so many cameras of 352×288 at 5/s, motion in an eighth, for 120 s (small: 10 s): each looked at once a second, those with motion \
           4 times, no alert shed; ≤ 1.6 cores",
    small: 8,
    full: 64,
    run,
}];

const ENOUGH: u32 = 1_000_000;
/// Hits a second that are fed beside.
const HITS: u32 = 5;
/// One in so many cameras sees motion.
const MOVING: u64 = 8;
/// What is looked at as one.
const SPAN_MS: u64 = 5_000;
/// Frames of a second that are looked at, at least: of every camera, and of those with motion.
const LEAST: u64 = 1;
const LEAST_MOVING: u64 = 4;
/// Cores of the whole.
const CORES: f64 = 1.6;

fn run(ask: &Ask) -> Outcome {
    let (mut outcome, pauses) = (Outcome::default(), Pauses::watch());
    let encoder = "x264enc speed-preset=ultrafast bframes=0 key-int-max=4 threads=1 option-string=scenecut=0";
    let clip = Clip { size: (352, 288), fps: 5, frames: 40, encoder, ..Clip::H264 };
    let made = |name: &str, pattern| {
        let path = ask.dir.join(name);
        Clip { pattern, ..clip }.make(&path).unwrap();
        Process::start(&path, 0)
    };
    let (still, moving) = (made("still.mp4", "smpte"), made("moving.mp4", "ball"));
    let is_moving = |n: u64| n.is_multiple_of(MOVING);
    let mut sections = "[decode]\nworkers = \"shared\"\n\n".to_owned();
    for n in 0..ask.count {
        let url = if is_moving(n) { moving.url() } else { still.url() };
        sections += &camera(&name(n), n as u16 + 1, &url, "");
    }
    let mut rig = Rig::seeing(sections);
    let watch = Watch::start(rig.counts());
    rig.start(HITS, ENOUGH);
    for n in 0..ask.count {
        let up = watch.wait(&name(n), PATIENCE, |eye| eye.is_up() && eye.looked_at >= 10);
        assert!(up, "{} does not begin: {:?}; {}", name(n), watch.eye(&name(n)), rig.last_words());
    }
    // Cameras on which nothing moves are idle soon.
    std::thread::sleep(Duration::from_secs(if ask.full { 10 } else { 2 }));
    let (begun, ms, before) = (Instant::now(), watch.eye(&name(0)).ms, Cost::of(rig.pid()));
    std::thread::sleep(Duration::from_secs(if ask.full { 120 } else { 10 }));
    let (took, after) = (begun.elapsed(), Cost::of(rig.pid()));
    let cores = after.cpu.saturating_sub(before.cpu).as_secs_f64() / took.as_secs_f64();
    let (mut least, mut least_moving, mut dropped, mut failed) = (u64::MAX, u64::MAX, 0, 0);
    for n in 0..ask.count {
        let eyes = watch.since(&name(n), ms);
        let fewest = fewest_in_a_span(&eyes);
        let of = if is_moving(n) { &mut least_moving } else { &mut least };
        *of = fewest.min(*of);
        if let (Some(first), Some(last)) = (eyes.first(), eyes.last()) {
            dropped += last.dropped - first.dropped;
            failed += last.failed;
        }
        outcome.done += u64::from(fewest > 0);
    }
    let per_second = |of: u64| of as f64 * 1_000.0 / SPAN_MS as f64;
    outcome.figure("cores", format!("{cores:.2}"));
    outcome.figure("PSS", format!("{} MiB in {} processes", after.pss_kib >> 10, after.processes));
    outcome.figure("threads", after.threads);
    outcome.figure("looked at a second, fewest of 5 s", format!("{:.1}", per_second(least)));
    outcome.figure("of those with motion", format!("{:.1}", per_second(least_moving)));
    outcome.figure("replaced by newer ones", dropped);
    let mut late: Vec<Duration> = rig.look(|seen| seen.came.iter().map(|came| came.late).collect());
    outcome.figure("alerts p95", format!("{:.0?}", percentile(&mut late, 95).0));
    outcome.expect(failed == 0, || format!("cameras failed {failed} times"));
    outcome.expect(rig.look(|seen| seen.shed) == 0, || "alerts were shed".to_owned());
    if !pauses.spoil("how often cameras are looked at") {
        let (wanted, moving) = (LEAST * SPAN_MS / 1_000, LEAST_MOVING * SPAN_MS / 1_000);
        outcome.expect(least >= wanted, || format!("a camera was looked at {least} times in 5 s"));
        // What the machine is too slow for in a debug build.
        let fast = least_moving >= moving || cfg!(debug_assertions);
        outcome.expect(fast, || format!("a camera with motion was looked at {least_moving} times in 5 s"));
    }
    let is_measured = ask.full && !cfg!(debug_assertions);
    outcome.expect(cores <= CORES || !is_measured, || format!("{cores:.2} cores"));
    settle(&mut rig, &mut outcome);
    outcome
}

fn name(n: u64) -> String {
    format!("cam-{n}")
}

/// The fewest frames that were looked at in a whole span, wherever it begins.
fn fewest_in_a_span(eyes: &[Eye]) -> u64 {
    let ends = |first: &Eye| {
        let end = eyes.iter().find(|eye| eye.ms >= first.ms + SPAN_MS)?;
        Some(end.looked_at - first.looked_at)
    };
    eyes.iter().filter_map(ends).min().unwrap_or(0)
}
