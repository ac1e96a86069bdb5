//! Plates of chosen widths in a frame of 1280×720: how small may they be and still be found and read?
//!
//! Each picture is shrunk until its labelled plate is so many pixels wide, and pasted at a random place (seeded) on
//! a picture without plates that fills the frame. A plate that is narrower already is left out at that width: nothing
//! is enlarged but the background. What does not fit is cut off around the plate.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use watchpost::camera::still;

use super::look::{Eye, Grey};
use super::score::{Judged, Label, Tally, judge, share};
use super::sets::Picture;

/// Width of the plate, pixels.
pub const WIDTHS: [u32; 6] = [20, 30, 40, 60, 80, 120];

/// The frame.
pub const FRAME: (usize, usize) = (1280, 720);

/// Pictures without plates that are kept as backgrounds.
const BACKGROUNDS: usize = 40;

/// What a width gave.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub width: u32,
    pub region: String,
    pub plates: usize,
    /// Found by the detector with IoU of at least .5, read or not.
    pub seen: Option<f64>,
    /// Found by the middle of a box, read or not.
    pub seen_centre: Option<f64>,
    pub exact: Option<f64>,
    /// Among those found by either.
    pub exact_of_found: Option<f64>,
}

/// Random numbers that are the same everywhere (`SplitMix64`, Steele et al. 2014).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap_or(0)
    }
}

/// Frames to paste on: pictures of `without`, enlarged until they fill the frame; drawn ones when there are none.
///
/// # Errors
/// A picture that can't be read.
pub fn backgrounds(without: &[Picture]) -> Result<Vec<Grey>> {
    let step = without.len().div_ceil(BACKGROUNDS).max(1);
    let filled = |picture: &Picture| Ok(filling(&Grey::of(&still::load(&picture.path)?)));
    let mut all = without.iter().step_by(step).map(filled).collect::<Result<Vec<_>>>()?;
    if all.is_empty() {
        all = (0..4).map(drawn).collect();
    }
    Ok(all)
}

/// Scaled until it covers the frame, what sticks out cut off.
fn filling(picture: &Grey) -> Grey {
    let (w, h) = (picture.width.max(1) as f64, picture.height.max(1) as f64);
    let scale = (FRAME.0 as f64 / w).max(FRAME.1 as f64 / h);
    let (wide, high) = (((w * scale).ceil() as usize).max(FRAME.0), ((h * scale).ceil() as usize).max(FRAME.1));
    picture.resized(wide, high).part((wide - FRAME.0) / 2, (high - FRAME.1) / 2, FRAME.0, FRAME.1)
}

/// A sky over a street, and grain.
fn drawn(seed: u64) -> Grey {
    let mut dice = Dice::new(seed);
    let horizon = FRAME.1 / 4 + dice.below(FRAME.1 / 4);
    let mut picture = Grey::new(FRAME.0, FRAME.1);
    for (at, pixel) in picture.pixels.iter_mut().enumerate() {
        let y = at / FRAME.0;
        let base = if y < horizon { 190 - y * 60 / horizon } else { 70 + (y - horizon) * 50 / FRAME.1 };
        *pixel = u8::try_from(base + dice.below(9)).unwrap_or(255);
    }
    picture
}

/// The picture with its one plate `width` pixels wide, somewhere in a background; `None` when it is narrower already. With
/// the frame comes the plate's box, relative.
pub fn shrunk(
    picture: &Grey,
    plate: &[f64; 4],
    width: u32,
    background: &Grey,
    dice: &mut Dice,
) -> Option<(Grey, [f64; 4])> {
    let (w, h) = (picture.width as f64, picture.height as f64);
    let scale = f64::from(width) / ((plate[2] - plate[0]) * w);
    if scale > 1.0 {
        return None;
    }
    let small = picture.resized((w * scale).round() as usize, (h * scale).round() as usize);
    let size = (small.width as f64, small.height as f64);
    let rect = [plate[0] * size.0, plate[1] * size.1, plate[2] * size.0, plate[3] * size.1];
    // Where it is larger than the frame, the part around the plate stays.
    let from = |side: usize, most: usize, low: f64, high: f64| {
        let begin = f64::midpoint(low, high) - most as f64 / 2.0;
        (begin.max(0.0) as usize).min(side.saturating_sub(most))
    };
    let cut = (from(small.width, FRAME.0, rect[0], rect[2]), from(small.height, FRAME.1, rect[1], rect[3]));
    let part = small.part(cut.0, cut.1, FRAME.0, FRAME.1);
    let at = (dice.below(FRAME.0 - part.width + 1), dice.below(FRAME.1 - part.height + 1));
    let mut frame = background.clone();
    frame.paste(&part, at.0, at.1);
    let (dx, dy) = (at.0 as f64 - cut.0 as f64, at.1 as f64 - cut.1 as f64);
    let (fw, fh) = (FRAME.0 as f64, FRAME.1 as f64);
    Some((frame, [(rect[0] + dx) / fw, (rect[1] + dy) / fh, (rect[2] + dx) / fw, (rect[3] + dy) / fh]))
}

