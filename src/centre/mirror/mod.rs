//! Mirrors: what the centre is told, once more in forms that others read. All are off unless the configuration asks.
//!
//! Plain JSON for dashboards ([`json`]), ONVIF event JSON ([`onvif`]), Home Assistant's discovery ([`home_assistant`]).
//! They are unsigned and no part of delivery: an alert is mirrored when it is first handed to the broker, what does not
//! fit beside alerts is dropped and counted, and nothing here waits or is on disk but a note of what the broker
//! keeps of it outside the box's own topics ([`retained`]). They show less than is signed: of reads without a hit, nothing.
//!
//! Owned by the session's task, which hands in what it sends and carries [`tray`].

mod home_assistant;
mod json;
mod onvif;
mod retained;
mod tray;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use home_assistant::HomeAssistant;
pub use retained::Save;

use super::link::{Sender, Taken};
use super::topics::Topics;
use super::window::{Entry, EntryKind};
use super::wire::{self, CameraStatus, HealthReport};
use crate::clock::Clock;
use crate::domain::{Alert, BoxId, CameraId, ListId, PlaceId, Rule, Severity};
use crate::health::Health;
use home_assistant::Board;
use retained::Book;
use tray::{Post, Tray, Which};

/// So many alerts are remembered as mirrored: what is sent again is not mirrored again.
const REMEMBERED: usize = 4_096;

/// What numbers in alerts stand for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names {
    /// Cameras by number.
    pub cameras: BTreeMap<u16, CameraId>,
    /// Rules by number.
    pub rules: BTreeMap<u16, Arc<Rule>>,
    /// Hotlists that the configuration names, by number.
    pub lists: BTreeMap<u16, ListId>,
    /// The lines of cameras; their other places are zones.
    pub lines: BTreeSet<(u16, PlaceId)>,
}

/// Which mirrors there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Plain JSON.
    pub json: bool,
    /// ONVIF event JSON.
    pub onvif: bool,
    /// Home Assistant's discovery.
    pub home_assistant: Option<HomeAssistant>,
    /// The least severity of alerts that are mirrored.
    pub severity: Severity,
    /// What numbers stand for.
    pub names: Names,
}

/// See the module.
#[derive(Default)]
pub struct Mirrors(Option<Box<On>>);

struct On {
    settings: Settings,
    topics: Topics,
    board: Option<Board>,
    book: Book,
    tray: Tray,
    mirrored: VecDeque<u64>,
    health: Arc<Health>,
    clock: Clock,
}

impl Mirrors {
    /// None.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Those of `settings`. `note` is the file that remembers what the broker keeps; it is written here where something
    /// will be told that it does not know, and without it nothing of the kind is.
    #[must_use]
    pub fn new(
        settings: Settings,
        (topics, box_id): (Topics, BoxId),
        note: &Path,
        health: Arc<Health>,
        clock: Clock,
    ) -> Self {
        let mut book = Book::read(note);
        let cameras = settings.names.cameras.values().cloned();
        let mut board = settings.home_assistant.clone().map(|wanted| Board::new(wanted, box_id, cameras));
        if let Some(told) = &board {
            book.will_tell(&told.topic(), &told.components());
            if let Some(Err(error)) = book.save().map(|save| save.write()) {
                tracing::error!(
                    %error, path = %note.display(),
                    "Home Assistant is not told of this box: what the broker would keep cannot be noted"
                );
                board = None;
            }
        }
        let kept = !book.but(None).is_empty();
        if !settings.json && !settings.onvif && board.is_none() && !kept {
            return Self::off();
        }
        let (tray, mirrored) = (Tray::default(), VecDeque::new());
        Self(Some(Box::new(On { settings, topics, board, book, tray, mirrored, health, clock })))
    }

