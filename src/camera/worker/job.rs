//! One opening of a source in the worker: runs it on a thread of its own and tells the daemon what comes of it.
//!
//! A picture is taken out of the source only when the daemon waits for one, so the newest wins here as it would there. Coded
//! pictures wait in a queue for this thread, which sends them before the next decoded one and a few times a second: GStreamer's threads never wait for the
//! socket. What does not fit into the queue is left out, and said. Pictures that were kept are the other way round: they come from the daemon, all of
//! them first, and are decoded as they are asked for.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::form::{Form, nanoseconds};
use super::link::Line;
use super::memory::Written;
use super::wire::{Counts, Header, Number, Room, Said, Slot, Unit, Word};
use crate::camera::idle::{self, Idle, News};
use crate::camera::ring::{Coded, Kept, Ring, Span};
use crate::camera::toil::Toil;
use crate::camera::{Error, Next, Rotation, Settings, Source, decode, gst as source};
use crate::clock::Clock;
use crate::domain::{Frame, PixelFormat, Plane, TimeMs};
use crate::health::{CameraCounters, Worry};

/// How often it looks whether something else is to be done.
const TICK: Duration = Duration::from_millis(100);
/// How often counts are told when nothing else is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// What may wait to be sent.
const MOST_WAITING: usize = 1_500;
const MOST_BYTES: usize = 32 << 20;
/// As in the daemon, for who waits for them (`supervise/clips`).
const LESS_URGENT: i32 = 10;
/// Kept pictures that are decoded at once; no ring has more.
const MOST_KEPT: usize = 10_000;

/// What the threads of one opening share.
pub(super) struct Job {
    number: Number,
    line: Arc<Line>,
    todo: Mutex<Todo>,
    changed: Condvar,
    waiting: Mutex<Waiting>,
    idle: Arc<Idle>,
    toil: Arc<Toil>,
}

#[derive(Default)]
struct Todo {
    wanted: bool,
    closing: bool,
    /// New memory, not yet mapped.
    room: Option<(Room, OwnedFd)>,
    freed: Vec<Slot>,
    /// Pictures that were kept, to be decoded.
    kept: Vec<Coded>,
    kept_bytes: usize,
    fed: bool,
}

/// Coded pictures on their way.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<Kept>,
    bytes: usize,
    gap: bool,
}

impl Job {
    pub(super) fn new(number: Number, line: &Arc<Line>) -> Arc<Self> {
        let told = Arc::clone(line);
        let idle = Arc::new(Idle::copied(move |news| {
            let said = match news {
                News::Woke => Said::Woke(number),
                News::Rests(begins) => Said::Rests(number, begins),
            };
            // A few bytes; the daemon's reader never waits for anything.
            let _ = told.say(&said, &[], None);
        }));
        Arc::new(Self {
            number,
            line: Arc::clone(line),
            todo: Mutex::default(),
            changed: Condvar::new(),
            waiting: Mutex::default(),
            idle,
            toil: Arc::default(),
        })
    }

    /// What its decoder spends; known for longer than the job where that does not come back.
    pub(super) fn toil(&self) -> Arc<Toil> {
        Arc::clone(&self.toil)
    }

    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the scene.
    pub(super) fn hear(&self, word: Option<Word>) {
        if let Some(Word { still, moved, woken, heard }) = word {
            self.idle.copy(idle::Word { still, moved, woken, resting: 0 }, heard);
        }
    }

    /// The daemon waits for a picture.
    pub(super) fn want(&self, freed: Vec<Slot>, word: Option<Word>) {
        self.hear(word);
        let mut todo = self.todo();
        todo.wanted = true;
        todo.freed.extend(freed);
        drop(todo);
        self.changed.notify_all();
    }

    pub(super) fn give_room(&self, room: Room, fd: OwnedFd) {
        self.todo().room = Some((room, fd));
    }

    pub(super) fn close(&self) {
        self.todo().closing = true;
        self.changed.notify_all();
    }

    /// A picture that was kept.
    pub(super) fn feed(&self, unit: Unit, bytes: Vec<u8>) {
        let mut todo = self.todo();
        if todo.kept.len() < MOST_KEPT && todo.kept_bytes.saturating_add(bytes.len()) <= MOST_BYTES {
            todo.kept_bytes += bytes.len();
            todo.kept.push(unit.coded(TimeMs(unit.at), bytes));
        }
    }

    /// There are no more of them.
    pub(super) fn fed(&self) {
        self.todo().fed = true;
        self.changed.notify_all();
    }

