//! The inference library, ONNX Runtime, loaded when the program runs.
//!
//! It is not linked: who only asks the store or talks to a broker needs no such library, and a site can bring its own
//! build. Named by config, by `ORT_DYLIB_PATH`, or found in a few well-known places; a named one that is missing or too
//! old is an error, never a reason to look further. The library allows one environment a process, so the first
//! [`Runtime::open`] decides and later ones share it.

use std::path::{Path, PathBuf};

#[cfg(feature = "onnx")]
use std::sync::Arc;

use super::super::Error;
#[cfg(feature = "onnx")]
use super::watch::Watch;
use crate::domain::Provider;

/// Names the library's file, before the search.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the file's name begins with.
const LIBRARY_STEM: &str = "libonnxruntime.so";

/// Folders that are looked at after those near the program.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/lib/watchpost", "/usr/local/lib/watchpost", "/usr/local/lib", "/usr/lib"];

/// A handle on the loaded library; a clone shares it.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Keeps the environment alive for the sessions made in it.
    #[cfg(feature = "onnx")]
    pub(super) environment: ort::environment::Environment,
    /// Ends runs that do not come back.
    #[cfg(feature = "onnx")]
    pub(super) watch: Option<Arc<Watch>>,
    library: PathBuf,
    /// What runs models, as configured; empty: as their manifests say.
    #[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "nothing is run"))]
    pub(super) providers: Vec<Provider>,
}

impl Runtime {
    /// The same, where models are run by these, the first that can; an empty list leaves it to their manifests.
    #[must_use]
    pub fn with_providers(&self, providers: &[Provider]) -> Self {
        Self { providers: providers.to_vec(), ..self.clone() }
    }

    /// The execution providers that the library was built with, of those that can be named.
    #[must_use]
    pub fn available(&self) -> Vec<Provider> {
        #[cfg(feature = "onnx")]
        return super::provider::available();
        #[cfg(not(feature = "onnx"))]
        Vec::new()
    }

    /// The library's file.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Where the library is: `named` (config), else `ORT_DYLIB_PATH`, else the newest in the first well-known folder
    /// that has one.
    ///
    /// # Errors
    /// [`Error::LibraryMissing`] with the places that were looked at.
    pub fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
        let variable = std::env::var_os(LIBRARY_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        let program = std::env::current_exe().ok();
        Self::find_in(named.map(Path::to_path_buf).or(variable), &folders(program.as_deref()))
    }

