//! The broker is away, dies, stops, goes silent, or lies.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use watchpost::store::audit;
use watchpost::supervise;

use super::fault::{Ask, Chance, Fault, Outcome};
use super::relay::{Manner, Relay};
use super::rig::{Arrival, PATIENCE, Rig, bar, memory_kib, percentile};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "broker-down",
        what: "broker away for so many seconds at 20 hits/s: complete within 60 s of its return, memory + ≤ 16 MiB, fresh alerts ≤ 2 s",
        small: 8,
        full: 600,
        run: down,
    },
    Fault {
        name: "broker-kill",
        what: "SIGKILL of the broker at 50 hits/s, back after up to 2 s: 0 lost",
        small: 1,
        full: 20,
        run: killed,
    },
    Fault {
        name: "broker-stop",
        what: "SIGSTOP of the broker for 15 s (small: 4 s) at 50 hits/s: 0 lost",
        small: 1,
        full: 5,
        run: stopped,
    },
    Fault {
        name: "broker-half-open",
        what: "the link goes silent and nothing closes it, at 20 hits/s: 0 lost, alerts flow again within 60 s",
        small: 1,
        full: 5,
        run: half_open,
    },
    Fault {
        name: "broker-drops",
        what: "so many hits past a broker that acknowledges 30 % of the alerts and drops them: 0 lost",
        small: 200,
        full: 10_000,
        run: drops,
    },
    Fault {
        name: "broker-forges",
        what: "so many hits, and commands, past a broker that replays, reorders and forges both ways: 0 lost, none executed twice or unasked",
        small: 300,
        full: 10_000,
        run: forges,
    },
];

/// An alert that is later than this is not fresh any more.
const FRESH: Duration = Duration::from_secs(2);
const MIB: u64 = 1 << 20 >> 10;
/// Nothing has come for so long: everything has.
const CALM: Duration = Duration::from_millis(1_500);
/// More than any fault waits for.
const ENOUGH: u32 = 1_000_000;
/// Hits a second where the time of the fault is not the figure.
const PER_SECOND: u32 = 50;

/// Has the rest delivered by a life that is fed nothing, and asks for the verdict.
pub fn settle(rig: &mut Rig, outcome: &mut Outcome) {
    if rig.has_died() {
        outcome.fault(format!("the daemon ended by itself: {}", rig.last_words()));
    }
    rig.stop(outcome);
    let known = rig.look(|seen| seen.statuses.len());
    rig.start(1, 0);
    rig.until("a last session", PATIENCE, |seen| seen.statuses[known..].iter().any(|word| word == "online"));
    outcome.expect(rig.complete(PATIENCE).is_some(), || format!("not everything came within {PATIENCE:?}"));
    // What was committed and could not be announced any more comes as well: until nothing has come for a while.
    let (begun, mut known) = (Instant::now(), usize::MAX);
    while begun.elapsed() < PATIENCE && known != rig.look(|seen| seen.came.len()) {
        known = rig.look(|seen| seen.came.len());
        rig.wait(CALM, |seen| seen.came.len() > known);
    }
    rig.stop(outcome);
    let (duplicates, refused) = rig.look(|seen| (seen.duplicates, seen.refused));
    rig.verdict(outcome);
    outcome.figure("sent twice", duplicates);
    if refused > 0 {
        outcome.figure("refused by the centre", refused);
    }
}

/// Waits for alerts of hits that were made from now on; gives how long that took.
fn flows_again(rig: &Rig, within: Duration) -> Option<Duration> {
    let (begun, known) = (Instant::now(), rig.look(|seen| seen.came.len()));
    let fresh = |came: &Arrival| came.at.checked_sub(came.late).is_some_and(|made| made > begun);
    rig.wait(within, |seen| seen.came[known..].iter().any(fresh))
}

/// By how much a daemon's memory grows from its first hits on to so many with its broker there all the time: what the store
/// takes until its caches are full, whoever is away. For who reads the row; it is not judged.
fn growth_without_fault(hits: usize, warm: usize) -> u64 {
    let mut rig = Rig::new();
    rig.start(100, ENOUGH);
    rig.until("the first alerts", PATIENCE, |seen| seen.came.len() >= warm);
    let before = memory_kib(rig.pid());
    let within = PATIENCE + bar(Duration::from_millis(10) * u32::try_from(hits).unwrap());
    rig.until("as many hits", within, |seen| seen.came.len() >= hits);
    memory_kib(rig.pid()).saturating_sub(before)
}

