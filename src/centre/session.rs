//! The box's session with the broker: connects, polls, reconnects; carries the publisher and the status messages.
//!
//! One tokio task. It waits for events alone and for nothing else: what does not fit is sent later, and the outbox and the
//! retained topics hold what matters meanwhile. After a fault it waits 0.5 s, doubled up to 30 s, with jitter. The fault is
//! said once a change (WARN, with what to do) and stands in health as long as it lasts. Each connection has a last will
//! (`offline`) that was signed for it; a stop in good order says `stopped` and DISCONNECTs, so that the will is dropped.
//!
//! Started by `supervise`. Commands are not taken here yet: their topics are subscribed to by the command room's issue.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::fault::{Cause, Fault};
use super::keyring::Keyring;
use super::keys::SigningKey;
use super::link::{self, LinkEvent, LinkSettings, Sender, Token};
use super::publish;
use super::publish::{News, OutboxSource, Publisher};
use super::status::StatusBoard;
use super::topics::{self, Kind, Topics};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::domain::AckMode;
use crate::health::Health;
use crate::shutdown::Shutdown;

/// First waiting time after a fault.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest waiting time after a fault.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A session that stood for so long counts as good: the next fault starts at the first waiting time again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long a stop may take: say `stopped`, hear that the broker has it, disconnect.
const FAREWELL: Duration = Duration::from_secs(3);
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
    pub key: Arc<SigningKey>,
    /// Whose acks count: keys with the delivery role.
    pub keyring: Arc<Keyring>,
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

/// Whether there is a session with the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionState {
    /// Not yet tried, or trying for the first time.
    #[default]
    Connecting,
    /// It stands.
    Connected,
    /// There is none.
    Failed(Fault),
    /// Ended in good order.
    Stopped,
}

/// What the task and its handle share.
#[derive(Default)]
struct Shared {
    state: Mutex<SessionState>,
    changed: Notify,
}

impl Shared {
    fn set(&self, state: SessionState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_waiters();
    }

    fn get(&self) -> SessionState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The running session.
pub struct SessionHandle {
    shared: Arc<Shared>,
    outbox: Arc<dyn OutboxSource>,
    task: JoinHandle<()>,
}

impl SessionHandle {
    /// Whether there is a session now, and if not, why.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.shared.get()
    }

    /// Whether the task still runs; it ends by itself only with a panic.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Waits until everything in the outbox is delivered; false when `within` was too short.
    pub async fn drained(&self, within: Duration) -> bool {
        self.until(within, || self.outbox.depth().entries == 0).await
    }

    /// Waits until a session stands; false when `within` was too short.
    pub async fn connected(&self, within: Duration) -> bool {
        self.until(within, || self.state() == SessionState::Connected).await
    }

    /// Waits until there is no session, for a reason; false when `within` was too short.
    pub async fn failed(&self, within: Duration) -> bool {
        self.until(within, || matches!(self.state(), SessionState::Failed(_))).await
    }

    /// Waits until `reached` holds, asked whenever the session changed, delivered or refused something.
    pub async fn until(&self, within: Duration, reached: impl Fn() -> bool) -> bool {
        let waiting = async {
            loop {
                let mut changed = pin!(self.shared.changed.notified());
                // Registered before the question, so that a change in between is not missed.
                changed.as_mut().enable();
                if reached() {
                    return;
                }
                changed.await;
            }
        };
        timeout(within, waiting).await.is_ok()
    }

    /// Ends the task where it stands, as a crash would: the broker publishes the last will.
    pub fn abort(self) {
        self.task.abort();
    }

    /// Waits for the end of the task; to be called after the shutdown was triggered. Bounded by the farewell.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the session's task did not end in good order");
        }
    }
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
    /// What the status messages say of the box.
    pub board: StatusBoard,
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
        link: parts.settings.link,
        topic_root: parts.settings.topic_root,
        health_every: parts.settings.health_every,
        identity: parts.identity,
        news: parts.news,
        board: parts.board,
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
    board: StatusBoard,
    health: Arc<Health>,
    clock: Clock,
    shutdown: Shutdown,
    shared: Arc<Shared>,
    publisher: Publisher,
}

/// One connection's progress.
struct Life {
    /// CONNACK came, at this time.
    since: Option<Instant>,
    next_tick: Instant,
    next_health: Instant,
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
                farewell: None,
                told_stopped: false,
                disconnecting: false,
            };
            let end = self.live(&mut life).await;
            self.health.centre.set_connected(false);
            let Err(fault) = end else { break };
            if life.since.is_some_and(|since| since.elapsed() >= STABLE_AFTER) {
                backoff.reset();
            }
            let wait = backoff.wait();
            self.say(&fault, wait);
            self.shared.set(SessionState::Failed(fault));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shutdown.wait_async() => {}
            }
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
                    self.work(&mut sender, life).await?;
                    let wake = self.wake_at(life, &sender);
                    let connected = life.since.is_some();
                    tokio::select! {
                        event = &mut next => break event?,
                        () = self.news.wait(), if connected => self.publisher.has_news(),
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
            self.board.say_changes(&self.identity, &self.health, sender);
            // What a failed store or a full window left over is asked for again.
            self.publisher.has_news();
        }
        if Instant::now() >= life.next_health {
            life.next_health = Instant::now() + self.health_every;
            self.board.say_health(&self.identity, &self.health, self.publisher.numbers(), sender);
        }
        self.publisher.pump(sender).await;
        Ok(())
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
                if !sender.subscribe(&[self.identity.topics.ack()]) {
                    return Err(Fault::new(Cause::Protocol, "the subscription could not be handed over"));
                }
                self.board.connected();
                self.publisher.connected();
                (life.next_tick, life.next_health) = (Instant::now(), Instant::now());
                self.shared.set(SessionState::Connected);
            }
            LinkEvent::Subscribed { refused } if refused > 0 => {
                return Err(Fault::new(Cause::NotAuthorised, "the subscription to our ack topic was refused"));
            }
            LinkEvent::Published { token: Token::Entry(seq), taken } => {
                self.publisher.published(seq, taken).await;
                self.shared.changed.notify_waiters();
            }
            LinkEvent::Published { token: Token::Farewell, .. } => {
                life.disconnecting = sender.disconnect();
                return Ok(!life.disconnecting);
            }
            LinkEvent::Message { topic, payload, .. } => self.message(&topic, &payload).await,
            LinkEvent::Disconnected => return Ok(life.disconnecting),
            LinkEvent::Published { token: Token::Other, .. } | LinkEvent::Subscribed { .. } | LinkEvent::Other => {}
        }
        Ok(false)
    }

    async fn message(&mut self, topic: &str, payload: &[u8]) {
        match topics::parse(&self.topic_root, topic) {
            Ok(address) if address.kind == Kind::Ack => {
                self.publisher.ack(topic, payload).await;
                self.shared.changed.notify_waiters();
            }
            Ok(_) => tracing::debug!(topic, "a message that nothing here takes"),
            Err(error) => {
                self.health.centre.refused.inc();
                tracing::warn!(%error, "a message under a topic that is none of ours");
            }
        }
    }
}
