//! What the doctor says of one camera, as a value: JSON is this, the terminal and the page show it.

use std::time::Duration;

use serde::Serialize;

use super::causes::{self, Cause, Facts, Verdict};
use super::look::Observed;
use super::pass::{Cut, Outcome, Pass};
use super::spread::{Spread, middle};
use super::target::Target;
use super::{causes::plate, limits};
use crate::domain::Polygon;

/// One camera.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub camera: String,
    pub source: String,
    pub verdict: Verdict,
    pub causes: Vec<Cause>,
    pub stream: Stream,
    pub counts: Counts,
    pub measures: Vec<Measure>,
    pub refusals: Vec<Refused>,
    pub passes: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// For the page.
    #[serde(skip)]
    pub picture: Option<Vec<u8>>,
    #[serde(skip)]
    pub crops: Vec<Option<Vec<u8>>>,
    #[serde(skip)]
    pub ways: Vec<Vec<[f32; 2]>>,
    #[serde(skip)]
    pub masks: Vec<Polygon>,
    #[serde(skip)]
    pub roi: Vec<Polygon>,
}

/// What comes from the camera.
#[derive(Debug, Serialize)]
pub(super) struct Stream {
    pub width: u32,
    pub height: u32,
    /// Of the pictures that plates were looked for in, where those are a substream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<[u32; 2]>,
    pub codec: Option<String>,
    pub fps: Option<f32>,
    pub bits_a_second: Option<f64>,
    pub bits_a_pixel: Option<f64>,
    pub key_frames_s: Option<f64>,
    pub quantiser: Option<f32>,
    pub interlaced: bool,
    pub seconds: f64,
    pub frames: u64,
    pub analysed: u64,
    pub rested: u64,
    pub dropped: u64,
    pub damaged: u64,
    pub ms_a_frame: Option<f64>,
    /// Black and white: infrared at night.
    pub grey: bool,
    pub brightness: Option<f32>,
    pub noise: Option<f32>,
    pub error: Option<String>,
}

/// What passed.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Counts {
    /// Vehicles that moved through the picture; 0 where no model looks for them.
    pub vehicles: usize,
    pub passes: usize,
    pub read: usize,
    pub again: usize,
    pub doubtful: usize,
    pub unread: usize,
    /// Seen in one frame alone, or things that stand there and hold no text.
    pub left_out: usize,
    pub below_threshold: usize,
    pub cut_by_mask: usize,
    pub outside_roi: usize,
    pub while_resting: usize,
}

/// One measure over the passes.
#[derive(Debug, Serialize)]
pub(super) struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    #[serde(flatten)]
    pub spread: Spread,
    /// The limit, and whether values above it are good.
    pub limit: f32,
    pub more_is_better: bool,
    pub digits: usize,
    /// Of each pass that has one, for the page.
    #[serde(skip)]
    pub values: Vec<(f32, Outcome)>,
}

impl Measure {
    /// Whether the one in the middle is good.
    pub(super) fn is_good(&self) -> bool {
        if self.more_is_better { self.spread.middle >= self.limit } else { self.spread.middle <= self.limit }
    }
}

/// How many were refused by one rule.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub rule: &'static str,
    pub passes: usize,
}

/// One pass.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub track: u32,
    pub begin_s: f64,
    pub end_s: f64,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    pub confidence: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
    pub frames: u32,
    pub score: f32,
    pub stands: bool,
    pub judged: bool,
    pub width: f32,
    pub letter_height: f32,
    pub edge: Option<f32>,
    pub smear: Option<f32>,
    pub speed: Option<f32>,
    pub exposure_ms: Option<f32>,
    pub ground: Option<f32>,
    pub contrast: Option<f32>,
    pub burnt: Option<f32>,
    pub roll: Option<f32>,
    pub shear: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Millimetres of the plate that a pixel covers, by the size that plates of this shape have.
    pub mm_a_pixel: Option<f32>,
}

/// Letters are about so high, a share of the plate.
const LETTERS: f32 = 0.62;

