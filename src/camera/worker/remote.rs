//! A source that a worker runs, as the camera's thread has it.
//!
//! Asks for one picture at a time. A file whose worker is lost is gone on with where it was: [`Places`] keep how far it was
//! played, when it was opened, and what was counted of it; the next opening has the worker decode it from its beginning and tells of nothing that was seen before. So it
//! gives every picture once, with the same times and counts as if nothing had happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::host::Worker;
use super::opening::{COUNTED, Opening, State};
use super::wire::{Ask, Number, Slot, Wanted, Word};
use crate::camera::{Error, Next, Settings, Source};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::health::CameraCounters;

/// How long the worker may take to open a source, and to close it.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// How far a file was played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    opened: TimeMs,
    /// Number of the next picture.
    next: u64,
    counted: [u64; COUNTED],
}

/// Files whose worker was lost, by camera and address.
pub(super) type Places = Arc<Mutex<HashMap<(String, String), Place>>>;

/// A file that is played, and where is noted how far when its worker is lost.
struct Bookmark {
    place: Place,
    places: Places,
    key: (String, String),
}

impl Bookmark {
    fn of(settings: &Settings, clock: &Clock, places: &Places) -> Option<Self> {
        // A camera goes on with what comes; so does a file that is played as one.
        if settings.is_newest_first() {
            return None;
        }
        let key = (settings.id.to_string(), settings.uri.to_string());
        let known = places.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let place = known.unwrap_or_else(|| Place { opened: clock.utc(), next: 0, counted: [0; COUNTED] });
        Some(Self { place, places: Arc::clone(places), key })
    }

    fn put(self, counted: [u64; COUNTED]) {
        let place = Place { counted, ..self.place };
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(self.key, place);
    }
}

/// What the worker was asked for.
#[derive(Debug, Default)]
struct Wish {
    /// The next picture was asked for, and has not come.
    asked: bool,
    /// What was said of the scene last.
    told: Option<Word>,
    /// Slots whose pictures were copied.
    freed: Vec<Slot>,
}

impl Wish {
    /// What is to be said: each picture is asked for once, however often there is news of the scene meanwhile, or the worker
    /// would be one ahead and its picture no longer the newest.
    fn say(&mut self, number: Number, word: Option<Word>) -> Option<Ask> {
        let is_news = std::mem::replace(&mut self.told, word) != word;
        if !std::mem::replace(&mut self.asked, true) {
            return Some(Ask::Want(number, std::mem::take(&mut self.freed), word));
        }
        is_news.then_some(Ask::Scene(number, word))
    }
}

/// A source that a worker runs.
pub(super) struct RemoteSource {
    pub(super) opening: Arc<Opening>,
    pub(super) worker: Arc<Worker>,
    wish: Wish,
    /// Of a file.
    bookmark: Option<Bookmark>,
    /// What was seen before is decoded again.
    catches_up: bool,
    over: bool,
}

impl RemoteSource {
    /// Opens it; returns when the worker has opened it, which waits for no network.
    pub(super) fn open(
        worker: Arc<Worker>,
        wanted: Wanted,
        settings: &Settings,
        (clock, counters): (&Clock, Arc<CameraCounters>),
        places: &Places,
    ) -> Result<Self, Error> {
        let bookmark = Bookmark::of(settings, clock, places);
        let place = bookmark.as_ref().map(|bookmark| bookmark.place);
        let wanted = Wanted { opened: place.map(|p| p.opened.0), from: place.map_or(0, |p| p.next), ..wanted };
        let before = place.map_or([0; COUNTED], |p| p.counted);
        let opening = worker.register(|number| Opening::new(number, settings, (clock, counters), Some(before)));
        let (wish, catches_up) = (Wish::default(), wanted.from > 0);
        let mut source = Self { opening, worker, wish, bookmark, catches_up, over: false };
        let opened = source.wait_for_it(wanted);
        if let Err(Error::Worker { .. }) = &opened {
            source.leave_a_mark();
        }
        opened.map(|()| source)
    }

    /// Opens pictures that were kept, which the caller hands over.
    pub(super) fn once(worker: Arc<Worker>, wanted: Wanted, settings: &Settings, clock: &Clock) -> Result<Self, Error> {
        let counters = Arc::new(CameraCounters::default());
        let opening = worker.register(|number| Opening::new(number, settings, (clock, counters), None));
        let (wish, bookmark) = (Wish::default(), None);
        let source = Self { opening, worker, wish, bookmark, catches_up: true, over: false };
        source.wait_for_it(wanted)?;
        Ok(source)
    }

    pub(super) fn number(&self) -> Number {
        self.opening.number
    }

