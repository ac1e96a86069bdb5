//! Large contents of commands: lists, models, configurations, in chunks of `blob/<sha256>/<n>`.
//!
//! Chunks are unsigned, so only those of a wanted blob are taken: a signed command names digest and length, finds that
//! the blob is not here, and is refused with `blob-missing` and the ranges of chunks that are missing; the centre sends
//! those and asks again. What has come is kept over reconnects for at most 24 h, bounded in number and bytes; when the
//! room is full the oldest goes. A blob that is whole and does not have its digest is dropped whole.
//!
//! ```text
//! data_dir/blobs/<sha256>: one slot a chunk, at n × (60 KiB + 28): nonce (12) ‖ AES-256-GCM of the chunk ‖ tag (16)
//! ```
//! Lists name plates, so chunks lie sealed, under a key that lives in memory alone: what a daemon took is readable by
//! nobody once it has ended, and is cleared away at the next start. AAD: sha256 ‖ length ‖ n.
//!
//! Called by the session and the unix socket ([`Blobs::take`]) and by operations ([`Blobs::get`]). Calls read and write
//! the disk and hold one lock.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Refusal, ops};
pub use crate::centre::wire::{BlobRef, CHUNK, Missing};
use crate::clock::Clock;
use crate::domain::Reason;

/// Largest blob, in bytes.
pub const MAX_BLOB: u64 = 96 << 20;
/// Most blobs that are wanted or here.
const MAX_BLOBS: usize = 16;
/// Most bytes of all of them, as they were announced.
const MAX_TOTAL: u64 = 192 << 20;
/// How long what came is kept.
const KEPT: Duration = Duration::from_hours(24);
/// Most ranges of missing chunks that are told at once.
const MAX_RANGES: usize = 64;
/// Stays free on the disk.
const RESERVE: u64 = 64 << 20;
const TAG: usize = 16;
const SLOT: u64 = (CHUNK + NONCE_LEN + TAG) as u64;

/// What is here and wanted of large contents; cheap to clone.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    clock: Clock,
    key: LessSafeKey,
    random: SystemRandom,
    wanted: Mutex<HashMap<[u8; 32], Wanted>>,
}

struct Wanted {
    blob: BlobRef,
    since: Duration,
    here: Vec<bool>,
    file: File,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blobs({})", self.0.dir.display())
    }
}

