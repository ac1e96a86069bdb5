//! What most faults need: a box with its centre, a real broker, the judge beside it, and the daemon as a process that
//! can be killed and started again.
//!
//! Everything is on loopback and in a temporary folder. Processes end with their values, also when a fault panics.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use watchpost::supervise::testkit::{CLOCK, COUNTS, ORDER, Order, PLATES, plate};

use super::fault::Outcome;
use super::hearing;
use super::judge::Verdict;
use super::kit::broker::{Mosquitto, free_port};
use super::kit::one_box::{OneBox, hotlist};

/// Longest wait for anything that has no figure of its own.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// A stop in good order takes no longer.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const SEVERITIES: [&str; 4] = ["info", "minor", "serious", "critical"];

/// Figures of time hold in release builds; a debug build, on a machine of CI that is busy and stands still at times, is
/// given more.
pub fn bar(release: Duration) -> Duration {
    const PAUSE: Duration = Duration::from_secs(2);
    if cfg!(debug_assertions) { release * 5 + PAUSE } else { release }
}

/// An alert that came at the judge for the first time.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub number: u32,
    /// From the hit's own time to its arrival.
    pub late: Duration,
    pub at: Instant,
    /// It says that the box's clock was not set.
    pub unset: bool,
}

/// What the judge has said so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub came: Vec<Arrival>,
    pub duplicates: u64,
    pub refused: u64,
    pub connected: u64,
    pub shed: u64,
    /// Words of the box's status.
    pub statuses: Vec<String>,
    /// What was told of cameras: number, state, reason.
    pub cameras: Vec<(u16, String, String)>,
    broken: Vec<String>,
    verdict: Option<String>,
    over: bool,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// The judge's process, as the campaign sees it.
struct Judge {
    child: Child,
    stdin: Option<ChildStdin>,
    shared: Arc<Shared>,
}

impl Judge {
    fn start(made: &OneBox, broker: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(hearing::ARGUMENT)
            .arg(made.path(""))
            .arg(broker)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, lines) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()).lines());
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.seen.lock().unwrap().note(&line);
                told.changed.notify_all();
            }
            told.seen.lock().unwrap().over = true;
            told.changed.notify_all();
        });
        Self { child, stdin, shared }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn note(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "came" => {
                let (numbers, clock) = rest.rsplit_once(' ').unwrap();
                let numbers: Vec<u64> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
                let (number, late) = (u32::try_from(numbers[0]).unwrap(), Duration::from_millis(numbers[2]));
                self.came.push(Arrival { number, late, at: Instant::now(), unset: clock == "unset" });
            }
            "duplicate" => self.duplicates += 1,
            "refused" => self.refused += 1,
            "connected" => self.connected += 1,
            "shed" => self.shed += 1,
            "status" => self.statuses.push(rest.to_owned()),
            "camera" => {
                let mut words = rest.splitn(3, ' ').map(str::to_owned);
                let mut word = || words.next().unwrap_or_default();
                self.cameras.push((word().parse().unwrap(), word(), word()));
            }
            "broken" => self.broken.push(rest.to_owned()),
            "verdict" => self.verdict = Some(rest.to_owned()),
            _ => {}
        }
    }
}

/// See the module.
pub struct Rig {
    pub made: OneBox,
    judge: Judge,
    daemon: Option<Child>,
    /// Number of the next life's first hit.
    next: u32,
    pub broker: Mosquitto,
    /// Where the broker listens.
    pub port: u16,
    /// More of the daemon's environment, from its next start on.
    pub environment: Vec<(&'static str, String)>,
}

impl Rig {
    /// A box that speaks MQTT over TLS with its broker.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same with these sections in its configuration.
    pub fn seeing(sections: String) -> Self {
        let made = OneBox::new();
        let (broker, port) = (made.broker(), made.port());
        Self::of(made, broker, port, &format!("mqtts://127.0.0.1:{port}"), sections)
    }

    /// The same through a relay: the box is told the port that `relay` gives for the broker's.
    pub fn with(relay: Option<&dyn Fn(u16) -> u16>) -> Self {
        let made = OneBox::new();
        let broker = made.broker();
        let port = made.port();
        let sections = relay.map(|relay| format!("[centre]\nbroker = \"mqtts://127.0.0.1:{}\"\n\n", relay(port)));
        Self::of(made, broker, port, &format!("mqtts://127.0.0.1:{port}"), sections.unwrap_or_default())
    }

