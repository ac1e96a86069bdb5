//! `watchpost check`: is everything there that `run` needs, and what to do where it is not. One file a check.
//!
//! Prints one finding a line, or JSON; exit 1 when one of them is a failure. It opens what it checks (cameras for one
//! frame, the broker for a TLS handshake) and changes nothing.

mod cameras;
mod centre;
mod disk;
mod keys;
mod lists;
mod models;
mod store;
mod time;

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::{self, Config};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and something should be looked at.
    Warning,
    /// `run` would not work, or not as configured.
    Failure,
}

/// What one look gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check looked.
    pub check: &'static str,
    /// What it saw.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, what: what.into(), todo: None }
    }

    /// To be looked at.
    pub fn warning(check: &'static str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Warning, check, what: what.into(), todo: Some(todo.into()) }
    }

    /// To be mended.
    pub fn failure(check: &'static str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Failure, check, what: what.into(), todo: Some(todo.into()) }
    }
}

/// Arguments of `watchpost check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs all checks and prints their findings to `out`.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let findings = all(args);
    for finding in &findings {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        } else {
            let mark = match finding.level {
                Level::Ok => "ok     ",
                Level::Warning => "warning",
                Level::Failure => "FAILURE",
            };
            writeln!(out, "{mark}  {:<8}  {}", finding.check, finding.what)?;
            if let Some(todo) = &finding.todo {
                writeln!(out, "                   → {todo}")?;
            }
        }
    }
    let failures = findings.iter().filter(|f| f.level == Level::Failure).count();
    Ok(u8::from(failures > 0))
}

fn all(args: &Args) -> Vec<Finding> {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(faults) => {
            return faults
                .0
                .iter()
                .map(|f| Finding::failure("config", f.to_string(), "mend the line; docs/config.md lists every key"))
                .collect();
        }
    };
    let clock = Clock::system();
    let mut findings = vec![Finding::ok("config", format!("{} can be read", args.config.display()))];
    findings.extend(of_config(&config));
    findings.extend(time::check(&clock));
    findings.extend(disk::check(&config));
    findings.extend(keys::check(&config));
    findings.extend(store::check(&config, &clock));
    findings.extend(lists::check(&config, clock.utc()));
    findings.extend(models::check(&config));
    findings.extend(centre::check(&config, &clock));
    findings.extend(cameras::check(&config, &clock));
    findings
}

/// Things that are valid and probably not what was meant.
fn of_config(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.cameras.iter().all(|c| !c.enabled) {
        findings.push(Finding::failure(
            "config",
            "no camera is configured",
            "add a [[camera]] with id, number and uri",
        ));
    }
    if config.centre.is_none() {
        let todo = "add [centre], or run `watchpost init --centre DIR` for a centre on this machine";
        findings.push(Finding::warning("config", "no centre is configured: hits stay on this box", todo));
    }
    if config.hotlists.is_empty() {
        findings.push(Finding::warning(
            "config",
            "no hotlist is configured: reads make no hits",
            "add a [[hotlist.list]]",
        ));
    }
    findings
}
