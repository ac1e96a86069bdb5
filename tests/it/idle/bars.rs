//! The bars of idle decoding, with drawn vehicles and the shipped models. Takes minutes, so it is asked for by name:
//!
//! ```sh
//! WATCHPOST_IDLE=1 cargo test --release --features testkit --test it -- idle::bars --nocapture --test-threads 1
//! ```
//!
//! `WATCHPOST_IDLE_PASSES` is how many vehicles pass (50), `WATCHPOST_IDLE_CODING` one of `h264`, `b-frames`, `h265`, `cbr`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use watchpost::camera::idle::{Calm, Idle};
use watchpost::camera::testkit::RtspServer;
use watchpost::camera::{Camera, CameraEvent, Settings};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Stage};
use watchpost::health::{CameraCounters, Decoding};
use watchpost::shutdown::Shutdown;
use watchpost::vision::model::{Models, Settings as ModelSettings};
use watchpost::vision::{self, Analyser};

use crate::kit::camera::{looped, settings};
use crate::passes::drawn::street::{Clip, Pass, Spoil, encode, truth};

fn wanted() -> bool {
    std::env::var_os("WATCHPOST_IDLE").is_some()
}

fn models() -> Models {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    Models::load(&ModelSettings { folder, workers: 2, ..ModelSettings::default() }).unwrap()
}

/// Where clips lie: in `WATCHPOST_IDLE_CLIPS`, where they are taken from again, or for this run alone.
enum Folder {
    Kept(std::path::PathBuf),
    Own(tempfile::TempDir),
}

