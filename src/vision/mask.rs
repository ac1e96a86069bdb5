//! Privacy masks: pixels that no model and no person may see.
//!
//! [`Seen`] is the only form in which the analyser and what it calls meet a frame. Where a camera has masks it is a copy
//! in memory of our own in which every pixel that a polygon touches is black, chroma samples of such pixels included;
//! without masks it is the frame itself, and nothing is copied. The frame behind it can't be reached through it, nor the
//! larger picture that it carries: [`Seen::detail`] gives that masked as well. What
//! cannot be masked (a buffer shorter than its format says) is refused, never passed on.
//!
//! Spans of the rows are computed once a size. A copy is a megabyte or three of memory that goes round: the planes come
//! back when the frame is dropped. Called once a frame by the analyser, on its thread.

// bounds: rows are cut by `get`; spans are clamped to the plane's width when they are made.

use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::domain::{Frame, FrameFormat, Pixels, Plane, Polygon, Rect};

/// Luma and chroma of what is blanked: black.
const BLACK: [u8; 3] = [16, 128, 128];

/// How far a polygon's edge reaches beyond what its numbers say, pixels: rounding never uncovers a pixel.
const SLACK: f64 = 1e-3;

/// Spare copies that are kept: one for each stream of a camera.
const SPARE: usize = 2;

/// The masks of one camera; a handle.
#[derive(Debug, Clone, Default)]
pub struct Mask(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    polygons: Vec<Polygon>,
    /// For the sizes met last.
    spans: Mutex<Vec<Arc<Spans>>>,
    spare: Arc<Mutex<Vec<Planes>>>,
}

type Planes = [Vec<u8>; 3];

/// How far the shapes of two streams may differ that show the same view: sizes are rounded to blocks of 8 or 16 lines.
const SHAPES: f32 = 0.02;

/// A frame as models and people may see it, and the larger picture of its moment.
#[derive(Debug)]
pub struct Seen<'a> {
    inner: Inner<'a>,
    /// Not masked yet; given out by [`Seen::detail`] alone.
    detail: Option<&'a Frame>,
    /// Size of a larger picture that was left out, since it shows another view than the masks were drawn for.
    left_out: Option<(u32, u32)>,
    mask: Mask,
}

#[derive(Debug)]
enum Inner<'a> {
    Whole(&'a Frame),
    Masked(Box<Frame>),
}

impl<'a> Seen<'a> {
    /// A frame of a source that has no masks: a picture that was given by hand, a test.
    #[must_use]
    pub fn unmasked(frame: &'a Frame) -> Self {
        Self { inner: Inner::Whole(frame), detail: frame.detail(), left_out: None, mask: Mask::default() }
    }

    /// The larger picture of the same moment, where there is one, as it may be seen: masked by the same polygons.
    ///
    /// # Errors
    /// What [`Mask::apply`] says.
    pub fn detail(&self) -> Result<Option<Self>, Error> {
        self.detail.map(|detail| self.mask.apply(detail)).transpose()
    }

    /// Size of a larger picture that was left out: there are masks, and its shape is not this frame's, so that it shows
    /// another view and shares of one picture mean another place in the other.
    #[must_use]
    pub fn left_out(&self) -> Option<(u32, u32)> {
        self.left_out
    }

    /// The pixels that are hidden; `None` without masks.
    #[must_use]
    pub fn hidden(&self) -> Option<Arc<Spans>> {
        let FrameFormat { width, height, .. } = self.format;
        (!self.mask.0.polygons.is_empty()).then(|| self.mask.spans(width, height))
    }

    /// Its width and height, before anything is copied.
    #[must_use]
    pub fn detail_size(&self) -> Option<(f32, f32)> {
        self.detail.map(Frame::size)
    }
}

impl Deref for Seen<'_> {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        match &self.inner {
            Inner::Whole(frame) => frame,
            Inner::Masked(frame) => frame,
        }
    }
}

impl Mask {
    /// Blanks what `polygons` touch.
    #[must_use]
    pub fn new(polygons: Vec<Polygon>) -> Self {
        Self(Arc::new(Shared { polygons, ..Shared::default() }))
    }

