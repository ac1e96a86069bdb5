//! Annotated pictures: boxes, corners, what was read and how sure it is, as JPEG.
//!
//! For people: the README, a demo, a report of a misread. Called by the verbs `read` and `run`; nothing here is stored or
//! sent.

mod places;

use std::path::Path;

use anyhow::{Context, Result};
use image::{Rgb, RgbImage};

pub use self::places::Places;

use super::strokes;
use crate::domain::{Class, Frame, PixelFormat, Quad, Rect};

/// What is written at one plate.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Outline, pixels of the frame.
    pub outline: Quad,
    /// What was read; a plate that was not read is only outlined.
    pub text: Option<String>,
    /// Probability of the text (or of the detection), 0..1.
    pub confidence: f32,
    /// Where its middle was in frames before, the oldest first; empty for a single picture.
    pub way: Vec<(f32, f32)>,
}

/// A vehicle or person around the plates.
#[derive(Debug, Clone, PartialEq)]
pub struct Thing {
    /// Where, pixels of the frame.
    pub rect: Rect,
    /// Its class and how sure that is, 0..1.
    pub class: Class,
    /// 0..1.
    pub confidence: f32,
}

/// Quality of the JPEG files.
const QUALITY: u8 = 90;

/// Behind labels.
const DARK: Rgb<u8> = Rgb([18, 22, 28]);

/// Letters.
const LIGHT: Rgb<u8> = Rgb([245, 247, 250]);

/// Around vehicles and persons: plates stay what catches the eye.
const CALM: Rgb<u8> = Rgb([120, 190, 255]);

/// By certainty: sure, likely, doubtful.
const SURE: Rgb<u8> = Rgb([56, 211, 120]);
const LIKELY: Rgb<u8> = Rgb([255, 190, 60]);
const DOUBTFUL: Rgb<u8> = Rgb([255, 104, 92]);

fn colour(confidence: f32) -> Rgb<u8> {
    match confidence {
        c if c >= 0.8 => SURE,
        c if c >= 0.5 => LIKELY,
        _ => DOUBTFUL,
    }
}

/// By what letters and strokes grow with the picture.
fn unit(picture: &RgbImage) -> f32 {
    f32::from(u16::try_from(picture.height().max(picture.width() / 2)).unwrap_or(u16::MAX)) / 40.0
}

/// The frame in colours with its marks, under them the vehicles and persons in it, and under these the camera's places.
#[must_use]
pub fn annotated(frame: &Frame, places: &mut Places, marks: &[Mark], things: &[Thing]) -> RgbImage {
    let mut picture = to_rgb(frame);
    let unit = unit(&picture);
    places.over(&mut picture);
    for thing in things {
        framed(&mut picture, thing, unit);
    }
    for mark in marks {
        trail(&mut picture, &mark.way, mark.confidence);
        let thick = (unit / 7.0).clamp(1.5, 6.0);
        outline(&mut picture, mark, if mark.text.is_some() { thick } else { thick / 2.0 });
    }
    for mark in marks {
        if let Some(text) = &mark.text {
            label(&mut picture, mark, text, unit.clamp(11.0, 44.0));
        }
    }
    picture
}

/// Writes `picture` to `path`.
///
/// # Errors
/// When the file can't be written.
pub fn save(picture: &RgbImage, path: &Path) -> Result<()> {
    let file = std::fs::File::create(path).with_context(|| format!("{}: can't be written", path.display()))?;
    let mut file = std::io::BufWriter::new(file);
    let coder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, QUALITY);
    picture.write_with_encoder(coder).with_context(|| format!("{}: can't be written", path.display()))
}

