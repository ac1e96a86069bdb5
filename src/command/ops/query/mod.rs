//! Reads, hits and pictures for investigators: what the three operations share.
//!
//! * **Bounds.** One person gets [`ROWS`] rows over all pages of one purpose and case (however it is spelled), from the last [`DAYS`] days. Beyond
//!   either a supervisor of the same organisation signs as well. Rows are counted on disk before they are given out.
//! * **Audit.** Each page is a record on disk before it leaves: person, organisation, purpose, case, a digest of the
//!   question and the number of rows. The digest is an HMAC under a key of the store: equal questions have equal digests,
//!   and nobody can find out by trying which plate was asked for. Rows of another organisation's list are a record more for
//!   each such organisation, which names both.
//! * **Cursor.** The place of the last row that was looked at, masked, with a MAC over question, person, purpose and case: it goes
//!   on with the same question of the same person, also after a restart, and with no other.
//! * **Size.** A page has at most [`ROWS`] rows and [`PAGE_BYTES`] of them, so that a signed reply holds it.

pub mod evidence;
pub mod hits;
pub mod reads;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::{Authorised, Refusal, Rooms};
use crate::centre::wire::Place as Position;
use crate::domain::alert::CandidateMark;
use crate::domain::{CameraId, Class, ClockState, EventId, How, Op, PlatePattern, PlateText, Reason, Sighting, TimeMs};
use crate::store::audit::Event;
use crate::store::{Place, Sought};

/// Rows of a page, and of one person, purpose and case without a supervisor.
pub const ROWS: u16 = 500;
/// Days back, today not counted, that are open without a supervisor.
pub const DAYS: u32 = 30;
/// Bytes of the rows of a page.
const PAGE_BYTES: usize = 46 << 10;
/// Cameras, lists and the like that a question may name.
const MOST_NAMED: usize = 64;
const DAY_MS: u64 = 86_400_000;

/// What is looked for. What is left out is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Asked {
    /// `A-Z`, `0-9`, `*` for any run of characters, `?` for one.
    #[n(0)]
    pub plate: Option<String>,
    /// How plates are compared with it; exact where it is left out.
    #[n(1)]
    pub how: Option<How>,
    /// Seen at this time or later; [`DAYS`] days ago where it is left out.
    #[n(2)]
    pub from: Option<TimeMs>,
    /// Seen at this time or earlier.
    #[n(3)]
    pub to: Option<TimeMs>,
    /// By one of these cameras.
    #[n(4)]
    pub cameras: Option<Vec<CameraId>>,
    /// Of one of these classes.
    #[n(5)]
    pub classes: Option<Vec<Class>>,
}

/// One read, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReadRow {
    /// Its sighting: what pictures are asked for by.
    #[n(0)]
    pub id: EventId,
    /// First seen.
    #[n(1)]
    pub begin: TimeMs,
    /// Last seen.
    #[n(2)]
    pub end: TimeMs,
    /// How far the clock could be trusted.
    #[n(3)]
    pub clock: ClockState,
    /// By which camera.
    #[n(4)]
    pub camera: CameraId,
    /// Of what.
    #[n(5)]
    pub class: Class,
    /// The plate as read.
    #[n(6)]
    pub plate: Option<PlateText>,
    /// Probability that it is right, ‰.
    #[n(7)]
    pub permille: Option<u16>,
    /// What else it may be, at most 3.
    #[n(8)]
    pub candidates: Option<Vec<CandidateMark>>,
    /// Issuing region.
    #[n(9)]
    pub region: Option<String>,
    /// Number of the vehicle's colour.
    #[n(10)]
    pub colour: Option<u8>,
    /// Heading in the picture, degrees clockwise from up.
    #[n(11)]
    pub direction: Option<u16>,
    /// Pictures that it was read from.
    #[n(12)]
    pub frames: Option<u16>,
}

