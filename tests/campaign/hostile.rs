//! Commands that nobody may give, messages that are none, and too many of both.

use std::time::{Duration, Instant};

use watchpost::centre::keys::SigningKey;
use watchpost::centre::wire::{Order, sign_order};
use watchpost::domain::{BoxId, Op, TimeMs};

use super::broker::{executed, refused, settle};
use super::fault::{Ask, Chance, Fault, Outcome};
use super::rig::{PATIENCE, Rig, bar, percentile};
use super::voice::Voice;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "commands-malformed",
        what: "malformed commands (empty, random, cut, altered, nested, not UTF-8, too long, moved): 0 executed, 0 panics",
        small: 2_000,
        full: 100_000,
        run: malformed_commands,
    },
    Fault {
        name: "commands-hostile",
        what: "well-formed commands that nobody may give (strangers, other roles, over, early, for another box, one of two people, replays): 0 executed, 0 panics",
        small: 500,
        full: 10_000,
        run: hostile_commands,
    },
    Fault {
        name: "commands-flood",
        what: "so many seconds of 10,000 malformed commands/s: 0 executed, 0 panics, alerts not slower by more than 10 %",
        small: 3,
        full: 30,
        run: flood,
    },
    Fault {
        name: "payloads",
        what: "so many payloads that are not UTF-8, empty, at the size limit, or deeply nested, each followed by a command: answered within 100 ms",
        small: 12,
        full: 200,
        run: payloads,
    },
];

const PER_SECOND: u32 = 50;
const ENOUGH: u32 = 1_000_000;
/// Malformed commands between two good ones.
const SLICE: u64 = 1_000;
/// Largest message that the broker takes, less what its head may take.
const LARGE: usize = 80_000;
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);
/// What clocks and the commit interval leave to chance.
const JITTER: Duration = Duration::from_millis(5);

/// A box that is fed and online, and a centre that may say anything to it.
fn begin(ask: &Ask) -> (Rig, Voice) {
    let mut rig = Rig::new();
    rig.start(PER_SECOND, ENOUGH);
    rig.until("the first alerts", PATIENCE, |seen| seen.came.len() >= 50);
    let voice = Voice::connect(&rig, ask.seed);
    (rig, voice)
}

/// How late alerts of hits are that are made while `during` runs, on the median.
fn lateness(rig: &Rig, during: impl FnOnce()) -> Duration {
    let known = rig.look(|seen| seen.came.len());
    during();
    let mut late = rig.look(|seen| seen.came[known..].iter().map(|came| came.late).collect::<Vec<_>>());
    percentile(&mut late, 50).0
}

/// Stops everything and holds the audit log against the `asked` commands that were meant.
fn end(rig: &mut Rig, asked: u64, outcome: &mut Outcome) {
    settle(rig, outcome);
    let done = executed(rig, asked, outcome);
    outcome.expect(done as u64 == asked, || format!("{asked} good commands, {done} executed"));
    outcome.figure("good commands executed", done);
    let (all, busy) = refused(rig);
    outcome.figure("refused", format!("{all}, of them {busy} unread since too many waited"));
}

/// A good command after everything else: the box still takes it.
fn still_answers(voice: &mut Voice, outcome: &mut Outcome) {
    let (took, ..) = voice.ask(Duration::from_secs(10));
    outcome.expect(took.is_some(), || "the box does not answer any more".to_owned());
    outcome.figure("answered afterwards in", format!("{:.1?}", took.unwrap_or_default()));
}

