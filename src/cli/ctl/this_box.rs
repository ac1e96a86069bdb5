//! `watchpostctl box`: the boxes themselves: how they are now, restarted, wiped.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::Centre;
use super::ask::{self, Answer, Asking, DoneIs, Question, Show};
use crate::centre::wire::{self, HealthReport, Wire as _};
use crate::domain::{BoxId, Op};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How boxes are now: what their health says, signed at this moment
    Status(Asking),
    /// End the daemon in good order and start it anew; nothing that is stored is lost
    Restart(Asking),
    /// Destroy every key of a box's store, and with them all that it keeps; two people sign
    Wipe(Wiping),
}

#[derive(Debug, Args)]
struct Wiping {
    #[command(flatten)]
    asking: Asking,
    /// The box's id once more: it cannot be undone
    #[arg(long, value_name = "BOX")]
    confirm: BoxId,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Status(asking) => ask::run(centre, &asking, Question::new(Op::BoxStatus, Vec::new()), &Status).await,
        What::Restart(asking) => {
            let question = Question::new(Op::BoxRestart, Vec::new());
            ask::run(centre, &asking, question, &DoneIs("restarts")).await
        }
        What::Wipe(wiping) => {
            if wiping.asking.box_ids != [wiping.confirm.clone()] {
                bail!("a wipe names one box: --box {0} --confirm {0}", wiping.confirm);
            }
            let question = Question::new(Op::BoxWipe, Vec::new());
            let done = DoneIs("destroys the keys of its store and stops; `watchpost init` makes new ones");
            ask::run(centre, &wiping.asking, question, &done).await
        }
    }
}

struct Status;

impl Status {
    fn report(answer: &Answer) -> anyhow::Result<HealthReport> {
        Ok(wire::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

impl Show for Status {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(Self::report(answer)?.to_json())
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let report = Self::report(answer)?;
        let (hours, minutes) = (report.uptime_s / 3600, report.uptime_s / 60 % 60);
        writeln!(out, "{box_id}: version {}, up {hours} h {minutes:02} min, boot {}", report.software, report.boot)?;
        writeln!(
            out,
            "  {} cameras, {} alerts wait, disk {} of {} MiB free, process {} MiB, audit record {}",
            report.cameras.len(),
            report.outbox.entries,
            report.disk.free >> 20,
            report.disk.total >> 20,
            report.process.resident >> 20,
            report.audit.size,
        )?;
        if let Some(fault) = &report.fault {
            writeln!(out, "  fault: {}", super::printable(fault))?;
        }
        Ok(())
    }
}
