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
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;

/// Takes decoded pictures in.
#[derive(Clone)]
pub(super) struct Intake {
    slot: Arc<Slot<Arrived>>,
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
        let mut first = None;
        let mut last = Duration::ZERO;
        let on_sample = move |sink: &app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // Running time: it begins with the stream and goes on over edit lists and new segments.
            let pts = running_time(&sample).unwrap_or(last);
            let pts = pts.saturating_sub(*first.get_or_insert(pts));
            last = pts;
            let arrived = Arrived { sample, index, at: intake.time_of(pts), pts };
            index += 1;
            intake.take_in(arrived)
        };
        sink.set_callbacks(app::AppSinkCallbacks::builder().new_sample(on_sample).build());
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
