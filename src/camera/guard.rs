//! What may go into a decoder: pictures of an accepted size and kind, whole ones first, and not too many of them.
//!
//! Stands behind the parser that a decode text names `coded`, in GStreamer's thread, before anything is decoded or its
//! memory spent. A stream whose parameter sets name a size or a kind that is not accepted ends there, at its beginning
//! or in the middle. Pictures before the first key frame refer to what never came: they are dropped and counted. A live
//! stream may bring [`MOST_A_SECOND`] pictures for long; what is above is dropped up to the next key frame, counted and
//! told in the camera's state. What is let through is handed to the [`Keeper`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::coded::Keeper;
use super::frame::Arrived;
use super::slot::Slot;
use super::toil::Toil;
use super::{Error, fits};
use crate::clock::Clock;
use crate::health::{CameraCounters, Worry};

/// Pictures a second that a live stream may bring for long.
pub(super) const MOST_A_SECOND: f64 = 120.0;

/// Pictures that it may bring at once: cameras send what they have kept since the last key frame when they are opened.
const AT_ONCE: f64 = 600.0;

/// After too many, so many must have room before a key frame is let through.
const ROOM: f64 = 120.0;

/// For so long or so many pictures an H.264 stream without a key frame is kept back. Then it goes through: some renew
/// themselves in stripes and have none; the decoder marks what is not whole yet, and that is dropped later.
const KEY_PATIENCE: Duration = Duration::from_secs(10);
const KEY_PATIENCE_UNITS: u32 = 600;

/// So long after the last one too many the camera is well again.
const CALM: Duration = Duration::from_secs(10);

/// Watches one opening of a source.
pub(super) struct Guard {
    pub(super) origin: String,
    pub(super) live: bool,
    pub(super) slot: Arc<Slot<Arrived>>,
    pub(super) clock: Clock,
    pub(super) counters: Arc<CameraCounters>,
    /// Monotonic milliseconds of the last packet of the camera, 0 before the first.
    pub(super) heard_ms: Arc<AtomicU64>,
    /// Where its threads say that they get on.
    pub(super) toil: Option<Arc<Toil>>,
    /// Takes what is let through.
    pub(super) keeper: Keeper,
}

impl Guard {
    /// Notes when packets come from `pad`.
    pub(super) fn listen(&self, pad: &gst::Pad) {
        let (heard, clock, toil) = (Arc::clone(&self.heard_ms), self.clock.clone(), self.toil.clone());
        let probe = pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
            let now = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
            heard.store(now.max(1), Ordering::Relaxed);
            if let Some(toil) = &toil {
                toil.note();
            }
            gst::PadProbeReturn::Ok
        });
        debug_assert!(probe.is_some(), "a probe that is not for idle pads is always added");
    }

    /// Looks at everything that comes out of the parser at `pad`.
    pub(super) fn watch(self: &Arc<Self>, pad: &gst::Pad) {
        let guard = Arc::clone(self);
        let state = Mutex::new((Gate::new(self.live), None::<gst::Segment>));
        let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
        let probe = pad.add_probe(mask, move |_, info| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (gate, segment) = &mut *state;
            match &info.data {
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(caps) => return guard.on_caps(caps.caps(), gate),
                    gst::EventView::Segment(new) => {
                        *segment = Some(new.segment().clone());
                        guard.keeper.restart();
                    }
                    _ => {}
                },
                Some(gst::PadProbeData::Buffer(unit)) => {
                    if let Some(toil) = &guard.toil {
                        toil.note();
                    }
                    let told = guard.on_unit(unit.flags().contains(gst::BufferFlags::DELTA_UNIT), gate);
                    return if told == gst::PadProbeReturn::Ok {
                        guard.keeper.take(unit, segment.as_ref())
                    } else {
                        told
                    };
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        debug_assert!(probe.is_some(), "a probe that is not for idle pads is always added");
    }

    fn on_caps(&self, caps: &gst::CapsRef, gate: &mut Gate) -> gst::PadProbeReturn {
        gate.striped = caps.structure(0).is_some_and(|s| s.name() == "video/x-h264");
        match check_coded(caps, &self.origin) {
            Ok(()) => {
                self.keeper.begin(caps);
                gst::PadProbeReturn::Ok
            }
            Err(error) => {
                // Also what comes after: a decoder would take the new size from the stream itself.
                gate.refused = true;
                self.slot.finish(Err(error));
                // Not `Drop`: the binding has then released the event already, and GStreamer complains that it is gone.
                gst::PadProbeReturn::Handled
            }
        }
    }

    fn on_unit(&self, is_delta: bool, gate: &mut Gate) -> gst::PadProbeReturn {
        let now = self.clock.monotonic();
        match gate.admit(is_delta, now) {
            Admitted::Yes => {
                if gate.crowded.is_some_and(|at| now.saturating_sub(at) >= CALM) {
                    gate.crowded = None;
                    self.counters.set_worry(Worry::Rate, None);
                }
                return gst::PadProbeReturn::Ok;
            }
            Admitted::TooEarly => self.counters.damaged.inc(),
            Admitted::TooMany => {
                self.counters.received.inc();
                self.counters.dropped.inc();
                if gate.crowded.replace(now).is_none() {
                    tracing::warn!(uri = %self.origin, most = MOST_A_SECOND, "more pictures a second than are accepted");
                    let why = format!(
                        "sends more than {MOST_A_SECOND} pictures a second, not all are decoded: set fewer in the camera"
                    );
                    self.counters.set_worry(Worry::Rate, Some(why));
                }
            }
            Admitted::Never => {}
        }
        gst::PadProbeReturn::Drop
    }
}

/// What becomes of a coded picture.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Yes,
    /// There was no key frame yet.
    TooEarly,
    TooMany,
    /// The stream is refused.
    Never,
}

