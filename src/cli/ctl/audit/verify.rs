//! `watchpostctl audit verify`: the logs of boxes against the checkpoints that are kept of them, or a file against both.
//!
//! Also the duty of `watchpostctl tail`, which asks for proofs as checkpoints arrive.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{Verifying, shows};
use crate::centre::boxes::KnownBox;
use crate::centre::note;
use crate::centre::witness::{Alarm, Watched, Witness};
use crate::cli::ctl::Centre;
use crate::cli::ctl::ask::{self, Asking, Outcome, Question};
use crate::clock::Clock;
use crate::command::ops::{self, audit};
use crate::domain::tree::{Edge, leaf_hash};
use crate::domain::{BoxId, Checkpoint, Op, Reason, TimeMs, tree};
use crate::store::audit::AuditRecord;
use crate::store::audit::export::{Export, MAX_EXPORT};

/// What came of it at one box.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing was kept of it; from now on it is.
    First(Checkpoint),
    /// It begins with what was kept, of so many records.
    Sound {
        /// Records that were kept before.
        had: u64,
        /// What is believed now.
        now: Checkpoint,
    },
    /// It contradicts what is kept.
    Alarm(String),
    /// It was not asked or did not answer.
    Unasked(String),
}

impl Verdict {
    /// In words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::First(now) => format!("{} records; nothing was kept of it, from now on this is", now.head.size),
            Self::Sound { had, now } if *had == now.head.size => format!("{had} records, as they are kept"),
            Self::Sound { had, now } => format!("{} records, beginning with the {had} that were kept", now.head.size),
            Self::Alarm(what) => format!("ALARM: {what}"),
            Self::Unasked(why) => format!("not verified: {why}"),
        }
    }

    /// Whether somebody has to look.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Alarm(_) | Self::Unasked(_))
    }
}

