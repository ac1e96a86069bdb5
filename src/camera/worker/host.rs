//! A worker process as the daemon has it: started, heard, and ended when it must be.
//!
//! One thread a worker starts the process (and lives as long: the kernel ends a worker with the thread that started it), hears what it says,
//! writes what it says on stderr into the log, and takes it away when it ends. It never waits for a camera or an analysis thread. A worker
//! that says nothing for [`SILENT`], breaks the rules, says that a decoder does not come back from a picture, or works for [`FRUITLESS`] without
//! decoding anything, is killed.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::clean;
use super::link::{self, Line};
use super::opening::{Breach, Opening};
use super::wire::{Ask, Inbox, Limits, Number, Said};
use crate::camera::toil::{Of, processor_time};

/// Name of the verb.
pub const VERB: &str = "decode-worker";
/// How long it may take until it is fenced in.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// It says every second that it lives.
const SILENT: Duration = Duration::from_secs(6);
/// How long what is said to it may wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// Processor time without anything that was decoded, in which it may not be so much; a worker that spends it slower than [`WITHIN`] may wait for something.
const FRUITLESS: Duration = Duration::from_secs(12);
const WITHIN: Duration = Duration::from_mins(1);
/// How often its silence is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a worker that was told to end may take.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Lines of its own words that are told in a minute, and characters of each.
const MOST_LINES: u32 = 60;
const MOST_CHARS: usize = 400;

/// What of this process's environment it gets: nothing that a secret could be in.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TZ", "WATCHPOST_LOG"];
const ENVIRONMENT_BEGINS: [&str; 7] =
    ["GST_PLUGIN", "GST_REGISTRY", "GIO_", "LIBVA_", "SSL_CERT_", "ORC_", "XDG_CACHE_"];

/// A worker process.
pub(super) struct Worker {
    line: Line,
    openings: Mutex<HashMap<Number, Arc<Opening>>>,
    next: AtomicU32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pid: u32,
    /// What of its fence could not be put up, and what holds, once it is ready.
    ready: Option<Fence>,
    /// Why it is no more.
    lost: Option<String>,
    /// It was told to end.
    ending: bool,
    /// Another has taken its place: it ends with its last camera.
    retired: bool,
    /// How many are about to open a camera in it.
    claims: usize,
    /// Something was decoded since that was asked last.
    bears: bool,
}

/// What a worker can't do any more, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fence {
    /// What could not be put up here.
    pub lacks: Vec<String>,
    /// What holds.
    pub holds: Vec<String>,
}

/// A worker in which a camera is about to be opened: one that is replaced meanwhile does not end before that.
pub(super) struct Claim(Arc<Worker>);

impl Claim {
    pub(super) fn new(worker: &Arc<Worker>) -> Self {
        worker.state().claims += 1;
        Self(Arc::clone(worker))
    }

    pub(super) fn worker(&self) -> Arc<Worker> {
        Arc::clone(&self.0)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.state().claims -= 1;
        self.0.end_when_idle();
    }
}

/// Told when a worker ended by itself, or had to be ended.
pub(super) type OnLoss = Box<dyn Fn(&str) + Send>;

