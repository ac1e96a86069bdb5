//! `hold.place`: a hit, a plate, or a camera and span of time is kept until the hold is released.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::command::ops::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{CameraSpan, Hold, HoldScope, HoldWish, Reason, TimeMs};
use crate::store::audit::Event;

/// Latest review from now.
const MOST_REVIEW: Duration = Duration::from_hours(5 * 366 * 24);

/// What is to be held. The case is the command's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// What. The number of a camera is filled in by the box.
    #[n(0)]
    pub scope: HoldScope,
    /// Why, 1 to 300 bytes.
    #[n(1)]
    pub reason: String,
    /// When somebody must look whether it is still needed.
    #[n(2)]
    pub review: TimeMs,
}

/// The hold.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Its number on this box.
    #[n(0)]
    pub number: u32,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    let wrong = |text: String| Refusal::new(Reason::Arguments, text);
    let now = rooms.clock.utc();
    if args.reason.is_empty() || args.reason.len() > Hold::MAX_REASON {
        return Err(wrong(format!("the reason has {} bytes, wanted 1 to {}", args.reason.len(), Hold::MAX_REASON)));
    }
    let latest = now.0.saturating_add(u64::try_from(MOST_REVIEW.as_millis()).unwrap_or(u64::MAX));
    if args.review <= now || args.review.0 > latest {
        return Err(wrong(format!("the review is at {}, wanted from now ({now}) to in five years", args.review)));
    }
    let case = command.caller().case.clone();
    let case = case.ok_or_else(|| Refusal::new(Reason::Case, "a hold is for a case: name its number"))?;
    let scope = checked(rooms, args.scope)?;
    let kind = scope.kind();
    let placed = stored::mark(rooms, command.caller());
    let wish = HoldWish { scope, case: case.clone(), reason: args.reason, review: args.review, placed };
    let hold = rooms.recorder.place_hold(wish, stored::PATIENCE).map_err(stored::refused)?;
    let facts = vec![("hold", hold.number.to_string()), ("scope", kind.to_owned())];
    let mut details = vec![("action", "placed".to_owned())];
    details.extend(facts.clone());
    details.extend([("case", case), ("review", hold.review.to_string())]);
    details.extend(stored::persons(command.caller()));
    rooms.store.audit(Event::Held, &details).map_err(stored::refused)?;
    Ok(Done { result: encode(&Answer { number: hold.number }), facts, ..Done::default() })
}

/// A scope that makes sense here.
fn checked(rooms: &Rooms, scope: HoldScope) -> Result<HoldScope, Refusal> {
    match scope {
        HoldScope::Hit(id) => match rooms.store.sighting(id).map_err(stored::refused)? {
            Some(_) => Ok(HoldScope::Hit(id)),
            None => Err(Refusal::new(Reason::NotFound, format!("nothing of {id} is kept (any more)"))),
        },
        HoldScope::Plate(plate) => stored::checked(&plate).map(HoldScope::Plate),
        HoldScope::Span(span) if span.from > span.to => {
            let text = format!("the span ends at {} and begins at {}", span.to, span.from);
            Err(Refusal::new(Reason::Arguments, text))
        }
        HoldScope::Span(span) => {
            // A camera that was taken out may have seen things all the same: then its name alone counts.
            let known = rooms.config.cameras.iter().find(|camera| camera.id == span.camera);
            Ok(HoldScope::Span(CameraSpan { number: known.map(|camera| camera.number), ..span }))
        }
    }
}
