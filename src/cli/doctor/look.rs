//! Looks through one camera for a while, as the daemon would, with an observer beside the analyser.
//!
//! Blocks its thread. A live source is looked at for so many seconds of the clock, a file for as many of its own, every
//! frame of it. What comes is kept as passes and numbers; of frames only a few JPEGs stay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::notes::{self, Notes, Shared, Sieve, Watcher};
use super::pass::{Hiding, Pass};
use super::target::Target;
use crate::camera::probe::Probed;
use crate::camera::{self, MainStream, Next, Source};
use crate::clock::Clock;
use crate::domain::{Class, Frame, PlateText, SightingEvent, Stage};
use crate::health::CameraCounters;
use crate::shutdown::Shutdown;
use crate::vision::detect::Detector;
use crate::vision::mask::Mask;
use crate::vision::quality::Scene;
use crate::vision::quality::blocks::blockiness;
use crate::vision::{Analyser, Area, Models};

/// How long one wait for a frame lasts.
const WAIT: Duration = Duration::from_millis(200);

/// A source that gives nothing for so long is given up.
const STALL: Duration = Duration::from_secs(20);

/// How often a frame that the gate rested on is searched all the same, in stream time.
const ASLEEP_EVERY: Duration = Duration::from_millis(200);

/// How often the borders of blocks are looked at, frames.
const BLOCKS_EVERY: u64 = 25;

/// Scores below which not even the doctor believes in a plate, as a share of the detector's own threshold.
const LEAST: f32 = 0.3;

/// When it is enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Enough {
    pub time: Option<Duration>,
    pub frames: Option<u64>,
}

/// The models that the doctor looks with.
pub(super) struct Looking {
    pub models: Models,
    /// Tells of plates far below the threshold.
    pub keen: Arc<Detector>,
    /// Score from which a plate counts, as configured, and as its maker says.
    pub threshold: f32,
    pub usual: f32,
    pub vehicles: Option<Arc<Detector>>,
}

impl Looking {
    /// The score below which nothing is noted.
    pub(super) fn least(usual: f32) -> f32 {
        usual * LEAST
    }
}

/// What was seen of one camera.
#[derive(Debug)]
pub(super) struct Observed {
    pub passes: Vec<Pass>,
    pub notes: Notes,
    /// Frames that came, were analysed, were dropped since the box was slower, were damaged.
    pub frames: u64,
    pub dropped: u64,
    pub damaged: u64,
    /// Of the stream, between the first and the last frame.
    pub span: Duration,
    pub fps: Option<f32>,
    /// Analysis of one frame, mean.
    pub cost: Option<Duration>,
    pub probed: Probed,
    pub blocks: Option<f32>,
    pub error: Option<String>,
    /// Ended by the person who looks.
    pub interrupted: bool,
}

/// One look under way.
struct Look<'a> {
    target: &'a Target,
    looking: &'a Looking,
    clock: &'a Clock,
    notes: Shared,
    analyser: Analyser,
    mask: Mask,
    told: BTreeMap<u32, (PlateText, f32)>,
    first: Option<Duration>,
    last: Duration,
    frames: u64,
    spent: Duration,
    analysed: u32,
    asleep_due: Duration,
    blocks: Vec<f32>,
    error: Option<String>,
}

/// Looks through the camera until it is enough, its file is over, or `stop` is set; `progress` hears the time of the stream
/// and the plates so far.
pub(super) fn look(
    target: &Target,
    looking: &Looking,
    enough: Enough,
    clock: &Clock,
    stop: &Shutdown,
    progress: &mut dyn FnMut(Duration, usize),
) -> Observed {
    let counters = Arc::new(CameraCounters::default());
    let mut look = Look::new(target, looking, clock);
    #[cfg_attr(not(feature = "gst"), expect(unused_mut, reason = "only a probe changes it"))]
    let mut probed = Probed::nothing(&target.camera);
    #[cfg(feature = "gst")]
    let tap = Arc::new(camera::probe::Tap::new(clock.clone()));
    #[cfg(feature = "gst")]
    let settings = camera::Settings { tap: Some(Arc::clone(&tap)), ..target.camera.clone() };
    #[cfg(not(feature = "gst"))]
    let settings = target.camera.clone();
    let mut main = target.camera.of_main().map(|main| MainStream::start(main, clock, counters.of_main(), stop));
    let mut interrupted = false;
    match camera::open(&settings, clock, Arc::clone(&counters)) {
        Ok(mut source) => {
            interrupted = look.through(source.as_mut(), enough, stop, progress, &mut |frame| {
                if let Some(main) = &mut main {
                    main.attach(frame, &counters);
                }
            });
            #[cfg(feature = "gst")]
            tap.finish(&mut probed);
        }
        Err(error) => look.error = Some(error.to_string()),
    }
    look.finish(probed, &counters, interrupted)
}

impl<'a> Look<'a> {
    fn new(target: &'a Target, looking: &'a Looking, clock: &'a Clock) -> Self {
        let notes: Shared = Arc::new(std::sync::Mutex::new(Notes::new(Looking::least(looking.usual))));
        let models = &looking.models;
        let sieve =
            Sieve { detector: Arc::clone(&looking.keen), threshold: looking.threshold, notes: Arc::clone(&notes) };
        let reader = models.reader.expecting(target.vision.patterns.clone());
        let watcher = Watcher {
            notes: Arc::clone(&notes),
            detector: Arc::clone(&looking.keen),
            threshold: looking.threshold,
            reader: Arc::clone(&models.reader),
            vehicles: looking.vehicles.clone(),
            has_roi: !target.vision.roi.is_empty(),
        };
        let (id, number) = (target.camera.id.clone(), target.camera.number);
        let analyser = Analyser::with(Box::new(sieve), Box::new(reader), target.vision.clone(), id, number);
        Self {
            target,
            looking,
            clock,
            notes,
            analyser: analyser.with_insight(Box::new(watcher)),
            mask: Mask::new(target.vision.privacy_mask.clone()),
            told: BTreeMap::new(),
            first: None,
            last: Duration::ZERO,
            frames: 0,
            spent: Duration::ZERO,
            analysed: 0,
            asleep_due: Duration::ZERO,
            blocks: Vec::new(),
            error: None,
        }
    }

