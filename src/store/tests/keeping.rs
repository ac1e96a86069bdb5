//! What is committed is there again; what is deleted is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::{
    EventId, HoldScope, HoldWish, Mark, Pictures, PlateText, Retention, RetentionClass, Severity, Stage, TimeMs,
};
use crate::health::Health;
use crate::store::disk::RealDisk;
use crate::store::testkit::{
    START, clock, event, folder, hit_entry, id, list_hit, open, open_on, settings, with_pictures,
};
use crate::store::{Body, Entry, Recorder, Settings, Store, StoreKey, audit};

const MINUTE: Duration = Duration::from_mins(1);

fn record(store: &Store, entries: impl IntoIterator<Item = Entry>) {
    let recorder = Recorder::start(store, Health::new(), Box::new(|_| ())).unwrap();
    entries.into_iter().for_each(|entry| recorder.handle().send(entry).unwrap());
    assert_eq!(recorder.stop(), 0);
}

fn events(store: &Store) -> Vec<String> {
    audit::read(store.dir()).unwrap().into_iter().map(|r| r.event).collect()
}

#[test]
fn a_committed_hit_is_found_again_after_reopening() {
    let dir = folder();
    let entry = with_pictures(hit_entry(5, Severity::Serious), 900);
    record(&open(dir.path()), [entry.clone()]);

    let store = open(dir.path());
    let sighting = store.sighting(id(5)).unwrap().unwrap();
    assert_eq!(sighting.camera, entry.event.sighting.camera);
    assert_eq!(sighting.read.as_ref().unwrap().candidates.len(), 5);
    let hits = store.recent_hits(10).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].alert.seq, hits[0].alert.epoch), (1, store.epoch()));
    assert_eq!(hits[0].list.as_ref().unwrap().as_str(), "wanted");
    assert!(hits[0].owner.as_ref().is_some_and(|owner| owner.shows_to("north") && !owner.shows_to("south")));
    assert!(store.pictures(id(5)).unwrap() == entry.event.pictures);
    assert_eq!(store.outbox().depth().entries, 1);
    assert_eq!((store.counts().hits, store.counts().sightings), (1, 1));
    assert_eq!(events(&store), ["audit.begun", "store.started", "hits.committed", "store.stopped", "store.started"]);
    assert_eq!(store.audit_head().size, 5);
}

#[test]
fn the_newest_of_a_sighting_replaces_what_was_there() {
    let dir = folder();
    let store = open(dir.path());
    let mut end = Entry { event: event(5, Stage::End, Some("XY99ZZ")), hits: Vec::new() };
    end.hits = vec![list_hit(&end.event, 5, Severity::Minor)];
    record(&store, [hit_entry(5, Severity::Minor), end]);
    assert_eq!(store.counts().sightings, 1);
    let plate =
        |text: &str| store.by_plate(&PlateText::from_raw(text).unwrap(), START, TimeMs(START.0 + 1), 9).unwrap();
    assert_eq!(plate("XY99ZZ").len(), 1);
    assert_eq!(plate("AB123CD").len(), 0);
    let hits = store.hits_of(id(5)).unwrap();
    assert_eq!((hits.len(), hits[0].alert.stage), (1, Stage::End));
    // New and End both go to the centre.
    assert_eq!(store.outbox().depth().entries, 2);
}

#[test]
fn reads_without_a_hit_are_kept_only_where_they_may_be() {
    for (hours, kept) in [(24, 1), (0, 0)] {
        let dir = folder();
        let retention = Retention { reads_hours: hours, ..Retention::default() };
        let store = open_on(Arc::new(RealDisk), dir.path(), Settings { retention, ..settings() }).unwrap();
        let entry = |stage| with_pictures(Entry { event: event(7, stage, Some("AB123CD")), hits: Vec::new() }, 50);
        record(&store, [entry(Stage::New), entry(Stage::End), hit_entry(8, Severity::Info)]);
        assert_eq!(store.counts().sightings, kept + 1);
        let scene = store.pictures(id(7)).unwrap().map(|p| (p.crop.len(), p.scene.len()));
        assert_eq!(scene, (kept == 1).then_some((50, 0)), "a mere read keeps its crop, not the street around it");
    }
}

#[test]
fn pictures_that_came_before_the_hit_are_kept_with_it() {
    let dir = folder();
    let store = open(dir.path());
    let first = with_pictures(Entry { event: event(5, Stage::New, Some("AB123CD")), hits: Vec::new() }, 30);
    let mut matched = Entry { event: event(5, Stage::Update, Some("AB123CD")), hits: Vec::new() };
    matched.hits = vec![list_hit(&matched.event, 1, Severity::Info)];
    let mut risen = Entry { event: event(5, Stage::Update, Some("AB123CD")), hits: Vec::new() };
    risen.hits = vec![list_hit(&risen.event, 2, Severity::Critical)];
    let pictures = first.event.pictures.clone();
    record(&store, [first, matched, risen]);
    assert!(store.pictures(id(5)).unwrap() == pictures);
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    // They were sealed anew under the higher class, so they outlive the lower one.
    recorder.handle().destroy(START.day(), RetentionClass::Info, MINUTE).unwrap();
    assert!(store.pictures(id(5)).unwrap() == pictures);
    assert_eq!(store.hits_of(id(5)).unwrap().len(), 1);
}