impl Worker {
    /// Starts a worker; it is of use as soon as [`Worker::ready`] returns.
    ///
    /// # Errors
    /// Why it can't be started.
    pub(super) fn start(program: &Path, limits: Limits, on_loss: OnLoss) -> Result<Arc<Self>, String> {
        let (own, its) = link::pair().map_err(|e| format!("can't be spoken to ({e})"))?;
        let worker = Arc::new(Self {
            line: Line::new(own, Some(PATIENCE)),
            openings: Mutex::default(),
            next: AtomicU32::new(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (of_thread, program) = (Arc::clone(&worker), program.to_owned());
        let run = move || of_thread.keep(&program, its, &limits, &on_loss);
        std::thread::Builder::new()
            .name("decode-worker".to_owned())
            .spawn(run)
            .map_err(|e| format!("can't be started ({e})"))?;
        Ok(worker)
    }

    /// Waits until it is fenced in; its fence.
    ///
    /// # Errors
    /// Why it will not be.
    pub(super) fn ready(&self) -> Result<Fence, String> {
        let waited =
            self.changed.wait_timeout_while(self.state(), READY_WITHIN, |s| s.ready.is_none() && s.lost.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (lost, ready) = (state.lost.clone(), state.ready.clone());
        drop(state);
        match (lost, ready) {
            (Some(why), _) => Err(why),
            (None, Some(fence)) => Ok(fence),
            (None, None) => {
                self.end();
                Err("does not get ready".to_owned())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn openings(&self) -> MutexGuard<'_, HashMap<Number, Arc<Opening>>> {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number in the system.
    pub(super) fn pid(&self) -> u32 {
        self.state().pid
    }

    /// Another takes its place: it ends when no camera is open in it any more.
    pub(super) fn retire(&self) {
        self.state().retired = true;
        self.end_when_idle();
    }

    fn end_when_idle(&self) {
        let is_empty = self.openings().is_empty();
        let state = self.state();
        let ends = is_empty && state.retired && state.claims == 0;
        drop(state);
        if ends {
            self.end();
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        let state = self.state();
        state.lost.is_some() || state.ending
    }

    /// Hangs up: it ends by that.
    pub(super) fn end(&self) {
        self.state().ending = true;
        self.line.hang_up();
    }

    /// Waits until its process is gone; it was told to end.
    pub(super) fn wait(&self) {
        let gone = self.changed.wait_timeout_while(self.state(), END_WITHIN * 2, |state| state.lost.is_none());
        drop(gone.unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes an opening with a number of its own.
    pub(super) fn register(&self, make: impl FnOnce(Number) -> Opening) -> Arc<Opening> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let opening = Arc::new(make(number));
        self.openings().insert(number, Arc::clone(&opening));
        // It may have been lost meanwhile, when nobody knew of this one.
        if let Some(why) = &self.state().lost {
            opening.lost(why);
        }
        opening
    }

    pub(super) fn forget(&self, number: Number) {
        self.openings().remove(&number);
        self.end_when_idle();
    }

    /// Says something to it; a descriptor may go with it.
    ///
    /// # Errors
    /// It is gone, or takes nothing.
    pub(super) fn say(&self, ask: &Ask, with: Option<BorrowedFd<'_>>) -> Result<(), String> {
        self.say_with(ask, &[], with)
    }

    /// The same with a tail.
    pub(super) fn say_with(&self, ask: &Ask, tail: &[u8], with: Option<BorrowedFd<'_>>) -> Result<(), String> {
        self.line.say(ask, &[tail], with).map_err(|error| {
            // A message may be cut in two: nothing after it would be understood.
            self.line.hang_up();
            if error.kind() == std::io::ErrorKind::TimedOut {
                "takes nothing in".to_owned()
            } else {
                "is gone".to_owned()
            }
        })
    }

    /// The thread: from the start of the process to its end.
    fn keep(self: &Arc<Self>, program: &Path, its: OwnedFd, limits: &Limits, on_loss: &OnLoss) {
        let why = match spawn(program, its) {
            Ok(mut child) => {
                self.state().pid = child.id();
                let said = self.say(&Ask::Begin(limits.clone()), None);
                let why = said.err().or_else(|| self.hear(&child));
                self.line.hang_up();
                let how = take_away(&mut child);
                why.unwrap_or(how)
            }
            Err(error) => format!("can't be started ({}: {error})", program.display()),
        };
        let mut state = self.state();
        state.lost = Some(why.clone());
        let ending = state.ending;
        drop(state);
        // Before its cameras hear of it: what they do about it goes by what was lost.
        if !ending {
            tracing::error!(why, "a decode worker was lost");
            on_loss(&why);
        }
        let openings: Vec<_> = self.openings().values().cloned().collect();
        for opening in openings {
            opening.lost(&why);
        }
        self.changed.notify_all();
    }

    /// Hears it until it hangs up (`None`), or must not be heard any more.
    fn hear(self: &Arc<Self>, child: &Child) -> Option<String> {
        let mut words = Words::default();
        let (mut inbox, mut chunk) = (Inbox::default(), Vec::new());
        let mut silence = Silence::new(Instant::now());
        let mut yields = Yields::new(child.id());
        let stderr = child.stderr.as_ref();
        let mut talks = stderr.is_some();
        loop {
            // The socket twice when it has nothing more to say otherwise.
            let other = stderr.filter(|_| talks).map_or(self.line.fd(), |stderr| stderr.as_fd());
            let [line, other_ready] = match link::ready([self.line.fd(), other], LOOK_EVERY) {
                Ok(ready) => ready,
                Err(error) => return Some(format!("can't be heard ({error})")),
            };
            if yields.is_due() {
                let mut state = self.state();
                let bears = std::mem::take(&mut state.bears) || state.ready.is_none();
                drop(state);
                if let Some(spent) = yields.look(bears) {
                    return Some(format!(
                        "spent {} s of processor time, decoded nothing, and was ended",
                        spent.as_secs()
                    ));
                }
            }
            if talks && other_ready {
                match link::read(other, &mut chunk) {
                    Ok(0) | Err(_) => talks = false,
                    Ok(n) => words.hear(chunk.get(..n).unwrap_or_default()),
                }
            }
            if !line {
                if silence.goes_on(Instant::now()) > SILENT {
                    return Some(format!("said nothing for {} s and was ended", SILENT.as_secs()));
                }
                continue;
            }
            match link::read(self.line.fd(), &mut chunk) {
                Ok(n @ 1..) => inbox.push(chunk.get(..n).unwrap_or_default()),
                // An error is a connection that it took with it when it died.
                Ok(_) | Err(_) => break,
            }
            silence = Silence::new(Instant::now());
            if let Err(breach) = self.take_in(&mut inbox) {
                return Some(format!("{breach}, and was ended"));
            }
        }
        words.rest(stderr.filter(|_| talks).map(|stderr| stderr.as_fd()));
        None
    }

    fn take_in(self: &Arc<Self>, inbox: &mut Inbox) -> Result<(), Breach> {
        while let Some((said, tail)) = inbox.next::<Said>().map_err(|broken| broken.to_string())? {
            match said {
                Said::Ready(version, lacks, holds) => self.got_ready(&version, &lacks, &holds)?,
                Said::Toils(number, spent_ms) => return Err(self.toils(number, spent_ms)),
                Said::Pulse => {}
                Said::Opened(number) => self.with(number, |o| {
                    o.opened();
                    Ok(())
                })?,
                Said::Room(number, bytes) => self.with(number, |o| {
                    let (room, fd) = o.make_room(bytes)?;
                    self.say(&Ask::Memory(number, room), Some(fd.as_fd()))
                })?,
                Said::Counts(number, counts) => self.with(number, |o| {
                    self.state().bears |= counts.received > 0 || counts.skipped > 0 || counts.damaged > 0;
                    o.count(&counts);
                    Ok(())
                })?,
                Said::Picture(number, header) => self.with(number, |o| {
                    self.state().bears = true;
                    o.picture(&header, tail)
                })?,
                Said::Form(number, form) => self.with(number, |o| o.form(&form))?,
                Said::Coded(number, unit) => self.with(number, |o| {
                    o.coded(unit, tail);
                    Ok(())
                })?,
                Said::Gap(number) => self.with(number, |o| {
                    o.gap();
                    Ok(())
                })?,
                Said::Woke(number) => self.with(number, |o| {
                    o.woke();
                    self.spread(o);
                    Ok(())
                })?,
                Said::Rests(number, begins) => self.with(number, |o| {
                    o.rests(begins);
                    Ok(())
                })?,
                Said::Over(number, fault) => self.with(number, |o| {
                    o.over(fault);
                    Ok(())
                })?,
                Said::Closed(number) => self.with(number, |o| {
                    o.closed();
                    Ok(())
                })?,
            }
        }
        Ok(())
    }

    /// A decoder does not come back: which camera's, where that is still open.
    fn toils(&self, number: Number, spent_ms: u64) -> Breach {
        let opening = self.openings().get(&number).cloned();
        let of = opening.map_or_else(|| "a camera that was given up".to_owned(), |opening| opening.origin.clone());
        format!("spent {} s of processor time on one picture of {of}", spent_ms / 1_000)
    }

    fn got_ready(&self, version: &str, lacks: &[String], holds: &[String]) -> Result<(), Breach> {
        if version != env!("CARGO_PKG_VERSION") {
            return Err(format!("is of version {}, not {}", clean(version), env!("CARGO_PKG_VERSION")));
        }
        tracing::debug!(pid = self.pid(), "a decode worker is ready");
        let cleaned = |texts: &[String]| texts.iter().take(8).map(|text| clean(text)).collect();
        self.state().ready = Some(Fence { lacks: cleaned(lacks), holds: cleaned(holds) });
        self.changed.notify_all();
        Ok(())
    }

    /// Has an opening that is still of interest hear something.
    fn with(&self, number: Number, hear: impl FnOnce(&Arc<Opening>) -> Result<(), Breach>) -> Result<(), Breach> {
        let opening = self.openings().get(&number).cloned();
        opening.map_or(Ok(()), |opening| hear(&opening))
    }

    /// One of a camera's streams woke: the others hear of it at once.
    fn spread(&self, of: &Arc<Opening>) {
        let Some(idle) = &of.idle else { return };
        let same = |o: &&Arc<Opening>| o.idle.as_ref().is_some_and(|other| Arc::ptr_eq(other, idle));
        let openings: Vec<_> = self.openings().values().filter(same).cloned().collect();
        for opening in openings {
            opening.tell_word(self);
        }
    }
}

/// How long a worker has said nothing while it was listened to. Daemon and worker may be stopped together (a frozen group, a suspended machine): a pause of
/// the daemon's own is no silence of the worker's.
struct Silence {
    lasts: Duration,
    looked: Instant,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Self { lasts: Duration::ZERO, looked: now }
    }

    /// Nothing was heard again.
    fn goes_on(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.looked);
        (self.lasts, self.looked) = (self.lasts + since.min(LOOK_EVERY * 2), now);
        self.lasts
    }
}

/// Whether a worker works in vain.
struct Yields {
    pid: u32,
    /// What it had spent when something was decoded last, and when that was.
    spent: Duration,
    at: Instant,
    next: Instant,
}

impl Yields {
    fn new(pid: u32) -> Self {
        let now = Instant::now();
        Self { pid, spent: Duration::ZERO, at: now, next: now }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// What it has spent in vain, where that is too much; `bears`: something was decoded since the last look.
    fn look(&mut self, bears: bool) -> Option<Duration> {
        self.next = Instant::now() + LOOK_EVERY;
        let now = processor_time(Of::Process(self.pid))?;
        let vain = now.saturating_sub(self.spent);
        if bears || self.at.elapsed() > WITHIN {
            (self.spent, self.at) = (now, Instant::now());
            return None;
        }
        (vain >= FRUITLESS).then_some(vain)
    }
}

fn spawn(program: &Path, socket: OwnedFd) -> std::io::Result<Child> {
    let is_given =
        |name: &str| ENVIRONMENT.contains(&name) || ENVIRONMENT_BEGINS.iter().any(|begin| name.starts_with(begin));
    let given = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_given));
    Command::new(program)
        .arg(VERB)
        .env_clear()
        .envs(given)
        // Fewer arenas of the C library: pictures lie elsewhere.
        .env("MALLOC_ARENA_MAX", "2")
        // Settings of a desktop are none of its business, and lie where it may not write: GLib would say so again and again.
        .env("GSETTINGS_BACKEND", "memory")
        .current_dir("/")
        // What is done to the daemon's group, by a terminal or the kernel, is none of its business.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// Waits a moment for its end, then kills it; how it ended.
fn take_away(child: &mut Child) -> String {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return format!("ended ({status})"),
            Ok(None) if begun.elapsed() < END_WITHIN => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => break,
        }
    }
    let _ = child.kill();
    child.wait().map_or_else(|e| format!("can't be waited for ({e})"), |status| format!("was killed ({status})"))
}

/// What it says on stderr, on its way into the log: bounded, since a library may be talkative.
#[derive(Debug, Default)]
struct Words {
    line: Vec<u8>,
    told: u32,
    since: Option<Instant>,
}

impl Words {
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.tell(&String::from_utf8_lossy(&line));
            } else if self.line.len() < 4 * MOST_CHARS {
                self.line.push(*byte);
            }
        }
    }

    fn tell(&mut self, line: &str) {
        if self.since.is_none_or(|since| since.elapsed() > Duration::from_mins(1)) {
            (self.since, self.told) = (Some(Instant::now()), 0);
        }
        self.told = self.told.saturating_add(1);
        if self.told > MOST_LINES {
            if self.told == MOST_LINES + 1 {
                tracing::warn!(most = MOST_LINES, "a decode worker says more than is told in a minute");
            }
            return;
        }
        let said: String = clean(line).trim().chars().take(MOST_CHARS).collect();
        match said.split_once(' ') {
            Some(("ERROR", said)) => tracing::error!(said, "a decode worker says"),
            Some(("INFO", said)) => tracing::info!(said, "a decode worker says"),
            Some(("DEBUG" | "TRACE", said)) => tracing::debug!(said, "a decode worker says"),
            Some(("WARN", said)) => tracing::warn!(said, "a decode worker says"),
            _ if said.is_empty() => {}
            _ => tracing::warn!(said, "a decode worker says"),
        }
    }

    /// Its last words.
    fn rest(&mut self, stderr: Option<BorrowedFd<'_>>) {
        let mut chunk = Vec::new();
        // It has hung up, so its end of the pipe is closed or about to be.
        while let Some(stderr) = stderr
            && link::ready([stderr, stderr], Duration::from_millis(50)).is_ok_and(|[ready, _]| ready)
            && let Ok(n @ 1..) = link::read(stderr, &mut chunk)
        {
            self.hear(chunk.get(..n).unwrap_or_default());
        }
        self.hear(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_the_daemons_own_is_no_silence_of_a_worker() {
        let begun = Instant::now();
        let mut silence = Silence::new(begun);
        assert!(silence.goes_on(begun + Duration::from_mins(1)) < SILENT, "both were stopped");
        let mut silence = Silence::new(begun);
        let looks = (1..).map(|n| silence.goes_on(begun + LOOK_EVERY * n));
        assert_eq!(looks.take_while(|lasts| *lasts <= SILENT).count(), 12, "found after six seconds");
    }
}
