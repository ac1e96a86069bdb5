//! Rows of the campaign: written as JSON lines as they come about, and shown as the table of `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchpost::clock::Clock;

use super::fault::{Ask, Fault, Outcome};

pub const PASSED: &str = "passed";
pub const FAILED: &str = "failed";
pub const SKIPPED: &str = "skipped";

/// One fault that was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub fault: String,
    pub what: String,
    pub date: String,
    pub commit: String,
    pub profile: String,
    pub asked: u64,
    pub done: u64,
    pub full: bool,
    pub seed: u64,
    pub seconds: u64,
    pub result: String,
    pub figures: Vec<(String, String)>,
    pub faults: Vec<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, result, done, asked, seconds, .. } = self;
        write!(f, "{fault}: {result}, {done} of {asked}, {seconds} s")?;
        self.figures.iter().try_for_each(|(name, value)| write!(f, " · {name} {value}"))?;
        self.faults.iter().try_for_each(|what| write!(f, "\n  {what}"))?;
        if self.result == FAILED { write!(f, "\n  seed {}", self.seed) } else { Ok(()) }
    }
}

/// Every row that was ever written here.
pub struct Rows {
    file: File,
    all: Vec<Row>,
    commit: String,
}

impl Rows {
    /// Opens `target/campaign/rows.jsonl`.
    pub fn open() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("campaign");
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("rows.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let all = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        Self { file, all, commit: commit() }
    }

    /// The row of what was just run.
    pub fn row(&self, fault: &Fault, ask: &Ask, outcome: Outcome, took: Duration) -> Row {
        let result = match &outcome {
            outcome if !outcome.faults.is_empty() => FAILED,
            outcome if outcome.skipped.is_some() => SKIPPED,
            _ => PASSED,
        };
        let figures = outcome.figures.into_iter().map(|(name, value)| (name.to_owned(), value));
        Row {
            fault: fault.name.to_owned(),
            what: fault.what.to_owned(),
            date: Clock::system().utc().to_string().chars().take(10).collect(),
            commit: self.commit.clone(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            asked: ask.count,
            done: outcome.done,
            full: ask.full,
            seed: ask.seed,
            seconds: took.as_secs(),
            result: result.to_owned(),
            figures: figures.chain(outcome.skipped.map(|why| ("not run:".to_owned(), why))).collect(),
            faults: outcome.faults,
        }
    }

    /// Writes a row down.
    pub fn add(&mut self, row: Row) {
        writeln!(self.file, "{}", serde_json::to_string(&row).unwrap()).unwrap();
        self.all.push(row);
    }

    /// Whether this very state of the tree has passed it at its full count.
    pub fn has_passed(&self, fault: &Fault) -> bool {
        let same = |row: &&Row| row.fault == fault.name && row.commit == self.commit && row.full;
        !self.commit.ends_with('+') && self.all.iter().filter(same).any(|row| row.result == PASSED)
    }

    /// The newest row of each of these, as it goes into `docs/reliability.md`.
    pub fn table(&self, wanted: &[Fault], full: bool) -> String {
        let rows = self.all.iter().filter(|row| row.full == full);
        let newest: BTreeMap<&str, &Row> = rows.map(|row| (row.fault.as_str(), row)).collect();
        let mut text =
            "\n| fault | what must hold | date | commit | count | result |\n|---|---|---|---|---|---|\n".to_owned();
        for row in wanted.iter().filter_map(|fault| newest.get(fault.name)) {
            let figures: String = row.figures.iter().flat_map(|(name, value)| ["; ", name, " ", value]).collect();
            let of = if row.full { "" } else { " (small)" };
            let Row { fault, what, date, commit, profile, done, result, .. } = row;
            let place = format!("{commit}, {profile}");
            writeln!(text, "| `{fault}` | {what} | {date} | {place} | {done}{of} | {result}{figures} |").unwrap();
        }
        text
    }
}

/// The commit that is built, with a `+` where the tree has changes.
fn commit() -> String {
    let git = |args: &[&str]| {
        let said = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let Some(id) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown+".to_owned() };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| changes.is_empty());
    if clean { id } else { id + "+" }
}
