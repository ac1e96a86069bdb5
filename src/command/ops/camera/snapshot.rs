//! `camera.snapshot`: a picture of now, behind the privacy masks. Needs a purpose; nothing is stored.
//!
//! The log knows who looked and what for before the picture is handed out.

use minicbor::{Decode, Encode};

use crate::centre::wire::Attached;
use crate::command::{Attachment, Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{CameraId, Reason, TimeMs};
use crate::store::audit::Event;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Which camera.
    #[n(0)]
    pub camera: CameraId,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The JPEG.
    #[n(0)]
    pub picture: Attached,
    /// When it was taken.
    #[n(1)]
    pub at: TimeMs,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let caller = command.caller();
    let Some(purpose) = caller.purpose else {
        return Err(Refusal::new(Reason::Purpose, "a picture of now needs a purpose"));
    };
    super::known(rooms, &args.camera)?;
    let jpeg = rooms.controls.snapshot(&args.camera)?;
    let at = rooms.clock.utc();
    let picture = Attached { id: ops::new_id(at)?, bytes: jpeg.len() as u64, sha256: ops::sha256(&jpeg) };
    let mut details = vec![
        ("what", "snapshot".to_owned()),
        ("camera", args.camera.to_string()),
        ("by", caller.person.name.clone()),
        ("org", caller.person.org.clone()),
        ("purpose", purpose.to_string()),
        ("sha256", ops::hex(&picture.sha256)),
    ];
    details.extend(caller.case.iter().map(|case| ("case", case.clone())));
    ops::audit(rooms, Event::PictureViewed, &details)?;
    let attachments = vec![Attachment { id: picture.id, bytes: jpeg }];
    let result = ops::encode(&Answer { picture, at });
    let facts = vec![("camera", args.camera.to_string())];
    // It may show a plate.
    Ok(Done { result, attachments, tells_plates: true, facts, ..Done::default() })
}
