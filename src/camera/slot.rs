//! One place for one frame between GStreamer's thread and the analysis thread.
//!
//! Live, a newer frame replaces the one that waits ([`Slot::offer`]): this is the only place where a live frame is
//! lost. For a file the writer waits until the place is free ([`Slot::put`]): every frame counts. The end of the stream
//! is told after the last frame has been taken. Bounded by construction: one frame.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Error;

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// The frame that waited.
    Item(T),
    /// Nothing came in the time asked for.
    Nothing,
    /// The stream is over, well or by an error; told once, then [`Taken::Closed`].
    Over(Result<(), Error>),
    /// The stream was over before.
    Closed,
}

#[derive(Debug)]
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    item: Option<T>,
    over: Option<Result<(), Error>>,
    closed: bool,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { item: None, over: None, closed: false }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the newest item in; true when one that nobody took was replaced.
    pub(super) fn offer(&self, item: T) -> bool {
        let replaced = self.lock().item.replace(item);
        self.changed.notify_all();
        // Dropped here, outside the lock: releasing a frame calls into GStreamer.
        replaced.is_some()
    }

    /// Waits until the place is free and puts the item in; false when the slot was closed instead.
    pub(super) fn put(&self, item: T) -> bool {
        let mut state = self.with_room();
        if state.closed {
            return false;
        }
        state.item = Some(item);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits until the place is free or nobody reads any more.
    pub(super) fn wait_for_room(&self) {
        drop(self.with_room());
    }

    fn with_room(&self) -> MutexGuard<'_, State<T>> {
        let has_none = |s: &mut State<T>| s.item.is_some() && !s.closed;
        self.changed.wait_while(self.lock(), has_none).unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream is over: by an error, or at its end. The first word counts: what comes later is its consequence.
    pub(super) fn finish(&self, how: Result<(), Error>) {
        let mut state = self.lock();
        if state.over.is_none() && !state.closed {
            state.over = Some(how);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Takes what is there, waiting for it up to `wait`.
    pub(super) fn take(&self, wait: Duration) -> Taken<T> {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, wait, |s| s.item.is_none() && s.over.is_none() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let taken = if let Some(item) = state.item.take() {
            Taken::Item(item)
        } else if let Some(over) = state.over.take() {
            state.closed = true;
            Taken::Over(over)
        } else if state.closed {
            Taken::Closed
        } else {
            Taken::Nothing
        };
        drop(state);
        self.changed.notify_all();
        taken
    }

    /// Nobody reads any more: a waiting writer returns.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let left = state.item.take();
        drop(state);
        drop(left);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_newest_item_wins_and_the_replaced_one_is_told() {
        let slot = Slot::new();
        assert!(!slot.offer(1));
        assert!(slot.offer(2));
        assert!(matches!(slot.take(Duration::ZERO), Taken::Item(2)));
        assert!(matches!(slot.take(Duration::ZERO), Taken::Nothing));
    }

    #[test]
    fn put_waits_so_that_every_item_is_taken_in_order() {
        let slot = Arc::new(Slot::new());
        let writer = {
            let slot = Arc::clone(&slot);
            std::thread::spawn(move || (0..100).all(|n| slot.put(n)))
        };
        for n in 0..100 {
            assert!(matches!(slot.take(LONG), Taken::Item(m) if m == n));
        }
        assert!(writer.join().unwrap());
    }

    #[test]
    fn the_end_comes_after_the_last_item_and_the_first_error_counts() {
        let slot = Slot::new();
        slot.offer(1);
        slot.finish(Err(Error::Closed { origin: "a".into() }));
        slot.finish(Ok(()));
        assert!(matches!(slot.take(LONG), Taken::Item(1)));
        assert!(matches!(slot.take(LONG), Taken::Over(Err(Error::Closed { .. }))));
        assert!(matches!(slot.take(LONG), Taken::Closed));
    }

    #[test]
    fn closing_frees_a_waiting_writer() {
        let slot = Arc::new(Slot::new());
        assert!(slot.put(1));
        let writer = {
            let slot = Arc::clone(&slot);
            std::thread::spawn(move || slot.put(2))
        };
        slot.close();
        assert!(!writer.join().unwrap());
    }
}
