//! Bytes that changed on the disk: found, said, and what is intact comes back.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Ack, RetentionClass, Severity};
use crate::health::Health;
use crate::health::pulse::{Part, Pulses};
use crate::store::testkit::{START, folder, hit_entry, id, list_hit, open, with_pictures};
use crate::store::writer::Writer;
use crate::store::{Commit, Error, Recorder, Store, audit};

const HITS: u64 = 12;

/// A closed store with `HITS` hits, two a batch.
fn filled(dir: &Path) {
    let store = open(dir);
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    for n in (1..=HITS).step_by(2) {
        let entries = [hit_entry(n, Severity::Minor), hit_entry(n + 1, Severity::Info)];
        let mut prepared = writer.prepare(&entries).unwrap().unwrap();
        writer.commit(&mut prepared).unwrap();
    }
    writer.close();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Damages the key of minor hits and its copy.
fn flip_key(dir: &Path) {
    for end in ["key", "copy"] {
        flip(&dir.join(format!("keys/{}-2.{end}", START.day())), 30);
    }
}

fn present(store: &Store) -> Vec<u64> {
    (1..=HITS).filter(|n| !store.hits_of(id(*n)).unwrap().is_empty()).collect()
}

fn said(dir: &Path, event: &str) -> bool {
    audit::read(dir).unwrap().iter().any(|record| record.event == event)
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("ledger/0000000001.seg")
}

#[test]
fn a_flipped_byte_in_the_ledger_is_found_and_costs_nothing_while_the_index_stands() {
    let dir = folder();
    let (whole, work) = (dir.path().join("whole"), dir.path().join("work"));
    filled(&whole);
    let epoch = open(&whole).epoch();
    let len = fs::read(segment(&whole)).unwrap().len();
    for at in (0..len).step_by(len / 37) {
        copy(&whole, &work);
        flip(&segment(&work), at);
        let store = open(&work);
        assert_eq!(present(&store).len() as u64, HITS, "byte {at}");
        assert!(said(&work, "store.salvaged"), "byte {at}");
        assert_ne!(store.epoch(), epoch, "byte {at}");
        assert_eq!(store.outbox().depth().entries, HITS, "byte {at}: undelivered alerts go over");
        let items = store.outbox().next(&BTreeSet::new(), 99).unwrap();
        assert!(items.iter().all(|item| item.seq <= HITS), "byte {at}");
        drop(store);
        assert!(work.join("aside").exists());
        fs::remove_dir_all(&work).unwrap();
    }
}

#[test]
fn a_flipped_byte_in_the_ledger_without_an_index_costs_one_batch_at_most() {
    let dir = folder();
    let (whole, work) = (dir.path().join("whole"), dir.path().join("work"));
    filled(&whole);
    let len = fs::read(segment(&whole)).unwrap().len();
    for at in (0..len).step_by(len / 37) {
        copy(&whole, &work);
        fs::remove_dir_all(work.join("index")).unwrap();
        flip(&segment(&work), at);
        let store = open(&work);
        let found = present(&store).len() as u64;
        assert!((HITS - 2..=HITS).contains(&found), "byte {at}: {found} hits");
        assert!(said(&work, "store.salvaged") || said(&work, "ledger.torn-end"), "byte {at}");
        drop(store);
        fs::remove_dir_all(&work).unwrap();
    }
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let dir = folder();
    let (whole, work) = (dir.path().join("whole"), dir.path().join("work"));
    filled(&whole);
    let bytes = fs::read(segment(&whole)).unwrap();
    let last = (116..bytes.len()).rfind(|at| bytes[*at..].starts_with(b"WPB1")).unwrap();
    for len in (last..bytes.len()).step_by(97).chain([0, 1, 115, 116]) {
        copy(&whole, &work);
        fs::remove_dir_all(work.join("index")).unwrap();
        fs::write(segment(&work), &bytes[..len]).unwrap();
        let store = open(&work);
        let wanted = if len >= last { HITS - 2 } else { 0 };
        assert_eq!(present(&store).len() as u64, wanted, "cut at {len}");
        assert!(!said(&work, "store.salvaged"), "cut at {len}");
        drop(store);
        assert_eq!(present(&open(&work)).len() as u64, wanted);
        fs::remove_dir_all(&work).unwrap();
    }
}

#[test]
fn a_ledger_that_lost_what_the_index_has_is_no_torn_end() {
    let dir = folder();
    filled(dir.path());
    let bytes = fs::read(segment(dir.path())).unwrap();
    fs::write(segment(dir.path()), &bytes[..bytes.len() - 9]).unwrap();
    let store = open(dir.path());
    assert_eq!(present(&store).len() as u64, HITS);
    assert!(said(dir.path(), "store.salvaged"));
}

#[test]
fn a_missing_ledger_is_salvaged_from_the_index() {
    let dir = folder();
    filled(dir.path());
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
    assert!(said(dir.path(), "store.salvaged"));
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
}

#[test]
fn a_flipped_byte_in_the_index_never_costs_a_hit() {
    // More than sled's segment of 512 KiB: only then does it meet damage that is no torn end.
    const MANY: u64 = 1_300;
    let dir = folder();
    let (whole, work) = (dir.path().join("whole"), dir.path().join("work"));
    let store = open(&whole);
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    for first in (1..=MANY).step_by(50) {
        let entries: Vec<_> = (first..first + 50).map(|n| hit_entry(n, Severity::Info)).collect();
        let mut prepared = writer.prepare(&entries).unwrap().unwrap();
        writer.commit(&mut prepared).unwrap();
    }
    writer.close();
    drop(store);
    let db = fs::read(whole.join("index/db")).unwrap();
    assert!(db.len() > 1 << 20, "{} bytes", db.len());
    let mut rebuilt = 0;
    for at in (0..db.len()).step_by(db.len() / 23).chain([7, 700]) {
        copy(&whole, &work);
        flip(&work.join("index/db"), at);
        let store = open(&work);
        let counts = store.counts();
        assert_eq!((counts.hits, counts.sightings, store.outbox().depth().entries), (MANY, MANY, MANY), "byte {at}");
        assert_eq!(store.recent_hits(usize::MAX).unwrap().len() as u64, MANY, "byte {at}");
        assert!(!said(&work, "store.salvaged"), "byte {at}: the ledger is sound");
        rebuilt += u32::from(said(&work, "index.rebuilt"));
        drop(store);
        fs::remove_dir_all(&work).unwrap();
    }
    assert!(rebuilt > 0, "no flip was ever noticed");
}

#[test]
fn an_index_that_lost_a_block_or_a_file_never_costs_a_hit() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("cut in half", |index| {
            let db = fs::read(index.join("db")).unwrap();
            fs::write(index.join("db"), &db[..db.len() / 2]).unwrap();
        }),
        ("a block of zeros", |index| {
            let mut db = fs::read(index.join("db")).unwrap();
            let middle = db.len() / 2;
            db[middle..middle + 4096].fill(0);
            fs::write(index.join("db"), db).unwrap();
        }),
        ("no conf", |index| fs::remove_file(index.join("conf")).unwrap()),
        ("conf of nonsense", |index| fs::write(index.join("conf"), "\u{0}nonsense").unwrap()),
        ("an empty db", |index| fs::write(index.join("db"), []).unwrap()),
    ];
    let dir = folder();
    let (whole, work) = (dir.path().join("whole"), dir.path().join("work"));
    filled(&whole);
    for (name, harm) in harms {
        copy(&whole, &work);
        harm(&work.join("index"));
        let store = open(&work);
        assert_eq!(present(&store).len() as u64, HITS, "{name}");
        assert_eq!((store.counts().hits, store.outbox().depth().entries), (HITS, HITS), "{name}");
        drop(store);
        fs::remove_dir_all(&work).unwrap();
    }
}

