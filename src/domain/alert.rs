//! The alert: what the centre is told of a hit, with the CBOR keys of the wire and of the outbox.
//!
//! One encoding serves both: the outbox keeps exactly the payload that is signed and sent. Keys are those of
//! `docs/wire.cddl`; a field that is absent is left out, not null. A golden file pins the bytes.

use minicbor::{Decode, Encode};

use super::detection::Class;
use super::hit::{How, Severity};
use super::id::EventId;
use super::plate::PlateText;
use super::time::{ClockState, TimeMs};

/// Version of the alert format.
pub const ALERT_VERSION: u8 = 1;

/// Identifies one life of a store: made with it, new after a salvage. Sequence numbers count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Epoch(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 8]);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::str::FromStr for Epoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no epoch: 16 hex digits"))
    }
}

/// Where in the life of a sighting an alert is; all stages carry one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// The first that is said of it.
    #[n(0)]
    New,
    /// Something that was said changed.
    #[n(1)]
    Update,
    /// The track is over.
    #[n(2)]
    End,
}

impl Stage {
    /// The word in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Update => "update",
            Self::End => "end",
        }
    }
}

/// `[list number, list serial, entry, how, expiry day]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MatchMark {
    /// Number of the list.
    #[n(0)]
    pub list: u16,
    /// Serial of the list.
    #[n(1)]
    pub serial: u32,
    /// Number of the entry in it.
    #[n(2)]
    pub entry: u32,
    /// How the plate matched.
    #[n(3)]
    pub how: How,
    /// Last valid day of the entry, from 1970-01-01.
    #[n(4)]
    pub expiry_day: Option<u32>,
}

/// `[text, ‰]`: a plate that it may be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CandidateMark {
    /// The text.
    #[n(0)]
    pub text: PlateText,
    /// Its probability, per mille.
    #[n(1)]
    pub permille: u16,
}

/// `[class, colour, ‰]` of the vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct VehicleMark {
    /// Its class.
    #[n(0)]
    pub class: Class,
    /// The number of its [`Colour`](super::Colour), when known. Numbers that this version does not know are taken in:
    /// an alert is not lost for a colour.
    #[n(1)]
    pub colour: Option<u8>,
    /// Probability of the class, per mille.
    #[n(2)]
    pub permille: u16,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Alert {
    /// [`ALERT_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Id of the hit's sighting; the same in all stages.
    #[n(1)]
    pub id: EventId,
    /// The store's epoch.
    #[n(2)]
    pub epoch: Epoch,
    /// Number within the epoch, from 1, never used twice.
    #[n(3)]
    pub seq: u64,
    /// Stage.
    #[n(4)]
    pub stage: Stage,
    /// Severity.
    #[n(5)]
    pub severity: Severity,
    /// Capture time of the frame that caused it.
    #[n(6)]
    pub time: TimeMs,
    /// Trust in that time.
    #[n(7)]
    pub clock: ClockState,
    /// Camera number.
    #[n(8)]
    pub camera: u16,
    /// Track number on that camera.
    #[n(9)]
    pub track: u32,
    /// The plate as read.
    #[n(10)]
    pub plate: Option<PlateText>,
    /// Probability that it is right, per mille.
    #[n(11)]
    pub confidence: Option<u16>,
    /// Up to 3 other texts that it may be.
    #[n(12)]
    pub candidates: Option<Vec<CandidateMark>>,
    /// Issuing region.
    #[n(13)]
    pub region: Option<String>,
    /// The entry that matched.
    #[n(14)]
    pub matched: Option<MatchMark>,
    /// Number of the rule that matched.
    #[n(15)]
    pub rule: Option<u16>,
    /// The vehicle.
    #[n(16)]
    pub vehicle: Option<VehicleMark>,
    /// Heading in the picture, degrees.
    #[n(17)]
    pub direction: Option<u16>,
    /// Plate or object in the picture: left, top, right, bottom, 0..65535.
    #[n(18)]
    pub rect: Option<[u16; 4]>,
    /// How many frames were read.
    #[n(19)]
    pub frames: Option<u16>,
    /// First 16 bytes of the SHA-256 of the crop.
    #[cbor(n(20), with = "minicbor::bytes")]
    pub crop: Option<[u8; 16]>,
    /// Names the set of models and config that made it; `health` resolves it.
    #[cbor(n(21), with = "minicbor::bytes")]
    pub state: Option<[u8; 4]>,
    /// The list that matched is past its freshness; absent when it is not.
    #[n(22)]
    pub stale: Option<bool>,
}

