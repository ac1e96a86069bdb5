//! The executor: one thread that takes commands in, one at a time, and sees each to its end.
//!
//! ```text
//! Inbox::offer ─(16; full: busy)─► envelope ► seen before? ► rate ► time ► authorise ► journal: id on disk ► `accepted`
//!     ► audit: accepted, on disk ► `executing` ► ops::execute ► audit: done ► journal: answer ► the answer
//! ```
//! Nothing is executed before its id and its audit record are on the medium, and nothing twice: a command that comes again gets
//! the answer of the first time, and one that the daemon's end cut off is told as interrupted at the next start. Calls into
//! operations block this thread and no other; one that panics has failed, and the thread goes on.
//!
//! Every refusal is answered and audited, as far as [`super::refusals`] bounds it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::authorise::{Authorised, authorise};
use super::envelope::{Gate, Refused, Signed};
use super::journal::{Fingerprint, Journal, Known, Taken};
use super::line::{Incoming, Line, ReplyTo};
use super::rate::{Kind as RateKind, Limits, Rate};
use super::record::{self, Record};
use super::refusals::{self, Bound};
use super::{CommandId, Done, Refusal, Rooms, ops};
use crate::centre::topics::{self, Kind, Topics};
use crate::centre::wire::command::audience;
use crate::centre::wire::reply::MAX_RESULT;
use crate::centre::wire::{self, Reply};
use crate::clock::{Challenges, Clock};
use crate::domain::{CommandStatus, Reason};
use crate::health::pulse::{Part, Pulse};
use crate::shutdown::waited;
use crate::store::audit::Event;
use crate::store::disk::RealDisk;

/// Commands that may wait.
const WAITING: usize = 16;
/// How long the thread may be without a sign of life, but for a command, which may take as long as the trial of models.
const STEP_WITHIN: Duration = Duration::from_mins(1);
const COMMAND_WITHIN: Duration = Duration::from_mins(6);
/// How often counted refusals are looked at when nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// `busy` is answered so often between two ticks; more of them are only counted.
const BUSY_ANSWERS: u32 = 32;
/// Refusals a minute that have a record and an answer of their own: with a good signature, and without.
const SIGNED_TOLD: u32 = 120;
const UNSIGNED_TOLD: u32 = 10;
/// Commands that come again need no key to be sent: they are answered as their signer's rate allows, and so many a minute
/// have a record.
const REPLAYS_TOLD: u32 = 20;

/// What the executor works with.
pub struct Parts {
    /// What operations work with; site and box are those of its configuration.
    pub rooms: Rooms,
    /// First part of every topic.
    pub topic_root: String,
    /// Folder of the journal of ids; made when it is not there.
    pub dir: PathBuf,
    /// The challenges that health gives out.
    pub challenges: Challenges,
    /// How many commands of a key are taken.
    pub limits: Limits,
    /// The way out.
    pub line: Arc<dyn Line>,
}

/// The running executor.
pub struct Executor {
    inbox: Inbox,
    thread: JoinHandle<()>,
}

/// Where commands are handed in; cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    sender: SyncSender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    stopping: AtomicBool,
    /// Commands that found no room since the last tick.
    busy: AtomicU32,
    topics: Topics,
    root: String,
    clock: Clock,
    line: Arc<dyn Line>,
}

enum Job {
    Do(Box<Incoming>),
    Stop,
}