/// `[camera, [latitude, longitude] in 1e-7 degrees, heading, road]`: where a camera of the rows stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CameraPlace {
    /// Which.
    #[n(0)]
    pub camera: CameraId,
    /// Where; the box's where the camera has none.
    #[n(1)]
    pub location: Option<[i32; 2]>,
    /// Degrees clockwise from north.
    #[n(2)]
    pub heading: Option<u16>,
    /// The road that it looks at.
    #[n(3)]
    pub road: Option<String>,
}

/// What a page says beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Page {
    /// Goes on behind the last row; not there when that was all. A page may have no rows and a cursor: much was looked
    /// at and nothing fitted.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub cursor: Option<Vec<u8>>,
    /// Rows that this person has got for this purpose and case, these included.
    #[n(1)]
    pub counted: u64,
    /// The time that was searched.
    #[n(2)]
    pub from: TimeMs,
    /// Its end.
    #[n(3)]
    pub to: TimeMs,
    /// Cameras that rows name.
    #[n(4)]
    pub cameras: Vec<CameraPlace>,
    /// Trust in the box's time now.
    #[n(5)]
    pub clock: ClockState,
}

impl ReadRow {
    fn of(sighting: &Sighting) -> Self {
        let read = sighting.read.as_ref();
        let permille = |share: f32| crate::store::permille(share);
        let others = read.map(|read| {
            let others = read.candidates.iter().filter(|c| c.text != read.text).take(3);
            others.map(|c| CandidateMark { text: c.text.clone(), permille: permille(c.confidence) }).collect::<Vec<_>>()
        });
        Self {
            id: sighting.id,
            begin: sighting.begin,
            end: sighting.end,
            clock: sighting.clock,
            camera: sighting.camera.clone(),
            class: sighting.class,
            plate: read.map(|read| read.text.clone()),
            permille: read.map(|read| permille(read.confidence)),
            candidates: others.filter(|others| !others.is_empty()),
            region: read.and_then(|read| read.region.clone()),
            colour: sighting.vehicle.and_then(|v| v.colour).map(|c| c.colour.number()),
            direction: sighting.direction,
            frames: read.map(|read| read.frames),
        }
    }
}

fn wrong(text: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Arguments, text)
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Internal, error.to_string())
}

/// A list of names of a question: none is no list.
fn named<T: Clone>(what: &str, list: Option<&Vec<T>>) -> Result<Vec<T>, Refusal> {
    match list {
        None => Ok(Vec::new()),
        Some(list) if (1..=MOST_NAMED).contains(&list.len()) => Ok(list.clone()),
        Some(list) => {
            Err(wrong(format!("{} {what} are named, 1 to {MOST_NAMED} may be; leave them out for all", list.len())))
        }
    }
}

impl Asked {
    fn sought(&self, now: TimeMs) -> Result<Sought, Refusal> {
        let how = self.how.unwrap_or(How::Exact);
        let plate = self.plate.as_deref().map(|text| PlatePattern::new(text, how)).transpose();
        let plate = plate.map_err(|error| wrong(error.to_string()))?;
        if plate.is_none() && self.how.is_some() {
            return Err(wrong("how plates are compared is said, and no plate"));
        }
        let from = self.from.unwrap_or(TimeMs(u64::from(now.day().saturating_sub(DAYS)) * DAY_MS));
        let to = self.to.unwrap_or(TimeMs(u64::MAX >> 1));
        if from > to {
            return Err(wrong(format!("the time ends ({to}) before it begins ({from})")));
        }
        let cameras = named("cameras", self.cameras.as_ref())?;
        let classes = named("classes", self.classes.as_ref())?;
        Ok(Sought { plate, from, to, cameras, classes, severities: Vec::new() })
    }
}

/// One page while it is asked for.
struct Asking<'a> {
    rooms: &'a Rooms,
    command: &'a Authorised,
    digest: [u8; 32],
    counted: u64,
    room: usize,
}

