//! The loop that keeps one camera going: open, read, find stalls, back off, open again.
//!
//! Runs on the camera's own analysis thread and blocks it; frames are handed to a closure there. A live camera is
//! opened again for ever; a file is played once, and its failure is final, since a second pass would count its vehicles
//! twice. The loss of its decode worker is none of its failures: it goes on where it was (one that is played at its own pace begins again, as a
//! camera's pictures go on with what comes), until [`MOST_IN_VAIN`] workers were lost over the same picture.

use std::sync::Arc;
use std::time::Duration;

use super::error::Retry;
use super::{Error, Next, Settings, Source, open};
use crate::backoff::{Backoff, spread};
use crate::clock::Clock;
use crate::domain::Frame;
use crate::health::{CameraCounters, CameraState};
use crate::shutdown::Shutdown;

/// How long the loop waits for a frame before it looks at the stop flag and the stall watch.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A camera that goes on failing in the same way is told so often: it is opened every few seconds.
const TELL_EVERY: Duration = Duration::from_mins(10);

/// Decode workers that are lost one after the other over a file without one picture more, until it is given up.
const MOST_IN_VAIN: u32 = 3;

/// What happens at a camera.
#[derive(Debug)]
pub enum CameraEvent {
    /// A frame.
    Frame(Frame),
    /// The source was opened again: times in the stream begin anew, and open tracks cannot be carried on.
    Reopened,
    /// The file is over; nothing comes after this.
    Ended,
    /// No frame came for a moment, or the camera is not open: said a few times a second.
    Quiet,
}

/// One camera with what it needs to be kept going.
#[derive(Debug)]
pub struct Camera {
    settings: Settings,
    clock: Clock,
    counters: Arc<CameraCounters>,
}

/// Why one opening of the source is over without an error.
enum Over {
    FileEnded,
    Asked,
}

/// Opens a source; called again after each failure.
pub type Opener<'a> = dyn FnMut() -> Result<Box<dyn Source>, Error> + 'a;

