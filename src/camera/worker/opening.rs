//! One opening of a source as the daemon has it: what the worker says of it, looked at before it is believed.
//!
//! Filled by the thread that hears the worker, which never waits here; read by the camera's own thread
//! ([`RemoteSource`](super::remote::RemoteSource)), which copies the picture that waits out of shared memory and never looks at that again. It is the
//! only one that waits: the next is asked for when this one was taken.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fault::{Fault, clean};
use super::form::Form;
use super::host::Worker;
use super::memory;
use super::wire::{Ask, Counts, Header, Number, Room, Slot, Unit, Word};
use crate::camera::idle::Idle;
use crate::camera::orientation::Orientation;
use crate::camera::planes::{Planes, Pool};
use crate::camera::ring::Ring;
use crate::camera::{Error, MAX_SIDES, Rotation, Settings, fits};
use crate::clock::Clock;
use crate::domain::{Frame, FrameFormat, PixelFormat, Pixels, TimeMs};
use crate::health::{CameraCounters, Decoding, Worry};

/// Slots of shared memory: one that is copied, and one that is written meanwhile; untouched ones cost nothing.
const SLOTS: u32 = 2;
/// Most bytes of a picture: of the largest size, with rows to the next 256.
const MOST_BYTES: u64 = (MAX_SIDES.0 as u64 + 256) * (MAX_SIDES.0 as u64) * 2;
/// Pieces of memory that one opening may ask for.
const MOST_ROOMS: u32 = 64;
/// A live picture can't be older than this; what was kept and is caught up with is some seconds old.
const OLDEST_MS: u64 = 60_000;

/// What both threads share.
pub(super) struct Opening {
    pub(super) number: Number,
    pub(super) origin: String,
    pub(super) live: bool,
    clock: Clock,
    counters: Arc<CameraCounters>,
    ring: Option<(Arc<Ring>, Orientation)>,
    pub(super) idle: Option<Arc<Idle>>,
    /// What was counted of it in openings that were lost: it is not counted again.
    before: [u64; COUNTED],
    /// Its pictures come in the order of their places; those that were kept may have had odd ones.
    in_order: bool,
    pool: Pool,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) opened: bool,
    pub(super) closed: bool,
    pub(super) picture: Option<Pending>,
    pub(super) over: Option<Result<(), Error>>,
    pub(super) heard: Option<Duration>,
    /// What was counted of this opening.
    counted: [u64; COUNTED],
    /// The newest memory, and the one before: pictures may still lie there.
    memory: VecDeque<(Room, Arc<OwnedFd>)>,
    rooms: u32,
    last_pts: Duration,
    /// It decodes key frames alone.
    resting: bool,
    /// Wakings that were heard of.
    heard_wakings: u32,
    /// Slots of pictures that nobody looked at.
    pub(super) freed: Vec<Slot>,
}

/// Why a worker is not to be listened to any more.
pub(super) type Breach = String;

/// Numbers that are counted: received, dropped, thinned, skipped, damaged.
pub(super) const COUNTED: usize = 5;

/// A picture that was told of and looked at, and is not yet copied.
pub(super) struct Pending {
    header: Header,
    at: TimeMs,
    places: [(usize, usize); 3],
    lies: Lies,
}

enum Lies {
    InSlot(Slot, Arc<OwnedFd>),
    InMessage(Vec<u8>),
}

