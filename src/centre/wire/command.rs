//! A command on the wire: CWT claims (RFC 8392) that one or two people signed.
//!
//! The claims are registered ones where there is one: iss, sub, aud, exp, iat, cti, and `eat_nonce` (10, RFC 9711) for
//! the challenge; the others have keys of the private range, below −65536: version −65537, purpose −65538, case −65539,
//! arguments −65540. Times are whole seconds. One encoding (RFC 8949, 4.2.1): positive keys first, each kind ascending by
//! its bytes.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde_json::{Value, json};

use super::{Error, Wire, check_text};
use crate::centre::cose;
use crate::centre::keys::{SigningKey, hex};
use crate::centre::topics::Kind;
use crate::domain::{BoxId, Op, Purpose, SiteId, TimeMs};

const VERSION: u8 = 1;
/// Longest that a command may be valid, in seconds.
pub const MAX_LIFETIME_S: u32 = 300;
/// Longest case number, in bytes.
pub const MAX_CASE: usize = 64;
/// Longest name of an issuer, in bytes: what the keyring allows.
const MAX_ISSUER: usize = 32;
/// Longest name of an operation, in bytes: what a topic allows.
const MAX_OP: usize = 40;

const ISS: i64 = 1;
const SUB: i64 = 2;
const AUD: i64 = 3;
const EXP: i64 = 4;
const IAT: i64 = 6;
const CTI: i64 = 7;
const NONCE: i64 = 10;
const VERSION_KEY: i64 = -65_537;
const PURPOSE: i64 = -65_538;
const CASE: i64 = -65_539;
const ARGS: i64 = -65_540;

/// What is asked of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub op: Op,
    /// Random id; the same over all its deliveries.
    pub id: [u8; 16],
    /// Site of the box that it is for.
    pub site: SiteId,
    /// The box that it is for.
    pub box_id: BoxId,
    /// When it was made; whole seconds go onto the wire.
    pub issued: TimeMs,
    /// How long it may be taken, at most [`MAX_LIFETIME_S`].
    pub lifetime_s: u32,
    /// The newest challenge of the box's health, when its clock is not set.
    pub challenge: Option<[u8; 8]>,
    /// What for, where the operation asks for it.
    pub purpose: Option<Purpose>,
    /// Case number, 1 to 64 bytes, where the operation asks for it.
    pub case: Option<String>,
    /// CBOR of the operation's arguments; empty when it has none.
    pub args: Vec<u8>,
}

/// The claims as they are signed: all that can be said before keyring, clock and journal are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Name of the first signer's entry in the keyring.
    pub issuer: String,
    /// The operation's name, known here or not.
    pub op: String,
    /// The box that it is for, `<site>/<box>`.
    pub audience: String,
    /// From this time on it is not taken any more, seconds since 1970.
    pub expires_s: u64,
    /// When it was made, seconds since 1970.
    pub issued_s: u64,
    /// Random id.
    pub id: [u8; 16],
    /// Challenge of the box's health.
    pub challenge: Option<[u8; 8]>,
    /// What for.
    pub purpose: Option<Purpose>,
    /// Case number.
    pub case: Option<String>,
    /// CBOR of the arguments; empty when absent.
    pub args: Vec<u8>,
}

impl Claims {
    /// The claims of `order` by the key whose entry is called `issuer`.
    #[must_use]
    pub fn of(order: &Order, issuer: &str) -> Self {
        let issued_s = order.issued.0 / 1000;
        Self {
            issuer: issuer.to_owned(),
            op: order.op.as_str().to_owned(),
            audience: audience(&order.site, &order.box_id),
            expires_s: issued_s.saturating_add(u64::from(order.lifetime_s)),
            issued_s,
            id: order.id,
            challenge: order.challenge,
            purpose: order.purpose,
            case: order.case.clone(),
            args: order.args.clone(),
        }
    }
}

/// The audience claim of a box.
#[must_use]
pub fn audience(site: &SiteId, box_id: &BoxId) -> String {
    format!("{site}/{box_id}")
}

/// Signs a command for `topic`, which must be that of its operation and id: by one key, named as its entry in the
/// keyring, or by two.
///
/// # Errors
/// A field out of range, or more than 60 KiB.
pub fn sign_order(
    order: &Order,
    topic: &str,
    first: (&SigningKey, &str),
    second: Option<&SigningKey>,
) -> Result<Vec<u8>, Error> {
    let (key, issuer) = first;
    let claims = Claims::of(order, issuer);
    claims.check().map_err(|(field, reason)| Error::Field { message: Claims::NAME, field, reason })?;
    let payload = super::encode(&claims);
    let signed = match second {
        None => cose::sign(&payload, topic, key),
        Some(second) => cose::two::sign_two(&payload, topic, key, second),
    };
    signed.map_err(|source| Error::Envelope { message: Claims::NAME, source })
}

