//! `watchpost doctor`: why a camera yields few or no reads, by the numbers and with sample crops.
//!
//! For the installer at the mast and for who looks after the box: each camera is looked through for a while as the daemon
//! would, with its own settings; what is measured of every pass is held against what the reader needs, and the causes are
//! told ranked, with what to change. As a table, as JSON, or as one page that needs nothing else. Needs no key, opens no store, changes
//! nothing. Exit 1 when something is wrong or nothing could be judged.
//!
//! | file | what it does |
//! |---|---|
//! | [`target`] | which cameras, files and addresses |
//! | [`look`] | looks through one |
//! | [`notes`] | what is written down on the way |
//! | [`trail`], [`pass`] | one plate's way, and what is told of it |
//! | [`limits`] | what a picture must have |
//! | [`causes`] | what is wrong, ranked |
//! | [`report`](mod@report) | all of it as a value, for JSON and for |
//! | [`show`], [`page`] | terminal and HTML |

mod causes;
mod limits;
mod look;
mod notes;
mod page;
mod pass;
mod report;
mod show;
mod spread;
mod target;
mod trail;

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use self::causes::{Facts, Verdict};
use self::look::{Enough, Looking, Observed};
use self::report::Report;
use self::target::{Target, Targets};
use crate::causes as chain;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::shutdown::Shutdown;
use crate::store;
use crate::supervise;
use crate::vision::detect::Detector;
use crate::vision::model::{self, Manifest};
use crate::vision::{self, Models};

/// A live camera is looked at for so long when nothing else is said, seconds.
const SECONDS: u64 = 60;

/// The model that finds vehicles, where the folder has it.
const VEHICLES: &str = "objects-1";

/// How often progress is told on a terminal.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// `watchpost doctor`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of configured cameras, video files, or addresses as `probe` takes them; none: every configured camera, one after
    /// the other
    #[arg(value_name = "CAMERA | VIDEO")]
    pub what: Vec<String>,
    /// Look for so long, seconds of the stream; by default 60 of a live camera and all of a file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Look at so many frames at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Write a page for the browser: crops, curves, what to change; needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// One JSON object a camera instead of a table
    #[arg(long)]
    pub json: bool,
    /// The configuration, where cameras are named by their ids
    #[arg(long, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Folder with the models; by default the configured one, or the one that came with the program
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A configuration with faults, words that name nothing, models that can't be loaded, output that can't be written. A camera
/// that gives no picture is a finding, not an error.
pub fn run(args: &Args, clock: &Clock, out: &mut dyn Write) -> anyhow::Result<u8> {
    let targets = target::find(&args.what, &args.config, args.models.as_ref())?;
    // Before anything is looked at: who waited for an hour wants the page.
    let html = args.html.as_deref().map(create).transpose()?;
    let looking = load(&targets)?;
    let stop = Shutdown::new();
    on_interrupt(&stop)?;
    let holds = |c: &Config| store::holder(&supervise::store_dir(c)).is_ok_and(|holder| holder.is_some());
    let daemon = targets.config.as_deref().is_some_and(holds);
    let mut reports = Vec::new();
    let mut well = targets.faults.is_empty();
    for (name, error) in &targets.faults {
        // The others are looked at all the same.
        let _ = writeln!(std::io::stderr(), "watchpost: {name}: {}", chain::line(error));
    }
    for target in &targets.all {
        if stop.is_set() {
            break;
        }
        let seen = examine(target, &looking, args, clock, &stop);
        let report = report(target, &looking, seen, daemon);
        well &= report.verdict == Verdict::Healthy;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            write!(out, "{}", show::text(&report, show::Paper::of_stdout()))?;
        }
        out.flush()?;
        reports.push(report);
    }
    if let (Some(mut file), Some(path)) = (html, &args.html) {
        file.write_all(page::page(&reports).as_bytes())
            .with_context(|| format!("{}: can't be written", path.display()))?;
        let _ = writeln!(
            std::io::stderr(),
            "{}: written; it shows number plates, keep it as you would the pictures",
            path.display()
        );
    }
    Ok(u8::from(!well || reports.is_empty()))
}

