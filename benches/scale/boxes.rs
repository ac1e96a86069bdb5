//! Boxes in this process: each with the product's session, signing, outbox, recorder and store, and nothing before them.
//!
//! Real: store on disk (ledger, index, audit log, day keys), recorder thread, outbox, publisher, session with TLS and a
//! certificate of its own, status of box and cameras, health, checkpoints of the audit log. Simulated: cameras and models (hits
//! are handed to the recorder as analysis threads would, without pictures), the gauges of the machine in health,
//! and commands, which are subscribed to and not taken.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use watchpost::centre::carry::{Carrier, Letter};
use watchpost::centre::link::Response;
use watchpost::centre::mirror::Mirrors;
use watchpost::centre::note;
use watchpost::centre::publish::{News, OutboxSource};
use watchpost::centre::report::{self, Reporter};
use watchpost::centre::session::{self, Downward, HEALTH_EVERY, SessionHandle, SessionState, Settings};
use watchpost::centre::status::{CameraFacts, StatusBoard};
use watchpost::centre::topics::{self, Kind};
use watchpost::centre::wire::{Disk, Gauges, ListGauge, Memory, Part, Place, Process, StateDigests};
use watchpost::clock::{Challenges, Clock};
use watchpost::domain::{
    AckMode, CameraId, Candidate, Class, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, PlateRead, PlateText,
    Severity, Sighting, SightingEvent, SiteId, Stage, TreeHead,
};
use watchpost::health::{CameraState, Health};
use watchpost::shutdown::Shutdown;
use watchpost::store::{Entry, Recorder, RecorderHandle, Settings as StoreSettings, Store, StoreKey};

use crate::book::Book;
use crate::site::{SITE, Who};

/// The same as in the daemon: at most one checkpoint in this time.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// One box.
pub struct SimBox {
    who: Who,
    store: Store,
    recorder: Recorder,
    news: News,
    health: Arc<Health>,
    carrier: Carrier,
    shutdown: Shutdown,
    session: Option<SessionHandle>,
}

/// Tells checkpoints of one box's audit log, as the daemon does.
pub struct Teller {
    store: Store,
    carrier: Carrier,
    topic: String,
    told: Option<(TreeHead, Instant)>,
}

/// Takes what a box is told and does nothing about it.
struct Deaf;

impl Downward for Deaf {
    fn command(&self, _: &str, _: Vec<u8>, _: Option<Response>) {}
    fn chunk(&self, _: &[u8; 32], _: u32, _: &[u8]) {}
}

