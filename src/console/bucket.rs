//! So many at once, then one more every so often: the bound on wrong tokens and on looks.

use std::time::Duration;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    most: f64,
    every: Duration,
    /// How many there is room for, as of when.
    left: f64,
    since: Duration,
}

impl Bucket {
    /// Room for all of them.
    pub(super) fn new(most: u32, every: Duration, now: Duration) -> Self {
        let most = f64::from(most);
        Self { most, every, left: most, since: now }
    }

    /// How long until there is room for one; zero: there is.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        let gone = now.saturating_sub(self.since).as_secs_f64() / self.every.as_secs_f64();
        self.left = (self.left + gone).min(self.most);
        // Who looked at the clock first may come second: nothing counts twice.
        self.since = self.since.max(now);
        self.every.mul_f64((1.0 - self.left).max(0.0))
    }

    /// One is there.
    pub(super) fn take(&mut self) {
        self.left -= 1.0;
    }

    /// One that was taken was for nothing.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.most);
    }

    /// Nothing is missing: a new one is the same.
    pub(super) fn is_full(&mut self, now: Duration) -> bool {
        self.wait(now);
        self.left >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_then_one_every_so_often() {
        let (every, mut now) = (Duration::from_secs(10), Duration::from_hours(1));
        let mut bucket = Bucket::new(3, every, now);
        for _ in 0..3 {
            assert_eq!(bucket.wait(now), Duration::ZERO);
            bucket.take();
        }
        assert_eq!(bucket.wait(now), every);
        now += every / 2;
        assert_eq!(bucket.wait(now), every / 2);
        now += every / 2;
        assert_eq!(bucket.wait(now), Duration::ZERO);
        bucket.take();
        bucket.give_back();
        assert_eq!(bucket.wait(now), Duration::ZERO);
        assert!(!bucket.is_full(now) && bucket.is_full(now + every * 2));
        now += Duration::from_hours(9);
        for _ in 0..3 {
            assert_eq!(bucket.wait(now), Duration::ZERO);
            bucket.take();
        }
        assert!(bucket.wait(now) > Duration::ZERO, "it holds no more than it has room for");
    }
}
