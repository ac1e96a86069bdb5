//! What verifies a sighting, as sealed files: `evidence/<day>/<id>-crop` and `<id>-scene` (pictures), `<id>-clip`; and
//! `<id>-view`, what a camera showed when its health was told. `held-<hold>` for a day where a hold keeps them.
//!
//! ```text
//!  0  4  "WPE1"           the last byte is the version
//!  4  1  what             1 crop, 2 scene (JPEG inside), 3 clip (a video), 4 view (JPEG)
//!  5  4  day, big-endian  of the key that seals it
//!  9  1  class            of the key that seals it
//! 10 16  id of the sighting; of a view its own
//! 26 ..  nonce 12 ‖ ciphertext ‖ tag 16, AES-256-GCM under the day's "evidence" subkey, AAD = bytes 0..26
//! ```
//! A clip is sealed under a key of its own, which its row carries ([`ClipKey`]): where the row goes to another key, under a
//! hold or with a more severe hit, the many bytes of the clip stay as they are. Day and class are of the key of its row
//! when it was made; it goes when no row tells of it any more.
//!
//! A batch's files are written under temporary names, renamed, and made durable by *one* `syncfs`, before the ledger
//! batch that tells of them: a committed hit has its pictures. A file that replaces another is synced before the rename
//! as well, so that a power cut leaves the one or the other. Files of a batch that was never committed are orphans
//! without a row; they go with their day. The folder is that of the key. A clip comes after its sighting: [`place`] makes it
//! durable by itself, before the row that tells of it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};

use super::daykeys::DayKeys;
use super::disk::{self, Disk};
use super::error::Error;
use super::record::Bytes;
use super::seal::{Cipher, class_byte, class_of};
use crate::domain::{EventId, Pictures, RetentionClass};
use crate::health::Counter;

const MAGIC: &[u8; 4] = b"WPE1";
const HEAD: usize = 26;

/// Which file of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Crop,
    Scene,
    Clip,
    View,
}

impl What {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Crop => 1,
            Self::Scene => 2,
            Self::Clip => 3,
            Self::View => 4,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Crop => "crop",
            Self::Scene => "scene",
            Self::Clip => "clip",
            Self::View => "view",
        }
    }
}

/// What opens a clip, and where it lies.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub(super) struct ClipKey {
    #[cbor(n(0), with = "minicbor::bytes")]
    secret: [u8; 32],
    /// Day and class in its head.
    #[n(1)]
    day: u32,
    #[n(2)]
    class: u8,
}

impl std::fmt::Debug for ClipKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClipKey").field("day", &self.day).field("class", &self.class).finish_non_exhaustive()
    }
}

impl ClipKey {
    /// The key whose folder it lies in.
    pub(super) fn folder_of(&self) -> Result<(u32, RetentionClass), Error> {
        let class = class_of(self.class).ok_or_else(|| Error::Unsealed { what: "the key of a clip".to_owned() })?;
        Ok((self.day, class))
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
        out.push(seal_one(root, keys, (id, what), key, plain)?);
    }
    Ok(out)
}

/// Seals one file for the folder of its key.
pub(super) fn seal_one(
    root: &Path,
    keys: &DayKeys,
    (id, what): (EventId, What),
    key: (u32, RetentionClass),
    plain: &[u8],
) -> Result<Sealed, Error> {
    let mut bytes = head(what, key, id);
    let sealed = keys.for_writing(key.0, key.1)?.evidence.seal(&keys.random, &bytes, plain)?;
    bytes.extend(sealed);
    Ok(Sealed { path: path_of(root, key, id, what), bytes })
}

/// Seals a clip under a new key of its own, for the folder of `key`.
pub(super) fn seal_clip(
    root: &Path,
    keys: &DayKeys,
    id: EventId,
    key: (u32, RetentionClass),
    plain: &[u8],
) -> Result<(Sealed, ClipKey), Error> {
    let mut secret = [0; 32];
    keys.random.fill(&mut secret)?;
    let mut bytes = head(What::Clip, key, id);
    let sealed = Cipher::of_clip(&secret)?.seal(&keys.random, &bytes, plain)?;
    bytes.extend(sealed);
    let clip = ClipKey { secret, day: key.0, class: class_byte(key.1) };
    Ok((Sealed { path: path_of(root, key, id, What::Clip), bytes }, clip))
}

