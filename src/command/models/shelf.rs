//! Where packages lie that came from the centre: unpacked, a folder each, few and bounded.
//!
//! ```text
//! data_dir/managed/models/<name>-<version>/   manifest.toml, the model, the card, canary/…   as they were packed
//!                                             package.cose   the signed table: what each of them must be
//!                                             trial.cbor     how the canary pictures went when it came
//! data_dir/managed/models/new-<digest>/       one that is being tried: removed at the next start
//! ```
//! A folder appears under its name whole or not at all (written elsewhere, made durable, renamed). When there is no room the oldest that
//! is neither in force nor gone back to goes. Before a model of the shelf is loaded each of its files is held against
//! the table once more. Called by the operations of models and, at the start, by the wiring.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};

use super::canary::Score;
use super::force::InForce;
use super::package::{self, Package, Table};
use super::{Chosen, Error, full_name, sha256};
use crate::centre::keys::Kid;
use crate::command::ops::encode;
use crate::domain::TimeMs;

/// Most packages that are kept.
pub const MAX_KEPT: usize = 8;
/// Most bytes that they take together.
pub const MAX_BYTES: u64 = 256 << 20;

const TABLE: &str = "package.cose";
const TRIAL: &str = "trial.cbor";
const NEW: &str = "new-";
const VERSION: u8 = 1;

/// How a package did when it came.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Trial {
    #[n(0)]
    version: u8,
    /// When.
    #[n(1)]
    pub at: TimeMs,
    /// Name of the key that the package is signed with.
    #[n(2)]
    pub signer: String,
    /// How its pictures went.
    #[n(3)]
    pub score: Score,
}

impl Trial {
    /// Of now.
    #[must_use]
    pub fn new(at: TimeMs, signer: &str, score: Score) -> Self {
        Self { version: VERSION, at, signer: signer.to_owned(), score }
    }
}

/// A package on the shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// Its folder.
    pub folder: PathBuf,
    /// What was signed.
    pub table: Table,
    /// Who signed it.
    pub kid: Kid,
    /// How it did.
    pub trial: Trial,
}

impl Shelved {
    /// As it is told when it is in force.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        InForce {
            task: self.table.task,
            name: self.table.name.clone(),
            version: self.table.model_version.clone(),
            package: self.table.digest(),
        }
    }
}

