//! `hold.release`: two people end a hold; what it kept beyond its time is deleted, but for what another hold covers.

use minicbor::{Decode, Encode};

use crate::command::ops::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{Hold, Reason};
use crate::store::audit::Event;

/// Which hold.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Its number on this box.
    #[n(0)]
    pub number: u32,
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Rows that were deleted: those of the hold, sightings, hits and what indexes had of them.
    #[n(0)]
    pub rows: u64,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args { number } = decode(command.args())?;
    if command.caller().second.is_none() {
        return Err(Refusal::new(Reason::SecondPerson, "a hold is released by two people"));
    }
    let hold: Option<Hold> = rooms.store.holds().into_iter().find(|hold| hold.number == number);
    if hold.is_none() && !rooms.store.unreadable_holds().contains(&number) {
        return Err(Refusal::new(Reason::NotFound, format!("there is no hold {number} (any more)")));
    }
    // Said before: once it is done there is nobody to ask any more what it was.
    let mut details = vec![("action", "released".to_owned()), ("hold", number.to_string())];
    details.extend(hold.map(|hold| ("case", hold.case)));
    details.extend(stored::persons(command.caller()));
    rooms.store.audit(Event::Held, &details).map_err(stored::refused)?;
    let rows = rooms.recorder.release_hold(number, stored::PATIENCE).map_err(stored::refused)?;
    let facts = vec![("hold", number.to_string()), ("rows", rows.to_string())];
    Ok(Done { result: encode(&Answer { rows }), facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::ops::hold::{list, place};
    use crate::command::testkit::Site;
    use crate::domain::{CameraId, CameraSpan, HoldScope, Op, PlateText, RetentionClass, Severity, TimeMs};
    use crate::store::testkit::{START, hit_entry, id};

    fn place(site: &Site, scope: HoldScope) -> Result<u32, Refusal> {
        let review = TimeMs(site.rooms().clock.utc().0 + 86_400_000);
        let args = place::Args { scope, reason: "court".to_owned(), review };
        let done = site.run(Op::HoldPlace, Role::Investigator, &args)?;
        Ok(decode::<place::Answer>(&done.result).unwrap().number)
    }

    #[test]
    fn a_hold_keeps_a_hit_beyond_its_day_until_two_people_release_it() {
        let site = Site::new();
        let recorder = site.rooms().recorder;
        recorder.send(hit_entry(1, Severity::Info)).unwrap();
        recorder.send(hit_entry(2, Severity::Info)).unwrap();
        recorder.flush(Duration::from_secs(20)).unwrap();
        let number = place(&site, HoldScope::Hit(id(1))).unwrap();
        recorder.destroy(START.day(), RetentionClass::Info, Duration::from_secs(20)).unwrap();
        assert!(site.store.sighting(id(1)).unwrap().is_some() && site.store.sighting(id(2)).unwrap().is_none());
        assert_eq!(site.store.hits_of(id(1)).unwrap().len(), 1);

        let told: list::Answer =
            decode(&site.run(Op::HoldList, Role::Custodian, &list::Args {}).unwrap().result).unwrap();
        assert_eq!((told.holds.len(), told.holds[0].case.as_str(), told.overdue), (1, "K-1", 0));
        let one = site.caller_named("custodian", None);
        assert!(crate::command::authorise::needs_two(Op::HoldRelease) && one.second.is_none());
        let two = site.caller_named("custodian", Some("custodian-2"));
        let done = site.run_as(Op::HoldRelease, two.clone(), &Args { number }).unwrap();
        assert!(decode::<Answer>(&done.result).unwrap().rows >= 3, "hold, sighting and hit");
        assert!(site.store.sighting(id(1)).unwrap().is_none());
        let gone = site.run_as(Op::HoldRelease, two, &Args { number }).unwrap_err();
        assert_eq!(gone.reason, Reason::NotFound);
        let actions: Vec<String> = site
            .audit()
            .into_iter()
            .filter(|(event, _)| event == "hold.changed")
            .map(|(_, details)| details[0].1.clone())
            .collect();
        assert_eq!(actions, ["placed", "released", "destroyed"]);
    }

    #[test]
    fn a_hold_that_makes_no_sense_is_refused() {
        let site = Site::new();
        let reason = |scope| place(&site, scope).unwrap_err().reason;
        assert_eq!(reason(HoldScope::Hit(id(77))), Reason::NotFound);
        let span = CameraSpan { camera: CameraId::new("gate").unwrap(), number: None, from: TimeMs(9), to: TimeMs(8) };
        assert_eq!(reason(HoldScope::Span(span)), Reason::Arguments);
        let scope = HoldScope::Plate(PlateText::from_raw("AB123CD").unwrap());
        let args = place::Args { scope, reason: "court".to_owned(), review: START };
        let past = site.run(Op::HoldPlace, Role::Investigator, &args).unwrap_err();
        assert_eq!(past.reason, Reason::Arguments);
        assert!(site.store.holds().is_empty());
    }
}
