//! `watchpostctl key`: who may do what, and the boxes' own keys.
//!
//! `show`, `make`, `add` and `revoke` need no broker: they are for the machine that has the root's private key, which may
//! well have no network. Each writes the keyring of the next serial; `put` takes it to the boxes. `rotate` changes a box's
//! key.

mod ring;
mod rotate;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Centre;
use super::ask::{self, Answer, Asking, Question, Show};
use crate::command::ops::{self, keyring_put};
use crate::domain::{BoxId, Op};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The keyring: keys, names, roles, organisations, until when
    Show(ring::Show),
    /// Make a person's key, and the keyring that has it
    Make(ring::Make),
    /// The keyring with a key that was made elsewhere
    Add(ring::Add),
    /// The keyring in which a key does not count any more
    Revoke(ring::Revoke),
    /// Put the keyring on boxes
    Put(Asking),
    /// Another signing key for boxes; the one before is believed for some days more
    Rotate(rotate::Rotate),
}

/// Where keyring, root and keys are.
pub(super) struct Files {
    pub(super) keyring: Option<PathBuf>,
    pub(super) root_key: Option<PathBuf>,
    pub(super) keys: Option<PathBuf>,
}

impl Options {
    /// Whether a broker is needed.
    pub(super) fn is_offline(&self) -> bool {
        match self.what {
            What::Show(_) | What::Make(_) | What::Add(_) | What::Revoke(_) => true,
            What::Put(_) | What::Rotate(_) => false,
        }
    }

    /// Runs what needs no broker; nothing for the others.
    pub(super) fn run_offline(&self, files: &Files, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match &self.what {
            What::Show(options) => ring::show(files, options, out)?,
            What::Make(options) => ring::make(files, options, out)?,
            What::Add(options) => ring::add(files, options, out)?,
            What::Revoke(options) => ring::revoke(files, options, out)?,
            What::Put(_) | What::Rotate(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    match options.what {
        What::Put(asking) => put(centre, &asking).await,
        What::Rotate(rotate) => rotate::run(centre, rotate).await,
        // They were run before.
        What::Show(_) | What::Make(_) | What::Add(_) | What::Revoke(_) => Ok(ExitCode::SUCCESS),
    }
}

async fn put(centre: &Centre, asking: &Asking) -> anyhow::Result<ExitCode> {
    let path = centre.keyring.as_deref().with_context(|| super::missing("keyring"))?;
    let keyring = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let question = Question::new(Op::KeyringPut, ops::encode(&keyring_put::Args { keyring }));
    ask::run(centre, asking, question, &Put).await
}

struct Put;

impl Put {
    fn answer(answer: &Answer) -> anyhow::Result<keyring_put::Answer> {
        Ok(ops::decode(answer.reply.result.as_deref().unwrap_or_default())?)
    }
}

impl Show for Put {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let answer = Self::answer(answer)?;
        Ok(json!({ "serial": answer.serial, "before": answer.before }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = Self::answer(answer)?;
        if answer.serial == answer.before {
            writeln!(out, "{box_id}: has the keyring of serial {} already", answer.serial)?;
        } else {
            writeln!(out, "{box_id}: keyring of serial {} in force, {} before", answer.serial, answer.before)?;
        }
        Ok(())
    }
}
