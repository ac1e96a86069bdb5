//! Coded pictures on their way to the decoder: what time they are of, and who keeps them.
//!
//! Stands behind the parser, in GStreamer's thread, after the guard has let a picture through. A coded picture and the
//! frame that the decoder makes of it have one stamp and so one time: [`Arrivals`] says when the coded picture arrived
//! and which place in the stream its frame has, also for a frame that is decoded seconds later. The picture goes into
//! the camera's [`Ring`]; the buffers are shared, not copied. Then the [`Flow`] decides whether it is decoded now.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use super::idle::flow::Flow;
use super::ring::{Coded, Ring};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;

/// Arrivals that are remembered: 12 s at the most pictures a second that a camera may send.
const REMEMBERED: usize = 1_500;

/// A stamp that is so much later or earlier than the one before it is another count of time. Pictures come in the order
/// of decoding, so a little earlier is usual.
const LATER: Duration = Duration::from_secs(15);
const EARLIER: Duration = Duration::from_secs(2);

/// Step of a stream whose stamps say nothing.
const USUAL: Duration = Duration::from_millis(40);

/// How often decoded frames must contradict what coded pictures are placed by until they are believed.
const CONTRADICTED: u32 = 50;

/// Which time each picture is of, for those that keep coded pictures and those that take decoded ones. Two threads.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Place in the stream minus stamp, nanoseconds; `None` before the first picture.
    offset: Option<i128>,
    /// The coded picture before: its stamp, its place, when it came (monotonic).
    last: Option<(Option<Duration>, Duration, Duration)>,
    contradicted: u32,
    /// Stamp and arrival of the last coded pictures, in the order of decoding.
    seen: VecDeque<(Duration, TimeMs)>,
    /// The time that the last frame was given.
    shown: TimeMs,
}

impl Arrivals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A coded picture with this stamp came at `at`, `now` on the monotonic clock. Its place in the stream.
    pub(super) fn coded(&self, stamp: Option<Duration>, at: TimeMs, now: Duration) -> Duration {
        let mut state = self.state();
        let place = state.place(stamp, now);
        state.last = Some((stamp, place, now));
        if let Some(stamp) = stamp {
            if state.seen.len() >= REMEMBERED {
                state.seen.pop_front();
            }
            state.seen.push_back((stamp, at));
        }
        place
    }

    /// A frame with this stamp was given this place. When its coded picture arrived; `None` where that is not known.
    /// Never earlier than that of the frame before, but when the clock was set back: B-frames arrive after the picture
    /// that they are shown before.
    pub(super) fn decoded(&self, stamp: Option<Duration>, place: Duration) -> Option<TimeMs> {
        let mut state = self.state();
        let stamp = stamp?;
        state.believe(nanos(place) - nanos(stamp));
        let found = state.seen.iter().rposition(|(s, _)| *s == stamp)?;
        let at = state.seen.get(found)?.1;
        let reordered = state.shown > at && state.shown.since(at) < 2_000;
        if !reordered {
            state.shown = at;
        }
        Some(state.shown)
    }
}

impl State {
    fn place(&mut self, stamp: Option<Duration>, now: Duration) -> Duration {
        let Some((before, place, arrived)) = self.last else {
            self.offset = stamp.map(|stamp| -nanos(stamp));
            return Duration::ZERO;
        };
        let waited = now.saturating_sub(arrived);
        let Some(stamp) = stamp else { return place + if waited.is_zero() { USUAL } else { waited } };
        let near = before.is_some_and(|before| stamp + EARLIER >= before && stamp <= before + waited + LATER);
        match self.offset {
            Some(offset) if near => duration(nanos(stamp) + offset),
            _ => {
                let place = if before.is_some() { place + waited } else { place };
                self.offset = Some(nanos(place) - nanos(stamp));
                place
            }
        }
    }

    /// What decoded frames are placed by counts; but a frame of before a leap of the stamps says nothing of after it.
    fn believe(&mut self, offset: i128) {
        let near = self.offset.is_none_or(|own| (own - offset).unsigned_abs() < EARLIER.as_nanos());
        self.contradicted = if near { 0 } else { self.contradicted + 1 };
        if near || self.contradicted > CONTRADICTED {
            (self.offset, self.contradicted) = (Some(offset), 0);
        }
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

/// The place of a stamp in running time: it begins with the stream and goes on over edit lists and new segments.
pub(super) fn running_time(segment: Option<&gst::Segment>, stamp: Option<gst::ClockTime>) -> Option<Duration> {
    let segment = segment?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time_full(stamp?)?;
    Some(Duration::from_nanos(time.positive_or(()).map_or(0, gst::ClockTime::nseconds)))
}

/// Puts the coded pictures of one opening of a source into the camera's ring, and those that are wanted into the decoder.
pub(super) struct Keeper {
    pub(super) counters: Arc<CameraCounters>,
    /// Decides what is decoded; without it everything is.
    pub(super) flow: Option<Flow>,
    pub(super) ring: Option<Arc<Ring>>,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) clock: Clock,
    /// When the source was opened; a file's pictures are of this time and their place.
    pub(super) opened: TimeMs,
    /// The time of arrival counts.
    pub(super) live: bool,
}

impl Keeper {
    /// What comes from now on is of this form.
    pub(super) fn begin(&self, caps: &gst::CapsRef) {
        self.restart();
        if let Some(ring) = &self.ring {
            ring.begin(caps.to_owned());
        }
    }

