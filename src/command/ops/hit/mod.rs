//! What operators do about hits: which one is meant, and what is said of it afterwards.

pub mod seen;
pub mod verdict;

use minicbor::{Decode, Encode};

use super::stored;
use crate::command::{Authorised, Refusal, Rooms};
use crate::domain::hit::HitCauseKey;
use crate::domain::{EventId, HitState, Reason, TimeMs, Verdict};
use crate::store::StoredHit;

/// Which hits of a sighting: as the alert says it, by list and entry or by rule; neither: all, or the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Which {
    /// Id of the alert.
    #[n(0)]
    pub id: EventId,
    /// Number of the list.
    #[n(1)]
    pub list: Option<u16>,
    /// Number of the entry.
    #[n(2)]
    pub entry: Option<u32>,
    /// Number of the rule.
    #[n(3)]
    pub rule: Option<u16>,
}

impl Which {
    /// All hits of a sighting.
    #[must_use]
    pub fn all(id: EventId) -> Self {
        Self { id, list: None, entry: None, rule: None }
    }

    fn cause(&self) -> Result<Option<HitCauseKey>, Refusal> {
        match (self.list, self.entry, self.rule) {
            (None, None, None) => Ok(None),
            (Some(list), Some(entry), None) => Ok(Some(HitCauseKey::List(list, entry))),
            (None, None, Some(rule)) => Ok(Some(HitCauseKey::Rule(rule))),
            _ => {
                Err(Refusal::new(Reason::Arguments, "a hit is named by list and entry, or by rule, or by its id alone"))
            }
        }
    }
}

/// How a hit stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Standing {
    /// Number of the list.
    #[n(0)]
    pub list: Option<u16>,
    /// Number of the entry.
    #[n(1)]
    pub entry: Option<u32>,
    /// Number of the rule.
    #[n(2)]
    pub rule: Option<u16>,
    /// How far it has come.
    #[n(3)]
    pub state: HitState,
    /// What it was found to be.
    #[n(4)]
    pub verdict: Option<Verdict>,
    /// Who saw it first.
    #[n(5)]
    pub seen_by: Option<String>,
    /// When.
    #[n(6)]
    pub seen_at: Option<TimeMs>,
}

impl Standing {
    pub(super) fn of(hit: &StoredHit) -> Self {
        let (list, entry, rule) = match hit.cause {
            HitCauseKey::List(list, entry) => (Some(list), Some(entry), None),
            HitCauseKey::Rule(rule) => (None, None, Some(rule)),
        };
        let seen = hit.handling.seen.as_ref();
        Self {
            list,
            entry,
            rule,
            state: hit.state,
            verdict: hit.handling.verdict.as_ref().map(|judgement| judgement.verdict),
            seen_by: seen.map(|mark| mark.by.clone()),
            seen_at: seen.map(|mark| mark.at),
        }
    }
}

/// Refuses hits of an organisation that does not share them with the caller's.
fn check_shared(rooms: &Rooms, command: &Authorised, which: &Which) -> Result<(), Refusal> {
    let cause = which.cause()?;
    let org = &command.caller().person.org;
    let hits = rooms.store.hits_of(which.id).map_err(stored::refused)?;
    let meant = hits.iter().filter(|hit| cause.is_none_or(|cause| cause == hit.cause));
    match meant.filter_map(|hit| hit.owner.as_ref()).find(|owner| !owner.shows_to(org)) {
        None => Ok(()),
        Some(owner) => {
            let text = format!("the hit is of a list of {:?}, which does not share it with {org:?}", owner.org);
            Err(Refusal::new(Reason::Organisation, text))
        }
    }
}
