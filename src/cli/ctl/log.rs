//! `watchpostctl log`: the newest lines of a daemon's log, asked over the same way as all else; no shell is needed.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{self, Answer, Asking, Question, Show};
use super::{Centre, printable};
use crate::command::ops::{self, log_tail};
use crate::domain::{BoxId, Op};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    asking: Asking,
    /// So many of the newest lines, at most 500
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    lines: u16,
    /// Lines as grave as this, or graver
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "info")]
    level: Level,
    /// Lines above this number alone
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let gravity = match options.level {
        Level::Error => log_tail::Gravity::Error,
        Level::Warn => log_tail::Gravity::Warn,
        Level::Info => log_tail::Gravity::Info,
    };
    let args = log_tail::Args { lines: options.lines, gravity, after: options.after };
    ask::run(centre, &options.asking, Question::new(Op::LogTail, ops::encode(&args)), &Lines).await
}

struct Lines;

impl Lines {
    fn of(answer: &Answer) -> anyhow::Result<Vec<log_tail::Line>> {
        Ok(ops::decode::<log_tail::Answer>(answer.reply.result.as_deref().unwrap_or_default())?.lines)
    }
}

impl Show for Lines {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let line = |l: &log_tail::Line| {
            let level = l.gravity.as_str();
            json!({ "number": l.number, "at": l.at.to_string(), "level": level, "target": l.target, "text": l.text })
        };
        Ok(json!({ "lines": Self::of(answer)?.iter().map(line).collect::<Vec<_>>() }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in Self::of(answer)? {
            let (level, target) = (line.gravity.as_str(), printable(&line.target));
            // A line has at most 400 bytes: more than `printable` shows of other texts.
            let text: String = line.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            writeln!(out, "{box_id} {:>6} {} {level:<5} {target}: {text}", line.number, line.at)?;
        }
        Ok(())
    }
}
