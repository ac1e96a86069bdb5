//! A real mosquitto on a free port of loopback, with TLS, client certificates and our ACL.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where [`free_port`] looks.
const FIRST_PORT: u32 = 20_000;
const PORTS: u32 = 12_000;

/// A port that nobody listens on, and that no connection of this machine is given: below those that the kernel gives
/// out (32768 and up), or a test beside could take it before a server listens on it, or between two of them. Each
/// process looks at other ones first, and gives none twice.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(7_919);
    let ports = (0..PORTS).map(|_| begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS + FIRST_PORT);
    let mut ports = ports.map(|port| u16::try_from(port).unwrap());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// The broker's process; ends with this value.
pub struct Mosquitto {
    config: PathBuf,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts with the config file and returns when it listens.
    pub fn start(config: &Path) -> Self {
        let mut broker = Self { config: config.to_owned(), child: None };
        broker.restart();
        broker
    }

    /// Starts again after [`Mosquitto::kill`], and returns when it listens.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the broker runs");
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto: apt install mosquitto");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            match log.next() {
                Some(line) => {
                    let line = line.unwrap();
                    if line.contains("running") {
                        break;
                    }
                    said.push(line);
                }
                None => panic!("mosquitto did not start: {said:#?}"),
            }
        }
        // Its pipe must not fill up.
        std::thread::spawn(move || log.for_each(drop));
        self.child = Some(child);
    }

    /// SIGKILL, as when the machine loses power.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGSTOP: the port stays open and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGHUP: access rules are read again.
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("the broker runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