    fn find_in(named: Option<PathBuf>, folders: &[PathBuf]) -> Result<PathBuf, Error> {
        if let Some(path) = named {
            return if path.is_file() {
                Ok(path)
            } else {
                Err(Error::LibraryMissing { looked_at: format!("{}, as was asked for", path.display()) })
            };
        }
        folders.iter().find_map(|folder| newest_library(folder)).ok_or_else(|| Error::LibraryMissing {
            looked_at: folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Without the feature `onnx` nothing can be run.
    ///
    /// # Errors
    /// Always [`Error::NoInference`].
    #[cfg(not(feature = "onnx"))]
    pub fn open(_named: Option<&Path>) -> Result<Self, Error> {
        Err(Error::NoInference)
    }

    /// Loads the library, once a process.
    ///
    /// # Errors
    /// [`Error::LibraryMissing`], or [`Error::LibraryUnfit`] when it is no ONNX Runtime, too old or for another machine.
    #[cfg(feature = "onnx")]
    pub fn open(named: Option<&Path>) -> Result<Self, Error> {
        use std::sync::{Mutex, PoisonError};
        // A process-wide value because the library's environment is one: a second one is refused by it.
        static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let library = Self::find(named)?;
        if let Some(runtime) = loaded.as_ref() {
            return Ok(runtime.clone());
        }
        let unfit = |reason: String| Error::LibraryUnfit { path: library.clone(), reason };
        let environment = ort::init_from(&library)
            .map_err(|e| unfit(e.to_string()))?
            .with_name("watchpost")
            .with_telemetry(false)
            .build()
            .map_err(|e| unfit(e.to_string()))?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        super::arena::limit(&environment).map_err(unfit)?;
        let runtime = Self { environment, watch: None, library, providers: Vec::new() };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The same, where no run of the models that are loaded with it takes longer than `within`.
    ///
    /// # Errors
    /// [`Error::LibraryUnfit`] when the system gives no thread for it.
    #[cfg(feature = "onnx")]
    pub(super) fn watching(&self, within: std::time::Duration) -> Result<Self, Error> {
        let unfit = |e: std::io::Error| Error::LibraryUnfit { path: self.library.clone(), reason: e.to_string() };
        Ok(Self { watch: Some(Watch::start(within).map_err(unfit)?), ..self.clone() })
    }

    /// Nothing is run.
    #[cfg(not(feature = "onnx"))]
    #[expect(clippy::unnecessary_wraps, reason = "as where models are run")]
    pub(super) fn watching(&self, _within: std::time::Duration) -> Result<Self, Error> {
        Ok(self.clone())
    }

    /// Runs that were ended since they did not come back.
    #[cfg_attr(not(feature = "onnx"), expect(clippy::unused_self, reason = "as where models are run"))]
    pub(super) fn hung(&self) -> u64 {
        #[cfg(feature = "onnx")]
        return self.watch.as_ref().map_or(0, |watch| watch.hung());
        #[cfg(not(feature = "onnx"))]
        0
    }

    /// Nobody runs the models that were loaded with it any more.
    #[cfg_attr(not(feature = "onnx"), expect(clippy::unused_self, reason = "as where models are run"))]
    pub(super) fn give_up(&self) {
        #[cfg(feature = "onnx")]
        if let Some(watch) = &self.watch {
            watch.give_up();
        }
    }
}

/// Where a library may lie, the nearest to the program first: beside it, in `lib` or `onnxruntime` beside it or up to
/// two folders above (a build folder has `debug/deps/`), then the system's folders.
fn folders(program: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for above in program.into_iter().flat_map(|p| p.ancestors().skip(1).take(3)) {
        folders.push(above.join("onnxruntime"));
        folders.push(above.join("lib/watchpost"));
    }
    folders.extend(program.and_then(Path::parent).map(Path::to_path_buf));
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    folders
}

/// The library of the highest version in `folder`.
fn newest_library(folder: &Path) -> Option<PathBuf> {
    let version = |path: &Path| -> Vec<u32> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.trim_start_matches(LIBRARY_STEM).split('.').filter_map(|part| part.parse().ok()).collect()
    };
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(LIBRARY_STEM)))
        .filter(|path| path.is_file())
        .max_by_key(|path| version(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_missing_is_an_error_and_no_other_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libonnxruntime.so.1.31.1"), b"").unwrap();
        let folders = [dir.path().to_path_buf()];
        let named = dir.path().join("nowhere.so");
        let error = Runtime::find_in(Some(named), &folders).unwrap_err();
        assert!(error.to_string().contains("nowhere.so") && error.to_string().contains("make setup"), "{error}");
        assert!(Runtime::find_in(None, &folders).unwrap().ends_with("libonnxruntime.so.1.31.1"));
    }

    #[test]
    fn the_newest_of_several_libraries_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1.24.0", "other.so"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        assert!(newest_library(dir.path()).unwrap().ends_with("libonnxruntime.so.1.31.1"));
    }

    #[test]
    fn every_place_that_was_looked_at_is_named() {
        let places = [PathBuf::from("/nowhere/a"), PathBuf::from("/nowhere/b")];
        let text = Runtime::find_in(None, &places).unwrap_err().to_string();
        assert!(text.contains("/nowhere/a") && text.contains("/nowhere/b"), "{text}");
    }

    #[test]
    fn the_folder_beside_the_build_is_among_the_places() {
        let places = folders(Some(Path::new("/home/x/target/debug/deps/it-1")));
        assert!(places.contains(&PathBuf::from("/home/x/target/onnxruntime")));
    }
}
