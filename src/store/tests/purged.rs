//! What a deletion leaves on the disk: the raw image of a store, scanned with the store key at hand.
//!
//! The scanner knows nothing of what was deleted when. It unwraps every key that the store key still unwraps, wherever it
//! lies; carves records out of every byte of every file, opens every index row, column block, picture and standing file
//! that any of those keys opens; and looks for plates in all of that, in the raw bytes, and as index values under every
//! key that is left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SimClock};
use crate::domain::{
    CameraId, CameraSpan, HoldScope, HoldWish, Mark, Pictures, PlateText, ReadsAs, Retention, RetentionClass, Severity,
    Stage, TimeMs, Verdict,
};
use crate::health::Health;
use crate::store::disk::RealDisk;
use crate::store::record::{Bytes, Record};
use crate::store::seal::{Cipher, DataKey, class_of};
use crate::store::testkit::{START, event, folder, id, list_hit, settings};
use crate::store::{Attached, AttachedKind, Entry, HandlingWish, Recorder, Settings, Store, StoreKey, standing};

const KEY: [u8; 32] = [9; 32];
const PATIENCE: Duration = Duration::from_secs(20);
const DAY_MS: u64 = 86_400_000;

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Everything that can be read of a store's folder.
struct Image {
    raw: Vec<(PathBuf, Vec<u8>)>,
    opened: Vec<(String, Vec<u8>)>,
    keys: Vec<((u32, RetentionClass), DataKey)>,
}

impl Image {
    fn of(dir: &Path) -> Self {
        // sled writes when it opens: a copy is looked at.
        let copy = folder();
        let mut raw = Vec::new();
        let mut paths = Vec::new();
        files(dir, &mut paths);
        for path in paths {
            let to = copy.path().join(path.strip_prefix(dir).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&path, &to).unwrap();
            raw.push((path.clone(), std::fs::read(&path).unwrap()));
        }
        let mut image = Self { raw, opened: Vec::new(), keys: Vec::new() };
        image.unwrap_keys();
        image.carve_records();
        image.open_pictures();
        image.open_index(&copy.path().join("index"));
        image.open_standing(dir);
        image
    }

    /// Keys that the store key unwraps, at any place of any file.
    fn unwrap_keys(&mut self) {
        let wrapping: Cipher = StoreKey::from_bytes(KEY).wrapping().unwrap();
        for (_, bytes) in &self.raw {
            for at in 0..bytes.len().saturating_sub(68) {
                if &bytes[at..at + 4] != b"WPK1" {
                    continue;
                }
                let (head, sealed) = (&bytes[at..at + 9], &bytes[at + 9..at + 69]);
                let day = u32::from_be_bytes(head[4..8].try_into().unwrap());
                if let (Some(class), Some(secret)) = (class_of(head[8]), wrapping.open(head, sealed)) {
                    let secret: [u8; 32] = secret.try_into().unwrap();
                    self.keys.push(((day, class), DataKey::derive(&secret, day, class).unwrap()));
                }
            }
        }
    }

    /// Records at any place of any file, opened with every key of their day and class.
    fn carve_records(&mut self) {
        let mut opened = Vec::new();
        for (path, bytes) in &self.raw {
            for at in 0..bytes.len() {
                if !(1..=9).contains(&bytes[at]) {
                    continue;
                }
                let Some(record) = Record::decode(&mut Bytes(&bytes[at..])) else { continue };
                opened
                    .extend(self.open(&record).into_iter().map(|plain| (format!("{} at {at}", path.display()), plain)));
            }
        }
        self.opened.extend(opened);
    }

    fn open(&self, record: &Record) -> Vec<Vec<u8>> {
        let aad = crate::store::record::aad(record.kind, record.day, record.class, &record.name);
        let ours = self.keys.iter().filter(|(pair, _)| *pair == (record.day, record.class));
        let ciphers = ours.flat_map(|(_, key)| [&key.value, &key.outbox, &key.evidence]);
        let standing = StoreKey::from_bytes(KEY).standing().unwrap();
        let mut opened: Vec<Vec<u8>> = ciphers.filter_map(|cipher| cipher.open(&aad, &record.body)).collect();
        opened.extend(standing.open(&aad, &record.body));
        opened
    }

