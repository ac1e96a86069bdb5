//! Searching, held to a plain model in memory: what is written, changed, deleted, restarted and rebuilt is found as the
//! model finds it, page after page.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::clock::SimClock;
use crate::domain::{CameraId, Class, EventId, How, PlatePattern, RetentionClass, Severity, Stage, TimeMs};
use crate::health::Health;
use crate::store::column::Shelf;
use crate::store::testkit::{START, event, folder, id, list_hit, settings};
use crate::store::{Entry, Place, Recorder, Sought, Store, StoreKey, Visit};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR_MS: u64 = 3_600_000;
const PLATES: [&str; 6] = ["AB123CD", "A8123CD", "AB123C", "XY99ZZ", "XY99Z", "48OG"];
const CLASSES: [RetentionClass; 5] = [
    RetentionClass::Read,
    RetentionClass::Info,
    RetentionClass::Minor,
    RetentionClass::Serious,
    RetentionClass::Critical,
];

/// What is done to a store.
#[derive(Debug, Clone)]
enum Step {
    /// Something of sighting `n` is told: its plate, whether it ends, its hits (entry, severity).
    Tell { n: u64, plate: Option<usize>, end: bool, hits: Vec<(u32, Severity)> },
    /// The key of a day (counted from the first) and class is destroyed.
    Destroy { day: u32, class: RetentionClass },
    /// The store is closed and opened, after its index was taken away.
    Restart { rebuild: bool },
    /// A page is turned.
    Ask,
}

/// A row of the model.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    day: u32,
    class: RetentionClass,
    plate: Option<&'static str>,
    camera: &'static str,
    what: Class,
}

#[derive(Default)]
struct Model {
    reads: BTreeMap<EventId, Row>,
    hits: BTreeMap<(EventId, u32), Row>,
    open: HashMap<u64, RetentionClass>,
    gone: Vec<(u32, RetentionClass)>,
}

/// The time of sighting `n`: seven days have one every two hours.
fn at(n: u64) -> u64 {
    START.0 + n * 2 * HOUR_MS
}

fn camera_of(n: u64) -> &'static str {
    if n.is_multiple_of(3) { "gate" } else { "yard" }
}

fn class_of(n: u64) -> Class {
    if n.is_multiple_of(2) { Class::Car } else { Class::Truck }
}

fn id_of(n: u64) -> EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventId::from_parts(at(n), random)
}

fn today() -> TimeMs {
    TimeMs(START.0 + 20 * 24 * HOUR_MS)
}

impl Model {
    fn key(&self, day: u32, class: RetentionClass) -> u32 {
        if self.gone.contains(&(day, class)) { today().day() } else { day }
    }

    fn tell(&mut self, n: u64, plate: Option<usize>, end: bool, hits: &[(u32, Severity)]) {
        let day = TimeMs(at(n)).day();
        let row =
            |day, class| Row { day, class, plate: plate.map(|p| PLATES[p]), camera: camera_of(n), what: class_of(n) };
        let most = hits.iter().map(|(_, s)| RetentionClass::from(*s)).chain(self.open.get(&n).copied()).max();
        if most.is_some() || end {
            let class = most.unwrap_or(RetentionClass::Read);
            self.reads.insert(id_of(n), row(self.key(day, class), class));
        }
        for (entry, severity) in hits {
            let class = RetentionClass::from(*severity);
            self.hits.insert((id_of(n), *entry), row(self.key(day, class), class));
        }
        match most {
            Some(class) if !end => self.open.insert(n, class),
            _ => self.open.remove(&n),
        };
    }

    fn destroy(&mut self, day: u32, class: RetentionClass) {
        self.gone.push((day, class));
        self.reads.retain(|_, row| (row.day, row.class) != (day, class));
        self.hits.retain(|_, row| (row.day, row.class) != (day, class));
    }

