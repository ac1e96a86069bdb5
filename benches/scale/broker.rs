//! The real mosquitto, and what its log says of connections, with the time at which it said so.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::measure::Used;

/// What the log said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// TCP was accepted.
    Knock,
    /// TLS and CONNECT went well.
    Session,
    /// A connection ended in another way than by DISCONNECT.
    Broken,
}

/// The broker's process; ends with this value.
pub struct Mosquitto {
    config: PathBuf,
    child: Option<Child>,
    /// What its dead predecessors used.
    before: u64,
    log: Arc<Mutex<Vec<(Instant, Said)>>>,
}

impl Mosquitto {
    /// Starts it and returns when it listens.
    pub fn start(config: PathBuf) -> Result<Self> {
        let mut broker = Self { config, child: None, before: 0, log: Arc::default() };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts it again after [`Mosquitto::kill`]; returns when it listens.
    pub fn restart(&mut self) -> Result<()> {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("mosquitto: apt install mosquitto")?;
        let stderr = child.stderr.take().context("mosquitto's log")?;
        self.child = Some(child);
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.contains("running") => break,
                Some(line) => said.push(line?),
                None => bail!("mosquitto did not start: {said:#?}"),
            }
        }
        let log = Arc::clone(&self.log);
        std::thread::Builder::new().name("broker-log".to_owned()).spawn(move || {
            for line in lines.map_while(Result::ok) {
                let kind = match line.as_str() {
                    line if line.contains("New connection from") => Said::Knock,
                    line if line.contains("New client connected") => Said::Session,
                    line if line.contains("disconnected.") || line.contains("not authorised") => continue,
                    line if ["disconnect", "Error", "error", "exceeded"].iter().any(|word| line.contains(word)) => {
                        Said::Broken
                    }
                    _ => continue,
                };
                log.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), kind));
            }
        })?;
        Ok(())
    }

    /// SIGKILL, as when its machine loses power.
    pub fn kill(&mut self) {
        self.before = self.used().cpu_ms;
        if let Some(mut child) = self.child.take() {
            // Fails when it has ended by itself, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it and its predecessors used.
    pub fn used(&self) -> Used {
        let now = self.child.as_ref().map(|child| Used::of(child.id())).unwrap_or_default();
        Used { cpu_ms: now.cpu_ms + self.before, ..now }
    }

    /// What the log said since `begin`.
    pub fn said(&self, begin: Instant) -> Vec<(Instant, Said)> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|(at, _)| *at >= begin).copied().collect()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
