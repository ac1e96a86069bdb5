//! What is sealed inside sighting and hit records: CBOR maps with integer keys, written down once, here.
//!
//! A row carries its version under key 0; a field that is absent is left out. The character lattice is not kept: texts
//! with their probabilities are what a person or a query can use later. A golden file pins the bytes.

use minicbor::{Decode, Encode};

use super::accounting::Salt;
use super::error::Error;
use super::seal::PLATE_MAC_LEN;
use crate::domain::alert::CandidateMark;
use crate::domain::{
    Alert, CameraId, Candidate, Class, ClockState, Colour, EventId, Lattice, ListId, Ownership, PlateRead, PlateText,
    RuleId, Sighting, TimeMs, Vehicle, VehicleColour,
};

const ROW_VERSION: u8 = 1;

/// A sighting as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct SightingRow {
    #[n(0)]
    version: u8,
    #[n(1)]
    id: EventId,
    #[n(2)]
    camera: CameraId,
    #[n(3)]
    camera_number: u16,
    #[n(4)]
    track: u32,
    #[n(5)]
    begin: TimeMs,
    #[n(6)]
    end: TimeMs,
    #[n(7)]
    clock: ClockState,
    #[n(8)]
    class: Class,
    #[n(9)]
    read: Option<ReadRow>,
    #[n(10)]
    rect: [u16; 4],
    #[n(11)]
    direction: Option<u16>,
    /// Since vehicles are looked for; rows from before have none.
    #[n(12)]
    vehicle: Option<VehicleRow>,
    /// Of a read that is kept as a hash alone: the plate's index value under the key that seals the row.
    #[cbor(n(13), with = "minicbor::bytes")]
    hashed: Option<[u8; PLATE_MAC_LEN]>,
}

/// `[class, colour, ‰, box, ‰ of the colour]`; the last is left out where no colour is known.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct VehicleRow {
    #[n(0)]
    class: Class,
    /// Its number, when known.
    #[n(1)]
    colour: Option<u8>,
    #[n(2)]
    permille: u16,
    #[n(3)]
    rect: [u16; 4],
    /// Since colours are told; rows from before have none.
    #[n(4)]
    colour_permille: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct ReadRow {
    #[n(0)]
    text: PlateText,
    #[n(1)]
    permille: u16,
    #[n(2)]
    characters: Vec<u16>,
    #[n(3)]
    candidates: Vec<CandidateMark>,
    #[n(4)]
    region: Option<String>,
    #[n(5)]
    frames: u16,
}

/// A hit as it lies in the store: the newest alert of it, and what alerts leave out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct HitRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) alert: Alert,
    #[n(2)]
    pub(super) list: Option<ListId>,
    #[n(3)]
    pub(super) rule: Option<RuleId>,
    /// Probability that the plate is the entry's, ‰.
    #[n(4)]
    pub(super) match_permille: Option<u16>,
    /// The list was past its freshness.
    #[n(5)]
    pub(super) stale: Option<bool>,
    /// When it was stored first.
    #[n(6)]
    pub(super) first_at: TimeMs,
    /// When it was stored last.
    #[n(7)]
    pub(super) stored_at: TimeMs,
    /// Whose the list was; rows from before owners have none.
    #[n(8)]
    pub(super) owner: Option<Ownership>,
    /// Random, for the commitment to the alert in the audit log; rows from before have none.
    #[n(9)]
    pub(super) salt: Option<Salt>,
}

/// A share of 0..1 in ‰.
#[must_use]
pub fn permille(share: f32) -> u16 {
    scaled(share, 1000.0)
}

/// A share of 0..1 in steps of 1/65535.
#[must_use]
pub fn share16(share: f32) -> u16 {
    scaled(share, 65535.0)
}

