//! What can go wrong between a frame and a read, with what was found and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::Provider;

/// A fault of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No inference library where one was looked for.
    #[error(
        "ONNX Runtime is missing (looked at {looked_at}): `make setup` fetches it; or name the library in \
         ORT_DYLIB_PATH or by [vision] onnxruntime"
    )]
    LibraryMissing {
        /// Where it was looked for, in words.
        looked_at: String,
    },
    /// A library is there and can't be used.
    #[error(
        "{path:?} can't be used as ONNX Runtime: {reason}; version 1.24 or newer is needed (`make setup` fetches one)"
    )]
    LibraryUnfit {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// This program was built without inference.
    #[error("this build can't run models: build it with the feature `onnx`")]
    NoInference,
    /// No folder with models where one was looked for.
    #[error("no folder `models` found (looked at {looked_at}): name it with --models or by [vision] models")]
    ModelsMissing {
        /// Where it was looked for.
        looked_at: String,
    },
    /// A file of a model can't be read.
    #[error("{path:?} can't be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A manifest does not say what a manifest must say.
    #[error("{path:?} is no good manifest:{}", list(faults))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Every fault found, one a line.
        faults: Vec<String>,
    },
    /// A model's bytes are not those its manifest was written for.
    #[error(
        "{path:?} has sha256 {got}, its manifest says {want}: the file was changed or replaced; restore it, or write a manifest for it"
    )]
    Digest {
        /// The model file.
        path: PathBuf,
        /// Digest of the bytes that were read.
        got: String,
        /// Digest in the manifest.
        want: String,
    },
    /// A model file larger than any model this program is meant for.
    #[error("{path:?} has {bytes} bytes, more than the {limit} that a model may have")]
    TooLarge {
        /// The model file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file that is not given to the library.
    #[error("{path:?} is refused: {refusal}")]
    Refused {
        /// The model file.
        path: PathBuf,
        /// Why, and what to do.
        refusal: super::model::Refusal,
    },
    /// The library refuses the model.
    #[error("model {model:?}: {path:?} can't be loaded: {reason}")]
    Load {
        /// Name in the manifest.
        model: String,
        /// The model file.
        path: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// The library was built without what is to run a model.
    #[error(
        "model {model:?} is to be run by {wanted}, and {library:?} was built without it (it has {has}): name a library that has it \
         by [vision] onnxruntime, or add \"cpu\" to providers"
    )]
    ProviderMissing {
        /// Name in the manifest.
        model: String,
        /// What was named, in words.
        wanted: String,
        /// The library.
        library: PathBuf,
        /// What it has, in words.
        has: String,
    },
    /// What is to run a model is in the library and can't be used.
    #[error(
        "model {model:?} can't be run by {provider} of {library:?}: {reason}; install the driver and the libraries that it needs, or add \
         \"cpu\" to providers"
    )]
    ProviderFails {
        /// Name in the manifest.
        model: String,
        /// What was to run it.
        provider: Provider,
        /// The library.
        library: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// The model has no such input or output.
    #[error("model {model:?} has no {what} {name:?}; it has {has:?}: correct its manifest")]
    NoSuchTensor {
        /// Name in the manifest.
        model: String,
        /// `input` or `output`.
        what: &'static str,
        /// Name that the manifest gives.
        name: String,
        /// Names that the model has.
        has: Vec<String>,
    },
    /// A run did not come back and was ended.
    #[error("model {model:?} did not come back within {within:?}: its run was ended")]
    Hung {
        /// Name in the manifest.
        model: String,
        /// How long a run may take.
        within: Duration,
    },
    /// Another model takes the place of this one.
    #[error("model {model:?} is given up: another one takes its place")]
    GivenUp {
        /// Name in the manifest.
        model: String,
    },
    /// A tensor has another shape than the manifest makes it have. Free sizes are -1.
    #[error("model {model:?}: {what} {name:?} has shape {got:?}, its manifest says {want:?}: correct its manifest")]
    Shape {
        /// Name in the manifest.
        model: String,
        /// `input` or `output`.
        what: &'static str,
        /// Name of the tensor.
        name: String,
        /// Shape of the model.
        got: Vec<i64>,
        /// Shape by the manifest.
        want: Vec<i64>,
    },
    /// The cells of a heat map do not divide the input.
    #[error(
        "model {model:?}: output {name:?} has {columns}x{rows} cells, which do not divide an input of {width}x{height} \
         into squares: correct its manifest"
    )]
    Stride {
        /// Name in the manifest.
        model: String,
        /// Name of the tensor.
        name: String,
        /// Cells across.
        columns: i64,
        /// Cells down.
        rows: i64,
        /// Width of the input, pixels.
        width: i64,
        /// Height of the input, pixels.
        height: i64,
    },
    /// A tensor holds other values than the manifest makes it hold.
    #[error(
        "model {model:?}: {what} {name:?} is {got}, its manifest wants {want}: correct its manifest, or export the model \
         with 32-bit floats"
    )]
    Type {
        /// Name in the manifest.
        model: String,
        /// `input` or `output`.
        what: &'static str,
        /// Name of the tensor.
        name: String,
        /// Its type in the library's words.
        got: String,
        /// The type by the manifest.
        want: String,
    },
    /// The model wants more than a picture.
    #[error(
        "model {model:?} has a further input {name:?} that its manifest does not name: export it without, or name it by \
         input.size_tensor if it takes the picture's size"
    )]
    MoreInputs {
        /// Name in the manifest.
        model: String,
        /// Name of the input that nobody feeds.
        name: String,
    },
    /// A model gave values that are not what its manifest says they are.
    #[error("model {model:?} gave {got}, its manifest says that {want}: correct its manifest")]
    Values {
        /// Name in the manifest.
        model: String,
        /// What came.
        got: String,
        /// What the manifest says.
        want: String,
    },
    /// A model gave something that is no number.
    #[error(
        "model {model:?}: output {output:?} holds {value} at {at}: its weights are damaged or do not fit its input"
    )]
    NotFinite {
        /// Name in the manifest.
        model: String,
        /// Name of the output.
        output: String,
        /// NaN or an infinity.
        value: f32,
        /// Its place in the flat output.
        at: usize,
    },
    /// A model of this family can't do this work.
    #[error("model {model:?} is of family {family:?} and can't be the {role}: name another model by [vision] {role}")]
    WrongFamily {
        /// Name in the manifest.
        model: String,
        /// Its family.
        family: &'static str,
        /// `detector`, `reader` or `corners`: the key by which it was named, too.
        role: &'static str,
    },
    /// A detector that finds nothing of what it was named for.
    #[error("model {model:?} tells of no {wanted} (it tells of {has:?}): name another model by [vision] {key}")]
    FindsNone {
        /// Name in the manifest.
        model: String,
        /// `plates` or `vehicles`.
        wanted: &'static str,
        /// The names of its classes.
        has: Vec<String>,
        /// The key that named it.
        key: &'static str,
    },
    /// The library failed while running a model.
    #[error("model {model:?} failed while running: {reason}")]
    Run {
        /// Name in the manifest.
        model: String,
        /// What the library said.
        reason: String,
    },
    /// A frame whose planes are shorter than its format says.
    #[error("frame {index}: {width}x{height} with planes too short for it")]
    ShortFrame {
        /// The frame's index.
        index: u64,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// A plate can't be cut out of the picture.
    #[error("the plate could not be rectified: {reason}")]
    Rectify {
        /// What the library said.
        reason: String,
    },
}

/// One fault a line, indented.
fn list(faults: &[String]) -> String {
    faults.iter().fold(String::new(), |text, fault| text + "\n  " + fault)
}
