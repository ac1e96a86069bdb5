//! `config.set`: another configuration, staged, verified, and confirmed or rolled back by itself.
//!
//! Either the whole overlay that the centre lays over the box's own files, or changes of single keys of it. It names the
//! configuration that it builds on.

use minicbor::{Decode, Encode};

use super::staging::{self, Terms};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::config::managed::patch;
use crate::domain::Reason;

/// What is asked; the answer is [`staging::Answer`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// On which terms; `base` must be given.
    #[n(0)]
    pub terms: Terms,
    /// The whole overlay as TOML; empty: none.
    #[n(1)]
    pub overlay: Option<String>,
    /// Keys with their new values as TOML, or `null` to take them out of the overlay.
    #[n(2)]
    pub changes: Option<Vec<Set>>,
}

/// A key that is to have another value.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Set {
    /// The key with its section; cameras and lists by id (`camera.gate.fps`).
    #[n(0)]
    pub key: String,
    /// The value as TOML.
    #[n(1)]
    pub value: Option<String>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let arguments = |text: &str| Refusal::new(Reason::Arguments, text);
    if args.terms.base.is_none() {
        return Err(arguments("the configuration that it builds on is not named: get it first"));
    }
    let ground = staging::ground(rooms, &args.terms)?;
    let overlay = match (args.overlay, args.changes) {
        (Some(overlay), None) => overlay,
        (None, Some(changes)) => {
            let changes: Vec<patch::Change> = changes.into_iter().map(|set| (set.key, set.value)).collect();
            patch::change(&ground.layers, &ground.overlay, &changes).map_err(staging::wrong)?
        }
        _ => return Err(arguments("either a whole overlay or changes of keys are wanted")),
    };
    staging::stage(rooms, command, ground, &overlay, &args.terms)
}
