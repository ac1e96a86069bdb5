//! The colour of a vehicle: how its pixels are spread over luma and hue, and a logistic regression on that.
//!
//! Pixels come from the planes as they were decoded, on a grid of [`GRID`]² points of the box's inner part, so that a call
//! costs the same for every size (`docs/models.md` says what). In a picture without colours (infrared at night, a grey
//! camera) there is no answer, nor for what is too small, too dark or hidden by a privacy mask. Weights were fitted on
//! crops labelled by eye (`models/train/colour.py`, which computes the same numbers).
//!
//! Called by the analyser for a track's best crops, and by `watchpost read` for single pictures. Left out: persons and
//! motorbikes, of which mostly the rider is seen, and vehicles of many colours: they get low shares everywhere.

mod weights;

use std::cell::OnceCell;
use std::sync::Arc;

use self::weights::WEIGHTS;
use super::mask::{Seen, Spans};
use crate::domain::{Class, Colour, PixelFormat, Plane, Rect, VehicleColour};

/// Shares of the colours, in the order of [`Colour::ALL`]; they sum to 1.
pub type Shares = [f32; Colour::ALL.len()];

/// Confidence from which a colour is told.
pub const TELL: f32 = 0.65;

/// Points across and down the body, and the frame.
const GRID: u8 = 24;
const FRAME: u8 = 32;

/// What is left out of the box, shares of its width and height: left, top, right, bottom.
const INSET: [f32; 4] = [0.12, 0.14, 0.12, 0.12];

/// Bins of luma for what has no hue; of hue, once for dark and once for light pixels; and the means of frame and body.
const LUMAS: usize = 6;
const HUES: usize = 8;
const MEANS: usize = 4;
const FEATURES: usize = LUMAS + 2 * HUES + MEANS;

/// Distance from grey at which a pixel begins to have a hue, and how much further it has it fully.
const HUELESS: f32 = 8.0;
const TO_FULL_HUE: f32 = 16.0;

/// Luma from which a pixel is no longer wholly dark, and how much further it is light.
const DARK: f32 = 40.0;
const TO_LIGHT: f32 = 120.0;

/// Smallest side of a vehicle whose colour is told, pixels.
const LEAST_SIDE: f32 = 24.0;

/// A picture has colours when this share of its points lies at least so far from the picture's mean chroma: codecs
/// leave one or two of noise in grey pictures, and infrared ones may have a tint all over.
const COLOURED: f32 = 0.01;
const TINT: f32 = 6.0;

/// Mean luma of a frame below which nothing has a colour.
const NIGHT: f32 = 14.0;

/// Share of the body's points that must not be hidden.
const UNHIDDEN: f32 = 0.5;

/// A frame that colours are asked of.
pub struct Scene<'a> {
    frame: &'a Seen<'a>,
    luma: Plane<'a>,
    chroma: [Plane<'a>; 2],
    hidden: Option<Arc<Spans>>,
    /// Mean luma, Cb and Cr of the frame; `None` when the picture has no colours. Looked at when it is asked for.
    means: OnceCell<Option<Pixel>>,
}

/// A pixel in full-range BT.601, chroma around 0.
type Pixel = [f32; 3];

impl<'a> Scene<'a> {
    /// Those of `frame`; nothing is looked at before it is asked for.
    #[must_use]
    pub fn of(frame: &'a Seen<'a>) -> Self {
        let second = if frame.format.pixels == PixelFormat::Nv12 { 1 } else { 2 };
        let (luma, chroma) = (frame.luma(), [frame.chroma(1), frame.chroma(second)]);
        Self { frame, luma, chroma, hidden: frame.hidden(), means: OnceCell::new() }
    }

    fn means(&self) -> Option<Pixel> {
        *self.means.get_or_init(|| {
            let (width, height) = self.frame.size();
            let all = self.pixels(&Rect::new(0.0, 0.0, width, height), FRAME);
            let [y, cb, cr] = mean(&all);
            let apart = all.iter().filter(|[_, b, r]| (b - cb).hypot(r - cr) > TINT).count();
            (count(apart) > COLOURED * count(all.len()) && y > NIGHT).then_some([y, cb, cr])
        })
    }

    /// What colour the vehicle at `rect` (pixels of the frame) may have; `None` where that can't be seen.
    #[must_use]
    pub fn shares(&self, rect: &Rect) -> Option<Shares> {
        let means = self.means()?;
        let (w, h) = (rect.width(), rect.height());
        // No number is no size.
        if w.min(h).is_nan() || w.min(h) < LEAST_SIDE {
            return None;
        }
        let [left, top, right, bottom] = INSET;
        let body = Rect::new(rect.x1 + left * w, rect.y1 + top * h, rect.x2 - right * w, rect.y2 - bottom * h);
        let pixels = self.pixels(&body, GRID);
        let enough = UNHIDDEN * f32::from(GRID) * f32::from(GRID);
        (count(pixels.len()) >= enough).then(|| weighed(&features(&pixels, means)))
    }

    /// The colour of the vehicle, where it is sure enough to be told.
    #[must_use]
    pub fn colour(&self, class: Class, rect: &Rect) -> Option<VehicleColour> {
        if !has_colour(class) {
            return None;
        }
        self.shares(rect).and_then(|shares| best(&shares))
    }

