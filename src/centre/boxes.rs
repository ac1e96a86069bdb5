//! The registry of boxes: which key speaks for which box at which site. A TOML file that the centre keeps.
//!
//! ```toml
//! [[box]]
//! id = "box-1"
//! site = "north"
//! public_key = "MCowBQYDK2VwAyEA…"   # base64 of the SPKI, as in the box's box.pub
//! other_key = "MCowBQYDK2VwAyEA…"    # believed as well, while the box's key is changed (`watchpostctl key rotate`) …
//! other_until = "2026-03-01T00:00:00Z" # … to this time; without, until the change is done
//! ```
//! Who can write the file decides who is believed: it lies beside the centre's keys, 0600. [`Boxes::reread`] takes in
//! what was changed in it since, so that who listens for days need not be started anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::Deserialize;

use super::keys::{self, Keys, PublicKey};
use crate::domain::{BoxId, SiteId, TimeMs};

/// Largest registry file, in bytes: some ten thousand boxes.
const MAX_FILE: usize = 2 * 1024 * 1024;

/// Why a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("boxes: {0}")]
    Key(#[from] keys::Error),
    /// The file's content is wrong.
    #[error("boxes {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A box that the centre knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBox {
    /// Where it stands.
    pub site: SiteId,
    /// The key that it signs with.
    pub key: PublicKey,
    /// Another one that is believed as well: the next, or the one before.
    pub other: Option<OtherKey>,
}

impl KnownBox {
    /// A box with one key.
    #[must_use]
    pub fn new(site: SiteId, key: PublicKey) -> Self {
        Self { site, key, other: None }
    }

    /// The keys that may speak for it.
    #[must_use]
    pub fn keys(&self) -> Keys {
        std::iter::once(&self.key).chain(self.other.as_ref().map(|other| &other.key)).cloned().collect()
    }
}

/// A key beside the one that a box signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKey {
    /// The key.
    pub key: PublicKey,
    /// Believed to this time; without: as long as it stands here.
    pub until: Option<TimeMs>,
}

/// The boxes that the centre knows.
#[derive(Debug, Clone, Default)]
pub struct Boxes {
    known: BTreeMap<BoxId, KnownBox>,
    /// The file that they were read from.
    path: Option<PathBuf>,
}

impl PartialEq for Boxes {
    /// The same boxes, wherever they were read.
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
    }
}

impl Eq for Boxes {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, rename = "box")]
    boxes: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: BoxId,
    site: SiteId,
    public_key: String,
    other_key: Option<String>,
    other_until: Option<String>,
}

impl Row {
    fn checked(self) -> Result<(BoxId, KnownBox), String> {
        let mut known = KnownBox::new(self.site, spki(&self.public_key).map_err(|e| format!("public_key {e}"))?);
        let until = self.other_until.map(|text| {
            TimeMs::parse(&text).ok_or_else(|| format!("other_until {text:?} is no time like 2026-03-01T00:00:00Z"))
        });
        let until = until.transpose()?;
        if let Some(text) = self.other_key {
            known.other = Some(OtherKey { key: spki(&text).map_err(|e| format!("other_key {e}"))?, until });
        }
        Ok((self.id, known))
    }
}