/// Reads and verifies a clip; empty when it is not there.
///
/// # Errors
/// As [`read`].
pub(super) fn read_clip(root: &Path, id: EventId, clip: &ClipKey) -> Result<Vec<u8>, Error> {
    let of = clip.folder_of()?;
    let path = path_of(root, of, id, What::Clip);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let bad = || Error::Unsealed { what: format!("evidence file {}", path.display()) };
    let (found, sealed) = bytes.split_at_checked(HEAD).ok_or_else(bad)?;
    if found != head(What::Clip, of, id) {
        return Err(bad());
    }
    Cipher::of_clip(&clip.secret)?.open(found, sealed).ok_or_else(bad)
}

/// Makes one file durable by itself, beside the recorder: written and synced under another name, then renamed.
///
/// # Errors
/// I/O errors; nothing is there then, or what was there before.
pub(super) fn place(disk: &dyn Disk, file: &Sealed) -> Result<(), Error> {
    if let Some(dir) = file.path.parent().filter(|dir| !dir.exists()) {
        disk.make_dir(dir).map_err(Error::io("make", dir))?;
        // The folder's own name has to last as well.
        dir.parent().map_or(Ok(()), |above| disk.sync_dir(above)).map_err(Error::io("sync", dir))?;
    }
    disk::write_whole(disk, &file.path, &file.bytes).map_err(Error::io("write", &file.path))
}

/// Removes a file that no row tells of; one that stays goes with its day.
pub(super) fn discard(disk: &dyn Disk, file: Option<&Sealed>) {
    let Some(file) = file else { return };
    if let Err(error) = disk.remove(&file.path) {
        tracing::warn!(%error, path = %file.path.display(), "a file without a row stays until its day is deleted");
    }
}

/// Makes the files of a batch durable.
///
/// # Errors
/// I/O errors; some of the files may be there then, and all may be written again.
pub(super) fn write(disk: &dyn Disk, root: &Path, files: &[Sealed]) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let mut new = Vec::new();
    for file in files {
        let is_new = !file.path.exists();
        if let Err(error) = write_one(disk, file) {
            // Half of what belongs together is worse than nothing: it may be stored without pictures in the end.
            for path in new {
                let _ = disk.remove(path);
            }
            return Err(error);
        }
        if is_new {
            new.push(&file.path);
        }
    }
    disk.sync_all(root).map_err(Error::io("sync", root))
}

fn write_one(disk: &dyn Disk, file: &Sealed) -> Result<(), Error> {
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
    put().inspect_err(|_| drop(disk.remove(&tmp)))
}

/// Reads and verifies the pictures of a sighting, whose row lies under the key `of`; a picture that is not there, or whose key was destroyed, is empty.
///
/// # Errors
/// [`Error::Unsealed`] when a file is damaged, not of this sighting, or of a format that is not known; I/O errors.
pub(super) fn read(root: &Path, keys: &DayKeys, id: EventId, of: (u32, RetentionClass)) -> Result<Pictures, Error> {
    let crop = read_one(root, keys, (id, What::Crop), of)?;
    let scene = read_one(root, keys, (id, What::Scene), of)?;
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
    let one = |what| match read_one(root, keys, (id, what), of) {
        Err(error @ Error::Unsealed { .. }) => {
            tracing::error!(%error, "picture lost: a hit is stored without it");
            lost.inc();
            Ok(Vec::new())
        }
        other => other,
    };
    Ok(Pictures { crop: one(What::Crop)?, scene: one(What::Scene)? })
}

