//! The few file operations that the store's durability rests on, behind a trait so that tests can make them fail.
//!
//! Only writing goes through it: what is read is verified by checksums and seals anyway. Every call either did what it
//! says or returned an error; after an error of [`DiskFile`] the file is not used again (a failed `fsync` may have
//! dropped the pages that it could not write, and says so once).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// An open file that is only ever appended to.
pub trait DiskFile: Send {
    /// Writes all of `bytes` at the end.
    ///
    /// # Errors
    /// As the system says; some of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended so far is on the medium (`fdatasync`).
    ///
    /// # Errors
    /// As the system says; nothing is known then of what was appended since the last success.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system as the store uses it.
pub trait Disk: Send + Sync {
    /// Makes a new file, 0600; it must not exist.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, to append.
    ///
    /// # Errors
    /// As the system says.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames, replacing what is there.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Cuts a file to `len` bytes and syncs it.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Makes a new file that takes up `bytes` on the medium, durable.
    ///
    /// # Errors
    /// As the system says.
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// As the system says.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes names made, changed or removed in the folder durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything written to the file system of `path` durable, with one call (`syncfs`).
    ///
    /// # Errors
    /// As the system says.
    fn sync_all(&self, path: &Path) -> io::Result<()>;
    /// Bytes that this process may still write on the file system of `path`.
    ///
    /// # Errors
    /// As the system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The real file system.
#[derive(Debug, Default)]
pub struct RealDisk;

struct RealFile(File);

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        file.sync_all()
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Writes a small file so that either the whole of it is there after a crash, or nothing: temporary name, sync, rename.
///
/// # Errors
/// As the system says; the temporary file is removed then.
pub(super) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    // What an earlier try left behind.
    let _ = disk.remove(&tmp);
    let result = (|| {
        let mut file = disk.create(&tmp)?;
        file.append(bytes)?;
        file.sync()?;
        disk.rename(&tmp, path)?;
        path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
    })();
    if result.is_err() {
        let _ = disk.remove(&tmp);
    }
    result
}

#[cfg(test)]
pub(super) mod faulty {
    //! A disk that fails at a chosen call, and that forgets at a "power cut" what was never synced.

    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// How the chosen call fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// No space left, nothing written.
        Full,
        /// Input/output error, nothing written.
        Io,
        /// Half of the bytes are written, then no space. On a call that writes nothing: as `Io`.
        Short,
        /// Everything is written and the call says that it failed.
        Late,
    }

    #[derive(Default)]
    struct State {
        calls: u64,
        plan: Option<(u64, u64, Fault)>,
        free: Option<u64>,
        /// No file can be made in folders of this name.
        no_new: Option<&'static str>,
        hit: u64,
        /// Bytes known to be on the medium, by path, of files written through here.
        synced: HashMap<PathBuf, u64>,
    }

    /// Fails calls `from..from + count` with one kind of fault.
    #[derive(Clone, Default)]
    pub struct FaultyDisk(Arc<Mutex<State>>);

    struct FaultyFile {
        disk: FaultyDisk,
        path: PathBuf,
        inner: Box<dyn DiskFile>,
    }

    impl FaultyDisk {
        pub fn plan(&self, from: u64, count: u64, fault: Fault) {
            let mut state = self.0.lock().unwrap();
            state.calls = 0;
            state.hit = 0;
            state.plan = Some((from, count, fault));
        }

        pub fn heal(&self) {
            self.0.lock().unwrap().plan = None;
        }

        pub fn set_free(&self, free: Option<u64>) {
            self.0.lock().unwrap().free = free;
        }

        /// Has no new file made in folders of this name, as where inodes or a quota are out: bytes are free.
        pub fn refuse_new(&self, folder: Option<&'static str>) {
            self.0.lock().unwrap().no_new = folder;
        }

        /// How many calls were made to fail.
        pub fn hit(&self) -> u64 {
            self.0.lock().unwrap().hit
        }

        /// Cuts every file to what was synced, as a power cut may.
        pub fn power_cut(&self) {
            let state = self.0.lock().unwrap();
            for (path, synced) in &state.synced {
                if fs::metadata(path).is_ok_and(|m| m.len() > *synced) {
                    OpenOptions::new().write(true).open(path).unwrap().set_len(*synced).unwrap();
                }
            }
        }

        fn call(&self) -> Option<Fault> {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            let (from, count, fault) = state.plan?;
            if (from..from.saturating_add(count)).contains(&state.calls) {
                state.hit += 1;
                Some(fault)
            } else {
                None
            }
        }

        fn run<T>(&self, op: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            match self.call() {
                None => op(),
                Some(Fault::Late) => {
                    op()?;
                    Err(io::Error::other("injected, late"))
                }
                Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
                Some(Fault::Io | Fault::Short) => Err(io::Error::other("injected")),
            }
        }

        fn note_synced(&self, path: &Path) {
            let len = fs::metadata(path).map_or(0, |m| m.len());
            self.0.lock().unwrap().synced.insert(path.to_owned(), len);
        }

        fn file(&self, path: &Path, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
            Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), inner })
        }
    }

    impl DiskFile for FaultyFile {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            match self.disk.call() {
                None => self.inner.append(bytes),
                Some(Fault::Short) => {
                    self.inner.append(&bytes[..bytes.len() / 2])?;
                    Err(io::ErrorKind::StorageFull.into())
                }
                Some(Fault::Late) => {
                    self.inner.append(bytes)?;
                    Err(io::Error::other("injected, late"))
                }
                Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
                Some(Fault::Io) => Err(io::Error::other("injected")),
            }
        }

        fn sync(&mut self) -> io::Result<()> {
            self.disk.run(|| self.inner.sync())?;
            self.disk.note_synced(&self.path);
            Ok(())
        }
    }

    impl Disk for FaultyDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let no_new = self.0.lock().unwrap().no_new;
            if no_new.is_some_and(|folder| path.components().any(|part| part.as_os_str() == folder)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inner = self.run(|| RealDisk.create(path))?;
            self.0.lock().unwrap().synced.insert(path.to_owned(), 0);
            Ok(self.file(path, inner))
        }

        fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let inner = self.run(|| RealDisk.open_append(path))?;
            Ok(self.file(path, inner))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.run(|| RealDisk.rename(from, to))?;
            let mut state = self.0.lock().unwrap();
            if let Some(synced) = state.synced.remove(from) {
                state.synced.insert(to.to_owned(), synced);
            }
            Ok(())
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.run(|| RealDisk.remove(path))?;
            self.0.lock().unwrap().synced.remove(path);
            Ok(())
        }

        fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
            self.run(|| RealDisk.truncate(path, len))?;
            self.note_synced(path);
            Ok(())
        }

        fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
            self.run(|| RealDisk.allocate(path, bytes))
        }

        fn make_dir(&self, path: &Path) -> io::Result<()> {
            self.run(|| RealDisk.make_dir(path))
        }

        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.run(|| RealDisk.sync_dir(path))
        }

        fn sync_all(&self, path: &Path) -> io::Result<()> {
            // The real call would sync the whole machine; what this process wrote is what counts here.
            self.run(|| Ok(()))?;
            let paths: Vec<PathBuf> = self.0.lock().unwrap().synced.keys().cloned().collect();
            paths.iter().filter(|p| p.starts_with(path)).for_each(|p| self.note_synced(p));
            Ok(())
        }

        fn free_bytes(&self, path: &Path) -> io::Result<u64> {
            match self.0.lock().unwrap().free {
                Some(free) => Ok(free),
                None => RealDisk.free_bytes(path),
            }
        }
    }
}