impl SimBox {
    /// Opens its store below `base` and starts its recorder; no session yet.
    pub fn open(base: &Path, who: Who, clock: &Clock) -> Result<Self> {
        let settings =
            StoreSettings { ballast_bytes: 0, reserve_bytes: 0, cache_bytes: 256 << 10, ..StoreSettings::default() };
        let store = Store::open(&base.join(who.id.as_str()), StoreKey::from_bytes([9; 32]), settings, clock.clone())?;
        store.sign_checkpoints(note::signer(&SiteId::new(SITE)?, &who.id, who.identity.key.clone()));
        let (news, health) = (News::default(), Health::new());
        let tell = news.clone();
        let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(move |_| tell.tell()))?;
        Ok(Self {
            who,
            store,
            recorder,
            news,
            health,
            carrier: Carrier::new(clock.clone()),
            shutdown: Shutdown::new(),
            session: None,
        })
    }

    /// Starts its session on the runtime that this is called in.
    pub fn connect(&mut self, cameras: u16, clock: &Clock) -> Result<()> {
        let camera = |n: u16| -> Result<CameraFacts> {
            let id = CameraId::new(&format!("cam-{n}"))?;
            self.health.camera(&id).set_state(CameraState::Online);
            let place = Place { location: Some([45.0, 9.0]), heading: Some(90.0), road: Some("A4 km 12".to_owned()) };
            Ok(CameraFacts { id, number: n, place, rules: Vec::new() })
        };
        let cameras = (1..=cameras).map(camera).collect::<Result<Vec<_>>>()?;
        let outbox: Arc<dyn OutboxSource> = Arc::new(self.store.outbox());
        let (store, health, list) = (self.store.clone(), Arc::clone(&self.health), ListId::new("wanted")?);
        let models = ["plates-1", "corners-1", "reader-1"].map(|name| (name.to_owned(), [7; 32]));
        let reporter = Reporter::new(report::Parts {
            digests: StateDigests::new([1; 32], models),
            gauges: Box::new(move |_| gauges(&store, &health, &list)),
            outbox: Arc::clone(&outbox),
            health: Arc::clone(&self.health),
            challenges: Challenges::new(clock.clone()),
            clock: clock.clone(),
        });
        self.session = Some(session::start(session::Parts {
            settings: Settings {
                link: self.who.link.clone(),
                topic_root: topics::DEFAULT_ROOT.to_owned(),
                ack: AckMode::Centre,
                health_every: HEALTH_EVERY,
            },
            identity: self.who.identity.clone(),
            outbox,
            news: self.news.clone(),
            carrier: self.carrier.clone(),
            downward: Some(Arc::new(Deaf)),
            board: StatusBoard::new(cameras, reporter, clock.clone()),
            mirrors: Mirrors::off(),
            health: Arc::clone(&self.health),
            clock: clock.clone(),
            shutdown: self.shutdown.clone(),
        }));
        Ok(())
    }

    /// Whether its session stands.
    pub fn is_connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.state() == SessionState::Connected)
    }

    /// How many alerts the centre has not acknowledged.
    pub fn waiting(&self) -> u64 {
        self.store.outbox().depth().entries
    }

    /// How often alerts were sent again, sessions were made, and messages from above were refused.
    pub fn counters(&self) -> [u64; 3] {
        let centre = &self.health.centre;
        [centre.resent.get(), centre.connects.get(), centre.refused.get()]
    }

    /// Where hits are handed in.
    pub fn hits(&self) -> RecorderHandle {
        self.recorder.handle()
    }

    /// Who tells checkpoints of its audit log.
    pub fn teller(&self) -> Teller {
        let topic = self.who.identity.topics.of(&Kind::Audit);
        Teller { store: self.store.clone(), carrier: self.carrier.clone(), topic, told: None }
    }

    /// Stops in good order; how many hits its store did not take.
    pub async fn stop(mut self) -> usize {
        self.shutdown.trigger();
        if let Some(session) = self.session.take() {
            session.ended().await;
        }
        tokio::task::spawn_blocking(move || self.recorder.stop()).await.unwrap_or(0)
    }
}

impl Teller {
    /// Tells one when it is time. Blocks for the disk.
    pub fn tell(&mut self) -> Result<()> {
        let due =
            self.told.is_none_or(|(head, at)| at.elapsed() >= CHECKPOINT_EVERY && self.store.audit_head() != head);
        if due {
            let payload = self.store.checkpoint()?;
            self.carrier.put_latest(Letter { topic: self.topic.clone(), payload, correlation: None });
            self.told = Some((self.store.audit_head(), Instant::now()));
        }
        Ok(())
    }
}

