//! The processes that hold a store while the disk below it fails: the campaign's binary again, by hidden arguments.
//!
//! ```text
//! store-writer DIR FIRST COUNT KEY=VALUE…   writes entries FIRST.. and says which are durable; ends when its stdin ends
//! store-look DIR FIRST END BYTES            opens a store and says what it gives out
//! ```
//! One line an event on stdout, the log on stderr. A writer says `OPENED ms`, `REFUSED why`, `DURABLE n` (that many
//! entries, in the order they were sent), `FAULTS n` (tries of the store that failed), `STOPPED lost`; a look says `OPENED ms`,
//! `REFUSED why`, `ROW n words…`, `EXTRA what`, `AUDIT event count`, `DONE`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use watchpost::clock::{Clock, SimClock};
use watchpost::domain::TimeMs;
use watchpost::health::Health;
use watchpost::store::{Body, Commit, Recorder, Settings, Store, StoreKey, audit};

use crate::shadow::{self, ERROR, NONE, Row};

const KEY: [u8; 32] = [7; 32];
/// Time that passes at each commit where `checkpoints=1` asks for it: more than the index waits for its checkpoint.
const CHECKPOINT: Duration = Duration::from_secs(11);

/// Runs a role, if the arguments name one.
pub fn child(args: &[String]) -> Option<ExitCode> {
    let (role, rest) = args.split_first()?;
    match role.as_str() {
        "store-writer" => Some(write(rest)),
        "store-look" => Some(look(rest)),
        _ => None,
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn log_to_stderr() {
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .try_init();
}

/// `KEY=VALUE` numbers, with their defaults.
struct Options<'a>(&'a [String]);

impl Options<'_> {
    fn get(&self, key: &str, usual: u64) -> u64 {
        let found = self.0.iter().find_map(|arg| arg.strip_prefix(key)?.strip_prefix('='));
        found.map_or(usual, |value| value.parse().expect("a number"))
    }
}

fn open(dir: &Path, settings: Settings, clock: Clock) -> Option<Store> {
    let begun = Instant::now();
    match Store::open(dir, StoreKey::from_bytes(KEY), settings, clock) {
        Ok(store) => {
            say(&format!("OPENED {}", begun.elapsed().as_millis()));
            Some(store)
        }
        Err(error) => {
            say(&format!("REFUSED {error}"));
            None
        }
    }
}

fn write(args: &[String]) -> ExitCode {
    log_to_stderr();
    let dir = Path::new(&args[0]);
    let (first, count): (u64, u64) = (args[1].parse().unwrap(), args[2].parse().unwrap());
    let options = Options(&args[3..]);
    let settings = Settings {
        commit_interval_ms: options.get("interval", 5),
        commit_rows: usize::try_from(options.get("rows", 64)).unwrap(),
        ballast_bytes: options.get("ballast", 0),
        reserve_bytes: options.get("reserve", 0),
        picture_free_bytes: options.get("pictures", 0),
        read_free_bytes: options.get("reads", 0),
        clip_free_bytes: 0,
        cache_bytes: 4 << 20,
        ..Settings::default()
    };
    let sim = SimClock::at(TimeMs(shadow::START + 86_400_000));
    let clock = if options.get("checkpoints", 0) > 0 { Clock::of(Arc::clone(&sim) as _) } else { Clock::system() };
    let Some(store) = open(dir, settings, clock) else { return ExitCode::from(3) };
    let done = AtomicUsize::new(0);
    let on_commit = Box::new(move |commit: &Commit| {
        let durable = done.fetch_add(commit.entries, Ordering::SeqCst) + commit.entries;
        say(&format!("DURABLE {durable}"));
        sim.advance(CHECKPOINT);
    });
    let health = Health::new();
    let recorder = Recorder::start(&store, Arc::clone(&health), on_commit).expect("one recorder");
    let ended = Arc::new(AtomicBool::new(false));
    let (flag, handle) = (Arc::clone(&ended), recorder.handle());
    let (bytes, rate, each) = (options.get("bytes", 300), options.get("rate", 0), options.get("each", 0) > 0);
    let sender = std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0..count {
            if flag.load(Ordering::SeqCst) || handle.send(shadow::entry(first + n, bytes as usize)).is_err() {
                return;
            }
            if each {
                // A commit of its own, as far as the disk allows.
                let _ = handle.flush(Duration::from_secs(5));
            }
            if let Some(due) = ((n + 1) * 1_000_000).checked_div(rate) {
                std::thread::sleep(Duration::from_micros(due).saturating_sub(begun.elapsed()));
            }
        }
    });
    let told = Arc::clone(&health);
    let watch = std::thread::spawn(move || {
        let mut last = 0;
        while !sender.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            let faults = told.store_faults.get();
            if faults != last {
                last = faults;
                say(&format!("FAULTS {faults}"));
            }
        }
    });
    if options.get("wait", 1) > 0 {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::SeqCst);
    } else {
        watch.join().unwrap();
    }
    let alive = recorder.is_running();
    let lost = recorder.stop();
    say(&format!("STOPPED {lost}"));
    if alive { ExitCode::SUCCESS } else { ExitCode::from(4) }
}

