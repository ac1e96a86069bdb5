//! What the daemon itself writes into the audit log, and the log's checkpoints on their way to the centre.
//!
//! Start and stop with version and digests, steps and states of the wall clock, lists in force, and once an hour how much
//! each camera read and hit and how long it gave no pictures (what a report of the month counts), and what was received and not looked at or could not be recorded. A checkpoint is told when the log grew, at most one in
//! [`TELL_EVERY`] (less often where the link's budget is short), and the newest again every [`AGAIN_AFTER`], so that a witness that was away has one soon; it waits with
//! the [`Carrier`] until the broker has taken it.
//!
//! Called by the watching thread. A record that can't be written is told in the log of the daemon and stops nothing: what
//! it was to tell has happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::base::{Base, Trust};
use super::box_key_path;
use super::certificates::Certificates;
use crate::centre::budget::{Budget, Traffic};
use crate::centre::carry::{Carrier, Letter};
use crate::centre::keys::BoxKey;
use crate::centre::note;
use crate::centre::topics::{Kind, Topics};
use crate::centre::wire::StateDigests;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{CameraId, ClockState, ListId, PlaceId, TreeHead};
use crate::health::{CameraState, Crossings, Health};
use crate::hotlist::Hotlists;
use crate::store::Store;
use crate::store::audit::Event;

/// At most one checkpoint in this time.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The newest checkpoint is told again after this time though nothing happened.
const AGAIN_AFTER: Duration = Duration::from_mins(10);
/// How often drops are added up.
const DROPS_EVERY: Duration = Duration::from_hours(1);
/// How often lists are looked at.
const LISTS_EVERY: Duration = Duration::from_secs(5);
/// The wall clock was stepped when it left the monotonic time by more than this between two looks.
const STEP_MS: i128 = 1_000;

/// What of a camera is in the audit log already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    received: u64,
    dropped: u64,
    unanalysed: u64,
    damaged: u64,
    lost: u64,
    reads: u64,
    hits: u64,
}

/// What is said of a list: entries and serial.
type InForce = BTreeMap<ListId, (u16, u32, usize)>;

/// See the module.
pub(super) struct Accounts {
    store: Store,
    health: Arc<Health>,
    hotlists: Arc<Hotlists>,
    clock: Clock,
    tell: Option<(Carrier, String)>,
    budget: Budget,
    certificates: Certificates,
    /// Wall clock less monotonic time at the last look, milliseconds, and the clock's state.
    clock_was: (i128, ClockState),
    lists: InForce,
    lists_at: Duration,
    drops: BTreeMap<CameraId, Counts>,
    pictures_lost: u64,
    /// How long cameras gave no pictures, since the last time it was written down.
    down: BTreeMap<CameraId, Duration>,
    /// What was counted at lines and zones when it was written down last.
    crossings: BTreeMap<(CameraId, PlaceId), Crossings>,
    looked_at: Duration,
    drops_at: Duration,
    told: Option<(TreeHead, Duration)>,
}

impl Accounts {
    /// Says that the daemon starts, and has checkpoints signed by the box's key.
    pub(super) fn begin(
        config: &Config,
        digests: &StateDigests,
        base: &Base,
        trust: Option<&Trust>,
        carrier: &Carrier,
    ) -> Self {
        let Base { store, health, hotlists, .. } = base;
        // A box without a centre has a key all the same, or none: then nobody signs.
        let key = trust.map_or_else(|| BoxKey::read(&box_key_path(config)).ok(), |trust| Some(trust.key.clone()));
        if let Some(key) = key {
            store.sign_checkpoints(note::signer(&config.site.site, &config.site.id, key));
        }
        let topics = config
            .centre
            .as_ref()
            .and_then(|centre| Topics::new(&centre.topic_root, &config.site.site, &config.site.id).ok());
        let clock = store.clock().clone();
        let now = clock.monotonic();
        let accounts = Self {
            store: store.clone(),
            health: Arc::clone(health),
            hotlists: Arc::clone(hotlists),
            tell: topics.map(|topics| (carrier.clone(), topics.of(&Kind::Audit))),
            budget: base.budget.clone(),
            certificates: Certificates::new(config.centre.as_ref(), health, &clock),
            clock_was: (offset_ms(&clock), clock.state()),
            clock,
            lists: InForce::new(),
            lists_at: now,
            drops: BTreeMap::new(),
            pictures_lost: store.pictures_lost() + health.views_lost.get(),
            down: BTreeMap::new(),
            crossings: BTreeMap::new(),
            looked_at: now,
            drops_at: now + DROPS_EVERY,
            told: None,
        };
        let models = digests.models.iter().map(|m| format!("{} {}", m.name, hex(&m.sha256)));
        accounts.say(
            Event::DaemonStarted,
            &[
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("config", hex(&digests.config)),
                ("models", models.collect::<Vec<_>>().join(", ")),
                ("cameras", config.cameras.len().to_string()),
                ("clock", accounts.clock_was.1.as_str().to_owned()),
            ],
        );
        accounts
    }