    /// A box that speaks plain MQTT over loopback, through a relay that understands it.
    pub fn plain(relay: &dyn Fn(u16) -> u16) -> Self {
        let (made, port) = (OneBox::new(), free_port());
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 20\n\
             max_queued_messages 10000\nlog_dest stderr\n"
        );
        let broker = Mosquitto::start(&made.file("plain.conf", text));
        let sections = format!("[centre]\nbroker = \"mqtt://127.0.0.1:{}\"\n\n", relay(port));
        Self::of(made, broker, port, &format!("mqtt://127.0.0.1:{port}"), sections)
    }

    fn of(made: OneBox, broker: Mosquitto, port: u16, url: &str, sections: String) -> Self {
        let mut all = vec![sections];
        for (n, severity) in SEVERITIES.iter().enumerate() {
            let mut csv = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n".to_owned();
            for number in (0..PLATES).filter(|number| *number as usize % SEVERITIES.len() == n) {
                writeln!(csv, "{},,,,", plate(number)).unwrap();
            }
            let file = made.file(&format!("{severity}.csv"), csv);
            all.push(hotlist(severity, n as u16 + 1, &file, severity) + "policy = \"exact\"\n\n");
        }
        made.configure(&all);
        let judge = Judge::start(&made, url);
        let rig = Self { made, judge, daemon: None, next: 1, broker, port, environment: Vec::new() };
        rig.until("the judge's session", PATIENCE, |seen| seen.connected > 0);
        rig
    }

    /// Starts `watchpost run`, fed with `count` hits at `per_second`; gives the number of the first.
    pub fn start(&mut self, per_second: u32, count: u32) -> u32 {
        self.start_as(|order| (order.per_second, order.count) = (per_second, count))
    }

