//! The last seconds of a camera's coded pictures, in memory.
//!
//! Filled in GStreamer's thread behind the parser (the buffers are shared, not copied); read by whoever wants to see again
//! what has passed: for the clip of a hit, for pictures that an idle camera did not decode. Bounded in
//! time, in bytes and in number, since each picture costs memory beside its bytes: the oldest go first. A [`Span`] begins with a key frame and so can be decoded by itself. A source
//! that was opened again begins anew: what comes after has another form and other times.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use super::Rotation;
use super::orientation::Orientation;
use crate::domain::TimeMs;

/// One coded picture as it came out of the parser, in the order of decoding.
#[derive(Debug, Clone)]
pub struct Coded {
    /// UTC, as frames carry it: of its arrival for a live camera, by its place in the file for a file.
    pub at: TimeMs,
    /// Its place in the stream, as frames carry it.
    pub pts: Duration,
    /// Whether decoding can begin with it.
    pub is_key: bool,
    /// The access unit, with the time stamps that the parser gave.
    pub unit: gst::Buffer,
}

/// Coded pictures that belong together, the first a key frame.
#[derive(Debug, Clone)]
pub struct Span {
    /// What the pictures are: the caps behind the parser.
    pub caps: gst::Caps,
    /// In the order of decoding.
    pub pictures: Vec<Coded>,
}

/// How much a ring keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So long ago is kept at least, and a key frame before it, where that fits into `bytes`.
    pub time: Duration,
    /// Never more than this.
    pub bytes: usize,
    /// Nor more pictures than this.
    pub pictures: usize,
}

impl Default for Bounds {
    /// 12 seconds, which hold a clip from 5 s before a hit whose read took 2 s, behind a key frame 5 s earlier; 24 MiB; as
    /// many pictures as 60 a second give in a minute, of which each takes about a kilobyte beside its bytes.
    fn default() -> Self {
        Self { time: Duration::from_secs(12), bytes: 24 << 20, pictures: 3_600 }
    }
}

/// What goes into a ring.
#[derive(Debug)]
pub(super) enum Kept {
    /// Coded pictures are of this form from here on.
    Form(gst::Caps),
    /// A coded picture.
    Picture(Coded),
}

/// Takes what would be kept.
type PassOn = Box<dyn Fn(Kept) + Send + Sync>;

/// The ring of one camera.
pub struct Ring {
    /// Nothing is kept here: it is in another process.
    pass_on: Option<PassOn>,
    bounds: Bounds,
    orientation: Mutex<Option<Orientation>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    caps: Option<gst::Caps>,
    pictures: VecDeque<Coded>,
    bytes: usize,
}

