//! The keyring of a running box: the newest it was given, on disk, and the number that it never goes below.
//!
//! Two files may hold a keyring: the one that the configuration names, put there by hand, and `keyring.cbor` among the
//! box's own keys, written by [`KeyBook::put`]. The greater serial counts. `keyring.serial` remembers the greatest ever
//! seen, so that a revoked key does not come back with an older file, whoever puts it there. Handles are cheap to clone; a
//! put is seen by all of them at once.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Error, Keyring};
use crate::centre::keys::{self, PublicKey};

/// The keyring in force.
#[derive(Clone)]
pub struct KeyBook(Arc<Shared>);

struct Shared {
    /// Without: a keyring that is not in a file, which cannot be changed.
    place: Option<Place>,
    present: RwLock<Arc<Keyring>>,
    /// One put at a time.
    writing: Mutex<()>,
}

struct Place {
    root: PublicKey,
    dir: PathBuf,
}

impl std::fmt::Debug for KeyBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyBook(serial {})", self.current().serial)
    }
}

impl From<Keyring> for KeyBook {
    /// A keyring that stays.
    fn from(ring: Keyring) -> Self {
        Self(Arc::new(Shared { place: None, present: RwLock::new(Arc::new(ring)), writing: Mutex::default() }))
    }
}

impl KeyBook {
    /// The newest keyring of `root`: of the file `given` and of the one that was put into `dir`, the folder of the box's
    /// keys. A greater serial than any before is remembered.
    ///
    /// # Errors
    /// When neither can be read and verified, or the newest is older than one that this box has seen.
    pub fn open(dir: &Path, given: &Path, root: &PublicKey) -> Result<Self, Error> {
        let (ring, path) = newest(dir, given, root)?;
        let seen = newest_seen(dir)?;
        if ring.serial < seen {
            return Err(Error::Older { path, serial: ring.serial, seen });
        }
        if ring.serial > seen {
            remember(dir, ring.serial)?;
        }
        let place = Some(Place { root: root.clone(), dir: dir.to_owned() });
        Ok(Self(Arc::new(Shared { place, present: RwLock::new(Arc::new(ring)), writing: Mutex::default() })))
    }

    /// The keyring in force.
    #[must_use]
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.0.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a keyring's bytes as [`KeyBook::put`] would, and takes nothing.
    ///
    /// # Errors
    /// When the root did not sign it, or something in it is wrong.
    pub fn look(&self, bytes: &[u8]) -> Result<Keyring, Error> {
        let place = self.0.place.as_ref().ok_or(Error::Fixed)?;
        Keyring::verify(bytes, Path::new("(sent)"), &place.root)
    }

    /// Takes a newer keyring in force: on disk, remembered, then for all handles. The same again is taken without a word.
    ///
    /// # Errors
    /// [`Error::Older`] for a serial below the present one, or the same with another content; as [`KeyBook::look`]; when
    /// it cannot be written, and the present one stays in force then.
    pub fn put(&self, bytes: &[u8]) -> Result<Arc<Keyring>, Error> {
        let _one = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.look(bytes)?;
        let present = self.current();
        if ring == *present {
            return Ok(present);
        }
        if ring.serial <= present.serial {
            return Err(Error::Older { path: PathBuf::from("(sent)"), serial: ring.serial, seen: present.serial });
        }
        let place = self.0.place.as_ref().ok_or(Error::Fixed)?;
        let path = put_path(&place.dir);
        write_whole(&path, bytes).map_err(|source| keys::Error::Io { path, source })?;
        remember(&place.dir, ring.serial)?;
        let ring = Arc::new(ring);
        *self.0.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        Ok(ring)
    }
}

/// The newest keyring of the two places, and which file it is of.
///
/// # Errors
/// When neither holds one that `root` signed: what is wrong with the given one.
pub fn newest(dir: &Path, given: &Path, root: &PublicKey) -> Result<(Keyring, PathBuf), Error> {
    let put = put_path(dir);
    let own = if put.exists() { Keyring::read(&put, root).map_err(|e| said(&put, e)).ok() } else { None };
    match (Keyring::read(given, root), own) {
        (Ok(ring), Some(own)) if own.serial > ring.serial => Ok((own, put)),
        (Ok(ring), _) => Ok((ring, given.to_owned())),
        (Err(error), Some(own)) => {
            said(given, error);
            Ok((own, put))
        }
        (Err(error), None) => Err(error),
    }
}

