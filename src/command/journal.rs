//! The journal of command ids: what was taken is on the medium before it is executed, so that nothing is executed twice.
//!
//! ```text
//! journal:  "WPCMDJ\0\1", then records:  length 4 ‖ CRC-32 of the CBOR 4 ‖ CBOR      (big-endian)
//! CBOR:     { 0: 0, 1: floor }                                              commands issued before are not taken
//!           { 0: 1, 2: id, 3: issued, 4: op, 5: fingerprint, ? 6: true }    taken; 6: by a challenge
//!           { 0: 2, 2: id, ? 7: reply }                                     done, and what was answered
//!           { 0: 3 }                                                        the floor is not known
//! ```
//! Times are seconds since 1970. The fingerprint is the first 16 bytes of the SHA-256 of the envelope: an id that comes with
//! another one is no redelivery.
//!
//! **Bounded**: beyond 4,096 ids or 4 MiB the file is written anew with the 1,024 newest ids. Before an id is forgotten the
//! *floor* is put above its time of issue, in the same file: what was issued before the floor is refused as too old, so a
//! forgotten id cannot come back, whatever the clock does. Only a command that names a challenge may pass below the
//! floor: its challenge counts for minutes and in one run of the daemon alone. A journal that is damaged is set aside;
//! the floor is then the present, as soon as the clock is set.
//!
//! Answers are kept up to 2 MiB, the newest; such as tell of plates in memory alone and for ten minutes, so that none comes
//! back after what it tells of was deleted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::CommandId;
use super::envelope::AHEAD_MS;
use super::ops;
use crate::clock::Clock;
use crate::domain::{ClockState, Op};
use crate::store::disk::{Disk, DiskFile};

const MAGIC: &[u8; 8] = b"WPCMDJ\0\x01";
const FILE: &str = "journal";
/// Most ids, and most bytes of the file, before it is written anew.
const MOST_IDS: usize = 4_096;
const MOST_BYTES: u64 = 4 << 20;
/// Ids that stay when it is.
const KEPT_IDS: usize = 1_024;
/// Most bytes of answers that are kept.
const MOST_ANSWERS: usize = 2 << 20;
/// No record is longer; a length above it is damage.
const MAX_RECORD: usize = 128 << 10;
/// A challenge counts for less.
const CHALLENGE_LASTS: Duration = Duration::from_mins(10);

/// How long an answer that is in memory alone is given again: longer than a command counts.
const MEMORY_LASTS: Duration = Duration::from_mins(10);

/// What of an envelope tells it from others.
pub type Fingerprint = [u8; 16];

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct Record {
    #[n(0)]
    kind: u8,
    #[n(1)]
    floor_s: Option<u64>,
    #[n(2)]
    id: Option<minicbor::bytes::ByteArray<16>>,
    #[n(3)]
    issued_s: Option<u64>,
    #[n(4)]
    op: Option<Op>,
    #[n(5)]
    fingerprint: Option<minicbor::bytes::ByteArray<16>>,
    #[n(6)]
    challenged: Option<bool>,
    #[n(7)]
    reply: Option<ByteVec>,
}

const EMPTY: Record = Record {
    kind: 0,
    floor_s: None,
    id: None,
    issued_s: None,
    op: None,
    fingerprint: None,
    challenged: None,
    reply: None,
};

/// A command that is about to be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: CommandId,
    /// What it asks for.
    pub op: Op,
    /// When it was issued, seconds since 1970.
    pub issued_s: u64,
    /// Of its envelope.
    pub fingerprint: Fingerprint,
    /// It names a challenge.
    pub challenged: bool,
}

#[derive(Debug)]
struct Entry {
    taken: Taken,
    /// Order of taking.
    number: u64,
    /// When it was taken in this run; none of an earlier one.
    at: Option<Duration>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Running,
    /// The answer, and whether it may be on disk.
    Answered(Vec<u8>, bool),
    /// Done; the answer is not kept.
    Gone,
}

