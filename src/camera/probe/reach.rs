//! Why a network camera does not answer, found with a plain connection: name, port, and who listens there.
//!
//! GStreamer says "could not connect" or "unhandled error" for most of it. Asked after a failure, by `watchpost probe`
//! alone. One connection, one OPTIONS request (RFC 2326, 10.1) without credential, at most a few seconds; nothing but the
//! first line of the answer and its `Server` is read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// For each of connecting, asking and reading.
const PATIENCE: Duration = Duration::from_secs(4);
/// So much of an answer is read.
const MOST: usize = 2_048;

/// What was found at an `rtsp://` or `rtsps://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// An RTSP server answers; its name where it tells one.
    Rtsp {
        /// The status line.
        status: String,
        /// The `Server` header.
        server: Option<String>,
    },
    /// A web server answers.
    Http,
    /// Somebody speaks TLS there, and the address is `rtsp://`.
    Tls,
    /// The port is open; for `rtsps` no more can be told from here.
    Open,
    /// Connected, and no answer to an RTSP request.
    Mute,
    /// Something else answers; its first bytes as text.
    Other(String),
    /// The name has no address.
    NoName,
    /// Nobody listens on that port.
    Closed,
    /// Nothing answers at that address.
    NoAnswer(String),
}

impl Reach {
    /// In words for people: what it is, and what to do. `None` where it says nothing new.
    #[must_use]
    pub fn words(&self, host: &str, port: u16) -> Option<String> {
        Some(match self {
            Self::Rtsp { .. } | Self::Open => return None,
            Self::Http => format!(
                "a web server answers on port {port} of {host}, not a camera's stream: its RTSP port is usually 554 (see \
                 the camera's network settings)"
            ),
            Self::Tls => format!("port {port} of {host} speaks TLS: write rtsps:// instead of rtsp://"),
            Self::Mute => format!(
                "port {port} of {host} takes connections and does not answer RTSP: is it the RTSP port, and is RTSP \
                 switched on in the camera?"
            ),
            Self::Other(first) => format!("port {port} of {host} answers with {first:?}, which is no RTSP"),
            Self::NoName => format!("no address is known for the name {host:?}: check its spelling and this box's DNS"),
            Self::Closed => format!(
                "{host} is there and nobody listens on its port {port}: check the port, and that RTSP is switched on in \
                 the camera"
            ),
            Self::NoAnswer(why) => format!(
                "nothing answers at {host}, port {port} ({why}): check its address, cable, power, and whether this box \
                 may reach its network"
            ),
        })
    }
}

/// Host and port of an `rtsp://` or `rtsps://` address without credential.
#[must_use]
pub fn place(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let usual = if scheme.eq_ignore_ascii_case("rtsps") { 322 } else { 554 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = port.strip_prefix(':').map_or(Some(usual), |p| p.parse().ok())?;
    Some((host.to_owned(), port))
}

/// Tries to reach what is at `url`.
#[must_use]
pub fn reach(url: &str) -> Option<Reach> {
    let (host, port) = place(url)?;
    let Ok(addresses) = (host.as_str(), port).to_socket_addrs() else { return Some(Reach::NoName) };
    let mut found = Reach::NoName;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) if url.starts_with("rtsps") => {
                drop(stream);
                return Some(Reach::Open);
            }
            Ok(stream) => return Some(ask(stream, url)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => found = Reach::Closed,
            Err(error) => found = Reach::NoAnswer(error.to_string()),
        }
    }
    Some(found)
}

fn ask(mut stream: TcpStream, url: &str) -> Reach {
    // The path may hold a token: the request is about the server alone.
    let server: String = url.split_inclusive('/').take(3).collect();
    let request =
        format!("OPTIONS {} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: watchpost\r\n\r\n", server.trim_end_matches('/'));
    let asked = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.write_all(request.as_bytes()));
    if asked.is_err() {
        return Reach::Mute;
    }
    let mut answer = Vec::new();
    let mut part = [0; 512];
    // Until the head of the answer is whole.
    while answer.len() < MOST && !answer.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(n) if n > 0 => answer.extend_from_slice(part.get(..n).unwrap_or_default()),
            _ => break,
        }
    }
    understand(&answer)
}

fn understand(answer: &[u8]) -> Reach {
    match answer {
        [] => Reach::Mute,
        // A TLS alert or hello: record type 21 or 22, version 3.x.
        [21 | 22, 3, ..] => Reach::Tls,
        _ => {
            let text = String::from_utf8_lossy(answer);
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default().trim();
            let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(60).collect::<String>();
            if first.starts_with("RTSP/") {
                let server = lines.find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("server").then(|| clean(value.trim()))
                });
                Reach::Rtsp { status: clean(first), server }
            } else if first.starts_with("HTTP/") || first.starts_with('<') {
                Reach::Http
            } else {
                Reach::Other(clean(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Somebody who answers one connection with these bytes, and what is then found.
    fn found_with(answer: &'static [u8]) -> Reach {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            let n = stream.read(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&asked[..n]).into_owned()
        });
        let found = reach(&format!("rtsp://127.0.0.1:{port}/secret-token")).unwrap();
        let asked = server.join().unwrap();
        assert!(asked.starts_with(&format!("OPTIONS rtsp://127.0.0.1:{port} RTSP/1.0\r\n")), "{asked}");
        found
    }

    #[test]
    fn who_answers_is_told_apart() {
        let server = found_with(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nserver: Cam 1.2\r\n\r\n");
        let status = "RTSP/1.0 401 Unauthorized".to_owned();
        assert_eq!(server, Reach::Rtsp { status, server: Some("Cam 1.2".to_owned()) });
        assert_eq!(found_with(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"), Reach::Http);
        assert_eq!(found_with(&[21, 3, 1, 0, 2, 2, 80]), Reach::Tls);
        assert_eq!(found_with(b""), Reach::Mute);
        assert_eq!(found_with(b"SSH-2.0-OpenSSH_9\r\n"), Reach::Other("SSH-2.0-OpenSSH_9".to_owned()));
    }

    #[test]
    fn a_closed_port_and_an_unknown_name_are_told_apart() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(reach(&format!("rtsp://127.0.0.1:{port}/x")), Some(Reach::Closed));
        assert_eq!(reach("rtsp://no-such-camera.invalid/x"), Some(Reach::NoName));
        let said = Reach::Closed.words("cam", 554).unwrap();
        assert!(said.contains("port 554") && said.contains("RTSP is switched on"), "{said}");
    }

    #[test]
    fn host_and_port_are_taken_from_the_address() {
        assert_eq!(place("rtsp://cam/x?y=z"), Some(("cam".to_owned(), 554)));
        assert_eq!(place("rtsps://[fe80::1]:8322/x"), Some(("fe80::1".to_owned(), 8322)));
        assert_eq!(place("rtsps://cam"), Some(("cam".to_owned(), 322)));
        assert_eq!(place("clip.mp4"), None);
    }
}
