//! What rules make of the objects of one camera: to which sighting an object event belongs, and what is said of it.
//!
//! A vehicle whose plate is followed has one sighting, the plate's, whatever is read of it: the rule goes with that. A
//! vehicle or person without a plate has a sighting only from the first object event that a rule asks for, and it ends
//! when the object is gone; when its plate is found later, the plate's sighting takes over its id, as long as nothing was
//! said of the plate. Every sighting that a rule has spoken of is told an end.
//!
//! Pictures of an object that stands where a rule asks how long are taken while it is seen, since nothing can be seen
//! when the time comes on a scene at rest; they are dropped when it goes. Bounded by what [`Watch`] remembers.

use super::memory::Memory;
use super::vehicles::SeenVehicle;
use super::{Analyser, way};
use crate::domain::{
    Class, Detection, EventId, Pictures, PlaceId, Rect, RuleMatch, Sighting, SightingEvent, Stage, TimeMs, Vehicle,
    VehicleColour, Way,
};
use crate::vision::mask::Seen as Picture;
use crate::vision::pictures;
use crate::vision::rules::{Happened, Key, Look, Seen, Watch};
use crate::vision::track::TrackUpdate;

/// Most crossings that are remembered until somebody asks.
const MOST_PASSED: usize = 1024;

/// Looks that an object's picture is taken at again at the earliest, while it stands and waits.
const PICTURE_EVERY_MS: u64 = 10_000;

/// The objects of one camera and the sightings that rules have spoken of.
pub(super) struct Objects {
    watch: Watch,
    known: Vec<Known>,
    open: Vec<Open>,
    passed: Vec<(PlaceId, Way, Class)>,
    /// Size of the newest frame.
    size: (f32, f32),
}

/// A vehicle or person, as it was seen last.
struct Known {
    /// Of the object.
    number: u32,
    track: u32,
    class: Class,
    confidence: f32,
    colour: Option<VehicleColour>,
    begin: TimeMs,
    end: TimeMs,
    first: Rect,
    rect: Rect,
    /// Taken while it waits, and when.
    waiting: Option<(Pictures, TimeMs)>,
}

/// A sighting that a rule has spoken of.
struct Open {
    id: EventId,
    number: u32,
    /// It is a plate's: its end is told by that.
    of_plate: bool,
    /// Something was said of it.
    told: bool,
    rules: Vec<RuleMatch>,
    last: Sighting,
}

/// One look: what is seen of vehicles and of plates in this frame.
pub(super) struct Scene<'a, 'f> {
    pub frame: &'a Picture<'f>,
    /// `None`: vehicles were not looked for in this frame.
    pub vehicles: Option<&'a [SeenVehicle]>,
    pub plates: &'a [TrackUpdate],
    pub found: &'a [Detection],
}

impl Objects {
    /// When the object that a sighting is of was seen last.
    pub(super) fn last_seen(&self, id: EventId) -> Option<TimeMs> {
        let open = self.open.iter().find(|open| open.id == id && !open.of_plate)?;
        self.known.iter().find(|known| known.number == open.number).map(|known| known.end)
    }

    /// `None` where there is nothing to watch.
    pub(super) fn of(plan: &crate::domain::Plan) -> Option<Self> {
        let watch = Watch::new(plan.clone());
        let objects = Self { watch, known: Vec::new(), open: Vec::new(), passed: Vec::new(), size: (1.0, 1.0) };
        (!plan.is_empty()).then_some(objects)
    }

    /// Crossings, entries and exits since the last call.
    pub(super) fn take_passed(&mut self) -> Vec<(PlaceId, Way, Class)> {
        std::mem::take(&mut self.passed)
    }

    /// Takes a look and adds to `events` what rules make of it.
    pub(super) fn look(&mut self, of: &mut Analyser, scene: &Scene<'_, '_>, events: &mut Vec<SightingEvent>) {
        self.size = scene.frame.size();
        let look = self.at(of);
        let seen = seen(of, scene);
        let told = self.watch.step(look, &seen);
        for vehicle in scene.vehicles.unwrap_or_default() {
            self.know(vehicle, look.at);
        }
        self.tell(of, told, Some(scene), events);
        self.keep_pictures(scene, look.at);
    }

