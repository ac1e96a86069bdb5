//! Runs a model by ONNX Runtime: loading, checking what the graph says of itself, feeding and fetching.
//!
//! A session has one thread that does not spin. Each output is checked at every run: the right shape, and nothing but
//! finite numbers, so that whoever decodes it need not ask again.

use std::borrow::Cow;

use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, TensorRef};

use super::file::read_checked;
use super::provider::Loading;
use super::watch::Watch;
use super::{Fed, Input, Kind, Layout, Manifest, Net, Pool, Runtime, Spec, View};
use crate::vision::Error;

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
        let loading = Loading { runtime, manifest: &manifest, bytes: &bytes, options: builder };
        let (sessions, providers) = loading.sessions(workers)?;
        let (batch, shapes) = match sessions.first() {
            Some(first) => check(first, &manifest, &wanted)?,
            None => (1, Vec::new()),
        };
        let sessions = Pool::new(sessions).ok_or_else(|| load("no session was made".into()))?;
        Ok(Self { manifest, outputs: wanted, shapes, batch, providers, sessions, watch: runtime.watch.clone() })
    }

    /// Runs the model on `pictures` tensors laid one after the other in `input`, waiting for a session in the order of calls, and
    /// hands the outputs to `read` in the order of the specs.
    ///
    /// The session is held until `read` returns: the outputs lie in its memory.
    ///
    /// # Errors
    /// [`Error::Run`], [`Error::Hung`], [`Error::GivenUp`], [`Error::Shape`], [`Error::NotFinite`].
    pub fn run<'a, R>(
        &self,
        pictures: usize,
        input: impl Into<Fed<'a>>,
        read: impl FnOnce(&[View<'_>]) -> R,
    ) -> Result<R, Error> {
        self.run_sized(self.manifest.input.size, pictures, input, read)
    }

    /// The same on pictures of `size`, which is the manifest's or, where that has a unit, a multiple of it.
    ///
    /// # Errors
    /// As [`Net::run`].
    pub fn run_sized<'a, R>(
        &self,
        size: [u32; 2],
        pictures: usize,
        input: impl Into<Fed<'a>>,
        read: impl FnOnce(&[View<'_>]) -> R,
    ) -> Result<R, Error> {
        let failed = |reason: String| Error::Run { model: self.manifest.name.clone(), reason };
        let count = i64::try_from(pictures).unwrap_or(i64::MAX);
        let given = Given::of(&self.manifest.input, pictures, input.into());
        let inputs = given.feed(&self.manifest.input, size, count).map_err(|e| failed(e.to_string()))?;
        let given_up = || Error::GivenUp { model: self.manifest.name.clone() };
        let is_given_up = || self.watch.as_ref().is_some_and(|watch| watch.is_given_up());
        let mut turn = self.sessions.take_unless(&is_given_up).ok_or_else(given_up)?;
        let session = turn.get().ok_or_else(|| failed("no session".into()))?;
        let under_way = self.watch.as_ref().map(Watch::begin).transpose().map_err(|e| failed(e.to_string()))?;
        let outputs = match &under_way {
            None => session.run(inputs).map_err(|e| failed(e.to_string()))?,
            Some(run) => session.run_with_options(inputs, run.options()).map_err(|e| match &self.watch {
                Some(watch) if watch.is_given_up() => given_up(),
                Some(watch) if run.was_ended() => {
                    Error::Hung { model: self.manifest.name.clone(), within: watch.within() }
                }
                _ => failed(e.to_string()),
            })?,
        };
        let mut values = Vec::with_capacity(self.outputs.len());
        for spec in &self.outputs {
            let value = outputs.get(&spec.name).ok_or_else(|| failed(format!("no output {:?}", spec.name)))?;
            values.push(fetch(spec, value).map_err(|e| failed(e.to_string()))?);
        }
        let mut views = Vec::with_capacity(self.outputs.len());
        for (spec, (shape, data)) in self.outputs.iter().zip(&values) {
            self.check_values(spec, count, shape, data)?;
            views.push(View { shape, data });
        }
        Ok(read(&views))
    }

    fn check_values(&self, spec: &Spec, pictures: i64, shape: &[i64], data: &[f32]) -> Result<(), Error> {
        let (model, name) = (self.manifest.name.clone(), spec.name.clone());
        let want = spec.shape_of(pictures);
        if !agrees(shape, &want) {
            return Err(Error::Shape { model, what: "output", name, got: shape.to_vec(), want });
        }
        match data.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            Some((at, value)) => Err(Error::NotFinite { model, output: name, value: *value, at }),
            None => Ok(()),
        }
    }
}

/// The values in the order of the input's layout.
fn arranged<'a>(input: &Input, pictures: usize, values: &'a [f32]) -> Cow<'a, [f32]> {
    let channels = input.channels as usize;
    let plane = values.len() / (pictures * channels).max(1);
    if input.layout == Layout::Nchw || channels == 1 || plane == 0 {
        return Cow::Borrowed(values);
    }
    let mut mixed = Vec::with_capacity(values.len());
    for picture in values.chunks_exact(plane * channels) {
        for pixel in 0..plane {
            mixed.extend(picture.iter().skip(pixel).step_by(plane));
        }
    }
    Cow::Owned(mixed)
}

