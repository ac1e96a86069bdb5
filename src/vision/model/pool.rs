//! A few things shared by many threads, in the order they ask: first come, first served.
//!
//! Cameras wait here for an inference session. A plain mutex lets a busy camera take the same session again and again
//! while another starves; here each caller draws a ticket and tickets are served in order, so nobody waits for more than
//! one turn of each of the others. Blocks without a limit: turns are as short as one run of a model, and who ends runs that
//! are longer ends the waiting too ([`Pool::take_unless`]).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often who waits looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The shared things and who is waiting for them.
#[derive(Debug)]
pub struct Pool<T> {
    state: Mutex<State<T>>,
    freed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    free: Vec<T>,
    next_ticket: u64,
    serving: u64,
}

impl<T> Pool<T> {
    /// Shares `things`; with none, [`Pool::take`] would wait for ever, so that is refused.
    #[must_use]
    pub fn new(things: Vec<T>) -> Option<Self> {
        if things.is_empty() {
            return None;
        }
        let state = State { free: things, next_ticket: 0, serving: 0 };
        Some(Self { state: Mutex::new(state), freed: Condvar::new() })
    }

    /// Waits for its turn and for a thing that is free; it comes back when the guard is dropped.
    pub fn take(&self) -> Taken<'_, T> {
        loop {
            if let Some(taken) = self.take_unless(&|| false) {
                return taken;
            }
        }
    }

    /// The same; `None` once `is_over`, after which nobody is to ask any more: the turns of those who left are lost.
    pub fn take_unless(&self, is_over: &dyn Fn() -> bool) -> Option<Taken<'_, T>> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while !is_over() {
            if state.serving == ticket
                && let Some(thing) = state.free.pop()
            {
                state.serving += 1;
                // The next in line may find another thing free.
                self.freed.notify_all();
                return Some(Taken { pool: self, thing: Some(thing) });
            }
            let woken = self.freed.wait_timeout(state, LOOK_EVERY);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// How many callers wait now.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let state = self.lock();
        state.next_ticket - state.serving
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thing for the time of one turn.
#[derive(Debug)]
pub struct Taken<'a, T> {
    pool: &'a Pool<T>,
    /// `None` only while dropping.
    thing: Option<T>,
}

impl<T> Taken<'_, T> {
    /// The thing.
    pub fn get(&mut self) -> Option<&mut T> {
        self.thing.as_mut()
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.pool.lock().free.extend(self.thing.take());
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn until(mut done: impl FnMut() -> bool) {
        while !done() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn callers_are_served_in_the_order_they_came_so_none_starves() {
        let pool = Pool::new(vec![()]).unwrap();
        let first = pool.take();
        let (say, heard) = mpsc::sync_channel(8);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (pool, say) = (&pool, say.clone());
                scope.spawn(move || {
                    let _turn = pool.take();
                    say.send(n).unwrap();
                });
                until(|| pool.waiting() == n + 1);
            }
            drop(first);
        });
        drop(say);
        assert_eq!(heard.iter().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn as_many_as_there_are_things_work_at_once() {
        let pool = Pool::new(vec![1, 2]).unwrap();
        let (mut a, mut b) = (pool.take(), pool.take());
        assert_eq!(a.get().copied().unwrap() + b.get().copied().unwrap(), 3);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| pool.take().get().copied());
            until(|| pool.waiting() == 1);
            drop(a);
            assert!(third.join().unwrap().is_some());
        });
    }

    #[test]
    fn a_panic_in_a_turn_gives_the_thing_back() {
        let pool = Pool::new(vec![7]).unwrap();
        let failed = std::thread::scope(|s| {
            s.spawn(|| {
                let _turn = pool.take();
                panic!("in a turn");
            })
            .join()
            .is_err()
        });
        assert!(failed);
        assert_eq!(pool.take().get().copied(), Some(7));
    }

    #[test]
    fn nothing_to_share_is_refused() {
        assert!(Pool::<u8>::new(Vec::new()).is_none());
    }
}
