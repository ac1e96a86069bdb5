//! One of each message, with every field set: what the golden files pin.

use watchpost::centre::keys::{Keys, SigningKey};
use watchpost::centre::topics::{DEFAULT_ROOT, Topics};
use watchpost::centre::wire::keeping::{KeepingGauge, Precision, PrecisionGauge, UnseenGauge, UnseenHit};
use watchpost::centre::wire::{
    BootId, BoxState, CameraStatus, Disk, Gauges, HealthFacts, HealthReport, LinkGauge, ListGauge, Memory, OutboxGauge,
    Part, Place, Process, RuleName, StateDigests, Status,
};
use watchpost::domain::alert::{ALERT_VERSION, CandidateMark, SHED_VERSION, VehicleMark};
use watchpost::domain::{
    Ack, Alert, BoxId, CameraId, Class, ClockState, Epoch, EventId, How, ListId, MatchMark, PlaceId, PlateText,
    Retention, RuleId, Severity, Shed, SiteId, Stage, TimeMs, TreeHash, TreeHead, Way,
};
use watchpost::health::{CameraState, Decoding, Health};

pub(super) const NOON: TimeMs = TimeMs(1_767_268_800_123);
pub(super) const EPOCH: Epoch = Epoch([0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7]);

pub(super) fn key() -> SigningKey {
    SigningKey::from_seed(&[0x42; 32]).unwrap()
}

pub(super) fn keys() -> Keys {
    Keys::from(key().public().clone())
}

pub(super) fn topics() -> Topics {
    Topics::new(DEFAULT_ROOT, &SiteId::new("north").unwrap(), &BoxId::new("box-1").unwrap()).unwrap()
}

pub(super) fn plate(text: &str) -> PlateText {
    PlateText::from_raw(text).unwrap()
}

/// All that an alert of a list has: one match, three candidates, region, vehicle, crop, state.
pub(super) fn alert() -> Alert {
    let candidate = |text, permille| CandidateMark { text: plate(text), permille };
    Alert {
        version: ALERT_VERSION,
        id: EventId::from_parts(NOON.0, [0xa5; 10]),
        epoch: EPOCH,
        seq: 4711,
        stage: Stage::New,
        severity: Severity::Serious,
        time: NOON,
        clock: ClockState::Synced,
        camera: 3,
        track: 1042,
        plate: Some(plate("ABC1Z34")),
        confidence: Some(873),
        candidates: Some(vec![candidate("ABC1234", 91), candidate("A8C1Z34", 22), candidate("ABG1Z34", 9)]),
        region: Some("br".to_owned()),
        matched: Some(MatchMark { list: 2, serial: 57, entry: 1204, how: How::Confusable, expiry_day: Some(20_513) }),
        rule: None,
        vehicle: Some(VehicleMark { class: Class::Car, colour: Some(4), permille: 960 }),
        direction: Some(172),
        rect: Some([31_210, 40_020, 36_500, 42_300]),
        frames: Some(14),
        crop: Some([0xc0; 16]),
        state: Some([0x51, 0x52, 0x53, 0x54]),
        stale: None,
    }
}

/// Of a rule: a person, of whom there is no plate and no crop.
pub(super) fn alert_of_rule() -> Alert {
    Alert {
        severity: Severity::Critical,
        plate: None,
        confidence: None,
        candidates: None,
        region: None,
        matched: None,
        rule: Some(7),
        vehicle: Some(VehicleMark { class: Class::Person, colour: None, permille: 912 }),
        frames: None,
        crop: None,
        ..alert()
    }
}

pub(super) fn shed() -> Shed {
    Shed {
        version: SHED_VERSION,
        epoch: EPOCH,
        seq: 9001,
        first: 8000,
        last: 8191,
        severity: Severity::Info,
        time: NOON,
    }
}

pub(super) fn ack() -> Ack {
    Ack { epoch: EPOCH, upto: 4711, also: vec![(4713, 4713), (4720, 4799)] }
}

pub(super) fn status() -> Status {
    let mut status = Status::new(BoxState::Offline, BootId([0xb0; 8]), 3, NOON, ClockState::Synced);
    "0.1.0".clone_into(&mut status.software);
    status
}

