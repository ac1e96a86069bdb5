//! `watchpostctl model`: models of boxes: what is there, packing one, sending it, putting it in force, going back.

mod pack;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use self::show::{Activated, Listed, RolledBack, Taken};
use super::Centre;
use super::ask::{self, Asking, Keys, Question};
use crate::command::blobs::BlobRef;
use crate::command::models::{Task, package};
use crate::command::ops::{self, model};
use crate::domain::Op;

/// Seconds that a box may take to try a model: its trial is ended after three minutes.
const TRIAL_WAIT: u64 = 200;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What is loaded, what came, how it did, what it can go back to
    List(Asking),
    /// Make a signed package of a model's folder and canary pictures; asks no box
    Pack(pack::Packing),
    /// Send a package; each box tries it on its canary pictures and keeps it, not yet in force
    Put(Putting),
    /// Put models that came in force, on probation: the box starts anew and goes back by itself when they do not do
    Activate(Activating),
    /// Put the models in force again that were before
    Rollback(Asking),
}

#[derive(Debug, Args)]
struct Putting {
    /// The package, as `model pack` makes it
    #[arg(value_name = "FILE")]
    package: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Activating {
    /// Models that came, as NAME-VERSION; those that need each other together
    #[arg(value_name = "MODEL", required_unless_present = "configured")]
    models: Vec<String>,
    /// Tasks that are to be as the box's configuration says again: detector, reader, corners, vehicles
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    configured: Vec<Task>,
    #[command(flatten)]
    asking: Asking,
}

impl Options {
    /// The part that asks no box, and so needs no broker.
    pub(super) fn packing(&self) -> Option<&pack::Packing> {
        match &self.what {
            What::Pack(packing) => Some(packing),
            What::List(_) | What::Put(_) | What::Activate(_) | What::Rollback(_) => None,
        }
    }
}

/// Packs a model, signed with a key of the folder `keys`, or a file.
pub(super) fn pack(packing: &pack::Packing, keys: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    pack::run(packing, &Keys { dir: keys, keyring: None, root: None }, &mut std::io::stdout())
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        // It was done before a centre was looked for.
        What::Pack(_) => Ok(ExitCode::SUCCESS),
        What::List(asking) => {
            let question = Question::new(Op::ModelList, ops::encode(&model::list::Args {}));
            ask::run(centre, &asking, question, &Listed).await
        }
        What::Put(putting) => {
            let path = &putting.package;
            let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            package::peek(&bytes).with_context(|| format!("{}", path.display()))?;
            let args = model::put::Args { package: BlobRef::of(&bytes) };
            let question = Question::new(Op::ModelPut, ops::encode(&args)).blob(bytes);
            tried(centre, putting.asking, question, &Taken).await
        }
        What::Activate(activating) => {
            let models = activating.models.iter().map(|word| name_and_version(word)).collect::<anyhow::Result<_>>()?;
            let args = model::activate::Args { models, configured: activating.configured };
            tried(centre, activating.asking, Question::new(Op::ModelActivate, ops::encode(&args)), &Activated).await
        }
        What::Rollback(asking) => {
            let question = Question::new(Op::ModelRollback, ops::encode(&model::rollback::Args {}));
            ask::run(centre, &asking, question, &RolledBack).await
        }
    }
}

/// Asks for something that runs canary pictures, and shows how they went where they did not do.
async fn tried(
    centre: &Centre,
    mut asking: Asking,
    question: Question,
    show: &dyn ask::Show,
) -> anyhow::Result<ExitCode> {
    asking.wait = asking.wait.max(TRIAL_WAIT);
    let answers = ask::gather(centre, &asking, question).await?;
    let mut out = std::io::stdout().lock();
    let complete = ask::report(&answers, asking.signing.json, show, &mut out)?;
    if !asking.signing.json {
        show::failed_canaries(&answers, &mut out)?;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn name_and_version(word: &str) -> anyhow::Result<(String, String)> {
    match word.rsplit_once('-') {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => Ok((name.to_owned(), version.to_owned())),
        _ => bail!("{word:?}: name the model as NAME-VERSION, as `watchpostctl model list` shows it"),
    }
}
