//! The messages of the wire: deterministic CBOR (RFC 8949, 4.2) with integer keys, inside COSE_Sign1.
//!
//! `docs/wire.cddl` describes them, a golden file under `tests/fixtures/golden/` pins each. A message is a [`Wire`]:
//! [`sign`] makes its bytes for a topic, [`verify`] takes them back only when form, key, signature, topic, version,
//! encoding and fields are all right. Key 0 is the version of the format; a reader knows exactly the keys of that
//! version and refuses others, so that nothing signed is ever half understood. [`Wire::to_json`] is for people and for
//! programs that want JSON: it never goes back onto the wire.
//!
//! Nothing here does I/O. Called by the session and the publisher, by `watchpostctl` and by `watchpost decode`.

mod ack;
mod alert;
mod camera;
pub mod command;
mod gauge;
mod health;
pub mod keeping;
mod large;
mod message;
pub mod reply;
mod shed;
mod status;
mod traffic;

pub use alert::POSSIBLE_MATCH;
pub use camera::{CameraStatus, Link, Place, RuleName};
pub use command::{Claims, Order, sign_order};
pub use gauge::{
    CameraGauge, Delivery, Disk, Gauges, ListGauge, Loss, MainGauge, Memory, OutboxGauge, Overlay, Part, Process,
    RolledBack,
};
pub use health::{HealthFacts, HealthReport, ModelDigest, StateDigests};
pub use large::{Attached, BlobRef, CHUNK, Missing};
pub use message::{Message, guess, open};
pub use reply::Reply;
pub use status::{BootId, BoxState, Status};
pub use traffic::LinkGauge;

