//! The process that decodes cameras is killed, stopped, or does not come back from a picture, while hits are recorded.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, RtspServer, Serving};

use super::broker::settle;
use super::fault::{Ask, Fault, Outcome};
use super::kit::one_box::camera;
use super::rig::{PATIENCE, Rig, bar, percentile};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "worker-kill",
        what: "SIGKILL of what decodes, at 20 hits/s: 0 lost, cameras back within 5 s",
        small: 2,
        full: 50,
        run: killed,
    },
    Fault {
        name: "worker-stop",
        what: "SIGSTOP of what decodes, at 20 hits/s: 0 lost, noticed, replaced, cameras back within 10 s",
        small: 1,
        full: 10,
        run: stopped,
    },
    Fault {
        name: "worker-spin",
        what: "a decoder that never comes back from a picture, beside two good cameras: 0 lost, ended and told, they are back within 10 s, and after two of them they lose nothing",
        small: 1,
        full: 10,
        run: spun,
    },
];

const PER_SECOND: u32 = 20;
const ENOUGH: u32 = 1_000_000;
const GOOD: [&str; 2] = ["gate", "yard"];
/// Signs of getting on that a decoder gives before it does not come back: some seconds of pictures.
const SPINS: &str = "spin-120";
/// Rounds of one daemon's life: two of them hit the worker that all share, the others those of one camera each, which there are after two losses
/// until ten minutes were calm. Then it is started anew, so that both are tried again and again.
const LIFE: u64 = 5;
/// Openings that lasted so long are not waited for the longer.
const WELL: Duration = Duration::from_secs(7);

/// A daemon with cameras, and hits from elsewhere.
struct Watched {
    rig: Rig,
    _server: RtspServer,
}

impl Watched {
    fn start(ask: &Ask, cameras: &[&str]) -> Self {
        let path = ask.dir.join("scene.mp4");
        // Nothing is seen in it: what is fed is all that is recorded.
        let still = Clip { pattern: "gradient", ..Clip::H264 };
        still.make(&path).unwrap();
        let server = RtspServer::start(&path, &Serving { looped: true, ..Serving::default() }).unwrap();
        let mut rig = Rig::new();
        let section = |(number, id): (u16, &&str)| camera(id, number, &server.url(), "fps = 5");
        let sections: String = (1..).zip(cameras).map(section).collect();
        rig.made.file("conf.d/cameras.toml", sections);
        rig.start(PER_SECOND, ENOUGH);
        let watched = Self { rig, _server: server };
        watched.until("every camera online", PATIENCE, || cameras.iter().all(|id| watched.online(id) > 0));
        watched
    }

    /// How often a camera came online.
    fn online(&self, id: &str) -> usize {
        self.lines("camera online", &format!("camera={id} "))
    }

    /// Lines of the daemon's log with both.
    fn lines(&self, words: &str, of: &str) -> usize {
        let text = std::fs::read_to_string(self.rig.log()).unwrap_or_default();
        text.lines().filter(|line| line.contains(words) && line.contains(of)).count()
    }

    /// Waits; how long it took.
    #[track_caller]
    fn until(&self, what: &str, at_most: Duration, reached: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < at_most, "{what}: not within {at_most:?}: {}", self.rig.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
        begun.elapsed()
    }

    /// Processes that decode.
    fn workers(&self) -> Vec<u32> {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter(|pid| is_worker_of(*pid, self.rig.pid())).collect()
    }

    /// Sends a signal to all of them; how many there were, and how long it takes until each of the cameras is back.
    fn hurt(&self, signal: &str) -> (usize, Duration) {
        let before = GOOD.map(|id| self.online(id));
        let workers = self.workers();
        assert!(!workers.is_empty(), "nothing decodes: {}", self.rig.last_words());
        let (begun, were) = (Instant::now(), workers.len());
        for pid in workers {
            // One may have ended by itself.
            let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
        }
        self.until("the cameras back", PATIENCE, || GOOD.iter().zip(before).all(|(id, n)| self.online(id) > n));
        (were, begun.elapsed())
    }

