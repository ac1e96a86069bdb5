//! How long to wait before the next attempt: doubling, bounded, with jitter.
//!
//! Without jitter, cameras behind one switch or boxes that lost one broker would all come back in one moment, again and
//! again. Whoever loses the same thing in the same moment as a whole fleet draws its first wait by [`anywhere`].
//! Used by the rooms that open connections: camera and centre. Draws and counts; the waiting is the caller's.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// Waiting times that double from `first` to `most`, each shortened by up to half at random.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first.min(most) }
    }

    /// The next waiting time: between half and the whole of the current step, which then doubles.
    #[must_use]
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        spread(step)
    }

    /// Back to the first step: the last attempt worked.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.most);
    }
}

/// Between half and the whole of `step`, at random.
#[must_use]
pub fn spread(step: Duration) -> Duration {
    step.mul_f64(0.5 + 0.5 * random_share())
}

/// Any time up to `within`, all alike: what many begin in one moment is spread over the whole of it.
#[must_use]
pub fn anywhere(within: Duration) -> Duration {
    within.mul_f64(random_share())
}

/// 0..1; 1 when the system has no randomness to give (the jitter is then lost, nothing else).
fn random_share() -> f64 {
    let mut bytes = [0_u8; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_most_with_jitter_and_start_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut step = 0.5_f64;
        let mut shares = Vec::new();
        for _ in 0..12 {
            let wait = backoff.wait().as_secs_f64();
            assert!((step / 2.0..=step).contains(&wait), "{wait} s at step {step} s");
            shares.push(wait / step);
            step = (step * 2.0).min(30.0);
        }
        shares.dedup();
        assert!(shares.len() > 6, "the shares are all alike: {shares:?}");
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(500));
    }
    #[test]
    fn a_fleet_that_lost_one_broker_comes_back_over_the_whole_time() {
        let within = Duration::from_secs(2);
        let mut slots = [0_usize; 8];
        for _ in 0..8_000 {
            let wait = anywhere(within);
            assert!(wait <= within);
            let slot = (wait.as_millis() / 250) as usize;
            slots[slot.min(7)] += 1;
        }
        assert!(slots.iter().all(|n| (800..1_200).contains(n)), "a crowd: {slots:?}");
    }
}
