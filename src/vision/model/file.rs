//! A model's bytes: read once, bounded, those that the manifest was written for, and looked over.

use std::io::Read;
use std::path::Path;

use super::{Manifest, inspect};
use crate::vision::Error;

/// Largest model file that is loaded.
pub const MAX_MODEL_BYTES: u64 = 200 * 1024 * 1024;

/// The model's bytes, when their digest is the manifest's and nothing in them is to be refused.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::TooLarge`], [`Error::Digest`], [`Error::Refused`].
pub fn read_checked(manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let path = manifest.model_path();
    let bytes = read_bounded(&path, MAX_MODEL_BYTES)?;
    let refused = |refusal| Error::Refused { path: path.clone(), refusal };
    // What is no model at all has another digest too, but that would not help anybody.
    inspect::recognise(&bytes).map_err(refused)?;
    same_digest(&path, &bytes, &manifest.sha256)?;
    inspect::inspect(&bytes).map_err(refused)?;
    Ok(bytes)
}

/// Whether `bytes`, which were read from `path`, have the digest `want`.
///
/// # Errors
/// [`Error::Digest`].
pub(super) fn same_digest(path: &Path, bytes: &[u8], want: &str) -> Result<(), Error> {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let got = digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if got.eq_ignore_ascii_case(want) {
        return Ok(());
    }
    Err(Error::Digest { path: path.to_path_buf(), got, want: want.to_ascii_lowercase() })
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::TooLarge`].
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |e: std::io::Error| Error::Unreadable { path: path.to_path_buf(), reason: e.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > limit {
        return Err(Error::TooLarge { path: path.to_path_buf(), bytes, limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    // A file may grow while it is read; what is beyond the limit is not taken, and the digest then tells.
    file.take(limit).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}
