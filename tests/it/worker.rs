//! Decoding in a worker process: the same pictures, and nothing else lost when it dies.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost::camera::decode::Decoder;
use watchpost::camera::idle::{Calm, Idle};
use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::worker::{Share, Workers};
use watchpost::camera::{self, Camera, CameraEvent, Credential, Error, Next, Settings};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame};
use watchpost::health::{CameraCounters, CameraState, Decoding, Health};
use watchpost::shutdown::Shutdown;

use super::kit::camera::{self as kit, PATIENCE, clip, error_of, looped};
use super::kit::pauses::Pauses;

/// However long the machine stands still: it is not silence that ends a camera here.
fn settings(uri: &str) -> Settings {
    let (stall_after, first_frame_within) = (PATIENCE * 9, PATIENCE * 9);
    Settings { stall_after, first_frame_within, ..kit::settings(uri) }
}

fn workers(share: Share) -> (Workers, Arc<Health>) {
    let health = Health::new();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_watchpost"));
    (Workers::new(program, share, Clock::system(), Arc::clone(&health)), health)
}

/// A number for what is seen in a frame.
fn sum(frame: &Frame) -> u64 {
    let planes = [frame.luma(), frame.chroma(1), frame.chroma(2)];
    let rows = planes.iter().flat_map(|plane| (0..plane.height).filter_map(|y| plane.row(y)));
    rows.flatten().fold(0, |sum: u64, v| sum.wrapping_mul(31).wrapping_add(u64::from(*v)))
}

/// Place, size and a number for what is seen.
type Seen = (Duration, (u32, u32), u64);

/// The pictures of a file to its end, and what was counted.
fn played(settings: &Settings) -> (Vec<Seen>, Arc<CameraCounters>) {
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(settings, &Clock::system(), Arc::clone(&counters)).unwrap();
    let mut frames = Vec::new();
    loop {
        match source.next(PATIENCE).unwrap() {
            Next::Frame(frame) => frames.push((frame.pts, (frame.format.width, frame.format.height), sum(&frame))),
            Next::Idle => panic!("nothing comes"),
            Next::End => break,
        }
    }
    drop(source);
    (frames, counters)
}

#[test]
fn frames_of_a_file_are_the_same_and_counted_the_same_and_so_is_what_is_kept_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 60, ..Clip::H264 });
    let here = settings(path.to_str().unwrap()).with_ring();
    let (workers, health) = workers(Share::All);
    let there = Settings { workers: Some(workers), ring: None, ..here.clone() }.with_ring();
    let ((frames, counters), (others, counted)) = (played(&here), played(&there));
    assert_eq!(frames.len(), 60);
    assert!(frames == others, "{} and {} frames", frames.len(), others.len());
    assert_eq!(counted.received.get(), counters.received.get());
    let span = |settings: &Settings| settings.ring.as_ref().unwrap().span(Duration::ZERO, Duration::MAX).unwrap();
    let (kept, other) = (span(&here), span(&there));
    assert!(kept.caps.is_strictly_equal(&other.caps), "{} is not {}", other.caps, kept.caps);
    let pictures = |span: &camera::ring::Span| -> Vec<_> {
        let bytes = |unit: &gstreamer::Buffer| unit.map_readable().unwrap().to_vec();
        span.pictures.iter().map(|c| (c.pts, c.is_key, c.unit.pts(), bytes(&c.unit))).collect()
    };
    assert!(pictures(&kept) == pictures(&other));
    let rotation = camera::Rotation::None;
    let clips = [&kept, &other].map(|span| camera::clip::remuxed(span, rotation).unwrap().pictures);
    assert_eq!(clips[0], clips[1]);
    assert_eq!(health.workers_lost.get(), 0);
}

