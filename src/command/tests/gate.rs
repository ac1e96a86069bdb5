//! What is refused: each way by its own reason, answered and in the audit log, and never executed.

use std::time::Duration;

use crate::centre::keyring::{Entry, Keyring, Role};
use crate::centre::topics::{DEFAULT_ROOT, Topics};
use crate::centre::wire::{Order, Reply};
use crate::command::ops::key_rotate;
use crate::command::testkit::{self, Desk, Site};
use crate::domain::{BoxId, ClockState, CommandStatus, Op, Reason, TimeMs};

type Case = (&'static str, Reason, CommandStatus, fn(&Site, &Desk) -> Reply);

fn status_order(desk: &Desk) -> Order {
    desk.order(Op::BoxStatus, &())
}

/// Puts a keyring in force in which `change` was made.
fn with_keyring(site: &Site, change: impl FnOnce(&mut Keyring)) {
    let mut ring = Keyring::clone(&site.rooms().keyring.current());
    ring.serial += 1;
    change(&mut ring);
    site.rooms().keyring.put(&ring.sign(&site.root).unwrap()).unwrap();
}

fn with_fleet(site: &Site, change: impl Fn(&mut Entry)) {
    with_keyring(site, |ring| ring.entries.iter_mut().filter(|e| e.name == "fleet").for_each(change));
}

/// Time of the simulated clock, moved by seconds.
fn moved(site: &Site, seconds: i64) -> TimeMs {
    TimeMs(site.rooms().clock.utc().0.saturating_add_signed(seconds * 1000))
}

const CASES: &[Case] = &[
    ("larger than 60 KiB", Reason::TooLarge, CommandStatus::Denied, |_, desk| {
        desk.offer(&desk.topic(&status_order(desk)), vec![0x84; 60 * 1024 + 1])
    }),
    ("no envelope", Reason::Malformed, CommandStatus::Denied, |_, desk| {
        desk.offer(&desk.topic(&status_order(desk)), b"restart, please".to_vec())
    }),
    ("of another version", Reason::Version, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        let claims = crate::centre::wire::Claims::of(&order, "fleet");
        let mut payload = crate::centre::wire::encode(&claims);
        let at = payload.windows(5).position(|w| w == [0x3a, 0, 1, 0, 0]).unwrap() + 5;
        payload[at] = 9;
        let topic = desk.topic(&order);
        desk.offer(&topic, crate::centre::cose::sign(&payload, &topic, &testkit::key_of("fleet")).unwrap())
    }),
    ("an operation that does not exist", Reason::UnknownOp, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        let claims = crate::centre::wire::Claims {
            op: "moon.reboot".into(),
            ..crate::centre::wire::Claims::of(&order, "fleet")
        };
        let topic = desk.topic(&order).replace("box.status", "moon.reboot");
        let payload = crate::centre::wire::encode(&claims);
        desk.offer(&topic, crate::centre::cose::sign(&payload, &topic, &testkit::key_of("fleet")).unwrap())
    }),
    ("moved under another operation", Reason::UnknownOp, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        desk.offer(&desk.topic(&order).replace("box.status", "box.restart"), desk.sign(&order, "fleet", None))
    }),
    ("sent to another box, moved here", Reason::Audience, CommandStatus::Denied, |_, desk| {
        let order = Order { box_id: BoxId::new("box-2").unwrap(), ..status_order(desk) };
        desk.send(&order, "fleet", None)
    }),
    ("another box's topic", Reason::Audience, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        desk.offer(&desk.topic(&order).replace("box-1", "box-2"), desk.sign(&order, "fleet", None))
    }),
    ("a key that nobody knows", Reason::UnknownKey, CommandStatus::Denied, |_, desk| {
        desk.send(&status_order(desk), "stranger", None)
    }),
    ("a signature that does not fit", Reason::Signature, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        let mut bytes = desk.sign(&order, "fleet", None);
        *bytes.last_mut().unwrap() ^= 1;
        desk.offer(&desk.topic(&order), bytes)
    }),
    ("a second signature that does not fit", Reason::Signature, CommandStatus::Denied, |_, desk| {
        let order = desk.order(Op::BoxWipe, &());
        let mut bytes = desk.sign(&order, "fleet", Some("custodian"));
        *bytes.last_mut().unwrap() ^= 1;
        desk.offer(&desk.topic(&order), bytes)
    }),
    ("a key that counts later", Reason::KeyNotYet, CommandStatus::Denied, |site, desk| {
        with_fleet(site, |e| e.not_before = TimeMs(testkit::start().0 + 60_000));
        desk.send(&status_order(desk), "fleet", None)
    }),
    ("a key whose time is over", Reason::KeyOver, CommandStatus::Denied, |site, desk| {
        with_fleet(site, |e| e.not_after = Some(TimeMs(testkit::start().0 - 1)));
        desk.send(&status_order(desk), "fleet", None)
    }),
    ("a revoked key", Reason::KeyRevoked, CommandStatus::Denied, |site, desk| {
        with_fleet(site, |e| e.revoked = Some(testkit::start()));
        desk.send(&status_order(desk), "fleet", None)
    }),
    ("a revoked key beside a good one", Reason::KeyRevoked, CommandStatus::Denied, |site, desk| {
        with_fleet(site, |e| e.revoked = Some(testkit::start()));
        desk.send(&desk.order(Op::HoldRelease, &()), "custodian", Some("fleet"))
    }),
    ("somebody else's name", Reason::Issuer, CommandStatus::Denied, |_, desk| {
        let order = status_order(desk);
        let topic = desk.topic(&order);
        let key = testkit::key_of("fleet");
        desk.offer(&topic, crate::centre::wire::sign_order(&order, &topic, (&key, "director"), None).unwrap())
    }),
    ("a role that may not", Reason::Role, CommandStatus::Denied, |_, desk| {
        desk.send(&status_order(desk), "auditor", None)
    }),
    ("a key that acknowledges alone", Reason::Role, CommandStatus::Denied, |_, desk| {
        desk.send(&status_order(desk), "delivery", None)
    }),
    ("one signature of two", Reason::SecondPerson, CommandStatus::Denied, |_, desk| {
        desk.send(&desk.order(Op::BoxWipe, &()), "fleet", None)
    }),
    ("the same person twice", Reason::SamePerson, CommandStatus::Denied, |_, desk| {
        desk.send(&desk.order(Op::HoldRelease, &()), "custodian", Some("custodian"))
    }),
    ("the same person by two keys", Reason::SamePerson, CommandStatus::Denied, |site, desk| {
        with_keyring(site, |ring| {
            ring.entries.push(Entry {
                key: testkit::key_of("spare").public().clone(),
                ..testkit::entry("custodian", Role::Custodian, "north")
            });
        });
        let order = desk.order(Op::HoldRelease, &());
        let (first, second) = (testkit::key_of("custodian"), testkit::key_of("spare"));
        let topic = desk.topic(&order);
        let bytes = crate::centre::wire::sign_order(&order, &topic, (&first, "custodian"), Some(&second)).unwrap();
        desk.offer(&topic, bytes)
    }),
    ("no purpose", Reason::Purpose, CommandStatus::Denied, |_, desk| {
        desk.send(&Order { purpose: None, ..desk.order(Op::HitsQuery, &()) }, "investigator", None)
    }),
    ("no case", Reason::Case, CommandStatus::Denied, |_, desk| {
        desk.send(&Order { case: None, ..desk.order(Op::HitsQuery, &()) }, "investigator", None)
    }),
    ("over", Reason::Expired, CommandStatus::Expired, |site, desk| {
        let order = status_order(desk);
        site.sim.advance(Duration::from_mins(2));
        desk.send(&order, "fleet", None)
    }),
    ("of the future", Reason::Future, CommandStatus::Expired, |site, desk| {
        desk.send(&Order { issued: moved(site, 31), ..status_order(desk) }, "fleet", None)
    }),
    ("valid too long", Reason::Lifetime, CommandStatus::Denied, |_, desk| {
        desk.send(&Order { lifetime_s: 301, ..status_order(desk) }, "fleet", None)
    }),
    ("valid for no time", Reason::Lifetime, CommandStatus::Denied, |_, desk| {
        desk.send(&Order { lifetime_s: 0, ..status_order(desk) }, "fleet", None)
    }),
    ("no challenge while the clock is not set", Reason::Challenge, CommandStatus::Denied, |site, desk| {
        site.sim.set_state(ClockState::Unset);
        desk.send(&status_order(desk), "fleet", None)
    }),
    ("a challenge of nobody's", Reason::Challenge, CommandStatus::Denied, |site, desk| {
        site.sim.set_state(ClockState::Unset);
        let _ = desk.challenges.draw();
        desk.send(&Order { challenge: Some([7; 8]), ..status_order(desk) }, "fleet", None)
    }),
    ("a challenge of long ago", Reason::Challenge, CommandStatus::Denied, |site, desk| {
        let challenge = Some(desk.challenges.draw());
        site.sim.advance(Duration::from_secs(301));
        desk.send(&Order { challenge, ..status_order(desk) }, "fleet", None)
    }),
    ("an id of another command", Reason::Replay, CommandStatus::Duplicate, |_, desk| {
        let first = status_order(desk);
        desk.send(&first, "fleet", None);
        desk.send(&Order { lifetime_s: 60, ..first }, "fleet", None)
    }),
];

