//! Delivery until acknowledged, through a real broker over TLS that is killed, frozen, or has nobody to give alerts to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::{self, LinkEvent, Sender, Token};
use watchpost::centre::topics::{DEFAULT_ROOT, Topics};
use watchpost::centre::window::SILENCE;
use watchpost::centre::wire;
use watchpost::clock::Clock;
use watchpost::domain::{Ack, AckMode, BoxId, Epoch, Severity, SiteId};

use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::{Site, TestBox};

const EPOCH: [u8; 8] = [7; 8];
const LONG: Duration = Duration::from_secs(90);

fn outbox(test_box: &TestBox) -> Arc<MemoryOutbox> {
    Arc::new(MemoryOutbox::new(EPOCH, test_box.news.clone()))
}

fn put_all(outbox: &MemoryOutbox, count: u64, severity: Severity) {
    for _ in 0..count {
        outbox.put(severity, Clock::system().utc());
    }
}

/// Puts one alert after the other at `per_second`, from a thread as the recorder would.
fn put_steadily(outbox: &Arc<MemoryOutbox>, count: u64, per_second: u64) -> std::thread::JoinHandle<()> {
    let outbox = Arc::clone(outbox);
    std::thread::spawn(move || {
        let clock = Clock::system();
        for n in 0..count {
            outbox.put(Severity::ALL[usize::try_from(n % 4).unwrap()], clock.utc());
            std::thread::sleep(Duration::from_millis(1_000 / per_second));
        }
    })
}

