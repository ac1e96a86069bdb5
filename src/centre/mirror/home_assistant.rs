//! What Home Assistant's MQTT discovery is told: the box as one device with sensors for each camera.
//!
//! One retained message names device and sensors; a message a camera, not retained, has what the sensors show. Keys are the
//! short ones that Home Assistant takes (`stat_t` is its `state_topic`). A sensor that is gone is named once more by its
//! platform alone, which takes it out. Sensors expire, so a box that is silent is shown as unavailable.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::json::is_of_person;
use crate::centre::topics::HomeAssistantTopics;
use crate::centre::wire::CameraStatus;
use crate::domain::{Alert, BoxId, CameraId, Severity, TimeMs};

/// Most cameras that are told of: what fits into one message.
const MOST_CAMERAS: usize = 40;

/// How it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistant {
    /// Its topics.
    pub topics: HomeAssistantTopics,
    /// Whether it is told plates.
    pub plates: bool,
}

/// What is known of the cameras.
#[derive(Debug)]
pub(super) struct Board {
    settings: HomeAssistant,
    box_id: BoxId,
    cameras: BTreeMap<CameraId, Shown>,
}

/// What a camera's sensors show.
#[derive(Debug, Default)]
struct Shown {
    status: Option<(&'static str, Option<f64>)>,
    last: Option<(TimeMs, Severity, Option<String>)>,
}

impl Board {
    pub(super) fn new(settings: HomeAssistant, box_id: BoxId, cameras: impl Iterator<Item = CameraId>) -> Self {
        let cameras = cameras.take(MOST_CAMERAS).map(|id| (id, Shown::default())).collect();
        Self { settings, box_id, cameras }
    }

    /// Where the box is told of.
    pub(super) fn topic(&self) -> String {
        self.settings.topics.config()
    }

    /// The names of its sensors.
    pub(super) fn components(&self) -> Vec<String> {
        let what = ["state", "fps", "severity", "alert"].into_iter().chain(self.settings.plates.then_some("plate"));
        let what: Vec<&str> = what.collect();
        self.cameras.keys().flat_map(|id| what.iter().map(move |what| format!("{id}_{what}"))).collect()
    }

    /// The box with its sensors; `known` are those that Home Assistant may have of it from before.
    pub(super) fn config(&self, known: &[String]) -> Value {
        let mut sensors = Map::new();
        for gone in known {
            sensors.insert(gone.clone(), json!({ "p": "sensor" }));
        }
        for id in self.cameras.keys() {
            self.sensors_of(id, &mut sensors);
        }
        json!({
            "dev": {
                "ids": [format!("watchpost_{}", self.box_id)],
                "name": format!("Watchpost {}", self.box_id),
                "mf": "Watchpost",
                "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": { "name": "watchpost", "sw": env!("CARGO_PKG_VERSION") },
            "cmps": sensors,
            "qos": 0,
        })
    }

    fn sensors_of(&self, id: &CameraId, sensors: &mut Map<String, Value>) {
        // Cameras take turns with their numbers, one every ten seconds.
        let expires = 300 + 20 * self.cameras.len();
        let mut sensor = |what: &str, name: &str, more: Value| {
            let mut one = json!({
                "p": "sensor",
                "name": format!("{id} {name}"),
                "uniq_id": format!("watchpost_{}_{id}_{what}", self.box_id),
                "stat_t": self.settings.topics.camera(id),
                "val_tpl": format!("{{{{ value_json.{what} }}}}"),
                "exp_aft": expires,
            });
            if let (Some(map), Value::Object(more)) = (one.as_object_mut(), more) {
                map.extend(more);
            }
            sensors.insert(format!("{id}_{what}"), one);
        };
        let states = ["online", "offline", "degraded", "disabled"];
        sensor("state", "state", json!({ "dev_cla": "enum", "ops": states }));
        sensor("fps", "frames analysed", json!({ "unit_of_meas": "fps", "stat_cla": "measurement" }));
        sensor(
            "severity",
            "last alert's severity",
            json!({ "dev_cla": "enum", "ops": Severity::ALL.map(Severity::as_str) }),
        );
        sensor("alert", "last alert", json!({ "dev_cla": "timestamp" }));
        if self.settings.plates {
            sensor("plate", "last alert's plate", json!({}));
        }
    }

    /// Notes what a camera is doing; its message.
    pub(super) fn camera(&mut self, id: &CameraId, status: &CameraStatus) -> Option<(String, Value)> {
        let shown = self.cameras.get_mut(id)?;
        let fps = status.rates.map(|[_, analysed, _]| f64::from(analysed) / 100.0);
        shown.status = Some((status.state.as_str(), fps));
        self.message(id)
    }

    /// Notes an alert; its camera's message.
    pub(super) fn alert(&mut self, id: &CameraId, alert: &Alert) -> Option<(String, Value)> {
        let plates = self.settings.plates && !alert.is_withdrawn() && !is_of_person(alert);
        let shown = self.cameras.get_mut(id)?;
        if shown.last.as_ref().is_some_and(|(at, _, _)| *at > alert.time) {
            return None;
        }
        let plate = alert.plate.as_ref().filter(|_| plates).map(|plate| plate.as_str().to_owned());
        shown.last = Some((alert.time, alert.severity, plate));
        self.message(id)
    }

    fn message(&self, id: &CameraId) -> Option<(String, Value)> {
        let shown = self.cameras.get(id)?;
        let last = shown.last.as_ref();
        let mut told = json!({
            "state": shown.status.map(|(state, _)| state),
            "fps": shown.status.and_then(|(_, fps)| fps),
            "severity": last.map(|(_, severity, _)| severity.as_str()),
            "alert": last.map(|(at, _, _)| at.to_string()),
        });
        if let Some(map) = told.as_object_mut().filter(|_| self.settings.plates) {
            map.insert("plate".to_owned(), json!(last.and_then(|(_, _, plate)| plate.as_deref())));
        }
        Some((self.settings.topics.camera(id), told))
    }
}
