//! Pictures that let a person verify a read: the plate cut out of the frame, and the whole frame scaled down, as JPEG.
//!
//! Made by the analyser when a sighting first has something to show and again when a clearly better frame comes, not
//! for every frame: the pair is no cheap thing (`benches/follow.rs`). Bytes are converted here alone; nothing is scaled up.

use image::codecs::jpeg::JpegEncoder;

use super::mask::Seen;
use crate::domain::{Frame, Pictures, PixelFormat, Plane, Rect};

/// Widest scene, pixels.
const SCENE_WIDTH: u32 = 640;

/// Widest picture of a view, pixels: enough to see where a camera looks. Nobody looks for persons in it, so that none is hidden,
/// and at that size one who is a quarter of the picture high has a head of five pixels.
const VIEW_WIDTH: u32 = 320;

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

/// Columns of what hides a person.
const BLOCKS: u32 = 6;

/// An object at `object` (`None`: no crop of it), and the scene; whatever lies in `hidden` is a few squares of one colour
/// each in both. `None` when the object lies outside the frame or has no size.
#[must_use]
pub fn of_object(frame: &Seen<'_>, object: Option<&Rect>, hidden: &[Rect]) -> Option<Pictures> {
    let (width, height) = frame.size();
    let crop = match object {
        Some(rect) => {
            let margin = 0.05 * rect.width().max(rect.height());
            coded(frame, &rect.grown(margin).clamped(width, height), CROP_WIDTH, hidden)?
        }
        None => Vec::new(),
    };
    let scene = coded(frame, &Rect::new(0.0, 0.0, width, height), SCENE_WIDTH, hidden)?;
    Some(Pictures { crop, scene })
}

/// The whole frame as it may be seen, at most 1920 pixels wide; `None` when it has no size.
#[must_use]
pub fn whole(frame: &Seen<'_>) -> Option<Vec<u8>> {
    let (width, height) = frame.size();
    jpeg(frame, &Rect::new(0.0, 0.0, width, height), WHOLE_WIDTH)
}

/// Two pictures side by side, each 320 pixels wide at most: `left`, a level a sample and `width` samples a row, in grey, and
/// the frame. Without a left one the frame alone; `None` when it has no size.
#[must_use]
pub fn beside(left: Option<&[u8]>, width: usize, frame: &Seen<'_>) -> Option<Vec<u8>> {
    let (across, down) = frame.size();
    let (out_w, out_h, right) = pixels(frame, &Rect::new(0.0, 0.0, across, down), VIEW_WIDTH, &[])?;
    let Some(left) = left.filter(|left| width > 0 && left.len() >= width) else {
        return encoded(&right, out_w, out_h);
    };
    let (w, h) = (usize::try_from(out_w).ok()?, usize::try_from(out_h).ok()?);
    let mut rgb = Vec::with_capacity(6 * w * h);
    for (y, row) in right.chunks_exact(3 * w).enumerate() {
        let at = y * (left.len() / width) / h * width;
        rgb.extend((0..w).flat_map(|x| [left.get(at + x * width / w).copied().unwrap_or(0); 3]));
        rgb.extend_from_slice(row);
    }
    encoded(&rgb, 2 * out_w, out_h)
}

/// A part of the frame as JPEG, at most `max_width` wide.
fn jpeg(frame: &Frame, part: &Rect, max_width: u32) -> Option<Vec<u8>> {
    coded(frame, part, max_width, &[])
}

/// The same, with `hidden` (pixels of the frame) made unrecognisable.
fn coded(frame: &Frame, part: &Rect, max_width: u32, hidden: &[Rect]) -> Option<Vec<u8>> {
    let (width, height, rgb) = pixels(frame, part, max_width, hidden)?;
    encoded(&rgb, width, height)
}

