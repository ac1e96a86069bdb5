//! Clips of hits and views of cameras: what is kept beside the rows and comes after them.
//!
//! [`RecorderHandle::attach`] seals the file, writes and syncs it on the caller's thread, and has the recorder commit the row
//! that tells of it: a clip of many megabytes on a slow medium holds up no hit. A clip lies under a key of its own, and its row, which
//! carries that, under the key of its sighting's row. The row goes with it: with its day, under a hold, to the key of a more severe
//! hit; the file stays where it is. A view of a camera whose picture went
//! bad belongs to no sighting; it has an id of its own and is kept like a hit of severity `info`.
//!
//! A row without a file says why there is no clip. Clips are the first thing that a filling disk goes without: below
//! [`Settings::clip_free_bytes`](super::Settings) none is stored, while hits are.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};

use super::error::Error;
use super::evidence::{self, ClipKey, Sealed, What};
use super::orders::Order;
use super::purge::Pair;
use super::record::{Kind, Record};
use super::recorder::{Message, RecorderHandle};
use super::row;
use super::writer::{Draft, Writer};
use super::{Inner, Store};
use crate::domain::{EventId, Footage, RetentionClass};

/// Times that a file is sealed anew because its sighting moved to another key meanwhile.
const TRIES: usize = 3;

/// What is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachedKind {
    /// The clip of a sighting that became a hit.
    Clip,
    /// What a camera showed.
    View,
}

impl AttachedKind {
    fn what(self) -> What {
        match self {
            Self::Clip => What::Clip,
            Self::View => What::View,
        }
    }
}

/// A clip or a view to be kept.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The sighting of a clip; an id of its own of a view.
    pub id: EventId,
    /// Which of them.
    pub what: AttachedKind,
    /// What it shows.
    pub about: Footage,
    /// The file; empty: there is none, and `about.note` says why.
    pub bytes: Vec<u8>,
}

/// A clip or a view as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it shows.
    pub about: Footage,
    /// Length of the file; 0: there is none.
    pub bytes: u64,
    /// First 16 bytes of the SHA-256 of the file.
    pub digest: [u8; 16],
}

/// See the module. `{0: footage, 1: bytes, 2: digest, 3: key of a clip}` within `{0: version, 1: …}`.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
struct AttachedRow {
    #[n(0)]
    about: Footage,
    #[n(1)]
    bytes: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    digest: [u8; 16],
    /// What opens the file of a clip.
    #[n(3)]
    clip: Option<ClipKey>,
}

/// A file that is on the medium, for the recorder to tell of.
pub(super) struct Placed {
    id: EventId,
    what: AttachedKind,
    key: Pair,
    row: AttachedRow,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Stored,
    /// The sighting lies under another key by now.
    Moved,
    /// The sighting is not kept (any more).
    NotThere,
    /// A clip is kept of which it is said now that there is none: it stays.
    HasOne,
}

fn name(id: EventId, what: AttachedKind) -> Vec<u8> {
    let mut name = id.0.to_vec();
    name.push(what.what().byte());
    name
}

/// The name of the row of a sighting's clip.
pub(super) fn clip_name(id: EventId) -> Vec<u8> {
    name(id, AttachedKind::Clip)
}

