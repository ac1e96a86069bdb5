//! A box that is given another model every week of half a year, and another list every day: good ones, one that fails on
//! its canary pictures, one that fails on frames, one that ends the daemon, and people who go back. What lies on its disk
//! after that is bounded, the model in force is the right one, and each step is in the audit log.
//!
//! A simulated clock, and models that nobody runs; packages, shelf, executor, probation and store are real.

use super::*;
use crate::centre::wire::{BlobRef, CHUNK, Reply};
use crate::command::models::shelf::{MAX_BYTES, MAX_KEPT};
use crate::command::models::{Canary, Table, package};
use crate::command::ops::hotlist::{self, Content};
use crate::command::ops::model::{activate, put, rollback};
use crate::command::testkit::{Desk, Site, key_of};
use crate::domain::{CameraId, CommandStatus, Op, TimeMs};
use crate::store::audit;
use crate::supervise::weeks;

const WEEKS: u32 = 26;
const DAY: Duration = Duration::from_hours(24);
/// Of a model's file.
const MODEL_BYTES: usize = 200_000;

/// What becomes of the model of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is for good.
    Good,
    /// It does not read its canary picture.
    Refused,
    /// It fails on frames while on probation.
    FailsOnFrames,
    /// The daemon dies of it, again and again.
    Crashes,
    /// It is for good, and somebody goes back to the one before.
    TakenBack,
}

fn fate(week: u32) -> Fate {
    match week % 6 {
        2 => Fate::Refused,
        3 => Fate::FailsOnFrames,
        4 => Fate::Crashes,
        5 => Fate::TakenBack,
        _ => Fate::Good,
    }
}

fn package_of(week: u32, now: TimeMs) -> Vec<u8> {
    let seen: &[u8] = if fate(week) == Fate::Refused { b"\x89PNG unreadable" } else { b"\x89PNG picture" };
    let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    let model = [u8::try_from(week).unwrap()].repeat(MODEL_BYTES);
    let files =
        [file(package::MANIFEST, b"name = \"reader-9\"\n"), file("model.onnx", &model), file("canary/a.png", seen)];
    let table = Table {
        version: package::VERSION,
        name: "reader-9".to_owned(),
        model_version: format!("1.{week}"),
        task: Task::Reader,
        issued: now,
        files: Vec::new(),
        canaries: vec![Canary::of_plate("a.png", "ABC123")],
        least: 900,
    };
    package::seal(table, &files, &key_of("fleet")).unwrap()
}

fn ask(desk: &Desk, op: Op, who: &str, args: &impl minicbor::Encode<()>) -> Reply {
    desk.send(&desk.order(op, args), who, None)
}

struct Half {
    site: Site,
    /// Versions that were in force for good, the newest last.
    good: Vec<u32>,
}

impl Half {
    fn shelf(&self) -> Shelf {
        Shelf::of(&self.site.rooms().config.site.data_dir)
    }

    /// A start of the daemon, or its taking of other models, as far as the books go.
    fn begin(&self) -> Managed {
        let clock = self.site.rooms().clock;
        let (set, begun) = (Set::default(), clock.monotonic());
        let (untold, before) = (Vec::new(), Tried::of(&self.site.rooms().health, 0));
        let (on_probation, ends_badly) = (false, false);
        let mut managed = Managed { shelf: self.shelf(), set, on_probation, begun, clock, untold, before, ends_badly };
        managed.begin();
        managed.tell(&self.site.store);
        managed
    }

    /// Sends a package in chunks, and asks for it to be taken.
    fn put(&self, desk: &Desk, bytes: &[u8]) -> Reply {
        let args = put::Args { package: BlobRef::of(bytes) };
        assert_eq!(ask(desk, Op::ModelPut, "fleet", &args).status, CommandStatus::Failed, "its chunks are wanted");
        for (n, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
            assert!(self.site.rooms().blobs.take(&args.package.sha256, n, chunk));
        }
        ask(desk, Op::ModelPut, "fleet", &args)
    }

    /// The week's model comes, and meets its fate.
    fn week(&mut self, desk: &Desk, week: u32) {
        let (sim, rooms, fate) = (self.site.sim.clone(), self.site.rooms(), fate(week));
        let put = self.put(desk, &package_of(week, rooms.clock.utc()));
        if fate == Fate::Refused {
            assert_ne!(put.status, CommandStatus::Successful, "{put:?}");
            return;
        }
        assert_eq!(put.status, CommandStatus::Successful, "{put:?}");
        let args =
            activate::Args { models: vec![("reader-9".to_owned(), format!("1.{week}"))], configured: Vec::new() };
        assert_eq!(ask(desk, Op::ModelActivate, "fleet", &args).status, CommandStatus::Successful);
        let mut managed = self.begin();
        match fate {
            Fate::FailsOnFrames => {
                rooms.health.camera(&CameraId::new("gate").unwrap()).unanalysed.add(FAILED_FRAMES + 1);
                assert!(managed.look(&self.site.store, &rooms.health, 0, 0), "another set is in force");
            }
            Fate::Crashes => {
                for _ in 0..STARTS {
                    managed.spoil_end();
                    managed = self.begin();
                }
            }
            Fate::Good | Fate::TakenBack | Fate::Refused => {
                sim.advance(STEADY);
                assert!(!managed.look(&self.site.store, &rooms.health, 0, 0));
                self.good.push(week);
            }
        }
        drop(managed);
        if fate == Fate::TakenBack {
            let back = ask(desk, Op::ModelRollback, "fleet", &rollback::Args {});
            assert_eq!(back.status, CommandStatus::Successful, "{back:?}");
            self.good.pop();
            drop(self.begin());
        }
    }

