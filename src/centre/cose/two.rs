//! COSE_Sign (RFC 9052, 4.1) with exactly two signatures, for what two people have to want; and either form of a command.
//!
//! One layout and no other: untagged `[h'', {}, payload, [signer, signer]]`, a signer being
//! `[protected {1: -8, 4: kid}, {}, signature]`. Both sign the same body for the same `external_aad`; the order says who
//! asks (first) and who agrees (second). [`Envelope`] is that or a COSE_Sign1: it is looked at in steps, since whose key a
//! kid is decides which fault is told. The fourth item tells the two apart: a byte string there, an array here.

use coset::{CborSerializable as _, CoseSign, CoseSign1, CoseSignBuilder, CoseSignatureBuilder};

use super::{Error, MAX_ENVELOPE, parse, protected};
use crate::centre::keys::{Kid, PublicKey, SigningKey};

/// Signs `payload` for `aad` by two keys; the first is the one who asks.
///
/// # Errors
/// [`Error::TooLarge`] above [`MAX_ENVELOPE`].
pub fn sign_two(payload: &[u8], aad: &str, first: &SigningKey, second: &SigningKey) -> Result<Vec<u8>, Error> {
    let mut builder = CoseSignBuilder::new().payload(payload.to_vec());
    for key in [first, second] {
        let signer = CoseSignatureBuilder::new().protected(protected(key.kid())).build();
        builder = builder.add_created_signature(signer, aad.as_bytes(), |to_be_signed| key.sign(to_be_signed));
    }
    let bytes = builder.build().to_vec().map_err(|e| Error::Encode { reason: e.to_string() })?;
    if bytes.len() > MAX_ENVELOPE {
        return Err(Error::TooLarge { bytes: bytes.len(), max: MAX_ENVELOPE });
    }
    Ok(bytes)
}

enum Form {
    One(CoseSign1),
    Two(CoseSign),
}

/// A message by one or by two, of the right form; nothing of it is verified until [`Envelope::verify`] said so of each
/// signer.
pub struct Envelope {
    form: Form,
    kids: Vec<Kid>,
    payload: Vec<u8>,
}

impl Envelope {
    /// Takes the bytes apart.
    ///
    /// # Errors
    /// As [`super::inspect`].
    pub fn parse(bytes: &[u8], max: usize) -> Result<Self, Error> {
        let max = max.min(MAX_ENVELOPE);
        if bytes.len() > max {
            return Err(Error::TooLarge { bytes: bytes.len(), max });
        }
        if has_signers(bytes) { two(bytes) } else { one(bytes, max) }
    }

    /// Who signed, or says so: one, or two, who asks first.
    #[must_use]
    pub fn kids(&self) -> &[Kid] {
        &self.kids
    }

    /// What was signed; not to be believed before every signer is verified.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether the signature `which` (0 or 1) is that of `key` on this content under `aad`.
    ///
    /// # Errors
    /// [`Error::Signature`] when it is not, also when there is none of this number.
    pub fn verify(&self, which: usize, aad: &str, key: &PublicKey) -> Result<(), Error> {
        let wrong = || Error::Signature { kid: key.kid(), aad: aad.chars().take(128).collect() };
        let check =
            |signature: &[u8], signed: &[u8]| if key.verifies(signed, signature) { Ok(()) } else { Err(wrong()) };
        if self.kids.get(which) != Some(&key.kid()) {
            return Err(wrong());
        }
        match &self.form {
            Form::One(sign1) => sign1.verify_signature(aad.as_bytes(), check),
            Form::Two(sign) => sign.verify_signature(which, aad.as_bytes(), check),
        }
    }
}

fn one(bytes: &[u8], max: usize) -> Result<Envelope, Error> {
    let (sign1, opened) = parse(bytes, max)?;
    Ok(Envelope { form: Form::One(sign1), kids: vec![opened.kid], payload: opened.payload })
}

fn two(bytes: &[u8]) -> Result<Envelope, Error> {
    let sign = CoseSign::from_slice(bytes).map_err(|e| Error::NotSign { reason: e.to_string() })?;
    if !sign.protected.is_empty() || !sign.unprotected.is_empty() {
        return Err(Error::Headers);
    }
    let [first, second] = &sign.signatures[..] else {
        return Err(Error::Signers { count: sign.signatures.len() });
    };
    let kids = vec![
        super::kid_of(&first.protected.header, &first.unprotected)?,
        super::kid_of(&second.protected.header, &second.unprotected)?,
    ];
    let payload = sign.payload.clone().ok_or(Error::NoPayload)?;
    let mut again = CoseSignBuilder::new().payload(payload.clone());
    for (signer, kid) in sign.signatures.iter().zip(&kids) {
        let signer = CoseSignatureBuilder::new().protected(protected(*kid)).signature(signer.signature.clone());
        again = again.add_signature(signer.build());
    }
    let again = again.build().to_vec().map_err(|e| Error::Encode { reason: e.to_string() })?;
    if again != bytes {
        return Err(Error::NotDeterministic);
    }
    Ok(Envelope { form: Form::Two(sign), kids, payload })
}

