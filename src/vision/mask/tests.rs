//! Nothing that a polygon touches is left, in any format and at any size; nothing else is changed.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{PixelFormat, Point, TimeMs};

struct Bytes(Vec<Vec<u8>>);

impl Pixels for Bytes {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

/// A picture in which no sample is black, rows padded by `pad` bytes.
fn frame(pixels: PixelFormat, width: u32, height: u32, pad: usize) -> Frame {
    let (across, down) = pixels.subsampling();
    let wide = (width as usize).div_ceil(across) * pixels.chroma_step();
    let high = (height as usize).div_ceil(down);
    let strides = [width as usize + pad, wide + pad, wide + pad];
    let bytes = |n: usize| (0..n).map(|i| [200, 33, 90, 251][i % 4]).collect::<Vec<u8>>();
    let planes = vec![bytes(strides[0] * height as usize), bytes(strides[1] * high), bytes(strides[2] * high)];
    let format = FrameFormat { width, height, pixels, strides, full_range: false };
    Frame::new(format, TimeMs(7), Duration::from_millis(40), 3, Box::new(Bytes(planes)))
}

fn any_polygon() -> impl Strategy<Value = Polygon> {
    // Points beyond the picture too: whatever a config lets through must hold.
    proptest::collection::vec((-0.1_f64..1.1, -0.1_f64..1.1), 3..9)
        .prop_map(|p| Polygon::new(p.into_iter().map(|(x, y)| [x, y]).collect()))
}

fn any_format() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![Just(PixelFormat::I420), Just(PixelFormat::Nv12)]
}

/// Points of the polygons in pixels: a fine grid of what is inside, and points along the edges.
fn covered(polygons: &[Polygon], width: u32, height: u32) -> Vec<(usize, usize)> {
    let (w, h) = (f64::from(width), f64::from(height));
    let mut out = Vec::new();
    for polygon in polygons {
        for n in 0..height * 4 {
            for m in 0..width * 4 {
                let (x, y) = ((f64::from(m) + 0.5) / 4.0, (f64::from(n) + 0.5) / 4.0);
                let at = Point { x: x as f32, y: y as f32 };
                if polygon.contains(at, width as f32, height as f32) {
                    out.push((x as usize, y as usize));
                }
            }
        }
        for ([x1, y1], [x2, y2]) in polygon.edges() {
            for n in 0..=200 {
                let t = f64::from(n) / 200.0;
                let (x, y) = ((x1 + t * (x2 - x1)) * w, (y1 + t * (y2 - y1)) * h);
                if (0.0..w).contains(&x) && (0.0..h).contains(&y) {
                    out.push((x as usize, y as usize));
                }
            }
        }
    }
    out
}

