//! Tests of the whole path of a command, over real store, journal, keyring and audit log.

mod budget;
mod gate;
mod mutations;
mod replays;