/// A word that fits into a line.
fn word<T, E: std::fmt::Display>(found: Result<Option<T>, E>, show: impl FnOnce(T) -> String) -> String {
    match found {
        Ok(Some(found)) => show(found),
        Ok(None) => NONE.to_owned(),
        Err(error) => format!("{ERROR}{}", error.to_string().replace(char::is_whitespace, "_")),
    }
}

fn look(args: &[String]) -> ExitCode {
    log_to_stderr();
    let dir = Path::new(&args[0]);
    let (first, end): (u64, u64) = (args[1].parse().unwrap(), args[2].parse().unwrap());
    let settings = Settings { ballast_bytes: 0, reserve_bytes: 0, ..Settings::default() };
    let Some(store) = open(dir, settings, Clock::system()) else { return ExitCode::from(3) };
    // The recorder is what rebuilds an index that fails while it is asked.
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).expect("one recorder");
    let mut rows = read(&store, first..end);
    let begun = Instant::now();
    while rows.values().any(|row| row.words().iter().any(|word| word.contains("rebuilt")))
        && begun.elapsed() < Duration::from_secs(8)
    {
        std::thread::sleep(Duration::from_millis(200));
        rows = read(&store, first..end);
    }
    say(&format!("READY {}", begun.elapsed().as_millis()));
    for (n, row) in rows {
        say(&format!("ROW {n} {}", row.words().join(" ")));
    }
    match store.recent_hits(usize::MAX) {
        Ok(hits) => {
            let mut seqs = BTreeSet::new();
            for hit in hits {
                let n = shadow::number(hit.alert.id);
                if !(first..end).contains(&n) || shadow::id(n) != hit.alert.id {
                    say(&format!("EXTRA hit-of-{}", hit.alert.id));
                }
                if !seqs.insert((hit.alert.epoch.to_string(), hit.alert.seq)) {
                    say(&format!("EXTRA seq-{}-twice", hit.alert.seq));
                }
            }
        }
        Err(error) => say(&format!("NOTE {error}")),
    }
    let _ = recorder.stop();
    let mut events: BTreeMap<String, u64> = BTreeMap::new();
    match audit::read(dir) {
        Ok(records) => records.into_iter().for_each(|record| *events.entry(record.event).or_default() += 1),
        Err(error) => say(&format!("EXTRA audit-log-unreadable:{}", error.to_string().replace(' ', "_"))),
    }
    for (event, count) in events {
        say(&format!("AUDIT {event} {count}"));
    }
    say("DONE");
    ExitCode::SUCCESS
}

fn read(store: &Store, numbers: std::ops::Range<u64>) -> BTreeMap<u64, Row> {
    let mut alerts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    match store.outbox().next(&BTreeSet::new(), usize::MAX) {
        Ok(items) => {
            for item in items {
                if let Body::Alert(alert) = item.body {
                    let entry = alert.matched.as_ref().map_or(0, |m| u64::from(m.entry));
                    let plate = alert.plate.clone().unwrap_or_else(|| shadow::plate(0));
                    let word = shadow::alert_word(alert.severity, &plate, entry);
                    alerts.entry(shadow::number(alert.id)).or_default().push(word);
                }
            }
        }
        Err(error) => say(&format!("NOTE outbox: {error}")),
    }
    let mut rows = BTreeMap::new();
    for n in numbers {
        let id = shadow::id(n);
        let plate = shadow::plate(n);
        let (from, to) = (TimeMs(shadow::START), TimeMs(shadow::START + 2 * 86_400_000));
        let found = store.by_plate(&plate, from, to, 9).map(|all| all.into_iter().find(|s| s.id == id));
        let hit = store.hits_of(id).map(|hits| match &hits[..] {
            [] => None,
            hits => Some(hits.iter().map(hit_word).collect::<Vec<_>>().join("+")),
        });
        let row = Row {
            sighting: word(store.sighting(id), |seen| shadow::sighting_word(&seen)),
            hit: word(hit, |hit| hit),
            pictures: word(store.pictures(id), |pictures| shadow::pictures_word(&pictures)),
            found: word(found, |_| "yes".to_owned()),
            alert: alerts.remove(&n).map_or_else(|| NONE.to_owned(), |words| words.join("+")),
        };
        rows.insert(n, row);
    }
    for n in alerts.keys() {
        say(&format!("EXTRA alert-of-{n}"));
    }
    rows
}

fn hit_word(hit: &watchpost::store::StoredHit) -> String {
    let list = hit.list.as_ref().map_or("", |list| list.as_str());
    let plate = hit.alert.plate.clone().unwrap_or_else(|| shadow::plate(0));
    let entry = hit.alert.matched.as_ref().map_or(0, |m| u64::from(m.entry));
    shadow::hit_word(hit.alert.severity, list, &plate, entry)
}
