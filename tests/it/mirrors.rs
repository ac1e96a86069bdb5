//! Mirrors through a real broker over TLS, with the access rules that `watchpost init` writes: they arrive, they are taken
//! back, and where the broker refuses them, or has no room, alerts go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::link::{self, LinkEvent, Sender};
use watchpost::centre::mirror::{HomeAssistant, Mirrors, Names, Settings};
use watchpost::centre::topics::{self, DEFAULT_ROOT, HomeAssistantTopics, Topics};
use watchpost::clock::Clock;
use watchpost::domain::{BoxId, CameraId, Severity, SiteId};
use watchpost::health::Health;

use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::{Site, TestBox};

const LONG: Duration = Duration::from_secs(90);
const PREFIX: &str = "homeassistant";

fn outbox(test_box: &TestBox) -> Arc<MemoryOutbox> {
    Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()))
}

/// Mirrors of box-1; with `on` all of them, else none.
fn mirrors(note: &Path, on: bool, health: &Arc<Health>) -> Mirrors {
    let (site, box_id) = (SiteId::new("north").unwrap(), BoxId::new("box-1").unwrap());
    let home = || HomeAssistant { topics: HomeAssistantTopics::new(PREFIX, &box_id).unwrap(), plates: false };
    let settings = Settings {
        json: on,
        onvif: on,
        home_assistant: on.then(home),
        severity: Severity::Info,
        names: Names { cameras: [(1, CameraId::new("gate").unwrap())].into(), ..Names::default() },
    };
    let topics = Topics::new(DEFAULT_ROOT, &site, &box_id).unwrap();
    Mirrors::new(settings, (topics, box_id), note, Arc::clone(health), Clock::system())
}

/// The access rules of `init`, changed, and with a reader of all.
fn allow(site: &Site, more: &str, without: &[&str]) {
    let acl = topics::mosquitto_acl(DEFAULT_ROOT, "centre").unwrap();
    let kept = acl.lines().filter(|line| !without.iter().any(|part| line.contains(part)));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    let reader = format!("\nuser reader\ntopic read {DEFAULT_ROOT}/#\ntopic read {PREFIX}/#\n");
    std::fs::write(site.dir.path().join("acl"), format!("{kept}{more}{reader}")).unwrap();
}

/// Somebody who reads along: the newest payload by topic, and what of it the broker had kept.
struct Reader {
    sender: Sender,
    events: link::Events,
    seen: BTreeMap<String, (Vec<u8>, bool)>,
}

impl Reader {
    async fn start(site: &Site) -> Self {
        let settings = site.link("reader", site.authority.issue("reader"));
        let (sender, events) = link::open(&settings, &site.clock, None).unwrap();
        let mut reader = Self { sender, events, seen: BTreeMap::new() };
        reader.next_until(|event, _| matches!(event, LinkEvent::Connected { .. })).await;
        let filters = ["json/#", "onvif-ej/#", "health"].map(|kind| format!("{DEFAULT_ROOT}/+/+/{kind}"));
        assert!(reader.sender.subscribe(&[filters.to_vec(), vec![format!("{PREFIX}/#")]].concat()));
        reader.next_until(|event, _| matches!(event, LinkEvent::Subscribed { refused: 0 })).await;
        reader
    }

