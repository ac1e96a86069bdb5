//! Stores of older versions open with everything in them; one of a newer version is refused with what to do, and untouched.
//!
//! `tests/golden/store/folder-<n>` are whole folders as a version wrote them: [`ENTRIES`] numbered entries, stopped in good order.
//!
//! | folder | written by | has |
//! |---|---|---|
//! | 1 | d1adc11 | the first audit log, an index without the plate column |
//! | 2 | 4a708f6 | the audit log as a tree, the column; format and keys once |
//! | 3 | this version | format and keys twice |
//!
//! `WATCHPOST_BLESS=1` writes the newest one anew, as [`bless`] does it; the older ones were written so by their versions and
//! can't be. A version that changes what is on the disk adds a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::{Ask, Fault, Outcome};
use crate::parents::{self, Writer};
use crate::shadow;

pub const FAULTS: &[Fault] = &[Fault {
    name: "store-versions",
    what: "a store of each version opens with all its data and is written on; one of a newer version is refused, with what to do, untouched",
    small: 4,
    full: 4,
    run,
}];

const ENTRIES: u64 = 24;
const BYTES: u64 = 120;
const NEWEST: &str = "folder-3";
const PATIENCE: Duration = Duration::from_mins(1);

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store")
}

fn run(ask: &Ask) -> Outcome {
    let mut outcome = Outcome::default();
    if std::env::var_os("WATCHPOST_BLESS").is_some() {
        bless(&ask.dir);
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    outcome.expect(folders.len() as u64 + 1 == ask.count, || {
        format!("{} versions in {}", folders.len(), golden().display())
    });
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if let Err(why) = opens(folder, &ask.dir.join(&name)) {
            outcome.fault(format!("{name}: {why}"));
        }
        outcome.done += 1;
    }
    match is_refused(&golden().join(NEWEST), &ask.dir.join("newer")) {
        Ok(message) => outcome.figure("a newer one", message),
        Err(why) => outcome.fault(format!("a newer store: {why}")),
    }
    outcome.done += 1;
    outcome
}

/// Writes the newest folder anew.
fn bless(dir: &Path) {
    let made = dir.join("blessed");
    let bytes = format!("bytes={BYTES}");
    let writer = Writer::start(&made, (0, ENTRIES), &[&bytes, "rows=8", "interval=500"], &dir.join("bless.log"), &[]);
    let ended = written(writer, ENTRIES);
    assert_eq!((ended.durable, ended.lost), (ENTRIES, Some(0)), "{}", ended.log);
    fs::remove_file(made.join("lock")).unwrap();
    let to = golden().join(NEWEST);
    let _ = fs::remove_dir_all(&to);
    parents::copy(&made, &to);
}

fn written(mut writer: Writer, entries: u64) -> parents::Ended {
    writer.until(PATIENCE, |w| w.durable() == entries);
    writer.finish(PATIENCE)
}

/// Everything is there, nothing had to be mended, and it is written on.
fn opens(folder: &Path, work: &Path) -> Result<(), String> {
    parents::copy(folder, work);
    let log = work.with_extension("log");
    let numbers = 0..2 * ENTRIES;
    for durable in [ENTRIES, 2 * ENTRIES] {
        let seen = parents::look(work, numbers.clone(), &log);
        if let Some(why) = seen.refused {
            return Err(format!("it does not open: {why}"));
        }
        let judged = shadow::judge(&seen.rows, 0..durable, 0..0, BYTES as usize);
        if !seen.done || judged.whole != durable || !judged.wrong.is_empty() || !seen.extra.is_empty() {
            return Err(format!("{durable} were written: {judged:?} {:?} {}", seen.extra, seen.log));
        }
        if let Some(event) = ["store.salvaged", "store.mended"].iter().find(|event| seen.audit.contains_key(**event)) {
            return Err(format!("it is taken for damaged: {event}"));
        }
        if durable == ENTRIES {
            let bytes = format!("bytes={BYTES}");
            let ended = written(Writer::start(work, (ENTRIES, ENTRIES), &[&bytes], &log, &[]), ENTRIES);
            if ended.durable != ENTRIES {
                return Err(format!("it is not written on: {ended:?}"));
            }
        }
    }
    Ok(())
}

/// The message with which it is refused.
fn is_refused(folder: &Path, work: &Path) -> Result<String, String> {
    parents::copy(folder, work);
    for name in ["format", "format.copy"] {
        let text = fs::read_to_string(work.join(name)).map_err(|e| e.to_string())?;
        fs::write(work.join(name), text.replace("store 1 ", "store 2 ")).map_err(|e| e.to_string())?;
    }
    let content = |dir: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let files = parents::files(dir).into_iter().filter(|path| !path.ends_with("lock"));
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = content(work);
    let seen = parents::look(work, 0..ENTRIES, &work.with_extension("log"));
    let message = seen.refused.ok_or("it was opened")?;
    if !message.contains("store format 2, this watchpost knows 1; install the version that wrote it") {
        return Err(format!("the message does not say what to do: {message}"));
    }
    if content(work) != before {
        return Err("something was changed".to_owned());
    }
    Ok("is refused and untouched".to_owned())
}
