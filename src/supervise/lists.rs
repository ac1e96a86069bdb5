//! Hotlists that come as files: loaded at start, looked at again every few seconds, swapped when a file changed.
//!
//! A file that is refused changes nothing: the list that is in force stays, ERROR says why, and the next change of the
//! file is tried again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::HotlistFile;
use crate::domain::TimeMs;
use crate::hotlist::{Error, Hotlists, ListSettings, load_csv};

/// How often files are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the hotlist room wants to know of a configured list.
pub fn settings_of(file: &HotlistFile) -> ListSettings {
    let mut settings = ListSettings::new(file.id.clone(), file.number, file.severity);
    settings.category_severity = file.categories.iter().map(|(c, s)| (c.clone(), *s)).collect();
    settings.owner.clone_from(&file.owner);
    settings.policy = file.policy;
    settings.region = file.region;
    settings.freshness = file.freshness_hours.map(|h| Duration::from_secs_f64(h * 3_600.0));
    settings
}

/// A file, what it was like at the last look (`None`: not there), and whether there was a look.
struct Watched {
    file: HotlistFile,
    stamp: Option<(u64, std::time::SystemTime)>,
    looked: bool,
}

/// The files with the size and time of change they had when last looked at.
pub(super) struct Watch {
    files: Vec<Watched>,
}

impl Watch {
    /// Nothing is loaded yet; call [`Watch::look`].
    pub(super) fn new(files: &[HotlistFile]) -> Self {
        Self { files: files.iter().map(|file| Watched { file: file.clone(), stamp: None, looked: false }).collect() }
    }

    /// Loads what changed since the last look.
    pub(super) fn look(&mut self, hotlists: &Hotlists, now: TimeMs) {
        for Watched { file, stamp, looked } in &mut self.files {
            let found = stamp_of(&file.file);
            if std::mem::replace(looked, true) && *stamp == found {
                continue;
            }
            *stamp = found;
            match load_csv(&file.file, &settings_of(file)).and_then(|list| put(hotlists, list)) {
                Ok((entries, serial)) => tracing::info!(list = %file.id, entries, serial, "hotlist in force"),
                Err(error) if is_in_force(hotlists, file) => {
                    tracing::error!(list = %file.id, %error, at = %now, "hotlist refused, the one before stays in force");
                }
                Err(error) => tracing::error!(list = %file.id, %error, at = %now, "hotlist refused, none is in force"),
            }
        }
    }
}

fn put(hotlists: &Hotlists, list: crate::hotlist::List) -> Result<(usize, u32), Error> {
    let facts = (list.len(), list.serial());
    hotlists.put(list)?;
    Ok(facts)
}

fn is_in_force(hotlists: &Hotlists, file: &HotlistFile) -> bool {
    hotlists.matcher().lists().iter().any(|l| l.settings().id == file.id)
}

fn stamp_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = std::fs::metadata(PathBuf::from(path)).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}
