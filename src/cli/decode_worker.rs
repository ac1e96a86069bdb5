//! `watchpost decode-worker`, hidden: decodes cameras for the daemon that started it.

use std::io::Write as _;
use std::process::ExitCode;

use crate::camera::worker::serve;
use crate::log;

/// Runs the worker until the daemon hangs up.
#[must_use]
pub fn run() -> ExitCode {
    log::init_plain("info");
    match serve::run() {
        Ok(never) => match never {},
        Err(why) => {
            // Nothing is left to be told when stderr is closed.
            let _ = writeln!(std::io::stderr(), "watchpost decode-worker: {why}");
            ExitCode::FAILURE
        }
    }
}
