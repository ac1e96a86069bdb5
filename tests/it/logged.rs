//! How much a real daemon logs: next to nothing while all is well, and a bounded number of lines while everything goes wrong.
//!
//! What bounds a whole day, whatever goes wrong, is tested beside `src/log/limit.rs`; the budget stands in docs/reliability.md.

use std::time::{Duration, Instant};

use watchpost::camera::testkit::RtspServer;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::{self, Topics};
use watchpost::domain::{BoxId, Broker, Op, SiteId};

use crate::console::{TOKEN, credential};
use crate::kit::broker::free_port;
use crate::kit::camera::looped;
use crate::kit::http::ask;
use crate::kit::one_box::{OneBox, camera, fixture};
use crate::kit::raw::Raw;

/// Until all that a start says is said.
const SETTLED: Duration = Duration::from_secs(8);
const QUIET: Duration = Duration::from_secs(10);
const GARBAGE: u64 = 15;
const BROKEN: Duration = Duration::from_secs(15);
/// Most lines of the broken half minute: the first failures of a camera and of the broker one by one, ten refused commands, and five
/// wrong tokens and one more every twelve seconds.
const MOST: usize = 40;

fn bytes(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

/// A client with the centre's certificate, which may say anything to the box.
async fn noise(made: &OneBox) -> Raw {
    let tls = TlsFiles {
        ca: made.path("centre/tls/ca.pem"),
        certificate: made.path("centre/tls/centre.pem"),
        private_key: made.path("centre/tls/centre-key.pem"),
    };
    let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", made.port())).unwrap();
    Raw::connect(&LinkSettings::new(broker, Some(tls), "noise"), &["watchpost/v1/north/box-1/status"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_is_well_says_nothing_and_a_broken_one_a_bounded_number_of_lines() {
    let (made, port) = (OneBox::new(), free_port());
    let mut server = Some(RtspServer::start(&fixture("street-a.mp4"), &looped()).unwrap());
    credential(&made.config().site.data_dir, "console", TOKEN.as_bytes());
    let console = format!("[console]\nlisten = \"127.0.0.1:{port}\"\n");
    made.configure(&[camera("gate", 1, &server.as_ref().unwrap().url(), ""), console]);
    let mut broker = made.broker();
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    daemon.until("session with the broker");
    daemon.hear(SETTLED);
    let start = daemon.said().to_vec();
    let quiet = daemon.hear(QUIET);
    // A machine that is busy with other tests may say of a camera that it is slow, and that it is well again.
    assert!(quiet.len() <= 4, "all is well: {quiet:#?}");

    // The camera goes, somebody tries tokens, and what comes as commands is garbage; then the broker goes as well.
    drop(server.take());
    let begun = Instant::now();
    let guesser = std::thread::spawn(move || {
        while begun.elapsed() < BROKEN + Duration::from_secs(GARBAGE) {
            ask(port, "GET", "/api/state", &[("Authorization", "Bearer of-nobody")], b"");
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let topics =
        Topics::new(topics::DEFAULT_ROOT, &SiteId::new("north").unwrap(), &BoxId::new("box-1").unwrap()).unwrap();
    let mut broken = Vec::new();
    let mut raw = noise(&made).await;
    for n in 0..GARBAGE {
        raw.say(&topics.command(Op::BoxStatus, &[n as u8; 16]), b"\xd2\x84garbage", None).await;
        broken.extend(daemon.hear(Duration::from_secs(1)));
    }
    drop(raw);
    broker.kill();
    broken.extend(daemon.hear(BROKEN));
    guesser.join().unwrap();
    eprintln!(
        "a start: {} lines, {} bytes; quiet, {QUIET:?}: {} lines, {} bytes; broken: {} lines, {} bytes",
        start.len(),
        bytes(&start),
        quiet.len(),
        bytes(&quiet),
        broken.len(),
        bytes(&broken)
    );
    for words in ["camera failed", "a wrong token was given", "a command was refused", "no session with the broker"] {
        assert!(broken.iter().any(|line| line.contains(words)), "never said {words:?}: {broken:#?}");
    }
    assert!(broken.len() <= MOST, "{} lines: {broken:#?}", broken.len());
}
