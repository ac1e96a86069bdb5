//! From bytes under a topic to who asks for what: size, form, version, topic, audience, keys, signatures, time.
//!
//! Each step refuses by a reason of its own, the cheap ones first. Nothing here remembers: whether an id was used before is
//! the journal's to say ([`super::journal`]), how many commands a key may send that of [`super::rate`].

use super::authorise::Verified;
use super::{Caller, Person, Refusal};
use crate::centre::cose::{self, two::Envelope};
use crate::centre::keyring::{Entry, Keyring};
use crate::centre::keys::Kid;
use crate::centre::wire::command::{Claims, MAX_LIFETIME_S};
use crate::centre::wire::{self};
use crate::clock::{Challenges, Clock};
use crate::domain::{ClockState, Op, Reason, TimeMs};

/// A command may be issued so far in the future: clocks of two machines are never quite the same.
pub const AHEAD_MS: u64 = 30_000;

/// What a command is held against.
pub struct Gate<'a> {
    /// The keyring in force.
    pub keyring: &'a Keyring,
    /// `<site>/<box>` of this box.
    pub audience: &'a str,
    /// Time.
    pub clock: &'a Clock,
    /// What health gave out.
    pub challenges: &'a Challenges,
}

/// A command whose signatures are good; whether its time is right is not said yet.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Who asks for what.
    pub verified: Verified,
    /// Whose key: for the rate.
    pub kid: Kid,
    /// Issued at, seconds since 1970.
    pub issued_s: u64,
    /// Not to be taken from this time on, seconds since 1970.
    pub expires_s: u64,
    /// The challenge that it names.
    pub challenge: Option<[u8; 8]>,
}

/// A refusal, and what is known of who sent it.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// The key that signed, or that it says signed.
    pub kid: Option<Kid>,
    /// Whose key that is, when the signature is good.
    pub signer: Option<Box<Person>>,
}

impl Refused {
    fn unsigned(why: Refusal, kid: Option<Kid>) -> Self {
        Self { why, kid, signer: None }
    }
}