    fn say(&self, said: &Said, tail: &[&[u8]]) {
        // The daemon is gone: the thread that hears it ends the process.
        let _ = self.line.say(said, tail, None);
    }

    /// Takes a coded picture in, in GStreamer's thread.
    fn keep(&self, kept: Kept) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = if let Kept::Picture(coded) = &kept { coded.unit.size() } else { 0 };
        if waiting.queue.len() >= MOST_WAITING || waiting.bytes.saturating_add(bytes) > MOST_BYTES {
            waiting.queue.retain(|kept| matches!(kept, Kept::Form(_)));
            (waiting.bytes, waiting.gap) = (0, true);
        }
        waiting.bytes += bytes;
        waiting.queue.push_back(kept);
    }

    fn send_coded(&self) {
        let Waiting { queue, gap, .. } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if gap {
            self.say(&Said::Gap(self.number), &[]);
        }
        for kept in queue {
            match kept {
                Kept::Form(caps) => {
                    if let Some(form) = Form::of(&caps) {
                        self.say(&Said::Form(self.number, form), &[]);
                    }
                }
                Kept::Picture(coded) => self.send_unit(&coded),
            }
        }
    }

    fn send_unit(&self, coded: &Coded) {
        let unit = Unit::of(coded);
        let sent = coded
            .unit
            .map_readable()
            .ok()
            .is_some_and(|bytes| self.line.say(&Said::Coded(self.number, unit), &[bytes.as_slice()], None).is_ok());
        if !sent {
            self.say(&Said::Gap(self.number), &[]);
        }
    }

    /// Runs the source until it is closed; `counters` are those of this camera's stream in all its openings.
    ///
    /// The pictures of a file before number `from` are of no interest.
    pub(super) fn run(
        self: &Arc<Self>,
        settings: Settings,
        from: u64,
        (clock, counters): (&Clock, &Arc<CameraCounters>),
    ) {
        let mut telling = Telling::new(counters);
        let (own, wants) = (Arc::clone(self), settings.idle.is_some());
        let ring = settings.ring.is_some().then(|| Arc::new(Ring::passing_on(move |kept| own.keep(kept))));
        let (idle, toil) = (wants.then(|| Arc::clone(&self.idle)), Some(self.toil()));
        #[cfg(feature = "testkit")]
        spin_where_wanted(&settings, &self.toil);
        let settings = Settings { idle, toil, ring: ring.clone(), ..settings };
        match source::open(&settings, clock, Arc::clone(counters)) {
            Ok(mut source) => {
                self.say(&Said::Opened(self.number), &[]);
                self.play(source.as_mut(), from, &mut telling, ring.as_deref());
            }
            Err(error) => self.over(Some(&error), &mut telling, ring.as_deref()),
        }
        self.send_coded();
        self.tell(&mut telling, ring.as_deref(), None);
        self.say(&Said::Closed(self.number), &[]);
    }

    fn play(&self, source: &mut dyn Source, from: u64, telling: &mut Telling, ring: Option<&Ring>) {
        let mut album = Album::default();
        let mut over = false;
        loop {
            self.send_coded();
            if telling.is_due() {
                self.tell(telling, ring, source.heard());
            }
            let todo = self.todo();
            let is_idle = |todo: &mut Todo| (!todo.wanted || over) && !todo.closing;
            let (mut todo, _) =
                self.changed.wait_timeout_while(todo, TICK, is_idle).unwrap_or_else(PoisonError::into_inner);
            if todo.closing {
                return;
            }
            let (wanted, room, freed) = (todo.wanted, todo.room.take(), std::mem::take(&mut todo.freed));
            drop(todo);
            album.take(room, &freed);
            if !wanted || over {
                continue;
            }
            match source.next(TICK) {
                Ok(Next::Frame(frame)) if frame.index < from => {}
                Ok(Next::Frame(frame)) => {
                    self.todo().wanted = false;
                    // Whoever has the frame has all coded pictures up to it.
                    self.send_coded();
                    self.tell(telling, ring, source.heard());
                    self.give(&frame, &mut album);
                }
                Ok(Next::Idle) => {}
                Ok(Next::End) => {
                    over = true;
                    self.over(None, telling, ring);
                }
                Err(error) => {
                    over = true;
                    self.over(Some(&error), telling, ring);
                }
            }
        }
    }

    /// Decodes pictures that were kept, once all of them are there.
    pub(super) fn decode(&self, form: &Form, rotation: Rotation) {
        // Of this thread alone: cameras go first.
        let _ = rustix::process::nice(LESS_URGENT);
        self.say(&Said::Opened(self.number), &[]);
        let (mut album, mut index) = (Album::default(), 0);
        let until = |todo: &mut Todo| !todo.fed && !todo.closing;
        let mut todo = self.changed.wait_while(self.todo(), until).unwrap_or_else(PoisonError::into_inner);
        let pictures = std::mem::take(&mut todo.kept);
        drop(todo);
        // Of no camera: says that something is worked on, also where nothing good comes of it.
        let counters = Arc::new(CameraCounters::default());
        let mut telling = Telling::new(&counters);
        let mut gets_on = || {
            self.toil.note();
            counters.received.inc();
            if telling.is_due() {
                self.tell(&mut telling, None, None);
            }
        };
        let decoded = match form.caps() {
            Some(caps) => decode::here((&Span { caps, pictures }, rotation), &mut gets_on, &mut |frame| {
                self.toil.note();
                let goes_on = self.wait_for_a_wish(&mut album);
                if goes_on.is_continue() {
                    // A picture of it may not be told again when the daemon asks anew.
                    self.todo().wanted = false;
                    index += 1;
                    self.give(&frame, &mut album);
                    self.toil.note();
                }
                goes_on
            }),
            None => Ok(()),
        };
        self.toil.rest();
        tracing::debug!(number = self.number, pictures = index, "kept pictures were decoded");
        self.say(&Said::Over(self.number, decoded.as_ref().err().map(Fault::from)), &[]);
        let until = |todo: &mut Todo| !todo.closing;
        drop(self.changed.wait_while(self.todo(), until).unwrap_or_else(PoisonError::into_inner));
        self.say(&Said::Closed(self.number), &[]);
    }

    /// Waits until the next picture is wanted.
    fn wait_for_a_wish(&self, album: &mut Album) -> ControlFlow<()> {
        let until = |todo: &mut Todo| !todo.wanted && !todo.closing;
        let mut todo = self.changed.wait_while(self.todo(), until).unwrap_or_else(PoisonError::into_inner);
        album.take(todo.room.take(), &std::mem::take(&mut todo.freed));
        if todo.closing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn over(&self, error: Option<&Error>, telling: &mut Telling, ring: Option<&Ring>) {
        self.send_coded();
        self.tell(telling, ring, None);
        self.say(&Said::Over(self.number, error.map(Fault::from)), &[]);
    }

    fn tell(&self, telling: &mut Telling, ring: Option<&Ring>, heard: Option<Duration>) {
        if let Some(counts) = telling.counts(heard, ring.map_or(0, Ring::own_word)) {
            self.say(&Said::Counts(self.number, counts), &[]);
        }
    }

    /// Sends a picture: by a free slot, or in the message.
    fn give(&self, frame: &Frame, album: &mut Album) {
        let planes = planes(frame);
        let (mut places, mut at) = ([(0, 0); 3], 0_usize);
        for (place, bytes) in places.iter_mut().zip(planes) {
            *place = (short(at), short(bytes.len()));
            at += bytes.len().next_multiple_of(ALIGN);
        }
        let slot = album.put(&planes, at);
        if album.is_too_small(at) {
            self.say(&Said::Room(self.number, at as u64), &[]);
        }
        if slot.is_none() {
            let mut end = 0;
            for (place, bytes) in places.iter_mut().zip(planes) {
                *place = (short(end), short(bytes.len()));
                end += bytes.len();
            }
        }
        let format = frame.format;
        let header = Header {
            width: format.width,
            height: format.height,
            nv12: format.pixels == PixelFormat::Nv12,
            full_range: format.full_range,
            strides: format.strides.map(short),
            planes: places,
            at: frame.at.0,
            pts: nanoseconds(frame.pts),
            index: frame.index,
            slot,
        };
        self.say(&Said::Picture(self.number, header), if slot.is_some() { &[] } else { &planes });
    }
}

