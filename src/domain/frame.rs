//! A decoded picture as an owned handle: format, planes, strides, times; released when dropped.
//!
//! Whether the pixels lie in a mapped GStreamer buffer, a slot of shared memory or a vector is known only to whoever
//! implements [`Pixels`]. Formats are the decoder's own (I420, NV12): nothing is converted before a model asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::time::TimeMs;

/// Largest picture that is accepted, long side and short side in pixels.
pub const MAX_SIDES: (u32, u32) = (4096, 2304);

/// Whether a picture of this size is accepted, lying or standing.
#[must_use]
pub fn fits(width: u32, height: u32) -> bool {
    width > 0 && height > 0 && width.max(height) <= MAX_SIDES.0 && width.min(height) <= MAX_SIDES.1
}

/// How the pixels are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Three planes: Y, then U and V at half width and half height.
    I420,
    /// Two planes: Y, then U and V interleaved at half height.
    Nv12,
}

impl PixelFormat {
    /// Luma pixels that a chroma sample covers, across and down.
    #[must_use]
    pub fn subsampling(self) -> (usize, usize) {
        match self {
            Self::I420 | Self::Nv12 => (2, 2),
        }
    }

    /// Bytes that lie side by side for one chroma sample of a plane: 2 where U and V are interleaved.
    #[must_use]
    pub fn chroma_step(self) -> usize {
        match self {
            Self::I420 => 1,
            Self::Nv12 => 2,
        }
    }
}

/// Size, layout and range of a stream's frames; changes only when the stream's caps change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFormat {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Layout of the planes.
    pub pixels: PixelFormat,
    /// Bytes from one row to the next, by plane (0 for a plane that is not there).
    pub strides: [usize; 3],
    /// Luma 0..255 (JPEG) instead of 16..235 (video).
    pub full_range: bool,
}

/// Where the pixels of a frame lie.
pub trait Pixels: Send + Sync {
    /// The bytes of plane `index`, rows of the format's stride; empty for a plane that is not there.
    fn plane(&self, index: usize) -> &[u8];
}

/// One plane of a frame, with the numbers needed to walk it.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Rows of `stride` bytes; the last may be shorter.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples across.
    pub width: usize,
    /// Samples down.
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// Samples of row `y`, `None` below the picture or when the buffer is too short.
    #[must_use]
    pub fn row(&self, y: usize) -> Option<&'a [u8]> {
        if y >= self.height {
            return None;
        }
        let start = y.checked_mul(self.stride)?;
        self.data.get(start..start.checked_add(self.width)?)
    }

    /// The part of `width` × `height` samples whose first is at (`x`, `y`), cut off at the plane's edges; copies
    /// nothing. `None` when it begins outside.
    #[must_use]
    pub fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Option<Self> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let start = y.checked_mul(self.stride)?.checked_add(x)?;
        let (width, height) = (width.min(self.width - x), height.min(self.height - y));
        Some(Self { data: self.data.get(start..)?, stride: self.stride, width, height })
    }
}

/// A decoded picture. Not `Clone`: who needs it longer keeps the handle.
pub struct Frame {
    /// Size and layout.
    pub format: FrameFormat,
    /// When it was captured, UTC, as well as is known (arrival time when the camera tells nothing better).
    pub at: TimeMs,
    /// Its place in the stream: presentation time from the stream's start.
    pub pts: Duration,
    /// Counts the frames of one opening of the source, from 0, dropped ones included.
    pub index: u64,
    pixels: Box<dyn Pixels>,
    detail: Option<Arc<Frame>>,
}

impl Frame {
    /// Wraps pixels that lie somewhere.
    #[must_use]
    pub fn new(format: FrameFormat, at: TimeMs, pts: Duration, index: u64, pixels: Box<dyn Pixels>) -> Self {
        Self { format, at, pts, index, pixels, detail: None }
    }

    /// The same view in a larger picture of the same moment: the main stream's, when this is the substream's.
    #[must_use]
    pub fn detail(&self) -> Option<&Self> {
        self.detail.as_deref()
    }

    /// Says which larger picture shows the same.
    pub fn set_detail(&mut self, detail: Arc<Self>) {
        self.detail = Some(detail);
    }

