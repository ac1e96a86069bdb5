//! Hotlists that come as files: loaded at start, looked at again every few seconds, swapped when a file changed.
//!
//! A file that is refused changes nothing: the list that is in force stays, ERROR says why, and the next change of the
//! file is tried again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::centre::wire::ListGauge;
use crate::config::HotlistFile;
use crate::domain::TimeMs;
use crate::health::Health;
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
    pub(super) fn look(&mut self, hotlists: &Hotlists, health: &Health, now: TimeMs) {
        for Watched { file, stamp, looked } in &mut self.files {
            let found = stamp_of(&file.file);
            if std::mem::replace(looked, true) && *stamp == found {
                continue;
            }
            *stamp = found;
            let counters = health.list(&file.id);
            let taken = load_csv(&file.file, &settings_of(file)).and_then(|list| put(hotlists, list));
            counters.set_fault(taken.as_ref().err().map(ToString::to_string));
            counters.refused.add(u64::from(taken.is_err()));
            match taken {
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

/// What health says of the configured lists.
pub(super) fn gauges(files: &[HotlistFile], hotlists: &Hotlists, health: &Health, now: TimeMs) -> Vec<ListGauge> {
    let matcher = hotlists.matcher();
    let gauge = |file: &HotlistFile| {
        let mut gauge = ListGauge::new(file.id.clone(), file.number, &health.list(&file.id));
        if let Some(list) = matcher.lists().iter().find(|l| l.settings().id == file.id) {
            gauge.serial = list.serial();
            gauge.entries = u64::try_from(list.len()).unwrap_or(u64::MAX);
            gauge.issued = list.issued();
            gauge.stale = list.is_stale(now);
        }
        gauge
    };
    files.iter().map(gauge).collect()
}

fn stamp_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = std::fs::metadata(PathBuf::from(path)).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ListId, Severity};

    fn file(id: &str, number: u16, path: &Path) -> HotlistFile {
        HotlistFile {
            id: ListId::new(id).unwrap(),
            number,
            file: path.to_owned(),
            severity: Severity::Info,
            categories: std::collections::BTreeMap::new(),
            owner: None,
            policy: crate::domain::MatchPolicy::default(),
            region: crate::domain::RegionPolicy::default(),
            freshness_hours: Some(1.0),
        }
    }

    #[test]
    fn health_tells_what_is_in_force_what_is_stale_and_why_a_newer_file_was_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (good, none) = (dir.path().join("good.csv"), dir.path().join("none.csv"));
        std::fs::write(&good, "PlateNumber\nABC1234\nXYZ9876\n").unwrap();
        let files = [file("good", 1, &good), file("none", 2, &none)];
        let (hotlists, health) = (Hotlists::new(), Health::new());
        let mut watch = Watch::new(&files);
        let clock = crate::clock::Clock::system();
        let mut told = |now: TimeMs| {
            watch.look(&hotlists, &health, now);
            gauges(&files, &hotlists, &health, now)
        };
        let first = told(clock.utc());
        assert_eq!((first[0].entries, first[0].stale, first[0].refused, &first[0].fault), (2, false, 0, &None));
        assert!(first[0].serial > 0 && first[0].issued.0 > 0);
        assert_eq!((first[1].serial, first[1].entries, first[1].refused), (0, 0, 1));
        assert!(first[1].fault.as_deref().unwrap().contains("none"), "{first:?}");

        std::fs::write(&good, "PlateNumber\nA1\n").unwrap();
        let later = told(TimeMs(clock.utc().0 + 7_200_000));
        assert_eq!((later[0].entries, later[0].stale, later[0].refused), (2, true, 1), "the old one stays in force");
        assert!(later[0].fault.as_deref().unwrap().contains("bad line"), "{later:?}");
        assert_eq!(later[1].refused, 1, "a file that is still missing is not counted again");

        std::fs::write(&good, "PlateNumber\nABC1234\n").unwrap();
        assert_eq!(told(clock.utc())[0].fault, None);
    }
}
