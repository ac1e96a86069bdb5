//! Models: what they are ([`Manifest`]), the library that runs them ([`Runtime`]), sessions shared fairly ([`Net`]).
//!
//! A model is loaded from the very bytes whose digest was checked, and only when its inputs and outputs have the names
//! and shapes that its manifest leads to expect. Sessions are few and shared by all cameras (a session costs 15 MB and a
//! second thread in it saves nothing), each with one thread of its own that does not spin.

mod decode;
mod family;
mod faults;
mod file;
mod input;
pub mod inspect;
mod manifest;
mod net;
mod pool;
mod runtime;
#[cfg(feature = "onnx")]
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use decode::{Decode, Rows, Scores};
pub use family::Family;
pub use file::{MAX_MODEL_BYTES, read_checked};
pub use input::{Colour, Fit, Input, Kind, Layout, PerChannel};
pub use inspect::Refusal;
pub use manifest::{Head, MANIFEST_FILE, Manifest, Outputs, Thresholds};
pub use net::{Net, Spec, View};
pub use pool::{Pool, Taken};
pub use runtime::Runtime;

use super::Error;
use super::detect::Detector;
use super::plate::Reader;

/// Which models to use and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The folder that holds a folder a model.
    pub folder: PathBuf,
    /// Name of the model that finds plates.
    pub detector: String,
    /// Name of the model that reads them.
    pub reader: String,
    /// The inference library; looked for where it usually lies when absent.
    pub library: Option<PathBuf>,
    /// Score from which a detection counts, 0..1, instead of the manifest's.
    pub score: Option<f32>,
    /// Sessions of each model: how many frames may be analysed at once. At least 1.
    pub workers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("models"),
            detector: "plates-1".into(),
            reader: "reader-1".into(),
            library: None,
            score: None,
            workers: 1,
        }
    }
}

/// The models of a box; a clone shares them.
#[derive(Debug, Clone)]
pub struct Models {
    /// Finds plates.
    pub detector: Arc<Detector>,
    /// Reads them.
    pub reader: Arc<Reader>,
    /// The library that runs both.
    pub runtime: Runtime,
}

impl Models {
    /// Loads both models: reads files, takes a tenth of a second and some 15 MB a session.
    ///
    /// # Errors
    /// When the library or a model is missing or unfit: the message names it and says what to do.
    pub fn load(settings: &Settings) -> Result<Self, Error> {
        let runtime = Runtime::open(settings.library.as_deref())?;
        let mut detector = Manifest::load(&settings.folder.join(&settings.detector))?;
        detector.thresholds.score = settings.score.unwrap_or(detector.thresholds.score);
        let reader = Manifest::load(&settings.folder.join(&settings.reader))?;
        Ok(Self {
            detector: Arc::new(Detector::load(&runtime, detector, settings.workers)?),
            reader: Arc::new(Reader::load(&runtime, reader, settings.workers)?),
            runtime,
        })
    }
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
