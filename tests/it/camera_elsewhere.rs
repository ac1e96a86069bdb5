//! Cameras that name other hosts, by a redirection or as the place for reports: nothing goes there. And how often a
//! camera is asked.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use watchpost::camera::Credential;
use watchpost::camera::testkit::{Clip, RtspServer};
use watchpost::domain::Transport;

use crate::kit::camera::{PATIENCE, clip, error_of, frames, looped, open, settings};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                   a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n";

/// A camera that answers each request, given with its headers, by status line and headers; DESCRIBE's with the SDP.
fn scripted(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let (mut request, mut sequence) = (String::new(), String::new());
                for line in BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok) {
                    if let Some(n) = line.strip_prefix("CSeq:") {
                        n.trim().clone_into(&mut sequence);
                    }
                    if !line.is_empty() {
                        request.push_str(&line);
                        request.push('\n');
                        continue;
                    }
                    let head = answer(&request);
                    let described = request.starts_with("DESCRIBE ") && head.starts_with("200 ");
                    let body = if described { SDP } else { "" };
                    let kind = if described { "Content-Type: application/sdp\r\n" } else { "" };
                    let length = body.len();
                    let text =
                        format!("RTSP/1.0 {head}CSeq: {sequence}\r\n{kind}Content-Length: {length}\r\n\r\n{body}");
                    if client.write_all(text.as_bytes()).is_err() {
                        break;
                    }
                    request.clear();
                }
            });
        }
    });
    port
}

const OPTIONS: &str = "200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n";

#[test]
fn the_target_of_a_redirection_to_another_host_is_not_even_connected_to() {
    // Of connections that nobody accepts the system keeps account.
    let elsewhere = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = elsewhere.local_addr().unwrap();
    for asked in ["OPTIONS ", "DESCRIBE "] {
        let port = scripted(move |request| {
            if request.starts_with(asked) {
                format!("302 Found\r\nLocation: rtsp://{target}/stream?token=abc\r\n")
            } else {
                OPTIONS.to_owned()
            }
        });
        let mut settings = settings(&format!("rtsp://127.0.0.1:{port}/stream"));
        settings.credential = Some(Credential::new("admin", "hunter2"));
        // With this the source is closed, and its thread has ended.
        let error = error_of(&settings).to_string();
        assert!(
            error.contains(&format!("sends us on to rtsp://{target}/stream?…; it was not connected to")),
            "{error}"
        );
        assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{asked}: it was connected to");
    }
}

#[test]
fn a_redirection_to_another_port_of_the_same_host_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let target = RtspServer::start(&clip(dir.path(), Clip::H264), &looped()).unwrap();
    let location = target.url();
    let port = scripted(move |_| format!("302 Found\r\nLocation: {location}\r\n"));
    assert_eq!(frames(&settings(&format!("rtsp://127.0.0.1:{port}/stream")), 1).len(), 1);
}

/// Sockets on two ports that follow one another, the first one even, at each of the hosts.
fn pairs(hosts: [&str; 2]) -> (u16, [[UdpSocket; 2]; 2]) {
    for _ in 0..1_000 {
        let first = UdpSocket::bind((hosts[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let Some(next) = port.checked_add(1).filter(|next| next % 2 == 1) else { continue };
        let bound =
            (UdpSocket::bind((hosts[0], next)), UdpSocket::bind((hosts[1], port)), UdpSocket::bind((hosts[1], next)));
        if let (Ok(second), Ok(third), Ok(fourth)) = bound {
            return (port, [[first, second], [third, fourth]]);
        }
    }
    panic!("no free ports");
}

#[test]
fn packets_over_udp_go_to_the_configured_host_whatever_the_camera_names() {
    let (port, [home, elsewhere]) = pairs(["127.0.0.1", "127.0.0.2"]);
    let camera = scripted(move |request| match request.split(' ').next() {
        Some("SETUP") => {
            let at = request.find("client_port=").unwrap();
            let client = request[at..].split(['\n', ';']).next().unwrap();
            let place = format!("server_port={port}-{};source=127.0.0.2", port + 1);
            format!("200 OK\r\nSession: 1\r\nTransport: RTP/AVP;unicast;{client};{place}\r\n")
        }
        Some("DESCRIBE") => "200 OK\r\n".to_owned(),
        Some("OPTIONS") => OPTIONS.to_owned(),
        _ => "200 OK\r\nSession: 1\r\n".to_owned(),
    });
    let mut settings = settings(&format!("rtsp://127.0.0.1:{camera}/stream"));
    settings.transport = Transport::Udp;
    let source = open(&settings).unwrap();
    let mut packet = [0; 2_000];
    // What opens the way through a firewall; then the first report, which comes when there is something to report on.
    home[0].set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, client) = home[0].recv_from(&mut packet).unwrap();
    home[1].set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let began = Instant::now();
    for n in 0_u16.. {
        assert!(began.elapsed() < PATIENCE * 3, "no report in {:?}", PATIENCE * 3);
        let [high, low] = n.to_be_bytes();
        home[0].send_to(&[0x80, 96, high, low, 0, 0, high, low, 1, 2, 3, 4, 0x41, 0, 0, 0], client).unwrap();
        if home[1].recv(&mut packet).is_ok() {
            break;
        }
    }
    drop(source);
    for socket in &elsewhere {
        socket.set_nonblocking(true).unwrap();
        let error = socket.recv(&mut packet).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "packets went elsewhere");
    }
}

#[test]
fn a_camera_that_guards_options_and_takes_each_nonce_but_once_is_opened() {
    let (nonce, described) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&described);
    let port = scripted(move |request| {
        let now = nonce.load(Ordering::SeqCst);
        let is_let_in = request.contains(&format!("nonce=\"n{now}\""));
        if request.starts_with("SETUP ") {
            "404 Not Found\r\n".to_owned()
        } else if is_let_in {
            nonce.fetch_add(1, Ordering::SeqCst);
            if request.starts_with("OPTIONS ") {
                return OPTIONS.to_owned();
            }
            count.fetch_add(1, Ordering::SeqCst);
            "200 OK\r\n".to_owned()
        } else {
            let stale = now > 0;
            format!("401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"n{now}\", stale={stale}\r\n")
        }
    });
    let mut settings = settings(&format!("rtsp://127.0.0.1:{port}/stream"));
    settings.credential = Some(Credential::new("admin", "hunter2"));
    let error = error_of(&settings).to_string();
    assert_eq!(described.load(Ordering::SeqCst), 1, "{error}");
    assert!(error.contains("404"), "it got as far as the stream: {error}");
}