impl Report {
    pub(super) fn new(target: &Target, seen: Observed, causes: Vec<Cause>, facts: &Facts, daemon: bool) -> Self {
        let verdict = causes::verdict(&seen, &causes);
        let judged = causes::judged(&seen.passes);
        let is_judged: Vec<u32> = judged.iter().map(|p| p.track).collect();
        let refusals = causes::refusals(&judged);
        let refusals = refusals.into_iter().map(|(r, passes)| Refused { rule: causes::refused(r), passes }).collect();
        let mut report = Self {
            camera: target.name.clone(),
            source: target.camera.uri.to_string(),
            verdict,
            stream: Stream::of(&seen),
            counts: Counts::of(&seen, &judged, facts),
            measures: measures(&judged),
            refusals,
            causes,
            passes: Vec::new(),
            note: note(&seen, target, verdict, daemon),
            picture: None,
            crops: Vec::new(),
            ways: Vec::new(),
            masks: target.vision.privacy_mask.clone(),
            roi: target.vision.roi.clone(),
        };
        report.picture = seen.notes.picture;
        for pass in seen.passes.into_iter().filter(|p| p.frames >= 2) {
            report.passes.push(Row::of(&pass, is_judged.contains(&pass.track)));
            report.crops.push(pass.crop);
            report.ways.push(pass.way);
        }
        report
    }
}

fn note(seen: &Observed, target: &Target, verdict: Verdict, daemon: bool) -> Option<String> {
    if verdict == Verdict::NoPicture && daemon && target.camera.uri.is_live() {
        return Some(
            "the daemon runs and may have this camera open: where a camera allows one connection alone, stop the daemon for \
             the look (`systemctl stop watchpost`)"
                .to_owned(),
        );
    }
    let error = seen.error.as_ref().filter(|_| verdict != Verdict::NoPicture);
    match (error, seen.interrupted, verdict) {
        (Some(error), ..) => Some(format!("it broke off: {error}")),
        (None, true, _) => Some("the look was ended by hand: what was seen by then is told".to_owned()),
        (None, false, Verdict::NothingPassed) => Some(
            "no plate passed while it was looked at: look for longer (`--seconds`), or when there is traffic"
                .to_owned(),
        ),
        _ => None,
    }
}

