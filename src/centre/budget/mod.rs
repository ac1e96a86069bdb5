//! The link's budget: what goes to the centre is counted a UTC day and kind, and what matters less waits when it gets short.
//!
//! [`day`] has the rules, as plain values; this is the one book that everybody who sends looks into. What is counted is what a
//! message takes of the link by estimate ([`on_the_wire`]); whatever leaves is counted where it leaves, in
//! [`super::link::Sender`], so nothing goes past it. Without a budget it is counted and told all the same, and nothing waits.
//!
//! **Promises.** Alerts of the severities `serious` and `critical` never wait, whatever the count, the clock or the disk say.
//! With a clock that was never set no alert waits and nothing is paced, since nobody knows the time of day; a clock that is
//! stepped back takes nothing away that was allowed before, and no day lasts longer than 24 hours of running time. The count
//! survives a restart but for what was sent since it was kept last: a 32nd of the budget at most, a 256th if that took more than a minute, and no more
//! than that of ten minutes.
//!
//! Cheap to clone; calls take a lock for some additions and never wait, but for [`Budget::keep`], which writes.

pub mod day;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use day::{Day, Traffic};

use super::topics::Topics;
use super::wire::LinkGauge;
use crate::clock::Clock;
use crate::domain::{ClockState, Severity};

/// Time between two health messages, and two checkpoints of the audit log, while the budget is short.
pub const THIN: Duration = Duration::from_mins(5);
/// The count is kept when so much time has gone and something was sent …
const KEEP_EVERY: Duration = Duration::from_mins(10);
/// … or this part of the budget, though not more often than this: it wears the disk.
const KEEP_PART: u64 = 256;
const KEEP_LEAST: Duration = Duration::from_mins(1);
/// … but at once after this part: what starts again and again must not go past its budget.
const KEEP_AT_ONCE: u64 = 32;
/// No day lasts longer, whatever the wall clock says.
const LONGEST_DAY: Duration = Duration::from_hours(24);

/// IP and TCP headers with the time stamps that Linux sends, of each segment.
const SEGMENT: u64 = 52;
/// Payload of a segment, somewhat less than an Ethernet's: mobile links tunnel.
const SEGMENT_PAYLOAD: u64 = 1_360;
/// A record of TLS 1.3 around up to 16 KiB.
const RECORD: u64 = 22;
const RECORD_PAYLOAD: u64 = 16 << 10;
/// MQTT 5 around topic and payload at QoS 1: kind, length, length of the topic, packet id, properties.
const PUBLISH: u64 = 9;
/// What is sent to connect: TCP, the handshake with our certificate, CONNECT with the last will, the subscription.
const CONNECT: u64 = 1_700;
/// A sign of life, or our acknowledgement of what came, and TCP's acknowledgement of the answer.
const SIGN_OF_LIFE: u64 = SEGMENT + RECORD + 4 + SEGMENT;

/// What a message of `topic` and `payload` bytes takes of the link upwards, its share of TLS, TCP and IP included, and TCP's
/// acknowledgement of the broker's answer. An estimate: segments are shared under load, IPv6 has headers that are 20 bytes larger.
#[must_use]
pub fn on_the_wire(topic: usize, payload: usize) -> u64 {
    let mqtt = PUBLISH + topic as u64 + payload as u64;
    let tls = mqtt + RECORD * mqtt.div_ceil(RECORD_PAYLOAD);
    tls + SEGMENT * tls.div_ceil(SEGMENT_PAYLOAD) + SEGMENT
}

/// Where the count is kept.
pub trait Keeper: Send + Sync + 'static {
    /// What was kept last; `None` when nothing was.
    ///
    /// # Errors
    /// What is wrong, for the log: counting begins anew then.
    fn read(&self) -> Result<Option<Vec<u8>>, String>;

    /// Keeps this instead. May write to the disk.
    ///
    /// # Errors
    /// What is wrong, for the log; it is tried again.
    fn write(&self, bytes: &[u8]) -> Result<(), String>;
}

/// See the module.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    /// Bytes a day; `None`: nothing waits.
    bytes: Option<u64>,
    keeper: Option<Box<dyn Keeper>>,
    clock: Clock,
    book: Mutex<Book>,
    /// Held while the count is written, so that the newest is what stays.
    writing: Mutex<()>,
}

struct Book {
    day: Day,
    /// Running time when the day began, or this start.
    begun: Duration,
    /// The latest time of this day that the wall clock has shown, ms.
    latest_ms: u64,
    kept: (u64, Duration),
    keep_failed: bool,
    /// What was said to wait, of this day.
    said: Option<Traffic>,
    /// What was kept of another day than it seemed to be at the start: the clock of a box may be set later.
    other: Option<Day>,
}

