//! `hold.list`: the holds in force, which of them are due for review, and how long things are kept.
//!
//! A hold names a plate, a case and a reason. Custodians answer for all of them; investigators see those that their own
//! organisation placed, and the others are as if they were not there.

use minicbor::{Decode, Encode};

use crate::centre::keyring::Role;
use crate::command::ops::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{Hold, Mark, Retention};

/// Most bytes of the holds of one answer: what fits into a reply.
const MAX_BYTES: usize = 48 * 1024;

/// Nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The holds, those that are due for review first, then by number.
    #[n(0)]
    pub holds: Vec<Hold>,
    /// How many there are: more than are listed where they find no room.
    #[n(1)]
    pub all: u32,
    /// How many are due for review.
    #[n(2)]
    pub overdue: u32,
    /// Holds that do not open: nothing is deleted until they are released.
    #[n(3)]
    pub unreadable: Vec<u32>,
    /// How long things are kept; absent: the centre set it, and that does not open. Nothing is deleted then.
    #[n(4)]
    pub retention: Option<Retention>,
    /// How long by the configuration alone.
    #[n(5)]
    pub configured: Retention,
    /// Who set it, and when, where the centre did.
    #[n(6)]
    pub set: Option<Mark>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args {} = decode(command.args())?;
    let now = rooms.clock.utc();
    let mut holds = rooms.store.holds();
    let person = &command.caller().person;
    holds.retain(|hold| person.role == Role::Custodian || hold.placed.org == person.org);
    holds.sort_by_key(|hold| (!hold.is_overdue(now), hold.number));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (all, overdue) = (count(holds.len()), count(holds.iter().filter(|hold| hold.is_overdue(now)).count()));
    let mut room = MAX_BYTES;
    holds.retain(|hold| match room.checked_sub(encode(hold).len()) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    let answer = Answer {
        holds,
        all,
        overdue,
        unreadable: rooms.store.unreadable_holds(),
        retention: rooms.store.retention().ok(),
        configured: rooms.store.configured_retention(),
        set: rooms.store.retention_order().map(|order| order.set),
    };
    let mut facts = vec![("holds", all.to_string()), ("overdue", overdue.to_string())];
    facts.extend(stored::persons(command.caller()));
    Ok(Done { result: encode(&answer), tells_plates: true, facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ops::hold::place;
    use crate::command::testkit::Site;
    use crate::domain::{HoldScope, Op, PlateText, TimeMs};

    #[test]
    fn an_investigator_sees_the_holds_of_the_own_organisation_and_a_custodian_all() {
        let site = Site::new();
        for (name, plate) in [("investigator", "AB123CD"), ("investigator-south", "XY987ZA")] {
            let scope = HoldScope::Plate(PlateText::from_raw(plate).unwrap());
            let review = TimeMs(site.rooms().clock.utc().0 + 86_400_000);
            let args = place::Args { scope, reason: "asked for".to_owned(), review };
            site.run_as(Op::HoldPlace, site.caller_named(name, None), &args).unwrap();
        }
        let seen_by = |name: &str| {
            let done = site.run_as(Op::HoldList, site.caller_named(name, None), &Args {}).unwrap();
            let answer: Answer = decode(&done.result).unwrap();
            (answer.all, answer.holds.into_iter().map(|hold| hold.placed.by).collect::<Vec<_>>())
        };
        assert_eq!(seen_by("investigator"), (1, vec!["investigator".to_owned()]));
        assert_eq!(seen_by("investigator-south"), (1, vec!["investigator-south".to_owned()]));
        assert_eq!(seen_by("custodian").0, 2);
    }
}
