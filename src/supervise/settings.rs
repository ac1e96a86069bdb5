//! What the other rooms want to know of the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::camera::{self, Credential, SourceUri};
use crate::centre::keys::{SigningKey, refuse_exposed};
use crate::command::secrets::{Found, Vault, Whose};
use crate::config::{self, Config};
use crate::domain::Polygon;
use crate::vision::{self, Patterns, model};

use super::clips;

/// How long one run of a model may take: fifty times what the slowest of ours takes, and less than half of what a box may be
/// without its eyes.
pub const RUN_WITHIN: Duration = Duration::from_millis(2_500);

/// What the model room wants to know.
///
/// # Errors
/// When no folder is configured and none is where they usually lie.
pub fn model_settings(vision: &config::Vision) -> Result<model::Settings, vision::Error> {
    let workers = match usize::try_from(vision.workers) {
        Ok(n) if n > 0 => n,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let folder = match &vision.models {
        Some(folder) => folder.clone(),
        None => model::usual_folder()?,
    };
    Ok(model::Settings {
        folder,
        detector: vision.detector.clone(),
        reader: vision.reader.clone(),
        corners: match vision.corners.as_str() {
            "" => model::Corrector::Off,
            model::Corrector::USUAL => model::Corrector::Usual,
            name => model::Corrector::Named(name.to_owned()),
        },
        vehicles: vision.vehicles.clone(),
        library: vision.onnxruntime.clone(),
        score: vision.detect_threshold.map(small),
        workers,
        run_within: Some(RUN_WITHIN),
        providers: vision.providers.clone(),
    })
}

/// What the vision room wants to know of a camera.
pub fn vision_settings(config: &Config, camera: Option<&config::Camera>) -> vision::Settings {
    let vision = &config.vision;
    let mut settings = vision::Settings { motion_gate: vision.motion_gate, ..vision::Settings::default() };
    if let Some(camera) = camera {
        settings.motion_gate = camera.motion_gate.unwrap_or(vision.motion_gate);
        let polygons = |of: &[config::Polygon]| of.iter().cloned().map(Polygon::new).collect();
        settings.privacy_mask = polygons(&camera.privacy_mask);
        settings.roi = polygons(&camera.roi);
        settings.plan = config.plan(camera);
        settings.stop_while_moved = camera.view.stop_while_moved.unwrap_or(!camera.privacy_mask.is_empty());
    }
    settings.patterns = match camera.and_then(|c| c.region.as_ref()) {
        _ if !vision.patterns => Patterns::off(),
        Some(region) => Patterns::default().expecting(region.as_str()),
        None => Patterns::default(),
    };
    let again = camera.map(|c| c.again).unwrap_or_default();
    let seconds = |own: Option<f64>, all: u64| own.map_or(Duration::from_secs(all), Duration::from_secs_f64);
    settings.same_within = seconds(again.same_plate_s, vision.same_plate_s);
    settings.parked_known = seconds(again.parked_s, vision.parked_s);
    settings.min_travel = small(again.min_travel.unwrap_or(vision.min_travel));
    settings.look_every = camera.and_then(|c| c.road_kmh).map(vision::analyser::look_every).unwrap_or_default();
    if let Some(confidence) = vision.read_threshold {
        settings.tell_confidence = small(confidence);
    }
    settings
}

/// A configured number, bounded when it was read, as the rooms take it.
#[expect(clippy::cast_possible_truncation, reason = "at most 120")]
fn small(number: f64) -> f32 {
    number as f32
}

/// Which seconds around a hit are kept.
pub(super) fn clip_settings(config: &Config) -> clips::Settings {
    let store = &config.store;
    clips::Settings {
        before: Duration::from_secs(store.clip_before_s),
        after: Duration::from_secs(store.clip_after_s),
        bytes: usize::try_from(store.clip_mib << 20).unwrap_or(usize::MAX),
        severity: store.clip_severity,
    }
}

/// What the camera room wants to know, with the credential read.
///
/// # Errors
/// An address that is none, a credential that is not there. Whoever shows it names the camera.
pub fn camera_settings(camera: &config::Camera, config: &Config) -> anyhow::Result<camera::Settings> {
    let uri: SourceUri = camera.uri.parse()?;
    let mut settings = camera::Settings::new(camera.id.clone(), camera.number, uri);
    settings.pipeline.clone_from(&camera.pipeline);
    if let Some(text) = &camera.substream {
        let substream: SourceUri = text.parse()?;
        // The configuration has it for network cameras alone.
        settings.main = Some(std::mem::replace(&mut settings.uri, substream));
    }
    settings.fps = camera.fps.map(small);
    let gate = camera.motion_gate.unwrap_or(config.vision.motion_gate);
    let idle = gate && camera.idle_decoding.unwrap_or(config.vision.idle_decoding);
    settings.idle = idle.then(Arc::default);
    settings.rotate = camera.rotate.and_then(camera::Rotation::of_degrees);
    settings.realtime = camera.realtime;
    settings.stall_after = Duration::from_secs(camera.stall_s);
    settings.transport = camera.transport;
    settings.ca.clone_from(&camera.ca);
    if let Some(name) = &camera.credential {
        settings.credential = Some(credential(name, config)?);
    }
    Ok(settings)
}

/// Reads `user:password`.
fn credential(name: &str, config: &Config) -> anyhow::Result<Credential> {
    let (path, text) = secret(name, "user:password", config)?;
    let line = text.lines().next().unwrap_or_default();
    let (user, password) = line
        .split_once(':')
        .with_context(|| format!("credential {name:?}: {} holds no user:password", path.display()))?;
    Ok(Credential::new(user, password))
}

/// A credential that is a private key: one of systemd's, or a file of the box's admin.
pub(super) fn signing_key(name: &str, config: &Config) -> anyhow::Result<SigningKey> {
    match Vault::of(&config.site.data_dir).find(name)? {
        Found::System(path) => Ok(SigningKey::read_credential(&path)?),
        Found::File(path) => Ok(SigningKey::read(&path)?),
        Found::Sealed(_) => {
            anyhow::bail!("credential {name:?} was sealed by the centre; this one has to be a file of the box's admin")
        }
    }
}

/// Reads a credential: one of systemd's, else what the centre sealed to this box, else a file of its admin's, which is to hold
/// `what`.
pub(super) fn secret(name: &str, what: &str, config: &Config) -> anyhow::Result<(PathBuf, Zeroizing<String>)> {
    let vault = Vault::of(&config.site.data_dir);
    Ok(match vault.find(name)? {
        Found::Sealed(path) => {
            let whose = Whose { site: &config.site.site, box_id: &config.site.id };
            let bytes = vault.open_file(whose, name, &path).with_context(|| format!("credential {name:?}"))?;
            (path, Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Found::System(path) => {
            let text = read(name, &path)?;
            (path, text)
        }
        Found::File(path) => {
            let is_missing = matches!(path.try_exists(), Ok(false));
            anyhow::ensure!(
                !is_missing,
                "credential {name:?}: no file {}; put {what} there, mode 0600",
                path.display()
            );
            refuse_exposed(&path).with_context(|| format!("credential {name:?}"))?;
            let text = read(name, &path)?;
            (path, text)
        }
    })
}

fn read(name: &str, path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path);
    text.map(Zeroizing::new).with_context(|| format!("credential {name:?}: cannot read {}", path.display()))
}