impl Stream {
    fn of(seen: &Observed) -> Self {
        let (probed, measured, notes) = (&seen.probed, &seen.probed.measured, &seen.notes);
        let coded = probed.coded.as_ref();
        let read = if notes.read_size.0 > notes.size.0 { notes.read_size } else { notes.size };
        let whole = |(w, h): (f32, f32)| [pixels(w), pixels(h)];
        let [width, height] = whole(read);
        let area = f64::from(width) * f64::from(height);
        let fps = seen.fps.map(f64::from);
        let scenes = |value: fn(&crate::vision::quality::Scene) -> f32| middle(notes.scenes.iter().map(value));
        Self {
            width,
            height,
            searched: (read != notes.size).then(|| whole(notes.size)),
            codec: coded.map(|c| c.codec.clone()),
            fps: seen.fps,
            bits_a_second: measured.bits_a_second,
            bits_a_pixel: measured.bits_a_second.zip(fps).map(|(bits, fps)| bits / (fps * area).max(1.0)),
            key_frames_s: measured.keys.longest.map(|d| d.as_secs_f64()),
            quantiser: measured.quantiser,
            interlaced: coded.is_some_and(|c| c.interlaced),
            seconds: seen.span.as_secs_f64(),
            frames: seen.frames,
            analysed: notes.looked,
            rested: notes.rested,
            dropped: seen.dropped,
            damaged: seen.damaged,
            ms_a_frame: seen.cost.map(|c| c.as_secs_f64() * 1e3),
            grey: scenes(|s| s.colour).is_some_and(|c| c < 0.4),
            brightness: scenes(|s| s.mean),
            noise: scenes(|s| s.noise),
            error: seen.error.clone(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of a picture; a cast saturates")]
fn pixels(v: f32) -> u32 {
    v.max(0.0).round() as u32
}

impl Counts {
    fn of(seen: &Observed, judged: &[&Pass], facts: &Facts) -> Self {
        let of = |outcome: Outcome| judged.iter().filter(|p| p.outcome == outcome).count();
        let notes = &seen.notes;
        Self {
            vehicles: notes.vehicles.passed().count(),
            passes: judged.len(),
            read: of(Outcome::Read),
            again: of(Outcome::Again),
            doubtful: of(Outcome::Doubtful),
            unread: of(Outcome::Unread),
            left_out: seen.passes.len() - judged.len(),
            below_threshold: causes::below(judged, seen, facts).len(),
            cut_by_mask: notes.masked.passed().count(),
            outside_roi: notes.outside.passed().count(),
            while_resting: notes.asleep.passed().count(),
        }
    }
}

/// What is measured of every pass: name, unit, limit, whether more is better, digits.
type What = (&'static str, &'static str, f32, bool, usize, fn(&Pass) -> Option<f32>);

const MEASURES: [What; 12] = [
    ("plate width", "px", limits::WIDTH, true, 0, |p| Some(p.width)),
    ("letter height", "px", limits::LETTERS, true, 0, |p| Some(p.height * LETTERS)),
    ("defocus", "px of 160", limits::SOFT, false, 1, plate::softness),
    ("smear", "px of 160", limits::SMEAR, false, 1, plate::smear),
    ("bright parts", "of 255", limits::GROUND, true, 0, |p| p.light.map(|l| l.ground)),
    ("contrast", "of 255", limits::CONTRAST, true, 0, |p| p.light.map(|l| l.contrast)),
    ("burnt out", "%", limits::BURNT * 100.0, false, 0, |p| p.light.map(|l| l.burnt * 100.0)),
    ("turned", "degrees", limits::LEAN, false, 0, |p| p.roll.map(f32::abs)),
    ("slanted", "degrees", limits::LEAN, false, 0, |p| p.shear.map(f32::abs)),
    ("frames a pass", "", limits::FRAMES, true, 0, |p| Some(super::pass::real(p.frames as usize))),
    ("detector's score", "", 0.5, true, 2, |p| Some(p.score)),
    ("confidence", "", 0.8, true, 2, |p| p.confidence),
];

fn measures(passes: &[&Pass]) -> Vec<Measure> {
    let one = |(name, unit, limit, more_is_better, digits, value): &What| {
        let values: Vec<(f32, Outcome)> = passes.iter().filter_map(|p| Some((value(p)?, p.outcome))).collect();
        let spread = Spread::of(values.iter().map(|v| v.0))?;
        Some(Measure { name, unit, spread, limit: *limit, more_is_better: *more_is_better, digits: *digits, values })
    };
    MEASURES.iter().filter_map(one).collect()
}

impl Row {
    fn of(p: &Pass, judged: bool) -> Self {
        let refused = p.refusal.filter(|_| !matches!(p.outcome, Outcome::Read | Outcome::Again));
        Self {
            track: p.track,
            begin_s: p.begin.as_secs_f64(),
            end_s: p.end.as_secs_f64(),
            outcome: p.outcome,
            plate: p.text.as_ref().map(ToString::to_string),
            confidence: p.confidence,
            refused: refused.map(causes::refused),
            frames: p.frames,
            score: p.score,
            stands: p.stands,
            judged,
            width: p.width,
            letter_height: p.height * LETTERS,
            edge: p.edge,
            smear: p.smear,
            speed: p.speed,
            exposure_ms: p.exposure.map(|t: Duration| t.as_secs_f32() * 1e3),
            ground: p.light.map(|l| l.ground),
            contrast: p.light.map(|l| l.contrast),
            burnt: p.light.map(|l| l.burnt),
            roll: p.roll,
            shear: p.shear,
            cut: p.cut,
            mm_a_pixel: (p.width > 1.0).then(|| millimetres(p.width / p.height.max(1.0)) / p.width),
        }
    }
}

/// How wide a plate of this shape is: long ones (Europe), middle ones (South America), short ones (North America).
fn millimetres(shape: f32) -> f32 {
    match shape {
        s if s > 3.6 => 520.0,
        s if s > 2.5 => 400.0,
        _ => 305.0,
    }
}