/// The folder of packages.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The shelf of a box; nothing is made until something comes.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("managed").join("models") }
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that is on it, the newest first; what cannot be read is named after it.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder itself cannot be read.
    pub fn list(&self) -> Result<(Vec<Shelved>, Vec<Error>), Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            Err(e) => return Err(Error::io(&self.folder)(e)),
        };
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(NEW) || !entry.path().is_dir() {
                continue;
            }
            match read(&entry.path()) {
                Ok(shelved) => found.push(shelved),
                Err(error) => faults.push(error),
            }
        }
        found.sort_by(|a, b| b.trial.at.cmp(&a.trial.at).then_with(|| a.folder.cmp(&b.folder)));
        Ok((found, faults))
    }

    /// One by name and version.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what is wrong with it.
    pub fn get(&self, name: &str, version: &str) -> Result<Shelved, Error> {
        let full = full_name(name, version);
        super::check_name(name, version).map_err(|_| Error::NotFound(full.clone()))?;
        let folder = self.folder.join(&full);
        if !folder.join(TABLE).is_file() {
            return Err(Error::NotFound(full));
        }
        read(&folder)
    }

    /// A model in force, after each of its files was held against what was signed.
    ///
    /// # Errors
    /// When it is not there, is another package, or a file of it changed on the disk.
    pub fn chosen(&self, one: &InForce) -> Result<Chosen, Error> {
        let shelved = self.get(&one.name, &one.version)?;
        let damaged = |reason: String| Error::Damaged { path: shelved.folder.clone(), reason };
        if shelved.table.digest() != one.package || shelved.table.task != one.task {
            return Err(damaged("it is another package than the one that was activated".to_owned()));
        }
        for file in &shelved.table.files {
            let path = shelved.folder.join(&file.path);
            let bytes = fs::read(&path).map_err(Error::io(&path))?;
            if sha256(&bytes) != file.sha256 {
                return Err(damaged(format!("{} is not what was signed", file.path)));
            }
        }
        let (name, version) = (one.name.clone(), one.version.clone());
        Ok(Chosen { task: one.task, name, version, folder: shelved.folder })
    }

    /// Unpacks a package beside the others, for its trial.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Conflict`] when another package of that name and version is there.
    pub fn unpack(&self, package: &Package<'_>) -> Result<PathBuf, Error> {
        let digest = package.table.digest();
        match self.get(&package.table.name, &package.table.model_version) {
            Ok(there) if there.table.digest() != digest => return Err(Error::Conflict(package.table.full_name())),
            Ok(_) | Err(Error::NotFound(_)) => {}
            // What is damaged is replaced by what came.
            Err(error) => tracing::warn!(%error, "a model on the shelf is replaced"),
        }
        self.sweep()?;
        let hex = digest.iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let folder = self.folder.join(format!("{NEW}{hex}"));
        fs::create_dir_all(folder.join(package::PICTURES)).map_err(Error::io(&folder))?;
        for (entry, content) in package.files() {
            store(&folder.join(&entry.path), content)?;
        }
        store(&folder.join(TABLE), package.envelope)?;
        Ok(folder)
    }

    /// Keeps what was unpacked and tried under its name; gives what had to go for it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Bound`] when there is no room for it beside those that are `needed`.
    pub fn keep(
        &self,
        unpacked: &Path,
        table: &Table,
        trial: &Trial,
        needed: &[InForce],
    ) -> Result<Vec<String>, Error> {
        let gone = self.make_room(table, needed)?;
        store(&unpacked.join(TRIAL), &encode(trial))?;
        for folder in [&unpacked.join(package::PICTURES), unpacked] {
            sync_folder(folder)?;
        }
        let folder = self.folder.join(table.full_name());
        remove(&folder)?;
        fs::rename(unpacked, &folder).map_err(Error::io(&folder))?;
        sync_folder(&self.folder)?;
        Ok(gone)
    }

    /// Removes what was unpacked and not kept.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep(&self) -> Result<(), Error> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let mut new = entries.filter(|e| e.file_name().to_string_lossy().starts_with(NEW));
        new.try_for_each(|entry| remove(&entry.path()))
    }

    /// Lets the oldest go until `table` fits, but none that is needed.
    fn make_room(&self, table: &Table, needed: &[InForce]) -> Result<Vec<String>, Error> {
        let own = table.full_name();
        let (mut kept, _) = self.list()?;
        kept.retain(|shelved| shelved.table.full_name() != own);
        let mut gone = Vec::new();
        loop {
            let bytes = kept.iter().fold(table.bytes(), |sum, shelved| sum.saturating_add(shelved.table.bytes()));
            if kept.len() < MAX_KEPT && bytes <= MAX_BYTES {
                return Ok(gone);
            }
            let spare = |shelved: &Shelved| !needed.contains(&shelved.in_force());
            // The newest come first.
            let Some(oldest) = kept.iter().rposition(spare) else {
                return Err(Error::Bound(format!(
                    "no room for {own}: {} models of {bytes} bytes are in force or may be gone back to, at most \
                     {MAX_KEPT} of {MAX_BYTES} bytes are kept",
                    kept.len()
                )));
            };
            let shelved = kept.remove(oldest);
            remove(&shelved.folder)?;
            gone.push(shelved.table.full_name());
        }
    }
}

fn read(folder: &Path) -> Result<Shelved, Error> {
    let file = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(Error::io(&path))
    };
    let damaged = |reason: String| Error::Damaged { path: folder.to_owned(), reason };
    let (table, kid) = package::inspect(&file(TABLE)?).map_err(|e| damaged(e.to_string()))?;
    let trial: Trial = minicbor::decode(&file(TRIAL)?).map_err(|e| damaged(format!("{TRIAL}: {e}")))?;
    if trial.version != VERSION {
        return Err(damaged(format!("{TRIAL} has format {}, this program knows {VERSION}", trial.version)));
    }
    if folder.file_name().is_none_or(|name| name.to_string_lossy() != table.full_name()) {
        return Err(damaged(format!("it holds {}", table.full_name())));
    }
    Ok(Shelved { folder: folder.to_owned(), table, kid, trial })
}