    async fn next_until(&mut self, reached: impl Fn(&LinkEvent, &BTreeMap<String, (Vec<u8>, bool)>) -> bool) {
        let waiting = async {
            loop {
                let event = self.events.next().await.unwrap();
                let event = self.sender.understand(event);
                if let LinkEvent::Message { topic, payload, retained, .. } = &event {
                    self.seen.insert(topic.clone(), (payload.clone(), *retained));
                }
                if reached(&event, &self.seen) {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(LONG, waiting).await.is_ok();
        assert!(in_time, "seen: {:#?}", self.seen.keys());
    }

    async fn until_seen(&mut self, parts: &[&str]) {
        self.next_until(|_, seen| parts.iter().all(|part| seen.keys().any(|topic| topic.contains(part)))).await;
    }

    fn json(&self, part: &str) -> serde_json::Value {
        let (_, (payload, _)) = self.seen.iter().find(|(topic, _)| topic.contains(part)).unwrap();
        serde_json::from_slice(payload).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_arrive_beside_alerts_and_are_taken_back_when_they_are_switched_off() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let note = site.dir.path().join("mirrors.json");
    allow(&site, &topics::home_assistant_acl(PREFIX).unwrap(), &[]);
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let mut reader = Reader::start(&site).await;
    let box_outbox = outbox(&test_box);
    let running = test_box.start_mirrored(box_outbox.clone(), |health| mirrors(&note, true, health));
    box_outbox.put(Severity::Serious, Clock::system().utc());
    let wanted = [
        "json/alert/serious",
        "json/camera/gate/status",
        "json/health",
        "device/box-1/watchpost/config",
        "watchpost/camera/gate",
    ];
    reader.until_seen(&wanted).await;
    assert!(running.session.drained(LONG).await);
    let alert = reader.json("json/alert/serious");
    assert!(alert["plate"] == "TST0001" && alert["names"]["camera"] == "gate" && alert["kind"] == "alert", "{alert}");
    assert_eq!(reader.json("watchpost/config")["cmps"]["gate_state"]["p"], "sensor");
    assert!(!reader.seen.keys().any(|topic| topic.contains("onvif-ej")), "an alert of no list and no rule is no event");
    // The note is written when the broker has said that it has the device.
    running.stop().await;
    assert!(std::fs::read_to_string(&note).unwrap().contains("gate_state"));

    let mut later = Reader::start(&site).await;
    later.until_seen(&["watchpost/config"]).await;
    assert!(later.seen.iter().all(|(topic, (_, retained))| !topic.contains("config") || *retained));

    let running = test_box.start_mirrored(outbox(&test_box), |health| mirrors(&note, false, health));
    later
        .next_until(|_, seen| seen.iter().any(|(topic, (payload, _))| topic.contains("config") && payload.is_empty()))
        .await;
    let forgotten = || !std::fs::read_to_string(&note).unwrap().contains("gate_state");
    assert!(running.session.until(LONG, || running.health.centre.mirrored.get() == 1).await);
    running.stop().await;
    let end = std::time::Instant::now() + LONG;
    while !forgotten() && std::time::Instant::now() < end {
        tokio::task::yield_now().await;
    }
    assert!(forgotten());
    // Whoever comes now is told of nothing: the first word is the next box's health.
    let mut last = Reader::start(&site).await;
    let running = test_box.start(outbox(&test_box));
    last.until_seen(&["/health"]).await;
    assert_eq!(last.seen.keys().filter(|topic| topic.starts_with(PREFIX)).count(), 0, "{:?}", last.seen.keys());
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_delivered_where_the_broker_refuses_every_mirror() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let note = site.dir.path().join("mirrors.json");
    allow(&site, "", &["json/#", "onvif-ej/#"]);
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let mut reader = Reader::start(&site).await;
    let box_outbox = outbox(&test_box);
    let running = test_box.start_mirrored(box_outbox.clone(), |health| mirrors(&note, true, health));
    for n in 0..200_usize {
        box_outbox.put(Severity::ALL[n % 4], Clock::system().utc());
    }
    assert!(running.session.drained(LONG).await, "{} wait", box_outbox.waiting());
    assert_eq!(centre.seqs(), (1..=200).collect::<Vec<u64>>());
    let counters = &running.health.centre;
    assert!(running.session.until(LONG, || counters.mirrors_dropped.get() > 200).await);
    assert_eq!(
        (counters.mirrored.get(), counters.connects.get(), counters.fault()),
        (0, 1, None),
        "and one session did"
    );
    reader.until_seen(&["/health"]).await;
    assert!(reader.seen.keys().all(|topic| topic.ends_with("box-1/health")), "{:?}", reader.seen.keys());
    running.stop().await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_alerts_is_delivered_whole_while_its_mirror_may_drop() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let note = site.dir.path().join("mirrors.json");
    allow(&site, "", &[]);
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let box_outbox = outbox(&test_box);
    for _ in 0..1_000 {
        box_outbox.put(Severity::Minor, Clock::system().utc());
    }
    let running = test_box.start_mirrored(box_outbox.clone(), |health| mirrors(&note, true, health));
    assert!(running.session.drained(LONG).await, "{} wait", box_outbox.waiting());
    assert_eq!(centre.seqs(), (1..=1_000).collect::<Vec<u64>>());
    let counters = &running.health.centre;
    // An alert of no list and no rule is one message of JSON and one for Home Assistant, which is refused here.
    assert!(running.session.until(LONG, || counters.mirrored.get() + counters.mirrors_dropped.get() >= 2_000).await);
    eprintln!("mirrored {}, dropped {}", counters.mirrored.get(), counters.mirrors_dropped.get());
    running.stop().await;
    centre.stop().await;
}