    /// The frame as it may be seen. With masks, a larger picture of another shape is left out.
    ///
    /// # Errors
    /// [`Error::ShortFrame`] when there are masks and the planes hold less than the frame's format says.
    pub fn apply<'a>(&self, frame: &'a Frame) -> Result<Seen<'a>, Error> {
        let (fits, odd) = match frame.detail() {
            Some(detail) if !self.0.polygons.is_empty() && !same_shape(frame.size(), detail.size()) => {
                (None, Some(detail))
            }
            detail => (detail, None),
        };
        let left_out = odd.map(|d| (d.format.width, d.format.height));
        let seen = |inner| Seen { inner, detail: fits, left_out, mask: self.clone() };
        if self.0.polygons.is_empty() {
            return Ok(seen(Inner::Whole(frame)));
        }
        let (planes, strides) = self.copy(frame).ok_or(Error::ShortFrame {
            index: frame.index,
            width: frame.format.width,
            height: frame.format.height,
        })?;
        let format = FrameFormat { strides, ..frame.format };
        let pixels = Blanked { planes, home: Arc::clone(&self.0.spare) };
        let masked = Frame::new(format, frame.at, frame.pts, frame.index, Box::new(pixels));
        Ok(seen(Inner::Masked(Box::new(masked))))
    }

    /// What is blanked in a picture of this size.
    #[must_use]
    pub fn spans(&self, width: u32, height: u32) -> Arc<Spans> {
        let mut known = self.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|s| s.size == (width, height)) {
            return Arc::clone(found);
        }
        let made = Arc::new(Spans::of(&self.0.polygons, width, height));
        known.truncate(SPARE - 1);
        known.insert(0, Arc::clone(&made));
        made
    }

    fn copy(&self, frame: &Frame) -> Option<(Planes, [usize; 3])> {
        let spans = self.spans(frame.format.width, frame.format.height);
        let mut planes = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut strides = [0; 3];
        let (subsampling, step) = (frame.format.pixels.subsampling(), frame.format.pixels.chroma_step());
        for (index, ((plane, stride), black)) in planes.iter_mut().zip(&mut strides).zip(BLACK).enumerate() {
            let (source, (across, down), step) = match index {
                0 => (frame.luma(), (1, 1), 1),
                _ => (frame.chroma(index), subsampling, step),
            };
            // Interleaved chroma is one plane.
            if index == 2 && step == 2 {
                plane.clear();
                continue;
            }
            *stride = source.width;
            copy_rows(&source, plane)?;
            let rows = plane.chunks_exact_mut(source.width.max(1));
            for (row, y) in rows.zip(0..) {
                for span in spans.below(y * down, down) {
                    let (from, to) = (span.start / across * step, span.end.div_ceil(across) * step);
                    let end = to.min(row.len());
                    if let Some(hidden) = row.get_mut(from..end) {
                        hidden.fill(black);
                    }
                }
            }
        }
        Some((planes, strides))
    }
}

/// Whether two pictures have the same shape, as two streams of one view have.
#[must_use]
pub fn same_shape(one: (f32, f32), other: (f32, f32)) -> bool {
    let ratio = |(width, height): (f32, f32)| width / height.max(1.0);
    let (one, other) = (ratio(one), ratio(other));
    (one - other).abs() <= SHAPES * one.max(other)
}

/// The samples of `plane` without the gaps between its rows.
fn copy_rows(plane: &Plane<'_>, to: &mut Vec<u8>) -> Option<()> {
    to.clear();
    to.reserve(plane.width * plane.height);
    for y in 0..plane.height {
        to.extend_from_slice(plane.row(y)?);
    }
    Some(())
}

/// A masked copy; its memory goes back to the mask it came from.
struct Blanked {
    planes: Planes,
    home: Arc<Mutex<Vec<Planes>>>,
}

impl Pixels for Blanked {
    fn plane(&self, index: usize) -> &[u8] {
        self.planes.get(index).map_or(&[], Vec::as_slice)
    }
}

impl Drop for Blanked {
    fn drop(&mut self) {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if home.len() < SPARE {
            home.push(std::mem::take(&mut self.planes));
        }
    }
}

/// The pixels of a picture of one size that polygons touch, row by row.
#[derive(Debug, PartialEq)]
pub struct Spans {
    size: (u32, u32),
    /// Of each row, from left to right, apart.
    rows: Vec<Vec<Range<usize>>>,
}

