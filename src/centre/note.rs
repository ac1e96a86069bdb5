//! Signed notes (C2SP signed-note) around checkpoints of audit logs: what boxes sign, and what the centre verifies.
//!
//! ```text
//! watchpost/north/box-1
//! 1204
//! nND/nri//U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=
//! log 9f3c2b7a10d4e586
//!
//! — watchpost/north/box-1 <base64 of: 4 bytes of SHA-256(name ‖ "\n" ‖ 1 ‖ public key) ‖ Ed25519 signature of the text>
//! ```
//! The key's name is the origin, the key the box's signing key, so tools that know checkpoints and notes read them. A note
//! may bear further signatures, of witnesses: they are kept and not looked at.

use signed_note::{Note, NoteError, Signature, StandardVerifier, VerifierList, key_id};

use super::keys::{BoxKey, Keys, PublicKey, SigningKey};
use crate::domain::{BoxId, Checkpoint, LogId, SiteId, TreeError, TreeHead, tree};

/// Longest note that is read, in bytes.
pub const MAX_NOTE: usize = 4_096;
/// Ed25519 in a note's key.
const ALGORITHM: u8 = 1;

/// Why a checkpoint is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_NOTE`] bytes.
    #[error("a checkpoint of {0} bytes, at most {MAX_NOTE} are read")]
    TooLarge(usize),
    /// No note.
    #[error("no signed note: {0}")]
    Form(NoteError),
    /// No checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] TreeError),
    /// About another log than the one asked for.
    #[error("a checkpoint of {got}, where one of {want} has to be")]
    Origin {
        /// What it says.
        got: String,
        /// What was wanted.
        want: String,
    },
    /// Not signed by the box.
    #[error(
        "the checkpoint of {origin} is not signed by the key that is known of this box: another key made it, or it was changed"
    )]
    Signature {
        /// Whose it says it is.
        origin: String,
    },
    /// The key can't be named in a note.
    #[error("{0:?} is no name of a key in a note")]
    Name(String),
}

fn encoded(key: &PublicKey) -> Vec<u8> {
    [&[ALGORITHM], &key.as_bytes()[..]].concat()
}

/// The key as other tools that verify notes take it: `name+id+base64`.
#[must_use]
pub fn verifier_key(origin: &str, key: &PublicKey) -> String {
    let bytes = encoded(key);
    format!("{origin}+{:08x}+{}", key_id(origin, &bytes), data_encoding::BASE64.encode(&bytes))
}

/// Signs a checkpoint.
///
/// # Errors
/// [`Error::Name`] when its origin can't name a key.
pub fn sign(checkpoint: &Checkpoint, key: &SigningKey) -> Result<Vec<u8>, Error> {
    let (text, name) = (checkpoint.text(), &checkpoint.origin);
    let id = key_id(name, &encoded(key.public()));
    let signature =
        Signature::new(name.clone(), id, key.sign(text.as_bytes())).map_err(|_| Error::Name(name.clone()))?;
    Ok(Note::new(text.as_bytes(), &[signature]).map_err(Error::Form)?.to_bytes())
}

/// Gives the signed note of a head.
pub type HeadSigner = Box<dyn Fn(LogId, &TreeHead) -> Vec<u8> + Send + Sync>;

/// Signs heads of a box's log by the key that it then has, for `Store::sign_checkpoints`; a note that cannot be signed is
/// empty, and nobody believes it.
#[must_use]
pub fn signer(site: &SiteId, box_id: &BoxId, key: BoxKey) -> HeadSigner {
    let origin = tree::origin(site, box_id);
    Box::new(move |log, head| {
        let checkpoint = Checkpoint { origin: origin.clone(), log, head: *head };
        sign(&checkpoint, &key.current()).unwrap_or_else(|error| {
            tracing::error!(%error, "checkpoint of the audit log not signed");
            Vec::new()
        })
    })
}

/// Verifies a checkpoint of `origin` by one of the box's keys.
///
/// # Errors
/// [`Error`], each fault with its own.
pub fn open(note: &[u8], origin: &str, keys: &Keys) -> Result<Checkpoint, Error> {
    if note.len() > MAX_NOTE {
        return Err(Error::TooLarge(note.len()));
    }
    let parsed = Note::from_bytes(note).map_err(Error::Form)?;
    let text = std::str::from_utf8(parsed.text()).map_err(|_| Error::Form(NoteError::MalformedNote))?;
    let checkpoint = Checkpoint::parse(text)?;
    if checkpoint.origin != origin {
        return Err(Error::Origin { got: checkpoint.origin, want: origin.to_owned() });
    }
    let unsigned = || Error::Signature { origin: origin.to_owned() };
    let known = keys.iter().filter_map(|key| StandardVerifier::new(&verifier_key(origin, key)).ok());
    let verifiers = VerifierList::new(known.map(|v| Box::new(v) as Box<dyn signed_note::Verifier>).collect());
    parsed.verify(&verifiers).map_err(|_| unsigned())?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TreeHash;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "watchpost/north/box-1".to_owned(),
            log: LogId([0x9f; 8]),
            head: TreeHead { size: 1_204, root: TreeHash([0xad; 32]) },
        }
    }

    #[test]
    fn a_checkpoint_is_believed_of_its_box_and_of_nobody_else() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]).unwrap(), SigningKey::from_seed(&[2; 32]).unwrap());
        let keys = Keys::from(key.public().clone());
        let note = sign(&checkpoint(), &key).unwrap();
        assert_eq!(open(&note, "watchpost/north/box-1", &keys).unwrap(), checkpoint());
        assert!(matches!(open(&note, "watchpost/north/box-2", &keys), Err(Error::Origin { .. })));
        let forged = sign(&checkpoint(), &other).unwrap();
        let error = open(&forged, "watchpost/north/box-1", &keys).unwrap_err();
        assert!(error.to_string().contains("another key made it"), "{error}");
        let other_size = String::from_utf8(note).unwrap().replace("1204", "1205");
        assert!(matches!(open(other_size.as_bytes(), "watchpost/north/box-1", &keys), Err(Error::Signature { .. })));
        assert!(matches!(open(&[b'a'; 5_000], "watchpost/north/box-1", &keys), Err(Error::TooLarge(5_000))));
    }

    #[test]
    fn no_changed_bit_is_believed() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let keys = Keys::from(key.public().clone());
        let note = sign(&checkpoint(), &key).unwrap();
        for bit in 0..note.len() * 8 {
            let mut bad = note.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bad, "watchpost/north/box-1", &keys).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_note_is_as_other_tools_write_it() {
        let key = SigningKey::from_seed(&[0x42; 32]).unwrap();
        let note = String::from_utf8(sign(&checkpoint(), &key).unwrap()).unwrap();
        let (text, signature) = note.split_once("\n\n").unwrap();
        assert_eq!(
            text,
            "watchpost/north/box-1\n1204\nra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra0=\nlog 9f9f9f9f9f9f9f9f"
        );
        assert!(signature.starts_with("— watchpost/north/box-1 "), "{signature}");
        let vkey = verifier_key("watchpost/north/box-1", key.public());
        assert!(StandardVerifier::new(&vkey).is_ok(), "{vkey}");
    }
}
