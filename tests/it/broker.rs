//! The session with a real broker over TLS: what it says when it cannot stand, what it leaves behind when it ends.

use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::fault::Cause;
use watchpost::centre::keyring::Keyring;
use watchpost::centre::keys::{BoxKey, PublicKey};
use watchpost::centre::link::LinkSettings;
use watchpost::centre::publish::News;
use watchpost::centre::session::{Identity, SessionState};
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::Topics;
use watchpost::cli::init;
use watchpost::clock::Clock;
use watchpost::config;
use watchpost::domain::{AckMode, BoxId, Severity, SiteId};

use crate::kit::broker::{Mosquitto, free_port};
use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::{Authority, Running, Site, TestBox};

const LONG: Duration = Duration::from_secs(90);

async fn cause(running: &Running) -> Cause {
    assert!(running.session.failed(LONG).await, "no fault in time");
    match running.session.state() {
        SessionState::Failed(fault) => {
            assert!(!fault.cause.advice().is_empty());
            assert_eq!(running.health.centre.fault(), Some(fault.to_string()));
            fault.cause
        }
        other => panic!("{other:?}"),
    }
}

fn outbox(test_box: &TestBox) -> Arc<MemoryOutbox> {
    Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_authority_is_not_spoken_to() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_strange_broker();
    let running = test_box.start(outbox(&test_box));
    assert_eq!(cause(&running).await, Cause::UntrustedBroker);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_the_broker_refuses_is_named() {
    let mut site = Site::new();
    let mut test_box = site.add_box("box-1");
    let other = Authority::new(&site.dir.path().join("other-tls"));
    let mut files = other.issue("box-1");
    files.ca = site.authority.ca();
    test_box.link.tls = Some(files);
    let _broker = site.start_broker();
    let running = test_box.start(outbox(&test_box));
    assert_eq!(cause(&running).await, Cause::OurCertificateRefused);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_found_when_it_comes() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let running = test_box.start(outbox(&test_box));
    assert_eq!(cause(&running).await, Cause::Unreachable);
    let _broker = site.start_broker();
    assert!(running.session.connected(LONG).await);
    assert_eq!(running.health.centre.fault(), None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_key_file_is_named_and_read_again() {
    let mut site = Site::new();
    let mut test_box = site.add_box("box-1");
    let key = test_box.link.tls.as_ref().unwrap().private_key.clone();
    let away = key.with_extension("away");
    std::fs::rename(&key, &away).unwrap();
    test_box.link.client_id = "box-1".to_owned();
    let _broker = site.start_broker();
    let running = test_box.start(outbox(&test_box));
    assert_eq!(cause(&running).await, Cause::OurFiles);
    assert!(running.health.centre.fault().unwrap().contains("box-1.key"));
    std::fs::rename(&away, &key).unwrap();
    assert!(running.session.connected(LONG).await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_box_says_online_its_cameras_its_health_and_stopped() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let running = test_box.start(outbox(&test_box));
    centre
        .until("status, camera and health", |log| log.statuses == ["online"] && log.cameras == 1 && log.reports == 1)
        .await;
    running.stop().await;
    centre.until("the farewell", |log| log.statuses == ["online", "stopped"]).await;
    centre.stop().await;
    // Retained: whoever comes later hears it as well.
    let later = site.start_centre().await;
    later.until("the retained status", |log| log.statuses == ["stopped"] && log.cameras == 1).await;
    assert!(later.look(|log| log.refused.is_empty()));
    later.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_stops_with_a_full_link_still_says_stopped() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let broker = site.start_broker();
    let centre = site.start_centre().await;
    let box_outbox = outbox(&test_box);
    let running = test_box.start(box_outbox.clone());
    centre.until("online", |log| log.statuses == ["online"] && log.reports == 1).await;
    // The broker takes nothing any more: what it may be lent is lent, and there is no room for a word.
    broker.freeze();
    for _ in 0..100 {
        box_outbox.put(Severity::Critical, Clock::system().utc());
    }
    // As many as mosquitto takes unacknowledged.
    while running.health.centre.sent.get() < 20 {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    broker.thaw();
    stopping.await.unwrap();
    centre.until("the farewell", |log| log.statuses == ["online", "stopped"]).await;
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_dies_leaves_a_signed_last_will() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    let running = test_box.start(outbox(&test_box));
    centre.until("online", |log| log.statuses == ["online"]).await;
    running.die();
    centre.until("the last will", |log| log.statuses == ["online", "offline"]).await;
    assert!(centre.look(|log| log.refused.is_empty()), "the will verifies");
    centre.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_centre_that_init_makes_works_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let args = init::Args {
        centre: Some(dir.path().join("centre")),
        dir: Some(dir.path().to_owned()),
        site: SiteId::new("north").unwrap(),
        box_id: BoxId::new("box-7").unwrap(),
        port: free_port(),
        home_assistant: None,
        config: None,
    };
    init::run(&args, &Clock::system(), &mut Vec::new()).unwrap();
    let _broker = Mosquitto::start(&dir.path().join("centre/broker/mosquitto.conf"));

    let config = config::load(&dir.path().join("watchpost.toml")).unwrap();
    let centre = config.centre.unwrap();
    let root = PublicKey::read(&centre.root_key).unwrap();
    let files = TlsFiles {
        ca: centre.ca.unwrap(),
        certificate: centre.certificate.unwrap(),
        private_key: centre.private_key.unwrap(),
    };
    let test_box = TestBox {
        link: LinkSettings::new(centre.broker.clone(), Some(files), config.site.id.as_str()),
        identity: Identity {
            topics: Topics::new(&centre.topic_root, &config.site.site, &config.site.id).unwrap(),
            key: BoxKey::read(&config.site.data_dir.join("keys/box.key")).unwrap(),
            keyring: Keyring::read(&centre.keyring, &root).unwrap().into(),
        },
        ack: AckMode::Centre,
        health_every: watchpost::centre::session::HEALTH_EVERY,
        news: News::default(),
        clock: Clock::system(),
    };
    let outbox = outbox(&test_box);
    for severity in Severity::ALL {
        outbox.put(severity, Clock::system().utc());
    }
    let running = test_box.start(outbox.clone());
    let mut tail = std::process::Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
    tail.arg("--centre").arg(dir.path().join("centre")).args(["tail", "--count", "4"]);
    let output = tokio::task::spawn_blocking(move || tail.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(running.session.drained(LONG).await);
    assert_eq!(running.health.centre.refused.get(), 0);
    running.stop().await;
}
