//! Ed25519 keys: files, key ids, and sets of keys that are trusted for something.
//!
//! A private key is a PKCS #8 file in PEM (RFC 8410), 0600; one that others may read is refused. A public key is an
//! SPKI file in PEM. Both are what `openssl pkey` reads and writes. A [`Kid`] is the first 8 bytes of the SHA-256 of
//! the raw public key; it only finds the key, so a collision costs a refused message and nothing else.
//!
//! Small-order public keys, under which anyone can forge, and non-canonical ones are refused when they are loaded:
//! `ring` takes them. Who is trusted for what is said by the keyring ([`super::keyring`]) and the registry of boxes
//! ([`super::boxes`]), not here.

mod box_key;
mod pem;
mod weak;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::SectionKind;
use zeroize::Zeroizing;

pub use box_key::BoxKey;

/// Largest key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 4096;
/// PKCS #8 v1 around a 32-byte Ed25519 seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// SubjectPublicKeyInfo around a 32-byte Ed25519 key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{}: is there already and is never overwritten: remove it by hand if it is to be made anew", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read a private key.
    #[error("{}: mode {mode:04o} lets others read a private key: chmod 600 {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no such key.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No Ed25519 public key.
    #[error("no Ed25519 public key (SubjectPublicKeyInfo, RFC 8410)")]
    NotEd25519,
    /// A public key of small order or in a non-canonical encoding.
    #[error("public key {key}: {reason}: it is refused, make a new key")]
    Weak {
        /// The key in hex.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key to change to that was not made before.
    #[error("no key {kid} was prepared here: ask for a new one first")]
    NotPrepared {
        /// The key's id.
        kid: Kid,
    },
    /// A key that lies in no file cannot be changed for another.
    #[error("this key lies in no file and cannot be changed")]
    NoFile,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a new key")]
    Random,
}

/// The first 8 bytes of the SHA-256 of a public key: names the key in a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(pub [u8; 8]);

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

/// A public key that has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Checks and wraps the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`Error::Weak`] for a key of small order and for y ≥ 2^255 − 19.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, Error> {
        let refused = |reason| Err(Error::Weak { key: hex(&bytes), reason });
        if weak::is_small_order(&bytes) {
            return refused("a point of small order, under which anyone can sign");
        }
        if !weak::is_canonical(&bytes) {
            return refused("not the canonical encoding of a point");
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> Kid {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        let mut kid = [0; 8];
        kid.iter_mut().zip(digest.as_ref()).for_each(|(k, d)| *k = *d);
        Kid(kid)
    }

    /// Whether `signature` is this key's on `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// As a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// Takes a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// When it is no Ed25519 key, or a weak one.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let raw = der.strip_prefix(&SPKI_PREFIX[..]).and_then(|k| <[u8; 32]>::try_from(k).ok());
        Self::from_bytes(raw.ok_or(Error::NotEd25519)?)
    }

    /// As an SPKI file in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::text("PUBLIC KEY", &self.to_spki())
    }

    /// Reads an SPKI file in PEM.
    ///
    /// # Errors
    /// When the file cannot be read, holds something else, or the key is weak.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_bounded(path)?;
        let bad = |reason: String| Error::Format { path: path.to_owned(), reason };
        let (kind, der) = pem::section(&bytes).map_err(bad)?;
        match kind {
            SectionKind::PublicKey => Self::from_spki(&der).map_err(|e| bad(e.to_string())),
            SectionKind::PrivateKey => Err(bad("a private key, where a public key is wanted".to_owned())),
            _ => Err(bad("no public key in PEM (-----BEGIN PUBLIC KEY-----) in it".to_owned())),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

/// A private key with its public half. Not `Clone`: share it in an `Arc`.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
    kid: Kid,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032).
    ///
    /// # Errors
    /// Never for a random seed: only if its public key were weak.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, Error> {
        let rejected = |_| Error::Weak { key: "(seed)".to_owned(), reason: "no Ed25519 seed" };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected)?;
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        let public = PublicKey::from_bytes(bytes)?;
        let kid = public.kid();
        Ok(Self { pair, public, kid })
    }

    /// Makes a key, and the text of its file.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no random bytes.
    pub fn generate() -> Result<(Self, Zeroizing<String>), Error> {
        let seed = random_32()?;
        let der = Zeroizing::new([&PKCS8_PREFIX[..], &seed[..]].concat());
        Ok((Self::from_seed(&seed)?, Zeroizing::new(pem::text("PRIVATE KEY", &der))))
    }

    /// Makes a key and writes it to `path`, which must not be there, with mode 0600.
    ///
    /// # Errors
    /// [`Error::Exists`], or when the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let (key, text) = Self::generate()?;
        write_new(path, text.as_bytes(), 0o600)?;
        Ok(key)
    }

    /// Reads a PKCS #8 file in PEM.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::read_with(path, 0o077)
    }

    /// Reads it from a file in `$CREDENTIALS_DIRECTORY`. systemd lets the user of a unit read its credentials by an access
    /// control list, which shows as a mode of 0440: the group's bit is the list's mask and opens it to no group.
    ///
    /// # Errors
    /// As [`SigningKey::read`]; reading by a group alone is allowed.
    pub fn read_credential(path: &Path) -> Result<Self, Error> {
        Self::read_with(path, 0o037)
    }

    fn read_with(path: &Path, refused: u32) -> Result<Self, Error> {
        refuse_open_to(path, refused)?;
        let bytes = Zeroizing::new(read_bounded(path)?);
        let bad = |reason: String| Error::Format { path: path.to_owned(), reason };
        let (kind, der) = pem::section(&bytes).map_err(bad)?;
        let der = Zeroizing::new(der);
        if kind != SectionKind::PrivateKey {
            return Err(bad("no private key (PKCS #8 in PEM)".to_owned()));
        }
        // A newer form with attributes and the public key (RFC 5958) starts with another length and version: what is
        // written by openssl and by us is the plain one.
        let seed = der.strip_prefix(&PKCS8_PREFIX[..]).and_then(|s| <[u8; 32]>::try_from(s).ok()).map(Zeroizing::new);
        Self::from_seed(&*seed.ok_or_else(|| bad("no Ed25519 private key (PKCS #8, RFC 8410)".to_owned()))?)
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The 64-byte signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Public keys that are trusted for one thing, found by [`Kid`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<Kid, PublicKey>);

impl Keys {
    /// The key of `kid`.
    #[must_use]
    pub fn get(&self, kid: Kid) -> Option<&PublicKey> {
        self.0.get(&kid)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.values()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<PublicKey> for Keys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid(), key)).collect())
    }
}

