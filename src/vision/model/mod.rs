//! Models: what they are ([`Manifest`]), the library that runs them ([`Runtime`]), sessions shared fairly ([`Net`]).
//!
//! A model is loaded from the very bytes whose digest was checked, and only when its inputs and outputs have the names
//! and shapes that its manifest leads to expect. Sessions are few and shared by all cameras (a session costs 15 MB and a
//! second thread in it saves nothing), each with one thread of its own that does not spin.

mod alphabet;
#[cfg(feature = "onnx")]
mod arena;
mod decode;
mod family;
mod faults;
mod file;
mod input;
pub mod inspect;
mod manifest;
mod net;
mod pool;
#[cfg(feature = "onnx")]
mod provider;
mod runtime;
#[cfg(feature = "onnx")]
mod session;
#[cfg(feature = "onnx")]
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use decode::{Axes, Blank, Decode, Rows, Scores};
pub use family::Family;
pub use file::{MAX_MODEL_BYTES, read_checked};
pub use input::{Colour, Fed, Fit, Input, Kind, Layout, PerChannel, Values};
pub use inspect::Refusal;
pub use manifest::{Head, MANIFEST_FILE, Manifest, Outputs, Thresholds};
pub use net::{Net, Spec, View};
pub use pool::{Pool, Taken};
pub use runtime::Runtime;

use super::Error;
use super::corners::Corners;
use super::detect::Detector;
use super::plate::Reader;
use crate::domain::{Class, Provider};

/// Which models to use and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The folder that holds a folder a model.
    pub folder: PathBuf,
    /// Name of the model that finds plates.
    pub detector: String,
    /// Name of the model that reads them.
    pub reader: String,
    /// Who corrects the corners that the detector gives.
    pub corners: Corrector,
    /// Name of the model that finds vehicles and persons; `None`: they are not looked for. Not loaded where the detector
    /// tells of them in its own pass.
    pub vehicles: Option<String>,
    /// The inference library; looked for where it usually lies when absent.
    pub library: Option<PathBuf>,
    /// Score from which a detection counts, 0..1, instead of the manifest's.
    pub score: Option<f32>,
    /// Sessions of each model: how many frames may be analysed at once. At least 1.
    pub workers: usize,
    /// A run that takes longer is ended, and has failed; `None`: each takes as long as it takes.
    pub run_within: Option<Duration>,
    /// What runs them, the first that can; empty: as their manifests say.
    pub providers: Vec<Provider>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("models"),
            detector: "plates-1".into(),
            reader: "reader-1".into(),
            corners: Corrector::Usual,
            vehicles: None,
            library: None,
            score: None,
            workers: 1,
            run_within: None,
            providers: Vec::new(),
        }
    }
}

/// Who corrects the corners that the detector gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Corrector {
    /// [`Corrector::USUAL`] where the folder has one: folders of people who bring their own models may lack it.
    #[default]
    Usual,
    /// The model of this name.
    Named(String),
    /// Nobody.
    Off,
}

impl Corrector {
    /// Name of the model that comes with the program.
    pub const USUAL: &str = "corners-1";

    /// The folder of the model within the folder of all.
    fn folder(&self, models: &Path) -> Option<PathBuf> {
        match self {
            Self::Usual => Some(models.join(Self::USUAL)).filter(|folder| folder.join(MANIFEST_FILE).is_file()),
            Self::Named(name) => Some(models.join(name)),
            Self::Off => None,
        }
    }
}

/// Who finds vehicles and persons.
#[derive(Debug, Clone)]
pub enum Vehicles {
    /// Nobody.
    Off,
    /// The detector of plates, in the same pass.
    SamePass,
    /// A model of their own.
    Own(Arc<Detector>),
}

/// The models of a box; a clone shares them.
#[derive(Debug, Clone)]
pub struct Models {
    /// Finds plates.
    pub detector: Arc<Detector>,
    /// Reads them.
    pub reader: Arc<Reader>,
    /// Finds vehicles and persons.
    pub vehicles: Vehicles,
    /// The library that runs them.
    pub runtime: Runtime,
}

