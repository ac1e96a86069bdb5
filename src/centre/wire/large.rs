//! Large contents: what a command says of a blob that goes down in chunks, what a result says of an attachment that comes
//! up in chunks. The chunks themselves are unsigned; these are inside signed messages and name digest and length.

use minicbor::{Decode, Encode};
use ring::digest;

use crate::domain::EventId;

/// Bytes of every chunk but the last, down and up.
pub const CHUNK: usize = 60 * 1024;

/// What a command's arguments say of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct BlobRef {
    /// SHA-256 of it whole.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// Its length in bytes.
    #[n(1)]
    pub bytes: u64,
}

impl BlobRef {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: sha256(bytes), bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) }
    }

    /// How many chunks it has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        chunks(self.bytes)
    }
}

/// The result of a refusal with `blob-missing`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Missing {
    /// Which blob.
    #[n(0)]
    pub blob: BlobRef,
    /// First and last chunk of each range that is missing, ascending, at most 64.
    #[n(1)]
    pub ranges: Vec<(u32, u32)>,
}

/// What a result says of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attached {
    /// Names it in the topic.
    #[n(0)]
    pub id: EventId,
    /// Its length.
    #[n(1)]
    pub bytes: u64,
    /// SHA-256 of it whole.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
}

impl Attached {
    /// Of these bytes under this id.
    #[must_use]
    pub fn of(id: EventId, bytes: &[u8]) -> Self {
        Self { id, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX), sha256: sha256(bytes) }
    }

    /// How many chunks it has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        chunks(self.bytes)
    }

    /// Whether these are its bytes.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        u64::try_from(bytes.len()) == Ok(self.bytes) && sha256(bytes) == self.sha256
    }
}

fn chunks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK as u64)).unwrap_or(u32::MAX)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sha256
}
