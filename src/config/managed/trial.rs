//! A configuration on probation, on disk: put in force, confirmed or rolled back, whatever happens in between.
//!
//! ```text
//! config.set ─ stage ─► [staged] ─ restart ─► [on probation] ─ session stood long enough ─► confirmed
//!                                                   └─ no session in time, can't start, second crash ─► rolled back
//! ```
//! `managed/config.json` is the truth, and replaced whole: a step is done when it is on disk. Writing the overlay's file
//! follows from it (`write`) and is done again after a power cut. Each start on probation is counted before anything else
//! is done; a stop in good order takes its count back, so that what is left over are crashes and power cuts.
//!
//! Called by `config.set` and its like (stage) and by the wiring (all else), never by both at a time: nothing is staged
//! while something is on probation. Times are arguments.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{overlay_path, remove, replace};

const VERSION: u32 = 1;
/// So many starts may end without a word before it is rolled back: one power cut is nobody's fault.
const STARTS: u32 = 2;

/// What became of configurations that the centre staged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    version: u32,
    /// The newest number that was given away; each staging takes the next.
    pub serial: u64,
    /// The number of what is in force; 0: nothing of the centre, or it was changed by hand.
    pub in_force: u64,
    /// What is on probation.
    pub trial: Option<Trial>,
    /// How the last probation ended.
    pub last: Option<Ended>,
    /// Ends that the audit log does not know yet.
    pub untold: Vec<Ended>,
    /// What the overlay's file is to hold, as long as that is not certain.
    write: Option<String>,
}

/// A configuration on probation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Its number.
    pub serial: u64,
    /// SHA-256 of the whole configuration with it, in hex.
    pub digest: String,
    /// Who staged it.
    pub by: String,
    /// By which command, in hex.
    pub command: String,
    /// When, UTC milliseconds.
    pub staged_ms: u64,
    /// A session with the centre has to stand for so many seconds.
    pub stand_s: u32,
    /// … within so many seconds from the start.
    pub within_s: u32,
    /// There was a session when it was staged: without one it is not confirmed.
    pub needs_session: bool,
    /// The overlay before; empty: none.
    before: String,
    /// Its number.
    before_serial: u64,
    /// Starts that have not come to an end.
    starts: u32,
}

/// How a probation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Which.
    pub serial: u64,
    /// SHA-256 of the whole configuration with it, in hex.
    pub digest: String,
    /// Whether it stays in force.
    pub confirmed: bool,
    /// Why.
    pub why: String,
    /// Who had staged it.
    pub by: String,
    /// When, UTC milliseconds.
    pub at_ms: u64,
}

/// What is staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The new overlay; empty: none.
    pub overlay: String,
    /// SHA-256 of the whole configuration with it.
    pub digest: String,
    /// Who staged it.
    pub by: String,
    /// By which command, in hex.
    pub command: String,
    /// When, UTC milliseconds.
    pub at_ms: u64,
    /// A session with the centre has to stand for so many seconds …
    pub stand_s: u32,
    /// … within so many seconds from the start.
    pub within_s: u32,
    /// Whether there is a session now.
    pub needs_session: bool,
}

fn book_path(folder: &Path) -> PathBuf {
    folder.join("config.json")
}

impl Book {
    /// Reads it; one that is not there is empty.
    ///
    /// # Errors
    /// A file that cannot be read or is none of ours, with the reason.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = book_path(folder);
        let named = |what: String| format!("{}: {what}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let book: Self = serde_json::from_slice(&bytes).map_err(|e| named(e.to_string()))?;
                match book.version {
                    VERSION => Ok(book),
                    other => Err(named(format!("format version {other}, wanted {VERSION}"))),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(named(error.to_string())),
        }
    }

    fn save(&mut self, folder: &Path) -> io::Result<()> {
        self.version = VERSION;
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        replace(&book_path(folder), &bytes)
    }

    /// Makes the overlay's file what it is to be.
    fn settle(&mut self, folder: &Path) -> io::Result<()> {
        let Some(text) = &self.write else { return Ok(()) };
        let path = overlay_path(folder);
        if text.is_empty() {
            remove(&path)?;
        } else {
            replace(&path, text.as_bytes())?;
        }
        self.write = None;
        self.save(folder)
    }

    /// Stages an overlay: with the next start it is in force, on probation. Gives its number.
    ///
    /// # Errors
    /// What the disk says; nothing is staged then. There must be no trial.
    pub fn stage(&mut self, folder: &Path, staged: Staged) -> io::Result<u64> {
        let before = match std::fs::read_to_string(overlay_path(folder)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        self.serial += 1;
        self.trial = Some(Trial {
            serial: self.serial,
            digest: staged.digest,
            by: staged.by,
            command: staged.command,
            staged_ms: staged.at_ms,
            stand_s: staged.stand_s,
            within_s: staged.within_s,
            needs_session: staged.needs_session,
            before,
            before_serial: self.in_force,
            starts: 0,
        });
        self.in_force = self.serial;
        self.write = Some(staged.overlay);
        self.save(folder)?;
        // What fails from here on is done by the next start.
        self.settle(folder).map(|()| self.serial)
    }

    /// A start of the daemon begins, before the configuration is read. What has crashed too often is rolled back.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(&mut self, folder: &Path, now_ms: u64) -> io::Result<()> {
        self.settle(folder)?;
        let Some(trial) = &mut self.trial else { return Ok(()) };
        trial.starts += 1;
        let starts = trial.starts;
        if starts > STARTS {
            let why = format!("the daemon ended {} times without a word while it was on probation", starts - 1);
            return self.roll_back(folder, now_ms, &why);
        }
        self.save(folder)
    }

