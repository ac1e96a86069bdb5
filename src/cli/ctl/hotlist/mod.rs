//! `watchpostctl hotlist`: lists of boxes: what is there, packing and comparing packages, sending them, taking them away.
//!
//! `pack`, `diff` and `show` ask no box and need no broker: a package is made where the lists key is, and may be sent by
//! somebody else. `put --since` sends a box what changed when it has the older package, and the whole list when it has not.

mod pack;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use self::show::{Changed, Listed, Previewed};
use super::Centre;
use super::ask::{self, Asking, DoneIs, Keys, Outcome, Question};
use crate::command::lists::Package;
use crate::command::ops;
use crate::command::ops::hotlist::{self, Content};
use crate::domain::{BoxId, ListId, MatchPolicy, Op, Reason};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The lists of each box: serial, entries, owner, age, and why a newer one is not in force
    List(Listing),
    /// Make a signed package of a CSV file; asks no box
    Pack(pack::Packing),
    /// Make a signed delta of two packages of one list; asks no box
    Diff(pack::Diffing),
    /// What a package or delta says, and which plate an entry is; asks no box
    Show(pack::Showing),
    /// Put a whole list in force
    Put(Putting),
    /// Put in force what changed since a serial
    Patch(Patching),
    /// Take a list out of force
    Remove(Removing),
    /// What a list would match, and which misreads its policy accepts: counts alone
    Preview(Previewing),
}

#[derive(Debug, Args)]
struct Listing {
    /// Only this list
    #[arg(value_name = "LIST")]
    list: Option<ListId>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Putting {
    /// The package, as `hotlist pack` makes it
    #[arg(value_name = "FILE")]
    package: PathBuf,
    /// The package that boxes have: they are sent what changed since, and the whole list where they have another
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// It is meant that the list grows or shrinks so much; audited
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Patching {
    /// The delta, as `hotlist diff` makes it
    #[arg(value_name = "FILE")]
    delta: PathBuf,
    /// It is meant that the list grows or shrinks so much; audited
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Removing {
    /// The list
    #[arg(value_name = "LIST")]
    list: ListId,
    /// Only where this serial is in force
    #[arg(long, value_name = "SERIAL")]
    serial: Option<u32>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Previewing {
    /// A list in force, or the file of a package that is not
    #[arg(value_name = "LIST|FILE")]
    what: String,
    /// As if this were its policy: exact, confusable, near
    #[arg(long, value_name = "POLICY")]
    policy: Option<MatchPolicy>,
    /// Only what this plate as an entry would accept
    #[arg(long, value_name = "PLATE")]
    plate: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Options {
    /// Whether it asks no box, and so needs no broker.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self.what, What::Pack(_) | What::Diff(_) | What::Show(_))
    }
}

/// What asks no box, signed with a key of `keys`.
pub(super) fn offline(options: &Options, keys: &Keys) -> anyhow::Result<ExitCode> {
    let out = &mut std::io::stdout();
    match &options.what {
        What::Pack(packing) => pack::pack(packing, keys, out),
        What::Diff(diffing) => pack::diff(diffing, keys, out),
        What::Show(showing) => pack::show(showing, keys, out),
        What::List(_) | What::Put(_) | What::Patch(_) | What::Remove(_) | What::Preview(_) => Ok(ExitCode::SUCCESS),
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::List(Listing { list, asking }) => {
            let question = Question::new(Op::HotlistList, ops::encode(&hotlist::list::Args { list }));
            ask::run(centre, &asking, question, &Listed).await
        }
        What::Put(putting) => put(centre, putting).await,
        What::Patch(patching) => {
            let bytes = read(&patching.delta)?;
            if Package::inspect(&bytes)?.header.base.is_none() {
                bail!("{} is a whole list: send it with `hotlist put`", patching.delta.display());
            }
            let question = sending(Op::HotlistPatch, bytes, patching.force);
            ask::run(centre, &patching.asking, question, &Changed).await
        }
        What::Remove(Removing { list, serial, asking }) => {
            let args = hotlist::remove::Args { list, serial };
            let question = Question::new(Op::HotlistRemove, ops::encode(&args));
            ask::run(centre, &asking, question, &DoneIs("removed")).await
        }
        What::Preview(previewing) => preview(centre, previewing).await,
        // They were done before a centre was looked for.
        What::Pack(_) | What::Diff(_) | What::Show(_) => Ok(ExitCode::SUCCESS),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// A package on its way: in the command when it is small, else as a blob.
fn sending(op: Op, package: Vec<u8>, force: bool) -> Question {
    let content = Content::of(&package);
    let blob = content.blob.is_some();
    let args = hotlist::Args { package: content, force: force.then_some(true) };
    let question = Question::new(op, ops::encode(&args));
    if blob { question.blob(package) } else { question }
}

async fn put(centre: &Centre, putting: Putting) -> anyhow::Result<ExitCode> {
    let Putting { package, since, force, mut asking } = putting;
    let bytes = read(&package)?;
    if Package::inspect(&bytes)?.header.base.is_some() {
        bail!("{} is a delta: send it with `hotlist patch`", package.display());
    }
    let mut answers = Vec::new();
    if let Some(since) = since {
        let signer = asking.signing.signer.clone().unwrap_or_else(|| "lists".to_owned());
        let delta = pack::delta(&read(&since)?, &bytes, &Keys::of(centre).key(&signer)?)?;
        let patched = ask::gather(centre, &asking, sending(Op::HotlistPatch, delta, force)).await?;
        let (others, done): (Vec<_>, Vec<_>) = patched.into_iter().partition(|(_, outcome)| wants_whole(outcome));
        answers.extend(done);
        asking.box_ids = others.into_iter().map(|(id, _)| id).collect::<Vec<BoxId>>();
        (asking.all, asking.site) = (false, None);
        if asking.box_ids.is_empty() {
            return shown(&answers, &asking);
        }
    }
    answers.extend(ask::gather(centre, &asking, sending(Op::HotlistPut, bytes, force)).await?);
    shown(&answers, &asking)
}

fn shown(answers: &[(BoxId, Outcome)], asking: &Asking) -> anyhow::Result<ExitCode> {
    let complete = ask::report(answers, asking.signing.json, &Changed, &mut std::io::stdout().lock())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the box has another list than the delta builds on, or none.
fn wants_whole(outcome: &Outcome) -> bool {
    let reasons = [Some(Reason::OtherBase), Some(Reason::NotFound)];
    matches!(outcome, Outcome::Refused(reply) if reasons.contains(&reply.reason))
}

async fn preview(centre: &Centre, previewing: Previewing) -> anyhow::Result<ExitCode> {
    let Previewing { what, policy, plate, asking } = previewing;
    let file = Path::new(&what);
    let (list, package) = if file.is_file() {
        (None, Some(read(file)?))
    } else {
        let id = ListId::new(&what).with_context(|| format!("{what:?} is neither a file nor the name of a list"))?;
        (Some(id), None)
    };
    let content = package.as_deref().map(Content::of);
    let blob = content.as_ref().is_some_and(|c| c.blob.is_some());
    let args = hotlist::preview::Args { list, package: content, policy, plate };
    let mut question = Question::new(Op::HotlistPreview, ops::encode(&args));
    if let Some(package) = package.filter(|_| blob) {
        question = question.blob(package);
    }
    ask::run(centre, &asking, question, &Previewed).await
}
