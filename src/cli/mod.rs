//! One file a verb of `watchpost`; those of `watchpostctl` are in [`ctl`].

pub mod audit;
pub mod bench;
pub mod check;
pub mod ctl;
pub mod decode;
#[cfg(feature = "gst")]
pub mod decode_worker;
pub mod doctor;
pub mod draw;
pub mod init;
pub mod local;
pub mod paper;
pub mod plates;
pub mod probe;
pub mod query;
pub mod read;
pub mod report;
pub mod run;
pub mod strokes;
pub mod try_models;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::causes;
use crate::clock::Clock;

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
    /// Make the box's keys and a starting config; with --centre also a one-box centre
    Init(init::Args),
    /// Look at everything that `run` needs and say what to do
    Check(check::Args),
    /// What a camera or file sends, what that means, and the camera's block of the config to paste
    Probe(probe::Args),
    /// Show a wire message as JSON
    Decode(decode::Args),
    /// Why a camera yields few or no reads, by the numbers and with sample crops, and what to change
    Doctor(doctor::Args),
    /// Read the plates of pictures and videos
    Read(read::Args),
    /// Reads and hits of this box, under your key, purpose and case
    Query(Box<query::Args>),
    /// A month of this box in counts, small ones left out: as text, JSON, CSV or a page
    Report(report::Args),
    /// What a frame costs on this machine
    Bench(bench::Args),
    /// This box's audit log: shown, proven, exported
    Audit(audit::Options),
    /// The daemon: cameras to the centre
    Run(run::Args),
    /// Completions for a shell, on stdout
    Completions(paper::Completions),
    /// The man page, on stdout
    Man,
    /// Cameras decoded for a daemon, which starts it
    #[cfg(feature = "gst")]
    #[command(name = "decode-worker", hide = true)]
    DecodeWorker,
    /// Models on pictures, for a daemon that thinks of putting them in force
    #[command(name = "try-models", hide = true)]
    TryModels(try_models::Args),
}

/// Runs one verb: 0 done, 1 it failed or found something wrong (wrong usage, 2, ends in the parser).
#[must_use]
pub fn run(args: Args) -> ExitCode {
    #[cfg(feature = "gst")]
    if matches!(args.verb, Verb::DecodeWorker) {
        return decode_worker::run();
    }
    // ONNX Runtime tells of devices and versions at INFO; what matters of it comes as an error.
    let log = crate::log::init(if matches!(args.verb, Verb::Run(_)) { "info,ort=warn" } else { "warn" });
    let clock = Clock::system();
    let mut out = std::io::stdout();
    let done = match args.verb {
        Verb::Init(args) => init::run(&args, &clock, &mut out).map(ExitCode::from),
        Verb::Check(args) => check::run(&args, &mut out).map(ExitCode::from),
        Verb::Probe(args) => probe::run(&args, &clock, &mut out).map(ExitCode::from),
        Verb::Decode(args) => decode::run(&args, &clock, &mut std::io::stdin(), &mut out).map(ExitCode::from),
        Verb::Doctor(args) => doctor::run(&args, &clock, &mut out).map(ExitCode::from),
        Verb::Read(args) => read::run(&args),
        Verb::Query(args) => query::run(&args, &clock, &mut out).map(ExitCode::from),
        Verb::Report(args) => report::run(&args, &mut out).map(ExitCode::from),
        Verb::Bench(args) => bench::run(&args, &mut out).map(ExitCode::from),
        Verb::Audit(options) => audit::run(options, &mut out).map(ExitCode::from),
        Verb::Run(args) => run::run(&args, &log, &mut out).map(ExitCode::from),
        Verb::Completions(options) => paper::completions(&options, Args::command()),
        Verb::Man => paper::man(&Args::command()),
        #[cfg(feature = "gst")]
        Verb::DecodeWorker => Ok(ExitCode::FAILURE),
        Verb::TryModels(args) => try_models::run(&args, &clock, &mut out).map(ExitCode::from),
    };
    done.unwrap_or_else(|error| {
        use std::io::Write;
        // Nothing is left to be told when stderr is closed.
        let _ = writeln!(std::io::stderr(), "watchpost: {}", causes::line(&error));
        ExitCode::FAILURE
    })
}
