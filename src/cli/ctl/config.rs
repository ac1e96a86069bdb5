//! `watchpostctl config`: configurations of boxes: what is in force and where it comes from, another one, how that went.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{self, Answer, Asking, Outcome, Question, Show};
use super::staged::{self, Terms};
use super::{Centre, printable};
use crate::centre::keys::hex;
use crate::command::ops::config::{get, set};
use crate::command::ops::encode;
use crate::domain::{BoxId, Op};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The values in force, and where each comes from
    Get(Getting),
    /// Change values: the box checks them, starts anew, and takes them back by itself when it loses the centre
    Set(Setting),
    /// What a change would change, and what is wrong with it; changes nothing
    Diff(Setting),
    /// What is in force and on probation, and how the last change ended
    Status(Asking),
}

#[derive(Debug, Args)]
struct Getting {
    /// Only keys that begin so, such as camera.gate
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
    /// Also keys that nobody wrote down, with their defaults
    #[arg(long)]
    defaults: bool,
    /// The text that the centre lays over the box's own files, instead
    #[arg(long)]
    overlay: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Setting {
    /// Values, KEY=VALUE, such as camera.gate.fps=10
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Take these keys out of what the centre lays over the box's own files
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Lay this file over the box's own files instead of what the centre laid over them before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["changes", "unset"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Get(getting) => get_all(centre, &getting).await,
        What::Set(setting) => change(centre, setting).await,
        What::Diff(mut setting) => {
            setting.terms.dry_run = true;
            change(centre, setting).await
        }
        What::Status(asking) => ask::run(centre, &asking, staged::status_question(), &Status).await,
    }
}

async fn change(centre: &Centre, setting: Setting) -> anyhow::Result<ExitCode> {
    let overlay = match &setting.file {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?)
        }
        None => None,
    };
    let mut changes = setting.changes.iter().map(|text| assignment(text)).collect::<anyhow::Result<Vec<_>>>()?;
    changes.extend(setting.unset.iter().map(|key| set::Set { key: key.clone(), value: None }));
    if overlay.is_none() && changes.is_empty() {
        bail!("nothing to change: give KEY=VALUE, --unset KEY or --file FILE");
    }
    let changes = overlay.is_none().then_some(changes);
    let make = |terms| encode(&set::Args { terms, overlay: overlay.clone(), changes: changes.clone() });
    staged::run(centre, &setting.asking, &setting.terms, Op::ConfigSet, &make).await
}

/// `KEY=VALUE`; a value that is no TOML is a text.
fn assignment(text: &str) -> anyhow::Result<set::Set> {
    let (key, value) = text.split_once('=').with_context(|| format!("{text:?}: wanted is KEY=VALUE"))?;
    let is_toml = format!("value = {value}").parse::<toml::Table>().is_ok_and(|table| table.len() == 1);
    let value = if is_toml { value.trim().to_owned() } else { toml::Value::from(value).to_string() };
    Ok(set::Set { key: key.trim().to_owned(), value: Some(value) })
}

/// Asks for page after page: each box's rows end up in one answer.
async fn get_all(centre: &Centre, getting: &Getting) -> anyhow::Result<ExitCode> {
    let mut args = get::Args {
        prefix: getting.prefix.clone(),
        after: None,
        defaults: getting.defaults.then_some(true),
        overlay: getting.overlay.then_some(true),
    };
    let mut answers = ask::gather(centre, &getting.asking, Question::new(Op::ConfigGet, encode(&args))).await?;
    for (box_id, outcome) in &mut answers {
        let Outcome::Answered(first) = outcome else { continue };
        let mut whole = staged::status(first)?;
        while let Some(after) = whole.next.take() {
            args.after = Some(after);
            let one = Asking { box_ids: vec![box_id.clone()], site: None, all: false, ..getting.asking.clone() };
            let more = ask::gather(centre, &one, Question::new(Op::ConfigGet, encode(&args))).await?;
            let Some((_, Outcome::Answered(page))) = more.into_iter().next() else {
                bail!("{box_id} answered the first page and not the next: ask again");
            };
            let page = staged::status(&page)?;
            if page.digest != whole.digest {
                bail!("{box_id}: its configuration changed meanwhile: ask again");
            }
            whole.rows.extend(page.rows);
            whole.next = page.next;
        }
        first.reply.result = Some(encode(&whole));
    }
    let show: &dyn Show = if getting.overlay { &Overlay } else { &Values };
    let complete = ask::report(&answers, getting.asking.signing.json, show, &mut std::io::stdout().lock())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json_of(told: &get::Answer) -> Value {
    let origin = |origin| match origin {
        get::Origin::Default => "default",
        get::Origin::Local => "local",
        get::Origin::Centre => "centre",
    };
    let rows = told
        .rows
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.value, "origin": origin(row.origin), "place": row.place }));
    let probation = told.probation.as_ref().map(|p| {
        json!({
            "serial": p.serial, "digest": p.digest, "by": p.by, "staged": p.staged.to_string(),
            "stand_s": p.stand_s, "within_s": p.within_s,
        })
    });
    let last = told.last.as_ref().map(|l| {
        json!({
            "serial": l.serial, "confirmed": l.confirmed, "why": l.why, "by": l.by, "at": l.at.to_string(),
            "digest": l.digest,
        })
    });
    json!({
        "digest": hex(&told.digest),
        "serial": told.serial,
        "managed": told.is_managed,
        "stale": told.is_stale,
        "probation": probation,
        "last": last,
        "values": rows.collect::<Vec<_>>(),
        "overlay": told.overlay,
    })
}