/// What the budget makes wait or go less often, in this order.
pub const STEPS: [Traffic; 5] = [
    Traffic::Mirror,
    Traffic::Health,
    Traffic::Evidence,
    Traffic::Alert(Severity::Info),
    Traffic::Alert(Severity::Minor),
];

impl Budget {
    /// Counts from what `keeper` has of today; `bytes` a day, where there is a bound.
    #[must_use]
    pub fn new(bytes: Option<u64>, keeper: Option<Box<dyn Keeper>>, clock: Clock) -> Self {
        let number = clock.utc().day();
        let found = keeper.as_ref().map_or(Ok(None), |keeper| keeper.read()).and_then(|kept| match kept {
            None => Ok(None),
            Some(kept) => Day::read(&kept).map(Some).ok_or_else(|| "it is of another version".to_owned()),
        });
        let found = found.unwrap_or_else(|error| {
            tracing::error!(error, "the count of the link's bytes does not open: it begins anew");
            None
        });
        let (today, other) = match found {
            Some(day) if day.number == number => (Some(day), None),
            other => (None, other),
        };
        let (day, now) = (today.unwrap_or_else(|| Day::new(number)), clock.monotonic());
        let kept = (day.sent(), now);
        let book = Book { kept, day, begun: now, latest_ms: 0, keep_failed: false, said: None, other };
        Self(Arc::new(Inner { bytes, keeper, clock, book: Mutex::new(book), writing: Mutex::new(()) }))
    }

    /// Counts, keeps nothing and lets everything go.
    #[must_use]
    pub fn unbounded(clock: Clock) -> Self {
        Self::new(None, None, clock)
    }

    /// Counts a message that was handed to the link.
    pub fn sent(&self, what: Traffic, topic: usize, payload: usize) {
        self.book().day.count(what, on_the_wire(topic, payload));
    }

    /// Counts a session that was made.
    pub fn connected(&self) {
        self.book().day.count(Traffic::Session, CONNECT);
    }

    /// Counts a sign of life, or an acknowledgement of ours.
    pub fn signed_life(&self) {
        self.book().day.count(Traffic::Session, SIGN_OF_LIFE);
    }

    /// Counts a message that came.
    pub fn received(&self, topic: usize, payload: usize) {
        let mut book = self.book();
        book.day.down = book.day.down.saturating_add(on_the_wire(topic, payload));
    }

    /// Whether `what` may go now, `bytes` of it.
    #[must_use]
    pub fn goes(&self, what: Traffic, bytes: u64) -> bool {
        let Some(budget) = self.0.bytes else { return true };
        let unset = self.0.clock.state() == ClockState::Unset;
        let book = self.book();
        unset && matches!(what, Traffic::Alert(_)) || book.day.goes(what, bytes, book.allowed(budget, unset))
    }

    /// The least severe alerts that go now.
    #[must_use]
    pub fn least(&self) -> Severity {
        // One that is a little larger than what is left is no harm.
        let goes = |severity: &Severity| self.goes(Traffic::Alert(*severity), 0);
        Severity::ALL.into_iter().find(goes).unwrap_or(Severity::Serious)
    }