impl Opening {
    pub(super) fn new(
        number: Number,
        settings: &Settings,
        (clock, counters): (&Clock, Arc<CameraCounters>),
        before: Option<[u64; COUNTED]>,
    ) -> Self {
        let ring = settings.own_ring().map(|ring| {
            let orientation = Orientation::new(settings.rotate);
            // What comes now has other times.
            ring.clear();
            ring.lie(orientation.clone());
            (Arc::clone(ring), orientation)
        });
        Self {
            number,
            origin: settings.uri.to_string(),
            live: settings.is_newest_first(),
            clock: clock.clone(),
            counters,
            ring,
            idle: settings.idle.clone().filter(|_| settings.is_newest_first()),
            in_order: before.is_some(),
            before: before.unwrap_or_default(),
            pool: Pool::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opened(&self) {
        self.state().opened = true;
        self.changed.notify_all();
    }

    pub(super) fn closed(&self) {
        let mut state = self.state();
        state.closed = true;
        self.stop_resting(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// The worker is no more.
    pub(super) fn lost(&self, why: &str) {
        let mut state = self.state();
        if state.over.is_none() && !state.closed {
            state.over = Some(Err(Error::Worker { origin: self.origin.clone(), why: why.to_owned() }));
        }
        state.closed = true;
        self.stop_resting(&mut state);
        drop(state);
        // With the process everything that it held open is gone.
        self.counters.closing.store(0, Ordering::Relaxed);
        self.counters.set_decoding(Decoding::All);
        self.changed.notify_all();
    }

    pub(super) fn over(&self, fault: Option<Fault>) {
        let mut state = self.state();
        if state.over.is_none() {
            state.over = Some(fault.map_or(Ok(()), |fault| Err(Error::from(fault))));
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn count(&self, counts: &Counts) {
        let Counts { received, dropped, thinned, skipped, damaged, .. } = *counts;
        let c = &self.counters;
        let all = [&c.received, &c.dropped, &c.thinned, &c.skipped, &c.damaged];
        let more = [received, dropped, thinned, skipped, damaged];
        let mut state = self.state();
        for ((counter, more), (counted, before)) in
            all.into_iter().zip(more).zip(state.counted.iter_mut().zip(self.before))
        {
            let told = (*counted).max(before);
            *counted = counted.saturating_add(u64::from(more));
            counter.add((*counted).max(before) - told);
        }
        drop(state);
        if received > 0 || skipped > 0 {
            c.last_frame_ms.store(self.clock.utc().0, Ordering::Relaxed);
        }
        c.set_decoding(Decoding::of_number(counts.decoding).unwrap_or_default());
        for (about, why) in [Worry::Rate, Worry::Times].into_iter().zip(&counts.worries) {
            c.set_worry(about, why.as_deref().map(clean));
        }
        if let Some((_, orientation)) = &self.ring {
            orientation.said(Rotation::of_degrees(counts.degrees).unwrap_or_default());
        }
        if counts.heard {
            self.state().heard = Some(self.clock.monotonic());
        }
        c.closing.store(u64::from(counts.closing), Ordering::Relaxed);
    }

    /// What was counted in all openings of it.
    pub(super) fn counted(&self) -> [u64; COUNTED] {
        let mut all = self.state().counted;
        all.iter_mut().zip(self.before).for_each(|(counted, before)| *counted = (*counted).max(before));
        all
    }

    /// Makes memory of slots that are so large.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(Room, OwnedFd), Breach> {
        let mut state = self.state();
        state.rooms += 1;
        if bytes == 0 || bytes > MOST_BYTES || state.rooms > MOST_ROOMS {
            return Err(format!("asked for memory of {bytes} bytes a picture, for the {}th time", state.rooms));
        }
        let room = Room { memory: state.rooms, slots: SLOTS, bytes: bytes.next_multiple_of(4_096) };
        let all = usize::try_from(room.bytes * u64::from(SLOTS)).unwrap_or(usize::MAX);
        let made = memory::make(all).and_then(|fd| Ok((Arc::new(fd.try_clone()?), fd)));
        let (own, fd) = made.map_err(|error| format!("needs memory for its pictures, and there is none ({error})"))?;
        state.memory.push_front((room, own));
        state.memory.truncate(2);
        Ok((room, fd))
    }

    pub(super) fn form(&self, form: &Form) -> Result<(), Breach> {
        let caps = form.caps().ok_or("told of coded pictures of a form that cannot be")?;
        self.ring.iter().for_each(|(ring, _)| ring.begin(caps.clone()));
        Ok(())
    }

    pub(super) fn coded(&self, unit: Unit, bytes: Vec<u8>) {
        let Some((ring, _)) = &self.ring else { return };
        ring.push(unit.coded(self.believed(unit.at), bytes));
        self.counters.ring_bytes.store(ring.bytes() as u64, Ordering::Relaxed);
    }

    pub(super) fn gap(&self) {
        self.ring.iter().for_each(|(ring, _)| ring.gap());
    }

    /// The source woke.
    pub(super) fn woke(&self) {
        let Some(idle) = &self.idle else { return };
        self.state().heard_wakings += 1;
        idle.wake();
    }

    pub(super) fn rests(&self, begins: bool) {
        let mut state = self.state();
        if let Some(idle) = self.idle.as_ref().filter(|_| state.resting != begins) {
            state.resting = begins;
            idle.rests(begins);
        }
    }

    fn stop_resting(&self, state: &mut State) {
        if let Some(idle) = self.idle.as_ref().filter(|_| std::mem::take(&mut state.resting)) {
            idle.rests(false);
        }
    }

    /// What the worker is to know of the scene.
    pub(super) fn word(&self) -> Option<Word> {
        let word = self.idle.as_ref()?.heard();
        let heard = self.state().heard_wakings;
        Some(Word { still: word.still, moved: word.moved, woken: word.woken, heard })
    }

    /// Tells the worker at once what is known of the scene.
    pub(super) fn tell_word(&self, worker: &Worker) {
        let _ = worker.say(&Ask::Scene(self.number, self.word()), None);
    }

    /// Times of live pictures are near the time of this box, or they are of now.
    fn believed(&self, at: u64) -> TimeMs {
        let now = self.clock.utc().0;
        let near = now.saturating_sub(OLDEST_MS)..=now.saturating_add(1_000);
        TimeMs(if self.live && !near.contains(&at) { now } else { at })
    }

    /// Takes a picture in; what is said of it is looked at here, and never again.
    pub(super) fn picture(&self, header: &Header, tail: Vec<u8>) -> Result<(), Breach> {
        let mut state = self.state();
        let (places, lies) = if let Some(slot) = header.slot {
            let found = state.memory.iter().find(|(room, _)| room.memory == slot.memory);
            let (room, memory) = found.ok_or("told of a picture in memory that it has not")?;
            if slot.slot >= room.slots {
                return Err(format!("told of a picture in slot {} of {}", slot.slot, room.slots));
            }
            let places = checked(header, room.bytes * u64::from(slot.slot), room.bytes)?;
            (places, Lies::InSlot(slot, Arc::clone(memory)))
        } else {
            (checked(header, 0, tail.len() as u64)?, Lies::InMessage(tail))
        };
        let pts = Duration::from_nanos(header.pts);
        if pts < state.last_pts && self.in_order {
            return Err("told of a picture that is older than the one before".to_owned());
        }
        state.last_pts = pts;
        let before = state.picture.replace(Pending { header: *header, at: self.believed(header.at), places, lies });
        // Nobody asked for that: no picture goes uncounted by it, and no slot is lost.
        if let Some(before) = &before {
            self.counters.dropped.inc();
            let has_room = state.freed.len() < SLOTS as usize;
            state.freed.extend(before.header.slot.filter(|_| has_room));
        }
        drop(state);
        drop(before);
        self.changed.notify_all();
        Ok(())
    }

    /// The picture in memory of this process, and the slot that is free by that.
    ///
    /// # Errors
    /// The system does not give what lies in shared memory.
    pub(super) fn copied(&self, pending: Pending) -> std::io::Result<(Frame, Option<Slot>)> {
        let Pending { header, at, places, lies } = pending;
        let mut freed = None;
        let pixels: Box<dyn Pixels> = match lies {
            Lies::InSlot(slot, memory) => {
                let mut planes = [Vec::new(), Vec::new(), Vec::new()];
                for (plane, (from, bytes)) in planes.iter_mut().zip(places).filter(|(_, (_, bytes))| *bytes > 0) {
                    *plane = self.pool.take(bytes);
                    memory::copy(memory.as_fd(), from as u64, bytes, plane)?;
                }
                freed = Some(slot);
                Box::new(Planes::new(planes, &self.pool))
            }
            Lies::InMessage(bytes) => Box::new(InMessage { bytes, places }),
        };
        let format = FrameFormat {
            width: header.width,
            height: header.height,
            pixels: if header.nv12 { PixelFormat::Nv12 } else { PixelFormat::I420 },
            strides: header.strides.map(|stride| stride as usize),
            full_range: header.full_range,
        };
        let pts = Duration::from_nanos(header.pts);
        Ok((Frame::new(format, at, pts, header.index, pixels), freed))
    }
}

/// The place of each plane in memory that begins at `base` and has `size` bytes, when all of its rows lie there.
fn checked(header: &Header, base: u64, size: u64) -> Result<[(usize, usize); 3], Breach> {
    let odd = || format!("told of a picture of {}×{} that does not lie where it says", header.width, header.height);
    if !fits(header.width, header.height) {
        return Err(odd());
    }
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let half = (width.div_ceil(2), height.div_ceil(2));
    let sizes =
        if header.nv12 { [(width, height), (half.0 * 2, half.1), (0, 0)] } else { [(width, height), half, half] };
    let mut places = [(0, 0); 3];
    for (((place, (across, down)), (at, bytes)), stride) in
        places.iter_mut().zip(sizes).zip(header.planes).zip(header.strides)
    {
        if down == 0 {
            continue;
        }
        let (at, bytes, stride) = (u64::from(at), u64::from(bytes), u64::from(stride));
        let needs = stride * (down - 1) + across;
        if stride < across || bytes < needs || at + bytes > size {
            return Err(odd());
        }
        let from = usize::try_from(base + at).map_err(|_| odd())?;
        *place = (from, usize::try_from(bytes).map_err(|_| odd())?);
    }
    Ok(places)
}

/// Pixels that came in the message.
struct InMessage {
    bytes: Vec<u8>,
    places: [(usize, usize); 3],
}

impl Pixels for InMessage {
    fn plane(&self, index: usize) -> &[u8] {
        let (from, bytes) = self.places.get(index).copied().unwrap_or_default();
        self.bytes.get(from..from + bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CameraId;

    #[test]
    fn a_picture_that_is_replaced_is_counted_and_its_slot_is_free_again() {
        let settings = Settings::new(CameraId::new("gate").unwrap(), 1, "rtsp://192.0.2.7/x".parse().unwrap());
        let counters = Arc::new(CameraCounters::default());
        let opening = Opening::new(1, &settings, (&Clock::system(), Arc::clone(&counters)), None);
        let (room, _fd) = opening.make_room(64 * 64 * 2).unwrap();
        let slot = |slot| Some(Slot { memory: room.memory, slot });
        let places = [(0, 64 * 64), (4_096, 32 * 32), (8_192 - 2_048, 32 * 32)];
        let header = |n| Header {
            width: 64,
            height: 64,
            nv12: false,
            full_range: false,
            strides: [64, 32, 32],
            planes: places,
            at: 0,
            pts: u64::from(n),
            index: u64::from(n),
            slot: slot(n),
        };
        opening.picture(&header(0), Vec::new()).unwrap();
        assert_eq!((counters.dropped.get(), opening.state().freed.len()), (0, 0));
        opening.picture(&header(1), Vec::new()).unwrap();
        assert_eq!(counters.dropped.get(), 1);
        assert_eq!(opening.state().freed, [slot(0).unwrap()]);
    }
}
