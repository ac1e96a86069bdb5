//! The console: one page in the browser, `/metrics` and `/healthz`, on loopback or a unix socket alone. Off unless asked for.
//!
//! Whoever has the token sees how the box is and what its cameras see now; nothing of the configuration can be changed here:
//! the editor of zones, lines and masks gives a block to paste. What a camera shows is given behind its privacy masks, with persons made
//! unrecognisable, for a purpose that is in the audit log first ([`live`]). Reads, crops and clips are asked for by a signed
//! command, through the same gate, executor and audit as from the unix socket ([`reads`]): the token alone opens none.
//!
//! ```text
//! browser ─► server (32 connections, bounded heads, bodies, times) ─► guard (Host, token or cookie, wrong tokens) ─► route
//!     ─► Door (what the wiring gives: health, pictures, questions) ─► answer (headers of every answer)
//! ```
//! One thread with a runtime of its own; what may wait (a picture, a question) waits on four threads beside it. Nothing of the box
//! waits for the console, and a console that fails costs the page alone.

mod answer;
mod bucket;
pub mod door;
mod guard;
mod live;
mod looks;
mod metrics;
mod page;
mod reads;
mod route;
mod server;
mod told;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

pub use door::{Door, Live, Mark};

use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::health::Health;

/// Threads for what waits.
const WAITING: usize = 4;
/// How long the listening may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// Shortest token, characters: nobody guesses one of so many.
pub const SHORTEST_TOKEN: usize = 20;

