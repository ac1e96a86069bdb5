//! What can go wrong in the store, said so that an operator can act on it.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::EventId;
use crate::domain::verdict::HandlingError;

/// A fault of the store. Paths, sizes and positions are in the message; plates never are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried (`read`, `append to`, `sync`, …).
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system is too full to go on safely.
    #[error(
        "no space: {free} bytes free on {path}, need {need}; free some space or give `store` a larger disk, \
         nothing is recorded until then"
    )]
    NoSpace {
        /// Bytes that a writer may still use.
        free: u64,
        /// Bytes that are kept in reserve.
        need: u64,
        /// The store's folder.
        path: PathBuf,
    },
    /// Another process has the store.
    #[error("{path} is in use by {holder}; stop that process, or ask it over its socket instead")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as it wrote itself down.
        holder: String,
    },
    /// The store was written by a newer version.
    #[error(
        "{path} has store format {found}, this watchpost knows {known}; install the version that wrote it, \
         or move the folder away to start an empty store"
    )]
    Newer {
        /// The format file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The format file makes no sense.
    #[error("{path} is not a store's format file ({what}); restore it from a copy or move the folder away")]
    Format {
        /// The format file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The store key is not the one that the store was made with.
    #[error("the store key does not open {path}: bring back the key that this store was made with")]
    WrongKey {
        /// The store's folder.
        path: PathBuf,
    },
    /// The file of the store key is not usable.
    #[error("store key {path}: {what}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// There is no such hit, or not any more.
    #[error("no hit of {id} is kept (any more)")]
    NoSuchHit {
        /// The sighting.
        id: EventId,
    },
    /// A verdict has to say which hit it is about.
    #[error("{id} has {hits} hits: say which one, by list and entry or by rule")]
    WhichHit {
        /// The sighting.
        id: EventId,
        /// How many.
        hits: usize,
    },
    /// A step of handling that is not taken.
    #[error(transparent)]
    Handling(#[from] HandlingError),
    /// There is no such hold, or not any more.
    #[error("there is no hold {number} (any more)")]
    NoSuchHold {
        /// Its number.
        number: u32,
    },
    /// No more holds are taken.
    #[error("{most} holds are in force and no more are taken; release what is not needed")]
    TooManyHolds {
        /// How many are taken.
        most: usize,
    },
    /// A hold does not open: nobody knows what it keeps.
    #[error("hold {number} does not open, so nothing is deleted; release it (`watchpostctl hold release {number}`)")]
    HoldUnreadable {
        /// Its number.
        number: u32,
    },
    /// How long things are kept was set by the centre and does not open.
    #[error("{path} does not open, so nothing is deleted; set the retention anew (`watchpostctl retention set`)")]
    RetentionUnknown {
        /// The file.
        path: PathBuf,
    },
    /// The key of a day and class was destroyed: what it sealed is deleted.
    #[error("the key of day {day} class {class:?} was destroyed: what it sealed is deleted")]
    KeyDestroyed {
        /// Days since 1970-01-01.
        day: u32,
        /// Retention class.
        class: crate::domain::RetentionClass,
    },
    /// The system gave no randomness, or a cipher refused to work.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
    /// Something sealed does not open: damaged, moved or forged.
    #[error("{what} does not open: damaged or not written by this store")]
    Unsealed {
        /// Which record or file.
        what: String,
    },
    /// Something opened but could not be read.
    #[error("{what} cannot be decoded: {source}")]
    Decode {
        /// Which record or file.
        what: String,
        /// Where and why.
        source: minicbor::decode::Error,
    },
    /// The ledger has a hole that is no torn end.
    #[error("ledger segment {segment} is damaged at byte {offset}: {what}")]
    Damaged {
        /// Number of the segment.
        segment: u64,
        /// Where in it.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The index failed; it is rebuilt from the ledger.
    #[error("the index failed ({what}); it is rebuilt from the ledger")]
    Index {
        /// What sled said, or the text of its panic.
        what: String,
    },
    /// The index failed and is being rebuilt; asking for it to be rebuilt once more would not help.
    #[error("the index is being rebuilt from the ledger; ask again when that is done")]
    IndexRebuilding,
    /// The centre acknowledged what was never sent.
    #[error("ack up to {acked} refused: only {assigned} numbers of epoch {epoch} were ever given")]
    AckBeyond {
        /// Highest seq that was acknowledged.
        acked: u64,
        /// Highest seq given out.
        assigned: u64,
        /// This store's epoch.
        epoch: crate::domain::Epoch,
    },
    /// The ack is malformed.
    #[error("ack refused: {0}")]
    AckShape(&'static str),
    /// The audit log is not what was written.
    #[error(
        "audit log {path}: {what}; it was changed outside of watchpost, keep the disk as it is and ask who had access"
    )]
    AuditChanged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The stored hashes of the audit log are not those of the log; they are made anew.
    #[error("hashes of the audit log are wrong ({what})")]
    AuditHashes {
        /// What was found.
        what: String,
    },
    /// The audit log has no such record.
    #[error("the audit log has {size} records; {asked} was asked for")]
    AuditSize {
        /// What was asked for.
        asked: u64,
        /// Records that there are.
        size: u64,
    },
    /// A record would be longer than the format allows.
    #[error("audit record {event} would have {bytes} bytes, at most 65536 are allowed")]
    AuditRecord {
        /// What it was to tell.
        event: String,
        /// How long it would be.
        bytes: usize,
    },
    /// Checkpoints cannot be signed.
    #[error("no key signs checkpoints of the audit log: `watchpost init` makes the box's key")]
    NoSigner,
    /// There is a recorder already: the store has exactly one writer.
    #[error("a recorder is running on this store already")]
    RecorderRunning,
    /// The recorder has ended.
    #[error("the recorder has stopped; nothing more is recorded")]
    RecorderStopped,
    /// The recorder did not get everything onto disk in time.
    #[error("not on disk within {waited_ms} ms; the newest entries may be missing")]
    FlushTimeout {
        /// How long was waited.
        waited_ms: u64,
    },
}

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
