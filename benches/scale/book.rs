//! Who made which alert when, and when the centre had it: the judge of what was lost and what came twice.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One alert.
#[derive(Debug, Clone, Copy)]
struct Line {
    phase: u8,
    made_ms: u64,
    heard_ms: Option<u64>,
    /// How often the centre handed it on as new; more than once is a fault, or a centre that died in between.
    times: u8,
}

/// What became of the alerts of one phase.
#[derive(Debug, Default)]
pub struct Fate {
    /// How many were made.
    pub made: usize,
    /// Of these, never heard.
    pub lost: usize,
    /// Of these, handed on as new more than once.
    pub twice: usize,
    /// Milliseconds from the hit to the centre, sorted.
    pub latency_ms: Vec<u64>,
}

/// The alerts of all boxes, by box and track number. All times are UTC milliseconds of this machine.
pub struct Book {
    boxes: Vec<Mutex<Vec<Line>>>,
    phase: AtomicU8,
    strangers: Mutex<u64>,
}

fn open(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// For so many boxes.
    pub fn new(boxes: usize) -> Self {
        Self {
            boxes: (0..boxes).map(|_| Mutex::default()).collect(),
            phase: AtomicU8::new(0),
            strangers: Mutex::default(),
        }
    }

    /// What is made from now on belongs to `phase`.
    pub fn turn_to(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
    }

    /// Notes an alert that box `n` is about to make; gives its track number, which counts from 1.
    pub fn make(&self, n: usize, now_ms: u64) -> u32 {
        let phase = self.phase.load(Ordering::SeqCst);
        let Some(lines) = self.boxes.get(n) else { return 0 };
        let mut lines = open(lines);
        lines.push(Line { phase, made_ms: now_ms, heard_ms: None, times: 0 });
        u32::try_from(lines.len()).unwrap_or(u32::MAX)
    }

    /// Notes that the centre handed on an alert as new.
    pub fn hear(&self, n: usize, track: u32, now_ms: u64) {
        let lines = self.boxes.get(n).map(open);
        let place = usize::try_from(track).unwrap_or(usize::MAX).wrapping_sub(1);
        match lines {
            Some(mut lines) if place < lines.len() => {
                if let Some(line) = lines.get_mut(place) {
                    line.times = line.times.saturating_add(1);
                    line.heard_ms.get_or_insert(now_ms);
                }
            }
            _ => *self.strangers.lock().unwrap_or_else(PoisonError::into_inner) += 1,
        }
    }

    /// Alerts that nobody made.
    pub fn strangers(&self) -> u64 {
        *self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many alerts have not been heard.
    pub fn missing(&self) -> usize {
        self.boxes.iter().map(|lines| open(lines).iter().filter(|line| line.heard_ms.is_none()).count()).sum()
    }

    /// What became of the alerts of `phase`.
    pub fn fate(&self, phase: u8) -> Fate {
        let mut fate = Fate::default();
        for lines in &self.boxes {
            for line in open(lines).iter().filter(|line| line.phase == phase) {
                fate.made += 1;
                fate.lost += usize::from(line.heard_ms.is_none());
                fate.twice += usize::from(line.times > 1);
                fate.latency_ms.extend(line.heard_ms.map(|heard| heard.saturating_sub(line.made_ms)));
            }
        }
        fate.latency_ms.sort_unstable();
        fate
    }
}
