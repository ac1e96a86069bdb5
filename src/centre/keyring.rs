//! The keyring: who may do what, signed by the centre's root key; and the root's public key, pinned on every box.
//!
//! A keyring is a COSE_Sign1 file ([`super::cose`]) with a serial. A box believes none but those of its pinned root,
//! and none with a serial below one it has seen (the caller keeps that number). An entry gives one key one role: who
//! has two roles has two keys, so that a signature says in which capacity it was made.

pub mod book;

use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::cose;
use super::keys::{self, Keys, Kid, PublicKey, SigningKey, hex};
use crate::domain::TimeMs;

pub use book::KeyBook;

/// `external_aad` of a keyring: a signature on it counts for nothing else.
const AAD: &str = "watchpost keyring 1";
/// What is written; version 1 knew no supervisors and is still read.
const VERSION: u8 = 2;
/// Largest keyring file, in bytes.
const MAX_FILE: usize = 32 * 1024;
/// Most entries of a keyring.
const MAX_ENTRIES: usize = 256;
/// Longest name of a key and of an organisation, in bytes.
const MAX_NAME: usize = 32;

/// Why a keyring is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or a key in it is weak.
    #[error("keyring: {0}")]
    Key(#[from] keys::Error),
    /// The envelope is wrong, or not signed by the pinned root.
    #[error("keyring {}: {source}", path.display())]
    Envelope {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: cose::Error,
    },
    /// The content is wrong.
    #[error("keyring {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A serial below one that was seen.
    #[error(
        "{} has serial {serial}, this box has seen {seen}: get the newest keyring from the centre",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its serial.
        serial: u64,
        /// The greatest that was seen.
        seen: u64,
    },
    /// The file that remembers the greatest serial is damaged.
    #[error("{} holds no number: write the serial of the newest keyring into it", path.display())]
    NoNumber {
        /// The file.
        path: PathBuf,
    },
    /// A keyring that lies in no file.
    #[error("this keyring lies in no file and cannot be changed")]
    Fixed,
}

/// What a key may do; the operations of each are listed in `docs/mqtt.md` (Commands).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// A service key that acknowledges, and nothing else.
    #[n(0)]
    Delivery,
    /// Boxes, cameras, config, models.
    #[n(1)]
    Fleet,
    /// Hotlists and ignore lists.
    #[n(2)]
    Lists,
    /// Reads, hits and evidence, with purpose and case.
    #[n(3)]
    Investigator,
    /// Hits seen and judged.
    #[n(4)]
    Operator,
    /// Retention, holds, keys.
    #[n(5)]
    Custodian,
    /// The audit log; no reads.
    #[n(6)]
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] =
        [Self::Delivery, Self::Fleet, Self::Lists, Self::Investigator, Self::Operator, Self::Custodian, Self::Auditor];

    /// The word in JSON and in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Fleet => "fleet",
            Self::Lists => "lists",
            Self::Investigator => "investigator",
            Self::Operator => "operator",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
        }
    }
}

/// One key with its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: PublicKey,
    /// What audit and people call it, at most 32 bytes.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The organisation that it acts for, at most 32 bytes.
    pub org: String,
    /// Valid from this time on.
    pub not_before: TimeMs,
    /// Valid to this time; without, until it is revoked.
    pub not_after: Option<TimeMs>,
    /// Refused from this time on.
    pub revoked: Option<TimeMs>,
    /// Its signature beside another's lifts the bounds that one person has.
    pub supervisor: bool,
}

impl Entry {
    /// Whether it is valid at `now`.
    #[must_use]
    pub fn valid_at(&self, now: TimeMs) -> bool {
        self.not_before <= now
            && self.not_after.is_none_or(|end| now <= end)
            && self.revoked.is_none_or(|revoked| now < revoked)
    }
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Grows with every keyring of a root; an older one is refused by whoever has seen a newer.
    pub serial: u64,
    /// When it was signed.
    pub issued: TimeMs,
    /// The keys; each key once.
    pub entries: Vec<Entry>,
}