/// Lays `over` on a pixel, `share` of it.
fn blend(picture: &mut RgbImage, x: i32, y: i32, over: Rgb<u8>, share: f32) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(under) = picture.get_pixel_mut_checked(x, y) {
        for (u, o) in under.0.iter_mut().zip(over.0) {
            *u = byte(f32::from(*u) * (1.0 - share) + f32::from(o) * share);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held to 0..255 before")]
fn byte(v: f32) -> u8 {
    v.round().clamp(0.0, 255.0) as u8
}

fn outline(picture: &mut RgbImage, mark: &Mark, thick: f32) {
    let [a, b, c, d] = mark.outline.points.map(|p| (p.x, p.y));
    let sides = [(a, b), (b, c), (c, d), (d, a)];
    // A dark rim keeps the line visible on bright plates.
    strokes::lines(&sides, thick + 2.0, &mut |x, y, share| blend(picture, x, y, DARK, share * 0.45));
    strokes::lines(&sides, thick, &mut |x, y, share| blend(picture, x, y, colour(mark.confidence), share));
}

/// The way that something came, the newest place last: thinner and fainter the longer ago.
fn trail(picture: &mut RgbImage, points: &[(f32, f32)], confidence: f32) {
    #[expect(clippy::cast_precision_loss, reason = "some dozens of points")]
    let count = points.len() as f32;
    for (n, pair) in (0_u16..).zip(points.windows(2)) {
        let [from, to] = pair else { continue };
        let new = f32::from(n + 1) / count;
        strokes::lines(&[(*from, *to)], 1.0 + 2.0 * new, &mut |x, y, share| {
            blend(picture, x, y, colour(confidence), share * 0.8 * new);
        });
    }
}

/// The time in the upper left corner and reads in the lower one, the newest at the bottom, each with how sure it is.
pub fn list(picture: &mut RgbImage, time: &str, rows: &[(String, f32)]) {
    #[expect(clippy::cast_precision_loss, reason = "sides of a picture")]
    let tall = picture.height() as f32;
    let height = (tall / 45.0).clamp(7.0, 26.0);
    let (pad, step) = (height * 0.6, height * 1.7);
    plaque(picture, (pad, pad), (strokes::width(time, height) + 2.0 * pad, height + 2.0 * pad), height * 0.4, 0.6);
    strokes::text(time, (2.0 * pad, 2.0 * pad), height, &mut |x, y, share| blend(picture, x, y, LIGHT, share));
    let sure = |confidence: f32| format!("{:.0}%", (confidence * 100.0).min(99.4));
    let wide = rows.iter().map(|(text, _)| strokes::width(text, height)).fold(0.0, f32::max);
    let mut top = tall - pad;
    for (text, confidence) in rows.iter().rev() {
        let all = wide + height + strokes::width(&sure(*confidence), height) + 2.0 * pad;
        top -= step + pad * 0.6;
        plaque(picture, (pad, top), (all, step), height * 0.4, 0.6);
        let line = top + (step - height) / 2.0;
        strokes::text(text, (2.0 * pad, line), height, &mut |x, y, share| blend(picture, x, y, LIGHT, share));
        let at = (2.0 * pad + wide + height, line);
        write_sure(picture, &sure(*confidence), at, height, *confidence);
    }
}

/// Light letters with their top left at `at`; `share` of them covers what is below.
pub fn write(picture: &mut RgbImage, text: &str, at: (f32, f32), height: f32, share: f32) {
    strokes::text(text, at, height, &mut |x, y, ink| blend(picture, x, y, LIGHT, ink * share));
}

/// Letters in the colour of a certainty.
pub fn write_sure(picture: &mut RgbImage, text: &str, at: (f32, f32), height: f32, confidence: f32) {
    strokes::text(text, at, height, &mut |x, y, ink| blend(picture, x, y, colour(confidence), ink));
}

/// A thin box, its class inside the top left corner.
fn framed(picture: &mut RgbImage, thing: &Thing, unit: f32) {
    let [a, b, c, d] = Quad::from_rect(&thing.rect).points.map(|p| (p.x, p.y));
    let thick = (unit / 14.0).clamp(1.0, 3.0);
    let sides = [(a, b), (b, c), (c, d), (d, a)];
    strokes::lines(&sides, thick + 1.5, &mut |x, y, share| blend(picture, x, y, DARK, share * 0.4));
    strokes::lines(&sides, thick, &mut |x, y, share| blend(picture, x, y, CALM, share));
    let height = (unit * 0.55).clamp(8.0, 24.0);
    let text = format!("{} {:.0}%", thing.class, (thing.confidence * 100.0).min(99.4));
    let (pad, wide) = (height * 0.35, strokes::width(&text, height));
    let (left, top) = (thing.rect.x1.max(0.0), thing.rect.y1.max(0.0));
    plaque(picture, (left, top), (wide + 2.0 * pad, height + 2.0 * pad), height * 0.3, 0.7);
    strokes::text(&text, (left + pad, top + pad), height, &mut |x, y, share| blend(picture, x, y, CALM, share));
}

/// Text and certainty on a dark plate of its own, above the outline or, at the top of the picture, below it.
fn label(picture: &mut RgbImage, mark: &Mark, text: &str, height: f32) {
    let sure = format!("{:.0}%", (mark.confidence * 100.0).min(99.4));
    let small = height * 0.62;
    let (pad, gap) = (height * 0.5, height * 0.55);
    let wide = strokes::width(text, height) + gap + strokes::width(&sure, small) + 2.0 * pad;
    let high = height + 2.0 * pad;
    let bounds = mark.outline.bounds();
    #[expect(clippy::cast_precision_loss, reason = "sides of a picture")]
    let (pw, ph) = (picture.width() as f32, picture.height() as f32);
    let left = (bounds.centre().x - wide / 2.0).min(pw - wide).max(0.0);
    let above = bounds.y1 - high - height * 0.4;
    let below = bounds.y2 + height * 0.4;
    let top = if above >= 0.0 { above } else { below }.min(ph - high).max(0.0);
    plaque(picture, (left, top), (wide, high), height * 0.5, 0.86);
    strokes::text(text, (left + pad, top + pad), height, &mut |x, y, share| blend(picture, x, y, LIGHT, share));
    let at = (left + wide - pad - strokes::width(&sure, small), top + pad + height - small);
    strokes::text(&sure, at, small, &mut |x, y, share| blend(picture, x, y, colour(mark.confidence), share));
}

/// A dark plate with round corners behind a text; `dark` is what it covers of the picture, 0..1.
fn plaque(picture: &mut RgbImage, (left, top): (f32, f32), (wide, high): (f32, f32), round: f32, dark: f32) {
    plaque_ink((left, top), (wide, high), round, &mut |x, y, share| blend(picture, x, y, DARK, share * dark));
}

/// Calls `ink(x, y, share)` for every pixel of a plate with round corners; each pixel once.
fn plaque_ink((left, top): (f32, f32), (wide, high): (f32, f32), round: f32, ink: &mut dyn FnMut(i32, i32, f32)) {
    // Thick lines with round ends make a plate with round corners.
    let (x1, x2) = (left + round, left + wide - round);
    let edges = [((x1, top + round), (x2, top + round)), ((x1, top + high - round), (x2, top + high - round))];
    let mut inked = std::collections::BTreeMap::new();
    let mut keep = |x: i32, y: i32, share: f32| {
        let most = inked.entry((y, x)).or_insert(0.0_f32);
        *most = most.max(share);
    };
    strokes::lines(&edges, round * 2.0, &mut keep);
    let middle = top + high / 2.0;
    strokes::lines(&[((x1, middle), (x2, middle))], high - 2.0 * round + 1.0, &mut keep);
    for ((y, x), share) in inked {
        ink(x, y, share);
    }
}

/// The frame's planes as 8-bit RGB (BT.601, or BT.709 for HD video).
#[must_use]
pub fn to_rgb(frame: &Frame) -> RgbImage {
    let format = frame.format;
    let (gain, offset, chroma) = if format.full_range { (1.0, 0.0, 1.0) } else { (255.0 / 219.0, 16.0, 255.0 / 224.0) };
    let hd = !format.full_range && format.height >= 720;
    let [rv, gu, gv, bu] = if hd { [1.5748, 0.1873, 0.4681, 1.8556] } else { [1.402, 0.344_14, 0.714_14, 1.772] };
    let luma = frame.luma();
    let (first, second) = (frame.chroma(1), frame.chroma(2));
    let pairs = format.pixels == PixelFormat::Nv12;
    let mut picture = RgbImage::new(format.width, format.height);
    for (y, row) in picture.rows_mut().enumerate() {
        let Some(ys) = luma.row(y) else { continue };
        let us = first.row(y / 2).unwrap_or_default();
        let vs = if pairs { us } else { second.row(y / 2).unwrap_or_default() };
        for (x, (pixel, luma)) in row.zip(ys).enumerate() {
            let (at_u, at_v) = if pairs { (x / 2 * 2, x / 2 * 2 + 1) } else { (x / 2, x / 2) };
            let grey = (f32::from(*luma) - offset) * gain;
            let of = |row: &[u8], at: usize| (f32::from(row.get(at).copied().unwrap_or(128)) - 128.0) * chroma;
            let (u, v) = (of(us, at_u), of(vs, at_v));
            *pixel = Rgb([byte(grey + rv * v), byte(grey - gu * u - gv * v), byte(grey + bu * u)]);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{Rect, TimeMs};

    fn frame(width: u32, height: u32) -> Frame {
        let rgb = [90, 120, 150].repeat((width * height) as usize);
        let (format, pixels) = OwnedI420::from_rgb(&rgb, width, height);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    #[test]
    fn colours_come_back_from_the_planes() {
        let picture = to_rgb(&frame(17, 9));
        assert!(picture.pixels().all(|p| p.0.iter().zip([90, 120, 150]).all(|(a, b)| a.abs_diff(b) <= 2)));
    }

    #[test]
    fn marks_change_the_picture_and_one_over_the_edge_does_no_harm() {
        let frame = frame(320, 180);
        let mark = |x: f32, y: f32| Mark {
            outline: Quad::from_rect(&Rect::new(x, y, x + 60.0, y + 20.0)),
            text: Some("AB123".into()),
            confidence: 0.97,
            way: vec![(x, y), (x + 20.0, y - 9.0)],
        };
        let plain = to_rgb(&frame);
        let mut none = Places::default();
        for (x, y) in [(100.0, 80.0), (-30.0, -10.0), (300.0, 170.0), (5000.0, 5000.0)] {
            let picture = annotated(&frame, &mut none, &[mark(x, y)], &[]);
            assert_eq!(picture.dimensions(), plain.dimensions());
            assert!(picture != plain, "at {x},{y}");
        }
        for (x, y) in [(100.0, 80.0), (-30.0, -10.0), (310.0, 170.0)] {
            let thing = Thing { rect: Rect::new(x, y, x + 90.0, y + 60.0), class: Class::Bus, confidence: 0.9 };
            assert!(annotated(&frame, &mut none, &[], &[thing]) != plain, "at {x},{y}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        save(&annotated(&frame, &mut none, &[mark(100.0, 80.0)], &[]), &path).unwrap();
        assert_eq!(image::open(&path).unwrap().width(), 320);
        let error = save(&plain, &dir.path().join("no/a.jpg")).unwrap_err();
        assert!(format!("{error:#}").contains("no/a.jpg"), "{error:#}");
    }
}
