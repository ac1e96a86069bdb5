//! A disk that fails: no false acknowledgement, no panic, nothing lost that was acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::domain::{Ack, CameraId, RetentionClass, Severity, Stage};
use crate::health::Health;
use crate::store::disk::faulty::{Fault, FaultyDisk};
use crate::store::testkit::{event, folder, hit_entry, id, open, open_on, settings, with_pictures};
use crate::store::writer::Writer;
use crate::store::{Entry, Error, Recorder, Settings, Store, audit};

/// Commits hits 1..=3, one a batch, trying each up to three times; returns those that were acknowledged.
fn commit_three(store: &Store) -> Result<Vec<u64>, Error> {
    let mut writer = Writer::new(Arc::clone(&store.0))?;
    let mut done = Vec::new();
    for n in 1..=3 {
        let entry = [with_pictures(hit_entry(n, Severity::Serious), 100)];
        let mut ready = None;
        for _ in 0..3 {
            if ready.is_none() {
                ready = writer.prepare(&entry).unwrap_or(None);
            }
            if ready.as_mut().is_some_and(|prepared| writer.commit(prepared).is_ok()) {
                done.push(n);
                break;
            }
        }
    }
    writer.close();
    Ok(done)
}

fn check(dir: &std::path::Path, acked: &[u64], what: &str) {
    let store = open(dir);
    let mut seqs = BTreeSet::new();
    for n in acked {
        let hits = store.hits_of(id(*n)).unwrap();
        assert_eq!(hits.len(), 1, "{what}: hit {n} was acknowledged");
        assert!(seqs.insert(hits[0].alert.seq), "{what}: a seq came twice");
        let pictures = store.pictures(id(*n)).unwrap().unwrap();
        assert_eq!((pictures.crop.len(), pictures.scene.len()), (100, 400), "{what}: pictures of hit {n}");
    }
    assert!(store.outbox().depth().entries >= acked.len() as u64, "{what}");
    // And it works on, with numbers that were never used.
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    let mut prepared = writer.prepare(&[hit_entry(77, Severity::Info)]).unwrap().unwrap();
    let commit = writer.commit(&mut prepared).unwrap();
    assert!(seqs.iter().all(|seq| *seq < commit.last_seq), "{what}");
}

#[test]
fn every_single_fault_is_survived() {
    for fault in [Fault::Full, Fault::Io, Fault::Short, Fault::Late] {
        for n in 1..=40 {
            let dir = folder();
            let disk = FaultyDisk::default();
            disk.plan(n, 1, fault);
            let what = format!("{fault:?} at call {n}");
            let opened = open_on(Arc::new(disk.clone()), dir.path(), settings());
            let acked = match opened {
                Ok(store) => commit_three(&store).unwrap(),
                Err(error) => {
                    assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
                    Vec::new()
                }
            };
            let reached = disk.hit();
            disk.heal();
            disk.power_cut();
            check(dir.path(), &acked, &what);
            assert_eq!(reached, 1, "{what}: the sweep is longer than the path");
        }
    }
}

#[test]
fn a_disk_that_stays_broken_acknowledges_nothing_and_loses_nothing_before() {
    for fault in [Fault::Full, Fault::Io, Fault::Short, Fault::Late] {
        let dir = folder();
        let disk = FaultyDisk::default();
        let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
        let acked = commit_three(&store).unwrap();
        assert_eq!(acked, [1, 2, 3]);
        let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
        disk.plan(1, u64::MAX, fault);
        let mut prepared = writer.prepare(&[hit_entry(9, Severity::Info)]).unwrap_or(None);
        for _ in 0..5 {
            assert!(prepared.as_mut().is_none_or(|prepared| writer.commit(prepared).is_err()));
        }
        drop((writer, store));
        disk.heal();
        disk.power_cut();
        check(dir.path(), &acked, "broken for good");
    }
}

#[test]
fn the_recorder_waits_for_the_disk_and_then_commits_everything() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
    let health = Health::new();
    let done = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&done);
    let on_commit = Box::new(move |commit: &crate::store::Commit| {
        counter.fetch_add(commit.entries, Ordering::SeqCst);
    });
    let recorder = Recorder::start(&store, Arc::clone(&health), on_commit).unwrap();
    disk.plan(1, u64::MAX, Fault::Full);
    recorder.handle().send(hit_entry(1, Severity::Info)).unwrap();
    assert!(matches!(recorder.handle().flush(Duration::from_millis(300)), Err(Error::FlushTimeout { .. })));
    assert_eq!(done.load(Ordering::SeqCst), 0);
    assert!(health.store_faults.get() > 0);
    disk.heal();
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert_eq!(recorder.stop(), 0);
    assert_eq!(store.counts().hits, 1);
}

