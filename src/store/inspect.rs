//! A look at a store that changes nothing: not the lock, not a torn end, not the index.
//!
//! For `watchpost check`, also beside a daemon that has the store. The ledger is read with every check; the index is not
//! looked at: opening it writes, and it can always be made anew. What [`super::Store::open`] would salvage is an error here.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::daykeys::DayKeys;
use super::disk::RealDisk;
use super::error::Error;
use super::seal::{Random, StoreKey};
use super::{folder, walk};

/// A ledger up to this size is read whole; of a larger one the two newest segments.
const WHOLE_BYTES: u64 = 1 << 30;

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// The process that has the store; then nothing but format and key was looked at.
    pub holder: Option<String>,
    /// Commits in the ledger.
    pub batches: u64,
    /// Newest number that was given to an alert.
    pub last_seq: u64,
    /// Bytes of the ledger.
    pub bytes: u64,
    /// All of it was read.
    pub whole: bool,
    /// Bytes of an unfinished commit at its end: the next start cuts it.
    pub torn_bytes: u64,
    /// Key files that the store key does not open.
    pub unopened_keys: usize,
    /// Stores that were set aside.
    pub aside: usize,
}

/// Who has the store in `dir`; nobody has one that is not there.
///
/// # Errors
/// I/O errors.
pub fn holder(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join("lock");
    match File::open(&path) {
        // Shared, and given back at once: a daemon that starts in this moment waits for nobody.
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => Ok(Some(folder::holder_of(&file))),
            Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

/// Looks at the store in `dir`.
///
/// # Errors
/// [`Error::Newer`], [`Error::Format`], [`Error::WrongKey`]; [`Error::Damaged`] for a ledger that would be set aside and
/// salvaged; I/O errors.
pub fn inspect(dir: &Path, key: &StoreKey) -> Result<Look, Error> {
    folder::read_format(dir, key)?;
    if let Some(holder) = holder(dir)? {
        return Ok(Look { holder: Some(holder), ..Look::default() });
    }
    let mut look =
        Look { unopened_keys: unopened_keys(dir, key)?, aside: count(&dir.join("aside")), ..Look::default() };
    let ledger = dir.join("ledger");
    if !ledger.exists() {
        if dir.join("index").exists() {
            return Err(Error::Damaged { segment: 0, offset: 0, what: "there is no ledger".to_owned() });
        }
        return Ok(look);
    }
    let sizes = walk::segments(&ledger)?.into_iter().map(|(_, path)| fs::metadata(path).map_or(0, |m| m.len()));
    look.bytes = sizes.sum();
    look.whole = look.bytes <= WHOLE_BYTES;
    let from = if look.whole { 1 } else { u64::MAX };
    if let Some(walked) = walk::walk(&ledger, &key.ledger_mac()?, from, &mut |_| Ok(()))? {
        look.batches = walked.end.batch;
        look.last_seq = walked.end.last_seq;
        look.torn_bytes = walked.torn.iter().map(|torn| torn.bytes).sum();
    }
    Ok(look)
}

/// Key files of a day and class that do not open; none are made.
fn unopened_keys(dir: &Path, key: &StoreKey) -> Result<usize, Error> {
    let folder = dir.join("keys");
    if !folder.exists() {
        return Ok(0);
    }
    let keys = DayKeys::open(&folder, key, Random::system(), Arc::new(RealDisk))?;
    Ok(keys.existing(0, u32::MAX)?.into_iter().filter(|(day, class)| keys.for_reading(*day, *class).is_err()).count())
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::domain::Severity;
    use crate::health::Health;
    use crate::store::Recorder;

    /// Every file below `dir` with its bytes.
    fn picture(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    all.push((entry.path(), fs::read(entry.path()).unwrap()));
                }
            }
        }
        all.sort();
        all
    }

    const KEY: [u8; 32] = [9; 32];

    fn look(dir: &Path) -> Result<Look, Error> {
        let before = picture(dir);
        let look = inspect(dir, &StoreKey::from_bytes(KEY));
        assert_eq!(picture(dir), before, "a look changed something");
        look
    }

    fn filled(dir: &Path, hits: u64) {
        let store = open(dir);
        let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
        (1..=hits).for_each(|n| recorder.handle().send(hit_entry(n, Severity::Serious)).unwrap());
        assert_eq!(recorder.stop(), 0);
    }

    #[test]
    fn a_sound_store_is_read_to_its_end_and_left_as_it_is() {
        let dir = folder();
        filled(dir.path(), 5);
        let look = look(dir.path()).unwrap();
        assert_eq!((look.last_seq, look.whole, look.torn_bytes, look.unopened_keys), (5, true, 0, 0));
        assert!(look.batches > 0 && look.bytes > 0 && look.holder.is_none());
    }

    #[test]
    fn a_store_in_use_is_told_with_its_holder() {
        let dir = folder();
        let _store = open(dir.path());
        let look = look(dir.path()).unwrap();
        assert!(look.holder.unwrap().contains(&std::process::id().to_string()));
    }

    #[test]
    fn a_torn_end_is_told_and_stays() {
        let dir = folder();
        filled(dir.path(), 3);
        let (_, newest) = walk::segments(&dir.path().join("ledger")).unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        bytes.extend([0x57; 40]);
        fs::write(&newest, bytes).unwrap();
        assert_eq!(look(dir.path()).unwrap().torn_bytes, 40);
    }

    #[test]
    fn damage_another_key_and_a_lost_ledger_are_errors() {
        let dir = folder();
        // Two commits: behind the damage there must be something sound, else it is a torn end.
        filled(dir.path(), 3);
        filled(dir.path(), 3);
        let wrong = inspect(dir.path(), &StoreKey::from_bytes([8; 32])).unwrap_err();
        assert!(matches!(wrong, Error::WrongKey { .. }), "{wrong}");
        let (_, newest) = walk::segments(&dir.path().join("ledger")).unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        bytes[200] ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert!(matches!(look(dir.path()), Err(Error::Damaged { .. })));
        fs::remove_dir_all(dir.path().join("ledger")).unwrap();
        assert!(matches!(look(dir.path()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_key_file_that_does_not_open_is_counted() {
        let dir = folder();
        filled(dir.path(), 1);
        let key = fs::read_dir(dir.path().join("keys")).unwrap().map(|e| e.unwrap().path()).last().unwrap();
        fs::write(key.with_extension("key"), [0; 69]).unwrap();
        assert_eq!(look(dir.path()).unwrap().unopened_keys, 0, "its copy does");
        fs::write(key.with_extension("copy"), [0; 69]).unwrap();
        assert_eq!(look(dir.path()).unwrap().unopened_keys, 1);
    }
}
