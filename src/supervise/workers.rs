//! The decode workers of the daemon, as configured.

use std::sync::Arc;

use super::models::trial::this_program;
use super::settings::camera_settings;
use crate::camera;
use crate::camera::worker::{self, Share};
use crate::clock::Clock;
use crate::config::{Config, DecodeWorkers};
use crate::health::Health;

/// Where cameras are decoded.
pub(super) struct Workers(Option<worker::Workers>);

impl Workers {
    /// As configured; a shared one is told of every camera first, since it can't be allowed more later.
    pub(super) fn of(config: &Config, clock: &Clock, health: &Arc<Health>) -> Self {
        let share = match config.decode.workers {
            DecodeWorkers::None => return Self(None),
            DecodeWorkers::Shared => Share::All,
            DecodeWorkers::Each => Share::Each,
        };
        let workers = worker::Workers::new(this_program(), share, clock.clone(), Arc::clone(health));
        let cameras = config.cameras.iter().filter(|camera| camera.enabled);
        // What is wrong with one is said when it is opened.
        for settings in cameras.filter_map(|camera| camera_settings(camera, config).ok()) {
            workers.expect(&settings);
        }
        Self(Some(workers))
    }

    /// The camera, to be decoded there.
    pub(super) fn given(&self, camera: camera::Settings) -> camera::Settings {
        camera::Settings { workers: self.0.clone(), ..camera }
    }
}
