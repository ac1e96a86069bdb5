//! Clips and views: kept whole or not at all, under the key of their sighting, and gone with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{CameraId, Footage, HoldScope, HoldWish, Mark, Media, RetentionClass, Severity, Stage, TimeMs};
use crate::health::Health;
use crate::store::disk::RealDisk;
use crate::store::disk::faulty::{Fault, FaultyDisk};
use crate::store::testkit::{START, event, folder, hit_entry, id, list_hit, open, open_on, settings};
use crate::store::{Attached, AttachedKind, Entry, Error, Recorder, RecorderHandle, Settings, Store};

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn footage(begin: u64) -> Footage {
    Footage {
        camera: CameraId::new("gate").unwrap(),
        from: TimeMs(begin.saturating_sub(5_000)),
        to: TimeMs(begin + 5_000),
        media: Media::Mp4,
        masked: false,
        note: None,
    }
}

fn clip(n: u64, bytes: &[u8]) -> Attached {
    Attached { id: id(n), what: AttachedKind::Clip, about: footage(START.0), bytes: bytes.to_vec() }
}

fn recorder(store: &Store) -> Recorder {
    Recorder::start(store, Health::new(), Box::new(|_| ())).unwrap()
}

fn found(store: &Store, n: u64) -> Option<Vec<u8>> {
    store.attachment(id(n), AttachedKind::Clip).unwrap().map(|(_, bytes)| bytes)
}

fn files(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for day in std::fs::read_dir(dir.join("evidence")).into_iter().flatten() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            names.push(file.unwrap().file_name().into_string().unwrap());
        }
    }
    names
}

/// The bytes of the one clip that lies there, as they are on the disk.
fn on_disk(dir: &Path) -> Vec<u8> {
    let days = std::fs::read_dir(dir.join("evidence")).unwrap();
    let all = days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap()).map(|file| file.unwrap().path());
    let clips: Vec<_> = all.filter(|path| path.to_str().unwrap().ends_with("-clip")).collect();
    assert_eq!(clips.len(), 1);
    std::fs::read(&clips[0]).unwrap()
}

fn send(handle: &RecorderHandle, entry: Entry) {
    handle.send(entry).unwrap();
}

#[test]
fn a_clip_comes_back_after_a_restart_and_goes_with_the_key_of_its_sighting() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    let handle = running.handle();
    send(&handle, hit_entry(1, Severity::Minor));
    assert!(handle.attach(&clip(1, b"mp4"), PATIENCE).unwrap(), "also right behind its hit");
    assert!(!handle.attach(&clip(2, b"mp4"), PATIENCE).unwrap(), "there is no such sighting");
    assert!(!files(dir.path()).iter().any(|name| name.contains(&id(2).to_string())), "and nothing stays");
    drop(running);
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open(dir.path());
    let kept = store.attached(id(1), AttachedKind::Clip).unwrap().unwrap();
    assert_eq!((kept.about, kept.bytes), (footage(START.0), 3));
    assert_eq!(found(&store, 1).unwrap(), b"mp4");
    let running = recorder(&store);
    running.handle().destroy(START.day(), RetentionClass::Minor, PATIENCE).unwrap();
    assert_eq!(found(&store, 1), None);
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn why_there_is_no_clip_is_kept_in_its_place() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    send(&running.handle(), hit_entry(1, Severity::Minor));
    let mut none = clip(1, b"");
    none.about = none.about.noting("the camera had just been opened");
    assert!(running.handle().attach(&none, PATIENCE).unwrap());
    let (kept, bytes) = store.attachment(id(1), AttachedKind::Clip).unwrap().unwrap();
    assert_eq!((kept.bytes, bytes.len()), (0, 0));
    assert_eq!(kept.about.note.as_deref(), Some("the camera had just been opened"));
}

#[test]
fn a_clip_that_is_kept_is_never_replaced_by_the_word_that_there_is_none() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    send(&running.handle(), hit_entry(1, Severity::Minor));
    let mut none = clip(1, b"");
    none.about = none.about.noting("it could not be stored: the recorder took too long");
    assert!(running.handle().attach(&none, PATIENCE).unwrap());
    assert!(running.handle().attach(&clip(1, b"mp4"), PATIENCE).unwrap(), "a clip takes the place of that word");
    assert!(!running.handle().attach(&none, PATIENCE).unwrap());
    let (kept, bytes) = store.attachment(id(1), AttachedKind::Clip).unwrap().unwrap();
    assert_eq!((kept.about.note, bytes.as_slice()), (None, b"mp4".as_slice()));
}

