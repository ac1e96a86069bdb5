//! The recorder: the one thread that writes sightings, hits and alerts.
//!
//! Entries come over a bounded queue (64) and are committed in groups: when 64 are waiting, or 50 ms after the first.
//! What [`RecorderHandle::send`] took is durable once [`RecorderHandle::flush`] returns or a commit that counts it was
//! announced, and not before. **A disk that is full or broken**: nothing is lost and nothing is said to be done that is
//! not; the batch is tried again (after 100 ms, doubling to 5 s) while the queue fills, senders wait, and cameras drop
//! frames, which is counted. It is said once when it begins and once when it is over; `health.store_faults` counts every try.
//!
//! After each commit the outbox is brought back within its bounds, and the index is checkpointed when it is time. Acks that came in
//! are written with the next commit, after a minute alone, and at the end. [`Recorder::stop`] (or dropping it) commits what was taken, then ends; with a disk that
//! does not recover it gives up after 1.5 s and says how many entries went with it: every entry that a sender was told
//! was taken is either committed or counted there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::audit::Event;
use super::error::Error;
use super::orders::{Order, Orders};
use super::writer::{Commit, Writer};
use super::{Entry, Inner, Store};
use crate::health::Health;
use crate::health::pulse::{Part, Pulse};
use crate::shutdown::{Shutdown, waited};

/// Entries that may wait; a sender waits when it is full.
pub const QUEUE: usize = 64;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// So often pictures are tried on a disk that says it is full: some three seconds.
const PICTURES_TRIED: u32 = 6;
/// How long the end is held up by a disk that fails; the whole daemon has 10 s.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1500);
/// How often a full queue is tried again by who may not wait for ever.
const QUEUE_POLL: Duration = Duration::from_millis(2);
/// How long one step may take: a disk that fails keeps a call for half a minute before it says so.
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// How often it is looked whether something is due though nothing comes.
const TICK: Duration = Duration::from_secs(1);

/// Called on the recorder's thread after every durable commit; must not block.
pub type OnCommit = Box<dyn Fn(&Commit) + Send>;

pub(super) enum Message {
    // Boxed: an entry is large, and the queue is allocated whole.
    Entry(Box<Entry>),
    Flush(SyncSender<()>),
    Order(Order),
    Stop,
}

/// Sends entries to the recorder; cheap to clone, one for each analysis thread.
#[derive(Clone)]
pub struct RecorderHandle {
    queue: SyncSender<Message>,
    gate: Arc<Gate>,
    /// Not kept open by who only sends.
    store: Weak<Inner>,
}

/// Lets the end know that every entry that was taken is in the queue: a sender counts itself before it looks whether the
/// gate is closed, so either it sees that, or it is seen.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    sending: AtomicUsize,
}

impl RecorderHandle {
    /// Hands an entry over; waits while the queue is full.
    ///
    /// # Errors
    /// [`Error::RecorderStopped`]: the entry was not taken.
    pub fn send(&self, entry: Entry) -> Result<(), Error> {
        self.gate.sending.fetch_add(1, Ordering::SeqCst);
        let taken =
            !self.gate.closed.load(Ordering::SeqCst) && self.queue.send(Message::Entry(Box::new(entry))).is_ok();
        self.gate.sending.fetch_sub(1, Ordering::SeqCst);
        if taken { Ok(()) } else { Err(Error::RecorderStopped) }
    }

    /// Returns when everything that this thread sent before is durable.
    ///
    /// # Errors
    /// [`Error::FlushTimeout`] when it is not within `at_most` (it may be later), [`Error::RecorderStopped`].
    pub fn flush(&self, at_most: Duration) -> Result<(), Error> {
        let (done, wait) = sync_channel(1);
        self.ask(Message::Flush(done), &wait, at_most)
    }

    /// The store, as long as it is open.
    pub(super) fn store(&self) -> Result<Arc<Inner>, Error> {
        self.store.upgrade().ok_or(Error::RecorderStopped)
    }

