//! `watchpost try-models`: runs models on pictures for a daemon that thinks of putting them in force. Hidden: what comes
//! out is CBOR for [`crate::supervise::models::trial`], which calls it in a process of its own.
//!
//! A plate counts as read from a confidence of [`READ_FROM`] on: what a model hardly believes itself is no answer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::camera::still;
use crate::clock::Clock;
use crate::command::models::canary::{Object, Plate, Seen, place};
use crate::domain::{Class, Detection, Frame, PlateRead, Provider};
use crate::supervise::RUN_WITHIN;
use crate::supervise::models::trial::Outcome;
use crate::vision::model::{Corrector, Settings, Vehicles};
use crate::vision::{self, Models, Patterns};

/// Confidence from which a plate counts as read.
const READ_FROM: f32 = 0.5;
/// Most things that are told of one picture.
const MAX_TOLD: usize = 64;

/// Arguments of `watchpost try-models`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with the models.
    #[arg(long)]
    models: PathBuf,
    /// Who finds plates: a name in it, or a whole path.
    #[arg(long)]
    detector: String,
    /// Who reads them.
    #[arg(long)]
    reader: String,
    /// Who corrects their corners; empty: nobody.
    #[arg(long)]
    corners: Option<String>,
    /// Who finds vehicles.
    #[arg(long)]
    vehicles: Option<String>,
    /// The inference library.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// What runs them, the first that can.
    #[arg(long)]
    provider: Vec<Provider>,
    /// Score from which a plate counts as found.
    #[arg(long)]
    threshold: Option<f32>,
    /// What plates of a region look like does not weigh in.
    #[arg(long)]
    no_patterns: bool,
    /// A picture in which plates and vehicles are looked for.
    #[arg(long, value_name = "PICTURE")]
    scene: Vec<PathBuf>,
    /// A picture of one plate, edge to edge.
    #[arg(long, value_name = "PICTURE")]
    crop: Vec<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// When stdout can't be written.
pub fn run(args: &Args, clock: &Clock, out: &mut dyn Write) -> anyhow::Result<u8> {
    let settings = Settings {
        folder: args.models.clone(),
        detector: args.detector.clone(),
        reader: args.reader.clone(),
        corners: match args.corners.as_deref() {
            None => Corrector::Usual,
            Some("") => Corrector::Off,
            Some(name) => Corrector::Named(name.to_owned()),
        },
        vehicles: args.vehicles.clone(),
        library: args.onnxruntime.clone(),
        score: args.threshold,
        workers: 1,
        run_within: Some(RUN_WITHIN),
        providers: args.provider.clone(),
    };
    let outcome = match Models::load(&settings) {
        Err(error) => Outcome { fault: Some(error.to_string()), ..Outcome::default() },
        Ok(mut models) => {
            let patterns = if args.no_patterns { Patterns::off() } else { Patterns::default() };
            models.reader = Arc::new(models.reader.expecting(patterns));
            Outcome { seen: look_at_all(args, &models, clock), fault: None }
        }
    };
    out.write_all(&crate::command::ops::encode(&outcome)).and_then(|()| out.flush()).context("stdout")?;
    Ok(0)
}

fn look_at_all(args: &Args, models: &Models, clock: &Clock) -> Vec<Seen> {
    let scenes = args.scene.iter().map(|path| (path, false));
    let pictures: Vec<(&PathBuf, bool)> = scenes.chain(args.crop.iter().map(|path| (path, true))).collect();
    // The first run makes memory ready: it is not told.
    if let Some((path, crop)) = pictures.first() {
        let _ = look(models, path, *crop, clock);
    }
    let fault = |why: String| Seen { fault: Some(why), ..Seen::default() };
    pictures.into_iter().map(|(path, crop)| look(models, path, crop, clock).unwrap_or_else(fault)).collect()
}

fn look(models: &Models, path: &Path, crop: bool, clock: &Clock) -> Result<Seen, String> {
    let frame = still::load(path).map_err(|e| e.to_string())?;
    let begun = clock.monotonic();
    let seen = if crop { read_whole(models, &frame) } else { scene(models, &frame) };
    let took = clock.monotonic().saturating_sub(begun);
    let seen = seen.map_err(|e| e.to_string())?;
    Ok(Seen { micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX), ..seen })
}

fn read_whole(models: &Models, frame: &Frame) -> Result<Seen, vision::Error> {
    let read = models.reader.read_crop(frame)?;
    Ok(Seen { plates: vec![Plate { text: text(read.as_ref()), place: None }], ..Seen::default() })
}

fn scene(models: &Models, frame: &Frame) -> Result<Seen, vision::Error> {
    let (width, height) = frame.size();
    let here = |found: &Detection| place(found.rect.relative(width, height));
    let (found, mut passed): (Vec<_>, Vec<_>) =
        models.detector.detect(frame)?.into_iter().partition(|d| d.class == Class::Plate);
    if let Vehicles::Own(detector) = &models.vehicles {
        passed = detector.detect(frame)?;
    }
    let reads = models.reader.read(frame, &found)?;
    let plate =
        |(found, read): (&Detection, &Option<PlateRead>)| Plate { text: text(read.as_ref()), place: Some(here(found)) };
    let object = |found: &Detection| Object { class: found.class, place: here(found) };
    Ok(Seen {
        plates: found.iter().zip(&reads).map(plate).take(MAX_TOLD).collect(),
        objects: passed.iter().map(object).take(MAX_TOLD).collect(),
        ..Seen::default()
    })
}

fn text(read: Option<&PlateRead>) -> Option<String> {
    read.filter(|read| read.confidence >= READ_FROM).map(|read| read.text.to_string())
}
