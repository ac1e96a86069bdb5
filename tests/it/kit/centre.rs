//! The centre's client in a task, with what it heard.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use watchpost::centre::client::{Client, Error, Heard, Next, Parts};
use watchpost::centre::keys::SigningKey;
use watchpost::centre::receipts::Receipts;
use watchpost::centre::topics;
use watchpost::centre::wire::CameraStatus;
use watchpost::domain::{Alert, Severity};
use watchpost::shutdown::Shutdown;

use super::site::Site;

/// What a centre heard, in short.
#[derive(Debug, Default)]
pub struct Log {
    /// Seq and severity of each alert that was new, in order.
    pub alerts: Vec<(u64, Severity)>,
    /// The same alerts, whole.
    #[allow(dead_code, reason = "read by tests that need decoding and models")]
    pub heard: Vec<Alert>,
    pub duplicates: usize,
    /// Words of the box's status messages.
    pub statuses: Vec<&'static str>,
    pub cameras: usize,
    /// What was said of cameras, in order.
    #[allow(dead_code, reason = "read by tests that need decoding and models")]
    pub camera_statuses: Vec<CameraStatus>,
    pub reports: usize,
    pub refused: Vec<String>,
    pub gaps: usize,
    pub connected: usize,
    pub lost: Vec<String>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Notify,
}

pub struct Centre {
    shared: Arc<Shared>,
    shutdown: Shutdown,
    task: JoinHandle<Result<Receipts, Error>>,
}

impl Site {
    pub fn state_file(&self) -> PathBuf {
        self.dir.path().join("tail.state")
    }

    /// Starts a centre on the site's state file and returns when it has a session.
    pub async fn start_centre(&self) -> Centre {
        Centre::start(Parts {
            link: self.link("centre", self.authority.issue("centre")),
            topic_root: topics::DEFAULT_ROOT.to_owned(),
            boxes: self.boxes.clone(),
            delivery_key: SigningKey::read(&self.delivery_key).unwrap(),
            receipts: Receipts::open(&self.state_file()).unwrap(),
            gap_after: Duration::from_secs(2),
            clock: self.clock.clone(),
        })
        .await
    }
}

impl Centre {
    /// Starts one of these parts and returns when it has a session.
    pub async fn start(parts: Parts) -> Self {
        let client = Client::new(parts);
        let shared = Arc::new(Shared::default());
        let shutdown = Shutdown::new();
        let (heard, stop) = (Arc::clone(&shared), shutdown.clone());
        let task = tokio::spawn(async move {
            client
                .run(&stop, &mut |h| {
                    note(&mut heard.log.lock().unwrap(), h);
                    heard.changed.notify_waiters();
                    Next::Continue
                })
                .await
        });
        let centre = Self { shared, shutdown, task };
        centre.until("a session", |log| log.connected > 0).await;
        centre
    }
}

fn note(log: &mut Log, heard: Heard) {
    match heard {
        Heard::Alert { alert, .. } => {
            log.alerts.push((alert.seq, alert.severity));
            log.heard.push(*alert);
        }
        Heard::Duplicate { .. } => log.duplicates += 1,
        Heard::Status { status, .. } => log.statuses.push(status.state.as_str()),
        Heard::Camera { status, .. } => {
            log.cameras += 1;
            log.camera_statuses.push(status);
        }
        Heard::Health { .. } => log.reports += 1,
        Heard::Refused { reason, .. } => log.refused.push(reason.to_string()),
        Heard::GapOpened(_) => log.gaps += 1,
        Heard::Connected => log.connected += 1,
        Heard::Lost(fault) => log.lost.push(fault.to_string()),
        Heard::GapClosed(_) | Heard::Shed { .. } | Heard::Checkpoint { .. } | Heard::Tick => {}
    }
}

impl Centre {
    /// Waits until what was heard satisfies `reached`; fails after 90 s with what was heard instead.
    pub async fn until(&self, what: &str, reached: impl Fn(&Log) -> bool) {
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if reached(&self.shared.log.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(90), waiting).await.is_ok();
        assert!(in_time, "the centre never heard {what}: {:?}", self.shared.log.lock().unwrap());
    }

    /// Looks at what was heard.
    pub fn look<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.shared.log.lock().unwrap())
    }

    /// The numbers that arrived, sorted.
    pub fn seqs(&self) -> Vec<u64> {
        let mut seqs: Vec<u64> = self.look(|log| log.alerts.iter().map(|(seq, _)| *seq).collect());
        seqs.sort_unstable();
        seqs
    }

    /// Ends it in good order, last acks included.
    pub async fn stop(self) -> Receipts {
        self.shutdown.trigger();
        self.task.await.unwrap().unwrap()
    }
}
