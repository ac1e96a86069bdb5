//! `camera.pause`: stops looking at a camera, for a time or until it is resumed; at once, and over restarts.

use minicbor::{Decode, Encode};

use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{CameraId, Reason, TimeMs};

/// What is asked; nothing is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Which camera.
    #[n(0)]
    pub camera: CameraId,
    /// When the pause ends by itself; without: when it is resumed.
    #[n(1)]
    pub until: Option<TimeMs>,
    /// Look at it again.
    #[n(2)]
    pub resume: Option<bool>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    super::known(rooms, &args.camera)?;
    let mut facts = vec![("camera", args.camera.to_string())];
    if args.resume == Some(true) {
        if args.until.is_some() {
            return Err(Refusal::new(Reason::Arguments, "a camera that is resumed has no end of its pause"));
        }
        rooms.controls.resume(&args.camera)?;
        facts.push(("what", "resumed".to_owned()));
    } else {
        rooms.controls.pause(&args.camera, args.until)?;
        facts.push(("what", "paused".to_owned()));
        facts.extend(args.until.map(|until| ("until", until.to_string())));
    }
    Ok(Done { facts, ..Done::default() })
}