/// A file for its owner alone: it shows number plates.
fn create(path: &Path) -> anyhow::Result<std::fs::File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path).and_then(|file| {
        // One that is written over may have been open to others. What is no file keeps its mode.
        if file.metadata()?.is_file() {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(file)
    });
    file.with_context(|| format!("{}: can't be written", path.display()))
}

fn load(targets: &Targets) -> anyhow::Result<Looking> {
    let settings = &targets.models;
    let models = Models::load(&model::Settings { vehicles: None, ..settings.clone() })?;
    let mut keen = Manifest::load(&settings.folder.join(&settings.detector))?;
    let usual = keen.thresholds.score;
    let threshold = settings.score.unwrap_or(usual);
    keen.thresholds.score = Looking::least(usual).min(threshold);
    let keen = Arc::new(Detector::load(&models.runtime, keen, 1)?);
    let vehicles = settings.folder.join(settings.vehicles.as_deref().unwrap_or(VEHICLES));
    // Beside the question: where there is no such model, vehicles without plates go unseen.
    let vehicles = Manifest::load(&vehicles).and_then(|manifest| Detector::load(&models.runtime, manifest, 1)).ok();
    Ok(Looking { models, keen, threshold, usual, vehicles: vehicles.map(Arc::new) })
}

fn examine(target: &Target, looking: &Looking, args: &Args, clock: &Clock, stop: &Shutdown) -> Observed {
    let live = target.camera.uri.is_live();
    let seconds = args.seconds.or((live && args.frames.is_none()).then_some(SECONDS));
    let enough = Enough { time: seconds.map(Duration::from_secs), frames: args.frames };
    let terminal = std::io::stderr().is_terminal();
    let mut due = Duration::ZERO;
    let mut tell = |seen: Duration, plates: usize| {
        let now = clock.monotonic();
        if terminal && now >= due {
            due = now + TELL_EVERY;
            let of = seconds.map_or_else(String::new, |s| format!(" of {s}"));
            let _ =
                write!(std::io::stderr(), "\r\x1b[K{}: {:.0}{of} s, {plates} plates", target.name, seen.as_secs_f64());
        }
    };
    let seen = look::look(target, looking, enough, clock, stop, &mut tell);
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    seen
}

fn report(target: &Target, looking: &Looking, seen: Observed, daemon: bool) -> Report {
    let usual = vision::Settings::default();
    let masked = masked_share(target);
    let facts = Facts {
        threshold: looking.threshold,
        usual_threshold: looking.usual,
        tell: target.vision.tell_confidence,
        usual_tell: usual.tell_confidence,
        masked,
        live: target.camera.uri.is_live(),
    };
    let causes = causes::of(&seen, &facts);
    Report::new(target, seen, causes, &facts, daemon && target.configured)
}

/// Share of the picture that privacy masks hide, by a coarse grid.
fn masked_share(target: &Target) -> f32 {
    let (columns, rows) = (160_u32, 90_u32);
    let spans = vision::mask::Mask::new(target.vision.privacy_mask.clone()).spans(columns, rows);
    let hidden: usize =
        (0..rows as usize).map(|y| spans.row(y).iter().map(std::iter::ExactSizeIterator::len).sum::<usize>()).sum();
    pass::real(hidden) / pass::real((columns * rows) as usize)
}

/// Ctrl-C ends the look; what was seen by then is told. A second one ends the program.
fn on_interrupt(stop: &Shutdown) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the tokio runtime")?;
    let mut interrupt = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    let stop = stop.clone();
    let wait = move || {
        runtime.block_on(async {
            interrupt.recv().await;
            stop.trigger();
            interrupt.recv().await;
            std::process::exit(1);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_page_is_its_owners_alone_also_where_it_is_written_over_an_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        std::fs::write(&path, "of before").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        for _ in 0..2 {
            drop(create(&path).unwrap());
            let found = std::fs::metadata(&path).unwrap();
            assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o600, 0));
            std::fs::remove_file(&path).unwrap();
        }
    }
}
