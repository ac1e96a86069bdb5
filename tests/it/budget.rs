//! The budget of a link, through a real broker: what matters less waits on the box, what matters most never.

use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::budget::{Budget, Meter, Traffic};
use watchpost::clock::{Clock, SimClock};
use watchpost::domain::{Severity, TimeMs};

use crate::kit::outbox::MemoryOutbox;
use crate::kit::site::Site;

const LONG: Duration = Duration::from_secs(90);
/// Midnight of 2026-01-01: an eighth of the day's budget is allowed.
const MIDNIGHT: TimeMs = TimeMs(1_767_225_600_000);
/// Alerts of some 400 bytes of the link each: twice what a day of 1 MiB allows then.
const ALERTS: u64 = 600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_budget_holds_info_alerts_back_until_the_day_allows_more_and_never_a_critical_one() {
    let mut site = Site::new();
    let mut test_box = site.add_box("box-1");
    let _broker = site.start_broker();
    let centre = site.start_centre().await;
    // Only the budget lives in a simulated day.
    let day = SimClock::at(MIDNIGHT);
    let budget = Budget::new(Some(1 << 20), None, Clock::of(day.clone()));
    test_box.link.meter = Some(Meter { budget: budget.clone(), topics: test_box.identity.topics.clone() });
    let outbox = Arc::new(MemoryOutbox::new([7; 8], test_box.news.clone()));
    for _ in 0..ALERTS {
        outbox.put(Severity::Info, Clock::system().utc());
    }
    let running = test_box.start(outbox.clone());
    assert!(running.session.until(LONG, || budget.is_short()).await, "{} wait", outbox.waiting());
    for _ in 0..20 {
        outbox.put(Severity::Critical, Clock::system().utc());
    }
    assert!(running.session.until(LONG, || outbox.waiting_of(Severity::Critical) == 0).await, "they never wait");
    let waiting = outbox.waiting_of(Severity::Info);
    assert!(waiting > 50, "{waiting} of {ALERTS} wait");
    let gauge = budget.gauge([waiting as u64, 0, 0, 0]);
    assert_eq!((gauge.held, gauge.waiting().last()), (waiting as u64, Some("info")));
    assert!(gauge.up[3] < 131_072, "no more than is allowed at midnight: {gauge:?}");
    assert_eq!(gauge.budget, Some([1 << 20, 131_072]));

    // It is noon: the session looks every second, and what waited goes in its order.
    day.advance(Duration::from_hours(12));
    assert!(running.session.drained(LONG).await, "{} wait", outbox.waiting());
    assert_eq!(centre.seqs().len(), usize::try_from(ALERTS).unwrap() + 20);
    let sent = budget.gauge([0; 4]).up;
    let each = sent[3] / ALERTS;
    assert!((250..600).contains(&each), "{each} bytes an alert, and none was sent again and again");
    let place = |what: Traffic| Traffic::ALL.iter().position(|known| *known == what).unwrap();
    for what in [Traffic::Health, Traffic::Status, Traffic::Session, Traffic::Alert(Severity::Critical)] {
        assert!(sent[place(what)] > 0, "{what:?} is counted");
    }
    running.stop().await;
}
