//! `watchpostctl verdict`: what an operator found a hit to be; and, before that, the hit with its pictures.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Centre;
use super::ask::{self, Answer, Asking, Question, Show};
use crate::centre::wire::Attached;
use crate::cli::plates::pictures;
use crate::command::ops::{self, hit};
use crate::domain::{BoxId, EventId, Op, PlateText, Verdict};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Look at a hit: note that somebody has it before them, and fetch its pictures
    Seen(Seen),
    /// Say what it is: confirmed, misread, wrong-vehicle, stale-entry, not-actionable
    Give(Give),
    /// Close a hit that has a verdict: nothing about it changes any more
    Close(Close),
}

/// Which hit.
#[derive(Debug, Args)]
struct Which {
    /// Id of the alert
    #[arg(value_name = "ID", value_parser = id_of)]
    id: EventId,
    /// Number of the list that matched, where a sighting has several hits
    #[arg(long, value_name = "NUMBER", requires = "entry")]
    list: Option<u16>,
    /// Number of the entry that matched
    #[arg(long, value_name = "NUMBER", requires = "list")]
    entry: Option<u32>,
    /// Number of the rule that matched
    #[arg(long, value_name = "NUMBER", conflicts_with = "list")]
    rule: Option<u16>,
}

#[derive(Debug, Args)]
struct Seen {
    #[command(flatten)]
    which: Which,
    /// Write its pictures into this folder, ID-crop.jpg and ID-scene.jpg [default: fetch none]
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Give {
    #[command(flatten)]
    which: Which,
    /// What it was found to be
    #[arg(value_name = "VERDICT")]
    verdict: Verdict,
    /// The plate that was there, for a misread
    #[arg(long, value_name = "PLATE", value_parser = plate_of)]
    plate: Option<PlateText>,
    /// Close it as well
    #[arg(long)]
    close: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Close {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asking: Asking,
}

/// An id as alerts show it.
pub(super) fn id_of(text: &str) -> Result<EventId, String> {
    let id = uuid::Uuid::parse_str(text).map_err(|e| format!("is no id of an alert: {e}"))?;
    Ok(EventId(*id.as_bytes()))
}

/// A plate, with or without spaces and hyphens.
pub(super) fn plate_of(text: &str) -> Result<PlateText, String> {
    PlateText::from_raw(text).ok_or_else(|| "is no plate: 1 to 16 letters and digits are wanted".to_owned())
}

impl Which {
    fn hit(&self) -> hit::Which {
        hit::Which { id: self.id, list: self.list, entry: self.entry, rule: self.rule }
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Seen(seen) => {
            let args = hit::seen::Args { which: seen.which.hit(), pictures: seen.pictures.is_some() };
            let show = Looked { id: seen.which.id, folder: seen.pictures };
            let question = Question::new(Op::HitSeen, ops::encode(&args)).attached(hit::seen::attached);
            ask::run(centre, &seen.asking, question, &show).await
        }
        What::Give(give) => {
            let (which, verdict) = (give.which.hit(), Some(give.verdict));
            let args = hit::verdict::Args { which, verdict, true_plate: give.plate, close: give.close };
            ask::run(centre, &give.asking, Question::new(Op::HitVerdict, ops::encode(&args)), &Judged).await
        }
        What::Close(close) => {
            let args = hit::verdict::Args { which: close.which.hit(), verdict: None, true_plate: None, close: true };
            ask::run(centre, &close.asking, Question::new(Op::HitVerdict, ops::encode(&args)), &Judged).await
        }
    }
}

fn to_json(hit: &hit::Standing) -> Value {
    json!({
        "list": hit.list, "entry": hit.entry, "rule": hit.rule, "state": hit.state.as_str(),
        "verdict": hit.verdict.map(Verdict::as_str), "seen_by": hit.seen_by,
        "seen_at": hit.seen_at.map(|at| at.to_string()),
    })
}

fn line(box_id: &BoxId, hit: &hit::Standing, out: &mut dyn Write) -> std::io::Result<()> {
    let cause = match (hit.list, hit.entry, hit.rule) {
        (Some(list), Some(entry), _) => format!("list {list} entry {entry}"),
        (_, _, Some(rule)) => format!("rule {rule}"),
        _ => "hit".to_owned(),
    };
    let verdict = hit.verdict.map(|verdict| format!(": {verdict}")).unwrap_or_default();
    let seen = hit.seen_by.as_ref().zip(hit.seen_at);
    let seen = seen.map(|(by, at)| format!(", seen first by {} at {at}", super::printable(by))).unwrap_or_default();
    writeln!(out, "{box_id} {cause}: {}{verdict}{seen}", hit.state)
}

struct Judged;

impl Judged {
    fn of(answer: &Answer) -> anyhow::Result<Vec<hit::Standing>> {
        Ok(ops::decode::<hit::verdict::Answer>(answer.reply.result.as_deref().unwrap_or_default())?.hits)
    }
}

impl Show for Judged {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json!({ "hits": Self::of(answer)?.iter().map(to_json).collect::<Vec<_>>() }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        Self::of(answer)?.iter().try_for_each(|hit| line(box_id, hit, out)).map_err(Into::into)
    }
}

struct Looked {
    id: EventId,
    folder: Option<PathBuf>,
}

impl Looked {
    /// Writes the pictures that came and says where.
    fn pictures(&self, answer: &Answer, seen: &hit::seen::Answer) -> anyhow::Result<Vec<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        pictures::prepare(folder)?;
        let mut written = Vec::new();
        for (what, attached) in [("crop", &seen.crop), ("scene", &seen.scene)] {
            let Some(Attached { id, .. }) = attached else { continue };
            // What did not come is told of every answer alike.
            let Some(bytes) = answer.attachments.get(id) else { continue };
            let path = folder.join(format!("{}-{what}.jpg", self.id));
            pictures::write(&path, bytes)?;
            written.push(path);
        }
        Ok(written)
    }

    fn of(answer: &Answer) -> anyhow::Result<hit::seen::Answer> {
        Ok(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

impl Show for Looked {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let seen = Self::of(answer)?;
        let pictures = self.pictures(answer, &seen)?;
        Ok(json!({ "hits": seen.hits.iter().map(to_json).collect::<Vec<_>>(), "pictures": pictures }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let seen = Self::of(answer)?;
        seen.hits.iter().try_for_each(|hit| line(box_id, hit, out))?;
        let pictures = self.pictures(answer, &seen)?;
        for path in &pictures {
            writeln!(out, "{box_id} {}", path.display())?;
        }
        if self.folder.is_some() && seen.crop.is_none() && seen.scene.is_none() {
            writeln!(out, "{box_id} no pictures are kept of it")?;
        }
        Ok(())
    }
}
