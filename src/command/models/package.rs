//! A model package: one file with a model, what it is, and pictures on which it must prove itself.
//!
//! ```text
//! "WPMODL\0\1"                          8 bytes, the last is the format's version
//! length of the envelope                4 bytes, big-endian
//! envelope                              COSE_Sign1 by a fleet key over the table, external_aad "watchpost model 1"
//! contents of the files                 one after the other, in the table's order, nothing between or after them
//!
//! table (CBOR): { 0: version 1, 1: name, 2: the model's version, 3: task, 4: signed at, ms UTC,
//!                 5: [[path, bytes, SHA-256], …], 6: [canary, …], 7: least score, ‰ }
//! ```
//! The table binds every byte: a file is in it with length and digest or it is not in the package. `manifest.toml`, the
//! files it names and the card lie at the top, pictures under `canary/`; there are no other folders. What the manifest
//! says is for the room that runs models; here it is bytes. Made by `watchpostctl model pack`, taken by `model.put`.
//! `docs/wire.cddl` has the table; a golden file pins the bytes.

use minicbor::{Decode, Encode};

use super::canary::{self, Canary};
use super::{Error, Task, check_name, sha256};
use crate::centre::cose;
use crate::centre::keys::{Keys, Kid, SigningKey};
use crate::domain::TimeMs;

/// The format's version.
pub const VERSION: u8 = 1;
/// Largest package, in bytes.
pub const MAX_PACKAGE: usize = 64 << 20;
/// Most files of a package.
pub const MAX_FILES: usize = 80;
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.toml";
/// Folder of the pictures.
pub const PICTURES: &str = "canary/";

const MAGIC: &[u8; 7] = b"WPMODL\0";
/// `external_aad` of the table: a signature on it counts for nothing else.
const AAD: &str = "watchpost model 1";
/// Longest file name, in bytes.
const MAX_PATH: usize = 64;

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// `manifest.toml`, another plain name, or one under `canary/`.
    #[n(0)]
    pub path: String,
    /// Its length.
    #[n(1)]
    pub bytes: u64,
    /// Its SHA-256.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
}

/// What is signed of a package.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Table {
    /// The format's version.
    #[n(0)]
    pub version: u8,
    /// The model's name, as its manifest says it.
    #[n(1)]
    pub name: String,
    /// The model's version, as its manifest says it.
    #[n(2)]
    pub model_version: String,
    /// What it does on a box.
    #[n(3)]
    pub task: Task,
    /// When it was signed.
    #[n(4)]
    pub issued: TimeMs,
    /// Its files, in the order of their contents.
    #[n(5)]
    pub files: Vec<Entry>,
    /// What it must see in its pictures.
    #[n(6)]
    pub canaries: Vec<Canary>,
    /// Of all that must be seen, the share that is at least right, ‰. What a canary *must* be right comes on top.
    #[n(7)]
    pub least: u16,
}

/// A package whose every byte was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package<'a> {
    /// What was signed.
    pub table: Table,
    /// Who signed it.
    pub kid: Kid,
    /// The signed envelope as it stands in the file: kept beside the unpacked model.
    pub envelope: &'a [u8],
    /// The contents, in the table's order.
    pub contents: Vec<&'a [u8]>,
}

impl Table {
    /// SHA-256 of the signed bytes: names a package exactly.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&crate::command::ops::encode(self))
    }

    /// Name and version as one word.
    #[must_use]
    pub fn full_name(&self) -> String {
        super::full_name(&self.name, &self.model_version)
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Everything that can be wrong in a table whatever the contents are.
    fn check(&self) -> Result<(), Error> {
        let form = |what: String| Err(Error::Form(what));
        if self.version != VERSION {
            return Err(Error::Version { got: self.version });
        }
        check_name(&self.name, &self.model_version).map_err(Error::Form)?;
        if self.files.len() > MAX_FILES {
            return Err(Error::Bound(format!("{} files in the package, at most {MAX_FILES}", self.files.len())));
        }
        if self.bytes() > MAX_PACKAGE as u64 {
            return Err(Error::Bound(format!("{} bytes in the package, at most {MAX_PACKAGE}", self.bytes())));
        }
        for (at, file) in self.files.iter().enumerate() {
            check_path(&file.path).map_err(Error::Form)?;
            if self.files.iter().take(at).any(|other| other.path == file.path) {
                return form(format!("{} is there twice", file.path));
            }
        }
        if !self.files.iter().any(|file| file.path == MANIFEST) {
            return form(format!("no {MANIFEST} in it"));
        }
        canary::check(&self.canaries).map_err(Error::Form)?;
        let has = |path: &str| self.files.iter().any(|file| file.path == path);
        if let Some(lost) = self.canaries.iter().find(|c| !has(&c.path())) {
            return form(format!("the picture {} of a canary is not in it", lost.picture));
        }
        if self.least > 1000 {
            return form(format!("a least score of {} ‰", self.least));
        }
        Ok(())
    }
}

