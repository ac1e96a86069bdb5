//! One connection to the broker, from CONNECT to its end: a thin layer over rumqttc that pairs publishes with PUBACKs.
//!
//! rumqttc keeps what it was given across reconnects and then forgets or repeats it by rules of its own. Here each
//! connection gets a client and an event loop of its own and nothing outlives it: what must not be lost lies in the
//! outbox. Nothing here waits for room: [`Sender::publish`] says no when the broker has enough to do.
//!
//! rumqttc gives no token for a publish, so they are paired by order: the event loop announces each publish that it sends
//! (`Outgoing::Publish`) in the order it was handed over, with the packet id that its PUBACK will carry.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet, PubAckReason, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};

use super::budget::{Meter, Traffic};
use super::carry::Letter;
use super::fault::{Cause, Fault};
use super::tls::{self, TlsFiles};
use crate::clock::Clock;
use crate::domain::{Broker, Severity};

/// Most publishes that are lent to the client at once, whatever the broker would take.
const MAX_LENT: u16 = 64;
/// Largest message that is taken from the broker, bytes: a chunk of 60 KiB with room for its headers.
const MAX_INCOMING: u32 = 80 * 1024;

/// What a connection needs to know.
#[derive(Clone)]
pub struct LinkSettings {
    /// The broker.
    pub broker: Broker,
    /// Our TLS files, read anew for each connection; required when the broker's URL says so.
    pub tls: Option<TlsFiles>,
    /// MQTT client id.
    pub client_id: String,
    /// Silence after which the connection is probed; after twice that it is given up.
    pub keep_alive: Duration,
    /// How long TCP, TLS and CONNACK may take together.
    pub connect_within: Duration,
    /// How long the broker keeps the subscriptions after the connection is gone; zero starts clean each time.
    pub session_expiry: Duration,
    /// Counts what goes over the link, where it is counted.
    pub meter: Option<Meter>,
}

impl LinkSettings {
    /// With the usual times: probed after 15 s of silence, 10 s to connect, nothing kept by the broker in between (what
    /// matters is sent again).
    #[must_use]
    pub fn new(broker: Broker, tls: Option<TlsFiles>, client_id: impl Into<String>) -> Self {
        Self {
            broker,
            tls,
            client_id: client_id.into(),
            keep_alive: Duration::from_secs(15),
            connect_within: Duration::from_secs(10),
            session_expiry: Duration::ZERO,
            meter: None,
        }
    }
}

/// A message that the broker publishes in our name when the connection is lost.
#[derive(Debug, Clone)]
pub struct Will {
    /// Topic, retained.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
}

/// What was published, so that its PUBACK can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The outbox entry with this seq.
    Entry(u64),
    /// The letter with this number.
    Letter(u64),
    /// The mirrored message with this number.
    Mirror(u64),
    /// The last message before the end.
    Farewell,
    /// Something that is not waited for.
    Other,
}

/// Where an answer is wanted, as MQTT 5 says it. Nobody signed this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its topic.
    pub topic: String,
    /// To be given back with it.
    pub correlation: Option<Vec<u8>>,
}

/// What happened on the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// CONNACK: the session stands.
    Connected {
        /// The broker still has the session of before.
        resumed: bool,
    },
    /// The broker has what was published.
    Published {
        /// What it was.
        token: Token,
        /// How the broker took it.
        taken: Taken,
    },
    /// A message for us.
    Message {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// The broker kept it from before we subscribed.
        retained: bool,
        /// Where an answer is wanted.
        response: Option<Response>,
        /// What an answer gives back to who asked for it.
        correlation: Option<Vec<u8>>,
    },
    /// The broker confirmed subscriptions; how many it refused.
    Subscribed {
        /// Refused filters.
        refused: usize,
    },
    /// Everything that was asked for has been sent, DISCONNECT last.
    Disconnected,
    /// Nothing that matters here (pings, own acknowledgements).
    Other,
}

/// What a PUBACK said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The broker took it.
    Yes,
    /// The broker took it, and nobody is subscribed: the centre is away.
    NobodyListens,
    /// The broker refused it (ACL, quota).
    Refused,
}

/// The receiving half: the only one that waits.
pub struct Events {
    event_loop: EventLoop,
}

/// The sending half: never waits.
pub struct Sender {
    client: AsyncClient,
    handed: VecDeque<Token>,
    waiting: HashMap<u16, Token>,
    receive_max: u16,
    meter: Option<Meter>,
}

