//! Which of the centre's models are in force, on probation or for good, and what was before.
//!
//! ```text
//! data_dir/managed/models/force.cbor: { 0: version 1, 1: set in force, 2: [set before, …], ? 3: probation, 4: [fallback, …] }
//! set = [[task, name, version, SHA-256 of the package's table], …], a task once; what is not in it is as `[vision]` says
//! probation = [since, starts without a good end, by whom]        fallback = [at, from, to, why]
//! ```
//! A set is on probation from its activation until it has run for [`STEADY`] without a crash. Each start is counted on the
//! disk before a model is touched, and taken back by an end in good order, so a process that dies leaves its mark:
//! after [`STARTS`] such starts the set before is in force again. A model that can't be loaded, or fails on frames while
//! on probation, goes the same way at once. Written to a new file that takes the old one's place, with fsync: a power cut leaves one
//! or the other. A file that is damaged is set aside and said; the models of `[vision]` are in force then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use minicbor::{Decode, Encode};

use super::{Error, Task, full_name};
use crate::command::ops::encode;
use crate::domain::TimeMs;

/// Starts without a good end that a set on probation may have.
pub const STARTS: u8 = 3;
/// How long a set has to run before it is for good.
pub const STEADY: Duration = Duration::from_mins(5);

const VERSION: u8 = 1;
const FILE: &str = "force.cbor";
const LOCK: &str = "force.lock";
/// Sets before that a rollback can go back to.
const MAX_BEFORE: usize = 4;
/// Fallbacks that are remembered.
const MAX_FALLBACKS: usize = 8;
/// Longest reason of a fallback that is kept, in characters.
const MAX_WHY: usize = 240;

/// One of the centre's models in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct InForce {
    /// For what.
    #[n(0)]
    pub task: Task,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Its version.
    #[n(2)]
    pub version: String,
    /// SHA-256 of the package's table.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub package: [u8; 32],
}

/// The centre's models that are in force together, by task; empty: all is as `[vision]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Set(#[n(0)] Vec<InForce>);

impl Set {
    /// Its models, by task.
    pub fn iter(&self) -> impl Iterator<Item = &InForce> {
        self.0.iter()
    }

    /// Whether all is as `[vision]` says.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The model for a task.
    #[must_use]
    pub fn get(&self, task: Task) -> Option<&InForce> {
        self.0.iter().find(|one| one.task == task)
    }

    /// Puts a model in the place of the one for its task.
    pub fn put(&mut self, one: InForce) {
        self.take(one.task);
        self.0.push(one);
        self.0.sort();
    }

    /// Takes the model of a task out: it is as `[vision]` says then.
    pub fn take(&mut self, task: Task) {
        self.0.retain(|other| other.task != task);
    }

    /// In words, for audit and people.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.0.is_empty() {
            return "as configured".to_owned();
        }
        let words = self.0.iter().map(|one| format!("{}: {}", one.task, full_name(&one.name, &one.version)));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A set that has yet to prove itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Probation {
    /// Since when.
    #[n(0)]
    pub since: TimeMs,
    /// Starts without a good end.
    #[n(1)]
    pub starts: u8,
    /// Who activated it.
    #[n(2)]
    pub by: String,
}

/// A set that did not do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Fallback {
    /// When.
    #[n(0)]
    pub at: TimeMs,
    /// The set that did not do.
    #[n(1)]
    pub from: Set,
    /// The set that is in force instead.
    #[n(2)]
    pub to: Set,
    /// Why.
    #[n(3)]
    pub why: String,
}

/// What is in force and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Force {
    #[n(0)]
    version: u8,
    /// The set in force.
    #[n(1)]
    pub now: Set,
    /// Sets that were in force for good, the newest last.
    #[n(2)]
    pub before: Vec<Set>,
    /// Whether the set in force is on probation.
    #[n(3)]
    pub probation: Option<Probation>,
    /// The newest fallbacks, the newest last.
    #[n(4)]
    pub fallbacks: Vec<Fallback>,
}

