//! Keys and ciphers: how everything that the store writes about a plate is sealed.
//!
//! ```text
//! store key (32 bytes, outside the store)
//!   ├─ HKDF "wrap"    ─► AES-256-GCM: wraps the data keys                      (files keys/<day>-<class>.key)
//!   ├─ HKDF "standing" ─► AES-256-GCM: tallies of verdicts, retention in force, ignore list   (no plate that passed)
//!   ├─ HKDF "asking"  ─► HMAC-SHA256: cursors, digests of questions, whose rows were counted
//!   ├─ HKDF "ledger"  ─► HMAC-SHA256: chains the ledger's batches              (says nothing about plates)
//!   └─ HKDF "check"   ─► 8 bytes that tell a wrong key                         (file format)
//! data key: random, one a (day, class), wrapped; destroying its file is the deletion
//!   ├─ HKDF "value"    ─► AES-256-GCM: sightings and hits
//!   ├─ HKDF "outbox"   ─► AES-256-GCM: copies of alerts on their way to the centre
//!   ├─ HKDF "evidence" ─► AES-256-GCM: crops and scenes
//!   └─ HKDF "plate"    ─► HMAC-SHA256 cut to 16 bytes: the plate index
//! clip key: random, one a clip, in the clip's row, which is sealed under "value": as good as destroyed when that is
//!   └─ HKDF "clip"     ─► AES-256-GCM: the clip
//! ```
//! HKDF is RFC 5869 with SHA-256, salt `watchpost store 1`, info = label ‖ day ‖ class (day and class 0 for the store
//! key's own). **Nonces** are 96 random bits, drawn anew for every seal: a subkey lives for one day and class, so at
//! 1,000 seals a second it sees 2^26.4, far below the 2^32 that NIST SP 800-38D allows random nonces (chance of a
//! repeat ≤ 2^-32); the wrapping key seals a handful a day. No counter has to survive a crash, a restored backup or a
//! cloned disk. **AAD** binds what a sealed thing is (kind, day, class, name), so it opens in its own place only. The
//! plate index takes 16 of 32 bytes: chance matches do not happen and the row is short.
//!
//! Keys are wiped from memory when dropped, as far as `ring` lets us (its prepared keys are not wiped).
//! Called by every file of this room that writes; knows no files but the store key's.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use ring::aead::{self, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::error::Error;
use crate::domain::RetentionClass;

/// Bytes that sealing adds: nonce before, tag behind.
pub(super) const OVERHEAD: usize = NONCE_LEN + 16;
/// Bytes of a plate's index value.
pub(super) const PLATE_MAC_LEN: usize = 16;

const SALT: &[u8] = b"watchpost store 1";

/// Where nonces and keys come from; fixed only in tests that pin bytes.
pub(super) enum Random {
    System(SystemRandom),
    #[cfg(test)]
    Fixed(std::sync::atomic::AtomicU8),
}

impl Random {
    pub(super) fn system() -> Self {
        Self::System(SystemRandom::new())
    }

    pub(super) fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::System(random) => random.fill(out).map_err(|_| Error::Crypto("the system gave no random bytes")),
            #[cfg(test)]
            Self::Fixed(next) => {
                out.fill(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
                Ok(())
            }
        }
    }
}

/// The key that wraps all others. Wiped when dropped; shown nowhere.
#[derive(Clone, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(hidden)")
    }
}

impl StoreKey {
    /// Length of the key and of its file, in bytes.
    pub const LEN: usize = 32;

