//! `watchpost bench`: what a frame costs on this machine, stage by stage and as a whole.
//!
//! Plays a clip as fast as it goes, every frame analysed, with one and more cameras at a time; and in the same run, alone,
//! what no analysis can do without: decoding, the tensor, the models. The floor is their sum for the frames and reads that
//! were made; the ratio to it is what is ours to remove. CPU is user and system time of the whole process, so that other
//! load on the machine matters little; memory is the process's PSS. A single picture is measured by stage instead (`still`).

mod still;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

use super::read::is_picture;
use crate::camera::{self, Next, Source, SourceUri};
use crate::clock::Clock;
use crate::domain::{CameraId, Detection, Frame, PlateRead};
use crate::health::CameraCounters;
use crate::vision::analyser::{FindPlates, ReadAndCut, ReadPlates, VehicleSource};
use crate::vision::detect::Detector;
use crate::vision::model::{Values, Vehicles};
use crate::vision::plate::Reader;
use crate::vision::preprocess::{Scratch, tensor};
use crate::vision::stack::Cut;
use crate::vision::{self, Analyser, Area, Models, Seen, model};

/// Arguments of `watchpost bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video as the cameras send it (H.264, H.265 or Motion JPEG), a folder of pictures, or one picture (JPEG, PNG), whose stages
    /// are told without decoding.
    pub clip: PathBuf,
    /// How many cameras at a time, one row each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    pub cameras: Vec<u32>,
    /// Frames a camera (the clip begins anew when it is shorter), or how often a picture is looked at.
    #[arg(long, default_value_t = 300)]
    pub frames: u64,
    /// Folder with one folder a model.
    #[arg(long)]
    pub models: Option<PathBuf>,
    /// Look for vehicles as well, with this model (a folder's name).
    #[arg(long, value_name = "MODEL")]
    pub vehicles: Option<String>,
}

/// Runs of a model or of the tensor alone.
const ALONE: u32 = 60;

/// Measures and prints.
///
/// # Errors
/// A clip or models that cannot be opened, a clip without frames.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let folder = args.models.clone().map_or_else(model::usual_folder, Ok)?;
    let most = args.cameras.iter().copied().max().unwrap_or(1).max(1);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(most as usize);
    let vehicles = args.vehicles.clone();
    let models = Models::load(&model::Settings { folder, vehicles, workers, ..model::Settings::default() })?;
    if is_picture(&args.clip).unwrap_or(false) {
        return still::run(&args.clip, &models, args.frames, out).map(|()| 0);
    }
    let alone = alone(args, &models)?;
    writeln!(out, "{} {}×{}, {} frames a camera", args.clip.display(), alone.size.0, alone.size.1, args.frames)?;
    writeln!(
        out,
        "alone, CPU ms: decode {:.2} a frame · tensor {:.2} · detector {:.2} · vehicles {:.2} a look · reader {:.2} a plate",
        alone.decode, alone.tensor, alone.detect, alone.look, alone.read
    )?;
    writeln!(
        out,
        "{:>7} {:>10} {:>9} {:>9} {:>7} {:>7} {:>9} {:>8} {:>8}",
        "cameras", "ms/frame", "floor", "ratio", "looks", "reads", "frames/s", "PSS MiB", "threads"
    )?;
    for &cameras in &args.cameras {
        let whole = whole(args, &models, cameras.max(1))?;
        let wanted = alone.look * whole.looks_a_frame + alone.read * whole.reads_a_frame;
        let floor = alone.decode + alone.tensor + alone.detect + wanted;
        writeln!(
            out,
            "{cameras:>7} {:>10.2} {floor:>9.2} {:>9.3} {:>7.2} {:>7.2} {:>9.1} {:>8.0} {:>8}",
            whole.cpu_ms,
            whole.cpu_ms / floor,
            whole.looks_a_frame,
            whole.reads_a_frame,
            whole.fps,
            whole.pss_mib,
            whole.threads
        )?;
    }
    Ok(0)
}

/// CPU milliseconds of what cannot be done without.
struct Alone {
    size: (u32, u32),
    decode: f64,
    tensor: f64,
    detect: f64,
    /// Tensor and model of those who find vehicles; 0 without a model of their own.
    look: f64,
    read: f64,
}

fn alone(args: &Args, models: &Models) -> anyhow::Result<Alone> {
    let mut player = Player::open(&args.clip)?;
    let begin = cpu();
    let mut frame = player.next()?;
    for _ in 1..args.frames {
        frame = player.next()?;
    }
    let decode = ms_since(begin) / args.frames as f64;
    let (mut scratch, mut input) = (Scratch::default(), Values::default());
    let manifest = models.detector.net().manifest();
    let tensor_ms = each(|| tensor(&frame, &manifest.input, &mut scratch, &mut input).map(drop))?;
    let detect = each(|| models.detector.net().run(1, &input, |_| ()))?;
    let look = match &models.vehicles {
        Vehicles::Own(finder) => each(|| {
            tensor(&frame, &finder.net().manifest().input, &mut scratch, &mut input)?;
            finder.net().run(1, &input, |_| ())
        })?,
        Vehicles::Off | Vehicles::SamePass => 0.0,
    };
    let (width, height) = models.reader.net().manifest().input_size();
    let plate = vec![0.5; width * height];
    let read = each(|| models.reader.net().run(1, &plate, |_| ()))?;
    let size = (frame.format.width, frame.format.height);
    Ok(Alone { size, decode, tensor: tensor_ms, detect, look, read })
}