    fn fits(sought: &Sought, id: EventId, row: &Row) -> bool {
        let ms = crate::store::column::ms_of(&id);
        (sought.from.0..=sought.to.0).contains(&ms)
            && sought.plate.as_ref().is_none_or(|p| p.matches(row.plate.unwrap_or("").as_bytes()))
            && (sought.cameras.is_empty() || sought.cameras.iter().any(|c| c.as_str() == row.camera))
            && (sought.classes.is_empty() || sought.classes.contains(&row.what))
            && (sought.severities.is_empty() || sought.severities.iter().any(|s| RetentionClass::from(*s) == row.class))
    }

    /// What fits, newest first: ids and, of hits, entries.
    fn find(&self, shelf: Shelf, sought: &Sought) -> Vec<(EventId, u32)> {
        let mut found: Vec<(EventId, u32)> = match shelf {
            Shelf::Sightings => {
                let reads = self.reads.iter().filter(|(id, row)| row.plate.is_some() && Self::fits(sought, **id, row));
                reads.map(|(id, _)| (*id, 0)).collect()
            }
            Shelf::Hits => {
                let hits = self
                    .hits
                    .iter()
                    .filter(|((id, _), row)| self.reads.contains_key(id) && Self::fits(sought, *id, row));
                hits.map(|(key, _)| *key).collect()
            }
        };
        found.reverse();
        found
    }
}

struct Site {
    dir: tempfile::TempDir,
    store: Option<Store>,
    recorder: Option<Recorder>,
}

impl Site {
    fn new() -> Self {
        let mut site = Self { dir: folder(), store: None, recorder: None };
        site.open();
        site
    }

    fn open(&mut self) {
        let clock = Clock::of(SimClock::at(today()));
        let store = Store::open(self.dir.path(), StoreKey::from_bytes([9; 32]), settings(), clock).unwrap();
        self.recorder = Some(Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap());
        self.store = Some(store);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().unwrap()
    }

    fn tell(&self, n: u64, plate: Option<usize>, end: bool, hits: &[(u32, Severity)]) {
        let stage = if end { Stage::End } else { Stage::Update };
        let mut event = event(1, stage, plate.map(|p| PLATES[p]));
        event.sighting.id = id_of(n);
        event.sighting.begin = TimeMs(at(n));
        event.sighting.end = TimeMs(at(n) + 900);
        event.sighting.camera = CameraId::new(camera_of(n)).unwrap();
        event.sighting.class = class_of(n);
        let hits = hits.iter().map(|(entry, severity)| list_hit(&event, *entry, *severity)).collect();
        self.recorder().handle().send(Entry { event, hits }).unwrap();
        self.recorder().handle().flush(MINUTE).unwrap();
    }

    fn restart(&mut self, rebuild: bool) {
        self.recorder = None;
        self.store = None;
        if rebuild {
            std::fs::remove_dir_all(self.dir.path().join("index")).unwrap();
        }
        self.open();
    }

    fn run(&mut self, model: &mut Model, step: &Step) {
        match step {
            Step::Tell { n, plate, end, hits } => {
                self.tell(*n, *plate, *end, hits);
                model.tell(*n, *plate, *end, hits);
            }
            Step::Destroy { day, class } => {
                self.recorder().handle().destroy(START.day() + day, *class, MINUTE).unwrap();
                model.destroy(START.day() + day, *class);
            }
            Step::Restart { rebuild } => {
                // A row that moved to another class and was deleted there is found under its old one after a rebuild, as long
                // as that key lives: the ledger still has it. Not what is looked at here.
                self.restart(*rebuild && model.gone.is_empty());
                model.open.clear();
            }
            Step::Ask => {}
        }
    }
}

