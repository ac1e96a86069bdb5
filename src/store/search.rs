//! Searching: reads and hits by plate, time, camera, class and severity, newest first, page after page.
//!
//! An exact plate is looked up in the plate index of each (day, class) by its HMAC. Everything else reads the plate column
//! ([`mod@column`]), the newest blocks first, and no more of it than the page needs. Either way what is found
//! are *candidates*: each one's row is opened and has to answer the question itself, so an entry that is out of date does
//! no harm, and what is deleted is not found.
//!
//! Rows come in the order of their names, the newest first: a UUIDv7 tells its time. A [`Place`] is the name of the last
//! row that was looked at, so it stays good while rows are written, changed and deleted, and over a restart: nothing that
//! was there when the search began is told twice or left out. Memory is bounded by [`ROUND`] names and one block; a call
//! looks at no more than [`MOST_ROWS`] rows and then gives the place to go on from, so that a rare answer in a large store
//! does not hold up who asks. Locks are held for one block or one row at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use super::column::{self, Group, Name, Shelf, ms_of};
use super::error::Error;
use super::index::shelf::Reader;
use super::query::StoredHit;
use super::record::Kind;
use crate::domain::{CameraId, Class, EventId, PlatePattern, PlateText, Severity, Sighting, TimeMs};

/// Candidates that are gathered at a time.
const ROUND: usize = if cfg!(test) { 8 } else { 512 };
/// Rows that one call looks at. Like the other bounds small in unit tests, so that every one of them is met there.
const MOST_ROWS: usize = if cfg!(test) { 20 } else { 20_000 };
/// An id is made with the first trusted look at a track, which may have begun this much before.
const BEGAN_BEFORE_MS: u64 = 600_000;
/// Times that a round is begun anew because blocks were merged under it.
const TRIES: usize = 16;

/// What is looked for; an empty list stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// The plate.
    pub plate: Option<PlatePattern>,
    /// Seen at this time or later.
    pub from: TimeMs,
    /// Seen at this time or earlier.
    pub to: TimeMs,
    /// By one of these cameras.
    pub cameras: Vec<CameraId>,
    /// Of one of these classes.
    pub classes: Vec<Class>,
    /// Of one of these severities; of hits alone.
    pub severities: Vec<Severity>,
}

impl Default for Sought {
    /// Everything.
    fn default() -> Self {
        Self {
            plate: None,
            from: TimeMs(0),
            to: TimeMs(u64::MAX),
            cameras: Vec::new(),
            classes: Vec::new(),
            severities: Vec::new(),
        }
    }
}

/// Where a search stands: behind a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Name);

impl Place {
    /// Bytes of a place.
    pub const LEN: usize = 23;

    /// For a cursor.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out.iter_mut().zip(self.0.bytes(Shelf::Hits)).for_each(|(o, b)| *o = b);
        out
    }

    /// From a cursor.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        Name::parse(bytes).map(Self)
    }
}

/// What a visitor says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// It was looked at: go on.
    On,
    /// There is no room for it: stop before it.
    Full,
}

impl Sought {
    fn fits(&self, sighting: &Sighting) -> bool {
        (self.from..=self.to).contains(&sighting.begin)
            && (self.cameras.is_empty() || self.cameras.contains(&sighting.camera))
            && (self.classes.is_empty() || self.classes.contains(&sighting.class))
    }

    fn fits_plate(&self, plate: Option<&PlateText>) -> bool {
        let text = plate.map_or(&[][..], |plate| plate.as_str().as_bytes());
        self.plate.as_ref().is_none_or(|pattern| pattern.matches(text))
    }

    fn fits_read(&self, sighting: &Sighting) -> bool {
        sighting.read.as_ref().is_some_and(|read| self.fits_plate(Some(&read.text))) && self.fits(sighting)
    }

    fn fits_hit(&self, hit: &StoredHit, sighting: &Sighting) -> bool {
        self.fits_plate(hit.alert.plate.as_ref())
            && (self.severities.is_empty() || self.severities.contains(&hit.alert.severity))
            && self.fits(sighting)
    }

