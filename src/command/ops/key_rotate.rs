//! `key.rotate`: another signing key for the box, in two steps.
//!
//! Asked without arguments, the box makes its next key and answers its public half, signed by the present key, with which it
//! goes on signing. The centre puts the next key beside the present one and asks again, naming it: only then does the box
//! change over. No moment is without a key that the centre believes; each step may be asked for again.

use minicbor::{Decode, Encode};

use super::{decode, encode};
use crate::centre::keys::{Error, Kid};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::Reason;
use crate::store::audit::Event;

/// Which step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The id of the next key, which the centre has taken; without: the next key is to be made.
    #[n(0)]
    pub confirm: Option<minicbor::bytes::ByteArray<8>>,
}

/// The box's keys.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The public bytes of the key that it signs with from this answer on.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub present: [u8; 32],
    /// Those of the key that is prepared.
    #[n(1)]
    pub next: Option<minicbor::bytes::ByteArray<32>>,
}

/// Makes the next key, or changes over to it.
///
/// # Errors
/// [`Reason::NotFound`] when another key than the prepared one is named, [`Reason::Internal`] when files cannot be written.
pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = if command.args().is_empty() { Args::default() } else { decode(command.args())? };
    let before = rooms.box_key.current().kid();
    let next = match args.confirm {
        None => {
            let next = rooms.box_key.prepare().map_err(|e| refusal(&e))?;
            say(rooms, command, ("prepared", next.kid()), before);
            Some((*next.as_bytes()).into())
        }
        Some(kid) => {
            let kid = Kid(kid.into());
            if rooms.box_key.switch(kid).map_err(|e| refusal(&e))? {
                say(rooms, command, ("changed", kid), before);
            }
            None
        }
    };
    let answer = Answer { present: *rooms.box_key.current().public().as_bytes(), next };
    Ok(Done { result: encode(&answer), ..Done::default() })
}

fn say(rooms: &Rooms, command: &Authorised, (step, kid): (&str, Kid), before: Kid) {
    let details = [
        ("what", "box key".to_owned()),
        ("step", step.to_owned()),
        ("box_key", kid.to_string()),
        ("before", before.to_string()),
        ("by", command.caller().person.name.clone()),
    ];
    if let Err(error) = rooms.store.audit(Event::KeysChanged, &details) {
        tracing::error!(%error, step, "the box's key was changed and the audit record is not written");
    }
}

fn refusal(error: &Error) -> Refusal {
    let reason = match error {
        Error::NotPrepared { .. } => Reason::NotFound,
        Error::NoFile => Reason::Unsupported,
        Error::Io { .. }
        | Error::Exists { .. }
        | Error::Exposed { .. }
        | Error::Format { .. }
        | Error::NotEd25519
        | Error::Weak { .. }
        | Error::Random => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::centre::keys::PublicKey;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn rotate(site: &Site, confirm: Option<Kid>) -> Result<Answer, Reason> {
        let args = Args { confirm: confirm.map(|kid| kid.0.into()) };
        let done = site.run(Op::KeyRotate, Role::Custodian, &args).map_err(|r| r.reason)?;
        Ok(decode(&done.result).unwrap())
    }

    #[test]
    fn the_key_changes_only_when_the_centre_says_that_it_has_the_next_one() {
        let site = Site::new();
        let present = || *site.rooms().box_key.current().public().as_bytes();
        let before = present();
        let prepared = rotate(&site, None).unwrap();
        assert_eq!(rotate(&site, None).unwrap(), prepared, "asked again: the same key");
        assert!(prepared.present == before && present() == before);
        assert_eq!(rotate(&site, Some(Kid([9; 8]))), Err(Reason::NotFound));
        let next: [u8; 32] = prepared.next.unwrap().into();
        let kid = PublicKey::from_bytes(next).unwrap().kid();
        let changed = rotate(&site, Some(kid)).unwrap();
        assert_eq!((changed.present, changed.next, present()), (next, None, next));
        assert_eq!(rotate(&site, Some(kid)).unwrap().present, next, "told again: nothing is changed");
        let steps: Vec<_> = site.audit().into_iter().filter(|(event, _)| event == "keys.changed").collect();
        assert_eq!(steps.len(), 3, "prepared twice, changed once: {steps:?}");
    }
}
