//! The daemon as a process, followed by what it says, and the centre's client run beside it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use super::one_box::{OneBox, Said};

const PATIENCE: Duration = Duration::from_mins(5);

/// Ends with this value.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl OneBox {
    /// Starts `watchpost run`.
    pub fn daemon(&self) -> Daemon {
        let mut child = self.command("run").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = sync_channel(1 << 16);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Reads on when nobody listens: the pipe must not fill up.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(tell.try_send(line))));
        Daemon { child, lines, said: Vec::new() }
    }

    /// `watchpostctl --centre … ARGS`, to its end.
    pub fn ctl(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
        command.arg("--centre").arg(self.path("centre")).args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
        Said::of(command.output().unwrap())
    }
}

impl Daemon {
    /// Waits until it has said `words` once more.
    #[track_caller]
    pub fn until(&mut self, words: &str) {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            let found = line.contains(words);
            self.said.push(line);
            if found {
                return;
            }
        }
        panic!("the daemon never said {words:?}: {:#?}", self.said);
    }

    /// What it says in this time.
    #[allow(dead_code, reason = "the fault campaign waits for words")]
    pub fn hear(&mut self, during: Duration) -> Vec<String> {
        let (begun, from) = (Instant::now(), self.said.len());
        while let Ok(line) = self.lines.recv_timeout(during.saturating_sub(begun.elapsed())) {
            self.said.push(line);
        }
        self.said.get(from..).unwrap_or_default().to_vec()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// SIGTERM, as systemd sends it; returns when it has ended.
    pub fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    /// SIGKILL, as when the process dies.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
