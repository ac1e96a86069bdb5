//! A real mosquitto on a free port of loopback, with TLS, client certificates and our ACL.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A port of loopback that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
