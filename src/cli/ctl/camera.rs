//! `watchpostctl camera`: cameras of boxes: which there are and how they do, another, one less, a pause, a picture of now.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{self, Answer, Asking, DoneIs, Outcome, Question, Show};
use super::staged::{self, Terms};
use super::{Centre, printable};
use crate::clock::Clock;
use crate::command::ops::camera::{list, pause, remove, set, snapshot};
use crate::command::ops::{decode, encode};
use crate::domain::{BoxId, CameraId, Op, TimeMs};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The cameras with their state
    List(Asking),
    /// Add a camera or change one: its whole `[[camera]]` block, as `watchpost probe` writes it
    Set(Setting),
    /// Take a camera out; what it saw stays as long as it is kept
    Remove(Removing),
    /// Stop looking at a camera, at once
    Pause(Pausing),
    /// Look at it again
    Resume(Resuming),
    /// A picture of now, behind the privacy masks; needs --purpose and is audited
    Snapshot(Shooting),
}

#[derive(Debug, Args)]
struct Setting {
    /// File with the block; - is stdin
    #[arg(value_name = "FILE")]
    block: PathBuf,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Removing {
    /// The camera's id
    camera: CameraId,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Pausing {
    /// The camera's id
    camera: CameraId,
    /// How long, such as 90s, 30m, 8h or 2d [default: until it is resumed]
    #[arg(long = "for", value_name = "TIME", value_parser = span, conflicts_with = "until")]
    span: Option<Duration>,
    /// Until then, such as 2026-12-01T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<TimeMs>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Resuming {
    /// The camera's id
    camera: CameraId,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Shooting {
    /// The camera's id
    camera: CameraId,
    /// Folder for the pictures, BOX-CAMERA-TIME.jpg each [default: here]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::List(asking) => {
            ask::run(centre, &asking, Question::new(Op::CameraList, encode(&list::Args {})), &List).await
        }
        What::Set(setting) => {
            let block = read(&setting.block)?;
            let make = |terms| encode(&set::Args { terms, block: block.clone() });
            staged::run(centre, &setting.asking, &setting.terms, Op::CameraSet, &make).await
        }
        What::Remove(removing) => {
            let make = |terms| encode(&remove::Args { terms, camera: removing.camera.clone() });
            staged::run(centre, &removing.asking, &removing.terms, Op::CameraRemove, &make).await
        }
        What::Pause(pausing) => {
            let now = Clock::system().utc().0;
            let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let until = pausing.until.or(pausing.span.map(|span| TimeMs(now.saturating_add(ms(span)))));
            let args = pause::Args { camera: pausing.camera, until, resume: None };
            let done = until.map_or_else(|| "paused until resumed".to_owned(), |until| format!("paused until {until}"));
            ask::run(centre, &pausing.asking, Question::new(Op::CameraPause, encode(&args)), &Told(done)).await
        }
        What::Resume(Resuming { camera, asking }) => {
            let args = pause::Args { camera, until: None, resume: Some(true) };
            ask::run(centre, &asking, Question::new(Op::CameraPause, encode(&args)), &DoneIs("resumed")).await
        }
        What::Snapshot(shooting) => shoot(centre, &shooting).await,
    }
}

/// The text of a block.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("stdin")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

async fn shoot(centre: &Centre, shooting: &Shooting) -> anyhow::Result<ExitCode> {
    if shooting.asking.signing.purpose.is_none() {
        bail!("a picture of now needs a purpose: --purpose CODE");
    }
    let folder = shooting.out.as_deref().unwrap_or(Path::new("."));
    // Before the question: a picture that was looked at is in the audit log, and should not be lost here.
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let mut question = Question::new(Op::CameraSnapshot, encode(&snapshot::Args { camera: shooting.camera.clone() }));
    question.attached = |result| decode::<snapshot::Answer>(result).map(|told| vec![told.picture]).unwrap_or_default();
    let answers = ask::gather(centre, &shooting.asking, question).await?;
    for (box_id, outcome) in &answers {
        let Outcome::Answered(answer) = outcome else { continue };
        let told = shot(answer)?;
        if let Some(jpeg) = answer.attachments.get(&told.picture.id) {
            let path = folder.join(name(box_id, &shooting.camera, told.at));
            std::fs::write(&path, jpeg).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    let show = Shot { folder, camera: &shooting.camera };
    let complete = ask::report(&answers, shooting.asking.signing.json, &show, &mut std::io::stdout().lock())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shot(answer: &Answer) -> anyhow::Result<snapshot::Answer> {
    Ok(decode(answer.reply.result.as_deref().unwrap_or_default())?)
}

fn name(box_id: &BoxId, camera: &CameraId, at: TimeMs) -> String {
    format!("{box_id}-{camera}-{}.jpg", at.to_string().replace(':', ""))
}

struct Shot<'a> {
    folder: &'a Path,
    camera: &'a CameraId,
}

impl Shot<'_> {
    fn path(&self, box_id: &BoxId, at: TimeMs) -> PathBuf {
        self.folder.join(name(box_id, self.camera, at))
    }
}

impl Show for Shot<'_> {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let told = shot(answer)?;
        let sha256 = crate::centre::keys::hex(&told.picture.sha256);
        Ok(json!({ "at": told.at.to_string(), "bytes": told.picture.bytes, "sha256": sha256 }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = shot(answer)?;
        Ok(writeln!(out, "{box_id}: {} ({} bytes)", self.path(box_id, told.at).display(), told.picture.bytes)?)
    }
}

/// Nothing to show but this.
struct Told(String);

impl Show for Told {
    fn json(&self, _: &Answer) -> anyhow::Result<Value> {
        Ok(json!({}))
    }

    fn text(&self, box_id: &BoxId, _: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(writeln!(out, "{box_id}: {}", self.0)?)
    }
}

struct List;

impl Show for List {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let row = |c: &list::Row| {
            json!({
                "id": c.id.as_str(), "number": c.number, "uri": c.uri, "state": c.state.as_str(), "reason": c.reason,
                "of_centre": c.is_of_centre, "received": c.received, "analysed": c.analysed, "dropped": c.dropped,
                "last_frame": c.last_frame.map(|t| t.to_string()), "credential": c.credential, "road": c.road,
                "masks": c.masks, "view": c.view.map(|id| id.to_string()),
            })
        };
        Ok(json!({ "cameras": cameras(answer)?.iter().map(row).collect::<Vec<_>>() }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let cameras = cameras(answer)?;
        writeln!(out, "{box_id}: {} cameras", cameras.len())?;
        for c in cameras {
            let reason = c.reason.as_deref().map_or_else(String::new, |why| format!(": {}", printable(why)));
            let whose = if c.is_of_centre { ", set by the centre" } else { "" };
            writeln!(out, "  {:<16} {:>5}  {}{reason}", printable(c.id.as_str()), c.number, c.state.as_str())?;
            writeln!(out, "  {:<16}        {}{whose}", "", printable(&c.uri))?;
            if let Some(view) = c.view {
                writeln!(out, "  {:<16}        picture: {view} (evidence view)", "")?;
            }
        }
        Ok(())
    }
}

fn cameras(answer: &Answer) -> anyhow::Result<Vec<list::Row>> {
    Ok(decode::<list::Answer>(answer.reply.result.as_deref().unwrap_or_default())?.cameras)
}

/// `90s`, `30m`, `8h`, `2d`.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 90s, 30m, 8h or 2d");
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        _ => (None, 0),
    };
    let number: u64 = number.and_then(|n| n.parse().ok()).filter(|n| *n > 0).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// RFC 3339.
fn instant(text: &str) -> Result<TimeMs, String> {
    let wrong = |_| format!("{text:?} is no time such as 2026-12-01T06:00:00Z");
    let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).map_err(wrong)?;
    u64::try_from(at.unix_timestamp()).map(|s| TimeMs(s * 1000)).map_err(|_| format!("{text:?} is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_instants_are_read_as_people_write_them() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("2d"), Ok(Duration::from_hours(48)));
        for wrong in ["", "5", "m", "-1h", "0s", "1w", "é"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert_eq!(instant("2026-01-01T01:00:00+01:00"), Ok(TimeMs(1_767_225_600_000)));
        assert!(instant("tomorrow").is_err());
    }
}