impl RecorderHandle {
    /// Keeps a clip or a view; returns when it is durable, false when nothing was kept: there is no such sighting (any
    /// more), or a clip is there already and `attached` says that there is none. Blocks the caller for the writing, the recorder
    /// for one commit alone.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and I/O errors: nothing is kept then; [`Error::FlushTimeout`], [`Error::RecorderStopped`].
    pub fn attach(&self, attached: &Attached, at_most: Duration) -> Result<bool, Error> {
        let begun = Instant::now();
        let left = || at_most.saturating_sub(begun.elapsed());
        // The sighting may still be on its way.
        self.flush(at_most)?;
        for _ in 0..TRIES {
            let store = self.store()?;
            let Some(key) = key_of(&store, attached)? else { return Ok(false) };
            let (file, clip) = write(&store, attached, key)?;
            // The folder's lock is not held while the recorder works: it may be the last to let go of it.
            let disk = std::sync::Arc::clone(&store.disk);
            drop(store);
            let row = AttachedRow {
                about: attached.about.clone(),
                bytes: attached.bytes.len() as u64,
                digest: evidence::digest(&attached.bytes),
                clip,
            };
            let placed = Placed { id: attached.id, what: attached.what, key, row };
            let (done, wait) = sync_channel(1);
            let told = self.ask(Message::Order(Order::Attach(Box::new(placed), done)), &wait, left());
            match told.and_then(|told| told) {
                Ok(Told::Stored) => return Ok(true),
                // Written anew for the other key, at the same place where it is of the same day.
                Ok(Told::Moved) => evidence::discard(&*disk, file.as_ref()),
                Ok(Told::NotThere | Told::HasOne) => {
                    evidence::discard(&*disk, file.as_ref());
                    return Ok(false);
                }
                // It may still be committed: the file stays, and goes with its day.
                Err(error @ Error::FlushTimeout { .. }) => return Err(error),
                Err(error) => {
                    evidence::discard(&*disk, file.as_ref());
                    return Err(error);
                }
            }
        }
        Ok(false)
    }
}

/// The key that it is sealed under; `None` when the sighting is not kept.
fn key_of(store: &Inner, attached: &Attached) -> Result<Option<Pair>, Error> {
    match attached.what {
        AttachedKind::Clip => {
            let row = store.index().get(Kind::Sighting, &attached.id.0).inspect_err(|e| store.judge_index(e))?;
            Ok(row.map(|row| (row.day, row.class)))
        }
        AttachedKind::View => {
            let (day, class) = (attached.about.from.day(), RetentionClass::Info);
            Ok(Some((store.keys.day_for_writing(day, store.clock.utc().day(), class)?, class)))
        }
    }
}

/// Seals and writes the file, where there is one.
fn write(store: &Inner, attached: &Attached, key: Pair) -> Result<(Option<Sealed>, Option<ClipKey>), Error> {
    if attached.bytes.is_empty() {
        return Ok((None, None));
    }
    let root = store.evidence_dir();
    let free = store.disk.free_bytes(&store.dir).map_err(Error::io("ask the free space of", &store.dir))?;
    let need = store.settings.clip_free_bytes.saturating_add(attached.bytes.len() as u64);
    if free < need {
        return Err(Error::NoSpace { free, need, path: store.dir.clone() });
    }
    let (file, clip) = match attached.what {
        AttachedKind::Clip => {
            let (file, clip) = evidence::seal_clip(&root, &store.keys, attached.id, key, &attached.bytes)?;
            (file, Some(clip))
        }
        AttachedKind::View => {
            let named = (attached.id, What::View);
            (evidence::seal_one(&root, &store.keys, named, key, &attached.bytes)?, None)
        }
    };
    evidence::place(&*store.disk, &file)?;
    Ok((Some(file), clip))
}

impl Writer {
    /// Commits the row of a file that is on the medium.
    ///
    /// # Errors
    /// I/O errors: nothing is kept then.
    pub(super) fn attach(&mut self, placed: &Placed) -> Result<Told, Error> {
        if placed.what == AttachedKind::Clip {
            let store = self.as_store();
            let found = store.opened(store.0.index().get(Kind::Sighting, &placed.id.0))?;
            match found {
                None => return Ok(Told::NotThere),
                Some((row, _)) if (row.day, row.class) != placed.key => return Ok(Told::Moved),
                Some(_) => {}
            }
            // An order that was given up waiting for may have been carried out.
            let has_one = || store.attached(placed.id, placed.what).map(|kept| kept.is_some_and(|kept| kept.bytes > 0));
            if placed.row.bytes == 0 && has_one()? {
                return Ok(Told::HasOne);
            }
        }
        let mut draft = self.draft();
        let plain = row::with_version(&placed.row);
        draft.seal(Kind::Attached, placed.key, name(placed.id, placed.what), &plain)?;
        if let Some(mut prepared) = draft.finish(0) {
            self.commit(&mut prepared)?;
        }
        Ok(Told::Stored)
    }
}

