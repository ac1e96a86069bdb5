//! The plate column: what a search reads instead of every row. Sealed blocks of the index, each of one (day, class).
//!
//! ```text
//! key    c ‖ shelf 1 (s sightings, h hits) ‖ full 1 (0 small, 1 full) ‖ day 4 ‖ class 1 ‖ number 8
//! value  head: version 1 ‖ entries 2 ‖ first 8 ‖ last 8 (ms UTC of the oldest and the newest id)
//!        small: sealed; full: offset 8 ‖ length 4 of what is sealed, in the file of its (shelf, day, class)
//! sealed nonce 12 ‖ ciphertext ‖ tag 16, AES-256-GCM under the day's "value" subkey,
//!        AAD = "watchpost column 1" ‖ key ‖ head
//! plain  cameras 1, of each: length 1 ‖ id; then entries: name (16 sighting, 23 hit) ‖ camera 1 (index, 255 not known)
//!        ‖ mark 1 (class of a sighting, severity of a hit) ‖ length 1 ‖ plate
//! ```
//! Numbers are big-endian. Each ledger batch adds one small block for every (shelf, day, class) that it writes to; when
//! there are [`MERGE_AT`] of them they become full ones of up to [`FULL`] entries, so a read costs some 27 bytes and a
//! search opens one block for 256 of them. Full ones never change and lie in plain files beside sled (see `index/shelf`).
//!
//! An entry says what was true when its row was written. Rows that changed since are written again and have a newer
//! entry; so a search takes an entry for a *candidate* and looks at the row. A plate is in the column under the key of
//! its row's day and class and no other: it goes when they go. In the clear are the counts and times of a block, which the
//! ids of rows show as well.

use std::collections::BTreeMap;

use super::record::Bytes;
use super::seal::{class_byte, class_of};
use crate::domain::{CameraId, EventId, RetentionClass};

/// Most entries of a block. Like the other bounds small in unit tests, so that every one of them is met there.
pub(super) const FULL: usize = if cfg!(test) { 8 } else { 256 };
/// A block with so many entries is not merged any more.
const NEARLY_FULL: usize = FULL / 4 * 3;
/// Small blocks of one (shelf, day, class) that are merged.
pub(super) const MERGE_AT: usize = if cfg!(test) { 4 } else { 32 };
const VERSION: u8 = 1;
const HEAD: usize = 19;
/// Stands for a camera that is not known.
const NO_CAMERA: u8 = 255;

/// What a block tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Shelf {
    Sightings,
    Hits,
}

impl Shelf {
    fn byte(self) -> u8 {
        match self {
            Self::Sightings => b's',
            Self::Hits => b'h',
        }
    }

    /// Bytes of a name.
    pub(super) fn name_len(self) -> usize {
        match self {
            Self::Sightings => 16,
            Self::Hits => 23,
        }
    }
}

/// Name of a row: the id of a sighting, then the cause where it is a hit's. In the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) id: EventId,
    pub(super) cause: [u8; 7],
}

impl Name {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Bytes(bytes);
        let id = EventId(input.array()?);
        let cause = if input.0.is_empty() { [0; 7] } else { input.array()? };
        input.0.is_empty().then_some(Self { id, cause })
    }

    pub(super) fn bytes(&self, shelf: Shelf) -> Vec<u8> {
        let mut bytes = self.id.0.to_vec();
        bytes.extend(self.cause);
        bytes.truncate(shelf.name_len());
        bytes
    }

    /// Milliseconds of the id.
    pub(super) fn ms(&self) -> u64 {
        ms_of(&self.id)
    }
}

/// Milliseconds of a UUIDv7.
pub(super) fn ms_of(id: &EventId) -> u64 {
    id.0.iter().take(6).fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

/// One entry on its way into a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) camera: Option<CameraId>,
    pub(super) mark: u8,
    pub(super) plate: Vec<u8>,
}

