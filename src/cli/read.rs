//! `watchpost read`: pictures and videos to plate reads on stdout, as a table or as JSON, one object a line.
//!
//! Needs models and nothing else: no store, no key, and no config unless a camera's zones and lines are to be drawn. A
//! file that can't be read is a line on stderr and exit 1; the others are still read. What a file is, its first bytes
//! tell, not its name.

mod output;
mod overlay;
mod progress;
mod sheet;
mod timing;
mod vehicles;
mod video;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use self::output::{Line, Object, One, Output};
use self::progress::Progress;
use self::sheet::{Caption, Sheet};
use self::timing::{Stage, Timing};
use super::draw::{self, Mark, Places, Thing};
use crate::camera;
use crate::causes;
use crate::clock::Clock;
use crate::config;
use crate::domain::{CameraId, Class, Detection, Frame, PlateRead, Point, Quad, Rect, Region};
use crate::vision::colour::Scene;
use crate::vision::model::{Settings, usual_folder};
use crate::vision::{self, Models, Patterns, Seen, tie};

/// `watchpost read`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pictures (JPEG, PNG) and videos
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// Each frame of a video as its own line instead of one line a finished track
    #[arg(long)]
    frames: bool,
    /// Take each picture as one plate, edge to edge: nothing is searched
    #[arg(long)]
    crops: bool,
    /// Write annotated pictures and videos into this folder (made when missing): a picture of each pass, and the whole
    /// video with what is followed and read in it
    #[arg(long, value_name = "DIR")]
    draw: Option<PathBuf>,
    /// Draw the zones and lines of this camera of the configuration as well
    #[arg(long, value_name = "CAMERA", requires = "draw", conflicts_with = "crops")]
    camera: Option<CameraId>,
    /// The configuration that has the camera
    #[arg(long, value_name = "FILE", requires = "camera", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Write a contact sheet (.jpg or .png), one tile a pass or a plate of a picture: scene, plate, text and when
    #[arg(long, value_name = "FILE", value_parser = sheet_path, conflicts_with_all = ["frames", "crops"])]
    sheet: Option<PathBuf>,
    /// No progress on the terminal
    #[arg(long)]
    quiet: bool,
    /// Folder with the models; by default the one that came with the program
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Score from which a plate counts as found, 0-1; by default the model's own
    #[arg(long, value_name = "SCORE", value_parser = share)]
    threshold: Option<f32>,
    /// Find vehicles and persons as well, with this model (a folder's name); each read names the vehicle that carries it
    #[arg(long, value_name = "MODEL", conflicts_with = "crops")]
    vehicles: Option<String>,
    /// Expect plates of this region above all: us, eu, gb, br, ar, in, mx, tr, vn, or a part of one (us-ca, eu-sk)
    #[arg(long, value_name = "REGION", value_parser = region, conflicts_with = "no_patterns")]
    region: Option<Region>,
    /// Texts as probable as they are seen: what plates of a region look like does not weigh in
    #[arg(long)]
    no_patterns: bool,
    /// Tell on stderr what each stage cost
    #[arg(long)]
    timing: bool,
}

fn share(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "must be a number from 0 to 1".into())
}

fn sheet_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let known = extension.is_some_and(|e| ["jpg", "jpeg", "png"].iter().any(|k| e == *k));
    if known { Ok(path) } else { Err("must end in .jpg or .png".into()) }
}

fn region(text: &str) -> Result<Region, String> {
    text.parse()
}

impl Args {
    /// The shapes of plates that are expected.
    fn patterns(&self) -> Patterns {
        match &self.region {
            _ if self.no_patterns => Patterns::off(),
            Some(region) => Patterns::default().expecting(region.as_str()),
            None => Patterns::default(),
        }
    }

    /// What is drawn of the camera that is named.
    fn places(&self) -> Result<Places> {
        let Some(id) = &self.camera else { return Ok(Places::default()) };
        let config = config::load(&self.config)?;
        let path = self.config.display();
        let known = config.cameras.iter().map(|camera| camera.id.as_str()).collect::<Vec<_>>().join(", ");
        let camera = config.cameras.into_iter().find(|camera| camera.id == *id);
        let camera = camera.with_context(|| format!("{path}: there is no camera {id}; its cameras: {known}"))?;
        let is_plain = camera.zones.is_empty() && camera.lines.is_empty();
        anyhow::ensure!(!is_plain, "{path}: camera {id} has no zone and no line to draw");
        Ok(Places::new(camera.zones, camera.lines))
    }
}

