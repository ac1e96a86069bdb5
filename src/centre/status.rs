//! What the box says of itself: its status (retained, with a last will), its cameras' (retained, on change), its health.
//!
//! The board remembers what the broker was told and says what differs; a new connection is told everything again.
//! Nothing here waits: what does not fit into the link is said at the next call. Used by `session`.
//!
//! On a thin link the words about cameras are bounded: a camera whose state keeps changing is told at most
//! [`CHANGES`] times in [`CHANGES_WITHIN`], its newest state then, and numbers alone are brought up to date for one
//! camera every [`REFRESH_GAP`], each at most every [`REFRESH`]. Where the link's budget is short, numbers alone are not.

use std::collections::VecDeque;
use std::time::Duration;

use super::budget::Traffic;
use super::keys::SigningKey;
use super::link::{Sender, Token, Will};
use super::mirror::Mirrors;
use super::report::Reporter;
use super::session::Identity;
use super::wire::{self, BoxState, CameraStatus, Place, RuleName, Status, Wire};
use crate::backoff::anywhere;
use crate::clock::Clock;
use crate::domain::CameraId;
use crate::health::Health;

/// The numbers in a camera's status are brought up to date so often although nothing changed.
const REFRESH: Duration = Duration::from_mins(1);
/// … and those of one camera at a time: with more than six cameras each waits its turn.
const REFRESH_GAP: Duration = Duration::from_secs(10);
/// A camera's changes of state are told at once, up to so many …
const CHANGES: usize = 4;
/// … within this time.
const CHANGES_WITHIN: Duration = Duration::from_secs(30);

/// A camera as the centre is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraFacts {
    /// Its id.
    pub id: CameraId,
    /// Its number, as alerts name it.
    pub number: u16,
    /// Where it is and looks.
    pub place: Place,
    /// The rules that hold on it.
    pub rules: Vec<RuleName>,
}

struct Camera {
    facts: CameraFacts,
    /// What this connection was told last, and when.
    told: Option<(CameraStatus, Duration)>,
    /// When its newest changes of state were told, at most [`CHANGES`], over all connections.
    changes: VecDeque<Duration>,
}

/// Why a camera is to be told of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// This connection does not know it.
    New,
    /// Its state is another.
    Changed,
    /// Its numbers are old.
    Refresh,
}

impl Camera {
    fn due(&self, status: &CameraStatus, now: Duration, next_refresh: Duration) -> Option<Due> {
        let Some((told, at)) = &self.told else { return Some(Due::New) };
        if told.state == status.state && told.reason == status.reason {
            return (now >= (*at + REFRESH).max(next_refresh)).then_some(Due::Refresh);
        }
        let spent = self.changes.len() >= CHANGES && self.changes.front().is_some_and(|t| now < *t + CHANGES_WITHIN);
        (!spent).then_some(Due::Changed)
    }

    fn note(&mut self, due: Due, status: CameraStatus, now: Duration) {
        self.told = Some((status, now));
        if due == Due::Changed {
            self.changes.push_back(now);
            while self.changes.len() > CHANGES {
                self.changes.pop_front();
            }
        }
    }
}

/// See the module.
pub struct StatusBoard {
    session: u32,
    told_online: bool,
    cameras: Vec<Camera>,
    /// No camera's numbers are refreshed before.
    next_refresh: Duration,
    reporter: Reporter,
    clock: Clock,
}

impl StatusBoard {
    /// Nothing told yet.
    #[must_use]
    pub fn new(cameras: Vec<CameraFacts>, reporter: Reporter, clock: Clock) -> Self {
        Self {
            session: 0,
            told_online: false,
            cameras: cameras.into_iter().map(|facts| Camera { facts, told: None, changes: VecDeque::new() }).collect(),
            next_refresh: Duration::ZERO,
            reporter,
            clock,
        }
    }

    /// The last will of the next connection, signed now.
    #[must_use]
    pub fn will(&mut self, identity: &Identity) -> Option<Will> {
        self.session = self.session.saturating_add(1);
        let topic = identity.topics.status();
        let payload = signed(&self.status(BoxState::Offline), &topic, &identity.key.current())?;
        Some(Will { topic, payload })
    }

    /// A connection stands: it is to be told everything.
    pub fn connected(&mut self) {
        self.told_online = false;
        self.cameras.iter_mut().for_each(|camera| camera.told = None);
    }

