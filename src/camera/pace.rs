//! Thins a stream to a number of frames a second, by stream time.

use std::time::Duration;

/// Wants a frame whenever one is due.
#[derive(Debug, Clone)]
pub(super) struct Thinner {
    every: Option<Duration>,
    due: Duration,
    last: Duration,
}

/// A frame counts as due so much before its time: stamps jitter, and 25 of 25 a second must all pass.
const EARLY: Duration = Duration::from_millis(5);

impl Thinner {
    /// At most `fps` a second; all without it, or when it is not above zero.
    pub(super) fn new(fps: Option<f32>) -> Self {
        let every = fps.filter(|f| *f > 0.0).and_then(|f| Duration::try_from_secs_f32(1.0 / f).ok());
        Self { every, due: Duration::ZERO, last: Duration::ZERO }
    }

    /// Whether the frame at `pts` is to be handed out.
    pub(super) fn wants(&mut self, pts: Duration) -> bool {
        let Some(every) = self.every else { return true };
        if pts < self.last {
            // The stream jumped back: begin anew.
            self.due = pts;
        }
        self.last = pts;
        if pts + EARLY < self.due {
            return false;
        }
        // From the due time and not from the frame, so that the mean rate is kept; a gap is not caught up.
        self.due = (self.due + every).max(pts);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(fps: Option<f32>, stream_fps: u64, frames: u64) -> usize {
        let mut thinner = Thinner::new(fps);
        (0..frames).filter(|n| thinner.wants(Duration::from_micros(n * 1_000_000 / stream_fps))).count()
    }

    #[test]
    fn the_mean_rate_is_kept_and_full_rate_passes_whole() {
        assert_eq!(passed(None, 25, 100), 100);
        assert_eq!(passed(Some(25.0), 25, 100), 100);
        assert_eq!(passed(Some(5.0), 25, 100), 20);
        assert!((79..=81).contains(&passed(Some(20.0), 25, 100)));
        assert!((39..=41).contains(&passed(Some(10.0), 25, 100)));
        assert_eq!(passed(Some(0.0), 25, 10), 10);
    }

    #[test]
    fn after_a_jump_back_frames_pass_again() {
        let mut thinner = Thinner::new(Some(1.0));
        assert!(thinner.wants(Duration::from_mins(10)));
        assert!(thinner.wants(Duration::ZERO));
    }
}