/// One page of at most `rows`, and the place behind it.
fn page(
    store: &Store,
    shelf: Shelf,
    sought: &Sought,
    after: Option<Place>,
    rows: usize,
) -> (Vec<(EventId, u32)>, Option<Place>) {
    let mut found = Vec::new();
    let next = match shelf {
        Shelf::Sightings => store.search_reads(sought, after, &mut |sighting| {
            if found.len() == rows {
                return Visit::Full;
            }
            found.push((sighting.id, 0));
            Visit::On
        }),
        Shelf::Hits => store.search_hits(sought, after, &mut |hit, sighting| {
            assert_eq!(hit.alert.id, sighting.id);
            if found.len() == rows {
                return Visit::Full;
            }
            found.push((sighting.id, hit.alert.matched.as_ref().unwrap().entry));
            Visit::On
        }),
    };
    let next = next.unwrap().map(|place| Place::parse(&place.bytes()).unwrap());
    (found, next)
}

fn all(store: &Store, shelf: Shelf, sought: &Sought, rows: usize) -> Vec<(EventId, u32)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (some, next) = page(store, shelf, sought, after, rows);
        found.extend(some);
        match next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

fn severity() -> impl Strategy<Value = Severity> {
    proptest::sample::select(Severity::ALL.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    let plate = proptest::option::weighted(0.9, 0..PLATES.len());
    let hits = proptest::collection::vec((1..9_u32).prop_map(|entry| (entry, Severity::ALL[entry as usize % 4])), 0..3);
    prop_oneof![
        14 => (0..84_u64, plate, any::<bool>(), hits).prop_map(|(n, plate, end, hits)| Step::Tell { n, plate, end, hits }),
        1 => (0..7_u32, proptest::sample::select(CLASSES.to_vec())).prop_map(|(day, class)| Step::Destroy { day, class }),
        1 => any::<bool>().prop_map(|rebuild| Step::Restart { rebuild }),
        5 => Just(Step::Ask),
    ]
}

fn sought() -> impl Strategy<Value = Sought> {
    let plates = ["AB123CD", "A*", "?B12*D", "*", "*99*", "48?G", "ABO"];
    let how = proptest::sample::select(vec![How::Exact, How::Confusable, How::Near]);
    let plate = proptest::option::of((proptest::sample::select(plates.to_vec()), how))
        .prop_map(|given| given.and_then(|(text, how)| PlatePattern::new(text, how).ok()));
    let span = proptest::option::of((0..84_u64, 0..84_u64));
    let camera = proptest::option::weighted(0.2, Just(CameraId::new("gate").unwrap()));
    let class = proptest::option::weighted(0.2, Just(Class::Truck));
    let severities = proptest::collection::vec(severity(), 0..2);
    (plate, span, camera, class, severities).prop_map(|(plate, span, camera, class, severities)| Sought {
        plate,
        from: TimeMs(span.map_or(0, |(a, b)| at(a.min(b)))),
        to: TimeMs(span.map_or(u64::MAX, |(a, b)| at(a.max(b)))),
        cameras: camera.into_iter().collect(),
        classes: class.into_iter().collect(),
        severities,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_the_model_finds(
        steps in proptest::collection::vec(step(), 20..90),
        asked in proptest::collection::vec(sought(), 12),
        rows in 1..9_usize,
    ) {
        let (mut site, mut model) = (Site::new(), Model::default());
        for step in &steps {
            site.run(&mut model, step);
        }
        for sought in &asked {
            for shelf in [Shelf::Sightings, Shelf::Hits] {
                let sought = if shelf == Shelf::Sightings {
                    Sought { severities: Vec::new(), ..sought.clone() }
                } else {
                    sought.clone()
                };
                prop_assert_eq!(all(site.store(), shelf, &sought, rows), model.find(shelf, &sought), "{:?}", sought);
            }
        }
    }

    #[test]
    fn pages_stay_whole_while_rows_are_written_changed_and_deleted(
        first in proptest::collection::vec(step(), 10..60),
        then in proptest::collection::vec(step(), 10..60),
        sought in sought(),
        hits in any::<bool>(),
    ) {
        let (mut site, mut model) = (Site::new(), Model::default());
        for step in &first {
            site.run(&mut model, step);
        }
        let shelf = if hits { Shelf::Hits } else { Shelf::Sightings };
        let sought = if hits { sought } else { Sought { severities: Vec::new(), ..sought } };
        // What fits from the first page to the last has to be told.
        let mut always = model.find(shelf, &sought);
        let (mut told, mut after, mut over) = (Vec::new(), None, false);
        let mut steps = then.iter().chain(std::iter::repeat(&Step::Ask));
        while !over {
            let Some(step) = steps.next() else { break };
            site.run(&mut model, step);
            let now = model.find(shelf, &sought);
            always.retain(|name| now.contains(name));
            if matches!(step, Step::Ask) {
                let (some, next) = page(site.store(), shelf, &sought, after, 2);
                prop_assert!(some.iter().all(|name| now.contains(name)));
                told.extend(some);
                over = next.is_none();
                after = next;
            }
        }
        prop_assert!(told.is_sorted_by(|a, b| a > b), "newest first, each once: {:?}", told);
        prop_assert!(always.iter().all(|name| told.contains(name)), "{:?} not all in {:?}", always, told);
    }
}

#[test]
fn an_index_of_an_older_version_is_made_anew_with_its_column() {
    let mut site = Site::new();
    for n in 0..20 {
        site.tell(n, Some(0), true, &[]);
    }
    let sought = Sought { plate: PlatePattern::new("AB1*", How::Exact).ok(), ..Sought::default() };
    site.recorder = None;
    site.store = None;
    // A child that another test starts holds the lock as well, from its fork until its exec.
    let open = || sled::open(site.dir.path().join("index")).ok();
    let db = (0..500)
        .find_map(|_| {
            let db = open();
            db.is_none().then(|| std::thread::sleep(Duration::from_millis(10)));
            db
        })
        .unwrap();
    let mut meta = db.get(b"m").unwrap().unwrap().to_vec();
    meta[0] = 1;
    db.insert(b"m", meta).unwrap();
    db.flush().unwrap();
    drop(db);
    site.open();
    assert_eq!(all(site.store(), Shelf::Sightings, &sought, 100).len(), 20);
}

#[test]
fn blocks_are_merged_and_days_that_are_over_are_tidied() {
    let site = Site::new();
    // 40 of the first day, one at a time, and one much later: its checkpoint tidies the first day.
    for n in 0..40 {
        let mut event = event(n, Stage::End, Some("AB123CD"));
        event.sighting.id = id(n);
        site.recorder().handle().send(Entry { event, hits: Vec::new() }).unwrap();
        site.recorder().handle().flush(MINUTE).unwrap();
    }
    site.tell(60, Some(0), true, &[]);
    site.recorder().handle().destroy(1, RetentionClass::Read, MINUTE).unwrap();
    let (small, full) = site.store().0.index().block_counts();
    assert!(small <= 2 && full >= 4, "{small} small, {full} full");
    assert_eq!(all(site.store(), Shelf::Sightings, &Sought::default(), 7).len(), 41);
}

#[test]
fn a_search_goes_on_while_the_recorder_merges_under_it() {
    let site = Site::new();
    for n in 0..30 {
        site.tell(n, Some(0), true, &[]);
    }
    let (store, stop) = (site.store().clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let over = Arc::clone(&stop);
    let asking = std::thread::spawn(move || {
        let sought =
            Sought { plate: PlatePattern::new("AB*", How::Exact).ok(), to: TimeMs(at(29)), ..Sought::default() };
        let mut rounds = 0;
        while !over.load(std::sync::atomic::Ordering::SeqCst) || rounds == 0 {
            assert_eq!(all(&store, Shelf::Sightings, &sought, 5).len(), 30);
            rounds += 1;
        }
    });
    for n in 100..400 {
        site.tell(n % 12 + 30, Some(0), true, &[(u32::try_from(n).unwrap(), Severity::Info)]);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    asking.join().unwrap();
}
