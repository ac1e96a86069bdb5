//! The centre of a run: receives, acknowledges, and notes how late each alert came.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use watchpost::centre::boxes::Boxes;
use watchpost::centre::client::{Client, Heard, Next, Parts};
use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::receipts::Receipts;
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics;
use watchpost::clock::Clock;
use watchpost::domain::{Broker, Stage};
use watchpost::shutdown::Shutdown;

use super::kit::one_box::OneBox;

/// An alert that was new.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// From the time of its frame, milliseconds.
    pub late_ms: u64,
    pub stage: Stage,
}

/// Ends with this value.
pub struct Centre {
    came: Arc<Mutex<Vec<Came>>>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Centre {
    pub fn start(made: &OneBox) -> Self {
        let tls = TlsFiles {
            ca: made.path("centre/tls/ca.pem"),
            certificate: made.path("centre/tls/centre.pem"),
            private_key: made.path("centre/tls/centre-key.pem"),
        };
        let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", made.port())).unwrap();
        let client = Client::new(Parts {
            link: LinkSettings::new(broker, Some(tls), "watchpostctl"),
            topic_root: topics::DEFAULT_ROOT.to_owned(),
            boxes: Boxes::read(&made.path("centre/boxes.toml")).unwrap(),
            delivery_key: SigningKey::read(&made.path("centre/keys/delivery.key")).unwrap(),
            receipts: Receipts::open(&made.path("bench.state")).unwrap(),
            gap_after: Duration::from_secs(2),
            clock: Clock::system(),
        });
        let (came, shutdown) = (Arc::new(Mutex::new(Vec::new())), Shutdown::new());
        let (to, stop) = (Arc::clone(&came), shutdown.clone());
        let thread = std::thread::spawn(move || {
            let mut on = |heard: Heard| {
                if let Heard::Alert { alert, at, .. } = heard {
                    to.lock().unwrap().push(Came { late_ms: at.since(alert.time), stage: alert.stage });
                }
                Next::Continue
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(client.run(&stop, &mut on)).unwrap();
        });
        Self { came, shutdown, thread: Some(thread) }
    }

    /// Takes what came since the last call.
    pub fn take(&self) -> Vec<Came> {
        std::mem::take(&mut self.came.lock().unwrap())
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
