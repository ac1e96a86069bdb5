//! A box that never has a time server: its clock begins in 1970, people set it by hand, once a year ahead, and it is
//! restarted in between. Its alerts say how far their time can be trusted, nothing is deleted before its time, what is due
//! goes all the same, and alerts and audit log keep the order in which things happened.
//!
//! A simulated clock; store, recorder and deletion are real.

use std::collections::BTreeSet;
use std::time::Duration;

use super::retention::Sweeper;
use crate::clock::Clock;
use crate::command::testkit::{Site, start};
use crate::domain::{ClockState, Severity, TimeMs};
use crate::store::testkit::{hit_entry, list_hit};
use crate::store::{Body, audit};

const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);
const YEAR_MS: u64 = 365 * 86_400_000;

struct Life {
    site: Site,
    sweeper: Sweeper,
    /// What the clock said at each hit, and how far it was trusted.
    hits: Vec<(TimeMs, ClockState)>,
}

impl Life {
    fn clock(&self) -> Clock {
        self.site.rooms().clock
    }

    /// A vehicle of the list passes.
    fn hit(&mut self, severity: Severity) {
        let (now, clock) = (self.clock().utc(), self.clock().state());
        let mut entry = hit_entry(self.hits.len() as u64 + 1, severity);
        let sighting = &mut entry.event.sighting;
        (sighting.begin, sighting.end, sighting.clock) = (now, TimeMs(now.0 + 900), clock);
        entry.event.cause_at = now;
        entry.hits = vec![list_hit(&entry.event, 1, severity)];
        let recorder = self.site.rooms().recorder;
        recorder.send(entry).unwrap();
        recorder.flush(PATIENCE).unwrap();
        self.hits.push((now, clock));
    }

    /// Time passes, and what is due is deleted.
    fn pass(&mut self, hours: u32) {
        for _ in 0..hours {
            self.site.sim.advance(HOUR);
            let rooms = self.site.rooms();
            (0..6).for_each(|_| self.sweeper.step(&self.site.store, &rooms.recorder, &rooms.clock));
        }
    }

    /// Somebody sets it: nobody keeps it all the same.
    fn set(&mut self, utc: TimeMs) {
        self.site.sim.step_to(utc);
        self.site.sim.set_state(ClockState::Holdover);
    }

    fn restart(self) -> Self {
        let Self { site, sweeper, hits } = self;
        drop(sweeper);
        let site = site.restarted();
        let sweeper = Sweeper::new(&site.rooms().clock);
        Self { site, sweeper, hits }
    }

    fn kept(&self) -> u64 {
        self.site.store.counts().hits
    }
}

#[test]
fn a_box_without_a_time_server_says_so_deletes_nothing_early_and_keeps_the_order_of_things() {
    let site = Site::new();
    site.sim.step_to(TimeMs(3_600_000));
    site.sim.set_state(ClockState::Unset);
    let sweeper = Sweeper::new(&site.rooms().clock);
    let mut life = Life { site, sweeper, hits: Vec::new() };
    // Years of 1970 that nobody believes.
    for _ in 0..3 {
        life.hit(Severity::Info);
        life.pass(24 * 20);
    }
    assert_eq!(life.kept(), 3, "a clock that was never set deletes nothing");
    // Somebody sets it; it was the time of a year to come.
    life.set(TimeMs(start().0 + YEAR_MS));
    life.hit(Severity::Info);
    life.pass(20);
    life.set(start());
    life.hit(Severity::Info);
    life.pass(20);
    let mut life = life.restart();
    life.hit(Severity::Critical);
    assert_eq!(life.kept(), 6, "a leap ahead deletes nothing, and a restart neither");
    // For six days more, since the clock has run steadily for one: an info hit is kept for seven.
    life.pass(24 * 6);
    assert_eq!(life.kept(), 6);
    life.pass(24 * 5);
    assert_eq!(life.kept(), 1, "what is due goes, that of wrong days as well: the disk does not fill");
    // A leap ahead of ten years, seen for a night and set back.
    life.set(TimeMs(life.clock().utc().0 + 10 * YEAR_MS));
    life.hit(Severity::Minor);
    life.pass(23);
    life.set(TimeMs(life.clock().utc().0 - 10 * YEAR_MS));
    life.pass(48);
    assert_eq!(life.kept(), 2, "the critical one stays for its year, the minor one for its month");

    let outbox = life.site.store.outbox();
    let waiting = outbox.next(&BTreeSet::new(), 100).unwrap();
    let mut alerts: Vec<_> =
        waiting.iter().filter_map(|item| if let Body::Alert(a) = &item.body { Some(a) } else { None }).collect();
    alerts.sort_by_key(|alert| alert.seq);
    let told: Vec<_> = alerts.iter().map(|alert| (alert.time, alert.clock)).collect();
    assert_eq!(told, [life.hits[5], life.hits[6]], "in the order in which they were made, each with its trust");
    let trust: Vec<_> = life.hits.iter().map(|(_, clock)| *clock).collect();
    assert_eq!(trust, [[ClockState::Unset; 3].as_slice(), &[ClockState::Holdover; 4]].concat());

    let records = audit::read(life.site.store.dir()).unwrap();
    assert_eq!(records.len() as u64, life.site.store.audit_head().size);
    assert!(records.iter().map(|record| record.number).eq(1..=records.len() as u64), "none is missing or turned round");
    assert!(records.windows(2).any(|two| two[1].at < two[0].at), "though their times went back");
}