#[test]
fn every_wrong_command_is_refused_by_its_own_reason_answered_and_audited() {
    for (what, reason, status, send) in CASES {
        let site = Site::new();
        let desk = site.desk();
        let reply = send(&site, &desk);
        assert_eq!((reply.reason, reply.status), (Some(*reason), *status), "{what}: {:?}", reply.text);
        assert!(reply.text.as_ref().is_some_and(|text| text.len() > 10), "{what}: {reply:?}");
        desk.executor.stop();
        let audit = site.audit();
        let refused: Vec<_> = audit.iter().filter(|(event, _)| event == "command.refused").collect();
        let [(_, details)] = &refused[..] else { panic!("{what}: {audit:?}") };
        assert!(details.contains(&("reason".to_owned(), reason.to_string())), "{what}: {details:?}");
        assert!(reply.audit.is_some(), "{what}: the answer names its record");
        let executed = audit.iter().filter(|(event, _)| event == "command.done").count();
        assert_eq!(executed, usize::from(*reason == Reason::Replay), "{what}");
    }
}

#[test]
fn a_good_command_is_accepted_executed_answered_and_audited_with_who_and_what_for() {
    let site = Site::new();
    let desk = site.desk();
    let order = desk.order(Op::KeyRotate, &key_rotate::Args::default());
    let reply = desk.send(&order, "custodian", Some("custodian-2"));
    assert_eq!(reply.status, CommandStatus::Successful, "{reply:?}");
    let words: Vec<_> = desk.tray.all().iter().map(|r| r.status.as_str()).collect();
    assert_eq!(words, ["accepted", "executing", "successful"]);
    assert!(desk.tray.topics().iter().all(|t| *t == desk.topic(&order).replace("/cmd/", "/reply/")));
    desk.executor.stop();
    let audit = site.audit();
    let of = |event: &str| audit.iter().find(|(e, _)| e == event).map(|(_, d)| d.clone()).unwrap();
    let accepted = of("command.accepted");
    for (name, value) in [
        ("op", "key.rotate"),
        ("by", "custodian"),
        ("org", "north"),
        ("role", "custodian"),
        ("second", "custodian-2"),
        ("purpose", "crime-investigation"),
        ("case", "K-1"),
        ("via", "mqtt"),
    ] {
        assert!(accepted.contains(&(name.to_owned(), value.to_owned())), "{name}: {accepted:?}");
    }
    assert!(of("command.done").contains(&("status".to_owned(), "successful".to_owned())));
    let order_of = |event: &str| audit.iter().position(|(e, _)| e == event).unwrap();
    assert!(order_of("command.accepted") < order_of("keys.changed"), "on disk before anything is done");
}

