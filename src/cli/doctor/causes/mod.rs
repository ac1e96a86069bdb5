//! Why plates are not read, ranked: what was seen, and what to change, in an installer's words.
//!
//! Each cause is a share of the passes and how far those are beyond a limit; a pass that was read all the same counts less.
//! A cause that follows from another one is left out: noise in the dark, small plates where a mask hides the large ones. Pure functions of
//! what was observed; limits are those of [`super::limits`].

pub(super) mod plate;
mod setting;
mod stream;

pub(super) use self::setting::{below, refusals, refused};

use serde::Serialize;

use super::look::Observed;
use super::pass::{Outcome, Pass, real};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// No picture comes.
    NoPicture,
    /// A privacy mask hides the plates.
    Mask,
    /// The region of interest leaves the plates out.
    Region,
    /// The motion gate rests while plates go by.
    Gate,
    /// Underexposed.
    Dark,
    /// Overexposed.
    Bright,
    /// Out of focus.
    Focus,
    /// The shutter is open for too long.
    Shutter,
    /// Plates are too small.
    Small,
    /// Seen too much askew.
    Angle,
    /// Letters and ground are too much alike.
    Contrast,
    /// Squeezed by the coding.
    Compression,
    /// Too much noise.
    Noise,
    /// Half pictures.
    Interlaced,
    /// Pixels that are not square, or a mirrored picture.
    Shape,
    /// Too few frames of each pass.
    FrameRate,
    /// The box is too slow.
    Slow,
    /// Pictures are lost on the way.
    Network,
    /// The detector's threshold is too high.
    FindThreshold,
    /// The threshold of reads is too high.
    ReadThreshold,
    /// Vehicles, and no plate on them.
    NoPlates,
    /// None of these.
    Unexplained,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cause {
    pub kind: Kind,
    /// It keeps plates from being read; otherwise they are read in spite of it.
    pub costs_reads: bool,
    /// Passes that it is true of.
    pub passes: usize,
    /// How much of what is wrong it explains, for ranking.
    pub weight: f32,
    /// What was seen, with numbers.
    pub what: String,
    /// What to change; the best first.
    pub todo: Vec<String>,
}

/// What is known beside what was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// Score from which a plate counts: as configured, and usually.
    pub threshold: f32,
    pub usual_threshold: f32,
    /// Confidence from which a read is told: as configured, and usually.
    pub tell: f32,
    pub usual_tell: f32,
    /// Share of the picture that masks hide.
    pub masked: f32,
    /// It comes at its own pace.
    pub live: bool,
}

/// How well a camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Plates are read.
    Healthy,
    /// They are not, or with something that should be put right.
    Impaired,
    /// Nothing passed that could be judged.
    NothingPassed,
    /// No picture came.
    NoPicture,
}

/// Most excess that counts: what is hopeless is not more so.
const MOST: f32 = 3.0;

/// What a pass counts that was read in spite of what is wrong with it.
const IN_SPITE: f32 = 0.3;

/// Passes that are judged: seen in more than a frame, and no sign that stands there for ever.
pub(super) fn judged(passes: &[Pass]) -> Vec<&Pass> {
    let counts = |p: &&Pass| p.frames >= 2 && !(p.stands && p.outcome == Outcome::Unread);
    passes.iter().filter(counts).collect()
}

/// A reason that is true of some passes: `excess` tells how far one is beyond the limit, 0 just at it.
struct Affected {
    passes: usize,
    weight: f32,
    costs_reads: bool,
}

impl Affected {
    fn of(passes: &[&Pass], excess: impl Fn(&Pass) -> Option<f32>) -> Option<Self> {
        let mut affected = Self { passes: 0, weight: 0.0, costs_reads: false };
        for pass in passes {
            let Some(excess) = excess(pass).filter(|e| e.is_finite() && *e >= 0.0) else { continue };
            let is_read = matches!(pass.outcome, Outcome::Read | Outcome::Again);
            affected.passes += 1;
            affected.costs_reads |= !is_read;
            affected.weight += (0.4 + excess.min(MOST)) * if is_read { IN_SPITE } else { 1.0 };
        }
        affected.weight /= real(passes.len().max(1));
        // One pass in ten may be odd.
        let some = affected.passes > 0 && affected.passes * 10 > passes.len();
        some.then_some(affected)
    }

