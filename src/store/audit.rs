//! The audit log: what the store did, in a file that is only appended to and whose records name the one before.
//!
//! ```text
//! audit.log:  "WPAUDT\0\1", then records:  length 4 ‖ CRC-32 of the CBOR 4 ‖ CBOR
//! CBOR:       { 0: version 1, 1: number from 1, 2: ms UTC, 3: SHA-256 of the CBOR before (32 bytes, 0 at first),
//!               4: event, 5: [[name, value], …] }
//! ```
//! Numbers are big-endian; the CBOR is deterministic (integer keys ascending, fixed order within 5). A record is on the
//! medium when [`Audit::append`] returns. Nothing in it is about a plate, so it is not sealed and outlives every key.
//! Signed checkpoints and proofs build on these hashes and come with a later version.
//!
//! Open cuts a torn end and says so; a record that does not fit the chain makes it start a new file beside the damaged
//! one (`audit.damaged-<ms>`), never silently.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use minicbor::{Decode, Encode};

use super::disk::{Disk, DiskFile};
use super::error::Error;
use super::record::Bytes;
use super::row;
use crate::domain::TimeMs;

const MAGIC: &[u8; 8] = b"WPAUDT\0\x01";
const AUDIT_VERSION: u8 = 1;
/// No record is longer; a length above it is damage.
const MAX_RECORD: usize = 64 << 10;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The store was opened.
    Started,
    /// The recorder ended in good order.
    Stopped,
    /// Alerts became durable since the last such record.
    Committed,
    /// Copies were shed from a full outbox.
    Shed,
    /// The unfinished end of the ledger was cut.
    TornEnd,
    /// The index was set aside and rebuilt.
    IndexRebuilt,
    /// The store was set aside and salvaged; a new epoch began.
    Salvaged,
    /// The key of a day and class was destroyed: its content is deleted.
    KeyDestroyed,
    /// The daemon started: its version and the digests of configuration and models.
    DaemonStarted,
    /// The daemon stopped in good order.
    DaemonStopped,
    /// A command is about to be executed.
    CommandAccepted,
    /// A command was refused: by whom, as far as known, and why.
    CommandRefused,
    /// A command was executed: how it ended.
    CommandDone,
    /// Reads or hits were asked for: person, organisation, purpose, case, digest of the question, rows.
    Queried,
    /// Pictures were handed out or looked at.
    PictureViewed,
    /// A hit was seen, judged or closed.
    Judged,
    /// A hotlist or ignore list changed.
    ListChanged,
    /// The configuration changed, was confirmed or was rolled back.
    ConfigChanged,
    /// Models changed, or fell back.
    ModelChanged,
    /// A hold was placed, re-wrapped or released.
    Held,
    /// How long things are kept changed.
    RetentionChanged,
    /// The keyring or a key changed.
    KeysChanged,
    /// A secret was set; its name.
    SecretSet,
    /// The wall clock was stepped, or its state changed.
    ClockStepped,
}

impl Event {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "store.started",
            Self::Stopped => "store.stopped",
            Self::Committed => "store.committed",
            Self::Shed => "outbox.shed",
            Self::TornEnd => "ledger.torn-end",
            Self::IndexRebuilt => "index.rebuilt",
            Self::Salvaged => "store.salvaged",
            Self::KeyDestroyed => "key.destroyed",
            Self::DaemonStarted => "daemon.started",
            Self::DaemonStopped => "daemon.stopped",
            Self::CommandAccepted => "command.accepted",
            Self::CommandRefused => "command.refused",
            Self::CommandDone => "command.done",
            Self::Queried => "queried",
            Self::PictureViewed => "picture.viewed",
            Self::Judged => "hit.judged",
            Self::ListChanged => "list.changed",
            Self::ConfigChanged => "config.changed",
            Self::ModelChanged => "model.changed",
            Self::Held => "hold.changed",
            Self::RetentionChanged => "retention.changed",
            Self::KeysChanged => "keys.changed",
            Self::SecretSet => "secret.set",
            Self::ClockStepped => "clock.stepped",
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditRecord {
    /// Version of the format.
    #[n(0)]
    pub version: u8,
    /// Its number, from 1.
    #[n(1)]
    pub number: u64,
    /// When.
    #[n(2)]
    pub at: TimeMs,
    /// SHA-256 of the CBOR of the record before.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub before: [u8; 32],
    /// What happened, as [`Event::as_str`] says it.
    #[n(4)]
    pub event: String,
    /// How much of what: pairs of name and value.
    #[n(5)]
    pub details: Vec<(String, String)>,
}

/// The log, open for appending.
pub(super) struct Audit {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: Option<Box<dyn DiskFile>>,
    /// Length that is known to be good; anything behind it is cut before the next append.
    len: u64,
    number: u64,
    head: [u8; 32],
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    out.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    out
}

impl Audit {
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path, now: TimeMs) -> Result<Self, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        let mut state = State { file: None, len: 0, number: 0, head: [0; 32] };
        let torn = if bytes.is_empty() { Ok(0) } else { scan(&bytes, &mut |_| (), &mut state) };
        match torn {
            Ok(0) => {}
            Ok(torn) => tracing::warn!(path = %path.display(), bytes = torn, "unfinished end of the audit log cut"),
            Err(at) => {
                let aside = path.with_extension(format!("damaged-{}", now.0));
                tracing::error!(path = %path.display(), at, aside = %aside.display(), "audit log damaged, set aside");
                disk.rename(path, &aside).map_err(Error::io("rename", path))?;
                state = State { file: None, len: 0, number: 0, head: [0; 32] };
            }
        }
        Ok(Self { disk, path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Number and hash of the newest record.
    pub(super) fn head(&self) -> (u64, [u8; 32]) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.number, state.head)
    }