impl Camera {
    /// A camera that is not yet open.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock, counters: Arc<CameraCounters>) -> Self {
        Self { settings, clock, counters }
    }

    /// Keeps the camera going until its file is over or `shutdown` is set, and hands every event to `on`.
    ///
    /// # Errors
    /// A file that cannot be opened or played to its end ([`CameraEvent::Ended`] is then not sent). Never for a live
    /// camera: its failures are logged, counted and shown in its state.
    pub fn run(&self, shutdown: &Shutdown, on: &mut dyn FnMut(CameraEvent)) -> Result<(), Error> {
        self.run_from(&mut || open(&self.settings, &self.clock, Arc::clone(&self.counters)), shutdown, on)
    }

    /// [`Camera::run`] with sources of one's own, such as [`super::replay::ReplaySource`].
    ///
    /// # Errors
    /// As [`Camera::run`].
    pub fn run_from(
        &self,
        opener: &mut Opener<'_>,
        shutdown: &Shutdown,
        on: &mut dyn FnMut(CameraEvent),
    ) -> Result<(), Error> {
        let camera = &self.settings.id;
        let mut rest = Rest::new(&self.settings);
        let mut told = Told::default();
        let mut first = true;
        // Of a file: its pictures so far, those when a worker was lost last, and how often that was in vain.
        let (mut given, mut known, mut vain) = (0_u64, None, 0_u32);
        while !shutdown.is_set() {
            let (began, received) = (self.clock.monotonic(), self.counters.received.get());
            let counted = &mut |event| {
                given += u64::from(matches!(event, CameraEvent::Frame(_)));
                on(event);
            };
            let error = match self.play(opener, std::mem::take(&mut first), shutdown, counted) {
                Ok(Over::Asked) => break,
                Ok(Over::FileEnded) => {
                    self.counters.set_state(CameraState::Ended);
                    tracing::info!(%camera, frames = self.counters.received.get(), "file ended");
                    on(CameraEvent::Ended);
                    break;
                }
                Err(error) => error,
            };
            self.counters.set_state(CameraState::Offline(error.to_string()));
            self.counters.failed.inc();
            if !self.settings.uri.is_live() {
                vain = if known.replace(given) == Some(given) { vain + 1 } else { 1 };
                if !matches!(error, Error::Worker { .. }) || vain >= MOST_IN_VAIN {
                    tracing::error!(%camera, %error, "file failed");
                    return Err(error);
                }
                // Nothing begins anew where it goes on.
                first = !self.settings.is_newest_first();
            }
            let now = self.clock.monotonic();
            let delay = rest.after(&error, now.saturating_sub(began), self.counters.received.get() > received);
            let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            if told.is_news(&error, self.counters.received.get(), now) {
                tracing::warn!(%camera, %error, retry_ms, "camera failed, will be opened again");
            } else {
                tracing::debug!(%camera, %error, retry_ms, "camera failed as before, will be opened again");
            }
            if Self::leave_alone(delay, shutdown, on) {
                break;
            }
        }
        Ok(())
    }

    /// Waits before the next try; true when the stop was asked for.
    fn leave_alone(mut delay: Duration, shutdown: &Shutdown, on: &mut dyn FnMut(CameraEvent)) -> bool {
        while !delay.is_zero() {
            let wait = delay.min(LOOK_EVERY);
            if shutdown.wait(wait) {
                return true;
            }
            on(CameraEvent::Quiet);
            delay -= wait;
        }
        shutdown.is_set()
    }

    /// One opening of the source, until it fails, ends or is asked to stop.
    fn play(
        &self,
        opener: &mut Opener<'_>,
        first: bool,
        shutdown: &Shutdown,
        on: &mut dyn FnMut(CameraEvent),
    ) -> Result<Over, Error> {
        let mut source = opener()?;
        self.counters.opened.inc();
        tracing::debug!(camera = %self.settings.id, uri = %self.settings.uri, "camera opened");
        let mut newest = self.clock.monotonic();
        let mut looked = newest;
        let mut online = false;
        while !shutdown.is_set() {
            match source.next(LOOK_EVERY)? {
                Next::Frame(frame) => {
                    if !online {
                        self.say_online(&frame);
                        if !first {
                            on(CameraEvent::Reopened);
                        }
                        online = true;
                    }
                    on(CameraEvent::Frame(frame));
                    // After the closure: the time it took is not the camera's silence.
                    newest = self.clock.monotonic();
                    looked = newest;
                }
                Next::Idle => {
                    on(CameraEvent::Quiet);
                    let now = self.clock.monotonic();
                    newest += stood_still(now.saturating_sub(looked));
                    looked = now;
                    check_silence(&self.settings, source.as_ref(), now, (newest, online))?;
                }
                Next::End => return Ok(Over::FileEnded),
            }
        }
        Ok(Over::Asked)
    }

    fn say_online(&self, frame: &Frame) {
        let (width, height) = (frame.format.width, frame.format.height);
        tracing::info!(camera = %self.settings.id, uri = %self.settings.uri, width, height, "camera online");
        self.counters.set_state(CameraState::Online);
    }
}

/// For how long this process, or the machine, stood still between two looks `apart`: a look waits [`LOOK_EVERY`] at most. What a camera sent
/// meanwhile is still to be seen, so such a time is no silence of its own.
fn stood_still(apart: Duration) -> Duration {
    apart.saturating_sub(LOOK_EVERY * 2)
}