    /// Times are counted anew from here on.
    pub(super) fn restart(&self) {
        if let Some(flow) = &self.flow {
            flow.begin();
        }
    }

    /// Takes a picture that the guard lets through. Whether it goes on to the decoder.
    pub(super) fn take(&self, unit: &gst::Buffer, segment: Option<&gst::Segment>) -> gst::PadProbeReturn {
        let stamp = running_time(segment, unit.pts());
        self.keep(unit, stamp);
        self.flow.as_ref().map_or(gst::PadProbeReturn::Ok, |flow| flow.take(unit, stamp, segment))
    }

    fn keep(&self, unit: &gst::Buffer, stamp: Option<Duration>) {
        let utc = self.clock.utc();
        let pts = self.arrivals.coded(stamp, utc, self.clock.monotonic());
        let Some(ring) = &self.ring else { return };
        let at = if self.live { utc } else { place_in_file(self.opened, pts) };
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        ring.push(Coded { at, pts, is_key, unit: unit.clone() });
        self.counters.ring_bytes.store(ring.bytes() as u64, Ordering::Relaxed);
    }
}

/// The time of a picture of a file that was opened then.
pub(super) fn place_in_file(opened: TimeMs, pts: Duration) -> TimeMs {
    TimeMs(opened.0.saturating_add(u64::try_from(pts.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Coded at the same time as their stamps say, from 1 s on.
    fn coded(arrivals: &Arrivals, stamp: u64) -> Duration {
        arrivals.coded(Some(ms(stamp)), TimeMs(stamp), ms(stamp))
    }

    #[test]
    fn a_frame_has_the_time_at_which_its_coded_picture_arrived_however_late_it_is_decoded() {
        let arrivals = Arrivals::default();
        for stamp in [1_000, 1_120, 1_040, 1_080] {
            coded(&arrivals, stamp);
        }
        let at = |stamp: u64, place: u64| arrivals.decoded(Some(ms(stamp)), ms(place));
        assert_eq!(at(1_000, 0), Some(TimeMs(1_000)));
        assert_eq!([at(1_040, 40), at(1_080, 80)], [Some(TimeMs(1_040)), Some(TimeMs(1_080))]);
        assert_eq!([at(1_120, 120), at(1_160, 160)], [Some(TimeMs(1_120)), None], "none came with that stamp");
    }

    #[test]
    fn the_time_of_frames_does_not_go_back_but_with_the_clock() {
        let arrivals = Arrivals::default();
        // In the order of decoding: what is shown last arrived second.
        for (stamp, at) in [(0, 50_000), (120, 50_040), (40, 50_080), (80, 50_120), (160, 1_000)] {
            arrivals.coded(Some(ms(stamp)), TimeMs(at), ms(at));
        }
        let at: Vec<u64> =
            [0, 40, 80, 120, 160].map(|s| arrivals.decoded(Some(ms(s)), ms(s)).unwrap().0).into_iter().collect();
        assert_eq!(at, [50_000, 50_080, 50_120, 50_120, 1_000]);
    }

    #[test]
    fn coded_pictures_have_the_places_of_their_frames() {
        let arrivals = Arrivals::default();
        assert_eq!([1_000, 1_120, 1_040].map(|s| coded(&arrivals, s)), [ms(0), ms(120), ms(40)]);
        // The first frame could not be shown: the places of the others begin with the second.
        arrivals.decoded(Some(ms(1_040)), ms(0));
        assert_eq!(coded(&arrivals, 1_160), ms(120));
    }

    #[test]
    fn a_leap_of_the_stamps_is_none_of_the_places() {
        let arrivals = Arrivals::default();
        coded(&arrivals, 1_000);
        arrivals.decoded(Some(ms(1_000)), ms(0));
        assert_eq!(arrivals.coded(Some(ms(9_000_000)), TimeMs(1_040), ms(1_040)), ms(40));
        // A frame of before the leap comes late and changes nothing; one of after it may correct a little.
        arrivals.decoded(Some(ms(1_020)), ms(20));
        assert_eq!(arrivals.coded(Some(ms(9_000_040)), TimeMs(1_080), ms(1_080)), ms(80));
        arrivals.decoded(Some(ms(9_000_000)), ms(45));
        assert_eq!(arrivals.coded(Some(ms(9_000_080)), TimeMs(1_120), ms(1_120)), ms(125));
        // Without a stamp the time of arrival counts.
        assert_eq!(arrivals.coded(None, TimeMs(1_160), ms(1_160)), ms(165));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let arrivals = Arrivals::default();
        for n in 0..5_000 {
            coded(&arrivals, n * 8);
        }
        assert_eq!(arrivals.state().seen.len(), REMEMBERED);
    }
}
