//! `camera.set`: adds a camera or changes one, given as its whole block; staged like any configuration.

use minicbor::{Decode, Encode};

use crate::command::ops::config::staging::{self, Terms};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::config::managed::patch;

/// What is asked; the answer is [`staging::Answer`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// On which terms.
    #[n(0)]
    pub terms: Terms,
    /// One `[[camera]]` with its keys, as TOML.
    #[n(1)]
    pub block: String,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let ground = staging::ground(rooms, &args.terms)?;
    let (overlay, id) = patch::set_camera(&ground.overlay, &args.block).map_err(staging::wrong)?;
    let mut done = staging::stage(rooms, command, ground, &overlay, &args.terms)?;
    done.facts.push(("camera", id.chars().take(16).collect()));
    Ok(done)
}
