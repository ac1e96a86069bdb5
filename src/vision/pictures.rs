//! Pictures that let a person verify a read: the plate cut out of the frame, and the whole frame scaled down, as JPEG.
//!
//! Made by the analyser when a sighting first has something to show and again when a clearly better frame comes, not
//! for every frame: the pair is no cheap thing (`benches/follow.rs`). Bytes are converted here alone; nothing is scaled up.

use image::codecs::jpeg::JpegEncoder;

use super::mask::Seen;
use crate::domain::{Frame, Pictures, PixelFormat, Plane, Rect};

/// Widest scene, pixels.
const SCENE_WIDTH: u32 = 640;

/// Widest crop, pixels.
const CROP_WIDTH: u32 = 400;

/// JPEG quality of both.
const QUALITY: u8 = 75;

/// Widest picture of a whole frame that somebody asked for, pixels.
const WHOLE_WIDTH: u32 = 1920;

/// What is shown around the plate: shares of its width and height.
const MARGIN: (f32, f32) = (0.12, 0.35);

/// The plate at `plate` (pixels of the frame) and the scene; `None` when the plate lies outside the frame or has no size.
#[must_use]
pub fn take(frame: &Seen<'_>, plate: &Rect) -> Option<Pictures> {
    let (width, height) = frame.size();
    let (mx, my) = (plate.width() * MARGIN.0, plate.height() * MARGIN.1);
    let around = Rect::new(plate.x1 - mx, plate.y1 - my, plate.x2 + mx, plate.y2 + my).clamped(width, height);
    let crop = jpeg(frame, &around, CROP_WIDTH)?;
    let scene = jpeg(frame, &Rect::new(0.0, 0.0, width, height), SCENE_WIDTH)?;
    Some(Pictures { crop, scene })
}

/// The whole frame as it may be seen, at most 1920 pixels wide; `None` when it has no size.
#[must_use]
pub fn whole(frame: &Seen<'_>) -> Option<Vec<u8>> {
    let (width, height) = frame.size();
    jpeg(frame, &Rect::new(0.0, 0.0, width, height), WHOLE_WIDTH)
}

/// A part of the frame as JPEG, at most `max_width` wide.
fn jpeg(frame: &Frame, part: &Rect, max_width: u32) -> Option<Vec<u8>> {
    let (x, y) = (floor(part.x1), floor(part.y1));
    let (w, h) = (floor(part.x2.ceil()).checked_sub(x)?, floor(part.y2.ceil()).checked_sub(y)?);
    if w < 2 || h < 2 {
        return None;
    }
    let out_w = w.min(max_width);
    let out_h = (h * out_w).div_ceil(w).max(1);
    let converter = Converter::new(frame);
    let mut rgb = Vec::with_capacity(usize::try_from(out_w * out_h * 3).ok()?);
    let columns: Vec<(usize, usize)> = (0..out_w).map(|column| span(x, w, column, out_w)).collect();
    for row in 0..out_h {
        let (top, bottom) = span(y, h, row, out_h);
        converter.row(top, bottom, &columns, &mut rgb);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&rgb, out_w, out_h, image::ExtendedColorType::Rgb8)
        .ok()?;
    Some(bytes)
}

/// First and last sample of the source that go into sample `n` of `count`.
fn span(start: u32, length: u32, n: u32, count: u32) -> (usize, usize) {
    let first = start + n * length / count;
    let last = (start + (n + 1) * length / count).saturating_sub(1).max(first);
    (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the frame before; a cast saturates"
)]
fn floor(v: f32) -> u32 {
    v.max(0.0) as u32
}

/// YUV to RGB in 16-bit fixed point.
struct Converter<'a> {
    luma: Plane<'a>,
    chroma: [Plane<'a>; 2],
    interleaved: bool,
    black: i32,
    gain: i32,
    /// Red of V, green of U and V, blue of U.
    factors: [i32; 4],
}

impl<'a> Converter<'a> {
    fn new(frame: &'a Frame) -> Self {
        let interleaved = frame.format.pixels == PixelFormat::Nv12;
        // Pictures are BT.601 in full range; video in limited range is BT.709 from 720 lines up (ITU-R).
        let (black, gain, factors) = match (frame.format.full_range, frame.format.height >= 720) {
            (true, _) => (0, 65_536, [91_881, 22_554, 46_802, 116_130]),
            (false, false) => (16, 76_309, [104_597, 25_675, 53_279, 132_201]),
            (false, true) => (16, 76_309, [117_489, 13_975, 34_925, 138_438]),
        };
        let second = if interleaved { 1 } else { 2 };
        Self { luma: frame.luma(), chroma: [frame.chroma(1), frame.chroma(second)], interleaved, black, gain, factors }
    }

