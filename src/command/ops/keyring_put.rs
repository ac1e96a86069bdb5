//! `keyring.put`: another keyring in force, signed by the root, newer than the one before.
//!
//! It counts from the next command on, and for acks at once. One under which nobody could acknowledge an alert, or put a
//! better keyring, is refused: the box could not be reached any more. The same keyring again is done without a word.

use minicbor::{Decode, Encode};

use super::{decode, encode};
use crate::centre::keyring::{Error, Keyring, Role};
use crate::centre::keys::hex;
use crate::clock::Clock;
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{ClockState, Reason, TimeMs};
use crate::store::audit::Event;

/// What is to be put.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The file, as the root signed it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub keyring: Vec<u8>,
}

/// What is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Its serial.
    #[n(0)]
    pub serial: u64,
    /// The serial before; the same when nothing was changed.
    #[n(1)]
    pub before: u64,
}

/// Puts it in force.
///
/// # Errors
/// [`Reason::Signature`] when the root did not sign it, [`Reason::OlderSerial`], [`Reason::Verification`] when it would
/// lock everybody out, [`Reason::Internal`] when it cannot be written.
pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    let before = rooms.keyring.current();
    let ring = rooms.keyring.look(&args.keyring).map_err(|e| refusal(&e))?;
    locks_nobody_out(&ring, &rooms.clock)?;
    let ring = rooms.keyring.put(&args.keyring).map_err(|e| refusal(&e))?;
    let answer = Answer { serial: ring.serial, before: before.serial };
    if ring.serial != before.serial {
        let digest = ring::digest::digest(&ring::digest::SHA256, &args.keyring);
        let details = [
            ("what", "keyring".to_owned()),
            ("serial", ring.serial.to_string()),
            ("before", before.serial.to_string()),
            ("keys", ring.entries.len().to_string()),
            ("sha256", hex(digest.as_ref())),
            ("by", command.caller().person.name.clone()),
        ];
        if let Err(error) = rooms.store.audit(Event::KeysChanged, &details) {
            tracing::error!(%error, "the new keyring is in force and its audit record is not written");
        }
    }
    let facts = vec![("serial", answer.serial.to_string())];
    Ok(Done { result: encode(&answer), facts, ..Done::default() })
}

fn locks_nobody_out(ring: &Keyring, clock: &Clock) -> Result<(), Refusal> {
    let now = match clock.state() {
        ClockState::Unset => clock.utc().max(ring.issued),
        ClockState::Synced | ClockState::Holdover => clock.utc(),
    };
    // A keyring that was made a moment ago by a clock that is a little ahead.
    let now = TimeMs(now.0.saturating_add(crate::command::envelope::AHEAD_MS));
    for (role, what) in [(Role::Delivery, "acknowledge an alert"), (Role::Custodian, "put another keyring")] {
        if ring.keys_of(role, now).is_empty() {
            let text = format!("no {} key of it is valid now: nobody could {what} any more", role.as_str());
            return Err(Refusal::new(Reason::Verification, text));
        }
    }
    Ok(())
}

fn refusal(error: &Error) -> Refusal {
    let reason = match error {
        Error::Envelope { .. } => Reason::Signature,
        Error::Older { .. } => Reason::OlderSerial,
        Error::Content { .. } | Error::Key(crate::centre::keys::Error::Weak { .. }) => Reason::Arguments,
        Error::Key(_) | Error::NoNumber { .. } | Error::Fixed => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Entry;
    use crate::command::testkit::{self, Site};
    use crate::domain::Op;

    fn put(site: &Site, ring: &Keyring, root: &str) -> Result<Answer, Reason> {
        let args = Args { keyring: ring.sign(&testkit::key_of(root)).unwrap() };
        let done = site.run(Op::KeyringPut, Role::Custodian, &args).map_err(|r| r.reason)?;
        Ok(decode(&done.result).unwrap())
    }

    #[test]
    fn a_newer_keyring_counts_at_once_and_cannot_go_back() {
        let site = Site::new();
        let mut ring = testkit::keyring();
        ring.serial = 9;
        ring.entries.iter_mut().filter(|e| e.name == "fleet").for_each(|e| e.revoked = Some(TimeMs(1)));
        assert_eq!(put(&site, &ring, "root"), Ok(Answer { serial: 9, before: 3 }));
        assert_eq!(put(&site, &ring, "root"), Ok(Answer { serial: 9, before: 9 }), "again: nothing is changed");
        assert_eq!(put(&site, &Keyring { serial: 8, ..ring.clone() }, "root"), Err(Reason::OlderSerial));
        assert_eq!(put(&site, &Keyring { issued: TimeMs(7), ..ring.clone() }, "root"), Err(Reason::OlderSerial));
        assert_eq!(put(&site, &Keyring { serial: 10, ..ring.clone() }, "custodian"), Err(Reason::Signature));
        let audited = site.audit().iter().filter(|(event, _)| event == "keys.changed").count();
        assert_eq!(audited, 1);
        // The revoked key is out with the next command.
        let desk = site.desk();
        let reply = desk.send(&desk.order(Op::BoxStatus, &()), "fleet", None);
        assert_eq!(reply.reason, Some(Reason::KeyRevoked));
        desk.executor.stop();
    }

    #[test]
    fn a_keyring_that_would_lock_everybody_out_is_refused() {
        let site = Site::new();
        for role in [Role::Delivery, Role::Custodian] {
            let mut ring = testkit::keyring();
            ring.serial = 9;
            let over = |e: &mut Entry| e.not_after = Some(TimeMs(testkit::start().0 - 1));
            ring.entries.iter_mut().filter(|e| e.role == role).for_each(over);
            assert_eq!(put(&site, &ring, "root"), Err(Reason::Verification));
        }
        assert_eq!(site.rooms().keyring.current().serial, 3);
    }
}