#[test]
fn pictures_of_a_network_camera_are_those_of_its_file_and_few_of_them_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 75, ..Clip::H264 });
    let known: HashSet<u64> = played(&settings(path.to_str().unwrap())).0.into_iter().map(|(_, _, sum)| sum).collect();
    let server = RtspServer::start(&path, &Serving::default()).unwrap();
    let (workers, _health) = workers(Share::All);
    let there = Settings { workers: Some(workers), ..settings(&server.url()) };
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(&there, &Clock::system(), Arc::clone(&counters)).unwrap();
    let (mut seen, mut strange, pauses) = (0, Vec::new(), Pauses::watch());
    let error = loop {
        match source.next(PATIENCE) {
            Ok(Next::Frame(frame)) => {
                strange.extend((!known.contains(&sum(&frame))).then_some(frame.index));
                seen += 1;
            }
            Ok(_) => panic!("nothing comes"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    drop(source);
    assert_eq!(seen + counters.dropped.get(), counters.received.get());
    if pauses.spoil("which pictures are left out") {
        return;
    }
    // A picture may be lost on its way to the decoder, in the daemon's own process as here; those that need it, up to the next key frame, are not whole then.
    assert!(strange.len() < 10, "pictures {strange:?} are none of the file's");
    assert!(seen >= 60, "{seen} of 75");
}

/// A camera that runs on a thread of its own.
struct Running {
    counters: Arc<CameraCounters>,
    stop: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(name: &str, settings: &Settings) -> Self {
        let settings = Settings { id: CameraId::new(name).unwrap(), ..settings.clone() };
        let (counters, stop) = (Arc::new(CameraCounters::default()), Shutdown::new());
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let (counts, until) = (Arc::clone(&counters), stop.clone());
        let run = move || {
            camera
                .run(&until, &mut |event| {
                    if let CameraEvent::Frame(_) = event {
                        counts.analysed.inc();
                    }
                })
                .unwrap();
        };
        Self { counters, stop, thread: Some(std::thread::spawn(run)) }
    }

    /// Waits until it has given so many frames more, and says how long that took.
    #[track_caller]
    fn goes_on(&self, frames: u64) -> Duration {
        let (begun, from) = (Instant::now(), self.counters.analysed.get());
        while self.counters.analysed.get() < from + frames {
            assert!(begun.elapsed() < PATIENCE, "it does not go on: {:?}", self.counters.state());
            std::thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.trigger();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The numbers of the processes of a daemon's workers, once they are others than those.
fn other_than(workers: &Workers, before: &[u32]) -> Vec<u32> {
    let begun = Instant::now();
    loop {
        let now = workers.pids();
        if !now.is_empty() && now.iter().all(|pid| !before.contains(pid)) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{now:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_worker_costs_its_cameras_seconds_and_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 50, ..Clip::H264 });
    let server = RtspServer::start(&path, &looped()).unwrap();
    let ((shared, health), (alone, healthy)) = (workers(Share::All), workers(Share::Each));
    let of = |workers: &Workers| Settings { workers: Some(workers.clone()), ..settings(&server.url()) };
    // As the daemon says it of all its cameras before it opens one.
    for id in ["gate", "yard"] {
        shared.expect(&Settings { id: CameraId::new(id).unwrap(), ..of(&shared) });
    }
    let (gate, yard) = (Running::start("gate", &of(&shared)), Running::start("yard", &of(&shared)));
    let other = Running::start("other", &of(&alone));
    for camera in [&gate, &yard, &other] {
        camera.goes_on(10);
    }
    let pids = shared.pids();
    assert_eq!((pids.len(), alone.pids().len()), (1, 1), "one for both");
    kill("-KILL", pids[0]);
    let lost = Instant::now();
    while health.workers_lost.get() == 0 {
        assert!(lost.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    let now = other_than(&shared, &pids);
    let back = [&gate, &yard].map(|camera| {
        camera.goes_on(5);
        lost.elapsed()
    });
    eprintln!("back after {back:?}");
    assert!(back.iter().all(|took| *took < Duration::from_secs(10)), "{back:?}");
    for camera in [&gate, &yard] {
        let c = &camera.counters;
        assert_eq!((c.opened.get(), c.failed.get(), c.state()), (2, 1, CameraState::Online));
    }
    // A second loss: one of them kills it. Each gets its own.
    kill("-KILL", now[0]);
    other_than(&shared, &now);
    for camera in [&gate, &yard] {
        camera.goes_on(5);
    }
    assert_eq!((shared.pids().len(), health.workers_lost.get()), (2, 2));
    other.goes_on(5);
    let c = &other.counters;
    assert_eq!((c.opened.get(), c.failed.get(), healthy.workers_lost.get()), (1, 0, 0));
    // On a busy machine a picture may be replaced by a newer one; none is lost otherwise.
    assert!(c.analysed.get() + c.dropped.get() + 3 >= c.received.get());
}

#[test]
fn a_worker_that_is_stuck_is_ended_and_one_whose_daemon_is_gone_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 50, ..Clip::H264 });
    let server = RtspServer::start(&path, &looped()).unwrap();
    let (stuck, health) = workers(Share::All);
    let camera = Running::start("gate", &Settings { workers: Some(stuck.clone()), ..settings(&server.url()) });
    camera.goes_on(5);
    let pids = stuck.pids();
    // As systemd and terminals tell every process of a unit or a session to end.
    for signal in ["-TERM", "-INT", "-HUP"] {
        kill(signal, pids[0]);
    }
    camera.goes_on(5);
    assert_eq!(stuck.pids(), pids);
    kill("-STOP", pids[0]);
    other_than(&stuck, &pids);
    camera.goes_on(5);
    assert_eq!(health.workers_lost.get(), 1);
    let last = stuck.pids()[0];
    drop(camera);
    drop(stuck);
    let begun = Instant::now();
    // It is taken away by the thread that heard it.
    while Path::new(&format!("/proc/{last}/stat")).exists() {
        assert!(begun.elapsed() < PATIENCE, "it outlives its daemon");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(health.workers_lost.get(), 1, "it was asked to");
}

/// Bits of parameter sets.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn fixed(mut self, value: u32, bits: u32) -> Self {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// Exp-Golomb (H.264, 9.1).
    fn exp_golomb(self, value: u32) -> Self {
        let bits = 32 - (value + 1).leading_zeros();
        self.fixed(0, bits - 1).fixed(value + 1, bits)
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, n| byte << 1 | u8::from(bits.get(n).copied().unwrap_or(n == bits.len())))
        };
        self.0.chunks(8).map(byte).chain(self.0.len().is_multiple_of(8).then_some(0x80)).collect()
    }
}

/// The parameter set of an H.264 stream of this size (7.3.2.1.1), profile Main.
fn parameters(width: u32, height: u32) -> Vec<u8> {
    let bits = Bits::default()
        .fixed(77, 8)
        .fixed(0, 8)
        .fixed(62, 8)
        .exp_golomb(0)
        .exp_golomb(0)
        .exp_golomb(0)
        .exp_golomb(0)
        .exp_golomb(4)
        .fixed(0, 1);
    let bits = bits.exp_golomb(width / 16 - 1).exp_golomb(height / 16 - 1).fixed(1, 1).fixed(1, 1).fixed(0, 2);
    [&[0, 0, 0, 1, 0x67][..], &bits.bytes()].concat()
}

/// The units of a byte stream, without what is between them.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let begins: Vec<usize> =
        (0..stream.len().saturating_sub(3)).filter(|at| stream[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = begins.iter().skip(1).copied().chain([stream.len()]);
    let trimmed = |unit: &'_ [u8]| unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    begins.iter().zip(ends).map(|(begin, end)| &stream[begin + 3..end]).map(|unit| &unit[..trimmed(unit)]).collect()
}

#[test]
fn hostile_streams_do_not_harm_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let good = clip(dir.path(), Clip { muxer: "video/x-h264,stream-format=byte-stream ! identity", ..Clip::H264 });
    let bytes = std::fs::read(&good).unwrap();
    let (workers, health) = workers(Share::All);
    let huge = dir.path().join("huge.h264");
    // Its own parameter sets are taken out.
    let unit = |unit: &[u8]| [&[0, 0, 0, 1][..], unit].concat();
    let others: Vec<u8> = units(&bytes).into_iter().filter(|unit| unit[0] & 31 != 7).flat_map(unit).collect();
    std::fs::write(&huge, [parameters(16_384, 16_384), others].concat()).unwrap();
    let of = |path: &Path| Settings { workers: Some(workers.clone()), ..settings(path.to_str().unwrap()) };
    let (error, here) = (error_of(&of(&huge)), error_of(&settings(huge.to_str().unwrap())));
    assert_eq!(error.to_string(), here.to_string());
    assert!(matches!(error, Error::TooLarge { width: 16_384, height: 16_384, .. }), "{error}");
    let mut random = 88_172_645_463_325_252_u64;
    let flipped = dir.path().join("flipped.h264");
    for _ in 0..6 {
        let mut odd = bytes.clone();
        for _ in 0..200 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random % odd.len() as u64).unwrap();
            odd[at] ^= 1 << (random >> 60 & 7);
        }
        std::fs::write(&flipped, odd).unwrap();
        if let Ok(mut source) = camera::open(&of(&flipped), &Clock::system(), Arc::default()) {
            while let Ok(Next::Frame(frame)) = source.next(PATIENCE) {
                assert!(frame.luma().row(frame.luma().height - 1).is_some());
            }
        }
    }
    assert_eq!(health.workers_lost.get(), 0);
    let raw = played(&of(&good)).0;
    assert_eq!(raw.len(), 50, "it plays on");
}

