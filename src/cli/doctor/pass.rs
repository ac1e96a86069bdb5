//! One pass in the doctor's words: what was measured of its plate where it was largest, and what became of it.

use std::time::Duration;

use serde::Serialize;

use super::spread::middle;
use super::trail::{Looked, Trail};
use crate::domain::{PlateText, Point, Polygon, Rect};
use crate::vision::analyser::insight::Refusal;

/// Looks that are this wide, as a share of the widest, count.
const NEAR_WIDEST: f32 = 0.8;

/// A plate that moved less than this, in its own widths, stands.
const STANDS: f32 = 0.5;

/// What became of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Read, and sure enough to be told.
    Read,
    /// Read as a plate that was told already.
    Again,
    /// Read with doubt: kept with the sighting, not told.
    Doubtful,
    /// Not read.
    Unread,
}

/// One pass.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub track: u32,
    pub begin: Duration,
    pub end: Duration,
    /// Frames that its plate was found in.
    pub frames: u32,
    pub score: f32,
    /// Stands still.
    pub stands: bool,
    pub outcome: Outcome,
    pub refusal: Option<Refusal>,
    pub text: Option<PlateText>,
    pub confidence: Option<f32>,
    /// Pixels, where it was widest.
    pub width: f32,
    pub height: f32,
    /// Pixels that its edges take in the sharpest direction.
    pub edge: Option<f32>,
    /// Pixels of smear along its way; 0 of none.
    pub smear: Option<f32>,
    /// Pixels a second.
    pub speed: Option<f32>,
    /// Time that the shutter was open, by smear and speed.
    pub exposure: Option<Duration>,
    pub light: Option<crate::vision::quality::Light>,
    /// Degrees.
    pub roll: Option<f32>,
    pub shear: Option<f32>,
    /// Its way ended (or began) where a mask, the region's edge or the picture's edge cuts it off.
    pub cut: Option<Cut>,
    /// Its way, relative points.
    pub way: Vec<[f32; 2]>,
    /// JPEG.
    pub crop: Option<Vec<u8>>,
}

/// What cut a way off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cut {
    /// A privacy mask.
    Mask,
    /// The edge of the region of interest.
    Region,
    /// The edge of the picture.
    Picture,
}

/// What a camera's picture hides.
pub(super) struct Hiding<'a> {
    pub masks: &'a [Polygon],
    pub roi: &'a [Polygon],
    pub size: (f32, f32),
}

impl Pass {
    /// A pass of a trail, with what was told of it.
    pub(super) fn of(trail: Trail, told: Option<(PlateText, f32)>, scale: f32, hiding: &Hiding<'_>) -> Self {
        let widest = trail.widest();
        let best: Vec<&Looked> = trail.looks.iter().filter(|l| l.look.width >= NEAR_WIDEST * widest).collect();
        let of = |value: &dyn Fn(&Looked) -> Option<f32>| middle(best.iter().filter_map(|l| value(l)));
        let (speed, smear) = motion(&trail, &best, scale);
        let stands = trail.way() < STANDS;
        let exact = |value: &dyn Fn(&Looked) -> f32| {
            let known = middle(best.iter().filter(|l| l.exact).map(|l| value(l)));
            known.or_else(|| middle(best.iter().map(|l| value(l))))
        };
        let seconds = smear.zip(speed).filter(|(smear, speed)| *smear > 0.0 && *speed > 1.0).map(|(a, b)| a / b);
        let outcome = outcome(&trail, told.as_ref());
        let mut pass = Self {
            track: trail.track,
            begin: trail.begin,
            end: trail.end,
            frames: trail.hits,
            score: trail.best_score,
            stands,
            outcome,
            refusal: trail.standing.and_then(|s| s.refusal),
            confidence: told.as_ref().map(|t| t.1).or(trail.standing.and_then(|s| s.confidence)).or(trail.best_read),
            text: told.map(|t| t.0),
            width: of(&|l| Some(l.look.width)).unwrap_or(widest),
            height: of(&|l| Some(l.look.height)).unwrap_or_default(),
            edge: of(&|l| l.look.edges.map(|e| e.sharpest())),
            smear: smear.filter(|_| !stands),
            speed: speed.filter(|_| !stands),
            exposure: seconds.filter(|_| !stands).map(Duration::from_secs_f32),
            light: best.iter().max_by(|a, b| a.look.width.total_cmp(&b.look.width)).and_then(|l| l.look.light),
            roll: exact(&|l| l.look.lean.roll),
            shear: exact(&|l| l.look.lean.shear),
            cut: None,
            way: trail.places.iter().map(|p| relative(p.centre, hiding.size)).collect(),
            crop: None,
        };
        pass.cut = cut(&trail, hiding).filter(|_| !stands);
        pass.crop = trail.pictures.map(|(_, pictures)| pictures.crop);
        pass
    }
}

