//! The executor: one thread that takes commands in, one at a time, and sees each to its end.
//!
//! Sixteen commands may wait; one that finds no room is answered `busy` and is not looked at. Calls into operations block
//! this thread and no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::line::{Incoming, Line, ReplyTo};
use super::{Refusal, Rooms};
use crate::centre::topics::{self, Kind};
use crate::centre::wire::Reply;
use crate::clock::{Challenges, Clock};
use crate::domain::{BoxId, CommandStatus, Reason, SiteId};

/// Commands that may wait.
const WAITING: usize = 16;

/// What the executor works with.
pub struct Parts {
    /// What operations work with.
    pub rooms: Rooms,
    /// First part of every topic.
    pub topic_root: String,
    /// This box's site.
    pub site: SiteId,
    /// This box.
    pub box_id: BoxId,
    /// Folder of the journal of ids; made when it is not there.
    pub dir: PathBuf,
    /// The challenges that health gives out.
    pub challenges: Challenges,
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
    stopping: Arc<AtomicBool>,
    root: Arc<str>,
    clock: Clock,
    line: Arc<dyn Line>,
}

enum Job {
    Do(Box<Incoming>),
    Stop,
}

impl Executor {
    /// Reads the journal and starts the thread `command`.
    ///
    /// # Errors
    /// When the journal cannot be opened, or no thread be made.
    pub fn start(parts: Parts) -> Result<Self, Refusal> {
        let (sender, jobs) = sync_channel(WAITING);
        let stopping = Arc::new(AtomicBool::new(false));
        let inbox = Inbox {
            sender,
            stopping: Arc::clone(&stopping),
            root: Arc::from(parts.topic_root.as_str()),
            clock: parts.rooms.clock.clone(),
            line: Arc::clone(&parts.line),
        };
        let work = move || work(&parts, &jobs, &stopping);
        let thread = std::thread::Builder::new().name("command".to_owned()).spawn(work);
        let thread = thread.map_err(|e| Refusal::new(Reason::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Self { inbox, thread })
    }

    /// Where commands are handed in.
    #[must_use]
    pub fn handle(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Whether the thread still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends after the command that is being executed; those that wait are answered `busy`.
    pub fn stop(self) {
        self.inbox.stopping.store(true, Ordering::SeqCst);
        // The thread takes from the queue until it finds this.
        let _ = self.inbox.sender.send(Job::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the command thread panicked");
        }
    }
}

impl Inbox {
    /// Hands a command in; never waits. Without room, or while the daemon stops, it is answered `busy` at once.
    pub fn offer(&self, incoming: Incoming) {
        match self.sender.try_send(Job::Do(Box::new(incoming))) {
            Ok(()) | Err(TrySendError::Full(Job::Stop) | TrySendError::Disconnected(Job::Stop)) => {}
            Err(TrySendError::Full(Job::Do(incoming)) | TrySendError::Disconnected(Job::Do(incoming))) => {
                answer_busy(&incoming, &self.root, &self.clock, &*self.line);
            }
        }
    }
}

fn work(parts: &Parts, jobs: &Receiver<Job>, stopping: &AtomicBool) {
    while let Ok(Job::Do(incoming)) = jobs.recv() {
        let _ = (parts, stopping.load(Ordering::SeqCst));
        answer_busy(&incoming, &parts.topic_root, &parts.rooms.clock, &*parts.line);
    }
}

/// Operation, id and the place to answer, as a command's topic says them.
fn addressed(incoming: &Incoming, root: &str) -> Option<(String, [u8; 16], ReplyTo)> {
    let address = topics::parse(root, &incoming.topic).ok()?;
    let Kind::Command { op, id } = &address.kind else { return None };
    let bytes = data_encoding::HEXLOWER.decode(id.as_bytes()).ok()?;
    let reply = Kind::Reply { op: op.clone(), id: id.clone() };
    let topic = topics::Topics::new(root, &address.site, &address.box_id).ok()?.of(&reply);
    let to = ReplyTo { topic, response: incoming.response.clone(), via: incoming.via };
    Some((op.clone(), <[u8; 16]>::try_from(bytes).ok()?, to))
}

fn answer_busy(incoming: &Incoming, root: &str, clock: &Clock, line: &dyn Line) {
    let Some((_, id, to)) = addressed(incoming, root) else { return };
    let reply = Reply::new(id, CommandStatus::Busy, clock.utc(), clock.state());
    line.reply(
        &to,
        reply.because(Reason::Busy, "too many commands wait: send it again in some seconds"),
        Vec::new(),
        None,
    );
}