impl Draft<'_> {
    /// Has the row of a sighting's clip go to `key`, where the sighting's goes, if there is one under another.
    pub(super) fn move_clip(&mut self, id: EventId, key: Pair) -> Result<(), Error> {
        let elsewhere = |record: &Record| (record.day, record.class) != key;
        self.reseal_clip(id, key, &elsewhere)
    }

    /// [`Draft::move_clip`]; a hit does not wait for an index that fails: its clip stays under the key where it is then.
    pub(super) fn move_clip_if_indexed(&mut self, id: EventId, key: Pair) -> Result<(), Error> {
        match self.move_clip(id, key) {
            Err(error @ (Error::Index { .. } | Error::IndexRebuilding)) => {
                tracing::warn!(%error, "a clip is not looked for: a hit is stored without moving it");
                self.writer.store.judge_index(&error);
                Ok(())
            }
            moved => moved,
        }
    }

    /// Seals the row of a sighting's clip anew under `key`, if there is one for which `wanted` holds: with it goes what opens
    /// the file, which is not touched.
    pub(super) fn reseal_clip(
        &mut self,
        id: EventId,
        key: Pair,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<(), Error> {
        let (store, name) = (std::sync::Arc::clone(&self.writer.store), name(id, AttachedKind::Clip));
        let Some(record) = store.index().get(Kind::Attached, &name)?.filter(|record| wanted(record)) else {
            return Ok(());
        };
        match self.sound(&record)? {
            Some(plain) => self.seal(Kind::Attached, key, name, &plain),
            None => Ok(()),
        }
    }
}

impl Writer {
    /// The keys in whose folders clips lie whose rows are sealed under `pair`.
    pub(super) fn folders_of_clips(&self, pair: Pair) -> Result<Vec<Pair>, Error> {
        let store = self.as_store();
        let (rows, _) = store.0.index().of_key(Kind::Attached, pair, None, usize::MAX)?;
        let mut folders = vec![pair];
        for row in rows {
            // What does not open is found with the others of its day.
            let Ok(Some(plain)) = row.open(&store.0.keys) else { continue };
            let Ok(row) = row::versioned::<AttachedRow>("row of a clip", &plain) else { continue };
            folders.extend(row.clip.map(|clip| clip.folder_of()).transpose()?);
        }
        // All classes of a day have one folder.
        folders.sort_unstable_by_key(|(day, class)| (*day, *class == RetentionClass::Held));
        folders.dedup_by_key(|(day, class)| (*day, *class == RetentionClass::Held));
        Ok(folders)
    }
}

impl Store {
    /// What is told of the clip of a sighting, or of a view; `None` where there never was one (any more).
    ///
    /// # Errors
    /// When the index fails or the row does not open.
    pub fn attached(&self, id: EventId, what: AttachedKind) -> Result<Option<Kept>, Error> {
        Ok(self.attached_row(id, what)?.map(|(_, kept, _)| kept))
    }

    /// That and the file, verified; an empty one where it is not there.
    ///
    /// # Errors
    /// [`Error::Unsealed`] when the file is damaged or another than the row tells of; I/O errors; when the index fails.
    pub fn attachment(&self, id: EventId, what: AttachedKind) -> Result<Option<(Kept, Vec<u8>)>, Error> {
        let Some((of, kept, clip)) = self.attached_row(id, what)? else { return Ok(None) };
        if kept.bytes == 0 {
            return Ok(Some((kept, Vec::new())));
        }
        let root = self.0.evidence_dir();
        let bytes = match clip {
            Some(clip) => evidence::read_clip(&root, id, &clip)?,
            None => evidence::read_file(&root, &self.0.keys, (id, what.what()), of)?,
        };
        if bytes.len() as u64 != kept.bytes || evidence::digest(&bytes) != kept.digest {
            return Err(Error::Unsealed { what: format!("the {:?} of {id}", what.what()) });
        }
        Ok(Some((kept, bytes)))
    }

    fn attached_row(&self, id: EventId, what: AttachedKind) -> Result<Option<(Pair, Kept, Option<ClipKey>)>, Error> {
        let found = self.0.index().get(Kind::Attached, &name(id, what));
        let Some((record, plain)) = self.opened(found)? else { return Ok(None) };
        let row: AttachedRow = row::versioned("row of a clip", &plain)?;
        let kept = Kept { about: row.about, bytes: row.bytes, digest: row.digest };
        Ok(Some(((record.day, record.class), kept, row.clip)))
    }
}