/// Whether a camera has been silent for too long `now`: `newest` is the time of its last frame or its opening, `online`
/// whether a frame has come at all.
pub(super) fn check_silence(
    settings: &Settings,
    source: &dyn Source,
    now: Duration,
    (newest, online): (Duration, bool),
) -> Result<(), Error> {
    if !source.can_stall() {
        return Ok(());
    }
    let origin = || settings.uri.to_string();
    // At rest frames are seconds apart: what comes coded tells that the camera is alive, for as long as it rests on a
    // group of pictures. A decoder that gives no frame of it is silent all the same.
    let is_idle = online && settings.idle.as_ref().is_some_and(|idle| idle.is_idle());
    let decoded = newest + super::idle::sluice::LONGEST;
    let newest = if is_idle { source.heard().map_or(newest, |heard| heard.min(decoded).max(newest)) } else { newest };
    let waited = now.saturating_sub(newest);
    let slow = settings.slowest() * 3;
    if online {
        // What is left out to keep `fps` is no silence.
        return if waited < settings.stall_after.max(slow) + settings.thinned() {
            Ok(())
        } else {
            Err(Error::Stalled { origin: origin(), waited })
        };
    }
    let heard = source.heard().map_or(newest, |heard| heard.max(newest));
    if now.saturating_sub(heard) >= settings.first_frame_within.max(slow) {
        return Err(Error::Stalled { origin: origin(), waited });
    }
    if heard > newest && waited >= settings.key_frame_within {
        return Err(Error::NoKeyFrame { origin: origin(), waited });
    }
    Ok(())
}

/// What the log was told of a camera's failures.
#[derive(Debug, Default)]
struct Told {
    /// Kinds of failure and when each was told; there are some twenty.
    last: Vec<(std::mem::Discriminant<Error>, Duration)>,
    /// Frames that had come by then.
    received: u64,
}

impl Told {
    /// Whether a failure `now` is another than those before, or comes after frames, or was long not told.
    fn is_news(&mut self, error: &Error, received: u64, now: Duration) -> bool {
        let kind = std::mem::discriminant(error);
        if received != self.received {
            self.last.clear();
            self.received = received;
        }
        self.last.retain(|(_, at)| now < *at + TELL_EVERY);
        let is_known = self.last.iter().any(|(last, _)| *last == kind);
        if !is_known {
            self.last.push((kind, now));
        }
        !is_known
    }
}

/// How long a camera is left alone after a failure: one that works again is to be seen again within ten seconds, whatever
/// was before.
#[derive(Debug)]
struct Rest {
    soon: Backoff,
    gently: Backoff,
    most: Duration,
    least: Duration,
}

impl Rest {
    fn new(settings: &Settings) -> Self {
        let (first, most) = settings.back_off_denied;
        Self {
            soon: Backoff::new(settings.back_off_first, settings.back_off_most),
            gently: Backoff::new(first, most),
            most: settings.back_off_most,
            least: settings.back_off_first / 2,
        }
    }

