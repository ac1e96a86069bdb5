//! `hits.query`: hits by plate, time, camera, class, severity, list, rule, state, verdict and owner, newest first.
//!
//! An investigator sees the hits of rules, of lists without an owner, of lists of the own organisation, and of those that
//! share with it; the share rule is the one that the list had when it matched. Others are as if they were not there. Rows
//! of another organisation's list are audited under its name as well.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::{Asked, Asking, Page, ReadRow, internal, named};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::hit::HitCauseKey;
use crate::domain::{
    EventId, HitState, ListId, MatchMark, PlateText, RuleId, Severity, Sighting, Stage, TimeMs, Verdict,
};
use crate::store::{AttachedKind, StoredHit, Visit};

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// What is looked for.
    #[n(0)]
    pub asked: Asked,
    /// Most rows of this page, 1 to 500; 500 where it is left out.
    #[n(1)]
    pub limit: Option<u16>,
    /// From the page before.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub cursor: Option<Vec<u8>>,
    /// Of one of these severities.
    #[n(3)]
    pub severities: Option<Vec<Severity>>,
    /// By one of these lists.
    #[n(4)]
    pub lists: Option<Vec<ListId>>,
    /// By one of these rules.
    #[n(5)]
    pub rules: Option<Vec<RuleId>>,
    /// In one of these states.
    #[n(6)]
    pub states: Option<Vec<HitState>>,
    /// With one of these verdicts.
    #[n(7)]
    pub verdicts: Option<Vec<Verdict>>,
    /// Of lists of one of these organisations.
    #[n(8)]
    pub owners: Option<Vec<String>>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The hits, newest first.
    #[n(0)]
    pub rows: Vec<HitRow>,
    /// What else there is to say.
    #[n(1)]
    pub page: Page,
}

/// One hit, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HitRow {
    /// Its sighting; the plate is that of the hit's newest alert.
    #[n(0)]
    pub read: ReadRow,
    /// Severity.
    #[n(1)]
    pub severity: Severity,
    /// `[0, list number, entry]` or `[1, rule number, 0]`: with the sighting's id it names the hit.
    #[n(2)]
    pub cause: [u32; 3],
    /// The list.
    #[n(3)]
    pub list: Option<ListId>,
    /// The match; not there when the read was corrected and matches no more.
    #[n(4)]
    pub matched: Option<MatchMark>,
    /// Probability that the plate is the entry's, ‰.
    #[n(5)]
    pub match_permille: Option<u16>,
    /// The rule.
    #[n(6)]
    pub rule: Option<RuleId>,
    /// The list was past its freshness.
    #[n(7)]
    pub stale: Option<bool>,
    /// The list's owner.
    #[n(8)]
    pub owner: Option<String>,
    /// How far it has come.
    #[n(9)]
    pub state: HitState,
    /// What an operator found it to be.
    #[n(10)]
    pub verdict: Option<Verdict>,
    /// The plate that was there, of a misread.
    #[n(11)]
    pub true_plate: Option<PlateText>,
    /// When it was judged.
    #[n(12)]
    pub judged_at: Option<TimeMs>,
    /// Stage of its newest alert.
    #[n(13)]
    pub stage: Stage,
    /// When it was stored first.
    #[n(14)]
    pub stored_at: TimeMs,
    /// Whether its sighting has a clip; false where none could be made, left out where none was (yet).
    #[n(15)]
    pub clip: Option<bool>,
}

/// What of the question an index does not know.
struct Filter {
    lists: Vec<ListId>,
    rules: Vec<RuleId>,
    states: Vec<HitState>,
    verdicts: Vec<Verdict>,
    owners: Vec<String>,
}

fn fits<T: PartialEq>(wanted: &[T], found: Option<&T>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
}

impl Filter {
    fn of(args: &Args) -> Result<Self, Refusal> {
        Ok(Self {
            lists: named("lists", args.lists.as_ref())?,
            rules: named("rules", args.rules.as_ref())?,
            states: named("states", args.states.as_ref())?,
            verdicts: named("verdicts", args.verdicts.as_ref())?,
            owners: named("owners", args.owners.as_ref())?,
        })
    }