    /// The pixels at the middles of `across`² cells of `rect` that nothing hides.
    fn pixels(&self, rect: &Rect, across: u8) -> Vec<Pixel> {
        let (width, height) = self.frame.size();
        let cell = |n: u8| (f32::from(n) + 0.5) / f32::from(across);
        let column = |n| whole((rect.x1 + cell(n) * rect.width()).clamp(0.0, (width - 1.0).max(0.0)));
        let columns: Vec<usize> = (0..across).map(column).collect();
        let mut pixels = Vec::with_capacity(usize::from(across) * usize::from(across));
        for n in 0..across {
            let y = whole((rect.y1 + cell(n) * rect.height()).clamp(0.0, (height - 1.0).max(0.0)));
            let hidden = self.hidden.as_ref().map_or(&[][..], |spans| spans.row(y));
            let shown = columns.iter().filter(|x| !hidden.iter().any(|span| span.contains(*x)));
            pixels.extend(shown.filter_map(|x| self.pixel(*x, y)));
        }
        pixels
    }

    fn pixel(&self, x: usize, y: usize) -> Option<Pixel> {
        let format = &self.frame.format;
        let ((across, down), step) = (format.pixels.subsampling(), format.pixels.chroma_step());
        let [first, second] = &self.chroma;
        let (at, row) = (x / across * step, y / down);
        let luma = f32::from(*self.luma.row(y)?.get(x)?);
        let (cb, cr) = (first.row(row)?.get(at)?, second.row(row)?.get(at + step - 1)?);
        let [cb, cr] = [*cb, *cr].map(|v| f32::from(v) - 128.0);
        if format.full_range {
            return Some([luma, cb, cr]);
        }
        let luma = (luma - 16.0) * (255.0 / 219.0);
        let [cb, cr] = [cb, cr].map(|v| v * (255.0 / 224.0));
        // Video of 720 lines and more is BT.709 (ITU-R); the weights know BT.601.
        Some(if format.height >= 720 {
            [luma + 0.101_6 * cb + 0.196_1 * cr, 0.989_9 * cb - 0.110_7 * cr, 0.983_4 * cr - 0.072_5 * cb]
        } else {
            [luma, cb, cr]
        })
    }
}

/// Whether a colour is told of such a thing.
#[must_use]
pub fn has_colour(class: Class) -> bool {
    match class {
        Class::Car | Class::Bus | Class::Truck => true,
        Class::Plate | Class::Motorbike | Class::Person => false,
    }
}

/// The colour with the largest share, if that is large enough to be told.
#[must_use]
pub fn best(shares: &Shares) -> Option<VehicleColour> {
    let (colour, confidence) = Colour::ALL.into_iter().zip(*shares).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (confidence >= TELL).then_some(VehicleColour { colour, confidence })
}

fn features(pixels: &[Pixel], frame: Pixel) -> [f32; FEATURES] {
    let mut out = [0.0; FEATURES];
    let (bins, means) = out.split_at_mut(LUMAS + 2 * HUES);
    let (lumas, hues) = bins.split_at_mut(LUMAS);
    let (dark, bright) = hues.split_at_mut(HUES);
    let one = 1.0 / count(pixels.len()).max(1.0);
    for [y, cb, cr] in pixels {
        let hued = ((cb.hypot(*cr) - HUELESS) / TO_FULL_HUE).clamp(0.0, 1.0);
        let light = ((y - DARK) / TO_LIGHT).clamp(0.0, 1.0);
        let hue = cr.atan2(*cb).to_degrees().rem_euclid(360.0) / 360.0 * count(HUES);
        spread(lumas, (y / 255.0 * count(LUMAS) - 0.5).clamp(0.0, count(LUMAS - 1)), one * (1.0 - hued));
        spread(dark, hue, one * hued * (1.0 - light));
        spread(bright, hue, one * hued * light);
    }
    let [y, cb, cr] = frame;
    let [own, ..] = mean(pixels);
    for (to, from) in means.iter_mut().zip([y / 255.0, own / 255.0, cb / 32.0, cr / 32.0]) {
        *to = from;
    }
    out
}

/// Adds `weight` to the two bins around `at`; the bin after the last is the first, as hues go round.
fn spread(bins: &mut [f32], at: f32, weight: f32) {
    let (low, part, n) = (whole(at), at.fract(), bins.len().max(1));
    for (index, share) in [(low, 1.0 - part), (low + 1, part)] {
        if let Some(bin) = bins.get_mut(index % n) {
            *bin += weight * share;
        }
    }
}

/// Softmax of the weighed features.
fn weighed(features: &[f32; FEATURES]) -> Shares {
    let value = |row: &[f32; FEATURES + 1]| -> f32 {
        row.iter().zip(features.iter().chain(&[1.0])).map(|(weight, feature)| weight * feature).sum()
    };
    let values = WEIGHTS.each_ref().map(value);
    let most = values.iter().copied().fold(f32::MIN, f32::max);
    let powers = values.map(|v| (v - most).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|p| p / sum)
}

fn mean(pixels: &[Pixel]) -> Pixel {
    let sum = pixels.iter().fold([0.0_f32; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z]);
    sum.map(|s| s / count(pixels.len()).max(1.0))
}

/// A number of points or bins; they are small.
fn count(n: usize) -> f32 {
    u16::try_from(n).map_or(f32::from(u16::MAX), f32::from)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; a cast saturates, NaN is 0")]
fn whole(v: f32) -> usize {
    v.max(0.0) as usize
}

#[cfg(test)]
mod tests;