impl Blobs {
    /// An empty room in the folder `dir`, which is cleared: what a daemon of before left there has no key any more.
    ///
    /// # Errors
    /// When the folder cannot be made or cleared, or the system gives no random bytes.
    pub fn open(dir: PathBuf, clock: Clock) -> io::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let random = SystemRandom::new();
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let none = || io::Error::other("the system gave no random bytes");
        random.fill(key.as_mut_slice()).map_err(|_| none())?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| none())?);
        Ok(Self(Arc::new(Inner { dir, clock, key, random, wanted: Mutex::default() })))
    }

    /// The content that `blob` names.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`] with a [`Missing`] as result when it is not here whole: its chunks are wanted from then
    /// on. [`Reason::Bound`] when it is larger than is taken or the disk has no room, [`Reason::Digest`] when what came
    /// was something else (it was dropped).
    pub fn get(&self, blob: BlobRef) -> Result<Vec<u8>, Refusal> {
        let mut wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.expire(&mut wanted);
        let Some(entry) = wanted.get(&blob.sha256).filter(|entry| entry.blob == blob) else {
            return Err(self.want(&mut wanted, blob));
        };
        if entry.here.iter().any(|here| !here) {
            return Err(entry.missing());
        }
        let content = self.0.read(entry).map_err(|error| internal(&error))?;
        if BlobRef::of(&content) == blob {
            return Ok(content);
        }
        self.drop_entry(&mut wanted, &blob.sha256);
        let text = "what came as this blob does not have its digest and was dropped: send it anew";
        Err(Refusal::new(Reason::Digest, text))
    }

    /// Lets go of a blob that has done its service.
    pub fn forget(&self, blob: &BlobRef) {
        let mut wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_entry(&mut wanted, &blob.sha256);
    }

    /// Takes chunk `n` of the blob `sha256`; false when it is not wanted, is here already, or has a wrong length.
    pub fn take(&self, sha256: &[u8; 32], n: u32, bytes: &[u8]) -> bool {
        let mut wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = wanted.get_mut(sha256) else { return false };
        let (blob, at) = (entry.blob, usize::try_from(n).unwrap_or(usize::MAX));
        let Some(here) = entry.here.get_mut(at).filter(|here| !**here) else { return false };
        if bytes.len() != length_of(&blob, n) {
            return false;
        }
        match self.0.write(&entry.file, &blob, n, bytes) {
            Ok(()) => *here = true,
            Err(error) => {
                tracing::error!(%error, dir = %self.0.dir.display(), "a chunk of a blob cannot be written");
                return false;
            }
        }
        true
    }

    /// Notes that `blob` is wanted; gives the refusal that says so.
    fn want(&self, wanted: &mut HashMap<[u8; 32], Wanted>, blob: BlobRef) -> Refusal {
        if blob.bytes == 0 || blob.bytes > MAX_BLOB {
            let text = format!("a blob of {} bytes: 1 to {MAX_BLOB} are taken", blob.bytes);
            return Refusal::new(Reason::Bound, text);
        }
        self.drop_entry(wanted, &blob.sha256);
        let total = |w: &HashMap<[u8; 32], Wanted>| w.values().map(|entry| entry.blob.bytes).sum::<u64>();
        while wanted.len() >= MAX_BLOBS || total(wanted) + blob.bytes > MAX_TOTAL {
            let Some(oldest) = wanted.values().min_by_key(|entry| entry.since).map(|entry| entry.blob.sha256) else {
                break;
            };
            self.drop_entry(wanted, &oldest);
        }
        if let Ok(free) = free(&self.0.dir)
            && free < blob.bytes.saturating_add(RESERVE)
        {
            let text = format!("{free} bytes are free on the disk, {} and a reserve are needed", blob.bytes);
            return Refusal::new(Reason::Bound, text);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(&blob.sha256));
        match file {
            Ok(file) => {
                let chunks = usize::try_from(blob.chunks()).unwrap_or(usize::MAX);
                let entry = Wanted { blob, since: self.0.clock.monotonic(), here: vec![false; chunks], file };
                let refusal = entry.missing();
                wanted.insert(blob.sha256, entry);
                refusal
            }
            Err(error) => internal(&error),
        }
    }

    fn expire(&self, wanted: &mut HashMap<[u8; 32], Wanted>) {
        let now = self.0.clock.monotonic();
        let old = wanted.values().filter(|entry| now >= entry.since + KEPT).map(|entry| entry.blob.sha256);
        for sha256 in old.collect::<Vec<_>>() {
            self.drop_entry(wanted, &sha256);
        }
    }

    fn drop_entry(&self, wanted: &mut HashMap<[u8; 32], Wanted>, sha256: &[u8; 32]) {
        if wanted.remove(sha256).is_some()
            && let Err(error) = fs::remove_file(self.path(sha256))
        {
            tracing::warn!(%error, dir = %self.0.dir.display(), "a blob's file cannot be removed");
        }
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.0.dir.join(data_encoding::HEXLOWER.encode(sha256))
    }
}

impl Wanted {
    fn missing(&self) -> Refusal {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (n, _) in (0_u32..).zip(&self.here).filter(|(_, here)| !**here) {
            let full = ranges.len() >= MAX_RANGES;
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == n => *last = n,
                _ if full => break,
                _ => ranges.push((n, n)),
            }
        }
        let here = self.here.iter().filter(|here| **here).count();
        let text = format!("{here} of {} chunks of the blob are here: send the others and ask again", self.here.len());
        let result = ops::encode(&Missing { blob: self.blob, ranges });
        Refusal::new(Reason::BlobMissing, text).with(result)
    }
}

impl Inner {
    fn write(&self, file: &File, blob: &BlobRef, n: u32, bytes: &[u8]) -> io::Result<()> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| io::Error::other("the system gave no random bytes"))?;
        let mut slot = nonce.to_vec();
        let mut sealed = bytes.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(blob, n), &mut sealed)
            .map_err(|_| io::Error::other("sealing was refused"))?;
        slot.append(&mut sealed);
        file.write_all_at(&slot, u64::from(n) * SLOT)
    }

    fn read(&self, entry: &Wanted) -> io::Result<Vec<u8>> {
        let mut content = Vec::with_capacity(usize::try_from(entry.blob.bytes).unwrap_or(0));
        for n in 0..entry.blob.chunks() {
            let mut slot = vec![0; length_of(&entry.blob, n) + NONCE_LEN + TAG];
            entry.file.read_exact_at(&mut slot, u64::from(n) * SLOT)?;
            let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("chunk {n} was altered on the disk"));
            let (nonce, sealed) = slot.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(broken)?;
            let open = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad(&entry.blob, n), sealed);
            content.extend_from_slice(open.map_err(|_| broken())?);
        }
        Ok(content)
    }
}

/// Bytes of chunk `n`.
fn length_of(blob: &BlobRef, n: u32) -> usize {
    let rest = blob.bytes.saturating_sub(u64::from(n) * CHUNK as u64);
    usize::try_from(rest).unwrap_or(usize::MAX).min(CHUNK)
}

fn aad(blob: &BlobRef, n: u32) -> Aad<Vec<u8>> {
    let mut aad = blob.sha256.to_vec();
    aad.extend_from_slice(&blob.bytes.to_be_bytes());
    aad.extend_from_slice(&n.to_be_bytes());
    Aad::from(aad)
}