    /// Nothing moves: all is where it was.
    pub(super) fn hold(&mut self, of: &mut Analyser, events: &mut Vec<SightingEvent>) {
        let told = self.watch.hold(self.at(of));
        for known in &mut self.known {
            known.end = known.end.max(of.now);
        }
        self.tell(of, told, None, events);
    }

    /// Adds to each event what rules have said of its sighting, and ends what no plate's end will end.
    pub(super) fn settle(&mut self, memory: &Memory, at: TimeMs, events: &mut Vec<SightingEvent>) {
        for event in events.iter_mut() {
            let Some(index) = self.open.iter().position(|o| o.id == event.sighting.id) else { continue };
            let Some(open) = self.open.get_mut(index) else { continue };
            event.rules.clone_from(&open.rules);
            (open.told, open.last) = (true, event.sighting.clone());
            if event.stage == Stage::End {
                self.open.swap_remove(index);
            }
        }
        self.open.retain(|open| {
            let lives = !open.of_plate || memory.has(open.id);
            if !lives {
                events.push(open.end(open.last.clone(), at));
            }
            lives
        });
    }

    /// Ends all; the plates' ends are among `events`.
    pub(super) fn finish(&mut self, of: &Analyser, at: TimeMs, events: &mut Vec<SightingEvent>) {
        let told = self.watch.end_all();
        self.end(of, &told, at, events);
        self.known.clear();
        self.settle(&of.memory, at, events);
    }

    /// Places were in pixels of a picture that has so many times as many now, across and down.
    pub(super) fn scale(&mut self, by: (f32, f32)) {
        let scaled = |r: &Rect| Rect::new(r.x1 * by.0, r.y1 * by.1, r.x2 * by.0, r.y2 * by.1);
        for known in &mut self.known {
            (known.first, known.rect) = (scaled(&known.first), scaled(&known.rect));
        }
        self.watch.scale(by);
    }

    fn at(&self, of: &Analyser) -> Look {
        Look { at: of.now, clock_is_set: of.clock != crate::domain::ClockState::Unset, size: self.size }
    }

    fn know(&mut self, vehicle: &SeenVehicle, at: TimeMs) {
        let Some(number) = self.watch.number_of(Key::Object(vehicle.track)) else { return };
        let rect = vehicle.detection.rect;
        let index = self.known.iter().position(|k| k.number == number).unwrap_or_else(|| {
            self.known.push(Known {
                number,
                track: vehicle.track,
                class: vehicle.class,
                confidence: vehicle.confidence,
                colour: None,
                begin: at,
                end: at,
                first: rect,
                rect,
                waiting: None,
            });
            self.known.len() - 1
        });
        let Some(known) = self.known.get_mut(index) else { return };
        (known.class, known.confidence, known.end, known.rect) = (vehicle.class, vehicle.confidence, at, rect);
        known.colour = vehicle.colour.or(known.colour);
    }

    /// A plate whose vehicle is known is no object of its own; its sighting goes on as that of the vehicle, where there is
    /// one and nothing was said of the plate yet.
    pub(super) fn tie(&mut self, memory: &mut Memory, scene: &Scene<'_, '_>) {
        for plate in scene.plates {
            let Some(f) = memory.of_track(plate.track) else { continue };
            let Some(carrier) = f.carrier.track() else { continue };
            self.watch.join(Key::Plate(plate.track), Key::Object(carrier));
            let Some(number) = self.watch.number_of(Key::Object(carrier)) else { continue };
            let other = |o: &&mut Open| o.number == number && !o.of_plate;
            if f.told.is_none()
                && f.confirmed
                && let Some(open) = self.open.iter_mut().find(other)
            {
                (f.id, open.of_plate) = (open.id, true);
            }
        }
    }

