//! The file behind the receipts: JSON with a version, replaced as a whole, synced before and after.
//!
//! A lock on a second file beside it keeps two clients from undoing each other's work; the file itself changes identity at
//! each write.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Seen;
use crate::domain::{BoxId, Epoch};

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error("state file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error(
        "state file {path} cannot be understood ({what}): move it away to start anew; boxes then send what they still hold"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another process uses it.
    #[error("state file {path} is in use by another watchpostctl: give each its own --state, and its own certificate")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// The file, held against other processes.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    _lock: File,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StateForm {
    version: u32,
    boxes: Vec<BoxForm>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BoxForm {
    #[serde(rename = "box")]
    box_id: BoxId,
    epochs: Vec<EpochForm>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochForm {
    epoch: String,
    upto: u64,
    also: Vec<(u64, u64)>,
    first: u64,
    used: u64,
}

impl StateFile {
    pub(super) fn lock(path: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_added_extension("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
            Err(fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }

    pub(super) fn load(&self) -> Result<BTreeMap<BoxId, BTreeMap<Epoch, Seen>>, StateError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(StateError::Io { path: self.path.clone(), source }),
        };
        let form = |what: String| StateError::Form { path: self.path.clone(), what };
        let state: StateForm = serde_json::from_slice(&bytes).map_err(|e| form(e.to_string()))?;
        if state.version != 1 {
            return Err(form(format!("version {}, wanted 1", state.version)));
        }
        let mut boxes = BTreeMap::new();
        for b in state.boxes {
            let mut epochs = BTreeMap::new();
            for e in b.epochs {
                let id = epoch_of(&e.epoch).ok_or_else(|| form(format!("epoch {:?}", e.epoch)))?;
                let mut seen = Seen { upto: e.upto, ..Seen::new(e.first, e.used) };
                for (from, to) in e.also {
                    if from <= to {
                        seen.add(from, to);
                    }
                }
                epochs.insert(id, seen);
            }
            boxes.insert(b.box_id, epochs);
        }
        Ok(boxes)
    }

    pub(super) fn store(&self, boxes: &BTreeMap<BoxId, BTreeMap<Epoch, Seen>>) -> Result<(), StateError> {
        let epoch_form = |(epoch, seen): (&Epoch, &Seen)| EpochForm {
            epoch: epoch.to_string(),
            upto: seen.upto,
            also: seen.ranges.iter().map(|(a, b)| (*a, *b)).collect(),
            first: seen.first,
            used: seen.used,
        };
        let box_form = |(box_id, epochs): (&BoxId, &BTreeMap<Epoch, Seen>)| BoxForm {
            box_id: box_id.clone(),
            epochs: epochs.iter().map(epoch_form).collect(),
        };
        let state = StateForm { version: 1, boxes: boxes.iter().map(box_form).collect() };
        let io = |source| StateError::Io { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(&state).map_err(|e| io(e.into()))?;
        let temporary = self.path.with_added_extension("new");
        let mut file = File::create(&temporary).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &self.path).map_err(io)?;
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io)
    }
}

fn epoch_of(hex: &str) -> Option<Epoch> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok().map(Epoch)
}