impl Boxes {
    /// Reads the registry.
    ///
    /// # Errors
    /// When it cannot be read, a row is wrong, a key is weak, or a box is there twice.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_file(path, MAX_FILE)?;
        let content = |reason: String| Error::Content { path: path.to_owned(), reason };
        let text = std::str::from_utf8(&bytes).map_err(|e| content(e.to_string()))?;
        let form: Form = toml::from_str(text).map_err(|e| content(e.to_string().trim_end().to_owned()))?;
        let mut boxes = Self { path: Some(path.to_owned()), ..Self::default() };
        for row in form.boxes {
            let id = row.id.clone();
            let (_, known) = row.checked().map_err(|reason| content(format!("box {id}: {reason}")))?;
            if boxes.known.insert(id.clone(), known).is_some() {
                return Err(content(format!("box {id} is there twice")));
            }
        }
        Ok(boxes)
    }

    /// Takes in what the file says now; false when it says nothing else, or cannot be read: what was known stays then.
    pub fn reread(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        match Self::read(path) {
            Ok(now) if now != *self => {
                *self = now;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, "the registry of boxes cannot be read again: what was read before counts");
                false
            }
        }
    }

    /// Drops other keys whose time is over.
    pub fn forget_over(&mut self, now: TimeMs) {
        for known in self.known.values_mut() {
            known.other = known.other.take().filter(|other| other.until.is_none_or(|until| now <= until));
        }
    }

    /// Writes the registry to its file, the one before beside it as `.before`: whole or not at all, with the same mode.
    ///
    /// # Errors
    /// When it cannot be written; the old one is in its place then.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| keys::Error::Io { path: path.to_owned(), source };
        let part = path.with_extension("part");
        let mode = std::fs::metadata(path).map_or(0o600, |meta| meta.permissions().mode() & 0o777);
        let _ = std::fs::remove_file(&part);
        keys::write_new(&part, self.to_toml().as_bytes(), mode)?;
        if path.exists() {
            std::fs::copy(path, path.with_extension("toml.before")).map_err(failed)?;
        }
        std::fs::rename(&part, path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(())
    }

    /// Adds a box; true when it was not known.
    pub fn add(&mut self, id: BoxId, known: KnownBox) -> bool {
        self.known.insert(id, known).is_none()
    }

    /// The keys that may speak for the box `id` at `site`; `None` when the centre knows no such box there.
    #[must_use]
    pub fn keys_of(&self, site: &SiteId, id: &BoxId) -> Option<Keys> {
        self.known.get(id).filter(|known| known.site == *site).map(KnownBox::keys)
    }

    /// All boxes, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&BoxId, &KnownBox)> {
        self.known.iter()
    }

    /// The text of its file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Boxes that this centre believes; written by `watchpost init`, kept by hand.\n");
        for (id, known) in &self.known {
            let key = BASE64.encode(&known.key.to_spki());
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[[box]]\nid = \"{id}\"\nsite = \"{}\"\npublic_key = \"{key}\"\n", known.site);
            if let Some(other) = &known.other {
                let _ = writeln!(text, "other_key = \"{}\"", BASE64.encode(&other.key.to_spki()));
                if let Some(until) = other.until {
                    let _ = writeln!(text, "other_until = \"{until}\"");
                }
            }
        }
        text
    }
}

fn spki(text: &str) -> Result<PublicKey, String> {
    let der = BASE64.decode(text.as_bytes()).map_err(|e| format!("is no base64: {e}"))?;
    PublicKey::from_spki(&der).map_err(|e| format!("is {e}"))
}

/// Reads a file of at most `max` bytes.
pub(super) fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, keys::Error> {
    let failed = |source| keys::Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > max {
        return Err(keys::Error::Format { path: path.to_owned(), reason: format!("larger than {max} bytes") });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).unwrap().public().clone()
    }

    #[test]
    fn a_box_may_have_two_keys_for_a_time_and_a_change_of_the_file_is_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boxes.toml");
        let (site, id) = (SiteId::new("north").unwrap(), BoxId::new("box-1").unwrap());
        let mut written = Boxes::default();
        written.add(id.clone(), KnownBox::new(site.clone(), key(1)));
        written.write(&path).unwrap();
        let mut read = Boxes::read(&path).unwrap();
        assert!(!read.reread());
        let until = Some(TimeMs(1_767_225_600_000));
        let other = Some(OtherKey { key: key(2), until });
        written.add(id.clone(), KnownBox { other, ..KnownBox::new(site.clone(), key(1)) });
        written.write(&path).unwrap();
        assert!(read.reread() && !read.reread());
        assert_eq!(read.keys_of(&site, &id).unwrap().len(), 2);
        read.forget_over(TimeMs(1_767_225_600_000));
        assert_eq!(read.keys_of(&site, &id).unwrap().len(), 2);
        read.forget_over(TimeMs(1_767_225_600_001));
        assert_eq!(read.keys_of(&site, &id).unwrap(), Keys::from(key(1)));
        std::fs::write(&path, "rubbish").unwrap();
        assert!(!read.reread() && read.keys_of(&site, &id).is_some(), "what was known stays");
    }
}