/// A part of the frame as packed RGB, at most `max_width` wide, with `hidden` made unrecognisable: width, height, bytes.
fn pixels(frame: &Frame, part: &Rect, max_width: u32, hidden: &[Rect]) -> Option<(u32, u32, Vec<u8>)> {
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
    let mut picture = image::RgbImage::from_raw(out_w, out_h, rgb)?;
    let scale = (small(out_w) / small(w), small(out_h) / small(h));
    for rect in hidden {
        let (left, top) = (small(x), small(y));
        let inside = Rect::new(rect.x1 - left, rect.y1 - top, rect.x2 - left, rect.y2 - top);
        let inside = Rect::new(inside.x1 * scale.0, inside.y1 * scale.1, inside.x2 * scale.0, inside.y2 * scale.1);
        blocks(&mut picture, &inside.clamped(small(out_w), small(out_h)));
    }
    Some((out_w, out_h, picture.into_raw()))
}

fn encoded(rgb: &[u8], width: u32, height: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(rgb, width, height, image::ExtendedColorType::Rgb8)
        .ok()?;
    Some(bytes)
}

/// Paints over a part of a picture with few large squares, each of the mean colour of what it covers.
fn blocks(picture: &mut image::RgbImage, part: &Rect) {
    let (x1, y1, x2, y2) = (floor(part.x1), floor(part.y1), floor(part.x2.ceil()), floor(part.y2.ceil()));
    let (x2, y2) = (x2.min(picture.width()), y2.min(picture.height()));
    if x1 >= x2 || y1 >= y2 {
        return;
    }
    let side = (x2 - x1).div_ceil(BLOCKS).max(4);
    for top in (y1..y2).step_by(side as usize) {
        for left in (x1..x2).step_by(side as usize) {
            let (width, height) = (side.min(x2 - left), side.min(y2 - top));
            let mut sum = [0_u32; 3];
            let places = || (top..top + height).flat_map(move |y| (left..left + width).map(move |x| (x, y)));
            for pixel in places().map(|(x, y)| picture.get_pixel(x, y)) {
                sum.iter_mut().zip(pixel.0).for_each(|(sum, value)| *sum += u32::from(value));
            }
            let mean = sum.map(|sum| u8::try_from(sum / (width * height)).unwrap_or(u8::MAX));
            places().for_each(|(x, y)| picture.put_pixel(x, y, image::Rgb(mean)));
        }
    }
}

/// Pixels of a picture as `f32`.
#[expect(clippy::cast_precision_loss, reason = "frame sizes are bounded far below 2^24")]
fn small(pixels: u32) -> f32 {
    pixels as f32
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

    #[test]
    fn persons_are_a_few_squares_in_crop_and_scene_and_nothing_else_is() {
        // Columns of one pixel: what is left of them under a square is their mean.
        let bytes: Vec<u8> = (0..320 * 240).flat_map(|n| if n % 2 == 0 { [250; 3] } else { [10; 3] }).collect();
        let (format, pixels) = OwnedI420::from_rgb(&bytes, 320, 240);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let person = Rect::new(100.0, 60.0, 160.0, 200.0);
        let taken = of_object(&Seen::unmasked(&frame), None, &[person]).unwrap();
        assert!(taken.crop.is_empty());
        let scene = decoded(&taken.scene);
        let flat = |x: u32, y: u32| {
            let luma = [0, 1].map(|dx| scene.get_pixel(x + dx, y).0[0]);
            luma[0].abs_diff(luma[1]) < 40
        };
        for (x, y) in [(104, 64), (130, 120), (154, 190)] {
            assert!(flat(x, y), "{x} {y}");
        }
        assert!(!flat(40, 120) && !flat(240, 120));
        let car = Rect::new(90.0, 50.0, 250.0, 210.0);
        let crop = decoded(&of_object(&Seen::unmasked(&frame), Some(&car), &[person]).unwrap().crop);
        let luma = |x: u32| crop.get_pixel(x, 80).0[0];
        assert!(luma(50).abs_diff(luma(51)) < 40 && luma(140).abs_diff(luma(141)) > 80);
    }
}
