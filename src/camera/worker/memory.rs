//! Shared memory for decoded pictures: made and sealed by the daemon, written by the worker.
//!
//! The daemon makes it (a `memfd`), seals its size for ever and hands the descriptor over. The worker maps it for writing ([`Written`]). The
//! daemon never maps it: what another process may write at any moment is nothing that a reference may point to. It has the kernel copy a
//! picture out into memory of its own ([`copy`]), looks at that, and at nothing else. So the one side can't write what the other is to
//! read, the other holds no byte that could change under it, and neither has a function that would do so.

#![expect(unsafe_code, reason = "mapped memory has no safe door; all of it is in this file")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Its size can't change any more, and neither can that.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Makes memory of so many bytes.
///
/// # Errors
/// What the system says.
pub(super) fn make(bytes: usize) -> io::Result<OwnedFd> {
    let fd = memfd_create("pictures", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, bytes as u64)?;
    fcntl_add_seals(&fd, SEALS)?;
    Ok(fd)
}

/// Puts `bytes` bytes from the place `at` on into `into`, which is emptied first. What is written there meanwhile may be in it or not; once this returns nothing in
/// it changes any more.
///
/// # Errors
/// What the system says; memory that ends before.
pub(super) fn copy(from: impl AsFd, at: u64, bytes: usize, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    into.reserve_exact(bytes);
    while into.len() < bytes {
        let (done, left) = (into.len(), bytes - into.len());
        // Into what is reserved, never more: the vector may have room for more than was asked for.
        let spare = into.spare_capacity_mut().get_mut(..left).ok_or(io::ErrorKind::OutOfMemory)?;
        let (got, _) = rustix::io::pread(&from, spare, at.saturating_add(done as u64))?;
        let got = got.len();
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the kernel has written so many bytes behind those that were there, within the room that was given to it.
        unsafe { into.set_len(done + got) };
    }
    Ok(())
}

/// A piece of shared memory in the worker: it writes there and reads nothing. Of the thread that mapped it alone.
#[derive(Debug)]
pub(super) struct Written {
    begin: NonNull<u8>,
    bytes: usize,
}

impl Written {
    /// Maps the `bytes` of `fd` for writing.
    ///
    /// # Errors
    /// Memory of another size or not sealed, or what the system says.
    pub(super) fn new(fd: impl AsFd, bytes: usize) -> io::Result<Self> {
        let size = usize::try_from(fstat(&fd)?.st_size).unwrap_or(0);
        if bytes == 0 || size != bytes || !fcntl_get_seals(&fd)?.contains(SEALS) {
            return Err(io::Error::other("shared memory is not as large as was said, or not sealed"));
        }
        let how = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses touches no other memory. The size is sealed, so that no write can run over its end.
        let begin = unsafe { mmap(std::ptr::null_mut(), bytes, how, MapFlags::SHARED, fd, 0)? };
        let begin = NonNull::new(begin.cast()).ok_or_else(|| io::Error::other("mapped at nothing"))?;
        Ok(Self { begin, bytes })
    }

    /// Copies into it; false where it does not fit.
    pub(super) fn write(&mut self, at: usize, from: &[u8]) -> bool {
        let fits = at.checked_add(from.len()).is_some_and(|end| end <= self.bytes);
        if fits {
            // SAFETY: inside the mapping, which `new` made writable and to which no reference is ever made; `from` is other memory for that reason.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.begin.as_ptr().add(at), from.len()) };
        }
        fits
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this place and size, and nothing refers to it any more.
        let _ = unsafe { munmap(self.begin.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_writes_the_other_copies_and_neither_can_change_the_size() {
        let fd = make(10_000).unwrap();
        let mut write = Written::new(&fd, 10_000).unwrap();
        assert!(write.write(9_990, &[7; 10]) && !write.write(9_991, &[8; 10]) && !write.write(usize::MAX, &[1]));
        let mut own = vec![1; 3];
        copy(&fd, 9_989, 11, &mut own).unwrap();
        assert_eq!(own, [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert!(write.write(9_990, &[9; 10]));
        assert_eq!(own[1..], [7; 10], "it is its own");
        assert_eq!(copy(&fd, 9_990, 11, &mut own).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(copy(&fd, u64::MAX, 1, &mut own).is_err());
        assert!(ftruncate(&fd, 5_000).is_err() && ftruncate(&fd, 50_000).is_err());
        assert!(Written::new(&fd, 10_001).is_err() && Written::new(&fd, 0).is_err());
        let loose = memfd_create("loose", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&loose, 10_000).unwrap();
        assert!(Written::new(&loose, 10_000).is_err(), "not sealed");
    }
}
