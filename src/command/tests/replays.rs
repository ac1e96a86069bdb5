//! A command that comes again is answered and not executed again: at once, after a restart, after a crash, after years.

use std::sync::Arc;

use crate::clock::Clock;
use crate::command::journal::{Journal, Known, Taken};
use crate::command::ops::key_rotate;
use crate::command::testkit::Site;
use crate::domain::{ClockState, CommandStatus, Op, Reason, TimeMs};
use crate::store::disk::RealDisk;
use crate::store::testkit as store;

fn keys_made(site: &Site) -> usize {
    site.audit().iter().filter(|(event, _)| event == "command.accepted").count()
}

#[test]
fn a_redelivery_gets_the_first_answer_before_and_after_a_restart_and_is_audited() {
    let site = Site::new();
    let desk = site.desk();
    let order = desk.order(Op::KeyRotate, &key_rotate::Args::default());
    let (topic, bytes) = (desk.topic(&order), desk.sign(&order, "custodian", None));
    let first = desk.offer(&topic, bytes.clone());
    assert_eq!(first.status, CommandStatus::Successful, "{first:?}");
    assert_eq!(desk.offer(&topic, bytes.clone()), first);
    desk.executor.stop();
    let desk = site.desk();
    assert_eq!(desk.offer(&topic, bytes.clone()), first, "from the disk");
    // Long after its time, and with the clock turned back into it.
    site.sim.advance(std::time::Duration::from_hours(24));
    assert_eq!(desk.offer(&topic, bytes.clone()), first);
    site.sim.step_to(order.issued);
    assert_eq!(desk.offer(&topic, bytes), first);
    desk.executor.stop();
    assert_eq!(keys_made(&site), 1, "executed once");
    let replays = site.audit().iter().filter(|(_, d)| d.contains(&("reason".into(), "replay".into()))).count();
    assert_eq!(replays, 4);
}

#[test]
fn what_the_daemons_end_cut_off_is_told_as_interrupted_and_not_done_again() {
    let site = Site::new();
    let desk = site.desk();
    let order = desk.order(Op::KeyRotate, &key_rotate::Args::default());
    let (topic, bytes) = (desk.topic(&order), desk.sign(&order, "custodian", None));
    desk.executor.stop();
    // The id was taken, and then the power failed.
    let dir = site.dir.path().join("data/command");
    let mut journal = Journal::open(Arc::new(RealDisk), &dir, site.rooms().clock).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let fingerprint = digest.as_ref()[..16].try_into().unwrap();
    let issued_s = order.issued.0 / 1000;
    journal.take(Taken { id: order.id, op: order.op, issued_s, fingerprint, challenged: false }).unwrap();
    drop(journal);
    let desk = site.desk();
    let told = desk.tray.all();
    assert_eq!(told.len(), 1, "said without being asked: {told:?}");
    let reply = desk.offer(&topic, bytes);
    assert_eq!((reply.status, reply.reason), (CommandStatus::Failed, Some(Reason::Interrupted)));
    assert_eq!(reply, told[0]);
    desk.executor.stop();
    assert_eq!(keys_made(&site), 0);
}

fn taken(n: u64, issued_s: u64) -> Taken {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    Taken { id, op: Op::BoxStatus, issued_s, fingerprint: [1; 16], challenged: false }
}

fn open(dir: &std::path::Path, clock: Clock) -> Journal {
    Journal::open(Arc::new(RealDisk), dir, clock).unwrap()
}

#[test]
fn the_journal_forgets_ids_only_below_a_floor_that_outlives_restarts_and_clocks() {
    let dir = store::folder();
    let (sim, clock) = store::clock();
    let mut journal = open(dir.path(), clock.clone());
    let begin = store::START.0 / 1000;
    for n in 0..5_000 {
        journal.take(taken(n, begin + n)).unwrap();
        journal.done(&taken(n, 0).id, Some(vec![0; 100]), true).unwrap();
    }
    sim.step_to(TimeMs(1_000));
    for _ in 0..2 {
        let floor = journal.floor().unwrap();
        assert!(floor > begin, "something was forgotten");
        for n in 0..5_000 {
            let is_known = journal.known(&taken(n, 0).id, &[1; 16]) != Known::New;
            assert!(is_known || begin + n < floor, "{n} could come back");
        }
        journal = open(dir.path(), clock.clone());
    }
    let file = std::fs::metadata(dir.path().join("journal")).unwrap().len();
    assert!(file < 4 << 20, "{file} bytes");
}

#[test]
fn a_torn_end_is_cut_at_every_length_and_what_was_taken_before_stays() {
    let dir = store::folder();
    let (_, clock) = store::clock();
    let path = dir.path().join("journal");
    let mut journal = open(dir.path(), clock.clone());
    journal.take(taken(1, 100)).unwrap();
    let whole = std::fs::read(&path).unwrap().len();
    journal.take(taken(2, 100)).unwrap();
    drop(journal);
    let bytes = std::fs::read(&path).unwrap();
    for len in whole..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let mut journal = open(dir.path(), clock.clone());
        assert_eq!(journal.known(&taken(1, 0).id, &[1; 16]), Known::Running);
        assert_eq!(journal.known(&taken(2, 0).id, &[1; 16]), Known::New);
        journal.take(taken(3, 100)).unwrap();
        drop(journal);
        assert_eq!(open(dir.path(), clock.clone()).known(&taken(3, 0).id, &[1; 16]), Known::Running);
    }
}

