//! The index's part in the plate column: blocks added with each batch, merged, read; and the plate index of exact texts.
//!
//! Called by [`Index::apply`](super::Index::apply) and by [`search`](super::super::search). Errors are those of the index:
//! a block that does not open means that the index is not trusted any more, and it is made anew from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use super::super::column::{self, Block, BlockKey, Directory, Entry, FULL, Group, Head, MERGE_AT, Name, Shelf};
use super::shelf::Reader;
use super::{Changes, Index, Kind, Meta, bad_row, failed, guard, plate_prefix, row_key, row_record};
use crate::domain::{CameraId, EventId, RetentionClass};
use crate::store::error::Error;
use crate::store::record::Record;
use crate::store::row::{self, HitRow, PlateMark, ReadFacts};

/// What a batch adds to the column.
#[derive(Default)]
pub(super) struct Additions {
    entries: BTreeMap<Group, Vec<Entry>>,
    cameras: HashMap<EventId, CameraId>,
}

impl Additions {
    /// A sighting with a read.
    pub(super) fn sighting(&mut self, record: &Record, read: ReadFacts) {
        let Some(name) = Name::parse(&record.name) else { return };
        self.cameras.insert(name.id, read.camera.clone());
        // The number of a class is below 6.
        let mark = u8::try_from(read.class as usize).unwrap_or(u8::MAX);
        let plate = match &read.plate {
            PlateMark::Text(plate) => plate.as_str().as_bytes().to_vec(),
            // Found by its exact text alone, through the plate index.
            PlateMark::Hashed(_) => Vec::new(),
        };
        self.put(Shelf::Sightings, record, Entry { name, camera: Some(read.camera), mark, plate });
    }

    fn put(&mut self, shelf: Shelf, record: &Record, entry: Entry) {
        let group = Group { shelf, day: record.day, class: record.class };
        let entries = self.entries.entry(group).or_default();
        entries.retain(|old| old.name != entry.name);
        entries.push(entry);
    }
}

impl Index {
    pub(super) fn column(&self) -> MutexGuard<'_, Directory> {
        self.column.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The read of a sighting record, and the key of its plate row; `None` when it has none or its key was destroyed.
    pub(super) fn read_of(&self, record: &Record) -> Result<Option<(ReadFacts, Vec<u8>)>, Error> {
        let Some(plain) = self.opened(record)? else { return Ok(None) };
        let Some(read) = row::read_facts(&plain)? else { return Ok(None) };
        let Some(key) = self.keys.for_reading(record.day, record.class)? else { return Ok(None) };
        let mac = match &read.plate {
            PlateMark::Text(plate) => key.plate_mac(plate.as_str()),
            PlateMark::Hashed(mac) => *mac,
        };
        let mut out = plate_prefix(record.day, record.class);
        out.extend(mac);
        out.extend(&record.name);
        Ok(Some((read, out)))
    }

    /// What a record seals; `None` when its key was destroyed, or when it does not open.
    fn opened(&self, record: &Record) -> Result<Option<Vec<u8>>, Error> {
        match record.open(&self.keys) {
            Err(error @ Error::Unsealed { .. }) => {
                // The row is kept as it is: rebuilding would only meet it again.
                tracing::error!(%error, "a row does not open and cannot be found by its plate");
                Ok(None)
            }
            opened => opened,
        }
    }

    /// Takes a hit into what a batch adds.
    pub(super) fn add_hit(&self, record: &Record, added: &mut Additions) -> Result<(), Error> {
        let (Some(name), Some(plain)) = (Name::parse(&record.name), self.opened(record)?) else { return Ok(()) };
        let row: HitRow = row::decode("hit row", &plain)?;
        let camera = match added.cameras.get(&name.id) {
            Some(camera) => Some(camera.clone()),
            None => self.camera_of(name.id)?.inspect(|camera| {
                added.cameras.insert(name.id, camera.clone());
            }),
        };
        let plate = row.alert.plate.as_ref().map_or_else(Vec::new, |plate| plate.as_str().as_bytes().to_vec());
        // The number of a severity is below 4.
        let mark = u8::try_from(row.alert.severity as usize).unwrap_or(u8::MAX);
        added.put(Shelf::Hits, record, Entry { name, camera, mark, plate });
        Ok(())
    }

    /// The camera of a sighting that was stored before, or without a read in this batch.
    fn camera_of(&self, id: EventId) -> Result<Option<CameraId>, Error> {
        let key = row_key(Kind::Sighting, &id.0);
        let found = self.db()?.get(&key).map_err(|e| failed(&e))?;
        let Some(record) = found.and_then(|value| row_record(&key, &value)) else { return Ok(None) };
        let plain = self.opened(&record)?;
        plain.map(|plain| row::sighting(&plain).map(|sighting| sighting.camera)).transpose()
    }

