//! Is the clock set?

use super::Finding;
use crate::clock::Clock;
use crate::domain::ClockState;

pub(super) fn check(clock: &Clock) -> Vec<Finding> {
    let now = clock.utc();
    vec![match clock.state() {
        ClockState::Synced => Finding::ok("clock", format!("{now}, kept by a time service")),
        ClockState::Holdover => Finding::warning(
            "clock",
            format!("{now}, not known to be kept by a time service"),
            "turn on systemd-timesyncd, or see that another time service runs; alerts say `holdover` until then",
        ),
        ClockState::Unset => {
            Finding::failure("clock", format!("{now} cannot be right"), "set the clock, or give the box a time service")
        }
    }]
}
