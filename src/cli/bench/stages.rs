//! Where the CPU time of an analysis goes, told from outside: wrappers of who finds and who reads look at their thread's clock.
//!
//! One [`Spent`] a measurement, shared by its cameras. What lies between the begin of a step and the first question to the
//! finder is the gate's (and the view's, where it is watched), all of a step in which nobody was asked as well; what is
//! left of a step is told as the rest: following, fusing, telling, pictures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cost::thread_cpu;
use crate::domain::{Detection, Frame, PlateRead, SightingEvent};
use crate::vision::analyser::{FindPlates, ReadAndCut, ReadPlates};
use crate::vision::search::{Grid, Part};
use crate::vision::stack::Cut;
use crate::vision::{self, Analyser, Area, Seen};

/// Nanoseconds of CPU, or how often.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn time(&self, since: Duration) {
        self.add(nanos(thread_cpu().saturating_sub(since)));
    }

    pub(super) fn count(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }

    /// As milliseconds.
    pub(super) fn ms(&self) -> f64 {
        self.count() / 1e6
    }

    /// Has the thread's time that `call` takes added.
    pub(super) fn of<T>(&self, call: impl FnOnce() -> T) -> T {
        let begin = thread_cpu();
        let done = call();
        self.time(begin);
        done
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What one measurement took, all cameras together.
#[derive(Debug, Default)]
pub(super) struct Spent {
    /// Whole steps of the analysers.
    pub step: Tally,
    pub gate: Tally,
    pub find: Tally,
    pub finds: Tally,
    pub look: Tally,
    pub looks: Tally,
    pub read: Tally,
    /// Plates that were to be read.
    pub reads: Tally,
}

/// One camera's part in it.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    spent: Arc<Spent>,
    /// The thread's clock when its step began, nanoseconds; 0 once somebody was asked.
    begun: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn of(spent: &Arc<Spent>) -> Self {
        Self { spent: Arc::clone(spent), begun: Arc::default() }
    }

    /// One step of `analyser`, timed.
    ///
    /// # Errors
    /// What the models say.
    pub(super) fn step(&self, analyser: &mut Analyser, frame: &Frame) -> Result<Vec<SightingEvent>, vision::Error> {
        self.begun.store(nanos(thread_cpu()), Ordering::Relaxed);
        let events = self.spent.step.of(|| analyser.step(frame));
        self.asked();
        events
    }

    /// The models are asked: what came before was the gate.
    fn asked(&self) {
        let begun = self.begun.swap(0, Ordering::Relaxed);
        if begun > 0 {
            self.spent.gate.add(nanos(thread_cpu()).saturating_sub(begun));
        }
    }
}

/// Who finds plates.
pub(super) struct Finder<T>(pub Arc<T>, pub Watch);

impl<T: FindPlates + Sync> FindPlates for Finder<T> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, vision::Error> {
        self.1.asked();
        self.1.spent.finds.add(1);
        self.1.spent.find.of(|| self.0.find(frame, area))
    }

    fn grid(&self, area: Area) -> Option<Grid> {
        self.0.grid(area)
    }

    fn find_parts(&self, frame: &Seen<'_>, grid: &Grid, parts: &[Part]) -> Result<Vec<Detection>, vision::Error> {
        self.1.asked();
        self.1.spent.finds.add(1);
        self.1.spent.find.of(|| self.0.find_parts(frame, grid, parts))
    }
}

/// Who finds vehicles.
pub(super) struct Looker<T>(pub Arc<T>, pub Watch);

impl<T: FindPlates + Sync> FindPlates for Looker<T> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, vision::Error> {
        self.1.spent.looks.add(1);
        self.1.spent.look.of(|| self.0.find(frame, area))
    }
}

/// Who reads.
pub(super) struct Reading<T>(pub T, pub Watch);

impl<T: ReadPlates> ReadPlates for Reading<T> {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, vision::Error> {
        self.1.spent.reads.add(plates.len() as u64);
        self.1.spent.read.of(|| self.0.read(frame, plates))
    }

    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, vision::Error> {
        self.1.spent.reads.add(plates.len() as u64);
        self.1.spent.read.of(|| self.0.read_and_cut(frame, plates))
    }

    fn glance(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, vision::Error> {
        self.1.spent.reads.add(plates.len() as u64);
        self.1.spent.read.of(|| self.0.glance(frame, plates))
    }

    fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, vision::Error> {
        self.1.spent.reads.add(1);
        self.1.spent.read.of(|| self.0.read_cut(cut))
    }
}
