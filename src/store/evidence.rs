//! Pictures that verify a sighting, as sealed files: `evidence/<day>/<id>-crop` and `<id>-scene`; `held-<hold>` for a day
//! where a hold keeps them.
//!
//! ```text
//!  0  4  "WPE1"           the last byte is the version
//!  4  1  what             1 crop, 2 scene (JPEG inside)
//!  5  4  day, big-endian  of the key that seals it
//!  9  1  class            of the key that seals it
//! 10 16  id of the sighting
//! 26 ..  nonce 12 ‖ ciphertext ‖ tag 16, AES-256-GCM under the day's "evidence" subkey, AAD = bytes 0..26
//! ```
//! A batch's files are written under temporary names, renamed, and made durable by *one* `syncfs`, before the ledger
//! batch that tells of them: a committed hit has its pictures. A file that replaces another is synced before the rename
//! as well, so that a power cut leaves the one or the other. Files of a batch that was never committed are orphans
//! without a row; they go with their day. The folder is that of the key.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::daykeys::DayKeys;
use super::disk::Disk;
use super::error::Error;
use super::record::Bytes;
use super::seal::{class_byte, class_of};
use crate::domain::{EventId, Pictures, RetentionClass};
use crate::health::Counter;

const MAGIC: &[u8; 4] = b"WPE1";
const HEAD: usize = 26;

/// Which picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Crop,
    Scene,
}

impl What {
    fn byte(self) -> u8 {
        match self {
            Self::Crop => 1,
            Self::Scene => 2,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Crop => "crop",
            Self::Scene => "scene",
        }
    }
}

/// A sealed picture on its way to the disk.
#[derive(Debug)]
pub(super) struct Sealed {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Its length.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// First 16 bytes of the SHA-256 of a picture, as alerts carry it.
#[must_use]
pub fn digest(picture: &[u8]) -> [u8; 16] {
    let digest = ring::digest::digest(&ring::digest::SHA256, picture);
    let mut out = [0; 16];
    out.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    out
}

/// The folder of what the key of (day, class) sealed.
fn folder(root: &Path, (day, class): (u32, RetentionClass)) -> PathBuf {
    root.join(if class == RetentionClass::Held { format!("held-{day}") } else { day.to_string() })
}

fn path_of(root: &Path, key: (u32, RetentionClass), id: EventId, what: What) -> PathBuf {
    folder(root, key).join(format!("{id}-{}", what.word()))
}

fn head(what: What, (day, class): (u32, RetentionClass), id: EventId) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.push(what.byte());
    head.extend(day.to_be_bytes());
    head.push(class_byte(class));
    head.extend(id.0);
    head
}

/// Seals the pictures that are there, for the folder of their key.
pub(super) fn seal(
    root: &Path,
    keys: &DayKeys,
    id: EventId,
    key: (u32, RetentionClass),
    pictures: &Pictures,
) -> Result<Vec<Sealed>, Error> {
    let mut out = Vec::new();
    for (what, plain) in [(What::Crop, &pictures.crop), (What::Scene, &pictures.scene)] {
        if plain.is_empty() {
            continue;
        }
        let mut bytes = head(what, key, id);
        let sealed = keys.for_writing(key.0, key.1)?.evidence.seal(&keys.random, &bytes, plain)?;
        bytes.extend(sealed);
        out.push(Sealed { path: path_of(root, key, id, what), bytes });
    }
    Ok(out)
}

/// Makes the files of a batch durable.
///
/// # Errors
/// I/O errors; some of the files may be there then, and all may be written again.
pub(super) fn write(disk: &dyn Disk, root: &Path, files: &[Sealed]) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    for file in files {
        if let Some(dir) = file.path.parent().filter(|dir| !dir.exists()) {
            disk.make_dir(dir).map_err(Error::io("make", dir))?;
        }
        let tmp = file.path.with_extension("tmp");
        let _ = disk.remove(&tmp);
        let put = || {
            let mut out = disk.create(&tmp).map_err(Error::io("make", &tmp))?;
            out.append(&file.bytes).map_err(Error::io("write", &tmp))?;
            if file.path.exists() {
                out.sync().map_err(Error::io("sync", &tmp))?;
            }
            disk.rename(&tmp, &file.path).map_err(Error::io("rename", &tmp))
        };
        if let Err(error) = put() {
            let _ = disk.remove(&tmp);
            return Err(error);
        }
    }
    disk.sync_all(root).map_err(Error::io("sync", root))
}

/// Reads and verifies the pictures of a sighting, whose row lies under the key `of`; a picture that is not there, or whose key was destroyed, is empty.
///
/// # Errors
/// [`Error::Unsealed`] when a file is damaged, not of this sighting, or of a format that is not known; I/O errors.
pub(super) fn read(root: &Path, keys: &DayKeys, id: EventId, of: (u32, RetentionClass)) -> Result<Pictures, Error> {
    let crop = read_one(&path_of(root, of, id, What::Crop), keys, id, What::Crop)?;
    let scene = read_one(&path_of(root, of, id, What::Scene), keys, id, What::Scene)?;
    Ok(Pictures { crop, scene })
}

