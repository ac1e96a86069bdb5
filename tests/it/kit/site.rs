//! A site with keys and certificates of its own in a temporary folder: broker, boxes, centre.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use watchpost::centre::boxes::{Boxes, KnownBox};
use watchpost::centre::carry::Carrier;
use watchpost::centre::keyring::{Entry, KeyBook, Keyring, Role};
use watchpost::centre::keys::{BoxKey, SigningKey};
use watchpost::centre::link::LinkSettings;
use watchpost::centre::mirror::Mirrors;
use watchpost::centre::publish::{News, OutboxSource};
use watchpost::centre::report::{self, Reporter};
use watchpost::centre::session::{self, Identity, SessionHandle, Settings};
use watchpost::centre::status::{CameraFacts, StatusBoard};
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::{self, Topics};
use watchpost::centre::wire::{Gauges, Place, StateDigests};
use watchpost::clock::{Challenges, Clock};
use watchpost::domain::{AckMode, BoxId, Broker, CameraId, SiteId, TimeMs};
use watchpost::health::Health;
use watchpost::shutdown::Shutdown;

use super::broker::{Mosquitto, free_port};

/// An authority with the certificates that it signed.
pub struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    serial: AtomicU64,
}

impl Authority {
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("authority of {}", dir.display()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { dir: dir.to_owned(), issuer, serial: AtomicU64::new(1) }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Certificate and key of `name`; gives their files.
    pub fn issue(&self, name: &str) -> TlsFiles {
        self.issue_into(name, &self.dir)
    }

    /// The serial number of the certificate that was issued last.
    pub fn newest_serial(&self) -> u64 {
        self.serial.load(Ordering::Relaxed)
    }

    /// Certificate and key of `name`, laid into another folder.
    pub fn issue_into(&self, name: &str, dir: &Path) -> TlsFiles {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        params.serial_number = Some(SerialNumber::from(self.serial.fetch_add(1, Ordering::Relaxed) + 1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            ca: self.ca(),
            certificate: dir.join(format!("{name}.pem")),
            private_key: dir.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.private_key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.private_key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

pub struct Site {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub authority: Authority,
    pub delivery_key: PathBuf,
    pub keyring: Arc<Keyring>,
    pub boxes: Boxes,
    pub clock: Clock,
    config: PathBuf,
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(&dir.path().join("tls"));
        let delivery_key = dir.path().join("delivery.key");
        fs::create_dir_all(dir.path().join("keys")).unwrap();
        let entry = |(name, role, supervisor): (&str, Role, bool)| {
            let own = dir.path().join(format!("keys/{name}.key"));
            let path = if role == Role::Delivery { &delivery_key } else { &own };
            Entry {
                key: SigningKey::create(path).unwrap().public().clone(),
                name: name.to_owned(),
                role,
                org: "test".to_owned(),
                not_before: TimeMs(0),
                not_after: None,
                revoked: None,
                supervisor,
            }
        };
        let seconds = [("custodian-2", Role::Custodian, false), ("supervisor", Role::Investigator, true)];
        let people = Role::ALL.into_iter().map(|role| (role.as_str(), role, false)).chain(seconds);
        let entries = people.map(entry).collect();
        let keyring = Arc::new(Keyring { serial: 1, issued: TimeMs(0), entries });
        let root = SigningKey::create(&dir.path().join("root.key")).unwrap();
        fs::write(dir.path().join("root.pub"), root.public().to_pem()).unwrap();
        fs::write(dir.path().join("keyring.cbor"), keyring.sign(&root).unwrap()).unwrap();
        let port = free_port();
        let config = dir.path().join("mosquitto.conf");
        let site = Self {
            port,
            authority,
            delivery_key,
            keyring,
            boxes: Boxes::default(),
            clock: Clock::system(),
            config,
            dir,
        };
        site.write_config(&site.authority.issue("broker"), &site.authority.ca());
        site
    }

    fn write_config(&self, broker: &TlsFiles, clients_ca: &Path) {
        let acl = self.dir.path().join("acl");
        fs::write(&acl, topics::mosquitto_acl(topics::DEFAULT_ROOT, "centre").unwrap()).unwrap();
        fs::set_permissions(&acl, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "user root\nper_listener_settings false\nallow_anonymous false\nacl_file {}\nlistener {} 127.0.0.1\n\
             cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
             persistence false\nlog_dest stderr\n",
            acl.display(),
            self.port,
            clients_ca.display(),
            broker.certificate.display(),
            broker.private_key.display(),
        );
        fs::write(&self.config, text).unwrap();
    }

    /// The broker's access rules: all of them, or none but for the status topics. [`Mosquitto::reload`] makes them count.
    pub fn set_acl(&self, alerts: bool) {
        let acl = self.dir.path().join("acl");
        let text = topics::mosquitto_acl(topics::DEFAULT_ROOT, "centre").unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| alerts || !line.contains("alert")).collect();
        fs::write(&acl, kept.join("\n") + "\n").unwrap();
    }

    /// The broker's next start takes the certificate of this number no more.
    pub fn revoke(&self, serial: u64) {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.dir.path().join("crl.pem");
        fs::write(&path, list.signed_by(&self.authority.issuer).unwrap().pem().unwrap()).unwrap();
        let text = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, format!("{text}crlfile {}\n", path.display())).unwrap();
    }

    /// The broker's next start shows this certificate, trusts what the authority's file then holds, and asks no list of what
    /// was revoked.
    pub fn show(&self, broker: &TlsFiles) {
        self.write_config(broker, &self.authority.ca());
    }

    pub fn start_broker(&self) -> Mosquitto {
        Mosquitto::start(&self.config)
    }

    /// A broker whose certificate comes from another authority; it still trusts this site's clients.
    pub fn start_strange_broker(&self) -> Mosquitto {
        let other = Authority::new(&self.dir.path().join("other-tls"));
        self.write_config(&other.issue("broker"), &self.authority.ca());
        self.start_broker()
    }

    /// Writes what `watchpostctl --centre` reads into a folder and gives the folder.
    pub fn centre_folder(&self) -> PathBuf {
        let folder = self.dir.path().join("centre");
        fs::create_dir_all(&folder).unwrap();
        let files = self.authority.issue("centre");
        fs::write(folder.join("boxes.toml"), self.boxes.to_toml()).unwrap();
        let text = format!(
            "broker = \"mqtts://127.0.0.1:{}\"\nca = '{}'\ncertificate = '{}'\nprivate_key = '{}'\ndelivery_key = '{}'\n\
             boxes = \"boxes.toml\"\nkeys = \"../keys\"\nkeyring = \"../keyring.cbor\"\nroot_key = \"../root.pub\"\n\
             state = \"tail.state\"\n",
            self.port,
            files.ca.display(),
            files.certificate.display(),
            files.private_key.display(),
            self.delivery_key.display(),
        );
        fs::write(folder.join("watchpostctl.toml"), text).unwrap();
        folder
    }

    pub fn link(&self, client_id: &str, tls: TlsFiles) -> LinkSettings {
        let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", self.port)).unwrap();
        LinkSettings::new(broker, Some(tls), client_id)
    }

    /// Registers a box with a key and a certificate of its own.
    pub fn add_box(&mut self, id: &str) -> TestBox {
        let (site, box_id) = (SiteId::new("north").unwrap(), BoxId::new(id).unwrap());
        let key = SigningKey::create(&self.dir.path().join(format!("{id}.sign.key"))).unwrap();
        self.boxes.add(box_id.clone(), KnownBox::new(site.clone(), key.public().clone()));
        TestBox {
            link: self.link(id, self.authority.issue(id)),
            identity: Identity {
                topics: Topics::new(topics::DEFAULT_ROOT, &site, &box_id).unwrap(),
                key: BoxKey::from(key),
                keyring: KeyBook::from(Keyring::clone(&self.keyring)),
            },
            ack: AckMode::Centre,
            health_every: session::HEALTH_EVERY,
            news: News::default(),
            clock: self.clock.clone(),
        }
    }
}

/// A box's way to the centre; a session may be started more than once, as a daemon may.
pub struct TestBox {
    pub link: LinkSettings,
    pub identity: Identity,
    pub ack: AckMode,
    pub health_every: Duration,
    pub news: News,
    pub clock: Clock,
}

/// A running session with what the test looks at.
pub struct Running {
    pub session: SessionHandle,
    pub health: Arc<Health>,
    shutdown: Shutdown,
}

impl TestBox {
    pub fn start(&self, outbox: Arc<dyn OutboxSource>) -> Running {
        self.start_mirrored(outbox, |_| Mirrors::off())
    }

    /// As it is started by a daemon whose configuration asks for mirrors.
    pub fn start_mirrored(
        &self,
        outbox: Arc<dyn OutboxSource>,
        mirrors: impl FnOnce(&Arc<Health>) -> Mirrors,
    ) -> Running {
        let health = Health::new();
        let mirrors = mirrors(&health);
        let shutdown = Shutdown::new();
        let cameras = vec![CameraFacts {
            id: CameraId::new("gate").unwrap(),
            number: 1,
            place: Place::default(),
            rules: Vec::new(),
        }];
        let reporter = Reporter::new(report::Parts {
            digests: StateDigests::new([0; 32], []),
            gauges: Box::new(|_| Gauges::default()),
            outbox: Arc::clone(&outbox),
            health: Arc::clone(&health),
            challenges: Challenges::new(self.clock.clone()),
            clock: self.clock.clone(),
        });
        let session = session::start(session::Parts {
            settings: Settings {
                link: self.link.clone(),
                topic_root: topics::DEFAULT_ROOT.to_owned(),
                ack: self.ack,
                health_every: self.health_every,
            },
            identity: self.identity.clone(),
            outbox,
            news: self.news.clone(),
            carrier: Carrier::new(self.clock.clone()),
            downward: None,
            board: StatusBoard::new(cameras, reporter, self.clock.clone()),
            mirrors,
            health: Arc::clone(&health),
            clock: self.clock.clone(),
            shutdown: shutdown.clone(),
        });
        Running { session, health, shutdown }
    }
}

impl Running {
    /// Stops in good order.
    pub async fn stop(self) {
        self.shutdown.trigger();
        self.session.ended().await;
    }

    /// Ends where it stands, as a crash would.
    pub fn die(self) {
        self.session.abort();
    }
}
