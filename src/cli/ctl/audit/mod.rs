//! `watchpostctl audit`: read a box's audit log, prove it, keep it, and hold it against what the centre witnessed.
//!
//! Nothing that a box says of its log is taken for granted: records are shown when they verify against a checkpoint that
//! the box signed, and the checkpoint is held against the one that the centre keeps of it.

pub mod shows;
pub mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::Centre;
use super::ask::{self, Asking, Outcome, Question};
use crate::centre::witness::Witness;
use crate::command::ops::{self, audit};
use crate::domain::{BoxId, Op};
use crate::store::audit::export::Export;
use crate::store::audit::proof::Range;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold logs against the checkpoints that are kept of them; or an exported file, without any box
    Verify(Verifying),
    /// Records, verified
    Show(Showing),
    /// Prove that a record is in the log, or that the log began with an earlier one
    Proof(Proving),
    /// Keep records in a file that verifies without the box
    Export(Exporting),
}

#[derive(Debug, Args)]
pub(super) struct Verifying {
    #[command(flatten)]
    asking: Asking,
    /// An exported file, instead of asking boxes
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Hold the file against this checkpoint, instead of the one that is kept
    #[arg(long, value_name = "FILE", requires = "file")]
    checkpoint: Option<PathBuf>,
    /// Take the log as it is now, whatever was before: after you have looked into an alarm
    #[arg(long, conflicts_with = "file")]
    accept: bool,
    /// Folder of the checkpoints that are kept [default: audit beside the state of tail]
    #[arg(long, value_name = "DIR")]
    witness: Option<PathBuf>,
}

/// Which records.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Number of the first record
    #[arg(long, value_name = "N")]
    first: Option<u64>,
    /// Number of the last record [default: the newest]
    #[arg(long, value_name = "N", requires = "first")]
    last: Option<u64>,
    /// So many of the newest records
    #[arg(long, value_name = "N", conflicts_with_all = ["first", "last"])]
    newest: Option<u64>,
}

impl Which {
    /// The arguments; without any, the `usual` number of the newest.
    #[must_use]
    pub fn args(&self, usual: u64) -> audit::export::Args {
        let newest = self.newest.or_else(|| self.first.is_none().then_some(usual));
        audit::export::Args { first: self.first, last: self.last, newest }
    }
}

#[derive(Debug, Args)]
struct Showing {
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    which: Which,
    /// Records of this event alone, or of all whose word begins so
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
}

#[derive(Debug, Args)]
struct Proving {
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    about: About,
    /// Write the record with its proof and checkpoint into a file, for `audit verify --file`
    #[arg(long, value_name = "FILE", requires = "record")]
    out: Option<PathBuf>,
}

/// What a proof is about.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct About {
    /// Number of a record
    #[arg(long, value_name = "N")]
    record: Option<u64>,
    /// Size of an earlier log
    #[arg(long, value_name = "N")]
    old: Option<u64>,
}

impl About {
    /// The arguments.
    #[must_use]
    pub fn args(&self) -> audit::proof::Args {
        audit::proof::Args { old: self.old, record: self.record, ..audit::proof::Args::default() }
    }
}

#[derive(Debug, Args)]
struct Exporting {
    #[command(flatten)]
    asking: Asking,
    /// Number of the first record
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// Number of the last record [default: the newest]
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// File; of several boxes, a folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Verify(verifying) => verify::run(centre, verifying).await,
        What::Show(showing) => {
            let args = showing.which.args(50);
            let question = Question::new(Op::AuditExport, ops::encode(&args)).attached(audit::export::attached);
            let show = shows::Records { event: showing.event, keys: shows::Believed::Registry(centre.boxes()?) };
            ask::run(centre, &showing.asking, question, &show).await
        }
        What::Proof(Proving { asking, about: About { record: Some(record), .. }, out: Some(out) }) => {
            let asked = Exporting { asking, first: record, last: Some(record), out };
            export(centre, &asked).await
        }
        What::Proof(proving) => {
            let question = Question::new(Op::AuditProof, ops::encode(&proving.about.args()));
            let show = shows::Proof { about: proving.about, keys: shows::Believed::Registry(centre.boxes()?) };
            ask::run(centre, &proving.asking, question, &show).await
        }
        What::Export(exporting) => export(centre, &exporting).await,
    }
}