/// What the journal knows of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// It is being executed, or was when the daemon ended.
    Running,
    /// What was answered: the CBOR of the reply.
    Answered(Vec<u8>),
    /// It was done; what was answered is not kept.
    Gone,
    /// Another command used this id.
    Other,
}

/// See the module.
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Clock,
    file: Option<Box<dyn DiskFile>>,
    /// Length that is known to be good; anything behind it is cut before the next append.
    len: u64,
    entries: HashMap<CommandId, Entry>,
    next_number: u64,
    answers: usize,
    floor_s: u64,
    floor_unknown: bool,
}

impl Journal {
    /// Opens the journal in `dir`, which is made when it is not there.
    ///
    /// # Errors
    /// As the system says. Damage is no error: the file is set aside.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, clock: Clock) -> io::Result<Self> {
        disk.make_dir(dir)?;
        let mut journal = Self {
            disk,
            dir: dir.to_owned(),
            clock,
            file: None,
            len: 0,
            entries: HashMap::new(),
            next_number: 0,
            answers: 0,
            floor_s: 0,
            floor_unknown: false,
        };
        let path = journal.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if journal.read(&bytes).is_none() {
            let aside = dir.join(format!("{FILE}.damaged-{}", journal.clock.utc().0));
            tracing::error!(path = %path.display(), at = journal.len, aside = %aside.display(),
                "the journal of commands is damaged and set aside: commands issued until now are not taken");
            journal.disk.rename(&path, &aside)?;
            journal.floor_unknown = true;
            journal.rewrite()?;
        }
        journal.settle_floor()?;
        Ok(journal)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Takes in a file's records up to a torn end; `None` when it is damaged.
    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.len() < MAGIC.len() {
            return Some(());
        }
        let mut rest = bytes.strip_prefix(&MAGIC[..])?;
        self.len = MAGIC.len() as u64;
        while let Some((head, tail)) = rest.split_at_checked(8) {
            let (len, crc) = head.split_at_checked(4)?;
            let len = usize::try_from(u32::from_be_bytes(len.try_into().ok()?)).ok()?;
            let crc = u32::from_be_bytes(crc.try_into().ok()?);
            if len > MAX_RECORD {
                return None;
            }
            // What was not written whole was never executed.
            let Some((cbor, after)) = tail.split_at_checked(len) else { break };
            if crc32fast::hash(cbor) != crc {
                if after.is_empty() {
                    break;
                }
                return None;
            }
            self.apply(minicbor::decode(cbor).ok()?)?;
            self.len += 8 + len as u64;
            rest = after;
        }
        Some(())
    }

    fn apply(&mut self, record: Record) -> Option<()> {
        match record.kind {
            0 => {
                self.floor_s = self.floor_s.max(record.floor_s?);
                self.floor_unknown = false;
            }
            1 => {
                let taken = Taken {
                    id: record.id?.into(),
                    op: record.op?,
                    issued_s: record.issued_s?,
                    fingerprint: record.fingerprint?.into(),
                    challenged: record.challenged == Some(true),
                };
                self.insert(taken, None);
            }
            2 => {
                let id: CommandId = record.id?.into();
                self.note(&id, record.reply.map(Vec::from), true);
            }
            3 => self.floor_unknown = true,
            _ => return None,
        }
        Some(())
    }

    fn insert(&mut self, taken: Taken, at: Option<Duration>) {
        self.next_number += 1;
        let entry = Entry { number: self.next_number, at, outcome: Outcome::Running, taken };
        self.entries.insert(entry.taken.id, entry);
    }

    /// Notes the outcome in memory and keeps the bound of answers.
    fn note(&mut self, id: &CommandId, reply: Option<Vec<u8>>, on_disk: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.outcome = match reply {
            Some(reply) => {
                self.answers += reply.len();
                Outcome::Answered(reply, on_disk)
            }
            None => Outcome::Gone,
        };
        while self.answers > MOST_ANSWERS {
            let kept = self.entries.values_mut().filter(|e| matches!(e.outcome, Outcome::Answered(..)));
            let Some(oldest) = kept.min_by_key(|e| e.number) else { return };
            if let Outcome::Answered(reply, _) = std::mem::replace(&mut oldest.outcome, Outcome::Gone) {
                self.answers -= reply.len();
            }
        }
    }

    /// Lets go of answers that are in memory alone, once their time is over.
    pub fn forget_answers(&mut self) {
        let now = self.clock.monotonic();
        for entry in self.entries.values_mut() {
            let is_over = entry.at.is_none_or(|at| now.saturating_sub(at) >= MEMORY_LASTS);
            if is_over && let Outcome::Answered(reply, false) = &entry.outcome {
                self.answers -= reply.len();
                entry.outcome = Outcome::Gone;
            }
        }
    }

    /// What is known of an id that came in an envelope with this fingerprint.
    #[must_use]
    pub fn known(&self, id: &CommandId, fingerprint: &Fingerprint) -> Known {
        match self.entries.get(id) {
            None => Known::New,
            Some(entry) if entry.taken.fingerprint != *fingerprint => Known::Other,
            Some(entry) => match &entry.outcome {
                Outcome::Running => Known::Running,
                Outcome::Answered(reply, _) => Known::Answered(reply.clone()),
                Outcome::Gone => Known::Gone,
            },
        }
    }

    /// The commands that were being executed when the daemon ended: none of this run.
    #[must_use]
    pub fn interrupted(&self) -> Vec<(CommandId, Op)> {
        let cut = self.entries.values().filter(|e| e.at.is_none() && matches!(e.outcome, Outcome::Running));
        let mut cut: Vec<&Entry> = cut.collect();
        cut.sort_by_key(|e| e.number);
        cut.into_iter().map(|e| (e.taken.id, e.taken.op)).collect()
    }

    /// From when on commands have to be issued, seconds since 1970: what was issued before may have been forgotten. Not
    /// asked for commands that name a challenge.
    ///
    /// # Errors
    /// When the floor cannot be made durable.
    pub fn floor(&mut self) -> io::Result<u64> {
        self.settle_floor()?;
        Ok(if self.floor_unknown { u64::MAX } else { self.floor_s })
    }

    /// After damage: everything that may have been taken was issued before now.
    fn settle_floor(&mut self) -> io::Result<()> {
        if !self.floor_unknown || self.clock.state() == ClockState::Unset {
            return Ok(());
        }
        let now_s = self.clock.utc().0.saturating_add(AHEAD_MS) / 1000 + 1;
        let floor_s = self.floor_s.max(now_s);
        self.append(&Record { kind: 0, floor_s: Some(floor_s), ..EMPTY })?;
        (self.floor_s, self.floor_unknown) = (floor_s, false);
        Ok(())
    }

    /// Takes an id: on the medium when this returns.
    ///
    /// # Errors
    /// When it cannot be written: the command must not be executed.
    pub fn take(&mut self, taken: Taken) -> io::Result<()> {
        if self.entries.len() >= MOST_IDS || self.len >= MOST_BYTES {
            self.forget_oldest()?;
        }
        self.append(&taken_record(&taken))?;
        let at = self.clock.monotonic();
        self.insert(taken, Some(at));
        Ok(())
    }

    /// Notes how a command ended: its reply is on the medium when this returns, unless it is for memory alone.
    ///
    /// # Errors
    /// When it cannot be written; it is known in this run all the same.
    pub fn done(&mut self, id: &CommandId, reply: Option<Vec<u8>>, on_disk: bool) -> io::Result<()> {
        let kept = reply.as_ref().filter(|_| on_disk).cloned().map(ByteVec::from);
        let record = Record { kind: 2, id: Some((*id).into()), reply: kept, ..EMPTY };
        self.note(id, reply, on_disk);
        self.append(&record)
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut bytes = if self.len == 0 { MAGIC.to_vec() } else { Vec::new() };
        frame(record, &mut bytes);
        let written = self.write(&bytes);
        if written.is_err() {
            self.file = None;
        }
        written?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let path = self.path();
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let file = if path.exists() {
                self.disk.truncate(&path, self.len)?;
                self.disk.open_append(&path)?
            } else {
                let file = self.disk.create(&path)?;
                self.disk.sync_dir(&self.dir)?;
                file
            };
            self.file.insert(file)
        };
        file.append(bytes)?;
        file.sync()
    }

    /// Forgets all but the newest ids, the floor above what is forgotten.
    fn forget_oldest(&mut self) -> io::Result<()> {
        let now = self.clock.monotonic();
        // A command that named a challenge cannot come back once that does not count any more.
        let over = |e: &Entry| e.taken.challenged && e.at.is_none_or(|at| now.saturating_sub(at) > CHALLENGE_LASTS);
        let mut forgotten: Vec<CommandId> = Vec::new();
        let mut by_time: Vec<(u64, u64, CommandId)> = Vec::new();
        for (id, entry) in &self.entries {
            if over(entry) {
                forgotten.push(*id);
            } else if !entry.taken.challenged {
                by_time.push((entry.taken.issued_s, entry.number, *id));
            }
        }
        by_time.sort_unstable();
        let surplus = by_time.len().saturating_sub(KEPT_IDS);
        let mut floor_s = self.floor_s;
        for (issued_s, _, id) in by_time.iter().take(surplus) {
            floor_s = floor_s.max(issued_s.saturating_add(1));
            forgotten.push(*id);
        }
        self.floor_s = floor_s;
        for id in forgotten {
            if let Some(Entry { outcome: Outcome::Answered(reply, _), .. }) = self.entries.remove(&id) {
                self.answers -= reply.len();
            }
        }
        self.rewrite()
    }

    /// Writes the file anew: floor and what is known, by a temporary name.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        let floor = if self.floor_unknown {
            Record { kind: 3, ..EMPTY }
        } else {
            Record { kind: 0, floor_s: Some(self.floor_s), ..EMPTY }
        };
        frame(&floor, &mut bytes);
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|e| e.number);
        for entry in entries {
            frame(&taken_record(&entry.taken), &mut bytes);
            let id = Some(entry.taken.id.into());
            match &entry.outcome {
                Outcome::Running => {}
                Outcome::Answered(reply, true) => {
                    let reply = Some(ByteVec::from(reply.clone()));
                    frame(&Record { kind: 2, id, reply, ..EMPTY }, &mut bytes);
                }
                Outcome::Answered(_, false) | Outcome::Gone => frame(&Record { kind: 2, id, ..EMPTY }, &mut bytes),
            }
        }
        let (path, part) = (self.path(), self.dir.join("journal.part"));
        self.file = None;
        if part.exists() {
            self.disk.remove(&part)?;
        }
        let mut file = self.disk.create(&part)?;
        file.append(&bytes)?;
        file.sync()?;
        self.disk.rename(&part, &path)?;
        self.disk.sync_dir(&self.dir)?;
        self.len = bytes.len() as u64;
        Ok(())
    }
}

fn taken_record(taken: &Taken) -> Record {
    Record {
        kind: 1,
        id: Some(taken.id.into()),
        issued_s: Some(taken.issued_s),
        op: Some(taken.op),
        fingerprint: Some(taken.fingerprint.into()),
        challenged: taken.challenged.then_some(true),
        ..EMPTY
    }
}

fn frame(record: &Record, bytes: &mut Vec<u8>) {
    let cbor = ops::encode(record);
    bytes.extend(u32::try_from(cbor.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(crc32fast::hash(&cbor).to_be_bytes());
    bytes.extend(cbor);
}
