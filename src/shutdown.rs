//! One flag that says "stop now", for threads and tasks alike.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often [`waited`] asks.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `is_over`, `at_most` so long; false: it is not over. It asks at least once, and a time in which this very process stood still does
/// not count: whoever is waited for stood still as well.
pub fn waited(at_most: Duration, mut is_over: impl FnMut() -> bool) -> bool {
    let mut left = at_most;
    let mut looked = Instant::now();
    while !is_over() {
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(ASK_EVERY.min(left));
        let now = Instant::now();
        left = left.saturating_sub(now.saturating_duration_since(looked).min(ASK_EVERY * 10));
        looked = now;
    }
    true
}

/// Shared by everything that runs; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: Mutex<bool>,
    changed: Condvar,
    notify: tokio::sync::Notify,
    children: Mutex<Vec<Weak<Inner>>>,
}

impl Shutdown {
    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to stop, the children included.
    pub fn trigger(&self) {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
        self.0.notify.notify_waiters();
        let children = std::mem::take(&mut *self.0.children.lock().unwrap_or_else(PoisonError::into_inner));
        for child in children.iter().filter_map(Weak::upgrade) {
            Self(child).trigger();
        }
    }

    /// A flag that is set with this one, and alone without it: for a part that may also be stopped by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|c| c.strong_count() > 0);
        children.push(Arc::downgrade(&child.0));
        drop(children);
        // Whoever triggered before the child was known has set the flag before.
        if self.is_set() {
            child.trigger();
        }
        child
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

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_parent_with_it() {
        let parent = Shutdown::new();
        let (alone, with) = (parent.child(), parent.child());
        alone.trigger();
        assert!(alone.is_set() && !parent.is_set() && !with.is_set());
        let waits = with.clone();
        let thread = std::thread::spawn(move || waits.wait(Duration::from_mins(1)));
        parent.trigger();
        assert!(thread.join().unwrap() && parent.child().is_set());
    }
}
