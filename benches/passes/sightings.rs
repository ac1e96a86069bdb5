//! What an analyser makes of a clip, held against what passed: one sighting a pass, right, and how early.
//!
//! The shipped models, counted and watched on their way: where a pass is missed it can be said whether its plate was not
//! found, not read, not fused or not told.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a lock that nobody poisons, and counts of frames"
)]

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchpost::camera::{self, Next, SourceUri};
use watchpost::clock::Clock;
use watchpost::domain::{
    CameraId, Class, Detection, EventId, Frame, PlateRead, Sighting, SightingEvent, Stage, TimeMs,
};
use watchpost::health::CameraCounters;
use watchpost::vision::analyser::{FindPlates, ReadAndCut, ReadPlates};
use watchpost::vision::area::Area;
use watchpost::vision::mask::Seen;
use watchpost::vision::plate::Reader;
use watchpost::vision::second::{self, Again};
use watchpost::vision::stack::Cut;
use watchpost::vision::{Analyser, Error, Models, Settings};

use super::street::Truth;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Times of all clips begin here.
const START: u64 = 1_772_366_400_000;

/// What the models did.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    /// Frames that there were.
    pub frames: usize,
    /// Frames that the gate rested on, and that the road's speed spared.
    pub rested: usize,
    pub spared: usize,
    /// Runs of the detector.
    pub finds: usize,
    /// Plates given to the reader.
    pub reads: usize,
}

/// One thing that was told.
#[derive(Debug, Clone)]
pub struct Told {
    /// Place in the clip of the frame with which it was told, seconds.
    pub at_s: f32,
    pub stage: Stage,
    pub id: EventId,
    pub text: Option<String>,
    pub confidence: f32,
}

/// A plate in one frame: what was found, and what the reader said of it alone.
#[derive(Debug, Clone)]
pub struct Look {
    pub frame: u64,
    pub plate: Detection,
    pub read: Option<PlateRead>,
    /// What the reader's model was shown, where that was asked for.
    pub shown: Option<Vec<f32>>,
}

/// One clip as it was analysed.
#[derive(Debug, Clone, Default)]
pub struct Played {
    pub told: Vec<Told>,
    /// The last word on each sighting.
    pub ends: Vec<Sighting>,
    pub spent: Spent,
    /// Plates that were found, by frame.
    pub found: Vec<(u64, Detection)>,
    pub looks: Vec<Look>,
    /// Whether each frame was looked at.
    pub awake: Vec<bool>,
}

type Shared = Arc<Mutex<Played>>;

struct Watched<T>(T, Shared);

impl<T: FindPlates> FindPlates for Watched<T> {
    fn find(&self, frame: &Seen<'_>, area: Area) -> Result<Vec<Detection>, Error> {
        let found = self.0.find(frame, area)?;
        let mut played = self.1.lock().unwrap();
        played.spent.finds += 1;
        let plates = found.iter().filter(|d| d.class == Class::Plate);
        played.found.extend(plates.map(|d| (frame.index, d.clone())));
        Ok(found)
    }
}

/// The reader, and whether what it is shown is kept.
struct WatchedReader(Reader, Shared, bool);

impl ReadPlates for WatchedReader {
    fn read(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        Ok(self.read_and_cut(frame, plates)?.into_iter().map(|(read, _)| read).collect())
    }

    fn read_and_cut(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        Ok(self.keep(frame, plates, self.0.read_and_cut(frame, plates)?))
    }

    fn glance(&self, frame: &Seen<'_>, plates: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        Ok(self.keep(frame, plates, self.0.glance(frame, plates)?))
    }

    fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, Error> {
        self.1.lock().unwrap().spent.reads += 1;
        self.0.read_cut(cut)
    }
}

impl WatchedReader {
    fn keep(&self, frame: &Seen<'_>, plates: &[Detection], reads: Vec<ReadAndCut>) -> Vec<ReadAndCut> {
        let mut played = self.1.lock().unwrap();
        played.spent.reads += plates.len();
        for (plate, (read, cut)) in plates.iter().zip(&reads) {
            let shown = cut.as_ref().filter(|_| self.2).map(|cut| cut.values.clone());
            played.looks.push(Look { frame: frame.index, plate: plate.clone(), read: read.clone(), shown });
        }
        reads
    }
}

