//! Whether the machine itself stood still, or its clock jumped: what is judged by the clock cannot be judged then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use watchpost::clock::Clock;

/// A thread sleeps so long, again and again.
const NAP: Duration = Duration::from_millis(10);

/// Overslept by so much, a test of times says nothing: threads that only sleep are the first to run.
const MOST: Duration = Duration::from_millis(250);

/// Notes for how long the machine kept a sleeping thread from waking, and how far its clock jumped.
pub struct Pauses {
    longest_ms: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Pauses {
    pub fn watch() -> Self {
        let (longest_ms, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (longest, ends) = (Arc::clone(&longest_ms), Arc::clone(&over));
        let clock = Clock::system();
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let (began, wall) = (Instant::now(), clock.utc().0);
                std::thread::sleep(NAP);
                // The time of day may have been put right meanwhile, forward or back.
                let wall = Duration::from_millis(clock.utc().0.abs_diff(wall));
                let overslept = began.elapsed().max(wall).saturating_sub(NAP);
                longest.fetch_max(u64::try_from(overslept.as_millis()).unwrap(), Ordering::Relaxed);
            }
        });
        Self { longest_ms, over }
    }

    /// True, and said, when the machine stood still so long that `what` cannot be judged.
    pub fn spoil(&self, what: &str) -> bool {
        let longest = Duration::from_millis(self.longest_ms.load(Ordering::Relaxed));
        if longest > MOST {
            eprintln!("skipped: {what} is not judged, this machine stood still for {longest:?} meanwhile");
        }
        longest > MOST
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
