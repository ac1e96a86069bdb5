//! The registry of boxes: which key speaks for which box at which site. A TOML file that the centre keeps.
//!
//! ```toml
//! [[box]]
//! id = "box-1"
//! site = "north"
//! public_key = "MCowBQYDK2VwAyEA…"   # base64 of the SPKI, as in the box's box.pub
//! ```
//! Who can write the file decides who is believed: it lies beside the centre's keys, 0600.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::Deserialize;

use super::keys::{self, Keys, PublicKey};
use crate::domain::{BoxId, SiteId};

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
}

/// The boxes that the centre knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boxes(BTreeMap<BoxId, KnownBox>);

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
        let mut boxes = Self::default();
        for row in form.boxes {
            let key = spki(&row.public_key).map_err(|reason| content(format!("box {}: {reason}", row.id)))?;
            if boxes.0.insert(row.id.clone(), KnownBox { site: row.site, key }).is_some() {
                return Err(content(format!("box {} is there twice", row.id)));
            }
        }
        Ok(boxes)
    }

    /// Adds a box; true when it was not known.
    pub fn add(&mut self, id: BoxId, known: KnownBox) -> bool {
        self.0.insert(id, known).is_none()
    }

    /// The keys that may speak for the box `id` at `site`; `None` when the centre knows no such box there.
    #[must_use]
    pub fn keys_of(&self, site: &SiteId, id: &BoxId) -> Option<Keys> {
        self.0.get(id).filter(|known| known.site == *site).map(|known| Keys::from(known.key.clone()))
    }

    /// All boxes, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&BoxId, &KnownBox)> {
        self.0.iter()
    }

    /// The text of its file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Boxes that this centre believes; written by `watchpost init`, kept by hand.\n");
        for (id, known) in &self.0 {
            let key = BASE64.encode(&known.key.to_spki());
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[[box]]\nid = \"{id}\"\nsite = \"{}\"\npublic_key = \"{key}\"\n", known.site);
        }
        text
    }
}

fn spki(text: &str) -> Result<PublicKey, String> {
    let der = BASE64.decode(text.as_bytes()).map_err(|e| format!("public_key is no base64: {e}"))?;
    PublicKey::from_spki(&der).map_err(|e| e.to_string())
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