    /// Stops the daemon in good order and starts it anew: it knows of no losses.
    fn anew(&mut self, outcome: &mut Outcome) {
        let before = GOOD.map(|id| self.online(id));
        self.rig.stop(outcome);
        self.rig.start(PER_SECOND, ENOUGH);
        self.until("every camera online", PATIENCE, || GOOD.iter().zip(before).all(|(id, n)| self.online(id) > n));
    }

    fn rounds(ask: &Ask, signal: &str, within: Duration) -> Outcome {
        let (mut outcome, mut watched) = (Outcome::default(), Self::start(ask, &GOOD));
        let (mut back, mut shared) = (Vec::new(), 0);
        for round in 0..ask.count {
            if round > 0 && round % LIFE == 0 {
                watched.anew(&mut outcome);
            }
            let (were, took) = watched.hurt(signal);
            back.push(took);
            shared += u64::from(were == 1);
            outcome.done += 1;
            if ask.full {
                std::thread::sleep(WELL);
            }
        }
        let (lost, alone) = (watched.rig.said("a decode worker was lost") as u64, outcome.done - shared);
        outcome.figure("of a worker for all", shared);
        outcome.figure("of one a camera", alone);
        let done = outcome.done;
        outcome.expect(lost >= done, || format!("{lost} losses were told of {done}"));
        outcome.expect(shared > 0 && (done <= 2 || alone > 0), || format!("{shared} shared, {alone} alone"));
        watched.judge(&mut outcome, back, within);
        outcome
    }

    fn judge(mut self, outcome: &mut Outcome, mut back: Vec<Duration>, within: Duration) {
        let (p95, longest) = percentile(&mut back, 95);
        outcome.figure("cameras back p95", format!("{p95:.2?}"));
        outcome.figure("longest", format!("{longest:.2?}"));
        outcome.expect(longest <= bar(within), || format!("the cameras were back after {longest:.2?}"));
        settle(&mut self.rig, outcome);
    }
}

/// Whether a process is a decode worker of that daemon.
fn is_worker_of(pid: u32, daemon: u32) -> bool {
    let read = |name: &str| std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(name));
    let parent = read("stat").ok().and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
    parent == Some(daemon) && read("cmdline").is_ok_and(|line| line.contains("decode-worker"))
}

fn killed(ask: &Ask) -> Outcome {
    Watched::rounds(ask, "-KILL", Duration::from_secs(5))
}

fn stopped(ask: &Ask) -> Outcome {
    Watched::rounds(ask, "-STOP", Duration::from_secs(10))
}

fn spun(ask: &Ask) -> Outcome {
    let (mut outcome, mut back) = (Outcome::default(), Vec::new());
    let watched = Watched::start(ask, &[GOOD[0], GOOD[1], SPINS]);
    let ended = || watched.rig.said("processor time on one picture");
    let mut calm = None;
    for _ in 0..ask.count {
        let (known, before) = (ended(), GOOD.map(|id| watched.online(id)));
        watched.until("the end of one that spins", PATIENCE * 2, || ended() > known);
        let begun = Instant::now();
        // After two of them each has one of its own: a third costs the others nothing.
        if outcome.done < 2 {
            watched
                .until("the others back", PATIENCE, || GOOD.iter().zip(before).all(|(id, n)| watched.online(id) > n));
            back.push(begun.elapsed());
        } else {
            let before = *calm.get_or_insert(before);
            let now = GOOD.map(|id| watched.online(id));
            outcome.expect(now == before, || format!("the others came online {now:?} times, {before:?} before"));
        }
        outcome.done += 1;
    }
    outcome.figure("ended", ended());
    watched.judge(&mut outcome, back, Duration::from_secs(10));
    outcome
}
