//! `model.rollback`: puts the models in force again that were before, while the cameras run.
//!
//! What was before was in force for good, so it is not on probation. The set that leaves is not gone back to; its packages
//! stay on the shelf and can be activated again.

use minicbor::{Decode, Encode};

use crate::command::models::force::InForce;
use crate::command::{Afterwards, Authorised, Done, Refusal, Rooms, ops};
use crate::domain::Reason;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The centre's models that are in force from now on; what is not named is as `[vision]` says.
    #[n(0)]
    pub set: Vec<InForce>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args {} = ops::decode(command.args())?;
    super::is_managed(rooms)?;
    let shelf = super::shelf(rooms);
    let from = super::force(&shelf)?.now;
    let by = &command.caller().person.name;
    let set = super::activate::change(rooms, &shelf, "rolled-back", by, |force| {
        if let Some(before) = force.before.last() {
            // What would not load is not gone back to.
            super::chosen(&shelf, before)?;
        }
        let none = || Refusal::new(Reason::NotFound, "no other models were in force before; see model.list");
        force.back().ok_or_else(none)?;
        Ok(force.now.clone())
    })?;
    let facts = vec![("from", from.describe()), ("to", set.describe())];
    let answer = Answer { set: set.iter().cloned().collect() };
    Ok(Done { result: ops::encode(&answer), facts, then: Some(Afterwards::Models), ..Done::default() })
}