fn down(ask: &Ask) -> Outcome {
    let warm = if ask.full { 300 } else { 40 };
    let usual = if ask.full { growth_without_fault(ask.count as usize * 20, warm) } else { 0 };
    let (mut outcome, mut rig) = (Outcome::default(), Rig::new());
    rig.start(20, ENOUGH);
    rig.until("the first alerts", PATIENCE, |seen| seen.came.len() >= warm);
    let before = memory_kib(rig.pid());
    rig.broker.kill();
    let (mut most, away) = (before, Instant::now());
    while away.elapsed() < Duration::from_secs(ask.count) {
        std::thread::sleep(Duration::from_millis(500));
        most = most.max(memory_kib(rig.pid()));
    }
    outcome.done = away.elapsed().as_secs();
    rig.broker.restart();
    let (back, known) = (Instant::now(), rig.look(|seen| seen.came.len()));
    let complete = rig.complete(bar(Duration::from_mins(1)));
    most = most.max(memory_kib(rig.pid()));
    let took = complete.map_or_else(|| "never".to_owned(), |took| format!("{took:.1?}"));
    outcome.expect(complete.is_some(), || "the backlog was not complete in time".to_owned());
    // The hits that were made while the backlog drained and shortly after.
    std::thread::sleep(Duration::from_secs(2));
    let mut fresh = rig.look(|seen| {
        let first = seen.came.get(known).map_or(back, |came| came.at);
        let made_after = |came: &&Arrival| came.at.checked_sub(came.late).is_some_and(|made| made > first);
        seen.came[known..].iter().filter(made_after).map(|came| came.late).collect::<Vec<_>>()
    });
    outcome.expect(!fresh.is_empty(), || "no fresh alert came".to_owned());
    let (p95, longest) = percentile(&mut fresh, 95);
    outcome.expect(longest <= bar(FRESH), || format!("a fresh alert took {longest:.1?}"));
    let grown = most.saturating_sub(before);
    outcome.expect(before > 0 || !ask.full, || "memory can't be read: run as root".to_owned());
    outcome.expect(grown <= 16 * MIB, || format!("memory grew by {} MiB", grown / MIB));
    outcome.figure("complete after", took);
    let mib = |kib: u64| kib as f64 / MIB as f64;
    outcome.figure("memory", format!("{:.0} + {:.1} MiB", mib(before), mib(grown)));
    if ask.full {
        outcome.figure("as many hits with a broker", format!("+ {:.1} MiB", mib(usual)));
    }
    outcome.figure("fresh alerts p95", format!("{p95:.0?}"));
    outcome.figure("longest", format!("{longest:.0?}"));
    settle(&mut rig, &mut outcome);
    outcome
}

/// What happens to the broker, again and again, and how soon alerts flow again after each time.
fn again_and_again(ask: &Ask, rig: Rig, within: Duration, mut strike: impl FnMut(&mut Rig, &mut Chance)) -> Outcome {
    let (mut outcome, mut chance, mut rig) = (Outcome::default(), Chance(ask.seed), rig);
    rig.start(PER_SECOND, ENOUGH);
    let mut recovered = Vec::new();
    for round in 0..ask.count {
        let known = rig.look(|seen| seen.came.len());
        rig.until("alerts", PATIENCE, |seen| seen.came.len() >= known + 50);
        // A session that stood for 10 s is tried again soon, whatever was before.
        if round > 0 {
            std::thread::sleep(Duration::from_secs(10));
        }
        std::thread::sleep(Duration::from_millis(chance.below(500)));
        strike(&mut rig, &mut chance);
        match flows_again(&rig, within) {
            Some(took) => recovered.push(took),
            None => outcome.fault(format!("round {round}: no fresh alert within {within:?}: {}", rig.last_words())),
        }
        outcome.done += 1;
    }
    let (p95, longest) = percentile(&mut recovered, 95);
    outcome.figure("alerts flow again p95", format!("{p95:.1?}"));
    outcome.figure("longest", format!("{longest:.1?}"));
    settle(&mut rig, &mut outcome);
    outcome
}

fn killed(ask: &Ask) -> Outcome {
    again_and_again(ask, Rig::new(), PATIENCE, |rig, chance| {
        rig.broker.kill();
        std::thread::sleep(Duration::from_millis(chance.below(2_000)));
        rig.broker.restart();
    })
}

fn stopped(ask: &Ask) -> Outcome {
    let pause = Duration::from_secs(if ask.full { 15 } else { 4 });
    again_and_again(ask, Rig::new(), PATIENCE, |rig, _| {
        rig.broker.freeze();
        std::thread::sleep(pause);
        rig.broker.thaw();
    })
}

fn half_open(ask: &Ask) -> Outcome {
    let relay = std::cell::OnceCell::new();
    let rig = Rig::with(Some(&|port| relay.get_or_init(|| Relay::start(port, Manner::Bytes, ask.seed)).port));
    let relay = relay.get().unwrap();
    let mut outcome = again_and_again(ask, rig, bar(Duration::from_mins(1)), |_, _| relay.fall_silent());
    outcome.figure("connections", relay.connections());
    outcome
}