/// Sums by width and region.
pub struct Widths {
    backgrounds: Vec<Grey>,
    /// Also read, not only find.
    reading: bool,
    tallies: BTreeMap<(u32, String), (Tally, usize)>,
}

impl Widths {
    /// With pictures of the frame's size to paste on.
    pub fn new(backgrounds: Vec<Grey>, reading: bool) -> Self {
        Self { backgrounds, reading, tallies: BTreeMap::new() }
    }

    /// One plate at every width that it can be shrunk to; `seed` decides where it is pasted.
    ///
    /// # Errors
    /// What the models say.
    pub fn take(&mut self, eye: &Eye, seed: u64, picture: &Grey, label: &Label, region: &str) -> Result<()> {
        let Some(rect) = label.rect else { return Ok(()) };
        for width in WIDTHS {
            let mut dice = Dice::new((seed << 8) | u64::from(width));
            let at = dice.below(self.backgrounds.len());
            let Some(background) = self.backgrounds.get(at) else { continue };
            let Some((frame, rect)) = shrunk(picture, &rect, width, background, &mut dice) else { continue };
            let label = Label { rect: Some(rect), texts: label.texts.clone() };
            let (judged, seen) = one(eye, frame, label, self.reading)?;
            for region in [region, "total"] {
                let (tally, centre) = self.tallies.entry((width, region.to_owned())).or_default();
                tally.add(&judged, seen.0);
                *centre += seen.1;
            }
        }
        Ok(())
    }

    /// A row a width and region, and one a width for all.
    pub fn rows(&self) -> Vec<Row> {
        let row = |((width, region), (tally, centre)): (&(u32, String), &(Tally, usize))| {
            let n = tally.counts;
            let (seen, seen_centre) = (share(n.seen, n.boxes), share(*centre, n.boxes));
            let (exact, exact_of_found) = (share(n.exact, n.texts), share(n.exact, n.texts_found));
            let (exact, exact_of_found) = if self.reading { (exact, exact_of_found) } else { (None, None) };
            Row { width: *width, region: region.clone(), plates: n.boxes, seen, seen_centre, exact, exact_of_found }
        };
        self.tallies.iter().map(row).collect()
    }
}

/// All pictures with one labelled plate.
///
/// # Errors
/// A picture that can't be read, what the models say.
pub fn run(eye: &Eye, pictures: &[Picture], widths: &mut Widths) -> Result<()> {
    for (number, picture) in pictures.iter().enumerate() {
        if let [label] = picture.labels.as_slice() {
            let grey = Grey::of(&still::load(&picture.path)?);
            widths.take(eye, number as u64, &grey, label, &picture.region)?;
        }
    }
    Ok(())
}

fn one(eye: &Eye, frame: Grey, label: Label, reading: bool) -> Result<(Judged, (usize, usize))> {
    let frame = frame.into_frame();
    let labels = [label];
    if reading {
        let shot = eye.look(&frame)?;
        let seen = super::score::found(&shot.boxes(&frame), &labels);
        let reads: Vec<_> = shot.reads.into_iter().map(|(_, read)| read).collect();
        return Ok((judge(&labels, false, &reads), seen));
    }
    let boxes: Vec<[f64; 4]> = eye.find(&frame)?.iter().map(|d| super::look::relative(&d.rect, &frame)).collect();
    Ok((judge(&labels, false, &[]), super::score::found(&boxes, &labels)))
}
