//! Counters that every room feeds and the health message reads. Every drop is counted here.
//!
//! Of the frames that a decoder gave, each is analysed, dropped, thinned, rested on or unanalysed; one may be under way.
//! What an idle camera sends and is not decoded is skipped, which is none of these.

pub mod pulse;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::domain::{CameraId, Class, EventId, ListId, PlaceId, TimeMs, Way};
use pulse::Pulses;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted of one camera.
#[derive(Debug, Default)]
pub struct CameraCounters {
    /// Frames that the decoder gave.
    pub received: Counter,
    /// Frames that were analysed.
    pub analysed: Counter,
    /// Frames that could not be analysed: a model failed on them.
    pub unanalysed: Counter,
    /// Frames replaced by a newer one before they were analysed, and pictures above the bound of rate, not decoded.
    pub dropped: Counter,
    /// Frames left out to keep the configured `fps`.
    pub thinned: Counter,
    /// Frames on which the motion gate rested: nothing in them had moved.
    pub rested: Counter,
    /// Coded pictures that were not decoded, since nothing moved. Not among those received.
    pub skipped: Counter,
    /// Pictures that were not whole: they came before the first key frame, or refer to what was lost on the way. Not
    /// among those received.
    pub damaged: Counter,
    /// Pictures of a folder that could not be read; each is named in the log.
    pub unreadable: Counter,
    /// Times the source was opened.
    pub opened: Counter,
    /// Times the source failed or stalled.
    pub failed: Counter,
    /// Plates read: sightings that ended with a read.
    pub reads: Counter,
    /// Tracks that ended without a read.
    pub unread: Counter,
    /// Hits.
    pub hits: Counter,
    /// Vehicles and persons that passed, in the order of [`Class::OBJECTS`].
    passed: [Counter; 5],
    crossings: Mutex<Vec<Crossings>>,
    /// Sightings that nobody could record: the recorder did not run.
    pub lost: Counter,
    /// Openings of the source that are being closed.
    pub closing: AtomicU64,
    /// UTC milliseconds of the newest frame, 0 before the first.
    pub last_frame_ms: AtomicU64,
    /// Bytes of coded pictures that are kept.
    pub ring_bytes: AtomicU64,
    decoding: AtomicU8,
    state: Mutex<CameraState>,
    worries: Mutex<Vec<(Worry, String)>>,
    /// What the camera showed when a worry began, by the id under which the picture is kept.
    views: Mutex<Vec<(Worry, EventId)>>,
    /// Of the main stream beside a substream.
    main: OnceLock<Arc<Self>>,
}

/// Objects that crossed a line, or came into a zone and went out of it, since the start: first the plates on no vehicle
/// that was seen, then in the order of [`Class::OBJECTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossings {
    /// Of the line or zone.
    pub place: PlaceId,
    /// It is a zone.
    pub is_zone: bool,
    /// Forward; in.
    pub forward: [u64; 6],
    /// Backward; out.
    pub backward: [u64; 6],
}

impl Crossings {
    /// The classes in the order in which they are counted.
    pub fn classes() -> impl Iterator<Item = Class> {
        std::iter::once(Class::Plate).chain(Class::OBJECTS)
    }

    /// The words for the two ways.
    #[must_use]
    pub fn ways(&self) -> [&'static str; 2] {
        if self.is_zone { ["in", "out"] } else { Way::ALL.map(Way::as_str) }
    }
}

/// What can be wrong with a camera that gives frames all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worry {
    /// Too many pictures a second.
    Rate,
    /// Stamps that cannot be believed.
    Times,
    /// Its hardware decoder failed: it is decoded by software.
    Decoder,
    /// The main stream beside a substream.
    MainStream,
    /// The models that find and read plates fail.
    Model,
    /// Main stream and substream show different views, and the masks hold in one alone.
    Views,
    /// The model that finds vehicles fails.
    Vehicles,
    /// The box is too slow for it.
    Slow,
    /// It comes and goes.
    Unsteady,
    /// The scene changed at once.
    Cut,
    /// The same picture again and again.
    Frozen,
    /// The picture is black.
    Black,
    /// The picture is white.
    Blinded,
    /// The picture is out of focus.
    Defocused,
    /// The camera was moved.
    Moved,
}