impl Executor {
    /// Reads the journal, tells what was cut off, and starts the thread `command`.
    ///
    /// # Errors
    /// [`Reason::Internal`] when the journal cannot be opened, or no thread be made.
    pub fn start(parts: Parts) -> Result<Self, Refusal> {
        let (sender, jobs) = sync_channel(WAITING);
        let mut work = Work::open(parts)?;
        let shared = Arc::clone(&work.shared);
        work.tell_interrupted();
        let thread = std::thread::Builder::new().name("command".to_owned()).spawn(move || work.run(&jobs));
        let thread = thread.map_err(|e| Refusal::new(Reason::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Self { inbox: Inbox { sender, shared }, thread })
    }

    /// Where commands are handed in.
    #[must_use]
    pub fn handle(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Whether the thread still runs; it ends by itself only with a panic.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends after the command that is being executed; those that wait are answered `busy`.
    pub fn stop(self) {
        self.inbox.shared.stopping.store(true, Ordering::SeqCst);
        // The thread takes from the queue until it finds this.
        let _ = self.inbox.sender.send(Job::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the command thread panicked");
        }
    }

    /// The same, but waits for the command under way `at_most` so long; false: the thread was left behind, and the command is
    /// told as interrupted at the next start.
    #[must_use]
    pub fn stop_within(self, at_most: Duration) -> bool {
        self.inbox.shared.stopping.store(true, Ordering::SeqCst);
        let mut told = false;
        let is_over = || {
            told = told || !matches!(self.inbox.sender.try_send(Job::Stop), Err(TrySendError::Full(_)));
            self.thread.is_finished()
        };
        if !waited(at_most, is_over) {
            return false;
        }
        if self.thread.join().is_err() {
            tracing::error!("the command thread panicked");
        }
        true
    }
}

impl Inbox {
    /// Hands a command in; never waits. Without room, or while the daemon stops, it is answered `busy` at once.
    pub fn offer(&self, incoming: Incoming) {
        match self.sender.try_send(Job::Do(Box::new(incoming))) {
            Ok(()) | Err(TrySendError::Full(Job::Stop) | TrySendError::Disconnected(Job::Stop)) => {}
            Err(TrySendError::Full(Job::Do(incoming)) | TrySendError::Disconnected(Job::Do(incoming))) => {
                self.shared.answer_busy(&incoming);
            }
        }
    }
}

impl Shared {
    /// Operation and id as a command's topic names them, the way back, and whether it is a topic of this box.
    fn addressed(&self, incoming: &Incoming) -> Option<(String, CommandId, ReplyTo, bool)> {
        let address = topics::parse(&self.root, &incoming.topic).ok()?;
        let own = self.topics.of(&address.kind) == incoming.topic;
        let Kind::Command { op, id } = address.kind else { return None };
        let bytes = data_encoding::HEXLOWER.decode(id.as_bytes()).ok()?;
        let topic = self.topics.of(&Kind::Reply { op: op.clone(), id });
        let to = ReplyTo { topic, response: incoming.response.clone(), via: incoming.via };
        Some((op, CommandId::try_from(bytes).ok()?, to, own))
    }

    fn answer_busy(&self, incoming: &Incoming) {
        if self.busy.fetch_add(1, Ordering::Relaxed) >= BUSY_ANSWERS {
            return;
        }
        let Some((_, id, to, _)) = self.addressed(incoming) else { return };
        let reply = self.reply(id, CommandStatus::Busy);
        let text = if self.stopping.load(Ordering::SeqCst) {
            "the daemon is stopping: send it again in a minute"
        } else {
            "too many commands wait: send it again in some seconds"
        };
        self.line.reply(&to, reply.because(Reason::Busy, text), Vec::new(), None);
    }

    fn reply(&self, id: CommandId, status: CommandStatus) -> Reply {
        Reply::new(id, status, self.clock.utc(), self.clock.state())
    }

    /// What is done, if its attachments may go now. They were looked at and audited as given out; the record of how the
    /// command ended says that they were not.
    fn fits(&self, to: &ReplyTo, done: Done) -> Result<Done, Refusal> {
        let bytes: usize = done.attachments.iter().map(|attachment| attachment.bytes.len()).sum();
        self.room_for(to, bytes).map(|()| done)
    }

    fn room_for(&self, to: &ReplyTo, bytes: usize) -> Result<(), Refusal> {
        let taken = if bytes == 0 { Ok(()) } else { self.line.takes(to, bytes) };
        taken.map_err(|why| Refusal::new(Reason::Budget, why))
    }

    fn send(&self, to: &ReplyTo, reply: Reply) {
        self.line.reply(to, reply, Vec::new(), None);
    }
}

/// What became of a refusal.
enum Told {
    /// It has a record of this number, unless the log could not be written, and is answered.
    Recorded(Option<u64>),
    /// It is one of many, and counted alone.
    Counted,
}

/// What the thread has.
pub(super) struct Work {
    rooms: Rooms,
    audience: String,
    challenges: Challenges,
    shared: Arc<Shared>,
    journal: Journal,
    rate: Rate,
    signed: Bound,
    unsigned: Bound,
    replayed: Bound,
    pulse: Pulse,
}

impl Work {
    pub(super) fn open(parts: Parts) -> Result<Self, Refusal> {
        let internal = |what: String| Refusal::new(Reason::Internal, what);
        let site = &parts.rooms.config.site;
        let topics = Topics::new(&parts.topic_root, &site.site, &site.id).map_err(|e| internal(e.to_string()))?;
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            topics,
            root: parts.topic_root,
            clock: parts.rooms.clock.clone(),
            line: parts.line,
        });
        let journal = Journal::open(Arc::new(RealDisk), &parts.dir, parts.rooms.clock.clone())
            .map_err(|e| internal(format!("the journal of commands in {}: {e}", parts.dir.display())))?;
        Ok(Self {
            audience: audience(&site.site, &site.id),
            pulse: parts.rooms.health.pulses.of("command", Part::Vital, STEP_WITHIN),
            rooms: parts.rooms,
            challenges: parts.challenges,
            shared,
            journal,
            rate: Rate::new(parts.limits),
            signed: Bound::new(SIGNED_TOLD),
            unsigned: Bound::new(UNSIGNED_TOLD),
            replayed: Bound::new(REPLAYS_TOLD),
        })
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            self.pulse.beats("the next command");
            let job = jobs.recv_timeout(TICK);
            self.pulse.takes("a command", COMMAND_WITHIN);
            match job {
                Ok(Job::Do(incoming)) if self.shared.stopping.load(Ordering::SeqCst) => {
                    self.shared.answer_busy(&incoming);
                }
                Ok(Job::Do(incoming)) => self.take(&incoming),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.journal.forget_answers();
            self.tell_counts(false);
        }
        self.tell_counts(true);
    }