    /// Says what has changed, as far as the link has room, and has it mirrored.
    pub fn say_changes(&mut self, identity: &Identity, health: &Health, link: &mut Sender, mirrors: &mut Mirrors) {
        if !self.told_online {
            self.told_online = self.say_state(BoxState::Online, Token::Other, identity, link);
        }
        // Counted from before the start, so that there is a moment before the first one.
        let (utc, now) = (self.clock.utc(), self.clock.monotonic() + REFRESH);
        for camera in &mut self.cameras {
            let facts = &camera.facts;
            let mut status =
                CameraStatus::of(facts.number, &health.camera(&facts.id), utc).at(&facts.place).ruled(&facts.rules);
            let Some(due) = camera.due(&status, now, self.next_refresh) else { continue };
            if due == Due::Refresh && !link.lets_go(Traffic::Status) {
                continue;
            }
            if let Some((told, _)) = &camera.told {
                status = status.since(told);
            }
            let topic = identity.topics.camera_status(&facts.id);
            let Some(message) = signed(&status, &topic, &identity.key.current()) else { continue };
            if !link.publish(&topic, message, true, Token::Other) {
                return;
            }
            // What a connection was told first is brought up to date sooner, at any moment: boxes that connected in one
            // moment do not stay in step.
            let told_at = if due == Due::New { now.saturating_sub(anywhere(REFRESH)) } else { now };
            mirrors.camera(&camera.facts.id, &status);
            camera.note(due, status, told_at);
            if due == Due::Refresh {
                self.next_refresh = now + REFRESH_GAP;
            }
        }
    }

    /// Says that the box stops in good order; false when the link has no room for it.
    pub fn say_stopped(&self, identity: &Identity, link: &mut Sender) -> bool {
        self.say_state(BoxState::Stopped, Token::Farewell, identity, link)
    }

    /// Says how the box is; lost, and counted, when the link has no room. Mirrored in any case.
    pub fn say_health(&self, identity: &Identity, health: &Health, link: &mut Sender, mirrors: &mut Mirrors) {
        let topic = identity.topics.health();
        let report = self.reporter.report();
        mirrors.health(&report);
        if let Some(message) = signed(&report, &topic, &identity.key.current())
            && !link.publish_unacknowledged(&topic, message)
        {
            health.centre.unsaid.inc();
        }
    }

    fn say_state(&self, state: BoxState, token: Token, identity: &Identity, link: &mut Sender) -> bool {
        let topic = identity.topics.status();
        signed(&self.status(state), &topic, &identity.key.current())
            .is_some_and(|message| link.publish(&topic, message, true, token))
    }

    fn status(&self, state: BoxState) -> Status {
        Status::new(state, self.reporter.boot(), self.session, self.clock.utc(), self.clock.state())
    }
}

/// `None`, and a line in the log, for what cannot be signed: a fault of ours that must not end the session.
fn signed<M: Wire>(message: &M, topic: &str, key: &SigningKey) -> Option<Vec<u8>> {
    match wire::sign(message, topic, key) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::error!(%error, topic, "a message of ours could not be made");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TimeMs;
    use crate::health::{CameraCounters, CameraState};

    fn camera() -> Camera {
        let facts =
            CameraFacts { id: CameraId::new("gate").unwrap(), number: 1, place: Place::default(), rules: Vec::new() };
        Camera { facts, told: None, changes: VecDeque::new() }
    }

    fn status(state: CameraState) -> CameraStatus {
        let counters = CameraCounters::default();
        counters.set_state(state);
        CameraStatus::of(1, &counters, TimeMs(1))
    }

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_camera_that_flaps_is_told_four_times_in_half_a_minute_and_then_its_newest_state() {
        let mut camera = camera();
        assert_eq!(camera.due(&status(CameraState::Starting), at(0), at(0)), Some(Due::New));
        camera.note(Due::New, status(CameraState::Starting), at(0));
        let mut told = Vec::new();
        for second in 1..60 {
            let now = if second % 2 == 0 { CameraState::Online } else { CameraState::Offline("gone".to_owned()) };
            if let Some(due) = camera.due(&status(now.clone()), at(second), at(0)) {
                assert_eq!(due, Due::Changed);
                camera.note(due, status(now), at(second));
                told.push(second);
            }
        }
        assert_eq!(told, [1, 2, 3, 4, 31, 32, 33, 34]);
    }

    #[test]
    fn numbers_are_refreshed_each_minute_one_camera_every_ten_seconds() {
        let mut camera = camera();
        let online = || status(CameraState::Online);
        camera.note(Due::New, online(), at(0));
        assert_eq!(camera.due(&online(), at(59), at(0)), None);
        assert_eq!(camera.due(&online(), at(60), at(0)), Some(Due::Refresh));
        assert_eq!(camera.due(&online(), at(60), at(65)), None, "another one had its turn at 55 s");
        assert_eq!(camera.due(&online(), at(65), at(65)), Some(Due::Refresh));
    }
}
