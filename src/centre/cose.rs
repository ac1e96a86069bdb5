//! COSE_Sign1 (RFC 9052) with Ed25519: the envelope of every signed message and file.
//!
//! One layout and no other: untagged, protected header `{1: -8, 4: kid}` (EdDSA and 8 bytes), empty unprotected
//! header, payload in place, 64 bytes of signature: 84 bytes around a payload of 24 to 255. The kid is protected: that
//! costs a byte less than leaving it outside, and nothing of a message is then unsigned. `external_aad` is the topic
//! (or, for a file, a fixed text that says what it is), so a message proves nothing under any other.
//!
//! [`verify`] bounds the size before it parses, looks at the form before the key, and at the key before the
//! signature. Called by [`super::wire`] and [`super::keyring`]. [`two`] is the form for what two people sign.

pub mod two;

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
    /// No COSE_Sign with the right types, or bytes after it.
    #[error("not a COSE_Sign message: {reason}")]
    NotSign {
        /// What the parser said.
        reason: String,
    },
    /// A COSE_Sign that is not signed by two.
    #[error("signed by {count}: one signs a COSE_Sign1, two a COSE_Sign, never more")]
    Signers {
        /// How many signatures it has.
        count: usize,
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
    let kid = kid_of(&sign1.protected.header, &sign1.unprotected)?;
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

/// The key id of a signer whose headers are exactly those that every signer has.
fn kid_of(header: &Header, unprotected: &Header) -> Result<Kid, Error> {
    for crit in [&header.crit, &unprotected.crit] {
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
    if *header != protected(kid) || !unprotected.is_empty() {
        return Err(Error::Headers);
    }
    Ok(kid)
}

#[cfg(test)]
mod tests {
    use coset::{CoseSign1Builder, TaggedCborSerializable as _, cbor::Value, iana};
    use proptest::prelude::*;

    use super::*;

    const TOPIC: &str = "root/site/box/alert/info";

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32]).unwrap()
    }

    fn keys() -> Keys {
        Keys::from(key().public().clone())
    }

    fn good() -> Vec<u8> {
        sign(b"payload of a message", TOPIC, &key()).unwrap()
    }

    fn fixed() -> &'static (Vec<u8>, Keys) {
        static FIXED: std::sync::OnceLock<(Vec<u8>, Keys)> = std::sync::OnceLock::new();
        FIXED.get_or_init(|| (good(), keys()))
    }

    fn refused(bytes: &[u8]) -> Error {
        verify(bytes, TOPIC, &keys(), 1024).unwrap_err()
    }

    fn with(header: Header) -> CoseSign1Builder {
        CoseSign1Builder::new().protected(header).payload(b"payload".to_vec())
    }

    fn signed(builder: CoseSign1Builder) -> Vec<u8> {
        builder.create_signature(TOPIC.as_bytes(), |m| key().sign(m)).build().to_vec().unwrap()
    }

    #[test]
    fn what_is_signed_comes_back() {
        let opened = verify(&good(), TOPIC, &keys(), 1024).unwrap();
        assert_eq!(opened, Opened { kid: key().kid(), payload: b"payload of a message".to_vec() });
        assert_eq!(inspect(&good(), 1024).unwrap(), opened);
        // Array, protected 1 + 13, unprotected 1, payload 1, signature 2 + 64.
        assert_eq!(good().len(), 1 + 14 + 1 + (1 + 20) + 66);
    }

    #[test]
    fn too_large_is_refused_before_parsing() {
        assert_eq!(refused(&[0xff; 1025]), Error::TooLarge { bytes: 1025, max: 1024 });
        let limit = verify(&vec![0; MAX_ENVELOPE + 1], TOPIC, &keys(), usize::MAX).unwrap_err();
        assert_eq!(limit, Error::TooLarge { bytes: MAX_ENVELOPE + 1, max: MAX_ENVELOPE });
        assert!(matches!(sign(&vec![0; MAX_ENVELOPE], TOPIC, &key()), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_tag_is_refused() {
        let message = with(protected(key().kid())).create_signature(TOPIC.as_bytes(), |m| key().sign(m)).build();
        assert_eq!(refused(&message.to_tagged_vec().unwrap()), Error::Tagged);
    }

    #[test]
    fn what_is_no_array_of_four_or_goes_on_is_refused() {
        let mut longer = good();
        longer.push(0);
        let deep = vec![0x81; 900];
        for bad in [&[][..], &[0xa0], &[0x83, 0x40, 0xa0, 0x40], &good()[..40], &longer, &deep] {
            assert!(matches!(refused(bad), Error::NotSign1 { .. }), "{bad:02x?}");
        }
    }

    #[test]
    fn critical_headers_are_refused() {
        let header = HeaderBuilder::new()
            .algorithm(Algorithm::EdDSA)
            .key_id(key().kid().0.to_vec())
            .add_critical(iana::HeaderParameter::ContentType)
            .build();
        assert!(matches!(refused(&signed(with(header))), Error::Critical { .. }));
        let outside = HeaderBuilder::new().add_critical(iana::HeaderParameter::Alg).build();
        assert!(matches!(refused(&signed(with(protected(key().kid())).unprotected(outside))), Error::Critical { .. }));
    }

    #[test]
    fn another_algorithm_or_none_is_refused() {
        let kid = key().kid().0.to_vec();
        let other = HeaderBuilder::new().algorithm(Algorithm::ES256).key_id(kid.clone()).build();
        assert_eq!(refused(&signed(with(other))), Error::Algorithm { got: "-7".to_owned() });
        let none = HeaderBuilder::new().key_id(kid).build();
        assert_eq!(refused(&signed(with(none))), Error::Algorithm { got: "none".to_owned() });
    }

    #[test]
    fn a_key_id_of_another_length_is_refused() {
        for bytes in [0, 7, 9] {
            let header = HeaderBuilder::new().algorithm(Algorithm::EdDSA).key_id(vec![1; bytes]).build();
            assert_eq!(refused(&signed(with(header))), Error::KeyId { bytes });
        }
    }

    #[test]
    fn headers_beside_algorithm_and_key_id_are_refused() {
        let more = HeaderBuilder::new()
            .algorithm(Algorithm::EdDSA)
            .key_id(key().kid().0.to_vec())
            .value(99, Value::Bool(true))
            .build();
        assert_eq!(refused(&signed(with(more))), Error::Headers);
        let outside = HeaderBuilder::new().key_id(key().kid().0.to_vec()).build();
        assert_eq!(refused(&signed(with(protected(key().kid())).unprotected(outside))), Error::Headers);
    }

    #[test]
    fn a_detached_payload_is_refused() {
        let message = CoseSign1Builder::new().protected(protected(key().kid())).signature(vec![0; 64]).build();
        assert_eq!(refused(&message.to_vec().unwrap()), Error::NoPayload);
    }

    #[test]
    fn another_encoding_of_the_same_is_refused() {
        let good = good();
        // The payload's length in two bytes, the array without a length, and the protected header turned round.
        let at = 1 + 14 + 1;
        let mut long = good.clone();
        long.splice(at..=at, [0x58, 20]);
        assert_eq!(refused(&long), Error::NotDeterministic);
        let mut endless = good.clone();
        endless[0] = 0x9f;
        endless.push(0xff);
        assert_eq!(refused(&endless), Error::NotDeterministic);
        let mut turned = good.clone();
        let swapped = [&good[5..15], &good[3..5]].concat();
        turned.splice(3..15, swapped);
        assert_eq!(refused(&turned), Error::NotDeterministic);
    }

    #[test]
    fn a_key_that_is_not_trusted_is_named() {
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        let bytes = sign(b"payload", TOPIC, &other).unwrap();
        assert_eq!(refused(&bytes), Error::UnknownKey { kid: other.kid() });
    }

    #[test]
    fn another_topic_payload_or_signature_does_not_verify() {
        let wrong = |bytes: &[u8], topic: &str| verify(bytes, topic, &keys(), 1024).unwrap_err();
        let kid = key().kid();
        let elsewhere = "root/site/other/alert/info";
        assert_eq!(wrong(&good(), elsewhere), Error::Signature { kid, aad: elsewhere.to_owned() });
        let mut payload = good();
        payload[20] ^= 1;
        assert!(matches!(refused(&payload), Error::Signature { .. }));
        let mut signature = good();
        *signature.last_mut().unwrap() ^= 1;
        assert!(matches!(refused(&signature), Error::Signature { .. }));
        let short = with(protected(kid)).signature(vec![0; 63]).build().to_vec().unwrap();
        assert!(matches!(refused(&short), Error::Signature { .. }));
    }

    /// `bytes` with one to three bytes changed, put in, taken out, cut off or doubled, by `seed`.
    fn mutated(mut bytes: Vec<u8>, seed: u64) -> Vec<u8> {
        // SplitMix64: a strategy of proptest for each step would take longer than what is tested.
        let mut state = seed;
        let mut draw = |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            usize::try_from((mixed >> 33) % below as u64).unwrap()
        };
        for _ in 0..=draw(3) {
            let at = draw(bytes.len().max(1)).min(bytes.len());
            let byte = u8::try_from(draw(256)).unwrap();
            match draw(5) {
                0 if at < bytes.len() => bytes[at] ^= byte,
                1 => bytes.insert(at, byte),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
        #[test]
        fn no_mutated_envelope_verifies_or_panics(seed: u64) {
            let (good, keys) = fixed();
            let bad = mutated(good.clone(), seed);
            prop_assert!(bad == *good || verify(&bad, TOPIC, keys, 1024).is_err());
        }
    }
}
