//! Drains the outbox to the centre.
//!
//! An entry leaves the store only when the centre's signed ack covers it (or, by config, when the broker took it), so an
//! alert may be sent twice and is never lost while the disk survives. Fresh alerts go first by severity, then the backlog
//! by severity and number; what the link's budget holds back stays in the outbox until it may go. Entries are signed when they are sent. Runs in the session's task on the tokio runtime;
//! reading and trimming the outbox happens on tokio's blocking threads. Never touches frames.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::keyring::Role;
use super::keys::Keys;
use super::link::{Sender, Taken, Token};
use super::mirror::Mirrors;
use super::session::Identity;
use super::topics;
use super::window::{Entry, EntryKind, Window};
use super::{cose, wire};
use crate::clock::Clock;
use crate::domain::{Ack, AckMode, Epoch, Severity};
use crate::health::Health;
use crate::store::outbox::{Body, Outbox, OutboxItem};

pub use crate::store::outbox::Depth;

/// Most entries that are sent and not yet acknowledged.
pub const WINDOW: usize = 64;
/// Refused acks are said in the log at most so often; all are counted.
const SAY_REFUSED_EVERY: Duration = Duration::from_secs(10);

/// The store's outbox as delivery sees it. Calls may read the disk and are made off the runtime's threads.
pub trait OutboxSource: Send + Sync + 'static {
    /// The epoch that its numbers count in.
    fn epoch(&self) -> Epoch;
    /// The newest number that was given to an entry; 0 when there was none yet.
    fn newest(&self) -> u64;
    /// Up to `most` alerts of at least the severity `least`, and notices of what was shed whatever was shed, in the order of
    /// sending, without those in `staged`: fresh ones by severity, then the backlog by severity and number.
    ///
    /// # Errors
    /// What went wrong in the store, for the log.
    fn next(&self, staged: &BTreeSet<u64>, most: usize, least: Severity) -> Result<Vec<Entry>, String>;
    /// Removes what `ack` covers; how many entries that were.
    ///
    /// # Errors
    /// What went wrong in the store, for the log; nothing counts as removed then.
    fn ack(&self, ack: &Ack) -> Result<usize, String>;
    /// What waits.
    fn depth(&self) -> Depth;
}

impl OutboxSource for Outbox {
    fn epoch(&self) -> Epoch {
        self.epoch()
    }

    fn newest(&self) -> u64 {
        self.newest()
    }

    fn next(&self, staged: &BTreeSet<u64>, most: usize, least: Severity) -> Result<Vec<Entry>, String> {
        let entry = |item: OutboxItem| Entry {
            seq: item.seq,
            kind: match item.body {
                Body::Alert(_) => EntryKind::Alert(item.severity),
                Body::Shed(_) => EntryKind::Shed,
            },
            payload: item.payload(),
        };
        Ok(self.next_of(staged, most, least).map_err(|e| e.to_string())?.into_iter().map(entry).collect())
    }

    fn ack(&self, ack: &Ack) -> Result<usize, String> {
        self.ack(ack).map_err(|e| e.to_string())
    }

    fn depth(&self) -> Depth {
        self.depth()
    }
}

/// Tells the publisher that the outbox has news. Cheap to clone, never blocks: made for the recorder's commit listener.
#[derive(Debug, Clone, Default)]
pub struct News(Arc<Notify>);

impl News {
    /// Says that something was committed.
    pub fn tell(&self) {
        self.0.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.notified().await;
    }
}

/// Why an ack was refused.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// Signature, key or form.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// It came under a topic that is not this box's ack topic.
    #[error("ack under topic {got:?}, which is not ours")]
    Topic {
        /// The topic.
        got: String,
    },
    /// For another life of the store, or of another box.
    #[error("ack for epoch {got}, this store's is {want}")]
    Epoch {
        /// In the ack.
        got: Epoch,
        /// The store's.
        want: Epoch,
    },
    /// Acknowledges what was never sent.
    #[error("ack up to {got}, but the newest entry is {newest}")]
    Future {
        /// Highest number in the ack.
        got: u64,
        /// Highest number in the store.
        newest: u64,
    },
}