use super::cose;
use super::keys::{Keys, Kid, SigningKey};
use super::topics;

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The envelope is wrong.
    #[error("{message}: {source}")]
    Envelope {
        /// Which message was wanted.
        message: &'static str,
        /// What is wrong with its envelope.
        source: cose::Error,
    },
    /// The format's version is another.
    #[error("{message}: format version {got}, this program knows {want}: update it")]
    Version {
        /// Which message was wanted.
        message: &'static str,
        /// What it says.
        got: u64,
        /// What is known here.
        want: u8,
    },
    /// The payload is no such message.
    #[error("{message}: payload is malformed: {reason}")]
    Malformed {
        /// Which message was wanted.
        message: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The payload is not the one encoding of its contents: unsorted or unknown keys, long integers, bytes after it.
    #[error("{message}: payload is not in deterministic encoding, or has keys that version {version} does not have")]
    NotDeterministic {
        /// Which message was wanted.
        message: &'static str,
        /// The version that it says it has.
        version: u8,
    },
    /// A field has a value that it must not have.
    #[error("{message}: {field}: {reason}")]
    Field {
        /// Which message was wanted.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The content belongs under another topic than it was sent and signed for.
    #[error("{message}: does not belong under topic {topic:?}")]
    Misplaced {
        /// Which message it is.
        message: &'static str,
        /// Where it came.
        topic: String,
    },
    /// The topic is none of ours.
    #[error(transparent)]
    Topic(#[from] topics::Error),
    /// Messages of this kind are not read here.
    #[error("topic {topic:?}: messages of this kind are not read here")]
    Unread {
        /// The topic.
        topic: String,
    },
    /// The box is not known.
    #[error("topic {topic:?}: no key of this box is known: add it to the registry of boxes")]
    UnknownBox {
        /// The topic.
        topic: String,
    },
}

/// A message with one deterministic encoding.
pub trait Wire: Sized + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> {
    /// Its name in errors and JSON.
    const NAME: &'static str;
    /// Version of its format, under key 0.
    const VERSION: u8;
    /// Largest signed message, in bytes.
    const MAX_SIGNED: usize;

    /// The version that a payload says it has: under key 0, which comes first, but for commands.
    ///
    /// # Errors
    /// When there is none.
    fn version_in(payload: &[u8]) -> Result<u64, minicbor::decode::Error> {
        version_of(payload)
    }

    /// Names the field that has a value it must not have, and why.
    ///
    /// # Errors
    /// The first such field.
    fn check(&self) -> Result<(), (&'static str, String)>;

    /// Whether it belongs under a topic of this kind.
    fn fits(&self, kind: &topics::Kind) -> bool;

    /// For people and programs that want JSON: names instead of keys, words instead of numbers.
    fn to_json(&self) -> serde_json::Value;
}

/// The payload of `message`.
#[must_use]
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    match minicbor::encode(message, &mut bytes) {
        Ok(()) => bytes,
        // Writing into a vector cannot fail, and no message has an encoder that fails by itself.
        Err(_) => Vec::new(),
    }
}

/// Takes a payload back.
///
/// # Errors
/// When version, form, encoding or a field is wrong.
pub fn decode<M: Wire>(payload: &[u8]) -> Result<M, Error> {
    let message = M::NAME;
    let malformed = |e: minicbor::decode::Error| Error::Malformed { message, reason: e.to_string() };
    let got = M::version_in(payload).map_err(malformed)?;
    if got != u64::from(M::VERSION) {
        return Err(Error::Version { message, got, want: M::VERSION });
    }
    let value: M = minicbor::decode(payload).map_err(malformed)?;
    if encode(&value) != payload {
        return Err(Error::NotDeterministic { message, version: M::VERSION });
    }
    value.check().map_err(|(field, reason)| Error::Field { message, field, reason })?;
    Ok(value)
}

/// Signs `message` for `topic`.
///
/// # Errors
/// When a field has a value that it must not have, or the message is too large.
pub fn sign<M: Wire>(message: &M, topic: &str, key: &SigningKey) -> Result<Vec<u8>, Error> {
    let envelope = |source| Error::Envelope { message: M::NAME, source };
    message.check().map_err(|(field, reason)| Error::Field { message: M::NAME, field, reason })?;
    let bytes = cose::sign(&encode(message), topic, key).map_err(envelope)?;
    if bytes.len() > M::MAX_SIGNED {
        return Err(envelope(cose::Error::TooLarge { bytes: bytes.len(), max: M::MAX_SIGNED }));
    }
    Ok(bytes)
}

/// Takes back a signed message that came under `topic`, and says which of `keys` signed it.
///
/// Whether its content belongs under that topic is [`Wire::fits`]; [`open`] asks that too.
///
/// # Errors
/// Each way to be wrong is its own [`Error`].
pub fn verify<M: Wire>(bytes: &[u8], topic: &str, keys: &Keys) -> Result<(M, Kid), Error> {
    let envelope = |source| Error::Envelope { message: M::NAME, source };
    let opened = cose::verify(bytes, topic, keys, M::MAX_SIGNED).map_err(envelope)?;
    Ok((decode(&opened.payload)?, opened.kid))
}

/// The version under key 0, which comes first.
fn version_of(payload: &[u8]) -> Result<u64, minicbor::decode::Error> {
    let mut d = minicbor::Decoder::new(payload);
    match d.map()? {
        Some(1..) if d.u64()? == 0 => d.u64(),
        _ => Err(minicbor::decode::Error::message("no map that begins with key 0, the version")),
    }
}

/// A share in per mille.
fn check_permille(field: &'static str, permille: u16) -> Result<(), (&'static str, String)> {
    if permille <= 1000 { Ok(()) } else { Err((field, format!("{permille} per mille, at most 1000"))) }
}

/// A text for people: bounded, without control characters.
fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), (&'static str, String)> {
    if text.len() > max {
        return Err((field, format!("{} bytes, at most {max}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err((field, "control characters".to_owned()));
    }
    Ok(())
}

/// Cuts `text` at a character, to at most `max` bytes, without control characters.
fn cut(text: &str, max: usize) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > max {
            break;
        }
        short.push(c);
    }
    short
}