    /// A session stands: what the broker is to keep is told, and what it is not to keep any more is taken back. Each time:
    /// sessions begin clean, so nobody says whether the broker has lost what it had.
    pub fn connected(&mut self) {
        let Some(on) = &mut self.0 else { return };
        let own = on.board.as_ref().map(Board::topic);
        for topic in on.book.but(own.as_deref()) {
            on.put(Which::HomeAssistant, topic, Vec::new(), true);
        }
        if let (Some(topic), Some(board)) = (own, &on.board) {
            let config = board.config(&on.book.known(&topic)).to_string().into_bytes();
            on.put(Which::HomeAssistant, topic, config, true);
        }
    }

    /// The connection is over.
    pub fn ended(&mut self) {
        if let Some(on) = &mut self.0 {
            on.tray.ended(on.clock.monotonic(), &on.health.centre);
        }
    }

    /// An entry of the outbox was handed to the broker.
    pub fn sent(&mut self, entry: &Entry) {
        let Some(on) = &mut self.0 else { return };
        let EntryKind::Alert(severity) = entry.kind else { return };
        if severity < on.settings.severity || on.mirrored.contains(&entry.seq) {
            return;
        }
        on.mirrored.push_back(entry.seq);
        if on.mirrored.len() > REMEMBERED {
            on.mirrored.pop_front();
        }
        match wire::decode::<Alert>(&entry.payload) {
            Ok(alert) => on.alert(&alert),
            Err(error) => tracing::error!(%error, seq = entry.seq, "an alert of the outbox cannot be mirrored"),
        }
    }

    /// The centre was told what a camera is doing.
    pub fn camera(&mut self, id: &CameraId, status: &CameraStatus) {
        let Some(on) = &mut self.0 else { return };
        if on.settings.json {
            on.say(Which::Json, on.topics.json_camera(id), &json::camera(id, status));
        }
        if let Some((topic, told)) = on.board.as_mut().and_then(|board| board.camera(id, status)) {
            on.say(Which::HomeAssistant, topic, &told);
        }
    }

    /// The centre was told how the box is.
    pub fn health(&mut self, report: &HealthReport) {
        if let Some(on) = self.0.as_mut().filter(|on| on.settings.json) {
            on.say(Which::Json, on.topics.json_health(), &json::health(report));
        }
    }

    /// Hands to `link` what waits and has room beside alerts.
    pub fn pump(&mut self, link: &mut Sender) {
        if let Some(on) = &mut self.0 {
            on.tray.pump(link, on.clock.monotonic(), &on.health.centre);
        }
    }

    /// Notes what the broker said to a mirrored message; what is to be written, where it may wait for the disk.
    #[must_use]
    pub fn published(&mut self, number: u64, taken: Taken) -> Option<Save> {
        let on = self.0.as_mut()?;
        let topic = on.tray.published(number, taken, on.clock.monotonic(), &on.health.centre)?;
        let board = on.board.as_ref().filter(|board| board.topic() == topic);
        on.book.holds(&topic, board.map(Board::components));
        on.book.save()
    }
}

impl On {
    fn alert(&mut self, alert: &Alert) {
        if self.settings.json {
            let shown = json::alert(alert, &self.settings.names);
            self.say(Which::Json, self.topics.json_alert(alert.severity), &shown);
        }
        if self.settings.onvif {
            for event in onvif::events(alert, &self.settings.names) {
                let topic = self.topics.onvif(event.what, &event.source.each_ref().map(String::as_str));
                self.put(Which::Onvif, topic, event.payload.into_bytes(), false);
            }
        }
        let camera = self.settings.names.cameras.get(&alert.camera);
        let told = self.board.as_mut().zip(camera).and_then(|(board, camera)| board.alert(camera, alert));
        if let Some((topic, told)) = told {
            self.say(Which::HomeAssistant, topic, &told);
        }
    }

    fn say(&mut self, which: Which, topic: String, what: &Value) {
        self.put(which, topic, what.to_string().into_bytes(), false);
    }

    fn put(&mut self, which: Which, topic: String, payload: Vec<u8>, retain: bool) {
        let now: Duration = self.clock.monotonic();
        self.tray.put(Post { which, topic, payload, retain }, now, &self.health.centre);
    }
}
