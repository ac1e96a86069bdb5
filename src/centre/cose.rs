//! COSE_Sign1 (RFC 9052) with Ed25519: the envelope of every signed message and file.
//!
//! One layout and no other: untagged, protected header `{1: -8, 4: kid}` (EdDSA and 8 bytes), empty unprotected
//! header, payload in place, 64 bytes of signature: 84 bytes around a payload of 24 to 255. The kid is protected: that
//! costs a byte less than leaving it outside, and nothing of a message is then unsigned. `external_aad` is the topic
//! (or, for a file, a fixed text that says what it is), so a message proves nothing under any other.
//!
//! [`verify`] bounds the size before it parses, looks at the form before the key, and at the key before the
//! signature. Called by [`super::wire`] and [`super::keyring`].

use coset::iana::{Algorithm, EnumI64 as _};
use coset::{CborSerializable as _, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, RegisteredLabelWithPrivate};

use super::keys::{Keys, Kid, SigningKey};

/// Largest envelope of any kind, in bytes: what a command may have.
pub const MAX_ENVELOPE: usize = 60 * 1024;

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than this kind of message may be; it was not parsed.
    #[error("{bytes} bytes, at most {max} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is taken.
        max: usize,
    },
    /// No array of four with the right types, or bytes after it.
    #[error("not a COSE_Sign1 message: {reason}")]
    NotSign1 {
        /// What the parser said.
        reason: String,
    },
    /// A CBOR tag before the array.
    #[error("a tagged COSE message: messages are sent without a tag")]
    Tagged,
    /// A header says that another header must be understood.
    #[error("critical headers {labels}: none is understood")]
    Critical {
        /// The labels.
        labels: String,
    },
    /// Another algorithm than EdDSA, or none.
    #[error("signed by algorithm {got}, wanted EdDSA (-8)")]
    Algorithm {
        /// What the header says.
        got: String,
    },
    /// A key id that is not 8 bytes.
    #[error("key id of {bytes} bytes, wanted 8")]
    KeyId {
        /// Its length.
        bytes: usize,
    },
    /// Headers beside algorithm and key id, or unprotected ones.
    #[error("headers beside algorithm and key id")]
    Headers,
    /// The payload is not in the message.
    #[error("the payload is missing")]
    NoPayload,
    /// Not the one encoding that these contents have.
    #[error("not in deterministic encoding (RFC 8949, 4.2)")]
    NotDeterministic,
    /// The key is none of those trusted for this.
    #[error("key {kid} is not trusted for this")]
    UnknownKey {
        /// Its id.
        kid: Kid,
    },
    /// The signature is not that key's on this content under this topic.
    #[error("signature of key {kid} does not fit the content under {aad:?}: it was altered or sent for another topic")]
    Signature {
        /// The key's id.
        kid: Kid,
        /// Where it was received.
        aad: String,
    },
    /// The message could not be encoded.
    #[error("the message could not be encoded: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
}

/// An envelope whose form is right; [`verify`] gives it only with a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who signed it, or says so.
    pub kid: Kid,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// Signs `payload` for `aad`, the topic.
///
/// # Errors
/// [`Error::TooLarge`] above [`MAX_ENVELOPE`].
pub fn sign(payload: &[u8], aad: &str, key: &SigningKey) -> Result<Vec<u8>, Error> {
    let sign1 = CoseSign1Builder::new()
        .protected(protected(key.kid()))
        .payload(payload.to_vec())
        .create_signature(aad.as_bytes(), |to_be_signed| key.sign(to_be_signed))
        .build();
    let bytes = sign1.to_vec().map_err(|e| Error::Encode { reason: e.to_string() })?;
    if bytes.len() > MAX_ENVELOPE {
        return Err(Error::TooLarge { bytes: bytes.len(), max: MAX_ENVELOPE });
    }
    Ok(bytes)
}

/// Checks an envelope of at most `max` bytes that came under the topic `aad`, against the `keys` trusted for it.
///
/// # Errors
/// Each way to be wrong is its own [`Error`].
pub fn verify(bytes: &[u8], aad: &str, keys: &Keys, max: usize) -> Result<Opened, Error> {
    let (sign1, opened) = parse(bytes, max)?;
    let kid = opened.kid;
    let key = keys.get(kid).ok_or(Error::UnknownKey { kid })?;
    sign1.verify_signature(aad.as_bytes(), |signature, signed| {
        let good = key.verifies(signed, signature);
        if good { Ok(()) } else { Err(Error::Signature { kid, aad: aad.chars().take(128).collect() }) }
    })?;
    Ok(opened)
}

/// Checks the form alone: what is in the envelope is **not** to be trusted. For `watchpost decode`.
///
/// # Errors
/// As [`verify`], but for key and signature.
pub fn inspect(bytes: &[u8], max: usize) -> Result<Opened, Error> {
    parse(bytes, max).map(|(_, opened)| opened)
}

fn protected(kid: Kid) -> Header {
    HeaderBuilder::new().algorithm(Algorithm::EdDSA).key_id(kid.0.to_vec()).build()
}

fn parse(bytes: &[u8], max: usize) -> Result<(CoseSign1, Opened), Error> {
    let max = max.min(MAX_ENVELOPE);
    if bytes.len() > max {
        return Err(Error::TooLarge { bytes: bytes.len(), max });
    }
    // Major type 6: a tag, as COSE_Sign1_Tagged has it.
    if bytes.first().is_some_and(|first| first >> 5 == 6) {
        return Err(Error::Tagged);
    }
    let sign1 = CoseSign1::from_slice(bytes).map_err(|e| Error::NotSign1 { reason: e.to_string() })?;
    let header = &sign1.protected.header;
    for crit in [&header.crit, &sign1.unprotected.crit] {
        if !crit.is_empty() {
            return Err(Error::Critical { labels: format!("{crit:?}").chars().take(80).collect() });
        }
    }
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::EdDSA)) {
        let got = match &header.alg {
            None => "none".to_owned(),
            Some(RegisteredLabelWithPrivate::Assigned(alg)) => alg.to_i64().to_string(),
            Some(RegisteredLabelWithPrivate::PrivateUse(alg)) => alg.to_string(),
            Some(RegisteredLabelWithPrivate::Text(alg)) => format!("{:?}", alg.chars().take(40).collect::<String>()),
        };
        return Err(Error::Algorithm { got });
    }
    let kid =
        Kid(<[u8; 8]>::try_from(header.key_id.as_slice()).map_err(|_| Error::KeyId { bytes: header.key_id.len() })?);
    if *header != protected(kid) || !sign1.unprotected.is_empty() {
        return Err(Error::Headers);
    }
    let payload = sign1.payload.clone().ok_or(Error::NoPayload)?;
    let again = CoseSign1Builder::new()
        .protected(protected(kid))
        .payload(payload.clone())
        .signature(sign1.signature.clone())
        .build()
        .to_vec()
        .map_err(|e| Error::Encode { reason: e.to_string() })?;
    if again != bytes {
        return Err(Error::NotDeterministic);
    }
    Ok((sign1, Opened { kid, payload }))
}
