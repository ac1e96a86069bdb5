//! What becomes of a camera whose hardware decoder fails: it is decoded by software, from then on until the program or the camera's settings begin anew.
//!
//! A decoder is unproven until it has given a frame and gone on for [`PROVEN_AFTER`]. What fails before its first frame is opened
//! again by software at once, within the same opening: no frame was told, so none is told twice. What fails later, but unproven, is
//! an error of the camera like others, and its next opening is by software. Only faults that are the decoder's count: a camera
//! that is not reached says nothing about it. It holds for `auto` and for hardware texts that are named; a text of one's
//! own, given by path, is done as it says.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{AUTO, Api, Survey, choices};
use crate::camera::{Error, Next, Settings, Source, open_decoded};
use crate::clock::Clock;
use crate::health::{CameraCounters, Worry};

/// A decoder that goes on for so long works.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// Workers that are lost one after the other before the first frame: the driver may be why. One loss may be another camera's.
const LOSSES: u32 = 2;
/// Of the time that a key frame is given, the share after which a decoder that is fed and gives nothing is at fault.
const PATIENCE: f32 = 0.8;

/// Whether a camera's hardware decoder was given up, and why; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct GivenUp(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    why: Option<String>,
    losses: u32,
}

impl GivenUp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it was, as the camera's status says it.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.state().why.clone()
    }

    /// A worker was lost before the first frame; whether that was once too often.
    fn lost(&self) -> bool {
        let mut state = self.state();
        state.losses += 1;
        state.losses >= LOSSES
    }
}

/// The settings as they are opened now: `auto` becomes the texts of what this machine has; none of the hardware's where its decoder
/// was given up.
#[must_use]
pub fn resolved(settings: &Settings) -> Cow<'_, Settings> {
    let is_auto = settings.pipeline.as_deref() == Some(AUTO);
    let is_named = settings.pipeline.as_deref().is_some_and(|name| Api::of_text(name).is_some());
    if !is_auto && !is_named {
        return Cow::Borrowed(settings);
    }
    if settings.given_up.why().is_some() {
        return Cow::Owned(by_software(settings));
    }
    if is_named {
        return Cow::Borrowed(settings);
    }
    let found = choices(&settings.uri, &Survey::now()).into_iter();
    let decoders = found.filter(|(_, choice)| choice.api.is_some()).map(|(_, choice)| choice.text).collect();
    Cow::Owned(Settings { pipeline: None, decoders, ..settings.clone() })
}

fn by_software(settings: &Settings) -> Settings {
    Settings { pipeline: None, decoders: Vec::new(), ..settings.clone() }
}

/// Opens the source of `settings`, with the decoder that is chosen for it.
///
/// # Errors
/// As [`super::super::open`].
pub(in crate::camera) fn open(
    settings: &Settings,
    clock: &Clock,
    counters: Arc<CameraCounters>,
) -> Result<Box<dyn Source>, Error> {
    let now = resolved(settings);
    counters.set_worry(Worry::Decoder, settings.given_up.why());
    let is_named = now.pipeline.as_deref().is_some_and(|name| Api::of_text(name).is_some());
    if !is_named && now.decoders.is_empty() {
        return open_decoded(&now, clock, counters);
    }
    let mut opening = Opening { settings: now.into_owned(), clock: clock.clone(), counters, opened: clock.monotonic() };
    let source = match open_decoded(&opening.settings, clock, Arc::clone(&opening.counters)) {
        Ok(source) => source,
        Err(error) if opening.is_to_blame(&error) => opening.again(&error)?,
        Err(error) => return Err(error),
    };
    Ok(Box::new(Unproven { source, opening: Some(opening), frames: false }))
}

/// An opening with a decoder of the hardware.
struct Opening {
    settings: Settings,
    clock: Clock,
    counters: Arc<CameraCounters>,
    opened: Duration,
}

impl Opening {
    fn is_to_blame(&self, error: &Error) -> bool {
        match error {
            Error::Decoder { .. } => true,
            Error::MissingElement { pipeline, .. } | Error::Pipeline { pipeline, .. } => {
                Api::of_text(pipeline).is_some()
            }
            Error::Worker { .. } => self.settings.given_up.lost(),
            _ => false,
        }
    }

    fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.opened)
    }

    /// Says once that the decoder is given up, and notes it for the openings to come.
    fn give_up(&self, error: &Error) {
        let why = format!("its hardware decoder failed, the camera is decoded by software: {error}");
        let names = self.settings.pipeline.iter().chain(&self.settings.decoders);
        let pipeline = names.map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::warn!(camera = %self.settings.id, pipeline, %error, "a hardware decoder failed, the camera is decoded by software from here on");
        self.counters.set_worry(Worry::Decoder, Some(why.clone()));
        self.settings.given_up.state().why = Some(why);
    }

    /// The same source, decoded by software.
    fn again(&mut self, error: &Error) -> Result<Box<dyn Source>, Error> {
        self.give_up(error);
        self.settings = by_software(&self.settings);
        open_decoded(&self.settings, &self.clock, Arc::clone(&self.counters))
    }
}

/// A source whose decoder has yet to show that it works.
struct Unproven {
    source: Box<dyn Source>,
    /// Until it is proven, or given up.
    opening: Option<Opening>,
    frames: bool,
}

