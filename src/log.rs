//! Sets up `tracing` for a binary: to stderr, level by `WATCHPOST_LOG` (default `info`), and into a ring in memory.
//!
//! The [`LogRing`] holds the newest lines at INFO and above, whatever stderr shows, for the operation `log.tail`: at most
//! 2,000 lines, each cut at 400 bytes (and what was left out before it). DEBUG and TRACE never go in: plates may be named there. Writing a line takes one
//! short lock; the oldest goes when the ring is full. Where stderr is the journal of systemd, lines are as it wants them
//! ([`journal`]). How much is said is bounded, in both ([`limit`]).

mod journal;
mod limit;

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;
use crate::domain::TimeMs;
use limit::{Bounded, Limit, Told};

/// Most lines that are held.
const LINES: usize = 2_000;
/// Longest line, in bytes.
const LINE: usize = 400;

/// A line of the daemon's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Counts up from 1 since the program's start.
    pub number: u64,
    /// When.
    pub at: TimeMs,
    /// How grave: ERROR, WARN or INFO.
    pub level: Level,
    /// The module that said it.
    pub target: String,
    /// The message, and its fields as `name=value`.
    pub text: String,
}

/// The newest lines at INFO and above; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LogRing(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    newest: u64,
    lines: VecDeque<LogLine>,
}

impl LogRing {
    /// The newest `most` lines with a number above `after`, at `level` or graver, oldest first.
    #[must_use]
    pub fn newest(&self, most: usize, level: Level, after: u64) -> Vec<LogLine> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |line: &&LogLine| line.number > after && line.level <= level;
        let mut lines: Vec<LogLine> = held.lines.iter().rev().filter(fits).take(most).cloned().collect();
        lines.reverse();
        lines
    }

    pub(crate) fn push(&self, at: TimeMs, level: Level, target: &str, text: String) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.newest += 1;
        let number = held.newest;
        if held.lines.len() >= LINES {
            held.lines.pop_front();
        }
        held.lines.push_back(LogLine { number, at, level, target: target.to_owned(), text });
    }
}

/// Starts logging to stderr and into the ring that it gives. Called a second time it gives a ring that stays empty.
///
/// `default` is the filter used when `WATCHPOST_LOG` is not set or cannot be parsed.
pub fn init(default: &str) -> LogRing {
    let filter = EnvFilter::try_from_env("WATCHPOST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (ring, clock) = (LogRing::default(), Clock::system());
    let limit = Limit::new(clock.clone());
    let bounded = Bounded { filter, limit: limit.clone() };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let to_stderr = if journal::is_stderr() {
        let format = Told { format: journal::Lines::default(), limit };
        lines.with_ansi(false).event_format(format).with_filter(bounded).boxed()
    } else {
        let format = Told { format: Format::default().with_ansi(colour), limit };
        lines.with_ansi(colour).event_format(format).with_filter(bounded).boxed()
    };
    // ONNX Runtime tells of devices and versions at INFO; what matters of it comes as an error.
    let filter = Targets::new().with_default(LevelFilter::INFO).with_target("ort", LevelFilter::WARN);
    let limit = Limit::new(clock.clone());
    let into_ring = IntoRing { ring: ring.clone(), clock, limit: limit.clone() }.with_filter(Bounded { filter, limit });
    // An Err means that a subscriber is set already, as in tests: that one serves.
    let _ = tracing_subscriber::registry().with(to_stderr).with(into_ring).try_init();
    ring
}

/// Starts logging to stderr for a process whose daemon reads it: the level first, no times and no colours.
pub fn init_plain(default: &str) {
    let filter = EnvFilter::try_from_env("WATCHPOST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let plain = tracing_subscriber::fmt::layer().without_time().with_target(false).with_ansi(false);
    let _ = tracing_subscriber::registry().with(plain.with_writer(std::io::stderr).with_filter(filter)).try_init();
}

/// Writes events into a ring.
struct IntoRing {
    ring: LogRing,
    clock: Clock,
    limit: Limit,
}

impl<S: Subscriber> Layer<S> for IntoRing {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let text = line.text() + &self.limit.left_out(event).unwrap_or_default();
        self.ring.push(self.clock.utc(), *metadata.level(), metadata.target(), text);
    }
}

/// The text of an event, bounded while it is made.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn text(self) -> String {
        let mut text = self.message;
        text.push_str(&self.fields);
        let end = (0..=LINE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        if text.len() > end {
            text.truncate(end);
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            _ if self.fields.len() > LINE => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_holds_the_newest_lines_from_info_up() {
        let ring = LogRing::default();
        let (clock, limit) = (Clock::system(), Limit::new(Clock::system()));
        let layer = IntoRing { ring: ring.clone(), clock, limit }.with_filter(LevelFilter::INFO);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for n in 0..2_100_u32 {
                tracing::info!(n, why = "because\nof", "a line");
                tracing::debug!(plate = "ABC1234", "never in the ring");
            }
            tracing::warn!("long {}", "é".repeat(500));
        });
        let lines = ring.newest(10_000, Level::INFO, 0);
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0].number, 2_101 - 2_000 + 1);
        assert_eq!(lines[0].text, "a line n=101 why=because of");
        assert!(lines.iter().all(|line| !line.text.contains("ABC") && line.text.len() <= LINE));
        let grave = ring.newest(3, Level::WARN, 0);
        assert_eq!(grave.iter().map(|line| line.level).collect::<Vec<_>>(), [Level::WARN]);
        assert_eq!(ring.newest(3, Level::INFO, 2_100).len(), 1);
    }
}
