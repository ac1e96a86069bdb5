//! The centre's side of delivery, as `watchpostctl` uses it and as others may read it: a reference, not a server.
//!
//! Subscribes to what boxes send up, verifies each message with the key that the registry has for its box, removes
//! duplicates by (box, epoch, seq), says holes, and acknowledges with the delivery key. The order is: hand the alert to
//! the caller, make the state durable, acknowledge. So an acknowledged alert was always seen; one that was seen and not
//! yet made durable when the machine dies comes again. The first ack leaves at once, further ones gather for 50 ms.
//!
//! One task; needs no native library. Holes are said when they persist, since fresh alerts overtake the backlog.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::boxes::Boxes;
use super::cose;
use super::fault::{Cause, Fault};
use super::keys::{Keys, Kid, SigningKey};
use super::link::{self, LinkEvent, LinkSettings, Sender, Token};
use super::note;
use super::receipts::{Gap, Receipts, StateError};
use super::topics::{self, Address, Topics};
use super::wire::{self, CameraStatus, HealthReport, Message, Status};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::domain::{Alert, BoxId, Epoch, Shed, SiteId, TimeMs, tree};
use crate::shutdown::Shutdown;

/// Acks gather for so long after one left.
const ACK_EVERY: Duration = Duration::from_millis(50);
/// How often the caller is asked whether to go on, and holes are looked for.
const TICK: Duration = Duration::from_millis(500);
/// Least time between two looks at the registry for a key that is not known.
const REREAD_EVERY: Duration = Duration::from_secs(1);
/// How long the last acks may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the centre's side ended in another way than asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state could not be kept; nothing was acknowledged after that.
    #[error(transparent)]
    State(#[from] StateError),
    /// The topic root is not usable.
    #[error(transparent)]
    Topic(#[from] topics::Error),
    /// An ack could not be made.
    #[error(transparent)]
    Wire(#[from] wire::Error),
}

/// Something that the centre heard.
#[derive(Debug)]
pub enum Heard {
    /// An alert, for the first time.
    Alert {
        /// From where.
        from: Address,
        /// The alert.
        alert: Box<Alert>,
        /// When it arrived.
        at: TimeMs,
    },
    /// A box shed copies of alerts, for the first time.
    Shed {
        /// From where.
        from: Address,
        /// What was shed.
        shed: Shed,
    },
    /// An alert or shed entry that was there already; it is acknowledged again.
    Duplicate {
        /// From where.
        from: Address,
    },
    /// A hole in a box's numbers that persists.
    GapOpened(Gap),
    /// A hole that was said has been filled.
    GapClosed(Gap),
    /// Status of a box.
    Status {
        /// From where.
        from: Address,
        /// The status.
        status: Status,
    },
    /// Status of a camera.
    Camera {
        /// From where; names the camera.
        from: Address,
        /// The status.
        status: CameraStatus,
    },
    /// Health of a box.
    Health {
        /// From where.
        from: Address,
        /// The report.
        report: Box<HealthReport>,
    },
    /// A checkpoint of a box's audit log, as it came: whether it is believed is for the witness to say.
    Checkpoint {
        /// From where.
        from: Address,
        /// The keys that it may be signed with.
        keys: Keys,
        /// A signed note, or what claims to be one.
        note: Vec<u8>,
    },
    /// A message that was refused; it is not acknowledged.
    Refused {
        /// Its topic.
        topic: String,
        /// Why.
        reason: wire::Error,
    },
    /// The session stands and the subscriptions are asked for.
    Connected,
    /// There is no session; said once a change of cause.
    Lost(Fault),
    /// Half a second went by.
    Tick,
}

/// What the caller says to what was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Acknowledge what was heard and end.
    Stop,
    /// What was just heard is lost (nobody could be told): end, and acknowledge nothing of what is not yet acknowledged.
    Abandon,
}

/// What the centre's side works with.
pub struct Parts {
    /// Broker, TLS, client id.
    pub link: LinkSettings,
    /// First part of every topic.
    pub topic_root: String,
    /// Whom to believe.
    pub boxes: Boxes,
    /// What acknowledges.
    pub delivery_key: SigningKey,
    /// What was received before.
    pub receipts: Receipts,
    /// How long a hole must persist before it is said.
    pub gap_after: Duration,
    /// Time.
    pub clock: Clock,
}

/// Whether another registry could make this message believed.
fn is_unknown(reason: &wire::Error) -> bool {
    matches!(
        reason,
        wire::Error::UnknownBox { .. } | wire::Error::Envelope { source: cose::Error::UnknownKey { .. }, .. }
    )
}

/// Whose numbers an ack is about.
type Counter = (SiteId, BoxId, Epoch);

/// The centre's side. See the module.
pub struct Client {
    parts: Parts,
    /// Numbers that arrived and are not yet acknowledged.
    pending: BTreeMap<Counter, BTreeSet<u64>>,
    /// Signed acks with their topics that wait for room at the broker; the next ones are made when all have left, so each
    /// box has its turn however many there are.
    outgoing: VecDeque<(String, Vec<u8>)>,
    next_ack: Instant,
    next_reread: Instant,
    lost: Option<Cause>,
    stopping: bool,
    abandoned: bool,
}

impl Client {
    /// Ready to run.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            pending: BTreeMap::new(),
            outgoing: VecDeque::new(),
            next_ack: Instant::now(),
            next_reread: Instant::now(),
            lost: None,
            stopping: false,
            abandoned: false,
        }
    }

    /// Runs until the caller or `shutdown` says stop; gives back the state, for a summary.
    ///
    /// # Errors
    /// [`Error`] when the state cannot be kept. Faults of the connection are heard, and it is made anew.
    pub async fn run(
        mut self,
        shutdown: &Shutdown,
        on: &mut (dyn FnMut(Heard) -> Next + Send),
    ) -> Result<Receipts, Error> {
        let filters = topics::centre_filters(&self.parts.topic_root)?;
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        while !shutdown.is_set() && !self.stopping {
            let mut connected = None;
            let Some(fault) = self.live(&filters, shutdown, &mut connected, on).await? else { break };
            if self.lost != Some(fault.cause) {
                self.lost = Some(fault.cause);
                self.hear(Heard::Lost(fault), on);
            }
            if connected.is_some_and(|since: Instant| since.elapsed() > Duration::from_secs(5)) {
                backoff.reset();
            }
            let until = Instant::now() + backoff.wait();
            while Instant::now() < until && !shutdown.is_set() && !self.stopping {
                tokio::select! {
                    () = sleep(TICK.min(until - Instant::now())) => self.hear(Heard::Tick, on),
                    () = shutdown.wait_async() => {}
                }
            }
        }
        if !self.abandoned {
            self.parts.receipts.save()?;
        }
        Ok(self.parts.receipts)
    }

    fn hear(&mut self, heard: Heard, on: &mut (dyn FnMut(Heard) -> Next + Send)) {
        let next = on(heard);
        self.stopping |= next != Next::Continue;
        self.abandoned |= next == Next::Abandon;
    }

    /// One connection; `None` when it ended because it should.
    async fn live(
        &mut self,
        filters: &[String],
        shutdown: &Shutdown,
        connected: &mut Option<Instant>,
        on: &mut (dyn FnMut(Heard) -> Next + Send),
    ) -> Result<Option<Fault>, Error> {
        let (mut sender, mut events) = match link::open(&self.parts.link, &self.parts.clock, None) {
            Ok(link) => link,
            Err(fault) => return Ok(Some(fault)),
        };
        let mut next_tick = Instant::now() + TICK;
        let mut farewell: Option<Instant> = None;
        let mut disconnecting = false;
        loop {
            let event = {
                let mut next = pin!(events.next());
                loop {
                    if self.abandoned {
                        return Ok(None);
                    }
                    if connected.is_some() {
                        self.acknowledge(&mut sender)?;
                    }
                    if self.stopping && farewell.is_none() {
                        farewell = Some(Instant::now() + FAREWELL);
                    }
                    if let Some(until) = farewell {
                        // The last acks go out before the DISCONNECT does.
                        let acked = self.pending.is_empty() && self.outgoing.is_empty();
                        let said = acked && (disconnecting || sender.disconnect());
                        disconnecting |= said;
                        if connected.is_none() || Instant::now() >= until {
                            return Ok(None);
                        }
                    }
                    let wake = next_tick.min(farewell.unwrap_or(next_tick)).min(self.ack_at().unwrap_or(next_tick));
                    tokio::select! {
                        event = &mut next => break event,
                        () = sleep_until(wake) => {}
                        () = shutdown.wait_async(), if !self.stopping => self.stopping = true,
                    }
                    if Instant::now() >= next_tick {
                        next_tick = Instant::now() + TICK;
                        self.tick(on);
                    }
                }
            };
            let event = match event {
                Ok(event) => event,
                Err(_) if farewell.is_some() => return Ok(None),
                Err(fault) => return Ok(Some(fault)),
            };
            match sender.understand(event) {
                LinkEvent::Connected { .. } => {
                    *connected = Some(Instant::now());
                    self.lost = None;
                    if !sender.subscribe(filters) {
                        return Ok(Some(Fault::new(Cause::Protocol, "the subscription could not be handed over")));
                    }
                    self.hear(Heard::Connected, on);
                }
                LinkEvent::Subscribed { refused } if refused > 0 => {
                    return Ok(Some(Fault::new(Cause::NotAuthorised, format!("{refused} subscriptions refused"))));
                }
                LinkEvent::Subscribed { .. } => self.greet(),
                LinkEvent::Message { topic, payload, .. } => self.message(&topic, &payload, on),
                LinkEvent::Disconnected if farewell.is_some() => return Ok(None),
                LinkEvent::Published { .. } | LinkEvent::Disconnected | LinkEvent::Other => {}
            }
        }
    }

    fn tick(&mut self, on: &mut (dyn FnMut(Heard) -> Next + Send)) {
        let (opened, closed) = self.parts.receipts.gaps(self.parts.clock.monotonic(), self.parts.gap_after);
        for gap in opened {
            self.hear(Heard::GapOpened(gap), on);
        }
        for gap in closed {
            self.hear(Heard::GapClosed(gap), on);
        }
        self.hear(Heard::Tick, on);
    }

    /// Tells the boxes that are known from before what is here: one that waits for a centre then sends at once.
    fn greet(&mut self) {
        for (box_id, epoch) in self.parts.receipts.newest_epochs() {
            let site = self.parts.boxes.iter().find(|(id, _)| **id == box_id).map(|(_, known)| known.site.clone());
            if let Some(site) = site {
                self.pending.entry((site, box_id, epoch)).or_default();
            }
        }
    }

    fn message(&mut self, topic: &str, payload: &[u8], on: &mut (dyn FnMut(Heard) -> Next + Send)) {
        if self.stopping {
            // Neither shown nor acknowledged: it comes again.
            return;
        }
        if let Ok(from) = topics::parse(&self.parts.topic_root, topic)
            && from.kind == topics::Kind::Audit
        {
            // Its signature is a note's, no COSE.
            return self.checkpoint(from, payload, on);
        }
        let opened = match self.open(topic, payload) {
            // The box's key may have been changed, or the box added, since the registry was read.
            Err(reason) if is_unknown(&reason) && self.reread_boxes() => self.open(topic, payload),
            opened => opened,
        };
        let (from, message, _) = match opened {
            Ok(opened) => opened,
            // Replies and evidence are for other verbs.
            Err(wire::Error::Unread { .. }) => return,
            Err(reason) => return self.hear(Heard::Refused { topic: topic.to_owned(), reason }, on),
        };
        let at = self.parts.clock.utc();
        let heard = match message {
            Message::Alert(alert) => {
                if self.receive(&from, alert.epoch, (alert.seq, alert.seq), alert.seq) {
                    Heard::Alert { from, alert, at }
                } else {
                    Heard::Duplicate { from }
                }
            }
            Message::Shed(shed) => {
                let hole = self.receive(&from, shed.epoch, (shed.first, shed.last), shed.last);
                let own = self.receive(&from, shed.epoch, (shed.seq, shed.seq), shed.seq);
                if hole || own { Heard::Shed { from, shed } } else { Heard::Duplicate { from } }
            }
            Message::Status(status) => Heard::Status { from, status },
            Message::Camera(status) => Heard::Camera { from, status },
            Message::Health(report) => {
                if report.outbox.entries == 0 {
                    self.parts.receipts.expect(&from.box_id, report.epoch, report.last_seq);
                }
                Heard::Health { from, report }
            }
            // Acks and commands go down, and replies are for who asked: none of them is subscribed to.
            Message::Ack(_) | Message::Reply(_) | Message::Command(_) => return,
        };
        self.hear(heard, on);
    }

    fn open(&self, topic: &str, payload: &[u8]) -> Result<(Address, Message, Kid), wire::Error> {
        let keys = |from: &Address| self.parts.boxes.keys_of(&from.site, &from.box_id);
        wire::open(payload, &self.parts.topic_root, topic, keys)
    }

    /// Reads the registry again, at most once a second; true when it says something else now.
    fn reread_boxes(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next_reread {
            return false;
        }
        self.next_reread = now + REREAD_EVERY;
        self.parts.boxes.reread()
    }

    /// Hands on a checkpoint with the keys that it may be signed with; those of a box that is not known are nobody's.
    fn checkpoint(&mut self, from: Address, note: &[u8], on: &mut (dyn FnMut(Heard) -> Next + Send)) {
        let origin = tree::origin(&from.site, &from.box_id);
        let keys = |boxes: &Boxes| boxes.keys_of(&from.site, &from.box_id);
        let mut known = keys(&self.parts.boxes);
        // The box's key may have been changed, or the box added, since the registry was read.
        let fits = known.as_ref().is_some_and(|keys| note::open(note, &origin, keys).is_ok());
        if !fits && self.reread_boxes() {
            known = keys(&self.parts.boxes);
        }
        if let Some(keys) = known {
            self.hear(Heard::Checkpoint { from, keys, note: note.to_vec() }, on);
        }
    }

    /// Notes numbers as received and to be acknowledged; true when they are new.
    fn receive(&mut self, from: &Address, epoch: Epoch, range: (u64, u64), seq: u64) -> bool {
        let now = self.parts.clock.monotonic();
        self.pending.entry((from.site.clone(), from.box_id.clone(), epoch)).or_default().insert(seq);
        self.parts.receipts.receive(&from.box_id, epoch, range, now)
    }

    fn ack_at(&self) -> Option<Instant> {
        // Without room only a PUBACK helps, and that is an event.
        (!self.pending.is_empty() && self.outgoing.is_empty()).then_some(self.next_ack)
    }

    /// Makes the state durable and acknowledges what is pending, when it is time for that, as far as there is room.
    ///
    /// Writing the state blocks this task: there is nothing else that it should do before.
    fn acknowledge(&mut self, sender: &mut Sender) -> Result<(), Error> {
        if self.outgoing.is_empty() && !self.pending.is_empty() && Instant::now() >= self.next_ack {
            self.parts.receipts.save()?;
            for ((site, box_id, epoch), seqs) in std::mem::take(&mut self.pending) {
                let topic = Topics::new(&self.parts.topic_root, &site, &box_id)?.ack();
                for ack in self.parts.receipts.acks(&box_id, epoch, &seqs) {
                    self.outgoing.push_back((topic.clone(), wire::sign(&ack, &topic, &self.parts.delivery_key)?));
                }
            }
            self.next_ack = Instant::now() + ACK_EVERY;
        }
        while let Some((topic, message)) = self.outgoing.front() {
            if !sender.publish(topic, message.clone(), false, Token::Other) {
                break;
            }
            self.outgoing.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::Outgoing;
    use rumqttc::v5::Event;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAck};

    use super::*;
    use crate::domain::Broker;

    fn client(dir: &std::path::Path) -> Client {
        Client::new(Parts {
            link: LinkSettings::new(Broker::parse("mqtt://127.0.0.1:1").unwrap(), None, "centre"),
            topic_root: topics::DEFAULT_ROOT.to_owned(),
            boxes: Boxes::default(),
            delivery_key: SigningKey::from_seed(&[7; 32]).unwrap(),
            receipts: Receipts::open(&dir.join("tail.state")).unwrap(),
            gap_after: Duration::from_secs(10),
            clock: Clock::system(),
        })
    }

    /// An alert of each of these boxes came.
    fn came(client: &mut Client, boxes: std::ops::Range<u32>, seq: u64) {
        for n in boxes {
            let id = BoxId::new(&format!("box-{n:03}")).unwrap();
            let counter = (SiteId::new("north").unwrap(), id.clone(), Epoch([1; 8]));
            client.parts.receipts.receive(&id, Epoch([1; 8]), (seq, seq), Duration::ZERO);
            client.pending.entry(counter).or_default().insert(seq);
        }
        client.next_ack = Instant::now();
    }

    /// The broker takes the publishes with these packet ids.
    fn taken(sender: &mut Sender, ids: std::ops::RangeInclusive<u16>) {
        for id in ids.clone() {
            sender.understand(Event::Outgoing(Outgoing::Publish(id)));
        }
        for id in ids {
            sender.understand(Event::Incoming(Packet::PubAck(PubAck::new(id, None))));
        }
    }

    #[tokio::test]
    async fn each_box_is_acknowledged_in_turn_however_often_the_first_ones_speak() {
        let dir = tempfile::tempdir().unwrap();
        let mut client = client(dir.path());
        let (mut sender, _events) = link::open(&client.parts.link, &client.parts.clock, None).unwrap();
        came(&mut client, 0..100, 1);
        client.acknowledge(&mut sender).unwrap();
        assert_eq!((sender.room(), client.outgoing.len()), (0, 36));
        came(&mut client, 0..64, 2);
        taken(&mut sender, 1..=64);
        client.acknowledge(&mut sender).unwrap();
        assert!(client.outgoing.is_empty(), "those that waited went first: {:?}", client.outgoing.front());
        assert_eq!((sender.room(), client.pending.len()), (64 - 36, 64));
        client.acknowledge(&mut sender).unwrap();
        assert_eq!((client.outgoing.len(), client.pending.len()), (36, 0));
    }
}
