//! Certificates that change under a box that delivers, through a real broker over TLS: its own is renewed, and then the
//! authority that all trust is another one. No alert is lost and none told twice.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::fault::Cause;
use watchpost::centre::session::SessionState;
use watchpost::centre::tls::TlsFiles;
use watchpost::clock::Clock;
use watchpost::domain::Severity;

use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::{Authority, Site};

const LONG: Duration = Duration::from_secs(90);

fn put(outbox: &MemoryOutbox, count: u64) {
    for _ in 0..count {
        outbox.put(Severity::Serious, Clock::system().utc());
    }
}

/// As an administrator does it: the new file takes the old one's place at once.
fn replace(old: &TlsFiles, new: &TlsFiles) {
    for (old, new) in [(&old.certificate, &new.certificate), (&old.private_key, &new.private_key)] {
        let beside = old.with_extension("new");
        fs::copy(new, &beside).unwrap();
        fs::rename(beside, old).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_alert_is_lost_or_doubled_while_the_certificate_of_a_box_and_then_the_authority_are_replaced() {
    let mut site = Site::new();
    let test_box = site.add_box("box-1");
    let own = test_box.link.tls.clone().unwrap();
    let first = site.authority.newest_serial();
    let mut broker = site.start_broker();
    let centre = site.start_centre().await;
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    let running = test_box.start(outbox.clone());
    put(&outbox, 50);
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());

    // Certificate B of the same authority; from now on A is revoked.
    let elsewhere = site.dir.path().join("new");
    fs::create_dir_all(&elsewhere).unwrap();
    site.revoke(first);
    broker.kill();
    put(&outbox, 50);
    broker.restart();
    until_refused(&running).await;
    replace(&own, &site.authority.issue_into("box-1", &elsewhere));
    assert!(running.session.connected(LONG).await, "it is read at the next attempt, nobody restarts anything");
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    assert_eq!(centre.seqs().len(), 100);

    // Another authority: first everybody trusts both, then the broker's certificate and the box's come from the new one,
    // then the old one is trusted no more.
    let other = Authority::new(&site.dir.path().join("other-tls"));
    let old_ca = fs::read_to_string(site.authority.ca()).unwrap();
    let both = old_ca + &fs::read_to_string(other.ca()).unwrap();
    fs::write(site.authority.ca(), &both).unwrap();
    site.show(&other.issue("broker"));
    broker.kill();
    put(&outbox, 50);
    broker.restart();
    assert!(running.session.connected(LONG).await, "the new authority is in the bundle");
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    replace(&own, &other.issue_into("box-1", &elsewhere));
    let centres = own.certificate.with_file_name("centre.pem");
    let centres = TlsFiles { private_key: centres.with_extension("key"), certificate: centres, ca: own.ca.clone() };
    replace(&centres, &other.issue_into("centre", &elsewhere));
    fs::copy(other.ca(), site.authority.ca()).unwrap();
    broker.kill();
    put(&outbox, 50);
    broker.restart();
    assert!(running.session.connected(LONG).await, "with the new certificate, of the new authority alone");
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());

    assert_eq!(centre.seqs(), (1..=200).collect::<Vec<_>>(), "each once, none missing");
    running.stop().await;
    assert!(centre.stop().await.open_gaps().is_empty());
}

/// Waits until the broker has refused the box's certificate.
async fn until_refused(running: &crate::kit::site::Running) {
    let refused = || match running.session.state() {
        SessionState::Failed(fault) => fault.cause == Cause::OurCertificateRefused,
        _ => false,
    };
    assert!(running.session.until(LONG, refused).await, "{:?}", running.session.state());
}
