//! The store: makes sightings, hits and alerts durable and sealed, and keeps the outbox.
//!
//! ```text
//! RecorderHandle::send ─► recorder thread ─► pictures (one sync) ─► ledger (one sync) ─► index, outbox ─► on_commit
//!                                             evidence/              ledger/             index/ (sled)
//! Outbox::next ─► centre::publish ─► the centre's ack ─► Outbox::ack
//! ```
//! The **ledger** is the truth: append-only, each batch checksummed, chained and synced before anything is said to be
//! done ([`recorder`]). The **index** is sled, for asking; it follows from the ledger and is rebuilt from it when it
//! can't be trusted. What can't be read back at all is set aside, said, and salvaged: a store always opens, unless the
//! disk is full, the key is wrong, the format is newer, or another process has it. Everything about a plate is sealed
//! under a random key of its day and retention class; destroying that key is the deletion ([`seal`]).
//!
//! Formats are drawn in the file that writes them: [`folder`], [`seal`], [`daykeys`], [`segment`], [`record`], [`row`],
//! [`index`], [`evidence`], [`audit`]. Golden files in `tests/golden/store` pin their bytes.
//!
//! There is no tokio in here: calls block, the recorder has a thread of its own. [`search`] asks for plates.

pub mod accounting;
mod alerting;
mod attached;
pub mod audit;
mod column;
mod counted;
mod daykeys;
pub mod disk;
mod error;
pub mod evidence;
mod folder;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod handling;
mod holds;
mod index;
mod inspect;
mod keeping;
mod ledger;
mod open;
mod orders;
pub mod outbox;
mod purge;
pub mod query;
mod record;
pub mod recorder;
mod room;
mod row;
mod salvage;
mod seal;
pub mod sealed;
mod search;
mod segment;
mod standing;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod undated;
mod unseen;
mod walk;
mod wipe;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

pub use accounting::Salt;
pub use attached::{Attached, AttachedKind, Kept};
pub use error::Error;
pub use handling::HandlingWish;
pub use inspect::{Look, holder, inspect};
pub use keeping::{RetentionOrder, TrafficBook};
pub use outbox::{Body, Depth, Outbox, OutboxItem};
pub use query::{Counts, StoredHit};
pub use recorder::{Recorder, RecorderHandle};
pub use row::{permille, share16};
pub use seal::StoreKey;
pub use sealed::Vault;
pub use search::{Place, Sought, Visit};
pub use undated::Aged;
pub use unseen::Waiting;
pub use wipe::{destroy_file, wipe};
pub use writer::Commit;

use crate::clock::Clock;
use crate::domain::{Epoch, Hit, LogId, Retention, RetentionClass, SightingEvent, TreeHead};
use crate::health::Counter;

/// How a store behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Longest wait for more entries before a commit.
    pub commit_interval_ms: u64,
    /// Entries that make a commit at once.
    pub commit_rows: usize,
    /// Cache of the index; sled takes it as a hint.
    pub cache_bytes: u64,
    /// Most bytes of outbox rows before copies are shed.
    pub outbox_max_bytes: u64,
    /// Most outbox entries before copies are shed.
    pub outbox_max_entries: u64,
    /// An alert is fresh, and goes before the backlog, for this long.
    pub fresh_ms: u64,
    /// How long things are kept, unless [`Store::set_retention`] says otherwise.
    pub retention: Retention,
    /// Nothing is appended when fewer bytes are free on the disk.
    pub reserve_bytes: u64,
    /// Reads without a hit are not stored when fewer bytes are free on the disk; hits are.
    pub read_free_bytes: u64,
    /// Pictures are not stored when fewer bytes are free on the disk; hits are.
    pub picture_free_bytes: u64,
    /// Clips and views are not stored when fewer bytes are free on the disk; hits are.
    pub clip_free_bytes: u64,
    /// A file of this size is given up so that a store on a full disk can be opened; 0: none.
    pub ballast_bytes: u64,
    /// Names the set of models and config in every alert.
    pub state: [u8; 4],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit_interval_ms: 50,
            commit_rows: 64,
            cache_bytes: 4 << 20,
            outbox_max_bytes: 64 << 20,
            outbox_max_entries: 100_000,
            fresh_ms: 30_000,
            retention: Retention::default(),
            reserve_bytes: 32 << 20,
            read_free_bytes: 128 << 20,
            picture_free_bytes: 256 << 20,
            clip_free_bytes: 512 << 20,
            ballast_bytes: 16 << 20,
            state: [0; 4],
        }
    }
}

