//! Second looks in a build without GStreamer: there are none, and no end waits.

use std::sync::Arc;
use std::time::Duration;

use super::models::swap::InUse;
use crate::camera;
use crate::clock::Clock;
use crate::domain::{EventId, PlateRead, SightingEvent};
use crate::health::Health;
use crate::vision;

/// Nobody looks.
pub(super) struct Looker;

/// Nobody is asked.
#[derive(Clone)]
pub(super) struct Looks;

/// See the build with GStreamer.
#[allow(dead_code, reason = "said in every build")]
pub(super) struct Asking<'a> {
    pub settings: &'a vision::Settings,
    pub models: &'a InUse,
    pub is_hidden: bool,
}

/// See the build with GStreamer.
pub(super) struct Due {
    pub event: SightingEvent,
    pub read: Option<PlateRead>,
}

/// Holds nothing back.
pub(super) struct Held;

impl Looker {
    #[expect(clippy::unnecessary_wraps, reason = "as in the build with GStreamer")]
    pub(super) fn start(_: Duration, _: Arc<Health>, _: Clock) -> std::io::Result<Self> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "as in the build with GStreamer")]
    pub(super) fn looks(&self) -> Looks {
        Looks
    }

    #[expect(clippy::unused_self, reason = "as in the build with GStreamer")]
    pub(super) fn finish(self, _: Duration) -> bool {
        true
    }
}

#[expect(clippy::unused_self, reason = "as in the build with GStreamer")]
impl Looks {
    pub(super) fn of(&self, _: &camera::Settings) -> Held {
        Held
    }
}

#[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "as in the build with GStreamer")]
impl Held {
    pub(super) fn stir(&mut self, _: bool) {}

    pub(super) fn rest(&mut self) {}

    #[expect(clippy::unnecessary_wraps, reason = "as in the build with GStreamer")]
    pub(super) fn hold(&mut self, event: SightingEvent, _: &Asking<'_>) -> Option<SightingEvent> {
        Some(event)
    }

    pub(super) fn take(&mut self, _: EventId) -> Option<SightingEvent> {
        None
    }

    pub(super) fn due(&mut self, _: bool) -> Vec<Due> {
        Vec::new()
    }

    pub(super) fn is_empty(&self) -> bool {
        true
    }
}