pub(super) fn health() -> std::sync::Arc<Health> {
    let health = Health::new();
    let gate = health.camera(&CameraId::new("gate").unwrap());
    gate.received.add(75_000);
    gate.analysed.add(50_000);
    gate.dropped.add(25_000);
    gate.rested.add(1_500);
    gate.skipped.add(240_000);
    gate.ring_bytes.store(6_291_456, std::sync::atomic::Ordering::Relaxed);
    gate.set_decoding(Decoding::KeyFrames);
    gate.opened.inc();
    gate.reads.add(812);
    gate.hits.add(9);
    gate.damaged.add(3);
    for class in [Class::Car, Class::Car, Class::Truck, Class::Person] {
        gate.count_passed(class);
    }
    let place = |name: &str| PlaceId::new(name).unwrap();
    for (way, class) in [(Way::Forward, Class::Car), (Way::Forward, Class::Plate), (Way::Backward, Class::Truck)] {
        gate.count_crossing(place("exit"), false, way, class);
    }
    gate.count_crossing(place("yard"), true, Way::Forward, Class::Person);
    gate.last_frame_ms.store(NOON.0 - 40, std::sync::atomic::Ordering::Relaxed);
    gate.set_state(CameraState::Online);
    let yard = health.camera(&CameraId::new("yard").unwrap());
    yard.received.add(12);
    yard.thinned.add(12);
    yard.unreadable.add(2);
    let main = yard.of_main();
    main.received.add(11);
    main.dropped.add(5);
    main.opened.add(4);
    main.failed.add(3);
    main.damaged.add(2);
    yard.set_state(CameraState::Offline("no route to host".to_owned()));
    health.centre.sent.add(12);
    health.centre.acked.add(9);
    health.alert_made(TimeMs(NOON.0 - 2_500));
    health.worker_lost(TimeMs(NOON.0 - 600_000), "ended (signal: 11 (SIGSEGV))");
    health.centre.set_last_loss(TimeMs(NOON.0 - 90_000), "the broker does not answer (no CONNACK in time)".to_owned());
    let local = health.list(&list("local"));
    local.refused.inc();
    local.set_fault(Some("hotlist local: line 3: PlateNumber is empty".to_owned()));
    health
}

pub(super) fn list(id: &str) -> ListId {
    ListId::new(id).unwrap()
}

/// What the other rooms tell.
pub(super) fn gauges() -> Gauges {
    let stolen = ListGauge::new(list("stolen"), 2, &health().list(&list("stolen")));
    let serial = 1_767_225_600;
    let issued = TimeMs(u64::from(serial) * 1000);
    Gauges {
        disk: Disk { free: 21_474_836_480, total: 64_424_509_440 },
        memory: Memory { available: 612_000_000, total: 1_024_000_000 },
        process: Process { resident: 160_000_000, peak: 171_000_000, cpu_ms: 7_200_000, threads: 12, files: 61 },
        audit: TreeHead { size: 1_204, root: TreeHash([0xad; 32]) },
        pictures_lost: 0,
        lists: vec![
            ListGauge { serial, entries: 48_211, issued, stale: true, ..stolen },
            ListGauge::new(list("local"), 3, &health().list(&list("local"))),
        ],
        parts: vec![Part::new("onnxruntime", "1.31.1"), Part::new("gstreamer", "1.22.0")],
        keeping: Some(keeping()),
        link: Some(LinkGauge {
            day: 20_454,
            up: [40_800, 0, 408_000, 61_200, 380, 20_100, 1_310_720, 61_000, 1_180_000, 540_000, 360_000, 0],
            down: 301_000,
            waits: 2,
            held: 0,
            budget: Some([8 << 20, 5_242_880]),
        }),
    }
}

fn keeping() -> KeepingGauge {
    let waits =
        UnseenHit { id: EventId::from_parts(NOON.0, [0xa5; 10]), severity: Severity::Serious, since: TimeMs(NOON.0) };
    let row = |of, right, judged| vec![Precision { of, right, judged }];
    KeepingGauge {
        unseen: Some(UnseenGauge { hits: 3, oldest: vec![waits] }),
        holds: 2,
        overdue: vec![1],
        unreadable: vec![7],
        retention: Some(Retention::default()),
        set: true,
        precision: PrecisionGauge {
            cameras: row(3, 40, 44),
            lists: row(2, 40, 44),
            states: row(0x5152_5354, 40, 44),
            bins: row(9, 39, 40),
        },
    }
}

pub(super) fn camera() -> CameraStatus {
    let counters = health().camera(&CameraId::new("gate").unwrap());
    let now = CameraStatus::of(3, &counters, NOON).at(&Place {
        location: Some([52.520_008, 13.404_954]),
        heading: Some(274.6),
        road: Some("B 96 north".to_owned()),
    });
    let rules = [(7, "wrong-way"), (8, "night-yard")];
    let now = now.ruled(&rules.map(|(number, id)| RuleName { number, id: RuleId::new(id).unwrap() }));
    let mut before = now.clone();
    before.time = TimeMs(NOON.0 - 30_000);
    before.received -= 750;
    before.analysed -= 500;
    before.dropped -= 250;
    before.rested = Some(1_470);
    now.since(&before)
}

pub(super) fn report() -> HealthReport {
    let facts = HealthFacts {
        time: (NOON, ClockState::Holdover),
        challenge: [0xcc; 8],
        boot: BootId([0xb0; 8]),
        uptime_s: 86_400,
        numbers: (EPOCH, 4711),
        outbox: OutboxGauge { entries: 3, bytes: 612, oldest_ms: 2_500 },
        gauges: gauges(),
        digests: StateDigests::new([0x0c; 32], [("reader-1".to_owned(), [2; 32]), ("plates-1".to_owned(), [1; 32])]),
    };
    let mut report = HealthReport::of(&health(), facts);
    "0.1.0".clone_into(&mut report.software);
    report
}
