//! The socket between daemon and worker, from either end.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use minicbor::Encode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use zeroize::Zeroizing;

use super::wire::encode;

/// Bytes that are taken at once.
const CHUNK: usize = 128 << 10;

/// Both ends; closed on `exec`, but for the one that is given to the worker as its standard input.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// One end, to be written to by several threads.
#[derive(Debug)]
pub(super) struct Line {
    fd: OwnedFd,
    /// Held while a message is under way.
    writing: Mutex<()>,
    /// How long a write may wait for the other side; without it for ever.
    patience: Option<Duration>,
}

impl Line {
    pub(super) fn new(fd: OwnedFd, patience: Option<Duration>) -> Self {
        Self { fd, writing: Mutex::new(()), patience }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Nothing is said or heard any more.
    pub(super) fn hang_up(&self) {
        let _ = shutdown(&self.fd, Shutdown::Both);
    }

    /// Says something; a descriptor may go with it.
    ///
    /// # Errors
    /// The other side is gone, or takes nothing for too long; a message that is too long.
    pub(super) fn say<T: Encode<()>>(
        &self,
        message: &T,
        tail: &[&[u8]],
        with: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let length = tail.iter().map(|part| part.len()).sum();
        let bytes = encode(message, length).ok_or_else(|| io::Error::other("a message is too long"))?;
        // It may hold a password.
        let bytes = Zeroizing::new(bytes);
        let mut parts: Vec<IoSlice<'_>> = std::iter::once(IoSlice::new(&bytes)).collect();
        parts.extend(tail.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)));
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let fds: Vec<BorrowedFd<'_>> = with.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let mut left = &mut parts[..];
        while !left.is_empty() {
            match sendmsg(&self.fd, left, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => {
                    control.clear();
                    IoSlice::advance_slices(&mut left, sent);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if wait(self.fd(), PollFlags::OUT, self.patience)? => {}
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what has come, waiting for it; descriptors go into `fds`. `false`: the other side hung up.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn hear(&self, into: &mut dyn FnMut(&[u8]), fds: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut chunk = Zeroizing::new(vec![0_u8; 16 << 10]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        loop {
            let parts = &mut [io::IoSliceMut::new(&mut chunk)];
            match recvmsg(&self.fd, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(sent) = message {
                            fds.extend(sent);
                        }
                    }
                    let bytes = chunk.get(..got.bytes).unwrap_or_default();
                    into(bytes);
                    return Ok(!bytes.is_empty());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until something can be read from, or written to, `fd`; false when that takes too long.
fn wait(fd: BorrowedFd<'_>, how: PollFlags, patience: Option<Duration>) -> io::Result<bool> {
    let most = patience.and_then(|patience| Timespec::try_from(patience).ok());
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(fd, how)], most.as_ref()) {
            Ok(n) => return Ok(n > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Something to read, by place in `fds`; none in the time given.
pub(super) fn ready(fds: [BorrowedFd<'_>; 2], within: Duration) -> io::Result<[bool; 2]> {
    let most = Timespec::try_from(within).ok();
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut fds, most.as_ref()) {
        Ok(_) => Ok(fds.each_ref().map(|fd| !fd.revents().is_empty())),
        Err(Errno::INTR) => Ok([false, false]),
        Err(error) => Err(error.into()),
    }
}

/// Reads what is there into `chunk`.
///
/// # Errors
/// What the system says.
pub(super) fn read(fd: BorrowedFd<'_>, chunk: &mut Vec<u8>) -> io::Result<usize> {
    chunk.resize(CHUNK, 0);
    loop {
        match rustix::io::read(fd, &mut chunk[..]) {
            Ok(n) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Ask, HEAD, Inbox, Number};
    use super::*;

    #[test]
    fn what_is_said_is_heard_with_its_descriptor_and_the_end_as_well() {
        let (a, b) = pair().unwrap();
        let (a, b) = (Line::new(a, None), Line::new(b, None));
        let writer = std::thread::spawn(move || {
            a.say(&Ask::Close(1), &[], None).unwrap();
            a.say(&Ask::Close(2), &[&vec![7; 300_000], &[8; 5]], None).unwrap();
            a.say(&Ask::Close(3), &[], Some(rustix::stdio::stdin())).unwrap();
        });
        let (mut inbox, mut fds, mut heard) = (Inbox::default(), Vec::new(), Vec::<(Number, usize)>::new());
        while b.hear(&mut |bytes| inbox.push(bytes), &mut fds).unwrap() {
            while let Some((message, tail)) = inbox.next::<Ask>().unwrap() {
                let Ask::Close(n) = message else { panic!("{message:?}") };
                heard.push((n, tail.len()));
            }
        }
        writer.join().unwrap();
        assert_eq!(heard, [(1, 0), (2, 300_005), (3, 0)]);
        assert_eq!((fds.len(), HEAD), (1, 8));
    }

    #[test]
    fn a_side_that_takes_nothing_is_not_waited_for_for_ever() {
        let (a, _b) = pair().unwrap();
        let line = Line::new(a, Some(Duration::from_millis(20)));
        let full = (0..10_000).find_map(|_| line.say(&Ask::Close(1), &[&[0; 1_000]], None).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::TimedOut);
    }
}