/// Something that is no command, and the topic it goes to.
fn malformed(voice: &mut Voice, good: &(String, Vec<u8>), chance: &mut Chance) -> (String, Vec<u8>) {
    let id = voice.id();
    let op = Op::ALL[chance.below(Op::ALL.len() as u64) as usize].as_str();
    let topic = voice.topic(op, &id);
    let mut bytes = good.1.clone();
    let some =
        |chance: &mut Chance, most: u64| (0..=chance.below(most)).map(|_| chance.next() as u8).collect::<Vec<_>>();
    match chance.below(9) {
        0 => (topic, Vec::new()),
        1 => (topic, some(chance, 400)),
        2 => {
            bytes.truncate(chance.below(bytes.len() as u64) as usize);
            (good.0.clone(), bytes)
        }
        3 => {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << chance.below(8);
            (good.0.clone(), bytes)
        }
        4 => (topic, vec![[0x81, 0xa1, 0xd9, 0x9f][chance.below(4) as usize]; 5_000]),
        5 => (topic, vec![0xff, 0xfe, 0xc0, 0x80]),
        6 => (topic, vec![chance.next() as u8; 30_000]),
        // Good, and not for this operation or id.
        7 => (topic, bytes),
        _ => (topic, br#"{"op":"box.wipe","force":true}"#.to_vec()),
    }
}

/// A good command that was never sent: what is made of it is judged by its form.
fn unsent(voice: &mut Voice, rig: &Rig) -> (String, Vec<u8>) {
    let fleet = SigningKey::read(&rig.made.path("centre/keys/fleet.key")).unwrap();
    let order = voice.order(Op::BoxRestart);
    let topic = voice.topic("box.restart", &order.id);
    let bytes = sign_order(&order, &topic, (&fleet, "fleet"), None).unwrap();
    (topic, bytes)
}

fn malformed_commands(ask: &Ask) -> Outcome {
    let (mut outcome, mut chance) = (Outcome::default(), Chance(ask.seed));
    let (mut rig, mut voice) = begin(ask);
    let (mut good, mut asked) = (unsent(&mut voice, &rig), 1);
    let begun = Instant::now();
    for n in 0..ask.count {
        // Renewed while its time lasts.
        if n % 20_000 == 19_999 {
            good = unsent(&mut voice, &rig);
        }
        let (topic, bytes) = malformed(&mut voice, &good, &mut chance);
        voice.say(&topic, bytes);
        outcome.done += 1;
        // The broker drops what it holds beyond 10,000: a good command comes through when the box has had the others.
        if outcome.done % SLICE == 0 {
            outcome.expect(voice.ask(PATIENCE).0.is_some(), || format!("no answer after {n} messages"));
            asked += 1;
        }
    }
    outcome.expect(voice.wait_for_broker(PATIENCE), || "the broker did not take everything".to_owned());
    outcome.figure("messages/s", (ask.count as f64 / begun.elapsed().as_secs_f64()).round());
    still_answers(&mut voice, &mut outcome);
    end(&mut rig, asked, &mut outcome);
    outcome
}

/// The keys of a centre, a stranger's among them.
struct Keys {
    fleet: SigningKey,
    auditor: SigningKey,
    delivery: SigningKey,
    stranger: SigningKey,
}

fn hostile_commands(ask: &Ask) -> Outcome {
    let (mut outcome, mut chance) = (Outcome::default(), Chance(ask.seed));
    let (mut rig, mut voice) = begin(ask);
    let key = |name: &str| SigningKey::read(&rig.made.path(&format!("centre/keys/{name}.key"))).unwrap();
    let keys = Keys {
        fleet: key("fleet"),
        auditor: key("auditor"),
        delivery: key("delivery"),
        stranger: SigningKey::from_seed(&[7; 32]).unwrap(),
    };
    let (took, topic, bytes) = voice.ask(Duration::from_secs(10));
    outcome.expect(took.is_some(), || "the box does not answer".to_owned());
    let executed_once = (topic, bytes);
    for _ in 0..ask.count {
        let (topic, bytes) = hostile(&mut voice, &keys, &executed_once, &mut chance);
        voice.say(&topic, bytes);
        outcome.done += 1;
        // Not so many at a time that they are only told that others wait.
        if outcome.done % 8 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    outcome.expect(voice.wait_for_broker(PATIENCE), || "the broker did not take everything".to_owned());
    // The keys' rate has been used up by what was signed with them: it comes back, 5 a second.
    std::thread::sleep(Duration::from_secs(2));
    still_answers(&mut voice, &mut outcome);
    end(&mut rig, 2, &mut outcome);
    outcome
}

/// A command that is well-formed and signed, and that nobody may give so.
fn hostile(voice: &mut Voice, keys: &Keys, once: &(String, Vec<u8>), chance: &mut Chance) -> (String, Vec<u8>) {
    let now = voice.order(Op::BoxStatus).issued;
    let restart = voice.order(Op::BoxRestart);
    let at = |ms: u64| Order { issued: TimeMs(ms), ..restart.clone() };
    let (order, key, issuer, second) = match chance.below(9) {
        0 => return once.clone(),
        1 => (restart, &keys.stranger, "fleet", None),
        2 => (restart, &keys.auditor, "auditor", None),
        3 => (at(now.0 - 3_600_000), &keys.fleet, "fleet", None),
        4 => (at(now.0 + 3_600_000), &keys.fleet, "fleet", None),
        5 => (Order { box_id: BoxId::new("box-2").unwrap(), ..restart }, &keys.fleet, "fleet", None),
        6 => (voice.order(Op::BoxWipe), &keys.fleet, "fleet", None),
        7 => (voice.order(Op::BoxWipe), &keys.fleet, "fleet", Some(&keys.stranger)),
        _ => (restart, &keys.delivery, "delivery", None),
    };
    let topic = voice.topic(order.op.as_str(), &order.id);
    let bytes = sign_order(&order, &topic, (key, issuer), second).unwrap();
    (topic, bytes)
}

fn flood(ask: &Ask) -> Outcome {
    const BURST: u64 = 100;
    let (mut outcome, mut chance) = (Outcome::default(), Chance(ask.seed));
    let (mut rig, mut voice) = begin(ask);
    let good = unsent(&mut voice, &rig);
    // Made before: the time of making them is not the box's.
    let messages: Vec<_> = (0..2_000).map(|_| malformed(&mut voice, &good, &mut chance)).collect();
    let messages: Vec<_> = messages.into_iter().filter(|(_, bytes)| bytes.len() < 1_000).collect();
    let calm = lateness(&rig, || std::thread::sleep(Duration::from_secs(ask.count)));
    let begun = Instant::now();
    let mut sent = 0_u64;
    let flooded = lateness(&rig, || {
        while begun.elapsed() < Duration::from_secs(ask.count) {
            for _ in 0..BURST {
                let (topic, bytes) = &messages[sent as usize % messages.len()];
                voice.shout(topic, bytes.clone());
                sent += 1;
            }
            let due = Duration::from_secs(1) * u32::try_from(sent).unwrap() / 10_000;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    });
    outcome.done = ask.count;
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    outcome.expect(rate > 9_000.0, || format!("only {rate:.0} messages/s could be said"));
    outcome.expect(flooded <= bar(calm * 11 / 10 + JITTER), || format!("alerts took {flooded:.1?}, {calm:.1?} before"));
    outcome.figure("messages/s", rate.round());
    outcome.figure("alerts p50", format!("{calm:.0?}, under the flood {flooded:.0?}"));
    std::thread::sleep(Duration::from_secs(1));
    still_answers(&mut voice, &mut outcome);
    end(&mut rig, 1, &mut outcome);
    outcome
}

fn payloads(ask: &Ask) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut rig, mut voice) = begin(ask);
    let kinds: [(&str, Vec<u8>); 6] = [
        ("not UTF-8", vec![0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
        ("empty", Vec::new()),
        ("at the broker's size limit", vec![0x5a; LARGE]),
        ("nested arrays", vec![0x81; LARGE]),
        ("nested maps", [0xa1, 0x00].repeat(LARGE / 2)),
        ("a length of 2^64", vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];
    let mut times = Vec::new();
    for n in 0..ask.count {
        let (name, bytes) = &kinds[n as usize % kinds.len()];
        let id = voice.id();
        let topic = voice.topic("box.status", &id);
        voice.say(&topic, bytes.clone());
        match voice.ask(Duration::from_secs(10)).0 {
            Some(took) => times.push(took),
            None => outcome.fault(format!("no answer after a payload that is {name}")),
        }
        outcome.done += 1;
        // A key's rate is 5 a second.
        std::thread::sleep(Duration::from_millis(200));
    }
    let (p95, longest) = percentile(&mut times, 95);
    outcome.figure("answered p95", format!("{p95:.1?}"));
    outcome.figure("longest", format!("{longest:.1?}"));
    outcome.expect(longest <= bar(ANSWERED_WITHIN), || format!("an answer took {longest:.1?}"));
    end(&mut rig, ask.count, &mut outcome);
    outcome
}