    /// Appends a row of colours: of each block between two lines and two columns, the mean of its four corners.
    fn row(&self, top: usize, bottom: usize, columns: &[(usize, usize)], rgb: &mut Vec<u8>) {
        let [upper, lower] = [top, bottom].map(|y| self.luma.row(y).unwrap_or_default());
        let chroma = self.chroma.map(|plane| plane.row(top.midpoint(bottom) / 2).unwrap_or_default());
        let luma = |row: &[u8], x: usize| row.get(x).map_or(0, |v| i32::from(*v));
        let colour = |row: &[u8], x: usize| row.get(x).map_or(0, |v| i32::from(*v) - 128);
        let [first, second] = chroma;
        let [rv, gu, gv, bu] = self.factors;
        for (left, right) in columns {
            let sum = luma(upper, *left) + luma(upper, *right) + luma(lower, *left) + luma(lower, *right);
            let y = ((sum + 2) / 4 - self.black) * self.gain;
            let at = left.midpoint(*right) / 2;
            let (u, v) = if self.interleaved {
                (colour(first, at * 2), colour(first, at * 2 + 1))
            } else {
                (colour(first, at), colour(second, at))
            };
            let pixel = [y + rv * v, y - gu * u - gv * v, y + bu * u];
            rgb.extend(pixel.map(|c| u8::try_from(((c + 32_768) >> 16).clamp(0, 255)).unwrap_or(0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{FrameFormat, Pixels, TimeMs};

    fn frame_of(rgb: [u8; 3], width: u32, height: u32) -> Frame {
        let bytes: Vec<u8> = std::iter::repeat_n(rgb, (width * height) as usize).flatten().collect();
        let (format, pixels) = OwnedI420::from_rgb(&bytes, width, height);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    fn decoded(bytes: &[u8]) -> image::RgbImage {
        image::load_from_memory(bytes).unwrap().to_rgb8()
    }

    #[test]
    fn pictures_have_the_colour_and_the_place_of_the_plate() {
        for rgb in [[200, 30, 40], [20, 160, 60], [250, 250, 250]] {
            let taken =
                take(&Seen::unmasked(&frame_of(rgb, 1281, 721)), &Rect::new(100.0, 100.0, 200.0, 125.0)).unwrap();
            let (crop, scene) = (decoded(&taken.crop), decoded(&taken.scene));
            assert_eq!(crop.dimensions(), (124, 43));
            assert_eq!(scene.dimensions(), (640, 361));
            for picture in [crop, scene] {
                let pixel = picture.get_pixel(picture.width() / 2, picture.height() / 2).0;
                assert!(pixel.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= 6), "{pixel:?} for {rgb:?}");
            }
        }
    }

    #[test]
    fn a_plate_at_the_edge_is_cut_and_one_outside_has_no_picture() {
        let frame = frame_of([90, 90, 90], 320, 240);
        assert!(take(&Seen::unmasked(&frame), &Rect::new(300.0, 230.0, 400.0, 260.0)).is_some());
        assert!(take(&Seen::unmasked(&frame), &Rect::new(400.0, 300.0, 500.0, 330.0)).is_none());
        assert!(
            take(&Seen::unmasked(&frame), &Rect::new(f32::NAN, 0.0, 50.0, 20.0)).is_none_or(|p| !p.crop.is_empty())
        );
        assert!(take(&Seen::unmasked(&frame), &Rect::default()).is_none());
    }

    struct Nv12 {
        luma: Vec<u8>,
        chroma: Vec<u8>,
    }

    impl Pixels for Nv12 {
        fn plane(&self, index: usize) -> &[u8] {
            [&self.luma, &self.chroma].get(index).map_or(&[], |p| p.as_slice())
        }
    }

    #[test]
    fn limited_range_nv12_is_converted() {
        // BT.601: 81, 90, 240 is pure red.
        let pixels = Nv12 { luma: vec![81; 64 * 48], chroma: [90, 240].repeat(32 * 24) };
        let format =
            FrameFormat { width: 64, height: 48, pixels: PixelFormat::Nv12, strides: [64, 64, 0], full_range: false };
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let scene = decoded(&take(&Seen::unmasked(&frame), &Rect::new(8.0, 8.0, 40.0, 20.0)).unwrap().scene);
        let [r, g, b] = scene.get_pixel(20, 20).0;
        assert!(r > 245 && g < 10 && b < 10, "{r} {g} {b}");
    }
}
