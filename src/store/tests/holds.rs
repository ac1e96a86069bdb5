//! Holds and purges against a model: what is kept, whatever is placed, released, deleted, judged, reopened and rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::clock::{Clock, SimClock};
use crate::domain::hit::HitCauseKey;
use crate::domain::{
    CameraId, CameraSpan, EventId, HoldScope, HoldWish, Mark, PlateText, RetentionClass, Severity, Stage, TimeMs,
    Verdict,
};
use crate::health::Health;
use crate::store::testkit::{START, event, folder, list_hit, settings};
use crate::store::{Entry, HandlingWish, Recorder, Store, StoreKey};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY_MS: u64 = 86_400_000;
const PLATES: [&str; 3] = ["AAA111", "BBB222", "CCC333"];
const CLASSES: [RetentionClass; 3] = [RetentionClass::Read, RetentionClass::Info, RetentionClass::Serious];

#[derive(Debug, Clone)]
enum Step {
    /// A sighting of a day with a plate, and hits of severities.
    Pass {
        day: u64,
        plate: usize,
        info: bool,
        serious: bool,
    },
    /// The nth sighting's info hit was a misread of a plate.
    Misread {
        nth: usize,
        plate: usize,
    },
    HoldHit {
        nth: usize,
    },
    HoldPlate {
        plate: usize,
    },
    HoldDay {
        day: u64,
    },
    Release {
        nth: usize,
    },
    Purge {
        day: u64,
        class: usize,
    },
    Reopen {
        without_index: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2_u64, 0..3_usize, any::<bool>(), any::<bool>())
            .prop_map(|(day, plate, info, serious)| Step::Pass { day, plate, info, serious }),
        2 => (any::<usize>(), 0..3_usize).prop_map(|(nth, plate)| Step::Misread { nth, plate }),
        2 => any::<usize>().prop_map(|nth| Step::HoldHit { nth }),
        2 => (0..3_usize).prop_map(|plate| Step::HoldPlate { plate }),
        1 => (0..2_u64).prop_map(|day| Step::HoldDay { day }),
        2 => any::<usize>().prop_map(|nth| Step::Release { nth }),
        4 => (0..2_u64, 0..3_usize).prop_map(|(day, class)| Step::Purge { day, class }),
        1 => any::<bool>().prop_map(|without_index| Step::Reopen { without_index }),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Where a row lies.
type Pair = (u32, RetentionClass);

/// A sighting as the model has it; what is gone is `None`.
#[derive(Debug, Clone)]
struct Passed {
    plate: usize,
    day: u64,
    sighting: Option<Pair>,
    /// Info and serious hit.
    hits: [Option<Pair>; 2],
    /// Of the info hit.
    truly: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Scope {
    Hit(u64),
    Plate(usize),
    Day(u64),
}

#[derive(Debug, Default)]
struct Model {
    passed: BTreeMap<u64, Passed>,
    holds: BTreeMap<u32, Scope>,
    purged: BTreeSet<Pair>,
    newest_hold: u32,
}

impl Model {
    fn keeping(&self, n: u64, except: Option<u32>) -> Option<u32> {
        let p = &self.passed[&n];
        let alive = p.sighting.is_some() || p.hits.iter().any(Option::is_some);
        let truly = p.truly.filter(|_| p.hits[0].is_some());
        let fits = |scope: &Scope| match scope {
            Scope::Hit(id) => *id == n,
            Scope::Plate(plate) => alive && (p.plate == *plate || truly == Some(*plate)),
            Scope::Day(day) => alive && p.day == *day,
        };
        self.holds.iter().find(|(number, scope)| Some(**number) != except && fits(scope)).map(|(number, _)| *number)
    }

