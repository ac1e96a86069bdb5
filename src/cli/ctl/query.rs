//! `watchpostctl query`: reads and hits of one box or of many, newest first, with their pictures where they are wanted.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Centre;
use super::ask::{self, Asking, Outcome, Question};
use crate::cli::plates::gather::{Gathered, Sought};
use crate::cli::plates::{Filters, HitFilters, What, pictures, show};
use crate::clock::Clock;
use crate::domain::{BoxId, EventId};

/// Times that a box that is asked too fast is asked again.
const PATIENCE: u32 = 30;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    /// Reads, or hits
    what: What,
    /// The plate; `*` stands for any run of characters, `?` for one. Left out: all
    plate: Option<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    hit_filters: HitFilters,
    /// Rows of a page, at most 500
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: Option<u16>,
    /// Pages that are asked for at each box
    #[arg(long, value_name = "PAGES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
    /// Fetch the pictures of every row into this folder
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let now = Clock::system().utc();
    let plate = options.plate.as_deref();
    let sought = match options.what {
        What::Reads => Sought::Reads(options.filters.only_reads(&options.hit_filters, plate, options.limit, now)?),
        What::Hits => Sought::Hits(options.filters.hits(&options.hit_filters, plate, options.limit, now)?),
    };
    let gathered = gather(centre, &options.asking, sought, options.pages).await?;
    let code = show::show(&gathered, options.asking.signing.json, &mut io::stdout().lock())?;
    let Some(dir) = &options.pictures else { return Ok(code) };
    let rows: Vec<(BoxId, EventId)> = gathered.rows().iter().map(|(b, row)| ((*b).clone(), row.read().id)).collect();
    let fetched = fetch(centre, &options.asking, dir, rows).await?;
    Ok(if fetched { code } else { ExitCode::FAILURE })
}

/// Asks all boxes for so many pages.
///
/// # Errors
/// As [`ask::run`].
pub(super) async fn gather(centre: &Centre, asking: &Asking, sought: Sought, pages: u16) -> anyhow::Result<Gathered> {
    let mut gathered = Gathered::new(sought);
    gathered.take(ask::gather(centre, asking, gathered.first()).await?)?;
    for _ in 1..pages {
        let next = gathered.next();
        if next.is_empty() {
            break;
        }
        for (box_id, question) in next {
            gathered.take(vec![patiently(centre, asking, box_id, &question).await?])?;
        }
    }
    Ok(gathered)
}

/// Asks one box, again after a while when it is asked too fast.
async fn patiently(
    centre: &Centre,
    asking: &Asking,
    box_id: BoxId,
    question: &Question,
) -> anyhow::Result<(BoxId, Outcome)> {
    let asking = Asking { box_ids: vec![box_id.clone()], site: None, all: false, ..asking.clone() };
    let mut tries = 0;
    loop {
        let answers = ask::gather(centre, &asking, question.clone()).await?;
        let outcome = answers.into_iter().next().map_or(Outcome::Silent, |(_, outcome)| outcome);
        tries += 1;
        if tries >= PATIENCE || !pictures::must_wait(&outcome) {
            return Ok((box_id, outcome));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Fetches pictures, each sighting's once; whether all came.
async fn fetch(centre: &Centre, asking: &Asking, dir: &Path, mut rows: Vec<(BoxId, EventId)>) -> anyhow::Result<bool> {
    use std::io::Write as _;
    pictures::prepare(dir)?;
    rows.sort_unstable();
    rows.dedup();
    let (mut files, mut complete, wanted) = (0, true, rows.len());
    for (box_id, id) in rows {
        match patiently(centre, asking, box_id, &pictures::question(id)).await? {
            (box_id, Outcome::Answered(answer)) => {
                complete &= answer.missing.is_empty();
                files += pictures::save(dir, &box_id, &answer)?.len();
            }
            (box_id, outcome) => {
                complete = false;
                let why = show::why(&outcome).unwrap_or_default();
                // Without a stderr there is nobody to tell.
                let _ = writeln!(io::stderr(), "{box_id}: no pictures of {id}: {why}");
            }
        }
    }
    let _ = writeln!(io::stderr(), "{files} pictures of {wanted} sightings are in {}", dir.display());
    Ok(complete)
}
