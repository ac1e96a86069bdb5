//! The box's session with the broker: connects, polls, reconnects; carries the publisher, the status messages, and what
//! [`super::carry`] holds and [`super::mirror`] says; hands on commands and chunks of blobs.
//!
//! One tokio task. It waits for events alone and for nothing else: what does not fit is sent later, and the outbox and the
//! retained topics hold what matters meanwhile. A session that stood and is lost is made anew within 2 s, at any moment of
//! them, since a whole fleet loses its broker at once; after a fault before that it waits 0.5 s, doubled up to 30 s, with
//! jitter. So is health: what follows a connection's first comes at any moment of its 30 s. The fault is said once a
//! change (WARN, with what to do) and stands in health as long as it lasts. Each connection has a last will
//! (`offline`) that was signed for it; a stop in good order says `stopped` and DISCONNECTs, so that the will is dropped.
//!
//! Started by `supervise`. What comes down is not judged here: acks go to the publisher, commands and chunks to a
//! [`Downward`], which answers through the carrier.

mod handle;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

pub use handle::{SessionHandle, SessionState};

use super::budget::{Budget, Traffic};
use super::carry::Carrier;
use super::fault::{Cause, Fault};
use super::keyring::KeyBook;
use super::keys::BoxKey;
use super::link::{self, LinkEvent, LinkSettings, Response, Sender, Token};
use super::mirror::{Mirrors, Save};
use super::publish;
use super::publish::{News, OutboxSource, Publisher};
use super::status::StatusBoard;
use super::topics::{self, Kind, Topics};
use crate::backoff::{Backoff, anywhere};
use crate::clock::Clock;
use crate::domain::AckMode;
use crate::health::Health;
use crate::health::pulse::{Part, Pulse};
use crate::shutdown::Shutdown;
use handle::Shared;

/// Within this time a session that stood and was lost is tried again: all boxes of a broker lose it in one moment.
const RETURN_WITHIN: Duration = Duration::from_secs(2);
/// First waiting time after another fault.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest waiting time after a fault.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A session that stood for so long counts as good: the next fault starts at the first waiting time again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long a stop may take: say `stopped`, hear that the broker has it, disconnect.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the task may be without a sign of life: it waits for events alone, and for the store.
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// How often cameras and the outbox are looked at without an event.
const TICK: Duration = Duration::from_secs(1);
/// Least time between two looks without an event.
const SOON: Duration = Duration::from_millis(5);

/// Usual time between two health messages.
pub const HEALTH_EVERY: Duration = Duration::from_secs(30);

/// Who the box is, and whom it believes.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its topics.
    pub topics: Topics,
    /// What it signs with.
    pub key: BoxKey,
    /// Whose acks count: keys with the delivery role.
    pub keyring: KeyBook,
}

/// How the session is made.
#[derive(Clone)]
pub struct Settings {
    /// Broker, TLS, client id and times.
    pub link: LinkSettings,
    /// First part of every topic.
    pub topic_root: String,
    /// When an alert counts as delivered.
    pub ack: AckMode,
    /// Time between two health messages.
    pub health_every: Duration,
}

/// Takes what comes down beside acks.
pub trait Downward: Send + Sync + 'static {
    /// A command, as it came: nothing of it is verified. Must not wait.
    fn command(&self, topic: &str, payload: Vec<u8>, response: Option<Response>);

    /// Chunk `n` of the blob `sha256`, unsigned. May write to the disk; called off the runtime's threads.
    fn chunk(&self, sha256: &[u8; 32], n: u32, bytes: &[u8]);
}

