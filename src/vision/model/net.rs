//! One model ready to run: digest and shapes checked, its sessions shared fairly.
//!
//! The file is read once; the bytes whose digest was compared are the bytes that become sessions. Each output is checked
//! at every run: the right shape, and nothing but finite numbers, so that whoever decodes it need not ask again.

use std::io::Read;
use std::path::Path;

use super::{Manifest, Pool, Runtime};
use crate::vision::Error;

/// Largest model file that is loaded.
pub const MAX_MODEL_BYTES: u64 = 200 * 1024 * 1024;

/// An output that a family needs: its name, and its shape with -1 for a size that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name of the tensor.
    pub name: String,
    /// Wanted shape; the first -1 of a `[-1, …]` is the number of pictures.
    pub shape: Vec<i64>,
}

impl Spec {
    /// A named output of `shape`.
    #[must_use]
    pub fn new(name: Option<&str>, usual: &str, shape: &[i64]) -> Self {
        Self { name: name.unwrap_or(usual).to_owned(), shape: shape.to_vec() }
    }
}

/// An output as it lies in the library's memory, row-major, finite throughout.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its sizes, as the spec wants them.
    pub shape: &'a [i64],
    /// Its values.
    pub data: &'a [f32],
}

/// A loaded model.
pub struct Net {
    manifest: Manifest,
    outputs: Vec<Spec>,
    /// Shapes of these outputs as the graph tells them; empty where it does not.
    shapes: Vec<Vec<i64>>,
    batch: usize,
    #[cfg(feature = "onnx")]
    sessions: Pool<ort::session::Session>,
    #[cfg(not(feature = "onnx"))]
    sessions: Pool<()>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net")
            .field("model", &self.manifest.name)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Net {
    /// What the model says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Shapes of the outputs in the order of the specs as the graph tells them: -1 for a free size, empty when untold.
    #[must_use]
    pub fn shapes(&self) -> &[Vec<i64>] {
        &self.shapes
    }

    /// Most pictures that one run takes.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How many callers wait for a session now.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.sessions.waiting()
    }
}

