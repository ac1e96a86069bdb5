//! What `watchpost init --centre` makes, held to openssl, mosquitto and the session's own connection.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use watchpost::centre::keys::{PublicKey, SigningKey, hex};
use watchpost::centre::link::{self, Events, LinkEvent, LinkSettings, Sender, Taken, Token};
use watchpost::centre::tls::{self, TlsFiles};
use watchpost::centre::topics::{DEFAULT_ROOT, Kind, Topics, centre_filters};
use watchpost::cli::{decode, init};
use watchpost::clock::{Clock, SimClock};
use watchpost::domain::{Ack, Alert, BoxId, Broker, Epoch, Severity, SiteId, TimeMs};

use crate::kit::broker::{Mosquitto, free_port};
use crate::kit::site::Authority;

const LONG: Duration = Duration::from_secs(20);

/// A box `box-1` of the site `north` with its centre, as `init` makes them.
struct Made {
    dir: TempDir,
    port: u16,
}

impl Made {
    fn new() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let args = init::Args {
            centre: Some(dir.path().join("centre")),
            dir: Some(dir.path().to_owned()),
            site: SiteId::new("north").unwrap(),
            box_id: BoxId::new("box-1").unwrap(),
            port,
            home_assistant: None,
            config: None,
        };
        init::run(&args, &Clock::system(), &mut Vec::new()).unwrap();
        Self { dir, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn broker(&self) -> Mosquitto {
        Mosquitto::start(&self.path("centre/broker/mosquitto.conf"))
    }

    fn link(&self, id: &str, certificate: PathBuf, private_key: PathBuf) -> LinkSettings {
        let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", self.port)).unwrap();
        let tls = TlsFiles { ca: self.path("tls/ca.pem"), certificate, private_key };
        LinkSettings::new(broker, Some(tls), id)
    }

    fn box_1(&self) -> LinkSettings {
        self.link("box-1", self.path("tls/box.pem"), self.path("tls/box-key.pem"))
    }

    fn centre(&self) -> LinkSettings {
        self.link("watchpostctl", self.path("centre/tls/centre.pem"), self.path("centre/tls/centre-key.pem"))
    }

    /// A second box of the same authority, by openssl; with `extensions` as its certificate has them.
    fn box_2(&self, extensions: &str) -> LinkSettings {
        let (key, request, certificate) = (self.path("2-key.pem"), self.path("2.csr"), self.path("2.pem"));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", text(&key)]);
        openssl(&["req", "-new", "-key", text(&key), "-subj", "/CN=box-2", "-out", text(&request)]);
        let (ca, ca_key, file) =
            (self.path("centre/tls/ca.pem"), self.path("centre/tls/ca-key.pem"), self.path("2.ext"));
        std::fs::write(&file, extensions).unwrap();
        let issue =
            ["x509", "-req", "-days", "2", "-CAcreateserial", "-in", text(&request), "-out", text(&certificate)];
        openssl(&[&issue[..], &["-CA", text(&ca), "-CAkey", text(&ca_key), "-extfile", text(&file)]].concat());
        self.link("box-2", certificate, key)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What openssl prints; it must succeed.
fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).stdin(Stdio::null()).output().expect("apt install openssl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "openssl {args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn topics(box_id: &str) -> Topics {
    Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &BoxId::new(box_id).unwrap()).unwrap()
}

/// One end of a connection that stands.
struct End {
    sender: Sender,
    events: Events,
}

impl End {
    async fn connect(settings: &LinkSettings) -> Self {
        let (sender, events) = link::open(settings, &Clock::system(), None).unwrap();
        let mut end = Self { sender, events };
        end.until(|event| matches!(event, LinkEvent::Connected { .. }).then_some(())).await;
        end
    }

    /// The first event that `pick` takes.
    async fn until<T>(&mut self, pick: impl Fn(LinkEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.next().await.unwrap();
                if let Some(picked) = pick(self.sender.understand(event)) {
                    return picked;
                }
            }
        };
        tokio::time::timeout(LONG, wait).await.expect("the broker says something in time")
    }

    async fn publish(&mut self, topic: &str, payload: &[u8]) -> Taken {
        assert!(self.sender.publish(topic, payload.to_vec(), false, Token::Other));
        self.until(|event| match event {
            LinkEvent::Published { taken, .. } => Some(taken),
            _ => None,
        })
        .await
    }

    async fn subscribe(&mut self, filters: &[String]) {
        assert!(self.sender.subscribe(filters));
        self.until(|event| matches!(event, LinkEvent::Subscribed { .. }).then_some(())).await;
    }

    async fn message(&mut self) -> (String, Vec<u8>) {
        self.until(|event| match event {
            LinkEvent::Message { topic, payload, .. } => Some((topic, payload)),
            _ => None,
        })
        .await
    }
}

#[test]
fn openssl_accepts_the_certificates_each_for_its_purpose() {
    let made = Made::new();
    let ca = made.path("tls/ca.pem");
    let verify = |purpose: &str, more: &[&str], certificate: &Path| {
        let args = [&["verify", "-x509_strict", "-CAfile", text(&ca), "-purpose", purpose], more, &[text(certificate)]];
        Command::new("openssl").args(args.concat()).output().unwrap().status.success()
    };
    let broker = made.path("centre/tls/broker.pem");
    assert!(verify("sslserver", &["-verify_hostname", "localhost"], &broker));
    assert!(verify("sslserver", &["-verify_ip", "127.0.0.1"], &broker));
    assert!(!verify("sslserver", &["-verify_hostname", "example.org"], &broker));
    for client in [made.path("tls/box.pem"), made.path("centre/tls/centre.pem")] {
        assert!(verify("sslclient", &[], &client));
        assert!(!verify("sslserver", &[], &client), "a client's certificate is no server's");
    }
    assert!(!verify("sslclient", &[], &broker), "the broker's certificate is no client's");
    let subject = openssl(&["x509", "-noout", "-subject", "-in", text(&made.path("tls/box.pem"))]);
    assert_eq!(subject.trim(), "subject=CN = box-1");
}

#[test]
fn openssl_reads_our_signing_keys_and_we_read_those_of_openssl() {
    let made = Made::new();
    let ours = made.path("data/keys/box.key");
    let public = openssl(&["pkey", "-in", text(&ours), "-pubout"]);
    assert_eq!(public, std::fs::read_to_string(made.path("data/keys/box.pub")).unwrap());
    let theirs = made.path("theirs.key");
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&theirs)]);
    let theirs_public = made.path("theirs.pub");
    openssl(&["pkey", "-in", text(&theirs), "-pubout", "-out", text(&theirs_public)]);
    let key = SigningKey::read(&theirs).unwrap();
    assert_eq!(*key.public(), PublicKey::read(&theirs_public).unwrap());
}

