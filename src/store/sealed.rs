//! Whole files that lie sealed under the store key: what the centre sends and the box keeps (lists, for one).
//!
//! ```text
//!  0  8  "WPSEAL\0\1"               the last byte is the version
//!  8 16  salt, random
//! 24  …  chunks: up to 65,536 bytes of content as ciphertext ‖ tag 16; all but the last are full
//! ```
//! AES-256-GCM under a key of this file alone: HKDF-SHA-256 of the store key, labelled "file", with the salt. The nonce
//! of a chunk is its number (11 bytes, big-endian, from 0) and a byte that is 1 for the last (STREAM of Hoang,
//! Reyhanitabar, Rogaway and Vizár, 2015): chunks can't be left out, swapped or taken off the end. The additional data
//! is the caller's name for the file, so that no file stands in for another.
//!
//! Written beside its place, synced, then renamed: a file is there whole or as it was before. Reading and writing take
//! one chunk of memory. Any thread; calls block on the disk.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::disk::{Disk, DiskFile, RealDisk};
use super::error::Error;
use super::seal::StoreKey;

const MAGIC: &[u8; 8] = b"WPSEAL\0\x01";
const SALT_LEN: usize = 16;
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

/// Seals files and opens them; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    secret: hkdf::Prk,
    disk: Arc<dyn Disk>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(hidden)")
    }
}

impl Vault {
    /// Of a store's key.
    #[must_use]
    pub fn new(key: &StoreKey) -> Self {
        Self::on(Arc::new(RealDisk), key)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, key: &StoreKey) -> Self {
        Self { secret: key.files(), disk }
    }

    /// Begins a file at `path` that will be opened by the same `name`.
    ///
    /// # Errors
    /// I/O errors; [`Error::Crypto`].
    pub fn create(&self, path: &Path, name: &str) -> Result<SealedWriter, Error> {
        let mut salt = [0; SALT_LEN];
        SystemRandom::new().fill(&mut salt).map_err(|_| Error::Crypto("the system gave no random bytes"))?;
        self.create_salted(path, name, salt)
    }

    fn create_salted(&self, path: &Path, name: &str, salt: [u8; SALT_LEN]) -> Result<SealedWriter, Error> {
        let beside = path.with_added_extension("part");
        match self.disk.remove(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &beside)(e)),
            _ => {}
        }
        if let Some(dir) = path.parent() {
            self.disk.make_dir(dir).map_err(Error::io("make", dir))?;
        }
        let mut file = self.disk.create(&beside).map_err(Error::io("make", &beside))?;
        let mut head = MAGIC.to_vec();
        head.extend(salt);
        file.append(&head).map_err(Error::io("write", &beside))?;
        Ok(SealedWriter {
            disk: Arc::clone(&self.disk),
            file,
            stream: Stream { key: self.key(&salt)?, number: 0, name: name.to_owned() },
            plain: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)),
            path: path.to_owned(),
            beside: Some(beside),
        })
    }

    /// Opens the file at `path` that was sealed by `name`, to be read from its begin to its end.
    ///
    /// # Errors
    /// I/O errors; [`Error::Unsealed`] when it is no sealed file. What is damaged further on is an error of reading.
    pub fn open(&self, path: &Path, name: &str) -> Result<SealedReader, Error> {
        let mut file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        let mut head = [0; MAGIC.len() + SALT_LEN];
        let damaged = || Error::Unsealed { what: path.display().to_string() };
        file.read_exact(&mut head).map_err(|_| damaged())?;
        let salt = head.strip_prefix(MAGIC).and_then(|salt| <[u8; SALT_LEN]>::try_from(salt).ok());
        let key = self.key(&salt.ok_or_else(damaged)?)?;
        Ok(SealedReader {
            file,
            stream: Stream { key, number: 0, name: name.to_owned() },
            path: path.to_owned(),
            ahead: Vec::new(),
            plain: Zeroizing::new(Vec::new()),
            at: 0,
            over: false,
        })
    }

    /// Seals `content` into a file at `path`; durable when it returns.
    ///
    /// # Errors
    /// As [`Vault::create`] and [`SealedWriter::finish`].
    pub fn write(&self, path: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
        let mut file = self.create(path, name)?;
        file.write_all(content).map_err(Error::io("write", path))?;
        file.finish()
    }

    /// The content of a file of at most `max` bytes of content.
    ///
    /// # Errors
    /// As [`Vault::open`]; [`Error::Unsealed`] when it is damaged or larger.
    pub fn read(&self, path: &Path, name: &str, max: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.open(path, name)?.take(limit).read_to_end(&mut content);
        match read {
            Ok(n) if n <= max => Ok(content),
            _ => Err(Error::Unsealed { what: path.display().to_string() }),
        }
    }

    /// Removes a file; whether there was one.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, path: &Path) -> Result<bool, Error> {
        match self.disk.remove(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            done => done.map_err(Error::io("remove", path))?,
        }
        path.parent().map_or(Ok(()), |dir| self.disk.sync_dir(dir)).map_err(Error::io("sync", path))?;
        Ok(true)
    }

    fn key(&self, salt: &[u8; SALT_LEN]) -> Result<LessSafeKey, Error> {
        let refused = |_| Error::Crypto("key derivation refused");
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let info: [&[u8]; 2] = [b"file", salt];
        let okm = self.secret.expand(&info, &AES_256_GCM).map_err(refused)?;
        okm.fill(bytes.as_mut_slice()).map_err(refused)?;
        UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map(LessSafeKey::new).map_err(|_| Error::Crypto("key refused"))
    }
}

/// The chunks of one file.
struct Stream {
    key: LessSafeKey,
    number: u64,
    name: String,
}