/// One entry as it lies in an opened block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Bytes of its [`Name`].
    pub(super) name: &'a [u8],
    pub(super) camera: Option<&'a str>,
    pub(super) mark: u8,
    pub(super) plate: &'a [u8],
}

/// Which (shelf, day, class).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub(super) shelf: Shelf,
    pub(super) day: u32,
    pub(super) class: RetentionClass,
}

/// Which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockKey {
    pub(super) group: Group,
    pub(super) full: bool,
    pub(super) number: u64,
}

/// What is known of a block without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) entries: u16,
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
}

impl BlockKey {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut key = vec![b'c', self.group.shelf.byte(), u8::from(self.full)];
        key.extend(self.group.day.to_be_bytes());
        key.push(class_byte(self.group.class));
        key.extend(self.number.to_be_bytes());
        key
    }

    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let mut input = Bytes(key);
        (input.u8()? == b'c').then_some(())?;
        let shelf = match input.u8()? {
            b's' => Shelf::Sightings,
            b'h' => Shelf::Hits,
            _ => return None,
        };
        let full = match input.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (day, class) = (input.u32()?, class_of(input.u8()?)?);
        let number = input.u64()?;
        input.0.is_empty().then_some(Self { group: Group { shelf, day, class }, full, number })
    }

    /// What a block's seal binds beside its content.
    pub(super) fn aad(&self, head: &[u8]) -> Vec<u8> {
        let mut aad = b"watchpost column 1".to_vec();
        aad.extend(self.bytes());
        aad.extend(head);
        aad
    }
}

impl Head {
    fn of(entries: &[Entry]) -> Self {
        Self {
            entries: u16::try_from(entries.len()).unwrap_or(u16::MAX),
            first_ms: entries.iter().map(|e| e.name.ms()).min().unwrap_or(0),
            last_ms: entries.iter().map(|e| e.name.ms()).max().unwrap_or(0),
        }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        let mut head = vec![VERSION];
        head.extend(self.entries.to_be_bytes());
        head.extend(self.first_ms.to_be_bytes());
        head.extend(self.last_ms.to_be_bytes());
        head
    }

    /// The head of a block's value, and what is sealed behind it.
    pub(super) fn split(value: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let (head, sealed) = value.split_at_checked(HEAD)?;
        let mut input = Bytes(head);
        (input.u8()? == VERSION).then_some(())?;
        let entries = u16::from_be_bytes(input.array()?);
        Some((Self { entries, first_ms: input.u64()?, last_ms: input.u64()? }, head, sealed))
    }
}

/// Whether a block of so many entries is not merged any more.
pub(super) fn is_full(entries: usize) -> bool {
    entries >= NEARLY_FULL
}

/// Head and plain content of a block of at most [`FULL`] entries.
pub(super) fn encode(shelf: Shelf, entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let mut cameras: Vec<&str> = entries.iter().filter_map(|e| e.camera.as_ref().map(CameraId::as_str)).collect();
    cameras.sort_unstable();
    cameras.dedup();
    // At most FULL of them, names of at most 16 bytes and plates of at most 16: a byte holds each of these numbers.
    let byte = |n: usize| u8::try_from(n).unwrap_or(NO_CAMERA);
    let mut plain = vec![byte(cameras.len())];
    for camera in &cameras {
        plain.push(byte(camera.len()));
        plain.extend(camera.as_bytes());
    }
    for entry in entries {
        plain.extend(entry.name.bytes(shelf));
        let camera = entry.camera.as_ref().and_then(|c| cameras.binary_search(&c.as_str()).ok());
        plain.extend([camera.map_or(NO_CAMERA, byte), entry.mark, byte(entry.plate.len())]);
        plain.extend(&entry.plate);
    }
    (Head::of(entries).bytes(), plain)
}

