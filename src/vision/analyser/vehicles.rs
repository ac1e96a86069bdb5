//! Vehicles and persons beside the plates: looked for now and then, followed, and tied to the plates that they carry.
//!
//! Class, colour and carrier are found by vote, not in one frame: a vehicle's class and colour by its best looks
//! ([`super::votes`]), a plate's carrier is the vehicle that it was in most often, of late. A plate in no vehicle stays a plate. Where the
//! plates' own model tells of vehicles, every frame is a look; a model of their own is run every
//! [`Settings::vehicles_every`], and at once for a plate that no look has seen yet, so that the first that is told of it
//! names the vehicle. Such a model's failure costs vehicles and no read. Sightings of vehicles
//! without a plate and of persons are made by rules ([`super::objects`]).

use std::time::Duration;

use super::memory::Memory;
use super::scene::{Marked, covering};
use super::votes::Tally;
use super::{Error, FindPlates, Settings};
use crate::domain::{Class, Detection, Rect, Vehicle, VehicleColour};
use crate::vision::area::Area;
use crate::vision::colour::Scene;
use crate::vision::fuse::readability;
use crate::vision::mask::Seen;
use crate::vision::track::{EndedTrack, TrackUpdate, Tracker};
use crate::vision::{model, tie};

/// Where vehicles come from.
pub enum VehicleSource {
    /// The finder of plates tells of them too.
    SamePass,
    /// A finder of their own.
    Own(Box<dyn FindPlates>),
}

impl VehicleSource {
    /// As the models were loaded; `None` when vehicles are not looked for.
    #[must_use]
    pub fn of(vehicles: &model::Vehicles) -> Option<Self> {
        match vehicles {
            model::Vehicles::Off => None,
            model::Vehicles::SamePass => Some(Self::SamePass),
            model::Vehicles::Own(detector) => Some(Self::Own(Box::new(std::sync::Arc::clone(detector)))),
        }
    }
}

/// What is seen around the region of interest, a share of the picture's width.
const AROUND: f32 = 0.15;

/// Confidence from which a class is told: it is rather right than wrong.
const TELL: f32 = 0.5;

/// What is left of a carrier's votes at the next look that finds one, and at the next that finds none.
const FADING: f32 = 0.9;
const FADING_UNSEEN: f32 = 0.97;

/// What a look counts in which a plate is in no vehicle: models overlook vehicles far more often than plates have none.
const NONE: f32 = 0.25;

/// Most that passed are remembered until somebody asks.
const MOST_PASSED: usize = 1024;

/// Share of the votes that a carrier needs, and how many vehicles are remembered of one plate.
const MAJORITY: f32 = 0.6;
const MOST_CARRIERS: usize = 4;

/// A carrier's votes and its confidence from which its class is worth an update.
const SETTLED: (f32, f32) = (2.0, 0.75);

/// A vehicle in the frame that was looked at.
#[derive(Debug, Clone)]
pub(super) struct SeenVehicle {
    pub track: u32,
    pub detection: Detection,
    /// By vote so far.
    pub class: Class,
    pub confidence: f32,
    pub colour: Option<VehicleColour>,
    /// Where it was seen first.
    pub first: Rect,
    /// Its track is sure.
    pub confirmed: bool,
}

/// Vehicles and persons of one camera.
pub(super) struct Vehicles {
    source: VehicleSource,
    tracker: Tracker,
    tallies: Vec<Tally>,
    every: Duration,
    last: Option<Duration>,
    /// Why the model failed last time; said once until it works again.
    fault: Option<String>,
    /// Those whose tracks ended since they were asked for.
    passed: Vec<Class>,
}

impl Vehicles {
    pub(super) fn new(source: VehicleSource, settings: &Settings) -> Self {
        let (tracker, every) = (Tracker::new(settings.track.clone()), settings.vehicles_every);
        Self { source, tracker, tallies: Vec::new(), every, last: None, fault: None, passed: Vec::new() }
    }

    /// Takes another source; tracks go on.
    pub(super) fn take_source(&mut self, source: VehicleSource) {
        (self.source, self.fault) = (source, None);
    }

    /// The vehicles of `frame`, when this is a frame to look at: `passed` is what the plates' finder told beside
    /// plates, `wanted` whether a plate waits for a look.
    pub(super) fn look(
        &mut self,
        frame: &Seen<'_>,
        area: Area,
        passed: Vec<Detection>,
        wanted: bool,
    ) -> Option<Vec<SeenVehicle>> {
        let due = self.last.is_none_or(|t| frame.pts.checked_sub(t).is_none_or(|waited| waited >= self.every));
        let mut found = match &self.source {
            VehicleSource::SamePass => passed,
            VehicleSource::Own(_) if !due && (!wanted || self.fault.is_some()) => return None,
            VehicleSource::Own(finder) => match finder.find(frame, widened(area, frame)) {
                Ok(found) => {
                    self.fault = None;
                    found
                }
                Err(error) => {
                    self.last = Some(frame.pts);
                    if self.fault.is_none() {
                        tracing::error!(%error, "vehicles not looked for");
                    }
                    self.fault = Some(error.to_string());
                    return None;
                }
            },
        };
        self.last = Some(frame.pts);
        found.retain(|d| d.class != Class::Plate);
        let rivals = tie::one_of_each(&mut found);
        Some(self.follow(frame, &found, &rivals))
    }

