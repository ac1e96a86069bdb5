//! `hotlist.list`: the lists in force and those that should be: where they come from, how they match, how old they are.
//!
//! It names no entries. Everybody who may ask sees that a list of another organisation is there: its name, number and
//! size, not how it matches.

use minicbor::{Decode, Encode};

use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity, TimeMs};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Only this one.
    #[n(0)]
    pub list: Option<ListId>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// By name.
    #[n(0)]
    pub lists: Vec<Row>,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Row {
    /// Its name.
    #[n(0)]
    pub list: ListId,
    /// Its number in alerts; 0 when it is not known.
    #[n(1)]
    pub number: u16,
    /// It came from the centre, else from a file that the configuration names.
    #[n(2)]
    pub packaged: bool,
    /// Serial in force; 0 when none is.
    #[n(3)]
    pub serial: u32,
    /// Entries in force.
    #[n(4)]
    pub entries: u32,
    /// When the one in force was made.
    #[n(5)]
    pub issued: Option<TimeMs>,
    /// SHA-256 of its file or entries; of the caller's own lists and those of nobody.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub digest: Option<[u8; 32]>,
    /// Whose it is, and who else sees its hits.
    #[n(7)]
    pub owner: Option<Ownership>,
    /// It is past its freshness.
    #[n(8)]
    pub stale: bool,
    /// Bytes of memory that it takes.
    #[n(9)]
    pub memory: u64,
    /// How it matches; of the caller's own lists and those of nobody.
    #[n(10)]
    pub settings: Option<Settings>,
    /// Times that a newer one was refused since the start.
    #[n(11)]
    pub refused: u64,
    /// Why the newest was refused, or can't be in force.
    #[n(12)]
    pub fault: Option<String>,
}

/// How a list matches.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Settings {
    /// Severity of its hits.
    #[n(0)]
    pub severity: Severity,
    /// Severity by category.
    #[n(1)]
    pub categories: Vec<(String, Severity)>,
    /// How plates match.
    #[n(2)]
    pub policy: MatchPolicy,
    /// What an entry's state demands.
    #[n(3)]
    pub region: RegionPolicy,
    /// Age from which it is stale, in seconds.
    #[n(4)]
    pub fresh_s: Option<u64>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let matcher = rooms.hotlists.matcher();
    let mut ids: Vec<ListId> = matcher.lists().iter().map(|list| list.settings().id.clone()).collect();
    ids.extend(rooms.config.hotlists.iter().map(|file| file.id.clone()));
    ids.extend(super::shelf(rooms).lists()?);
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| args.list.as_ref().is_none_or(|wanted| wanted == id));
    let org = &command.caller().person.org;
    let lists = ids.into_iter().map(|id| row(rooms, &matcher, id, org)).collect();
    Ok(Done { result: ops::encode(&Answer { lists }), ..Done::default() })
}

fn row(rooms: &Rooms, matcher: &crate::hotlist::Matcher, id: ListId, org: &str) -> Row {
    let configured = rooms.config.hotlists.iter().find(|file| file.id == id);
    let in_force = matcher.lists().iter().find(|list| list.settings().id == id);
    let counters = rooms.health.list(&id);
    let owner = match (in_force, configured) {
        (Some(list), _) => list.settings().owner.clone(),
        (None, configured) => configured.and_then(|file| file.owner.clone()),
    };
    let own = owner.as_ref().is_none_or(|owner| owner.org == org);
    let settings = in_force.filter(|_| own).map(|list| {
        let s = list.settings();
        let (categories, fresh_s) = (s.category_severity.clone(), s.freshness.map(|f| f.as_secs()));
        Settings { severity: s.severity, categories, policy: s.policy, region: s.region, fresh_s }
    });
    let number = in_force.map(|list| list.settings().number).or(configured.map(|file| file.number));
    Row {
        number: number.unwrap_or(0),
        packaged: configured.is_none(),
        serial: in_force.map_or(0, |list| list.serial()),
        entries: in_force.map_or(0, |list| u32::try_from(list.len()).unwrap_or(u32::MAX)),
        issued: in_force.map(|list| list.issued()),
        // Of a short list a digest tells the plates to whoever tries them out.
        digest: in_force.filter(|_| own).map(|list| *list.digest()),
        owner,
        stale: in_force.is_some_and(|list| list.is_stale(rooms.clock.utc())),
        memory: in_force.map_or(0, |list| u64::try_from(list.bytes()).unwrap_or(u64::MAX)),
        settings,
        refused: counters.refused.get(),
        fault: counters.fault(),
        list: id,
    }
}
