//! The key that a box signs with while it runs, and its change for another.
//!
//! A change has two steps, so that no moment is without a key that the centre believes. [`BoxKey::prepare`] makes the next
//! key and keeps it beside the present one, which goes on signing; the answer that names it is signed by the present key.
//! When the centre has put the next key into its registry beside the present one, it says so, and [`BoxKey::switch`] makes
//! the next key the present one, on disk first. Preparing again gives the same next key: a lost answer costs nothing.
//!
//! Handles are cheap to clone and see a switch at once. A power cut leaves the old key or the new one in force, never none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Error, Kid, PublicKey, SigningKey, write_new};

/// The present key and where it lies.
#[derive(Clone)]
pub struct BoxKey(Arc<Shared>);

struct Shared {
    /// Without: a key that is not in a file, which cannot be changed.
    path: Option<PathBuf>,
    present: RwLock<Arc<SigningKey>>,
}

impl std::fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BoxKey({})", self.current().kid())
    }
}

impl From<SigningKey> for BoxKey {
    /// A key that stays.
    fn from(key: SigningKey) -> Self {
        Self(Arc::new(Shared { path: None, present: RwLock::new(Arc::new(key)) }))
    }
}

impl BoxKey {
    /// Reads the key file.
    ///
    /// # Errors
    /// As [`SigningKey::read`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let key = SigningKey::read(path)?;
        Ok(Self(Arc::new(Shared { path: Some(path.to_owned()), present: RwLock::new(Arc::new(key)) })))
    }

    /// The key to sign with now.
    #[must_use]
    pub fn current(&self) -> Arc<SigningKey> {
        Arc::clone(&self.0.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the next key, or finds the one made before, and gives its public half; durable when it returns.
    ///
    /// # Errors
    /// When its file cannot be written, or is there and is none.
    pub fn prepare(&self) -> Result<PublicKey, Error> {
        let path = self.next_path()?;
        let key = match SigningKey::read(&path) {
            Ok(key) => key,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                SigningKey::create(&path)?
            }
            Err(error) => return Err(error),
        };
        Ok(key.public().clone())
    }

    /// Makes the prepared key of this id the present one; true when it was not already. The key before is gone then.
    ///
    /// # Errors
    /// [`Error::NotPrepared`] when no key of this id waits; when files cannot be written, and nothing is changed then.
    pub fn switch(&self, kid: Kid) -> Result<bool, Error> {
        if self.current().kid() == kid {
            return Ok(false);
        }
        let (next, path) = (self.next_path()?, self.path()?);
        let key = match SigningKey::read(&next) {
            Ok(key) if key.kid() == kid => key,
            Ok(_) => return Err(Error::NotPrepared { kid }),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotPrepared { kid });
            }
            Err(error) => return Err(error),
        };
        // The public half is for people; it is written anew after the private one, which is what counts.
        let failed = |at: &Path| {
            let at = at.to_owned();
            move |source| Error::Io { path: at, source }
        };
        fs::rename(&next, path).map_err(failed(path))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path))?;
        let public = path.with_extension("pub");
        let _ = fs::remove_file(&public);
        if let Err(error) = write_new(&public, key.public().to_pem().as_bytes(), 0o644) {
            tracing::warn!(%error, "the public half of the box's new key was not written");
        }
        *self.0.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        Ok(true)
    }

    fn path(&self) -> Result<&Path, Error> {
        self.0.path.as_deref().ok_or(Error::NoFile)
    }

    fn next_path(&self) -> Result<PathBuf, Error> {
        Ok(self.path()?.with_extension("next.key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_waits_beside_the_present_one_until_it_is_switched_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.key");
        SigningKey::create(&path).unwrap();
        let key = BoxKey::read(&path).unwrap();
        let (other_handle, before) = (key.clone(), key.current().kid());
        let next = key.prepare().unwrap();
        assert_eq!(key.prepare().unwrap(), next, "asked again: the same");
        assert_eq!(key.current().kid(), before);
        assert!(matches!(key.switch(Kid([1; 8])), Err(Error::NotPrepared { .. })));
        assert!(key.switch(next.kid()).unwrap());
        assert_eq!(other_handle.current().kid(), next.kid());
        assert!(!key.switch(next.kid()).unwrap(), "told again: nothing is done");
        // After a restart.
        assert_eq!(BoxKey::read(&path).unwrap().current().kid(), next.kid());
        assert_eq!(PublicKey::read(&dir.path().join("box.pub")).unwrap(), next);
        assert_ne!(key.prepare().unwrap(), next, "the one after it is another");
    }

    #[test]
    fn a_key_without_a_file_stays() {
        let key = BoxKey::from(SigningKey::from_seed(&[7; 32]).unwrap());
        assert!(matches!(key.prepare(), Err(Error::NoFile)));
    }
}
