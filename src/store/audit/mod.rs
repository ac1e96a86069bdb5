//! The audit log: what the box did, as a Merkle tree (RFC 6962) over a file that is only appended to.
//!
//! ```text
//! audit.log:  "WPAUDT\0\2", then records:  length 4 ‖ CRC-32 of the leaf 4 ‖ leaf
//! leaf:       CBOR { 0: version 2, 1: number from 1, 2: ms UTC, 3: event, 4: [[name, value], …] }
//! audit.hashes      the tree's hashes ([`hashes`]): follows from the log
//! audit.checkpoint  the last head that was signed, as a C2SP note
//! ```
//! Numbers are big-endian; the CBOR is deterministic. A record is on the medium when [`Audit::append`] returns, with one
//! sync; what may wait ([`Audit::later`]) goes with the next one. Nothing in it is about a plate, so it is not sealed and
//! outlives every key. Whoever keeps a checkpoint can tell later that nothing before it was changed: the centre does.
//!
//! The first record of a log gives its random id and, where there was another before, that one's head ([`open`]): a log
//! is never begun anew in silence.

mod event;
pub mod export;
mod find;
mod hashes;
mod open;
pub mod proof;
mod record;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use event::Event;
pub use record::{AuditRecord, MAX_RECORD};

use self::hashes::Hashes;
use self::record::{AUDIT_VERSION, MAGIC, Reader, Step, frame};
use super::disk::{self, Disk, DiskFile};
use super::error::Error;
use super::row;
use crate::domain::tree::{Edge, leaf_hash};
use crate::domain::{Epoch, LogId, TimeMs, TreeHash, TreeHead};

/// The place of every so many records is kept in memory.
const MARK_EVERY: u64 = 256;
/// Most records that wait for the next sync.
const MAX_LATER: usize = 4_096;

/// Signs a head: gives the bytes of a C2SP note.
pub type Signer = Box<dyn Fn(LogId, &TreeHead) -> Vec<u8> + Send + Sync>;

/// The log, open for appending.
pub(super) struct Audit {
    disk: Arc<dyn Disk>,
    paths: Paths,
    state: Mutex<State>,
    signer: Mutex<Option<Signer>>,
}

/// Where the files lie.
#[derive(Debug, Clone)]
struct Paths {
    log: PathBuf,
    hashes: PathBuf,
    checkpoint: PathBuf,
}

impl Paths {
    fn of(log: &Path) -> Self {
        Self { log: log.to_owned(), hashes: log.with_extension("hashes"), checkpoint: log.with_extension("checkpoint") }
    }
}

/// A record that is not in the log yet.
struct Later {
    at: TimeMs,
    event: Event,
    details: Vec<(String, String)>,
}

struct State {
    file: Option<Box<dyn DiskFile>>,
    /// Length that is known to be good; anything behind it is cut before the next append.
    len: u64,
    id: LogId,
    /// Of all that is on the medium.
    edge: Edge,
    /// Where records 1, 257, 513, … begin.
    marks: Vec<u64>,
    hashes: Hashes,
    /// Hashes that could not be written yet.
    unwritten: Vec<TreeHash>,
    later: Vec<Later>,
    /// The newest ledger batch whose hits are in the log.
    hits: Option<(Epoch, u64)>,
    /// The last checkpoint that was signed.
    signed: Option<(TreeHead, Vec<u8>)>,
}

