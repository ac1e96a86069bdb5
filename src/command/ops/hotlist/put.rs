//! `hotlist.put`: a whole list, as a signed package.
//!
//! In this order: the package, its signature, owner and number; its serial against the one in force; its entries and
//! digest; how much it grows; sealed on the disk, then in force, all at once. What is refused changes nothing.

use super::{Answer, Args};
use crate::command::lists::{Draft, MAX_LISTS, MAX_TOTAL, Package};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{ListId, Reason};
use crate::hotlist::package::Header;
use crate::hotlist::{self, List, check_growth};

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let bytes = args.package.bytes(rooms)?;
    let (package, signer) = super::opened(rooms, command.caller(), &bytes)?;
    if package.header.base.is_some() {
        return Err(Refusal::new(Reason::Arguments, "this is a delta and no whole list: send it with hotlist.patch"));
    }
    let in_force = super::changeable(rooms, &package.header.list, command.caller())?;
    if let Some(list) = in_force.as_deref().filter(|list| is_the_same(list, &package)) {
        args.package.forget(rooms);
        return Ok(answered(&package.header.list, list, Some(list.serial()), true, Vec::new()));
    }
    check_serial(rooms, &package, in_force.as_deref())?;
    room_for(rooms, &package.header)?;
    let draft = super::shelf(rooms).draft(&package)?;
    let forced = grows(in_force.as_deref(), &draft, args.force)?;
    let before = in_force.map(|list| list.serial());
    let mut facts = facts(&package, &signer, draft.list.len(), before);
    facts.extend(forced.then(|| ("forced", "true".to_owned())));
    let (id, list) = (package.header.list.clone(), draft.keep()?);
    let answer = into_force(rooms, &id, list, before, facts)?;
    args.package.forget(rooms);
    Ok(answer)
}

fn is_the_same(list: &List, package: &Package<'_>) -> bool {
    list.is_packaged() && list.serial() == package.header.serial && *list.digest() == package.header.digest
}

/// Refuses a serial that is not above the one in force, and a number that another list has.
pub(super) fn check_serial(rooms: &Rooms, package: &Package<'_>, in_force: Option<&List>) -> Result<(), Refusal> {
    let header = &package.header;
    if let Some(list) = in_force.filter(|list| list.serial() >= header.serial) {
        let text = format!(
            "list {}: serial {} is not above {}, which is in force: pack it with a greater one",
            header.list,
            header.serial,
            list.serial()
        );
        return Err(Refusal::new(Reason::OlderSerial, text));
    }
    let named = rooms.config.hotlists.iter().find(|file| file.number == header.number);
    if let Some(file) = named {
        let by = file.id.clone();
        return Err(hotlist::Error::NumberTaken { list: header.list.clone(), number: header.number, by }.into());
    }
    Ok(rooms.hotlists.would_take(&header.settings(), header.serial)?)
}

/// Whether it grows or shrinks beyond the bound and that was said to be meant.
pub(super) fn grows(in_force: Option<&List>, draft: &Draft, force: Option<bool>) -> Result<bool, Refusal> {
    let Some(list) = in_force else { return Ok(false) };
    match check_growth(&draft.list.settings().id, list.len(), draft.list.len()) {
        Ok(()) => Ok(false),
        Err(_) if force == Some(true) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Refuses more lists and more entries than fit.
pub(super) fn room_for(rooms: &Rooms, header: &Header) -> Result<(), Refusal> {
    let id = &header.list;
    let lists = super::shelf(rooms).lists()?;
    if lists.len() >= MAX_LISTS && !lists.contains(id) {
        let text = format!("{MAX_LISTS} lists of the centre are here: remove one that is not needed");
        return Err(Refusal::new(Reason::Bound, text));
    }
    let matcher = rooms.hotlists.matcher();
    let others = matcher.lists().iter().filter(|list| list.settings().id != *id).map(|list| list.len()).sum::<usize>();
    let all = others.saturating_add(usize::try_from(header.entries).unwrap_or(usize::MAX));
    if all > MAX_TOTAL {
        let text = format!("{all} entries with those of the other lists, at most {MAX_TOTAL} are taken");
        return Err(Refusal::new(Reason::Bound, text));
    }
    Ok(())
}

/// What the audit log says of a package that comes into force.
pub(super) fn facts(
    package: &Package<'_>,
    signer: &str,
    entries: usize,
    before: Option<u32>,
) -> Vec<(&'static str, String)> {
    let header = &package.header;
    let mut facts = vec![
        ("list", header.list.to_string()),
        ("serial", header.serial.to_string()),
        ("entries", entries.to_string()),
        ("digest", super::hex(&header.digest)),
        ("owner", header.owner.org.clone()),
        ("share", header.owner.share.to_string()),
        ("signer", signer.to_owned()),
    ];
    facts.extend(before.map(|serial| ("before", serial.to_string())));
    facts
}

/// Puts a list in force that lies sealed at its place.
pub(super) fn into_force(
    rooms: &Rooms,
    id: &ListId,
    list: List,
    before: Option<u32>,
    facts: Vec<(&'static str, String)>,
) -> Result<Done, Refusal> {
    let (entries, serial) = (list.len(), list.serial());
    rooms.hotlists.put(list)?;
    rooms.health.list(id).set_fault(None);
    super::note(rooms, &facts);
    tracing::info!(list = %id, entries, serial, "hotlist of the centre in force");
    let in_force = rooms.hotlists.get(id);
    let in_force =
        in_force.ok_or_else(|| Refusal::new(Reason::Internal, format!("list {id} did not stay in force")))?;
    Ok(answered(id, &in_force, before, false, facts))
}

fn answered(
    id: &ListId,
    list: &List,
    before: Option<u32>,
    unchanged: bool,
    facts: Vec<(&'static str, String)>,
) -> Done {
    let entries = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let answer = Answer { list: id.clone(), serial: list.serial(), entries, before, unchanged, change: None };
    Done { result: ops::encode(&answer), facts, ..Done::default() }
}
