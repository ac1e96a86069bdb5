//! What operations ask of the wiring: cameras by the [`Desk`], health by the [`Reporter`].

use std::sync::{Arc, Mutex, PoisonError};

use super::desk::Desk;
use super::models::trial;
use super::verify;
use crate::centre::report::Reporter;
use crate::centre::wire;
use crate::clock::Clock;
use crate::command::models::{Here, Plan, Seen};
use crate::command::{Controls, Refusal, Verified};
use crate::config::Config;
use crate::domain::{CameraId, Reason, TimeMs};

/// Of a daemon.
pub(super) struct Wiring {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    /// What is loaded.
    pub(super) models: Mutex<Here>,
    pub(super) desk: Arc<Desk>,
    pub(super) reporter: Reporter,
}

impl Wiring {
    /// Others are loaded.
    pub(super) fn set_models(&self, here: Here) {
        *self.models.lock().unwrap_or_else(PoisonError::into_inner) = here;
    }
}

impl Controls for Wiring {
    fn pause(&self, camera: &CameraId, until: Option<TimeMs>) -> Result<(), Refusal> {
        self.desk.pause(camera, until)
    }

    fn resume(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.desk.resume(camera)
    }

    fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal> {
        self.desk.snapshot(camera)
    }

    fn health(&self) -> Vec<u8> {
        wire::encode(&self.reporter.report())
    }

    fn reopen(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.desk.reopen(camera)
    }

    fn try_models(&self, plan: &Plan) -> Result<Vec<Seen>, Refusal> {
        trial::try_models(&self.config.vision, &trial::this_program(), plan)
    }

    fn models(&self) -> Here {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn verify(&self, config: &Config) -> Verified {
        verify::verify(config, &self.config, &self.clock)
    }
}

/// Where no daemon runs: there is a store and nothing else.
pub(super) struct NoDaemon {
    pub(super) reporter: Reporter,
}

impl Controls for NoDaemon {
    fn pause(&self, camera: &CameraId, _: Option<TimeMs>) -> Result<(), Refusal> {
        Err(no_daemon(camera))
    }

    fn resume(&self, camera: &CameraId) -> Result<(), Refusal> {
        Err(no_daemon(camera))
    }

    fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal> {
        Err(no_daemon(camera))
    }

    fn health(&self) -> Vec<u8> {
        wire::encode(&self.reporter.report())
    }
}

fn no_daemon(camera: &CameraId) -> Refusal {
    Refusal::new(Reason::Unsupported, format!("camera {camera}: no daemon runs on this box: `watchpost run` starts it"))
}