/// Prepares a connection; it is made by the first call of [`Events::next`].
///
/// # Errors
/// [`Fault`] when our TLS files cannot be used.
pub fn open(settings: &LinkSettings, clock: &Clock, will: Option<Will>) -> Result<(Sender, Events), Fault> {
    let mut options = MqttOptions::new(settings.client_id.clone(), settings.broker.host.clone(), settings.broker.port);
    // rumqttc panics on a keep-alive below 5 s.
    options.set_keep_alive(settings.keep_alive.max(Duration::from_secs(5)));
    options.set_connection_timeout(settings.connect_within.as_secs().max(1));
    options.set_clean_start(settings.session_expiry.is_zero());
    let expiry = u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX);
    options.set_session_expiry_interval(Some(expiry));
    options.set_max_packet_size(Some(MAX_INCOMING));
    options.set_outgoing_inflight_upper_limit(MAX_LENT);
    if settings.broker.tls {
        let files = settings.tls.as_ref().ok_or_else(|| Fault::new(Cause::OurFiles, "no files given for mqtts://"))?;
        let config = tls::client_config(files, clock).map_err(|e| Fault::new(Cause::OurFiles, e.to_string()))?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    if let Some(will) = will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, true, None));
    }
    let (client, event_loop) = AsyncClient::new(options, usize::from(MAX_LENT) * 2);
    let sender = Sender {
        client,
        handed: VecDeque::new(),
        waiting: HashMap::new(),
        receive_max: MAX_LENT,
        meter: settings.meter.clone(),
    };
    Ok((sender, Events { event_loop }))
}

impl Events {
    /// Waits for the next event. Not to be cancelled but to end the connection.
    ///
    /// # Errors
    /// [`Fault`] when the connection could not be made or is over; these halves are of no use after it.
    pub async fn next(&mut self) -> Result<Event, Fault> {
        self.event_loop.poll().await.map_err(|e| Fault::of(&e))
    }
}

impl Sender {
    /// How many publishes may be handed over now: the broker's receive maximum less what it has not acknowledged.
    #[must_use]
    pub fn room(&self) -> usize {
        let lent = self.handed.len() + self.waiting.len();
        usize::from(self.receive_max.min(MAX_LENT)).saturating_sub(lent)
    }

    /// Whether the budget of the link lets something of this kind go now.
    #[must_use]
    pub fn lets_go(&self, what: Traffic) -> bool {
        self.meter.as_ref().is_none_or(|meter| meter.budget.goes(what, 0))
    }

    /// The least severe alerts that the budget of the link lets go now.
    #[must_use]
    pub fn least(&self) -> Severity {
        self.meter.as_ref().map_or(Severity::Info, |meter| meter.budget.least())
    }