#[tokio::test]
async fn a_box_publishes_under_its_own_name_alone() {
    let made = Made::new();
    let _broker = made.broker();
    let mut centre = End::connect(&made.centre()).await;
    centre.subscribe(&centre_filters(DEFAULT_ROOT).unwrap()).await;
    let mut stranger = End::connect(&made.box_2("extendedKeyUsage=clientAuth")).await;
    let (own, other) = (topics("box-2"), topics("box-1"));
    for forbidden in [
        other.alert(Severity::Critical),
        other.status(),
        other.health(),
        // Not even its own topics that go down, nor what is no topic of ours.
        own.ack(),
        own.of(&Kind::Command { op: "box.restart".into(), id: "1".into() }),
        "elsewhere".to_owned(),
    ] {
        assert_eq!(stranger.publish(&forbidden, b"forged").await, Taken::Refused, "{forbidden}");
    }
    assert_eq!(stranger.publish(&own.alert(Severity::Info), b"own").await, Taken::Yes);
    let mut rightful = End::connect(&made.box_1()).await;
    assert_eq!(rightful.publish(&other.alert(Severity::Critical), b"rightful").await, Taken::Yes);
    // The broker keeps the order: had anything forged come through, the centre would hear it first.
    assert_eq!(centre.message().await, (own.alert(Severity::Info), b"own".to_vec()));
    assert_eq!(centre.message().await, (other.alert(Severity::Critical), b"rightful".to_vec()));
}