    fn open_pictures(&mut self) {
        let mut opened = Vec::new();
        for (path, bytes) in self.raw.iter().filter(|(_, bytes)| bytes.starts_with(b"WPE1") && bytes.len() > 26) {
            let (head, sealed) = bytes.split_at(26);
            let plain = self.keys.iter().filter_map(|(_, key)| key.evidence.open(head, sealed));
            opened.extend(plain.map(|plain| (path.display().to_string(), plain)));
        }
        self.opened.extend(opened);
    }

    /// Every row of every tree: as a record, and as a block of the plate column.
    fn open_index(&mut self, dir: &Path) {
        let db = sled::open(dir).unwrap();
        let mut opened = Vec::new();
        for tree in db.tree_names() {
            for row in &db.open_tree(tree).unwrap() {
                let (key, value) = row.unwrap();
                let mut plain = Vec::new();
                if value.len() > 6 && key.len() > 1 {
                    let head: Vec<u8> = value[..6].to_vec();
                    let mut bytes = head;
                    bytes.push(u8::try_from(key.len() - 1).unwrap_or(255));
                    bytes.extend(&key[1..]);
                    bytes.extend(u32::try_from(value.len() - 6).unwrap().to_be_bytes());
                    bytes.extend(&value[6..]);
                    plain.extend(Record::decode(&mut Bytes(&bytes)).map(|r| self.open(&r)).unwrap_or_default());
                }
                if value.len() > 19 {
                    let (head, sealed) = value.split_at(19);
                    let aad = [b"watchpost column 1", &key[..], head].concat();
                    plain.extend(self.keys.iter().filter_map(|(_, k)| k.value.open(&aad, sealed)));
                }
                opened.extend(plain.into_iter().map(|plain| (format!("index row {:?}", key.first()), plain)));
                opened.push(("index key".to_owned(), key.to_vec()));
            }
        }
        self.opened.extend(opened);
    }

    fn open_standing(&mut self, dir: &Path) {
        let keys = crate::store::daykeys::DayKeys::open(
            &folder().path().join("keys"),
            &StoreKey::from_bytes(KEY),
            crate::store::seal::Random::system(),
            Arc::new(RealDisk),
        );
        for name in ["ignore", "retention", "undated"] {
            let plain = standing::read(dir, keys.as_ref().unwrap(), name).unwrap();
            self.opened.extend(plain.map(|plain| (name.to_owned(), plain)));
        }
    }

    /// Where a plate can be read: as a text in the clear or opened, or as an index value under a key that is left.
    fn shows(&self, plate: &str) -> Vec<String> {
        let wide: Vec<u8> = plate.bytes().flat_map(|byte| [byte, 0]).collect();
        let mut wanted = vec![plate.as_bytes().to_vec(), plate.to_lowercase().into_bytes(), wide];
        wanted.extend(self.keys.iter().map(|(_, key)| key.plate_mac(plate).to_vec()));
        let has = |bytes: &[u8]| wanted.iter().any(|w| bytes.windows(w.len()).any(|window| window == w));
        let raw = self.raw.iter().filter(|(_, bytes)| has(bytes)).map(|(path, _)| path.display().to_string());
        let opened = self.opened.iter().filter(|(_, plain)| has(plain)).map(|(place, _)| place.clone());
        raw.chain(opened).collect()
    }
}

/// A store of several days with everything that can name a plate.
struct Site {
    dir: tempfile::TempDir,
    sim: Arc<SimClock>,
    store: Option<Store>,
    recorder: Option<Recorder>,
}

fn mark() -> Mark {
    Mark { at: START, by: "operator".to_owned(), org: "north".to_owned() }
}

fn plate(text: &str) -> PlateText {
    PlateText::from_raw(text).unwrap()
}

impl Site {
    fn new() -> Self {
        let mut site = Self { dir: folder(), sim: SimClock::at(START), store: None, recorder: None };
        site.open();
        site
    }