    fn cause(&self, kind: Kind, what: String, todo: Vec<String>) -> Cause {
        let Self { passes, weight, costs_reads } = *self;
        Cause { kind, costs_reads, passes, weight, what, todo }
    }
}

/// How far a value is above a limit, in doublings; `None` below.
fn above(value: f32, limit: f32) -> Option<f32> {
    (value > limit && limit > 0.0).then(|| (value / limit).log2())
}

/// All causes, the most telling first.
pub(super) fn of(seen: &Observed, facts: &Facts) -> Vec<Cause> {
    if seen.frames == 0 {
        return vec![stream::no_picture(seen)];
    }
    let passes = judged(&seen.passes);
    let mut causes: Vec<Cause> = setting::causes(&passes, seen, facts);
    causes.extend(plate::causes(&passes, seen));
    causes.extend(stream::causes(&passes, seen, facts));
    let has = |kind: Kind, causes: &[Cause]| causes.iter().any(|c| c.kind == kind);
    for (cause, consequence) in CONSEQUENCES {
        if has(*cause, &causes) {
            causes.retain(|c| !consequence.contains(&c.kind));
        }
    }
    causes.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.kind.cmp(&b.kind)));
    let unread = passes.iter().filter(|p| p.outcome == Outcome::Unread || p.outcome == Outcome::Doubtful).count();
    let bad = real(unread) > (1.0 - super::limits::WELL) * real(passes.len());
    if bad && !causes.iter().any(|c| c.costs_reads) {
        causes.insert(0, setting::unexplained(unread, passes.len()));
    }
    causes
}

/// What is left out where its cause was found.
const CONSEQUENCES: &[(Kind, &[Kind])] = &[
    (Kind::Dark, &[Kind::Noise, Kind::Contrast, Kind::NoPlates, Kind::FindThreshold]),
    (Kind::Bright, &[Kind::Contrast, Kind::NoPlates, Kind::FindThreshold]),
    (Kind::Focus, &[Kind::Contrast, Kind::NoPlates, Kind::FindThreshold]),
    (Kind::Shutter, &[Kind::Contrast, Kind::FindThreshold]),
    (Kind::Small, &[Kind::NoPlates, Kind::FindThreshold]),
    (Kind::Angle, &[Kind::FindThreshold]),
    (Kind::Compression, &[Kind::FindThreshold, Kind::Noise]),
    (Kind::Mask, &[Kind::Small, Kind::FrameRate, Kind::NoPlates]),
    (Kind::Region, &[Kind::Small, Kind::FrameRate, Kind::NoPlates]),
    (Kind::Gate, &[Kind::FrameRate, Kind::NoPlates]),
    (Kind::Slow, &[Kind::FrameRate]),
];

/// How well the camera is, by what was found.
pub(super) fn verdict(seen: &Observed, causes: &[Cause]) -> Verdict {
    let passes = judged(&seen.passes);
    if seen.frames == 0 {
        Verdict::NoPicture
    } else if !causes.is_empty() {
        Verdict::Impaired
    } else if passes.is_empty() {
        Verdict::NothingPassed
    } else {
        Verdict::Healthy
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `3 of 9 passes`, `the one pass`, `all 9 passes`.
pub(super) fn of_all(some: usize, all: usize) -> String {
    match (some, all) {
        (1, 1) => "the one pass".to_owned(),
        (some, all) if some == all => format!("all {all} passes"),
        (some, all) => format!("{some} of {all} passes"),
    }
}

#[cfg(test)]
mod tests;
