//! What the doctor looks at: configured cameras by their ids, or files and addresses as `read` and `probe` take them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::camera::{self, SourceUri};
use crate::config::{self, Config};
use crate::domain::{AddressError, CameraId};
use crate::supervise::{camera_settings, model_settings, vision_settings};
use crate::vision::{self, model};

/// One source with the settings that it is looked at by.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its id, or the path or address as it was given.
    pub name: String,
    pub camera: camera::Settings,
    pub vision: vision::Settings,
    /// It is one of the box's cameras.
    pub configured: bool,
}

/// What is to be looked at, and the models for it.
#[derive(Debug)]
pub(super) struct Targets {
    pub all: Vec<Target>,
    pub models: model::Settings,
    /// A configured camera that can't be opened at all: its name and why.
    pub faults: Vec<(String, anyhow::Error)>,
    /// Of the configuration, where one was needed.
    pub config: Option<Box<Config>>,
}

/// Whether a word may be the id of a camera: a file of that name goes before, and what has a dot or a slash is none.
fn may_be_id(word: &str) -> bool {
    CameraId::new(word).is_ok() && !Path::new(word).exists()
}

/// Finds out what the words name; no words: every configured camera that is enabled.
///
/// # Errors
/// A configuration with faults, an id that no camera has, an address that is none.
pub(super) fn find(words: &[String], config: &Path, models: Option<&PathBuf>) -> anyhow::Result<Targets> {
    let wants_config = words.is_empty() || words.iter().any(|w| may_be_id(w));
    let loaded = if wants_config { Some(Box::new(load(words, config)?)) } else { None };
    let mut found = Targets {
        all: Vec::new(),
        models: match &loaded {
            Some(config) => model_settings(&config.vision)?,
            None => model::Settings { folder: folder(models)?, ..model::Settings::default() },
        },
        faults: Vec::new(),
        config: None,
    };
    if let Some(folder) = models {
        found.models.folder.clone_from(folder);
    }
    found.models.workers = 1;
    if let Some(config) = &loaded {
        let wanted = |c: &&config::Camera| match words {
            [] => c.enabled,
            words => words.iter().any(|w| w == c.id.as_str() && may_be_id(w)),
        };
        for camera in config.cameras.iter().filter(wanted) {
            match camera_settings(camera, config) {
                Ok(settings) => found.all.push(Target {
                    name: camera.id.to_string(),
                    camera: settings,
                    vision: vision_settings(config, Some(camera)),
                    configured: true,
                }),
                Err(error) => found.faults.push((camera.id.to_string(), error)),
            }
        }
    }
    for word in words.iter().filter(|w| !may_be_id(w)) {
        found.all.push(given(word)?);
    }
    found.config = loaded;
    Ok(found)
}

fn folder(given: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    Ok(match given {
        Some(folder) => folder.clone(),
        None => model::usual_folder()?,
    })
}

/// The configuration; every id among the words must be one of its cameras.
fn load(words: &[String], path: &Path) -> anyhow::Result<Config> {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) if words.is_empty() => {
            return Err(faults).context("without a camera or a file every configured camera is looked at");
        }
        Err(faults) => {
            let word = words.iter().find(|w| may_be_id(w)).map_or("", String::as_str);
            return Err(faults)
                .with_context(|| format!("{word}: is no file here, and as a camera's id needs the configuration"));
        }
    };
    let known = || config.cameras.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", ");
    for word in words.iter().filter(|w| may_be_id(w)) {
        if !config.cameras.iter().any(|c| c.id.as_str() == word) {
            bail!("{word}: is no file, and no camera of {}; its cameras: {}", path.display(), known());
        }
    }
    if words.is_empty() && !config.cameras.iter().any(|c| c.enabled) {
        bail!("{}: no camera is configured (or all are switched off); name a file or an address", path.display());
    }
    Ok(config)
}

/// A file or an address, looked at as a camera without settings of its own would be.
fn given(word: &str) -> anyhow::Result<Target> {
    let uri: SourceUri = word.parse().map_err(|error: AddressError| anyhow::anyhow!("{word}: {error}"))?;
    let id = CameraId::new("file").context("the name for files")?;
    let vision = vision::Settings { motion_gate: true, ..vision::Settings::default() };
    let name = uri.to_string();
    Ok(Target { name, camera: camera::Settings::new(id, 1, uri), vision, configured: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_files_and_addresses() {
        assert!(may_be_id("gate") && may_be_id("north-2"));
        for word in ["gate.mp4", "./gate", "rtsp://192.0.2.7/x", "Cargo.toml", "src", "GATE"] {
            assert!(!may_be_id(word), "{word}");
        }
    }
}
