//! `model.activate`: puts models of the shelf in force, on probation, while the cameras run.
//!
//! Models that need each other are activated in one command. The set that results is tried on the canary pictures of
//! each model that is activated before anything is changed; the daemon then loads it beside what runs, and each camera takes it between two frames; it falls back by itself
//! when it does not do ([`crate::command::models::force`]).

use minicbor::{Decode, Encode};

use crate::command::models::force::{self, InForce, STARTS, STEADY};
use crate::command::models::{Score, Set, Shelf, Shelved, Task};
use crate::command::{Afterwards, Authorised, Done, Refusal, Rooms, ops};
use crate::domain::Reason;
use crate::store::audit::Event;

/// What is asked: at least one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Name and version of each model that is to be in force; a task once.
    #[n(0)]
    pub models: Vec<(String, String)>,
    /// Tasks that are to be as `[vision]` says again.
    #[n(1)]
    pub configured: Vec<Task>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The centre's models that are in force from now on; what is not named is as `[vision]` says.
    #[n(0)]
    pub set: Vec<InForce>,
    /// How the pictures of each model that was activated went, by its name and version.
    #[n(1)]
    pub scores: Vec<(String, Score)>,
    /// Starts without a good end after which it falls back.
    #[n(2)]
    pub starts: u8,
    /// Seconds that it has to run to be for good; 0 when nothing changed.
    #[n(3)]
    pub steady_s: u64,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    super::is_managed(rooms)?;
    let shelf = super::shelf(rooms);
    let chosen = choose(rooms, &shelf, &args)?;
    let now = super::force(&shelf)?.now;
    let mut set = now.clone();
    for task in &args.configured {
        set.take(*task);
    }
    for shelved in &chosen {
        set.put(shelved.in_force());
    }
    let mut answer = Answer { set: set.iter().cloned().collect(), scores: Vec::new(), starts: STARTS, steady_s: 0 };
    if set == now {
        return Ok(Done { result: ops::encode(&answer), facts: facts(&now, &set), ..Done::default() });
    }
    let models = super::chosen(&shelf, &set)?;
    for shelved in &chosen {
        let (folder, table) = (&shelved.folder, &shelved.table);
        let score = super::try_out(rooms, &models, folder, &table.canaries, table.least)
            .map_err(|refusal| Refusal { text: format!("{}: {}", table.full_name(), refusal.text), ..refusal })?;
        answer.scores.push((table.full_name(), score));
    }
    answer.steady_s = STEADY.as_secs();
    let by = &command.caller().person.name;
    change(rooms, &shelf, "activated", by, |force| {
        force.activate(set.clone(), rooms.clock.utc(), by);
        Ok(set.clone())
    })?;
    Ok(Done {
        result: ops::encode(&answer),
        facts: facts(&now, &set),
        then: Some(Afterwards::Models),
        ..Done::default()
    })
}

/// The models that are to be in force: on the shelf, one a task, for tasks that are on.
fn choose(rooms: &Rooms, shelf: &Shelf, args: &Args) -> Result<Vec<Shelved>, Refusal> {
    let wrong = |text: String| Err(Refusal::new(Reason::Arguments, text));
    if args.models.is_empty() && args.configured.is_empty() {
        return wrong("no model is named, and no task that is to be as configured".to_owned());
    }
    let mut chosen: Vec<Shelved> = Vec::new();
    for (name, version) in &args.models {
        let shelved = shelf.get(name, version)?;
        let task = shelved.table.task;
        if args.configured.contains(&task) || chosen.iter().any(|other| other.table.task == task) {
            return wrong(format!("{task} is named twice: one model does it at a time"));
        }
        super::is_on(&rooms.config.vision, task)?;
        chosen.push(shelved);
    }
    Ok(chosen)
}

/// Changes what is in force: told to the audit log first, then on the disk. `change` gives the set that will be in force.
pub(super) fn change(
    rooms: &Rooms,
    shelf: &Shelf,
    action: &str,
    by: &str,
    change: impl FnOnce(&mut force::Force) -> Result<Set, Refusal>,
) -> Result<Set, Refusal> {
    force::change(shelf.folder(), |force| {
        let from = force.now.describe();
        let set = change(force)?;
        let details = [("action", action.to_owned()), ("from", from), ("to", set.describe()), ("by", by.to_owned())];
        rooms.store.audit(Event::ModelChanged, &details).map_err(|e| Refusal::new(Reason::Internal, e.to_string()))?;
        Ok(set)
    })
}

fn facts(from: &Set, to: &Set) -> Vec<(&'static str, String)> {
    vec![("from", from.describe()), ("to", to.describe())]
}
