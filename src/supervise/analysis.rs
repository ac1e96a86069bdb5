//! One camera's analysis thread: frames in, entries for the recorder out.
//!
//! Plain calls, one after the other. It waits at three places: for a frame, for a free inference session, and for the
//! recorder when its queue is full; meanwhile the camera's slot keeps the newest frame and counts what it replaces.

use std::sync::Arc;

use crate::camera::{self, Camera, CameraEvent, MainStream};
use crate::clock::Clock;
use crate::domain::{CameraId, Frame, SightingEvent, Stage, TimeMs};
use crate::health::{CameraCounters, Worry};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Entry, RecorderHandle};
use crate::vision::{self, Analyser, Models};

use super::desk::Tap;
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
    pub tap: Arc<Tap>,
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
            other_view: None,
        };
        let mut main = self.main_stream();
        let result = camera.run(&self.shutdown, &mut |event| match event {
            CameraEvent::Frame(mut frame) => {
                if let Some(main) = &mut main {
                    main.attach(&mut frame, &self.counters);
                }
                self.tap.serve(&frame, &self.vision.privacy_mask);
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
        let (camera, counters) = (self.camera.of_main()?, self.counters.of_main());
        Some(MainStream::start(camera, &self.clock, counters, &self.shutdown))
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
        for event in work.step(frame, &self.camera.id, &self.counters) {
            self.pass_on(work, event);
        }
        self.tell_of_vehicles(work);
        work.tell_of_views(&self.counters);
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
        let matches = read
            .filter(|read| !self.hotlists.ignores(&read.text))
            .map(|read| matcher.matches(read, self.clock.utc()))
            .unwrap_or_default();
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
    /// The last frame that was looked at could not be analysed.
    faulty: bool,
    /// Vehicles can't be looked for.
    without_vehicles: bool,
    /// Sizes of the substream and of a main stream that is not read.
    other_view: Option<[(u32, u32); 2]>,
}

impl Work {
    /// Has one frame analysed, counts it and says when the models fail and when they work again.
    fn step(&mut self, frame: &Frame, camera: &CameraId, counters: &CameraCounters) -> Vec<SightingEvent> {
        match self.analyser.step(frame) {
            // A frame that was not looked at tells nothing of the models.
            Ok(events) if self.analyser.is_resting() => {
                counters.rested.inc();
                events
            }
            Ok(events) => {
                counters.analysed.inc();
                if std::mem::take(&mut self.faulty) {
                    counters.set_worry(Worry::Model, None);
                }
                events
            }
            Err(error) => {
                counters.unanalysed.inc();
                // Said once until a frame is analysed again: a broken model would say it 25 times a second.
                if !std::mem::replace(&mut self.faulty, true) {
                    tracing::error!(%camera, %error, "frame not analysed");
                    counters.set_worry(Worry::Model, Some(error.to_string()));
                }
                self.analyser.take_untold()
            }
        }
    }

    /// Says when the main stream can't be read behind the masks, and when it can.
    fn tell_of_views(&mut self, counters: &CameraCounters) {
        let views = self.analyser.other_view();
        if views == self.other_view {
            return;
        }
        self.other_view = views;
        let Some([(w, h), (width, height)]) = views else { return counters.set_worry(Worry::Views, None) };
        let text = format!(
            "plates are read on the substream ({w}×{h}): the main stream ({width}×{height}) has another shape, and masks hold \
             in one view alone"
        );
        counters.set_worry(Worry::Views, Some(text));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::camera::replay::{Pace, Picture, ReplaySource};
    use crate::domain::frame::OwnedI420;
    use crate::domain::{Detection, PlateRead};
    use crate::health::CameraState;
    use crate::vision::Error;
    use crate::vision::analyser::{FindPlates, ReadPlates};
    use crate::vision::area::Area;
    use crate::vision::mask::Seen;

    /// Fails as long as it is told to; finds nothing.
    #[derive(Clone)]
    struct Broken(Arc<AtomicBool>);

    impl FindPlates for Broken {
        fn find(&self, _: &Seen<'_>, _: Area) -> Result<Vec<Detection>, Error> {
            if self.0.load(Ordering::Relaxed) { Err(Error::NoInference) } else { Ok(Vec::new()) }
        }
    }

    impl ReadPlates for Broken {
        fn read(&self, _: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
            Ok(vec![None; plates.len()])
        }
    }

    fn gate() -> CameraId {
        CameraId::new("gate").unwrap()
    }

    fn work(motion_gate: bool) -> (Work, Arc<AtomicBool>) {
        let broken = Broken(Arc::new(AtomicBool::new(true)));
        let switch = Arc::clone(&broken.0);
        let settings = vision::Settings { motion_gate, ..vision::Settings::default() };
        let analyser = Analyser::with(Box::new(broken.clone()), Box::new(broken), settings, gate(), 1);
        let (told, newest) = (Told::default(), TimeMs(0));
        (Work { analyser, told, newest, faulty: false, without_vehicles: false, other_view: None }, switch)
    }

    #[test]
    fn a_model_that_fails_is_told_until_a_frame_was_really_analysed_whatever_the_gate_rests_on() {
        let (mut work, broken) = work(true);
        let counters = CameraCounters::default();
        counters.set_state(CameraState::Online);
        let mut show = |n: u64| {
            let (format, pixels) = OwnedI420::from_rgb(&vec![90; 320 * 180 * 3], 320, 180);
            let frame = Frame::new(format, TimeMs(n * 40), Duration::from_millis(n * 40), n, Box::new(pixels));
            work.step(&frame, &gate(), &counters);
            matches!(counters.state(), CameraState::Degraded(why) if why == Error::NoInference.to_string())
        };
        assert!((0..400).all(&mut show), "degraded throughout");
        assert!(counters.rested.get() > 200 && counters.unanalysed.get() > 50, "both kinds of frames");
        broken.store(false, Ordering::Relaxed);
        let (rested, degraded) = (counters.rested.get(), (400..500).map(&mut show).collect::<Vec<_>>());
        assert!(counters.rested.get() > rested && degraded.is_sorted_by(|a, b| a >= b) && !degraded[99]);
    }

    #[test]
    fn a_masked_camera_whose_streams_show_different_views_is_degraded_until_they_agree() {
        let (mut work, _) = work(false);
        let corner = crate::domain::Polygon::new(vec![[0.0, 0.0], [0.2, 0.0], [0.2, 0.2]]);
        let settings = vision::Settings { privacy_mask: vec![corner], ..vision::Settings::default() };
        let sound = Broken(Arc::new(AtomicBool::new(false)));
        work.analyser = Analyser::with(Box::new(sound.clone()), Box::new(sound), settings, gate(), 1);
        let counters = CameraCounters::default();
        counters.set_state(CameraState::Online);
        let picture = |n: u64, (w, h): (u32, u32)| {
            let (format, pixels) = OwnedI420::from_rgb(&[], w, h);
            Frame::new(format, TimeMs(n * 40), Duration::from_millis(n * 40), n, Box::new(pixels))
        };
        let mut show = |n: u64, main: Option<(u32, u32)>| {
            let mut frame = picture(n, (320, 240));
            if let Some(main) = main {
                frame.set_detail(Arc::new(picture(n, main)));
            }
            work.step(&frame, &gate(), &counters);
            work.tell_of_views(&counters);
            counters.state()
        };
        assert_eq!(show(0, None), CameraState::Online);
        for (n, main) in [(1, Some((640, 360))), (2, None)] {
            let state = show(n, main);
            let CameraState::Degraded(why) = state else { panic!("{state:?}") };
            assert!(why.contains("(320×240)") && why.contains("(640×360)"), "{why}");
        }
        assert_eq!(show(3, Some((640, 480))), CameraState::Online);
    }

    #[test]
    fn a_model_that_fails_is_told_after_the_camera_was_opened_again() {
        let (mut work, _) = work(false);
        let counters = Arc::new(CameraCounters::default());
        let mut settings = camera::Settings::new(gate(), 1, "rtsp://127.0.0.1/none".parse().unwrap());
        settings.stall_after = Duration::from_millis(60);
        settings.back_off_first = Duration::from_millis(1);
        settings.back_off_most = Duration::from_millis(4);
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let (shutdown, mut reopened) = (Shutdown::new(), 0);
        // A replay that ends is a file's end, so a live camera's source is made to fail instead.
        let mut open = || -> Result<Box<dyn camera::Source>, camera::Error> { Ok(Box::new(Ends(replay(&counters)))) };
        camera
            .run_from(&mut open, &shutdown, &mut |event| match event {
                CameraEvent::Frame(frame) => {
                    work.step(&frame, &gate(), &counters);
                    let state = counters.state();
                    assert!(matches!(state, CameraState::Degraded(_)), "{state:?} after {reopened} openings");
                    if reopened == 2 {
                        shutdown.trigger();
                    }
                }
                CameraEvent::Reopened => reopened += 1,
                CameraEvent::Ended => panic!("it has no end"),
            })
            .unwrap();
        assert_eq!(reopened, 2);
    }

    fn replay(counters: &Arc<CameraCounters>) -> ReplaySource {
        let pictures = vec![Picture::grey(320, 180, 90)];
        ReplaySource::new(pictures, 25.0, Some(3), Pace::AsTaken, Clock::system(), Arc::clone(counters))
    }

    /// A replay whose end is a fault.
    struct Ends(ReplaySource);

    impl camera::Source for Ends {
        fn next(&mut self, wait: Duration) -> Result<camera::Next, camera::Error> {
            match self.0.next(wait)? {
                camera::Next::End => Err(camera::Error::Closed { origin: "rtsp://127.0.0.1/none".into() }),
                next => Ok(next),
            }
        }
    }
}
