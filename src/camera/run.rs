//! The loop that keeps one camera going: open, read, find stalls, back off, open again.
//!
//! Runs on the camera's own analysis thread and blocks it; frames are handed to a closure there. A live camera is
//! opened again for ever; a file is played once, and its failure is final, since a second pass would count its vehicles
//! twice.

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

/// What happens at a camera.
#[derive(Debug)]
pub enum CameraEvent {
    /// A frame.
    Frame(Frame),
    /// The source was opened again: times in the stream begin anew, and open tracks cannot be carried on.
    Reopened,
    /// The file is over; nothing comes after this.
    Ended,
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
        let mut first = true;
        while !shutdown.is_set() {
            let began = self.clock.monotonic();
            let error = match self.play(opener, std::mem::take(&mut first), shutdown, on) {
                Ok(Over::Asked) => break,
                Ok(Over::FileEnded) => {
                    self.counters.set_state(CameraState::Ended);
                    tracing::info!(%camera, frames = self.counters.received.get(), "file ended");
                    on(CameraEvent::Ended);
                    break;
                }
                Err(error) => error,
            };
            self.counters.failed.inc();
            self.counters.set_state(CameraState::Offline(error.to_string()));
            if !self.settings.uri.is_live() {
                tracing::error!(%camera, %error, "file failed");
                return Err(error);
            }
            let delay = rest.after(&error, self.clock.monotonic().saturating_sub(began));
            let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(%camera, %error, retry_ms, "camera failed, will be opened again");
            if shutdown.wait(delay) {
                break;
            }
        }
        Ok(())
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
                }
                Next::Idle => {
                    check_silence(&self.settings, source.as_ref(), self.clock.monotonic(), (newest, online))?;
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
    let waited = now.saturating_sub(newest);
    let slow = settings.slowest() * 3;
    if online {
        return if waited < settings.stall_after.max(slow) {
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

/// How long a camera is left alone after a failure.
#[derive(Debug)]
struct Rest {
    soon: Backoff,
    gently: Backoff,
    most: Duration,
}

impl Rest {
    fn new(settings: &Settings) -> Self {
        let (first, most) = settings.back_off_denied;
        Self {
            soon: Backoff::new(settings.back_off_first, settings.back_off_most),
            gently: Backoff::new(first, most),
            most: settings.back_off_most,
        }
    }

    /// The wait after a failure of an opening that lasted for `played`.
    fn after(&mut self, error: &Error, played: Duration) -> Duration {
        if played >= self.most {
            self.soon.reset();
            self.gently.reset();
        }
        match error.retry() {
            Retry::Soon => self.soon.wait(),
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
                &mut |_| panic!("no event"),
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
    fn the_wait_fits_the_failure_and_starts_anew_after_a_long_play() {
        let mut settings = settings("rtsp://h/");
        (settings.back_off_first, settings.back_off_most) = (Duration::from_millis(500), Duration::from_secs(30));
        let (first, most) = (settings.back_off_first, settings.back_off_most);
        let mut rest = Rest::new(&settings);
        let soft = Error::Closed { origin: String::new() };
        for n in 0..10_u32 {
            let full = (first * 2_u32.pow(n)).min(most);
            let wait = rest.after(&soft, Duration::ZERO);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        assert!(rest.after(&soft, most) <= first);
        let lasting = Error::NotBuilt { origin: String::new() };
        assert!(rest.after(&lasting, Duration::ZERO) >= most / 2);
    }

    #[test]
    fn a_refused_password_costs_fewer_than_five_openings_in_half_an_hour() {
        let mut rest = Rest::new(&settings("rtsp://h/"));
        let denied = Error::Denied { origin: String::new() };
        let mut at = Duration::ZERO;
        let mut attempts = 1;
        loop {
            at += rest.after(&denied, Duration::ZERO);
            if at > Duration::from_mins(30) {
                break;
            }
            attempts += 1;
        }
        assert!(attempts < 5, "{attempts} in 30 minutes");
        for _ in 0..10 {
            assert!(rest.after(&denied, Duration::ZERO) <= Duration::from_hours(1));
        }
    }
}