/// How full a page is.
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    /// Whether `row` still goes in; then it counts.
    fn takes(&mut self, row: &impl Encode<()>) -> bool {
        let bytes = super::encode(row).len();
        if self.rows == 0 || bytes > self.bytes {
            return false;
        }
        self.rows -= 1;
        self.bytes -= bytes;
        true
    }
}

/// Person, organisation, purpose and case: what cursors belong to.
fn whom(command: &Authorised) -> [&[u8]; 4] {
    let caller = command.caller();
    [
        caller.person.name.as_bytes(),
        caller.person.org.as_bytes(),
        caller.purpose.map_or("", crate::domain::Purpose::as_str).as_bytes(),
        caller.case.as_deref().unwrap_or("").as_bytes(),
    ]
}

/// As [`whom`], but that a case is one however its number is spelled: `K-17`, `k 17` and `K17` share their rows.
fn counted_as(command: &Authorised) -> [Vec<u8>; 4] {
    let [name, org, purpose, case] = whom(command).map(<[u8]>::to_vec);
    let spelled = String::from_utf8_lossy(&case);
    let plain: String = spelled.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    // A number of signs alone is what it is.
    let case = if plain.is_empty() { case } else { plain.into_bytes() };
    [name, org, purpose, case]
}

/// Refuses what lies further back than one person may look.
fn check_days(command: &Authorised, from: TimeMs, now: TimeMs) -> Result<(), Refusal> {
    if command.caller().is_supervised() || from.day().saturating_add(DAYS) >= now.day() {
        return Ok(());
    }
    let text = format!(
        "{from} is more than {DAYS} days ago: a supervisor of your organisation has to sign as well, or ask for less time"
    );
    Err(Refusal::new(Reason::Supervisor, text))
}

impl<'a> Asking<'a> {
    /// Checks the bounds. `question` is the CBOR of the question without limit and cursor.
    fn begin(
        rooms: &'a Rooms,
        command: &'a Authorised,
        question: &[u8],
        from: TimeMs,
        limit: Option<u16>,
    ) -> Result<Self, Refusal> {
        check_days(command, from, rooms.clock.utc())?;
        let limit = limit.unwrap_or(ROWS);
        if !(1..=ROWS).contains(&limit) {
            return Err(wrong(format!("a page of {limit} rows is asked for; it may have 1 to {ROWS}")));
        }
        let counted = rooms.store.counted(&counted_as(command).each_ref().map(Vec::as_slice));
        let left = u64::from(ROWS).saturating_sub(counted);
        if left == 0 && !command.caller().is_supervised() {
            let text = format!(
                "{counted} rows were given to {:?} for this purpose and case, {ROWS} is the most: a supervisor of your \
                 organisation has to sign as well",
                command.caller().person.name
            );
            return Err(Refusal::new(Reason::Supervisor, text));
        }
        let bound = if command.caller().is_supervised() { u64::from(ROWS) } else { left };
        let room = usize::from(limit).min(usize::try_from(bound).unwrap_or(usize::MAX));
        let digest = rooms.store.bind("question", &[command.op().as_str().as_bytes(), question]);
        Ok(Self { rooms, command, digest, counted, room })
    }

    fn room(&self) -> Room {
        Room { rows: self.room, bytes: PAGE_BYTES }
    }

    fn mac(&self, place: &[u8]) -> [u8; 32] {
        let [name, org, purpose, case] = whom(self.command);
        self.rooms.store.bind("cursor", &[&self.digest, place, name, org, purpose, case])
    }

    /// The place that a cursor tells.
    fn after(&self, cursor: Option<&Vec<u8>>) -> Result<Option<Place>, Refusal> {
        let Some(cursor) = cursor else { return Ok(None) };
        let place = cursor.split_first_chunk::<{ Place::LEN }>().and_then(|(hidden, mac)| {
            let place = self.masked(hidden, mac);
            let good = mac.len() == 16 && self.mac(&place).starts_with(mac);
            Place::parse(&place).filter(|_| good)
        });
        let text = "the cursor is of another question, person, purpose or case, or of another box: begin without one";
        place.map(Some).ok_or_else(|| wrong(text))
    }