impl Default for Force {
    fn default() -> Self {
        Self { version: VERSION, now: Set::default(), before: Vec::new(), probation: None, fallbacks: Vec::new() }
    }
}

impl Force {
    /// Puts a set in force, on probation. A set that was on probation itself is not gone back to.
    pub fn activate(&mut self, set: Set, at: TimeMs, by: &str) {
        let old = std::mem::replace(&mut self.now, set);
        if self.probation.is_none() {
            self.before.push(old);
            let surplus = self.before.len().saturating_sub(MAX_BEFORE);
            self.before.drain(..surplus);
        }
        self.probation = Some(Probation { since: at, starts: 0, by: by.to_owned() });
    }

    /// Counts a start; true: the set has had its starts, and must not be tried once more.
    pub fn start(&mut self) -> bool {
        let Some(probation) = &mut self.probation else { return false };
        if probation.starts >= STARTS {
            return true;
        }
        probation.starts += 1;
        false
    }

    /// Takes the mark of a start back: it ended in good order. True when there was one.
    pub fn end(&mut self) -> bool {
        self.probation.as_mut().is_some_and(|probation| {
            let marked = probation.starts > 0;
            probation.starts = probation.starts.saturating_sub(1);
            marked
        })
    }

    /// The set has run long enough: it is for good.
    pub fn confirm(&mut self) -> bool {
        self.probation.take().is_some()
    }

    /// Puts the set before in force, for good; the one that leaves is not gone back to. `None`: there is none before.
    pub fn back(&mut self) -> Option<Set> {
        let before = self.before.pop()?;
        self.probation = None;
        Some(std::mem::replace(&mut self.now, before))
    }

    /// As [`Force::back`], because the set did not do; without one before, all is as configured.
    pub fn fall_back(&mut self, at: TimeMs, why: &str) -> Fallback {
        let from = self.back().unwrap_or_else(|| {
            self.probation = None;
            std::mem::take(&mut self.now)
        });
        let fallback = Fallback { at, from, to: self.now.clone(), why: why.chars().take(MAX_WHY).collect() };
        if self.fallbacks.len() >= MAX_FALLBACKS {
            self.fallbacks.remove(0);
        }
        self.fallbacks.push(fallback.clone());
        fallback
    }

    /// Every model that is in force or may be gone back to.
    pub fn needed(&self) -> impl Iterator<Item = &InForce> {
        self.before.iter().chain([&self.now]).flat_map(Set::iter)
    }
}

/// Reads what is in force from the folder of the shelf; without a file all is as configured.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Damaged`] when it is not as we wrote it.
pub fn read(folder: &Path) -> Result<Force, Error> {
    let path = folder.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Force::default()),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
    let force: Force = minicbor::decode(&bytes).map_err(|e| damaged(e.to_string()))?;
    if force.version != VERSION {
        return Err(damaged(format!("format {}, this program knows {VERSION}", force.version)));
    }
    if encode(&force) != bytes {
        return Err(damaged("another encoding, or bytes after it".to_owned()));
    }
    Ok(force)
}

/// Changes what is in force, one caller at a time: operations and the watching thread both do. What is changed is on the
/// medium when this returns; what is not changed is not written.
///
/// # Errors
/// As [`read`], and what `change` returns: nothing is written then.
pub fn change<T, E: From<Error>>(folder: &Path, change: impl FnOnce(&mut Force) -> Result<T, E>) -> Result<T, E> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let lock = folder.join(LOCK);
    let file = std::fs::File::create(&lock).map_err(Error::io(&lock))?;
    // Held until the file is closed.
    file.lock().map_err(Error::io(&lock))?;
    let before = read(folder)?;
    let mut force = before.clone();
    let done = change(&mut force)?;
    if force != before {
        super::shelf::replace(&folder.join(FILE), &encode(&force))?;
    }
    Ok(done)
}