/// Where checkpoints are kept.
pub(super) fn witness(centre: &Centre, given: Option<&Path>) -> anyhow::Result<Witness> {
    let dir = if let Some(dir) = given {
        dir.to_owned()
    } else {
        let state = centre.state.as_deref().context("--witness is not given (or give --centre DIR)")?;
        state.parent().unwrap_or(Path::new(".")).join("audit")
    };
    Ok(Witness::new(&dir))
}

/// Gets the records of each box, in as many steps as it takes, and writes a file of them that was verified.
async fn export(centre: &Centre, asked: &Exporting) -> anyhow::Result<ExitCode> {
    let boxes = asked.asking.whom(centre)?;
    let into_folder = boxes.len() > 1 || asked.out.is_dir();
    if into_folder {
        std::fs::create_dir_all(&asked.out).with_context(|| format!("{} cannot be made", asked.out.display()))?;
    }
    let known = shows::Believed::Registry(centre.boxes()?);
    let (mut failed, as_json) = (0, asked.asking.signing.json);
    for (box_id, _) in &boxes {
        let path = if into_folder { asked.out.join(format!("{box_id}.audit")) } else { asked.out.clone() };
        let mut out = std::io::stdout().lock();
        match fetch(centre, asked, box_id, &known).await {
            Ok(export) => {
                std::fs::write(&path, export.encode())
                    .with_context(|| format!("{} cannot be written", path.display()))?;
                let (first, last, size) = (export.range.first, export.range.last(), export.range.head.size);
                if as_json {
                    let told = json!({
                        "box": box_id.as_str(), "ok": true, "first": first, "last": last, "size": size, "file": path,
                    });
                    writeln!(out, "{told}")?;
                } else {
                    writeln!(out, "{box_id}: records {first} to {last} of {size}, verified: {}", path.display())?;
                }
            }
            Err(error) => {
                failed += 1;
                let why = crate::causes::line(&error);
                if as_json {
                    writeln!(out, "{}", json!({ "box": box_id.as_str(), "ok": false, "why": why }))?;
                } else {
                    writeln!(out, "{box_id}: {why}")?;
                }
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One record of a box, verified with its proof.
///
/// # Errors
/// When the box did not give it, or it does not verify.
pub(super) async fn record(centre: &Centre, asking: &Asking, box_id: &BoxId, number: u64) -> anyhow::Result<Export> {
    let asked = Exporting { asking: asking.clone(), first: number, last: Some(number), out: PathBuf::new() };
    fetch(centre, &asked, box_id, &shows::Believed::Registry(centre.boxes()?)).await
}

async fn fetch(centre: &Centre, asked: &Exporting, box_id: &BoxId, known: &shows::Believed) -> anyhow::Result<Export> {
    let mut asking = asked.asking.clone();
    (asking.box_ids, asking.site, asking.all) = (vec![box_id.clone()], None, false);
    let mut whole: Option<Export> = None;
    loop {
        let first = whole.as_ref().map_or(asked.first, |export| export.range.last() + 1);
        let args = audit::export::Args { first: Some(first), last: asked.last, newest: None };
        let question = Question::new(Op::AuditExport, ops::encode(&args)).attached(audit::export::attached);
        let answer = match ask::gather(centre, &asking, question).await?.pop() {
            Some((_, Outcome::Answered(answer))) if answer.missing.is_empty() => answer,
            Some((_, Outcome::Refused(reply))) => bail!("{}", ask::why(&reply)),
            Some((_, other)) => bail!("{}", ask::word(&other)),
            None => bail!("no box was asked"),
        };
        let part = shows::export_of(&answer)?;
        known.check(box_id, &part)?;
        let joined = match whole {
            None => part,
            Some(before) => join(before, part),
        };
        joined.check()?;
        if joined.range.last() >= asked.last.unwrap_or(joined.range.head.size).min(joined.range.head.size) {
            return Ok(joined);
        }
        whole = Some(joined);
    }
}

/// One range of two that follow each other, under the later head.
fn join(before: Export, part: Export) -> Export {
    let mut leaves = before.range.leaves;
    leaves.extend(part.range.leaves);
    let range = Range { first: before.range.first, before: before.range.before, leaves, ..part.range };
    Export::new(part.checkpoint, range)
}
