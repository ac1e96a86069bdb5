//! One camera's analysis thread: frames in, entries for the recorder out.
//!
//! Plain calls, one after the other. It waits at three places: for a frame, for a free inference session, and for the
//! recorder when its queue is full; meanwhile the camera's slot keeps the newest frame and counts what it replaces.

use std::sync::Arc;
use std::time::Duration;

use crate::camera::idle::Calm;
use crate::camera::{self, Camera, CameraEvent, MainStream};
use crate::clock::Clock;
use crate::domain::{CameraId, Class, Frame, Hit, ListId, PlateRead, Sighting, SightingEvent, Stage, TimeMs};
use crate::health::pulse::Pulse;
use crate::health::{CameraCounters, Health, Worry};
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Entry, RecorderHandle};
use crate::vision::rules::Judge;
use crate::vision::{self, Analyser, Seen};

use super::clips::{Clips, Look, View, Wish};
use super::models::swap::InUse;
use super::second::{Asking, Due, Held, Looks};
use super::tap::{Sight, Tap};
use super::told::Told;
use super::views::{self, Door};

/// Frames that are so much older than the newest one tell that the clock was set back.
const CLOCK_STEP_MS: u64 = 2_000;
/// How long a source may take to give an event: a decode worker has 20 s to start, and 20 more to open a camera.
const SOURCE_WITHIN: Duration = Duration::from_mins(1);
/// How often ends are looked for that wait for a second look, when the stream is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a camera's thread works with.
pub(super) struct Analysis {
    pub camera: camera::Settings,
    pub vision: vision::Settings,
    pub models: InUse,
    pub hotlists: Arc<Hotlists>,
    pub recorder: RecorderHandle,
    pub counters: Arc<CameraCounters>,
    pub health: Arc<Health>,
    pub clock: Clock,
    pub shutdown: Shutdown,
    pub tap: Arc<Tap>,
    pub clips: Clips,
    pub looks: Looks,
    /// Where what its picture is like is told; `None`: it is not watched.
    pub views: Option<Door>,
    pub pulse: Pulse,
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
            judge: Judge::default(),
            turn: self.models.turn(),
            analyser: self.watching(self.analyser()),
            newest: TimeMs(0),
            size: (0, 0),
            faulty: false,
            without_vehicles: false,
            other_view: None,
            held: self.looks.of(&self.camera),
        };
        let is_file = !self.camera.is_newest_first();
        let mut main = self.main_stream();
        let mut calm = self.camera.idle.clone().map(Calm::new);
        self.tap.rouses(self.camera.idle.clone());
        self.pulse.takes("the opening of its source", SOURCE_WITHIN);
        let result = camera.run(&self.shutdown, &mut |event| {
            self.pulse.beats("the analysis of a frame");
            #[cfg(feature = "testkit")]
            super::testkit::wedge(&format!("cam-{}", self.camera.id));
            self.on(event, &mut work, main.as_mut(), calm.as_mut());
            self.pulse.takes("the next frame of its source", SOURCE_WITHIN);
        });
        self.pulse.beats("its end");
        self.finish(&mut work);
        self.wait_for_looks(&mut work);
        self.resting(is_file, "its clips", || self.clips.over(&self.camera.id, is_file));
        if let (Some(views), Some(kept)) = (&self.views, work.analyser.kept_view()) {
            views.keep(kept);
        }
        match result {
            Ok(()) => Ending::Done,
            Err(error) => Ending::Failed(error.to_string()),
        }
    }

    /// What happened at the camera.
    fn on(&self, event: CameraEvent, work: &mut Work, main: Option<&mut MainStream>, calm: Option<&mut Calm>) {
        let is_file = !self.camera.is_newest_first();
        match event {
            CameraEvent::Frame(mut frame) => {
                if let Some(main) = main {
                    main.attach(&mut frame, &self.counters);
                }
                self.analyse(work, &frame);
                let whereabouts = work.analyser.whereabouts();
                // Behind the analysis, which finds out whether masks lie right in this very frame.
                let is_elsewhere = whereabouts.is_some_and(|w| w.is_elsewhere);
                let marks = || work.analyser.marked();
                let persons = |seen: &Seen<'_>| work.analyser.persons(seen).map_err(|e| e.to_string());
                let sight = Sight { marks: &marks, persons: &persons };
                self.tap.serve(&frame, &self.vision.privacy_mask, is_elsewhere, &sight);
                let seen = |id| work.analyser.last_seen(id);
                let look = Look { at: frame.at, may_wait: is_file, whereabouts, seen: &seen };
                self.resting(is_file, "its clips", || self.clips.look(&self.camera.id, &look));
                if let Some(calm) = calm {
                    calm.note(frame.pts, work.analyser.is_still());
                }
                work.held.stir(!work.analyser.is_still());
                self.release(work, false);
            }
            CameraEvent::Quiet => {
                work.held.rest();
                self.release(work, false);
            }
            // Times begin anew: tracks are over, and what stands there still is the same sighting.
            CameraEvent::Reopened => {
                calm.map(Calm::disturb);
                work.analyser.interrupt();
                work.analyser.begin_stream();
                self.resting(is_file, "its clips", || self.clips.over(&self.camera.id, is_file));
            }
            CameraEvent::Ended => self.finish(work),
        }
    }

    /// Does what may wait for another part as long as that takes.
    fn resting<T>(&self, may_wait: bool, on: &'static str, act: impl FnOnce() -> T) -> T {
        if may_wait {
            self.pulse.rests(on);
        }
        let done = act();
        self.pulse.beats("the analysis of a frame");
        done
    }

    /// The main stream beside a substream, opened.
    fn main_stream(&self) -> Option<MainStream> {
        let (camera, counters) = (self.camera.of_main()?, self.counters.of_main());
        Some(MainStream::start(camera, &self.clock, counters, &self.shutdown))
    }

    fn analyser(&self) -> Analyser {
        Analyser::new(&self.models.now(), self.vision.clone(), self.camera.id.clone(), self.camera.number)
    }

    fn watching(&self, analyser: Analyser) -> Analyser {
        match &self.views {
            Some(views) => analyser.with_view(views.view()),
            None => analyser,
        }
    }

    fn analyse(&self, work: &mut Work, frame: &Frame) {
        let turn = self.models.turn();
        if turn != std::mem::replace(&mut work.turn, turn) {
            work.analyser.take_models(&self.models.now());
        }
        if frame.at.0.saturating_add(CLOCK_STEP_MS) < work.newest.0 {
            // The clock was set back. Tracks under way end with their old times, what comes now begins with the new ones.
            tracing::warn!(camera = %self.camera.id, before = %work.newest, now = %frame.at, "clock was set back");
            self.finish(work);
            let view = work.analyser.take_view();
            work.analyser = match view {
                Some(view) => self.analyser().with_view(view),
                None => self.analyser(),
            };
        }
        (work.newest, work.size) = (frame.at, (frame.format.width, frame.format.height));
        work.analyser.set_clock(self.clock.state());
        for event in work.step(frame, &self.camera.id, &self.counters) {
            self.hold_or_pass_on(work, event);
        }
        self.tell_of_vehicles(work);
        work.tell_of_views(&self.counters);
        self.tell_of_view(work);
    }

    /// Says what is wrong with the picture, and when it is over.
    fn tell_of_view(&self, work: &mut Work) {
        let Some(views) = &self.views else { return };
        for news in work.analyser.take_view_news() {
            let id = views::new_id(news.at);
            views.tell(news, id, &self.counters);
        }
        if let Some(kept) = work.analyser.take_kept_view() {
            views.keep(kept);
        }
    }

    fn finish(&self, work: &mut Work) {
        let events = work.analyser.finish(self.clock.utc());
        for event in events {
            self.hold_or_pass_on(work, event);
        }
        self.tell_of_vehicles(work);
    }

    /// Counts those that passed; says when they can't be looked for, and when they can again.
    fn tell_of_vehicles(&self, work: &mut Work) {
        for class in work.analyser.take_passed() {
            self.counters.count_passed(class);
        }
        for (place, way, class) in work.analyser.take_crossings() {
            let is_zone = self.vision.plan.zones.iter().any(|zone| zone.name == place);
            self.counters.count_crossing(place, is_zone, way, class);
        }
        let fault = work.analyser.vehicle_fault();
        if fault.is_some() != work.without_vehicles {
            work.without_vehicles = fault.is_some();
            self.counters.set_worry(Worry::Vehicles, fault.map(|why| format!("vehicles are not looked for: {why}")));
        }
    }

    /// Holds the end of a doubtful sighting back for a second look; everything else is passed on at once.
    fn hold_or_pass_on(&self, work: &mut Work, event: SightingEvent) {
        if let Some(end) = work.held.take(event.sighting.id) {
            self.pass_on(work, end);
        }
        let is_hidden = work.other_view.is_some()
            || work.analyser.is_blind()
            || self.masks_lie_wrong(work)
            || self.shutdown.is_set();
        let asking = Asking { settings: &self.vision, models: &self.models, is_hidden };
        if let Some(event) = work.held.hold(event, &asking) {
            self.pass_on(work, event);
        }
    }

    /// Whether there are masks and the camera looks elsewhere: nothing of its ring may be looked at behind them.
    fn masks_lie_wrong(&self, work: &Work) -> bool {
        !self.vision.privacy_mask.is_empty() && work.analyser.whereabouts().is_some_and(|w| w.is_elsewhere)
    }

    /// Passes on the ends that wait no more, or `all`.
    fn release(&self, work: &mut Work, all: bool) {
        let is_hidden = self.masks_lie_wrong(work);
        for Due { mut event, read } in work.held.due(all) {
            // What was read of a pass that is now found to have been looked at behind misplaced masks is not taken.
            let read = read.filter(|_| !is_hidden);
            if let Some(read) = read.filter(|read| work.analyser.put_right(event.sighting.id, read)) {
                self.correct(&mut event.sighting, read);
            }
            self.pass_on(work, event);
        }
    }

    /// Takes the read of a second look for that of the first.
    fn correct(&self, sighting: &mut Sighting, read: PlateRead) {
        let before = sighting.read.replace(read);
        let (was, is) = (before.as_ref(), sighting.read.as_ref());
        let changed = was.map(|read| &read.text) != is.map(|read| &read.text);
        if changed {
            self.health.second_reads.inc();
        }
        let [was, is] = [was, is].map(|read| read.map_or(0.0, |read| read.confidence));
        tracing::debug!(camera = %self.camera.id, sighting = %sighting.id, was, is, changed, "surer at the second look");
    }

    /// The stream is over: ends that wait are waited for, unless the stop is asked for.
    fn wait_for_looks(&self, work: &mut Work) {
        work.held.stir(false);
        while !work.held.is_empty() && !self.shutdown.wait(LOOK_EVERY) {
            self.pulse.beats("its second looks");
            self.release(work, false);
        }
        self.release(work, true);
    }

    fn pass_on(&self, work: &mut Work, event: SightingEvent) {
        if event.stage == Stage::End && !event.object {
            if event.sighting.read.is_some() { self.counters.reads.inc() } else { self.counters.unread.inc() }
        }
        let matcher = self.hotlists.matcher();
        let read = event.sighting.read.as_ref();
        let matches = read
            .filter(|read| !self.hotlists.ignores(&read.text))
            .map(|read| matcher.matches(read, self.clock.utc()))
            .unwrap_or_default();
        let lists: Vec<ListId> = matches.iter().map(|m| m.list.clone()).collect();
        let hits = work.told.hits(&event, matches, work.judge.causes(&event, &lists));
        // What is there for rules alone, none of which makes a hit of it, leaves no trace.
        if event.object && hits.is_empty() {
            return;
        }
        let new = hits.iter().filter(|h| h.stage == Stage::New).count();
        self.counters.hits.add(new as u64);
        let wish = Self::clip_of(&event, &hits, work);
        let sent = self.resting(true, "the recorder", || self.recorder.send(Entry { event, hits }));
        if let Err(error) = sent {
            self.counters.lost.inc();
            tracing::error!(camera = %self.camera.id, %error, "sighting lost: the recorder does not run");
        } else if let Some(wish) = wish {
            let is_file = !self.camera.is_newest_first();
            // Behind its hit: nothing of it is stored before that is.
            self.resting(is_file, "its clips", || {
                self.clips.ask(&View::of(&self.camera, &self.vision.privacy_mask), wish);
            });
        }
    }

    /// The clip that new hits want.
    fn clip_of(event: &SightingEvent, hits: &[Hit], work: &Work) -> Option<Wish> {
        let new = hits.iter().filter(|hit| hit.stage == Stage::New);
        let severity = new.map(|hit| hit.cause.severity()).max()?;
        let other = work.other_view.map(|[(w, h), (width, height)]| {
            format!("the main stream ({width}×{height}) shows another view than the substream ({w}×{h}) that masks are drawn for")
        });
        let whereabouts = work.analyser.whereabouts();
        let elsewhere = whereabouts.is_some_and(|w| w.is_elsewhere);
        let moved =
            || elsewhere.then(|| "the camera was moved or its view changed, and its masks lie wrong".to_owned());
        let other = other.or_else(moved);
        let sighting = &event.sighting;
        let is_person = sighting.class == Class::Person;
        let (id, begin, at) = (sighting.id, sighting.begin, event.cause_at);
        Some(Wish { id, severity, begin, at, is_person, unmaskable: other, size: work.size, whereabouts })
    }
}