/// A keyring that cannot be used while another can: said, and passed over.
fn said(path: &Path, error: Error) -> Error {
    tracing::warn!(path = %path.display(), %error, "a keyring that cannot be used is passed over for the other one");
    error
}

/// The greatest serial of a keyring that this box has seen; 0 when it has seen none.
///
/// # Errors
/// When the file in `dir` that remembers it cannot be read or holds no number.
pub fn newest_seen(dir: &Path) -> Result<u64, Error> {
    let path = serial_path(dir);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| Error::NoNumber { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(keys::Error::Io { path, source }.into()),
    }
}

fn remember(dir: &Path, serial: u64) -> Result<(), Error> {
    let path = serial_path(dir);
    write_whole(&path, format!("{serial}\n").as_bytes()).map_err(|source| keys::Error::Io { path, source }.into())
}

fn serial_path(dir: &Path) -> PathBuf {
    dir.join("keyring.serial")
}

fn put_path(dir: &Path) -> PathBuf {
    dir.join("keyring.cbor")
}

/// So that a power cut leaves the old or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;
    use crate::domain::TimeMs;

    struct Setup {
        dir: tempfile::TempDir,
        root: SigningKey,
    }

    impl Setup {
        fn new() -> Self {
            let (dir, root) = (tempfile::tempdir().unwrap(), SigningKey::from_seed(&[7; 32]).unwrap());
            Self { dir, root }
        }

        fn signed(&self, serial: u64) -> Vec<u8> {
            Keyring { serial, issued: TimeMs(1), entries: Vec::new() }.sign(&self.root).unwrap()
        }

        fn given(&self) -> PathBuf {
            self.dir.path().join("given.cbor")
        }

        fn give(&self, serial: u64) -> Result<KeyBook, Error> {
            fs::write(self.given(), self.signed(serial)).unwrap();
            self.open()
        }

        fn open(&self) -> Result<KeyBook, Error> {
            KeyBook::open(self.dir.path(), &self.given(), self.root.public())
        }
    }

    #[test]
    fn a_keyring_older_than_the_newest_seen_is_refused() {
        let setup = Setup::new();
        assert!(setup.give(3).is_ok() && setup.give(3).is_ok() && setup.give(5).is_ok());
        let error = setup.give(4).unwrap_err().to_string();
        assert!(error.contains("serial 4, this box has seen 5"), "{error}");
        assert!(setup.give(5).is_ok());
    }

    #[test]
    fn what_is_put_is_in_force_at_once_and_after_a_restart() {
        let setup = Setup::new();
        let book = setup.give(3).unwrap();
        let handle = book.clone();
        assert_eq!(book.put(&setup.signed(4)).unwrap().serial, 4);
        assert_eq!(handle.current().serial, 4);
        assert_eq!(setup.open().unwrap().current().serial, 4, "although the given file is older");
        assert!(book.put(&setup.signed(4)).is_ok(), "the same again");
        assert_eq!(setup.give(6).unwrap().current().serial, 6, "a newer one by hand");
    }

    #[test]
    fn an_older_one_another_of_the_same_serial_and_one_of_another_root_are_refused() {
        let setup = Setup::new();
        let book = setup.give(3).unwrap();
        assert!(matches!(book.put(&setup.signed(2)), Err(Error::Older { serial: 2, seen: 3, .. })));
        let other = Keyring { serial: 3, issued: TimeMs(2), entries: Vec::new() }.sign(&setup.root).unwrap();
        assert!(matches!(book.put(&other), Err(Error::Older { serial: 3, seen: 3, .. })));
        let strange = SigningKey::from_seed(&[8; 32]).unwrap();
        let forged = Keyring { serial: 9, issued: TimeMs(2), entries: Vec::new() }.sign(&strange).unwrap();
        assert!(matches!(book.put(&forged), Err(Error::Envelope { .. })));
        assert_eq!((book.current().serial, setup.open().unwrap().current().serial), (3, 3));
    }

    #[test]
    fn a_damaged_keyring_of_ones_own_is_passed_over_but_its_number_is_remembered() {
        let setup = Setup::new();
        let book = setup.give(3).unwrap();
        book.put(&setup.signed(4)).unwrap();
        fs::write(setup.dir.path().join("keyring.cbor"), b"rubbish").unwrap();
        let error = setup.open().unwrap_err().to_string();
        assert!(error.contains("serial 3, this box has seen 4"), "{error}");
        assert_eq!(setup.give(5).unwrap().current().serial, 5);
    }
}