/// Version of the shed format.
pub const SHED_VERSION: u8 = 1;

/// Says that the copies of the alerts `first..=last` were shed from a full outbox; the hits stay in the store.
///
/// It has a seq of its own, is sent in place of them and acknowledged like an alert: no silent hole. A run is
/// unbroken: no seq of it is left at the box, each was shed or acknowledged before.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shed {
    /// [`SHED_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The store's epoch.
    #[n(1)]
    pub epoch: Epoch,
    /// Its own number within the epoch, greater than `last`.
    #[n(2)]
    pub seq: u64,
    /// First seq that was shed.
    #[n(3)]
    pub first: u64,
    /// Last seq that was shed.
    #[n(4)]
    pub last: u64,
    /// Highest severity among them.
    #[n(5)]
    pub severity: Severity,
    /// When.
    #[n(6)]
    pub time: TimeMs,
}

/// The centre's signed word that it has alerts: all up to `upto` and those in `also`.
///
/// `centre::wire` gives it its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The epoch that the numbers count in.
    pub epoch: Epoch,
    /// Every seq up to and with this one has been received.
    pub upto: u64,
    /// Closed ranges above `upto` that have been received as well, ascending, at most 16.
    pub also: Vec<(u64, u64)>,
}

impl Alert {
    /// Most [`Alert::candidates`].
    pub const MAX_CANDIDATES: usize = 3;
    /// Longest [`Alert::region`], in bytes: ASCII letters, digits and `-`.
    pub const MAX_REGION: usize = 8;

    /// Whether it takes an earlier alert of the same id back: the read was corrected and nothing matches any more.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.stage != Stage::New && self.matched.is_none() && self.rule.is_none()
    }

    /// Cuts what would not fit on the wire: the region to 8 characters, the candidates to 3, shares to 1000 ‰.
    ///
    /// With it a signed alert stays below 384 bytes. Whoever makes an alert calls it before the alert is stored, so
    /// that what is stored is what is sent.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.region = self.region.and_then(|region| {
            let text: String =
                region.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(Self::MAX_REGION).collect();
            (!text.is_empty()).then_some(text)
        });
        self.candidates = self.candidates.filter(|list| !list.is_empty());
        if let Some(candidates) = &mut self.candidates {
            candidates.truncate(Self::MAX_CANDIDATES);
            for candidate in candidates {
                candidate.permille = candidate.permille.min(1000);
            }
        }
        self.confidence = self.confidence.map(|c| c.min(1000));
        if let Some(vehicle) = &mut self.vehicle {
            vehicle.permille = vehicle.permille.min(1000);
        }
        self.direction = self.direction.map(|d| d % 360);
        self
    }
}

impl Ack {
    /// Most ranges in [`Ack::also`].
    pub const MAX_RANGES: usize = 16;

    /// Whether `seq` is acknowledged.
    #[must_use]
    pub fn covers(&self, seq: u64) -> bool {
        seq <= self.upto || self.also.iter().any(|(a, b)| (*a..=*b).contains(&seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_covers_the_prefix_and_the_ranges() {
        let ack = Ack { epoch: Epoch([7; 8]), upto: 10, also: vec![(12, 14)] };
        let covered: Vec<u64> = (9..=16).filter(|s| ack.covers(*s)).collect();
        assert_eq!(covered, [9, 10, 12, 13, 14]);
    }
}