/// What [`share16`] stands for.
fn share_of(steps: u16) -> f32 {
    f32::from(steps) / 65535.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=65535 before; NaN gives 0")]
fn scaled(share: f32, full: f32) -> u16 {
    (share.clamp(0.0, 1.0) * full).round() as u16
}

impl SightingRow {
    pub(super) fn of(sighting: &Sighting) -> Self {
        Self {
            version: ROW_VERSION,
            id: sighting.id,
            camera: sighting.camera.clone(),
            camera_number: sighting.camera_number,
            track: sighting.track,
            begin: sighting.begin,
            end: sighting.end,
            clock: sighting.clock,
            class: sighting.class,
            read: sighting.read.as_ref().map(ReadRow::of),
            rect: sighting.rect.map(share16),
            direction: sighting.direction,
            vehicle: sighting.vehicle.as_ref().map(VehicleRow::of),
            hashed: None,
        }
    }

    /// Camera and time of a read, and `mac` in place of its plate: all that is kept where reads are hashed.
    pub(super) fn hashed(sighting: &Sighting, mac: [u8; PLATE_MAC_LEN]) -> Self {
        let bare = Sighting {
            track: 0,
            class: Class::Plate,
            vehicle: None,
            read: None,
            rect: [0.0; 4],
            direction: None,
            ..sighting.clone()
        };
        Self { hashed: Some(mac), ..Self::of(&bare) }
    }

    fn into_sighting(self) -> Sighting {
        Sighting {
            id: self.id,
            camera: self.camera,
            camera_number: self.camera_number,
            track: self.track,
            begin: self.begin,
            end: self.end,
            clock: self.clock,
            class: self.class,
            read: self.read.map(ReadRow::into_read),
            rect: self.rect.map(share_of),
            direction: self.direction,
            vehicle: self.vehicle.map(VehicleRow::into_vehicle),
        }
    }
}

impl VehicleRow {
    fn of(vehicle: &Vehicle) -> Self {
        Self {
            class: vehicle.class,
            colour: vehicle.colour.map(|c| c.colour.number()),
            permille: permille(vehicle.confidence),
            rect: vehicle.rect.map(share16),
            colour_permille: vehicle.colour.map(|c| permille(c.confidence)),
        }
    }

    fn into_vehicle(self) -> Vehicle {
        let share = |permille: u16| f32::from(permille) / 1000.0;
        let colour = self.colour.and_then(Colour::of_number).zip(self.colour_permille);
        Vehicle {
            class: self.class,
            confidence: share(self.permille),
            colour: colour.map(|(colour, sure)| VehicleColour { colour, confidence: share(sure) }),
            rect: self.rect.map(share_of),
        }
    }
}

impl ReadRow {
    fn of(read: &PlateRead) -> Self {
        let mark = |c: &Candidate| CandidateMark { text: c.text.clone(), permille: permille(c.confidence) };
        Self {
            text: read.text.clone(),
            permille: permille(read.confidence),
            characters: read.char_confidences.iter().map(|c| permille(*c)).collect(),
            candidates: read.candidates.iter().take(10).map(mark).collect(),
            region: read.region.clone(),
            frames: read.frames,
        }
    }

    fn into_read(self) -> PlateRead {
        let share = |permille: u16| f32::from(permille) / 1000.0;
        PlateRead {
            text: self.text,
            confidence: share(self.permille),
            char_confidences: self.characters.into_iter().map(share).collect(),
            candidates: self
                .candidates
                .into_iter()
                .map(|c| Candidate { text: c.text, confidence: share(c.permille) })
                .collect(),
            lattice: Lattice::default(),
            region: self.region,
            regions: Vec::new(),
            frames: self.frames,
        }
    }
}

impl HitRow {
    pub(super) const VERSION: u8 = ROW_VERSION;
}

/// `{0: version, 1: value}`: rows whose values know no version themselves.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Versioned<T> {
    #[n(0)]
    version: u8,
    #[n(1)]
    value: T,
}

/// The CBOR of a row with its version.
pub(super) fn with_version<T: Encode<()>>(value: &T) -> Vec<u8> {
    encode(&Versioned { version: ROW_VERSION, value })
}

