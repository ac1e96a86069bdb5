//! Threads of the daemon hang, one after the other, under a service manager that the campaign plays: who makes progress is
//! told to it, who makes none is left behind or ends the daemon, and a stop takes no longer for it.
//!
//! A thread hangs in its own loop, where a closure of it asks whether it shall (`watchpost::supervise::testkit::WEDGE`); from
//! there on everything is as in a product. So that nobody waits for minutes, silences are counted five times faster.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use watchpost::store::audit;
use watchpost::supervise::testkit::{HURRY, WEDGE};

use super::broker::settle;
use super::fault::{Ask, Fault, Outcome};
use super::kit::one_box::camera;
use super::rig::{PATIENCE, Rig, bar};

pub const FAULTS: &[Fault] = &[Fault {
    name: "stall",
    what: "threads that hang (a camera's, all cameras', recorder, session), a stop beside them, the whole process stopped for 8 s: fed by progress alone, ended by itself, stop ≤ 10 s, 0 lost",
    small: 4,
    full: 40,
    run: stalled,
}];

const PER_SECOND: u32 = 20;
const ENOUGH: u32 = 1_000_000;
/// What the service manager asks for.
const INTERVAL: Duration = Duration::from_secs(3);
/// How much faster silences are counted: 30 s of a camera are 6 s, 60 s of the recorder 12 s.
const FASTER: u32 = 5;
/// A stop takes no longer, whatever hangs.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A daemon that left threads behind ends with this.
const LEFT_BEHIND: i32 = 70;

