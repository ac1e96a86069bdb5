//! The store's folder: what lies where, its lock, its format version, and the ballast for a full disk.
//!
//! ```text
//! lock          who has the store: flock, and the process id inside
//! format        "watchpost store 1 <16 hex digits that tell the store key>\n"
//! format.copy   the same once more: one of the two may be damaged
//! keys/         wrapped data keys, one a (day, class)            daykeys
//! ledger/       what is committed                                segment
//! index/        sled: what is asked                              index
//! evidence/     sealed pictures by day                           evidence
//! audit.log     what the store did                               audit
//! ballast       bytes to give up when the disk is full
//! aside/<ms>/   ledger or index that was set aside
//! ledger.new/   a salvage under way
//! ```
//! A newer format is refused, and a wrong key as well: neither is a damage, and nothing is touched. A newer version
//! has to write `format.copy` first: what one of the two says is believed where it is of this version and key.

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

/// Checks format version and key, or writes them down in a new store; whether a damaged one was mended from its copy.
pub(super) fn check_format(disk: &dyn Disk, dir: &Path, key: &StoreKey) -> Result<bool, Error> {
    let is_new = !read_format(dir, key)?;
    let text = format!("watchpost store {FORMAT} {}\n", tag(key)?);
    let mut mended = false;
    for path in formats(dir) {
        let found = read_one(&path, key);
        if matches!(found, Ok(true)) {
            continue;
        }
        match disk::write_whole(disk, &path, text.as_bytes()) {
            Ok(()) => mended |= found.is_err(),
            Err(error) if is_new => return Err(Error::io("write", &path)(error)),
            // The other one says it; the next start tries again.
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "format of the store not written a second time");
            }
        }
    }
    Ok(mended)
}

fn formats(dir: &Path) -> [PathBuf; 2] {
    [dir.join("format"), dir.join("format.copy")]
}

/// Checks format version and key; false when none are written down.
pub(super) fn read_format(dir: &Path, key: &StoreKey) -> Result<bool, Error> {
    let [first, copy] = formats(dir).map(|path| read_one(&path, key));
    match (first, copy) {
        (Ok(true), _) | (_, Ok(true)) => Ok(true),
        (Err(error), _) | (Ok(false), Err(error)) => Err(error),
        (Ok(false), Ok(false)) => Ok(false),
    }
}

fn read_one(path: &Path, key: &StoreKey) -> Result<bool, Error> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let bad = |what: &str| Error::Format { path: path.to_owned(), what: what.to_owned() };
    let rest =
        text.strip_prefix("watchpost store ").ok_or_else(|| bad("it does not begin with \"watchpost store\""))?;
    let (version, found) = rest.trim_end().split_once(' ').unwrap_or((rest.trim_end(), ""));
    let version: u32 = version.parse().map_err(|_| bad("its version is no number"))?;
    if version > FORMAT {
        return Err(Error::Newer { path: path.to_owned(), found: version, known: FORMAT });
    }
    let dir = path.parent().unwrap_or(path).to_owned();
    if found == tag(key)? { Ok(true) } else { Err(Error::WrongKey { path: dir }) }
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
        assert!(!check_format(&RealDisk, dir.path(), &key).unwrap());
        assert!(!check_format(&RealDisk, dir.path(), &key).unwrap());
        let wrong = check_format(&RealDisk, dir.path(), &StoreKey::from_bytes([2; 32])).unwrap_err();
        assert!(matches!(wrong, Error::WrongKey { .. }));
        let path = dir.path().join("format");
        crate::store::golden("format-1.bin", &fs::read(&path).unwrap());
        fs::remove_file(dir.path().join("format.copy")).unwrap();
        fs::write(&path, "watchpost store 9 00\n").unwrap();
        let text = check_format(&RealDisk, dir.path(), &key).unwrap_err().to_string();
        assert!(text.contains("format 9") && text.contains("install the version that wrote it"), "{text}");
        fs::write(&path, "something\n").unwrap();
        assert!(matches!(check_format(&RealDisk, dir.path(), &key), Err(Error::Format { .. })));
    }

    #[test]
    fn one_of_the_two_formats_may_be_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_bytes([1; 32]);
        check_format(&RealDisk, dir.path(), &key).unwrap();
        let text = fs::read(dir.path().join("format")).unwrap();
        for name in ["format", "format.copy"] {
            let path = dir.path().join(name);
            for bad in [&b"watchpost store 3 00"[..], b"", b"\0\0\xff", b"watchpost store 1 0011"] {
                fs::write(&path, bad).unwrap();
                assert!(check_format(&RealDisk, dir.path(), &key).unwrap(), "{name}");
                assert_eq!(fs::read(&path).unwrap(), text);
            }
            fs::remove_file(&path).unwrap();
            assert!(!check_format(&RealDisk, dir.path(), &key).unwrap(), "it is of a version that made one: no damage");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        let other = check_format(&RealDisk, dir.path(), &StoreKey::from_bytes([2; 32]));
        assert!(matches!(other, Err(Error::WrongKey { .. })));
        // A version to come writes both.
        for path in formats(dir.path()) {
            fs::write(path, "watchpost store 2 00\n").unwrap();
        }
        assert!(matches!(check_format(&RealDisk, dir.path(), &key), Err(Error::Newer { found: 2, .. })));
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
