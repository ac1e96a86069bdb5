//! A plate cut out of a frame as its reader's input: rectified, in the reader's colours, placed and normalised.
//!
//! Takes the full-size frame. A grey reader takes luma alone; for one of colour the chroma around the plate is rectified by
//! the same corners. With `fit = "stretch"` the plate fills the input, otherwise it keeps its shape.

use super::Error;
use super::area::Area;
use super::model::{Colour, Input};
use super::preprocess::{Placement, chroma_planes, luma_range, matrix};
use super::rectify::{rectify, sampled, sides};
use crate::domain::{Frame, Plane, Point, Quad};

/// Values around a plate in chroma, so that sampling at its edge finds neighbours.
const RIM: f32 = 4.0;

/// The tensor of one plate (channel, row, column); `None` when there is nothing to read.
///
/// # Errors
/// [`Error::Rectify`] with what OpenCV says.
pub(super) fn of_plate(frame: &Frame, quad: &Quad, input: &Input) -> Result<Option<Vec<f32>>, Error> {
    let [width, height] = input.size.map(|s| s as usize);
    let (across, down) = sides(quad);
    let placement = Placement::of(input.fit, (rounded(across), rounded(down)), (width, height));
    let Some(mut luma) = rectify(&frame.luma(), quad, placement.size)? else { return Ok(None) };
    let (gain, offset) = luma_range(frame.format.full_range);
    for v in &mut luma {
        *v = (*v * gain + offset).clamp(0.0, 255.0);
    }
    let planes = match input.colour {
        Colour::Grey => vec![luma],
        colour => {
            let [red, green, blue] = in_colour(frame, quad, placement.size, luma)?;
            if colour == Colour::Rgb { vec![red, green, blue] } else { vec![blue, green, red] }
        }
    };
    let mut out = vec![input.pad; width * height * planes.len()];
    for (channel, (plane, out)) in planes.iter().zip(out.chunks_exact_mut(width * height)).enumerate() {
        let (mean, std) = (input.mean.of(channel), input.std.of(channel));
        let rows = out.chunks_exact_mut(width).skip(placement.origin.1);
        for (row, values) in rows.zip(plane.chunks_exact(placement.size.0)) {
            for (out, v) in row.iter_mut().skip(placement.origin.0).zip(values) {
                *out = (v * input.scale - mean) / std;
            }
        }
    }
    Ok(Some(out))
}

/// Red, green and blue of a plate whose luma is known; grey where its chroma can't be had.
fn in_colour(frame: &Frame, quad: &Quad, size: (usize, usize), luma: Vec<f32>) -> Result<[Vec<f32>; 3], Error> {
    let bounds = quad.bounds();
    let rect = crate::domain::Rect::new(bounds.x1 - RIM, bounds.y1 - RIM, bounds.x2 + RIM, bounds.y2 + RIM);
    let mut pair = [Vec::new(), Vec::new()];
    let planes = Area::around(&rect, frame).and_then(|area| Some((area, chroma_planes(frame, area, &mut pair)?)));
    let Some((area, [u, v])) = planes else { return Ok([luma.clone(), luma.clone(), luma]) };
    let (us, vs) = (chroma(&u, area, quad, size)?, chroma(&v, area, quad, size)?);
    let [red_v, green_u, green_v, blue_u] = matrix(frame);
    let mut out = [luma.clone(), luma.clone(), luma];
    let [reds, greens, blues] = &mut out;
    for ((((red, green), blue), u), v) in reds.iter_mut().zip(greens).zip(blues).zip(us).zip(vs) {
        let (y, u, v) = (*red, u - 128.0, v - 128.0);
        *red = (y + red_v * v).clamp(0.0, 255.0);
        *green = (y - green_u * u - green_v * v).clamp(0.0, 255.0);
        *blue = (y + blue_u * u).clamp(0.0, 255.0);
    }
    Ok(out)
}

/// A chroma plane of `area` sampled by the plate's corners.
#[expect(clippy::cast_precision_loss, reason = "sides of a frame")]
fn chroma(plane: &Plane<'_>, area: Area, quad: &Quad, size: (usize, usize)) -> Result<Vec<f32>, Error> {
    let ((left, top), (width, height)) = (area.origin(), area.size());
    let scale = (plane.width as f32 / width.max(1) as f32, plane.height as f32 / height.max(1) as f32);
    let place = |p: Point| Point { x: (p.x - left as f32) * scale.0, y: (p.y - top as f32) * scale.1 };
    let quad = Quad { points: quad.points.map(place) };
    Ok(sampled(plane, &quad, size)?.unwrap_or_else(|| vec![128.0; size.0 * size.1]))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of a plate, never negative")]
fn rounded(v: f32) -> usize {
    v.round().max(1.0) as usize
}