impl<'a> Package<'a> {
    /// Verifies the bytes of a package: signature by one of `keys`, form, every digest.
    ///
    /// # Errors
    /// What is wrong, the first thing found; nothing unsigned is looked at but the envelope's length.
    pub fn open(bytes: &'a [u8], keys: &Keys) -> Result<Self, Error> {
        if bytes.len() > MAX_PACKAGE {
            return Err(Error::Bound(format!("a package of {} bytes, at most {MAX_PACKAGE}", bytes.len())));
        }
        let (envelope, contents) = split(bytes)?;
        let opened = cose::verify(envelope, AAD, keys, cose::MAX_ENVELOPE)?;
        let table = decode(&opened.payload)?;
        let mut package = Self { table, kid: opened.kid, envelope, contents: Vec::new() };
        package.fill(contents)?;
        Ok(package)
    }

    fn fill(&mut self, mut rest: &'a [u8]) -> Result<(), Error> {
        for file in &self.table.files {
            let length = usize::try_from(file.bytes).unwrap_or(usize::MAX);
            let Some((content, after)) = rest.split_at_checked(length) else {
                return Err(Error::Form(format!("cut off within {}: {} of {length} bytes", file.path, rest.len())));
            };
            if sha256(content) != file.sha256 {
                return Err(Error::Digest { file: file.path.clone() });
            }
            self.contents.push(content);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Error::Form(format!("{} bytes after the last file", rest.len())));
        }
        Ok(())
    }

    /// Its files with their contents.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Entry, &'a [u8])> {
        self.table.files.iter().zip(self.contents.iter().copied())
    }
}

/// Makes the bytes of a package; `files` are paths and contents, and the table's own list is made from them.
///
/// # Errors
/// What [`Package::open`] would refuse.
pub fn seal(mut table: Table, files: &[(String, Vec<u8>)], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let entry = |(path, content): &(String, Vec<u8>)| Entry {
        path: path.clone(),
        bytes: content.len() as u64,
        sha256: sha256(content),
    };
    table.files = files.iter().map(entry).collect();
    table.check()?;
    let envelope = cose::sign(&crate::command::ops::encode(&table), AAD, key)?;
    let length = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
    let mut bytes = [&MAGIC[..], &[VERSION], &length.to_be_bytes(), &envelope].concat();
    for (_, content) in files {
        bytes.extend(content);
    }
    if bytes.len() > MAX_PACKAGE {
        return Err(Error::Bound(format!("a package of {} bytes, at most {MAX_PACKAGE}", bytes.len())));
    }
    Ok(bytes)
}

/// The table of an envelope that was verified when it was kept: its form alone is looked at.
///
/// # Errors
/// When it is no envelope with a table.
pub fn inspect(envelope: &[u8]) -> Result<(Table, Kid), Error> {
    let opened = cose::inspect(envelope, cose::MAX_ENVELOPE)?;
    Ok((decode(&opened.payload)?, opened.kid))
}

/// The envelope of a package's bytes, and its table without any trust in it: for showing what a file is.
///
/// # Errors
/// When it is no package.
pub fn peek(bytes: &[u8]) -> Result<(Table, Kid), Error> {
    inspect(split(bytes)?.0)
}

/// Envelope and contents.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let cut = || Error::Form(format!("{} bytes, cut off at the start", bytes.len()));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| Error::Form("it does not begin as one".to_owned()))?;
    let (version, rest) = rest.split_first().ok_or_else(cut)?;
    if *version != VERSION {
        return Err(Error::Version { got: *version });
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.split_at_checked(length).ok_or_else(cut)
}

fn decode(payload: &[u8]) -> Result<Table, Error> {
    let table: Table = minicbor::decode(payload).map_err(|e| Error::Form(format!("its table: {e}")))?;
    if table.version != VERSION {
        return Err(Error::Version { got: table.version });
    }
    if crate::command::ops::encode(&table) != payload {
        return Err(Error::Form("its table has keys that version 1 does not have, or another encoding".to_owned()));
    }
    table.check()?;
    Ok(table)
}