/// The model's bytes, when their digest is the manifest's.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::TooLarge`], [`Error::Digest`].
pub fn read_checked(manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let path = manifest.model_path();
    let bytes = read_bounded(&path, MAX_MODEL_BYTES)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let got = digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if got.eq_ignore_ascii_case(&manifest.sha256) {
        Ok(bytes)
    } else {
        Err(Error::Digest { path, got, want: manifest.sha256.to_ascii_lowercase() })
    }
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |e: std::io::Error| Error::Unreadable { path: path.to_path_buf(), reason: e.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > limit {
        return Err(Error::TooLarge { path: path.to_path_buf(), bytes, limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    // A file may grow while it is read; what is beyond the limit is not taken, and the digest then tells.
    file.take(limit).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

#[cfg(not(feature = "onnx"))]
impl Net {
    /// Without the feature `onnx` nothing can be run.
    ///
    /// # Errors
    /// Always [`Error::NoInference`].
    pub fn load(_: &Runtime, _: Manifest, _: Vec<Spec>, _: usize) -> Result<Self, Error> {
        Err(Error::NoInference)
    }

    /// Without the feature `onnx` nothing can be run.
    ///
    /// # Errors
    /// Always [`Error::NoInference`].
    pub fn run<R>(&self, _: usize, _: &[f32], _: impl FnOnce(&[View<'_>]) -> R) -> Result<R, Error> {
        Err(Error::NoInference)
    }
}

#[cfg(feature = "onnx")]
mod with_library {
    use ndarray::ArrayView4;
    use ort::session::Session;
    use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
    use ort::value::{Outlet, TensorElementType, TensorRef};

    use super::{Error, Manifest, Net, Pool, Runtime, Spec, View, read_checked};

    /// Most pictures a run when the model leaves their number free: larger batches gain nothing on a CPU.
    const FREE_BATCH: usize = 4;

    impl Net {
        /// Loads the model of `manifest` with `workers` sessions and checks that it has the outputs `wanted`.
        ///
        /// # Errors
        /// When the file is missing, too large, not what the manifest was written for, not loadable, or has other
        /// tensors than the manifest says.
        pub fn load(runtime: &Runtime, manifest: Manifest, wanted: Vec<Spec>, workers: usize) -> Result<Self, Error> {
            let bytes = read_checked(&manifest)?;
            let load = |e: String| Error::Load { model: manifest.name.clone(), path: manifest.model_path(), reason: e };
            let mut sessions = Vec::new();
            for _ in 0..workers.max(1) {
                let session = builder(runtime)
                    .and_then(|mut b| b.commit_from_memory(&bytes).map_err(|e| e.to_string()))
                    .map_err(load)?;
                sessions.push(session);
            }
            let (batch, shapes) = match sessions.first() {
                Some(first) => check(first, &manifest, &wanted)?,
                None => (1, Vec::new()),
            };
            let sessions = Pool::new(sessions).ok_or_else(|| load("no session was made".into()))?;
            Ok(Self { manifest, outputs: wanted, shapes, batch, sessions })
        }

        /// Runs the model on `pictures` tensors laid one after the other in `input`, waiting for a session in the order
        /// of calls, and hands the outputs to `read` in the order of the specs.
        ///
        /// The session is held until `read` returns: the outputs lie in its memory.
        ///
        /// # Errors
        /// [`Error::Run`], [`Error::Shape`], [`Error::NotFloat`], [`Error::NotFinite`].
        pub fn run<R>(&self, pictures: usize, input: &[f32], read: impl FnOnce(&[View<'_>]) -> R) -> Result<R, Error> {
            let model = || self.manifest.name.clone();
            let failed = |reason: String| Error::Run { model: model(), reason };
            let (width, height) = self.manifest.input_size();
            let shape = (pictures, self.manifest.input.channels as usize, height, width);
            let view = ArrayView4::from_shape(shape, input).map_err(|e| failed(e.to_string()))?;
            let tensor = TensorRef::from_array_view(view).map_err(|e| failed(e.to_string()))?;
            let mut turn = self.sessions.take();
            let session = turn.get().ok_or_else(|| failed("no session".into()))?;
            let inputs = ort::inputs![self.manifest.input.name.as_str() => tensor];
            let outputs = session.run(inputs).map_err(|e| failed(e.to_string()))?;
            let mut views = Vec::with_capacity(self.outputs.len());
            for spec in &self.outputs {
                let value = outputs.get(&spec.name).ok_or_else(|| failed(format!("no output {:?}", spec.name)))?;
                let (got, data) = value.try_extract_tensor::<f32>().map_err(|e| failed(e.to_string()))?;
                let mut want = spec.shape.clone();
                if let Some(first) = want.first_mut().filter(|n| **n == -1) {
                    *first = i64::try_from(pictures).unwrap_or(-1);
                }
                if !agrees(got, &want) {
                    let (name, got) = (spec.name.clone(), got.to_vec());
                    return Err(Error::Shape { model: model(), what: "output", name, got, want });
                }
                if let Some((at, value)) = data.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                    return Err(Error::NotFinite { model: model(), output: spec.name.clone(), value: *value, at });
                }
                views.push(View { shape: got, data });
            }
            Ok(read(&views))
        }
    }

    /// One thread that does not spin and no parallel branches: measured cheapest, and cameras bring the parallelism.
    fn builder(runtime: &Runtime) -> Result<SessionBuilder, String> {
        let told = |e: ort::Error<SessionBuilder>| e.to_string();
        Session::builder(&runtime.environment)
            .map_err(|e| e.to_string())?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(told)?
            .with_intra_threads(1)
            .map_err(told)?
            .with_inter_threads(1)
            .map_err(told)?
            .with_parallel_execution(false)
            .map_err(told)?
            .with_intra_op_spinning(false)
            .map_err(told)?
            .with_inter_op_spinning(false)
            .map_err(told)
    }

    /// Checks names, types and shapes; the number of pictures that one run takes, and the outputs' shapes.
    fn check(session: &Session, manifest: &Manifest, wanted: &[Spec]) -> Result<(usize, Vec<Vec<i64>>), Error> {
        let (width, height) = manifest.input.size.into();
        let input = Spec {
            name: manifest.input.name.clone(),
            shape: vec![-1, i64::from(manifest.input.channels), i64::from(height), i64::from(width)],
        };
        let shape = check_one(manifest, "input", session.inputs(), &input)?;
        let free = match shape.first() {
            Some(-1) => FREE_BATCH,
            Some(1) => 1,
            _ => {
                let (model, name) = (manifest.name.clone(), input.name);
                let want = std::iter::once(1).chain(input.shape.into_iter().skip(1)).collect();
                return Err(Error::Shape { model, what: "input", name, got: shape, want });
            }
        };
        let shapes: Result<Vec<_>, Error> =
            wanted.iter().map(|spec| check_one(manifest, "output", session.outputs(), spec)).collect();
        Ok((free, shapes?))
    }

    fn check_one(manifest: &Manifest, what: &'static str, tensors: &[Outlet], spec: &Spec) -> Result<Vec<i64>, Error> {
        let (model, name) = (manifest.name.clone(), spec.name.clone());
        let Some(tensor) = tensors.iter().find(|t| t.name() == spec.name) else {
            let has = tensors.iter().map(|t| t.name().to_owned()).collect();
            return Err(Error::NoSuchTensor { model, what, name, has });
        };
        if tensor.dtype().tensor_type() != Some(TensorElementType::Float32) {
            return Err(Error::NotFloat { model, what, name, got: tensor.dtype().to_string() });
        }
        let got = tensor.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
        // An output whose rank the graph does not tell is checked when it is there.
        if (what == "input" || !got.is_empty()) && !agrees(&got, &spec.shape) {
            return Err(Error::Shape { model, what, name, got, want: spec.shape.clone() });
        }
        Ok(got)
    }

    /// Whether `got` is `want` wherever both are known.
    fn agrees(got: &[i64], want: &[i64]) -> bool {
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| *g == -1 || *w == -1 || g == w)
    }
}