impl Keyring {
    /// The entry of `kid`, valid or not.
    #[must_use]
    pub fn entry(&self, kid: Kid) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.kid() == kid)
    }

    /// The keys that have `role` at `now`.
    #[must_use]
    pub fn keys_of(&self, role: Role, now: TimeMs) -> Keys {
        self.entries.iter().filter(|e| e.role == role && e.valid_at(now)).map(|e| e.key.clone()).collect()
    }

    /// The bytes of its file, signed by the root.
    ///
    /// # Errors
    /// When it is too large.
    pub fn sign(&self, root: &SigningKey) -> Result<Vec<u8>, cose::Error> {
        let mut payload = Vec::new();
        minicbor::encode(Form::of(self), &mut payload).map_err(|e| cose::Error::Encode { reason: e.to_string() })?;
        let bytes = cose::sign(&payload, AAD, root)?;
        if bytes.len() > MAX_FILE {
            return Err(cose::Error::TooLarge { bytes: bytes.len(), max: MAX_FILE });
        }
        Ok(bytes)
    }

    /// Reads a keyring file and verifies it with the pinned `root`.
    ///
    /// # Errors
    /// When it cannot be read, is not signed by that root, or a key in it is weak or there twice.
    pub fn read(path: &Path, root: &PublicKey) -> Result<Self, Error> {
        let bytes = super::boxes::read_file(path, MAX_FILE)?;
        Self::verify(&bytes, path, root)
    }

    /// Verifies the bytes of a keyring; `path` is for errors.
    ///
    /// # Errors
    /// As [`Keyring::read`].
    pub fn verify(bytes: &[u8], path: &Path, root: &PublicKey) -> Result<Self, Error> {
        let opened = cose::verify(bytes, AAD, &Keys::from(root.clone()), MAX_FILE)
            .map_err(|source| Error::Envelope { path: path.to_owned(), source })?;
        let content = |reason: String| Error::Content { path: path.to_owned(), reason };
        let form: Form = minicbor::decode(&opened.payload).map_err(|e| content(e.to_string()))?;
        if !(1..=VERSION).contains(&form.version) {
            return Err(content(format!("format version {}, this program knows {VERSION}: update it", form.version)));
        }
        let newer = form.version == 1 && form.entries.iter().any(|e| e.supervisor.is_some());
        let twice = form.entries.iter().any(|e| e.supervisor == Some(false));
        if newer || twice || minicbor::to_vec(&form).map_err(|e| content(e.to_string()))? != opened.payload {
            return Err(content(
                "not in deterministic encoding, or with keys that its version does not have".to_owned(),
            ));
        }
        if form.entries.len() > MAX_ENTRIES {
            return Err(content(format!("{} entries, at most {MAX_ENTRIES}", form.entries.len())));
        }
        let mut keyring = Self { serial: form.serial, issued: form.issued, entries: Vec::new() };
        for entry in form.entries {
            let entry = entry.checked(&content)?;
            if keyring.entry(entry.key.kid()).is_some() {
                return Err(content(format!("key {} is there twice", entry.key.kid())));
            }
            keyring.entries.push(entry);
        }
        Ok(keyring)
    }

    /// For people and programs that want JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let entry = |e: &Entry| {
            json!({
                "kid": e.key.kid().to_string(), "public_key": hex(e.key.as_bytes()), "name": e.name,
                "role": e.role.as_str(), "org": e.org, "not_before": e.not_before.to_string(),
                "not_after": e.not_after.map(|t| t.to_string()), "revoked": e.revoked.map(|t| t.to_string()),
                "supervisor": e.supervisor,
            })
        };
        json!({
            "kind": "keyring",
            "version": VERSION,
            "serial": self.serial,
            "issued": self.issued.to_string(),
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    }
}

/// The file's CBOR; keys are those of `docs/wire.cddl`.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Form {
    #[n(0)]
    version: u8,
    #[n(1)]
    serial: u64,
    #[n(2)]
    issued: TimeMs,
    #[n(3)]
    entries: Vec<EntryForm>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct EntryForm {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; 32],
    #[n(1)]
    name: String,
    #[n(2)]
    role: Role,
    #[n(3)]
    org: String,
    #[n(4)]
    not_before: TimeMs,
    #[n(5)]
    not_after: Option<TimeMs>,
    #[n(6)]
    revoked: Option<TimeMs>,
    /// Of version 2: true, or absent.
    #[n(7)]
    supervisor: Option<bool>,
}