    /// Looks around; quick when nothing is due.
    pub(super) fn look(&mut self) {
        let now = self.clock.monotonic();
        self.look_at_clock();
        self.certificates.look();
        self.look_at_cameras(now);
        if now >= self.lists_at {
            self.lists_at = now + LISTS_EVERY;
            self.look_at_lists();
        }
        if now >= self.drops_at {
            self.drops_at = now + DROPS_EVERY;
            self.add_up();
        }
        self.tell(now);
    }

    /// Says that the daemon stops, why, and what it leaves.
    pub(super) fn end(mut self, why: &str, undelivered: u64) {
        self.add_up();
        self.say(Event::DaemonStopped, &[("why", why.to_owned()), ("undelivered", undelivered.to_string())]);
        self.told = None;
        self.tell(self.clock.monotonic());
    }

    fn look_at_clock(&mut self) {
        let (offset, state) = (offset_ms(&self.clock), self.clock.state());
        let (offset_was, state_was) = std::mem::replace(&mut self.clock_was, (offset, state));
        let by = offset - offset_was;
        if by.abs() > STEP_MS {
            tracing::warn!(by_ms = %by, "the wall clock was stepped");
            self.say(Event::ClockStepped, &[("by_ms", by.to_string()), ("clock", state.as_str().to_owned())]);
        } else if state != state_was {
            let details = [("clock", state.as_str().to_owned()), ("was", state_was.as_str().to_owned())];
            self.say(Event::ClockStepped, &details);
        }
    }

    /// Adds up how long cameras that should give pictures gave none.
    fn look_at_cameras(&mut self, now: Duration) {
        let since = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        for (id, counters) in self.health.cameras() {
            if matches!(counters.state(), CameraState::Offline(_) | CameraState::Starting) {
                *self.down.entry(id).or_default() += since;
            }
        }
    }

    fn look_at_lists(&mut self) {
        let matcher = self.hotlists.matcher();
        let now: InForce = matcher
            .lists()
            .iter()
            .map(|list| (list.settings().id.clone(), (list.settings().number, list.serial(), list.len())))
            .collect();
        let before = std::mem::replace(&mut self.lists, now);
        for (id, (number, serial, entries)) in &self.lists {
            let was = before.get(id);
            if was.is_none_or(|was| (was.0, was.1, was.2) != (*number, *serial, *entries)) {
                let mut details = vec![
                    ("list", id.to_string()),
                    ("number", number.to_string()),
                    ("serial", serial.to_string()),
                    ("entries", entries.to_string()),
                ];
                if let Some((_, serial, entries)) = was {
                    details.push(("serial_before", serial.to_string()));
                    details.push(("entries_before", entries.to_string()));
                }
                self.say(Event::ListChanged, &details);
            }
        }
        for (id, (_, serial, _)) in before.iter().filter(|(id, _)| !self.lists.contains_key(*id)) {
            self.say(
                Event::ListChanged,
                &[("list", id.to_string()), ("gone", true.to_string()), ("serial_before", serial.to_string())],
            );
        }
    }

    /// Writes down what was read and hit, and what was not looked at or not recorded, since the last time.
    fn add_up(&mut self) {
        for (id, counters) in self.health.cameras() {
            let now = Counts {
                received: counters.received.get(),
                dropped: counters.dropped.get(),
                unanalysed: counters.unanalysed.get(),
                damaged: counters.damaged.get(),
                lost: counters.lost.get(),
                reads: counters.reads.get(),
                hits: counters.hits.get(),
            };
            let before = self.drops.insert(id.clone(), now).unwrap_or_default();
            let camera = || ("camera", id.to_string());
            let down = self.down.remove(&id).unwrap_or_default().as_secs();
            let (reads, hits) = (now.reads - before.reads, now.hits - before.hits);
            if reads + hits + down > 0 {
                let details =
                    [camera(), ("reads", reads.to_string()), ("hits", hits.to_string()), ("down_s", down.to_string())];
                self.store.audit_later(Event::Counted, &details);
            }
            self.add_up_crossings(&id, &counters.crossings());
            let (dropped, unanalysed) = (now.dropped - before.dropped, now.unanalysed - before.unanalysed);
            let damaged = now.damaged - before.damaged;
            if dropped + unanalysed + damaged > 0 {
                let details = [
                    camera(),
                    ("received", (now.received - before.received).to_string()),
                    ("dropped", dropped.to_string()),
                    ("unanalysed", unanalysed.to_string()),
                    ("damaged", damaged.to_string()),
                ];
                self.store.audit_later(Event::Dropped, &details);
            }
            if now.lost > before.lost {
                self.store.audit_later(Event::Lost, &[camera(), ("sightings", (now.lost - before.lost).to_string())]);
            }
        }
        let pictures = self.store.pictures_lost() + self.health.views_lost.get();
        if pictures > self.pictures_lost {
            self.store.audit_later(Event::Lost, &[("pictures", (pictures - self.pictures_lost).to_string())]);
            self.pictures_lost = pictures;
        }
        if let Err(error) = self.store.audit_flush() {
            tracing::error!(%error, "audit records of what was dropped not written, tried again");
        }
    }