/// Lets coded pictures through.
#[derive(Debug)]
struct Gate {
    /// Counts pictures a second.
    live: bool,
    /// It may have no key frames at all.
    striped: bool,
    refused: bool,
    open: bool,
    /// When the first picture was kept back for want of a key frame, and how many were.
    kept_back: Option<(Duration, u32)>,
    room: f64,
    counted: Option<Duration>,
    /// When there was last one too many.
    crowded: Option<Duration>,
    shut_by_crowd: bool,
}

impl Gate {
    fn new(live: bool) -> Self {
        Self {
            live,
            striped: false,
            refused: false,
            open: false,
            kept_back: None,
            room: AT_ONCE,
            counted: None,
            crowded: None,
            shut_by_crowd: false,
        }
    }

    fn admit(&mut self, is_delta: bool, now: Duration) -> Admitted {
        if self.refused {
            return Admitted::Never;
        }
        if self.live {
            let since = now.saturating_sub(self.counted.replace(now).unwrap_or(now));
            self.room = (self.room + since.as_secs_f64() * MOST_A_SECOND).min(AT_ONCE);
        }
        if !self.open {
            if self.shut_by_crowd {
                if is_delta || self.room < ROOM {
                    return Admitted::TooMany;
                }
            } else if is_delta && !self.has_waited_enough(now) {
                return Admitted::TooEarly;
            }
            self.open = true;
            self.shut_by_crowd = false;
        }
        if self.live {
            if self.room < 1.0 {
                self.open = false;
                self.shut_by_crowd = true;
                return Admitted::TooMany;
            }
            self.room -= 1.0;
        }
        Admitted::Yes
    }

    fn has_waited_enough(&mut self, now: Duration) -> bool {
        let (since, units) = self.kept_back.get_or_insert((now, 0));
        *units = units.saturating_add(1);
        self.striped && (now.saturating_sub(*since) >= KEY_PATIENCE || *units > KEY_PATIENCE_UNITS)
    }
}

