//! Probation while the daemon runs, by a simulated clock.

use std::sync::Arc;

use super::*;
use crate::clock::SimClock;
use crate::command::models::force::InForce;
use crate::domain::{CameraId, TimeMs};
use crate::store::{StoreKey, audit, testkit};

struct Bench {
    dir: tempfile::TempDir,
    sim: Arc<SimClock>,
    clock: Clock,
    store: Store,
    health: Arc<Health>,
}

fn set(version: &str) -> Set {
    let mut set = Set::default();
    set.put(InForce { task: Task::Reader, name: "m".to_owned(), version: version.to_owned(), package: [7; 32] });
    set
}

impl Bench {
    /// A box on which version 2 was activated.
    fn new() -> Self {
        let dir = testkit::folder();
        let (sim, clock) = testkit::clock();
        let key = StoreKey::from_bytes([9; 32]);
        let store = Store::open(&dir.path().join("store"), key, testkit::settings(), clock.clone()).unwrap();
        let bench = Self { dir, sim, clock, store, health: Health::new() };
        bench.activate("2");
        bench
    }

    fn shelf(&self) -> Shelf {
        Shelf::of(self.dir.path())
    }

    fn activate(&self, version: &str) {
        let change = |force: &mut force::Force| {
            force.activate(set(version), TimeMs(1), "fleet");
            Ok::<_, Error>(())
        };
        force::change(self.shelf().folder(), change).unwrap();
    }

    /// A start of the daemon, as far as the books go.
    fn start(&self) -> Managed {
        let mut managed = Managed {
            shelf: self.shelf(),
            set: Set::default(),
            on_probation: false,
            begun: self.clock.monotonic(),
            clock: self.clock.clone(),
            untold: Vec::new(),
            before: Tried::default(),
            ends_badly: false,
        };
        managed.begin();
        managed
    }

    fn look(&self, managed: &mut Managed, panics: u32) -> bool {
        managed.look(&self.store, &self.health, panics, 0)
    }

    fn force(&self) -> force::Force {
        force::read(self.shelf().folder()).unwrap()
    }

    /// Actions that the audit log has of models.
    fn actions(&self) -> Vec<String> {
        let records = audit::read(self.store.dir()).unwrap().into_iter().filter(|r| r.event == "model.changed");
        records.filter_map(|r| r.details.into_iter().find(|(k, _)| k == "action").map(|(_, v)| v)).collect()
    }
}

#[test]
fn a_set_that_ran_for_five_minutes_is_for_good() {
    let bench = Bench::new();
    let mut managed = bench.start();
    assert_eq!(bench.force().probation.unwrap().starts, 1);
    bench.sim.advance(STEADY.saturating_sub(Duration::from_secs(1)));
    assert!(!bench.look(&mut managed, PANICS - 1));
    assert!(bench.force().probation.is_some());
    bench.sim.advance(Duration::from_secs(1));
    assert!(!bench.look(&mut managed, 0));
    assert_eq!((bench.force().probation, bench.force().now), (None, set("2")));
    assert_eq!(bench.actions(), ["confirmed"]);
    assert!(!bench.look(&mut managed, PANICS), "what is for good is not gone back from");
}

#[test]
fn frames_that_fail_and_threads_that_panic_lead_back() {
    let bench = Bench::new();
    let camera = bench.health.camera(&CameraId::new("gate").unwrap());
    let mut managed = bench.start();
    camera.unanalysed.add(FAILED_FRAMES);
    camera.analysed.add(FAILED_FRAMES);
    assert!(!bench.look(&mut managed, 0), "as many are analysed");
    camera.unanalysed.inc();
    assert!(bench.look(&mut managed, 0));
    assert!(bench.force().now.is_empty() && bench.force().fallbacks[0].why.contains("failed on 26 frames"));
    assert_eq!(bench.actions(), ["fell-back"]);
    let bench = Bench::new();
    let mut managed = bench.start();
    assert!(bench.look(&mut managed, PANICS));
    assert!(bench.force().fallbacks[0].why.contains("panicked or hung 3 times"));
}

#[test]
fn a_run_that_does_not_come_back_and_a_set_that_never_did_lead_back_at_once() {
    let bench = Bench::new();
    let mut managed = bench.start();
    assert!(managed.look(&bench.store, &bench.health, 0, 1));
    assert!(bench.force().now.is_empty() && bench.force().fallbacks[0].why.contains("did not come back"));
    let bench = Bench::new();
    let camera = bench.health.camera(&CameraId::new("gate").unwrap());
    let mut managed = bench.start();
    camera.unanalysed.add(NEVER_DID.0);
    assert!(!bench.look(&mut managed, 0), "a first frame may fail");
    bench.sim.advance(NEVER_DID.1);
    assert!(bench.look(&mut managed, 0));
    assert!(bench.force().fallbacks[0].why.contains("failed on 3 frames and analysed 0"));
}

#[test]
fn a_run_that_ends_with_threads_that_hang_counts_as_a_crash() {
    let bench = Bench::new();
    let mut managed = bench.start();
    managed.spoil_end();
    drop(managed);
    assert_eq!(bench.force().probation.unwrap().starts, 1);
}

#[test]
fn another_set_that_was_activated_since_is_neither_confirmed_nor_gone_back_from() {
    let bench = Bench::new();
    let mut managed = bench.start();
    bench.activate("3");
    bench.sim.advance(STEADY);
    assert!(!bench.look(&mut managed, 0));
    drop(managed);
    let force = bench.force();
    assert_eq!((force.now, force.probation.unwrap().starts), (set("3"), 0));
    assert!(bench.actions().is_empty());
}

#[test]
fn a_good_end_takes_the_mark_of_the_start_back() {
    let bench = Bench::new();
    drop(bench.start());
    assert_eq!(bench.force().probation.unwrap().starts, 0);
    // A process that dies drops nothing.
    std::mem::forget(bench.start());
    assert_eq!(bench.force().probation.unwrap().starts, 1);
}

#[test]
fn a_damaged_book_is_set_aside_and_what_is_configured_is_in_force() {
    let bench = Bench::new();
    std::fs::write(bench.shelf().folder().join("force.cbor"), b"x").unwrap();
    let managed = bench.start();
    assert!(managed.set.is_empty() && !managed.on_probation);
    let names: Vec<String> = std::fs::read_dir(bench.shelf().folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("force.damaged-")), "{names:?}");
}
