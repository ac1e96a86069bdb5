//! `reads.query`: reads by plate, time, camera and class, newest first.
//!
//! Every read is told, also one that is a hit; that it is one is not told here: hits have owners.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::{Asked, Asking, Page, ReadRow, internal};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::store::Visit;

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
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The reads, newest first.
    #[n(0)]
    pub rows: Vec<ReadRow>,
    /// What else there is to say.
    #[n(1)]
    pub page: Page,
}

/// Answers one page.
///
/// # Errors
/// [`Arguments`](crate::domain::Reason::Arguments), [`Supervisor`](crate::domain::Reason::Supervisor),
/// [`Internal`](crate::domain::Reason::Internal).
pub fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let sought = args.asked.sought(rooms.clock.utc())?;
    let question = ops::encode(&Args { limit: None, cursor: None, ..args.clone() });
    let asking = Asking::begin(rooms, command, &question, sought.from, args.limit)?;
    let after = asking.after(args.cursor.as_ref())?;
    let (mut room, mut rows, mut cameras) = (asking.room(), Vec::new(), BTreeSet::new());
    let next = rooms.store.search_reads(&sought, after, &mut |sighting| {
        let row = ReadRow::of(sighting);
        if !room.takes(&row) {
            return Visit::Full;
        }
        cameras.insert(sighting.camera.clone());
        rows.push(row);
        Visit::On
    });
    let next = next.map_err(internal)?;
    let page = asking.end(&sought, next, rows.len() as u64, &cameras, &[])?;
    let facts = vec![("rows", rows.len().to_string())];
    Ok(Done { result: ops::encode(&Answer { rows, page }), tells_plates: true, facts, ..Done::default() })
}

#[cfg(test)]
mod tests;