    /// A key of given bytes, for tests and benches.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key from `path`, usually `data_dir/keys/store.key`.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not there, is open to anyone but its owner, or is not 32 bytes.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::load_with(path, 0o077, "chmod 600")
    }

    /// Reads the key from `path` in `$CREDENTIALS_DIRECTORY`. systemd lets the user of a unit read its credentials by an
    /// access control list, which shows as a mode of 0440: the group's bit is the list's mask and opens it to no group.
    ///
    /// # Errors
    /// As [`StoreKey::load`]; reading by a group alone is allowed.
    pub fn load_credential(path: &Path) -> Result<Self, Error> {
        Self::load_with(path, 0o037, "give it with LoadCredential= or LoadCredentialEncrypted=")
    }

    fn load_with(path: &Path, refused: u32, remedy: &str) -> Result<Self, Error> {
        use std::os::unix::fs::PermissionsExt as _;
        let bad = |what: String| Error::Key { path: path.to_owned(), what };
        let file = File::open(path)
            .map_err(|e| bad(format!("cannot be read ({e}); `watchpost init` makes one for a new box")))?;
        let mode = file.metadata().map_err(|e| bad(format!("cannot be read ({e})")))?.permissions().mode();
        if mode & refused != 0 {
            return Err(bad(format!("mode {:03o} opens it to others; {remedy}", mode & 0o777)));
        }
        // One byte more than the key, so that a longer file is noticed.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::LEN + 1));
        file.take(Self::LEN as u64 + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("cannot be read ({e})")))?;
        match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(key) if key != [0; 32] => Ok(Self(key)),
            Ok(_) => Err(bad("it is all zeros; bring back the right file".to_owned())),
            Err(_) => Err(bad(format!("{} bytes, wanted exactly 32; bring back the right file", bytes.len()))),
        }
    }

    /// Makes a random key in a new file `path`, 0600, durable; never overwrites.
    ///
    /// # Errors
    /// [`Error::Key`] when the file is there already or cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut key = [0; 32];
        Random::system().fill(&mut key)?;
        let write = || -> std::io::Result<()> {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        let result = write().map_err(|e| Error::Key { path: path.to_owned(), what: format!("cannot be made: {e}") });
        let made = Self(key);
        key.zeroize();
        result.map(|()| made)
    }

    /// [`StoreKey::load`], or [`StoreKey::create`] when there is no file.
    ///
    /// # Errors
    /// As those.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        if path.exists() { Self::load(path) } else { Self::create(path) }
    }

    /// The cipher that wraps data keys.
    pub(super) fn wrapping(&self) -> Result<Cipher, Error> {
        Cipher::derive(&self.0, b"wrap", 0, 0)
    }

    /// The cipher of what tells of no plate that passed and outlives the days.
    pub(super) fn standing(&self) -> Result<Cipher, Error> {
        Cipher::derive(&self.0, b"standing", 0, 0)
    }

    /// The key of what is bound to this store: cursors, digests of questions, counts.
    pub(super) fn asking_mac(&self) -> Result<hmac::Key, Error> {
        mac_key(&self.0, b"asking", 0, 0)
    }

    /// The key that chains ledger batches.
    pub(super) fn ledger_mac(&self) -> Result<hmac::Key, Error> {
        mac_key(&self.0, b"ledger", 0, 0)
    }

    /// What the keys of whole files are derived from ([`super::sealed`]).
    pub(super) fn files(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&self.0)
    }

    /// Tells whether a store was made with this key, and tells nothing else about it.
    pub(super) fn check_value(&self) -> Result<[u8; 8], Error> {
        let mut out = [0; 8];
        derive(&self.0, b"check", 0, 0, &mut out)?;
        Ok(out)
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(secret: &[u8], label: &[u8], day: u32, class: u8, out: &mut [u8]) -> Result<(), Error> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
    prk.expand(&[label, &day.to_be_bytes(), &[class]], Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::Crypto("key derivation refused"))
}

fn mac_key(secret: &[u8], label: &[u8], day: u32, class: u8) -> Result<hmac::Key, Error> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    derive(secret, label, day, class, bytes.as_mut_slice())?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()))
}

/// AES-256-GCM under one subkey. Sealed form: nonce (12) ‖ ciphertext ‖ tag (16).
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    fn derive(secret: &[u8], label: &[u8], day: u32, class: u8) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        derive(secret, label, day, class, bytes.as_mut_slice())?;
        let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| Error::Crypto("key refused"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Of a clip, whose key is `secret`.
    pub(super) fn of_clip(secret: &[u8; 32]) -> Result<Self, Error> {
        Self::derive(secret, b"clip", 0, 0)
    }

    /// Seals `plain` under a new random nonce; `aad` is authenticated with it and not stored.
    pub(super) fn seal(&self, random: &Random, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce)?;
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        out.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
            .map_err(|_| Error::Crypto("sealing refused"))?;
        out.append(&mut body);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens what [`Cipher::seal`] made; `None` when it is damaged or `aad` differs.
    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = rest.to_vec();
        let len = self.0.open_in_place(nonce, Aad::from(aad), &mut body).ok()?.len();
        body.truncate(len);
        Some(body)
    }
}

/// The keys of one day and retention class.
pub(super) struct DataKey {
    pub(super) value: Cipher,
    pub(super) outbox: Cipher,
    pub(super) evidence: Cipher,
    plate: hmac::Key,
}

impl DataKey {
    pub(super) fn derive(secret: &[u8; 32], day: u32, class: RetentionClass) -> Result<Self, Error> {
        let class = class_byte(class);
        Ok(Self {
            value: Cipher::derive(secret, b"value", day, class)?,
            outbox: Cipher::derive(secret, b"outbox", day, class)?,
            evidence: Cipher::derive(secret, b"evidence", day, class)?,
            plate: mac_key(secret, b"plate", day, class)?,
        })
    }

