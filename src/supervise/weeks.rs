//! A box that nobody touches for a year: lists, keyrings and its own key change, hits come and are acknowledged, days are
//! deleted, power fails. What is on its disk after that must be what it should be, and no more.
//!
//! A simulated clock; everything else is real: the store on a disk, the executor and its journal, packages and keyrings.

use std::path::Path;
use std::time::Duration;

use super::lists::load_shelf;
use super::retention::Sweeper;
use crate::centre::keyring::{Entry as Key, Keyring, Role};
use crate::centre::keys::Kid;
use crate::centre::wire::Reply;
use crate::command::lists::{Shelf, sign};
use crate::command::ops::{self, hotlist, key_rotate, keyring_put};
use crate::command::testkit::{self as kit, Desk, Site, key_of};
use crate::domain::{
    Ack, Candidate, CommandStatus, Lattice, ListId, Op, Ownership, PlateRead, PlateText, RetentionClass, Severity,
    Share, Stage, TimeMs,
};
use crate::hotlist::package::{self, Packed};
use crate::hotlist::{ListSettings, delta};
use crate::store::Entry;
use crate::store::testkit::{event, hit_entry, list_hit, with_pictures};

const DAY: Duration = Duration::from_hours(24);
const DAYS: u32 = 360;
/// Of a day: reads without a hit, and hits of each severity.
const READS: u64 = 8;
const HITS: [(Severity, u64); 4] =
    [(Severity::Info, 6), (Severity::Minor, 3), (Severity::Serious, 2), (Severity::Critical, 1)];
const PATIENCE: Duration = Duration::from_secs(20);

/// The box, and what the centre remembers of it.
struct Year {
    site: Site,
    list: Packed,
    ring: Keyring,
    number: u64,
}

fn settings() -> ListSettings {
    let mut settings = ListSettings::new(ListId::new("wanted").unwrap(), 7, Severity::Serious);
    settings.owner = Some(Ownership { org: kit::ORG.to_owned(), share: Share::None });
    settings
}

/// The list of a day: three hundred plates, of which some change every day.
pub(super) fn list(day: u32, now: TimeMs) -> Packed {
    let plates: Vec<String> = (0..300).map(|n| format!("AB{:04}Z", (n * 7 + day) % 9_000)).collect();
    let csv = format!("PlateNumber\n{}\n", plates.join("\n"));
    package::pack(Path::new("l.csv"), csv.as_bytes(), &settings(), day, now).unwrap()
}

fn read(text: &str) -> PlateRead {
    let text = PlateText::from_raw(text).unwrap();
    PlateRead {
        text: text.clone(),
        confidence: 0.9,
        char_confidences: Vec::new(),
        candidates: vec![Candidate { text, confidence: 0.9 }],
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 3,
    }
}

fn done(reply: &Reply) -> &[u8] {
    assert_eq!(reply.status, CommandStatus::Successful, "{reply:?}");
    reply.result.as_deref().unwrap_or_default()
}

/// What a folder holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) bytes: u64,
    pub(super) files: usize,
}

pub(super) fn weight(dir: &Path) -> Weight {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.fold(Weight { bytes: 0, files: 0 }, |sum, entry| {
        let kind = entry.metadata().unwrap();
        let more = if kind.is_dir() { weight(&entry.path()) } else { Weight { bytes: kind.len(), files: 1 } };
        Weight { bytes: sum.bytes + more.bytes, files: sum.files + more.files }
    })
}

fn ask(desk: &Desk, op: Op, who: &str, args: &impl minicbor::Encode<()>) -> Reply {
    desk.send(&desk.order(op, args), who, None)
}

impl Year {
    fn new() -> Self {
        let site = Site::new();
        let list = list(1, site.rooms().clock.utc());
        Self { site, list, ring: kit::keyring(), number: 0 }
    }

    fn now(&self) -> TimeMs {
        self.site.rooms().clock.utc()
    }