    /// Whether the next look is wanted soon: something is not yet sure or was not seen at the last one.
    pub(super) fn is_restless(&self) -> bool {
        self.tracker.is_restless()
    }

    /// Nothing moved up to `at`.
    pub(super) fn hold(&mut self, at: Duration) {
        self.tracker.hold(at);
    }

    /// `rivals` are what models told of another class at the place of one of `found`, by its index.
    fn follow(&mut self, frame: &Seen<'_>, found: &[Detection], rivals: &[(usize, Detection)]) -> Vec<SeenVehicle> {
        let step = self.tracker.step(frame.pts, found);
        self.end(&step.ended);
        let mut seen = Vec::with_capacity(step.seen.len());
        let scene = Scene::of(frame);
        for update in &step.seen {
            let Some(detection) = found.get(update.detection) else { continue };
            let at = self.tallies.iter().position(|t| t.track == update.track).unwrap_or_else(|| {
                self.tallies.push(Tally::new(update.track, detection.rect));
                self.tallies.len() - 1
            });
            let Some(tally) = self.tallies.get_mut(at) else { continue };
            let beside = rivals.iter().filter(|(at, _)| *at == update.detection).map(|(_, rival)| rival);
            tally.add(detection, beside, &scene, frame.size());
            seen.extend(tally.seen(detection, update.confirmed));
        }
        seen
    }

    /// Forgets tracks that are over; sure ones passed, as what most votes say.
    fn end(&mut self, ended: &[EndedTrack]) {
        for track in ended {
            let Some(at) = self.tallies.iter().position(|t| t.track == track.track) else { continue };
            let tally = self.tallies.swap_remove(at);
            if track.confirmed && self.passed.len() < MOST_PASSED {
                self.passed.extend(tally.class().map(|b| b.0));
            }
        }
    }

    /// Ends all tracks: the stream is over or begins again.
    pub(super) fn end_all(&mut self) {
        let ended = self.tracker.end_all();
        self.end(&ended);
        self.last = None;
    }

    /// Vehicles and persons whose tracks ended since the last call.
    pub(super) fn take_passed(&mut self) -> Vec<Class> {
        std::mem::take(&mut self.passed)
    }

    /// What covers the persons in all of `frame`, followed or not; `plates` finds them where no model of their own does.
    pub(super) fn persons(&self, frame: &Seen<'_>, plates: &dyn FindPlates) -> Result<Vec<Rect>, Error> {
        let finder = match &self.source {
            VehicleSource::SamePass => plates,
            VehicleSource::Own(finder) => &**finder,
        };
        let found = finder.find(frame, Area::whole(frame))?;
        Ok(found.iter().filter(|d| d.class == Class::Person).map(|d| covering(&d.rect)).collect())
    }

    /// Everything that is followed. What may be a person is one.
    pub(super) fn marked(&self) -> impl Iterator<Item = Marked> {
        self.tracker.tracks().map(|track| {
            let voted = self.tallies.iter().find(|t| t.track == track.id()).and_then(Tally::class);
            let voted = voted.map_or(track.class(), |(class, _)| class);
            let class = if track.class() == Class::Person { Class::Person } else { voted };
            Marked::of(track, class)
        })
    }

    /// Why vehicles can't be looked for, while they can't.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

impl Memory {
    /// Whether a plate that is surely tracked was never looked at.
    pub(super) fn wants_look(&mut self, seen: &[TrackUpdate]) -> bool {
        let mut unseen = |u: &TrackUpdate| self.of_track(u.track).is_some_and(|f| !f.carrier.is_looked_at());
        seen.iter().any(|u| u.confirmed && unseen(u))
    }

