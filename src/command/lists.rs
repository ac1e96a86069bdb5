//! Hotlists of the centre: whose signature a package needs, and the shelf where lists lie sealed.
//!
//! ```text
//! data_dir/hotlists/<id>.list    sealed under the store key (store::sealed, name "hotlist/<id>"):
//!                                a package (hotlist::package) whose envelope is that of the newest package or delta, and
//!                                whose body is the whole list
//! ```
//! A list is on the disk before it comes into force, and is at its place whole or as it was before. Opening one does not
//! ask for the signer's key again: who sealed it has checked that, and a key that ended since does not take a list out of
//! force. A damaged file takes its own list out of force and nothing else.
//!
//! Called by the operations of hotlists and, at the start, by the wiring; `watchpostctl` makes packages with
//! [`sign`].

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::centre::cose;
use crate::centre::keys::{Keys, Kid, SigningKey};
use crate::domain::{ListId, Reason};
use crate::hotlist::delta::{self, Change};
use crate::hotlist::package::{self, AAD, Header};
use crate::hotlist::{self, List};
use crate::store::sealed::{SealedReader, SealedWriter};
use crate::store::{self, Vault};

/// Folder of the lists, below the data folder.
pub const FOLDER: &str = "hotlists";
/// Most lists of the centre on one box.
pub const MAX_LISTS: usize = 32;
/// Most entries of all lists together: 160 MB of memory.
pub const MAX_TOTAL: usize = 4_000_000;

/// Why a package or a file of the shelf is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list itself.
    #[error(transparent)]
    List(#[from] hotlist::Error),
    /// The signature.
    #[error("the package's signature: {0}")]
    Signature(#[from] cose::Error),
    /// The sealed file.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another list than the file's name says.
    #[error("{} holds list {got}", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What is in it.
        got: ListId,
    },
}

impl From<hotlist::Error> for Refusal {
    fn from(error: hotlist::Error) -> Self {
        let reason = match &error {
            hotlist::Error::Unreadable { .. } => Reason::Internal,
            hotlist::Error::TooLarge { .. } => Reason::TooLarge,
            hotlist::Error::Header { .. } | hotlist::Error::Package { .. } => Reason::Malformed,
            hotlist::Error::BadLines { .. } | hotlist::Error::BadEntries { .. } => Reason::Verification,
            hotlist::Error::Digest { .. } => Reason::Digest,
            hotlist::Error::OtherBase { .. } => Reason::OtherBase,
            hotlist::Error::Growth { .. } => Reason::Bound,
            hotlist::Error::OlderSerial { .. } => Reason::OlderSerial,
            hotlist::Error::NumberTaken { .. } => Reason::Conflict,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::List(error) => return error.into(),
            Error::Signature(cose::Error::UnknownKey { .. }) => Reason::UnknownKey,
            Error::Signature(cose::Error::Signature { .. }) => Reason::Signature,
            Error::Signature(_) => Reason::Malformed,
            Error::Store(_) | Error::Io { .. } | Error::Misplaced { .. } => Reason::Internal,
        };
        Self::new(reason, error.to_string())
    }
}

/// A package of `header` and `body`, signed.
///
/// # Errors
/// When the header is larger than an envelope may be: it names too many states and categories.
pub fn sign(header: &Header, body: &[u8], key: &SigningKey) -> Result<Vec<u8>, cose::Error> {
    Ok(package::join(&cose::sign(&header.payload(), AAD, key)?, body))
}

/// A package, verified but for its body.
#[derive(Debug)]
pub struct Package<'a> {
    /// What was signed.
    pub header: Header,
    /// By whom.
    pub kid: Kid,
    /// The signed envelope.
    pub envelope: &'a [u8],
    /// What follows it.
    pub body: &'a [u8],
}

impl<'a> Package<'a> {
    /// Verifies the envelope against `keys`, those of the lists role.
    ///
    /// # Errors
    /// Each way to be wrong is its own [`Error`].
    pub fn open(bytes: &'a [u8], keys: &Keys) -> Result<Self, Error> {
        let (envelope, body) = package::split(bytes)?;
        let opened = cose::verify(envelope, AAD, keys, cose::MAX_ENVELOPE)?;
        Ok(Self { header: Header::parse(&opened.payload)?, kid: opened.kid, envelope, body })
    }

    /// Checks the form alone: what it says is **not** to be trusted. For people who look at a file.
    ///
    /// # Errors
    /// As [`Package::open`], but for key and signature.
    pub fn inspect(bytes: &'a [u8]) -> Result<Self, Error> {
        let (envelope, body) = package::split(bytes)?;
        let opened = cose::inspect(envelope, cose::MAX_ENVELOPE)?;
        Ok(Self { header: Header::parse(&opened.payload)?, kid: opened.kid, envelope, body })
    }
}

