//! From the recorder to the centre with the real store: what was committed arrives, whatever happens to broker and box.

use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::centre::window::SILENCE;
use watchpost::domain::Severity;

use crate::kit::site::Site;
use crate::kit::stored::Stored;

const LONG: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dead_for_ten_seconds_under_fifty_hits_a_second_costs_no_alert() {
    const HITS: u32 = 750;
    const PER_SECOND: u32 = 50;
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let mut broker = site.start_broker();
    let centre = site.start_centre().await;
    let stored = Arc::new(Stored::open(&site.dir.path().join("store"), test_box.news.clone()));
    let running = test_box.start(stored.outbox());

    let recording = Arc::clone(&stored);
    let load = std::thread::spawn(move || {
        let begin = Instant::now();
        for n in 0..HITS {
            std::thread::sleep(
                (begin + Duration::from_secs(1) * n / PER_SECOND).saturating_duration_since(Instant::now()),
            );
            recording.hit(n + 1, Severity::ALL[n as usize % 4]);
        }
        recording.flush();
    });
    centre.until("the first alerts", |log| log.alerts.len() >= 60).await;
    broker.kill();
    let dead_since = Instant::now();
    assert!(running.session.failed(LONG).await);
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(dead_since.elapsed())).await;
    let heard_before = centre.look(|log| log.alerts.len());
    broker.restart();
    tokio::task::spawn_blocking(move || load.join().unwrap()).await.unwrap();

    assert!(running.session.drained(LONG).await, "{:?} wait", stored.store.outbox().depth());
    assert_eq!(centre.seqs(), (1..=u64::from(HITS)).collect::<Vec<_>>(), "each alert once");
    assert!(heard_before < HITS as usize / 2, "the broker was away while most were recorded: {heard_before}");
    let duplicates = centre.look(|log| log.duplicates);
    assert!(duplicates <= 64, "{duplicates} came twice: more than one window");
    running.stop().await;
    assert!(centre.stop().await.open_gaps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_of_before_a_restart_leave_the_reopened_store() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let dir = site.dir.path().join("store");
    let stored = Stored::open(&dir, test_box.news.clone());
    (1..=25).for_each(|n| stored.hit(n, Severity::Serious));
    stored.flush();
    let epoch = stored.store.epoch();
    stored.close();

    let stored = Stored::open(&dir, test_box.news.clone());
    assert_eq!(stored.store.epoch(), epoch);
    let centre = site.start_centre().await;
    let begun = Instant::now();
    let running = test_box.start(stored.outbox());
    assert!(running.session.drained(LONG).await);
    (26..=30).for_each(|n| stored.hit(n, Severity::Info));
    stored.flush();
    assert!(running.session.drained(LONG).await);
    assert_eq!(centre.seqs(), (1..=30).collect::<Vec<u64>>());
    // Whatever is not acknowledged so soon is sent again.
    if begun.elapsed() < SILENCE {
        assert_eq!(running.health.centre.resent.get(), 0);
    } else {
        eprintln!("skipped: whether anything was sent twice is not judged, it took {:?}", begun.elapsed());
    }
    running.stop().await;
    stored.close();
    centre.stop().await;
}
