//! What was seen for long enough is believed, and what was not seen for long enough is over: no flapping.

use std::time::Duration;

/// Whether something is the case, with hysteresis.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    /// Since when it has looked otherwise than it is believed to be.
    since: Option<Duration>,
    is: bool,
}

impl Hold {
    /// Whether it is believed.
    pub(super) fn is(self) -> bool {
        self.is
    }

    /// What is seen at `at`: `None` when nothing can be said, which breaks no wait and adds nothing to it. The news, when
    /// what is believed changes after `on` or `off` of being seen.
    pub(super) fn step(&mut self, at: Duration, seen: Option<bool>, (on, off): (Duration, Duration)) -> Option<bool> {
        let seen = seen?;
        if seen == self.is {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(at);
        if at.saturating_sub(since) < if seen { on } else { off } {
            return None;
        }
        (self.since, self.is) = (None, seen);
        Some(seen)
    }

    /// Places in the stream begin anew; what is believed stays.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }
}
