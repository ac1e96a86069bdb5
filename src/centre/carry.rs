//! What goes up at QoS 1 and leaves on PUBACK: replies, chunks of evidence, checkpoints of the audit log.
//!
//! A [`Letter`] stays here until the broker has taken it and is sent again after a reconnect. Letters handed over together
//! leave in their order (the chunks before the reply that names them), and whoever handed them over is told when all have.
//! Nothing here is on disk: a command's outcome stands in the journal, and asking again replays it. Bounded in number and
//! bytes; full, a hand-over is refused. A reply that found no broker for ten minutes is given up: whoever asked has gone.
//!
//! The executor and the audit put letters in, from any thread, without waiting; the session's task carries them, few at a
//! time, so that a large answer does not hold up alerts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::link::{Sender, Taken, Token};
use crate::clock::Clock;

/// Most letters that wait: the chunks of a few large answers.
const MOST_LETTERS: usize = 4_096;
/// Most bytes that wait.
const MOST_BYTES: usize = 96 << 20;
/// Most letters that are lent to the link at once.
const LENT: usize = 4;
/// A letter that was not taken in this time is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(10);
/// A letter that the broker refused is tried again after this time, and given up at the third refusal.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
const MOST_REFUSALS: u32 = 3;

/// A message for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// MQTT 5 correlation data, given back to who asked for it.
    pub correlation: Option<Vec<u8>>,
}

/// Called once: true when all letters of a hand-over have left, false when one was given up.
pub type WhenLeft = Box<dyn FnOnce(bool) + Send>;

/// Too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{letters} messages of {bytes} bytes wait for the broker already: ask again later")]
pub struct Full {
    /// How many wait.
    pub letters: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct Carrier {
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    tray: Mutex<Tray>,
    news: Notify,
}

#[derive(Default)]
struct Tray {
    items: VecDeque<Item>,
    bytes: usize,
    next_number: u64,
}

struct Item {
    number: u64,
    letter: Letter,
    state: State,
    since: Duration,
    refusals: u32,
    /// Replaces an older one under the same topic, and is not given up.
    latest: bool,
    /// With the last letter of a hand-over.
    when_left: Option<WhenLeft>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    /// After a refusal: until then.
    Rests(Duration),
    Lent,
}

impl Carrier {
    /// Nothing to carry yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let shared = Shared { tray: Mutex::default(), news: Notify::new() };
        Self { shared: Arc::new(shared), clock }
    }

    /// Hands over letters that leave in this order. Never waits.
    ///
    /// # Errors
    /// [`Full`]: none was taken, and `when_left` is not called.
    pub fn put(&self, letters: Vec<Letter>, when_left: Option<WhenLeft>) -> Result<(), Full> {
        let bytes = letters.iter().map(|letter| letter.payload.len()).sum::<usize>();
        let mut tray = self.tray();
        if tray.items.len() + letters.len() > MOST_LETTERS || tray.bytes + bytes > MOST_BYTES {
            return Err(Full { letters: tray.items.len(), bytes: tray.bytes });
        }
        let (since, last) = (self.clock.monotonic(), letters.len().saturating_sub(1));
        let mut when_left = when_left;
        for (n, letter) in letters.into_iter().enumerate() {
            let told = if n == last { when_left.take() } else { None };
            tray.push(letter, since, false, told);
        }
        drop(tray);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Hands over a letter that takes the place of one that still waits under its topic: only the newest matters.
    pub fn put_latest(&self, letter: Letter) {
        let mut tray = self.tray();
        let old = tray.items.iter().position(|item| item.latest && item.letter.topic == letter.topic);
        if let Some(old) = old.and_then(|at| tray.items.remove(at)) {
            tray.bytes -= old.letter.payload.len();
        }
        let since = self.clock.monotonic();
        tray.push(letter, since, true, None);
        drop(tray);
        self.shared.news.notify_one();
    }

    /// How many letters wait, those under way included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tray().items.len()
    }

    /// Their bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.tray().bytes
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.shared.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when something was handed over.
    pub(super) async fn wait(&self) {
        self.shared.news.notified().await;
    }

    /// A session stands: everything that was not taken is sent (again).
    pub(super) fn connected(&self) {
        self.tray().items.iter_mut().for_each(|item| item.state = State::Waits);
    }

    /// Lends to `link` what waits and has room; gives up what waited too long.
    pub(super) fn pump(&self, link: &mut Sender) {
        self.give_up();
        let (now, mut tray) = (self.clock.monotonic(), self.tray());
        let mut lent = tray.items.iter().filter(|item| item.state == State::Lent).count();
        for item in &mut tray.items {
            if lent >= LENT || link.room() == 0 {
                return;
            }
            match item.state {
                State::Lent => continue,
                // What comes after it may be the reply that names it.
                State::Rests(until) if now < until => return,
                State::Waits | State::Rests(_) => {}
            }
            if !link.publish_letter(&item.letter, Token::Letter(item.number)) {
                return;
            }
            item.state = State::Lent;
            lent += 1;
        }
    }

    /// Notes what the broker said to a letter.
    pub(super) fn published(&self, number: u64, taken: Taken) {
        let mut tray = self.tray();
        let Some(at) = tray.items.iter().position(|item| item.number == number) else { return };
        let refused_again = taken == Taken::Refused
            && tray.items.get_mut(at).is_some_and(|item| {
                item.refusals += 1;
                item.state = State::Rests(self.clock.monotonic() + REFUSED_WAIT);
                item.latest || item.refusals < MOST_REFUSALS
            });
        if refused_again {
            return;
        }
        let Some(item) = tray.items.remove(at) else { return };
        tray.bytes -= item.letter.payload.len();
        drop(tray);
        if taken == Taken::Refused {
            tracing::error!(
                topic = item.letter.topic,
                "the broker refuses our answers: check its ACL, which has to allow reply/# and evidence/#"
            );
        }
        if let Some(tell) = item.when_left {
            tell(taken != Taken::Refused);
        }
    }