    /// Says what rules make of what happened.
    fn tell(
        &mut self,
        of: &mut Analyser,
        told: Vec<Happened>,
        scene: Option<&Scene<'_, '_>>,
        events: &mut Vec<SightingEvent>,
    ) {
        self.end(of, &told, of.now, events);
        let mut fresh: Vec<EventId> = Vec::new();
        for happened in told {
            match happened {
                Happened::Rule(number, matched) => fresh.extend(self.note(of, number, matched)),
                Happened::Passed(place, way, class) => {
                    if self.passed.len() < MOST_PASSED {
                        self.passed.push((place, way, class));
                    }
                }
                Happened::Gone(_) => {}
            }
        }
        fresh.sort_unstable();
        fresh.dedup();
        for id in fresh {
            if !events.iter().any(|e| e.sighting.id == id) {
                events.extend(self.say(of, id, scene));
            }
        }
    }

    /// Puts a rule to the sighting of an object, which is made where there is none; tells which.
    fn note(&mut self, of: &mut Analyser, number: u32, matched: RuleMatch) -> Option<EventId> {
        let (camera, camera_number, clock) = (of.camera.clone(), of.camera_number, of.clock);
        let plate = match self.watch.key_of(number)? {
            Key::Plate(track) => of.memory.of_track(track),
            Key::Object(track) => of.memory.carried_by(track),
            Key::Gone => None,
        };
        // The plate that is on it now, else what it was told as before.
        let id = plate.as_ref().map(|f| f.id);
        let told = |o: &Open| Some(o.id) == id || (o.number == number && (id.is_none() || !o.of_plate));
        if let Some(open) = self.open.iter_mut().find(|o| told(o)) {
            if !open.rules.iter().any(|m| m.rule.number == matched.rule.number) {
                open.rules.push(matched);
            }
            return Some(open.id);
        }
        if let Some(f) = plate {
            let last = f.sighting(&camera, camera_number, clock, &of.settings);
            let id = f.id;
            self.open.push(Open { id, number, of_plate: true, told: false, rules: vec![matched], last });
            return Some(id);
        }
        let (id, known) = (of.new_id(of.now), self.known.iter().find(|k| k.number == number)?);
        let last = known.sighting(of, id, self.size);
        self.open.push(Open { id, number, of_plate: false, told: false, rules: vec![matched], last });
        Some(id)
    }

    /// The event that tells of an open sighting now.
    fn say(&mut self, of: &mut Analyser, id: EventId, scene: Option<&Scene<'_, '_>>) -> Option<SightingEvent> {
        let open = self.open.iter_mut().find(|o| o.id == id)?;
        let known = self.known.iter_mut().find(|k| k.number == open.number);
        let stage = if std::mem::replace(&mut open.told, true) { Stage::Update } else { Stage::New };
        let mut event = if open.of_plate {
            let (camera, number, clock) = (of.camera.clone(), of.camera_number, of.clock);
            let settings = of.settings.clone();
            let f = of.memory.of_id(id)?;
            let mut sighting = f.sighting(&camera, number, clock, &settings);
            if f.told.is_none() && f.trusted(&settings).is_none() {
                // What is not yet told for itself is not told by way of a rule.
                sighting.read = None;
            }
            let stage = if f.told.is_some() { Stage::Update } else { stage };
            SightingEvent::new(stage, sighting, f.pictures.take(), of.now)
        } else {
            let sighting = known.as_ref()?.sighting(of, id, self.size);
            SightingEvent { object: true, ..SightingEvent::new(stage, sighting, None, of.now) }
        };
        if event.pictures.is_none()
            && let Some(known) = known
        {
            let taken = scene.and_then(|scene| known.pictures(scene));
            event.pictures = taken.or_else(|| known.waiting.take().map(|(pictures, _)| pictures));
        }
        event.rules.clone_from(&open.rules);
        open.last = event.sighting.clone();
        Some(event)
    }

