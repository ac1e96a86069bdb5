//! A plate seen at an angle as the upright picture that a reader reads.
//!
//! The four corners are widened by the reader's margin and mapped to the input's rectangle by a homography (with OpenCV
//! where it is built in, else by our own bilinear sampling: a test holds both to the same picture). Where the plate is much larger than the input, it is
//! sampled finer and averaged, so that strokes do not alias. Beyond the picture's edge its border is repeated.

use super::Error;
use crate::domain::{Plane, Point, Quad};

/// Narrowest and lowest plate that is read, in pixels of the frame.
const MIN_SIDES: (f32, f32) = (8.0, 4.0);

/// Most samples a pixel of the input along one side.
const MAX_OVERSAMPLING: usize = 6;

/// Plates whose luma differs by less hold nothing to read.
const MIN_CONTRAST: u8 = 6;

/// Corners moved outwards by a share of the plate's sides, along its edges.
pub(super) fn widened(quad: &Quad, margin: [f32; 2]) -> Quad {
    let [tl, tr, br, bl] = quad.points;
    let [x, y] = margin;
    let out = |p: Point, across: Point, down: Point| Point {
        x: p.x + (p.x - across.x) * x + (p.x - down.x) * y,
        y: p.y + (p.y - across.y) * x + (p.y - down.y) * y,
    };
    Quad { points: [out(tl, tr, bl), out(tr, tl, br), out(br, bl, tr), out(bl, br, tl)] }
}

/// Mean length of two opposite sides, each way.
pub(super) fn sides(quad: &Quad) -> (f32, f32) {
    let [tl, tr, br, bl] = quad.points;
    let length = |a: Point, b: Point| (a.x - b.x).hypot(a.y - b.y);
    (f32::midpoint(length(tl, tr), length(bl, br)), f32::midpoint(length(tl, bl), length(tr, br)))
}

/// Whether a plate is large enough to be read.
pub(super) fn is_large_enough(quad: &Quad) -> bool {
    let (across, down) = sides(quad);
    across >= MIN_SIDES.0 && down >= MIN_SIDES.1
}

