//! Models that come from the centre: packages, the shelf that they lie on, what is in force, and the way back.
//!
//! | file | what |
//! |---|---|
//! | [`package`] | one signed file: manifest, model, card, canary pictures |
//! | [`canary`] | what a model must see in them, and how it did |
//! | [`shelf`] | packages unpacked under `data_dir/managed/models/<name>-<version>/`, few and bounded |
//! | [`force`] | which of them are in force, on probation or for good, and which were before |
//!
//! A package is verified before it is unpacked, tried on its canary pictures before it is kept, and tried again with the
//! models that it would work with before it is put in force. What it is put in force for is a [`Task`]: it takes the place
//! of the model that `[vision]` names for that task, and never switches a task on that the configuration has off. Nothing
//! here runs a model: the wiring does, in a process of its own ([`super::Controls::try_models`]).

pub mod canary;
pub mod force;
pub mod package;
pub mod shelf;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::Refusal;
use crate::centre::cose;
use crate::domain::Reason;

pub use canary::{Canary, Score, Seen};
pub use force::{Force, Set};
pub use package::{Package, Table};
pub use shelf::{Shelf, Shelved};

/// Longest name of a model, in bytes.
pub const MAX_NAME: usize = 32;
/// Longest version of a model, in bytes.
pub const MAX_VERSION: usize = 16;

/// What a model does on a box: the keys of `[vision]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Task {
    /// Finds plates.
    #[n(0)]
    Detector,
    /// Reads them.
    #[n(1)]
    Reader,
    /// Corrects their corners.
    #[n(2)]
    Corners,
    /// Finds vehicles and persons.
    #[n(3)]
    Vehicles,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Detector, Self::Reader, Self::Corners, Self::Vehicles];

    /// The word in JSON, on the command line and in `[vision]`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Reader => "reader",
            Self::Corners => "corners",
            Self::Vehicles => "vehicles",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|task| task.as_str() == text);
        found.ok_or_else(|| format!("is {text:?}, wanted one of detector, reader, corners, vehicles"))
    }
}

/// What is to be run on which pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The models that take the place of those that `[vision]` names; a task once.
    pub models: Vec<Chosen>,
    /// The pictures.
    pub pictures: Vec<Picture>,
}

/// A model of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What it is to do.
    pub task: Task,
    /// The name that its manifest has to say.
    pub name: String,
    /// The version that its manifest has to say.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// A picture of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its file.
    pub path: PathBuf,
    /// It is one plate, edge to edge.
    pub crop: bool,
}

/// The models of a box, without those that lie on the shelf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    /// Those that are loaded.
    pub loaded: Vec<Told>,
    /// Those that `[vision]` names, or would if they were asked for, in the folder of models that came with the program.
    pub shipped: Vec<Told>,
}

/// One model, in short.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Told {
    /// What it does here; of one that is not loaded, what it can do: nothing where that is not told by its family.
    #[n(0)]
    pub task: Option<Task>,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Its version.
    #[n(2)]
    pub version: String,
    /// SHA-256 of the model's file: what `health` and the `state` of alerts name it by.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// It came from the centre.
    #[n(4)]
    pub from_centre: bool,
}

/// Why a package or a model cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file, or damaged.
    #[error("not a model package: {0}")]
    Form(String),
    /// Of a later format.
    #[error("a model package of format {got}, this program knows {}: update it", package::VERSION)]
    Version {
        /// What the file says.
        got: u8,
    },
    /// The signature is not that of a fleet key.
    #[error("the package's signature: {0}")]
    Signature(#[from] cose::Error),
    /// A file of it is not the one that was signed.
    #[error("{file} of the package has another SHA-256 than the signed table says: it was changed; pack it anew")]
    Digest {
        /// Which.
        file: String,
    },
    /// Larger or more than is taken.
    #[error("{0}")]
    Bound(String),
    /// A model of that name and version is there with other contents.
    #[error("{0} is here with other contents: give the changed model another version")]
    Conflict(String),
    /// There is no such model on the shelf.
    #[error("no model {0} came to this box: send it with model.put, or see model.list")]
    NotFound(String),
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that we wrote is not as we wrote it.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    pub(super) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Version { .. } => Reason::Version,
            Error::Signature(cose::Error::UnknownKey { .. }) => Reason::UnknownKey,
            Error::Signature(cose::Error::Signature { .. }) => Reason::Signature,
            Error::Form(_) | Error::Signature(_) => Reason::Malformed,
            Error::Digest { .. } => Reason::Digest,
            Error::Bound(_) => Reason::Bound,
            Error::Conflict(_) => Reason::Conflict,
            Error::NotFound(_) => Reason::NotFound,
            Error::Io { .. } | Error::Damaged { .. } => Reason::Internal,
        };
        Self::new(reason, error.to_string())
    }
}

/// `name` and `version` as one word, as folders and people call a model.
#[must_use]
pub fn full_name(name: &str, version: &str) -> String {
    format!("{name}-{version}")
}

/// Whether a name and a version may be a folder's: no way out of it, and `name-version` can be taken apart again.
///
/// # Errors
/// What is wrong with which.
pub fn check_name(name: &str, version: &str) -> Result<(), String> {
    let plain = |text: &str, most: usize, more: u8| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == more)
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    if !plain(name, MAX_NAME, b'-') {
        return Err(format!("name {name:?}: wanted 1 to {MAX_NAME} of a-z, 0-9 and -, not with - at the start"));
    }
    if !plain(version, MAX_VERSION, b'.') {
        return Err(format!(
            "version {version:?}: wanted 1 to {MAX_VERSION} of a-z, 0-9 and ., not with . at the start"
        ));
    }
    Ok(())
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    out.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else_and_come_apart_again() {
        assert_eq!(check_name("reader-1", "0.2.0"), Ok(()));
        for (name, version) in [
            ("", "1"),
            ("..", "1"),
            ("-a", "1"),
            ("a/b", "1"),
            ("Reader", "1"),
            ("a", ""),
            ("a", "../1"),
            ("a", ".1"),
            ("a", "1-2"),
            ("a", "12345678901234567"),
        ] {
            assert!(check_name(name, version).is_err(), "{name:?} {version:?}");
        }
        for task in Task::ALL {
            assert_eq!(task.as_str().parse(), Ok(task));
        }
        assert!("eyes".parse::<Task>().unwrap_err().contains("vehicles"));
    }
}
