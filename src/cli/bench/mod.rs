//! `watchpost bench`: what a frame costs on this machine, stage by stage and as a whole, and how many cameras that makes.
//!
//! Plays a clip as fast as it goes, with one and more cameras at a time, with every frame analysed ([`Mode::Every`]) and as the
//! daemon does it ([`Mode::Default`]); and in turns with that, alone, what no analysis can do without ([`mod@floor`]). The ratio to
//! the floor is what is ours to remove. Everything is measured some times over and the middle one counts. CPU is user and
//! system time of the whole process; memory is its PSS. A single picture is measured by stage instead ([`still`]). The
//! daemon as a whole is measured by `make bench`.

mod answer;
mod cost;
mod floor;
mod peer;
mod player;
mod report;
mod spread;
mod stages;
mod still;
mod table;
mod whole;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::read::is_picture;
use crate::config::{self, Config};
use crate::memory;
use crate::supervise::{model_settings, vision_settings};
use crate::vision::{self, Models};
use floor::floor;
use report::{Report, Row};
use whole::whole;

/// Arguments of `watchpost bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video as the cameras send it (H.264, H.265 or Motion JPEG), a folder of pictures, or one picture (JPEG, PNG), whose stages
    /// are told without decoding.
    pub clip: PathBuf,
    /// How many cameras at a time, one column each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    pub cameras: Vec<u32>,
    /// Frames a camera (the clip begins anew when it is shorter), or how often a picture is looked at.
    #[arg(long, default_value_t = 300)]
    pub frames: u64,
    /// How often floor and whole are measured, in turns; the middle one counts.
    #[arg(long, default_value_t = 3)]
    pub pairs: u32,
    /// What is analysed.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Every, Mode::Default])]
    pub settings: Vec<Mode>,
    /// Folder with one folder a model.
    #[arg(long)]
    pub models: Option<PathBuf>,
    /// Look for vehicles as well, with this model (a folder's name).
    #[arg(long, value_name = "MODEL")]
    pub vehicles: Option<String>,
    /// Tell everything as one JSON object.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Tables as Markdown, for docs.
    #[arg(long)]
    pub markdown: bool,
    /// The work of another program instead.
    #[command(flatten)]
    pub peer: peer::PeerArgs,
}

/// What is analysed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Every frame.
    Every,
    /// What the daemon looks at where nothing is configured: not what rests.
    Default,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Every => "every frame",
            Self::Default => "default settings",
        }
    }
}

/// What is measured, and with what.
struct Bench<'a> {
    clip: &'a Path,
    frames: u64,
    models: &'a Models,
    config: &'a Config,
}

impl Bench<'_> {
    /// How a camera is analysed: as the daemon would.
    fn settings(&self, mode: Mode) -> anyhow::Result<vision::Settings> {
        let camera = self.config.cameras.first().context("the camera of the bench")?;
        let settings = vision_settings(self.config, Some(camera));
        Ok(match mode {
            Mode::Default => settings,
            Mode::Every => vision::Settings { motion_gate: false, look_every: std::time::Duration::ZERO, ..settings },
        })
    }
}

/// A configuration in which nothing is said.
const PLAIN: &str =
    "[box]\nsite = \"bench\"\nid = \"bench\"\n[[camera]]\nid = \"bench\"\nnumber = 1\nuri = \"bench.mp4\"\n";

/// Measures and prints.
///
/// # Errors
/// A clip or models that cannot be opened, a clip without frames.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    // As the daemon does.
    memory::keep_together();
    if args.peer.like.is_some() {
        writeln!(out, "{}", peer::run(&args.peer, &args.clip, args.frames.max(1))?)?;
        return Ok(0);
    }
    let mut config = config::of_text(PLAIN)?;
    config.vision.models.clone_from(&args.models);
    config.vision.vehicles.clone_from(&args.vehicles);
    let most = args.cameras.iter().copied().max().unwrap_or(1).max(1);
    let mut settings = model_settings(&config.vision)?;
    settings.workers = cost::cores().min(most as usize);
    let models = Models::load(&settings)?;
    if is_picture(&args.clip).unwrap_or(false) {
        return still::run(&args.clip, &models, args.frames, out).map(|()| 0);
    }
    let bench = Bench { clip: &args.clip, frames: args.frames.max(1), models: &models, config: &config };
    let report = measure(&bench, args)?;
    if args.json {
        writeln!(out, "{}", report.json())?;
    } else {
        report.write(args.markdown, out)?;
    }
    Ok(0)
}

/// Floor and whole in turns, with each number of cameras.
fn measure(bench: &Bench<'_>, args: &Args) -> anyhow::Result<Report> {
    let frame = player::Player::open(bench.clip)?.next()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut numbers: Vec<u32> = args.cameras.iter().map(|n| (*n).max(1)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for mode in &args.settings {
        rows.extend(numbers.iter().map(|cameras| Row::of(*mode, *cameras)));
    }
    // Fewest cameras first: what more of them leave behind in memory is not theirs.
    for cameras in &numbers {
        for _ in 0..args.pairs.max(1) {
            let floor = floor(bench, *cameras)?;
            for row in rows.iter_mut().filter(|row| row.cameras == *cameras) {
                memory::give_back();
                row.floors.push(floor);
                row.runs.push(whole(bench, row.mode, *cameras, &floor)?);
            }
        }
    }
    let size = (frame.format.width, frame.format.height);
    Ok(Report { clip: bench.clip.to_owned(), size, frames: bench.frames, rows })
}
