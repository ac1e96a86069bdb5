//! One camera's frames in, its sightings out.
//!
//! Detects, tracks, reads what is worth reading, fuses, and says of each vehicle: `New` with the first read that can be
//! trusted, `Update` when that read changed or grew surer, `End` when the vehicle is gone (also when nothing was read;
//! a read that was never sure enough to be told goes with the end). An end is told some seconds after the track broke
//! off, in case it comes back; the sighting's own end is when it was seen last. A parked vehicle is read until it is
//! certain, then rested, and when it was hidden it goes on as the same sighting; the same plate on the same camera
//! within a minute is no new sighting either. What comes back after its end is told only where its read changed.
//!
//! Runs on the thread of the camera; waits for nothing but the models. Keeps no frame. Times are those of the frames:
//! places in the stream for tracking, UTC for memory. A plate's sighting names the vehicle that carries it ([`vehicles`]).
//! Vehicles without a plate and persons have sightings only where a rule asks for them ([`objects`]).

mod detail;
mod follow;
pub mod insight;
mod memory;
mod objects;
mod pace;
mod scene;
mod settings;
mod traits;
mod vehicles;
mod votes;
mod way;

use std::sync::Arc;
use std::time::Duration;

use ring::rand::SecureRandom;

pub(in crate::vision) use self::follow::is_same_plate;
use self::follow::{Followed, Life, Taken};
use self::insight::{Insight, Note, Notes};
use self::memory::Memory;
use self::objects::{Objects, Scene};
use self::pace::Pace;
pub use self::pace::look_every;
pub use self::scene::Marked;
pub use self::settings::Settings;
pub use self::traits::{FindPlates, ReadAndCut, ReadPlates};
pub use self::vehicles::VehicleSource;
use self::vehicles::Vehicles;
use super::area::Area;
use super::mask::Seen;
use super::search::Search;
use super::sight::Sight;
use super::track::{Track, TrackUpdate, Tracker};
use super::view::View;
use super::{Error, Models, pictures};
use crate::domain::{
    CameraId, Class, ClockState, Detection, EventId, Frame, PlaceId, Rect, SightingEvent, Stage, TimeMs, Way,
};

/// Share of its width that must lie around a plate in a part of the picture for the part to show it whole.
const ROOM: f32 = 0.25;

/// Makes sightings of the frames of one camera.
pub struct Analyser {
    finder: Box<dyn FindPlates>,
    reader: Box<dyn ReadPlates>,
    settings: Settings,
    camera: CameraId,
    camera_number: u16,
    clock: ClockState,
    sight: Sight,
    search: Search,
    /// The last frame was not looked at: nothing moved in it.
    resting: bool,
    pace: Pace,
    /// The last frame was not looked at: those before and after it are enough.
    spared: bool,
    tracker: Tracker,
    /// `None` when the view is not watched.
    view: Option<View>,
    /// Nothing is looked at, since the masks may lie wrong.
    blind: bool,
    /// `None` when vehicles are not looked for.
    vehicles: Option<Vehicles>,
    memory: Memory,
    /// `None` where no zone, line or rule is to be watched.
    objects: Option<Objects>,
    random: ring::rand::SystemRandom,
    /// UTC of the newest frame; never goes back, whatever the clock does.
    now: TimeMs,
    /// Its place in the stream.
    pts: Duration,
    /// Size of the newest frame.
    size: Option<(u32, u32)>,
    /// Sizes of a frame and its larger picture that was left out.
    other_view: Option<[(u32, u32); 2]>,
    /// What a step found that gave an error instead.
    untold: Vec<SightingEvent>,
    notes: Notes,
}

impl Analyser {
    /// An analyser of `camera`, whose number alerts carry, with the box's models.
    #[must_use]
    pub fn new(models: &Models, settings: Settings, camera: CameraId, camera_number: u16) -> Self {
        let finder = Box::new(Arc::clone(&models.detector));
        let reader = Box::new(models.reader.expecting(settings.patterns.clone()));
        let analyser = Self::with(finder, reader, settings, camera, camera_number);
        match VehicleSource::of(&models.vehicles) {
            Some(source) => analyser.with_vehicles(source),
            None => analyser,
        }
    }

