//! Says of cameras that send pictures when something is wrong all the same: `degraded`, and why.
//!
//! Two things that no single camera thread sees: the box is too slow for the camera (nearly all of its frames are
//! replaced before they are looked at), and the camera comes and goes. Looked at every 30 s by the watching thread, from
//! the counters alone. A word of the camera's own thread (offline, a model that fails) goes before one from here.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::domain::CameraId;
use crate::health::{CameraCounters, Health, Worry};

/// Between two looks, and what rates are taken over.
const EVERY: Duration = Duration::from_secs(30);
/// Failures are counted over this time.
const FAILURES_WITHIN: Duration = Duration::from_mins(10);
/// So many failures in that time: the camera comes and goes.
const FAILURES: u64 = 3;
/// Fewer frames a second than this are too few to read a passing vehicle, if the camera sends many more.
const ENOUGH: f64 = 3.0;

/// The watching thread's memory of all cameras.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    cameras: HashMap<CameraId, Seen>,
    next: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    received: u64,
    dropped: u64,
    failed: u64,
    /// When failures were found since the look before, and how many.
    failures: VecDeque<(Duration, u64)>,
    /// What was said to be wrong: its words stay while it is.
    said: Vec<Worry>,
}

impl Verdicts {
    /// Looks at all cameras when it is time to; `now` is monotonic.
    pub(super) fn look(&mut self, health: &Health, now: Duration) {
        if now < self.next {
            return;
        }
        let first = self.next.is_zero();
        self.next = now + EVERY;
        for (id, counters) in health.cameras() {
            let seen = self.cameras.entry(id).or_default();
            let (slow, unsteady) = (seen.slow(&counters), seen.unsteady(&counters, now));
            if !first {
                seen.say(&counters, Worry::Slow, slow);
                seen.say(&counters, Worry::Unsteady, unsteady);
            }
        }
    }
}

impl Seen {
    /// Whether the box is too slow for the camera, by the frames since the look before.
    fn slow(&mut self, counters: &CameraCounters) -> Option<String> {
        let (received, dropped) = (counters.received.get(), counters.dropped.get());
        let came = received.saturating_sub(std::mem::replace(&mut self.received, received));
        let lost = dropped.saturating_sub(std::mem::replace(&mut self.dropped, dropped));
        let a_second = |frames: u64| frames as f64 / EVERY.as_secs_f64();
        let looked_at = came.saturating_sub(lost);
        let (looked_at, came, too_few) = (a_second(looked_at), a_second(came), lost > 3 * looked_at);
        let text = format!("looks at {looked_at:.1} of {came:.1} frames a second: this box has too much to do");
        (looked_at < ENOUGH && too_few).then_some(text)
    }

    /// Whether the camera comes and goes.
    fn unsteady(&mut self, counters: &CameraCounters, now: Duration) -> Option<String> {
        let failed = counters.failed.get();
        let new = failed.saturating_sub(std::mem::replace(&mut self.failed, failed));
        if new > 0 {
            self.failures.push_back((now, new));
        }
        while self.failures.front().is_some_and(|(at, _)| *at + FAILURES_WITHIN < now) {
            self.failures.pop_front();
        }
        let failures: u64 = self.failures.iter().map(|(_, n)| n).sum();
        let text = format!("failed {failures} times in 10 minutes: see its cable, power and network");
        (failures >= FAILURES).then_some(text)
    }

    /// Says what is wrong when it begins, and that it is over.
    fn say(&mut self, counters: &CameraCounters, about: Worry, wrong: Option<String>) {
        if wrong.is_some() != self.said.contains(&about) {
            self.said.retain(|said| *said != about);
            self.said.extend(wrong.is_some().then_some(about));
            counters.set_worry(about, wrong);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::health::CameraState;

    struct Site {
        health: Arc<Health>,
        camera: Arc<CameraCounters>,
        verdicts: Verdicts,
        now: Duration,
    }

    impl Site {
        fn new() -> Self {
            let health = Health::new();
            let camera = health.camera(&CameraId::new("gate").unwrap());
            camera.set_state(CameraState::Online);
            let mut site = Self { health, camera, verdicts: Verdicts::default(), now: Duration::from_secs(100) };
            site.verdicts.look(&site.health, site.now);
            site
        }

        /// Half a minute in which so many frames come and so many of them are dropped.
        fn pass(&mut self, received: u64, dropped: u64) -> CameraState {
            self.camera.received.add(received);
            self.camera.dropped.add(dropped);
            self.now += EVERY;
            self.verdicts.look(&self.health, self.now);
            self.camera.state()
        }
    }

    fn reason(state: CameraState) -> String {
        match state {
            CameraState::Degraded(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_camera_that_the_box_cannot_keep_up_with_is_degraded_until_it_can() {
        let mut site = Site::new();
        assert_eq!(site.pass(750, 300), CameraState::Online, "a third dropped is as it should be");
        let first = reason(site.pass(750, 720));
        assert!(first.contains("1.0 of 25.0"), "{first}");
        assert_eq!(reason(site.pass(750, 700)), first, "the words stay while it is the same");
        assert_eq!(site.pass(750, 0), CameraState::Online);
        assert_eq!(site.pass(30, 0), CameraState::Online, "a slow camera is no slow box");
    }

    #[test]
    fn a_camera_that_comes_and_goes_is_degraded_for_ten_minutes() {
        let mut site = Site::new();
        site.camera.failed.add(2);
        assert_eq!(site.pass(750, 0), CameraState::Online);
        site.camera.failed.inc();
        assert!(reason(site.pass(750, 0)).contains("failed 3 times"));
        for _ in 0..18 {
            site.pass(750, 0);
        }
        assert!(matches!(site.camera.state(), CameraState::Degraded(_)));
        site.pass(750, 0);
        assert_eq!(site.pass(750, 0), CameraState::Online);
    }

    #[test]
    fn a_word_of_the_cameras_own_thread_goes_before() {
        let mut site = Site::new();
        let gone = CameraState::Offline("no route to host".to_owned());
        site.camera.set_state(gone.clone());
        assert_eq!(site.pass(750, 740), gone);
        let model = CameraState::Degraded("model failed".to_owned());
        site.camera.set_state(model.clone());
        assert_eq!(site.pass(750, 0), model);
        site.camera.set_state(CameraState::Online);
        assert!(reason(site.pass(750, 740)).contains("too much to do"), "said again after a reconnect");
    }
}
