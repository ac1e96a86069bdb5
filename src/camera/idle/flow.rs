//! The sluice in a GStreamer pipeline: what it lets through goes into a queue, whose thread decodes.
//!
//! Called behind the parser, in the source's thread, which must never wait for a decoder: a network camera's jitter
//! buffer holds a second. The kept pictures are put into the queue in one go, and [`Behind`] lets every frame of them be
//! seen, one after the other, until the decoder has caught up or [`WITHIN`] is over; then the newest wins again. A queue
//! that holds more than [`MOST_WAITING`] beyond what was kept means that the box decodes too slowly: the stream is then
//! cut to its next key frame, and what is cut is counted as dropped.
//!
//! At rest the decoder is told that the stream is played by its key frames alone (a segment's flag): it gives each one
//! out at once, instead of waiting for pictures that could be shown before it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Idle;
use super::sluice::{About, LONGEST, Sluice, Turn, Unable};
use crate::camera::Error;
use crate::clock::Clock;
use crate::health::{CameraCounters, Decoding};

/// Catching up ends after this time at the latest.
const WITHIN: Duration = Duration::from_secs(3);

/// A frame so much older than the newest coded picture is behind: more than B-frames wait to be shown.
const IS_BEHIND: Duration = Duration::from_millis(250);

/// What may wait for the decoder beside what was kept.
const MOST_WAITING: Duration = Duration::from_secs(1);

/// Pictures and bytes that may wait, whatever their stamps say.
const MOST_PICTURES: u32 = 1_500;
const MOST_BYTES: u32 = 48 << 20;

/// One stream's sluice.
pub(in crate::camera) struct Flow {
    idle: Arc<Idle>,
    behind: Arc<Behind>,
    counters: Arc<CameraCounters>,
    clock: Clock,
    origin: String,
    state: Mutex<State>,
}

struct State {
    sluice: Sluice<gst::Buffer>,
    /// The queue, and where it takes pictures in.
    queue: Option<(gst::Element, gst::Pad)>,
    /// What the decoder was told at rest, but for the flag.
    segment: Option<gst::Segment>,
    /// The decoder was too slow: shut until the next key frame.
    shut: bool,
    told: Decoding,
}