    /// Rows of the pair go, or under a hold.
    fn destroy(&mut self, pair: Pair, except: Option<u32>) {
        let to: BTreeMap<u64, Option<Pair>> = self
            .passed
            .keys()
            .map(|n| (*n, self.keeping(*n, except).map(|hold| (hold, RetentionClass::Held))))
            .collect();
        for (n, p) in &mut self.passed {
            for row in std::iter::once(&mut p.sighting).chain(&mut p.hits) {
                if *row == Some(pair) {
                    *row = to[n];
                }
            }
        }
        self.purged.insert(pair);
    }
}

struct Site {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Option<Store>,
    recorder: Option<Recorder>,
    model: Model,
    next: u64,
}

fn id_of(n: u64) -> EventId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventId::from_parts(START.0 + n, random)
}

fn mark() -> Mark {
    Mark { at: START, by: "operator".to_owned(), org: "north".to_owned() }
}

fn plate(index: usize) -> PlateText {
    PlateText::from_raw(PLATES[index]).unwrap()
}

fn day_of(day: u64) -> u32 {
    START.day() + u32::try_from(day).unwrap()
}

impl Site {
    fn new() -> Self {
        // Five days later: what is stored of a day that is gone already is stored as of today.
        let clock = Clock::of(SimClock::at(TimeMs(START.0 + 5 * DAY_MS)));
        let mut site = Self { dir: folder(), clock, store: None, recorder: None, model: Model::default(), next: 1 };
        site.open();
        site
    }

    fn open(&mut self) {
        let store =
            Store::open(self.dir.path(), StoreKey::from_bytes([9; 32]), settings(), self.clock.clone()).unwrap();
        self.recorder = Some(Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap());
        self.store = Some(store);
    }