    /// Ends the sightings of objects that are gone.
    fn end(&mut self, of: &Analyser, told: &[Happened], at: TimeMs, events: &mut Vec<SightingEvent>) {
        for happened in told {
            let Happened::Gone(number) = happened else { continue };
            let known = self.known.iter().position(|k| k.number == *number).map(|at| self.known.swap_remove(at));
            let Some(index) = self.open.iter().position(|o| o.number == *number && !o.of_plate) else { continue };
            let open = self.open.swap_remove(index);
            let last = known.map_or_else(|| open.last.clone(), |k| k.sighting(of, open.id, self.size));
            events.push(open.end(last, at));
        }
    }

    /// Takes pictures of what waits for its time.
    fn keep_pictures(&mut self, scene: &Scene<'_, '_>, at: TimeMs) {
        for vehicle in scene.vehicles.unwrap_or_default() {
            let key = Key::Object(vehicle.track);
            let Some(number) = self.watch.number_of(key) else { continue };
            let waits = self.watch.waits(key);
            let Some(known) = self.known.iter_mut().find(|k| k.number == number) else { continue };
            if !waits {
                known.waiting = None;
            } else if known.waiting.as_ref().is_none_or(|(_, taken)| at.since(*taken) >= PICTURE_EVERY_MS) {
                known.waiting = known.pictures(scene).map(|pictures| (pictures, at));
                // One a look: they are no cheap thing.
                return;
            }
        }
    }
}

/// Vehicles and persons, and plates that are on none.
fn seen(of: &mut Analyser, scene: &Scene<'_, '_>) -> Vec<Seen> {
    let looks_for_vehicles = of.vehicles.as_ref().is_some_and(|v| v.fault().is_none());
    let vehicles = scene.vehicles.unwrap_or_default().iter().map(|v| Seen {
        key: Key::Object(v.track),
        class: v.class,
        rect: v.detection.rect,
        confirmed: v.confirmed,
    });
    let mut seen: Vec<Seen> = vehicles.collect();
    for update in scene.plates {
        let (Some(detection), Some(f)) = (scene.found.get(update.detection), of.memory.of_track(update.track)) else {
            continue;
        };
        let alone = !looks_for_vehicles || (f.carrier.is_looked_at() && !f.carrier.was_carried());
        if alone && !f.duplicate {
            let (key, confirmed) = (Key::Plate(update.track), update.confirmed);
            seen.push(Seen { key, class: Class::Plate, rect: detection.rect, confirmed });
        }
    }
    seen
}

impl Open {
    fn end(&self, sighting: Sighting, at: TimeMs) -> SightingEvent {
        let (rules, object) = (self.rules.clone(), !self.of_plate);
        SightingEvent { rules, object, ..SightingEvent::new(Stage::End, sighting, None, at) }
    }
}

impl Known {
    fn sighting(&self, of: &Analyser, id: EventId, (width, height): (f32, f32)) -> Sighting {
        let rect = self.rect.relative(width.max(1.0), height.max(1.0));
        let far = 0.3 * self.first.width().max(self.rect.width()).max(40.0);
        Sighting {
            id,
            camera: of.camera.clone(),
            camera_number: of.camera_number,
            track: self.track,
            begin: self.begin,
            end: self.end,
            clock: of.clock,
            class: self.class,
            vehicle: Some(Vehicle { class: self.class, confidence: self.confidence, colour: self.colour, rect }),
            read: None,
            rect,
            direction: way::direction(&self.first, &self.rect, far),
        }
    }

    /// Of a vehicle a crop and the scene, of a person the scene alone; persons are made unrecognisable in it.
    fn pictures(&self, scene: &Scene<'_, '_>) -> Option<Pictures> {
        let persons = scene.vehicles.unwrap_or_default().iter().filter(|v| v.class == Class::Person);
        let mut hidden: Vec<Rect> = persons.map(|p| p.detection.rect).collect();
        if self.class == Class::Person {
            hidden.push(self.rect);
        }
        let shown = (self.class != Class::Person).then_some(&self.rect);
        pictures::of_object(scene.frame, shown, &hidden)
    }
}
