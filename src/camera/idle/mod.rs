//! Idle decoding: while nothing moves, key frames alone are decoded, and the sizes of the others are watched.
//!
//! Two threads agree over an [`Idle`]. The analysis thread says by [`Calm`] whether the scene is still, frame by frame;
//! GStreamer's thread, behind the parser, decodes less when it is ([`sluice`]): the key frames go to the decoder, the rest
//! of each group of pictures is kept. At the first sign of motion the kept pictures are decoded after all, as fast as the
//! box can, so that no pass is missed, only seen a little later. Signs are coded pictures larger than those of the still
//! scene ([`sizes`]) and, on the analysis thread, the motion gate waking with a key frame.
//!
//! A camera's two streams, where it has such, share one: they rest and wake together. Left out: what moves so little
//! that neither sizes nor the gate on key frames tell, and is gone before the next one.

#![cfg_attr(
    not(feature = "gst"),
    allow(dead_code, reason = "only GStreamer's sources rest; what decides is tested without")
)]

pub(super) mod sizes;
pub(super) mod sluice;

#[cfg(feature = "gst")]
pub(super) mod flow;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The scene must have been still for so long before less is decoded.
pub const STILL_FOR: Duration = Duration::from_secs(3);

/// What the analysis of a camera and its sources tell each other.
///
/// Where a source runs in another process, it has a copy there: what it says of itself goes into `tell`, and what the others say comes by
/// [`Idle::copy`].
#[derive(Default)]
pub struct Idle {
    state: Mutex<State>,
    tell: Option<Tell>,
}

/// Told of what a source says of itself.
type Tell = Box<dyn Fn(News) + Send + Sync>;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    word: Word,
    /// Of a copy: how often its own source woke, and how often it is known to have.
    own: u32,
    heard: u32,
}

/// What a source says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It woke by itself.
    Woke,
    /// It begins, or ceases, to decode key frames alone.
    Rests(bool),
}

/// What was said last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The scene is still.
    pub(super) still: bool,
    /// How often something moved.
    pub(super) moved: u32,
    /// How often a source woke by itself.
    pub(super) woken: u32,
    /// Sources that decode key frames alone now.
    pub(super) resting: u32,
}

impl Idle {
    /// A copy for a source in this process; `tell` hears what it says of itself.
    pub(super) fn copied(tell: impl Fn(News) + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), tell: Some(Box::new(tell)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known where the camera is analysed, where so many of the own source's wakings were heard of.
    pub(super) fn copy(&self, word: Word, heard: u32) {
        let mut state = self.state();
        (state.word, state.heard) = (word, heard);
    }

    /// What was said last.
    pub(super) fn heard(&self) -> Word {
        let state = self.state();
        // Who has not heard of a waking can't know that it is still again.
        let unheard = state.own.wrapping_sub(state.heard);
        let word = state.word;
        Word { still: word.still && unheard == 0, woken: word.woken.wrapping_add(unheard), ..word }
    }

    /// Something moves.
    fn stir(&self) {
        let word = &mut self.state().word;
        word.still = false;
        word.moved = word.moved.wrapping_add(1);
    }

    /// Nothing has moved for long, as far as those know who heard of so many wakings.
    fn settle(&self, woken: u32) {
        let word = &mut self.state().word;
        word.still = word.woken == woken;
    }

    /// All sources are to decode everything: one has seen signs of motion, or someone wants to see the camera.
    pub fn wake(&self) {
        let mut state = self.state();
        if let Some(tell) = &self.tell {
            state.own = state.own.wrapping_add(1);
            drop(state);
            return tell(News::Woke);
        }
        state.word.still = false;
        state.word.woken = state.word.woken.wrapping_add(1);
    }

    /// A source begins to decode key frames alone, or ends.
    pub(super) fn rests(&self, begins: bool) {
        if let Some(tell) = &self.tell {
            return tell(News::Rests(begins));
        }
        let word = &mut self.state().word;
        word.resting = if begins { word.resting + 1 } else { word.resting.saturating_sub(1) };
    }

    /// Whether key frames alone are decoded: frames are seconds apart.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state().word.resting > 0
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({:?})", self.heard())
    }
}

/// The analysis thread's side: for how long the scene has been still.
#[derive(Debug)]
pub struct Calm {
    idle: Arc<Idle>,
    since: Option<Duration>,
    woken: u32,
}

impl Calm {
    /// For the sources that have `idle`.
    #[must_use]
    pub fn new(idle: Arc<Idle>) -> Self {
        Self { idle, since: None, woken: 0 }
    }

    /// Says of the frame at `pts` whether nothing moved in it.
    pub fn note(&mut self, pts: Duration, still: bool) {
        let woken = self.idle.heard().woken;
        if std::mem::replace(&mut self.woken, woken) != woken {
            // What is seen from here on is what the source woke for.
            self.since = None;
        }
        if !still {
            return self.disturb();
        }
        let since = *self.since.get_or_insert(pts);
        match pts.checked_sub(since) {
            Some(still_for) if still_for >= STILL_FOR => self.idle.settle(woken),
            Some(_) => {}
            None => self.since = Some(pts),
        }
    }

    /// Something moved, or the source was opened again.
    pub fn disturb(&mut self) {
        self.since = None;
        self.idle.stir();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_scene_is_still_after_a_while_and_no_more_when_something_moves() {
        let idle = Arc::new(Idle::default());
        let mut calm = Calm::new(Arc::clone(&idle));
        let mut still = |pts, is_still| {
            calm.note(s(pts), is_still);
            idle.heard().still
        };
        assert_eq!([still(0, true), still(2, true), still(3, true)], [false, false, true]);
        assert_eq!([still(4, false), still(5, true), still(8, true)], [false, false, true]);
        assert_eq!([still(1, true), still(3, true), still(4, true)], [true, true, true], "opened again: said apart");
    }

    #[test]
    fn after_a_source_woke_the_scene_must_be_still_anew() {
        let idle = Arc::new(Idle::default());
        let mut calm = Calm::new(Arc::clone(&idle));
        calm.note(s(0), true);
        calm.note(s(4), true);
        idle.wake();
        calm.note(s(5), true);
        assert!(!idle.heard().still, "it has not seen what the source woke for");
        calm.note(s(8), true);
        assert!(idle.heard().still);
        idle.wake();
        idle.settle(1);
        assert!(idle.heard().still == (idle.heard().woken == 1), "an old word does not count");
    }

    #[test]
    fn a_copy_is_not_still_before_its_own_waking_was_heard_of() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        let copy = Idle::copied(move |news| into.lock().unwrap().push(news));
        let still = Word { still: true, moved: 3, woken: 5, resting: 0 };
        copy.copy(still, 0);
        assert_eq!(copy.heard(), still);
        copy.rests(true);
        copy.wake();
        assert_eq!(copy.heard(), Word { still: false, woken: 6, ..still });
        copy.copy(still, 0);
        assert!(!copy.heard().still, "said before the waking was heard of");
        copy.copy(Word { still: false, woken: 6, ..still }, 1);
        assert_eq!(copy.heard(), Word { still: false, woken: 6, ..still });
        copy.copy(Word { woken: 6, ..still }, 1);
        assert!(copy.heard().still);
        assert_eq!(*told.lock().unwrap(), [News::Rests(true), News::Woke]);
    }

    #[test]
    fn one_of_two_streams_that_rests_is_idle_enough() {
        let idle = Idle::default();
        idle.rests(true);
        idle.rests(true);
        idle.rests(false);
        assert!(idle.is_idle());
        idle.rests(false);
        assert!(!idle.is_idle());
    }
}
