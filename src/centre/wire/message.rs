//! Any message: by its topic, or, for `decode` without one, by its content.

use serde_json::Value;

use super::{CameraStatus, Claims, Error, HealthReport, Reply, Status, Wire, decode, verify};
use crate::centre::keys::{Keys, Kid};
use crate::centre::topics::{self, Address, Kind};
use crate::domain::{Ack, Alert, Shed};

/// One message of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An alert.
    Alert(Box<Alert>),
    /// An entry about shed alerts.
    Shed(Shed),
    /// The centre's ack.
    Ack(Ack),
    /// Status of the box.
    Status(Status),
    /// Status of a camera.
    Camera(CameraStatus),
    /// Health.
    Health(Box<HealthReport>),
    /// The answer to a command.
    Reply(Box<Reply>),
    /// A command. Shown, and never opened here: who may command is decided by the command room.
    Command(Box<Claims>),
}

impl Message {
    /// For people and programs that want JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Alert(m) => m.to_json(),
            Self::Shed(m) => m.to_json(),
            Self::Ack(m) => m.to_json(),
            Self::Status(m) => m.to_json(),
            Self::Camera(m) => m.to_json(),
            Self::Health(m) => m.to_json(),
            Self::Reply(m) => m.to_json(),
            Self::Command(m) => m.to_json(),
        }
    }
}

/// Opens whatever came under `topic` below `root`: takes the topic apart, asks `keys_of` for the keys that are trusted
/// for it (the box's own for what goes up, delivery keys for an ack), verifies, and holds the content to the topic.
///
/// # Errors
/// Each way to be wrong is its own [`Error`].
pub fn open(
    bytes: &[u8],
    root: &str,
    topic: &str,
    keys_of: impl FnOnce(&Address) -> Option<Keys>,
) -> Result<(Address, Message, Kid), Error> {
    let address = topics::parse(root, topic)?;
    let keys = keys_of(&address).ok_or_else(|| Error::UnknownBox { topic: topic.to_owned() })?;
    let at = Place { bytes, topic, kind: &address.kind, keys: &keys };
    let (message, kid) = match &address.kind {
        Kind::Alert(_) => at.verify::<Alert>().map(|(m, kid)| (Message::Alert(Box::new(m)), kid))?,
        Kind::Shed => at.verify::<Shed>().map(|(m, kid)| (Message::Shed(m), kid))?,
        Kind::Ack => at.verify::<Ack>().map(|(m, kid)| (Message::Ack(m), kid))?,
        Kind::Status => at.verify::<Status>().map(|(m, kid)| (Message::Status(m), kid))?,
        Kind::CameraStatus(_) => at.verify::<CameraStatus>().map(|(m, kid)| (Message::Camera(m), kid))?,
        Kind::Health => at.verify::<HealthReport>().map(|(m, kid)| (Message::Health(Box::new(m)), kid))?,
        Kind::Reply { .. } => at.verify::<Reply>().map(|(m, kid)| (Message::Reply(Box::new(m)), kid))?,
        Kind::Command { .. } | Kind::Blob { .. } | Kind::Evidence { .. } | Kind::Audit => {
            return Err(Error::Unread { topic: topic.to_owned() });
        }
    };
    Ok((address, message, kid))
}

struct Place<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    kind: &'a Kind,
    keys: &'a Keys,
}

impl Place<'_> {
    fn verify<M: Wire>(&self) -> Result<(M, Kid), Error> {
        let (message, kid) = verify::<M>(self.bytes, self.topic, self.keys)?;
        if message.fits(self.kind) {
            Ok((message, kid))
        } else {
            Err(Error::Misplaced { message: M::NAME, topic: self.topic.to_owned() })
        }
    }
}

type Attempt = fn(&[u8]) -> Result<Message, Error>;

/// The message that `payload` is, by its content alone: the formats differ so much that at most one fits.
///
/// # Errors
/// What each format found wrong, when none fits.
pub fn guess(payload: &[u8]) -> Result<Message, Vec<Error>> {
    let tries: [Attempt; 8] = [
        |p| decode(p).map(|m| Message::Alert(Box::new(m))),
        |p| decode(p).map(Message::Shed),
        |p| decode(p).map(Message::Ack),
        |p| decode(p).map(Message::Status),
        |p| decode(p).map(Message::Camera),
        |p| decode(p).map(|m| Message::Health(Box::new(m))),
        |p| decode(p).map(|m| Message::Reply(Box::new(m))),
        |p| decode(p).map(|m| Message::Command(Box::new(m))),
    ];
    let mut errors = Vec::new();
    for attempt in tries {
        match attempt(payload) {
            Ok(message) => return Ok(message),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}
