//! Second looks: passes that were read with doubt, looked at again while nothing moves before any camera.
//!
//! An analysis thread holds the end of a doubtful sighting back ([`Held`]), for some seconds at most, and asks here; what it gets
//! is a read, which goes with that end in the place of the first where it is surer, so that lists, rules and the store
//! see it like any other. The thread `second-look` decodes the pass from the camera's ring and analyses every picture of it, as one of the
//! least urgent of the box. It works only while all cameras are still, looks up between two frames and waits when one stirs: no live
//! frame is lost to it. What cannot be had in time is given up, and the end is told as it was.
//!
//! Left out: files, whose every frame was looked at in its turn, and vehicles without a plate.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clips::least_urgent;
use super::models::swap::InUse;
use super::watchdog::ended;
use crate::camera::decode::Decoder;
use crate::camera::ring::{Ring, Span};
use crate::camera::{self, Rotation};
use crate::clock::Clock;
use crate::domain::{EventId, PlateRead, SightingEvent, Stage, TimeMs};
use crate::health::Health;
use crate::health::pulse::Part;
use crate::vision::second::{self, Again};
use crate::vision::{self, Models};

/// Passes that wait while one is looked at. They hold their coded pictures, some MiB each.
const QUEUE: usize = 2;
/// How long one look may take: nobody waits so long for it, but the least urgent thread gives up between two frames alone.
const LOOK_WITHIN: Duration = Duration::from_mins(5);
/// How often a thread that waits looks up.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Times in a row that a camera must have been found quiet to count as still: a second.
const QUIET: u8 = 5;

/// Which cameras stir, and whether it is over.
#[derive(Debug, Default)]
struct Calm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stirring: usize,
    closed: bool,
}