#[test]
fn the_clip_of_a_hit_that_becomes_more_severe_is_kept_as_long() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    let handle = running.handle();
    send(&handle, hit_entry(1, Severity::Info));
    assert!(handle.attach(&clip(1, b"mp4"), PATIENCE).unwrap());
    let written = on_disk(dir.path());
    let event = event(1, Stage::Update, Some("AB123CD"));
    let mut hit = list_hit(&event, 7, Severity::Critical);
    hit.stage = Stage::New;
    send(&handle, Entry { event, hits: vec![hit] });
    handle.flush(PATIENCE).unwrap();
    handle.destroy(START.day(), RetentionClass::Info, PATIENCE).unwrap();
    assert_eq!(found(&store, 1).unwrap(), b"mp4");
    assert!(on_disk(dir.path()) == written, "alerts wait for nobody who seals a clip anew");
    handle.destroy(START.day(), RetentionClass::Critical, PATIENCE).unwrap();
    assert_eq!(found(&store, 1), None);
}

#[test]
fn a_hold_keeps_the_clip_until_it_is_released() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    let handle = running.handle();
    for n in 1..=2 {
        send(&handle, hit_entry(n, Severity::Info));
        assert!(handle.attach(&clip(n, &[u8::try_from(n).unwrap(); 4000]), PATIENCE).unwrap());
    }
    let first = dir.path().join(format!("evidence/{}/{}-clip", START.day(), id(1)));
    let written = std::fs::read(&first).unwrap();
    let placed = Mark { at: START, by: "investigator".to_owned(), org: "north".to_owned() };
    let (case, reason) = ("K-1".to_owned(), "court".to_owned());
    let hold = HoldWish { scope: HoldScope::Hit(id(1)), case, reason, review: TimeMs(START.0 + 1), placed };
    let number = handle.place_hold(hold, PATIENCE).unwrap().number;
    handle.destroy(START.day(), RetentionClass::Info, PATIENCE).unwrap();
    assert_eq!((found(&store, 1), found(&store, 2)), (Some(vec![1; 4000]), None));
    assert_eq!(on_disk(dir.path()), written, "only its key goes to the hold");
    handle.release_hold(number, PATIENCE).unwrap();
    assert_eq!(found(&store, 1), None);
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn a_view_belongs_to_no_sighting_and_is_kept_like_a_hit_of_the_least_severity() {
    let dir = folder();
    let store = open(dir.path());
    let running = recorder(&store);
    let about = Footage { media: Media::Jpeg, ..footage(START.0 + 5_000) }.noting("the picture is black");
    let view = Attached { id: id(9), what: AttachedKind::View, about: about.clone(), bytes: b"jpeg".to_vec() };
    assert!(running.handle().attach(&view, PATIENCE).unwrap());
    let (kept, bytes) = store.attachment(id(9), AttachedKind::View).unwrap().unwrap();
    assert_eq!((kept.about, &bytes[..]), (about, &b"jpeg"[..]));
    running.handle().destroy(START.day(), RetentionClass::Info, PATIENCE).unwrap();
    assert!(store.attachment(id(9), AttachedKind::View).unwrap().is_none());
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn a_disk_that_fills_up_goes_without_clips_first() {
    let dir = folder();
    let disk = FaultyDisk::default();
    let settings = Settings { reserve_bytes: 1 << 20, clip_free_bytes: 8 << 20, ..settings() };
    let store = open_on(Arc::new(disk.clone()), dir.path(), settings).unwrap();
    let running = recorder(&store);
    let handle = running.handle();
    disk.set_free(Some(8 << 20));
    send(&handle, hit_entry(1, Severity::Minor));
    let refused = handle.attach(&clip(1, b"mp4"), PATIENCE).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    assert_eq!(store.hits_of(id(1)).unwrap().len(), 1);
    disk.set_free(None);
    assert!(handle.attach(&clip(1, b"mp4"), PATIENCE).unwrap());
}

#[test]
fn at_any_fault_a_clip_is_there_whole_or_not_at_all_and_its_hit_is() {
    for fault in [Fault::Full, Fault::Io, Fault::Short, Fault::Late] {
        let mut reached = 0;
        for n in 1..=12 {
            let dir = folder();
            let disk = FaultyDisk::default();
            let store = open_on(Arc::new(disk.clone()), dir.path(), settings()).unwrap();
            let running = recorder(&store);
            send(&running.handle(), hit_entry(1, Severity::Serious));
            running.handle().flush(PATIENCE).unwrap();
            disk.plan(n, 1, fault);
            let taken = running.handle().attach(&clip(1, &[7; 5000]), PATIENCE);
            reached += disk.hit();
            disk.heal();
            drop((running, store));
            disk.power_cut();
            let store = open_on(Arc::new(RealDisk), dir.path(), settings()).unwrap();
            let what = format!("{fault:?} at call {n}: {taken:?}");
            assert_eq!(store.hits_of(id(1)).unwrap().len(), 1, "{what}");
            let clip = found(&store, 1);
            assert_eq!(clip.is_some(), taken.is_ok(), "{what}");
            assert!(clip.is_none_or(|bytes| bytes == [7; 5000]), "{what}");
        }
        assert!(reached >= 6, "{fault:?} was met {reached} times");
    }
}