    /// True when it was interrupted.
    fn through(
        &mut self,
        source: &mut dyn Source,
        enough: Enough,
        stop: &Shutdown,
        progress: &mut dyn FnMut(Duration, usize),
        attach: &mut dyn FnMut(&mut Frame),
    ) -> bool {
        let clock = self.clock;
        let mut newest = clock.monotonic();
        loop {
            if stop.is_set() {
                return true;
            }
            match source.next(WAIT) {
                Ok(Next::Frame(mut frame)) => {
                    newest = clock.monotonic();
                    attach(&mut frame);
                    self.frame(&frame);
                    let seen = self.seen();
                    progress(seen, notes::lock(&self.notes).trails.len());
                    let over = |time: Duration| seen >= time;
                    if enough.time.is_some_and(over) || enough.frames.is_some_and(|n| self.frames >= n) {
                        return false;
                    }
                }
                Ok(Next::Idle) => {
                    let silent = clock.monotonic().saturating_sub(newest);
                    if source.can_stall() && silent > STALL {
                        self.error = Some(format!("no frame for {} s", STALL.as_secs()));
                        return false;
                    }
                }
                Ok(Next::End) => return false,
                Err(error) => {
                    self.error = Some(error.to_string());
                    return false;
                }
            }
        }
    }

    fn seen(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| self.last.saturating_sub(first))
    }

    fn frame(&mut self, frame: &Frame) {
        self.first.get_or_insert(frame.pts);
        self.last = self.last.max(frame.pts);
        let begun = self.clock.monotonic();
        match self.analyser.step(frame) {
            Ok(events) => self.hear(events),
            Err(error) => self.error = Some(error.to_string()),
        }
        if self.analyser.is_resting() {
            self.while_asleep(frame);
        } else {
            self.spent += self.clock.monotonic().saturating_sub(begun);
            self.analysed = self.analysed.saturating_add(1);
        }
        if self.frames.is_multiple_of(BLOCKS_EVERY) && self.blocks.len() < 64 {
            self.blocks.extend(blockiness(frame));
        }
        self.frames += 1;
    }

    fn hear(&mut self, events: Vec<SightingEvent>) {
        for SightingEvent { stage, sighting, .. } in events {
            if let Some(read) = sighting.read {
                let slot = self.told.entry(sighting.track).or_insert((read.text.clone(), read.confidence));
                if stage != Stage::New {
                    *slot = (read.text, read.confidence);
                }
            }
        }
    }

    /// Searches a frame that the gate rested on, now and then: a plate that goes by there is lost.
    fn while_asleep(&mut self, frame: &Frame) {
        if frame.pts < self.asleep_due {
            return;
        }
        self.asleep_due = frame.pts + ASLEEP_EVERY;
        let Ok(seen) = self.mask.apply(frame) else { return };
        let found = self.looking.keen.detect_in(&seen, Area::whole(&seen)).unwrap_or_default();
        let plates: Vec<_> =
            found.into_iter().filter(|d| d.class == Class::Plate && d.score >= self.looking.threshold).collect();
        let mut notes = notes::lock(&self.notes);
        notes.asleep.step(frame.pts, &plates);
        if notes.scenes.is_empty() {
            notes.scenes.extend(Scene::of(&seen));
        }
    }

    fn finish(mut self, mut probed: Probed, counters: &CameraCounters, interrupted: bool) -> Observed {
        let events = self.analyser.finish(crate::domain::TimeMs(0));
        self.hear(events);
        let span = self.seen();
        let fps = probed.measured.fps.or_else(|| rate(self.frames, span));
        let mut notes = std::mem::replace(&mut *notes::lock(&self.notes), Notes::new(1.0));
        let size = if notes.size.0 > 0.0 { notes.size } else { (1.0, 1.0) };
        let scale = if notes.read_size.0 > 0.0 { notes.read_size.0 / size.0 } else { 1.0 };
        let hiding = Hiding { masks: &self.target.vision.privacy_mask, roi: &self.target.vision.roi, size };
        let told = &mut self.told;
        let trails = std::mem::take(&mut notes.trails);
        let passes = trails.into_iter().map(|t| {
            let told = told.remove(&t.track);
            Pass::of(t, told, scale, &hiding)
        });
        let passes = passes.collect();
        probed.frames = counters.received.get();
        Observed {
            passes,
            notes,
            frames: self.frames,
            dropped: counters.dropped.get(),
            damaged: counters.damaged.get(),
            span,
            fps: fps.map(narrow),
            cost: (self.analysed > 0).then(|| self.spent / self.analysed),
            probed,
            blocks: super::spread::middle(self.blocks),
            error: self.error,
            interrupted,
        }
    }
}

fn rate(frames: u64, span: Duration) -> Option<f64> {
    let intervals = u32::try_from(frames.checked_sub(1)?).ok()?;
    (intervals > 0 && !span.is_zero()).then(|| f64::from(intervals) / span.as_secs_f64())
}

#[expect(clippy::cast_possible_truncation, reason = "frames a second")]
fn narrow(v: f64) -> f32 {
    v as f32
}