    /// One command from its bytes to its answer.
    pub(super) fn take(&mut self, incoming: &Incoming) {
        let Some((op, id, to, own)) = self.shared.addressed(incoming) else {
            let why = Refusal::new(Reason::Malformed, "its topic is none of a command");
            let refused = Refused { why, kid: None, signer: None };
            self.refuse(None, &refused, &Record::of_topic("", &[0; 16], incoming.via));
            return;
        };
        let known = Record::of_topic(&op, &id, incoming.via);
        if !own {
            let why =
                Refusal::new(Reason::Audience, format!("came under a topic of another box, this is {}", self.audience));
            self.refuse(Some((id, &to)), &Refused { why, kid: None, signer: None }, &known);
            return;
        }
        let keyring = self.rooms.keyring.current();
        let gate = Gate {
            keyring: &keyring,
            audience: &self.audience,
            clock: &self.rooms.clock,
            challenges: &self.challenges,
        };
        let signed = match gate.open(&incoming.bytes, &incoming.topic, (&op, &id)) {
            Ok(signed) => signed,
            Err(refused) => return self.refuse(Some((id, &to)), &refused, &known),
        };
        let print = fingerprint(&incoming.bytes);
        self.journal.forget_answers();
        let seen = self.journal.known(&id, &print);
        let fresh = gate.is_fresh(&signed);
        // An old command is sent by whoever captured it: it must not take what its signer may send.
        let kind = if seen == Known::New && fresh.is_ok() { RateKind::Fresh } else { RateKind::Again };
        let person = signed.verified.caller.person.clone();
        let refused = |why| Refused { why, kid: Some(signed.kid), signer: Some(Box::new(person.clone())) };
        if !self.rate.takes(signed.kid, kind, self.rooms.clock.monotonic(), &keyring) {
            let why = Refusal::new(Reason::Rate, format!("too many commands of key {}: wait a little", signed.kid));
            return self.refuse(Some((id, &to)), &refused(why), &known);
        }
        if seen != Known::New {
            return self.again(&seen, (id, &to), &refused, &known);
        }
        let fresh = fresh.and_then(|()| self.is_above_floor(&signed));
        match fresh.and_then(|()| authorise(signed.verified.clone())) {
            Ok(command) => self.execute(&command, &signed, print, &to),
            Err(why) => self.refuse(Some((id, &to)), &refused(why), &known),
        }
    }

