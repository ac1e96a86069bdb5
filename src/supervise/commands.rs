//! Wires commands: what comes down by the broker or the unix socket to the executor, its answers back the way they came.
//!
//! One executor serves both ways, so a box does one thing at a time whoever asks. Answers are signed here, with the key
//! that the box has at that moment, for the topic that they go to: the reply topic of the command, or an MQTT 5 response
//! topic below the box's own `reply/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::afterwards::After;
use crate::centre::budget::Budget;
use crate::centre::carry::{Carrier, Letter};
use crate::centre::keyring::KeyBook;
use crate::centre::keys::BoxKey;
use crate::centre::link;
use crate::centre::report::Reporter;
use crate::centre::session::Downward;
use crate::centre::topics::{self, Kind, Topics};
use crate::centre::wire::{self, CHUNK, Reply, Wire};
use crate::clock::Challenges;
use crate::command::blobs::Blobs;
use crate::command::executor::{self, Executor};
use crate::command::local::{self, Connections, Frame, Host};
use crate::command::rate::Limits;
use crate::command::{Afterwards, Attachment, Inbox, Incoming, Line, ReplyTo, Response, Rooms, Via};
use crate::config::{Centre, Config};

/// How long connections that are ended may be at what was asked last, and in a stop within bounds.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const CLOSE_AT_ONCE: Duration = Duration::from_millis(500);

/// What commands are made of.
pub struct Parts<'a> {
    /// What operations work with.
    pub rooms: Rooms,
    /// The section of the configuration.
    pub centre: &'a Centre,
    /// What takes answers to the broker.
    pub carrier: Carrier,
    /// What the link to the broker may carry.
    pub budget: Budget,
    /// Health, for the socket.
    pub reporter: Reporter,
    /// What health has told.
    pub challenges: Challenges,
    /// What is asked for beyond the answer.
    pub after: After,
}

/// The running executor with its two ways in.
pub struct Commands {
    executor: Executor,
    entrance: Arc<Entrance>,
    connections: Connections,
    socket: Option<local::Server>,
    keyring: KeyBook,
}

impl Commands {
    /// Starts the executor; nothing comes in yet.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn start(parts: Parts<'_>) -> anyhow::Result<Self> {
        let config = &parts.rooms.config;
        let topics = Topics::new(&parts.centre.topic_root, &config.site.site, &config.site.id)?;
        let keyring = parts.rooms.keyring.clone();
        let (key, blobs) = (parts.rooms.box_key.clone(), parts.rooms.blobs.clone());
        let connections = Connections::default();
        let ways = Ways {
            topics: topics.clone(),
            key: key.clone(),
            carrier: parts.carrier,
            budget: parts.budget,
            connections: connections.clone(),
            after: parts.after,
        };
        let executor = Executor::start(executor::Parts {
            topic_root: parts.centre.topic_root.clone(),
            dir: config.site.data_dir.join("commands"),
            challenges: parts.challenges,
            limits: Limits::default(),
            line: Arc::new(ways),
            rooms: parts.rooms,
        })
        .context("the journal of commands")?;
        let inbox = executor.handle();
        let topic_root = parts.centre.topic_root.clone();
        let entrance = Arc::new(Entrance { inbox, blobs, topics, topic_root, key, reporter: parts.reporter });
        Ok(Self { executor, entrance, connections, socket: None, keyring })
    }

    /// Who takes what the broker brings.
    #[must_use]
    pub fn downward(&self) -> Arc<dyn Downward> {
        Arc::clone(&self.entrance) as Arc<dyn Downward>
    }

    /// Listens on the unix socket; a box without one is still commanded by the centre, so a failure is only said.
    pub fn listen(&mut self, path: &Path) {
        let host = Arc::clone(&self.entrance) as Arc<dyn Host>;
        match local::Server::start(path, self.connections.clone(), host) {
            Ok(server) => self.socket = Some(server),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "no unix socket: `watchpost query` and its like cannot ask");
            }
        }
    }

    /// Serves one connection that is there already.
    ///
    /// # Errors
    /// When too many stand already.
    pub fn serve(&self, stream: std::os::unix::net::UnixStream) -> std::io::Result<()> {
        self.connections.serve(stream, Arc::clone(&self.entrance) as Arc<dyn Host>)
    }

    /// Where the console puts its questions.
    pub(super) fn entry(&self) -> super::console::Entry {
        super::console::Entry {
            connections: self.connections.clone(),
            host: Arc::clone(&self.entrance) as Arc<dyn Host>,
            key: self.entrance.key.clone(),
            keyring: self.keyring.clone(),
        }
    }

    /// Whether the executor still runs; it ends by itself only with a panic.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.executor.is_running()
    }

    /// Ends after the command that is being executed.
    pub fn stop(self) {
        self.executor.stop();
        if !Self::close(self.socket, &self.connections, CLOSE_WITHIN) {
            tracing::error!("connections to the socket did not end");
        }
    }

    /// The same, but waits `at_most` so long; false: the executor, or who asks at the socket, was left behind.
    #[must_use]
    pub fn stop_within(self, at_most: Duration) -> bool {
        let stopped = self.executor.stop_within(at_most);
        Self::close(self.socket, &self.connections, CLOSE_AT_ONCE.min(at_most)) && stopped
    }

    fn close(socket: Option<local::Server>, connections: &Connections, at_most: Duration) -> bool {
        match socket {
            Some(socket) => socket.stop(at_most),
            None => connections.end_all(at_most),
        }
    }
}