/// What is committed together: a sighting event, its hits with their alerts, its pictures.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What the analyser said.
    pub event: SightingEvent,
    /// What matched it.
    pub hits: Vec<Hit>,
}

/// An open store; cheap to clone. The lock on its folder is held until the last handle is gone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({}, epoch {})", self.0.dir.display(), self.0.epoch)
    }
}

/// What the handles share.
pub(crate) struct Inner {
    dir: PathBuf,
    settings: Settings,
    clock: Clock,
    disk: Arc<dyn disk::Disk>,
    keys: Arc<daykeys::DayKeys>,
    mac: ring::hmac::Key,
    vault: Vault,
    epoch: Epoch,
    /// Taken by the recorder while it runs.
    ledger: Mutex<Option<ledger::Ledger>>,
    index: RwLock<index::Index>,
    distrusted: AtomicBool,
    /// It was opened while nobody had set the clock, and nobody who deletes has asked since.
    began_undated: AtomicBool,
    order: Mutex<outbox::Order>,
    holds: RwLock<holds::Holds>,
    keeping: keeping::Keeping,
    unseen: Mutex<unseen::Unseen>,
    audit: audit::Audit,
    counted: counted::Counted,
    pictures_lost: Counter,
    /// Names the set of models and config in every alert, as long as [`Store::set_state`] says nothing else.
    state: Mutex<[u8; 4]>,
    _lock: folder::Lock,
}

