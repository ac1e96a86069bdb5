//! `log.tail`: the daemon's newest log lines, from INFO up; plates are in none of them.

use minicbor::{Decode, Encode};
use tracing::Level;

use super::{decode, encode};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{Reason, TimeMs};

/// Most lines of one answer.
pub const MAX_LINES: u16 = 500;
/// Most bytes of their texts: what fits into a reply.
const MAX_BYTES: usize = 48 * 1024;
/// Bytes of a line beside its texts.
const LINE_OVERHEAD: usize = 32;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Gravity {
    /// Data is lost, or somebody must act.
    #[n(0)]
    Error,
    /// Unexpected; nothing is lost.
    #[n(1)]
    Warn,
    /// Life cycle.
    #[n(2)]
    Info,
}

impl Gravity {
    /// The word on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
        }
    }

    fn level(self) -> Level {
        match self {
            Self::Error => Level::ERROR,
            Self::Warn => Level::WARN,
            Self::Info => Level::INFO,
        }
    }

    fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            _ => Self::Info,
        }
    }
}

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// At most so many, 1 to [`MAX_LINES`]: the newest.
    #[n(0)]
    pub lines: u16,
    /// As grave as this, or graver.
    #[n(1)]
    pub gravity: Gravity,
    /// Above this number alone; 0: all.
    #[n(2)]
    pub after: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    /// Counts up from the daemon's start.
    #[n(0)]
    pub number: u64,
    /// When.
    #[n(1)]
    pub at: TimeMs,
    /// How grave.
    #[n(2)]
    pub gravity: Gravity,
    /// The module that said it.
    #[n(3)]
    pub target: String,
    /// The message, and its fields as `name=value`.
    #[n(4)]
    pub text: String,
}

/// The lines, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The lines.
    #[n(0)]
    pub lines: Vec<Line>,
}

pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    if args.lines == 0 || args.lines > MAX_LINES {
        let text = format!("lines: {}, wanted 1 to {MAX_LINES}", args.lines);
        return Err(Refusal::new(Reason::Arguments, text));
    }
    let mut room = MAX_BYTES;
    let mut lines = Vec::new();
    for line in rooms.log.newest(usize::from(args.lines), args.gravity.level(), args.after).into_iter().rev() {
        let Some(rest) = room.checked_sub(line.target.len() + line.text.len() + LINE_OVERHEAD) else { break };
        room = rest;
        let gravity = Gravity::of(line.level);
        lines.push(Line { number: line.number, at: line.at, gravity, target: line.target, text: line.text });
    }
    lines.reverse();
    let facts = vec![("lines", lines.len().to_string())];
    Ok(Done { result: encode(&Answer { lines }), facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn args(lines: u16) -> Args {
        Args { lines, gravity: Gravity::Info, after: 0 }
    }

    #[test]
    fn an_answer_has_the_newest_lines_and_fits_into_a_reply() {
        let site = Site::new();
        let rooms = site.rooms();
        for n in 0..700_u64 {
            rooms.log.push(TimeMs(n), Level::WARN, "watchpost::test", format!("{n} {}", "x".repeat(300)));
        }
        let done = site.run(Op::LogTail, Role::Fleet, &args(500)).unwrap();
        assert!(done.result.len() < 59 * 1024, "{}", done.result.len());
        let answer: Answer = decode(&done.result).unwrap();
        assert_eq!(answer.lines.last().unwrap().number, 700);
        assert!(answer.lines.len() > 100 && answer.lines.windows(2).all(|w| w[0].number + 1 == w[1].number));
    }

    #[test]
    fn no_lines_and_too_many_are_refused() {
        let site = Site::new();
        for lines in [0, MAX_LINES + 1] {
            assert_eq!(site.run(Op::LogTail, Role::Fleet, &args(lines)).unwrap_err().reason, Reason::Arguments);
        }
    }
}
