//! Numbered hits without a camera: what the fault campaign (`tests/campaign`) feeds a real daemon with.
//!
//! Built with the feature `testkit` alone, never in a product, and asleep unless the environment variable [`ORDER`] asks
//! for it. A thread makes sightings at a steady rate, whose plates stand on the configured hotlists; from there on they
//! take the way of every camera's: matcher, recorder, store, outbox, session. A hit's number is its alert's track.
//!
//! The wall clock can be made to go wrong as well ([`clock`]), threads can be made to hang ([`WEDGE`]), and what is counted
//! of cameras can be had five times a second ([`COUNTS`]), since health says it every half minute.
//!
//! What happens is announced in a file that outlives the process, one line at a time and in order: `life <epoch>`,
//! `fed <number>` before a hit is handed over, `committed <number> <seq>` when its commit is durable and never before.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::told::Told;
use crate::centre::wire::Link;
use crate::clock::{Clock, TimeSource};
use crate::domain::{
    CameraId, Candidate, Class, ClockState, Epoch, EventId, Footage, Lattice, Media, Pictures, PlateRead, PlateText,
    Sighting, SightingEvent, Stage, TimeMs,
};
use crate::health::Health;
use crate::hotlist::Hotlists;
use crate::shutdown::Shutdown;
use crate::store::{Attached, AttachedKind, Commit, Entry, RecorderHandle};

/// Environment variable with an [`Order`] as JSON.
pub const ORDER: &str = "WATCHPOST_TESTKIT_FEED";
/// Environment variable that names a file which says how the wall clock goes: `<ms to add> <state>`, or `=<ms> <state>`
/// for one that stands still.
pub const CLOCK: &str = "WATCHPOST_TESTKIT_CLOCK";
/// Environment variable that names a file to which a line a camera is appended every [`COUNT_EVERY`]: `<ms> <id>
/// <online, offline, …> <received> <analysed> <rested> <dropped> <damaged> <opened> <failed> <reason>`, as its status would say it.
pub const COUNTS: &str = "WATCHPOST_TESTKIT_COUNTS";
/// How often cameras are looked at.
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// Environment variable that names a folder: a thread whose name is there as a file hangs as long as the file is.
pub const WEDGE: &str = "WATCHPOST_TESTKIT_WEDGE";
/// Environment variable with a number: silences of threads are counted so many times faster.
pub const HURRY: &str = "WATCHPOST_TESTKIT_HURRY";
/// See [`Order::ahead`].
pub const AHEAD_PER_SECOND: u32 = 1_000;
/// Environment variable with seconds: how often days that were kept long enough are looked for.
pub const SWEEP: &str = "WATCHPOST_TESTKIT_SWEEP";
/// How many different plates there are.
pub const PLATES: u32 = 1_000;
/// Every so many hits has a picture.
const PICTURE_EVERY: u32 = 16;
/// The camera.
const FEED: &str = "feed";
/// How long the storing of a clip may take.
const CLIP_WITHIN: Duration = Duration::from_secs(10);
/// The camera's number in alerts.
const CAMERA: u16 = 9_999;

/// What is to be fed.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Number of the first hit.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Before them so many reads that no list matches, at [`AHEAD_PER_SECOND`]: a box that has run for days.
    #[serde(default)]
    pub ahead: u32,
    /// How many sightings a second: hits, and the reads between them.
    pub per_second: u32,
    /// After each hit so many reads that no list matches. They have pictures, and no number.
    #[serde(default)]
    pub reads_between: u32,
    /// With each hit a clip of so many bytes; 0: none.
    #[serde(default)]
    pub clip_bytes: usize,
    /// The file that everything is announced in; lines are appended.
    pub announce: PathBuf,
}

impl Order {
    /// Hits alone, so many a second.
    #[must_use]
    pub fn hits(first: u32, count: u32, per_second: u32, announce: PathBuf) -> Self {
        Self { first, count, ahead: 0, per_second, reads_between: 0, clip_bytes: 0, announce }
    }
}

/// Hangs here, where the environment says so; see [`WEDGE`].
pub(super) fn wedge(thread: &str) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os(WEDGE).map(PathBuf::from));
    let Some(file) = folder.as_ref().map(|folder| folder.join(thread)) else { return };
    while file.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// See [`HURRY`].
pub(super) fn hurry() -> u32 {
    static TIMES: OnceLock<u32> = OnceLock::new();
    *TIMES.get_or_init(|| std::env::var(HURRY).ok().and_then(|times| times.parse().ok()).unwrap_or(1))
}

/// See [`SWEEP`].
pub(super) fn sweep_every() -> Option<Duration> {
    static EVERY: OnceLock<Option<Duration>> = OnceLock::new();
    *EVERY.get_or_init(|| std::env::var(SWEEP).ok().and_then(|s| s.parse().ok()).map(Duration::from_secs))
}

