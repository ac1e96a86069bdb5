//! A vehicle or person that passed, with what was read of its plate.

use super::alert::Stage;
use super::colour::VehicleColour;
use super::detection::Class;
use super::geometry::Rect;
use super::id::{CameraId, EventId};
use super::plate::PlateRead;
use super::rule::RuleMatch;
use super::time::{ClockState, TimeMs};

/// A confirmed track, with or without a read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Its id; hits and alerts of it carry the same.
    pub id: EventId,
    /// Which camera saw it.
    pub camera: CameraId,
    /// That camera's number, as alerts name it.
    pub camera_number: u16,
    /// Track number on this camera, from 1 since the start of the daemon.
    pub track: u32,
    /// First frame it was in.
    pub begin: TimeMs,
    /// Last frame it was in so far.
    pub end: TimeMs,
    /// How far the clock could be trusted.
    pub clock: ClockState,
    /// Class of the vehicle, or [`Class::Plate`] when only its plate was tracked.
    pub class: Class,
    /// The vehicle that carries the plate, once frames agree on it; its class is that of the sighting then.
    pub vehicle: Option<Vehicle>,
    /// The fused read, once it can be trusted.
    pub read: Option<PlateRead>,
    /// The plate (or object) in its best frame, as shares of the picture: left, top, right, bottom.
    pub rect: [f32; 4],
    /// Heading in the picture, degrees clockwise from up, when it moved enough to tell.
    pub direction: Option<u16>,
}

/// The vehicle that a plate was seen on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vehicle {
    /// Car, bus, truck or motorbike, by vote of the frames that it was looked at in.
    pub class: Class,
    /// Probability that the class is right, 0..1.
    pub confidence: f32,
    /// Its colour, where its best crops showed one.
    pub colour: Option<VehicleColour>,
    /// Where it was when its plate was most readable, as shares of the picture: left, top, right, bottom.
    pub rect: [f32; 4],
}

/// Pictures that verify a sighting, coded as JPEG, from its best frame.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pictures {
    /// The rectified or cut-out plate.
    pub crop: Vec<u8>,
    /// The whole frame, scaled down.
    pub scene: Vec<u8>,
}

impl std::fmt::Debug for Pictures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pictures(crop {} bytes, scene {} bytes)", self.crop.len(), self.scene.len())
    }
}

/// What the analyser says of a track: `New` with the first read that can be trusted, `Update` when that read changed,
/// `End` when the track is over (always said, also for a track without a read).
#[derive(Debug, Clone)]
pub struct SightingEvent {
    /// Which of the three.
    pub stage: Stage,
    /// The sighting as it is known now.
    pub sighting: Sighting,
    /// Pictures, when they are new or better than those given before.
    pub pictures: Option<Pictures>,
    /// Capture time of the frame that caused it: what latency is measured from.
    pub cause_at: TimeMs,
    /// The rules whose object event has happened to it so far.
    pub rules: Vec<RuleMatch>,
    /// It is there for these rules alone: a vehicle or person without a plate. Where none of them makes a hit, nothing of
    /// it is kept.
    pub object: bool,
}

impl SightingEvent {
    /// What is said of a plate's sighting that no rule speaks of.
    #[must_use]
    pub fn new(stage: Stage, sighting: Sighting, pictures: Option<Pictures>, cause_at: TimeMs) -> Self {
        Self { stage, sighting, pictures, cause_at, rules: Vec::new(), object: false }
    }
}

impl Sighting {
    /// The box as an absolute rectangle of a picture of `width` × `height` pixels.
    #[must_use]
    pub fn rect_in(&self, width: f32, height: f32) -> Rect {
        let [x1, y1, x2, y2] = self.rect;
        Rect::new(x1 * width, y1 * height, x2 * width, y2 * height)
    }
}
