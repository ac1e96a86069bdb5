//! Calls of the index's library that may never come back, with an end.
//!
//! sled's flush, and closing it, wait for what its own threads write. Where such a write fails at the wrong moment nobody
//! wakes the waiting: the recorder would stand still for ever, and every hit with it. A call that does not come back is
//! left to its thread; the index is not trusted any more then and made anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::failed;
use crate::store::error::Error;

/// How often, and how far apart, opening is tried while a handle is being closed. Tries, and no time: one that a pause of the machine took is one.
const LOCK_TRIES: u32 = 400;
const LOCK_EVERY: Duration = Duration::from_millis(5);

/// Runs `op` on a thread of its own; its result, or what it panicked with. `None`: it has not come back within `at_most`,
/// or there is no thread for it.
pub(super) fn within<T: Send + 'static>(
    at_most: Duration,
    op: impl FnOnce() -> T + Send + 'static,
) -> Option<thread::Result<T>> {
    let (done, wait) = sync_channel(1);
    let run = move || drop(done.send(catch_unwind(AssertUnwindSafe(op))));
    thread::Builder::new().name("index".to_owned()).spawn(run).ok()?;
    wait.recv_timeout(at_most).ok()
}

/// Opens, and waits two seconds for the lock on sled's file: a handle of this process that was just closed can
/// hold it a moment longer, in sled's own threads. Another process can't: the store's folder has a lock of its own.
pub(super) fn open_patiently(config: &sled::Config) -> Result<sled::Db, Error> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(error) if error.to_string().contains("could not acquire lock") => thread::sleep(LOCK_EVERY),
            opened => return opened.map_err(|e| failed(&e)),
        }
    }
    config.open().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_panics_or_stays_away_is_told_apart() {
        let soon = Duration::from_mins(1);
        assert_eq!(within(soon, || 7).unwrap().unwrap(), 7);
        let panic = within(soon, || panic!("in the library")).unwrap().map(|()| 0).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the library"));
        let (keep, never) = sync_channel::<()>(1);
        assert!(within(Duration::from_millis(5), move || never.recv()).is_none());
        drop(keep);
    }
}