    /// A whole list every Monday, what has changed on the other days.
    fn put_list(&mut self, desk: &Desk, day: u32) {
        let next = list(day, self.now());
        let whole = day % 7 == 1;
        let (header, body) = if whole {
            (next.header.clone(), next.body.clone())
        } else {
            let (old, new) = ((&self.list.header, &self.list.body[..]), (&next.header, &next.body[..]));
            let (header, body, _) = delta::between(old, new).unwrap();
            (header, body)
        };
        let package = sign(&header, &body, &key_of("lists")).unwrap();
        let args = hotlist::Args { package: hotlist::Content::of(&package), force: None };
        let op = if whole { Op::HotlistPut } else { Op::HotlistPatch };
        let answer: hotlist::Answer = ops::decode(done(&ask(desk, op, "lists", &args))).unwrap();
        assert_eq!((answer.serial, answer.entries), (day, 300));
        self.list = next;
    }

    /// Somebody leaves, somebody comes.
    fn put_keyring(&mut self, desk: &Desk, week: u32) {
        let now = self.now();
        self.ring.serial += 1;
        self.ring.issued = now;
        self.ring.entries.retain(|key| !key.name.starts_with("operator-"));
        let name = format!("operator-{week}");
        self.ring.entries.push(Key { not_before: now, ..kit::entry(&name, Role::Operator, kit::ORG) });
        let args = keyring_put::Args { keyring: self.ring.sign(&self.site.root).unwrap() };
        done(&ask(desk, Op::KeyringPut, "custodian", &args));
        let before = format!("operator-{}", week - 1);
        let status = |who: &str| ask(desk, Op::HitSeen, who, &()).reason;
        assert_ne!(status(&name), status(&before), "the new key is known and the old one is not any more");
    }

    /// The box's own key, in its two steps.
    fn rotate(&self, desk: &Desk) {
        let before = self.site.rooms().box_key.current().kid();
        let first: key_rotate::Answer =
            ops::decode(done(&ask(desk, Op::KeyRotate, "custodian", &key_rotate::Args::default()))).unwrap();
        let next = crate::centre::keys::PublicKey::from_bytes(first.next.unwrap().into()).unwrap().kid();
        let Kid(kid) = next;
        let args = key_rotate::Args { confirm: Some(kid.into()) };
        done(&ask(desk, Op::KeyRotate, "custodian", &args));
        assert_eq!(self.site.rooms().box_key.current().kid(), next);
        assert_ne!(next, before);
    }

    fn entry(&mut self, severity: Option<Severity>) -> Entry {
        self.number += 1;
        let (n, now) = (self.number, self.now());
        let mut entry = severity.map_or_else(
            || Entry { event: event(n, Stage::New, Some("QQ123QQ")), hits: Vec::new() },
            |severity| hit_entry(n, severity),
        );
        entry.event.sighting.id = crate::domain::EventId::from_parts(now.0, {
            let mut random = [0; 10];
            random[2..].copy_from_slice(&n.to_be_bytes());
            random
        });
        (entry.event.sighting.begin, entry.event.sighting.end) = (now, TimeMs(now.0 + 900));
        if let Some(severity) = severity {
            entry.hits = vec![list_hit(&entry.event, 1, severity)];
        }
        with_pictures(entry, 400)
    }

    fn traffic(&mut self) {
        let rooms = self.site.rooms();
        for _ in 0..READS {
            rooms.recorder.send(self.entry(None)).unwrap();
        }
        for (severity, times) in HITS {
            for _ in 0..times {
                rooms.recorder.send(self.entry(Some(severity))).unwrap();
            }
        }
        rooms.recorder.flush(PATIENCE).unwrap();
    }

    /// The centre has what waited; on every fifth day nobody is there.
    fn acknowledge(&self, day: u32) {
        let outbox = self.site.store.outbox();
        if !day.is_multiple_of(5) {
            outbox.ack(&Ack { epoch: outbox.epoch(), upto: outbox.newest(), also: Vec::new() }).unwrap();
        }
    }
}

