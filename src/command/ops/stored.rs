//! What operations on the store share: refusals for its errors, plates as arguments, how long they wait.

use std::time::Duration;

use crate::command::{Caller, Refusal, Rooms};
use crate::domain::verdict::HandlingError;
use crate::domain::{Mark, PlateText, Reason};
use crate::store::Error;

/// How long the recorder is waited for. A release of a hold of a whole day takes the longest.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// What a client is told of a fault of the store. None of its messages names a plate.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn refused(error: Error) -> Refusal {
    let reason = match &error {
        Error::NoSuchHit { .. } | Error::NoSuchHold { .. } => Reason::NotFound,
        Error::Handling(HandlingError::Closed { .. } | HandlingError::NotJudged) | Error::HoldUnreadable { .. } => {
            Reason::Conflict
        }
        Error::WhichHit { .. } | Error::Handling(_) => Reason::Arguments,
        Error::TooManyHolds { .. } => Reason::Bound,
        _ => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}

/// A plate as it came over the wire: exactly 1 to 16 of A-Z and 0-9.
pub(super) fn checked(plate: &PlateText) -> Result<PlateText, Refusal> {
    PlateText::from_raw(plate.as_str()).filter(|same| same == plate).ok_or_else(|| {
        Refusal::new(Reason::Arguments, "a plate is not 1 to 16 of A-Z and 0-9, without spaces and hyphens")
    })
}

/// Who does it, now.
pub(super) fn mark(rooms: &Rooms, caller: &Caller) -> Mark {
    Mark { at: rooms.clock.utc(), by: caller.person.name.clone(), org: caller.person.org.clone() }
}

/// Who did it, for an audit record.
pub(super) fn persons(caller: &Caller) -> Vec<(&'static str, String)> {
    let mut out = vec![("by", caller.person.name.clone()), ("org", caller.person.org.clone())];
    out.extend(caller.second.as_ref().map(|second| ("second", second.name.clone())));
    out
}