    /// A whole list every day.
    fn list(&self, desk: &Desk, day: u32) {
        let packed = weeks::list(day, self.site.rooms().clock.utc());
        let signed = crate::command::lists::sign(&packed.header, &packed.body, &key_of("lists")).unwrap();
        let args = hotlist::Args { package: Content::of(&signed), force: None };
        let reply = ask(desk, Op::HotlistPut, "lists", &args);
        assert_eq!(reply.status, CommandStatus::Successful, "{reply:?}");
    }

    fn is_as_it_should_be(&self, week: u32) {
        let (shelf, force) = (self.shelf(), force::read(self.shelf().folder()).unwrap());
        let in_force: Vec<String> = force.now.iter().map(|one| one.version.clone()).collect();
        let wanted: Vec<String> = self.good.last().iter().map(|week| format!("1.{week}")).collect();
        assert_eq!((in_force, force.probation.is_none()), (wanted, true), "week {week}");
        for one in force.needed() {
            shelf.chosen(one).unwrap();
        }
        let (kept, faults) = shelf.list().unwrap();
        assert!(faults.is_empty() && kept.len() <= MAX_KEPT, "week {week}: {} {faults:?}", kept.len());
        // Beside the packages: what is in force, and its lock.
        let files = std::fs::read_dir(shelf.folder()).unwrap().count();
        assert!(files <= kept.len() + 2, "week {week}: {files} in the folder of {} packages", kept.len());
        let bytes = weeks::weight(shelf.folder()).bytes;
        assert!(bytes < (MAX_KEPT * (MODEL_BYTES + 4_096)) as u64 && bytes < MAX_BYTES, "week {week}: {bytes}");
        let data = &self.site.rooms().config.site.data_dir;
        let chunks = weeks::weight(&data.join("blobs"));
        assert!(chunks.files <= 1, "week {week}: the refused one of this week at most, {chunks:?}");
        assert_eq!(weeks::weight(&data.join("hotlists")).files, 1, "the list of today");
    }

    /// Actions that the audit log has of models.
    fn actions(&self, wanted: &str) -> usize {
        let records = audit::read(self.site.store.dir()).unwrap().into_iter();
        let of_models = records.filter(|record| record.event == "model.changed");
        of_models.filter(|r| r.detail("action") == Some(wanted)).count()
    }
}

#[test]
fn half_a_year_of_models_and_lists_leaves_the_right_model_a_bounded_folder_and_every_step_in_the_audit_log() {
    let mut half = Half { site: Site::new(), good: Vec::new() };
    half.site.asked.read("ABC123");
    let mut weights = Vec::new();
    for week in 1..=WEEKS {
        let desk = half.site.desk();
        half.week(&desk, week);
        for day in 1..=7 {
            half.list(&desk, (week - 1) * 7 + day);
            half.site.sim.advance(DAY);
        }
        half.is_as_it_should_be(week);
        desk.executor.stop();
        weights.push(weeks::weight(&half.site.dir.path().join("data")));
        if week % 4 == 0 {
            half.site = half.site.restarted();
            half.site.asked.read("ABC123");
            drop(half.begin());
            half.is_as_it_should_be(week);
        }
    }
    let of = |wanted: &[Fate]| (1..=WEEKS).filter(|week| wanted.contains(&fate(*week))).count();
    let put_in_force = of(&[Fate::Good, Fate::FailsOnFrames, Fate::Crashes, Fate::TakenBack]);
    assert_eq!(half.actions("activated"), put_in_force);
    assert_eq!(half.actions("confirmed"), of(&[Fate::Good, Fate::TakenBack]));
    assert_eq!(half.actions("fell-back"), of(&[Fate::FailsOnFrames, Fate::Crashes]));
    assert_eq!(half.actions("rolled-back"), of(&[Fate::TakenBack]));
    assert!(half.shelf().get("reader-9", "1.1").is_err(), "what nobody needs any more is gone");
    // The audit log and the journal of commands grow, nothing else does: no model's size a quarter.
    let (quarter, whole) = (weights[12], weights[25]);
    assert!(whole.bytes < quarter.bytes + (2 << 20), "{quarter:?} then {whole:?}");
    assert!(whole.files < quarter.files + 40, "{quarter:?} then {whole:?}");
}