impl Models {
    /// Loads the models: reads files, takes a tenth of a second and some 15 MB a session.
    ///
    /// # Errors
    /// When the library or a model is missing or unfit: the message names it and says what to do.
    pub fn load(settings: &Settings) -> Result<Self, Error> {
        let mut runtime = Runtime::open(settings.library.as_deref())?.with_providers(&settings.providers);
        if let Some(within) = settings.run_within {
            runtime = runtime.watching(within)?;
        }
        let mut detector = Manifest::load(&settings.folder.join(&settings.detector))?;
        detector.thresholds.score = settings.score.unwrap_or(detector.thresholds.score);
        // What is no detector is refused as such when it is loaded.
        if detector.family.finds() {
            finds(&detector, "plates", "detector", |c| c == Class::Plate)?;
        }
        let reader = Manifest::load(&settings.folder.join(&settings.reader))?;
        let mut reader = Reader::load(&runtime, reader, settings.workers)?;
        if let Some(folder) = settings.corners.folder(&settings.folder) {
            let manifest = Manifest::load(&folder)?;
            reader = reader.with_corners(Corners::load(&runtime, manifest, settings.workers)?);
        }
        let vehicles = match &settings.vehicles {
            None => Vehicles::Off,
            Some(_) if detector.finds(Class::is_vehicle) => Vehicles::SamePass,
            Some(name) => {
                let manifest = Manifest::load(&settings.folder.join(name))?;
                finds(&manifest, "vehicles", "vehicles", Class::is_vehicle)?;
                Vehicles::Own(Arc::new(Detector::load(&runtime, manifest, settings.workers)?))
            }
        };
        Ok(Self {
            detector: Arc::new(Detector::load(&runtime, detector, settings.workers)?),
            reader: Arc::new(reader),
            vehicles,
            runtime,
        })
    }

    /// Runs that did not come back in time and were ended, since these models were loaded.
    #[must_use]
    pub fn hung(&self) -> u64 {
        self.runtime.hung()
    }

    /// Nobody runs these models any more: runs under way are ended, and who waits for a session gets an error at once.
    pub fn give_up(&self) {
        self.runtime.give_up();
    }

    /// The manifests of all that are loaded.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.nets().map(Net::manifest)
    }

    /// All that are loaded.
    pub fn nets(&self) -> impl Iterator<Item = &Net> {
        let own = match &self.vehicles {
            Vehicles::Own(detector) => Some(detector.net()),
            Vehicles::Off | Vehicles::SamePass => None,
        };
        let corners = self.reader.corners().map(Corners::net);
        [self.detector.net(), self.reader.net()].into_iter().chain(corners).chain(own)
    }
}

/// Refuses a model that tells of nothing that `class` accepts.
fn finds(
    manifest: &Manifest,
    wanted: &'static str,
    key: &'static str,
    class: impl Fn(Class) -> bool,
) -> Result<(), Error> {
    if manifest.finds(class) {
        return Ok(());
    }
    let has = manifest.classes.iter().chain(manifest.heads.iter().flat_map(|h| &h.classes)).cloned().collect();
    Err(Error::FindsNone { model: manifest.name.clone(), wanted, has, key })
}

/// The folder with the models that came with the program: `models` beside the program or up to three folders above it (a
/// build folder), among the system's, and only then in the current folder, which may be anybody's.
///
/// # Errors
/// [`Error::ModelsMissing`] with the places that were looked at.
pub fn usual_folder() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().ok();
    let near = program.iter().flat_map(|p| p.ancestors().skip(1).take(4));
    let mut places: Vec<PathBuf> = near.map(|folder| folder.join("models")).collect();
    places.extend(["/usr/share/watchpost/models", "/usr/local/share/watchpost/models", "models"].map(PathBuf::from));
    places.iter().find(|place| holds_models(place)).cloned().ok_or_else(|| Error::ModelsMissing {
        looked_at: places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// Whether one of the folder's folders has a manifest.
fn holds_models(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.filter_map(Result::ok).any(|e| e.path().join(MANIFEST_FILE).is_file()))
}