    /// Writes what a batch adds as small blocks; returns the groups that have one more.
    pub(super) fn add_blocks(&self, added: Additions, changes: &mut Changes) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        for (group, entries) in added.entries {
            let first = self.column().next_number(group);
            for (number, some) in (first..).zip(entries.chunks(FULL)) {
                let key = BlockKey { group, full: false, number };
                if let Some(value) = self.sealed_block(key, some)? {
                    changes.insert(key.bytes(), Some(value));
                }
            }
            groups.push(group);
        }
        Ok(groups)
    }

    /// A block's value; `None` when its key was destroyed.
    fn sealed_block(&self, key: BlockKey, entries: &[Entry]) -> Result<Option<Vec<u8>>, Error> {
        let Some(data_key) = self.keys.if_readable(key.group.day, key.group.class)? else { return Ok(None) };
        let (mut value, plain) = column::encode(key.group.shelf, entries);
        let sealed = data_key.value.seal(&self.keys.random, &key.aad(&value), &plain)?;
        value.extend(sealed);
        Ok(Some(value))
    }

    /// Merges the small blocks of a group when there are many.
    pub(super) fn merge_if_due(&self, group: Group, meta: &mut Meta) -> Result<(), Error> {
        // Fewer tries where a full disk keeps them from being merged.
        let small = self.column().small(group).len();
        if small >= MERGE_AT && small.is_multiple_of(MERGE_AT) { self.merge_or_wait(group, meta) } else { Ok(()) }
    }

    /// [`Index::merge`]; what a disk that is full or broken does not take stays as it is: small blocks are found as well.
    pub(super) fn merge_or_wait(&self, group: Group, meta: &mut Meta) -> Result<(), Error> {
        match self.merge(group, meta) {
            Err(error @ Error::Io { .. }) => {
                tracing::warn!(%error, "small blocks of the plate column stay as they are");
                Ok(())
            }
            merged => merged,
        }
    }

    /// Puts the small blocks of a group together, in the order of time: full ones, and a small one of what is left.
    fn merge(&self, group: Group, meta: &mut Meta) -> Result<(), Error> {
        let (small, first) = {
            let column = self.column();
            (column.small(group), column.next_number(group))
        };
        let mut changes = Changes::new();
        let mut entries: BTreeMap<Name, Entry> = BTreeMap::new();
        for key in small {
            let Some(plain) = self.opened_small(key)? else { continue };
            let found = column::decode(group.shelf, &plain).ok_or_else(bad_block)?;
            // Oldest block first: what a row says last is what counts.
            entries.extend(found.into_iter().map(|entry| (entry.name, entry)));
            changes.insert(key.bytes(), None);
        }
        let entries: Vec<Entry> = entries.into_values().collect();
        let (mut full, mut sealed) = (Vec::new(), Vec::new());
        for (number, some) in (first..).zip(entries.chunks(FULL)) {
            let key = BlockKey { group, full: column::is_full(some.len()), number };
            let Some(value) = self.sealed_block(key, some)? else { return Ok(()) };
            if !key.full {
                changes.insert(key.bytes(), Some(value));
                continue;
            }
            let (_, head, body) = Head::split(&value).ok_or_else(bad_block)?;
            full.push((key, head.to_vec()));
            sealed.push(body.to_vec());
        }
        if !sealed.is_empty() {
            for ((key, mut value), spot) in full.into_iter().zip(self.shelves.append(group, &sealed)?) {
                value.extend(spot.bytes());
                changes.insert(key.bytes(), Some(value));
            }
        }
        let mut next = *meta;
        self.write(&mut next, changes)?;
        *meta = next;
        Ok(())
    }

    /// Content of a small block; `None` when it is not there any more, or its key is not.
    fn opened_small(&self, key: BlockKey) -> Result<Option<Vec<u8>>, Error> {
        let Some(value) = self.db()?.get(key.bytes()).map_err(|e| failed(&e))? else { return Ok(None) };
        let (_, head, sealed) = Head::split(&value).ok_or_else(bad_block)?;
        self.unsealed(key, head, sealed)
    }

    fn unsealed(&self, key: BlockKey, head: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(data_key) = self.keys.if_readable(key.group.day, key.group.class)? else { return Ok(None) };
        data_key.value.open(&key.aad(head), sealed).map(Some).ok_or_else(bad_block)
    }

    /// Blocks of a shelf that may have entries within `first..=last` ms, the newest first, and what they hold for.
    pub(in crate::store) fn blocks(&self, shelf: Shelf, first: u64, last: u64) -> ([u8; 8], Vec<(BlockKey, Block)>) {
        (self.opening, self.column().within(shelf, first, last))
    }

    /// Small and full blocks.
    #[cfg(test)]
    pub(in crate::store) fn block_counts(&self) -> (usize, usize) {
        self.column().counts()
    }

    /// Content of a block that [`Index::blocks`] told of; `None` when it was merged, deleted, or the index is another.
    pub(in crate::store) fn block(
        &self,
        opening: [u8; 8],
        (key, block): (BlockKey, Block),
        reader: &mut Reader,
    ) -> Result<Option<Vec<u8>>, Error> {
        guard(&self.broken, || {
            // Also says so when the index is closed.
            self.db()?;
            if self.opening != opening || !self.column().has(&key) {
                return Ok(None);
            }
            let Some(spot) = block.spot else { return self.opened_small(key) };
            let Some(sealed) = reader.read(&self.shelves, key.group, spot)? else { return Ok(None) };
            self.unsealed(key, &block.head.bytes(), &sealed)
        })
    }

    /// Names of sightings of day and class whose plate has this index value, below `before`, newest first.
    pub(in crate::store) fn by_plate(
        &self,
        (day, class): (u32, RetentionClass),
        mac: &[u8],
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventId>, Error> {
        guard(&self.broken, || {
            let mut prefix = plate_prefix(day, class);
            prefix.extend(mac);
            let end = [prefix.as_slice(), &before.map_or([0xFF; 16], |id| id.0)].concat();
            let rows = self.db()?.range(prefix.clone()..end).rev().take(limit);
            rows.map(|row| {
                let (key, _) = row.map_err(|e| failed(&e))?;
                let id = key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
                id.map(EventId).ok_or_else(|| bad_row(Kind::Sighting))
            })
            .collect()
        })
    }
}

fn bad_block() -> Error {
    Error::Index { what: "a block of the plate column is damaged".to_owned() }
}