    /// What can be told of an entry without its row: `false` only where the row can't fit.
    fn may_fit(&self, shelf: Shelf, seen: &column::Seen<'_>) -> bool {
        let marked = |mark: usize| mark == usize::from(seen.mark);
        let mark = match shelf {
            Shelf::Sightings => self.classes.is_empty() || self.classes.iter().any(|c| marked(*c as usize)),
            Shelf::Hits => self.severities.is_empty() || self.severities.iter().any(|s| marked(*s as usize)),
        };
        mark && seen
            .camera
            .is_none_or(|camera| self.cameras.is_empty() || self.cameras.iter().any(|c| c.as_str() == camera))
            && self.plate.as_ref().is_none_or(|pattern| pattern.matches(seen.plate))
    }

    /// First and last millisecond of the ids that may fit.
    fn ids(&self) -> (u64, u64) {
        (self.from.0, self.to.0.saturating_add(BEGAN_BEFORE_MS))
    }
}

/// The greatest names, at most [`ROUND`].
struct Best {
    names: BTreeSet<Name>,
    before: Option<Name>,
    ids: (u64, u64),
    /// Something was left out.
    more: bool,
}

impl Best {
    fn offer(&mut self, name: Name) {
        let ms = name.ms();
        if self.before.is_some_and(|before| name >= before) || ms < self.ids.0 || ms > self.ids.1 {
            return;
        }
        if self.names.len() >= ROUND {
            if self.names.first().is_some_and(|least| name < *least) {
                self.more = true;
                return;
            }
            if self.names.insert(name) {
                self.names.pop_first();
                self.more = true;
            }
            return;
        }
        self.names.insert(name);
    }

    /// Whether nothing up to `last_ms` can be among them.
    fn beats(&mut self, last_ms: u64) -> bool {
        let beats = self.names.len() >= ROUND && self.names.first().is_some_and(|least| least.ms() > last_ms);
        self.more |= beats;
        beats
    }
}

impl Store {
    /// Visits the reads (sightings with a plate) that fit, newest first, from behind `after`. Returns the place to go on
    /// from, or nothing when that was all.
    ///
    /// # Errors
    /// When the index fails or is being rebuilt; whatever `visit` says.
    pub fn search_reads(
        &self,
        sought: &Sought,
        after: Option<Place>,
        visit: &mut dyn FnMut(&Sighting) -> Visit,
    ) -> Result<Option<Place>, Error> {
        self.search(Shelf::Sightings, sought, after, &mut |name| {
            let found = match sought.plate.as_ref().and_then(PlatePattern::one_text) {
                Some(plate) => self.sighting_as(name.id, &plate)?,
                None => self.sighting(name.id)?,
            };
            Ok(found.filter(|sighting| sought.fits_read(sighting)).map_or(Visit::On, |sighting| visit(&sighting)))
        })
    }

    /// Visits the hits that fit with their sightings, newest first, as [`Store::search_reads`] does.
    ///
    /// # Errors
    /// As [`Store::search_reads`].
    pub fn search_hits(
        &self,
        sought: &Sought,
        after: Option<Place>,
        visit: &mut dyn FnMut(&StoredHit, &Sighting) -> Visit,
    ) -> Result<Option<Place>, Error> {
        self.search(Shelf::Hits, sought, after, &mut |name| {
            let found = self.0.index().get(Kind::Hit, &name.bytes(Shelf::Hits));
            let Some((record, plain)) = self.opened(found)? else { return Ok(Visit::On) };
            let hit = self.stored_hit(&record, &plain)?;
            let Some(sighting) = self.sighting(name.id)? else { return Ok(Visit::On) };
            Ok(if sought.fits_hit(&hit, &sighting) { visit(&hit, &sighting) } else { Visit::On })
        })
    }

    fn search(
        &self,
        shelf: Shelf,
        sought: &Sought,
        after: Option<Place>,
        look: &mut dyn FnMut(&Name) -> Result<Visit, Error>,
    ) -> Result<Option<Place>, Error> {
        let mut last = after.map(|place| place.0);
        let mut looked = 0;
        loop {
            let best = self.candidates(shelf, sought, last)?;
            for name in best.names.iter().rev() {
                if looked == MOST_ROWS {
                    return Ok(last.map(Place));
                }
                let visit = match look(name) {
                    Err(error @ (Error::Unsealed { .. } | Error::Decode { .. })) => {
                        // One damaged row must not end every search that comes to it.
                        tracing::error!(%error, "a row does not open and is left out of an answer");
                        Visit::On
                    }
                    other => other?,
                };
                looked += 1;
                if visit == Visit::Full {
                    return Ok(Some(last.map_or(FIRST, Place)));
                }
                last = Some(*name);
            }
            if !best.more {
                return Ok(None);
            }
        }
    }

