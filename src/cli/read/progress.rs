//! How far `watchpost read` has come, as one line of a terminal that is written over.
//!
//! Frames a second, how many times faster than the video plays, the share that is done and the time that is left, where the
//! file says how long it is. Told five times a second on stderr; whoever prints anything else clears it first. Silent
//! where stderr is no terminal, with `--quiet`, and when JSON goes into a pipe.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::clock::Clock;

/// From one line to the next.
const EVERY: Duration = Duration::from_millis(200);

/// What speed is measured over: the newest part, since a start is slow and scenes differ.
const OVER: Duration = Duration::from_secs(8);

/// A line of progress, or none.
pub(super) struct Progress {
    clock: Clock,
    shown: bool,
    /// Which file of how many.
    place: (usize, usize),
    name: String,
    length: Option<Duration>,
    plates: usize,
    frames: u64,
    told: Option<Duration>,
    /// Whether a line stands there.
    standing: bool,
    /// Times, frames and places in the video, the oldest first.
    marks: Vec<(Duration, u64, Duration)>,
    out: Box<dyn Write>,
}

impl Progress {
    /// For `files` files; `quiet`: nobody wants to see it.
    pub(super) fn new(clock: Clock, files: usize, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self {
            clock,
            shown,
            place: (0, files),
            name: String::new(),
            length: None,
            plates: 0,
            frames: 0,
            told: None,
            standing: false,
            marks: Vec::new(),
            out: Box::new(std::io::stderr()),
        }
    }

    /// The next file.
    pub(super) fn begin(&mut self, name: &str) {
        self.place.0 += 1;
        name.clone_into(&mut self.name);
        (self.length, self.plates, self.frames) = (None, 0, 0);
        self.marks.clear();
    }

    /// How long it is, once that is known.
    pub(super) fn set_length(&mut self, length: Option<Duration>) {
        self.length = length;
    }

    /// Whether anybody sees it, and the length is still to be asked for.
    pub(super) fn wants_length(&self) -> bool {
        self.shown && self.length.is_none()
    }

    /// Another plate was read.
    pub(super) fn plate(&mut self) {
        self.plates += 1;
    }

    /// A frame at this place of the video is done.
    pub(super) fn frame(&mut self, pts: Duration) {
        if !self.shown {
            return;
        }
        self.frames += 1;
        let now = self.clock.monotonic();
        if self.marks.is_empty() {
            self.marks.push((now, self.frames, pts));
        }
        if self.told.is_some_and(|told| now.saturating_sub(told) < EVERY) {
            return;
        }
        self.marks.push((now, self.frames, pts));
        let old = self.marks.iter().take_while(|mark| now.saturating_sub(mark.0) > OVER).count();
        self.marks.drain(..old.min(self.marks.len().saturating_sub(2)));
        self.told = Some(now);
        let line = self.line();
        // Nobody is there to be told when stderr is closed.
        let _ = write!(self.out, "\r\x1b[K{line}");
        self.standing = true;
    }

    /// Takes the line away, for something else to be printed.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.standing) {
            let _ = write!(self.out, "\r\x1b[K");
            self.told = None;
        }
    }

    fn line(&self) -> String {
        let (Some(first), Some(last)) = (self.marks.first(), self.marks.last()) else { return String::new() };
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        let mut parts = Vec::new();
        parts.push(match self.place {
            (_, 1) => shortened(&self.name),
            (at, of) => format!("{} ({at} of {of})", shortened(&self.name)),
        });
        let share = self
            .length
            .filter(|length| !length.is_zero())
            .map(|length| (last.2.as_secs_f64() / length.as_secs_f64()).clamp(0.0, 1.0));
        parts.push(match share {
            Some(share) => format!("{:.0} %", share * 100.0),
            None => format!("at {}", span(last.2)),
        });
        if seconds > 0.3 {
            #[expect(clippy::cast_precision_loss, reason = "frames of some seconds")]
            let rate = (last.1 - first.1) as f64 / seconds;
            let speed = last.2.saturating_sub(first.2).as_secs_f64() / seconds;
            parts.push(format!("{rate:.0} frames/s"));
            if speed > 0.0 {
                parts.push(format!("{speed:.1} × as fast as it plays"));
            }
            if let Some(length) = self.length.filter(|_| speed > 0.01) {
                let left = length.saturating_sub(last.2).as_secs_f64() / speed;
                parts.push(format!("{} left", span(Duration::from_secs_f64(left.min(1e7)))));
            }
        }
        parts.push(format!("{} plate{}", self.plates, if self.plates == 1 { "" } else { "s" }));
        parts.join(" · ")
    }
}

/// A file's name, its end where it is long: a line must not wrap.
fn shortened(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match clean.char_indices().rev().nth(23) {
        Some((at, _)) if at > 0 => format!("…{}", clean.get(at..).unwrap_or(&clean)),
        _ => clean,
    }
}

/// Hours, minutes and seconds, as few as there are.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02} min"),
        _ => format!("{hours}:{minutes:02}:{rest:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;

    #[test]
    fn speed_share_and_time_left_are_those_of_the_newest_seconds() {
        let hands = SimClock::at(TimeMs(0));
        let clock = Clock::of(hands.clone());
        let mut progress = Progress { shown: true, out: Box::new(std::io::sink()), ..Progress::new(clock, 3, false) };
        progress.begin("first.mp4");
        progress.begin("/somewhere/that/is/far/away/second.mp4");
        assert!(progress.wants_length());
        progress.set_length(Some(Duration::from_mins(2)));
        // Ten seconds at 25 frames a second, then at 100: the first part counts no more.
        for n in 0..1250_u64 {
            progress.frame(Duration::from_millis(40 * n));
            hands.advance(Duration::from_millis(if n < 250 { 40 } else { 10 }));
        }
        progress.plate();
        let line = progress.line();
        for part in
            ["…t/is/far/away/second.mp4 (2 of 3)", "41 %", "100 frames/s", "4.0 × as fast", "17 s left", "1 plate"]
        {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
        progress.begin("third.h264");
        progress.frame(Duration::from_secs(3));
        assert!(progress.line().contains("third.h264 (3 of 3) · at 3 s"), "{}", progress.line());
    }

    #[test]
    fn spans_of_time_are_short() {
        let told = [59, 60, 754, 3600, 36_061].map(|s| span(Duration::from_secs(s)));
        assert_eq!(told, ["59 s", "1:00 min", "12:34 min", "1:00:00 h", "10:01:01 h"]);
    }
}