/// Writes a file that takes the place of another, durably: a power cut leaves one or the other.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    store(&part, bytes)?;
    fs::rename(&part, path).map_err(Error::io(path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn store(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = fs::File::create(path).map_err(Error::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io(folder))
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::canary::{Canary, Seen};
    use super::super::package::tests::{files, key, keys, table};
    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        shelf: Shelf,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(dir.path());
        Bench { dir, shelf }
    }

    fn of_version(version: &str) -> Table {
        Table { model_version: version.to_owned(), ..table() }
    }

    impl Bench {
        fn keep(&self, version: &str, at: u64, needed: &[InForce]) -> Result<Vec<String>, Error> {
            let bytes = package::seal(of_version(version), &files(), &key(7)).unwrap();
            let package = Package::open(&bytes, &keys()).unwrap();
            let folder = self.shelf.unpack(&package)?;
            let score = Score::of(&[Canary::of_plate("a.png", "ABC123")], &[Seen::default()], 0);
            self.shelf.keep(&folder, &package.table, &Trial::new(TimeMs(at), "fleet-1", score), needed)
        }

        fn names(&self) -> Vec<String> {
            let (found, faults) = self.shelf.list().unwrap();
            assert!(faults.is_empty(), "{faults:?}");
            found.iter().map(|s| s.table.model_version.clone()).collect()
        }
    }

    #[test]
    fn what_is_kept_is_listed_and_verified() {
        let bench = bench();
        assert!(bench.names().is_empty());
        assert_eq!(bench.keep("1.2", 1_000, &[]).unwrap(), Vec::<String>::new());
        let there = bench.shelf.get("reader-9", "1.2").unwrap();
        assert_eq!((there.kid, there.trial.signer.as_str()), (key(7).kid(), "fleet-1"));
        assert_eq!(bench.shelf.chosen(&there.in_force()).unwrap().folder, there.folder);
        assert!(there.folder.starts_with(bench.dir.path().join("managed/models/reader-9-1.2")));
        assert!(matches!(bench.shelf.get("reader-9", "9"), Err(Error::NotFound(_))));
        assert!(matches!(bench.shelf.get("../x", "9"), Err(Error::NotFound(_))));
    }

    #[test]
    fn a_file_that_changed_on_the_disk_is_found_before_it_is_loaded() {
        let bench = bench();
        bench.keep("1.2", 1_000, &[]).unwrap();
        let there = bench.shelf.get("reader-9", "1.2").unwrap();
        let other = InForce { package: [0; 32], ..there.in_force() };
        assert!(bench.shelf.chosen(&other).unwrap_err().to_string().contains("another package"));
        fs::write(there.folder.join("model.onnx"), b"\x08\x08Weights").unwrap();
        let error = bench.shelf.chosen(&there.in_force()).unwrap_err().to_string();
        assert!(error.contains("model.onnx is not what was signed"), "{error}");
    }

    #[test]
    fn the_same_package_may_come_twice_and_another_of_its_name_may_not() {
        let bench = bench();
        bench.keep("1.2", 1_000, &[]).unwrap();
        bench.keep("1.2", 2_000, &[]).unwrap();
        assert_eq!(bench.names(), ["1.2"]);
        let other = package::seal(Table { least: 1, ..of_version("1.2") }, &files(), &key(7)).unwrap();
        let refused = bench.shelf.unpack(&Package::open(&other, &keys()).unwrap());
        assert!(matches!(refused, Err(Error::Conflict(name)) if name == "reader-9-1.2"));
    }

    #[test]
    fn the_oldest_that_nobody_needs_goes_and_what_was_not_kept_is_swept() {
        let bench = bench();
        for at in 0..MAX_KEPT as u64 {
            bench.keep(&at.to_string(), at, &[]).unwrap();
        }
        let needed = [bench.shelf.get("reader-9", "0").unwrap().in_force()];
        assert_eq!(bench.keep("100", 100, &needed).unwrap(), ["reader-9-1"]);
        assert_eq!(bench.names(), ["100", "7", "6", "5", "4", "3", "2", "0"]);
        let all: Vec<InForce> = bench.shelf.list().unwrap().0.iter().map(Shelved::in_force).collect();
        let full = bench.keep("101", 101, &all).unwrap_err().to_string();
        assert!(full.contains("no room for reader-9-101"), "{full}");
        assert_eq!(fs::read_dir(bench.shelf.folder()).unwrap().count(), MAX_KEPT + 1, "what was tried is left");
        bench.shelf.sweep().unwrap();
        assert_eq!(fs::read_dir(bench.shelf.folder()).unwrap().count(), MAX_KEPT);
    }

    #[test]
    fn a_damaged_one_is_named_and_the_others_are_listed() {
        let bench = bench();
        bench.keep("1", 1, &[]).unwrap();
        bench.keep("2", 2, &[]).unwrap();
        fs::write(bench.shelf.folder().join("reader-9-1").join(TABLE), b"x").unwrap();
        let (found, faults) = bench.shelf.list().unwrap();
        assert_eq!((found.len(), faults.len()), (1, 1));
        assert!(faults[0].to_string().contains("reader-9-1"), "{faults:?}");
        bench.keep("1", 3, &[]).unwrap();
        assert_eq!(bench.names(), ["1", "2"]);
    }
}
