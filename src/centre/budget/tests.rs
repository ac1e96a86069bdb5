//! The budget over days that are simulated.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::clock::SimClock;
use crate::domain::TimeMs;

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_hours(1);
/// Midnight of 2026-01-01.
const MIDNIGHT: TimeMs = TimeMs(1_767_225_600_000);

#[derive(Clone, Default)]
struct Paper(Arc<Sheet>);

type Sheet = (Mutex<Option<Vec<u8>>>, AtomicUsize, AtomicBool);

impl Keeper for Paper {
    fn read(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.0.lock().unwrap().clone())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.1.fetch_add(1, Ordering::SeqCst);
        if self.0.2.load(Ordering::SeqCst) {
            return Err("no room".to_owned());
        }
        *self.0.0.lock().unwrap() = Some(bytes.to_vec());
        Ok(())
    }
}

fn budget(mib: u64) -> (Budget, Arc<SimClock>, Paper) {
    let (time, paper) = (SimClock::at(MIDNIGHT), Paper::default());
    (Budget::new(Some(mib * MIB), Some(Box::new(paper.clone())), Clock::of(time.clone())), time, paper)
}

fn spend(budget: &Budget, bytes: u64) {
    budget.book().day.count(Traffic::Reply, bytes);
}

fn look(budget: &Budget) {
    if budget.look() {
        budget.keep();
    }
}

#[test]
fn a_busy_morning_leaves_something_for_the_evening() {
    let (budget, time, _) = budget(80);
    let (mut morning, mut day) = (0, 0);
    // A flood of minor alerts, ten times what the budget holds, one each simulated second.
    for second in 0..86_400_u64 {
        if second % 60 == 0 {
            look(&budget);
        }
        if budget.goes(Traffic::Alert(Severity::Minor), 10_000) {
            budget.book().day.count(Traffic::Alert(Severity::Minor), 10_000);
            (morning, day) = (morning + u64::from(second < 6 * 3_600), day + 1);
        }
        time.advance(Duration::from_secs(1));
    }
    let sent = day * 10_000;
    assert!((63 * MIB..=64 * MIB).contains(&sent), "four fifths of the day: {sent}");
    assert!(morning * 10_000 <= 25 * MIB, "a quarter of the day and an eighth ahead, of that four fifths");
}

#[test]
fn serious_and_critical_alerts_go_whatever_was_spent() {
    let (budget, time, _) = budget(1);
    for _ in 0..48 {
        spend(&budget, 100 * MIB);
        look(&budget);
        assert!(
            budget.goes(Traffic::Alert(Severity::Critical), MIB) && budget.goes(Traffic::Alert(Severity::Serious), MIB)
        );
        assert!(budget.least() <= Severity::Serious);
        time.advance(HOUR);
    }
}

#[test]
fn what_waits_goes_when_the_day_allows_more_and_at_the_latest_on_the_next() {
    let (budget, time, _) = budget(8);
    look(&budget);
    assert_eq!((budget.least(), budget.is_short()), (Severity::Info, false));
    assert_eq!(budget.every(Traffic::Health, Duration::from_secs(30)), Duration::from_secs(30));
    // Of the 8 MiB one is allowed at midnight.
    budget.book().day.count(Traffic::Alert(Severity::Info), MIB);
    assert_eq!((budget.least(), budget.is_short()), (Severity::Serious, true));
    assert_eq!(budget.every(Traffic::Health, Duration::from_secs(30)), THIN);
    time.advance(HOUR);
    look(&budget);
    assert_eq!(budget.least(), Severity::Minor, "1.33 MiB are allowed, four fifths of them for minor ones");
    time.advance(HOUR);
    look(&budget);
    assert_eq!(budget.least(), Severity::Info);
    budget.book().day.count(Traffic::Alert(Severity::Info), 7 * MIB);
    time.advance(21 * HOUR);
    look(&budget);
    assert_eq!(budget.least(), Severity::Serious);
    time.advance(HOUR);
    look(&budget);
    assert_eq!((budget.least(), budget.gauge([0; 4]).up), (Severity::Info, [0; 12]));
}

#[test]
fn a_large_answer_is_refused_with_when_to_ask_again() {
    let (budget, _, _) = budget(80);
    look(&budget);
    let bytes = |mib: u64| usize::try_from(mib * MIB).unwrap();
    assert_eq!(budget.takes_answer(0, bytes(6)), Ok(()));
    let text = budget.takes_answer(bytes(4), bytes(6)).unwrap_err();
    assert!(text.contains("10.0 MiB of 80.0 MiB a day") && text.contains("today from 01:37 UTC"), "{text}");
    spend(&budget, 50 * MIB);
    let text = budget.takes_answer(0, bytes(6)).unwrap_err();
    assert!(text.contains("tomorrow from 00:00 UTC"), "{text}");
    let text = budget.takes_answer(0, bytes(60)).unwrap_err();
    assert!(text.contains("budget_mib_a_day"), "{text}");
}

#[test]
fn the_count_survives_a_restart_on_the_same_day_alone() {
    let (first, time, paper) = budget(80);
    spend(&first, MIB);
    look(&first);
    assert_eq!(paper.0.1.load(Ordering::SeqCst), 0, "not in the first minute");
    time.advance(KEEP_LEAST);
    look(&first);
    assert_eq!(paper.0.1.load(Ordering::SeqCst), 1);
    spend(&first, 100);
    look(&first);
    assert_eq!(paper.0.1.load(Ordering::SeqCst), 1, "not for a hundred bytes");
    time.advance(KEEP_EVERY);
    look(&first);
    assert_eq!(paper.0.1.load(Ordering::SeqCst), 2);
    let again = |time: &Arc<SimClock>| {
        Budget::new(Some(80 * MIB), Some(Box::new(paper.clone())), Clock::of(time.clone())).book().day.sent()
    };
    assert_eq!(again(&time), MIB + 100);
    spend(&first, 3 * MIB);
    look(&first);
    assert_eq!((paper.0.1.load(Ordering::SeqCst), again(&time)), (3, 4 * MIB + 100), "so much at once");
    time.advance(24 * HOUR);
    assert_eq!(again(&time), 0);
    *paper.0.0.lock().unwrap() = Some(b"damaged".to_vec());
    assert_eq!(again(&time), 0);
}