/// What hangs, and what is to come of it.
const CASES: &[fn(&mut Case<'_>)] =
    &[one_camera, the_recorder, stop_beside_a_camera, the_process, all_cameras, the_session, stop_beside_the_recorder];

/// The service manager.
struct Manager {
    path: PathBuf,
    /// When it was told that the daemon makes progress.
    beats: Arc<Mutex<Vec<Instant>>>,
}

impl Manager {
    fn listen(rig: &Rig) -> Self {
        let path = rig.made.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let beats: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let told = Arc::clone(&beats);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1") {
                    told.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self { path, beats }
    }

    fn last(&self) -> Option<Instant> {
        self.beats.lock().unwrap().last().copied()
    }

    /// The longest time between two beats from `from` to now.
    fn longest_gap(&self, from: Instant) -> Duration {
        let beats = self.beats.lock().unwrap();
        let times: Vec<Instant> =
            [from].into_iter().chain(beats.iter().copied().filter(|at| *at > from)).chain([Instant::now()]).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// One fault under way.
struct Case<'a> {
    rig: &'a mut Rig,
    manager: &'a Manager,
    outcome: &'a mut Outcome,
    ends: &'a mut Vec<Duration>,
}

fn stalled(ask: &Ask) -> Outcome {
    let (mut outcome, mut rig) = (Outcome::default(), Rig::new());
    let cameras = [camera("one", 1, "test://ball", "fps = 2"), camera("two", 2, "test://ball", "fps = 2")];
    rig.made.file("conf.d/cameras.toml", cameras.concat());
    let manager = Manager::listen(&rig);
    std::fs::create_dir(rig.made.path("wedge")).unwrap();
    rig.environment = vec![
        ("NOTIFY_SOCKET", manager.path.display().to_string()),
        ("WATCHDOG_USEC", INTERVAL.as_micros().to_string()),
        (WEDGE, rig.made.path("wedge").display().to_string()),
        (HURRY, FASTER.to_string()),
    ];
    let (mut ends, mut gap) = (Vec::new(), Duration::ZERO);
    for case in CASES.iter().cycle().take(usize::try_from(ask.count).unwrap()) {
        begin(&mut rig);
        let from = Instant::now();
        let came = rig.look(|seen| seen.came.len());
        rig.until("alerts of a life", PATIENCE, |seen| seen.came.len() >= came + PER_SECOND as usize * 2);
        gap = gap.max(manager.longest_gap(from));
        case(&mut Case { rig: &mut rig, manager: &manager, outcome: &mut outcome, ends: &mut ends });
        if !outcome.faults.is_empty() {
            outcome.fault(rig.last_words());
            return outcome;
        }
        outcome.done += 1;
    }
    begin(&mut rig);
    rig.environment.clear();
    settle(&mut rig, &mut outcome);
    let audited = audit::read(&rig.made.config().site.data_dir.join("store")).unwrap();
    let ended = audited.iter().filter(|record| record.event == "daemon.stopped").count();
    let lives = audited.iter().filter(|record| record.event == "daemon.started").count();
    outcome.expect(ended == lives, || format!("{lives} lives, {ended} ends in the audit log"));
    let longest = ends.into_iter().max().unwrap_or_default();
    outcome.figure("beats at most apart", format!("{gap:.1?}"));
    outcome.figure("longest end of a daemon with a thread that hangs", format!("{longest:.1?}"));
    outcome.expect(gap <= bar(INTERVAL), || format!("fed once in {gap:.1?}"));
    outcome.expect(longest <= bar(STOP_WITHIN), || format!("an end took {longest:.1?}"));
    outcome
}

/// Starts the daemon, unless it runs, and waits until its cameras do.
fn begin(rig: &mut Rig) {
    if rig.runs() {
        return;
    }
    let online = rig.said("camera online");
    rig.start(PER_SECOND, ENOUGH);
    assert!(rig.until_said("camera online", online + 1, PATIENCE).is_some(), "cameras: {}", rig.last_words());
}

impl Case<'_> {
    fn wedge(&self, thread: &str) {
        self.rig.made.file(&format!("wedge/{thread}"), "");
    }

    fn free(&self, thread: &str) {
        std::fs::remove_file(self.rig.made.path(&format!("wedge/{thread}"))).unwrap();
    }

    fn expect_said(&mut self, words: &str, before: usize, at_most: Duration) {
        let said = self.rig.until_said(words, before, bar(at_most)).is_some();
        self.outcome.expect(said, || format!("it was not said within {at_most:?}: {words}"));
    }

    /// These hang: the daemon says so, is not fed any more and ends by itself.
    fn ends_itself(&mut self, threads: &[&str], within: Duration) {
        let said = "the daemon is of no use any more";
        let before = self.rig.said(said);
        for thread in threads {
            self.wedge(thread);
        }
        self.expect_said(said, before, within);
        let begun = Instant::now();
        match self.rig.ended(PATIENCE) {
            None => self.outcome.fault(format!("{threads:?} hang, and the daemon did not end")),
            Some((_, status)) => {
                self.ends.push(begun.elapsed());
                self.outcome.expect(status.code() == Some(LEFT_BEHIND), || format!("{threads:?} hang: {status}"));
            }
        }
        let fed = self.manager.last().is_some_and(|at| at > begun + Duration::from_millis(500));
        self.outcome.expect(!fed, || format!("{threads:?} hang, and the daemon was fed"));
        for thread in threads {
            self.free(thread);
        }
    }

    /// This hangs, and the daemon is asked to stop.
    fn stops(&mut self, thread: &str) {
        self.wedge(thread);
        // Long enough to hang, and too short to be silent.
        std::thread::sleep(Duration::from_secs(3));
        self.rig.signal("TERM");
        match self.rig.ended(PATIENCE) {
            None => self.outcome.fault(format!("{thread} hangs, and the daemon did not stop")),
            Some((took, status)) => {
                self.ends.push(took);
                self.outcome.expect(status.code() == Some(LEFT_BEHIND), || format!("{thread} hangs: {status}"));
            }
        }
        self.free(thread);
    }
}

/// One of two cameras: it is said, another thread takes its place, and nothing else happens.
fn one_camera(case: &mut Case<'_>) {
    let (said, online) = ("analysis thread does nothing any more, left behind", "camera online");
    let (from, before, shown) = (Instant::now(), case.rig.said(said), case.rig.said(online));
    case.wedge("cam-one");
    case.expect_said(said, before, Duration::from_secs(12));
    case.free("cam-one");
    case.expect_said(online, shown, Duration::from_secs(10));
    let (died, gap) = (case.rig.has_died(), case.manager.longest_gap(from));
    case.outcome.expect(!died, || "a camera's thread that hangs ended the daemon".to_owned());
    case.outcome.expect(gap <= bar(INTERVAL), || format!("one camera hung, and the daemon was fed once in {gap:.1?}"));
}

fn all_cameras(case: &mut Case<'_>) {
    case.ends_itself(&["cam-one", "cam-two"], Duration::from_secs(16));
}

fn the_recorder(case: &mut Case<'_>) {
    case.ends_itself(&["recorder"], Duration::from_secs(20));
}

fn the_session(case: &mut Case<'_>) {
    // It asks whether it shall hang with its next health message.
    case.ends_itself(&["centre"], Duration::from_mins(1));
}

fn stop_beside_a_camera(case: &mut Case<'_>) {
    case.stops("cam-two");
}

fn stop_beside_the_recorder(case: &mut Case<'_>) {
    case.stops("recorder");
}

/// The whole process is stopped for longer than anybody may be silent: nobody is to blame.
fn the_process(case: &mut Case<'_>) {
    let said = ["does nothing any more", "of no use any more"].map(|words| case.rig.said(words));
    case.rig.signal("STOP");
    std::thread::sleep(Duration::from_secs(8));
    case.rig.signal("CONT");
    let came = case.rig.look(|seen| seen.came.len());
    case.rig.until("alerts after the stop", PATIENCE, |seen| seen.came.len() >= came + PER_SECOND as usize * 2);
    let (died, now) =
        (case.rig.has_died(), ["does nothing any more", "of no use any more"].map(|words| case.rig.said(words)));
    case.outcome
        .expect(!died && now == said, || "a process that was stopped for a while blames its threads".to_owned());
}