    /// What the plate index holds instead of `plate`.
    pub(super) fn plate_mac(&self, plate: &str) -> [u8; PLATE_MAC_LEN] {
        let tag = hmac::sign(&self.plate, plate.as_bytes());
        let mut out = [0; PLATE_MAC_LEN];
        out.iter_mut().zip(tag.as_ref()).for_each(|(o, t)| *o = *t);
        out
    }
}

/// The number of a retention class in files and keys.
pub(super) fn class_byte(class: RetentionClass) -> u8 {
    match class {
        RetentionClass::Read => 0,
        RetentionClass::Info => 1,
        RetentionClass::Minor => 2,
        RetentionClass::Serious => 3,
        RetentionClass::Critical => 4,
        RetentionClass::Held => 5,
    }
}

/// The retention class of a number in files and keys.
pub(super) fn class_of(byte: u8) -> Option<RetentionClass> {
    Some(match byte {
        0 => RetentionClass::Read,
        1 => RetentionClass::Info,
        2 => RetentionClass::Minor,
        3 => RetentionClass::Serious,
        4 => RetentionClass::Critical,
        5 => RetentionClass::Held,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn data_key(day: u32, class: RetentionClass) -> DataKey {
        DataKey::derive(&[7; 32], day, class).unwrap()
    }

    #[test]
    fn sealed_opens_only_with_its_key_and_its_place() {
        let key = data_key(1, RetentionClass::Info);
        let random = Random::system();
        let sealed = key.value.seal(&random, b"here", b"secret").unwrap();
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(key.value.open(b"here", &sealed).unwrap(), b"secret");
        assert!(key.value.open(b"there", &sealed).is_none());
        assert!(key.outbox.open(b"here", &sealed).is_none());
        assert!(data_key(2, RetentionClass::Info).value.open(b"here", &sealed).is_none());
        assert!(data_key(1, RetentionClass::Minor).value.open(b"here", &sealed).is_none());
        for i in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[i] ^= 1;
            assert!(key.value.open(b"here", &bad).is_none());
        }
        assert!(key.value.open(b"here", &sealed[..5]).is_none());
        assert_ne!(sealed, key.value.seal(&random, b"here", b"secret").unwrap());
    }

    #[test]
    fn a_plate_is_indexed_differently_each_day_and_class() {
        let one = data_key(1, RetentionClass::Read).plate_mac("AB123CD");
        assert_eq!(one, data_key(1, RetentionClass::Read).plate_mac("AB123CD"));
        assert_ne!(one, data_key(2, RetentionClass::Read).plate_mac("AB123CD"));
        assert_ne!(one, data_key(1, RetentionClass::Info).plate_mac("AB123CD"));
        assert_ne!(one, data_key(1, RetentionClass::Read).plate_mac("AB123CE"));
    }

    #[test]
    fn key_derivation_never_changes() {
        // A store written years ago must open: these bytes are part of the format.
        let check = u64::from_be_bytes(StoreKey::from_bytes([9; 32]).check_value().unwrap());
        assert_eq!(check, 0x76cf_b252_98a0_ae23);
        let plate = u128::from_be_bytes(data_key(20_000, RetentionClass::Serious).plate_mac("AB123CD"));
        assert_eq!(plate, 0xbfcd_45cd_2451_bca4_3d13_b2e7_26cd_66c3);
    }

    #[test]
    fn store_key_file_is_private_exact_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/store.key");
        let made = StoreKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(StoreKey::load_or_create(&path).unwrap().0, made.0);
        assert!(StoreKey::create(&path).unwrap_err().to_string().contains("cannot be made"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(StoreKey::load(&path).unwrap_err().to_string().contains("chmod 600"));
        for (mode, refused, refused_here) in
            [(0o400, false, false), (0o440, true, false), (0o444, true, true), (0o460, true, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(StoreKey::load(&path).is_err(), refused, "{mode:o}");
            assert_eq!(StoreKey::load_credential(&path).is_err(), refused_here, "{mode:o}, a credential");
        }
        let short = dir.path().join("short.key");
        fs::write(&short, [1; 33]).unwrap();
        fs::set_permissions(&short, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(StoreKey::load(&short).unwrap_err().to_string().contains("wanted exactly 32"));
        assert!(StoreKey::load(&dir.path().join("none")).unwrap_err().to_string().contains("watchpost init"));
        assert_eq!(format!("{made:?}"), "StoreKey(hidden)");
    }
}
