//! `watchpostctl`, the centre's client: parses arguments, runs one verb, prints the error chain, sets the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use watchpost::cli::ctl::Ctl;

fn main() -> ExitCode {
    let _ = watchpost::log::init("warn,rumqttc=off");
    match Ctl::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "watchpostctl: {}", watchpost::causes::line(&error));
            ExitCode::FAILURE
        }
    }
}
