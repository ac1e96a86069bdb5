//! What mirrors want to say: a bounded heap of messages that goes out beside the alerts, and never instead of them.
//!
//! At most [`LENT`] messages are with the broker at a time, and only while alerts have [`LEFT_TO_ALERTS`] places left; nothing
//! is sent twice. An alert waits on a thin link behind what was handed over before it, so these are at most [`LENT_BYTES`]
//! together; a longer message goes alone. What does not fit, what the broker refuses, what the link's budget does not allow and what was under way
//! when the connection ended is dropped, counted and said. A mirror that is refused rests for [`REST`], and all rest so long
//! when [`STRIKES`] connections in a row ended while one of their messages was under way: there are brokers that hang up
//! on who writes where its rules do not allow it, and no mirror may cost the centre its session.

use std::collections::VecDeque;
use std::time::Duration;

use crate::centre::budget::Traffic;
use crate::centre::link::{Sender, Taken, Token};
use crate::health::CentreCounters;

/// Most messages that wait.
const MOST: usize = 256;
/// Most bytes that wait.
const MOST_BYTES: usize = 1 << 20;
/// Most bytes of one message: what brokers that `watchpost init` makes take.
pub(super) const MOST_OF_ONE: usize = 64 << 10;
/// Most messages that the broker has not acknowledged.
const LENT: usize = 4;
/// Most bytes of theirs: half a second at 64 kbit/s.
const LENT_BYTES: usize = 4 << 10;
/// So many places of the link mirrors leave to what matters.
const LEFT_TO_ALERTS: usize = 8;
/// How long a mirror says nothing after the broker refused it.
const REST: Duration = Duration::from_mins(10);
/// Connections in a row that ended with a mirror's message under way, after which all rest.
const STRIKES: u32 = 3;
/// Least time between two lines in the log about what was dropped.
const SAY_EVERY: Duration = Duration::from_mins(10);

/// Which mirror says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Json,
    Onvif,
    HomeAssistant,
}

impl Which {
    const ALL: [Self; 3] = [Self::Json, Self::Onvif, Self::HomeAssistant];

    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Onvif => "onvif",
            Self::HomeAssistant => "home assistant",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Post {
    pub which: Which,
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
}

/// A message that the broker has not acknowledged.
struct Lent {
    number: u64,
    which: Which,
    bytes: usize,
    /// Its topic, where the broker is to keep it.
    retained: Option<String>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Tray {
    waiting: VecDeque<Post>,
    bytes: usize,
    lent: Vec<Lent>,
    next: u64,
    strikes: u32,
    rests: [Option<Duration>; 3],
    unsaid: u64,
    said: Option<Duration>,
}

impl Tray {
    /// Takes a message; the oldest go where there are too many.
    pub(super) fn put(&mut self, post: Post, now: Duration, counters: &CentreCounters) {
        if self.rests(post.which, now) {
            return self.drop_some(1, "they rest", now, counters);
        }
        if post.payload.len() > MOST_OF_ONE {
            return self.drop_some(1, "one was too large", now, counters);
        }
        self.bytes += post.payload.len();
        self.waiting.push_back(post);
        let mut dropped = 0;
        while (self.waiting.len() > MOST || self.bytes > MOST_BYTES)
            && let Some(old) = self.waiting.pop_front()
        {
            self.bytes -= old.payload.len();
            dropped += 1;
        }
        if dropped > 0 {
            self.drop_some(dropped, "too many at once", now, counters);
        }
    }

    fn rests(&self, which: Which, now: Duration) -> bool {
        let until = Which::ALL.iter().zip(&self.rests).find(|(w, _)| **w == which).and_then(|(_, until)| *until);
        until.is_some_and(|until| now < until)
    }

    fn drop_some(&mut self, count: usize, why: &str, now: Duration, counters: &CentreCounters) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        counters.mirrors_dropped.add(count);
        self.unsaid += count;
        if self.said.is_none_or(|said| now >= said + SAY_EVERY) {
            tracing::warn!(count = self.unsaid, why, "mirrored messages were dropped");
            self.said = Some(now);
            self.unsaid = 0;
        }
    }

    /// Hands to `link` what waits and has room beside alerts.
    pub(super) fn pump(&mut self, link: &mut Sender, now: Duration, counters: &CentreCounters) {
        self.drop_resting(now, counters);
        while self.lent.len() < LENT && link.room() > LEFT_TO_ALERTS && self.next_fits() {
            if !link.lets_go(Traffic::Mirror) {
                let count = self.waiting.len();
                self.waiting.clear();
                self.bytes = 0;
                return self.drop_some(count, "the link's budget is short", now, counters);
            }
            let Some(post) = self.waiting.pop_front() else { return };
            let bytes = post.payload.len();
            self.bytes -= bytes;
            self.next += 1;
            if !link.publish(&post.topic, post.payload, post.retain, Token::Mirror(self.next)) {
                return self.drop_some(1, "the link was full", now, counters);
            }
            let retained = post.retain.then_some(post.topic);
            self.lent.push(Lent { number: self.next, which: post.which, bytes, retained });
        }
    }

    /// What waits of a mirror that rests now holds up no other.
    fn drop_resting(&mut self, now: Duration, counters: &CentreCounters) {
        let before = self.waiting.len();
        let resting: Vec<Which> = Which::ALL.into_iter().filter(|which| self.rests(*which, now)).collect();
        self.waiting.retain(|post| !resting.contains(&post.which));
        self.bytes = self.waiting.iter().map(|post| post.payload.len()).sum();
        let dropped = before - self.waiting.len();
        if dropped > 0 {
            self.drop_some(dropped, "they rest", now, counters);
        }
    }

    /// Whether there is a next message, and it may go beside those that are under way.
    fn next_fits(&self) -> bool {
        let lent: usize = self.lent.iter().map(|lent| lent.bytes).sum();
        self.waiting.front().is_some_and(|post| self.lent.is_empty() || lent + post.payload.len() <= LENT_BYTES)
    }

    /// Notes what the broker said; the topic of a retained message that it took.
    pub(super) fn published(
        &mut self,
        number: u64,
        taken: Taken,
        now: Duration,
        counters: &CentreCounters,
    ) -> Option<String> {
        let at = self.lent.iter().position(|lent| lent.number == number)?;
        let Lent { which, retained, .. } = self.lent.swap_remove(at);
        self.strikes = 0;
        if taken != Taken::Refused {
            counters.mirrored.inc();
            return retained;
        }
        if !self.rests(which, now) {
            tracing::warn!(
                mirror = which.as_str(),
                "the broker refuses a mirror: allow its topics in the broker's ACL, or switch it off"
            );
        }
        if let Some((_, until)) = Which::ALL.iter().zip(&mut self.rests).find(|(w, _)| **w == which) {
            *until = Some(now + REST);
        }
        self.drop_some(1, "the broker refused them", now, counters);
        None
    }

    /// The connection is over: what was under way is lost.
    pub(super) fn ended(&mut self, now: Duration, counters: &CentreCounters) {
        let count = self.lent.len();
        if count == 0 {
            return;
        }
        self.lent.clear();
        self.strikes += 1;
        self.drop_some(count, "the connection ended", now, counters);
        if self.strikes >= STRIKES {
            self.strikes = 0;
            self.rests = [Some(now + REST); 3];
            tracing::warn!(
                "the mirrors rest: connections ended again and again while their messages were under way; look at the broker's ACL"
            );
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Post> {
        self.waiting.iter()
    }
}