/// Where the daemon's socket is: systemd's runtime directory where there is one, else the box's own folder.
pub fn socket_path(config: &Config) -> PathBuf {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").filter(|dir| !dir.is_empty());
    runtime.map_or_else(|| config.site.data_dir.join("run"), PathBuf::from).join(local::FILE)
}

/// What comes in.
struct Entrance {
    inbox: Inbox,
    blobs: Blobs,
    topics: Topics,
    topic_root: String,
    key: BoxKey,
    reporter: Reporter,
}

impl Downward for Entrance {
    fn command(&self, topic: &str, payload: Vec<u8>, response: Option<link::Response>) {
        let response = response.map(|r| Response { topic: r.topic, correlation: r.correlation });
        self.inbox.offer(Incoming { topic: topic.to_owned(), bytes: payload, response, via: Via::Mqtt });
    }

    fn chunk(&self, sha256: &[u8; 32], n: u32, bytes: &[u8]) {
        if !self.blobs.take(sha256, n, bytes) {
            tracing::debug!(n, "a chunk that nobody asked for");
        }
    }
}

impl Host for Entrance {
    fn frame(&self, connection: u64, topic: &str, bytes: Vec<u8>) -> Option<Frame> {
        let address = topics::parse(&self.topic_root, topic).ok()?;
        match address.kind {
            // One for another box is refused by the executor, which says so.
            Kind::Command { .. } => {
                let via = Via::Local(connection);
                self.inbox.offer(Incoming { topic: topic.to_owned(), bytes, response: None, via });
                None
            }
            Kind::Blob { sha256, chunk } => {
                self.chunk(&sha256, chunk, &bytes);
                None
            }
            Kind::Health if topic == self.topics.health() => {
                let report = signed(&self.reporter.report(), topic, &self.key)?;
                Some((topic.to_owned(), report))
            }
            _ => None,
        }
    }
}

/// The ways out.
struct Ways {
    topics: Topics,
    key: BoxKey,
    carrier: Carrier,
    budget: Budget,
    connections: Connections,
    after: After,
}

impl Line for Ways {
    fn takes(&self, to: &ReplyTo, bytes: usize) -> Result<(), String> {
        match to.via {
            Via::Local(_) => Ok(()),
            Via::Mqtt => self.budget.takes_answer(self.carrier.waiting_bytes(), bytes),
        }
    }

    fn reply(&self, to: &ReplyTo, reply: Reply, attachments: Vec<Attachment>, then: Option<Afterwards>) {
        let response = to.response.as_ref().filter(|response| self.topics.takes_response(&response.topic));
        if to.response.is_some() && response.is_none() {
            tracing::debug!("a response topic that is not below our replies: the answer goes to the reply topic");
        }
        let topic = response.map_or(&to.topic, |response| &response.topic);
        let mut frames: Vec<Frame> = attachments.iter().flat_map(|a| self.chunks(a)).collect();
        if let Some(message) = signed(&reply, topic, &self.key) {
            frames.push((topic.clone(), message));
        }
        let when_left = then.filter(|then| self.after.ask(*then)).map(|_| {
            let after = self.after.clone();
            Box::new(move |_| after.answered()) as Box<dyn FnOnce(bool) + Send>
        });
        match to.via {
            Via::Local(connection) => self.connections.send(connection, frames, when_left),
            Via::Mqtt => {
                let correlation = response.and_then(|response| response.correlation.clone());
                let last = frames.len().saturating_sub(1);
                let letter = |(n, (topic, payload)): (usize, Frame)| Letter {
                    topic,
                    payload,
                    correlation: correlation.clone().filter(|_| n == last),
                };
                let letters = frames.into_iter().enumerate().map(letter).collect();
                if let Err(full) = self.carrier.put(letters, when_left) {
                    tracing::warn!(%full, topic, "an answer could not be handed over: asking again brings it");
                }
            }
        }
    }
}

impl Ways {
    fn chunks(&self, attachment: &Attachment) -> Vec<Frame> {
        let topic = |n: u32| self.topics.of(&Kind::Evidence { id: attachment.id, chunk: n });
        (0..).zip(attachment.bytes.chunks(CHUNK)).map(|(n, chunk)| (topic(n), chunk.to_vec())).collect()
    }
}

/// `None`, and a line in the log, for what cannot be signed.
fn signed<M: Wire>(message: &M, topic: &str, key: &BoxKey) -> Option<Vec<u8>> {
    match wire::sign(message, topic, &key.current()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::error!(%error, topic, "an answer of ours could not be made");
            None
        }
    }
}
