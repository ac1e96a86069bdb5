//! `hit.verdict`: what an operator found a hit to be; and that nothing more will be said about it.
//!
//! A verdict may be changed until the hit is closed. Each one is counted by camera, list, model and confidence.

use minicbor::{Decode, Encode};

use super::{Standing, Which, check_shared};
use crate::command::ops::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{PlateText, Reason, Verdict};
use crate::store::HandlingWish;
use crate::store::audit::Event;

/// What, about which hit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Which: list and entry or rule where a sighting has several hits.
    #[n(0)]
    pub which: Which,
    /// What it was found to be.
    #[n(1)]
    pub verdict: Option<Verdict>,
    /// The plate that was there, for a misread.
    #[n(2)]
    pub true_plate: Option<PlateText>,
    /// Close it.
    #[n(3)]
    pub close: bool,
}

/// How the hit stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The hit.
    #[n(0)]
    pub hits: Vec<Standing>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    let refuse = |text: &str| Err(Refusal::new(Reason::Arguments, text));
    let true_plate = args.true_plate.as_ref().map(stored::checked).transpose()?;
    let verdict = match (args.verdict, true_plate) {
        (Some(verdict), true_plate) => Some((verdict, true_plate)),
        (None, Some(_)) => return refuse("a true plate comes with the verdict misread"),
        (None, None) if !args.close => return refuse("give a verdict, or close the hit"),
        (None, None) => None,
    };
    check_shared(rooms, command, &args.which)?;
    let (id, cause) = (args.which.id, args.which.cause()?);
    let mark = stored::mark(rooms, command.caller());
    let wish = HandlingWish { id, cause, verdict, close: args.close, mark };
    let hits = rooms.recorder.handle(wish, stored::PATIENCE).map_err(stored::refused)?;
    let word = args.verdict.map_or("none", Verdict::as_str);
    let facts = vec![("hit", id.to_string()), ("verdict", word.to_owned()), ("closed", args.close.to_string())];
    let mut details = vec![("action", "judged".to_owned())];
    details.extend(facts.clone());
    details.extend(stored::persons(command.caller()));
    rooms.store.audit(Event::Judged, &details).map_err(stored::refused)?;
    let answer = Answer { hits: hits.iter().map(Standing::of).collect() };
    Ok(Done { result: encode(&answer), facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::{HitState, Op, Ownership, Severity, Stage, hotlist::Share};
    use crate::store::Entry;
    use crate::store::testkit::{event, id, list_hit};

    /// Hits 1 and 2 of one list each, hit 3 of two lists, hit 4 of a list that is `south`'s own.
    fn site() -> Site {
        let site = Site::new();
        let recorder = site.rooms().recorder;
        for n in 1..=4_u64 {
            let event = event(n, Stage::New, Some("AB123CD"));
            let mut hits = vec![list_hit(&event, u32::try_from(n).unwrap(), Severity::Serious)];
            if n == 3 {
                hits.push(list_hit(&event, 33, Severity::Minor));
            }
            if let (4, crate::domain::HitCause::List(m)) = (n, &mut hits[0].cause) {
                m.owner = Some(Ownership { org: "south".to_owned(), share: Share::None });
            }
            recorder.send(Entry { event, hits }).unwrap();
        }
        recorder.flush(Duration::from_secs(20)).unwrap();
        site
    }

    fn judge(
        site: &Site,
        which: Which,
        verdict: Option<Verdict>,
        plate: Option<&str>,
        close: bool,
    ) -> Result<Answer, Refusal> {
        let args = Args { which, verdict, true_plate: plate.and_then(PlateText::from_raw), close };
        site.run(Op::HitVerdict, Role::Operator, &args).map(|done| decode(&done.result).unwrap())
    }

    #[test]
    fn verdicts_are_noted_counted_changed_and_closed() {
        let site = site();
        let (one, two) = (Which::all(id(1)), Which::all(id(2)));
        let answer = judge(&site, one, Some(Verdict::Confirmed), None, false).unwrap();
        assert_eq!((answer.hits[0].state, answer.hits[0].verdict), (HitState::Judged, Some(Verdict::Confirmed)));
        judge(&site, two, Some(Verdict::Confirmed), None, false).unwrap();
        judge(&site, two, Some(Verdict::Misread), Some("AB123CO"), true).unwrap();
        let (month, tally) = site.store.tallies().unwrap().remove(0);
        assert_eq!((month.to_string().as_str(), tally.total().judged(), tally.total().right()), ("2026-01", 2, 1));
        assert_eq!(
            (tally.cameras[&3].judged(), tally.lists[&2].of(Verdict::Misread), tally.bins[&9].judged()),
            (2, 1, 2)
        );

        let closed = judge(&site, two, Some(Verdict::Confirmed), None, false).unwrap_err();
        assert_eq!(closed.reason, Reason::Conflict);
        let stored = &site.store.hits_of(id(2)).unwrap()[0];
        assert_eq!(stored.handling.verdict.as_ref().unwrap().true_plate, PlateText::from_raw("AB123CO"));
        assert!(!format!("{:?}", site.audit()).contains("AB123C"), "the audit log names no plate");
    }

    #[test]
    fn a_verdict_says_which_hit_it_is_about_and_is_whole() {
        let site = site();
        let three = Which::all(id(3));
        let reason = |answer: Result<Answer, Refusal>| answer.unwrap_err().reason;
        assert_eq!(reason(judge(&site, three, Some(Verdict::Confirmed), None, false)), Reason::Arguments);
        let second = Which { list: Some(2), entry: Some(33), ..three };
        assert_eq!(judge(&site, second, Some(Verdict::StaleEntry), None, false).unwrap().hits.len(), 1);
        let one = Which::all(id(1));
        assert_eq!(reason(judge(&site, one, Some(Verdict::Misread), None, false)), Reason::Arguments);
        assert_eq!(reason(judge(&site, one, None, None, false)), Reason::Arguments);
        assert_eq!(reason(judge(&site, one, None, None, true)), Reason::Conflict, "closed before it was judged");
        assert_eq!(reason(judge(&site, Which::all(id(9)), Some(Verdict::Confirmed), None, false)), Reason::NotFound);
    }

    #[test]
    fn hits_of_an_organisation_that_does_not_share_them_are_refused() {
        let answer = judge(&site(), Which::all(id(4)), Some(Verdict::Confirmed), None, false);
        assert_eq!(answer.unwrap_err().reason, Reason::Organisation);
    }
}