    fn candidates(&self, shelf: Shelf, sought: &Sought, before: Option<Name>) -> Result<Best, Error> {
        let one = sought.plate.as_ref().and_then(PlatePattern::one_text).filter(|_| shelf == Shelf::Sightings);
        for _ in 0..TRIES {
            let best = Best { names: BTreeSet::new(), before, ids: sought.ids(), more: false };
            let found = match &one {
                Some(plate) => self.by_index(plate, best),
                None => self.by_column(shelf, sought, best),
            };
            if let Some(best) = found.inspect_err(|error| self.0.judge_index(error))? {
                return Ok(best);
            }
        }
        Err(Error::IndexRebuilding)
    }

    /// Sightings with exactly this plate.
    fn by_index(&self, plate: &PlateText, mut best: Best) -> Result<Option<Best>, Error> {
        let mut groups: BTreeMap<Group, u64> = BTreeMap::new();
        for (key, block) in self.0.index().blocks(Shelf::Sightings, best.ids.0, best.ids.1).1 {
            let last = groups.entry(key.group).or_default();
            *last = block.head.last_ms.max(*last);
        }
        let mut groups: Vec<(Group, u64)> = groups.into_iter().collect();
        groups.sort_unstable_by_key(|(_, last)| std::cmp::Reverse(*last));
        for (group, last) in groups {
            if best.beats(last) {
                break;
            }
            let Some(key) = self.0.keys.if_readable(group.day, group.class)? else { continue };
            let mac = key.plate_mac(plate.as_str());
            let before = best.before.map(|name| name.id).into_iter().chain([last_of(best.ids.1)]).min();
            let ids = self.0.index().by_plate((group.day, group.class), &mac, before, ROUND + 1)?;
            for id in ids {
                best.offer(Name { id, cause: [0; 7] });
            }
        }
        Ok(Some(best))
    }

    /// By the column; `None` when blocks were merged under it.
    fn by_column(&self, shelf: Shelf, sought: &Sought, mut best: Best) -> Result<Option<Best>, Error> {
        let until = best.before.map_or(best.ids.1, |name| name.ms().min(best.ids.1));
        let (opening, blocks) = self.0.index().blocks(shelf, best.ids.0, until);
        let mut reader = Reader::default();
        for (key, block) in blocks {
            if best.beats(block.head.last_ms) {
                break;
            }
            // A lock for this block alone.
            let opened = self.0.index().block(opening, (key, block), &mut reader)?;
            let Some(plain) = opened else {
                if self.0.keys.if_readable(key.group.day, key.group.class)?.is_some() {
                    return Ok(None);
                }
                // Deleted with its key.
                continue;
            };
            let mut good = true;
            let sound = column::visit(shelf, &plain, &mut |seen| {
                if sought.may_fit(shelf, &seen) {
                    let name = Name::parse(seen.name);
                    good &= name.is_some();
                    if let Some(name) = name {
                        best.offer(name);
                    }
                }
            });
            let sound = sound.filter(|()| good);
            sound.ok_or_else(|| Error::Index { what: "a block of the plate column is damaged".to_owned() })?;
        }
        Ok(Some(best))
    }
}

/// Before everything.
const FIRST: Place = Place(Name { id: EventId([0xFF; 16]), cause: [0xFF; 7] });

/// The least id that is after `ms`.
fn last_of(ms: u64) -> EventId {
    let mut id = [0xFF; 16];
    id.iter_mut().zip(ms.to_be_bytes().into_iter().skip(2)).for_each(|(i, b)| *i = b);
    let id = EventId(id);
    if ms >= 1 << 48 {
        EventId([0xFF; 16])
    } else {
        debug_assert_eq!(ms_of(&id), ms);
        id
    }
}