#[test]
fn secrets_are_neither_on_its_command_line_nor_in_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 50, ..Clip::H264 });
    let (user, password) = ("operator-7", "cHeZ-4417-vrm");
    let serving = Serving { credential: Some((user.to_owned(), password.to_owned())), ..looped() };
    let server = RtspServer::start(&path, &serving).unwrap();
    let (workers, _health) = workers(Share::All);
    let credential = Some(Credential::new(user, password));
    let camera =
        Running::start("gate", &Settings { workers: Some(workers.clone()), credential, ..settings(&server.url()) });
    camera.goes_on(5);
    let pid = workers.pids()[0];
    // It is fenced in: no new privileges, system calls filtered, no cores and no files.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "no {line} in {status}");
    }
    let readily = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(readily.trim(), "1000", "it goes first when memory is short");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    for limit in ["core file size", "file size"] {
        let row = limits.lines().find(|line| line.starts_with(&format!("Max {limit} ")));
        assert!(row.is_none_or(|row| row.contains(" 0 ")), "{row:?}");
    }
    for place in ["cmdline", "environ"] {
        let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{place}")) else {
            assert_eq!(place, "environ", "who may trace it alone may read that: nobody here");
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        assert!(!text.contains(password) && !text.contains(user) && !text.contains("rtsp:"), "{place}: {text}");
    }
}

