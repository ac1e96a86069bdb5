//! Which cameras' threads hang, and what comes of it: another thread, an end for that camera, or for the daemon.
//!
//! The one judge of cameras; the [watchdog](super::watchdog) counts, and judges what is vital alone.
//!
//! * **One of several cameras**: another thread takes its place. One that hangs [`MOST_HANGS`] times in an hour is given up, until
//!   somebody has it opened anew; the others never pay for it.
//! * **All of several**: each is silent, or hung before and has analysed no frame since: they hang in something that they share, and
//!   the daemon ends.
//! * **The only one that is to run**: replaced like any other; the daemon ends where it would be given up, since there is nothing else
//!   to go on with.
//!
//! Cameras that are paused, switched off, over or never started are not asked about. One that rests after a panic is not hanging.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::CameraId;

/// So often a camera's thread may hang in [`CALM`].
pub(super) const MOST_HANGS: u32 = 3;
/// After so long without a hang those before count no more, unless their threads are still there.
const CALM: Duration = Duration::from_hours(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hangs(HashMap<CameraId, Hang>);

#[derive(Debug, Clone, Copy)]
struct Hang {
    times: u32,
    last: Duration,
    /// Frames of the camera that were looked at by then.
    frames: u64,
    given_up: bool,
}

/// A live camera that is to run, at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) camera: &'a CameraId,
    /// Its thread is silent for too long.
    pub(super) silent: bool,
    /// Its frames that were looked at so far.
    pub(super) frames: u64,
    /// Threads of it that were left behind and hang still.
    pub(super) left: u32,
}

impl Hangs {
    /// How often this camera will have hung with one more.
    fn with_one_more(&self, seen: &Seen<'_>, now: Duration) -> u32 {
        let before = self.0.get(seen.camera).filter(|hang| now < hang.last + CALM).map_or(0, |hang| hang.times);
        before.max(seen.left) + 1
    }

    /// Whether no camera that is to run makes progress, and a restart is all that is left. Given up ones are known here.
    pub(super) fn is_end(&self, cameras: &[Seen<'_>], now: Duration) -> bool {
        let given_up = self.0.values().filter(|hang| hang.given_up).count();
        if !cameras.iter().any(|seen| seen.silent) {
            return false;
        }
        if let ([only], 0) = (cameras, given_up) {
            return self.with_one_more(only, now) >= MOST_HANGS;
        }
        let hung = |seen: &Seen<'_>| self.0.get(seen.camera).is_some_and(|hang| seen.frames <= hang.frames);
        cameras.iter().all(|seen| seen.silent || hung(seen))
    }

    /// A camera's thread hangs and is left behind. False: the camera is given up.
    pub(super) fn note(&mut self, seen: &Seen<'_>, now: Duration) -> bool {
        let times = self.with_one_more(seen, now);
        let given_up = times >= MOST_HANGS;
        self.0.insert(seen.camera.clone(), Hang { times, last: now, frames: seen.frames, given_up });
        !given_up
    }

    /// Somebody wants this camera anew, or not at all for now.
    pub(super) fn forget(&mut self, camera: &CameraId) {
        self.0.remove(camera);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100_000);

    fn id(name: &str) -> CameraId {
        CameraId::new(name).unwrap()
    }

    fn seen(camera: &CameraId, silent: bool, frames: u64) -> Seen<'_> {
        Seen { camera, silent, frames, left: 0 }
    }

    #[test]
    fn one_of_several_is_replaced_and_then_given_up_and_the_daemon_goes_on() {
        let (one, two, mut hangs) = (id("one"), id("two"), Hangs::default());
        for (n, goes_on) in [(0, true), (1, true), (2, false)] {
            let now = NOW + Duration::from_secs(n * 31);
            let cameras = [seen(&one, true, 7), seen(&two, false, 900 + n)];
            assert!(!hangs.is_end(&cameras, now));
            assert_eq!(hangs.note(&cameras[0], now), goes_on, "hang {n}");
        }
        assert!(!hangs.is_end(&[seen(&two, false, 0)], NOW), "the other one runs");
        hangs.forget(&one);
        assert!(hangs.note(&seen(&one, true, 7), NOW), "opened anew it begins anew");
    }

    #[test]
    fn all_of_several_end_the_daemon_however_their_silences_fall() {
        let (one, two, mut hangs) = (id("one"), id("two"), Hangs::default());
        assert!(hangs.is_end(&[seen(&one, true, 7), seen(&two, true, 3)], NOW), "in one look");
        // The first was left behind a moment ago: it rests, or its new thread hangs where the one before did.
        assert!(hangs.note(&seen(&one, true, 7), NOW));
        assert!(!hangs.is_end(&[seen(&one, false, 7), seen(&two, false, 3)], NOW), "nobody is silent now");
        assert!(hangs.is_end(&[seen(&one, false, 7), seen(&two, true, 3)], NOW));
        assert!(!hangs.is_end(&[seen(&one, false, 8), seen(&two, true, 3)], NOW), "it has analysed a frame since");
        // One that is given up is no reason to go on.
        assert!(hangs.note(&seen(&one, true, 7), NOW) && !hangs.note(&seen(&one, true, 7), NOW));
        assert!(hangs.is_end(&[seen(&two, true, 3)], NOW));
    }

    #[test]
    fn the_only_camera_is_replaced_twice_and_hangs_of_long_ago_do_not_count() {
        let (one, mut hangs) = (id("one"), Hangs::default());
        for (hour, ends) in [(0, false), (0, false), (2, false), (2, false), (2, true)] {
            let (now, one) = (NOW + CALM * hour, seen(&one, true, 7));
            assert_eq!(hangs.is_end(&[one], now), ends);
            assert_ne!(hangs.note(&one, now), ends);
        }
        let mut hangs = Hangs::default();
        let still_there = Seen { left: 2, ..seen(&one, true, 7) };
        assert!(hangs.is_end(&[still_there], NOW) && !hangs.note(&still_there, NOW), "threads that hang are counted");
    }
}