impl Form {
    fn of(keyring: &Keyring) -> Self {
        let entry = |e: &Entry| EntryForm {
            key: *e.key.as_bytes(),
            name: e.name.clone(),
            role: e.role,
            org: e.org.clone(),
            not_before: e.not_before,
            not_after: e.not_after,
            revoked: e.revoked,
            supervisor: e.supervisor.then_some(true),
        };
        Self {
            version: VERSION,
            serial: keyring.serial,
            issued: keyring.issued,
            entries: keyring.entries.iter().map(entry).collect(),
        }
    }
}

impl EntryForm {
    fn checked(self, content: &impl Fn(String) -> Error) -> Result<Entry, Error> {
        for (what, text) in [("name", &self.name), ("org", &self.org)] {
            if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
                return Err(content(format!(
                    "{what} of {} bytes: 1 to {MAX_NAME} are wanted, without controls",
                    text.len()
                )));
            }
        }
        Ok(Entry {
            key: PublicKey::from_bytes(self.key)?,
            name: self.name,
            role: self.role,
            org: self.org,
            not_before: self.not_before,
            not_after: self.not_after,
            revoked: self.revoked,
            supervisor: self.supervisor == Some(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn entry(seed: u8, role: Role) -> Entry {
        Entry {
            key: key(seed).public().clone(),
            name: role.as_str().to_owned(),
            role,
            org: "north".to_owned(),
            not_before: TimeMs(1_000),
            not_after: Some(TimeMs(9_000)),
            revoked: None,
            supervisor: role == Role::Investigator,
        }
    }

    fn keyring() -> Keyring {
        Keyring {
            serial: 3,
            issued: TimeMs(500),
            entries: vec![entry(1, Role::Delivery), Entry { revoked: Some(TimeMs(5_000)), ..entry(2, Role::Delivery) }],
        }
    }

    fn verify(bytes: &[u8], root: u8) -> Result<Keyring, Error> {
        Keyring::verify(bytes, Path::new("keyring.cbor"), key(root).public())
    }

    #[test]
    fn a_keyring_holds_under_its_root_alone() {
        let bytes = keyring().sign(&key(9)).unwrap();
        assert_eq!(verify(&bytes, 9).unwrap(), keyring());
        let error = verify(&bytes, 8).unwrap_err().to_string();
        assert!(error.contains("keyring.cbor") && error.contains("is not trusted"), "{error}");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(verify(&bad, 9).is_err(), "byte {at}");
        }
    }

    #[test]
    fn keys_count_from_their_begin_to_their_end_and_not_when_revoked() {
        let count = |at| keyring().keys_of(Role::Delivery, TimeMs(at)).len();
        assert_eq!(
            [count(999), count(1_000), count(4_999), count(5_000), count(9_000), count(9_001)],
            [0, 2, 2, 1, 1, 0]
        );
        assert!(keyring().keys_of(Role::Custodian, TimeMs(2_000)).is_empty());
    }

    #[test]
    fn a_key_that_is_there_twice_or_weak_is_refused() {
        let twice = Keyring { entries: vec![entry(1, Role::Delivery), entry(1, Role::Custodian)], ..keyring() };
        let error = verify(&twice.sign(&key(9)).unwrap(), 9).unwrap_err().to_string();
        assert!(error.contains("there twice"), "{error}");
        let mut form = Form::of(&keyring());
        form.entries[0].key = [0; 32];
        let bytes = cose::sign(&minicbor::to_vec(&form).unwrap(), AAD, &key(9)).unwrap();
        assert!(matches!(verify(&bytes, 9), Err(Error::Key(keys::Error::Weak { .. }))));
    }

    #[test]
    fn a_message_of_the_root_is_no_keyring() {
        let payload = minicbor::to_vec(Form::of(&keyring())).unwrap();
        let bytes = cose::sign(&payload, "another/topic", &key(9)).unwrap();
        assert!(matches!(verify(&bytes, 9), Err(Error::Envelope { source: cose::Error::Signature { .. }, .. })));
    }
}
