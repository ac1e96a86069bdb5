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

#[cfg(test)]
mod tests {
    use super::super::disk::faulty::{Fault, FaultyDisk};
    use super::super::record::{Reason, Record};
    use super::super::seal::StoreKey;
    use super::super::walk;
    use super::*;

    const NOW: TimeMs = TimeMs(1_767_225_600_000);

    fn mac() -> hmac::Key {
        StoreKey::from_bytes([4; 32]).ledger_mac().unwrap()
    }

    fn ledger(disk: &FaultyDisk, dir: &Path) -> Ledger {
        let ledger = Ledger::create(Arc::new(disk.clone()), dir, mac(), Epoch([1; 8]), NOW).unwrap();
        ledger.with_segment_bytes(300)
    }

    fn append(ledger: &mut Ledger, seq: u64) -> Result<u64, Error> {
        let records = vec![Record::gone(Reason::Acked, &[(seq, seq)])];
        ledger.append(&Batch { number: ledger.end().batch + 1, last_seq: seq, records }, NOW)
    }

    fn walked(dir: &Path, from: u64) -> Result<(Vec<u64>, End), Error> {
        let mut seen = Vec::new();
        let found = walk::walk(dir, &mac(), from, &mut |batch| {
            seen.push(batch.last_seq);
            Ok(())
        })?;
        Ok((seen, found.unwrap().end))
    }

    #[test]
    fn batches_come_back_in_order_over_many_segments() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&FaultyDisk::default(), dir.path());
        for seq in 1..=40 {
            append(&mut ledger, seq).unwrap();
        }
        assert!(walk::segments(dir.path()).unwrap().len() > 10);
        let (seen, end) = walked(dir.path(), 1).unwrap();
        assert_eq!(seen, (1..=40).collect::<Vec<u64>>());
        assert_eq!(end, *ledger.end());
        assert_eq!(walked(dir.path(), 31).unwrap().0, (31..=40).collect::<Vec<u64>>());

        let mut again = Ledger::resume(Arc::new(FaultyDisk::default()), dir.path(), mac(), end, 0);
        append(&mut again, 41).unwrap();
        assert_eq!(walked(dir.path(), 41).unwrap().0, [41]);
    }

    #[test]
    fn what_a_failed_write_left_is_never_read_though_it_is_whole() {
        for fault in [Fault::Full, Fault::Io, Fault::Short, Fault::Late] {
            for call in 1..=8 {
                let dir = tempfile::tempdir().unwrap();
                let disk = FaultyDisk::default();
                let mut ledger = ledger(&disk, dir.path());
                append(&mut ledger, 1).unwrap();
                disk.plan(call, 1, fault);
                let mut acked = vec![1];
                for seq in [2, 7, 8, 9] {
                    acked.extend(append(&mut ledger, seq).is_ok().then_some(seq));
                }
                assert_eq!(walked(dir.path(), 1).unwrap().0, acked, "{fault:?} at call {call}");
            }
        }
    }

    #[test]
    fn a_missing_or_exchanged_segment_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&FaultyDisk::default(), dir.path());
        for seq in 1..=9 {
            append(&mut ledger, seq).unwrap();
        }
        let (second, third) = (segment_path(dir.path(), 2), segment_path(dir.path(), 3));
        let bytes = std::fs::read(&second).unwrap();
        std::fs::copy(&third, &second).unwrap();
        assert!(matches!(walked(dir.path(), 1), Err(Error::Damaged { segment: 2, .. })));
        std::fs::remove_file(&second).unwrap();
        assert!(matches!(walked(dir.path(), 1), Err(Error::Damaged { segment: 1, .. })));
        std::fs::write(&second, bytes).unwrap();
        std::fs::remove_file(segment_path(dir.path(), 1)).unwrap();
        assert!(matches!(walked(dir.path(), 1), Err(Error::Damaged { segment: 2, .. })));
    }
}
