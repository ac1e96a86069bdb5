//! Challenges: random bytes that the box has told lately, for commands that come while its clock is not set.
//!
//! Without a clock the box cannot tell an old command from a new one; one that names a challenge of the last minutes was
//! signed after it was told. Each health message draws one. The newest 16 of the last five minutes of this boot count;
//! that a command is not taken twice is the journal's part, not this one's. Shared by the session, the unix socket and
//! `command::authorise`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::Clock;

/// Most that are remembered.
const MOST: usize = 16;
/// How long one counts: as long as a command may be valid.
const COUNTS: Duration = Duration::from_mins(5);

/// When, and what; oldest first.
type Told = VecDeque<(Duration, [u8; 8])>;

/// What was told lately; cheap to clone.
#[derive(Debug, Clone)]
pub struct Challenges {
    told: Arc<Mutex<Told>>,
    clock: Clock,
}

impl Challenges {
    /// None told yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { told: Arc::default(), clock }
    }

    /// A new one, remembered.
    #[must_use]
    pub fn draw(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        // Without randomness nothing is remembered, so no command can name it.
        if SystemRandom::new().fill(&mut bytes).is_ok() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= MOST {
                told.pop_front();
            }
            told.push_back((self.clock.monotonic(), bytes));
        }
        bytes
    }

    /// Whether `challenge` was told lately.
    #[must_use]
    pub fn knows(&self, challenge: &[u8; 8]) -> bool {
        let now = self.clock.monotonic();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().any(|(at, one)| one == challenge && now.saturating_sub(*at) <= COUNTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;

    #[test]
    fn the_newest_of_the_last_minutes_count() {
        let time = SimClock::at(TimeMs(0));
        let challenges = Challenges::new(Clock::of(time.clone()));
        let first = challenges.draw();
        assert!(challenges.knows(&first) && !challenges.knows(&[0; 8]));
        time.advance(COUNTS);
        assert!(challenges.knows(&first));
        time.advance(Duration::from_millis(1));
        assert!(!challenges.knows(&first), "too old");
        let old = challenges.draw();
        let newer: Vec<_> = (0..MOST).map(|_| challenges.draw()).collect();
        assert!(!challenges.knows(&old) && newer.iter().all(|one| challenges.knows(one)));
    }
}
