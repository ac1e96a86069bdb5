//! One record of the log, its one form as bytes, and how records stand in the file.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use minicbor::{Decode, Encode};

use crate::domain::TimeMs;
use crate::store::error::Error;
use crate::store::row;

pub(super) const MAGIC: &[u8; 8] = b"WPAUDT\0\x02";
/// First bytes of a log of the first version.
pub(super) const MAGIC_V1: &[u8; 8] = b"WPAUDT\0\x01";
pub(super) const AUDIT_VERSION: u8 = 2;
/// No record is longer; a length above it is damage.
pub const MAX_RECORD: usize = 64 << 10;
/// Bytes before a record: its length and its checksum.
const HEAD: u64 = 8;

/// One record: a leaf of the tree is its CBOR.
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
    /// What happened, as [`super::Event::as_str`] says it.
    #[n(3)]
    pub event: String,
    /// How much of what: pairs of name and value.
    #[n(4)]
    pub details: Vec<(String, String)>,
}

impl AuditRecord {
    /// The value of a detail.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Takes a leaf back; `None` when it is no record in its one form.
    #[must_use]
    pub fn decode(leaf: &[u8]) -> Option<Self> {
        let record: Self = minicbor::decode(leaf).ok()?;
        (record.version == AUDIT_VERSION && row::encode(&record) == leaf).then_some(record)
    }

    /// As JSON, for people and programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let details = self.details.iter().map(|(n, v)| (n.clone(), serde_json::Value::from(v.clone())));
        serde_json::json!({
            "number": self.number,
            "at": self.at.to_string(),
            "event": self.event,
            "details": details.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// Appends a record as it stands in the file.
pub(super) fn frame(leaf: &[u8], out: &mut Vec<u8>) {
    out.extend(u32::try_from(leaf.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(crc32fast::hash(leaf).to_be_bytes());
    out.extend(leaf);
}

/// What stands at a place of the file.
#[derive(Debug)]
pub(super) enum Step {
    /// A record.
    Record(AuditRecord, Vec<u8>),
    /// The end.
    End,
    /// So many bytes that never became a record.
    Torn(u64),
    /// Something else.
    Damaged(String),
}

/// Reads records off a log, from a place on, with every check.
pub(super) struct Reader {
    file: BufReader<File>,
    /// Bytes of the file behind the place.
    left: u64,
    /// The place.
    pub(super) at: u64,
    /// Number of the record before it.
    pub(super) number: u64,
}

impl Reader {
    /// At a place that is known to be the start of the record after `number`.
    pub(super) fn at(path: &Path, at: u64, number: u64) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let len = file.metadata().map_err(Error::io("read", path))?.len();
        file.seek(SeekFrom::Start(at)).map_err(Error::io("read", path))?;
        Ok(Self { file: BufReader::with_capacity(64 << 10, file), left: len.saturating_sub(at), at, number })
    }

    /// At the first record; the magic has been looked at.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        Self::at(path, MAGIC.len() as u64, 0)
    }

    /// The next record.
    pub(super) fn step(&mut self) -> std::io::Result<Step> {
        if self.left == 0 {
            return Ok(Step::End);
        }
        if self.left < HEAD {
            return Ok(Step::Torn(self.left));
        }
        let mut head = [0; 8];
        self.file.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let (len, crc) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if len as usize > MAX_RECORD {
            return Ok(Step::Damaged(format!("record {} says that it has {len} bytes", self.number + 1)));
        }
        if self.left - HEAD < u64::from(len) {
            return Ok(Step::Torn(self.left));
        }
        let mut leaf = vec![0; len as usize];
        self.file.read_exact(&mut leaf)?;
        let behind = self.left - HEAD - u64::from(len);
        if crc32fast::hash(&leaf) != crc {
            let torn = behind == 0;
            return Ok(if torn {
                Step::Torn(self.left)
            } else {
                Step::Damaged(format!("record {} does not fit its checksum", self.number + 1))
            });
        }
        let wanted = self.number + 1;
        let record = match AuditRecord::decode(&leaf) {
            Some(record) if record.number == wanted => record,
            Some(other) => {
                let what = format!(
                    "record {} stands where {wanted} has to be: records were taken out, put in or moved",
                    other.number
                );
                return Ok(Step::Damaged(what));
            }
            None => return Ok(Step::Damaged(format!("record {wanted} is not in the form of this version"))),
        };
        self.left = behind;
        self.at += HEAD + u64::from(len);
        self.number = wanted;
        Ok(Step::Record(record, leaf))
    }
}
