//! The characters of a reader: in its manifest, or in a dictionary beside it with one a line, as PaddleOCR keeps them.
//!
//! Models know more than plates have; what a character becomes is `vision::legend`'s. The dictionary decides what a read
//! says, so it has a digest as the model has.

use std::path::Path;

use super::faults::{is_digest, is_plain};
use super::file::{read_bounded, same_digest};
use super::{Family, Manifest};
use crate::vision::Error;
use crate::vision::legend::folded;

/// Largest dictionary, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

impl Manifest {
    /// Hands every fault of the alphabet that the manifest alone shows to `check`.
    pub(super) fn alphabet_faults(&self, check: &mut impl FnMut(bool, String)) {
        let mut seen = std::collections::BTreeSet::new();
        let once = self.alphabet.chars().all(|c| seen.insert(c));
        check(once, format!("alphabet = {:?}: must name each character once", self.alphabet));
        if let Some(file) = &self.alphabet_file {
            check(is_plain(file), format!("alphabet_file = {file:?}: must name a file in the manifest's own folder"));
            let digest = self.alphabet_sha256.as_deref().unwrap_or_default();
            check(is_digest(digest), format!("alphabet_sha256 = {digest:?}: must be 64 hexadecimal digits"));
        } else {
            check(self.alphabet_sha256.is_none(), "alphabet_sha256: there is no alphabet_file".into());
            self.characters_faults(check);
        }
    }

    /// Hands the faults of the whole alphabet to `check`.
    fn characters_faults(&self, check: &mut impl FnMut(bool, String)) {
        let known = self.characters.iter().filter_map(|c| folded(c)).collect::<std::collections::BTreeSet<_>>();
        let count = known.len();
        check(count >= 2, format!("alphabet: {count} of its characters are of A-Z and 0-9, two or more must be"));
        let pad = self.decode.pad();
        let has = self.family != Family::Slots || self.characters.iter().any(|c| c == pad);
        check(has, format!("decode.pad = {pad:?}: must be in the alphabet"));
    }

    /// Reads the dictionary, when the manifest names one; its characters come before those of `alphabet`.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::TooLarge`], [`Error::Digest`], and [`Error::Manifest`] for `manifest` when nothing
    /// that plates have is in it.
    pub(super) fn read_dictionary(&mut self, manifest: &Path) -> Result<(), Error> {
        let Some(file) = &self.alphabet_file else { return Ok(()) };
        let path = self.folder.join(file);
        let bytes = read_bounded(&path, MAX_BYTES)?;
        same_digest(&path, &bytes, self.alphabet_sha256.as_deref().unwrap_or_default())?;
        let text =
            String::from_utf8(bytes).map_err(|e| Error::Unreadable { path: path.clone(), reason: e.to_string() })?;
        let mut characters: Vec<String> = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
        characters.append(&mut self.characters);
        self.characters = characters;
        let mut faults = Vec::new();
        self.characters_faults(&mut |good, fault| {
            if !good {
                faults.push(fault);
            }
        });
        if faults.is_empty() { Ok(()) } else { Err(Error::Manifest { path: manifest.to_path_buf(), faults }) }
    }
}
