//! Keys, certificates and the broker's configuration of the run, in a folder of its own that goes with it.
//!
//! As `watchpost init --centre` lays them out: one authority, a certificate a box whose common name is the box id, the
//! access rules of [`topics::mosquitto_acl`], and a keyring with a delivery key.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use watchpost::centre::boxes::{Boxes, KnownBox};
use watchpost::centre::keyring::{Entry, KeyBook, Keyring, Role};
use watchpost::centre::keys::{BoxKey, SigningKey};
use watchpost::centre::link::LinkSettings;
use watchpost::centre::session::Identity;
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::{self, Topics};
use watchpost::domain::{BoxId, Broker, SiteId, TimeMs};

/// Who the centre is to the broker.
pub const CENTRE: &str = "centre";
/// Where all boxes are.
pub const SITE: &str = "north";

/// The run's folder and what lies in it.
pub struct Site {
    /// Goes with everything in it when it is dropped.
    pub dir: tempfile::TempDir,
    /// Where the broker listens.
    pub port: u16,
    authority: CertifiedIssuer<'static, KeyPair>,
    keyring: KeyBook,
    registry: Boxes,
}

/// Who one box is.
pub struct Who {
    /// Its id.
    pub id: BoxId,
    /// Its topics and keys.
    pub identity: Identity,
    /// Its way to the broker.
    pub link: LinkSettings,
}

/// The id of box `n`.
pub fn box_id(n: usize) -> Result<BoxId> {
    Ok(BoxId::new(&format!("box-{n:04}"))?)
}

/// Which box an id names.
pub fn box_number(id: &str) -> Option<usize> {
    id.strip_prefix("box-")?.parse().ok()
}

/// The link of `name` to the broker on `port`, with the files that [`Site::issue`] wrote to `dir`.
pub fn link(dir: &Path, port: u16, name: &str) -> Result<LinkSettings> {
    let broker = Broker::parse(&format!("mqtts://127.0.0.1:{port}"))?;
    let file = |name: String| dir.join("tls").join(name);
    let tls = TlsFiles {
        ca: file("ca.pem".to_owned()),
        certificate: file(format!("{name}.pem")),
        private_key: file(format!("{name}.key")),
    };
    Ok(LinkSettings::new(broker, Some(tls), name))
}

impl Site {
    /// Makes the folder below `base`, with everything but the boxes.
    pub fn new(base: &Path) -> Result<Self> {
        fs::create_dir_all(base)?;
        let dir = tempfile::Builder::new().prefix("scale-").tempdir_in(base)?;
        fs::create_dir(dir.path().join("tls"))?;
        let mut params = CertificateParams::new(vec![])?;
        params.distinguished_name.push(DnType::CommonName, "authority of the scale bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(dir.path().join("tls/ca.pem"), authority.pem())?;
        let delivery = SigningKey::create(&dir.path().join("delivery.key"))?;
        let entry = Entry {
            key: delivery.public().clone(),
            name: "delivery".to_owned(),
            role: Role::Delivery,
            org: "bench".to_owned(),
            not_before: TimeMs(0),
            not_after: None,
            revoked: None,
            supervisor: false,
        };
        let keyring = KeyBook::from(Keyring { serial: 1, issued: TimeMs(0), entries: vec![entry] });
        // Asked of the system and given back at once: the broker takes it a moment later.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let site = Self { dir, port, authority, keyring, registry: Boxes::default() };
        site.issue("broker")?;
        site.issue(CENTRE)?;
        site.configure_broker()?;
        Ok(site)
    }

    /// Key and certificate of `name`.
    fn issue(&self, name: &str) -> Result<()> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let file = |extension: &str| self.dir.path().join(format!("tls/{name}.{extension}"));
        fs::write(file("pem"), params.signed_by(&key, &self.authority)?.pem())?;
        fs::write(file("key"), key.serialize_pem())?;
        fs::set_permissions(file("key"), fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// The limits are those that `watchpost init --centre` writes.
    fn configure_broker(&self) -> Result<()> {
        let dir = self.dir.path().display();
        let acl = self.dir.path().join("acl");
        fs::write(&acl, topics::mosquitto_acl(topics::DEFAULT_ROOT, CENTRE)?)?;
        fs::set_permissions(&acl, fs::Permissions::from_mode(0o600))?;
        fs::create_dir(self.dir.path().join("broker-data"))?;
        let user = if rustix::process::getuid().is_root() { "user root\n" } else { "" };
        let text = format!(
            "{user}listener {} 127.0.0.1\ncafile {dir}/tls/ca.pem\ncertfile {dir}/tls/broker.pem\n\
             keyfile {dir}/tls/broker.key\ntls_version tlsv1.2\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\nacl_file {dir}/acl\n\
             persistence true\npersistence_location {dir}/broker-data/\nautosave_interval 60\n\
             persistent_client_expiration 14d\nmax_inflight_messages 20\nmax_queued_messages 10000\n\
             max_queued_bytes 67108864\nmessage_size_limit 81920\nmax_keepalive 600\n\
             log_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\nlog_type information\n",
            self.port,
        );
        Ok(fs::write(self.broker_config(), text)?)
    }

    /// The broker's configuration file.
    pub fn broker_config(&self) -> PathBuf {
        self.dir.path().join("mosquitto.conf")
    }

    /// Registers box `n`.
    pub fn add_box(&mut self, n: usize) -> Result<Who> {
        let (site, id) = (SiteId::new(SITE)?, box_id(n)?);
        let (key, _) = SigningKey::generate()?;
        self.registry.add(id.clone(), KnownBox::new(site.clone(), key.public().clone()));
        self.issue(id.as_str())?;
        let identity = Identity {
            topics: Topics::new(topics::DEFAULT_ROOT, &site, &id)?,
            key: BoxKey::from(key),
            keyring: self.keyring.clone(),
        };
        Ok(Who { link: link(self.dir.path(), self.port, id.as_str())?, id, identity })
    }

    /// Writes the registry of boxes for the centre.
    pub fn write_registry(&self) -> Result<()> {
        let path = self.dir.path().join("boxes.toml");
        fs::write(&path, self.registry.to_toml()).with_context(|| path.display().to_string())
    }
}
