//! Secrets that come sealed to this box: HPKE (RFC 9180), and where they lie.
//!
//! ```text
//! sealed = enc (32) ‖ ciphertext with tag          DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, mode base
//! info   = "watchpost secret 1" ‖ 0 ‖ <site>/<box> ‖ 0 ‖ <name>              aad = ""
//! data_dir/keys/hpke.key           the box's private key, 32 bytes, 0600; or the systemd credential hpke.key
//! data_dir/credentials/<name>.sealed       a secret as it came, 0600: it is opened each time that it is used
//! ```
//! A secret is sealed on the disk as it was on the way: without the key it is nothing, and with the key in a systemd
//! credential (TPM) a stolen disk tells none. It can be replaced and taken out, and read by no operation. Bound to box and
//! name, it opens nowhere else and under no other name.
//!
//! Called by `secret.set`, by the wiring when a camera is opened, and by the centre's client ([`seal`]).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use crate::centre::keys::{self, refuse_exposed};
use crate::config::managed;
use crate::domain::{BoxId, SiteId};

/// Where a unit's credentials are while it runs, for its user and for root: a verb that is given by hand has the daemon's.
pub const UNITS_CREDENTIALS: &str = "/run/credentials/watchpost.service";
/// The data of the box that the unit runs.
pub const UNITS_DATA: &str = "/var/lib/watchpost";

/// Longest secret, bytes.
pub const MAX_SECRET: usize = 4096;
/// What sealing adds, bytes.
pub const OVERHEAD: usize = ENC + 16;
const ENC: usize = 32;
/// Longest name, bytes.
const MAX_NAME: usize = 32;
const SUFFIX: &str = ".sealed";

/// Why a secret can't be sealed, kept or opened. No message holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name that a secret can have.
    #[error("credential {name:?} is no plain name: 1 to 32 of a-z, A-Z, 0-9, '.', '_', '-', not first a '.'")]
    Name {
        /// What was given.
        name: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that others may read.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// The file holds no key.
    #[error("{}: holds no X25519 private key of 32 bytes; remove it and set the secrets anew", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Not a public key.
    #[error("the box's public key is none")]
    NoPublicKey,
    /// It was sealed for another box, for another name, for an older key, or was changed.
    #[error("credential {name:?} does not open: it was sealed for another box, name or key; set it anew")]
    Sealed {
        /// Its name.
        name: String,
    },
    /// Longer than it may be, or empty.
    #[error("a secret of {found} bytes, wanted 1 to {MAX_SECRET}")]
    Length {
        /// Bytes.
        found: usize,
    },
}

/// A box, as secrets are bound to it.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// Its site.
    pub site: &'a SiteId,
    /// Its id.
    pub box_id: &'a BoxId,
}

impl Whose<'_> {
    fn info(&self, name: &str) -> Vec<u8> {
        format!("watchpost secret 1\0{}/{}\0{name}", self.site, self.box_id).into_bytes()
    }
}

/// Whether `name` can be that of a credential.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let fits = plain && (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && !name.ends_with(SUFFIX);
    if fits { Ok(()) } else { Err(Error::Name { name: name.to_owned() }) }
}

/// Seals a secret to a box, whose public key it is; for the centre's client.
///
/// # Errors
/// A name, a length or a key that can't be.
pub fn seal(public: &[u8; 32], whose: Whose<'_>, name: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
    check_name(name)?;
    if !(1..=MAX_SECRET).contains(&secret.len()) {
        return Err(Error::Length { found: secret.len() });
    }
    let key = <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(public).map_err(|_| Error::NoPublicKey)?;
    let sealed = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        &whose.info(name),
        secret,
        b"",
    );
    let (enc, ciphertext) = sealed.map_err(|_| Error::NoPublicKey)?;
    Ok([enc.to_bytes().as_slice(), &ciphertext].concat())
}

/// Where a box's secrets lie.
#[derive(Debug, Clone)]
pub struct Vault {
    data_dir: PathBuf,
    /// systemd's credentials, which go before.
    system: Option<PathBuf>,
}

/// What names a credential on this box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A systemd credential.
    System(PathBuf),
    /// Sealed by the centre.
    Sealed(PathBuf),
    /// A file that the box's admin put there; it may be missing.
    File(PathBuf),
}