    /// An analyser with a finder and a reader of one's own.
    #[must_use]
    pub fn with(
        finder: Box<dyn FindPlates>,
        reader: Box<dyn ReadPlates>,
        settings: Settings,
        camera: CameraId,
        camera_number: u16,
    ) -> Self {
        Self {
            finder,
            reader,
            sight: Sight::new(settings.privacy_mask.clone(), settings.roi.clone(), settings.motion_gate),
            search: Search::default(),
            resting: false,
            pace: Pace::new(settings.look_every, settings.motion_gate),
            spared: false,
            tracker: Tracker::new(settings.track.clone()),
            view: None,
            blind: false,
            vehicles: None,
            objects: Objects::of(&settings.plan),
            settings,
            camera,
            camera_number,
            clock: ClockState::Unset,
            memory: Memory::default(),
            random: ring::rand::SystemRandom::new(),
            now: TimeMs(0),
            pts: Duration::ZERO,
            size: None,
            other_view: None,
            untold: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Tells `insight` what it notices.
    #[must_use]
    pub fn with_insight(mut self, insight: Box<dyn Insight>) -> Self {
        self.notes = Notes::to(insight);
        self
    }

    /// Looks for vehicles as well.
    #[must_use]
    pub fn with_vehicles(mut self, source: VehicleSource) -> Self {
        self.vehicles = Some(Vehicles::new(source, &self.settings));
        self
    }

    /// Classes of the vehicles and persons whose tracks ended since the last call.
    pub fn take_passed(&mut self) -> Vec<Class> {
        self.vehicles.as_mut().map(Vehicles::take_passed).unwrap_or_default()
    }

    /// Why vehicles can't be looked for, while they can't: plates are read all the same.
    #[must_use]
    pub fn vehicle_fault(&self) -> Option<&str> {
        self.vehicles.as_ref().and_then(Vehicles::fault)
    }

    /// Sizes of a substream and a main stream of different views, while the camera has such and masks: plates are then
    /// read on the substream, since masks hold in the view that they were drawn for alone.
    #[must_use]
    pub fn other_view(&self) -> Option<[(u32, u32); 2]> {
        self.other_view
    }

    /// Says how far the times of the frames can be trusted from now on; sightings carry it. `Unset` at first.
    pub fn set_clock(&mut self, state: ClockState) {
        self.clock = state;
    }

    /// Analyses one frame.
    ///
    /// # Errors
    /// What the models say; the next frame may be given. What is due all the same, such as the end of what left before,
    /// is to be had from [`Analyser::take_untold`], and comes with the next step otherwise.
    pub fn step(&mut self, frame: &Frame) -> Result<Vec<SightingEvent>, Error> {
        let mut events = std::mem::take(&mut self.untold);
        let result = self.look(frame, &mut events);
        self.end_due(self.now, &mut events);
        self.with_objects(|objects, analyser| objects.settle(&analyser.memory, analyser.now, &mut events));
        if result.is_err() {
            self.untold = std::mem::take(&mut events);
        }
        result.map(|()| events)
    }

    /// What the last step found although it failed.
    pub fn take_untold(&mut self) -> Vec<SightingEvent> {
        std::mem::take(&mut self.untold)
    }

    /// Looks at one frame and adds to `events` what is to be told of it.
    fn look(&mut self, frame: &Frame, events: &mut Vec<SightingEvent>) -> Result<(), Error> {
        let size = (frame.format.width, frame.format.height);
        if let Some(before) = self.size.replace(size).filter(|before| *before != size) {
            self.resize(before, size, frame.at, events);
        }
        let restless = self.tracker.is_restless() || self.vehicles.as_ref().is_some_and(Vehicles::is_restless);
        (self.now, self.pts) = (self.now.max(frame.at), frame.pts);
        (self.resting, self.spared) = (false, false);
        let haste = self.memory.haste(self.pace.linger(), &self.settings);
        let watched = self.watch(frame, events)?;
        // Nothing below this line can reach what the masks hide.
        let (at, pts, looked) = (self.now, frame.pts, if watched { self.sight.look(frame, restless)? } else { None });
        let Some(frame) = &looked else {
            self.notes.note(pts, &Note::Rested);
            self.rest(pts);
            self.with_objects(|objects, analyser| objects.hold(analyser, events));
            return Ok(());
        };
        let area = self.sight.area(frame);
        self.mark(area, pts);
        if !self.pace.is_due(pts, at, haste) {
            self.spared = true;
            return Ok(());
        }
        if frame.left_out().is_some() || frame.detail_size().is_some() {
            self.other_view = frame.left_out().map(|left_out| [size, left_out]);
        }
        let (found, places) = self.find(frame, area)?;
        let (mut found, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|d| d.class == Class::Plate);
        let all = self.notes.wanted().then(|| found.clone());
        self.sight.keep_inside(&mut found, frame);
        if let Some(all) = &all {
            self.notes.note(pts, &Note::Found { frame, all, kept: &found });
        }
        self.sight.found(&found);
        // What an inner edge cuts is told by no part: it counts as looked at where there is some room around it.
        let whole = area.rect();
        let roomy = |rect: &Rect| rect.grown(ROOM * rect.width()).within(&whole);
        let looked = |rect: &Rect| places.as_ref().is_none_or(|places| places.iter().any(|p| roomy(rect).is_within(p)));
        let step = self.tracker.step_where(frame.pts, &found, looked);
        for ended in &step.ended {
            if let Some(f) = self.memory.of_track(ended.track) {
                self.notes.note(pts, &Note::Over { track: ended.track, standing: f.standing(&self.settings) });
                if let Some(pass) = f.passed_on(ended.track) {
                    self.pace.passed(at, pass);
                }
            }
            self.memory.lose(ended.track);
        }
        for update in &step.seen {
            if let Some(detection) = found.get(update.detection) {
                let (track, confirmed) = (update.track, update.confirmed);
                self.notes.note(pts, &Note::Followed { track, plate: detection, confirmed });
                self.follow(update, detection, at, frame.size());
            }
        }
        self.memory.saw_together(&step.seen);
        let mut look = None;
        if let Some(vehicles) = &mut self.vehicles {
            let wanted = self.memory.wants_look(&step.seen);
            look = vehicles.look(frame, area, others, wanted);
            if let Some(look) = &look {
                self.sight.found(look.iter().map(|v| &v.detection));
                self.memory.tie(look, &step.seen, &found, frame.size());
            }
        }
        let scene = Scene { frame, vehicles: look.as_deref(), plates: &step.seen, found: &found };
        self.with_objects(|objects, analyser| objects.tie(&mut analyser.memory, &scene));
        self.read(frame, &step.seen, &found, at, events)?;
        for update in &step.seen {
            events.extend(self.tell(update.track, at));
        }
        self.with_objects(|objects, analyser| objects.look(analyser, &scene, events));
        Ok(())
    }

    /// Remembers what moves in `area`, where it can be looked at in parts.
    fn mark(&mut self, area: Area, pts: Duration) {
        match (self.sight.moved(), self.finder.grid(area)) {
            (Some(moved), Some(grid)) => self.search.mark(grid, pts, moved),
            _ => self.search = Search::default(),
        }
    }

    /// What is in `area`, and the parts of it that were looked at; `None`: all of it.
    fn find(&mut self, frame: &Seen<'_>, area: Area) -> Result<(Vec<Detection>, Option<Vec<Rect>>), Error> {
        // What is parked is left to looks at the whole, as long as the last look at its place has shown it.
        let rests = |track: &Track| track.hidden_for().is_zero() && self.memory.is_parked(track.id(), &self.settings);
        let live = self.tracker.tracks().filter(|track| !rests(track));
        // Where it was as well as where it must have come to: what left is missed at once, and not held for seen.
        let around = live.map(|t| t.rect().joined(&t.last_rect()).grown(t.rect().width()));
        let Some((grid, parts)) = self.search.parts(self.pts, around) else {
            return Ok((self.finder.find(frame, area)?, None));
        };
        let places = parts.iter().filter_map(|part| grid.place(part, frame)).map(|place| place.rect()).collect();
        Ok((self.finder.find_parts(frame, &grid, &parts)?, Some(places)))
    }

    /// Has rules looked after, where there are any.
    fn with_objects(&mut self, work: impl FnOnce(&mut Objects, &mut Self)) {
        if let Some(mut objects) = self.objects.take() {
            work(&mut objects, self);
            self.objects = Some(objects);
        }
    }

    /// Crossings of lines, and entries into zones and exits, since the last call.
    pub fn take_crossings(&mut self) -> Vec<(PlaceId, Way, Class)> {
        self.objects.as_mut().map(Objects::take_passed).unwrap_or_default()
    }

    /// Whether the last frame was not looked at, since nothing moved in it.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// Whether nothing moves and nothing is waited for: the camera's frames may come seconds apart. Never without a gate.
    #[must_use]
    pub fn is_still(&self) -> bool {
        let restless = self.tracker.is_restless() || self.vehicles.as_ref().is_some_and(Vehicles::is_restless);
        self.sight.is_calm() && !restless
    }

    /// Whether the last frame was not looked at, since at this road's speed others are enough.
    #[must_use]
    pub fn is_spared(&self) -> bool {
        self.spared
    }

    /// What is followed stays where it is.
    fn rest(&mut self, pts: Duration) {
        self.resting = true;
        self.tracker.hold(pts);
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.hold(pts);
        }
    }

    /// The stream broke off and comes again from the beginning of its times: tracks are over, sightings wait for their
    /// vehicles as for any that is hidden. Ends of those that don't come are told with the next frames.
    pub fn interrupt(&mut self) {
        self.tracker.end_all();
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.end_all();
        }
        self.note_over();
        self.memory.lose_all();
    }

