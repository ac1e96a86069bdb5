//! A hold: what must not be deleted while a case needs it.

use minicbor::{Decode, Encode};

use super::id::{CameraId, EventId};
use super::plate::PlateText;
use super::sighting::Sighting;
use super::time::TimeMs;
use super::verdict::Mark;

/// What a hold keeps, of the past and of what comes while it stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum HoldScope {
    /// One sighting with its hits.
    #[n(0)]
    Hit(#[n(0)] EventId),
    /// Every sighting that was read as exactly this plate, or whose hit was found to be a misread of it.
    #[n(1)]
    Plate(#[n(0)] PlateText),
    /// What a camera saw in a span of time; ends belong to it.
    #[n(2)]
    Span(#[n(0)] CameraSpan),
}

/// A camera and a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CameraSpan {
    /// Which camera.
    #[n(0)]
    pub camera: CameraId,
    /// Its number, as alerts name it, where it is known.
    #[n(1)]
    pub number: Option<u16>,
    /// First moment.
    #[n(2)]
    pub from: TimeMs,
    /// Last moment.
    #[n(3)]
    pub to: TimeMs,
}

impl HoldScope {
    /// What kind it is, for audit records and messages: names no plate.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Plate(_) => "plate",
            Self::Span(_) => "span",
        }
    }

    /// Whether it keeps this sighting, by what the sighting itself says.
    #[must_use]
    pub fn covers(&self, sighting: &Sighting) -> bool {
        match self {
            Self::Hit(id) => *id == sighting.id,
            Self::Plate(plate) => sighting.read.as_ref().is_some_and(|read| read.text == *plate),
            Self::Span(span) => {
                span.camera == sighting.camera && span.from <= sighting.end && sighting.begin <= span.to
            }
        }
    }
}

/// What somebody asks to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldWish {
    /// What.
    pub scope: HoldScope,
    /// For which case.
    pub case: String,
    /// Why.
    pub reason: String,
    /// When somebody must look whether it is still needed.
    pub review: TimeMs,
    /// Who asks, and when.
    pub placed: Mark,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hold {
    /// Its number on this box, from 1, never used twice.
    #[n(0)]
    pub number: u32,
    /// What it keeps.
    #[n(1)]
    pub scope: HoldScope,
    /// For which case.
    #[n(2)]
    pub case: String,
    /// Why, in words.
    #[n(3)]
    pub reason: String,
    /// When somebody must look whether it is still needed. Nothing happens by itself then but that it is told.
    #[n(4)]
    pub review: TimeMs,
    /// Who placed it, and when.
    #[n(5)]
    pub placed: Mark,
}

impl Hold {
    /// Longest reason, in bytes.
    pub const MAX_REASON: usize = 300;
    /// Most holds in force at a time.
    pub const MAX: usize = 1_000;

    /// Whether its review is due.
    #[must_use]
    pub fn is_overdue(&self, now: TimeMs) -> bool {
        self.review <= now
    }
}