    fn fits(&self, hit: &StoredHit) -> bool {
        // A list or a rule: whoever names both wants either.
        let by = match (self.lists.is_empty(), self.rules.is_empty()) {
            (true, _) => fits(&self.rules, hit.rule.as_ref()),
            (_, true) => fits(&self.lists, hit.list.as_ref()),
            _ => fits(&self.rules, hit.rule.as_ref()) || fits(&self.lists, hit.list.as_ref()),
        };
        by && fits(&self.states, Some(&hit.state))
            && fits(&self.verdicts, hit.handling.verdict.as_ref().map(|judged| &judged.verdict))
            && fits(&self.owners, hit.owner.as_ref().map(|owner| &owner.org))
    }
}

impl HitRow {
    pub(super) fn of(hit: &StoredHit, sighting: &Sighting) -> Self {
        let judged = hit.handling.verdict.as_ref();
        let read = ReadRow {
            plate: hit.alert.plate.clone(),
            permille: hit.alert.confidence,
            candidates: hit.alert.candidates.clone(),
            ..ReadRow::of(sighting)
        };
        Self {
            read,
            severity: hit.alert.severity,
            cause: match hit.cause {
                HitCauseKey::List(list, entry) => [0, u32::from(list), entry],
                HitCauseKey::Rule(number) => [1, u32::from(number), 0],
            },
            list: hit.list.clone(),
            matched: hit.alert.matched.clone(),
            match_permille: hit.match_permille,
            rule: hit.rule.clone(),
            stale: hit.stale.then_some(true),
            owner: hit.owner.as_ref().map(|owner| owner.org.clone()),
            state: hit.state,
            verdict: judged.map(|judged| judged.verdict),
            true_plate: judged.and_then(|judged| judged.true_plate.clone()),
            judged_at: judged.map(|judged| judged.mark.at),
            stage: hit.alert.stage,
            stored_at: hit.first_at,
            clip: None,
        }
    }
}

/// Whether there is a clip of this sighting; `None` where none was made, `false` where none could be.
pub(super) fn has_clip(rooms: &Rooms, id: EventId) -> Result<Option<bool>, Refusal> {
    let kept = rooms.store.attached(id, AttachedKind::Clip).map_err(internal)?;
    Ok(kept.map(|kept| kept.bytes > 0))
}

/// Whether people who act for `org` see a hit.
pub(super) fn shows_to(hit: &StoredHit, org: &str) -> bool {
    hit.owner.as_ref().is_none_or(|owner| owner.shows_to(org))
}

/// The organisation that a view of this hit is across to.
pub(super) fn other_owner<'a>(hit: &'a StoredHit, org: &str) -> Option<&'a str> {
    hit.owner.as_ref().map(|owner| owner.org.as_str()).filter(|owner| *owner != org)
}

/// Answers one page.
///
/// # Errors
/// As [`reads.query`](super::reads::run).
pub fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let mut sought = args.asked.sought(rooms.clock.utc())?;
    sought.severities = named("severities", args.severities.as_ref())?;
    let filter = Filter::of(&args)?;
    let question = ops::encode(&Args { limit: None, cursor: None, ..args.clone() });
    let asking = Asking::begin(rooms, command, &question, sought.from, args.limit)?;
    let after = asking.after(args.cursor.as_ref())?;
    let org = &command.caller().person.org;
    let (mut room, mut rows, mut cameras) = (asking.room(), Vec::new(), BTreeSet::new());
    let mut owners: BTreeMap<String, u64> = BTreeMap::new();
    let next = rooms.store.search_hits(&sought, after, &mut |hit, sighting| {
        if !shows_to(hit, org) || !filter.fits(hit) {
            return Visit::On;
        }
        // A row of a clip that does not open is told where the clip is asked for.
        let clip = has_clip(rooms, sighting.id).unwrap_or(Some(false));
        let row = HitRow { clip, ..HitRow::of(hit, sighting) };
        if !room.takes(&row) {
            return Visit::Full;
        }
        if let Some(owner) = other_owner(hit, org) {
            *owners.entry(owner.to_owned()).or_default() += 1;
        }
        cameras.insert(sighting.camera.clone());
        rows.push(row);
        Visit::On
    });
    let next = next.map_err(internal)?;
    let owners: Vec<(String, u64)> = owners.into_iter().collect();
    let page = asking.end(&sought, next, rows.len() as u64, &cameras, &owners)?;
    let facts = vec![("rows", rows.len().to_string())];
    Ok(Done { result: ops::encode(&Answer { rows, page }), tells_plates: true, facts, ..Done::default() })
}

#[cfg(test)]
mod tests;
