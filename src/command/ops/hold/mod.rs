//! Holds: placed for a case, released by two people, listed for who answers for them.

pub mod list;
pub mod place;
pub mod release;
