//! How many hits a second the store makes durable, without pictures and with them, by the recorder as the daemon runs it.
//!
//! The folder lies under the target folder, so it is the disk of the checkout that is measured, not memory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchpost::clock::Clock;
use watchpost::domain::{
    CameraId, Class, ClockState, EventId, Hit, HitCause, How, Lattice, ListId, ListMatch, Pictures, PlateRead,
    PlateText, Severity, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::health::Health;
use watchpost::store::{Entry, Recorder, Settings, Store, StoreKey};

const BEGIN: u64 = 1_767_225_600_000;

fn entry(n: u64, pictures: Option<Pictures>) -> Option<Entry> {
    let text = PlateText::from_raw(&format!("K{n}"))?;
    let mut random = [0; 10];
    random.iter_mut().rev().zip(n.to_le_bytes()).for_each(|(r, b)| *r = b);
    let sighting = Sighting {
        id: EventId::from_parts(BEGIN + n, random),
        camera: CameraId::new("gate").ok()?,
        camera_number: 1,
        track: 1,
        begin: TimeMs(BEGIN + n),
        end: TimeMs(BEGIN + n + 500),
        clock: ClockState::Synced,
        class: Class::Plate,
        vehicle: None,
        read: Some(PlateRead {
            text,
            confidence: 0.9,
            char_confidences: vec![0.99; 7],
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 9,
        }),
        rect: [0.1, 0.1, 0.2, 0.2],
        direction: None,
    };
    let cause = HitCause::List(ListMatch {
        list: ListId::new("wanted").ok()?,
        list_number: 1,
        list_serial: 1,
        entry: 1,
        how: How::Exact,
        confidence: 0.9,
        expiry_day: None,
        stale: false,
        severity: Severity::Minor,
        owner: None,
    });
    let hits = vec![Hit { sighting: sighting.clone(), cause, stage: Stage::New, withdrawn: false }];
    let at = sighting.end;
    Some(Entry { event: SightingEvent::new(Stage::New, sighting, pictures, at), hits })
}

/// Time until `count` hits are durable in a new store.
fn durable(dir: &PathBuf, count: u64, pictures: Option<&Pictures>) -> Option<Duration> {
    let _ = std::fs::remove_dir_all(dir);
    let settings = Settings { ballast_bytes: 0, ..Settings::default() };
    let store = Store::open(dir, StoreKey::from_bytes([7; 32]), settings, Clock::system()).ok()?;
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).ok()?;
    let entries: Option<Vec<Entry>> = (0..count).map(|n| entry(n, pictures.cloned())).collect();
    let begin = Instant::now();
    for entry in entries? {
        recorder.handle().send(entry).ok()?;
    }
    recorder.handle().flush(Duration::from_mins(1)).ok()?;
    let took = begin.elapsed();
    let _ = recorder.stop();
    Some(took)
}

fn benches(c: &mut Criterion) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store-bench");
    // A crop and a scene of the sizes that a 1080p camera gives.
    let pictures = Pictures { crop: vec![0xC0; 4 << 10], scene: vec![0x5C; 40 << 10] };
    let mut group = c.benchmark_group("durable hits");
    group.sample_size(10);
    for (name, count, pictures) in [("rows", 8_192, None), ("with pictures", 512, Some(&pictures))] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| (0..rounds).filter_map(|_| durable(&dir, count, pictures)).sum());
        });
    }
    group.finish();
    let _ = std::fs::remove_dir_all(&dir);
}

criterion_group!(group, benches);
criterion_main!(group);