/// The frames of a file, every one.
///
/// # Errors
/// A file that can't be opened.
pub fn of_file(path: &Path) -> Result<impl Iterator<Item = Frame>, Failed> {
    let settings = camera::Settings::new(CameraId::new("clip")?, 1, SourceUri::File(path.to_path_buf()));
    let mut source = camera::open(&settings, &Clock::system(), Arc::new(CameraCounters::default()))?;
    Ok(std::iter::from_fn(move || {
        loop {
            match source.next(Duration::from_millis(500)) {
                Ok(Next::Frame(frame)) => return Some(frame),
                Ok(Next::Idle) => {}
                Ok(Next::End) | Err(_) => return None,
            }
        }
    }))
}

/// Analyses frames, at times of their own places in the clip.
///
/// # Errors
/// What the models say.
pub fn play(frames: impl Iterator<Item = Frame>, models: &Models, settings: &Settings) -> Result<Played, Failed> {
    play_shown(frames, models, settings, false)
}

/// The same; `shown`: what the reader's model is shown is kept.
///
/// # Errors
/// What the models say.
pub fn play_shown(
    frames: impl Iterator<Item = Frame>,
    models: &Models,
    settings: &Settings,
    shown: bool,
) -> Result<Played, Failed> {
    let shared = Shared::default();
    let finder = Box::new(Watched(Arc::clone(&models.detector), Arc::clone(&shared)));
    let reader = models.reader.expecting(settings.patterns.clone());
    let reader = Box::new(WatchedReader(reader, Arc::clone(&shared), shown));
    let mut analyser = Analyser::with(finder, reader, settings.clone(), CameraId::new("clip")?, 1);
    let last = Cell::new(0.0);
    let take = |events: Vec<SightingEvent>| {
        let ends = events.iter().filter(|e| e.stage == Stage::End).map(|e| e.sighting.clone());
        shared.lock().unwrap().ends.extend(ends);
        let told = events.into_iter().map(|e| Told {
            at_s: last.get(),
            stage: e.stage,
            id: e.sighting.id,
            text: e.sighting.read.as_ref().map(|r| r.text.to_string()),
            confidence: e.sighting.read.as_ref().map_or(0.0, |r| r.confidence),
        });
        shared.lock().unwrap().told.extend(told);
    };
    let mut begin = None;
    for mut frame in frames {
        last.set(place(&mut frame, &mut begin)?.as_secs_f32());
        take(analyser.step(&frame)?);
        let mut played = shared.lock().unwrap();
        played.spent.frames += 1;
        played.spent.rested += usize::from(analyser.is_resting());
        played.spent.spared += usize::from(analyser.is_spared());
        played.awake.push(!analyser.is_resting());
    }
    take(analyser.finish(TimeMs(0)));
    let played = std::mem::take(&mut *shared.lock().unwrap());
    Ok(played)
}

/// Gives a frame the time of its place in the clip, which began at `begin`; its place.
fn place(frame: &mut Frame, begin: &mut Option<Duration>) -> Result<Duration, Failed> {
    let pts = frame.pts.saturating_sub(*begin.get_or_insert(frame.pts));
    frame.at = TimeMs(START + u64::try_from(pts.as_millis())?);
    Ok(pts)
}

/// What was read first, and at the second look.
pub type Reread = (Option<PlateRead>, Option<PlateRead>);

/// Has what was read with doubt looked at again, in every frame of the same clip: for each such sighting the first read and
/// what the second look read.
///
/// # Errors
/// What the models say.
pub fn again(
    frames: impl Iterator<Item = Frame>,
    played: &Played,
    models: &Models,
    settings: &Settings,
) -> Result<Vec<Reread>, Failed> {
    let doubtful = played.ends.iter().filter(|end| second::is_doubtful(end, settings, 1280.0));
    let mut looks: Vec<_> = doubtful.map(|end| (end.read.clone(), Again::new(end.clone(), models, settings))).collect();
    let mut begin = None;
    for mut frame in frames {
        place(&mut frame, &mut begin)?;
        looks.iter_mut().try_for_each(|(_, again)| again.look(&frame))?;
    }
    Ok(looks.into_iter().map(|(first, again)| (first, again.read())).collect())
}

