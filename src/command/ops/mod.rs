//! The operations, one file each: arguments, result, and what is done.
//!
//! A file has `Args` and, where there is something to say, `Answer`, both CBOR maps with integer keys as in
//! `docs/wire.cddl`, and a `run` that [`execute`] calls on the executor's thread. `watchpostctl` makes and reads the same
//! types.

pub mod audit;
pub mod camera;
pub mod config;
pub mod hit;
pub mod hold;
pub mod hotlist;
pub mod ignore_put;
pub mod key_rotate;
pub mod keyring_put;
pub mod log_tail;
pub mod model;
pub mod query;
pub mod report;
pub mod retention_set;
pub mod secret;
mod stored;
pub mod this_box;
mod told;

use minicbor::{Decode, Encode};

use super::{Authorised, Done, Refusal, Rooms};
use crate::domain::{Op, Reason};
use told::{audit, hex, new_id, sha256, short_hex};

/// Executes a command. Blocks; called by the executor alone.
///
/// # Errors
/// Why it could not be done. Nothing is changed then, unless the text says so.
#[allow(clippy::match_same_arms, reason = "a line a room")]
pub fn execute(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    match command.op() {
        // Of the box.
        Op::BoxStatus => this_box::status(rooms, command),
        Op::BoxRestart => this_box::restart(rooms, command),
        Op::BoxWipe => this_box::wipe(rooms, command),
        Op::LogTail => log_tail::run(rooms, command),

        // Secrets and keys.
        Op::SecretSet => secret::run(rooms, command),
        Op::KeyringPut => keyring_put::run(rooms, command),
        Op::KeyRotate => key_rotate::run(rooms, command),

        // Cameras and configuration.
        Op::CameraList => camera::list::run(rooms, command),
        Op::CameraSet => camera::set::run(rooms, command),
        Op::CameraRemove => camera::remove::run(rooms, command),
        Op::CameraPause => camera::pause::run(rooms, command),
        Op::CameraSnapshot => camera::snapshot::run(rooms, command),
        Op::ConfigGet => config::get::run(rooms, command),
        Op::ConfigSet => config::set::run(rooms, command),

        // Lists.
        Op::HotlistList => hotlist::list::run(rooms, command),
        Op::HotlistPut => hotlist::put::run(rooms, command),
        Op::HotlistPatch => hotlist::patch::run(rooms, command),
        Op::HotlistRemove => hotlist::remove::run(rooms, command),
        Op::HotlistPreview => hotlist::preview::run(rooms, command),

        // Reads, hits and pictures.
        Op::ReadsQuery => query::reads::run(rooms, command),
        Op::HitsQuery => query::hits::run(rooms, command),
        Op::EvidenceGet => query::evidence::run(rooms, command),

        // Verdicts, holds, retention.
        Op::IgnorePut => ignore_put::run(rooms, command),
        Op::HitSeen => hit::seen::run(rooms, command),
        Op::HitVerdict => hit::verdict::run(rooms, command),
        Op::HoldPlace => hold::place::run(rooms, command),
        Op::HoldRelease => hold::release::run(rooms, command),
        Op::HoldList => hold::list::run(rooms, command),
        Op::RetentionSet => retention_set::run(rooms, command),
        Op::ReportGet => report::run(rooms, command),

        // Models.
        Op::ModelList => model::list::run(rooms, command),
        Op::ModelPut => model::put::run(rooms, command),
        Op::ModelActivate => model::activate::run(rooms, command),
        Op::ModelRollback => model::rollback::run(rooms, command),

        // Audit.
        Op::AuditProof => audit::proof::run(rooms, command),
        Op::AuditExport => audit::export::run(rooms, command),
    }
}

/// Bytes of attachments that a command would send that changes something as well: without room for them it is not begun, lest
/// what it changed stands and who asked was told that it failed.
pub(super) fn weight(rooms: &Rooms, command: &Authorised) -> usize {
    match command.op() {
        Op::HitSeen => hit::seen::weight(rooms, command).unwrap_or(0),
        _ => 0,
    }
}

/// Takes arguments or an answer back.
///
/// # Errors
/// [`Reason::Arguments`] when they are not exactly one encoding of a `T`.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, Refusal> {
    let wrong = |what: String| Refusal::new(Reason::Arguments, what);
    let value: T = minicbor::decode(bytes).map_err(|e| wrong(format!("arguments: {e}")))?;
    if encode(&value) != bytes {
        return Err(wrong("arguments are not in deterministic encoding, or have keys that are not known".to_owned()));
    }
    Ok(value)
}

/// The CBOR of arguments or of an answer.
#[must_use]
pub fn encode(value: &impl Encode<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match minicbor::encode(value, &mut bytes) {
        Ok(()) => bytes,
        // Writing into a vector cannot fail.
        Err(_) => Vec::new(),
    }
}