/// How much of what a live camera sends is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoding {
    /// Everything.
    #[default]
    All,
    /// It is idle: key frames alone, until something moves.
    KeyFrames,
    /// Everything, though nothing moves: its key frames are too far apart.
    AllForKeys,
    /// Everything, though nothing moves: the sizes of its coded pictures do not tell of motion.
    AllForSizes,
}

impl Decoding {
    /// All, in the order of their numbers in messages.
    pub const ALL: [Self; 4] = [Self::All, Self::KeyFrames, Self::AllForKeys, Self::AllForSizes];

    /// Its number in messages.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::All => 0,
            Self::KeyFrames => 1,
            Self::AllForKeys => 2,
            Self::AllForSizes => 3,
        }
    }

    /// The one of this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::KeyFrames => "key-frames",
            Self::AllForKeys => "all, key frames too far apart",
            Self::AllForSizes => "all, sizes tell nothing",
        }
    }
}

/// What a camera is doing, as its status topic says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CameraState {
    /// Being opened for the first time.
    #[default]
    Starting,
    /// Frames arrive.
    Online,
    /// No frames; the reason.
    Offline(String),
    /// Frames arrive, but something is wrong; the reason.
    Degraded(String),
    /// A file that has been played to its end.
    Ended,
    /// Switched off by the configuration.
    Disabled,
    /// Not looked at for a time; until when.
    Paused(String),
}

impl CameraCounters {
    /// Says what the camera is doing now.
    pub fn set_state(&self, state: CameraState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Says how much is decoded.
    pub fn set_decoding(&self, decoding: Decoding) {
        self.decoding.store(decoding.number(), Ordering::Relaxed);
    }

    /// How much is decoded.
    #[must_use]
    pub fn decoding(&self) -> Decoding {
        Decoding::of_number(self.decoding.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// The counters of the main stream beside the substream that these are of, made at the first call.
    #[must_use]
    pub fn of_main(&self) -> Arc<Self> {
        Arc::clone(self.main.get_or_init(Arc::default))
    }

    /// The counters of the main stream, where there is one.
    #[must_use]
    pub fn main(&self) -> Option<&Self> {
        self.main.get().map(AsRef::as_ref)
    }

    /// Counts a vehicle or person that passed.
    pub fn count_passed(&self, class: Class) {
        if let Some((_, counter)) = Class::OBJECTS.iter().zip(&self.passed).find(|(c, _)| **c == class) {
            counter.inc();
        }
    }

    /// Vehicles and persons that passed since the start, in the order of [`Class::OBJECTS`].
    #[must_use]
    pub fn passed(&self) -> [u64; 5] {
        self.passed.each_ref().map(Counter::get)
    }

    /// Counts an object that crossed a line, or entered or left a zone.
    pub fn count_crossing(&self, place: PlaceId, is_zone: bool, way: Way, class: Class) {
        let mut all = self.crossings.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|c| c.place == place).unwrap_or_else(|| {
            all.push(Crossings { place, is_zone, forward: [0; 6], backward: [0; 6] });
            all.len() - 1
        });
        let Some(crossings) = all.get_mut(at) else { return };
        let counts = if way == Way::Forward { &mut crossings.forward } else { &mut crossings.backward };
        if let Some((_, count)) = Crossings::classes().zip(counts).find(|(c, _)| *c == class) {
            *count += 1;
        }
    }

    /// What was counted at lines and zones since the start, in the order in which something first happened there.
    #[must_use]
    pub fn crossings(&self) -> Vec<Crossings> {
        self.crossings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is wrong although frames arrive, or that it is over.
    pub fn set_worry(&self, about: Worry, why: Option<String>) {
        let mut worries = self.worries.lock().unwrap_or_else(PoisonError::into_inner);
        worries.retain(|(w, _)| *w != about);
        worries.extend(why.map(|why| (about, why)));
        self.views.lock().unwrap_or_else(PoisonError::into_inner).retain(|(w, _)| *w != about);
    }

    /// What is wrong in this respect.
    #[must_use]
    pub fn worry(&self, about: Worry) -> Option<String> {
        let worries = self.worries.lock().unwrap_or_else(PoisonError::into_inner);
        worries.iter().find(|(w, _)| *w == about).map(|(_, why)| why.clone())
    }

    /// Says under which id the picture is kept that shows a worry; after [`CameraCounters::set_worry`], until it is over.
    pub fn set_view(&self, about: Worry, id: EventId) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(w, _)| *w != about);
        views.push((about, id));
    }

    /// The picture that could not be kept is not told of.
    pub fn forget_view(&self, id: EventId) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, known)| *known != id);
    }

    /// The id of the picture that shows the newest worry that has one.
    #[must_use]
    pub fn view(&self) -> Option<EventId> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(_, id)| *id)
    }

    /// What the camera was doing last; one that is online and has worries is degraded.
    #[must_use]
    pub fn state(&self) -> CameraState {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let worries = self.worries.lock().unwrap_or_else(PoisonError::into_inner);
        if state != CameraState::Online || worries.is_empty() {
            return state;
        }
        CameraState::Degraded(worries.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("; "))
    }
}

