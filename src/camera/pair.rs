//! The main stream beside a substream: its last frames, so that a plate found in a small picture is read in the large one.
//!
//! A thread of its own opens, decodes and reopens the main stream as any camera's; its newest frames wait in a ring of
//! [`KEPT`], so memory is bounded and a decoder's pool is not emptied. A frame of the substream gets the main frame that
//! arrived nearest to it. Arrival and not the senders' clocks: the two streams' RTP times have random offsets, the RTCP
//! reports that would relate them come after seconds and from many cameras never or wrong, while both streams leave one
//! encoder at the same time over the same wire. What the pairing is wrong by (a frame or two) the reader makes good: it
//! looks for the plate again around its place. Frames further apart than [`APART`] are no pair.
//!
//! A main stream that is away costs nothing but reading: plates are then read in the substream's frame and the camera
//! is degraded, with the reason. An idle camera's streams are both decoded by their key frames alone, and wake together
//! ([`super::idle`]); what they kept until then is shown side by side.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::idle::Idle;
use super::{Camera, CameraEvent, Settings};
use crate::clock::Clock;
use crate::domain::{CameraId, Frame};
use crate::health::{CameraCounters, CameraState, Worry};
use crate::shutdown::Shutdown;

/// Frames of the main stream that are kept.
const KEPT: usize = 3;

/// Most milliseconds between two frames of a pair.
const APART: u64 = 500;

/// So long the main stream may be away before it is told, milliseconds.
const AWAY: u64 = 3_000;

/// A system that gives no thread is asked again after this time.
const THREAD_EVERY: Duration = Duration::from_secs(1);

/// What both streams have kept while the camera was idle is decoded at once when it wakes, each as fast as it can be: a
/// frame of either stream waits so long for the other to come near.
const WAITS: Duration = Duration::from_millis(300);
/// Frames no older than this are of now; older ones were kept. One of the main stream that is later than the substream's by
/// more than [`NEAR`] waits. Milliseconds.
const NOW: u64 = 400;
const NEAR: u64 = 250;
/// The substream waits no more for so long after it has waited in vain, milliseconds.
const IN_VAIN: u64 = 5_000;

/// The last frames, and how far the substream is.
#[derive(Debug, Default)]
struct Kept {
    frames: Mutex<VecDeque<Arc<Frame>>>,
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// Milliseconds UTC.
#[derive(Debug, Default)]
struct Turn {
    /// Of the substream's frame that was paired last.
    shown: u64,
    /// When it waited for the main stream in vain.
    in_vain: u64,
}

impl Kept {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame of the main stream; one that was kept waits until the substream has come near.
    fn come(&self, frame: Frame, now: u64) {
        let at = frame.at.0;
        if at + NOW < now {
            let is_early = |turn: &mut Turn| at > turn.shown + NEAR;
            drop(self.changed.wait_timeout_while(self.turn(), WAITS, is_early));
        }
        self.push(frame);
        drop(self.turn());
        self.changed.notify_all();
    }

    /// The substream shows its frame of `at`; one that was kept waits for the main stream's frame of its moment.
    fn show(&self, at: u64, now: u64) {
        let mut turn = self.turn();
        turn.shown = at;
        self.changed.notify_all();
        if at + NOW >= now || now < turn.in_vain + IN_VAIN {
            return;
        }
        let is_missing = |_: &mut Turn| {
            let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
            frames.back().is_none_or(|newest| newest.at.0 + NOW / 4 < at)
        };
        let waited = self.changed.wait_timeout_while(turn, WAITS, is_missing);
        let (mut turn, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            turn.in_vain = now;
        }
    }

    fn push(&self, frame: Frame) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let old = if frames.len() >= KEPT { frames.pop_front() } else { None };
        frames.push_back(Arc::new(frame));
        drop(frames);
        // Outside the lock: releasing a frame calls into GStreamer.
        drop(old);
    }

    /// The frame nearest to `at`, and whether it is near enough.
    fn nearest(&self, at: u64) -> Option<(Arc<Frame>, u64)> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = frames.iter().min_by_key(|f| f.at.0.abs_diff(at))?;
        Some((Arc::clone(nearest), nearest.at.0.abs_diff(at)))
    }
}

