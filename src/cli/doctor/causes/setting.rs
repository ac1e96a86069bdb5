//! What the box's own settings leave out: masks, region of interest, gate, thresholds.

use std::time::Duration;

use super::super::limits;
use super::super::look::Observed;
use super::super::notes::Path;
use super::super::pass::{Cut, Outcome, Pass, real};
use super::super::spread::Spread;
use super::plate::spoken;
use super::{Cause, Facts, Kind, of_all};
use crate::vision::analyser::insight::Refusal;

/// What something that hides plates altogether weighs.
const HIDES: f32 = 3.0;

pub(super) fn causes(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Vec<Cause> {
    [
        mask(passes, seen, facts),
        region(passes, seen),
        gate(passes, seen),
        find_threshold(passes, seen, facts),
        read_threshold(passes, facts),
        no_plates(passes, seen, facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Passes that something cut off before they were read.
fn lost_at(passes: &[&Pass], cut: Cut) -> usize {
    let lost = |p: &&&Pass| p.cut == Some(cut) && p.outcome != Outcome::Read && p.outcome != Outcome::Again;
    passes.iter().filter(lost).count()
}

/// A cause that is a share of all that passed.
fn hides(kind: Kind, hidden: usize, all: usize, what: String, todo: &[&str]) -> Option<Cause> {
    let share = real(hidden) / real(all.max(1));
    (hidden > 0 && share > 0.1).then(|| Cause {
        kind,
        costs_reads: true,
        passes: hidden,
        weight: HIDES * share,
        what,
        todo: todo.iter().map(|t| (*t).to_owned()).collect(),
    })
}

fn mask(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Option<Cause> {
    if facts.masked <= 0.0 {
        return None;
    }
    let (vanish, cut) = (lost_at(passes, Cut::Mask), seen.notes.masked.passed().count());
    let hidden = vanish.max(cut.min(passes.len().max(cut)));
    let vehicles = seen.notes.vehicles.passed().count();
    let percent = facts.masked * 100.0;
    let todo = &[
        "draw `privacy_mask` so that it leaves the road free where plates are largest; mask windows and doors, not lanes",
        "`watchpostctl camera snapshot` or the picture on the page shows where it lies",
    ];
    if passes.is_empty() && hidden == 0 {
        // Nothing of a plate was seen at all: with much of the picture hidden that is where to look first.
        let what = format!("a privacy mask hides {percent:.0} % of the picture, and no plate was seen beside it");
        let all = vehicles.max(1);
        return if facts.masked > 0.25 { hides(Kind::Mask, all, all, what, todo) } else { None };
    }
    let what = format!(
        "a privacy mask lies where plates go by: {} vanish under it or come out of it before they are read (it hides \
         {percent:.0} % of the picture)",
        of_all(hidden, passes.len().max(hidden))
    );
    hides(Kind::Mask, hidden, passes.len().max(hidden), what, todo)
}

fn region(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let leave = lost_at(passes, Cut::Region);
    let outside = seen.notes.outside.passed().count();
    let hidden = leave.max(outside);
    let what = format!(
        "plates pass outside the region of interest (`roi`): seen there {outside}, gone from it before they were read {leave}"
    );
    let todo =
        &["draw `roi` around the place where plates are largest, or leave it out: then the whole picture is searched"];
    hides(Kind::Region, hidden, passes.len().max(leave) + outside, what, todo)
}

fn gate(passes: &[&Pass], seen: &Observed) -> Option<Cause> {
    let asleep = seen.notes.asleep.passed().count();
    let what = format!(
        "the motion gate rested while plates went by: {asleep} moved through frames that were not looked at ({} of {} \
         frames were rested on)",
        seen.notes.rested, seen.frames
    );
    let todo = &["set `motion_gate = false` for this camera"];
    hides(Kind::Gate, asleep, passes.len() + asleep, what, todo)
}

/// Share of the detector's own threshold that what may be a plate reaches.
const PLATE_LIKE: f32 = 0.5;

/// What looks like plates and stayed below the threshold. Grilles and lamps do as well, on the same vehicle at the same
/// time as its plate: what goes by with a plate that counts is left out, and by a raised threshold what the detector's own
/// would leave out as well.
pub(in super::super) fn below<'a>(passes: &[&Pass], seen: &'a Observed, facts: &Facts) -> Vec<&'a Path> {
    let raised = facts.threshold > facts.usual_threshold + 0.02;
    let least = facts.usual_threshold * if raised { 1.0 } else { PLATE_LIKE };
    let margin = Duration::from_millis(300);
    let beside = |path: &Path| passes.iter().any(|p| p.begin <= path.end + margin && path.begin <= p.end + margin);
    let counts = |p: &&Path| p.best_score >= least && p.best_score < facts.threshold && !beside(p);
    seen.notes.weak.passed().filter(counts).collect()
}

fn find_threshold(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Option<Cause> {
    let below = below(passes, seen, facts);
    let scores = Spread::of(below.iter().map(|p| p.best_score))?;
    let widths = Spread::of(below.iter().map(|p| p.widest))?;
    let raised = facts.threshold > facts.usual_threshold + 0.02;
    let many = below.len();
    let what = format!(
        "{many} that look like plates stay below the detector's threshold: best scores {} of {:.2}, {} pixels wide",
        spoken(&scores, 2),
        facts.threshold,
        spoken(&widths, 0)
    );
    let own = format!("set `detect_threshold` back to {:.2} or leave it out", facts.usual_threshold);
    let todo = if raised {
        own.as_str()
    } else {
        "larger or sharper plates score higher: see the other causes first; then try a lower `detect_threshold`, and look \
         whether false plates come of it"
    };
    let mut cause = hides(Kind::FindThreshold, many, passes.len() + many, what, &[todo])?;
    if !raised {
        cause.weight *= 0.3;
        cause.costs_reads = passes.is_empty();
    }
    Some(cause)
}

fn read_threshold(passes: &[&Pass], facts: &Facts) -> Option<Cause> {
    if facts.tell <= facts.usual_tell + 0.01 {
        return None;
    }
    let unsure = |p: &&&Pass| {
        p.refusal == Some(Refusal::Unsure) && p.confidence.is_some_and(|c| c >= facts.usual_tell && c < facts.tell)
    };
    let refused: Vec<f32> = passes.iter().filter(unsure).filter_map(|p| p.confidence).collect();
    let sure = Spread::of(refused.iter().copied())?;
    let what = format!(
        "{} were read with a confidence of {}, and `read_threshold` asks for {:.2}",
        of_all(refused.len(), passes.len()),
        spoken(&sure, 2),
        facts.tell
    );
    let todo = format!("set `read_threshold` back to {:.2} or leave it out", facts.usual_tell);
    hides(Kind::ReadThreshold, refused.len(), passes.len(), what, &[todo.as_str()])
}

/// Share of a car's width that its plate takes: 52 cm of 1.8 m.
const PLATE_OF_CAR: f32 = 0.28;

fn no_plates(passes: &[&Pass], seen: &Observed, facts: &Facts) -> Option<Cause> {
    let vehicles = Spread::of(seen.notes.vehicles.passed().map(|v| v.widest))?;
    // Vehicles that the edge cuts, or that were counted twice, are no reason: most of them must be without a plate.
    if passes.len() * 2 >= vehicles.count || facts.masked > 0.25 {
        return None;
    }
    let plate = vehicles.middle * PLATE_OF_CAR;
    let (found, all) = (passes.len(), vehicles.count);
    let mut what = format!(
        "{all} vehicles passed, {} pixels wide, and a plate was found on {found} of them",
        spoken(&vehicles, 0)
    );
    let kind = if plate < limits::WIDTH * 0.75 {
        what = format!(
            "{what}; their plates would be about {plate:.0} pixels wide, the reader needs {:.0}",
            limits::WIDTH
        );
        Kind::Small
    } else {
        Kind::NoPlates
    };
    let factor = (limits::WIDTH / plate.max(1.0)).max(1.05);
    let zoom = format!("zoom in by {factor:.1}, or bring the camera nearer");
    let todo = match kind {
        Kind::Small => zoom.as_str(),
        _ => {
            "aim it at the side that carries plates (some regions have none in front), not too steeply from above or aside"
        }
    };
    let mut cause = hides(kind, all - found, all, what, &[todo])?;
    cause.weight *= 0.5;
    Some(cause)
}

pub(super) fn unexplained(unread: usize, all: usize) -> Cause {
    Cause {
        kind: Kind::Unexplained,
        costs_reads: true,
        passes: unread,
        weight: 0.5,
        what: format!("{} were not read for sure, and nothing is plainly wrong with the picture", of_all(unread, all)),
        todo: vec![
            "look at the crops: plates of a kind that the reader does not know (another script, two lines, decorated \
             grounds), dirt, covers, signs that are no plates"
                .to_owned(),
            "give the camera its `region`, if all its plates come from one".to_owned(),
        ],
    }
}

/// What a pass's refusal is called.
pub(in super::super) fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NeverRead => "too narrow to be read",
        Refusal::NoText => "the reader found no text",
        Refusal::TooFewCharacters => "too few characters",
        Refusal::NotConfirmed => "seen in too few frames",
        Refusal::Unsure => "below the confidence that is told",
        Refusal::NotAgreed => "no two frames agree",
        Refusal::Double => "the same plate twice",
    }
}

/// How many passes were refused, rule by rule.
pub(in super::super) fn refusals(passes: &[&Pass]) -> Vec<(Refusal, usize)> {
    let mut counted: std::collections::BTreeMap<Refusal, usize> = std::collections::BTreeMap::new();
    for pass in passes.iter().filter(|p| p.outcome != Outcome::Read) {
        if let Some(refusal) = pass.refusal {
            *counted.entry(refusal).or_default() += 1;
        }
    }
    counted.into_iter().collect()
}
