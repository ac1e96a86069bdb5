//! The whole analysis of a clip by some cameras at a time, in this process, without store and centre.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::cost::{cpu, ms, ms_since, pss_mib, thread_cpu, threads};
use super::floor::Floor;
use super::player::Player;
use super::stages::{Finder, Looker, Reading, Spent, Watch};
use super::{Bench, Mode};
use crate::clock::Clock;
use crate::domain::{CameraId, SightingEvent, Stage, TimeMs};
use crate::vision::Analyser;
use crate::vision::analyser::VehicleSource;
use crate::vision::model::Vehicles;
use crate::vision::view::View;

/// How often the memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The figures of a run, in the order of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Decode,
    Gate,
    Tensor,
    Detector,
    Vehicles,
    Reading,
    Rest,
    Whole,
    Floor,
    Ratio,
    Loop,
    LoopRatio,
    LookedAt,
    Looks,
    Reads,
    Fps,
    Pss,
    Threads,
    Switches,
}

impl Figure {
    pub(super) const ALL: [Self; 19] = [
        Self::Decode,
        Self::Gate,
        Self::Tensor,
        Self::Detector,
        Self::Vehicles,
        Self::Reading,
        Self::Rest,
        Self::Whole,
        Self::Floor,
        Self::Ratio,
        Self::Loop,
        Self::LoopRatio,
        Self::LookedAt,
        Self::Looks,
        Self::Reads,
        Self::Fps,
        Self::Pss,
        Self::Threads,
        Self::Switches,
    ];

    /// Its key in JSON, what people read, and its decimals.
    pub(super) fn told(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Decode => ("decode_ms", "decoding", 2),
            Self::Gate => ("gate_ms", "gate and view", 2),
            Self::Tensor => ("tensor_ms", "tensor", 2),
            Self::Detector => ("detector_ms", "detector", 2),
            Self::Vehicles => ("vehicles_ms", "vehicles", 2),
            Self::Reading => ("reading_ms", "reading", 2),
            Self::Rest => ("rest_ms", "the rest", 2),
            Self::Whole => ("whole_ms", "whole, CPU ms a frame", 2),
            Self::Floor => ("floor_ms", "floor, its parts alone", 2),
            Self::Ratio => ("ratio", "ratio to it", 3),
            Self::Loop => ("loop_ms", "the floor's parts in one loop", 2),
            Self::LoopRatio => ("loop_ratio", "ratio to that loop", 3),
            Self::LookedAt => ("looked_at", "looked at, of a frame", 2),
            Self::Looks => ("looks", "looks for vehicles a frame", 2),
            Self::Reads => ("reads", "plates read a frame", 2),
            Self::Fps => ("fps", "frames a second", 0),
            Self::Pss => ("pss_mib", "memory (PSS), MiB", 0),
            Self::Threads => ("threads", "threads", 0),
            Self::Switches => ("switches", "switches a frame", 1),
        }
    }
}

/// One run.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// In the order of [`Figure::ALL`].
    values: Vec<f64>,
    /// Texts of all plates that were told.
    pub plates: BTreeSet<String>,
}

impl Run {
    pub(super) fn get(&self, figure: Figure) -> f64 {
        let place = Figure::ALL.iter().position(|of| *of == figure);
        place.and_then(|place| self.values.get(place)).copied().unwrap_or(0.0)
    }
}

/// What the machine gave while all cameras were at work.
#[derive(Debug, Default)]
struct Taken {
    cpu_ms: f64,
    seconds: f64,
    pss_mib: f64,
    threads: usize,
    switches: u64,
}

/// Analyses with so many cameras; `floor` is what was measured beside it.
///
/// # Errors
/// What the clip or the models say.
pub(super) fn whole(bench: &Bench<'_>, mode: Mode, cameras: u32, floor: &Floor) -> anyhow::Result<Run> {
    let spent = Arc::new(Spent::default());
    let (tell, told) = sync_channel(cameras as usize);
    // Nobody ends before what all of them took was looked at.
    let stay = RwLock::new(());
    let mut plates = BTreeSet::new();
    let mut taken = Taken::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let staying = stay.write();
        let begun = (cpu(), Clock::system());
        let threads: Vec<_> = (0..cameras)
            .map(|n| {
                let (through, stay, watch) = (Through(tell.clone()), &stay, Watch::of(&spent));
                scope.spawn(move || {
                    let mut camera = Camera::open(bench, mode, n, watch)?;
                    let plates = camera.play(bench.frames);
                    drop(through);
                    drop(stay.read());
                    plates
                })
            })
            .collect();
        taken = watch(cameras, &told, begun);
        drop(staying);
        for thread in threads {
            plates.extend(thread.join().map_err(|_| anyhow::anyhow!("a camera's thread panicked"))??);
        }
        Ok(())
    })?;
    let frames = (bench.frames * u64::from(cameras)) as f64;
    Ok(Run { values: figures(&spent, floor, frames, &taken), plates })
}

