//! The audit log, for auditors: proofs about it and records of it.

pub mod export;
pub mod proof;

use crate::command::Refusal;
use crate::domain::Reason;
use crate::store::Error;

/// Why it could not be given.
fn refused(error: &Error) -> Refusal {
    let reason = match error {
        Error::AuditSize { .. } => Reason::NotFound,
        _ => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}