    /// Whether alerts wait for the budget: what is sent again without an answer is then sent again less often.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.least() > Severity::Info
    }

    /// Time until the next message of a kind that comes again and again, usually `usual`.
    #[must_use]
    pub fn every(&self, what: Traffic, usual: Duration) -> Duration {
        // A box without a clock is told the time by an answer to its newest health.
        let unset = self.0.clock.state() == ClockState::Unset;
        if unset || self.goes(what, 0) { usual } else { usual.max(THIN) }
    }

    /// Whether `bytes` of large answers find room behind `waiting` ones; if not, what to tell who asked.
    ///
    /// # Errors
    /// The reason, with when there will be room.
    pub fn takes_answer(&self, waiting: usize, bytes: usize) -> Result<(), String> {
        let wanted = waiting as u64 + bytes as u64;
        if self.goes(Traffic::Evidence, wanted) {
            return Ok(());
        }
        let budget = self.0.bytes.unwrap_or(u64::MAX);
        let at = self.book().day.goes_at(Traffic::Evidence, wanted, budget);
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let when = at.map_or_else(
            || "that is more than a day leaves for answers: ask for less, raise centre.budget_mib_a_day, or fetch it on the site".to_owned(),
            |ms| {
                let minutes = ms.div_ceil(60_000);
                let day = if minutes >= 1_440 { "tomorrow" } else { "today" };
                format!("ask again {day} from {:02}:{:02} UTC on", minutes % 1_440 / 60, minutes % 60)
            },
        );
        let text = "the budget of the link has no room for this answer now";
        Err(format!("{text} ({} of {} a day): {when}", mib(wanted), mib(budget)))
    }

    /// To be called every second or so: begins a new day, says once a day what has to wait, and whether the count is to be
    /// kept now.
    pub fn look(&self) -> bool {
        let inner = &*self.0;
        let (utc, now) = (inner.clock.utc(), inner.clock.monotonic());
        let mut book = self.book();
        // A clock that was put back begins no day: yesterday would be over, and all of its budget there.
        if utc.day() > book.day.number || now.saturating_sub(book.begun) >= LONGEST_DAY {
            if book.said.is_some() {
                tracing::info!(sent = book.day.sent(), "a new day: the budget of the link begins anew");
            }
            let other = book.other.take();
            let (day, other) = match other {
                Some(day) if day.number == utc.day() => (day, None),
                other => (Day::new(utc.day()), other.filter(|other| other.number > utc.day())),
            };
            let keep_failed = book.keep_failed;
            *book = Book { day, begun: now, latest_ms: 0, kept: (u64::MAX, now), keep_failed, said: None, other };
        }
        if utc.day() == book.day.number {
            book.latest_ms = book.latest_ms.max(day::so_far(utc));
        }
        let (sent, (kept, at)) = (book.day.sent(), book.kept);
        drop(book);
        self.say();
        let part = inner.bytes.is_some_and(|bytes| sent.abs_diff(kept) >= (bytes / KEEP_PART).max(1));
        let due = sent != kept && now.saturating_sub(at) >= if part { KEEP_LEAST } else { KEEP_EVERY };
        let large = inner.bytes.is_some_and(|bytes| sent.abs_diff(kept) >= (bytes / KEEP_AT_ONCE).max(1));
        inner.keeper.is_some() && (due || large || kept == u64::MAX)
    }

    /// Says what has to wait, when it is more than was said this day.
    fn say(&self) {
        let Some(budget) = self.0.bytes else { return };
        let waits = STEPS.into_iter().rev().find(|what| *what != Traffic::Mirror && !self.goes(*what, 0));
        let Some(waits) = waits else { return };
        let place = |what: Traffic| STEPS.iter().position(|step| *step == what);
        let mut book = self.book();
        if book.said.is_some_and(|said| place(said) >= place(waits)) {
            return;
        }
        book.said = Some(waits);
        let sent = book.day.sent();
        drop(book);
        tracing::warn!(
            sent,
            budget,
            waits = waits.as_str(),
            "the budget of the link is short: what matters less waits or goes less often, up to what is named"
        );
    }

    /// Keeps the count, if it is kept anywhere. Writes to the disk.
    pub fn keep(&self) {
        let Some(keeper) = &self.0.keeper else { return };
        let _one = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.clock.monotonic();
        let (bytes, sent) = {
            let mut book = self.book();
            let sent = book.day.sent();
            // What is kept of a later day is not lost to a clock that is not set yet.
            if book.other.as_ref().is_some_and(|other| other.number > book.day.number) {
                book.kept = (sent, now);
                return;
            }
            // A failure is tried again after a while, not every second.
            book.kept = (sent, now);
            (book.day.bytes(), sent)
        };
        let written = keeper.write(&bytes);
        let failed_before = std::mem::replace(&mut self.book().keep_failed, written.is_err());
        if let Err(error) = written
            && !failed_before
        {
            tracing::error!(error, sent, "the count of the link's bytes is not written: a restart would begin it anew");
        }
    }

    /// What health tells; `held`: alerts that wait, by severity, least first.
    #[must_use]
    pub fn gauge(&self, held: [u64; 4]) -> LinkGauge {
        let waits: Vec<Traffic> = STEPS.into_iter().filter(|what| !self.goes(*what, 0)).collect();
        let least = self.least();
        let held = Severity::ALL.into_iter().zip(held).filter(|(severity, _)| *severity < least).map(|(_, n)| n).sum();
        let unset = self.0.clock.state() == ClockState::Unset;
        let book = self.book();
        LinkGauge {
            day: book.day.number,
            up: book.day.up,
            down: book.day.down,
            budget: self.0.bytes.map(|bytes| [bytes, book.allowed(bytes, unset)]),
            waits: u8::try_from(waits.len()).unwrap_or(u8::MAX),
            held,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn allowed(&self, budget: u64, clock_unset: bool) -> u64 {
        if clock_unset { budget } else { day::allowed(budget, self.latest_ms) }
    }
}

/// A budget and the topics that tell what a message counts as.
#[derive(Clone)]
pub struct Meter {
    /// What is counted.
    pub budget: Budget,
    /// Of the box that sends.
    pub topics: Topics,
}

impl Meter {
    /// Counts a message that was handed to the link.
    pub fn sent(&self, topic: &str, payload: usize) {
        self.budget.sent(self.topics.traffic(topic), topic.len(), payload);
    }
}

#[cfg(test)]
mod tests;
