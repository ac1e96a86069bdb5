//! Model files that are refused where they are loaded, before the inference library sees them.

use std::path::{Path, PathBuf};

use watchpost::vision::Error;
use watchpost::vision::detect::Detector;
use watchpost::vision::model::{Manifest, Refusal, Runtime};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

/// Loads `spot` with other bytes in its file and their digest in its manifest.
fn load(bytes: &[u8]) -> Result<Detector, Error> {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(fixture("spot/manifest.toml")).unwrap();
    let manifest = Manifest::parse(&text).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digest = digest.as_ref().iter().fold(String::new(), |text, b| text + &format!("{b:02x}"));
    std::fs::write(dir.path().join("manifest.toml"), text.replace(&manifest.sha256, &digest)).unwrap();
    std::fs::write(dir.path().join("spot.onnx"), bytes).unwrap();
    Detector::load(&Runtime::open(None).unwrap(), Manifest::load(dir.path()).unwrap(), 1)
}

fn refusal(bytes: &[u8]) -> (Refusal, String) {
    match load(bytes).unwrap_err() {
        error @ Error::Refused { .. } => {
            let text = error.to_string();
            assert!(text.contains("spot.onnx"), "{text}");
            let Error::Refused { refusal, .. } = error else { unreachable!() };
            (refusal, text)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn files_that_are_no_models_are_refused_by_name_and_say_what_to_do() {
    let (empty, text) = refusal(b"");
    assert!(empty == Refusal::Empty && text.contains("copy it again"), "{text}");
    let (pointer, text) = refusal(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n");
    assert!(pointer == Refusal::LfsPointer && text.contains("git lfs pull"), "{text}");
    let (page, text) = refusal(b"<html><body>404</body></html>");
    assert!(matches!(page, Refusal::Text { .. }) && text.contains("<html>"), "{text}");
    let (zip, text) = refusal(b"PK\x03\x04....");
    assert!(matches!(zip, Refusal::Foreign { .. }) && text.contains("export it to ONNX"), "{text}");
}

#[test]
fn a_model_that_was_cut_off_is_refused_with_the_place() {
    let whole = std::fs::read(fixture("spot/spot.onnx")).unwrap();
    load(&whole).unwrap();
    for length in [1, 2, whole.len() / 3, whole.len() - 1] {
        match load(&whole[..length]).unwrap_err() {
            Error::Refused { refusal: Refusal::Damaged { .. } | Refusal::NoGraph, .. } => {}
            other => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn a_pointer_in_the_place_of_a_model_is_told_even_though_its_digest_differs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("spot/manifest.toml"), dir.path().join("manifest.toml")).unwrap();
    std::fs::write(dir.path().join("spot.onnx"), b"version https://git-lfs.github.com/spec/v1\n").unwrap();
    let error = Detector::load(&Runtime::open(None).unwrap(), Manifest::load(dir.path()).unwrap(), 1).unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::LfsPointer, .. }), "{error}");
}

/// A pipe gives its bytes once: were the path opened again, after the digest or for a second session, this would hang or
/// fail.
#[test]
fn the_bytes_that_were_checked_are_the_bytes_that_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("spot/manifest.toml"), dir.path().join("manifest.toml")).unwrap();
    let pipe = dir.path().join("spot.onnx");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            std::fs::write(&pipe, std::fs::read(fixture("spot/spot.onnx")).unwrap()).unwrap();
            std::fs::remove_file(&pipe).unwrap();
        }
    });
    Detector::load(&Runtime::open(None).unwrap(), Manifest::load(dir.path()).unwrap(), 3).unwrap();
    writer.join().unwrap();
}
