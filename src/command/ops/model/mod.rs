//! `model.list`, `model.put`, `model.activate`, `model.rollback`: models from the centre.
//!
//! What lies where and what a package is: [`crate::command::models`]. What the four share is here: whose signature a
//! package needs, and how models are tried on their canary pictures.

pub mod activate;
pub mod list;
pub mod put;
pub mod rollback;

use std::path::Path;
use std::sync::Arc;

use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::Keys;
use crate::command::models::{self, Canary, Chosen, Force, Plan, Score, Set, Shelf, Task};
use crate::command::{Refusal, Rooms};
use crate::config::Vision;
use crate::domain::Reason;

/// The shelf of this box.
fn shelf(rooms: &Rooms) -> Shelf {
    Shelf::of(&rooms.config.site.data_dir)
}

/// What is in force by the centre's word.
fn force(shelf: &Shelf) -> Result<Force, Refusal> {
    Ok(models::force::read(shelf.folder())?)
}

/// The keyring in force, and its fleet keys that are valid now: those that may sign packages.
fn signers(rooms: &Rooms) -> (Arc<Keyring>, Keys) {
    let keyring = rooms.keyring.current();
    let keys = keyring.keys_of(Role::Fleet, rooms.clock.utc());
    (keyring, keys)
}

/// Refuses where the local admin has the centre's word switched off.
fn is_managed(rooms: &Rooms) -> Result<(), Refusal> {
    if rooms.config.site.managed {
        return Ok(());
    }
    Err(Refusal::new(Reason::Conflict, "[box] managed = false on this box: only its own admin changes its models"))
}

/// Refuses a task that the configuration has off: the centre's models replace models and switch nothing on.
fn is_on(vision: &Vision, task: Task) -> Result<(), Refusal> {
    let on = match task {
        Task::Detector | Task::Reader => true,
        Task::Corners => !vision.corners.is_empty(),
        Task::Vehicles => vision.vehicles.is_some(),
    };
    if on {
        return Ok(());
    }
    let text = format!("[vision] {task} is off on this box: name a model for it there first, by config.set");
    Err(Refusal::new(Reason::Conflict, text))
}

/// Runs `set`, with the pictures of one package out of it, and says how they went.
fn try_out(rooms: &Rooms, set: &[Chosen], folder: &Path, canaries: &[Canary], least: u16) -> Result<Score, Refusal> {
    let picture = |canary: &Canary| models::Picture { path: folder.join(canary.path()), crop: canary.crop };
    let plan = Plan { models: set.to_vec(), pictures: canaries.iter().map(picture).collect() };
    let seen = rooms.controls.try_models(&plan)?;
    let score = Score::of(canaries, &seen, least);
    match score.fault() {
        None => Ok(score),
        Some(fault) => Err(Refusal::new(Reason::Verification, fault).with(super::encode(&score))),
    }
}

/// The models of a set, each file of them held against what was signed.
fn chosen(shelf: &Shelf, set: &Set) -> Result<Vec<Chosen>, Refusal> {
    set.iter().map(|one| Ok(shelf.chosen(one)?)).collect()
}
