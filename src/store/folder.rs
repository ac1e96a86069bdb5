//! The store's folder: what lies where, its lock, its format version, and the ballast for a full disk.
//!
//! ```text
//! lock          who has the store: flock, and the process id inside
//! format        "watchpost store 1 <16 hex digits that tell the store key>\n"
//! keys/         wrapped data keys, one a (day, class)            daykeys
//! ledger/       what is committed                                segment
//! index/        sled: what is asked                              index
//! evidence/     sealed pictures by day                           evidence
//! audit.log     what the store did                               audit
//! ballast       bytes to give up when the disk is full
//! aside/<ms>/   ledger or index that was set aside
//! ledger.new/   a salvage under way
//! ```
//! A newer format is refused, and a wrong key as well: neither is a damage, and nothing is touched.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::disk::{self, Disk};
use super::error::Error;
use super::seal::StoreKey;

/// Version of everything in the folder.
const FORMAT: u32 = 1;
/// Name of the audit log.
pub(super) const AUDIT: &str = "audit.log";
pub(super) const COUNTED: &str = "counted";
/// Below this a store cannot be opened: sled needs to write to open.
const OPEN_BYTES: u64 = 8 << 20;

/// The lock of a store's folder, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that is forked at this moment has the file open as well until it executes.
        let _ = self.0.unlock();
    }
}

/// Takes the lock of the folder, which is made if need be.
pub(super) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Lock, Error> {
    disk.make_dir(dir).map_err(Error::io("make", dir))?;
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked { path, holder: holder_of(&file) }),
        Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    // For people and for the message above; the lock itself does not depend on it.
    let note = format!("process {}\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    Ok(Lock(file))
}

/// Who has the lock, as it wrote itself down.
pub(super) fn holder_of(mut lock: &File) -> String {
    let mut holder = String::new();
    let _ = lock.rewind().and_then(|()| lock.take(64).read_to_string(&mut holder));
    let holder = holder.trim().to_owned();
    if holder.is_empty() { "another process".to_owned() } else { holder }
}

/// Checks format version and key, or writes them down in a new store.
pub(super) fn check_format(disk: &dyn Disk, dir: &Path, key: &StoreKey) -> Result<(), Error> {
    if read_format(dir, key)? {
        return Ok(());
    }
    let path = dir.join("format");
    let text = format!("watchpost store {FORMAT} {}\n", tag(key)?);
    disk::write_whole(disk, &path, text.as_bytes()).map_err(Error::io("write", &path))
}

/// Checks format version and key; false when none are written down.
pub(super) fn read_format(dir: &Path, key: &StoreKey) -> Result<bool, Error> {
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let bad = |what: &str| Error::Format { path: path.clone(), what: what.to_owned() };
    let rest =
        text.strip_prefix("watchpost store ").ok_or_else(|| bad("it does not begin with \"watchpost store\""))?;
    let (version, found) = rest.trim_end().split_once(' ').unwrap_or((rest.trim_end(), ""));
    let version: u32 = version.parse().map_err(|_| bad("its version is no number"))?;
    if version > FORMAT {
        return Err(Error::Newer { path, found: version, known: FORMAT });
    }
    if found == tag(key)? { Ok(true) } else { Err(Error::WrongKey { path: dir.to_owned() }) }
}

/// Tells the store key without giving it away.
fn tag(key: &StoreKey) -> Result<String, Error> {
    Ok(format!("{:016x}", u64::from_be_bytes(key.check_value()?)))
}

/// Makes sure that there is room to open; gives up the ballast when there is not.
pub(super) fn make_room(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let free = || disk.free_bytes(dir).map_err(Error::io("ask the free space of", dir));
    if free()? >= OPEN_BYTES {
        return Ok(());
    }
    let ballast = ballast(dir);
    if ballast.exists() {
        tracing::warn!(path = %ballast.display(), "disk full: ballast given up so that the store can open");
        disk.remove(&ballast).map_err(Error::io("remove", &ballast))?;
    }
    let free = free()?;
    if free < OPEN_BYTES {
        return Err(Error::NoSpace { free, need: OPEN_BYTES, path: dir.to_owned() });
    }
    Ok(())
}

/// Lays in ballast when there is none and plenty of room; says it when there is too little to record anything.
pub(super) fn lay_ballast(disk: &dyn Disk, dir: &Path, bytes: u64, reserve_bytes: u64) {
    let path = ballast(dir);
    let free = disk.free_bytes(dir).unwrap_or(0);
    if free < reserve_bytes {
        tracing::error!(path = %dir.display(), free, need = reserve_bytes, "disk full: nothing is recorded until there is room");
    }
    let roomy = free > reserve_bytes.saturating_add(bytes.saturating_mul(2));
    if bytes == 0 || path.exists() || !roomy {
        return;
    }
    if let Err(error) = disk.allocate(&path, bytes) {
        // It is a help for bad days; the store works without it.
        tracing::warn!(%error, path = %path.display(), "no ballast could be laid in");
        let _ = disk.remove(&path);
    }
}

fn ballast(dir: &Path) -> PathBuf {
    dir.join("ballast")
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::super::disk::faulty::FaultyDisk;
    use super::*;

    #[test]
    fn a_store_in_use_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(&RealDisk, dir.path()).unwrap();
        let text = lock(&RealDisk, dir.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
        drop(held);
        lock(&RealDisk, dir.path()).unwrap();
    }

    #[test]
    fn a_newer_format_and_a_wrong_key_are_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_bytes([1; 32]);
        check_format(&RealDisk, dir.path(), &key).unwrap();
        check_format(&RealDisk, dir.path(), &key).unwrap();
        let wrong = check_format(&RealDisk, dir.path(), &StoreKey::from_bytes([2; 32])).unwrap_err();
        assert!(matches!(wrong, Error::WrongKey { .. }));
        let path = dir.path().join("format");
        crate::store::golden("format-1.bin", &fs::read(&path).unwrap());
        fs::write(&path, "watchpost store 9 00\n").unwrap();
        let text = check_format(&RealDisk, dir.path(), &key).unwrap_err().to_string();
        assert!(text.contains("format 9") && text.contains("install the version that wrote it"), "{text}");
        fs::write(&path, "something\n").unwrap();
        assert!(matches!(check_format(&RealDisk, dir.path(), &key), Err(Error::Format { .. })));
    }

    #[test]
    fn a_full_disk_takes_the_ballast_and_then_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        lay_ballast(&disk, dir.path(), 4096, 0);
        assert!(ballast(dir.path()).exists());
        make_room(&disk, dir.path()).unwrap();
        assert!(ballast(dir.path()).exists());
        disk.set_free(Some(1000));
        let text = make_room(&disk, dir.path()).unwrap_err().to_string();
        assert!(text.starts_with("no space: 1000 bytes free on ") && text.contains("need 8388608"), "{text}");
        assert!(!ballast(dir.path()).exists());
        lay_ballast(&disk, dir.path(), 4096, 0);
        assert!(!ballast(dir.path()).exists());
    }
}
