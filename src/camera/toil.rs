//! Processor time that a codec spends on one picture: one that never comes back from it is found by that.
//!
//! GStreamer's threads call [`Toil::note`] whenever something goes into a decoder or comes out of it; somebody else asks [`Toil::longest`]
//! now and then. Processor time is what counts, since a decoder that waits (for a camera, for whoever takes its
//! pictures) spends none, and one on a busy machine no more than on a quiet one. Used in a decode worker; a thread that spins cannot be ended, a process can.

#![expect(unsafe_code, reason = "the processor time of another thread or process has no safe door")]

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// So much for one picture is too much: the slowest takes a fifth of a second.
const MOST: Duration = Duration::from_secs(5);
/// A thread that needs so long to spend that does something else now: GLib gives threads from one to another.
const WITHIN: Duration = Duration::from_mins(1);
/// Threads of one opening that are looked at.
const MOST_THREADS: usize = 8;

/// What the threads of one opening of a source spend.
#[derive(Debug, Default)]
pub struct Toil {
    marks: Mutex<Vec<Mark>>,
    #[cfg(feature = "testkit")]
    spins_after: std::sync::atomic::AtomicU32,
}

/// A thread when it gave its last sign of getting on.
#[derive(Debug)]
struct Mark {
    thread: i32,
    spent: Duration,
    at: Instant,
}

thread_local! {
    /// What this thread worked for last: it works for one at a time.
    static WORKS_FOR: RefCell<Weak<Toil>> = const { RefCell::new(Weak::new()) };
}

impl Toil {
    fn marks(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that calls gets on.
    pub(super) fn note(self: &Arc<Self>) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        WORKS_FOR.with_borrow_mut(|last| {
            if last.as_ptr() != Arc::as_ptr(self) {
                let before = std::mem::replace(last, Arc::downgrade(self));
                if let Some(before) = before.upgrade() {
                    before.marks().retain(|mark| mark.thread != thread);
                }
            }
        });
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let spent = Duration::try_from(now).unwrap_or_default();
        let mut marks = self.marks();
        marks.retain(|mark| mark.thread != thread);
        if marks.len() >= MOST_THREADS {
            marks.remove(0);
        }
        marks.push(Mark { thread, spent, at: Instant::now() });
        drop(marks);
        #[cfg(feature = "testkit")]
        self.spin();
    }

    /// Nothing is to be found out any more: its threads have ended, or do something else.
    pub(super) fn rest(&self) {
        self.marks().clear();
    }

    /// How long a thread has been working at one picture, where that is far too long.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.above(MOST, WITHIN)
    }

    /// Marks that are older than `within` say nothing any more: their threads wait, or work for somebody who does not note it.
    fn above(&self, most: Duration, within: Duration) -> Option<Duration> {
        let mut marks = self.marks();
        marks.retain(|mark| mark.at.elapsed() <= within);
        let spent = |mark: &Mark| Some(processor_time(Of::Thread(mark.thread))?.saturating_sub(mark.spent));
        marks.iter().filter_map(spent).filter(|spent| *spent >= most).max()
    }

    /// For tests: never comes back from the sign of so many from now on.
    #[cfg(feature = "testkit")]
    pub(super) fn spin_after(&self, signs: u32) {
        self.spins_after.store(signs, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(feature = "testkit")]
    fn spin(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let left = self.spins_after.load(Relaxed);
        if left > 0 {
            self.spins_after.store(left.saturating_sub(1).max(1), Relaxed);
        }
        if left == 1 {
            loop {
                std::hint::spin_loop();
            }
        }
    }
}

/// Whose processor time is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// A thread of this process.
    Thread(i32),
    /// Any process.
    Process(u32),
}

/// What it has spent so far; `None` when it is no more.
pub(super) fn processor_time(of: Of) -> Option<Duration> {
    // The numbers of such clocks: CPUCLOCK_SCHED (2), and CPUCLOCK_PERTHREAD_MASK (4), below the inverted number of whom it is of
    // (Linux, include/linux/posix-timers_types.h).
    let clock = match of {
        Of::Thread(thread) => (!thread << 3) | 6,
        Of::Process(process) => (!i32::try_from(process).ok()? << 3) | 2,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is memory for the answer, of this function alone; a clock that is not there is an error.
    let got = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (got == 0).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn processor_time_of_others_is_known_while_they_are_there() {
        let own = processor_time(Of::Process(std::process::id())).unwrap();
        assert!(own > Duration::ZERO);
        assert!(processor_time(Of::Process(u32::MAX)).is_none());
        let gone = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get()).join().unwrap();
        assert!(processor_time(Of::Thread(gone)).is_none());
    }

    #[test]
    fn a_thread_that_works_at_nothing_is_told_from_one_that_waits() {
        let (toil, over) = (Arc::new(Toil::default()), Arc::new(AtomicBool::new(false)));
        let (own, until) = (Arc::clone(&toil), Arc::clone(&over));
        let spins = std::thread::spawn(move || {
            own.note();
            while !until.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let waiting = Arc::new(Toil::default());
        waiting.note();
        let (begun, most) = (Instant::now(), Duration::from_millis(200));
        let found = loop {
            if let Some(spent) = toil.above(most, WITHIN) {
                break spent;
            }
            assert!(begun.elapsed() < WITHIN, "never found");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(found >= most && waiting.above(most, WITHIN).is_none(), "{found:?}");
        assert!(toil.above(most, Duration::ZERO).is_none(), "an old mark");
        assert!(toil.above(most, WITHIN).is_none(), "is gone for good");
        over.store(true, Ordering::Relaxed);
        spins.join().unwrap();
    }

    #[test]
    fn a_thread_that_works_for_another_is_no_longer_held_against_the_first() {
        let (first, second) = (Arc::new(Toil::default()), Arc::new(Toil::default()));
        first.note();
        second.note();
        let (begun, most) = (Instant::now(), Duration::from_millis(100));
        while second.above(most, WITHIN).is_none() {
            assert!(begun.elapsed() < WITHIN, "never found");
        }
        assert!(first.above(most, WITHIN).is_none());
        drop(second);
        first.note();
        first.rest();
        assert!(first.above(Duration::ZERO, WITHIN).is_none());
    }
}
