//! Stands for [`film`](self) in a build without GStreamer: no file can be written.

use std::path::Path;
use std::time::Duration;

use super::Error;

/// A file that is being written: there is none.
pub enum Film {}

impl Film {
    /// Says that it can't be done.
    ///
    /// # Errors
    /// Always [`Error::NotBuilt`].
    pub fn create(path: &Path, _: (u32, u32)) -> Result<Self, Error> {
        Err(Error::NotBuilt { origin: path.display().to_string() })
    }

    /// Never called.
    #[must_use]
    pub fn fits(&self, _: (u32, u32)) -> bool {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn add(&mut self, _: &[u8], _: u32, _: Duration) -> Result<(), Error> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn finish(self) -> Result<(), Error> {
        match self {}
    }
}
