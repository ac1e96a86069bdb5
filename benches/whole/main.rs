//! What the whole daemon takes: `watchpost run` as a process, with file cameras in real time, a centre over TLS, a store.
//!
//! `cargo bench --features testkit --bench whole -- [--quick] [--only WHAT,…] [--times N] [--markdown] [--plots]`. WHAT is one of
//! `start`, `cost`, `memory`, `latency`, `overload`, `curve`. Each measurement appends a line to `target/bench/whole.jsonl`
//! ([`rows`]); at its end medians of the lines of this run are printed, and with `--plots` the curves are drawn from all lines of the file
//! into `docs/images` ([`plot`]). `--tell` measures nothing and tells what the file holds. What is asked of the machine
//! follows from what a frame costs on it: a load of 60 %, and twice of what it can carry.
//!
//! Times of alerts are those of the frame's coded picture at its arrival, held against the clock of the centre's client in
//! this process, which runs on the same machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench says what is wrong by failing; counts are small"
)]

mod clips;
mod daemon;
mod hear;
mod measure;
mod plot;
mod rows;
mod taken;

#[allow(dead_code, reason = "the campaign uses all of it")]
#[path = "../../tests/campaign/cost.rs"]
mod cost;
#[allow(dead_code, reason = "the integration tests use all of it")]
#[path = "../../tests/it/kit/mod.rs"]
mod kit;
#[allow(dead_code, reason = "other benches use the rest")]
#[path = "../passes/mod.rs"]
mod passes;
#[allow(dead_code, reason = "the campaign uses all of it")]
#[path = "../../tests/campaign/watch.rs"]
mod watch;

use std::path::Path;

use measure::Plan;
use rows::Rows;

/// Everything that can be measured, in the order of measuring.
const ALL: [&str; 6] = ["start", "cost", "memory", "latency", "overload", "curve"];

fn main() {
    let (mut only, mut times, mut quick, mut markdown, mut plots, mut tell) =
        (Vec::new(), 1, false, false, false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only = args.next().unwrap().split(',').map(str::to_owned).collect(),
            "--times" => times = args.next().unwrap().parse().unwrap(),
            "--quick" => quick = true,
            "--markdown" => markdown = true,
            "--plots" => plots = true,
            "--tell" => tell = true,
            // What cargo adds.
            "--bench" => {}
            other => panic!("{other}: see the head of benches/whole/main.rs"),
        }
    }
    assert!(only.iter().all(|what| ALL.contains(&what.as_str())), "--only takes {}", ALL.join(", "));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = Rows::open(&clips::folder(root).join("whole.jsonl"), tell);
    if !tell {
        let plan = Plan::of(root, quick);
        for _ in 0..times {
            for what in ALL.iter().filter(|what| only.is_empty() || only.iter().any(|one| one == *what)) {
                plan.measure(what, &mut rows);
            }
        }
    }
    rows.tell(markdown);
    if plots {
        plot::draw(&rows.with_earlier(), &root.join("docs/images"));
    }
}