pub(super) async fn run(centre: &Centre, options: Verifying) -> anyhow::Result<ExitCode> {
    if let Some(file) = &options.file {
        return offline(centre, &options, file);
    }
    let witness = super::witness(centre, options.witness.as_deref())?;
    let boxes = options.asking.whom(centre)?;
    let mut wrong = 0;
    for (box_id, known) in &boxes {
        let verdict = one(centre, &options.asking, &witness, (box_id, known), options.accept).await?;
        wrong += usize::from(verdict.is_wrong());
        let mut out = std::io::stdout().lock();
        if options.asking.signing.json {
            let told = json!({ "box": box_id.as_str(), "ok": !verdict.is_wrong(), "verdict": verdict.text() });
            writeln!(out, "{told}")?;
        } else {
            writeln!(out, "{box_id}: {}", verdict.text())?;
        }
    }
    let mut out = std::io::stdout().lock();
    if boxes.len() > 1 && !options.asking.signing.json {
        writeln!(out, "{} of {} logs are sound", boxes.len() - wrong, boxes.len())?;
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a box said to a question about its log.
enum Said {
    Proof(Box<audit::proof::Answer>),
    Refused(Reason, String),
    Nothing(String),
}

async fn put(centre: &Centre, asking: &Asking, box_id: &BoxId, args: &audit::proof::Args) -> anyhow::Result<Said> {
    let mut asking = asking.clone();
    (asking.box_ids, asking.site, asking.all) = (vec![box_id.clone()], None, false);
    let question = Question::new(Op::AuditProof, ops::encode(args));
    Ok(match ask::gather_quietly(centre, &asking, question).await?.pop() {
        Some((_, Outcome::Answered(answer))) => {
            Said::Proof(Box::new(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?))
        }
        Some((_, Outcome::Refused(reply))) => {
            Said::Refused(reply.reason.unwrap_or(Reason::Internal), reply.text.clone().unwrap_or_default())
        }
        Some((_, other)) => Said::Nothing(ask::word(&other).to_owned()),
        None => Said::Nothing("no box was asked".to_owned()),
    })
}

/// Holds the log of one box against what is kept of it.
///
/// # Errors
/// No key to ask with, no session with the broker, or files of the witness that cannot be read or written.
pub(in crate::cli::ctl) async fn one(
    centre: &Centre,
    asking: &Asking,
    witness: &Witness,
    (box_id, known): (&BoxId, &KnownBox),
    accept: bool,
) -> anyhow::Result<Verdict> {
    let keys = known.keys();
    let of = Watched { site: &known.site, box_id, keys: &keys };
    let now = Clock::system().utc();
    let kept = witness.known(&of)?;
    let Some(kept) = kept.filter(|_| !accept) else {
        // As it is now, with its first record as proof that it is a log.
        let args = audit::proof::Args { record: Some(1), ..audit::proof::Args::default() };
        return Ok(match put(centre, asking, box_id, &args).await? {
            Said::Proof(told) => {
                let note = told.checkpoint.context("the box sent no checkpoint")?;
                match witness.accept(&of, &note, now)? {
                    Ok(checkpoint) => Verdict::First(checkpoint),
                    Err(alarm) => Verdict::Alarm(alarm.to_string()),
                }
            }
            Said::Refused(_, why) | Said::Nothing(why) => Verdict::Unasked(why),
        });
    };
    if let Some((what, since)) = &kept.alarm {
        let advice = "look into it, then `watchpostctl audit verify --accept`";
        return Ok(Verdict::Alarm(format!("{what}, since {since}: {advice}")));
    }
    let had = kept.believed.head.size;
    let args = audit::proof::Args { old: Some(had), log: Some(kept.believed.log), ..audit::proof::Args::default() };
    match put(centre, asking, box_id, &args).await? {
        Said::Proof(told) => {
            let note = told.checkpoint.context("the box sent no checkpoint")?;
            Ok(match witness.prove(&of, &note, &told.proof, now)? {
                Ok(checkpoint) => Verdict::Sound { had, now: checkpoint },
                Err(alarm) => Verdict::Alarm(alarm.to_string()),
            })
        }
        Said::Refused(Reason::Conflict | Reason::NotFound, _) => {
            contradicted(centre, asking, witness, &of, had, now).await
        }
        Said::Refused(Reason::Internal, why) => {
            let alarm = Alarm::Changed { now: had, had, why };
            witness.raise(&of, &alarm, now)?;
            Ok(Verdict::Alarm(alarm.to_string()))
        }
        Said::Refused(_, why) | Said::Nothing(why) => Ok(Verdict::Unasked(why)),
    }
}

/// The box has not the log that is kept: its first record says which it has, and why.
async fn contradicted(
    centre: &Centre,
    asking: &Asking,
    witness: &Witness,
    of: &Watched<'_>,
    had: u64,
    now: TimeMs,
) -> anyhow::Result<Verdict> {
    let args = audit::proof::Args { record: Some(1), ..audit::proof::Args::default() };
    let told = match put(centre, asking, of.box_id, &args).await? {
        Said::Proof(told) => told,
        Said::Refused(_, why) | Said::Nothing(why) => return Ok(Verdict::Unasked(why)),
    };
    let note = told.checkpoint.as_deref().context("the box sent no checkpoint")?;
    let checkpoint = match note::open(note, &tree::origin(of.site, of.box_id), of.keys) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Verdict::Alarm(Alarm::Forged(error.to_string()).to_string())),
    };
    let kept = witness.known(of)?.context("nothing is kept of the box any more")?;
    let alarm = if checkpoint.log == kept.believed.log {
        Alarm::Rollback { now: checkpoint.head.size, had }
    } else {
        let leaf = told.leaf.as_deref().unwrap_or_default();
        tree::check_inclusion(&checkpoint.head, 1, leaf, &told.proof)?;
        let first = AuditRecord::decode(leaf).context("the first record of the new log cannot be read")?;
        Alarm::Replaced { log: checkpoint.log.to_string(), had, why: why(&first, &kept.believed) }
    };
    witness.raise(of, &alarm, now)?;
    Ok(Verdict::Alarm(alarm.to_string()))
}