/// What changes from frame to frame.
struct Work {
    analyser: Analyser,
    /// Which models it has.
    turn: u64,
    told: Told,
    judge: Judge,
    /// Time of the newest frame.
    newest: TimeMs,
    /// Its width and height.
    size: (u32, u32),
    /// The last frame that was looked at could not be analysed.
    faulty: bool,
    /// Vehicles can't be looked for.
    without_vehicles: bool,
    /// Sizes of the substream and of a main stream that is not read.
    other_view: Option<[(u32, u32); 2]>,
    /// Ends that wait for a second look.
    held: Held,
}

impl Work {
    /// Has one frame analysed, counts it and says when the models fail and when they work again.
    fn step(&mut self, frame: &Frame, camera: &CameraId, counters: &CameraCounters) -> Vec<SightingEvent> {
        match self.analyser.step(frame) {
            // A frame that was not looked at tells nothing of the models.
            Ok(events) if self.analyser.is_resting() || self.analyser.is_spared() => {
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

    /// Nobody looks again.
    fn held() -> Held {
        let looker = crate::supervise::second::Looker::start(Duration::ZERO, Health::new(), Clock::system()).unwrap();
        looker.looks().of(&camera::Settings::new(gate(), 1, "test://ball".parse().unwrap()))
    }

    fn work(motion_gate: bool) -> (Work, Arc<AtomicBool>) {
        let broken = Broken(Arc::new(AtomicBool::new(true)));
        let switch = Arc::clone(&broken.0);
        let settings = vision::Settings { motion_gate, ..vision::Settings::default() };
        let analyser = Analyser::with(Box::new(broken.clone()), Box::new(broken), settings, gate(), 1);
        let (told, newest) = (Told::default(), TimeMs(0));
        (
            Work {
                turn: 0,
                analyser,
                told,
                judge: Judge::default(),
                newest,
                size: (0, 0),
                faulty: false,
                without_vehicles: false,
                other_view: None,
                held: held(),
            },
            switch,
        )
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
        assert!(counters.rested.get() > 200 && counters.unanalysed.get() > 25, "both kinds of frames");
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
                CameraEvent::Quiet => {}
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
