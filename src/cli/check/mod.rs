//! `watchpost check`: is everything there that `run` needs, and what to do where it is not. One file a check.
//!
//! Prints one finding a line, or JSON; exit 1 when one of them is a failure. It opens what it checks (cameras for their
//! first frame, the broker for a session) and changes nothing: a store is read and never opened, a session with the
//! broker takes another client id while a daemon runs.

mod broker;
mod cameras;
mod certificates;
mod clock;
mod configuration;
mod console;
mod decoding;
mod disk;
mod elements;
mod finding;
mod keyring;
mod keys;
mod lists;
mod memory;
mod models;
mod pipelines;
mod privacy;
mod store;

use std::io::Write;
use std::path::PathBuf;

pub use finding::{Finding, Level};

use crate::clock::Clock;
use crate::config::{self, Config};

/// A check: looks at what the configuration names.
type Look = fn(&Config, &Clock) -> Vec<Finding>;

/// All checks in the order they are made: first what costs nothing, then what opens something, cameras last.
const CHECKS: [(&str, Look); 17] = [
    ("config", configuration::check),
    ("privacy", privacy::check),
    ("clock", clock::check),
    ("disk", disk::check),
    ("memory", memory::check),
    ("store", store::check),
    ("keys", keys::check),
    ("certificates", certificates::check),
    ("keyring", keyring::check),
    ("lists", lists::check),
    ("console", console::check),
    ("models", models::check),
    ("pipelines", pipelines::check),
    ("elements", elements::check),
    ("decoding", decoding::check),
    ("broker", broker::check),
    ("cameras", cameras::check),
];

/// Arguments of `watchpost check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these checks; all when none is named.
    #[arg(value_name = "CHECK", value_parser = clap::builder::PossibleValuesParser::new(CHECKS.map(|(name, _)| name)))]
    pub only: Vec<String>,
    /// The configuration.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs the checks and prints each one's findings to `out` when it is through.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut failures = 0;
    let mut print = |findings: Vec<Finding>| {
        failures += findings.iter().filter(|f| f.level == Level::Failure).count();
        findings.iter().try_for_each(|finding| line(finding, args.json, out))
    };
    match config::load(&args.config) {
        Ok(config) => {
            let clock = Clock::system_known();
            let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
            if wanted("config") {
                print(configuration::overlay(&args.config))?;
            }
            for (_, look) in CHECKS.iter().filter(|(name, _)| wanted(name)) {
                print(look(&config, &clock))?;
            }
        }
        Err(faults) => print(faults.0.iter().map(configuration::fault).collect())?,
    }
    Ok(u8::from(failures > 0))
}

fn line(finding: &Finding, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(finding)?)?);
    }
    let mark = match finding.level {
        Level::Ok => "ok     ",
        Level::Warning => "warning",
        Level::Failure => "FAILURE",
    };
    writeln!(out, "{mark}  {:<12}  {}", finding.check, finding.what)?;
    if let Some(todo) = &finding.todo {
        writeln!(out, "                       → {todo}")?;
    }
    Ok(())
}
