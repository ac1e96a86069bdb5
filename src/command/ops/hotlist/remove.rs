//! `hotlist.remove`: takes a list of the centre out of force and off the disk.
//!
//! It can come back with any serial then: who wants an older list in force removes the newer one first, and both are in
//! the audit log.

use minicbor::{Decode, Encode};

use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{ListId, Reason};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The list.
    #[n(0)]
    pub list: ListId,
    /// Only when this serial is in force.
    #[n(1)]
    pub serial: Option<u32>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let id = ListId::new(args.list.as_str()).map_err(|e| Refusal::new(Reason::Arguments, e.to_string()))?;
    let in_force = super::changeable(rooms, &id, command.caller())?;
    let shelf = super::shelf(rooms);
    // A list whose file is damaged is not in force and can be taken away by whoever owns what its header still says.
    let owner = match &in_force {
        Some(list) => list.settings().owner.clone(),
        None => shelf.header(&id).ok().map(|header| header.owner),
    };
    super::owned(&id, owner.as_ref(), command.caller())?;
    let serial = in_force.map(|list| list.serial());
    if let Some(want) = args.serial.filter(|want| serial.is_some_and(|have| have != *want)) {
        let text = format!("list {id}: serial {} is in force and not {want}", serial.unwrap_or(0));
        return Err(Refusal::new(Reason::OtherBase, text));
    }
    let lay = shelf.remove(&id)?;
    if !rooms.hotlists.remove(&id) && !lay {
        return Err(Refusal::new(Reason::NotFound, format!("no list {id} of the centre is on this box")));
    }
    rooms.health.forget_list(&id);
    let mut facts = vec![("list", id.to_string()), ("removed", "true".to_owned())];
    facts.extend(serial.map(|serial| ("before", serial.to_string())));
    super::note(rooms, &facts);
    tracing::info!(list = %id, "hotlist of the centre removed");
    Ok(Done { facts, ..Done::default() })
}
