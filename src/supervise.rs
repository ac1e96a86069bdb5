//! The wiring: every thread, task and channel is made here.

mod lists;
mod told;

pub use lists::settings_of as list_settings;
