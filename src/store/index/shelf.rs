//! Files of full blocks of the plate column: `index/column/<shelf>-<day>-<class>`, sealed blocks one after the other.
//!
//! A search reads the column from one end to the other, which sled does slowly and at the cost of its cache; so what will
//! not change any more lies in plain files, and the index's rows say where. Blocks are appended and synced before the row
//! that names them is written: what a crash leaves behind is bytes that no row names. The files belong to the index and go
//! with it when it is set aside.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::RetentionClass;
use crate::store::column::{Group, Shelf, Spot};
use crate::store::error::Error;
use crate::store::seal::class_byte;

/// Files that a search holds open at a time.
const OPEN: usize = 16;

/// The folder.
pub(in crate::store) struct Shelves {
    dir: PathBuf,
}

impl Shelves {
    pub(super) fn of(index_dir: &Path) -> Self {
        Self { dir: index_dir.join("column") }
    }

    fn path(&self, group: Group) -> PathBuf {
        let letter = match group.shelf {
            Shelf::Sightings => 's',
            Shelf::Hits => 'h',
        };
        self.dir.join(format!("{letter}-{}-{}", group.day, class_byte(group.class)))
    }

    /// Bytes of a group's file; 0 when there is none.
    pub(super) fn len(&self, group: Group) -> u64 {
        fs::metadata(self.path(group)).map_or(0, |m| m.len())
    }

    /// Appends blocks and returns where they are when they are on the medium.
    ///
    /// # Errors
    /// I/O errors; what was written then is named by no row.
    pub(super) fn append(&self, group: Group, blocks: &[Vec<u8>]) -> Result<Vec<Spot>, Error> {
        if !self.dir.exists() {
            fs::DirBuilder::new().mode(0o700).create(&self.dir).map_err(Error::io("make", &self.dir))?;
        }
        let path = self.path(group);
        let is_new = !path.exists();
        let put = || -> std::io::Result<Vec<Spot>> {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            let mut offset = file.metadata()?.len();
            let mut spots = Vec::with_capacity(blocks.len());
            for block in blocks {
                // A block is some kilobytes.
                let len = u32::try_from(block.len()).unwrap_or(u32::MAX);
                spots.push(Spot { offset, len });
                offset += block.len() as u64;
            }
            file.write_all(&blocks.concat())?;
            file.sync_data()?;
            if is_new {
                File::open(&self.dir)?.sync_all()?;
            }
            Ok(spots)
        };
        put().map_err(Error::io("write", &path))
    }

    /// Removes what was sealed by the key of (day, class), which is gone.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn remove(&self, day: u32, class: RetentionClass) -> Result<(), Error> {
        for shelf in [Shelf::Sightings, Shelf::Hits] {
            let path = self.path(Group { shelf, day, class });
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&self, group: Group) -> std::io::Result<File> {
        File::open(self.path(group))
    }
}

/// Open files of one search.
#[derive(Default)]
pub(in crate::store) struct Reader {
    open: HashMap<Group, File>,
}

impl Reader {
    /// Reads a block; `None` when it is not there.
    ///
    /// # Errors
    /// I/O errors, as an index that can't be trusted.
    pub(super) fn read(&mut self, shelves: &Shelves, group: Group, spot: Spot) -> Result<Option<Vec<u8>>, Error> {
        let failed = |error: std::io::Error| Error::Index { what: format!("its plate column cannot be read: {error}") };
        if !self.open.contains_key(&group) {
            match shelves.open(group) {
                Ok(file) => {
                    if self.open.len() >= OPEN {
                        self.open.clear();
                    }
                    self.open.insert(group, file);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
        let Some(file) = self.open.get(&group) else { return Ok(None) };
        let mut bytes = vec![0; spot.len as usize];
        file.read_exact_at(&mut bytes, spot.offset).map_err(failed)?;
        Ok(Some(bytes))
    }
}
