//! Many boxes against one mosquitto: what a fleet costs the broker, the centre and the wire, and whether anything is lost.
//!
//! `cargo bench --no-default-features --bench scale` takes 20 boxes and less than a minute; `-- --full` 500 boxes and some
//! eight (`docs/scale.md`). Options: `--boxes N`, `--cameras N`, `--every S` (between two alerts of a box), `--steady S`,
//! `--idle S`, `--bursts A,B` (alerts a box at once), `--down S` (broker), `--away S` (centre), `--patience S`,
//! `--checkpoints true|false` (of the audit logs), `--json FILE` (a line more), `--dir FOLDER` (stores, keys, broker;
//! `/dev/shm` where one disk would have to be that of all boxes).
//!
//! A real broker with TLS, a certificate a box and the access rules of the product, on loopback; the product's sessions,
//! outboxes and stores (`boxes`); the product's centre in a process of its own (`centre`). Fails when an alert was lost,
//! came twice without a cause, or a hole stayed. Ends what it started, also on SIGINT and SIGTERM.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it tells what it measured")]

mod asked;
mod book;
mod boxes;
mod broker;
mod centre;
mod measure;
mod phases;
mod rig;
mod site;
mod table;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use self::asked::Asked;
use self::rig::Rig;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == centre::AS_CENTRE).is_some() {
        return centre::be(arguments);
    }
    let asked = Asked::read(arguments)?;
    // A box has some dozen files of its store open, and a socket.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            ended = measure(asked) => ended,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

async fn measure(asked: Asked) -> Result<()> {
    // The centre's state has the disk of the checkout to itself, wherever the boxes' stores are.
    let own = tempfile::Builder::new().prefix("scale-centre-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let json = asked.json.clone();
    let boxes = asked.boxes;
    println!("{}", table::heading(&asked));
    let mut rig = Rig::new(asked.clone(), own.path()).await?;
    let rows = phases::run(&mut rig, &mut |row| println!("{}", table::line(row, boxes))).await?;
    let mut faults: Vec<String> = rows
        .iter()
        .flat_map(|row| {
            // A centre that is killed hands on again what it had handed on and not yet made durable.
            let twice = if row.name.starts_with("centre killed") { 0 } else { row.twice };
            [(row.lost, "lost"), (twice, "handed on twice")].map(|(count, what)| (count, what, &row.name))
        })
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, name)| format!("{count} alerts {what}: {name}"))
        .collect();
    faults.extend(rig.stop().await?);
    if let Some(path) = json {
        let mut file = std::fs::File::options().create(true).append(true).open(&path)?;
        writeln!(file, "{}", table::json(&asked, &rows, &faults)).with_context(|| path.display().to_string())?;
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    println!("{} alerts, none lost, none twice, no hole stayed", rows.iter().map(|row| row.alerts).sum::<usize>());
    Ok(())
}
