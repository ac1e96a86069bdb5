//! A range of the log as a file: records, the checkpoint that they are held against, and the proof between.
//!
//! CBOR in its one form, so that one changed bit is seen:
//! ```text
//! { 0: version 1, 1: bytes of the signed checkpoint, 2: the range ([`Range`]) }
//! ```
//! Who has the key of the box checks the note's signature; everything else is checked here, offline.

use minicbor::{Decode, Encode};

use super::AuditRecord;
use super::proof::Range;
use crate::domain::{Checkpoint, TreeError};
use crate::store::row;

const EXPORT_VERSION: u8 = 1;
/// Largest export that is read, in bytes.
pub const MAX_EXPORT: usize = 64 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Export {
    #[n(0)]
    version: u8,
    /// The checkpoint, as it was signed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub checkpoint: Vec<u8>,
    /// The records.
    #[n(2)]
    pub range: Range,
}

impl Export {
    /// Of these parts.
    #[must_use]
    pub fn new(checkpoint: Vec<u8>, range: Range) -> Self {
        Self { version: EXPORT_VERSION, checkpoint, range }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        row::encode(self)
    }

    /// Takes the bytes back.
    ///
    /// # Errors
    /// When they are not exactly one export of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        let bad = |what: String| TreeError::Export(what);
        if bytes.len() > MAX_EXPORT {
            return Err(bad(format!("it has {} bytes, at most {MAX_EXPORT} are read", bytes.len())));
        }
        let export: Self = minicbor::decode(bytes).map_err(|e| bad(e.to_string()))?;
        if export.version != EXPORT_VERSION {
            return Err(bad(format!("version {}, this program knows {EXPORT_VERSION}: update it", export.version)));
        }
        if row::encode(&export) != bytes {
            return Err(bad("it is not in its one form: something was changed".to_owned()));
        }
        Ok(export)
    }

    /// Checks the records against the head that the checkpoint says, and gives both. The checkpoint's signature is the
    /// caller's to check.
    ///
    /// # Errors
    /// When a record was changed, left out, put in or moved, or the checkpoint says another head.
    pub fn check(&self) -> Result<(Checkpoint, Vec<AuditRecord>), TreeError> {
        let text = std::str::from_utf8(&self.checkpoint).map_err(|e| TreeError::Checkpoint(e.to_string()))?;
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.head != self.range.head {
            return Err(TreeError::Export("its records are of another head than its checkpoint".to_owned()));
        }
        Ok((checkpoint, self.range.check()?))
    }
}