impl Encode<()> for Claims {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, (): &mut ()) -> Result<(), encode::Error<W::Error>> {
        let optional = [self.challenge.is_some(), self.purpose.is_some(), self.case.is_some(), !self.args.is_empty()];
        e.map(7 + optional.iter().map(|there| u64::from(*there)).sum::<u64>())?;
        e.i64(ISS)?.str(&self.issuer)?.i64(SUB)?.str(&self.op)?.i64(AUD)?.str(&self.audience)?;
        e.i64(EXP)?.u64(self.expires_s)?.i64(IAT)?.u64(self.issued_s)?.i64(CTI)?.bytes(&self.id)?;
        if let Some(challenge) = &self.challenge {
            e.i64(NONCE)?.bytes(challenge)?;
        }
        e.i64(VERSION_KEY)?.u8(VERSION)?;
        if let Some(purpose) = self.purpose {
            e.i64(PURPOSE)?.encode(purpose)?;
        }
        if let Some(case) = &self.case {
            e.i64(CASE)?.str(case)?;
        }
        if !self.args.is_empty() {
            e.i64(ARGS)?.bytes(&self.args)?;
        }
        Ok(())
    }
}

impl<'b> Decode<'b, ()> for Claims {
    fn decode(d: &mut Decoder<'b>, (): &mut ()) -> Result<Self, decode::Error> {
        let missing = |what: &'static str| decode::Error::message(what);
        let (mut issuer, mut op, mut audience) = (None, None, None);
        let (mut expires_s, mut issued_s, mut id) = (None, None, None);
        let (mut challenge, mut purpose, mut case, mut args) = (None, None, None, Vec::new());
        let entries = d.map()?.ok_or_else(|| missing("a map without a length"))?;
        for _ in 0..entries {
            match d.i64()? {
                ISS => issuer = Some(d.str()?.to_owned()),
                SUB => op = Some(d.str()?.to_owned()),
                AUD => audience = Some(d.str()?.to_owned()),
                EXP => expires_s = Some(d.u64()?),
                IAT => issued_s = Some(d.u64()?),
                CTI => id = Some(fixed(d.bytes()?, "cti is not of 16 bytes")?),
                NONCE => challenge = Some(fixed(d.bytes()?, "the challenge is not of 8 bytes")?),
                VERSION_KEY => drop(d.u64()?),
                PURPOSE => purpose = Some(d.decode()?),
                CASE => case = Some(d.str()?.to_owned()),
                ARGS => d.bytes()?.clone_into(&mut args),
                other => return Err(decode::Error::message(format!("claim {other} is not known"))),
            }
        }
        Ok(Self {
            issuer: issuer.ok_or_else(|| missing("no iss (1)"))?,
            op: op.ok_or_else(|| missing("no sub (2)"))?,
            audience: audience.ok_or_else(|| missing("no aud (3)"))?,
            expires_s: expires_s.ok_or_else(|| missing("no exp (4)"))?,
            issued_s: issued_s.ok_or_else(|| missing("no iat (6)"))?,
            id: id.ok_or_else(|| missing("no cti (7)"))?,
            challenge,
            purpose,
            case,
            args,
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8], wrong: &'static str) -> Result<[u8; N], decode::Error> {
    <[u8; N]>::try_from(bytes).map_err(|_| decode::Error::message(wrong))
}

impl Wire for Claims {
    const NAME: &'static str = "command";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = cose::MAX_ENVELOPE;

    fn version_in(payload: &[u8]) -> Result<u64, decode::Error> {
        let mut d = Decoder::new(payload);
        let entries = d.map()?.unwrap_or(0);
        for _ in 0..entries {
            if d.i64()? == VERSION_KEY {
                return d.u64();
            }
            d.skip()?;
        }
        Err(decode::Error::message("no map of claims with a version (-65537)"))
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, text, max) in [("iss", &self.issuer, MAX_ISSUER), ("sub", &self.op, MAX_OP)] {
            check_text(field, text, max)?;
        }
        // Site, slash and box.
        check_text("aud", &self.audience, 33)?;
        if let Some(case) = &self.case {
            check_text("case", case, MAX_CASE)?;
            if case.trim().is_empty() {
                return Err(("case", "is empty".to_owned()));
            }
        }
        Ok(())
    }

    fn fits(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Command { op, id } if *op == self.op && *id == hex(&self.id))
    }