#[test]
fn an_idle_camera_decodes_key_frames_alone_in_its_worker_and_wakes_when_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let encoder = "x264enc speed-preset=ultrafast key-int-max=25 bframes=0 threads=1 option-string=scenecut=0";
    let path = clip(dir.path(), Clip { frames: 250, pattern: "checkers-8", encoder, ..Clip::H264 });
    let server = RtspServer::start(&path, &looped()).unwrap();
    let (workers, _health) = workers(Share::All);
    let idle = Arc::new(Idle::default());
    let there =
        Settings { workers: Some(workers), idle: Some(Arc::clone(&idle)), ..settings(&server.url()) }.with_ring();
    let counters = Arc::new(CameraCounters::default());
    let camera = Camera::new(there.clone(), Clock::system(), Arc::clone(&counters));
    let (stop, begun) = (Shutdown::new(), Instant::now());
    let mut calm = Calm::new(Arc::clone(&idle));
    let (mut rested, mut after) = (None, 0);
    camera
        .run(&stop, &mut |event| {
            let CameraEvent::Frame(frame) = event else { return };
            calm.note(frame.pts, true);
            match rested {
                None if idle.is_idle() && counters.skipped.get() > 30 => {
                    assert_eq!(counters.decoding(), Decoding::KeyFrames);
                    rested = Some(frame.pts);
                    calm.disturb();
                    idle.wake();
                }
                // What was kept is seen, every picture of it.
                Some(_) => after += 1,
                None => {}
            }
            if after > 40 || begun.elapsed() > PATIENCE * 3 {
                stop.trigger();
            }
        })
        .unwrap();
    assert!(rested.is_some() && after > 40, "{rested:?} {after} {:?}", counters.skipped.get());
    assert!(!idle.is_idle(), "it is closed");
    let span = there.ring.as_ref().unwrap().span(Duration::ZERO, Duration::MAX).unwrap();
    assert!(span.pictures.len() > 100, "{} of what was not decoded is kept", span.pictures.len());
}

