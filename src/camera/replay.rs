//! Frames without a camera: pictures in memory, given over and over.
//!
//! For tests and benches of what comes after the camera. Needs no GStreamer. Counts like a real source: `received`
//! for every frame, `dropped` for those that nobody took in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, Next, Source};
use crate::clock::Clock;
use crate::domain::frame::OwnedI420;
use crate::domain::{Frame, FrameFormat, Pixels, TimeMs};
use crate::health::CameraCounters;

/// One picture that is replayed; frames share its pixels.
#[derive(Debug, Clone)]
pub struct Picture {
    format: FrameFormat,
    pixels: Arc<OwnedI420>,
}

impl Picture {
    /// From packed RGB rows of `width * height * 3` bytes.
    #[must_use]
    pub fn from_rgb(rgb: &[u8], width: u32, height: u32) -> Self {
        let (format, pixels) = OwnedI420::from_rgb(rgb, width, height);
        Self { format, pixels: Arc::new(pixels) }
    }

    /// All pixels of one grey.
    #[must_use]
    pub fn grey(width: u32, height: u32, luma: u8) -> Self {
        Self::from_rgb(&vec![luma; width as usize * height as usize * 3], width, height)
    }
}

struct Shared(Arc<OwnedI420>);

impl Pixels for Shared {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.plane(index)
    }
}

/// How frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are taken, none lost: like a file.
    AsTaken,
    /// By the clock; the newest due one is given, those before it are dropped and counted: like a camera.
    ByClock,
}

/// Gives pictures in turn, `fps` a second of stream time.
#[derive(Debug)]
pub struct ReplaySource {
    pictures: Vec<Picture>,
    fps: f64,
    frames: Option<u64>,
    pace: Pace,
    clock: Clock,
    counters: Arc<CameraCounters>,
    began_utc: TimeMs,
    began: Duration,
    next: u64,
}

impl ReplaySource {
    /// Replays `pictures` in turn, `frames` in all or for ever; the clock starts now.
    #[must_use]
    pub fn new(
        pictures: Vec<Picture>,
        fps: f32,
        frames: Option<u64>,
        pace: Pace,
        clock: Clock,
        counters: Arc<CameraCounters>,
    ) -> Self {
        let fps = f64::from(fps).clamp(0.001, 1_000_000.0);
        let (began_utc, began) = (clock.utc(), clock.monotonic());
        Self { pictures, fps, frames, pace, clock, counters, began_utc, began, next: 0 }
    }

    /// Place in the stream of frame `index`.
    fn pts(&self, index: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "2^53 frames are 11 million years")]
        let index = index as f64;
        Duration::try_from_secs_f64(index / self.fps).unwrap_or(Duration::MAX)
    }

    fn frame(&mut self, index: u64, at: TimeMs) -> Next {
        let turn = usize::try_from(index).unwrap_or(0).checked_rem(self.pictures.len());
        let Some(picture) = turn.and_then(|n| self.pictures.get(n)) else { return Next::End };
        self.counters.received.inc();
        self.counters.last_frame_ms.store(at.0, Ordering::Relaxed);
        self.next = index + 1;
        let pixels = Box::new(Shared(Arc::clone(&picture.pixels)));
        Next::Frame(Frame::new(picture.format, at, self.pts(index), index, pixels))
    }
}

impl Source for ReplaySource {
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        if self.frames.is_some_and(|n| self.next >= n) || self.pictures.is_empty() {
            return Ok(Next::End);
        }
        if self.pace == Pace::AsTaken {
            let since = u64::try_from(self.pts(self.next).as_millis()).unwrap_or(u64::MAX);
            let at = TimeMs(self.began_utc.0.saturating_add(since));
            return Ok(self.frame(self.next, at));
        }
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        let early = self.pts(self.next).saturating_sub(elapsed);
        if !early.is_zero() {
            std::thread::sleep(early.min(wait));
            if early > wait || self.clock.monotonic().saturating_sub(self.began) < self.pts(self.next) {
                return Ok(Next::Idle);
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; time is not negative")]
        let due = (elapsed.as_secs_f64() * self.fps) as u64;
        let last = self.frames.map_or(u64::MAX, |n| n.saturating_sub(1));
        let newest = due.min(last).max(self.next);
        self.counters.received.add(newest - self.next);
        self.counters.dropped.add(newest - self.next);
        let at = self.clock.utc();
        Ok(self.frame(newest, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;

    #[test]
    fn by_the_clock_the_newest_due_frame_comes_and_the_others_are_counted() {
        let clock = SimClock::at(TimeMs(1_000));
        let counters = Arc::new(CameraCounters::default());
        let pictures = vec![Picture::grey(4, 4, 10), Picture::grey(4, 4, 20)];
        let at = Clock::of(Arc::clone(&clock) as Arc<_>);
        let mut source = ReplaySource::new(pictures, 10.0, Some(20), Pace::ByClock, at, Arc::clone(&counters));
        let mut next = || source.next(Duration::ZERO).unwrap();

        let Next::Frame(frame) = next() else { panic!("the first is due at once") };
        assert_eq!((frame.index, frame.luma().data[0]), (0, 10));
        assert!(matches!(next(), Next::Idle));
        clock.advance(Duration::from_millis(520));
        let Next::Frame(frame) = next() else { panic!("five are due") };
        assert_eq!((frame.index, frame.at, frame.pts), (5, TimeMs(1_520), Duration::from_millis(500)));
        assert_eq!(frame.luma().data[0], 20);
        clock.advance(Duration::from_mins(1));
        assert!(matches!(next(), Next::Frame(f) if f.index == 19));
        assert!(matches!(next(), Next::End));
        assert_eq!((counters.received.get(), counters.dropped.get()), (20, 17));
    }

    #[test]
    fn as_taken_every_frame_comes_with_the_time_of_its_place() {
        let counters = Arc::new(CameraCounters::default());
        let clock = Clock::of(SimClock::at(TimeMs(5_000)));
        let pictures = vec![Picture::grey(4, 4, 10)];
        let mut source = ReplaySource::new(pictures, 25.0, Some(3), Pace::AsTaken, clock, Arc::clone(&counters));
        let mut times = Vec::new();
        while let Next::Frame(frame) = source.next(Duration::ZERO).unwrap() {
            times.push(frame.at.0);
        }
        assert_eq!(times, [5_000, 5_040, 5_080]);
        assert_eq!((counters.received.get(), counters.dropped.get()), (3, 0));
    }
}