/// What the thread does until its stop is asked for.
type Job = Arc<dyn Fn() + Send + Sync>;

/// The main stream of a camera whose substream is looked at. Dropping it closes the stream and ends its thread.
pub struct MainStream {
    id: CameraId,
    kept: Arc<Kept>,
    counters: Arc<CameraCounters>,
    shutdown: Shutdown,
    job: Job,
    thread: Option<JoinHandle<()>>,
    /// Times that the thread panicked, and when it is started again (monotonic).
    panics: u32,
    again: Duration,
    clock: Clock,
    /// When a frame was last given a pair; at first, when it was opened.
    paired: u64,
    /// While the camera is idle, both streams show key frames alone, which need not be of one moment.
    idle: Option<Arc<Idle>>,
}

impl MainStream {
    /// Opens the stream of `settings` on a thread of its own, which counts in `counters` and also ends with `stop`: the
    /// camera's two streams close at once. When the system gives no thread, or it panics, it is started again with the
    /// frames of the substream.
    #[must_use]
    pub fn start(settings: Settings, clock: &Clock, counters: Arc<CameraCounters>, stop: &Shutdown) -> Self {
        let (kept, shutdown, id) = (Arc::new(Kept::default()), stop.child(), settings.id.clone());
        let idle = settings.idle.clone();
        let camera = Camera::new(settings, clock.clone(), Arc::clone(&counters));
        let (into, stop, utc) = (Arc::clone(&kept), shutdown.clone(), clock.clone());
        let job = Arc::new(move || {
            let ended = camera.run(&stop, &mut |event| {
                if let CameraEvent::Frame(frame) = event {
                    into.come(frame, utc.utc().0);
                }
            });
            debug_assert!(ended.is_ok(), "a live camera is opened again for ever");
        });
        let mut main = Self::with(job, id, kept, shutdown, counters, clock);
        main.idle = idle;
        main
    }

    fn with(
        job: Job,
        id: CameraId,
        kept: Arc<Kept>,
        shutdown: Shutdown,
        counters: Arc<CameraCounters>,
        clock: &Clock,
    ) -> Self {
        let (paired, again) = (clock.utc().0, clock.monotonic());
        let clock = clock.clone();
        let mut main =
            Self { id, kept, counters, shutdown, job, thread: None, panics: 0, again, clock, paired, idle: None };
        main.keep_going();
        main
    }

    /// Starts the thread when there is none: at first, and 1 s, 2 s, 4 s … 32 s after it panicked.
    fn keep_going(&mut self) {
        let now = self.clock.monotonic();
        if let Some(thread) = self.thread.take_if(|t| t.is_finished())
            && thread.join().is_err()
        {
            let wait = Duration::from_secs(1 << self.panics.min(5));
            tracing::error!(camera = %self.id, ?wait, "the thread of a main stream panicked, will be started again");
            self.panics += 1;
            self.counters.failed.inc();
            self.counters.set_state(CameraState::Offline("the main stream's thread panicked".into()));
            self.again = now + wait;
        }
        if self.thread.is_some() || now < self.again || self.shutdown.is_set() {
            return;
        }
        self.again = now + THREAD_EVERY;
        let job = Arc::clone(&self.job);
        let started = std::thread::Builder::new().name(format!("main-{}", self.id)).spawn(move || job());
        match started {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                tracing::error!(camera = %self.id, %error, "no thread for the main stream, will be tried again");
                self.counters.failed.inc();
            }
        }
    }

    /// Gives `frame` of the substream the main stream's frame of its moment; `told` hears when the main stream is away.
    pub fn attach(&mut self, frame: &mut Frame, told: &CameraCounters) {
        self.keep_going();
        self.kept.show(frame.at.0, self.clock.utc().0);
        if self.idle.as_ref().is_some_and(|idle| idle.is_idle()) {
            self.paired = frame.at.0;
        }
        match self.kept.nearest(frame.at.0) {
            Some((detail, apart)) if apart <= APART => {
                frame.set_detail(detail);
                self.paired = frame.at.0;
                told.set_worry(Worry::MainStream, None);
            }
            _ => self.tell(told),
        }
    }

    fn tell(&self, told: &CameraCounters) {
        if self.clock.utc().0.saturating_sub(self.paired) < AWAY {
            return;
        }
        let why = match self.counters.state() {
            CameraState::Offline(why) | CameraState::Degraded(why) => why,
            _ => "its frames come too late or not at all".to_owned(),
        };
        told.set_worry(
            Worry::MainStream,
            Some(format!("plates are read on the substream, the main stream is away: {why}")),
        );
    }
}

