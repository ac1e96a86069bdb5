//! One wrapped key file a (day, class): `keys/<day>-<class>.key`. Destroying the file is the deletion.
//!
//! ```text
//!  0  4  "WPK1"                     the last byte is the version
//!  4  4  day, big-endian            days since 1970-01-01; of class 5 the number of the hold
//!  8  1  class                      0 read, 1 info, 2 minor, 3 serious, 4 critical, 5 held
//!  9 12  nonce
//! 21 32  data key, AES-256-GCM under the store key's "wrap" subkey, AAD = bytes 0..9
//! 53 16  tag
//! ```
//! A key file is durable before anything is sealed with it, and so is a copy of it, `<day>-<class>.copy`: one damaged
//! page does not cost a day. Destruction overwrites both files with zeros, the copy first, syncs, and leaves an empty `<day>-<class>.gone`, so that no second key is ever made for the pair: whoever still wants to write
//! into it is told to take another day. What a medium keeps of overwritten blocks is worth nothing without the store
//! key; where the store key can leak too, full-disk encryption below is the answer (docs say so).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::disk::{self, Disk};
use super::error::Error;
use super::seal::{Cipher, DataKey, OVERHEAD, Random, StoreKey, class_byte};
use crate::domain::RetentionClass;

const MAGIC: &[u8; 4] = b"WPK1";
const HEAD: usize = 9;
const FILE_LEN: usize = HEAD + 32 + OVERHEAD;

/// Days in a row whose keys are destroyed, at most: a clock that ran ahead a while gave some of a year to come.
const MOST_DESTROYED: u32 = 400;

type Secret = Zeroizing<[u8; 32]>;

/// The data keys of a store; a cheap handle is shared by all who seal and open.
pub(super) struct DayKeys {
    dir: PathBuf,
    wrapping: Cipher,
    /// For what says nothing of plates that pass, and outlives the days.
    pub(super) standing: Cipher,
    pub(super) random: Random,
    disk: Arc<dyn Disk>,
    cache: Mutex<HashMap<(u32, RetentionClass), Arc<DataKey>>>,
}

