//! Is the clock set, and does a time service keep it?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{ClockState, TimeMs};

/// From here on (2100-01-01) a clock is taken to be wrong.
const PLAUSIBLE_UNTIL: TimeMs = TimeMs(4_102_444_800_000);

pub(super) fn check(_config: &Config, clock: &Clock) -> Vec<Finding> {
    let now = clock.utc();
    let set = "set the clock, or give the box a time service (systemd-timesyncd, chrony)";
    if now >= PLAUSIBLE_UNTIL {
        return vec![Finding::failure("clock", format!("{now} cannot be right"), set)];
    }
    vec![match clock.state() {
        ClockState::Synced => Finding::ok("clock", format!("{now}, kept by a time service")),
        ClockState::Holdover => Finding::warning(
            "clock",
            format!("{now}, not known to be kept by a time service: alerts say `holdover`"),
            "turn on systemd-timesyncd or chrony, and see that it reaches its server (`timedatectl`)",
        ),
        ClockState::Unset => Finding::failure("clock", format!("{now} cannot be right"), set),
    }]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::Level;
    use super::*;
    use crate::clock::{SimClock, TimeSource};

    /// A clock that shows a time and knows how good it is.
    struct Shows(TimeMs, ClockState);

    impl TimeSource for Shows {
        fn utc(&self) -> TimeMs {
            self.0
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn state(&self) -> ClockState {
            self.1
        }
    }

    fn level(clock: &Clock) -> Level {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        std::fs::write(&path, "[box]\nsite = \"north\"\nid = \"box-1\"\n").unwrap();
        let found = check(&crate::config::load(&path).unwrap(), clock);
        found[0].level
    }

    #[test]
    fn a_kept_clock_passes_one_that_is_not_kept_is_told_and_one_that_cannot_be_right_fails() {
        let now = TimeMs(1_790_000_000_000);
        assert_eq!(level(&Clock::of(SimClock::at(now))), Level::Ok);
        assert_eq!(level(&Clock::of(Arc::new(Shows(now, ClockState::Holdover)))), Level::Warning);
        assert_eq!(level(&Clock::of(Arc::new(Shows(TimeMs(3_600_000), ClockState::Unset)))), Level::Failure);
        assert_eq!(level(&Clock::of(SimClock::at(TimeMs(5_000_000_000_000)))), Level::Failure);
    }
}
