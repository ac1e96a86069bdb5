//! What a filling disk goes without before it costs a hit. The order is fixed:
//!
//! | free less than | is not stored any more |
//! |---|---|
//! | [`Settings::clip_free_bytes`] | the frames around a hit (its clip), and views of cameras: [`attached`](super::attached) |
//! | [`Settings::picture_free_bytes`] | pictures of reads and hits |
//! | [`Settings::read_free_bytes`] | reads without a hit |
//! | [`Settings::reserve_bytes`] | anything: hits wait in memory, then cameras drop frames |
//!
//! Each step is written into the audit log when it is taken and when it is taken back, and what was left out is counted:
//! pictures as lost, reads as lost of their camera. A step is taken back when an eighth more is free than it needs, so
//! that a disk at the limit does not go to and fro. The recorder looks before each commit, at least once a second.
//!
//! Free bytes do not tell everything: inodes or a quota may be out. When pictures could not be written for some seconds, what
//! waits is drawn up without them, and for minutes none are tried. What a hit needs is less and still something: the first of a
//! day and class makes a key file, every 16 MiB the ledger another segment.

use std::collections::BTreeMap;

use super::Settings;
use super::audit::Event;
use super::writer::Writer;
use crate::domain::CameraId;

/// How far it has come; what is left out at a step is left out at all later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Room {
    /// Everything is stored.
    #[default]
    All,
    NoClips,
    NoPictures,
    NoReads,
    /// Nothing is committed.
    Waits,
}

impl Room {
    /// The step for `free` bytes, coming from `self`.
    fn next(self, free: u64, settings: &Settings) -> Self {
        let at = |free: u64| {
            let steps = [
                (Self::Waits, settings.reserve_bytes),
                (Self::NoReads, settings.read_free_bytes),
                (Self::NoPictures, settings.picture_free_bytes),
                (Self::NoClips, settings.clip_free_bytes),
            ];
            steps.into_iter().find(|(_, need)| free < *need).map_or(Self::All, |(step, _)| step)
        };
        // An eighth more than is needed is a ninth less than is free.
        at(free).max(at(free - free / 9).min(self))
    }

    /// What is not stored, for people.
    pub(super) fn without(self) -> &'static str {
        match self {
            Self::All => "nothing",
            Self::NoClips => "clips",
            Self::NoPictures => "clips, pictures",
            Self::NoReads => "clips, pictures, reads",
            Self::Waits => "anything: hits wait",
        }
    }
}

/// What a batch leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeftOut {
    /// Sightings whose pictures are not stored.
    pub(super) pictures: u64,
    /// Reads that are not stored, by camera.
    pub(super) reads: BTreeMap<CameraId, u64>,
}

impl LeftOut {
    pub(super) fn add(&mut self, other: Self) {
        self.pictures += other.pictures;
        for (camera, reads) in other.reads {
            *self.reads.entry(camera).or_default() += reads;
        }
    }
}

impl Writer {
    /// Looks how much room there is, and says when that changes what is stored.
    pub(super) fn look_at_room(&mut self) {
        let store = &self.store;
        match store.disk.free_bytes(&store.dir) {
            Ok(free) => {
                let least = match self.no_pictures_until {
                    Some(until) if store.clock.monotonic() < until => Room::NoPictures,
                    _ => Room::All,
                };
                self.set_room(self.room.next(free, &store.settings).max(least), free);
            }
            Err(error) => tracing::warn!(%error, "how much of the disk is free cannot be asked"),
        }
    }

    /// A commit met a full disk.
    pub(super) fn meet_full(&mut self) {
        let free = self.store.disk.free_bytes(&self.store.dir).unwrap_or(0);
        self.set_room(Room::Waits, free);
    }

    fn set_room(&mut self, room: Room, free: u64) {
        let was = std::mem::replace(&mut self.room, room);
        if room == was {
            return;
        }
        if room > was {
            tracing::error!(free, without = room.without(), "disk fills up: less is stored");
        } else {
            tracing::warn!(free, without = room.without(), "disk has room again: more is stored");
        }
        self.store.say(Event::Room, &[("free", free.to_string()), ("without", room.without().to_owned())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            reserve_bytes: 100,
            read_free_bytes: 200,
            picture_free_bytes: 400,
            clip_free_bytes: 800,
            ..Settings::default()
        }
    }

    #[test]
    fn less_and_less_is_stored_in_the_stated_order() {
        let mut room = Room::All;
        for (free, wanted) in [
            (1_000, Room::All),
            (799, Room::NoClips),
            (400, Room::NoClips),
            (399, Room::NoPictures),
            (199, Room::NoReads),
            (99, Room::Waits),
            (0, Room::Waits),
            (110, Room::Waits),
            (113, Room::NoReads),
            (900, Room::All),
        ] {
            room = room.next(free, &settings());
            assert_eq!(room, wanted, "{free} free");
        }
    }

    #[test]
    fn a_disk_at_the_limit_does_not_go_to_and_fro() {
        let mut room = Room::All;
        let steps: Vec<Room> = [401, 399, 401, 420, 448, 451, 401]
            .into_iter()
            .map(|free| {
                room = room.next(free, &settings());
                room
            })
            .collect();
        let (with, without) = (Room::NoClips, Room::NoPictures);
        assert_eq!(steps, [with, without, without, without, without, with, with]);
    }
}
