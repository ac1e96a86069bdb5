//! The unix socket of a running daemon: the same envelopes and operations as over MQTT, for whoever stands before the box.
//!
//! A frame is a length (4 bytes, big-endian) and CBOR `[topic, bytes]`: commands and chunks of blobs go in, replies and
//! chunks of evidence come out, under the topics that they have over MQTT, which is what their signatures hold for. A frame
//! under the health topic, with no bytes, asks for a health report: its challenge is what a command has to name while the
//! clock is not set. The socket is its owner's alone (0600); that lets nobody do anything, the key does.
//!
//! One thread accepts, two serve a connection: one reads, one writes, so that a slow reader holds up nobody else. At most
//! eight connections; answers that one does not fetch end it. Started by `supervise`, in the daemon and, where there is
//! none, inside `watchpost query` and its like.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown as Half;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Encode};

use crate::shutdown::waited;

/// Name of the socket's file.
pub const FILE: &str = "watchpost.sock";
/// Largest frame, in bytes: a chunk or a reply with its topic.
const MAX_FRAME: usize = 64 * 1024;
/// Most connections.
const CONNECTIONS: usize = 8;
/// Most answers that a connection may leave unread; the chunks of one answer count as one.
const UNREAD: usize = 16;
/// How long a connection may take to read a frame of ours.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// A message: its topic and its bytes.
pub type Frame = (String, Vec<u8>);
/// Called once: true when all frames were written.
pub type WhenLeft = Box<dyn FnOnce(bool) + Send>;

#[derive(Encode, Decode)]
struct Form<'b> {
    #[n(0)]
    topic: &'b str,
    #[n(1)]
    bytes: &'b ByteSlice,
}

/// Writes one frame.
///
/// # Errors
/// When the other side is gone, or the frame is larger than any message.
pub fn write_frame(out: &mut impl Write, topic: &str, bytes: &[u8]) -> io::Result<()> {
    let body = minicbor::to_vec(Form { topic, bytes: bytes.into() }).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
    let length =
        length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes, at most {MAX_FRAME}", body.len())))?;
    out.write_all(&[&length.to_be_bytes()[..], &body].concat())?;
    out.flush()
}

/// Reads one frame; `None` at the end.
///
/// # Errors
/// When the other side is gone or what comes is no frame.
pub fn read_frame(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(wrong(format!("a frame of {length} bytes, at most {MAX_FRAME}")));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let form: Form = minicbor::decode(&body).map_err(|e| wrong(format!("no frame: {e}")))?;
    Ok(Some((form.topic.to_owned(), form.bytes.to_vec())))
}

/// Takes what comes in by the socket.
pub trait Host: Send + Sync + 'static {
    /// A frame of `connection`: nothing of it is verified. What it gives back is answered at once.
    fn frame(&self, connection: u64, topic: &str, bytes: Vec<u8>) -> Option<Frame>;
}

/// The connections that stand; cheap to clone.
#[derive(Clone, Default)]
pub struct Connections(Arc<Standing>);

#[derive(Default)]
struct Standing {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// How many threads have a host in hand.
    readers: AtomicUsize,
    /// All were ended: there are no others.
    over: AtomicBool,
}

/// A reading thread's host, and its place among the readers: given up in that order, whatever ends the thread.
struct Reader {
    host: Option<Arc<dyn Host>>,
    standing: Arc<Standing>,
}

