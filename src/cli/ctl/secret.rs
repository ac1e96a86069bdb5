//! `watchpostctl secret`: credentials of boxes, sealed so that the box alone can open them; nobody can read one back.

use std::io::{IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ask::{self, Answer, Asking, Outcome, Question, Show};
use super::{Centre, printable};
use crate::command::ops::secret;
use crate::command::ops::{decode, encode};
use crate::command::secrets::{MAX_SECRET, Whose, seal};
use crate::domain::{BoxId, Op};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Names of the credentials that the centre has set
    List(Asking),
    /// Set a credential: user:password, from stdin or a file; never from the command line
    Set(Setting),
    /// Take a credential out
    Remove(Removing),
}

#[derive(Debug, Args)]
struct Setting {
    /// The name that cameras call it by
    name: String,
    /// The file that holds it, instead of stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Removing {
    /// The name that cameras call it by
    name: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::List(asking) => ask::run(centre, &asking, question(&secret::Args::default()), &Names).await,
        What::Remove(removing) => {
            let args = secret::Args { name: Some(removing.name), sealed: None };
            ask::run(centre, &removing.asking, question(&args), &Names).await
        }
        What::Set(setting) => set(centre, &setting).await,
    }
}

fn question(args: &secret::Args) -> Question {
    Question::new(Op::SecretSet, encode(args))
}

fn told(answer: &Answer) -> anyhow::Result<secret::Answer> {
    Ok(decode(answer.reply.result.as_deref().unwrap_or_default())?)
}

/// Asks each box for its key, which its answer signs, and seals to that.
async fn set(centre: &Centre, setting: &Setting) -> anyhow::Result<ExitCode> {
    let text = read(setting)?;
    let boxes = centre.boxes()?;
    let mut answers = Vec::new();
    for (box_id, outcome) in ask::gather(centre, &setting.asking, question(&secret::Args::default())).await? {
        let Outcome::Answered(answer) = &outcome else {
            answers.push((box_id, outcome));
            continue;
        };
        let Some((_, known)) = boxes.iter().find(|(id, _)| **id == box_id) else {
            bail!("{box_id} is not in the registry of boxes any more");
        };
        let whose = Whose { site: &known.site, box_id: &box_id };
        let sealed = seal(&told(answer)?.public, whose, &setting.name, &text)?;
        let one = Asking { box_ids: vec![box_id.clone()], site: None, all: false, ..setting.asking.clone() };
        let args = secret::Args { name: Some(setting.name.clone()), sealed: Some(sealed) };
        answers.extend(ask::gather(centre, &one, question(&args)).await?);
    }
    let complete = ask::report(&answers, setting.asking.signing.json, &Names, &mut std::io::stdout().lock())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The secret, without the end of its line.
fn read(setting: &Setting) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
    let most = MAX_SECRET as u64 + 1;
    if let Some(path) = &setting.file {
        let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        file.take(most).read_to_end(&mut text).with_context(|| format!("{} cannot be read", path.display()))?;
    } else {
        if std::io::stdin().is_terminal() {
            writeln!(std::io::stderr(), "user:password, then Ctrl-D (it is shown; from a pipe or --file it is not):")?;
        }
        std::io::stdin().lock().take(most).read_to_end(&mut text).context("stdin")?;
    }
    while matches!(text.last(), Some(b'\n' | b'\r')) {
        text.pop();
    }
    if !text.contains(&b':') {
        bail!("the credential holds no user:password");
    }
    Ok(text)
}

struct Names;

impl Show for Names {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let told = told(answer)?;
        let cameras: Vec<&str> = told.cameras.iter().map(crate::domain::CameraId::as_str).collect();
        Ok(json!({ "names": told.names, "reopened": cameras }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = told(answer)?;
        let names = if told.names.is_empty() { "none".to_owned() } else { told.names.join(", ") };
        writeln!(out, "{box_id}: credentials of the centre: {}", printable(&names))?;
        for camera in &told.cameras {
            writeln!(out, "  camera {} is opened anew with it", printable(camera.as_str()))?;
        }
        Ok(())
    }
}
