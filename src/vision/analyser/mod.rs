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
//! Left out: sightings of vehicles without a plate and of persons (they come with object events).

mod detail;
mod follow;
mod memory;
mod settings;
mod vehicles;
mod votes;

use std::sync::Arc;
use std::time::Duration;

use ring::rand::SecureRandom;

use self::follow::{Followed, Life, Taken};
use self::memory::Memory;
pub use self::settings::Settings;
pub use self::vehicles::VehicleSource;
use self::vehicles::Vehicles;
use super::area::Area;
use super::detect::Detector;
use super::mask::Seen;
use super::plate::Reader;
use super::sight::Sight;
use super::track::{TrackUpdate, Tracker};
use super::{Error, Models, pictures};
use crate::domain::{CameraId, Class, ClockState, Detection, EventId, Frame, PlateRead, SightingEvent, Stage, TimeMs};

/// Finds plates in a frame, or vehicles.
pub trait FindPlates: Send {
    /// Plates in `area` with their corners, vehicles and persons, in pixels of the full-size frame, best first.
    ///
    /// # Errors
    /// What the model says.
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error>;
}

/// Reads plates of a frame.
pub trait ReadPlates: Send {
    /// A read for each of `plates`, `None` where there is none.
    ///
    /// # Errors
    /// What the model says.
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error>;
}

impl<T: FindPlates + Sync + ?Sized> FindPlates for Arc<T> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        T::find(self, frame, area)
    }
}

impl<T: ReadPlates + Sync + ?Sized> ReadPlates for Arc<T> {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        T::read(self, frame, plates)
    }
}

impl FindPlates for Detector {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        self.detect_in(frame, area)
    }
}

impl ReadPlates for Reader {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        Reader::read(self, frame, plates)
    }
}