    /// Writes down what crossed each line and entered each zone since the last time, by way and class.
    fn add_up_crossings(&mut self, camera: &CameraId, all: &[Crossings]) {
        for now in all {
            let key = (camera.clone(), now.place.clone());
            let before = self.crossings.insert(key, now.clone());
            let before = before.map_or([[0; 6]; 2], |c| [c.forward, c.backward]);
            let mut details = vec![("camera", camera.to_string()), ("place", now.place.to_string())];
            let mut names = Vec::new();
            for ((way, now), before) in now.ways().into_iter().zip([now.forward, now.backward]).zip(before) {
                for ((class, now), before) in Crossings::classes().zip(now).zip(before).filter(|((_, n), b)| n > b) {
                    names.push((format!("{way} {class}"), now - before));
                }
            }
            details.extend(names.iter().map(|(name, n)| (name.as_str(), n.to_string())));
            if !names.is_empty() {
                self.store.audit_later(Event::Counted, &details);
            }
        }
    }

    /// Hands over a checkpoint when it is time.
    fn tell(&mut self, now: Duration) {
        let Some((carrier, topic)) = &self.tell else { return };
        let every = self.budget.every(Traffic::Audit, TELL_EVERY);
        let due = match self.told {
            None => true,
            Some((head, at)) => now >= at + AGAIN_AFTER || (now >= at + every && self.store.audit_head() != head),
        };
        if !due {
            return;
        }
        match self.store.checkpoint() {
            Ok(payload) => {
                carrier.put_latest(Letter { topic: topic.clone(), payload, correlation: None });
                self.told = Some((self.store.audit_head(), now));
            }
            Err(error) => {
                tracing::error!(%error, "no checkpoint of the audit log to tell");
                // Not at every look.
                self.told = Some((TreeHead::default(), now));
            }
        }
    }

    fn say(&self, event: Event, details: &[(&str, String)]) {
        if let Err(error) = self.store.audit(event, details) {
            tracing::error!(%error, event = event.as_str(), "audit record not written");
        }
    }
}

