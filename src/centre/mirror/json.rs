//! Alerts, states of cameras and health as plain JSON, for dashboards: the fields of `watchpost decode` that may be shown.
//!
//! What may be shown is listed, so that a field that messages get later is not shown before somebody decides so. Left out on
//! purpose: other texts that a plate may be, digests and challenges, what lists hold and who has seen what; of a person
//! whatever says where in the picture and on which track; of a withdrawn hit everything about the vehicle.

use serde_json::{Map, Value, json};

use super::Names;
use crate::centre::wire::{CameraStatus, HealthReport, Wire as _};
use crate::domain::{Alert, CameraId, Class, ListId};

/// What is shown of every alert.
const ALERT: &[&str] = &[
    "kind",
    "version",
    "id",
    "epoch",
    "seq",
    "stage",
    "severity",
    "time",
    "time_ms",
    "clock",
    "camera",
    "match",
    "rule",
    "withdrawn",
];
/// What is shown beside of one that is about a vehicle, and holds.
const VEHICLE: &[&str] = &["track", "plate", "confidence", "region", "vehicle", "direction", "box", "frames"];
/// What is shown beside of one that is about a person.
const PERSON: &[&str] = &["vehicle"];
const CAMERA: &[&str] = &[
    "kind",
    "version",
    "state",
    "reason",
    "number",
    "location",
    "heading",
    "road",
    "frames",
    "fps",
    "decoding",
    "last_frame",
    "time",
    "time_ms",
];
const HEALTH: &[&str] = &[
    "kind",
    "version",
    "time",
    "time_ms",
    "clock",
    "software",
    "boot",
    "uptime_s",
    "last_seq",
    "outbox",
    "disk",
    "delivery",
    "shed",
    "store_faults",
    "pictures_lost",
    "process",
    "memory",
    "parts",
    "fault",
    "last_alert",
    "clips",
    "second_looks",
    "workers_lost",
    "link",
];
const HEALTH_CAMERA: &[&str] = &[
    "id",
    "state",
    "received",
    "analysed",
    "dropped",
    "thinned",
    "rested",
    "skipped",
    "unanalysed",
    "damaged",
    "unreadable",
    "opened",
    "failed",
    "reads",
    "unread",
    "hits",
    "lost",
    "frame_age_ms",
];

/// Whether an alert is about a person.
pub(super) fn is_of_person(alert: &Alert) -> bool {
    alert.vehicle.as_ref().is_some_and(|vehicle| vehicle.class == Class::Person)
}

/// An alert.
pub(super) fn alert(alert: &Alert, names: &Names) -> Value {
    let whole = alert.to_json();
    let mut shown = picked(&whole, ALERT);
    if is_of_person(alert) {
        shown.extend(picked(&whole, PERSON));
    } else if !alert.is_withdrawn() {
        shown.extend(picked(&whole, VEHICLE));
    }
    let mut called = Map::new();
    let mut call = |what: &str, name: Option<&str>| {
        if let Some(name) = name {
            called.insert(what.to_owned(), json!(name));
        }
    };
    call("camera", names.cameras.get(&alert.camera).map(CameraId::as_str));
    call("rule", alert.rule.and_then(|number| names.rules.get(&number)).map(|rule| rule.id.as_str()));
    call("list", alert.matched.as_ref().and_then(|mark| names.lists.get(&mark.list)).map(ListId::as_str));
    shown.insert("names".to_owned(), Value::Object(called));
    Value::Object(shown)
}

/// What a camera is doing.
pub(super) fn camera(id: &CameraId, status: &CameraStatus) -> Value {
    let mut shown = picked(&status.to_json(), CAMERA);
    shown.insert("names".to_owned(), json!({ "camera": id.as_str() }));
    Value::Object(shown)
}

/// How the box is.
pub(super) fn health(report: &HealthReport) -> Value {
    let whole = report.to_json();
    let mut shown = picked(&whole, HEALTH);
    let cameras = whole.get("cameras").and_then(Value::as_array).into_iter().flatten();
    shown.insert("cameras".to_owned(), cameras.map(|one| Value::Object(picked(one, HEALTH_CAMERA))).collect());
    Value::Object(shown)
}

fn picked(whole: &Value, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), whole.get(key)?.clone()))).collect()
}