#[test]
fn a_recorder_that_cannot_store_says_how_many_went_with_it() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    disk.plan(1, u64::MAX, Fault::Io);
    recorder.handle().send(hit_entry(1, Severity::Info)).unwrap();
    assert_eq!(recorder.stop(), 1);
}

#[test]
fn a_disk_that_was_full_for_a_moment_costs_no_picture() {
    for call in 1..=12 {
        let dir = folder();
        let disk = FaultyDisk::default();
        let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
        let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
        disk.plan(call, 1, Fault::Full);
        recorder.handle().send(with_pictures(hit_entry(1, Severity::Serious), 100)).unwrap();
        recorder.handle().flush(Duration::from_mins(1)).unwrap();
        assert_eq!(store.pictures(id(1)).unwrap().unwrap().crop.len(), 100, "call {call}");
        assert_eq!(recorder.stop(), 0);
    }
}

#[test]
fn a_hit_does_not_wait_for_pictures_that_a_disk_with_free_bytes_does_not_take() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let send = |n| {
        recorder.handle().send(with_pictures(hit_entry(n, Severity::Serious), 100)).unwrap();
        recorder.handle().flush(Duration::from_mins(1)).unwrap();
        (store.hits_of(id(n)).unwrap().len(), store.pictures(id(n)).unwrap().is_some_and(|p| !p.crop.is_empty()))
    };
    assert_eq!(send(1), (1, true));
    // The centre has the first: that too is to be remembered over what follows.
    let ack = Ack { epoch: store.outbox().epoch(), upto: 1, also: Vec::new() };
    disk.refuse_new(Some("evidence"));
    recorder.handle().send(with_pictures(hit_entry(2, Severity::Serious), 100)).unwrap();
    store.outbox().ack(&ack).unwrap();
    assert_eq!(send(3), (1, false));
    assert_eq!(store.hits_of(id(2)).unwrap().len(), 1);
    assert_eq!(send(4), (1, false));
    assert_eq!(store.pictures_lost(), 3);
    // One whose pictures lie under a key that is deleted earlier does not wait to be sealed anew either.
    recorder.handle().send(hit_entry(1, Severity::Critical)).unwrap();
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    assert!(store.pictures(id(1)).unwrap().is_some_and(|p| !p.crop.is_empty()));
    let steps = audit::read(dir.path()).unwrap().into_iter().filter(|record| record.event == "disk.room").count();
    assert_eq!(steps, 2, "it does not go to and fro: nothing is stored, then all but pictures");
    assert_eq!(recorder.stop(), 0);
    drop(store);
    disk.refuse_new(None);
    let again = open_on(Arc::new(disk), dir.path(), settings()).unwrap();
    assert_eq!((again.counts().hits, again.outbox().depth().entries), (4, 4), "the ack was written");
}

#[test]
fn a_recorder_that_has_no_time_to_stop_hears_of_the_stop_all_the_same() {
    let dir = folder();
    let store = open(dir.path());
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let handle = recorder.handle();
    let _ = recorder.stop_within(Duration::ZERO);
    let ends = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        matches!(handle.flush(Duration::from_secs(1)), Err(Error::RecorderStopped))
    });
    assert!(ends, "it goes on");
}

#[test]
fn what_went_with_the_recorder_is_in_the_audit_log() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let roomy = Settings { reserve_bytes: 1 << 20, ..settings() };
    let store = open_on(Arc::new(disk.clone()), dir.path(), roomy).unwrap();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    disk.set_free(Some(1 << 10));
    recorder.handle().send(hit_entry(1, Severity::Critical)).unwrap();
    assert_eq!(recorder.stop(), 1);
    let lost: Vec<_> = audit::read(dir.path()).unwrap().into_iter().filter(|r| r.event == "record.lost").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].details[0], ("entries".to_owned(), "1".to_owned()));
}

