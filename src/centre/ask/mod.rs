//! Asks boxes and gathers their answers: the centre's side of commands, as `watchpostctl` uses it and others may read it.
//!
//! The same question goes to many boxes over one connection, signed for each. A command that the broker took is sent again
//! until the box has accepted it; blobs are sent where a box says that they are missing, and the question is put anew; a
//! box whose clock is not set is asked again with the challenge of its next health. Each reply is verified with the key
//! that the registry has for the box, each attachment by the digest in the reply. In the end every box has an [`Outcome`]:
//! one that did not answer is named, never left out.
//!
//! Runs in the caller's task; ends when every box has answered, is known to be offline, or was silent for too long.

mod talk;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Instant, sleep, sleep_until};

use super::boxes::KnownBox;
use super::fault::{Cause, Fault};
use super::keys::SigningKey;
use super::link::{self, LinkEvent, LinkSettings, Sender, Token};
use super::topics::{self, Topics};
use super::wire::{Attached, BlobRef, Reply};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::domain::{BoxId, EventId, Op, Purpose, SiteId};

pub use talk::{Parts as TalkParts, Talk};

/// How often the caller is told how far it is.
const TICK: Duration = Duration::from_millis(100);
/// More boxes than these are listened to by one wildcard.
const LISTED: usize = 16;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The operation.
    pub op: Op,
    /// CBOR of its arguments.
    pub args: Vec<u8>,
    /// What for, where the operation wants to know.
    pub purpose: Option<Purpose>,
    /// The case number, where the operation wants to know.
    pub case: Option<String>,
    /// Large contents that the arguments name; sent where a box asks for them.
    pub blobs: Vec<Vec<u8>>,
    /// The attachments that a result names.
    pub attached: fn(&[u8]) -> Vec<Attached>,
    /// Most bytes of attachments that are taken.
    pub most: usize,
}

/// Bytes of attachments that are taken of one box where nothing else is said.
const MOST: usize = 512 << 20;

impl Question {
    /// An operation with its arguments.
    #[must_use]
    pub fn new(op: Op, args: Vec<u8>) -> Self {
        Self { op, args, purpose: None, case: None, blobs: Vec::new(), attached: |_| Vec::new(), most: MOST }
    }

    /// With a large content that the arguments name.
    #[must_use]
    pub fn blob(mut self, content: Vec<u8>) -> Self {
        self.blobs.push(content);
        self
    }

    /// With who tells the attachments of a result.
    #[must_use]
    pub fn attached(self, attached: fn(&[u8]) -> Vec<Attached>) -> Self {
        Self { attached, ..self }
    }

    /// With a bound on the bytes of attachments, for who has little memory; an answer with more is none, and says so.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    fn blob_of(&self, blob: &BlobRef) -> Option<&Vec<u8>> {
        self.blobs.iter().find(|content| BlobRef::of(content) == *blob)
    }
}

/// Who asks.
pub struct Signers {
    /// The key whose role the operation wants.
    pub first: SigningKey,
    /// What the keyring calls it.
    pub issuer: String,
    /// Of a second person.
    pub second: Option<SigningKey>,
}

/// An operation that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the box said.
    pub reply: Reply,
    /// Large parts of the answer, verified.
    pub attachments: BTreeMap<EventId, Vec<u8>>,
    /// Attachments that did not come whole.
    pub missing: Vec<EventId>,
    /// The reply as the box signed it.
    pub signed: Signed,
}

/// A message as it came, for whoever has to show it to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed {
    /// Its topic, which is signed with it.
    pub topic: String,
    /// COSE.
    pub bytes: Vec<u8>,
}

/// What came of the question at one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Answered(Answer),
    /// Not done; the reply says why.
    Refused(Reply),
    /// No answer in time.
    Silent,
    /// It has no session with the broker.
    Offline,
    /// What came was not believed, or the question could not be put; why.
    Unbelieved(String),
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Boxes that are asked.
    pub boxes: usize,
    /// Boxes that have an outcome.
    pub over: usize,
    /// Bytes of attachments that are here.
    pub here: u64,
    /// Bytes of attachments that were announced by those that are being waited for.
    pub wanted: u64,
}