/// What a log's first record says of the one before, held against what is kept of that.
fn why(first: &AuditRecord, kept: &Checkpoint) -> String {
    let reason = first.detail("why").unwrap_or("it does not say why");
    let size = first.detail("old_size").and_then(|size| size.parse::<u64>().ok());
    let named = match (size, first.detail("old_root")) {
        (Some(size), Some(root)) if size == kept.head.size && root == kept.head.root.to_string() => {
            "it names exactly the head that is kept here".to_owned()
        }
        (Some(size), Some(_)) if size > kept.head.size => {
            format!("it names a head of {size} records, more than are kept here: get the one set aside and compare")
        }
        (Some(size), _) => format!("it names a head of {size} records, which is not the one that is kept here"),
        (None, _) => "it names no log before it".to_owned(),
    };
    format!("the box says: {reason}; {named}")
}

/// A file, without any box.
fn offline(centre: &Centre, options: &Verifying, file: &Path) -> anyhow::Result<ExitCode> {
    let size = std::fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    if size > MAX_EXPORT as u64 {
        bail!("{} has {size} bytes, an export has at most {MAX_EXPORT}", file.display());
    }
    let export = Export::decode(&std::fs::read(file).with_context(|| format!("{}", file.display()))?)?;
    let (claimed, _) = export.check().with_context(|| format!("{}", file.display()))?;
    let boxes = centre.boxes()?;
    let whose = boxes.iter().find(|(id, known)| tree::origin(&known.site, id) == claimed.origin);
    let (box_id, known) =
        whose.with_context(|| format!("{} is of {}, which is not in the registry", file.display(), claimed.origin))?;
    let records = shows::Believed::Registry(boxes.clone()).check(box_id, &export)?;
    let (first, last, of) = (export.range.first, export.range.last(), claimed.head.size);
    let mut lines =
        vec![format!("{box_id}: records {first} to {last} of {of}, {} in all: as the box signed them", records.len())];
    let keys = known.keys();
    let kept = if let Some(path) = &options.checkpoint {
        let note = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
        Some(note::open(&note, &claimed.origin, &keys)?)
    } else {
        let watched = Watched { site: &known.site, box_id, keys: &keys };
        super::witness(centre, options.witness.as_deref())?.known(&watched)?.map(|known| known.believed)
    };
    let held = held_against(&export, &claimed, kept.as_ref());
    let wrong = held.is_err();
    lines.push(format!("{box_id}: {}", held.unwrap_or_else(|what| format!("ALARM: {what}"))));
    let mut out = std::io::stdout().lock();
    if options.asking.signing.json {
        writeln!(out, "{}", json!({ "box": box_id.as_str(), "ok": !wrong, "verdict": lines }))?;
    } else {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether an export, which is sound in itself, goes with a checkpoint that was kept.
fn held_against(export: &Export, claimed: &Checkpoint, kept: Option<&Checkpoint>) -> Result<String, String> {
    let Some(kept) = kept else { return Ok("no checkpoint is kept of it to hold it against".to_owned()) };
    let size = kept.head.size;
    if kept.log != claimed.log {
        return Err(format!("it is of the log {}, kept is a checkpoint of the log {}", claimed.log, kept.log));
    }
    if *kept == *claimed {
        return Ok(format!("its checkpoint is the one of {size} records that is kept"));
    }
    if size == claimed.head.size {
        return Err(format!("forked: another log of {size} records than the one that is kept"));
    }
    if export.range.first == 1 && size <= export.range.last() {
        let mut edge = Edge::default();
        export.range.leaves.iter().zip(0..size).for_each(|(leaf, _)| drop(edge.push(leaf_hash(leaf))));
        return if edge.head() == kept.head {
            Ok(format!("it begins with the {size} records that are kept"))
        } else {
            Err(format!("changed: it does not begin with the {size} records that are kept"))
        };
    }
    Ok(format!(
        "not held against the checkpoint of {size} records that is kept: export from --first 1, or verify online"
    ))
}
