//! Cameras that want a password and cameras that show a certificate: who is let in, who is trusted, and what is said.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use time::OffsetDateTime;
use watchpost::camera::error::Retry;
use watchpost::camera::testkit::{Clip, Identity, Proof, RtspServer, Serving};
use watchpost::camera::{Camera, Credential, Error};
use watchpost::clock::Clock;
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

use crate::kit::camera::{PATIENCE, clip, error_of, frames, looped, settings};

/// What people choose, with what a URL, a header or a quoted string could trip over.
const PASSWORD: &str = "p@ss: wörd/%?#&'=";

#[test]
fn basic_and_digest_open_a_camera_and_a_wrong_password_is_said_but_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip::H264);
    for proof in [Proof::Basic, Proof::Digest] {
        let credential = Some(("admin".to_owned(), PASSWORD.to_owned()));
        let server = RtspServer::start(&path, &Serving { credential, proof, ..looped() }).unwrap();
        let mut settings = settings(&server.url());

        let error = error_of(&settings);
        assert!(error.to_string().contains("wants a user and a password"), "{proof:?}: {error}");
        assert_eq!(error.retry(), Retry::Seldom);

        let wrong = format!("{PASSWORD}x");
        settings.credential = Some(Credential::new("admin", &wrong));
        let error = error_of(&settings);
        assert!(error.to_string().contains("refuses the credential"), "{proof:?}: {error}");
        assert_eq!(error.retry(), Retry::Gently);
        let shown = format!("{error} {error:?} {settings:?}");
        assert!(!shown.contains(PASSWORD) && !shown.contains("p%40ss"), "{shown}");

        settings.credential = Some(Credential::new("admin", PASSWORD));
        assert_eq!(frames(&settings, 2).len(), 2, "{proof:?}");

        let escaped = server.url().replace("rtsp://", "rtsp://admin:p%40ss%3A%20w%C3%B6rd%2F%25%3F%23%26'%3D@");
        assert_eq!(frames(&self::settings(&escaped), 2).len(), 2, "{proof:?}: as a part of the address");
    }
}

/// A camera that refuses every password and counts them; some guard even OPTIONS.
fn refusing_camera(guards_options: bool) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            let mut client = client;
            let mut sequence = String::new();
            let (mut proof, mut open) = (false, false);
            while let Some(Ok(line)) = lines.next() {
                let lower = line.to_ascii_lowercase();
                if lower.starts_with("options ") {
                    open = !guards_options;
                } else if lower.starts_with("cseq:") {
                    line[5..].trim().clone_into(&mut sequence);
                } else if lower.starts_with("authorization:") {
                    proof = true;
                } else if line.is_empty() {
                    count.fetch_add(usize::from(std::mem::take(&mut proof)), Ordering::SeqCst);
                    let answer = if std::mem::take(&mut open) {
                        format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\r\n\r\n")
                    } else {
                        let ask = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"1\"";
                        format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n{ask}\r\n\r\n")
                    };
                    if client.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        }
    });
    (port, tried)
}

#[test]
fn an_opening_tries_a_refused_password_once_and_the_state_says_why_it_waits() {
    for guards_options in [false, true] {
        let (port, tried) = refusing_camera(guards_options);
        let mut settings = settings(&format!("rtsp://127.0.0.1:{port}/stream"));
        settings.credential = Some(Credential::new("admin", "hunter2"));
        settings.back_off_denied = (Duration::from_millis(100), Duration::from_millis(100));
        let counters = Arc::new(CameraCounters::default());
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || camera.run(&stop, &mut |_| ()));
        let began = Instant::now();
        while counters.failed.get() < 3 {
            assert!(began.elapsed() < PATIENCE * 3, "{:?}", counters.state());
            std::thread::sleep(Duration::from_millis(5));
        }
        let CameraState::Offline(why) = counters.state() else { panic!("{:?}", counters.state()) };
        assert!(why.contains("refuses the credential") && why.contains("long intervals"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
        assert!(began.elapsed() >= Duration::from_millis(100), "two rests of at least 50 ms");
        shutdown.trigger();
        thread.join().unwrap().unwrap();
        let (tried, openings) = (tried.load(Ordering::SeqCst) as u64, counters.failed.get());
        // The one that was under way at the stop may have tried, too.
        assert!((openings..=openings + 1).contains(&tried), "{tried} tries in {openings} openings");
    }
}

/// An authority of the test, and certificates of its making.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate says.
struct Says<'a> {
    host: &'a str,
    /// Days from now.
    from: i64,
    until: i64,
}

