//! Looks whether this box could run with another configuration, before it is put on probation.
//!
//! A fault is what would keep the daemon from starting or a camera from being opened: models, credentials, certificates,
//! keys and lists that are not there. Whether a camera answers is only a warning: it may be switched off, and it may come
//! before its cable. Nothing is opened for longer than it takes to look; called on the executor's thread.

use std::sync::Arc;

use crate::camera::SourceUri;
use crate::camera::probe::reach;
use crate::causes;
use crate::centre::tls::{self, TlsFiles};
use crate::clock::Clock;
use crate::command::Verified;
use crate::config::{Camera, Config};
use crate::vision::model::{Corrector, Manifest};

use super::settings::{camera_settings, model_settings};

/// Cameras that are tried at the same time.
const AT_ONCE: usize = 16;

/// What would be wrong with `config`, which is to follow on the one `in_force`.
pub(super) fn verify(config: &Config, in_force: &Config, clock: &Clock) -> Verified {
    let mut told = Verified::default();
    models(config, &mut told);
    lists(config, in_force, &mut told);
    centre(config, clock, &mut told);
    let mut tried = Vec::new();
    for camera in config.cameras.iter().filter(|c| c.enabled) {
        if let Err(error) = camera_settings(camera, config) {
            told.faults.push(format!("camera {}: {}", camera.id, causes::line(&error)));
        } else if !in_force.cameras.iter().any(|c| is_same_source(c, camera)) {
            tried.push(camera);
        }
    }
    told.warnings.extend(unreachable(&tried));
    if config.cameras.iter().all(|c| !c.enabled) {
        told.warnings.push("no camera is left that is looked at".to_owned());
    }
    told
}

/// Whether it is opened as before.
fn is_same_source(one: &Camera, other: &Camera) -> bool {
    one.enabled && one.uri == other.uri && one.substream == other.substream && one.transport == other.transport
}

fn models(config: &Config, told: &mut Verified) {
    let settings = match model_settings(&config.vision) {
        Ok(settings) => settings,
        Err(error) => return told.faults.push(error.to_string()),
    };
    let mut names = vec![settings.detector, settings.reader];
    names.extend(settings.vehicles);
    if let Corrector::Named(name) = settings.corners {
        names.push(name);
    }
    for name in names {
        if let Err(error) = Manifest::load(&settings.folder.join(&name)) {
            told.faults.push(format!("model {name}: {error}"));
        }
    }
}

/// A list whose file is not there is a fault when the change brings it, and told otherwise: it was not there before.
fn lists(config: &Config, in_force: &Config, told: &mut Verified) {
    for list in &config.hotlists {
        let Err(error) = std::fs::File::open(&list.file) else { continue };
        let text = format!("list {}: cannot read {}: {error}", list.id, list.file.display());
        let known = in_force.hotlists.iter().any(|l| l.id == list.id && l.file == list.file);
        if known { told.warnings.push(text) } else { told.faults.push(text) }
    }
}

fn centre(config: &Config, clock: &Clock, told: &mut Verified) {
    let Some(centre) = &config.centre else { return };
    let (Some(ca), Some(certificate), Some(private_key)) = (&centre.ca, &centre.certificate, &centre.private_key)
    else {
        return;
    };
    let files = TlsFiles { ca: ca.clone(), certificate: certificate.clone(), private_key: private_key.clone() };
    if centre.broker.tls
        && let Err(error) = tls::client_config(&files, clock)
    {
        told.faults.push(error.to_string());
    }
}

/// In words, which of these network cameras do not answer.
fn unreachable(cameras: &[&Camera]) -> Vec<String> {
    let mut found = Vec::new();
    for some in cameras.chunks(AT_ONCE) {
        let tries: Vec<_> = some
            .iter()
            .filter_map(|camera| match camera.uri.parse::<SourceUri>() {
                Ok(uri) if uri.is_network() => Some((camera.id.clone(), Arc::<str>::from(camera.uri.as_str()))),
                _ => None,
            })
            .collect();
        let said = std::thread::scope(|scope| {
            let threads: Vec<_> = tries
                .iter()
                .map(|(id, uri)| {
                    scope.spawn(move || {
                        let (host, port) = reach::place(uri)?;
                        let words = reach::reach(uri)?.words(&host, port)?;
                        Some(format!("camera {id}: {words}"))
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect::<Vec<_>>()
        });
        found.extend(said);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn load(dir: &Path, more: &str) -> Config {
        let path = dir.join("watchpost.toml");
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let text = format!(
            "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[vision]\nmodels = '{}'\n{more}",
            models.display()
        );
        std::fs::write(&path, text).unwrap();
        config::load(&path).unwrap()
    }

    #[test]
    fn everything_that_is_not_there_is_named_and_a_silent_camera_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let before = load(dir.path(), "");
        // Nobody listens on a port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = load(
            dir.path(),
            &format!(
                "vehicles = \"nothing-1\"\n[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://127.0.0.1:{port}/a\"\n\
                 [[camera]]\nid = \"yard\"\nnumber = 2\nuri = \"test://smpte\"\ncredential = \"yard\"\n\
                 [[hotlist.list]]\nid = \"l\"\nnumber = 1\nfile = \"no.csv\"\n"
            ),
        );
        let told = verify(&config, &before, &Clock::system());
        assert_eq!(told.faults.len(), 3, "{told:#?}");
        for (fault, word) in told.faults.iter().zip(["nothing-1", "no.csv", "credential \"yard\""]) {
            assert!(fault.contains(word), "{told:#?}");
        }
        assert!(told.warnings.len() == 1 && told.warnings[0].contains("nobody listens"), "{told:#?}");
        let after = verify(&config, &config, &Clock::system());
        assert!(after.warnings.len() == 1 && after.warnings[0].contains("no.csv"), "no change of it: {after:#?}");
    }
}
