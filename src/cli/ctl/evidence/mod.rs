//! `watchpostctl evidence`: from a hit to a court: all that it takes to believe it in one file, and that file verified.
//!
//! An investigator asks the box for pictures, rows and salts; the auditor's key asks for the audit records that account for
//! the alerts. Neither can do the other's part. Without the auditor's key the bundle has no proof, and says so.

pub mod bundle;
pub mod check;
mod clip;
pub mod scene;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::ask::{self, Answer, Asking, Keys, Outcome, Question};
use super::verdict::id_of;
use super::{Centre, audit};
use crate::centre::keys::PublicKey;
use crate::centre::wire::{self, Reply};
use crate::clock::Clock;
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::{BoxId, EventId, Op};
use bundle::{Bundle, MAX_BUNDLE, Parts};
use check::Trust;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put all that proves a sighting and its hits into one file (--purpose and --case are needed)
    Bundle(Box<Bundling>),
    /// Save the clip of a hit (--purpose and --case are needed)
    Clip(clip::Fetching),
    /// Save what a camera showed when something was wrong with its picture (--purpose and --case are needed)
    View(view::Fetching),
    /// Verify such a file, offline: exit code 1 at the first thing that does not fit
    Verify(Verifying),
}

#[derive(Debug, Args)]
struct Bundling {
    /// Id of an alert or a read: its sighting with all its hits and pictures
    #[arg(value_name = "ID", value_parser = id_of)]
    id: EventId,
    /// The file; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave the clip out: other plates and persons are seen in it
    #[arg(long)]
    no_clip: bool,
    /// Leave the scene as it is: other plates and persons are seen in it
    #[arg(long)]
    unsealed: bool,
    /// Ask for the proofs with this key: a role's name, or a file [default: auditor, where there is such a key]
    #[arg(long, value_name = "ROLE|FILE")]
    auditor: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Options of `evidence verify`.
#[derive(Debug, Args)]
pub struct Verifying {
    /// The file. The root key is that of --root-key or of the centre's folder; else the bundle's own, which is said
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key of the box, to compare
    #[arg(long, value_name = "FILE")]
    box_key: Option<PathBuf>,
}

impl Options {
    /// What needs no broker.
    pub(super) fn verifying(&self) -> Option<&Verifying> {
        match &self.what {
            What::Verify(verifying) => Some(verifying),
            What::Bundle(_) | What::Clip(_) | What::View(_) => None,
        }
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Bundle(bundling) => make(centre, &bundling).await,
        What::Clip(fetching) => clip::fetch(centre, &fetching).await,
        What::View(fetching) => view::fetch(centre, &fetching).await,
        // It needs no centre and was done before.
        What::Verify(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Verifies a file, and says each check on a line.
pub(super) fn verify(options: &Verifying, keys: &Keys) -> anyhow::Result<ExitCode> {
    let key = |path: &Option<PathBuf>| path.as_deref().map(PublicKey::read).transpose();
    let trust = Trust { root: key(&keys.root)?, box_key: key(&options.box_key)? };
    let path = options.file.display();
    let size = std::fs::metadata(&options.file).with_context(|| format!("{path}"))?.len();
    if size > MAX_BUNDLE as u64 {
        bail!("{path} has {size} bytes, a bundle has at most {MAX_BUNDLE}");
    }
    let bytes = std::fs::read(&options.file).with_context(|| format!("{path}"))?;
    let mut out = std::io::stdout().lock();
    let mut lines = Vec::new();
    let checked = check::check(&bytes, &trust, &mut |line| lines.push(line));
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(match checked {
        Ok(()) => {
            writeln!(out, "{path}: everything fits")?;
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(out, "{path}: DOES NOT FIT: {}", super::printable(&crate::causes::line(&error)))?;
            ExitCode::FAILURE
        }
    })
}

async fn make(centre: &Centre, options: &Bundling) -> anyhow::Result<ExitCode> {
    let boxes = options.asking.whom(centre)?;
    let [(box_id, known)] = boxes.as_slice() else { bail!("a bundle is of one box: name it by --box BOX") };
    if options.out.exists() {
        bail!("{} is there already: name another file", options.out.display());
    }
    let answer = asked(centre, options).await?;
    let told: evidence::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
    let hits = told.rows.map(|rows| rows.hits).unwrap_or_default();
    let proofs = proofs(centre, options, box_id, hits.iter().filter_map(|hit| hit.record).collect()).await?;
    let box_keys = known.keys();
    let (_, kid) = wire::verify::<Reply>(&answer.signed.bytes, &answer.signed.topic, &box_keys)?;
    let keyring = centre.keyring.as_deref().context("no keyring is known: give --keyring, or --centre DIR")?;
    let root = PublicKey::read(centre.root_key.as_deref().context("no root key is known: give --root-key")?)?;
    let signing = &options.asking.signing;
    let signers = signing.signers(&Keys::of(centre), Op::EvidenceGet)?;
    let unproven = proofs.as_ref().err().cloned();
    let bundle = Bundle::make(Parts {
        whose: (known.site.clone(), box_id.clone()),
        box_key: box_keys.get(kid).context("the key that signed the answer is gone from the registry")?,
        root: &root,
        keyring: std::fs::read(keyring).with_context(|| format!("{}", keyring.display()))?,
        topic_root: &centre.topic_root,
        answer: &answer,
        proofs,
        by: (&signers.first, &signers.issuer),
        why: (signing.purpose, signing.case.clone()),
        made: Clock::system().utc(),
        unsealed: options.unsealed,
    })?;
    let bytes = bundle.encode();
    // What is given to a court was verified by whoever made it.
    check::check(&bytes, &Trust { root: Some(root), box_key: None }, &mut |_| ())?;
    save(&options.out, &bytes)?;
    let (hits, files) = (hits.len(), bundle.files.len());
    let mut out = std::io::stdout().lock();
    if signing.json {
        let told = json!({
            "box": box_id.as_str(), "sighting": options.id.to_string(), "file": options.out.display().to_string(),
            "hits": hits, "files": files, "unproven": unproven,
        });
        writeln!(out, "{told}")?;
    } else {
        let proof = unproven.map_or_else(String::new, |why| format!(", NO PROOF from the audit log: {why}"));
        let path = options.out.display();
        writeln!(out, "{box_id}: sighting {} with {hits} hits, {files} files in {path}{proof}", options.id)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn asked(centre: &Centre, options: &Bundling) -> anyhow::Result<Answer> {
    let args = evidence::Args { id: options.id, pictures: None, rows: Some(true), clip: Some(!options.no_clip) };
    gathered(centre, &options.asking, &args).await
}

/// The answer of one box, with everything that it names.
async fn gathered(centre: &Centre, asking: &Asking, args: &evidence::Args) -> anyhow::Result<Answer> {
    let question = Question::new(Op::EvidenceGet, ops::encode(args)).attached(evidence::attached);
    match ask::gather(centre, asking, question).await?.pop() {
        Some((_, Outcome::Answered(answer))) if answer.missing.is_empty() => Ok(answer),
        Some((_, Outcome::Refused(reply))) => bail!("{}", ask::why(&reply)),
        Some((_, other)) => bail!("{}", ask::word(&other)),
        None => bail!("no box was asked"),
    }
}

/// The records with their proofs; or why there are none.
async fn proofs(
    centre: &Centre,
    options: &Bundling,
    box_id: &BoxId,
    numbers: BTreeSet<u64>,
) -> anyhow::Result<Result<BTreeMap<u64, Vec<u8>>, String>> {
    let has_key = centre.keys.as_ref().is_some_and(|dir| dir.join("auditor.key").exists());
    let word = match &options.auditor {
        Some(word) => word.clone(),
        None if has_key => "auditor".to_owned(),
        None => return Ok(Err("there was no auditor's key to ask for it".to_owned())),
    };
    let mut asking = options.asking.clone();
    (asking.signing.signer, asking.signing.second) = (Some(word), None);
    let mut proofs = BTreeMap::new();
    for number in numbers {
        let export = audit::record(centre, &asking, box_id, number).await;
        let export = export.with_context(|| format!("record {number} of the audit log"))?;
        proofs.insert(number, export.encode());
    }
    Ok(Ok(proofs))
}

fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
