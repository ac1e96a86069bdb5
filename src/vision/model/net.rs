//! One model ready to run: digest and shapes checked, its sessions shared fairly.
//!
//! The file is read once; the bytes whose digest was compared are the bytes that become sessions. Each output is checked
//! at every run: the right shape, and nothing but finite numbers, so that whoever decodes it need not ask again.

#[cfg(not(feature = "onnx"))]
use super::{Fed, Runtime};
use super::{Manifest, Pool};
use crate::domain::Provider;
#[cfg(not(feature = "onnx"))]
use crate::vision::Error;

/// An output that a family needs: its name, and its shape with -1 for a size that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name of the tensor.
    pub name: String,
    /// Wanted shape; [`Spec::PICTURES`] stands for the number of pictures.
    pub shape: Vec<i64>,
    /// Whether its values are 64-bit integers; 32-bit floats otherwise.
    pub integers: bool,
}

impl Spec {
    /// A size that is the number of pictures.
    pub const PICTURES: i64 = -2;

    /// A named output of `shape`, of floats.
    #[must_use]
    pub fn new(name: Option<&str>, usual: &str, shape: &[i64]) -> Self {
        Self { name: name.unwrap_or(usual).to_owned(), shape: shape.to_vec(), integers: false }
    }

    /// The same, of 64-bit integers.
    #[must_use]
    pub fn of_integers(self) -> Self {
        Self { integers: true, ..self }
    }

    /// The shape with `pictures` for their number.
    #[must_use]
    pub fn shape_of(&self, pictures: i64) -> Vec<i64> {
        self.shape.iter().map(|n| if *n == Self::PICTURES { pictures } else { *n }).collect()
    }
}

/// An output as it lies in the library's memory, row-major, finite throughout.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its sizes, as the spec wants them.
    pub shape: &'a [i64],
    /// Its values; integers as the nearest floats.
    pub data: &'a [f32],
}

/// A loaded model.
pub struct Net {
    pub(super) manifest: Manifest,
    pub(super) outputs: Vec<Spec>,
    /// Shapes of these outputs as the graph tells them; empty where it does not.
    pub(super) shapes: Vec<Vec<i64>>,
    pub(super) batch: usize,
    pub(super) providers: Vec<Provider>,
    #[cfg(feature = "onnx")]
    pub(super) sessions: Pool<ort::session::Session>,
    #[cfg(feature = "onnx")]
    pub(super) watch: Option<std::sync::Arc<super::watch::Watch>>,
    #[cfg(not(feature = "onnx"))]
    pub(super) sessions: Pool<()>,
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

    /// What runs it, the first that takes an operator.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// How many callers wait for a session now.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.sessions.waiting()
    }
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
    pub fn run<'a, R>(&self, _: usize, _: impl Into<Fed<'a>>, _: impl FnOnce(&[View<'_>]) -> R) -> Result<R, Error> {
        Err(Error::NoInference)
    }

    /// Without the feature `onnx` nothing can be run.
    ///
    /// # Errors
    /// Always [`Error::NoInference`].
    pub fn run_sized<'a, R>(
        &self,
        _: [u32; 2],
        _: usize,
        _: impl Into<Fed<'a>>,
        _: impl FnOnce(&[View<'_>]) -> R,
    ) -> Result<R, Error> {
        Err(Error::NoInference)
    }
}
