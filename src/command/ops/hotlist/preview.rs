//! `hotlist.preview`: what a list would match before it is in force, or what one plate as an entry would accept.
//!
//! Counts alone ([`crate::hotlist::preview`]): of the newest 10,000 reads of the last day, in steps of five distinct
//! plates, and none at all about a single plate. Nothing changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::Content;
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{ListId, MatchPolicy, PlateText, Reason};
use crate::hotlist::{List, normalise, package, preview};

/// Most reads that are looked at.
pub const MAX_READS: usize = 10_000;
const DAY_MS: u64 = 86_400_000;

/// What is asked: a list in force, or a package that is not.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// A list in force.
    #[n(0)]
    pub list: Option<ListId>,
    /// A whole list as a package.
    #[n(1)]
    pub package: Option<Content>,
    /// As if this were its policy.
    #[n(2)]
    pub policy: Option<MatchPolicy>,
    /// Only what this plate as an entry would accept.
    #[n(3)]
    pub plate: Option<String>,
}

/// What is answered. Sums are over the entries that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The list.
    #[n(0)]
    pub list: ListId,
    /// Its entries.
    #[n(1)]
    pub entries: u32,
    /// Entries that were looked at; 1 for a plate.
    #[n(2)]
    pub looked: u32,
    /// The policy that was assumed.
    #[n(3)]
    pub policy: MatchPolicy,
    /// Texts that look alike, and those of them shaped like plates here.
    #[n(4)]
    pub alike: (u64, u64),
    /// Texts one plain edit away, and those of them shaped like plates here.
    #[n(5)]
    pub near: (u64, u64),
    /// Entries that look like another entry, and those one edit from another.
    #[n(6)]
    pub others: (u32, u32),
    /// Reads of the last day that were looked at; none for a plate.
    #[n(7)]
    pub reads: Option<Reads>,
}

/// Distinct plates among reads, in steps of five.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reads {
    /// How many there are.
    #[n(0)]
    pub plates: u32,
    /// That are entries.
    #[n(1)]
    pub exact: u32,
    /// That look like an entry.
    #[n(2)]
    pub alike: u32,
    /// That are one edit from an entry.
    #[n(3)]
    pub near: u32,
    /// That the policy would make hits and the list in force does not.
    #[n(4)]
    pub new: u32,
    /// There were more reads than were looked at: these are the newest.
    #[n(5)]
    pub cut: bool,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let list = the_list(rooms, command, &args)?;
    let id = list.settings().id.clone();
    let policy = args.policy.unwrap_or(list.settings().policy);
    let now = rooms.clock.utc();
    let (found, reads) = if let Some(plate) = &args.plate {
        let wrong = |e| Refusal::new(Reason::Arguments, format!("plate: {e}"));
        (preview::preview_plate(&list, &normalise::normalise(plate).map_err(wrong)?), None)
    } else {
        let (plates, cut) = plates(rooms)?;
        let in_force = rooms.hotlists.get(&id);
        let found = preview::preview(&list, policy, in_force.as_deref(), &plates, now);
        let m = found.matching;
        let reads = Reads { plates: found.plates, exact: m.exact, alike: m.alike, near: m.near, new: m.new, cut };
        (found, Some(reads))
    };
    let m = found.misreads;
    let answer = Answer {
        list: id.clone(),
        entries: u32::try_from(list.len()).unwrap_or(u32::MAX),
        looked: found.looked,
        policy,
        alike: (m.alike, m.alike_plausible),
        near: (m.near, m.near_plausible),
        others: (found.others_alike, found.others_near),
        reads,
    };
    let what = if args.plate.is_some() { "a plate" } else { "a list" };
    let facts = vec![("list", id.to_string()), ("previewed", what.to_owned())];
    Ok(Done { result: ops::encode(&answer), facts, ..Done::default() })
}

fn the_list(rooms: &Rooms, command: &Authorised, args: &Args) -> Result<Arc<List>, Refusal> {
    match (&args.list, &args.package) {
        (Some(id), None) => {
            let list = rooms.hotlists.get(id);
            let list = list.ok_or_else(|| Refusal::new(Reason::NotFound, format!("no list {id} is in force here")))?;
            super::owned(id, list.settings().owner.as_ref(), command.caller())?;
            Ok(list)
        }
        (None, Some(content)) => {
            let bytes = content.bytes(rooms)?;
            let (package, _) = super::opened(rooms, command.caller(), &bytes)?;
            if package.header.base.is_some() {
                return Err(Refusal::new(Reason::Arguments, "this is a delta: preview the whole list that it makes"));
            }
            Ok(Arc::new(package::load(&package.header, package.body)?))
        }
        _ => Err(Refusal::new(Reason::Arguments, "name a list in force or give a package: one of both")),
    }
}

/// The distinct plates of the last day without ignored ones, and whether there were more reads than are looked at.
fn plates(rooms: &Rooms) -> Result<(BTreeSet<PlateText>, bool), Refusal> {
    let internal = |e: crate::store::Error| Refusal::new(Reason::Internal, e.to_string());
    let newest = rooms.store.recent_sightings(MAX_READS).map_err(internal)?;
    let since = rooms.clock.utc().0.saturating_sub(DAY_MS);
    let all_recent = newest.last().is_some_and(|s| s.end.0 >= since);
    let cut = newest.len() >= MAX_READS && all_recent;
    let recent = newest.into_iter().filter(|s| s.end.0 >= since);
    Ok((
        recent.filter_map(|s| s.read).map(|read| read.text).filter(|plate| !rooms.hotlists.ignores(plate)).collect(),
        cut,
    ))
}
