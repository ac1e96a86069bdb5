//! The fault campaign: a daemon is fed with numbered hits, a fault is injected, and a judge, a process of its own, holds
//! what came against what was expected. `docs/reliability.md` explains it and has the table of what was run.
//!
//! `campaign [--full] [--list] [NAME …]`: the faults whose names contain one of these, or all; small counts, or with
//! `--full` those of the whole campaign, where rows that this commit has passed already are not run again. Flags of
//! libtest are accepted, so that `cargo test` can run it. Exit code 1 when a fault did not pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a campaign says what is wrong by failing"
)]

mod broker;
mod cameras;
mod children;
mod clock;
mod cost;
mod damage;
mod disk;
mod fault;
mod hearing;
mod hostile;
mod judge;
mod kill;
mod medium;
mod models;
mod parents;
mod power;
mod relay;
mod rig;
mod rows;
mod servers;
mod shadow;
mod soak;
mod stall;
mod streams;
mod versions;
mod voice;
mod watch;
mod worker;

#[allow(dead_code, reason = "the integration tests use all of it")]
#[path = "../it/kit/mod.rs"]
mod kit;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fault::{Ask, Fault, Outcome};
use rows::{Row, Rows};

/// Every fault, in the order of running.
fn faults() -> Vec<Fault> {
    let families: &[&[Fault]] = &[
        judge::FAULTS,
        kill::FAULTS,
        power::FAULTS,
        disk::FAULTS,
        damage::FAULTS,
        versions::FAULTS,
        broker::FAULTS,
        hostile::FAULTS,
        clock::FAULTS,
        streams::FAULTS,
        cameras::FAULTS,
        soak::FAULTS,
        stall::FAULTS,
        models::FAULTS,
        worker::FAULTS,
    ];
    families.concat()
}

/// What was asked for on the command line.
#[derive(Debug, Default)]
struct Asked {
    full: bool,
    list: bool,
    exact: bool,
    /// libtest's `--ignored`: nothing here is.
    none: bool,
    names: Vec<String>,
    skips: Vec<String>,
}

impl Asked {
    fn read(args: impl Iterator<Item = String>) -> Self {
        let (mut asked, mut args) = (Self::default(), args);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--full" => asked.full = true,
                "--list" => asked.list = true,
                "--exact" => asked.exact = true,
                "--ignored" => asked.none = true,
                "--skip" => asked.skips.extend(args.next()),
                // libtest's options with a value of their own.
                "--test-threads" | "--logfile" | "--color" | "--format" | "-Z" | "--shuffle-seed" => drop(args.next()),
                flag if flag.starts_with('-') => {}
                name => asked.names.push(name.to_owned()),
            }
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        // A whole name means that fault alone: `kill` is not `broker-kill`.
        let whole = |asked: &str| self.exact || faults().iter().any(|fault| fault.name == asked);
        let fits = |asked: &String| if whole(asked) { name == asked } else { name.contains(asked.as_str()) };
        !self.none && (self.names.is_empty() || self.names.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [hidden, folder, broker] = args.as_slice()
        && hidden == hearing::ARGUMENT
    {
        return hearing::main(Path::new(folder), broker);
    }
    if let Some(code) = children::child(&args).or_else(|| servers::child(&args)) {
        return code;
    }
    let asked = Asked::read(args.into_iter());
    let wanted: Vec<Fault> = faults().into_iter().filter(|fault| asked.wants(fault.name)).collect();
    if asked.list {
        for fault in &wanted {
            println!("{}: test", fault.name);
        }
        return ExitCode::SUCCESS;
    }
    let mut rows = Rows::open();
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for fault in &wanted {
        if asked.full && rows.has_passed(fault) {
            println!("{}: passed by this commit already", fault.name);
            continue;
        }
        let row = run(fault, asked.full, &rows);
        println!("{row}");
        if row.result == rows::FAILED {
            failed.push(fault.name);
        } else if row.result == rows::SKIPPED {
            skipped.push(fault.name);
        }
        rows.add(row);
    }
    print!("{}", rows.table(&wanted, asked.full));
    if !skipped.is_empty() {
        println!(
            "campaign: {} of {} not run, this machine lacks something: {}",
            skipped.len(),
            wanted.len(),
            skipped.join(", ")
        );
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("campaign: {} of {} failed: {}", failed.len(), wanted.len(), failed.join(", "));
    ExitCode::FAILURE
}

fn run(fault: &Fault, full: bool, rows: &Rows) -> Row {
    let dir = tempfile::tempdir().unwrap();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let count = if full { fault.full } else { fault.small };
    let ask = Ask { count, full, seed, dir: dir.path().to_owned() };
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (fault.run)(&ask))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Outcome { faults: vec![format!("the campaign itself gave up: {text}")], ..Outcome::default() }
    });
    let mut outcome = outcome;
    let short = outcome.skipped.is_none() && outcome.done < count;
    outcome.expect(!short || !outcome.faults.is_empty(), || "it ended before its count".to_owned());
    rows.row(fault, &ask, outcome, begun.elapsed())
}