    /// The same, fed as `say` says.
    pub fn start_as(&mut self, say: impl FnOnce(&mut Order)) -> u32 {
        assert!(self.daemon.is_none(), "the daemon runs");
        let first = self.next;
        let mut order = Order::hits(first, 0, 1, self.made.path(hearing::ANNOUNCED));
        say(&mut order);
        self.next += order.count;
        let log = File::options().append(true).create(true).open(self.log()).unwrap();
        let mut command = self.made.command("run");
        command.env(CLOCK, self.clock()).env(COUNTS, self.counts()).envs(self.environment.iter().cloned());
        command.env(ORDER, serde_json::to_string(&order).unwrap()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        let stdin = self.judge.stdin.as_mut().unwrap();
        stdin.write_all(format!("mind {}\n", child.id()).as_bytes()).unwrap();
        self.daemon = Some(child);
        first
    }

    /// The file that says how the daemon's wall clock goes; without it, right.
    fn clock(&self) -> PathBuf {
        self.made.path("clock")
    }

    /// The file with what is counted of its cameras: see [`COUNTS`].
    pub fn counts(&self) -> PathBuf {
        self.made.path("counts")
    }

    /// Has the wall clock of the daemon go so: see [`CLOCK`].
    pub fn set_clock(&self, to: &str) {
        let new = self.made.file("clock.new", to);
        std::fs::rename(new, self.clock()).unwrap();
    }

    /// Where the daemons write their logs.
    pub fn log(&self) -> PathBuf {
        self.made.path("daemon.log")
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.daemon.take().expect("the daemon runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends the daemon a signal by its name.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(told.success(), "SIG{name} could not be sent");
    }

    /// Waits for the daemon's end; `None`: it is killed, since it did not come within `at_most`.
    pub fn ended(&mut self, at_most: Duration) -> Option<(Duration, ExitStatus)> {
        let (begun, mut child) = (Instant::now(), self.daemon.take().expect("the daemon runs"));
        while begun.elapsed() < at_most {
            if let Some(status) = child.try_wait().unwrap() {
                return Some((begun.elapsed(), status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    /// SIGTERM, and the end within its time.
    pub fn stop(&mut self, outcome: &mut Outcome) {
        let mut child = self.daemon.take().expect("the daemon runs");
        let begun = Instant::now();
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success();
        while told && begun.elapsed() < STOP_WITHIN {
            if let Some(status) = child.try_wait().unwrap() {
                outcome.expect(status.success(), || format!("the daemon ended with {status}: {}", self.last_words()));
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        outcome.fault(format!("the daemon did not stop within {STOP_WITHIN:?}"));
    }

    /// Whether a daemon was started and not ended since.
    pub fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    /// Whether the daemon has ended by itself.
    pub fn has_died(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// Looks at what the judge has heard.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.judge.shared.seen.lock().unwrap())
    }

    /// Waits until what the judge has heard satisfies `reached`; gives how long that took. Panics when it does not within
    /// `at_most`.
    #[track_caller]
    pub fn until(&self, what: &str, at_most: Duration, reached: impl Fn(&Seen) -> bool) -> Duration {
        let took = self.wait(at_most, reached);
        took.unwrap_or_else(|| panic!("{what}: not within {at_most:?}; the daemon's last words: {}", self.last_words()))
    }

    /// The same; `None` when it is not reached.
    pub fn wait(&self, at_most: Duration, reached: impl Fn(&Seen) -> bool) -> Option<Duration> {
        let begun = Instant::now();
        let seen = self.judge.shared.seen.lock().unwrap();
        let (seen, late) =
            self.judge.shared.changed.wait_timeout_while(seen, at_most, |seen| !reached(seen) && !seen.over).unwrap();
        (!late.timed_out() && reached(&seen)).then(|| begun.elapsed())
    }

    /// Numbers that were announced as committed.
    pub fn committed(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.made.path(hearing::ANNOUNCED)).unwrap_or_default();
        let number = |line: &str| line.strip_prefix("committed ")?.split(' ').next()?.parse().ok();
        text.lines().filter_map(number).collect()
    }

    /// The numbers of the epoch that were given to hits, in the order of the hits.
    pub fn seqs(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.made.path(hearing::ANNOUNCED)).unwrap_or_default();
        let pair = |line: &str| {
            let (number, seq) = line.strip_prefix("committed ")?.split_once(' ')?;
            Some((number.parse::<u32>().ok()?, seq.parse::<u64>().ok()?))
        };
        let mut pairs: Vec<_> = text.lines().filter_map(pair).collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, seq)| seq).collect()
    }

    /// Waits until everything that was committed so far has come; `None` when it has not within `at_most`.
    pub fn complete(&self, at_most: Duration) -> Option<Duration> {
        let committed = self.committed();
        let mut missing: std::collections::BTreeSet<u32> = committed.into_iter().collect();
        let mut looked = 0;
        let begun = Instant::now();
        while begun.elapsed() < at_most {
            let came: Vec<u32> = self.look(|seen| seen.came[looked..].iter().map(|came| came.number).collect());
            looked += came.len();
            missing.retain(|number| !came.contains(number));
            if missing.is_empty() {
                return Some(begun.elapsed());
            }
            self.wait(at_most.saturating_sub(begun.elapsed()), |seen| seen.came.len() > looked);
        }
        None
    }

    /// The end of the daemon's log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }

    /// Waits until the daemons' logs hold these words more often than `before`; gives how long that took.
    pub fn until_said(&self, words: &str, before: usize, at_most: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while self.said(words) <= before {
            if begun.elapsed() >= at_most {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(begun.elapsed())
    }

    /// How often the daemons' logs hold these words.
    pub fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(self.log()).unwrap_or_default().matches(words).count()
    }

    /// Asks for the verdict and adds it to `outcome`; the daemon must have been stopped.
    pub fn verdict(&mut self, outcome: &mut Outcome) -> Verdict {
        assert!(self.daemon.is_none(), "the daemon runs");
        outcome.expect(self.said("panicked") == 0, || format!("{} panics", self.said("panicked")));
        self.judge.stdin.take().unwrap().write_all(b"verdict\n").unwrap();
        let said = self.wait(PATIENCE, |seen| seen.verdict.is_some());
        let (verdict, broken) = self.look(|seen| (seen.verdict.clone(), seen.broken.clone()));
        outcome.faults.extend(broken.into_iter().map(|why| format!("the centre broke: {why}")));
        let Some(verdict) = verdict.filter(|_| said.is_some()) else {
            outcome.fault("the judge gave no verdict");
            return Verdict::default();
        };
        let Ok(verdict) = serde_json::from_str::<Verdict>(&verdict) else {
            outcome.fault(format!("the judge: {verdict}"));
            return Verdict::default();
        };
        outcome.faults.extend(verdict.faults());
        outcome.figure("committed", verdict.committed);
        verdict
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(child) = &mut self.daemon {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Memory of a process that is its own and no page of a file, KiB: what other processes share or leave does not move it.
pub fn memory_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// The value that so many percent do not exceed, and the longest.
pub fn percentile(times: &mut [Duration], percent: usize) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |n: usize| times.get(n).copied().unwrap_or_default();
    (at((times.len() * percent / 100).min(times.len().saturating_sub(1))), at(times.len().saturating_sub(1)))
}
