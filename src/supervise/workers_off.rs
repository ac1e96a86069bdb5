//! A build that decodes nothing has no decode workers.

use std::sync::Arc;

use crate::camera;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;

/// Nowhere.
pub(super) struct Workers;

impl Workers {
    /// None.
    pub(super) fn of(_: &Config, _: &Clock, _: &Arc<Health>) -> Self {
        Self
    }

    /// The camera as it is.
    #[expect(clippy::unused_self, reason = "as where there are some")]
    pub(super) fn given(&self, camera: camera::Settings) -> camera::Settings {
        camera
    }
}