impl From<PublicKey> for Keys {
    fn from(key: PublicKey) -> Self {
        std::iter::once(key).collect()
    }
}

/// 32 random bytes of the system.
///
/// # Errors
/// [`Error::Random`] when it gives none.
pub fn random_32() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    ring::rand::SystemRandom::new().fill(&mut bytes[..]).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// Refuses a secret that others than its owner may read.
///
/// # Errors
/// [`Error::Exposed`] when group or others have any right to it, [`Error::Io`] when it is not there.
pub fn refuse_exposed(path: &Path) -> Result<(), Error> {
    refuse_open_to(path, 0o077)
}

fn refuse_open_to(path: &Path, refused: u32) -> Result<(), Error> {
    let meta = fs::metadata(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & refused == 0 { Ok(()) } else { Err(Error::Exposed { path: path.to_owned(), mode }) }
}

/// Writes a file that must not be there yet, durably, with `mode`.
///
/// # Errors
/// [`Error::Exists`], or when the file cannot be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Io { path: path.to_owned(), source },
    };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    // The name must last as well: a key that is lost with the power leaves a store that nobody can read.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Makes a folder, and those above it, for its owner alone; one that is there stays as it is.
///
/// # Errors
/// [`Error::Io`] when it cannot be made.
pub fn make_dir(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Err(Error::Format { path: path.to_owned(), reason: "larger than 4096 bytes: no key file".to_owned() });
    }
    Ok(bytes)
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32]).unwrap()
    }

    #[test]
    fn a_key_file_comes_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.key");
        let made = SigningKey::create(&path).unwrap();
        assert_eq!(SigningKey::read(&path).unwrap().kid(), made.kid());
        assert!(matches!(SigningKey::create(&path), Err(Error::Exists { .. })));
        let public = dir.path().join("box.pub");
        fs::write(&public, made.public().to_pem()).unwrap();
        assert_eq!(PublicKey::read(&public).unwrap(), *made.public());
    }

    #[test]
    fn a_credential_of_systemd_may_show_its_mask_and_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reader");
        SigningKey::create(&path).unwrap();
        let mode = |mode: u32| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o440);
        assert!(matches!(SigningKey::read(&path), Err(Error::Exposed { .. })));
        SigningKey::read_credential(&path).unwrap();
        for open in [0o444, 0o460, 0o441] {
            mode(open);
            assert!(matches!(SigningKey::read_credential(&path), Err(Error::Exposed { .. })), "{open:o}");
        }
    }

    #[test]
    fn a_private_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.key");
        SigningKey::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SigningKey::read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains("box.key"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        SigningKey::read(&path).unwrap();
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.key");
        let (key, text) = SigningKey::generate().unwrap();
        let public = key.public().to_pem();
        let cases: [(&[u8], &str); 5] = [
            (b"", "not a PEM file"),
            (b"\x30\x2e\x02", "not a PEM file"),
            (public.as_bytes(), "no private key"),
            (&text.as_bytes()[..60], "PEM"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no Ed25519 private key"),
        ];
        for (bytes, says) in cases {
            let _ = fs::remove_file(&path);
            write_new(&path, bytes, 0o600).unwrap();
            let error = SigningKey::read(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("some.key"), "{error}");
        }
        fs::write(&path, text.as_bytes()).unwrap();
        assert!(PublicKey::read(&path).unwrap_err().to_string().contains("a private key, where"));
        fs::write(&path, [b'x'; 5000]).unwrap();
        assert!(PublicKey::read(&path).unwrap_err().to_string().contains("larger than"));
        assert!(PublicKey::read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn signatures_hold_for_their_message_and_key_alone() {
        let signature = key().sign(b"message");
        assert!(key().public().verifies(b"message", &signature));
        assert!(!key().public().verifies(b"massage", &signature));
        assert!(!key().public().verifies(b"message", &signature[..63]));
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        assert!(!other.public().verifies(b"message", &signature));
    }
}