    fn is_above_floor(&mut self, command: &Signed) -> Result<(), Refusal> {
        if command.challenge.is_some() {
            return Ok(());
        }
        let floor_s = self.journal.floor().map_err(|e| unwritten(&e))?;
        if command.issued_s < floor_s {
            let text = "issued before what this box still tells replays of: send a new one";
            return Err(Refusal::new(Reason::TooOld, text));
        }
        Ok(())
    }

    /// A command whose id was used before.
    fn again(&mut self, seen: &Known, at: (CommandId, &ReplyTo), refused: &dyn Fn(Refusal) -> Refused, known: &Record) {
        let replay = |text: &str| refused(Refusal::new(Reason::Replay, text));
        let answer = match seen {
            Known::Answered(bytes) => wire::decode::<Reply>(bytes).ok(),
            Known::New | Known::Running | Known::Gone | Known::Other => None,
        };
        if let Some(answer) = answer {
            let why = replay("came again: answered as the first time");
            self.tell(&why, known);
            self.shared.send(at.1, answer);
            return;
        }
        let text = match seen {
            Known::Other => "its id was used by another command: draw a new one",
            _ => "came again, and what was answered is not kept: ask anew with another id",
        };
        self.refuse(Some(at), &replay(text), known);
    }

    /// Answers and records a refusal, as far as its kind is told one by one.
    fn refuse(&mut self, at: Option<(CommandId, &ReplyTo)>, refused: &Refused, known: &Record) {
        let Told::Recorded(audit) = self.tell(refused, known) else { return };
        let Some((id, to)) = at else { return };
        let mut reply = self.shared.reply(id, record::status_of(refused.why.reason));
        reply.audit = audit;
        reply.result.clone_from(&refused.why.result);
        self.shared.send(to, reply.because(refused.why.reason, &refused.why.text));
    }

    /// Records a refusal, or counts it.
    fn tell(&mut self, refused: &Refused, known: &Record) -> Told {
        let now = self.rooms.clock.monotonic();
        let bound = match (refused.why.reason, &refused.signer) {
            (Reason::Replay, _) => &mut self.replayed,
            (_, Some(_)) => &mut self.signed,
            (_, None) => &mut self.unsigned,
        };
        if !bound.tells(refused.why.reason, now) {
            return Told::Counted;
        }
        let reason = refused.why.reason;
        tracing::warn!(%reason, why = %refused.why.text, "a command was refused");
        let details = known.refused(refused);
        Told::Recorded(self.audit(Event::CommandRefused, &details).ok())
    }

    fn execute(&mut self, command: &Authorised, signed: &Signed, print: Fingerprint, to: &ReplyTo) {
        let id = *command.id();
        let taken = Taken {
            id,
            op: command.op(),
            issued_s: signed.issued_s,
            fingerprint: print,
            challenged: signed.challenge.is_some(),
        };
        let record = Record::of(command, to.via, &self.rooms.store);
        if let Err(error) = self.journal.take(taken) {
            let refused = Refused {
                why: unwritten(&error),
                kid: Some(signed.kid),
                signer: Some(Box::new(command.caller().person.clone())),
            };
            return self.refuse(Some((id, to)), &refused, &record);
        }
        self.shared.send(to, self.shared.reply(id, CommandStatus::Accepted));
        let outcome = match self.audit(Event::CommandAccepted, &record.accepted()) {
            Ok(_) => {
                self.shared.send(to, self.shared.reply(id, CommandStatus::Executing));
                let weight = ops::weight(&self.rooms, command);
                let done = self.shared.room_for(to, weight).and_then(|()| run(&self.rooms, command));
                // What was changed stands: its answer goes, whatever took the room meanwhile.
                if weight > 0 { done } else { done.and_then(|done| self.shared.fits(to, done)) }
            }
            Err(why) => Err(why),
        };
        self.finish(command, outcome, &record, to);
    }

