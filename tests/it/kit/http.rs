//! HTTP by hand, one request a connection: what a browser, a scraper and somebody with bad intent send.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// A field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends what is given and reads to the end.
pub fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> Heard {
    // Who is refused may be hung up on before everything is written.
    let _ = stream.write_all(bytes);
    let (mut all, mut part) = (Vec::new(), [0; 16 * 1024]);
    // Not every server hangs up when it was asked to.
    while !is_whole(&all) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(n) => all.extend_from_slice(&part[..n]),
        }
    }
    let at = all.windows(4).position(|w| w == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&all[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = all[at..].to_vec();
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") { unchunked(&body) } else { body };
    Heard { status, head, body }
}

/// Whether the head and as much as it says of the body are there.
fn is_whole(all: &[u8]) -> bool {
    let Some(at) = all.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&all[..at]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| all.len() >= at + 4 + length)
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// The bytes of a request; a body goes with its length.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in fields {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if method != "GET" {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// One request to a port of this machine; without a Host of its own it is asked for as `127.0.0.1:port`.
pub fn ask(port: u16, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Heard {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let host = format!("127.0.0.1:{port}");
    let mut all = vec![("Host", host.as_str())];
    if fields.iter().any(|(name, _)| *name == "Host") {
        all.clear();
    }
    all.extend_from_slice(fields);
    exchange(stream, &request(method, path, &all, body))
}