/// Runs the verb.
///
/// # Errors
/// When the models or the configuration can't be loaded, the camera is unknown, or stdout can't be written. Faults of single files are told and make exit code 1.
pub fn run(args: &Args) -> Result<ExitCode> {
    let places = args.places()?;
    let folder = args.models.clone().map_or_else(usual_folder, Ok)?;
    let vehicles = args.vehicles.clone();
    let mut models = Models::load(&Settings { folder, vehicles, score: args.threshold, ..Settings::default() })?;
    models.reader = Arc::new(models.reader.expecting(args.patterns()));
    if let Some(folder) = &args.draw {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: can't be made", folder.display()))?;
    }
    let clock = Clock::system();
    let quiet = args.quiet || (args.json && !std::io::stdout().is_terminal());
    let progress = Progress::new(clock.clone(), args.paths.len(), quiet);
    let mut reading = Reading {
        args,
        models,
        timing: Timing::new(clock.clone()),
        clock,
        output: Output::new(args.json, args.vehicles.is_some(), progress),
        drawn: BTreeSet::new(),
        places,
        sheet: args.sheet.clone().map(Sheet::new),
    };
    let mut failed = false;
    for path in &args.paths {
        reading.output.progress.begin(&path.display().to_string());
        if let Err(error) = reading.file(path) {
            if error.downcast_ref::<output::Closed>().is_some() {
                return Ok(ExitCode::FAILURE);
            }
            failed = true;
            reading.output.fault(&causes::line(&error));
        }
    }
    reading.output.progress.clear();
    if let (Some(sheet), Some(path)) = (reading.sheet.take(), &args.sheet) {
        match sheet.finish() {
            Ok(0) => reading.output.fault(&format!("{}: nothing to show, no pass was seen", path.display())),
            Ok(_) => {}
            Err(error) => {
                failed = true;
                reading.output.fault(&causes::line(&error));
            }
        }
    }
    if args.timing {
        reading.output.fault(&reading.timing.to_string());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One run over all files.
struct Reading<'a> {
    args: &'a Args,
    models: Models,
    clock: Clock,
    timing: Timing,
    output: Output,
    /// Names of the annotated pictures so far.
    drawn: BTreeSet<String>,
    /// Zones and lines that are drawn under everything else.
    places: Places,
    /// Where passes are shown, when that is asked for.
    sheet: Option<Sheet>,
}

/// A plate of one frame.
struct Plate {
    found: Detection,
    read: Option<PlateRead>,
    /// Which of the frame's vehicles carries it.
    carrier: Option<usize>,
}

impl Plate {
    fn is_worth_drawing(&self) -> bool {
        self.read.is_some() || self.found.score >= WORTH_DRAWING
    }
}

/// What one frame shows.
struct Shown {
    plates: Vec<Plate>,
    /// Vehicles and persons; empty when they are not looked for.
    vehicles: Vec<Detection>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) -> Result<()> {
        if is_picture(path).with_context(|| path.display().to_string())? {
            self.picture(path)
        } else if self.args.crops {
            anyhow::bail!("{}: is no JPEG or PNG picture, and --crops takes pictures", path.display())
        } else {
            self.video(path)
        }
    }

    fn picture(&mut self, path: &Path) -> Result<()> {
        let frame = self.timing.of(Stage::Load, || camera::still::load(path))?;
        let shown = if self.args.crops { self.crop(&frame) } else { self.shown(&frame) };
        let shown = shown.with_context(|| path.display().to_string())?;
        self.timing.pictures += 1;
        self.output.line(&self.line(path, &frame, &shown, false))?;
        self.show(path, &frame, &shown)?;
        self.draw(path, "", &frame, &shown)
    }

    /// A tile of the sheet for each plate of a picture.
    fn show(&mut self, path: &Path, frame: &Frame, shown: &Shown) -> Result<()> {
        let Some(sheet) = &mut self.sheet else { return Ok(()) };
        for plate in shown.plates.iter().filter(|p| p.is_worth_drawing()) {
            let mark = mark(plate);
            let pictures = vision::pictures::take(&Seen::unmasked(frame), &plate.found.rect);
            let below = name_of(path);
            sheet.add(pictures.as_ref(), &Caption { text: mark.text, confidence: mark.confidence, below })?;
        }
        Ok(())
    }

    fn crop(&mut self, frame: &Frame) -> Result<Shown, vision::Error> {
        let (width, height) = frame.size();
        let read = self.timing.of(Stage::Read, || self.models.reader.read_crop(frame))?;
        let rect = Rect::new(0.0, 0.0, width, height);
        let found = Detection { class: Class::Plate, score: 1.0, rect, corners: None };
        Ok(Shown { plates: vec![Plate { found, read, carrier: None }], vehicles: Vec::new() })
    }

    fn shown(&mut self, frame: &Frame) -> Result<Shown, vision::Error> {
        let found = self.timing.of(Stage::Detect, || self.models.detector.detect(frame))?;
        let (found, passed): (Vec<_>, Vec<_>) = found.into_iter().partition(|d| d.class == Class::Plate);
        let vehicles = self.vehicles(frame, passed)?;
        let reads = self.timing.of(Stage::Read, || self.models.reader.read(frame, &found))?;
        let carriers = tie::carriers(&refs(&found), &refs(&vehicles), |_, _| false);
        let plates = found.into_iter().zip(reads).zip(carriers);
        let plates = plates.map(|((found, read), carrier)| Plate { found, read, carrier }).collect();
        Ok(Shown { plates, vehicles })
    }

    /// What is told of one frame: its reads, the surest first.
    fn line(&self, path: &Path, frame: &Frame, shown: &Shown, timed: bool) -> Line {
        let (width, height) = frame.size();
        let seen = Seen::unmasked(frame);
        let scene = Scene::of(&seen);
        let object = |d: &Detection| {
            Object::new(d.class, d.score, d.rect.relative(width, height)).with_colour(scene.colour(d.class, &d.rect))
        };
        let one = |p: &Plate| {
            let rect = p.found.rect.relative(width, height);
            let relative = |p: Point| [(p.x / width).clamp(0.0, 1.0), (p.y / height).clamp(0.0, 1.0)];
            let corners = p.found.corners.map(|q| q.points.map(relative));
            let vehicle = p.carrier.and_then(|v| shown.vehicles.get(v)).map(object);
            Some(One::new(p.read.as_ref()?, rect, corners, vehicle))
        };
        let mut reads: Vec<One> = shown.plates.iter().filter_map(one).collect();
        reads.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Line {
            file: path.display().to_string(),
            at_ms: timed.then(|| u64::try_from(frame.pts.as_millis()).unwrap_or(u64::MAX)),
            end_ms: None,
            width: frame.format.width,
            height: frame.format.height,
            reads,
            vehicles: self.args.vehicles.is_some().then(|| shown.vehicles.iter().map(object).collect()),
        }
    }

    fn draw(&mut self, path: &Path, suffix: &str, frame: &Frame, shown: &Shown) -> Result<()> {
        let Some(folder) = &self.args.draw else { return Ok(()) };
        let worth = shown.plates.iter().filter(|p| p.is_worth_drawing());
        let marks: Vec<Mark> = worth.map(mark).collect();
        let things: Vec<Thing> = shown.vehicles.iter().map(vehicles::thing).collect();
        let name = drawn_name((folder, path), (suffix, "jpg"), &mut self.drawn);
        draw::save(&draw::annotated(frame, &mut self.places, &marks, &things), &folder.join(name))
    }
}

