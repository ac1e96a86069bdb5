//! `watchpostctl ignore`: plates that never make a hit, such as a force's own vehicles.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Centre;
use super::ask::{self, Answer, Asking, Question, Show};
use super::verdict::plate_of;
use crate::command::ops::{self, ignore_put};
use crate::domain::{BoxId, Op, PlateText};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    /// What becomes of the list
    #[arg(value_name = "HOW", value_enum)]
    how: How,
    /// Plates
    #[arg(value_name = "PLATE", value_parser = plate_of)]
    plates: Vec<PlateText>,
    /// Plates from a file, one a line; - for stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// These come to it
    Add,
    /// These leave it
    Remove,
    /// These take the place of all; without any the list is empty
    Replace,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let mut plates = options.plates;
    if let Some(file) = &options.file {
        plates.extend(read(file)?);
    }
    let how = match options.how {
        How::Add => ignore_put::How::Add,
        How::Remove => ignore_put::How::Remove,
        How::Replace => ignore_put::How::Replace,
    };
    if plates.is_empty() && how != ignore_put::How::Replace {
        bail!("name plates, or a file with --file");
    }
    let args = ops::encode(&ignore_put::Args { how, plates });
    ask::run(centre, &options.asking, Question::new(Op::IgnorePut, args), &Counts).await
}

fn read(file: &Path) -> anyhow::Result<Vec<PlateText>> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let plate = |(n, line)| plate_of(line).map_err(|why| anyhow::anyhow!("{} line {}: {why}", file.display(), n + 1));
    lines.map(plate).collect()
}

struct Counts;

impl Counts {
    fn of(answer: &Answer) -> anyhow::Result<ignore_put::Answer> {
        Ok(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

impl Show for Counts {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let counts = Self::of(answer)?;
        Ok(json!({ "plates": counts.plates, "added": counts.added, "removed": counts.removed }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let ignore_put::Answer { plates, added, removed } = Self::of(answer)?;
        Ok(writeln!(out, "{box_id}: plates that are ignored: {plates} ({added} added, {removed} removed)")?)
    }
}
