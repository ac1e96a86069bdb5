//! Behaviour of the store as a whole.

mod attached;
mod damage;
mod delivery;
mod faults;
mod holds;
mod keeping;
mod purged;
mod search;