const GOOD: Says<'_> = Says { host: "127.0.0.1", from: -2, until: 30 };

impl Says<'_> {
    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![match self.host.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(self.host.try_into().unwrap()),
        }];
        let now = OffsetDateTime::from_unix_timestamp(i64::try_from(Clock::system().utc().0 / 1_000).unwrap()).unwrap();
        (params.not_before, params.not_after) =
            (now + time::Duration::days(self.from), now + time::Duration::days(self.until));
        params
    }

    /// As cameras do it: signed by itself.
    fn alone(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params().self_signed(&key).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, says: &Says<'_>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = says.params().signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn serve(dir: &tempfile::TempDir, identity: Identity) -> RtspServer {
    let path = dir.path().join("clip.mp4");
    let credential = Some(("admin".to_owned(), PASSWORD.to_owned()));
    RtspServer::start(&path, &Serving { identity: Some(identity), credential, ..looped() }).unwrap()
}

#[test]
fn a_camera_with_a_certificate_of_its_ca_file_is_opened_and_every_fault_is_named() {
    let dir = tempfile::tempdir().unwrap();
    clip(dir.path(), Clip::H264);
    let authority = Authority::new("north authority");
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();

    let good = serve(&dir, authority.sign(&GOOD));
    assert!(good.url().starts_with("rtsps://"));
    let mut settings = settings(&good.url());
    settings.credential = Some(Credential::new("admin", PASSWORD));
    // Not known to the system.
    let error = error_of(&settings);
    let text = error.to_string();
    assert!(matches!(error, Error::Certificate { .. }), "{text}");
    assert!(
        text.contains("signed by nobody that is trusted here") && text.contains("name it in the camera's ca"),
        "{text}"
    );
    assert!(text.contains("SHA-256") && text.matches(':').count() > 31, "{text}");
    settings.ca = Some(ca.clone());
    assert_eq!(frames(&settings, 3).len(), 3);

    for (says, why, remedy) in [
        (
            Says { host: "cam.example", ..GOOD },
            "is for another host: it names cam.example",
            "put a host that it names into uri",
        ),
        (Says { host: "127.0.0.2", ..GOOD }, "is for another host: it names 127.0.0.2", "into uri"),
        (Says { from: -9, until: -1, ..GOOD }, "expired on 2", "renew it in the camera"),
        (Says { from: 3, ..GOOD }, "is not valid before 2", "check the clocks"),
    ] {
        let server = serve(&dir, authority.sign(&says));
        settings.uri = server.url().parse().unwrap();
        let error = error_of(&settings).to_string();
        assert!(error.contains(why) && error.contains(remedy), "{error}");
        assert!(!error.contains("nobody"), "only what is wrong is said: {error}");
    }
    // Another authority's certificate.
    let stranger = serve(&dir, Authority::new("another").sign(&GOOD));
    settings.uri = stranger.url().parse().unwrap();
    let error = error_of(&settings).to_string();
    assert!(error.contains("nobody that is trusted") && error.contains(ca.to_str().unwrap()), "{error}");
}

#[test]
fn a_certificate_in_the_ca_file_itself_is_known_whatever_host_it_names_until_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    clip(dir.path(), Clip::H264);
    let own = Says { host: "ipcam", ..GOOD }.alone();
    let ca = dir.path().join("own.pem");
    std::fs::write(&ca, &own.certificate).unwrap();
    let server = serve(&dir, own);
    let mut settings = settings(&server.url());
    settings.credential = Some(Credential::new("admin", PASSWORD));
    settings.ca = Some(ca.clone());
    assert_eq!(frames(&settings, 2).len(), 2);

    let other = serve(&dir, Says { host: "ipcam", ..GOOD }.alone());
    settings.uri = other.url().parse().unwrap();
    let error = error_of(&settings).to_string();
    assert!(error.contains("trusted here") && error.contains("another host: it names ipcam"), "{error}");

    let expired = Says { host: "ipcam", from: -9, until: -1 }.alone();
    std::fs::write(&ca, &expired.certificate).unwrap();
    let server = serve(&dir, expired);
    settings.uri = server.url().parse().unwrap();
    let error = error_of(&settings).to_string();
    assert!(error.contains("expired on 2"), "{error}");
}