#[test]
fn a_commit_is_announced_after_it_is_durable() {
    let dir = folder();
    let store = open(dir.path());
    let seen = Arc::new(AtomicUsize::new(0));
    let (counter, reader) = (Arc::clone(&seen), store.clone());
    let on_commit = Box::new(move |commit: &crate::store::Commit| {
        let before = counter.fetch_add(commit.entries, Ordering::SeqCst);
        assert_eq!(reader.counts().hits, (before + commit.entries) as u64);
    });
    let recorder = Recorder::start(&store, Health::new(), on_commit).unwrap();
    for n in 1..=200 {
        recorder.handle().send(hit_entry(n, Severity::Info)).unwrap();
    }
    recorder.handle().flush(MINUTE).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 200);
    assert!(matches!(
        Recorder::start(&store, Health::new(), Box::new(|_| ())),
        Err(crate::store::Error::RecorderRunning)
    ));
    drop(recorder);
    Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
}

#[test]
fn recent_hits_come_newest_first_and_plates_are_found_by_day() {
    let dir = folder();
    let store = open(dir.path());
    record(&store, (1..=30).map(|n| hit_entry(n, Severity::Info)));
    let ids: Vec<EventId> = store.recent_hits(3).unwrap().into_iter().map(|hit| hit.alert.id).collect();
    assert_eq!(ids, [id(30), id(29), id(28)]);
    let plate = PlateText::from_raw("AB123CD").unwrap();
    assert_eq!(store.by_plate(&plate, START, START, 5).unwrap().len(), 5);
    assert_eq!(store.by_plate(&plate, TimeMs(0), TimeMs(START.0 - 86_400_000), 5).unwrap().len(), 0);
    assert_eq!(store.recent_sightings(100).unwrap().len(), 30);
}

#[test]
fn destroying_a_key_deletes_what_it_sealed_and_nothing_else() {
    let dir = folder();
    let store = open(dir.path());
    record(
        &store,
        [with_pictures(hit_entry(1, Severity::Info), 40), with_pictures(hit_entry(2, Severity::Serious), 40)],
    );
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let rows = recorder.handle().destroy(START.day(), RetentionClass::Info, MINUTE).unwrap();
    assert!(rows >= 3, "sighting, hit and plate index, not {rows}");
    let check = |store: &Store| {
        assert!(store.sighting(id(1)).unwrap().is_none());
        assert!(store.pictures(id(1)).unwrap().is_none());
        assert_eq!(store.hits_of(id(1)).unwrap().len(), 0);
        assert!(store.pictures(id(2)).unwrap().unwrap() != Pictures::default());
        assert_eq!((store.counts().hits, store.counts().sightings), (1, 1));
    };
    check(&store);
    assert_eq!(recorder.stop(), 0);
    assert!(events(&store).contains(&"key.destroyed".to_owned()));
    drop(store);
    // Not even a rebuild from the ledger brings it back.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    check(&open(dir.path()));
    let raw = std::fs::read_dir(dir.path().join("evidence").join(START.day().to_string())).unwrap().count();
    assert_eq!(raw, 2);
}

#[test]
fn a_day_of_many_rows_goes_in_parts_and_the_index_is_trusted_afterwards() {
    let dir = folder();
    let store = open(dir.path());
    let read = |n| Entry { event: event(n, Stage::End, Some("AB123CD")), hits: Vec::new() };
    record(&store, (1..=600).map(read).chain([hit_entry(601, Severity::Serious)]));
    let before = store.counts();
    assert_eq!((before.hits, before.sightings), (1, 601));
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let rows = recorder.handle().destroy(START.day(), RetentionClass::Read, MINUTE).unwrap();
    assert!(rows >= 1_200, "600 sightings and their places in the plate index, not {rows}");
    assert_eq!(recorder.stop(), 0);
    drop(store);
    let store = open(dir.path());
    assert_eq!((store.counts().hits, store.counts().sightings), (1, 1));
    let plate = PlateText::from_raw("AB123CD").unwrap();
    assert_eq!(store.by_plate(&plate, START, TimeMs(START.0 + 1), 9).unwrap().len(), 1);
    assert!(!events(&store).contains(&"index.rebuilt".to_owned()));
}

