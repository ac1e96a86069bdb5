//! A box and its centre as `watchpost init --centre` makes them, and the program run on them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use watchpost::centre::boxes::Boxes;
use watchpost::centre::client::Parts;
use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::receipts::Receipts;
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics;
use watchpost::cli::init;
use watchpost::clock::Clock;
use watchpost::config::{self, Config};
use watchpost::domain::{BoxId, Broker, SiteId};
use watchpost::store::Store;
use watchpost::supervise;

pub use super::said::Said;

use super::broker::{Mosquitto, free_port};
use super::centre::Centre;
use super::site::Authority;

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The section of a camera; `more` is further lines of it.
pub fn camera(id: &str, number: u16, uri: &str, more: &str) -> String {
    format!("[[camera]]\nid = \"{id}\"\nnumber = {number}\nuri = '{uri}'\n{more}\n")
}

/// The section of a hotlist.
pub fn hotlist(id: &str, number: u16, file: &Path, severity: &str) -> String {
    let mut text = String::new();
    writeln!(text, "[[hotlist.list]]\nid = \"{id}\"\nnumber = {number}\nfile = '{}'", file.display()).unwrap();
    writeln!(text, "severity = \"{severity}\"").unwrap();
    text
}

pub struct OneBox {
    dir: tempfile::TempDir,
    port: u16,
}

impl OneBox {
    pub fn new() -> Self {
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

    /// Where its broker listens.
    #[allow(dead_code, reason = "asked by the fault campaign")]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A file or folder of the box.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the box and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Adds these sections to the configuration, in place of those added before.
    pub fn configure(&self, sections: &[String]) {
        self.file("conf.d/test.toml", sections.concat());
    }

    pub fn broker(&self) -> Mosquitto {
        Mosquitto::start(&self.path("centre/broker/mosquitto.conf"))
    }

    /// A broker at the same port whose certificate comes from another authority.
    pub fn strange_broker(&self) -> Mosquitto {
        let other = Authority::new(&self.path("other")).issue("broker");
        let text = std::fs::read_to_string(self.path("centre/broker/mosquitto.conf")).unwrap();
        let folder = self.path("centre/tls");
        let swap = |text: String, own: &str, others: &Path| {
            let own = folder.join(own).display().to_string();
            assert!(text.contains(&own), "{text}");
            text.replace(&own, &others.display().to_string())
        };
        let text = swap(text, "broker.pem", &other.certificate);
        let text = swap(text, "broker-key.pem", &other.private_key);
        Mosquitto::start(&self.file("other/mosquitto.conf", text))
    }

    /// A centre that listens and acknowledges; there must be a broker.
    pub async fn centre(&self) -> Centre {
        let tls = TlsFiles {
            ca: self.path("centre/tls/ca.pem"),
            certificate: self.path("centre/tls/centre.pem"),
            private_key: self.path("centre/tls/centre-key.pem"),
        };
        let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", self.port)).unwrap();
        Centre::start(Parts {
            link: LinkSettings::new(broker, Some(tls), "watchpostctl"),
            topic_root: topics::DEFAULT_ROOT.to_owned(),
            boxes: Boxes::read(&self.path("centre/boxes.toml")).unwrap(),
            delivery_key: SigningKey::read(&self.path("centre/keys/delivery.key")).unwrap(),
            receipts: Receipts::open(&self.path("centre/tail.state")).unwrap(),
            gap_after: Duration::from_secs(2),
            clock: Clock::system(),
        })
        .await
    }

    /// `watchpost VERB --config …`, not yet started.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = watchpost();
        command.arg(verb).arg("--config").arg(self.path("watchpost.toml"));
        command
    }

    /// Runs `watchpost VERB --config … OPTIONS` to its end, off this task's thread.
    pub async fn run(&self, verb: &str, options: &[&str]) -> Said {
        let mut command = self.command(verb);
        command.args(options);
        tokio::task::spawn_blocking(move || Said::of(command.output().unwrap())).await.unwrap()
    }

    pub fn config(&self) -> Config {
        config::load(&self.path("watchpost.toml")).unwrap()
    }

    /// The box's store, when no daemon has it.
    pub fn store(&self) -> Store {
        supervise::open_store(&self.config(), [0; 4], &Clock::system()).unwrap()
    }
}

/// The program, with nothing to read.
pub fn watchpost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}