#[test]
fn while_the_clock_is_not_set_a_challenge_counts_whatever_the_times_say() {
    let site = Site::new();
    let desk = site.desk();
    site.sim.set_state(ClockState::Unset);
    site.sim.step_to(TimeMs(1_000));
    let challenge = Some(desk.challenges.draw());
    let order = Order { challenge, issued: testkit::start(), ..status_order(&desk) };
    let reply = desk.send(&order, "fleet", None);
    assert!(!matches!(reply.status, CommandStatus::Denied | CommandStatus::Expired), "{reply:?}");
}

#[test]
fn more_than_a_key_may_send_is_refused_and_another_key_is_served() {
    let site = Site::new();
    let desk = site.desk();
    let replies: Vec<Reply> = (0..110).map(|_| desk.send(&status_order(&desk), "fleet", None)).collect();
    let refused = replies.iter().filter(|r| r.reason == Some(Reason::Rate)).count();
    assert_eq!(refused, 10);
    assert!(replies[..100].iter().all(|r| r.reason != Some(Reason::Rate)));
    assert_ne!(desk.send(&desk.order(Op::AuditProof, &()), "auditor", None).reason, Some(Reason::Rate));
    site.sim.advance(Duration::from_secs(1));
    assert_ne!(desk.send(&status_order(&desk), "fleet", None).reason, Some(Reason::Rate));
}

#[test]
fn noise_without_a_key_is_bounded_in_the_audit_log_and_hides_no_refusal_of_a_signed_one() {
    let site = Site::new();
    let (parts, _tray) = site.parts();
    let executor = crate::command::Executor::start(parts).unwrap();
    let (site_id, box_id) = site.ids();
    let (topics, inbox) = (Topics::new(DEFAULT_ROOT, &site_id, &box_id).unwrap(), executor.handle());
    for n in 0..200_u32 {
        let topic = topics.command(Op::BoxStatus, &u128::from(n).to_be_bytes());
        let incoming =
            crate::command::Incoming { topic, bytes: vec![1, 2, 3], response: None, via: crate::command::Via::Mqtt };
        inbox.offer(incoming);
    }
    executor.stop();
    let audit = site.audit();
    let refused: Vec<_> = audit.iter().filter(|(event, _)| event == "command.refused").map(|(_, d)| d).collect();
    assert!(refused.len() <= 12, "{} records", refused.len());
    let counted: u64 = refused
        .iter()
        .filter_map(|d| d.iter().find(|(n, _)| n == "count"))
        .map(|(_, v)| v.parse::<u64>().unwrap())
        .sum();
    let single = refused.iter().filter(|d| d.iter().all(|(n, _)| n != "count")).count() as u64;
    assert_eq!(counted + single, 200, "each is told or counted: {refused:?}");
}