#[test]
fn a_deletion_that_was_cut_short_is_due_again_and_clears_away_what_was_left() {
    let dir = folder();
    let pair = (START.day(), RetentionClass::Info);
    let store = open(dir.path());
    record(&store, (1..=300).map(|n| with_pictures(hit_entry(n, Severity::Info), 40)));
    // The end comes when the key is gone, and nothing else yet.
    store.0.keys.destroy(pair.0, pair.1).unwrap();
    drop(store);

    let store = open(dir.path());
    assert!(store.sighting(id(1)).unwrap().is_none());
    assert_eq!(store.days().unwrap(), [pair], "there is something left to clear away");
    assert_eq!(store.counts().hits, 300);
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    assert!(recorder.handle().destroy(pair.0, pair.1, MINUTE).unwrap() >= 900);
    assert_eq!(recorder.stop(), 0);
    assert!(!store.days().unwrap().contains(&pair));
    assert_eq!((store.counts().hits, store.counts().sightings), (0, 0));
    let folder = dir.path().join("evidence").join(pair.0.to_string());
    assert!(!folder.exists() || std::fs::read_dir(folder).unwrap().next().is_none(), "pictures are left");
    assert_eq!(events(&store).iter().filter(|event| *event == "key.destroyed").count(), 1);
}

#[test]
fn a_release_that_was_cut_short_is_done_to_its_end_at_the_next_opening() {
    let dir = folder();
    let store = open(dir.path());
    record(&store, [hit_entry(1, Severity::Info)]);
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let placed = Mark { at: START, by: "investigator".to_owned(), org: "north".to_owned() };
    let (case, reason) = ("K-1".to_owned(), "court".to_owned());
    let wish = HoldWish { scope: HoldScope::Hit(id(1)), case, reason, review: TimeMs(START.0 + 1), placed };
    let number = recorder.handle().place_hold(wish, MINUTE).unwrap().number;
    recorder.handle().destroy(START.day(), RetentionClass::Info, MINUTE).unwrap();
    assert_eq!(recorder.stop(), 0);
    assert_eq!((store.counts().hits, store.counts().sightings), (1, 1), "the hold keeps it");
    store.0.keys.destroy(number, RetentionClass::Held).unwrap();
    drop(store);

    let store = open(dir.path());
    assert!(store.holds().is_empty() && store.unreadable_holds().is_empty(), "it would hold up every deletion");
    assert_eq!((store.counts().hits, store.counts().sightings), (0, 0));
    assert!(store.sighting(id(1)).unwrap().is_none());
    assert!(store.0.keys.holds().unwrap().is_empty());
}

#[test]
fn the_word_that_a_copy_was_shed_outlives_the_day_that_it_was_said_on() {
    let dir = folder();
    let store = open(dir.path());
    record(&store, [hit_entry(1, Severity::Info), hit_entry(2, Severity::Serious)]);
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let told = |store: &Store| -> Vec<(u64, Option<(u64, u64)>)> {
        let items = store.outbox().next(&std::collections::BTreeSet::new(), 10).unwrap();
        let mut told: Vec<_> = items
            .iter()
            .map(|item| (item.seq, if let Body::Shed(s) = &item.body { Some((s.first, s.last)) } else { None }))
            .collect();
        told.sort_unstable();
        told
    };
    // The alert of the first hit goes with its key; the word of it is made on the same day, and goes on.
    for day in [START.day(), START.day() + 1] {
        recorder.handle().destroy(day, RetentionClass::Info, MINUTE).unwrap();
        assert_eq!(told(&store), [(2, None), (3, Some((1, 1)))], "day {day}");
    }
    assert_eq!(recorder.stop(), 0);
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(told(&open(dir.path())), [(2, None), (3, Some((1, 1)))]);
}

#[test]
fn nothing_on_disk_shows_a_plate() {
    fn files(dir: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, out) } else { out.push(path) }
        }
    }
    let dir = folder();
    record(&open(dir.path()), [hit_entry(1, Severity::Info)]);
    let mut found = Vec::new();
    files(dir.path(), &mut found);
    assert!(found.len() > 6);
    for path in found {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"AB123CD"), "{}", path.display());
    }
}

#[test]
fn the_count_of_the_link_is_kept_and_says_so_when_it_does_not_open() {
    let dir = folder();
    let store = open(dir.path());
    assert_eq!(store.traffic().read().unwrap(), None);
    let book = store.traffic();
    book.write(b"today").unwrap();
    book.write(b"more of today").unwrap();
    drop(store);
    assert!(book.write(b"too late").is_err(), "it keeps no store open");
    let store = open(dir.path());
    assert_eq!(store.traffic().read().unwrap().as_deref(), Some(&b"more of today"[..]));
    std::fs::write(dir.path().join("standing/traffic"), b"WPS1 and noise that nobody sealed").unwrap();
    assert!(store.traffic().read().is_err());
}

#[test]
fn a_store_refuses_another_key_and_a_second_process() {
    let dir = folder();
    let store = open(dir.path());
    let again = Store::open(dir.path(), StoreKey::from_bytes([9; 32]), settings(), clock().1);
    assert!(matches!(again, Err(crate::store::Error::Locked { .. })));
    drop(store);
    let wrong = Store::open(dir.path(), StoreKey::from_bytes([8; 32]), settings(), clock().1);
    assert!(matches!(wrong, Err(crate::store::Error::WrongKey { .. })));
    open(dir.path());
}
