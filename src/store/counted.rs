//! How many rows were given to whom for what: kept on disk, so that a bound on them survives a restart. And what binds
//! cursors and digests of questions to this store.
//!
//! ```text
//! counted: "WPCNT\0\0\1", then entries: who 16 ‖ last used 8 (ms UTC) ‖ rows 8, then HMAC-SHA256 over all of it, 32
//! ```
//! Numbers are big-endian. *Who* is an HMAC over person, organisation, purpose and case; all MACs here are under the store
//! key's "asking" subkey, so the file tells no names, and nobody without the store key can try out plates against a digest
//! in the audit log. The file is replaced whole and durable before [`Store::count`] returns. It holds [`MOST`] entries; the
//! one that was used least recently makes room. A file that does not verify is set aside and said: counting begins anew.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ring::hmac;

use super::disk::{self, Disk};
use super::error::Error;
use super::record::Bytes;
use super::{Store, folder};
use crate::domain::TimeMs;

const MAGIC: &[u8; 8] = b"WPCNT\0\0\x01";
/// Entries that are kept: 32 bytes each.
const MOST: usize = if cfg!(test) { 8 } else { 8_192 };

type Who = [u8; 16];

/// The counts of a store, and the key of what is bound to it.
pub(super) struct Counted {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    key: hmac::Key,
    rows: Mutex<HashMap<Who, (TimeMs, u64)>>,
}

impl Counted {
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, key: hmac::Key, now: TimeMs) -> Result<Self, Error> {
        let path = dir.join(folder::COUNTED);
        let found = match std::fs::read(&path) {
            Ok(bytes) => Some(read(&key, &bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        if let Some(None) = &found {
            let aside = path.with_extension(format!("damaged-{}", now.0));
            tracing::error!(path = %path.display(), aside = %aside.display(),
                "counts of rows given out are damaged, set aside: counting begins anew");
            disk.rename(&path, &aside).map_err(Error::io("rename", &path))?;
        }
        let rows = found.flatten().unwrap_or_default();
        Ok(Self { path, disk, key, rows: Mutex::new(rows) })
    }

    fn who(&self, parts: &[&[u8]]) -> Who {
        let mac = self.mac("counted", parts);
        let mut who = [0; 16];
        who.iter_mut().zip(mac).for_each(|(w, m)| *w = m);
        who
    }

    /// HMAC over a label and parts, each with its length before it.
    fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        out.iter_mut().zip(context.sign().as_ref()).for_each(|(o, t)| *o = *t);
        out
    }

    fn write(&self, rows: &HashMap<Who, (TimeMs, u64)>) -> Result<(), Error> {
        let mut bytes = MAGIC.to_vec();
        for (who, (at, count)) in rows {
            bytes.extend(who);
            bytes.extend(at.0.to_be_bytes());
            bytes.extend(count.to_be_bytes());
        }
        let mac = hmac::sign(&self.key, &bytes);
        bytes.extend(mac.as_ref());
        disk::write_whole(&*self.disk, &self.path, &bytes).map_err(Error::io("write", &self.path))
    }
}

fn read(key: &hmac::Key, bytes: &[u8]) -> Option<HashMap<Who, (TimeMs, u64)>> {
    let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    hmac::verify(key, signed, mac).ok()?;
    let mut input = Bytes(signed.strip_prefix(MAGIC)?);
    let mut rows = HashMap::new();
    while !input.0.is_empty() {
        rows.insert(input.array()?, (TimeMs(input.u64()?), input.u64()?));
    }
    Some(rows)
}

impl Store {
    /// HMAC-SHA256 of `parts` under a key that is this store's alone: for cursors and digests of questions.
    #[must_use]
    pub fn bind(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.0.counted.mac(label, parts)
    }

    /// Rows that were counted for these (person, organisation, purpose, case, in this order) so far.
    #[must_use]
    pub fn counted(&self, whom: &[&[u8]]) -> u64 {
        let counted = &self.0.counted;
        let rows = counted.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(&counted.who(whom)).map_or(0, |(_, rows)| *rows)
    }

    /// Counts `rows` more and returns the sum, when it is on the medium.
    ///
    /// # Errors
    /// I/O errors: they are not counted then, and must not be given out.
    pub fn count(&self, whom: &[&[u8]], rows: u64) -> Result<u64, Error> {
        let counted = &self.0.counted;
        let who = counted.who(whom);
        let mut kept = counted.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = kept.clone();
        if next.len() >= MOST && !next.contains_key(&who) {
            let oldest = next.iter().min_by_key(|(_, (at, _))| *at).map(|(who, _)| *who);
            oldest.and_then(|who| next.remove(&who));
        }
        let sum = next.get(&who).map_or(0, |(_, rows)| *rows).saturating_add(rows);
        next.insert(who, (self.0.clock.utc(), sum));
        counted.write(&next)?;
        *kept = next;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{folder, open};

    #[test]
    fn counts_survive_a_restart_and_go_by_person_and_case() {
        let dir = folder();
        let store = open(dir.path());
        assert_eq!(store.count(&[b"a", b"case"], 300).unwrap(), 300);
        assert_eq!(store.count(&[b"b", b"case"], 7).unwrap(), 7);
        assert_eq!(store.count(&[b"acase"], 1).unwrap(), 1, "lengths are part of it");
        let bound = store.bind("cursor", &[b"x"]);
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.counted(&[b"a", b"case"]), 300);
        assert_eq!(store.count(&[b"a", b"case"], 1).unwrap(), 301);
        assert_eq!(store.bind("cursor", &[b"x"]), bound);
        assert_ne!(store.bind("cursor", &[b"y"]), bound);
        let raw = std::fs::read(dir.path().join("counted")).unwrap();
        assert!(!raw.windows(4).any(|w| w == b"case"));
    }

    #[test]
    fn a_changed_file_is_set_aside_and_old_entries_make_room() {
        let dir = folder();
        let store = open(dir.path());
        for n in 0..20_u8 {
            store.count(&[&[n]], 1).unwrap();
        }
        assert_eq!(std::fs::metadata(dir.path().join("counted")).unwrap().len(), 8 + 8 * 32 + 32);
        drop(store);
        let path = dir.path().join("counted");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let store = open(dir.path());
        assert_eq!(store.counted(&[&[19]]), 0);
        assert!(
            std::fs::read_dir(dir.path())
                .unwrap()
                .any(|e| { e.unwrap().file_name().to_string_lossy().starts_with("counted.damaged-") })
        );
    }
}