#[test]
fn a_larger_picture_of_another_shape_is_left_out_where_there_are_masks() {
    let with = |(w, h): (u32, u32), (width, height): (u32, u32)| {
        let mut small = frame(PixelFormat::I420, w, h, 0);
        small.set_detail(std::sync::Arc::new(frame(PixelFormat::I420, width, height, 0)));
        small
    };
    let mask = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])]);
    // 16:9 coded in whole blocks is 16:9; 4:3, 5:4 and upright pictures are other views.
    for (small, large) in [((64, 36), (192, 108)), ((64, 36), (192, 109)), ((36, 64), (108, 192))] {
        let small = with(small, large);
        let seen = mask.apply(&small).unwrap();
        assert_eq!((seen.left_out(), seen.detail_size().is_some()), (None, true), "{large:?}");
        assert!(seen.detail().unwrap().is_some());
    }
    for (small, large) in [((64, 48), (192, 108)), ((64, 36), (160, 128)), ((64, 36), (108, 192))] {
        let small = with(small, large);
        let seen = mask.apply(&small).unwrap();
        assert_eq!((seen.left_out(), seen.detail_size()), (Some(large), None));
        assert!(seen.detail().unwrap().is_none());
        // Without masks there is nothing to betray.
        assert!(Mask::default().apply(&small).unwrap().detail_size().is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn no_pixel_that_a_polygon_touches_keeps_its_value(
        polygons in proptest::collection::vec(any_polygon(), 1..4), format in any_format(),
        width in 1_u32..60, height in 1_u32..40, pad in 0_usize..9,
    ) {
        let before = frame(format, width, height, pad);
        let mask = Mask::new(polygons.clone());
        let (across, down) = format.subsampling();
        let step = format.chroma_step();
        // Twice: the second copy lies in the memory of the first.
        for _ in 0..2 {
            let after = mask.apply(&before).unwrap();
            let (luma, u) = (after.luma(), after.chroma(1));
            for (x, y) in covered(&polygons, width, height) {
                prop_assert_eq!(luma.row(y).unwrap()[x], 16, "luma {} {}", x, y);
                let (cx, cy) = (x / across * step, y / down);
                prop_assert_eq!(u.row(cy).unwrap()[cx], 128);
                let v = if step == 2 { u.row(cy).unwrap()[cx + 1] } else { after.chroma(2).row(cy).unwrap()[cx] };
                prop_assert_eq!(v, 128);
            }
            // A pixel that is further than its own size from every polygon is what it was.
            let near = Spans::of(&polygons, width, height);
            for y in 0..height as usize {
                for x in 0..width as usize {
                    let hidden = near.meets(x, y, 1, 1);
                    let (old, new) = (before.luma().row(y).unwrap()[x], luma.row(y).unwrap()[x]);
                    prop_assert_eq!(new, if hidden { 16 } else { old });
                }
            }
            prop_assert_eq!((after.at, after.pts, after.index), (before.at, before.pts, before.index));
        }
    }

    #[test]
    fn a_mask_reaches_no_further_than_the_pixels_it_touches(
        x1 in 0.0_f64..0.9, y1 in 0.0_f64..0.9, w in 0.05_f64..0.5, h in 0.05_f64..0.5, width in 8_u32..80, height in 8_u32..60,
    ) {
        let (x2, y2) = ((x1 + w).min(1.0), (y1 + h).min(1.0));
        let spans = Spans::of(&[Polygon::new(vec![[x1, y1], [x2, y1], [x2, y2], [x1, y2]])], width, height);
        for y in 0..height {
            for x in 0..width {
                let (px, py) = (f64::from(x), f64::from(y));
                let apart = px + 1.01 < x1 * f64::from(width) || px > x2 * f64::from(width) + 0.01
                    || py + 1.01 < y1 * f64::from(height) || py > y2 * f64::from(height) + 0.01;
                prop_assert!(!(apart && spans.meets(x as usize, y as usize, 1, 1)), "{} {}", x, y);
            }
        }
    }
}

#[test]
fn a_camera_without_masks_copies_nothing() {
    let whole = frame(PixelFormat::I420, 32, 16, 0);
    let seen = Mask::default().apply(&whole).unwrap();
    assert!(std::ptr::eq(&raw const *seen, &raw const whole));
}

#[test]
fn a_mask_over_everything_leaves_black_and_counts_as_everything() {
    let all = Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
    let whole = frame(PixelFormat::Nv12, 35, 17, 5);
    let mask = Mask::new(vec![all]);
    let seen = mask.apply(&whole).unwrap();
    assert!((0..17).all(|y| seen.luma().row(y).unwrap().iter().all(|p| *p == 16)));
    assert!((0..9).all(|y| seen.chroma(1).row(y).unwrap().iter().all(|p| *p == 128)));
    assert!((mask.spans(35, 17).share() - 1.0).abs() < 1e-9);
    assert!(Spans::of(&[], 35, 17).share().abs() < 1e-9);
}

#[test]
fn a_polygon_thinner_than_a_pixel_hides_the_pixels_it_runs_through() {
    let line = Polygon::new(vec![[0.105, 0.501], [0.905, 0.502], [0.5, 0.5015]]);
    let spans = Spans::of(&[line], 100, 50);
    assert_eq!(spans.row(25).first(), Some(&(10..91)));
    assert!(spans.row(24).is_empty() && spans.row(26).is_empty());
}

#[test]
fn a_frame_that_is_too_short_to_be_masked_is_refused() {
    let format =
        FrameFormat { width: 32, height: 16, pixels: PixelFormat::I420, strides: [32, 16, 16], full_range: false };
    let short = Bytes(vec![vec![0; 32 * 16], vec![0; 16 * 8], vec![0; 16 * 7]]);
    let short = Frame::new(format, TimeMs(0), Duration::ZERO, 9, Box::new(short));
    let mask = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])]);
    assert!(mask.apply(&short).unwrap_err().to_string().contains("32x16"));
}