/// Whether a coded stream of these caps may be decoded.
fn check_coded(caps: &gst::CapsRef, origin: &str) -> Result<(), Error> {
    let Some(s) = caps.structure(0) else { return Ok(()) };
    let number = |field| s.get::<i32>(field).ok().and_then(|n| u32::try_from(n).ok());
    if let (Some(width), Some(height)) = (number("width"), number("height"))
        && !fits(width, height)
    {
        return Err(Error::TooLarge { origin: origin.to_owned(), width, height });
    }
    let chroma = s.get::<&str>("chroma-format").unwrap_or("4:2:0");
    let bits = |field| s.get::<u32>(field).unwrap_or(8);
    let (luma, other) = (bits("bit-depth-luma"), bits("bit-depth-chroma"));
    let known = match chroma {
        "4:2:0" | "4:2:2" | "4:4:4" => matches!(luma, 8 | 10 | 12) && other == luma,
        "4:0:0" => luma == 8,
        _ => false,
    };
    if known {
        return Ok(());
    }
    let found = if other == luma { format!("{luma}-bit {chroma}") } else { format!("{luma}/{other}-bit {chroma}") };
    Err(Error::Pixels { origin: origin.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn caps(text: &str) -> gst::Caps {
        super::super::pipeline::init().unwrap();
        gst::Caps::from_str(text).unwrap()
    }

    #[test]
    fn coded_streams_are_checked_before_they_are_decoded() {
        for (text, why) in [
            ("video/x-h264,width=8192,height=4320", "8192×4320"),
            ("video/x-h264,width=2305,height=4096", "2305×4096"),
            (
                "video/x-h265,chroma-format=(string)4:2:0,bit-depth-luma=(uint)14,bit-depth-chroma=(uint)14",
                "14-bit 4:2:0",
            ),
            (
                "video/x-h264,chroma-format=(string)4:2:0,bit-depth-luma=(uint)8,bit-depth-chroma=(uint)10",
                "8/10-bit 4:2:0",
            ),
            (
                "video/x-h265,chroma-format=(string)4:0:0,bit-depth-luma=(uint)10,bit-depth-chroma=(uint)10",
                "10-bit 4:0:0",
            ),
        ] {
            let error = check_coded(&caps(text), "cam").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        for text in [
            "video/x-h264,width=1919,height=1079",
            "video/x-h264,width=2304,height=4096",
            "video/x-h264",
            "video/x-h265,chroma-format=(string)4:2:2,bit-depth-luma=(uint)10,bit-depth-chroma=(uint)10",
            "video/x-h264,chroma-format=(string)4:0:0,bit-depth-luma=(uint)8,bit-depth-chroma=(uint)8",
        ] {
            check_coded(&caps(text), "cam").unwrap();
        }
    }

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn pictures_before_the_first_key_frame_are_kept_back() {
        let mut gate = Gate::new(true);
        assert_eq!(gate.admit(true, ms(0)), Admitted::TooEarly);
        assert_eq!(gate.admit(true, ms(9_000)), Admitted::TooEarly);
        assert_eq!(gate.admit(false, ms(9_040)), Admitted::Yes);
        assert_eq!(gate.admit(true, ms(9_080)), Admitted::Yes);
    }

    #[test]
    fn a_stream_that_renews_itself_in_stripes_goes_through_after_a_while() {
        let mut gate = Gate::new(true);
        gate.striped = true;
        assert_eq!(gate.admit(true, ms(0)), Admitted::TooEarly);
        assert_eq!(gate.admit(true, ms(9_999)), Admitted::TooEarly);
        assert_eq!(gate.admit(true, ms(10_000)), Admitted::Yes);
        let mut file = Gate::new(false);
        file.striped = true;
        let kept_back = (0..2_000).filter(|_| file.admit(true, ms(0)) == Admitted::TooEarly).count();
        assert_eq!(kept_back, 600);
    }

    /// Pictures of `seconds` at `fps` with a key frame every `gop` that go through.
    fn admitted(gate: &mut Gate, seconds: u64, fps: u64, gop: u64) -> u64 {
        let passes = |n: &u64| {
            gate.admit(!n.is_multiple_of(gop), Duration::from_nanos(n * 1_000_000_000 / fps)) == Admitted::Yes
        };
        (0..seconds * fps).filter(passes).count() as u64
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_usual_passes_whole() {
        assert_eq!(admitted(&mut Gate::new(true), 60, 120, 50), 7_200);
        assert_eq!(admitted(&mut Gate::new(false), 60, 1_000, 50), 60_000, "of a file every frame counts");
        let flood = admitted(&mut Gate::new(true), 60, 1_000, 50);
        assert!((600..=600 + 60 * 120).contains(&flood), "{flood}");
        // Even without another key frame.
        assert!(admitted(&mut Gate::new(true), 60, 1_000, u64::MAX) <= 1_000);
    }

    #[test]
    fn what_a_camera_has_kept_comes_through_at_once() {
        let mut gate = Gate::new(true);
        assert!((0..500).all(|n| gate.admit(n != 0, ms(0)) == Admitted::Yes));
    }

    #[test]
    fn after_a_refusal_nothing_goes_through() {
        let mut gate = Gate::new(true);
        gate.refused = true;
        assert_eq!(gate.admit(false, ms(0)), Admitted::Never);
    }
}
