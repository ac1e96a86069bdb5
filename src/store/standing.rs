//! What stands beside the days: small things that name no plate that passed, sealed under the store key, written whole.
//!
//! ```text
//! standing/<name>:  "WPS1" ‖ nonce 12 ‖ ciphertext ‖ tag 16
//! AES-256-GCM under the store key's "standing" subkey, AAD = "WPS1" ‖ name
//! ```
//! `retention` is how long things are kept when the centre set it, `ignore` the plates that never make a hit, `undated`
//! which days a wrong clock has given, `traffic` how much went over the link to the centre today. A file that
//! does not open is an error of who asks, never a default: the wrong guess would delete too early, or alert too much.

use std::fs;
use std::path::{Path, PathBuf};

use super::daykeys::DayKeys;
use super::disk::{self, Disk};
use super::error::Error;

const MAGIC: &[u8; 4] = b"WPS1";

fn path_of(dir: &Path, name: &str) -> PathBuf {
    dir.join("standing").join(name)
}

fn aad(name: &str) -> Vec<u8> {
    [MAGIC.as_slice(), name.as_bytes()].concat()
}

/// Puts `plain` in place of what was there; durable when it returns.
pub(super) fn write(disk: &dyn Disk, dir: &Path, keys: &DayKeys, name: &str, plain: &[u8]) -> Result<(), Error> {
    let path = path_of(dir, name);
    let folder = dir.join("standing");
    disk.make_dir(&folder).map_err(Error::io("make", &folder))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(keys.standing.seal(&keys.random, &aad(name), plain)?);
    disk::write_whole(disk, &path, &bytes).map_err(Error::io("write", &path))
}

/// What is there; `None` when nothing is.
pub(super) fn read(dir: &Path, keys: &DayKeys, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let path = path_of(dir, name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let sealed = bytes.strip_prefix(MAGIC.as_slice());
    let plain = sealed.and_then(|sealed| keys.standing.open(&aad(name), sealed));
    plain.map(Some).ok_or_else(|| Error::Unsealed { what: path.display().to_string() })
}

/// Takes away what is there.
pub(super) fn remove(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), Error> {
    let path = path_of(dir, name);
    if !path.exists() {
        return Ok(());
    }
    disk.remove(&path).map_err(Error::io("remove", &path))?;
    let folder = dir.join("standing");
    disk.sync_dir(&folder).map_err(Error::io("sync", &folder))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU8;

    use super::super::disk::RealDisk;
    use super::super::seal::{Random, StoreKey};
    use super::*;

    #[test]
    fn it_comes_back_under_its_own_name_and_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = |key| {
            let random = Random::Fixed(AtomicU8::new(1));
            DayKeys::open(&dir.path().join("keys"), &StoreKey::from_bytes([key; 32]), random, Arc::new(RealDisk))
                .unwrap()
        };
        assert_eq!(read(dir.path(), &keys(1), "ignore").unwrap(), None);
        write(&RealDisk, dir.path(), &keys(1), "ignore", b"AB123CD").unwrap();
        assert_eq!(read(dir.path(), &keys(1), "ignore").unwrap().unwrap(), b"AB123CD");
        crate::store::golden("standing-1.bin", &fs::read(path_of(dir.path(), "ignore")).unwrap());
        assert!(read(dir.path(), &keys(2), "ignore").is_err());
        fs::rename(path_of(dir.path(), "ignore"), path_of(dir.path(), "retention")).unwrap();
        assert!(read(dir.path(), &keys(1), "retention").is_err());
        remove(&RealDisk, dir.path(), "retention").unwrap();
        remove(&RealDisk, dir.path(), "retention").unwrap();
        assert_eq!(read(dir.path(), &keys(1), "retention").unwrap(), None);
    }
}
