//! What a fault of the campaign is: how it is asked for, and what came of it.

use std::path::PathBuf;

/// How a fault is to be run.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "not every family needs each")]
pub struct Ask {
    /// How often; [`Fault::small`] or [`Fault::full`].
    pub count: u64,
    /// Whether the counts and figures of the full campaign are wanted.
    pub full: bool,
    /// What chance goes by: another one with each run, and said in the row.
    pub seed: u64,
    /// A scratch folder of its own, removed afterwards.
    pub dir: PathBuf,
}

/// What came of it. Nothing in `faults`: passed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How often the fault was really injected.
    pub done: u64,
    /// What was measured, by name.
    pub figures: Vec<(&'static str, String)>,
    /// What was wrong, one line each.
    pub faults: Vec<String>,
    /// What this machine lacks for it: not run, and not passed.
    pub skipped: Option<String>,
}

#[allow(dead_code, reason = "not every family needs each")]
impl Outcome {
    /// Not run, since this machine lacks something.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    /// Notes a figure.
    pub fn figure(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.figures.push((name, format!("{value}")));
    }

    /// Notes a fault.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// Notes a fault unless `good`.
    pub fn expect(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.faults.push(what());
        }
    }
}

/// One fault of the campaign.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Its name, as `campaign NAME` takes it.
    pub name: &'static str,
    /// What is done, and what must hold: stands in the table.
    pub what: &'static str,
    /// Count in CI.
    pub small: u64,
    /// Count of the full campaign.
    pub full: u64,
    /// Runs it. A panic is a fault too.
    pub run: fn(&Ask) -> Outcome,
}

/// Chance that can be had again by its seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

#[allow(dead_code, reason = "not every family needs each")]
impl Chance {
    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
