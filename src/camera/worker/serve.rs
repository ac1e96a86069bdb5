//! The worker: `watchpost decode-worker`, a hidden verb that the daemon starts.
//!
//! Its standard input is the socket to the daemon. It fences itself in first ([`fence`]), then opens and closes sources as it is
//! told ([`job`](super::job)). It ends when the daemon hangs up, dies, or breaks the rules, whatever its sources are doing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::fence;
use super::job::Job;
use super::link::Line;
use super::wire::{Address, Ask, Inbox, Number, Said, Wanted};
use crate::camera::toil::Toil;
use crate::camera::{Rotation, pipeline};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;
use crate::memory;

/// How often it says that it lives.
const PULSE_EVERY: Duration = Duration::from_secs(1);

/// Counters of each camera's stream over all its openings, by camera and address.
type Counted = HashMap<(String, String), Arc<CameraCounters>>;

type Toils = Arc<Mutex<Vec<(Number, Arc<Toil>)>>>;

/// Runs the worker to its end; the message says what is wrong where it was not started by a daemon.
///
/// # Errors
/// Standard input that is no socket of a daemon; GStreamer does not start.
pub fn run() -> Result<Infallible, String> {
    fence::bind_to_parent();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| format!("standard input: {e}"))?;
    let line = Arc::new(Line::new(socket, None));
    let mut worker = Worker {
        line,
        jobs: Arc::default(),
        toils: Arc::default(),
        counted: Counted::new(),
        clock: Clock::system(),
        ports: None,
    };
    let (mut inbox, mut fds) = (Inbox::default(), Vec::new());
    loop {
        match worker.line.hear(&mut |bytes| inbox.push(bytes), &mut fds) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                return Err(format!(
                    "standard input is no socket of a daemon: {error}; the daemon starts this verb by itself"
                ));
            }
        }
        while let Some((ask, tail)) = inbox.next().map_err(|e| format!("the daemon {e}"))? {
            worker.serve(ask, tail, &mut fds)?;
        }
    }
    // Sources may hang in a codec: nobody waits for them.
    fence::leave(0)
}

struct Worker {
    line: Arc<Line>,
    jobs: Arc<Mutex<HashMap<Number, Arc<Job>>>>,
    /// What decoders spend, of jobs that are over as well: a decoder may outlive its job.
    toils: Toils,
    counted: Counted,
    clock: Clock,
    /// Ports that may be connected to, once it is fenced in.
    ports: Option<Vec<u16>>,
}

impl Worker {
    fn serve(&mut self, ask: Ask, tail: Vec<u8>, fds: &mut Vec<OwnedFd>) -> Result<(), String> {
        if let Ask::Begin(limits) = ask {
            // Reads the registry of plugins, and may have to write it: before the fence is up, and before anything of a camera is read.
            pipeline::init().map_err(|e| e.to_string())?;
            let (lacks, holds) = fence::enclose(&limits);
            self.ports = Some(limits.ports);
            self.say(&Said::Ready(env!("CARGO_PKG_VERSION").to_owned(), lacks, holds));
            return self.beat();
        }
        if self.ports.is_none() {
            return Err("the daemon asked for something before it said what is allowed".to_owned());
        }
        match ask {
            Ask::Begin(_) => {}
            Ask::Open(number, wanted) => self.open(number, *wanted)?,
            Ask::Want(number, freed, word) => self.with(number, |job| job.want(freed, word)),
            Ask::Scene(number, word) => self.with(number, |job| job.hear(word)),
            Ask::Memory(number, room) => {
                let fd = if fds.is_empty() { None } else { Some(fds.remove(0)) };
                self.with(number, |job| fd.into_iter().for_each(|fd| job.give_room(room, fd)));
            }
            Ask::Close(number) => self.with(number, Job::close),
            Ask::Unit(number, unit) => self.with(number, |job| job.feed(unit, tail)),
            Ask::Fed(number) => self.with(number, Job::fed),
        }
        Ok(())
    }

    fn say(&self, said: &Said) {
        let _ = self.line.say(said, &[], None);
    }

    fn with(&self, number: Number, act: impl FnOnce(&Job)) {
        let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
        if let Some(job) = job {
            act(&job);
        }
    }

    fn open(&mut self, number: Number, wanted: Wanted) -> Result<(), String> {
        if let Address::Kept(form) = wanted.address {
            let rotation = wanted.rotate.and_then(Rotation::of_degrees).unwrap_or_default();
            return self.start(number, move |job| job.decode(&form, rotation));
        }
        let (idle, coded, from, opened) = (wanted.idle, wanted.coded, wanted.from, wanted.opened);
        let mut settings = wanted.settings().ok_or("the daemon asked for a camera that cannot be")?;
        // Places to be filled by the job.
        settings.opened = opened.map(TimeMs);
        settings.idle = idle.then(Arc::default);
        settings.ports.clone_from(&self.ports);
        if coded {
            settings.ring = Some(Arc::new(crate::camera::ring::Ring::new(crate::camera::ring::Bounds::default())));
        }
        let stream = (settings.id.to_string(), settings.uri.to_string());
        let counters = Arc::clone(self.counted.entry(stream).or_default());
        let clock = self.clock.clone();
        self.start(number, move |job| job.run(settings, from, (&clock, &counters)))
    }

    /// Has something done on a thread of its own.
    fn start(&self, number: Number, work: impl FnOnce(&Arc<Job>) + Send + 'static) -> Result<(), String> {
        let job = Job::new(number, &self.line);
        self.toils.lock().unwrap_or_else(PoisonError::into_inner).push((number, job.toil()));
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(&job));
        let jobs = Arc::clone(&self.jobs);
        let run = move || {
            work(&job);
            jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            drop(job);
            // Decoders took much, and the next one's pieces lie elsewhere.
            memory::give_back();
        };
        let started = std::thread::Builder::new().name(format!("open-{number}")).spawn(run);
        started.map(drop).map_err(|e| format!("no thread for a source: {e}"))
    }

    /// Says on a thread of its own that the worker lives, and which decoder does not come back.
    fn beat(&self) -> Result<(), String> {
        let (line, toils) = (Arc::clone(&self.line), Arc::clone(&self.toils));
        let run = move || {
            while line.say(&Said::Pulse, &[], None).is_ok() {
                let mut toils = toils.lock().unwrap_or_else(PoisonError::into_inner);
                let stuck = toils.iter().find_map(|(number, toil)| Some((*number, toil.longest()?)));
                // Nobody else has it: its job is over, and its pipeline is closed.
                toils.retain(|(_, toil)| Arc::strong_count(toil) > 1);
                drop(toils);
                if let Some((number, spent)) = stuck {
                    let spent_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
                    let _ = line.say(&Said::Toils(number, spent_ms), &[], None);
                }
                std::thread::sleep(PULSE_EVERY);
            }
        };
        std::thread::Builder::new().name("pulse".to_owned()).spawn(run).map(drop).map_err(|e| format!("no thread: {e}"))
    }
}
