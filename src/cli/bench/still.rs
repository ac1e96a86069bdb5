//! `watchpost bench PICTURE`: what one still costs by stage, decoding left out.
//!
//! The picture is decoded once, then found and read many times on this thread, in the calls that `watchpost read` makes. What a
//! doubtful plate's other looks cost is the whole reading less that by the first look alone.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use super::cost::{cpu, ms_since};
use crate::camera::still;
use crate::domain::{Class, Detection, Frame, PlateRead};
use crate::vision::model::{Values, Vehicles};
use crate::vision::preprocess::{Scratch, tensor};
use crate::vision::{self, Models};

/// CPU milliseconds a picture, by stage.
struct Stages {
    /// Of which the tensor alone, and one run of the detector.
    tensor: f64,
    detector: f64,
    detect: f64,
    /// Straightening each plate and reading it once.
    read: f64,
    /// Reading with all looks.
    whole: f64,
    /// Finding vehicles; 0 when they are not looked for.
    vehicles: f64,
}

/// Measures the picture at `path` over `times` rounds and prints.
///
/// # Errors
/// A picture that can't be read, what the models say.
pub(super) fn run(path: &Path, models: &Models, times: u64, out: &mut dyn Write) -> anyhow::Result<()> {
    let frame = still::load(path)?;
    let plates = plates(models, &frame).with_context(|| path.display().to_string())?;
    let reads = models.reader.read(&frame, &plates)?;
    let once = models.reader.read_once(&frame, &plates)?;
    let stages = measure(models, &frame, &plates, times)?;
    let (width, height) = (frame.format.width, frame.format.height);
    writeln!(out, "{} {width}×{height}, {times} times, decoding left out", path.display())?;
    writeln!(out, "{}", told(&reads, &once))?;
    writeln!(out, "{:>28} {:>8}", "stage", "CPU ms")?;
    let again = (stages.whole - stages.read).max(0.0);
    let rows = [
        ("tensor (in detect)", stages.tensor),
        ("detector's run (in detect)", stages.detector),
        ("detect", stages.detect),
        ("rectify and read", stages.read),
        ("second look", again),
        ("vehicles", stages.vehicles),
        ("all", stages.detect + stages.read + again + stages.vehicles),
    ];
    for (stage, ms) in rows.iter().filter(|(stage, _)| *stage != "vehicles" || stages.vehicles > 0.0) {
        writeln!(out, "{stage:>28} {ms:>8.2}")?;
    }
    Ok(())
}

fn plates(models: &Models, frame: &Frame) -> Result<Vec<Detection>, vision::Error> {
    let mut found = models.detector.detect(frame)?;
    found.retain(|d| d.class == Class::Plate);
    Ok(found)
}

/// How many plates are in it, how many are read, and how many needed a second look.
fn told(reads: &[Option<PlateRead>], once: &[Option<PlateRead>]) -> String {
    let again = reads.iter().zip(once).filter(|(all, one)| all != one).count();
    let sure: Vec<String> = reads.iter().flatten().map(|r| format!("{:.2}", r.confidence)).collect();
    format!(
        "plates found {}, read {} (confidence {}), doubtful at the first look {again}",
        reads.len(),
        sure.len(),
        if sure.is_empty() { "-".to_owned() } else { sure.join(", ") },
    )
}

fn measure(models: &Models, frame: &Frame, plates: &[Detection], times: u64) -> anyhow::Result<Stages> {
    let (mut scratch, mut input) = (Scratch::default(), Values::default());
    let net = models.detector.net();
    let tensor_ms = each(|| tensor(frame, &net.manifest().input, &mut scratch, &mut input).map(drop))?;
    let detector = each(|| net.run(1, &input, |_| ()))?;
    let mut sums = [0.0; 4];
    // In turns, so that what else the machine does meets every stage alike; the first round only warms up.
    for round in 0..=times {
        let taken = [
            one(|| plates_of(models, frame))?,
            one(|| models.reader.read_once(frame, plates).map(drop))?,
            one(|| models.reader.read(frame, plates).map(drop))?,
            one(|| match &models.vehicles {
                Vehicles::Own(finder) => finder.detect(frame).map(drop),
                Vehicles::Off | Vehicles::SamePass => Ok(()),
            })?,
        ];
        if round > 0 {
            sums.iter_mut().zip(taken).for_each(|(sum, ms)| *sum += ms);
        }
    }
    let [detect, read, whole, vehicles] = sums.map(|sum| sum / times.max(1) as f64);
    Ok(Stages { tensor: tensor_ms, detector, detect, read, whole, vehicles })
}

/// Runs of a model or of the tensor alone.
const ALONE: u32 = 60;

/// CPU milliseconds of one call, after one that does not count.
fn each<E: Into<anyhow::Error>>(mut call: impl FnMut() -> Result<(), E>) -> anyhow::Result<f64> {
    call().map_err(Into::into)?;
    let begin = cpu();
    for _ in 0..ALONE {
        call().map_err(Into::into)?;
    }
    Ok(ms_since(begin) / f64::from(ALONE))
}

fn plates_of(models: &Models, frame: &Frame) -> Result<(), vision::Error> {
    plates(models, frame).map(drop)
}

fn one(call: impl FnOnce() -> Result<(), vision::Error>) -> anyhow::Result<f64> {
    let begin = cpu();
    call()?;
    Ok(ms_since(begin))
}
