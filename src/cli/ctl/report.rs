//! `watchpostctl report`: a month in counts of one box or many ([`crate::cli::report`]).

use std::process::ExitCode;

use clap::Args;

use super::Centre;
use super::ask::{self, Asking};
use crate::cli::report::What;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let answers = ask::gather(centre, &options.asking, options.what.question()).await?;
    let complete = options.what.show(&answers, options.asking.signing.json, &mut std::io::stdout())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