#[test]
fn an_index_that_killed_the_process_twice_is_not_opened_again() {
    let dir = folder();
    filled(dir.path());
    fs::write(dir.path().join("index.opening"), []).unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
    assert!(!said(dir.path(), "index.rebuilt"), "once may have been a power cut");
    fs::write(dir.path().join("index.opening"), "x").unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
    assert!(said(dir.path(), "index.rebuilt"));
    assert!(!dir.path().join("index.opening").exists());
}

#[test]
fn an_index_that_fails_while_running_is_rebuilt_by_the_recorder() {
    let dir = folder();
    filled(dir.path());
    let store = open(dir.path());
    store.0.distrust_index();
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    // The time that it takes is said to be its own, whatever it is in the middle of.
    let (pulses, second) = (Pulses::default(), Duration::from_secs(1));
    let pulse = pulses.of("recorder", Part::Vital, second);
    writer.lives_by(pulse.clone());
    pulse.beats("a commit");
    writer.repair_index();
    assert_eq!(pulses.look(second * 2).silent[0].doing, "what was held up by the index");
    assert_eq!(present(&store).len() as u64, HITS);
    assert!(said(dir.path(), "index.rebuilt"));
    writer.close();
}

#[test]
fn a_salvage_that_was_interrupted_is_finished_or_begun_anew() {
    let dir = folder();
    filled(dir.path());
    // Broken off while the new ledger was written: the old one still counts.
    fs::create_dir(dir.path().join("ledger.new")).unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
    assert!(!dir.path().join("ledger.new").exists());
    // Broken off between the two renames: the new one counts.
    fs::rename(dir.path().join("ledger"), dir.path().join("ledger.new")).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
    assert!(!said(dir.path(), "store.salvaged"));
}