fn owned(details: &[(&str, String)]) -> Vec<(String, String)> {
    details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

impl State {
    /// Counts a record that is on the medium, `at` being its place.
    fn follow(&mut self, record: &AuditRecord, leaf: &[u8], at: u64) -> Vec<TreeHash> {
        if self.edge.size().is_multiple_of(MARK_EVERY) {
            self.marks.push(at);
        }
        if [Event::Committed, Event::Started].iter().any(|event| record.event == event.as_str()) {
            let epoch = record.detail("epoch").and_then(|e| e.parse().ok());
            let told = epoch.zip(record.detail("batch").and_then(|b| b.parse().ok()));
            self.hits = told.or(self.hits);
        }
        self.edge.push(leaf_hash(leaf))
    }
}

impl Audit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of what is on the medium.
    pub(super) fn head(&self) -> TreeHead {
        self.state().edge.head()
    }

    /// The id of this log.
    pub(super) fn id(&self) -> LogId {
        self.state().id
    }

    /// The newest ledger batch whose hits were accounted for here.
    pub(super) fn hits(&self) -> Option<(Epoch, u64)> {
        self.state().hits
    }

    /// Appends a record, and what waits before it, and returns its number when it is on the medium.
    pub(super) fn append(&self, at: TimeMs, event: Event, details: &[(&str, String)]) -> Result<u64, Error> {
        let mut state = self.state();
        self.write(&mut state, Some(&Later { at, event, details: owned(details) }))?;
        Ok(state.edge.size())
    }

    /// Takes a record that becomes durable with the next one, or at [`Audit::flush`].
    pub(super) fn later(&self, at: TimeMs, event: Event, details: &[(&str, String)]) {
        let mut state = self.state();
        if state.later.len() >= MAX_LATER {
            tracing::error!(event = event.as_str(), "audit log cannot be written: record lost until the next start");
            return;
        }
        state.later.push(Later { at, event, details: owned(details) });
    }

    /// Makes durable what waits.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.write(&mut self.state(), None)
    }

    fn write(&self, state: &mut State, last: Option<&Later>) -> Result<(), Error> {
        if state.later.is_empty() && last.is_none() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        if state.len == 0 {
            bytes.extend(MAGIC);
        }
        let mut leaves = Vec::new();
        for (number, later) in (state.edge.size() + 1..).zip(state.later.iter().chain(last)) {
            let record = AuditRecord {
                version: AUDIT_VERSION,
                number,
                at: later.at,
                event: later.event.as_str().to_owned(),
                details: later.details.clone(),
            };
            let leaf = row::encode(&record);
            if leaf.len() > MAX_RECORD {
                return Err(Error::AuditRecord { event: record.event, bytes: leaf.len() });
            }
            let at = state.len + bytes.len() as u64;
            frame(&leaf, &mut bytes);
            leaves.push((record, leaf, at));
        }
        if let Err(error) = self.put(state, &bytes) {
            state.file = None;
            return Err(error);
        }
        state.len += bytes.len() as u64;
        state.later.clear();
        for (record, leaf, at) in &leaves {
            let new = state.follow(record, leaf, *at);
            state.unwritten.extend(new);
        }
        let hashes = std::mem::take(&mut state.unwritten);
        if let Err(error) = state.hashes.append(&hashes) {
            tracing::warn!(%error, "hashes of the audit log not written, tried again with the next record");
            state.unwritten = hashes;
        }
        Ok(())
    }

    fn put(&self, state: &mut State, bytes: &[u8]) -> Result<(), Error> {
        let path = &self.paths.log;
        let file = if let Some(file) = &mut state.file {
            file
        } else {
            let file = if path.exists() {
                self.disk.truncate(path, state.len).map_err(Error::io("cut", path))?;
                self.disk.open_append(path).map_err(Error::io("open", path))?
            } else {
                let file = self.disk.create(path).map_err(Error::io("make", path))?;
                path.parent().map_or(Ok(()), |dir| self.disk.sync_dir(dir)).map_err(Error::io("sync", path))?;
                file
            };
            state.file.insert(file)
        };
        file.append(bytes).map_err(Error::io("append to", path))?;
        file.sync().map_err(Error::io("sync", path))
    }

    /// Says who signs checkpoints.
    pub(super) fn sign_with(&self, signer: Signer) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = Some(signer);
        self.state().signed = None;
    }

    /// The signed head of everything so far: what waits is made durable first, and the checkpoint is on the medium
    /// before anybody sees it.
    pub(super) fn checkpoint(&self) -> Result<(Vec<u8>, TreeHead), Error> {
        let mut state = self.state();
        self.write(&mut state, None)?;
        let head = state.edge.head();
        if let Some((signed, note)) = &state.signed
            && *signed == head
        {
            return Ok((note.clone(), head));
        }
        let note = match &*self.signer.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sign) => sign(state.id, &head),
            None => return Err(Error::NoSigner),
        };
        let path = &self.paths.checkpoint;
        disk::write_whole(&*self.disk, path, &note).map_err(Error::io("write", path))?;
        state.signed = Some((head, note.clone()));
        Ok((note, head))
    }
}

/// All records of the log in the store folder `dir`, oldest first.
///
/// # Errors
/// [`Error::AuditChanged`] when one is not as it has to be, with the place; I/O errors.
pub fn read(dir: &Path) -> Result<Vec<AuditRecord>, Error> {
    let path = dir.join(super::folder::AUDIT);
    let mut records = Vec::new();
    scan(&path, &mut |record, _| records.push(record))?;
    Ok(records)
}

/// Shows every record of the log in the store folder `dir`, oldest first, one at a time.
///
/// # Errors
/// As [`read`]; what was shown before the fault stands.
pub fn visit(dir: &Path, visit: &mut dyn FnMut(AuditRecord)) -> Result<(), Error> {
    scan(&dir.join(super::folder::AUDIT), &mut |record, _| visit(record))
}

/// Reads a log of a file from its start; a torn end is no fault.
fn scan(path: &Path, visit: &mut dyn FnMut(AuditRecord, Vec<u8>)) -> Result<(), Error> {
    let changed = |what: String| Error::AuditChanged { path: path.to_owned(), what };
    let mut magic = [0; MAGIC.len()];
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    if std::io::Read::read_exact(&mut file, &mut magic).is_err() || magic != *MAGIC {
        return Err(changed("it does not begin as a log of this version".to_owned()));
    }
    let mut reader = Reader::start(path)?;
    loop {
        match reader.step().map_err(Error::io("read", path))? {
            Step::Record(record, leaf) => visit(record, leaf),
            Step::End | Step::Torn(_) => return Ok(()),
            Step::Damaged(what) => return Err(changed(format!("{what} (at byte {})", reader.at))),
        }
    }
}