#[test]
fn a_filling_disk_goes_without_pictures_then_without_reads_and_never_without_hits() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let steps = Settings {
        reserve_bytes: 1 << 19,
        read_free_bytes: 2 << 20,
        picture_free_bytes: 4 << 20,
        clip_free_bytes: 8 << 20,
        ..settings()
    };
    let store = open_on(Arc::new(disk.clone()), dir.path(), steps).unwrap();
    let health = Health::new();
    let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(|_| ())).unwrap();
    let read = |n| with_pictures(Entry { event: event(n, Stage::End, Some("AB123CD")), hits: Vec::new() }, 30);
    let mut n = 0;
    // What is kept of a hit and of a read at so many free MiB.
    let mut kept = |free: u64| {
        disk.set_free(Some(free << 20));
        let (hit, mere) = (n + 1, n + 2);
        n += 2;
        recorder.handle().send(with_pictures(hit_entry(hit, Severity::Info), 30)).unwrap();
        recorder.handle().send(read(mere)).unwrap();
        recorder.handle().flush(Duration::from_mins(1)).unwrap();
        let pictures = |n| store.pictures(id(n)).unwrap().is_some_and(|p| !p.crop.is_empty());
        assert_eq!(store.hits_of(id(hit)).unwrap().len(), 1, "{free} MiB free");
        (pictures(hit), store.sighting(id(mere)).unwrap().is_some(), pictures(mere))
    };
    assert_eq!(kept(9), (true, true, true));
    assert_eq!(kept(7), (true, true, true));
    assert_eq!(kept(3), (false, true, false));
    // Pictures go first, then reads.
    let before = (store.pictures_lost(), health.camera(&CameraId::new("gate").unwrap()).lost.get());
    assert_eq!(before, (2, 0));
    // 2 MiB and a little: an eighth more than a step needs takes it back, and less does not take it.
    assert_eq!(kept(2), (false, true, false));
    disk.set_free(Some((2 << 20) - 1));
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    assert_eq!(kept(1), (false, false, false));
    assert_eq!((store.pictures_lost(), health.camera(&CameraId::new("gate").unwrap()).lost.get()), (5, 1));
    assert_eq!(kept(9), (true, true, true));
    let depth = store.outbox().depth().entries;
    assert_eq!((recorder.stop(), depth), (0, 6), "every hit is on its way");
    let said: Vec<String> = audit::read(dir.path())
        .unwrap()
        .into_iter()
        .filter(|record| record.event == "disk.room")
        .map(|record| record.details[1].1.clone())
        .collect();
    assert_eq!(said, ["clips", "clips, pictures", "clips, pictures, reads", "nothing"]);
}

#[test]
fn a_full_queue_on_a_full_disk_holds_up_neither_flush_nor_stop_and_every_entry_is_counted() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let one_by_one = Settings { commit_rows: 1, ..settings() };
    let store = open_on(Arc::new(disk.clone()), dir.path(), one_by_one).unwrap();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    disk.plan(1, u64::MAX, Fault::Full);
    let taken = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..3_u64)
        .map(|sender| {
            let (handle, taken) = (recorder.handle(), Arc::clone(&taken));
            std::thread::spawn(move || {
                for n in 1.. {
                    match handle.send(hit_entry(sender * 1_000_000 + n, Severity::Info)) {
                        Ok(()) => taken.fetch_add(1, Ordering::SeqCst),
                        Err(error) => return error,
                    };
                }
                unreachable!("there are numbers enough")
            })
        })
        .collect();
    // One in hand, the queue full, and three that wait for room.
    while taken.load(Ordering::SeqCst) < crate::store::recorder::QUEUE + 1 {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    assert!(matches!(recorder.handle().flush(Duration::from_millis(200)), Err(Error::FlushTimeout { waited_ms: 200 })));
    let day = crate::store::testkit::START.day();
    let destroyed = recorder.handle().destroy(day, RetentionClass::Info, Duration::from_millis(200));
    assert!(matches!(destroyed, Err(Error::FlushTimeout { .. })));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let lost = recorder.stop();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for sender in senders {
        assert!(matches!(sender.join().unwrap(), Error::RecorderStopped));
    }
    assert_eq!(lost, taken.load(Ordering::SeqCst), "what was taken and not stored is counted");
    assert!(store.counts().hits == 0 && lost > crate::store::recorder::QUEUE);
}

#[test]
fn what_was_taken_while_the_recorder_stops_is_stored() {
    let dir = folder();
    let store = open(dir.path());
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let handle = recorder.handle();
    let sender = std::thread::spawn(move || {
        (1..1_000_000).take_while(|n| handle.send(hit_entry(*n, Severity::Info)).is_ok()).count()
    });
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    assert_eq!(recorder.stop(), 0);
    assert_eq!(store.counts().hits, u64::try_from(sender.join().unwrap()).unwrap());
}

#[test]
fn below_the_reserve_nothing_is_appended() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let roomy = Settings { reserve_bytes: 1 << 20, ..settings() };
    let store = open_on(Arc::new(disk.clone()), dir.path(), roomy.clone()).unwrap();
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    let mut prepared = writer.prepare(&[hit_entry(1, Severity::Info)]).unwrap().unwrap();
    disk.set_free(Some(1 << 20));
    let error = writer.commit(&mut prepared).unwrap_err();
    assert!(error.is_full() && error.to_string().starts_with("no space: 1048576 bytes free on"), "{error}");
    disk.set_free(None);
    writer.commit(&mut prepared).unwrap();
    drop((writer, store));

    disk.set_free(Some(4096));
    let error = open_on(Arc::new(disk), dir.path(), roomy).unwrap_err().to_string();
    assert!(error.contains("4096 bytes free") && error.contains("need 8388608"), "{error}");
}