    fn recorder(&self) -> crate::store::RecorderHandle {
        self.recorder.as_ref().unwrap().handle()
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn nth(&self, nth: usize) -> Option<u64> {
        let all: Vec<u64> = self.model.passed.keys().copied().collect();
        (!all.is_empty()).then(|| all[nth % all.len()])
    }

    fn hold(&mut self, scope: HoldScope, modelled: Scope) {
        let wish =
            HoldWish { scope, case: "K-1".to_owned(), reason: "court".to_owned(), review: START, placed: mark() };
        let hold = self.recorder().place_hold(wish, PATIENCE).unwrap();
        assert_eq!(hold.number, self.model.newest_hold + 1, "numbers are not used twice");
        self.model.newest_hold = hold.number;
        self.model.holds.insert(hold.number, modelled);
    }

    fn pass(&mut self, day: u64, index: usize, severities: &[Severity]) {
        let n = self.next;
        self.next += 1;
        let mut event = event(1, Stage::End, Some(PLATES[index]));
        event.sighting.id = id_of(n);
        (event.sighting.begin, event.sighting.end) =
            (TimeMs(START.0 + day * DAY_MS + n), TimeMs(START.0 + day * DAY_MS + n + 900));
        event.cause_at = event.sighting.end;
        let entry = |severity: &Severity| if *severity == Severity::Info { 1 } else { 2 };
        let hits: Vec<_> = severities.iter().map(|s| list_hit(&event, entry(s), *s)).collect();
        self.recorder().send(Entry { event, hits }).unwrap();
        self.recorder().flush(PATIENCE).unwrap();
        let class = severities.iter().map(|s| RetentionClass::from(*s)).max().unwrap_or(RetentionClass::Read);
        let pair = |class: RetentionClass| {
            let day = if self.model.purged.contains(&(day_of(day), class)) { day_of(5) } else { day_of(day) };
            (day, class)
        };
        let hit = |severity: Severity| severities.contains(&severity).then(|| pair(severity.into()));
        let hits = [hit(Severity::Info), hit(Severity::Serious)];
        let passed = Passed { plate: index, day, sighting: Some(pair(class)), hits, truly: None };
        self.model.passed.insert(n, passed);
    }

    fn misread(&mut self, n: u64, index: usize) {
        let wish = HandlingWish {
            id: id_of(n),
            cause: Some(HitCauseKey::List(2, 1)),
            verdict: Some((Verdict::Misread, Some(plate(index)))),
            close: false,
            mark: mark(),
        };
        let done = self.recorder().handle(wish, PATIENCE);
        let passed = self.model.passed.get_mut(&n).unwrap();
        let may = passed.hits[0].is_some() && passed.plate != index;
        assert_eq!(done.is_ok(), may, "{done:?}");
        if may {
            passed.truly = Some(index);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass { day, plate, info, serious } => {
                let wanted = [(info, Severity::Info), (serious, Severity::Serious)];
                let severities: Vec<Severity> = wanted.into_iter().filter(|(is, _)| *is).map(|(_, s)| s).collect();
                self.pass(day, plate, &severities);
            }
            Step::Misread { nth, plate } => {
                if let Some(n) = self.nth(nth) {
                    self.misread(n, plate);
                }
            }
            Step::HoldHit { nth } => {
                if let Some(n) = self.nth(nth) {
                    self.hold(HoldScope::Hit(id_of(n)), Scope::Hit(n));
                }
            }
            Step::HoldPlate { plate: index } => self.hold(HoldScope::Plate(plate(index)), Scope::Plate(index)),
            Step::HoldDay { day } => {
                let from = TimeMs(START.0 + day * DAY_MS);
                let camera = CameraId::new("gate").unwrap();
                let span = CameraSpan { camera, number: Some(3), from, to: TimeMs(from.0 + DAY_MS - 1) };
                self.hold(HoldScope::Span(span), Scope::Day(day));
            }
            Step::Release { nth } => {
                let all: Vec<u32> = self.model.holds.keys().copied().collect();
                if all.is_empty() {
                    assert!(self.recorder().release_hold(77, PATIENCE).is_err());
                } else {
                    let number = all[nth % all.len()];
                    self.recorder().release_hold(number, PATIENCE).unwrap();
                    self.model.destroy((number, RetentionClass::Held), Some(number));
                    self.model.holds.remove(&number);
                }
            }
            Step::Purge { day, class } => {
                let pair = (day_of(day), CLASSES[class]);
                self.recorder().destroy(pair.0, pair.1, PATIENCE).unwrap();
                self.model.destroy(pair, None);
            }
            Step::Reopen { without_index } => {
                assert_eq!(self.recorder.take().unwrap().stop(), 0);
                self.store = None;
                if without_index {
                    std::fs::remove_dir_all(self.dir.path().join("index")).unwrap();
                }
                self.open();
            }
        }
    }

    fn check(&self) {
        let store = self.store();
        let numbers: Vec<u32> = store.holds().iter().map(|hold| hold.number).collect();
        assert_eq!(numbers, self.model.holds.keys().copied().collect::<Vec<_>>());
        for (n, p) in &self.model.passed {
            let id = id_of(*n);
            assert_eq!(store.sighting(id).unwrap().is_some(), p.sighting.is_some(), "sighting {n}: {p:?}");
            let hits = store.hits_of(id).unwrap();
            assert_eq!(hits.len(), p.hits.iter().flatten().count(), "hits of {n}: {p:?}");
            for hit in hits.iter().filter(|hit| hit.cause == HitCauseKey::List(2, 1)) {
                let truly = hit.handling.verdict.as_ref().and_then(|v| v.true_plate.clone());
                assert_eq!(truly, p.truly.map(plate), "true plate of {n}");
            }
        }
        for (index, _) in PLATES.iter().enumerate() {
            let found = store.by_plate(&plate(index), START, TimeMs(START.0 + 9 * DAY_MS), usize::MAX).unwrap();
            let found: BTreeSet<EventId> = found.into_iter().map(|sighting| sighting.id).collect();
            let passed = self.model.passed.iter().filter(|(_, p)| p.plate == index && p.sighting.is_some());
            assert_eq!(found, passed.map(|(n, _)| id_of(*n)).collect(), "found by plate {index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn holds_and_purges_keep_what_the_model_keeps(steps in steps()) {
        let mut site = Site::new();
        for step in &steps {
            site.step(step);
        }
        site.check();
        site.step(&Step::Reopen { without_index: true });
        site.check();
    }
}
