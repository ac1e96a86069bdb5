//! Listens and speaks HTTP/1.1: bounded in connections, heads, and the time that each may take.
//!
//! 32 connections, each at most a minute old; a 33rd is closed at once. A head has 10 s, 16 KiB and 32 fields; a body is
//! bounded where it is read ([`route`]).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::route::{self, Shared};
use crate::config::Listen;

/// Most connections.
const CONNECTIONS: usize = 32;
/// How old a connection becomes: a browser opens another one.
const LIVES: Duration = Duration::from_mins(1);
/// How long a head may take, and with it how long a connection may be silent.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a head.
const HEAD: usize = 16 * 1024;
/// Fields of a head.
const FIELDS: usize = 32;

/// What is listened at.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens; a unix socket is its owner's and group's, in the place of one that an earlier daemon left.
pub(super) fn bind(listen: &Listen) -> io::Result<Listener> {
    match listen {
        Listen::Tcp(at) => {
            let listener = std::net::TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok(Listener::Tcp(TcpListener::from_std(listener)?))
        }
        Listen::Unix(path) => unix(path),
    }
}

fn unix(path: &Path) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt as _;
    // A path that was mistyped is not to cost a file.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        let words = "something that is no socket lies there: name another path, or move it away";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
    }
    // Made under another name and given its mode before anybody can find it. A reverse proxy is let in by the group.
    let made = path.with_extension(std::process::id().to_string());
    let _ = fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o660))?;
    fs::rename(&made, path)?;
    Ok(Listener::Unix(listener))
}

/// Answers whoever connects until the stop.
pub(super) async fn serve(listener: Listener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = accept(&listener) => accepted,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to the console was not taken");
                // A system without descriptors says so again and again.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        tokio::spawn(async move {
            connection(stream, shared, stopped).await;
            drop(place);
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Stream>> {
    Ok(match listener {
        Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
        Listener::Unix(listener) => Box::new(listener.accept().await?.0),
    })
}

/// One connection to its end.
async fn connection(stream: Box<dyn Stream>, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let answer = |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(route::answer(request, shared).await) }
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD)
        .max_headers(FIELDS)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        _ = stopped.changed() => None,
        () = tokio::time::sleep(LIVES) => None,
    };
    let ended = if let Some(ended) = ended {
        Ok(ended)
    } else {
        // The answer under way is finished; who does not read it is not waited for.
        served.as_mut().graceful_shutdown();
        tokio::time::timeout(HEAD_WITHIN, served).await
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "a connection to the console ended");
    }
}