impl Spans {
    /// Every pixel of a picture of `width` × `height` that one of `polygons` touches or encloses.
    #[must_use]
    pub fn of(polygons: &[Polygon], width: u32, height: u32) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        let scaled: Vec<Vec<([f64; 2], [f64; 2])>> = polygons
            .iter()
            .map(|p| p.edges().map(|([a, b], [c, d])| ([a * w, b * h], [c * w, d * h])).collect())
            .collect();
        let row = |y: u32| {
            let mut spans = Vec::new();
            for edges in &scaled {
                touched(edges, f64::from(y), width, &mut spans);
            }
            merged(spans)
        };
        Self { size: (width, height), rows: (0..height).map(row).collect() }
    }

    /// The spans of row `y`.
    #[must_use]
    pub fn row(&self, y: usize) -> &[Range<usize>] {
        self.rows.get(y).map_or(&[], Vec::as_slice)
    }

    /// The spans of `count` rows from `y` on.
    fn below(&self, y: usize, count: usize) -> impl Iterator<Item = &Range<usize>> {
        self.rows.iter().skip(y).take(count).flatten()
    }

    /// Whether any pixel that `rect` covers in part is hidden.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places in a frame; a cast saturates")]
    pub fn meets_rect(&self, rect: &Rect) -> bool {
        let (x, y) = (rect.x1.floor().max(0.0) as usize, rect.y1.floor().max(0.0) as usize);
        let (x2, y2) = (rect.x2.ceil().max(0.0) as usize, rect.y2.ceil().max(0.0) as usize);
        self.meets(x, y, x2.saturating_sub(x), y2.saturating_sub(y))
    }

    /// Whether a pixel of the rectangle from (`x`, `y`), `width` × `height`, is among them.
    #[must_use]
    pub fn meets(&self, x: usize, y: usize, width: usize, height: usize) -> bool {
        self.below(y, height).any(|s| s.start < x + width && x < s.end)
    }

    /// The share of them that lies in `other`, 0..1; 0 for none at all.
    #[must_use]
    pub fn share_within(&self, other: &Self) -> f64 {
        let all: usize = self.rows.iter().flatten().map(Range::len).sum();
        let both = |(a, b): (&Vec<Range<usize>>, &Vec<Range<usize>>)| -> usize {
            let meet = |a: &Range<usize>, b: &Range<usize>| a.end.min(b.end).saturating_sub(a.start.max(b.start));
            a.iter().flat_map(|a| b.iter().map(move |b| meet(a, b))).sum()
        };
        let both: usize = self.rows.iter().zip(&other.rows).map(both).sum();
        both as f64 / all.max(1) as f64
    }

    /// The share of the picture that they cover, 0..1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let covered: usize = self.rows.iter().flatten().map(Range::len).sum();
        covered as f64 / (f64::from(self.size.0) * f64::from(self.size.1)).max(1.0)
    }
}

/// Adds the columns that a polygon touches in the row of pixels from `y` to `y + 1`: wherever an edge runs through the
/// row, and what lies inside at its middle. A pixel that no edge enters is inside as a whole or not at all.
fn touched(edges: &[([f64; 2], [f64; 2])], y: f64, width: u32, spans: &mut Vec<Range<usize>>) {
    let (top, middle, bottom) = (y - SLACK, y + 0.5, y + 1.0 + SLACK);
    let mut crossings: Vec<(f64, i32)> = Vec::new();
    for ([x1, y1], [x2, y2]) in edges.iter().copied() {
        if y1.max(y2) < top || y1.min(y2) > bottom {
            continue;
        }
        let flat = (y1 - y2).abs() < SLACK;
        let at = |y: f64| if flat { x1 } else { x1 + ((y - y1) / (y2 - y1)).clamp(0.0, 1.0) * (x2 - x1) };
        let (a, b) = if flat { (x1, x2) } else { (at(top), at(bottom)) };
        spans.extend(columns(a.min(b) - SLACK, a.max(b) + SLACK, width));
        if (y1 <= middle) != (y2 <= middle) {
            crossings.push((at(middle), if y1 < y2 { 1 } else { -1 }));
        }
    }
    crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut winding = 0;
    let mut from = 0.0;
    for (x, turn) in crossings {
        if winding == 0 {
            from = x;
        }
        winding += turn;
        if winding == 0 {
            spans.extend(columns(from, x, width));
        }
    }
}

/// The pixels from `from` to `to`, begun ones included.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width of a picture")]
fn columns(from: f64, to: f64, width: u32) -> Option<Range<usize>> {
    let (from, to) = (from.max(0.0).floor(), to.min(f64::from(width)).ceil());
    (from < to).then_some(from as usize..to as usize)
}

fn merged(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|s| s.start);
    let mut out: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

#[cfg(test)]
mod tests;