impl Calm {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Waits until no camera stirs; false when that is not before `until`, or when it is over.
    fn wait(&self, clock: &Clock, until: Duration) -> bool {
        let mut state = self.state();
        loop {
            let left = until.saturating_sub(clock.monotonic());
            if state.closed || left.is_zero() {
                return false;
            }
            if state.stirring == 0 {
                return true;
            }
            let woken = self.changed.wait_timeout(state, left.min(LOOK_EVERY));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A pass to be looked at again.
struct Doubt {
    again: Again,
    span: Span,
    rotation: Rotation,
    decoder: Decoder,
    /// Monotonic: nobody waits for it after that.
    until: Duration,
    answer: SyncSender<Option<PlateRead>>,
}

/// Where analysis threads ask; cheap to clone.
#[derive(Clone)]
pub(super) struct Looks {
    /// How long an end waits at most.
    most: Duration,
    /// `None`: there are no second looks.
    queue: Option<SyncSender<Doubt>>,
    calm: Arc<Calm>,
    clock: Clock,
}

/// The thread that looks again.
pub(super) struct Looker {
    looks: Looks,
    thread: Option<JoinHandle<()>>,
}

impl Looker {
    /// Starts the thread `second-look`; none where `most`, so long an end waits for it, is zero.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(most: Duration, health: Arc<Health>, clock: Clock) -> std::io::Result<Self> {
        let calm = Arc::new(Calm::default());
        let mut looks = Looks { most, queue: None, calm, clock };
        let mut thread = None;
        if !most.is_zero() {
            // Analysis threads send and never wait: a pass that finds it full ends as it is.
            let (queue, inbox) = sync_channel(QUEUE);
            looks.queue = Some(queue);
            let (calm, clock) = (Arc::clone(&looks.calm), looks.clock.clone());
            let run = move || {
                least_urgent();
                work(&inbox, &calm, &clock, &health);
            };
            thread = Some(std::thread::Builder::new().name("second-look".to_owned()).spawn(run)?);
        }
        Ok(Self { looks, thread })
    }

    /// For the analysis threads.
    pub(super) fn looks(&self) -> Looks {
        self.looks.clone()
    }

    /// Ends the thread: what it has under way is given up between two frames. Waits for that `at_most` so long.
    /// False: it was left behind.
    #[must_use]
    pub(super) fn finish(self, at_most: Duration) -> bool {
        let Some(thread) = self.thread else { return true };
        self.looks.calm.state().closed = true;
        self.looks.calm.changed.notify_all();
        if !ended(&thread, at_most) {
            tracing::warn!("the thread of second looks did not stop, left behind");
            return false;
        }
        if thread.join().is_err() {
            tracing::error!("the thread of second looks panicked");
        }
        true
    }
}

/// Looks at what comes until it is over, or nobody is left to ask.
fn work(inbox: &Receiver<Doubt>, calm: &Calm, clock: &Clock, health: &Health) {
    let pulse = health.pulses.of("second-look", Part::Aside, LOOK_WITHIN);
    while !calm.is_closed() {
        pulse.beats("a second look");
        let doubt = match inbox.recv_timeout(LOOK_EVERY) {
            Ok(doubt) => doubt,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let answer = doubt.answer.clone();
        let found = catch_unwind(AssertUnwindSafe(|| look(doubt, calm, clock)));
        let found = found.unwrap_or_else(|_| {
            tracing::error!("a second look panicked: its sighting ends as it was read first");
            None
        });
        if found.is_some() {
            health.second_looks.inc();
        }
        // Whoever asked may have stopped waiting.
        let _ = answer.try_send(found.flatten());
    }
}

/// Looks at every picture of the pass, as long as no camera stirs; `None` where it was not looked at to its end: what was
/// seen in part is no better evidence than what there was.
#[expect(clippy::option_option, reason = "a look that found nothing better is a look")]
fn look(doubt: Doubt, calm: &Calm, clock: &Clock) -> Option<Option<PlateRead>> {
    let Doubt { mut again, span, rotation, decoder, until, .. } = doubt;
    let mut whole = calm.wait(clock, until);
    if !whole {
        return None;
    }
    let decoded = decoder.pictures(&span, rotation, &mut |frame| {
        let looked = calm.wait(clock, until).then(|| again.look(&frame));
        if let Some(Err(error)) = &looked {
            tracing::debug!(%error, "a doubtful pass was not looked at again");
        }
        whole = matches!(looked, Some(Ok(())));
        if whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Err(error) = decoded {
        tracing::debug!(%error, "a doubtful pass was not looked at again");
        return None;
    }
    whole.then(|| again.better())
}

/// The pictures of a span from the key frame before `from` to `to`; `None` where its beginning is not kept any more.
fn within(mut span: Span, from: TimeMs, to: TimeMs) -> Option<Span> {
    let begin = span.pictures.iter().rposition(|c| c.is_key && c.at <= from)?;
    let end = span.pictures.iter().rposition(|c| c.at <= to)?;
    span.pictures.truncate(end + 1);
    span.pictures.drain(..begin.min(end));
    Some(span)
}

/// How wide its pictures stand, pixels, where the stream says so.
fn width(span: &Span, rotation: Rotation) -> Option<f32> {
    let lies = matches!(rotation, Rotation::Left | Rotation::Right);
    let side = span.caps.structure(0)?.get::<i32>(if lies { "height" } else { "width" }).ok()?;
    u16::try_from(side).ok().map(f32::from)
}

/// What is known of a camera that asks.
pub(super) struct Asking<'a> {
    pub settings: &'a vision::Settings,
    pub models: &'a InUse,
    /// Masks hold in another view than that of the ring, or lie wrong: nothing may be looked at.
    pub is_hidden: bool,
}

/// An end that waits.
struct Waiting {
    event: SightingEvent,
    answer: Receiver<Option<PlateRead>>,
    until: Duration,
}

/// An end that waits no more, with the surer read where there is one.
pub(super) struct Due {
    pub event: SightingEvent,
    pub read: Option<PlateRead>,
}

/// The ends that are held back by one camera, and its word whether it stirs.
pub(super) struct Held {
    looks: Looks,
    ring: Option<Arc<Ring>>,
    decoder: Decoder,
    waiting: Vec<Waiting>,
    stirs: bool,
    quiet: u8,
}

impl Looks {
    /// What a camera's thread holds. A file's ends never wait.
    pub(super) fn of(&self, camera: &camera::Settings) -> Held {
        let ring = camera.ring.clone().filter(|_| camera.is_newest_first());
        let decoder = Decoder::of(camera);
        Held { looks: self.clone(), ring, decoder, waiting: Vec::new(), stirs: false, quiet: 0 }
    }

    /// Has a sighting that is over looked at again; `None` where it is not worth it or not to be had.
    fn ask(
        &self,
        event: &SightingEvent,
        ring: &Ring,
        (asking, decoder): (&Asking<'_>, &Decoder),
    ) -> Option<(Receiver<Option<PlateRead>>, Duration)> {
        let (queue, first, rotation) = (self.queue.as_ref()?, &event.sighting, ring.rotation());
        let (from, to) = second::around(first);
        let span = within(ring.span(Duration::ZERO, Duration::MAX)?, from, to)?;
        if !second::is_doubtful(first, asking.settings, width(&span, rotation).unwrap_or_default()) {
            return None;
        }
        let models: Models = asking.models.now();
        let again = Again::new(first.clone(), &models, asking.settings);
        let (until, (answer, wait)) = (self.clock.monotonic() + self.most, sync_channel(1));
        queue.try_send(Doubt { again, span, rotation, decoder: decoder.clone(), until, answer }).ok()?;
        Some((wait, until))
    }
}

impl Held {
    /// Says whether something moves before the camera, or its frames are waited for.
    pub(super) fn stir(&mut self, stirs: bool) {
        self.quiet = 0;
        if std::mem::replace(&mut self.stirs, stirs) != stirs {
            let mut state = self.looks.calm.state();
            state.stirring = if stirs { state.stirring + 1 } else { state.stirring.saturating_sub(1) };
            drop(state);
            self.looks.calm.changed.notify_all();
        }
    }

    /// Nothing came of the camera for a moment.
    pub(super) fn rest(&mut self) {
        let quiet = self.quiet.saturating_add(1);
        if quiet >= QUIET {
            self.stir(false);
        }
        self.quiet = quiet;
    }

    /// Holds the end of a doubtful sighting back, where a second look can be had; else gives it back at once.
    pub(super) fn hold(&mut self, event: SightingEvent, asking: &Asking<'_>) -> Option<SightingEvent> {
        let is_over = event.stage == Stage::End && !event.object;
        let sure = event.sighting.read.as_ref().is_some_and(|read| read.confidence >= second::SURE);
        let Some(ring) = self.ring.as_ref().filter(|_| is_over && !sure && !asking.is_hidden) else {
            return Some(event);
        };
        match self.looks.ask(&event, ring, (asking, &self.decoder)) {
            Some((answer, until)) => {
                self.waiting.push(Waiting { event, answer, until });
                None
            }
            None => Some(event),
        }
    }

    /// The end of this sighting, when it is held back: something else is to be told of it, which comes after.
    pub(super) fn take(&mut self, id: EventId) -> Option<SightingEvent> {
        let place = self.waiting.iter().position(|waiting| waiting.event.sighting.id == id)?;
        Some(self.waiting.remove(place).event)
    }

    /// Ends that were looked at again, or waited long enough; `all` of them when nobody will ask any more.
    pub(super) fn due(&mut self, all: bool) -> Vec<Due> {
        let now = self.looks.clock.monotonic();
        let mut due = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.answer.try_recv() {
                Ok(read) => due.push(Due { event: waiting.event, read }),
                Err(TryRecvError::Empty) if !all && now < waiting.until => self.waiting.push(waiting),
                Err(_) => due.push(Due { event: waiting.event, read: None }),
            }
        }
        due
    }

    /// Whether no end waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A camera that is gone keeps nobody from looking.
        self.stir(false);
    }
}
