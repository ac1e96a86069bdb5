//! `watchpost query`: reads and hits of this box, by the daemon's socket or, where none runs, by the store itself; under the
//! same key, purpose, case and audit as from the centre.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::local;
use crate::centre::ask::Outcome;
use crate::cli::plates::gather::{Gathered, Sought};
use crate::cli::plates::{Filters, HitFilters, What, pictures, show};
use crate::clock::Clock;

/// Options of the verb.
#[derive(Debug, clap::Args)]
pub struct Args {
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
    /// Pages that are asked for
    #[arg(long, value_name = "PAGES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
    /// Write the pictures of every row into this folder
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    local: local::Options,
}

/// Asks and shows; 0 when everything was answered.
///
/// # Errors
/// As [`local::run`].
pub fn run(args: &Args, clock: &Clock, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (plate, now) = (args.plate.as_deref(), clock.utc());
    let sought = match args.what {
        What::Reads => Sought::Reads(args.filters.only_reads(&args.hit_filters, plate, args.limit, now)?),
        What::Hits => Sought::Hits(args.filters.hits(&args.hit_filters, plate, args.limit, now)?),
    };
    let mut gathered = Gathered::new(sought);
    gathered.take(vec![local::gather(&args.local, gathered.first())?])?;
    for _ in 1..args.pages {
        let next = gathered.next();
        if next.is_empty() {
            break;
        }
        for (_, question) in next {
            gathered.take(vec![local::gather(&args.local, question)?])?;
        }
    }
    show::show(&gathered, args.local.json, out)?;
    let mut complete = gathered.outcomes().iter().all(|(_, outcome)| matches!(outcome, Outcome::Answered(_)));
    if let Some(dir) = &args.pictures {
        complete &= fetch(args, dir, &gathered)?;
    }
    Ok(u8::from(!complete))
}

/// Fetches pictures, each sighting's once; whether all came.
fn fetch(args: &Args, dir: &Path, gathered: &Gathered) -> anyhow::Result<bool> {
    pictures::prepare(dir)?;
    let ids: BTreeSet<_> = gathered.rows().iter().map(|(_, row)| row.read().id).collect();
    let (mut files, mut complete) = (0, true);
    for id in &ids {
        match local::gather(&args.local, pictures::question(*id))? {
            (box_id, Outcome::Answered(answer)) => {
                complete &= answer.missing.is_empty();
                files += pictures::save(dir, &box_id, &answer)?.len();
            }
            (_, outcome) => {
                complete = false;
                let why = show::why(&outcome).unwrap_or_default();
                // Without a stderr there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "no pictures of {id}: {why}");
            }
        }
    }
    let _ = writeln!(std::io::stderr(), "{files} pictures of {} sightings are in {}", ids.len(), dir.display());
    Ok(complete)
}