/// Whether this is an array of four whose last item is an array: signers instead of a signature.
fn has_signers(bytes: &[u8]) -> bool {
    let mut d = minicbor::Decoder::new(bytes);
    let fourth = |d: &mut minicbor::Decoder<'_>| {
        if d.array()? != Some(4) {
            return Ok(false);
        }
        (0..3).try_for_each(|_| d.skip())?;
        Ok::<_, minicbor::decode::Error>(d.datatype()? == minicbor::data::Type::Array)
    };
    fourth(&mut d).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use coset::{HeaderBuilder, TaggedCborSerializable as _};

    use super::*;

    const TOPIC: &str = "root/site/box/cmd/box.wipe/00";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn good() -> Vec<u8> {
        sign_two(b"payload of both", TOPIC, &key(7), &key(8)).unwrap()
    }

    fn parsed(bytes: &[u8]) -> Result<Envelope, Error> {
        Envelope::parse(bytes, 1024)
    }

    #[test]
    fn what_two_sign_comes_back_in_their_order_and_holds_under_their_keys_and_topic_alone() {
        let envelope = parsed(&good()).unwrap();
        assert_eq!(envelope.kids(), [key(7).kid(), key(8).kid()]);
        assert_eq!(envelope.payload(), b"payload of both");
        assert!(
            envelope.verify(0, TOPIC, key(7).public()).is_ok() && envelope.verify(1, TOPIC, key(8).public()).is_ok()
        );
        for (which, topic, seed) in [(0, TOPIC, 8), (1, TOPIC, 7), (2, TOPIC, 7), (0, "root/site/other/cmd", 7)] {
            assert!(matches!(envelope.verify(which, topic, key(seed).public()), Err(Error::Signature { .. })));
        }
    }

    #[test]
    fn a_message_of_one_is_taken_as_well_and_a_signature_of_one_form_counts_for_no_other() {
        let bytes = super::super::sign(b"payload of both", TOPIC, &key(7)).unwrap();
        let envelope = parsed(&bytes).unwrap();
        assert_eq!(envelope.kids(), [key(7).kid()]);
        assert!(envelope.verify(0, TOPIC, key(7).public()).is_ok());
        // The signature of a COSE_Sign1 put into a COSE_Sign does not verify: the two sign different structures.
        let alone = CoseSign1::from_slice(&bytes).unwrap().signature;
        let mut both = CoseSign::from_slice(&good()).unwrap();
        both.signatures[0].signature = alone;
        assert!(parsed(&both.to_vec().unwrap()).unwrap().verify(0, TOPIC, key(7).public()).is_err());
    }

    #[test]
    fn another_number_of_signers_further_headers_tags_and_other_spellings_are_refused() {
        let with = |change: &dyn Fn(&mut CoseSign)| {
            let mut sign = CoseSign::from_slice(&good()).unwrap();
            change(&mut sign);
            parsed(&sign.to_vec().unwrap()).err().unwrap()
        };
        assert_eq!(with(&|s| s.signatures.truncate(1)), Error::Signers { count: 1 });
        assert_eq!(with(&|s| s.signatures.extend_from_within(..1)), Error::Signers { count: 3 });
        assert_eq!(with(&|s| s.payload = None), Error::NoPayload);
        let header = HeaderBuilder::new().key_id(vec![1; 8]).build();
        assert_eq!(with(&|s| s.unprotected = header.clone()), Error::Headers);
        assert_eq!(with(&|s| s.signatures[1].unprotected = header.clone()), Error::Headers);
        let tagged = CoseSign::from_slice(&good()).unwrap().to_tagged_vec().unwrap();
        assert_eq!(parsed(&tagged).err().unwrap(), Error::Tagged);
        let mut endless = good();
        endless[0] = 0x9f;
        endless.push(0xff);
        assert!(parsed(&endless).is_err());
        let mut longer = good();
        longer.push(0);
        assert!(matches!(parsed(&longer), Err(Error::NotSign { .. })));
        assert!(matches!(Envelope::parse(&good(), 100), Err(Error::TooLarge { .. })));
    }
}