#[test]
fn a_damaged_file_of_which_there_are_two_costs_nothing_and_is_said() {
    let dir = folder();
    filled(dir.path());
    flip(&dir.path().join(format!("keys/{}-2.key", START.day())), 30);
    flip(&dir.path().join("format"), 16);
    let store = open(dir.path());
    assert_eq!(present(&store).len() as u64, HITS);
    assert_eq!(store.outbox().next(&BTreeSet::new(), 99).unwrap().len() as u64, HITS);
    let mended: Vec<_> =
        audit::read(dir.path()).unwrap().into_iter().filter(|record| record.event == "store.mended").collect();
    assert_eq!(mended.len(), 2);
    drop(store);
    // What was written anew is what counts from now on.
    fs::remove_file(dir.path().join("format.copy")).unwrap();
    fs::remove_file(dir.path().join(format!("keys/{}-2.copy", START.day()))).unwrap();
    assert_eq!(present(&open(dir.path())).len() as u64, HITS);
}

#[test]
fn a_damaged_key_file_and_its_copy_cost_what_they_sealed_and_no_more() {
    let dir = folder();
    filled(dir.path());
    flip_key(dir.path());
    let store = open(dir.path());
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    let mut prepared = writer.prepare(&[hit_entry(50, Severity::Minor)]).unwrap().unwrap();
    writer.commit(&mut prepared).unwrap();
    assert_eq!(store.hits_of(id(50)).unwrap().len(), 1);
    assert_eq!(store.hits_of(id(2)).unwrap().len(), 1);
    assert!(store.hits_of(id(1)).is_err());
    // Copies that do not open do not hold up the others: they are told as shed.
    let items = store.outbox().next(&BTreeSet::new(), 99).unwrap();
    assert_eq!(items.len() as u64, HITS / 2 + 1);
    let (mut shed, alerts) = writer.prepare_shed().unwrap().unwrap();
    assert_eq!(alerts, HITS / 2);
    writer.commit(&mut shed).unwrap();
    assert!(writer.prepare_shed().unwrap().is_none());
    writer.close();
}