/// The plate of a number.
#[must_use]
pub fn plate(number: u32) -> String {
    format!("FEED{:04}", number % PLATES)
}

/// The feed of one life of the daemon; ends when dropped.
pub(super) struct Feed {
    order: Order,
    announcer: Arc<Announcer>,
    stop: Shutdown,
}

/// Says what was fed and what became durable.
pub(super) struct Announcer {
    file: File,
    /// Numbers that were handed over (none: a read without a hit), and how many alerts each makes, oldest first.
    waiting: Mutex<VecDeque<(Option<u32>, u64)>>,
}

impl Announcer {
    /// Called on the recorder's thread after each commit. Nobody else records while a daemon is fed.
    pub(super) fn committed(&self, commit: &Commit) {
        let mut seq = commit.last_seq.saturating_sub(commit.alerts);
        let mut lines = String::new();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, alerts) in (0..commit.entries).map_while(|_| waiting.pop_front()) {
            seq += alerts;
            let Some(number) = number else { continue };
            // 0: no list matched it, so there is no alert.
            let told = if alerts == 0 { 0 } else { seq };
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "committed {number} {told}");
        }
        drop(waiting);
        self.say(&lines);
    }

    /// One write: a line is there whole or not at all, whenever the process is killed.
    fn say(&self, lines: &str) {
        if let Err(error) = (&self.file).write_all(lines.as_bytes()) {
            tracing::error!(%error, "the campaign's file cannot be written");
        }
    }
}

impl Feed {
    /// The feed that the environment asks for.
    pub(super) fn asked(epoch: Epoch) -> anyhow::Result<Option<Self>> {
        let Ok(order) = std::env::var(ORDER) else { return Ok(None) };
        let order: Order = serde_json::from_str(&order).with_context(|| ORDER.to_owned())?;
        let file = OpenOptions::new().append(true).create(true).open(&order.announce);
        let file = file.with_context(|| order.announce.display().to_string())?;
        let announcer = Arc::new(Announcer { file, waiting: Mutex::default() });
        announcer.say(&format!("life {epoch}\n"));
        Ok(Some(Self { order, announcer, stop: Shutdown::new() }))
    }

    pub(super) fn announcer(&self) -> Arc<Announcer> {
        Arc::clone(&self.announcer)
    }

    /// Starts the thread `feed`. It is not waited for: with a disk that is full it waits for the recorder, whose end
    /// frees it.
    pub(super) fn start(&self, recorder: RecorderHandle, hotlists: Arc<Hotlists>, clock: Clock) -> std::io::Result<()> {
        let (order, announcer, stop) = (self.order.clone(), self.announcer(), self.stop.clone());
        let run = move || {
            let (begun, mut told) = (clock.monotonic(), Told::default());
            let of_hit = u64::from(order.reads_between) + 1;
            let at =
                |turns: u64, per_second: u32| Duration::from_micros(1_000_000 * turns / u64::from(per_second.max(1)));
            let ahead = u64::from(order.ahead);
            for turn in 0..ahead + u64::from(order.count) * of_hit {
                let since = turn.checked_sub(ahead);
                let due = at(turn.min(ahead), AHEAD_PER_SECOND) + at(since.unwrap_or(0), order.per_second);
                if stop.wait((begun + due).saturating_sub(clock.monotonic())) {
                    return;
                }
                let hit = since.filter(|since| since.is_multiple_of(of_hit));
                let hit = hit.and_then(|since| u32::try_from(since / of_hit).ok());
                let number = hit.map(|hit| order.first.saturating_add(hit));
                let Some(event) = event(number, turn, &clock) else { return };
                let id = event.sighting.id;
                let matches = event.sighting.read.as_ref();
                let matches = matches.map(|read| hotlists.matcher().matches(read, clock.utc())).unwrap_or_default();
                let hits = told.hits(&event, matches, Vec::new());
                let alerts = u64::try_from(hits.len()).unwrap_or(0);
                if let Some(number) = number {
                    announcer.say(&format!("fed {number}\n"));
                }
                announcer.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, alerts));
                if recorder.send(Entry { event, hits }).is_err() {
                    return;
                }
                if number.is_some() && order.clip_bytes > 0 {
                    attach(&recorder, id, order.clip_bytes, clock.utc());
                }
            }
        };
        std::thread::Builder::new().name("feed".to_owned()).spawn(run).map(drop)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

