//! What the stages of `watchpost read --timing` cost.
//!
//! CPU time of this thread comes from the kernel (`/proc/thread-self/schedstat`, Linux); where that is missing, wall time
//! stands in. Inference runs on the calling thread alone, so this is all of it.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;

/// A part of the work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// Reading and decoding a file.
    Load,
    /// Finding plates.
    Detect,
    /// Finding vehicles, where a model of their own does.
    Vehicles,
    /// Rectifying and reading them.
    Read,
    /// Both and tracking, of a video.
    Analyse,
}

/// Sums by stage.
#[derive(Debug)]
pub(super) struct Timing {
    clock: Clock,
    sums: [Duration; 5],
    /// How many pictures or frames went through.
    pub pictures: u32,
}

impl Timing {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, sums: [Duration::ZERO; 5], pictures: 0 }
    }

    /// Does `work` as part of `stage`.
    pub(super) fn of<R>(&mut self, stage: Stage, work: impl FnOnce() -> R) -> R {
        let before = self.now();
        let done = work();
        let took = self.now().saturating_sub(before);
        let [load, detect, vehicles, read, analyse] = &mut self.sums;
        *match stage {
            Stage::Load => load,
            Stage::Detect => detect,
            Stage::Vehicles => vehicles,
            Stage::Read => read,
            Stage::Analyse => analyse,
        } += took;
        done
    }

    fn now(&self) -> Duration {
        cpu_of_thread().unwrap_or_else(|| self.clock.monotonic())
    }
}

/// Time that this thread has run.
fn cpu_of_thread() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |sum: Duration| sum.as_secs_f64() * 1000.0 / f64::from(self.pictures.max(1));
        let [load, detect, vehicles, read, analyse] = self.sums.map(each);
        write!(
            f,
            "{} pictures, CPU ms a picture: load {load:.1}, detect {detect:.1}, vehicles {vehicles:.1}, read {read:.1}, \
             analyse (videos) {analyse:.1}; decoding of videos runs in threads of its own and is not in it",
            self.pictures
        )
    }
}