/// What a run is given, as the graph takes it.
enum Given<'a> {
    Floats(Cow<'a, [f32]>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Given<'a> {
    fn of(input: &Input, pictures: usize, fed: Fed<'a>) -> Self {
        match (fed, input.kind) {
            (Fed::Bytes(bytes), _) => Self::Bytes(Cow::Borrowed(bytes)),
            (Fed::Floats(values), Kind::F32) => Self::Floats(arranged(input, pictures, values)),
            (Fed::Floats(values), Kind::U8) => Self::Bytes(bytes(&arranged(input, pictures, values)).into()),
        }
    }

    /// The named tensors of one run.
    fn feed<'b>(
        &'b self,
        input: &'b Input,
        size: [u32; 2],
        pictures: i64,
    ) -> ort::Result<Vec<(Cow<'b, str>, SessionInputValue<'b>)>> {
        let shape = input.shape_of(size, pictures);
        let picture: SessionInputValue<'b> = match self {
            Self::Floats(values) => TensorRef::from_array_view((shape, &**values))?.into(),
            Self::Bytes(bytes) => TensorRef::from_array_view((shape, &**bytes))?.into(),
        };
        let mut inputs = vec![(Cow::from(input.name.as_str()), picture)];
        if let Some(name) = &input.size_tensor {
            let size = Tensor::from_array(([1, 2], size.map(i64::from).to_vec()))?;
            inputs.push((Cow::from(name.as_str()), size.into()));
        }
        Ok(inputs)
    }
}

/// The nearest bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect()
}

/// An output's shape and values.
fn fetch<'a>(spec: &Spec, value: &'a DynValue) -> ort::Result<(&'a [i64], Cow<'a, [f32]>)> {
    if spec.integers {
        let (shape, data) = value.try_extract_tensor::<i64>()?;
        #[expect(clippy::cast_precision_loss, reason = "class numbers, far below 2^24; what is above is no class")]
        let data = data.iter().map(|v| *v as f32).collect();
        return Ok((shape, Cow::Owned(data)));
    }
    let (shape, data) = value.try_extract_tensor::<f32>()?;
    Ok((shape, Cow::Borrowed(data)))
}

/// One thread that does not spin and no parallel branches: measured cheapest, and cameras bring the parallelism.
fn builder(runtime: &Runtime) -> Result<SessionBuilder, String> {
    let told = |e: ort::Error<SessionBuilder>| e.to_string();
    Session::builder(&runtime.environment)
        .map_err(|e| e.to_string())?
        // Its own format is not looked over, so bytes that look like it are not taken for it.
        .with_config_entry("session.load_model_format", "ONNX")
        .map_err(told)?
        .with_env_allocators()
        .map_err(told)?
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
    let input = &manifest.input;
    let kind = match input.kind {
        Kind::F32 => TensorElementType::Float32,
        Kind::U8 => TensorElementType::Uint8,
    };
    let checked = Checked { manifest, what: "input", tensors: session.inputs() };
    let shape = checked.one(&input.name, kind, &input.shape(-1))?;
    let batch = match shape.first() {
        Some(-1) => FREE_BATCH,
        Some(1) => 1,
        _ => return Err(checked.shape(&input.name, shape, &input.shape(1))),
    };
    let sides = if input.layout == Layout::Nchw { 2..4 } else { 1..3 };
    if input.unit.is_some() && shape.get(sides.clone()).is_some_and(|sides| sides.iter().any(|side| *side >= 0)) {
        let mut want = input.shape(1).to_vec();
        want.get_mut(sides).into_iter().flatten().for_each(|side| *side = -1);
        return Err(checked.shape(&input.name, shape, &want));
    }
    if let Some(name) = &input.size_tensor {
        checked.one(name, TensorElementType::Int64, &[-1, 2])?;
    }
    let fed = |name: &str| name == input.name || Some(name) == input.size_tensor.as_deref();
    if let Some(more) = session.inputs().iter().find(|i| !fed(i.name())) {
        return Err(Error::MoreInputs { model: manifest.name.clone(), name: more.name().to_owned() });
    }
    let checked = Checked { manifest, what: "output", tensors: session.outputs() };
    let shapes: Result<Vec<_>, Error> = wanted
        .iter()
        .map(|spec| {
            let kind = if spec.integers { TensorElementType::Int64 } else { TensorElementType::Float32 };
            checked.one(&spec.name, kind, &spec.shape_of(-1))
        })
        .collect();
    Ok((batch, shapes?))
}

/// The inputs or the outputs of a graph, held against what a manifest says of them.
struct Checked<'a> {
    manifest: &'a Manifest,
    what: &'static str,
    tensors: &'a [Outlet],
}

impl Checked<'_> {
    /// The shape of tensor `name`, when it is of type `kind` and agrees with `want`.
    fn one(&self, name: &str, kind: TensorElementType, want: &[i64]) -> Result<Vec<i64>, Error> {
        let (model, what) = (self.manifest.name.clone(), self.what);
        let Some(tensor) = self.tensors.iter().find(|t| t.name() == name) else {
            let has = self.tensors.iter().map(|t| t.name().to_owned()).collect();
            return Err(Error::NoSuchTensor { model, what, name: name.to_owned(), has });
        };
        if tensor.dtype().tensor_type() != Some(kind) {
            let (got, want) = (tensor.dtype().to_string(), kind.to_string());
            return Err(Error::Type { model, what, name: name.to_owned(), got, want });
        }
        let got = tensor.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
        // An output whose rank the graph does not tell is checked when it is there.
        if (what == "input" || !got.is_empty()) && !agrees(&got, want) {
            return Err(self.shape(name, got, want));
        }
        Ok(got)
    }

    fn shape(&self, name: &str, got: Vec<i64>, want: &[i64]) -> Error {
        let (model, name) = (self.manifest.name.clone(), name.to_owned());
        Error::Shape { model, what: self.what, name, got, want: want.to_vec() }
    }
}

/// Whether `got` is `want` wherever both are known.
fn agrees(got: &[i64], want: &[i64]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| *g < 0 || *w < 0 || g == w)
}