struct Values;

impl Show for Values {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json_of(&staged::status(answer)?))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = staged::status(answer)?;
        header(box_id, &told, out)?;
        let width = told.rows.iter().map(|row| row.key.len() + row.value.len() + 3).max().unwrap_or(0).min(72);
        for row in &told.rows {
            let line = format!("{} = {}", printable(&row.key), printable(&row.value));
            let from = match (row.origin, &row.place) {
                (get::Origin::Default, _) => "default".to_owned(),
                (get::Origin::Centre, Some(place)) => format!("centre, {}", printable(place)),
                (_, Some(place)) => printable(place),
                (_, None) => String::new(),
            };
            writeln!(out, "  {line:<width$}  # {from}")?;
        }
        Ok(())
    }
}

struct Overlay;

impl Show for Overlay {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json_of(&staged::status(answer)?))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = staged::status(answer)?;
        writeln!(out, "# {box_id}, configuration {}, on {}", told.serial, hex(&told.digest))?;
        for line in told.overlay.unwrap_or_default().lines() {
            writeln!(out, "{}", printable(line))?;
        }
        Ok(())
    }
}

struct Status;

impl Show for Status {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        Ok(json_of(&staged::status(answer)?))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        header(box_id, &staged::status(answer)?, out)
    }
}

fn header(box_id: &BoxId, told: &get::Answer, out: &mut dyn Write) -> anyhow::Result<()> {
    let what = match told.serial {
        0 => "the box's own files alone".to_owned(),
        n => format!("configuration {n} of the centre over the box's own files"),
    };
    writeln!(out, "{box_id}: {what}, digest {}", hex(&told.digest))?;
    if !told.is_managed {
        writeln!(out, "  the box's own files switch the centre's off (box.managed = false)")?;
    }
    if told.is_stale {
        writeln!(out, "  files were changed on the box since it started: what follows is what the next start takes")?;
    }
    if let Some(p) = &told.probation {
        let by = printable(&p.by);
        writeln!(out, "  configuration {} is on probation since {}, staged by {by}", p.serial, p.staged)?;
    }
    if let Some(last) = &told.last {
        let how = if last.confirmed { "confirmed" } else { "rolled back" };
        writeln!(out, "  configuration {} was {how} at {}: {}", last.serial, last.at, printable(&last.why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_texts() {
        let of = |text: &str| assignment(text).unwrap();
        for (given, key, value) in [
            ("camera.gate.fps=10", "camera.gate.fps", "10"),
            ("camera.gate.road=Mill Lane", "camera.gate.road", "\"Mill Lane\""),
            ("centre.broker=mqtts://c.example:8883", "centre.broker", "\"mqtts://c.example:8883\""),
            ("vision.motion_gate = false", "vision.motion_gate", "false"),
            ("camera.gate.roi=[[0.1, 0.2]]", "camera.gate.roi", "[[0.1, 0.2]]"),
        ] {
            let set = of(given);
            assert_eq!((set.key.as_str(), set.value.as_deref()), (key, Some(value)));
        }
        assert!(assignment("camera.gate.fps").is_err());
    }
}