    /// The luma plane, full size.
    #[must_use]
    pub fn luma(&self) -> Plane<'_> {
        Plane {
            data: self.pixels.plane(0),
            stride: self.format.strides[0],
            width: self.format.width as usize,
            height: self.format.height as usize,
        }
    }

    /// Plane 1 or 2 in samples: U or V at half size (I420), or UV pairs, `width` counted in bytes (NV12).
    #[must_use]
    pub fn chroma(&self, index: usize) -> Plane<'_> {
        let (across, down) = self.format.pixels.subsampling();
        Plane {
            data: self.pixels.plane(index),
            stride: self.format.strides.get(index).copied().unwrap_or(0),
            width: (self.format.width as usize).div_ceil(across) * self.format.pixels.chroma_step(),
            height: (self.format.height as usize).div_ceil(down),
        }
    }

    /// Width and height as `f32`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "frame sizes are bounded far below 2^24")]
    pub fn size(&self) -> (f32, f32) {
        (self.format.width as f32, self.format.height as f32)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("format", &self.format)
            .field("at", &self.at)
            .field("pts", &self.pts)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// I420 pixels in memory: pictures from files, test frames.
#[derive(Debug, Clone)]
pub struct OwnedI420 {
    planes: [Vec<u8>; 3],
}

impl Pixels for OwnedI420 {
    fn plane(&self, index: usize) -> &[u8] {
        self.planes.get(index).map_or(&[], Vec::as_slice)
    }
}

impl OwnedI420 {
    /// Full-range I420 (BT.601, as JPEG has it) of packed 8-bit RGB rows, with the format that describes it.
    ///
    /// `rgb` holds `width * height * 3` bytes; missing bytes read as black.
    #[must_use]
    pub fn from_rgb(rgb: &[u8], width: u32, height: u32) -> (FrameFormat, Self) {
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let mut y = Vec::with_capacity(w * h);
        y.extend(rgb.chunks_exact(3).take(w * h).map(luma_of));
        y.resize(w * h, 0);
        let (mut u, mut v) = (Vec::with_capacity(cw * ch), Vec::with_capacity(cw * ch));
        for cy in 0..ch {
            for cx in 0..cw {
                let (a, b) = chroma_of(&mean_2x2(rgb, w, h, cx * 2, cy * 2));
                u.push(a);
                v.push(b);
            }
        }
        let format = FrameFormat { width, height, pixels: PixelFormat::I420, strides: [w, cw, cw], full_range: true };
        (format, Self { planes: [y, u, v] })
    }
}

/// BT.601 luma of an RGB triple in 16-bit fixed point.
fn luma_of(p: &[u8]) -> u8 {
    match p {
        [r, g, b, ..] => {
            let sum = 19_595 * u32::from(*r) + 38_470 * u32::from(*g) + 7_471 * u32::from(*b) + 32_768;
            u8::try_from(sum >> 16).unwrap_or(255)
        }
        _ => 0,
    }
}

/// Mean RGB of the up to 2×2 pixels at (`x`, `y`).
fn mean_2x2(rgb: &[u8], w: usize, h: usize, x: usize, y: usize) -> [i32; 3] {
    let mut sum = [0_i32; 3];
    let mut n = 0;
    for py in y..(y + 2).min(h) {
        for px in x..(x + 2).min(w) {
            if let Some([r, g, b]) = rgb.get((py * w + px) * 3..(py * w + px) * 3 + 3) {
                for (s, c) in sum.iter_mut().zip([r, g, b]) {
                    *s += i32::from(*c);
                }
                n += 1;
            }
        }
    }
    sum.map(|s| s / n.max(1))
}

/// BT.601 full-range Cb and Cr.
fn chroma_of(rgb: &[i32; 3]) -> (u8, u8) {
    let [r, g, b] = *rgb;
    let fix = |v: i32| u8::try_from(((v + 32_768) >> 16).clamp(-128, 127) + 128).unwrap_or(128);
    (fix(-11_059 * r - 21_709 * g + 32_768 * b), fix(32_768 * r - 27_439 * g - 5_329 * b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_rgb_becomes_the_same_luma_and_neutral_chroma() {
        let (format, pixels) = OwnedI420::from_rgb(&[77; 5 * 3 * 3], 5, 3);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        assert_eq!(frame.luma().row(2).unwrap(), [77; 5]);
        assert!(frame.luma().row(3).is_none());
        assert_eq!(frame.chroma(1).row(1).unwrap(), [128; 3]);
        assert_eq!(frame.chroma(2).row(1).unwrap(), [128; 3]);
    }

    #[test]
    fn short_pixels_read_as_black_and_do_not_panic() {
        let (_, pixels) = OwnedI420::from_rgb(&[255; 3], 4, 4);
        assert_eq!(pixels.plane(0).len(), 16);
        assert_eq!(pixels.plane(0)[1], 0);
    }
}