#[test]
fn a_damaged_journal_is_set_aside_and_nothing_issued_before_is_taken_any_more() {
    let dir = store::folder();
    let (sim, clock) = store::clock();
    let path = dir.path().join("journal");
    let mut journal = open(dir.path(), clock.clone());
    (0..3).for_each(|n| journal.take(taken(n, 100)).unwrap());
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // Without a clock nothing can be said but that it is not known.
    sim.set_state(ClockState::Unset);
    assert_eq!(open(dir.path(), clock.clone()).floor().unwrap(), u64::MAX);
    assert_eq!(open(dir.path(), clock.clone()).floor().unwrap(), u64::MAX, "also after a restart");
    sim.set_state(ClockState::Holdover);
    let floor = open(dir.path(), clock.clone()).floor().unwrap();
    assert!(floor > store::START.0 / 1000 + 30, "{floor}");
    sim.step_to(TimeMs(5_000));
    assert_eq!(open(dir.path(), clock).floor().unwrap(), floor, "settled for good");
    assert!(std::fs::read_dir(dir.path()).unwrap().count() >= 2, "the damaged one is kept");
}

#[test]
fn who_sends_captured_commands_again_silences_nobody_and_does_not_fill_the_log() {
    let site = Site::new();
    let desk = site.desk();
    let rotate = desk.order(Op::KeyRotate, &key_rotate::Args::default());
    let (topic, bytes) = (desk.topic(&rotate), desk.sign(&rotate, "custodian", None));
    let first = desk.offer(&topic, bytes.clone());
    // One that never reached the box in its time.
    let late = desk.order(Op::KeyRotate, &key_rotate::Args::default());
    let (late_topic, late) = (desk.topic(&late), desk.sign(&late, "custodian", None));
    site.sim.advance(std::time::Duration::from_mins(10));
    for _ in 0..50 {
        assert_eq!(desk.offer(&topic, bytes.clone()), first, "answered as often as the rate allows");
        assert_eq!(desk.offer(&late_topic, late.clone()).reason, Some(Reason::Expired));
    }
    assert_eq!(desk.offer(&late_topic, late).reason, Some(Reason::Rate));
    for _ in 0..99 {
        let mine = desk.send(&desk.order(Op::KeyRotate, &key_rotate::Args::default()), "custodian", None);
        assert_eq!(mine.status, CommandStatus::Successful, "{mine:?}");
    }
    desk.executor.stop();
    let records = site.audit();
    let replays = records.iter().filter(|(_, d)| d.contains(&("reason".into(), "replay".into()))).count();
    assert_eq!(replays, 20);
    assert!(records.iter().any(|(_, d)| d.contains(&("reasons".into(), "replay 30".into()))));
}

#[test]
fn an_answer_in_memory_alone_is_given_again_for_minutes_and_not_after_a_purge() {
    let dir = store::folder();
    let (sim, clock) = store::clock();
    let mut journal = open(dir.path(), clock);
    for (n, on_disk) in [(1, false), (2, true)] {
        journal.take(taken(n, 100)).unwrap();
        journal.done(&taken(n, 0).id, Some(b"answer".to_vec()), on_disk).unwrap();
    }
    sim.advance(std::time::Duration::from_mins(9));
    journal.forget_answers();
    assert!(matches!(journal.known(&taken(1, 0).id, &[1; 16]), Known::Answered(_)));
    sim.advance(std::time::Duration::from_mins(1));
    journal.forget_answers();
    assert_eq!(journal.known(&taken(1, 0).id, &[1; 16]), Known::Gone, "known, and not executed again");
    assert!(matches!(journal.known(&taken(2, 0).id, &[1; 16]), Known::Answered(_)));
}

#[test]
fn the_audit_log_does_not_tell_the_arguments_of_a_command_to_who_tries_them_out() {
    let site = Site::new();
    let args = crate::command::ops::query::reads::Args {
        asked: crate::command::ops::query::Asked { plate: Some("AB123CD".to_owned()), ..Default::default() },
        ..Default::default()
    };
    site.send(Op::ReadsQuery, crate::centre::keyring::Role::Investigator, &args);
    let digest = ring::digest::digest(&ring::digest::SHA256, &crate::command::ops::encode(&args));
    let bare = crate::centre::keys::hex(digest.as_ref());
    let records = site.audit();
    let told: Vec<_> = records.iter().flat_map(|(_, details)| details).filter(|(name, _)| name == "args").collect();
    assert_eq!(told.len(), 2, "accepted and done");
    assert!(told.iter().all(|(_, value)| value.len() == 64 && *value != bare) && told[0] == told[1]);
}

#[test]
fn answers_are_kept_up_to_a_bound_the_newest_and_none_that_tells_of_plates_on_disk() {
    let dir = store::folder();
    let (_, clock) = store::clock();
    let mut journal = open(dir.path(), clock.clone());
    for n in 0..60 {
        journal.take(taken(n, 100)).unwrap();
        journal.done(&taken(n, 0).id, Some(vec![7; 50 << 10]), true).unwrap();
    }
    journal.take(taken(99, 100)).unwrap();
    journal.done(&taken(99, 0).id, Some(b"a plate".to_vec()), false).unwrap();
    assert_eq!(journal.known(&taken(0, 0).id, &[1; 16]), Known::Gone);
    assert_eq!(journal.known(&taken(99, 0).id, &[1; 16]), Known::Answered(b"a plate".to_vec()));
    drop(journal);
    let journal = open(dir.path(), clock);
    assert_eq!(journal.known(&taken(99, 0).id, &[1; 16]), Known::Gone);
    assert!(matches!(journal.known(&taken(59, 0).id, &[1; 16]), Known::Answered(_)));
}