/// Stores a clip with a hit that was sent before; what became of it the log of the store says.
fn attach(recorder: &RecorderHandle, id: EventId, bytes: usize, at: TimeMs) {
    let Ok(camera) = CameraId::new(FEED) else { return };
    let about = Footage { camera, from: at, to: at, media: Media::Mp4, masked: false, note: None };
    let clip = Attached { id, what: AttachedKind::Clip, about, bytes: vec![7; bytes] };
    if let Err(error) = recorder.attach(&clip, CLIP_WITHIN) {
        tracing::error!(%error, "the campaign's clip is not stored");
    }
}

/// The `turn`-th sighting, as a camera would tell it when its plate was read: that of a number, or one that no list has.
fn event(number: Option<u32>, turn: u64, clock: &Clock) -> Option<SightingEvent> {
    let plate = number.map_or_else(|| format!("PASS{:04}", turn % u64::from(PLATES)), plate);
    let (now, text) = (clock.utc(), PlateText::from_raw(&plate)?);
    let mut random = [0; 10];
    let (head, tail) = random.split_at_mut(2);
    head.fill(u8::from(number.is_none()));
    tail.copy_from_slice(&number.map_or(turn, u64::from).to_be_bytes());
    let read = PlateRead {
        confidence: 0.95,
        char_confidences: vec![0.99; text.as_str().len()],
        candidates: vec![Candidate { text: text.clone(), confidence: 0.95 }],
        text,
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 9,
    };
    let sighting = Sighting {
        id: EventId::from_parts(now.0, random),
        camera: CameraId::new(FEED).ok()?,
        camera_number: CAMERA,
        track: number.unwrap_or(0),
        begin: now,
        end: now,
        clock: clock.state(),
        class: Class::Plate,
        vehicle: None,
        read: Some(read),
        rect: [0.1, 0.2, 0.3, 0.4],
        direction: None,
    };
    let has_pictures = number.is_none_or(|number| number.is_multiple_of(PICTURE_EVERY));
    let pictures = has_pictures.then(|| Pictures { crop: vec![1; 600], scene: vec![2; 2_000] });
    // A read without a hit is stored when its pass is over.
    let stage = if number.is_some() { Stage::New } else { Stage::End };
    Some(SightingEvent::new(stage, sighting, pictures, now))
}

/// Looks at the cameras; ends when dropped.
pub(super) struct Counts(Shutdown);

impl Counts {
    /// Starts the thread `counts`, where the environment asks for it.
    pub(super) fn asked(health: &Arc<Health>, clock: &Clock) -> std::io::Result<Option<Self>> {
        let Some(path) = std::env::var_os(COUNTS) else { return Ok(None) };
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let (health, clock, stop) = (Arc::clone(health), clock.clone(), Shutdown::new());
        let asked = stop.clone();
        let run = move || {
            while !asked.wait(COUNT_EVERY) {
                let (ms, mut lines) = (clock.monotonic().as_millis(), String::new());
                for (id, c) in health.cameras() {
                    let (link, reason) = Link::of(&c.state());
                    let counts = [&c.received, &c.analysed, &c.rested, &c.dropped, &c.damaged, &c.opened, &c.failed];
                    let counts = counts.map(|counter| counter.get().to_string()).join(" ");
                    // Writing to a String cannot fail.
                    let _ = writeln!(lines, "{ms} {id} {} {counts} {}", link.as_str(), reason.unwrap_or_default());
                }
                if file.write_all(lines.as_bytes()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("counts".to_owned()).spawn(run)?;
        Ok(Some(Self(stop)))
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

/// The system's clock, or one whose wall time goes as a file says.
pub fn clock() -> Clock {
    let file = std::env::var_os(CLOCK).map(PathBuf::from);
    file.map_or_else(Clock::system_known, |file| Clock::of(Arc::new(Wrong { file, right: Clock::system() })))
}

struct Wrong {
    file: PathBuf,
    right: Clock,
}

impl Wrong {
    /// What the file says; the right time when it says nothing that can be understood.
    fn told(&self) -> Option<(TimeMs, ClockState)> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        let (time, state) = text.trim().split_once(' ')?;
        let utc = match time.strip_prefix('=') {
            Some(still) => still.parse().ok()?,
            None => self.right.utc().0.saturating_add_signed(time.parse().ok()?),
        };
        let states = [ClockState::Synced, ClockState::Holdover, ClockState::Unset];
        Some((TimeMs(utc), states.into_iter().find(|known| known.as_str() == state)?))
    }
}

impl TimeSource for Wrong {
    fn utc(&self) -> TimeMs {
        self.told().map_or_else(|| self.right.utc(), |(utc, _)| utc)
    }

    fn monotonic(&self) -> Duration {
        self.right.monotonic()
    }

    fn state(&self) -> ClockState {
        self.told().map_or_else(|| self.right.state(), |(_, state)| state)
    }
}