/// Waits until so many cameras are through. What looking at the memory takes is left out.
fn watch(cameras: u32, told: &Receiver<()>, (begin, clock): (Duration, Clock)) -> Taken {
    let (wall, before, mut most, mut own) = (clock.monotonic(), threads().1, 0.0_f64, Duration::ZERO);
    let mut look = || {
        let begin = thread_cpu();
        most = most.max(pss_mib());
        own += thread_cpu().saturating_sub(begin);
    };
    let mut waiting = cameras;
    while waiting > 0 {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(()) => waiting -= 1,
            Err(RecvTimeoutError::Timeout) => look(),
            Err(RecvTimeoutError::Disconnected) => waiting = 0,
        }
    }
    let (all, seconds) = (ms_since(begin), clock.monotonic().saturating_sub(wall).as_secs_f64());
    let cpu_ms = all - ms(own);
    most = most.max(pss_mib());
    let (threads, switches) = threads();
    // The thread that looks is none of theirs.
    Taken {
        cpu_ms,
        seconds,
        pss_mib: most,
        threads: threads.saturating_sub(1),
        switches: switches.saturating_sub(before),
    }
}

fn figures(spent: &Spent, floor: &Floor, frames: f64, taken: &Taken) -> Vec<f64> {
    let [step, gate, find, looking, reading] =
        [&spent.step, &spent.gate, &spent.find, &spent.look, &spent.read].map(|part| part.ms() / frames);
    let [finds, looks, reads] = [&spent.finds, &spent.looks, &spent.reads].map(|part| part.count() / frames);
    let whole = taken.cpu_ms / frames;
    // Both are one call from here; the floor has them apart.
    let tensor = (floor.together.tensor * finds).min(find);
    let (alone, together) = (floor.alone.of(looks, reads), floor.together.of(looks, reads));
    vec![
        (whole - step).max(0.0),
        gate,
        tensor,
        find - tensor,
        looking,
        reading,
        (step - gate - find - looking - reading).max(0.0),
        whole,
        alone,
        whole / alone,
        together,
        whole / together,
        finds,
        looks,
        reads,
        frames / taken.seconds.max(0.001),
        taken.pss_mib,
        taken.threads as f64,
        taken.switches as f64 / frames,
    ]
}

/// Says when it is dropped that its camera is through, whatever became of it.
struct Through(SyncSender<()>);

impl Drop for Through {
    fn drop(&mut self) {
        // There is room for every camera.
        let _ = self.0.try_send(());
    }
}

/// A camera that plays the clip.
struct Camera {
    player: Player,
    analyser: Analyser,
    watch: Watch,
}

impl Camera {
    fn open(bench: &Bench<'_>, mode: Mode, n: u32, watch: Watch) -> anyhow::Result<Self> {
        let (models, settings) = (bench.models, bench.settings(mode)?);
        let id = CameraId::new(&format!("bench-{n}"))?;
        let finder = Box::new(Finder(Arc::clone(&models.detector), watch.clone()));
        let reader = Box::new(Reading(models.reader.expecting(settings.patterns.clone()), watch.clone()));
        let mut analyser = Analyser::with(finder, reader, settings, id, 1);
        let source = match &models.vehicles {
            Vehicles::Own(finder) => Some(VehicleSource::Own(Box::new(Looker(Arc::clone(finder), watch.clone())))),
            other => VehicleSource::of(other),
        };
        if let Some(source) = source {
            analyser = analyser.with_vehicles(source);
        }
        if mode == Mode::Default {
            analyser = analyser.with_view(View::new(None));
        }
        Ok(Self { player: Player::open(bench.clip)?, analyser, watch })
    }

    /// Plays so many frames; the texts of all plates that were told.
    fn play(&mut self, frames: u64) -> anyhow::Result<BTreeSet<String>> {
        let mut plates = BTreeSet::new();
        for _ in 0..frames {
            let frame = self.player.next()?;
            if self.player.has_begun_anew() {
                self.analyser.interrupt();
                self.analyser.begin_stream();
            }
            let events = self.watch.step(&mut self.analyser, &frame)?;
            plates.extend(events.iter().filter_map(text));
        }
        plates.extend(self.analyser.finish(TimeMs(0)).iter().filter_map(text));
        Ok(plates)
    }
}

/// The plate with which a sighting ends.
fn text(event: &SightingEvent) -> Option<String> {
    let read = event.sighting.read.as_ref().filter(|_| event.stage == Stage::End)?;
    Some(read.text.as_str().to_owned())
}
