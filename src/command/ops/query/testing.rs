//! What the tests of the three operations share: sightings in a site's store, told one by one.

use std::time::Duration;

use crate::command::testkit::Site;
use crate::command::{Caller, Done, Refusal, ops};
use crate::domain::{
    CameraId, Class, EventId, HitCause, Op, Ownership, Pictures, Severity, Share, SightingEvent, Stage, TimeMs,
};
use crate::store::Entry;
use crate::store::testkit::{START, event, list_hit};

const HOUR_MS: u64 = 3_600_000;

/// Reads one hour apart; the last is an hour ago.
pub(super) struct Told<'a> {
    pub(super) site: &'a Site,
    now: u64,
}

impl<'a> Told<'a> {
    /// The site's clock goes to `hours` after the first read.
    pub(super) fn new(site: &'a Site, hours: u64) -> Self {
        site.sim.step_to(TimeMs(START.0 + hours * HOUR_MS));
        Self { site, now: START.0 + hours * HOUR_MS }
    }

    pub(super) fn id(&self, ago: u64) -> EventId {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&ago.to_be_bytes());
        EventId::from_parts(self.at(ago).0, random)
    }

    pub(super) fn at(&self, ago: u64) -> TimeMs {
        TimeMs(self.now - ago * HOUR_MS)
    }

    fn seen(&self, ago: u64, plate: &str) -> SightingEvent {
        let mut event = event(1, Stage::End, Some(plate));
        event.sighting.id = self.id(ago);
        event.sighting.begin = self.at(ago);
        event.sighting.end = TimeMs(self.at(ago).0 + 900);
        event.sighting.class = if ago.is_multiple_of(2) { Class::Car } else { Class::Truck };
        event.sighting.camera = CameraId::new(if ago.is_multiple_of(2) { "gate" } else { "yard" }).unwrap();
        event.pictures = Some(Pictures { crop: b"a crop".to_vec(), scene: b"a scene".to_vec() });
        event
    }

    fn send(&self, entry: Entry) {
        let recorder = self.site.rooms().recorder;
        recorder.send(entry).unwrap();
        recorder.flush(Duration::from_mins(1)).unwrap();
    }

    pub(super) fn read(&self, ago: u64, plate: &str) {
        self.send(Entry { event: self.seen(ago, plate), hits: Vec::new() });
    }

    /// Many reads in one commit, one a second backwards from an hour ago.
    pub(super) fn reads(&self, count: u64) {
        let recorder = self.site.rooms().recorder;
        for n in 0..count {
            let mut event = self.seen(2, "AB123CD");
            event.sighting.id = EventId::from_parts(self.at(1).0 - n * 1_000, [7; 10]);
            event.sighting.begin = TimeMs(self.at(1).0 - n * 1_000);
            event.pictures = None;
            recorder.send(Entry { event, hits: Vec::new() }).unwrap();
        }
        recorder.flush(Duration::from_mins(1)).unwrap();
    }

    /// A hit of a list of `owner` and of whom it is shared with.
    pub(super) fn hit(&self, ago: u64, plate: &str, severity: Severity, owner: Option<(&str, Share)>) {
        let event = self.seen(ago, plate);
        let mut hit = list_hit(&event, 7, severity);
        if let HitCause::List(m) = &mut hit.cause {
            m.owner = owner.map(|(org, share)| Ownership { org: org.to_owned(), share });
        }
        self.send(Entry { event, hits: vec![hit] });
    }

    pub(super) fn ask(
        &self,
        op: Op,
        name: &str,
        second: Option<&str>,
        args: &impl minicbor::Encode<()>,
    ) -> Result<Done, Refusal> {
        self.site.run_as(op, self.site.caller_named(name, second), args)
    }

    pub(super) fn answer<T>(&self, op: Op, name: &str, second: Option<&str>, args: &impl minicbor::Encode<()>) -> T
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let done = self.ask(op, name, second, args).unwrap();
        assert!(done.tells_plates);
        ops::decode(&done.result).unwrap()
    }

    /// Details of the audit records of an event.
    pub(super) fn audited(&self, event: &str) -> Vec<Vec<(String, String)>> {
        self.site.audit().into_iter().filter(|(e, _)| e == event).map(|(_, details)| details).collect()
    }
}

/// A detail of a record.
pub(super) fn detail<'a>(record: &'a [(String, String)], name: &str) -> &'a str {
    record.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
}

/// An investigator with another case.
pub(super) fn other_case(site: &Site) -> Caller {
    Caller { case: Some("K-2".to_owned()), ..site.caller_named("investigator", None) }
}