/// Removes the files in the folder of the key `of` that nobody can open any more, now that the key `gone` is destroyed, and
/// returns how many: this gives the space back. A clip goes when there is no row of it (`has_clip`) and whatever was to
/// become its row could not be sealed any more.
///
/// # Errors
/// I/O errors; do it again then.
pub(super) fn remove(
    (disk, root, keys): (&dyn Disk, &Path, &DayKeys),
    of: (u32, RetentionClass),
    gone: (u32, RetentionClass),
    has_clip: &dyn Fn(EventId) -> Result<bool, Error>,
) -> Result<u64, Error> {
    let dir = folder(root, of);
    let (day, class) = gone;
    let mut removed = 0;
    let mut sealed_with = MAGIC.to_vec();
    sealed_with.extend(day.to_be_bytes());
    sealed_with.push(class_byte(class));
    for entry in fs::read_dir(&dir).into_iter().flatten() {
        let path = entry.map_err(Error::io("list", &dir))?.path();
        let mut head = [0; HEAD];
        let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut head));
        if read.is_err() || !head.starts_with(MAGIC) {
            continue;
        }
        let is_clip = head.get(4) == Some(&What::Clip.byte());
        let goes = if is_clip { is_left(&head, keys, has_clip)? } else { head.get(5..10) == sealed_with.get(4..) };
        if goes {
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

/// Whether the clip of this head has no row, and can get none.
fn is_left(
    head: &[u8; HEAD],
    keys: &DayKeys,
    has_clip: &dyn Fn(EventId) -> Result<bool, Error>,
) -> Result<bool, Error> {
    let mut input = Bytes(head.get(5..).unwrap_or_default());
    let Some((day, class)) = input.u32().zip(input.u8().and_then(class_of)) else { return Ok(false) };
    let Some(id) = head.get(10..).and_then(|id| <[u8; 16]>::try_from(id).ok()) else { return Ok(false) };
    // A key that does not open is as good as destroyed, and must not hold up what is.
    let has_key = match keys.for_reading(day, class) {
        Err(Error::Unsealed { .. }) => false,
        key => key?.is_some(),
    };
    Ok(!has_key && !has_clip(EventId(id))?)
}

/// One file of an id, verified; empty when it is not there or its key was destroyed.
///
/// # Errors
/// As [`read`].
pub(super) fn read_file(
    root: &Path,
    keys: &DayKeys,
    (id, what): (EventId, What),
    of: (u32, RetentionClass),
) -> Result<Vec<u8>, Error> {
    read_one(root, keys, (id, what), of)
}

fn read_one(
    root: &Path,
    keys: &DayKeys,
    (id, what): (EventId, What),
    of: (u32, RetentionClass),
) -> Result<Vec<u8>, Error> {
    let path = path_of(root, of, id, what);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let bad = || Error::Unsealed { what: format!("evidence file {}", path.display()) };
    let (found, sealed) = bytes.split_at_checked(HEAD).ok_or_else(bad)?;
    let mut input = Bytes(found.get(5..).ok_or_else(bad)?);
    let (day, class) = input.u32().zip(input.u8().and_then(class_of)).ok_or_else(bad)?;
    if day != of.0 || found != head(what, (day, class), id) {
        return Err(bad());
    }
    match keys.for_reading(day, class)? {
        Some(key) => key.evidence.open(found, sealed).ok_or_else(bad),
        None if class == of.1 => Ok(Vec::new()),
        // A damaged head can name a key that never was, or that is destroyed: that is not a deletion.
        None => Err(bad()),
    }
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

        let (clip, key) = seal_clip(dir.path(), &keys, id, KEY, b"clip").unwrap();
        crate::store::golden("evidence-clip-1.bin", &clip.bytes);
        crate::store::golden("clip-key-1.cbor", &minicbor::to_vec(&key).unwrap());
        for i in 0..clip.bytes.len() {
            let mut bad = clip.bytes.clone();
            bad[i] ^= 0x40;
            fs::write(&clip.path, bad).unwrap();
            assert!(matches!(read_clip(dir.path(), id, &key), Err(Error::Unsealed { .. })), "byte {i}");
        }
        fs::write(&clip.path, &clip.bytes).unwrap();
        assert_eq!(read_clip(dir.path(), id, &key).unwrap(), b"clip");
        fs::remove_file(&clip.path).unwrap();

        for i in 0..files[0].bytes.len() {
            let mut bad = files[0].bytes.clone();
            bad[i] ^= 0x40;
            fs::write(&files[0].path, bad).unwrap();
            let got = read(dir.path(), &keys, id, KEY);
            assert!(matches!(got, Err(Error::Unsealed { .. })), "byte {i}");
        }
        fs::rename(&files[1].path, path_of(dir.path(), KEY, EventId([8; 16]), What::Scene)).unwrap();
        assert!(read(dir.path(), &keys, EventId([8; 16]), KEY).is_err());

        write(&RealDisk, dir.path(), &files).unwrap();
        keys.destroy(KEY.0, KEY.1).unwrap();
        assert!(read(dir.path(), &keys, id, KEY).unwrap() == Pictures::default());
    }
}