/// CPU milliseconds of one call, after one that does not count.
fn each<E: Into<anyhow::Error>>(mut call: impl FnMut() -> Result<(), E>) -> anyhow::Result<f64> {
    call().map_err(Into::into)?;
    let begin = cpu();
    for _ in 0..ALONE {
        call().map_err(Into::into)?;
    }
    Ok(ms_since(begin) / f64::from(ALONE))
}

/// What it costs with everything on.
struct Whole {
    cpu_ms: f64,
    looks_a_frame: f64,
    reads_a_frame: f64,
    fps: f64,
    pss_mib: f64,
    threads: usize,
}

fn whole(args: &Args, models: &Models, cameras: u32) -> anyhow::Result<Whole> {
    let (reads, looks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clock = Clock::system();
    let (begin, wall) = (cpu(), clock.monotonic());
    let mut memory = (0.0, 0);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = (0..cameras)
            .map(|n| {
                let (reads, looks) = (Arc::clone(&reads), Arc::clone(&looks));
                scope.spawn(move || one_camera(args, models, n, reads, looks))
            })
            .collect();
        while threads.iter().any(|t| !t.is_finished()) {
            memory = (pss_mib().max(memory.0), threads_now().max(memory.1));
            std::thread::sleep(Duration::from_millis(100));
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a camera's thread panicked"))??;
        }
        Ok(())
    })?;
    let frames = (args.frames * u64::from(cameras)) as f64;
    let seconds = clock.monotonic().saturating_sub(wall).as_secs_f64();
    Ok(Whole {
        cpu_ms: ms_since(begin) / frames,
        looks_a_frame: looks.load(Ordering::Relaxed) as f64 / frames,
        reads_a_frame: reads.load(Ordering::Relaxed) as f64 / frames,
        fps: frames / seconds,
        pss_mib: memory.0,
        threads: memory.1,
    })
}

fn one_camera(
    args: &Args,
    models: &Models,
    n: u32,
    reads: Arc<AtomicU64>,
    looks: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let reader = Counting { inner: Arc::clone(&models.reader), calls: reads };
    let id = CameraId::new(&format!("bench-{n}"))?;
    let finder = Box::new(Arc::clone(&models.detector));
    let mut analyser = Analyser::with(finder, Box::new(reader), vision::Settings::default(), id, 1);
    let source = match &models.vehicles {
        Vehicles::Own(finder) => {
            Some(VehicleSource::Own(Box::new(Counting { inner: Arc::clone(finder), calls: looks })))
        }
        other => VehicleSource::of(other),
    };
    if let Some(source) = source {
        analyser = analyser.with_vehicles(source);
    }
    let mut player = Player::open(&args.clip)?;
    for _ in 0..args.frames {
        analyser.step(&player.next()?)?;
    }
    Ok(())
}

/// A reader that counts the plates it is asked for, or a finder that counts the frames.
struct Counting<T> {
    inner: Arc<T>,
    calls: Arc<AtomicU64>,
}

impl ReadPlates for Counting<Reader> {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, vision::Error> {
        self.calls.fetch_add(plates.len() as u64, Ordering::Relaxed);
        ReadPlates::read(&self.inner, frame, plates)
    }

    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, vision::Error> {
        self.calls.fetch_add(plates.len() as u64, Ordering::Relaxed);
        ReadPlates::read_and_cut(&self.inner, frame, plates)
    }

    fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, vision::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        ReadPlates::read_cut(&self.inner, cut)
    }
}

impl FindPlates for Counting<Detector> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, vision::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        FindPlates::find(&self.inner, frame, area)
    }
}

/// A clip that begins anew at its end.
struct Player {
    settings: camera::Settings,
    source: Box<dyn Source>,
    /// The clip gave a frame since it was opened.
    fresh: bool,
}

impl Player {
    fn open(clip: &Path) -> anyhow::Result<Self> {
        let uri: SourceUri = clip.to_string_lossy().parse()?;
        anyhow::ensure!(!uri.is_live(), "{}: bench plays files, not cameras", clip.display());
        let settings = camera::Settings::new(CameraId::new("bench")?, 1, uri);
        let source = Self::source(&settings)?;
        Ok(Self { settings, source, fresh: true })
    }

    fn source(settings: &camera::Settings) -> anyhow::Result<Box<dyn Source>> {
        Ok(camera::open(settings, &Clock::system(), Arc::new(CameraCounters::default()))?)
    }

    fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            match self.source.next(Duration::from_secs(5))? {
                Next::Frame(frame) => {
                    self.fresh = false;
                    return Ok(frame);
                }
                Next::End if self.fresh => anyhow::bail!("the clip holds no frame"),
                Next::End => {
                    self.source = Self::source(&self.settings)?;
                    self.fresh = true;
                }
                Next::Idle => anyhow::bail!("no frame within 5 s"),
            }
        }
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

/// CPU milliseconds since [`cpu`] said `begin`.
fn ms_since(begin: Duration) -> f64 {
    cpu().saturating_sub(begin).as_secs_f64() * 1_000.0
}

fn pss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let kib = text.lines().find_map(|l| l.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1_024.0
}

fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").context("").map_or(0, Iterator::count)
}