/// What the publisher works with.
pub struct Parts {
    /// The outbox.
    pub outbox: Arc<dyn OutboxSource>,
    /// Who signs, for which topics, and whose acks count.
    pub identity: Identity,
    /// When an entry counts as delivered.
    pub mode: AckMode,
    /// Counters.
    pub health: Arc<Health>,
    /// Time.
    pub clock: Clock,
}

/// Drains one outbox over one link after the other.
pub struct Publisher {
    parts: Parts,
    window: Window,
    /// The outbox may have entries that are not staged.
    news: bool,
    store_failed: bool,
    broker_refuses: bool,
    refused_said: Option<Duration>,
    refused_unsaid: u64,
}

impl Publisher {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            window: Window::new(WINDOW),
            news: true,
            store_failed: false,
            broker_refuses: false,
            refused_said: None,
            refused_unsaid: 0,
        }
    }

    /// A session stands: everything that is not acknowledged is to be sent (again).
    pub fn connected(&mut self) {
        self.window.reset();
        self.news = true;
        // Said anew when it still holds: the session that begins has no fault yet.
        self.broker_refuses = false;
    }

    /// The outbox has news, or a failed store may be asked again.
    pub fn has_news(&mut self) {
        self.news = true;
    }

    /// What waits in the outbox.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.parts.outbox.depth()
    }

    /// Whether the centre is away, as far as the broker told.
    #[must_use]
    pub fn centre_is_away(&self) -> bool {
        self.window.is_away()
    }

    /// The time that [`Publisher::wake_at`] counts in.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// When [`Publisher::pump`] may have something to do without an event.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.window.wake_at()
    }

    /// Whether the broker has stopped taking what it was given.
    #[must_use]
    pub fn broker_is_stuck(&self) -> bool {
        self.window.broker_is_stuck(self.parts.clock.monotonic())
    }

    /// Stages what the outbox has and hands over to `link` what is due and has room; what was handed over is mirrored.
    pub async fn pump(&mut self, link: &mut Sender, mirrors: &mut Mirrors) {
        let least = link.least();
        self.window.spare(least > Severity::Info, self.parts.clock.monotonic());
        self.window.hold(least);
        self.refill(least).await;
        let now = self.parts.clock.monotonic();
        while link.room() > 0 {
            let Some(entry) = self.window.next(now) else { return };
            let least = link.least();
            if entry.rank() < least {
                self.window.hold(least);
                continue;
            }
            let seq = entry.seq;
            let topic = entry.kind.topic(&self.parts.identity.topics);
            let message = match cose::sign(&entry.payload, &topic, &self.parts.identity.key.current()) {
                Ok(message) => message,
                Err(error) => {
                    tracing::error!(%error, seq, "an entry of the outbox cannot be signed: it is tried again later");
                    self.window.lent(seq, now);
                    self.window.taken(seq, Taken::Refused, now);
                    continue;
                }
            };
            if !link.publish(&topic, message, false, Token::Entry(seq)) {
                return;
            }
            mirrors.sent(entry);
            self.parts.health.centre.sent.inc();
            if self.window.lent(seq, now) {
                self.parts.health.centre.resent.inc();
            }
        }
    }

    async fn refill(&mut self, least: Severity) {
        while self.news {
            // A full window is still asked for one: it may be more severe than one that the centre left silent.
            let most = self.window.room().max(1);
            let (outbox, staged) = (Arc::clone(&self.parts.outbox), self.window.staged());
            let found = off_runtime(move || outbox.next(&staged, most, least)).await;
            let Some(entries) = self.store_answered(found) else { return };
            self.news = entries.len() >= most && self.window.room() > entries.len();
            for entry in entries {
                if self.window.make_room_for(entry.rank()) {
                    self.window.stage(entry);
                }
            }
        }
    }

    /// Notes what the broker said to a publish of ours.
    pub async fn published(&mut self, seq: u64, taken: Taken) {
        let was_away = self.window.is_away();
        let now = self.parts.clock.monotonic();
        self.window.taken(seq, taken, now);
        if self.broker_refuses && taken != Taken::Refused {
            tracing::info!("the broker takes our alerts again");
            self.parts.health.centre.set_fault(None);
        }
        match taken {
            Taken::Yes if self.parts.mode == AckMode::Broker => {
                let ack = Ack { epoch: self.parts.outbox.epoch(), upto: 0, also: vec![(seq, seq)] };
                self.delivered(ack, now).await;
            }
            Taken::NobodyListens if !was_away => {
                tracing::warn!(
                    waiting = self.depth().entries,
                    "nobody listens at the broker: alerts wait in the outbox"
                );
            }
            Taken::Refused if !self.broker_refuses => {
                tracing::error!(seq, "the broker refuses our alerts: check its ACL and quotas");
                self.parts.health.centre.set_fault(Some("the broker refuses our alerts".to_owned()));
            }
            Taken::Yes | Taken::NobodyListens | Taken::Refused => {}
        }
        self.broker_refuses = taken == Taken::Refused;
        self.say_return(was_away);
    }

    /// Takes an ack of the centre: `bytes` came under `topic`. Nothing is removed by one that does not verify.
    pub async fn ack(&mut self, topic: &str, bytes: &[u8]) {
        let now = self.parts.clock.monotonic();
        match self.verified_ack(topic, bytes) {
            Ok(ack) => {
                let was_away = self.window.is_away();
                self.delivered(ack, now).await;
                self.say_return(was_away);
            }
            Err(error) => self.refuse(&error, now),
        }
    }

    fn verified_ack(&self, topic: &str, bytes: &[u8]) -> Result<Ack, AckError> {
        // The signature covers the topic: an ack for another box does not verify under ours.
        let own = self.parts.identity.topics.ack();
        if topic != own {
            return Err(AckError::Topic { got: topic.chars().take(topics::MAX_TOPIC).collect() });
        }
        let (ack, _): (Ack, _) = wire::verify(bytes, topic, &self.ack_keys())?;
        let want = self.parts.outbox.epoch();
        if ack.epoch != want {
            return Err(AckError::Epoch { got: ack.epoch, want });
        }
        let newest = self.parts.outbox.newest();
        let got = ack.also.iter().map(|(_, b)| *b).max().unwrap_or(0).max(ack.upto);
        if got > newest {
            return Err(AckError::Future { got, newest });
        }
        Ok(ack)
    }

    /// The keys that may acknowledge now. A clock that was never set is at least as late as the keyring was signed.
    fn ack_keys(&self) -> Keys {
        let keyring = self.parts.identity.keyring.current();
        keyring.keys_of(Role::Delivery, self.parts.clock.utc().max(keyring.issued))
    }

    async fn delivered(&mut self, ack: Ack, now: Duration) {
        let outbox = Arc::clone(&self.parts.outbox);
        let asked = ack.clone();
        let removed = off_runtime(move || outbox.ack(&asked)).await;
        // The window forgets only what the store has let go of.
        let Some(removed) = self.store_answered(removed) else { return };
        self.parts.health.centre.acked.add(u64::try_from(removed).unwrap_or(0));
        if self.window.acked(&ack, now) > 0 || removed > 0 {
            self.news = true;
        }
    }

    fn store_answered<T>(&mut self, answer: Result<T, String>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.store_failed = false;
                Some(value)
            }
            Err(error) => {
                if !self.store_failed {
                    tracing::error!(error, "the outbox cannot be read or trimmed: delivery waits for it");
                }
                self.store_failed = true;
                self.news = false;
                None
            }
        }
    }

    fn say_return(&mut self, was_away: bool) {
        if was_away && !self.window.is_away() {
            tracing::info!(waiting = self.depth().entries, "the centre is back");
        }
    }

    fn refuse(&mut self, error: &AckError, now: Duration) {
        self.parts.health.centre.refused.inc();
        self.refused_unsaid += 1;
        if self.refused_said.is_none_or(|said| now >= said + SAY_REFUSED_EVERY) {
            let count = self.refused_unsaid;
            tracing::warn!(%error, count, "an ack was refused: nothing was removed");
            self.refused_said = Some(now);
            self.refused_unsaid = 0;
        }
    }
}

/// Runs a call that may wait for the disk where it holds nothing up.
async fn off_runtime<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|e| Err(e.to_string()))
}