fn numbers(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_arrives_once_and_leaves_the_outbox() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let outbox = outbox(&test_box);
    put_all(&outbox, 300, Severity::Info);
    let begun = Instant::now();
    let running = test_box.start(outbox.clone());
    put_all(&outbox, 200, Severity::Serious);
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    let took = begun.elapsed();
    assert_eq!(centre.seqs(), numbers(500));
    // They leave the outbox a moment before they are counted.
    let acked = || running.health.centre.acked.get();
    assert!(running.session.until(LONG, || acked() >= 500).await, "{} acknowledged", acked());
    assert_eq!((acked(), running.health.centre.refused.get()), (500, 0));
    assert!(centre.look(|log| log.refused.is_empty()));
    // Whatever is not acknowledged so soon is sent again.
    if took < SILENCE {
        assert_eq!((running.health.centre.resent.get(), centre.look(|log| log.duplicates)), (0, 0));
    } else {
        eprintln!("skipped: whether anything was sent twice is not judged, it took {took:?}");
    }
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_costs_no_alert() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let mut broker = site.start_broker();
    let centre = site.start_centre().await;
    let outbox = outbox(&test_box);
    let running = test_box.start(outbox.clone());
    let load = put_steadily(&outbox, 300, 100);
    for alerts in [50, 120] {
        centre.until("some alerts", |log| log.alerts.len() >= alerts).await;
        broker.kill();
        assert!(running.session.failed(LONG).await);
        broker.restart();
        assert!(running.session.connected(LONG).await);
    }
    tokio::task::spawn_blocking(move || load.join().unwrap()).await.unwrap();
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    assert_eq!(centre.seqs(), numbers(300));
    running.stop().await;
    let receipts = centre.stop().await;
    assert!(receipts.open_gaps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_costs_no_alert() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let broker = site.start_broker();
    let centre = site.start_centre().await;
    let outbox = outbox(&test_box);
    let running = test_box.start(outbox.clone());
    let load = put_steadily(&outbox, 200, 100);
    centre.until("some alerts", |log| log.alerts.len() >= 40).await;
    broker.freeze();
    // All that is produced meanwhile waits, however long that takes: nothing blocks who produces it.
    tokio::task::spawn_blocking(move || load.join().unwrap()).await.unwrap();
    assert!(outbox.waiting() > 0);
    broker.thaw();
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    assert_eq!(centre.seqs(), numbers(200));
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_wait_for_a_centre_that_is_away_and_the_severe_ones_come_first() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let outbox = outbox(&test_box);
    put_all(&outbox, 150, Severity::Info);
    let running = test_box.start(outbox.clone());
    assert!(running.session.connected(LONG).await);
    put_all(&outbox, 10, Severity::Critical);
    let centre = site.start_centre().await;
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    assert_eq!(centre.seqs(), numbers(160));
    let place = |log: &crate::kit::centre::Log| log.alerts.iter().rposition(|(_, s)| *s == Severity::Critical).unwrap();
    let last_critical = centre.look(place);
    assert!(last_critical < 100, "the last critical one came at place {last_critical} of 160");
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unacked_alerts_are_sent_again_after_a_restart_of_the_box() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let outbox = outbox(&test_box);
    put_all(&outbox, 30, Severity::Minor);
    let running = test_box.start(outbox.clone());
    assert!(running.session.connected(LONG).await);
    running.die();
    assert_eq!(outbox.waiting(), 30);
    let centre = site.start_centre().await;
    let running = test_box.start(outbox.clone());
    assert!(running.session.drained(LONG).await);
    assert_eq!(centre.seqs(), numbers(30));
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_centre_that_restarts_hears_nothing_twice() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let outbox = outbox(&test_box);
    let running = test_box.start(outbox.clone());
    let first = site.start_centre().await;
    put_all(&outbox, 40, Severity::Info);
    first.until("the first alerts", |log| log.alerts.len() == 40).await;
    let mut seqs = first.seqs();
    drop(first.stop().await);
    put_all(&outbox, 40, Severity::Info);
    let second = site.start_centre().await;
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    seqs.extend(second.seqs());
    assert_eq!(seqs, numbers(80));
    running.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_word_is_enough_where_the_config_says_so() {
    let mut site = Site::new();
    let mut test_box = site.add_box("box-1");
    test_box.ack = AckMode::Broker;
    let _broker = site.start_broker();
    let listener = Listener::start(&site).await;
    let outbox = outbox(&test_box);
    put_all(&outbox, 100, Severity::Info);
    let running = test_box.start(outbox.clone());
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    // They leave the outbox a moment before they are counted.
    let acked = || running.health.centre.acked.get();
    assert!(running.session.until(LONG, || acked() >= 100).await, "{} acknowledged", acked());
    assert_eq!(acked(), 100);
    running.stop().await;
    drop(listener);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_or_misdirected_ack_removes_nothing() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let other_box = site.add_box("box-2");
    let _broker = site.start_broker();
    let outbox = outbox(&test_box);
    put_all(&outbox, 5, Severity::Info);
    let mut listener = Listener::start(&site).await;
    let running = test_box.start(outbox.clone());
    listener.until_message("/alert/").await;

    let stranger = SigningKey::from_seed(&[9; 32]).unwrap();
    let delivery = SigningKey::read(&site.delivery_key).unwrap();
    let own = test_box.identity.topics.ack();
    let all = Ack { epoch: Epoch(EPOCH), upto: 5, also: vec![] };
    let refused = [
        ("signed by a stranger", wire::sign(&all, &own, &stranger).unwrap()),
        ("signed by the box itself", wire::sign(&all, &own, &test_box.identity.key.current()).unwrap()),
        ("made for another box", wire::sign(&all, &other_box.identity.topics.ack(), &delivery).unwrap()),
        ("of another epoch", wire::sign(&Ack { epoch: Epoch([8; 8]), ..all.clone() }, &own, &delivery).unwrap()),
        ("of the future", wire::sign(&Ack { upto: 6, ..all.clone() }, &own, &delivery).unwrap()),
        ("garbage", vec![0x84, 0x43]),
    ];
    for (n, (what, message)) in refused.into_iter().enumerate() {
        listener.publish(&own, message).await;
        let want = n as u64 + 1;
        assert!(running.session.until(LONG, || running.health.centre.refused.get() == want).await, "an ack {what}");
        assert_eq!(outbox.waiting(), 5, "an ack {what} removed something");
    }
    listener.publish(&own, wire::sign(&all, &own, &delivery).unwrap()).await;
    assert!(running.session.drained(LONG).await, "the good one is taken");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_cannot_speak_for_another() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let victim = Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &BoxId::new("box-2").unwrap()).unwrap();
    site.add_box("box-2");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    // Box 1's certificate and key, box 2's topics: the broker's ACL does not let it through.
    let mut forger = test_box;
    forger.identity.topics = victim;
    let outbox = outbox(&forger);
    put_all(&outbox, 3, Severity::Critical);
    let running = forger.start(outbox.clone());
    let refused = || running.health.centre.fault().is_some_and(|fault| fault.contains("refuses our alerts"));
    assert!(running.session.until(LONG, refused).await, "{:?}", running.health.centre.fault());
    assert_eq!(outbox.waiting(), 3);
    assert!(centre.look(|log| log.alerts.is_empty() && log.statuses.is_empty()));
    running.die();
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_alerts_is_said_and_forgotten_when_it_takes_them() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    site.set_acl(false);
    let broker = site.start_broker();
    let outbox = outbox(&test_box);
    put_all(&outbox, 3, Severity::Critical);
    let running = test_box.start(outbox.clone());
    let fault = || running.health.centre.fault();
    let refused = || fault().is_some_and(|fault| fault.contains("refuses our alerts"));
    assert!(running.session.until(LONG, refused).await, "{:?}", fault());
    site.set_acl(true);
    broker.reload();
    assert!(running.session.until(LONG, || fault().is_none()).await, "{:?}", fault());
    running.stop().await;
}

/// A plain client with the centre's certificate, which acknowledges nothing by itself.
struct Listener {
    sender: Sender,
    events: link::Events,
    topics: Vec<String>,
}

impl Listener {
    async fn start(site: &Site) -> Self {
        let settings = site.link("listener", site.authority.issue("centre"));
        let (sender, events) = link::open(&settings, &site.clock, None).unwrap();
        let mut listener = Self { sender, events, topics: Vec::new() };
        listener.until(|event| matches!(event, LinkEvent::Connected { .. })).await;
        assert!(listener.sender.subscribe(&watchpost::centre::topics::centre_filters(DEFAULT_ROOT).unwrap()));
        listener.until(|event| matches!(event, LinkEvent::Subscribed { refused: 0 })).await;
        listener
    }

    async fn until(&mut self, reached: impl Fn(&LinkEvent) -> bool) {
        let waiting = async {
            loop {
                let event = self.events.next().await.unwrap();
                let event = self.sender.understand(event);
                if let LinkEvent::Message { topic, .. } = &event {
                    self.topics.push(topic.clone());
                }
                if reached(&event) {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, waiting).await.expect("nothing like it happened");
    }

    async fn until_message(&mut self, part: &str) {
        self.until(|event| matches!(event, LinkEvent::Message { topic, .. } if topic.contains(part))).await;
    }

    async fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        assert!(self.sender.publish(topic, payload, false, Token::Farewell));
        self.until(|event| matches!(event, LinkEvent::Published { token: Token::Farewell, .. })).await;
    }
}
