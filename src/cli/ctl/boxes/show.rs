//! The table of boxes, its last line, and the same for programs.

use serde_json::{Value, json};

use super::roster::{CameraRow, Row, State};
use crate::centre::wire::Wire as _;
use crate::cli::ctl::printable;
use crate::cli::ctl::table::duration;
use crate::domain::{ClockState, TimeMs};
use crate::health::Decoding;

const TITLES: [&str; 10] =
    ["BOX", "SITE", "STATE", "SINCE", "VERSION", "CAMERAS", "OUTBOX", "CLOCK", "DISK FREE", "LAST ALERT"];

/// How the table is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Boxes without an answer in red.
    pub(super) colour: bool,
    /// A line for each camera.
    pub(super) cameras: bool,
}

/// Titles, a line for each box, and under it what is wrong with it.
pub(super) fn table(rows: &[Row], now: TimeMs, how: How) -> String {
    let cells: Vec<[String; 10]> = rows.iter().map(|row| cells(row, now)).collect();
    let mut widths = TITLES.map(|t| t.chars().count());
    for line in &cells {
        widths.iter_mut().zip(line).for_each(|(w, cell)| *w = (*w).max(cell.chars().count()));
    }
    let line = |cells: &[String; 10]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut lines = vec![line(&TITLES.map(str::to_owned))];
    for (row, cells) in rows.iter().zip(&cells) {
        match (how.colour, row.state) {
            (true, State::Offline | State::Silent | State::Unheard) => {
                lines.push(format!("\x1b[31m{}\x1b[0m\n", line(cells).trim_end()));
            }
            _ => lines.push(line(cells)),
        }
        if how.cameras {
            lines.extend(row.cameras.iter().map(|camera| camera_line(camera, now)));
        }
        lines.extend(row.troubles.iter().map(|trouble| format!("    ! {}\n", printable(trouble))));
    }
    lines.concat()
}

fn cells(row: &Row, now: TimeMs) -> [String; 10] {
    let none = || "–".to_owned();
    let since = match (row.state, &row.status) {
        (State::Online | State::Silent | State::Stopped, Some(status)) => duration(now.since(status.time)),
        // When it went is not known: the last will is signed at the session's begin.
        (State::Offline, _) => row.seen.map_or_else(none, |t| format!("~{}", duration(now.since(t)))),
        _ => none(),
    };
    let (total, online, _) = row.camera_counts();
    let cameras = match row.state {
        _ if total == 0 => none(),
        State::Online | State::Silent => format!("{online}/{total}"),
        _ => format!("–/{total}"),
    };
    let health = row.health.as_deref();
    let outbox = health.map_or_else(none, |h| match h.outbox.entries {
        0 => "0".to_owned(),
        entries => format!("{entries}, {}", duration(h.outbox.oldest_ms)),
    });
    let clock = row.clock().map_or_else(none, |clock| match row.skew_ms {
        Some(skew) if skew.abs() >= 2_000 => format!("{} {:+} s", clock_word(clock), skew / 1_000),
        _ => clock_word(clock).to_owned(),
    });
    let per_cent = |h: &crate::centre::wire::HealthReport| (h.disk.free * 100).checked_div(h.disk.total);
    [
        row.id.to_string(),
        row.site.to_string(),
        row.state.as_str().to_owned(),
        since,
        row.status.as_ref().map_or_else(none, |s| printable(&s.software)),
        cameras,
        outbox,
        clock,
        health.and_then(per_cent).map_or_else(none, |p| format!("{p} %")),
        health.map_or_else(none, |h| match h.last_alert {
            Some(at) => format!("no. {}, {} ago", h.last_seq, duration(now.since(at))),
            None if h.last_seq > 0 => format!("no. {}", h.last_seq),
            None => none(),
        }),
    ]
}

/// What a camera said last: state, frames a second, age of its newest frame, place.
fn camera_line(camera: &CameraRow, now: TimeMs) -> String {
    let status = &camera.status;
    let state = if camera.gone { "gone" } else { status.state.as_str() };
    let mut parts = Vec::new();
    if let Some([received, analysed, dropped]) = status.rates {
        let fps = |hundredths: u32| f64::from(hundredths) / 100.0;
        parts.push(format!("{:.1}/{:.1}/{:.1} fps", fps(received), fps(analysed), fps(dropped)));
        // What is not analysed then is not missing: nothing moved.
        parts.extend(status.rested_rate.filter(|r| *r > 0).map(|rested| format!("rests on {:.1}", fps(rested))));
    }
    // So are the few frames of a camera that is idle.
    parts.extend(status.decoding.filter(|d| *d == Decoding::KeyFrames.number()).map(|_| "idle".to_owned()));
    parts.extend(status.last_frame.map(|t| format!("last frame {} ago", duration(now.since(t)))));
    if let Some([lat, lon]) = status.location {
        parts.push(format!("{:.5},{:.5}", f64::from(lat) / 1e7, f64::from(lon) / 1e7));
    }
    parts.extend(status.heading.map(|heading| format!("looks {heading}°")));
    parts.extend(status.road.as_deref().map(printable));
    format!("    {:>5} {:<16}  {state:<8}  {}", status.number, camera.id.as_str(), parts.join(", "))
        .trim_end()
        .to_owned()
        + "\n"
}

