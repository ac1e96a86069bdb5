//! The wiring: every thread, task and channel is made here.

mod told;