impl Gate<'_> {
    /// Says who signed a message that came under `topic`, whose operation and id `addressed` names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(&self, bytes: &[u8], topic: &str, addressed: (&str, &[u8; 16])) -> Result<Signed, Refused> {
        let envelope = Envelope::parse(bytes, cose::MAX_ENVELOPE).map_err(|e| Refused::unsigned(of_cose(&e), None))?;
        let claimed = envelope.kids().first().copied();
        let unsigned = |why| Refused::unsigned(why, claimed);
        let claims: Claims = wire::decode(envelope.payload()).map_err(|e| unsigned(of_wire(&e)))?;
        let op = belongs(&claims, addressed).map_err(unsigned)?;
        if claims.audience != self.audience {
            let text = format!("is for {:?}, this box is {}", claims.audience, self.audience);
            return Err(unsigned(Refusal::new(Reason::Audience, text)));
        }
        let entries = self.signers(&envelope, topic).map_err(unsigned)?;
        let [first, rest @ ..] = &entries[..] else {
            return Err(unsigned(Refusal::new(Reason::Malformed, "nobody signed it")));
        };
        let signer = person(first);
        let signed = |why| Refused { why, kid: claimed, signer: Some(Box::new(signer.clone())) };
        entries.iter().try_for_each(|entry| self.is_valid(entry)).map_err(signed)?;
        if let Some(second) = rest.first().filter(|second| second.name == first.name) {
            let text = format!("both signatures are of {:?}: another person has to sign as well", second.name);
            return Err(signed(Refusal::new(Reason::SamePerson, text)));
        }
        if claims.issuer != first.name {
            let text = format!("names {:?} as issuer, key {} is {:?}'s", claims.issuer, first.key.kid(), first.name);
            return Err(signed(Refusal::new(Reason::Issuer, text)));
        }
        let caller = Caller {
            person: signer.clone(),
            second: rest.first().map(|entry| person(entry)),
            purpose: claims.purpose,
            case: claims.case,
        };
        Ok(Signed {
            verified: Verified { op, id: claims.id, caller, args: claims.args },
            kid: first.key.kid(),
            issued_s: claims.issued_s,
            expires_s: claims.expires_s,
            challenge: claims.challenge,
        })
    }

    /// The entries whose keys signed, all signatures good.
    fn signers(&self, envelope: &Envelope, topic: &str) -> Result<Vec<&Entry>, Refusal> {
        let mut entries = Vec::new();
        for (which, kid) in envelope.kids().iter().enumerate() {
            let Some(entry) = self.keyring.entry(*kid) else {
                let text = format!("key {kid} is not in the keyring of serial {}", self.keyring.serial);
                return Err(Refusal::new(Reason::UnknownKey, text));
            };
            envelope.verify(which, topic, &entry.key).map_err(|e| of_cose(&e))?;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn is_valid(&self, entry: &Entry) -> Result<(), Refusal> {
        let unset = self.clock.state() == ClockState::Unset;
        // A clock that was never set is at least as late as the keyring was signed.
        let now = if unset { self.clock.utc().max(self.keyring.issued) } else { self.clock.utc() };
        let (kid, name) = (entry.key.kid(), &entry.name);
        if let Some(at) = entry.revoked.filter(|at| *at <= now || unset) {
            return Err(Refusal::new(Reason::KeyRevoked, format!("key {kid} of {name:?} was revoked at {at}")));
        }
        if now < entry.not_before {
            let text = format!("key {kid} of {name:?} counts from {} on, here it is {now}", entry.not_before);
            return Err(Refusal::new(Reason::KeyNotYet, text));
        }
        match entry.not_after {
            Some(end) if end < now => {
                let text = format!("key {kid} of {name:?} counted until {end}: make a new one");
                Err(Refusal::new(Reason::KeyOver, text))
            }
            _ => Ok(()),
        }
    }

    /// Whether the command is of now: by the clock, or by a challenge when there is none. One that names a challenge counts
    /// only while that does, whatever the clock says, so that it can never come back by time alone.
    ///
    /// # Errors
    /// [`Reason::Lifetime`], [`Reason::Challenge`], [`Reason::Future`], [`Reason::Expired`].
    pub fn is_fresh(&self, command: &Signed) -> Result<(), Refusal> {
        let refuse = |reason, text: String| Err(Refusal::new(reason, text));
        let (issued, expires) = (command.issued_s, command.expires_s);
        let lifetime = expires.saturating_sub(issued);
        if lifetime == 0 || lifetime > u64::from(MAX_LIFETIME_S) {
            let text = format!("valid for {lifetime} s, 1 to {MAX_LIFETIME_S} are taken");
            return refuse(Reason::Lifetime, text);
        }
        let is_set = self.clock.state() != ClockState::Unset;
        match &command.challenge {
            Some(challenge) if !self.challenges.knows(challenge) => {
                let text =
                    "names a challenge that this box did not give out in the last minutes: take the newest of health";
                return refuse(Reason::Challenge, text.to_owned());
            }
            None if !is_set => {
                let text = "the clock of this box is not set: name the challenge of its newest health message";
                return refuse(Reason::Challenge, text.to_owned());
            }
            Some(_) | None => {}
        }
        if !is_set {
            return Ok(());
        }
        let now = self.clock.utc();
        let ms = |s: u64| TimeMs(s.saturating_mul(1000));
        if ms(issued).0 > now.0.saturating_add(AHEAD_MS) {
            let text = format!("issued at {}, here it is {now}: compare the clocks", ms(issued));
            return refuse(Reason::Future, text);
        }
        if ms(expires) <= now {
            let text = format!("valid until {}, here it is {now}: compare the clocks, or send a new one", ms(expires));
            return refuse(Reason::Expired, text);
        }
        Ok(())
    }
}

fn person(entry: &Entry) -> Person {
    Person {
        kid: entry.key.kid(),
        name: entry.name.clone(),
        org: entry.org.clone(),
        role: entry.role,
        supervisor: entry.supervisor,
    }
}

/// The operation, when it is known and the topic's; the id must be the topic's as well.
fn belongs(claims: &Claims, (op, id): (&str, &[u8; 16])) -> Result<Op, Refusal> {
    let known: Op = claims
        .op
        .parse()
        .map_err(|_| Refusal::new(Reason::UnknownOp, format!("{:?} is no operation of this version", claims.op)))?;
    if claims.op != op {
        let text = format!("asks for {known} under a topic of {op:?}");
        return Err(Refusal::new(Reason::UnknownOp, text));
    }
    if claims.id != *id {
        return Err(Refusal::new(Reason::Malformed, "its cti is another than the id in its topic"));
    }
    Ok(known)
}

fn of_cose(error: &cose::Error) -> Refusal {
    let reason = match error {
        cose::Error::TooLarge { .. } => Reason::TooLarge,
        cose::Error::UnknownKey { .. } => Reason::UnknownKey,
        cose::Error::Signature { .. } => Reason::Signature,
        cose::Error::NotSign1 { .. }
        | cose::Error::NotSign { .. }
        | cose::Error::Signers { .. }
        | cose::Error::Tagged
        | cose::Error::Critical { .. }
        | cose::Error::Algorithm { .. }
        | cose::Error::KeyId { .. }
        | cose::Error::Headers
        | cose::Error::NoPayload
        | cose::Error::NotDeterministic
        | cose::Error::Encode { .. } => Reason::Malformed,
    };
    Refusal::new(reason, error.to_string())
}

fn of_wire(error: &wire::Error) -> Refusal {
    let reason = match error {
        wire::Error::Version { .. } => Reason::Version,
        wire::Error::Envelope { .. }
        | wire::Error::Malformed { .. }
        | wire::Error::NotDeterministic { .. }
        | wire::Error::Field { .. }
        | wire::Error::Misplaced { .. }
        | wire::Error::Topic(_)
        | wire::Error::Unread { .. }
        | wire::Error::UnknownBox { .. } => Reason::Malformed,
    };
    Refusal::new(reason, error.to_string())
}
