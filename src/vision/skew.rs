//! How far a plate is tilted within a picture that shows hardly anything else.
//!
//! The lines of a level plate and of its writing lie along rows, so sums over rows change sharply from one to the next; of a tilted one
//! they do after its columns are shifted back by the tilt (projection profiles, Postl 1986). Found plates have corners and need none of this:
//! it is for crops whose corners nobody told. Pure arithmetic on a small copy of the picture; called by [`super::plate`].

// bounds: rows and columns are those of the grid, shifted rows clamped to it.
#![allow(clippy::indexing_slicing, reason = "a grid of fixed size")]

use super::Error;
use super::rectify::rectify;
use crate::domain::{Plane, Point, Quad};

/// The small copy.
const WIDTH: usize = 96;
const HEIGHT: usize = 32;

/// Greatest fall from one side to the other, rows of the copy.
const MOST: i32 = 14;

/// Falls of fewer rows are level enough for the reader.
const LEAST: i32 = 3;

/// Rows at the upper and the lower edge that are not looked at: a tilted plate leaves them.
const RIM: i32 = 4;

/// How much sharper the rows must become, as a share.
const SHARPER: f32 = 1.15;

/// The outline of a tilted plate whose picture is `whole`: a parallelogram that fills it. `None` when it is level, or its tilt can't be
/// seen.
///
/// # Errors
/// [`Error::Rectify`] with what OpenCV says.
pub(super) fn outline(luma: &Plane<'_>, whole: &Quad) -> Result<Option<Quad>, Error> {
    let Some(values) = rectify(luma, whole, (WIDTH, HEIGHT))? else { return Ok(None) };
    Ok(fall(&values).map(|share| tilted(whole, share)))
}

/// How far the right side lies below the left one, as a share of the height.
#[expect(clippy::cast_precision_loss, reason = "some rows of a small copy")]
fn fall(values: &[f32]) -> Option<f32> {
    let sharpest = (-MOST..=MOST).map(|fall| (fall, sharpness(values, fall))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (fall, sharpness_there) = sharpest;
    let clear = fall.abs() >= LEAST && fall.abs() < MOST && sharpness_there > SHARPER * sharpness(values, 0);
    clear.then_some(fall as f32 / HEIGHT as f32)
}

/// Mean square of the steps between sums over rows that fall by so many rows from left to right.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indexes of a small grid"
)]
fn sharpness(values: &[f32], fall: i32) -> f32 {
    // Around the middle, so that the same rows are looked at however far they fall.
    let shifts: Vec<i32> =
        (0..WIDTH).map(|x| (fall as f32 * ((x as f32 + 0.5) / WIDTH as f32 - 0.5)).round() as i32).collect();
    let inside = |row: i32| row.clamp(0, HEIGHT as i32 - 1) as usize;
    let sums: Vec<f32> = (RIM..HEIGHT as i32 - RIM)
        .map(|row| shifts.iter().enumerate().map(|(x, shift)| values[inside(row + shift) * WIDTH + x]).sum())
        .collect();
    let steps: f32 = sums.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0])).sum();
    steps / (sums.len().max(2) - 1) as f32
}

/// The parallelogram that fills an upright quadrilateral and falls by a share of its height.
fn tilted(whole: &Quad, fall: f32) -> Quad {
    let [tl, tr, br, bl] = whole.points;
    let (left, right) = ((-fall).max(0.0), fall.max(0.0));
    let along = |a: Point, b: Point, share: f32| Point { x: a.x + (b.x - a.x) * share, y: a.y + (b.y - a.y) * share };
    Quad { points: [along(tl, bl, left), along(tr, br, right), along(br, tr, left), along(bl, tl, right)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rect;

    /// A bright plate with dark strokes that falls by `fall` of the height from left to right, on a grey ground.
    fn picture(fall: f32) -> Vec<u8> {
        let (width, height) = (240.0_f32, 80.0_f32);
        let plate = height * (1.0 - fall.abs());
        (0..240 * 80)
            .map(|i| {
                let (x, y) = ((i % 240) as f32 + 0.5, (i / 240) as f32 + 0.5);
                let top = if fall >= 0.0 { fall * height * x / width } else { -fall * height * (1.0 - x / width) };
                let down = (y - top) / plate;
                let stroke = (0.25..0.75).contains(&down) && ((x / 10.0) as usize).is_multiple_of(3);
                if !(0.0..1.0).contains(&down) {
                    110
                } else if stroke {
                    30
                } else {
                    220
                }
            })
            .collect()
    }

    fn found(fall: f32) -> Option<Quad> {
        let data = picture(fall);
        let luma = Plane { data: &data, stride: 240, width: 240, height: 80 };
        outline(&luma, &Quad::from_rect(&Rect::new(0.0, 0.0, 240.0, 80.0))).unwrap()
    }

    #[test]
    fn a_tilted_plate_is_outlined_whichever_way_it_falls_and_a_level_one_is_left_alone() {
        assert!(found(0.0).is_none() && found(0.04).is_none());
        for fall in [0.14_f32, 0.25, -0.2, -0.3] {
            let [tl, tr, br, bl] = found(fall).unwrap().points;
            let (left, right) = ((-fall).max(0.0) * 80.0, fall.max(0.0) * 80.0);
            for (got, want) in [(tl.y, left), (tr.y, right), (br.y, 80.0 - left), (bl.y, 80.0 - right)] {
                assert!((got - want).abs() < 5.0, "{fall}: {got} {want}");
            }
        }
    }

    #[test]
    fn noise_without_lines_is_not_tilted() {
        let mut state = 7_u32;
        let data: Vec<u8> = (0..240 * 80)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let luma = Plane { data: &data, stride: 240, width: 240, height: 80 };
        let whole = Quad::from_rect(&Rect::new(0.0, 0.0, 240.0, 80.0));
        // Whatever is found, it lies inside.
        if let Some(quad) = outline(&luma, &whole).unwrap() {
            assert!(quad.is_convex() && quad.bounds().y1 >= 0.0 && quad.bounds().y2 <= 80.0);
        }
    }
}