impl Unproven {
    /// Something came, or the decoder is fed and gives nothing for too long.
    fn look(&mut self, is_frame: bool) -> Option<Error> {
        self.frames |= is_frame;
        let opening = self.opening.as_ref()?;
        let age = opening.age();
        if self.frames {
            opening.settings.given_up.state().losses = 0;
            if age >= PROVEN_AFTER {
                self.opening = None;
            }
            return None;
        }
        let is_fed = opening.settings.is_newest_first() && self.source.heard().is_some();
        let (patience, origin) =
            (opening.settings.key_frame_within.mul_f32(PATIENCE), opening.settings.uri.to_string());
        (is_fed && age >= patience).then_some(Error::NoKeyFrame { origin, waited: age })
    }

    /// Goes on by software, which has the time of a new opening's silence left.
    fn replace(&mut self, error: &Error) -> Result<Next, Error> {
        let Some(mut opening) = self.opening.take() else { return Ok(Next::Idle) };
        // Its threads stop first: a device may let one in at a time.
        self.source = Box::new(Nothing);
        self.source = opening.again(error)?;
        Ok(Next::Idle)
    }
}

impl Source for Unproven {
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        let error = match self.source.next(wait) {
            Ok(next) => match self.look(matches!(next, Next::Frame(_))) {
                Some(silent) => return self.replace(&silent),
                None => return Ok(next),
            },
            Err(error) => error,
        };
        match self.opening.as_ref().filter(|opening| opening.is_to_blame(&error)) {
            Some(_) if !self.frames => self.replace(&error),
            Some(opening) => {
                opening.give_up(&error);
                Err(error)
            }
            None => Err(error),
        }
    }

    fn heard(&self) -> Option<Duration> {
        self.source.heard()
    }

    fn length(&self) -> Option<Duration> {
        self.source.length()
    }

    fn can_stall(&self) -> bool {
        self.source.can_stall()
    }
}

/// Stands where a source was closed and the next one is not yet open.
struct Nothing;

impl Source for Nothing {
    fn next(&mut self, _wait: Duration) -> Result<Next, Error> {
        Ok(Next::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::replay::{Pace, Picture, ReplaySource};
    use super::*;
    use crate::domain::CameraId;

    /// Gives one frame where it is to, then this error.
    struct Fails(Option<ReplaySource>, fn() -> Error);

    impl Source for Fails {
        fn next(&mut self, wait: Duration) -> Result<Next, Error> {
            self.0.take().map_or_else(|| Err(self.1()), |mut one| one.next(wait))
        }
    }

    fn unproven(gives_a_frame: bool, error: fn() -> Error, uri: &str) -> (Unproven, Settings) {
        let settings = Settings::new(CameraId::new("gate").unwrap(), 1, uri.parse().unwrap());
        let settings = Settings { pipeline: Some("file-h264-va".to_owned()), ..settings };
        let (clock, counters) = (Clock::system(), Arc::new(CameraCounters::default()));
        let one = || {
            let pictures = vec![Picture::grey(16, 8, 99)];
            ReplaySource::new(pictures, 25.0, Some(1), Pace::AsTaken, Clock::system(), Arc::default())
        };
        let source = Box::new(Fails(gives_a_frame.then(one), error));
        let opened = clock.monotonic();
        let opening = Some(Opening { settings: settings.clone(), clock, counters, opened });
        (Unproven { source, opening, frames: false }, settings)
    }

    fn decoder() -> Error {
        Error::Decoder { origin: "gate".into(), pipeline: "file-h264-va".into(), why: "no surface".into() }
    }

    fn lost() -> Error {
        Error::Worker { origin: "gate".into(), why: "was killed".into() }
    }

    #[test]
    fn a_decoder_that_fails_soon_after_its_first_frame_is_given_up_for_the_next_opening() {
        let (mut source, settings) = unproven(true, decoder, "rtsp://192.0.2.7/x");
        let next = |source: &mut Unproven| source.next(Duration::from_secs(5));
        assert!(matches!(next(&mut source), Ok(Next::Frame(_))));
        assert!(matches!(next(&mut source), Err(Error::Decoder { .. })), "no frame is told twice");
        assert!(settings.given_up.why().unwrap().contains("no surface"));
        assert!(resolved(&settings).pipeline.is_none());
        // What has worked for longer is a camera's failure like others.
        let (mut source, settings) = unproven(true, decoder, "rtsp://192.0.2.7/x");
        source.opening.as_mut().unwrap().opened = Duration::ZERO;
        if source.opening.as_ref().unwrap().age() >= PROVEN_AFTER {
            assert!(matches!(next(&mut source), Ok(Next::Frame(_))));
            assert!(next(&mut source).is_err() && settings.given_up.why().is_none());
        }
    }

    #[test]
    fn one_worker_that_is_lost_says_nothing_of_the_decoder_and_a_second_one_does() {
        let (mut source, settings) = unproven(false, lost, "/nowhere/a.mp4");
        assert!(matches!(source.next(Duration::ZERO), Err(Error::Worker { .. })));
        assert!(settings.given_up.why().is_none());
        let (mut again, _) = unproven(false, lost, "/nowhere/a.mp4");
        again.opening.as_mut().unwrap().settings.given_up = settings.given_up.clone();
        // By software; there is no such file.
        assert!(matches!(again.next(Duration::ZERO), Err(Error::Unreadable { .. })));
        assert!(settings.given_up.why().unwrap().contains("was killed"));
    }
}
