//! One camera's analysis thread: frames in, entries for the recorder out.
//!
//! Plain calls, one after the other. It waits at three places: for a frame, for a free inference session, and for the
//! recorder when its queue is full; meanwhile the camera's slot keeps the newest frame and counts what it replaces.

use std::sync::Arc;

use crate::camera::{self, Camera, CameraEvent, MainStream};
use crate::clock::Clock;
use crate::domain::{Frame, SightingEvent, Stage, TimeMs};
use crate::health::{CameraCounters, CameraState, Worry};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Entry, RecorderHandle};
use crate::vision::{self, Analyser, Models};

use super::told::Told;

/// Frames that are so much older than the newest one tell that the clock was set back.
const CLOCK_STEP_MS: u64 = 2_000;

/// What a camera's thread works with.
pub(super) struct Analysis {
    pub camera: camera::Settings,
    pub vision: vision::Settings,
    pub models: Models,
    pub hotlists: Arc<Hotlists>,
    pub recorder: RecorderHandle,
    pub counters: Arc<CameraCounters>,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

/// How a camera's thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The file is over, or the stop was asked for.
    Done,
    /// A file could not be played; the reason.
    Failed(String),
}

impl Analysis {
    /// Runs until the file is over or the stop is asked for.
    pub(super) fn run(self) -> Ending {
        let camera = Camera::new(self.camera.clone(), self.clock.clone(), Arc::clone(&self.counters));
        let mut work = Work {
            told: Told::default(),
            analyser: self.analyser(),
            newest: TimeMs(0),
            faulty: false,
            without_vehicles: false,
        };
        let mut main = self.main_stream();
        let result = camera.run(&self.shutdown, &mut |event| match event {
            CameraEvent::Frame(mut frame) => {
                if let Some(main) = &mut main {
                    main.attach(&mut frame, &self.counters);
                }
                self.analyse(&mut work, &frame);
            }
            // Times begin anew: what was under way is over, and the next tracks start from nothing.
            CameraEvent::Reopened | CameraEvent::Ended => self.finish(&mut work),
        });
        self.finish(&mut work);
        match result {
            Ok(()) => Ending::Done,
            Err(error) => Ending::Failed(error.to_string()),
        }
    }

    /// The main stream beside a substream, opened.
    fn main_stream(&self) -> Option<MainStream> {
        let started = MainStream::start(self.camera.of_main()?, &self.clock, &self.shutdown);
        started
            .inspect_err(|error| tracing::error!(camera = %self.camera.id, %error, "no thread for the main stream"))
            .ok()
    }

    fn analyser(&self) -> Analyser {
        Analyser::new(&self.models, self.vision.clone(), self.camera.id.clone(), self.camera.number)
    }

    fn analyse(&self, work: &mut Work, frame: &Frame) {
        if frame.at.0.saturating_add(CLOCK_STEP_MS) < work.newest.0 {
            // The clock was set back. Tracks under way end with their old times, what comes now begins with the new ones.
            tracing::warn!(camera = %self.camera.id, before = %work.newest, now = %frame.at, "clock was set back");
            self.finish(work);
            work.analyser = self.analyser();
        }
        work.newest = frame.at;
        work.analyser.set_clock(self.clock.state());
        match work.analyser.step(frame) {
            Ok(events) => {
                if work.analyser.is_resting() {
                    self.counters.rested.inc();
                } else {
                    self.counters.analysed.inc();
                }
                if std::mem::take(&mut work.faulty) {
                    self.counters.set_state(CameraState::Online);
                }
                for event in events {
                    self.pass_on(work, event);
                }
                self.tell_of_vehicles(work);
            }
            Err(error) => {
                self.counters.unanalysed.inc();
                // Said once until a frame is analysed again: a broken model would say it 25 times a second.
                if !std::mem::replace(&mut work.faulty, true) {
                    tracing::error!(camera = %self.camera.id, %error, "frame not analysed");
                    self.counters.set_state(CameraState::Degraded(error.to_string()));
                }
            }
        }
    }

    fn finish(&self, work: &mut Work) {
        let events = work.analyser.finish(self.clock.utc());
        for event in events {
            self.pass_on(work, event);
        }
        self.tell_of_vehicles(work);
    }

    /// Counts those that passed; says when they can't be looked for, and when they can again.
    fn tell_of_vehicles(&self, work: &mut Work) {
        for class in work.analyser.take_passed() {
            self.counters.count_passed(class);
        }
        let fault = work.analyser.vehicle_fault();
        if fault.is_some() != work.without_vehicles {
            work.without_vehicles = fault.is_some();
            self.counters.set_worry(Worry::Vehicles, fault.map(|why| format!("vehicles are not looked for: {why}")));
        }
    }

    fn pass_on(&self, work: &mut Work, event: SightingEvent) {
        if event.stage == Stage::End {
            if event.sighting.read.is_some() { self.counters.reads.inc() } else { self.counters.unread.inc() }
        }
        let matcher = self.hotlists.matcher();
        let read = event.sighting.read.as_ref();
        let matches = read.map(|read| matcher.matches(read, self.clock.utc())).unwrap_or_default();
        let hits = work.told.hits(&event, matches);
        let new = hits.iter().filter(|h| h.stage == Stage::New).count();
        self.counters.hits.add(new as u64);
        if let Err(error) = self.recorder.send(Entry { event, hits }) {
            self.counters.lost.inc();
            tracing::error!(camera = %self.camera.id, %error, "sighting lost: the recorder does not run");
        }
    }
}

/// What changes from frame to frame.
struct Work {
    analyser: Analyser,
    told: Told,
    /// Time of the newest frame.
    newest: TimeMs,
    /// The last frame could not be analysed.
    faulty: bool,
    /// Vehicles can't be looked for.
    without_vehicles: bool,
}