impl Folder {
    fn new() -> Self {
        match std::env::var_os("WATCHPOST_IDLE_CLIPS") {
            Some(path) => Self::Kept(path.into()),
            None => Self::Own(tempfile::tempdir().unwrap()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Own(dir) => dir.path(),
        }
    }
}

/// Seconds of CPU of this process, user and system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// What came of a camera: when each plate was told first (wall clock), its counters, and how much was decoded when.
struct Seen {
    told: BTreeMap<String, (Instant, Duration)>,
    counters: Arc<CameraCounters>,
    /// How often it began to be idle.
    rests: usize,
    /// CPU between two places of the stream.
    cpu: f64,
}

/// Watches a camera for `seconds` of its stream; CPU is taken from `from` seconds on.
fn watch(mut settings: Settings, models: &Models, idles: bool, (from, seconds): (u64, u64)) -> Seen {
    let idle = idles.then(|| Arc::new(Idle::default()));
    settings.idle.clone_from(&idle);
    settings.stall_after = Duration::from_secs(4);
    let counters = Arc::new(CameraCounters::default());
    let clock = Clock::system();
    let camera = Camera::new(settings, clock.clone(), Arc::clone(&counters));
    let vision = vision::Settings { motion_gate: true, ..vision::Settings::default() };
    let mut analyser = Analyser::new(models, vision, CameraId::new("gate").unwrap(), 1);
    let mut calm = idle.map(Calm::new);
    let (stop, mut told) = (Shutdown::new(), BTreeMap::new());
    let mut at_begin = None;
    // When how much was decoded, and whether the gate saw stillness.
    let mut changes = Vec::new();
    let ran = camera.run(&stop, &mut |event| {
        let CameraEvent::Frame(frame) = event else { return };
        if frame.pts >= Duration::from_secs(from) && at_begin.is_none() {
            at_begin = Some(cpu());
        }
        for event in analyser.step(&frame).unwrap() {
            if let (Stage::New, Some(read)) = (event.stage, &event.sighting.read) {
                told.entry(read.text.to_string()).or_insert((Instant::now(), frame.pts));
            }
        }
        if let Some(calm) = &mut calm {
            calm.note(frame.pts, analyser.is_still());
        }
        if changes.last().is_none_or(|(_, _, was)| *was != counters.decoding()) {
            changes.push((frame.pts, analyser.is_still(), counters.decoding()));
        }
        if frame.pts >= Duration::from_secs(seconds) {
            stop.trigger();
        }
    });
    ran.unwrap();
    eprintln!("{} changes: {:?}", changes.len(), &changes[..changes.len().min(24)]);
    let rests = changes.iter().filter(|(_, _, decoding)| *decoding == Decoding::KeyFrames).count();
    Seen { told, counters, rests, cpu: cpu() - at_begin.unwrap_or_default() }
}

/// Codes a clip anew.
fn coded_as(from: &Path, to: &Path, coding: &str) {
    let encoder = match coding {
        "b-frames" => {
            "x264enc speed-preset=veryfast pass=qual quantizer=24 key-int-max=50 bframes=3 b-pyramid=true option-string=scenecut=0:b-adapt=0 ! h264parse"
        }
        "cbr" => {
            "x264enc speed-preset=veryfast pass=cbr bitrate=3000 key-int-max=50 bframes=0 option-string=scenecut=0 ! h264parse"
        }
        "h265" => {
            "x265enc speed-preset=superfast key-int-max=50 log-level=none option-string=crf=26:scenecut=0:bframes=3:b-adapt=0 ! h265parse"
        }
        other => panic!("{other} is no coding that is known"),
    };
    let text = format!(
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! {encoder} ! mp4mux ! filesink location={}",
        from.display(),
        to.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(900), &ends).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn an_idle_camera_costs_a_quarter_of_one_that_is_decoded_whole_at_most() {
    if !wanted() {
        return;
    }
    let dir = Folder::new();
    let models = models();
    let mut over = false;
    for size in [(1280, 720), (1920, 1080)] {
        let path = dir.path().join(format!("still-{}.mp4", size.1));
        let spoil = Spoil { noise: 2.0, ..Spoil::default() };
        if !path.exists() {
            encode(&Clip { size, seconds: 64.0, spoil, ..Clip::default() }, &path).unwrap();
        }
        let settings = || Settings { realtime: true, ..settings(path.to_str().unwrap()) };
        let [whole, idle] = [false, true].map(|idles| watch(settings(), &models, idles, (14, 62)));
        let (decoded, skipped) = (idle.counters.received.get(), idle.counters.skipped.get());
        let share = idle.cpu / whole.cpu;
        eprintln!(
            "{size:?}: 48 s of a still scene: {:.2} s of CPU decoded whole, {:.2} s idle ({decoded} pictures decoded, \
             {skipped} not): {share:.3}",
            whole.cpu, idle.cpu
        );
        over |= share > 0.25;
    }
    assert!(!over, "more than a quarter");
}

#[test]
fn no_pass_before_an_idle_camera_is_missed_and_each_is_read_little_later() {
    if !wanted() {
        return;
    }
    let number = |name: &str, usual: u16| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let coding = std::env::var("WATCHPOST_IDLE_CODING").unwrap_or_else(|_| "h264".to_owned());
    let passes: Vec<Pass> = (0..number("WATCHPOST_IDLE_PASSES", 50))
        .map(|n| {
            // 14 to 16 s apart, so that the camera is idle when they come, anywhere between two key frames; fast and slow,
            // near and far.
            let from_s = 14.0 + 15.0 * f32::from(n) + f32::from(n * 7 % 20) / 10.0;
            let lasts_s = 1.0 + f32::from(n % 5) * 0.3;
            Pass { seed: 9_000 + u64::from(n), from_s, lasts_s, plate_px: (60.0, 100.0), ..Pass::default() }
        })
        .collect();
    let seconds = 15 * passes.len() as u64 + 20;
    let spoil = Spoil { noise: 2.0, ..Spoil::default() };
    let film = Clip { seconds: seconds as f32, passes, spoil, crf: 26, ..Clip::default() };
    let texts: Vec<String> = truth(&film).into_iter().map(|t| t.text).collect();
    let dir = Folder::new();
    let mut path = dir.path().join(format!("passes-{}-apart.mp4", film.passes.len()));
    if !path.exists() {
        encode(&film, &path).unwrap();
    }
    if coding != "h264" {
        let other = dir.path().join(format!("passes-{}-{coding}.mp4", film.passes.len()));
        if !other.exists() {
            coded_as(&path, &other, &coding);
        }
        path = other;
    }
    let server = RtspServer::start(&path, &looped()).unwrap();
    let models = models();
    // Both look at one stream at the same time, so what they tell can be compared by the clock on the wall.
    let [whole, idle] = std::thread::scope(|scope| {
        let watching = [false, true].map(|idles| {
            let (settings, models) = (settings(&server.url()), &models);
            scope.spawn(move || watch(settings, models, idles, (0, seconds - 2)))
        });
        watching.map(|thread| thread.join().unwrap())
    });
    let [read, read_idle] = [&whole, &idle].map(|seen| texts.iter().filter(|t| seen.told.contains_key(*t)).count());
    let mut late: Vec<i128> = Vec::new();
    for text in &texts {
        match (whole.told.get(text), idle.told.get(text)) {
            (Some((then, _)), Some((later, _))) => {
                let ms = |d: Duration| i128::try_from(d.as_millis()).unwrap();
                late.push(ms(later.saturating_duration_since(*then)) - ms(then.saturating_duration_since(*later)));
            }
            (Some((_, pts)), None) => eprintln!("missed while idle: {text} at {pts:?}"),
            (None, Some(_)) => eprintln!("read by the idle one alone: {text}"),
            (None, None) => eprintln!("read by neither: {text}"),
        }
    }
    late.sort_unstable();
    let counters = &idle.counters;
    eprintln!(
        "{coding}: of {} passes {read} read right decoded whole, {read_idle} idle; later by {:?} ms at the median, {:?} at most; \
         {} times idle, {} decoded, {} not, {} dropped ({} by the other)",
        texts.len(),
        late.get(late.len() / 2),
        late.last(),
        idle.rests,
        counters.received.get(),
        counters.skipped.get(),
        counters.dropped.get(),
        whole.counters.dropped.get(),
    );
    eprintln!("{late:?}");
    let missed = texts.iter().filter(|t| whole.told.contains_key(*t) && !idle.told.contains_key(*t)).count();
    assert_eq!(missed, 0, "passes read by the one and not by the other");
    assert!(late.last().is_some_and(|most| *most <= 700), "{late:?}");
    assert!(idle.rests * 10 >= texts.len() * 7, "it was seldom idle when they came: little was tried");
}