    /// Hands over a publish at QoS 1; false when there is no room.
    pub fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool, token: Token) -> bool {
        self.room() > 0 && self.hand_over(topic, payload, retain, QoS::AtLeastOnce, token)
    }

    /// Hands over a publish at QoS 0; false when there is no room.
    pub fn publish_unacknowledged(&mut self, topic: &str, payload: Vec<u8>) -> bool {
        self.room() > 0 && self.hand_over(topic, payload, false, QoS::AtMostOnce, Token::Other)
    }

    /// Hands over a letter at QoS 1; false when there is no room.
    pub fn publish_letter(&mut self, letter: &Letter, token: Token) -> bool {
        let Some(correlation) = &letter.correlation else {
            return self.publish(&letter.topic, letter.payload.clone(), false, token);
        };
        let properties =
            PublishProperties { correlation_data: Some(correlation.clone().into()), ..PublishProperties::default() };
        self.publish_with(letter, properties, token)
    }

    /// Hands over a letter at QoS 1 whose answer is wanted under `response`; false when there is no room.
    pub fn publish_question(&mut self, letter: &Letter, response: &str, token: Token) -> bool {
        let correlation_data = letter.correlation.clone().map(Into::into);
        let response_topic = Some(response.to_owned());
        self.publish_with(letter, PublishProperties { response_topic, correlation_data, ..Default::default() }, token)
    }

    fn publish_with(&mut self, letter: &Letter, properties: PublishProperties, token: Token) -> bool {
        let (topic, payload) = (letter.topic.clone(), letter.payload.clone());
        let taken = self.room() > 0
            && self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).is_ok();
        if taken {
            self.handed.push_back(token);
            self.meter.iter().for_each(|meter| meter.sent(&letter.topic, letter.payload.len()));
        }
        taken
    }

    fn hand_over(&mut self, topic: &str, payload: Vec<u8>, retain: bool, qos: QoS, token: Token) -> bool {
        let bytes = payload.len();
        let taken = self.client.try_publish(topic, qos, retain, payload).is_ok();
        if taken {
            self.handed.push_back(token);
            self.meter.iter().for_each(|meter| meter.sent(topic, bytes));
        }
        taken
    }

    /// Asks for messages of `filters` at QoS 1; false when the request could not be handed over.
    pub fn subscribe(&self, filters: &[String]) -> bool {
        let filters = filters.iter().map(|f| Filter::new(f.clone(), QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).is_ok()
    }

    /// Asks for messages of `filters` at QoS 0; false when the request could not be handed over.
    pub fn subscribe_unacknowledged(&self, filters: &[String]) -> bool {
        let filters = filters.iter().map(|f| Filter::new(f.clone(), QoS::AtMostOnce));
        self.client.try_subscribe_many(filters).is_ok()
    }

    /// Asks for a DISCONNECT behind everything that was handed over, so that the broker drops the will.
    pub fn disconnect(&self) -> bool {
        self.client.try_disconnect().is_ok()
    }

    /// Reads what the event loop said; pairs PUBACKs with what was published.
    pub fn understand(&mut self, event: Event) -> LinkEvent {
        match event {
            Event::Outgoing(Outgoing::Publish(pkid)) => {
                if let Some(token) = self.handed.pop_front()
                    && pkid != 0
                {
                    self.waiting.insert(pkid, token);
                }
                LinkEvent::Other
            }
            Event::Outgoing(Outgoing::PingReq | Outgoing::PubAck(_)) => {
                self.meter.iter().for_each(|meter| meter.budget.signed_life());
                LinkEvent::Other
            }
            Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Disconnected,
            Event::Outgoing(_) => LinkEvent::Other,
            Event::Incoming(packet) => self.understand_packet(packet),
        }
    }

    fn understand_packet(&mut self, packet: Packet) -> LinkEvent {
        match packet {
            Packet::ConnAck(connack) => {
                if let Some(max) = connack.properties.and_then(|p| p.receive_max) {
                    self.receive_max = max.max(1);
                }
                self.meter.iter().for_each(|meter| meter.budget.connected());
                LinkEvent::Connected { resumed: connack.session_present }
            }
            Packet::PubAck(puback) => {
                let Some(token) = self.waiting.remove(&puback.pkid) else { return LinkEvent::Other };
                let taken = match puback.reason {
                    PubAckReason::Success => Taken::Yes,
                    PubAckReason::NoMatchingSubscribers => Taken::NobodyListens,
                    _ => Taken::Refused,
                };
                LinkEvent::Published { token, taken }
            }
            Packet::Publish(publish) => {
                let (topic, payload) = (publish.topic.len(), publish.payload.len());
                self.meter.iter().for_each(|meter| meter.budget.received(topic, payload));
                let properties = publish.properties.unwrap_or_default();
                let correlation = properties.correlation_data.map(|data| data.to_vec());
                let response = |topic| Response { topic, correlation: correlation.clone() };
                LinkEvent::Message {
                    topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                    payload: publish.payload.to_vec(),
                    retained: publish.retain,
                    response: properties.response_topic.map(response),
                    correlation,
                }
            }
            Packet::SubAck(suback) => {
                let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
                LinkEvent::Subscribed { refused: suback.return_codes.iter().filter(refused).count() }
            }
            _ => LinkEvent::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::PubAck;

    fn sender() -> (Sender, Events) {
        let broker = Broker::parse("mqtt://127.0.0.1:1").unwrap();
        open(&LinkSettings::new(broker, None, "b"), &Clock::system(), None).unwrap()
    }

    #[test]
    fn pubacks_are_paired_by_the_order_of_sending() {
        let (mut sender, _events) = sender();
        assert!(sender.publish("t", vec![1], false, Token::Entry(7)));
        assert!(sender.publish_unacknowledged("t", vec![2]));
        assert!(sender.publish("t", vec![3], false, Token::Entry(8)));
        for pkid in [5, 0, 6] {
            sender.understand(Event::Outgoing(Outgoing::Publish(pkid)));
        }
        let mut ack = PubAck::new(6, None);
        ack.reason = PubAckReason::NoMatchingSubscribers;
        let event = sender.understand(Event::Incoming(Packet::PubAck(ack)));
        assert_eq!(event, LinkEvent::Published { token: Token::Entry(8), taken: Taken::NobodyListens });
        let event = sender.understand(Event::Incoming(Packet::PubAck(PubAck::new(5, None))));
        assert_eq!(event, LinkEvent::Published { token: Token::Entry(7), taken: Taken::Yes });
    }

    #[test]
    fn never_more_is_lent_than_the_client_may_hold() {
        let (mut sender, _events) = sender();
        let handed = (0..1000).filter(|n| sender.publish("t", vec![], false, Token::Entry(*n))).count();
        assert_eq!(handed, usize::from(MAX_LENT));
        assert_eq!(sender.room(), 0);
    }
}