fn refs(found: &[Detection]) -> Vec<&Detection> {
    found.iter().collect()
}

/// Score from which a plate that was not read is outlined: weaker ones are mostly none.
const WORTH_DRAWING: f32 = 0.6;

fn mark(plate: &Plate) -> Mark {
    Mark {
        outline: plate.found.corners.unwrap_or_else(|| Quad::from_rect(&plate.found.rect)),
        text: plate.read.as_ref().map(|r| r.text.to_string()),
        confidence: plate.read.as_ref().map_or(plate.found.score, |r| r.confidence),
        way: Vec::new(),
    }
}

/// A file's own name.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name in `folder` for what is drawn of `path` that was not used before, and is not that of `path` itself.
fn drawn_name(
    (folder, path): (&Path, &Path),
    (suffix, extension): (&str, &str),
    used: &mut BTreeSet<String>,
) -> String {
    let stem = path.file_stem().map_or_else(|| "picture".into(), |s| s.to_string_lossy().into_owned());
    let source = path.canonicalize().ok();
    let is_source = |name: &str| source.is_some() && folder.join(name).canonicalize().ok() == source;
    let mut name = format!("{stem}{suffix}.{extension}");
    let mut again = 2;
    while is_source(&name) || !used.insert(name.clone()) {
        name = format!("{stem}{suffix}-{again}.{extension}");
        again += 1;
    }
    name
}

/// Whether the file begins as JPEG or PNG does.
pub(super) fn is_picture(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut first = Vec::new();
    std::fs::File::open(path)?.take(8).read_to_end(&mut first)?;
    let is_jpeg = first.starts_with(&[0xff, 0xd8, 0xff]) && !camera::still::is_row_of_jpegs(path);
    Ok(is_jpeg || first.starts_with(b"\x89PNG\r\n\x1a\n"))
}
