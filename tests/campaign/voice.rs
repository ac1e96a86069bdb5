//! A centre that says anything to a box, as fast as the broker takes it, and hears the box's answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use watchpost::centre::keys::{SigningKey, hex};
use watchpost::centre::link::{self, LinkEvent, LinkSettings, Token};
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics::{self, Kind, Topics};
use watchpost::centre::wire::{Order, sign_order};
use watchpost::clock::Clock;
use watchpost::domain::{BoxId, Broker, Op, SiteId};

use super::fault::Chance;
use super::rig::Rig;

/// Messages that wait to be said.
const QUEUE: usize = 256;

/// Silence after which a question is put again.
const AGAIN: Duration = Duration::from_secs(1);

struct Said {
    topic: String,
    payload: Vec<u8>,
    acknowledged: bool,
}

/// The connection; ends with this value.
pub struct Voice {
    say: mpsc::Sender<Said>,
    /// Topics under which the box answered.
    heard: Receiver<String>,
    taken: Arc<AtomicU64>,
    said: u64,
    pub topics: Topics,
    pub site: SiteId,
    pub box_id: BoxId,
    fleet: SigningKey,
    chance: Chance,
}

impl Voice {
    /// Connects as the centre and listens to the replies of the rig's box.
    pub fn connect(rig: &Rig, seed: u64) -> Self {
        let file = |name: &str| rig.made.path(&format!("centre/tls/{name}"));
        let tls = TlsFiles { ca: file("ca.pem"), certificate: file("centre.pem"), private_key: file("centre-key.pem") };
        let broker = Broker::parse(&format!("mqtts://127.0.0.1:{}", rig.port)).unwrap();
        let settings = LinkSettings::new(broker, Some(tls), "voice");
        let (site, box_id) = (SiteId::new("north").unwrap(), BoxId::new("box-1").unwrap());
        let topics = Topics::new(topics::DEFAULT_ROOT, &site, &box_id).unwrap();
        let (say, to_say) = mpsc::channel(QUEUE);
        let (tell, heard) = sync_channel(1 << 16);
        let (ready, subscribed) = sync_channel(1);
        let taken = Arc::new(AtomicU64::new(0));
        let filter = format!("{}/{site}/{box_id}/reply/#", topics::DEFAULT_ROOT);
        let counted = Arc::clone(&taken);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(speak(settings, filter, to_say, &|event| match event {
                LinkEvent::Subscribed { .. } => drop(ready.try_send(())),
                LinkEvent::Published { .. } => drop(counted.fetch_add(1, Ordering::SeqCst)),
                LinkEvent::Message { topic, .. } => drop(tell.try_send(topic)),
                _ => {}
            }));
        });
        subscribed.recv_timeout(Duration::from_secs(30)).expect("the broker takes the subscription");
        let fleet = SigningKey::read(&rig.made.path("centre/keys/fleet.key")).unwrap();
        Self { say, heard, taken, said: 0, topics, site, box_id, fleet, chance: Chance(seed) }
    }

    /// Says it at QoS 1; waits while too much waits.
    pub fn say(&mut self, topic: &str, payload: Vec<u8>) {
        self.said += 1;
        self.say.blocking_send(Said { topic: topic.to_owned(), payload, acknowledged: true }).expect("a connection");
    }

    /// Says it at QoS 0.
    pub fn shout(&self, topic: &str, payload: Vec<u8>) {
        self.say.blocking_send(Said { topic: topic.to_owned(), payload, acknowledged: false }).expect("a connection");
    }

    /// Waits until the broker has all of it.
    pub fn wait_for_broker(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.taken.load(Ordering::SeqCst) < self.said {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// An id that was never used.
    pub fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.chance.next().to_be_bytes());
        id[8..].copy_from_slice(&self.chance.next().to_be_bytes());
        id
    }

    /// An order to the box, made now and valid for a minute.
    pub fn order(&mut self, op: Op) -> Order {
        Order {
            op,
            id: self.id(),
            site: self.site.clone(),
            box_id: self.box_id.clone(),
            issued: Clock::system().utc(),
            lifetime_s: 60,
            challenge: None,
            purpose: None,
            case: None,
            args: Vec::new(),
        }
    }

    /// The topic of an order of this box.
    pub fn topic(&self, op: &str, id: &[u8; 16]) -> String {
        self.topics.of(&Kind::Command { op: op.to_owned(), id: hex(id) })
    }

    /// Asks for the box's status as the fleet may; gives how long the last of its three answers took, and what was said.
    pub fn ask(&mut self, within: Duration) -> (Option<Duration>, String, Vec<u8>) {
        let order = self.order(Op::BoxStatus);
        let topic = self.topic("box.status", &order.id);
        let message = sign_order(&order, &topic, (&self.fleet, "fleet"), None).unwrap();
        let reply = self.topics.of(&Kind::Reply { op: "box.status".to_owned(), id: hex(&order.id) });
        let begun = Instant::now();
        self.say(&topic, message.clone());
        let mut answers = 0;
        while begun.elapsed() < within {
            if let Ok(heard) = self.heard.recv_timeout(AGAIN.min(within.saturating_sub(begun.elapsed()))) {
                answers += u32::from(heard == reply);
            } else {
                // It was told that too many wait, or the broker dropped it: the same again, which is executed once.
                answers = 0;
                self.say(&topic, message.clone());
            }
            if answers == 3 {
                return (Some(begun.elapsed()), topic, message);
            }
        }
        (None, topic, message)
    }
}

async fn speak(
    settings: LinkSettings,
    filter: String,
    mut to_say: mpsc::Receiver<Said>,
    on: &(dyn Fn(LinkEvent) + Sync),
) {
    let (mut sender, mut events) = link::open(&settings, &Clock::system(), None).unwrap();
    let mut connected = false;
    loop {
        let event = {
            let mut next = std::pin::pin!(events.next());
            loop {
                tokio::select! {
                    event = &mut next => break event,
                    said = to_say.recv(), if connected && sender.room() > 0 => {
                        let Some(said) = said else { return };
                        let handed = if said.acknowledged {
                            sender.publish(&said.topic, said.payload, false, Token::Other)
                        } else {
                            sender.publish_unacknowledged(&said.topic, said.payload)
                        };
                        assert!(handed, "no room in the link");
                    }
                }
            }
        };
        let Ok(event) = event else { return };
        let event = sender.understand(event);
        if matches!(event, LinkEvent::Connected { .. }) {
            connected = true;
            assert!(sender.subscribe(std::slice::from_ref(&filter)));
        }
        on(event);
    }
}