    /// The daemon stops in good order: this start is no crash.
    ///
    /// # Errors
    /// What the disk says.
    pub fn stopped(&mut self, folder: &Path) -> io::Result<()> {
        let Some(trial) = &mut self.trial else { return Ok(()) };
        trial.starts = trial.starts.saturating_sub(1);
        self.save(folder)
    }

    /// What is on probation stays in force.
    ///
    /// # Errors
    /// What the disk says; it is still on probation then.
    pub fn confirm(&mut self, folder: &Path, now_ms: u64, why: &str) -> io::Result<()> {
        self.end(folder, now_ms, true, why)
    }

    /// What was in force before the probation is in force again with the next start.
    ///
    /// # Errors
    /// What the disk says; it is still on probation then.
    pub fn roll_back(&mut self, folder: &Path, now_ms: u64, why: &str) -> io::Result<()> {
        self.end(folder, now_ms, false, why)?;
        self.settle(folder)
    }

    fn end(&mut self, folder: &Path, at_ms: u64, confirmed: bool, why: &str) -> io::Result<()> {
        let Some(trial) = &self.trial else { return Ok(()) };
        let mut next = self.clone();
        let (digest, by) = (trial.digest.clone(), trial.by.clone());
        let ended = Ended { serial: trial.serial, digest, confirmed, why: why.to_owned(), by, at_ms };
        if !confirmed {
            next.in_force = trial.before_serial;
            next.write = Some(trial.before.clone());
        }
        next.trial = None;
        next.last = Some(ended.clone());
        next.untold.push(ended);
        next.save(folder)?;
        *self = next;
        Ok(())
    }

    /// The audit log knows of all ends.
    ///
    /// # Errors
    /// What the disk says; they are told again then.
    pub fn told(&mut self, folder: &Path) -> io::Result<()> {
        if self.untold.is_empty() {
            return Ok(());
        }
        self.untold.clear();
        self.save(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Box {
        dir: tempfile::TempDir,
    }

    impl Box {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn folder(&self) -> PathBuf {
            self.dir.path().join("managed")
        }

        fn stage(&self, overlay: &str) -> Book {
            let mut book = Book::read(&self.folder()).unwrap();
            let staged = Staged {
                overlay: overlay.to_owned(),
                digest: "00".repeat(32),
                by: "fleet".to_owned(),
                command: "11".repeat(16),
                at_ms: 1,
                stand_s: 30,
                within_s: 300,
                needs_session: true,
            };
            book.stage(&self.folder(), staged).unwrap();
            book
        }

        fn start(&self) -> Book {
            let mut book = Book::read(&self.folder()).unwrap();
            book.begin(&self.folder(), 2).unwrap();
            book
        }

        fn overlay(&self) -> Option<String> {
            std::fs::read_to_string(overlay_path(&self.folder())).ok()
        }
    }

    #[test]
    fn what_is_confirmed_stays_and_what_is_rolled_back_leaves_what_was_before() {
        let of = Box::new();
        of.stage("[store]\ncache_mib = 8\n");
        of.start().confirm(&of.folder(), 3, "it stood").unwrap();
        of.stage("[store]\ncache_mib = 9\n");
        let mut book = of.start();
        assert_eq!((book.serial, book.in_force), (2, 2));
        book.roll_back(&of.folder(), 4, "no session").unwrap();
        let book = of.start();
        assert_eq!((book.serial, book.in_force, book.trial.is_none()), (2, 1, true));
        assert_eq!(of.overlay().unwrap(), "[store]\ncache_mib = 8\n");
        assert_eq!(book.untold.iter().map(|e| e.confirmed).collect::<Vec<_>>(), [true, false]);
        assert_eq!(book.last.unwrap().why, "no session");
    }

    #[test]
    fn the_third_start_after_two_that_ended_without_a_word_is_with_what_was_before() {
        let of = Box::new();
        of.stage("x = 1\n");
        assert!(of.start().trial.is_some() && of.start().trial.is_some());
        let book = of.start();
        assert!(book.trial.is_none() && !book.last.unwrap().confirmed);
        assert!(of.overlay().is_none(), "there was none before");
    }

    #[test]
    fn stops_in_good_order_are_no_crashes() {
        let of = Box::new();
        of.stage("x = 1\n");
        for _ in 0..5 {
            let mut book = of.start();
            assert!(book.trial.is_some());
            book.stopped(&of.folder()).unwrap();
        }
    }

    #[test]
    fn a_power_cut_before_the_overlay_is_written_is_made_good_by_the_next_start() {
        let of = Box::new();
        let mut book = of.stage("x = 1\n");
        // As if the power had gone between the two writes.
        std::fs::remove_file(overlay_path(&of.folder())).unwrap();
        book.write = Some("x = 1\n".to_owned());
        book.save(&of.folder()).unwrap();
        let mut book = of.start();
        assert_eq!(of.overlay().unwrap(), "x = 1\n");
        book.end(&of.folder(), 3, false, "no session").unwrap();
        assert!(of.overlay().is_some(), "rolled back on disk, and the file not yet");
        assert!(of.start().trial.is_none() && of.overlay().is_none());
    }

    #[test]
    fn a_damaged_book_is_told_with_its_path() {
        let of = Box::new();
        of.stage("x = 1\n");
        std::fs::write(book_path(&of.folder()), "{").unwrap();
        assert!(Book::read(&of.folder()).unwrap_err().contains("config.json"));
    }
}