#[test]
fn a_disk_that_takes_no_count_holds_up_nothing_and_is_not_asked_all_the_time() {
    let (budget, time, paper) = budget(80);
    paper.0.2.store(true, Ordering::SeqCst);
    spend(&budget, MIB);
    for _ in 0..600 {
        look(&budget);
        time.advance(Duration::from_secs(1));
    }
    assert!(paper.0.1.load(Ordering::SeqCst) <= 2);
    assert_eq!(budget.least(), Severity::Info);
}

#[test]
fn a_clock_that_was_never_set_holds_up_no_alert() {
    let time = SimClock::at(TimeMs(0));
    time.set_state(ClockState::Unset);
    let budget = Budget::new(Some(MIB), None, Clock::of(time.clone()));
    spend(&budget, 100 * MIB);
    budget.look();
    assert_eq!(budget.least(), Severity::Info);
    assert!(!budget.goes(Traffic::Evidence, 1), "what is no alert keeps to the whole day's budget");
    // The time service comes: from now on the day is known, and what was sent in 1970 is not counted in it.
    time.step_to(TimeMs(MIDNIGHT.0 + 60_000));
    time.set_state(ClockState::Synced);
    budget.look();
    assert_eq!((budget.least(), budget.book().day.sent()), (Severity::Info, 0));
}

#[test]
fn a_clock_that_is_stepped_back_takes_nothing_away_and_no_day_lasts_longer_than_one() {
    let (budget, time, _) = budget(80);
    time.advance(12 * HOUR);
    budget.look();
    spend(&budget, 30 * MIB);
    assert_eq!(budget.least(), Severity::Info);
    time.step_to(TimeMs(MIDNIGHT.0 + 3_600_000));
    budget.look();
    assert_eq!(budget.least(), Severity::Info, "what was allowed stays so");
    spend(&budget, 50 * MIB);
    assert!(budget.goes(Traffic::Alert(Severity::Info), 0), "they have a tenth for themselves");
    budget.book().day.count(Traffic::Alert(Severity::Info), 10 * MIB);
    assert_eq!(budget.least(), Severity::Serious);
    // A wall clock that stands still.
    for _ in 0..13 {
        time.advance(HOUR);
        time.step_to(TimeMs(MIDNIGHT.0 + 3_600_000));
        budget.look();
    }
    assert_eq!((budget.least(), budget.book().day.sent()), (Severity::Info, 0));
}

#[test]
fn a_box_that_starts_with_a_wrong_date_goes_on_with_the_count_of_the_day_once_it_is_known() {
    let (before, _, paper) = budget(80);
    spend(&before, 70 * MIB);
    before.keep();
    let time = SimClock::at(TimeMs(5_000));
    time.set_state(ClockState::Unset);
    let again = Budget::new(Some(80 * MIB), Some(Box::new(paper.clone())), Clock::of(time.clone()));
    spend(&again, MIB);
    again.look();
    again.keep();
    time.step_to(TimeMs(MIDNIGHT.0 + 60_000));
    time.set_state(ClockState::Synced);
    again.look();
    assert_eq!(again.book().day.sent(), 70 * MIB, "what was kept of today was overwritten or forgotten");
}

#[test]
fn a_clock_that_is_put_back_over_midnight_opens_no_budget_of_yesterday() {
    let (budget, time, _) = budget(80);
    budget.look();
    spend(&budget, 50 * MIB);
    budget.book().day.count(Traffic::Alert(Severity::Info), 2 * MIB);
    assert_eq!(budget.least(), Severity::Serious);
    let before = budget.least();
    time.step_to(TimeMs(MIDNIGHT.0 - 5_000));
    budget.look();
    let sent = budget.book().day.sent();
    assert_eq!((sent, budget.least()), (52 * MIB, before));
}

#[test]
fn without_a_budget_everything_goes_and_is_counted() {
    let budget = Budget::unbounded(Clock::of(SimClock::at(MIDNIGHT)));
    spend(&budget, u64::MAX);
    budget.sent(Traffic::Health, 20, 600);
    assert!(!budget.look() && budget.goes(Traffic::Mirror, u64::MAX));
    let gauge = budget.gauge([5; 4]);
    assert_eq!((gauge.budget, gauge.waits, gauge.held), (None, 0, 0));
    assert_eq!(gauge.up[8], on_the_wire(20, 600));
}

#[test]
fn health_tells_what_waits() {
    let (budget, _, _) = budget(8);
    budget.look();
    budget.book().day.count(Traffic::Alert(Severity::Minor), MIB);
    let gauge = budget.gauge([7, 2, 1, 1]);
    assert_eq!((gauge.budget, gauge.waits, gauge.held), (Some([8 * MIB, MIB]), 5, 9));
}

#[test]
fn what_a_message_takes_of_the_link_is_its_bytes_and_some_headers() {
    assert_eq!(on_the_wire(40, 255), 9 + 40 + 255 + 22 + 52 + 52);
    // A chunk of 60 KiB: four records, 46 segments.
    assert_eq!(on_the_wire(60, 60 << 10), 9 + 60 + (60 << 10) + 4 * 22 + 46 * 52 + 52);
}