/// Feeds `ask.count` hits past a relay of these manners; gives it back with the rig.
fn past(ask: &Ask, manner: Manner) -> (Rig, Relay) {
    let relay = std::cell::OnceCell::new();
    let mut rig = Rig::plain(&|port| relay.get_or_init(|| Relay::start(port, manner, ask.seed)).port);
    rig.start(PER_SECOND, u32::try_from(ask.count).unwrap());
    (rig, relay.into_inner().unwrap())
}

fn drops(ask: &Ask) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut rig, relay) = past(ask, Manner::Drops(30));
    let feeding = Duration::from_secs(ask.count / u64::from(PER_SECOND)) + PATIENCE;
    let fed = ask.count as usize;
    let came = rig.wait(feeding, |seen| seen.came.len() >= fed);
    outcome.expect(came.is_some(), || format!("only {} of {fed} came", rig.look(|seen| seen.came.len())));
    outcome.done = ask.count;
    let dropped = relay.deeds().dropped.load(Ordering::SeqCst);
    outcome.expect(dropped > ask.count / 10, || format!("the relay dropped only {dropped}"));
    outcome.figure("acknowledged and dropped", dropped);
    settle(&mut rig, &mut outcome);
    outcome
}

fn forges(ask: &Ask) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut rig, relay) = past(ask, Manner::Forges);
    let file = rig.made.path("centre/watchpostctl.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let direct = format!("mqtt://127.0.0.1:{}", rig.port);
    std::fs::write(&file, text.replace(&format!("mqtts://127.0.0.1:{}", rig.made.port()), &direct)).unwrap();
    let (asked, fed) = ((ask.count / 100).max(3), ask.count as usize);
    let mut answered = 0;
    for n in 0..asked {
        let due = (fed as u64 * n / asked) as usize;
        rig.wait(PATIENCE, |seen| seen.came.len() >= due);
        answered += u64::from(rig.made.ctl(&["box", "status", "--json", "--wait", "10"]).code == Some(0));
    }
    let feeding = Duration::from_secs(ask.count / u64::from(PER_SECOND)) + PATIENCE;
    let came = rig.wait(feeding, |seen| seen.came.len() >= fed);
    outcome.expect(came.is_some(), || format!("only {} of {fed} came", rig.look(|seen| seen.came.len())));
    outcome.done = ask.count;
    let deeds = relay.deeds();
    for (name, deed) in [("replayed", &deeds.replayed), ("reordered", &deeds.reordered), ("forged", &deeds.forged)] {
        let times = deed.load(Ordering::SeqCst);
        outcome.expect(times > 0, || format!("the relay has {name} nothing"));
        outcome.figure(name, times);
    }
    settle(&mut rig, &mut outcome);
    let executed = executed(&rig, asked, &mut outcome);
    outcome.expect(answered * 2 >= asked, || format!("only {answered} of {asked} commands were answered"));
    outcome.figure("commands", format!("{asked} asked, {answered} answered in 10 s, {executed} executed"));
    outcome
}

/// Holds the audit log against what was asked for, which was never but the box's status; gives how many were executed.
pub fn executed(rig: &Rig, asked: u64, outcome: &mut Outcome) -> usize {
    let records = audit::read(&supervise::store_dir(&rig.made.config())).unwrap();
    let executed: Vec<_> = records.iter().filter(|record| record.event == "command.accepted").collect();
    let mut ids: Vec<_> = executed.iter().filter_map(|record| record.detail("id")).collect();
    ids.sort_unstable();
    ids.dedup();
    outcome.expect(ids.len() == executed.len(), || format!("{} commands, {} executions", ids.len(), executed.len()));
    outcome.expect(ids.len() as u64 <= asked, || format!("{asked} commands asked for, {} executed", ids.len()));
    outcome.expect(executed.iter().all(|record| record.detail("op") == Some("box.status")), || format!("{executed:?}"));
    executed.len()
}

/// How many commands the box's audit log says were refused, and how many of those since too many waited.
pub fn refused(rig: &Rig) -> (u64, u64) {
    let records = audit::read(&supervise::store_dir(&rig.made.config())).unwrap();
    let (mut all, mut busy) = (0, 0);
    for record in records.iter().filter(|record| record.event == "command.refused") {
        all += record.detail("count").map_or(1, |count| count.parse().unwrap());
        busy += u64::from(record.detail("reason") == Some("busy"));
        let counts = record.detail("reasons").unwrap_or_default().split(", ");
        busy += counts.filter_map(|one| one.strip_prefix("busy ")?.parse::<u64>().ok()).sum::<u64>();
    }
    (all, busy)
}
