//! How many commands of a key are taken: a token bucket each, by the monotonic clock.
//!
//! Asked only after the signature, so that nobody uses up another's. Redeliveries have a bucket of their own: who can
//! send a captured command again must not silence its signer. Bounded by the keyring: a key that is not in it has none.

use std::collections::HashMap;
use std::time::Duration;

use crate::centre::keyring::Keyring;
use crate::centre::keys::Kid;

/// How many are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// So many at once.
    pub burst: u32,
    /// So many a second in the long run.
    pub per_second: f64,
}

impl Default for Limits {
    /// A page of a query a second and a burst of a hundred: more than people ask by hand, less than what keeps a box from
    /// its work.
    fn default() -> Self {
        Self { burst: 100, per_second: 5.0 }
    }
}

/// Which of a key's two buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A command that was not seen before.
    Fresh,
    /// One that was.
    Again,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rate {
    limits: Limits,
    buckets: HashMap<(Kid, Kind), Bucket>,
}

impl Rate {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, buckets: HashMap::new() }
    }

    /// Whether one more of this key is taken at `now`; it counts when it is.
    pub(super) fn takes(&mut self, kid: Kid, kind: Kind, now: Duration, keyring: &Keyring) -> bool {
        // Keys of keyrings before are forgotten when there are more than those of this one.
        if self.buckets.len() > 2 * keyring.entries.len() {
            self.buckets.retain(|(kid, _), _| keyring.entry(*kid).is_some());
        }
        let full = f64::from(self.limits.burst);
        let bucket = self.buckets.entry((kid, kind)).or_insert(Bucket { left: full, at: now });
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * self.limits.per_second).min(full);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit;

    #[test]
    fn a_key_has_a_burst_and_a_rate_and_takes_nothing_from_another() {
        let ring = testkit::keyring();
        let [one, other] = [testkit::key_of("fleet").kid(), testkit::key_of("lists").kid()];
        let mut rate = Rate::new(Limits { burst: 3, per_second: 0.5 });
        let mut takes = |kid, kind, at| rate.takes(kid, kind, Duration::from_secs(at), &ring);
        assert!((0..3).all(|_| takes(one, Kind::Fresh, 0)));
        assert!(!takes(one, Kind::Fresh, 1), "half a token");
        assert!(takes(other, Kind::Fresh, 1) && takes(one, Kind::Again, 1));
        assert!(takes(one, Kind::Fresh, 2));
        assert!(
            (0..3).all(|_| takes(one, Kind::Fresh, 1000)) && !takes(one, Kind::Fresh, 1000),
            "never above the burst"
        );
    }

    #[test]
    fn keys_that_are_gone_are_forgotten() {
        let mut ring = testkit::keyring();
        let mut rate = Rate::new(Limits::default());
        for entry in &testkit::keyring().entries {
            rate.takes(entry.key.kid(), Kind::Fresh, Duration::ZERO, &ring);
        }
        ring.entries.truncate(1);
        rate.takes(ring.entries[0].key.kid(), Kind::Again, Duration::ZERO, &ring);
        assert!(rate.buckets.len() <= 2, "{}", rate.buckets.len());
    }
}
