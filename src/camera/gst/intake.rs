//! What happens to a decoded picture in GStreamer's thread: stamped, counted, thinned, put into the slot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gstreamer as gst;
use gstreamer_app as app;

use crate::camera::Settings;
use crate::camera::frame::Arrived;
use crate::camera::pace::Thinner;
use crate::camera::slot::Slot;
use crate::camera::times::Times;
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
    opened: TimeMs,
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
        counters: Arc<CameraCounters>,
        slot: Arc<Slot<Arrived>>,
    ) -> Self {
        let realtime = settings.realtime && !settings.uri.is_live();
        Self {
            slot,
            origin: settings.uri.to_string(),
            clock: clock.clone(),
            counters,
            opened: clock.utc(),
            live: settings.uri.is_live() || realtime,
            realtime,
            thinner: Thinner::new(settings.fps),
        }
    }

    /// Takes pictures from `sink` from now on.
    pub(super) fn attach(&self, sink: &app::AppSink) {
        sink.set_sync(self.realtime);
        let mut intake = self.clone();
        let mut index = 0;
        let mut times = Times::new(self.live);
        let mut odd = 0_u32;
        self.counters.set_worry(Worry::Times, None);
        let on_sample = move |sink: &app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if sample.buffer().is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED)) {
                intake.counters.damaged.inc();
                return Ok(gst::FlowSuccess::Ok);
            }
            // Running time: it begins with the stream and goes on over edit lists and new segments.
            let stamp = running_time(&sample);
            let (pts, believed) = times.place(stamp, intake.clock.monotonic());
            // A file without stamps, a row of JPEGs, is as it should be.
            if !believed && (intake.live || stamp.is_some()) {
                odd = odd.saturating_add(1);
                intake.tell_of(odd);
            }
            let arrived = Arrived { sample, index, at: intake.time_of(pts), pts };
            index += 1;
            intake.take_in(arrived)
        };
        sink.set_callbacks(app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    }

    /// Says once that stamps cannot be believed; a few are no worry.
    fn tell_of(&self, odd: u32) {
        if odd == ODD_STAMPS {
            tracing::warn!(uri = %self.origin, "stamps of the stream cannot be believed, arrival is taken instead");
            let why = "its time stamps leap or stand still; the arrival of its pictures is taken instead".to_owned();
            self.counters.set_worry(Worry::Times, Some(why));
        }
    }

    /// Arrival for a camera; for a file its opening and the place in it.
    fn time_of(&self, pts: Duration) -> TimeMs {
        if self.live {
            self.clock.utc()
        } else {
            TimeMs(self.opened.0.saturating_add(u64::try_from(pts.as_millis()).unwrap_or(u64::MAX)))
        }
    }

    fn take_in(&mut self, arrived: Arrived) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.counters.received.inc();
        self.counters.last_frame_ms.store(self.clock.utc().0, Ordering::Relaxed);
        if !self.thinner.wants(arrived.pts) {
            self.counters.thinned.inc();
            return Ok(gst::FlowSuccess::Ok);
        }
        if self.live {
            if self.slot.offer(arrived) {
                self.counters.dropped.inc();
            }
        } else if !self.slot.put(arrived) {
            return Err(gst::FlowError::Flushing);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

fn running_time(sample: &gst::Sample) -> Option<Duration> {
    let pts = sample.buffer()?.pts()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    Some(Duration::from_nanos(segment.to_running_time(pts)?.nseconds()))
}