impl Ring {
    /// Keeps nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { pass_on: None, bounds, orientation: Mutex::default(), state: Mutex::default() }
    }

    /// Keeps nothing: what comes is given to `to`, in the source's thread, which must not wait.
    pub(super) fn passing_on(to: impl Fn(Kept) + Send + Sync + 'static) -> Self {
        Self { pass_on: Some(Box::new(to)), ..Self::new(Bounds::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes from now on is of this form; what is of another is forgotten.
    pub fn begin(&self, caps: gst::Caps) {
        if let Some(to) = &self.pass_on {
            return to(Kept::Form(caps));
        }
        let mut state = self.state();
        if state.caps.as_ref() != Some(&caps) {
            *state = State { caps: Some(caps), ..State::default() };
        }
    }

    /// Something is missing from here on: what comes next cannot be joined to what is kept.
    pub(super) fn gap(&self) {
        let mut state = self.state();
        let caps = state.caps.take();
        *state = State { caps, ..State::default() };
    }

    /// Forgets everything: the source is opened again.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// The source says by this how its pictures lie.
    pub(super) fn lie(&self, orientation: Orientation) {
        *self.orientation.lock().unwrap_or_else(PoisonError::into_inner) = Some(orientation);
    }

    /// What the stream itself says of how its pictures lie, degrees clockwise.
    pub(super) fn own_word(&self) -> u16 {
        let orientation = self.orientation.lock().unwrap_or_else(PoisonError::into_inner);
        orientation.as_ref().map_or(0, Orientation::own_word)
    }

    /// How far its pictures are to be turned to stand upright.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        let orientation = self.orientation.lock().unwrap_or_else(PoisonError::into_inner);
        orientation.as_ref().map_or(Rotation::None, Orientation::rotation)
    }

    fn holds(&self, state: &State) -> bool {
        state.bytes <= self.bounds.bytes && state.pictures.len() <= self.bounds.pictures
    }

    /// Takes the next picture.
    pub fn push(&self, coded: Coded) {
        if let Some(to) = &self.pass_on {
            return to(Kept::Picture(coded));
        }
        let mut state = self.state();
        state.bytes += coded.unit.size();
        let newest = coded.pts;
        state.pictures.push_back(coded);
        // Whole groups of pictures go: without its key frame the rest of one is of no use.
        while let Some(next_key) = state.pictures.iter().skip(1).position(|c| c.is_key).map(|n| n + 1) {
            let rest = state.pictures.get(next_key).map_or(Duration::ZERO, |c| newest.saturating_sub(c.pts));
            if rest < self.bounds.time && self.holds(&state) {
                break;
            }
            let gone: usize = state.pictures.drain(..next_key).map(|c| c.unit.size()).sum();
            state.bytes -= gone;
        }
        if !self.holds(&state) {
            // One group alone is too large: it is begun anew with the next key frame.
            let caps = state.caps.take();
            *state = State { caps, ..State::default() };
        }
    }

    /// The pictures from `from` to `to` (places in the stream) and those before that they need; `None` where nothing of
    /// it is kept. It begins later than asked for where what was before is gone.
    #[must_use]
    pub fn span(&self, from: Duration, to: Duration) -> Option<Span> {
        let state = self.state();
        let caps = state.caps.clone()?;
        let keys = state.pictures.iter().enumerate().filter(|(_, c)| c.is_key);
        let begin = keys.clone().take_while(|(_, c)| c.pts <= from).last().or_else(|| keys.clone().next())?.0;
        let last = state.pictures.iter().rposition(|c| c.pts <= to)?;
        let pictures: Vec<Coded> = state.pictures.range(begin..=last.max(begin)).cloned().collect();
        (last >= begin).then_some(Span { caps, pictures })
    }

    /// The place in the stream of the newest picture.
    #[must_use]
    pub fn newest(&self) -> Option<Duration> {
        self.state().pictures.iter().map(|c| c.pts).max()
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        let (pictures, bytes) = (state.pictures.len(), state.bytes);
        f.debug_struct("Ring").field("pictures", &pictures).field("bytes", &bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(n: u64) -> Coded {
        Coded {
            at: TimeMs(n * 100),
            pts: Duration::from_millis(n * 100),
            is_key: n.is_multiple_of(10),
            unit: gst::Buffer::from_slice([0_u8; 100]),
        }
    }

    fn ring(bounds: Bounds, pictures: u64) -> Ring {
        super::super::pipeline::init().unwrap();
        let ring = Ring::new(bounds);
        ring.begin(gst::Caps::builder("video/x-h264").build());
        (0..pictures).for_each(|n| ring.push(coded(n)));
        ring
    }

    #[test]
    fn a_span_begins_with_the_key_frame_before_what_was_asked_for() {
        let ring = ring(Bounds::default(), 50);
        let span = ring.span(Duration::from_millis(2_550), Duration::from_millis(3_120)).unwrap();
        let at: Vec<u64> = span.pictures.iter().map(|c| c.at.0).collect();
        assert_eq!((at[0], *at.last().unwrap(), span.pictures[0].is_key), (2_000, 3_100, true));
    }

    #[test]
    fn the_oldest_groups_go_when_there_are_too_many_seconds_or_bytes() {
        let most = Bounds { time: Duration::from_mins(1), bytes: 1 << 20, pictures: 1_000 };
        let short = ring(Bounds { time: Duration::from_secs(2), ..most }, 100);
        let span = short.span(Duration::ZERO, Duration::MAX).unwrap();
        assert_eq!((span.pictures[0].at.0, span.pictures.len()), (7_000, 30), "two seconds and the group before");
        let small = ring(Bounds { bytes: 2_500, ..most }, 100);
        assert!(small.bytes() <= 2_500 && small.span(Duration::ZERO, Duration::MAX).unwrap().pictures[0].is_key);
        let tiny = ring(Bounds { bytes: 50, ..most }, 100);
        assert!(tiny.bytes() == 0 && tiny.span(Duration::ZERO, Duration::MAX).is_none());
        // Pictures of next to no bytes, however many come.
        let few = ring(Bounds { pictures: 25, ..most }, 1_000);
        let span = few.span(Duration::ZERO, Duration::MAX).unwrap();
        assert!(span.pictures[0].is_key && (10..=25).contains(&span.pictures.len()), "{}", span.pictures.len());
        let none = ring(Bounds { pictures: 9, ..most }, 1_000);
        assert!(none.span(Duration::ZERO, Duration::MAX).is_none_or(|span| span.pictures.len() <= 9));
    }

    #[test]
    fn another_form_of_pictures_begins_anew() {
        let ring = ring(Bounds::default(), 15);
        ring.begin(gst::Caps::builder("video/x-h264").build());
        assert_eq!(ring.newest(), Some(Duration::from_millis(1_400)));
        ring.begin(gst::Caps::builder("video/x-h265").build());
        assert!(ring.newest().is_none());
    }
}