/// What the console is made of.
pub struct Parts {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Its section.
    pub section: crate::config::Console,
    /// What opens it.
    pub token: Zeroizing<String>,
    /// Counters.
    pub health: Arc<Health>,
    /// Width below which a plate is not read, pixels: what the ruler holds against.
    pub min_plate_width: f32,
    /// What the wiring gives.
    pub door: Arc<dyn Door>,
    /// Time.
    pub clock: Clock,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is too short.
    #[error(
        "the console's token has {found} characters, wanted {SHORTEST_TOKEN} or more: make one with `openssl rand -hex 24`"
    )]
    ShortToken {
        /// Its length.
        found: usize,
    },
    /// Somebody else listens there, or may not.
    #[error("cannot listen at {place}")]
    Listen {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start the console's thread")]
    Thread(#[source] io::Error),
}

/// The running console.
pub struct Console {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    /// All of it is free when nothing is worked at.
    work: Arc<Semaphore>,
}

impl Console {
    /// Listens; returns when whoever connects is answered.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start(parts: Parts) -> Result<Self, Error> {
        let found = parts.token.chars().count();
        if found < SHORTEST_TOKEN {
            return Err(Error::ShortToken { found });
        }
        let listen = parts.section.listen.clone();
        let place = match &listen {
            Listen::Tcp(at) => at.to_string(),
            Listen::Unix(path) => path.display().to_string(),
        };
        let (stop, stopped) = watch::channel(false);
        let (tell, begun) = sync_channel(1);
        let shared = Arc::new(route::Shared::new(parts));
        let working = Arc::clone(&shared.work);
        let work = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WAITING).build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                // Whoever started it waits for the answer, which fits.
                Err(error) => return drop(tell.send(Err(error))),
            };
            runtime.block_on(async move {
                match server::bind(&listen) {
                    Ok(listener) => {
                        let _ = tell.send(Ok(()));
                        server::serve(listener, shared, stopped).await;
                        if let Listen::Unix(path) = &listen {
                            // Nobody finds a socket that nobody serves.
                            let _ = std::fs::remove_file(path);
                        }
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
            // A picture that is waited for comes or not.
            runtime.shutdown_timeout(Duration::from_millis(500));
        };
        let thread = std::thread::Builder::new().name("console".to_owned()).spawn(work).map_err(Error::Thread)?;
        match begun.recv_timeout(BEGIN_WITHIN) {
            Ok(Ok(())) => {
                tracing::info!(at = place, "the console listens");
                Ok(Self { stop, thread, work: working })
            }
            Ok(Err(source)) => Err(Error::Listen { place, source }),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Error::Listen { place, source: io::ErrorKind::TimedOut.into() })
            }
        }
    }

    /// Ends, and lets go of the door; false: its thread, or something that it was asked, was left behind.
    #[must_use]
    pub fn stop(self, at_most: Duration) -> bool {
        let _ = self.stop.send(true);
        crate::shutdown::waited(at_most, || {
            self.thread.is_finished() && self.work.available_permits() == route::AT_ONCE
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, SyncSender};

    use super::*;
    use crate::centre::ask::{Outcome, Question};
    use crate::centre::wire::HealthReport;
    use crate::command::Refusal;
    use crate::domain::{CameraId, Purpose, Reason};

    const TOKEN: &str = "5c0d8a6e1f4b47d2a9e3";

    /// A door behind which a picture takes as long as the test wants; `held` is what the rooms behind it hold, as a store.
    struct Slow {
        entered: SyncSender<()>,
        leave: Mutex<Receiver<()>>,
        _held: Arc<()>,
    }

    impl Door for Slow {
        fn report(&self) -> HealthReport {
            unreachable!("nobody asks")
        }

        fn waiting(&self) -> [u64; 4] {
            [0; 4]
        }

        fn well(&self) -> Result<(), String> {
            Ok(())
        }

        fn look(&self, _: &CameraId, _: Option<Purpose>, _: Duration) -> Result<(), Refusal> {
            Ok(())
        }

        fn picture(&self, _: &CameraId) -> Result<Live, Refusal> {
            self.entered.send(()).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
            Err(Refusal::new(Reason::Conflict, "none"))
        }

        fn reads(&self) -> Result<(), String> {
            Err(String::new())
        }

        fn ask(&self, _: Question) -> Result<Outcome, String> {
            unreachable!("nobody asks")
        }
    }

    fn asks(socket: &Path, method: &str, path: &str, body: &str) -> UnixStream {
        let mut stream = UnixStream::connect(socket).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Whether a console's own thread is still there; no other test has one.
    fn runs() -> bool {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks
            .flatten()
            .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "console\n"))
    }

    #[test]
    fn a_stop_waits_until_nobody_holds_what_is_behind_the_door() {
        for (leaves, stopped_well) in [(true, true), (false, false)] {
            let dir = tempfile::tempdir().unwrap();
            let (path, socket) = (dir.path().join("watchpost.toml"), dir.path().join("console.sock"));
            let text = "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[console]\nsocket = '";
            std::fs::write(&path, format!("{text}{}'\n", socket.display())).unwrap();
            let config = Arc::new(crate::config::load(&path).unwrap());
            let ((entered, inside), (leave, left)) = (sync_channel(1), sync_channel(1));
            let held = Arc::new(());
            let door = Slow { entered, leave: Mutex::new(left), _held: Arc::clone(&held) };
            let console = Console::start(Parts {
                section: config.console.clone().unwrap(),
                config,
                token: Zeroizing::new(TOKEN.to_owned()),
                health: Health::new(),
                min_plate_width: 24.0,
                door: Arc::new(door),
                clock: Clock::system(),
            })
            .unwrap();
            let mut said = String::new();
            let look = r#"{"camera": "gate", "purpose": "maintenance"}"#;
            asks(&socket, "POST", "/api/look", look).read_to_string(&mut said).unwrap();
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
            let _picture = asks(&socket, "GET", "/api/picture/gate", "");
            inside.recv().unwrap();
            let at_most = if leaves { Duration::from_mins(2) } else { Duration::from_secs(2) };
            let stopping = std::thread::spawn(move || console.stop(at_most));
            // Its thread leaves the picture behind, which still holds what is behind the door.
            while runs() {
                std::thread::yield_now();
            }
            if leaves {
                assert!(!stopping.is_finished() && Arc::strong_count(&held) == 2);
                leave.send(()).unwrap();
            }
            assert_eq!(stopping.join().unwrap(), stopped_well);
            assert_eq!(Arc::strong_count(&held), if leaves { 1 } else { 2 });
            let _ = leave.try_send(());
        }
    }
}