impl Flow {
    pub(in crate::camera) fn new(
        idle: &Arc<Idle>,
        behind: &Arc<Behind>,
        counters: &Arc<CameraCounters>,
        clock: &Clock,
        origin: &str,
    ) -> Self {
        counters.set_decoding(Decoding::All);
        Self {
            idle: Arc::clone(idle),
            behind: Arc::clone(behind),
            counters: Arc::clone(counters),
            clock: clock.clone(),
            origin: origin.to_owned(),
            state: Mutex::new(State {
                sluice: Sluice::default(),
                queue: None,
                segment: None,
                shut: false,
                told: Decoding::All,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the queue between the parser's pad and what it is linked to.
    ///
    /// # Errors
    /// [`Error::Pipeline`] when the elements do not fit.
    pub(in crate::camera) fn insert(&self, bin: &gst::Bin, out: &gst::Pad) -> Result<(), Error> {
        let faulty = |why: &str| Error::Pipeline { pipeline: self.origin.clone(), why: why.to_owned() };
        let made = gst::ElementFactory::make("queue")
            .name("kept")
            // What waits is bounded here: a full queue would hold up the source.
            .property("max-size-buffers", 0_u32)
            .property("max-size-bytes", 0_u32)
            .property("max-size-time", 0_u64)
            .property("silent", true)
            .build();
        let queue = made.map_err(|_| faulty("there is no element queue; apt-get install libgstreamer1.0-0"))?;
        let linked = || {
            let (entry, exit) = (queue.static_pad("sink")?, queue.static_pad("src")?);
            let decoder = out.peer()?;
            bin.add(&queue).ok()?;
            out.unlink(&decoder).ok()?;
            out.link(&entry).ok()?;
            exit.link(&decoder).ok()?;
            Some(entry)
        };
        let entry = linked().ok_or_else(|| faulty("its queue cannot be linked behind the element \"coded\""))?;
        self.state().queue = Some((queue, entry));
        Ok(())
    }

    /// Another form of pictures, or another count of time, begins: everything is decoded at first.
    pub(in crate::camera) fn begin(&self) {
        self.stop_resting(&mut self.state());
    }

    /// Decodes what was kept, and everything from here on.
    fn stop_resting(&self, state: &mut State) {
        let was_resting = state.sluice.is_resting();
        let kept = state.sluice.reset();
        if let (true, Some((_, entry)), Some(segment)) = (was_resting, &state.queue, &state.segment) {
            send(entry, segment, false);
            self.catch_up(entry, kept, self.behind.newest());
        }
        self.say(state, was_resting);
    }

    /// Decides what becomes of a coded picture. Blocks for no longer than it takes to put what was kept into a queue.
    pub(in crate::camera) fn take(
        &self,
        unit: &gst::Buffer,
        stamp: Option<Duration>,
        segment: Option<&gst::Segment>,
    ) -> gst::PadProbeReturn {
        let mut state = self.state();
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if let Some(stamp) = stamp {
            self.behind.came(stamp);
        }
        if let Some((queue, _)) = state.queue.clone()
            && self.is_shut(&mut state, &queue, is_key)
        {
            return gst::PadProbeReturn::Drop;
        }
        let (Some(stamp), Some(segment), Some((_, entry))) = (stamp, segment, state.queue.clone()) else {
            // What cannot be placed in time cannot be rested on.
            self.stop_resting(&mut state);
            return gst::PadProbeReturn::Ok;
        };
        let was_resting = state.sluice.is_resting();
        let turn = state.sluice.take(unit, About { is_key, bytes: unit.size(), stamp }, self.idle.heard());
        let told = match turn {
            Turn::Decode => gst::PadProbeReturn::Ok,
            Turn::Rest => {
                state.segment = Some(segment.clone());
                send(&entry, segment, true);
                gst::PadProbeReturn::Ok
            }
            Turn::Glance(gone) => {
                self.skip(gone);
                gst::PadProbeReturn::Ok
            }
            Turn::Skip(gone) => {
                self.skip(gone);
                // It came, though it is not decoded: the camera is alive.
                self.counters.last_frame_ms.store(self.clock.utc().0, Ordering::Relaxed);
                gst::PadProbeReturn::Drop
            }
            Turn::WakeHere(gone) => {
                self.skip(gone);
                send(&entry, segment, false);
                gst::PadProbeReturn::Ok
            }
            Turn::Wake(kept) => {
                send(&entry, segment, false);
                self.catch_up(&entry, kept, stamp);
                gst::PadProbeReturn::Ok
            }
        };
        self.say(&mut state, was_resting);
        told
    }

    /// Gives the decoder what was kept.
    fn catch_up(&self, entry: &gst::Pad, kept: Vec<gst::Buffer>, until: Duration) {
        self.idle.wake();
        self.behind.begin(until, self.clock.monotonic() + WITHIN);
        let key = kept.first().and_then(|b| b.pts());
        for (n, unit) in kept.into_iter().enumerate() {
            // Pictures that are shown before the key frame refer to those before it, which were not decoded.
            if n > 0 && unit.pts() < key {
                self.skip(1);
            } else if entry.chain(unit).is_err() {
                return;
            }
        }
    }

    fn skip(&self, pictures: usize) {
        self.counters.skipped.add(pictures as u64);
    }

    /// Whether the decoder has too much to do already.
    fn is_shut(&self, state: &mut State, queue: &gst::Element, is_key: bool) -> bool {
        if state.sluice.is_resting() {
            return false;
        }
        if !state.shut || is_key {
            let waiting = Duration::from_nanos(queue.property::<u64>("current-level-time"));
            let most = MOST_WAITING + if self.behind.is_catching_up() { LONGEST } else { Duration::ZERO };
            let crowd = queue.property::<u32>("current-level-buffers") > MOST_PICTURES
                || queue.property::<u32>("current-level-bytes") > MOST_BYTES;
            state.shut = waiting > most || crowd;
        }
        if state.shut {
            self.counters.received.inc();
            self.counters.dropped.inc();
        }
        state.shut
    }

    /// Tells others when it began or ceased to rest, and why it does not.
    fn say(&self, state: &mut State, was_resting: bool) {
        let rests = state.sluice.is_resting();
        if rests != was_resting {
            self.idle.rests(rests);
        }
        let decoding = match (rests, state.sluice.unable()) {
            (true, _) => Decoding::KeyFrames,
            (false, None) => Decoding::All,
            (false, Some(Unable::Keys(_))) => Decoding::AllForKeys,
            (false, Some(Unable::Sizes)) => Decoding::AllForSizes,
        };
        if decoding != state.told {
            state.told = decoding;
            tracing::debug!(uri = %self.origin, ?decoding, "decodes");
            if let Some(Unable::Keys(apart)) = state.sluice.unable().filter(|_| decoding == Decoding::AllForKeys) {
                tracing::info!(uri = %self.origin, ?apart, most = ?LONGEST, "key frames are too far apart to decode them alone");
            }
            self.counters.set_decoding(decoding);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.sluice.is_resting() {
            self.idle.rests(false);
        }
        self.counters.skipped.add(state.sluice.reset().len().saturating_sub(1) as u64);
        self.counters.set_decoding(Decoding::All);
    }
}

/// Says how the stream goes on: by its key frames, or whole.
fn send(entry: &gst::Pad, segment: &gst::Segment, keys_alone: bool) {
    let mut segment = segment.clone();
    let flags = segment.flags();
    let trick = gst::SegmentFlags::TRICKMODE_KEY_UNITS;
    segment.set_flags(if keys_alone { flags | trick } else { flags - trick });
    entry.send_event(gst::event::Segment::new(&segment));
}

/// How far decoded frames are behind what came from the camera: said by the source's thread, asked by the decoder's.
#[derive(Debug, Default)]
pub(in crate::camera) struct Behind {
    /// Nanoseconds of running time of the newest coded picture.
    newest: AtomicU64,
    is_catching_up: AtomicBool,
    /// Every picture up to this place counts, and catching up ends at this time (monotonic).
    bounds: Mutex<(Duration, Duration)>,
}

/// What a frame is to the one who takes it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::camera) enum Owed {
    /// The newest wins.
    Nothing,
    /// It was kept: it must be seen.
    Kept,
    /// It was decoded before.
    Again,
}

impl Behind {
    fn came(&self, stamp: Duration) {
        self.newest.fetch_max(u64::try_from(stamp.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn newest(&self) -> Duration {
        Duration::from_nanos(self.newest.load(Ordering::Relaxed))
    }

    fn begin(&self, until: Duration, ends: Duration) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = (until, ends);
        self.is_catching_up.store(true, Ordering::Release);
    }

    pub(in crate::camera) fn is_catching_up(&self) -> bool {
        self.is_catching_up.load(Ordering::Acquire)
    }

    /// What the frame of this stamp is, the one before it having had `last`, at `now` (monotonic).
    pub(in crate::camera) fn owes(&self, stamp: Option<Duration>, last: Option<Duration>, now: Duration) -> Owed {
        let Some(stamp) = stamp.filter(|_| self.is_catching_up()) else { return Owed::Nothing };
        if last == Some(stamp) {
            return Owed::Again;
        }
        let (until, ends) = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest();
        if now < ends && (stamp <= until || newest.saturating_sub(stamp) > IS_BEHIND) {
            return Owed::Kept;
        }
        self.is_catching_up.store(false, Ordering::Release);
        Owed::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_was_kept_counts_and_what_came_meanwhile_until_it_is_caught_up() {
        let behind = Behind::default();
        behind.came(ms(2_000));
        assert_eq!(behind.owes(Some(ms(2_000)), None, ms(0)), Owed::Nothing);
        behind.begin(ms(2_000), ms(3_000));
        let owes = |stamp, last, now| behind.owes(Some(ms(stamp)), Some(ms(last)), ms(now));
        assert_eq!(owes(1_000, 1_000, 10), Owed::Again, "the key frame that was shown at rest");
        assert_eq!([owes(1_040, 1_000, 20), owes(2_000, 1_960, 200)], [Owed::Kept, Owed::Kept]);
        behind.came(ms(2_400));
        assert_eq!(owes(2_040, 2_000, 210), Owed::Kept, "it came while the kept ones were decoded");
        assert_eq!([owes(2_200, 2_160, 250), owes(2_240, 2_200, 260)], [Owed::Nothing, Owed::Nothing]);
    }

    #[test]
    fn a_box_that_never_catches_up_goes_on_with_the_newest() {
        let behind = Behind::default();
        behind.begin(ms(5_000), ms(3_000));
        assert_eq!(behind.owes(Some(ms(100)), None, ms(2_999)), Owed::Kept);
        assert_eq!(behind.owes(Some(ms(140)), None, ms(3_000)), Owed::Nothing);
        assert!(!behind.is_catching_up());
    }
}