    /// Says to who looks on that all tracks are over.
    fn note_over(&mut self) {
        for (track, f) in self.memory.live() {
            self.notes.note(self.pts, &Note::Over { track, standing: f.standing(&self.settings) });
        }
    }

    /// Pictures have another size from now on: of the same view, places are those of before; else all is over.
    fn resize(&mut self, before: (u32, u32), now: (u32, u32), at: TimeMs, events: &mut Vec<SightingEvent>) {
        let ((w, h), (width, height)) = (before, now);
        if u64::from(w) * u64::from(height) != u64::from(h) * u64::from(width) {
            events.extend(self.finish(at));
            return;
        }
        self.interrupt();
        let share = |now: u32, before: u32| now as f32 / before.max(1) as f32;
        let by = (share(width, w), share(height, h));
        self.memory.scale(by);
        self.with_objects(|objects, _| objects.scale(by));
    }

    /// Size of the pictures, pixels.
    fn picture(&self) -> (f32, f32) {
        self.size.map_or((0.0, 0.0), |(w, h)| (w as f32, h as f32))
    }

    /// Ends everything at the end of the stream: no frame comes any more.
    pub fn finish(&mut self, at: TimeMs) -> Vec<SightingEvent> {
        self.tracker.end_all();
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.end_all();
        }
        self.note_over();
        let (at, size) = (self.now.max(at), self.picture());
        let (camera, number, clock, settings) = (&self.camera, self.camera_number, self.clock, &self.settings);
        let mut events = std::mem::take(&mut self.untold);
        self.memory.end_all(size, settings, |f| {
            let sighting = f.sighting(camera, number, clock, settings);
            events.push(SightingEvent::new(Stage::End, sighting, f.pictures.take(), at));
        });
        self.with_objects(|objects, analyser| objects.finish(analyser, at, &mut events));
        events
    }

    /// Joins a track's new place to its sighting, which begins or resumes when it has none.
    fn follow(&mut self, update: &TrackUpdate, detection: &Detection, at: TimeMs, size: (f32, f32)) {
        if self.memory.of_track(update.track).is_none()
            && !self.memory.resume_at((&detection.rect, at, size), update.track, &self.settings)
        {
            let id = self.new_id(at);
            self.memory.push(Followed::new(id, update.track, at, detection, &self.settings));
        }
        if let Some(followed) = self.memory.of_track(update.track) {
            followed.confirmed |= update.confirmed;
            followed.seen(at, detection, size);
        }
    }

    /// Reads the plates that want it most, in the frame or, where there is one, in its larger picture.
    fn read(
        &mut self,
        frame: &Seen<'_>,
        seen: &[TrackUpdate],
        found: &[Detection],
        at: TimeMs,
        events: &mut Vec<SightingEvent>,
    ) -> Result<(), Error> {
        let scale = frame.detail_size().map_or((1.0, 1.0), |size| detail::scale(frame.size(), size));
        let mut wanted: Vec<(f32, u32, &Detection, Detection)> = Vec::new();
        for update in seen {
            let (Some(detection), Some(f)) = (found.get(update.detection), self.memory.of_track(update.track)) else {
                continue;
            };
            let large = detail::scaled(detection, scale);
            if let Some(want) = f.wants_read(at, &large, &self.settings) {
                wanted.push((want, update.track, detection, large));
            }
        }
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        wanted.truncate(self.settings.reads_per_frame);
        if wanted.is_empty() {
            return Ok(());
        }
        let mut plates: Vec<Detection> = wanted.iter().map(|w| w.3.clone()).collect();
        let detail = frame.detail()?;
        if let Some(detail) = &detail {
            plates = detail::found_again(self.finder.as_ref(), detail, &plates)?;
        }
        let shown = detail.as_ref().unwrap_or(frame);
        let reads = self.read_all(shown, &plates, wanted.iter().map(|w| w.1))?;
        for (((_, track, detection, _), plate), (read, cut)) in wanted.iter().zip(&plates).zip(&reads) {
            let read = read.as_ref();
            self.notes.note(frame.pts, &Note::Read { track: *track, frame: shown, plate, read });
            let Some(f) = self.memory.of_track(*track) else { continue };
            match f.take_read(at, plate, read, &self.settings) {
                Taken::AnotherVehicle => self.split(*track, detection, at, frame.size(), events),
                Taken::Added => {
                    if let Some(cut) = cut {
                        f.stack(cut, plate, self.reader.as_ref(), &self.settings)?;
                    }
                }
                Taken::Doubted => {}
            }
            if let Some(f) = self.memory.of_track(*track)
                && f.wants_picture(plate, &self.settings)
            {
                f.pictures = pictures::take(shown, &plate.rect);
            }
        }
        Ok(())
    }

    /// Reads plates of these tracks, those at a glance that were looked at when they were about as good.
    fn read_all(
        &mut self,
        shown: &Seen<'_>,
        plates: &[Detection],
        tracks: impl Iterator<Item = u32>,
    ) -> Result<Vec<ReadAndCut>, Error> {
        let glances: Vec<bool> = tracks
            .zip(plates)
            .map(|(track, plate)| self.memory.of_track(track).is_some_and(|f| f.wants_glance(plate, &self.settings)))
            .collect();
        let those = |glance: bool| -> Vec<Detection> {
            let which = plates.iter().zip(&glances).filter(|(_, g)| **g == glance);
            which.map(|(plate, _)| plate.clone()).collect()
        };
        let (brief, full) = (those(true), those(false));
        let mut brief = if brief.is_empty() { Vec::new() } else { self.reader.glance(shown, &brief)? }.into_iter();
        let mut full = if full.is_empty() { Vec::new() } else { self.reader.read_and_cut(shown, &full)? }.into_iter();
        let next = |glance: &bool| if *glance { brief.next() } else { full.next() }.unwrap_or((None, None));
        Ok(glances.iter().map(next).collect())
    }

    /// Ends the sighting that `track` carries and begins another with the reads that contradicted it.
    fn split(
        &mut self,
        track: u32,
        detection: &Detection,
        at: TimeMs,
        size: (f32, f32),
        events: &mut Vec<SightingEvent>,
    ) {
        let id = self.new_id(at);
        let Some(old) = self.memory.of_track(track) else { return };
        let mut new = Followed::new(id, track, at, detection, &self.settings);
        new.confirmed = true;
        new.seen(at, detection, size);
        for (read, quality) in old.take_contradicting() {
            new.add(&read, quality);
        }
        old.life = Life::Ended;
        old.forget_stacks();
        let silent = old.reopened || old.duplicate;
        if !silent {
            let sighting = old.sighting(&self.camera, self.camera_number, self.clock, &self.settings);
            events.push(SightingEvent::new(Stage::End, sighting, old.pictures.take(), at));
        }
        self.memory.push(new);
    }

    /// What is to be said of the sighting of `track` now.
    fn tell(&mut self, track: u32, at: TimeMs) -> Option<SightingEvent> {
        let f = self.memory.of_track(track)?;
        let read = f.trusted(&self.settings)?;
        let (text, rect, untold) = (read.text.clone(), f.way.last, f.told.is_none());
        if untold {
            if self.memory.is_double(track, &text, &rect) {
                self.memory.of_track(track)?.duplicate = true;
                return None;
            }
            if let Some(other) = self.memory.take_same(track, self.picture(), &self.settings) {
                self.memory.of_track(track)?.become_same_as(other);
            }
        }
        let f = self.memory.of_track(track)?;
        f.duplicate = false;
        let stage = match f.told {
            None => Stage::New,
            Some(_) if f.changed(at, &self.settings) => Stage::Update,
            Some(_) => return None,
        };
        f.tell(at, &self.settings);
        let sighting = f.sighting(&self.camera, self.camera_number, self.clock, &self.settings);
        Some(SightingEvent::new(stage, sighting, f.pictures.take(), at))
    }

    fn end_due(&mut self, at: TimeMs, events: &mut Vec<SightingEvent>) {
        let size = self.picture();
        let (camera, number, clock, settings) = (&self.camera, self.camera_number, self.clock, &self.settings);
        self.memory.end_due(at, size, settings, |f| {
            let sighting = f.sighting(camera, number, clock, settings);
            events.push(SightingEvent::new(Stage::End, sighting, f.pictures.take(), at));
        });
    }

    /// A UUIDv7; without random numbers from the system it would still be one by time, camera and track.
    fn new_id(&self, at: TimeMs) -> EventId {
        let mut random = [0_u8; 10];
        if self.random.fill(&mut random).is_err() {
            tracing::warn!(camera = %self.camera, "no random numbers from the system, ids go by camera and track alone");
            let seed = [u64::from(self.camera_number), at.0].map(u64::to_le_bytes).concat();
            for (to, from) in random.iter_mut().zip(seed) {
                *to = from;
            }
        }
        EventId::from_parts(at.0, random)
    }
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyser").field("camera", &self.camera).field("now", &self.now).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