fn offset_ms(clock: &Clock) -> i128 {
    i128::from(clock.utc().0) - i128::try_from(clock.monotonic().as_millis()).unwrap_or(i128::MAX)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::{Checkpoint, Severity};
    use crate::hotlist::{List, ListSettings};
    use crate::store::audit::{self, AuditRecord};
    use crate::store::testkit::{START, folder, settings};
    use crate::store::{Store, StoreKey};

    struct Site {
        accounts: Accounts,
        sim: Arc<SimClock>,
        carrier: Carrier,
        dir: tempfile::TempDir,
    }

    fn site() -> Site {
        let (dir, sim) = (folder(), SimClock::at(START));
        let clock = Clock::of(sim.clone());
        let store = Store::open(dir.path(), StoreKey::from_bytes([9; 32]), settings(), clock.clone()).unwrap();
        store.sign_checkpoints(Box::new(|log, head| {
            Checkpoint { origin: "watchpost/s/b".to_owned(), log, head: *head }.text().into_bytes()
        }));
        let carrier = Carrier::new(clock.clone());
        let health = Health::new();
        let accounts = Accounts {
            store,
            certificates: Certificates::new(None, &health, &clock),
            health,
            hotlists: Arc::new(Hotlists::new()),
            clock: clock.clone(),
            tell: Some((carrier.clone(), "audit".to_owned())),
            budget: Budget::unbounded(clock.clone()),
            clock_was: (offset_ms(&clock), clock.state()),
            lists: InForce::new(),
            lists_at: clock.monotonic(),
            drops: BTreeMap::new(),
            pictures_lost: 0,
            down: BTreeMap::new(),
            crossings: BTreeMap::new(),
            looked_at: clock.monotonic(),
            drops_at: clock.monotonic() + DROPS_EVERY,
            told: None,
        };
        Site { accounts, sim, carrier, dir }
    }

    impl Site {
        fn of(&self, event: Event) -> Vec<AuditRecord> {
            let records = audit::read(self.dir.path()).unwrap();
            records.into_iter().filter(|record| record.event == event.as_str()).collect()
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_written_down_and_time_that_passes_is_not() {
        let mut site = site();
        site.accounts.look();
        site.sim.advance(Duration::from_hours(30));
        site.accounts.look();
        assert_eq!(site.of(Event::ClockStepped), []);
        site.sim.step_to(crate::domain::TimeMs(START.0 + 1));
        site.accounts.look();
        site.accounts.look();
        let steps = site.of(Event::ClockStepped);
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].detail("by_ms"), Some((1 - 30 * 3_600_000_i64).to_string().as_str()));
    }

    #[test]
    fn lists_that_come_change_and_go_are_written_down() {
        let mut site = site();
        let list = |serial: u64, text: &[u8]| {
            let settings = ListSettings::new(ListId::new("stolen").unwrap(), 7, Severity::Info);
            List::parse(std::path::Path::new("l.csv"), text, crate::domain::TimeMs(serial * 1_000), &settings).unwrap()
        };
        let look = |site: &mut Site| {
            site.sim.advance(LISTS_EVERY);
            site.accounts.look();
        };
        site.accounts.hotlists.put(list(1, b"PlateNumber\nABC1234\n")).unwrap();
        look(&mut site);
        look(&mut site);
        site.accounts.hotlists.put(list(2, b"PlateNumber\nABC1234\nXYZ9876\n")).unwrap();
        look(&mut site);
        site.accounts.hotlists.remove(&ListId::new("stolen").unwrap());
        look(&mut site);
        let told: Vec<_> = site
            .of(Event::ListChanged)
            .iter()
            .map(|r| ["entries", "entries_before", "gone"].map(|name| r.detail(name).map(str::to_owned)))
            .collect();
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(told, [[text("1"), None, None], [text("2"), text("1"), None], [None, None, text("true")]]);
        assert!(!format!("{:?}", site.of(Event::ListChanged)).contains("ABC"), "no plate in the log");
    }

    #[test]
    fn drops_are_told_once_an_hour_and_only_where_there_were_some() {
        let mut site = site();
        let gate = site.accounts.health.camera(&CameraId::new("gate").unwrap());
        let _idle = site.accounts.health.camera(&CameraId::new("idle").unwrap());
        gate.received.add(10);
        gate.dropped.add(4);
        gate.lost.add(1);
        site.accounts.look();
        assert_eq!(site.of(Event::Dropped), []);
        for _ in 0..2 {
            site.sim.advance(DROPS_EVERY);
            site.accounts.look();
        }
        let (drops, lost) = (site.of(Event::Dropped), site.of(Event::Lost));
        assert_eq!((drops.len(), lost.len()), (1, 1));
        assert_eq!((drops[0].detail("camera"), drops[0].detail("dropped")), (Some("gate"), Some("4")));
        assert_eq!(lost[0].detail("sightings"), Some("1"));
    }

    #[test]
    fn a_checkpoint_is_told_when_the_log_grew_and_now_and_then() {
        let mut site = site();
        let told = |site: &Site| site.accounts.told.unwrap();
        site.accounts.look();
        let first = told(&site);
        assert_eq!((first.0, site.carrier.waiting()), (site.accounts.store.audit_head(), 1));
        site.accounts.store.audit(Event::Queried, &[]).unwrap();
        site.accounts.look();
        assert_eq!(told(&site), first, "not more often than every ten seconds");
        site.sim.advance(TELL_EVERY);
        site.accounts.look();
        let second = told(&site);
        assert_eq!((second.0, site.carrier.waiting()), (site.accounts.store.audit_head(), 1));
        site.sim.advance(TELL_EVERY * 3);
        site.accounts.look();
        assert_eq!(told(&site), second, "nothing new");
        site.sim.advance(AGAIN_AFTER);
        site.accounts.look();
        assert!(told(&site).1 > second.1);
        site.accounts.end("asked to", 3);
        assert_eq!(audit::read(site.dir.path()).unwrap().last().unwrap().detail("undelivered"), Some("3"));
    }
}
