//! What an alert, its ack, a health message and a session take of the link to the centre: bytes of TLS in both directions, counted by a
//! relay between a box and a real mosquitto as `watchpost init --centre` configures it, and beside them what the budget reckons.
//!
//! ```sh
//! cargo bench --no-default-features --bench link
//! ```
//! A *write* is what the relay got at once: on a link that is not busy, a TCP segment (52 bytes of headers, and 52 of its
//! acknowledgement the other way) for each 1,360 bytes or part of them.
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;
use watchpost::centre::budget::on_the_wire;
use watchpost::centre::link::{self, Events, LinkEvent, LinkSettings, Sender, Token};
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::{DEFAULT_ROOT, Topics};
use watchpost::cli::init;
use watchpost::clock::Clock;
use watchpost::config;
use watchpost::domain::{BoxId, Broker, Severity, SiteId};

const ALERT: &str = include_str!("../tests/fixtures/golden/alert.hex");
const ACK: &str = include_str!("../tests/fixtures/golden/ack.hex");
const HEALTH: &str = include_str!("../tests/fixtures/golden/health.hex");
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes and writes, up and down.
#[derive(Debug, Default)]
struct Counts([AtomicU64; 4]);

impl Counts {
    fn now(&self) -> [u64; 4] {
        self.0.each_ref().map(|n| n.load(Ordering::SeqCst))
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, place: usize) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buffer) {
            let some = buffer.get(..n).unwrap_or_default();
            if n == 0 || to.write_all(some).is_err() {
                break;
            }
            for (count, by) in self.0.iter().skip(place).zip([n as u64, 1]) {
                count.fetch_add(by, Ordering::SeqCst);
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Listens on a port of its own and carries to `port`, counting.
fn relay(port: u16) -> anyhow::Result<(u16, Arc<Counts>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let (own, counts) = (listener.local_addr()?.port(), Arc::new(Counts::default()));
    let shared = Arc::clone(&counts);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
            let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
            std::thread::spawn(move || up.carry(near, far, 0));
            std::thread::spawn(move || down.carry(far_too, near_too, 2));
        }
    });
    Ok((own, counts))
}

/// mosquitto, which ends with this value.
struct Mosquitto(Child);

impl Mosquitto {
    fn start(config: &Path) -> anyhow::Result<Self> {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("mosquitto");
        command
            .env("PATH", path)
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("mosquitto: apt install mosquitto")?;
        let log = child.stderr.take().context("its log")?;
        let mut lines = BufReader::new(log).lines();
        let runs = lines.by_ref().map_while(Result::ok).any(|line| line.contains("running"));
        anyhow::ensure!(runs, "mosquitto did not start");
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self(child))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    Ok(data_encoding::HEXLOWER.decode(&digits)?)
}

struct Side {
    sender: Sender,
    events: Events,
}

impl Side {
    async fn connect(settings: &LinkSettings, filters: &[String]) -> anyhow::Result<Self> {
        let (sender, events) = link::open(settings, &Clock::system(), None).map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut side = Self { sender, events };
        side.until(|event| matches!(event, LinkEvent::Connected { .. })).await?;
        if !filters.is_empty() {
            anyhow::ensure!(side.sender.subscribe(filters), "no room for a subscription");
            side.until(|event| matches!(event, LinkEvent::Subscribed { .. })).await?;
        }
        Ok(side)
    }

    async fn until(&mut self, wanted: impl Fn(&LinkEvent) -> bool) -> anyhow::Result<()> {
        loop {
            let event = timeout(PATIENCE, self.events.next()).await.context("nothing happened")?;
            let event = event.map_err(|e| anyhow::anyhow!("{e}"))?;
            if wanted(&self.sender.understand(event)) {
                return Ok(());
            }
        }
    }

    /// Sends `count` and waits until the broker has them.
    async fn publish(&mut self, topic: &str, payload: &[u8], count: u64) -> anyhow::Result<()> {
        for n in 0..count {
            anyhow::ensure!(self.sender.publish(topic, payload.to_vec(), false, Token::Entry(n)), "no room");
        }
        for _ in 0..count {
            self.until(|event| matches!(event, LinkEvent::Published { .. })).await?;
        }
        Ok(())
    }

    /// Lets what is on its way come and go.
    async fn settle(&mut self, time: Duration) {
        let _ = timeout(time, self.until(|_| false)).await;
    }
}