    fn to_json(&self) -> Value {
        let time = |s: u64| TimeMs(s.saturating_mul(1000)).to_string();
        json!({
            "kind": Self::NAME,
            "version": VERSION,
            "op": self.op,
            "id": hex(&self.id),
            "issuer": self.issuer,
            "audience": self.audience,
            "issued": time(self.issued_s),
            "expires": time(self.expires_s),
            "challenge": self.challenge.map(|c| hex(&c)),
            "purpose": self.purpose.map(Purpose::as_str),
            "case": self.case,
            "args": hex(&self.args),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::wire;

    fn order() -> Order {
        Order {
            op: Op::HitsQuery,
            id: [0xc7; 16],
            site: SiteId::new("north").unwrap(),
            box_id: BoxId::new("box-1").unwrap(),
            issued: TimeMs(1_767_268_800_123),
            lifetime_s: 120,
            challenge: Some([0xcc; 8]),
            purpose: Some(Purpose::StolenVehicle),
            case: Some("K-2026/17".to_owned()),
            args: vec![0xa0],
        }
    }

    #[test]
    fn claims_come_back_and_their_keys_are_in_the_order_of_their_bytes() {
        let full = Claims::of(&order(), "investigator");
        let bare = Claims { challenge: None, purpose: None, case: None, args: Vec::new(), ..full.clone() };
        for claims in [full, bare] {
            let bytes = wire::encode(&claims);
            assert_eq!(wire::decode::<Claims>(&bytes).unwrap(), claims);
            let mut d = Decoder::new(&bytes);
            let keys: Vec<Vec<u8>> = (0..d.map().unwrap().unwrap())
                .map(|_| {
                    let key = minicbor::to_vec(d.i64().unwrap()).unwrap();
                    d.skip().unwrap();
                    key
                })
                .collect();
            assert!(keys.is_sorted(), "{keys:02x?}");
        }
    }

    #[test]
    fn times_are_whole_seconds() {
        let claims = Claims::of(&order(), "investigator");
        assert_eq!((claims.issued_s, claims.expires_s), (1_767_268_800, 1_767_268_920));
    }

    #[test]
    fn another_version_an_unknown_claim_and_another_order_are_refused_each_by_its_name() {
        let good = wire::encode(&Claims::of(&order(), "investigator"));
        // The version is the one claim with key -65537: 3a 00 01 00 00.
        let at = good.windows(5).position(|w| w == [0x3a, 0, 1, 0, 0]).unwrap() + 5;
        let mut newer = good.clone();
        newer[at] = 2;
        assert!(matches!(wire::decode::<Claims>(&newer), Err(Error::Version { got: 2, want: 1, .. })));
        let mut unknown = good.clone();
        unknown[1] = 0x18;
        assert!(matches!(wire::decode::<Claims>(&unknown), Err(Error::Malformed { .. })));
        let mut d = Decoder::new(&good);
        d.map().unwrap();
        d.skip().unwrap();
        d.skip().unwrap();
        let second = d.position();
        d.skip().unwrap();
        d.skip().unwrap();
        let turned = [&good[..1], &good[second..d.position()], &good[1..second], &good[d.position()..]].concat();
        assert!(matches!(wire::decode::<Claims>(&turned), Err(Error::NotDeterministic { .. })));
        let empty = Claims { case: Some(" ".to_owned()), ..Claims::of(&order(), "i") };
        assert!(matches!(wire::decode::<Claims>(&wire::encode(&empty)), Err(Error::Field { field: "case", .. })));
    }

    #[test]
    fn a_command_fits_its_own_topic_alone() {
        let claims = Claims::of(&order(), "investigator");
        let kind = |op: &str, id: String| Kind::Command { op: op.to_owned(), id };
        assert!(claims.fits(&kind("hits.query", "c7".repeat(16))));
        assert!(!claims.fits(&kind("reads.query", "c7".repeat(16))));
        assert!(!claims.fits(&kind("hits.query", "c8".repeat(16))));
        assert!(!claims.fits(&Kind::Reply { op: "hits.query".to_owned(), id: "c7".repeat(16) }));
    }
}
