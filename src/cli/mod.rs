//! One file a verb of `watchpost`; those of `watchpostctl` are in [`ctl`].

pub mod check;
pub mod ctl;
pub mod decode;
pub mod draw;
pub mod init;
pub mod read;
mod strokes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Edge video analytics for the box at a camera site.
#[derive(Debug, Parser)]
#[command(name = "watchpost", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What the box does.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Read the plates of pictures and videos
    Read(read::Args),
}

/// Runs one verb: 0 done, 1 it failed or found something wrong (wrong usage, 2, ends in the parser).
#[must_use]
pub fn run(args: Args) -> ExitCode {
    crate::log::init("warn");
    let done = match args.verb {
        Verb::Read(args) => read::run(&args),
    };
    done.unwrap_or_else(|error| {
        use std::io::Write;
        // Nothing is left to be told when stderr is closed.
        let _ = writeln!(std::io::stderr(), "watchpost: {}", chain(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes in one line; a cause that an outer message tells already is not told again.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.contains(&cause) {
        true => text,
        false if text.is_empty() => cause,
        false => text + ": " + &cause,
    })
}