impl Store {
    /// Names the set of models and config in every alert that is made from now on.
    pub fn set_state(&self, state: [u8; 4]) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The door to the outbox.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox(Arc::clone(&self.0))
    }

    /// The epoch that sequence numbers count in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Appends a record to the audit log and returns its number when it is on the medium. Details name no plate.
    ///
    /// # Errors
    /// I/O errors: the record is not there, and what it was to tell of must not be done.
    pub fn audit(&self, event: audit::Event, details: &[(&str, String)]) -> Result<u64, Error> {
        self.0.audit.append(self.0.clock.utc(), event, details)
    }

    /// Takes an audit record that becomes durable with the next one, or within 10 s while a recorder runs: for what has
    /// happened already and comes often.
    pub fn audit_later(&self, event: audit::Event, details: &[(&str, String)]) {
        self.0.audit.later(self.0.clock.utc(), event, details);
    }

    /// Makes durable what [`Store::audit_later`] took.
    ///
    /// # Errors
    /// I/O errors; what it took is kept and tried again.
    pub fn audit_flush(&self) -> Result<(), Error> {
        self.0.audit.flush()
    }

    /// Size and root of the audit log, as far as it is on the medium.
    #[must_use]
    pub fn audit_head(&self) -> TreeHead {
        self.0.audit.head()
    }

    /// Id of the audit log: another after one was set aside.
    #[must_use]
    pub fn audit_log(&self) -> LogId {
        self.0.audit.id()
    }

    /// Says who signs checkpoints; needed before the first [`Store::checkpoint`].
    pub fn sign_checkpoints(&self, signer: audit::Signer) {
        self.0.audit.sign_with(signer);
    }

    /// The signed checkpoint of the audit log as it is now: bytes of a C2SP note. Signs again only when the log grew.
    ///
    /// # Errors
    /// [`Error::NoSigner`]; I/O errors, since what it covers is made durable first.
    pub fn checkpoint(&self) -> Result<Vec<u8>, Error> {
        self.0.audit.checkpoint().map(|(note, _)| note)
    }

    /// [`Store::checkpoint`], and the head that it says.
    ///
    /// # Errors
    /// As that.
    pub fn signed_head(&self) -> Result<(Vec<u8>, TreeHead), Error> {
        self.0.audit.checkpoint()
    }

    /// Proof that the audit log of `size` records (`None`: all) begins with that of `old` records.
    ///
    /// # Errors
    /// [`Error::AuditSize`]; [`Error::AuditChanged`] when the log was tampered with; I/O errors.
    pub fn audit_consistency(&self, old: u64, size: Option<u64>) -> Result<audit::proof::Consistency, Error> {
        self.0.audit.prove_consistency(old, size, self.0.clock.utc())
    }

    /// Proof that record `number` is in the audit log of `size` records (`None`: all).
    ///
    /// # Errors
    /// As [`Store::audit_consistency`].
    pub fn audit_inclusion(&self, number: u64, size: Option<u64>) -> Result<audit::proof::Inclusion, Error> {
        self.0.audit.prove_inclusion(number, size, self.0.clock.utc())
    }

    /// Records `first..=last` of the audit log of `size` records (`None`: all) with their proof, as far as they fit into
    /// `bytes`; at least one.
    ///
    /// # Errors
    /// As [`Store::audit_consistency`].
    pub fn audit_range(
        &self,
        first: u64,
        last: u64,
        bytes: usize,
        size: Option<u64>,
    ) -> Result<audit::proof::Range, Error> {
        self.0.audit.range((first, last), bytes, size, self.0.clock.utc())
    }

    /// Days (counted from 1970-01-01) and classes that something is kept of, the oldest first, without what holds keep.
    ///
    /// # Errors
    /// When the folder of keys cannot be listed.
    pub fn days(&self) -> Result<Vec<(u32, RetentionClass)>, Error> {
        let all = self.0.keys.existing(0, u32::MAX)?;
        Ok(all.into_iter().filter(|(_, class)| *class != RetentionClass::Held).collect())
    }

    /// Pictures, since it was opened, that could not be read back when their sighting became a hit, and sightings whose
    /// pictures a filling disk did not take.
    #[must_use]
    pub fn pictures_lost(&self) -> u64 {
        self.0.pictures_lost.get()
    }

    /// The time that it goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Seals whole files under the store's key.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }
}

impl Inner {
    fn evidence_dir(&self) -> PathBuf {
        self.dir.join("evidence")
    }

    fn index(&self) -> RwLockReadGuard<'_, index::Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> MutexGuard<'_, outbox::Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unseen(&self) -> MutexGuard<'_, unseen::Unseen> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the recorder to rebuild the index.
    fn distrust_index(&self) {
        self.distrusted.store(true, Ordering::SeqCst);
    }

    /// Asks the recorder to rebuild the index when `error` is one that a rebuild can heal.
    fn judge_index(&self, error: &Error) {
        if matches!(error, Error::Index { .. }) {
            self.distrust_index();
        }
    }

    fn index_is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::SeqCst)
    }

    /// Writes an audit record. A log that cannot be written is told and stops nothing: what is audited here has
    /// happened already.
    fn say(&self, event: audit::Event, details: &[(&str, String)]) {
        if let Err(error) = self.audit.append(self.clock.utc(), event, details) {
            tracing::error!(%error, event = event.as_str(), "audit record not written");
        }
    }
}

/// Compares bytes with the golden file `tests/golden/store/NAME`; `WATCHPOST_BLESS=1` writes it instead.
#[cfg(test)]
pub(crate) fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store").join(name);
    if std::env::var_os("WATCHPOST_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let wanted = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(wanted == bytes, "{name} changed: an on-disk format must not change without a new version");
}
