//! A real store with its recorder, fed with hits as the analysis threads would.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::publish::{News, OutboxSource};
use watchpost::clock::Clock;
use watchpost::domain::{
    CameraId, Candidate, Class, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, PlateRead, PlateText,
    Severity, Sighting, SightingEvent, Stage,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder, Settings, Store, StoreKey};

pub struct Stored {
    pub store: Store,
    recorder: Option<Recorder>,
    clock: Clock,
}

impl Stored {
    pub fn open(dir: &Path, news: News) -> Self {
        let clock = Clock::system();
        let settings = Settings { ballast_bytes: 0, reserve_bytes: 0, ..Settings::default() };
        Self::of(Store::open(dir, StoreKey::from_bytes([9; 32]), settings, clock).unwrap(), news)
    }

    /// With a store that is open already.
    pub fn of(store: Store, news: News) -> Self {
        let clock = Clock::system();
        let recorder = Recorder::start(&store, Health::new(), Box::new(move |_| news.tell())).unwrap();
        Self { store, recorder: Some(recorder), clock }
    }

    pub fn outbox(&self) -> Arc<dyn OutboxSource> {
        Arc::new(self.store.outbox())
    }

    /// Hands the recorder a hit of list entry `n`.
    pub fn hit(&self, n: u32, severity: Severity) {
        let event = event(n, &self.clock);
        let hit = Hit {
            sighting: event.sighting.clone(),
            cause: HitCause::List(matched(n, severity)),
            stage: Stage::New,
            withdrawn: false,
        };
        self.recorder.as_ref().unwrap().handle().send(Entry { event, hits: vec![hit] }).unwrap();
    }

    /// Returns when all hits are durable.
    pub fn flush(&self) {
        self.recorder.as_ref().unwrap().handle().flush(Duration::from_secs(20)).unwrap();
    }

    pub fn close(mut self) {
        assert_eq!(self.recorder.take().unwrap().stop(), 0);
    }
}

fn event(n: u32, clock: &Clock) -> SightingEvent {
    let (now, text) = (clock.utc(), PlateText::from_raw(&format!("TST{n:05}")).unwrap());
    let mut random = [0; 10];
    random[..4].copy_from_slice(&n.to_be_bytes());
    let read = PlateRead {
        text: text.clone(),
        confidence: 0.95,
        char_confidences: vec![0.99; 8],
        candidates: vec![Candidate { text, confidence: 0.95 }],
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 9,
    };
    let sighting = Sighting {
        id: EventId::from_parts(now.0, random),
        camera: CameraId::new("gate").unwrap(),
        camera_number: 1,
        track: n,
        begin: now,
        end: now,
        clock: clock.state(),
        class: Class::Plate,
        vehicle: None,
        read: Some(read),
        rect: [0.1, 0.2, 0.3, 0.4],
        direction: None,
    };
    SightingEvent::new(Stage::New, sighting, None, now)
}

fn matched(entry: u32, severity: Severity) -> ListMatch {
    ListMatch {
        list: ListId::new("watched").unwrap(),
        list_number: 1,
        list_serial: 1,
        entry,
        how: How::Exact,
        confidence: 0.95,
        expiry_day: None,
        stale: false,
        severity,
        owner: None,
    }
}