    /// The wait after a failure of an opening that lasted for `played` and gave frames or none. From one opening to the next
    /// it is no longer than the longest wait: a try that hung has waited already.
    fn after(&mut self, error: &Error, played: Duration, frames: bool) -> Duration {
        // A refusal that was long in coming is no play: an account is locked by it all the same.
        if frames && played >= self.most {
            self.soon.reset();
            self.gently.reset();
        }
        match error.retry() {
            Retry::Soon => self.soon.wait().min(self.most.saturating_sub(played)).max(self.least),
            Retry::Seldom => spread(self.most),
            Retry::Gently => self.gently.wait(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay::{Pace, Picture, ReplaySource};
    use super::*;
    use crate::domain::CameraId;

    fn settings(uri: &str) -> Settings {
        let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, uri.parse().unwrap());
        settings.stall_after = Duration::from_millis(60);
        settings.first_frame_within = Duration::from_millis(60);
        settings.back_off_first = Duration::from_millis(1);
        settings.back_off_most = Duration::from_millis(4);
        settings
    }

    fn camera(uri: &str) -> (Camera, Arc<CameraCounters>) {
        let counters = Arc::new(CameraCounters::default());
        (Camera::new(settings(uri), Clock::system(), Arc::clone(&counters)), counters)
    }

    fn replay(frames: u64, counters: &Arc<CameraCounters>) -> ReplaySource {
        let pictures = vec![Picture::grey(16, 8, 99)];
        ReplaySource::new(pictures, 25.0, Some(frames), Pace::AsTaken, Clock::system(), Arc::clone(counters))
    }

    /// Gives the frames of a replay, then what it is told to.
    struct Then(ReplaySource, fn() -> Result<Next, Error>);

    impl Source for Then {
        fn next(&mut self, wait: Duration) -> Result<Next, Error> {
            match self.0.next(wait)? {
                Next::End => {
                    std::thread::sleep(Duration::from_millis(5));
                    (self.1)()
                }
                next => Ok(next),
            }
        }
    }

    #[test]
    fn a_file_gives_every_frame_and_one_end() {
        let (camera, counters) = camera("clip.mp4");
        let mut events = Vec::new();
        camera
            .run_from(&mut || Ok(Box::new(replay(5, &counters))), &Shutdown::new(), &mut |e| {
                events.push(match e {
                    CameraEvent::Quiet => return,
                    CameraEvent::Frame(f) => f.index,
                    CameraEvent::Reopened => 100,
                    CameraEvent::Ended => 200,
                });
            })
            .unwrap();
        assert_eq!(events, [0, 1, 2, 3, 4, 200]);
        assert_eq!(counters.state(), CameraState::Ended);
        assert_eq!((counters.opened.get(), counters.failed.get(), counters.received.get()), (1, 0, 5));
    }

    #[test]
    fn a_silent_camera_is_found_and_opened_again() {
        let (camera, counters) = camera("rtsp://127.0.0.1/none");
        let shutdown = Shutdown::new();
        let mut reopened = 0;
        camera
            .run_from(&mut || Ok(Box::new(Then(replay(2, &counters), || Ok(Next::Idle)))), &shutdown, &mut |e| {
                if matches!(e, CameraEvent::Reopened) {
                    reopened += 1;
                    assert_eq!(counters.failed.get(), reopened);
                    if reopened == 3 {
                        shutdown.trigger();
                    }
                }
            })
            .unwrap();
        assert_eq!(reopened, 3);
        assert_eq!(counters.opened.get(), 4);
    }

    #[test]
    fn a_pause_of_the_machine_is_no_silence_of_a_camera() {
        /// A camera of ten frames a second that waits for one; all stands still for longer than it may be silent, once.
        struct Still(ReplaySource, u32);
        impl Source for Still {
            fn next(&mut self, wait: Duration) -> Result<Next, Error> {
                self.1 += 1;
                match self.1 {
                    20 => {
                        std::thread::sleep(LOOK_EVERY * 4);
                        Ok(Next::Idle)
                    }
                    n if n % 2 == 0 => Ok(Next::Idle),
                    _ => self.0.next(wait),
                }
            }
        }
        let (mut camera, counters) = camera("rtsp://127.0.0.1/none");
        camera.settings.stall_after = LOOK_EVERY * 3;
        let (shutdown, mut frames) = (Shutdown::new(), 0);
        camera
            .run_from(&mut || Ok(Box::new(Still(replay(100, &counters), 0))), &shutdown, &mut |e| {
                frames += u32::from(matches!(e, CameraEvent::Frame(_)));
                if frames == 15 {
                    shutdown.trigger();
                }
            })
            .unwrap();
        assert_eq!((counters.opened.get(), counters.failed.get()), (1, 0));
    }

    #[test]
    fn a_camera_of_which_few_frames_are_taken_is_not_taken_for_a_silent_one() {
        let mut settings = settings("rtsp://127.0.0.1/none");
        (settings.stall_after, settings.fps) = (Duration::from_secs(4), Some(0.2));
        let source = Then(replay(1, &Arc::default()), || Ok(Next::Idle));
        let after =
            |s: u64| check_silence(&settings, &source, Duration::from_secs(100 + s), (Duration::from_secs(100), true));
        after(5).unwrap();
        after(8).unwrap();
        assert!(matches!(after(9), Err(Error::Stalled { .. })));
    }

    #[test]
    fn a_live_failure_is_shown_and_retried_and_a_file_failure_is_final() {
        let closed = || Err(Error::Closed { origin: "x".into() });
        let (camera_live, counters) = camera("rtsp://127.0.0.1/none");
        let shutdown = Shutdown::new();
        let mut calls = 0;
        camera_live
            .run_from(
                &mut || {
                    calls += 1;
                    if calls == 4 {
                        shutdown.trigger();
                    }
                    closed()
                },
                &shutdown,
                &mut |event| assert!(matches!(event, CameraEvent::Quiet), "{event:?}"),
            )
            .unwrap();
        assert_eq!(calls, 4);
        assert_eq!(counters.state(), CameraState::Offline("x: ended the stream".into()));

        let (camera_file, counters) = camera("clip.mp4");
        let error = camera_file.run_from(&mut || closed(), &Shutdown::new(), &mut |_| ()).unwrap_err();
        assert!(matches!(error, Error::Closed { .. }));
        assert_eq!(counters.failed.get(), 1);
    }

    #[test]
    fn a_file_outlives_its_worker_but_not_three_over_the_same_picture() {
        let (camera, counters) = camera("clip.mp4");
        let lost = || Err(Error::Worker { origin: "x".into(), why: "ended".into() });
        let (mut calls, mut frames) = (0, 0);
        let error = camera
            .run_from(
                &mut || {
                    calls += 1;
                    Ok(Box::new(Then(replay(if calls < 3 { 2 } else { 0 }, &counters), lost)))
                },
                &Shutdown::new(),
                &mut |event| match event {
                    CameraEvent::Frame(_) => frames += 1,
                    CameraEvent::Quiet => {}
                    other => panic!("{other:?}: it goes on where it was"),
                },
            )
            .unwrap_err();
        assert!(matches!(error, Error::Worker { .. }));
        assert_eq!((calls, frames, counters.failed.get()), (4, 4, 4));
    }

    #[test]
    fn the_wait_fits_the_failure_and_starts_anew_after_a_long_play() {
        let mut settings = settings("rtsp://h/");
        (settings.back_off_first, settings.back_off_most) = (Duration::from_millis(500), Duration::from_secs(30));
        let (first, most) = (settings.back_off_first, settings.back_off_most);
        let mut rest = Rest::new(&settings);
        let soft = Error::Closed { origin: String::new() };
        for n in 0..10_u32 {
            let full = (first * 2_u32.pow(n)).min(most);
            let wait = rest.after(&soft, Duration::ZERO, false);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        assert!(rest.after(&soft, most, true) <= first);
        let lasting = Error::NotBuilt { origin: String::new() };
        assert!(rest.after(&lasting, Duration::ZERO, false) >= most / 2);
        for _ in 0..10 {
            assert!(rest.after(&soft, most / 2, false) <= most / 2, "the try itself has waited");
        }
        assert!(rest.after(&soft, Duration::from_millis(29_999), false) >= first / 2);
    }

    #[test]
    fn the_same_failure_is_told_every_ten_minutes_and_another_one_at_once() {
        let mut told = Told::default();
        let closed = || Error::Closed { origin: "x".into() };
        let stalled = |s| Error::Stalled { origin: "x".into(), waited: Duration::from_secs(s) };
        let at = Duration::from_secs;
        assert!(told.is_news(&closed(), 9, at(1)));
        assert!(!told.is_news(&closed(), 9, at(7)));
        assert!(told.is_news(&stalled(4), 9, at(12)));
        assert!(!told.is_news(&stalled(5), 9, at(20)));
        assert!(!told.is_news(&closed(), 9, at(26)), "two that take turns are two");
        assert!(!told.is_news(&stalled(4), 9, at(611)));
        assert!(told.is_news(&stalled(4), 9, at(612)));
        assert!(told.is_news(&stalled(4), 10, at(620)), "there were frames between");
    }

    #[test]
    fn a_refused_password_costs_fewer_than_five_openings_in_half_an_hour() {
        let mut rest = Rest::new(&settings("rtsp://h/"));
        let denied = Error::Denied { origin: String::new() };
        let mut at = Duration::ZERO;
        let mut attempts = 1;
        loop {
            // Some are slow to refuse, on purpose.
            at += rest.after(&denied, Duration::from_secs(7), false);
            if at > Duration::from_mins(30) {
                break;
            }
            attempts += 1;
        }
        assert!(attempts < 5, "{attempts} in 30 minutes");
        for _ in 0..10 {
            assert!(rest.after(&denied, Duration::ZERO, false) <= Duration::from_hours(1));
        }
    }
}
