//! Makes the health report: for the session every 30 s, for `box.status`, for the unix socket.
//!
//! Each report draws a challenge, which counts for some minutes ([`Challenges`]). Asking the machine and the other rooms
//! may read the disk; it must not take long. Cheap to clone.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::publish::OutboxSource;
use super::wire::{BootId, Gauges, HealthFacts, HealthReport, OutboxGauge, StateDigests};
use crate::clock::{Challenges, Clock};
use crate::domain::TimeMs;
use crate::health::Health;

/// Asks what only the machine and other rooms know.
pub type Ask = Box<dyn Fn(TimeMs) -> Gauges + Send + Sync>;

/// What a report is made of.
pub struct Parts {
    /// What the `state` of alerts stands for at first.
    pub digests: StateDigests,
    /// Asks the machine and the other rooms.
    pub gauges: Ask,
    /// What waits for the centre.
    pub outbox: Arc<dyn OutboxSource>,
    /// Counters.
    pub health: Arc<Health>,
    /// Where challenges are remembered.
    pub challenges: Challenges,
    /// Time.
    pub clock: Clock,
}

/// See the module.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    parts: Parts,
    boot: BootId,
    started: Duration,
    digests: RwLock<StateDigests>,
}

impl Reporter {
    /// Draws this start's boot id.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let mut boot = [0; 8];
        // Without randomness the boot id is all zero: it tells starts apart and guards nothing.
        let _ = SystemRandom::new().fill(&mut boot);
        let started = parts.clock.monotonic();
        let digests = RwLock::new(parts.digests.clone());
        Self(Arc::new(Inner { parts, boot: BootId(boot), started, digests }))
    }

    /// What the `state` of alerts stands for from now on.
    pub fn set_digests(&self, digests: StateDigests) {
        *self.0.digests.write().unwrap_or_else(PoisonError::into_inner) = digests;
    }

    /// Which start of the daemon.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.0.boot
    }

    /// How the box is now.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        self.with(self.0.parts.challenges.draw())
    }

    /// The same for who only looks: no challenge is drawn, so that none of those that were told is forgotten for it.
    #[must_use]
    pub fn look(&self) -> HealthReport {
        self.with([0; 8])
    }

    fn with(&self, challenge: [u8; 8]) -> HealthReport {
        let parts = &self.0.parts;
        let utc = parts.clock.utc();
        let depth = parts.outbox.depth();
        let facts = HealthFacts {
            time: (utc, parts.clock.state()),
            challenge,
            boot: self.0.boot,
            uptime_s: parts.clock.monotonic().saturating_sub(self.0.started).as_secs(),
            numbers: (parts.outbox.epoch(), parts.outbox.newest()),
            outbox: OutboxGauge {
                entries: depth.entries,
                bytes: depth.bytes,
                oldest_ms: depth.oldest.map_or(0, |oldest| utc.since(oldest)),
            },
            gauges: (parts.gauges)(utc),
            digests: self.0.digests.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        HealthReport::of(&parts.health, facts)
    }
}
