//! The only place that asks what time it is.
//!
//! Rooms get a [`Clock`] and pass times on as arguments; tests get [`SimClock`] and move it by hand.

mod challenge;
mod kernel;
mod timedated;

pub use challenge::Challenges;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{ClockState, TimeMs};
use timedated::Timedated;

/// Where time comes from.
pub trait TimeSource: Send + Sync {
    /// UTC now.
    fn utc(&self) -> TimeMs;
    /// Time since some fixed point, never going back.
    fn monotonic(&self) -> Duration;
    /// How far [`TimeSource::utc`] can be trusted.
    fn state(&self) -> ClockState;
}

/// A shared handle on a time source.
#[derive(Clone)]
pub struct Clock(Arc<dyn TimeSource>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemClock::new()))
    }

    /// The system's clock, of which it is known from the first moment on whether it is kept: waits some seconds at most
    /// where others than the kernel have to be asked for that.
    #[must_use]
    pub fn system_known() -> Self {
        let clock = SystemClock::new();
        // Asks, if that has to be.
        clock.state();
        clock.timedated.get().iter().for_each(|asked| asked.wait(KNOWN_WITHIN));
        Self(Arc::new(clock))
    }

    /// A clock of one's own.
    #[must_use]
    pub fn of(source: Arc<dyn TimeSource>) -> Self {
        Self(source)
    }

    /// UTC now.
    #[must_use]
    pub fn utc(&self) -> TimeMs {
        self.0.utc()
    }

    /// Time since some fixed point, never going back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    /// How far UTC can be trusted.
    #[must_use]
    pub fn state(&self) -> ClockState {
        self.0.state()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.utc())
    }
}

/// Before this (2025-01-01) the clock cannot have been set.
pub const PLAUSIBLE_FROM: TimeMs = TimeMs(1_735_689_600_000);

/// How long [`Clock::system_known`] waits.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Made by systemd-timesyncd when it has set the clock.
const TIMESYNCD_MARK: &str = "/run/systemd/timesync/synchronized";

struct SystemClock {
    start: Instant,
    /// There from when the kernel first refused to tell.
    timedated: OnceLock<Timedated>,
}

impl SystemClock {
    fn new() -> Self {
        Self { start: Instant::now(), timedated: OnceLock::new() }
    }

    /// Whether a time service keeps the clock: the kernel knows, where it may be asked.
    fn is_kept(&self) -> bool {
        let asked = || self.timedated.get_or_init(|| Timedated::ask_by(timedated::PROGRAM)).is_kept();
        // Where nobody answers, timesyncd's mark says at least that the clock was right once.
        kernel::is_kept().or_else(asked).unwrap_or_else(|| std::path::Path::new(TIMESYNCD_MARK).exists())
    }
}

impl TimeSource for SystemClock {
    fn utc(&self) -> TimeMs {
        #[expect(clippy::disallowed_methods, reason = "the one place that may ask the system")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn state(&self) -> ClockState {
        if self.utc() < PLAUSIBLE_FROM {
            return ClockState::Unset;
        }
        if self.is_kept() { ClockState::Synced } else { ClockState::Holdover }
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct SimClock {
    utc_ms: AtomicU64,
    monotonic_ms: AtomicU64,
    state: Mutex<ClockState>,
}

impl SimClock {
    /// Starts at `utc`.
    #[must_use]
    pub fn at(utc: TimeMs) -> Arc<Self> {
        Arc::new(Self {
            utc_ms: AtomicU64::new(utc.0),
            monotonic_ms: AtomicU64::new(0),
            state: Mutex::new(ClockState::Synced),
        })
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.utc_ms.fetch_add(ms, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Says how far it can be trusted; synced at first.
    pub fn set_state(&self, state: ClockState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Sets the wall clock, as a time service or a person would; the monotonic time stays.
    pub fn step_to(&self, utc: TimeMs) {
        self.utc_ms.store(utc.0, Ordering::SeqCst);
    }
}

impl TimeSource for SimClock {
    fn utc(&self) -> TimeMs {
        TimeMs(self.utc_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }

    fn state(&self) -> ClockState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