impl Reader {
    fn new(host: Arc<dyn Host>, standing: &Arc<Standing>) -> Self {
        standing.readers.fetch_add(1, Ordering::SeqCst);
        Self { host: Some(host), standing: Arc::clone(standing) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.host = None;
        self.standing.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Open {
    answers: SyncSender<Answer>,
    stream: UnixStream,
}

struct Answer {
    frames: Vec<Frame>,
    when_left: Option<WhenLeft>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends frames to a connection, in their order. Never waits: one that leaves too much unread is ended.
    pub fn send(&self, connection: u64, frames: Vec<Frame>, when_left: Option<WhenLeft>) {
        let mut open = self.open();
        let Some(one) = open.get(&connection) else {
            drop(open);
            if let Some(tell) = when_left {
                tell(false);
            }
            return;
        };
        let unread = one.answers.try_send(Answer { frames, when_left }).err();
        if unread.is_some() {
            tracing::warn!(connection, "a connection to the socket does not read its answers: ended");
            end(open.remove(&connection));
        }
        drop(open);
        if let Some(tell) = unread.and_then(|error| match error {
            std::sync::mpsc::TrySendError::Full(answer) | std::sync::mpsc::TrySendError::Disconnected(answer) => {
                answer.when_left
            }
        }) {
            tell(false);
        }
    }

    /// Serves a connection with two threads of its own; they end with it.
    ///
    /// # Errors
    /// When too many stand already, or no thread can be made.
    pub fn serve(&self, stream: UnixStream, host: Arc<dyn Host>) -> io::Result<()> {
        let mut open = self.open();
        if self.0.over.load(Ordering::SeqCst) {
            return Err(io::Error::other("the daemon stops"));
        }
        if open.len() >= CONNECTIONS {
            return Err(io::Error::other(format!("{CONNECTIONS} connections stand already")));
        }
        stream.set_write_timeout(Some(WRITE_WITHIN))?;
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answers, waiting) = sync_channel(UNREAD);
        let (mut reads, writes) = (stream.try_clone()?, stream.try_clone()?);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("local-out").spawn(move || write_answers(writes, &waiting))?;
        let connections = self.clone();
        let reader = Reader::new(host, &self.0);
        let read = move || {
            while let Some(host) = &reader.host {
                match read_frame(&mut reads) {
                    // What was still unread at the end is not worked off.
                    Ok(Some(_)) if !connections.open().contains_key(&id) => break,
                    Ok(Some((topic, bytes))) => {
                        if let Some(answer) = host.frame(id, &topic, bytes) {
                            connections.send(id, vec![answer], None);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, connection = id, "a connection to the socket ended");
                        break;
                    }
                }
            }
            end(connections.open().remove(&id));
        };
        open.insert(id, Open { answers, stream });
        if let Err(error) = thread("local-in").spawn(read) {
            end(open.remove(&id));
            return Err(error);
        }
        Ok(())
    }

    /// Ends all; what they were not yet sent is lost. True: their hosts, and what those hold (the store), are let go of;
    /// false: one is still at what was asked last, after `at_most`.
    #[must_use]
    pub fn end_all(&self, at_most: Duration) -> bool {
        let mut open = self.open();
        self.0.over.store(true, Ordering::SeqCst);
        open.drain().for_each(|(_, one)| end(Some(one)));
        drop(open);
        waited(at_most, || self.0.readers.load(Ordering::SeqCst) == 0)
    }
}

fn end(one: Option<Open>) {
    if let Some(one) = one {
        // It may be gone already.
        let _ = one.stream.shutdown(Half::Read);
    }
}

fn write_answers(mut stream: UnixStream, waiting: &Receiver<Answer>) {
    let mut good = true;
    while let Ok(Answer { frames, when_left }) = waiting.recv() {
        for (topic, bytes) in frames {
            good = good && write_frame(&mut stream, &topic, &bytes).is_ok();
        }
        if let Some(tell) = when_left {
            tell(good);
        }
        if !good {
            break;
        }
    }
    // The reader sees the end; what was written before is still read by the other side.
    let _ = stream.shutdown(if good { Half::Write } else { Half::Both });
}

/// Listens on the socket.
pub struct Server {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    connections: Connections,
    /// The listening socket once more, to wake the thread by: the path may be another's, or gone.
    listener: UnixStream,
    thread: JoinHandle<()>,
}

impl Server {
    /// Makes the socket at `path`, 0600, in the place of one that an earlier daemon left, and serves whoever connects.
    ///
    /// # Errors
    /// When the socket or a thread cannot be made; a path of more than 107 bytes is too long for one.
    pub fn start(path: &Path, connections: Connections, host: Arc<dyn Host>) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // Made under another name and given its mode before anybody can find it.
        let made = path.with_extension(std::process::id().to_string());
        let _ = fs::remove_file(&made);
        let listener = UnixListener::bind(&made)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        let again = UnixStream::from(OwnedFd::from(listener.try_clone()?));
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, accepted) = (Arc::clone(&stopping), connections.clone());
        let accept = move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                if let Err(error) = stream.and_then(|stream| accepted.serve(stream, Arc::clone(&host))) {
                    tracing::warn!(%error, "a connection to the socket was not taken");
                    // A system without descriptors says so again and again.
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        let thread = std::thread::Builder::new().name("local".to_owned()).spawn(accept)?;
        Ok(Self { path: path.to_owned(), stopping, connections, listener: again, thread })
    }

    /// Ends all connections and takes the socket away; as [`Connections::end_all`].
    #[must_use]
    pub fn stop(self, at_most: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread; nobody may have connected for days.
        let _ = self.listener.shutdown(Half::Both);
        let _ = fs::remove_file(&self.path);
        // First: it may be taking one more connection.
        let ended = waited(at_most, || self.thread.is_finished());
        if ended && self.thread.join().is_err() {
            tracing::error!("the socket's thread panicked");
        }
        self.connections.end_all(at_most) && ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Host for Echo {
        fn frame(&self, _: u64, topic: &str, bytes: Vec<u8>) -> Option<Frame> {
            (topic != "silent").then(|| (topic.to_owned(), bytes))
        }
    }

    #[test]
    fn the_socket_is_its_owners_alone_and_gone_after_the_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run").join(FILE);
        fs::create_dir(dir.path().join("run")).unwrap();
        // What a daemon that was killed left behind.
        drop(UnixListener::bind(&path).unwrap());
        let server = Server::start(&path, Connections::default(), Arc::new(Echo)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = UnixStream::connect(&path).unwrap();
        write_frame(&mut stream, "a", &[1, 2, 3]).unwrap();
        assert_eq!(read_frame(&mut stream).unwrap(), Some(("a".to_owned(), vec![1, 2, 3])));
        assert!(server.stop(Duration::from_mins(1)));
        assert_eq!(read_frame(&mut stream).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_frame_ends_the_connection_and_too_many_are_not_taken() {
        let connections = Connections::default();
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            let (ours, theirs) = UnixStream::pair().unwrap();
            connections.serve(theirs, Arc::new(Echo)).unwrap();
            streams.push(ours);
        }
        let (_ours, theirs) = UnixStream::pair().unwrap();
        assert!(connections.serve(theirs, Arc::new(Echo)).is_err());
        let mut first = streams.remove(0);
        first.write_all(&[0xff; 64]).unwrap();
        assert!(!matches!(read_frame(&mut first), Ok(Some(_))));
        let mut second = streams.remove(0);
        write_frame(&mut second, "b", &vec![0; 61_440]).unwrap();
        assert_eq!(read_frame(&mut second).unwrap().unwrap().1.len(), 61_440);
        assert!(write_frame(&mut second, "b", &vec![0; MAX_FRAME]).is_err());
    }

    #[test]
    fn nobody_has_the_host_once_all_connections_ended() {
        struct Slow(SyncSender<()>);
        impl Host for Slow {
            fn frame(&self, _: u64, _: &str, _: Vec<u8>) -> Option<Frame> {
                self.0.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                None
            }
        }
        let connections = Connections::default();
        let (told, wait) = sync_channel(4);
        let host: Arc<dyn Host> = Arc::new(Slow(told));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        connections.serve(theirs, Arc::clone(&host)).unwrap();
        let (_idle, theirs) = UnixStream::pair().unwrap();
        connections.serve(theirs, Arc::clone(&host)).unwrap();
        write_frame(&mut ours, "a", &[1]).unwrap();
        wait.recv().unwrap();
        assert!(connections.end_all(Duration::from_mins(1)));
        assert_eq!(Arc::strong_count(&host), 1);
        // Whoever comes later, as a question from the console, gets no host any more.
        let (_late, theirs) = UnixStream::pair().unwrap();
        let refused = connections.serve(theirs, Arc::clone(&host)).unwrap_err();
        assert!(refused.to_string().contains("the daemon stops") && Arc::strong_count(&host) == 1, "{refused}");
    }

    #[test]
    fn whoever_waits_for_an_answer_to_leave_is_told_also_when_nobody_is_there() {
        let connections = Connections::default();
        let (tell, told) = sync_channel(1);
        connections.send(7, vec![], Some(Box::new(move |good| tell.send(good).unwrap())));
        assert!(!told.recv().unwrap());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        connections.serve(theirs, Arc::new(Echo)).unwrap();
        let (tell, told) = sync_channel(1);
        let frames = vec![("x".to_owned(), vec![1]), ("y".to_owned(), vec![2])];
        connections.send(0, frames, Some(Box::new(move |good| tell.send(good).unwrap())));
        assert!(told.recv().unwrap());
        assert_eq!(read_frame(&mut ours).unwrap().unwrap().0, "x");
        assert_eq!(read_frame(&mut ours).unwrap().unwrap().0, "y");
    }
}