/// Visits the entries of an opened block; `None` when it makes no sense.
pub(super) fn visit<'a>(shelf: Shelf, plain: &'a [u8], visit: &mut dyn FnMut(Seen<'a>)) -> Option<()> {
    let mut input = Bytes(plain);
    let count = input.u8()?;
    let mut cameras = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let len = usize::from(input.u8()?);
        cameras.push(std::str::from_utf8(input.take(len)?).ok()?);
    }
    while !input.0.is_empty() {
        let name = input.take(shelf.name_len())?;
        let camera = cameras.get(usize::from(input.u8()?)).copied();
        let mark = input.u8()?;
        let len = usize::from(input.u8()?);
        visit(Seen { name, camera, mark, plate: input.take(len)? });
    }
    Some(())
}

/// The entries of a block to be merged.
pub(super) fn decode(shelf: Shelf, plain: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut good = true;
    visit(shelf, plain, &mut |seen| {
        let found = seen.camera.map(CameraId::new).transpose().ok().zip(Name::parse(seen.name));
        good &= found.is_some();
        entries.extend(found.map(|(camera, name)| Entry { name, camera, mark: seen.mark, plate: seen.plate.to_vec() }));
    })?;
    good.then_some(entries)
}

/// Where a full block lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl Spot {
    /// What stands behind the head of a full block.
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.offset.to_be_bytes().to_vec();
        bytes.extend(self.len.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Bytes(bytes);
        let spot = Self { offset: input.u64()?, len: input.u32()? };
        input.0.is_empty().then_some(spot)
    }

    fn end(self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }
}

/// What the directory knows of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) head: Head,
    /// Of a full one.
    pub(super) spot: Option<Spot>,
}

impl Block {
    fn parse(key: &BlockKey, value: &[u8]) -> Option<Self> {
        let (head, _, rest) = Head::split(value)?;
        if !key.full {
            return Some(Self { head, spot: None });
        }
        Spot::parse(rest).map(|spot| Self { head, spot: Some(spot) })
    }
}

/// All blocks, by what is known of them without opening one: some 80 bytes for 256 reads.
#[derive(Debug, Default)]
pub(super) struct Directory {
    blocks: BTreeMap<BlockKey, Block>,
}