impl DayKeys {
    pub(super) fn open(dir: &Path, key: &StoreKey, random: Random, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        disk.make_dir(dir).map_err(Error::io("make", dir))?;
        let (wrapping, standing) = (key.wrapping()?, key.standing()?);
        Ok(Self { dir: dir.to_owned(), wrapping, standing, random, disk, cache: Mutex::new(HashMap::new()) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, day: u32, class: RetentionClass) -> PathBuf {
        self.dir.join(format!("{day}-{}.key", class_byte(class)))
    }

    fn copy_path(&self, day: u32, class: RetentionClass) -> PathBuf {
        self.path(day, class).with_extension("copy")
    }

    fn gone_path(&self, day: u32, class: RetentionClass) -> PathBuf {
        self.path(day, class).with_extension("gone")
    }

    /// The key to write with; made, and made durable, when it is the first time.
    ///
    /// # Errors
    /// [`Error::KeyDestroyed`] when that day and class were deleted; I/O errors.
    pub(super) fn for_writing(&self, day: u32, class: RetentionClass) -> Result<Arc<DataKey>, Error> {
        match self.for_reading(day, class) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            Err(error @ Error::Unsealed { .. }) => {
                // What it sealed is lost either way; that must not stop what comes.
                tracing::error!(%error, day, ?class, "key file set aside, a new key is made");
                let path = self.path(day, class);
                let aside = path.with_extension("damaged");
                self.disk.rename(&path, &aside).map_err(Error::io("rename", &path))?;
            }
            Err(error) => return Err(error),
        }
        if self.gone_path(day, class).exists() {
            return Err(Error::KeyDestroyed { day, class });
        }
        let mut secret = Zeroizing::new([0_u8; 32]);
        self.random.fill(secret.as_mut_slice())?;
        let head = head(day, class);
        let mut file = head.to_vec();
        file.extend(self.wrapping.seal(&self.random, &head, secret.as_slice())?);
        let path = self.path(day, class);
        disk::write_whole(&*self.disk, &path, &file).map_err(Error::io("write", &path))?;
        let copy = self.copy_path(day, class);
        disk::write_whole(&*self.disk, &copy, &file).map_err(Error::io("write", &copy))?;
        let key = Arc::new(DataKey::derive(&secret, day, class)?);
        self.cached().insert((day, class), Arc::clone(&key));
        Ok(key)
    }

    /// The day whose key is to seal what is of `day`: that one, or, where it was destroyed (a wrong clock may have given
    /// it before), the first from `today` on whose key was not.
    ///
    /// # Errors
    /// As [`Self::for_writing`].
    pub(super) fn day_for_writing(&self, day: u32, today: u32, class: RetentionClass) -> Result<u32, Error> {
        let days = std::iter::once(day).chain((0..MOST_DESTROYED).filter_map(|n| today.checked_add(n)));
        for day in days {
            match self.for_writing(day, class) {
                Ok(_) => return Ok(day),
                Err(Error::KeyDestroyed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::KeyDestroyed { day: today, class })
    }

    /// The key to read with; `None` when it was destroyed or never was.
    ///
    /// # Errors
    /// When the file is there but cannot be read or does not open.
    pub(super) fn for_reading(&self, day: u32, class: RetentionClass) -> Result<Option<Arc<DataKey>>, Error> {
        if let Some(key) = self.cached().get(&(day, class)) {
            return Ok(Some(Arc::clone(key)));
        }
        let found = match self.unwrapped(&self.path(day, class), day, class) {
            Ok(None) | Err(Error::Unsealed { .. }) if self.gone_path(day, class).exists() => Ok(None),
            // Also a file that the medium does not give any more.
            damaged @ (Ok(None) | Err(_)) => match self.unwrapped(&self.copy_path(day, class), day, class) {
                Ok(Some(copy)) => Ok(Some(copy)),
                _ => damaged,
            },
            found @ Ok(Some(_)) => found,
        };
        let Some((_, secret)) = found? else { return Ok(None) };
        let key = Arc::new(DataKey::derive(&secret, day, class)?);
        self.cached().insert((day, class), Arc::clone(&key));
        Ok(Some(key))
    }

    /// A key file, and what it wraps; `None` when it is not there.
    fn unwrapped(&self, path: &Path, day: u32, class: RetentionClass) -> Result<Option<(Vec<u8>, Secret)>, Error> {
        let file = match fs::read(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        let head = head(day, class);
        let secret = file
            .split_at_checked(HEAD)
            .filter(|(found, _)| file.len() == FILE_LEN && *found == head)
            .and_then(|(_, sealed)| self.wrapping.open(&head, sealed))
            .map(Zeroizing::new)
            .and_then(|plain| <[u8; 32]>::try_from(plain.as_slice()).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| Error::Unsealed { what: format!("key file {}", path.display()) })?;
        Ok(Some((file, secret)))
    }

    /// Writes anew, from the other one, each key file or copy that is damaged or missing; returns how many were damaged.
    /// What cannot be written is tried again at the next start. Keys of before there were copies get theirs.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub(super) fn mend(&self) -> Result<u64, Error> {
        let mut damaged = 0;
        for (day, class) in self.all(|_| true, &[".key", ".copy"])? {
            if self.gone_path(day, class).exists() {
                continue;
            }
            let paths = [self.path(day, class), self.copy_path(day, class)];
            let [first, copy] = [0, 1].map(|i| paths.get(i).map_or(Ok(None), |path| self.unwrapped(path, day, class)));
            let [path, copy_path] = paths;
            let (to, sound, was) = match (first, copy) {
                (Ok(Some((sound, _))), was @ (Ok(None) | Err(_))) => (copy_path, sound, was),
                (was @ (Ok(None) | Err(_)), Ok(Some((sound, _)))) => (path, sound, was),
                _ => continue,
            };
            if was.is_err() {
                damaged += 1;
                tracing::error!(path = %to.display(), "key file damaged, written anew from its copy");
            }
            if let Err(error) = disk::write_whole(&*self.disk, &to, &sound) {
                tracing::warn!(%error, path = %to.display(), "key file not written a second time");
            }
        }
        Ok(damaged)
    }

    /// The key to read with; `None` also when its file is damaged: what it sealed is lost then.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub(super) fn if_readable(&self, day: u32, class: RetentionClass) -> Result<Option<Arc<DataKey>>, Error> {
        match self.for_reading(day, class) {
            Err(Error::Unsealed { .. }) => Ok(None),
            other => other,
        }
    }

    /// Destroys the key: everything sealed with it is deleted by that. Doing it again changes nothing. The day is still among those
    /// that exist, until what is left of it is cleared away and [`Self::strike`] says so.
    ///
    /// # Errors
    /// I/O errors; then the key may still be there, and it has to be done again.
    pub(super) fn destroy(&self, day: u32, class: RetentionClass) -> Result<(), Error> {
        self.cached().remove(&(day, class));
        let (path, gone) = (self.path(day, class), self.gone_path(day, class));
        if !gone.exists() {
            disk::write_whole(&*self.disk, &gone, &[]).map_err(Error::io("write", &gone))?;
        }
        // One that was set aside as damaged may differ from a sound one by a bit. The one that days are listed by stays, as zeros.
        for path in [path.with_extension("damaged"), self.copy_path(day, class)] {
            if path.exists() {
                overwrite(&path).map_err(Error::io("overwrite", &path))?;
                self.disk.remove(&path).map_err(Error::io("remove", &path))?;
            }
        }
        if path.exists() {
            overwrite(&path).map_err(Error::io("overwrite", &path))?;
        }
        self.disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))
    }

    /// Takes a day whose key was destroyed from those that exist: nothing is left of it.
    ///
    /// # Errors
    /// I/O errors; then it may still be among them.
    pub(super) fn strike(&self, day: u32, class: RetentionClass) -> Result<(), Error> {
        let path = self.path(day, class);
        if path.exists() {
            self.disk.remove(&path).map_err(Error::io("remove", &path))?;
            self.disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
        }
        Ok(())
    }

