//! `watchpostctl evidence view`: what a camera showed when something was wrong with its picture, as a file.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{gathered, id_of, save};
use crate::cli::ctl::Centre;
use crate::cli::ctl::ask::Asking;
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::{EventId, Picture};

/// Options of `evidence view`.
#[derive(Debug, Args)]
pub(super) struct Fetching {
    /// Id of the picture, as `camera list` shows it
    #[arg(value_name = "ID", value_parser = id_of)]
    id: EventId,
    /// The file (JPEG); it must not be there yet, and is made for its owner alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// Asks for the picture and saves it.
pub(super) async fn fetch(centre: &Centre, options: &Fetching) -> anyhow::Result<ExitCode> {
    let boxes = options.asking.whom(centre)?;
    let [(box_id, _)] = boxes.as_slice() else { bail!("a picture is of one box: name it by --box BOX") };
    let path = options.out.display();
    if options.out.exists() {
        bail!("{path} is there already: name another file");
    }
    let args = evidence::Args { id: options.id, pictures: None, rows: None, clip: None };
    let answer = gathered(centre, &options.asking, &args).await?;
    let told: evidence::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
    let Some(given) = told.pictures.iter().find(|given| given.picture == Picture::View) else {
        bail!("{box_id}: this is a sighting, not the picture of a camera: ask for its clip or its bundle");
    };
    let bytes = answer.attachments.get(&given.attached.id).context("the picture did not come: ask again")?;
    save(&options.out, bytes)?;
    writeln!(std::io::stdout().lock(), "{box_id}: {} bytes in {path}", bytes.len())?;
    Ok(ExitCode::SUCCESS)
}