impl Directory {
    /// Takes a row of the index that begins with `c`; `false` when it makes no sense.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some(key) = BlockKey::parse(key) else { return false };
        let Some(block) = Block::parse(&key, value) else { return false };
        self.blocks.insert(key, block);
        true
    }

    /// Follows a change that was written.
    pub(super) fn follow(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.read(key, value);
            }
            None => {
                if let Some(key) = BlockKey::parse(key) {
                    self.blocks.remove(&key);
                }
            }
        }
    }

    /// The number of the next block of a group: greater than those of all that are there.
    pub(super) fn next_number(&self, group: Group) -> u64 {
        let last = |full| {
            let from = BlockKey { group, full, number: 0 };
            let to = BlockKey { number: u64::MAX, ..from };
            self.blocks.range(from..=to).next_back().map_or(0, |(key, _)| key.number)
        };
        last(false).max(last(true)) + 1
    }

    /// Whether a block is there.
    pub(super) fn has(&self, key: &BlockKey) -> bool {
        self.blocks.contains_key(key)
    }

    /// Small blocks of a group, oldest first.
    pub(super) fn small(&self, group: Group) -> Vec<BlockKey> {
        let from = BlockKey { group, full: false, number: 0 };
        self.blocks.range(from..=BlockKey { number: u64::MAX, ..from }).map(|(key, _)| *key).collect()
    }

    /// Groups of days that are over and still have several small blocks.
    pub(super) fn untidy(&self) -> Vec<Group> {
        let newest = self.blocks.keys().map(|key| key.group.day).max().unwrap_or(0);
        let mut small: BTreeMap<Group, usize> = BTreeMap::new();
        for key in self.blocks.keys().filter(|key| !key.full && key.group.day.saturating_add(1) < newest) {
            *small.entry(key.group).or_default() += 1;
        }
        small.into_iter().filter(|(_, count)| *count > 1).map(|(group, _)| group).collect()
    }

    /// Blocks of a shelf that may have entries within `first..=last` ms, the newest first.
    pub(super) fn within(&self, shelf: Shelf, first: u64, last: u64) -> Vec<(BlockKey, Block)> {
        let all = self.blocks.iter().filter(|(key, block)| {
            key.group.shelf == shelf && block.head.last_ms >= first && block.head.first_ms <= last
        });
        let mut found: Vec<(BlockKey, Block)> = all.map(|(key, block)| (*key, *block)).collect();
        found.sort_unstable_by_key(|(_, block)| std::cmp::Reverse(block.head.last_ms));
        found
    }

    /// How long the file of each group has to be.
    pub(super) fn file_ends(&self) -> BTreeMap<Group, u64> {
        let mut ends: BTreeMap<Group, u64> = BTreeMap::new();
        for (key, spot) in self.blocks.iter().filter_map(|(key, block)| Some((key, block.spot?))) {
            let end = ends.entry(key.group).or_default();
            *end = spot.end().max(*end);
        }
        ends
    }

    /// How many blocks there are, small and full.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let full = self.blocks.keys().filter(|key| key.full).count();
        (self.blocks.len() - full, full)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(n: u64, camera: Option<&str>, plate: &str) -> Entry {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        Entry {
            name: Name { id: EventId::from_parts(1_767_225_600_000 + n, random), cause: [0; 7] },
            camera: camera.map(|c| CameraId::new(c).unwrap()),
            mark: 1,
            plate: plate.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_block_is_as_drawn_and_comes_back() {
        let entries = [entry(1, Some("gate"), "AB123CD"), entry(2, None, "X1"), entry(9, Some("yard"), "")];
        let (head, plain) = encode(Shelf::Sightings, &entries);
        let group = Group { shelf: Shelf::Sightings, day: 20_454, class: RetentionClass::Minor };
        let key = BlockKey { group, full: true, number: 7 };
        let bytes = [key.bytes(), head.clone(), plain.clone()].concat();
        crate::store::golden("column-1.bin", &bytes);
        assert_eq!(decode(Shelf::Sightings, &plain).unwrap(), entries);
        assert_eq!(BlockKey::parse(&key.bytes()), Some(key));
        let (read, _, rest) = Head::split(&head).unwrap();
        assert_eq!((read.entries, read.last_ms - read.first_ms, rest.len()), (3, 8, 0));
    }

    #[test]
    fn numbers_go_up_over_small_and_full_blocks() {
        let mut directory = Directory::default();
        let group = Group { shelf: Shelf::Hits, day: 3, class: RetentionClass::Read };
        let (head, _) = encode(Shelf::Hits, &[entry(1, None, "A")]);
        assert_eq!(directory.next_number(group), 1);
        let spot = Spot { offset: 100, len: 30 };
        let full = [head.clone(), spot.bytes()].concat();
        assert!(directory.read(&BlockKey { group, full: true, number: 5 }.bytes(), &full));
        assert!(!directory.read(&BlockKey { group, full: true, number: 6 }.bytes(), &head), "it has to say where");
        assert_eq!(directory.file_ends()[&group], 130);
        assert!(directory.read(&BlockKey { group, full: false, number: 3 }.bytes(), &head));
        assert_eq!((directory.next_number(group), directory.counts()), (6, (1, 1)));
        assert_eq!(directory.next_number(Group { day: 4, ..group }), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_block_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _ = decode(Shelf::Sightings, &bytes);
            let _ = decode(Shelf::Hits, &bytes);
            let _ = Head::split(&bytes);
            if let Some(key) = BlockKey::parse(&bytes) {
                prop_assert_eq!(key.bytes(), bytes);
            }
        }
    }
}