/// Where a pass that was not told right went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Its plate was found in fewer than a third of the frames in which it is legible.
    Finding,
    /// It was found, and less than a fifth of its reads are right.
    Reading,
    /// Single frames are right, and all together are not.
    Fusing,
    /// What was fused was right and never sure enough.
    Telling,
}

/// How one pass was told.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub truth: String,
    /// The text of its last event; the other texts of other sightings.
    pub text: Option<String>,
    pub right: bool,
    /// Sightings with a read beyond the first: duplicates; and those without one, pieces of the way or of something else.
    pub extra: usize,
    pub unread: usize,
    /// From legible to the first alert, and to the first alert with the right text, seconds.
    pub first_s: Option<f32>,
    pub right_s: Option<f32>,
    pub lost: Option<Lost>,
    /// Legible frames, those in which it was found, reads, those that are right.
    pub counts: [usize; 4],
}

/// `0` and `O` are one shape on most plates, and no reader can know.
pub fn same(a: &str, b: &str) -> bool {
    a.replace('O', "0") == b.replace('O', "0")
}

/// Holds a clip of one pass against what was told of it.
pub fn judge(truth: &Truth, played: &Played) -> Verdict {
    let mut ids: Vec<EventId> = Vec::new();
    for told in &played.told {
        if !ids.contains(&told.id) {
            ids.push(told.id);
        }
    }
    let last_of = |id: &EventId| played.told.iter().rfind(|t| t.id == *id).and_then(|t| t.text.clone());
    let texts: Vec<Option<String>> = ids.iter().map(last_of).collect();
    let is_right = |t: &Option<String>| t.as_deref().is_some_and(|t| same(t, &truth.text));
    let text = texts.iter().find(|t| is_right(t)).or(texts.iter().find(|t| t.is_some())).cloned().flatten();
    let right = is_right(&text);
    let legible = truth.legible_from_s.unwrap_or(truth.begin_s);
    let told = |want: &dyn Fn(&Told) -> bool| {
        played.told.iter().find(|t| t.text.is_some() && want(t)).map(|t| (t.at_s - legible).max(0.0))
    };
    let near = |d: &Detection, seen: &super::street::Seen| {
        let centre = d.rect.centre();
        let (x, y) =
            (seen.plate.iter().map(|p| p.0).sum::<f32>() / 4.0, seen.plate.iter().map(|p| p.1).sum::<f32>() / 4.0);
        (centre.x - x).hypot(centre.y - y) < seen.width
    };
    let good = truth.seen.iter().filter(|s| !s.hidden && s.whole && s.width >= super::street::told::NEEDS_PX - 0.5);
    let (mut legible_frames, mut found) = (0, 0);
    for seen in good {
        legible_frames += 1;
        found += usize::from(played.found.iter().any(|(n, d)| *n == seen.frame as u64 && near(d, seen)));
    }
    let reads = played.looks.iter().filter(|l| l.read.is_some()).count();
    let hits =
        played.looks.iter().filter(|l| l.read.as_ref().is_some_and(|r| same(r.text.as_str(), &truth.text))).count();
    let lost = (!right).then_some(if found * 3 < legible_frames {
        Lost::Finding
    } else if hits * 5 < reads {
        Lost::Reading
    } else if text.is_some() {
        Lost::Fusing
    } else {
        Lost::Telling
    });
    Verdict {
        truth: truth.text.clone(),
        right,
        extra: texts.iter().flatten().count().saturating_sub(1),
        unread: texts.iter().filter(|t| t.is_none()).count(),
        first_s: told(&|_| true),
        right_s: told(&|t| t.text.as_deref().is_some_and(|t| same(t, &truth.text))),
        text,
        lost,
        counts: [legible_frames, found, reads, hits],
    }
}

/// The value below which this share of them lies.
pub fn quantile(values: &mut [f32], share: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let at = (share * values.len().saturating_sub(1) as f32).round() as usize;
    values.get(at).copied().unwrap_or(f32::NAN)
}
