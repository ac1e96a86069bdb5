//! What happens to a decoded picture in GStreamer's thread: stamped, counted, thinned, put into the slot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use crate::camera::Settings;
use crate::camera::coded::{Arrivals, place_in_file, running_time};
use crate::camera::frame::Arrived;
use crate::camera::idle::flow::{Behind, Owed};
use crate::camera::pace::Thinner;
use crate::camera::slot::Slot;
use crate::camera::times::Times;
use crate::camera::toil::Toil;
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::{CameraCounters, Worry};

/// So many stamps of one opening that cannot be believed are told.
const ODD_STAMPS: u32 = 10;

/// Takes decoded pictures in.
#[derive(Clone)]
pub(super) struct Intake {
    slot: Arc<Slot<Arrived>>,
    origin: String,
    clock: Clock,
    counters: Arc<CameraCounters>,
    toil: Option<Arc<Toil>>,
    opened: TimeMs,
    arrivals: Arc<Arrivals>,
    /// What must be seen of what an idle camera has kept.
    behind: Arc<Behind>,
    /// The newest picture wins.
    live: bool,
    /// Played by the clock although it is a file.
    realtime: bool,
    thinner: Thinner,
}

impl Intake {
    pub(super) fn new(
        settings: &Settings,
        clock: &Clock,
        (opened, arrivals, behind): (TimeMs, Arc<Arrivals>, Arc<Behind>),
        counters: Arc<CameraCounters>,
        slot: Arc<Slot<Arrived>>,
    ) -> Self {
        let realtime = settings.realtime && !settings.uri.is_live();
        Self {
            slot,
            origin: settings.uri.to_string(),
            clock: clock.clone(),
            counters,
            toil: settings.toil.clone(),
            opened,
            arrivals,
            behind,
            live: settings.uri.is_live() || realtime,
            realtime,
            thinner: Thinner::new(settings.fps),
        }
    }

    /// Takes pictures from `sink` from now on.
    pub(super) fn attach(&self, sink: &app::AppSink) {
        sink.set_sync(self.realtime);
        if !self.live {
            self.wait_before(sink);
        }
        let mut intake = self.clone();
        let mut index = 0;
        let mut times = Times::new(self.live);
        let mut odd = 0_u32;
        let mut last = None;
        self.counters.set_worry(Worry::Times, None);
        let on_sample = move |sink: &app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let Some(toil) = &intake.toil {
                toil.note();
            }
            if sample.buffer().is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED)) {
                intake.counters.damaged.inc();
                return Ok(gst::FlowSuccess::Ok);
            }
            // Running time: it begins with the stream and goes on over edit lists and new segments.
            let stamp = running_time(sample.segment(), sample.buffer().and_then(gst::BufferRef::pts));
            let owed = intake.behind.owes(stamp, last, intake.clock.monotonic());
            last = stamp;
            if owed == Owed::Again {
                return Ok(gst::FlowSuccess::Ok);
            }
            let (pts, believed) = times.place(stamp, intake.clock.monotonic());
            // A file without stamps, a row of JPEGs, is as it should be.
            if !believed && (intake.live || stamp.is_some()) {
                odd = odd.saturating_add(1);
                intake.tell_of(odd);
            }
            let arrived = Arrived { sample, index, at: intake.time_of(pts, stamp), pts };
            index += 1;
            intake.take_in(arrived, owed == Owed::Kept)
        };
        sink.set_callbacks(app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    }

    /// Waits for room before `sink` has the picture. Inside, the sink's lock would be held, and who opens the camera, and
    /// takes the pictures once it has, needs that to start the sink.
    fn wait_before(&self, sink: &app::AppSink) {
        let Some(entry) = sink.static_pad("sink") else { return };
        let slot = Arc::clone(&self.slot);
        entry.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            slot.wait_for_room();
            gst::PadProbeReturn::Ok
        });
    }

    /// Says once that stamps cannot be believed; a few are no worry.
    fn tell_of(&self, odd: u32) {
        if odd == ODD_STAMPS {
            tracing::warn!(uri = %self.origin, "stamps of the stream cannot be believed, arrival is taken instead");
            let why = "its time stamps leap or stand still; the arrival of its pictures is taken instead".to_owned();
            self.counters.set_worry(Worry::Times, Some(why));
        }
    }

    /// Arrival of its coded picture for a camera; for a file its opening and the place in it.
    fn time_of(&self, pts: Duration, stamp: Option<Duration>) -> TimeMs {
        let arrived = self.arrivals.decoded(stamp, pts);
        if self.live { arrived.unwrap_or_else(|| self.clock.utc()) } else { place_in_file(self.opened, pts) }
    }

    /// `kept`: it counts, though newer ones wait.
    fn take_in(&mut self, arrived: Arrived, kept: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.counters.received.inc();
        self.counters.last_frame_ms.store(self.clock.utc().0, Ordering::Relaxed);
        if !self.thinner.wants(arrived.pts) {
            self.counters.thinned.inc();
            return Ok(gst::FlowSuccess::Ok);
        }
        if self.live && !kept {
            if self.slot.offer(arrived) {
                self.counters.dropped.inc();
            }
        } else if !self.slot.put(arrived) {
            return Err(gst::FlowError::Flushing);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