impl Vault {
    /// Of the box whose data lies there.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let units = || (data_dir == Path::new(UNITS_DATA)).then(|| PathBuf::from(UNITS_CREDENTIALS));
        Self { data_dir: data_dir.to_owned(), system: own.or_else(units) }
    }

    fn folder(&self) -> PathBuf {
        self.data_dir.join("credentials")
    }

    fn key_path(&self) -> PathBuf {
        let system = self.system.iter().map(|dir| dir.join("hpke.key")).find(|path| path.exists());
        system.unwrap_or_else(|| self.data_dir.join("keys/hpke.key"))
    }

    /// Where the credential of this name is taken from.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn find(&self, name: &str) -> Result<Found, Error> {
        check_name(name)?;
        if let Some(path) = self.system.iter().map(|dir| dir.join(name)).find(|path| path.exists()) {
            return Ok(Found::System(path));
        }
        let sealed = self.folder().join(format!("{name}{SUFFIX}"));
        Ok(if sealed.exists() { Found::Sealed(sealed) } else { Found::File(self.folder().join(name)) })
    }

    /// The box's public key; the private one is made when there is none.
    ///
    /// # Errors
    /// A key file that cannot be read, made, or is none.
    pub fn public(&self) -> Result<[u8; 32], Error> {
        let path = self.key_path();
        if !path.exists() {
            let (private, _) = X25519HkdfSha256::derive_keypair(&keys::random_32()?[..]);
            let bytes = Zeroizing::new(private.to_bytes().to_vec());
            if let Some(dir) = path.parent() {
                keys::make_dir(dir)?;
            }
            keys::write_new(&path, &bytes, 0o600)?;
        }
        let public = X25519HkdfSha256::sk_to_pk(&self.private()?);
        public.to_bytes().as_slice().try_into().map_err(|_| Error::NoKey { path })
    }

    fn private(&self) -> Result<<X25519HkdfSha256 as hpke::Kem>::PrivateKey, Error> {
        let path = self.key_path();
        if path.starts_with(&self.data_dir) {
            refuse_exposed(&path)?;
        }
        let bytes = Zeroizing::new(read(&path, 64)?);
        <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(&bytes).map_err(|_| Error::NoKey { path })
    }

    /// Opens a sealed secret.
    ///
    /// # Errors
    /// [`Error::Sealed`], and as [`Vault::public`].
    pub fn open(&self, whose: Whose<'_>, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        check_name(name)?;
        let no = || Error::Sealed { name: name.to_owned() };
        let (enc, ciphertext) = sealed.split_at_checked(ENC).ok_or_else(no)?;
        let enc = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| no())?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private()?,
            &enc,
            &whose.info(name),
            ciphertext,
            b"",
        );
        opened.map(Zeroizing::new).map_err(|_| no())
    }

    /// Opens the secret that lies at `path`, which [`Vault::find`] gave.
    ///
    /// # Errors
    /// As [`Vault::open`]; a file that cannot be read or that others may read.
    pub fn open_file(&self, whose: Whose<'_>, name: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
        refuse_exposed(path)?;
        self.open(whose, name, &read(path, MAX_SECRET + OVERHEAD)?)
    }

    /// Keeps a secret as it came, in place of the one before.
    ///
    /// # Errors
    /// A name that can't be, a file that cannot be written.
    pub fn keep(&self, name: &str, sealed: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        let path = self.folder().join(format!("{name}{SUFFIX}"));
        managed::replace(&path, sealed).map_err(|source| Error::Io { path, source })
    }

    /// Takes a secret out; false when there is none of the centre.
    ///
    /// # Errors
    /// As [`Vault::keep`].
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        check_name(name)?;
        let path = self.folder().join(format!("{name}{SUFFIX}"));
        let was = path.exists();
        managed::remove(&path).map_err(|source| Error::Io { path, source })?;
        Ok(was)
    }

    /// Names of the secrets that the centre set, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(SUFFIX)?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::with_capacity(most);
    let file = std::fs::File::open(path).map_err(io)?;
    // One byte more, so that a longer file is noticed by whoever takes it apart.
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ids() -> (SiteId, BoxId) {
        (SiteId::new("north").unwrap(), BoxId::new("box-1").unwrap())
    }

    fn vault(dir: &Path) -> Vault {
        Vault { data_dir: dir.to_owned(), system: None }
    }

    #[test]
    fn a_sealed_secret_opens_on_its_box_under_its_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (site, box_id) = ids();
        let whose = Whose { site: &site, box_id: &box_id };
        let own = vault(dir.path());
        let public = own.public().unwrap();
        assert_eq!(public, own.public().unwrap(), "made once");
        let sealed = seal(&public, whose, "gate", b"admin:secret").unwrap();
        assert_eq!(own.open(whose, "gate", &sealed).unwrap().as_slice(), b"admin:secret");
        let other_box = BoxId::new("box-2").unwrap();
        let other = Whose { site: &site, box_id: &other_box };
        assert!(matches!(own.open(other, "gate", &sealed), Err(Error::Sealed { .. })));
        assert!(matches!(own.open(whose, "yard", &sealed), Err(Error::Sealed { .. })));
        for at in [0, 40, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(own.open(whose, "gate", &changed).is_err(), "byte {at}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        vault(elsewhere.path()).public().unwrap();
        assert!(vault(elsewhere.path()).open(whose, "gate", &sealed).is_err(), "another box's key");
    }

    #[test]
    fn what_is_kept_is_sealed_private_and_goes_before_a_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let (site, box_id) = ids();
        let whose = Whose { site: &site, box_id: &box_id };
        let own = vault(dir.path());
        std::fs::create_dir_all(own.folder()).unwrap();
        std::fs::write(own.folder().join("gate"), "plain:file").unwrap();
        assert_eq!(own.find("gate").unwrap(), Found::File(own.folder().join("gate")));
        let sealed = seal(&own.public().unwrap(), whose, "gate", b"admin:secret").unwrap();
        own.keep("gate", &sealed).unwrap();
        let Found::Sealed(path) = own.find("gate").unwrap() else { panic!() };
        assert_eq!(own.open_file(whose, "gate", &path).unwrap().as_slice(), b"admin:secret");
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"secret"));
        for file in [path, own.key_path()] {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(own.names(), ["gate"]);
        assert!(own.remove("gate").unwrap() && !own.remove("gate").unwrap());
        assert!(matches!(own.find("gate").unwrap(), Found::File(_)));
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "../x", "a/b", ".hidden", "x.sealed", &"n".repeat(33), "a b"] {
            assert!(matches!(check_name(name), Err(Error::Name { .. })), "{name:?}");
        }
        assert!(check_name("gate-2_a.b").is_ok());
    }

    #[test]
    fn the_first_vector_of_rfc_9180_for_this_suite_opens() {
        // RFC 9180, appendix A.2.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base, sequence 0.
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let key = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let info = hex("4f6465206f6e2061204772656369616e2055726e");
        let ciphertext =
            hex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
        let private = <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(&key).unwrap();
        let enc = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(&enc).unwrap();
        let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &enc,
            &info,
            &ciphertext,
            &hex("436f756e742d30"),
        );
        assert_eq!(plain.unwrap(), b"Beauty is truth, truth beauty");
    }
}
