//! What others see of the running session: its state, and waiting for it.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::centre::fault::Fault;
use crate::centre::publish::OutboxSource;

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
pub(super) struct Shared {
    state: Mutex<SessionState>,
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn set(&self, state: SessionState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_waiters();
    }

    pub(super) fn get(&self) -> SessionState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The running session.
pub struct SessionHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Arc<dyn OutboxSource>,
    pub(super) task: JoinHandle<()>,
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