/// What the session needs.
pub struct Parts {
    /// How it is made.
    pub settings: Settings,
    /// Who we are, and whose acks count.
    pub identity: Identity,
    /// What is to be delivered.
    pub outbox: Arc<dyn OutboxSource>,
    /// Told by the recorder after each commit.
    pub news: News,
    /// What goes up and leaves on PUBACK.
    pub carrier: Carrier,
    /// Who takes commands and blobs; without, neither is subscribed to.
    pub downward: Option<Arc<dyn Downward>>,
    /// What the status messages say of the box.
    pub board: StatusBoard,
    /// What is told in other forms.
    pub mirrors: Mirrors,
    /// Counters.
    pub health: Arc<Health>,
    /// Time.
    pub clock: Clock,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Starts the session's task on the runtime that this is called in.
#[must_use]
pub fn start(parts: Parts) -> SessionHandle {
    let shared = Arc::new(Shared::default());
    let outbox = Arc::clone(&parts.outbox);
    let publisher = Publisher::new(publish::Parts {
        outbox: Arc::clone(&parts.outbox),
        identity: parts.identity.clone(),
        mode: parts.settings.ack,
        health: Arc::clone(&parts.health),
        clock: parts.clock.clone(),
    });
    let session = Session {
        pulse: parts.health.pulses.of("centre", Part::Vital, STEP_WITHIN),
        link: parts.settings.link,
        topic_root: parts.settings.topic_root,
        health_every: parts.settings.health_every,
        identity: parts.identity,
        news: parts.news,
        carrier: parts.carrier,
        downward: parts.downward,
        board: parts.board,
        mirrors: parts.mirrors,
        health: parts.health,
        clock: parts.clock,
        shutdown: parts.shutdown,
        shared: Arc::clone(&shared),
        publisher,
    };
    SessionHandle { shared, outbox, task: tokio::spawn(session.run()) }
}

struct Session {
    link: LinkSettings,
    topic_root: String,
    health_every: Duration,
    identity: Identity,
    news: News,
    carrier: Carrier,
    downward: Option<Arc<dyn Downward>>,
    board: StatusBoard,
    mirrors: Mirrors,
    health: Arc<Health>,
    clock: Clock,
    shutdown: Shutdown,
    shared: Arc<Shared>,
    publisher: Publisher,
    pulse: Pulse,
}

/// How long to wait after a connection that stood for `stood`, or never came to be.
fn wait_after(stood: Option<Duration>, backoff: &mut Backoff) -> Duration {
    if stood.is_some_and(|stood| stood >= STABLE_AFTER) {
        backoff.reset();
        return anywhere(RETURN_WITHIN);
    }
    backoff.wait()
}

/// Keeps the note of what the broker has of the mirrors.
fn keep(note: &Save) {
    if let Err(error) = note.write() {
        tracing::warn!(%error, "what the broker keeps of the mirrors could not be noted: it is taken back at a later start");
    }
}

/// One connection's progress.
struct Life {
    /// CONNACK came, at this time.
    since: Option<Instant>,
    next_tick: Instant,
    next_health: Instant,
    told_health: bool,
    /// The stop was asked for: until when it may take.
    farewell: Option<Instant>,
    /// `stopped` has been handed over.
    told_stopped: bool,
    disconnecting: bool,
}

impl Session {
    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while !self.shutdown.is_set() {
            let now = Instant::now();
            let mut life = Life {
                since: None,
                next_tick: now,
                next_health: now,
                told_health: false,
                farewell: None,
                told_stopped: false,
                disconnecting: false,
            };
            let end = self.live(&mut life).await;
            self.health.centre.set_connected(false);
            self.mirrors.ended();
            let Err(fault) = end else { break };
            let wait = wait_after(life.since.map(|since| since.elapsed()), &mut backoff);
            self.say(&fault, wait);
            self.shared.set(SessionState::Failed(fault));
            self.pulse.takes("the next connection", wait + STEP_WITHIN);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shutdown.wait_async() => {}
            }
        }
        if let Some(budget) = self.budget().cloned()
            && let Err(error) = tokio::task::spawn_blocking(move || budget.keep()).await
        {
            tracing::error!(%error, "the count of the link's bytes could not be kept");
        }
        self.shared.set(SessionState::Stopped);
    }

    /// Says a fault when it is another than the last one; the same fault again is worth a DEBUG line.
    fn say(&self, fault: &Fault, wait: Duration) {
        let waiting = self.publisher.depth().entries;
        let again = matches!(self.shared.get(), SessionState::Failed(last) if last.cause == fault.cause);
        if again {
            tracing::debug!(broker = %self.link.broker, %fault, ?wait, waiting, "still no session with the broker");
        } else {
            let advice = fault.cause.advice();
            tracing::warn!(broker = %self.link.broker, %fault, advice, waiting, "no session with the broker");
        }
        self.health.centre.set_fault(Some(fault.to_string()));
        self.health.centre.set_last_loss(self.clock.utc(), fault.to_string());
    }

    /// One connection from CONNECT to its end. `Ok` when it was stopped in good order, or given up while stopping.
    async fn live(&mut self, life: &mut Life) -> Result<(), Fault> {
        let (mut sender, mut events) = link::open(&self.link, &self.clock, self.board.will(&self.identity))?;
        loop {
            let event = {
                // Polled to its end and never cancelled: the event loop would lose what it was reading or writing.
                let mut next = pin!(events.next());
                loop {
                    self.pulse.beats("what is due to be sent");
                    self.work(&mut sender, life).await?;
                    self.pulse.beats("the broker, or anything to send");
                    let wake = self.wake_at(life, &sender);
                    let connected = life.since.is_some();
                    tokio::select! {
                        event = &mut next => break event?,
                        () = self.news.wait(), if connected => self.publisher.has_news(),
                        () = self.carrier.wait(), if connected => {}
                        () = sleep_until(wake) => {}
                        () = self.shutdown.wait_async(), if life.farewell.is_none() => {
                            life.farewell = Some(Instant::now() + FAREWELL);
                            if !connected {
                                return Ok(());
                            }
                        }
                    }
                    if life.farewell.is_some_and(|until| Instant::now() >= until) {
                        tracing::warn!("the broker did not take our farewell in time: it will publish our last will");
                        return Ok(());
                    }
                }
            };
            if self.handle(sender.understand(event), &mut sender, life).await? {
                return Ok(());
            }
        }
    }

    /// Sends what is due and fits.
    async fn work(&mut self, sender: &mut Sender, life: &mut Life) -> Result<(), Fault> {
        if life.since.is_none() {
            return Ok(());
        }
        if life.farewell.is_some() {
            // A full link has room again with the next PUBACK; nothing else is sent in front of it.
            life.told_stopped = life.told_stopped || self.board.say_stopped(&self.identity, sender);
            return Ok(());
        }
        if self.publisher.broker_is_stuck() {
            return Err(Fault::new(Cause::Silent, "no PUBACK for a minute"));
        }
        if Instant::now() >= life.next_tick {
            life.next_tick = Instant::now() + TICK;
            self.look_at_budget();
            self.board.say_changes(&self.identity, &self.health, sender, &mut self.mirrors);
            // What a failed store or a full window left over is asked for again.
            self.publisher.has_news();
        }
        if Instant::now() >= life.next_health {
            let every =
                self.budget().map_or(self.health_every, |budget| budget.every(Traffic::Health, self.health_every));
            // Boxes that connected in one moment do not stay in step.
            let first = !std::mem::replace(&mut life.told_health, true);
            life.next_health = Instant::now() + if first { anywhere(every) } else { every };
            self.board.say_health(&self.identity, &self.health, sender, &mut self.mirrors);
        }
        // First, and few at a time: an answer waits for no backlog, and holds none up.
        self.carrier.pump(sender);
        self.publisher.pump(sender, &mut self.mirrors).await;
        self.mirrors.pump(sender);
        Ok(())
    }

    fn budget(&self) -> Option<&Budget> {
        self.link.meter.as_ref().map(|meter| &meter.budget)
    }

    /// Begins a new day of the link's budget when it is time, and has its count kept, off the runtime's thread.
    fn look_at_budget(&self) {
        if let Some(budget) = self.budget().filter(|budget| budget.look()).cloned() {
            drop(tokio::task::spawn_blocking(move || budget.keep()));
        }
    }

    /// When to look again without an event.
    fn wake_at(&self, life: &Life, sender: &Sender) -> Instant {
        let now = Instant::now();
        let mut wake = life.next_tick.max(now + SOON);
        // Without room only a PUBACK helps, and that is an event.
        if sender.room() > 0
            && let Some(at) = self.publisher.wake_at()
        {
            wake = wake.min(now + at.saturating_sub(self.publisher.now()).max(SOON));
        }
        life.farewell.map_or(wake, |until| wake.min(until))
    }

    /// True when the connection is over in good order.
    async fn handle(&mut self, event: LinkEvent, sender: &mut Sender, life: &mut Life) -> Result<bool, Fault> {
        match event {
            LinkEvent::Connected { resumed } => {
                life.since = Some(Instant::now());
                self.health.centre.connects.inc();
                self.health.centre.set_connected(true);
                self.health.centre.set_fault(None);
                let waiting = self.publisher.depth().entries;
                tracing::info!(broker = %self.link.broker, resumed, waiting, "session with the broker");
                let [ack, commands, blobs] = self.identity.topics.box_filters();
                let filters = if self.downward.is_some() { vec![ack, commands, blobs] } else { vec![ack] };
                if !sender.subscribe(&filters) {
                    return Err(Fault::new(Cause::Protocol, "the subscription could not be handed over"));
                }
                self.board.connected();
                self.publisher.connected();
                self.carrier.connected();
                self.mirrors.connected();
                (life.next_tick, life.next_health) = (Instant::now(), Instant::now());
                self.shared.set(SessionState::Connected);
            }
            LinkEvent::Subscribed { refused } if refused > 0 => {
                return Err(Fault::new(Cause::NotAuthorised, "the subscription to our acks and commands was refused"));
            }
            LinkEvent::Published { token: Token::Entry(seq), taken } => {
                self.publisher.published(seq, taken).await;
                self.shared.changed.notify_waiters();
            }
            LinkEvent::Published { token: Token::Letter(number), taken } => {
                self.carrier.published(number, taken);
                self.shared.changed.notify_waiters();
            }
            LinkEvent::Published { token: Token::Mirror(number), taken } => {
                if let Some(note) = self.mirrors.published(number, taken) {
                    drop(tokio::task::spawn_blocking(move || keep(&note)));
                }
                self.shared.changed.notify_waiters();
            }
            LinkEvent::Published { token: Token::Farewell, .. } => {
                life.disconnecting = sender.disconnect();
                return Ok(!life.disconnecting);
            }
            LinkEvent::Message { topic, retained: true, .. } => {
                self.health.centre.refused.inc();
                tracing::warn!(topic, "a retained message came down: nothing that is kept by a broker is taken");
            }
            LinkEvent::Message { topic, payload, response, .. } => self.message(&topic, payload, response).await,
            LinkEvent::Disconnected => return Ok(life.disconnecting),
            LinkEvent::Published { token: Token::Other, .. } | LinkEvent::Subscribed { .. } | LinkEvent::Other => {}
        }
        Ok(false)
    }

    async fn message(&mut self, topic: &str, payload: Vec<u8>, response: Option<Response>) {
        let own = |kind: &Kind| self.identity.topics.of(kind) == topic;
        match topics::parse(&self.topic_root, topic) {
            Ok(address) if address.kind == Kind::Ack => {
                self.publisher.ack(topic, &payload).await;
                self.shared.changed.notify_waiters();
            }
            Ok(address) if own(&address.kind) => match (address.kind, &self.downward) {
                (Kind::Command { .. }, Some(downward)) => downward.command(topic, payload, response),
                (Kind::Blob { sha256, chunk }, Some(downward)) => {
                    let downward = Arc::clone(downward);
                    // Awaited, so that chunks are taken no faster than the disk writes them.
                    let written = tokio::task::spawn_blocking(move || downward.chunk(&sha256, chunk, &payload));
                    if let Err(error) = written.await {
                        tracing::error!(%error, "a chunk of a blob could not be taken");
                    }
                }
                _ => tracing::debug!(topic, "a message that nothing here takes"),
            },
            Ok(_) => {
                self.health.centre.refused.inc();
                tracing::warn!(topic, "a message for another box came down to us: check the broker's ACL");
            }
            Err(error) => {
                self.health.centre.refused.inc();
                tracing::warn!(%error, "a message under a topic that is none of ours");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_stood_is_made_anew_at_any_moment_and_one_that_flaps_backs_off() {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let flapping: Vec<Duration> = (0..8).map(|_| wait_after(Some(Duration::ZERO), &mut backoff)).collect();
        assert!(flapping[7] >= LONGEST_WAIT / 2, "{flapping:?}");
        let stood: Vec<Duration> = (0..200).map(|_| wait_after(Some(STABLE_AFTER), &mut backoff)).collect();
        assert!(stood.iter().all(|wait| *wait <= RETURN_WITHIN));
        assert!(stood.iter().any(|wait| *wait < RETURN_WITHIN / 4) && stood.iter().any(|w| *w > RETURN_WITHIN * 3 / 4));
        assert!(wait_after(None, &mut backoff) <= FIRST_WAIT, "and the next failure begins anew");
    }
}