impl Stream {
    fn nonce(&mut self, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let tail = self.number.to_be_bytes().into_iter().chain([u8::from(last)]);
        nonce.iter_mut().skip(NONCE_LEN - 9).zip(tail).for_each(|(to, from)| *to = from);
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, plain: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let nonce = self.nonce(last);
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(self.name.as_bytes()), plain);
        sealed.map_err(|_| io::Error::other("sealing refused"))
    }

    fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> Option<()> {
        let nonce = self.nonce(last);
        let len = self.key.open_in_place(nonce, Aad::from(self.name.as_bytes()), chunk).ok()?.len();
        chunk.truncate(len);
        Some(())
    }
}

/// A sealed file while it is written. It is at its place only after [`SealedWriter::finish`]; dropped before, nothing of it
/// stays.
pub struct SealedWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    stream: Stream,
    plain: Zeroizing<Vec<u8>>,
    path: PathBuf,
    beside: Option<PathBuf>,
}

impl std::fmt::Debug for SealedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedWriter({})", self.path.display())
    }
}

impl SealedWriter {
    /// Seals what is left, and returns when the file is durable at its place.
    ///
    /// # Errors
    /// I/O errors: what was there before is there still.
    pub fn finish(mut self) -> Result<(), Error> {
        let path = self.path.clone();
        self.chunk(true).map_err(Error::io("write", &path))?;
        self.file.sync().map_err(Error::io("sync", &path))?;
        if let Some(beside) = self.beside.take() {
            self.disk.rename(&beside, &path).map_err(Error::io("rename to", &path))?;
        }
        path.parent().map_or(Ok(()), |dir| self.disk.sync_dir(dir)).map_err(Error::io("sync", &path))
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        self.stream.seal(&mut self.plain, last)?;
        self.file.append(&self.plain)?;
        self.plain.clear();
        Ok(())
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is known whether another follows.
        if self.plain.len() == CHUNK {
            self.chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.plain.len());
        self.plain.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SealedWriter {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside
            && let Err(error) = self.disk.remove(beside)
        {
            tracing::warn!(path = %beside.display(), %error, "unfinished sealed file left behind");
        }
    }
}

/// A sealed file while it is read. An error of kind `InvalidData` says that it is damaged.
pub struct SealedReader {
    file: std::fs::File,
    stream: Stream,
    path: PathBuf,
    /// Ciphertext that was read already: whether a chunk is the last shows only behind it.
    ahead: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    over: bool,
}

impl std::fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedReader({})", self.path.display())
    }
}

impl SealedReader {
    fn next(&mut self) -> io::Result<()> {
        let full = CHUNK + TAG;
        let want = u64::try_from(full + 1 - self.ahead.len()).unwrap_or(0);
        (&mut self.file).take(want).read_to_end(&mut self.ahead)?;
        self.over = self.ahead.len() <= full;
        let rest = if self.over { Vec::new() } else { self.ahead.split_off(full) };
        let mut chunk = Zeroizing::new(std::mem::replace(&mut self.ahead, rest));
        let opened = self.stream.open(&mut chunk, self.over);
        let damaged = || {
            let what = format!("{} is damaged, or was not sealed by this store", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        opened.ok_or_else(damaged)?;
        (self.plain, self.at) = (chunk, 0);
        Ok(())
    }
}

impl Read for SealedReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() && !self.over {
            if let Err(error) = self.next() {
                // No second answer after a bad one: the rest would be out of step.
                (self.over, self.at) = (true, self.plain.len());
                return Err(error);
            }
        }
        let rest = self.plain.get(self.at..).unwrap_or_default();
        let given = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&StoreKey::from_bytes([9; 32]))
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    #[test]
    fn sealed_files_are_as_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = vault().create_salted(&path, "hotlist/wanted", [7; SALT_LEN]).unwrap();
        file.write_all(b"a list").unwrap();
        file.finish().unwrap();
        crate::store::golden("sealed-1.bin", &std::fs::read(&path).unwrap());
    }

    #[test]
    fn what_is_sealed_comes_back_by_its_name_and_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/f");
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
            vault().write(&path, "a", &content(len)).unwrap();
            assert!(vault().read(&path, "a", len).unwrap() == content(len), "{len}");
            assert!(len == 0 || vault().read(&path, "a", len - 1).is_err(), "{len}");
            assert!(vault().read(&path, "b", len).is_err());
            assert!(Vault::new(&StoreKey::from_bytes([8; 32])).read(&path, "a", len).is_err());
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert!(vault().remove(&path).unwrap() && !vault().remove(&path).unwrap());
    }

    #[test]
    fn every_cut_swap_and_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        vault().write(&path, "a", &content(2 * CHUNK + 9)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            assert!(vault().read(&path, "a", usize::MAX - 1).is_err(), "{what}");
        };
        let (head, sealed) = (24, CHUNK + TAG);
        for at in [0, 7, 8, 23, 24, head + sealed - 1, head + sealed, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            refused(&bad, &format!("byte {at}"));
        }
        for len in [0, 7, 24, head + 5, head + sealed, head + 2 * sealed, bytes.len() - 1] {
            refused(&bytes[..len], &format!("cut to {len}"));
        }
        let (one, two) = (&bytes[head..head + sealed], &bytes[head + sealed..head + 2 * sealed]);
        refused(&[&bytes[..head], two, one, &bytes[head + 2 * sealed..]].concat(), "swapped");
        refused(&[&bytes[..head], two, &bytes[head + 2 * sealed..]].concat(), "one left out");
        refused(&[&bytes[..], &[0]].concat(), "one byte more");
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        vault().write(&path, "a", b"old").unwrap();
        let mut file = vault().create(&path, "a").unwrap();
        file.write_all(&content(CHUNK * 2)).unwrap();
        drop(file);
        assert_eq!(vault().read(&path, "a", 9).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