    fn open(&mut self) {
        let settings = Settings { outbox_max_entries: 1_000, ..settings() };
        let clock = Clock::of(self.sim.clone());
        let store = Store::open(self.dir.path(), StoreKey::from_bytes(KEY), settings, clock).unwrap();
        self.recorder = Some(Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap());
        self.store = Some(store);
    }

    fn close(&mut self) {
        assert_eq!(self.recorder.take().unwrap().stop(), 0);
        self.store = None;
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn recorder(&self) -> crate::store::RecorderHandle {
        self.recorder.as_ref().unwrap().handle()
    }

    /// Sighting `n` of day `day` with pictures that show the plate, and hits.
    fn pass(&self, n: u64, day: u64, text: &str, hits: &[Severity]) {
        let mut event = event(n, Stage::End, Some(text));
        let begin = START.0 + day * DAY_MS + n;
        event.sighting.id = id_of(n, day);
        (event.sighting.begin, event.sighting.end) = (TimeMs(begin), TimeMs(begin + 900));
        // Candidates of the fixture are other plates: this one alone is looked for.
        event.sighting.read.as_mut().unwrap().candidates.truncate(1);
        let picture = |what: &str| format!("{what} that shows {text}").into_bytes();
        event.pictures = Some(Pictures { crop: picture("crop"), scene: picture("scene") });
        let hit = !hits.is_empty();
        let hits = hits.iter().zip(1..).map(|(severity, entry)| list_hit(&event, entry, *severity)).collect();
        self.recorder().send(Entry { event, hits }).unwrap();
        self.recorder().flush(PATIENCE).unwrap();
        if !hit {
            return;
        }
        let about = super::attached::footage(begin);
        let bytes = format!("clip that shows {text}").into_bytes();
        let clip = Attached { id: id_of(n, day), what: AttachedKind::Clip, about, bytes };
        assert!(self.recorder().attach(&clip, PATIENCE).unwrap());
    }

    fn hold(&self, scope: HoldScope) -> u32 {
        let wish = HoldWish {
            scope,
            case: "K-1".to_owned(),
            reason: "court".to_owned(),
            review: TimeMs(START.0 + 90 * DAY_MS),
            placed: mark(),
        };
        self.recorder().place_hold(wish, PATIENCE).unwrap().number
    }

    fn purge_all(&self) {
        for (day, class) in self.store().days().unwrap() {
            self.recorder().destroy(day, class, PATIENCE).unwrap();
        }
    }

    fn misread(&self, n: u64, day: u64, truly: &str) {
        let verdict = Some((Verdict::Misread, Some(plate(truly))));
        let wish = HandlingWish { id: id_of(n, day), cause: None, verdict, close: false, mark: mark() };
        self.recorder().handle(wish, PATIENCE).unwrap();
    }

    fn image(&mut self) -> Image {
        self.close();
        let image = Image::of(self.dir.path());
        self.open();
        image
    }
}

fn id_of(n: u64, day: u64) -> crate::domain::EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    crate::domain::EventId::from_parts(START.0 + day * DAY_MS + n, random)
}

/// Plates that are purged, and those that one hold each keeps.
const GONE: [&str; 5] = ["GONE1AA", "GONE2BB", "GONE3CC", "GONE4DD", "TRUE5EE"];
const HELD: [&str; 4] = ["HELDBYID", "HELDPLATE", "HELDSPAN", "HELDTRUE"];

fn filled() -> (Site, Vec<u32>) {
    let site = Site::new();
    site.pass(1, 0, "GONE1AA", &[]);
    site.pass(2, 0, "GONE2BB", &[Severity::Info]);
    site.pass(3, 1, "GONE3CC", &[Severity::Info, Severity::Serious]);
    site.pass(4, 1, "GONE4DD", &[Severity::Critical]);
    site.misread(2, 0, "TRUE5EE");
    site.pass(11, 0, "HELDBYID", &[Severity::Minor, Severity::Critical]);
    site.pass(12, 1, "HELDPLATE", &[]);
    site.pass(13, 2, "HELDSPAN", &[Severity::Info]);
    site.pass(14, 0, "MISREAD1", &[Severity::Minor]);
    site.misread(14, 0, "HELDTRUE");
    let span = CameraSpan {
        camera: CameraId::new("gate").unwrap(),
        number: Some(3),
        from: TimeMs(START.0 + 2 * DAY_MS),
        to: TimeMs(START.0 + 3 * DAY_MS),
    };
    let holds = vec![
        site.hold(HoldScope::Hit(id_of(11, 0))),
        site.hold(HoldScope::Plate(plate("HELDPLATE"))),
        site.hold(HoldScope::Span(span)),
        site.hold(HoldScope::Plate(plate("HELDTRUE"))),
    ];
    site.sim.advance(Duration::from_hours(24 * 3));
    (site, holds)
}

