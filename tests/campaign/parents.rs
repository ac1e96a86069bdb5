//! Starts the processes of [`crate::children`] and listens to them. Whatever happens they end with their handle.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::shadow::Row;

/// A look that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A writer under way.
pub struct Writer {
    child: Child,
    stdin: Option<ChildStdin>,
    told: Arc<Told>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

/// What it has said so far.
#[derive(Default)]
pub struct Told {
    durable: AtomicU64,
    faults: AtomicU64,
    lines: Mutex<Vec<String>>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub durable: u64,
    pub opened: bool,
    pub refused: Option<String>,
    /// `None`: it did not come to its own end.
    pub lost: Option<u64>,
    pub status: Option<ExitStatus>,
    pub log: String,
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn wait(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < at_most => std::thread::sleep(Duration::from_millis(3)),
            _ => return None,
        }
    }
}

impl Writer {
    /// Starts one on `dir`; `log` takes its stderr, `env` is added to its environment.
    pub fn start(dir: &Path, (first, count): (u64, u64), options: &[&str], log: &Path, env: &[(&str, String)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("store-writer")
            .arg(dir)
            .args([first.to_string(), count.to_string()])
            .args(options)
            .envs(env.iter().map(|(key, value)| (key, value)))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        let told = Arc::new(Told::default());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listener = Arc::clone(&told);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let number = |word: &str| line.strip_prefix(word).and_then(|rest| rest.trim().parse().ok());
                if let Some(n) = number("DURABLE") {
                    listener.durable.store(n, Ordering::SeqCst);
                } else if let Some(n) = number("FAULTS") {
                    listener.faults.store(n, Ordering::SeqCst);
                } else {
                    listener.lines.lock().unwrap().push(line);
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, told, reader: Some(reader), log: log.to_owned() }
    }

    /// Entries that it has said to be durable.
    pub fn durable(&self) -> u64 {
        self.told.durable.load(Ordering::SeqCst)
    }

    /// Tries of its store that failed.
    pub fn faults(&self) -> u64 {
        self.told.faults.load(Ordering::SeqCst)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `done` holds; false when it has not within `at_most`, or the process ended before.
    pub fn until(&mut self, at_most: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < at_most {
            if done(self) {
                return true;
            }
            if !self.is_running() {
                return done(self);
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        done(self)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it.
    pub fn kill(mut self) -> Ended {
        kill(&mut self.child);
        self.ended(None)
    }

    /// Lets it come to its end, and kills it where it does not within `at_most`.
    pub fn finish(mut self, at_most: Duration) -> Ended {
        drop(self.stdin.take());
        let status = wait(&mut self.child, at_most);
        kill(&mut self.child);
        self.ended(status)
    }

    fn ended(&mut self, status: Option<ExitStatus>) -> Ended {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let lines = self.told.lines.lock().unwrap();
        let find =
            |word: &str| lines.iter().find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()));
        Ended {
            durable: self.durable(),
            opened: find("OPENED").is_some(),
            refused: find("REFUSED"),
            lost: find("STOPPED").and_then(|lost| lost.parse().ok()),
            status,
            log: self.log(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// What a look saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub refused: Option<String>,
    /// It came to its end: neither a crash nor a hang.
    pub done: bool,
    /// Until the store was open and answered everything.
    pub took: Duration,
    pub rows: BTreeMap<u64, Row>,
    /// What must not be there.
    pub extra: Vec<String>,
    pub notes: Vec<String>,
    pub audit: BTreeMap<String, u64>,
    pub log: String,
}

/// Opens the store in `dir` in another process and reads everything of `numbers`.
pub fn look(dir: &Path, numbers: std::ops::Range<u64>, log: &Path) -> Seen {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("store-look")
        .arg(dir)
        .args([numbers.start.to_string(), numbers.end.to_string()])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let status = wait(&mut child, PATIENCE);
    kill(&mut child);
    let mut seen = Seen::default();
    let mut ms = 0;
    for line in reader.join().unwrap() {
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match what {
            "OPENED" | "READY" => ms += rest.parse::<u64>().unwrap_or(0),
            "REFUSED" => seen.refused = Some(rest.to_owned()),
            "ROW" => {
                let words: Vec<&str> = rest.split(' ').collect();
                if let Some((n, row)) =
                    words.split_first().and_then(|(n, rest)| Some((n.parse().ok()?, Row::parse(rest)?)))
                {
                    seen.rows.insert(n, row);
                }
            }
            "EXTRA" => seen.extra.push(rest.to_owned()),
            "NOTE" => seen.notes.push(rest.to_owned()),
            "AUDIT" => {
                if let Some((event, count)) = rest.split_once(' ') {
                    seen.audit.insert(event.to_owned(), count.parse().unwrap_or(0));
                }
            }
            "DONE" => seen.done = true,
            _ => {}
        }
    }
    seen.done &= status.is_some_and(|status| status.success());
    seen.took = Duration::from_millis(ms);
    seen.log = fs::read_to_string(log).unwrap_or_default();
    seen
}

/// Panics in a log that are not of the index's library, whose panics are guarded against.
pub fn panics(log: &str) -> Vec<String> {
    let told = log.lines().filter(|line| line.contains("panicked at") && !line.contains("/sled-"));
    told.map(str::to_owned).collect()
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below `dir`, in order.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
