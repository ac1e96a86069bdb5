//! The wall clock jumps, and the box starts with a wrong one.

use std::time::Duration;

use watchpost::store::audit;
use watchpost::supervise;

use super::broker::settle;
use super::fault::{Ask, Fault, Outcome};
use super::rig::{PATIENCE, Rig};

pub const FAULTS: &[Fault] = &[Fault {
    name: "clock",
    what: "wall clock +1 h, −1 h, 1970, 2038, frozen, each while running and over a start: order kept, nothing purged early or lost, flags set",
    small: 1,
    full: 10,
    run: steps,
}];

const PER_SECOND: u32 = 50;
const ENOUGH: u32 = 1_000_000;
/// 2038-01-19T03:14:07Z, the last second of 32 bits.
const LAST_SECOND: &str = "=2147483647000 holdover";
/// What the wall clock says, and whether its hits must be flagged.
const STEPS: [(&str, bool); 5] = [
    ("3600000 holdover", false),
    ("-3600000 holdover", false),
    ("=30000 unset", true),
    (LAST_SECOND, false),
    ("=1800000000000 holdover", false),
];
const RIGHT: &str = "0 synced";

fn steps(ask: &Ask) -> Outcome {
    let (mut outcome, mut rig) = (Outcome::default(), Rig::new());
    let (mut flagged, mut stepped) = (0, 0);
    rig.set_clock(RIGHT);
    rig.start(PER_SECOND, ENOUGH);
    for _ in 0..ask.count {
        for (clock, unset) in STEPS {
            more(&rig, &mut outcome, "at the right time");
            // While it runs: the session stands.
            rig.set_clock(clock);
            stepped += 2;
            more(&rig, &mut outcome, clock);
            // Over a start: certificates may not be good at that time, and then alerts wait.
            rig.stop(&mut outcome);
            let first = rig.start(PER_SECOND, ENOUGH);
            let committed = wait_committed(&rig, first + 50);
            outcome.expect(committed, || format!("nothing is recorded after a start with the clock {clock}"));
            rig.set_clock(RIGHT);
            let came = rig.wait(PATIENCE, |seen| seen.came.iter().any(|came| came.number >= first + 50));
            outcome.expect(came.is_some(), || format!("no alerts after the clock {clock}: {}", rig.last_words()));
            if unset {
                flagged += 1;
                let flags = rig.look(|seen| seen.came.iter().filter(|came| came.unset).count());
                outcome.expect(flags >= 50 * flagged, || format!("{flags} alerts say that the clock was not set"));
            }
        }
        outcome.done += 1;
    }
    // A start with a clock that can be trusted: what is old enough would be deleted now.
    rig.stop(&mut outcome);
    let first = rig.start(PER_SECOND, ENOUGH);
    let came = rig.wait(PATIENCE, |seen| seen.came.iter().any(|came| came.number >= first + 50));
    outcome.expect(came.is_some(), || "no alerts in the end".to_owned());
    outcome.expect(rig.said("kept long enough: deleted") == 0, || "hits were deleted early".to_owned());
    outcome.expect(in_order(&rig), || "numbers of the epoch do not follow the order of the hits".to_owned());
    settle(&mut rig, &mut outcome);
    let records = audit::read(&supervise::store_dir(&rig.made.config())).unwrap();
    let told = records.iter().filter(|record| record.event == "clock.stepped").count();
    outcome.expect(told >= stepped / 2, || format!("{told} steps are in the audit log, {stepped} were made"));
    outcome.figure("steps in the audit log", format!("{told} of {stepped}"));
    outcome
}

/// Waits for alerts of hits that are made from now on.
fn more(rig: &Rig, outcome: &mut Outcome, when: &str) {
    let known = rig.look(|seen| seen.came.len());
    let came = rig.wait(PATIENCE, |seen| seen.came.len() >= known + 50);
    outcome.expect(came.is_some(), || format!("no alerts with the clock {when}: {}", rig.last_words()));
}

fn wait_committed(rig: &Rig, number: u32) -> bool {
    let tries = PATIENCE.as_millis() / 50;
    (0..tries).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        rig.committed().last().is_some_and(|last| *last >= number)
    })
}

/// Whether hits were given their numbers in the order in which they were made.
fn in_order(rig: &Rig) -> bool {
    rig.seqs().is_sorted()
}