    fn cursor(&self, place: &Place) -> Vec<u8> {
        let place = place.bytes();
        let mac = self.mac(&place);
        let mac = mac.get(..16).unwrap_or_default();
        [&self.masked(&place, mac)[..], mac].concat()
    }

    /// A place, or what hides it, the other way round: the row that was looked at last may be one that is not shown, and
    /// its name tells sighting, list and entry.
    fn masked(&self, place: &[u8; Place::LEN], mac: &[u8]) -> [u8; Place::LEN] {
        let mask = self.rooms.store.bind("cursor mask", &[&self.digest, mac]);
        let mut out = *place;
        out.iter_mut().zip(mask).for_each(|(o, m)| *o ^= m);
        out
    }

    /// Counts and audits what is about to be given out. `owners`: of other organisations' lists, with their rows.
    fn end(
        self,
        sought: &Sought,
        next: Option<Place>,
        rows: u64,
        cameras: &BTreeSet<CameraId>,
        owners: &[(String, u64)],
    ) -> Result<Page, Refusal> {
        let store = &self.rooms.store;
        let counted = if rows == 0 {
            self.counted
        } else {
            let whom = counted_as(self.command);
            store.count(&whom.each_ref().map(Vec::as_slice), rows).map_err(internal)?
        };
        let question = data_encoding::HEXLOWER.encode(self.digest.get(..16).unwrap_or_default());
        audit(self.rooms, self.command, Event::Queried, &[("question", question.clone()), ("rows", rows.to_string())])?;
        for (owner, rows) in owners {
            let details = [("question", question.clone()), ("owner", owner.clone()), ("rows", rows.to_string())];
            audit(self.rooms, self.command, Event::Queried, &details)?;
        }
        Ok(Page {
            cursor: next.map(|place| self.cursor(&place)),
            counted,
            from: sought.from,
            to: sought.to.min(self.rooms.clock.utc().max(sought.from)),
            cameras: places(self.rooms, cameras),
            clock: self.rooms.clock.state(),
        })
    }
}

/// Writes who asked for what into the audit log.
fn audit(rooms: &Rooms, command: &Authorised, event: Event, more: &[(&'static str, String)]) -> Result<(), Refusal> {
    let caller = command.caller();
    let mut details = vec![
        ("op", command.op().as_str().to_owned()),
        ("id", data_encoding::HEXLOWER.encode(command.id())),
        ("person", caller.person.name.clone()),
        ("org", caller.person.org.clone()),
        ("purpose", caller.purpose.map_or("", crate::domain::Purpose::as_str).to_owned()),
        ("case", caller.case.clone().unwrap_or_default()),
    ];
    if let Some(second) = &caller.second {
        details.push(("second", second.name.clone()));
    }
    details.extend(more.iter().cloned());
    rooms.store.audit(event, &details).map(drop).map_err(internal)
}

/// Where cameras stand that this configuration knows.
fn places(rooms: &Rooms, cameras: &BTreeSet<CameraId>) -> Vec<CameraPlace> {
    let known = rooms.config.cameras.iter().filter(|camera| cameras.contains(&camera.id));
    let place = |camera: &crate::config::Camera| {
        let degrees = camera.location.or(rooms.config.site.location).map(|(lat, lon)| [lat, lon]);
        let place = Position { location: degrees, heading: camera.heading, road: camera.road.clone() };
        let (location, heading, road) = place.told();
        CameraPlace { camera: camera.id.clone(), location, heading, road }
    };
    known.map(place).collect()
}

/// Whether `op` is one of these three; for clients.
#[must_use]
pub fn asks_for_plates(op: Op) -> bool {
    matches!(op, Op::ReadsQuery | Op::HitsQuery | Op::EvidenceGet)
}