    fn finish(&mut self, command: &Authorised, outcome: Result<Done, Refusal>, record: &Record, to: &ReplyTo) {
        let id = *command.id();
        let (mut reply, done) = match outcome {
            Ok(done) => (self.shared.reply(id, CommandStatus::Successful), done),
            Err(why) => {
                let mut reply = self.shared.reply(id, record::outcome_of(why.reason)).because(why.reason, &why.text);
                reply.result = why.result;
                (reply, Done::default())
            }
        };
        let details = record.done(reply.status, reply.reason, &done.facts);
        // What is done is done: a log that cannot be written is said, and the answer goes out without a number.
        reply.audit = self.audit(Event::CommandDone, &details).ok();
        tracing::info!(op = %command.op(), status = %reply.status, by = command.caller().person.name, "command done");
        if !done.result.is_empty() {
            reply.result = Some(done.result);
        }
        // Attachments are not kept, and an answer that names some would promise them.
        let kept = done.attachments.is_empty().then(|| wire::encode(&reply));
        if let Err(error) = self.journal.done(&id, kept, !done.tells_plates) {
            tracing::error!(%error, "the journal of commands was not written: a restart will tell this one as interrupted");
        }
        self.shared.line.reply(to, reply, done.attachments, done.then);
    }

    /// Says of each command that the daemon's end cut off that it was.
    fn tell_interrupted(&mut self) {
        for (id, op) in self.journal.interrupted() {
            let text = "the daemon ended while it was done: look whether it was, before it is sent again";
            let reason = Reason::Interrupted;
            let mut reply = self.shared.reply(id, CommandStatus::Failed).because(reason, text);
            let details = record::interrupted(op, &id);
            reply.audit = self.audit(Event::CommandDone, &details).ok();
            if let Err(error) = self.journal.done(&id, Some(wire::encode(&reply)), true) {
                tracing::error!(%error, "the journal of commands was not written: an interruption will be told again");
            }
            let topic = self.shared.topics.reply(op, &id);
            self.shared.send(&ReplyTo { topic, response: None, via: super::line::Via::Mqtt }, reply);
        }
    }

    /// Records what was only counted, at the end of its minute.
    fn tell_counts(&mut self, at_once: bool) {
        let now = self.rooms.clock.monotonic();
        let busy = self.shared.busy.swap(0, Ordering::Relaxed);
        for _ in 0..busy {
            // Told as a count alone: whoever offered it has had the answer.
            self.unsigned.count(Reason::Busy, now);
        }
        let over = [
            ("yes", self.signed.over(now, at_once)),
            ("no", self.unsigned.over(now, at_once)),
            ("yes", self.replayed.over(now, at_once)),
        ];
        for (signed, counts) in over {
            let Some(counts) = counts else { continue };
            let total: u64 = counts.values().sum();
            let details =
                [("count", total.to_string()), ("signed", signed.to_owned()), ("reasons", refusals::line(&counts))];
            let _ = self.audit(Event::CommandRefused, &details);
        }
    }

    fn audit(&self, event: Event, details: &[(&'static str, String)]) -> Result<u64, Refusal> {
        self.rooms.store.audit(event, details).map_err(|error| {
            tracing::error!(%error, event = event.as_str(), "a record about a command could not be written to the audit log");
            Refusal::new(Reason::Internal, format!("the audit log cannot be written, nothing was done: {error}"))
        })
    }
}

/// Runs the operation; what panics has failed.
fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let done = catch_unwind(AssertUnwindSafe(|| ops::execute(rooms, command))).unwrap_or_else(|_| {
        tracing::error!(op = %command.op(), "an operation panicked: please report this with the lines above");
        Err(Refusal::new(Reason::Internal, "the operation panicked: the daemon's log says where"))
    })?;
    if done.result.len() > MAX_RESULT {
        let text = format!("an answer of {} bytes, {MAX_RESULT} go into one: ask for less", done.result.len());
        return Err(Refusal::new(Reason::Bound, text));
    }
    Ok(done)
}

fn unwritten(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "the journal of commands cannot be written: no command is taken");
    Refusal::new(Reason::Internal, format!("the journal of commands cannot be written, nothing was done: {error}"))
}

/// The first 16 bytes of the SHA-256 of an envelope.
fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut print = Fingerprint::default();
    print.iter_mut().zip(digest.as_ref()).for_each(|(p, d)| *p = *d);
    print
}