/// The sealed lists of a box.
#[derive(Debug, Clone)]
pub struct Shelf {
    dir: PathBuf,
    vault: Vault,
}

/// A list that is written and not yet at its place.
pub struct Draft {
    /// As it will be in force.
    pub list: List,
    writer: SealedWriter,
}

impl Draft {
    /// Puts the file at its place, durable, and gives the list that may come into force now.
    ///
    /// # Errors
    /// I/O errors: the list of before is there still.
    pub fn keep(self) -> Result<List, Error> {
        self.writer.finish()?;
        Ok(self.list)
    }
}

impl Shelf {
    /// The shelf below `data_dir`.
    #[must_use]
    pub fn new(data_dir: &Path, vault: Vault) -> Self {
        Self { dir: data_dir.join(FOLDER), vault }
    }

    /// The lists that lie here, by name; none when there is no folder.
    ///
    /// # Errors
    /// When the folder can't be listed.
    pub fn lists(&self) -> Result<Vec<ListId>, Error> {
        let io = |source| Error::Io { path: self.dir.clone(), source };
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io(e)),
        };
        let mut lists = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".list")).map(ListId::new);
            lists.extend(id.and_then(Result::ok));
        }
        lists.sort_unstable();
        Ok(lists)
    }

    /// Checks a whole list and writes it, not yet at its place.
    ///
    /// # Errors
    /// What [`package::load`] has; I/O errors.
    pub fn draft(&self, package: &Package<'_>) -> Result<Draft, Error> {
        let list = package::load(&package.header, package.body)?;
        let mut writer = self.begin(package)?;
        writer.write_all(package.body).map_err(|source| self.io(&package.header.list, source))?;
        Ok(Draft { list, writer })
    }

    /// Applies a delta to the list that lies here, and writes what it makes, not yet at its place.
    ///
    /// # Errors
    /// What [`delta::apply`] has; when the list that it builds on can't be read.
    pub fn draft_patched(&self, package: &Package<'_>) -> Result<(Draft, Change), Error> {
        let (base, body) = self.open(&package.header.list)?;
        let mut writer = self.begin(package)?;
        let (list, change) = delta::apply(&package.header, package.body, (&base, body), &mut writer)?;
        Ok((Draft { list, writer }, change))
    }

    /// The list that lies here.
    ///
    /// # Errors
    /// When it can't be read, or is not what was sealed.
    pub fn load(&self, id: &ListId) -> Result<List, Error> {
        let (header, body) = self.open(id)?;
        Ok(package::load(&header, body)?)
    }

    /// Header of the list that lies here.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn header(&self, id: &ListId) -> Result<Header, Error> {
        self.open(id).map(|(header, _)| header)
    }

    /// Takes the list away; whether there was one.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, id: &ListId) -> Result<bool, Error> {
        Ok(self.vault.remove(&self.path(id))?)
    }

    fn path(&self, id: &ListId) -> PathBuf {
        self.dir.join(format!("{id}.list"))
    }

    fn io(&self, id: &ListId, source: std::io::Error) -> Error {
        Error::Io { path: self.path(id), source }
    }

    fn begin(&self, package: &Package<'_>) -> Result<SealedWriter, Error> {
        let id = &package.header.list;
        let mut writer = self.vault.create(&self.path(id), &name(id))?;
        let io = |source| self.io(id, source);
        writer.write_all(&package::prefix(package.envelope)).map_err(io)?;
        writer.write_all(package.envelope).map_err(io)?;
        Ok(writer)
    }

    /// Header and whole body of the list that lies here.
    fn open(&self, id: &ListId) -> Result<(Header, SealedReader), Error> {
        let mut file = self.vault.open(&self.path(id), &name(id))?;
        let io = |source| self.io(id, source);
        let mut prefix = [0; 12];
        file.read_exact(&mut prefix).map_err(io)?;
        let mut envelope = vec![0; package::envelope_length(prefix)?];
        file.read_exact(&mut envelope).map_err(io)?;
        let header = Header::parse(&cose::inspect(&envelope, cose::MAX_ENVELOPE)?.payload)?;
        if header.list != *id {
            return Err(Error::Misplaced { path: self.path(id), got: header.list });
        }
        Ok((header, file))
    }
}

fn name(id: &ListId) -> String {
    format!("hotlist/{id}")
}