#[tokio::test]
async fn a_box_hears_its_own_topics_alone() {
    let made = Made::new();
    let _broker = made.broker();
    let mut curious = End::connect(&made.box_2("extendedKeyUsage=clientAuth")).await;
    let mut filters: Vec<String> = topics("box-1").box_filters().into();
    filters.extend(["#".to_owned(), format!("{DEFAULT_ROOT}/#")]);
    curious.subscribe(&filters).await;
    let mut rightful = End::connect(&made.box_1()).await;
    rightful.subscribe(&topics("box-1").box_filters()).await;
    assert_ne!(rightful.publish(&topics("box-1").status(), b"for the centre").await, Taken::Refused);
    let mut centre = End::connect(&made.centre()).await;
    let command = topics("box-1").of(&Kind::Command { op: "camera.list".into(), id: "1".into() });
    for topic in [topics("box-1").ack(), command.clone()] {
        assert_ne!(centre.publish(&topic, b"for box-1").await, Taken::Refused);
    }
    assert_eq!(centre.publish(&topics("box-2").ack(), b"for box-2").await, Taken::Yes);
    assert_eq!(curious.message().await, (topics("box-2").ack(), b"for box-2".to_vec()));
    assert_eq!(rightful.message().await.0, topics("box-1").ack());
    assert_eq!(rightful.message().await.0, command);
}

#[tokio::test]
async fn the_centre_writes_only_what_goes_down() {
    let made = Made::new();
    let _broker = made.broker();
    let mut centre = End::connect(&made.centre()).await;
    for up in [topics("box-1").alert(Severity::Info), topics("box-1").status()] {
        assert_eq!(centre.publish(&up, b"forged").await, Taken::Refused, "{up}");
    }
    assert_ne!(centre.publish(&topics("box-1").ack(), b"ack").await, Taken::Refused);
}

#[tokio::test]
async fn clients_without_a_certificate_of_this_authority_are_refused() {
    let made = Made::new();
    let _broker = made.broker();
    // None at all. TLS 1.2, where the handshake itself fails.
    let address = format!("127.0.0.1:{}", made.port);
    let ca = made.path("tls/ca.pem");
    let none = ["s_client", "-tls1_2", "-brief", "-CAfile", text(&ca), "-connect", &address];
    let status = Command::new("openssl").args(none).stdin(Stdio::null()).output().unwrap().status;
    assert!(!status.success());
    // Of another authority, with the name of the box.
    let strange = Authority::new(&made.path("strange")).issue("box-1");
    let settings = made.link("box-1", strange.certificate, strange.private_key);
    let (_sender, mut events) = link::open(&settings, &Clock::system(), None).unwrap();
    let refused = tokio::time::timeout(LONG, async {
        loop {
            if let Err(fault) = events.next().await {
                return fault;
            }
        }
    });
    refused.await.expect("a refusal in time");
}

/// The files of the box with one replaced by `text`.
fn tls_error(made: &Made, replace: &str, content: &str, clock: &Clock) -> String {
    let mut files = TlsFiles {
        ca: made.path("tls/ca.pem"),
        certificate: made.path("tls/box.pem"),
        private_key: made.path("tls/box-key.pem"),
    };
    let path = made.path(&format!("bad-{replace}"));
    let _ = std::fs::remove_file(&path);
    watchpost::centre::keys::write_new(&path, content.as_bytes(), 0o600).unwrap();
    match replace {
        "ca" => files.ca = path,
        "certificate" => files.certificate = path,
        "private_key" => files.private_key = path,
        _ => {}
    }
    let error = tls::client_config(&files, clock).unwrap_err().to_string();
    assert!(replace == "none" || error.contains(&format!("bad-{replace}")), "{error}");
    error
}

