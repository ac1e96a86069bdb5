//! What is known of each box: collected from its messages, then judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::centre::boxes::Boxes;
use crate::centre::topics::{self, Address, Kind};
use crate::centre::wire::{self, BoxState, CameraStatus, HealthReport, Link, Message, Status};
use crate::cli::ctl::table::duration;
use crate::domain::{BoxId, CameraId, ClockState, SiteId, TimeMs};

/// Alerts that wait for longer are told as something wrong.
const WAITS_TOO_LONG_MS: u64 = 300_000;
/// A clock that differs by more is told as something wrong.
const SKEW_MS: u64 = 5_000;
/// Less of a disk than this, in per cent, is too little.
const DISK_PER_CENT: u64 = 5;
/// As many cameras as a health message can list.
const HEALTH_CAMERAS: usize = 64;

/// What came from one box.
#[derive(Debug, Default)]
struct Heard {
    status: Option<Status>,
    cameras: BTreeMap<CameraId, CameraStatus>,
    /// With the time at which it arrived.
    health: Option<(Box<HealthReport>, TimeMs)>,
    refused: Vec<String>,
}

/// All boxes that were asked for.
#[derive(Debug)]
pub(super) struct Roster {
    root: String,
    boxes: BTreeMap<(SiteId, BoxId), Heard>,
    /// Topics of boxes that the registry does not know, without what follows the box.
    strangers: BTreeSet<String>,
}

/// What a box is doing, as far as the broker and the box itself tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum State {
    /// It has a session, and told its health when that was waited for.
    Online,
    /// Its status says online, and no health came.
    Silent,
    /// Its session broke: the broker published its last will.
    Offline,
    /// It was stopped in order.
    Stopped,
    /// The broker has no status of it that can be believed.
    Unheard,
}

impl State {
    pub(super) const ALL: [Self; 5] = [Self::Online, Self::Silent, Self::Offline, Self::Stopped, Self::Unheard];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Silent => "silent",
            Self::Offline => "offline",
            Self::Stopped => "stopped",
            Self::Unheard => "unheard",
        }
    }
}

/// A camera of a box.
#[derive(Debug)]
pub(super) struct CameraRow {
    pub(super) id: CameraId,
    pub(super) status: CameraStatus,
    /// Told in an earlier session, and not since: it is not configured any more.
    pub(super) gone: bool,
}

/// What is known of one box.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) site: SiteId,
    pub(super) id: BoxId,
    pub(super) state: State,
    pub(super) status: Option<Status>,
    pub(super) health: Option<Box<HealthReport>>,
    /// The box's clock less ours, when its health came, ms.
    pub(super) skew_ms: Option<i64>,
    /// The newest time in any of its messages.
    pub(super) seen: Option<TimeMs>,
    pub(super) cameras: Vec<CameraRow>,
    pub(super) troubles: Vec<String>,
}