#[test]
fn a_purge_leaves_no_plate_that_the_store_key_still_opens_but_what_is_held() {
    let (mut site, holds) = filled();
    let before = site.image();
    for plate in GONE.into_iter().chain(HELD) {
        let places = before.shows(plate);
        assert!(places.len() >= 2, "the scanner finds what is there: {plate} at {places:?}");
    }
    site.purge_all();
    let after = site.image();
    for plate in GONE {
        assert_eq!(after.shows(plate), Vec::<String>::new(), "{plate}");
    }
    for plate in HELD {
        assert!(!after.shows(plate).is_empty(), "{plate} is held");
    }
    // What is held is whole: sighting, hits, handling, pictures, and can be searched for.
    let store = site.store();
    assert_eq!(store.hits_of(id_of(11, 0)).unwrap().len(), 2);
    assert_eq!(store.pictures(id_of(11, 0)).unwrap().unwrap().scene, b"scene that shows HELDBYID");
    let (_, clip) = store.attachment(id_of(11, 0), AttachedKind::Clip).unwrap().unwrap();
    assert_eq!(clip, b"clip that shows HELDBYID");
    assert_eq!(store.pictures(id_of(12, 1)).unwrap().unwrap().crop, b"crop that shows HELDPLATE");
    let hit = &store.hits_of(id_of(14, 0)).unwrap()[0];
    assert_eq!(hit.handling.verdict.as_ref().unwrap().true_plate, Some(plate("HELDTRUE")));
    let found = store.by_plate(&plate("HELDPLATE"), START, TimeMs(START.0 + 9 * DAY_MS), 9).unwrap();
    assert_eq!(found.len(), 1);

    for (held, number) in HELD.into_iter().zip(holds) {
        site.recorder().release_hold(number, PATIENCE).unwrap();
        let image = site.image();
        assert_eq!(image.shows(held), Vec::<String>::new(), "{held} was released");
    }
    assert_eq!(site.image().shows("MISREAD1"), Vec::<String>::new());
    assert_eq!((site.store().counts().sightings, site.store().counts().hits), (0, 0));
}

#[test]
fn a_purge_without_holds_leaves_no_plate_of_any_kind_of_read() {
    for reads in [ReadsAs::Plain, ReadsAs::Hashed] {
        let mut site = Site::new();
        site.store().set_retention(Some((Retention { reads, ..Retention::default() }, mark()))).unwrap();
        for n in 1..=40 {
            let hits: &[Severity] = if n % 5 == 0 { &[Severity::Serious] } else { &[] };
            site.pass(n, n % 2, "GONE1AA", hits);
        }
        assert!(!site.image().shows("GONE1AA").is_empty());
        site.sim.advance(Duration::from_hours(72));
        site.purge_all();
        assert_eq!(site.image().shows("GONE1AA"), Vec::<String>::new(), "{reads}");
    }
}

