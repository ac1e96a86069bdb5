//! `watchpost audit`: this box's audit log by hand, under the same key, operations and records as over MQTT.
//!
//! What is shown verified against the box's own key: that says that the log goes together, not that nobody rolled the whole
//! disk back. Only the centre, which keeps checkpoints, can say that (`watchpostctl audit verify`).

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::ctl::ask::{self, Outcome, Question};
use super::ctl::audit::shows::{self, Believed};
use super::ctl::audit::{About, Which};
use super::local;
use crate::centre::keys::{Keys, SigningKey};
use crate::command::ops::{self, audit};
use crate::config;
use crate::domain::Op;
use crate::supervise;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Records, verified
    Show {
        #[command(flatten)]
        local: local::Options,
        #[command(flatten)]
        which: Which,
        /// Records of this event alone, or of all whose word begins so
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
    },
    /// Prove that a record is in the log, or that the log began with an earlier one
    Proof {
        #[command(flatten)]
        local: local::Options,
        #[command(flatten)]
        about: About,
    },
    /// Keep records in a file that verifies without the box: `watchpostctl audit verify --file`
    Export {
        #[command(flatten)]
        local: local::Options,
        #[command(flatten)]
        which: Which,
        /// The file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Runs the verb: 0 when it was done.
///
/// # Errors
/// No such key, or neither a daemon nor a store that can be opened.
pub fn run(options: Options, out: &mut dyn Write) -> anyhow::Result<u8> {
    match options.what {
        What::Show { local, which, event } => {
            let show = shows::Records { event, keys: own(&local)? };
            local::run(&local, export(&which, 50), &show, out)
        }
        What::Proof { local, about } => {
            let question = Question::new(Op::AuditProof, ops::encode(&about.args()));
            let keys = own(&local)?;
            local::run(&local, question, &shows::Proof { about, keys }, out)
        }
        What::Export { local, which, out: path } => {
            let keys = own(&local)?;
            let (box_id, outcome) = local::gather(&local, export(&which, u64::MAX))?;
            let answer = match outcome {
                Outcome::Answered(answer) if answer.missing.is_empty() => answer,
                Outcome::Refused(reply) => bail!("{}", ask::why(&reply)),
                other => bail!("{}", ask::word(&other)),
            };
            let file = shows::export_of(&answer)?;
            keys.check(&box_id, &file)?;
            std::fs::write(&path, file.encode()).with_context(|| format!("{} cannot be written", path.display()))?;
            let (first, last, size) = (file.range.first, file.range.last(), file.range.head.size);
            writeln!(out, "records {first} to {last} of {size}, verified: {}", path.display())?;
            Ok(0)
        }
    }
}

fn export(which: &Which, usual: u64) -> Question {
    Question::new(Op::AuditExport, ops::encode(&which.args(usual))).attached(audit::export::attached)
}

/// The box's own key is the one that counts here.
fn own(local: &local::Options) -> anyhow::Result<Believed> {
    let config = config::load(&local.config)?;
    let key = SigningKey::read(&supervise::box_key_path(&config)).context("the box's key, which signs checkpoints")?;
    Ok(Believed::This(config.site.site.clone(), Keys::from(key.public().clone())))
}