impl Drop for MainStream {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(camera = %self.id, "the thread of a main stream panicked");
        }
    }
}

impl std::fmt::Debug for MainStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MainStream").field("id", &self.id).field("panics", &self.panics).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;
    use crate::domain::frame::OwnedI420;

    fn frame(at: u64, luma: u8) -> Frame {
        let (format, pixels) = OwnedI420::from_rgb(&[luma; 4 * 4 * 3], 4, 4);
        Frame::new(format, TimeMs(at), Duration::ZERO, 0, Box::new(pixels))
    }

    #[test]
    fn a_frame_gets_the_nearest_of_the_last_main_frames_and_none_from_far_away() {
        let clock = SimClock::at(TimeMs(10_000));
        let settings = Settings::new(CameraId::new("gate").unwrap(), 1, "rtsp://127.0.0.1:1/none".parse().unwrap());
        let (stop, counters) = (Shutdown::new(), Arc::default());
        let mut main = MainStream::start(settings, &Clock::of(Arc::clone(&clock) as Arc<_>), counters, &stop);
        for at in [9_000, 10_000, 10_040, 10_080] {
            main.kept.push(frame(at, 0));
        }
        let told = CameraCounters::default();
        told.set_state(CameraState::Online);
        for (at, paired) in
            [(10_061, Some(10_080)), (10_059, Some(10_040)), (9_600, Some(10_000)), (9_499, None), (10_581, None)]
        {
            let mut sub = frame(at, 0);
            main.attach(&mut sub, &told);
            assert_eq!(sub.detail().map(|d| d.at.0), paired, "{at}");
        }
        assert_eq!(told.state(), CameraState::Online, "not told at once");
        clock.advance(Duration::from_secs(4));
        main.attach(&mut frame(14_000, 0), &told);
        let CameraState::Degraded(why) = told.state() else { panic!("{:?}", told.state()) };
        assert!(why.contains("plates are read on the substream"), "{why}");
        main.kept.push(frame(14_010, 0));
        main.attach(&mut frame(14_000, 0), &told);
        assert_eq!(told.state(), CameraState::Online);
        assert_eq!(main.kept.frames.lock().unwrap().len(), KEPT);
        // It ends with the camera, before it is dropped, and the camera not with it.
        stop.trigger();
        main.thread.take().unwrap().join().unwrap();
    }

    #[test]
    fn a_thread_that_panics_is_counted_told_and_started_again() {
        let sim = SimClock::at(TimeMs(10_000));
        let clock = Clock::of(Arc::clone(&sim) as Arc<_>);
        let starts = Arc::new(AtomicU32::new(0));
        let started = Arc::clone(&starts);
        let job = Arc::new(move || {
            started.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("a fault of ours"));
        });
        let (id, told) = (CameraId::new("gate").unwrap(), CameraCounters::default());
        told.set_state(CameraState::Online);
        let counters = told.of_main();
        let mut main = MainStream::with(job, id, Arc::default(), Shutdown::new(), Arc::clone(&counters), &clock);
        for panics in 1..=3 {
            while !main.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                std::thread::yield_now();
            }
            main.attach(&mut frame(14_000, 0), &told);
            assert_eq!((main.panics, counters.failed.get()), (panics, u64::from(panics)));
            assert_eq!(starts.load(Ordering::SeqCst), panics, "not before its time");
            sim.advance(Duration::from_secs(4));
            main.attach(&mut frame(14_000, 0), &told);
        }
        let CameraState::Degraded(why) = told.state() else { panic!("{:?}", told.state()) };
        assert!(why.contains("the main stream's thread panicked"), "{why}");
        assert_eq!(told.main().unwrap().failed.get(), 3);
    }
}
