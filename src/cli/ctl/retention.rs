//! `watchpostctl retention`: how long boxes keep things. Shorter takes two people.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Centre;
use super::ask::{self, Answer, Asking, Question, Show};
use super::hold::Listed;
use crate::command::ops::retention_set::{self, in_words};
use crate::command::ops::{self, hold};
use crate::domain::{BoxId, Op, ReadsAs};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How long things are kept, and what holds keep longer
    Show(Showing),
    /// Set how long things are kept; what is not named stays as it is
    Set(Box<Setting>),
}

#[derive(Debug, Args)]
struct Showing {
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Setting {
    /// What is kept of reads without a hit: plain, hashed or off
    #[arg(long, value_name = "HOW")]
    reads: Option<ReadsAs>,
    /// Hours that they are kept
    #[arg(long, value_name = "HOURS")]
    reads_hours: Option<u64>,
    /// Days that info hits are kept
    #[arg(long, value_name = "DAYS")]
    info_days: Option<u64>,
    /// Days that minor hits are kept
    #[arg(long, value_name = "DAYS")]
    minor_days: Option<u64>,
    /// Days that serious hits are kept
    #[arg(long, value_name = "DAYS")]
    serious_days: Option<u64>,
    /// Days that critical hits are kept
    #[arg(long, value_name = "DAYS")]
    critical_days: Option<u64>,
    /// Begin with the longest that a statute allows, by its name in docs/privacy.md
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin with the configuration; alone: take back what was set
    #[arg(long, conflicts_with = "preset")]
    configured: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Show(showing) => {
            let args = ops::encode(&hold::list::Args {});
            ask::run(centre, &showing.asking, Question::new(Op::HoldList, args), &Listed).await
        }
        What::Set(setting) => {
            let args = retention_set::Args {
                reads: setting.reads,
                reads_hours: setting.reads_hours,
                info_days: setting.info_days,
                minor_days: setting.minor_days,
                serious_days: setting.serious_days,
                critical_days: setting.critical_days,
                preset: setting.preset,
                configured: setting.configured.then_some(true),
            };
            ask::run(centre, &setting.asking, Question::new(Op::RetentionSet, ops::encode(&args)), &Set).await
        }
    }
}

struct Set;

impl Set {
    fn of(answer: &Answer) -> anyhow::Result<retention_set::Answer> {
        Ok(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

impl Show for Set {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let set = Self::of(answer)?;
        Ok(json!({
            "retention": in_words(&set.retention), "before": set.before.as_ref().map(in_words),
            "configured": set.configured,
        }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let set = Self::of(answer)?;
        let source = if set.configured { ", as configured" } else { "" };
        writeln!(out, "{box_id}: kept from now on: {}{source}", in_words(&set.retention))?;
        if let Some(before) = set.before.as_ref().filter(|before| **before != set.retention) {
            writeln!(out, "{box_id}: before: {}", in_words(before))?;
        }
        Ok(())
    }
}
