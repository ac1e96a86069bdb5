//! `watchpost`, the box: parses arguments, runs one verb, prints the error chain, sets the exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tell_nobody();
    watchpost::cli::run(watchpost::cli::Args::parse())
}

/// The vendor's build of ONNX Runtime tells its vendor of what it runs (from 1.29 on), unless this is set before it is loaded:
/// the switch in its API comes after the first event.
#[expect(unsafe_code, reason = "the environment of this process can't be changed otherwise")]
fn tell_nobody() {
    // SAFETY: first thing of all, while the process has one thread.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}