fn row(what: &str, n: u64, before: [u64; 4], after: [u64; 4], reckoned: Option<u64>) {
    let grown = |at: usize| after.get(at).zip(before.get(at)).map_or(0, |(after, before)| after - before);
    let each = |sum: u64| sum as f64 / n as f64;
    let [up, up_writes, down, down_writes] = [0, 1, 2, 3].map(grown);
    // Each segment has headers, and is acknowledged by the other side, at times together with what that sends.
    let segments = |bytes: u64, writes: u64| bytes.div_ceil(1_360).max(writes) * 52;
    let headers = segments(up, up_writes) + segments(down, down_writes);
    println!(
        "{what:<44} {:>8.0} {:>6.1} {:>8.0} {:>6.1} {:>9.0} {:>9.0} {:>9}",
        each(up),
        each(up_writes),
        each(down),
        each(down_writes),
        each(up + headers),
        each(down + headers),
        reckoned.map_or(String::new(), |n| n.to_string()),
    );
}

async fn measure(dir: &Path) -> anyhow::Result<()> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let (site, box_id) = (SiteId::new("north")?, BoxId::new("box-1")?);
    let topics = Topics::new(DEFAULT_ROOT, &site, &box_id)?;
    let centre = Some(dir.join("centre"));
    let args = init::Args { centre, dir: Some(dir.to_owned()), site, box_id, port, home_assistant: None, config: None };
    init::run(&args, &Clock::system(), &mut Vec::new())?;
    let _broker = Mosquitto::start(&dir.join("centre/broker/mosquitto.conf"))?;
    let (own, counts) = relay(port)?;
    let settings = config::load(&dir.join("watchpost.toml")).map_err(|e| anyhow::anyhow!("{e}"))?;
    let section = settings.centre.context("no centre")?;
    let tls = section.ca.zip(section.certificate).zip(section.private_key);
    let tls = tls.map(|((ca, certificate), private_key)| TlsFiles { ca, certificate, private_key });
    let broker = |port: u16| Broker::parse(&format!("mqtts://127.0.0.1:{port}"));
    let ours = LinkSettings::new(broker(own)?, tls, "box-1");
    let folder = dir.join("centre/tls");
    let theirs = TlsFiles {
        ca: folder.join("ca.pem"),
        certificate: folder.join("centre.pem"),
        private_key: folder.join("centre-key.pem"),
    };
    let theirs = LinkSettings::new(broker(port)?, Some(theirs), "centre-1");

    println!(
        "{:<44} {:>8} {:>6} {:>8} {:>6} {:>9} {:>9} {:>9}",
        "bytes each", "up", "writes", "down", "writes", "up on IP", "down", "reckoned"
    );
    let mut centre = Side::connect(&theirs, &[format!("{DEFAULT_ROOT}/#")]).await?;
    let before = counts.now();
    let mut side = Side::connect(&ours, &topics.box_filters()).await?;
    row("a session: TLS, CONNECT, subscription", 1, before, counts.now(), None);

    let (alert, ack, health) = (bytes(ALERT)?, bytes(ACK)?, bytes(HEALTH)?);
    let topic = topics.alert(Severity::Serious);
    let reckoned = Some(on_the_wire(topic.len(), alert.len()));
    side.settle(Duration::from_millis(200)).await;
    let before = counts.now();
    for _ in 0..200 {
        side.publish(&topic, &alert, 1).await?;
        centre.settle(Duration::from_millis(1)).await;
    }
    row(&format!("an alert of {} bytes, one at a time", alert.len()), 200, before, counts.now(), reckoned);
    let before = counts.now();
    for _ in 0..50 {
        side.publish(&topic, &alert, 16).await?;
        centre.settle(Duration::from_millis(1)).await;
    }
    row("the same, 16 at a time", 800, before, counts.now(), reckoned);

    let before = counts.now();
    for _ in 0..100 {
        centre.publish(&topics.ack(), &ack, 1).await?;
        side.until(|event| matches!(event, LinkEvent::Message { .. })).await?;
        side.settle(Duration::from_millis(5)).await;
    }
    row(&format!("an ack of {} bytes, and its PUBACK", ack.len()), 100, before, counts.now(), None);

    let topic = topics.health();
    let before = counts.now();
    for _ in 0..100 {
        anyhow::ensure!(side.sender.publish_unacknowledged(&topic, health.clone()), "no room");
        side.settle(Duration::from_millis(50)).await;
    }
    let reckoned = Some(on_the_wire(topic.len(), health.len()));
    row(&format!("health of {} bytes, QoS 0", health.len()), 100, before, counts.now(), reckoned);

    let before = counts.now();
    side.settle(Duration::from_secs(31)).await;
    row("a sign of life (every 15 s)", 2, before, counts.now(), None);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("link-bench");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&dir));
    let _ = std::fs::remove_dir_all(&dir);
    measured
}