    /// Hands something over that has a tail.
    pub(super) fn feed(&self, ask: &Ask, tail: &[u8]) -> Result<(), String> {
        self.worker.say_with(ask, tail, None)
    }

    fn wait_for_it(&self, wanted: Wanted) -> Result<(), Error> {
        let origin = self.opening.origin.clone();
        let failed = |why: String| Error::Worker { origin: origin.clone(), why };
        self.say(&Ask::Open(self.opening.number, Box::new(wanted))).map_err(failed)?;
        let is_waiting = |state: &mut State| !state.opened && state.over.is_none();
        let state = self.opening.state();
        let waited = self.opening.changed.wait_timeout_while(state, OPEN_WITHIN, is_waiting);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(failed("does not open it".to_owned()));
        }
        // What comes after the opening is told by `next`.
        let refused = if state.opened { None } else { state.over.take() };
        drop(state);
        match refused {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Err(Error::Closed { origin }),
            None => Ok(()),
        }
    }

    /// The worker was lost: the next opening of a file goes on from here.
    fn leave_a_mark(&mut self) {
        if let Some(bookmark) = self.bookmark.take() {
            bookmark.put(self.opening.counted());
        }
    }

    fn say(&self, ask: &Ask) -> Result<(), String> {
        self.worker.say(ask, None)
    }

    /// Asks for the next picture, unless that was done and nothing is new.
    fn ask(&mut self) {
        let word = self.opening.word();
        self.wish.freed.append(&mut self.opening.state().freed);
        if let Some(ask) = self.wish.say(self.opening.number, word) {
            // A worker that is gone is told by the thread that hears it.
            let _ = self.say(&ask);
        }
    }
}

impl RemoteSource {
    fn uncopied(&self, error: &std::io::Error) -> Error {
        let why = format!("gave a picture that can't be read from shared memory ({error})");
        Error::Worker { origin: self.opening.origin.clone(), why }
    }
}

impl Source for RemoteSource {
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        if !self.over {
            self.ask();
        }
        let state = self.opening.state();
        let is_waiting = |state: &mut State| state.picture.is_none() && state.over.is_none();
        let wait = if self.over { Duration::ZERO } else { wait };
        let waited = self.opening.changed.wait_timeout_while(state, wait, is_waiting);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(pending) = state.picture.take() {
            drop(state);
            self.wish.asked = false;
            let (frame, freed) = self.opening.copied(pending).map_err(|error| self.uncopied(&error))?;
            self.wish.freed.extend(freed);
            self.catches_up = false;
            if let Some(bookmark) = &mut self.bookmark {
                bookmark.place.next = frame.index.saturating_add(1);
            }
            return Ok(Next::Frame(frame));
        }
        match state.over.take() {
            Some(how) => {
                drop(state);
                self.over = true;
                if let Err(Error::Worker { .. }) = &how {
                    self.leave_a_mark();
                }
                how.map(|()| Next::End)
            }
            None if self.over && !self.opening.live => Ok(Next::End),
            None if self.over => Err(Error::Closed { origin: self.opening.origin.clone() }),
            None => Ok(Next::Idle),
        }
    }

    fn heard(&self) -> Option<Duration> {
        self.opening.state().heard
    }

    /// What was seen already takes its time: that is not silence.
    fn can_stall(&self) -> bool {
        !self.catches_up
    }
}

impl Drop for RemoteSource {
    fn drop(&mut self) {
        let said = self.say(&Ask::Close(self.opening.number));
        let state = self.opening.state();
        let waited =
            self.opening.changed.wait_timeout_while(state, CLOSE_WITHIN, |state| !state.closed && said.is_ok());
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() {
            tracing::warn!(uri = %self.opening.origin, "its decode worker does not close it, left behind");
        }
        self.worker.forget(self.opening.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_is_asked_for_once_whatever_is_told_of_the_scene() {
        let word = |moved| Some(Word { still: false, moved, woken: 0, heard: 0 });
        let slot = Slot { memory: 1, slot: 0 };
        let mut wish = Wish { freed: vec![slot], ..Wish::default() };
        assert!(matches!(wish.say(7, word(1)), Some(Ask::Want(7, freed, now)) if freed == [slot] && now == word(1)));
        assert!(wish.say(7, word(1)).is_none());
        wish.freed.push(slot);
        assert!(matches!(wish.say(7, word(2)), Some(Ask::Scene(7, now)) if now == word(2)));
        assert!(wish.say(7, word(2)).is_none());
        wish.asked = false;
        assert!(matches!(wish.say(7, word(2)), Some(Ask::Want(7, freed, _)) if freed == [slot]), "with the next");
    }
}