    fn give_up(&self) {
        let (now, mut tray) = (self.clock.monotonic(), self.tray());
        let mut given_up = Vec::new();
        while let Some(front) = tray.items.front()
            && !front.latest
            && now.saturating_sub(front.since) >= GIVEN_UP_AFTER
        {
            let Some(item) = tray.items.pop_front() else { break };
            tray.bytes -= item.letter.payload.len();
            given_up.push(item);
        }
        drop(tray);
        for item in given_up {
            tracing::warn!(topic = item.letter.topic, "an answer found no broker for ten minutes and is given up");
            if let Some(tell) = item.when_left {
                tell(false);
            }
        }
    }
}

impl Tray {
    fn push(&mut self, letter: Letter, since: Duration, latest: bool, when_left: Option<WhenLeft>) {
        self.next_number += 1;
        self.bytes += letter.payload.len();
        let number = self.next_number;
        self.items.push_back(Item { number, letter, state: State::Waits, since, refusals: 0, latest, when_left });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::link::{self, LinkSettings};
    use super::*;
    use crate::clock::SimClock;
    use crate::domain::{Broker, TimeMs};

    fn letter(topic: &str, bytes: usize) -> Letter {
        Letter { topic: topic.to_owned(), payload: vec![7; bytes], correlation: None }
    }

    fn sender() -> (Sender, link::Events) {
        let settings = LinkSettings::new(Broker::parse("mqtt://127.0.0.1:1").unwrap(), None, "b");
        link::open(&settings, &Clock::system(), None).unwrap()
    }

    fn lent(carrier: &Carrier) -> Vec<u64> {
        carrier.tray().items.iter().filter(|i| i.state == State::Lent).map(|i| i.number).collect()
    }

    #[test]
    fn letters_leave_in_order_on_puback_and_whoever_asked_is_told_once() {
        let carrier = Carrier::new(Clock::system());
        let told = Arc::new(AtomicUsize::new(0));
        let tell = Arc::clone(&told);
        let letters = (0..6).map(|n| letter(&n.to_string(), 10)).collect();
        let when_left: WhenLeft = Box::new(move |good| {
            assert!(good);
            tell.fetch_add(1, Ordering::SeqCst);
        });
        carrier.put(letters, Some(when_left)).unwrap();
        let (mut link, _events) = sender();
        carrier.pump(&mut link);
        assert_eq!(lent(&carrier), [1, 2, 3, 4]);
        carrier.published(1, Taken::Yes);
        carrier.pump(&mut link);
        assert_eq!(lent(&carrier), [2, 3, 4, 5]);
        // The connection is gone: what was not taken is lent again.
        carrier.connected();
        let (mut link, _events) = sender();
        carrier.pump(&mut link);
        assert_eq!(lent(&carrier), [2, 3, 4, 5]);
        for number in 2..=6 {
            assert_eq!(told.load(Ordering::SeqCst), 0);
            carrier.published(number, Taken::NobodyListens);
        }
        assert_eq!((told.load(Ordering::SeqCst), carrier.waiting()), (1, 0));
    }

    #[test]
    fn what_the_broker_refuses_is_tried_three_times() {
        let time = SimClock::at(TimeMs(0));
        let carrier = Carrier::new(Clock::of(time.clone()));
        let told = Arc::new(AtomicUsize::new(0));
        let tell = Arc::clone(&told);
        let when_left: WhenLeft = Box::new(move |good| {
            assert!(!good);
            tell.fetch_add(1, Ordering::SeqCst);
        });
        carrier.put(vec![letter("a", 1)], Some(when_left)).unwrap();
        for _ in 0..3 {
            let (mut link, _events) = sender();
            carrier.pump(&mut link);
            assert_eq!(lent(&carrier), [1]);
            carrier.published(1, Taken::Refused);
            carrier.pump(&mut link);
            assert!(lent(&carrier).is_empty(), "it rests");
            time.advance(REFUSED_WAIT);
        }
        assert_eq!((told.load(Ordering::SeqCst), carrier.waiting()), (1, 0));
    }

    #[test]
    fn only_the_newest_checkpoint_waits_and_it_is_not_given_up() {
        let time = SimClock::at(TimeMs(0));
        let carrier = Carrier::new(Clock::of(time.clone()));
        carrier.put(vec![letter("reply", 1)], None).unwrap();
        for n in 1..4 {
            carrier.put_latest(letter("audit", n));
        }
        time.advance(GIVEN_UP_AFTER);
        let (mut link, _events) = sender();
        carrier.pump(&mut link);
        let tray = carrier.tray();
        assert_eq!(tray.items.iter().map(|i| i.letter.payload.len()).collect::<Vec<_>>(), [3]);
        assert_eq!(tray.bytes, 3);
    }

    #[test]
    fn more_than_fits_is_refused_whole() {
        let carrier = Carrier::new(Clock::system());
        carrier.put(vec![letter("a", MOST_BYTES - 10)], None).unwrap();
        let full = carrier.put(vec![letter("b", 5), letter("c", 6)], None).unwrap_err();
        assert_eq!(full, Full { letters: 1, bytes: MOST_BYTES - 10 });
        carrier.put(vec![letter("b", 5)], None).unwrap();
    }
}
