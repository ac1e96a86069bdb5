//! The stored hashes of the tree, so that a proof does not read the log.
//!
//! ```text
//! audit.hashes:  "WPAHSH\0\1", then 32 bytes a hash, in the order of Crosby and Wallach's dense storage
//!                (record n is followed by the hashes of the subtrees that it completes)
//! ```
//! They follow from the log and are never the truth: each is written after its record is on the medium and is not synced
//! itself. So there may be fewer of them after a crash, and never more: more of them mean that the log was cut.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tlog_tiles::tlog;

use crate::domain::tree::Edge;
use crate::domain::{TreeHash, TreeHead};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::Error;

const MAGIC: &[u8; 8] = b"WPAHSH\0\x01";
const HASH: u64 = 32;

/// The file, open for appending.
pub(super) struct Hashes {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    /// Hashes that are in it.
    count: u64,
}

/// Reads the hashes of a file in order.
pub(super) struct Stored {
    file: Option<BufReader<File>>,
    /// Whole hashes in it.
    pub(super) count: u64,
}

impl Stored {
    /// No file, and one that is none of these, have no hashes.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = match File::open(path) {
            Ok(file) => BufReader::with_capacity(64 << 10, file),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self { file: None, count: 0 }),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        let len = file.get_ref().metadata().map_err(Error::io("read", path))?.len();
        let mut magic = [0; MAGIC.len()];
        if len < MAGIC.len() as u64 || file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Ok(Self { file: None, count: 0 });
        }
        Ok(Self { file: Some(file), count: (len - MAGIC.len() as u64) / HASH })
    }

    /// The next one; `None` at the end.
    pub(super) fn next(&mut self) -> Option<TreeHash> {
        let mut hash = [0; 32];
        self.file.as_mut()?.read_exact(&mut hash).ok()?;
        Some(TreeHash(hash))
    }

    /// How many records these hashes are of.
    pub(super) fn records(&self) -> u64 {
        // The largest n with stored_hash_count(n) ≤ count: between count / 2 and count.
        let (mut low, mut high) = (self.count / 2, self.count);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if tlog::stored_hash_count(middle) <= self.count { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// Reads all from the start and checks that inner hashes follow from the leaves; `None` when they do not.
    pub(super) fn consistent(&mut self) -> Option<TreeHead> {
        let records = self.records();
        self.file.as_mut()?.seek(SeekFrom::Start(MAGIC.len() as u64)).ok()?;
        let mut edge = Edge::default();
        for _ in 0..records {
            let leaf = self.next()?;
            for wanted in edge.push(leaf).into_iter().skip(1) {
                if self.next()? != wanted {
                    return None;
                }
            }
        }
        Some(edge.head())
    }
}

impl Hashes {
    /// With `count` hashes that are known to be right; what stands behind them is cut before the next are appended.
    pub(super) fn resume(disk: Arc<dyn Disk>, path: PathBuf, count: u64) -> Self {
        Self { disk, path, file: None, count }
    }

    /// Appends. An error costs nothing but a longer start: the hashes follow from the log.
    pub(super) fn append(&mut self, hashes: &[TreeHash]) -> Result<(), Error> {
        let result = self.write(hashes);
        match result {
            Ok(()) => self.count += hashes.len() as u64,
            Err(_) => self.file = None,
        }
        result
    }

    fn write(&mut self, hashes: &[TreeHash]) -> Result<(), Error> {
        let path = &self.path;
        if self.file.is_none() {
            if self.count > 0 {
                let len = MAGIC.len() as u64 + self.count * HASH;
                self.disk.truncate(path, len).map_err(Error::io("cut", path))?;
                self.file = Some(self.disk.open_append(path).map_err(Error::io("open", path))?);
            } else {
                let _ = self.disk.remove(path);
                let mut file = self.disk.create(path).map_err(Error::io("make", path))?;
                file.append(MAGIC).map_err(Error::io("append to", path))?;
                self.file = Some(file);
            }
        }
        let bytes: Vec<u8> = hashes.iter().flat_map(|h| h.0).collect();
        self.file.as_mut().map_or(Ok(()), |file| file.append(&bytes)).map_err(Error::io("append to", path))
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Reads single hashes for a proof.
pub(super) struct Picked(File, PathBuf);

impl Picked {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self(File::open(path).map_err(Error::io("read", path))?, path.to_owned()))
    }

    /// The hashes at these places.
    pub(super) fn at(&self, places: &[u64]) -> Result<Vec<TreeHash>, Error> {
        let read = |place: &u64| {
            let mut hash = [0; 32];
            let at = (*place).saturating_mul(HASH).saturating_add(MAGIC.len() as u64);
            self.0.read_exact_at(&mut hash, at).map(|()| TreeHash(hash)).map_err(Error::io("read", &self.1))
        };
        places.iter().map(read).collect()
    }
}

impl tlog::HashReader for Picked {
    fn read_hashes(&self, places: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let found = self.at(places).map_err(|_| tlog::Error::IndexesNotInTree)?;
        Ok(found.into_iter().map(|h| tlog::Hash(h.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tree::leaf_hash;
    use crate::store::disk::RealDisk;

    #[test]
    fn the_number_of_records_follows_from_the_number_of_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.hashes");
        let mut hashes = Hashes::resume(Arc::new(RealDisk), path.clone(), 0);
        let mut edge = Edge::default();
        assert_eq!(Stored::open(&path).unwrap().records(), 0);
        for n in 1..200_u64 {
            hashes.append(&edge.push(leaf_hash(&n.to_be_bytes()))).unwrap();
            let mut stored = Stored::open(&path).unwrap();
            assert_eq!((stored.records(), stored.consistent()), (n, Some(edge.head())));
        }
    }
}