#[test]
fn a_port_that_is_closed_and_one_without_tls_are_told_from_a_certificate() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let error = error_of(&settings(&format!("rtsps://127.0.0.1:{free}/x"))).to_string();
    assert!(error.contains("switched on") && !error.contains("certificate"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let plain = RtspServer::start(&clip(dir.path(), Clip::H264), &looped()).unwrap();
    let error = error_of(&settings(&plain.url().replace("rtsp:", "rtsps:"))).to_string();
    assert!(error.contains("the one for rtsps") && !error.contains("certificate"), "{error}");
}

#[test]
fn a_ca_file_that_cannot_be_used_is_refused_by_name_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings("rtsps://127.0.0.1:1/x");
    settings.ca = Some(dir.path().join("none.pem"));
    let error = error_of(&settings).to_string();
    assert!(error.contains("none.pem: cannot be read"), "{error}");
    let wrong = dir.path().join("wrong.pem");
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&wrong, text).unwrap();
        settings.ca = Some(wrong.clone());
        let error = error_of(&settings).to_string();
        assert!(error.contains("wrong.pem: ") && error.contains("PEM file of certificates"), "{error}");
    }
}

#[test]
fn a_camera_that_points_to_another_host_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip::H264);
    let target = RtspServer::start(&path, &looped()).unwrap();
    // The same machine under another name: nothing but the name tells them apart.
    let (elsewhere, same) = (target.url().replace("127.0.0.1", "localhost"), target.url());
    for (to, followed) in [(elsewhere, false), (same, true)] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let location = to.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut client = client;
                let mut sequence = String::new();
                for line in BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok) {
                    if let Some(n) = line.strip_prefix("CSeq:") {
                        sequence = n.trim().to_owned();
                    } else if line.is_empty() {
                        let answer = format!("RTSP/1.0 302 Found\r\nCSeq: {sequence}\r\nLocation: {location}\r\n\r\n");
                        let _ = client.write_all(answer.as_bytes());
                    }
                }
            }
        });
        let mut settings = settings(&format!("rtsp://127.0.0.1:{port}/stream"));
        settings.credential = Some(Credential::new("admin", "hunter2"));
        if followed {
            assert_eq!(frames(&settings, 1).len(), 1);
        } else {
            let error = error_of(&settings).to_string();
            assert!(error.contains(&format!("sends us on to {to}")), "{error}");
        }
    }
}

#[test]
fn probe_reaches_a_camera_by_its_ca_file_and_writes_it_into_the_block() {
    let dir = tempfile::tempdir().unwrap();
    clip(dir.path(), Clip::H264);
    let own = Says { host: "ipcam", ..GOOD }.alone();
    let ca = dir.path().join("own.pem");
    std::fs::write(&ca, &own.certificate).unwrap();
    let server = serve(&dir, own);
    let password = dir.path().join("password");
    std::fs::write(&password, format!("admin:{PASSWORD}")).unwrap();
    let probe = |options: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_watchpost"));
        command.args(["probe", &server.url(), "--seconds", "1", "--credential", password.to_str().unwrap()]);
        let output = command.args(options).env_remove("RUST_LOG").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = probe(&[]);
    assert!(
        code == Some(1) && said.contains("its certificate") && said.contains("name it in the camera's ca"),
        "{said}"
    );
    let (code, said) = probe(&["--ca", ca.to_str().unwrap(), "--transport", "tcp"]);
    assert_eq!(code, Some(0), "{said}");
    let lines =
        [format!("ca = \"{}\"", ca.display()), "transport = \"tcp\"".to_owned(), format!("uri = \"{}\"", server.url())];
    assert!(lines.iter().all(|line| said.contains(line)) && !said.contains(PASSWORD), "{said}");
}
