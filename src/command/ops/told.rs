//! What operations share when they tell of something: records of the audit log, digests, new ids.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::command::{Refusal, Rooms};
use crate::domain::{EventId, Reason, TimeMs};
use crate::store::audit::Event;

pub use crate::centre::keys::hex;
pub use crate::command::models::sha256;

/// Appends a record to the audit log. What can't be audited must not be done.
pub(super) fn audit(rooms: &Rooms, event: Event, details: &[(&str, String)]) -> Result<u64, Refusal> {
    let failed = |error| Refusal::new(Reason::Internal, format!("the audit log cannot be written: {error}"));
    rooms.store.audit(event, details).map_err(failed)
}

/// The first eight digits of a digest, for people.
pub(super) fn short_hex(digest: &[u8; 32]) -> String {
    hex(digest).chars().take(8).collect()
}

/// A UUIDv7 of now.
pub(super) fn new_id(at: TimeMs) -> Result<EventId, Refusal> {
    let mut random = [0; 10];
    let failed = |_| Refusal::new(Reason::Internal, "the system gave no random bytes");
    SystemRandom::new().fill(&mut random).map_err(failed)?;
    Ok(EventId::from_parts(at.0, random))
}
