//! The shipped models on one picture, through the library: what is found, read and shown, and the CPU time of each stage.
//!
//! The same calls as the verb `read` makes, on this thread, so that the thread's CPU time is all that they cost. Decoding
//! of picture files is not in it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use watchpost::domain::{Class, Detection, Frame, FrameFormat, PixelFormat, Pixels, PlateRead, Rect, TimeMs};
use watchpost::vision::Models;
use watchpost::vision::model::Settings;

use super::score::Read;

/// The models, ready to look.
pub struct Eye {
    pub models: Models,
}

/// CPU time by stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Shrinking the picture, the detector, its boxes.
    pub detect: Duration,
    /// Straightening each plate once and reading it.
    pub read: Duration,
    /// Other looks at doubtful plates.
    pub again: Duration,
}

impl Cpu {
    pub fn add(&mut self, other: &Self) {
        self.detect += other.detect;
        self.read += other.read;
        self.again += other.again;
    }
}

/// What was seen of one picture.
#[derive(Debug, Default)]
pub struct Shot {
    /// Plates found, best first.
    pub found: Vec<Detection>,
    /// Reads, surest first, each with the number of its plate among `found`.
    pub reads: Vec<(usize, Read)>,
    /// The same by the first look alone.
    pub once: Vec<(usize, Read)>,
    pub cpu: Cpu,
}

impl Shot {
    /// Boxes of all that was found, relative.
    pub fn boxes(&self, frame: &Frame) -> Vec<[f64; 4]> {
        self.found.iter().map(|d| relative(&d.rect, frame)).collect()
    }
}

impl Eye {
    /// Loads the models of `folder`.
    ///
    /// # Errors
    /// What loading says.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self { models: Models::load(&Settings { folder: folder.to_owned(), ..Settings::default() })? })
    }

    /// Finds and reads.
    ///
    /// # Errors
    /// What the models say.
    pub fn look(&self, frame: &Frame) -> Result<Shot> {
        let (detect, mut found) = timed(|| self.models.detector.detect(frame));
        let mut found = std::mem::replace(&mut found, Ok(Vec::new()))?;
        found.retain(|d| d.class == Class::Plate);
        let (first, once) = timed(|| self.models.reader.read_once(frame, &found));
        let (whole, reads) = timed(|| self.models.reader.read(frame, &found));
        let cpu = Cpu { detect, read: first, again: whole.saturating_sub(first) };
        Ok(Shot { reads: told(reads?, &found, frame), once: told(once?, &found, frame), found, cpu })
    }

    /// Finds, without reading.
    ///
    /// # Errors
    /// What the model says.
    pub fn find(&self, frame: &Frame) -> Result<Vec<Detection>> {
        let mut found = self.models.detector.detect(frame)?;
        found.retain(|d| d.class == Class::Plate);
        Ok(found)
    }

    /// Reads a picture that is one plate.
    ///
    /// # Errors
    /// What the model says.
    pub fn look_at_crop(&self, frame: &Frame) -> Result<Shot> {
        let (width, height) = frame.size();
        let whole =
            Detection { class: Class::Plate, score: 1.0, rect: Rect::new(0.0, 0.0, width, height), corners: None };
        let (read, result) = timed(|| self.models.reader.read_crop(frame));
        let found = vec![whole];
        let reads = told(vec![result?], &found, frame);
        Ok(Shot { found, reads, once: Vec::new(), cpu: Cpu { read, ..Cpu::default() } })
    }
}

/// Five digits after the point, as `watchpost read --json` tells them.
fn rounded(v: f32) -> f64 {
    (f64::from(v) * 1e5).round() / 1e5
}

/// Edges of a box as shares of the picture.
pub fn relative(rect: &Rect, frame: &Frame) -> [f64; 4] {
    let (width, height) = frame.size();
    rect.relative(width, height).map(rounded)
}

fn told(reads: Vec<Option<PlateRead>>, found: &[Detection], frame: &Frame) -> Vec<(usize, Read)> {
    let one = |(at, (read, found)): (usize, (Option<PlateRead>, &Detection))| {
        let read = read?;
        let others = read.candidates.iter().map(|c| c.text.to_string()).collect();
        let confidence = rounded(read.confidence);
        Some((at, Read { text: read.text.to_string(), confidence, rect: relative(&found.rect, frame), others }))
    };
    let mut told: Vec<(usize, Read)> = reads.into_iter().zip(found).enumerate().filter_map(one).collect();
    told.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    told
}

/// CPU time of this thread.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

fn timed<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let begin = cpu();
    let done = work();
    (cpu().saturating_sub(begin), done)
}

/// A picture in shades of grey.
#[derive(Debug, Clone, PartialEq)]
pub struct Grey {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl Pixels for Grey {
    fn plane(&self, index: usize) -> &[u8] {
        if index == 0 { &self.pixels } else { &[] }
    }
}

impl Grey {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height] }
    }

    /// The luma of a full-range frame.
    pub fn of(frame: &Frame) -> Self {
        let luma = frame.luma();
        let rows = (0..luma.height).filter_map(|y| luma.row(y));
        Self { width: luma.width, height: luma.height, pixels: rows.flatten().copied().collect() }
    }

    /// As a frame without colours.
    pub fn into_frame(self) -> Frame {
        let format = FrameFormat {
            width: u32::try_from(self.width).unwrap_or(0),
            height: u32::try_from(self.height).unwrap_or(0),
            pixels: PixelFormat::I420,
            strides: [self.width, 0, 0],
            full_range: true,
        };
        Frame::new(format, TimeMs::default(), Duration::ZERO, 0, Box::new(self))
    }

    /// Shrunk or enlarged: each pixel the mean of what it covers, linear between pixels where it grows.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let side = |n: usize| u32::try_from(n.max(1)).unwrap_or(1);
        let Some(image) = image::GrayImage::from_raw(side(self.width), side(self.height), self.pixels.clone()) else {
            return Self::new(width, height);
        };
        let filter = image::imageops::FilterType::Triangle;
        let small = image::imageops::resize(&image, side(width), side(height), filter);
        Self { width: width.max(1), height: height.max(1), pixels: small.into_raw() }
    }

    /// The part from (`x`, `y`), at most `width` × `height`.
    pub fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let (width, height) = (width.min(self.width.saturating_sub(x)), height.min(self.height.saturating_sub(y)));
        let rows = self.pixels.chunks_exact(self.width.max(1)).skip(y).take(height);
        let pixels = rows.flat_map(|row| row.iter().skip(x).take(width)).copied().collect();
        Self { width, height, pixels }
    }

    /// Lays `other` over it with its corner at (`x`, `y`).
    pub fn paste(&mut self, other: &Self, x: usize, y: usize) {
        let rows = self.pixels.chunks_exact_mut(self.width.max(1)).skip(y);
        for (row, from) in rows.zip(other.pixels.chunks_exact(other.width.max(1))) {
            for (to, from) in row.iter_mut().skip(x).zip(from) {
                *to = *from;
            }
        }
    }
}
