//! `watchpostctl model pack`: a signed package out of a model's folder and its canary pictures.
//!
//! ```toml
//! # canary/canaries.toml in the model's folder, or the file that --canaries names; pictures lie beside it
//! least = 1.0                          # share of all answers that is at least right; what must be right comes on top
//! [[canary]]
//! picture = "street.jpg"               # JPEG or PNG
//! must = true                          # all its answers must be right (so unless said otherwise)
//! crop = false                         # true: the picture is one plate, edge to edge
//! plates = [{ text = "AB12CDE", box = [0.24, 0.70, 0.33, 0.74] }]   # text or box may be left out; none at all: nothing may be read
//! vehicles = [{ class = "car", box = [0.16, 0.33, 0.43, 0.75] }]
//! ```
//! The manifest is checked and the model looked over as a box will do it, so that what a box would refuse without running it
//! is refused here. The model itself is not run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;

use crate::cli::ctl::ask::Keys;
use crate::clock::Clock;
use crate::command::models::canary::{Canary, Object, Plate, place};
use crate::command::models::package::{self, PICTURES, Table};
use crate::command::models::{Task, full_name};
use crate::domain::Class;
use crate::supervise::models::task_of;
use crate::vision::model::{MANIFEST_FILE, Manifest, read_checked};

/// Largest picture, card or list of canaries that is read.
const MAX_FILE: u64 = 16 << 20;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Packing {
    /// Folder of the model: manifest.toml, the files it names, and canary/canaries.toml
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// What must be seen in which pictures [default: FOLDER/canary/canaries.toml]
    #[arg(long, value_name = "FILE")]
    canaries: Option<PathBuf>,
    /// What it does: detector, reader, corners, vehicles [default: as its manifest tells]
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// Sign with this key: a role of the centre's folder, or a file; a box takes a fleet key alone
    #[arg(long = "as", value_name = "ROLE|FILE", default_value = "fleet")]
    signer: String,
    /// The package [default: NAME-VERSION.wpm]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `canaries.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "whole")]
    least: f64,
    #[serde(default, rename = "canary")]
    canaries: Vec<One>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    picture: String,
    #[serde(default = "yes")]
    must: bool,
    #[serde(default)]
    crop: bool,
    #[serde(default)]
    plates: Vec<WantedPlate>,
    #[serde(default)]
    vehicles: Vec<WantedVehicle>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedPlate {
    text: Option<String>,
    #[serde(rename = "box")]
    place: Option<[f32; 4]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedVehicle {
    class: String,
    #[serde(rename = "box")]
    place: [f32; 4],
}

fn whole() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

pub(super) fn run(packing: &Packing, keys: &Keys, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let key = keys.key(&packing.signer).context("the key that signs the package")?;
    let manifest = Manifest::load(&packing.folder)?;
    let model = read_checked(&manifest)?;
    let told = "the manifest does not tell what it does on a box: give --task";
    let task = packing.task.or_else(|| task_of(&manifest)).context(told)?;
    let list = packing.canaries.clone().unwrap_or_else(|| packing.folder.join(PICTURES).join("canaries.toml"));
    let (canaries, least) = canaries(&list)?;
    let table = Table {
        version: package::VERSION,
        name: manifest.name.clone(),
        model_version: manifest.version.clone(),
        task,
        issued: Clock::system().utc(),
        files: Vec::new(),
        canaries,
        least,
    };
    let files = files(&manifest, model, &table, list.parent().unwrap_or(Path::new(".")))?;
    let bytes = package::seal(table, &files, &key)?;
    let full = full_name(&manifest.name, &manifest.version);
    let path = packing.output.clone().unwrap_or_else(|| PathBuf::from(format!("{full}.wpm")));
    let mut file = std::fs::File::create_new(&path)
        .with_context(|| format!("{} cannot be made; what is there is not overwritten", path.display()))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())?;
    let pictures = files.iter().filter(|(name, _)| name.starts_with(PICTURES)).count();
    writeln!(
        out,
        "{}: {full}, {task}, {} bytes with {pictures} canary pictures, signed by key {}",
        path.display(),
        bytes.len(),
        key.kid()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The canaries of a list, and the least share in ‰.
fn canaries(list: &Path) -> anyhow::Result<(Vec<Canary>, u16)> {
    let text = std::fs::read_to_string(list).with_context(|| {
        format!("{} cannot be read: it says what must be seen in which pictures (docs/models.md)", list.display())
    })?;
    let file: File = toml::from_str(&text).with_context(|| format!("{} is not as expected", list.display()))?;
    if !(0.0..=1.0).contains(&file.least) {
        bail!("{}: least = {}: wanted a share, 0 to 1", list.display(), file.least);
    }
    let canaries: anyhow::Result<Vec<Canary>> = file.canaries.into_iter().map(canary).collect();
    let [least, ..] = place([as_f32(file.least); 4]).map(|part| u32::from(part) * 1000 / u32::from(u16::MAX));
    let canaries = canaries.with_context(|| list.display().to_string())?;
    Ok((canaries, u16::try_from(least).unwrap_or(1000)))
}

#[expect(clippy::cast_possible_truncation, reason = "a share from 0 to 1")]
fn as_f32(share: f64) -> f32 {
    share as f32
}

fn canary(one: One) -> anyhow::Result<Canary> {
    let vehicle = |wanted: &WantedVehicle| {
        let class = Class::OBJECTS.into_iter().find(|class| class.as_str() == wanted.class);
        let class = class.with_context(|| {
            format!("canary {}: class {:?}: wanted car, bus, truck, motorbike or person", one.picture, wanted.class)
        })?;
        Ok(Object { class, place: place(wanted.place) })
    };
    let plate = |wanted: WantedPlate| Plate { text: wanted.text, place: wanted.place.map(place) };
    Ok(Canary {
        objects: one.vehicles.iter().map(vehicle).collect::<anyhow::Result<_>>()?,
        plates: one.plates.into_iter().map(plate).collect(),
        picture: one.picture,
        must: one.must,
        crop: one.crop,
    })
}

/// All files of the package: manifest, model, what they name, pictures.
fn files(
    manifest: &Manifest,
    model: Vec<u8>,
    table: &Table,
    pictures: &Path,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let beside = |name: &str| read(&manifest.folder.join(name));
    let mut files = vec![(MANIFEST_FILE.to_owned(), beside(MANIFEST_FILE)?), (manifest.file.clone(), model)];
    for name in manifest.alphabet_file.iter().chain(&manifest.card) {
        files.push((name.clone(), beside(name)?));
    }
    for canary in &table.canaries {
        files.push((canary.path(), read(&pictures.join(&canary.picture))?));
    }
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    if bytes > MAX_FILE {
        bail!("{}: {bytes} bytes, a package takes pictures and cards of at most {MAX_FILE}", path.display());
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
