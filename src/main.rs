//! `watchpost`, the box: parses arguments, runs one verb, prints the error chain, sets the exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    watchpost::cli::run(watchpost::cli::Args::parse())
}