#[test]
fn a_damaged_picture_costs_itself_and_not_the_hit_that_wants_it() {
    let dir = folder();
    let store = open(dir.path());
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    recorder.handle().send(with_pictures(hit_entry(5, Severity::Minor), 60)).unwrap();
    recorder.handle().flush(Duration::from_mins(1)).unwrap();
    let crop = dir.path().join(format!("evidence/{}/{}-crop", START.day(), id(5)));
    flip(&crop, 50);
    // Its class rises: the pictures have to be read back and sealed anew.
    let mut risen = hit_entry(5, Severity::Critical);
    risen.hits = vec![list_hit(&risen.event, 6, Severity::Critical)];
    recorder.handle().send(risen).unwrap();
    recorder.handle().send(hit_entry(7, Severity::Info)).unwrap();
    recorder.handle().flush(Duration::from_secs(20)).unwrap();
    assert_eq!((store.hits_of(id(5)).unwrap().len(), store.hits_of(id(7)).unwrap().len()), (2, 1));
    assert!(matches!(store.pictures(id(5)), Err(Error::Unsealed { .. })), "the damage stays to be seen");
    fs::remove_file(crop).unwrap();
    let pictures = store.pictures(id(5)).unwrap().unwrap();
    assert_eq!((pictures.crop.len(), pictures.scene.len()), (0, 240), "the other one is kept");
    assert_eq!(recorder.stop(), 0);
    // And it was sealed anew, so that it stays as long as the hit.
    let class = fs::read(dir.path().join(format!("evidence/{}/{}-scene", START.day(), id(5)))).unwrap()[9];
    assert_eq!(class, crate::store::seal::class_byte(RetentionClass::Critical));
}

#[test]
fn a_copy_that_does_not_open_is_told_as_shed_when_nothing_else_happens() {
    let dir = folder();
    filled(dir.path());
    flip_key(dir.path());
    let store = open(dir.path());
    let (tell, told) = std::sync::mpsc::sync_channel(64);
    let on_commit = Box::new(move |commit: &Commit| tell.send(*commit).unwrap());
    let recorder = Recorder::start(&store, Health::new(), on_commit).unwrap();
    let items = store.outbox().next(&BTreeSet::new(), 99).unwrap();
    assert_eq!(items.len() as u64, HITS / 2);
    let commit = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((commit.entries, commit.last_seq > HITS), (0, true));
    // What the centre acknowledges now is everything there was: nobody waits for a copy that will not come.
    store.outbox().ack(&Ack { epoch: store.epoch(), upto: commit.last_seq, also: Vec::new() }).unwrap();
    assert_eq!(store.outbox().depth().entries, 0);
    assert_eq!(recorder.stop(), 0);
}

#[test]
fn a_hit_does_not_wait_for_an_index_that_fails() {
    let dir = folder();
    let store = open(dir.path());
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    // What asks of it fails from here on, and nothing has said yet that it has to be rebuilt.
    store.0.index.write().unwrap().close();
    recorder.handle().send(hit_entry(1, Severity::Minor)).unwrap();
    recorder.handle().flush(Duration::from_secs(20)).unwrap();
    recorder.handle().send(hit_entry(2, Severity::Minor)).unwrap();
    recorder.handle().flush(Duration::from_secs(20)).unwrap();
    assert_eq!((store.hits_of(id(1)).unwrap().len(), store.hits_of(id(2)).unwrap().len()), (1, 1));
    assert_eq!(store.outbox().next(&BTreeSet::new(), 9).unwrap().len(), 2);
    assert!(said(dir.path(), "index.rebuilt"));
    assert_eq!(recorder.stop(), 0);
}

#[test]
fn nobody_waits_for_an_index_that_is_being_rebuilt() {
    let dir = folder();
    filled(dir.path());
    let store = open(dir.path());
    // As it is from the moment that the rebuilding begins until it is done.
    store.0.index.write().unwrap().close();
    let asked = store.outbox().next(&BTreeSet::new(), 99);
    assert!(matches!(asked, Err(Error::IndexRebuilding)));
    assert!(matches!(store.sighting(id(1)), Err(Error::IndexRebuilding)));
    assert!(!store.0.index_is_distrusted(), "asking meanwhile must not begin it anew");
    assert_eq!(store.0.order().depth().entries, HITS);
    store.0.rebuild_index("a test").unwrap();
    assert_eq!(store.outbox().next(&BTreeSet::new(), 99).unwrap().len() as u64, HITS);
    assert_eq!(present(&store).len() as u64, HITS);
}
