//! What a labelled plate looks like: its width, how blurred, tilted, bright and rich in contrast it is.
//!
//! Measured on the full-size picture within the label's box (or the whole crop), so that plates that were not found have
//! them too; only the angle comes from the corners found.
//!
//! - **width**: of the box, in pixels of the picture, and as it would be in a frame 1,280 pixels wide.
//! - **blur**: how many pixels of a plate 160 pixels wide (the reader's input) the steepest edges take from dark to bright:
//!   the contrast divided by the steepest slopes (99th percentile) along the rows. About 2 is sharp.
//! - **contrast**: 95th less 5th percentile of luma; **light**: its mean; both of 255.
//! - **angle**: the largest lean of the four sides found, degrees: long ones from level, short ones from upright.

use watchpost::domain::{Point, Quad};

use super::look::Grey;

/// Width at which blur is measured.
const MEASURED_AT: usize = 160;

/// What is known of one plate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traits {
    pub width: f64,
    pub width_in_1280: f64,
    pub blur: f64,
    pub light: f64,
    pub contrast: f64,
    pub angle: Option<f64>,
}

/// Traits of the plate in `rect` (relative; `None`: the whole picture); `quad`: the corners found.
pub fn of(picture: &Grey, rect: Option<&[f64; 4]>, quad: Option<&Quad>) -> Traits {
    let (w, h) = (picture.width as f64, picture.height as f64);
    let [x1, y1, x2, y2] = rect.map_or([0.0, 0.0, 1.0, 1.0], |r| r.map(|v| v.clamp(0.0, 1.0)));
    let (left, top) = ((x1 * w) as usize, (y1 * h) as usize);
    let (wide, high) = (((x2 - x1) * w).round().max(1.0), ((y2 - y1) * h).round().max(1.0));
    let plate = picture.part(left, top, wide as usize, high as usize);
    let mut sorted = plate.pixels.clone();
    sorted.sort_unstable();
    let contrast = percentile(&sorted, 95) - percentile(&sorted, 5);
    let light = sorted.iter().map(|p| f64::from(*p)).sum::<f64>() / sorted.len().max(1) as f64;
    let angle = quad.map(lean);
    Traits {
        width: wide,
        width_in_1280: wide * 1280.0 / w.max(1.0),
        blur: blur(&plate, contrast),
        light,
        contrast,
        angle,
    }
}

fn percentile(sorted: &[u8], share: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * share / 100).map_or(0.0, |p| f64::from(*p))
}

fn blur(plate: &Grey, contrast: f64) -> f64 {
    let high = (plate.height * MEASURED_AT / plate.width.max(1)).clamp(8, MEASURED_AT);
    let even = plate.resized(MEASURED_AT, high);
    let rows = even.pixels.chunks_exact(MEASURED_AT);
    let mut slopes: Vec<u8> = rows.flat_map(|row| row.windows(2).filter_map(slope).collect::<Vec<_>>()).collect();
    slopes.sort_unstable();
    contrast / percentile(&slopes, 99).max(1.0)
}

fn slope(pair: &[u8]) -> Option<u8> {
    if let [a, b] = pair { Some(a.abs_diff(*b)) } else { None }
}

/// The largest lean of a side, degrees.
fn lean(quad: &Quad) -> f64 {
    let [tl, tr, br, bl] = quad.points;
    let level = |a: Point, b: Point| f64::from((b.y - a.y).abs().atan2((b.x - a.x).abs()).to_degrees());
    let upright = |a: Point, b: Point| f64::from((b.x - a.x).abs().atan2((b.y - a.y).abs()).to_degrees());
    [level(tl, tr), level(bl, br), upright(tl, bl), upright(tr, br)].into_iter().fold(0.0, f64::max)
}

/// A way to sort plates into bins.
pub struct Axis {
    pub name: &'static str,
    /// Lower ends of all bins but the first.
    pub edges: &'static [f64],
    pub of: fn(&Traits) -> Option<f64>,
}

/// Name of the axis that means nothing for crops.
pub const FRAME_WIDTH: &str = "width in a frame of 1280";

/// The ways in which results are broken down.
pub const AXES: [Axis; 6] = [
    Axis { name: "width, pixels", edges: &[40.0, 60.0, 80.0, 120.0, 200.0, 300.0], of: |t| Some(t.width) },
    Axis { name: FRAME_WIDTH, edges: &[40.0, 60.0, 80.0, 120.0, 200.0, 300.0], of: |t| Some(t.width_in_1280) },
    Axis { name: "blur, pixels an edge", edges: &[2.0, 3.0, 4.0, 6.0], of: |t| Some(t.blur) },
    Axis { name: "angle, degrees", edges: &[3.0, 6.0, 10.0, 15.0], of: |t| t.angle },
    Axis { name: "light, mean luma", edges: &[50.0, 80.0, 120.0, 160.0, 200.0], of: |t| Some(t.light) },
    Axis { name: "contrast of luma", edges: &[40.0, 70.0, 100.0, 150.0], of: |t| Some(t.contrast) },
];

impl Axis {
    /// The bin of a plate, counted from 0.
    pub fn bin(&self, traits: &Traits) -> Option<usize> {
        (self.of)(traits).map(|v| self.edges.iter().filter(|edge| v >= **edge).count())
    }

    /// What a bin holds, in words.
    pub fn label(&self, bin: usize) -> String {
        let low = bin.checked_sub(1).and_then(|at| self.edges.get(at));
        match (low, self.edges.get(bin)) {
            (Some(low), Some(high)) => format!("{low}-{high}"),
            (None, Some(high)) => format!("< {high}"),
            (Some(low), None) => format!(">= {low}"),
            (None, None) => "all".to_owned(),
        }
    }
}