/// Looks once a second whether a box has a checkpoint to tell, until `stop`.
pub fn tell_checkpoints(mut tellers: Vec<Teller>, stop: Shutdown) -> Result<std::thread::JoinHandle<()>> {
    let work = move || {
        while !stop.is_set() {
            for teller in &mut tellers {
                if let Err(error) = teller.tell() {
                    tracing::error!(%error, "a checkpoint could not be told");
                }
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    Ok(std::thread::Builder::new().name("checkpoints".to_owned()).spawn(work)?)
}

/// What a box at work would say of itself; the bytes count, not the values.
fn gauges(store: &Store, health: &Health, list: &ListId) -> Gauges {
    let part = |(name, version)| Part::new(name, version);
    let mut wanted = ListGauge::new(list.clone(), 1, &health.list(list));
    (wanted.serial, wanted.entries) = (20, 250_000);
    Gauges {
        disk: Disk { free: 90 << 30, total: 120 << 30 },
        memory: Memory { available: 3 << 30, total: 8 << 30 },
        process: Process { resident: 260 << 20, peak: 300 << 20, cpu_ms: 86_400_000, threads: 34, files: 121 },
        audit: store.audit_head(),
        lists: vec![wanted],
        parts: [("gstreamer", "1.22.0"), ("onnxruntime", "1.31.1"), ("linux", "6.1.0-40-amd64")].map(part).into(),
        ..Gauges::default()
    }
}

/// Makes an alert of box `n` now: hands a hit to its recorder. Waits while the queue is full.
pub fn hit(book: &Book, n: usize, to: &RecorderHandle, clock: &Clock) -> Result<()> {
    let now = clock.utc();
    let track = book.make(n, now.0);
    let mut random = [0; 10];
    random.iter_mut().zip(track.to_be_bytes().into_iter().chain(n.to_le_bytes())).for_each(|(r, b)| *r = b);
    let text = |k: u32| PlateText::from_raw(&format!("TS{:05}{k}", track % 100_000)).context("a plate");
    let candidates =
        [0.95, 0.03, 0.01].into_iter().zip(0..).map(|(confidence, k)| Ok(Candidate { text: text(k)?, confidence }));
    let read = PlateRead {
        text: text(0)?,
        confidence: 0.95,
        char_confidences: vec![0.99; 8],
        candidates: candidates.collect::<Result<_>>()?,
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 9,
    };
    let sighting = Sighting {
        id: EventId::from_parts(now.0, random),
        camera: CameraId::new("cam-1")?,
        camera_number: 1,
        track,
        begin: now,
        end: now,
        clock: clock.state(),
        class: Class::Plate,
        vehicle: None,
        read: Some(read),
        rect: [0.1, 0.2, 0.3, 0.4],
        direction: Some(90),
    };
    let severity = Severity::ALL.into_iter().cycle().nth(track as usize % 4).unwrap_or(Severity::Info);
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted")?,
        list_number: 1,
        list_serial: 20,
        entry: track,
        how: How::Exact,
        confidence: 0.95,
        expiry_day: Some(20_819),
        stale: false,
        severity,
        owner: None,
    });
    let hit = Hit { sighting: sighting.clone(), cause, stage: Stage::New, withdrawn: false };
    let event = SightingEvent::new(Stage::New, sighting, None, now);
    Ok(to.send(Entry { event, hits: vec![hit] })?)
}

/// A thread that lets boxes make alerts in turn, evenly spread.
pub struct Feeder {
    /// Microseconds between two alerts of all boxes together; 0: none.
    every_us: Arc<AtomicU64>,
    stop: Shutdown,
}

impl Feeder {
    /// Begins with none.
    pub fn start(book: Arc<Book>, boxes: Vec<RecorderHandle>, clock: Clock) -> Result<Self> {
        let (every_us, stop) = (Arc::new(AtomicU64::new(0)), Shutdown::new());
        let (every, until) = (Arc::clone(&every_us), stop.clone());
        std::thread::Builder::new().name("feeder".to_owned()).spawn(move || {
            let mut next = Instant::now();
            let mut turn = (0..boxes.len()).cycle();
            while !until.is_set() {
                let us = every.load(Ordering::SeqCst);
                let now = Instant::now();
                if us == 0 || now < next {
                    let wait = if us == 0 { Duration::from_millis(20) } else { next - now };
                    std::thread::sleep(wait.min(Duration::from_millis(20)));
                    next = if us == 0 { Instant::now() } else { next };
                    continue;
                }
                next += Duration::from_micros(us);
                let Some((n, to)) = turn.next().and_then(|n| Some((n, boxes.get(n)?))) else { return };
                if let Err(error) = hit(&book, n, to, &clock) {
                    tracing::error!(%error, "a hit could not be handed in");
                    return;
                }
            }
        })?;
        Ok(Self { every_us, stop })
    }

    /// From now on each of `boxes` makes an alert `every` so often.
    pub fn pace(&self, boxes: usize, every: Duration) {
        let us = u64::try_from(every.as_micros()).unwrap_or(u64::MAX) / u64::try_from(boxes).unwrap_or(1).max(1);
        self.every_us.store(us.max(1), Ordering::SeqCst);
    }

    /// No more alerts.
    pub fn pause(&self) {
        self.every_us.store(0, Ordering::SeqCst);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}
