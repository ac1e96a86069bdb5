//! Execution providers, with the library that comes along: it runs models by the processor and has nothing else that is asked for here.

use std::path::{Path, PathBuf};

use watchpost::config::Config;
use watchpost::domain::Provider;
use watchpost::vision::detect::Detector;
use watchpost::vision::model::{Manifest, Models, Runtime, Settings};
use watchpost::vision::{Error, model};

fn runtime() -> Runtime {
    Runtime::open(None).unwrap_or_else(|e| panic!("{e}"))
}

fn spot() -> Manifest {
    Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/spot")).unwrap()
}

/// What runs the model, or why nothing does.
fn load(configured: &[Provider], manifest: &[Provider]) -> Result<Vec<Provider>, Error> {
    let manifest = Manifest { providers: manifest.to_vec(), ..spot() };
    let detector = Detector::load(&runtime().with_providers(configured), manifest, 1)?;
    Ok(detector.net().providers().to_vec())
}

/// A provider that the library of this machine lacks.
fn lacking() -> Provider {
    let has = runtime().available();
    assert!(has.contains(&Provider::Cpu), "{has:?}");
    Provider::ALL.into_iter().find(|provider| !has.contains(provider)).expect("a library with everything")
}

#[test]
fn without_a_word_the_processor_alone_runs_a_model() {
    assert_eq!(load(&[], &[]).unwrap(), [Provider::Cpu]);
}

#[test]
fn a_provider_that_the_library_lacks_is_an_error_that_says_what_to_do() {
    let asked = lacking();
    for (configured, manifest) in [(&[asked][..], &[][..]), (&[], &[asked])] {
        let error = load(configured, manifest).unwrap_err();
        assert!(matches!(error, Error::ProviderMissing { .. }), "{error}");
        let (said, library) = (error.to_string(), runtime().library().display().to_string());
        for words in [asked.as_str(), &library, "it has cpu", "[vision] onnxruntime", "add \"cpu\""] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
fn the_processor_takes_over_where_it_is_named_and_says_so() {
    let asked = lacking();
    assert_eq!(load(&[asked, Provider::Cpu], &[]).unwrap(), [Provider::Cpu]);
    assert_eq!(load(&[], &[asked, Provider::Cpu]).unwrap(), [Provider::Cpu]);
    // What is configured goes before what a manifest says.
    assert_eq!(load(&[Provider::Cpu], &[asked]).unwrap(), [Provider::Cpu]);
}

#[test]
fn all_models_of_a_box_are_run_by_what_is_configured() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let settings = |providers: &[Provider]| Settings {
        folder: folder.clone(),
        providers: providers.to_vec(),
        ..model::Settings::default()
    };
    let models = Models::load(&settings(&[lacking(), Provider::Cpu])).unwrap();
    assert!(models.nets().all(|net| net.providers() == [Provider::Cpu]));
    let error = Models::load(&settings(&[lacking()])).unwrap_err();
    assert!(matches!(error, Error::ProviderMissing { .. }), "{error}");
}

#[test]
fn a_misspelt_provider_is_a_fault_of_the_configuration_with_a_suggestion() {
    let faults = |list: &str| -> String {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("watchpost.toml");
        std::fs::write(&path, format!("[vision]\nproviders = {list}\n")).unwrap();
        let loaded: Result<Config, _> = watchpost::config::load(&path);
        loaded.map_or_else(|faults| faults.to_string(), |config| format!("{:?}", config.vision.providers))
    };
    let said = faults(r#"["cudda", "cpu"]"#);
    assert!(said.contains("vision.providers") && said.contains("did you mean \"cuda\"?"), "{said}");
    assert!(faults(r#"["cpu", "cpu"]"#).contains("twice"));
    assert!(faults(r#""cuda""#).contains("a list of texts"));
    let manifest = std::fs::read_to_string(spot().folder.join("manifest.toml")).unwrap();
    let faults = Manifest::parse(&format!("providers = [\"gpu\"]\n{manifest}")).unwrap_err().join("\n");
    assert!(faults.contains("\"gpu\" is no execution provider; known are cpu, cuda"), "{faults}");
}