impl Roster {
    /// The boxes of the registry that are asked for; messages come under `root`.
    pub(super) fn new(root: &str, boxes: &Boxes, wanted: impl Fn(&SiteId, &BoxId) -> bool) -> Self {
        let boxes = boxes
            .iter()
            .filter(|(id, known)| wanted(&known.site, id))
            .map(|(id, known)| ((known.site.clone(), id.clone()), Heard::default()))
            .collect();
        Self { root: root.to_owned(), boxes, strangers: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// Boxes that the registry does not know and that speak under the root.
    pub(super) fn strangers(&self) -> &BTreeSet<String> {
        &self.strangers
    }

    /// Takes in a message of a box.
    pub(super) fn take(&mut self, from: Address, message: Message, at: TimeMs) {
        let Some(heard) = self.boxes.get_mut(&(from.site, from.box_id)) else { return };
        match (message, from.kind) {
            (Message::Status(status), _) => heard.status = Some(status),
            (Message::Camera(status), Kind::CameraStatus(camera)) => {
                heard.cameras.insert(camera, status);
            }
            (Message::Health(report), _) => heard.health = Some((report, at)),
            _ => {}
        }
    }

    /// Takes in a message that was not believed.
    pub(super) fn refuse(&mut self, topic: &str, reason: &wire::Error) {
        let from = topics::parse(&self.root, topic).ok();
        let known = from.and_then(|from| Some((self.boxes.get_mut(&(from.site, from.box_id))?, from.kind)));
        let Some((heard, kind)) = known else {
            let below = topic.strip_prefix(&self.root).map_or(topic, |rest| rest.trim_start_matches('/'));
            let name: Vec<&str> = below.split('/').take(2).collect();
            self.strangers.insert(name.join("/"));
            return;
        };
        let text = format!("its {kind} is not believed: {reason}");
        // A refusal of the same message again is no news.
        if !heard.refused.contains(&text) {
            heard.refused.push(text);
        }
    }

    /// How many boxes say that they are online and have not told their health yet.
    pub(super) fn awaited(&self) -> usize {
        let awaits = |heard: &&Heard| {
            heard.health.is_none() && heard.status.as_ref().is_some_and(|s| s.state == BoxState::Online)
        };
        self.boxes.values().filter(awaits).count()
    }

    /// Judges what came; `waited`: for the health of those that are online, in seconds, when it was waited for at all.
    pub(super) fn rows(self, waited: Option<u64>, now: TimeMs) -> Vec<Row> {
        self.boxes.into_iter().map(|((site, id), heard)| Row::of(site, id, heard, waited, now)).collect()
    }
}

impl Row {
    fn of(site: SiteId, id: BoxId, heard: Heard, waited: Option<u64>, now: TimeMs) -> Self {
        let Heard { status, cameras, health, refused } = heard;
        // A report that was signed before the session ended may come after the word of its end.
        let lives = |s: &Status| health.as_ref().is_some_and(|(h, _)| h.time > s.time);
        let state = match status.as_ref().map(|s| (s.state, lives(s))) {
            None => State::Unheard,
            Some((BoxState::Online, _)) if health.is_none() && waited.is_some() => State::Silent,
            // Its health comes: the last will of an earlier session came late.
            Some((BoxState::Online, _) | (BoxState::Offline, true)) => State::Online,
            Some((BoxState::Offline, false)) => State::Offline,
            Some((BoxState::Stopped, _)) => State::Stopped,
        };
        let times = status.iter().map(|s| s.time).chain(cameras.values().map(|c| c.time));
        let seen = times.chain(health.iter().map(|(h, _)| h.time)).max();
        let cameras = camera_rows(cameras, status.as_ref(), health.as_ref().map(|(h, _)| h.as_ref()));
        let skew_ms =
            health.as_ref().and_then(|(h, at)| Some(i64::try_from(h.time.0).ok()? - i64::try_from(at.0).ok()?));
        let health = health.map(|(h, _)| h);
        let mut row = Self { site, id, state, status, health, skew_ms, seen, cameras, troubles: refused };
        row.judge(waited, now);
        row
    }

    /// Cameras that count, and how many of them are online and switched off.
    pub(super) fn camera_counts(&self) -> (usize, usize, usize) {
        let there = || self.cameras.iter().filter(|c| !c.gone);
        let count = |link| there().filter(|c| c.status.state == link).count();
        (there().count() - count(Link::Disabled), count(Link::Online), count(Link::Disabled))
    }

    pub(super) fn clock(&self) -> Option<ClockState> {
        self.health.as_ref().map(|h| h.clock).or(self.status.as_ref().map(|s| s.clock))
    }

    fn judge(&mut self, waited: Option<u64>, now: TimeMs) {
        let ago = self.seen.map_or_else(|| "nothing".to_owned(), |t| format!("{} ago", duration(now.since(t))));
        let word = match self.state {
            State::Online => None,
            State::Silent => {
                Some(format!("says it is online, and told no health within {} s", waited.unwrap_or_default()))
            }
            State::Offline => Some(format!("its connection broke; last word {ago}")),
            State::Stopped => Some(format!("stopped in order {ago}")),
            State::Unheard if !self.troubles.is_empty() => None,
            State::Unheard => Some("the broker has no status of it that can be believed".to_owned()),
        };
        let mut troubles: Vec<String> = word.into_iter().collect();
        if matches!(self.state, State::Online | State::Silent) {
            for camera in self.cameras.iter().filter(|c| !c.gone) {
                if matches!(camera.status.state, Link::Offline | Link::Degraded) {
                    let why = camera.status.reason.as_deref().map_or_else(String::new, |why| format!(": {why}"));
                    let (number, state) = (camera.status.number, camera.status.state.as_str());
                    troubles.push(format!("camera {number} {} {state}{why}", camera.id));
                }
            }
        }
        if let Some(health) = &self.health {
            troubles.extend(of_health(health));
        }
        if let Some(skew) = self.skew_ms.filter(|skew| skew.unsigned_abs() > SKEW_MS) {
            let way = if skew < 0 { "behind" } else { "ahead of" };
            troubles.push(format!("its clock is {} {way} ours", duration(skew.unsigned_abs())));
        }
        if self.clock() == Some(ClockState::Unset) {
            troubles.push("its clock was never set since it started".to_owned());
        }
        self.troubles.splice(0..0, troubles);
    }
}

fn of_health(health: &HealthReport) -> Vec<String> {
    let mut troubles = Vec::new();
    let (outbox, held) = (health.outbox, health.link.map_or(0, |link| link.held));
    if held > 0 {
        troubles.push(format!("{held} alerts wait for the budget of its link"));
    }
    // The oldest may be one that is held back: then its age says nothing of the centre.
    if held == 0 && outbox.entries > 0 && outbox.oldest_ms > WAITS_TOO_LONG_MS {
        let oldest = duration(outbox.oldest_ms);
        troubles.push(format!("{} alerts wait for an ack, the oldest for {oldest}", outbox.entries));
    }
    if health.disk.total > 0 && health.disk.free < health.disk.total / 100 * DISK_PER_CENT {
        troubles.push(format!("its disk is full: {} MiB are free", health.disk.free >> 20));
    }
    if health.shed > 0 {
        troubles.push(format!("shed {} alerts from a full outbox since it started", health.shed));
    }
    if health.store_faults > 0 {
        troubles.push(format!("its store failed {} times since it started", health.store_faults));
    }
    for list in &health.lists {
        match &list.fault {
            Some(fault) => troubles.push(format!("list {} {} refused: {fault}", list.number, list.id)),
            None if list.stale => troubles.push(format!("list {} {} is past its freshness", list.number, list.id)),
            None => {}
        }
    }
    troubles.extend(health.keeping.iter().flat_map(|keeping| keeping.troubles(health.time)));
    troubles.extend(health.fault.iter().map(|fault| format!("delivery: {fault}")));
    troubles
}

/// Retained words of cameras stay with the broker when the camera is taken out of the configuration: those that this
/// session did not tell are gone.
fn camera_rows(
    cameras: BTreeMap<CameraId, CameraStatus>,
    status: Option<&Status>,
    health: Option<&HealthReport>,
) -> Vec<CameraRow> {
    let listed = health.filter(|h| h.cameras.len() < HEALTH_CAMERAS).map(|h| {
        let ids: BTreeSet<&CameraId> = h.cameras.iter().map(|c| &c.id).collect();
        ids
    });
    let began = status.filter(|s| s.state == BoxState::Online).map(|s| s.time);
    cameras
        .into_iter()
        .map(|(id, status)| {
            let gone = match &listed {
                Some(ids) => !ids.contains(&id),
                None => began.is_some_and(|began| status.time < began),
            };
            CameraRow { id, status, gone }
        })
        .collect()
}
