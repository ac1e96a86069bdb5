//! What the centre may ask of a box, and by the same envelope whoever stands before it.
//!
//! ```text
//! MQTT cmd/<op>/<id>, unix socket ─► envelope ─► authorise(keyring, envelope) -> Authorised | Refusal
//!     ──(bounded 16; full: `busy`)──► executor, one at a time: audit, execute, audit ─► reply, attachments
//! ```
//! Only [`authorise`] makes an [`Authorised`]; nothing is executed before its id and its audit record are on disk; one
//! operation is one file of [`ops`], which holds its arguments, its result and what it does. What an operation works with
//! is [`Rooms`]; what only the wiring can do, it asks [`Controls`] for.

pub mod authorise;
pub mod blobs;
pub mod envelope;
pub mod executor;
pub mod journal;
pub mod line;
pub mod lists;
pub mod local;
pub mod models;
pub mod ops;
pub mod rate;
mod record;
mod refusals;
pub mod secrets;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::centre::keyring::{KeyBook, Role};
use crate::centre::keys::{BoxKey, Kid};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{CameraId, EventId, Purpose, Reason, TimeMs};
use crate::health::Health;
use crate::hotlist::Hotlists;
use crate::log::LogRing;
use crate::store::{RecorderHandle, Store};

pub use authorise::Authorised;
pub use executor::{Executor, Inbox};
pub use line::{Incoming, Line, ReplyTo, Response, Via};

/// Random id of a command; the same over all its deliveries.
pub type CommandId = [u8; 16];

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their key.
    pub kid: Kid,
    /// Their name in the keyring.
    pub name: String,
    /// The organisation that they act for.
    pub org: String,
    /// In which capacity.
    pub role: Role,
    /// May co-sign what goes beyond one person's bounds.
    pub supervisor: bool,
}

/// Whom a command comes from and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose role the operation asks for.
    pub person: Person,
    /// The second person, where there is one: another than the first.
    pub second: Option<Person>,
    /// What for, where it was said.
    pub purpose: Option<Purpose>,
    /// The case number, where it was said: 1 to 64 bytes.
    pub case: Option<String>,
}

impl Caller {
    /// Whether a supervisor of the same organisation has signed as well: it lifts the bounds of one person.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        self.second.as_ref().is_some_and(|second| second.supervisor && second.org == self.person.org)
    }
}

/// Why a command was refused or failed; `text` says what, where and what to do, and names no plate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {text}")]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people, at most 300 bytes on the wire.
    pub text: String,
    /// CBOR for programs that can do something about it, as [`blobs::Missing`] is.
    pub result: Option<Vec<u8>>,
}

impl Refusal {
    /// With both.
    #[must_use]
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), result: None }
    }

    /// With what programs can do something about.
    #[must_use]
    pub fn with(self, result: Vec<u8>) -> Self {
        Self { result: Some(result), ..self }
    }
}

/// A large answer: sent in chunks under `evidence/<id>/<n>` before the reply, whose result names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Names it in the topic.
    pub id: EventId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What an operation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// CBOR of the operation's result.
    pub result: Vec<u8>,
    /// Large parts of the answer.
    pub attachments: Vec<Attachment>,
    /// The answer tells of plates: it is kept in memory alone and for minutes, and what is replayed later is only that it
    /// was done.
    pub tells_plates: bool,
    /// For the audit record of how it ended, beside who and what.
    pub facts: Vec<(&'static str, String)>,
    /// What the daemon does once the reply has left.
    pub then: Option<Afterwards>,
}

/// What follows a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// The daemon stops in good order and starts anew, with the configuration that is there then.
    Restart,
    /// The models that are in force by now are loaded and take over between two frames.
    Models,
    /// The keys of the store are destroyed and the daemon stops.
    Wipe,
}

/// What operations work with: the other rooms, and where things lie.
#[derive(Clone)]
pub struct Rooms {
    /// Time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The file that it came from.
    pub config_path: PathBuf,
    /// The store.
    pub store: Store,
    /// The only writer of the store.
    pub recorder: RecorderHandle,
    /// The lists in force.
    pub hotlists: Arc<Hotlists>,
    /// Counters.
    pub health: Arc<Health>,
    /// Large contents of commands.
    pub blobs: blobs::Blobs,
    /// The daemon's own newest log lines.
    pub log: LogRing,
    /// The keyring in force.
    pub keyring: KeyBook,
    /// What the box signs with.
    pub box_key: BoxKey,
    /// What only the wiring can do.
    pub controls: Arc<dyn Controls>,
}

/// What only the wiring can do. Calls may block for seconds; they are made on the executor's thread.
pub trait Controls: Send + Sync {
    /// Stops or resumes looking at a camera; `until` ends a pause by itself.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there is no such camera.
    fn pause(&self, camera: &CameraId, until: Option<TimeMs>) -> Result<(), Refusal>;

    /// Resumes a paused camera; one that is not paused stays as it is.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there is no such camera.
    fn resume(&self, camera: &CameraId) -> Result<(), Refusal>;

    /// A JPEG of what the camera shows now, privacy masks applied.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::Conflict`] when it gives no frames, [`Reason::Unsupported`] in a build without.
    fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal>;

    /// The health message of now, CBOR.
    fn health(&self) -> Vec<u8>;

    /// Runs models on pictures, beside those in force and without touching them; takes some tenths of a second a picture.
    ///
    /// # Errors
    /// [`Reason::Verification`] when they can't be loaded or end the process that tries them, [`Reason::Unsupported`] in
    /// a build without inference.
    fn try_models(&self, plan: &models::Plan) -> Result<Vec<models::Seen>, Refusal> {
        let _ = plan;
        Err(Refusal::new(Reason::Unsupported, "this daemon runs no models"))
    }

    /// The models that are loaded and those that came with the program.
    fn models(&self) -> models::Here {
        models::Here::default()
    }

    /// Has a camera opened anew, so that it takes its credential as it is now; one that is paused stays so.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there is no such camera.
    fn reopen(&self, camera: &CameraId) -> Result<(), Refusal> {
        Err(Refusal::new(Reason::Unsupported, format!("camera {camera} cannot be opened anew")))
    }

    /// Looks whether this box could run with `config`: models, lists, credentials, certificates and keys that it names.
    /// Cameras are tried as well where they differ from those in force; one that does not answer is a warning.
    fn verify(&self, config: &Config) -> Verified {
        let _ = config;
        Verified::default()
    }
}

/// What a look at another configuration gave; each names the thing and says what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// It can't run with it.
    pub faults: Vec<String>,
    /// It can, and something should be looked at.
    pub warnings: Vec<String>,
}
