//! `camera.remove`: takes a camera out; staged like any configuration. What it saw stays as long as it is kept.

use minicbor::{Decode, Encode};

use crate::command::ops::config::staging::{self, Terms};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::config::managed::patch;
use crate::domain::CameraId;

/// What is asked; the answer is [`staging::Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// On which terms.
    #[n(0)]
    pub terms: Terms,
    /// Which camera.
    #[n(1)]
    pub camera: CameraId,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    super::known(rooms, &args.camera)?;
    let ground = staging::ground(rooms, &args.terms)?;
    let overlay =
        patch::remove_camera(&ground.layers, &ground.overlay, args.camera.as_str()).map_err(staging::wrong)?;
    let mut done = staging::stage(rooms, command, ground, &overlay, &args.terms)?;
    done.facts.push(("camera", args.camera.to_string()));
    Ok(done)
}
