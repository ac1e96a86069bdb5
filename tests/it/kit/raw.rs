//! A client of the broker that says and hears messages as they are.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use watchpost::centre::carry::Letter;
use watchpost::centre::link::{self, LinkEvent, LinkSettings, Taken, Token};
use watchpost::clock::Clock;

/// A message that came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub topic: String,
    pub payload: Vec<u8>,
    pub correlation: Option<Vec<u8>>,
}

pub struct Raw {
    heard: mpsc::Receiver<Heard>,
    says: mpsc::Sender<(Letter, Option<String>)>,
    taken: mpsc::Receiver<Taken>,
    task: JoinHandle<()>,
}

impl Raw {
    /// Connects and subscribes.
    pub async fn connect(settings: &LinkSettings, filters: &[&str]) -> Self {
        let (mut sender, mut events) = link::open(settings, &Clock::system(), None).unwrap();
        let (tell, heard) = mpsc::channel(10_000);
        let (says, mut to_say) = mpsc::channel::<(Letter, Option<String>)>(100);
        let (answered, taken) = mpsc::channel(10_000);
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let task = tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                let mut next = std::pin::pin!(events.next());
                let event = loop {
                    tokio::select! {
                        event = &mut next => break event,
                        Some((letter, response)) = to_say.recv() => {
                            let said = match response {
                                Some(topic) => sender.publish_question(&letter, &topic, Token::Other),
                                None => sender.publish_letter(&letter, Token::Other),
                            };
                            assert!(said, "no room in the link");
                        }
                    }
                };
                let Ok(event) = event else { return };
                match sender.understand(event) {
                    LinkEvent::Connected { .. } => assert!(sender.subscribe(&filters)),
                    LinkEvent::Subscribed { .. } => drop(ready.take().map(|ready| ready.send(()))),
                    LinkEvent::Message { topic, payload, correlation, .. } => {
                        tell.send(Heard { topic, payload, correlation }).await.unwrap();
                    }
                    LinkEvent::Published { taken, .. } => answered.send(taken).await.unwrap(),
                    LinkEvent::Disconnected | LinkEvent::Other => {}
                }
            }
        });
        subscribed.await.expect("the broker takes the subscription");
        Self { heard, says, taken, task }
    }

    /// Says something, and what the broker answers to it.
    pub async fn say(&mut self, topic: &str, payload: &[u8], response: Option<(&str, &[u8])>) -> Taken {
        let correlation = response.map(|(_, correlation)| correlation.to_vec());
        let letter = Letter { topic: topic.to_owned(), payload: payload.to_vec(), correlation };
        self.says.send((letter, response.map(|(topic, _)| topic.to_owned()))).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), self.taken.recv()).await.expect("a PUBACK").unwrap()
    }

    /// Waits for a message that `fits`.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Heard) -> bool) -> Heard {
        let waiting = async {
            loop {
                let heard = self.heard.recv().await.expect("the connection stands");
                if fits(&heard) {
                    return heard;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap_or_else(|_| panic!("never came: {what}"))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}