#[test]
fn tls_files_that_are_wrong_are_named_with_what_is_wrong() {
    let made = Made::new();
    let now = Clock::system();
    let read = |name: &str| std::fs::read_to_string(made.path(name)).unwrap();
    for replace in ["ca", "certificate", "private_key"] {
        let error = tls_error(&made, replace, "no PEM at all", &now);
        assert!(error.contains("in PEM"), "{error}");
        let error = tls_error(&made, replace, "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", &now);
        assert!(error.contains("PEM"), "{error}");
    }
    let error = tls_error(&made, "private_key", &read("centre/tls/centre-key.pem"), &now);
    assert!(error.contains("is not the key of") && error.contains("box.pem"), "{error}");
    assert!(tls_error(&made, "private_key", &read("tls/box.pem"), &now).contains("no private key"));
    assert!(tls_error(&made, "certificate", &read("tls/box-key.pem"), &now).contains("no certificate"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAAAAAA\n-----END CERTIFICATE-----\n";
    assert!(tls_error(&made, "certificate", broken, &now).contains("certificate"));
    assert!(tls_error(&made, "ca", broken, &now).contains("no certificate of an authority"));
    // Without extensions openssl makes version 1, which rustls does not take.
    let old = tls::client_config(&made.box_2("").tls.unwrap(), &now).unwrap_err().to_string();
    assert!(old.contains("2.pem") && old.contains("version 3"), "{old}");
}

#[test]
fn expired_and_early_certificates_are_found_before_the_broker_refuses_them() {
    let made = Made::new();
    let now = Clock::system().utc().0;
    let day = 86_400_000;
    let late = SimClock::at(TimeMs(now + 900 * day));
    let error = tls_error(&made, "none", "", &Clock::of(late));
    assert!(error.contains("box.pem") && error.contains("expired at 20"), "{error}");
    let early = SimClock::at(TimeMs(now - 2 * day));
    assert!(tls_error(&made, "none", "", &Clock::of(early)).contains("is valid only from"));
}

#[test]
fn a_private_key_for_tls_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let made = Made::new();
    let key = made.path("tls/box-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(tls_error(&made, "none", "", &Clock::system()).contains("chmod 600"));
}

fn decoded(args: &decode::Args, input: &[u8]) -> Result<serde_json::Value, String> {
    let mut out = Vec::new();
    match decode::run(args, &Clock::system(), &mut &*input, &mut out) {
        Ok(0) => Ok(serde_json::from_slice(&out).unwrap()),
        Ok(code) => Err(format!("exit {code}")),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn decode_args() -> decode::Args {
    decode::Args {
        file: None,
        topic: None,
        topic_root: DEFAULT_ROOT.to_owned(),
        key: None,
        boxes: None,
        keyring: None,
        root_key: None,
    }
}

#[test]
fn decode_shows_raw_hex_and_base64_and_verifies_when_it_can() {
    let made = Made::new();
    let key = SigningKey::read(&made.path("centre/keys/delivery.key")).unwrap();
    let topic = topics("box-1").ack();
    let ack = Ack { epoch: Epoch([1; 8]), upto: 7, also: vec![] };
    let raw = watchpost::centre::wire::sign(&ack, &topic, &key).unwrap();
    let hex = hex(&raw) + "\n";
    let base64 = data_encoding::BASE64.encode(&raw);
    for input in [raw.as_slice(), hex.as_bytes(), base64.as_bytes()] {
        let json = decoded(&decode_args(), input).unwrap();
        assert_eq!((&json["verified"], &json["message"]["upto"]), (&false.into(), &7.into()), "{json}");
        assert!(json["note"].as_str().unwrap().contains("nobody vouches"));
    }
    let keyring = decode::Args {
        topic: Some(topic.clone()),
        keyring: Some(made.path("keyring.cbor")),
        root_key: Some(made.path("root.pub")),
        ..decode_args()
    };
    let json = decoded(&keyring, &raw).unwrap();
    assert_eq!((&json["verified"], json["signer"].as_str()), (&true.into(), Some("delivery")), "{json}");
    let moved = decode::Args { topic: Some(topics("box-2").ack()), ..keyring };
    assert!(decoded(&moved, &raw).unwrap_err().contains("does not fit the content"));
    let of_box = decode::Args { topic: Some(topic), boxes: Some(made.path("centre/boxes.toml")), ..decode_args() };
    assert!(decoded(&of_box, &raw).unwrap_err().contains("is not trusted"));
    let file =
        decode::Args { file: Some(made.path("keyring.cbor")), root_key: Some(made.path("root.pub")), ..decode_args() };
    assert_eq!(decoded(&file, &[]).unwrap()["message"]["serial"], 1);
}

#[test]
fn decode_says_what_is_wrong_with_what_is_no_message() {
    for (input, says) in
        [(&b""[..], "is empty"), (b"hello", "stdin"), (b"840102", "COSE_Sign1"), (&vec![0x84; 300_000], "larger")]
    {
        let error = decoded(&decode_args(), input).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/alert.hex");
    let json = decoded(&decode::Args { file: Some(golden), ..decode_args() }, &[]).unwrap();
    assert_eq!(json["bytes"], 253);
    assert_eq!(json["message"]["match"]["says"], "possible match");
    assert_eq!(<Alert as watchpost::centre::wire::Wire>::NAME, json["message"]["kind"]);
}