#[test]
fn a_hashed_read_is_found_by_its_exact_plate_and_by_nothing_else() {
    let mut site = Site::new();
    site.store().set_retention(Some((Retention { reads: ReadsAs::Hashed, ..Retention::default() }, mark()))).unwrap();
    site.pass(1, 0, "HASHED1A", &[]);
    site.pass(2, 0, "HASHED2B", &[Severity::Info]);
    let image = site.image();
    let texts =
        |needle: &str| image.opened.iter().filter(|(_, p)| p.windows(8).any(|w| w == needle.as_bytes())).count();
    assert_eq!(texts("HASHED1A"), 0, "its text is nowhere, sealed or not");
    assert!(texts("HASHED2B") > 0, "a hit is stored as ever");
    let store = site.store();
    let by_plate = |text| store.by_plate(&plate(text), START, TimeMs(START.0 + DAY_MS), 9).unwrap();
    let found = by_plate("HASHED1A");
    assert_eq!((found.len(), found[0].id, found[0].camera.as_str()), (1, id_of(1, 0), "gate"));
    assert_eq!(found[0].read.as_ref().unwrap().text, plate("HASHED1A"));
    assert_eq!(by_plate("HASHED1B").len(), 0);
    let bare = store.sighting(id_of(1, 0)).unwrap().unwrap();
    assert!(bare.read.is_none() && bare.vehicle.is_none() && bare.direction.is_none());
    assert!(store.pictures(id_of(1, 0)).unwrap().unwrap().crop.is_empty());
    let mut all = Vec::new();
    let sought = crate::store::Sought::default();
    store
        .search_reads(&sought, None, &mut |s| {
            all.push(s.id);
            crate::store::Visit::On
        })
        .unwrap();
    assert_eq!(all, [id_of(2, 0)], "a search by anything else does not see it");

    // Under a hold on its plate it can still be found when its day is gone, under another hold it only stays.
    site.hold(HoldScope::Plate(plate("HASHED1A")));
    site.sim.advance(Duration::from_hours(72));
    site.purge_all();
    let found = site.store().by_plate(&plate("HASHED1A"), START, TimeMs(START.0 + DAY_MS), 9).unwrap();
    assert_eq!(found.len(), 1);
    let texts = site.image().opened;
    let held: BTreeMap<_, usize> = texts.iter().filter(|(_, p)| p.windows(8).any(|w| w == b"HASHED1A")).fold(
        BTreeMap::new(),
        |mut map, (place, _)| {
            *map.entry(place.clone()).or_default() += 1;
            map
        },
    );
    assert!(!held.is_empty(), "the hold names it");
}

#[test]
fn what_two_holds_keep_stays_until_both_are_released_also_over_restarts_and_a_new_index() {
    let (mut site, _) = filled();
    let other = site.hold(HoldScope::Plate(plate("HELDBYID")));
    site.purge_all();
    site.recorder().release_hold(1, PATIENCE).unwrap();
    assert_eq!(site.store().hits_of(id_of(11, 0)).unwrap().len(), 2, "the other one keeps it");
    site.close();
    std::fs::remove_dir_all(site.dir.path().join("index")).unwrap();
    site.open();
    assert_eq!(site.store().hits_of(id_of(11, 0)).unwrap().len(), 2, "the ledger has it all");
    assert_eq!(site.store().holds().iter().map(|hold| hold.number).collect::<Vec<_>>(), [2, 3, 4, other]);
    site.recorder().release_hold(other, PATIENCE).unwrap();
    assert!(site.store().hits_of(id_of(11, 0)).unwrap().is_empty());
    assert_eq!(site.image().shows("HELDBYID"), Vec::<String>::new());
    let numbers: BTreeSet<u32> = site.store().holds().iter().map(|hold| hold.number).collect();
    assert_eq!(site.hold(HoldScope::Plate(plate("NEXT1"))), other + 1, "numbers are not used twice: {numbers:?}");
}

#[test]
fn nothing_is_deleted_while_a_hold_does_not_open_until_it_is_released() {
    let (mut site, holds) = filled();
    site.close();
    // Its key is there and its record is not: the hold's key file is exchanged for that of another store.
    for end in ["key", "copy"] {
        let path = site.dir.path().join(format!("keys/{}-5.{end}", holds[1]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    site.open();
    assert_eq!(site.store().unreadable_holds(), [holds[1]]);
    let refused = site.recorder().destroy(START.day(), RetentionClass::Read, PATIENCE).unwrap_err();
    assert!(refused.to_string().contains("hold release 2"), "{refused}");
    assert_eq!(site.store().counts().sightings, 8);
    site.recorder().release_hold(holds[1], PATIENCE).unwrap();
    site.recorder().destroy(START.day(), RetentionClass::Read, PATIENCE).unwrap();
    assert!(site.store().sighting(id_of(1, 0)).unwrap().is_none());
    assert!(id(1) != id_of(1, 1));
}