    /// Hands `message` over and waits for what the recorder answers, `at_most` in all: with a disk that is full the
    /// queue is full as well, and no room may ever come.
    pub(super) fn ask<T>(&self, mut message: Message, wait: &Receiver<T>, at_most: Duration) -> Result<T, Error> {
        let begun = Instant::now();
        let late = || Error::FlushTimeout { waited_ms: u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX) };
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(Error::RecorderStopped),
                Err(TrySendError::Full(_)) if begun.elapsed() >= at_most => return Err(late()),
                Err(TrySendError::Full(back)) => message = back,
            }
            std::thread::sleep(QUEUE_POLL);
        }
        wait.recv_timeout(at_most.saturating_sub(begun.elapsed())).map_err(|error| match error {
            RecvTimeoutError::Timeout => late(),
            RecvTimeoutError::Disconnected => Error::RecorderStopped,
        })
    }
}

/// The recorder's thread; ends it when dropped.
pub struct Recorder {
    handle: RecorderHandle,
    stop: Shutdown,
    thread: Option<JoinHandle<usize>>,
}

impl Recorder {
    /// Starts the thread `recorder` on `store`.
    ///
    /// # Errors
    /// [`Error::RecorderRunning`] when the store has one already; I/O errors when no thread can be made.
    pub fn start(store: &Store, health: Arc<Health>, on_commit: OnCommit) -> Result<Self, Error> {
        let (queue, inbox) = sync_channel(QUEUE);
        let stop = Shutdown::new();
        let mut writer = Writer::new(Arc::clone(&store.0))?;
        let pulse = health.pulses.of("recorder", Part::Vital, STEP_WITHIN);
        writer.lives_by(pulse.clone());
        let gate = Arc::new(Gate::default());
        let worker = Worker {
            store: store.clone(),
            writer,
            inbox,
            gate: Arc::clone(&gate),
            health,
            on_commit,
            stop: stop.clone(),
            orders: Orders::default(),
            give_up_at: None,
            lost: 0,
            pulse,
        };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || worker.run())
            .map_err(Error::io("start the thread of", &store.0.dir))?;
        Ok(Self { handle: RecorderHandle { queue, gate, store: Arc::downgrade(&store.0) }, stop, thread: Some(thread) })
    }

    /// A handle for a thread that sends.
    #[must_use]
    pub fn handle(&self) -> RecorderHandle {
        self.handle.clone()
    }

    /// Whether the thread still runs; it ends by itself only with a panic.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Commits what was taken and ends; returns how many entries could not be stored (0 unless the disk failed).
    #[must_use]
    pub fn stop(mut self) -> usize {
        self.finish()
    }

    /// The same, but waits `at_most` so long; `None`: the thread hangs and was left behind.
    #[must_use]
    pub fn stop_within(mut self, at_most: Duration) -> Option<usize> {
        let Some(thread) = self.thread.take() else { return Some(0) };
        self.stop.trigger();
        let mut told = false;
        let is_over = || {
            // Once at least: without it the thread goes on as if nobody had asked.
            told = told || !matches!(self.handle.queue.try_send(Message::Stop), Err(TrySendError::Full(_)));
            thread.is_finished()
        };
        waited(at_most, is_over).then(|| Self::join(thread))
    }

    fn finish(&mut self) -> usize {
        let Some(thread) = self.thread.take() else { return 0 };
        self.stop.trigger();
        // Waits while the queue is full; the thread empties it, or gives up and closes it.
        let _ = self.handle.queue.send(Message::Stop);
        Self::join(thread)
    }

    fn join(thread: JoinHandle<usize>) -> usize {
        thread.join().unwrap_or_else(|_| {
            tracing::error!("recorder thread panicked");
            0
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Worker {
    store: Store,
    writer: Writer,
    inbox: Receiver<Message>,
    gate: Arc<Gate>,
    health: Arc<Health>,
    on_commit: OnCommit,
    stop: Shutdown,
    /// One deadline for the whole end, however many commits it takes.
    /// Deletions under way.
    orders: Orders,
    give_up_at: Option<Instant>,
    lost: usize,
    pulse: Pulse,
}

/// How a commit that is tried again and again came out.
enum Tried {
    Done(Commit),
    /// There was nothing to write.
    Nothing,
    /// The end came before the disk recovered.
    GaveUp,
}

/// What was gathered for one commit.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    flushes: Vec<SyncSender<()>>,
    order: Option<Order>,
    stop: bool,
}

impl Worker {
    fn run(mut self) -> usize {
        loop {
            self.pulse.beats("the next batch");
            let group = self.gather();
            self.pulse.beats("a commit");
            self.writer.look_at_room();
            let acks = self.writer.acks_due() || (group.stop && self.writer.has_acked());
            let work = !group.entries.is_empty() || acks;
            if work {
                self.commit(&group.entries);
            }
            // A copy that does not open is told as shed also when nothing else happens: somebody may wait for it.
            if self.lost == 0 && (work || self.writer.has_condemned()) {
                self.shed();
            }
            for flush in group.flushes.iter().filter(|_| self.lost == 0) {
                // Whoever asked may have stopped waiting.
                let _ = flush.send(());
            }
            self.pulse.beats("a deletion");
            if let Some(order) = group.order {
                self.orders.take(order, &mut self.writer);
            }
            self.orders.step(&mut self.writer);
            self.writer.repair_index();
            self.pulse.beats("a checkpoint of the index");
            self.writer.checkpoint_if_due();
            if group.stop || self.lost > 0 {
                break;
            }
        }
        let rest = self.close_gate();
        if self.lost > 0 {
            self.lost += rest.len();
        } else if !rest.is_empty() {
            self.commit(&rest);
        }
        if self.lost > 0 {
            tracing::error!(entries = self.lost, "entries lost: the disk did not recover before the end");
            let details =
                [("entries", self.lost.to_string()), ("why", "the disk did not take them before the stop".to_owned())];
            self.store.0.say(Event::Lost, &details);
        }
        self.writer.close();
        self.lost
    }

    /// Takes no entry any more and returns those that were taken. Senders that wait for room get it, so the queue is
    /// emptied until they are through. What waits for an answer learns that the recorder has stopped.
    fn close_gate(&self) -> Vec<Entry> {
        self.gate.closed.store(true, Ordering::SeqCst);
        let mut rest = Vec::new();
        loop {
            // Looked at first: once it is 0 whatever was taken is in the queue.
            let sending = self.gate.sending.load(Ordering::SeqCst);
            rest.extend(self.inbox.try_iter().filter_map(|message| match message {
                Message::Entry(entry) => Some(*entry),
                Message::Flush(_) | Message::Order(_) | Message::Stop => None,
            }));
            if sending == 0 {
                return rest;
            }
            std::thread::sleep(QUEUE_POLL);
        }
    }

    /// Waits for a first message, then gathers for the commit interval or until the group is full.
    fn gather(&self) -> Group {
        let settings = &self.store.0.settings;
        let mut group = Group::default();
        let mut wait = if self.orders.wait() { Duration::ZERO } else { TICK };
        let mut deadline = None;
        while group.entries.len() < settings.commit_rows {
            match self.inbox.recv_timeout(wait) {
                Ok(Message::Entry(entry)) => group.entries.push(*entry),
                Ok(Message::Flush(done)) => group.flushes.push(done),
                Ok(Message::Order(order)) => group.order = Some(order),
                Ok(Message::Stop) => group.stop = true,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    group.stop = true;
                    break;
                }
            }
            if group.stop {
                // Other threads may have sent behind the stop.
                self.inbox.try_iter().for_each(|message| match message {
                    Message::Entry(entry) => group.entries.push(*entry),
                    Message::Flush(done) => group.flushes.push(done),
                    Message::Order(_) | Message::Stop => {}
                });
            }
            if group.stop || group.order.is_some() || !group.flushes.is_empty() {
                break;
            }
            let until =
                *deadline.get_or_insert_with(|| Instant::now() + Duration::from_millis(settings.commit_interval_ms));
            wait = until.saturating_duration_since(Instant::now());
        }
        group
    }

    fn commit(&mut self, entries: &[Entry]) {
        let done = self.retry("commit", |writer| writer.prepare(entries));
        match done {
            Tried::Done(commit) => (self.on_commit)(&commit),
            // Entries that leave no trace, as reads do where none are kept: done as well.
            Tried::Nothing => (self.on_commit)(&Commit { entries: entries.len(), ..Commit::default() }),
            Tried::GaveUp => {
                self.lost += entries.len();
            }
        }
        let left_out = self.writer.take_left_out();
        self.store.0.pictures_lost.add(left_out.pictures);
        for (camera, reads) in &left_out.reads {
            self.health.camera(camera).lost.add(*reads);
        }
    }

    fn shed(&mut self) {
        let mut copies = 0;
        let done = self.retry("shed", |writer| {
            let Some((prepared, alerts)) = writer.prepare_shed()? else { return Ok(None) };
            copies = alerts;
            Ok(Some(prepared))
        });
        if let Tried::Done(commit) = done {
            self.health.shed.add(copies);
            tracing::warn!(copies, "outbox full: copies shed, hits kept");
            let details = [("copies", copies.to_string()), ("last_seq", commit.last_seq.to_string())];
            self.store.0.say(Event::Shed, &details);
            (self.on_commit)(&commit);
        }
    }

    /// Prepares and commits until it is done, or the end comes first.
    fn retry(
        &mut self,
        what: &str,
        mut prepare: impl FnMut(&Writer) -> Result<Option<super::writer::Prepared>, Error>,
    ) -> Tried {
        let mut pause = FIRST_RETRY;
        let (mut failing, mut full) = (false, 0);
        let mut ready = None;
        loop {
            self.pulse.beats("a commit");
            if failing && ready.is_none() {
                // It may have been full for a moment only: what is drawn up now must not go without for that.
                self.writer.look_at_room();
            }
            let tried = match ready.as_mut() {
                Some(prepared) => self.writer.commit(prepared).map(Some),
                None => match prepare(&self.writer) {
                    Ok(None) => Ok(None),
                    Ok(Some(prepared)) => self.writer.commit(ready.insert(prepared)).map(Some),
                    Err(error) => Err(error),
                },
            };
            match tried {
                Ok(commit) => {
                    if failing {
                        tracing::info!(what, "store works again");
                    }
                    return commit.map_or(Tried::Nothing, Tried::Done);
                }
                Err(error) => {
                    self.health.store_faults.inc();
                    if error.is_full() {
                        self.writer.meet_full();
                        full += 1;
                        if full >= PICTURES_TRIED {
                            // A hit does not wait for its pictures.
                            ready = ready.take().and_then(|prepared| self.writer.go_without_pictures(prepared));
                        }
                    }
                    // Nobody else rebuilds it while this waits.
                    self.store.0.judge_index(&error);
                    self.writer.repair_index();
                    self.pulse.beats("the disk, before another try");
                    if !failing {
                        tracing::error!(what, %error, "store failed, trying again; nothing is acknowledged meanwhile");
                        failing = true;
                    }
                }
            }
            let stopping = self.stop.wait(pause);
            let now = Instant::now();
            if stopping {
                if now >= *self.give_up_at.get_or_insert(now + GIVE_UP_AFTER) {
                    return Tried::GaveUp;
                }
                // The stop flag ends every wait at once; without this the last tries would spin.
                std::thread::sleep(FIRST_RETRY);
            } else {
                pause = (pause * 2).min(LAST_RETRY);
            }
        }
    }
}