/// What asking needs.
pub struct Parts<'a> {
    /// Broker, TLS, client id.
    pub link: &'a LinkSettings,
    /// First part of every topic.
    pub topic_root: &'a str,
    /// Who is asked.
    pub boxes: Vec<(BoxId, KnownBox)>,
    /// What.
    pub question: Arc<Question>,
    /// By whom.
    pub signers: Arc<Signers>,
    /// How long a box may be silent.
    pub wait: Duration,
    /// Time.
    pub clock: Clock,
}

/// Asks, and gives back what came of it at each box, in the order given.
///
/// # Errors
/// [`Fault`] when there was no connection to the broker for as long as a box may be silent; a lost one is made anew.
pub async fn ask(parts: Parts<'_>, on: &mut (dyn FnMut(Progress) + Send)) -> Result<Vec<(BoxId, Outcome)>, Fault> {
    let mut asker = Asker::new(&parts)?;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    let (begin, mut connected_once) = (Instant::now(), false);
    while !asker.is_over() {
        let Err(fault) = asker.live(&parts, &mut connected_once, on).await else { break };
        if fault.cause.is_lasting() || (!connected_once && begin.elapsed() >= parts.wait) {
            return Err(fault);
        }
        sleep(backoff.wait()).await;
    }
    Ok(asker.talks.into_iter().map(|talk| (talk.box_id().clone(), talk.outcome())).collect())
}

/// Random ids of the rounds of one question.
///
/// # Errors
/// [`Fault`] when the system gives no random bytes.
pub fn round_ids() -> Result<Arc<[[u8; 16]; talk::ROUNDS]>, Fault> {
    let mut ids = [[0; 16]; talk::ROUNDS];
    let random = SystemRandom::new();
    for id in &mut ids {
        random.fill(id).map_err(|_| Fault::new(Cause::OurFiles, "the system gave no random bytes"))?;
    }
    Ok(Arc::new(ids))
}

struct Asker {
    talks: Vec<Talk>,
    /// Which talk speaks with which box.
    by_box: HashMap<(SiteId, BoxId), usize>,
    filters: Vec<String>,
    /// Publishes under way, and whose they are.
    lent: HashMap<u64, usize>,
    next_number: u64,
    /// Whose turn it is.
    turn: usize,
    hears_health: bool,
}

impl Asker {
    fn new(parts: &Parts<'_>) -> Result<Self, Fault> {
        let wrong = |e: topics::Error| Fault::new(Cause::OurFiles, e.to_string());
        let ids = round_ids()?;
        let mut filters = Vec::new();
        let (mut talks, mut by_box) = (Vec::new(), HashMap::new());
        for (box_id, known) in &parts.boxes {
            by_box.insert((known.site.clone(), box_id.clone()), talks.len());
            talks.push(Talk::new(TalkParts {
                site: known.site.clone(),
                box_id: box_id.clone(),
                topics: Topics::new(parts.topic_root, &known.site, box_id).map_err(wrong)?,
                keys: known.keys(),
                question: Arc::clone(&parts.question),
                signers: Arc::clone(&parts.signers),
                ids: Arc::clone(&ids),
                wait: parts.wait,
                clock: parts.clock.clone(),
            }));
        }
        let one = |(box_id, known): &(BoxId, KnownBox)| Some((known.site.clone(), box_id.clone()));
        let places: Vec<_> =
            if parts.boxes.len() > LISTED { vec![None] } else { parts.boxes.iter().map(one).collect() };
        for place in &places {
            let place = place.as_ref().map(|(site, box_id)| (site, box_id));
            let op = parts.question.op.as_str();
            filters.extend(topics::answer_filters(parts.topic_root, place, op, &*ids).map_err(wrong)?);
        }
        Ok(Self { talks, by_box, filters, lent: HashMap::new(), next_number: 0, turn: 0, hears_health: false })
    }