/// Planes begin at multiples of this.
const ALIGN: usize = 64;

/// The bytes of each plane, without what follows its last row.
fn planes(frame: &Frame) -> [&[u8]; 3] {
    let last = if frame.format.pixels == PixelFormat::I420 { trimmed(&frame.chroma(2)) } else { &[] };
    [trimmed(&frame.luma()), trimmed(&frame.chroma(1)), last]
}

fn trimmed<'a>(plane: &Plane<'a>) -> &'a [u8] {
    let end = plane.height.saturating_sub(1) * plane.stride + plane.width;
    plane.data.get(..end).unwrap_or_default()
}

/// Sizes are bounded far below.
fn short(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// For tests: the decoder of a camera `spin-N` does not come back from its N-th sign of getting on.
#[cfg(feature = "testkit")]
fn spin_where_wanted(settings: &Settings, toil: &Toil) {
    if let Some(after) = settings.id.as_str().strip_prefix("spin-").and_then(|n| n.parse().ok()) {
        toil.spin_after(after);
    }
}

/// The shared memory of one opening.
#[derive(Default)]
struct Album {
    room: Option<(Room, Written)>,
    /// Slots that are free; the last one is taken first, so that few are touched.
    free: Vec<u32>,
    /// So many bytes were asked for.
    asked: usize,
}

impl Album {
    fn take(&mut self, room: Option<(Room, OwnedFd)>, freed: &[Slot]) {
        if let Some((room, fd)) = room {
            let bytes = usize::try_from(room.bytes).unwrap_or(0).saturating_mul(room.slots as usize);
            match Written::new(&fd, bytes) {
                Ok(mapped) => {
                    self.room = Some((room, mapped));
                    self.free = (0..room.slots).rev().collect();
                }
                Err(error) => tracing::warn!(%error, "no shared memory for pictures"),
            }
        }
        let now = self.room.as_ref().map(|(room, _)| room.memory);
        for slot in freed.iter().filter(|slot| Some(slot.memory) == now) {
            if !self.free.contains(&slot.slot) {
                self.free.push(slot.slot);
            }
        }
    }

    /// Writes a picture of so many bytes into a free slot, where one is large enough.
    fn put(&mut self, planes: &[&[u8]; 3], bytes: usize) -> Option<Slot> {
        let (room, mapped) = self.room.as_mut()?;
        let size = usize::try_from(room.bytes).ok().filter(|size| bytes <= *size)?;
        let slot = self.free.pop()?;
        let mut at = size.checked_mul(slot as usize)?;
        for plane in planes {
            if !mapped.write(at, plane) {
                return None;
            }
            at += plane.len().next_multiple_of(ALIGN);
        }
        Some(Slot { memory: room.memory, slot })
    }

    /// Whether more is to be asked for, which is done once.
    fn is_too_small(&mut self, bytes: usize) -> bool {
        let has = self.room.as_ref().map_or(0, |(room, _)| room.bytes);
        let needs = has < bytes as u64 && self.asked < bytes;
        if needs {
            self.asked = bytes;
        }
        needs
    }
}

/// What was told of the counters.
struct Telling {
    counters: Arc<CameraCounters>,
    base: [u64; 5],
    told: Option<Counts>,
    heard: Option<Duration>,
    next: Instant,
}

impl Telling {
    fn new(counters: &Arc<CameraCounters>) -> Self {
        let base = numbers(counters);
        Self { counters: Arc::clone(counters), base, told: None, heard: None, next: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// What is new; `None` when nothing is.
    fn counts(&mut self, heard: Option<Duration>, degrees: u16) -> Option<Counts> {
        self.next = Instant::now() + TELL_EVERY;
        let now = numbers(&self.counters);
        let before = std::mem::replace(&mut self.base, now);
        let mut more =
            now.iter().zip(before).map(|(now, before)| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX));
        let mut next = || more.next().unwrap_or_default();
        let heard_now = heard.is_some() && heard != self.heard;
        self.heard = heard.or(self.heard);
        let counts = Counts {
            received: next(),
            dropped: next(),
            thinned: next(),
            skipped: next(),
            damaged: next(),
            heard: heard_now,
            decoding: self.counters.decoding().number(),
            degrees,
            closing: u32::try_from(self.counters.closing.load(Ordering::Relaxed)).unwrap_or(u32::MAX),
            worries: [Worry::Rate, Worry::Times].map(|about| self.counters.worry(about)),
        };
        let lasting =
            Counts { received: 0, dropped: 0, thinned: 0, skipped: 0, damaged: 0, heard: false, ..counts.clone() };
        let is_new = self.told.as_ref() != Some(&lasting) || lasting != counts;
        self.told = Some(lasting);
        is_new.then_some(counts)
    }
}

fn numbers(counters: &CameraCounters) -> [u64; 5] {
    let CameraCounters { received, dropped, thinned, skipped, damaged, .. } = counters;
    [received, dropped, thinned, skipped, damaged].map(crate::health::Counter::get)
}
