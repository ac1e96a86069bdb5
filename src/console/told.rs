//! What the page is told of the box: cameras, health, outbox, audit head, and what is known to be wrong.

use serde_json::{Value, json};

use super::guard::ALONE;
use super::metrics::gives_frames;
use super::route::Shared;
use crate::centre::wire::{HealthReport, Wire as _};
use crate::config::{Camera, Config};
use crate::domain::{Purpose, Way};
use crate::health::{CameraState, Health};

/// Pixels of a plate's width from which nine in ten are read, of the shipped reader (`docs/models.md`).
const GOOD_PLATE_WIDTH: f32 = 60.0;

/// Everything that changes.
pub(super) fn state(shared: &Shared) -> Value {
    let report = shared.door.report();
    let mut health = report.to_json();
    if let Some(map) = health.as_object_mut() {
        // It is for who signs commands.
        map.remove("challenge");
    }
    json!({
        "box": shared.config.site.id.to_string(),
        "site": shared.config.site.site.to_string(),
        "cameras": cameras(&shared.config, &shared.health, &report),
        "waiting": shared.door.waiting(),
        "connected": shared.health.centre.connected.load(std::sync::atomic::Ordering::Relaxed) == 1,
        "centre": shared.config.centre.is_some(),
        "causes": causes(shared, &report),
        "health": health,
    })
}

/// What does not change while the daemon runs.
pub(super) fn fixed(shared: &Shared) -> Value {
    let cameras: Vec<Value> = shared.config.cameras.iter().map(drawn).collect();
    let purposes: Vec<String> = Purpose::ALL.iter().map(ToString::to_string).collect();
    json!({
        "purposes": purposes,
        "reads": shared.door.reads().err(),
        "cameras": cameras,
        "alone_s": ALONE.as_secs(),
        "hides_persons": shared.config.vision.vehicles.is_some(),
        "min_plate_width": shared.min_plate_width,
        "good_plate_width": GOOD_PLATE_WIDTH,
    })
}

fn state_words(state: &CameraState) -> (&'static str, Option<&str>) {
    match state {
        CameraState::Starting => ("starting", None),
        CameraState::Online => ("online", None),
        CameraState::Offline(why) => ("offline", Some(why)),
        CameraState::Degraded(why) => ("degraded", Some(why)),
        CameraState::Ended => ("ended", None),
        CameraState::Disabled => ("disabled", None),
        CameraState::Paused(why) => ("paused", Some(why)),
    }
}

fn cameras(config: &Config, health: &Health, report: &HealthReport) -> Vec<Value> {
    let all = health.cameras();
    let told = |camera: &Camera| {
        let counters = all.iter().find(|(id, _)| *id == camera.id).map(|(_, counters)| counters);
        let state = counters.map(|c| c.state()).unwrap_or_default();
        let (word, why) = state_words(&state);
        let gauge = report.cameras.iter().find(|c| c.id == camera.id);
        json!({
            "id": camera.id.to_string(),
            "number": camera.number,
            "road": camera.road,
            "state": word,
            "why": why,
            "received": counters.map(|c| c.received.get()),
            "analysed": counters.map(|c| c.analysed.get()),
            "rested": counters.map(|c| c.rested.get()),
            "dropped": counters.map(|c| c.dropped.get()),
            "reads": counters.map(|c| c.reads.get()),
            "unread": counters.map(|c| c.unread.get()),
            "hits": counters.map(|c| c.hits.get()),
            "failed": counters.map(|c| c.failed.get()),
            "decoding": counters.map(|c| c.decoding().as_str()),
            "frame_age_ms": gauge.and_then(|g| g.frame_age_ms),
        })
    };
    config.cameras.iter().map(told).collect()
}

/// What a camera's picture is divided into.
fn drawn(camera: &Camera) -> Value {
    let zones = camera.zones.iter().map(
        |zone| json!({ "name": zone.name.to_string(), "points": zone.polygon.points(), "direction": zone.heading }),
    );
    let lines = camera.lines.iter().map(|line| {
        json!({ "name": line.name.to_string(), "points": [line.from, line.to], "direction": line.allowed.map(Way::as_str) })
    });
    json!({
        "id": camera.id.to_string(),
        "zones": zones.collect::<Vec<_>>(),
        "lines": lines.collect::<Vec<_>>(),
        "masks": camera.privacy_mask,
        "roi": camera.roi,
    })
}

/// What is known to be wrong, each with what to do: the worst first.
fn causes(shared: &Shared, report: &HealthReport) -> Vec<Value> {
    let mut found = Vec::new();
    let mut tell = |level: &str, about: String, what: String, hint: String| {
        found.push(json!({ "level": level, "about": about, "what": what, "do": hint }));
    };
    if let Err(why) = shared.door.well() {
        tell("failure", "daemon".into(), why, "look into the log: journalctl -u watchpost".into());
    }
    for (id, counters) in shared.health.cameras() {
        let hint = format!("watchpost doctor {id}");
        match counters.state() {
            CameraState::Offline(why) => tell(
                "failure",
                id.to_string(),
                why,
                "watchpost check, then the camera's cable, address and password".to_owned(),
            ),
            CameraState::Degraded(why) => tell("warning", id.to_string(), why, hint),
            _ => {
                let (reads, unread) = (counters.reads.get(), counters.unread.get());
                if unread >= 5 && unread > reads {
                    let what = format!("{unread} vehicles passed unread, {reads} were read");
                    tell("warning", id.to_string(), what, hint);
                }
            }
        }
    }
    if let Some(fault) = &report.fault {
        tell("warning", "centre".into(), fault.clone(), "watchpost check".into());
    }
    for list in report.lists.iter().filter(|list| list.stale || list.fault.is_some()) {
        let what = list.fault.clone().unwrap_or_else(|| "is past its freshness".to_owned());
        tell("warning", format!("hotlist {}", list.id), what, "have the centre send a newer one".into());
    }
    if report.clock == crate::domain::ClockState::Unset {
        let what = "the clock is not set: times of sightings cannot be believed".to_owned();
        tell("warning", "clock".into(), what, "start time synchronisation: timedatectl".into());
    }
    found
}

/// What `/healthz` says: whether the box does its work, and a few words.
pub(super) fn healthz(shared: &Shared) -> Result<String, String> {
    shared.door.well().map_err(|_| "failing: a vital part of the daemon has failed".to_owned())?;
    let known = shared.health.cameras();
    let wanted = |camera: &&Camera| {
        let state = known.iter().find(|(id, _)| *id == camera.id).map(|(_, c)| c.state());
        camera.enabled && !matches!(state, Some(CameraState::Paused(_)))
    };
    let wanted: Vec<&Camera> = shared.config.cameras.iter().filter(wanted).collect();
    let gives = |camera: &&&Camera| known.iter().any(|(id, c)| *id == camera.id && gives_frames(&c.state()));
    let (all, good) = (wanted.len(), wanted.iter().filter(gives).count());
    let words = format!("{good} of {all} cameras give pictures");
    if all > 0 && good == 0 { Err(format!("failing: {words}")) } else { Ok(format!("ok: {words}")) }
}