/// Sets a damaged file aside; gives its new name.
///
/// # Errors
/// [`Error::Io`].
pub fn set_aside(folder: &Path, now: TimeMs) -> Result<PathBuf, Error> {
    let (path, aside) = (folder.join(FILE), folder.join(format!("force.damaged-{}", now.0)));
    std::fs::rename(&path, &aside).map_err(Error::io(&path))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(task: Task, version: &str) -> InForce {
        InForce { task, name: "m".to_owned(), version: version.to_owned(), package: [7; 32] }
    }

    fn set(version: &str) -> Set {
        let mut set = Set::default();
        set.put(model(Task::Reader, version));
        set
    }

    fn activated(version: &str) -> Force {
        let mut force = Force::default();
        force.activate(set(version), TimeMs(1_000), "fleet");
        force
    }

    #[test]
    fn a_set_that_dies_three_times_is_not_tried_a_fourth_time() {
        let mut force = activated("2");
        for start in 0..STARTS {
            assert!(!force.start(), "start {start}");
        }
        assert!(force.start());
        let fallback = force.fall_back(TimeMs(2_000), "it crashed");
        assert_eq!((fallback.from, fallback.to), (set("2"), Set::default()));
        assert_eq!((force.now.describe().as_str(), &force.probation), ("as configured", &None));
        assert!(!force.start(), "what was before is not on probation");
    }

    #[test]
    fn a_start_that_ends_in_good_order_does_not_count() {
        let mut force = activated("2");
        for _ in 0..10 {
            assert!(!force.start());
            assert!(force.end());
        }
        assert!(!force.end(), "no start to take back");
        assert!(force.confirm() && !force.confirm());
        assert!(!force.end());
    }

    #[test]
    fn a_set_that_was_never_for_good_is_not_gone_back_to() {
        let mut force = activated("1");
        force.confirm();
        force.activate(set("2"), TimeMs(2_000), "fleet");
        force.activate(set("3"), TimeMs(3_000), "fleet");
        assert_eq!(force.fall_back(TimeMs(4_000), "it failed").to, set("1"));
        assert_eq!(force.back(), Some(set("1")));
        assert_eq!(force.now, Set::default());
        assert_eq!(force.back(), None);
    }

    #[test]
    fn few_sets_and_fallbacks_are_remembered() {
        let mut force = Force::default();
        for version in 0..20 {
            force.activate(set(&version.to_string()), TimeMs(version), "fleet");
            force.confirm();
        }
        assert_eq!((force.before.len(), force.needed().count()), (MAX_BEFORE, MAX_BEFORE + 1));
        for at in 0..20 {
            force.fall_back(TimeMs(at), &"x".repeat(1_000));
        }
        assert_eq!(force.fallbacks.len(), MAX_FALLBACKS);
        assert!(force.fallbacks.iter().all(|f| f.why.len() == MAX_WHY && f.at.0 >= 12));
    }

    #[test]
    fn one_model_a_task() {
        let mut both = set("1");
        both.put(model(Task::Detector, "5"));
        both.put(model(Task::Reader, "2"));
        assert_eq!(both.describe(), "detector: m-5, reader: m-2");
        both.take(Task::Detector);
        assert_eq!((both.get(Task::Detector), both.iter().count()), (None, 1));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Force::default());
        let mut force = activated("2");
        force.fall_back(TimeMs(3_000), "it crashed");
        force.activate(set("3"), TimeMs(4_000), "fleet");
        change(dir.path(), |there| {
            *there = force.clone();
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(read(dir.path()).unwrap(), force);
        let path = dir.path().join(FILE);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/model-force.cbor");
        if std::env::var_os("WATCHPOST_BLESS").is_some() {
            std::fs::copy(&path, &golden).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(golden).unwrap());
        let refused = change(dir.path(), |there| {
            there.confirm();
            Err::<(), _>(Error::Form("no".to_owned()))
        });
        assert!(refused.is_err() && read(dir.path()).unwrap() == force, "what failed changed nothing");
        std::fs::write(&path, &encode(&force)[..20]).unwrap();
        assert!(matches!(read(dir.path()), Err(Error::Damaged { .. })));
        let aside = set_aside(dir.path(), TimeMs(9)).unwrap();
        assert!(aside.exists() && read(dir.path()).unwrap() == Force::default());
    }
}