    /// Whether this key was destroyed, or is being.
    pub(super) fn is_destroyed(&self, day: u32, class: RetentionClass) -> bool {
        self.gone_path(day, class).exists()
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, HashMap<(u32, RetentionClass), Arc<DataKey>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overwrite(path: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(&[0; FILE_LEN])?;
    file.sync_all()
}

fn head(day: u32, class: RetentionClass) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let parts = MAGIC.iter().copied().chain(day.to_be_bytes()).chain([class_byte(class)]);
    head.iter_mut().zip(parts).for_each(|(h, p)| *h = p);
    head
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use super::super::disk::RealDisk;
    use super::*;

    fn keys(dir: &Path, key: [u8; 32]) -> DayKeys {
        let random = Random::Fixed(AtomicU8::new(1));
        DayKeys::open(dir, &StoreKey::from_bytes(key), random, Arc::new(RealDisk)).unwrap()
    }

    #[test]
    fn a_key_is_the_same_after_reopening_and_wrong_under_another_store_key() {
        let dir = tempfile::tempdir().unwrap();
        let mac = keys(dir.path(), [1; 32]).for_writing(5, RetentionClass::Minor).unwrap().plate_mac("A");
        let again = keys(dir.path(), [1; 32]);
        assert_eq!(again.for_writing(5, RetentionClass::Minor).unwrap().plate_mac("A"), mac);
        assert!(again.for_reading(6, RetentionClass::Minor).unwrap().is_none());
        assert!(matches!(keys(dir.path(), [2; 32]).for_reading(5, RetentionClass::Minor), Err(Error::Unsealed { .. })));
    }

    #[test]
    fn a_destroyed_key_is_gone_and_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path(), [1; 32]);
        keys.for_writing(5, RetentionClass::Read).unwrap();
        keys.destroy(5, RetentionClass::Read).unwrap();
        keys.destroy(5, RetentionClass::Read).unwrap();
        assert!(keys.for_reading(5, RetentionClass::Read).unwrap().is_none());
        assert!(matches!(keys.for_writing(5, RetentionClass::Read), Err(Error::KeyDestroyed { day: 5, .. })));
        assert!(!keys.copy_path(5, RetentionClass::Read).exists());
        assert_eq!(fs::read(keys.path(5, RetentionClass::Read)).unwrap(), [0; FILE_LEN]);
        assert_eq!(keys.existing(0, 9).unwrap(), [(5, RetentionClass::Read)], "until it is cleared away");
        keys.strike(5, RetentionClass::Read).unwrap();
        keys.strike(5, RetentionClass::Read).unwrap();
        assert!(!keys.path(5, RetentionClass::Read).exists() && keys.existing(0, 9).unwrap().is_empty());
        assert!(keys.for_reading(5, RetentionClass::Read).unwrap().is_none());
    }

    #[test]
    fn a_damaged_or_lost_key_file_is_made_anew_from_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let class = RetentionClass::Minor;
        let mac = keys(dir.path(), [1; 32]).for_writing(5, class).unwrap().plate_mac("A");
        let (path, copy) = (keys(dir.path(), [1; 32]).path(5, class), keys(dir.path(), [1; 32]).copy_path(5, class));
        let sound = fs::read(&path).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), sound);
        for damaged in [&path, &copy] {
            fs::write(damaged, &sound[..40]).unwrap();
            let keys = keys(dir.path(), [1; 32]);
            assert_eq!(keys.for_reading(5, class).unwrap().unwrap().plate_mac("A"), mac);
            assert_eq!((keys.mend().unwrap(), keys.mend().unwrap()), (1, 0));
            fs::remove_file(damaged).unwrap();
            // A store of a version without copies: no damage.
            assert_eq!(keys.mend().unwrap(), 0);
            assert_eq!(fs::read(damaged).unwrap(), sound);
        }
        for both in [&path, &copy] {
            fs::write(both, &sound[..40]).unwrap();
        }
        let keys = keys(dir.path(), [1; 32]);
        assert!(matches!(keys.for_reading(5, class), Err(Error::Unsealed { .. })));
        assert_eq!(keys.mend().unwrap(), 0);
        keys.for_writing(5, class).unwrap();
        assert!(path.with_extension("damaged").exists() && fs::read(&path).unwrap() == fs::read(&copy).unwrap());
        // What is being destroyed is not brought back.
        keys.destroy(5, class).unwrap();
        fs::write(&copy, &sound).unwrap();
        assert_eq!(keys.mend().unwrap(), 0);
        assert!(keys.for_reading(5, class).unwrap().is_none() && fs::read(&path).unwrap() == [0; FILE_LEN]);
    }

    #[test]
    fn key_file_is_as_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path(), [1; 32]);
        keys.for_writing(20_000, RetentionClass::Serious).unwrap();
        let file = fs::read(keys.path(20_000, RetentionClass::Serious)).unwrap();
        crate::store::golden("daykey-1.bin", &file);
    }
}
