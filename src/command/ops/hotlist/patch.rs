//! `hotlist.patch`: what changed in a list since a serial, as a signed delta.
//!
//! The delta names serial and digest of the list that it builds on; what it makes of the sealed list must have the digest
//! that was signed. Else it is refused, and the list in force stays as it is.

use super::put::{check_serial, facts, grows, into_force, room_for};
use super::{Answer, Args};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::Reason;
use crate::hotlist;

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let bytes = args.package.bytes(rooms)?;
    let (package, signer) = super::opened(rooms, command.caller(), &bytes)?;
    let header = &package.header;
    let Some(base) = header.base else {
        return Err(Refusal::new(Reason::Arguments, "this is a whole list and no delta: send it with hotlist.put"));
    };
    let in_force = super::changeable(rooms, &header.list, command.caller())?;
    let Some(list) = in_force else {
        let text =
            format!("list {} is not on this box: a delta needs what it builds on, put the whole list", header.list);
        return Err(Refusal::new(Reason::NotFound, text));
    };
    let entries = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    if list.serial() == header.serial && *list.digest() == header.digest {
        args.package.forget(rooms);
        let (serial, before) = (list.serial(), Some(list.serial()));
        let answer = Answer {
            list: header.list.clone(),
            serial,
            entries: entries(list.len()),
            before,
            unchanged: true,
            change: None,
        };
        return Ok(Done { result: ops::encode(&answer), ..Done::default() });
    }
    check_serial(rooms, &package, Some(&list))?;
    if (base.serial, base.digest) != (list.serial(), *list.digest()) {
        let (have, want) = (list.serial(), base.serial);
        return Err(hotlist::Error::OtherBase { list: header.list.clone(), have, want }.into());
    }
    room_for(rooms, header)?;
    let (draft, change) = super::shelf(rooms).draft_patched(&package)?;
    let forced = grows(Some(&list), &draft, args.force)?;
    let before = Some(list.serial());
    // The old entries go as soon as nobody matches against them any more.
    drop(list);
    let mut facts = facts(&package, &signer, draft.list.len(), before);
    let counts = [("added", change.added), ("removed", change.removed), ("changed", change.changed)];
    facts.extend(counts.map(|(what, n)| (what, n.to_string())));
    facts.extend(forced.then(|| ("forced", "true".to_owned())));
    let count = entries(draft.list.len());
    let done = into_force(rooms, &header.list, draft.keep()?, before, facts)?;
    args.package.forget(rooms);
    let change = Some((change.added, change.removed, change.changed));
    let answer =
        Answer { list: header.list.clone(), serial: header.serial, entries: count, before, unchanged: false, change };
    Ok(Done { result: ops::encode(&answer), ..done })
}
