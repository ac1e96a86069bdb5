//! `watchpostctl evidence clip`: the clip of a hit as a file that any player plays.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{gathered, id_of, save};
use crate::cli::ctl::ask::Asking;
use crate::cli::ctl::{Centre, printable};
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::EventId;

/// Options of `evidence clip`.
#[derive(Debug, Args)]
pub(super) struct Fetching {
    /// Id of an alert
    #[arg(value_name = "ID", value_parser = id_of)]
    id: EventId,
    /// The file (MP4); it must not be there yet, and is made for its owner alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// Asks for the clip and saves it.
pub(super) async fn fetch(centre: &Centre, options: &Fetching) -> anyhow::Result<ExitCode> {
    let boxes = options.asking.whom(centre)?;
    let [(box_id, _)] = boxes.as_slice() else { bail!("a clip is of one box: name it by --box BOX") };
    let path = options.out.display();
    if options.out.exists() {
        bail!("{path} is there already: name another file");
    }
    let args = evidence::Args { id: options.id, pictures: Some(Vec::new()), rows: None, clip: Some(true) };
    let answer = gathered(centre, &options.asking, &args).await?;
    let told: evidence::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
    let clip = told.clip.context("the box told of no clip: update it to this version")?;
    let Some(attached) = clip.attached else {
        let why = clip.why.unwrap_or_else(|| "it did not say why".to_owned());
        bail!("{box_id}: there is no clip of {}: {}", options.id, printable(&why));
    };
    let bytes = answer.attachments.get(&attached.id).context("the clip did not come: ask again")?;
    save(&options.out, bytes)?;
    let about = clip.about.as_ref();
    let times = about.map_or_else(String::new, |about| format!(", {} to {}", about.from, about.to));
    let masked = if about.is_some_and(|about| about.masked) { ", with the camera's masks" } else { "" };
    let lacks = about
        .and_then(|about| about.note.as_deref())
        .map_or_else(String::new, |lacks| format!("; {}", printable(lacks)));
    writeln!(std::io::stdout().lock(), "{box_id}: {} bytes in {path}{times}{masked}{lacks}", bytes.len())?;
    Ok(ExitCode::SUCCESS)
}