/// One object for a box.
pub(super) fn json(row: &Row) -> Value {
    let (total, online, disabled) = row.camera_counts();
    let camera = |c: &CameraRow| {
        let mut told = c.status.to_json();
        if let Some(map) = told.as_object_mut() {
            map.insert("id".to_owned(), json!(c.id.as_str()));
            map.insert("gone".to_owned(), json!(c.gone));
        }
        told
    };
    json!({
        "kind": "box",
        "id": row.id.as_str(),
        "site": row.site.as_str(),
        "state": row.state.as_str(),
        "wrong": !row.troubles.is_empty(),
        "troubles": row.troubles,
        "since": row.status.as_ref().map(|s| s.time.to_string()),
        "seen": row.seen.map(|t| t.to_string()),
        "software": row.status.as_ref().map(|s| &s.software),
        "clock": row.clock().map(clock_word),
        "skew_ms": row.skew_ms,
        "cameras": { "total": total, "online": online, "disabled": disabled },
        "camera_status": row.cameras.iter().map(camera).collect::<Vec<_>>(),
        "health": row.health.as_ref().map(|h| h.to_json()),
    })
}

/// What the rows come to.
#[derive(Debug)]
pub(super) struct Total<'a> {
    pub(super) rows: &'a [Row],
    /// Boxes that the registry does not know.
    pub(super) strangers: Vec<String>,
}

impl Total<'_> {
    /// Whether all is well.
    pub(super) fn is_well(&self) -> bool {
        self.strangers.is_empty() && self.rows.iter().all(|row| row.troubles.is_empty())
    }

    fn in_state(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    /// Boxes of which nothing came that they were asked for.
    fn without_answer(&self) -> Vec<&str> {
        let silent = |row: &&Row| matches!(row.state, State::Silent | State::Unheard | State::Offline);
        self.rows.iter().filter(silent).map(|row| row.id.as_str()).collect()
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let states: Vec<String> = State::ALL
            .into_iter()
            .filter(|state| self.in_state(*state) > 0)
            .map(|state| format!("{} {}", self.in_state(state), state.as_str()))
            .collect();
        let live = |row: &&Row| matches!(row.state, State::Online | State::Silent);
        let counts = self.rows.iter().filter(live).map(Row::camera_counts);
        let (total, online) = counts.fold((0, 0), |(total, online), (t, o, _)| (total + t, online + o));
        let wrong = self.rows.iter().filter(|row| !row.troubles.is_empty()).count();
        let mut lines = vec![format!(
            "{} boxes: {}; {online} of their {total} cameras online; something wrong at {wrong}\n",
            self.rows.len(),
            if states.is_empty() { "none".to_owned() } else { states.join(", ") },
        )];
        let without = self.without_answer();
        if !without.is_empty() {
            lines.push(format!("no answer from: {}\n", without.join(", ")));
        }
        if !self.strangers.is_empty() {
            let names: Vec<String> = self.strangers.iter().map(|name| printable(name)).collect();
            lines.push(format!("not in the registry of boxes, and not believed: {}\n", names.join(", ")));
        }
        lines.concat()
    }

    /// One object for programs.
    pub(super) fn json(&self) -> Value {
        let states: serde_json::Map<String, Value> =
            State::ALL.into_iter().map(|s| (s.as_str().to_owned(), json!(self.in_state(s)))).collect();
        json!({
            "kind": "summary",
            "boxes": self.rows.len(),
            "states": states,
            "wrong": self.rows.iter().filter(|row| !row.troubles.is_empty()).count(),
            "no_answer": self.without_answer(),
            "not_in_registry": self.strangers,
        })
    }
}

fn clock_word(clock: ClockState) -> &'static str {
    match clock {
        ClockState::Synced => "synced",
        ClockState::Holdover => "holdover",
        ClockState::Unset => "unset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::wire::CameraStatus;
    use crate::domain::CameraId;
    use crate::health::{CameraCounters, CameraState};

    #[test]
    fn a_camera_that_rests_says_so_beside_the_frames_that_it_leaves_out() {
        let (counters, now) = (CameraCounters::default(), TimeMs(1_772_366_400_000));
        counters.set_state(CameraState::Online);
        let before = CameraStatus::of(7, &counters, TimeMs(now.0 - 10_000));
        let line = || {
            let status = CameraStatus::of(7, &counters, now).since(&before);
            camera_line(&CameraRow { id: CameraId::new("gate").unwrap(), status, gone: false }, now)
        };
        counters.received.add(250);
        counters.analysed.add(250);
        assert!(line().ends_with("25.0/25.0/0.0 fps\n"), "{}", line());
        counters.received.add(250);
        counters.rested.add(250);
        assert!(line().ends_with("50.0/25.0/0.0 fps, rests on 25.0\n"), "{}", line());
    }
}
