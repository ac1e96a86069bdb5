//! Behaviour of the store as a whole.

mod damage;
mod delivery;
mod faults;
mod keeping;
mod search;
