//! Clips of hits in a build without GStreamer: there are none.

use std::sync::Arc;
use std::time::Duration;

use crate::camera;
use crate::clock::Clock;
use crate::domain::{CameraId, EventId, Polygon, Severity, TimeMs};
use crate::health::Health;
use crate::store::RecorderHandle;
use crate::vision::view::Whereabouts;

/// See the build with GStreamer.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "made of the configuration in every build")]
pub(super) struct Settings {
    pub before: Duration,
    pub after: Duration,
    pub bytes: usize,
    pub severity: Severity,
}

/// Nothing of a camera is needed.
#[derive(Debug, Clone)]
pub(super) struct View;

/// Nobody grants it.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "asked for in every build")]
pub(super) struct Wish {
    pub id: EventId,
    pub severity: Severity,
    pub begin: TimeMs,
    pub at: TimeMs,
    pub is_person: bool,
    pub unmaskable: Option<String>,
    pub size: (u32, u32),
    pub whereabouts: Option<Whereabouts>,
}

/// Nobody looks at it.
#[allow(dead_code, reason = "made in every build")]
pub(super) struct Look<'a> {
    pub at: TimeMs,
    pub may_wait: bool,
    pub whereabouts: Option<Whereabouts>,
    pub seen: &'a dyn Fn(EventId) -> Option<TimeMs>,
}

/// Takes no wishes.
#[derive(Clone)]
pub(super) struct Clips;

/// Makes none.
pub(super) struct Maker;

impl View {
    pub(super) fn of(_: &camera::Settings, _: &[Polygon]) -> Self {
        Self
    }
}

impl Maker {
    #[expect(clippy::unnecessary_wraps, reason = "as in the build with GStreamer")]
    pub(super) fn start(_: Settings, _: RecorderHandle, _: Arc<Health>, _: Clock) -> std::io::Result<Self> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "as in the build with GStreamer")]
    pub(super) fn clips(&self) -> Clips {
        Clips
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as in the build with GStreamer")]
    pub(super) fn finish(self, _: Duration) -> Result<(), std::thread::JoinHandle<()>> {
        Ok(())
    }
}

#[expect(clippy::unused_self, reason = "as in the build with GStreamer")]
impl Clips {
    pub(super) fn ask(&self, _: &View, _: Wish) {}

    pub(super) fn look(&self, _: &CameraId, _: &Look<'_>) {}

    pub(super) fn over(&self, _: &CameraId, _: bool) {}
}
