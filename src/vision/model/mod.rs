//! Models: what they are ([`Manifest`]), the library that runs them ([`Runtime`]), sessions shared fairly ([`Net`]).
//!
//! A model is loaded from the very bytes whose digest was checked, and only when its inputs and outputs have the names
//! and shapes that its manifest leads to expect. Sessions are few and shared by all cameras (a session costs 15 MB and a
//! second thread in it saves nothing), each with one thread of its own that does not spin.

mod manifest;
mod net;
mod pool;
mod runtime;

use std::path::PathBuf;
use std::sync::Arc;

pub use manifest::{Colour, Family, Fit, Input, Layout, MANIFEST_FILE, Manifest, Outputs, PerChannel, Thresholds};
pub use net::{MAX_MODEL_BYTES, Net, Spec, View, read_checked};
pub use pool::{Pool, Taken};
pub use runtime::Runtime;

use super::Error;
use super::detect::Detector;
use super::plate::Reader;

/// Which models to use and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder that holds a folder a model.
    pub folder: PathBuf,
    /// Name of the model that finds plates.
    pub detector: String,
    /// Name of the model that reads them.
    pub reader: String,
    /// The inference library; looked for where it usually lies when absent.
    pub library: Option<PathBuf>,
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
        let detector = Manifest::load(&settings.folder.join(&settings.detector))?;
        let reader = Manifest::load(&settings.folder.join(&settings.reader))?;
        Ok(Self {
            detector: Arc::new(Detector::load(&runtime, detector, settings.workers)?),
            reader: Arc::new(Reader::load(&runtime, reader, settings.workers)?),
            runtime,
        })
    }
}