/// A row from its CBOR with its version; one of a newer version is not guessed at.
pub(super) fn versioned<'b, T: Decode<'b, ()>>(what: &str, plain: &'b [u8]) -> Result<T, Error> {
    let row: Versioned<T> = decode(what, plain)?;
    if row.version == ROW_VERSION {
        return Ok(row.value);
    }
    let source = minicbor::decode::Error::message(format!("version {}, known is {ROW_VERSION}", row.version));
    Err(Error::Decode { what: what.to_owned(), source })
}

/// The CBOR of a row.
pub(super) fn encode(row: &impl Encode<()>) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to a vector has no way to fail.
    let _ = minicbor::encode(row, &mut out);
    out
}

/// A row from its CBOR.
pub(super) fn decode<'b, T: Decode<'b, ()>>(what: &str, plain: &'b [u8]) -> Result<T, Error> {
    minicbor::decode(plain).map_err(|source| Error::Decode { what: what.to_owned(), source })
}

/// The sighting in an opened record.
pub(super) fn sighting(plain: &[u8]) -> Result<Sighting, Error> {
    decode::<SightingRow>("sighting row", plain).map(SightingRow::into_sighting)
}

/// What the plate column holds of a sighting with a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadFacts {
    pub(super) camera: CameraId,
    pub(super) class: Class,
    pub(super) plate: PlateMark,
}

/// What a sighting row says of its plate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlateMark {
    /// The text.
    Text(PlateText),
    /// The index value alone.
    Hashed([u8; PLATE_MAC_LEN]),
}

/// The read in an opened sighting record, where there is one.
pub(super) fn read_facts(plain: &[u8]) -> Result<Option<ReadFacts>, Error> {
    let row: SightingRow = decode("sighting row", plain)?;
    let plate = row.read.map(|read| PlateMark::Text(read.text)).or(row.hashed.map(PlateMark::Hashed));
    Ok(plate.map(|plate| ReadFacts { camera: row.camera, class: row.class, plate }))
}

/// The index value of a read that is kept as a hash.
pub(super) fn hash_of(plain: &[u8]) -> Result<Option<[u8; PLATE_MAC_LEN]>, Error> {
    Ok(decode::<SightingRow>("sighting row", plain)?.hashed)
}

/// A hashed sighting row with another hash, or with none: for another key the old one says nothing.
pub(super) fn rehashed(plain: &[u8], mac: Option<[u8; PLATE_MAC_LEN]>) -> Result<Vec<u8>, Error> {
    let row = decode::<SightingRow>("sighting row", plain)?;
    Ok(encode(&SightingRow { hashed: mac, ..row }))
}

#[cfg(test)]
mod tests {
    use super::super::testkit::event;
    use super::*;
    use crate::domain::Stage;

    #[test]
    fn sightings_with_a_vehicle_and_without_have_golden_bytes_and_come_back() {
        let seen = event(1, Stage::End, Some("AB123CD")).sighting;
        let plain = Vehicle { class: Class::Truck, confidence: 0.874, colour: None, rect: [0.0, 0.1, 0.5, 1.0] };
        let red = Some(VehicleColour { colour: Colour::Red, confidence: 0.731 });
        for (name, vehicle) in [
            ("sighting-1.bin", None),
            ("sighting-vehicle-1.bin", Some(plain)),
            ("sighting-colour-1.bin", Some(Vehicle { colour: red, ..plain })),
        ] {
            let bytes = encode(&SightingRow::of(&Sighting { vehicle, ..seen.clone() }));
            crate::store::golden(name, &bytes);
            let again = sighting(&bytes).unwrap();
            let facts = |v: Vehicle| (v.class, v.confidence, v.colour);
            assert_eq!(again.vehicle.map(facts), vehicle.map(facts));
            assert!(again.vehicle.is_none_or(|v| (v.rect[2] - 0.5).abs() < 1e-4 && v.rect[3] >= 1.0));
        }
    }
}
