//! `watchpostctl trace`: where a plate was seen, by every box that is asked, as one timeline and as GeoJSON.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::Centre;
use super::ask::Asking;
use super::query::gather;
use crate::cli::plates::gather::Sought;
use crate::cli::plates::timeline::Timeline;
use crate::cli::plates::{Filters, HitFilters, show};
use crate::clock::Clock;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    /// The plate; `*` stands for any run of characters, `?` for one
    plate: String,
    #[command(flatten)]
    filters: Filters,
    /// Write it as GeoJSON into this file as well
    #[arg(long, value_name = "FILE")]
    geojson: Option<PathBuf>,
    /// Most pages that are asked for at each box
    #[arg(long, value_name = "PAGES", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let now = Clock::system().utc();
    let plate = Some(options.plate.as_str());
    let hits = Sought::Hits(options.filters.hits(&HitFilters::default(), plate, None, now)?);
    let reads = Sought::Reads(options.filters.reads(plate, None, now)?);
    let mut gathered = Vec::new();
    for sought in [hits, reads] {
        gathered.push(gather(centre, &options.asking, sought, options.pages).await?);
    }
    let timeline = Timeline::of(&gathered);
    tell(&timeline, options.asking.signing.json, &mut io::stdout().lock())?;
    if let Some(path) = &options.geojson {
        save(path, &timeline)?;
    }
    Ok(if timeline.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn save(path: &Path, timeline: &Timeline) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{}", timeline.geojson()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn tell(timeline: &Timeline, as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if as_json {
        for seen in &timeline.seen {
            writeln!(out, "{}", seen.json())?;
        }
        writeln!(out, "{}", timeline.summary())?;
        return Ok(());
    }
    writeln!(out, "{}", timeline.headline())?;
    for (box_id, why) in &timeline.missing {
        writeln!(out, "{box_id}: {}", super::printable(why))?;
    }
    for (box_id, state) in &timeline.clocks {
        writeln!(out, "{box_id}: its clock is {} now: times of it may be wrong", show::clock_word(*state))?;
    }
    let width = timeline.seen.iter().map(|seen| seen.box_id.as_str().len()).max().unwrap_or(0);
    for seen in &timeline.seen {
        let read = &seen.read;
        let plate = read.plate.as_ref().map_or("–", |plate| plate.as_str());
        let place =
            seen.degrees().map_or_else(|| "place not known".to_owned(), |[lat, lon]| format!("{lat:.5},{lon:.5}"));
        let road = seen.place.as_ref().and_then(|place| place.road.as_deref()).unwrap_or("");
        let mut notes: Vec<String> = seen.hits.iter().map(show::cause).collect();
        if seen.again {
            notes.push("probably the same pass".to_owned());
        }
        if seen.is_unsure() {
            notes.push(format!("clock {}", show::clock_word(read.clock)));
        }
        let line = format!(
            "{}  {:<width$}  {:<16}  {plate:<10}  {:<12}  {place:<22}  {}  {}",
            read.begin,
            seen.box_id.as_str(),
            read.camera.as_str(),
            show::vehicle(read),
            super::printable(road),
            notes.join("; ")
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    let noun = if timeline.seen.len() == 1 { "sighting" } else { "sightings" };
    Ok(writeln!(out, "{} {noun}", timeline.seen.len())?)
}