/// A plain name, or one under `canary/`.
fn check_path(path: &str) -> Result<(), String> {
    let name = path.strip_prefix(PICTURES).unwrap_or(path);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = (1..=MAX_PATH).contains(&path.len()) && name.bytes().all(plain) && !name.is_empty();
    if good && !name.starts_with('.') {
        return Ok(());
    }
    Err(format!("file {path:?}: wanted a plain name of at most {MAX_PATH} of A-Z, a-z, 0-9, -, _ and ."))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    pub(crate) fn keys() -> Keys {
        Keys::from(key(7).public().clone())
    }

    pub(crate) fn table() -> Table {
        Table {
            version: VERSION,
            name: "reader-9".to_owned(),
            model_version: "1.2".to_owned(),
            task: Task::Reader,
            issued: TimeMs(1_700_000_000_000),
            files: Vec::new(),
            canaries: vec![Canary::of_plate("a.png", "ABC123")],
            least: 900,
        }
    }

    pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
        let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
        vec![
            file(MANIFEST, b"name = \"reader-9\"\n"),
            file("model.onnx", b"\x08\x08weights"),
            file("README.md", b"# The card\n"),
            file("canary/a.png", b"\x89PNG picture"),
        ]
    }

    pub(crate) fn package() -> Vec<u8> {
        seal(table(), &files(), &key(7)).unwrap()
    }

    fn refused(bytes: &[u8]) -> Error {
        Package::open(bytes, &keys()).unwrap_err()
    }

    #[test]
    fn what_was_packed_comes_out() {
        let bytes = package();
        let opened = Package::open(&bytes, &keys()).unwrap();
        assert_eq!((opened.kid, opened.table.full_name()), (key(7).kid(), "reader-9-1.2".to_owned()));
        let contents: Vec<(String, Vec<u8>)> = opened.files().map(|(e, c)| (e.path.clone(), c.to_vec())).collect();
        assert_eq!(contents, files());
        assert_eq!(peek(&bytes).unwrap(), (opened.table.clone(), opened.kid));
        assert_eq!(inspect(opened.envelope).unwrap().0.digest(), opened.table.digest());
    }

    #[test]
    fn the_golden_file_pins_the_format() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/model-package.wpm");
        if std::env::var_os("WATCHPOST_BLESS").is_some() {
            std::fs::write(&path, package()).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), package(), "a changed format is an API change");
    }

    #[test]
    fn each_changed_byte_is_refused() {
        let good = package();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Package::open(&bad, &keys()).is_err(), "byte {at}");
        }
        for length in 0..good.len() {
            assert!(Package::open(&good[..length], &keys()).is_err(), "{length} bytes");
        }
        assert!(refused(&[&good[..], b"x"].concat()).to_string().contains("1 bytes after"));
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let good = package();
        let mut other = good.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(matches!(refused(&other), Error::Digest { file } if file == "canary/a.png"));
        assert!(matches!(refused(&good[..good.len() - 3]), Error::Form(what) if what.contains("cut off within")));
        assert!(matches!(refused(b"PK\x03\x04"), Error::Form(_)));
        let mut later = good.clone();
        later[7] = 2;
        assert!(matches!(refused(&later), Error::Version { got: 2 }));
        let stranger = seal(table(), &files(), &key(8)).unwrap();
        let refusal = Refusal::from(refused(&stranger));
        assert_eq!(refusal.reason, crate::domain::Reason::UnknownKey);
    }

    use crate::command::Refusal;

    #[test]
    fn what_leads_elsewhere_or_lacks_a_part_is_not_sealed() {
        type Files = Vec<(String, Vec<u8>)>;
        let with = |change: fn(&mut Table, &mut Files)| {
            let (mut table, mut files) = (table(), files());
            change(&mut table, &mut files);
            seal(table, &files, &key(7)).unwrap_err().to_string()
        };
        for path in ["../x", "/etc/x", "a/b", "canary/../x", "canary/", ".hidden", "canary/a b"] {
            let mut files = files();
            path.clone_into(&mut files[2].0);
            let told = seal(table(), &files, &key(7)).unwrap_err().to_string();
            assert!(told.contains("wanted a plain name"), "{path}: {told}");
        }
        assert!(with(|_, files| files[2].0 = "model.onnx".to_owned()).contains("twice"));
        assert!(with(|_, files| drop(files.remove(0))).contains("no manifest.toml"));
        assert!(with(|_, files| drop(files.pop())).contains("a.png"));
        assert!(with(|table, _| table.canaries.clear()).contains("canary"));
        assert!(with(|table, _| table.model_version = "1-2".to_owned()).contains("version"));
        assert!(with(|table, _| table.least = 1001).contains("1001"));
    }
}
