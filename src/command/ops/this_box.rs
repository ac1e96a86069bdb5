//! `box.status`, `box.restart`, `box.wipe`: the box itself.
//!
//! None has arguments. The status is a health report of now, as under `health` but signed inside the reply. Restart and
//! wipe happen once the reply has left; a wipe destroys every key of the store, so that nothing of it can be read again. It
//! is noted on the disk first: a box whose power is cut before it was done does it at its next start.

use crate::command::{Afterwards, Authorised, Done, Refusal, Rooms};
use crate::config;
use crate::domain::Reason;

/// In the data folder: a wipe was asked for and is not done whole.
pub const WIPE_ASKED: &str = "wipe.asked";

/// What is there now.
pub(super) fn status(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    no_args(command)?;
    Ok(Done { result: rooms.controls.health(), ..Done::default() })
}

/// Ends the daemon in good order and starts it anew; not with a configuration that it could not start with.
pub(super) fn restart(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    no_args(command)?;
    if let Err(faults) = config::load(&rooms.config_path) {
        let text = format!("the configuration has faults, so the daemon runs on: {faults}");
        return Err(Refusal::new(Reason::Conflict, text));
    }
    Ok(Done { then: Some(Afterwards::Restart), ..Done::default() })
}

/// Destroys every key of the store and ends the daemon.
pub(super) fn wipe(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    no_args(command)?;
    let note = rooms.config.site.data_dir.join(WIPE_ASKED);
    config::managed::replace(&note, b"").map_err(|e| {
        Refusal::new(Reason::Internal, format!("cannot write {}, nothing is wiped: {e}", note.display()))
    })?;
    let counts = rooms.store.counts();
    let facts = vec![("sightings", counts.sightings.to_string()), ("hits", counts.hits.to_string())];
    Ok(Done { facts, then: Some(Afterwards::Wipe), ..Done::default() })
}

/// For operations that take none.
///
/// # Errors
/// [`Reason::Arguments`] when there are some.
pub(super) fn no_args(command: &Authorised) -> Result<(), Refusal> {
    if command.args().is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::Arguments,
        format!("{} takes no arguments, {} bytes came", command.op(), command.args().len()),
    ))
}

#[cfg(test)]
mod tests {
    use crate::centre::keyring::Role;
    use crate::command::Afterwards;
    use crate::command::testkit::Site;
    use crate::domain::{Op, Reason};

    #[test]
    fn restart_and_wipe_happen_afterwards_and_status_is_health() {
        let site = Site::new();
        let run = |op, second| {
            let caller = site.caller_named("fleet", second);
            let command = site.authorised_bytes(op, caller, Vec::new());
            crate::command::ops::execute(&site.rooms(), &command).unwrap()
        };
        assert_eq!(run(Op::BoxStatus, None).result, [0xa0]);
        assert_eq!(run(Op::BoxRestart, None).then, Some(Afterwards::Restart));
        let note = site.rooms().config.site.data_dir.join(super::WIPE_ASKED);
        assert!(!note.exists());
        let wiped = run(Op::BoxWipe, Some("custodian"));
        assert!(note.exists(), "a power cut does not save the box from it");
        assert_eq!((wiped.then, wiped.facts[0].0), (Some(Afterwards::Wipe), "sightings"));
    }

    #[test]
    fn a_restart_into_a_faulty_configuration_is_refused() {
        let site = Site::new();
        std::fs::write(&site.rooms().config_path, "[box]\nsite = \"north\"\n").unwrap();
        let command = site.authorised_bytes(Op::BoxRestart, site.caller(Role::Fleet), Vec::new());
        let refusal = crate::command::ops::execute(&site.rooms(), &command).unwrap_err();
        assert!(refusal.reason == Reason::Conflict && refusal.text.contains("runs on"), "{refusal}");
    }

    #[test]
    fn arguments_where_none_are_taken_are_refused() {
        let site = Site::new();
        let refusal = site.run(Op::BoxRestart, Role::Fleet, &7_u8).unwrap_err();
        assert_eq!(refusal.reason, Reason::Arguments);
    }
}