/// Makes sightings of the frames of one camera.
pub struct Analyser {
    finder: Box<dyn FindPlates>,
    reader: Box<dyn ReadPlates>,
    settings: Settings,
    camera: CameraId,
    camera_number: u16,
    clock: ClockState,
    sight: Sight,
    /// The last frame was not looked at.
    resting: bool,
    tracker: Tracker,
    /// `None` when vehicles are not looked for.
    vehicles: Option<Vehicles>,
    memory: Memory,
    random: ring::rand::SystemRandom,
    /// UTC of the newest frame; never goes back, whatever the clock does.
    now: TimeMs,
    /// Size of the newest frame.
    size: Option<(u32, u32)>,
    /// Sizes of a frame and its larger picture that was left out.
    other_view: Option<[(u32, u32); 2]>,
    /// What a step found that gave an error instead.
    untold: Vec<SightingEvent>,
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
            resting: false,
            tracker: Tracker::new(settings.track.clone()),
            vehicles: None,
            settings,
            camera,
            camera_number,
            clock: ClockState::Unset,
            memory: Memory::default(),
            random: ring::rand::SystemRandom::new(),
            now: TimeMs(0),
            size: None,
            other_view: None,
            untold: Vec::new(),
        }
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
        if self.size.replace(size).is_some_and(|before| before != size) {
            // Places in pictures of another size cannot be compared: what was under way is over.
            events.extend(self.finish(frame.at));
        }
        let restless = self.tracker.is_restless() || self.vehicles.as_ref().is_some_and(Vehicles::is_restless);
        self.now = self.now.max(frame.at);
        self.resting = false;
        // Nothing below this line can reach what the masks hide.
        let (at, pts, looked) = (self.now, frame.pts, self.sight.look(frame, restless)?);
        let Some(frame) = &looked else {
            self.rest(pts);
            return Ok(());
        };
        if frame.left_out().is_some() || frame.detail_size().is_some() {
            self.other_view = frame.left_out().map(|left_out| [size, left_out]);
        }
        let area = self.sight.area(frame);
        let (mut found, others): (Vec<_>, Vec<_>) =
            self.finder.find(frame, area)?.into_iter().partition(|d| d.class == Class::Plate);
        self.sight.keep_inside(&mut found, frame);
        self.sight.found(&found);
        let step = self.tracker.step(frame.pts, &found);
        for ended in &step.ended {
            self.memory.lose(ended.track);
        }
        for update in &step.seen {
            if let Some(detection) = found.get(update.detection) {
                self.follow(update, detection, at, frame.size());
            }
        }
        if let Some(vehicles) = &mut self.vehicles {
            let wanted = self.memory.wants_look(&step.seen);
            if let Some(look) = vehicles.look(frame, area, others, wanted) {
                self.sight.found(look.iter().map(|v| &v.detection));
                self.memory.tie(&look, &step.seen, &found, frame.size());
            }
        }
        self.read(frame, &step.seen, &found, at, events)?;
        for update in &step.seen {
            events.extend(self.tell(update.track, at));
        }
        Ok(())
    }

    /// Whether the last frame was not looked at, since nothing moved in it.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// What is followed stays where it is.
    fn rest(&mut self, pts: Duration) {
        self.resting = true;
        self.tracker.hold(pts);
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.hold(pts);
        }
    }

    /// Ends everything at the end of the stream: no frame comes any more.
    pub fn finish(&mut self, at: TimeMs) -> Vec<SightingEvent> {
        self.tracker.end_all();
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.end_all();
        }
        let at = self.now.max(at);
        let (camera, number, clock, settings) = (&self.camera, self.camera_number, self.clock, &self.settings);
        let mut events = std::mem::take(&mut self.untold);
        self.memory.end_all(settings, |f| {
            let sighting = f.sighting(camera, number, clock, settings);
            events.push(SightingEvent { stage: Stage::End, sighting, pictures: f.pictures.take(), cause_at: at });
        });
        events
    }

    /// Joins a track's new place to its sighting, which begins or resumes when it has none.
    fn follow(&mut self, update: &TrackUpdate, detection: &Detection, at: TimeMs, size: (f32, f32)) {
        if self.memory.of_track(update.track).is_none()
            && !self.memory.resume_at(&detection.rect, update.track, &self.settings)
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
        let reads = self.reader.read(shown, &plates)?;
        for (((_, track, detection, _), plate), read) in wanted.iter().zip(&plates).zip(&reads) {
            let Some(f) = self.memory.of_track(*track) else { continue };
            if f.take_read(at, plate, read.as_ref(), &self.settings) == Taken::AnotherVehicle {
                self.split(*track, detection, at, frame.size(), events);
            }
            if let Some(f) = self.memory.of_track(*track)
                && f.wants_picture(plate, &self.settings)
            {
                f.pictures = pictures::take(shown, &plate.rect);
            }
        }
        Ok(())
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
        let silent = old.reopened || old.duplicate;
        if !silent {
            let sighting = old.sighting(&self.camera, self.camera_number, self.clock, &self.settings);
            events.push(SightingEvent { stage: Stage::End, sighting, pictures: old.pictures.take(), cause_at: at });
        }
        self.memory.push(new);
    }

    /// What is to be said of the sighting of `track` now.
    fn tell(&mut self, track: u32, at: TimeMs) -> Option<SightingEvent> {
        let f = self.memory.of_track(track)?;
        let read = f.trusted(&self.settings)?;
        let (text, rect, untold) = (read.text.clone(), f.rect, f.told.is_none());
        if untold {
            if self.memory.is_double(track, &text, &rect) {
                self.memory.of_track(track)?.duplicate = true;
                return None;
            }
            if let Some(other) = self.memory.take_same(&text, &rect, at, &self.settings) {
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
        Some(SightingEvent { stage, sighting, pictures: f.pictures.take(), cause_at: at })
    }

    fn end_due(&mut self, at: TimeMs, events: &mut Vec<SightingEvent>) {
        let (camera, number, clock, settings) = (&self.camera, self.camera_number, self.clock, &self.settings);
        self.memory.end_due(at, settings, |f| {
            let sighting = f.sighting(camera, number, clock, settings);
            events.push(SightingEvent { stage: Stage::End, sighting, pictures: f.pictures.take(), cause_at: at });
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