    fn is_over(&self) -> bool {
        self.talks.iter().all(Talk::is_over)
    }

    /// One connection; `Ok` when every box has an outcome.
    async fn live(
        &mut self,
        parts: &Parts<'_>,
        connected_once: &mut bool,
        on: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), Fault> {
        let (mut sender, mut events) = link::open(parts.link, &parts.clock, None)?;
        self.lent.clear();
        self.hears_health = false;
        let (mut subscribed, mut connected) = (false, false);
        let begin = Instant::now();
        loop {
            let event = {
                let mut next = pin!(events.next());
                loop {
                    if subscribed {
                        self.pump(parts, &mut sender)?;
                    } else if !connected && begin.elapsed() > parts.wait {
                        return Err(Fault::new(Cause::Silent, "no CONNACK in time"));
                    }
                    on(self.progress());
                    if self.is_over() {
                        return Ok(());
                    }
                    let wake = Instant::now() + TICK;
                    tokio::select! {
                        event = &mut next => break event?,
                        () = sleep_until(wake) => {}
                    }
                }
            };
            match sender.understand(event) {
                LinkEvent::Connected { .. } => {
                    (connected, *connected_once) = (true, true);
                    if !sender.subscribe(&self.filters) {
                        return Err(Fault::new(Cause::Protocol, "the subscription could not be handed over"));
                    }
                }
                LinkEvent::Subscribed { refused } if refused > 0 => {
                    return Err(Fault::new(Cause::NotAuthorised, format!("{refused} subscriptions refused")));
                }
                LinkEvent::Subscribed { .. } if !subscribed => {
                    subscribed = true;
                    self.talks.iter_mut().for_each(Talk::reconnected);
                }
                LinkEvent::Message { topic, payload, .. } => self.hear(parts, &topic, &payload),
                LinkEvent::Published { token: Token::Letter(number), taken } => {
                    if let Some(talk) = self.lent.remove(&number).and_then(|at| self.talks.get_mut(at)) {
                        talk.taken(taken);
                    }
                }
                LinkEvent::Subscribed { .. }
                | LinkEvent::Published { .. }
                | LinkEvent::Disconnected
                | LinkEvent::Other => {}
            }
        }
    }

    /// Hands over what is due and has room, each box in its turn.
    fn pump(&mut self, parts: &Parts<'_>, sender: &mut Sender) -> Result<(), Fault> {
        if !self.hears_health && self.talks.iter().any(Talk::wants_health) {
            let filters = topics::board_filters(parts.topic_root, None, None).unwrap_or_default();
            let health: Vec<String> = filters.into_iter().filter(|filter| filter.ends_with("health")).collect();
            self.hears_health = sender.subscribe_unacknowledged(&health);
        }
        let mut idle = 0;
        while sender.room() > 0 && idle < self.talks.len() {
            let at = self.turn % self.talks.len();
            self.turn = at + 1;
            let Some(letter) = self.talks.get_mut(at).and_then(Talk::turn) else {
                idle += 1;
                continue;
            };
            idle = 0;
            self.next_number += 1;
            if !sender.publish_letter(&letter, Token::Letter(self.next_number)) {
                return Err(Fault::new(Cause::Protocol, "a command could not be handed over"));
            }
            self.lent.insert(self.next_number, at);
        }
        // A full link gives room by a PUBACK; those who wait in vain meanwhile are told by their own times.
        Ok(())
    }

    fn hear(&mut self, parts: &Parts<'_>, topic: &str, payload: &[u8]) {
        let Ok(address) = topics::parse(parts.topic_root, topic) else { return };
        let at = self.by_box.get(&(address.site, address.box_id));
        if let Some(talk) = at.and_then(|at| self.talks.get_mut(*at)) {
            talk.hear(&address.kind, topic, payload);
        }
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress { boxes: self.talks.len(), ..Progress::default() };
        for talk in &self.talks {
            let (here, wanted) = talk.progress();
            progress.over += usize::from(talk.is_over());
            progress.here += here;
            progress.wanted += wanted;
        }
        progress
    }
}
