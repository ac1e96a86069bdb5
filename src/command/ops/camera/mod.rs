//! Cameras from afar: which there are and how they do, another one, one less, a pause, a picture of now.

pub mod list;
pub mod pause;
pub mod remove;
pub mod set;
pub mod snapshot;

use crate::command::{Refusal, Rooms};
use crate::config::Camera;
use crate::domain::{CameraId, Reason};

/// The configured camera of this id.
fn known<'r>(rooms: &'r Rooms, id: &CameraId) -> Result<&'r Camera, Refusal> {
    let found = rooms.config.cameras.iter().find(|c| c.id == *id);
    found.ok_or_else(|| Refusal::new(Reason::NotFound, format!("there is no camera {id} on this box")))
}

#[cfg(test)]
mod tests;