/// [`read`] for a writer: a picture that does not open is told, counted in `lost` and empty, because a damaged file must
/// not hold up what is stored after it.
///
/// # Errors
/// I/O errors, which may pass.
pub(super) fn read_sound(
    root: &Path,
    keys: &DayKeys,
    id: EventId,
    of: (u32, RetentionClass),
    lost: &Counter,
) -> Result<Pictures, Error> {
    let one = |what| match read_one(&path_of(root, of, id, what), keys, id, what) {
        Err(error @ Error::Unsealed { .. }) => {
            tracing::error!(%error, "picture lost: a hit is stored without it");
            lost.inc();
            Ok(Vec::new())
        }
        other => other,
    };
    Ok(Pictures { crop: one(What::Crop)?, scene: one(What::Scene)? })
}

/// Removes the files that the key of (day, class) sealed and returns how many; the key is gone already, this gives the
/// space back. Files of a day lie in its folder, or, where its key had been destroyed before, in that of the next key.
///
/// # Errors
/// I/O errors; do it again then.
pub(super) fn remove(disk: &dyn Disk, root: &Path, (day, class): (u32, RetentionClass)) -> Result<u64, Error> {
    let dir = folder(root, (day, class));
    let mut removed = 0;
    let mut sealed_with = MAGIC.to_vec();
    sealed_with.extend(day.to_be_bytes());
    sealed_with.push(class_byte(class));
    for entry in fs::read_dir(&dir).into_iter().flatten() {
        let path = entry.map_err(Error::io("list", &dir))?.path();
        let mut head = [0; HEAD];
        let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut head));
        let ours = head.get(5..10) == sealed_with.get(4..) && head.starts_with(MAGIC);
        if read.is_ok() && ours {
            disk.remove(&path).map_err(Error::io("remove", &path))?;
            removed += 1;
        }
    }
    if dir.exists() {
        disk.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        // Goes when it is empty.
        let _ = fs::remove_dir(&dir);
    }
    Ok(removed)
}

fn read_one(path: &Path, keys: &DayKeys, id: EventId, what: What) -> Result<Vec<u8>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let bad = || Error::Unsealed { what: format!("evidence file {}", path.display()) };
    let (found, sealed) = bytes.split_at_checked(HEAD).ok_or_else(bad)?;
    let mut input = Bytes(found.get(5..).ok_or_else(bad)?);
    let (day, class) = input.u32().zip(input.u8().and_then(class_of)).ok_or_else(bad)?;
    if found != head(what, (day, class), id) {
        return Err(bad());
    }
    let Some(key) = keys.for_reading(day, class)? else { return Ok(Vec::new()) };
    key.evidence.open(found, sealed).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU8;

    use super::super::disk::RealDisk;
    use super::super::seal::{Random, StoreKey};
    use super::*;

    const KEY: (u32, RetentionClass) = (20_000, RetentionClass::Minor);

    fn keys(dir: &Path) -> DayKeys {
        let random = Random::Fixed(AtomicU8::new(1));
        DayKeys::open(dir, &StoreKey::from_bytes([1; 32]), random, Arc::new(RealDisk)).unwrap()
    }

    fn pictures() -> Pictures {
        Pictures { crop: b"crop".to_vec(), scene: b"scene".to_vec() }
    }

    #[test]
    fn pictures_come_back_verified_and_go_with_their_key() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, id) = (keys(&dir.path().join("keys")), EventId([7; 16]));
        let files = seal(dir.path(), &keys, id, KEY, &pictures()).unwrap();
        write(&RealDisk, dir.path(), &files).unwrap();
        write(&RealDisk, dir.path(), &files).unwrap();
        assert!(read(dir.path(), &keys, id, KEY).unwrap() == pictures());
        assert_eq!(fs::read_dir(dir.path().join("20000")).unwrap().count(), 2);
        crate::store::golden("evidence-1.bin", &files[0].bytes);

        for i in 0..files[0].bytes.len() {
            let mut bad = files[0].bytes.clone();
            bad[i] ^= 0x40;
            fs::write(&files[0].path, bad).unwrap();
            let got = read(dir.path(), &keys, id, KEY);
            if (5..9).contains(&i) {
                // Another day: one without a key, so no picture, and never a wrong one.
                assert!(got.unwrap().crop.is_empty());
            } else {
                assert!(matches!(got, Err(Error::Unsealed { .. })), "byte {i}");
            }
        }
        fs::rename(&files[1].path, path_of(dir.path(), KEY, EventId([8; 16]), What::Scene)).unwrap();
        assert!(read(dir.path(), &keys, EventId([8; 16]), KEY).is_err());

        write(&RealDisk, dir.path(), &files).unwrap();
        keys.destroy(KEY.0, KEY.1).unwrap();
        assert!(read(dir.path(), &keys, id, KEY).unwrap() == Pictures::default());
    }
}