impl Year {
    /// After its last day.
    fn looks_as_it_should(&self) {
        let (rooms, today) = (self.site.rooms(), self.now().day());
        for (day, class) in self.site.store.days().unwrap() {
            let most = match class {
                RetentionClass::Read => 1,
                RetentionClass::Info => 7,
                RetentionClass::Minor => 30,
                RetentionClass::Serious => 90,
                RetentionClass::Critical => 365,
                RetentionClass::Held => panic!("nothing was held"),
            };
            assert!(today - day <= most + 1, "{class:?} of day {day} is still there on day {today}");
        }
        let hits = self.site.store.counts().hits;
        let kept = 6 * 7 + 3 * 30 + 2 * 90 + 360;
        assert!((kept..=kept + 2 * 12).contains(&hits), "{hits} hits");
        let waiting = self.site.store.outbox().depth().entries;
        assert!(waiting <= 12 + 40, "{waiting} alerts wait, after a day without the centre");

        let data = self.site.dir.path().join("data");
        assert_eq!(weight(&data.join("hotlists")).files, 1, "one file of the one list");
        assert!(weight(&data.join("blobs")).files <= 1);
        let plates = |serial: u32| {
            let entry = package::entry(&list(serial, self.now()).header, &list(serial, self.now()).body, 1);
            read(&entry.unwrap().unwrap())
        };
        let matches = |read: &PlateRead| rooms.hotlists.matcher().matches(read, self.now()).len();
        assert_eq!(rooms.hotlists.get(&settings().id).unwrap().serial(), DAYS);
        assert!(matches(&plates(DAYS)) > 0);

        let records = crate::store::audit::read(self.site.store.dir()).unwrap();
        assert_eq!(records.len() as u64, self.site.store.audit_head().size);
        let of = |event: &str| records.iter().filter(|r| r.event == event).count();
        assert_eq!((of("audit.begun"), of("store.started")), (1, 13), "twelve restarts");
        let keys = of("keys.changed");
        assert!(keys >= 51 + 2 * 13, "{keys}: keyrings and the box's own keys");
    }
}

#[test]
fn a_year_of_changing_lists_keys_and_days_leaves_what_it_should_and_no_more() {
    let mut year = Year::new();
    let mut weights = Vec::new();
    for month in 0..12 {
        let desk = year.site.desk();
        let rooms = year.site.rooms();
        let mut sweeper = Sweeper::new(&rooms.clock);
        for day in month * 30 + 1..=month * 30 + 30 {
            year.traffic();
            year.put_list(&desk, day);
            if day % 7 == 3 {
                year.put_keyring(&desk, day / 7 + 1);
            }
            if day % 28 == 5 {
                year.rotate(&desk);
            }
            year.acknowledge(day);
            year.site.sim.advance(DAY);
            (0..20).for_each(|_| sweeper.step(&year.site.store, &rooms.recorder, &rooms.clock));
        }
        desk.executor.stop();
        drop(rooms);
        year.site = year.site.restarted();
        let rooms = year.site.rooms();
        let shelf = Shelf::new(&rooms.config.site.data_dir, rooms.store.vault().clone());
        load_shelf(&shelf, &[], &rooms.hotlists, &rooms.health);
        drop((shelf, rooms));
        weights.push(weight(&year.site.dir.path().join("data")));
    }
    year.looks_as_it_should();
    // Critical hits stay for a year, and every record of the audit log: nothing else goes on growing.
    let (half, whole) = (weights[5], weights[11]);
    assert!(whole.bytes - half.bytes < 6 << 20, "{half:?} then {whole:?}: more than a megabyte a month");
    assert!(whole.files - half.files < 6 * 30 * 8, "{half:?} then {whole:?}: two pictures and five keys a day");
}
