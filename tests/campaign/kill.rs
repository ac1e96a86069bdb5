//! The daemon is killed at random moments while it records a hundred hits a second.

use std::time::{Duration, Instant};

use super::fault::{Ask, Chance, Fault, Outcome};
use super::rig::{PATIENCE, Rig, bar, percentile};

pub const FAULTS: &[Fault] = &[Fault {
    name: "kill",
    what: "SIGKILL of the daemon at 100 hits/s, every fifth while it starts: 0 committed lost, restart to first alert p95 ≤ 2 s",
    small: 6,
    full: 200,
    run: killed,
}];

const PER_SECOND: u32 = 100;
/// Longest life of a daemon, in hits.
const MOST: u32 = 10_000;
/// Longest time from the first alert, or the start, to the kill.
const WITHIN_MS: u64 = 700;

fn killed(ask: &Ask) -> Outcome {
    let (mut outcome, mut chance, mut rig) = (Outcome::default(), Chance(ask.seed), Rig::new());
    let mut restarts = Vec::new();
    for round in 0..ask.count {
        let begun = Instant::now();
        let first = rig.start(PER_SECOND, MOST);
        if round % 5 != 4 {
            rig.until("the first alert of a life", PATIENCE, |seen| came_from(seen, first));
            // The very first start makes keys and folders that no restart makes.
            if round > 0 {
                restarts.push(begun.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(chance.below(WITHIN_MS)));
        if rig.has_died() {
            outcome.fault(format!("round {round}: the daemon ended by itself: {}", rig.last_words()));
            break;
        }
        rig.kill();
        outcome.done += 1;
    }
    // A last life that delivers what the others left behind.
    let begun = Instant::now();
    let first = rig.start(PER_SECOND, PER_SECOND);
    rig.until("the first alert of the last life", PATIENCE, |seen| came_from(seen, first));
    restarts.push(begun.elapsed());
    let complete = rig.wait(PATIENCE, |seen| seen.came.iter().any(|came| came.number == first + PER_SECOND - 1));
    outcome.expect(complete.is_some(), || "the last hit did not come".to_owned());
    outcome.expect(rig.complete(PATIENCE).is_some(), || format!("not everything came within {PATIENCE:?}"));
    rig.stop(&mut outcome);
    let duplicates = rig.look(|seen| seen.duplicates);
    rig.verdict(&mut outcome);
    let (p95, longest) = percentile(&mut restarts, 95);
    outcome.figure("restart to first alert p95", format!("{p95:.2?}"));
    outcome.figure("longest", format!("{longest:.2?}"));
    outcome.figure("sent twice", duplicates);
    outcome.expect(p95 <= bar(Duration::from_secs(2)), || format!("restart to first alert p95 {p95:.2?}"));
    outcome
}

/// Whether an alert of the life that began with this number has come.
fn came_from(seen: &super::rig::Seen, first: u32) -> bool {
    seen.came.last().is_some_and(|came| came.number >= first) || seen.came.iter().rev().any(|came| came.number >= first)
}