/// Samples a pixel of the input, across and down.
fn oversampling(quad: &Quad, size: (usize, usize)) -> (usize, usize) {
    #[expect(clippy::cast_precision_loss, reason = "sides of a model's input")]
    let (width, height) = (size.0.max(1) as f32, size.1.max(1) as f32);
    let (across, down) = sides(quad);
    (
        whole((across / width).round()).clamp(1, MAX_OVERSAMPLING),
        whole((down / height).round()).clamp(1, MAX_OVERSAMPLING),
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; a cast saturates")]
fn whole(v: f32) -> usize {
    v.max(0.0) as usize
}

/// The part of the picture around a quadrilateral, copied so that it lies in one piece.
struct Cut {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    /// The quadrilateral in the cut's pixels.
    quad: Quad,
}

impl Cut {
    /// Difference between its highest and its lowest value.
    fn contrast(&self) -> u8 {
        let (low, high) = self.pixels.iter().fold((u8::MAX, 0), |(low, high), p| (low.min(*p), high.max(*p)));
        high.saturating_sub(low)
    }
}

/// `None` when the quadrilateral lies outside the picture, or the picture is shorter than it says.
fn cut(luma: &Plane<'_>, quad: &Quad) -> Option<Cut> {
    #[expect(clippy::cast_precision_loss, reason = "sides of a frame")]
    let inside = quad.bounds().clamped(luma.width as f32, luma.height as f32);
    let (x1, y1) = (whole(inside.x1 - 2.0), whole(inside.y1 - 2.0));
    let (x2, y2) = (whole(inside.x2 + 3.0).min(luma.width), whole(inside.y2 + 3.0).min(luma.height));
    if inside.area() <= 0.0 || x2 <= x1 + 1 || y2 <= y1 + 1 {
        return None;
    }
    let mut pixels = Vec::with_capacity((x2 - x1) * (y2 - y1));
    for y in y1..y2 {
        pixels.extend_from_slice(luma.row(y)?.get(x1..x2)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a place in a frame")]
    let quad = Quad { points: quad.points.map(|p| Point { x: p.x - x1 as f32, y: p.y - y1 as f32 }) };
    Some(Cut { pixels, width: x2 - x1, height: y2 - y1, quad })
}

/// The plate within `quad` as `size` luma values of 0..255 as they lie in the frame, row by row.
///
/// `None` when there is nothing to read: outside the picture, or flat.
///
/// # Errors
/// [`Error::Rectify`] with what OpenCV says.
pub(super) fn rectify(luma: &Plane<'_>, quad: &Quad, size: (usize, usize)) -> Result<Option<Vec<f32>>, Error> {
    match cut(luma, quad).filter(|cut| cut.contrast() >= MIN_CONTRAST) {
        Some(cut) => warped(&cut, size).map(Some),
        None => Ok(None),
    }
}

/// As [`rectify`] for any plane, flat ones too: `None` only outside the picture.
///
/// # Errors
/// As [`rectify`].
pub(super) fn sampled(plane: &Plane<'_>, quad: &Quad, size: (usize, usize)) -> Result<Option<Vec<f32>>, Error> {
    cut(plane, quad).map(|cut| warped(&cut, size)).transpose()
}

fn warped(cut: &Cut, size: (usize, usize)) -> Result<Vec<f32>, Error> {
    let fine = oversampling(&cut.quad, size);
    #[cfg(feature = "opencv")]
    let out = by_opencv(cut, size, fine);
    #[cfg(not(feature = "opencv"))]
    let out = Ok(by_hand(cut, size, fine));
    out
}

/// The homography from the unit square to a quadrilateral (Heckbert 1989, section 2.2.3): nine numbers, the last 1.
pub(super) fn square_to_quad(quad: &Quad) -> [f32; 8] {
    let [p0, p1, p2, p3] = quad.points;
    let (sx, sy) = (p0.x - p1.x + p2.x - p3.x, p0.y - p1.y + p2.y - p3.y);
    let (dx1, dx2, dy1, dy2) = (p1.x - p2.x, p3.x - p2.x, p1.y - p2.y, p3.y - p2.y);
    let det = dx1 * dy2 - dx2 * dy1;
    let (g, h) =
        if det.abs() > f32::EPSILON { ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det) } else { (0.0, 0.0) };
    [p1.x - p0.x + g * p1.x, p3.x - p0.x + h * p3.x, p0.x, p1.y - p0.y + g * p1.y, p3.y - p0.y + h * p3.y, p0.y, g, h]
}

/// Bilinear sampling, `fine` samples a pixel and side averaged.
#[cfg(any(test, not(feature = "opencv")))]
#[expect(clippy::cast_precision_loss, reason = "sides of a model's input")]
fn by_hand(cut: &Cut, size: (usize, usize), fine: (usize, usize)) -> Vec<f32> {
    let [a, b, c, d, e, f, g, h] = square_to_quad(&cut.quad);
    let (columns, rows) = (size.0 * fine.0, size.1 * fine.1);
    let share = 1.0 / (fine.0 * fine.1) as f32;
    let mut out = vec![0.0; size.0 * size.1];
    for row in 0..rows {
        let v = (row as f32 + 0.5) / rows as f32;
        let line = out.chunks_exact_mut(size.0.max(1)).nth(row / fine.1).unwrap_or_default();
        for (pixel, first) in line.iter_mut().zip((0..columns).step_by(fine.0)) {
            for column in first..first + fine.0 {
                let u = (column as f32 + 0.5) / columns as f32;
                let w = g * u + h * v + 1.0;
                *pixel += share * sample(cut, (a * u + b * v + c) / w - 0.5, (d * u + e * v + f) / w - 0.5);
            }
        }
    }
    out
}

/// Bilinear value at pixel coordinates, the border repeated.
#[cfg(any(test, not(feature = "opencv")))]
#[expect(clippy::cast_precision_loss, reason = "sides of a cut")]
fn sample(cut: &Cut, x: f32, y: f32) -> f32 {
    let x = x.clamp(0.0, (cut.width - 1) as f32);
    let y = y.clamp(0.0, (cut.height - 1) as f32);
    let (x0, y0) = (whole(x), whole(y));
    let (x1, y1) = ((x0 + 1).min(cut.width - 1), (y0 + 1).min(cut.height - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let at = |x: usize, y: usize| cut.pixels.get(y * cut.width + x).map_or(0.0, |p| f32::from(*p));
    let top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * fx;
    let bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * fx;
    top + (bottom - top) * fy
}

/// `warpPerspective` at the finer size, then `resize` by area.
#[cfg(feature = "opencv")]
fn by_opencv(cut: &Cut, size: (usize, usize), fine: (usize, usize)) -> Result<Vec<f32>, Error> {
    use opencv::core::{Mat, MatTraitConstManual, Point2f, Scalar, Size};
    use opencv::imgproc;
    let told = |e: opencv::Error| Error::Rectify { reason: e.message };
    let side = |n: usize| i32::try_from(n).map_err(|_| Error::Rectify { reason: format!("a side of {n} pixels") });
    let large = Size::new(side(size.0 * fine.0)?, side(size.1 * fine.1)?);
    let source = Mat::new_rows_cols_with_data::<u8>(side(cut.height)?, side(cut.width)?, &cut.pixels).map_err(told)?;
    // OpenCV's coordinates name pixels by their middles, ours by their edges.
    let from = cut.quad.points.map(|p| Point2f::new(p.x - 0.5, p.y - 0.5));
    #[expect(clippy::cast_precision_loss, reason = "sides of a model's input")]
    let (w, h) = (large.width as f32 - 0.5, large.height as f32 - 0.5);
    let to = [Point2f::new(-0.5, -0.5), Point2f::new(w, -0.5), Point2f::new(w, h), Point2f::new(-0.5, h)];
    let matrix = imgproc::get_perspective_transform_slice(from, to, opencv::core::DECOMP_LU).map_err(told)?;
    let mut warped = Mat::default();
    imgproc::warp_perspective(
        &source,
        &mut warped,
        &matrix,
        large,
        imgproc::INTER_LINEAR,
        opencv::core::BORDER_REPLICATE,
        Scalar::default(),
    )
    .map_err(told)?;
    if fine != (1, 1) {
        let mut small = Mat::default();
        let to = Size::new(side(size.0)?, side(size.1)?);
        imgproc::resize(&warped, &mut small, to, 0.0, 0.0, imgproc::INTER_AREA).map_err(told)?;
        warped = small;
    }
    Ok(warped.data_typed::<u8>().map_err(told)?.iter().map(|p| f32::from(*p)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rect;

    fn plane(data: &[u8], width: usize, height: usize) -> Plane<'_> {
        Plane { data, stride: width, width, height }
    }

    /// A smooth picture, so that the two ways to sample can be compared.
    fn waves(width: usize, height: usize) -> Vec<u8> {
        (0..width * height)
            .map(|i| {
                let (x, y) = ((i % width) as f32, (i / width) as f32);
                (127.0 + 70.0 * (x / 9.0).sin() + 50.0 * (y / 7.0).cos()) as u8
            })
            .collect()
    }

    #[test]
    fn an_upright_box_of_the_inputs_size_is_copied_as_it_is() {
        let data = waves(60, 40);
        let luma = plane(&data, 60, 40);
        let got = rectify(&luma, &Quad::from_rect(&Rect::new(10.0, 8.0, 42.0, 24.0)), (32, 16)).unwrap().unwrap();
        for (y, row) in got.chunks_exact(32).enumerate() {
            for (x, v) in row.iter().enumerate() {
                assert!((v - f32::from(data[(y + 8) * 60 + x + 10])).abs() <= 1.0, "at {x},{y}");
            }
        }
    }

    #[test]
    fn the_corners_of_a_tilted_plate_come_to_the_corners_of_the_input() {
        let quad =
            Quad { points: [(12.0, 5.0), (48.0, 11.0), (45.0, 30.0), (10.0, 22.0)].map(|(x, y)| Point { x, y }) };
        let [a, b, c, d, e, f, g, h] = square_to_quad(&quad);
        for ((u, v), want) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].into_iter().zip(quad.points) {
            let w: f32 = g * u + h * v + 1.0;
            assert!(((a * u + b * v + c) / w - want.x).abs() < 1e-3 && ((d * u + e * v + f) / w - want.y).abs() < 1e-3);
        }
    }

    #[cfg(feature = "opencv")]
    #[test]
    fn opencv_and_our_own_sampling_give_the_same_picture() {
        let data = waves(400, 200);
        let luma = plane(&data, 400, 200);
        for scale in [0.3_f32, 1.0, 2.6] {
            let points = [(20.0, 10.0), (130.0, 22.0), (126.0, 60.0), (18.0, 44.0)];
            let quad = Quad { points: points.map(|(x, y)| Point { x: x * scale, y: y * scale }) };
            let cut = cut(&luma, &quad).unwrap();
            let fine = oversampling(&cut.quad, (64, 24));
            let (ours, theirs) = (by_hand(&cut, (64, 24), fine), by_opencv(&cut, (64, 24), fine).unwrap());
            let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Theirs has positions in 1/32 pixel and whole grey values.
            assert!(worst < 4.0, "they differ by {worst} at scale {scale}");
        }
    }

    #[test]
    fn a_plate_over_the_edge_is_read_with_the_border_repeated_and_one_outside_is_not() {
        let data = waves(60, 40);
        let luma = plane(&data, 60, 40);
        let over = Quad::from_rect(&Rect::new(-6.0, -2.0, 20.0, 10.0));
        assert_eq!(rectify(&luma, &over, (32, 8)).unwrap().unwrap().len(), 256);
        let outside = Quad::from_rect(&Rect::new(100.0, 50.0, 130.0, 60.0));
        assert!(rectify(&luma, &outside, (32, 8)).unwrap().is_none());
        let flat = [90; 2400];
        assert!(rectify(&plane(&flat, 60, 40), &over, (32, 8)).unwrap().is_none());
        assert!(rectify(&plane(&data[..100], 60, 40), &over, (32, 8)).unwrap().is_none());
    }

    #[test]
    fn margins_widen_along_the_plates_own_edges() {
        let quad = widened(&Quad::from_rect(&Rect::new(10.0, 10.0, 30.0, 20.0)), [0.1, 0.2]);
        assert_eq!(quad, Quad::from_rect(&Rect::new(8.0, 8.0, 32.0, 22.0)));
    }
}
