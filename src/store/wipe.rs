//! Destroys a store for good: its keys are overwritten and removed, then everything that they sealed.
//!
//! The audit log stays: it names no plate, and its last records say who had this done. Called with no store open on the
//! folder. What a medium keeps of overwritten blocks can be read by nobody who has not also the key that wrapped them; a
//! store key that came as a systemd credential is not ours to destroy, and whoever gives it does that.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::error::Error;
use super::folder;

/// How often, and how far apart, the removal of a folder is tried that others still write to.
const TRIES: u32 = 400;
const TRY_EVERY: Duration = Duration::from_millis(5);

/// Destroys the store in `dir`, and the file `store_key` where there is one; how many keys that were.
///
/// # Errors
/// When another process has the store, or a key cannot be overwritten; nothing but keys is touched before all are.
pub fn wipe(dir: &Path, store_key: Option<&Path>) -> Result<u64, Error> {
    let _lock = folder::lock(&super::disk::RealDisk, dir)?;
    let mut keys = 0;
    // First: without it none of the others can be unwrapped.
    if let Some(path) = store_key.filter(|path| path.exists()) {
        destroy_file(path).map_err(Error::io("destroy", path))?;
        keys += 1;
    }
    let wrapped = dir.join("keys");
    for path in entries(&wrapped).map_err(Error::io("list", &wrapped))? {
        destroy_file(&path).map_err(Error::io("destroy", &path))?;
        keys += u64::from(path.extension().is_none_or(|e| e != "copy"));
    }
    for path in entries(dir).map_err(Error::io("list", dir))? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name == "lock" || name.starts_with("audit") {
            continue;
        }
        remove(&path).map_err(Error::io("remove", &path))?;
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))?;
    Ok(keys)
}

/// Overwrites a file with zeros, syncs, and removes it.
///
/// # Errors
/// What the system said; the file may be overwritten then.
pub fn destroy_file(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Removes a file, or a folder with all in it. The index's library can remove and add files for a moment after it was closed, in threads of its
/// own.
pub fn remove(path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed.map_err(|error| (error.kind(), error)) {
            Err((io::ErrorKind::DirectoryNotEmpty, _)) => thread::sleep(TRY_EVERY),
            Err((io::ErrorKind::NotFound, _)) if !path.exists() => return Ok(()),
            Err((io::ErrorKind::NotFound, _)) => {}
            other => return other.map_err(|(_, error)| error),
        }
    }
    Err(io::Error::other("others write to it all the time"))
}

fn entries(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