/// Speed in pixels of the read picture a second, and smear along the way.
fn motion(trail: &Trail, best: &[&Looked], scale: f32) -> (Option<f32>, Option<f32>) {
    let velocity = |l: &&Looked| trail.velocity(l.at);
    let speed = middle(best.iter().filter_map(velocity).map(|v| v.x.hypot(v.y) * scale));
    let smear = |l: &&Looked| {
        let edges = l.look.edges?;
        let way = velocity(l).filter(|v| v.x.hypot(v.y) > 1.0);
        Some(way.map_or_else(|| edges.smear(), |v| edges.smear_along((v.x, v.y))).pixels)
    };
    (speed, middle(best.iter().filter_map(smear)))
}

fn outcome(trail: &Trail, told: Option<&(PlateText, f32)>) -> Outcome {
    match trail.standing.map(|s| s.refusal) {
        Some(None | Some(Refusal::Double)) if told.is_none() => Outcome::Again,
        Some(None) => Outcome::Read,
        _ if told.is_some() => Outcome::Doubtful,
        _ => Outcome::Unread,
    }
}

/// What lies where the way ends or begins.
fn cut(trail: &Trail, hiding: &Hiding<'_>) -> Option<Cut> {
    let (width, height) = hiding.size;
    // How far a plate would go until it is looked for again, and some of its own size: it is not found while it is cut.
    let reach = |rect: &Rect| rect.grown(0.6 * rect.width().max(rect.height()));
    let ends = [reach(&trail.last), reach(&trail.first)];
    let meets = |polygons: &[Polygon], rect: &Rect| polygons.iter().any(|p| touches(p, rect, hiding.size));
    let leaves = |rect: &Rect| {
        let corners = [(rect.x1, rect.y1), (rect.x2, rect.y1), (rect.x2, rect.y2), (rect.x1, rect.y2)];
        let inside = |(x, y): (f32, f32)| hiding.roi.iter().any(|p| p.contains(Point { x, y }, width, height));
        !hiding.roi.is_empty() && !corners.into_iter().all(inside)
    };
    let out = |rect: &Rect| rect.x1 <= 0.0 || rect.y1 <= 0.0 || rect.x2 >= width || rect.y2 >= height;
    // The end at which it was larger is where reads are lost.
    let grows = trail.last.width() >= trail.first.width();
    let lost = if grows { ends.first() } else { ends.last() }?;
    if ends.iter().any(|rect| meets(hiding.masks, rect)) {
        Some(Cut::Mask)
    } else if leaves(lost) && !out(lost) {
        Some(Cut::Region)
    } else {
        out(lost).then_some(Cut::Picture)
    }
}

/// Whether a polygon reaches into a rectangle.
fn touches(polygon: &Polygon, rect: &Rect, (width, height): (f32, f32)) -> bool {
    let steps = 8_u8;
    (0..=steps).any(|i| {
        (0..=steps).any(|j| {
            let share = |n: u8| f32::from(n) / f32::from(steps);
            let point = Point { x: rect.x1 + rect.width() * share(i), y: rect.y1 + rect.height() * share(j) };
            polygon.contains(point, width, height)
        })
    })
}

fn relative(p: Point, (width, height): (f32, f32)) -> [f32; 2] {
    [p.x / width.max(1.0), p.y / height.max(1.0)]
}

#[expect(clippy::cast_precision_loss, reason = "counts of frames")]
pub(super) fn real(n: usize) -> f32 {
    n as f32
}