/// What is counted of delivery to the centre.
#[derive(Debug, Default)]
pub struct CentreCounters {
    /// Sessions with the broker.
    pub connects: Counter,
    /// Alerts handed to the broker, resends included.
    pub sent: Counter,
    /// Of these, sent again.
    pub resent: Counter,
    /// Alerts that the centre acknowledged.
    pub acked: Counter,
    /// Acks and commands that were refused.
    pub refused: Counter,
    /// Health messages that found no room in the link.
    pub unsaid: Counter,
    /// Mirrored messages that the broker took.
    pub mirrored: Counter,
    /// Mirrored messages that were dropped.
    pub mirrors_dropped: Counter,
    /// 1 while a session with the broker stands.
    pub connected: AtomicU64,
    fault: Mutex<Option<String>>,
    soon: Mutex<Option<String>>,
    last_loss: Mutex<Option<(TimeMs, String)>>,
}

impl CentreCounters {
    /// Says whether a session with the broker stands.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(u64::from(connected), Ordering::Relaxed);
    }

    /// Says why there is no session, or that nothing is wrong.
    pub fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Why there is no session with the broker, or why it takes no alerts.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what will end the session with the broker in some days, or that nothing will.
    pub fn set_soon(&self, soon: Option<String>) {
        *self.soon.lock().unwrap_or_else(PoisonError::into_inner) = soon;
    }

    /// What will end the session with the broker in some days.
    #[must_use]
    pub fn soon(&self) -> Option<String> {
        self.soon.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says when and why a session ended, or could not be made.
    pub fn set_last_loss(&self, at: TimeMs, why: String) {
        *self.last_loss.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, why));
    }

    /// When and why there was no session the last time that there was none.
    #[must_use]
    pub fn last_loss(&self) -> Option<(TimeMs, String)> {
        self.last_loss.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is counted of one hotlist that comes as a file.
#[derive(Debug, Default)]
pub struct ListCounters {
    /// Times that its file was refused.
    pub refused: Counter,
    fault: Mutex<Option<String>>,
}

impl ListCounters {
    /// Says why its newest file was refused (names no plate), or that it is in force.
    pub fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Why its newest file was refused.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the centre laid over the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigState {
    /// Its number; 0: nothing.
    pub serial: u64,
    /// It is on probation.
    pub probation: bool,
    /// The last one was rolled back: its number, when, and why.
    pub rolled_back: Option<(u64, TimeMs, String)>,
}

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Health {
    config: Mutex<Option<ConfigState>>,
    cameras: Mutex<Vec<(CameraId, Arc<CameraCounters>)>>,
    lists: Mutex<Vec<(ListId, Arc<ListCounters>)>>,
    /// Delivery.
    pub centre: CentreCounters,
    /// Copies shed from a full outbox.
    pub shed: Counter,
    /// Clips of hits that were stored.
    pub clips: Counter,
    /// Hits that wanted a clip and have none; in its place stands why.
    pub clips_missing: Counter,
    /// Pictures of what is wrong with cameras that could not be kept.
    pub views_lost: Counter,
    /// Doubtful passes that were looked at again.
    pub second_looks: Counter,
    /// Of these, those whose plate is told otherwise since.
    pub second_reads: Counter,
    /// Decode workers that ended by themselves, or had to be ended.
    pub workers_lost: Counter,
    worker_loss: Mutex<Option<(TimeMs, String)>>,
    /// Faults of the store that were answered.
    pub store_faults: Counter,
    /// Analysis threads that did nothing for too long and were left behind.
    pub threads_left: Counter,
    /// Signs of life of everything that must make progress.
    pub pulses: Pulses,
    /// UTC milliseconds of the newest alert, 0 before the first.
    last_alert_ms: AtomicU64,
}

impl Health {
    /// All zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Says what the centre laid over the configuration.
    pub fn set_config(&self, state: ConfigState) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// What the centre laid over the configuration, once it was looked at.
    #[must_use]
    pub fn config(&self) -> Option<ConfigState> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A decode worker was lost.
    pub fn worker_lost(&self, at: TimeMs, why: &str) {
        self.workers_lost.inc();
        *self.worker_loss.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, why.to_owned()));
    }

    /// When and why a decode worker was lost last.
    #[must_use]
    pub fn worker_loss(&self) -> Option<(TimeMs, String)> {
        self.worker_loss.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An alert was stored.
    pub fn alert_made(&self, at: TimeMs) {
        self.last_alert_ms.fetch_max(at.0, Ordering::Relaxed);
    }

    /// When the newest alert of this start was stored.
    #[must_use]
    pub fn last_alert(&self) -> Option<TimeMs> {
        Some(self.last_alert_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0).map(TimeMs)
    }

    /// The counters of `camera`, made at the first call.
    #[must_use]
    pub fn camera(&self, camera: &CameraId) -> Arc<CameraCounters> {
        of(&self.cameras, camera)
    }

    /// All cameras with their counters, in the order they were made.
    #[must_use]
    pub fn cameras(&self) -> Vec<(CameraId, Arc<CameraCounters>)> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lists with their counters, in the order they were made.
    #[must_use]
    pub fn lists(&self) -> Vec<(ListId, Arc<ListCounters>)> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops the counters of a list that is no more.
    pub fn forget_list(&self, list: &ListId) {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != list);
    }

    /// The counters of `list`, made at the first call.
    #[must_use]
    pub fn list(&self, list: &ListId) -> Arc<ListCounters> {
        of(&self.lists, list)
    }
}

/// The counters of `id`, made at the first call.
fn of<I: Clone + PartialEq, C: Default>(all: &Mutex<Vec<(I, Arc<C>)>>, id: &I) -> Arc<C> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, counters)) = all.iter().find(|(known, _)| known == id) {
        return Arc::clone(counters);
    }
    let counters = Arc::new(C::default());
    all.push((id.clone(), Arc::clone(&counters)));
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_online_is_degraded_as_long_as_something_is_wrong() {
        let counters = CameraCounters::default();
        counters.set_worry(Worry::Rate, Some("too fast".into()));
        assert_eq!(counters.state(), CameraState::Starting);
        counters.set_state(CameraState::Online);
        counters.set_worry(Worry::MainStream, Some("no main stream".into()));
        counters.set_worry(Worry::Rate, Some("much too fast".into()));
        assert_eq!(counters.state(), CameraState::Degraded("no main stream; much too fast".into()));
        counters.set_worry(Worry::Rate, None);
        counters.set_worry(Worry::MainStream, None);
        assert_eq!(counters.state(), CameraState::Online);
    }
}
