//! What others have the recorder do beside storing what cameras saw: deletion, holds, what people made of hits.
//!
//! Each call waits for its answer. Short ones are done between two commits; a deletion goes on step by step, one at a time
//! and in the order they came, while the recorder commits what waits and does the short ones.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::attached::{Placed, Told};
use super::error::Error;
use super::handling::HandlingWish;
use super::purge::{Pair, Purge};
use super::query::StoredHit;
use super::recorder::{Message, RecorderHandle};
use super::writer::Writer;
use crate::domain::{Hold, HoldWish, RetentionClass};

type Answer<T> = SyncSender<Result<T, Error>>;

/// What is asked for.
pub(super) enum Order {
    /// Tells of a file that is on the medium.
    Attach(Box<Placed>, Answer<Told>),
    /// Destroys a key.
    Destroy(Pair, Answer<u64>),
    /// Does something about a hit.
    Handle(Box<HandlingWish>, Answer<Vec<StoredHit>>),
    /// Places a hold.
    Place(Box<HoldWish>, Answer<Hold>),
    /// Releases one.
    Release(u32, Answer<u64>),
}

/// Deletions under way.
#[derive(Default)]
pub(super) struct Orders(VecDeque<(Purge, Answer<u64>)>);

impl Orders {
    /// Whether a deletion is under way.
    pub(super) fn wait(&self) -> bool {
        !self.0.is_empty()
    }

    /// Does a short one, queues a long one. Whoever asked may have stopped waiting for the answer.
    pub(super) fn take(&mut self, order: Order, writer: &mut Writer) {
        match order {
            Order::Attach(placed, answer) => drop(answer.send(writer.attach(&placed))),
            Order::Destroy(pair, answer) => self.queue(pair, answer),
            Order::Handle(wish, answer) => drop(answer.send(writer.handle(&wish))),
            Order::Place(wish, answer) => drop(answer.send(writer.place(*wish))),
            Order::Release(number, answer) => {
                if writer.has_hold(number) {
                    self.queue((number, RetentionClass::Held), answer);
                } else {
                    drop(answer.send(Err(Error::NoSuchHold { number })));
                }
            }
        }
    }

    /// One that is asked for again goes on where it is.
    fn queue(&mut self, pair: Pair, answer: Answer<u64>) {
        match self.0.iter_mut().find(|(purge, _)| purge.pair == pair) {
            Some((_, waiting)) => *waiting = answer,
            None => self.0.push_back((Purge::of(pair), answer)),
        }
    }

    /// One step of the deletion that is first.
    pub(super) fn step(&mut self, writer: &mut Writer) {
        let Some((mut purge, answer)) = self.0.pop_front() else { return };
        match writer.purge_step(&mut purge).transpose() {
            Some(result) => drop(answer.send(result)),
            None => self.0.push_front((purge, answer)),
        }
    }
}

impl RecorderHandle {
    fn order<T>(&self, make: impl FnOnce(Answer<T>) -> Order, at_most: Duration) -> Result<T, Error> {
        let (done, wait) = sync_channel(1);
        self.ask(Message::Order(make(done)), &wait, at_most)?
    }

    /// Destroys the key of a day and retention class: sightings, hits, pictures and outbox copies that it sealed are
    /// deleted by that, but for what a hold covers, and the audit log says how many rows. The centre is told of copies
    /// that it will not get. Returns the number of rows; doing it again changes nothing.
    ///
    /// # Errors
    /// I/O errors (do it again then), [`Error::HoldUnreadable`], [`Error::FlushTimeout`], [`Error::RecorderStopped`].
    pub fn destroy(&self, day: u32, class: RetentionClass, at_most: Duration) -> Result<u64, Error> {
        self.order(|answer| Order::Destroy((day, class), answer), at_most)
    }

    /// Notes what somebody did about a hit, durably, and returns the hits that it was about as they are now.
    ///
    /// # Errors
    /// [`Error::NoSuchHit`], [`Error::WhichHit`], [`Error::Handling`], and as [`RecorderHandle::destroy`].
    pub fn handle(&self, wish: HandlingWish, at_most: Duration) -> Result<Vec<StoredHit>, Error> {
        self.order(|answer| Order::Handle(Box::new(wish), answer), at_most)
    }

    /// Places a hold, durably.
    ///
    /// # Errors
    /// [`Error::TooManyHolds`], and as [`RecorderHandle::destroy`]: nothing is held then.
    pub fn place_hold(&self, wish: HoldWish, at_most: Duration) -> Result<Hold, Error> {
        self.order(|answer| Order::Place(Box::new(wish), answer), at_most)
    }

    /// Releases a hold: what it kept is deleted, but for what another hold covers. Returns the number of rows.
    ///
    /// # Errors
    /// [`Error::NoSuchHold`], and as [`RecorderHandle::destroy`]: do it again then.
    pub fn release_hold(&self, number: u32, at_most: Duration) -> Result<u64, Error> {
        self.order(|answer| Order::Release(number, answer), at_most)
    }
}
