//! What a command comes in by and what its answers go out by: MQTT or the unix socket, the same for the executor.

use super::{Afterwards, Attachment};
use crate::centre::wire::Reply;

/// Where a command came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The broker.
    Mqtt,
    /// This connection to the unix socket.
    Local(u64),
}

/// Where MQTT 5 says that an answer is wanted as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its topic; the line answers there alone when it is under the root.
    pub topic: String,
    /// What is to be sent along.
    pub correlation: Option<Vec<u8>>,
}

/// A message under a command topic, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The whole topic.
    pub topic: String,
    /// The envelope.
    pub bytes: Vec<u8>,
    /// Where else to answer.
    pub response: Option<Response>,
    /// Where it came from.
    pub via: Via,
}

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The reply topic of the command, whole.
    pub topic: String,
    /// Where else to answer.
    pub response: Option<Response>,
    /// The way that the command came.
    pub via: Via,
}

/// The way out. Called on the executor's thread, and for `busy` on that of whoever offers a command.
pub trait Line: Send + Sync {
    /// Whether an answer with so many bytes of attachments may go this way now.
    ///
    /// # Errors
    /// Why not, for who asked, and when to ask again.
    fn takes(&self, _to: &ReplyTo, _bytes: usize) -> Result<(), String> {
        Ok(())
    }

    /// Signs and sends an answer, its attachments first; `then` happens once it has left. Does not wait for the broker.
    fn reply(&self, to: &ReplyTo, reply: Reply, attachments: Vec<Attachment>, then: Option<Afterwards>);
}
