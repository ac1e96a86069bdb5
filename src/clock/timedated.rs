//! Asks systemd-timedated whether somebody keeps the clock, where the kernel may not be asked: the packaged unit's
//! `ProtectClock=` forbids the one call that tells (see `kernel`).
//!
//! timedated asks the same kernel, so its answer (`NTPSynchronized`) is true with timesyncd, chrony, ntpd and ptp4l alike. It is
//! had over the system bus, by systemd's own `busctl` (`timedatectl` asks for more, and wants systemd itself to answer), on a
//! thread of its own: that takes milliseconds, or for ever. Who wants the time never waits for it: an answer counts until it
//! is [`STALE`], also where a later question had none, and without one nothing is said. The thread ends with the clock it
//! asks for.
//!
//! timedated ends when nobody asks for half a minute, and the journal gets some five lines each time it is started for us: so
//! it is asked seldom once the clock is kept, and ever more seldom while it is not.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Part of systemd, as timedated is. By its path: nothing that stands in front of it in `PATH` is run.
pub(super) const PROGRAM: &str = "/usr/bin/busctl";
/// Object and property that are asked for.
const QUESTION: [&str; 7] = [
    "--system",
    "--timeout=5",
    "get-property",
    "org.freedesktop.timedate1",
    "/org/freedesktop/timedate1",
    "org.freedesktop.timedate1",
    "NTPSynchronized",
];
/// From one answer to the next question while the clock is kept: one that loses its server is off by milliseconds by then.
const EVERY: Duration = Duration::from_hours(1);
/// While it is not: at first, and after many; it doubles in between.
const SOON: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_mins(20);
/// An answer that is older counts no more: whoever gave it does not answer any longer.
const STALE: Duration = Duration::from_hours(3);
/// How long one question may take; timedated is started by the bus when it does not run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether it has been answered.
const LOOK: Duration = Duration::from_millis(20);

/// What is known.
#[derive(Default)]
struct Known {
    /// Whether there was a question that is over.
    asked: bool,
    /// The newest answer, and when it came.
    newest: Option<(Instant, bool)>,
}

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    came: Condvar,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question is over.
    fn note(&self, kept: Option<bool>) {
        let mut known = self.known();
        known.asked = true;
        // One without an answer takes back none: the machine may only be busy.
        known.newest = kept.map(|kept| (Instant::now(), kept)).or(known.newest);
        drop(known);
        self.came.notify_all();
    }
}

/// See the module. It asks from when it is made on.
pub(super) struct Timedated(Arc<Shared>);

impl Timedated {
    /// Begins to ask by `program`.
    pub(super) fn ask_by(program: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let whose = Arc::downgrade(&shared);
        if let Err(error) = thread::Builder::new().name("clock".to_owned()).spawn(move || keep_asking(program, &whose))
        {
            tracing::debug!(%error, "nobody asks whether the clock is kept: it counts as not kept");
        }
        Self(shared)
    }

    /// Whether the clock is kept by a time service; `None` while that is not known. Never waits.
    pub(super) fn is_kept(&self) -> Option<bool> {
        let (at, kept) = self.0.known().newest?;
        (at.elapsed() < STALE).then_some(kept)
    }

    /// Waits for the first answer, which may be that there is none.
    pub(super) fn wait(&self, most: Duration) {
        // Whether it came or not: what is known then counts.
        drop(self.0.came.wait_timeout_while(self.0.known(), most, |known| !known.asked));
    }
}

fn keep_asking(program: &str, whose: &Weak<Shared>) {
    let mut wait = SOON;
    loop {
        let kept = ask(program);
        let Some(shared) = whose.upgrade() else { return };
        shared.note(kept);
        drop(shared);
        if kept == Some(true) {
            wait = SOON;
            thread::sleep(EVERY);
        } else {
            thread::sleep(wait);
            wait = (wait * 2).min(LATE);
        }
    }
}

/// One question; `None` where it is not answered by true or false.
fn ask(program: &str) -> Option<bool> {
    let mut command = Command::new(program);
    let mut child =
        command.args(QUESTION).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(LOOK),
            Ok(ended) => break ended,
            Err(_) => break None,
        }
    };
    let Some(status) = ended else {
        // An Err means that it has ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    };
    let mut said = [0; 16];
    let length = child.stdout.take()?.read(&mut said).ok()?;
    match said.get(..length)?.trim_ascii() {
        b"b true" if status.success() => Some(true),
        b"b false" if status.success() => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A busctl that does what the script says.
    fn fake(script: &str) -> (tempfile::TempDir, &'static str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("busctl");
        // Written by another process: one that is forked beside could hold a file of ours open, and nobody runs such a one.
        let written = Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 700 \"$0\""])
            .args([path.as_os_str(), std::ffi::OsStr::new(script)])
            .status();
        assert!(written.unwrap().success());
        (dir, path.to_str().unwrap().to_owned().leak())
    }

    fn answer(script: &str) -> Option<bool> {
        let (_dir, program) = fake(script);
        let asked = Timedated::ask_by(program);
        asked.wait(Duration::from_mins(1));
        asked.is_kept()
    }

    #[test]
    fn only_a_plain_true_of_a_program_that_ended_well_says_that_the_clock_is_kept() {
        let right = format!("test \"$*\" = '{}' && echo b true", QUESTION.join(" "));
        assert_eq!(answer(&right), Some(true));
        assert_eq!(answer("echo b false"), Some(false));
        let doubtful =
            ["echo b true; exit 1", "echo b true, perhaps", "echo true", "exit 0", "echo b true >&2", "kill -9 $$"];
        for doubtful in doubtful {
            assert_eq!(answer(doubtful), None, "{doubtful}");
        }
        let none = Timedated::ask_by("/nonexistent/busctl");
        none.wait(Duration::from_mins(1));
        assert_eq!(none.is_kept(), None);
    }

    #[test]
    fn nobody_waits_for_an_answer_that_does_not_come_and_an_old_one_counts_no_more() {
        let (_dir, program) = fake("exec sleep 60");
        let asked = Timedated::ask_by(program);
        let begun = Instant::now();
        assert_eq!(asked.is_kept(), None);
        asked.wait(Duration::from_millis(10));
        assert!(begun.elapsed() < PATIENCE);
        asked.0.note(Some(true));
        asked.0.note(None);
        assert_eq!(asked.is_kept(), Some(true), "a question without an answer takes back none");
        asked.0.known().newest = Instant::now().checked_sub(STALE).map(|at| (at, true));
        assert_eq!(asked.is_kept(), None);
    }
}
