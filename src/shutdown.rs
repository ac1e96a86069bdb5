//! One flag that says "stop now", for threads and tasks alike.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by everything that runs; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: Mutex<bool>,
    changed: Condvar,
    notify: tokio::sync::Notify,
}

impl Shutdown {
    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to stop.
    pub fn trigger(&self) {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
        self.0.notify.notify_waiters();
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `at_most`, less when asked to stop; true when asked.
    #[must_use]
    pub fn wait(&self, at_most: Duration) -> bool {
        let guard = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            self.0.changed.wait_timeout_while(guard, at_most, |set| !*set).unwrap_or_else(PoisonError::into_inner);
        *guard
    }

    /// Resolves when asked to stop.
    pub async fn wait_async(&self) {
        let notified = self.0.notify.notified();
        tokio::pin!(notified);
        // Registered before the flag is read, so that a trigger in between is not missed.
        notified.as_mut().enable();
        if !self.is_set() {
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_early_when_stopped() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait(Duration::from_millis(1)));
        let other = shutdown.clone();
        let thread = std::thread::spawn(move || other.wait(Duration::from_mins(1)));
        shutdown.trigger();
        assert!(thread.join().unwrap());
    }
}
