//! Which execution providers run a model: what is wanted, what the library has, what can be registered.
//!
//! A list is an order of preference. What the library lacks, or can't start, is left out as long as something is left that
//! was named, and said; the processor takes over only where the list names it, also for single operators that a provider does not take.
//! Without a list the processor alone runs a model.

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::{Manifest, Runtime};
use crate::domain::Provider;
use crate::vision::Error;

/// What is run where nothing is named.
const USUAL: [Provider; 1] = [Provider::Cpu];

/// Those that the loaded library was built with.
pub(super) fn available() -> Vec<Provider> {
    let has = |provider: &Provider| match provider {
        Provider::Cpu => Ok(true),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::TensorRt => ep::TensorRT::is_available(),
        Provider::OpenVino => ep::OpenVINO::is_available(),
        Provider::MigraphX => ep::MIGraphX::is_available(),
        Provider::Qnn => ep::QNN::is_available(),
        Provider::Xnnpack => ep::XNNPACK::is_available(),
    };
    Provider::ALL.into_iter().filter(|provider| has(provider).unwrap_or(false)).collect()
}

/// `None`: the processor, which is there without being asked for.
fn dispatch(provider: Provider) -> Option<ExecutionProviderDispatch> {
    match provider {
        Provider::Cpu => None,
        Provider::Cuda => Some(ep::CUDA::default().build()),
        Provider::TensorRt => Some(ep::TensorRT::default().build()),
        Provider::OpenVino => Some(ep::OpenVINO::default().build()),
        Provider::MigraphX => Some(ep::MIGraphX::default().build()),
        Provider::Qnn => Some(ep::QNN::default().build()),
        Provider::Xnnpack => Some(ep::XNNPACK::default().build()),
    }
}

/// What is to run a model, in the order in which it is tried: as configured, else as its manifest says, else the processor.
fn wanted<'a>(configured: &'a [Provider], manifest: &'a Manifest) -> &'a [Provider] {
    [configured, &manifest.providers].into_iter().find(|list| !list.is_empty()).unwrap_or(&USUAL)
}

/// Those of `wanted` that a library with `has` has.
fn usable(wanted: &[Provider], has: &[Provider]) -> Vec<Provider> {
    wanted.iter().copied().filter(|provider| has.contains(provider)).collect()
}

/// A model about to be loaded.
pub(super) struct Loading<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) manifest: &'a Manifest,
    pub(super) bytes: &'a [u8],
    /// Makes a session's options.
    pub(super) options: fn(&Runtime) -> Result<SessionBuilder, String>,
}

impl Loading<'_> {
    /// `workers` sessions, and what runs them.
    pub(super) fn sessions(&self, workers: usize) -> Result<(Vec<Session>, Vec<Provider>), Error> {
        let wanted = wanted(&self.runtime.providers, self.manifest);
        let mut left = usable(wanted, &self.runtime.available());
        for missing in wanted.iter().filter(|provider| !left.contains(provider)) {
            if left.is_empty() {
                return Err(self.missing(wanted));
            }
            self.warn(*missing, "the library was built without it");
        }
        loop {
            let made: Result<Vec<_>, _> = (0..workers.max(1)).map(|_| self.session(&left)).collect();
            let (failed, reason) = match made {
                Ok(sessions) => return Ok((sessions, left)),
                Err(failure) => failure,
            };
            // Which of several does not take the model, the library does not say: the first goes.
            let Some(provider) = failed.or_else(|| left.iter().copied().find(|p| *p != Provider::Cpu)) else {
                return Err(self.unfit(reason));
            };
            left.retain(|other| *other != provider);
            if left.is_empty() {
                return Err(self.fails(provider, reason));
            }
            self.warn(provider, &reason);
        }
    }

    /// One session; the provider that could not be registered, where that is why there is none, and what was said.
    fn session(&self, providers: &[Provider]) -> Result<Session, (Option<Provider>, String)> {
        let mut builder = (self.options)(self.runtime).map_err(|e| (None, e))?;
        if !providers.contains(&Provider::Cpu) {
            let strict = builder.with_config_entry("session.disable_cpu_ep_fallback", "1");
            builder = strict.map_err(|e| (None, e.to_string()))?;
        }
        for (provider, dispatch) in providers.iter().filter_map(|provider| Some((*provider, dispatch(*provider)?))) {
            dispatch.register(&mut builder).map_err(|e| (Some(provider), e.to_string()))?;
        }
        builder.commit_from_memory(self.bytes).map_err(|e| (None, e.to_string()))
    }

    fn warn(&self, provider: Provider, reason: &str) {
        let library = self.runtime.library().display();
        tracing::warn!(model = self.manifest.name, %provider, %library, reason, "an execution provider can't be used, the model is run by the next one");
    }

    fn missing(&self, wanted: &[Provider]) -> Error {
        Error::ProviderMissing {
            model: self.manifest.name.clone(),
            wanted: Provider::names(wanted),
            library: self.runtime.library().to_owned(),
            has: Provider::names(&self.runtime.available()),
        }
    }

    fn fails(&self, provider: Provider, reason: String) -> Error {
        let library = self.runtime.library().to_owned();
        Error::ProviderFails { model: self.manifest.name.clone(), provider, library, reason }
    }

    fn unfit(&self, reason: String) -> Error {
        Error::Load { model: self.manifest.name.clone(), path: self.manifest.model_path(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_has_is_left_in_the_order_in_which_it_was_named() {
        use Provider::{Cpu, Cuda, OpenVino, TensorRt};
        assert_eq!(usable(&[TensorRt, Cuda, Cpu], &[Cpu, Cuda]), [Cuda, Cpu]);
        assert_eq!(usable(&[Cpu, Cuda], &[Cpu, Cuda]), [Cpu, Cuda]);
        assert_eq!(usable(&[Cuda], &[Cpu, OpenVino]), []);
    }
}