    /// Lets the vehicles of a look vote on which of them carries which of the plates `seen` in the same frame of `size`.
    pub(super) fn tie(
        &mut self,
        vehicles: &[SeenVehicle],
        seen: &[TrackUpdate],
        found: &[Detection],
        size: (f32, f32),
    ) {
        let plates: Vec<(u32, &Detection)> =
            seen.iter().filter_map(|u| Some((u.track, found.get(u.detection)?))).collect();
        let before: Vec<Option<u32>> = plates.iter().map(|p| self.of_track(p.0)?.carrier.track()).collect();
        let same = |p: usize, v: usize| {
            let vehicle = vehicles.get(v).map(|v| v.track);
            vehicle.is_some() && before.get(p).copied().flatten() == vehicle
        };
        let (boxes, around): (Vec<_>, Vec<_>) =
            (plates.iter().map(|p| p.1).collect(), vehicles.iter().map(|v| &v.detection).collect());
        for ((track, plate), carrier) in plates.iter().zip(tie::carriers(&boxes, &around, same)) {
            if let Some(f) = self.of_track(*track) {
                f.carrier.vote(carrier, vehicles, readability(plate), size);
            }
        }
    }
}

/// More than where plates are looked for: a vehicle is larger than the region that its plate must be in.
fn widened(area: Area, frame: &Seen<'_>) -> Area {
    Area::around(&area.rect().grown(AROUND * frame.size().0), frame).unwrap_or(area)
}

/// One vehicle's claim to a plate.
#[derive(Debug, Clone)]
struct Claim {
    track: u32,
    votes: f32,
    vehicle: Vehicle,
    /// How readable the plate was where `vehicle.rect` was taken.
    quality: f32,
    first: Rect,
    last: Rect,
}

/// Who carries a plate, by the looks so far.
#[derive(Debug, Default)]
pub(super) struct Carrier {
    claims: Vec<Claim>,
    none: f32,
    looks: u32,
}

impl Carrier {
    /// Whether a look has seen the plate.
    pub(super) fn is_looked_at(&self) -> bool {
        self.looks > 0
    }

    /// Whether a look has ever found it on a vehicle.
    pub(super) fn was_carried(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Track of the vehicle that carries it, as far as is known.
    pub(super) fn track(&self) -> Option<u32> {
        self.best().map(|c| c.track)
    }

    /// Takes in a look that found the plate in the vehicle `at` of `all`, or in none; `quality` is how readable the plate
    /// was, `size` the frame's.
    pub(super) fn vote(&mut self, at: Option<usize>, all: &[SeenVehicle], quality: f32, size: (f32, f32)) {
        self.looks = self.looks.saturating_add(1);
        self.none *= FADING;
        let seen = at.and_then(|at| all.get(at));
        for claim in &mut self.claims {
            claim.votes *= if seen.is_some() { FADING } else { FADING_UNSEEN };
        }
        let Some(seen) = seen else {
            self.none += NONE;
            return;
        };
        let rect = seen.detection.rect.relative(size.0.max(1.0), size.1.max(1.0));
        let now = Vehicle { class: seen.class, confidence: seen.confidence, colour: seen.colour, rect };
        let known = self.claims.iter().position(|c| c.track == seen.track);
        // A track that broke off goes on under another number.
        let gone = |c: &Claim| c.vehicle.class == seen.class && !all.iter().any(|v| v.track == c.track);
        let known = known.or_else(|| self.claims.iter().position(gone));
        if let Some(claim) = known.and_then(|i| self.claims.get_mut(i)) {
            claim.track = seen.track;
            claim.votes += 1.0;
            claim.last = seen.detection.rect;
            let rect = if quality > claim.quality { rect } else { claim.vehicle.rect };
            claim.quality = claim.quality.max(quality);
            // A track that began anew goes by what was seen of the colour before, until it tells one itself.
            claim.vehicle = Vehicle { rect, colour: now.colour.or(claim.vehicle.colour), ..now };
            return;
        }
        let (track, first, last) = (seen.track, seen.first, seen.detection.rect);
        self.claims.sort_by(|a, b| b.votes.total_cmp(&a.votes));
        self.claims.truncate(MOST_CARRIERS - 1);
        self.claims.push(Claim { track, votes: 1.0, vehicle: now, quality, first, last });
    }

    /// Goes on with what `other` knew, where that is more.
    pub(super) fn merge(&mut self, other: Self) {
        if other.looks > self.looks {
            *self = other;
        }
    }

    fn best(&self) -> Option<&Claim> {
        let all: f32 = self.claims.iter().map(|c| c.votes).sum();
        let best = self.claims.iter().max_by(|a, b| a.votes.total_cmp(&b.votes))?;
        (best.votes > self.none && best.votes >= MAJORITY * all).then_some(best)
    }

    /// The vehicle that carries the plate, where its class can be told.
    pub(super) fn vehicle(&self) -> Option<Vehicle> {
        self.best().map(|c| c.vehicle).filter(|v| v.confidence >= TELL)
    }

    /// Where it was seen first and last: how it moves.
    pub(super) fn path(&self) -> Option<(Rect, Rect)> {
        self.best().map(|c| (c.first, c.last))
    }

    /// Its class, once enough looks agree on it that it will hardly change.
    pub(super) fn settled(&self) -> Option<Class> {
        let (votes, confidence) = SETTLED;
        let best = self.best().filter(|c| c.votes >= votes && c.vehicle.confidence >= confidence)?;
        Some(best.vehicle.class)
    }
}
