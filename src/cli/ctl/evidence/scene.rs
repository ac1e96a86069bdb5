//! The scene with all but the vehicle pixelated: nobody else's plate or face leaves with a bundle.
//!
//! A box does not keep where other plates and persons are, so everything outside the vehicle's own rectangle is made
//! coarse. What stands inside it, who sits in the vehicle say, stays as it is.

use std::io::Cursor;

use anyhow::Context as _;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, ImageReader, Limits};

/// Blocks along the longer side: a plate of a tenth of it has three.
const BLOCKS: u32 = 32;
/// Smallest side of a block, pixels.
const LEAST: u32 = 8;
/// Longest side of a scene that is read, pixels.
const MAX_SIDE: u32 = 8_192;
/// JPEG quality.
const QUALITY: u8 = 90;

/// The picture with all outside of `rect` (left, top, right, bottom, 0..65535) pixelated, as JPEG.
///
/// # Errors
/// When it is no JPEG of a sensible size.
pub fn pixelated(jpeg: &[u8], rect: [u16; 4]) -> anyhow::Result<Vec<u8>> {
    let mut reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    let mut picture = reader.decode().context("the scene cannot be read, so it cannot be pixelated")?.into_rgb8();
    let (width, height) = picture.dimensions();
    // 65535 × 8192 fits.
    let at = |share: u16, side: u32| u32::from(share) * side / u32::from(u16::MAX);
    let [left, top, right, bottom] = rect;
    let (left, right) = (at(left, width), at(right, width));
    let (top, bottom) = (at(top, height), at(bottom, height));
    let side = (width.max(height) / BLOCKS).max(LEAST);
    let step = usize::try_from(side)?;
    for (y0, x0) in (0..height).step_by(step).flat_map(|y| (0..width).step_by(step).map(move |x| (y, x))) {
        let (x1, y1) = ((x0 + side).min(width), (y0 + side).min(height));
        let places = || (y0..y1).flat_map(|y| (x0..x1).map(move |x| (x, y)));
        let mut sums = [0_u32; 3];
        for (x, y) in places() {
            sums.iter_mut().zip(picture.get_pixel(x, y).0).for_each(|(sum, value)| *sum += u32::from(value));
        }
        let count = (x1 - x0) * (y1 - y0);
        let mean = image::Rgb(sums.map(|sum| u8::try_from(sum / count).unwrap_or(u8::MAX)));
        let outside = |(x, y): &(u32, u32)| !(left..right).contains(x) || !(top..bottom).contains(y);
        for (x, y) in places().filter(outside) {
            picture.put_pixel(x, y, mean);
        }
    }
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY).encode_image(&picture).context("the pixelated scene")?;
    Ok(out)
}