fn free(dir: &Path) -> io::Result<u64> {
    let vfs = rustix::fs::statvfs(dir)?;
    Ok(vfs.f_bavail.saturating_mul(vfs.f_frsize))
}

fn internal(error: &io::Error) -> Refusal {
    Refusal::new(Reason::Internal, format!("the blob cannot be kept: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;

    struct Room {
        dir: tempfile::TempDir,
        blobs: Blobs,
    }

    fn room() -> Room {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("blobs"), Clock::system()).unwrap();
        Room { dir, blobs }
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| (n % 251) as u8).collect()
    }

    fn send(blobs: &Blobs, content: &[u8], chunks: impl IntoIterator<Item = u32>) {
        let blob = BlobRef::of(content);
        for n in chunks {
            let chunk = content.chunks(CHUNK).nth(n as usize).unwrap();
            assert!(blobs.take(&blob.sha256, n, chunk), "chunk {n}");
        }
    }

    fn missing(refusal: &Refusal) -> Vec<(u32, u32)> {
        assert_eq!(refusal.reason, Reason::BlobMissing, "{refusal}");
        ops::decode::<Missing>(refusal.result.as_ref().unwrap()).unwrap().ranges
    }

    #[test]
    fn what_is_missing_is_told_and_taken_and_then_it_is_here() {
        let Room { dir, blobs } = room();
        let content = content(3 * CHUNK + 100);
        let blob = BlobRef::of(&content);
        assert!(!blobs.take(&blob.sha256, 0, &content[..CHUNK]), "not wanted yet");
        assert_eq!(missing(&blobs.get(blob).unwrap_err()), [(0, 3)]);
        send(&blobs, &content, [1, 3]);
        assert_eq!(missing(&blobs.get(blob).unwrap_err()), [(0, 0), (2, 2)]);
        assert!(!blobs.take(&blob.sha256, 1, &content[..CHUNK]), "here already");
        assert!(!blobs.take(&blob.sha256, 2, &content[..99]), "too short");
        assert!(!blobs.take(&blob.sha256, 4, &content[..100]), "beyond its end");
        send(&blobs, &content, [2, 0]);
        assert_eq!(blobs.get(blob).unwrap(), content);
        let path = fs::read_dir(dir.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
        let raw = fs::read(path).unwrap();
        assert!(!raw.windows(16).any(|w| w == &content[..16]), "the disk does not tell it");
        blobs.forget(&blob);
        assert_eq!(missing(&blobs.get(blob).unwrap_err()), [(0, 3)]);
    }

    #[test]
    fn something_else_under_its_digest_is_dropped_and_wanted_anew() {
        let Room { dir: _dir, blobs } = room();
        let content = content(CHUNK + 5);
        let blob = BlobRef::of(&content);
        blobs.get(blob).unwrap_err();
        assert!(blobs.take(&blob.sha256, 0, &vec![9; CHUNK]) && blobs.take(&blob.sha256, 1, &[9; 5]));
        assert_eq!(blobs.get(blob).unwrap_err().reason, Reason::Digest);
        assert_eq!(missing(&blobs.get(blob).unwrap_err()), [(0, 1)]);
        send(&blobs, &content, [0, 1]);
        assert_eq!(blobs.get(blob).unwrap(), content);
    }

    #[test]
    fn number_size_and_age_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let time = SimClock::at(crate::domain::TimeMs(1_800_000_000_000));
        let blobs = Blobs::open(dir.path().join("blobs"), Clock::of(time.clone())).unwrap();
        let one = |n: u8| BlobRef { sha256: [n; 32], bytes: 10 };
        assert_eq!(blobs.get(BlobRef { sha256: [0; 32], bytes: MAX_BLOB + 1 }).unwrap_err().reason, Reason::Bound);
        assert_eq!(blobs.get(BlobRef { sha256: [0; 32], bytes: 0 }).unwrap_err().reason, Reason::Bound);
        for n in 0..20 {
            missing(&blobs.get(one(n)).unwrap_err());
            time.advance(Duration::from_secs(1));
        }
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), MAX_BLOBS);
        assert!(!blobs.take(&[0; 32], 0, &[0; 10]), "the oldest went");
        assert!(blobs.take(&[19; 32], 0, &[0; 10]));
        time.advance(KEPT);
        assert_eq!(missing(&blobs.get(one(19)).unwrap_err()), [(0, 0)], "what came a day ago is gone");
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 1);
    }

    #[test]
    fn a_start_clears_what_was_left() {
        let Room { dir, blobs } = room();
        blobs.get(BlobRef { sha256: [1; 32], bytes: 10 }).unwrap_err();
        let _again = Blobs::open(dir.path().join("blobs"), Clock::system()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    }
}
