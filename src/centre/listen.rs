//! Listens to what boxes say of themselves, and says nothing back: for a look around the fleet, not for delivery.
//!
//! One connection, made once: a fault ends it. Messages are asked for at QoS 0, since brokers bound what they queue for a
//! client at QoS 1 (mosquitto: 1,000) and drop the rest of the retained ones of a large fleet. Each message is verified
//! with the key that the registry has for its box. Called by `watchpostctl boxes`; acknowledges nothing.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::boxes::Boxes;
use super::fault::{Cause, Fault};
use super::link::{self, LinkEvent, LinkSettings};
use super::topics::Address;
use super::wire::{self, Message};
use crate::clock::Clock;
use crate::domain::TimeMs;

/// How often the caller is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// What listening needs.
pub struct Parts<'a> {
    /// Broker, TLS, client id.
    pub link: &'a LinkSettings,
    /// First part of every topic.
    pub topic_root: &'a str,
    /// Topics that are asked for ([`super::topics::board_filters`]).
    pub filters: &'a [String],
    /// Whom to believe.
    pub boxes: &'a Boxes,
    /// Time.
    pub clock: &'a Clock,
}

/// Something that was heard.
#[derive(Debug)]
pub enum Heard {
    /// The broker has taken the subscriptions; what it has kept comes next.
    Subscribed,
    /// A message that is the box's own.
    Told {
        /// From where.
        from: Address,
        /// What.
        message: Box<Message>,
        /// The broker had kept it from before.
        retained: bool,
        /// When it arrived.
        at: TimeMs,
    },
    /// A message that is not believed.
    Refused {
        /// Its topic.
        topic: String,
        /// Why.
        reason: wire::Error,
    },
    /// A tenth of a second went by.
    Tick,
}

/// Listens until `on` says that it has heard enough, by false.
///
/// # Errors
/// [`Fault`] when there is no connection to the broker, or it is lost.
pub async fn listen(parts: Parts<'_>, on: &mut (dyn FnMut(Heard) -> bool + Send)) -> Result<(), Fault> {
    let (mut sender, mut events) = link::open(parts.link, parts.clock, None)?;
    let mut next_tick = Instant::now() + TICK;
    loop {
        let event = {
            let mut next = pin!(events.next());
            loop {
                tokio::select! {
                    event = &mut next => break event?,
                    () = sleep_until(next_tick) => {
                        next_tick = Instant::now() + TICK;
                        if !on(Heard::Tick) {
                            return Ok(());
                        }
                    }
                }
            }
        };
        let go_on = match sender.understand(event) {
            LinkEvent::Connected { .. } => {
                if !sender.subscribe_unacknowledged(parts.filters) {
                    return Err(Fault::new(Cause::Protocol, "the subscription could not be handed over"));
                }
                true
            }
            LinkEvent::Subscribed { refused } if refused > 0 => {
                return Err(Fault::new(Cause::NotAuthorised, format!("{refused} subscriptions refused")));
            }
            LinkEvent::Subscribed { .. } => on(Heard::Subscribed),
            LinkEvent::Message { topic, payload, retained, .. } => {
                let keys = |from: &Address| parts.boxes.keys_of(&from.site, &from.box_id);
                on(match wire::open(&payload, parts.topic_root, &topic, keys) {
                    Ok((from, message, _)) => {
                        Heard::Told { from, message: Box::new(message), retained, at: parts.clock.utc() }
                    }
                    Err(reason) => Heard::Refused { topic, reason },
                })
            }
            LinkEvent::Published { .. } | LinkEvent::Disconnected | LinkEvent::Other => true,
        };
        if !go_on {
            return Ok(());
        }
    }
}
