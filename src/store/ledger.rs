//! The append-only ledger: what is committed. Its only writer is the recorder.
//!
//! [`Ledger::append`] returns after the batch is on the medium (one `fdatasync`), or with an error; then nothing of it
//! counts. After any fault the segment in hand is not trusted any more: pages that a failed sync could not write may be
//! gone though they still read well. The next batch goes into a new segment, whose header names the last batch that was
//! acknowledged, so whatever stands behind that one in the old segment is ignored by whoever reads it (`walk`).
//!
//! Before a byte is written the free space is looked at: below the reserve nothing is, so that the index, which cannot
//! answer a full disk as gently, never meets one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;

use super::disk::{Disk, DiskFile};
use super::error::Error;
use super::segment::{Batch, Chain, Header};
use crate::domain::{Epoch, TimeMs};

/// A segment is closed when it has grown past this.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;

/// Where a ledger ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) epoch: Epoch,
    /// Newest segment; 0 when there is none.
    pub(super) segment: u64,
    /// Its length, or `None` when the next batch must begin a new one.
    pub(super) offset: Option<u64>,
    pub(super) chain: Chain,
    /// Newest batch; 0 when there is none.
    pub(super) batch: u64,
    /// Newest seq; 0 when none was given out.
    pub(super) last_seq: u64,
}

impl End {
    /// The end of a ledger with nothing in it.
    pub(super) fn empty(epoch: Epoch) -> Self {
        Self { epoch, segment: 0, offset: None, chain: [0; 32], batch: 0, last_seq: 0 }
    }
}

/// The ledger, open for appending.
pub(super) struct Ledger {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    mac: hmac::Key,
    file: Option<Box<dyn DiskFile>>,
    end: End,
    reserve_bytes: u64,
    segment_bytes: u64,
}

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

impl Ledger {
    /// Makes the folder and the first segment, which carries the epoch.
    ///
    /// # Errors
    /// I/O errors; then the folder may be there, with nothing valid in it.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        mac: hmac::Key,
        epoch: Epoch,
        now: TimeMs,
    ) -> Result<Self, Error> {
        disk.make_dir(dir).map_err(Error::io("make", dir))?;
        let mut ledger = Self::resume(disk, dir, mac, End::empty(epoch), 0);
        ledger.next_segment(now)?;
        Ok(ledger)
    }

    /// Goes on where a ledger ends.
    pub(super) fn resume(disk: Arc<dyn Disk>, dir: &Path, mac: hmac::Key, end: End, reserve_bytes: u64) -> Self {
        Self { disk, dir: dir.to_owned(), mac, file: None, end, reserve_bytes, segment_bytes: SEGMENT_BYTES }
    }

    /// Other segment sizes, for tests.
    #[cfg(test)]
    pub(super) fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    /// Makes one batch durable and returns how many bytes it took. Its number must be the next one.
    ///
    /// # Errors
    /// [`Error::NoSpace`] below the reserve, I/O errors: the batch does not count then and may be tried again.
    pub(super) fn append(&mut self, batch: &Batch, now: TimeMs) -> Result<u64, Error> {
        let (frame, chain) = batch.encode(&self.mac, &self.end.chain);
        let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        self.check_space(len)?;
        if self.end.offset.is_none_or(|offset| offset >= self.segment_bytes) {
            self.file = None;
            self.end.offset = None;
            self.next_segment(now)?;
        }
        let path = segment_path(&self.dir, self.end.segment);
        if let Err(error) = self.write(&path, &frame) {
            // From here on the segment holds what nobody vouches for.
            self.file = None;
            self.end.offset = None;
            return Err(error);
        }
        self.end.offset = self.end.offset.map(|offset| offset + len);
        self.end.chain = chain;
        self.end.batch = batch.number;
        self.end.last_seq = batch.last_seq;
        Ok(len)
    }

    fn write(&mut self, path: &Path, frame: &[u8]) -> Result<(), Error> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.disk.open_append(path).map_err(Error::io("open", path))?),
        };
        file.append(frame).map_err(Error::io("append to", path))?;
        file.sync().map_err(Error::io("sync", path))
    }

    fn check_space(&self, len: u64) -> Result<(), Error> {
        let free = self.disk.free_bytes(&self.dir).map_err(Error::io("ask the free space of", &self.dir))?;
        let need = self.reserve_bytes.saturating_add(len);
        if free < need { Err(Error::NoSpace { free, need, path: self.dir.clone() }) } else { Ok(()) }
    }

    fn next_segment(&mut self, now: TimeMs) -> Result<(), Error> {
        let number = self.end.segment + 1;
        let path = segment_path(&self.dir, number);
        let header = Header {
            segment: number,
            epoch: self.end.epoch,
            first_batch: self.end.batch + 1,
            last_seq: self.end.last_seq,
            made_at_ms: now.0,
            prev: self.end.chain,
        };
        let bytes = header.encode(&self.mac);
        if path.exists() {
            // Left by a try that failed: nothing in it was ever acknowledged.
            self.disk.remove(&path).map_err(Error::io("remove", &path))?;
        }
        let make = || {
            let mut file = self.disk.create(&path).map_err(Error::io("make", &path))?;
            file.append(&bytes).map_err(Error::io("append to", &path))?;
            file.sync().map_err(Error::io("sync", &path))?;
            self.disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
            Ok(file)
        };
        match make() {
            Ok(file) => {
                self.file = Some(file);
                self.end.segment = number;
                self.end.offset = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Ok(())
            }
            Err(error) => {
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }
}
