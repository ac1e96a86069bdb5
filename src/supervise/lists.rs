//! Hotlists: those that come as files are loaded at start, looked at again every few seconds, swapped when a file
//! changed; those of the centre lie sealed on the disk and are loaded at start.
//!
//! A file that is refused changes nothing: the list that is in force stays, ERROR says why, and the next change of the
//! file is tried again. Where both have a name or a number, the file of the configuration goes first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::centre::wire::ListGauge;
use crate::command::lists::Shelf;
use crate::config::{Config, HotlistFile};
use crate::domain::{ListId, TimeMs};
use crate::health::Health;
use crate::hotlist::{Error, Hotlists, ListSettings, load_csv};
use crate::store::Store;

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

/// Loads the ignore list, the files that the configuration names and the lists of the centre.
pub(super) fn start(config: &Config, store: &Store, health: &Health, now: TimeMs) -> (Arc<Hotlists>, Watch) {
    let hotlists = Arc::new(Hotlists::new());
    match store.ignored() {
        Ok(plates) => hotlists.set_ignored(plates),
        Err(error) => tracing::error!(%error, "ignore list does not open, its plates make hits: put it anew"),
    }
    let mut watch = Watch::new(&config.hotlists);
    watch.look(&hotlists, health, now);
    let shelf = Shelf::new(&config.site.data_dir, store.vault().clone());
    load_shelf(&shelf, &config.hotlists, &hotlists, health);
    (hotlists, watch)
}

/// Puts the lists of the centre in force that lie on `shelf`; one that can't be is said, and costs the others nothing.
pub(super) fn load_shelf(shelf: &Shelf, files: &[HotlistFile], hotlists: &Hotlists, health: &Health) {
    let lists = shelf.lists().unwrap_or_else(|error| {
        tracing::error!(%error, "hotlists of the centre can't be listed, none is in force");
        Vec::new()
    });
    for id in lists {
        let taken = if files.iter().any(|file| file.id == id) {
            Err("the configuration names a file for it, which goes first: remove one of both".to_owned())
        } else {
            let loaded = shelf.load(&id).map_err(|e| e.to_string());
            loaded.and_then(|list| put(hotlists, list).map_err(|e| e.to_string()))
        };
        let counters = health.list(&id);
        match taken {
            Ok((entries, serial)) => {
                counters.set_fault(None);
                tracing::info!(list = %id, entries, serial, "hotlist of the centre in force");
            }
            Err(why) => {
                tracing::error!(list = %id, why, "hotlist of the centre not in force; put it anew");
                counters.refused.inc();
                counters.set_fault(Some(why));
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

/// What health says of the lists: those that the configuration names, then those of the centre.
pub(super) fn gauges(files: &[HotlistFile], hotlists: &Hotlists, health: &Health, now: TimeMs) -> Vec<ListGauge> {
    let matcher = hotlists.matcher();
    let mut ids: Vec<(ListId, u16)> = files.iter().map(|file| (file.id.clone(), file.number)).collect();
    let of_centre = matcher.lists().iter().map(|l| (l.settings().id.clone(), l.settings().number));
    // One that is not in force is known by its fault alone.
    let known = of_centre.chain(health.lists().into_iter().map(|(id, _)| (id, 0)));
    for (id, number) in known {
        if !ids.iter().any(|(other, _)| *other == id) {
            ids.push((id, number));
        }
    }
    let gauge = |(id, number): (ListId, u16)| {
        let mut gauge = ListGauge::new(id.clone(), number, &health.list(&id));
        if let Some(list) = matcher.lists().iter().find(|l| l.settings().id == id) {
            gauge.serial = list.serial();
            gauge.entries = u64::try_from(list.len()).unwrap_or(u64::MAX);
            gauge.issued = list.issued();
            gauge.stale = list.is_stale(now);
        }
        gauge
    };
    ids.into_iter().map(gauge).collect()
}

fn stamp_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = std::fs::metadata(PathBuf::from(path)).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Severity;

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

    #[test]
    fn lists_of_the_centre_are_in_force_after_a_start_and_a_damaged_one_is_told() {
        use crate::centre::keys::Keys;
        use crate::centre::keys::SigningKey;
        use crate::command::lists::{Package, sign};
        use crate::domain::{Ownership, Share};
        use crate::store::{StoreKey, Vault};

        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path(), Vault::new(&StoreKey::from_bytes([3; 32])));
        let key = SigningKey::from_seed(&[5; 32]).unwrap();
        for (id, number) in [("good", 2), ("damaged", 3), ("named", 4), ("taken", 1)] {
            let mut settings = ListSettings::new(ListId::new(id).unwrap(), number, Severity::Info);
            settings.owner = Some(Ownership { org: "north".to_owned(), share: Share::None });
            settings.freshness = Some(Duration::from_hours(1));
            let packed =
                crate::hotlist::package::pack(Path::new("l"), b"PlateNumber\nABC1234\n", &settings, 5, TimeMs(9))
                    .unwrap();
            let bytes = sign(&packed.header, &packed.body, &key).unwrap();
            let keys = Keys::from(key.public().clone());
            shelf.draft(&Package::open(&bytes, &keys).unwrap()).unwrap().keep().unwrap();
        }
        let path = dir.path().join("hotlists/damaged.list");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();

        let csv = dir.path().join("named.csv");
        std::fs::write(&csv, "PlateNumber\nABC1234\nXYZ9876\n").unwrap();
        let files = [file("named", 1, &csv)];
        let (hotlists, health) = (Hotlists::new(), Health::new());
        Watch::new(&files).look(&hotlists, &health, TimeMs(9));
        load_shelf(&shelf, &files, &hotlists, &health);
        let told = gauges(&files, &hotlists, &health, TimeMs(7_200_000));
        let told: Vec<_> = told.iter().map(|g| (g.id.as_str(), g.number, g.entries, g.fault.is_some())).collect();
        assert_eq!(
            told,
            [("named", 1, 2, true), ("good", 2, 1, false), ("damaged", 0, 0, true), ("taken", 0, 0, true)]
        );
        let good = gauges(&files, &hotlists, &health, TimeMs(7_200_000)).remove(1);
        assert!(good.stale && good.serial == 5);
        assert!(
            health.list(&ListId::new("taken").unwrap()).fault().unwrap().contains("number 1 is that of list named")
        );
        assert!(health.list(&ListId::new("damaged").unwrap()).fault().unwrap().contains("damaged"));
    }
}