#[test]
fn a_file_whose_worker_dies_goes_on_where_it_was_with_every_picture_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 120, ..Clip::H264 });
    let (workers, health) = workers(Share::All);
    let here = Settings { fps: Some(10.0), ..settings(path.to_str().unwrap()) };
    let there = Settings { workers: Some(workers.clone()), ..here.clone() }.with_ring();
    let all = played(&Settings { workers: None, ..here });
    let (counters, mut seen, mut told) = (Arc::new(CameraCounters::default()), Vec::new(), Vec::new());
    let mut times = Vec::new();
    Camera::new(there, Clock::system(), Arc::clone(&counters))
        .run(&Shutdown::new(), &mut |event| match event {
            CameraEvent::Frame(frame) => {
                seen.push((frame.pts, (frame.format.width, frame.format.height), sum(&frame)));
                times.push(u128::from(frame.at.0) - frame.pts.as_millis());
                if [5, 20].contains(&seen.len()) {
                    let before = workers.pids();
                    kill("-KILL", before[0]);
                    while workers.pids() == before {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
            CameraEvent::Quiet => {}
            other => told.push(format!("{other:?}")),
        })
        .unwrap();
    assert!(seen == all.0, "{} and {} frames", seen.len(), all.0.len());
    assert_eq!(told, ["Ended"], "what goes on is no other camera");
    let numbers = |c: &CameraCounters| [c.received.get(), c.thinned.get(), c.dropped.get(), c.damaged.get()];
    assert_eq!(numbers(&counters), numbers(&all.1));
    // One time of opening, to the millisecond of rounding.
    assert!(times.iter().all(|at| at.abs_diff(times[0]) <= 1), "{times:?}");
    assert_eq!((counters.opened.get(), counters.failed.get(), health.workers_lost.get()), (3, 2, 2));
    let (_, why) = health.worker_loss().unwrap();
    assert!(why.contains("signal: 9"), "{why}");
}

#[test]
fn a_file_that_kills_every_worker_at_the_same_place_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 120, ..Clip::H264 });
    let (workers, health) = workers(Share::Each);
    // Its decoder does not come back from a picture.
    let there = Settings { workers: Some(workers), ..settings(path.to_str().unwrap()) };
    let there = Settings { id: CameraId::new("spin-60").unwrap(), ..there };
    let counters = Arc::new(CameraCounters::default());
    let mut seen = Vec::new();
    let error = Camera::new(there, Clock::system(), Arc::clone(&counters))
        .run(&Shutdown::new(), &mut |event| {
            if let CameraEvent::Frame(frame) = event {
                seen.push(frame.index);
            }
        })
        .unwrap_err();
    assert!(error.to_string().contains("of processor time on one picture of "), "{error}");
    assert!(seen.len() > 5 && seen.iter().zip(0..).all(|(index, n)| *index == n), "each once: {seen:?}");
    assert!((3..=4).contains(&health.workers_lost.get()), "{}", health.workers_lost.get());
}

#[test]
fn a_worker_that_may_do_less_than_a_camera_needs_is_replaced_and_ends_with_its_last_camera() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.mp4"), dir.path().join("b.mp4"));
    for path in [&first, &second] {
        Clip { frames: 30, ..Clip::H264 }.make(path).unwrap();
    }
    let (workers, health) = workers(Share::All);
    let of = |path: &Path| Settings { workers: Some(workers.clone()), ..settings(path.to_str().unwrap()) };
    let open = |path: &Path| camera::open(&of(path), &Clock::system(), Arc::default()).unwrap();
    let one = open(&first);
    let before = workers.pids();
    assert_eq!(played(&of(&second)).0.len(), 30);
    let after = workers.pids();
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    drop(one);
    let begun = Instant::now();
    while Path::new(&format!("/proc/{}/stat", before[0])).exists() {
        assert!(begun.elapsed() < PATIENCE, "it outlives its last camera");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Another file of the same name is another file.
    std::fs::rename(&second, &first).unwrap();
    assert_eq!(played(&of(&first)).0.len(), 30);
    assert_ne!(workers.pids(), after);
    assert_eq!(health.workers_lost.get(), 0, "all were asked to");
}

#[test]
fn kept_pictures_are_decoded_in_the_worker_and_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), Clip { frames: 60, ..Clip::H264 });
    let (workers, health) = workers(Share::All);
    let there = Settings { workers: Some(workers), ..settings(path.to_str().unwrap()) }.with_ring();
    played(&there);
    let span = there.ring.as_ref().unwrap().span(Duration::ZERO, Duration::MAX).unwrap();
    let decoded = |decoder: &Decoder, most: usize| {
        let mut seen = Vec::new();
        let decoded = decoder.pictures(&span, camera::Rotation::Left, &mut |frame| {
            seen.push((frame.at, frame.pts, frame.format.width, sum(&frame)));
            if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        decoded.unwrap();
        seen
    };
    let (here, worker) = (Decoder::default(), Decoder::of(&there));
    let all = decoded(&here, usize::MAX);
    assert_eq!((all.len(), all[0].2), (60, 180), "turned");
    assert!(decoded(&worker, usize::MAX) == all);
    assert!(decoded(&worker, 7) == all[..7], "as many as are wanted");
    assert_eq!(health.workers_lost.get(), 0);
}