    /// Appends a record and returns when it is on the medium.
    pub(super) fn append(&self, at: TimeMs, event: Event, details: &[(&str, String)]) -> Result<u64, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let record = AuditRecord {
            version: AUDIT_VERSION,
            number: state.number + 1,
            at,
            before: state.head,
            event: event.as_str().to_owned(),
            details: details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let cbor = row::encode(&record);
        let mut frame = Vec::new();
        if state.len == 0 {
            frame.extend(MAGIC);
        }
        frame.extend(u32::try_from(cbor.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend(crc32fast::hash(&cbor).to_be_bytes());
        frame.extend(&cbor);
        if let Err(error) = self.write(&mut state, &frame) {
            state.file = None;
            return Err(error);
        }
        state.len += frame.len() as u64;
        state.number = record.number;
        state.head = sha256(&cbor);
        Ok(state.number)
    }

    fn write(&self, state: &mut State, frame: &[u8]) -> Result<(), Error> {
        let path = &self.path;
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
        file.append(frame).map_err(Error::io("append to", path))?;
        file.sync().map_err(Error::io("sync", path))
    }
}

/// Visits the records of a log; returns how many torn bytes stand at its end, or where it is damaged.
fn scan(bytes: &[u8], visit: &mut dyn FnMut(AuditRecord), state: &mut State) -> Result<u64, u64> {
    let mut input = Bytes(bytes);
    if input.take(MAGIC.len()) != Some(MAGIC) {
        return if bytes.len() < MAGIC.len() { Ok(bytes.len() as u64) } else { Err(0) };
    }
    state.len = MAGIC.len() as u64;
    while !input.0.is_empty() {
        let rest = input.0.len() as u64;
        let Some((len, crc)) = input.u32().zip(input.u32()) else { return Ok(rest) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some(cbor) = input.take(len) else { return if len > MAX_RECORD { Err(state.len) } else { Ok(rest) } };
        let sound = crc32fast::hash(cbor) == crc;
        if !sound && input.0.is_empty() {
            return Ok(rest);
        }
        let record: Option<AuditRecord> = minicbor::decode(cbor).ok().filter(|_| sound);
        match record.filter(|r| r.number == state.number + 1 && r.before == state.head) {
            Some(record) => visit(record),
            None => return Err(state.len),
        }
        state.number += 1;
        state.head = sha256(cbor);
        state.len += 8 + len as u64;
    }
    Ok(0)
}

/// All records of the log in the store folder `dir`, oldest first, checked against their chain.
///
/// # Errors
/// [`Error::Unsealed`] when the chain does not hold, with the place; I/O errors.
pub fn read(dir: &Path) -> Result<Vec<AuditRecord>, Error> {
    let path = dir.join(super::folder::AUDIT);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let mut records = Vec::new();
    let mut state = State { file: None, len: 0, number: 0, head: [0; 32] };
    match scan(&bytes, &mut |record| records.push(record), &mut state) {
        Ok(_) => Ok(records),
        Err(at) => Err(Error::Unsealed { what: format!("{} from byte {at} on", path.display()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    fn log(dir: &Path) -> Audit {
        Audit::open(Arc::new(RealDisk), &dir.join("audit.log"), TimeMs(7)).unwrap()
    }

    fn filled(dir: &Path) -> Vec<u8> {
        log(dir).append(TimeMs(1_767_225_600_000), Event::Started, &[("version", "0.1.0".to_owned())]).unwrap();
        log(dir).append(TimeMs(1_767_225_601_000), Event::Shed, &[("copies", "3".to_owned())]).unwrap();
        fs::read(dir.join("audit.log")).unwrap()
    }

    #[test]
    fn audit_log_is_as_drawn_and_chained() {
        let dir = tempfile::tempdir().unwrap();
        crate::store::golden("audit-1.bin", &filled(dir.path()));
        let records = read(dir.path()).unwrap();
        assert_eq!(records.iter().map(|r| r.event.as_str()).collect::<Vec<_>>(), ["store.started", "outbox.shed"]);
        assert_ne!(records[1].before, [0; 32]);
    }

    #[test]
    fn a_torn_end_is_cut_and_a_changed_record_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = filled(dir.path());
        let path = dir.path().join("audit.log");
        for len in 8..bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            log(dir.path()).append(TimeMs(9), Event::Stopped, &[]).unwrap();
            assert_eq!(read(dir.path()).unwrap().last().unwrap().event, "store.stopped");
        }
        let mut bad = bytes.clone();
        bad[30] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(read(dir.path()).is_err());
        log(dir.path()).append(TimeMs(9), Event::Started, &[]).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 1);
        assert!(dir.path().join("audit.damaged-7").exists());
    }
}
